"""Pages of a TIFF: chooses the photograph, and decodes what Pillow cannot decode in full.

page, notes = choose(data)                     # the directory of the photograph
pixels, alpha, infrared = decode(page.alone(data), page, max_pixels)
"""

from __future__ import annotations

import io
import logging
import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data import tiff
from data.errors import PhotoError
from data.tiff import Directory

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_SAMPLES, _SUBDIRECTORIES, _EXTRA, _FORMAT = 277, 330, 338, 339
_WEBP = 50001  # Pillow opens it, but its libtiff cannot decode it
_PHOTOMETRICS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_PHOTOMETRICS |= dict.fromkeys([32803, 34892], "raw sensor")
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}  # samples of a color
_PREMULTIPLIED, _STRAIGHT = 1, 2  # ExtraSamples of alpha
_SIGNED = 2  # SampleFormat
_PLANES, _SEPARATE = 284, 2  # PlanarConfiguration: each sample in a plane of its own
_COMPRESSIONS = {
    1: "no",
    5: "LZW",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    50001: "WebP",
    50002: "JPEG XL",
}
_COMPRESSIONS |= dict.fromkeys([33003, 33004, 33005, 34712], "JPEG 2000")
_PROFILE = 34675
# Tags that describe the pixels of a directory and must not be taken from another one.
_LAYOUT = {*range(254, 267), 273, *range(275, 282), *range(284, 301), *range(317, 348), *range(512, 533)}
_THUMBNAIL = 0.1  # share of the pixels of another page below which the first counts as an unmarked thumbnail
_MAX_PAGES = 10_000
_SCANS = "pip install -e '.[scans]'"


class Samples(NamedTuple):
    """What a picture consists of, uint8 or uint16."""

    pixels: np.ndarray  # (H, W) or (H, W, 3)
    alpha: np.ndarray | None = None  # (H, W), not premultiplied
    infrared: np.ndarray | None = None  # (H, W)


@dataclass
class Page:
    """A directory of a TIFF with the pixels that it describes."""

    directory: Directory
    offset: int
    parent: int = -1  # number of the page whose SubIFDs contain it
    infrared: Page | None = None  # the page with its infrared channel

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.directory.number(_WIDTH, 0)), int(self.directory.number(_HEIGHT, 0))

    @property
    def reduced(self) -> bool:
        """Whether it is a thumbnail or another smaller version of a page, or a mask."""
        return (
            bool(int(self.directory.number(_SUBFILE, 0)) & 5) or self.directory.number(_OLD_SUBFILE, 1) == 2
        )

    @property
    def bits(self) -> int:
        """Bits per sample."""
        return int(max(self.directory.numbers(_BITS), default=1))

    @property
    def color(self) -> int:
        """PhotometricInterpretation: 0 and 1 grey, 2 RGB, ..."""
        return int(self.directory.number(_PHOTOMETRIC, 1))

    @property
    def has_infrared(self) -> bool:
        """Whether the sample after the colors is infrared, as in VueScan's RGBI: ExtraSamples is 0,
        unspecified, or missing. Alpha has 1 or 2.
        """
        return self.color in (0, 1, 2) and self._further == 1 and self.directory.number(_EXTRA, 0) == 0

    @property
    def premultiplied(self) -> bool:
        """Whether its colors are stored multiplied by alpha."""
        return self._further > 0 and self.directory.number(_EXTRA, 0) == _PREMULTIPLIED

    @property
    def dropped(self) -> int:
        """Samples per pixel that are neither color nor alpha nor infrared: nothing reads them."""
        used = self.has_infrared or self.directory.number(_EXTRA, 0) in (_PREMULTIPLIED, _STRAIGHT)
        return max(self._further - used, 0)

    @property
    def signed(self) -> bool:
        """Whether its samples may be negative."""
        return self.directory.number(_FORMAT, 1) == _SIGNED

    @property
    def _further(self) -> int:
        """Samples per pixel after those of the color."""
        return int(self.directory.number(_SAMPLES, 1)) - _COLORS.get(self.color, 3)

    @property
    def kind(self) -> str:
        """For messages, for example "12-bit RGB TIFF with JPEG compression"."""
        color = _PHOTOMETRICS.get(
            self.color, "raw sensor" if self.color in (32803, 34892) else f"kind {self.color}"
        )
        code = int(self.directory.number(_COMPRESSION, 1))
        return f"{self.bits}-bit {color} TIFF with {_COMPRESSIONS.get(code, f'number {code}')} compression"

    def alone(self, data: bytes) -> bytes:
        """The file, rewritten so that this page is its first."""
        order, big, _ = tiff.header(data)
        start, code = (8, "Q") if big else (4, "I")
        packed = struct.pack(order + code, self.offset)
        return data[:start] + packed + data[start + len(packed) :]

    def by_pillow(self) -> bool:
        """Whether Pillow decodes all of its bits."""
        grey = self.color in (0, 1) and self.directory.number(_SAMPLES, 1) == 1
        deep = self.bits > 8 and not (grey and self.bits in (12, 16, 32))
        grey_infrared = self.has_infrared and self.color != 2
        webp = self.directory.number(_COMPRESSION, 1) == _WEBP
        return not (deep or grey_infrared or webp or self._odd_planes)

    @property
    def _odd_planes(self) -> bool:
        """Whether samples that are stored plane by plane, grey or RGB, are others than Pillow knows."""
        planes = self.directory.number(_PLANES, 1) == _SEPARATE and self._further > 0
        unknown = self.color in (0, 1) or self._further > 1 or self.premultiplied
        return planes and unknown and self.color in (0, 1, 2)


