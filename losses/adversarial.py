"""Hinge losses of adversarial training (Lim and Ye 2017, "Geometric GAN"; Zhang et al. 2019, equation 4).

Scores come from a discriminator and have any shape; above 0 it judges a sample as real. weight: of each
score, of the same shape; None: all count equally. Losses are scalars.
"""

import torch
import torch.nn.functional as F


def discriminator_hinge(real, fake, weight=None):
    """The discriminator's loss: 0 once all real scores are above 1 and all fake ones below -1."""
    return _mean(F.relu(1 - real), weight) + _mean(F.relu(1 + fake), weight)


def generator_hinge(fake, weight=None):
    """The generator's loss: lower, the more the discriminator judges its output as real."""
    return _mean(-fake, weight)


def hinge(discriminator, ours, truth, weight=None):
    """(loss of the generator, loss of the discriminator).

    ours, truth: what the discriminator takes, such as (luma, cbcr), of the generator and of real pictures.
    Each loss has gradients for its own network only.
    """
    discriminator.requires_grad_(False)
    generator = generator_hinge(discriminator(*ours), weight)
    discriminator.requires_grad_(True)
    both = (torch.cat([real, fake.detach()]) for real, fake in zip(truth, ours, strict=True))
    return generator, discriminator_hinge(*discriminator(*both).chunk(2), weight)


def _mean(losses, weight):
    return losses.mean() if weight is None else (losses * weight).sum() / weight.sum().clamp_min(1e-6)
