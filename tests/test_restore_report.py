"""The report of restore.py."""

import hashlib

import numpy as np
import pytest
from conftest import files, noise, save
from restoring import STAGES, pixels, report

import engine
import restore
import segment
from data import checkpoint
from data.photo import read_photo
from data.pixels import luma


@pytest.fixture
def jpegs(tmp_path, portrait, run, median):
    """A photograph restored to JPEG files: (the photograph, OUT, the threshold)."""
    path = save(tmp_path / "scan.tif", portrait[:48, :64])
    threshold = median(read_photo(path))
    assert run(path, tmp_path / "out", "--threshold", threshold, "--format", "jpg") == 0
    return path, tmp_path / "out", threshold


def test_the_report_names_input_weights_and_options(jpegs, tiny_weights):
    path, out, threshold = jpegs
    facts = report(out)
    assert facts["version"] == 1
    assert facts["program"] == engine.PROGRAM
    assert facts["input"] == {
        "name": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "format": "TIFF",
        "size": [64, 48],
        "bits": 8,
        "channels": 3,
    }
    assert facts["weights"] == {stage: checkpoint.fingerprint(file) for stage, file in tiny_weights.items()}
    expected = {
        "threshold": threshold,
        "dilate": segment.DILATE,
        "tta": True,
        "max_side": segment.MAX_SIDE,
        "grain": True,
        "sure": 0.0,
        "precision": "fp32",
        "tile": 1024,
        "overlap": 128,
        "format": "jpg",
        "outputs": [restore.PICTURES[name] for name in ("mask", "restored", "restored_color", "color")],
    }
    assert expected.items() <= facts["options"].items()


def test_the_report_names_outputs_times_and_warnings(jpegs):
    _, out, _ = jpegs
    facts = report(out)
    names = {"scan_mask.png", "scan_restored.jpg", "scan_restored_color.jpg", "scan_color.jpg"}
    assert facts["outputs"] == {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}
    assert facts["invented"] == pytest.approx((pixels(out / "scan_mask.png") == 255).mean(), abs=1e-6)
    assert facts["seconds"].keys() == set(STAGES)
    assert all(seconds >= 0 for seconds in facts["seconds"].values())
    assert any("not lossless" in warning for warning in facts["warnings"])
    assert any("very small" in warning for warning in facts["warnings"])


def test_the_report_measures_the_files(jpegs):
    """JPEG changes a little everywhere, and the report does not hide it."""
    path, out, _ = jpegs
    measured = report(out)["measured"]
    mask, restored = pixels(out / "scan_mask.png"), pixels(out / "scan_restored.jpg")
    change = np.abs(restored.astype(int) - pixels(path))[mask == 0].max()
    assert measured.keys() == {"outside_mask", "luma_color", "luma_restored_color"}
    assert measured["outside_mask"] == change > 0
    shift = np.abs(luma(pixels(out / "scan_color.jpg")) - luma(pixels(path))).max() * 255
    assert measured["luma_color"] == pytest.approx(shift, abs=1e-3)


def test_the_report_of_a_lossless_format(scan, tmp_path, run, median):
    assert run(scan, tmp_path / "out", "--threshold", median(read_photo(scan)), "--dilate", 0) == 0
    facts, mask = report(tmp_path / "out"), pixels(tmp_path / "out/scan_mask.png")
    assert facts["measured"]["outside_mask"] == 0
    assert 0 < facts["measured"]["luma_color"] <= 1
    assert 0 < facts["measured"]["luma_restored_color"] <= 1
    listed = facts["regions"]["largest"]
    assert len(listed) == min(facts["regions"]["count"], 100) > 1
    covered = np.zeros(mask.shape, bool)
    for region in listed:
        left, top, width, height = region["box"]
        part = mask[top : top + height, left : left + width] == 255
        assert 0 < region["pixels"] <= part.sum()
        assert all(part.any(1))
        assert all(part.any(0))
        covered[top : top + height, left : left + width] = True
    if facts["regions"]["count"] <= 100:
        assert covered[mask == 255].all()
        assert sum(region["pixels"] for region in listed) == (mask == 255).sum()


def test_the_report_of_color_alone(tmp_path, portrait, run):
    photo = save(tmp_path / "scan.png", portrait)
    assert run(photo, tmp_path / "out", "--only", "color") == 0
    facts = report(tmp_path / "out")
    assert facts["regions"] is None
    assert facts["measured"].keys() == {"luma_color"}
    assert [warning.split(":")[0] for warning in facts["warnings"]] == ["probably already in color"]
    assert run(photo, tmp_path / "mask", "--only", "mask", "--no-tta", "--threshold", 0.4) == 0
    assert report(tmp_path / "mask")["warnings"] == []


def test_options_that_change_nothing_are_not_in_the_report(tmp_path, portrait, run):
    """So that the same command with another value of them finds its work done."""
    photo, mask = save(tmp_path / "scan.png", portrait[:64, :64]), save(tmp_path / "mask.png", noise(64, 64))
    unused = ["--dilate", 3, "--no-tta", "--max-side", 512, "--infrared", "off", "--smallest", 9]
    for name, words, more in (
        ("color", ["--only", "color"], [*unused, "--no-grain", "--tile", 512]),
        ("given", ["--mask", mask, "--only", "restored"], unused),
        ("mask", ["--only", "mask"], ["--no-grain"]),
    ):
        for added in ([], more):
            assert run(photo, tmp_path / name, *words, *added) == 0, name


def test_the_same_again_is_the_same_bit_for_bit(tmp_path, portrait, run, median):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64] if name == "b" else noise(30, 40))
    words = ["--threshold", median(read_photo(tmp_path / "in/b.png")), "--quiet"]
    assert run(tmp_path / "in", tmp_path / "one", *words) == 0
    assert run(tmp_path / "in/b.png", tmp_path / "in/a.png", tmp_path / "two", *words) == 0
    pictures = [name for name in files(tmp_path / "one") if name.endswith(".png")]
    assert len(pictures) == 8
    for name in pictures:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
