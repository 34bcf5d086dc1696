"""The segment stage on photographs: tiles, working size, contact sheet."""

import argparse
import math

import numpy as np
import pytest
import torch
from conftest import randomized, save
from PIL import Image

import segment
from data.pixels import resize
from engine import options


@pytest.fixture(scope="module")
def large():
    """Luma of a photograph larger than a tile, float32 (640, 896)."""
    from skimage import data

    return np.clip(resize(data.camera().astype(np.float32) / 255, (896, 640), "bicubic"), 0, 1)


def finder(**settings):
    net = randomized(
        segment.build(
            {"depth": 18, "width": 4, "channels": 1, "out_channels": 1, "stem": "full", "extra_levels": 2}
        )
    )
    return segment.make_finder(net, torch.device("cpu"), **{"tta": False, "max_side": 896, **settings})


@pytest.mark.parametrize("size", [(896, 640), (843, 612)])
def test_tiles_leave_no_seam(large, size):
    """Tiles agree with the whole photograph everywhere, the more exactly the more they overlap."""
    large = np.ascontiguousarray(large[: size[1], : size[0]])
    whole = finder(tile=1024)(large).probability
    assert whole.std() > 0.01
    errors = [
        float((finder(tile=384, overlap=overlap)(large).probability - whole).abs().max())
        for overlap in (64, 256)
    ]
    assert errors[1] < 0.01 * float(whole.max() - whole.min())
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize(
    "size, expected",
    [
        ((3000, 2000), (896, 597)),
        ((600, 800), (600, 800)),
        ((300, 400), (384, 512)),
        ((100, 60), (300, 180)),
        ((9000, 9), (896, 1)),
    ],
)
def test_working_size(size, expected):
    assert finder().working_size(size) == expected


def test_augmentation_is_the_mean_of_looks_and_what_is_sure_from_afar(large):
    plain, augmented, small = finder(), finder(tta=True), np.ascontiguousarray(large[:512, :512])
    plain.least_side, plain.coarse_margin = 1, math.inf
    augmented.coarse_margin = 0.1  # random weights are never very sure

    def look(side, mirrored):
        plain.max_side = side
        logits = torch.logit(plain(np.ascontiguousarray(small[:, ::-1]) if mirrored else small).probability)
        return plain.enlarge(logits.flip(-1) if mirrored else logits, (512, 512))

    mean = (look(512, False) + look(435, True)) / 2
    afar = (look(179, False) + look(179, True)) / 2
    assert 0.05 < (afar - 0.1 > mean).float().mean() < 0.95
    seen, confidence = (
        augmented(small),
        torch.sigmoid(
            (mean - 0.8 * afar).flatten().sort(descending=True).values[round(2e-4 * 512 * 512) - 1]
        ),
    )
    torch.testing.assert_close(
        seen.probability, torch.sigmoid(torch.maximum(mean, afar - 0.1)), rtol=0, atol=1e-5
    )
    assert seen.confidence == pytest.approx(float(confidence), abs=1e-5)


def run(*words):
    return segment.main([str(word) for word in words])


def test_sheet(data_folder, tiny_weights, tmp_path, capsys):
    """A row for every labelled photograph, some undamaged ones and every old one; colors say
    who found what.
    """
    sheet, words = (
        tmp_path / "sheet.png",
        ["--data", data_folder, "--weights", tiny_weights["segment"], "--device", "cpu"],
    )
    assert run("sheet", *words, sheet, "--threshold", 1e-9, "--dilate", 0, "--cell", 64) == 0
    picture = np.asarray(Image.open(sheet)).astype(int)
    overlay = picture[:, 2 * 72 :]
    red, green = ((overlay == color).all(2).sum() for color in ((255, 26, 26), (26, 230, 51)))
    truth = np.asarray(Image.open(data_folder / "val/labelled/masks/v.png")) == 255
    # such a threshold marks all, of the undamaged one, too
    assert green == truth.sum() > 0
    assert red > (~truth).sum()
    assert run("sheet", *words, sheet) == 2
    assert "exists: give --overwrite" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("sheet", *words, tmp_path / "sheet.tif")
    assert "does not end in .png, and it will be a PNG" in capsys.readouterr().err
    assert run("sheet", *words, sheet, "--threshold", 1, "--dilate", 0, "--cell", 64, "--overwrite") == 0
    blue = (np.asarray(Image.open(sheet))[:, 2 * 72 :] == (51, 102, 255)).all(2).sum()
    assert blue == truth.sum()


@pytest.mark.parametrize("text, value", [("auto", "auto"), ("4", 4.0)])
def test_positive_weight(text, value):
    assert options.auto_or_positive(text) == value
    for wrong in ("often", "0", "-1"):
        with pytest.raises(argparse.ArgumentTypeError):
            options.auto_or_positive(wrong)


def test_sheet_of_old_photographs_alone(tiny_weights, tmp_path, large, capsys):
    save(tmp_path / "data/old/a.png", np.rint(large[:64, :48] * 255).astype(np.uint8))
    words = ["--weights", tiny_weights["segment"], "--device", "cpu", tmp_path / "sheet.png"]
    assert run("sheet", "--data", tmp_path / "data", *words) == 0
    assert Image.open(tmp_path / "sheet.png").height > 64
    (tmp_path / "nothing").mkdir()
    assert run("sheet", "--data", tmp_path / "nothing", *words[:-1], tmp_path / "other.png") == 2
    assert "no photographs in labelled/, clean/ or old/" in capsys.readouterr().err
    assert not (tmp_path / "other.png").exists()
