"""Runs a network on pictures of any size: padded to its size divisor, in tiles if large."""

import copy
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F

from nets.norm import fold

BAND = 256  # rows processed at a time, so that temporaries stay small compared to the picture; even
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def ready(net, device):
    """A copy of `net` for inference: norms folded into convolutions, channels last, on `device`."""
    return fold(copy.deepcopy(net).eval()).to(device, memory_format=torch.channels_last)


@contextmanager
def inference(device, precision: str = "fp32"):
    """Inference mode, under autocast if `precision` is bf16 or fp16."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if precision != "fp32":
            stack.enter_context(torch.autocast(device.type, DTYPES[precision]))
        yield


class Tiling:
    """Side and overlap of a network's tiles in px, halved whenever GPU memory runs out."""

    min_tile = 128

    def __init__(self, tile: int, overlap: int):
        self.tile = tile
        self.overlap = overlap
        self.warnings = []

    def run(self, call):
        """The result of call(tile, overlap), repeated from the start with half the tile while GPU memory runs
        out.

        Raises torch.cuda.OutOfMemoryError if even tiles of `min_tile` do not fit.
        """
        while True:
            try:
                return call(self.tile, self.overlap)
            except torch.cuda.OutOfMemoryError:
                if self.tile <= self.min_tile:
                    raise
                self.tile = max(self.min_tile, self.tile // 2)
                self.overlap = min(self.overlap, self.tile // 4)
            # Outside the handler, whose traceback keeps alive the tensors that filled the memory.
            torch.cuda.empty_cache()
            self.warnings.append(
                f"GPU memory ran out: switched to tiles of {self.tile} px for the rest of the run"
            )

    def warned(self) -> list[str]:
        """The last warning since the previous call, if any."""
        warnings, self.warnings = self.warnings[-1:], []
        return warnings


def starts(length: int, tile: int, overlap: int, grid: int = 1) -> list[int]:
    """First pixels of tiles that cover `length`, evenly spread, each overlapping the next by `overlap` or
    more.

    All are multiples of `grid`, so that the network pools the same pixels in every tile. The last tile may be
    shorter than `tile`.
    """
    if length <= tile:
        return [0]
    grid = grid if grid <= tile - overlap else 1
    step = (tile - overlap) // grid  # largest step, in units of the grid
    last = -(-(length - tile) // grid)
    count = -(-last // step)
    return [index * last // count * grid for index in range(count + 1)]


def ramp(size: int, overlap: int, first: bool, last: bool, like: torch.Tensor) -> torch.Tensor:
    """Blending weights along one side of a tile, (size,): linear over the overlap, 1 where the picture ends.

    The outer quarter of the overlap has weight 0: the network sees the tile's padding there.
    """
    rim = overlap // 4
    width = max(overlap - 2 * rim, 1)
    x = torch.arange(size, device=like.device, dtype=torch.float32) + 0.5 - rim
    rise = torch.full_like(x, 1.0) if first else (x / width).clamp(0, 1)
    fall = torch.full_like(x, 1.0) if last else ((size - 2 * rim - x) / width).clamp(0, 1)
    return rise * fall


def bands(height: int) -> list[slice]:
    """The rows of a picture in parts of `BAND`."""
    return [slice(top, min(top + BAND, height)) for top in range(0, height, BAND)]


def padded(net, x, size_divisor: int):
    """net(x) for any height and width: edges are replicated up to the divisor, and the output is cropped."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % size_divisor, 0, -height % size_divisor), mode="replicate")
    return net(x)[..., :height, :width]


def tiled(net, x, size_divisor: int, tile: int, overlap: int):
    """net over x (B, C, H, W) in tiles, blended linearly over their overlap: (B, out_channels, H, W) float32.

    Equal to `padded` if the network's receptive field reaches at most a quarter of the overlap. The output
    must have the size of the input. tile, overlap: px.
    """
    return torch.cat(list(strips(net, x, size_divisor, tile, overlap)), 2)


def strips(net, x, size_divisor: int, tile: int, overlap: int):
    """The result of `tiled` from top to bottom, in strips (B, out_channels, rows, W), each as soon as it is
    complete.

    x needs `shape` and indexing, x[..., rows, columns], so it may compute tiles on demand.
    """
    height, width = x.shape[-2:]
    if height <= tile and width <= tile:
        yield padded(net, x[..., :height, :width], size_divisor).float()
        return
    tops = starts(height, tile, overlap, size_divisor)
    lefts = starts(width, tile, overlap, size_divisor)
    total = weight = None  # weighted sum and weights of the rows from `top` to the end of its tiles
    for top, following in zip(tops, [*tops[1:], height], strict=True):
        for left in lefts:
            part = x[..., top : top + tile, left : left + tile]
            rows = part.shape[-2]
            if weight is None:
                total = part.new_zeros(1, 1, rows, width, dtype=torch.float32)
                weight = torch.zeros(rows, width, device=part.device)
            output = padded(net, part, size_divisor).float()
            down = ramp(rows, overlap, top == tops[0], top == tops[-1], part)
            across = ramp(output.shape[-1], overlap, left == lefts[0], left == lefts[-1], part)
            blend = down[:, None] * across[None, :]
            if total.shape[:2] != output.shape[:2]:  # the first output has the batch size and channels
                total = total.expand(*output.shape[:2], -1, -1).clone()
            total[..., :rows, left : left + tile] += output * blend
            weight[:rows, left : left + tile] += blend
        done = following - top
        yield total[..., :done, :] / weight[:done].clamp_min(1e-6)
        # The other rows are the first ones of the next tiles. No later tile is taller than the first.
        total = F.pad(total[..., done:, :], (0, 0, 0, done))
        weight = F.pad(weight[done:], (0, 0, 0, done))


def enlarged(x, size: tuple[int, int], rows: slice):
    """The given rows of x (B, C, h, w) resized to (H, W), without computing the others: (B, C, rows, W).

    Equal to F.interpolate with bilinear, align_corners=False.
    """
    height = x.shape[-2]
    position = (torch.arange(rows.start, rows.stop, device=x.device) + 0.5) * (height / size[0]) - 0.5
    position = position.clamp(0, height - 1)
    above = position.floor().long()
    below = (above + 1).clamp_max(height - 1)
    lines = torch.lerp(x[..., above, :], x[..., below, :], (position - above)[:, None])
    return F.interpolate(lines, (len(position), size[1]), mode="bilinear", align_corners=False)
