"""Generates benchmarks/RESULTS.md and the tables of the other documents from benchmarks/results/*.json.

    python benchmarks/report.py              write them
    python benchmarks/report.py --check      change nothing; status 1 if a document differs

In `DOCUMENTS`, the text between `<!-- figures: NAME -->` and `<!-- end of figures -->` is generated, where
NAME is a key of `BLOCKS`. A missing measurement is shown as "not measured".
"""

import argparse
import re
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import record

DOCUMENTS = ("README.md", "TRAINING.md", "weights/README.md")
MISSING = "not measured"
GPU = "_gpu"  # suffix that `record.emit` adds to the name of a result measured on a GPU
PUBLISHED_MS = {"segment": 290, "inpaint": 50, "colorize": 30}  # the 2019 system on a GeForce 1080 Ti


def table(head: list, rows: list[list]) -> str:
    line = lambda cells: "| " + " | ".join(str(MISSING if cell is None else cell) for cell in cells) + " |"  # noqa: E731
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


def results(name: str):
    """The stored results of a benchmark; None if it was not run."""
    stored = record.read(name)
    return stored and stored["results"]


def everywhere(name: str) -> dict:
    """The stored results of a benchmark by device, "CPU" and "GPU", as far as they exist."""
    return {
        device: found for device, found in (("CPU", results(name)), ("GPU", results(name + GPU))) if found
    }


def between(row: dict, digits: int = 2, scale: float = 1.0) -> str:
    """Median and range of a timing."""
    value, least, most = (f"{row[key] * scale:.{digits}f}" for key in ("seconds", "least", "most"))
    return f"{value} ({least} to {most})" if row["n"] > 1 else value


def interval(value: float, low_high, digits: int) -> str:
    return f"{value:.{digits}f} ({low_high[0]:.{digits}f} to {low_high[1]:.{digits}f})"


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def pixels(size) -> str:
    return f"{size[0]} x {size[1]}"


# ------------------------------------------------------------------------------------------ quality


def segment() -> str:
    ours, plain = results("quality")["segment"], results("quality")["segment_no_tta"]
    rows = [
        [
            f"Dice, mean of {ours['photos']} photographs",
            f"**{interval(ours['dice'], ours['dice_95'], 3)}**",
            f"{plain['dice']:.3f}",
            "0.35",
        ],
        ["IoU", interval(ours["iou"], ours["iou_95"], 3), f"{plain['iou']:.3f}", ""],
        [
            "tolerant Dice (2 px)",
            f"**{interval(ours['tolerant_dice'], ours['tolerant_dice_95'], 3)}**",
            f"{plain['tolerant_dice']:.3f}",
            "",
        ],
        ["ROC AUC, pooled pixels", f"{ours['roc_auc']:.3f}", f"{plain['roc_auc']:.3f}", "0.93"],
        ["average precision", f"{ours['average_precision']:.3f}", f"{plain['average_precision']:.3f}", ""],
        [
            f"**pixels marked on {ours['clean_photos']} undamaged photographs**",
            f"**{percent(ours['clean_marked'], 2)}** "
            f"({' to '.join(f'{100 * x:.2f}' for x in ours['clean_marked_95'])})",
            percent(plain["clean_marked"], 2),
            "",
        ],
        [
            "the same after dilation, as repaired",
            percent(ours["clean_widened"], 2),
            percent(plain["clean_widened"], 2),
            "",
        ],
        [
            "the same, single photographs: median, maximum",
            f"{percent(ours['clean_marked_median'], 2)}, {percent(ours['clean_marked_most'])}",
            f"{percent(plain['clean_marked_median'], 2)}, {percent(plain['clean_marked_most'])}",
            "",
        ],
        [
            f"pixels marked on {len(ours['negatives'])} kinds of hard negatives: mean; worst kind",
            alarms(ours),
            alarms(plain),
            "",
        ],
        [
            "undamaged photographs without any mark",
            percent(ours["clean_without_mark"]),
            percent(plain["clean_without_mark"]),
            "",
        ],
    ]
    head = [
        f"threshold {ours['infer']['threshold']:.2f}",
        "ours",
        "without test-time augmentation",
        "published 2019 system (its own photographs)",
    ]
    return table(head, rows)


def alarms(found: dict) -> str:
    """Share of the pixels of hard negatives that were marked: mean over kinds, and the worst kind."""
    kinds = found["negatives"]
    worst = max(kinds, key=kinds.get)
    return f"{percent(sum(kinds.values()) / len(kinds))}; {worst.replace('_', ' ')} {percent(kinds[worst])}"


