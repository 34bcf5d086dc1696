"""Summarizes rows of single photographs for `eval`: means and 95 % intervals."""

import statistics
from pathlib import Path

import torch

from losses import metrics

MUCH = 0.03  # share of damaged pixels above which a photograph counts as heavily damaged
# Groups of damaged photographs, and the words that name their damage
DAMAGE = {
    "cracks, creases, tears": ("crack", "crease", "tear", "torn"),
    "scratches": ("scratch",),
    "spots, stains": ("spot", "stain", "dust", "foxing", "rust", "silvering"),
    "missing parts, peeled emulsion": ("missing", "peel", "hole", "chip", "cut corner"),
    "worn edges": ("edge", "corner"),
}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def means(rows: list[dict], leave_out: tuple[str, ...] = ()) -> dict:
    """name -> mean over the rows, which all have the same names."""
    return {name: mean([row[name] for row in rows]) for name in rows[0] if name not in leave_out}


def defects(rows: list[dict], histograms: list[dict]) -> dict:
    """Metrics of detected damage; "score" is the mean Dice.

    rows: "dice", "iou" and "tolerant_dice" of each damaged photograph. histograms: of all photographs,
    "damaged" and "counts" (`metrics.histograms`).
    """
    result = {"score": mean([row["dice"] for row in rows])}
    for name in ("dice", "iou", "tolerant_dice"):
        values = [row[name] for row in rows]
        result[name] = mean(values)
        result[name + "_95"] = metrics.bootstrap(values)
    damaged = [row["counts"] for row in histograms if row["damaged"]]
    curve = torch.stack([metrics.dice_by_threshold(counts) for counts in damaged]).mean(0)
    pooled = torch.stack([row["counts"] for row in histograms]).sum(0)
    return {
        **result,
        "best_threshold": float(curve.argmax()) / metrics.BINS,
        "best_dice": float(curve.max()),
        "roc_auc": metrics.roc_auc(pooled),
        "average_precision": metrics.average_precision(pooled),
        "photos": len(rows),
    }


def by_damage(rows: list[dict], damage: dict[str, str]) -> dict[str, dict]:
    """Group of damaged photographs -> "photos", mean "dice" and "tolerant_dice", "unmarked" (number of
    photographs in which nothing is marked).

    rows: of `detection.overlap`. damage: stem -> kinds of damage in words; a photograph is in the group of
    each. All photographs and those with much or little damage are groups of their own.
    """
    groups = {
        "all": rows,
        f"more than {100 * MUCH:g} % damaged": [row for row in rows if row["damaged"] > MUCH],
        f"up to {100 * MUCH:g} % damaged": [row for row in rows if row["damaged"] <= MUCH],
    }
    for group, words in DAMAGE.items():
        groups[group] = [
            row for row in rows if any(word in damage.get(Path(row["photo"]).stem, "") for word in words)
        ]
    return {
        group: {
            "photos": len(members),
            "dice": mean([row["dice"] for row in members]),
            "tolerant_dice": mean([row["tolerant_dice"] for row in members]),
            "unmarked": sum(row["marked"] == 0 for row in members),
        }
        for group, members in groups.items()
        if members
    }


def false_alarms(rows: list[dict], name: str = "clean") -> dict:
    """What was marked in undamaged photographs, as NAME_marked and so on; empty if there are none.

    rows: "marked" and "widened", shares of the pixels of each photograph.
    """
    if not rows:
        return {}
    marked = [row["marked"] for row in rows]
    return {
        f"{name}_marked": mean(marked),
        f"{name}_marked_95": metrics.bootstrap(marked),
        f"{name}_widened": mean([row["widened"] for row in rows]),
        f"{name}_without_mark": mean([share == 0 for share in marked]),
        f"{name}_photos": len(rows),
    }


def marked_by_kind(rows: list[tuple[str, int, int]]) -> dict[str, float]:
    """kind of hard negative -> share of its pixels that are marked. rows: kind, marked and all pixels."""
    totals = {kind: [0, 0] for kind, _, _ in rows}
    for kind, marked, pixels in rows:
        totals[kind][0] += marked
        totals[kind][1] += pixels
    return {kind: marked / max(1, pixels) for kind, (marked, pixels) in totals.items()}


def textures(rows: list[dict]) -> dict:
    """Metrics of texture (rows of `texture.measures`): the mean "feature_distance", if it was measured, and
    the median of "high_frequency", since that ratio has no bound near flat ground. A median of no ratios is
    None.
    """
    ratios = [row["high_frequency"] for row in rows if row["high_frequency"] is not None]
    result = {"high_frequency": statistics.median(ratios) if ratios else None}
    if "feature_distance" in rows[0]:
        distances = [row["feature_distance"] for row in rows]
        interval = metrics.bootstrap(distances)
        result |= {"feature_distance": mean(distances), "feature_distance_95": interval}
    return result


def paintings(rows: list[dict], painters: list[str], hole_shares) -> dict:
    """Metrics of inpainted holes, by painter and hole share; "score" is the mean PSNR in holes of "ours".

    rows: "bin", the index in `hole_shares`, (least, most) each, and the metrics of each painter, or None.
    """
    result = {}
    for bin, (least, most) in enumerate(hole_shares):
        for name in painters:
            measures = [row[name] for row in rows if row["bin"] == bin and row[name]]
            key = f"{name}_{100 * least:.0f}_{100 * most:.0f}"
            result[key] = painted(measures) if measures else None
    return {**result, "score": mean([row["ours"]["hole_psnr"] for row in rows])}


def painted(measures: list[dict]) -> dict:
    """Metrics of one painter: means, a 95 % interval of the PSNR in holes, and texture."""
    texture = textures(measures)
    interval = metrics.bootstrap([row["hole_psnr"] for row in measures])
    return {**means(measures, leave_out=tuple(texture)), "hole_psnr_95": interval, **texture}


def colors(rows: list[dict]) -> dict:
    """Metrics of colors, of all photographs but the small ones, of people, of others, and of the small ones.

    "score" is the negative mean squared error of chroma relative to that of the grey picture. rows: "photo",
    "group" (the folder of the photograph), and metrics.
    """

    def measures(members: list[dict]) -> dict:
        interval = metrics.bootstrap([row["mse"] for row in members])
        return {**means(members, leave_out=("photo", "group")), "mse_95": interval}

    small = [row for row in rows if row["group"] == "small"]
    rows = [row for row in rows if row["group"] != "small"] or small
    result = {"photos": len(rows), **measures(rows)}
    groups = {
        "people": [row for row in rows if row["group"] == "people"],
        "others": [row for row in rows if row["group"] != "people"],
        "small": small,
    }
    result |= {name: measures(members) for name, members in groups.items() if members}
    return {**result, "score": -result["mse"] / max(result["mse_grey"], 1e-6)}
