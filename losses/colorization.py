"""The pixel loss of the colorize stage."""


def chroma_l1(cbcr, truth, weight: float = 0.0):
    """Mean absolute error of chroma, (B, 2, H, W) in [-0.5, 0.5]; a pixel counts 1 + weight * its true chroma.

    Most pixels of most photographs are nearly grey; unweighted, the median answer to an uncertain colour is grey too.
    """
    share = 1 + weight * truth.norm(dim=1, keepdim=True)
    return ((cbcr - truth).abs() * share).sum() / (2 * share.sum())
