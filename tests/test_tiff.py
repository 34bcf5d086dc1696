"""TIFFs of the kinds that scanners, cameras and microscopes write, made by tifffile or by hand."""

import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from conftest import noise
from PIL import Image

from data import tiff
from data.errors import PhotoError
from data.images import read_image
from data.photo import read_photo

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")
PREMULTIPLIED = "premultiplied alpha converted to straight alpha, which changes translucent pixels"
FURTHER = [  # color, its samples, ExtraSamples, and how many of these are neither alpha nor infrared
    ("rgb", 3, [2, 0], 1),
    ("rgb", 3, [0, 0, 0], 3),
    ("minisblack", 1, [2, 0], 1),
    ("rgb", 3, [2], 0),
    ("rgb", 3, [0], 0),
    ("minisblack", 1, [0], 0),
]
Y, X = np.mgrid[:32, :48]
SMOOTH = np.dstack([X * 80, Y * 120, (X + Y) * 50]).astype(np.uint16)  # 12 bits


def written(*pages, **options):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        for page in pages:
            array, own = page if isinstance(page, tuple) else (page, {})
            tiff.write(array, **{"metadata": None, **options, **own})
    return file.getvalue()


def by_hand(data, shape, bits, photometric=1, compression=1, extra=()):
    """A TIFF of one strip, little-endian. shape: (H, W) or (H, W, C)."""
    samples = shape[2] if len(shape) == 3 else 1
    entries = [
        (256, 4, 1, shape[1]),
        (257, 4, 1, shape[0]),
        (259, 3, 1, compression),
        (262, 3, 1, photometric),
    ]
    entries += [(277, 3, 1, samples), (278, 4, 1, shape[0]), (279, 4, 1, len(data)), *extra]
    end = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries += [(258, 3, samples, end if samples > 2 else bits * 0x10001), (273, 4, 1, end + 8)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)
    return head + struct.pack("<4H", *[bits] * 4) + data


def packed(array, bits):
    """Rows of samples of so many bits, the highest bit first, each row padded to a byte."""
    rows = array.reshape(len(array), -1)
    return np.packbits(
        (rows[..., None] >> np.arange(bits - 1, -1, -1) & 1).reshape(len(array), -1), axis=1
    ).tobytes()


@pytest.mark.parametrize("bits", range(9, 16))
def test_grey_is_scaled_by_its_own_maximum(bits):
    top = 2**bits - 1
    array = np.random.default_rng(bits).integers(0, top + 1, (32, 48)).astype(np.uint16)
    array[0, :2] = 0, top
    photo = read_photo(by_hand(packed(array, bits), array.shape, bits))
    np.testing.assert_array_equal(photo.pixels, np.rint(array * (65535 / top)))
    assert photo.notes == [f"{bits} bits scaled to 16"]
    inverse = read_photo(by_hand(packed(array, bits), array.shape, bits, photometric=0))
    np.testing.assert_array_equal(inverse.pixels, 65535 - photo.pixels)