def working_size() -> str:
    rows = []
    for row in results("working_size"):
        size = (
            f"{row['least_side']} px"
            if row["least_side"] == row["max_side"]
            else (
                f"native, {row['least_side']} to {row['max_side']} px"
                + "".join(f" + {'mirrored ' * mirrored}at {share:g}" for share, mirrored in row["looks"][1:])
                + (f" + coarse scale {row['afar']:g}" if row["afar"] else "")
                + (" (default)" if row["afar"] and len(row["looks"]) == 3 else "")
            )
        )
        rows.append(
            [
                size,
                interval(row["dice"], row["dice_95"], 3),
                f"{row['best_dice']:.3f}",
                f"{row['roc_auc']:.3f}",
                percent(row["clean_marked"]),
            ]
        )
    first = results("working_size")[0]
    return table(
        [
            "working size, longer side",
            f"Dice, n = {first['n']}",
            "Dice at the best threshold",
            "ROC AUC",
            f"marked on undamaged photographs, n = {first['n_clean']}",
        ],
        rows,
    )


def inpaint() -> str:
    found, rows = results("quality")["inpaint"], []
    for key, name in (("0_2", "under 2 %"), ("2_10", "2 to 10 %"), ("10_25", "10 to 25 %")):
        ours, *others = (found[f"{painter}_{key}"] for painter in ("ours", "telea", "navier_stokes"))
        psnr = lambda x: x and f"{x['hole_psnr']:.2f}"  # noqa: E731
        rows.append(
            [
                name,
                f"**{interval(ours['hole_psnr'], ours['hole_psnr_95'], 2)}**",
                *map(psnr, others),
                f"{ours['hole_ssim']:.3f}",
                others[0] and f"{others[0]['hole_ssim']:.3f}",
                f"{ours['seam']:.1f}",
                others[1] and f"{others[1]['seam']:.1f}",
                f"{ours['psnr']:.1f}",
            ]
        )
    return table(
        [
            f"hole share, n = {found['photos']}",
            "PSNR, dB",
            "Telea",
            "Navier-Stokes",
            "SSIM",
            "Telea",
            "rim error",
            "Navier-Stokes",
            "whole picture, dB",
        ],
        rows,
    )


def colorize() -> str:
    found = results("quality")["colorize"]
    groups = {"portraits": found["people"], "everything else": found["others"], "all": found}
    rows = []
    for name, group in groups.items():
        mse = interval(group["mse"], group["mse_95"], 0)
        rows.append(
            [
                name,
                mse,
                f"{group['mse_grey']:.0f}",
                f"{group['mse'] / group['mse_grey']:.2f}",
                f"{group['mse_hints']:.0f}",
                f"{group['ciede2000']:.1f}",
                f"{group['ciede2000_grey']:.1f}",
                f"{group['psnr']:.1f}",
                f"{group['psnr_grey']:.1f}",
                f"{group['colorfulness']:.0f}",
                f"{group['colorfulness_truth']:.0f}",
                f"{group['cb']:.1f}, {group['cr']:.1f}",
                f"{group['cb_truth']:.1f}, {group['cr_truth']:.1f}",
            ]
        )
    return table(
        [
            f"n = {found['photos']}",
            "MSE of 8-bit CbCr",
            "grey picture",
            "ratio",
            "with a few hints",
            "CIEDE2000",
            "grey",
            "PSNR, dB",
            "grey",
            "colorfulness",
            "truth",
            "mean Cb, Cr",
            "truth",
        ],
        rows,
    )


