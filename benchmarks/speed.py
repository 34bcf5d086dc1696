"""Times the stages, the whole chain, and a folder of photographs.

    python benchmarks/speed.py stages   each stage on one photograph: bundled and width-64 networks, peers
    python benchmarks/speed.py chain    restore.py on one photograph of 1024 x 1024 px, in its own process
    python benchmarks/speed.py folder   restore.py on 50 photographs, against the sum of their stages
    python benchmarks/speed.py stages --device cuda

`stages` measures the published sizes (segment 1024 x 1024; inpaint and colorize 512 x 512) and 12 megapixels.
`seconds` is the time of the call that `infer` makes for a photograph: median, minimum and maximum of
`--runs`. `share` is the network's floating-point operations per second (counted by torch) relative to those
of a matrix product in the same number format, timed just before. `operators` says where the time goes
(torch's profiler). Networks of width 64 have random weights, which does not change their speed. Peers are
measured in the same run where they are installed (`pip install -e '.[bench]'`).

The photograph is examples/astronaut_old.jpg, resized; its holes are synthetic and cover 5 % of it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import colorize
import inpaint
import segment
from benchmarks import record, runs
from benchmarks.example import EXAMPLE, photograph
from benchmarks.peers import peer_rows
from benchmarks.timing import spread, timed
from benchmarks.training import PAPER
from engine.networks import load_net
from engine.processes import pick_device
from nets.ops.tiling import inference, ready

SIZES = {"segment": (1024, 1024), "inpaint": (512, 512), "colorize": (512, 512)}  # px, the published sizes
LARGE = (4000, 3000)  # px
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
IMPORT = "import torch"


# ------------------------------------------------------------------------------------------------- stages


def matrix_product(device, dtype) -> float:
    """GFLOP/s of a product of square matrices: 2048 wide on a CPU, 8192 on a GPU."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.rand(side, side, device=device, dtype=dtype)
    a @ a
    return 2 * side**3 / timed(lambda: a @ a, 9, device)["seconds"] / 1e9


def predictors(device, width: int | None, precision: str) -> dict:
    """stage -> call(luma, holes), with the bundled weights or random ones of the published architecture."""
    nets = {}
    for stage, paper in PAPER.items():
        if width:
            nets[stage] = stage.build({**paper.options, "width": width})
        else:
            nets[stage] = load_net(stage.WEIGHTS, stage.STAGE, stage.build)[0]
    finder = segment.make_finder(nets[segment], device, precision=precision, tta=False)
    augmented = segment.make_finder(nets[segment], device, precision=precision, tta=True)
    painter = inpaint.Painter(nets[inpaint], device, precision)
    colorizer = colorize.Colorizer(nets[colorize], device, precision)
    return {
        "segment": lambda luma, holes: finder(luma),
        "segment, augmented": lambda luma, holes: augmented(luma),
        "inpaint": painter.grey,
        "colorize": lambda luma, holes: colorizer(luma),
    }


