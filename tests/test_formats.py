"""What the formats hold: all that a file carries comes back from the file that is written of it."""

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import SRGB, exif, noise, saved
from PIL import Image, PngImagePlugin

from data import color, containers, iptc
from data.errors import PhotoError
from data.formats import lost
from data.photo import Photo, encode, read_photo

GREY = SRGB[:16] + b"GRAY" + SRGB[20:]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_keep_all(format, alpha, channels):
    pixels = noise(21, 34) if channels == 1 else noise(21, 34, 3)
    icc = GREY if channels == 1 else SRGB
    photo = Photo(pixels, noise(21, 34, seed=1) if alpha else None, icc=icc, exif=exif(), dpi=(300, 600))
    again = read_photo(encode(pixels, photo, format))
    if format == "WEBP" and channels == 1:  # has no grey, so a grey profile cannot fit
        pixels, icc = np.dstack([pixels] * 3), None
    np.testing.assert_array_equal(again.pixels, pixels)
    if alpha:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    else:
        assert again.alpha is None
    tags = Image.Exif()
    tags.load(again.exif)
    assert (tags[270], tags[315]) == ("Grandmother, 1943", "A. Smith")
    assert tags.get_ifd(0x8769)[36867] == "1999:01:02 03:04:05"
    assert tags.get_ifd(0x8825)[1] == "N"
    assert again.icc == icc
    assert again.dpi == pytest.approx((300, 600), abs=0.02)  # PNG counts per metre
    assert again.format == format
    assert again.notes == []


ALPHA, DEEP, ICC, EXIF, XMP, DPI = "alpha", "16-bit grey", "ICC", "EXIF", "XMP", "DPI"
IPTC, TEXT, INFRARED = "IPTC", "text", "infrared"
RECORDS = b"\x1c\x02\x78\0\5Lake."


def table():
    """Format -> what is kept of it, by the table in the README. TIFF stays TIFF, all else becomes PNG."""
    lines = re.findall(r"^\|(.*)\|$", (Path(__file__).parents[1] / "README.md").read_text(), re.M)
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    head = next(row for row in rows if row[0] == "Input")
    formats = {"JPEG", "PNG", "TIFF", "WebP", "BMP", "GIF"}
    rows = {row[0].upper(): row for row in rows if row[0] in formats}
    kept = {name: {title for title, cell in zip(head, row) if cell == "kept"} for name, row in rows.items()}
    assert len(kept) == len(formats)
    return kept


KEPT = table()


def with_texts(data, format):
    """The file with IPTC fields and a comment, where its format has a place for them outside of EXIF."""
    block = iptc.block({iptc.IPTC: RECORDS})
    if format == "JPEG":
        parts = ((0xED, containers.PHOTOSHOP_SEGMENT + block), (0xFE, b"attic"))
        extra = b"".join(bytes([255, m]) + struct.pack(">H", len(c) + 2) + c for m, c in parts)
        return data[:2] + extra + data[2:]
    if format == "PNG":
        chunks = containers.profile_text(b"iptc", block), containers.text(b"Comment", b"attic")
        return data[:33] + b"".join(containers.chunk(*chunk) for chunk in chunks) + data[33:]
    if format == "GIF":  # Pillow writes no packet
        colors = 13 + 3 * 2 ** ((data[10] & 7) + 1)
        magic = bytes([1, *range(255, -1, -1), 0])  # ends the packet for readers that know only blocks
        return data[:colors] + b"\x21\xff\x0bXMP DataXMP" + PACKET + magic + data[colors:]
    return data


def bmp_with_alpha(rgb, alpha):
    """A BMP of 300 x 600 dpi with a mask of alpha bits, as GIMP writes it; Pillow writes none."""
    height, width = alpha.shape
    pixels = np.dstack([rgb[..., ::-1], alpha])[::-1].tobytes()
    fields = 108, width, height, 1, 32, 3, len(pixels), 11811, 23622, 0, 0
    masks = 0xFF0000, 0xFF00, 0xFF, 0xFF000000, 0x73524742
    header = struct.pack("<IiiHHIIiiII", *fields) + struct.pack("<5I", *masks) + bytes(48)
    return (
        struct.pack("<2sIHHI", b"BM", 14 + len(header) + len(pixels), 0, 0, 14 + len(header))
        + header
        + pixels
    )


PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>box 7</dc:source>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("format", KEPT)
def test_the_table_of_what_is_kept(format):
    """All that a file of this format can hold comes out of read_photo and is in the file that is written of
    it.
    """
    rgb, tags = noise(21, 34, 3), Image.Exif()
    tags[270], tags[0x8769] = "Grandmother, 1943", {36867: "1999:01:02 03:04:05"}
    if format == "WEBP":  # its resolution and IPTC have no other place
        tags[282], tags[283], tags[296], tags[33723] = 300.0, 600.0, 2, RECORDS
    options = {
        "JPEG": {"xmp": PACKET, "dpi": (300, 600)},
        "PNG": {"dpi": (300, 600)},
        "TIFF": {"dpi": (300, 600)},
        "WEBP": {"xmp": PACKET, "lossless": True},
        "BMP": {},
        "GIF": {"transparency": 3, "comment": b"attic"},
    }[format]
    if ICC in KEPT[format]:
        options |= {"icc_profile": SRGB, "exif": tags.tobytes()}
    if format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", PACKET.decode())
    picture = Image.fromarray(
        np.dstack([rgb, noise(21, 34, seed=1)]) if format in ("PNG", "TIFF", "WEBP") else rgb
    )
    picture = picture.quantize(16) if format == "GIF" else picture
    data = saved(picture, format, **options)
    if format == "TIFF":  # Pillow writes no packet beside EXIF
        facts = {"icc": SRGB, "exif": tags.tobytes(), "dpi": (300, 600), "xmp": PACKET}
        facts["iptc"] = iptc.block({iptc.IPTC: RECORDS})
        data = encode(rgb, Photo(rgb, noise(21, 34, seed=1), **facts), "TIFF")
    if format == "BMP":
        data = bmp_with_alpha(rgb, noise(21, 34, seed=1))
    photo = read_photo(with_texts(data, format))
    again = read_photo(encode(photo.pixels, photo, "TIFF" if format == "TIFF" else "PNG"))
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    kept = {DEEP} if format in ("PNG", "TIFF") and _deep_comes_back(format) else set()
    kept |= {INFRARED} if format in ("PNG", "TIFF") and _infrared_comes_back(format) else set()
    for name, value, result in (
        (ALPHA, photo.alpha, again.alpha),
        (ICC, photo.icc, again.icc),
        (EXIF, photo.exif, again.exif),
        (XMP, photo.xmp, again.xmp),
        (DPI, photo.dpi, again.dpi),
        (IPTC, photo.iptc, again.iptc),
        (TEXT, photo.texts or None, again.texts),
    ):
        if name == ALPHA and value is not None:
            np.testing.assert_array_equal(value, result)
        elif name == DPI and value:
            assert value == pytest.approx((300, 600), abs=0.02)
            assert result == pytest.approx((300, 600), abs=0.02)
        elif name == EXIF and value:
            for block in (value, result):
                found = Image.Exif()
                found.load(block)
                assert found[270] == "Grandmother, 1943"
                assert found.get_ifd(0x8769)[36867] == "1999:01:02 03:04:05"
        elif name == XMP and value:
            assert b"box 7" in value
            assert b"box 7" in result
        elif name == IPTC and value:
            assert iptc.resources(value)[iptc.IPTC] == iptc.resources(result)[iptc.IPTC] == RECORDS
        elif name == TEXT and value:
            assert value == result == [(b"tEXt", b"Comment\0attic")]
        elif value is not None:
            assert value == result == SRGB
        kept |= {name} if value is not None else set()
    assert kept == KEPT[format]


def _infrared_comes_back(format):
    photo = Photo(noise(21, 34, 3), infrared=noise(21, 34, seed=1))
    return np.array_equal(read_photo(encode(photo.pixels, photo, format)).infrared, photo.infrared)


