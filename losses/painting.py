"""What `eval` measures of inpainted holes: how near they are to the truth, and their texture."""

import numpy as np
import torch

from losses import metrics, texture
from nets.ops.grain import match_grain


def measures(painters: dict, truth: np.ndarray, holes: np.ndarray, vgg=None) -> dict:
    """The "share" of holes, and name -> metrics of each painter's result; None for a painter that is None.

    painters: name -> paint(luma, holes). truth: luma (H, W) float32 in [0, 1]; holes: (H, W) uint8, above 0
    in holes. Texture is measured with the grain that `infer` adds to "ours"; the other metrics without.
    vgg: for `texture.feature_distance`.
    """
    inside, target = torch.from_numpy(holes > 0), torch.from_numpy(truth)[None]
    holed = np.where(holes > 0, np.float32(0), truth)
    row = {"share": float((holes > 0).mean())}
    for name, paint in painters.items():
        row[name] = None
        if paint is None:
            continue
        picture = torch.from_numpy(paint(holed, holes))[None]
        row[name] = metrics.painting(picture, target, inside)
        if name == "ours":
            picture = match_grain(picture[None], ~inside[None, None])[0]
        row[name] |= texture.measures(picture, target, inside, vgg)
    return row
