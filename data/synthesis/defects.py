"""Synthetic damage and ageing of photographs, with masks of the damage that can be seen.

    picture, mask = sample(luma, np.random.default_rng([seed, n]), load_textures("textures"))

A picture is (H, W) float32 luma in [0, 1], a mask (H, W) uint8, 255 where damaged. Lengths are in pixels. All
chance comes from the Generator handed in. The kinds of damage are those that restorers list for prints,
tintypes and daguerreotypes; sizes follow masks drawn by hand on such photographs (cracks 2-4 px wide, specks
2-10 px).
"""

import numpy as np
from PIL import Image

from data.synthesis import breaks, surface
from data.synthesis.ageing import Ageing, age
from data.synthesis.canvas import Canvas
from data.synthesis.lookalikes import hard_negative
from data.synthesis.textures import enlarge

KINDS = {  # name -> (function, how often it is drawn, relative to the others)
    kind.__name__: (kind, odds)
    for kind, odds in (
        (surface.light_scratches, 2.0),
        (surface.dark_scratches, 1.0),
        (surface.scratch_field, 1.2),
        (breaks.cracks, 2.5),
        (breaks.folds, 2.4),
        (breaks.rips, 1.8),
        (breaks.creases, 1.0),
        (surface.dust, 3.5),
        (surface.spots, 1.0),
        (surface.hair, 0.8),
        (surface.lint, 0.8),
        (surface.stains, 0.5),
        (surface.abrasion, 0.9),
        (breaks.peels, 1.8),
        (breaks.pinholes, 0.5),
        (breaks.torn_corners, 1.2),
        (breaks.torn_edges, 1.0),
        (surface.tape, 0.4),
        (surface.ink, 0.4),
        (surface.shapes, 1.5),
    )
}


def _paint(luma, rng, textures, kinds, amount):
    amount = rng.random() if amount is None else amount
    if kinds is None:
        odds = np.array([often for _, often in KINDS.values()])
        number = 1 if rng.random() < 0.2 else int(rng.integers(2, 3 + round(5 * amount)))
        kinds = rng.choice(list(KINDS), min(number, len(KINDS)), replace=False, p=odds / odds.sum())
    canvas = Canvas(luma.copy(), rng, textures, amount)
    for kind in kinds:
        KINDS[str(kind)][0](canvas, rng)
    return np.clip(canvas.picture, 0, 1, out=canvas.picture)


def _visible(damaged, clean, noise=0.0):
    """The mask of what an eye finds: changes above 0.045, more where the picture is busy or grainy, without
    crumbs.
    """
    busy = Image.fromarray(np.abs(clean[:, 1:] - clean[:, :-1])).reduce(8)
    threshold = np.clip(0.035 + 0.5 * np.asarray(busy) + 0.7 * noise, 0.045, 0.09)
    seen = np.abs(damaged - clean) > enlarge(threshold, clean.shape)
    around = np.pad(seen.view(np.uint8), 1)
    around = around[:-2] + around[1:-1] + around[2:]
    around = around[:, :-2] + around[:, 1:-1] + around[:, 2:]
    return ((seen & (around > 2)) | (around > 5)).view(np.uint8) * np.uint8(255)


def damage(luma, rng, textures=None, kinds=None, amount=None):
    """Paint damage over a picture and say where it can be seen.

    luma: (H, W) float32 in [0, 1]; textures: from `load_textures`; kinds: names out of `KINDS`, default a
    random mixture of one to seven; amount: 0 (least) to 1 (heaviest), default random. Returns (damaged (H, W)
    float32 in [0, 1], mask (H, W) uint8, 0 or 255).
    """
    damaged = _paint(luma, rng, textures, kinds, amount)
    return damaged, _visible(damaged, luma)


def sample(luma, rng, textures=None, clean_share=0.4, negative_share=0.4, new_share=0.25):
    """A training sample of the segment stage: (picture (H, W) float32 in [0, 1], mask (H, W) uint8, 0 or
    255).

    Ageing of the picture, damage, then ageing of both, so that damage lies over one grain and under another.
    Undamaged with probability `clean_share`, with hard negatives as picture content with probability
    `negative_share`, and not aged at all with probability `new_share`.
    """
    if rng.random() < negative_share:
        luma = hard_negative(luma, rng)
    old = rng.random() >= new_share
    under = age(luma, rng, old * rng.uniform(0, 1.1))
    over = Ageing(luma.shape, rng, old * rng.uniform(0, 0.6))
    clean = over.fade(under)
    if rng.random() < clean_share:
        return over.scan(clean), np.zeros(luma.shape, np.uint8)
    damaged = over.fade(_paint(under, rng, textures, None, None))
    mask = _visible(damaged, clean, over.noise)
    return over.scan(damaged), mask
