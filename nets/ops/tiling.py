"""A trained network over a picture of any size: padded to the network's multiple, in overlapping tiles when
large.
"""

import copy
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F

from nets.norm import fold


def ready(net, device):
    """A copy of `net` for inference: norms folded into convolutions, channels last, on `device`."""
    return fold(copy.deepcopy(net).eval()).to(device, memory_format=torch.channels_last)


@contextmanager
def inference(device, precision: str = "fp32"):
    """Inference mode, under autocast when `precision` is bf16 or fp16."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if precision != "fp32":
            stack.enter_context(
                torch.autocast(device.type, {"bf16": torch.bfloat16, "fp16": torch.float16}[precision])
            )
        yield


class Tiling:
    """Side and overlap of a network's tiles in px; smaller ones as soon as the device's memory runs out."""

    least = 128

    def __init__(self, tile: int, overlap: int):
        self.tile, self.overlap, self.warnings = tile, overlap, []

    def run(self, call):
        """call(tile, overlap), which may be tried several times: from the start, with half the tile each
        time.
        """
        while True:
            try:
                return call(self.tile, self.overlap)
            except torch.cuda.OutOfMemoryError:
                if self.tile <= self.least:
                    raise
                self.tile = max(self.least, self.tile // 2)
                self.overlap = min(self.overlap, self.tile // 4)
            # Not in the handler: its traceback holds the tensors that filled the memory.
            torch.cuda.empty_cache()
            self.warnings.append(
                f"GPU memory ran out: done in tiles of {self.tile} px, which are used from here on"
            )

    def warned(self) -> list[str]:
        """The warnings since the last call."""
        warnings, self.warnings = self.warnings[-1:], []
        return warnings


def starts(length: int, tile: int, overlap: int, multiple: int = 1) -> list[int]:
    """First pixels of tiles of size `tile` that cover `length` and overlap by `overlap` or more, evenly
    spread.

    All are on the grid of `multiple`, so that the network pools the same pixels in every tile; the last tile
    may be shorter.
    """
    if length <= tile:
        return [0]
    multiple = multiple if multiple <= tile - overlap else 1
    furthest, last = (tile - overlap) // multiple, -(-(length - tile) // multiple)
    count = -(-last // furthest)
    return [index * last // count * multiple for index in range(count + 1)]


def ramp(size: int, overlap: int, first: bool, last: bool, like: torch.Tensor) -> torch.Tensor:
    """Blending weights along one side of a tile, (size,): rising over the overlap, flat where the picture
    ends.

    The outer quarter of the overlap weighs nothing: there the network sees the tile's rim in place of the
    picture.
    """
    rim = overlap // 4
    x = torch.arange(size, device=like.device, dtype=torch.float32) + 0.5 - rim
    rise = torch.full_like(x, 1.0) if first else (x / max(overlap - 2 * rim, 1)).clamp(0, 1)
    fall = torch.full_like(x, 1.0) if last else ((size - 2 * rim - x) / max(overlap - 2 * rim, 1)).clamp(0, 1)
    return rise * fall


def padded(net, x, multiple: int):
    """net(x) for any height and width: edges are repeated up to the multiple and cut off the output again."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")
    return net(x)[..., :height, :width]


def tiled(net, x, multiple: int, tile: int, overlap: int, wanted=None):
    """net over x (B, C, H, W) at the same scale, in tiles blended linearly over their overlap; (B, classes,
    H, W) float32.

    Equal to `padded` if the network's reach is at most a quarter of the overlap. tile and overlap in px.
    Tiles for which wanted(tile) is false are not computed; where they alone count, the result is 0.
    """
    return torch.cat(list(strips(net, x, multiple, tile, overlap, wanted)), 2)


def strips(net, x, multiple: int, tile: int, overlap: int, wanted=None):
    """The result of `tiled` from top to bottom, in strips (B, classes, rows, W), each as soon as no further
    tile covers it.

    x needs no more than a `shape` and tiles as its items, x[..., rows, columns]: it may make them when they
    are asked for.
    """
    height, width = x.shape[-2:]
    if height <= tile and width <= tile:
        yield padded(net, x[..., :height, :width], multiple).float()
        return
    tops, lefts = (starts(length, tile, overlap, multiple) for length in (height, width))
    result = weight = None  # of the rows that the tiles in work cover, from `top` on
    for top, following in zip(tops, [*tops[1:], height], strict=True):
        for left in lefts:
            part = x[..., top : top + tile, left : left + tile]
            rows = part.shape[-2]
            if weight is None:
                result = part.new_zeros(1, 1, rows, width, dtype=torch.float32)
                weight = torch.zeros(rows, width, device=part.device)
            if wanted is not None and not wanted(part):
                continue
            output = padded(net, part, multiple).float()
            down = ramp(rows, overlap, top == tops[0], top == tops[-1], part)
            across = ramp(output.shape[-1], overlap, left == lefts[0], left == lefts[-1], part)
            blend = down[:, None] * across[None, :]
            if result.shape[:2] != output.shape[:2]:
                result = result.expand(*output.shape[:2], -1, -1).clone()
            result[..., :rows, left : left + tile] += output * blend
            weight[:rows, left : left + tile] += blend
        ready = following - top
        yield result[..., :ready, :] / weight[:ready].clamp_min(1e-6)
        # What is left is the beginning of the next tiles' rows: no tile is higher than the first.
        result, weight = (
            F.pad(result[..., ready:, :], (0, 0, 0, ready)),
            F.pad(weight[ready:], (0, 0, 0, ready)),
        )


def enlarged(x, size: tuple[int, int], rows: slice):
    """These rows alone of x (B, C, h, w) brought to size (H, W), as F.interpolate does it: bilinear, corners
    not aligned.
    """
    height = x.shape[-2]
    place = (torch.arange(rows.start, rows.stop, device=x.device) + 0.5) * (height / size[0]) - 0.5
    place = place.clamp(0, height - 1)
    low = place.floor().long()
    lines = torch.lerp(x[..., low, :], x[..., (low + 1).clamp_max(height - 1), :], (place - low)[:, None])
    return F.interpolate(lines, (len(place), size[1]), mode="bilinear", align_corners=False)
