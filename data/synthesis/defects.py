"""Synthetic damage and ageing of photographs, with masks of the visible damage.

    picture, mask = sample(luma, np.random.default_rng([seed, n]), load_textures("textures"))

A picture is (H, W) float32 luma in [0, 1], a mask (H, W) uint8: 255 damaged, 0 intact, 128 undecidable, as in
soft stains. Lengths are in pixels. All randomness comes from the Generator passed in. The kinds of damage are
those that restorers list for prints, tintypes and daguerreotypes; sizes follow masks drawn by hand on such
photographs (cracks 2-4 px wide, specks 2-10 px).
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from data.synthesis import breaks, emulsion, scans, shares, surface, tears
from data.synthesis.ageing import Ageing, age
from data.synthesis.canvas import Canvas
from data.synthesis.lookalikes import hard_negative
from data.synthesis.textures import enlarge

KINDS = {  # name -> (function, relative frequency)
    kind.__name__: (kind, odds)
    for kind, odds in (
        (surface.light_scratches, 2.0),
        (surface.dark_scratches, 1.0),
        (surface.scratch_field, 1.0),
        (breaks.cracks, 2.5),
        (breaks.folds, 2.4),
        (breaks.rips, 1.5),
        (breaks.creases, 1.0),
        (surface.dust, 3.0),
        (surface.spots, 1.0),
        (surface.hair, 0.8),
        (surface.lint, 0.8),
        (surface.stains, 0.5),
        (surface.abrasion, 0.8),
        (breaks.peels, 1.8),
        (breaks.pinholes, 0.4),
        (surface.tape, 0.4),
        (surface.ink, 0.5),
        (surface.shapes, 1.3),
        (emulsion.flaking, 1.8),
        (emulsion.skinning, 2.0),
        (emulsion.alligatoring, 0.9),
        (emulsion.relief_cracks, 1.3),
        (emulsion.hairlines, 1.2),
        (emulsion.scuffs, 0.8),
        (emulsion.tide_marks, 0.9),
        (emulsion.silvering, 0.4),
        (tears.worn_edges, 1.0),
        (tears.torn_corners, 1.5),
        (tears.torn_edges, 1.2),
        (tears.part_gone, 0.6),
        (tears.torn_strips, 0.7),
        (tears.wide_rips, 1.0),
        (tears.holes, 0.8),
    )
}
SOFT = ("stains", "silvering")  # without an edge to mark, so undecided
# the last: whatever was on the paper goes with it
TORN = ("torn_corners", "torn_edges", "part_gone", "torn_strips", "wide_rips", "holes")


class Painted(NamedTuple):
    """A damaged picture: all of it; only the soft damage, or None; where the picture is lost, or None."""

    picture: np.ndarray
    stained: np.ndarray | None
    lost: np.ndarray | None


def _mixture(rng, amount, sheets):
    odds = np.array(
        [odds * (shares.TORN_AT_EDGES if sheets and kind in TORN else 1) for kind, (_, odds) in KINDS.items()]
    )
    number = 1 if rng.random() < shares.SINGLE_SHARE else int(rng.integers(2, 3 + round(5 * amount)))
    return [str(kind) for kind in rng.choice(list(KINDS), number, replace=False, p=odds / odds.sum())]


def _paint(luma, rng, textures, kinds=None, amount=None, scan=None):
    amount = rng.random() if amount is None else amount
    sheets = scan.sheets if scan else ()
    kinds = _mixture(rng, amount, sheets) if kinds is None else kinds
    for kind in kinds:
        KINDS[kind]  # KeyError names an unknown kind before anything is drawn
    canvas = Canvas(luma.copy(), rng, textures, amount, sheets)
    soft, hard, torn = (
        [kind for kind in kinds if (kind in SOFT, kind in TORN) == which]
        for which in ((True, False), (False, False), (False, True))
    )
    for kind in soft:
        KINDS[kind][0](canvas, rng)
    stained = np.clip(canvas.picture, 0, 1) if soft else None
    for kind in hard:
        KINDS[kind][0](canvas, rng)
    if scan and rng.random() >= shares.ON_GLASS_SHARE:
        scan.keep_to_paper(canvas.picture, luma)
    for kind in torn:
        KINDS[kind][0](canvas, rng)
    return Painted(np.clip(canvas.picture, 0, 1, out=canvas.picture), stained, canvas.lost)


def _visible(damaged, clean, noise=0.0):
    """The mask of visible damage: changes above 0.045, more where the picture is busy or grainy, without
    crumbs.
    """
    busy = Image.fromarray(np.abs(clean[:, 1:] - clean[:, :-1])).reduce(8)
    threshold = np.clip(0.035 + 0.5 * np.asarray(busy) + 0.7 * noise, 0.045, 0.09)
    seen = np.abs(damaged - clean) > enlarge(threshold, clean.shape)
    around = np.pad(seen.view(np.uint8), 1)
    around = around[:-2] + around[1:-1] + around[2:]
    around = around[:, :-2] + around[:, 1:-1] + around[:, 2:]
    return ((seen & (around > 2)) | (around > 5)).view(np.uint8) * np.uint8(255)


def _marked(painted, clean, noise=0.0):
    """The mask that a retoucher would draw, (H, W) uint8.

    255: visible damage, including the parts of lost areas that happen to have the picture's tone. 128:
    visible soft stains.
    """
    under = clean if painted.stained is None else painted.stained
    mask = _visible(painted.picture, under, noise)
    if painted.lost is not None and painted.lost.any():
        marked = Image.fromarray(mask).convert("F")
        # cells in px: small ones near the edge of a loss, large ones deep within
        for cell, share in ((32, 0.2), (64, 0.35), (128, 0.5)):
            around = enlarge(np.asarray(marked.reduce(cell)) / 255, mask.shape)
            mask[painted.lost & (around > share)] = 255
    if painted.stained is not None:
        mask[(mask == 0) & (_visible(under, clean, noise) == 255)] = 128
    return mask


def damage(luma, rng, textures=None, kinds=None, amount=None):
    """Draws damage over a picture and marks where it is visible.

    luma: (H, W) float32 in [0, 1]; textures: from `load_textures`; kinds: names from `KINDS`, by default a
    random mixture of one to seven; amount: 0 (least) to 1 (heaviest), random by default. Returns (damaged (H,
    W) float32 in [0, 1], mask (H, W) uint8: 0, 128 or 255).
    """
    painted = _paint(luma, rng, textures, kinds, amount)
    return painted.picture, _marked(painted, luma)


def sample(
    luma,
    rng,
    textures=None,
    clean_share=shares.CLEAN_SHARE,
    negative_share=shares.HARD_NEGATIVE_SHARE,
    new_share=shares.NEW_SHARE,
    scan_share=shares.SCAN_SHARE,
):
    """A training sample of the segment stage: (picture (H, W) float32 in [0, 1], mask (H, W) uint8: 0, 128 or
    255).

    The picture is aged, surrounded by a scan, damaged, and the whole is aged again, so that damage lies over
    one grain and under another. Undamaged with probability `clean_share`, with hard negatives as content with
    probability `negative_share`, not aged at all with probability `new_share`, with border, mount and
    scanner's lid with probability `scan_share`.
    """
    if rng.random() < negative_share:
        luma = hard_negative(luma, rng)
    old = rng.random() >= new_share
    under = age(luma, rng, old * rng.uniform(0, 1.1))
    scan = scans.compose(under, rng) if rng.random() < scan_share else None
    under = scan.picture if scan else under
    over = Ageing(luma.shape, rng, old * rng.uniform(0, 0.6))
    clean = over.fade(under)
    if rng.random() < clean_share:
        return over.scan(clean), np.zeros(luma.shape, np.uint8)
    painted = _paint(under, rng, textures, scan=scan)
    stained = None if painted.stained is None else over.fade(painted.stained)
    painted = Painted(over.fade(painted.picture), stained, painted.lost)
    mask = _marked(painted, clean, over.noise)
    return over.scan(painted.picture), mask
