"""Corrects contrast and color cast of faded prints, from end points measured on the print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.pixels import bands, luma, merge_chroma, resize, rgb_to_ycbcr

MODES = "auto", "neutral"  # auto keeps the hue of grey, sepia and toned prints, neutral makes them grey
REMARK = "contrast and color cast of the faded print corrected"

LOWEST, HIGHEST = 0.1, 99.9  # percentiles taken as black and white; beyond are dust and glare
USED = 0.8  # share of the range that one channel must use for a print not to count as faded
TARGET = 0.95  # share of the range from black to white after correction
MOST_GAIN = 2.5  # more would bring out grain and paper
KNEE = 0.04  # distance from both ends within which values are rolled off instead of clipped
MEASURED_SIDE = 512  # px; a smaller copy has the same percentiles, not widened by noise
BORDER_SPREAD = 0.03  # largest standard deviation of luma along a row or column of a print's border
BORDER_SHARE = 0.2  # largest share of a side that a border may take
# A print is grey, sepia or toned if the chroma that luma does not explain is below both: a standard
# deviation, and a share of that of luma, since in faded color prints chroma is weak too.
MONOCHROME = 0.015
MONOCHROME_SHARE = 0.1
LEAST_PIXELS = 1000  # fewest pixels to measure on


@dataclass(frozen=True)
class Tone:
    """A tone correction per channel, or of luma alone for `monochrome` prints, which keeps their hue."""

    low: tuple[float, ...]  # black point of each channel, 0 to 1: three values, or one for luma
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
        result = np.empty_like(pixels)
        if not self.monochrome:
            for channel, curve in enumerate(curves):
                result[..., channel] = curve[pixels[..., channel]]
            return result
        for rows in bands(len(pixels)):
            ycbcr = rgb_to_ycbcr(pixels[rows])
            y = self._stretched(ycbcr[..., 0], 0)
            result[rows] = merge_chroma(y, ycbcr[..., 1:], pixels.dtype)
        return result

    def _curve(self, channel: int, dtype) -> np.ndarray:
        """The correction of a channel as a table of all values of `dtype`."""
        top = np.iinfo(dtype).max
        values = np.arange(top + 1, dtype=np.float32) / top
        return np.rint(self._stretched(values, channel) * top).astype(dtype)

    def _stretched(self, values: np.ndarray, channel: int) -> np.ndarray:
        """Values in [0, 1] with the middle between black and white moved to 0.5, multiplied by the gain, and
        rolled off.
        """
        middle = (self.low[channel] + self.high[channel]) / 2
        return _rolled_off((values - middle) * np.float32(self.gain[channel]) + np.float32(0.5))


def measure_tone(pixels: np.ndarray, excluded: np.ndarray, neutral: bool = False) -> Tone | None:
    """The correction that a faded print needs; None if it is not faded, or too faint to be stretched.

    pixels: (H, W) or (H, W, 3), uint8 or uint16. excluded: (H, W) bool, pixels not to measure on, such as
    damage; the print's border is left out as well. neutral: also neutralize grey and sepia prints. The
    correction is monotone, and a corrected print needs no further one.
    """
    small = _reduced(pixels) / np.float32(np.iinfo(pixels.dtype).max)
    inside = _inside(luma(small)) & (_reduced(excluded.astype(np.uint8)) < 0.01)
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


def report(tone: Tone | None) -> dict:
    """The correction as data/report.py describes it."""
    if tone is None:
        return {"corrected": False}
    points = {"black": tone.low, "white": tone.high, "gain": tone.gain}
    return {"corrected": True, **{name: [round(x, 4) for x in values] for name, values in points.items()}}


def is_monochrome(picture: np.ndarray, inside: np.ndarray) -> bool:
    """Whether chroma is a smooth function of luma, as in grey, sepia and toned prints.

    picture: (H, W, 3) float in [0, 1]. inside: (H, W) bool, the pixels to use.
    """
    ycbcr = rgb_to_ycbcr(picture)[inside]
    basis = np.stack([ycbcr[:, 0] ** power for power in range(4)], 1)
    chroma = ycbcr[:, 1:]
    residual = chroma - basis @ np.linalg.lstsq(basis, chroma, rcond=None)[0]
    return bool(residual.std(0).max() < min(MONOCHROME, MONOCHROME_SHARE * ycbcr[:, 0].std()))


def _reduced(picture: np.ndarray) -> np.ndarray:
    """(H, W[, C]) at a longer side of at most MEASURED_SIDE px, by area averaging; larger ones as float32."""
    scale = MEASURED_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return resize(picture, tuple(max(1, round(side * scale)) for side in picture.shape[1::-1]), "box")


def _inside(y: np.ndarray) -> np.ndarray:
    """The picture area of a print, (H, W) bool: without the flat rows and columns of a border or
    scanner lid.
    """
    inside = np.zeros(y.shape, bool)
    rows, columns = _extent(y.std(1)), _extent(y.std(0))
    inside[rows, columns] = True
    return inside


def _extent(spread: np.ndarray) -> slice:
    """The range of rows or columns left after removing flat ones at both ends, from their standard
    deviations.
    """
    most = int(BORDER_SHARE * len(spread))
    varied = spread > BORDER_SPREAD
    first, last = (
        int(np.argmax(x[: most + 1])) if x[: most + 1].any() else 0 for x in (varied, varied[::-1])
    )
    return slice(first, len(spread) - last)


def _rolled_off(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1]: unchanged between the knees, and beyond them approaching 0 and 1 smoothly."""
    centered = values - np.float32(0.5)
    room, beyond = np.float32(KNEE), np.abs(centered) - np.float32(0.5 - KNEE)
    rolled = np.sign(centered) * (np.float32(0.5 - KNEE) + room * np.tanh(np.maximum(beyond, 0) / room))
    return np.where(beyond > 0, rolled, centered) + np.float32(0.5)
