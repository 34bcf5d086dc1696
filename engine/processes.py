"""The processes of a run: who they are, where they compute, what they sum up, and the signals that stop them.

torchrun tells each process its number by environment variables; a process without them is alone.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import sys

import torch
from torch import distributed

from data.errors import UserError


def rank() -> int:
    """The number of this process among those that torchrun started; 0 when alone."""
    return int(os.environ.get("RANK", 0))


def world() -> int:
    """How many processes torchrun started; 1 when alone."""
    return int(os.environ.get("WORLD_SIZE", 1))


def pick_device(name: str, training: bool = False) -> torch.device:
    """The device that `--device` names; "auto" takes CUDA, then MPS, then the CPU. Raises UserError.

    Under torchrun each process takes the GPU of its own. Training does not take MPS unasked: it lacks kernels
    of in-place BatchNorm.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available() and not training
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def peak_memory(device: torch.device) -> float:
    """The most memory held so far, in MB of 10^6 bytes: of the GPU where one is used, else of this process.

    NaN on Windows, which does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _store():
    """Where the processes of a run find each other.

    torchrun restarts processes with the store of the processes that died (pytorch/pytorch#135712), whose
    addresses lead nowhere: each start gets keys of its own. With several machines the count of restarts is
    not the same on all, and torchrun itself has to be told to make a new store (the README says how).
    """
    store, _, _ = next(distributed.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        return store
    return distributed.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)


class Processes:
    """This process among the `world` processes of a run, from torchrun's environment or alone."""

    def __init__(self, device: str = "auto", training: bool = False):
        self.rank, self.world = rank(), world()
        self.device = pick_device(device, training)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world > 1:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            distributed.init_process_group(backend, store=_store(), rank=self.rank, world_size=self.world)

    def total(self, x: torch.Tensor) -> torch.Tensor:
        """Sums a tensor over all processes."""
        if self.world > 1:
            x = x.to(self.device)
            distributed.all_reduce(x)
        return x

    def share(self, items: list) -> list:
        """This process's part of a list."""
        return items[self.rank :: self.world]

    def gather(self, rows: list) -> list:
        """The rows of all processes, in the order of the list that `share` divided."""
        if self.world == 1:
            return rows
        parts = [None] * self.world
        distributed.all_gather_object(parts, rows)
        return [part[index] for index in range(max(map(len, parts))) for part in parts if index < len(part)]

    def close(self) -> None:
        """Leaves the group. Whatever holds it (DistributedDataParallel, in cycles) must be out of reach by
        now: gloo's threads end with its last holder, and those that outlive the interpreter abort the
        process.
        """
        if self.world > 1:
            gc.collect()
            distributed.destroy_process_group()


class StopSignals:
    """While entered, SIGINT and SIGTERM are only noted in `received`, so that training ends between two steps
    and not within one.
    """

    def __enter__(self) -> StopSignals:
        self.received = False
        self.former = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def _note(self, *_) -> None:
        self.received = True

    def __exit__(self, *_) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)
