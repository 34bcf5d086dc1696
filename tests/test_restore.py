"""restore.py as a user runs it: the promises of the README, one after the other."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import files, save, square
from PIL import Image, ImageCms, ImageDraw

import colorize
import engine
import inpaint
import restore
import segment
from data import checkpoint
from data.photo import encode, read_photo
from data.pixels import luma
from data.synthesis.defects import damage

ROOT = Path(__file__).parent.parent
ALL = ["_color", "_mask", "_restored", "_restored_color"]
STAGES = {"segment": segment, "inpaint": inpaint, "colorize": colorize}


def options(weights):
    return [word for stage, path in weights.items() for word in (f"--{stage}-weights", str(path))] + [
        "--device",
        "cpu",
    ]


@pytest.fixture
def run(tiny_weights):
    """Runs the command in this process; the exit status. Found masks cover some of every photo at this
    threshold.
    """

    def run(*words, weights=tiny_weights):
        return restore.main([*options(weights), *map(str, words)])

    return run


@pytest.fixture(scope="session")
def median(tiny_weights):
    """A threshold that the given share of a photo's pixels reaches."""
    finder, _ = segment.load(tiny_weights["segment"], torch.device("cpu"))

    def threshold(photo, share=0.3):
        return float(torch.quantile(finder(luma(photo.pixels)).probability, 1 - share))

    return threshold


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def report(out, name="scan"):
    return json.loads((out / f"{name}.json").read_text("utf-8"), parse_constant=pytest.fail)


def pixels(path):
    return read_photo(path).pixels


# ----------------------------------------------------------- 1. untouched pixels stay untouched

KINDS = {
    "grey.png": lambda portrait: (portrait[40:88, 80:144, 0], None),
    "rgb.png": lambda portrait: (portrait[40:88, 80:144], None),
    "rgba.png": lambda portrait: (portrait[40:88, 80:144], noise(48, 64)),
    "grey_alpha.webp": lambda portrait: (portrait[40:88, 80:144], noise(48, 64)),
    "grey16.png": lambda portrait: (noise(48, 64, dtype=np.uint16), None),
    "grey16.tif": lambda portrait: (noise(48, 64, dtype=np.uint16), None),
    "rgb16.tif": lambda portrait: (noise(48, 64, 3, dtype=np.uint16), noise(48, 64, dtype=np.uint16, seed=1)),
}


@pytest.mark.parametrize("name", KINDS)
def test_outside_the_mask_every_bit_is_the_input(tmp_path, portrait, run, median, name):
    if name == "rgb16.tif":
        pytest.importorskip("tifffile")
    photo = read_photo(save(tmp_path / name, *KINDS[name](portrait)))
    assert run(tmp_path / name, tmp_path / "out", "--threshold", median(photo), "--dilate", 1) == 0
    stem, ending = Path(name).stem, "tif" if name.endswith("tif") else "png"
    assert files(tmp_path / "out") == sorted(
        [f"{stem}.json", f"{stem}_mask.png"] + [f"{stem}{part}.{ending}" for part in ALL if part != "_mask"]
    )
    mask = np.asarray(Image.open(tmp_path / f"out/{stem}_mask.png"))
    assert mask.shape == (48, 64)
    assert set(np.unique(mask)) == {0, 255}
    assert 0.3 <= (mask == 255).mean() < 0.9
    restored = read_photo(tmp_path / f"out/{stem}_restored.{ending}")
    assert restored.pixels.dtype == photo.pixels.dtype
    assert restored.pixels.shape == photo.pixels.shape
    np.testing.assert_array_equal(restored.pixels[mask == 0], photo.pixels[mask == 0])
    changed = (restored.pixels != photo.pixels).reshape(48, 64, -1).any(-1)
    assert changed[mask == 255].mean() > 0.5  # and inside it something was painted
    if photo.alpha is not None:
        np.testing.assert_array_equal(restored.alpha, photo.alpha)

    # Colour keeps luma, that of the restored photo and that of the original.
    for part, source in (("_color", photo), ("_restored_color", restored)):
        colored = read_photo(tmp_path / f"out/{stem}{part}.{ending}")
        assert colored.pixels.ndim == 3
        assert np.abs(luma(colored.pixels) - luma(source.pixels)).max() * 255 <= 1
        assert np.ptp(colored.pixels.astype(int), axis=-1).max() > 10  # it is coloured
        assert (colored.alpha is None) == (photo.alpha is None)


