"""Metrics of inpainted texture, which PSNR misses: a blur scores well there but looks wrong.

Pictures are (C, H, W) float in [0, 1]; `where` is boolean (H, W), True in the hole. Results are Python
floats.
"""

import torch
import torch.nn.functional as F

from losses.metrics import dilate

RING = 16  # px around the hole whose texture is the reference
FEATURE_MARGIN = 4  # px around the hole that also count, where seams show
FLAT_ENERGY = 1e-8  # mean energy of fine detail below which the ring has no texture


def measures(picture, truth, where, vgg=None) -> dict:
    """`high_frequency` and, with `vgg`, `feature_distance` of an inpainted picture."""
    row = {"high_frequency": high_frequency_ratio(picture, where)}
    return row if vgg is None else {**row, "feature_distance": feature_distance(vgg, picture, truth, where)}


@torch.no_grad()
def feature_distance(vgg, picture, truth, where):
    """Distance of VGG-16 features in and just around the hole: 0 for the truth, about 1 for unrelated
    content.

    For each layer, the mean absolute difference over those pixels divided by the mean activation of the truth
    there; then the mean over layers. This is not LPIPS (Zhang et al. 2018): no weights are fitted to human
    judgments. vgg: nets.vgg.VGG16 with the layers to compare, on any device. 0 if no feature lies in the
    hole.
    """
    picture, truth, where = (x.to(vgg.mean.device) for x in (picture, truth, where))
    near = dilate(where, FEATURE_MARGIN).float()[None, None]
    distances = []
    for feature, true_feature in zip(vgg(picture[None]), vgg(truth[None]), strict=True):
        weight = F.adaptive_max_pool2d(near, feature.shape[-2:])  # (1, 1, h, w)
        difference = ((feature - true_feature).abs() * weight).sum()
        distances.append(difference / (true_feature.abs() * weight).sum().clamp_min(1e-9))
    return float(torch.stack(distances).mean())


def high_frequency_ratio(picture, where):
    """Energy of fine detail in the hole divided by that in the ring of RING px around it.

    1: the texture continues; near 0: the hole is a blur. Fine detail is the picture minus its mean over 3 x 3
    px. None if there is no ring, or if it is flat.
    """
    grey = picture.mean(0, keepdim=True)[None]
    smooth = F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, 1)
    energy = (grey - smooth)[0, 0].square()
    inside = where & ~dilate(~where, 1)  # the filter must not reach across the rim
    ring = dilate(where, RING) & ~dilate(where, 1)
    if not inside.any() or not ring.any() or energy[ring].mean() < FLAT_ENERGY:
        return None
    return float(energy[inside].mean() / energy[ring].mean())
