"""The discriminator of adversarial training, and its losses."""

import pytest
import torch
from conftest import assert_all_trained
from torch import nn
from torch.nn.utils import parametrize

from losses import adversarial
from nets.sagan import COLORS, PAINTING, Discriminator, SelfAttention


def colors(batch=2, height=64, width=48, seed=0):
    """Luma, Cb and Cr."""
    generator = torch.Generator().manual_seed(seed)
    luma = torch.rand(batch, 1, height, width, generator=generator)
    return torch.cat([luma, torch.randn(batch, 2, height, width, generator=generator) * 0.1], 1)


def painting(height=96, width=96):
    """(painted, truth, mask) with one hole of 12 x 12 px, inside the square in the second row and column."""
    torch.manual_seed(3)
    truth, mask = torch.rand(2, 1, height, width), torch.ones(2, 1, height, width)
    mask[..., 18:30, 18:30] = 0
    return truth * mask + 0.5 * (1 - mask), truth, mask


@pytest.mark.parametrize("height, width", [(16, 16), (64, 48), (128, 128)])
def test_scores_are_local(height, width):
    scores = Discriminator(COLORS, width=8)(colors(3, height, width))
    assert scores.shape == (3, 1, height // 16, width // 16)
    assert torch.isfinite(scores).all()


def test_every_layer_has_a_spectral_norm_of_at_most_one():
    torch.manual_seed(0)
    discriminator = Discriminator(COLORS, width=8)
    layers = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert len(layers) == 5 + 2 * 4
    for layer in layers:
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(7)
    for _ in range(60):  # each forward in training is one power iteration
        discriminator(colors(1, 16, 16))
    for layer in layers:
        assert parametrize.is_parametrized(layer, "weight")
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert 0.9 < norm < 1.01


def test_attention_is_the_identity_until_gamma_moves():
    torch.manual_seed(0)
    attention, x = SelfAttention(16).eval(), torch.randn(2, 16, 5, 7)
    assert torch.equal(attention(x), x)
    nn.init.constant_(attention.gamma, 0.5)
    # (B, 2, 35)
    query, key, value = (layer(x).flatten(2) for layer in (attention.query, attention.key, attention.value))
    share = torch.softmax(query.mT @ key, 2)  # (B, 35, 35): how much each place looks at each other one
    gathered = (value @ share.mT).unflatten(2, (5, 7))
    assert torch.allclose(attention(x), x + 0.5 * attention.out(gathered), atol=1e-5)


def test_attention_sees_the_whole_picture():
    torch.manual_seed(0)
    attention, x = SelfAttention(16).eval(), torch.randn(1, 16, 6, 6, requires_grad=True)
    nn.init.constant_(attention.gamma, 0.5)
    attention(x)[0, :, 0, 0].sum().backward()
    assert (x.grad[0, :, 5, 5] != 0).any()


def test_gradients_reach_every_parameter_and_the_colors():
    torch.manual_seed(0)
    discriminator, x = Discriminator(COLORS, width=8), colors()
    for module in discriminator.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.3)
    discriminator(x.requires_grad_()).square().sum().backward()
    assert_all_trained(discriminator)
    assert (x.grad.abs().sum((2, 3)) > 0).all()


def test_single_precision_under_autocast():
    torch.manual_seed(0)
    discriminator, x = Discriminator(COLORS, width=8).eval(), colors()
    expected = discriminator(x)
    with torch.autocast("cpu", torch.bfloat16):
        scores = discriminator(torch.cat([x[:, :1], x[:, 1:].bfloat16().float()], 1))
    assert scores.dtype == torch.float32
    assert torch.allclose(scores, expected, atol=1e-2)


def test_hinge_losses():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])
    assert float(adversarial.discriminator_hinge(real, fake)) == pytest.approx((0 + 0.5) / 2 + (0 + 1.5) / 2)
    assert float(adversarial.generator_hinge(fake)) == pytest.approx(1.25)


def test_weighted_hinge_losses():
    real, fake, weight = torch.tensor([0.5, 9.0]), torch.tensor([0.25, 7.0]), torch.tensor([3.0, 0.0])
    assert float(adversarial.discriminator_hinge(real, fake, weight)) == pytest.approx(0.5 + 1.25)
    assert float(adversarial.generator_hinge(fake, weight)) == pytest.approx(-0.25)
    assert float(adversarial.discriminator_hinge(real, fake, 0 * weight)) == 0  # no hole at all


def test_the_scale_of_channels_is_no_part_of_the_weights():
    """So that a last.pt of any version loads."""
    names = Discriminator(COLORS, width=8).state_dict().keys()
    assert names
    assert all(name.startswith("layers.") for name in names)


def test_only_scores_of_holes_count():
    """A discriminator that gives the mean of each square, so that the values can be worked out. It sees the
    composite, and where the holes are.
    """

    class Judge(nn.Module):
        size_divisor = 16

        def forward(self, x):
            seen.append(x)
            return nn.functional.avg_pool2d(x[:, :1], 16)

    seen, (painted, truth, mask) = [], painting()
    ours, theirs = adversarial.hinge_in_holes(Judge(), painted, truth, mask)
    fake, real = (x[..., 16:32, 16:32].mean() for x in (painted, truth))
    torch.testing.assert_close(ours, -fake)
    torch.testing.assert_close(theirs, (1 - real) + (1 + fake))
    assert torch.equal(seen[0], torch.cat([painted, 1 - mask], 1))
    assert torch.equal(seen[1], torch.cat([torch.cat([truth, 1 - mask], 1), seen[0]]))


def test_losses_of_painting_look_at_holes_and_their_surroundings():
    """A score sees 31 px beyond its square, while attention is off."""
    torch.manual_seed(0)
    discriminator, (painted, truth, mask) = Discriminator(PAINTING, width=4), painting()
    losses = adversarial.hinge_in_holes(discriminator, painted.requires_grad_(), truth.requires_grad_(), mask)
    ours = torch.autograd.grad(losses[0], painted)[0]
    theirs = torch.autograd.grad(losses[1], truth)[0]
    for gradient in (ours, theirs):
        assert (gradient[..., 18:30, 18:30] != 0).any()
        assert (gradient[..., 63:, :] == 0).all()
        assert (gradient[..., 63:] == 0).all()


def test_a_discriminator_learns_what_is_real():
    torch.manual_seed(0)
    discriminator, x = Discriminator(COLORS, width=8), colors(4, 32, 32)
    pale = x * torch.tensor([1, 0.3, 0.3])[:, None, None]
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.9), weight_decay=0.0)
    for _ in range(25):
        loss = adversarial.discriminator_hinge(discriminator(x), discriminator(pale))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1.5  # no opinion is 2