def test_rgb_of_12_bits():
    array = np.random.default_rng(0).integers(0, 4096, (32, 48, 3)).astype(np.uint16)
    photo = read_photo(by_hand(packed(array, 12), array.shape, 12, photometric=2))
    np.testing.assert_array_equal(photo.pixels, np.rint(array * (65535 / 4095)))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_12_bits_inside(channels):
    array = SMOOTH if channels == 3 else np.ascontiguousarray(SMOOTH[..., 0])
    colors = {"colorspace": "rgb", "outcolorspace": "rgb"} if channels == 3 else {}
    data = imagecodecs.jpeg_encode(array, level=98, bitspersample=12, **colors)
    photo = read_photo(by_hand(data, array.shape, 12, photometric=2 if channels == 3 else 1, compression=7))
    assert np.abs(photo.pixels - array * (65535 / 4095)).max() < 40
    assert photo.pixels.dtype == np.uint16


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "jpegxl", "zstd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compressions_of_other_formats(compression, dtype):
    if compression == "webp" and dtype == np.uint16:
        pytest.skip("WebP has 8 bits")
    array = noise(32, 48, 3, dtype=dtype)
    options = {"compressionargs": {"level": 100, "lossless": True}} if compression == "webp" else {}
    if compression == "jpegxl":
        options = {"compressionargs": {"lossless": True}}
    photo = read_photo(written(array, photometric="rgb", compression=compression, **options))
    np.testing.assert_array_equal(photo.pixels, array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_associated_alpha_is_divided_out_and_said(channels, dtype):
    white = np.iinfo(dtype).max
    color = np.full((90, 120, channels), white * 4 // 5, np.uint64)
    alpha = np.tile(np.linspace(white // 3, white, 120).astype(np.uint64), (90, 1))
    alpha[0] = 0
    array = np.dstack([color * alpha[..., None] // white, alpha]).astype(dtype)
    kind = "rgb" if channels == 3 else "minisblack"
    photo = read_photo(written(array, photometric=kind, extrasamples=["assocalpha"], planarconfig="contig"))
    assert photo.pixels.shape == ((90, 120, 3) if channels == 3 else (90, 120))
    np.testing.assert_array_equal(photo.alpha, alpha)
    assert np.abs(photo.pixels[1:].astype(int) - white * 4 // 5).max() <= 3
    assert photo.notes == [PREMULTIPLIED]
    straight = written(array, photometric=kind, extrasamples=["unassalpha"], planarconfig="contig")
    assert read_photo(straight).notes == []


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_associated_alpha_of_a_picture_in_memory_is_said(mode):
    picture = Image.new(mode.upper(), (6, 8), (24,) * len(mode)).convert(mode)
    assert read_image(picture).notes == [PREMULTIPLIED]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind, channels, extra, dropped", FURTHER)
def test_samples_that_nothing_reads_are_said(kind, channels, extra, dropped, dtype):
    array = noise(32, 48, channels + len(extra), dtype=dtype)
    photo = read_photo(written(array, photometric=kind, extrasamples=extra, planarconfig="contig"))
    np.testing.assert_array_equal(photo.pixels, array[..., :channels].squeeze())
    said = {
        0: [],
        1: ["1 further sample per pixel dropped: if that is infrared, save it as STEM_IR.tif"],
        3: ["3 further samples per pixel dropped: if that is infrared, save it as STEM_IR.tif"],
    }
    assert photo.notes == said[dropped]


def test_a_spot_color_beside_cmyk_is_said():
    photo = read_photo(
        written(noise(32, 48, 5), photometric="separated", extrasamples=[0], planarconfig="contig")
    )
    assert [note.split(":")[0] for note in photo.notes] == [
        "1 further sample per pixel dropped",
        "CMYK converted to RGB",
    ]


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
@pytest.mark.parametrize("order", "<>")
def test_signed_samples_of_8_bits_are_refused(shape, order):
    """Pillow takes -100 for 156."""
    array = np.full(shape, -100, np.int8)
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric="rgb" if len(shape) == 3 else "minisblack", byteorder=order)
    with pytest.raises(PhotoError, match="signed samples of 8 bits: save it with 8 or 16 bits, unsigned"):
        read_photo(file.getvalue())


def test_grey_with_alpha_of_16_bits():
    array = noise(32, 48, 2, dtype=np.uint16)
    photo = read_photo(
        written(array, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
    )
    np.testing.assert_array_equal(photo.pixels, array[..., 0])
    np.testing.assert_array_equal(photo.alpha, array[..., 1])


SMALL, FULL = noise(12, 16, 3), noise(90, 120, 3, seed=1)
DEEP = noise(90, 120, 3, dtype=np.uint16, seed=2)
THUMBNAIL = {"subfiletype": 1, "photometric": "rgb"}


@pytest.mark.parametrize("full", [FULL, DEEP], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("layout", ["next", "SubIFD", "SubIFD of an unmarked one", "unmarked"])
def test_the_full_picture_behind_a_thumbnail_is_taken(full, layout):
    first = dict(THUMBNAIL) if "unmarked" not in layout else {"photometric": "rgb"}
    tags = [(315, "s", 0, "A. Smith", True), (274, "H", 1, 6, True)]
    if "SubIFD" in layout:
        first["subifds"] = 1
    photo = read_photo(written((SMALL, {**first, "extratags": tags}), (full, {"photometric": "rgb"})))
    np.testing.assert_array_equal(photo.pixels, np.rot90(full, -1))
    assert b"A. Smith" in photo.exif
    assert photo.notes == ["the full picture taken, not the thumbnail in the first directory"]


def test_smaller_versions_in_subifds_are_passed_over():
    photo = read_photo(written((FULL, {"subifds": 1, "photometric": "rgb"}), (SMALL, THUMBNAIL)))
    np.testing.assert_array_equal(photo.pixels, FULL)
    assert photo.notes == []


def test_of_pages_of_about_one_size_the_first_is_taken():
    photo = read_photo(written(FULL[:80], FULL, photometric="rgb"))
    np.testing.assert_array_equal(photo.pixels, FULL[:80])
    assert photo.notes == ["only the first of 2 pages was read"]


@pytest.mark.parametrize(
    "data, kind",
    [
        (
            written(noise(8, 9, 4, dtype=np.uint16), photometric="separated"),
            "16-bit CMYK TIFF with no compression",
        ),
        (
            written(noise(8, 9, 3, dtype=np.uint16), photometric="cielab"),
            "16-bit Lab TIFF with no compression",
        ),
        (by_hand(packed(noise(8, 9) % 2, 1), (8, 9), 12, photometric=32803), "12-bit raw sensor TIFF"),
        (by_hand(b"abc", (8, 9, 3), 8, photometric=2, compression=34712), "8-bit RGB TIFF with JPEG 2000"),
        (by_hand(b"abc", (8, 9, 3), 8, photometric=2, compression=50001), "8-bit RGB TIFF with WebP"),
        (by_hand(b"abc", (8, 9, 3), 8, photometric=2, compression=4711), "8-bit RGB TIFF with number 4711"),
    ],
)
def test_what_cannot_be_read_is_named(data, kind):
    with pytest.raises(PhotoError) as caught:
        read_photo(data)
    assert str(caught.value).startswith(kind)


def test_nothing_of_libtiff_reaches_the_terminal(tmp_path):
    """In a process of its own: libtiff writes to the file descriptor."""
    for name, compression in (("zip", "zlib"), ("lzw", "lzw"), ("webp", "webp"), ("fax", "")):
        data = bytearray(by_hand(bytes(range(256)) * 8, (32, 48), 8, compression=8))
        if name != "fax":
            data = bytearray(written(noise(32, 48, 3), photometric="rgb", compression=compression))
        data[-40:] = bytes(40)
        (tmp_path / f"{name}.tif").write_bytes(data)
    code = (
        "import sys; from pathlib import Path; from data.photo import read_photo\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: read_photo(path)\n"
        "    except ValueError as error: print(path.name)"
    )
    root = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=root, capture_output=True, text=True)
    assert done.stderr == ""
    assert {"zip.tif", "fax.tif"} <= set(done.stdout.split())


def test_an_offset_beyond_any_file():
    data = b"II" + struct.pack("<HHHQ", 43, 8, 0, 1 << 63) + bytes(40)
    assert tiff.header(data)[2] == 1 << 63
    with pytest.raises(ValueError, match="damaged TIFF directory"):
        tiff.read_directory(data, 1 << 63, "<", big=True)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("tag", [256, 258, 262, 330])
def test_a_number_that_is_not_finite_is_no_crash(tag, number):
    """Width, bits, color and place of a page, as a double."""
    data = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16)
    data += struct.pack("<QHHQdQ", 1, tag, 12, 1, number, 0)
    assert tiff.read(data).numbers(tag) == (0.0,)
    with pytest.raises(PhotoError):
        read_photo(data)


@pytest.mark.parametrize(
    "kind, samples, extra",
    [("minisblack", 2, [2]), ("miniswhite", 2, [2]), ("rgb", 4, [1]), ("rgb", 5, [2, 0])],
)
def test_samples_in_planes_of_their_own(kind, samples, extra):
    """Pillow knows some of these only pixel by pixel."""
    array = noise(20, 24, samples)
    options = {"photometric": kind, "extrasamples": extra}
    whole = read_photo(written(array, **options, planarconfig="contig"))
    planes = read_photo(written(np.moveaxis(array, -1, 0), **options, planarconfig="separate"))
    np.testing.assert_allclose(planes.pixels, whole.pixels, atol=1)  # of premultiplied alpha, rounded
    np.testing.assert_array_equal(planes.alpha, whole.alpha)