def choose(data: bytes) -> tuple[Page, list[str]]:
    """The page that is the photograph, and notes. Raises ValueError if the TIFF has none.

    The first page, or the largest full-size one if the first is a thumbnail or has a larger picture in its
    SubIFDs. A thumbnail's directory often describes the whole file, so the page inherits the tags it lacks.
    """
    pages = _pages(data)
    whole = [page for page in pages if not page.reduced]
    area = lambda page: page.size[0] * page.size[1]  # noqa: E731
    largest = max(whole or pages, key=area)  # among equal ones the first
    first = pages[0]
    if first in whole and area(first) >= _THUMBNAIL * area(largest):
        whole = [page for page in whole if page is first or page.parent == 0]
    best = max(whole or pages, key=area)
    best.infrared = _infrared_page(best, pages)
    notes = ["the second page was read as the infrared channel"] if best.infrared else []
    if best is first:
        count = sum(page.parent < 0 for page in pages)
        return best, notes or ([f"only the first of {count} pages was read"] if count > 1 else [])
    shared = {tag: value for tag, value in first.directory.items() if tag not in _LAYOUT}
    if first.color != best.color:
        shared.pop(_PROFILE, None)
    best.directory = Directory(best.directory.order, {**shared, **best.directory})
    return best, ["the full picture taken, not the thumbnail in the first directory", *notes]


def _infrared_page(photo: Page, pages: list[Page]) -> Page | None:
    """The infrared channel of SilverFast's HDRi: a grey page after an RGB one, the only other of its size."""
    same = [page for page in pages if page.parent < 0 and page.size == photo.size]
    if len(same) != 2 or same[0] is not photo or photo.color != 2 or photo.has_infrared:
        return None
    other = same[1]
    grey = other.color in (0, 1) and other.directory.number(_SAMPLES, 1) == 1
    return other if grey and other.bits in (8, 16) else None


def _pages(data: bytes) -> list[Page]:
    """All pages: the chain, each followed by those in its SubIFDs."""
    order, big, offset = tiff.header(data)
    pages: list[Page] = []
    seen: set[int] = set()
    while offset and offset not in seen and len(pages) < _MAX_PAGES:
        seen.add(offset)
        try:
            directory, following = tiff.read_directory(data, offset, order, big)
        except ValueError:
            break
        pages.append(Page(directory, offset))
        parent = len(pages) - 1
        for inner in map(int, directory.numbers(_SUBDIRECTORIES)):
            if inner in seen or len(pages) >= _MAX_PAGES:
                continue
            seen.add(inner)
            try:
                pages.append(Page(tiff.read_directory(data, inner, order, big)[0], inner, parent))
            except ValueError:
                continue
        offset = following
    if not pages:
        raise ValueError("no directory")
    return pages


