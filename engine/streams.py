"""Standard streams that may be closed, on a full disk, or read by nobody (no torch).

A daemon or cron job may start a command with any of them closed. Python then sets `sys.stdin` etc. to None,
and the next file that is opened gets the free descriptor, so that stray messages would be written into it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from data.errors import PhotoError
from data.files import append_to
from data.report import finite
from engine.launch import world


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Around a whole command: all three streams exist, and messages that cannot be written are dropped.

    A message is one write, so that the lines of several processes are not mixed.
    """
    _occupy_descriptors()
    former = sys.stderr
    if former is None or former is sys.__stderr__:  # otherwise somebody records it
        encoding = former.encoding if former else "utf-8"
        raw = _Unfailing(2 if former is None else former.fileno())
        sys.stderr = io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=True)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = former


def _occupy_descriptors() -> None:
    """Opens the null device in place of closed streams, in the other direction: reading and writing fail, as
    they should.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        mode, flags = ("r", os.O_WRONLY) if name == "stdin" else ("w", os.O_RDONLY)
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free descriptor, this one
        if getattr(sys, name) is None and name != "stderr":
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


class _Unfailing(io.RawIOBase):
    """Writes to a descriptor and ignores errors: the work must go on if nobody can read its messages."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data) -> int:
        left = memoryview(data).cast("B")
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self.descriptor, left) :]
        return len(data)


def read_input() -> bytes:
    """All of standard input. Raises PhotoError."""
    try:
        return sys.stdin.buffer.read()
    except (OSError, ValueError) as error:
        raise PhotoError(f"standard input {_reason(error, 'read')}") from None


def write_output(data: bytes) -> None:
    """Writes to standard output. Raises PhotoError."""
    with _output():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def print_json(content: dict, indent: int | None = None) -> None:
    """Prints one JSON object, in one line without `indent`. Raises PhotoError."""
    with _output():
        sys.stdout.write(json.dumps(finite(content), indent=indent) + "\n")  # one write, as for messages
        sys.stdout.flush()


def flush_output() -> None:
    """Writes what was printed on standard output. Raises PhotoError."""
    with _output():
        sys.stdout.flush()


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Turns errors of standard output into PhotoError. What is left in its buffer is dropped, since Python
    would fail again when it ends.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        raise PhotoError(f"standard output {_reason(error, 'written')}") from None


def _reason(error: Exception, what: str) -> str:
    if getattr(error, "errno", None) in (None, errno.EBADF):
        return "is closed"
    return f"cannot be {what}: {error.strerror}"


class Log:
    """The lines of `--json`: one for each photograph, written at once.

    path: a file, to which lines are appended; `-` for standard output; None for nothing. Raises OSError if
    the file cannot be opened. After the first line that cannot be written, nothing more is.
    """

    def __init__(self, path: Path | None):
        self.name = "standard output" if path == Path("-") else str(path)
        self.file = open(path, "ab", buffering=0) if path and path != Path("-") else None  # noqa: SIM115
        self.open = path is not None

    def write(self, line: str) -> None:
        """Appends a line. Raises PhotoError, once."""
        if not self.open:
            return
        try:
            if self.file:
                append_to(self.file, line.encode(), alone=world() == 1)
            else:
                with _output():
                    sys.stdout.write(line)
                    sys.stdout.flush()
        except (OSError, PhotoError) as error:
            self.open = False
            reason = f"{self.name} {_reason(error, 'written')}" if isinstance(error, OSError) else error
            raise PhotoError(f"--json: {reason}; processing continues") from None

    def close(self) -> None:
        if self.file:
            with contextlib.suppress(OSError):  # everything was written at once
                self.file.close()
