"""Tone of faded prints: brought back, left alone where nothing faded, never clipped."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as pictures

from data.pixels import rgb_to_ycbcr
from data.tone import Tone, is_monochrome, measure_tone
from losses.metrics import ciede2000

SEPIA = np.array([1.0, 0.9, 0.72])


def photographs():
    """Photographs of full range, RGB uint8."""
    return [pictures.astronaut(), pictures.coffee(), pictures.rocket()]


def faded(picture, low=(0.2, 0.16, 0.12), high=(0.86, 0.74, 0.6), dtype=np.uint8):
    """Paler blacks, darker whites, a yellow cast."""
    low, high = np.array(low), np.array(high)
    top = np.iinfo(dtype).max
    return np.rint((low + (high - low) * (picture / 255)) * top).astype(dtype)


def nothing(picture):
    return np.zeros(picture.shape[:2], bool)


def difference(a, b):
    return ciede2000(*(torch.from_numpy(x.astype(np.float32) / 255).permute(2, 0, 1) for x in (a, b)))


def toned(picture, **options):
    tone = measure_tone(picture, nothing(picture), **options)
    return picture if tone is None else tone(picture)


def test_fading_is_halved_at_least():
    before, after = [], []
    for picture in photographs():
        print_ = faded(picture)
        before.append(difference(print_, picture))
        after.append(difference(toned(print_), picture))
    assert np.mean(after) < np.mean(before) / 2


@pytest.mark.parametrize("picture", photographs(), ids=["astronaut", "coffee", "rocket"])
def test_a_photograph_of_full_range_stays(picture):
    assert measure_tone(picture, nothing(picture)) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_twice_is_once(dtype):
    for picture in photographs():
        once = toned(faded(picture, dtype=dtype))
        assert once.dtype == dtype
        assert measure_tone(once, nothing(once)) is None


@pytest.mark.parametrize(
    "tone", [Tone((0.2,), (0.6,), (2.3,)), Tone((0.1, 0.2, 0.3), (0.5, 0.7, 0.8), (2.5, 1.9, 1.8))]
)
def test_curves_are_monotone_and_do_not_clip(tone):
    for channel in range(len(tone.gain)):
        curve = tone._curve(channel, np.uint16)
        assert (np.diff(curve.astype(int)) >= 0).all()
        between = curve[int(65535 * tone.low[channel]) : int(65535 * tone.high[channel])]
        assert between.min() > 0
        assert between.max() < 65535


def test_a_sepia_print_keeps_its_hue_unless_asked():
    grey = np.asarray(Image.fromarray(pictures.astronaut()).convert("L"))[..., None] / 255
    print_ = np.rint((0.2 + 0.5 * grey) * SEPIA * 255).astype(np.uint8)
    kept, neutral = toned(print_), toned(print_, neutral=True)
    assert np.ptp(kept.mean((0, 1))) == pytest.approx(np.ptp(print_.mean((0, 1))), rel=0.35)
    assert np.ptp(neutral.mean((0, 1))) < 3
    assert kept.std() > 1.4 * print_.std()


def test_monochrome_is_told_from_color():
    grey = np.repeat(pictures.camera()[..., None], 3, 2) / 255.0
    everywhere = np.ones(grey.shape[:2], bool)
    assert is_monochrome(grey * SEPIA, everywhere)
    color = pictures.astronaut() / 255.0
    assert not is_monochrome(color, np.ones(color.shape[:2], bool))


def test_a_faded_color_print_is_not_taken_for_a_toned_one():
    """Its chroma has become as weak as that of a sepia print."""
    color = faded(pictures.astronaut(), (0.42, 0.4, 0.36), (0.56, 0.54, 0.5)) / 255
    everywhere = np.ones(color.shape[:2], bool)
    assert rgb_to_ycbcr(color)[..., 1:].std((0, 1)).max() < 0.02
    assert not is_monochrome(color, everywhere)


def test_border_and_damage_are_not_measured():
    """A white border and a black hole have the full range; the faded picture has not."""
    print_ = faded(pictures.chelsea())
    framed = np.full((print_.shape[0] + 80, print_.shape[1] + 80, 3), 250, np.uint8)
    framed[40:-40, 40:-40] = print_
    assert measure_tone(framed, nothing(framed)) is not None
    hole = nothing(print_)
    hole[100:160, 100:180] = True
    damaged = np.where(hole[..., None], np.uint8(0), print_)
    assert min(measure_tone(damaged, hole).low) > 0.1
    assert max(measure_tone(damaged, nothing(damaged)).low) == 0


def test_grey_pixels_and_sixteen_bits():
    grey = np.rint((0.3 + 0.4 * pictures.camera() / 255) * 65535).astype(np.uint16)
    result = toned(grey)
    assert result.dtype == np.uint16
    assert result.shape == grey.shape
    assert result.std() > 1.8 * grey.std()


def test_a_print_that_is_nearly_gone_is_left_alone():
    """It would need more than the largest gain, and a second turn would go on."""
    assert (
        measure_tone(faded(pictures.astronaut(), (0.4,) * 3, (0.6,) * 3), nothing(pictures.astronaut()))
        is None
    )
