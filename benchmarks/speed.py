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

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import record

EXAMPLE = ROOT / "examples" / "astronaut_old.jpg"
SIZES = {"segment": (1024, 1024), "inpaint": (512, 512), "colorize": (512, 512)}  # the published sizes
LARGE = (4000, 3000)
TOO_SLOW = 15  # s; slower calls are measured once only


def spread(values: list[float]) -> dict:
    return {
        "n": len(values),
        "seconds": round(statistics.median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def timed(call, runs: int, device=None) -> dict:
    """Seconds of call(), which has been called once before; measured once only if that took longer than
    TOO_SLOW.
    """

    def seconds() -> float:
        began = time.perf_counter()
        call()
        if device is not None and device.type == "cuda":
            import torch

            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    first = seconds()
    return spread([first] if first > TOO_SLOW else [seconds() for _ in range(runs)])


# ------------------------------------------------------------------------------------------------- stages


def matrix_product(device, dtype) -> float:
    """GFLOP/s of a product of square matrices: 2048 wide on a CPU, 8192 on a GPU."""
    import torch

    side = 8192 if device.type == "cuda" else 2048
    a = torch.rand(side, side, device=device, dtype=dtype)
    a @ a
    return 2 * side**3 / timed(lambda: a @ a, 9, device)["seconds"] / 1e9


def photograph(size: tuple[int, int]):
    """Luma (H, W) in [0, 1] of the example at this size, and holes in 5 % of it, uint8."""
    from data.synthesis.holes import draw_holes

    picture = Image.open(EXAMPLE).convert("L").resize(size, Image.Resampling.BICUBIC)
    width, height = picture.size
    tile = draw_holes((512, 512), np.random.default_rng(0), (0.04, 0.06), ())
    holes = np.tile(tile, (-(-height // 512), -(-width // 512)))[:height, :width]
    return np.asarray(picture, np.float32) / 255, np.ascontiguousarray(holes)


def predictors(device, width: int | None, precision: str) -> dict:
    """stage -> call(luma, holes), with the bundled weights or random ones of the published architecture."""
    import colorize
    import inpaint
    import segment
    from benchmarks.training import PAPER
    from engine.networks import load_net

    nets = {}
    for stage, (options, *_) in PAPER.items():
        nets[stage] = (
            stage.build({**options, "width": width})
            if width
            else load_net(stage.WEIGHTS, stage.STAGE, stage.build)[0]
        )
    finder = segment.make_finder(nets[segment], device, precision=precision, tta=False)
    augmented = segment.make_finder(nets[segment], device, precision=precision, tta=True)
    painter = inpaint.Painter(nets[inpaint], device, precision, tile=1024, overlap=128)
    colorizer = colorize.Colorizer(nets[colorize], device, precision)
    return {
        "segment": lambda luma, holes: finder(luma),
        "segment, augmented": lambda luma, holes: augmented(luma),
        "inpaint": painter.grey,
        "colorize": lambda luma, holes: colorizer(luma),
    }


def operators(call) -> dict[str, float]:
    """The five operators that take the most time, with their shares."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {
        event.key.removeprefix("aten::"): round(event.self_cpu_time_total / total, 3) for event in events[:5]
    }


def stage_rows(device, runs: int) -> list[dict]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    rows, formats = (
        [],
        {"fp32": torch.float32} if device.type == "cpu" else {"fp32": torch.float32, "bf16": torch.bfloat16},
    )
    for precision, dtype in formats.items():
        for width, large in ((None, False), (None, True), (64, False)):
            calls = predictors(device, width, precision)
            product = matrix_product(device, dtype)
            for name, predict in calls.items():
                size = LARGE if large else SIZES[name.split(",")[0]]
                luma, holes = photograph(size)
                call = lambda predict=predict, luma=luma, holes=holes: predict(luma, holes)  # noqa: E731
                with FlopCounterMode(display=False) as counter:
                    call()
                row = {
                    "stage": name,
                    "size": size,
                    "width": width or "bundled",
                    "precision": precision,
                    **timed(call, runs, device),
                }
                speed = counter.get_total_flops() / 1e9 / row["seconds"]
                row |= {
                    "gflop": round(counter.get_total_flops() / 1e9, 1),
                    "gflop_per_s": round(speed, 1),
                    "matrix_product_gflop_per_s": round(product, 1),
                    "share": round(speed / product, 3),
                }
                if device.type == "cpu":
                    row["operators"] = operators(call)
                rows.append(row)
                print(row, file=sys.stderr)
    return rows


def peer_rows(runs: int) -> list[dict]:
    """Other libraries on the same task and sizes, on the CPU; with a reason where one is not installed."""
    import torch

    rows = []

    def peer(name, module, make):
        try:
            __import__(module)
        except ImportError:
            rows.append({"peer": name, "seconds": None, "reason": f"{module} is not installed"})
            return
        call, facts = make()
        call()
        rows.append({"peer": name, **timed(call, runs), **facts})
        print(rows[-1], file=sys.stderr)

    def unet():
        from segmentation_models_pytorch import Unet
        from torch.utils.flop_counter import FlopCounterMode

        net = (
            Unet("resnet18", encoder_weights=None, in_channels=1).eval().to(memory_format=torch.channels_last)
        )
        x = torch.rand(1, 1, 1024, 1024).to(memory_format=torch.channels_last)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            net(x)

        def call():
            with torch.inference_mode():
                net(x)

        return call, {"size": (1024, 1024), "gflop": round(counter.get_total_flops() / 1e9, 1)}

    luma, holes = photograph(SIZES["inpaint"])
    grey = np.rint(luma * 255).astype(np.uint8)

    def opencv(method):
        def make():
            import cv2

            cv2.setNumThreads(torch.get_num_threads())
            return lambda: cv2.inpaint(grey, holes, 3, getattr(cv2, f"INPAINT_{method}")), {
                "size": SIZES["inpaint"]
            }

        return make

    def biharmonic():
        from skimage.restoration import inpaint_biharmonic

        return lambda: inpaint_biharmonic(luma, holes > 0), {"size": SIZES["inpaint"]}

    peer(
        "segmentation-models-pytorch, Unet of resnet18 (stride 2 first)", "segmentation_models_pytorch", unet
    )
    peer("OpenCV, Telea", "cv2", opencv("TELEA"))
    peer("OpenCV, Navier-Stokes", "cv2", opencv("NS"))
    peer("scikit-image, biharmonic", "skimage", biharmonic)
    return rows


def throughput(device) -> list[dict]:
    """Forward passes of networks of width 64 with a large batch in bf16, on a GPU."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.training import PAPER
    from nets.ops.tiling import inference, ready

    rows, product = [], matrix_product(device, torch.bfloat16)
    for stage, (options, _, side, batch) in PAPER.items():
        net = ready(stage.build(options), device)
        luma = torch.rand(batch, 1, side, side, device=device).to(memory_format=torch.channels_last)
        inputs = (luma, torch.ones_like(luma)) if stage.STAGE == "inpaint" else (luma,)
        with inference(device, "bf16"):
            with FlopCounterMode(display=False) as counter:
                net(*inputs)
            row = timed(lambda net=net, inputs=inputs: net(*inputs), 9, device)
        speed = counter.get_total_flops() / 1e9 / row["seconds"]
        rows.append(
            {
                "stage": stage.STAGE,
                "batch": batch,
                "side_px": side,
                **row,
                "gflop_per_s": round(speed),
                "matrix_product_gflop_per_s": round(product),
                "share": round(speed / product, 3),
            }
        )
    return rows


# ----------------------------------------------------------------------------------------- whole processes


def process(command, env) -> float:
    began = time.perf_counter()
    subprocess.run(
        [str(word) for word in command],
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def chain(runs: int, threads: int) -> dict:
    """The whole chain on one photograph, and the time of only importing torch."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    bare = [sys.executable, "-c", "import torch, torchvision"]
    with tempfile.TemporaryDirectory() as folder:
        photo, out = Path(folder) / "photo.png", Path(folder) / "out"
        Image.open(EXAMPLE).resize((1024, 1024), Image.Resampling.BICUBIC).save(photo)
        restore = [sys.executable, ROOT / "restore.py", photo, out, "--overwrite", "--device", "cpu"]
        commands = {
            "import torch, torchvision": bare,
            "restore.py": restore,
            "restore.py --no-tta": [*restore, "--no-tta"],
        }
        times, stages = {name: [] for name in commands}, []
        for run in range(runs + 1):  # the first run warms the disk cache
            for name, command in commands.items():
                spent = process(command, env)
                if run:
                    times[name].append(spent)
                    if name == "restore.py":
                        stages.append(json.loads((out / "photo.json").read_text())["seconds"])
    beyond = {
        f"{name}, beyond the import": spread(
            [a - b for a, b in zip(times[name], times["import torch, torchvision"], strict=True)]
        )
        for name in list(commands)[1:]
    }
    return {
        **{name: spread(values) for name, values in times.items()},
        **beyond,
        "stages": {stage: spread([row[stage] for row in stages]) for stage in stages[0]},
    }


def folder(photos: int, threads: int) -> dict:
    """A folder of photographs of 768 px: wall time beyond the import, and the summed time of the stages."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as name:
        scans, out = Path(name) / "scans", Path(name) / "out"
        scans.mkdir()
        for number in range(photos):
            picture = Image.open(EXAMPLE).convert("L").rotate(number % 4 * 90)
            picture.resize((768, 640 + 4 * number), Image.Resampling.BICUBIC).save(
                scans / f"{number:02}.jpg", quality=92
            )
        imported = min(process([sys.executable, "-c", "import torch, torchvision"], env) for _ in range(3))
        wall = process([sys.executable, ROOT / "restore.py", scans, out, "--device", "cpu"], env)
        stages = [json.loads(path.read_text())["seconds"] for path in out.glob("*.json")]
    network = sum(sum(row.values()) for row in stages)
    return {
        "photos": len(stages),
        "wall_s": round(wall, 1),
        "import_s": round(imported, 2),
        "stages_s": round(network, 1),
        "ratio": round((wall - imported) / network, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("stages", "chain", "folder"))
    parser.add_argument("--runs", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--photos", type=int, default=50, help="photographs of the folder (default: 50)")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help=f"CPU threads (default: {os.cpu_count()})"
    )
    parser.add_argument("--device", default="cpu", help="of the stages: cpu or cuda[:N] (default: cpu)")
    record.store_option(parser)
    args = parser.parse_args()
    device = None
    if args.what == "stages":
        import torch

        from engine.processes import pick_device

        torch.set_num_threads(args.threads)
        device = pick_device(args.device)
        results = {"stages": stage_rows(device, args.runs)}
        results |= (
            {"throughput": throughput(device)} if device.type == "cuda" else {"peers": peer_rows(args.runs)}
        )
    else:
        results = (
            chain(args.runs, args.threads) if args.what == "chain" else folder(args.photos, args.threads)
        )
    record.emit(f"speed_{args.what}", results, args.store, device, threads=args.threads)


if __name__ == "__main__":
    main()
