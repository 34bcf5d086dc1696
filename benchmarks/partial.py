"""Measures the time of partial convolutions against ordinary ones.

    python benchmarks/partial.py                       prints one JSON object
    python benchmarks/partial.py --device cuda --threads 4

`ratio`: time of PartialConv2d / Conv2d on the same input, the median over pairs of alternating runs (A B A
B), with `quartiles` and the number of pairs `n`. `forward` is inference (in networks, with folded norms),
`training` forward and backward. Where the layer takes two (x, mask) pairs, Conv2d takes the concatenated
channels, and its time includes the concatenation. The last cases are the whole UNet, with every PartialConv2d
replaced by a Conv2d. On the CPU, time is the processor time of all threads, which is less sensitive to other
load.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import record
from benchmarks.timing import best_device, compare
from engine.processes import pick_device
from nets.ops.tiling import inference, ready
from nets.partial import PartialConv2d, PartialUNet

# (channels of each pair, channels out, kernel, stride, side in px, batch size)
LAYERS = {
    "cpu": [
        ((1,), 16, 5, 1, 128, 4),
        ((16,), 32, 5, 2, 128, 4),
        ((64,), 128, 3, 2, 32, 4),
        ((128,), 128, 3, 2, 16, 8),
        ((128, 128), 128, 3, 1, 16, 4),
        ((64, 32), 32, 3, 1, 64, 4),
        ((32, 16), 16, 3, 1, 128, 4),
        ((16, 1), 1, 3, 1, 128, 4),
        ((128, 64), 64, 3, 1, 64, 2),
        ((32,), 32, 3, 1, 128, 4),
    ],
    "cuda": [
        ((64,), 64, 3, 1, 256, 16),
        ((64,), 128, 5, 2, 256, 16),
        ((256,), 512, 3, 2, 64, 16),
        ((128, 64), 64, 3, 1, 256, 16),
        ((512, 256), 256, 3, 1, 64, 16),
    ],
}
# (width, levels, widest, side in px, batch size)
NETWORKS = {"cpu": [(32, 6, 4, 128, 4), (64, 6, 8, 128, 2)], "cuda": [(64, 8, 8, 256, 16)]}


class Ordinary(nn.Conv2d):
    """Conv2d with the interface of PartialConv2d: masks pass through unused, subsampled by the stride."""

    def forward(self, *pairs):
        x = torch.cat([x for x, _ in pairs], 1) if len(pairs) > 1 else pairs[0][0]
        return super().forward(x), pairs[0][1][..., :: self.stride[0], :: self.stride[1]]


def ordinary(net):
    """The network with its partial convolutions replaced by ordinary ones with the same weights."""
    for module in net.modules():
        if isinstance(module, PartialConv2d):
            module.__class__ = Ordinary
    return net


def holes(batch: int, side: int, device):
    """A mask of round holes, 20 % of the pixels; (B, 1, side, side)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 1, max(2, side // 16), max(2, side // 16), generator=generator)
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return (smooth > smooth.flatten().quantile(0.2)).float().to(device)


def measure(build, call, device, rounds: int) -> dict:
    """Forward and training time of `call(net)`, for the network as built and with ordinary convolutions."""
    nets = [net.to(device, memory_format=torch.channels_last) for net in (build(), ordinary(build()))]
    folded = [ready(net, device) for net in nets]

    def forward(net):
        with inference(device):
            call(net)

    def training(net):
        call(net).mean().backward()

    return {
        run.__name__: compare(*(partial(run, net) for net in both), device, rounds, ("ms", "ms_of_conv2d"))
        for run, both in ((forward, folded), (training, nets))
    }


def layer(channels, outputs, kernel, stride, side, batch, device, rounds) -> dict:
    """The row of a layer of LAYERS."""
    pairs = [
        (
            torch.randn(batch, count, side, side, device=device)
            .to(memory_format=torch.channels_last)
            .requires_grad_(),
            holes(batch, side, device).roll(number, -1),
        )
        for number, count in enumerate(channels)
    ]
    result = measure(
        lambda: PartialConv2d(sum(channels), outputs, kernel, stride, kernel // 2, bias=False),
        lambda net: net(*pairs)[0],
        device,
        rounds,
    )
    return {
        "channels": channels,
        "outputs": outputs,
        "kernel": kernel,
        "stride": stride,
        "side_px": side,
        "batch": batch,
        **result,
    }


def network(width, levels, widest, side, batch, device, rounds) -> dict:
    """The row of a network of NETWORKS."""
    picture, mask = torch.rand(batch, 1, side, side, device=device), holes(batch, side, device)
    result = measure(
        lambda: PartialUNet(width, 1, levels, widest), lambda net: net(picture * mask, mask), device, rounds
    )
    return {
        "network": "PartialUNet",
        "width": width,
        "levels": levels,
        "side_px": side,
        "batch": batch,
        **result,
    }


def main() -> None:
    parser = record.parser(__doc__)
    best = best_device()
    parser.add_argument("--device", default=best, help=f"cpu or cuda[:N] (default: {best})")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of runs that are timed (default: 15)")
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    torch.manual_seed(0)
    rows = [layer(*case, device, args.rounds) for case in LAYERS[device.type]]
    rows += [network(*case, device, args.rounds) for case in NETWORKS[device.type]]
    record.emit("partial", rows, args.store, device, n=args.rounds, threads=args.threads)


if __name__ == "__main__":
    main()
