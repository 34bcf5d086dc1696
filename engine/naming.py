"""Names of results: a photograph's stem, or what the template of `--name` makes of it."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

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
    where several entries would get the same name.
    """
    width = len(str(len(entries)))

    def name(number: int, entry: Entry, stem: str) -> str:
        parent = Path(os.path.abspath(entry.path)).parent.name
        text = template.format(stem=stem, parent=parent, number=f"{number:0{width}}")
        return (entry.relative.parent / text).as_posix()

    short = [name(number, entry, entry.relative.with_suffix("").name) for number, entry in _numbered(entries)]
    # Case is folded, since many file systems do not distinguish A and a.
    uses = Counter(text.casefold() for text, entry in zip(short, entries) if not entry.error)
    return [
        name(number, entry, entry.relative.name) if uses[text.casefold()] > 1 else text
        for text, (number, entry) in zip(short, _numbered(entries))
    ]


def _numbered(entries: list[Entry]) -> list[tuple[int, Entry]]:
    return list(enumerate(entries, 1))


def owners(entries: list[Entry], names: list[str]) -> list[Path | None]:
    """For each entry the earlier one that has the same name already, if there is one."""
    first: dict[str, Path] = {}
    found = []
    for entry, name in zip(entries, names):
        owner = entry.path if entry.error else first.setdefault(name.casefold(), entry.path)
        found.append(None if owner == entry.path else owner)
    return found
