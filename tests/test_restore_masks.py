"""Masks, protected areas and the choice of pictures of restore.py."""

import hashlib
import os

import numpy as np
import pytest
from conftest import files, noise, save, square
from PIL import Image, ImageDraw
from restoring import pixels, report

from data.photo import read_photo


def test_a_given_mask_is_used_as_it_is(scan, tmp_path, run, tiny_weights):
    mask = save(tmp_path / "m.png", square())
    without = {**tiny_weights, "segment": tmp_path / "none.pt"}  # is not even opened
    assert run(scan, tmp_path / "out", "--mask", mask, "--dilate", 5, weights=without) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_mask.png"), square())
    changed = (pixels(tmp_path / "out/scan_restored.png") != pixels(scan)).any(-1)
    assert changed[square() == 255].mean() > 0.5
    assert not changed[square() == 0].any()
    facts = report(tmp_path / "out")
    assert facts["invented"] == pytest.approx(600 / (48 * 64), abs=1e-6)
    assert facts["companions"] == {"mask": hashlib.sha256(mask.read_bytes()).hexdigest()}
    assert "segment" not in facts["weights"]


def test_a_mask_that_was_written_can_be_edited_and_given_back(scan, tmp_path, run, median):
    assert run(scan, tmp_path / "first", "--threshold", median(read_photo(scan))) == 0
    # the folder: scan_mask.png is found by stem
    assert run(scan, tmp_path / "again", "--mask", tmp_path / "first") == 0
    for name in ("scan_mask.png", "scan_restored.png", "scan_color.png"):
        np.testing.assert_array_equal(pixels(tmp_path / "first" / name), pixels(tmp_path / "again" / name))


