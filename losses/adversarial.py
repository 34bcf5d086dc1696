"""Hinge losses of adversarial training (Lim and Ye 2017, "Geometric GAN"; Zhang et al. 2019, equation 4).

Scores come from a discriminator and have any shape; above 0 it judges a sample as real.
"""

import torch
import torch.nn.functional as F


def discriminator_hinge(real, fake):
    """The discriminator's loss, a scalar: 0 once all real scores are above 1 and all fake ones below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake):
    """The generator's loss, a scalar: lower, the more the discriminator judges its output as real."""
    return -fake.mean()


def hinge(discriminator, luma, cbcr, truth):
    """(loss of the generator, loss of the discriminator) over the same luma: only colors can differ.

    luma: (B, 1, H, W); cbcr, of the generator, and truth: (B, 2, H, W). Each loss has gradients for its own
    network only.
    """
    discriminator.requires_grad_(False)
    generator = generator_hinge(discriminator(luma, cbcr))
    discriminator.requires_grad_(True)
    scores = discriminator(torch.cat([luma, luma]), torch.cat([truth, cbcr.detach()]))
    return generator, discriminator_hinge(*scores.chunk(2))
