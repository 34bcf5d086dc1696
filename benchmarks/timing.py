"""Timing of calls: one alone, or two that alternate so that both see the same load of the machine."""

import os
import statistics
import time

import torch

TOO_SLOW = 15  # s; slower calls are measured once only
MEASURABLE = 0.02  # s; shorter calls are repeated until they take as long


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def seconds(call, device, clock=time.perf_counter) -> float:
    """Time of call(), including the work that it leaves to a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = clock()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


def processor_seconds(call, device) -> float:
    """On the CPU the processor time of all threads and child processes, which is less sensitive to other
    load.
    """
    return seconds(call, device, _processor_time if device.type == "cpu" else time.perf_counter)


def _processor_time() -> float:
    """Of this process, and of those that it has waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def spread(values: list[float]) -> dict:
    """Median and range."""
    return {
        "n": len(values),
        "seconds": round(statistics.median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def timed(call, runs: int, device) -> dict:
    """The spread of `runs` calls after a first one; of that first one alone if it took longer than TOO_SLOW.

    The caller has warmed up: call() was called once before.
    """
    first = seconds(call, device)
    return spread([first] if first > TOO_SLOW else [seconds(call, device) for _ in range(runs)])


def ratio(pairs: list[tuple[float, float]]) -> tuple[float, list[float]]:
    """Median and quartiles of a / b over pairs (a, b)."""
    low, middle, high = statistics.quantiles((a / b for a, b in pairs), n=4)
    return middle, [low, high]


def compare(ours, theirs, device, rounds: int, names: tuple[str, str]) -> dict:
    """The ratio of the processor times of two calls, over pairs of alternating runs (A B A B).

    names: the keys of the two times in ms.
    """
    for call in (ours, theirs):
        call()  # warm-up
    repeats = max(1, round(MEASURABLE / max(processor_seconds(theirs, device), 1e-6)))

    def repeated(call):
        return processor_seconds(lambda: [call() for _ in range(repeats)], device)

    pairs = [(repeated(ours), repeated(theirs)) for _ in range(rounds)]
    middle, quartiles = ratio(pairs)
    medians = (statistics.median(times) / repeats for times in zip(*pairs, strict=True))
    return {
        "ratio": round(middle, 3),
        "quartiles": [round(x, 3) for x in quartiles],
        **{name: round(1e3 * median, 3) for name, median in zip(names, medians, strict=True)},
    }
