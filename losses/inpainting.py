"""The pixel losses of the inpaint stage (Liu et al. 2018, section 3.3)."""


def hole(painted, truth, mask):
    """Mean absolute error inside holes. painted, truth: (B, C, H, W) in [0, 1]; mask: (B, 1, H, W), 0 in
    holes.
    """
    inside = 1 - mask
    return ((painted - truth).abs() * inside).sum() / (inside.sum() * truth.shape[1]).clamp_min(1)


def valid(painted, truth, mask):
    """Mean absolute error outside holes."""
    return ((painted - truth).abs() * mask).sum() / (mask.sum() * truth.shape[1]).clamp_min(1)


def total_variation(painted, mask):
    """Mean absolute difference of neighbours, where at least one of the two lies in a hole."""
    inside = 1 - mask
    across = (painted[..., :, 1:] - painted[..., :, :-1]).abs() * inside[..., :, 1:].maximum(
        inside[..., :, :-1]
    )
    down = (painted[..., 1:, :] - painted[..., :-1, :]).abs() * inside[..., 1:, :].maximum(
        inside[..., :-1, :]
    )
    return (across.sum() + down.sum()) / (inside.sum() * painted.shape[1]).clamp_min(1)