def decode(data: bytes, page: Page, max_pixels: int) -> Samples:
    """The samples of a page, by tifffile. `page` is the first in the file.

    Other bit depths are scaled to 8 or 16 bits; alpha is not premultiplied. Raises PhotoError if tifffile or
    imagecodecs is missing, or if the kind is not supported.
    """
    try:
        import tifffile
    except ImportError:
        raise PhotoError(f"{page.kind} needs tifffile: {_SCANS}") from None
    # Its warnings are about odd metadata, which the user cannot act on
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    if page.color not in (0, 1, 2, 6):
        raise PhotoError(f"{page.kind} is not supported: save it as grey or RGB")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first = file.pages[0]
        if first.size > 8 * max_pixels:
            raise PhotoError(f"{page.kind} has too many samples: save it as grey or RGB")
        try:
            array = first.asarray()
        except Exception as error:  # codecs raise almost any exception
            if "imagecodecs" in str(error):
                raise PhotoError(f"{page.kind} needs imagecodecs: {_SCANS}") from None
            raise PhotoError(f"{page.kind} is damaged, or not supported ({error})") from None
        if first.axes == "SYX":  # stored plane by plane
            array = np.moveaxis(array, 0, -1)
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3):
        raise PhotoError(f"{page.kind} of type {array.dtype}: save it with 8 or 16 bits, unsigned")
    return _samples(array, page)


def _samples(array: np.ndarray, page: Page) -> Samples:
    """The parts of (H, W) or (H, W, C), as stored."""
    array = full_range(array.astype(array.dtype.newbyteorder("="), copy=False), page.bits)
    if page.color == 0:
        array = ~array
    if array.ndim == 2:
        return Samples(array)
    channels = 3 if page.color in (2, 6) else 1
    if array.shape[2] < channels:
        raise PhotoError(f"{page.kind} has only {array.shape[2]} samples per pixel")
    pixels, alpha, infrared = array[..., :channels], None, None
    meaning = page.directory.number(_EXTRA, 0)
    if array.shape[2] > channels and meaning in (_PREMULTIPLIED, _STRAIGHT):
        alpha = array[..., channels]
        alpha = ~alpha if page.color == 0 else alpha
        pixels = _unassociated(pixels, alpha) if meaning == _PREMULTIPLIED else pixels
    elif page.has_infrared:
        infrared = array[..., channels]
        infrared = unless_constant(~infrared if page.color == 0 else infrared)
    return Samples(np.ascontiguousarray(pixels if channels == 3 else pixels[..., 0]), alpha, infrared)


def unless_constant(infrared: np.ndarray) -> np.ndarray | None:
    """The channel (H, W); None if it is constant, which is padding."""
    return None if infrared.min() == infrared.max() else np.ascontiguousarray(infrared)


def full_range(array: np.ndarray, bits: int) -> np.ndarray:
    """Values of `bits` bits scaled to the whole range of their type, rounded: 4095 of 12 bits becomes
    65535.
    """
    white = np.iinfo(array.dtype).max
    top = (1 << bits) - 1
    if bits > 16 or top == white:
        return array
    table = (np.arange(white + 1, dtype=np.uint64) * white + top // 2) // top
    return np.minimum(table, white).astype(array.dtype)[array]


def _unassociated(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Premultiplied pixels (H, W, C) divided by alpha; black where alpha is 0."""
    white, opacity = np.uint64(np.iinfo(alpha.dtype).max), np.maximum(alpha, 1).astype(np.uint64)[..., None]
    divided = np.minimum((pixels * white + opacity // 2) // opacity, white).astype(pixels.dtype)
    return np.where(alpha[..., None] > 0, divided, 0).astype(pixels.dtype)