def _deep_comes_back(format):
    deep = noise(21, 34, dtype=np.uint16)
    photo = read_photo(saved(Image.fromarray(deep), format))
    return np.array_equal(photo.pixels, deep) and np.array_equal(
        read_photo(encode(photo.pixels, photo, format)).pixels, deep
    )


def test_profiles_go_only_where_they_fit():
    grey = Photo(noise(8, 9), icc=GREY)
    assert read_photo(encode(grey.pixels, grey, "PNG")).icc == GREY
    assert read_photo(encode(noise(8, 9, 3), grey, "TIFF")).icc == color.srgb()
    scanned = Photo(noise(8, 9), icc=SRGB)  # a grey file with an RGB profile
    assert read_photo(encode(noise(8, 9, 3), scanned, "PNG")).icc == SRGB


def test_metadata_of_a_tiff_does_not_leak_its_layout():
    tags = Image.Exif()
    tags.load(
        read_photo(encode(noise(8, 9, 3), Photo(noise(8, 9, 3), exif=exif(), dpi=(300, 300)), "TIFF")).exif
    )
    assert set(tags) == {270, 315, 0x8769, 0x8825}


def test_offsets_into_the_old_exif_are_dropped():
    tags = Image.Exif()
    tags[0x8769] = {36867: "1999:01:02 03:04:05", 40962: 16, 40963: 8, 40965: {1: "R98"}}  # the last: Interop
    tags[274] = 6
    again = Image.Exif()
    again.load(read_photo(saved(Image.fromarray(noise(8, 16)), "JPEG", exif=tags.tobytes())).exif)
    # turned: so are its sides
    assert again.get_ifd(0x8769) == {36867: "1999:01:02 03:04:05", 40962: 8, 40963: 16}


def test_remark_is_added_to_the_description():
    photo = Photo(noise(8, 9), exif=exif())
    for like, expected in ((photo, "Grandmother, 1943; guessed"), (Photo(noise(8, 9)), "guessed")):
        for format in ("PNG", "TIFF", "JPEG", "WEBP"):
            data = encode(noise(8, 9, 3), like, format, remark="guessed")
            assert Image.open(io.BytesIO(data)).getexif()[270] == expected


def test_jpeg_drops_alpha_and_nothing_else():
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    photo = Photo(np.dstack([smooth, smooth.T, smooth]), noise(64, 64), icc=SRGB, exif=exif(), dpi=(300, 300))
    again = read_photo(encode(photo.pixels, photo, "JPEG"))
    assert again.alpha is None
    assert again.icc == SRGB
    assert again.dpi == (300, 300)
    assert np.abs(again.pixels.astype(int) - photo.pixels).max() <= 8


def test_what_a_format_cannot_hold():
    deep = noise(8, 9, dtype=np.uint16)
    for pixels, format in ((deep, "JPEG"), (deep, "WEBP"), (np.dstack([deep] * 3), "WEBP")):
        with pytest.raises(PhotoError, match=r"16 bits.* --format tif"):
            encode(pixels, None, format)
    with pytest.raises(PhotoError, match="WEBP"):
        encode(np.zeros((2, 20000), np.uint8), None, "WEBP")
    with pytest.raises(TypeError):
        encode(np.zeros((8, 9), np.float32), None, "PNG")


def test_alpha_follows_the_depth_of_the_pixels():
    photo = Photo(noise(8, 9, 3), noise(8, 9))
    tifffile = pytest.importorskip("tifffile")
    written = tifffile.imread(io.BytesIO(encode(noise(8, 9, 3, dtype=np.uint16), photo, "TIFF")))
    np.testing.assert_array_equal(written[..., 3], photo.alpha.astype(np.uint16) * 257)
    photo.alpha = photo.alpha.astype(np.uint16) * 257
    again = read_photo(encode(photo.pixels, photo, "PNG"))
    np.testing.assert_array_equal(again.alpha, np.rint(photo.alpha / 257))


