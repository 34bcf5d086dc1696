"""Photographs as files: read, encode, and what they carry besides pixels.

    photo = read_photo(Path("scan.tif"))                 # pixels, alpha, ICC, EXIF, XMP, DPI
    y = luma(photo.pixels)                               # (H, W) float32 in [0, 1]
    write_whole(Path("out.tif"), encode(photo.pixels, photo, "TIFF"), overwrite=False)

Pixels are taken as the sRGB values that the file holds; profiles are carried along, never applied.
"""

from __future__ import annotations

import io
import logging
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from data import xmp
from data.errors import PhotoError
from data.files import sha256
from data.pixels import as_depth, luma, upright

MAX_PIXELS = 300_000_000  # a 60 x 50 cm print at 600 dpi has 167 million


Image.MAX_IMAGE_PIXELS = None  # Pillow warns, and raises at twice its limit only; `_open` is strict


logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it says on standard error what it raises as well


# What may be opened: still pictures decoded inside this process (EPS, for one, would start Ghostscript).
_FORMATS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "TGA", "PCX"]


# File names that a folder's photographs have; a file named by itself may be called anything.
IMAGE_SUFFIXES = set(
    ".jpg .jpeg .jpe .jfif .png .tif .tiff .webp .bmp .gif .jp2 .avif .tga .pcx .pgm .ppm .pnm".split()  # noqa: SIM905
)


# EXIF tags of the first directory that tell about the photo. All others describe the layout of the old file
# (in a TIFF the directory *is* the layout), its orientation or its resolution, which are written afresh.
_DESCRIPTIVE = {11, 269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 33432, 33723, *range(40091, 40096)}


_XMP = b"http://ns.adobe.com/xap/1.0/\0"  # what a JPEG's XMP segment begins with (ISO 16684-3)


_MOST_XMP = 65535 - 2 - len(_XMP)  # bytes that fit into it


_MOST_DPI = 65535  # what a JPEG can say; more is damage


@dataclass
class Photo:
    """One decoded photograph, upright."""

    pixels: np.ndarray  # (H, W) grey or (H, W, 3) RGB, uint8 or uint16
    alpha: np.ndarray | None = None  # (H, W), dtype of pixels; not premultiplied
    format: str = "PNG"  # Pillow's name of the file's format: JPEG, PNG, TIFF, ...
    icc: bytes | None = None  # fits the pixels: grey or RGB
    exif: bytes | None = None  # Pillow's Exif bytes, without orientation
    dpi: tuple[float, float] | None = None  # (x, y), pixels per inch
    xmp: bytes | None = None  # the packet, without what described the old file's layout
    sha256: str = ""  # of the file's bytes
    notes: list[str] = field(default_factory=list)  # what was changed on reading, for the report

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_bytes(path: Path) -> bytes:
    """The whole file. PhotoError: missing, a folder, empty, or not readable."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise PhotoError("no such file") from None
    except IsADirectoryError:
        raise PhotoError("is a folder, not a photo") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise PhotoError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        raise PhotoError("is empty (0 bytes)")
    return data


def read_photo(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a file, or the bytes of one; the caller names the file in its message.

    EXIF orientation is applied. 16-bit grey stays 16 bits; 16-bit RGB comes from TIFF only, by `tifffile`.
    PhotoError: missing, empty, truncated, not an image, more than `max_pixels`, or bits would be lost.
    """
    data = source if isinstance(source, bytes) else read_bytes(source)
    notes: list[str] = []
    image = _open(data, max_pixels)
    try:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"first frame of {frames} taken")
        pixels, alpha = _decode(image, data, notes)
        # After decoding: a PNG may keep EXIF behind its pixels, and Pillow itself turns a TIFF upright.
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        icc, dpi = _profile(image, pixels.ndim, notes), _dpi(image)
        exif, packet = _exif(image, orientation, notes), _xmp(image, notes)
    except PhotoError:
        raise
    except MemoryError:
        raise PhotoError(f"not enough memory for {image.width} x {image.height} pixels") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on broken files
        raise PhotoError(
            f"damaged or truncated {image.format} file ({error or type(error).__name__})"
        ) from None
    pixels = upright(pixels, orientation)
    alpha = None if alpha is None else upright(alpha, orientation)
    return Photo(pixels, alpha, image.format or "", icc, exif, dpi, packet, sha256(data), notes)


