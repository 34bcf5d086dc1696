"""Files that libraries do not write: TIFF, PNG and JPEG put together from bytes, and color profiles."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (120, 90)  # width, height of most pictures
ROOT = Path(__file__).resolve().parents[2]


def ramp(most: int = 255, dtype=np.uint8) -> np.ndarray:
    """A grey ramp from 0 to `most`, (90, 120)."""
    width, height = SIZE
    return (np.add.outer(np.arange(height), np.arange(width)) * most // (width + height - 2)).astype(dtype)


def rainbow(dtype=np.uint8) -> np.ndarray:
    """Colors in all directions, (90, 120, 3)."""
    grey = ramp().astype(int)
    picture = np.dstack([grey, grey[::-1], 255 - grey[:, ::-1] // 2])
    return (picture * (np.iinfo(dtype).max // 255)).astype(dtype)


def portrait(side: int = 256) -> np.ndarray:
    """A grey portrait (h, w) uint8 of at most `side` px."""
    picture = Image.open(ROOT / "examples/grace_hopper.jpg").convert("L")
    picture.thumbnail((side, side))
    return np.asarray(picture)


def astronaut(side: int = 256) -> np.ndarray:
    """A color portrait (h, w, 3) uint8 of at most `side` px."""
    picture = Image.open(ROOT / "examples/astronaut.jpg").convert("RGB")
    picture.thumbnail((side, side))
    return np.asarray(picture)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    """Saves a picture with Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def tiff(path: Path, data: bytes, bits: tuple[int, ...], photometric: int, extra: int | None = None) -> None:
    """One uncompressed strip of SIZE. extra: the value of ExtraSamples, if it is there."""
    tags = [(256, 4, 1, SIZE[0]), (257, 4, 1, SIZE[1]), None, (259, 3, 1, 1), (262, 3, 1, photometric)]
    tags += [None, (277, 3, 1, len(bits)), (278, 4, 1, SIZE[1]), (279, 4, 1, len(data))]
    tags += [(338, 3, 1, extra)] if extra is not None else []
    after = 8 + 2 + 12 * len(tags) + 4
    packed = struct.pack(f"<{len(bits)}H", *bits)
    tags[2] = (258, 3, len(bits), after if len(bits) > 2 else bits[0])
    tags[5] = (273, 4, 1, after + len(packed))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path.write_bytes(b"II*\0\x08\0\0\0" + directory + bytes(4) + packed + data)


def packed12(values: np.ndarray) -> bytes:
    """Values up to 4095, an even number in a row, as 12 bits each."""
    first, second = values.reshape(len(values), -1).astype(np.uint16).reshape(-1, 2).T
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()


def png(path: Path, pixels: np.ndarray, *chunks: tuple[bytes, bytes]) -> None:
    """A PNG of uint8 or uint16 pixels, grey or RGB, with chunks before the pixels."""
    height, width = pixels.shape[:2]
    color, depth = 2 if pixels.ndim == 3 else 0, 8 * pixels.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{pixels.itemsize}").tobytes() for row in pixels)
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    parts = [header, *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))


def png_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """(type, data) of all chunks."""
    data, at, chunks = path.read_bytes(), 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png_text(path: Path) -> bytes:
    """The contents of all chunks but those of pixels: uncompressed, and hexadecimal profiles decoded."""
    found = []
    for kind, data in png_chunks(path):
        if kind == b"zTXt":
            data = zlib.decompress(data.split(b"\0", 1)[1][1:])
        elif kind == b"iTXt" and data.split(b"\0", 1)[1][0] == 1:
            data = zlib.decompress(data.split(b"\0", 1)[1][2:].split(b"\0", 2)[2])
        if kind in (b"zTXt", b"tEXt") and data.strip()[:20].split(b"\n")[0].strip().isalnum():
            digits = b"".join(data.split()[2:])
            data += bytes.fromhex(digits.decode()) if set(digits) <= set(b"0123456789abcdef") else b""
        found += [] if kind == b"IDAT" else [data]
    return b"\n".join(found)


def jpeg(path: Path, pixels: np.ndarray, *segments: tuple[int, bytes]) -> None:
    """A JPEG with segments (marker, data) at its start."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    body = file.getvalue()
    if any(marker == 0xE1 for marker, _ in segments):  # EXIF in place of JFIF
        body = body[:2] + body[4 + int.from_bytes(body[4:6], "big") :]
    parts = (b"\xff" + bytes([m]) + struct.pack(">H", len(data) + 2) + data for m, data in segments)
    path.write_bytes(body[:2] + b"".join(parts) + body[2:])


def exif(**texts: bytes) -> bytes:
    """An EXIF segment with texts, t270=... for ImageDescription, as they are."""
    tags = sorted((int(name[1:]), text + b"\0") for name, text in texts.items())
    at, table, data = 8 + 2 + 12 * len(tags) + 4, b"", b""
    for tag, text in tags:
        table += struct.pack("<HHII", tag, 2, len(text), at + len(data))
        data += text + b"\0" * (len(text) % 2)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + table + bytes(4) + data


def photoshop(caption: bytes, keyword: bytes) -> bytes:
    """A Photoshop block with IPTC caption and keyword."""
    fields = ((120, caption), (25, keyword))
    iptc = b"".join(b"\x1c\x02" + bytes([n]) + struct.pack(">H", len(t)) + t for n, t in fields)
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"drawn\0" + bytes(78)
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": white, **tags}
    at, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", at + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))


def grey_profile(gamma: float) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def wide_profile() -> bytes:
    """The primaries and the gamma of ProPhoto RGB."""
    colors = {b"r": (0.7977, 0.2880, 0), b"g": (0.1352, 0.7119, 0.0001), b"b": (0.0313, 0.0001, 0.8249)}
    tags = {
        name + b"XYZ": b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * x) for x in xyz))
        for name, xyz in colors.items()
    }
    return _profile(b"RGB ", {**tags, **{name + b"TRC": _curve(1.8) for name in colors}})
