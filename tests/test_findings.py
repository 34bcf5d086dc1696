"""Differences of pictures, and cautions about a photograph."""

import numpy as np
import pytest
from pictures import color_negative, drawing, halftone, stamped

from data import findings
from data.photo import Photo


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


def test_cautions(portrait):
    assert findings.cautions(Photo(portrait), coloring=False, detecting=True) == []
    assert findings.cautions(Photo(portrait[..., 0]), coloring=True, detecting=True) == []
    (sentence,) = findings.cautions(Photo(portrait), coloring=True, detecting=True)
    assert "already in color" in sentence
    sepia = np.clip(portrait[..., :1] * [1.0, 0.85, 0.6] + [10, 5, 0], 0, 255).astype(np.uint8)
    assert findings.cautions(Photo(sepia), coloring=True, detecting=True) == [
        "toned print: its tone is replaced by guessed colors"
    ]
    assert findings.cautions(Photo(sepia), coloring=False, detecting=True) == []
    (sentence,) = findings.cautions(Photo(portrait[:255, :, 0]), coloring=True, detecting=True)
    assert sentence == "very small photograph (256 x 255 px): scan it at a higher resolution"
    (sentence,) = findings.cautions(Photo(drawing()), coloring=True, detecting=True)
    assert sentence.startswith("looks like a drawing or a page of text: ")
    (sentence,) = findings.cautions(Photo(halftone(portrait)), coloring=True, detecting=True)
    assert sentence.startswith("looks like a halftone print: ")
    (sentence,) = findings.cautions(Photo(color_negative(portrait)), coloring=False, detecting=True)
    assert sentence == "looks like a color negative: invert it first"
    for coloring in (True, False):
        (sentence,) = findings.cautions(Photo(stamped(portrait)), coloring, detecting=True)
        assert sentence.startswith("a small part is in color")


def test_cautions_name_no_option_of_detection_where_none_runs(portrait):
    for pixels in (drawing(), halftone(portrait)):
        assert findings.cautions(Photo(pixels), coloring=True, detecting=False) == []
    stamp = Photo(stamped(portrait))
    assert findings.cautions(stamp, coloring=False, detecting=False) == []
    (sentence,) = findings.cautions(stamp, coloring=True, detecting=False)
    assert sentence == "a small part is in color, such as a stamp or ink: its color becomes a guess"
