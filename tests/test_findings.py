"""Differences of pictures, and cautions about a photograph."""

import numpy as np
import pytest

from data import findings
from data.photo import Photo
from data.pixels import luma
from data.synthesis.ageing import tint


def test_differences_are_in_steps_of_8_bits():
    grey = np.full((4, 5), 100, np.uint8)
    other = grey.copy()
    other[0, 0], other[3, 4] = 90, 130
    where = np.ones((4, 5), bool)
    assert findings.difference(grey, other, where) == 30
    assert findings.difference(grey, grey, where) == 0
    where[3, 4] = False
    assert findings.difference(grey, other, where) == 10
    assert findings.difference(other, grey, where) == 10
    assert findings.difference(grey, other, ~np.ones((4, 5), bool)) == 0
    wide = [np.repeat(x[..., None], 3, -1).astype(np.uint16) * 257 for x in (grey, other)]
    assert findings.difference(*wide, where) == 10


def test_luma_differences():
    grey = np.full((4, 5), 100 * 257, np.uint16)
    color = np.full((4, 5, 3), 100, np.uint8)
    assert findings.luma_difference(grey, color) == pytest.approx(0, abs=1e-4)
    color[2, 2, 1] += 10
    assert findings.luma_difference(grey, color) == pytest.approx(5.87, abs=1e-3)


def colored(pixels):
    return findings.chroma(pixels)[1] > 6


def test_toned_prints_are_not_taken_for_color(portrait):
    """Sepia, cold and other tones, grain and an uneven yellow do not make a color photograph; a faded one
    still is one.
    """
    rng = np.random.default_rng(0)
    assert colored(portrait)
    assert colored(portrait.astype(np.uint16) * 257)
    assert colored((portrait * 0.5 + 100).astype(np.uint8))
    assert not colored(portrait[..., 0])
    assert not colored(np.full((1, 1, 3), 200, np.uint8))
    for _ in range(8):
        toned = tint(luma(portrait), rng)
        assert not colored(toned)
        noisy = toned + rng.normal(0, 8, toned.shape) - np.linspace(0, 12, 256)[:, None] * [0, 0, 1]
        assert not colored(noisy.clip(0, 255).astype(np.uint8))


def test_cautions(portrait):
    assert findings.cautions(Photo(portrait), coloring=False) == []
    assert findings.cautions(Photo(portrait[..., 0]), coloring=True) == []
    (sentence,) = findings.cautions(Photo(portrait), coloring=True)
    assert "already in color" in sentence
    sepia = np.clip(portrait[..., :1] * [1.0, 0.85, 0.6] + [10, 5, 0], 0, 255).astype(np.uint8)
    assert findings.cautions(Photo(sepia), coloring=True) == [
        "toned print: its tone is replaced by guessed colors"
    ]
    assert findings.cautions(Photo(sepia), coloring=False) == []
    (sentence,) = findings.cautions(Photo(portrait[:255, :, 0]), coloring=True)
    assert sentence == "very small photograph (256 x 255 px): scan it at a higher resolution"
