"""AlbuNet: shapes, gradients, folding."""

import copy
from functools import partial

import pytest
import torch
from conftest import assert_all_trained, randomized

from nets.norm import NormAct, fold
from nets.unet import AlbuNet


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stem, scale", [("full", 1), ("imagenet", 2)])
@pytest.mark.parametrize("extra_levels", [0, 2])
def test_output_has_the_scale_of_the_stem(depth, stem, scale, extra_levels):
    net = AlbuNet(depth, width=8, channels=4, out_channels=3, stem=stem, extra_levels=extra_levels).eval()
    assert net.size_divisor == {"full": 8, "imagenet": 32}[stem] << extra_levels
    height, width = net.size_divisor, 2 * net.size_divisor
    with torch.no_grad():
        assert net(torch.rand(2, 4, height, width)).shape == (2, 3, height // scale, width // scale)


def test_width_is_that_of_the_first_layer():
    def count(width):
        return sum(p.numel() for p in AlbuNet(18, width=width).parameters())

    net = AlbuNet(18, width=16, extra_levels=1)
    assert net.encoder.conv1.weight.shape[0] == 16
    assert net.head.weight.shape[1] == 16
    assert 3.5 < count(16) / count(8) < 4.5  # channels in times channels out


@pytest.mark.parametrize(
    "depth, stem, extra_levels", [(18, "full", 2), (18, "full", 0), (50, "imagenet", 0), (34, "imagenet", 1)]
)
def test_every_parameter_gets_a_gradient(depth, stem, extra_levels):
    torch.manual_seed(0)
    net = AlbuNet(depth, width=8, channels=1, out_channels=2, stem=stem, extra_levels=extra_levels).train()
    output = net(torch.rand(2, 1, 64, 64))
    (output * torch.randn_like(output)).sum().backward()
    assert_all_trained(net)


def test_the_deepest_level_reaches_the_output():
    """What happens at one end of the picture is known at the other: the pooled levels widen the context."""
    net = randomized(AlbuNet(18, width=8, stem="full", extra_levels=2))
    x = torch.rand(1, 1, 128, 128)
    other = x.clone()
    other[..., :8] = 1 - other[..., :8]
    with torch.no_grad():
        assert (net(x) - net(other))[..., -1].abs().max() > 0


@pytest.mark.parametrize("depth, stem, slope", [(18, "full", 0.01), (50, "imagenet", 0.0)])
def test_folding_changes_nothing_but_speed(depth, stem, slope):
    net = randomized(AlbuNet(depth, width=8, stem=stem, norm=partial(NormAct, slope=slope)))
    folded = fold(copy.deepcopy(net))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    x = torch.rand(1, 1, net.size_divisor, net.size_divisor)
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(folded(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
        assert expected.std() > 1e-3


def test_input_is_luma_in_0_to_1():
    """Normalization is part of the network: middle grey of ImageNet is zero inside."""
    net = AlbuNet(18, width=8).eval()
    seen = []
    net.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net(torch.full((1, 1, 32, 32), 0.449))
        net(torch.full((1, 1, 32, 32), 0.449 + 0.226))
    assert seen[0].abs().max() < 1e-6
    assert (seen[1] - 1).abs().max() < 1e-6


def test_a_lite_encoder_has_the_scale_of_the_imagenet_stem():
    net = AlbuNet("lite0", width=8, channels=4, out_channels=2, stem="imagenet", extra_levels=0).eval()
    assert net.size_divisor == 32
    assert net.channels == 4
    with torch.no_grad():
        assert net(torch.rand(1, 4, 64, 96)).shape == (1, 2, 32, 48)


@pytest.fixture
def pair():
    """A network, and the same one with a context added."""
    net, other = (AlbuNet(18, width=8, context=context) for context in (None, "lite0"))
    randomized(net)
    other.load_state_dict(net.state_dict())
    return net, other.eval()


def test_a_new_context_changes_nothing(pair):
    net, other = pair
    x = torch.rand(1, 1, 128, 64)
    with torch.no_grad():
        assert torch.equal(net(x), other(x))
    assert other.size_divisor == 64


def test_every_feature_of_the_context_reaches_the_output(pair):
    _, net = pair
    x = torch.rand(1, 1, 128, 128)
    with torch.no_grad():
        before = net(x)
        for index, join in enumerate(net.context.joins):
            join.weight.fill_(0.1)
            assert not torch.equal(net(x), before), index
            join.weight.zero_()


def test_the_context_learns_from_the_first_step(pair):
    _, net = pair
    net.train()(torch.rand(2, 1, 64, 64)).square().mean().backward()
    for name, parameter in net.context.joins.named_parameters():
        assert parameter.grad.abs().max() > 0, name