def read_mask(
    source: Path | bytes, size: tuple[int, int], max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, list[str]]:
    """A mask for a photo of `size` (width, height): (H, W) uint8 of 255 damaged, 0 clean, 128 ignore; and
    notes.

    Any image will do: grey above 128 is damaged, below is clean, transparent is clean. Another size is
    resized by nearest, with a note. PhotoError as for `read_photo`.
    """
    photo = read_photo(source, max_pixels)
    grey = np.rint(luma(photo.pixels) * 255)
    if photo.alpha is not None:
        grey *= photo.alpha / np.float32(np.iinfo(photo.alpha.dtype).max)
    mask = np.where(grey > 128, 255, np.where(grey < 128, 0, 128)).astype(np.uint8)
    if photo.size == tuple(size):
        return mask, []
    width, height = size
    resized = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))  # writable
    return resized, [f"mask resized from {photo.size[0]} x {photo.size[1]} to {width} x {height}"]


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """The image, not decoded yet, its size checked."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise PhotoError("not an image of a known kind: save it as TIFF, PNG or JPEG, 8 or 16 bits") from None
    except Exception as error:
        raise PhotoError(f"damaged or truncated image ({error or type(error).__name__})") from None
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height}"
        raise PhotoError(f"{size} pixels are more than the limit of {max_pixels}: raise --max-pixels")
    return image


def _decode(image: Image.Image, data: bytes, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha as stored, in grey or RGB. Adds to `notes` what had to be converted."""
    mode = image.mode
    if mode == "I" or mode.startswith("I;16"):
        return _decode_grey16(image)
    if mode == "F":
        raise PhotoError("floating-point pixels: save it with 8 or 16 bits")
    bits = _bits(image, data)
    if bits > 8:  # Pillow would give 8 of them without a word
        if image.format == "TIFF" and mode in ("RGB", "RGBA", "RGBX"):
            return _decode_tiff_rgb16(data)
        kind = f"{bits}-bit {mode} {image.format}"
        raise PhotoError(f"{kind} would lose bits: save it as 16-bit RGB TIFF, or with 8 bits")
    image.load()
    transparent = "transparency" in image.info
    if mode in ("P", "PA", "CMYK", "YCbCr"):
        notes.append(f"{'palette' if mode in ('P', 'PA') else mode} converted to RGB")
        image = image.convert("RGBA" if mode == "PA" or (mode == "P" and transparent) else "RGB")
    elif mode in ("La", "RGBa"):  # premultiplied
        image = image.convert(mode.upper())
    elif mode in ("L", "RGB") and transparent:  # one value or colour is declared transparent
        image = image.convert(mode + "A")
    elif mode in ("1", "RGBX"):
        image = image.convert("L" if mode == "1" else "RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise PhotoError(f"pixels of kind {mode} are not supported: save it as grey or RGB")
    array = np.asarray(image)
    if image.mode.endswith("A"):
        return (array[..., 0] if image.mode == "LA" else array[..., :3]), array[..., -1]
    return array, None


def _decode_grey16(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    array = np.asarray(image)
    if image.mode == "I" and (array.min() < 0 or array.max() > 65535):
        raise PhotoError("grey values outside 0..65535: save it with 8 or 16 bits")
    pixels = array.astype(np.uint16)  # native byte order
    alpha = None
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = np.where(pixels == transparent, 0, 65535).astype(np.uint16)
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # white is zero: Pillow inverts 8 bits only
        pixels = 65535 - pixels
    return pixels, alpha


def _decode_tiff_rgb16(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    hint = "pip install 'photo-restore[scans]'"
    try:
        import tifffile
    except ImportError:
        raise PhotoError(f"16-bit RGB TIFF needs tifffile: {hint}") from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # about odd metadata: nothing the user can do
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        try:
            array = page.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):  # LZW, for one, is not in tifffile itself
                kind = f"16-bit RGB TIFF with {page.compression.name} compression"
                raise PhotoError(f"{kind} needs imagecodecs: {hint}") from None
            raise
        if array.dtype.kind != "u" or array.itemsize != 2:
            raise PhotoError(f"RGB TIFF of type {array.dtype}: save it with 8 or 16 bits")
        if page.axes == "SYX":  # stored plane by plane
            array = np.moveaxis(array, 0, -1)
        array = array.astype(np.uint16, copy=False)
        alpha = (
            array[..., 3]
            if array.shape[-1] > 3 and page.extrasamples and page.extrasamples[0] in (1, 2)
            else None
        )
        return array[..., :3], alpha


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per sample in the file, which Pillow's mode does not tell."""
    if image.format == "PNG":
        return data[24]  # IHDR is always first: signature 8, length 4, type 4, width 4, height 4, bit depth
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (1,)))
    if image.format == "PPM" and image.tile[0][0].startswith("ppm"):
        return int(image.tile[0][3][1]).bit_length()  # of the largest value
    if image.format == "JPEG2000":
        start = data.find(b"\xff\x4f\xff\x51")  # SOC and SIZ markers; Ssiz of the first component 42 bytes on
        return (data[start + 42] & 0x7F) + 1 if start >= 0 else 8
    return 8


