"""The rank of this process under torchrun, and SIGTERM as an interrupt (no torch)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

INTERRUPTED = 130  # exit status after SIGINT or SIGTERM, as shells give it for SIGINT


def rank() -> int:
    """The rank of this process under torchrun; 0 when alone."""
    return int(os.environ.get("RANK", 0))


def world() -> int:
    """The number of processes that torchrun started; 1 when alone."""
    return int(os.environ.get("WORLD_SIZE", 1))


def under_torchrun() -> bool:
    """Whether torchrun started this process together with others; it kills all of them as soon as one
    fails.
    """
    return world() > 1 and "TORCHELASTIC_RUN_ID" in os.environ


def leave(status: int) -> NoReturn:
    """Ends the program with this exit status.

    At once, without unloading torch, if it was interrupted, since a thread may be waiting for a pipe, or
    under torchrun: now and then a thread of gloo outlives the interpreter even after `destroy_process_group`
    and aborts the process, which torchrun takes for a failure of the run.
    """
    if status != INTERRUPTED and not under_torchrun():
        sys.exit(status)
    if sys.stdout:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
    os._exit(status)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """While active, SIGTERM raises KeyboardInterrupt like Ctrl-C, so that nothing is left unfinished."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signals can only be caught there
        yield
        return
    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is interrupt:  # otherwise `ignore_sigterm` was called
            signal.signal(signal.SIGTERM, former)


def ignore_interrupts() -> None:
    """Ignores Ctrl-C from now on: for a process that was interrupted and ends, where another Ctrl-C would
    print a traceback.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def ignore_sigterm() -> None:
    """Ignores SIGTERM from now on: for a process that is done and that torchrun would kill while it exits."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
