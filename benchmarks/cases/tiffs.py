"""Unusual TIFFs, and infrared channels."""

import numpy as np
from PIL import Image

from benchmarks.cases import drawing
from benchmarks.cases.trial import Poor, Skipped, Wrong, expect, on_files, with_commands

TIFF = "TIFF"
INFRARED = "infrared"


def read(path):
    """A TIFF's first page, read by tifffile."""
    import tifffile

    return tifffile.imread(path, key=0)


def near(found, wanted, most: float, what: str = "other pixels"):
    """Equal but for the few pixels that the mask of the command marks."""
    expect(found.shape == wanted.shape, f"{what}: {found.shape} in place of {wanted.shape}")
    difference = np.abs(found.astype(float) - wanted.astype(float))
    expect(np.quantile(difference, 0.95) <= most, f"{what}: {np.quantile(difference, 0.95):.0f} off")


def one_of(done, name: str, wanted, most: float, kind: str):
    """A file is read in full, or refused by a line that tells its kind."""
    error = done.error(name)
    if error:
        expect(kind.lower() in error.lower(), f"refused, but not told why: {error}", Poor)
        return
    near(read(done.picture(name)), wanted, most)


@on_files(TIFF, "thumbnail in the first directory", "restored")
def thumbnail_first(folder):
    import tifffile

    with tifffile.TiffWriter(folder / "thumbnail.tif") as file:
        file.write(drawing.ramp()[::3, ::3], subfiletype=1, metadata=None)
        file.write(drawing.ramp(65535, np.uint16), metadata=None)
    done = yield ["thumbnail.tif"]
    near(read(done.picture("thumbnail.tif")), drawing.ramp(65535, np.uint16), 0)


@on_files(TIFF, "main picture in a SubIFD", "restored")
def sub_directory(folder):
    import tifffile

    with tifffile.TiffWriter(folder / "subifd.tif") as file:
        file.write(drawing.ramp()[::3, ::3], subifds=1, subfiletype=1, metadata=None)
        file.write(drawing.ramp(65535, np.uint16), metadata=None)
    done = yield ["subifd.tif"]
    near(read(done.picture("subifd.tif")), drawing.ramp(65535, np.uint16), 0)


@on_files(TIFF, "grey of 12 bits", "restored")
def grey12(folder):
    drawing.tiff(folder / "grey12.tif", drawing.packed12(drawing.ramp(4095, np.uint16)), (12,), 1)
    done = yield ["grey12.tif"]
    found = read(done.picture("grey12.tif"))
    deep = found.dtype == np.uint16
    near(found * (1.0 if deep else 257), drawing.ramp(65535, np.uint16), 40 if deep else 300, "other tones")
    expect(deep, "8 bits are left", Poor)