def _profile(image: Image.Image, ndim: int, notes: list[str]) -> bytes | None:
    icc = image.info.get("icc_profile") or None
    space = icc[16:20] if icc else b""  # "data colour space" of the profile's header (ICC.1:2022, 7.2)
    if icc and (image.mode == "CMYK" or space not in (b"GRAY", b"RGB ") or (space == b"GRAY" and ndim == 3)):
        notes.append(
            f"colour profile for {space.decode('ascii', 'replace').strip()} dropped: it does not fit"
        )
        return None
    return icc


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    if not dpi:  # WebP has room for it in EXIF only
        exif = image.getexif()
        scale = {2: 1.0, 3: 2.54}.get(exif.get(296), 0.0)
        dpi = tuple(scale * float(exif.get(tag, 0)) for tag in (282, 283))
    x, y = (float(value) for value in dpi)
    return (x, y) if 0 < x <= _MOST_DPI and 0 < y <= _MOST_DPI else None  # also false for NaN


def _exif(image: Image.Image, orientation: int, notes: list[str]) -> bytes | None:
    """The tags that describe the photo, in a block that fits any file."""
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
    except Exception:  # damaged metadata must not cost the photo
        notes.append("damaged EXIF dropped")
        return None


def _xmp(image: Image.Image, notes: list[str]) -> bytes | None:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")  # a PNG's in older Pillow
    if not packet and image.format == "TIFF":
        packet = image.tag_v2.get(700)
    if not packet:
        return None
    try:
        return xmp.clean(packet)
    except ValueError as error:  # damaged metadata must not cost the photo
        notes.append(f"{error} dropped")
        return None


