"""A trained network over a picture of any size: padded to the network's multiple, in overlapping tiles when large."""

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
            stack.enter_context(torch.autocast(device.type, {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]))
        yield


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels of tiles of size `tile` that cover `length` and overlap by `overlap` or more, evenly spread."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def ramp(size: int, overlap: int, first: bool, last: bool, like: torch.Tensor) -> torch.Tensor:
    """Blending weights along one side of a tile, (size,): rising over the overlap, flat where the picture ends.

    The outer quarter of the overlap weighs nothing: there the network sees the tile's rim in place of the picture.
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
    """net over x (B, C, H, W) at the same scale, in tiles blended linearly over their overlap; (B, classes, H, W) float32.

    Equal to `padded` if the network's reach is at most a quarter of the overlap. tile and overlap in px. Tiles for which
    wanted(tile) is false are not computed; where they alone count, the result is 0.
    """
    height, width = x.shape[-2:]
    if height <= tile and width <= tile:
        return padded(net, x, multiple).float()
    result, weight = x.new_zeros(1, 1, height, width, dtype=torch.float32), torch.zeros(height, width, device=x.device)
    tops, lefts = starts(height, tile, overlap), starts(width, tile, overlap)
    for top in tops:
        for left in lefts:
            here = (..., slice(top, top + tile), slice(left, left + tile))
            if wanted is not None and not wanted(x[here]):
                continue
            output = padded(net, x[here], multiple).float()
            rows = ramp(output.shape[-2], overlap, top == tops[0], top == tops[-1], x)
            columns = ramp(output.shape[-1], overlap, left == lefts[0], left == lefts[-1], x)
            blend = rows[:, None] * columns[None, :]
            if result.shape[:2] != output.shape[:2]:
                result = result.expand(*output.shape[:2], -1, -1).clone()
            result[here] += output * blend
            weight[here[1:]] += blend
    return result / weight.clamp_min(1e-6)