@on_files(TIFF, "associated alpha of 16 bits", "restored")
def premultiplied(folder):
    import tifffile

    alpha = np.tile(np.linspace(20000, 65535, 120).astype(np.uint32), (90, 1))
    pixels = np.dstack([np.full((90, 120, 3), 52428, np.uint32) * alpha[..., None] // 65535, alpha])
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"], "metadata": None}
    tifffile.imwrite(folder / "premultiplied.tif", pixels.astype(np.uint16), **options)
    done = yield ["premultiplied.tif"]
    path = done.picture("premultiplied.tif")
    with tifffile.TiffFile(path) as file:
        kind, found = file.pages[0].extrasamples, file.pages[0].asarray().astype(float)
    expect(found.shape[-1] == 4, "transparency is lost")
    color = found[..., :3] * (65535 / found[..., 3:] if kind[0] == 1 else 1)
    near(color, np.full_like(color, 52428), 20, "colors darker" if color.mean() < 52000 else "other colors")


@on_files(TIFF, "grey with alpha, 16 bits: our own result", "restored")
def own_result(folder):
    """The photograph is what the program wrote of a 16-bit grey picture with alpha."""
    import tifffile

    pixels = np.dstack([drawing.ramp(65535, np.uint16), drawing.ramp(65535, np.uint16)[::-1] | 1])
    options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(folder / "alpha.tif", pixels, extrasamples=["unassalpha"], **options)
    done = yield ["alpha.tif"]
    path = done.picture("alpha.tif")
    again = done.trial.run("restore.py", path, "again", "--only", "mask")
    expect(again.status == 0, f"cannot be read again: {again.last}")
    near(read(path), pixels, 0)


@on_files(TIFF, "WebP and JPEG 2000 inside", "restored")
def codecs(folder):
    import tifffile

    names = {"webp": "webp", "jpeg2000": "2000"}
    for name in names:
        pixels, options = drawing.rainbow(), {"photometric": "rgb", "metadata": None}
        if name == "webp":
            options["compressionargs"] = {"lossless": True}
        tifffile.imwrite(folder / f"{name}.tif", pixels, compression=name, **options)
    done = yield [f"{name}.tif" for name in names]
    for name, told in names.items():
        one_of(done, f"{name}.tif", drawing.rainbow(), 3, told)


@on_files(TIFF, "RGB of 12 bits", "restored")
def rgb12(folder):
    values = (drawing.rainbow(np.uint16) >> 4).reshape(90, -1)
    drawing.tiff(folder / "rgb12.tif", drawing.packed12(values), (12, 12, 12), 2)
    done = yield ["rgb12.tif"]
    one_of(done, "rgb12.tif", drawing.rainbow(np.uint16), 40, "12")


@on_files(TIFF, "JPEG of 12 bits", "restored --format tif")
def jpeg12(folder):
    try:
        import imagecodecs

        data = imagecodecs.jpeg_encode(drawing.ramp(4095, np.uint16), level=98, bitspersample=12)
    except (ImportError, RuntimeError):
        raise Skipped("no imagecodecs that writes them") from None
    (folder / "jpeg12.jpg").write_bytes(data)
    done = yield ["jpeg12.jpg"]
    one_of(done, "jpeg12.jpg", drawing.ramp(65535, np.uint16), 700, "12")


@with_commands(TIFF, "damaged strip: no line of libtiff's own")
def libtiff_lines(trial):
    path = drawing.save(trial.folder / "strip.tif", drawing.rainbow(), compression="tiff_lzw")
    data = bytearray(path.read_bytes())
    data[40:1200] = bytes(1160)
    path.write_bytes(data)
    done = trial.run("restore.py", "strip.tif", "out", "--only", "mask", "--quiet")
    expect(done.status in (0, 1), f"status {done.status}")
    others = [line for line in done.lines if not line.startswith("strip.tif: ")]
    expect(not others, f"a line of another program: {(others or [''])[0]}", Poor)


# ------------------------------------------------------------------------------------------ infrared


def dusty(seed: int = 0):
    """A color photograph (256, 256, 3) with dust, its infrared channel (256, 256), and the dust."""
    rng = np.random.default_rng(seed)
    photo = drawing.astronaut().astype(float)
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width]
    dust = np.zeros((height, width), bool)
    for _ in range(25):
        row, column, radius = rng.uniform(8, height - 8), rng.uniform(8, width - 8), rng.uniform(2, 4)
        dust |= np.hypot(y - row, x - column) < radius
    photo[dust] = 245
    infrared = 205 + 0.02 * photo[..., 0] + rng.normal(0, 1.5, dust.shape)
    infrared[dust] = 70
    return photo.astype(np.uint8), infrared.clip(0, 255).astype(np.uint8), dust


def samples(path, bits: int, extra: int | None, photo, infrared):
    """A TIFF whose fourth sample is infrared, of SIZE."""
    pixels = np.dstack([photo, infrared])
    pixels = pixels.astype("<u2") * 257 if bits == 16 else pixels
    drawing.tiff(path, pixels.tobytes(), (bits,) * 4, 2, extra)


def small():
    """Photograph and infrared of SIZE."""
    photo, infrared, _ = dusty()
    width, height = drawing.SIZE
    return photo[:height, :width], infrared[:height, :width]


@on_files(INFRARED, "fourth sample, 8 bits without and 16 with ExtraSamples", "restored")
def fourth_sample(folder):
    samples(folder / "rgbi8.tif", 8, None, *small())
    samples(folder / "rgbi16.tif", 16, 0, *small())
    names = ["rgbi8.tif", "rgbi16.tif"]
    done = yield names
    import tifffile

    for name in names:
        with tifffile.TiffFile(done.picture(name)) as file:
            page, count = file.pages[0], len(file.pages)
            expect(not {1, 2} & set(map(int, page.extrasamples)), "became transparency")
            infrared = page.asarray()[..., 3] if page.samplesperpixel == 4 else None
            infrared = file.pages[1].asarray() if infrared is None and count > 1 else infrared
        expect(infrared is not None, "lost" if done.warned(name, "infrared") else "lost without a word")
        near(infrared // (257 if infrared.dtype == np.uint16 else 1), small()[1], 1)


@on_files(INFRARED, "second page (SilverFast HDRi)", "restored")
def second_page(folder):
    import tifffile

    photo, infrared = (part.astype(np.uint16) * 257 for part in small())
    with tifffile.TiffWriter(folder / "hdri.tif") as file:
        file.write(photo, photometric="rgb", metadata=None)
        file.write(infrared, photometric="minisblack", metadata=None)
    done = yield ["hdri.tif"]
    with tifffile.TiffFile(done.picture("hdri.tif")) as file:
        pages = [page.asarray() for page in file.pages]
    found = pages[1] if len(pages) > 1 else pages[0][..., 3] if pages[0].shape[-1] == 4 else None
    expect(found is not None, "lost without a word")
    near(found, infrared, 0)


@with_commands(INFRARED, "STEM_IR.tif beside the photograph")
def beside(trial):
    photo, infrared, dust = dusty()
    drawing.save(trial.folder / "in/a.tif", photo)
    drawing.save(trial.folder / "in/a_IR.tif", infrared)
    done = trial.run("restore.py", "in", "out", "--only", "mask")
    expect(done.status == 0, done.last)
    expect(not (trial.folder / "out/a_IR_mask.png").exists(), "taken for a photograph")
    with Image.open(trial.folder / "out/a_mask.png") as mask:
        found = np.asarray(mask) == 255
    expect(found[dust].mean() > 0.9, f"{found[dust].mean():.0%} of its dust marked")


@with_commands(INFRARED, "dust found, and nothing in noise")
def dust_found(trial):
    photo, infrared, dust = dusty()
    noise = np.random.default_rng(1).normal(200, 3, dust.shape).clip(0, 255).astype(np.uint8)
    for name, channel in (("dust", infrared), ("noise", noise)):
        drawing.save(trial.folder / f"{name}.tif", photo)
        drawing.save(trial.folder / f"{name}_IR.tif", channel)
    words = ("--infrared", "only", "--dilate", 0)
    done = trial.run("segment.py", "infer", "dust.tif", "noise.tif", "out", *words)
    expect(done.status == 0, done.last)
    masks = {}
    for name in ("dust", "noise"):
        with Image.open(trial.folder / f"out/{name}_mask.png") as mask:
            masks[name] = np.asarray(mask) == 255
    found = masks["dust"]
    score = 2 * (found & dust).sum() / max(1, found.sum() + dust.sum())
    expect(score > 0.9, f"F1 {score:.2f}")
    expect(masks["noise"].mean() < 0.001, f"{masks['noise'].mean():.1%} of noise marked")


@with_commands(INFRARED, "silver film: luma in the infrared channel")
def silver(trial):
    photo = drawing.astronaut()
    drawing.save(trial.folder / "silver.tif", photo)
    drawing.save(trial.folder / "silver_IR.tif", np.asarray(Image.fromarray(photo).convert("L")))
    done = trial.run("segment.py", "infer", "silver.tif", "out", "--infrared", "only", "--json", "-")
    said = done.out + done.err
    mask = trial.folder / "out/silver_mask.png"
    if mask.exists():
        with Image.open(mask) as picture:
            marked = (np.asarray(picture) == 255).mean()
        expect(marked < 0.001, f"{marked:.1%} marked")
    if "silver" not in said.replace("silver.tif", "").replace("silver_", "") and "infrared" not in said:
        raise Wrong("not said")
