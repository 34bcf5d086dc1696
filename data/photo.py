"""Photographs as files: reads and encodes pixels with their metadata, and reads masks.

    photo = read_photo(Path("scan.tif"))                 # pixels, alpha, infrared, ICC, EXIF, XMP, DPI
    y = luma(photo.pixels)                               # (H, W) float32 in [0, 1]
    write_whole(Path("out.tif"), encode(photo.pixels, photo, "TIFF"), overwrite=False)

Pixels are the values stored in the file. Profiles are copied with them, and applied by data/color.py alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from data import color, formats, metadata
from data.decode import decode, open_file, orientation, separate_infrared
from data.errors import PhotoError
from data.files import sha256
from data.metadata import Metadata
from data.pixels import as_depth, bands, luma, upright

MAX_PIXELS = 300_000_000  # a 60 x 50 cm print at 600 dpi has 167 million
MAX_STRETCH = 0.01  # difference of the aspect ratios of a photograph and its mask or hints
SATURATED = 0.45  # saturation from which a mask is colored: a pure color painted at half opacity has 0.5

# Suffixes of photographs in a folder. A file given by name may have any suffix.
IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".tif", ".tiff", ".webp", ".heic", ".heif", ".avif"),
    *(".bmp", ".gif", ".jp2", ".j2k", ".jpc", ".j2c", ".jpf", ".jpx", ".mpo", ".hif", ".tga", ".pcx"),
    *(".pbm", ".pgm", ".ppm", ".pnm"),
}


@dataclass
class Photo(Metadata):
    """One decoded photograph, upright, with the metadata of its file."""

    pixels: np.ndarray  # (H, W) grey or (H, W, 3) RGB, uint8 or uint16
    alpha: np.ndarray | None = None  # (H, W), dtype of pixels, not premultiplied
    format: str = "PNG"  # Pillow's name of the file's format: JPEG, PNG, TIFF, ...
    sha256: str = ""  # SHA-256 of the file
    notes: list[str] = field(default_factory=list)  # conversions made while reading, for the report
    infrared: np.ndarray | None = None  # (H, W), dtype of pixels, of a film scanner

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_bytes(path: Path) -> bytes:
    """The contents of a file. Raises PhotoError if it is missing, a folder, empty or not readable."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise PhotoError("no such file") from None
    except IsADirectoryError:
        raise PhotoError("is a folder, not a photograph") from None
    except (OSError, ValueError) as error:  # ValueError: null byte in the name
        raise PhotoError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        raise PhotoError("is empty (0 bytes)")
    return data


