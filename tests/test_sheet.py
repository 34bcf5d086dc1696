"""Sheets of pictures side by side, for people to look at."""

import numpy as np

from data.sheet import GAP, LINE, compare, contact_sheet


def test_panels_stand_side_by_side_with_their_pixels():
    grey = np.full((60, 80), 40 * 257, np.uint16)
    color = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    sheet = compare({"original": grey, "restored": color})
    assert sheet.shape[1] == 2 * 80 + GAP and sheet.shape[0] > 60 and sheet.dtype == np.uint8
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
    low, high = 3 * LINE, 3 * LINE  # the least height of a row
    assert sheet.dtype == np.uint8 and sheet.shape == (4 * LINE + low + high + 2 * GAP, 2 * 100 + GAP, 3)
    assert (sheet[2 * LINE : 2 * LINE + 30, :40] == 51).all() and (
        sheet[2 * LINE : 2 * LINE + 30, 108:148] == 200
    ).all()
    assert (sheet[2 * LINE + 30 : 2 * LINE + 60] == 255).all()  # not enlarged
    below = 4 * LINE + low + GAP
    assert (sheet[below : below + 25, :100] == 156).all()  # 200 x 50 px fitted into 100, 40000 / 256
    assert (sheet[below : below + 25, 108:] < 128).any()  # the sentence
    # titles and labels
    assert all((sheet[top : top + 2 * LINE] < 128).any() for top in (0, 2 * LINE + low + GAP))
