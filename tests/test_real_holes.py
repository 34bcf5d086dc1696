"""Holes of the inpaint samples that are cut from real masks."""

import numpy as np
import pytest
from conftest import save, square

from data.datasets import InpaintSamples
from data.errors import PhotoError


def samples_of(data, mask_share=1.0, **changes):
    return InpaintSamples(data, seed=0, side=64, hole_share=(0.02, 0.3), mask_share=mask_share, **changes)


@pytest.fixture
def folder(tmp_path, portrait):
    """Photographs without labelled masks."""
    save(tmp_path / "data/clean/a.png", portrait)
    return tmp_path / "data"


def bars(height=200, width=160, step=20):
    """A mask of vertical bars, 4 of every 20 px."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, np.arange(width) % step < 4] = 255
    return mask


def test_real_masks_are_taken_and_turned(folder):
    """Bars stay straight: every crop has them along one direction, over all crops along both, at several
    scales.
    """
    save(folder.parent / "masks/a.png", bars())
    samples, directions, runs = samples_of(folder, masks=folder.parent / "masks"), set(), []
    for number in range(24):
        holes = (samples[number]["mask"][0] == 0).numpy()
        along = [bool((holes == holes[:1]).all()), bool((holes == holes[:, :1]).all())]
        assert any(along)
        assert 0.02 <= holes.mean() <= 0.3
        directions.add(along.index(True))
        runs.append(np.abs(np.diff((holes[0] if along[0] else holes[:, 0]).astype(int))).sum())
    assert directions == {0, 1}
    assert max(runs) >= 1.8 * min(runs)


def test_where_masks_come_from(folder, portrait):
    masks = folder.parent / "masks"
    save(masks / "a_mask.png", bars())
    # as segment.py infer leaves it beside the mask
    save(masks / "a_probability.png", np.full((50, 50), 255, np.uint8))
    save(masks / "clean_mask.png", np.zeros((50, 50), np.uint8))
    assert len(samples_of(folder).masks) == 0
    assert len(samples_of(folder, masks=masks).masks) == 1
    for kind, picture in (("images", portrait[:50, :50]), ("masks", square(50, 50))):
        save(folder / f"labelled/{kind}/x.png", picture)
    assert len(samples_of(folder).masks) == 1
    assert len(samples_of(folder, masks=masks).masks) == 2


def test_ignored_pixels_are_no_holes(folder):
    mask = bars()
    mask[:, 80:] = 128
    save(folder.parent / "masks/a.png", mask)
    ((packed, shape),) = samples_of(folder, masks=folder.parent / "masks").masks
    np.testing.assert_array_equal(np.unpackbits(packed, axis=1, count=shape[1]), mask == 255)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_mask_share(folder, share):
    save(folder.parent / "masks/a.png", bars())
    samples, calls = samples_of(folder, masks=folder.parent / "masks", mask_share=share), []
    real = samples._real
    samples._real = lambda rng: calls.append(1) or real(rng)
    for number in range(20):
        samples[number]
    assert len(calls) == 20 * share if share != 0.5 else 4 <= len(calls) <= 16


def test_real_masks_outside_the_range_are_not_used(folder):
    """A mask that is nearly all hole, and a speck: what is drawn in their place keeps to the range."""
    for name, mask in (
        ("much", 255 - square(box=np.s_[:2, :2])),
        ("little", square(300, 300, np.s_[7:8, 9:10])),
    ):
        save(folder.parent / f"{name}/a.png", mask)
        samples = samples_of(folder, masks=folder.parent / name)
        assert len(samples.masks) == 1
        for number in range(6):
            assert 0.015 <= float((samples[number]["mask"] == 0).float().mean()) <= 0.3


def test_masks_that_cannot_be_used_are_named(folder, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(PhotoError, match=f"{tmp_path}/none: no masks"):
        samples_of(folder, masks=tmp_path / "none")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/cut.png").write_bytes(b"\x89PNG")
    with pytest.raises(PhotoError, match=r"bad/cut\.png: "):
        samples_of(folder, masks=tmp_path / "bad")
