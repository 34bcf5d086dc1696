"""Keeps freed memory in the process, because the system clears each page that it hands out."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # from malloc.h of glibc
LARGEST_BLOCK = 1 << 30  # bytes; larger blocks are returned to the system when they are freed
LARGEST_REST = 256 << 20  # bytes of free memory at the end of the heap that are kept; more raises the peak
STEP = 1 << 20  # bytes by which the heap grows


def keep_freed_memory() -> None:
    """Makes glibc's malloc reuse large blocks, which it otherwise returns to the system at once; does nothing
    elsewhere, or where the environment sets these values (mallopt(3)).

    A network allocates and frees up to some hundred megabytes in each layer, so without this a good part of
    the processor time goes into clearing pages.
    """
    if not any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        set_thresholds(LARGEST_BLOCK, LARGEST_REST, STEP)


def set_thresholds(mapped: int, trimmed: int, step: int) -> None:
    """Bytes from which blocks are mapped one by one, free bytes from which the heap shrinks, and bytes by
    which it grows. Does nothing without glibc.
    """
    if is_glibc():
        mallopt = ctypes.CDLL(None).mallopt
        for name, value in ((M_MMAP_THRESHOLD, mapped), (M_TRIM_THRESHOLD, trimmed), (M_TOP_PAD, step)):
            mallopt(name, value)


def is_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, OSError, ValueError):  # another system or C library
        return False
