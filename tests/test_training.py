"""A whole training run of every stage: the loss falls, and a run folder holds what it should."""

import json
import math
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from conftest import randomized
from PIL import Image
from runs import STAGES, STEPS, contents, log, poisoned, stopped_at, train

import colorize
import engine
import inpaint
import segment
from data import checkpoint, run_folder
from data.datasets import ColorizeSamples, InpaintSamples, SegmentSamples
from engine import training
from nets.norm import InPlaceABN

SAMPLES = {
    segment: partial(SegmentSamples, labelled_share=0.25),
    inpaint: partial(InpaintSamples, hole_share=(0.002, 0.25), mask_share=0.25),
    colorize: partial(ColorizeSamples, hint_share=0.5),
}
LOSSES = {
    segment: {"positive_weight": "auto", "dice_weight": 1.0},
    inpaint: {"hole_weight": 6.0, "valid_weight": 1.0, "tv_weight": 0.1},
    colorize: {"chroma_weight": 6.0, "l1_weight": 1.0},
}


def network_of(run):
    return json.loads((run / "args.json").read_text())["network"]


@STAGES
def test_training_lowers_the_loss(trained, data_folder, tmp_path, stage):
    run = trained(stage)
    torch.manual_seed(0)
    start = stage.build(network_of(run))
    if stage is inpaint:  # begins with the smooth filling, which is hard to beat: here from bad weights
        content = checkpoint.weights(stage.STAGE, "", {}, randomized(start), {}, {})
        checkpoint.save(tmp_path / "start.pt", content)
        run = tmp_path / "run"
        assert train(stage, data_folder, run, "--weights", tmp_path / "start.pt") == 0
    samples = SAMPLES[stage](data_folder, seed=0, side=64)
    batch = torch.utils.data.default_collate([samples[10**6 + number] for number in range(12)])

    def loss(net):
        with torch.no_grad():
            losses = stage.compute_losses(net.train(), batch, **LOSSES[stage], total=lambda x: x)
        return float(losses["loss"])

    before = loss(start)
    start.load_state_dict(checkpoint.read(run / "last.pt")["net"])
    assert loss(start) < 0.9 * before


@STAGES
def test_a_run_folder(trained, data_folder, stage):
    run = trained(stage)
    (best,) = run.glob("best-*.pt")
    drawn = {segment: ["v"], inpaint: ["p", "q"], colorize: ["p", "q"]}[stage]
    files = ["args.json", "log.jsonl", "last.pt", best.name, "curves.png"]
    assert sorted(contents(run)) == sorted([*files, *(f"samples/{name}.png" for name in drawn)])

    content = json.loads((run / "args.json").read_text())
    assert content["stage"] == stage.STAGE
    assert content["version"] == engine.VERSION
    assert content["data"] == str(data_folder)
    assert content["steps"] == STEPS
    assert content["network"]["width"] == 8
    assert content["commit"] in (None, run_folder.commit())


