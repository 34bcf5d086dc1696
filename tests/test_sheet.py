"""Sheets of pictures, for people to look at: side by side, in rows with titles, overlays of masks."""

import numpy as np

from data.sheet import GAP, LINE, compare, contact_sheet, grid, overlay


def test_panels_stand_side_by_side_with_their_pixels():
    grey = np.full((60, 80), 40 * 257, np.uint16)
    color = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    sheet = compare({"original": grey, "restored": color})
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] > 60
    assert sheet.shape[1] == 2 * 80 + GAP
    assert (sheet[:60, :80] == 40).all()
    assert (sheet[:60, 80 + GAP :] == color).all()
    assert (sheet[60:] < 128).any()  # the names


def test_a_contact_sheet_of_different_pictures():
    grey = np.full((30, 40), 0.2, np.float32)
    wide = np.full((50, 200, 3), 40000, np.uint16)
    rows = [
        ("first", {"a": grey, "b": np.full((30, 40, 3), 200, np.uint8)}),
        ("second", {"a": wide, "b": "was not made"}),
    ]
    sheet = contact_sheet(rows, 100)
    least = 3 * LINE  # height of the pictures of a row
    second = 2 * LINE + least + GAP  # where the second row begins
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * second, 2 * 100 + GAP, 3)
    first = sheet[2 * LINE :]
    assert (first[:30, :40] == 51).all()
    assert (first[:30, 108:148] == 200).all()
    assert (first[30:60] == 255).all()  # not enlarged
    below = sheet[second + 2 * LINE :]
    assert (below[:25, :100] == 156).all()  # 200 x 50 px fitted into 100, 40000 / 256
    assert (below[:25, 108:] < 128).any()  # the sentence
    for top in (0, second):
        assert (sheet[top : top + 2 * LINE] < 128).any()  # titles and labels


def test_an_overlay_tells_who_marked_what():
    grey = np.full((1, 4), 0.5)
    found, truth = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    picture = overlay(grey, found, truth)
    assert picture.tolist() == [[[0.1, 0.9, 0.2], [1, 0.1, 0.1], [0.2, 0.4, 1], [0.35, 0.35, 0.35]]]


def test_a_grid_ends_in_black():
    pictures = [np.full((2, 30), level, np.uint8) for level in (10, 20, 30)]
    sheet = grid(pictures, width=70)
    assert sheet.shape == (4, 60)
    assert sheet[0, [0, 30]].tolist() == [10, 20]
    assert sheet[2, [0, 30]].tolist() == [30, 0]
    assert grid(pictures, width=10).shape == (6, 30)
