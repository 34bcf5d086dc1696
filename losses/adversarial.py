"""Hinge losses of adversarial training (Lim and Ye 2017, "Geometric GAN"; Zhang et al. 2019, equation 4).

Scores are a critic's, of any shape: above 0 for what it takes for real.
"""

import torch.nn.functional as F


def critic_hinge(real, fake):
    """What the critic minimises: real scores should be above 1, those of fakes below -1; beyond that nothing
    is gained.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake):
    """What the generator minimises: the critic should take its output for real."""
    return -fake.mean()
