"""Learning rate schedule, optimizer, EMA, the discriminator's optimizer, tally of losses."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from data import checkpoint
from data.errors import UserError
from engine.processes import Processes

MAX_WARMUP = 1000  # steps; at most 3 % of the run
FINAL_LR = 0.01  # share of the peak at the end of the cosine
BETAS = (0.9, 0.99)  # AdamW; a second moment over about 100 steps suits small batches
WEIGHT_DECAY = 1e-4  # of convolution kernels only
DISCRIMINATOR_BETAS = (0.0, 0.9)  # no momentum against a moving opponent (Zhang et al. 2019)


def schedule(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up over 3 % of the steps (at most `MAX_WARMUP`), then a cosine to `FINAL_LR`
    of the peak.
    """
    warmup = max(1, min(MAX_WARMUP, steps * 3 // 100))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (FINAL_LR + (1 - FINAL_LR) * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimizer(net: nn.Module, lr: float) -> torch.optim.AdamW:
    """Fused AdamW; weight decay on convolution kernels only, not on biases and norms.

    Modules with an `lr_scale`, such as a pretrained encoder, learn at that share of the learning rate;
    parameter groups store it under that name.
    """
    scales = dict.fromkeys(net.parameters(), 1.0)
    for module in net.modules():
        if hasattr(module, "lr_scale"):
            scales.update((p, module.lr_scale) for p in module.parameters())
    groups = []
    for scale in sorted(set(scales.values()), reverse=True):
        mine = [p for p in net.parameters() if scales[p] == scale]
        kernels, others = [p for p in mine if p.dim() > 1], [p for p in mine if p.dim() <= 1]
        groups.append({"params": kernels, "weight_decay": WEIGHT_DECAY, "lr_scale": scale})
        groups.append({"params": others, "weight_decay": 0.0, "lr_scale": scale})
    return torch.optim.AdamW(groups, lr=lr, betas=BETAS, fused=True)


def freeze_statistics(net: nn.Module) -> None:
    """Freezes the statistics of every norm of `net`, until the next `net.train()`."""
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.eval()


class EMA:
    """Exponential moving average of the weights and norm statistics, in `net`.

    The decay ramps up to `decay`, so that the random start is soon forgotten.
    """

    def __init__(self, net: nn.Module, decay: float):
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Averages in the weights after `step` steps."""
        decay = min(self.decay, (step + 1) / (step + 10))
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values()))
        torch._foreach_lerp_(*zip(*(pair for pair in pairs if pair[0].is_floating_point())), 1 - decay)
        for mine, other in pairs:
            if not mine.is_floating_point():
                mine.copy_(other)


class Statistics:
    """The running statistics of a network's norms, which a step without finite gradients must not change."""

    def __init__(self, net: nn.Module):
        self.buffers = [buffer for buffer in net.buffers() if buffer.is_floating_point()]
        self.sizes = [buffer.numel() for buffer in self.buffers]

    @torch.no_grad()
    def values(self) -> torch.Tensor | None:
        """A copy of all of them, (n,); None if the network has none."""
        return torch.cat([buffer.flatten() for buffer in self.buffers]) if self.buffers else None

    @torch.no_grad()
    def restore(self, before: torch.Tensor | None, found_inf: torch.Tensor) -> None:
        """Restores the values `before` if found_inf, a scalar on the device, is 1; nothing waits for it."""
        if before is not None:
            kept = torch.where(found_inf > 0, before, self.values()).split(self.sizes)
            torch._foreach_copy_(self.buffers, [x.view_as(old) for x, old in zip(kept, self.buffers)])


class Discriminator:
    """The discriminator of adversarial training, with its own AdamW.

    weights: last.pt of an adversarial run whose discriminator `start` loads; None: a new one.
    """

    def __init__(self, net: nn.Module, lr: float, processes: Processes, weights: Path | None = None):
        self.net = net.to(processes.device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(
            net.parameters(), lr=lr, betas=DISCRIMINATOR_BETAS, weight_decay=0.0, fused=True
        )
        self.processes, self.weights = processes, weights

    def start(self) -> None:
        """Loads `weights`. Raises UserError if they contain no discriminator."""
        if self.weights:
            state = checkpoint.read(self.weights)
            if "discriminator" not in state:
                raise UserError(
                    f"--discriminator-weights {self.weights}: not a last.pt of an adversarial run"
                )
            checkpoint.load_state(self.net, {"state": state["discriminator"]["net"]}, self.weights)

    def step(self, loss: torch.Tensor, found_inf: torch.Tensor) -> None:
        """One optimizer step on `loss`, skipped if `found_inf` is 1 or a gradient is not finite.

        Gradients are averaged over processes, as by DistributedDataParallel.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [parameter.grad for parameter in self.net.parameters()]
        if self.processes.world > 1:
            for gradient in gradients:
                self.processes.total(gradient).div_(self.processes.world)
        finite = torch.stack([gradient.isfinite().all() for gradient in gradients]).all()
        self.optimizer.found_inf = torch.maximum(found_inf, (~finite).float())
        self.optimizer.step()

    def state(self) -> dict:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


class Reading(NamedTuple):
    """What all processes know after `LossTally.read`; numbers of steps."""

    skipped: float  # since the last reading, for gradients that were not finite
    skipped_in_a_row: float  # up to now
    stop: bool  # one of the processes was told to stop
    seconds: float  # time of the run, averaged over processes
    unreadable: int  # samples since the last reading, of all processes


class LossTally:
    """Means of the losses between two lines of the log, over all processes; skipped steps do not count.

    Sums stay on the device until `read`, since reading a number makes the device finish its work first.
    """

    def __init__(self):
        self.device_sums = self.in_a_row = None
        self.sums, self.counted = {}, 0.0

    def add(self, losses: dict[str, torch.Tensor], found_inf: torch.Tensor) -> None:
        """Adds one step. losses: name -> scalar; found_inf: scalar, 1 if the step was skipped, else 0."""
        self.names = list(losses)
        row = torch.stack([found_inf] + [x.detach().float() for x in losses.values()] + [1 - found_inf])
        row[1:].masked_fill_(found_inf > 0, 0)
        self.device_sums = row if self.device_sums is None else self.device_sums + row
        self.in_a_row = found_inf if self.in_a_row is None else (self.in_a_row + found_inf) * found_inf

    def read(
        self, processes: Processes, stopping: bool, seconds: float = 0.0, unreadable: int = 0
    ) -> Reading:
        """Fetches the sums from the device. stopping: whether this process was told to stop; seconds: time of
        the run by its clock; unreadable: samples that it could not read since the last reading.
        """
        own = self.device_sums.new_tensor([float(stopping), seconds, unreadable])
        facts = torch.cat([self.device_sums, self.in_a_row[None], own])
        facts = processes.total(facts) / processes.world
        skipped, *sums, counted, in_a_row, stop, seconds, unreadable = facts.tolist()
        self.device_sums = None
        self.sums = {name: self.sums.get(name, 0) + x for name, x in zip(self.names, sums)}
        self.counted += counted
        return Reading(skipped, in_a_row, stop > 0, seconds, round(unreadable * processes.world))

    def means(self) -> dict[str, float]:
        """The means of everything read since the last call."""
        means = {name: x / max(self.counted, 1) for name, x in self.sums.items()}
        self.sums, self.counted = {}, 0.0
        return means
