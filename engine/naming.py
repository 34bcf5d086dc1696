"""Names of results: a photograph's stem, or what the template of `--name` makes of it."""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from data.folder import composed

STEM = "{stem}"
FIELDS = ("stem", "parent", "number")


@dataclass(frozen=True)
class Entry:
    """A listed photograph before its results are named."""

    path: Path
    relative: Path  # below the input folder
    error: str = ""  # why it cannot be processed


def template(text: str) -> str:
    """An argparse type: a template of `FIELDS` that gives each photograph of a folder its own name."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} has a brace without its partner") from None
    fields = {field for _, field, _, _ in parts if field is not None}
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    for field in sorted(fields - set(FIELDS)):
        raise argparse.ArgumentTypeError(f"{text!r}: {{{field}}} is none of {known}")
    if any(specification or conversion for _, _, specification, conversion in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: write the fields as {known}, without : or !")
    if not fields & {"stem", "number"}:
        raise argparse.ArgumentTypeError(f"{text!r} must contain {{stem}} or {{number}}")
    if set(text) & {"/", "\\", "\0"}:
        raise argparse.ArgumentTypeError(f"{text!r} names files, not folders: leave out / and \\")
    return text


def names(entries: list[Entry], template: str = STEM) -> list[str]:
    """The name of each entry's results, which may contain folders. {stem} is the file name with its suffix
    where several entries would share a name and their suffixes tell at least some of them apart.
    """
    width = len(str(len(entries)))

    def name(number: int, entry: Entry, stem: str) -> str:
        parent = Path(os.path.abspath(entry.path)).parent.name
        text = template.format(stem=stem, parent=parent, number=f"{number:0{width}}")
        return (entry.relative.parent / text).as_posix()

    numbered = list(enumerate(entries, 1))
    short = [name(number, entry, entry.relative.with_suffix("").name) for number, entry in numbered]
    full = [name(number, entry, entry.relative.name) for number, entry in numbered]
    variants = defaultdict(set)
    for brief, text, entry in zip(short, full, entries):
        if not entry.error:
            variants[folded(brief)].add(folded(text))
    return [text if len(variants[folded(brief)]) > 1 else brief for brief, text in zip(short, full)]


def folded(name: str) -> str:
    """A form of a name that is equal for all that may be one file: many disks do not distinguish A and a, or
    the ways in which Unicode writes an accent.
    """
    return composed(name.casefold())


def owners(entries: list[Entry], names: list[str]) -> list[Path | None]:
    """For each entry the earlier one that has the same name already, if there is one."""
    first: dict[str, Path] = {}
    found = []
    for entry, name in zip(entries, names):
        owner = entry.path if entry.error else first.setdefault(folded(name), entry.path)
        found.append(None if owner == entry.path else owner)
    return found
