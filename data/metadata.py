"""What files carry besides pixels, made fit for another file: profile, resolution, EXIF, XMP, IPTC, texts."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from PIL import Image

from data import containers, exif, iptc, tiff, xmp
from data.containers import Carried
from data.tiff import Directory

PHOTOSHOP_TAG, XMP_TAG, ICC_TAG = 34377, 700, 34675  # of a TIFF


@dataclass(kw_only=True)
class Metadata:
    """What is true of the photo, not of its file's layout."""

    icc: bytes | None = None  # fits the pixels: grey or RGB
    exif: bytes | None = None  # a block with its prefix, without orientation and resolution
    dpi: tuple[float, float] | None = None  # (x, y), pixels per inch
    xmp: bytes | None = None  # the packet, extended XMP included
    iptc: bytes | None = None  # Photoshop's image resources, IPTC among them
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)  # PNG chunks of text


def carried_by(image: Image.Image, data: bytes) -> Carried:
    """What a file that is no PNG and no TIFF carries."""
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
    """What the directory of a TIFF carries, besides EXIF: that is the directory itself."""
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
    """What the file carried, fit for another; adds to `notes` what is lost.

    directory: of its EXIF. dpi: what the file itself says. ndim: of the pixels, 2 grey, 3 RGB. turned: width
    and height are swapped by the orientation.
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
    )


def exif_directory(block: bytes, notes: list[str]) -> Directory | None:
    """The directory of an EXIF block; a damaged one must not cost the photo."""
    try:
        directory = exif.read(block) if block else None
    except ValueError:
        notes.append("damaged EXIF dropped")
        return None
    if directory is not None and directory.damaged:
        notes.append("damaged EXIF tags dropped")
    return directory


def resolution(image: Image.Image) -> tuple[float, float] | None:
    """(x, y) in pixels per inch, as the file says it outside of EXIF."""
    if image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") not in (1, 2):
        return None  # Pillow takes EXIF's, or invents 72
    return exif.valid_dpi(*image.info.get("dpi", (0, 0)))


def profile(icc: bytes, ndim: int, notes: list[str]) -> bytes | None:
    """The profile if it fits the pixels: grey (also RGB profiles are found on them) or RGB."""
    space = icc[16:20]  # "data colour space" of the profile's header (ICC.1:2022, 7.2)
    if not icc or space == b"RGB " or (space == b"GRAY" and ndim == 2):
        return icc or None
    name = space.decode("ascii", "replace").strip()
    notes.append(f"colour profile for {name} dropped: it does not fit")
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
    except ValueError as error:  # damaged metadata must not cost the photo
        notes.append(f"{error} dropped")
        return None


def of(photo: Metadata) -> Metadata:
    """A copy of the metadata alone."""
    return Metadata(**{part.name: getattr(photo, part.name) for part in fields(Metadata)})


def describe(photo: Metadata, remark: str, tool: str) -> Metadata:
    """The same with a remark on what a trained model made of the picture. tool: that did it."""
    directory = exif.read(photo.exif) if photo.exif else Directory()
    exif.add_remark(directory, remark, tool)
    return replace(of(photo), exif=exif.write(directory), xmp=xmp.stamp(photo.xmp, remark, tool))
