"""Tables of what the networks achieve: detection, color, and comparisons of training recipes."""

from benchmarks import record
from benchmarks.tables.markdown import (
    columns,
    fixed,
    interval,
    interval_of,
    percent,
    results,
    source,
    table,
    timing,
)
from nets.finder import TTA_VIEWS


def summary() -> str:
    """One row for each stage and for the whole chain, with something to compare it with."""
    rows = [
        *detection_in_short(results("quality_segment")),
        inpainting_in_short(results("quality_inpaint")),
        color_in_short(results("quality_colorize")["people"]),
        chain_in_short(results("speed_chain")),
    ]
    return table(["", "ours", "for comparison"], rows) + f"\n\n{source('speed_chain')}"


def detection_in_short(result: dict) -> list[list]:
    return [
        [
            f"detection: Dice on {result['photos']} real damaged photographs",
            interval(result["dice"], result["dice_95"], 2),
            "published 2019 system: 0.35 on its own photographs",
        ],
        [
            f"detection: pixels marked on {result['clean_photos']} undamaged photographs",
            percent(result["clean_marked"], 2),
            "ideal: 0",
        ],
    ]


def inpainting_in_short(result: dict) -> list:
    ours, telea, navier_stokes = (
        f"{result[f'{method}_2_10']['hole_psnr']:.1f}" for method in ("ours", "telea", "navier_stokes")
    )
    others = f"Telea {telea}, Navier-Stokes {navier_stokes} dB"
    return ["inpainting: PSNR in holes of 2 to 10 %", f"{ours} dB", others]


def color_in_short(portraits: dict) -> list:
    ours, grey = f"{portraits['mse']:.0f}", f"grey picture {portraits['mse_grey']:.0f}"
    return ["color: MSE of CbCr on portraits", ours, grey]


def chain_in_short(result: dict) -> list:
    stages = {name: f"{row['seconds']:.1f}" for name, row in result["stages"].items()}
    imported = next(name for name in result if name.startswith("import"))
    return [
        f"whole chain, 1024 x 1024 px, n = {result['restore.py']['n']}",
        f"{timing(result['restore.py'], 1)} s, of which detection {stages['segment']}, "
        f"inpainting {stages['inpaint']}, color {stages['colorize']} s",
        f"`--no-tta` {timing(result['restore.py --no-tta'], 1)} s; both include "
        f"{timing(result[imported], 1)} s for `{imported}`",
    ]


def detection() -> str:
    ours, no_tta = results("quality_segment"), results("quality_segment_no_tta")
    head = [
        f"threshold {ours['infer']['threshold']:.2f}",
        "ours",
        "without test-time augmentation",
        "published 2019 system (its own photographs)",
    ]
    return table(head, [*overlaps(ours, no_tta), *false_alarms(ours, no_tta)])


def overlaps(ours: dict, no_tta: dict) -> list[list]:
    """Agreement with the masks drawn by hand."""

    def row(name, key, published=""):
        return [name, interval(ours[key], ours[f"{key}_95"], 3), f"{no_tta[key]:.3f}", published]

    def bold(name, key, published=""):
        name, value, *others = row(name, key, published)
        return [name, f"**{value}**", *others]

    def plain(name, key, published=""):
        return [name, f"{ours[key]:.3f}", f"{no_tta[key]:.3f}", published]

    return [
        bold(f"Dice, mean of {ours['photos']} photographs", "dice", "0.35"),
        row("IoU", "iou"),
        bold("tolerant Dice (2 px)", "tolerant_dice"),
        plain("ROC AUC, pooled pixels", "roc_auc", "0.93"),
        plain("average precision", "average_precision"),
    ]


def false_alarms(ours: dict, no_tta: dict) -> list[list]:
    """What is marked on photographs without damage."""

    def row(name, cell):
        return [name, cell(ours), cell(no_tta), ""]

    low, high = (f"{100 * bound:.2f}" for bound in ours["clean_marked_95"])
    return [
        [
            f"**pixels marked on {ours['clean_photos']} undamaged photographs**",
            f"**{percent(ours['clean_marked'], 2)}** ({low} to {high})",
            percent(no_tta["clean_marked"], 2),
            "",
        ],
        row("the same after dilation, as repaired", lambda result: percent(result["clean_widened"], 2)),
        row(
            "the same, single photographs: median, maximum",
            lambda result: (
                f"{percent(result['clean_marked_median'], 2)}, {percent(result['clean_marked_most'])}"
            ),
        ),
        row(
            f"pixels marked on {len(ours['negatives'])} kinds of hard negatives: mean; worst kind", worst_kind
        ),
        row("undamaged photographs without any mark", lambda result: percent(result["clean_without_mark"])),
    ]


