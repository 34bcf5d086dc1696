"""Measures each optimization of inference: the same work with and without it, alternating (A B A B).

    python benchmarks/optimizations.py [--rounds 7] [--threads 1] [--store]   prints one JSON object

`ratio`: processor time with the optimization / without it, the median over pairs, with `quartiles` and the
number of pairs `n`. Below 1 the optimization is faster. Optimizations that were tried and dropped are
measured in the same way.
"""

import io
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import colorize
import inpaint
import segment
from benchmarks import record
from benchmarks.example import EXAMPLE, photograph
from benchmarks.timing import compare
from data import formats
from engine import allocator
from engine.networks import load_net
from nets.ops import filling
from nets.ops.tiling import ready

CPU = torch.device("cpu")
STAGES = {segment: (1, 1, 512, 512), inpaint: (1, 1, 512, 512), colorize: (1, None, 256, 256)}


def network(stage):
    """The bundled network of a stage."""
    return load_net(stage.WEIGHTS, stage.STAGE, stage.build)[0]


def inputs(stage, net) -> list:
    """Random inputs of the size in STAGES."""
    torch.manual_seed(0)
    batch, channels, *size = STAGES[stage]
    x = torch.rand(batch, channels or net.channels, *size)
    return [x, (torch.rand(batch, 1, *size) > 0.05).float()] if stage is inpaint else [x]


def forward(net, given, mode=torch.inference_mode):
    def call():
        with mode():
            net(*given)

    return call


def layouts(stage):
    """Channels last against channels first."""
    net = ready(network(stage), CPU)
    channels_first = ready(network(stage), CPU).to(memory_format=torch.contiguous_format)
    given = inputs(stage, net)
    last = [x.to(memory_format=torch.channels_last) for x in given]
    return forward(net, last), forward(channels_first, given)


def folding():
    """Norms folded into convolutions, against norms of their own."""
    net = network(segment)
    given = [x.to(memory_format=torch.channels_last) for x in inputs(segment, net)]
    return forward(ready(net, CPU), given), forward(net.to(memory_format=torch.channels_last), given)


def modes():
    """Inference mode against no_grad."""
    net = ready(network(segment), CPU)
    given = inputs(segment, net)
    return forward(net, given), forward(net, given, torch.no_grad)


def autocast():
    """bf16 against fp32."""
    luma, _ = photograph((512, 512))
    return tuple(
        partial(segment.make_finder(network(segment), CPU, precision=precision, tta=False), luma)
        for precision in ("bf16", "fp32")
    )


def windows_around_holes():
    """The damage found in the example, enlarged to 2048 px, against windows that cover all of it."""
    luma, _ = photograph((2048, 2048))
    finder = segment.make_finder(network(segment), CPU, tta=False)
    damage = finder.mask(finder(luma), (2048, 2048), 0.33, segment.DILATE)
    mask = np.where(damage, 255, 0).astype(np.uint8)
    painter = inpaint.Painter(network(inpaint), CPU, grain=False)
    windows = filling.windows

    def everywhere():
        filling.windows = lambda holes, grid: windows(torch.ones_like(holes), grid)
        try:
            painter.grey(luma, mask)
        finally:
            filling.windows = windows

    return lambda: painter.grey(luma, mask), everywhere


def distances():
    """What is deep in holes by growing distances, against a wide maximum."""
    valid = torch.from_numpy(photograph((2048, 2048))[1] == 0)[None, None]
    reach = filling.REACH

    def pooled():
        near = F.max_pool2d(valid.float(), (2 * reach + 1, 1), 1, (reach, 0))
        return F.max_pool2d(near, (1, 2 * reach + 1), 1, (0, reach)) == 0

    return lambda: filling.inner(valid, slice(0, 2048)), pooled