@pytest.mark.parametrize(
    "options",
    [
        ["--precision", "bf16"],
        ["--tile", 32, "--overlap", 8],
        ["--no-tta"],
        ["--no-grain"],
        ["--max-side", 40],
        ["--format", "webp"],
    ],
    ids=str,
)
def test_no_option_touches_them(scan, tmp_path, run, median, options):
    photo = read_photo(scan)
    assert (
        run(
            scan,
            tmp_path / "out",
            "--threshold",
            median(photo),
            *options,
            "--only",
            "mask",
            "--only",
            "restored",
        )
        == 0
    )
    mask = pixels(tmp_path / "out/scan_mask.png")
    restored = pixels(next(path for path in (tmp_path / "out").iterdir() if "_restored" in path.name))
    np.testing.assert_array_equal(restored[mask == 0], photo.pixels[mask == 0])
    assert (mask == 0).any()
    assert (restored[mask == 255] != photo.pixels[mask == 255]).any()


@pytest.mark.parametrize("height, width", [(1, 1), (15, 15), (1, 5000), (300, 1), (101, 67)])
def test_sizes_are_kept(tmp_path, run, height, width):
    save(tmp_path / "a.png", noise(height, width))
    mask = np.where(noise(height, width, seed=1) > 99, 255, 0).astype(np.uint8)
    mask[0, 0] = 0  # something must be left to continue from
    save(tmp_path / "m.png", mask)
    assert run(tmp_path / "a.png", tmp_path / "found", "--threshold", 0.4) == 0
    assert run(tmp_path / "a.png", tmp_path / "given", "--mask", tmp_path / "m.png") == 0
    for out in ("found", "given"):
        for part in ALL:
            with Image.open(tmp_path / out / f"a{part}.png") as picture:
                assert picture.size == (width, height)
        assert report(tmp_path / out, "a")["input"]["size"] == [width, height]


# --------------------------------------------------------- 2. a clean photo comes back unchanged


def test_a_photo_without_finds_comes_back(scan, tmp_path, run, tiny_weights):
    content = checkpoint.read(tiny_weights["segment"])
    content["state"]["head.bias"] -= 10000.0  # finds nothing, ever
    checkpoint.save(tmp_path / "blind.pt", content)
    assert run(scan, tmp_path / "a", "--threshold", 1) == 0
    assert run(scan, tmp_path / "b", weights={**tiny_weights, "segment": tmp_path / "blind.pt"}) == 0
    for out in (tmp_path / "a", tmp_path / "b"):
        assert not pixels(out / "scan_mask.png").any()
        np.testing.assert_array_equal(pixels(out / "scan_restored.png"), pixels(scan))
        np.testing.assert_array_equal(pixels(out / "scan_restored_color.png"), pixels(out / "scan_color.png"))
        assert report(out)["invented"] == 0


# ------------------------------------------------------- 3. every step can be taken over by hand


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
    words = ["--mask", tmp_path / "m.png"] if given else ["--threshold", 0]
    assert run(scan, tmp_path / "out", "--protect", tmp_path / "keep", *words) == 0
    expected = np.where(protect == 255, 0, square() if given else 255)
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_mask.png"), expected)
    restored = pixels(tmp_path / "out/scan_restored.png")
    np.testing.assert_array_equal(restored[protect == 255], pixels(scan)[protect == 255])
    assert (restored != pixels(scan)).any()
    assert "protect" in report(tmp_path / "out")["companions"]


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


@pytest.mark.parametrize("role", ["mask", "protect"])
def test_a_broken_mask_is_named(scan, tmp_path, run, capsys, role):
    (tmp_path / "m.png").write_bytes(b"no picture")
    assert run(scan, tmp_path / "out", f"--{role}", tmp_path / "m.png", "--quiet") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{scan}: {role} {tmp_path}/m.png: not an image")
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


