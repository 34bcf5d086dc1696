"""Batches of training samples: each process's part of them, made by worker processes that outlive signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from data.errors import UserError

AHEAD = 4  # batches prefetched by each worker, which hides samples that take long
STOPS = (signal.SIGINT, signal.SIGTERM)

# What torch says when a machine runs out of something -> what to do. Its errors have no other mark.
LOWER = "lower --workers (the same command then goes on from the last checkpoint) or --batch-size"
SHORTAGES = {
    "killed by signal: Killed": f"a data loader process was killed, most likely for lack of memory: {LOWER}",
    "killed by signal: Bus error": f"shared memory (/dev/shm) is full: make it larger, or {LOWER}",
    "No space left on device": f"shared memory (/dev/shm) is full: make it larger, or {LOWER}",
    "Too many open files": f"too many open files: raise the limit with ulimit -n, or {LOWER}",
}


class Batches(Dataset):
    """Item `step` is this process's part of the batch of that step, a function of (step, rank) only.

    A user error (an unreadable photograph) is returned in place of the batch: raised in a worker process, it
    would carry that process's traceback.
    """

    def __init__(self, samples: Dataset, batch_size: int, rank: int, world: int):
        self.samples, self.batch_size = samples, batch_size
        self.local = batch_size // world
        self.offset = rank * self.local

    def __getitem__(self, step: int) -> dict[str, torch.Tensor] | Exception:
        start = step * self.batch_size + self.offset
        try:
            with explained_shortages():
                return default_collate([self.samples[number] for number in range(start, start + self.local)])
        except (UserError, OSError) as error:
            return error


def load_batches(
    batches: Batches, steps: range, workers: int, pinned: bool
) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of these steps. workers: processes that make them, 0 for none; pinned: in page-locked
    memory, for CUDA. Raises UserError.
    """
    loader = DataLoader(
        batches,
        batch_size=None,  # an item is a batch
        sampler=steps,
        num_workers=workers,
        pin_memory=pinned,
        prefetch_factor=AHEAD if workers else None,
        worker_init_fn=_ignore_stops,
    )
    with _stops_blocked():  # workers start with this, so that a signal cannot hit them before they ignore it
        iterator = iter(loader)
    for batch in iterator:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _ignore_stops(_worker: int) -> None:
    """In a worker: signals to all processes of a run are not for it. It ends with its training process."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _stops_blocked() -> Iterator[None]:
    """Holds back SIGINT and SIGTERM, also from the processes started meanwhile. Windows has no such thing."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def explained_shortages() -> Iterator[None]:
    """Turns torch's errors for a machine without memory or open files into a UserError that says what to
    do.
    """
    try:
        yield
    except MemoryError:
        raise UserError(f"not enough memory: {LOWER}") from None
    except (RuntimeError, OSError) as error:
        reason = next((said for sign, said in SHORTAGES.items() if sign in _chain(error)), None)
        if reason is None:
            raise
        raise UserError(reason) from None


def _chain(error: BaseException | None) -> str:
    """The messages of an error and of those that it was raised from."""
    lines = []
    while error:
        lines.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(lines)
