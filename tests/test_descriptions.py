"""Descriptions in which programs state the layout of a TIFF: results open, and what else they say is kept."""

import io
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import noise

from data import exif
from data.photo import Photo, encode, read_photo

tifffile = pytest.importorskip("tifffile")
REMARK = "Damage painted in"
GREY, COLOR, STACK = noise(20, 30), noise(20, 30, 3), noise(2, 20, 30)
FLAT = {"photometric": "minisblack"}


def scan(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **({"photometric": "rgb"} if array.shape[-1] == 3 else FLAT), **options)
    return file.getvalue()


def description(data):
    """As bytes, without the closing NUL."""
    directory = exif.read(data)
    return directory[270].data.rstrip(b"\0") if 270 in directory else None


def described(text, remark=REMARK):
    """The description of a result, of a photograph with this one."""
    photo = read_photo(scan(COLOR, description=text, metadata=None))
    return description(encode(photo.pixels, photo, "TIFF", remark))


@pytest.mark.parametrize("remark", ["", REMARK], ids=["untouched", "restored"])
@pytest.mark.parametrize("colorized", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("kind", [{}, {"ome": True}, {"imagej": True}], ids=["tifffile", "OME", "ImageJ"])
@pytest.mark.parametrize("pages", [GREY, COLOR, STACK], ids=["grey", "color", "stack"])
def test_tifffile_opens_results_of_its_own_files(pages, kind, deep, colorized, remark):
    """Those of a stack have one picture: no program may look for more."""
    if deep and "imagej" in kind and pages is COLOR:
        pytest.skip("ImageJ has no color of 16 bits")
    array = pages.astype(np.uint16) * 257 if deep else pages
    photo = read_photo(scan(array, **kind))
    pixels = np.dstack([photo.pixels] * 3) if colorized and photo.pixels.ndim == 2 else photo.pixels
    data = encode(pixels, photo, "TIFF", remark)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), pixels)
    assert remark.encode() in (description(data) or b"")


def test_a_layout_is_no_caption():
    assert described('{"shape": [20, 30, 3]}') == REMARK.encode()
    assert described('{"shape": [20, 30, 3], "axes": "YXS", "truncated": true}') == REMARK.encode()
    photo = read_photo(scan(COLOR))
    assert description(encode(photo.pixels, photo, "TIFF")) is None
    png = read_photo(encode(photo.pixels, photo, "PNG", REMARK))
    assert exif.read(png.exif)[270].data == REMARK.encode() + b"\0"


def test_what_a_layout_has_beside_it_is_kept():
    own = '{"shape": [20, 30, 3], "Author": "M\\u00fcller"}'
    assert described(own) == b'{"Author": "M\\u00fcller"}; ' + REMARK.encode()
    before = '{"shape": [20, 30, 3]}; Colors estimated'  # of a version that wrote on behind it
    assert described(before) == b"Colors estimated; " + REMARK.encode()
    lines = "ImageJ=1.54f\nimages=2\nslices=2\nmin=3.0\n"
    assert described(lines) == b"ImageJ=1.54f\nmin=3.0\n; " + REMARK.encode()


def test_a_caption_before_the_layout_is_kept():
    """tifffile writes both under one tag."""
    photo = read_photo(scan(COLOR, description="Grandmother"))
    assert description(encode(photo.pixels, photo, "TIFF", REMARK)) == b"Grandmother; " + REMARK.encode()


@pytest.mark.parametrize(
    "text", ['{"shape": "oval"}', '{"shape": [20', "{Lake}", "shape", "<i>Lake</i>", "[1]"]
)
def test_other_captions_stay(text):
    assert described(text) == text.encode() + b"; " + REMARK.encode()
    assert described(text, remark="") == text.encode()


def test_layouts_that_cannot_be_written_again_stay():
    latin = b'{"shape": [2, 3], "Author": "M\xfcller"}'
    assert exif._caption(latin) == latin
    for depth in range(sys.getrecursionlimit() // 5, sys.getrecursionlimit() + 5, 7):
        nested = b'{"shape": [2, 3], "a": ' + b"[" * depth + b"]" * depth + b"}"
        assert exif._caption(nested) in (nested, nested.replace(b'"shape": [2, 3], ', b"") + b"\0")


@pytest.mark.parametrize("pages", [GREY, STACK], ids=["page", "stack"])
def test_ome_stays_well_formed_and_keeps_all(pages):
    data = scan(pages, ome=True)
    before, photo = description(data), read_photo(data)
    after = description(encode(photo.pixels, photo, "TIFF", REMARK))
    assert ElementTree.canonicalize(after.decode()) == ElementTree.canonicalize(before.decode())
    assert after.count(f"<!-- {REMARK} -->".encode()) == 1
    again = read_photo(encode(photo.pixels, photo, "TIFF", REMARK))
    assert description(encode(again.pixels, again, "TIFF", REMARK)) == after
    untouched = description(encode(photo.pixels, photo, "TIFF"))
    assert untouched == before if pages is GREY else untouched.startswith(before)


def test_ome_of_several_channels_or_series_is_not_taken_for_the_layout():
    channels = scan(noise(3, 20, 30), ome=True, metadata={"axes": "CYX"})
    file = io.BytesIO()
    with tifffile.TiffWriter(file, ome=True) as tiff:
        for array in (GREY, GREY[:10]):
            tiff.write(array, **FLAT)
    for data in (channels, file.getvalue()):
        photo = read_photo(data)
        with tifffile.TiffFile(io.BytesIO(encode(photo.pixels, photo, "TIFF"))) as result:
            assert len(result.series) == 1
            np.testing.assert_array_equal(result.asarray(), photo.pixels)


def test_pictures_without_a_description_get_the_remark_alone():
    assert description(encode(GREY, Photo(GREY), "TIFF", REMARK)) == REMARK.encode()
