"""The layered file, composited by psd-tools as a retoucher switches its layers: the three
pictures come out.
"""

import io
import logging
import sys

import numpy as np
import pytest
from conftest import files, save, square
from PIL import Image, ImageCms

import restore
from data import iptc
from data.photo import Photo, read_photo
from data.pixels import luma, merge_chroma
from data.psd import Layer, ending, photoshop

psd_tools = pytest.importorskip("psd_tools")
NAMES = ["Original", "Repairs", "Color of original", "Color", "Probability"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def composite(psd, *names):
    """(H, W, 3) of these layers alone, and alpha (H, W), both in 0 to 255."""
    from psd_tools.composite import composite

    color, _, alpha = composite(psd, color=0.0, layer_filter=lambda layer: layer.name in names)
    return color * 255, alpha[..., 0] * 255


def as8(pixels):
    """In 0 to 255, with three channels."""
    return np.broadcast_to(np.atleast_3d(pixels), (*pixels.shape[:2], 3)) * (255 / np.iinfo(pixels.dtype).max)


def colored(pixels, strength, seed):
    """The pixels in random colors of up to this chroma, of their luma."""
    return merge_chroma(
        luma(pixels), np.random.default_rng(seed).uniform(-strength, strength, (*pixels.shape[:2], 2))
    )


@pytest.fixture(params=["grey8", "grey16", "sepia8", "sepia16", "alpha8", "alpha16"])
def example(request, portrait):
    """(photo, mask, restored, color, restored color), the colors being those of a wild network."""
    kind, dtype = request.param[:-1].rstrip("1"), np.uint16 if request.param.endswith("16") else np.uint8
    noise = np.random.default_rng(1)
    pixels = portrait[40:88, 80:144, 0]
    if kind == "sepia":  # as the chroma of old prints is
        pixels = merge_chroma(luma(pixels), np.broadcast_to([-0.05, 0.04], (48, 64, 2)))
    pixels = pixels.astype(dtype) * (257 if dtype == np.uint16 else 1)
    if dtype == np.uint16:
        pixels = np.minimum(pixels, 65000) + noise.integers(0, 257, pixels.shape, dtype=dtype)
    alpha = noise.integers(0, np.iinfo(dtype).max + 1, (48, 64), dtype=dtype) if kind == "alpha" else None
    mask = square()
    mask[40, 3] = 255
    restored = pixels.copy()
    restored[mask == 255] = np.iinfo(dtype).max - pixels[mask == 255]
    strength = 0.2 if kind == "sepia" else 0.5
    return (
        Photo(pixels, alpha, icc=SRGB, dpi=(300, 600)),
        mask,
        restored,
        colored(pixels, strength, 2),
        colored(restored, strength, 3),
    )


def stack(mask, photo, restored, color, restored_color):
    return [
        Layer("Original", photo.pixels),
        Layer("Repairs", restored, mask),
        Layer("Color of original", color, color=True, visible=False),
        Layer("Color", restored_color, color=True),
        Layer("Probability", mask // 2, visible=False),
    ]


@pytest.fixture
def opened(example):
    """The file of the example, as psd-tools reads it."""
    photo, mask, restored, color, restored_color = example
    layers = stack(mask, photo, restored, color, restored_color)
    data = photoshop(photo, layers, restored_color, b"<x:xmpmeta/>")
    return psd_tools.PSDImage.open(io.BytesIO(data))


def test_layers_have_names_and_modes(example, opened):
    assert [layer.name for layer in opened] == NAMES
    assert (opened.width, opened.height) == (64, 48)
    assert opened.depth == example[0].pixels.itemsize * 8
    assert opened.version == 1
    assert [layer.visible for layer in opened] == [True, True, False, True, False]
    assert [layer.blend_mode.name for layer in opened] == ["NORMAL", "NORMAL", "COLOR", "COLOR", "NORMAL"]


def test_switching_layers_gives_the_pictures(example, opened):
    photo, mask, restored, color, restored_color = example
    opaque = np.ones((48, 64), bool)
    if photo.alpha is not None:
        full = np.iinfo(photo.alpha.dtype).max
        opaque = photo.alpha > full // 20
    for names, expected, tolerance in (
        (["Original"], photo.pixels, 0.01),
        (["Original", "Repairs"], restored, 0.01),
        (["Original", "Repairs", "Color"], restored_color, 2.01),
        (["Original", "Color of original"], color, 2.01),
        (["Original", "Probability"], mask // 2, 0.01),
    ):
        pixels, alpha = composite(opened, *names)
        assert np.abs(pixels - as8(expected))[opaque].max() <= tolerance, names
        if photo.alpha is not None:
            np.testing.assert_allclose(alpha, photo.alpha * (255 / full), atol=0.01)


def test_repairs_have_a_layer_mask(example, opened):
    """A retoucher can paint on it."""
    repairs, mask = opened[1], example[1]
    assert repairs.mask is not None
    assert repairs.bbox == (3, 10, 50, 41)
    np.testing.assert_array_equal(np.asarray(repairs.mask.topil()) > 127, mask[10:41, 3:50] == 255)


def test_other_programs_find_a_flat_picture_with_profile_and_metadata(example, opened):
    assert np.abs(opened.numpy()[..., :3] * 255 - example[4]).max() < 0.01
    resources = opened.image_resources
    assert resources.get_data(1039) == SRGB
    assert resources.get_data(1060) == b"<x:xmpmeta/>"
    resolution = resources.get_data(1005)
    assert (resolution.horizontal, resolution.vertical) == (300 << 16, 600 << 16)


def test_any_color_over_any_grey_is_exact_to_two_steps():
    """psd-tools weighs red, green and blue as Photoshop does, not by BT.601: the difference
    stays that small.
    """
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 360, 1)
    for strength in (0.02, 0.1, 0.3, 0.44, 0.5):
        color = merge_chroma(
            luma(grey), strength * np.stack([np.cos(angle), np.sin(angle)], -1)[None].repeat(256, 0)
        )
        psd = psd_tools.PSDImage.open(
            io.BytesIO(
                photoshop(Photo(grey), [Layer("Original", grey), Layer("Color", color, color=True)], color)
            )
        )
        assert np.abs(composite(psd, "Original", "Color")[0] - color).max() <= 2.01


def test_the_file_of_a_photo_without_finds(portrait):
    grey = portrait[:48, :64, 0]
    data = photoshop(
        Photo(grey), [Layer("Original", grey), Layer("Repairs", grey, np.zeros((48, 64), np.uint8))], grey
    )
    psd = psd_tools.PSDImage.open(io.BytesIO(data))
    assert psd[1].has_mask()
    assert np.abs(composite(psd, "Original", "Repairs")[0] - as8(grey)).max() < 0.01


def test_a_grey_profile_does_not_fit_the_colored_file():
    grey = np.zeros((3, 4), np.uint8)
    icc = SRGB[:16] + b"GRAY" + SRGB[20:]
    psd = psd_tools.PSDImage.open(
        io.BytesIO(photoshop(Photo(grey, icc=icc), [Layer("Original", grey)], grey))
    )
    assert psd.image_resources.get_data(1039) is None


def test_iptc_fields_are_in_the_file():
    grey, block = np.zeros((3, 4), np.uint8), iptc.block({iptc.IPTC: b"\x1c\x02\x78\0\5Lake.", 1034: b"\1"})
    data = photoshop(Photo(grey, iptc=block), [Layer("Original", grey)], grey)
    resources = psd_tools.PSDImage.open(io.BytesIO(data)).image_resources
    assert resources.get_data(1028) == b"\x1c\x02\x78\0\5Lake."


def test_very_large_photos_become_psb(portrait, monkeypatch):
    def of(height, width, dtype=np.uint8):
        return Photo(np.broadcast_to(np.zeros(1, dtype), (height, width)))

    assert ending(of(30000, 2000)) == ending(of(9000, 9900)) == ending(of(6000, 7000, np.uint16)) == "psd"
    assert ending(of(30001, 2)) == ending(of(9500, 9500)) == ending(of(7000, 7000, np.uint16)) == "psb"
    with pytest.raises(ValueError, match="leave out --psd"):
        photoshop(of(1, 300_001), [], np.zeros((1, 300_001), np.uint8))
    # Such a file, small: psd-tools itself composites no side above 30000 px.
    monkeypatch.setattr("data.psd.ending", lambda photo: "psb")
    for dtype in (np.uint8, np.uint16):
        grey = portrait[:48, :64, 0].astype(dtype)
        psd = psd_tools.PSDImage.open(
            io.BytesIO(
                photoshop(Photo(grey), [Layer("Original", grey), Layer("Repairs", grey, square())], grey)
            )
        )
        assert psd.version == 2
        assert np.abs(composite(psd, "Original", "Repairs")[0] - as8(grey)).max() < 0.01


def test_a_side_beyond_psd_is_written_and_read():
    wide = np.random.default_rng(0).integers(0, 256, (2, 30001), dtype=np.uint8)
    psd = psd_tools.PSDImage.open(io.BytesIO(photoshop(Photo(wide), [Layer("Original", wide)], wide)))
    assert (psd.width, psd.height, psd.version) == (30001, 2, 2)
    channel = psd._record.layer_and_mask_information.layer_info.channel_image_data[0][1]
    assert channel.get_data(30001, 2, 8, 2) == wide.tobytes()


# ------------------------------------------------------------------------------------------ restore.py


@pytest.fixture
def run(tiny_weights):
    weights = [word for stage, path in tiny_weights.items() for word in (f"--{stage}-weights", str(path))]
    return lambda *words: restore.main([*weights, "--device", "cpu", "--quiet", *map(str, words)])


def test_psd_of_restore(tmp_path, portrait, run, caplog):
    path = save(tmp_path / "scan.png", portrait[40:88, 80:144, 0])
    with caplog.at_level(logging.WARNING):
        assert run(path, tmp_path / "out", "--psd", "--threshold", 0.5) == 0
    assert not caplog.records
    assert "scan.psd" in files(tmp_path / "out")
    psd = psd_tools.PSDImage.open(tmp_path / "out/scan.psd")
    assert [layer.name for layer in psd] == NAMES
    for names, part in (
        (["Original"], None),
        (["Original", "Repairs"], "restored"),
        (["Original", "Repairs", "Color"], "restored_color"),
        (["Original", "Color of original"], "color"),
    ):
        expected = read_photo(tmp_path / f"out/scan_{part}.png" if part else path).pixels
        assert np.abs(composite(psd, *names)[0] - as8(expected)).max() <= 2.01, names
    probability = composite(psd, "Probability")[0][..., 0]
    mask = np.asarray(Image.open(tmp_path / "out/scan_mask.png"))
    assert probability[mask == 255].mean() > probability[mask == 0].mean() + 5
    assert b"compositeWithTrainedAlgorithmicMedia" in psd.image_resources.get_data(1060)
    assert run(path, tmp_path / "out", "--psd", "--threshold", 0.5) == 0  # done already


@pytest.mark.parametrize(
    "words, names, visible",
    [
        (["--only", "restored"], ["Original", "Repairs", "Probability"], [True, True, False]),
        (["--only", "color"], ["Original", "Color of original"], [True, True]),
        (["--only", "mask"], ["Original", "Probability"], [True, False]),
        (["--mask", "m.png"], NAMES[:-1], [True, True, False, True]),
    ],
)
def test_it_holds_what_was_made(tmp_path, scan, run, monkeypatch, words, names, visible):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "m.png", square())
    assert run(scan, tmp_path / "out", "--psd", *words) == 0
    psd = psd_tools.PSDImage.open(tmp_path / "out/scan.psd")
    assert [layer.name for layer in psd] == names
    assert [layer.visible for layer in psd] == visible


def test_without_psd_tools_one_line_says_what_to_do(tmp_path, scan, run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "psd_tools", None)
    monkeypatch.setattr(restore, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as caught:
        run(scan, tmp_path / "out", "--psd")
    assert caught.value.code == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("error: --psd needs psd-tools: pip install psd-tools")
    )
    assert not list(tmp_path.glob("out/*"))
    assert run(scan, tmp_path / "out", "--only", "mask") == 0  # all else works without it
