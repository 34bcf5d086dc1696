"""The round by hand on a real damaged photograph, where a folder of such photographs lies beside the
checkout.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import restore
from data.photo import read_photo

PHOTO = Path(__file__).parents[2] / "shared" / "data" / "val" / "labelled" / "images" / "r_latent_003.png"


@pytest.mark.skipif(not PHOTO.exists(), reason="there is no real damaged photograph beside the checkout")
def test_a_mask_edited_by_hand_changes_only_what_was_edited(tmp_path):
    assert (
        restore.main(
            [str(PHOTO), str(tmp_path / "first"), "--only", "mask", "--only", "restored", "--no-grain"]
        )
        == 0
    )
    found = Image.open(tmp_path / "first/r_latent_003_mask.png")
    mask = found.copy()
    box = 60, 300, 160, 340
    assert not np.asarray(mask.crop(box)).all()
    ImageDraw.Draw(mask).ellipse(box, 255)
    mask.save(tmp_path / "edited.png")
    words = [
        str(PHOTO),
        str(tmp_path / "second"),
        "--mask",
        str(tmp_path / "edited.png"),
        "--only",
        "restored",
        "--no-grain",
    ]
    assert restore.main(words) == 0
    original, second = (
        read_photo(path).pixels.astype(int) for path in (PHOTO, tmp_path / "second/r_latent_003_restored.png")
    )
    first = read_photo(tmp_path / "first/r_latent_003_restored.png").pixels.astype(int)
    painted, before = np.asarray(mask) == 255, np.asarray(found) == 255
    assert (original == second)[~painted].all()
    assert (original != second)[painted & ~before].mean() > 0.5  # what was drawn is repaired
    far = np.ones_like(painted)
    far[box[1] - 64 : box[3] + 64, : box[2] + 64] = False
    # of 255; what is far away stays as it was painted
    assert (painted & far).any() and np.abs(first - second)[far].max() <= 3