def encode(
    pixels: np.ndarray, like: Photo | None, format: str, remark: str = "", tool: str = "photo-restore"
) -> bytes:
    """The bytes of a file with these pixels and `like`'s alpha, ICC, EXIF, XMP and DPI (None: the bare
    pixels).

    pixels: (H, W) grey or (H, W, 3) RGB, uint8 or uint16. format: PNG, TIFF, WEBP (lossless) or JPEG (quality
    95, 4:4:4, no alpha). remark: a sentence on what a trained model made of the picture, added to the EXIF
    and XMP descriptions; XMP then says so for machines too. tool: program, version and weights that did it.
    WebP has no grey: three equal channels. PhotoError: the format cannot hold the picture.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or not (
        pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    ):
        raise TypeError(
            f"pixels must be (H, W) or (H, W, 3), uint8 or uint16, not {pixels.shape} {pixels.dtype}"
        )
    like = like or Photo(pixels)
    exif, packet = Image.Exif(), like.xmp
    if like.exif:
        exif.load(like.exif)
    if remark:
        for tag, sentence in ((270, remark), (11, tool)):  # ImageDescription and ProcessingSoftware
            before = str(exif.get(tag, "")).strip("\0 ")
            if sentence not in before:
                exif[tag] = "; ".join(filter(None, [before, sentence]))
        packet = xmp.stamp(packet, remark, tool)
        if format == "JPEG" and len(packet) > _MOST_XMP:
            packet = xmp.stamp(None, remark, tool)
    if like.dpi:
        exif[282], exif[283], exif[296] = like.dpi[0], like.dpi[1], 2  # per inch
    channels = 3 if format == "WEBP" else pixels.ndim
    icc = like.icc
    if icc and channels != like.pixels.ndim and icc[16:20] != (b"RGB " if channels == 3 else b"GRAY"):
        icc = None
    samples = pixels.reshape(*pixels.shape[:2], -1)  # (H, W, 1 or 3)
    if like.alpha is not None and format != "JPEG":
        samples = np.dstack([samples, as_depth(like.alpha, pixels.dtype)])  # (H, W, 2 or 4)
    if format == "TIFF":
        return _encode_tiff(samples, exif, icc, packet)
    if samples.dtype == np.uint16 and (format != "PNG" or samples.shape[2] > 1):
        kind = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
        raise PhotoError(f"{format} is not written with 16-bit {kind}: use --format tif")
    options: dict = {"exif": exif.tobytes()} if len(exif) else {}
    if icc:
        options["icc_profile"] = icc
    if like.dpi and format != "WEBP":
        options["dpi"] = like.dpi
    if packet and format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    elif packet and format == "WEBP":
        options["xmp"] = packet
    elif packet and len(packet) <= _MOST_XMP:  # a JPEG segment of its own
        options["extra"] = b"\xff\xe1" + (len(_XMP) + len(packet) + 2).to_bytes(2, "big") + _XMP + packet
    if format == "WEBP":
        options.update(lossless=True, exact=True)  # exact: also under transparent pixels
    elif format == "JPEG":
        options.update(quality=95, subsampling=0)
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    file = io.BytesIO()
    try:
        image.save(file, format, **options)
    except (OSError, ValueError) as error:  # too wide for the format, or too much metadata
        raise PhotoError(f"cannot be written as {format} ({error}): use --format tif or png") from None
    return file.getvalue()


def _encode_tiff(samples: np.ndarray, exif: Image.Exif, icc: bytes | None, packet: bytes | None) -> bytes:
    """TIFF 6.0 with Deflate (8) and horizontal differencing (2), one strip.

    Written by hand because Pillow cannot write 16-bit RGB and drops the EXIF directory when it compresses:
    an EXIF block is a TIFF without pixels, so that only their tags and the strip are missing.
    """
    height, width, channels = samples.shape
    colour = channels >= 3
    difference = samples.copy()
    difference[:, 1:] -= samples[:, :-1]  # modulo 256 or 65536
    strip = zlib.compress(difference.astype(difference.dtype.newbyteorder("<"), copy=False))
    tags = Image.Exif()
    tags.endian = "<"
    for tag in exif:
        tags[tag] = exif.get_ifd(tag) if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) else exif[tag]
    tags[256], tags[257] = width, height
    tags[258] = (samples.itemsize * 8,) * channels
    tags[259], tags[317] = 8, 2
    tags[262], tags[277] = (2 if colour else 1), channels
    tags[273], tags[278], tags[279] = 0, height, len(strip)  # Pillow adds the length of all tags to the 0
    if channels in (2, 4):
        tags[338] = 2  # unassociated alpha
    if packet:
        tags[700] = packet
    if icc:
        tags[34675] = icc
    head = tags.tobytes()[len(b"Exif\0\0") :]
    if len(head) + len(strip) >= 1 << 32:
        raise PhotoError("more than 4 GiB do not fit into a TIFF: use --format png")
    return head + strip
