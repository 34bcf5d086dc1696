"""Files that go with a photograph: its mask, protected areas, hints and infrared picture, paired by name."""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from data.corrections import Correction
from data.errors import PhotoError, UserError
from data.files import sha256
from data.folder import composed
from data.photo import IMAGE_SUFFIXES, MAX_PIXELS, read_bytes, read_photo, read_size
from engine.inputs import STDIO, Source, infrared_beside

BESIDE = Path("STEM_IR.tif")  # for `pair`: this file in the photograph's own folder


def pictures_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The pictures of a folder by their names without suffix, in the form NFC, sorted; none if there is no
    such folder. Raises PhotoError if it may not be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror}") from None
    found: dict[str, list[Path]] = {}
    for path in paths:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found.setdefault(composed(path.stem), []).append(path)
    return found


def pairer(given: dict[str, Path | None]) -> Callable[[Source], Source]:
    """`pair` for many photographs, with each folder listed once."""
    return partial(pair, given=given, listing=cache(pictures_by_stem))


def pair(source: Source, given: dict[str, Path | None], listing=pictures_by_stem) -> Source:
    """The source with its companions.

    given: role -> file, folder, BESIDE or None. In a folder, the companion is the picture with the name of
    the photograph, with or without _ROLE: a.jpg_mask.png, or else a.png or a_mask.png, which photographs of
    one folder share that differ in their suffix only. listing: as `pictures_by_stem`. Raises PhotoError if
    two files match, if a photograph of another folder could have it as well, or if the folder may not be
    read.
    """
    companions = {role: _companion(path, role, source, listing) for role, path in given.items() if path}
    return replace(source, companions={role: path for role, path in companions.items() if path})


def check(sources: list[Source], given: dict[str, Path | None], max_pixels: int = MAX_PIXELS) -> None:
    """Raises UserError if a mask or hints cannot be read, or if one file is given for several photographs of
    which not all have its size. Photographs that cannot be read are left to the loop, which names them one by
    one.

    given: as for `pair`.
    """
    paths = [source.path for source in sources if not source.error and source.path != STDIO]
    for role, file in given.items():
        own = None if file in (None, BESIDE) else _readable(role, file, max_pixels)
        for path in paths if own and len(paths) > 1 else ():
            if (size := _size(path, max_pixels)) and size != own:
                what = f"--{role} {file} is one file, {own[0]} x {own[1]} px, for {len(paths)} photographs"
                what += f", but {path} has {size[0]} x {size[1]} px: give a folder with a file for each"
                raise UserError(what)


def unmatched(sources: list[Source], given: dict[str, Path | None]) -> list[str]:
    """A line for each folder of protections or hints that has a file for none of the photographs: they may be
    left out, so nothing else would tell. Missing masks are named one by one.

    given: as for `pair`.
    """
    listing = cache(pictures_by_stem)

    def matches(role: str, source: Source) -> bool:
        try:
            return _companion(given[role], role, source, listing) is not None
        except PhotoError:  # several match, or the folder may not be read; the loop tells
            return True

    roles = [role for role in ("protect", "hints") if given.get(role) and os.path.isdir(given[role])]
    what = "has no picture with the name of a photograph of this run, so it is not used"
    return [
        f"--{role} {given[role]} {what}"
        for role in roles
        if sources and not any(matches(role, source) for source in sources)
    ]


def _readable(role: str, given: Path, max_pixels: int) -> tuple[int, int] | None:
    """(width, height) of the mask or hints given as a file, None for a folder. Raises UserError if it cannot
    be read, which would fail for each photograph again.
    """
    if os.path.isdir(given):
        if not os.access(given, os.R_OK | os.X_OK):
            raise UserError(f"--{role} {given}: cannot be read: {os.strerror(errno.EACCES)}")
        return None
    try:
        if os.path.exists(given) and given.is_fifo():
            raise PhotoError("is a pipe, which gives its content only once: save it as a file")
        return read_photo(given, max(MAX_PIXELS, max_pixels)).size
    except PhotoError as error:
        raise UserError(f"--{role} {given}: {error}") from None


def _size(path: Path, max_pixels: int) -> tuple[int, int] | None:
    try:
        return read_size(path, max_pixels)
    except PhotoError:
        return None


def correct(source: Source, correction: Correction, digest: str) -> Source:
    """The source with mask and hints of a correction in place of others.

    digest: SHA-256 of the photograph's file. Raises PhotoError if another one was corrected.
    """
    if digest != correction.sha256:
        raise PhotoError("the file has changed since it was corrected")
    drawn = {"mask": correction.mask, **({"hints": correction.hints} if correction.hints else {})}
    return replace(source, companions={**source.companions, **drawn})


def digests(source: Source) -> dict[str, str]:
    """role -> SHA-256 of the companion. Raises PhotoError if one cannot be read."""
    found = {}
    for role, given in source.companions.items():
        try:
            found[role] = sha256(given if isinstance(given, bytes) else read_bytes(given))
        except PhotoError as error:
            raise PhotoError(f"{role} {given}: {error}") from None
    return found


def _companion(given: Path, role: str, source: Source, listing: Callable) -> Path | None:
    if given == BESIDE:
        return None if source.path == STDIO else infrared_beside(source.path)
    if not os.path.isdir(given):  # is_dir() raises for names that are too long
        return given
    stem = _spelled(given, Path(source.stem))
    try:
        pictures = listing(stem.parent)
    except PhotoError as error:
        raise PhotoError(f"{role} {stem.parent}: {error}") from None
    own = composed(source.path.name)
    namesakes = [path for path in source.alike if composed(path.name) == own]
    for name, sharing in ((own, namesakes), (composed(stem.name), source.alike)):
        fitting = [path for key in (name, f"{name}_{role}") for path in pictures.get(key, ())]
        if fitting:  # perhaps photographs themselves, among which masks may lie
            photographs = {os.path.realpath(path) for path in source.alike}
            fitting = [path for path in fitting if os.path.realpath(path) not in photographs]
        if fitting:
            return _only(fitting, role, source, sharing)
    return None


def _only(fitting: list[Path], role: str, source: Source, sharing: Sequence[Path]) -> Path:
    """The one file that fits. sharing: the photographs that it fits. Raises PhotoError if it is none of one
    folder, or if there are several files.
    """
    if len(fitting) > 1:
        raise PhotoError(f"both {fitting[0]} and {fitting[1]} could be its {role}: remove one")
    own = os.path.realpath(source.path.parent)
    for other in sharing:
        if os.path.realpath(other.parent) != own:
            what = f"{fitting[0]} could be for it or for {other}"
            raise PhotoError(f"{what}: process them in two runs, each with its own --{role}")
    return fitting[0]


def _spelled(folder: Path, relative: Path) -> Path:
    """A path below the folder, whose own folders may have their names in another Unicode form there."""
    forms = (unicodedata.normalize(form, str(relative.parent)) for form in ("NFC", "NFD"))
    existing = (folder / form for form in (relative.parent, *forms) if os.path.isdir(folder / form))
    return next(existing, folder / relative.parent) / relative.name
