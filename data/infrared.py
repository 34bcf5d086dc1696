"""Detects dust and scratches in a scanner's infrared channel.

The dyes of color film transmit infrared; dust and scratches block or scatter it. So an infrared picture shows
only the defects, apart from some crosstalk of the dyes. Silver (black-and-white film) and Kodachrome's cyan
dye block infrared too: there the channel shows the photograph and cannot be used.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from data.errors import PhotoError
from data.images import ImageLike, read_role_infrared
from data.photo import Photo
from data.pixels import bands, luma

DARKEST = 1 / 64  # of full scale; below this, logarithms amplify noise and do not separate dyes
FIT_PIXELS = 200_000  # enough for four coefficients; more would only take time
FIT_ROUNDS = 3  # rounds of least squares, each without the dust found in the one before
BLOCK = 32  # px: the background is the median of blocks of this size
LEAST_DEPTH = 0.08  # of log infrared; fainter dips are hardly visible in the photograph
SIGMAS = 6.0  # a dip this far below the intact mode is a defect
RIM = 0.4  # of the depth of a defect; shallower pixels beside it belong to the surroundings
REACH = 3  # px around a defect's core searched for its rim
# The channel shows the photograph itself if the correlation of log infrared and log luma exceeds this value
# and it follows the colors with at least this slope. Crosstalk of the dyes is correlated too, but with a
# slope of 0.1 to 0.3.
PICTURE_CORRELATION = 0.5
PICTURE_SLOPE = 0.4
MOST_MARKED = 0.08  # share of the pixels; no scan has this much dust


AUTO = ("auto", None)  # for `mark`


class InfraredError(ValueError):
    """The infrared channel cannot be used for this photograph; the message is a sentence for the report."""


def mark(
    photo: Photo, use: tuple[str, ImageLike | None], reach: int
) -> tuple[np.ndarray | None, int | None, list[str]]:
    """Where infrared shows defects, (H, W) bool, dilated by `reach` px; None if infrared was not used.

    use: auto, off or only; and a picture of the infrared channel, for a photograph without one of its own.
    Also returns the number of defective pixels before dilation, None if infrared was not used, and notes for
    the report. Raises PhotoError if only infrared is to be used and there is none, or if its picture
    cannot be read.
    """
    mode, beside = use
    if mode == "off":
        return None, None, []
    infrared = photo.infrared
    if infrared is None and beside is not None:
        infrared = read_role_infrared(beside, photo.size)
    if infrared is None:
        if mode == "only":
            raise PhotoError("has no infrared channel, and no STEM_IR.tif beside it: use --infrared auto")
        return None, None, []
    try:
        if infrared.shape != photo.pixels.shape[:2]:
            sizes = [f"{width} x {height}" for height, width in (infrared.shape, photo.pixels.shape[:2])]
            raise InfraredError(
                f"the infrared channel was not used: it has {sizes[0]} px, the photograph has {sizes[1]}"
            )
        defects = infrared_defects(infrared, photo.pixels)
    except InfraredError as error:
        return None, None, [str(error)]
    return _local_maximum(defects, reach), int(defects.sum()), []


def infrared_defects(infrared: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The pixels with dust or scratches, (H, W) bool.

    infrared: (H, W) uint8 or uint16. pixels: the photograph, (H, W) or (H, W, 3), uint8 or uint16, of the
    same size. The crosstalk of the dyes is removed by least squares of log infrared on the logs of red, green
    and blue. Then the background, a wide median, is subtracted. A pixel is a defect where the rest is far
    below its intact mode. Raises InfraredError if the channel shows the photograph itself.
    """
    log_infrared = _log(infrared)
    factors = _crosstalk(log_infrared, pixels)
    _refuse_a_picture(log_infrared, pixels, factors)
    depth = -_without_crosstalk(log_infrared, pixels, factors)
    depth -= _background(depth)
    smooth = _mean3(depth)
    threshold = max(LEAST_DEPTH, SIGMAS * _clean_spread(smooth))
    core = smooth > threshold
    mask = _local_maximum(core) & (depth > np.maximum(threshold / 2, RIM * _local_maximum(depth)))
    if mask.mean() > MOST_MARKED:
        raise InfraredError(
            f"the infrared channel was not used: it marks {mask.mean():.0%} of the photograph, "
            "as it does on silver film and Kodachrome"
        )
    return mask


