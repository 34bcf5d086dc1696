"""What a run says on standard error: failures, the gravest warning of each photograph, and how it ended."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from data.errors import PhotoError, UserError, lacks_memory
from engine.inputs import STDIO
from engine.launch import rank, world

# A phrase of each kind of warning, the gravest first. All others are about what a file format cannot hold.
GRAVITY = (
    "looks like",
    "already in color",
    "is in color",
    "holes cover",
    "all marks were dropped",
    "no damage is certain enough",
    "the mask is colored",
    " resized from ",
    "the mask is empty",
    "GPU memory ran out",
    "hints are empty",
    "very small photograph",
    "toned print",
    "infrared",
    "no damage was found",
    "JPEG is not lossless",
)


def say(line: str) -> None:
    """Prints one line on standard error, even if names contain line breaks or bytes that are not UTF-8."""
    tqdm.write("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), file=sys.stderr)


def say_all(lines: list[str]) -> None:
    """Prints each of these lines as `say` does."""
    for line in lines:
        say(line)


def report_failure(name: str, error: Exception) -> str:
    """Prints why a photograph failed, and returns it as one line. Bugs also print their traceback."""
    if lacks_memory(error):
        error = PhotoError("not enough memory")
    is_bug = not isinstance(error, UserError)
    reason = " ".join((f"{type(error).__name__}: {error}" if is_bug else str(error)).split())
    say(f"{name}: {reason}")
    if is_bug:
        tqdm.write("".join(traceback.format_exception(error)).rstrip(), file=sys.stderr)
    return reason


def summary(warnings: list[str]) -> str:
    """The only warning, or their number and the gravest of them."""
    if len(warnings) == 1:
        return warnings[0]
    return f"{len(warnings)} warnings, most serious: {min(warnings, key=_gravity)}"


def _gravity(warning: str) -> int:
    """The place of a warning among all kinds, 0 the gravest."""
    return next((place for place, phrase in enumerate(GRAVITY) if phrase in warning), len(GRAVITY))


class Progress:
    """Tells of a run, unless it is `quiet`: a line for each photograph with warnings, and one at the end.

    out: where the results are.
    """

    def __init__(self, out: Path, quiet: bool):
        self.out, self.quiet = out, quiet
        self.count: Counter[str] = Counter()  # status -> photographs

    def add(self, name: str, status: str, warnings: list[str]) -> None:
        """Tells of one photograph. status: as in a line of `--json`, done, skipped or failed."""
        self.count[status] += 1
        if status == "done" and warnings and not self.quiet:
            say(f"{name}: {summary(warnings)}")

    def end(self) -> None:
        """Tells how many photographs were done, skipped and failed, and where the results are."""
        if self.quiet or self.out == STDIO:
            return
        words = {"done": "done", "skipped": "skipped (already done)", "failed": "failed"}
        parts = [f"{self.count[status]} {word}" for status, word in words.items() if self.count[status]]
        number, _, rest = (parts or ["0 done"])[0].partition(" ")
        parts[:1] = [f"{number} photograph{'s' * (number != '1')} {rest}"]
        process = f"process {rank() + 1} of {world()}: " if world() > 1 else ""
        where = f": results in {self.out}" if self.count["done"] or self.count["skipped"] else ""
        say(f"{process}{', '.join(parts)}{where}")
