"""segment.py: masks, confidence, working size, tiles, eval and preview."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from conftest import save, square
from PIL import Image
from stages import command, evaluated

import inpaint
import segment
from data import checkpoint
from data.photo import read_photo
from data.pixels import luma
from data.synthesis import lookalikes
from losses import metrics, summary
from nets.finder import Finder
from nets.ops.detection import Prediction, predict

CPU = torch.device("cpu")


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
    for confidence, share in ((segment.MIN_CONFIDENCE - 0.01, 0), (segment.MIN_CONFIDENCE, 1)):
        found = finder.mask(Prediction(probability, confidence), (60, 50), threshold)
        assert found.shape == (50, 60)
        assert found.float().mean() == share

    weights = storing(tmp_path / "w.pt", tiny_weights, threshold=0.01, sure=1.1)
    # who asks for less than the weights does not get more
    for threshold, share in ((None, 0.0), (1e-9, 1.0), (0.011, 0.0)):
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
    small, _, _ = found(scan, tmp_path / "small", tiny_weights, "--max-side", 64)
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
    monkeypatch.setattr(Finder, "least_side", 768)
    finder, _ = segment.load(tiny_weights["segment"], CPU, max_side=1024)
    assert finder.working_size(size) == working


def test_tiles_change_little(portrait, tiny_weights):
    picture = luma(portrait[:100, :120])
    whole, _ = segment.load(tiny_weights["segment"], CPU, tta=False)
    tiles, _ = segment.load(tiny_weights["segment"], CPU, tta=False, tile=192, overlap=96)
    whole, tiles = whole(picture).probability, tiles(picture).probability
    assert (whole - tiles).abs().mean() < 0.25 * whole.std()


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


def test_damaged_photographs_are_grouped_by_share_and_kind_of_damage():
    rows = [
        {"photo": f"{name}.png", "damaged": share, "dice": dice, "tolerant_dice": dice, "marked": marked}
        for name, share, dice, marked in (("a", 0.1, 0.8, 0.1), ("b", 0.01, 0.0, 0.0), ("c", 0.03, 0.4, 0.2))
    ]
    groups = summary.by_damage(rows, {"a": "long crack, stains", "b": "creases", "z": "scratches"})
    assert {name: (group["photos"], group["dice"]) for name, group in groups.items()} == {
        "all": (3, pytest.approx(0.4)),
        "more than 3 % damaged": (1, 0.8),
        "up to 3 % damaged": (2, 0.2),
        "cracks, creases, tears": (2, 0.4),
        "spots, stains": (1, 0.8),
    }
    assert groups["all"]["unmarked"] == groups["cracks, creases, tears"]["unmarked"] == 1


def test_eval_on_a_fold_takes_its_old_scans_too(data_folder, tiny_weights, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(data_folder, folder)
    for name in "ab":
        save(folder / f"negatives/{name}.png", np.asarray(Image.open(folder / "val/labelled/images/v.png")))
    result = evaluated(segment, folder, tiny_weights, capsys, "--hold-out", "1/2")
    assert [row["photo"] for row in result["rows"]] == ["scratched.png"]
    assert [row["photo"] for row in result["scan_rows"]] == ["a.png"]
    assert result["scans_photos"] == 1
    assert 0 <= result["scans_marked"] <= result["scans_widened"]
    assert result["groups"]["all"]["photos"] == 1
    assert "scans_marked" not in evaluated(segment, folder, tiny_weights, capsys)


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


@pytest.mark.parametrize(
    "stage, name",
    [(segment, "eval"), (segment, "sheet"), (inpaint, "sheet")],
    ids=["eval", "sheet", "inpaint"],
)
def test_a_mask_of_another_shape_is_named(tmp_path, portrait, tiny_weights, capsys, stage, name):
    save(tmp_path / "labelled/images/x.png", portrait[:48, :64])
    save(tmp_path / "labelled/masks/x.png", square(64, 48))
    words = [name, "--data", tmp_path, *([tmp_path / "sheet.png"] if name == "sheet" else [])]
    assert command(stage, *words, weights=tiny_weights) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/labelled/masks/x.png: has another shape" in error
    assert error.count("\n") == 1


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
    (tmp_path / "empty").mkdir()
    assert command(segment, "preview", "--data", tmp_path / "empty", sheet) == 2  # before any is drawn
    assert capsys.readouterr().err.endswith(f"{sheet} exists: give --overwrite to replace it\n")
    assert command(segment, *words, sheet, "--overwrite", "--seed", 1) == 0
    assert sheet.read_bytes() != first


def test_wide_marks_need_the_coarse_scale():
    """A disc that only the full scale sees is no damage; a thin line is, and a disc that both see."""
    fine, coarse = torch.full((120, 160), -6.0), torch.full((120, 160), -9.0)
    fine[20:70, 20:70] = 3.0  # a disc on a plain wall
    fine[20:70, 90:140] = 3.0
    coarse[20:70, 90:140] = -2.0
    fine[100:104] = 3.0  # a crack
    marked = predict(fine, coarse, margin=99.0).probability > 0.3
    assert not marked[16:74, 16:74].any()
    assert marked[20:70, 90:140].all()
    assert marked[100:104].all()
