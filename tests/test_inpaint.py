"""The inpaint stage: its losses on features, its masks in training, what it says of odd masks, its contact
sheet.
"""

import json
import sys
from typing import ClassVar
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from conftest import files, save, square
from PIL import Image

import inpaint
from data import checkpoint
from data.photo import read_photo
from data.sheet import GAP, LINE
from engine import networks
from losses import inpainting
from nets.vgg import VGG16

CPU = torch.device("cpu")
WEIGHTS = {
    "hole_weight": 6.0,
    "valid_weight": 1.0,
    "tv_weight": 0.1,
    "perceptual_weight": 0.05,
    "style_weight": 120.0,
}


def command(name, *words, weights=None):
    options = ["--weights", weights["inpaint"], "--device", "cpu"] if weights else []
    return inpaint.main([str(word) for word in (name, *words, *options)])


# ------------------------------------------------------------------------------------- its losses


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
        lambda picture, mask: painted, samples, **WEIGHTS, vgg=lambda x: [x, 2 * x]
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
    assert (picture[..., 4:12, 4:12] == 0).all() and mask is samples["mask"]


# ------------------------------------------------------------------------------- VGG-16 in training


@pytest.fixture(scope="module")
def vgg_state():
    with torch.device("meta"):
        names = torchvision.models.vgg16(init_weights=False).features.state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        f"features.{name}": torch.randn(x.shape, generator=generator).half() / max(1, x[0].numel()) ** 0.5
        for name, x in names.items()
    }