# ----------------------------------------------------------------------------- 4. nothing is lost


def test_metadata_survives(tmp_path, portrait, run):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[270], exif[274], exif[0x8769] = "Grandmother, 1943", 6, {36867: "1999:01:02 03:04:05"}
    path = tmp_path / "turned.jpg"
    Image.fromarray(portrait[:48, :64]).save(path, exif=exif, icc_profile=icc, dpi=(300, 600), quality=95)
    photo = read_photo(path)
    assert run(path, tmp_path / "out", "--threshold", 0.4) == 0
    for part in ALL[:1] + ALL[2:]:
        result = read_photo(tmp_path / f"out/turned{part}.png")
        assert result.size == (48, 64) and result.icc == icc  # upright now
        assert result.dpi == pytest.approx(photo.dpi, abs=0.02)
        tags = Image.Exif()
        tags.load(result.exif)
        assert 274 not in tags
        assert tags.get_ifd(0x8769)[36867] == "1999:01:02 03:04:05"
        remarks = {
            "_restored": [inpaint.REMARK],
            "_color": [colorize.REMARK],
            "_restored_color": [inpaint.REMARK, colorize.REMARK],
        }
        assert tags[270] == "; ".join(["Grandmother, 1943", *remarks[part]])


def test_nothing_is_overwritten_unless_asked(tmp_path, portrait, run, capsys):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out/a_restored.png"
    mine.write_bytes(b"dear to me")
    assert run(tmp_path / "in", tmp_path / "out", "--quiet") == 1
    error = capsys.readouterr().err
    assert error == f"{tmp_path}/in/a.png: {mine} exists: give --overwrite to replace it\n"
    assert mine.read_bytes() == b"dear to me"
    assert files(tmp_path / "out") == sorted(["a_restored.png", "b.json", *(f"b{part}.png" for part in ALL)])
    assert run(tmp_path / "in/a.png", tmp_path / "out", "--overwrite") == 0
    assert pixels(mine).shape == (48, 64, 3)


def test_what_is_done_is_skipped(scan, tmp_path, run, tiny_weights, capsys):
    out = tmp_path / "out"
    assert run(scan, out) == 0
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    capsys.readouterr()
    assert run(scan, out) == 0
    assert f"{scan}: already done" in capsys.readouterr().err
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    # Other weights or options are other work, and are refused rather than mixed up.
    content = checkpoint.read(tiny_weights["colorize"])
    content["state"]["head.bias"] += 0.25
    checkpoint.save(tmp_path / "other.pt", content)
    for words, weights in (
        (["--threshold", 0.9], tiny_weights),
        (["--no-grain"], tiny_weights),
        (["--dilate", 7], tiny_weights),
        ([], {**tiny_weights, "colorize": tmp_path / "other.pt"}),
    ):
        assert run(scan, out, *words, weights=weights) == 1
        assert "--overwrite" in capsys.readouterr().err
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    assert run(scan, out, "--overwrite", weights={**tiny_weights, "colorize": tmp_path / "other.pt"}) == 0
    assert (out / "scan_color.png").read_bytes() != before["scan_color.png"][0]


