"""Writes all results of a photograph or none, even if the process is killed.

They are first written to a hidden folder together with the report, and moved from there. What they replace is
kept in that folder until all are moved. The folder holds the report as long as moves may have to be undone:
after a failure, and by the next run if the process was killed. Two runs at once into one OUT take turns.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from pathlib import Path

from data.errors import PhotoError
from data.files import lock_folder, refuse_existing, sha256, unlock, write_synced

FORMER = "former"  # in the hidden folder: the files that are being replaced
WAIT = 60  # seconds for another run to finish writing a photograph, which takes a few at most


def deliver(files: dict[Path, bytes], final: Path, report: bytes, commit: bool, overwrite: bool) -> None:
    """Writes all files of a photograph or none, the report last.

    final: STEM.json, written only if `commit`. Existing files are lost only once all new ones are in place.
    Raises PhotoError if a file exists and `overwrite` is False, or if it cannot be written.
    """
    part, path = _part(final), final
    moves = [*files, *([final] if commit else [])]
    try:
        with _claimed(final), _undone_on_failure(final):
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
    except OSError as error:
        path = path if path in moves else moves[0]
        raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None


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
    """Undoes what a killed run left of a photograph, and removes its hidden folder; waits if another run is
    writing the photograph at that moment.

    Raises PhotoError if that folder is the user's, since it has other files, or if a file cannot be put back.
    """
    if os.path.lexists(_part(final)):
        try:
            with _claimed(final):
                pass
        except OSError as error:
            raise PhotoError(f"{_part(final)} cannot be removed: {error.strerror or error}") from None


@contextlib.contextmanager
def _claimed(final: Path):
    """Keeps the hidden folder, made if need be, for this process, without what a killed run left in it. It is
    removed in the end if it is empty.

    The claim is a lock on the folder, which ends with the process, so that what a killed run left can be told
    from what another run is writing. Raises OSError and, as `clear`, PhotoError, also if another run holds
    the folder for long.
    """
    part, end = _part(final), time.monotonic() + WAIT
    while (lock := _lock(part)) is None:
        if time.monotonic() > end:
            raise PhotoError("another run is writing its results: try again when that has finished")
        time.sleep(0.02)
    try:
        left = list(part.rglob("*"))
        if not all(_is_ours(path, final) for path in left):
            raise _in_the_way(part)
        if left:
            _undo(final)
        yield
    finally:
        with contextlib.suppress(OSError):
            part.rmdir()
        unlock(lock)


def _lock(folder: Path) -> int | None:
    """`lock_folder` of a folder that is made if need be. Raises OSError and PhotoError."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
    try:
        return lock_folder(folder, follow=False)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise _in_the_way(folder) from None
        raise


def _in_the_way(part: Path) -> PhotoError:
    return PhotoError(f"{part} is in the way: move it, or give another OUT")


@contextlib.contextmanager
def _undone_on_failure(final: Path):
    try:
        yield
    except BaseException:
        with contextlib.suppress(PhotoError):  # the next run tries again
            _undo(final)
        raise


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
    """Empties the hidden folder, the report first: it says that the rest is still needed."""
    part = _part(final)
    with contextlib.suppress(OSError):
        (part / final.name).unlink(missing_ok=True)
    for path in part.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _is_ours(path: Path, final: Path) -> bool:
    """Whether something in the hidden folder is a result of this photograph, or the folder of former ones."""
    if path.is_dir():
        return path.name == FORMER and not path.is_symlink()
    return path.name == final.stem or path.name.startswith((f"{final.stem}_", f"{final.stem}."))


def _part(final: Path) -> Path:
    """The hidden folder in which a photograph's files wait until all are written."""
    return final.with_name(f".{final.stem}.part")
