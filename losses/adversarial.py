"""Hinge losses of adversarial training (Lim and Ye 2017, "Geometric GAN"; Zhang et al. 2019, equation 4).

Scores come from a discriminator and have any shape; above 0 it judges a sample as real.
"""

import torch.nn.functional as F


def discriminator_hinge(real, fake):
    """The discriminator's loss, a scalar: 0 once all real scores are above 1 and all fake ones below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake):
    """The generator's loss, a scalar: lower, the more the discriminator judges its output as real."""
    return -fake.mean()
