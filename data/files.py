"""Files written whole or not at all, and the SHA-256 of their bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from data.errors import PhotoError


def sha256(data: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes, overwrite: bool) -> None:
    """Write the file whole or not at all; missing folders are made.

    PhotoError: it exists and `overwrite` is False, or it cannot be written (full disk, permission).
    """
    path = Path(path)
    if not overwrite and os.path.lexists(path):
        raise PhotoError(f"{path} exists: give --overwrite to replace it")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")  # same folder: os.replace cannot cross disks
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_synced(temporary, data)
        os.replace(temporary, path)
    except OSError as error:
        raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # after a failure; when all went well it is gone already


def write_synced(path: Path, data: bytes) -> None:
    """Write a file down to the disk: else a power cut may leave the new name with no content.
    Raises OSError.
    """
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