def scan_tiles():
    """Tiles of 512 px against 1024 px on a scan of 16 megapixels with cracks."""
    luma, holes = photograph((4096, 4096))
    mask = np.where(np.arange(4096)[:, None] // 512 % 4 == 0, holes, 0).astype(np.uint8)
    painters = [
        inpaint.Painter(network(inpaint), CPU, tile=tile, overlap=overlap, grain=False)
        for tile, overlap in ((512, 64), (1024, 128))
    ]
    return tuple(partial(painter.grey, luma, mask) for painter in painters)


def start():
    """Importing torch alone, against torchvision too."""
    return tuple(
        partial(subprocess.run, [sys.executable, "-c", f"import {names}"], check=True)
        for names in ("torch", "torch, torchvision")
    )


def kept_memory():
    """Inpainting with the thresholds of malloc of the commands, against the largest that glibc takes."""
    luma, holes = photograph((1024, 1024))
    painter = inpaint.Painter(network(inpaint), CPU, grain=False)

    def usual():
        allocator.set_thresholds(mapped=32 << 20, trimmed=64 << 20, step=128 << 10)
        painter.grey(luma, holes)

    def kept():
        allocator.keep_freed_memory()
        painter.grey(luma, holes)

    return kept, usual


def png_level():
    """A PNG in color at the level that is used, against Pillow's default."""
    image = Image.open(EXAMPLE).convert("RGB")
    levels = formats.PNG_LEVEL, 6
    return tuple(partial(image.save, io.BytesIO(), "PNG", compress_level=level) for level in levels)


def color_scale():
    """Color at a short side of 256 px, upsampled, against the full photograph of 1024 px."""
    luma, _ = photograph((1024, 1024))
    colorizers = [colorize.Colorizer(network(colorize), CPU, short_side=side) for side in (256, 1024)]
    return tuple(partial(colorizer.chroma, luma) for colorizer in colorizers)


def pairs(calls, rounds: int) -> dict:
    """The result of `compare` for a call with and a call without the optimization."""
    return {"n": rounds, **compare(*calls, CPU, rounds, ("ms_with", "ms_without"))}


def compiled() -> dict:
    """torch.compile for one photograph: seconds to the first result, and for a later one."""
    net = ready(network(segment), CPU)
    given = inputs(segment, net)
    began = time.perf_counter()
    fast = torch.compile(net)
    try:
        forward(fast, given)()
    except Exception as error:  # for example, no C++ compiler
        return {"ratio": None, "reason": str(error).strip().splitlines()[0]}
    first = time.perf_counter() - began
    return {**pairs((forward(fast, given), forward(net, given)), 5), "first_s": round(first, 1)}


KEPT = {
    "norms folded into convolutions (segment, 512 px)": folding,
    "channels last (segment, 512 px)": lambda: layouts(segment),
    "channels last (inpaint, 512 px)": lambda: layouts(inpaint),
    "channels last (colorize, 256 px)": lambda: layouts(colorize),
    "inference mode, against no_grad (segment, 512 px)": modes,
    "windows around holes (damage of the example, 2048 px)": windows_around_holes,
    "depth of holes by growing distances, against max pooling (2048 px)": distances,
    "tiles of 512 px, against 1024 (cracks in parts of 4096 px)": scan_tiles,
    "color at 256 px, against 1024 px": color_scale,
    "torch alone, against torch and torchvision (start)": start,
    "freed memory kept, against returned to the system (inpaint, 1024 px)": kept_memory,
    "PNG of level 4, against 6 (color, 512 px)": png_level,
}
DROPPED = {"bf16 autocast on the CPU (segment, 512 px)": autocast}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of runs that are timed (default: 7)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    allocator.keep_freed_memory()
    rows = []
    for kept, cases in ((True, KEPT), (False, DROPPED)):
        for name, case in cases.items():
            rows.append({"what": name, "kept": kept, **pairs(case(), 3 if "4096" in name else args.rounds)})
            print(rows[-1], file=sys.stderr)
    rows.append({"what": "torch.compile (segment, 512 px)", "kept": False, **compiled()})
    record.emit("optimizations", rows, args.store, threads=args.threads)


if __name__ == "__main__":
    main()
