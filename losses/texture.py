"""Measures of painted texture, which PSNR does not see: a blur scores well there and looks wrong.

Pictures are (C, H, W) float in [0, 1]; `where` is boolean (H, W), True in the hole; results are Python
floats."""

import torch
import torch.nn.functional as F

from losses.metrics import dilate

RING = 16  # px around the hole that its texture is compared with
FEATURE_MARGIN = 4  # px around the hole that count too: a seam shows there


@torch.no_grad()
def feature_distance(vgg, picture, truth, where):
    """Distance of VGG-16 features in and just around the hole: 0 is the truth, about 1 a picture with no
    relation to it.

    For each layer the mean absolute difference over those pixels, as a share of the mean activation of the
    truth there; then the mean over layers. It is not LPIPS (Zhang et al. 2018): there are no weights fitted
    to human judgements. vgg: nets.vgg.VGG16 with the layers to compare. Of a hole that no feature sees, 0.
    """
    near = dilate(where, FEATURE_MARGIN).float()[None, None]
    distances = []
    for ours, theirs in zip(vgg(picture[None]), vgg(truth[None]), strict=True):
        weight = F.adaptive_max_pool2d(near, ours.shape[-2:])  # (1, 1, h, w)
        difference = ((ours - theirs).abs() * weight).sum()
        distances.append(difference / (theirs.abs() * weight).sum().clamp_min(1e-9))
    return float(torch.stack(distances).mean())


def high_frequency_ratio(picture, where):
    """Energy of fine detail in the hole divided by that of the ring of RING px around it: 1 where texture
    goes on, near 0 where the hole is a blur. None if there is no ring, or nothing but flat paper in it.

    Fine detail is luma less its mean over 3 x 3 px.
    """
    grey = picture.mean(0, keepdim=True)[None]
    smooth = F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, 1)
    energy = (grey - smooth)[0, 0].square()
    inside = where & ~dilate(~where, 1)  # the filter must not see across the rim
    ring = dilate(where, RING) & ~dilate(where, 1)
    if not inside.any() or not ring.any() or energy[ring].mean() < 1e-8:
        return None
    return float(energy[inside].mean() / energy[ring].mean())
