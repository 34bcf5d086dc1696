"""Measures how much of eyes, mouths and ornaments the damage detector marks.

    python benchmarks/faces.py --data DIR [--weights FILE] [--no-tta]      prints one JSON object

Boxes drawn by hand, in faces.tsv, show where they are in the photographs of DIR/val/clean (undamaged) and
DIR/val/labelled (damaged). Damage is detected as `infer` does by default, and counted before and after the
default dilation ("widened"). In damaged photographs, pixels that the hand-made mask calls damaged or
undecided are not counted in a box, and a box without other pixels is left out. For each part: the number of
boxes, the share of their pixels that is marked, the share of boxes with any mark, and the share of all marked
pixels of the photographs that lies in boxes. "rows" has the counts of each photograph with a mark in a box.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import segment
from benchmarks import record
from data.checkpoint import fingerprint
from data.folder import images_in, pairs_in, validation
from data.photo import read_mask, read_photo
from data.pixels import luma
from engine.processes import pick_device

BOXES = ROOT / "benchmarks/faces.tsv"
PARTS = ("eye", "mouth", "ornament")
GROUPS = {"undamaged": "clean", "damaged": "labelled"}  # name in the result -> folder below val/


class Box(NamedTuple):
    """A part of a face in px of the upright photograph."""

    part: str
    left: int
    top: int
    width: int
    height: int

    @property
    def pixels(self):
        """Index of its pixels in an (H, W) array."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def read_boxes(path: Path) -> dict[str, list[Box]]:
    """name of a photograph -> its boxes. Raises ValueError for a line that is none."""
    boxes: dict[str, list[Box]] = {}
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    for line in lines[1:]:  # the first names the columns
        try:
            name, part, *numbers = line.split("\t")
            box = Box(part, *map(int, numbers))
        except (ValueError, TypeError):
            raise ValueError(f"{path.name}: not a box: {line!r}") from None
        if part not in PARTS or min(box.left, box.top) < 0 or min(box.width, box.height) < 1:
            raise ValueError(f"{path.name}: not a box: {line!r}")
        boxes.setdefault(name, []).append(box)
    return boxes


def count(boxes: list[Box], found, widened, counted) -> dict[str, dict]:
    """Numbers of boxes and pixels of each part in one photograph.

    found, widened: what is marked, before and after dilation; counted: the pixels that count in boxes; all
    (H, W) bool.
    """
    result = {}
    for part in PARTS:
        own = [box for box in boxes if box.part == part and counted[box.pixels].any()]
        inside = torch.zeros_like(counted)
        for box in own:
            inside[box.pixels] = counted[box.pixels]
        result[part] = {"boxes": len(own), "pixels": int(inside.sum())}
        for name, mask in (("marked", found), ("widened", widened)):
            result[part][name] = int((mask & inside).sum())
            result[part][f"boxes_{name}"] = sum(bool((mask & inside)[box.pixels].any()) for box in own)
    return result


def measure(finder, threshold: float, photo_path: Path, mask_path: Path | None, boxes: list[Box]) -> dict:
    """The counts of one photograph, and all its marked pixels. mask_path: of the hand-made mask, if any."""
    photo = read_photo(photo_path)
    prediction = finder(luma(photo.pixels))
    found, widened = (
        finder.mask(prediction, photo.size, threshold, dilate) for dilate in (0, segment.DILATE)
    )
    counted = torch.ones_like(found)
    if mask_path:
        counted = torch.from_numpy(read_mask(mask_path, photo.size)[0]) == 0
    all_marked = {"marked": int(found.sum()), "widened": int(widened.sum())}
    return {"all": all_marked, **count(boxes, found, widened, counted)}


def summary(rows: list[dict]) -> dict:
    """Shares over photographs, from their counts: "photos", and part -> shares."""

    def total(part, key):
        return sum(row[part][key] for row in rows)

    result: dict = {"photos": len(rows)}
    for part in PARTS:
        boxes, pixels = total(part, "boxes"), total(part, "pixels")
        result[part] = {"boxes": boxes, "pixels": pixels}
        for name in ("marked", "widened"):
            marked = total(part, name)
            result[part][name] = share(marked, pixels)
            result[part][f"boxes_{name}"] = share(total(part, f"boxes_{name}"), boxes)
            result[part][f"of_all_{name}"] = share(marked, total("all", name))
    return result


def share(some: int, whole: int) -> float:
    """0 of nothing."""
    return round(some / max(whole, 1), 5)


def with_marks(row: dict) -> dict:
    """The counts of one photograph without the parts that have no mark."""
    return {name: counts for name, counts in row.items() if name == "all" or counts["widened"]}


def photographs(folder: Path, boxes: dict[str, list[Box]]) -> dict[str, tuple[Path, Path | None]]:
    """name -> (photograph, hand-made mask or None) of those with boxes. Raises FileNotFoundError."""
    masks = dict(pairs_in(folder / "labelled"))
    paths = {path.relative_to(folder).with_suffix("").as_posix(): path for path in images_in(folder)}
    missing = sorted(boxes.keys() - paths)
    if missing:
        raise FileNotFoundError(f"{folder} has no {missing[0]} ({len(missing)} of {len(boxes)} are missing)")
    return {name: (paths[name], masks.get(paths[name])) for name in boxes}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder")
    parser.add_argument(
        "--weights", type=Path, default=segment.WEIGHTS, metavar="FILE", help="default: the bundled weights"
    )
    parser.add_argument(
        "--tta",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="test-time augmentation (default: on)",
    )
    args = parser.parse_args()
    boxes = read_boxes(BOXES)
    try:
        photos = photographs(validation(args.data), boxes)
    except FileNotFoundError as error:
        parser.error(f"--data: {error}")
    finder, threshold = segment.load(args.weights, pick_device("cpu"), tta=args.tta)
    counts = {}
    for number, (name, paths) in enumerate(photos.items(), 1):
        counts[name] = measure(finder, threshold, *paths, boxes[name])
        print(f"{number} of {len(photos)}: {name}", file=sys.stderr)
    results: dict = {
        group: summary([row for name, row in counts.items() if name.startswith(f"{folder}/")])
        for group, folder in GROUPS.items()
    }
    marked = {name: with_marks(row) for name, row in counts.items()}
    results["rows"] = {name: row for name, row in marked.items() if row.keys() != {"all"}}
    facts = {"weights_sha256": fingerprint(args.weights), "threshold": threshold, "tta": args.tta}
    record.emit("faces", results, args.store, **facts)


if __name__ == "__main__":
    main()
