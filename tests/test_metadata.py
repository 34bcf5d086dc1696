"""Captions, names and keywords come through byte for byte, as exiftool reads them from our files."""

import io
import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from conftest import noise, save, saved
from PIL import Image, PngImagePlugin

import restore
from data import containers, exif, formats, iptc, tiff
from data.photo import Photo, encode, read_photo
from data.tiff import Directory, Value

needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
ENDINGS = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif", "WEBP": "webp"}
TEXTS = {
    "UTF-8": "Großmutter, Zürich".encode(),
    "Latin-1": "Großmutter, Zürich".encode("latin-1"),
    "Cyrillic": "бабушка, 3-я слева".encode(),
    "Windows-1251": "бабушка".encode("cp1251"),
}


def exiftool(path, *words):
    """Values that exiftool reads from a file, "group:tag" -> value."""
    command = ["exiftool", "-json", "-G0", "-a", "-struct", "-charset", "iptc=utf8", *words, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]


def raw(path, tag):
    """The bytes of one tag as exiftool extracts them."""
    return subprocess.run(["exiftool", "-b", f"-{tag}", str(path)], capture_output=True, check=True).stdout


def directory(order, **texts):
    """An EXIF directory by our writer: t270=b"..." and so on."""
    made = Directory(order)
    for name, content in texts.items():
        made[int(name[1:])] = Value(tiff.ASCII, content + b"\0")
    return made


def with_exif(format, block):
    """A picture of this format with an EXIF block, put in by Pillow as it is."""
    image = Image.fromarray(noise(20, 30, 3))
    if format != "TIFF":
        return saved(image, format, exif=block)
    tags = exif.read(block)
    return formats.tiff(noise(20, 30, 3), Photo(noise(20, 30, 3), exif=exif.write(tags)))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("encoding", TEXTS)
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_texts_of_exif_are_kept_byte_for_byte(tmp_path, format, encoding, order):
    text = TEXTS[encoding]
    made = directory(order, t270=text, t315=text, t33432=text)
    made[exif.EXIF] = Directory(order, {37510: Value(tiff.UNDEFINED, b"ASCII\0\0\0" + text)})
    data = with_exif(format, exif.write(made))
    photo = read_photo(data)
    assert photo.notes == []
    for result in ("PNG", "TIFF", "JPEG", "WEBP"):
        again = exif.read(read_photo(encode(photo.pixels, photo, result, "Restored", "tool 1")).exif)
        assert again.order == order
        assert again[270].data == text + b"; Restored\0"
        assert again[11].data == b"tool 1\0"
        assert again[315].data == text + b"\0"
        assert again[33432].data == text + b"\0"
        assert again[exif.EXIF][37510].data == b"ASCII\0\0\0" + text


@needs_exiftool
@pytest.mark.parametrize("encoding", TEXTS)
@pytest.mark.parametrize("format", ENDINGS)
def test_exiftool_reads_the_same_texts(tmp_path, format, encoding):
    text, source = TEXTS[encoding], tmp_path / "scan.jpg"
    source.write_bytes(saved(Image.fromarray(noise(20, 30, 3)), "JPEG"))
    words = ["-overwrite_original", "-q"]
    for tag in ("Artist", "Copyright", "ImageDescription"):
        (tmp_path / tag).write_bytes(text)
        words.append(f"-EXIF:{tag}<={tmp_path / tag}")
    subprocess.run(["exiftool", *words, str(source)], check=True)
    photo = read_photo(source)
    result = tmp_path / f"result.{ENDINGS[format]}"
    result.write_bytes(encode(photo.pixels, photo, format, "Restored"))
    assert raw(source, "EXIF:Artist") == text
    assert raw(result, "EXIF:Artist") == text
    assert raw(result, "EXIF:Copyright") == text
    assert raw(result, "EXIF:ImageDescription") == text + b"; Restored"


