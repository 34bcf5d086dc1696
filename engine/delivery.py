"""Writes all results of a photograph or none, even if the process is killed.

They are first written to a hidden folder together with the report, and moved from there. What they replace is
kept in that folder until all are moved. The folder holds the report as long as moves may have to be undone:
after a failure, and by the next run if the process was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from data.errors import PhotoError
from data.files import refuse_existing, sha256, write_synced

FORMER = "former"  # in the hidden folder: the files that are being replaced


def deliver(files: dict[Path, bytes], final: Path, report: bytes, commit: bool, overwrite: bool) -> None:
    """Writes all files of a photograph or none, the report last.

    final: STEM.json, written only if `commit`. Existing files are lost only once all new ones are in place.
    Raises PhotoError if a file exists and `overwrite` is False, or if it cannot be written.
    """
    part, path = _part(final), final
    moves = [*files, *([final] if commit else [])]
    clear(final)
    try:
        part.mkdir(parents=True)
        for path, data in [*files.items(), (final, report)]:
            write_synced(part / path.name, data)
        (part / FORMER).mkdir()
        for path in moves:
            refuse_existing(path, overwrite)
        for path in moves:
            _keep(path, part / FORMER / path.name)
        if commit and overwrite:
            final.unlink(missing_ok=True)  # the photograph is not done until the new report exists
        for path in moves:
            refuse_existing(path, overwrite)
            os.replace(part / path.name, path)
        _discard(final)
    except BaseException as error:
        with contextlib.suppress(PhotoError):  # the next run tries again
            _undo(final)
        if isinstance(error, OSError):
            path = path if path in moves else moves[0]
            raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None
        raise


def refuse_long(files: list[Path], final: Path, folder: Path) -> None:
    """Raises PhotoError if a name is too long for the disk, also of what `deliver` writes meanwhile.

    folder: any on that disk that exists.
    """
    try:
        limit = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError):  # Windows; a disk that does not tell
        limit = 255
    longest = max(len(os.fsencode(path.name)) for path in [*files, final, _part(final)])
    if longest > limit > 0:
        what = f"its results would have names of up to {longest} bytes, more than the {limit} of this disk"
        raise PhotoError(f"{what}: give a shorter --name or OUT")


def clear(final: Path) -> None:
    """Undoes what a killed run left of a photograph, and removes its hidden folder.

    Raises PhotoError if that folder is the user's, since it has other files, or if a file cannot be put back.
    """
    part = _part(final)
    if not os.path.lexists(part):
        return
    if part.is_symlink() or not part.is_dir() or not all(_is_ours(path, final) for path in part.rglob("*")):
        raise PhotoError(f"{part} is in the way: move it, or give another OUT")
    _undo(final)


def _keep(path: Path, kept: Path) -> None:
    """Gives a file that is to be replaced, if it exists, a second name. Raises OSError."""
    if os.path.lexists(path):
        try:
            os.link(path, kept, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a disk without hard links
            os.replace(path, kept)


def _undo(final: Path) -> None:
    """Takes back the files that an unfinished delivery has moved, and puts back those that it replaced.

    A file is ours if its bytes are exactly those that were to be delivered; all others belong to the user.
    Raises PhotoError if that fails; everything is then still in the hidden folder.
    """
    part, path = _part(final), final
    try:
        outputs = json.loads((part / final.name).read_text("utf-8"))["outputs"]
    except (OSError, ValueError, KeyError):
        outputs = {}  # without a complete report, nothing was moved yet, or everything
    try:
        for name, digest in outputs.items():
            path = final.with_name(name)
            moved = path.is_file() and not os.path.lexists(part / name)
            if moved and sha256(path.read_bytes()) == digest:
                os.replace(path, part / name)
        for name in [*outputs, final.name]:
            path, kept = final.with_name(name), part / FORMER / name
            if os.path.lexists(kept) and not os.path.lexists(path):
                os.replace(kept, path)
    except OSError as error:
        raise PhotoError(f"{path} cannot be put back: {error.strerror or error}") from None
    _discard(final)


def _discard(final: Path) -> None:
    """Removes the hidden folder, the report first: it says that the rest is still needed."""
    with contextlib.suppress(OSError):
        (_part(final) / final.name).unlink(missing_ok=True)
    shutil.rmtree(_part(final), ignore_errors=True)


def _is_ours(path: Path, final: Path) -> bool:
    """Whether something in the hidden folder is a result of this photograph, or the folder of former ones."""
    if path.is_dir():
        return path.name == FORMER and not path.is_symlink()
    return path.name.startswith(final.stem)


def _part(final: Path) -> Path:
    """The hidden folder in which a photograph's files wait until all are written."""
    return final.with_name(f".{final.stem}.part")
