"""Writes all results of a photograph or none, even if the process is killed.

They are first written to a hidden folder together with the report, and moved from there. Files left by a
killed process are recognized by the hashes in that report and removed by the next run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from data.errors import PhotoError
from data.files import sha256, write_synced


def deliver(files: dict[Path, bytes], final: Path, report: bytes, commit: bool, overwrite: bool) -> None:
    """Writes all files of a photograph or none, the report last.

    final: STEM.json, written only if `commit`. A full disk does not destroy existing files. Raises PhotoError
    if a file exists and `overwrite` is False, or if it cannot be written.
    """
    part, path, ready = _part(final), final, False
    moves = [*files, *([final] if commit else [])]
    clear(final)
    try:
        part.mkdir(parents=True)
        for path, data in [*files.items(), (final, report)]:
            write_synced(part / path.name, data)
        for path in moves:
            refuse_existing(path, overwrite)
        ready = True
        if commit and overwrite:
            final.unlink(missing_ok=True)  # the photograph is not done until the new report exists
        for path in moves:
            refuse_existing(path, overwrite)
            os.replace(part / path.name, path)
    except BaseException as error:
        for moved in files if ready else ():
            if not (part / moved.name).exists():
                moved.unlink(missing_ok=True)
        if isinstance(error, OSError):
            path = path if path in moves else moves[0]
            raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises PhotoError if the file exists and must not be replaced, as a folder never is."""
    if path.is_dir():
        raise PhotoError(f"{path} is a folder: move it away, or give another OUT")
    if os.path.lexists(path) and not overwrite:
        raise PhotoError(f"{path} exists: give --overwrite to replace it")


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
    """Removes what a killed run left of a photograph: the hidden folder, and files already moved out of it.

    A file is ours if its bytes are exactly those that the run was about to deliver; all others belong to the
    user. Raises PhotoError if the hidden folder is the user's, since it has other files.
    """
    part = _part(final)
    if not os.path.lexists(part):
        return
    if part.is_symlink() or not part.is_dir() or not all(_is_ours(path, final) for path in part.iterdir()):
        raise PhotoError(f"{part} is in the way: move it, or give another OUT")
    # If the report exists, that run was complete, or had not started to replace an earlier one.
    if not os.path.lexists(final):
        # Without a complete report nothing was moved yet
        with contextlib.suppress(OSError, ValueError, KeyError):
            for name, digest in json.loads((part / final.name).read_text("utf-8"))["outputs"].items():
                path = final.with_name(name)
                if path.is_file() and sha256(path.read_bytes()) == digest:
                    path.unlink()
    shutil.rmtree(part, ignore_errors=True)


def _is_ours(path: Path, final: Path) -> bool:
    """Whether a file in the hidden folder has the name of a result of this photograph."""
    return path.name.startswith(final.stem) and path.is_file()


def _part(final: Path) -> Path:
    """The hidden folder in which a photograph's files wait until all are written."""
    return final.with_name(f".{final.stem}.part")
