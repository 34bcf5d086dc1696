"""Pixel terms of the inpaint loss (Liu et al. 2018, section 3.3); the stage script sums them.

painted, truth: (B, C, H, W) in [0, 1]; mask: (B, 1, H, W), 1 valid, 0 in holes. Every loss is a scalar.
"""


def hole(painted, truth, mask):
    """Mean absolute error inside holes; 0 if there are none."""
    inside = 1 - mask
    return ((painted - truth).abs() * inside).sum() / (inside.sum() * truth.shape[1]).clamp_min(1)


def valid(painted, truth, mask):
    """Mean absolute error outside holes; 0 if everything is a hole."""
    return ((painted - truth).abs() * mask).sum() / (mask.sum() * truth.shape[1]).clamp_min(1)


def total_variation(painted, mask):
    """Sum of absolute differences of neighbors, at least one of them in a hole, per pixel of the holes."""
    inside = 1 - mask
    across = (painted[..., :, 1:] - painted[..., :, :-1]).abs()
    across = across * inside[..., :, 1:].maximum(inside[..., :, :-1])
    down = (painted[..., 1:, :] - painted[..., :-1, :]).abs()
    down = down * inside[..., 1:, :].maximum(inside[..., :-1, :])
    return (across.sum() + down.sum()) / (inside.sum() * painted.shape[1]).clamp_min(1)
