"""Atomic writing of files, locks on folders, and the SHA-256 of files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from data.errors import PhotoError

_locks = set()  # handles of the locks of this process


def sha256(data: bytes) -> str:
    """The SHA-256 of `data`, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises PhotoError if the file exists and must not be replaced, as a folder never is. To be called
    before anything is computed, which takes time.
    """
    if os.path.isdir(path):  # Path.is_dir raises for names that are too long
        raise PhotoError(f"{path} is a folder: move it away, or write to another place")
    if os.path.lexists(path) and not overwrite:
        raise PhotoError(f"{path} exists: give --overwrite to replace it")


def write_whole(path: Path, data: bytes, overwrite: bool) -> None:
    """Writes a file whole or not at all; missing folders are created.

    Raises PhotoError as `refuse_existing`, or if it cannot be written (disk full, permissions).
    """
    write_together({Path(path): data}, overwrite)


def write_together(files: dict[Path, bytes], overwrite: bool) -> None:
    """`write_whole` of several files: none takes its place before all are on the disk."""
    waiting = {}
    try:
        for path, data in files.items():
            refuse_existing(path, overwrite)
            path.parent.mkdir(parents=True, exist_ok=True)
            # In the same folder, since os.replace cannot cross disks
            waiting[path] = path.with_name(f".{secrets.token_hex(8)}.tmp")
            write_synced(waiting[path], data)
        for path, temporary in waiting.items():
            os.replace(temporary, path)
    except OSError as error:
        raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        for temporary in waiting.values():
            with contextlib.suppress(OSError):
                temporary.unlink()  # only after a failure; otherwise it has been renamed


def append(path: Path, data: bytes) -> None:
    """Appends to a file all of `data` or nothing. Raises PhotoError if it cannot be written."""
    try:
        with open(path, "ab", buffering=0) as file:
            append_to(file, data)
    except OSError as error:
        raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None


def append_to(file: io.FileIO, data: bytes, alone: bool = True) -> None:
    """Appends to an open file all of `data`, or nothing if this process is `alone` in writing to it.

    Raises OSError.
    """
    start, left = os.fstat(file.fileno()).st_size, data
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        if alone and left != data:
            with contextlib.suppress(OSError):
                file.truncate(start)
        raise


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file through to the disk; otherwise a power failure may leave an empty file under the new
    name.

    Raises OSError.
    """
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def lock_folder(folder: Path, follow: bool = True) -> int | None:
    """The handle of a lock on a folder, for `unlock`; None if another process has the lock, or has just
    removed the folder. The lock ends with the process, even if processes that it started live on.

    follow: whether `folder` may be a symbolic link. On Windows, and on disks whose folders cannot be locked,
    every process gets a lock. Raises OSError, for what is no folder with ENOTDIR or ELOOP.
    """
    if fcntl is None:
        if not folder.is_dir() or (folder.is_symlink() and not follow):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        return os.open(os.devnull, os.O_RDONLY)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | (0 if follow else os.O_NOFOLLOW))
    except FileNotFoundError:
        return None
    _locks.add(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(folder)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        return handle
    unlock(handle)
    return None


def unlock(handle: int) -> None:
    _locks.discard(handle)
    os.close(handle)


def _forget_locks() -> None:
    """In a process just forked: a lock lasts as long as any process has its handle."""
    while _locks:
        os.close(_locks.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