def damage() -> str:
    """Detection by share and kind of damage: validation photographs, and the fold held out from training."""
    groups, fold = results("quality_segment")["groups"], results("quality_segment_fold")["groups"]
    rows = [
        [
            group,
            row["photos"],
            f"{row['dice']:.2f}",
            f"{row['tolerant_dice']:.2f}",
            row["unmarked"],
            f"{fold[group]['dice']:.2f} (n = {fold[group]['photos']})" if group in fold else "",
        ]
        for group, row in groups.items()
    ]
    head = ["damage", "photographs", "Dice", "tolerant Dice", "nothing marked", "Dice on the held-out fold"]
    return table(head, rows)


def old_scans() -> str:
    """False detections on old scans that are undamaged or nearly so."""
    fold = results("quality_segment_fold")
    return table(
        [f"undamaged old scans, n = {fold['scans_photos']}", ""],
        [
            ["pixels marked", percent(fold["scans_marked"], 2)],
            ["the same after dilation", percent(fold["scans_widened"], 2)],
            ["without any mark", percent(fold["scans_without_mark"], 0)],
        ],
    )


def worst_kind(result: dict) -> str:
    """Share of the pixels of hard negatives that were marked: mean over kinds, and the worst kind."""
    kinds = result["negatives"]
    worst = max(kinds, key=kinds.get)
    return f"{percent(sum(kinds.values()) / len(kinds))}; {worst.replace('_', ' ')} {percent(kinds[worst])}"


def faces() -> str:
    """Marks on eyes, mouths and ornaments, in undamaged and in damaged photographs."""
    stored = record.read("faces")
    groups = {name: stored["results"][name] for name in ("undamaged", "damaged")}
    rows = [
        {"part": f"{part}s", "group": name, "photos": group["photos"], **group[part]}
        for part in ("eye", "mouth", "ornament")
        for name, group in groups.items()
    ]

    def shares(key, digits):
        """A cell: a share before and after dilation."""
        before, after = key.format("marked"), key.format("widened")
        return lambda row: f"{percent(row[before], digits)}; {percent(row[after], digits)}"

    settings = f"threshold {stored['threshold']:.2f}" + ", one view" * (not stored["tta"])
    return columns(
        rows,
        (settings, "part"),
        ("photographs", lambda row: f"{row['photos']} {row['group']}"),
        ("boxes", "boxes"),
        ("pixels marked; after dilation, as repaired", shares("{}", 2)),
        ("boxes with any mark; after dilation", shares("boxes_{}", 0)),
        ("share of all marked pixels; after dilation", shares("of_all_{}", 2)),
    )


def working_size() -> str:
    rows = results("working_size")
    return columns(
        rows,
        ("working size, longer side", working_size_of),
        (f"Dice, n = {rows[0]['n']}", interval_of("dice", 3)),
        ("Dice at the best threshold", fixed("best_dice", 3)),
        ("ROC AUC", fixed("roc_auc", 3)),
        (
            f"marked on undamaged photographs, n = {rows[0]['n_clean']}",
            lambda row: percent(row["clean_marked"]),
        ),
    )


def working_size_of(row: dict) -> str:
    """In words: the working size, the further views, and whether this is the default."""
    least, most = row["least_side"], row["max_side"]
    if least == most:
        return f"{least} px"
    words = [f"native, {least} to {most} px"]
    words += [f"{'mirrored ' * mirrored}at {scale:g}" for scale, mirrored in row["views"][1:]]
    if row["coarse_scale"]:
        words.append(f"coarse scale {row['coarse_scale']:g}")
    default = row["coarse_scale"] and len(row["views"]) == len(TTA_VIEWS)
    return " + ".join(words) + (" (default)" if default else "")


