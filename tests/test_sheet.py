import numpy as np

from data.sheet import GAP, compare


def test_panels_stand_side_by_side_with_their_pixels():
    grey = np.full((60, 80), 40 * 257, np.uint16)
    color = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    sheet = compare({"original": grey, "restored": color})
    assert sheet.shape[1] == 2 * 80 + GAP and sheet.shape[0] > 60 and sheet.dtype == np.uint8
    assert (sheet[:60, :80] == 40).all()
    assert (sheet[:60, 80 + GAP :] == color).all()
    assert (sheet[60:] < 128).any()  # the names
