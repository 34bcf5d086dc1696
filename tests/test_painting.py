"""inpaint.py: what is painted and what is kept, masks, tiles, eval."""

import json
import sys

import numpy as np
import pytest
import torch
from conftest import noise, save, square
from stages import command, evaluated

import inpaint
from data import checkpoint
from data.photo import read_photo
from data.pixels import luma, rgb_to_ycbcr
from losses import painting
from losses.texture import high_frequency_ratio

CPU = torch.device("cpu")


@pytest.mark.parametrize("grain", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3), (200, 130), (7, 9), (1, 1), (1, 300)])
def test_paint_changes_holes_only(tiny_weights, shape, dtype, grain):
    painter = inpaint.load(tiny_weights["inpaint"], CPU, grain=grain)
    pixels = noise(*shape, dtype=dtype)
    mask = np.where(noise(*shape[:2], seed=1) > 230, 255, 0).astype(np.uint8)
    mask[:, shape[1] // 2 :][:, :2] = 128  # ignore: not a hole
    mask[0, 0] = 255
    if shape[0] > 100:
        mask[60:160, 10:110] = 255  # deeper than one reach
    kept, before = pixels.copy(), mask.copy()
    painted = painter(pixels, mask)
    assert painted.shape == pixels.shape
    assert painted.dtype == dtype
    assert painted is not pixels
    np.testing.assert_array_equal(painted[mask != 255], kept[mask != 255])
    assert (painted[mask == 255] != kept[mask == 255]).any()
    np.testing.assert_array_equal(pixels, kept)
    np.testing.assert_array_equal(mask, before)


def test_without_holes_the_very_pixels_come_back(tiny_weights):
    painter, pixels = inpaint.load(tiny_weights["inpaint"], CPU), noise(20, 30, 3)
    assert painter(pixels, np.zeros((20, 30), np.uint8)) is pixels


def test_a_photo_that_is_all_hole_is_painted(tiny_weights):
    painted = inpaint.load(tiny_weights["inpaint"], CPU)(noise(90, 70, 3), np.full((90, 70), 255, np.uint8))
    assert painted.shape == (90, 70, 3)


def test_what_lies_in_holes_has_no_influence(tiny_weights):
    painter, mask = inpaint.load(tiny_weights["inpaint"], CPU), square()
    one = noise(48, 64, 3)
    other = one.copy()
    other[mask == 255] = 7
    np.testing.assert_array_equal(painter(one, mask), painter(other, mask))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_stays_grey_and_sepia_sepia(tiny_weights, dtype):
    painter, mask, top = inpaint.load(tiny_weights["inpaint"], CPU), square(), np.iinfo(dtype).max
    grey = np.repeat(noise(48, 64, 1, dtype=dtype), 3, -1)
    painted = painter(grey, mask)
    assert (painted[..., 0] == painted[..., 1]).all()
    assert (painted[..., 1] == painted[..., 2]).all()
    level = 0.35 + 0.3 * np.random.default_rng(0).random((48, 64, 1))
    sepia = np.rint((level + np.array([0.10, 0.01, -0.10])) * top).astype(dtype)
    chroma = rgb_to_ycbcr(painter(sepia, mask))[mask == 255][:, 1:]
    luma_of_holes = luma(painter(sepia, mask))[mask == 255]
    inside = (luma_of_holes > 0.2) & (luma_of_holes < 0.8)  # where the hue fits into RGB
    expected = rgb_to_ycbcr(sepia)[..., 1:].mean((0, 1))
    assert inside.mean() > 0.2
    assert np.abs(chroma[inside] - expected).max() < 0.01


def test_what_is_to_be_ignored_in_training_is_no_hole(tiny_weights):
    painter, pixels, mask = inpaint.load(tiny_weights["inpaint"], CPU), noise(48, 64), square()
    ignoring = np.where(square(box=np.s_[5:40, 15:60]) > mask, 128, mask).astype(np.uint8)
    np.testing.assert_array_equal(painter(pixels, ignoring), painter(pixels, mask))


@pytest.mark.parametrize("factor, dtype", [(1, np.uint8), (257, np.uint16)])
@pytest.mark.parametrize("color", [False, True])
def test_a_smooth_photo_is_continued(tmp_path, tiny_weights, factor, dtype, color):
    """Even a network that has learnt nothing: without its own strokes, holes continue their surroundings."""
    content = checkpoint.read(tiny_weights["inpaint"])
    for name in ("head.weight", "head.bias"):
        content["state"][name] = torch.zeros_like(content["state"][name])
    checkpoint.save(tmp_path / "w.pt", content)
    ramp = np.rint(factor * np.linspace(60, 200, 64) * np.ones((48, 1))).astype(dtype)
    ramp = np.stack([ramp, ramp // 2, ramp // 3], -1) if color else ramp
    painted = inpaint.load(tmp_path / "w.pt", CPU)(ramp, square())
    assert np.abs(painted.astype(int) - ramp).max() <= 6 * factor


def test_tiles_paint_the_same_holes(portrait, tiny_weights):
    """And tiles without a hole are left out."""
    pixels, mask = portrait[:160, :200], np.zeros((160, 200), np.uint8)
    mask[20:30, 20:30] = mask[100:110, 150:165] = 255
    whole = inpaint.load(tiny_weights["inpaint"], CPU, tile=512, overlap=64, grain=False)(pixels, mask)
    painter = inpaint.load(tiny_weights["inpaint"], CPU, tile=64, overlap=32, grain=False)
    tiles, calls = [], painter.net.forward
    painter.net.forward = lambda picture, valid: tiles.append(1) or calls(picture, valid)
    parts = painter(pixels, mask)
    np.testing.assert_array_equal(parts[mask == 0], pixels[mask == 0])
    assert (parts[mask == 255] != pixels[mask == 255]).any()
    assert (whole[mask == 255] != pixels[mask == 255]).any()
    assert 2 <= len(tiles) <= 8  # of 4 x 6


def test_masks_pair_by_stem_and_a_missing_one_is_named(tmp_path, portrait, tiny_weights, capsys):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    save(tmp_path / "masks/a_mask.png", square())
    words = ["infer", tmp_path / "in", tmp_path / "out", "--quiet", "--mask", tmp_path / "masks"]
    assert command(inpaint, *words, weights=tiny_weights) == 1
    assert capsys.readouterr().err == f"{tmp_path}/in/b.png: no mask for it in {tmp_path}/masks\n"
    painted = read_photo(tmp_path / "out/a_restored.png").pixels
    np.testing.assert_array_equal(painted[square() == 0], portrait[:48, :64][square() == 0])
    assert (painted != portrait[:48, :64]).any()


def test_a_mask_of_another_size_is_resized_and_said(scan, tmp_path, tiny_weights, capsys):
    save(tmp_path / "m.png", square(96, 128, np.s_[20:60, 40:100]))
    words = ["infer", scan, tmp_path / "out", "--mask", tmp_path / "m.png", "--json", "-"]
    assert command(inpaint, *words, weights=tiny_weights) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["warnings"] == ["mask resized from 128 x 96 to 64 x 48"]
    assert row["invented"] == pytest.approx(20 * 30 / (48 * 64), abs=1e-6)


def test_inpaint_eval(data_folder, tiny_weights, capsys):
    result = evaluated(inpaint, data_folder, tiny_weights, capsys)
    assert result["photos"] == 2
    assert len(result["rows"]) == 6
    shares = [row["share"] for row in result["rows"]]
    for row, share in zip(result["rows"], shares):
        least, most = inpaint.BINS[row["bin"]]
        assert 0.5 * least <= share <= 1.1 * most
        assert share > 0
    ours = [row["ours"]["hole_psnr"] for row in result["rows"]]
    assert result["score"] == pytest.approx(np.mean(ours))
    first = [row["ours"]["hole_psnr"] for row in result["rows"] if row["bin"] == 0]
    assert result["ours_0_2"]["hole_psnr"] == pytest.approx(np.mean(first))
    assert len(result["ours_0_2"]["hole_psnr_95"]) == 2
    ratios = [row["ours"]["high_frequency"] for row in result["rows"] if row["bin"] == 2]
    assert result["ours_10_25"]["high_frequency"] == pytest.approx(np.median(ratios))
    assert "feature_distance" not in result["ours_0_2"]
    pytest.importorskip("cv2")
    assert result["telea_10_25"]["hole_psnr"] > 0
    assert result["telea_10_25"]["high_frequency"] > 0
    assert result["navier_stokes_2_10"]["ssim"] > 0.5


def test_texture_is_measured_with_grain(portrait, tiny_weights):
    """That of `infer`; PSNR without it."""
    truth = np.ascontiguousarray(portrait[..., 0], np.float32) / 255
    holes = square(256, 256, np.s_[60:120, 80:140])
    plain, grained = (inpaint.load(tiny_weights["inpaint"], CPU, grain=grain) for grain in (False, True))
    row = painting.measures({"ours": plain.grey, "absent": None, "other": plain.grey}, truth, holes)
    holed, inside = np.where(holes > 0, np.float32(0), truth), torch.from_numpy(holes > 0)
    shown, without = (torch.from_numpy(p.grey(holed, holes))[None] for p in (grained, plain))
    assert row["ours"]["high_frequency"] == high_frequency_ratio(shown, inside)
    assert row["other"]["high_frequency"] == high_frequency_ratio(without, inside)
    assert row["ours"]["high_frequency"] > row["other"]["high_frequency"]
    assert row["ours"]["hole_psnr"] == row["other"]["hole_psnr"]
    assert row["absent"] is None


def test_inpaint_eval_compares_features(data_folder, tiny_weights, capsys, vgg_state, tmp_path):
    torch.save(vgg_state, tmp_path / "vgg16.pth")
    words = ["eval", "--data", data_folder, "--vgg-weights", tmp_path / "vgg16.pth"]
    assert command(inpaint, *words, weights=tiny_weights) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["vgg_weights"] == "vgg16.pth"
    distances = [row["ours"]["feature_distance"] for row in result["rows"] if row["bin"] == 1]
    assert min(distances) > 0
    assert result["ours_2_10"]["feature_distance"] == pytest.approx(np.mean(distances))
    assert len(result["ours_2_10"]["feature_distance_95"]) == 2
    assert command(inpaint, *words[:-1], tmp_path / "none.pth", weights=tiny_weights) == 2
    error = capsys.readouterr().err
    assert f"--vgg-weights {tmp_path}/none.pth: " in error
    assert error.count("\n") == 1


def test_inpaint_eval_without_opencv(data_folder, tiny_weights, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = evaluated(inpaint, data_folder, tiny_weights, capsys)
    assert result["telea_0_2"] is None
    assert result["navier_stokes_10_25"] is None
    assert "OpenCV" in result["telea_reason"]
    assert result["ours_0_2"]["hole_psnr"] > 0
