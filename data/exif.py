"""EXIF: tags that describe the photograph are kept byte for byte, in a block that fits any file format."""

from __future__ import annotations

import json
import re

from data import tiff
from data.tiff import Directory, Value

EXIF = 34665
DIRECTORIES = (EXIF, 34853)  # tags of the first directory that point to the EXIF and GPS directories
IPTC = 33723
ORIENTATION = 274
MAX_DPI = 65535  # the largest value in a JPEG; more is a broken file

_PREFIX = b"Exif\0\0"  # prefix in a JPEG's segment; some programs write it twice, or in other formats too
_INTEROP = 40965  # holds an offset into the old block
_WIDTH, _HEIGHT = 40962, 40963
_DESCRIPTION, _SOFTWARE = 270, 11  # ImageDescription and ProcessingSoftware
_XRESOLUTION, _YRESOLUTION, _UNIT = 282, 283, 296

# Tags of the first directory that describe the photograph. All others describe the old file's layout (in a
# TIFF the directory *is* the layout), orientation or resolution, which are written anew.
_DESCRIPTIVE = {11, 269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}

# Descriptions in which programs state the layout of a file: lines of ImageJ, and OME-XML. _IMAGEJ_LAYOUT and
# _OME_PLANES match the parts that announce more than one plane.
_IMAGEJ, _OME = re.compile(rb"(ImageJ|SCIFIO)="), re.compile(rb"</(\w+:)?OME>\s*$")
_IMAGEJ_LAYOUT = re.compile(rb"(?m)^(images|channels|slices|frames|hyperstack)=.*\n?")
_OME_PLANES = re.compile(rb"\bSize[ZT]=[\"'](?!1[\"'])|<(\w+:)?(Channel|Pixels)\b.*<(\w+:)?\2\b", re.DOTALL)
_XML = re.compile(rb"<\?xml\b|<(\w+:)?OME\b")


def read(block: bytes) -> Directory:
    """The first directory, with its EXIF and GPS directories. Raises ValueError if it is damaged."""
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    return tiff.read(block, DIRECTORIES)


def write(directory: Directory) -> bytes:
    """A block for JPEG, PNG and WebP; b"" for an empty directory."""
    return _PREFIX + tiff.write(directory) if directory else b""


def descriptive(directory: Directory, turned: bool) -> Directory:
    """The tags that describe the photograph. turned: whether its orientation swaps width and height."""
    kept = Directory(directory.order, {tag: directory[tag] for tag in _DESCRIPTIVE & set(directory)})
    if _DESCRIPTION in kept:
        kind, text = kept.pop(_DESCRIPTION)
        if caption := _caption(text):
            kept[_DESCRIPTION] = Value(kind, caption)
    for tag in DIRECTORIES:
        inner = Directory(directory.order, directory.get(tag))
        inner.pop(_INTEROP, None)
        if turned and _WIDTH in inner and _HEIGHT in inner:
            inner[_WIDTH], inner[_HEIGHT] = inner[_HEIGHT], inner[_WIDTH]
        if inner:
            kept[tag] = inner
    return kept


def _caption(description: bytes) -> bytes:
    """A description without the layout of its file, which is not that of the result; b"" if nothing is left.

    Only OME-XML stays whole. If it tells of several planes, a comment after its end keeps programs from
    looking for them.
    """
    text = description.strip(b"\0 ")
    if text.startswith(b"{"):
        caption = _without_shape(text)
    elif _IMAGEJ.match(text):
        caption = _IMAGEJ_LAYOUT.sub(b"", text)
    elif _OME.search(text) and _OME_PLANES.search(text):
        caption = text + b"<!-- layout of the original file -->"
    else:
        return description
    return description if caption == text else caption and caption + b"\0"


def _without_shape(text: bytes) -> bytes:
    """JSON without the layout in it: tifffile fails on one that a sentence follows."""
    string = text.decode("utf-8", "surrogateescape")
    try:
        found, end = json.JSONDecoder().raw_decode(string)
        string[:end].encode()  # other bytes would come back as escapes
        if not isinstance(found.get("shape"), list):
            return text
        rest = {key: value for key, value in found.items() if key not in ("shape", "axes", "truncated")}
        kept = json.dumps(rest) if rest else ""
    except (ValueError, RecursionError):  # no JSON, not in UTF-8, or nested too deeply
        return text
    parts = kept, string[end:].strip("; \r\n")
    return "; ".join(filter(None, parts)).encode("utf-8", "surrogateescape")


def resolution(directory: Directory) -> tuple[float, float] | None:
    """(x, y) in pixels per inch, if the directory has it."""
    scale = {2: 1.0, 3: 2.54}.get(directory.number(_UNIT, 2), 0.0)
    return valid_dpi(*(scale * directory.number(tag, 0) for tag in (_XRESOLUTION, _YRESOLUTION)))


def valid_dpi(x: float, y: float) -> tuple[float, float] | None:
    """The resolution, or None if it is absurd."""
    return (float(x), float(y)) if 0 < x <= MAX_DPI and 0 < y <= MAX_DPI else None  # also false for NaN


def add_resolution(directory: Directory, dpi: tuple[float, float]) -> None:
    """Sets the resolution, in pixels per inch."""
    directory.put(_XRESOLUTION, tiff.RATIONAL, dpi[0])
    directory.put(_YRESOLUTION, tiff.RATIONAL, dpi[1])
    directory.put(_UNIT, tiff.SHORT, 2)


def add_remark(directory: Directory, remark: str, tool: str) -> None:
    """Adds a sentence to the description and the program to the software; existing texts stay, as bytes."""
    for tag, sentence in ((_DESCRIPTION, remark.encode()), (_SOFTWARE, tool.encode())):
        kind, before = directory.get(tag, Value(tiff.ASCII, b""))
        before = before.strip(b"\0 ")
        if sentence not in before:
            directory[tag] = Value(kind, _joined(before, sentence) + b"\0")


def _joined(before: bytes, sentence: bytes) -> bytes:
    """A text and a sentence; in XML, such as OME's, the sentence is a comment."""
    start, root, end = before.rpartition(b"</")
    if root and _XML.match(before):
        return start + b"<!-- " + sentence + b" -->" + root + end
    return b"; ".join(filter(None, [before, sentence]))
