"""Writes all results of a photograph or none, also if the process is killed meanwhile.

They are first written into a hidden folder together with the report, and moved from there. What a killed
process leaves is recognized by the hashes in that report and removed by the next run.
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
    """Writes a photograph's files, all or none, the report last.

    final: STEM.json, which is written only if `commit`. A full disk loses nothing of what stood there before.
    Raises PhotoError if a file exists and `overwrite` is False, or if it cannot be written.
    """
    part, path, ready = _part(final), final, False
    try:
        part.mkdir(parents=True)
        for path, data in [*files.items(), (final, report)]:
            write_synced(part / path.name, data)
        ready = True
        if commit and overwrite:
            final.unlink(missing_ok=True)  # until the new one stands, the photograph is not done
        for path in [*files, *([final] if commit else [])]:
            refuse_existing(path, overwrite)
            os.replace(part / path.name, path)
    except BaseException as error:
        for moved in files if ready else ():
            if not (part / moved.name).exists():
                moved.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises PhotoError if the file exists and must not be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise PhotoError(f"{path} exists: give --overwrite to replace it")


def clear(final: Path) -> None:
    """Removes what a killed run left of a photograph: the hidden folder, and the files already moved from it.

    A file is ours if it has the very bytes that the run was about to deliver; all others are the user's.
    """
    part = _part(final)
    if not part.is_dir():
        return
    # If the report stands, that run was complete, or had not begun to replace an earlier one.
    if not os.path.lexists(final):
        with contextlib.suppress(OSError, ValueError, KeyError):  # no whole report: nothing was moved yet
            for name, digest in json.loads((part / final.name).read_text("utf-8"))["outputs"].items():
                path = final.with_name(name)
                if path.is_file() and sha256(path.read_bytes()) == digest:
                    path.unlink()
    shutil.rmtree(part, ignore_errors=True)


def _part(final: Path) -> Path:
    """The hidden folder in which a photograph's files wait until all are written."""
    return final.with_name(f".{final.stem}.part")
