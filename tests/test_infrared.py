"""Defects from the infrared channel, on synthetic scans whose dust is known."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data.infrared import InfraredError, infrared_defects


def drawn_dust(size, seed):
    """Specks and hairs, (H, W) bool."""
    rng, picture = np.random.default_rng(seed), Image.new("L", size)
    draw = ImageDraw.Draw(picture)
    for _ in range(25):
        x, y, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(1.5, 6)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    for _ in range(4):
        points = rng.uniform(0, 1, (3, 2)) * size
        draw.line([tuple(point) for point in points], fill=255, width=3)
    return np.asarray(picture) > 0


def scan(portrait, dust, dtype=np.uint16, noise=0.01, seed=0):
    """(infrared, pixels) as a film scanner gives them: crosstalk of the cyan dye, uneven lamp, noise, dust
    in both."""
    rng = np.random.default_rng(seed)
    colors = np.asarray(Image.fromarray(portrait).resize(dust.shape[::-1])) / 255
    light = np.linspace(0.8, 0.9, dust.shape[1])[None]
    infrared = light * colors[..., 0].clip(0.02) ** 0.08 * (1 + noise * rng.standard_normal(dust.shape))
    infrared = np.where(dust, 0.35 * infrared, infrared)
    colors = np.where(dust[..., None], 0.5 * colors, colors)
    top = np.iinfo(dtype).max
    return tuple(np.rint(x.clip(0, 1) * top).astype(dtype) for x in (infrared, colors))


def f1(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_drawn_dust_is_found(portrait, dtype, noise):
    dust = drawn_dust((480, 360), 1)
    assert f1(infrared_defects(*scan(portrait, dust, dtype, noise)), dust) > 0.9


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05, 0.1])
def test_noise_alone_is_not_dust(portrait, noise):
    infrared, pixels = scan(portrait, np.zeros((360, 480), bool), noise=noise)
    assert not infrared_defects(infrared, pixels).any()


def test_crosstalk_is_not_dust(portrait):
    """Without the regression a strong cyan would be marked: infrared there is a fifth lower."""
    colors = np.full((256, 256, 3), 200, np.uint8)
    colors[100:110, 100:110] = (30, 200, 200)
    colors[20:60, 20:220, 0] = np.linspace(20, 250, 200).astype(np.uint8)
    infrared = np.rint(230 * (colors[..., 0] / 255.0) ** 0.1).astype(np.uint8)
    assert not infrared_defects(infrared, colors).any()


@pytest.mark.parametrize("gain", [1.0, 0.6])
def test_silver_film_is_refused(portrait, gain):
    """There infrared shows the photograph: luma in its place."""
    luma = np.rint(portrait @ np.array([0.299, 0.587, 0.114]) * gain).astype(np.uint8)
    with pytest.raises(InfraredError, match="shows the photograph itself"):
        infrared_defects(luma, portrait)


def test_a_channel_that_marks_too_much_is_refused(portrait):
    rng = np.random.default_rng(0)
    infrared = np.where(rng.random((256, 256)) < 0.25, 60, 200).astype(np.uint8)
    with pytest.raises(InfraredError, match="marks"):
        infrared_defects(np.repeat(np.repeat(infrared[:64, :64], 4, 0), 4, 1), portrait)


def test_a_constant_channel_says_nothing(portrait):
    assert not infrared_defects(np.full((256, 256), 180, np.uint8), portrait).any()


def test_grey_scans_work_too(portrait):
    """Chromogenic black-and-white film has dyes in place of silver."""
    dust, grey = drawn_dust((480, 360), 2), np.repeat(portrait[..., 1:2], 3, 2)
    infrared, pixels = scan(grey, dust)
    assert f1(infrared_defects(infrared, pixels[..., 1].copy()), dust) > 0.9
