"""Processes, the training loop and resuming: the same for every stage, for one process or many.

A run folder is the whole state of a training run; data/run_folder.py says what lies in it.

torch is imported inside the functions that compute, so that `--help` and usage errors answer at once.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import signal
import sys
import time
from pathlib import Path

VERSION = "0.1.0"
PROGRAM = f"photo-restore {VERSION}"
LOG_EVERY = 50  # steps
SAVE_EVERY = 200  # steps, and at each evaluation: what a killed process can lose
EVALUATIONS = 12  # over a run, the last at its end
MAX_BAD_STEPS = 20  # non-finite steps in a row before the run gives up
READ_EVERY = 10  # steps between two looks at what the device has computed; in between nothing waits for it


def positive(kind):
    """An argparse type: a number of `kind` above zero."""

    def parse(text):
        value = kind(text)
        if not value > 0 or value == math.inf:
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def loss_weight(text: str) -> float:
    """An argparse type: a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of at least 0")
    return value


def share(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def rank() -> int:
    """The number of this process among those that torchrun started; 0 when alone."""
    return int(os.environ.get("RANK", 0))


def world() -> int:
    """How many processes torchrun started; 1 when alone."""
    return int(os.environ.get("WORLD_SIZE", 1))


def train_options(parser: argparse.ArgumentParser, stage: str, **defaults) -> None:
    """The options that `train` has in every stage; `defaults` are the stage's own."""

    def add(name, text, **kwargs):
        default = defaults.get(name[2:].replace("-", "_"), kwargs.pop("default", None))
        parser.add_argument(name, default=default, help=f"{text} (default: {default})", **kwargs)

    add("--data", "data folder", type=Path, default=Path("datasets") / stage, metavar="DIR")
    add(
        "--run-dir",
        "run folder; the same command again resumes",
        type=Path,
        default=Path("runs") / stage,
        metavar="DIR",
    )
    add("--steps", "optimizer steps of the whole run", type=positive(int), default=100000)
    add("--batch-size", "samples of a step, over all processes", type=positive(int), default=32)
    add("--lr", "peak learning rate of AdamW", type=positive(float), default=1e-3)
    add("--crop", "side of the training crops in px", type=positive(int), default=256)
    add("--precision", "number format of the forward pass", choices=("fp32", "bf16"), default="fp32")
    add("--ema", "decay of the averaged weights per step", type=share, default=0.999)
    add(
        "--freeze-bn-from",
        "share of the steps after which the norms keep their statistics, 1 for never",
        type=share,
        default=1.0,
    )
    add("--workers", "processes that make samples, per training process", type=int, default=2)
    add("--seed", "seed of weights and samples", type=int, default=0)
    add("--keep", "how many of the best checkpoints stay", type=positive(int), default=1)
    add("--device", "auto, cpu, cuda or cuda:N", default="auto")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="start from these weights, with their network (default: from random ones)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the derived configuration and stop")


def stage_parser(doc: str):
    """(parser, sub-commands) of a stage script, whose docstring is the description."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=PROGRAM)
    return parser, parser.add_subparsers(required=True, metavar="COMMAND")


def network_option(parser, name: str, text: str, default, **kwargs) -> None:
    """An option that decides the network: None, if not given, stands for `--weights`' value or
    the default.
    """
    parser.add_argument(name, help=f"{text} (default: {default}, or that of --weights)", **kwargs)


def network(args, stage: str, fixed: dict, **choices) -> dict:
    """The network's constructor arguments: the `fixed` ones, and name -> (option, default) for those to
    choose.

    `--weights` brings its own; an option that says otherwise raises ValueError.
    """
    from data import checkpoint

    build = checkpoint.read_weights(args.weights, stage)["build"] if args.weights else {}
    for name, (option, default) in choices.items():
        value = getattr(args, option)
        if value is not None and name in build and build[name] != value:
            raise ValueError(f"--{option} {value}: the network of {args.weights} has {build[name]}")
        fixed = {**fixed, name: build.get(name, default) if value is None else value}
    return fixed


def train_command(commands, stage: str, train, norm="batch", **defaults) -> argparse.ArgumentParser:
    """`train`, with the options that every stage has; `norm` and `defaults` are the stage's own."""
    parser = commands.add_parser("train", help="train on a data folder", allow_abbrev=False)
    train_options(parser, stage, **defaults)
    network_option(
        parser, "--width", "channels of the first layer; 64 is the published size", 64, type=positive(int)
    )
    network_option(
        parser,
        "--norm",
        "batch: BatchNorm; inplace: half its memory, statistics shared over processes",
        norm,
        choices=("batch", "inplace"),
    )
    parser.set_defaults(run=train)
    return parser


