"""Networks over pictures of any size: padding, tiles and their blending."""

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import randomized

from nets.ops.tiling import Tiling, inference, padded, ramp, ready, starts, tiled
from nets.unet import AlbuNet


@pytest.mark.parametrize("length", [1, 5, 63, 64, 65, 100, 127, 128, 129, 500, 1001])
@pytest.mark.parametrize("tile, overlap", [(64, 0), (64, 16), (64, 63), (7, 3), (1, 0)])
def test_tiles_cover_everything_and_overlap(length, tile, overlap):
    first = starts(length, tile, overlap)
    assert first[0] == 0
    assert first == sorted(set(first))
    ends = [start + tile for start in first]
    assert ends[-1] == length if length > tile else first == [0]
    for end, start in zip(ends, first[1:]):
        assert end - start >= overlap
    if length > tile:  # and not more tiles than needed
        assert len(first) == int(np.ceil((length - overlap) / (tile - overlap)))


def test_blending_weights():
    like = torch.empty(0)
    torch.testing.assert_close(ramp(8, 4, False, False, like), torch.tensor([0, 1, 3, 4, 4, 3, 1, 0]) / 4)
    torch.testing.assert_close(ramp(8, 4, True, False, like), torch.tensor([4, 4, 4, 4, 4, 3, 1, 0]) / 4)
    assert (ramp(8, 4, True, True, like) == 1).all()
    assert (ramp(8, 0, False, False, like) > 0).all()
    for overlap in (1, 2, 5, 16):  # where tiles overlap by exactly `overlap`: a linear cross-fade
        weights = ramp(40, overlap, False, False, like)
        torch.testing.assert_close(weights[:overlap] + weights[-overlap:], torch.ones(overlap))


class Blur(torch.nn.Module):
    """Looks `reach` px around and no farther; replicates the border of what it is given."""

    size_divisor, reach = 4, 6

    def __init__(self, out_channels=2):
        super().__init__()
        size = 2 * self.reach + 1
        kernel = torch.rand(out_channels, 1, size, size, generator=torch.Generator().manual_seed(1))
        self.kernel = kernel / kernel.sum((2, 3), keepdim=True)
        self.shapes = []

    def forward(self, x):
        assert x.shape[-1] % self.size_divisor == 0
        assert x.shape[-2] % self.size_divisor == 0
        self.shapes.append(tuple(x.shape))
        return F.conv2d(F.pad(x, (self.reach,) * 4, mode="replicate"), self.kernel)


@pytest.mark.parametrize("height, width", [(1, 1), (3, 50), (32, 31), (33, 65)])
def test_padding_is_repeated_edges_and_cut_off_again(height, width):
    net, x = Blur(), torch.rand(1, 1, height, width)
    output = padded(net, x, net.size_divisor)
    expected = F.conv2d(F.pad(x, (net.reach,) * 4, mode="replicate"), net.kernel)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("height, width", [(100, 140), (64, 200), (200, 30), (65, 64)])
def test_tiles_equal_the_whole_if_the_overlap_suffices(height, width):
    net, x = Blur(), torch.rand(1, 1, height, width)
    whole, parts = padded(net, x, net.size_divisor), tiled(net, x, net.size_divisor, 64, 4 * net.reach)
    assert parts.shape == whole.shape
    assert parts.dtype == torch.float32
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    assert len(net.shapes) > 2
    assert max(shape[-1] for shape in net.shapes[1:]) <= 64
    # With too little overlap there is a difference, at the rims of tiles only, and it fades in.
    error = (tiled(net, x, net.size_divisor, 64, 8) - whole).abs()
    assert 1e-5 < error.max() < 0.25
    assert (error > 1e-5).float().mean() < 0.5


class Pixelwise(torch.nn.Module):
    """Sees one pixel only: no overlap is too small."""

    def forward(self, x):
        return torch.cat([x.sin(), 3 * x], 1)


@pytest.mark.parametrize("height, width", [(100, 140), (33, 7), (1, 300), (64, 65)])
@pytest.mark.parametrize("tile, overlap", [(32, 0), (32, 8), (16, 15), (1000, 0)])
def test_blending_adds_up_to_one_everywhere(height, width, tile, overlap):
    net, x = Pixelwise(), torch.rand(2, 1, height, width)
    torch.testing.assert_close(tiled(net, x, 8, tile, overlap), net(x), rtol=0, atol=1e-5)


def test_a_network_over_tiles_is_close_to_the_whole():
    net = ready(randomized(AlbuNet(18, width=4, extra_levels=0)), torch.device("cpu"))
    x = F.interpolate(torch.rand(1, 1, 20, 24), (160, 192), mode="bilinear")
    with inference(torch.device("cpu")):
        whole, parts = padded(net, x, net.size_divisor), tiled(net, x, net.size_divisor, 128, 64)
    assert (parts - whole).abs().mean() < 0.1 * whole.std()


@pytest.mark.parametrize(
    "length, tile, overlap, grid",
    [(900, 384, 256, 64), (200, 64, 8, 8), (65, 64, 0, 16), (5000, 1024, 128, 64)],
)
def test_tiles_begin_on_the_grid_that_the_network_pools(length, tile, overlap, grid):
    first = starts(length, tile, overlap, grid)
    assert first[0] == 0
    assert all(start % grid == 0 for start in first)
    assert first[-1] < length <= first[-1] + tile
    assert all(0 < after - before <= tile - overlap for before, after in itertools.pairwise(first))
    assert len(first) <= -(-(length - overlap) // ((tile - overlap) // grid * grid)) + 1


def test_ready_is_a_folded_copy():
    net = randomized(AlbuNet(18, width=4)).train()
    before = copy.deepcopy(net.state_dict())
    copied = ready(net, torch.device("cpu"))
    assert net.training
    assert not copied.training
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    assert not any("running_mean" in name for name in copied.state_dict())


def test_precision():
    layer, device, x = torch.nn.Conv2d(1, 1, 3), torch.device("cpu"), torch.rand(1, 1, 5, 5)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with inference(device, precision):
            output = layer(x)
        assert output.dtype == dtype
        assert output.is_inference()
    assert layer(x).requires_grad


def test_tiles_get_smaller_when_memory_runs_out():
    tried, tiling = [], Tiling(1000, 400)

    def call(tile, overlap):
        tried.append((tile, overlap))
        if tile > 300:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return "done"

    assert tiling.run(call) == "done"
    assert tried == [(1000, 400), (500, 125), (250, 62)]
    (warning,) = tiling.warned()
    assert "250 px" in warning
    assert tiling.warned() == []
    # what has been learnt stays
    assert tiling.run(call) == "done"
    assert len(tried) == 4
    assert tiling.warned() == []

    def never(tile, overlap):
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(torch.cuda.OutOfMemoryError):
        tiling.run(never)
