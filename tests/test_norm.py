"""The in-place norm equals batch normalization, addition and leaky ReLU, over one process or several, in less
memory.
"""

import copy
from datetime import timedelta
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nets.norm import InPlaceABN, NormAct, fold
from nets.unet import AlbuNet

GAMMA = [1.5, -0.7, 1e-3, -1e-3, 0.3]


def norms(slope=0.01, dtype=torch.float64, gamma=GAMMA):
    """An InPlaceABN and a BatchNorm2d with the same random state."""
    reference = nn.BatchNorm2d(len(gamma), dtype=dtype)
    with torch.no_grad():
        reference.weight.copy_(torch.tensor(gamma, dtype=dtype))
        for x in (reference.bias, reference.running_mean):
            x.normal_()
        reference.running_var.uniform_(0.5, 2)
    norm = InPlaceABN(len(gamma), slope=slope).to(dtype)
    norm.load_state_dict(reference.state_dict())
    return norm, reference


def pictures(dtype=torch.float64, batch=3, channels=5, memory_format=torch.channels_last):
    """x, shortcut and the gradient of the output."""
    return [
        (torch.randn(batch, channels, 6, 7, dtype=dtype) * 2 + 1).contiguous(memory_format=memory_format)
        for _ in range(3)
    ]


def run(layer, x, shortcut, grad):
    """The output and the gradients of x, shortcut and the layer's parameters."""
    inputs = [x.clone().requires_grad_(), None if shortcut is None else shortcut.clone().requires_grad_()]
    y = layer(inputs[0] * 1, None if shortcut is None else inputs[1] * 1)
    y.backward(grad)
    return [y.detach()] + [x.grad for x in [*inputs, *layer.parameters()] if x is not None]


def plainly(reference, slope):
    """act(reference(x) + shortcut) in plain operations."""

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = reference

        def forward(self, x, shortcut=None):
            x = self.bn(x)
            return F.leaky_relu(x if shortcut is None else x + shortcut, slope)

    return Plain()


def close(ours, theirs, tolerance):
    """Equal within `tolerance` of each tensor's largest value."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("slope", [0.01, 1.0])
@pytest.mark.parametrize("with_shortcut", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_equals_batch_norm_and_leaky_relu(dtype, tolerance, with_shortcut, slope, training, memory_format):
    torch.manual_seed(0)
    # In float32 the inversion divides a rounding error by gamma, so that tiny gammas can be compared in
    # double only.
    norm, reference = norms(slope, dtype, GAMMA if dtype == torch.float64 else [1.5, -0.7, 0.1, -0.2, 0.3])
    x, shortcut, grad = pictures(dtype, memory_format=memory_format)
    shortcut = shortcut if with_shortcut else None
    for layer in (norm, reference):
        layer.train(training)
    for _ in range(2):  # the second time with the running statistics of the first
        ours, theirs = run(norm, x, shortcut, grad), run(plainly(reference, slope), x, shortcut, grad)
        close(ours, theirs, tolerance)
        assert ours[0].is_contiguous(memory_format=memory_format)
    close(list(norm.state_dict().values()), list(reference.state_dict().values()), tolerance)
    assert int(norm.num_batches_tracked) == (2 if training else 0)


def test_a_large_mean_loses_no_digits():
    torch.manual_seed(0)
    norm, reference = norms(dtype=torch.float32)
    x, _, grad = pictures(torch.float32)
    close(run(norm, x + 300, None, grad), run(plainly(reference, 0.01), x + 300, None, grad), 1e-3)


@pytest.mark.parametrize("layouts", ["contiguous", "slice"])
def test_gradients_of_another_layout(layouts):
    torch.manual_seed(0)
    norm, reference = norms()
    x, shortcut, grad = pictures()
    grad = grad.contiguous() if layouts == "contiguous" else torch.cat([grad, grad], 1)[:, : len(GAMMA)]
    close(run(norm, x, shortcut, grad), run(plainly(reference, 0.01), x, shortcut, grad), 1e-10)


def test_one_buffer():
    norm = InPlaceABN(4)
    x = torch.randn(2, 4, 3, 3).to(memory_format=torch.channels_last)
    assert norm(x).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("mode", ["training", "eval"])
@pytest.mark.parametrize("slope", [0.01, 1.0])
@pytest.mark.parametrize("with_shortcut", [False, True])
def test_gradcheck(with_shortcut, slope, mode):
    torch.manual_seed(0)
    norm, _ = norms(slope, gamma=[0.8, -0.6])
    norm.train(mode != "eval")
    inputs = [
        torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(1 + with_shortcut)
    ]

    def outputs(x, shortcut, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(norm, parameters, (x.clone(), shortcut))

    assert torch.autograd.gradcheck(outputs, [*inputs, *[None] * (1 - with_shortcut), norm.weight, norm.bias])


def test_small_gamma_is_clamped_and_can_grow():
    torch.manual_seed(0)
    norm, reference = norms(gamma=[0.0, 5e-4, -2e-4])
    with torch.no_grad():
        reference.weight.copy_(torch.tensor([1e-3, 1e-3, -1e-3], dtype=torch.float64))
    x, shortcut, grad = pictures(channels=3)
    ours, theirs = run(norm, x, shortcut, grad), run(plainly(reference, 0.01), x, shortcut, grad)
    close(ours, theirs, 1e-10)
    assert all(ours[3] != 0)
    with pytest.raises(ValueError, match="slope"):
        InPlaceABN(3, slope=0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_activations(dtype):
    torch.manual_seed(0)
    norm, reference = norms(dtype=torch.float32, gamma=[1.5, -0.7, 0.4])
    x, shortcut, grad = pictures(dtype, batch=4, channels=3)
    ours = run(norm, x, shortcut, grad)
    theirs = run(plainly(reference, 0.01), x.float(), shortcut.float(), grad.float())
    assert [x.dtype for x in ours] == [dtype, dtype, dtype, torch.float32, torch.float32]
    assert norm.running_mean.dtype == torch.float32
    close([x.float() for x in ours], theirs, 0.02)
    torch.testing.assert_close(norm.running_var, reference.running_var, rtol=1e-4, atol=1e-5)


def networks(width=4, **options):
    """AlbuNet with InPlaceABN and with NormAct, of the same random weights, gammas and betas."""
    torch.manual_seed(0)
    ours, theirs = (
        AlbuNet(width=width, norm=partial(norm, slope=0.01), **options) for norm in (InPlaceABN, NormAct)
    )
    for norm in theirs.modules():
        if isinstance(norm, NormAct):
            nn.init.uniform_(norm.weight, 0.1, 1.5)
            norm.weight.data[::2] *= -1
            nn.init.normal_(norm.bias)
    ours.load_state_dict(theirs.state_dict())
    return [net.to(memory_format=torch.channels_last) for net in (ours, theirs)]


@pytest.mark.parametrize("depth, stem", [(18, "full"), (50, "imagenet")])
def test_the_whole_network(depth, stem):
    ours, theirs = (net.double() for net in networks(depth=depth, stem=stem, extra_levels=1))
    x = torch.rand(2, 1, 128, 128, dtype=torch.float64)
    outputs = []
    for net in (ours, theirs):
        y = net(x)
        y.square().mean().backward(retain_graph=True)
        once = [p.grad.clone() for p in net.parameters()]
        y.square().mean().backward()  # nothing saved was overwritten
        close([p.grad / 2 for p in net.parameters()], once, 1e-12)
        outputs.append([y.detach(), *once, *net.buffers()])
    close(*outputs, 1e-7)


def test_autocast():
    ours, _ = networks()
    x, outputs = torch.rand(2, 1, 64, 64).to(memory_format=torch.channels_last), []
    for enabled in (False, True):
        net = copy.deepcopy(ours)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = net(x)
        y.float().square().mean().backward()
        assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in net.parameters())
        outputs.append(y.detach().float())
    assert F.cosine_similarity(*(y.flatten() for y in outputs), dim=0) > 0.99


def test_folds():
    net, _ = networks()
    with torch.no_grad():
        for norm in net.modules():
            if isinstance(norm, InPlaceABN):
                norm.weight[0] = 1e-5  # used as 1e-3
        x = torch.rand(2, 1, 64, 64)
        net(x)
        expected = net.double().eval()(x.double())
        close([fold(copy.deepcopy(net))(x.double())], [expected], 1e-10)
        assert not any(isinstance(module, NormAct) for module in fold(net).modules())


def saved_bytes(net, x) -> int:
    """Bytes that a forward pass keeps for backward: each storage once, parameters and buffers left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*net.parameters(), *net.buffers()]}
    kept = []  # the tensors themselves: an address that is free again would be counted as known
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        y = net(x)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
    del y
    return sum(size for address, size in storages.items() if address not in own)


