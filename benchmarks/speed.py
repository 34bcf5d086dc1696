"""Times the whole chain on one photograph of 1024 x 1024 px, as a process of its own, with the bundled weights.

    python benchmarks/speed.py [--runs 5] [--threads 2]      one JSON object on standard output

The photograph is examples/astronaut_old.jpg, enlarged. Start-up (`import torch`) is measured in the same run and printed
beside, so is the machine's own speed of a float32 matrix product.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def seconds(command, env) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def matrix_product(threads: int) -> float:
    """GFLOP/s of a 2048 x 2048 float32 product."""
    import torch

    torch.set_num_threads(threads)
    a = torch.rand(2048, 2048)
    a @ a
    began = time.perf_counter()
    for _ in range(5):
        a @ a
    return 5 * 2 * 2048**3 / (time.perf_counter() - began) / 1e9


def summary(values: list[float]) -> dict:
    return {"median": round(statistics.median(values), 2), "least": round(min(values), 2), "most": round(max(values), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    args = parser.parse_args()
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "restore": [sys.executable, "restore.py", "photo.png", "out", "--overwrite", "--device", "cpu"],
        "restore --no-tta": [sys.executable, "restore.py", "photo.png", "out", "--overwrite", "--device", "cpu", "--no-tta"],
    }
    times, stages = {name: [] for name in commands}, []
    with tempfile.TemporaryDirectory() as folder:
        photo, out = Path(folder) / "photo.png", Path(folder) / "out"
        Image.open(ROOT / "examples" / "astronaut_old.jpg").resize((1024, 1024), Image.Resampling.BICUBIC).save(photo)
        for run in range(args.runs + 1):  # the first warms the disk
            for name, command in commands.items():
                command = [str({"restore.py": ROOT / "restore.py", "photo.png": photo, "out": out}.get(x, x)) for x in command]
                spent = seconds(command, env)
                if run:
                    times[name].append(spent)
                    if name == "restore":
                        stages.append(json.loads((out / "photo.json").read_text())["seconds"])
    import torch

    print(json.dumps({
        "what": "restore.py on one photograph of 1024 x 1024 px, seconds of the whole process",
        "n": args.runs,
        **{name: summary(values) for name, values in times.items()},
        "stages of restore": {stage: summary([run[stage] for run in stages]) for stage in stages[0]},
        "matrix product GFLOP/s": round(matrix_product(args.threads)),
        "processor": platform.processor() or platform.machine(),
        "threads": args.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
