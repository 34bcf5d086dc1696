"""Trains on a GPU in limited time (--minutes), from a small copy of a data folder.

    python benchmarks/train_on_gpu.py pack segment DIR packed/               at most 60 MB of a data folder
    python benchmarks/train_on_gpu.py train segment packed/ runs/s --minutes 9 --width 16 --batch-size 64
    python benchmarks/train_on_gpu.py train segment packed/ runs/s --device cpu --minutes 1 --batch-size 2

`pack` copies the files that the stage reads. Photographs of clean/ are re-encoded as WebP, and as many as fit
are chosen evenly from each of its folders. `train` is the stage's own command with the remaining options. It
saves a checkpoint every two minutes, and the same command resumes until the minutes of the run are used up.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import colorize
import inpaint
import segment
from data import checks
from data.folder import evenly_chosen, grouped, images_in

STAGES = {stage.STAGE: stage for stage in (segment, inpaint, colorize)}
# Folders of val/ that each stage reads, copied in full
VALIDATION = {"segment": ("labelled", "negatives"), "inpaint": ("clean",), "colorize": ("clean",)}
QUALITY = 75  # of WebP: hardly visible at the scale of training, at half the size of a good JPEG
CLEAN_OF_VAL = 12  # undamaged photographs that training checks for false detections
MEGABYTE = 10**6


def smaller(path: Path) -> tuple[bytes, str]:
    """A photograph, upright, as WebP of QUALITY, or the file itself if that is smaller; and the suffix."""
    file = io.BytesIO()
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        upright.convert("L" if upright.mode == "L" else "RGB").save(file, "WEBP", quality=QUALITY)
    original = path.read_bytes()
    return min((file.getvalue(), ".webp"), (original, path.suffix), key=lambda pair: len(pair[0]))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def pack_photos(photos: list[Path], source: Path, target: Path, most: float) -> int:
    """Packs as many of these photographs below `source` as fit into `most` bytes; returns their number."""
    average = sum(len(smaller(path)[0]) for path in evenly_chosen(photos, 20)) / max(1, min(20, len(photos)))
    used = count = 0
    for path in evenly_chosen(photos, int(most / max(average, 1))):
        data, suffix = smaller(path)
        if used + len(data) > most:
            break
        place = target / path.relative_to(source)
        if suffix != path.suffix:
            place = place.with_name(path.name + suffix)  # a.jpg and a.png stay two files
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        used, count = used + len(data), count + 1
    return count


def copy(path: Path, source: Path, target: Path) -> None:
    """Copies a file or folder to the same place below `target`."""
    place = target / path.relative_to(source)
    if path.is_dir():
        shutil.copytree(path, place)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


def pack(stage: str, data: Path, out: Path, megabytes: float) -> int:
    """Fills OUT and prints what is in it; returns the exit status."""
    if out.exists() and any(out.iterdir()):
        print(f"{out} is not empty: give another folder", file=sys.stderr)
        return 2
    parts = [part for part in checks.PARTS[stage] if part != "clean"]
    for part in [*parts, *(f"val/{part}" for part in VALIDATION[stage])]:
        if (data / part).is_dir():
            copy(data / part, data, out)
    if stage == "segment":
        for path in evenly_chosen(images_in(data / "val/clean"), CLEAN_OF_VAL):
            copy(path, data, out)
    left = megabytes * MEGABYTE - size(out)
    groups = grouped(data / "clean")
    if not groups:
        print(f"{data / 'clean'}: no photographs", file=sys.stderr)
        return 2
    if left <= 0:
        print(f"no room for clean/: the rest takes {size(out) / MEGABYTE:.1f} MB", file=sys.stderr)
        return 2
    for group in groups:
        count = pack_photos(group, data, out, left / len(groups))
        print(f"{group[0].parent.relative_to(data)}: {count} photographs")
    print(f"{out}: {size(out) / MEGABYTE:.1f} MB")
    return 0


def train(stage: str, data: Path, run: Path, minutes: float, options: list[str]) -> int:
    """Runs the stage's own `train` for a limited time; returns its exit status."""
    common = ["--data", data, "--run-dir", run, "--minutes", minutes]
    return STAGES[stage].main(["train", *map(str, common), *options])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    command = commands.add_parser("pack", help="fill a small data folder")
    command.add_argument("stage", choices=STAGES)
    command.add_argument("data", type=Path, metavar="DIR")
    command.add_argument("out", type=Path, metavar="OUT")
    command.add_argument("--megabytes", type=float, default=60, help="of 10^6 bytes, at most (default: 60)")
    command = commands.add_parser("train", help="train for a time; further options are those of the stage")
    command.add_argument("stage", choices=STAGES)
    command.add_argument("data", type=Path, metavar="PACKED")
    command.add_argument("run", type=Path, metavar="RUN")
    command.add_argument("--minutes", type=float, default=9, help="of the whole run (default: 9)")
    args, options = parser.parse_known_args()
    if args.what == "train":
        return train(args.stage, args.data, args.run, args.minutes, options)
    if options:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    return pack(args.stage, args.data, args.out, args.megabytes)


if __name__ == "__main__":
    sys.exit(main())
