"""ImageNet weights in our encoders: torchvision's own first layers are the reference, on random weights."""

import pytest
import torch
import torchvision

from data.published import published_encoder
from nets.resnet import DEVIATION, MEAN, RGB_DEVIATION, RGB_MEAN, ResNet, from_imagenet
from nets.unet import AlbuNet

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
    assert torch.allclose(
        ours(published, channels, "imagenet", x)[INNER], stem(published, rgb)[INNER], atol=1e-5
    )


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_full_stem_keeps_the_sum_of_every_kernel(published, channels):
    """On a flat picture, where only the sum counts, the 3x3 stem answers as the 7x7 one."""
    flat = torch.full((1, 3, 32, 32), 0.3)
    x = torch.zeros(1, channels, 32, 32)
    x[:, : min(channels, 3)] = (0.3 - MEAN) / DEVIATION
    if channels == 4:
        x[:, 1:] = 0
    assert torch.allclose(
        ours(published, channels, "full", x)[..., 16, 16], stem(published, flat)[..., 8, 8], atol=1e-5
    )


def test_every_layer_is_loaded_from_a_file(published, tmp_path):
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    net = AlbuNet(18, 64, stem="full")
    net.encoder.load_published(published_encoder(tmp_path / "resnet18.pth", 18))
    assert torch.equal(net.encoder.layer3[1].conv2.weight, published.layer3[1].conv2.weight)


@pytest.mark.parametrize(
    "depth, width, reason", [(18, 16, "--width 64"), (50, 64, "not a torchvision ResNet")]
)
def test_weights_that_do_not_fit_are_a_clear_error(published, depth, width, reason):
    with pytest.raises(ValueError, match=reason) as error:
        ResNet(depth, width, 1).load_published(published.state_dict())
    assert "\n" not in str(error.value)


def test_imagenet_is_torchvisions_verified_download(published, monkeypatch):
    """Offline the download itself cannot run; what is asked of torchvision can be seen."""
    asked = {}

    def get_state_dict(self, *args, **kwargs):
        asked.update(kwargs, name=str(self))
        return published.state_dict()

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", get_state_dict)
    published_encoder("imagenet", 18)
    assert asked == {"check_hash": True, "name": "ResNet18_Weights.IMAGENET1K_V1"}
