"""Batches of training samples: each process's part of them, made by worker processes that outlive signals."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from data.errors import PhotoError, UserError, lacks_memory

AHEAD = 4  # batches prefetched by each worker, which hides samples that take long
TRIES = 100  # samples in a row that may be unreadable
SPARE = 1 << 40  # distance between the numbers of a sample and of the one in its place; no run takes so many
STOPS = (signal.SIGINT, signal.SIGTERM)

# What torch says when a machine runs out of something -> what to do. Its errors have no other mark.
LOWER = "lower --workers (the same command then goes on from the last checkpoint) or --batch-size"
SHORTAGES = {
    "killed by signal: Killed": f"a data loader process was killed, most likely for lack of memory: {LOWER}",
    "Too many open files": f"too many open files: raise the limit with ulimit -n, or {LOWER}",
    "killed by signal: Bus error": f"shared memory (/dev/shm) is full: make it larger, or {LOWER}",
    "</torch_": f"shared memory (/dev/shm) is full: make it larger, or {LOWER}",  # a name in it
}


class Batch(NamedTuple):
    """A process's part of a batch."""

    samples: dict[str, torch.Tensor]
    unreadable: list[str]
    """Why others were drawn in place of samples, in a line for each time"""


class Batches(Dataset):
    """Item `step` is this process's part of the batch of that step, a function of (step, rank) only.

    In place of a sample with an unreadable photograph another one is drawn, always the same. Any other user
    error is returned in place of the batch: raised in a worker process, it would carry that process's
    traceback.
    """

    def __init__(self, samples: Dataset, batch_size: int, rank: int, world: int):
        self.samples, self.batch_size = samples, batch_size
        self.local = batch_size // world
        self.offset = rank * self.local

    def __getitem__(self, step: int) -> Batch | Exception:
        start, unreadable = step * self.batch_size + self.offset, []
        try:
            with explained_shortages():
                samples = [self._sample(number, unreadable) for number in range(start, start + self.local)]
                return Batch(default_collate(samples), unreadable)
        except (UserError, OSError) as error:
            return error

    def _sample(self, number: int, unreadable: list[str]) -> dict[str, torch.Tensor]:
        """Sample `number`, or the first of those in its place that can be read."""
        for attempt in range(TRIES):
            try:
                return self.samples[number + attempt * SPARE]
            except PhotoError as error:
                unreadable.append(str(error))
        raise UserError(f"{TRIES} samples in a row cannot be read; the last one: {unreadable[-1]}")


@contextmanager
def loaded(batches: Batches, steps: range, workers: int, pinned: bool) -> Iterator[Iterator[Batch]]:
    """The batches of these steps. workers: processes that make them, 0 for none; pinned: in page-locked
    memory, for CUDA. Their iterator raises UserError.
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
    others = active_children()
    try:
        with (
            _stops_blocked()
        ):  # workers start with this, so that a signal cannot hit them before they ignore it
            iterator = iter(loader)
    except BaseException as error:  # some workers could not be started
        _kill(_started_after(others))
        _drop_silently(error)
        raise
    started = _started_after(others)
    try:
        yield _without_errors(iterator)
    finally:  # not when Python ends, which would wait for workers that ignore its SIGTERM
        if started:
            iterator._shutdown_workers()
        _kill(started)


def _started_after(others: list) -> list:
    """The child processes of this one that are not among the `others`."""
    return [child for child in active_children() if child not in others]


def _kill(workers: list) -> None:
    for worker in workers:
        worker.kill()


def _drop_silently(error: BaseException) -> None:
    """Frees the loader that an error left half made: its finalizer would print a traceback of its own."""
    former, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = former


def _without_errors(items: Iterator[Batch | Exception]) -> Iterator[Batch]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


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
    """Turns errors for want of memory, shared memory or open files into a UserError that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if lacks_memory(error):
            raise UserError(f"not enough memory: {LOWER}") from None
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
