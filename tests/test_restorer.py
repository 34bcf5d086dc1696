"""Restorer, as a program uses it: inputs, laziness, threads, errors, and the same bytes as the command."""

import argparse
import dataclasses
import inspect
import io
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT, noise, save, square
from PIL import Image

import colorize
import inpaint
import restore
import segment
from data.errors import PhotoError, UserError, WeightsError
from data.images import digest
from data.photo import read_photo
from restore import PICTURES, Restorer

NETWORKS = {"finder": segment, "painter": inpaint, "colorizer": colorize}
NAMES = ["mask", "restored", "restored_color", "color"]


@pytest.fixture
def weights(tiny_weights):
    return {f"{stage}_weights": path for stage, path in tiny_weights.items()}


@pytest.fixture
def restorer(weights, portrait):
    """Detects damage in a part of `scan`."""
    probability = Restorer(device="cpu", **weights)(portrait[40:88, 80:144]).probability
    return Restorer(device="cpu", threshold=float(np.quantile(probability, 0.7)), **weights)


@pytest.fixture
def loaded(monkeypatch):
    """The stages whose networks were loaded."""
    stages = []
    for stage in NETWORKS.values():

        def load(*arguments, _stage=stage, _load=stage.load, **options):
            stages.append(_stage.STAGE)
            return _load(*arguments, **options)

        monkeypatch.setattr(stage, "load", load)
    return stages


def same(one, other):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


# ----------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize("form", ["path", "str", "bytes", "picture", "array"])
def test_every_form_gives_the_same_pictures(restorer, scan, form):
    pixels = read_photo(scan).pixels
    forms = {
        "path": scan,
        "str": str(scan),
        "bytes": scan.read_bytes(),
        "picture": Image.open(scan),
        "array": pixels,
    }
    result, expected = restorer(forms[form]), restorer(scan)
    assert 0 < (result.mask == 255).mean() < 1
    for name in NAMES:
        same(getattr(result, name), getattr(expected, name))
    assert result.report["invented"] == expected.report["invented"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3), (40, 50, 4)])
def test_arrays(restorer, shape, dtype):
    array = noise(*shape, dtype=dtype)
    result = restorer(array)
    pixels = array[..., :3] if array.ndim == 3 else array
    assert result.restored.shape == pixels.shape
    assert result.restored.dtype == dtype
    same(result.restored[result.mask == 0], pixels[result.mask == 0])
    assert (result.restored[result.mask == 255] != pixels[result.mask == 255]).any()
    assert result.color.shape == result.restored_color.shape == (40, 50, 3)
    assert result.color.dtype == dtype  # an array can hold 16-bit color
    assert result.probability.shape == (40, 50)
    assert 0 <= result.probability.min() < result.probability.max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16"])
def test_pillow_pictures(restorer, mode):
    grey = Image.fromarray(noise(40, 50))
    picture = Image.fromarray(noise(40, 50, dtype=np.uint16)) if mode == "I;16" else grey.convert(mode)
    result = restorer(picture)
    assert result.restored.shape[:2] == (40, 50)
    assert result.restored.dtype == (np.uint16 if mode == "I;16" else np.uint8)


def test_the_programs_arrays_are_not_kept(restorer):
    array = noise(40, 50)
    first = array.copy()
    result = restorer(array)
    array[:] = 0
    same(result.restored[result.mask == 0], first[result.mask == 0])


@pytest.mark.parametrize(
    "image, reason",
    [
        (np.zeros((4, 5)), "array of float64: scale it to 0..255"),
        (np.zeros((4, 5), np.float32), "array of float32"),
        (np.zeros((4, 5), bool), "array of bool"),
        (np.zeros((4, 5, 2), np.uint8), "array of shape 4 x 5 x 2: give (H, W), (H, W, 3)"),
        (np.zeros(5, np.uint8), "array of shape 5"),
        (np.zeros((4, 5), ">f4"), "array of float32"),
        (np.zeros((4, 5), object), "array of object"),
        (np.ma.masked_equal(np.zeros((4, 5), np.uint8), 0), "array with masked elements"),
        (np.zeros((0, 5), np.uint8), "5 x 0 pixels"),
        (Image.new("F", (5, 4)), "floating-point pixels"),
        ("missing.png", "missing.png: no such file"),
        (b"no image", "not an image of a known kind"),
        (None, "NoneType is not a photograph"),
        ([[0, 1]], "list is not a photograph"),
    ],
    ids=str,
)
def test_what_is_no_photograph(restorer, image, reason):
    with pytest.raises(PhotoError) as caught:
        restorer(image)
    assert reason in str(caught.value)


