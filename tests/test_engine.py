"""The training loop as `train` runs it: what a run folder holds, stopping, going on, refusing."""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentTypeError, Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import randomized
from PIL import Image

import colorize
import engine
import inpaint
import segment
from data import checkpoint, datasets, run_folder
from data.folder import measured_pairs
from nets.norm import InPlaceABN

SMALL = {  # a network that a laptop trains in a second
    segment: ["--width", "8", "--crop", "64", "--lr", "3e-3", "--batch-size", "4"],
    inpaint: [
        "--width",
        "8",
        "--levels",
        "4",
        "--widest",
        "2",
        "--crop",
        "64",
        "--lr",
        "3e-3",
        "--batch-size",
        "4",
    ],
    colorize: ["--encoder", "18", "--width", "8", "--crop", "64", "--lr", "3e-3", "--batch-size", "4"],
}
SAMPLES = {
    segment: datasets.SegmentSamples,
    inpaint: datasets.InpaintSamples,
    colorize: datasets.ColorizeSamples,
}
STAGES = pytest.mark.parametrize("stage", list(SMALL), ids=[stage.STAGE for stage in SMALL])


STEPS = 40


def train(stage, data, run, *words, steps=STEPS):
    common = [
        "train",
        "--data",
        data,
        "--run-dir",
        run,
        "--steps",
        steps,
        "--device",
        "cpu",
        "--workers",
        0,
        "--ema",
        0.9,
    ]
    return stage.main([str(word) for word in (*common, *SMALL[stage], *words)])


@pytest.fixture(autouse=True)
def few_evaluations(monkeypatch):
    monkeypatch.setattr(engine, "EVALUATIONS", 2)