def test_a_twice_restored_photo_has_one_remark():
    photo = Photo(noise(8, 9), exif=exif.write(directory("<", t270=TEXTS["Latin-1"] + b"; Restored")))
    again = read_photo(encode(photo.pixels, photo, "PNG", "Restored", "tool 2"))
    assert exif.read(again.exif)[270].data == TEXTS["Latin-1"] + b"; Restored\0"


def test_damaged_exif_does_not_cost_the_photo():
    whole = directory("<", t270=b"a caption", t315=b"a name of some length")
    block = bytearray(exif.write(whole))
    at = block.index(struct.pack("<HH", 270, 2)) + 8
    block[at : at + 4] = struct.pack("<I", 10**6)  # the caption lies outside of the block
    photo = read_photo(saved(Image.fromarray(noise(20, 30, 3)), "JPEG", exif=bytes(block)))
    assert photo.notes == ["damaged EXIF tags dropped"]
    assert set(exif.read(photo.exif)) == {315}
    photo = read_photo(saved(Image.fromarray(noise(20, 30, 3)), "JPEG", exif=bytes(block[:12])))
    assert photo.notes == ["damaged EXIF dropped"]
    assert photo.exif is None


# ------------------------------------------------------------------------------------------ IPTC and texts

RECORDS = b"".join(
    b"\x1c" + bytes([record, number]) + struct.pack(">H", len(text)) + text
    for record, number, text in (
        (1, 90, b"\x1b%G"),  # UTF-8
        (2, 120, "Großmutter am See, 1923".encode()),
        (2, 25, b"grandmother"),
        (2, 25, b"lake"),
    )
)
BLOCK = iptc.block({1005: b"resolution------", iptc.IPTC: RECORDS, 1034: b"\1", 1035: b"https://example.org"})
KEPT = iptc.block({iptc.IPTC: RECORDS, 1034: b"\1", 1035: b"https://example.org"})


