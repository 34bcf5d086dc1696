"""Processes of a run under torchrun: rank, device, sums, signals, and a common exit status.

torchrun tells each process its rank in environment variables; without them, a process is alone.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from data.errors import UserError
from engine.launch import ignore_sigterm, rank, world


def pick_device(name: str, training: bool = False) -> torch.device:
    """The device named by `--device`; "auto" prefers CUDA, then MPS, then the CPU. Raises UserError.

    Under torchrun each process gets its own GPU. Training uses MPS only if asked to, since MPS lacks kernels
    for in-place BatchNorm.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available() and not training
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: this machine has none; auto takes what there is")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def peak_memory(device: torch.device) -> float:
    """Peak memory so far, in MB of 10^6 bytes: of the GPU if one is used, else of this process. NaN on
    Windows.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def shared_store() -> distributed.Store:
    """The store through which the processes of a run find each other.

    torchrun restarts processes with the store of the processes that died (pytorch/pytorch#135712), whose
    addresses are no longer valid, so each start uses its own keys. With several machines the restart count
    differs between them, and torchrun itself has to be told to make a new store (see TRAINING.md).
    """
    store, _, _ = next(distributed.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        return store
    return distributed.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)


def worst_status(store: distributed.Store, status: int) -> int:
    """The worst exit status of all processes under torchrun, once each of them has called this.

    store: from `shared_store`. torchrun stops all processes as soon as one fails, and those that still work
    must be able to finish. A collective would time out, so keys of the store are polled. If a process dies,
    torchrun still stops the others.
    """
    statuses = distributed.PrefixStore("exit status", store)
    names = [str(number) for number in range(world())]
    try:
        statuses.set(str(rank()), str(status))
        _wait_for(statuses, names)
        status = max(int(statuses.get(name)) for name in names)
        ignore_sigterm()  # torchrun stops the others when the first one exits, but they are done
        # The process that hosts the store must not exit before the others have read it.
        statuses.set(f"{rank()} has read", "")
        _wait_for(statuses, [f"{name} has read" for name in names])
    except RuntimeError:  # the store is gone, and with it torchrun or the process that hosted it
        pass
    return status


def _wait_for(store: distributed.Store, keys: list[str]) -> None:
    while not store.check(keys):
        time.sleep(0.1)


class Processes:
    """This process among the `world` processes of a run, from torchrun's environment or alone."""

    def __init__(self, device: str = "auto", training: bool = False):
        self.rank, self.world = rank(), world()
        self.device = pick_device(device, training)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world > 1:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            distributed.init_process_group(
                backend, store=shared_store(), rank=self.rank, world_size=self.world
            )

    def total(self, x: torch.Tensor) -> torch.Tensor:
        """Sums a tensor over all processes."""
        if self.world > 1:
            x = x.to(self.device)
            distributed.all_reduce(x)
        return x

    def shard(self, items: list) -> list:
        """This process's part of a list."""
        return items[self.rank :: self.world]

    def gather(self, rows: list) -> list:
        """The rows of all processes, in the order of the list that `shard` divided."""
        if self.world == 1:
            return rows
        parts = [None] * self.world
        distributed.all_gather_object(parts, rows)
        return [part[index] for index in range(max(map(len, parts))) for part in parts if index < len(part)]

    def broadcast_buffers(self, net: torch.nn.Module) -> None:
        """Gives the running statistics of a network the values of the first process in all of them.

        DistributedDataParallel does so before each step, but not for averaged weights.
        """
        if self.world > 1:
            for buffer in net.buffers():
                distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """Waits for the other processes: torchrun stops all of them when the first one fails."""
        # NCCL returns before the others are there; reading the sum does not
        self.total(torch.zeros(1)).item()

    def close(self) -> None:
        """Leaves the process group. Everything that holds it (DistributedDataParallel, in cycles) must be
        unreachable by now.

        gloo's threads end with its last holder; threads that outlive the interpreter abort the process.
        """
        if self.world > 1:
            gc.collect()
            distributed.destroy_process_group()


class StopSignals:
    """While active, SIGINT and SIGTERM are only recorded in `received`, so that training stops between two
    steps.
    """

    def __enter__(self) -> StopSignals:
        self.received = self.breaks = False
        self.former = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def _note(self, *_) -> None:
        self.received = True
        if self.breaks:
            self.breaks = False  # a second signal must not disturb the end
            raise KeyboardInterrupt

    @contextmanager
    def breaking_off(self) -> Iterator[None]:
        """While active, a signal raises KeyboardInterrupt, as does one that came before."""
        self.breaks = True
        try:
            if self.received:
                raise KeyboardInterrupt
            yield
        finally:
            self.breaks = False

    def __exit__(self, *_) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)
