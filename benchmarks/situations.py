"""Situations from public bug reports, drawn anew, and whether restore.py and the stages master them.

    python benchmarks/situations.py [--checkout DIR] [--only WORD] [--store]

Draws the files, runs the commands of a checkout in processes of their own, and looks at the results with
other programs (tifffile, Pillow, imagecodecs, a parser of PNG chunks). Each of the 59 situations is right,
poor (right, but badly said), wrong, or skipped for a reason. Prints one JSON object; exit status 1 if one is
wrong. Results of another checkout are stored as situations_before. The situations are in cases/.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image, UnidentifiedImageError

from benchmarks import record
from benchmarks.cases import colors, commands, drawing, texts, tiffs, training  # noqa: F401
from benchmarks.cases.trial import SITUATIONS, Batch, Situation, Trial, Verdict, Wrong


def verdict(check) -> tuple[str, str]:
    """(right, poor, wrong or skipped, reason) of a call."""
    try:
        check()
    except Verdict as reason:
        return type(reason).__name__.lower(), " ".join(str(reason).split())
    except Exception as error:  # the result is not what the check can read
        return "wrong", f"{type(error).__name__}: {error}"
    return "right", ""


def mask_for(path: Path, folder: Path) -> None:
    """A mask with a few marked pixels, of the size of a photograph."""
    try:
        with Image.open(path) as picture:
            size = picture.size
    except (OSError, ValueError, UnidentifiedImageError):
        size = drawing.SIZE
    size = size if size[0] > 60 else drawing.SIZE  # a thumbnail
    mask = Image.new("L", size)
    mask.paste(255, (20, 30, 26, 34))
    folder.mkdir(exist_ok=True)
    mask.save(folder / f"{path.stem}.png")


def run_batch(situations: list[Situation], trial: Trial) -> dict[str, tuple[str, str]]:
    """Situations whose files one command processes: name -> verdict."""
    folder, waiting, results = trial.folder / "in", {}, {}
    folder.mkdir()
    for situation in situations:
        steps: Generator = situation.check(folder)
        names: list[str] = []
        results[situation.name] = verdict(lambda steps=steps, names=names: names.extend(next(steps)))
        if names:
            waiting[situation.name] = steps, names
    files = [name for _, names in waiting.values() for name in names]
    for name in files:
        mask_for(folder / name, trial.folder / "masks")
    batch = Batch(trial, situations[0].batch, files)
    for name, (steps, _) in waiting.items():
        results[name] = verdict(lambda steps=steps: ended(steps, batch))
    return results


def ended(steps: Generator, batch: Batch) -> None:
    """Runs the second half of a situation."""
    try:
        steps.send(batch)
    except StopIteration:
        return
    raise Wrong("yields twice")


def run_all(situations: list[Situation], checkout: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """The verdicts of all situations: name -> (verdict, reason)."""
    results, batches = {}, defaultdict(list)
    for situation in situations:
        if situation.batch:
            batches[situation.batch].append(situation)
    for number, batch in enumerate(batches.values()):
        results |= run_batch(batch, Trial(folder / f"batch{number}", checkout))
    for number, situation in enumerate(situations):
        if not situation.batch:
            trial = Trial(folder / str(number), checkout)
            results[situation.name] = verdict(lambda trial=trial, situation=situation: situation.check(trial))
        print(situation.name, *results[situation.name], sep=": ", file=sys.stderr)
    return results


def arguments() -> argparse.Namespace:
    parser = record.parser(__doc__)
    text = "checkout whose scripts are run (default: this one)"
    parser.add_argument("--checkout", type=Path, default=ROOT, metavar="DIR", help=text)
    text = "only situations whose kind or name has this word (default: all)"
    parser.add_argument("--only", default="", metavar="WORD", help=text)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    situations = [s for s in SITUATIONS if args.only.lower() in f"{s.kind} {s.name}".lower()]
    with tempfile.TemporaryDirectory() as folder:
        found = run_all(situations, args.checkout.resolve(), Path(folder))
        places = (f"{folder}/", f"{args.checkout.resolve()}/")
    rows = []
    for situation in situations:
        result, reason = found[situation.name]
        for place in places:  # of this machine
            reason = reason.replace(place, "")
        rows.append({"kind": situation.kind, "name": situation.name, "verdict": result, "reason": reason})
    before = args.checkout.resolve() != ROOT
    record.emit("situations_before" if before else "situations", rows, args.store and not args.only)
    return int(any(row["verdict"] == "wrong" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
