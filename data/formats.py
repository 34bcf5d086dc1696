"""Writes TIFF, PNG, WebP and JPEG, and lists what each cannot hold.

TIFF is written by hand, the others by Pillow.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from data import color, containers, deep, exif, iptc, xmp
from data import tiff as directories
from data.errors import PhotoError
from data.metadata import ICC_TAG, PHOTOSHOP_TAG, XMP_TAG, Metadata
from data.tiff import BYTE, LONG, SHORT, UNDEFINED, Directory, Value

# zlib-ng, which Pillow's wheels have, takes 0.4 of the time of its default, 6, for files 5 to 9 % larger.
PNG_LEVEL = 4
INFRARED, ALPHA = 0, 2  # ExtraSamples of a TIFF: unspecified, unassociated alpha


def by_pillow(samples: np.ndarray, format: str, facts: Metadata) -> bytes:
    """PNG, WebP (lossless) or JPEG (quality 95, 4:4:4).

    samples: (H, W, C) uint8 of grey, grey with alpha, RGB or RGBA, or uint16 grey for PNG. Raises PhotoError
    if the format cannot hold the picture.
    """
    if samples.dtype == np.uint16 and format != "PNG":
        raise PhotoError(f"{format} is not written with 16 bits: use --format tif or png")
    is_deep = samples.dtype == np.uint16 and samples.shape[2] > 1  # Pillow writes 16 bits of grey alone
    whole, samples = samples, np.zeros((1, 1, samples.shape[2]), np.uint8) if is_deep else samples
    options = {"PNG": _png, "WEBP": _webp, "JPEG": _jpeg}[format](facts)
    if facts.icc and not _too_long(facts, format):
        options["icc_profile"] = facts.icc
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    file = io.BytesIO()
    try:
        image.save(file, format, **options)
    except (OSError, ValueError) as error:  # too wide for the format, or too much metadata
        raise PhotoError(f"cannot be written as {format} ({error}): use --format tif or png") from None
    return deep.png(whole, file.getvalue()) if is_deep else file.getvalue()


def _exif_block(facts: Metadata, records: bytes = b"") -> dict:
    """Pillow's option for EXIF with the resolution. records: IPTC-IIM, for formats without another place for
    it.
    """
    directory = exif.read(facts.exif) if facts.exif else Directory()
    if facts.dpi:
        exif.add_resolution(directory, facts.dpi)
    if records:
        directory[exif.IPTC] = Value(UNDEFINED, records)
    return {"exif": exif.write(directory)} if directory else {}


def _png(facts: Metadata) -> dict:
    """Pillow's options for the metadata and compression of a PNG."""
    options, info = _exif_block(facts), PngImagePlugin.PngInfo()
    if facts.dpi:
        options["dpi"] = facts.dpi
    if facts.xmp:
        info.add_itxt(containers.XMP_KEYWORD.decode(), facts.xmp.decode())
    if facts.iptc:
        info.add(*containers.profile_text(b"iptc", facts.iptc))
    for kind, content in facts.texts + facts.png_color:
        info.add(kind, content)
    return {**options, "pnginfo": info, "compress_level": PNG_LEVEL}


def _webp(facts: Metadata) -> dict:
    """Pillow's options for the metadata and lossless compression of a WebP."""
    options = _exif_block(facts, iptc.resources(facts.iptc or b"").get(iptc.IPTC, b""))
    if facts.xmp:
        options["xmp"] = facts.xmp
    return {**options, "lossless": True, "exact": True}  # exact: keeps the values of transparent pixels


def _jpeg(facts: Metadata) -> dict:
    """Pillow's options for the metadata and quality of a JPEG."""
    options, parts = _exif_block(facts), []
    if facts.dpi:
        options["dpi"] = facts.dpi
    if facts.xmp:
        room = containers.MAX_SEGMENT - len(containers.XMP_SEGMENT)
        main, extended = xmp.split(facts.xmp, room)
        parts.append((0xE1, containers.XMP_SEGMENT + main))
        parts += [(0xE1, piece) for piece in containers.extension_segments(extended)]
    if facts.iptc:
        parts += [(0xED, piece) for piece in containers.photoshop_segments(facts.iptc)]
    parts += [(0xFE, comment[: containers.MAX_SEGMENT]) for comment in comments(facts)]
    extra = b"".join(b"\xff" + bytes([m]) + (len(c) + 2).to_bytes(2, "big") + c for m, c in parts)
    return {**options, "extra": extra, "quality": 95, "subsampling": 0}


