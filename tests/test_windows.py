"""Windows around holes: what they contain, how little they cost, and that their results fit together."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import noise

import inpaint
from data.synthesis.holes import draw_holes
from nets.ops.filling import fill
from nets.ops.windows import Grid, shares, windows


def cracks(height, width, share=0.03, seed=0):
    """Holes (H, W) bool."""
    return draw_holes((height, width), np.random.default_rng(seed), (share / 2, share), ()) > 0


def all_holes():
    """name -> holes of many kinds, (H, W) bool."""
    far = np.zeros((300, 500), bool)
    far[:3, :3] = far[-1, -1] = far[150, 200:260] = True
    across = np.zeros((200, 700), bool)
    across[90:94] = True
    return {
        "far apart": far,
        "across": across,
        "cracks": cracks(400, 300),
        "dots": noise(150, 130, seed=3) > 250,
        "everything": np.ones((170, 90), bool),
        "one pixel": np.ones((1, 1), bool),
        "nothing": np.zeros((40, 50), bool),
    }


@pytest.mark.parametrize("tile, overlap", [(128, 32), (64, 0), (1024, 128), (20, 8), (40, 39)])
@pytest.mark.parametrize("name", all_holes())
def test_each_hole_is_in_one_window_with_its_surroundings(name, tile, overlap):
    holes = all_holes()[name]
    grid = Grid(holes.shape, 16, tile, overlap)
    count = np.zeros(holes.shape, int)
    for window in windows(torch.from_numpy(holes), grid):
        count[slice(*window.rows), slice(*window.columns)] += 1
        for span, seen, length in zip(
            (window.rows, window.columns), (window.seen_rows, window.seen_columns), holes.shape
        ):
            assert seen[1] - seen[0] <= tile
            assert seen[0] % grid.step == 0
            assert seen[0] <= max(0, span[0] - grid.context)
            assert seen[1] >= min(length, span[1] + grid.context)
    assert (count[holes] == 1).all()
    assert count.max(initial=0) <= 1


@pytest.mark.parametrize("name", ["across", "cracks", "everything"])
def test_shares_of_all_windows_add_up_to_one(name):
    holes = all_holes()[name]
    grid = Grid(holes.shape, 16, 96, 32)
    found, total = windows(torch.from_numpy(holes), grid), torch.zeros(holes.shape)
    for number, window in enumerate(found):
        share = shares(found, number, grid.context, "cpu")
        total[window.seen[1:]] += 1 if share is None else share
    assert len(found) > 1
    torch.testing.assert_close(total[torch.from_numpy(holes)], torch.ones(int(holes.sum())))


def seen_area(found):
    return sum(np.prod([b - a for a, b in (w.seen_rows, w.seen_columns)]) for w in found)


def test_windows_cost_less_than_tiles():
    holes = np.zeros((3000, 4000), bool)
    holes[np.arange(3000), np.arange(3000)] = True  # a scratch from a corner
    holes[100:104, 3500:3900] = True
    found = windows(torch.from_numpy(holes), Grid(holes.shape, 64, 1024, 128))
    assert seen_area(found) < 0.2 * holes.size
    assert len(found) < 40
    everywhere = windows(torch.ones(3000, 4000, dtype=torch.bool), Grid(holes.shape, 64, 1024, 128))
    assert len(everywhere) == 20
    assert seen_area(everywhere) < 1.35 * holes.size


def test_a_small_picture_is_one_window():
    found = windows(torch.from_numpy(cracks(512, 512, 0.1)), Grid((512, 512), 64, 1024, 128))
    assert [(window.seen_rows, window.seen_columns) for window in found] == [((0, 512), (0, 512))]


class Around(torch.nn.Module):
    """Fills holes with a mean of the valid pixels up to `reach` px away, and with structure of its own."""

    size_divisor, reach = 16, 8

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, picture, mask):
        self.shapes.append(tuple(picture.shape[-2:]))
        side = 2 * self.reach + 1
        near = F.avg_pool2d(picture * mask, side, 1, self.reach) / F.avg_pool2d(
            mask, side, 1, self.reach
        ).clamp_min(1e-3)
        return near + 0.1 * F.avg_pool2d(mask, 3, 1, 1)


@pytest.mark.parametrize("name", ["far apart", "across", "cracks", "dots"])
def test_windows_paint_what_the_whole_picture_would(name):
    """No seam between windows: exact if the network sees no farther than a quarter of the overlap."""
    holes = all_holes()[name]
    picture = torch.from_numpy(noise(*holes.shape).astype(np.float32) / 255)[None, None]
    valid = torch.from_numpy(~holes)[None, None]
    net = Around()
    whole = fill(net, picture.clone(), valid, 1024, 4096)
    assert all(shape[0] >= holes.shape[0] for shape in net.shapes)
    net.shapes.clear()
    parts = fill(net, picture.clone(), valid, 96, 32)
    assert len(net.shapes) > 1
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    assert torch.equal(parts[valid], picture[valid])
    assert not torch.equal(parts, picture)


def test_holes_apart_are_painted_as_in_the_whole_picture(portrait):
    """With the bundled weights: less than one step of 255, and other pixels keep their bits."""
    luma = np.tile(portrait[:256, :256, 0], (3, 3))[:700, :700].astype(np.float32) / 255
    mask = np.zeros((700, 700), np.uint8)
    mask[40:43, 30:150] = mask[600:640, 620:628] = mask[90:200, 640:644] = 255
    painters = [
        inpaint.load(inpaint.WEIGHTS, torch.device("cpu"), tile=1024, overlap=overlap, grain=False)
        for overlap in (1400, 128)
    ]
    areas = []
    for painter in painters:
        forward = painter.net.forward
        painter.net.forward = lambda x, mask, forward=forward: areas.append(x.numel()) or forward(x, mask)
    whole, parts = (painter.grey(luma, mask) for painter in painters)
    assert areas[0] == 704 * 704
    assert sum(areas[1:]) < 0.5 * areas[0]
    assert np.abs(whole - parts).max() < 1 / 255
    np.testing.assert_array_equal(parts[mask == 0], luma[mask == 0])
