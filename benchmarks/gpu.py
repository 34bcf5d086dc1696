"""Measures everything that the GPU columns show, in one command and in limited time (--minutes).

    python benchmarks/gpu.py OUT.json                         on the first GPU
    python benchmarks/gpu.py OUT.json --device cpu --small    a rehearsal without one

Runs the other benchmarks one after the other, each in its own process: latency of the networks of width 64 at
the published sizes, and throughput of large batches relative to a matrix product (speed.py stages); memory of
in-place norms and the largest batch with them (activations.py); partial convolutions (partial.py); samples
per second of training (training.py speed); and the tests that need a GPU. OUT.json is written after each
part, so the same command resumes an interrupted one. `--minutes` limits one call. With `--store`, each result
also goes to benchmarks/results/, from which report.py fills the tables.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data.files import write_whole

LEAST_SECONDS = 20  # no part starts with less time left


def parts(device: str, small: bool) -> dict[str, list[str]]:
    """name -> command line, the most important first. small: short versions for a rehearsal."""
    training = ["--width", "64", "--batch-size", "32", "--workers", "12"]
    stages, activations = [], []
    if small:
        training = ["--width", "4", "--batch-size", "4"]
        stages, activations = ["--runs", "1"], ["--rounds", "1", "--precision", "fp32"]

    def benchmark(script, *options):
        return [sys.executable, f"benchmarks/{script}", *options, "--device", device]

    return {
        "stages": benchmark("speed.py", "stages", *stages),
        "tests": [sys.executable, "-m", "pytest", "-q", "-rs", "tests/test_gpu.py"],
        "activations": benchmark("activations.py", *activations),
        "training": benchmark("training.py", "speed", *training),
        "partial": benchmark("partial.py"),
    }


def run(command: list[str], seconds: float) -> dict:
    """Runs one part: its exit status, time, and the JSON object or else the end of what it printed."""
    began = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"status": "no time left", "seconds": round(time.perf_counter() - began, 1)}
    facts = {"status": done.returncode, "seconds": round(time.perf_counter() - began, 1)}
    try:
        return {**facts, "result": json.loads(done.stdout)}
    except ValueError:
        return {**facts, "output": (done.stdout + done.stderr)[-4000:]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT.json", help="results so far; finished parts are skipped"
    )
    parser.add_argument("--device", default="cuda", help="cuda[:N], or cpu for a rehearsal (default: cuda)")
    parser.add_argument("--minutes", type=float, default=9, help="time of this call (default: 9)")
    parser.add_argument("--small", action="store_true", help="short versions of the parts (default: no)")
    parser.add_argument("--only", nargs="+", metavar="PART", help="these parts alone (default: all)")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/ too (default: no)")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    results = json.loads(args.out.read_text("utf-8")) if args.out.exists() else {}
    commands = parts(args.device, args.small)
    if unknown := set(args.only or ()) - commands.keys():
        parser.error(f"--only {min(unknown)}: there are {', '.join(commands)}")
    for name, command in commands.items():
        left = deadline - time.monotonic()
        if (args.only and name not in args.only) or results.get(name, {}).get("status") == 0:
            continue
        if left < LEAST_SECONDS:
            break
        print(f"{name}: {left:.0f} s left", file=sys.stderr)
        storing = ["--store"] * (args.store and "pytest" not in command)
        results[name] = run([*command, *storing], left)
        write_whole(args.out, json.dumps(results, indent=1).encode() + b"\n", overwrite=True)
    missing = [name for name in commands if results.get(name, {}).get("status") != 0]
    print(f"not done: {', '.join(missing)}" if missing else "all parts are done", file=sys.stderr)
    return int(bool(missing))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    sys.exit(main())