def color() -> str:
    result = results("quality_colorize")
    groups = {"portraits": result["people"], "everything else": result["others"], "all": result}
    if "small" in result:
        groups["Kodachromes of 1939 to 1944, n = 48"] = result["small"]
    return columns(
        [{"group": name, **group} for name, group in groups.items()],
        (f"n = {result['photos']}", "group"),
        ("MSE of 8-bit CbCr", interval_of("mse", 0)),
        ("grey picture", fixed("mse_grey", 0)),
        ("ratio", lambda row: f"{row['mse'] / row['mse_grey']:.2f}"),
        ("with a few hints", fixed("mse_hints", 0)),
        ("CIEDE2000", fixed("ciede2000", 1)),
        ("grey", fixed("ciede2000_grey", 1)),
        ("PSNR, dB", fixed("psnr", 1)),
        ("grey", fixed("psnr_grey", 1)),
        ("colorfulness", fixed("colorfulness", 0)),
        ("truth", fixed("colorfulness_truth", 0)),
        ("mean Cb, Cr", lambda row: f"{row['cb']:.1f}, {row['cr']:.1f}"),
        ("truth", lambda row: f"{row['cb_truth']:.1f}, {row['cr_truth']:.1f}"),
    )


def upsampling() -> str:
    rows = [
        {
            "scale": scale,
            "source": source_of_chroma,
            "pixels": place,
            **{key: row[f"{name} {key}"] for key in ("guided", "bilinear", "saved")},
        }
        for scale, tables in results("upsampling").items()
        if isinstance(tables, dict)
        for place, row in tables.items()
        for name, source_of_chroma in (("ours", "the network"), ("truth", "the downsampled truth"))
    ]
    return columns(
        rows,
        ("network's scale", "scale"),
        ("chroma from", "source"),
        ("pixels", "pixels"),
        ("MSE of CbCr, guided by luma", "guided"),
        ("bilinear", "bilinear"),
        ("reduction", "saved"),
    )


def recipes(name: str) -> str:
    """name: of the stored results, `cross_validation` or `fine_tuning`."""
    rows = results(name)
    return columns(
        rows,
        ("recipe", lambda row: row["recipe"] if row["recipe"] == "before" else f"`{row['recipe']}`"),
        ("Dice", fixed("dice", 3)),
        ("tolerant Dice", fixed("tolerant_dice", 3)),
        ("ROC AUC", fixed("roc_auc", 3)),
        ("average precision", fixed("average_precision", 3)),
        ("marked on undamaged photographs", lambda row: percent(row["clean_marked"])),
        (f"better than the first row, photographs of {rows[0]['photos']}", "wins"),
    )


PHASES = {  # name in the stored results -> name in the table
    "absolute error": "L1",
    "and discriminator": "L1 and discriminator",
    "features in its place, and discriminator": "VGG-16 features and discriminator",
}


def phases() -> str:
    def group(name):
        return lambda row: f"{row[name]['mse']:.0f} ({row[name]['mse'] / row[name]['mse_grey']:.2f})"

    stored = record.read("phases")
    rows = columns(
        stored["results"],
        ("losses", lambda row: PHASES[row["phase"]]),
        ("MSE of portraits (relative to grey)", group("people")),
        ("everything else", group("others")),
        ("CIEDE2000", fixed("ciede2000", 1)),
        ("PSNR, dB", fixed("psnr", 1)),
        ("colorfulness", lambda row: f"{row['colorfulness']:.0f} of {row['colorfulness_truth']:.0f}"),
        (
            "cast in Cb, Cr",
            lambda row: f"{row['cb'] - row['cb_truth']:+.1f}, {row['cr'] - row['cr_truth']:+.1f}",
        ),
    )
    steps = f"{stored['steps']} steps each from the same weights; VGG-16 has {stored['vgg']} weights."
    return f"{rows}\n\n{steps}"


def tone() -> str:
    """Color differences before and after --tone, for each kind of fading."""
    result = results("tone")
    names = {
        "dyes": "color prints, dyes faded",
        "tones": "grey prints, tones of the ageing for training",
        "aged": "grey prints, all of that ageing",
    }
    rows = [{"kind": name, **result[kind]} for kind, name in names.items()]
    kinds = columns(
        rows,
        ("simulated fading", "kind"),
        ("prints", "photos"),
        ("CIEDE2000 before", interval_of("all_before", 1)),
        ("after", interval_of("all_after", 1)),
        ("corrected", "corrected"),
        ("their CIEDE2000 before", interval_of("touched_before", 1)),
        ("after", interval_of("touched_after", 1)),
        ("changed by a second correction", "twice"),
        ("not monotone", "falling"),
    )
    left = f"Good photographs left unchanged: {result['unchanged']} of {result['photos']}."
    return f"{kinds}\n\n{left}"
