"""The loop over photographs: read, process, write, report, skip if done; exit status 0 or 1.

A command adds the shared options (`engine.inferring.infer_options`), checks them, loads its networks, and
defines what to do with one photograph:

    def work(photo, source):                                    # data.photo.Photo, engine.inputs.Source
        mask, notes = read_role_mask(source.companions["mask"], "mask", photo.size)
        files = {
            "_mask.png": encode(mask, None, "PNG"),             # bytes: written as they are
            "_restored.{ext}": Picture(pixels),                 # encoded like the photograph
            "_color.{ext}": Picture(rgb, "Colors are guessed", ("colorize",)),
        }
        return files, {"invented": 0.01, "seconds": {"inpaint": 1.2}, "warnings": notes}

    job = Job(work, outputs=["_mask.png", "_restored.{ext}", "_color.{ext}"], ...)
    sys.exit(run(arguments, job))                               # 0 all done, 1 some failed, 130 interrupted

`{ext}` is the suffix from `--format` and the photograph, `{psd}` is psd or psb depending on its size. A role
for which nothing was given, or whose folder has no file for this photograph, is not in `source.companions`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data import deep, psd, report
from data.corrections import Correction
from data.errors import PhotoError
from data.files import refuse_existing, sha256
from data.formats import lost
from data.photo import MAX_PIXELS, Photo, encode, read_bytes, read_photo
from engine import PROGRAM, pairing, streams
from engine.allocator import keep_freed_memory
from engine.delivery import clear, deliver, refuse_long
from engine.inputs import STDIO, Source, keep_apart
from engine.launch import rank, terminable, under_torchrun, world
from engine.messages import Progress, report_failure, say

FORMATS = {"png": "PNG", "tif": "TIFF", "webp": "WEBP", "jpg": "JPEG"}  # suffix -> Pillow's name
LARGE = 16_000_000  # px of a photograph above which nothing is computed while its results are written


@dataclass(frozen=True)
class Picture:
    """A result to be encoded like the photograph, with its metadata."""

    pixels: np.ndarray  # (H, W) or (H, W, 3), uint8 or uint16
    remark: str = ""  # a sentence about what was done to it, for the metadata
    stages: tuple[str, ...] | None = None  # stages in `Job.weights` that made it; None: all


@dataclass(frozen=True)
class Job:
    """What a command does with every photograph."""

    # Raises PhotoError if this photograph cannot be processed. The facts are keyword arguments of
    # `data.report.build`.
    work: Callable[[Photo, Source], tuple[dict[str, bytes | Picture], dict]]
    outputs: list[str]  # the keys of the files that `work` returns
    options: dict  # options that change pixels, except --format; for the report and the skip check
    weights: dict[str, str]  # stage -> SHA-256 of its weights file
    companions: dict[str, Path | None] = field(default_factory=dict)  # role -> file, folder or None
    commit: bool = False  # write STEM.json, and skip photographs that are done according to it
    max_pixels: int = MAX_PIXELS
    # name -> correction: only these photographs are processed, unless they are done already
    corrections: dict[str, Correction] | None = None


def run(arguments: argparse.Namespace, job: Job) -> int:
    """Does the job for every photograph of this process; returns the exit status.

    The files of a photograph are written after all of them are computed, STEM.json last; if one cannot be
    written, none is. Without --overwrite, a photograph whose results exist fails before anything is computed.
    With `job.commit` it is skipped if STEM.json shows that they come from the same input, options and
    weights. What a killed run left of a photograph is done again. While one photograph is computed, the next
    is read and the last is encoded and written.

    Raises UserError for options that do not fit the photographs, before anything is computed.

    A failing photograph does not stop the others. PhotoError prints one line on standard error; any other
    exception is a bug and prints its traceback.

    torchrun kills all processes as soon as one fails, so under torchrun all wait for each other and exit with
    the same status.
    """
    # Pillow warns about odd metadata, which the user cannot act on
    warnings.filterwarnings("ignore", module=r"PIL\b")
    keep_freed_memory()
    try:
        with terminable():
            return _run_together(arguments, job) if under_torchrun() else _Loop(arguments, job).run()
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _run_together(arguments: argparse.Namespace, job: Job) -> int:
    from engine.processes import shared_store, worst_status  # import torch

    store = shared_store()
    try:
        status = _Loop(arguments, job).run()
    except Exception:
        worst_status(store, 2)
        raise
    return worst_status(store, status)


def extension(photo: Photo, format: str) -> str:
    """The suffix of the pictures made from this photograph. format: as in `--format`."""
    if format == "auto":
        return "tif" if photo.format == "TIFF" else "png"
    return format


def color_depth(photo: Photo, format: str) -> tuple[str, list[str]]:
    """Dtype of the color pictures of this photograph, and notes for the report. format: as in `--format`.

    16 bits stay 16 in a TIFF, with imagecodecs in a PNG, and for an array, which has no format; the other
    formats hold no 16-bit RGB.
    """
    if photo.pixels.dtype == np.uint8:
        return "uint8", []
    suffix = extension(photo, format)
    is_array = format == "auto" and not photo.format
    if is_array or suffix == "tif" or (suffix == "png" and deep.available()):
        return "uint16", []
    return "uint8", ["color pictures have 8 bits, the photograph 16: --format tif keeps 16"]


def tool(weights: dict[str, str], stages: tuple[str, ...] | None = None) -> str:
    """What made a picture, for its metadata: program, and SHA-256 of the weights of these stages (default:
    all).
    """
    stages = tuple(weights) if stages is None else stages
    return "; ".join([PROGRAM, *(f"{stage} weights {weights[stage]}" for stage in stages)])


@dataclass(frozen=True)
class _Loaded:
    """The result of reading one input."""

    source: Source  # with its companions
    settings: dict  # options, weights, SHA-256 of the companions
    photo: Photo | None  # None: done by an earlier run
    former: dict | None = None  # the report of that run


@dataclass(frozen=True)
class _Rest:
    """What is left to do for a photograph that is computed, or failed."""

    write: Callable[[], tuple[str, dict]]
    """Writes the results; returns status and report, or raises what went wrong"""
    files: list[Path] = field(default_factory=list)  # that it makes
    large: bool = False  # its results must not stay in memory while the next photograph is computed


class _Loop:
    """One run of a job over the photographs of a command line."""

    def __init__(self, arguments: argparse.Namespace, job: Job):
        self.arguments, self.job, self.out = arguments, job, arguments.out
        options = {**job.options, "format": arguments.format, "outputs": job.outputs}
        self.settings = {"options": options, "weights": job.weights}
        self.is_file = arguments.is_file  # OUT is not a folder, but the only result
        self.commit = job.commit and self.out != STDIO and not self.is_file
        self.corrections = job.corrections
        self.pair = pairing.pairer(job.companions)
        self.made: set[Path] = set()  # files written by this run
        self.writing: Future[None] | None = None  # of the latest photograph that was computed
        self.claimed: list[Path] = []  # the files that it makes
        self.failed = False
        self.stdin: bytes | PhotoError = b""

    def run(self) -> int:
        """The exit status: 0 all done, 1 some failed."""
        arguments = self.arguments
        sources = arguments.sources
        if self.corrections is not None:
            sources = [source for source in sources if source.name in self.corrections]
        pairing.check(sources, self.job.companions, self.job.max_pixels)
        if rank() == 0 and not arguments.quiet:
            for line in pairing.unmatched(sources, self.job.companions):
                say(line)
        sources = keep_apart(sources, self.suffixes)[rank() :: world()]
        progress = Progress(self.out, arguments.quiet)
        # Not in the reading thread, where a blocked read could not be interrupted.
        if any(source.path == STDIO for source in sources):
            self.stdin = _read_input()
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(contextlib.closing(streams.Log(arguments.json)))
            disable = True if arguments.quiet else None
            bar = stack.enter_context(tqdm(total=len(sources), unit="photo", disable=disable))
            ahead = stack.enter_context(contextlib.closing(_read_ahead(self.load, sources)))
            writer = stack.enter_context(ThreadPoolExecutor(1))  # an interrupted run also waits for its end,
            writer.submit(int)  # unless the thread was just about to start; so it starts with nothing to do
            for source, loading in ahead:
                rest = self.computed(loading)
                self.wait()
                self.writing = writer.submit(self.finish, source, rest.write, progress, log, bar)
                self.claimed = rest.files
                if rest.large:
                    self.wait()
            self.wait()
        progress.end()
        return int(self.failed)

    def wait(self) -> None:
        """Until the latest photograph is written."""
        if self.writing:
            self.writing.result()
        self.writing, self.claimed = None, []

    def finish(
        self, source: Source, write: Callable[[], tuple[str, dict]], progress: Progress, log: streams.Log, bar
    ) -> None:
        """Writes a photograph, and says how it went. Runs in the writing thread."""
        try:
            status, facts = write()
        except Exception as error:  # the other photographs must not suffer from a bug
            self.failed, status = True, "failed"
            facts = {"input": {"name": str(source)}, "error": report_failure(str(source), error)}
        progress.add(str(source), status, facts.get("warnings", []))
        try:
            log.write(report.dumps({"status": status, **facts}))
        except PhotoError as error:
            self.failed = True
            say(str(error))
        bar.update()

    def load(self, source: Source) -> _Loaded:
        """Reads one photograph, unless it is done. Raises PhotoError. Runs in the reading thread."""
        if source.error:
            raise PhotoError(source.error)
        data = self.stdin if source.path == STDIO else read_bytes(source.path)
        if isinstance(data, PhotoError):
            raise data
        digest, source = sha256(data), self.pair(source)
        if self.corrections is not None:
            source = pairing.correct(source, self.corrections[source.name], digest)
        settings = {**self.settings, "companions": pairing.digests(source)}
        if self.commit and (not self.arguments.overwrite or self.corrections is not None):
            former = report.done(self.final(source), digest, settings)
            if former:
                return _Loaded(source, settings, None, former)
        return _Loaded(source, settings, read_photo(data, self.job.max_pixels))

    def computed(self, loading: Future[_Loaded]) -> _Rest:
        """Computes one photograph; returns what is left to do, also if it failed."""
        try:
            loaded = loading.result()
            if loaded.photo is None:
                with contextlib.suppress(PhotoError):
                    clear(self.final(loaded.source))
                return _Rest(lambda: ("skipped", loaded.former))
            return self.process(loaded)
        except Exception as error:
            return _Rest(partial(_raise, error))

    def process(self, loaded: _Loaded) -> _Rest:
        """The same for a photograph that is not done yet. Raises PhotoError."""
        source, photo = loaded.source, loaded.photo
        final = self.final(source)
        suffixes = {"ext": extension(photo, self.arguments.format), "psd": psd.ending(photo)}
        targets = {key: self.target(source, key.format(**suffixes)) for key in self.job.outputs}
        written = [*targets.values(), *([final] if self.commit else [])]
        if self.out != STDIO:
            refuse_long(written, final, self.out.parent if self.is_file else self.out)
            clear(final)
        self.check_free(written)

        files, facts = self.job.work(photo, source)
        if files.keys() != targets.keys():
            raise TypeError(f"work returned {sorted(files)} instead of {sorted(targets)}")
        large = photo.pixels.shape[0] * photo.pixels.shape[1] > LARGE
        return _Rest(partial(self.write, loaded, targets, files, facts), written, large)

    def write(self, loaded: _Loaded, targets: dict[str, Path], files: dict, facts: dict) -> tuple[str, dict]:
        """Encodes and writes the results of one photograph; returns its status and report. Raises PhotoError.
        Runs in the writing thread.
        """
        photo, final = loaded.photo, self.final(loaded.source)
        suffix = extension(photo, self.arguments.format)
        encoded = {path: self.encode(files[key], photo, suffix) for key, path in targets.items()}
        notes = self.format_notes(photo, suffix)
        facts = {**facts, "warnings": [*facts.get("warnings", ()), *notes]}
        contents = {path.name: data for path, data in encoded.items()}
        facts = report.build(photo, str(loaded.source), loaded.settings, contents, PROGRAM, **facts)
        if self.out == STDIO:
            (data,) = encoded.values()
            streams.write_output(data)
        else:
            content = report.dumps(facts, indent=2).encode()
            deliver(encoded, final, content, self.commit, self.arguments.overwrite)
        self.made.update([*encoded, *([final] if self.commit else [])])
        return "done", facts

    def suffixes(self, source: Source) -> list[str]:
        """Those of the files of a photograph that is not read yet, as its own suffix lets expect."""
        usual = "tif" if source.path.suffix.lower() in (".tif", ".tiff") else "png"
        suffix = usual if self.arguments.format == "auto" else self.arguments.format
        return [key.format(ext=suffix, psd="psd") for key in self.job.outputs] + [".json"] * self.commit

    def target(self, source: Source, suffix: str) -> Path:
        return self.out if self.is_file else self.out / f"{source.name}{suffix}"

    def final(self, source: Source) -> Path:
        """Where the report goes; if OUT is a file, it only names the hidden folder of the delivery."""
        name = f"{self.out.name if self.is_file else source.name}.json"
        return self.out.with_name(name) if self.is_file else self.out / name

    def check_free(self, paths: list[Path]) -> None:
        """Raises PhotoError if a file to be written exists and must not be replaced."""
        if not set(self.claimed).isdisjoint(paths):
            self.wait()
        for path in paths if self.out != STDIO else ():
            if path in self.made:
                raise PhotoError(f"{path} is already the result of another photograph: give another OUT")
            refuse_existing(path, self.arguments.overwrite)
            if os.path.lexists(path) and _place(path) in self.given:
                raise PhotoError(f"{path} is an input of this run, which is not replaced: give another OUT")

    @cached_property
    def given(self) -> set[str]:
        """Where all photographs of the run and their companions are."""
        paths = []
        for source in self.arguments.sources:
            paths.append(source.path)
            with contextlib.suppress(PhotoError):  # said when it is this photograph's turn
                paths += self.pair(source).companions.values()
        files = [path for path in paths if isinstance(path, Path)]
        return {_place(path) for path in files} | {os.path.realpath(path) for path in files}

    def encode(self, result: bytes | Picture, photo: Photo, suffix: str) -> bytes:
        if isinstance(result, bytes):
            return result
        made_by, trained = tool(self.job.weights, result.stages), result.stages != ()
        return encode(result.pixels, photo, FORMATS[suffix], result.remark, made_by, trained)

    def format_notes(self, photo: Photo, suffix: str) -> list[str]:
        """Notes on what the format of the pictures, if any are written, cannot hold."""
        if not any("{ext}" in key for key in self.job.outputs):
            return []
        notes = lost(photo, FORMATS[suffix], photo.pixels.ndim == 2)
        if suffix == "jpg":
            transparency = "; transparency is lost" if photo.alpha is not None else ""
            notes.insert(0, f"JPEG is not lossless: undamaged pixels differ a little{transparency}")
        if photo.infrared is not None and (suffix != "tif" or photo.alpha is not None):
            notes.append("the infrared channel is lost: only a TIFF without transparency keeps it")
        return notes


def _place(path: Path) -> str:
    """The path without links in its folder: what os.replace would replace."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _read_input() -> bytes | PhotoError:
    """Standard input, or why it cannot be read."""
    try:
        return streams.read_input() or PhotoError("is empty (0 bytes)")
    except PhotoError as error:
        return error


def _read_ahead(
    load: Callable[[Source], _Loaded], sources: list[Source]
) -> Iterator[tuple[Source, Future[_Loaded]]]:
    """Each source with its future, while the next one is being loaded."""
    reader, ahead = ThreadPoolExecutor(1), deque()
    try:
        for index, source in enumerate(sources):
            ahead.extend(reader.submit(load, s) for s in sources[index + len(ahead) : index + 2])
            yield source, ahead.popleft()
    finally:  # not waiting, since after an interruption it may still read a pipe to which nobody writes
        reader.shutdown(wait=False, cancel_futures=True)


def _raise(error: Exception):
    raise error
