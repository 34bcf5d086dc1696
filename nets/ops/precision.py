"""The number format in which a device computes convolutions fastest."""

import time
from functools import cache

import torch
import torch.nn.functional as F

from nets.ops.tiling import inference

GAIN = 0.8  # bf16 changes the results slightly, so it must take at most this share of the time of fp32
ROUNDS = 4


def number_format(precision: str, device) -> str:
    """fp32, bf16 or fp16 for a value of `--precision`; "auto" is what is `fastest`."""
    return fastest(device) if precision == "auto" else precision


@cache
def fastest(device) -> str:
    """bf16 if it pays on this device, else fp32: measured in about 50 ms, in processor time on a CPU."""
    x = torch.ones(1, 64, 64, 64, device=device).to(memory_format=torch.channels_last)
    kernel = torch.ones(64, 64, 3, 3, device=device).to(memory_format=torch.channels_last)
    times = {"fp32": [], "bf16": []}
    for _ in range(ROUNDS):
        for precision, spent in times.items():
            spent.append(_seconds(x, kernel, precision))
    return "bf16" if min(times["bf16"]) <= GAIN * min(times["fp32"]) else "fp32"


def _seconds(x, kernel, precision: str) -> float:
    clock = time.process_time if x.device.type == "cpu" else time.perf_counter
    began = clock()
    with inference(x.device, precision):
        F.conv2d(x, kernel, padding=1).sum().item()  # waits for the device
    return clock() - began