def test_keeps_less():
    ours, theirs = networks(width=16)
    x = torch.rand(1, 1, 128, 128).to(memory_format=torch.channels_last)
    assert saved_bytes(ours, x) <= 0.65 * saved_bytes(theirs, x)


def two_steps(net, x):
    """The output, the gradients and the statistics of the second step of a network, float64."""
    for _ in range(2):  # DistributedDataParallel orders its messages anew after the first
        net.zero_grad()
        y = net(x)
        y.square().sum().backward()
    return [y.detach(), *(p.grad for p in net.parameters()), *net.buffers()]


def second(_, folder, shares):
    process(1, folder, shares)


def process(rank, folder, shares):
    torch.distributed.init_process_group(
        "gloo",
        f"file://{folder}/store",
        rank=rank,
        world_size=len(shares),
        timeout=timedelta(minutes=2),  # if the other one failed
    )
    state, parts, x = torch.load(folder / "in.pt", weights_only=True)
    norm, _ = norms()
    norm.load_state_dict(state)
    layer = run(norm, *(part.split(shares)[rank] for part in parts))
    net = nn.parallel.DistributedDataParallel(networks()[0].double())
    torch.save([layer, list(norm.buffers()), two_steps(net, x.split(shares)[rank])], folder / f"out{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one_big_batch(tmp_path):
    torch.manual_seed(0)
    norm, _ = norms()
    parts, x = pictures(batch=5), torch.rand(5, 1, 64, 64, dtype=torch.float64)
    torch.save([norm.state_dict(), parts, x], tmp_path / "in.pt")
    other = torch.multiprocessing.spawn(second, (tmp_path, [1, 4]), nprocs=1, join=False)
    process(0, tmp_path, [1, 4])  # here, which has imported torch already
    other.join()
    layers, buffers, steps = zip(
        *(torch.load(tmp_path / f"out{rank}.pt", weights_only=True) for rank in range(2))
    )

    expected = run(norm, *parts)
    close([torch.cat(pair) for pair in list(zip(*layers))[:3]], expected[:3], 1e-6)
    close([sum(pair) for pair in list(zip(*layers))[3:]], expected[3:], 1e-6)  # each has its share
    for mine in buffers:
        close(mine, list(norm.buffers()), 1e-6)

    net = networks()[0].double()
    output, *others = two_steps(net, x)
    for index in range(len(list(net.parameters()))):
        others[index] = others[index] / 2  # DistributedDataParallel takes the mean
    close([torch.cat([step[0] for step in steps])], [output], 1e-6)
    for step in steps:
        close(step[1:], others, 1e-6)
