"""Sub-commands train, eval, sheet and infer, and the exit status of user errors.

Modules that import torch are imported inside the functions that need them, so that `--help` and usage errors
respond at once.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext, redirect_stderr
from pathlib import Path

from data.errors import UserError
from data.files import refuse_existing, write_whole
from engine import PROGRAM, inferring, options, streams
from engine.launch import INTERRUPTED, ignore_interrupts, ignore_sigterm, rank, terminable, under_torchrun


def stage_parser(doc: str):
    """(parser, its sub-commands) of a stage script. doc: its docstring, used as the description."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=PROGRAM)
    return parser, parser.add_subparsers(required=True, metavar="COMMAND")


def run_command(parser: argparse.ArgumentParser, argv) -> int:
    """Parses and runs a command; returns the exit status.

    A user error prints one line and returns 2, Ctrl-C returns 130. Any other exception is a bug and shows its
    traceback.
    """
    with streams.guarded():
        try:
            status = _run(parser, argv)
        except (UserError, OSError) as error:
            print(f"{parser.prog}: {_reason(error)}", file=sys.stderr)
            status = 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            status = INTERRUPTED
        if status == INTERRUPTED and argv is None:  # else the process goes on
            ignore_interrupts()
        return status


def _reason(error: UserError | OSError) -> str:
    """The message of an error; of one of the system, the file and what is wrong with it."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error).strip()


def _run(parser: argparse.ArgumentParser, argv) -> int:
    """Parses and runs a command; returns the exit status. Raises PhotoError if standard output fails."""
    words = sys.argv[1:] if argv is None else argv
    try:
        with redirect_stderr(io.StringIO()) if rank() else nullcontext():  # the first process says it
            if any(not word or re.fullmatch("--[a-z-]+=", word) for word in words):
                parser.error("an argument is empty: is a variable of the shell not set?")
            args = parser.parse_args(words)
    except SystemExit:  # --help, --version or a usage error
        streams.flush_output()
        if rank() and under_torchrun():
            time.sleep(1)  # torchrun stops all processes when one ends: the first one must have said it
        raise
    if "data" in args and not args.data.is_dir() and not getattr(args, "dry_run", False):
        raise UserError(f"--data {args.data}: no such folder")
    run = args.run
    del args.run  # the rest are the options
    status = run(args)
    streams.flush_output()
    return status


def train_command(
    subparsers, stage: str, train: Callable[[argparse.Namespace], int], **defaults
) -> argparse.ArgumentParser:
    """Adds `train` with the options that every stage has; `defaults` are the stage's own.

    train(args) also gets `args.defaults`, name -> default of every option.
    """
    parser = subparsers.add_parser("train", help="train on a data folder", allow_abbrev=False)
    options.train_options(parser, stage, **defaults)

    def run(args) -> int:
        args.defaults = {name: parser.get_default(name) for name in vars(args)}
        try:
            with terminable():
                return train(args)
        except KeyboardInterrupt:
            if rank() == 0:
                begun = (args.run_dir / "last.pt").exists()
                goes = "goes on from the last checkpoint" if begun else "starts again"
                print(f"interrupted; the same command {goes}", file=sys.stderr)
            return INTERRUPTED
        finally:
            if under_torchrun():  # which may stop this process while it exits
                ignore_sigterm()

    parser.set_defaults(run=run)
    return parser


def eval_command(
    subparsers, stage: str, build: Callable, evaluate: Callable, weights: Path
) -> argparse.ArgumentParser:
    """Adds `eval`, which prints the metrics of a weights file on a data folder as one JSON object.

    evaluate(net, data=..., processes=..., stored=..., and the stage's own options by name) -> dict.
    """
    parser = subparsers.add_parser("eval", help="evaluate weights on a data folder", allow_abbrev=False)
    options.data_option(parser, stage, "data folder; val/ is evaluated if it exists")
    options.weights_option(parser, weights)
    options.device_option(parser)

    def run(args) -> int:
        from data.checkpoint import fingerprint
        from engine.networks import load_net
        from engine.processes import Processes

        own = {name: value for name, value in vars(args).items() if name not in ("data", "weights", "device")}
        with closing(Processes(args.device)) as processes:
            net, stored = load_net(args.weights, stage, build)
            result = evaluate(net, data=args.data, processes=processes, stored=stored, **own)
        if processes.rank == 0:
            facts = {"stage": stage, "weights_sha256": fingerprint(args.weights), **result}
            streams.print_json(facts)
        return 0

    parser.set_defaults(run=run)
    return parser


def sheet_command(
    subparsers, stage: str, rows: Callable[[argparse.Namespace], list], weights: Path
) -> argparse.ArgumentParser:
    """Adds `sheet`, which draws a contact sheet; rows(args) are those of `data.sheet.contact_sheet`."""
    text = "draw a contact sheet of validation photographs"
    parser = subparsers.add_parser("sheet", help=text, allow_abbrev=False)
    parser.add_argument("out", type=options.png, metavar="OUT.png", help="output file")
    options.data_option(parser, stage, "data folder; val/ is shown if it exists")
    options.weights_option(parser, weights)
    options.device_option(parser)
    text = "largest width of a picture, in px (default: 480)"
    parser.add_argument("--cell", type=options.positive(int), default=480, metavar="PX", help=text)
    options.overwrite_option(parser, "OUT.png")

    def run(args) -> int:
        from data.photo import encode
        from data.sheet import contact_sheet

        refuse_existing(args.out, args.overwrite)
        write_whole(args.out, encode(contact_sheet(rows(args), args.cell), None, "PNG"), args.overwrite)
        return 0

    parser.set_defaults(run=run)
    return parser


def infer_command(
    subparsers,
    run: Callable[[argparse.Namespace], int],
    weights: Path,
    output: str,
    tiled: bool = True,
) -> argparse.ArgumentParser:
    """Adds `infer` with `--weights` and the shared options, which are checked before `run` is called.

    output: the result, as a key of `engine.photos.Job.outputs`. run(args) also gets all of them, with that of
    `--probability`, as `args.outputs`, and what `engine.inferring.check` sets. tiled: whether the network
    runs in tiles.
    """

    def checked(args: argparse.Namespace) -> int:
        args.outputs = [output] + ["_probability.png"] * vars(args).get("probability", False)
        inferring.check(parser, args, args.outputs)
        return run(args)

    parser = subparsers.add_parser("infer", help="process photographs", allow_abbrev=False)
    options.weights_option(parser, weights)
    inferring.infer_options(parser, tiled)
    parser.set_defaults(run=checked)
    return parser