def test_the_hand_round(tmp_path, portrait, run, median):
    """A mask is edited in a paint program and given back: only there the picture changes, and nothing is
    found anew.
    """
    photo = save(tmp_path / "scan.png", portrait[:96, :128, 0])
    assert run(photo, tmp_path / "first", "--threshold", median(read_photo(photo), 0.1), "--dilate", 0) == 0
    with Image.open(tmp_path / "first/scan_mask.png") as image:
        before, edited = np.asarray(image), image.convert("RGB")  # paint programs like to save so
    draw = ImageDraw.Draw(edited)
    draw.rectangle((10, 10, 30, 25), fill="black")  # this is no damage
    draw.line((60, 90, 120, 60), fill="white", width=3)  # this crack was missed
    edited.save(tmp_path / "edited.png")
    assert run(photo, tmp_path / "second", "--mask", tmp_path / "edited.png") == 0
    after = pixels(tmp_path / "second/scan_mask.png")
    np.testing.assert_array_equal(after, np.asarray(edited)[..., 0])
    first, second = (pixels(tmp_path / name / "scan_restored.png") for name in ("first", "second"))
    original = pixels(photo)
    assert (before[10:26, 10:31] == 255).any()
    assert (second[10:26, 10:31] == original[10:26, 10:31]).all()
    assert (second != original)[after == 255].mean() > 0.5
    assert (second == original)[after == 0].all()
    assert (first == original)[before == 0].all()
    facts = report(tmp_path / "second")
    assert facts["measured"]["outside_mask"] == 0
    assert "segment" not in facts["seconds"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_mask_that_is_a_pipe_is_refused(scan, tmp_path, run, capsys):
    """It would be empty when it is read again."""
    os.mkfifo(tmp_path / "mask.png")
    assert run(scan, tmp_path / "out", "--mask", tmp_path / "mask.png") == 2
    assert (
        "mask.png: is a pipe, which gives its content only once: save it as a file" in capsys.readouterr().err
    )


def test_masks_in_a_folder_and_one_missing(tmp_path, portrait, run, capsys):
    for name in ("a", "b"):
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    save(tmp_path / "masks/b.png", square())
    assert (
        run(tmp_path / "in", tmp_path / "out", "--mask", tmp_path / "masks", "--only", "restored", "--quiet")
        == 1
    )
    assert capsys.readouterr().err == f"{tmp_path}/in/a.png: no mask for it in {tmp_path}/masks\n"
    assert files(tmp_path / "out") == ["b.json", "b_restored.png"]


@pytest.mark.parametrize("given", [True, False])
def test_protected_pixels_stay(scan, tmp_path, run, given):
    protect = square(box=np.s_[5:40, 5:35])
    save(tmp_path / "keep/scan.png", protect)
    save(tmp_path / "m.png", square())
    words = ["--mask", tmp_path / "m.png"] if given else ["--threshold", 1e-9]
    assert run(scan, tmp_path / "out", "--protect", tmp_path / "keep", *words) == 0
    expected = np.where(protect == 255, 0, square() if given else 255)
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_mask.png"), expected)
    restored = pixels(tmp_path / "out/scan_restored.png")
    np.testing.assert_array_equal(restored[protect == 255], pixels(scan)[protect == 255])
    assert (restored != pixels(scan)).any()
    assert "protect" in report(tmp_path / "out")["companions"]


def test_middle_grey_in_a_given_mask_is_intact(scan, tmp_path, run):
    """In a training mask 128 is ignored. A restored photograph has no such area, nor has its mask."""
    edited = square()
    edited[:, :8], edited[5, 20:50] = 128, np.arange(114, 144)  # an area, and a soft edge across 128
    save(tmp_path / "m.png", edited)
    assert (
        run(scan, tmp_path / "out", "--mask", tmp_path / "m.png", "--only", "mask", "--only", "restored") == 0
    )
    mask = pixels(tmp_path / "out/scan_mask.png")
    np.testing.assert_array_equal(mask, np.where(edited > 128, 255, 0))
    restored = pixels(tmp_path / "out/scan_restored.png")
    np.testing.assert_array_equal(restored[mask == 0], pixels(scan)[mask == 0])


def test_masks_of_another_size_are_resized_and_said(scan, tmp_path, run):
    save(tmp_path / "m.png", square(24, 32, np.s_[5:15, 10:25]))
    save(tmp_path / "p.png", square(96, 128, np.s_[20:60, 60:100]))
    assert (
        run(
            scan,
            tmp_path / "out",
            "--mask",
            tmp_path / "m.png",
            "--protect",
            tmp_path / "p.png",
            "--only",
            "mask",
        )
        == 0
    )
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_mask.png"), square(box=np.s_[10:30, 20:30]))
    notes = ["mask resized from 32 x 24 to 64 x 48", "mask resized from 128 x 96 to 64 x 48"]
    assert report(tmp_path / "out")["warnings"][1:] == notes  # the first says that it is very small


def test_a_folder_that_protects_nothing_is_named(scan, tmp_path, run, capsys):
    """Such as one whose masks have other names than the photographs."""
    keep = save(tmp_path / "keep/scan_1.png", square()).parent
    words = ["--only", "mask", "--protect", keep]
    line = f"--protect {keep} has no picture with the name of a photograph of this run, so it is not used\n"
    assert run(scan, tmp_path / "out", *words) == 0
    assert capsys.readouterr().err.count(line) == 1
    assert run(scan, tmp_path / "quiet", *words, "--quiet") == 0
    save(keep / "scan.png", square())
    assert run(scan, tmp_path / "named", *words) == 0
    assert line not in capsys.readouterr().err


@pytest.mark.parametrize("double", ["several match", "two folders"])
def test_a_protection_that_could_be_of_several_is_not_called_unused(scan, tmp_path, run, capsys, double):
    keep, other = tmp_path / "keep", tmp_path / "other/scan.png"
    save(keep / "scan.png", square())
    if double == "several match":
        save(keep / "scan_protect.png", square())
    else:
        save(other, noise(48, 64))
    scans = [scan] if double == "several match" else [scan, other]
    words = ["--only", "mask", "--protect", keep, "--name", "{parent}_{stem}"]
    assert run(*scans, tmp_path / "out", *words) == 1
    error = capsys.readouterr().err
    assert "could be" in error
    assert "not used" not in error


@pytest.mark.parametrize("role", ["mask", "protect"])
def test_a_broken_mask_is_named(scan, tmp_path, run, capsys, role):
    (tmp_path / "given").mkdir()
    (tmp_path / "given/scan.png").write_bytes(b"no picture")
    assert run(scan, tmp_path / "out", f"--{role}", tmp_path / "given", "--quiet") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{scan}: {role} {tmp_path}/given/scan.png: not an image")
    assert error.count("\n") == 1
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize(
    "only", [["mask"], ["restored"], ["restored_color"], ["color"], ["color", "mask"], ["color", "color"]]
)
def test_only(scan, tmp_path, run, tiny_weights, only):
    needed = {"segment"} if only[0] != "color" or "mask" in only else set()
    needed |= {"inpaint"} if {"restored", "restored_color"} & set(only) else set()
    needed |= {"colorize"} if {"color", "restored_color"} & set(only) else set()
    weights = {
        stage: path if stage in needed else tmp_path / "none.pt" for stage, path in tiny_weights.items()
    }
    words = [word for name in only for word in ("--only", name)]
    assert run(scan, tmp_path / "out", *words, weights=weights) == 0
    assert files(tmp_path / "out") == sorted({"scan.json", *(f"scan_{name}.png" for name in only)})
    facts = report(tmp_path / "out")
    assert facts["weights"].keys() == facts["seconds"].keys() == needed
    assert (facts["invented"] is None) == (set(only) == {"color"})


def test_compare_shows_all_beside_the_original(scan, tmp_path, run):
    assert run(scan, tmp_path / "out", "--compare", "--threshold", 0.4) == 0
    sheet = pixels(tmp_path / "out/scan_compare.png")
    assert sheet.shape[1] >= 4 * 64
    assert sheet.shape[0] >= 48
    np.testing.assert_array_equal(sheet[:48, :64], pixels(scan))
    assert "scan_compare.png" in report(tmp_path / "out")["outputs"]
