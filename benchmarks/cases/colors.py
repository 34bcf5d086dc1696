"""Color profiles, deep pictures, results that can be read, resolutions."""

import io
import os

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from benchmarks.cases import drawing
from benchmarks.cases.tiffs import near
from benchmarks.cases.trial import Poor, Skipped, expect, on_files

COLOR = "color management"
READABLE = "results can be read"


def shown(path) -> np.ndarray:
    """A picture as a color-managed program shows it: sRGB (H, W, 3)."""
    with Image.open(path) as picture:
        picture.load()
        profile = picture.info.get("icc_profile")
        picture = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
        if profile:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            picture = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
        return np.asarray(picture.convert("RGB")).astype(float)


@on_files(COLOR, "grey scan with the profile of ProPhoto RGB", "color")
def wide(folder):
    pixels = np.dstack([drawing.portrait()] * 3)
    drawing.save(folder / "wide.png", pixels, icc_profile=drawing.wide_profile())
    drawing.save(folder / "plain.png", pixels)
    done = yield ["wide.png", "plain.png"]
    wide, plain = (np.ptp(shown(done.picture(name)), axis=2).mean() for name in ("wide.png", "plain.png"))
    expect(wide < 1.25 * plain, f"colors {wide / plain:.1f} times as strong as without the profile")


@on_files(COLOR, "grey profile of gamma 1.0", "color")
def grey_profile(folder):
    path = drawing.save(folder / "linear.png", drawing.ramp(), icc_profile=drawing.grey_profile(1.0))
    before = shown(path)
    done = yield ["linear.png"]
    after = shown(done.picture("linear.png"))
    off = after.mean() - before.mean()
    expect(abs(off) < 12, f"shown {abs(off):.0f} of 255 {'lighter' if off > 0 else 'darker'}")


@on_files(COLOR, "grey JPEG with an RGB profile", "restored")
def rgb_on_grey(folder):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    drawing.save(folder / "greyrgb.jpg", drawing.ramp(), icc_profile=srgb)
    done = yield ["greyrgb.jpg"]
    with Image.open(done.picture("greyrgb.jpg")) as picture:
        mode, profile = picture.mode, picture.info.get("icc_profile")
    expect(mode != "L" or profile is None or profile[16:20] == b"GRAY", "an RGB profile on a grey PNG")


def kept_chunks(done, name: str, *wanted: tuple[bytes, bytes]):
    """Chunks of a PNG that are in its result, or replaced by an embedded profile."""
    chunks = drawing.png_chunks(done.picture(name))
    lost = [kind.decode() for kind, data in wanted if (kind, data) not in chunks]
    expect(not lost or any(kind == b"iCCP" for kind, _ in chunks), f"lost: {', '.join(lost)}")


@on_files(COLOR, "PNG: gAMA, cHRM and sRGB", "restored")
def gamma(folder):
    primaries = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    gama = b"gAMA", (100000).to_bytes(4, "big")
    chrm = b"cHRM", b"".join(number.to_bytes(4, "big") for number in primaries)
    drawing.png(folder / "gamma.png", drawing.rainbow(), gama, chrm)
    drawing.png(folder / "srgb.png", drawing.rainbow(), (b"sRGB", b"\1"))
    done = yield ["gamma.png", "srgb.png"]
    kept_chunks(done, "gamma.png", gama, chrm)
    kept_chunks(done, "srgb.png", (b"sRGB", b"\1"))


@on_files(COLOR, "PNG: cICP", "restored")
def cicp(folder):
    drawing.png(folder / "cicp.png", drawing.rainbow(), (b"cICP", bytes([12, 13, 0, 1])))
    done = yield ["cicp.png"]
    kept_chunks(done, "cicp.png", (b"cICP", bytes([12, 13, 0, 1])))


@on_files(COLOR, "AVIF of 10 and 12 bits", "restored --format tif")
def deep_avif(folder):
    try:
        import imagecodecs
    except ImportError:
        raise Skipped("no imagecodecs") from None
    for bits in (10, 12):
        pixels = drawing.rainbow(np.uint16) >> 16 - bits
        data = imagecodecs.avif_encode(pixels, level=100, bitspersample=bits)
        (folder / f"deep{bits}.avif").write_bytes(data)
    names = ["deep10.avif", "deep12.avif"]
    done = yield names
    import tifffile

    for name in names:
        error = done.error(name)
        if not error:
            found = tifffile.imread(done.picture(name))
            expect(found.dtype == np.uint16 or done.warned(name, "8 bit"), "8 bits without a word")
            near(found, drawing.rainbow(found.dtype), np.iinfo(found.dtype).max / 60)
        expect(not error or "bit" in error, f"refused, but not told why: {error}", Poor)


@on_files(COLOR, "RGB PNG of 16 bits", "restored")
def png16(folder):
    try:
        import imagecodecs
    except ImportError:
        raise Skipped("no imagecodecs") from None
    drawing.png(folder / "deep.png", drawing.rainbow(np.uint16))
    done = yield ["deep.png"]
    expect("16-bit" not in done.error("deep.png"), "refused, with the reason", Poor)
    found = imagecodecs.png_decode(done.picture("deep.png").read_bytes())
    expect(found.dtype == np.uint16, "8 bits are left")
    near(found, drawing.rainbow(np.uint16), 0)


def large_profile() -> bytes:
    """A profile of 1.3 MB, as calibrations of scanners are."""
    icc = bytearray(
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + os.urandom(1_300_000)
    )
    icc[:4] = len(icc).to_bytes(4, "big")
    return bytes(icc)


@on_files(READABLE, "JPEG with a profile of 1.3 MB", "restored")
def large_profile_jpeg(folder):
    drawing.save(folder / "large.jpg", drawing.rainbow(), icc_profile=large_profile())
    done = yield ["large.jpg"]
    path = done.picture("large.jpg")
    try:
        with Image.open(path) as picture:
            picture.load()
        error = ""
    except (OSError, ValueError) as caught:
        error = str(caught)
    expect(not error, f"Pillow cannot open the result: {error}")


@on_files(READABLE, "PNG with a profile or text above 1 MB", "restored")
def large_png(folder):
    drawing.save(folder / "profile.png", drawing.rainbow(), icc_profile=large_profile())
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type 8bim", "00" * 700_000, zip=True)
    drawing.save(folder / "longtext.png", drawing.rainbow(), pnginfo=info)
    done = yield ["profile.png", "longtext.png"]
    for name in ("profile.png", "longtext.png"):
        done.picture(name)


@on_files("resolution", "JPEG with EXIF and no resolution", "restored")
def no_resolution(folder):
    drawing.jpeg(folder / "nodpi.jpg", drawing.rainbow(), (0xE1, drawing.exif(t270=b"Lake")))
    done = yield ["nodpi.jpg"]
    path = done.picture("nodpi.jpg")
    with Image.open(path) as picture:
        tags = picture.getexif()
    invented = [kind for kind, _ in drawing.png_chunks(path) if kind == b"pHYs"] + [
        t for t in (282,) if t in tags
    ]
    expect(not invented, "a resolution is invented")


@on_files("HEIC", "photograph of a telephone", "restored")
def heic(folder):
    try:
        import pillow_heif
    except ImportError:
        raise Skipped("no pillow-heif") from None
    picture = Image.fromarray(drawing.rainbow())
    pillow_heif.from_pillow(picture).save(folder / "phone.heic", quality=95)
    done = yield ["phone.heic"]
    expect(not done.error("phone.heic"), "refused", Poor)
    with Image.open(done.picture("phone.heic")) as found:
        near(np.asarray(found.convert("RGB")), drawing.rainbow(), 12)
