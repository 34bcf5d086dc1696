"""Tone of faded prints: contrast and cast brought back, by end points measured on the print itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.pixels import luma, merge_chroma, resize, rgb_to_ycbcr

LOWEST, HIGHEST = (
    0.5,
    99.5,
)  # percentiles that count as black and white: a few pixels beyond them are dust or glare
USED = 0.8  # share of its range that one channel must use for a print to count as not faded
TARGET = 0.95  # share of the range that black to white shall use
MOST_GAIN = 2.5  # more would show grain and paper in place of a picture
KNEE = 0.04  # from both ends: where values beyond black and white are rolled off in place of clipped
MEASURED_SIDE = 512  # px: percentiles of a smaller copy are the same, and noise does not widen them
BORDER_SPREAD = 0.03  # standard deviation of luma along a row or column of a print's border, at most
BORDER_SHARE = 0.2  # of a side that a border may take
MONOCHROME = 0.015  # of chroma that luma does not explain: below this a print is grey, sepia or toned
LEAST_PIXELS = 1000  # to measure on


@dataclass(frozen=True)
class Tone:
    """A correction: by channel, or for `monochrome` prints of luma alone, so that their hue stays."""

    low: tuple[float, ...]  # black point of each channel, 0 to 1: three, or one of luma
    high: tuple[float, ...]  # white point
    gain: tuple[float, ...]

    @property
    def monochrome(self) -> bool:
        return len(self.gain) == 1

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Corrected pixels of the same shape and type, (H, W) or (H, W, 3), uint8 or uint16."""
        curves = [self._curve(channel, pixels.dtype) for channel in range(len(self.gain))]
        if pixels.ndim == 2:
            return curves[0][pixels]
        if not self.monochrome:
            return np.stack([curve[pixels[..., channel]] for channel, curve in enumerate(curves)], -1)
        ycbcr = rgb_to_ycbcr(pixels)
        return merge_chroma(self._stretched(ycbcr[..., 0], 0), ycbcr[..., 1:], pixels.dtype)

    def _curve(self, channel: int, dtype) -> np.ndarray:
        """The channel's correction as a table of all values of `dtype`."""
        top = np.iinfo(dtype).max
        values = np.arange(top + 1, dtype=np.float32) / top
        return np.rint(self._stretched(values, channel) * top).astype(dtype)

    def _stretched(self, values: np.ndarray, channel: int) -> np.ndarray:
        """Values in [0, 1] with the middle of black and white moved to 0.5 and spread by the gain, ends
        rolled off.
        """
        middle = (self.low[channel] + self.high[channel]) / 2
        return _rolled_off((values - middle) * np.float32(self.gain[channel]) + np.float32(0.5))


def measure_tone(pixels: np.ndarray, excluded: np.ndarray, neutral: bool = False) -> Tone | None:
    """The correction that a faded print needs; None for a print that is not faded, or too faint to be
    stretched.

    pixels: (H, W) or (H, W, 3), uint8 or uint16. excluded: (H, W) bool, what must not be measured, such as
    damage; the print's border is left out as well. neutral: a grey or sepia print becomes neutral too. The
    correction is monotone, and a corrected print needs none."""
    small = _reduced(pixels.astype(np.float32) / np.iinfo(pixels.dtype).max)
    inside = _inside(luma(small)) & (_reduced(excluded.astype(np.float32)) < 0.01)
    if inside.sum() < LEAST_PIXELS:
        return None
    channels = small[inside].reshape(inside.sum(), -1)
    if channels.shape[1] == 3 and not neutral and is_monochrome(small, inside):
        channels = luma(small)[inside][:, None]
    low, high = np.percentile(channels, (LOWEST, HIGHEST), axis=0)
    width = high - low
    if not USED / MOST_GAIN <= width.max() < USED:
        return None
    gain = np.minimum(MOST_GAIN, TARGET / width)
    return Tone(*(tuple(float(x) for x in values) for values in (low, high, gain)))


def is_monochrome(picture: np.ndarray, inside: np.ndarray) -> bool:
    """Whether chroma is a smooth function of luma, as in grey, sepia and toned prints.

    picture: (H, W, 3) float in [0, 1]. inside: (H, W) bool, what is looked at.
    """
    ycbcr = rgb_to_ycbcr(picture)[inside]
    basis = np.stack([ycbcr[:, 0] ** power for power in range(4)], 1)
    chroma = ycbcr[:, 1:]
    residual = chroma - basis @ np.linalg.lstsq(basis, chroma, rcond=None)[0]
    return bool(residual.std(0).max() < MONOCHROME)


def _reduced(picture: np.ndarray) -> np.ndarray:
    """(H, W[, C]) float32 at a longer side of at most MEASURED_SIDE px, by area."""
    scale = MEASURED_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return resize(picture, tuple(max(1, round(side * scale)) for side in picture.shape[1::-1]), "box")


def _inside(y: np.ndarray) -> np.ndarray:
    """Where the print's picture is, (H, W) bool: without the flat rows and columns of a border or scanner
    lid.
    """
    inside = np.zeros(y.shape, bool)
    rows, columns = _extent(y.std(1)), _extent(y.std(0))
    inside[rows, columns] = True
    return inside


def _extent(spread: np.ndarray) -> slice:
    """What is left of rows or columns, whose standard deviations are given, without flat ones at both
    ends.
    """
    most = int(BORDER_SHARE * len(spread))
    varied = spread > BORDER_SPREAD
    first, last = (
        int(np.argmax(x[: most + 1])) if x[: most + 1].any() else 0 for x in (varied, varied[::-1])
    )
    return slice(first, len(spread) - last)


def _rolled_off(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1]: unchanged between the knees, and beyond them nearing 0 and 1 smoothly."""
    centered = values - np.float32(0.5)
    room, beyond = np.float32(KNEE), np.abs(centered) - np.float32(0.5 - KNEE)
    rolled = np.sign(centered) * (np.float32(0.5 - KNEE) + room * np.tanh(np.maximum(beyond, 0) / room))
    return np.where(beyond > 0, rolled, centered) + np.float32(0.5)
