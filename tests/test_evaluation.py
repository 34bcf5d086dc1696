"""Photographs for `eval`, read small."""

import pytest
from conftest import noise, save

from data import evaluation


@pytest.mark.parametrize("size", [(4000, 3), (3, 4000)])
def test_thin_photographs_keep_a_pixel(tmp_path, size):
    width, height = size
    path = save(tmp_path / "thin.png", noise(height, width, 3))
    small = (1, evaluation.SIDE) if width > height else (evaluation.SIDE, 1)
    assert evaluation.read_grey(path).shape == small
    assert evaluation.read_color(path).shape == (*small, 3)
