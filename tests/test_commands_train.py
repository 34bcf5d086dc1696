"""The command `train`: dry runs, fine-tuning, cross-validation, and mistakes of the user."""

import json
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace

import pytest
import torch
from PIL import Image
from runs import STAGES, log, train

import colorize
import inpaint
import segment
from data import checkpoint, published
from data.datasets import SegmentSamples
from data.errors import UserError
from data.labelled import measured_photos
from engine import commands, training
from nets.efficientnet import EfficientNetLite


@STAGES
def test_dry_run_prints_json_and_leaves_nothing(data_folder, tmp_path, capsys, stage):
    assert train(stage, data_folder, tmp_path / "run", "--dry-run") == 0
    derived = json.loads(capsys.readouterr().out)
    assert derived["stage"] == stage.STAGE
    assert derived["processes"] == 1
    assert derived["samples_per_process"] == 4
    assert derived["parameters"] == sum(p.numel() for p in stage.build(derived["network"]).parameters())
    assert derived["crop"] == 64
    assert derived["device"] == "cpu"
    assert "run" not in derived
    assert not (tmp_path / "run").exists()


def test_fine_tuning_starts_from_weights(trained, data_folder, tmp_path):
    (best,) = trained(segment).glob("best-*.pt")
    assert train(segment, data_folder, tmp_path, "--weights", best, "--lr", "1e-9", steps=1) == 0
    start = checkpoint.read_weights(best, "segment")["state"]
    net = checkpoint.read(tmp_path / "last.pt")["net"]
    kernels = [name for name, x in net.items() if x.dim() == 4]
    assert kernels
    assert all((net[name] - start[name].float()).abs().max() < 1e-6 for name in kernels)


def test_fine_tuning_takes_the_network_of_its_weights_and_says_what_it_brought(
    trained, data_folder, tmp_path, capsys
):
    """A folder of one's own masks is enough: no clean photographs, no validation part."""
    (best,) = trained(segment).glob("best-*.pt")
    own, run = tmp_path / "own", tmp_path / "run"
    shutil.copytree(data_folder / "labelled", own / "labelled")
    words = ["--data", own, "--run-dir", run, "--weights", best, "--labelled-share", 1, "--steps", 2]
    words += ["--crop", 64, "--batch-size", 2, "--lr", 1e-9, "--device", "cpu", "--workers", 0]
    words = ["train", *map(str, words)]
    assert segment.main(words) == 0
    scores = [(row["step"], row["score"]) for row in log(run) if "score" in row]
    assert [step for step, _ in scores] == [0, 1, 2]
    assert f"score: {scores[0][1]:.4f} before, {scores[-1][1]:.4f} after" in capsys.readouterr().err
    assert json.loads((run / "args.json").read_text())["network"]["width"] == 8
    assert segment.main([*words, "--width", "16"]) == 2
    assert f"--width 16: the network of {best} has 8" in capsys.readouterr().err


