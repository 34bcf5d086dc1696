"""Reading and writing photographs: every promise about untouched pixels starts here."""

import builtins
import contextlib
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from conftest import SRGB, exif, noise, saved
from PIL import Image, ImageOps

from data import containers
from data.errors import PhotoError
from data.files import write_whole
from data.photo import encode, read_mask, read_photo
from data.pixels import luma


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_kept(format):
    pixels = noise(21, 34, dtype=np.uint16)
    again = read_photo(encode(pixels, None, format)).pixels
    assert again.dtype == np.uint16
    np.testing.assert_array_equal(again, pixels)


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("shape", [(21, 34), (21, 34, 3), (21, 34, 4)])
def test_16_bits_as_tifffile_sees_them(shape, byteorder):
    tifffile = pytest.importorskip("tifffile")
    array = noise(*shape, dtype=np.uint16)
    file = io.BytesIO()
    kind = "minisblack" if len(shape) == 2 else "rgb"
    extra = ["unassalpha"] if shape[-1] == 4 else None
    tifffile.imwrite(file, array, photometric=kind, extrasamples=extra, byteorder=byteorder)
    photo = read_photo(file.getvalue())
    color = array if len(shape) == 2 else array[..., :3]
    assert photo.pixels.dtype == np.uint16
    assert photo.pixels.dtype.isnative
    np.testing.assert_array_equal(photo.pixels, color)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(encode(photo.pixels, photo, "TIFF"))), array)


def test_planar_16_bit_rgb():
    tifffile = pytest.importorskip("tifffile")
    array, file = noise(3, 21, 34, dtype=np.uint16), io.BytesIO()
    tifffile.imwrite(file, array, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_photo(file.getvalue()).pixels, np.moveaxis(array, 0, -1))


def test_16_bit_rgb_without_tifffile_names_the_extra(monkeypatch):
    data = encode(noise(5, 6, 3, dtype=np.uint16), None, "TIFF")
    real = builtins.__import__

    def fake(name, *rest):
        if name == "tifffile":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(PhotoError, match=r"pip install -e '.\[scans\]'"):
        read_photo(data)


def test_white_is_zero_in_16_bits():
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, np.array([[0, 65535]], np.uint16), photometric="miniswhite")
    assert read_photo(file.getvalue()).pixels.tolist() == [[65535, 0]]


