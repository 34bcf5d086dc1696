"""Measures --tone: how much of a simulated fading it takes back, and which good photographs it changes.

    python benchmarks/tone.py --data DIR                     prints one JSON object

The undamaged photographs of DIR/val are faded and corrected. Errors are the mean CIEDE2000 against the
photograph before fading, of all faded prints and of those that were corrected: prints that still use 80 % of
the range, or less than a third of it, are left alone. Photographs are at most 512 px long. Kinds of fading:

    dyes    color prints: each dye keeps another part of its range, blacks are paler, whites darker and yellow
    tones   grey prints with black and white points and bent tones of the ageing used for training
    aged    grey prints with all of that ageing: also uneven light, blur, grain and JPEG

`unchanged` counts good photographs that stay as they are; `twice` counts prints that a second correction
would change, and `falling` those with a curve that is not monotone.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import record
from data.folder import validation_photos
from data.photo import read_photo
from data.pixels import luma, resize
from data.synthesis.ageing import Ageing, age
from data.tone import measure_tone
from losses import metrics

SIDE = 512  # px


def dyes(picture, rng):
    black, white = rng.uniform(0.03, 0.25), 1 - rng.uniform(0.03, 0.25)
    low, high = black + rng.uniform(0, 0.12, 3), white - np.sort(rng.uniform(0, 0.2, 3))
    return picture, low + (high - low) * picture


def tones(picture, rng):
    grey = luma(picture)
    ageing = Ageing(grey.shape, rng, strength=1.0)
    ageing.light, ageing.blurs = None, []
    return grey, ageing.fade(grey.copy())


def aged(picture, rng):
    grey = luma(picture)
    return grey, age(grey, rng)


FADINGS = {"dyes": dyes, "tones": tones, "aged": aged}


def corrected(pixels):
    """The pixels after correction, and its Tone, None if they are left alone."""
    tone = measure_tone(pixels, np.zeros(pixels.shape[:2], bool))
    return (pixels if tone is None else tone(pixels)), tone


def bytes_of(picture):
    """(H, W[, 3]) in [0, 1] as uint8."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def difference(a, b) -> float:
    """CIEDE2000 of two pictures (H, W[, 3]) uint8."""
    rgb = (np.broadcast_to(np.atleast_3d(x), (*x.shape[:2], 3)) / np.float32(255) for x in (a, b))
    return metrics.ciede2000(*(torch.from_numpy(x).permute(2, 0, 1) for x in rgb))


def measure(picture, fading, rng) -> dict:
    """One faded print: errors before and after, and which promises its correction breaks."""
    truth, faded = map(bytes_of, fading(picture, rng))
    after, tone = corrected(faded)
    curves = [] if tone is None else [tone._curve(channel, np.uint16) for channel in range(len(tone.gain))]
    return {
        "before": difference(faded, truth),
        "after": difference(after, truth),
        "corrected": tone is not None,
        "twice": tone is not None and corrected(after)[1] is not None,
        "falling": any((np.diff(curve.astype(int)) < 0).any() for curve in curves),
    }


def summary(rows: list[dict]) -> dict:
    """Means of the rows."""
    touched = [row for row in rows if row["corrected"]]
    result = {"photos": len(rows), "corrected": len(touched)}
    for part, some in (("all", rows), ("touched", touched)):
        for key in ("before", "after"):
            values = [row[key] for row in some]
            result[f"{part}_{key}"] = float(np.mean(values)) if some else None
            result[f"{part}_{key}_95"] = metrics.bootstrap(values)
    return {**result, **{key: sum(row[key] for row in rows) for key in ("twice", "falling")}}


def main() -> None:
    parser = record.parser(__doc__)
    text = "data folder; its val/, if there is one"
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=text)
    args = parser.parse_args()
    pictures = []
    for path in validation_photos(args.data):
        pixels = read_photo(path).pixels
        scale = min(1, SIDE / max(pixels.shape))
        size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
        pictures.append(resize(pixels, size, "box") / np.float32(np.iinfo(pixels.dtype).max))
    colored = [(number, picture) for number, picture in enumerate(pictures) if picture.ndim == 3]
    result = {
        "photos": len(pictures),
        "unchanged": sum(corrected(bytes_of(picture))[1] is None for picture in pictures),
    }
    for name, fading in FADINGS.items():
        rows = [measure(picture, fading, np.random.default_rng([7, number])) for number, picture in colored]
        result[name] = summary(rows)
    record.emit("tone", result, args.store)


if __name__ == "__main__":
    main()