def test_cross_validation_measures_on_what_it_does_not_train_on(data_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(data_folder, folder)
    for part in ("images", "masks"):
        for name in "bc":
            shutil.copy(folder / f"labelled/{part}/scratched.png", folder / f"labelled/{part}/{name}.png")
    assert [photo.name for photo in measured_photos(folder, "3/3")] == ["scratched.png"]
    samples = SegmentSamples(folder, seed=0, side=64, labelled_share=1.0, hold_out="3/3")
    assert len(samples.labelled) == 2
    assert train(segment, folder, tmp_path / "run", "--hold-out", "1/3", steps=1) == 0
    assert [path.name for path in (tmp_path / "run/samples").iterdir()] == ["b.png"]
    assert train(segment, folder, tmp_path / "none", "--hold-out", "5/9", steps=1) == 2
    assert "no labelled photographs in fold 5/9" in capsys.readouterr().err
    for wrong in ("4/3", "1/1", "0/3", "2", "a/b"):
        with pytest.raises(SystemExit):
            train(segment, folder, tmp_path / "none", "--hold-out", wrong, steps=1)
        assert f"{wrong!r} is not I/N with I from 1 to N, such as 1/5" in capsys.readouterr().err


def test_a_run_folder_that_is_a_file_is_named(data_folder, tmp_path, capsys):
    (tmp_path / "run").write_text("mine")
    assert train(segment, data_folder, tmp_path / "run", steps=1) == 2
    assert capsys.readouterr().err.endswith(f": --run-dir {tmp_path}/run is a file: give a folder\n")


def test_mistakes_give_one_line_and_status_2(trained, data_folder, tmp_path, capsys):
    (colors,) = trained(colorize).glob("best-*.pt")
    none, picture = tmp_path / "none.pt", data_folder / "clean/people/a.png"
    narrow = f"--encoder-weights {colors}: published weights need --width 64, not 8"
    capsys.readouterr()
    for data, words, reason in (
        (data_folder, ["--weights", colors], "weights of colorize, but segment was asked for"),
        (data_folder, ["--weights", none], "no such weights file"),
        (data_folder, ["--weights", picture], "not a readable weights file"),
        (data_folder, ["--encoder-weights", none], "no such weights file"),
        (data_folder, ["--encoder-weights", colors], narrow),
        (data_folder, ["--encoder-weights", colors, "--width", "64"], "not a torchvision ResNet of the same"),
        (data_folder, ["--device", "cuda:99"], "--device cuda:99"),
        (tmp_path, [], "labelled: no labelled photographs to measure on"),
        (data_folder, ["--crop", "60"], "--crop 60"),
    ):
        assert train(segment, data, tmp_path / "run", *words, steps=1) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1, error
        assert not (tmp_path / "run/last.pt").exists()


@pytest.mark.parametrize("strange", [{"norm": "new"}, {"depth": 5}, {"width": -4}])
def test_weights_of_another_version_are_one_line(data_folder, tiny_weights, tmp_path, capsys, strange):
    content, path = checkpoint.read(tiny_weights["segment"]), tmp_path / "new.pt"
    checkpoint.save(path, {**content, "build": {**content["build"], **strange}})
    words = ["--data", data_folder, "--weights", path, "--device", "cpu"]
    training = ["--crop", "64", "--batch-size", "2", "--run-dir", tmp_path / "run"]
    for name, more in (("train", training), ("eval", [])):
        assert segment.main([str(word) for word in (name, *words, *more)]) == 2
        error = capsys.readouterr().err
        assert f"{path}: not a network of this version of photo-restore" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_weights_without_a_threshold_are_one_line(data_folder, tiny_weights, tmp_path, capsys):
    path = tmp_path / "w.pt"
    checkpoint.save(path, {**checkpoint.read(tiny_weights["segment"]), "infer": {}})
    words = ["eval", "--data", data_folder, "--weights", path, "--device", "cpu"]
    assert segment.main([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    assert f"{path}: its settings for infer have no 'threshold'" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "stage, words, reason",
    [
        (colorize, [], "val: no color photographs to evaluate on"),
        (segment, [], "val/labelled: no mask marks any damage to measure on"),
        (segment, ["--hold-out", "1/2"], "data/labelled: no mask marks any damage to measure on"),
    ],
)
def test_nothing_to_evaluate_on_is_said_before_the_first_step(
    data_folder, tmp_path, capsys, stage, words, reason
):
    data = shutil.copytree(data_folder, tmp_path / "data")
    for path in data.glob("val/clean/**/*.*"):
        Image.open(path).convert("L").save(path)
    for path in data.glob("**/masks/**/*.png"):
        Image.new("L", Image.open(path).size).save(path)
    assert train(stage, data, tmp_path / "run", *words) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"{reason}\n")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words", [["--seed", -1], ["--seed", 2**64], ["--workers", -1], ["--keep", 0], ["--steps", 0]]
)
def test_numbers_out_of_range_are_usage_errors(data_folder, tmp_path, capsys, words):
    with pytest.raises(SystemExit, match="2"):
        train(segment, data_folder, tmp_path / "run", *words)
    assert words[0] in capsys.readouterr().err


def test_a_batch_that_cannot_be_shared_is_refused(data_folder, tmp_path, monkeypatch, capsys):
    three = Namespace(rank=0, world=3, device=torch.device("cpu"), close=lambda: None)
    monkeypatch.setattr(training, "Processes", lambda *_, **__: three)
    assert train(segment, data_folder, tmp_path / "run") == 2
    assert "--batch-size 4 is not divisible by the number of processes, 3" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def command(run):
    """The exit status of a command that does `run`."""
    parser = ArgumentParser("tool")
    parser.set_defaults(run=run)
    return commands.run_command(parser, [])


@pytest.mark.parametrize("error", [UserError("a.png: cut"), OSError("a.png: cut")])
def test_a_mistake_of_the_user_is_one_line(capsys, error):
    def run(args):
        raise error

    assert command(run) == 2
    assert capsys.readouterr().err == "tool: a.png: cut\n"


def test_ctrl_c_is_130(capsys):
    def run(args):
        raise KeyboardInterrupt

    assert command(run) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("word", ["", "--json="])