def _log(samples: np.ndarray) -> np.ndarray:
    """Natural logarithm of samples as a share of full scale, float32."""
    full = np.iinfo(samples.dtype).max
    return np.log(np.maximum(samples.astype(np.float32) / full, DARKEST))


def _refuse_a_picture(log_infrared: np.ndarray, pixels: np.ndarray, factors: np.ndarray) -> None:
    """Raises InfraredError if infrared follows the photograph. factors: from `_crosstalk`."""
    step = _step(log_infrared.size)
    a, b = log_infrared.ravel()[::step], np.log(np.maximum(luma(pixels).ravel()[::step], DARKEST))
    if min(a.std(), b.std()) < LEAST_DEPTH / 5:
        return
    correlation = np.corrcoef(a, b)[0, 1]
    if correlation > PICTURE_CORRELATION and factors[:-1].sum() > PICTURE_SLOPE:
        raise InfraredError(
            f"the infrared channel was not used: it shows the photograph itself, "
            f"as it does on silver film and Kodachrome (correlation with luma {correlation:.2f})"
        )


def _step(count: int) -> int:
    """Sampling step in pixels. Odd, so that the grid does not coincide with a regular pattern of rows."""
    return max(1, count // FIT_PIXELS) | 1


def _crosstalk(log_infrared: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Least-squares factors of the logs of the colors, and a constant, (2,) or (4,): how the dyes show in
    infrared.

    Defects are dark in infrared, so pixels far below the fit are left out of the next round.
    """
    colors = pixels.reshape(log_infrared.size, -1)
    step = _step(len(colors))
    sample = np.concatenate([_log(colors[::step]), np.ones((len(colors[::step]), 1), np.float32)], 1)
    target = log_infrared.ravel()[::step]
    kept = np.ones(len(target), bool)
    for _ in range(FIT_ROUNDS):
        factors = np.linalg.lstsq(sample[kept], target[kept], rcond=None)[0]
        residual = target - sample @ factors
        spread = 1.4826 * np.median(np.abs(residual - np.median(residual)))
        kept = residual > -max(3 * spread, 2 * LEAST_DEPTH)
    return factors


def _without_crosstalk(log_infrared: np.ndarray, pixels: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Log infrared minus the fit to the colors, (H, W) float32."""
    residual = np.empty_like(log_infrared)
    for rows in bands(len(residual)):
        logs = _log(pixels[rows].reshape(-1, len(factors) - 1))
        fit = logs @ factors[:-1] + factors[-1]
        residual[rows] = log_infrared[rows] - fit.reshape(residual[rows].shape)
    return residual


def _background(residual: np.ndarray) -> np.ndarray:
    """The slowly varying part of a residual: medians of blocks, upsampled smoothly. Dust is too small to
    shift a median.
    """
    height, width = residual.shape
    padded = np.pad(residual, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    blocks = padded.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows, columns, -1)
    medians = Image.fromarray(np.median(blocks, axis=2).astype(np.float32))
    large = medians.resize((columns * BLOCK, rows * BLOCK), Image.Resampling.BILINEAR)
    return np.asarray(large)[:height, :width]


def _mean3(values: np.ndarray) -> np.ndarray:
    """Means of 3 x 3 pixels, (H, W) float32."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)


def _local_maximum(values: np.ndarray, reach: int = REACH) -> np.ndarray:
    """The largest value within `reach` px, rows and columns, (H, W)."""
    for axis in (0, 1):
        done = 0
        while done < reach:  # windows of 2 * done + 1 px are joined without gaps
            step = min(2 * done + 1, reach - done)
            padded = np.pad(values, [(step, step) if axis == i else (0, 0) for i in (0, 1)], mode="edge")
            before, after = np.split(padded, [-2 * step], axis)[0], np.split(padded, [2 * step], axis)[1]
            values = np.maximum(np.maximum(before, values), after)
            done += step
    return values


def _clean_spread(depth: np.ndarray) -> float:
    """Standard deviation of the intact pixels, from the half below 0, which defects do not reach."""
    sample = depth.ravel()[:: _step(depth.size)]
    shallow = sample[sample < 0]
    return float(-1.4826 * np.median(shallow)) if len(shallow) else 0.0