@pytest.mark.parametrize("dpi", [1e9, 70000, 0])
def test_an_absurd_resolution_is_none(dpi):
    tags = Image.Exif()
    tags[282], tags[283], tags[296] = dpi, 300.0, 2
    photo = read_photo(saved(Image.fromarray(noise(5, 6, 3)), "WEBP", exif=tags.tobytes(), lossless=True))
    assert photo.dpi is None
    assert all(encode(photo.pixels, photo, format) for format in ("PNG", "JPEG", "TIFF"))


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "tags", [{}, {270: "box 7"}, {270: "box 7", 296: 2}, {282: 300.0, 283: 300.0, 296: 1}]
)
def test_no_resolution_is_invented(format, tags):
    made = Image.Exif()
    for tag, value in tags.items():
        made[tag] = value
    options = {"exif": made.tobytes()} if tags else {}
    photo = read_photo(saved(Image.fromarray(noise(20, 30, 3)), format, **options))
    assert photo.dpi is None
    for result in ("PNG", "TIFF", "JPEG", "WEBP"):
        data = encode(photo.pixels, photo, result, "Restored")
        assert read_photo(data).dpi is None
        with Image.open(io.BytesIO(data)) as image:
            assert not {282, 283} & set(image.getexif())
            assert image.info.get("jfif_density", (1, 1)) == (1, 1)
            assert image.info.get("jfif_unit", 0) == 0


@pytest.mark.parametrize("unit, factor", [({}, 1), ({296: 2}, 1), ({296: 3}, 2.54)])
@pytest.mark.parametrize("format", ["JPEG", "TIFF", "WEBP"])
def test_the_resolution_of_exif_is_kept(format, unit, factor):
    made = Image.Exif()
    for tag, value in {282: 300.0, 283: 600.0, **unit}.items():
        made[tag] = value
    photo = read_photo(saved(Image.fromarray(noise(20, 30, 3)), format, exif=made.tobytes()))
    assert photo.dpi == pytest.approx((300 * factor, 600 * factor), rel=1e-6)
    for result in ("PNG", "TIFF", "JPEG", "WEBP"):
        again = read_photo(encode(photo.pixels, photo, result))
        assert again.dpi == pytest.approx(photo.dpi, abs=0.51 if result == "JPEG" else 0.02)


LARGE_PROFILE = (len(SRGB) + 1_300_000).to_bytes(4, "big") + SRGB[4:] + bytes(1_300_000)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF"])
def test_a_profile_above_1_mib_is_read_and_written_where_pillow_reads_it(source):
    photo = read_photo(saved(Image.fromarray(noise(20, 30, 3)), source, icc_profile=LARGE_PROFILE))
    assert photo.icc == LARGE_PROFILE
    assert photo.notes == []
    for format in ("PNG", "TIFF", "JPEG", "WEBP"):
        data = encode(photo.pixels, photo, format, "Restored")
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.info.get("icc_profile") == (None if format == "PNG" else LARGE_PROFILE)
        assert read_photo(data).icc == (None if format == "PNG" else LARGE_PROFILE)
        assert bool(lost(photo, format)) == (format == "PNG")


@pytest.mark.parametrize("kind", ["zTXt", "iTXt"])
def test_a_text_above_1_mib_of_a_png_stays_readable(kind):
    text, info = "grandmother " * 200_000, PngImagePlugin.PngInfo()
    if kind == "zTXt":
        info.add_text("Description", text, zip=True)
    else:
        info.add_itxt("Description", text, "de", zip=True)
    photo = read_photo(saved(Image.fromarray(noise(20, 30)), "PNG", pnginfo=info))
    data = encode(photo.pixels, photo, "PNG", "Restored")
    assert Image.open(io.BytesIO(data)).text["Description"] == text
    assert read_photo(data).texts == photo.texts


def test_png_files_stay_small(portrait):
    """Compression takes less time than Pillow's default, for files that are little larger."""
    file = io.BytesIO()
    Image.fromarray(portrait).save(file, "PNG")
    usual = len(file.getvalue())
    assert usual < len(encode(portrait, None, "PNG")) < 1.12 * usual