def operators(call) -> dict[str, float]:
    """The five operators that take the most time, with their shares."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {
        event.key.removeprefix("aten::"): round(event.self_cpu_time_total / total, 3) for event in events[:5]
    }


def stage_rows(device, runs: int) -> list[dict]:
    """All stages at the published sizes and at 12 megapixels, and with networks of width 64."""
    rows = []
    for precision in ("fp32",) if device.type == "cpu" else DTYPES:
        for width, large in ((None, False), (None, True), (64, False)):
            calls = predictors(device, width, precision)
            product = matrix_product(device, DTYPES[precision])
            for name, predict in calls.items():
                size = LARGE if large else SIZES[name.split(",")[0]]
                facts = {"stage": name, "size": size, "width": width or "bundled", "precision": precision}
                rows.append({**facts, **stage_row(predict, size, device, runs, product)})
                print(rows[-1], file=sys.stderr)
    return rows


def stage_row(predict, size: tuple[int, int], device, runs: int, product: float) -> dict:
    """Time and arithmetic of one call. product: GFLOP/s of a matrix product."""
    luma, holes = photograph(size)
    with FlopCounterMode(display=False) as counter:
        predict(luma, holes)
    row = timed(lambda: predict(luma, holes), runs, device)
    gflop = counter.get_total_flops() / 1e9
    row |= {
        "gflop": round(gflop, 1),
        "gflop_per_s": round(gflop / row["seconds"], 1),
        "matrix_product_gflop_per_s": round(product, 1),
        "share": round(gflop / row["seconds"] / product, 3),
    }
    return {**row, "operators": operators(lambda: predict(luma, holes))} if device.type == "cpu" else row


def throughput(device) -> list[dict]:
    """Forward passes of networks of width 64 with a large batch in bf16, on a GPU."""
    rows, product = [], matrix_product(device, torch.bfloat16)
    for stage, paper in PAPER.items():
        net = ready(stage.build(paper.options), device)
        luma = torch.rand(paper.samples, 1, paper.crop, paper.crop, device=device)
        luma = luma.to(memory_format=torch.channels_last)
        inputs = (luma, torch.ones_like(luma)) if stage is inpaint else (luma,)
        with inference(device, "bf16"):
            with FlopCounterMode(display=False) as counter:
                net(*inputs)
            row = timed(lambda net=net, inputs=inputs: net(*inputs), 9, device)
        speed = counter.get_total_flops() / 1e9 / row["seconds"]
        row |= {
            "gflop_per_s": round(speed),
            "matrix_product_gflop_per_s": round(product),
            "share": round(speed / product, 3),
        }
        rows.append({"stage": stage.STAGE, "batch": paper.samples, "side_px": paper.crop, **row})
    return rows


# ----------------------------------------------------------------------------------------- whole processes


def wall_seconds(command: list[str], threads: int) -> float:
    """Wall time of a process."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def chain(rounds: int, threads: int) -> dict:
    """The whole chain on one photograph, and the time of only importing torch."""
    with tempfile.TemporaryDirectory() as folder:
        photo, out = Path(folder) / "photo.png", Path(folder) / "out"
        Image.open(EXAMPLE).resize((1024, 1024), Image.Resampling.BICUBIC).save(photo)
        restore = runs.command("restore.py", photo, out, "--overwrite", "--device", "cpu")
        commands = {
            IMPORT: [sys.executable, "-c", IMPORT],
            "restore.py": restore,
            "restore.py --no-tta": [*restore, "--no-tta"],
        }
        times, stages = {name: [] for name in commands}, []
        for number in range(rounds + 1):
            for name, command in commands.items():
                spent = wall_seconds(command, threads)
                if number == 0:  # only warms the disk cache
                    continue
                times[name].append(spent)
                if name == "restore.py":
                    stages.append(json.loads((out / "photo.json").read_text())["seconds"])
    beyond = {}
    for name in list(commands)[1:]:
        differences = [whole - imported for whole, imported in zip(times[name], times[IMPORT], strict=True)]
        beyond[f"{name}, beyond the import"] = spread(differences)
    return {
        **{name: spread(values) for name, values in times.items()},
        **beyond,
        "stages": {stage: spread([row[stage] for row in stages]) for stage in stages[0]},
    }


def folder(photos: int, threads: int) -> dict:
    """A folder of photographs of 768 px: wall time beyond the import, the summed time of the stages, and the
    wall time of as many processes as threads, with a thread each.
    """
    with tempfile.TemporaryDirectory() as name:
        scans, out = Path(name) / "scans", Path(name) / "out"
        scans.mkdir()
        for number in range(photos):
            picture = Image.open(EXAMPLE).convert("L").rotate(number % 4 * 90)
            picture = picture.resize((768, 640 + 4 * number), Image.Resampling.BICUBIC)
            picture.save(scans / f"{number:02}.jpg", quality=92)
        imported = min(wall_seconds([sys.executable, "-c", IMPORT], threads) for _ in range(3))
        words = ("restore.py", scans, out, "--device", "cpu")
        wall = wall_seconds(runs.command(*words), threads)
        stages = [json.loads(path.read_text())["seconds"] for path in out.glob("*.json")]
        shared = wall_seconds(runs.command(*words, "--overwrite", processes=threads), 1)
    summed = sum(sum(row.values()) for row in stages)
    return {
        "photos": len(stages),
        "wall_s": round(wall, 1),
        "processes": threads,
        "processes_wall_s": round(shared, 1),
        "import_s": round(imported, 2),
        "stages_s": round(summed, 1),
        "ratio": round((wall - imported) / summed, 3),
    }


def main() -> None:
    parser = record.parser(__doc__)
    cores = os.cpu_count()
    parser.add_argument("what", choices=("stages", "chain", "folder"))
    parser.add_argument("--runs", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--photos", type=int, default=50, help="photographs of the folder (default: 50)")
    parser.add_argument("--threads", type=int, default=cores, help=f"CPU threads (default: {cores})")
    parser.add_argument("--device", default="cpu", help="of the stages: cpu or cuda[:N] (default: cpu)")
    args = parser.parse_args()
    device = None
    if args.what == "chain":
        results = chain(args.runs, args.threads)
    elif args.what == "folder":
        results = folder(args.photos, args.threads)
    else:
        torch.set_num_threads(args.threads)
        device = pick_device(args.device)
        results = {"stages": stage_rows(device, args.runs)}
        if device.type == "cuda":
            results["throughput"] = throughput(device)
        else:
            results["peers"] = peer_rows(args.runs)
    record.emit(f"speed_{args.what}", results, args.store, device, threads=args.threads)


if __name__ == "__main__":
    main()
