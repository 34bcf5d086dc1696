"""ImageNet weights in our encoders: torchvision's own first layers are the reference, on random weights."""

import pytest
import torch
import torchvision

from nets.resnet import DEVIATION, MEAN, RGB_DEVIATION, RGB_MEAN, ResNet, from_imagenet

INNER = (..., slice(4, -4), slice(4, -4))  # at the border the means of the two normalizations differ


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    net = torchvision.models.resnet18().eval()
    net.bn1.running_mean.normal_()
    net.bn1.running_var.uniform_(0.5, 2)
    return net


def stem(net, rgb):
    mean, deviation = (torch.tensor(x)[:, None, None] for x in (RGB_MEAN, RGB_DEVIATION))
    return net.relu(net.bn1(net.conv1((rgb - mean) / deviation)))


def ours(published, channels, kind, x):
    net = ResNet(18, 64, channels, kind).eval()
    net.load_state_dict(from_imagenet(published.state_dict(), channels, kind))
    return net.bn1(net.conv1(x))


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_same_features(published, channels):
    rgb = torch.rand(1, 3, 64, 64)
    if channels != 3:
        rgb = rgb[:, :1].expand(-1, 3, -1, -1)  # grey
    x = (rgb[:, : min(channels, 3)] - MEAN) / DEVIATION
    if channels == 4:
        x = torch.cat([x[:, :1], torch.randn(1, 3, 64, 64)], 1)  # hints have no weight yet
    elif channels == 1:
        x = x[:, :1]
    assert torch.allclose(ours(published, channels, "imagenet", x)[INNER], stem(published, rgb)[INNER], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_full_stem_keeps_the_sum_of_every_kernel(published, channels):
    """On a flat picture, where only the sum counts, the 3x3 stem answers as the 7x7 one."""
    flat = torch.full((1, 3, 32, 32), 0.3)
    x = torch.zeros(1, channels, 32, 32)
    x[:, : min(channels, 3)] = (0.3 - MEAN) / DEVIATION
    if channels == 4:
        x[:, 1:] = 0
    assert torch.allclose(ours(published, channels, "full", x)[..., 16, 16], stem(published, flat)[..., 8, 8], atol=1e-5)
