"""Training of the inpaint stage: its losses, VGG-16 among them, and its own options."""

import argparse
import json
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from conftest import files, save, square

import inpaint
from data import checkpoint
from engine import networks
from losses import inpainting
from nets.features import LiteFeatures
from nets.sagan import PAINTING, Discriminator
from nets.vgg import VGG16

CPU = torch.device("cpu")
WEIGHTS = {
    "hole_weight": 6.0,
    "valid_weight": 1.0,
    "tv_weight": 0.1,
    "perceptual_weight": 0.05,
    "style_weight": 120.0,
}


def batch():
    torch.manual_seed(0)
    mask = torch.ones(2, 1, 16, 16)
    mask[..., 4:12, 4:12] = 0
    return {"luma": torch.rand(2, 1, 16, 16), "mask": mask}, torch.rand(2, 1, 16, 16)


def test_step_without_features_is_the_pixel_losses():
    samples, painted = batch()
    losses = inpaint.compute_losses(lambda picture, mask: painted, samples, **WEIGHTS)
    assert losses.keys() == {"loss", "hole", "valid", "tv"}
    assert torch.equal(losses["hole"], inpainting.hole(painted, samples["luma"], samples["mask"]))
    expected = 6 * losses["hole"] + losses["valid"] + 0.1 * losses["tv"]
    torch.testing.assert_close(losses["loss"], expected)


def test_step_with_features_judges_the_output_and_the_composite():
    """Features that are the picture itself: the values can be worked out from the pixels."""
    samples, painted = batch()
    truth, hole = samples["luma"], 1 - samples["mask"]
    painted.requires_grad_()
    losses = inpaint.compute_losses(
        lambda picture, mask: painted, samples, **WEIGHTS, features=lambda x: [x, 2 * x]
    )
    error = (painted - truth).abs()
    torch.testing.assert_close(losses["perceptual"], 3 * (error.mean() + (error * hole).mean()))
    squares = [x.square().mean((1, 2, 3)) for x in (painted, painted * hole + truth * (1 - hole), truth)]
    style = sum((x - squares[2]).abs().mean() for x in squares[:2])
    torch.testing.assert_close(losses["style"], (1 + 4) * style)
    expected = sum(weight * losses[name.removesuffix("_weight")] for name, weight in WEIGHTS.items())
    torch.testing.assert_close(losses["loss"], expected)
    losses["perceptual"].backward()
    assert (painted.grad != 0).all()  # outside holes too


def test_the_network_sees_nothing_of_the_holes():
    samples, painted = batch()
    seen = []
    inpaint.compute_losses(lambda picture, mask: seen.append((picture, mask)) or painted, samples, **WEIGHTS)
    ((picture, mask),) = seen
    assert (picture[..., 4:12, 4:12] == 0).all()
    assert mask is samples["mask"]


def test_the_adversarial_loss_judges_the_composite():
    """It teaches the network in holes only, and neither network by the loss of the other."""
    (samples, painted), discriminator = batch(), Discriminator(PAINTING, 4)
    painted.requires_grad_()
    weights = dict.fromkeys(WEIGHTS, 0.0) | {"adversarial_weight": 0.5}
    losses = inpaint.compute_losses(
        lambda picture, mask: painted, samples, **weights, discriminator=discriminator
    )
    torch.testing.assert_close(losses["loss"], 0.5 * losses["adversarial"])
    losses["loss"].backward()
    holes = (samples["mask"] == 0).expand_as(painted)
    assert (painted.grad[holes] != 0).all()
    assert (painted.grad[~holes] == 0).all()
    assert all(p.grad is None for p in discriminator.parameters())
    painted.grad = None
    losses["discriminator"].backward()
    assert painted.grad is None
    assert all(p.grad is not None for p in discriminator.parameters())