def segment(marker, content):
    return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_with(*segments):
    data = saved(Image.fromarray(noise(20, 30, 3)), "JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def with_iptc(kind):
    """A file that carries the IPTC fields in one of the ways in use."""
    pixels, app13 = noise(20, 30, 3), b"Photoshop 3.0\0"
    info = PngImagePlugin.PngInfo()
    if kind == "JPEG":
        return jpeg_with(segment(0xED, app13 + BLOCK))
    if kind == "JPEG in two segments":
        return jpeg_with(segment(0xED, app13 + BLOCK[:50]), segment(0xED, app13 + BLOCK[50:]))
    if kind.startswith("TIFF"):
        tag, content = (34377, BLOCK) if "34377" in kind else (33723, RECORDS)
        kind = "I" if kind.endswith("LONG") else "B"
        tifffile = pytest.importorskip("tifffile")
        file = io.BytesIO()
        content += b"\0" * (-len(content) % 4)
        count = len(content) // 4 if kind == "I" else len(content)
        values = struct.unpack(f">{count}{kind}", content)  # swapped in the file, as Adobe's programs did
        tags = [(tag, kind, count, values, True)]
        tifffile.imwrite(file, pixels, photometric="rgb", metadata=None, extratags=tags)
        return file.getvalue()
    name = {"PNG iptc": b"iptc", "PNG 8bim": b"8bim"}[kind]
    info.add(*containers.profile_text(name, RECORDS if name == b"iptc" else BLOCK))
    return saved(Image.fromarray(pixels), "PNG", pnginfo=info)


KINDS = [
    "JPEG",
    "JPEG in two segments",
    "TIFF 34377",
    "TIFF 33723",
    "TIFF 33723 as LONG",
    "PNG iptc",
    "PNG 8bim",
]


@pytest.mark.parametrize("format", ENDINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_iptc_is_kept_byte_for_byte(kind, format):
    photo = read_photo(with_iptc(kind))
    records = iptc.resources(photo.iptc)[iptc.IPTC]
    assert records.rstrip(b"\0") == RECORDS
    again = read_photo(encode(photo.pixels, photo, format, "Restored"))
    assert iptc.resources(again.iptc)[iptc.IPTC] == records
    if format != "WEBP":
        assert again.iptc == photo.iptc
    assert photo.notes == again.notes == []


@needs_exiftool
@pytest.mark.parametrize("format", ENDINGS)
def test_exiftool_reads_iptc_of_every_format(tmp_path, format):
    photo = read_photo(with_iptc("JPEG"))
    assert photo.iptc == KEPT
    path = tmp_path / f"result.{ENDINGS[format]}"
    path.write_bytes(encode(photo.pixels, photo, format))
    found = exiftool(path)
    assert found["IPTC:Caption-Abstract"] == "Großmutter am See, 1923"
    assert found["IPTC:Keywords"] == ["grandmother", "lake"]
    if format != "WEBP":
        assert found["Photoshop:URL"] == "https://example.org"


def test_what_webp_has_no_place_for_is_said():
    photo = read_photo(with_iptc("JPEG"))
    assert formats.lost(photo, "PNG") == formats.lost(photo, "TIFF") == formats.lost(photo, "JPEG") == []
    assert formats.lost(photo, "WEBP") == [
        "WEBP has no place for Photoshop's copyright flag and URLs: it is lost"
    ]


def test_texts_of_a_png_stay_as_they_are():
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Family at the lake")
    info.add_text("Author", "Zoë")  # Latin-1
    info.add_text("Comment", "compressed", zip=True)
    info.add_itxt("Description", "бабушка", "ru", "описание", zip=True)
    data = saved(Image.fromarray(noise(20, 30)), "PNG", pnginfo=info)
    photo = read_photo(data)
    result = encode(photo.pixels, photo, "PNG", "Restored")
    before, after = (
        [c[:2] for c in containers.chunks(d) if c[0] in (b"tEXt", b"zTXt", b"iTXt")] for d in (data, result)
    )
    assert len(before) == 4
    assert [text for text in after if b"adobe" not in text[1]] == before
    assert Image.open(io.BytesIO(result)).text["Description"] == "бабушка"
    assert formats.lost(photo, "PNG") == []
    assert formats.lost(photo, "TIFF") == [
        f"TIFF has no place for text {name}: it is lost"
        for name in ("Author", "Comment", "Description", "Title")
    ]
    assert "text Comment" not in str(formats.lost(photo, "JPEG"))


@pytest.mark.parametrize("comment", [b"found in the attic, box 7", *TEXTS.values()])
def test_comments_of_jpeg_and_gif_are_kept(comment):
    gif = saved(Image.fromarray(noise(20, 30)), "GIF", comment=comment)
    for data in (jpeg_with(segment(0xFE, comment)), gif):
        photo = read_photo(data)
        jpeg = encode(photo.pixels, photo, "JPEG")
        assert Image.open(io.BytesIO(jpeg)).info["comment"] == comment
        png = read_photo(encode(photo.pixels, photo, "PNG"))
        assert png.texts == photo.texts
        assert formats.comments(png) == [comment]


@needs_exiftool
def test_exiftool_reads_the_comment_of_the_png(tmp_path):
    photo = read_photo(jpeg_with(segment(0xFE, TEXTS["Cyrillic"])))
    (tmp_path / "a.png").write_bytes(encode(photo.pixels, photo, "PNG"))
    assert exiftool(tmp_path / "a.png")["PNG:Comment"] == TEXTS["Cyrillic"].decode()


def test_blocks_in_png_texts_are_taken_for_what_they_are():
    """As ImageMagick and older exiftools write EXIF and XMP."""
    made, info = exif.write(directory("<", t270=b"box 7")), PngImagePlugin.PngInfo()
    info.add(*containers.profile_text(b"exif", made))
    info.add(*containers.profile_text(b"xmp", PACKET.format("", "").encode()))
    photo = read_photo(saved(Image.fromarray(noise(20, 30)), "PNG", pnginfo=info))
    assert exif.read(photo.exif)[270].data == b"box 7\0"
    assert photo.xmp
    assert photo.texts == []


def test_damaged_texts_do_not_cost_the_photo():
    data = saved(Image.fromarray(noise(20, 30)), "PNG")
    chunk = containers.chunk(b"zTXt", b"Title\0\0no zlib")
    photo = read_photo(data[:33] + chunk + data[33:])
    assert photo.notes == ["damaged or very long text Title dropped"]
    wrong = bytearray(containers.chunk(b"tEXt", b"Title\0Lake"))
    wrong[-1] ^= 1
    assert read_photo(data[:33] + bytes(wrong) + data[33:]).notes == ["damaged tEXt dropped"]


# -------------------------------------------------------------------------------------------- extended XMP

PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"{}>{}</rdf:Description>'
    "</rdf:RDF></x:xmpmeta>"
)


def jpeg_with_extended_xmp(cut=0):
    import hashlib

    keywords = "".join(f"<rdf:li>grandmother {number} {'x' * 200}</rdf:li>" for number in range(900))
    extended = PACKET.format("", f"<dc:subject><rdf:Bag>{keywords}</rdf:Bag></dc:subject>").encode()
    guid = hashlib.md5(extended).hexdigest().upper()
    note = f' xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="{guid}"'
    main = PACKET.format(note, "<dc:source>box 7</dc:source>").encode()
    pieces = containers.extension_segments(extended)
    assert len(pieces) > 2
    pieces = pieces[::-1][cut:]  # in any order
    parts = [segment(0xE1, containers.XMP_SEGMENT + main), *(segment(0xE1, piece) for piece in pieces)]
    return jpeg_with(*parts)


@needs_exiftool
@pytest.mark.parametrize("format", ENDINGS)
def test_extended_xmp_is_kept(tmp_path, format):
    source = tmp_path / "scan.jpg"
    source.write_bytes(jpeg_with_extended_xmp())
    expected = exiftool(source, "-ee", "-XMP:all")
    assert len(expected["XMP:Subject"]) == 900
    photo = read_photo(source)
    result = tmp_path / f"result.{ENDINGS[format]}"
    result.write_bytes(encode(photo.pixels, photo, format, "Restored", "tool 1"))
    found = exiftool(result, "-XMP:all")
    assert found["XMP:Subject"] == expected["XMP:Subject"]
    assert found["XMP:Source"] == "box 7"
    assert found["XMP:Description"] == "Restored"
    assert read_photo(result).notes == photo.notes == []


def test_extended_xmp_that_is_not_whole_is_said():
    photo = read_photo(jpeg_with_extended_xmp(cut=1))
    assert photo.notes == ["extended XMP dropped: it is not whole"]
    assert b"box 7" in photo.xmp
    assert b"HasExtendedXMP" not in photo.xmp


def test_the_command_says_what_is_lost(tmp_path, tiny_weights):
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Family at the lake")
    (tmp_path / "scan.png").write_bytes(saved(Image.fromarray(noise(48, 64)), "PNG", pnginfo=info))
    save(tmp_path / "m.png", np.zeros((48, 64), np.uint8))
    weights = [word for stage, file in tiny_weights.items() for word in (f"--{stage}-weights", str(file))]
    words = ["--mask", str(tmp_path / "m.png"), "--only", "restored", "--device", "cpu", "--quiet", *weights]
    for format, said in (("tif", True), ("png", False)):
        out = tmp_path / format
        assert restore.main([str(tmp_path / "scan.png"), str(out), "--format", format, *words]) == 0
        warnings = json.loads((out / "scan.json").read_text())["warnings"]
        assert ("TIFF has no place for text Title: it is lost" in warnings) is said
