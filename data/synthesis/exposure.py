"""How a photograph was taken and printed: the emulsion's color sensitivity, exposure and contrast."""

from math import exp

import numpy as np

UNCHANGED_SHARE = 0.4  # share of the pictures that keep their exposure


def emulsion(picture: np.ndarray, rng) -> np.ndarray:
    """A color photograph (H, W, 3) as the grey of a random emulsion, (H, W) float32.

    Early emulsions were sensitive to blue only, or to blue and green.
    """
    return picture @ rng.dirichlet((1, 1, 1)).astype(np.float32)


def expose(luma: np.ndarray, rng) -> np.ndarray:
    """Luma (H, W) with another gamma, black and white point, (H, W) float32 in [0, 1]."""
    luma = luma.clip(0, 1)
    if rng.random() < UNCHANGED_SHARE:
        return np.ascontiguousarray(luma)
    black, white = rng.uniform(-0.08, 0.15), rng.uniform(0.75, 1.1)
    return np.clip(black + (white - black) * luma ** exp(rng.normal(0, 0.35)), 0, 1).astype(np.float32)
