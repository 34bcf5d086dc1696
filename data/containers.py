"""Containers of metadata in JPEG, PNG, GIF and TIFF files: segments, chunks, blocks and tags.

    carried = jpeg(data)                # what the file carries, not yet interpreted
    bare, carried = png(data)           # the file without its texts and profile, and these

Texts are stored as PNG chunks, (type, content): b"tEXt" (Latin-1), b"zTXt" and b"iTXt" (UTF-8).
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SEGMENT = 65533  # bytes, content of a JPEG segment
MAX_TEXTS = 16 << 20  # bytes, all inflated texts of a file; Pillow refuses 64 MiB
MAX_INFLATED = 1 << 20  # bytes, an inflated text or profile in a PNG; Pillow refuses more

EXIF_SEGMENT = b"Exif\0\0"
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"  # ISO 16684-3
# Followed by GUID, length and offset of the piece
EXTENSION_SEGMENT = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP_SEGMENT = b"Photoshop 3.0\0"
XMP_KEYWORD = b"XML:com.adobe.xmp"

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PROFILE = b"Raw profile type "  # how ImageMagick and exiftool store arbitrary blocks in a PNG text
_GIF_XMP = b"XMP DataXMP"


@dataclass
class Carried:
    """Metadata as found in a file."""

    exif: bytes = b""  # a block, with or without its prefix
    icc: bytes = b""
    xmp: bytes = b""
    extensions: dict[bytes, bytes] = field(default_factory=dict)  # GUID -> extended XMP
    photoshop: bytes = b""  # image resources
    records: bytes = b""  # IPTC-IIM outside the image resources
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)  # PNG chunks
    color: list[tuple[bytes, bytes]] = field(default_factory=list)  # gAMA, cHRM, sRGB, cICP
    lost: list[str] = field(default_factory=list)  # names of items that are damaged or too long


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of a JPEG's segments before its pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 1 or 0xD0 <= marker <= 0xD8:  # no content
            at += 2
        elif marker in (0xD9, 0xDA):
            return
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            yield marker, data[at + 4 : at + 2 + length]
            at += 2 + max(length, 2)


def jpeg(data: bytes) -> Carried:
    """The metadata of a JPEG except its profile, which Pillow assembles."""
    carried, extensions = Carried(), {}
    for marker, content in segments(data):
        if marker == 0xE1 and content.startswith(EXIF_SEGMENT):
            carried.exif = carried.exif or content
        elif marker == 0xE1 and content.startswith(XMP_SEGMENT):
            carried.xmp = carried.xmp or content[len(XMP_SEGMENT) :]
        elif marker == 0xE1 and content.startswith(EXTENSION_SEGMENT):
            guid, length, offset, piece = _piece(content[len(EXTENSION_SEGMENT) :])
            extensions.setdefault((guid, length), {})[offset] = piece
        elif marker == 0xED and content.startswith(PHOTOSHOP_SEGMENT):
            carried.photoshop += content[len(PHOTOSHOP_SEGMENT) :]
        elif marker == 0xFE:
            carried.texts.append(text(b"Comment", content.rstrip(b"\0")))
    for (guid, length), pieces in extensions.items():
        whole = b"".join(piece for _, piece in sorted(pieces.items()))
        if len(whole) == length:
            carried.extensions[guid] = whole
    return carried


def _piece(content: bytes) -> tuple[bytes, int, int, bytes]:
    """GUID, total length, offset and bytes of a piece of extended XMP."""
    length, offset = (int.from_bytes(content[at : at + 4], "big") for at in (32, 36))
    return content[:32], length, offset, content[40:]


def text(keyword: bytes, content: bytes) -> tuple[bytes, bytes]:
    """A text as a PNG chunk: iTXt if it needs UTF-8 beyond ASCII, else tEXt."""
    with contextlib.suppress(UnicodeDecodeError):
        if not content.isascii() and content.decode():
            return b"iTXt", keyword + b"\0\0\0\0\0" + content
    return b"tEXt", keyword + b"\0" + content


def parse_text(kind: bytes, content: bytes, limit: int = MAX_TEXTS) -> tuple[bytes, bytes]:
    """Keyword and text of a PNG chunk. Raises ValueError if it is damaged, or longer than `limit` when
    inflated.
    """
    keyword, _, rest = content.partition(b"\0")
    if kind == b"tEXt":
        return keyword, rest
    if kind == b"zTXt":
        return keyword, inflate(rest[1:], limit)
    compressed, rest = rest[:1] == b"\1", rest[2:]
    body = rest.split(b"\0", 2)[-1]  # after language and translated keyword
    return keyword, inflate(body, limit) if compressed else body


def inflate(data: bytes, limit: int) -> bytes:
    """Inflated data. Raises ValueError if it is damaged or longer than `limit`."""
    decoder = zlib.decompressobj()
    try:
        whole = decoder.decompress(data, limit)
    except zlib.error:
        raise ValueError("damaged") from None
    if not decoder.eof:
        raise ValueError("cut off, or too long")
    return whole


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Type and content of a PNG's chunks, and whether the checksum is right; a truncated chunk ends
    the list.
    """
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content, checksum = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if len(checksum) < 4:
            return
        yield kind, content, zlib.crc32(kind + content) == int.from_bytes(checksum, "big")
        at += 12 + length


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk with length and checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(data: bytes) -> tuple[bytes, Carried]:
    """A PNG without texts, profile and EXIF, whose length Pillow limits; and these."""
    carried, bare, at = Carried(), [SIGNATURE], len(SIGNATURE)
    taken = {b"iCCP": _take_profile, b"eXIf": _take_exif, **dict.fromkeys(_TEXTS, _take_text)}
    for kind, content, intact in chunks(data):
        end = at + 12 + len(content)
        if kind not in taken:
            bare.append(data[at:end])
        elif intact:
            taken[kind](carried, kind, content)
        else:
            carried.lost.append(f"damaged {kind.decode()}")
        if kind in (b"gAMA", b"cHRM", b"sRGB", b"cICP") and intact:
            carried.color.append((kind, content))
        at = end
    bare.append(data[at:])
    return b"".join(bare), carried