def png(width, height, depth, kind, packed):
    """A PNG by hand: depth in bits per sample, kind 0 grey, 2 RGB; packed: its compressed rows."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_deep_color_of_other_formats_is_refused():
    with pytest.raises(PhotoError, match="16-bit RGB PPM"):
        read_photo(b"P6 2 1 65535\n" + bytes(12))
    assert read_photo(b"P5 2 1 65535\n" + struct.pack(">HH", 1, 65535)).pixels.tolist() == [[1, 65535]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_orientation_is_applied_once(format, orientation):
    tags = exif(_274=orientation)
    data = saved(Image.fromarray(noise(8, 16)), format, exif=tags)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, upright)
    for again in ("PNG", "TIFF"):  # and not once more
        np.testing.assert_array_equal(read_photo(encode(photo.pixels, photo, again)).pixels, upright)
        assert Image.open(io.BytesIO(encode(photo.pixels, photo, again))).getexif().get(274, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_16_bits(orientation):
    tifffile = pytest.importorskip("tifffile")
    array, file = noise(8, 16, 3, dtype=np.uint16), io.BytesIO()
    tifffile.imwrite(file, array, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    tags = Image.Exif()
    tags[274] = orientation
    tagged = Image.open(
        io.BytesIO(saved(Image.fromarray((array >> 8).astype(np.uint8)), exif=tags.tobytes()))
    )
    upright = np.asarray(ImageOps.exif_transpose(tagged))
    np.testing.assert_array_equal(read_photo(file.getvalue()).pixels >> 8, upright)


def test_modes():
    grey = Image.fromarray(noise(8, 9))
    rgb = Image.fromarray(noise(8, 9, 3))
    bits = Image.fromarray(noise(8, 9)).convert("1")
    np.testing.assert_array_equal(read_photo(saved(bits, "PNG")).pixels, np.asarray(bits) * np.uint8(255))
    np.testing.assert_array_equal(read_photo(saved(bits, "TIFF")).pixels, np.asarray(bits) * np.uint8(255))

    palette = rgb.quantize(16)
    photo = read_photo(saved(palette))
    np.testing.assert_array_equal(photo.pixels, np.asarray(palette.convert("RGB")))
    assert photo.notes == ["palette converted to RGB"]
    assert read_photo(saved(palette, transparency=3)).alpha.min() == 0

    keyed = read_photo(saved(grey, transparency=int(np.asarray(grey)[0, 0])))
    assert keyed.alpha[0, 0] == 0
    assert keyed.alpha.max() == 255
    np.testing.assert_array_equal(keyed.pixels, np.asarray(grey))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_one_level_of_a_small_grey_png_is_transparent(bits):
    levels = noise(8, 16) % 2**bits
    rows = [
        b"\0" + np.packbits((row[:, None] >> np.arange(bits)[::-1] & 1).ravel()).tobytes() for row in levels
    ]
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 16, 8, bits, 0, 0, 0, 0),
        b"tRNS": struct.pack(">H", 1),
        b"IDAT": zlib.compress(b"".join(rows)),
        b"IEND": b"",
    }
    data = b"\x89PNG\r\n\x1a\n" + b"".join(containers.chunk(*part) for part in parts.items())
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, levels * (255 // (2**bits - 1)))
    np.testing.assert_array_equal(photo.alpha, np.where(levels == 1, 0, 255))


def test_cmyk_is_converted():
    rgb = Image.fromarray(noise(8, 9, 3))

    cmyk = read_photo(saved(rgb.convert("CMYK"), "TIFF", icc_profile=SRGB[:16] + b"CMYK" + SRGB[20:]))
    assert cmyk.pixels.shape == (8, 9, 3)
    assert cmyk.icc is None
    assert "CMYK converted to RGB" in cmyk.notes
    np.testing.assert_array_equal(cmyk.pixels, np.asarray(rgb))

    with pytest.raises(PhotoError, match="floating-point"):
        read_photo(saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))
    with pytest.raises(PhotoError, match="floating-point"):
        read_photo(saved(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))
    with pytest.raises(PhotoError, match=r"outside 0\.\.65535"):
        read_photo(saved(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"))


@pytest.mark.parametrize("format, parts", [("GIF", "frames"), ("TIFF", "pages")])
def test_first_frame_is_taken_and_said(format, parts):
    frames = [Image.fromarray(noise(8, 9, seed=seed)) for seed in range(3)]
    photo = read_photo(saved(frames[0], format, save_all=True, append_images=frames[1:]))
    assert f"only the first of 3 {parts} was read" in photo.notes
    np.testing.assert_allclose(luma(photo.pixels), np.asarray(frames[0]) / np.float32(255), atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about what is broken
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_broken_files_fail_by_one_line(format):
    whole = saved(Image.fromarray(noise(90, 80, 3)), format)
    assert read_photo(whole).size == (80, 90)
    for length in (1, 10, 30, 60, len(whole) // 2, len(whole) * 9 // 10):
        with pytest.raises(PhotoError) as caught:
            read_photo(whole[:length])
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) > 10
    random = np.random.default_rng(0)
    for _ in range(60):  # whatever is wrong: a photo or a PhotoError
        broken = bytearray(whole)
        for at in random.integers(0, min(len(whole), 300), 4):
            broken[at] = random.integers(256)
        with contextlib.suppress(PhotoError):
            read_photo(bytes(broken), max_pixels=10**6)


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("no picture")
    reasons = {"missing.png": "no such file", "": "folder", "empty.png": "empty", "words.png": "not an image"}
    for name, reason in reasons.items():
        with pytest.raises(PhotoError, match=reason):
            read_photo(tmp_path / name)


def test_bombs_are_refused_before_decoding():
    rows = zlib.compressobj(1)
    data = png(
        30000, 30000, 1, 0, b"".join([*(rows.compress(bytes(3751)) for _ in range(30000)), rows.flush()])
    )
    assert len(data) < 10**6  # for 900 million pixels
    with pytest.raises(PhotoError, match=r"30000 x 30000 .* --max-pixels"):
        read_photo(data)
    with pytest.raises(PhotoError, match="limit of 99"):
        read_photo(saved(Image.new("L", (10, 10))), max_pixels=99)
    assert read_photo(saved(Image.new("L", (10, 10))), max_pixels=100).size == (10, 10)


@pytest.mark.parametrize("kind", [b"P1\n3 2\n1 0 1\n0 1 0\n", b"P4\n3 2\n\xa0\x40"])
def test_bitmaps_as_text_and_as_bytes(kind):
    assert read_photo(kind).pixels.tolist() == [[0, 255, 0], [255, 0, 255]]


def test_masks():
    values = np.array([[0, 1, 127, 128, 129, 254, 255]], np.uint8)
    mask, notes = read_mask(saved(Image.fromarray(values)), (7, 1))
    assert mask.tolist() == [[0, 0, 0, 128, 255, 255, 255]]
    assert mask.dtype == np.uint8
    assert notes == []
    deep, _ = read_mask(saved(Image.fromarray(values.astype(np.uint16) * 257)), (7, 1))
    np.testing.assert_array_equal(deep, mask)
    resized, notes = read_mask(saved(Image.fromarray(values)), (14, 2))
    np.testing.assert_array_equal(resized, mask.repeat(2, 0).repeat(2, 1))
    assert notes == ["mask resized from 7 x 1 to 14 x 2"]
    painted = np.zeros((1, 2, 4), np.uint8)
    painted[..., :3], painted[0, 0, 3] = 255, 255  # white paint on a transparent white layer
    assert read_mask(saved(Image.fromarray(painted)), (2, 1))[0].tolist() == [[255, 0]]


def test_write_whole(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.png"
    write_whole(path, b"one", overwrite=False)
    with pytest.raises(PhotoError, match=r"a\.png exists.*--overwrite"):
        write_whole(path, b"two", overwrite=False)
    assert path.read_bytes() == b"one"
    write_whole(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
    with pytest.raises(PhotoError, match="cannot be written"):
        write_whole(path.with_name("x" * 999), b"", overwrite=False)
    with pytest.raises(PhotoError, match="is a folder"):
        write_whole(path.parent, b"", overwrite=True)

    full = OSError(28, "No space left on device")
    for failure, expected in ((full, PhotoError), (KeyboardInterrupt(), KeyboardInterrupt)):

        def fail(*_, failure=failure):
            raise failure

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(expected):
            write_whole(path, b"three", overwrite=True)
        assert path.read_bytes() == b"two"
        assert list(path.parent.iterdir()) == [path]
    with pytest.raises(PhotoError, match="cannot be written"):
        write_whole(path / "below_a_file.png", b"", overwrite=False)


def test_import_is_light():
    code = (
        "import sys, engine.photos; sys.exit(bool({'torch', 'torchvision', 'tifffile'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=os.path.dirname(os.path.dirname(__file__))
        ).returncode
        == 0
    )


def test_pillow_says_nothing_of_its_own(caplog):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "TIFF")
    three = struct.pack("<HHIH", 277, 3, 1, 3)  # SamplesPerPixel
    assert three in file.getvalue()
    with pytest.raises(PhotoError):
        read_photo(file.getvalue().replace(three, struct.pack("<HHIH", 277, 3, 1, 516)))
    assert not caplog.records
