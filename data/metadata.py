"""Metadata of picture files: color profile, resolution, EXIF, XMP."""

from __future__ import annotations

from PIL import ExifTags, Image

from data import xmp
from data.formats import MAX_XMP_SEGMENT

# EXIF tags of the first directory that describe the photograph. All others describe the old file's layout (in
# a TIFF the directory *is* the layout), orientation or resolution, which are written anew.
_DESCRIPTIVE = {11, 269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 33432, 33723, *range(40091, 40096)}


MAX_DPI = 65535  # the largest value in a JPEG; more is a broken file


def profile(image: Image.Image, ndim: int, notes: list[str]) -> bytes | None:
    icc = image.info.get("icc_profile") or None
    space = icc[16:20] if icc else b""  # "data colour space" of the profile's header (ICC.1:2022, 7.2)
    if icc and (image.mode == "CMYK" or space not in (b"GRAY", b"RGB ") or (space == b"GRAY" and ndim == 3)):
        notes.append(
            f"colour profile for {space.decode('ascii', 'replace').strip()} dropped: it does not fit"
        )
        return None
    return icc


def resolution(image: Image.Image) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    if not dpi:  # WebP stores it in EXIF only
        exif = image.getexif()
        scale = {2: 1.0, 3: 2.54}.get(exif.get(296), 0.0)
        dpi = tuple(scale * float(exif.get(tag, 0)) for tag in (282, 283))
    x, y = (float(value) for value in dpi)
    return (x, y) if 0 < x <= MAX_DPI and 0 < y <= MAX_DPI else None  # also false for NaN


def exif_block(image: Image.Image, orientation: int, notes: list[str]) -> bytes | None:
    """The tags that describe the photograph, in a block that fits any file format."""
    try:
        old, new = image.getexif(), Image.Exif()
        new.endian = "<"
        for tag in _DESCRIPTIVE & set(old):
            new[tag] = old[tag]
        for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            directory = dict(old.get_ifd(tag))
            directory.pop(ExifTags.IFD.Interop, None)  # an offset into the old block
            if orientation >= 5 and 40962 in directory and 40963 in directory:  # its width and height
                directory[40962], directory[40963] = directory[40963], directory[40962]
            if directory:
                new[tag] = directory
        return new.tobytes() if len(new) else None
    except Exception:  # damaged metadata must not fail the photograph
        notes.append("damaged EXIF dropped")
        return None


def xmp_packet(image: Image.Image, notes: list[str]) -> bytes | None:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")  # key for PNG in older Pillow
    if not packet and image.format == "TIFF":
        packet = image.tag_v2.get(700)
    if not packet:
        return None
    try:
        return xmp.clean(packet)
    except ValueError as error:  # damaged metadata must not fail the photograph
        notes.append(f"{error} dropped")
        return None


def describe(
    exif: bytes | None,
    packet: bytes | None,
    dpi: tuple[float, float] | None,
    remark: str,
    tool: str,
    format: str,
) -> tuple[Image.Exif, bytes | None]:
    """EXIF and XMP of a result: those of the photograph, with the resolution and, if given, the remark and
    its tool.
    """
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    if remark:
        for tag, sentence in ((270, remark), (11, tool)):  # ImageDescription and ProcessingSoftware
            before = str(tags.get(tag, "")).strip("\0 ")
            if sentence not in before:
                tags[tag] = "; ".join(filter(None, [before, sentence]))
        packet = xmp.stamp(packet, remark, tool)
        if format == "JPEG" and len(packet) > MAX_XMP_SEGMENT:
            packet = xmp.stamp(None, remark, tool)
    if dpi:
        tags[282], tags[283], tags[296] = dpi[0], dpi[1], 2  # per inch
    return tags, packet
