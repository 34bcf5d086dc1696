"""Kinds of pictures that restore badly: already in color, stamped, negatives, drawn, halftone prints.

Every measure takes some milliseconds: it looks at a small copy, or at patches spread over the photograph.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from data.pixels import luma, resize, rgb_to_ycbcr

MARGIN = 0.12  # of each side, left out where mounts, borders and color charts would be measured
PATCH = 64  # px, side of the patches in which a halftone screen is searched for


def small_copy(pixels: np.ndarray, side: int, margin: float = 0.0) -> np.ndarray:
    """The photograph without a margin, with a longer side of at most `side` px: float32 in [0, 1].

    Large ones are thinned to four times that first, which makes this fast. margin: share of each side.
    """
    height, width = pixels.shape[:2]
    top, left = int(height * margin), int(width * margin)
    pixels = pixels[top : height - top, left : width - left]
    step = max(1, max(pixels.shape[:2]) // (4 * side))
    pixels = pixels[::step, ::step]
    scale = min(1, side / max(pixels.shape[:2]))
    size = tuple(max(1, round(length * scale)) for length in pixels.shape[1::-1])
    return np.clip(resize(pixels, size, "box") / np.iinfo(pixels.dtype).max, 0, 1)


# ------------------------------------------------------------------------------------------ color


def toning(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chroma of a picture (H, W, 3) in [0, 1], of 255, as the sum of two parts (H, W, 2): that of its paper
    or toning, and that of its subject.

    A toned print has one chroma for each luma, here a polynomial of degree 3, and may yellow unevenly, here
    by a linear gradient.
    """
    height, width = rgb.shape[:2]
    ycbcr = rgb_to_ycbcr(rgb)
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = [*(ycbcr[..., 0] ** power for power in range(4)), down, across]
    basis, chroma = np.stack(terms, -1).reshape(-1, 6), ycbcr[..., 1:] * 255
    fitted = basis @ np.linalg.lstsq(basis, chroma.reshape(-1, 2), rcond=None)[0]
    tone = fitted.reshape(height, width, 2)
    return tone, chroma - tone


def chroma(pixels: np.ndarray) -> tuple[float, float]:
    """Chroma in the middle of a photograph, root mean square, of 255: of its paper or toning, and of its
    subject; grey has neither.

    That of the subject is the root of the mean product of neighboring pixels, which grain does not raise. The
    5 % largest are left out.
    """
    if pixels.ndim == 2:
        return 0.0, 0.0
    tone, subject = toning(small_copy(pixels, 48, MARGIN))
    pairs = (subject[1:] * subject[:-1], subject[:, 1:] * subject[:, :-1])
    products = np.sort(np.concatenate([pair.sum(-1).ravel() for pair in pairs] + [[0.0]]))
    products = products[: max(1, int(0.95 * len(products)))]
    return float(np.square(tone).sum(-1).mean() ** 0.5), float(max(0, products.mean()) ** 0.5)


def is_colored(pixels: np.ndarray) -> bool:
    """Whether a photograph is in color, even if faded or tinted by hand.

    The chroma of the subject is above 3.5; or, without a colored mark, it is above 0.4 and above 0.3 of that
    of the paper: a faded color photograph has little chroma of both, a sepia print much of the paper's alone.
    """
    tone, subject = chroma(pixels)
    return subject > 3.5 or (subject > max(0.4, 0.3 * tone) and not has_colored_mark(pixels))


def is_toned(pixels: np.ndarray) -> bool:
    """Whether a photograph is sepia or toned: the chroma of its paper or toning is above 6."""
    return chroma(pixels)[0] > 6


def has_colored_mark(pixels: np.ndarray) -> bool:
    """Whether a small part of a grey or toned photograph is in color, such as a stamp or ink.

    The chroma of 0.02 to 3 % of its pixels is more than 40 of 255 away from the toning.
    """
    if pixels.ndim == 2:
        return False
    share = (np.hypot(*np.moveaxis(toning(small_copy(pixels, 256))[1], -1, 0)) > 40).mean()
    return bool(0.0002 < share < 0.03)


