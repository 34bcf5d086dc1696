"""Partial convolutions against an explicit loop, their UNet, and the smooth filling of holes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import assert_all_trained, randomized

from nets.norm import fold
from nets.partial import PartialBlock, PartialConv2d, PartialUNet, diffuse


def holes(*shape, share=0.4, seed=0):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) > share).double()


def by_hand(layer, *pairs):
    """The definition, one window after the other: W (x m) / share + bias, over the pixels
    inside the picture.
    """
    (size, _), (stride, _), (padding, _) = layer.kernel_size, layer.stride, layer.padding
    x, mask = (torch.cat(parts, 1) for parts in zip(*((x, mask.expand_as(x)) for x, mask in pairs)))
    batch, _, height, width = x.shape
    rows, columns = ((length + 2 * padding - size) // stride + 1 for length in (height, width))
    out = torch.zeros(batch, layer.out_channels, rows, columns, dtype=x.dtype)
    out_mask = torch.zeros(batch, 1, rows, columns, dtype=x.dtype)
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                total, valid, inside = 0, 0, 0
                for k in range(size):
                    for m in range(size):
                        row, column = i * stride - padding + k, j * stride - padding + m
                        if 0 <= row < height and 0 <= column < width:
                            here = mask[b, :, row, column]
                            total = total + layer.weight[:, :, k, m] @ (x[b, :, row, column] * here)
                            valid, inside = valid + float(here.sum()), inside + here.numel()
                if valid:
                    out[b, :, i, j] = total * inside / valid
                    if layer.bias is not None:
                        out[b, :, i, j] += layer.bias
                    out_mask[b, 0, i, j] = 1
    return out, out_mask


@pytest.mark.parametrize("kernel, stride", [(3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_two_branches_with_their_own_holes_equal_the_definition(kernel, stride, bias):
    torch.manual_seed(0)
    layer = PartialConv2d(5, 4, kernel, stride, padding=kernel // 2, bias=bias).double()
    pairs = [
        (torch.randn(2, 2, 9, 11).double(), holes(2, 1, 9, 11, share=0.8, seed=1)),
        (torch.randn(2, 3, 9, 11).double(), holes(2, 1, 9, 11, share=0.7, seed=2)),
    ]
    for _, mask in pairs:
        mask[:, :, :5, :6] = 0  # some windows are empty in both
    with torch.no_grad():
        output, mask = layer(*pairs)
        expected, expected_mask = by_hand(layer, *pairs)
    assert 0 < expected_mask.mean() < 1
    # the share is kept in single precision
    torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(mask, expected_mask)


@pytest.mark.parametrize("kernel, stride", [(3, 1), (7, 2)])
def test_full_mask_is_an_ordinary_convolution_borders_too(kernel, stride):
    layer = PartialConv2d(3, 4, kernel, stride, padding=kernel // 2)
    x = torch.randn(2, 3, 13, 10)
    with torch.no_grad():
        output, mask = layer((x, torch.ones(2, 1, 13, 10)))
        expected = F.conv2d(x, layer.weight, layer.bias, stride, kernel // 2)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    assert (mask == 1).all()
    assert mask.shape == (2, 1, *expected.shape[2:])


def test_empty_windows_give_exactly_zero_and_stay_holes():
    layer = PartialConv2d(1, 2, 3, padding=1)
    mask = torch.ones(1, 1, 9, 9)
    mask[..., 2:7, 2:7] = 0
    with torch.no_grad():
        output, out = layer((torch.randn(1, 1, 9, 9), mask))
    inner = torch.zeros(9, 9, dtype=torch.bool)
    inner[3:6, 3:6] = True
    assert (output[..., inner] == 0).all()
    assert (out[0, 0] == (~inner).float()).all()
    assert output[..., ~inner].abs().min() > 0


def test_what_lies_in_holes_is_not_seen():
    layer = PartialConv2d(2, 3, 3, padding=1)
    x, mask = torch.randn(1, 2, 8, 8), holes(1, 1, 8, 8).float()
    with torch.no_grad():
        output = layer((x, mask))[0]
        assert torch.equal(output, layer((torch.where(mask > 0, x, 1e4), mask))[0])
        assert not torch.equal(output, layer((x + mask, mask))[0])


def test_bias_is_not_divided_by_the_share():
    layer = PartialConv2d(1, 1, 3, padding=1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.constant_(layer.bias, 0.75)
    mask = torch.zeros(1, 1, 5, 5)
    mask[..., 2, 2] = 1
    with torch.no_grad():
        output, out = layer((torch.randn(1, 1, 5, 5), mask))
    assert torch.equal(output, 0.75 * out)
    assert out.sum() == 9


@pytest.mark.parametrize("bias", [True, False])
def test_gradients(bias):
    torch.manual_seed(0)
    layer = PartialConv2d(3, 2, 3, 2, padding=1, bias=bias).double()
    masks = [holes(1, 1, 5, 6, seed=1), holes(1, 1, 5, 6, seed=2)]
    inputs = [torch.randn(1, channels, 5, 6, dtype=torch.double, requires_grad=True) for channels in (1, 2)]

    def run(a, b, *parameters):
        return torch.func.functional_call(
            layer, dict(zip(dict(layer.named_parameters()), parameters)), ((a, masks[0]), (b, masks[1]))
        )[0]

    assert torch.autograd.gradcheck(run, (*inputs, *layer.parameters()))


def test_nothing_of_a_photo_is_kept_on_the_module():
    block = PartialBlock(1, 4, 3).train()
    before = {name: set(vars(module)) | set(module._buffers) for name, module in block.named_modules()}
    output, _ = block((torch.randn(2, 1, 8, 8), holes(2, 1, 8, 8).float()))
    assert before == {
        name: set(vars(module)) | set(module._buffers) for name, module in block.named_modules()
    }
    assert not any(torch.is_tensor(value) for module in block.modules() for value in vars(module).values())
    copy.deepcopy(block)  # a kept graph tensor could not be copied
    assert output.requires_grad


def test_branches_of_different_precision_are_joined_as_by_cat():
    """Under autocast the upsampled branch is bf16 and the picture float32."""
    torch.manual_seed(0)
    layer = PartialConv2d(5, 4, 3, padding=1)
    pairs = [
        (
            torch.randn(2, channels, 8, 8).to(dtype).requires_grad_(),
            holes(2, 1, 8, 8, seed=channels).to(dtype),
        )
        for channels, dtype in ((3, torch.bfloat16), (2, torch.float32))
    ]
    output, _ = layer(*pairs)
    expected, _ = layer(*((x.float(), mask.float()) for x, mask in pairs))
    torch.testing.assert_close(output, expected)
    grads = torch.autograd.grad(output.square().sum(), [x for x, _ in pairs])
    for grad, (x, mask) in zip(grads, pairs):
        assert grad.dtype == x.dtype
        assert (grad[mask.expand_as(x) == 0] == 0).all()
        assert grad.any()
    with torch.autocast("cpu", torch.bfloat16):
        low, mask = layer(*pairs)
    torch.testing.assert_close(low.float(), output, rtol=0.05, atol=0.05)
    assert low.dtype == torch.bfloat16
    assert set(mask.unique().tolist()) <= {0, 1}


def small(**options):
    return PartialUNet(**{"width": 4, "levels": 4, "widest": 2, **options})


@pytest.mark.parametrize("channels", [1, 3])
def test_the_unet_keeps_the_shape_and_every_parameter_learns(channels):
    torch.manual_seed(0)
    net = small(channels=channels).train()
    assert net.size_divisor == 16
    picture, mask = torch.rand(2, channels, 32, 48), holes(2, 1, 32, 48).float()
    with torch.no_grad():
        for parameter in net.head.parameters():  # starts at zero, behind which nothing learns
            parameter.normal_()
    output = net(picture * mask, mask)
    assert output.shape == picture.shape
    (output * torch.randn_like(output)).sum().backward()
    assert_all_trained(net)


def test_the_untrained_unet_is_the_smooth_filling():
    picture, mask = torch.rand(1, 1, 32, 32), holes(1, 1, 32, 32).float()
    with torch.no_grad():
        assert torch.equal(small().eval()(picture * mask, mask), diffuse(picture, mask))


def test_the_unet_does_not_look_into_holes():
    net = randomized(small())
    picture, mask = torch.rand(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    mask[..., 5:20, 8:30] = 0
    with torch.no_grad():
        assert torch.equal(net(picture, mask), net(torch.where(mask > 0, picture, 0.1), mask))


def test_folding_the_unet_changes_nothing():
    net = randomized(small())
    picture, mask = torch.rand(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    mask[..., 2:30, 2:30] = 0  # a hole that is still open after two levels
    folded = fold(copy.deepcopy(net))
    with torch.no_grad():
        expected = net(picture * mask, mask)
        torch.testing.assert_close(folded(picture * mask, mask), expected, rtol=1e-4, atol=1e-4)
    assert (expected - diffuse(picture, mask)).abs().max() > 0.01


def test_bfloat16_stays_finite():
    torch.manual_seed(0)
    net = randomized(small()).train()
    picture, mask = torch.rand(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    mask[0, 0, 0, 0] = 1  # nearly all and quite all a hole
    with torch.autocast("cpu", torch.bfloat16):
        output = net(picture * mask, mask)
    output.float().square().mean().backward()
    assert torch.isfinite(output).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("height, width", [(32, 32), (37, 51), (1, 1), (1, 30), (29, 2)])
def test_filling_keeps_valid_pixels_and_is_exact_for_a_constant(height, width):
    picture, mask = torch.rand(2, 3, height, width), holes(2, 1, height, width).float()
    mask[:, :, 0, 0] = 1
    filled = diffuse(picture, mask)
    assert filled.shape == picture.shape
    assert torch.equal(filled * mask, picture * mask)
    assert torch.equal(diffuse(picture, torch.ones_like(mask)), picture)
    constant = torch.full((2, 3, height, width), 0.625)
    torch.testing.assert_close(diffuse(constant * mask, mask), constant, rtol=0, atol=1e-6)


def test_filling_continues_a_ramp():
    x = torch.linspace(0, 1, 64).expand(1, 1, 64, 64).contiguous()
    mask = torch.ones_like(x)
    mask[..., 20:44, 20:44] = 0
    error = (diffuse(x * mask, mask) - x).abs().max()
    flat = (x[mask == 1].mean() - x)[mask == 0].abs().max()
    assert error < 0.03 < flat


def test_filling_stays_between_the_values_around():
    """Laplace's equation has no extrema inside (maximum principle)."""
    picture, mask = 0.3 + 0.4 * torch.rand(1, 1, 50, 60), torch.ones(1, 1, 50, 60)
    mask[..., 10:40, 5:55] = 0
    filled = diffuse(picture * mask, mask)
    assert filled.min() >= 0.3
    assert filled.max() <= 0.7


def test_filling_nearly_solves_laplaces_equation():
    """Every filled pixel is about the mean of its four neighbors; the sweeps are what smooths the enlarged
    squares.
    """
    torch.manual_seed(0)
    picture, mask = F.interpolate(torch.rand(1, 1, 8, 8), (64, 64), mode="bicubic"), torch.ones(1, 1, 64, 64)
    mask[..., 12:50, 15:55] = 0

    def residual(filled):
        around = F.conv2d(
            filled, torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None] / 4, padding=1
        )
        return (around - filled)[mask == 0].abs().mean()

    assert (
        residual(diffuse(picture * mask, mask))
        < 0.4 * residual(diffuse(picture * mask, mask, sweeps=0))
        < 0.01
    )


def test_nothing_valid_gives_middle_grey():
    filled = diffuse(torch.rand(1, 1, 9, 14), torch.zeros(1, 1, 9, 14))
    torch.testing.assert_close(filled, torch.full_like(filled, 0.5))
