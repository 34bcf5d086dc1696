"""Lists the photographs of a command, and names their results."""

from __future__ import annotations

import codecs
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.errors import PhotoError, UserError
from data.folder import composed
from data.photo import IMAGE_SUFFIXES
from engine import streams
from engine.naming import STEM, Entry, folded, names, owners

STDIO = Path("-")  # standard input or output
_INFRARED_SUFFIXES = (".tif", ".tiff", ".TIF", ".TIFF")
_BOOKKEEPING = {"thumbs.db", "desktop.ini"}  # of the operating system, not worth a mention
_MOST_KINDS = 8  # suffixes named in one line


@dataclass(frozen=True)
class Source:
    """One input: where it is, and the name of its outputs."""

    path: Path  # STDIO: standard input
    name: str  # outputs are OUT/NAME_restored.png etc.; may contain folders
    stem: str  # its masks and hints in folders are named so; may contain folders
    error: str = ""  # why it cannot be processed at all
    # role -> file, or its bytes, for this photograph; set by `pairing.pair` and `pairing.correct`
    companions: dict[str, Path | bytes] = field(default_factory=dict)
    alike: Sequence[Path] = ()  # the photographs with its stem, itself included, of any folder

    def __str__(self) -> str:
        return "stdin" if self.path == STDIO else str(self.path)

    def require(self, role: str, given: Path | None) -> Path | bytes:
        """The companion of this role. Raises PhotoError if the folder `given` has none for this
        photograph.
        """
        if role not in self.companions:
            raise PhotoError(f"no {role} for it in {given}")
        return self.companions[role]