def is_color_negative(pixels: np.ndarray) -> bool:
    """Whether a picture is a color negative that was not inverted, with the orange mask of the film.

    Its brightest tenth, the least exposed film, is orange: of 255, mean Cb is from -65 to -25 and mean Cr
    above 37. Red is above green, and green above blue, in 60 % of the pixels; blue is below 0.55 in 99 %.
    Sepia prints and sunsets are less red, orange flowers more orange. Negatives without that mask cannot be
    told from photographs so simply.
    """
    if pixels.ndim == 2:
        return False
    rgb = small_copy(pixels, 48, MARGIN)
    y, cb, cr = np.moveaxis(rgb_to_ycbcr(rgb), -1, 0)
    brightest = y >= np.percentile(y, 90)
    orange = -65 / 255 < cb[brightest].mean() < -25 / 255 and cr[brightest].mean() > 37 / 255
    ordered = (np.diff(rgb, axis=-1) < 0).all(-1).mean() > 0.6
    return bool(orange and ordered and np.percentile(rgb[..., 2], 99) < 0.55)


# ------------------------------------------------------------------------------------------ prints


def is_drawing(pixels: np.ndarray) -> bool:
    """Whether a picture is a drawing, an engraving with open paper, or a page of text.

    Most of it (65 %) has the luma of the paper, which is bright; 2 to 40 % is much darker, and nothing dark
    is wider than a stroke: a maximum filter removes all of it.
    """
    grey = luma(small_copy(pixels, 384, 0.04))
    paper = np.percentile(grey, 90)
    picture = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
    thick = np.asarray(picture.filter(ImageFilter.MaxFilter(9))) / 255 < paper - 0.15
    strokes = (grey < paper - 0.25).mean()
    return bool(
        paper > 0.5 and (grey > paper - 0.1).mean() > 0.65 and 0.02 < strokes < 0.4 and thick.mean() < 0.005
    )


def is_halftone(pixels: np.ndarray) -> bool:
    """Whether a picture is printed from dots or lines of one spacing, as in a newspaper or an engraving.

    Then the same frequency stands out in patches everywhere. The median over patches of the logarithm of the
    power spectrum is compared with that of all frequencies as far from zero: a peak is 55 times above them
    (4 in logarithms). On the axes, where edges and JPEG blocks lie, 5,000 times are needed (8.5).
    """
    spectra = [np.log(spectrum + 1e-6) for spectrum in _spectra(pixels)]
    if len(spectra) < 4:
        return False
    power = np.median(spectra, 0)  # (PATCH, PATCH / 2 + 1)
    down = np.abs(np.fft.fftfreq(PATCH) * PATCH)[:, None]
    across = np.arange(PATCH // 2 + 1)[None]
    ring = np.rint(np.hypot(down, across)).astype(int)
    usual = np.array([np.median(power[ring == radius]) for radius in range(ring.max() + 1)])
    aside = (ring >= 8) & (down > 2) & (across > 2)
    along = (ring >= 8) & ((down == 0) | (across == 0)) & (abs((down + across + 4) % 8 - 4) > 1)
    above = power - usual[ring]
    return bool(above[aside].max() > 4 or above[along].max() > 8.5)


def _spectra(pixels: np.ndarray) -> list[np.ndarray]:
    """Power spectra (PATCH, PATCH / 2 + 1) of up to 64 patches at full size, except for flat ones; mean 1."""
    window, spectra = np.hanning(PATCH)[:, None] * np.hanning(PATCH), []
    starts = [
        np.linspace(0, length - PATCH, min(8, length // PATCH)).astype(int) for length in pixels.shape[:2]
    ]
    for top in starts[0]:
        for left in starts[1]:
            patch = luma(pixels[top : top + PATCH, left : left + PATCH])
            patch = patch - patch.mean()
            if patch.std() > 0.02:
                power = np.abs(np.fft.rfft2(patch * window)) ** 2
                spectra.append(power / power.mean())
    return spectra