@pytest.fixture(scope="module")
def trained(data_folder, tmp_path_factory):
    """A finished run of every stage: stage -> run folder."""
    runs = {}

    def run(stage):
        if stage not in runs:
            runs[stage] = tmp_path_factory.mktemp("runs") / stage.STAGE
            assert train(stage, data_folder, runs[stage]) == 0
        return runs[stage]

    return run


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def equal(a, b):
    """The same plain types and tensors, bit for bit."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
    if torch.is_tensor(a):
        return torch.is_tensor(b) and a.dtype == b.dtype and torch.equal(a, b)
    return a == b


# ------------------------------------------------------------------------------- the parts


def test_learning_rate_warms_up_and_falls_along_a_cosine():
    rates = [engine.schedule(step, 1000, 2e-3) for step in range(1000)]
    assert (
        rates[0] == pytest.approx(2e-3 / 30)
        and rates[14] == pytest.approx(1e-3)
        and rates[29] == pytest.approx(2e-3)
    )
    assert max(rates) == pytest.approx(2e-3) and rates.index(max(rates)) in (29, 30)
    assert all(a < b for a, b in itertools.pairwise(rates[:30])) and all(
        a > b for a, b in itertools.pairwise(rates[30:])
    )
    assert rates[515] == pytest.approx(2e-3 * (0.01 + 0.99 / 2)) and rates[-1] == pytest.approx(
        2e-5, rel=0.01
    )
    long = [engine.schedule(step, 10**6, 1.0) for step in (0, 499, 999, 1000)]
    assert long == pytest.approx([1e-3, 0.5, 1, 1])  # at most 1000 steps of warm-up
    assert 0 < engine.schedule(0, 1, 1.0) <= 1 and 0 < engine.schedule(2, 3, 1.0) < 1


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_batches_of_all_processes_are_the_global_batch(first, world):
    parts = [list(engine.Batches(first, 7, 8, rank, world)) for rank in range(world)]
    whole = [list(range(step * 8, step * 8 + 8)) for step in range(first, 7)]
    assert [sorted(number for part in parts for number in part[step]) for step in range(7 - first)] == whole
    assert len(engine.Batches(first, 7, 8, 0, world)) == 7 - first


def test_weight_decay_is_for_kernels_only():
    net = segment.build({"width": 8})
    kernels, others = engine.make_optimizer(net, 1e-3).param_groups
    assert kernels["weight_decay"] > 0 and others["weight_decay"] == 0
    assert all(p.dim() == 4 for p in kernels["params"]) and all(p.dim() == 1 for p in others["params"])
    assert {id(p) for group in (kernels, others) for p in group["params"]} == {
        id(p) for p in net.parameters()
    }


def test_the_average_follows_weights_and_statistics():
    net = torch.nn.BatchNorm1d(1)
    average = engine.Average(net, 0.5)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.running_mean.fill_(7.0)
        net.num_batches_tracked.fill_(4)
    average.update(net, 100)
    # 0.5 * 1 + 0.5 * 3, of 0 and 7
    assert average.net.weight.item() == 2 and average.net.running_mean.item() == 3.5
    assert average.net.num_batches_tracked.item() == 4
    average.update(net, 0)  # a young average: decay (0 + 1) / (0 + 10)
    assert average.net.weight.item() == pytest.approx(0.1 * 2 + 0.9 * 3) and not average.net.training
    assert not average.net.weight.requires_grad and average.net.weight is not net.weight


def test_device_names(monkeypatch):
    assert engine.pick_device("cpu") == torch.device("cpu")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(ValueError, match=f"--device {name}: ") as caught:
            engine.pick_device(name)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert engine.pick_device("auto") == torch.device("cpu")


def test_number_types():
    assert (
        engine.positive(int)("3") == 3
        and engine.positive(float)("1e-3") == 1e-3
        and engine.share("0.5") == 0.5
    )
    for kind, text in ((int, "0"), (int, "-1"), (int, "1.5"), (float, "nan"), (float, "inf"), (float, "0")):
        with pytest.raises(ValueError):
            engine.positive(kind)(text)
    for text in ("-0.1", "1.1", "nan"):
        with pytest.raises(ArgumentTypeError):
            engine.share(text)


def test_rows_come_back_in_the_order_of_the_list(monkeypatch):
    items = list(range(7))
    processes = [Namespace(rank=rank, world=3) for rank in range(3)]
    shares = [engine.Processes.share(process, items) for process in processes]
    assert sorted(itertools.chain(*shares)) == items and max(map(len, shares)) - min(map(len, shares)) <= 1

    def all_gather_object(parts, rows):
        parts[:] = shares

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    for process, rows in zip(processes, shares):
        assert engine.Processes.gather(process, rows) == items


# ------------------------------------------------------------------------------ a whole run


@STAGES
def test_training_lowers_the_loss(trained, data_folder, tmp_path, stage):
    run = trained(stage)
    start = stage.build(json.loads((run / "args.json").read_text())["network"])
    if stage is inpaint:  # begins with the smooth filling, which is hard to beat: here from bad weights
        content = checkpoint.weights(stage.STAGE, "", {}, randomized(start), {}, {})
        checkpoint.save(tmp_path / "start.pt", content)
        run = tmp_path / "run"
        assert train(stage, data_folder, run, "--weights", tmp_path / "start.pt") == 0
    else:
        torch.manual_seed(0)
        start = stage.build(json.loads((run / "args.json").read_text())["network"])
    content = json.loads((run / "args.json").read_text())
    args = Namespace(**{**content, "data": Path(content["data"])})
    samples = SAMPLES[stage](args)
    batch = torch.utils.data.default_collate([samples[10**6 + number] for number in range(12)])

    def loss(net):
        with torch.no_grad():
            return float(stage.step(net.train(), batch, args, lambda x: x)["loss"])

    before = loss(start)
    start.load_state_dict(checkpoint.read(run / "last.pt")["net"])
    assert loss(start) < 0.9 * before


@STAGES
def test_a_run_folder(trained, data_folder, stage):
    run = trained(stage)
    content = json.loads((run / "args.json").read_text())
    assert content["stage"] == stage.STAGE and content["version"] == engine.VERSION
    assert (
        content["data"] == str(data_folder) and content["steps"] == STEPS and content["network"]["width"] == 8
    )
    rows = log(run)
    assert [row["step"] for row in rows if "loss" in row] == [1]  # the next is 50
    evaluations = [row for row in rows if "score" in row]
    assert [row["step"] for row in evaluations] == [STEPS // 2, STEPS] and all(
        row["evaluation_s"] > 0 for row in evaluations
    )
    assert rows[0]["samples_per_s"] > 0 and rows[0]["lr"] > 0 and math.isfinite(rows[0]["loss"])
    (best,) = run.glob("best-*.pt")
    training = checkpoint.read_weights(best, stage.STAGE)["training"]
    assert best.name == f"best-{training['done']}.pt"
    # the log is rounded
    assert training["result"]["score"] == pytest.approx(max(row["score"] for row in evaluations), abs=1e-6)
    drawn = {segment: ["v"], inpaint: ["p", "q"], colorize: ["p", "q"]}[stage]
    expected = [
        "args.json",
        "log.jsonl",
        "last.pt",
        best.name,
        "curves.png",
        *(f"samples/{name}.png" for name in drawn),
    ]
    assert sorted(contents(run)) == sorted(expected)
    assert 10 < rows[0]["memory_mb"] < 10**5 and content["commit"] in (None, run_folder.commit())


@STAGES
def test_pictures_of_a_run(trained, stage):
    """Input, prediction and truth of fixed validation photographs, and the curves."""
    run = trained(stage)
    assert np.asarray(Image.open(run / "curves.png")).min() < 255
    strip = np.asarray(Image.open(next((run / "samples").iterdir()))).astype(int)
    shown, predicted, truth = np.split(strip, 3, 1)
    assert strip.shape[0] in (48, 64) and len(np.unique(shown)) > 10
    if stage is segment:
        assert set(np.unique(truth)) <= {0, 128, 255} and len(np.unique(predicted)) > 2
    elif stage is inpaint:  # equal where nothing was to do
        kept = shown.max(2) > 0
        assert 0.7 < kept.mean() < 1 and np.abs(predicted - truth)[kept].max() <= 1
    else:
        assert (shown[..., 0] == shown[..., 2]).all() and (truth[..., 0] != truth[..., 2]).any()


@STAGES
def test_the_best_checkpoint_is_a_weights_file_ready_to_use(trained, stage):
    (best,) = trained(stage).glob("best-*.pt")
    content = checkpoint.read_weights(best, stage.STAGE)
    training = content["training"]
    assert training["done"] in (STEPS // 2, STEPS) and training["lr"] > 0 and "score" in training["result"]
    assert (
        content["infer"].keys()
        == {segment: {"threshold", "sure"}, inpaint: {"hole_share"}, colorize: set()}[stage]
    )
    predictor = stage.load(best, torch.device("cpu"))
    assert (predictor[0] if stage is segment else predictor).net is not None
    state = checkpoint.read(trained(stage) / "last.pt")
    if training["done"] == STEPS:  # the averaged weights, not the last ones
        for name, x in state["average"].items():
            assert torch.equal(content["state"][name], x.half() if x.is_floating_point() else x)


def test_a_finished_run_is_left_as_it_is(trained, data_folder):
    run = trained(segment)
    before = contents(run)
    assert train(segment, data_folder, run) == 0
    assert before == contents(run)


def test_an_adversarial_run_goes_on_bit_for_bit(trained, data_folder, tmp_path, monkeypatch):
    """Both networks and both optimizers, without the critic that the run began from."""
    (start,), begun = trained(colorize).glob("best-*.pt"), tmp_path / "begun"
    begun.mkdir()
    (begun / "start.pt").write_bytes(start.read_bytes())
    words = ["--adversarial-weight", 0.01, "--critic-width", 4, "--weights", begun / "start.pt"]
    assert train(colorize, data_folder, begun / "critic", *words, steps=2) == 0
    words += ["--critic-weights", begun / "critic/last.pt"]
    assert train(colorize, data_folder, tmp_path / "whole", *words, steps=8) == 0
    with monkeypatch.context() as patch:
        stopped_at(colorize, patch, 5, signals=1)
        assert train(colorize, data_folder, tmp_path / "halves", *words, steps=8) == 130
    shutil.rmtree(begun / "critic")
    assert train(colorize, data_folder, tmp_path / "halves", *words, steps=8) == 0
    whole, halves = (checkpoint.read(tmp_path / run / "last.pt") for run in ("whole", "halves"))
    assert whole["critic"]["optimizer"]["state"] and whole["done"] == halves["done"] == 8
    for name in ("net", "average", "optimizer", "critic", "best"):
        assert equal(halves[name], whole[name]), name


def test_a_critic_without_finite_gradients_stands_still():
    net = torch.nn.Linear(2, 1)
    critic = engine.Critic(net, Namespace(critic_lr=0.1), engine.Processes("cpu"), None)
    before = [x.clone() for x in net.parameters()]
    critic.step(net(torch.ones(1, 2)).sum() * float("nan"), torch.zeros(()))
    assert all(torch.equal(x, y) for x, y in zip(net.parameters(), before))
    critic.step(net(torch.ones(1, 2)).sum(), torch.zeros(()))
    assert not torch.equal(net.weight, before[0])


def stopped_at(stage, monkeypatch, number, signals, signum=signal.SIGTERM):
    """`step` that gets this process a signal in its call `number`."""
    real, calls = stage.step, []

    def step(*arguments, **networks):
        calls.append(1)
        if len(calls) == number:
            for _ in range(signals):
                os.kill(os.getpid(), signum)
        return real(*arguments, **networks)

    monkeypatch.setattr(stage, "step", step)


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("stage, workers", [(segment, 0), (inpaint, 1), (colorize, 0), (colorize, 1)])
def test_a_stopped_run_goes_on_bit_for_bit(
    trained, data_folder, tmp_path, monkeypatch, capsys, stage, workers
):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        stopped_at(stage, patch, 7, signals=1 + workers, signum=signal.SIGINT if workers else signal.SIGTERM)
        assert train(stage, data_folder, tmp_path, "--workers", workers) == 130
    assert "stopped at step 7; the same command goes on from there" in capsys.readouterr().err
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert set(contents(tmp_path)) == {"args.json", "log.jsonl", "last.pt"}
    assert checkpoint.read(tmp_path / "last.pt")["done"] == 7
    assert train(stage, data_folder, tmp_path, "--workers", workers) == 0
    resumed, whole = (checkpoint.read(run / "last.pt") for run in (tmp_path, trained(stage)))
    assert resumed["done"] == whole["done"] == STEPS
    for name in ("net", "average", "optimizer", "best"):
        assert equal(resumed[name], whole[name]), name
    (best,) = trained(stage).glob("best-*.pt")
    ours, theirs = (checkpoint.read(run / best.name) for run in (tmp_path, trained(stage)))
    assert equal(ours["state"], theirs["state"]) and ours["infer"] == theirs["infer"]


def test_a_killed_run_goes_on_from_the_last_save(trained, data_folder, tmp_path, monkeypatch):
    """Nothing was said to the process: it goes on from the last regular save, and ends at the
    same weights.
    """
    monkeypatch.setattr(engine, "SAVE_EVERY", 5)
    with monkeypatch.context() as patch:
        real, calls = colorize.step, []

        def step(*arguments):
            calls.append(1)
            if len(calls) == 9:
                raise SystemExit(9)
            return real(*arguments)

        patch.setattr(colorize, "step", step)
        with pytest.raises(SystemExit):
            train(colorize, data_folder, tmp_path)
    assert checkpoint.read(tmp_path / "last.pt")["done"] == 5
    with open(tmp_path / "log.jsonl", "a") as file:  # what it did after the save, and half a line
        file.write('{"step": 8, "loss": 1.0}\n{"step": 9, "lo')
    (tmp_path / ".last.pt.77.tmp").write_bytes(b"half")
    assert train(colorize, data_folder, tmp_path) == 0
    assert [row["step"] for row in log(tmp_path)] == [row["step"] for row in log(trained(colorize))]
    assert not list(tmp_path.glob(".*"))
    resumed, whole = (checkpoint.read(run / "last.pt") for run in (tmp_path, trained(colorize)))
    assert all(equal(resumed[name], whole[name]) for name in ("net", "average", "optimizer", "best"))


@pytest.mark.parametrize(
    "stage, words, names",
    [
        (segment, ["--lr", "1e-4"], "--lr"),
        (segment, ["--batch-size", "8", "--seed", "3"], "--batch-size, --seed"),
        (segment, ["--dice-weight", "2"], "--dice-weight"),
        (inpaint, ["--hole-share", "0.1", "0.2"], "--hole-share"),
        (inpaint, ["--steps", "50"], "--steps"),
    ],
)
def test_a_changed_option_is_refused_by_name(trained, data_folder, capsys, stage, words, names):
    before = contents(trained(stage))
    capsys.readouterr()
    assert train(stage, data_folder, trained(stage), *words) == 2
    error = capsys.readouterr().err
    assert f"started with another {names}; give another --run-dir" in error and error.count("\n") == 1
    assert before == contents(trained(stage))


def test_what_does_not_change_the_result_may_change(trained, data_folder):
    """And a default may be spelt out."""
    assert train(segment, data_folder, trained(segment), "--workers", 1, "--keep", 5, "--seed", 0) == 0
    assert train(inpaint, data_folder, trained(inpaint), "--hole-share", 0.002, 0.25) == 0


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_keep(data_folder, tmp_path, monkeypatch):
    """Also over a stop: the best so far are remembered."""
    monkeypatch.setattr(engine, "EVALUATIONS", 5)
    with monkeypatch.context() as patch:
        stopped_at(colorize, patch, 3, signals=1)
        assert train(colorize, data_folder, tmp_path, "--keep", 4, steps=5) == 130
    assert train(colorize, data_folder, tmp_path, "--keep", 4, steps=5) == 0
    scores = {f"best-{row['step']}.pt": row["score"] for row in log(tmp_path) if "score" in row}
    assert len(scores) == 5
    kept = {path.name for path in tmp_path.glob("best-*.pt")}
    assert len(kept) == 4 and sorted(scores[name] for name in kept) == sorted(scores.values())[-4:]
    assert [name for _, name in checkpoint.read(tmp_path / "last.pt")["best"]] == sorted(
        kept, key=scores.get, reverse=True
    )


@STAGES
def test_dry_run_prints_json_and_leaves_nothing(data_folder, tmp_path, capsys, stage):
    assert train(stage, data_folder, tmp_path / "run", "--dry-run") == 0
    derived = json.loads(capsys.readouterr().out)
    assert (
        derived["stage"] == stage.STAGE and derived["processes"] == 1 and derived["samples_per_process"] == 4
    )
    assert derived["parameters"] == sum(p.numel() for p in stage.build(derived["network"]).parameters())
    assert derived["crop"] == 64 and derived["device"] == "cpu" and "run" not in derived
    assert not (tmp_path / "run").exists()


def test_fine_tuning_starts_from_weights(trained, data_folder, tmp_path):
    (best,) = trained(segment).glob("best-*.pt")
    assert train(segment, data_folder, tmp_path, "--weights", best, "--lr", "1e-9", steps=1) == 0
    start = checkpoint.read_weights(best, "segment")["state"]
    net = checkpoint.read(tmp_path / "last.pt")["net"]
    kernels = [name for name, x in net.items() if x.dim() == 4]
    assert kernels and all((net[name] - start[name].float()).abs().max() < 1e-6 for name in kernels)


def test_fine_tuning_takes_the_network_of_its_weights_and_says_what_it_brought(
    trained, data_folder, tmp_path, capsys
):
    """A folder of one's own masks is enough: no clean photographs, no validation part."""
    (best,) = trained(segment).glob("best-*.pt")
    own = tmp_path / "own"
    shutil.copytree(data_folder / "labelled", own / "labelled")
    words = [
        "train",
        "--data",
        own,
        "--run-dir",
        tmp_path / "run",
        "--weights",
        best,
        "--labelled-share",
        1,
        "--steps",
        2,
        "--crop",
        64,
        "--batch-size",
        2,
        "--lr",
        1e-9,
        "--device",
        "cpu",
        "--workers",
        0,
    ]
    assert segment.main([str(word) for word in words]) == 0
    scores = [row["score"] for row in log(tmp_path / "run") if "score" in row]
    assert [row["step"] for row in log(tmp_path / "run") if "score" in row] == [0, 1, 2]
    assert f"score: {scores[0]:.4f} before, {scores[-1]:.4f} after" in capsys.readouterr().err
    assert json.loads((tmp_path / "run/args.json").read_text())["network"]["width"] == 8
    assert segment.main([str(word) for word in (*words, "--width", 16)]) == 2
    assert f"--width 16: the network of {best} has 8" in capsys.readouterr().err


