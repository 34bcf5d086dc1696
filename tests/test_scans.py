"""Whole scans and lettering: borders, mounts and writing are not damage; damage that runs over them is."""

import numpy as np
import pytest
from PIL import Image

from data.synthesis import defects, emulsion, faces, lettering, reproductions, scans, shares
from data.synthesis.canvas import Canvas
from data.synthesis.scans import compose

SIDE = 160


def picture(height=SIDE, width=SIDE):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (0.5 + 0.15 * np.sin(x / 23) * np.cos(y / 31)).astype(np.float32)


def seeded(*seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("setting", scans.SETTINGS)
def test_a_scan_is_the_photograph_and_what_is_around_it(setting):
    photo, kept = picture(), []
    for number in range(12):
        scan = compose(photo, seeded(1, number), setting)
        assert scan.picture.shape == photo.shape
        assert scan.picture.dtype == np.float32
        assert scan.picture.min() >= 0
        assert scan.picture.max() <= 1
        kept.append((np.abs(scan.picture - photo) < 0.004).mean())
    assert np.array_equal(photo, picture())
    assert 0.15 < np.mean(kept) < 0.95
    assert min(kept) < 0.9


@pytest.mark.parametrize("shape", [(32, 32), (97, 203), (384, 384)])
def test_the_same_seed_gives_the_same_scan(shape):
    for number in range(10):
        first, again = (compose(picture(*shape), seeded(2, number)) for _ in range(2))
        assert np.array_equal(first.picture, again.picture)
        assert not np.array_equal(first.picture, compose(picture(*shape), seeded(3, number)).picture)


def test_borders_and_lettering_are_not_marked():
    for number in range(30):
        _, mask = defects.sample(
            picture(), seeded(4, number), clean_share=1.0, negative_share=1.0, scan_share=1.0
        )
        assert not mask.any()


def test_damage_over_a_border_is_marked():
    """A scratch across the print is marked in the photograph and in its border alike."""
    seen = 0
    for number in range(40):
        scan = compose(picture(), seeded(5, number), "snapshot")
        clean = scan.picture
        border = np.abs(clean - picture()) > 0.1
        border &= np.minimum.reduce(scan.papers) < -2
        painted = defects._paint(clean, seeded(6, number), None, ["cracks", "folds"], 0.9, scan)
        mask = defects._marked(painted, clean)
        changed = np.abs(painted.picture - clean) > 0.15
        if (border & changed).sum() > 30:
            seen += 1
            assert (mask[border & changed] == 255).mean() > 0.9
        sound = border & (np.abs(painted.picture - clean) < 0.02)
        assert (mask[sound] == 255).sum() <= 0.03 * sound.sum()
    assert seen >= 3


def test_what_lies_beside_the_paper_is_hardly_ever_damaged(monkeypatch):
    monkeypatch.setattr(shares, "ON_GLASS_SHARE", 0.0)
    for number in range(20):
        scan = compose(picture(), seeded(7, number), "snapshot")
        beside = np.minimum.reduce(scan.papers) > 1
        painted = defects._paint(
            scan.picture, seeded(8, number), None, ["dust", "light_scratches"], 0.9, scan
        )
        np.testing.assert_allclose(painted.picture[beside], scan.picture[beside], atol=1e-6)


@pytest.mark.parametrize("kind", defects.TORN)
def test_a_tear_of_a_sheet_shows_what_lay_behind(kind):
    """Where the paper is gone the scan is as it was without the sheet, or shows torn fibers; beside the sheet
    nothing changes.
    """
    marked = 0
    for number in range(16):
        scan = compose(picture(), seeded(9, number), "snapshot")
        (sheet,) = scan.sheets
        painted = defects._paint(scan.picture, seeded(10, number), None, [kind], 0.6, scan)
        changed = np.abs(painted.picture - scan.picture) > 0.01
        assert not changed[sheet.distance > 1].any()
        marked += defects._marked(painted, scan.picture).any()
    assert marked >= 5


def test_the_share_of_scans(monkeypatch):
    drawn = []
    monkeypatch.setattr(scans, "compose", lambda photo, rng: drawn.append(1) or compose(photo, rng))
    for number in range(200):
        defects.sample(picture(64, 64), seeded(11, number))
    assert abs(len(drawn) / 200 - shares.SCAN_SHARE) < 0.12


@pytest.mark.parametrize("write", set(lettering.PIECES), ids=lambda write: write.__name__)
def test_lettering_is_ink_that_fills_its_box(write):
    for number in range(8):
        ink = lettering.piece(seeded(12, number), 14, (write,))
        again = lettering.piece(seeded(12, number), 14, (write,))
        assert np.array_equal(ink, again)
        assert ink.dtype == np.float32
        assert 0 <= ink.min() <= ink.max() <= 1
        assert 0.01 < ink.mean() < 0.8
        assert min(ink.shape) >= 5


def test_ink_is_laid_where_it_belongs():
    ground, ink = np.full((60, 80), 0.2, np.float32), np.ones((10, 20), np.float32)
    lettering.lay(ground, ink, (40, 30), 0.0, 0.9)
    assert (ground[25:35, 30:50] == np.float32(0.9)).all()
    assert (ground == np.float32(0.2)).sum() == 60 * 80 - 200
    lettering.lay(ground, ink, (-100, 30), 0.0, 0.9)  # beside the picture
    lettering.lay(ground, ink, (80, 60), 0.0, 0.9)  # over its rim
    assert (ground[55:, 70:] == np.float32(0.9)).all()


def test_cells_are_even_inside_and_far_from_each_other_in_the_middle():
    value, edge = emulsion.cells((120, 140), seeded(13), 20)
    assert value.shape == edge.shape == (120, 140)
    assert 20 < len(np.unique(value)) < 90
    inside = edge[1:-1, 1:-1] > 1.5
    assert (value[1:-1, 1:-1] == value[1:-1, 2:])[inside].mean() > 0.99
    assert edge.min() >= 0
    assert 4 < edge.max() < 20


def test_a_print_in_dots_keeps_its_tones():
    """From afar a halftone print has the tones of the photograph, near it has black and white."""
    spreads = []
    for number in range(10):
        canvas = Canvas(
            np.linspace(0, 1, SIDE, dtype=np.float32) * np.ones((SIDE, 1), np.float32), seeded(14)
        )
        reproductions.halftone(canvas, seeded(14, number))
        small = np.asarray(Image.fromarray(canvas.picture).reduce(32))
        assert (np.diff(small.mean(0)) > -0.02).all()
        spreads.append(canvas.picture[:, SIDE // 2].std())
    assert np.mean(spreads) > 0.15


def test_pearls_hang_in_a_row():
    """They are lighter or darker than a grey ground, and many."""
    changes = []
    for number in range(12):
        canvas = Canvas(np.full((SIDE, SIDE), 0.5, np.float32), seeded(15, number))
        faces.pearls(canvas, seeded(16, number))
        changes.append((np.abs(canvas.picture - 0.5) > 0.1).sum())
    assert np.median(changes) > 30
