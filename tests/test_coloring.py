"""colorize.py: luma is kept, colors are a guess, eval."""

import numpy as np
import pytest
import torch
from conftest import noise, save
from PIL import Image
from stages import command, evaluated

import colorize
from data.photo import encode, read_photo
from data.pixels import luma, rgb_to_ycbcr

CPU = torch.device("cpu")


@pytest.mark.parametrize("height, width", [(48, 64), (15, 15), (1, 1), (1, 300), (300, 1), (400, 500)])
def test_color_keeps_luma(tiny_weights, height, width):
    colorizer = colorize.load(tiny_weights["colorize"], CPU)
    grey = noise(height, width).astype(np.float32) / 255
    picture = colorizer(grey)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert np.abs(luma(picture) - grey).max() * 255 <= 0.51
    chroma = colorizer.chroma(grey)
    assert chroma.shape == (height, width, 2)
    assert np.abs(chroma).max() <= 0.5
    assert np.isfinite(chroma).all()
    assert np.abs(chroma).max() > 0.01  # the network did say something


def test_a_color_photo_is_colored_from_its_luma_alone(tmp_path, portrait, tiny_weights):
    pixels = portrait[:48, :64]
    grey = np.rint(luma(pixels) * 255).astype(np.uint8)
    save(tmp_path / "in/color.png", pixels)
    save(tmp_path / "in/grey.png", grey)
    assert command(colorize, "infer", tmp_path / "in", tmp_path / "out", weights=tiny_weights) == 0
    a, b = (read_photo(tmp_path / f"out/{name}_color.png").pixels for name in ("color", "grey"))
    assert np.abs(a.astype(int) - b).max() <= 8
    assert np.abs(a.astype(int) - pixels).max() > 8


def test_the_file_says_that_its_colors_are_a_guess(scan, tmp_path, tiny_weights):
    assert command(colorize, "infer", scan, tmp_path / "out", weights=tiny_weights) == 0
    assert colorize.REMARK in Image.open(tmp_path / "out/scan_color.png").getexif()[270]


def test_colorize_eval(data_folder, tiny_weights, capsys):
    result = evaluated(colorize, data_folder, tiny_weights, capsys)
    assert result["photos"] == 2
    assert result["score"] == pytest.approx(-result["mse"] / result["mse_grey"])
    pixels = read_photo(data_folder / "val/clean/people/p.png").pixels
    expected = (np.square(rgb_to_ycbcr(pixels)[..., 1:] * 255)).mean()
    row = next(row for row in result["rows"] if row["photo"] == "p.png")
    assert row["mse_grey"] == pytest.approx(expected, rel=1e-4)
    assert result["people"]["mse_grey"] == row["mse_grey"]
    assert row["ciede2000"] > 0
    assert row["colorfulness_truth"] > 10
    assert len(result["mse_95"]) == 2
    picture = colorize.load(tiny_weights["colorize"], CPU)(luma(pixels))
    ours = np.square((rgb_to_ycbcr(picture) - rgb_to_ycbcr(pixels))[..., 1:] * 255).mean()
    assert row["mse"] == pytest.approx(ours, rel=1e-4)


def test_small_photographs_are_a_group_of_their_own(tmp_path, portrait, tiny_weights, capsys):
    save(tmp_path / "val/clean/others/a.png", portrait[:48, :64])
    before = evaluated(colorize, tmp_path, tiny_weights, capsys)
    save(tmp_path / "val/color_small/period/b.png", portrait[60:100, 80:140])
    result = evaluated(colorize, tmp_path, tiny_weights, capsys)
    assert result["small"]["mse"] == result["rows"][1]["mse"]
    assert {name: result[name] for name in ("photos", "mse", "others", "score")} == {
        name: before[name] for name in ("photos", "mse", "others", "score")
    }


def test_colorize_eval_needs_color_and_reads_16_bits(tmp_path, portrait, tiny_weights, capsys):
    save(tmp_path / "clean/grey.png", portrait[:48, :64, 0])
    assert command(colorize, "eval", "--data", tmp_path, weights=tiny_weights) == 2
    assert "no color photographs" in capsys.readouterr().err
    save(tmp_path / "clean/8.png", portrait[:48, :64])
    (tmp_path / "clean/16.tif").write_bytes(encode(portrait[:48, :64].astype(np.uint16) * 257, None, "TIFF"))
    pytest.importorskip("tifffile")
    rows = evaluated(colorize, tmp_path, tiny_weights, capsys)["rows"]
    assert [row["photo"] for row in rows] == ["16.tif", "8.png"]
    own = {"photo": "", "mse_hints": 0}  # every photograph has its own strokes
    assert {**rows[0], **own} == {**rows[1], **own}
    assert rows[0]["mse_hints"] != rows[1]["mse_hints"]
