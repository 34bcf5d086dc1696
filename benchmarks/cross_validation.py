"""Compares training recipes of the segment stage by cross-validation over the hand-labelled photographs.

    python benchmarks/cross_validation.py --data DIR --weights base.pt --recipe "--labelled-share 0.25" \\
        --recipe "--labelled-share 0.5" [--folds 3] [--runs runs/recipes] [-- OPTIONS OF TRAIN]

For every recipe and fold, `segment.py train --hold-out I/N` continues from the same weights, trains on the
photographs outside the fold and is evaluated on those in it. The weights must not have seen any labelled
photograph (train them with `--labelled-share 0`). Prints one JSON object: for each recipe, the final metrics
averaged over all damaged photographs (Dice at the best threshold of the fold), and the number of photographs
on which its Dice exceeds the first recipe's. Finished runs are not repeated, so the same command resumes.

With `--before`, the weights themselves are the first recipe. With your own masks in DIR/labelled, this shows
what fine-tuning on them achieves.
"""

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import segment
from benchmarks import record
from benchmarks.runs import run_options, train
from engine.networks import load_net
from engine.processes import Processes

MEASURES = ("dice", "tolerant_dice", "roc_auc", "average_precision", "clean_marked")


def measure(data: Path, net, fold: str) -> dict:
    """The metrics of a network on the photographs of a fold; "rows" has those of each photograph."""
    return segment.evaluate(net, data=data, hold_out=fold, processes=Processes("cpu"))


def compare(results: list[list[dict]]) -> list[dict]:
    """For each recipe (one result per fold): means over photographs, and wins against the first recipe."""
    rows, photos = [], [[row for result in recipe for row in result["rows"]] for recipe in results]
    for recipe, own in zip(results, photos, strict=True):
        count = [result["photos"] for result in recipe]
        means = {
            name: sum(n * result[name] for n, result in zip(count, recipe, strict=True)) / sum(count)
            for name in MEASURES
        }
        wins = sum(ours["dice"] > theirs["dice"] for ours, theirs in zip(own, photos[0], strict=True))
        rows.append(
            {**{name: round(value, 4) for name, value in means.items()}, "photos": sum(count), "wins": wins}
        )
    return rows


def main() -> None:
    parser = record.parser(__doc__)
    run_options(parser, "runs/recipes")
    parser.add_argument(
        "--recipe", action="append", required=True, metavar="OPTIONS", help="options of train; repeatable"
    )
    parser.add_argument("--folds", type=int, default=3, help="parts of the labelled photographs (default: 3)")
    parser.add_argument(
        "--before",
        action="store_true",
        help="measure the weights themselves as the first recipe (default: no)",
    )
    args = parser.parse_args()
    recipes, results = list(args.recipe), []
    folds = [f"{part}/{args.folds}" for part in range(1, args.folds + 1)]
    if args.before:
        recipes.insert(0, "before")
        net = load_net(args.weights, segment.STAGE, segment.build)[0]
        results.append([measure(args.data, net, fold) for fold in folds])
    for number, recipe in enumerate(args.recipe, 1):
        results.append([])
        for part, fold in enumerate(folds, 1):
            run, words = args.runs / f"{number}-{part}", [*args.common, *shlex.split(recipe)]
            net = train(segment, args.data, args.weights, run, "--hold-out", fold, *words)
            results[-1].append(measure(args.data, net, fold))
    rows = [{"recipe": recipe, **row} for recipe, row in zip(recipes, compare(results), strict=True)]
    name = "fine_tuning" if args.before else "cross_validation"
    record.emit(name, rows, args.store, folds=args.folds, common=" ".join(args.common))


if __name__ == "__main__":
    main()