def comments(facts: Metadata) -> list[bytes]:
    """The texts that fit into a JPEG."""
    texts = [containers.parse_text(*text) for text in facts.texts]
    return [content for keyword, content in texts if keyword == b"Comment"]


def lost(facts: Metadata, format: str, grey: bool = False) -> list[str]:
    """Sentences on what the format cannot hold. format: PNG, TIFF, WEBP or JPEG. grey: the photograph is."""
    names = []
    if format != "PNG":
        keywords = {content.partition(b"\0")[0].decode("latin-1") for _, content in facts.texts}
        held = {"Comment"} if format == "JPEG" else set()
        names += [f"text {keyword}" for keyword in sorted(keywords - held)]
        names += [f"chunk {kind.decode()} of the colors" for kind, _ in facts.png_color if kind != b"sRGB"]
    if format == "WEBP" and set(iptc.resources(facts.iptc or b"")) - {iptc.IPTC}:
        names.append("Photoshop's copyright flag and URLs")
    if format == "WEBP" and grey and color.space(facts.icc) == b"GRAY":
        names.append("grey color profile")
    sentences = [f"{format} has no place for {name}: it is lost" for name in names]
    if grey and color.space(facts.icc) == b"RGB " and not color.grey_profile(facts.icc):
        sentences.append("RGB color profile without a curve of tones is lost in grey pictures")
    if _too_long(facts, format):
        sentences.append("color profile above 1 MiB lost, Pillow cannot read it in a PNG: use --format tif")
    return sentences


def _too_long(facts: Metadata, format: str) -> bool:
    """Whether the profile would make a PNG that Pillow refuses to open."""
    return format == "PNG" and len(facts.icc or b"") > containers.MAX_INFLATED


def tiff(samples: np.ndarray, facts: Metadata, extra: int = ALPHA) -> bytes:
    """TIFF 6.0 with Deflate (8) and horizontal differencing (2), in one strip.

    samples: (H, W, C), uint8 or uint16. extra: what the last of 2 or 4 is. Written by hand, because Pillow
    cannot write 16-bit RGB and drops the EXIF directory when it compresses. An EXIF block is a TIFF without
    pixels, so only the pixel tags and the strip have to be added.
    """
    height, width, channels = samples.shape
    tags = exif.read(facts.exif) if facts.exif else Directory()
    difference = samples.copy()
    difference[:, 1:] -= samples[:, :-1]  # modulo 256 or 65536
    strip = zlib.compress(difference.astype(difference.dtype.newbyteorder(tags.order), copy=False))
    if facts.dpi:
        exif.add_resolution(tags, facts.dpi)
    tags.put(256, LONG, width)
    tags.put(257, LONG, height)
    tags.put(258, SHORT, *[samples.itemsize * 8] * channels)
    tags.put(259, SHORT, 8)
    tags.put(262, SHORT, 2 if channels >= 3 else 1)
    tags.put(273, LONG, 0)
    tags.put(277, SHORT, channels)
    tags.put(278, LONG, height)
    tags.put(279, LONG, len(strip) & 0xFFFFFFFF)
    tags.put(317, SHORT, 2)
    if channels in (2, 4):
        tags.put(338, SHORT, extra)
    records = iptc.resources(facts.iptc or b"").get(iptc.IPTC)
    blocks = {XMP_TAG: facts.xmp, exif.IPTC: records, PHOTOSHOP_TAG: facts.iptc, ICC_TAG: facts.icc}
    for tag, content in blocks.items():
        if content:
            tags[tag] = Value(UNDEFINED if tag == ICC_TAG else BYTE, content)
    start = len(directories.write(tags))
    if start + len(strip) >= 1 << 32:
        raise PhotoError("more than 4 GiB do not fit into a TIFF: use --format png")
    tags.put(273, LONG, start)
    return directories.write(tags) + strip
