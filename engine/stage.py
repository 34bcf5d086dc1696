"""What the loop needs of a stage, and the options of a run: checked, stored, compared on resuming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from data import checks
from data.errors import UserError
from data.run_folder import RunFolder, check_stage, read_options
from engine.messages import say_all
from engine.optim import Discriminator
from engine.processes import Processes

# Options that may differ between a run and its continuation.
FREE_ON_RESUME = {"workers", "device", "dry_run", "keep", "run_dir"}
NEEDED = {"args", "net", "ema", "optimizer", "done", "finished", "seconds", "best"}  # in last.pt


@dataclass(frozen=True)
class Stage:
    """The differences between stages. Their own options are already bound in the functions."""

    name: str
    build: Callable[[dict], nn.Module]
    """build(network) -> the network of these constructor arguments, which are stored in the weights"""
    samples: Callable[[], Dataset]
    """samples() -> dataset, whose item n is a function of (seed, n)"""
    losses: Callable[..., dict[str, torch.Tensor]]
    """losses(net, batch, total=, [discriminator=]) -> scalars, "loss" among them; total sums a tensor over
    all processes. With a discriminator also "discriminator", the loss of that"""
    evaluate: Callable[..., dict]
    """evaluate(net, processes=) -> measures: "score" (greater is better), "infer" (stored in the weights),
    "samples" (name -> input, prediction, truth: pictures of fixed validation photographs), and others"""
    validation_set: Callable[[], list]
    """validation_set() -> what evaluate measures on. Raises UserError if there is nothing"""
    fastest: Callable[[torch.device], str]
    """fastest(device) -> fp32 or bf16, for `--precision auto`"""
    initialize: Callable[[nn.Module], None] | None = None
    """initialize(net) loads what a new network starts from, such as published weights"""
    discriminator: Callable[[Processes], Discriminator] | None = None
    """discriminator(processes) for adversarial training"""


def check_sizes(args, net: nn.Module, world: int) -> None:
    """Raises UserError for sizes that this network or these processes cannot work with."""
    if args.batch_size % world:
        raise UserError(
            f"--batch-size {args.batch_size} is not divisible by the number of processes, {world}"
        )
    if args.crop % net.size_divisor:
        raise UserError(
            f"--crop {args.crop} is not a multiple of {net.size_divisor}, as this network needs it"
        )
    if args.batch_size == world and args.crop == net.size_divisor and args.freeze_bn_from > 0:
        raise UserError(
            f"--crop {args.crop} with one sample for each process: the deepest norm has no second value to "
            "compare with; give a larger --crop or --batch-size"
        )


def check_data(stage: Stage, data: Path, processes: Processes) -> bool:
    """Whether all files of a data folder can be used. The first process names those that cannot, and masks
    without a photograph, which are not used.
    """
    pairs, unpaired, unused = checks.labelled(data, stage.name)
    faults = checks.faults(data, processes.shard(checks.pictures(data, stage.name)))
    unequal = checks.pair_faults(processes.shard(pairs))
    found = [line for line in [*unpaired, *processes.gather(faults), *processes.gather(unequal)] if line]
    if processes.rank == 0:
        if unused:
            notes = [f"{mask}: not used, since there is no photograph of this name" for mask in unused]
            say_all(checks.listing(notes))
        if found:
            what = [f"{data}: {len(found)} problems; nothing was trained"] if len(found) > 1 else []
            say_all(what + checks.listing(found))
    processes.wait()  # until the first one has named them
    return not found


def check_free(run: RunFolder, processes: Processes) -> None:
    """Raises UserError, in all processes, if another run is using the run folder."""
    if processes.total(torch.tensor(float(run.taken))):
        raise UserError(
            f"{run.path}: another process is training in it: wait until it ends, or give another --run-dir"
        )


def check_state(stage: Stage, args, run: RunFolder, state: dict, version: int) -> None:
    """Raises UserError if a run cannot go on with these options from `state`, the contents of its last.pt.

    version: the one that state must have. Sets args.precision, if it is auto, to what was measured when the
    run began, even on another machine.
    """
    if state.get("state_version") != version or not state.keys() >= NEEDED:
        raise UserError(f"{run.last}: of another version of photo-restore; give another --run-dir")
    # Earlier checkpoints do not name their stage
    check_stage(run.path, state.get("stage") or read_options(run.path).get("stage", stage.name), stage.name)
    if args.precision == "auto":
        args.precision = state["args"].get("precision", "auto")
    if changed := changed_options(state["args"], args):
        names = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise UserError(
            f"{run.last}: this run was started with another {names}; "
            "give another --run-dir, or --weights to start from its result"
        )


def derived(stage: Stage, args, network: dict, net: nn.Module, processes: Processes) -> dict:
    """What `--dry-run` prints."""
    return {
        **plain_options(args),
        "stage": stage.name,
        "parameters": sum(p.numel() for p in net.parameters()),
        "processes": processes.world,
        "device": str(processes.device),
        "samples_per_process": args.batch_size // processes.world,
        "network": network,
    }


def common_format(stage: Stage, precision: str, processes: Processes) -> str:
    """fp32 or bf16 for a value of `--precision`; auto is bf16 if it pays on the device of every process."""
    if precision != "auto":
        return precision
    slower = torch.tensor(float(stage.fastest(processes.device) == "fp32"))
    return "fp32" if processes.total(slower) else "bf16"


def plain_options(args) -> dict:
    """The options as plain types, for `args.json` and checkpoints."""
    return _plain({name: value for name, value in vars(args).items() if name != "defaults"})


def changed_options(before: dict, args) -> list[str]:
    """Names of options that do not allow resuming a run. before: its options; one that was added to the
    program later has its default.
    """
    before, now = {**_plain(args.defaults), **before}, plain_options(args)
    return [name for name in now if name not in FREE_ON_RESUME and before[name] != now[name]]


def _plain(value):
    """A value of an option, or a dict of them, with text in place of paths."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