def measured() -> str:
    found, chain = results("quality"), results("speed_chain")
    seg, holes, color = found["segment"], found["inpaint"], found["colorize"]
    stages = chain["stages"]
    rows = [
        [
            f"detection: Dice on {seg['photos']} real damaged portraits",
            interval(seg["dice"], seg["dice_95"], 2),
            "published 2019 system: 0.35 on its own photographs",
        ],
        [
            f"detection: pixels marked on {seg['clean_photos']} undamaged photographs",
            percent(seg["clean_marked"], 2),
            "ideal: 0",
        ],
        [
            "inpainting: PSNR in holes of 2 to 10 %",
            f"{holes['ours_2_10']['hole_psnr']:.1f} dB",
            f"Telea {holes['telea_2_10']['hole_psnr']:.1f}, Navier-Stokes "
            f"{holes['navier_stokes_2_10']['hole_psnr']:.1f} dB",
        ],
        [
            "color: MSE of CbCr on portraits",
            f"{color['people']['mse']:.0f}",
            f"grey picture {color['people']['mse_grey']:.0f}",
        ],
        [
            f"whole chain, 1024 x 1024 px, n = {chain['restore.py']['n']}",
            f"{between(chain['restore.py'], 1)} s, of which detection {stages['segment']['seconds']:.1f}, "
            f"inpainting {stages['inpaint']['seconds']:.1f}, color {stages['colorize']['seconds']:.1f} s",
            f"`--no-tta` {between(chain['restore.py --no-tta'], 1)} s; of both, importing torch and "
            f"torchvision {between(chain['import torch, torchvision'], 1)} s",
        ],
    ]
    return table(["", "ours", "for comparison"], rows) + f"\n\n{where('speed_chain')}"


def cost() -> str:
    rows = [
        [
            stage,
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['crop_px']} px",
            row["samples_per_gpu"],
            f"{row['memory_gb']} GB",
            f"{row['forward_gmac']:.0f} GMAC",
        ]
        for stage, row in results("training_cost").items()
    ]
    return table(
        ["stage", "parameters", "crop", "samples per GPU", "memory per GPU", "forward pass of a crop"], rows
    )


# ---------------------------------------------------------------------------------------------- speed


def where(name: str) -> str:
    """Command, hardware and date of a measurement."""
    stored = record.read(name)
    hardware = (
        stored["hardware"].get("gpu")
        or f"{stored['hardware']['processor']}, {stored['hardware']['cores']} cores"
    )
    threads = f", {stored['threads']} threads" if stored.get("threads") else ""
    return (
        f"`{stored['command']}`: {hardware}{threads}, torch {stored['versions']['torch']}, {stored['date']}."
    )


def stages() -> str:
    rows, key = [], lambda row: (row["stage"], tuple(row["size"]), row["width"])
    gpu = {}
    for row in everywhere("speed_stages").get("GPU", {"stages": []})["stages"]:
        gpu.setdefault(key(row), []).append(f"{row['precision']} {between(row, 1, 1e3)} ms")
    for row in results("speed_stages")["stages"]:
        published = PUBLISHED_MS.get(row["stage"]) if row["width"] == 64 else None
        rows.append(
            [
                row["stage"],
                pixels(row["size"]),
                row["width"],
                between(row, 3),
                row["n"],
                row["gflop"],
                percent(row["share"], 0),
                ", ".join(
                    f"{name} {percent(share, 0)}" for name, share in list(row["operators"].items())[:3]
                ),
                "; ".join(gpu.get(key(row), [])) or None,
                f"{published} ms" if published else "",
            ]
        )
    return table(
        [
            "stage",
            "px",
            "width",
            "CPU seconds (range)",
            "n",
            "GFLOP",
            "of matrix product",
            "time by operator",
            "GPU",
            "2019 system, GPU",
        ],
        rows,
    )


def throughput() -> str:
    rows = [
        [
            row["stage"],
            row["side_px"],
            row["batch"],
            between(row, 1, 1e3),
            row["gflop_per_s"],
            percent(row["share"], 0),
        ]
        for row in results("speed_stages" + GPU)["throughput"]
    ]
    return table(["stage, width 64, bf16", "px", "batch", "ms (range)", "GFLOP/s", "of matrix product"], rows)


def peers() -> str:
    rows = [
        [
            row["peer"],
            row.get("size") and pixels(row["size"]),
            row["seconds"] and between(row, 3),
            row.get("n", ""),
            row.get("gflop", ""),
            row.get("reason", ""),
        ]
        for row in results("speed_stages")["peers"]
    ]
    return table(["peer", "px", "seconds (range)", "n", "GFLOP", ""], rows)


def chain() -> str:
    found = results("speed_chain")
    stages = {f"stage {name}": row for name, row in found["stages"].items()}
    rows = [[name, between(row), row["n"]] for name, row in {**found, **stages}.items() if name != "stages"]
    return table(["one photograph of 1024 x 1024 px", "seconds (range)", "n"], rows)


def folder() -> str:
    row = results("speed_folder")
    return table(
        ["photographs", "wall", "import", "stages summed", "(wall - import) / stages"],
        [[row["photos"], f"{row['wall_s']} s", f"{row['import_s']} s", f"{row['stages_s']} s", row["ratio"]]],
    )


