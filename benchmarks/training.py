"""Measures what training needs: memory and arithmetic at paper size, and samples per second of short runs.

    python benchmarks/training.py cost                       prints one JSON object
    python benchmarks/training.py samples [--data DIR]       samples of 512 x 512 px, made by one process
    python benchmarks/training.py speed [--data DIR] [--steps 30] [--device cpu]

`cost` counts and does not time: parameters, multiply-adds of a forward pass and the bytes that it keeps for
backward under bf16 autocast, for one crop of the given side; counted on the smallest crop and scaled by area.
`memory_gb` adds weights, gradients, AdamW's two moments and the averaged weights for the published number of
samples per GPU. It is a sum, not a measurement.

`samples` times the making of `--samples` training samples of each stage, including reading and decoding
photographs: median and quartiles of the time of one, and samples per second.

`speed` runs `train` of each stage with 1 and 2 processes (on the CPU with one thread each in fp32, on a GPU
in bf16) and reads `samples_per_s` and `waiting_s` (for data) from the last line of its log, without the first
step. Without `--data` it makes a data folder from the photographs in scikit-image.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import colorize
import inpaint
import segment
from benchmarks import record
from benchmarks.activations import saved_bytes
from data.datasets import ColorizeSamples, InpaintSamples, SegmentSamples
from data.run_folder import read_log

# stage -> (network, side of the crop that is counted, side of the published crop, samples of a GPU)
PAPER = {
    segment: (
        {"depth": 18, "width": 64, "channels": 1, "out_channels": 1, "stem": "full", "extra_levels": 2},
        64,
        512,
        20,
    ),
    inpaint: ({"width": 64, "channels": 1, "levels": 8, "widest": 8}, 256, 512, 8),
    colorize: (
        {"depth": 50, "width": 64, "channels": 1, "out_channels": 2, "stem": "imagenet", "extra_levels": 0},
        64,
        256,
        20,
    ),
}
SAMPLES = {
    segment: partial(SegmentSamples, labelled_share=0.2),
    inpaint: partial(InpaintSamples, hole_share=(0.002, 0.25), mask_share=0.25),
    colorize: ColorizeSamples,
}


def cost(stage, options, small: int, side: int, samples: int) -> dict:
    net = stage.build(options).train()
    luma = torch.rand(2, 1, small, small)  # norms need more than one value at the coarsest scale
    inputs = (luma, torch.ones_like(luma)) if stage is inpaint else (luma,)

    def forward():
        with torch.autocast("cpu", torch.bfloat16):
            return net(*inputs)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward()
    scale = (side / small) ** 2 / len(luma)
    kept = scale * saved_bytes(forward, net)
    parameters = sum(p.numel() for p in net.parameters())
    return {
        "parameters": parameters,
        "crop_px": side,
        "forward_gmac": round(scale * counter.get_total_flops() / 2e9, 1),
        "kept_mb": round(kept / 1e6),
        "samples_per_gpu": samples,
        "memory_gb": round((samples * kept + 5 * 4 * parameters) / 1e9, 1),
    }


def example_folder(folder: Path) -> Path:
    from PIL import Image
    from skimage import data

    for part in (
        "clean/a",
        "val/clean",
        "labelled/images",
        "labelled/masks",
        "val/labelled/images",
        "val/labelled/masks",
    ):
        (folder / part).mkdir(parents=True)
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(data, name)()).save(folder / f"clean/a/{name}.jpg", quality=92)
    small = Image.fromarray(data.astronaut()).resize((128, 128))
    small.save(folder / "val/clean/small.png")
    for part in ("labelled", "val/labelled"):
        small.save(folder / part / "images/small.png")
        small.convert("L").point(lambda x: 255 * (x > 230)).save(folder / part / "masks/small.png")
    return folder


def samples(stage, data: Path, number: int) -> dict:
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


def speed(stage, data: Path, processes: int, args) -> dict:
    with tempfile.TemporaryDirectory() as run:
        launcher = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
            if processes > 1
            else []
        )
        words = [
            "train",
            "--data",
            data,
            "--run-dir",
            run,
            "--steps",
            args.steps,
            "--batch-size",
            args.batch_size,
            "--width",
            args.width,
            "--crop",
            256,
            "--device",
            args.device,
            "--workers",
            args.workers,
            "--precision",
            "fp32" if args.device == "cpu" else "bf16",
        ]
        command = [str(word) for word in (sys.executable, *launcher, stage.__file__, *words)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(
            command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        rows = [row for row in read_log(Path(run)) if "loss" in row]
    before, last = rows[-2:]
    seconds = (last["step"] - before["step"]) * args.batch_size / last["samples_per_s"]
    return {
        "processes": processes,
        "steps": last["step"] - rows[0]["step"],
        "samples_per_s": round(last["samples_per_s"], 2),
        "waiting_s": round(last["waiting_s"], 3),
        "waiting_share": round(last["waiting_s"] / seconds, 4),
        "memory_mb": round(last["memory_mb"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("cost", "samples", "speed"))
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="data folder (default: one made of three photographs)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=51,
        help="steps of each run, 51 or more: the log has a line every 50 (default: 51)",
    )
    parser.add_argument("--samples", type=int, default=200, help="samples to make (default: 200)")
    parser.add_argument("--width", type=int, default=16, help="width of the networks (default: 16)")
    parser.add_argument(
        "--batch-size", type=int, default=8, help="samples of a step over all processes (default: 8)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes that make samples, per training process (default: 1)",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    record.store_option(parser)
    args = parser.parse_args()
    if args.what == "cost":
        results = {stage.STAGE: cost(stage, *rest) for stage, rest in PAPER.items()}
    else:
        with tempfile.TemporaryDirectory() as folder:
            data = args.data or example_folder(Path(folder))
            if args.what == "samples":
                torch.set_num_threads(1)
                results = {stage.STAGE: samples(stage, data, args.samples) for stage in PAPER}
            else:
                results = {
                    stage.STAGE: [speed(stage, data, count, args) for count in (1, 2)] for stage in PAPER
                }
    record.emit(f"training_{args.what}", results, args.store, torch.device(args.device))


if __name__ == "__main__":
    main()