def eval_command(commands, stage: str, build, evaluate, weights: Path) -> argparse.ArgumentParser:
    """`eval`: the measures of a weights file on a data folder, as one JSON object on standard output."""
    parser = commands.add_parser("eval", help="measure weights on a data folder", allow_abbrev=False)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("datasets") / stage,
        metavar="DIR",
        help=f"data folder; its val/ is measured, if there is one (default: datasets/{stage})",
    )
    parser.add_argument(
        "--weights", type=Path, default=weights, metavar="FILE", help="weights (default: the bundled ones)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:N] or mps (default: auto)")

    def run(args) -> int:
        processes = Processes(args.device)
        net, infer = load_net(args.weights, stage, build)
        try:
            result = evaluate(net, args, processes, infer)
        finally:
            processes.close()
        if processes.rank == 0:
            from data.checkpoint import fingerprint

            print(json.dumps({"stage": stage, "weights_sha256": fingerprint(args.weights), **result}))
        return 0

    parser.set_defaults(run=run)
    return parser


def sheet_command(commands, stage: str, rows, weights: Path) -> argparse.ArgumentParser:
    """`sheet`: a contact sheet to look at; rows(args) are those of `data.sheet.contact_sheet`."""
    parser = commands.add_parser(
        "sheet", help="draw a contact sheet of validation photographs", allow_abbrev=False
    )
    parser.add_argument("out", type=Path, metavar="OUT.png", help="where to write the sheet")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("datasets") / stage,
        metavar="DIR",
        help=f"data folder; its val/ is shown, if there is one (default: datasets/{stage})",
    )
    parser.add_argument(
        "--weights", type=Path, default=weights, metavar="FILE", help="weights (default: the bundled ones)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:N] or mps (default: auto)")
    parser.add_argument(
        "--cell", type=positive(int), default=480, metavar="PX", help="widest picture, in px (default: 480)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.png if it exists (default: no)")

    def run(args) -> int:
        from data.errors import PhotoError
        from data.files import write_whole
        from data.photo import encode
        from data.sheet import contact_sheet

        if os.path.lexists(args.out) and not args.overwrite:  # before computing, which takes time
            raise PhotoError(f"{args.out} exists: give --overwrite to replace it")
        write_whole(args.out, encode(contact_sheet(rows(args), args.cell), None, "PNG"), args.overwrite)
        return 0

    parser.set_defaults(run=run)
    return parser


def load_net(weights: Path, stage: str, build):
    """(network, `infer` settings) of a weights file. Raises WeightsError."""
    from data import checkpoint
    from data.errors import WeightsError

    content = checkpoint.read_weights(weights, stage)
    try:
        net = build(content["build"])
    except (TypeError, ValueError, KeyError) as error:  # written by another version
        raise WeightsError(f"{weights}: not a network of this version of photo-restore ({error})") from None
    checkpoint.load_state(net, content, weights)
    return net.eval(), content["infer"]


def pretrained(vgg, source: str, device: str):
    """VGG-16, whose class is `vgg`, with torchvision's weights as `--vgg-weights` names them. Raises
    ValueError, one line.
    """
    import torch

    from data.published import published_vgg16

    try:
        net = vgg(published_vgg16(source))
    except ValueError as error:
        raise ValueError(f"--vgg-weights {source}: {error}") from None
    return net.to(pick_device(device, training=True), memory_format=torch.channels_last)


