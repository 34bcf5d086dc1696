"""The three stage scripts as a user runs them, and their predictors for one photograph."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import files, save, square
from PIL import Image

import colorize
import inpaint
import segment
from data import checkpoint
from data.photo import encode, read_photo
from data.pixels import luma, rgb_to_ycbcr
from data.synthesis import lookalikes
from losses import metrics
from nets.ops.detection import Prediction

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")


def command(stage, name, *words, weights=None):
    options = ["--weights", weights[stage.STAGE], "--device", "cpu"] if weights else []
    return stage.main([str(word) for word in (name, *words, *options)])


# ----------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("stage", [segment, inpaint, colorize])
def test_mistakes_give_one_line_and_status_2(scan, tmp_path, tiny_weights, capsys, stage):
    other = tiny_weights["inpaint" if stage is segment else "segment"]
    mask = ["--mask", scan] if stage is inpaint else []
    (tmp_path / "empty").mkdir()
    for words, reason in (
        (
            ["infer", scan, tmp_path / "out", *mask, "--weights", tmp_path / "none.pt"],
            "none.pt: no such weights file",
        ),
        (["infer", scan, tmp_path / "out", *mask, "--weights", other], f"but {stage.STAGE} was asked for"),
        (["infer", scan, tmp_path / "out", *mask, "--weights", scan], "not a readable weights file"),
        (
            [
                "infer",
                scan,
                tmp_path / "out",
                *mask,
                "--weights",
                tiny_weights[stage.STAGE],
                "--device",
                "cuda:99",
            ],
            "cuda:99",
        ),
        (
            ["eval", "--data", tmp_path / "empty", "--weights", tiny_weights[stage.STAGE], "--device", "cpu"],
            "to measure on",
        ),
    ):
        assert command(stage, *words) == 2
        out, error = capsys.readouterr()
        assert reason in error and error.count("\n") == 1 and not out, error
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize("stage", [segment, inpaint, colorize])
def test_weights_of_another_version_are_refused(tmp_path, tiny_weights, scan, capsys, stage):
    content = checkpoint.read(tiny_weights[stage.STAGE])
    for build in ({**content["build"], "new_option": 1}, {**content["build"], "width": 8}):
        checkpoint.save(tmp_path / "w.pt", {**content, "build": build})
        words = ["infer", scan, tmp_path / "out", "--weights", tmp_path / "w.pt", "--device", "cpu"]
        assert command(stage, *words, *(["--mask", scan] if stage is inpaint else [])) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "w.pt: " in error, error


@pytest.mark.parametrize("stage", [segment, inpaint, colorize])
def test_usage_errors_and_version(stage, capsys):
    wrong = [
        [],
        ["paint"],
        ["infer", "a.png"],
        ["infer", "a.png", "out", "--tile", "0"],
        ["train", "--steps", "0"],
        ["train", "--lr", "nan"],
        ["train", "--precision", "fp16"],
        ["eval", "--dat", "x"],
    ]
    wrong += [["infer", "a.png", "out", "--threshold", "2"]] if stage is segment else []
    wrong += [["infer", "a.png", "out"]] if stage is inpaint else []  # --mask is needed
    for words in wrong:
        with pytest.raises(SystemExit) as caught:
            stage.main(words)
        assert caught.value.code == 2
        assert "error: " in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        stage.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("photo-restore ")


@pytest.mark.parametrize(
    "stage, ending", [(segment, "_mask.png"), (inpaint, "_restored.png"), (colorize, "_color.png")]
)
def test_infer_writes_one_file_per_photo_and_never_replaces_it(
    tmp_path, portrait, tiny_weights, capsys, stage, ending
):
    for name in ("a b.png", "deep/c.png"):
        save(tmp_path / "in" / name, portrait[:40, :50])
        save(tmp_path / "masks" / name, square(40, 50))
    mask = ["--mask", tmp_path / "masks"] if stage is inpaint else []
    words = ["infer", tmp_path / "in", tmp_path / "out", "--recursive", "--quiet", *mask]
    assert command(stage, *words, weights=tiny_weights) == 0
    assert files(tmp_path / "out") == [f"a b{ending}", f"deep/c{ending}"]
    assert capsys.readouterr() == ("", "")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    assert command(stage, *words, weights=tiny_weights) == 1
    assert capsys.readouterr().err.count("--overwrite") == 2
    assert command(stage, *words, "--overwrite", weights=tiny_weights) == 0
    # and repeatable
    assert before == {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}


def test_a_stage_as_a_program(tmp_path, scan, tiny_weights):
    words = ["segment.py", "infer", scan, tmp_path / "missing.png", tmp_path / "out", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *map(str, words), "--weights", str(tiny_weights["segment"])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"{tmp_path}/missing.png: no such file\n"
    assert files(tmp_path / "out") == ["scan_mask.png"]


# --------------------------------------------------------------------------------------- segment


def mask_of(path):
    mask = np.asarray(Image.open(path))
    assert mask.dtype == np.uint8
    assert mask.ndim == 2
    assert set(np.unique(mask)) <= {0, 255}
    return mask


def found(scan, out, weights, *words):
    """The mask of one photo at a threshold that 40 % of its pixels reach, unless `words` has another."""
    finder, _ = segment.load(weights["segment"], CPU)
    probability = finder.enlarge(finder(luma(read_photo(scan).pixels)).probability, read_photo(scan).size)
    threshold = float(torch.quantile(probability, 0.6))
    assert command(segment, "infer", scan, out, "--threshold", threshold, *words, weights=weights) == 0
    return mask_of(out / f"{scan.stem}_mask.png"), probability.numpy(), threshold


def test_the_mask_is_where_the_probability_reaches_the_threshold(scan, tmp_path, tiny_weights):
    mask, probability, threshold = found(scan, tmp_path / "out", tiny_weights, "--dilate", 0)
    np.testing.assert_array_equal(mask == 255, probability >= np.float32(threshold))
    assert 0.3 < (mask == 255).mean() < 0.5


def storing(path, weights, **infer):
    """Weights like these, of which other settings are stored."""
    checkpoint.save(path, {**checkpoint.read(weights["segment"]), "infer": infer})
    return {"segment": path}


def test_the_threshold_of_the_weights_is_the_default(scan, tmp_path, tiny_weights):
    for stored, share in ((0.0, 1.0), (1.0, 0.0)):
        out, weights = (
            tmp_path / f"out{stored}",
            storing(tmp_path / "w.pt", tiny_weights, threshold=stored, sure=0.0),
        )
        assert command(segment, "infer", scan, out, weights=weights) == 0
        assert (mask_of(out / "scan_mask.png") == 255).mean() == share


def test_where_nothing_is_surely_damaged_nothing_is_marked(scan, tmp_path, tiny_weights):
    probability = torch.full((100, 120), 0.6)
    finder, threshold = segment.load(storing(tmp_path / "w.pt", tiny_weights, threshold=0.3)["segment"], CPU)
    assert finder.min_confidence == segment.MIN_CONFIDENCE
    assert threshold < 0.6
    for certainty, share in ((segment.MIN_CONFIDENCE - 0.01, 0), (segment.MIN_CONFIDENCE, 1)):
        found = finder.mask(Prediction(probability, certainty), (60, 50), threshold)
        assert found.shape == (50, 60)
        assert found.float().mean() == share

    weights = storing(tmp_path / "w.pt", tiny_weights, threshold=0.01, sure=1.1)
    # who asks for less than the weights does not get more
    for threshold, share in ((None, 0.0), (0.0, 1.0), (0.011, 0.0)):
        out, words = tmp_path / str(threshold), ["--threshold", threshold] if threshold is not None else []
        assert (
            command(
                segment,
                "infer",
                scan,
                out,
                *words,
                "--json",
                tmp_path / f"{threshold}.jsonl",
                weights=weights,
            )
            == 0
        )
        assert (mask_of(out / "scan_mask.png") == 255).mean() == share
        assert ("--threshold" in (tmp_path / f"{threshold}.jsonl").read_text()) == (share == 0)


def test_dilate_widens(scan, tmp_path, tiny_weights):
    masks = [found(scan, tmp_path / str(px), tiny_weights, "--dilate", px)[0] for px in (0, 2, 6)]
    for narrow, wide in itertools.pairwise(masks):
        assert (wide >= narrow).all()
        assert (wide > narrow).any()


def test_probability_is_written_in_16_bits(scan, tmp_path, tiny_weights):
    _, probability, _ = found(scan, tmp_path / "out", tiny_weights, "--probability")
    written = np.asarray(Image.open(tmp_path / "out/scan_probability.png"))
    assert written.dtype == np.uint16
    assert written.shape == probability.shape
    np.testing.assert_allclose(written / 65535, probability, atol=1e-4)


def test_protected_pixels_are_never_found(scan, tmp_path, tiny_weights):
    plain, _, _ = found(scan, tmp_path / "plain", tiny_weights)
    protect = square()
    assert (plain[protect == 255] == 255).any()
    assert (plain[protect == 0] == 255).any()
    save(tmp_path / "keep/scan.png", protect)
    masked, _, _ = found(scan, tmp_path / "out", tiny_weights, "--protect", tmp_path / "keep")
    np.testing.assert_array_equal(masked, np.where(protect == 255, 0, plain))


def test_max_side_is_a_working_size_only(scan, tmp_path, tiny_weights):
    small, _, _ = found(scan, tmp_path / "small", tiny_weights, "--max-side", 32)
    large, _, _ = found(scan, tmp_path / "large", tiny_weights)
    assert small.shape == large.shape == (48, 64)
    assert (small != large).any()


def test_augmentation_brings_the_mask_of_a_mirrored_photo_nearer(portrait, tiny_weights):
    picture, errors = luma(portrait[:64, :96]), []
    for tta in (True, False):
        finder, _ = segment.load(tiny_weights["segment"], CPU, tta=tta)
        errors.append(
            float(
                (finder(picture[:, ::-1].copy()).probability - finder(picture).probability.flip(-1))
                .abs()
                .mean()
            )
        )
    assert 0 < errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize(
    "size, working",
    [
        ((3000, 2000), (1024, 683)),
        ((2000, 3000), (683, 1024)),
        ((1000, 500), (1000, 500)),
        ((600, 300), (768, 384)),
        ((200, 100), (600, 300)),
        ((1, 1), (3, 3)),
        ((1, 300), (3, 768)),
        ((1, 9000), (1, 1024)),
    ],
)
def test_the_working_size(tiny_weights, monkeypatch, size, working):
    """Large photographs are made smaller, small ones larger, but not by more than three times."""
    monkeypatch.setattr(segment.Finder, "least_side", 768)
    finder, _ = segment.load(tiny_weights["segment"], CPU, max_side=1024)
    assert finder.working_size(size) == working


def test_tiles_change_little(portrait, tiny_weights):
    picture = luma(portrait[:100, :120])
    whole, _ = segment.load(tiny_weights["segment"], CPU, tta=False)
    tiles, _ = segment.load(tiny_weights["segment"], CPU, tta=False, tile=192, overlap=96)
    whole, tiles = whole(picture).probability, tiles(picture).probability
    assert (whole - tiles).abs().mean() < 0.25 * whole.std()


def evaluated(stage, data, weights, capsys, *words):
    capsys.readouterr()
    assert command(stage, "eval", "--data", data, *words, weights=weights) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1  # one JSON object on standard output
    result = json.loads(out, parse_constant=pytest.fail)
    assert result["stage"] == stage.STAGE
    assert result["weights_sha256"] == checkpoint.fingerprint(weights[stage.STAGE])
    return result


def test_segment_eval(data_folder, tiny_weights, capsys):
    result = evaluated(segment, data_folder, tiny_weights, capsys)
    finder, threshold = segment.load(tiny_weights["segment"], CPU)
    photo = read_photo(data_folder / "val/labelled/images/v.png")
    truth = torch.from_numpy(np.asarray(Image.open(data_folder / "val/labelled/masks/v.png")).copy())
    probability = finder.enlarge(finder(luma(photo.pixels)).probability, photo.size)
    expected = metrics.overlap(probability >= threshold, truth)
    assert result["dice"] == pytest.approx(expected["dice"])
    assert result["iou"] == pytest.approx(expected["iou"])
    assert result["roc_auc"] == pytest.approx(metrics.roc_auc(metrics.histograms(probability, truth)))
    assert result["infer"] == {"threshold": threshold, "sure": finder.min_confidence}
    assert result["photos"] == 1
    assert result["dice_95"] is None
    assert [row["photo"] for row in result["rows"]] == ["v.png"]
    assert result["clean_photos"] == 2
    assert 0 <= result["clean_marked"] <= result["clean_widened"] <= 1
    assert set(result["negatives"]) == set(lookalikes.KINDS)
    assert all(0 <= share <= 1 for share in result["negatives"].values())
    assert result["clean_without_mark"] in (0, 0.5, 1)


def test_eval_takes_the_folder_itself_without_val(tmp_path, data_folder, tiny_weights, capsys):
    for number in range(3):  # of the same name in different folders
        for kind in ("images", "masks"):
            path = tmp_path / f"labelled/{kind}/{number}/v{number}.png"
            save(path, np.asarray(Image.open(data_folder / f"val/labelled/{kind}/v.png")))
    result = evaluated(segment, tmp_path, tiny_weights, capsys)
    assert result["photos"] == 3
    assert len(result["dice_95"]) == 2
    assert "clean_marked" not in result


def test_photographs_of_one_name_are_all_measured(tmp_path, portrait, tiny_weights, capsys):
    for folder, box in (("a", np.s_[5:20, 5:20]), ("b", np.s_[30:45, 30:45])):
        save(tmp_path / f"labelled/images/{folder}/x.png", portrait[:48, :64])
        save(tmp_path / f"labelled/masks/{folder}/x.png", square(box=box))
    assert len(evaluated(segment, tmp_path, tiny_weights, capsys)["rows"]) == 2


def test_segment_eval_without_damage_says_so(tmp_path, portrait, tiny_weights, capsys):
    save(tmp_path / "labelled/images/x.png", portrait[:48, :64])
    save(tmp_path / "labelled/masks/x.png", square(box=np.s_[:0]))
    assert command(segment, "eval", "--data", tmp_path, weights=tiny_weights) == 2
    assert "no mask marks any damage" in capsys.readouterr().err


def test_preview(tmp_path, data_folder, capsys):
    sheet = tmp_path / "sheet.png"
    words = ["preview", "--data", data_folder, "--count", 5, "--crop", 64, "--labelled-share", 0.5]
    assert command(segment, *words, sheet) == 0
    picture = np.asarray(Image.open(sheet))
    assert picture.shape == (64, 5 * 128)  # each sample and its mask beside it
    assert picture[:, :64].std() > 0
    assert set(np.unique(picture[:, 64:128])) <= {0, 128, 255}
    first = sheet.read_bytes()
    assert command(segment, *words, sheet) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command(segment, *words, sheet, "--overwrite", "--seed", 1) == 0
    assert sheet.read_bytes() != first


# --------------------------------------------------------------------------------------- inpaint


def texture(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


@pytest.mark.parametrize("grain", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3), (200, 130), (7, 9), (1, 1), (1, 300)])
def test_paint_changes_holes_only(tiny_weights, shape, dtype, grain):
    painter = inpaint.load(tiny_weights["inpaint"], CPU, grain=grain)
    pixels = texture(*shape, dtype=dtype)
    mask = np.where(texture(*shape[:2], seed=1) > 230, 255, 0).astype(np.uint8)
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
    painter, pixels = inpaint.load(tiny_weights["inpaint"], CPU), texture(20, 30, 3)
    assert painter(pixels, np.zeros((20, 30), np.uint8)) is pixels


def test_a_photo_that_is_all_hole_is_painted(tiny_weights):
    painted = inpaint.load(tiny_weights["inpaint"], CPU)(texture(90, 70, 3), np.full((90, 70), 255, np.uint8))
    assert painted.shape == (90, 70, 3)


def test_what_lies_in_holes_has_no_influence(tiny_weights):
    painter, mask = inpaint.load(tiny_weights["inpaint"], CPU), square()
    one = texture(48, 64, 3)
    other = one.copy()
    other[mask == 255] = 7
    np.testing.assert_array_equal(painter(one, mask), painter(other, mask))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_stays_grey_and_sepia_sepia(tiny_weights, dtype):
    painter, mask, top = inpaint.load(tiny_weights["inpaint"], CPU), square(), np.iinfo(dtype).max
    grey = np.repeat(texture(48, 64, 1, dtype=dtype), 3, -1)
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
    painter, pixels, mask = inpaint.load(tiny_weights["inpaint"], CPU), texture(48, 64), square()
    ignoring = np.where(square(box=np.s_[5:40, 15:60]) > mask, 128, mask).astype(np.uint8)
    np.testing.assert_array_equal(painter(pixels, ignoring), painter(pixels, mask))


@pytest.mark.parametrize("factor, dtype", [(1, np.uint8), (257, np.uint16)])
@pytest.mark.parametrize("colour", [False, True])
def test_a_smooth_photo_is_continued(tmp_path, tiny_weights, factor, dtype, colour):
    """Even a network that has learnt nothing: without its own strokes, holes continue their surroundings."""
    content = checkpoint.read(tiny_weights["inpaint"])
    for name in ("head.weight", "head.bias"):
        content["state"][name] = torch.zeros_like(content["state"][name])
    checkpoint.save(tmp_path / "w.pt", content)
    ramp = np.rint(factor * np.linspace(60, 200, 64) * np.ones((48, 1))).astype(dtype)
    ramp = np.stack([ramp, ramp // 2, ramp // 3], -1) if colour else ramp
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
    pytest.importorskip("cv2")
    assert result["telea_10_25"]["hole_psnr"] > 0
    assert result["navier_stokes_2_10"]["ssim"] > 0.5


def test_inpaint_eval_without_opencv(data_folder, tiny_weights, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = evaluated(inpaint, data_folder, tiny_weights, capsys)
    assert result["telea_0_2"] is None
    assert result["navier_stokes_10_25"] is None
    assert "OpenCV" in result["telea_reason"]
    assert result["ours_0_2"]["hole_psnr"] > 0


# -------------------------------------------------------------------------------------- colorize


@pytest.mark.parametrize("height, width", [(48, 64), (15, 15), (1, 1), (1, 300), (300, 1), (400, 500)])
def test_colour_keeps_luma(tiny_weights, height, width):
    colorizer = colorize.load(tiny_weights["colorize"], CPU)
    grey = texture(height, width).astype(np.float32) / 255
    picture = colorizer(grey)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert np.abs(luma(picture) - grey).max() * 255 <= 0.51
    chroma = colorizer.chroma(grey)
    assert chroma.shape == (height, width, 2)
    assert np.abs(chroma).max() <= 0.5
    assert np.isfinite(chroma).all()
    assert np.abs(chroma).max() > 0.01  # the network did say something


def test_a_colour_photo_is_coloured_from_its_luma_alone(tmp_path, portrait, tiny_weights):
    pixels = portrait[:48, :64]
    grey = np.rint(luma(pixels) * 255).astype(np.uint8)
    save(tmp_path / "in/colour.png", pixels)
    save(tmp_path / "in/grey.png", grey)
    assert command(colorize, "infer", tmp_path / "in", tmp_path / "out", weights=tiny_weights) == 0
    a, b = (read_photo(tmp_path / f"out/{name}_color.png").pixels for name in ("colour", "grey"))
    assert np.abs(a.astype(int) - b).max() <= 8
    assert np.abs(a.astype(int) - pixels).max() > 8


def test_the_file_says_that_its_colours_are_a_guess(scan, tmp_path, tiny_weights):
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


def test_colorize_eval_needs_colour_and_reads_16_bits(tmp_path, portrait, tiny_weights, capsys):
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