@pytest.fixture(scope="module")
def vgg_file(vgg_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(vgg_state, path)
    return path


def train(data, run, *words):
    sizes = {"--width": 4, "--levels": 3, "--widest": 2, "--crop": 32, "--batch-size": 2, "--steps": 2}
    small = [word for option in sizes.items() for word in option] + ["--workers", 0]
    return command("train", "--data", data, "--run-dir", run, "--device", "cpu", *small, *words)


def logged(run):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return next(row for row in rows if "loss" in row)


def test_training_on_features(data_folder, tmp_path, vgg_file, vgg_state, monkeypatch):
    built, build = [], VGG16.__init__
    monkeypatch.setattr(VGG16, "__init__", lambda *args, **kwargs: built.append(1) or build(*args, **kwargs))
    run = tmp_path / "run"
    assert train(data_folder, run, "--vgg-weights", vgg_file) == 0
    row = logged(run)
    assert row["perceptual"] > 0 and row["style"] > 0
    weighted = (
        6 * row["hole"] + row["valid"] + 0.1 * row["tv"] + 0.05 * row["perceptual"] + 120 * row["style"]
    )
    assert row["loss"] == pytest.approx(weighted, rel=1e-3)
    assert len(built) == 1  # not once per step
    options = json.loads((run / "args.json").read_text())
    assert options["vgg_weights"] == str(vgg_file) and (
        options["perceptual_weight"],
        options["style_weight"],
    ) == (0.05, 120)
    (best,) = run.glob("best-*.pt")
    for state in (checkpoint.read(run / "last.pt")["net"], checkpoint.read(best)["state"]):
        assert not any(name.startswith(("features", "vgg")) for name in state)
    assert best.stat().st_size < 10**6 < vgg_file.stat().st_size


def test_without_vgg_weights_the_features_are_off(data_folder, tmp_path):
    assert train(data_folder, tmp_path / "run") == 0
    assert logged(tmp_path / "run").keys() >= {"hole", "valid", "tv"} and "style" not in logged(
        tmp_path / "run"
    )
    options = json.loads((tmp_path / "run/args.json").read_text())
    assert options["perceptual_weight"] == options["style_weight"] == 0 and options["vgg_weights"] is None


@pytest.mark.parametrize("name", ["--perceptual-weight", "--style-weight"])
def test_a_weight_without_vgg_is_a_usage_error(data_folder, tmp_path, capsys, name):
    assert train(data_folder, tmp_path / "run", name, 0.1) == 2
    error = capsys.readouterr().err
    assert "need --vgg-weights" in error and error.count("\n") == 1 and files(tmp_path) == []


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
        assert reason in error and path.name in error and error.count("\n") == 1, error


def test_imagenet_is_torchvisions_verified_download(data_folder, tmp_path, capsys, monkeypatch, vgg_state):
    asked = []

    def get_state_dict(self, **kwargs):
        asked.append((str(self), kwargs))
        if len(asked) > 1:
            raise [URLError("no route to host"), RuntimeError("invalid hash value")][len(asked) - 2]
        return vgg_state

    monkeypatch.setattr(torchvision.models.VGG16_Weights, "get_state_dict", get_state_dict)
    assert torch.equal(
        networks.load_vgg(VGG16, "imagenet", CPU).features[0].bias, vgg_state["features.0.bias"].float()
    )
    assert asked == [("VGG16_Weights.IMAGENET1K_V1", {"check_hash": True})]
    for reason in ("no route to host", "invalid hash value"):
        assert train(data_folder, tmp_path / "run", "--vgg-weights", "imagenet") == 2
        error = capsys.readouterr().err
        assert (
            "--vgg-weights imagenet: " in error
            and "cannot be downloaded" in error
            and reason in error
            and error.count("\n") == 1
        )


def test_a_dry_run_downloads_nothing(data_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(networks, "load_vgg", pytest.fail)
    assert train(data_folder, tmp_path / "run", "--vgg-weights", "imagenet", "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["style_weight"] == 120


# ------------------------------------------------------------------------------- masks in training


def test_masks_are_an_option_of_training(data_folder, tmp_path):
    save(tmp_path / "masks/a_mask.png", square())
    assert train(data_folder, tmp_path / "run", "--masks", tmp_path / "masks", "--mask-share", 1) == 0
    options = json.loads((tmp_path / "run/args.json").read_text())
    assert options["masks"] == str(tmp_path / "masks") and options["mask_share"] == 1


# --------------------------------------------------------------------------------------- odd masks


def inferred(capsys, tmp_path, weights, *words):
    """(exit status, rows of --json by photo, what was said) of `infer`."""
    status = command("infer", tmp_path / "in", tmp_path / "out", "--json", "-", *words, weights=weights)
    out, error = capsys.readouterr()
    return (
        status,
        {row["input"]["name"].split("/")[-1]: row for row in map(json.loads, out.splitlines())},
        error,
    )


def test_empty_and_full_masks(tmp_path, portrait, tiny_weights, capsys):
    """Nothing to paint: the very pixels, and it is said. Nothing but holes: an error of this photo alone."""
    full = np.full((48, 64), 255, np.uint8)
    for name, mask in (("a", full * 0), ("b", full), ("c", square())):
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
        save(tmp_path / f"masks/{name}.png", mask)
    status, rows, error = inferred(capsys, tmp_path, tiny_weights, "--mask", tmp_path / "masks", "--quiet")
    assert status == 1 and files(tmp_path / "out") == ["a_restored.png", "c_restored.png"]
    assert (
        error
        == f"{tmp_path}/in/b.png: the mask covers the whole photograph: there is nothing to continue from\n"
    )
    assert (
        rows["a.png"]["warnings"] == ["the mask is empty: nothing was painted"]
        and rows["a.png"]["invented"] == 0
    )
    assert rows["c.png"]["warnings"] == [] and rows["b.png"]["status"] == "failed"
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a_restored.png").pixels, portrait[:48, :64])


def test_ignore_in_a_mask_is_nothing_to_paint(tiny_weights):
    painter = inpaint.load(tiny_weights["inpaint"], CPU)
    mask = np.full((20, 30), 128, np.uint8)
    assert painter.check(mask) == ["the mask is empty: nothing was painted"]
    mask[:, 1:] = 255  # one column is left to continue from
    assert len(painter.check(mask)) == 1 and "look at" in painter.check(mask)[0]


def test_more_holes_than_in_training_are_reported(tmp_path, portrait, tiny_weights, capsys):
    save(tmp_path / "in/x.png", portrait[:48, :64])
    save(tmp_path / "m.png", square(box=np.s_[:24, :40]))
    content = checkpoint.read(tiny_weights["inpaint"])
    for settings, said in (
        ({"hole_share": [0.01, 0.25]}, True),
        ({"hole_share": [0.01, 0.4]}, False),
        ({}, False),
    ):
        checkpoint.save(tmp_path / "w.pt", {**content, "infer": settings})
        words = ["--mask", tmp_path / "m.png", "--overwrite"]
        status, rows, _ = inferred(capsys, tmp_path, {"inpaint": tmp_path / "w.pt"}, *words)
        expected = ["31.2% of the photograph are holes, more than the 25.0% of training: look at them"]
        assert status == 0 and rows["x.png"]["warnings"] == expected * said


class Recorder(torch.nn.Module):
    """Paints 0.5 and records the size of every tile that it sees."""

    size_divisor = 8
    sizes: ClassVar = []  # of the class, because a painter works with a copy

    def forward(self, picture, mask):
        self.sizes.append(tuple(picture.shape[-2:]))
        return torch.full_like(picture, 0.5)


@pytest.mark.parametrize("pixels, largest", [(0, 640), (-1, 512)])
def test_large_photographs_are_painted_in_smaller_tiles(monkeypatch, pixels, largest):
    """Above LARGE pixels, 16 million, tiles have at most 512 px, whatever was asked for."""
    assert inpaint.LARGE == 16_000_000
    grey, mask = np.full((600, 700), 0.5, np.float32), np.zeros((600, 700), np.uint8)
    mask[50:60, 40:660] = 255  # across the seams
    monkeypatch.setattr(inpaint, "LARGE", grey.size + pixels)
    monkeypatch.setattr(Recorder, "sizes", [])
    painter = inpaint.Painter(Recorder(), CPU, tile=640, overlap=128, grain=False)
    np.testing.assert_allclose(painter.grey(grey, mask), 0.5, atol=1e-6)
    assert max(max(size) for size in Recorder.sizes) == largest


def test_the_range_of_training_is_stored(data_folder, tmp_path):
    assert train(data_folder, tmp_path / "run", "--hole-share", 0.05, 0.125) == 0
    (best,) = (tmp_path / "run").glob("best-*.pt")
    painter = inpaint.load(best, CPU)
    assert painter.hole_share == [0.05, 0.125] and "12.5%" in painter.check(square(40, 40, np.s_[:, :20]))[0]


# ------------------------------------------------------------------------------------ contact sheet


def cells(sheet, count, width):
    return [sheet[:, index * (width + GAP) : index * (width + GAP) + width] for index in range(count)]


@pytest.fixture
def drawn(data_folder, tmp_path, tiny_weights):
    def run(*words):
        return command(
            "sheet",
            "--data",
            data_folder,
            tmp_path / "sheet.png",
            "--cell",
            200,
            *words,
            weights=tiny_weights,
        )

    return run


def test_sheet_shows_photo_mask_telea_and_ours(data_folder, tmp_path, drawn):
    pytest.importorskip("cv2")
    assert drawn() == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 4 * 200 + 3 * GAP
    photo, mask, telea, ours = (cell[2 * LINE : 2 * LINE + 64, :64, 0] for cell in cells(sheet, 4, 200))
    np.testing.assert_array_equal(photo, read_photo(data_folder / "val/labelled/images/v.png").pixels)
    np.testing.assert_array_equal(mask, np.asarray(Image.open(data_folder / "val/labelled/masks/v.png")))
    for painted in (telea, ours):
        assert (painted[mask != 255] == photo[mask != 255]).all() and (
            painted[mask == 255] != photo[mask == 255]
        ).any()
    assert (telea != ours).any()


def test_sheet_is_replaced_only_when_asked(tmp_path, drawn, capsys, monkeypatch):
    (tmp_path / "sheet.png").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(inpaint, "load", pytest.fail)  # it is known before anything is painted
        assert drawn() == 2 and (tmp_path / "sheet.png").read_text() == "mine"
    error = capsys.readouterr().err
    assert "--overwrite" in error and error.count("\n") == 1
    assert drawn("--overwrite") == 0 and Image.open(tmp_path / "sheet.png").size[0] > 800


def test_sheet_without_opencv_says_so(tmp_path, drawn, monkeypatch):
    pytest.importorskip("cv2")
    assert drawn() == 0
    there = np.asarray(Image.open(tmp_path / "sheet.png"))
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert drawn("--overwrite") == 0
    absent = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert there.shape == absent.shape
    same = [np.array_equal(a, b) for a, b in zip(cells(there, 4, 200), cells(absent, 4, 200))]
    assert same == [True, True, False, True]
    words = cells(absent, 4, 200)[2][2 * LINE :]
    assert (words < 255).any() and (words == 255).mean() > 0.5  # dark letters on white


def test_sheet_mistakes_are_one_line(tmp_path, tiny_weights, capsys, portrait):
    save(tmp_path / "bad/labelled/masks/x.png", square())
    (tmp_path / "bad/labelled/images").mkdir()
    (tmp_path / "bad/labelled/images/x.png").write_bytes(b"\x89PNG")
    for data, reason in (("none", "no labelled photographs"), ("bad", "x.png")):
        assert command("sheet", "--data", tmp_path / data, tmp_path / "sheet.png", weights=tiny_weights) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1 and not (tmp_path / "sheet.png").exists()
