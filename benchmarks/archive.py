"""Restores a folder of mixed and partly broken photographs while the program is killed again and again.

    python benchmarks/archive.py [--photos 500] [--broken 25] [--kills 5] [--processes 1]
    python benchmarks/archive.py --processes 2                    the same under torchrun

Writes small photographs of every supported kind (JPEG, PNG, TIFF, WebP, BMP, GIF; grey, RGB, palette, CMYK,
alpha, 1 and 16 bits) into subfolders and with unusual names. Starts `restore.py --recursive` with the bundled
weights, kills it and all its processes with SIGKILL several times, and lets the last start finish. Then
checks every file and prints one JSON object. Exit status 1 if anything is lost, torn, processed twice or left
over.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import record, runs
from data.files import sha256

PICTURES = ("mask", "restored", "restored_color", "color")
KINDS = {  # mode and format -> ending
    ("L", "JPEG"): "jpg",
    ("RGB", "JPEG"): "jpeg",
    ("CMYK", "JPEG"): "jpg",
    ("L", "PNG"): "png",
    ("RGB", "PNG"): "png",
    ("RGBA", "PNG"): "png",
    ("LA", "PNG"): "png",
    ("P", "PNG"): "png",
    ("1", "PNG"): "png",
    ("I;16", "PNG"): "png",
    ("L", "TIFF"): "tif",
    ("RGB", "TIFF"): "tiff",
    ("RGBA", "TIFF"): "tif",
    ("I;16", "TIFF"): "tif",
    ("CMYK", "TIFF"): "tif",
    ("1", "TIFF"): "tif",
    ("RGB", "WEBP"): "webp",
    ("RGBA", "WEBP"): "webp",
    ("L", "BMP"): "bmp",
    ("RGB", "BMP"): "bmp",
    ("P", "GIF"): "gif",
}
FOLDERS = ("", "box 1", "box 1/Älbum", "box 2")


def picture(mode: str, format: str, rng) -> bytes:
    """A file of about 40 x 30 px: soft shapes, some grain and a white scratch."""
    width, height = (int(side) for side in rng.integers(20, 56, 2))
    coarse = Image.fromarray(rng.integers(30, 220, (4, 5, 4), dtype=np.uint8))  # RGBA
    coarse = coarse.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(coarse) + rng.normal(0, 4, (height, width, 1)), 0, 255).astype(np.uint8)
    pixels[:, int(rng.integers(width)), :3] = 250
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode == "P":
        image = image.convert("RGB").quantize(32)
    elif mode != "RGBA":
        image = image.convert("RGB" if mode == "CMYK" else mode).convert(mode)
    file = io.BytesIO()
    image.save(file, format, **({"dpi": (300, 300)} if format in ("JPEG", "PNG", "TIFF", "BMP") else {}))
    return file.getvalue()


def broken(data: bytes, number: int) -> bytes:
    """Broken files as archives contain them: empty, truncated, text."""
    return (b"", data[: len(data) // 2], b"Not a picture.\n", data[:20])[number % 4]


def fill(folder: Path, photos: int, broken_ones: int, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Writes `photos` photographs of which `broken_ones`, evenly spread, are broken.

    Returns (whole, broken), both relative to the folder.
    """
    rng, kinds, names = np.random.default_rng(seed), list(KINDS), ([], [])
    for number in range(photos):
        mode, format = kinds[number % len(kinds)]
        bad = number * broken_ones // photos != (number + 1) * broken_ones // photos
        name = f"{number:05} {mode.replace(';', '')}.{KINDS[mode, format]}"
        path = folder / FOLDERS[number % len(FOLDERS)] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = picture(mode, format, rng)
        path.write_bytes(broken(data, len(names[1])) if bad else data)
        names[bad].append(path.relative_to(folder))
    return names


def reports(out: Path) -> list[Path]:
    """All STEM.json files so far. rglob would fail on folders that appear and disappear."""
    return [
        Path(root) / name
        for root, folders, names in os.walk(out)
        if Path(root).suffix != ".part"
        for name in names
        if name.endswith(".json")
    ]


