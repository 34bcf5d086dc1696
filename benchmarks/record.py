"""Prints benchmark results with command, hardware and date, and stores them in benchmarks/results/."""

import argparse
import json
import os
import platform
import re
import shlex
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    path = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", path.read_text()) if path.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def hardware(device=None) -> dict:
    """The processor, and the GPU if `device` is one."""
    facts = {"processor": processor(), "cores": os.cpu_count()}
    if device is not None and device.type == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def versions() -> dict:
    """Versions of Python and of the packages that affect a measurement; None where one is not installed."""
    found = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def command() -> str:
    """The command line, without the paths of this machine."""
    words = ["DIR" if "/" in word and " " not in word else word for word in sys.argv[1:] if word != "--store"]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the option --store, whose help shows a module's docstring as it is."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument(
        "--store", action="store_true", help="write the result to benchmarks/results/ too (default: no)"
    )
    return result


def emit(name: str, results, store: bool, device=None, **facts) -> None:
    """Prints one JSON object; with `store`, also writes it to results/NAME.json, or NAME_gpu.json on a GPU.

    facts: settings that all results share, or the `command` if it is not that of this process.
    """
    name += "_gpu" * (device is not None and device.type == "cuda")
    stored = {
        "benchmark": name,
        "command": command(),
        "date": date.today().isoformat(),
        "hardware": hardware(device),
        "versions": versions(),
        **facts,
        "results": results,
    }
    text = json.dumps(stored, indent=1) + "\n"
    print(text, end="")
    if store:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def read(name: str) -> dict | None:
    """A stored result; None if it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
