"""Hinge losses of adversarial training (Lim and Ye 2017, "Geometric GAN"; Zhang et al. 2019, equation 4).

Scores come from a discriminator and have any shape; above 0 it judges a sample as real. weight: how much each
score counts, of the shape of the scores; None: all the same.
"""

import torch
import torch.nn.functional as F


def discriminator_hinge(real, fake, weight=None):
    """The discriminator's loss, a scalar: 0 once all real scores are above 1 and all fake ones below -1."""
    return _mean(F.relu(1 - real), weight) + _mean(F.relu(1 + fake), weight)


def generator_hinge(fake, weight=None):
    """The generator's loss, a scalar: lower, the more the discriminator judges its output as real."""
    return -_mean(fake, weight)


def hinge(discriminator, fake, real, weight=None):
    """(loss of the generator, loss of the discriminator), each with gradients for its own network only.

    fake, of the generator, and real: (B, C, H, W), what the discriminator judges.
    """
    discriminator.requires_grad_(False)
    generator = generator_hinge(discriminator(fake), weight)
    discriminator.requires_grad_(True)
    scores = discriminator(torch.cat([real, fake.detach()]))
    return generator, discriminator_hinge(*scores.chunk(2), weight)


def hinge_in_holes(discriminator, painted, truth, mask):
    """`hinge` of inpainting: both losses count only the scores whose squares contain pixels of holes.

    Elsewhere both pictures are the photograph, which would teach the discriminator to call it painted. This
    is the idea of the mask-guided PatchGAN of AOT-GAN (Zeng et al. 2022, "Aggregated Contextual
    Transformations for High-Resolution Image Inpainting"); there the scores outside holes stay in the
    discriminator's loss, as real ones.

    painted: (B, 1, H, W), the photograph outside holes; truth: (B, 1, H, W), the photograph; mask:
    (B, 1, H, W), 1 valid, 0 in holes, which the discriminator sees too.
    """
    holes = 1 - mask
    fake, real = (torch.cat([picture, holes], 1) for picture in (painted, truth))
    return hinge(discriminator, fake, real, weight=F.max_pool2d(holes, discriminator.size_divisor))


def _mean(x, weight):
    """The weighted mean, a scalar; 0 if no weight is above 0."""
    return x.mean() if weight is None else (x * weight).sum() / weight.sum().clamp_min(1)