def torn(out: Path, pictures=PICTURES) -> list[str]:
    """What is wrong in OUT: every file must be listed in a STEM.json with its SHA-256."""
    faults, known = [], set()
    for path in sorted(reports(out)):
        known.add(path)
        try:
            outputs = json.loads(path.read_text("utf-8"))["outputs"]
        except (OSError, ValueError, KeyError):
            faults.append(f"{path}: no report")
            continue
        if len(outputs) != len(pictures):
            faults.append(f"{path}: {len(outputs)} outputs")
        for name, digest in outputs.items():
            file = path.with_name(name)
            known.add(file)
            if not file.is_file() or sha256(file.read_bytes()) != digest:
                faults.append(f"{file}: missing or torn")
    faults += [f"{path}: left over" for path in out.rglob("*") if path.is_file() and path not in known]
    return faults + [f"{path}: left over" for path in out.rglob(".*") if path.is_dir()]


def kill(process: subprocess.Popen) -> None:
    """Sends SIGKILL to a process and all its descendants, which under torchrun have their own sessions."""
    family = [process.pid]
    for pid in family:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            family += map(int, children.read_text().split())
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def wait_and_kill(process: subprocess.Popen, out: Path, reached: int, moments) -> None:
    """Kills a run soon after OUT holds `reached` reports. moments: a random generator."""
    while process.poll() is None and len(reports(out)) < reached:
        time.sleep(0.002)
    time.sleep(moments.uniform(0, 0.5))  # so that kills do not always follow a finished photograph
    kill(process)
    time.sleep(0.2)  # until the other processes are gone too


def failures(log: Path) -> list[str]:
    """Names of the photographs that a log of --json lists as failed, without lines that a kill cut off."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return sorted({row["input"]["name"] for row in map(json.loads, lines) if row["status"] == "failed"})


def run(folder: Path, processes: int, options: list[str], kills: int) -> dict:
    """Restores folder/in into folder/out, killed `kills` times on the way; returns facts about all starts."""
    out, log, starts, stamps, again = folder / "out", folder / "log.jsonl", [], {}, []
    total = sum(path.is_file() for path in (folder / "in").rglob("*"))
    moments = np.random.default_rng(kills)
    words = [folder / "in", out, "--recursive", "--quiet", "--json", log, *options]
    command = runs.command("restore.py", *words, processes=processes)
    began = time.perf_counter()
    for start in range(kills + 1):
        with open(folder / f"stderr-{start}", "wb") as errors:
            process = subprocess.Popen(command, stderr=errors)
        if start < kills:
            wait_and_kill(process, out, total * (start + 1) // (kills + 2), moments)
        process.wait()
        before, stamps = stamps, {path: path.stat().st_mtime_ns for path in reports(out)}
        again += [str(path) for path, stamp in before.items() if stamps.get(path) != stamp]
        starts.append({"done": len(stamps), "unfinished": len(torn(out))})
    return {
        "status": process.returncode,
        "starts": starts,
        "done": len(stamps),
        "failed": failures(log),
        "again": again,  # done before a kill and nevertheless processed again
        "torn": torn(out),
        "stderr": (folder / f"stderr-{kills}").read_text(),
        "seconds": round(time.perf_counter() - began, 1),
    }


def judge(facts: dict, whole: list[str], broken: list[str], processes: int) -> bool:
    """Whether every whole photograph is done once, every broken one is reported, and nothing is left over."""
    # torchrun prints a traceback of its own when the status is 1
    tracebacks = facts["stderr"].count("Traceback") - (processes > 1)
    return (
        facts["status"] == 1
        and facts["done"] == len(whole)
        and facts["failed"] == sorted(broken)
        and not facts["torn"]
        and not facts["again"]
        and tracebacks <= 0
    )


def main() -> int:
    parser = record.parser(__doc__)
    number = partial(parser.add_argument, type=int)
    number("--photos", default=500, help="photographs, broken ones included (default: 500)")
    number("--broken", default=25, help="how many of them are broken (default: 25)")
    number("--kills", default=5, help="how often the run is ended by SIGKILL (default: 5)")
    number("--processes", default=1, help="processes, under torchrun if more than 1 (default: 1)")
    number("--seed", default=0, help="of the photographs (default: 0)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "in"
        whole, bad = (list(map(str, paths)) for paths in fill(photos, args.photos, args.broken, args.seed))
        facts = run(Path(name), args.processes, ["--device", "cpu"], args.kills)
        facts["failed"] = sorted(str(Path(path).relative_to(photos)) for path in facts["failed"])
    good = judge(facts, whole, bad, args.processes)
    named = len(facts.pop("failed"))
    del facts["stderr"]
    settings = {"kills": args.kills, "processes": args.processes}
    counts = {"good": good, "photos": args.photos, "broken": len(bad), "named": named}
    name = "archive" if args.processes == 1 else f"archive_{args.processes}"
    record.emit(name, {**counts, **settings, **facts}, args.store)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
