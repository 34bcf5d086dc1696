"""Measures training: memory and arithmetic at the published size, and samples per second of short runs.

    python benchmarks/training.py cost                       prints one JSON object
    python benchmarks/training.py samples [--data DIR]       samples of 512 x 512 px, made by one process
    python benchmarks/training.py speed [--data DIR] [--steps 51] [--device cpu]

`cost` counts and does not time: parameters, multiply-adds of a forward pass and the bytes that it keeps for
backward under bf16 autocast, for one crop of the given side; counted on the smallest crop and scaled by area.
`memory_gb` adds weights, gradients, AdamW's two moments and the averaged weights for the published number of
samples per GPU. It is a sum, not a measurement.

`samples` times how `--samples` training samples of each stage are made, including reading and decoding the
photographs: median and quartiles of the time per sample, and samples per second.

`speed` runs `train` of each stage with 1 and 2 processes (on the CPU with one thread each in fp32; on GPUs in
bf16, and with one process if there is only one) and reads `samples_per_s` and `waiting_s` (for data) from the
last line of its log, without the first step. Without `--data` it makes a data folder from the photographs in
scikit-image.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import colorize
import inpaint
import segment
from benchmarks import record, runs
from benchmarks.activations import saved_bytes
from data.datasets import ColorizeSamples, InpaintSamples, SegmentSamples
from data.run_folder import read_log


class Paper(NamedTuple):
    """How a stage was published."""

    options: dict  # of the network
    counted: int  # px, side of the crop that is counted
    crop: int  # px, side of the published crop
    samples: int  # of a GPU


PAPER = {
    segment: Paper(
        {"depth": 18, "width": 64, "channels": 1, "out_channels": 1, "stem": "full", "extra_levels": 2},
        counted=64,
        crop=512,
        samples=20,
    ),
    inpaint: Paper({"width": 64, "channels": 1, "levels": 8, "widest": 8}, counted=256, crop=512, samples=8),
    colorize: Paper(
        {"depth": 50, "width": 64, "channels": 1, "out_channels": 2, "stem": "imagenet", "extra_levels": 0},
        counted=64,
        crop=256,
        samples=20,
    ),
}
SAMPLES = {
    segment: partial(SegmentSamples, labelled_share=0.2),
    inpaint: partial(InpaintSamples, hole_share=(0.002, 0.25), mask_share=0.25),
    colorize: ColorizeSamples,
}


def cost(stage) -> dict:
    """Memory and arithmetic of training with the published crop and batch."""
    paper = PAPER[stage]
    net = stage.build(paper.options).train()
    luma = torch.rand(2, 1, paper.counted, paper.counted)  # norms need two values at the coarsest scale
    inputs = (luma, torch.ones_like(luma)) if stage is inpaint else (luma,)

    def forward():
        with torch.autocast("cpu", torch.bfloat16):
            return net(*inputs)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward()
    scale = (paper.crop / paper.counted) ** 2 / len(luma)
    kept = scale * saved_bytes(forward, net)
    parameters = sum(p.numel() for p in net.parameters())
    return {
        "parameters": parameters,
        "crop_px": paper.crop,
        "forward_gmac": round(scale * counter.get_total_flops() / 2e9, 1),
        "kept_mb": round(kept / 1e6),
        "samples_per_gpu": paper.samples,
        "memory_gb": round((paper.samples * kept + 5 * 4 * parameters) / 1e9, 1),
    }


def example_folder(folder: Path) -> Path:
    """Fills a data folder with three photographs of scikit-image, one of them labelled."""
    from skimage import data

    for part in ("clean/a", "val/clean"):
        (folder / part).mkdir(parents=True)
    for part in ("labelled", "val/labelled"):
        (folder / part / "images").mkdir(parents=True)
        (folder / part / "masks").mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(data, name)()).save(folder / f"clean/a/{name}.jpg", quality=92)
    small = Image.fromarray(data.astronaut()).resize((128, 128))
    small.save(folder / "val/clean/small.png")
    for part in ("labelled", "val/labelled"):
        small.save(folder / part / "images/small.png")
        small.convert("L").point(lambda x: 255 * (x > 230)).save(folder / part / "masks/small.png")
    return folder


def samples(stage, data: Path, number: int) -> dict:
    """The time of making `number` samples of a stage, in this process."""
    dataset, seconds = SAMPLES[stage](data, seed=0, side=512), []
    for item in range(number):
        began = time.process_time()
        dataset[item]
        seconds.append(time.process_time() - began)
    low, middle, high = statistics.quantiles(seconds, n=4)
    return {
        "n": number,
        "side_px": 512,
        "per_s": round(number / sum(seconds), 1),
        "median_ms": round(1e3 * middle, 1),
        "quartiles_ms": [round(1e3 * low, 1), round(1e3 * high, 1)],
    }


def speed(stage, processes: int, batch_size: int, device: str, **options) -> dict:
    """Samples per second and the wait for data of a short run of `train`; options: more options of it."""
    precision = "fp32" if device == "cpu" else "bf16"
    options |= {"batch-size": batch_size, "device": device, "precision": precision, "crop": 256}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with tempfile.TemporaryDirectory() as run:
        script = Path(stage.__file__).name
        subprocess.run(
            runs.command(script, "train", "--run-dir", run, *words, processes=processes),
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        rows = [row for row in read_log(Path(run)) if "loss" in row]
    before, last = rows[-2:]
    seconds = (last["step"] - before["step"]) * batch_size / last["samples_per_s"]
    return {
        "processes": processes,
        "steps": last["step"] - rows[0]["step"],
        "samples_per_s": round(last["samples_per_s"], 2),
        "waiting_s": round(last["waiting_s"], 3),
        "waiting_share": round(last["waiting_s"] / seconds, 4),
        "memory_mb": round(last["memory_mb"]),
    }


def main() -> None:
    parser = record.parser(__doc__)
    number = partial(parser.add_argument, type=int)
    parser.add_argument("what", choices=("cost", "samples", "speed"))
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="data folder (default: one made of three photographs)"
    )
    number(
        "--steps",
        default=51,
        help="steps of each run, at least 51: the log has a line every 50 (default: 51)",
    )
    number("--samples", default=200, help="samples to make (default: 200)")
    number("--width", default=16, help="width of the networks (default: 16)")
    number("--batch-size", default=8, help="samples of a step over all processes (default: 8)")
    number("--workers", default=1, help="processes that make samples, per training process (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "cost":
            results = {stage.STAGE: cost(stage) for stage in PAPER}
        elif args.what == "samples":
            torch.set_num_threads(1)
            data = args.data or example_folder(Path(folder))
            results = {stage.STAGE: samples(stage, data, args.samples) for stage in PAPER}
        else:
            data = args.data or example_folder(Path(folder))
            most = 2 if args.device == "cpu" else min(2, torch.cuda.device_count())
            options = {"data": data, "steps": args.steps, "width": args.width, "workers": args.workers}
            results = {
                stage.STAGE: [
                    speed(stage, processes, args.batch_size, args.device, **options)
                    for processes in range(1, most + 1)
                ]
                for stage in PAPER
            }
    record.emit(f"training_{args.what}", results, args.store, torch.device(args.device))


if __name__ == "__main__":
    main()