def test_arrays_of_other_kinds(restorer):
    """Of another byte order, a matrix, and a masked array without masked elements."""
    plain = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    for array in (plain.astype(">u2"), plain.view(np.matrix), np.ma.array(plain)):
        original = restorer(array).original
        same(original, plain)
        assert type(original) is np.ndarray and original.dtype == np.uint16


def test_too_many_pixels(weights, scan):
    restorer = Restorer(device="cpu", max_pixels=1000, **weights)
    for image in (scan, read_photo(scan).pixels):
        with pytest.raises(PhotoError, match="1000"):
            restorer(image)


def test_a_truncated_picture(restorer, scan):
    data = scan.read_bytes()
    picture = Image.open(io.BytesIO(data[: len(data) // 2]))
    with pytest.raises(PhotoError, match="truncated"):
        restorer(picture)


# ------------------------------------------------------------------------------ masks and known colors


@pytest.mark.parametrize("form", ["path", "bytes", "picture", "array"])
def test_a_given_mask_and_a_protected_area(restorer, scan, tmp_path, loaded, form):
    box = square(box=np.s_[5:40, 5:35])
    mask, protect = save(tmp_path / "m.png", square()), save(tmp_path / "p.png", box)
    forms = {
        "path": lambda path: path,
        "bytes": lambda path: path.read_bytes(),
        "picture": Image.open,
        "array": lambda path: np.asarray(Image.open(path)),
    }
    result = restorer(scan, mask=forms[form](mask), protect=forms[form](protect))
    same(result.mask, np.where(box == 255, 0, square()).astype(np.uint8))
    outside = result.mask == 0
    same(result.restored[outside], read_photo(scan).pixels[outside])
    assert loaded == ["inpaint"]
    assert result.report["companions"].keys() == {"mask", "protect"}
    with pytest.raises(UserError, match="mask is given"):
        _ = result.probability


def test_hints_as_an_array_are_those_of_the_file(restorer, scan, tmp_path):
    strokes = np.zeros((48, 64, 4), np.uint8)
    strokes[10:20, 10:30] = 200, 40, 40, 255
    Image.fromarray(strokes).save(tmp_path / "hints.png")
    colors = [restorer(scan, hints=hints).color for hints in (strokes, tmp_path / "hints.png", None)]
    same(colors[0], colors[1])
    assert (colors[0] != colors[2]).any()


@pytest.mark.parametrize("role", ["mask", "protect", "hints"])
def test_errors_name_the_role_and_the_file(restorer, scan, tmp_path, role):
    path = tmp_path / "x.png"
    path.write_text("no image")
    result = restorer(scan, **{role: path})
    name = "color" if role == "hints" else "mask"
    with pytest.raises(PhotoError) as caught:
        getattr(result, name)
    assert str(caught.value).startswith(f"{role} {path}: not an image")


def test_a_report_names_a_companion_that_is_missing(restorer, scan, tmp_path):
    missing = tmp_path / "none.png"
    with pytest.raises(PhotoError) as caught:
        _ = restorer(scan, mask=missing).report
    assert str(caught.value) == f"mask {missing}: no such file"


def test_companions_that_differ_have_different_digests():
    flat, palette = Image.new("P", (4, 4)), Image.new("P", (4, 4))
    flat.putpalette([0, 0, 0])
    palette.putpalette([255, 0, 0])
    arrays = [np.zeros((2, 8), "u1"), np.zeros((4, 4), "u1"), np.zeros((2, 4), "<u2"), flat, palette]
    assert len({digest(array, "mask") for array in arrays}) == len(arrays)


# --------------------------------------------------------------------------------------------- laziness


@pytest.mark.parametrize(
    "name, stages",
    [
        ("photo", []),
        ("mask", ["segment"]),
        ("probability", ["segment"]),
        ("restored", ["segment", "inpaint"]),
        ("restored_color", ["segment", "inpaint", "colorize"]),
        ("color", ["colorize"]),
    ],
)
def test_only_networks_that_the_picture_needs_are_loaded(restorer, scan, loaded, name, stages):
    getattr(restorer(scan), name)
    assert sorted(loaded) == sorted(stages)


def test_each_picture_is_computed_once_and_each_network_loaded_once(restorer, scan, loaded, monkeypatch):
    colors = []
    call = colorize.Colorizer.__call__
    monkeypatch.setattr(colorize.Colorizer, "__call__", lambda *words: colors.append(1) or call(*words))
    for _ in range(2):
        result = restorer(scan)
        for name in (*NAMES, *NAMES, "report"):
            getattr(result, name)
        assert result.color is result.color
    assert len(colors) == 4
    assert sorted(loaded) == ["colorize", "inpaint", "segment"]


def test_what_nothing_was_painted_in_is_colorized_once(restorer, scan, monkeypatch):
    colors = []
    call = colorize.Colorizer.__call__
    monkeypatch.setattr(colorize.Colorizer, "__call__", lambda *words: colors.append(1) or call(*words))
    result = restorer(scan, mask=np.zeros((48, 64), np.uint8))
    assert result.restored_color is result.color
    assert len(colors) == 1


def test_the_report_of_some_pictures_needs_only_their_networks(weights, scan, loaded):
    result = Restorer(device="cpu", only=["color"], **weights)(scan)
    assert result.report["weights"].keys() == {"colorize"}
    assert loaded == ["colorize"]
    assert "tile" not in result.report["options"]
    assert json.dumps(result.report)


def test_nothing_is_printed(restorer, scan, capfd):
    assert restorer(scan).report
    assert capfd.readouterr() == ("", "")


# -------------------------------------------------------------------------------------- as the command


@pytest.mark.parametrize("format", ["auto", "jpg", "tif"])
def test_the_command_gives_the_same(restorer, weights, scan, tmp_path, format):
    words = [word for name, path in weights.items() for word in (f"--{name.replace('_', '-')}", str(path))]
    words += ["--threshold", str(restorer.threshold), "--device", "cpu", "--format", format]
    assert restore.main([str(scan), str(tmp_path / "out"), *words]) == 0
    result = dataclasses.replace(restorer, format=format)(scan)
    assert 0 < result.report["invented"] < 1
    ending = {"auto": "png"}.get(format, format)
    for name in NAMES:
        file = tmp_path / "out" / ("scan" + PICTURES[name].format(ext=ending))
        if format == "jpg" and name != "mask":  # JPEG changes the pixels, not the way to its bytes
            buffer = io.BytesIO()
            Image.fromarray(getattr(result, name)).save(buffer, "JPEG", quality=95, subsampling=0)
            same(read_photo(file).pixels, read_photo(buffer.getvalue()).pixels)
        else:
            same(read_photo(file).pixels, getattr(result, name))
    report = json.loads((tmp_path / "out/scan.json").read_text())
    keys = (
        "version",
        "program",
        "input",
        "options",
        "weights",
        "companions",
        "invented",
        "regions",
        "measured",
    )
    assert {key: report[key] for key in keys} == {key: result.report[key] for key in keys}
    assert report["warnings"][: len(result.report["warnings"])] == result.report["warnings"]


def test_keywords_are_options_with_their_defaults():
    parser = argparse.ArgumentParser()
    restore.restoring_options(parser)
    fields = {part.name: part.default for part in dataclasses.fields(Restorer) if part.init}
    assert {name: parser.get_default(name) for name in fields} == fields
    destinations = {action.dest for action in parser._actions}
    for_files = {
        "help",
        "photos",
        "out",
        "recursive",
        "files_from",
        "name",
        "overwrite",
        "json",
        "quiet",
        "compare",
        "psd",
        "probability",
        "page",
        "corrections",
    }
    called_with = set(inspect.signature(Restorer.__call__).parameters) - {"self", "photo"}
    assert destinations - for_files - set(fields) == called_with


@pytest.mark.parametrize(
    "option, value",
    [
        ("only", ["everything"]),
        ("only", []),
        ("only", "mask"),
        ("only", 5),
        ("only", True),
        ("only", [["mask"]]),
        ("only", iter(())),
        ("only", (name for name in ["toned"])),
        ("tile", 10**30),
        ("max_side", 10**30),
        ("device", "gpu"),
        ("max_pixels", 0),
        ("tile", None),
        ("threshold", 0),
        ("threshold", "low"),
        ("dilate", 101),
        ("precision", "fp8"),
        ("format", "gif"),
        ("overlap", 513),
        ("threshold", 1.5),
        ("tile", 127),
        ("dilate", -1),
        ("max_side", 63),
        ("tone", "warm"),
        ("tta", "off"),
        ("grain", "no"),
    ],
)
def test_values_that_the_command_would_refuse(option, value):
    with pytest.raises(UserError, match=option):
        Restorer(**{option: value})


def test_pictures_of_an_iterator():
    assert Restorer(only=(name for name in ["color", "mask"])).wanted == ["mask", "color"]


def test_a_number_out_of_range_is_not_said_to_be_none():
    with pytest.raises(UserError, match="smallest: '-1' is not a finite number above 0"):
        Restorer(smallest=-1)


def test_numbers_of_numpy():
    """They become those of Python, which the report can hold."""
    restorer = Restorer(tile=np.int64(256), threshold=np.float32(0.5))
    assert (type(restorer.tile), type(restorer.threshold)) == (int, float)
    assert (restorer.tile, restorer.threshold) == (256, 0.5)


def test_what_cannot_be_loaded(restorer, weights, scan, tmp_path):
    missing = dataclasses.replace(restorer, segment_weights=tmp_path / "none.pt")
    with pytest.raises(WeightsError, match="no such weights file"):
        _ = missing(scan).mask
    assert missing(scan).color.shape == (48, 64, 3)  # which does not need them
    with pytest.raises(UserError, match="cuda:99"):
        _ = Restorer(device="cuda:99", **weights)(scan).mask


def test_a_mask_that_leaves_nothing(restorer, scan):
    result = restorer(scan, mask=np.full((48, 64), 255, np.uint8))
    for _ in range(2):  # an error is not kept in place of a picture
        with pytest.raises(PhotoError, match="covers the whole photograph"):
            _ = result.restored
    assert result.color.shape == (48, 64, 3)


# ---------------------------------------------------------------------------------------------- threads


def test_two_threads_may_read_one_result(restorer, scan, monkeypatch):
    computing, calls = threading.Event(), []
    find = segment.find

    def slow(*arguments):
        calls.append(1)
        computing.set()
        threading.Event().wait(0.3)
        return find(*arguments)

    monkeypatch.setattr(segment, "find", slow)
    result = restorer(scan)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(lambda: result.restored)
        assert computing.wait(60)
        second = threads.submit(lambda: result.restored)
        assert first.result() is second.result()
    assert len(calls) == 1


def test_several_threads_may_use_one_restorer(weights, portrait):
    images = [portrait[y : y + 40, x : x + 50] for y in (0, 60, 120) for x in (0, 80)]
    alone = [Restorer(device="cpu", **weights)(image).restored_color for image in images]
    restorer = Restorer(device="cpu", **weights)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda image: restorer(image).restored_color, images))
    for one, other in zip(alone, together, strict=True):
        same(one, other)


def test_shared_arrays_cannot_be_changed(restorer, scan):
    result = restorer(scan)
    for name in (*NAMES, "probability"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(result, name)[0, 0] = 0


def test_the_example_of_its_docstring():
    program = """
import doctest, sys, restore
(example,) = doctest.DocTestFinder(recurse=False).find(restore.Restorer, globs={})
result = doctest.DocTestRunner().run(example)
sys.exit(result.failed or not result.attempted)
"""
    words = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