def optimisations() -> str:
    rows = []
    for row in results("optimisations"):
        ratio = (
            row["ratio"] and f"{row['ratio']:.2f} ({row['quartiles'][0]:.2f} to {row['quartiles'][1]:.2f})"
        )
        rows.append(
            [
                row["what"],
                "kept" if row["kept"] else "dropped",
                row.get("ms_without"),
                row.get("ms_with"),
                ratio or row["reason"],
                WHY.get(row["what"], ""),
            ]
        )
    return table(["what", "", "before, ms", "after, ms", "after / before (quartiles)", "why"], rows)


WHY = {
    "norms folded into convolutions (segment, 512 px)": "one pass less over the activations",
    "channels last (segment, 512 px)": "oneDNN's direct convolutions, no reordering between layers",
    "channels last (inpaint, 512 px)": "the same",
    "channels last (colorize, 256 px)": "the same",
    "inference mode, against no_grad (segment, 512 px)": "costs nothing; helps with small operators",
    "only tiles with holes (one crack through 2048 px)": "all other tiles keep the input's pixels",
    "tiles of 512 px, against 1024 (cracks in parts of 4096 px)": (
        "less memory; with few cracks, less area to inpaint"
    ),
    "color at 256 px, against 1024 px": ("the network's training scale; edges come from luma"),
    "bf16 autocast on the CPU (segment, 512 px)": (
        "needs bf16 instructions and changes the results slightly; available as `--precision bf16`"
    ),
    "torch.compile (segment, 512 px)": "compiling takes too long for one photograph",
}


def memory() -> str:
    rows = [
        [row["megapixels"], row["peak_mb"], row["seconds"], percent(row["invented"])]
        for row in results("memory")
    ]
    return table(["megapixels, grey", "peak memory, MB", "seconds", "inpainted"], rows)


def training() -> str:
    rows = []
    for device, found in everywhere("training_speed").items():
        for stage, runs in found.items():
            for run in runs:
                rows.append(
                    [
                        stage,
                        device,
                        run["processes"],
                        run["samples_per_s"],
                        f"{run['waiting_s']} s ({percent(run['waiting_share'])})",
                    ]
                )
    made = [
        [
            stage,
            row["per_s"],
            f"{row['median_ms']} ({row['quartiles_ms'][0]} to {row['quartiles_ms'][1]})",
            row["n"],
            f"{16 * row['per_s']:.0f}",
        ]
        for stage, row in results("training_samples").items()
    ]
    return (
        table(
            [
                "training, width 16, crops of 256 px",
                "device",
                "processes",
                "samples/s",
                "waiting for data in 50 steps",
            ],
            rows,
        )
        + "\n\n"
        + table(
            [
                "making 512 px samples",
                "per s and core",
                "ms (quartiles)",
                "n",
                "per s on 16 cores (computed)",
            ],
            made,
        )
    )


def activations() -> str:
    found = everywhere("activations")
    rows = [
        [
            device,
            row["width"],
            row["side_px"],
            row["batch"],
            row["precision"],
            f"{row['bytes_ratio']:.3f}",
            f"{row['step_ratio']:.2f} ({row['step_ratio_quartiles'][0]:.2f} to "
            f"{row['step_ratio_quartiles'][1]:.2f})",
            row["n"],
        ]
        for device, result in found.items()
        for row in result["steps"]
    ]
    most = found["GPU"]["largest_batch"] if "GPU" in found else {"in place": MISSING, "ordinary": MISSING}
    return table(
        [
            "device",
            "width",
            "px",
            "batch",
            "precision",
            "bytes kept for backward, in place / ordinary",
            "step time (quartiles)",
            "n",
        ],
        rows,
    ) + (
        f"\n\nLargest batch of 1024 px at width 64 on a GPU: {most['in place']} in place, "
        f"{most['ordinary']} with ordinary norms."
    )


def partial_convolution() -> str:
    rows = []
    for row in results("partial"):
        name = row.get("network") or (
            f"{'+'.join(map(str, row['channels']))} to {row['outputs']}, {row['kernel']} px, stride "
            f"{row['stride']}"
        )
        name += f", width {row['width']}" if "width" in row else ""
        ratio = lambda x: f"{x['ratio']:.2f} ({x['quartiles'][0]:.2f} to {x['quartiles'][1]:.2f})"  # noqa: E731
        rows.append([name, row["side_px"], row["batch"], ratio(row["forward"]), ratio(row["training"])])
    return table(["layer", "px", "batch", "partial / ordinary, forward", "training"], rows)


