"""Color samples: portraits from cutouts, backgrounds and overlays, dyed clothes, exposures, hints."""

from unittest import mock

import numpy as np
import pytest
import torch
from conftest import noise
from PIL import Image

from data import datasets
from data.datasets import ColorizeSamples
from data.errors import PhotoError
from data.pixels import rgb_to_ycbcr
from data.portraits import overlay, replace_paper


def flat(path, color, size=(64, 64), box=None, mode="RGB"):
    """A picture of one color, or white (transparent, for RGBA) with a box of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new(mode, size, (255, 255, 255, 0)[: len(mode)] if box else color)
    if box:
        picture.paste(color, box)
    picture.save(path)


def samples(folder, number=40, side=32, **options):
    """Without the frames that some of them have."""
    dataset = ColorizeSamples(folder, seed=0, side=side, **options)
    with mock.patch.object(datasets, "FRAMED_SHARE", 0.0):
        return [dataset[index] for index in range(number)]


def near(cbcr, color, within=0.03):
    """Share of pixels of the chroma (2, H, W) that have a color's."""
    target = rgb_to_ycbcr(np.array([[color]], np.uint8))[0, 0, 1:]
    return float((np.hypot(*(cbcr.numpy() - target[:, None, None])) < within).mean())


def test_cutouts_stand_before_backgrounds(tmp_path):
    grey, red, green = (128,) * 3, (200, 40, 40), (40, 160, 60)
    flat(tmp_path / "clean/a.png", grey)
    flat(tmp_path / "cutouts/a.png", red, box=(16, 16, 48, 48))
    flat(tmp_path / "backgrounds/a.png", green)
    rows = [(near(s["cbcr"], red), near(s["cbcr"], green), near(s["cbcr"], grey)) for s in samples(tmp_path)]
    cut = [row for row in rows if row[0] > 0]
    assert 4 <= len(cut) <= 18
    assert all(row[2] == 1 for row in rows if row not in cut)
    assert sum(row[1] > 0 for row in cut) > len(cut) / 2
    assert all(row[0] + row[1] > 0.8 and row[2] < 0.1 for row in cut)


def test_a_white_shirt_is_no_background(tmp_path):
    picture = np.ones((32, 32, 3), np.float32)
    picture[8:, 8:24] = 0.3
    picture[12:20, 12:20] = 1  # white, but not connected with the border
    result = replace_paper(picture, np.full_like(picture, 0.6))
    np.testing.assert_allclose(result[:6], 0.6, atol=1e-6)
    np.testing.assert_allclose(result[:, :6], 0.6, atol=1e-6)
    np.testing.assert_array_equal(result[10:, 10:22], picture[10:, 10:22])


def test_overlays_lie_on_portraits_only(tmp_path):
    gold = (250, 200, 20)
    flat(tmp_path / "clean/people/a.png", (128,) * 3)
    flat(tmp_path / "clean/scenes/a.png", (90, 90, 160))
    flat(tmp_path / "overlays/medal.png", (*gold, 255), box=(8, 8, 56, 56), mode="RGBA")
    laid = {"people": 0, "scenes": 0}
    for sample in samples(tmp_path, number=60):
        scene = near(sample["cbcr"], (90, 90, 160)) > 0.5
        yellow = (sample["cbcr"][0] < -0.1).float().mean()
        assert yellow < 0.3
        laid["scenes" if scene else "people"] += int(yellow > 0)
    assert laid["scenes"] == 0
    assert 3 <= laid["people"] <= 20


def test_dark_blue_coats_get_other_colors_and_skies_stay(tmp_path):
    navy, sky = (30, 35, 70), (120, 160, 220)
    for color, name, expected in ((navy, "people", 0.5), (sky, "people", 1.0), (navy, "scenes", 1.0)):
        folder = tmp_path / f"{name}-{expected}"
        flat(folder / f"clean/{name}/a.png", color)
        (folder / "clean/people").mkdir(exist_ok=True)
        blue = np.mean([near(sample["cbcr"], color, 0.02) > 0.9 for sample in samples(folder)])
        assert abs(blue - expected) < 0.2 if expected < 1 else blue == 1


def test_prints_of_one_photograph_differ_in_exposure(tmp_path):
    flat(tmp_path / "clean/a.png", (128,) * 3)
    means = [float(sample["luma"].mean()) for sample in samples(tmp_path)]
    assert min(means) < 0.38
    assert max(means) > 0.62


def test_hints_of_samples(data_folder):
    rows = samples(data_folder, hint_share=0.5)
    hints = [sample["hints"] for sample in rows]
    assert all(x.shape == (3, 32, 32) and x.dtype == torch.float32 for x in hints)
    assert 10 <= sum(bool(x.any()) for x in hints) <= 30
    for sample in rows:
        where = sample["hints"][2] == 1
        assert (sample["hints"][:2, where] - sample["cbcr"][:, where]).norm(dim=0).le(0.121).all()
    assert "hints" not in samples(data_folder, number=1, hint_share=0)[0]


def test_unreadable_parts_are_named(data_folder, tmp_path):
    flat(tmp_path / "clean/a.png", (128,) * 3)
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays/cut.png").write_bytes((data_folder / "clean/people/a.png").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"overlays/cut.png: "):
        samples(tmp_path)


def test_an_overlay_for_which_pillow_raises_an_odd_error_is_named(tmp_path):
    """A broken chunk of a PNG gives a SyntaxError."""
    path, rng = tmp_path / "badge.png", np.random.default_rng(0)
    Image.fromarray(noise(300, 300, 4)).save(path)
    content = bytearray(path.read_bytes())
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    content[second : second + 4] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"badge\.png: broken PNG file"):
        overlay(np.zeros((64, 64, 3), np.float32), path, rng)


def test_an_overlay_that_cannot_be_converted_is_named(tmp_path):
    Image.new("F", (20, 20)).save(tmp_path / "badge.tif")
    with pytest.raises(PhotoError, match=r"badge\.tif: floating-point pixels"):
        overlay(np.zeros((64, 64, 3), np.float32), tmp_path / "badge.tif", np.random.default_rng(0))