def read_photo(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decodes a file, or the bytes of one; the caller adds the file name to error messages.

    EXIF orientation is applied. 16 bits stay 16, and 9 to 15 bits are scaled to 16. What Pillow cannot read
    in full is read by tifffile, imagecodecs or pillow-heif if installed. Raises PhotoError if the file is
    missing, empty, truncated, not an image, larger than `max_pixels`, or would lose bits.
    """
    data = source if isinstance(source, bytes) else read_bytes(source)
    notes: list[str] = []
    file = open_file(data, max_pixels, notes)
    try:
        file.explore(notes)
        pixels, alpha, infrared = decode(file, notes)
        directory = file.directory(notes)
        turn = orientation(directory, file.carried.xmp)
        facts = metadata.fit(file.carried, directory, file.dpi(), pixels.ndim, turn >= 5, notes)
    except PhotoError:
        raise
    except MemoryError:
        raise PhotoError(f"not enough memory for {file.size[0]} x {file.size[1]} pixels") from None
    except Exception as error:  # Pillow's plugins raise almost any exception on broken files
        reason = error or type(error).__name__
        raise PhotoError(f"damaged or truncated {file.format} file ({reason})") from None
    if not file.upright:
        pixels = upright(pixels, turn)
        alpha = None if alpha is None else upright(alpha, turn)
        infrared = None if infrared is None else upright(infrared, turn)
    if infrared is None:
        infrared = separate_infrared(file, turn, notes)
    infrared = None if infrared is None else as_depth(infrared, pixels.dtype)
    return Photo(pixels, alpha, file.format, sha256(data), notes, infrared, **vars(facts))


def read_named(path: Path) -> Photo:
    """`read_photo` with the name of the file in its errors."""
    try:
        return read_photo(path)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from None


def read_labelled(path: Path, mask_path: Path) -> tuple[Photo, np.ndarray]:
    """A photograph and its mask, as of `read_mask`; errors have the name of the file."""
    photo = read_named(path)
    try:
        return photo, read_mask(mask_path, photo.size)[0]
    except PhotoError as error:
        raise PhotoError(f"{mask_path}: {error}") from None


def read_mask(source: Path | bytes | Photo, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """A mask for a photograph of `size` (width, height): (H, W) uint8, 255 damaged, 0 intact, 128 ignored;
    and notes.

    Any image can serve as a mask: grey above 128 is damaged, below is intact, transparent is intact. If any
    of it is colored, its saturated areas are damaged, with a note; the rest is intact, unless it is a mask
    in black and white. Another size is resized by nearest, with a note. Raises PhotoError like `read_photo`,
    and for another shape than the photograph's.
    """
    photo = source if isinstance(source, Photo) else read_photo(source)
    notes = resizing("mask", photo.size, size)
    mask, said = _marked(photo)
    if notes:
        mask = np.array(Image.fromarray(mask).resize(tuple(size), Image.Resampling.NEAREST))  # writable
    return mask, notes + said


def resizing(role: str, own: tuple[int, int], size: tuple[int, int]) -> list[str]:
    """A note if a mask or hints of size `own` have to be resized to that of the photograph; (width, height).

    Raises PhotoError if their aspect ratios differ by more than `MAX_STRETCH`, or one pixel.
    """
    if own == tuple(size):
        return []
    (width, height), (photo_width, photo_height) = own, size
    expected = height * photo_width / photo_height  # width of the photograph's shape
    names = f"{width} x {height}", f"{photo_width} x {photo_height}"
    if abs(width - expected) > max(MAX_STRETCH * expected, 1):
        hint = "rotate it" if own == (photo_height, photo_width) else "save it at the photograph's size"
        raise PhotoError(f"has another shape, {names[0]} px, than the photograph, {names[1]} px: {hint}")
    return [f"{role} resized from {names[0]} to {names[1]}"]


def _marked(photo: Photo) -> tuple[np.ndarray, list[str]]:
    """What a mask marks at its own size: (H, W) uint8, 255, 0 or 128; and notes."""
    mask, colored = (np.empty(photo.pixels.shape[:2], kind) for kind in (np.uint8, bool))
    black = white = 0  # number of pixels
    for rows in bands(len(mask)):
        grey, saturation = np.rint(luma(photo.pixels[rows]) * 255), _saturation(photo.pixels[rows])
        if photo.alpha is not None:
            opacity = photo.alpha[rows] / np.float32(np.iinfo(photo.alpha.dtype).max)
            grey, saturation = grey * opacity, saturation * opacity
        mask[rows] = np.where(grey > 128, 255, np.where(grey < 128, 0, 128))
        colored[rows] = saturation > SATURATED
        black += ((grey < 16) & ~colored[rows]).sum()
        white += ((grey > 239) & ~colored[rows]).sum()
    if not colored.any():
        return mask, []
    rest = mask.size - colored.sum()
    if black > rest / 2 and black + white > 0.9 * rest:  # a mask, and no paper or photograph
        mask[colored] = 255
        return mask, ["the mask is colored: its saturated and its white areas count as marked"]
    return np.where(colored, np.uint8(255), np.uint8(0)), [
        "the mask is colored: only its saturated areas count as marked"
    ]


def _saturation(pixels: np.ndarray) -> np.ndarray | np.float32:
    """Difference of the largest and the smallest channel, (H, W) float32 in [0, 1]; of grey, 0."""
    if pixels.ndim == 2:
        return np.float32(0)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    largest = np.maximum(np.maximum(red, green), blue)
    return (largest - np.minimum(np.minimum(red, green), blue)) / np.float32(np.iinfo(pixels.dtype).max)


def read_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) of a photograph as `read_photo` would give it, without decoding its pixels.

    Raises PhotoError like `read_photo`.
    """
    file = open_file(read_bytes(path), max_pixels, [])
    try:
        file.explore([])
        turn = orientation(file.directory([]), file.carried.xmp)
    except Exception as error:  # Pillow's plugins raise almost any exception on broken files
        raise PhotoError(f"damaged or truncated {file.format} file ({error})") from None
    return file.size[::-1] if turn >= 5 else file.size


def encode(
    pixels: np.ndarray,
    like: Photo | None,
    format: str,
    remark: str = "",
    tool: str = "photo-restore",
    trained: bool = True,
) -> bytes:
    """Encodes pixels as a file with the alpha, ICC, EXIF, XMP and DPI of `like`; None: without metadata. A
    TIFF without alpha also gets the infrared channel.

    pixels: (H, W) grey or (H, W, 3) RGB, uint8 or uint16. format: PNG, TIFF, WEBP (lossless) or JPEG (quality
    95, 4:4:4, no alpha). remark: a sentence about what was done to the picture, added to the EXIF and XMP
    descriptions. trained: whether a trained model did it; XMP then also states that in machine-readable form.
    tool: program, version and weights that did it. WebP has no grey and gets three equal channels. Raises
    PhotoError if the format cannot hold the picture.
    """
    grey, rgb = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype not in (np.uint8, np.uint16) or not (grey or rgb):
        shape = f"{pixels.shape} {pixels.dtype}"
        raise TypeError(f"pixels must be (H, W) or (H, W, 3), uint8 or uint16, not {shape}")
    like = like or Photo(pixels)
    facts = metadata.describe(like, remark, tool, trained) if remark else metadata.of(like)
    channels = 3 if format == "WEBP" else pixels.ndim
    facts.icc = color.fitting(like.icc, like.pixels.ndim == 2, channels == 2)
    if channels != pixels.ndim and color.space(like.icc) == b"GRAY":
        facts.icc = None  # of equal channels, not of color
    samples = pixels.reshape(*pixels.shape[:2], -1)  # (H, W, 1 or 3)
    infrared = format == "TIFF" and like.alpha is None
    extra = like.infrared if infrared else like.alpha
    if extra is not None and format != "JPEG":
        samples = np.dstack([samples, as_depth(extra, pixels.dtype)])  # (H, W, 2 or 4)
    if format == "TIFF":
        return formats.tiff(samples, facts, formats.INFRARED if infrared else formats.ALPHA)
    return formats.by_pillow(samples, format, facts)


def probability_file(probability) -> bytes:
    """A 16-bit PNG of (H, W) in [0, 1]."""
    return encode((probability * 65535).round().astype("uint16"), None, "PNG")