def test_cross_validation_measures_on_what_it_does_not_train_on(data_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(data_folder, folder)
    for part in ("images", "masks"):
        for name in "bc":
            shutil.copy(folder / f"labelled/{part}/scratched.png", folder / f"labelled/{part}/{name}.png")
    args = Namespace(data=folder, seed=0, crop=64, labelled_share=1.0, hold_out="3/3")
    assert [path.stem for path, _ in measured_pairs(folder, "3/3")] == ["scratched"]
    assert len(datasets.SegmentSamples(args).labelled) == 2
    assert train(segment, folder, tmp_path / "run", "--hold-out", "1/3", steps=1) == 0
    assert [path.name for path in (tmp_path / "run/samples").iterdir()] == ["b.png"]
    assert train(segment, folder, tmp_path / "none", "--hold-out", "5/9", steps=1) == 2
    assert "no labelled photographs in fold 5/9" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train(segment, folder, tmp_path / "none", "--hold-out", "4/3", steps=1)


def test_mistakes_give_one_line_and_status_2(trained, data_folder, tmp_path, capsys):
    (colors,) = trained(colorize).glob("best-*.pt")
    capsys.readouterr()
    for data, words, reason in (
        (data_folder, ["--weights", colors], "weights of colorize, but segment was asked for"),
        (data_folder, ["--weights", tmp_path / "none.pt"], "no such weights file"),
        (data_folder, ["--weights", data_folder / "clean/people/a.png"], "not a readable weights file"),
        (data_folder, ["--encoder-weights", tmp_path / "none.pt"], "no such weights file"),
        (
            data_folder,
            ["--encoder-weights", colors],
            f"--encoder-weights {colors}: published weights need --width 64, not 8",
        ),
        (
            data_folder,
            ["--encoder-weights", colors, "--width", "64"],
            "not a torchvision ResNet of the same depth",
        ),
        (data_folder, ["--device", "cuda:99"], "--device cuda:99"),
        (tmp_path, [], "labelled: no labelled photographs to measure on"),
        (data_folder, ["--crop", "60"], "--crop 60"),
    ):
        assert train(segment, data, tmp_path / "run", *words, steps=1) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1, error
        assert not (tmp_path / "run/last.pt").exists()


def test_a_batch_that_cannot_be_shared_is_refused(data_folder, tmp_path, monkeypatch, capsys):
    three = Namespace(rank=0, world=3, device=torch.device("cpu"), close=lambda: None)
    monkeypatch.setattr(engine, "Processes", lambda *_, **__: three)
    assert train(segment, data_folder, tmp_path / "run") == 2
    assert "--batch-size 4 cannot be shared by 3 processes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def poisoned(monkeypatch, numbers):
    real, calls = colorize.step, []

    def step(*arguments):
        calls.append(1)
        losses = real(*arguments)
        if len(calls) in numbers:
            losses["loss"] = losses["loss"] * float("nan")
        return losses

    monkeypatch.setattr(colorize, "step", step)


def test_a_step_without_a_finite_gradient_is_skipped(data_folder, tmp_path, monkeypatch, capsys):
    poisoned(monkeypatch, {2, 3})
    monkeypatch.setattr(engine, "LOG_EVERY", 2)
    monkeypatch.setattr(engine, "READ_EVERY", 1)
    assert train(colorize, data_folder, tmp_path, steps=5) == 0
    rows = [
        json.loads(line, parse_constant=pytest.fail)
        for line in (tmp_path / "log.jsonl").read_text().splitlines()
    ]
    assert [row["step"] for row in rows if "skipped" in row] == [2, 3]
    state = checkpoint.read(tmp_path / "last.pt")
    assert all(torch.isfinite(x).all() for x in [*state["net"].values(), *state["average"].values()])
    assert {int(entry["step"]) for entry in state["optimizer"]["state"].values()} == {3}


def test_a_run_that_went_wrong_gives_up(data_folder, tmp_path, monkeypatch, capsys):
    poisoned(monkeypatch, set(range(3, 100)))
    monkeypatch.setattr(engine, "MAX_BAD_STEPS", 4)
    monkeypatch.setattr(engine, "READ_EVERY", 1)
    assert train(colorize, data_folder, tmp_path, steps=60) == 1
    assert "lower --lr" in capsys.readouterr().err
    assert sum("skipped" in row for row in log(tmp_path)) == 4


def test_losses_are_read_now_and_then(data_folder, tmp_path, monkeypatch):
    """However seldom the device is asked: the same means in the log, and no step lost or counted twice."""
    for every in (1, 4, 50):
        with monkeypatch.context() as patch:
            poisoned(patch, {4})
            patch.setattr(engine, "LOG_EVERY", 6)
            patch.setattr(engine, "READ_EVERY", every)
            assert train(colorize, data_folder, tmp_path / str(every), steps=12) == 0
    losses = [
        [(row["step"], row["loss"]) for row in log(tmp_path / name) if "loss" in row]
        for name in ("1", "4", "50")
    ]
    assert [step for step, _ in losses[0]] == [1, 6, 12] and losses[0] == losses[1] == losses[2]


@STAGES
def test_bfloat16_trains(data_folder, tmp_path, stage):
    assert train(stage, data_folder, tmp_path, "--precision", "bf16", steps=2) == 0
    state = checkpoint.read(tmp_path / "last.pt")
    assert all(torch.isfinite(x).all() and x.dtype != torch.bfloat16 for x in state["net"].values())


@STAGES
def test_frozen_statistics(data_folder, tmp_path, stage):
    """From half of the steps on the norms keep theirs, and the weights go on."""
    states = {}
    for steps_done in (2, 4):
        run = tmp_path / str(steps_done)
        with pytest.MonkeyPatch.context() as patch:
            if steps_done == 2:
                stopped_at(stage, patch, 2, signals=1)
            train(stage, data_folder, run, "--freeze-bn-from", 0.5, steps=4)
        states[steps_done] = checkpoint.read(run / "last.pt")["net"]
    same = {name: torch.equal(x, states[4][name]) for name, x in states[2].items()}
    statistics = [name for name in same if "running" in name]
    assert statistics and all(same[name] for name in statistics)
    assert not any(same[name] for name, x in states[2].items() if x.dim() == 4)


@STAGES
def test_either_norm(data_folder, tmp_path, stage):
    for name in ("batch", "inplace"):
        assert train(stage, data_folder, tmp_path / name, "--norm", name, steps=1) == 0
    nets = {
        name: stage.build(json.loads((tmp_path / name / "args.json").read_text())["network"])
        for name in ("batch", "inplace")
    }
    assert any(isinstance(module, InPlaceABN) for module in nets["inplace"].modules())
    assert not any(isinstance(module, InPlaceABN) for module in nets["batch"].modules())


def test_an_unreadable_photograph_is_named_in_one_line(data_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(data_folder, folder)
    for path in (folder / "clean").rglob("*.*"):
        path.write_bytes(path.read_bytes()[:300])
    assert train(colorize, folder, tmp_path / "run", "--workers", 1, steps=1) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(folder / "clean") in error and "Traceback" not in error


# ------------------------------------------------------------------------------- several processes

torchrun = pytest.mark.skipif(
    not torch.distributed.is_available() or not Path("/proc/self/task").exists(),
    reason="needs torch.distributed, and Linux to find the processes that torchrun starts",
)


def start(stage, *words, restarts=0):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        f"--max-restarts={restarts}",
        stage.__file__,
        *words,
    ]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process, condition):
    end = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def children(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@torchrun
def test_two_processes_stopped_killed_and_resumed(data_folder, tmp_path):
    """60 steps of two processes; the same with SIGTERM on the way and, resumed, SIGKILL for one of them:
    equal weights.
    """
    words = ["--steps", 60, "--device", "cpu", "--workers", 0, "--ema", 0.9, *SMALL[segment]]
    words = ["train", "--data", data_folder, *words, "--run-dir"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    process = start(segment, *words, whole)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    rows = log(whole)
    assert [row["step"] for row in rows if "loss" in row] == [1, 50]  # written once, not twice
    assert len(list(whole.glob("best-*.pt"))) == 1

    process = start(segment, *words, stopped)
    wait_for(process, lambda: any(row["step"] >= 10 for row in run_folder.read_log(stopped)))
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0
    done = checkpoint.read(stopped / "last.pt")["done"]
    assert 10 <= done < 60 and f"stopped at step {done}" in error

    process = start(segment, *words, stopped, restarts=1)
    wait_for(process, lambda: any(row["step"] >= done + 10 for row in run_folder.read_log(stopped)))
    os.kill(children(process)[-1], signal.SIGKILL)
    assert checkpoint.read(stopped / "last.pt")["done"] > done  # readable at any moment
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    first, second = (checkpoint.read(run / "last.pt") for run in (whole, stopped))
    assert first["done"] == second["done"] == 60
    assert all(equal(first[name], second[name]) for name in ("net", "average", "optimizer", "best"))
    scores = [[(row["step"], row["score"]) for row in log(run) if "score" in row] for run in (whole, stopped)]
    assert scores[0] == scores[1] and len(scores[0]) == 12


@torchrun
@STAGES
def test_eval_of_two_processes(data_folder, tiny_weights, capsys, stage):
    words = ["eval", "--data", data_folder, "--weights", tiny_weights[stage.STAGE], "--device", "cpu"]
    assert stage.main([str(word) for word in words]) == 0
    alone = json.loads(capsys.readouterr().out)
    process = start(stage, *words)
    output, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert json.loads(output) == alone
