"""Runs `eval` of the three stages with the bundled weights and keeps what the documents show.

    python benchmarks/quality.py --data DIR [--vgg-weights hed] [--store]        prints a JSON object for each

The segment stage is evaluated with and without test-time augmentation, and on the fold that its threshold was
chosen on. Rows of single photographs are left out. Each result is stored apart, as quality_NAME, with the
command that measures it alone.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import record, runs
from engine import options

FOLD = "1/5"  # of labelled/ and negatives/, left out when the bundled weights were trained
EVALS = {
    "segment": ["segment.py"],
    "segment_no_tta": ["segment.py", "--no-tta"],
    "segment_fold": ["segment.py", "--hold-out", FOLD],
    "inpaint": ["inpaint.py"],
    "colorize": ["colorize.py"],
}


def measure(data: Path, script: str, *words: str) -> dict:
    """What `eval` of a stage prints, without rows, but with median and maximum of the false alarms."""
    command = runs.command(script, "eval", "--data", data, *words)
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    alarms = sorted(row["marked"] for row in result.get("clean_rows", ()))
    if alarms:
        result["clean_marked_median"], result["clean_marked_most"] = alarms[len(alarms) // 2], alarms[-1]
    return {name: value for name, value in result.items() if "rows" not in name}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder")
    parser.add_argument(
        "--only",
        choices=EVALS,
        nargs="+",
        default=list(EVALS),
        help="which evals (default: all)",
    )
    options.vgg_option(parser, "for the distance of features of inpainting")
    args = parser.parse_args()
    features = ["--vgg-weights", args.vgg_weights] if args.vgg_weights else []
    for name in args.only:
        more = features if name == "inpaint" else []
        result = measure(args.data, *EVALS[name], *more)
        alone = shlex.join(["--data", "DIR", "--only", name, *more])
        record.emit(f"quality_{name}", result, args.store, command=f"python benchmarks/quality.py {alone}")


if __name__ == "__main__":
    main()
