"""Measures memory and step time of training the segment network with in-place and with ordinary norms.

    python benchmarks/activations.py                   prints one JSON object
    python benchmarks/activations.py --device cuda

`bytes_ratio`: bytes that a forward pass keeps for backward, InPlaceABN / NormAct (BatchNorm2d and in-place
leaky ReLU). Each storage counts once; parameters and their bf16 copies do not count. `step_ratio`: the same
ratio for the time of a step (forward, loss, backward, optimizer), as the median over pairs of alternating
steps (A B A B), with `step_ratio_quartiles` and the number of pairs `n`. On the CPU, time is the processor
time of all threads, which is less sensitive to other load. CUDA only: `peak_ratio`, of the peak memory of a
step, and `largest_batch`, the most samples of 1024 px with which a network of width 64 can be trained in
bf16, with in-place and with ordinary norms: limited by memory, or by the kernels of torch, some of which take
fewer than 2^31 elements.
"""

import statistics
import sys
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import segment
from benchmarks import record
from benchmarks.timing import best_device, processor_seconds, ratio
from engine.optim import make_optimizer
from engine.processes import pick_device
from nets.norm import InPlaceABN, NormAct
from nets.unet import AlbuNet

# (width, side in px, batch size)
CASES = {"cpu": [(16, 256, 4), (64, 128, 2)], "cuda": [(16, 256, 16), (64, 512, 8)]}

TOO_LARGE = "INT_MAX"  # in what torch says where a kernel cannot index a tensor


def saved_bytes(forward, net) -> int:
    """Bytes that `forward()` keeps for backward, except tensors of a parameter's shape."""
    shapes = {parameter.shape for parameter in net.parameters()}
    kept = []  # keeps the tensors alive, since a freed address could be reused and then not be counted
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        result = forward()
    storages = [tensor.untyped_storage() for tensor in kept if tensor.shape not in shapes]
    del result
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


class Trainee:
    """A network with `norm`, its optimizer and its batch."""

    def __init__(self, norm, width: int, side: int, batch: int, precision: str, device):
        torch.manual_seed(0)
        self.net = AlbuNet(
            depth=18,
            width=width,
            channels=1,
            out_channels=1,
            stem="full",
            extra_levels=2,
            norm=partial(norm, slope=0.01),
        )
        self.net.to(device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.net, 1e-3)
        self.samples = {
            "luma": torch.rand(batch, 1, side, side, device=device),
            "mask": (torch.rand(batch, 1, side, side, device=device) > 0.95).to(torch.uint8) * 255,
        }
        self.device, self.bf16 = device, precision == "bf16"

    def loss(self):
        """The loss of the batch, with its graph."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return segment.compute_losses(
                self.net, self.samples, positive_weight=10.0, dice_weight=1.0, total=lambda x: x
            )["loss"]

    def step(self) -> None:
        """One training step: forward, loss, backward, optimizer."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss().backward()
        self.optimizer.step()

    def peak(self) -> int | None:
        """Peak bytes of a step on CUDA; None elsewhere."""
        if self.device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self.step()
        return torch.cuda.max_memory_allocated(self.device) - before


def compare(width: int, side: int, batch: int, precision: str, device, rounds: int) -> dict:
    """In-place norms against ordinary ones: bytes kept, time and peak memory of a step."""
    ours, theirs = (Trainee(norm, width, side, batch, precision, device) for norm in (InPlaceABN, NormAct))
    kept = [saved_bytes(trainee.loss, trainee.net) for trainee in (ours, theirs)]
    for trainee in (ours, theirs):
        trainee.step()  # warm-up
    times = [
        (processor_seconds(ours.step, device), processor_seconds(theirs.step, device)) for _ in range(rounds)
    ]
    middle, quartiles = ratio(times)
    peaks = [trainee.peak() for trainee in (ours, theirs)]
    return {
        "width": width,
        "side_px": side,
        "batch": batch,
        "precision": precision,
        "n": rounds,
        "bytes": kept[0],
        "bytes_of_batch_norm": kept[1],
        "bytes_ratio": round(kept[0] / kept[1], 4),
        "step_s": round(statistics.median(a for a, _ in times), 4),
        "step_s_of_batch_norm": round(statistics.median(b for _, b in times), 4),
        "step_ratio": round(middle, 4),
        "step_ratio_quartiles": [round(x, 4) for x in quartiles],
        "peak_ratio": round(peaks[0] / peaks[1], 4) if peaks[0] else None,
    }


def most(fits) -> int:
    """The largest n for which fits(n) is true, 0 if there is none. fits must be true for all smaller n."""
    high = 1
    while fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest_batch(norm, device, width: int = 64, side: int = 1024) -> int:
    """The largest batch whose training step fits into GPU memory."""

    def fits(batch: int) -> bool:
        try:
            trainee = Trainee(norm, width, side, batch, "bf16", device)
            trainee.step()  # allocates the optimizer's moments
            trainee.step()
        except RuntimeError as error:
            if isinstance(error, torch.cuda.OutOfMemoryError) or TOO_LARGE in str(error):
                return False
            raise
        finally:
            trainee = None
            torch.cuda.empty_cache()
        return True

    return most(fits)


def main() -> None:
    parser = record.parser(__doc__)
    best = best_device()
    parser.add_argument("--device", default=best, help=f"cpu or cuda[:N] (default: {best})")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of steps that are timed (default: 15)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        nargs="+",
        default=["fp32", "bf16"],
        help="number types; bf16 is very slow on a CPU that has none (default: both)",
    )
    args = parser.parse_args()
    device = pick_device(args.device)
    cases = [(*case, precision) for case in CASES[device.type] for precision in args.precision]
    rows = [compare(*case, device, args.rounds) for case in cases]
    results = {"steps": rows}
    if device.type == "cuda":
        results["largest_batch"] = {
            "in place": largest_batch(InPlaceABN, device),
            "ordinary": largest_batch(NormAct, device),
        }
    record.emit("activations", results, args.store, device, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