@pytest.fixture(scope="module")
def vgg_file(vgg_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(vgg_state, path)
    return path


def train(data, run, *words):
    small = ["--width", 4, "--levels", 3, "--widest", 2, "--crop", 32, "--batch-size", 2, "--steps", 2]
    common = ["--data", data, "--run-dir", run, "--device", "cpu", "--workers", 0]
    return inpaint.main([str(word) for word in ("train", *common, *small, *words)])


def logged(run):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return next(row for row in rows if "loss" in row)


def test_training_on_features(data_folder, tmp_path, vgg_file, vgg_state, monkeypatch):
    built, build = [], VGG16.__init__
    monkeypatch.setattr(VGG16, "__init__", lambda *args, **kwargs: built.append(1) or build(*args, **kwargs))
    run = tmp_path / "run"
    assert train(data_folder, run, "--vgg-weights", vgg_file) == 0
    row = logged(run)
    assert row["perceptual"] > 0
    assert row["style"] > 0
    weighted = (
        6 * row["hole"] + row["valid"] + 0.1 * row["tv"] + 0.05 * row["perceptual"] + 120 * row["style"]
    )
    assert row["loss"] == pytest.approx(weighted, rel=1e-3)
    assert len(built) == 1  # not once per step
    options = json.loads((run / "args.json").read_text())
    assert options["vgg_weights"] == str(vgg_file)
    assert (
        options["perceptual_weight"],
        options["style_weight"],
    ) == (0.05, 120)
    (best,) = run.glob("best-*.pt")
    for state in (checkpoint.read(run / "last.pt")["net"], checkpoint.read(best)["state"]):
        assert not any(name.startswith(("features", "vgg")) for name in state)
    assert best.stat().st_size < 10**6 < vgg_file.stat().st_size


def test_training_with_a_discriminator_and_features_in_bfloat16(data_folder, tmp_path, vgg_file):
    words = [
        "--vgg-weights",
        vgg_file,
        "--precision",
        "bf16",
        "--discriminator-width",
        4,
        "--discriminator-lr",
        1e-3,
    ]
    assert train(data_folder, tmp_path / "run", *words, "--adversarial-weight", 0.1) == 0
    row = logged(tmp_path / "run")
    assert row["discriminator"] > 0
    weights = {**WEIGHTS, "adversarial_weight": 0.1}
    weighted = sum(weight * row[name.removesuffix("_weight")] for name, weight in weights.items())
    assert row["loss"] == pytest.approx(weighted, rel=1e-3)
    first = checkpoint.read(tmp_path / "run/last.pt")["discriminator"]["net"]
    words += ["--discriminator-weights", tmp_path / "run/last.pt", "--discriminator-lr", 1e-12]
    assert train(data_folder, tmp_path / "next", *words, "--adversarial-weight", 0.1) == 0
    after = checkpoint.read(tmp_path / "next/last.pt")["discriminator"]["net"]
    kernels = [name for name in first if name.endswith("original")]
    assert kernels
    assert all(torch.allclose(first[name], after[name], atol=1e-6) for name in kernels)  # it went on


def test_mistakes_with_the_discriminator(data_folder, tmp_path, capsys):
    plain, weight = tmp_path / "plain", ["--adversarial-weight", 1]
    assert train(data_folder, plain) == 0
    before = files(tmp_path)
    for words, reason in (
        (
            ["--discriminator-weights", plain / "last.pt"],
            "--discriminator-weights needs --adversarial-weight above 0",
        ),
        ([*weight, "--discriminator-weights", plain / "last.pt"], "not a last.pt of an adversarial run"),
        ([*weight, "--discriminator-weights", tmp_path / "none.pt"], "no such weights file"),
        ([*weight, "--crop", 40], "--crop 40 is not a multiple of 16, as the discriminator"),
    ):
        capsys.readouterr()
        assert train(data_folder, tmp_path / "run", *words) == 2
        error = capsys.readouterr().err
        assert reason in error, error
        assert error.count("\n") == 1, error
    assert files(tmp_path) == before
    assert train(data_folder, tmp_path / "run", *weight, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["adversarial_weight"] == 1


def test_without_vgg_weights_the_features_are_off(data_folder, tmp_path):
    assert train(data_folder, tmp_path / "run") == 0
    assert logged(tmp_path / "run").keys() >= {"hole", "valid", "tv"}
    assert "style" not in logged(tmp_path / "run")
    options = json.loads((tmp_path / "run/args.json").read_text())
    assert options["perceptual_weight"] == options["style_weight"] == 0
    assert options["vgg_weights"] is None


@pytest.mark.parametrize("name", ["--perceptual-weight", "--style-weight"])
def test_a_weight_without_vgg_is_a_usage_error(data_folder, tmp_path, capsys, name):
    assert train(data_folder, tmp_path / "run", name, 0.1) == 2
    error = capsys.readouterr().err
    assert "needs --vgg-weights or --features" in error
    assert error.count("\n") == 1
    assert files(tmp_path) == []


def test_one_weight_alone(data_folder, tmp_path, vgg_file):
    assert (
        train(
            data_folder,
            tmp_path / "run",
            "--vgg-weights",
            vgg_file,
            "--perceptual-weight",
            0,
            "--style-weight",
            3,
        )
        == 0
    )
    row = logged(tmp_path / "run")
    assert row["loss"] == pytest.approx(
        6 * row["hole"] + row["valid"] + 0.1 * row["tv"] + 3 * row["style"], rel=1e-3
    )


def test_vgg_weights_that_do_not_fit_are_one_line(data_folder, tmp_path, capsys, scan):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    for path, reason in (
        (tmp_path / "resnet.pth", "not a torchvision VGG-16"),
        (tmp_path / "none.pth", "no such weights file"),
        (scan, "not a readable weights file"),
    ):
        assert train(data_folder, tmp_path / "run", "--vgg-weights", path) == 2
        error = capsys.readouterr().err
        assert reason in error, error
        assert path.name in error, error
        assert error.count("\n") == 1, error


def test_imagenet_is_torchvisions_verified_download(data_folder, tmp_path, capsys, monkeypatch, vgg_state):
    asked = []

    def get_state_dict(self, **kwargs):
        asked.append((str(self), kwargs))
        if len(asked) > 1:
            raise [URLError("no route to host"), RuntimeError("invalid hash value")][len(asked) - 2]
        return vgg_state

    monkeypatch.setattr(torchvision.models.VGG16_Weights, "get_state_dict", get_state_dict)
    args = argparse.Namespace(vgg_weights="imagenet", features=None, device=CPU)
    net = networks.load_features(args, VGG16, LiteFeatures)
    assert torch.equal(net.features[0].bias, vgg_state["features.0.bias"].float())
    assert asked == [("VGG16_Weights.IMAGENET1K_V1", {"check_hash": True})]
    for reason in ("no route to host", "invalid hash value"):
        assert train(data_folder, tmp_path / "run", "--vgg-weights", "imagenet") == 2
        error = capsys.readouterr().err
        assert "--vgg-weights imagenet: " in error
        assert "cannot be downloaded" in error
        assert reason in error
        assert error.count("\n") == 1


def test_a_dry_run_downloads_nothing(data_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(networks, "load_features", pytest.fail)
    assert train(data_folder, tmp_path / "run", "--vgg-weights", "imagenet", "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["style_weight"] == 120


def test_the_range_of_training_is_stored(data_folder, tmp_path, capsys):
    assert train(data_folder, tmp_path / "run", "--hole-share", 0.05, 0.125) == 0
    (best,) = (tmp_path / "run").glob("best-*.pt")
    painter = inpaint.load(best, CPU)
    assert painter.hole_share == [0.05, 0.125]
    assert "12.5%" in painter.check(square(40, 40, np.s_[:, :20]))[0]
    capsys.readouterr()
    words = ["eval", "--data", str(data_folder), "--weights", str(best), "--device", "cpu"]
    assert inpaint.main(words) == 0
    assert json.loads(capsys.readouterr().out)["infer"] == {"hole_share": [0.05, 0.125]}


def test_masks_are_an_option_of_training(data_folder, tmp_path):
    save(tmp_path / "masks/a_mask.png", square())
    assert train(data_folder, tmp_path / "run", "--masks", tmp_path / "masks", "--mask-share", 1) == 0
    options = json.loads((tmp_path / "run/args.json").read_text())
    assert options["masks"] == str(tmp_path / "masks")
    assert options["mask_share"] == 1


def test_the_range_of_holes_is_in_order(data_folder, tmp_path, capsys):
    assert train(data_folder, tmp_path / "run", "--hole-share", 0.5, 0.2) == 2
    assert "--hole-share 0.5 0.2: the least must come first" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        train(data_folder, tmp_path / "run", "--hole-share", 0, 0.2)
    assert "--hole-share: '0' is not a number above 0 and at most 1" in capsys.readouterr().err