def upsampling() -> str:
    rows = []
    for scale, tables in results("upsampling").items():
        if isinstance(tables, dict):
            for place, row in tables.items():
                for name, of in (("ours", "the network"), ("truth", "the downsampled truth")):
                    rows.append(
                        [
                            scale,
                            of,
                            place,
                            row[f"{name} guided"],
                            row[f"{name} bilinear"],
                            row[f"{name} saved"],
                        ]
                    )
    return table(
        ["network's scale", "chroma from", "pixels", "MSE of CbCr, guided by luma", "bilinear", "reduction"],
        rows,
    )


def archive() -> str:
    rows = []
    for name in ("archive", "archive_2"):
        row = results(name)
        if row:
            rows.append(
                [
                    row["processes"],
                    row["photos"],
                    row["done"],
                    row["named"],
                    row["status"],
                    row["kills"],
                    len(row["again"]),
                    len(row["torn"]),
                    row["seconds"],
                ]
            )
    return table(
        [
            "processes",
            "photographs",
            "done",
            "broken, reported",
            "status",
            "SIGKILLs",
            "processed twice",
            "torn or leftover files",
            "seconds",
        ],
        rows,
    )


def fuzz() -> str:
    row = results("fuzz")
    done = ", ".join(f"{number} {name}" for name, number in {**row["reader"]}.items())
    through = ", ".join(f"{number} {name}" for name, number in row["command"].items())
    return table(
        ["damaged files, reader", "slowest", "damaged files, command", "faults"],
        [[done, f"{row['slowest_s']} s", through, "; ".join(row["faults"]) or "none"]],
    )


def recipes(name: str) -> str:
    found = results(name)
    rows = [
        [
            row["recipe"] if row["recipe"] == "before" else f"`{row['recipe']}`",
            f"{row['dice']:.3f}",
            f"{row['tolerant_dice']:.3f}",
            f"{row['roc_auc']:.3f}",
            f"{row['average_precision']:.3f}",
            percent(row["clean_marked"]),
            row["wins"],
        ]
        for row in found
    ]
    return table(
        [
            "recipe",
            "Dice",
            "tolerant Dice",
            "ROC AUC",
            "average precision",
            "marked on undamaged photographs",
            f"better than the first row, photographs of {found[0]['photos']}",
        ],
        rows,
    )


PHASES = {  # name in the stored results -> name in the table
    "absolute error": "L1",
    "and critic": "L1 and discriminator",
    "features in its place, and critic": "VGG-16 features and discriminator",
}


def phases() -> str:
    rows = []
    for row in results("phases"):
        group = [
            f"{row[name]['mse']:.0f} ({row[name]['mse'] / row[name]['mse_grey']:.2f})"
            for name in ("people", "others")
        ]
        rows.append(
            [
                PHASES[row["phase"]],
                *group,
                f"{row['ciede2000']:.1f}",
                f"{row['psnr']:.1f}",
                f"{row['colorfulness']:.0f} of {row['colorfulness_truth']:.0f}",
                f"{row['cb'] - row['cb_truth']:+.1f}, {row['cr'] - row['cr_truth']:+.1f}",
            ]
        )
    stored = record.read("phases")
    return table(
        [
            "losses",
            "MSE of portraits (relative to grey)",
            "everything else",
            "CIEDE2000",
            "PSNR, dB",
            "colorfulness",
            "cast in Cb, Cr",
        ],
        rows,
    ) + (f"\n\n{stored['steps']} steps each from the same weights; VGG-16 has {stored['vgg']} weights.")


# block -> (function, the results it needs)
BLOCKS = {
    "measured": (measured, ["quality", "speed_chain"]),
    "segment": (segment, ["quality"]),
    "inpaint": (inpaint, ["quality"]),
    "colorize": (colorize, ["quality"]),
    "working_size": (working_size, ["working_size"]),
    "cost": (cost, ["training_cost"]),
    "stages": (stages, ["speed_stages"]),
    "peers": (peers, ["speed_stages"]),
    "throughput": (throughput, ["speed_stages_gpu"]),
    "chain": (chain, ["speed_chain"]),
    "folder": (folder, ["speed_folder"]),
    "optimisations": (optimisations, ["optimisations"]),
    "memory": (memory, ["memory"]),
    "training": (training, ["training_speed", "training_samples"]),
    "activations": (activations, ["activations"]),
    "partial": (partial_convolution, ["partial"]),
    "upsampling": (upsampling, ["upsampling"]),
    "archive": (archive, ["archive"]),
    "fuzz": (fuzz, ["fuzz"]),
    "cross_validation": (partial(recipes, "cross_validation"), ["cross_validation"]),
    "fine_tuning": (partial(recipes, "fine_tuning"), ["fine_tuning"]),
    "phases": (phases, ["phases"]),
}

