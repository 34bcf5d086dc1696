"""Directories of TIFF files and EXIF blocks, with each value as the bytes in the file (TIFF 6.0, BigTIFF).

    directory = read(block)                    # of an EXIF block or a TIFF file
    directory[270].data                        # b"Gro\\xc3\\x9fmutter\\0"
    directory.numbers(282)                     # (300.0,)
    directory.put(274, SHORT, 1)
    block = write(directory)

Texts keep their encoding, and numbers the byte order of their file.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import NamedTuple

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7

# Type -> bytes of one value, and its struct code. 129: UTF-8 text (EXIF 3.0).
_TYPES = {
    BYTE: (1, "B"),
    ASCII: (1, "s"),
    SHORT: (2, "H"),
    LONG: (4, "I"),
    RATIONAL: (8, "II"),
    6: (1, "b"),
    UNDEFINED: (1, "s"),
    8: (2, "h"),
    9: (4, "i"),
    10: (8, "ii"),
    11: (4, "f"),
    12: (8, "d"),
    13: (4, "I"),
    16: (8, "Q"),
    17: (8, "q"),
    18: (8, "Q"),
    129: (1, "s"),
}


class Value(NamedTuple):
    """One value of a directory: its TIFF type, and its bytes in the directory's byte order."""

    kind: int
    data: bytes


class Directory(dict):
    """Tag -> Value, or Directory for the EXIF and GPS directories."""

    def __init__(self, order: str = ">", values: dict[int, Value | Directory] | None = None):
        super().__init__(values or {})
        self.order = order  # "<" little-endian, ">" big-endian
        self.damaged = False  # whether values outside the file were left out

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The numbers of a tag, rationals as quotients; 0 if not finite; () without the tag."""
        if tag not in self or isinstance(self[tag], Directory):
            return ()
        code = _TYPES[self[tag].kind][1]
        if code == "s":
            return tuple(self[tag].data)
        found = struct.iter_unpack(self.order + code, self[tag].data)
        numbers = (a[0] if len(a) == 1 else a[0] / a[1] if a[1] else 0.0 for a in found)
        return tuple(number if math.isfinite(number) else 0.0 for number in numbers)

    def number(self, tag: int, default: float) -> float:
        """The first number of a tag."""
        return (*self.numbers(tag), default)[0]

    def put(self, tag: int, kind: int, *numbers: float) -> None:
        """Sets a tag to numbers; rationals to within 2**-32."""
        code = _TYPES[kind][1]
        if kind == RATIONAL:
            ratios = [Fraction(number).limit_denominator(65536) for number in numbers]
            numbers = tuple(n for ratio in ratios for n in (ratio.numerator, ratio.denominator))
            code = "I"
        self[tag] = Value(kind, struct.pack(f"{self.order}{len(numbers)}{code}", *numbers))


def header(data: bytes) -> tuple[str, bool, int]:
    """Byte order, whether it is a BigTIFF, and the offset of the first directory. Raises ValueError if it is
    not a TIFF.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        raise ValueError("no TIFF header")
    version = struct.unpack_from(order + "H", data, 2)[0]
    if version == 43:
        return order, True, struct.unpack_from(order + "Q", data, 8)[0]
    if version != 42:
        raise ValueError("no TIFF header")
    return order, False, struct.unpack_from(order + "I", data, 4)[0]


def read_directory(data: bytes, offset: int, order: str, big: bool = False) -> tuple[Directory, int]:
    """The directory at this offset of a TIFF, and the offset of the next one; 0 if there is none.

    Of a tag that repeats, the first counts, as in libtiff: tifffile writes a caption, then the layout. Values
    outside the file are left out. Raises ValueError if the directory itself is outside.
    """
    directory = Directory(order)
    entry, field = ("HHQ8s", "Q") if big else ("HHI4s", "I")
    entry_size, room = struct.calcsize(order + entry), 8 if big else 4
    try:
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, offset)
        offset += 8 if big else 2
        if count > 65535:
            raise ValueError("damaged TIFF directory")
        entries = [struct.unpack_from(order + entry, data, offset + i * entry_size) for i in range(count)]
        end = offset + count * entry_size
        following = struct.unpack_from(order + field, data, end)[0] if end + room <= len(data) else 0
    except (struct.error, OverflowError):  # an offset of more than 63 bits
        raise ValueError("damaged TIFF directory") from None
    for tag, kind, number, value in entries:
        length = number * _TYPES.get(kind, (0, ""))[0]
        if length > room:
            (start,) = struct.unpack(order + field, value)
            value = data[start : start + length]
        if kind in _TYPES and len(value) >= length:
            directory.setdefault(tag, Value(kind, value[:length]))
        else:
            directory.damaged = True
    return directory, following


def read(block: bytes, nested: tuple[int, ...] = ()) -> Directory:
    """The first directory of a TIFF or EXIF block, with those that its `nested` tags point to.

    Raises ValueError if there is none.
    """
    order, big, offset = header(block)
    return resolve(read_directory(block, offset, order, big)[0], block, nested)


def resolve(directory: Directory, data: bytes, nested: tuple[int, ...]) -> Directory:
    """The same directory, with those that its `nested` tags point to in `data` in place of their offsets."""
    order, big, _ = header(data)
    resolved = Directory(order, {tag: value for tag, value in directory.items() if tag not in nested})
    resolved.damaged = directory.damaged
    for tag in set(nested) & set(directory):
        try:
            inner = read_directory(data, int(directory.number(tag, 0)), order, big)[0]
            resolved[tag] = inner
            resolved.damaged |= inner.damaged
        except ValueError:
            resolved.damaged = True
    return resolved


def write(directory: Directory) -> bytes:
    """A TIFF with only this directory, without pixels."""
    order = directory.order
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8)
    return start + _pack(directory, len(start))


def _pack(directory: Directory, offset: int) -> bytes:
    """A directory for this offset: its entries, then the values that do not fit into them."""
    order = directory.order
    entries, values = struct.pack(order + "H", len(directory)), b""
    offset += 2 + 12 * len(directory) + 4
    for tag, value in sorted(directory.items()):
        if isinstance(value, Directory):
            kind, count, data = LONG, 1, _pack(value, offset + len(values))
        else:
            kind, count, data = value.kind, len(value.data) // _TYPES[value.kind][0], value.data
        entries += struct.pack(order + "HHI", tag, kind, count)
        if len(data) <= 4 and not isinstance(value, Directory):
            entries += data.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", offset + len(values))
            values += data + b"\0" * (len(data) % 2)
    return entries + bytes(4) + values
