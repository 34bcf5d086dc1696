"""The training loop of every stage: steps, evaluation, checkpoints, and resuming.

The run folder is the whole state of a run (see data/run_folder.py). Sample n is a function of (seed, n), and
`last.pt` holds the rest, so that a resumed run equals an uninterrupted one bit for bit (on the CPU,
without `--minutes`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import torch
from torch import nn

from data import checkpoint
from data.errors import UserError
from data.run_folder import RunFolder, read_log
from engine import VERSION
from engine.batches import Batch, Batches, explained_shortages, loaded
from engine.clock import Clock
from engine.launch import INTERRUPTED
from engine.networks import build_net
from engine.optim import EMA, LossTally, Reading, Statistics, freeze_statistics, make_optimizer, schedule
from engine.processes import Processes, StopSignals, peak_memory
from engine.stage import (
    Stage,
    check_data,
    check_free,
    check_sizes,
    check_state,
    common_format,
    derived,
    plain_options,
)
from engine.streams import print_json

STATE_VERSION = 1  # of the contents of last.pt
LOG_EVERY = 50  # steps between two lines of the log; enough for smooth curves
READ_EVERY = 10  # most steps between two readings of the device's results; nothing waits for it in between
READ_SECONDS = 2  # most seconds, where steps are slow: signals to several processes wait for a reading
SAVE_EVERY = 200  # steps between checkpoints, besides those at evaluations; a kill loses at most these,
SAVE_SECONDS = 120  # or this much time, where steps are slow
EVALUATIONS = 12  # per run, the last at its end; enough to see overfitting, in a small part of the time
MAX_BAD_STEPS = 20  # skipped steps in a row after which the run gives up
MAX_UNREADABLE = 0.1  # share of the samples that may be unreadable,
LEAST_UNREADABLE = 20  # or this number, if that is more, since a few may come early
MAX_GRADIENT_NORM = 1.0  # gradients are clipped to this norm, so that one odd batch cannot undo many steps


def fit(stage: Stage, args, network: dict) -> int:
    """Trains a stage; returns the exit status.

    args: from `engine.commands.train_command`; the stage's own options are only stored. network: the
    network's constructor arguments. Raises UserError for options that do not fit each other or the data.
    """
    status = None
    # What KeyboardInterrupt holds must be gone when the processes part
    processes = Processes(args.device, training=True)
    with closing(processes), explained_shortages(), suppress(KeyboardInterrupt):
        status = _fit(stage, args, network, processes)
    if status is None:
        raise KeyboardInterrupt
    return status


def _fit(stage: Stage, args, network: dict, processes: Processes) -> int:
    """`fit` in one of the processes. Raises KeyboardInterrupt if it is stopped outside of training steps."""
    torch.manual_seed(args.seed)
    net = build_net(stage.build, network, args.weights)
    check_sizes(args, net, processes.world)
    if args.dry_run:
        if processes.rank == 0:
            print_json(derived(stage, args, network, net, processes), indent=2)
        return 0
    if not check_data(stage, args.data, processes):
        return 2
    stage.validation_set()  # fails now, not at the first evaluation, if there is nothing to evaluate on
    with closing(RunFolder(args.run_dir, writes=processes.rank == 0)) as run:
        check_free(run, processes)
        trainer = Trainer(stage, args, network, net, processes, run)
        with StopSignals() as signals:
            try:
                return trainer.train(signals)
            except RuntimeError:
                if signals.received and processes.world > 1:  # the other processes have already stopped
                    raise KeyboardInterrupt from None
                raise


class Trainer:
    """A run of a stage: its networks, optimizers and progress, which `last.pt` holds, and the loop."""

    def __init__(
        self, stage: Stage, args, network: dict, net: nn.Module, processes: Processes, run: RunFolder
    ):
        self.stage, self.args, self.network, self.processes = stage, args, network, processes
        self.device, self.samples = processes.device, stage.samples()
        self.run = run
        resumes = self.run.last.exists()  # then the files that the run started from are no longer needed
        if not resumes:
            self.initialize(net)
        self.net = net.to(self.device, memory_format=torch.channels_last)
        self.ema = EMA(net, args.ema)
        self.optimizer, self.statistics = make_optimizer(net, args.lr), Statistics(net)
        self.discriminator = stage.discriminator and stage.discriminator(processes)
        self.done, self.finished = 0, False  # steps; whether the last one was evaluated
        self.unevaluated = bool(args.weights)  # an evaluation is due: at first, of the score to beat
        self.unreadable, self.named = [], set()  # why samples are unreadable: since the last reading; ever
        self.lost = 0  # number of unreadable samples
        self.best = []  # (score, file name) of the best weights so far
        self.clock, self.seconds = Clock(), 0.0  # seconds of the run, the same on all processes
        if resumes:
            self.resume()
        else:
            self.begin()
        self.model = net
        if processes.world > 1:
            ids = [self.device] if self.device.type == "cuda" else None
            self.model = nn.parallel.DistributedDataParallel(net, device_ids=ids)
        self.evaluate_every = -(-args.steps // EVALUATIONS)  # steps
        self.tally, self.saved_at, self.first_step = LossTally(), self.seconds, self.done
        # Step and seconds of the last reading of losses, and the step of the next one
        self.last_reading, self.next_reading = (self.done, self.seconds), self.done + 1

    # ------------------------------------------------------------------------------- begin and resume

    def initialize(self, net: nn.Module) -> None:
        """Loads the weights that the network starts from."""
        if self.stage.initialize:
            self.stage.initialize(net)
        if weights := self.args.weights:
            checkpoint.load_state(net, checkpoint.read_weights(weights, self.stage.name), weights)

    def begin(self) -> None:
        if self.discriminator:
            self.discriminator.start()
        if self.run.has_results():
            what = f"{self.run.path} has weights of another run, but no last.pt to go on from"
            raise UserError(f"{what}: give another --run-dir")
        self.args.precision = common_format(self.stage, self.args.precision, self.processes)
        facts = {"stage": self.stage.name, "version": VERSION, "network": self.network}
        self.run.begin({**facts, **plain_options(self.args)})

    def resume(self) -> None:
        """Resumes from `last.pt`. Raises UserError if it belongs to a run with other options."""
        state = checkpoint.read(self.run.last)
        check_state(self.stage, self.args, self.run, state, STATE_VERSION)
        self.load(state)
        self.run.go_on(self.done, evaluated=not self.unevaluated)

    def state(self) -> dict:
        """The contents of `last.pt`."""
        state = {
            "state_version": STATE_VERSION,
            "stage": self.stage.name,
            "args": plain_options(self.args),
            "net": self.net.state_dict(),
            "ema": self.ema.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "finished": self.progress() == self.args.steps and not self.unevaluated,
            "unevaluated": self.unevaluated,
            "seconds": self.clock.run_seconds(),
            "best": self.best,
        }
        return {**state, "discriminator": self.discriminator.state()} if self.discriminator else state

    def load(self, state: dict) -> None:
        self.net.load_state_dict(state["net"])
        self.ema.net.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.discriminator:
            self.discriminator.load(state["discriminator"])
        self.done, self.finished, self.seconds = state["done"], state["finished"], state["seconds"]
        self.unevaluated = state.get("unevaluated", False)
        there = [self.finished or (self.run.path / name).exists() for _, name in state["best"]]
        self.best = [tuple(entry) for entry, exists in zip(state["best"], there) if exists]
        self.clock = Clock(self.seconds)

    # ------------------------------------------------------------------------------- the loop

    def train(self, signals: StopSignals) -> int:
        """Trains to the last step, or until told to stop; returns the exit status.

        Raises KeyboardInterrupt if it is stopped during an evaluation, which is then repeated on resuming.
        """
        if not self.finished:
            status = self.take_steps(signals)
            if status:
                return status
            if self.args.weights:
                self.compare_with_start()
        weights = self.args.run_dir / self.best[0][1]
        if self.processes.rank == 0 and not weights.exists():  # the first one writes it
            what = f"this run has finished, but its best weights {weights} are gone"
            raise UserError(f"{what}: put the file back, or train again with another --run-dir")
        self.say(f"this run has finished, at step {self.done}; its best weights are {weights}")
        return 0

    def take_steps(self, signals: StopSignals) -> int:
        """The remaining steps, until the last or a signal; returns the exit status."""
        if self.unevaluated:
            self.evaluate(signals)
            if self.done:  # else there is nothing yet that a kill could lose
                self.save()
            if self.progress() == self.args.steps:
                return 0
        made = Batches(self.samples, self.args.batch_size, self.processes.rank, self.processes.world)
        steps, pinned = range(self.done, self.args.steps), self.device.type == "cuda"
        self.clock.restart(self.done)
        with loaded(made, steps, self.args.workers, pinned) as batches:
            return self.learn(batches, signals)

    def learn(self, batches: Iterator[Batch], signals: StopSignals) -> int:
        """A step on each batch, until the last or a signal; returns the exit status."""
        for batch in self.clock.watch(batches):
            before, status = self.progress(), 0
            self.unreadable += batch.unreadable
            self.tally.add(*self.step(batch.samples))
            logs = self.done == 1 or self.done % LOG_EVERY == 0
            if logs or self.reading_is_due(signals):
                reading = self.read_losses(signals)
                status = self.end_status(reading)
                if reading.skipped_in_a_row >= MAX_BAD_STEPS:
                    return self.give_up(reading.skipped_in_a_row)
            if logs:
                self.log()

            last = self.progress() == self.args.steps
            self.unevaluated = last or self.progress() // self.evaluate_every > before // self.evaluate_every
            if status or self.unevaluated or self.saving_is_due():
                self.save()  # before an evaluation too, which may take longer than a machine has left
            if status:
                return self.stop(status)
            if self.unevaluated:
                self.evaluate(signals)
                self.save()
            if last:
                break
        return 0

    def reading_is_due(self, signals: StopSignals) -> bool:
        """Whether losses are read after this step. They stay on the device in between; readings also tell
        all processes of a signal to one of them, so these must agree.
        """
        alone = self.processes.world == 1
        return self.done in (self.next_reading, self.args.steps) or (signals.received and alone)

    def read_losses(self, signals: StopSignals) -> Reading:
        facts = signals.received, self.clock.run_seconds(), len(self.unreadable)
        reading = self.tally.read(self.processes, *facts)
        self.log_skipped(reading.skipped)
        if reading.unreadable:
            self.log_unreadable(reading.unreadable)
        before, seconds = self.last_reading
        pace = (reading.seconds - seconds) / (self.done - before)  # seconds of a step
        self.next_reading = self.done + max(1, min(READ_EVERY, int(READ_SECONDS / max(pace, 1e-9))))
        self.last_reading, self.seconds = (self.done, reading.seconds), reading.seconds
        return reading

    def end_status(self, reading: Reading) -> int:
        """The exit status with which the run ends here; 0 if it goes on."""
        drawn = (self.done - self.first_step) * self.args.batch_size + self.lost
        if self.lost > max(MAX_UNREADABLE * drawn, LEAST_UNREADABLE):
            return 2
        return INTERRUPTED if reading.stop else 0

    def stop(self, status: int) -> int:
        self.processes.wait()  # until the first one has saved
        reason = f", since {self.lost} samples were unreadable: repair these files" if status == 2 else ""
        self.say(f"stopped at step {self.done}{reason}; the same command goes on from there")
        return status

    def progress(self) -> int:
        """Steps done or, with `--minutes`, the share of the time used, in steps, if that is more."""
        steps, minutes = self.args.steps, self.args.minutes
        by_time = int(steps * self.seconds / (60 * minutes)) if minutes else 0
        return min(steps, max(self.done, by_time))

    def saving_is_due(self) -> bool:
        """Whether a checkpoint is due by steps or time; only the first process writes it."""
        return self.done % SAVE_EVERY == 0 or self.clock.run_seconds() - self.saved_at > SAVE_SECONDS

    def save(self) -> None:
        self.run.save(self.state())
        self.saved_at = self.clock.run_seconds()

    def step(self, batch: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """One optimizer step: its losses, and whether it was skipped, 0 or 1, both on the device."""
        before = self.statistics.values()
        losses = self.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), MAX_GRADIENT_NORM)

        # The optimizers read it on the device and skip the step if it is 1
        found_inf = (~norm.isfinite()).float()
        self.optimizer.found_inf = found_inf
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr_scale"] * schedule(self.progress(), self.args.steps, self.args.lr)
        self.optimizer.step()
        self.statistics.restore(before, found_inf)
        self.done += 1
        self.ema.update(self.net, self.done)
        if self.discriminator:
            self.discriminator.step(losses["discriminator"], found_inf)
        return losses, found_inf

    def losses(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The losses of the stage in the number format of `--precision`."""
        args = self.args
        batch = {name: x.to(self.device, non_blocking=True) for name, x in batch.items()}
        self.model.train()
        if args.freeze_bn_from < 1 and self.progress() >= args.freeze_bn_from * args.steps:
            freeze_statistics(self.model)
        networks = {"discriminator": self.discriminator.net} if self.discriminator else {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            return self.stage.losses(self.model, batch, total=self.processes.total, **networks)

    # ------------------------------------------------------------------------------- what is said and kept

    def log_skipped(self, steps: float) -> None:
        if steps:
            self.run.log(step=self.done, skipped=f"{steps:g} steps: their gradients are not finite")

    def log_unreadable(self, samples: int) -> None:
        """Counts samples of all processes in the log, and names each file once."""
        self.lost += samples
        self.run.log(step=self.done, unreadable=samples)
        lines = dict.fromkeys(self.processes.gather(self.unreadable))
        for line in (line for line in lines if line not in self.named):
            self.say(f"{line}: other samples are drawn in its place")
        self.named |= lines.keys()
        self.unreadable = []

    def log(self) -> None:
        self.run.log(
            step=self.done,
            **self.tally.means(),
            lr=self.optimizer.param_groups[0]["lr"],
            samples_per_s=self.clock.steps_per_s(self.done) * self.args.batch_size,
            waiting_s=self.clock.waited,
            memory_mb=peak_memory(self.device),
        )
        self.clock.restart(self.done)

    def evaluate(self, signals: StopSignals) -> None:
        """Evaluates the averaged weights, and writes them if they are among the best. All processes agree.

        Raises KeyboardInterrupt at a signal, since it may take minutes.
        """
        with self.clock.paused():
            began = time.perf_counter()
            with signals.breaking_off():
                self.processes.broadcast_buffers(self.ema.net)
                result = self.stage.evaluate(self.ema.net, processes=self.processes)
            pictures, name = result.pop("samples"), f"best-{self.done}.pt"
            entries = [*self.best, (result["score"], name)]
            # Among equal scores the first stays
            self.best = sorted(entries, key=lambda entry: entry[0], reverse=True)[: self.args.keep]
            if (result["score"], name) in self.best:
                self.run.save_weights(name, lambda: self.weights(result))
            numbers = {name: x for name, x in result.items() if not isinstance(x, (list, dict))}
            self.run.log(step=self.done, evaluation_s=time.perf_counter() - began, **numbers)
            self.run.draw(pictures)
            self.unevaluated = False

    def weights(self, result: dict) -> dict:
        """The contents of a weights file with the averaged weights and their metrics."""
        training = {**plain_options(self.args), "done": self.done, "result": result}
        name, net = self.stage.name, self.ema.net
        return checkpoint.weights(name, VERSION, self.network, net, result["infer"], training)

    def give_up(self, skipped_in_a_row: float) -> int:
        self.say(
            f"{skipped_in_a_row:g} steps in a row gave no finite gradient: lower --lr or use --precision fp32"
        )
        return 1

    def compare_with_start(self) -> None:
        """Prints what fine-tuning achieved."""
        scores = [row["score"] for row in read_log(self.args.run_dir) if "score" in row]
        best, name = self.best[0]
        self.say(
            f"score: {scores[0]:.4f} before, {scores[-1]:.4f} after, {best:.4f} in {self.args.run_dir / name}"
        )

    def say(self, line: str) -> None:
        """Prints one line on standard error, from the first process only."""
        if self.processes.rank == 0:
            print(line, file=sys.stderr)
