"""Scripts of this repository as processes of their own, and training runs that are compared."""

import json
import subprocess
import sys
from pathlib import Path

from data import checkpoint

ROOT = Path(__file__).resolve().parents[1]


def command(script: str, *words, processes: int = 1) -> list[str]:
    """The command line that starts a script of the repository, under torchrun if `processes` is above 1."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [str(word) for word in (sys.executable, *launcher * (processes > 1), ROOT / script, *words)]


def run_options(parser, runs: str) -> None:
    """Options of the benchmarks that compare training runs. runs: the default folder of the runs."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder")
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="weights from which every run starts"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path(runs), metavar="DIR", help=f"run folders (default: {runs})"
    )
    parser.add_argument("common", nargs="*", metavar="OPTION", help="options of train for all runs, after --")


def train(stage, data: Path, weights: Path, run: Path, *words):
    """Trains a stage from `weights`, unless the run is already complete; returns the network.

    The network has the averaged weights (EMA) at the end of the run.
    """
    options = ["--data", data, "--weights", weights, "--run-dir", run, *words]
    script = Path(stage.__file__).name
    subprocess.run(command(script, "train", *options), check=True, stdout=sys.stderr)
    return trained(stage, run)


def trained(stage, run: Path):
    """The network of a finished run."""
    net = stage.build(json.loads((run / "args.json").read_text())["network"])
    net.load_state_dict(checkpoint.read(run / "last.pt")["ema"])
    return net.eval()
