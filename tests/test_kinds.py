"""Kinds of pictures that restore badly are recognized, and photographs are not taken for them."""

import time

import numpy as np
import pytest
from conftest import noise
from pictures import color_negative, drawing, engraving, faded, halftone, page, stamped, tinted
from PIL import Image

from data import kinds
from data.pixels import luma
from data.synthesis.ageing import tint

MEASURES = [
    kinds.is_colored,
    kinds.is_color_negative,
    kinds.is_toned,
    kinds.has_colored_mark,
    kinds.is_drawing,
    kinds.is_halftone,
]


def photographs():
    """Photographs and textures that PyPI packages carry, as (H, W) or (H, W, 3) uint8."""
    from skimage import data

    names = ["astronaut", "camera", "chelsea", "coffee", "coins", "moon", "brick", "grass", "gravel"]
    return {name: getattr(data, name)() for name in names}


def test_toned_prints_are_not_taken_for_color(portrait):
    """Sepia, cold and other tones, grain and an uneven yellow do not make a color photograph."""
    rng = np.random.default_rng(0)
    assert not kinds.is_colored(portrait[..., 0])
    assert not kinds.is_colored(np.full((1, 1, 3), 200, np.uint8))
    for _ in range(8):
        toned = tint(luma(portrait), rng)
        assert not kinds.is_colored(toned)
        assert not kinds.has_colored_mark(toned)
        noisy = toned + rng.normal(0, 8, toned.shape) - np.linspace(0, 12, 256)[:, None] * [0, 0, 1]
        assert not kinds.is_colored(noisy.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("share", [1, 0.5, 0.15, 0.08])
def test_faded_color_is_color(portrait, share):
    picture = faded(portrait, share)
    assert kinds.is_colored(picture)
    assert kinds.is_colored(picture.astype(np.uint16) * 257)
    assert kinds.is_colored((picture * 0.5 + 100).astype(np.uint8)) or share < 0.15


def test_hand_tinted_photographs_are_color(portrait):
    assert kinds.is_colored(tinted(portrait))


def test_a_stamp_is_a_colored_mark_and_no_color_photograph(portrait):
    assert kinds.has_colored_mark(stamped(portrait))
    assert not kinds.is_colored(stamped(portrait))
    grey = np.repeat(portrait[..., :1], 3, -1)
    assert not kinds.has_colored_mark(grey)
    assert not kinds.has_colored_mark(np.rint(grey * [0.95, 0.8, 0.6]).astype(np.uint8))


def test_color_negatives_are_recognized(portrait):
    negative = color_negative(portrait)
    assert kinds.is_color_negative(negative)
    assert kinds.is_color_negative(negative.astype(np.uint16) * 257)
    sepia = np.rint(portrait[..., :1] * [1, 0.82, 0.6]).astype(np.uint8)
    for other in (portrait, portrait[..., 0], sepia, 255 - negative, *photographs().values()):
        assert not kinds.is_color_negative(other)


@pytest.mark.parametrize("picture", [drawing(1), drawing(2), page(), np.repeat(page()[..., None], 3, -1)])
def test_drawings_and_pages_are_recognized(picture):
    assert kinds.is_drawing(picture)
    assert kinds.is_drawing(np.asarray(Image.fromarray(picture).resize((1500, 1700))))
    assert not kinds.is_drawing(255 - picture)


@pytest.mark.parametrize("period", [3.3, 5, 8])
@pytest.mark.parametrize("angle", [0.4, np.pi / 4])
def test_halftone_prints_are_recognized(portrait, period, angle):
    assert kinds.is_halftone(halftone(portrait, period, angle))
    assert not kinds.is_drawing(halftone(portrait, period, angle))


@pytest.mark.parametrize("turns", [0, 1])
def test_engravings_are_recognized(portrait, turns):
    assert kinds.is_halftone(np.rot90(engraving(portrait), turns))


@pytest.mark.parametrize("name, picture", photographs().items())
def test_photographs_and_textures_are_none_of_these(name, picture, portrait):
    assert not kinds.is_drawing(picture)
    assert not kinds.is_halftone(picture)
    white = np.full_like(picture, 245)  # a person or thing before white paper
    height, width = picture.shape[:2]
    inside = np.s_[height // 3 : -height // 3, width // 3 : -width // 3]
    white[inside] = picture[inside]
    assert not kinds.is_drawing(white)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300, 3), (7, 5, 3), (64, 64), (90, 400, 3)])
def test_any_size_and_depth_is_measured(measure, shape):
    for dtype in (np.uint8, np.uint16):
        assert measure(noise(*shape, dtype=dtype)) in (True, False)
        assert not measure(np.zeros(shape, dtype))


def test_a_large_scan_takes_no_time():
    large = np.broadcast_to(noise(3000, 1, 3), (3000, 4000, 3))
    began = time.process_time()
    for measure in MEASURES:
        measure(large)
    assert time.process_time() - began < 1
