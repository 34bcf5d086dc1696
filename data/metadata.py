"""Metadata for the output file: color profile, resolution, EXIF, XMP, IPTC, texts."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from PIL import Image

from data import containers, exif, iptc, tiff, xmp
from data.containers import Carried
from data.tiff import Directory

PHOTOSHOP_TAG, XMP_TAG, ICC_TAG = 34377, 700, 34675  # TIFF tags


@dataclass(kw_only=True)
class Metadata:
    """Metadata that describes the photograph, not its file's layout."""

    icc: bytes | None = None  # matches the pixels: grey or RGB
    exif: bytes | None = None  # block with its prefix, without orientation and resolution
    dpi: tuple[float, float] | None = None  # (x, y), pixels per inch
    xmp: bytes | None = None  # packet, including extended XMP
    iptc: bytes | None = None  # Photoshop's image resources, including IPTC
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)  # PNG chunks of text
    png_color: list[tuple[bytes, bytes]] = field(default_factory=list)  # PNG chunks gAMA, cHRM, sRGB, cICP


def carried_by(image: Image.Image, data: bytes) -> Carried:
    """Metadata of a file other than PNG and TIFF."""
    info = image.info
    if data[:2] == b"\xff\xd8":
        carried = containers.jpeg(data)
    else:
        packet = info.get("xmp") or b""
        carried = Carried(info.get("exif") or b"", xmp=packet.encode() if isinstance(packet, str) else packet)
    if image.format == "GIF":
        comment = info.get("comment") or b""
        carried.texts = [containers.text(b"Comment", comment)] if comment else []
        carried.xmp = containers.gif_xmp(data)
    carried.icc = info.get("icc_profile") or b""
    return carried


def carried_by_tiff(directory: Directory) -> Carried:
    """Metadata in the directory of a TIFF except EXIF, which is the directory itself."""
    profile, packet, block, records = (
        directory[tag].data if tag in directory else b""
        for tag in (ICC_TAG, XMP_TAG, PHOTOSHOP_TAG, exif.IPTC)
    )
    words = bool(records) and directory[exif.IPTC].kind == tiff.LONG
    return Carried(icc=profile, xmp=packet, photoshop=block, records=iptc.records_of(records, words))


def fit(
    carried: Carried,
    directory: Directory | None,
    dpi: tuple[float, float] | None,
    ndim: int,
    turned: bool,
    notes: list[str],
) -> Metadata:
    """The metadata of a file, fit for another file; losses are added to `notes`.

    directory: its EXIF directory. dpi: the resolution in the file itself. ndim: of the pixels, 2 grey, 3 RGB.
    turned: whether the orientation swaps width and height.
    """
    notes.extend(f"{name} dropped" for name in carried.lost)
    block, resources = b"", carried.photoshop
    records = carried.records
    if directory is not None:
        if exif.IPTC in directory and not records:
            value = directory[exif.IPTC]
            records = iptc.records_of(value.data, value.kind == tiff.LONG)
        block = exif.write(exif.descriptive(directory, turned))
        dpi = dpi or exif.resolution(directory)
    return Metadata(
        icc=profile(carried.icc, ndim, notes),
        exif=block or None,
        dpi=dpi,
        xmp=_packet(carried, notes),
        iptc=iptc.descriptive(resources, records) or None,
        texts=carried.texts,
        png_color=carried.color,
    )


def exif_directory(block: bytes, notes: list[str]) -> Directory | None:
    """The directory of an EXIF block; a damaged one must not fail the photograph."""
    try:
        directory = exif.read(block) if block else None
    except ValueError:
        notes.append("damaged EXIF dropped")
        return None
    if directory is not None and directory.damaged:
        notes.append("damaged EXIF tags dropped")
    return directory


def resolution(image: Image.Image) -> tuple[float, float] | None:
    """(x, y) in pixels per inch, as stored in the file outside EXIF."""
    if image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") not in (1, 2):
        return None  # Pillow returns EXIF's, or invents 72
    return exif.valid_dpi(*image.info.get("dpi", (0, 0)))


def profile(icc: bytes, ndim: int, notes: list[str]) -> bytes | None:
    """The profile if it matches the pixels: RGB, or grey (grey files may also carry RGB profiles)."""
    space = icc[16:20]  # "data colour space" of the profile's header (ICC.1:2022, 7.2)
    if not icc or space == b"RGB " or (space == b"GRAY" and ndim == 2):
        return icc or None
    name = space.decode("ascii", "replace").strip()
    notes.append(f"color profile for {name} dropped: it does not fit")
    return None


def _packet(carried: Carried, notes: list[str]) -> bytes | None:
    packet = carried.xmp or iptc.resources(carried.photoshop).get(iptc.XMP, b"")
    if not packet.strip(b"\0 \r\n\t"):
        return None
    try:
        guid = xmp.extension(packet).encode()
        if guid in carried.extensions:
            packet = xmp.merge(packet, carried.extensions[guid])
        elif guid:
            notes.append("extended XMP dropped: it is not whole")
        return xmp.clean(packet)
    except ValueError as error:  # damaged metadata must not fail the photograph
        notes.append(f"{error} dropped")
        return None


def of(photo: Metadata) -> Metadata:
    """A copy of the metadata only."""
    return Metadata(**{part.name: getattr(photo, part.name) for part in fields(Metadata)})


def describe(photo: Metadata, remark: str, tool: str, trained: bool = True) -> Metadata:
    """The same with a remark on what was done to the picture. tool: what did it. trained: by a model."""
    directory = exif.read(photo.exif) if photo.exif else Directory()
    exif.add_remark(directory, remark, tool)
    return replace(of(photo), exif=exif.write(directory), xmp=xmp.stamp(photo.xmp, remark, tool, trained))
