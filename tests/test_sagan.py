"""The critic of adversarial training, and its losses."""

import pytest
import torch
from conftest import assert_all_trained
from torch import nn
from torch.nn.utils import parametrize

from losses import adversarial
from nets.sagan import Discriminator, SelfAttention


def colors(batch=2, height=64, width=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(batch, 1, height, width, generator=generator),
        torch.randn(batch, 2, height, width, generator=generator) * 0.1,
    )


@pytest.mark.parametrize("height, width", [(16, 16), (64, 48), (128, 128)])
def test_scores_are_local(height, width):
    scores = Discriminator(width=8)(*colors(3, height, width))
    assert scores.shape == (3, 1, height // 16, width // 16)
    assert torch.isfinite(scores).all()


def test_every_layer_has_a_spectral_norm_of_at_most_one():
    torch.manual_seed(0)
    critic = Discriminator(width=8)
    layers = [module for module in critic.modules() if isinstance(module, nn.Conv2d)]
    assert len(layers) == 5 + 2 * 4
    for layer in layers:
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(7)
    for _ in range(60):  # each forward in training is one power iteration
        critic(*colors(1, 16, 16))
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
    critic, (luma, cbcr) = Discriminator(width=8), colors()
    for module in critic.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.3)
    critic(luma, cbcr.requires_grad_()).square().sum().backward()
    assert_all_trained(critic)
    assert (cbcr.grad.abs().sum((2, 3)) > 0).all()


def test_single_precision_under_autocast():
    torch.manual_seed(0)
    critic, (luma, cbcr) = Discriminator(width=8).eval(), colors()
    expected = critic(luma, cbcr)
    with torch.autocast("cpu", torch.bfloat16):
        scores = critic(luma, cbcr.bfloat16().float())
    assert scores.dtype == torch.float32
    assert torch.allclose(scores, expected, atol=1e-2)


def test_hinge_losses():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])
    assert float(adversarial.discriminator_hinge(real, fake)) == pytest.approx((0 + 0.5) / 2 + (0 + 1.5) / 2)
    assert float(adversarial.generator_hinge(fake)) == pytest.approx(1.25)


def test_a_critic_learns_what_is_real():
    torch.manual_seed(0)
    critic, (luma, cbcr) = Discriminator(width=8), colors(4, 32, 32)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=1e-3, betas=(0.0, 0.9), weight_decay=0.0)
    for _ in range(25):
        loss = adversarial.discriminator_hinge(critic(luma, cbcr), critic(luma, 0.3 * cbcr))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1.5  # no opinion is 2