@STAGES
def test_the_log_of_a_run(trained, stage):
    run = trained(stage)
    rows = log(run)
    assert [row["step"] for row in rows if "loss" in row] == [1]  # the next is 50
    assert rows[0]["samples_per_s"] > 0
    assert rows[0]["lr"] > 0
    assert math.isfinite(rows[0]["loss"])
    assert 10 < rows[0]["memory_mb"] < 10**5
    evaluations = [row for row in rows if "score" in row]
    assert [row["step"] for row in evaluations] == [STEPS // 2, STEPS]
    assert all(row["evaluation_s"] > 0 for row in evaluations)
    (best,) = run.glob("best-*.pt")
    stored = checkpoint.read_weights(best, stage.STAGE)["training"]
    assert best.name == f"best-{stored['done']}.pt"
    highest = max(row["score"] for row in evaluations)
    assert stored["result"]["score"] == pytest.approx(highest, abs=1e-6)  # the log is rounded


@STAGES
def test_pictures_of_a_run(trained, stage):
    """Input, prediction and truth of fixed validation photographs, and the curves."""
    run = trained(stage)
    assert np.asarray(Image.open(run / "curves.png")).min() < 255
    strip = np.asarray(Image.open(next((run / "samples").iterdir()))).astype(int)
    shown, predicted, truth = np.split(strip, 3, 1)
    assert strip.shape[0] in (48, 64)
    assert len(np.unique(shown)) > 10
    if stage is segment:
        assert set(np.unique(truth)) <= {0, 128, 255}
        assert len(np.unique(predicted)) > 2
    elif stage is inpaint:  # equal where nothing was to do
        kept = shown.max(2) > 0
        assert 0.7 < kept.mean() < 1
        assert np.abs(predicted - truth)[kept].max() <= 1
    else:
        assert (shown[..., 0] == shown[..., 2]).all()
        assert (truth[..., 0] != truth[..., 2]).any()


@STAGES
def test_the_best_checkpoint_is_a_weights_file_ready_to_use(trained, stage):
    (best,) = trained(stage).glob("best-*.pt")
    content = checkpoint.read_weights(best, stage.STAGE)
    settings = {segment: {"threshold", "sure"}, inpaint: {"hole_share"}, colorize: set()}[stage]
    assert content["infer"].keys() == settings
    assert content["training"]["done"] in (STEPS // 2, STEPS)
    assert content["training"]["lr"] > 0
    predictor = stage.load(best, torch.device("cpu"))
    holder = {segment: lambda: predictor[0], colorize: lambda: predictor.predictor}.get(
        stage, lambda: predictor
    )()
    assert not holder.net.training
    state = checkpoint.read(trained(stage) / "last.pt")
    if content["training"]["done"] == STEPS:  # the averaged weights, not the last ones
        for name, x in state["ema"].items():
            assert torch.equal(
                content["state"][name], x.half() if x.is_floating_point() and x.dim() > 1 else x
            )


def test_a_finished_run_is_left_as_it_is(trained, data_folder, capsys):
    run = trained(segment)
    before = contents(run)
    capsys.readouterr()
    assert train(segment, data_folder, run) == 0
    assert before == contents(run)
    (best,) = run.glob("best-*.pt")
    assert capsys.readouterr().err == f"this run has finished, at step {STEPS}; its best weights are {best}\n"


@STAGES
def test_bfloat16_trains(data_folder, tmp_path, stage):
    assert train(stage, data_folder, tmp_path, "--precision", "bf16", steps=2) == 0
    for x in checkpoint.read(tmp_path / "last.pt")["net"].values():
        assert torch.isfinite(x).all()
        assert x.dtype != torch.bfloat16


@pytest.mark.parametrize("faster", ["bf16", "fp32"])
def test_auto_precision_is_that_of_the_start(data_folder, tmp_path, monkeypatch, faster):
    """Measured once: a run that goes on keeps its number format, even where another one is faster."""
    monkeypatch.setattr("nets.ops.precision.fastest", lambda device: faster)
    with pytest.MonkeyPatch.context() as patch:
        stopped_at(segment, patch, 1, signals=1)
        assert train(segment, data_folder, tmp_path / "auto", "--precision", "auto", steps=2) == 130
    other = {"bf16": "fp32", "fp32": "bf16"}[faster]
    monkeypatch.setattr("nets.ops.precision.fastest", lambda device: other)
    assert train(segment, data_folder, tmp_path / "auto", "--precision", "auto", steps=2) == 0
    assert train(segment, data_folder, tmp_path / "named", "--precision", faster, steps=2) == 0
    auto, named = (checkpoint.read(tmp_path / run / "last.pt") for run in ("auto", "named"))
    assert auto["args"]["precision"] == faster
    assert all(torch.equal(x, named["net"][name]) for name, x in auto["net"].items())


@STAGES
def test_frozen_statistics(data_folder, tmp_path, stage):
    """From half of the steps on the norms keep theirs, and the weights go on."""
    words = ["--freeze-bn-from", 0.5]
    with pytest.MonkeyPatch.context() as patch:
        stopped_at(stage, patch, 2, signals=1)
        assert train(stage, data_folder, tmp_path / "half", *words, steps=4) == 130
    assert train(stage, data_folder, tmp_path / "whole", *words, steps=4) == 0
    half, whole = (checkpoint.read(tmp_path / run / "last.pt")["net"] for run in ("half", "whole"))
    statistics = [name for name in half if "running" in name]
    assert statistics
    assert all(torch.equal(half[name], whole[name]) for name in statistics)
    assert not any(torch.equal(x, whole[name]) for name, x in half.items() if x.dim() == 4)


@STAGES
def test_either_norm(data_folder, tmp_path, stage):
    for name in ("batch", "inplace"):
        assert train(stage, data_folder, tmp_path / name, "--norm", name, steps=1) == 0
        net = stage.build(network_of(tmp_path / name))
        assert any(isinstance(module, InPlaceABN) for module in net.modules()) == (name == "inplace")


def test_a_step_without_a_finite_gradient_is_skipped(data_folder, tmp_path, monkeypatch):
    poisoned(colorize, monkeypatch, {2, 3})
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    monkeypatch.setattr(training, "READ_EVERY", 1)
    assert train(colorize, data_folder, tmp_path, steps=5) == 0
    assert [row["step"] for row in log(tmp_path) if "skipped" in row] == [2, 3]
    state = checkpoint.read(tmp_path / "last.pt")
    assert all(torch.isfinite(x).all() for x in [*state["net"].values(), *state["ema"].values()])
    assert {int(entry["step"]) for entry in state["optimizer"]["state"].values()} == {3}


@STAGES
def test_a_skipped_step_changes_no_statistics(data_folder, tmp_path, monkeypatch, stage):
    real, calls = stage.compute_losses, []

    def compute_losses(net, batch, **named):
        calls.append(1)
        return real(net, {**batch, "luma": batch["luma"] * (math.nan if len(calls) == 2 else 1)}, **named)

    monkeypatch.setattr(stage, "compute_losses", compute_losses)
    assert train(stage, data_folder, tmp_path, steps=3) == 0
    state = checkpoint.read(tmp_path / "last.pt")
    assert all(torch.isfinite(x).all() for x in [*state["net"].values(), *state["ema"].values()])


def test_results_of_another_run_stay(data_folder, trained, tmp_path, capsys):
    """A run without last.pt cannot go on, and its weights must not be taken for old ones of a new run."""
    folder = tmp_path / "run"
    shutil.copytree(trained(segment), folder)
    (folder / "last.pt").unlink()
    before = contents(folder)
    assert train(segment, data_folder, folder) == 2
    assert "has weights of another run, but no last.pt to go on from" in capsys.readouterr().err
    assert contents(folder) == before


def test_a_run_that_went_wrong_gives_up(data_folder, tmp_path, monkeypatch, capsys):
    poisoned(colorize, monkeypatch, set(range(3, 100)))
    monkeypatch.setattr(training, "MAX_BAD_STEPS", 4)
    monkeypatch.setattr(training, "READ_EVERY", 1)
    assert train(colorize, data_folder, tmp_path, steps=60) == 1
    assert "lower --lr" in capsys.readouterr().err
    assert sum("skipped" in row for row in log(tmp_path)) == 4


def test_losses_are_read_now_and_then(data_folder, tmp_path, monkeypatch):
    """However seldom the device is asked: the same means in the log, and no step lost or counted twice."""
    losses = []
    for every in (1, 4, 50):
        with monkeypatch.context() as patch:
            poisoned(colorize, patch, {4})
            patch.setattr(training, "LOG_EVERY", 6)
            patch.setattr(training, "READ_EVERY", every)
            assert train(colorize, data_folder, tmp_path / str(every), steps=12) == 0
        losses.append({row["step"]: row["loss"] for row in log(tmp_path / str(every)) if "loss" in row})
    assert list(losses[0]) == [1, 6, 12]
    for others in losses[1:]:  # up to rounding: they are summed in another order
        assert others == pytest.approx(losses[0], rel=1e-5)


def test_minutes_end_a_run_before_its_steps(data_folder, tmp_path, monkeypatch):
    """Weights of the annealed end are there, and the learning rate fell all the way."""
    monkeypatch.setattr(training, "READ_EVERY", 1)
    assert train(segment, data_folder, tmp_path, "--minutes", 0.02, steps=100000) == 0
    rows = log(tmp_path)
    done = max(row["step"] for row in rows)
    assert done < 100000
    assert list(tmp_path.glob("best-*.pt"))
    state = checkpoint.read(tmp_path / "last.pt")
    assert state["done"] == done
    assert state["seconds"] >= 1.2
    assert state["optimizer"]["param_groups"][0]["lr"] < 3e-3 / 2


def test_a_finished_run_does_not_name_weights_that_are_gone(trained, data_folder, tmp_path, capsys):
    run = shutil.copytree(trained(segment), tmp_path / "run")
    (best,) = run.glob("best-*.pt")
    best.unlink()
    capsys.readouterr()
    assert train(segment, data_folder, run) == 2
    error = capsys.readouterr().err
    assert f"its best weights {best} are gone: put the file back, or train again" in error
    assert error.count("\n") == 1


def test_weights_that_are_gone_are_not_the_best_of_a_run_that_goes_on(trained, data_folder, tmp_path):
    run = shutil.copytree(trained(segment), tmp_path / "run")
    for best in run.glob("best-*.pt"):
        best.unlink()
    state = checkpoint.read(run / "last.pt")
    former = [(math.inf, "best-20.pt")]
    checkpoint.save(run / "last.pt", {**state, "finished": False, "unevaluated": True, "best": former})
    assert train(segment, data_folder, run) == 0
    assert (run / f"best-{STEPS}.pt").exists()


def test_a_run_whose_minutes_are_used_up_has_finished(data_folder, tmp_path, capsys):
    assert train(segment, data_folder, tmp_path, "--minutes", 0.02, steps=100000) == 0
    before, done = contents(tmp_path), checkpoint.read(tmp_path / "last.pt")["done"]
    capsys.readouterr()
    assert train(segment, data_folder, tmp_path, "--minutes", 0.02, steps=100000) == 0
    assert before == contents(tmp_path)
    assert f"this run has finished, at step {done}" in capsys.readouterr().err


def test_the_minutes_of_a_run_add_up(data_folder, tmp_path, monkeypatch):
    """A run that was stopped after its time was used up, but before its last evaluation, goes on to that."""
    with monkeypatch.context() as patch:
        stopped_at(segment, patch, 2, signals=1)
        assert train(segment, data_folder, tmp_path, "--minutes", 60, steps=100000) == 130
    state = checkpoint.read(tmp_path / "last.pt")
    assert not state["finished"]
    checkpoint.save(tmp_path / "last.pt", {**state, "seconds": 3600.0})
    assert train(segment, data_folder, tmp_path, "--minutes", 60, steps=100000) == 0
    state = checkpoint.read(tmp_path / "last.pt")
    assert state["done"] <= 2 + training.READ_EVERY
    assert state["finished"]
    assert list(tmp_path.glob("best-*.pt"))


def test_a_run_saves_when_steps_are_slow(data_folder, tmp_path, monkeypatch):
    saved, save = [], training.RunFolder.save
    monkeypatch.setattr(training, "SAVE_SECONDS", 0)
    monkeypatch.setattr(
        training.RunFolder, "save", lambda run, state: (saved.append(state["done"]), save(run, state))
    )
    assert train(segment, data_folder, tmp_path, steps=4) == 0
    assert saved == [1, 2, 2, 3, 4, 4]  # before and after the evaluations at 2 and 4