def test_an_empty_argument_is_a_usage_error(tmp_path, capsys, word):
    """As from a shell variable that is not set: Path("") would be the current folder."""
    with pytest.raises(SystemExit) as caught:
        segment.main(["infer", word, str(tmp_path / "out")])
    assert caught.value.code == 2
    assert "an argument is empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bug_shows_its_traceback(data_folder, tmp_path):
    """A ValueError of ours, such as one of shapes, must not look like a mistake of the user."""
    code = (
        "import sys, segment\n"
        "def compute_losses(*_, **__): raise ValueError('shapes differ')\n"
        "segment.compute_losses = compute_losses\n"
        f"sys.exit(segment.main({['train', '--data', str(data_folder), '--run-dir', str(tmp_path)]} + "
        "['--device', 'cpu', '--width', '4', '--crop', '64', '--batch-size', '2', '--workers', '1']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=commands.__file__[: -len("engine/commands.py")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("ValueError: shapes differ\n")


@pytest.fixture
def lite_file(tmp_path):
    """A file of EfficientNet-Lite0's published layout, of random numbers."""
    state = EfficientNetLite("lite0", 3).state_dict()
    state = {
        re.sub(r"(^|\.)(conv|bn|blocks|expand|depthwise|project)", r"\1_\2", name): x
        for name, x in state.items()
    }
    torch.save(state, tmp_path / "lite0.pth")
    return tmp_path / "lite0.pth"


def test_color_trains_with_a_published_lite_encoder(data_folder, tmp_path, lite_file):
    words = ["--encoder", "lite0", "--encoder-weights", lite_file, "--lr", "1e-9"]
    assert train(colorize, data_folder, tmp_path / "run", *words, steps=1) == 0
    (best,) = (tmp_path / "run").glob("best-*.pt")
    content = checkpoint.read_weights(best, "colorize")
    assert content["build"]["depth"] == "lite0"
    kernel = torch.load(lite_file, weights_only=True)["_blocks.3._depthwise_conv.weight"]
    assert torch.equal(content["state"]["encoder.blocks.3.depthwise_conv.weight"], kernel.half())


@pytest.mark.parametrize("stage", [colorize, inpaint])
def test_losses_on_the_features_of_a_lite_encoder(data_folder, tmp_path, lite_file, monkeypatch, stage):
    monkeypatch.setattr(published, "_lite_file", lambda variant: {"lite0": lite_file}[variant])
    words = ["--features", "lite0", "--perceptual-weight", "0.5"]
    assert train(stage, data_folder, tmp_path / "run", *words, steps=1) == 0
    row = next(row for row in log(tmp_path / "run") if "loss" in row)
    assert row["perceptual"] > 0


def test_a_context_is_added_to_weights_that_have_none(trained, data_folder, tmp_path, lite_file):
    """Training goes on from what they could, at once and not from the random numbers of the context."""
    (best,) = trained(segment).glob("best-*.pt")
    words = ["--weights", best, "--context", "lite0", "--context-weights", lite_file, "--lr", "1e-9"]
    assert train(segment, data_folder, tmp_path / "run", *words, steps=1) == 0
    (result,) = (tmp_path / "run").glob("best-*.pt")
    assert checkpoint.read_weights(result, "segment")["build"]["context"] == "lite0"
    scores = [row["score"] for row in log(tmp_path / "run") if "score" in row]
    (before, *_) = (
        row["score"]
        for row in log(best.parent)
        if row.get("step") == int(best.stem.split("-")[1]) and "score" in row
    )
    assert scores[0] == pytest.approx(before, abs=0.05)


def test_context_weights_need_a_context(data_folder, tmp_path, capsys, lite_file):
    assert train(segment, data_folder, tmp_path / "run", "--context-weights", lite_file) == 2
    assert capsys.readouterr().err.endswith(": --context-weights needs --context\n")


def test_a_file_of_another_encoder_is_refused(data_folder, tmp_path, capsys, lite_file):
    words = ["--context", "lite1", "--context-weights", lite_file]
    assert train(segment, data_folder, tmp_path / "run", *words) == 2
    error = capsys.readouterr().err
    assert f"--context-weights {lite_file}: not the EfficientNet-Lite of the same variant" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [["train"], ["eval"], ["preview", "x.png"], ["sheet", "x.png"]])
def test_a_data_folder_that_is_missing_is_named(tmp_path, capsys, words):
    assert segment.main([*words, "--data", str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err.endswith(f": --data {tmp_path}/gone: no such folder\n")


def test_a_dry_run_needs_no_data(tmp_path, capsys):
    assert segment.main(["train", "--data", str(tmp_path / "gone"), "--width", "4", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)
