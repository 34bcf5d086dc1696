"""Luma, chroma and size of pixels."""

import numpy as np
import pytest
from PIL import Image

from data import pixels
from data.pixels import as_depth, luma, merge_chroma, resize, rgb8, rgb_to_ycbcr


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def test_luma_and_chroma_follow_the_formula():
    """Against Pillow's JPEG conversion, which is BT.601 full range in whole numbers."""
    rgb = noise(64, 64, 3)
    ours = rgb_to_ycbcr(rgb)
    theirs = np.asarray(Image.fromarray(rgb).convert("YCbCr")) / np.float32(255) - np.float32(
        [0, 128 / 255, 128 / 255]
    )
    assert np.abs(ours - theirs).max() < 1.5 / 255
    np.testing.assert_array_equal(ours[..., 0], luma(rgb))
    np.testing.assert_allclose(rgb_to_ycbcr(rgb / np.float32(255)), ours, atol=1e-6)
    pure = rgb_to_ycbcr(np.uint8([[[255, 0, 0], [0, 0, 255], [255, 255, 255], [0, 255, 255], [9, 9, 9]]]))[0]
    np.testing.assert_allclose(pure[0], [0.299, -0.299 / 1.772, 0.5], atol=1e-6)
    np.testing.assert_allclose(pure[1], [0.114, 0.5, -0.114 / 1.402], atol=1e-6)
    np.testing.assert_allclose(pure[2:, 0], [1, 0.701, 9 / 255], atol=1e-6)
    np.testing.assert_allclose(pure[[2, 4], 1:], 0, atol=1e-6)
    assert np.abs(ours[..., 1:]).max() <= 0.5
    assert luma(np.full((3, 3, 3), 255, np.uint8)).max() <= 1
    assert luma(np.uint16([[65535, 0]])).tolist() == [[1, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_merged_chroma_never_changes_luma(dtype):
    random = np.random.default_rng(0)
    y = random.random((300, 200), dtype=np.float32)  # more rows than one band
    y[:5], y[5:10] = 0, 1
    for cbcr in (
        random.uniform(-0.5, 0.5, (300, 200, 2)),
        random.choice([-0.5, 0, 0.5], (300, 200, 2)),
        random.normal(0, 3, (300, 200, 2)),  # far beyond any color
    ):
        rgb = merge_chroma(y, cbcr.astype(np.float32), dtype)
        top = np.iinfo(dtype).max
        assert rgb.dtype == dtype
        assert np.abs(luma(rgb) - y).max() * top <= 0.51


def test_chroma_inside_the_gamut_comes_back():
    rgb = noise(300, 200, 3)
    ycbcr = rgb_to_ycbcr(rgb)
    np.testing.assert_array_equal(merge_chroma(ycbcr[..., 0], ycbcr[..., 1:]), rgb)


def test_chroma_is_scaled_no_more_than_needed():
    y, chroma = np.full((1, 1), 0.9, np.float32), np.float32([[[0.1, 0.3]]])
    merged = rgb_to_ycbcr(merge_chroma(y, chroma, np.uint16))[0, 0]
    assert merged[2] / merged[1] == pytest.approx(3, rel=0.01)  # hue kept
    assert merge_chroma(y, chroma).max() == 255  # the limit is reached


@pytest.mark.parametrize("method", ["box", "bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize("size", [(37, 29), (300, 907), (2000, 1700), (3, 2)])
def test_resize_in_bands_is_pillows(method, size, monkeypatch):
    monkeypatch.setattr(pixels, "BAND", 1)  # bands of a few thousand px
    array = np.random.default_rng(0).random((1001, 313), dtype=np.float32)
    whole = np.asarray(Image.fromarray(array).resize(size, Image.Resampling[method.upper()]))
    np.testing.assert_allclose(resize(array, size, method), whole, atol=2e-6)


def test_resize():
    array = noise(64, 48, 2).astype(np.float32)
    half = resize(array, (24, 32), "box")
    assert half.shape == (32, 24, 2)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, array.reshape(32, 2, 24, 2, 2).mean((1, 3)), rtol=1e-5)
    stripes = np.tile(np.float32([0, 1]), (32, 64))
    assert np.abs(resize(stripes, (16, 8), "bilinear") - 0.5).max() < 0.1  # antialiased, no moire
    assert resize(stripes[..., None], (16, 8), "lanczos").shape == (8, 16, 1)
    np.testing.assert_array_equal(resize(stripes, (128, 32), "bilinear"), stripes)


def test_16_bits_are_rounded_to_8():
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    rounded = np.rint(deep / 257)
    np.testing.assert_array_equal(as_depth(deep, np.uint8), rounded)
    np.testing.assert_array_equal(rgb8(deep)[..., 0], rounded)
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(as_depth(as_depth(levels, np.uint16), np.uint8), levels)