PAGE = """# Results

Generated by `python benchmarks/report.py` from the files in [results](results). Below each table is the
command that measured it; `DIR` is a data folder (see [TRAINING.md](../TRAINING.md)). Where a GPU figure is
missing, no GPU was available: the same command with `--device cuda` adds it.

To measure everything again, run the commands with `--store` on an otherwise idle machine, then `report.py`.
"""

SECTIONS = {  # title -> (block, remark)
    "Quality: damage detection": ("segment", ""),
    "Quality: working size": ("working_size", ""),
    "Quality: training recipes, cross-validated": (
        "cross_validation",
        "90 steps each, from weights trained on synthetic damage only (650 steps). The recipes differ less "
        "than the folds do.",
    ),
    "Quality: fine-tuning on your own masks": (
        "fine_tuning",
        "The portraits of `val/labelled`, which have little in common, stand in for your own photographs: "
        "three folds, each trained on six or seven and measured on the others, without test-time "
        "augmentation, at the best threshold of each fold.",
    ),
    "Quality: inpainting": (
        "inpaint",
        "The date below is that of the last part of `quality.py` to run, here and in the other quality "
        "sections.",
    ),
    "Quality: color": ("colorize", ""),
    "Quality: color in three training phases": ("phases", ""),
    "Quality: chroma upsampling": ("upsampling", ""),
    "Speed: stages": (
        "stages",
        "The networks of width 64 have random weights. Shares above 100 % are possible, since oneDNN's "
        "convolutions are faster than the matrix product. Where the share is below 60 %, other work takes "
        "the time. For color it is exposure, smoothing and upsampling of chroma, which at 12 megapixels is "
        "nearly all of it. For inpainting it is multiplication by the mask and the smooth fill. For "
        "detection it is concatenation and upsampling of features, and the system's clearing of new memory "
        "for each layer.",
    ),
    "Speed: large batches on a GPU": ("throughput", ""),
    "Speed: other libraries": (
        "peers",
        "The Unet of segmentation-models-pytorch starts with stride 2; ours keeps full resolution, which "
        "thin cracks need.",
    ),
    "Speed: the whole chain": ("chain", ""),
    "Speed: a folder": ("folder", ""),
    "Speed: optimizations, kept and dropped": ("optimisations", ""),
    "Memory: the whole chain": ("memory", ""),
    "Memory: training with in-place norms": ("activations", ""),
    "Training": ("training", ""),
    "Partial convolution": ("partial", ""),
    "Robustness: killed runs and broken files": ("archive", ""),
    "Robustness: damaged files": ("fuzz", ""),
}


def block(name: str) -> str:
    function, needed = BLOCKS[name]
    absent = [result for result in needed if record.read(result) is None]
    return f"*{MISSING}*" if absent else function()


def page() -> str:
    parts = [PAGE]
    for title, (name, remark) in SECTIONS.items():
        needed = [
            result for stored in BLOCKS[name][1] for result in (stored, stored + GPU) if record.read(result)
        ]
        said = [remark] if remark else []
        parts.append("\n\n".join([f"## {title}", block(name), *said, *map(where, needed)]) + "\n")
    return "\n".join(parts)


def filled(text: str) -> str:
    """A document with its generated blocks replaced. Raises KeyError for an unknown block."""
    pattern = r"(<!-- figures: (\w+) -->\n).*?(\n<!-- end of figures -->)"
    return re.sub(pattern, lambda match: match[1] + block(match[2]) + match[3], text, flags=re.S)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing, compare (default: write)")
    args = parser.parse_args()
    files = {ROOT / name: filled((ROOT / name).read_text("utf-8")) for name in DOCUMENTS}
    files[ROOT / "benchmarks/RESULTS.md"] = page()
    differ = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in differ:
        print(
            f"{path.relative_to(ROOT)}: {'differs from' if args.check else 'written from'} "
            f"benchmarks/results",
            file=sys.stderr,
        )
        if not args.check:
            path.write_text(files[path], "utf-8")
    return int(args.check and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
