"""What surrounds a picture: borders of prints and rims of negatives, undamaged however sharp they are."""

import numpy as np

from data.synthesis.canvas import Canvas
from data.synthesis.prints import film_edge, framed

SIDE = 192


def film(seed):
    """A grey picture as a negative with its black rim, (SIDE, SIDE) in [0, 1]."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(np.full((SIDE, SIDE), 0.5, np.float32), rng)
    film_edge(canvas, rng)
    return np.clip(canvas.picture, 0, 1)


def holes_along(line):
    """Centres of the runs that are lighter than the black of the rim, (N,), of one row or column of it."""
    light = np.concatenate([[False], line > 0.17, [False]])
    edges = np.flatnonzero(np.diff(light.astype(int)))
    return edges.reshape(-1, 2).mean(1)


def perforated(column):
    """If a column of pixels is a black rim with holes in equal steps. A number is written along rows."""
    centers = holes_along(column)[1:-1]  # those at the ends may be cut
    steps = np.diff(centers)
    return len(steps) >= 3 and np.ptp(steps) <= 1 and (column < 0.13).mean() > 0.1


def test_film_is_perforated_along_two_sides():
    both = either = 0
    for seed in range(100):
        picture = film(seed)
        left, right = (any(map(perforated, part.T)) for part in (picture[:, :14], picture[:, -14:]))
        both += left and right
        either += left or right
    assert either > 10  # half of the negatives have perforations, half of those on the left and on the right
    assert both > 3  # where both sides have a rim


def test_the_rim_of_film_is_black_and_the_picture_stays():
    pictures = np.stack([film(seed) for seed in range(30)])
    assert (pictures[:, 60:-60, 60:-60] == 0.5).all()
    rims = np.concatenate([pictures[:, :4].reshape(30, -1), pictures[:, -4:].reshape(30, -1)], 1)
    assert ((rims < 0.15).mean(1) > 0.2).mean() > 0.5


def test_a_frame_has_no_color():
    luma, cbcr = np.full((64, 64), 0.5, np.float32), np.full((2, 64, 64), 0.2, np.float32)
    for seed in range(10):
        chroma = cbcr.copy()
        picture = framed(luma, chroma, np.random.default_rng(seed))
        changed = np.abs(picture - luma) >= 1e-3
        assert (chroma[:, changed] == 0).all()
        assert (chroma[:, ~changed] == np.float32(0.2)).all()
