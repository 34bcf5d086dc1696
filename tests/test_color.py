"""Profiles as LittleCMS (in Pillow's ImageCms) and ImageMagick understand them."""

import io
import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from conftest import SRGB, noise, saved
from PIL import Image, ImageCms

import colorize
import restore
from data import color, containers
from data.formats import lost
from data.photo import Photo, encode, read_photo
from data.pixels import as_depth, luma, merge_chroma, rgb_to_ycbcr

RAMP = np.tile(np.arange(256, dtype=np.uint8), (4, 1))


def profile(space, curve, **elements):
    """An ICC profile by hand. curve: the element of its tone curve; elements: name -> content of others."""
    white = struct.pack(">3i", 63190, 65536, 54061)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + white,
        **({b"kTRC": curve} if space == b"GRAY" else dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)),
        **{name.encode(): content for name, content in elements.items()},
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    return (head + bytes(12) + b"acsp" + bytes(28) + white).ljust(128, b"\0") + table + body


def gamma(value):
    return b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(value * 256))


def rgb_profile(curve, *primaries):
    names = ("rXYZ", "gXYZ", "bXYZ")
    columns = [b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in xyz)) for xyz in primaries]
    return profile(b"RGB ", curve, **dict(zip(names, columns)))


TABLE = (
    b"curv"
    + bytes(4)
    + struct.pack(">I1024H", 1024, *(round(65535 * (n / 1023) ** 2.4) for n in range(1024)))
)
SRGB_CURVE = (
    b"para"
    + bytes(4)
    + struct.pack(
        ">HH5i", 3, 0, *(round(v * 65536) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    )
)
CURVES = {"1.0": gamma(1), "1.8": gamma(1.8), "2.2": gamma(2.2), "table": TABLE, "sRGB": SRGB_CURVE}
PROPHOTO = rgb_profile(gamma(1.8), (0.7977, 0.288, 0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))
ADOBE = rgb_profile(gamma(2.2), (0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


def shown(pixels, icc):
    """(H, W, 3) uint8 in sRGB, by LittleCMS."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    target = ImageCms.createProfile("sRGB")
    image = Image.fromarray(pixels)
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.NOOPTIMIZE  # else dark tones are up to 10 steps off
    return np.asarray(ImageCms.profileToProfile(image, source, target, intent, outputMode="RGB", flags=flags))


@pytest.mark.parametrize("curve", CURVES)
def test_tones_of_a_grey_profile_are_those_of_littlecms(curve):
    icc = profile(b"GRAY", CURVES[curve])
    expected = shown(RAMP, icc)[..., 1]
    assert np.abs(color.tones(RAMP, icc) * 255 - expected).max() <= 1
    deep = color.tones(RAMP.astype(np.uint16) * 257, icc)
    np.testing.assert_allclose(deep, color.tones(RAMP, icc), atol=1e-6)


@pytest.mark.parametrize("icc", [PROPHOTO, ADOBE], ids=["ProPhoto", "Adobe RGB"])
def test_tones_of_a_wide_profile_are_those_of_littlecms(icc):
    pixels = noise(40, 50, 3)
    assert not color.shows_as_srgb(icc)
    assert np.abs(color.tones(pixels, icc) - luma(shown(pixels, icc))).max() * 255 <= 1.01
    assert np.abs(color.tones(RAMP, icc) - luma(shown(np.dstack([RAMP] * 3), icc))).max() * 255 <= 1.01


class Flat(colorize.Colorizer):
    """Answers with one chroma everywhere."""

    def __init__(self, cb, cr):
        self.cbcr = np.float32([cb, cr])

    def __call__(self, luma, hints=None, dtype="uint8"):
        return merge_chroma(luma, np.broadcast_to(self.cbcr, (*luma.shape, 2)), dtype)


@pytest.mark.parametrize("kind", ["grey", "sepia"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("icc", [PROPHOTO, ADOBE], ids=["ProPhoto", "Adobe RGB"])
def test_colors_in_a_wide_profile_are_as_the_network_meant_them(icc, dtype, kind):
    grey = np.clip(RAMP, 60, 200).astype(dtype) * (257 if dtype == np.uint16 else 1)
    pixels = grey if kind == "grey" else (np.dstack([grey] * 3) * [1, 0.95, 0.85]).astype(dtype)
    wanted = Flat(-0.06, 0.08)
    picture = wanted.in_profile(pixels, icc, None, dtype)
    assert picture.dtype == dtype
    assert np.abs(luma(picture) - luma(pixels)).max() * np.iinfo(dtype).max <= 0.51
    eight = picture if dtype == np.uint8 else as_depth(picture, np.uint8)
    chroma = rgb_to_ycbcr(shown(eight, icc))[..., 1:]
    assert np.abs(chroma - wanted.cbcr).max() < 0.02
    naive = shown(wanted(luma(eight)), icc)  # as it was: taken for values of the profile
    assert np.abs(rgb_to_ycbcr(naive)[..., 1:] - wanted.cbcr).max() > np.abs(chroma - wanted.cbcr).max()


@pytest.mark.parametrize("icc", [None, SRGB, b"damaged", SRGB[:200], SRGB[:16] + b"GRAY" + SRGB[20:]])
def test_without_a_profile_of_its_own_nothing_changes(icc):
    pixels, colorizer = noise(30, 40, 3), Flat(-0.06, 0.08)
    np.testing.assert_array_equal(colorizer.in_profile(pixels, icc), colorizer(luma(pixels)))


def test_the_srgb_profile_has_always_the_same_bytes():
    first = color.srgb()
    color.srgb.cache_clear()
    assert color.srgb() == first
    assert color.shows_as_srgb(first)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("icc", [SRGB, PROPHOTO, ADOBE], ids=["sRGB", "ProPhoto", "Adobe RGB"])
def test_a_grey_picture_gets_a_grey_profile_of_the_same_tones(tmp_path, format, icc):
    photo = read_photo(saved(Image.fromarray(RAMP), "JPEG", quality=100, icc_profile=icc))
    data = encode(photo.pixels, photo, format)
    kept = read_photo(data).icc
    assert kept[16:20] == b"GRAY"
    assert np.abs(shown(RAMP, kept).astype(int) - shown(np.dstack([RAMP] * 3), icc)).max() <= 1
    assert lost(photo, format, grey=True) == []
    assert read_photo(encode(np.dstack([photo.pixels] * 3), photo, format)).icc == icc
    if shutil.which("identify"):
        path = tmp_path / f"a.{format.lower()}"
        path.write_bytes(data)
        done = subprocess.run(["identify", "-verbose", path], capture_output=True, text=True)
        assert "not permitted" not in done.stderr


def test_a_profile_without_curves_is_lost_on_grey_and_said():
    icc = profile(b"RGB ", gamma(2)).replace(b"gTRC", b"zzzz")
    photo = Photo(RAMP, icc=icc)
    assert read_photo(encode(RAMP, photo, "PNG")).icc is None
    assert lost(photo, "PNG", grey=True) == [
        "RGB color profile without a curve of tones is lost in grey pictures"
    ]


def test_the_chunks_of_a_png_that_tell_its_colors_are_kept():
    chunks = [
        (b"gAMA", struct.pack(">I", 100000)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
        (b"sRGB", b"\0"),
        (b"cICP", bytes([12, 13, 0, 1])),
    ]
    data = saved(Image.fromarray(noise(20, 30, 3)))
    data = data[:33] + b"".join(containers.chunk(*chunk) for chunk in chunks) + data[33:]
    photo = read_photo(data)
    for pixels in (photo.pixels, photo.pixels[..., 0]):
        result = encode(pixels, photo, "PNG", "Restored")
        assert [chunk[:2] for chunk in containers.chunks(result) if chunk[0] in dict(chunks)] == chunks
        Image.open(io.BytesIO(result)).load()
    assert lost(photo, "PNG") == []
    assert lost(photo, "TIFF") == [
        f"TIFF has no place for chunk {name} of the colors: it is lost" for name in ("gAMA", "cHRM", "cICP")
    ]


def test_the_command_shows_the_tones_of_a_grey_scan(tmp_path, tiny_weights, portrait):
    icc = profile(b"GRAY", gamma(1))
    grey = portrait[40:88, 80:144, 0]
    (tmp_path / "scan.png").write_bytes(saved(Image.fromarray(grey), icc_profile=icc))
    Image.new("L", (64, 48)).save(tmp_path / "m.png")
    weights = [word for stage, file in tiny_weights.items() for word in (f"--{stage}-weights", str(file))]
    words = ["--mask", str(tmp_path / "m.png"), "--device", "cpu", "--quiet", *weights]
    assert restore.main([str(tmp_path / "scan.png"), str(tmp_path / "out"), *words]) == 0
    assert read_photo(tmp_path / "out/scan_restored.png").icc == icc
    for name in ("color", "restored_color"):
        result = read_photo(tmp_path / f"out/scan_{name}.png")
        assert color.shows_as_srgb(result.icc)
        expected = shown(grey, icc)[..., 1] / 255
        assert np.abs(luma(shown(result.pixels, result.icc)) - expected).max() * 255 <= 2
    measured = json.loads((tmp_path / "out/scan.json").read_text())["measured"]
    assert measured["luma_color"] <= 0.51


def test_a_profile_that_is_only_read(tmp_path):
    """As some scanners have: it tells how values look, but not which value shows a color."""
    weights = np.array([0.2, 0.7, 0.1])
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3) @ weights
    lab = np.stack([corners * 65280, np.full(8, 32768), np.full(8, 32768)], -1).astype(">u2").tobytes()
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramps = struct.pack(">2H", 0, 65535) * 3
    table = b"mft2" + bytes(4) + bytes([3, 3, 2, 0]) + matrix + struct.pack(">2H", 2, 2) + ramps + lab + ramps
    icc = profile(b"RGB ", gamma(1), A2B0=table)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        icc = icc.replace(name, name.replace(b"TRC", b"---"))
    icc = icc[:12] + b"scnr" + icc[16:20] + b"Lab " + icc[24:]
    photo, picture = noise(8, 9, 3), noise(8, 9, 3, seed=1)
    assert not color.shows_as_srgb(icc)
    result = color.into_profile(picture, photo, icc, "uint8")
    assert np.abs(luma(result) - luma(photo)).mean() < 0.1