def test_one_bad_photo_never_stops_the_rest(tmp_path, portrait, run, capsys):
    for name in ("a b", "c", "ü"):
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    whole = (tmp_path / "in/c.png").read_bytes()
    (tmp_path / "in/b cut.png").write_bytes(whole[: len(whole) // 2])
    words = [
        tmp_path / "in",
        tmp_path / "gone.png",
        tmp_path / "out",
        "--only",
        "color",
        "--quiet",
        "--json",
        "-",
    ]
    assert run(*words) == 1
    out, error = capsys.readouterr()
    assert [line.split(": ")[0] for line in error.splitlines()] == [
        f"{tmp_path}/in/b cut.png",
        f"{tmp_path}/gone.png",
    ]
    assert files(tmp_path / "out") == sorted(
        f"{name}{end}" for name in ("a b", "c", "ü") for end in (".json", "_color.png")
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "failed", "done", "done", "failed"]
    assert rows[0] == {"status": "done", **report(tmp_path / "out", "a b")}
    assert "truncated" in rows[1]["error"]


def test_too_many_pixels_are_refused(scan, tmp_path, run, capsys):
    assert run(scan, tmp_path / "out", "--max-pixels", 1000) == 1
    assert "--max-pixels" in capsys.readouterr().err
    assert files(tmp_path / "out") == []


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_photo_leaves_nothing(tmp_path, portrait, run, monkeypatch, capsys, number):
    """The signal comes while the second photo is computed."""
    for name in "abc":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    real, calls = colorize.Colorizer.chroma, []

    def chroma(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
            time.sleep(5)
        return real(self, *arguments)

    monkeypatch.setattr(colorize.Colorizer, "chroma", chroma)
    assert run(tmp_path / "in", tmp_path / "out", "--quiet", "--threshold", 0.4) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert files(tmp_path / "out") == sorted(["a.json", *(f"a{part}.png" for part in ALL)])
    monkeypatch.undo()
    # and goes on from there
    assert run(tmp_path / "in", tmp_path / "out", "--quiet", "--threshold", 0.4) == 0
    assert len(files(tmp_path / "out")) == 15


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_ctrl_c_of_the_program(tmp_path, tiny_weights):
    for number in range(300):
        save(tmp_path / f"in/{number:03}.png", noise(24, 24, seed=number))
    words = [
        sys.executable,
        "restore.py",
        *options(tiny_weights),
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        "--quiet",
    ]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "out").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "interrupted\n"
    assert out == ""
    found = files(tmp_path / "out")
    done = [name.removesuffix(".json") for name in found if name.endswith(".json")]
    assert 0 < len(done) < 300
    assert found == sorted(
        name for stem in done for name in (f"{stem}.json", *(f"{stem}{part}.png" for part in ALL))
    )


def test_the_probability_is_that_of_finding(scan, tmp_path, run, tiny_weights, capsys):
    assert run(scan, tmp_path / "out", "--probability", "--only", "mask") == 0
    assert (
        segment.main(
            [
                "infer",
                str(scan),
                str(tmp_path / "found"),
                "--probability",
                "--weights",
                str(tiny_weights["segment"]),
            ]
        )
        == 0
    )
    one, other = ((tmp_path / folder / "scan_probability.png").read_bytes() for folder in ("out", "found"))
    assert one == other
    assert "scan_probability.png" in report(tmp_path / "out")["outputs"]
    for words in (["--mask", scan], ["--only", "color"], ["--only", "color", "--only", "color"]):
        with pytest.raises(SystemExit):
            run(scan, tmp_path / "none", "--probability", *words)
        assert "--probability: nothing is searched" in capsys.readouterr().err


# ------------------------------------------------------------------------- 5. it says what it did


def test_the_report(tmp_path, portrait, run, tiny_weights, median):
    path = save(tmp_path / "scan.tif", portrait[:48, :64])
    threshold = median(read_photo(path))
    assert run(path, tmp_path / "out", "--threshold", threshold, "--format", "jpg") == 0
    facts = report(tmp_path / "out")
    assert facts["version"] == 1
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
        "outputs": list(restore.PICTURES.values()),
    }
    assert expected.items() <= facts["options"].items()
    names = {"scan_mask.png", "scan_restored.jpg", "scan_restored_color.jpg", "scan_color.jpg"}
    assert facts["outputs"] == {
        name: hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() for name in names
    }
    assert facts["invented"] == pytest.approx(
        (pixels(tmp_path / "out/scan_mask.png") == 255).mean(), abs=1e-6
    )
    assert facts["seconds"].keys() == set(STAGES)
    assert all(seconds >= 0 for seconds in facts["seconds"].values())
    assert any("not lossless" in warning for warning in facts["warnings"])
    assert any("very small" in warning for warning in facts["warnings"])
    assert facts["program"] == engine.PROGRAM
    # JPEG changes a little everywhere, and the report does not hide it: what it says is true of the files.
    mask, restored = pixels(tmp_path / "out/scan_mask.png"), pixels(tmp_path / "out/scan_restored.jpg")
    change = np.abs(restored.astype(int) - pixels(path))[mask == 0].max()
    assert facts["measured"].keys() == {"outside_mask", "luma_color", "luma_restored_color"}
    assert facts["measured"]["outside_mask"] == change > 0
    shift = np.abs(luma(pixels(tmp_path / "out/scan_color.jpg")) - luma(pixels(path))).max() * 255
    assert facts["measured"]["luma_color"] == pytest.approx(shift, abs=1e-3)


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


def test_the_report_of_colour_alone(tmp_path, portrait, run):
    photo = save(tmp_path / "scan.png", portrait)
    assert run(photo, tmp_path / "out", "--only", "color") == 0
    facts = report(tmp_path / "out")
    assert facts["regions"] is None
    assert facts["measured"].keys() == {"luma_color"}
    assert [warning.split(":")[0] for warning in facts["warnings"]] == ["probably already coloured"]
    assert run(photo, tmp_path / "mask", "--only", "mask", "--no-tta", "--threshold", 0.4) == 0
    assert report(tmp_path / "mask")["warnings"] == []


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


# ---------------------------------------------------------------------------------- 6. the command


def test_processes_share_the_photos(tmp_path, portrait, run, monkeypatch):
    """As torchrun starts them."""
    for name in "abc":
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, done in (("1", ["b"]), ("0", ["a", "b", "c"])):
        monkeypatch.setenv("RANK", rank)
        assert run(tmp_path / "in", tmp_path / "out", "--only", "color") == 0
        assert files(tmp_path / "out") == sorted(
            f"{name}{end}" for name in done for end in (".json", "_color.png")
        )


def test_standard_input_to_standard_output(scan, tmp_path, run, tiny_weights):
    words = [
        sys.executable,
        "restore.py",
        "-",
        "-",
        "--only",
        "restored",
        "--threshold",
        "0.4",
        *options(tiny_weights),
    ]
    done = subprocess.run(words, cwd=ROOT, input=scan.read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert run(scan, tmp_path / "out", "--only", "restored", "--threshold", 0.4) == 0
    assert done.stdout == (tmp_path / "out/scan_restored.png").read_bytes()
    assert b"Traceback" not in done.stderr
    assert b"Warning" not in done.stderr


def test_standard_input_to_a_folder(scan, tmp_path, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(scan.read_bytes())))
    assert run("-", tmp_path / "out", "--only", "mask") == 0
    assert files(tmp_path / "out") == ["stdin.json", "stdin_mask.png"]
    assert report(tmp_path / "out", "stdin")["input"]["name"] == "stdin"


USAGE = [
    [],
    ["a.png"],
    ["a.png", "out", "--threshold", "1.5"],
    ["a.png", "out", "--only", "everything"],
    ["a.png", "out", "--dilate", "-1"],
    ["a.png", "out", "--max-side", "0"],
    ["a.png", "out", "--tile", "64", "--overlap", "64"],
    ["a.png", "out", "--thres", "0.5"],
    ["a.png", "-"],
    ["a.png", "-", "--only", "mask", "--only", "color"],
    ["a.png", "-", "--only", "mask", "--json", "-"],
    ["a.png", "-", "--only", "mask", "--compare"],
    ["a.png", "a.png"],
    ["a.png", "-", "--only", "mask", "--psd"],
    ["a.png", "out", "--device", "gpu"],
    ["a.png", "out", "--precision", "fp8"],
    ["a.png", "out", "--max-pixels", "0"],
]

CODE = f"""
import contextlib, io, json, os, sys
sys.path.insert(0, {str(ROOT)!r})
import restore
answers = []
for words in {USAGE!r}:
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            status = restore.main(words)
    except SystemExit as caught:
        status = caught.code
    answers.append([status, error.getvalue()])
print(json.dumps(["torch" in sys.modules, answers]))
"""


def test_usage_errors_answer_before_anything_is_loaded(tmp_path):
    save(tmp_path / "a.png", noise(5, 6))
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    torch_was_loaded, answers = json.loads(done.stdout)
    assert not torch_was_loaded
    assert len(answers) == len(USAGE)
    for words, (status, error) in zip(USAGE, answers):
        assert status == 2 and "error: " in error, words
    assert all(path.name in ("a.png", "out") for path in tmp_path.iterdir())
    assert (tmp_path / "a.png").stat().st_size > 0


def test_weights_that_cannot_be_used(scan, tmp_path, run, tiny_weights, capsys):
    for stage in tiny_weights:
        other = "colorize" if stage != "colorize" else "inpaint"
        for path, reason in (
            (tmp_path / "none.pt", "no such weights file"),
            (scan, "not a readable weights file"),
            (tiny_weights[other], f"weights of {other}, but {stage} was asked for"),
        ):
            assert run(scan, tmp_path / "out", weights={**tiny_weights, stage: path}) == 2
            error = capsys.readouterr().err
            assert reason in error
            assert str(path) in error
            assert error.count("\n") == 1
    assert files(tmp_path / "out") == []


def test_ctrl_c_while_weights_are_read(scan, tmp_path, run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(segment, "load", interrupted)
    assert run(scan, tmp_path / "out") == 130


# ------------------------------------------------------------------------------ the bundled weights

BUNDLED = [
    pytest.param(
        stage, marks=pytest.mark.skipif(not stage.WEIGHTS.exists(), reason=f"no {stage.WEIGHTS.name} yet")
    )
    for stage in STAGES.values()
]


@pytest.mark.parametrize("stage", BUNDLED)
def test_bundled_weights_load_and_are_small(stage):
    assert stage.WEIGHTS.stat().st_size <= 5_000_000
    content = checkpoint.read_weights(stage.WEIGHTS, stage.STAGE)
    assert all(torch.isfinite(x).all() for x in content["state"].values())
    stage.load(stage.WEIGHTS, torch.device("cpu"))
    assert str(ROOT) not in json.dumps(content["training"])  # no path of the machine that trained them


@pytest.mark.skipif(
    not all(stage.WEIGHTS.exists() for stage in STAGES.values()), reason="not all weights are there yet"
)
def test_it_works_at_once(tmp_path):
    """Without any option: a portrait loses its scratches and flakes, and a report says by which weights."""
    from skimage import data

    clean = np.rint(luma(data.astronaut()) * 255).astype(np.uint8)
    damaged, truth = damage(
        luma(clean), np.random.default_rng(1), kinds=["light_scratches", "peels"], amount=0.5
    )
    damaged, truth = np.rint(damaged * 255).astype(np.uint8), truth == 255
    path = save(tmp_path / "portrait.png", damaged)
    assert restore.main([str(path), str(tmp_path / "out")]) == 0
    facts = report(tmp_path / "out", "portrait")
    assert facts["weights"] == {name: checkpoint.fingerprint(stage.WEIGHTS) for name, stage in STAGES.items()}
    mask = pixels(tmp_path / "out/portrait_mask.png") == 255
    assert mask[truth].mean() > 0.8
    assert mask.mean() < 0.25
    restored = pixels(tmp_path / "out/portrait_restored.png")
    np.testing.assert_array_equal(restored[~mask], damaged[~mask])
    before, after = (np.abs(x.astype(int) - clean)[truth].mean() for x in (damaged, restored))
    assert after < 0.5 * before
    for name in ("restored_color", "color"):
        assert np.abs(luma(pixels(tmp_path / f"out/portrait_{name}.png")).mean() - luma(clean).mean()) < 0.1


# ------------------------------------------------------------------------------------ large photographs


def test_a_large_photo_is_coloured_in_bands_as_a_small_one(tiny_weights, portrait, monkeypatch):
    colorizer, grey = colorize.load(tiny_weights["colorize"], torch.device("cpu")), luma(portrait[:201, :130])
    whole = colorizer(grey)
    monkeypatch.setattr(colorize, "LARGE", 0)
    monkeypatch.setattr("data.pixels.BAND", 64)
    bands = colorizer(grey)
    assert np.abs(bands.astype(int) - whole).max() <= 1
    assert (bands != whole).mean() < 0.01
    assert np.abs(luma(bands) - grey).max() * 255 <= 0.51


@pytest.mark.parametrize("grain", [True, False])
def test_a_large_photo_is_painted_in_bands_as_a_small_one(tiny_weights, monkeypatch, grain):
    """The bands of holes, of coarser scales and of grain leave no trace: the same bits."""
    painter = inpaint.load(tiny_weights["inpaint"], torch.device("cpu"), tile=96, overlap=32, grain=grain)
    pixels, mask = noise(301, 133), np.where(noise(301, 133, seed=1) > 250, 255, 0).astype(np.uint8)
    mask[40:200, 20:110] = 255  # deeper than one reach
    mask[255:258] = 255
    whole = painter(pixels, mask)
    monkeypatch.setattr("data.pixels.BAND", 64)
    monkeypatch.setattr("nets.ops.filling.BAND", 64)
    np.testing.assert_array_equal(painter(pixels, mask), whole)


@pytest.mark.parametrize(
    "format, options, dtype",
    [
        ("TIFF", [], np.uint16),
        ("PNG", [], np.uint16),
        ("PNG", ["--format", "webp"], np.uint8),
        ("PNG", ["--format", "tif"], np.uint16),
    ],
)
def test_colours_keep_16_bits_where_the_file_can_hold_them(tmp_path, run, format, options, dtype):
    grey, path = noise(40, 50).astype(np.uint16) * 251, tmp_path / ("a.tif" if format == "TIFF" else "a.png")
    path.write_bytes(encode(grey, None, format))
    assert run(path, tmp_path / "out", *options, "--only", "color") == 0
    (result,) = [x for x in (tmp_path / "out").iterdir() if "_color" in x.name]
    said = [x for x in json.loads((tmp_path / "out/a.json").read_text())["warnings"] if "8 bits" in x]
    assert len(said) == (dtype == np.uint8)
    if dtype == np.uint16:
        pytest.importorskip("imagecodecs")
    picture = read_photo(result).pixels
    assert picture.dtype == dtype
    assert picture.ndim == 3
    if dtype == np.uint16:  # luma in steps of 1/65535
        assert np.abs(luma(picture) - luma(grey)).max() * 65535 <= 1


def test_a_photo_too_large_for_the_gpu_is_done_in_smaller_tiles(scan, tmp_path, run, monkeypatch):
    from nets.ops import tiling

    whole, sides = tiling.padded, []

    def padded(net, x, size_divisor):
        sides.append(max(x.shape[-2:]))
        if sides[-1] > 20:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(net, x, size_divisor)

    monkeypatch.setattr(tiling, "padded", padded)
    monkeypatch.setattr(tiling.Tiling, "min_tile", 16)
    assert (
        run(scan, tmp_path / "out", "--threshold", 0.4, "--tile", 40, "--overlap", 8, "--only", "restored")
        == 0
    )
    report = json.loads((tmp_path / "out/scan.json").read_text())
    assert [warning for warning in report["warnings"] if "memory" in warning] == 2 * [
        "GPU memory ran out: done in tiles of 20 px, which are used from here on"
    ]


def test_grain_of_a_large_photo_is_measured_on_a_part(monkeypatch):
    from nets.ops import grain

    picture = (0.5 + 0.05 * torch.randn(1, 1, 400, 300, generator=torch.Generator().manual_seed(1))).clamp(
        0, 1
    )
    valid = torch.ones_like(picture, dtype=torch.bool)
    valid[..., 100:300, 80:220] = False
    picture = torch.where(valid, picture, 0.5)
    whole = grain.match_grain(picture.clone(), valid)
    monkeypatch.setattr(grain, "SAMPLE", 60_000)
    part = grain.match_grain(picture.clone(), valid)
    assert torch.equal(part[valid], picture[valid])
    assert not torch.equal(part, whole)
    assert part[~valid].std() == pytest.approx(float(whole[~valid].std()), rel=0.1)
    assert whole[~valid].std() > 0.03
