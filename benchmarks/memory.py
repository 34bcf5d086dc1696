"""Measures the peak memory of restore.py against the size of the photograph, on the CPU.

    python benchmarks/memory.py [--megapixels 1 4 12 25 50 100] [--threads 2] [--options=--only=restored]
    python benchmarks/memory.py --allocator [--megapixels 1 4 12]    with glibc's defaults too

Runs it with the bundled weights. Prints one JSON object: for each size the largest resident set of the
process (`ru_maxrss`), the time, page faults (`ru_minflt`), and the inpainted share of the photograph. The
photograph is examples/astronaut_old.jpg, grey, enlarged. The first row, a photograph of one pixel, shows what
the interpreter and torch need themselves. --allocator compares the thresholds of engine/allocator.py with
those of glibc; it is stored apart.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import record, runs
from benchmarks.example import EXAMPLE


def measure(pixels: int, options: list[str], env: dict) -> dict:
    """Runs restore.py once on a photograph of about `pixels` pixels."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "photo.png", Path(folder) / "out"
        with Image.open(EXAMPLE) as image:
            ratio = (pixels / (image.width * image.height)) ** 0.5
            size = tuple(max(1, round(side * ratio)) for side in image.size)
            image.convert("L").resize(size, Image.Resampling.BICUBIC).save(path, compress_level=1)
        command = runs.command("restore.py", path, out, "--device", "cpu", "--quiet", *options)
        began = time.perf_counter()
        process = subprocess.Popen(command, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"restore.py ended with status {process.returncode} at {size[0]} x {size[1]} px")
        report = json.loads((out / "photo.json").read_text())
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # bytes there, KiB elsewhere
    return {
        "megapixels": round(size[0] * size[1] / 1e6, 2),
        "peak_mb": round(peak / 1e6),
        "page_faults": usage.ru_minflt,
        "seconds": round(time.perf_counter() - began, 1),
        "processor_s": round(usage.ru_utime + usage.ru_stime, 1),
        "invented": report["invented"],
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument(
        "--megapixels",
        type=float,
        nargs="+",
        metavar="MP",
        help="sizes of the photograph (default: 1 4 12 25 50 100; with --allocator 1 4 12)",
    )
    text = "compare page faults with those under glibc's own thresholds (default: no)"
    parser.add_argument("--allocator", action="store_true", help=text)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument(
        "--options",
        type=shlex.split,
        default=[],
        metavar="WORDS",
        help="more options of restore.py (default: none)",
    )
    args = parser.parse_args()
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    sizes = args.megapixels or ([1, 4, 12] if args.allocator else [1, 4, 12, 25, 50, 100])
    if args.allocator:
        # The program leaves malloc alone where the environment sets anything of it
        cases = {"kept": env, "glibc": {**env, "MALLOC_PERTURB_": "0"}}
        rows = [
            {"allocator": name, **measure(round(size * 1e6), args.options, case)}
            for size in sizes
            for name, case in cases.items()
        ]
        record.emit("page_faults", rows, args.store, options=args.options, threads=args.threads)
    else:
        rows = [measure(round(size * 1e6), args.options, env) for size in (1e-6, *sizes)]
        record.emit("memory", rows, args.store, options=args.options, threads=args.threads)


if __name__ == "__main__":
    main()