def encoder_options(parser: argparse.ArgumentParser, depth: int) -> None:
    """The options of a ResNet encoder, for the stages that have one."""
    network_option(parser, "--encoder", "depth of the ResNet", depth, type=int, choices=(18, 34, 50))
    parser.add_argument(
        "--encoder-weights",
        metavar="imagenet|FILE",
        help="start the encoder from torchvision's ImageNet weights, downloaded or from a file of the same "
        "layout; needs --width 64 (default: random weights)",
    )


def run_command(parser: argparse.ArgumentParser, argv) -> int:
    """Parses and runs a command: a user's mistake gives one line and status 2, Ctrl-C gives 130."""
    args = parser.parse_args(argv)
    run = args.run
    del args.run  # what stays are the options
    try:
        return run(args)
    except (ValueError, OSError) as error:  # PhotoError and WeightsError are ValueErrors
        message = str(error).strip()
        if "Traceback" in message:  # from a process that makes samples: the last line says what is wrong
            message = message.splitlines()[-1].split(": ", 1)[-1]
        print(f"{parser.prog}: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def pick_device(name: str, training: bool = False):
    """The torch device that `--device` names; "auto" takes CUDA, then MPS, then the CPU. Raises ValueError.

    Under torchrun each process takes the GPU of its own. Training does not take MPS unasked: it lacks kernels
    of in-place BatchNorm.
    """
    import torch

    if name == "auto":
        mps = torch.backends.mps.is_available() and not training
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def _store():
    """Where the processes of a run find each other.

    torchrun restarts processes with the store of the processes that died (pytorch/pytorch#135712), whose
    addresses lead nowhere: each start gets keys of its own. With several machines the count of restarts is
    not the same on all, and torchrun itself has to be told to make a new store (the README says how).
    """
    from torch import distributed

    store, _, _ = next(distributed.rendezvous("env://"))
    one_machine = os.environ.get("GROUP_WORLD_SIZE", "1") == "1"
    return (
        distributed.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        if one_machine
        else store
    )


class Processes:
    """This process among the `world` processes of a run, from torchrun's environment or alone."""

    def __init__(self, device: str = "auto", training: bool = False):
        import torch

        self.rank, self.world = rank(), world()
        self.device = pick_device(device, training)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world > 1:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            torch.distributed.init_process_group(
                backend, store=_store(), rank=self.rank, world_size=self.world
            )

    def total(self, x):
        """Sums a tensor over all processes."""
        if self.world > 1:
            import torch

            x = x.to(self.device)
            torch.distributed.all_reduce(x)
        return x

    def share(self, items: list) -> list:
        """This process's part of a list."""
        return items[self.rank :: self.world]

    def gather(self, rows: list) -> list:
        """The rows of all processes, in the order of the list that `share` divided."""
        if self.world == 1:
            return rows
        import torch

        parts = [None] * self.world
        torch.distributed.all_gather_object(parts, rows)
        return [part[index] for index in range(max(map(len, parts))) for part in parts if index < len(part)]

    def close(self) -> None:
        """Leaves the group. Whatever holds it (DistributedDataParallel, in cycles) must be out of reach by
        now: gloo's threads end with its last holder, and those that outlive the interpreter abort the
        process.
        """
        if self.world > 1:
            import torch

            gc.collect()
            torch.distributed.destroy_process_group()


class Batches:
    """Yields the sample numbers of each step's batch, from `first` on: a function of (step, rank) alone."""

    def __init__(self, first: int, steps: int, batch_size: int, rank: int, world: int):
        self.steps = range(first, steps)
        self.local = batch_size // world
        self.offset, self.batch_size = rank * self.local, batch_size

    def __iter__(self):
        for step in self.steps:
            start = step * self.batch_size + self.offset
            yield list(range(start, start + self.local))

    def __len__(self):
        return len(self.steps)


def schedule(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up over 3 % of the steps (at most 1000), then a cosine down to 1 % of the
    peak.
    """
    warmup = max(1, min(1000, steps * 3 // 100))
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def make_optimizer(net, lr: float):
    """AdamW in one kernel; weight decay on convolution kernels only, not on biases and norms."""
    import torch

    kernels = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": kernels, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), fused=True)


class Average:
    """Exponential moving average of the weights and of the norms' statistics. Young averages
    forget faster.
    """

    def __init__(self, net, decay: float):
        import copy

        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    def update(self, net, step: int) -> None:
        import torch

        decay = min(self.decay, (step + 1) / (step + 10))
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values()))
        with torch.no_grad():
            torch._foreach_lerp_(*zip(*(pair for pair in pairs if pair[0].is_floating_point())), 1 - decay)
            for mine, other in pairs:
                if not mine.is_floating_point():
                    mine.copy_(other)


class Tally:
    """Sums of the losses since the last reading, kept on the device. Steps without a finite gradient are not
    counted.
    """

    def __init__(self):
        self.sums = self.in_a_row = None

    def add(self, losses: dict, broken) -> None:
        """losses: name -> scalar tensor; broken: scalar tensor, 1 for a step without a finite gradient, else
        0.
        """
        import torch

        row = torch.stack([broken] + [x.detach().float() for x in losses.values()] + [1 - broken])
        row[1:].masked_fill_(broken > 0, 0)
        self.sums = row if self.sums is None else self.sums + row
        self.in_a_row = broken if self.in_a_row is None else (self.in_a_row + broken) * broken

    def read(self, processes, stopping: bool):
        """(skipped steps, sums of the losses, counted steps, broken steps in a row, told to stop): means over
        processes.
        """
        import torch

        facts = torch.cat(
            [self.sums, torch.stack([self.in_a_row, self.in_a_row.new_tensor(float(stopping))])]
        )
        skipped, *sums, counted, in_a_row, stop = (processes.total(facts) / processes.world).tolist()
        self.sums = None
        return skipped, sums, counted, in_a_row, stop > 0


def stored(args) -> dict:
    """The options as plain types, for `args.json` and checkpoints."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}


# What may differ between a run and its continuation without making it another run.
FREE_ON_RESUME = {"workers", "device", "dry_run", "keep", "run_dir"}


def changed_options(before: dict, now: dict) -> list[str]:
    """Names of options that forbid going on from a checkpoint."""
    return [name for name in now if name not in FREE_ON_RESUME and before.get(name) != now[name]]


def peak_memory(device) -> float:
    """The most memory held so far, in MB of 10^6 bytes: of the GPU where one is used, else of
    this process.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # not on Windows
        return math.nan
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    )


def freeze_statistics(net) -> None:
    """Every norm of `net` goes on with the statistics it has, until the next `net.train()`."""
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.eval()


class Critic:
    """A second network that learns against the first, with its own AdamW; its loss is `step`'s "critic"."""

    def __init__(self, net, args, processes, weights: Path | None):
        import torch

        from data import checkpoint

        self.net, self.processes = (
            net.to(processes.device, memory_format=torch.channels_last).train(),
            processes,
        )
        self.optimizer = torch.optim.AdamW(
            net.parameters(), lr=args.critic_lr, betas=(0.0, 0.9), weight_decay=0.0, fused=True
        )
        if weights:
            state = checkpoint.read(weights)
            if "critic" not in state:
                raise ValueError(f"--critic-weights {weights}: not a last.pt of an adversarial run")
            checkpoint.load_state(net, {"state": state["critic"]["net"]}, weights)

    def step(self, loss, broken) -> None:
        """One step down `loss`, none if `broken` is 1 or a gradient is not finite. Gradients are the mean
        over processes, as DistributedDataParallel's are.
        """
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for parameter in self.net.parameters():
            if self.processes.world > 1:
                self.processes.total(parameter.grad).div_(self.processes.world)
        finite = torch.stack([parameter.grad.isfinite().all() for parameter in self.net.parameters()]).all()
        self.optimizer.found_inf = torch.maximum(broken, (~finite).float())
        self.optimizer.step()

    def state(self) -> dict:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def fit(args, stage: str, options: dict, build, samples, step, evaluate, measured, critic=None) -> int:
    """Trains one stage; returns the exit status.

    options: the constructor's arguments, stored in the weights. build(options) -> net. samples(args) ->
    dataset whose item n is a function of (seed, n). step(net, batch, args, total) -> dict of scalar tensors,
    "loss" among them. evaluate(net, args, processes) -> dict with "score" (greater is better), "infer"
    (stored in the weights) and "samples" (name -> input, prediction, truth: pictures of fixed validation
    photographs). measured(data) -> what evaluate will measure on; raises if there is nothing, now and not at
    the first evaluation. critic(args) -> a network that step is given as `critic` and whose loss it returns
    too (adversarial training).
    """
    processes = Processes(args.device, training=True)
    try:
        return _fit(args, stage, options, build, samples, step, evaluate, measured, critic, processes)
    finally:
        processes.close()


def _fit(args, stage, options, build, samples, step, evaluate, measured, critic, processes) -> int:
    import torch

    from data import checkpoint
    from data.published import published_encoder
    from data.run_folder import RunFolder, read_log

    rank, world, device = processes.rank, processes.world, processes.device
    torch.manual_seed(args.seed)
    net = build(options)
    if args.batch_size % world:
        raise ValueError(f"--batch-size {args.batch_size} cannot be shared by {world} processes")
    if args.crop % net.size_divisor:
        raise ValueError(
            f"--crop {args.crop} is not a multiple of {net.size_divisor}, as this network needs it"
        )
    if args.dry_run:
        if rank == 0:
            count = sum(p.numel() for p in net.parameters())
            derived = {
                **stored(args),
                "stage": stage,
                "parameters": count,
                "processes": world,
                "device": str(device),
                "samples_per_process": args.batch_size // world,
                "network": options,
            }
            print(json.dumps(derived, indent=2))
        return 0
    measured(args.data)
    dataset = samples(args)
    run = RunFolder(args.run_dir, writes=rank == 0)
    resumed = run.last.exists()  # then what the run began from is not needed any more
    if getattr(args, "encoder_weights", None) and not resumed:
        state = published_encoder(args.encoder_weights, options["depth"])
        try:
            net.encoder.load_imagenet(state)
        except ValueError as error:
            raise ValueError(f"--encoder-weights {args.encoder_weights}: {error}") from None
    if args.weights and not resumed:
        checkpoint.load_state(net, checkpoint.read_weights(args.weights, stage), args.weights)
    net.to(device, memory_format=torch.channels_last)
    average = Average(net, args.ema)
    optimizer = make_optimizer(net, args.lr)
    critic = critic and Critic(critic(args), args, processes, None if resumed else args.critic_weights)

    done, best = 0, []
    if resumed:
        state = checkpoint.read(run.last)
        if changed := changed_options(state["args"], stored(args)):
            names = ", ".join("--" + name.replace("_", "-") for name in changed)
            print(
                f"{run.last}: this run was started with another {names}; "
                "give another --run-dir, or --weights to start from its result",
                file=sys.stderr,
            )
            return 2
        net.load_state_dict(state["net"])
        average.net.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        if critic:
            critic.load(state["critic"])
        done, best = state["done"], [tuple(entry) for entry in state["best"]]
        run.go_on(done)
    else:
        run.begin({"stage": stage, "version": VERSION, "network": options, **stored(args)})

    def save():
        state = {
            "args": stored(args),
            "net": net.state_dict(),
            "average": average.net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "done": done,
            "best": best,
        }
        run.save({**state, "critic": critic.state()} if critic else state)

    def measure():
        """Evaluates the averaged weights and keeps them if they are among the best; all ranks compute the
        same list.
        """
        nonlocal best, began
        started = time.perf_counter()
        result = evaluate(average.net, args, processes)
        pictures, name = result.pop("samples"), f"best-{done}.pt"
        # of equals the first
        best = sorted([*best, (result["score"], name)], key=lambda entry: entry[0], reverse=True)[: args.keep]
        training = {**stored(args), "done": done, "result": result}
        run.keep_best(
            best,
            name,
            lambda: checkpoint.weights(stage, VERSION, options, average.net, result["infer"], training),
        )
        shown = {name: x for name, x in result.items() if not isinstance(x, (list, dict))}
        run.log(step=done, evaluation_s=time.perf_counter() - started, **shown)
        run.draw(pictures)
        began += time.perf_counter() - started

    model, began = net, 0.0
    if world > 1:
        model = torch.nn.parallel.DistributedDataParallel(
            net, device_ids=[device] if device.type == "cuda" else None
        )
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=Batches(done, args.steps, args.batch_size, rank, world),
        num_workers=args.workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if args.workers else None,
    )
    if args.weights and done == 0:
        measure()  # what fine-tuning has to beat; the start stays among the best if it does not
    stopping = []
    previous = {
        number: signal.signal(number, lambda *_: stopping.append(1))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    every = max(1, args.steps // EVALUATIONS)
    tally, stop = Tally(), False
    sums, counted, since, waited = {}, 0, done, 0.0  # of the next line of the log
    began = mark = time.perf_counter()
    try:
        for batch in loader:
            waited += time.perf_counter() - mark
            batch = {name: x.to(device, non_blocking=True) for name, x in batch.items()}
            for group in optimizer.param_groups:
                group["lr"] = schedule(done, args.steps, args.lr)
            model.train()
            if args.freeze_bn_from < 1 and done >= args.freeze_bn_from * args.steps:
                freeze_statistics(model)
            with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
                losses = step(
                    model, batch, args, processes.total, **({"critic": critic.net} if critic else {})
                )
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            # 0 or 1, on the device: the optimizers read it there and do nothing if it is 1
            broken = (~norm.isfinite()).float()
            optimizer.found_inf = broken
            optimizer.step()
            done += 1
            average.update(net, done)
            if critic:
                critic.step(losses["critic"], broken)
            tally.add(losses, broken)
            logged = done == 1 or done % LOG_EVERY == 0
            if logged or done % READ_EVERY == 0 or done == args.steps or (stopping and world == 1):
                skipped, row, count, in_a_row, stop = tally.read(processes, bool(stopping))
                sums = {name: sums.get(name, 0) + value for name, value in zip(losses, row)}
                counted += count
                if skipped:
                    run.log(step=done, skipped=f"{skipped:g} steps: their gradients are not finite")
                if in_a_row >= MAX_BAD_STEPS:
                    print(
                        f"{in_a_row:g} steps in a row gave no finite gradient: lower --lr or use "
                        f"--precision fp32",
                        file=sys.stderr,
                    )
                    return 1
            if logged:
                seconds = time.perf_counter() - began
                run.log(
                    step=done,
                    **{name: value / max(counted, 1) for name, value in sums.items()},
                    lr=optimizer.param_groups[0]["lr"],
                    samples_per_s=(done - since) * args.batch_size / seconds,
                    waiting_s=waited,
                    memory_mb=peak_memory(device),
                )
                sums, counted, since, began, waited = {}, 0, done, time.perf_counter(), 0.0
            if evaluated := done % every == 0 or done == args.steps:
                measure()
            if stop or evaluated or done % SAVE_EVERY == 0:
                save()
            if stop:
                if rank == 0:
                    print(f"stopped at step {done}; the same command goes on from there", file=sys.stderr)
                return 130
            mark = time.perf_counter()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if args.weights and rank == 0:
        scores = [row["score"] for row in read_log(args.run_dir) if "score" in row]
        print(
            f"score: {scores[0]:.4f} before, {scores[-1]:.4f} after, "
            f"{best[0][0]:.4f} in {args.run_dir / best[0][1]}",
            file=sys.stderr,
        )
    return 0