def read_list(path: Path) -> list[Path]:
    """The files and folders named in a file or on standard input, in order.

    They are separated by NUL if there is any, else by line ends (LF or CRLF); blank lines do not count. Names
    need not be UTF-8. Raises UserError if it cannot be read or names nothing.
    """
    try:
        data = streams.read_input() if path == STDIO else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        data = os.fsencode(data.decode("utf-16", "replace"))
    lines = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    paths = [Path(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise UserError(f"{'standard input' if path == STDIO else path} names no photographs")
    return paths


def list_photos(
    photos: list[Path],
    out: Path,
    recursive: bool,
    tell: Callable[[str], object] | None = None,
    name: str = STEM,
) -> list[Source]:
    """The photographs in files and folders, in order, each once. Those that cannot be processed have `error`
    set.

    Folders give their files with an image suffix, sorted. Infrared companions of others (STEM_IR.tif), hidden
    files, linked folders (which may form loops) and everything in OUT (results of an earlier run) are left
    out. tell: called with one line for each folder that has files of other kinds. name: template for the
    names of the results.
    """
    listed: list[Entry] = []
    for path in photos:
        if path != STDIO and os.path.isdir(path):
            missing = Entry(path, Path(path.resolve().name or "folder"), "no photographs in this folder")
            found, passed = _walk(path, out, recursive)
            listed += found or [missing]
            if passed and tell:
                tell(f"{path}: {passed_over(passed)}")
        else:
            listed.append(Entry(path, Path("stdin" if path == STDIO else path.name)))
    unique: dict[str, Entry] = {}
    for entry in listed:
        key = str(STDIO) if entry.path == STDIO else os.path.realpath(entry.path)
        unique.setdefault(key, entry)
    return _named(list(unique.values()), name)


def _named(entries: list[Entry], template: str) -> list[Source]:
    """Sources with the names of their results, and an error for those whose name another one has."""
    results, sharing = names(entries, template), _by_stem(entries)
    sources = []
    for entry, name, owner in zip(entries, results, owners(entries, results)):
        error = entry.error
        if owner:
            error = f"its results would have the names of those of {owner}: give another OUT, or a --name "
            error += "with {parent} or {number}"
        stem = str(entry.relative.with_suffix(""))
        sources.append(Source(entry.path, name, stem, error, alike=sharing[composed(stem)]))
    return sources


def _by_stem(entries: list[Entry]) -> dict[str, list[Path]]:
    """stem -> the photographs whose masks and hints are named so."""
    found: dict[str, list[Path]] = defaultdict(list)
    for entry in (entry for entry in entries if not entry.error):
        found[composed(str(entry.relative.with_suffix("")))].append(entry.path)
    return found


def passed_over(paths: list[Path]) -> str:
    """How many files of each suffix, the most frequent first: "3 files passed over: 2 .txt, 1 without a
    suffix".
    """
    counts = Counter(path.suffix.lower() for path in paths)
    ordered = sorted(counts.items(), key=lambda item: (item[0] == "", -item[1], item[0]))
    shown, others = ordered[:_MOST_KINDS], ordered[_MOST_KINDS:]
    parts = [f"{number} {suffix or 'without a suffix'}" for suffix, number in shown]
    parts += [f"{sum(number for _, number in others)} others"] if others else []
    return f"{len(paths)} file{'s' if len(paths) > 1 else ''} passed over: {', '.join(parts)}"


def _walk(folder: Path, out: Path, recursive: bool) -> tuple[list[Entry], list[Path]]:
    """The photographs of a folder, then the folders in it that cannot be read; and its files of other
    kinds.
    """
    # Not Path.resolve, which before Python 3.13 raises for circular links.
    paths, passed, unreadable, results = [], [], [], os.path.realpath(out)
    for root, folders, files in os.walk(folder, onerror=unreadable.append):
        parent = Path(root)
        folders[:] = sorted(
            name
            for name in folders
            if recursive and name[0] != "." and os.path.realpath(parent / name) != results
        )
        photos = [parent / name for name in sorted(files) if _is_photo(parent / name)]
        infrared = {path.name for path in map(infrared_beside, photos) if path}
        # Where the disk ignores case, the file may be spelled otherwise
        folded = {name.casefold() for name in infrared.difference(files)}
        paths += [p for p in photos if p.name not in infrared and p.name.casefold() not in folded]
        passed += [parent / name for name in files if _is_other(parent / name)]
    failed = [
        Entry(Path(error.filename), Path(error.filename), f"cannot be read: {error.strerror}")
        for error in unreadable
    ]
    return [Entry(path, path.relative_to(folder)) for path in paths] + failed, passed


def infrared_beside(photo: Path) -> Path | None:
    """The infrared picture STEM_IR.tif in the folder of a photograph, if there is one."""
    paths = (photo.parent / f"{photo.stem}_IR{suffix}" for suffix in _INFRARED_SUFFIXES)
    return next((path for path in paths if os.path.isfile(path)), None)


def _is_photo(path: Path) -> bool:
    """Whether it is a visible file with an image suffix, and not a pipe or device, which may never end.

    A dangling link counts; it fails later, with its name.
    """
    if path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
        return False
    return path.is_file() or not path.exists()


def _is_other(path: Path) -> bool:
    """Whether it is a visible file whose suffix is none of a picture that can be read."""
    if path.name.startswith(".") or path.name.lower() in _BOOKKEEPING:
        return False
    return path.suffix.lower() not in IMAGE_SUFFIXES and path.is_file()


def keep_apart(sources: list[Source], suffixes: Callable[[Source], list[str]]) -> list[Source]:
    """The sources, with an error for those that would write a file of an earlier one: a_restored.jpg in color
    has the name of a.jpg restored and in color. suffixes: gives those of a source's results.
    """
    owner: dict[str, Source] = {}
    apart = []
    for source in sources:
        results = [] if source.error else [f"{source.name}{suffix}" for suffix in suffixes(source)]
        if taken := next((name for name in results if folded(name) in owner), None):
            other = owner[folded(taken)]
            error = f"{taken} is already a result of {other}: give another OUT, or another --name"
            source = replace(source, error=error)
        else:
            owner |= dict.fromkeys(map(folded, results), source)
        apart.append(source)
    return apart
