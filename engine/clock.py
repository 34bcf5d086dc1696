"""Times a training run: its speed, its waiting for data, and the minutes used."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Clock:
    """Measures speed since the last line of the log, without evaluations, and the time of the whole run.

    seconds: training time before this process started; the time of a run adds up over resumptions.
    """

    def __init__(self, seconds: float = 0.0):
        self.before, self.started = seconds, time.perf_counter()
        self.restart(0)

    def restart(self, done: int) -> None:
        """Restarts the measurement of speed; done: steps so far."""
        self.since, self.waited, self.began = done, 0.0, time.perf_counter()

    def run_seconds(self) -> float:
        """Seconds of the whole run, evaluations included."""
        return self.before + time.perf_counter() - self.started

    def steps_per_s(self, done: int) -> float:
        return (done - self.since) / (time.perf_counter() - self.began)

    def watch(self, batches: Iterable) -> Iterator:
        """Yields the batches and adds the time spent waiting for each to `waited`, in seconds."""
        mark = time.perf_counter()
        for batch in batches:
            self.waited += time.perf_counter() - mark
            yield batch
            mark = time.perf_counter()

    @contextmanager
    def paused(self):
        """Excludes the time spent inside from the speed."""
        mark = time.perf_counter()
        yield
        self.began += time.perf_counter() - mark