def _take_exif(carried: Carried, kind: bytes, content: bytes) -> None:
    carried.exif = content


def _take_profile(carried: Carried, kind: bytes, content: bytes) -> None:
    try:
        carried.icc = inflate(content.partition(b"\0")[2][1:], MAX_TEXTS)
    except ValueError:
        carried.lost.append("damaged color profile")


def _take_text(carried: Carried, kind: bytes, content: bytes) -> None:
    """A text, or the block that a program stored in one."""
    keyword = content.partition(b"\0")[0]
    try:
        left = MAX_TEXTS - sum(len(text) for _, text in carried.texts)
        keyword, value = parse_text(kind, content, left)
        block = _unhex(value) if keyword.startswith(_PROFILE) else b""
    except ValueError:
        carried.lost.append(f"damaged or very long text {keyword[:79].decode('latin-1')}")
        return
    name = keyword[len(_PROFILE) :].lower() if block else b""
    if keyword == XMP_KEYWORD:
        carried.xmp = value
    elif name == b"exif" or (name == b"app1" and block.startswith(EXIF_SEGMENT)):
        carried.exif = carried.exif or block
    elif name in (b"icc", b"icm"):
        carried.icc = carried.icc or block
    elif name in (b"xmp", b"app1"):
        carried.xmp = carried.xmp or block.removeprefix(XMP_SEGMENT)
    elif name in (b"iptc", b"8bim"):
        block = block.removeprefix(PHOTOSHOP_SEGMENT)
        carried.photoshop, carried.records = (b"", block) if block[:1] == b"\x1c" else (block, b"")
    elif len(value) > MAX_INFLATED and kind != b"tEXt":  # Pillow refuses longer ones if compressed
        carried.texts.append(text(keyword, value) if kind == b"zTXt" else _uncompressed(content, value))
    else:
        carried.texts.append((kind, content))


def _uncompressed(content: bytes, value: bytes) -> tuple[bytes, bytes]:
    """An iTXt chunk with its text uncompressed."""
    keyword, _, rest = content.partition(b"\0")
    language, translated, _ = rest[2:].split(b"\0", 2)
    return b"iTXt", b"\0".join([keyword, b"\0\0" + language, translated, value])


def _unhex(value: bytes) -> bytes:
    """The block in a text: a line end, its kind, its length, then hexadecimal digits."""
    _, _, rest = value.lstrip(b"\n").partition(b"\n")
    return bytes.fromhex(rest.lstrip().partition(b"\n")[2].decode("ascii"))


def profile_text(name: bytes, block: bytes) -> tuple[bytes, bytes]:
    """A block as such a text, compressed if Pillow can read that."""
    digits = block.hex().encode()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    value = b"\n".join([b"", name, b"%8d" % len(block), *lines, b""])
    if len(value) > MAX_INFLATED:
        return b"tEXt", _PROFILE + name + b"\0" + value
    return b"zTXt", _PROFILE + name + b"\0\0" + zlib.compress(value)


def gif_xmp(data: bytes) -> bytes:
    """The packet in a GIF's application extension; b"" without one."""
    _, found, rest = data.partition(_GIF_XMP)
    return rest.partition(b"\x01\xff\xfe\xfd")[0] if found else b""


def extension_segments(packet: bytes) -> list[bytes]:
    """Contents of the JPEG segments of extended XMP (ISO 16684-3, 5.5); none for b""."""
    guid = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
    room = MAX_SEGMENT - len(EXTENSION_SEGMENT) - 40
    return [
        EXTENSION_SEGMENT + guid + struct.pack(">II", len(packet), at) + packet[at : at + room]
        for at in range(0, len(packet), room)
    ]


def photoshop_segments(block: bytes) -> list[bytes]:
    """Contents of the JPEG segments of image resources."""
    room = MAX_SEGMENT - len(PHOTOSHOP_SEGMENT)
    return [PHOTOSHOP_SEGMENT + block[at : at + room] for at in range(0, len(block), room)]
