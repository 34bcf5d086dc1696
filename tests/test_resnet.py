"""ResNet encoders against torchvision's."""

import pytest
import torch
from conftest import assert_all_trained, randomized

from nets.resnet import ResNet, from_imagenet

tv = pytest.importorskip("torchvision.models")


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_equals_torchvision(depth):
    reference = randomized(getattr(tv, f"resnet{depth}")(weights=None), seed=depth)
    net = ResNet(depth).eval()
    state = {name: x for name, x in reference.state_dict().items() if not name.startswith("fc.")}
    net.load_state_dict(state)  # strict: every name and shape is torchvision's
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        features = net(x)
        y = reference.relu(reference.bn1(reference.conv1(x)))
        expected = [y]
        y = reference.maxpool(y)
        for level in range(1, 5):
            y = getattr(reference, f"layer{level}")(y)
            expected.append(y)
    for ours, theirs in zip(features, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stem", ["imagenet", "full"])
def test_features_have_the_announced_channels_and_strides(depth, stem):
    net = ResNet(depth, width=8, channels=4, stem=stem).eval()
    with torch.no_grad():
        features = net(torch.randn(1, 4, 64, 96))
    assert [x.shape[1] for x in features] == net.channels_out
    assert [(64 // x.shape[2], 96 // x.shape[3]) for x in features] == [(s, s) for s in net.strides]
    assert net.strides[0] == {"imagenet": 2, "full": 1}[stem]


def test_the_full_stem_sees_single_pixels():
    """A defect of one pixel moves its own pixel of the finest feature, and nothing far from it."""
    net = randomized(ResNet(18, width=8, channels=1, stem="full"))
    x = torch.zeros(1, 1, 64, 64)
    dot = x.clone()
    dot[..., 20, 21] = 1
    with torch.no_grad():
        change = (net(dot)[0] - net(x)[0]).abs().sum(1)[0]
    assert change[20, 21] > 0
    assert change[40:, 40:].max() == 0


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stem", ["imagenet", "full"])
def test_every_parameter_gets_a_gradient(depth, stem):
    torch.manual_seed(0)
    net = ResNet(depth, width=8, channels=1, stem=stem).train()
    sum((x * torch.randn_like(x)).sum() for x in net(torch.randn(2, 1, 64, 64))).backward()
    assert_all_trained(net)


def test_the_norm_layer_is_passed_in():
    from functools import partial

    from nets.norm import NormAct

    net = ResNet(18, width=8, norm=partial(NormAct, slope=0.25))
    slopes = {name: module.slope for name, module in net.named_modules() if isinstance(module, NormAct)}
    # no activation on shortcuts
    assert {slope for name, slope in slopes.items() if "downsample" in name} == {1.0}
    assert {slope for name, slope in slopes.items() if "downsample" not in name} == {0.25}


def test_unknown_depth_and_stem_are_named():
    with pytest.raises(ValueError, match="depth 20; there are 18, 34, 50"):
        ResNet(20)
    with pytest.raises(ValueError, match="'wide'; there are imagenet and full"):
        ResNet(18, stem="wide")


@pytest.mark.parametrize("width", [4, 12, 16])
def test_any_width_trains_in_channels_last(width):
    """Below 16 channels oneDNN's own strided 1x1 convolution would break the heap; ours is equal to it."""
    torch.manual_seed(0)
    net = ResNet(18, width=width, channels=1, stem="full").to(memory_format=torch.channels_last).train()
    for _ in range(3):
        net(torch.rand(2, 1, 64, 64))[-1].square().mean().backward()
    conv = net.layer2[0].downsample[0]
    plain = torch.nn.Conv2d(width, 2 * width, 1, 2, bias=False)
    plain.load_state_dict(conv.state_dict())
    x = torch.rand(2, width, 9, 12)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), plain(x))


def test_the_reduced_stem_kernel_keeps_its_direction():
    """7x7 to 3x3 by area: what told left from right still does."""
    state = dict(tv.resnet18(weights=None).state_dict())
    state["conv1.weight"] = torch.linspace(-1, 1, 7).expand(64, 3, 7, 7)
    kernel = from_imagenet(state, 1, "full")["conv1.weight"][0, 0]
    assert (kernel[:, 0] < kernel[:, 1]).all()
    assert (kernel[:, 1] < kernel[:, 2]).all()
    torch.testing.assert_close(kernel[:, 0], -kernel[:, 2])
