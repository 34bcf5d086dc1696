"""Photos in, files out: the loop that restore.py and the three `infer` commands share.

A command adds the shared options, checks them, loads its networks, says what to do with one photo, and runs:

    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.infer_options(parser)                  # photos, out, device, precision, tile, ..., quiet
    arguments = parser.parse_args()
    options.check(parser, arguments)               # usage errors, before anything is loaded

(`engine.commands.infer_command` is these four lines for a subcommand.) Then:

    def work(photo, source):                       # photo.Photo, Source
        mask, notes = source.mask("mask", photo)
        restored = ...
        files = {
            "_mask.png": encode(mask, None, "PNG"),             # bytes: written as they are
            "_restored.{ext}": (restored, ""),                  # (pixels, remark): encoded like the photo
            "_restored_color.{ext}": (color, "Colours are guessed", "colorize"),  # and by which stages
        }
        return files, {"invented": 0.01, "seconds": {"inpaint": 1.2}, "warnings": notes}

    status = batch.run(
        arguments,
        work,
        outputs=["_mask.png", "_restored.{ext}", "_restored_color.{ext}"],   # the keys of `files`
        options={"threshold": 0.5},                # its own that change pixels: for report and skip rule
        weights={"inpaint": sha256},
        companions={"mask": arguments.mask},       # FILE_OR_FOLDER or None, paired with each photo by stem
        commit=True,                               # restore only: write STEM.json, skip what it says is done
        program="photo-restore 0.1.0",             # for the report and the metadata
    )
    sys.exit(status)                               # 0 all done, 1 some failed, 130 interrupted

`work` fails a photo by PhotoError; any other exception fails it too, with its type named; the rest goes on.
`{ext}` is the ending that `--format` and the photo ask for, `{psd}` is psd or psb by the photo's size. A role
for which nothing was given, or whose folder has no file for this photo, is absent from `source.companions`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import warnings as python_warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data import psd, report
from data.errors import PhotoError
from data.files import sha256, write_synced
from data.formats import lost
from data.photo import IMAGE_SUFFIXES, MAX_PIXELS, Photo, encode, read_bytes, read_mask, read_photo

STDIO = Path("-")
FORMATS = {"png": "PNG", "tif": "TIFF", "webp": "WEBP", "jpg": "JPEG"}  # ending -> Pillow's name


@dataclass(frozen=True)
class Source:
    """One input: where it is and how its outputs are called."""

    path: Path  # STDIO: standard input
    name: str  # the outputs are OUT/NAME_restored.png and so on; may have folders in it
    error: str = ""  # why it cannot even be tried
    companions: dict[str, Path] = field(default_factory=dict)  # role -> file for this photo, filled by `run`

    def __str__(self) -> str:
        return "stdin" if self.path == STDIO else str(self.path)

    def mask(self, role: str, photo: Photo) -> tuple[np.ndarray, list[str]]:
        """The companion of this role as a mask of the photo's size, and notes: `read_mask`, whose errors name
        the file.
        """
        path, (width, height) = self.companions[role], photo.size
        try:
            return read_mask(path, photo.size, max(MAX_PIXELS, width * height))
        except PhotoError as error:
            raise PhotoError(f"{role} {path}: {error}") from None


def count(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return whole


# ------------------------------------------------------------------------------------ what to do


def list_photos(photos: list[Path], out: Path, recursive: bool) -> list[Source]:
    """The photos of files and folders, in order, each once. What cannot be tried has its `error` set.

    Folders give their files with an image suffix, sorted; hidden ones, linked folders (they may form loops)
    and all that lies in OUT (results of a former run) are left out.
    """
    found: list[tuple[Path, Path, str]] = []  # path, path below the input folder, error
    for path in photos:
        if path != STDIO and path.is_dir():
            found += _walk(path, out, recursive) or [(path, Path(path.name), "no photos in this folder")]
        else:
            found.append((path, Path("stdin" if path == STDIO else path.name), ""))
    seen: dict[str, tuple[Path, Path, str]] = {}
    for entry in found:
        # Not Path.resolve: before Python 3.13 it raises for links that go round in a circle.
        seen.setdefault(str(STDIO) if entry[0] == STDIO else os.path.realpath(entry[0]), entry)
    entries = list(seen.values())
    # Case is folded because many disks do not tell A from a.
    stems = Counter(str(name.with_suffix("")).casefold() for _, name, error in entries if not error)
    sources: list[Source] = []
    first: dict[str, Path] = {}
    for path, name, error in entries:
        stem = name.with_suffix("")
        called = (name if stems[str(stem).casefold()] > 1 else stem).as_posix()
        if not error and first.setdefault(called.casefold(), path) != path:
            error = (
                f"its results would have the names of those of {first[called.casefold()]}: give another OUT"
            )
        sources.append(Source(path, called, error))
    return sources


def _walk(folder: Path, out: Path, recursive: bool) -> list[tuple[Path, Path, str]]:
    found, unreadable, results = [], [], out.resolve()
    for root, folders, files in os.walk(folder, onerror=unreadable.append):
        here = Path(root)
        folders[:] = sorted(
            f for f in folders if recursive and f[0] != "." and (here / f).resolve() != results
        )
        found += [
            here / f
            for f in sorted(files)
            if f[0] != "." and Path(f).suffix.lower() in IMAGE_SUFFIXES and _ends(here / f)
        ]
    failed = [(Path(e.filename), Path(e.filename), f"cannot be read: {e.strerror}") for e in unreadable]
    return [(path, path.relative_to(folder), "") for path in found] + failed


def _ends(path: Path) -> bool:
    """Reading it comes to an end: no pipe or device, which may lie in a folder by mistake. A dangling link
    fails later, named.
    """
    return path.is_file() or not path.exists()


def _companion(given: Path, role: str, source: Source) -> Path | None:
    """The file itself, or the one in the folder named as the photo, as it is or with _ROLE: a.png,
    a_mask.png.
    """
    if not given.is_dir():
        return given
    stem = given / source.name
    fitting = [
        path
        for path in (sorted(stem.parent.iterdir()) if stem.parent.is_dir() else ())
        if path.stem in (stem.name, f"{stem.name}_{role}")
        and path.suffix.lower() in IMAGE_SUFFIXES
        and os.path.realpath(path) != os.path.realpath(source.path)  # masks beside their photos
    ]
    if len(fitting) > 1:
        raise PhotoError(f"both {fitting[0]} and {fitting[1]} could be its {role}: remove one")
    return fitting[0] if fitting else None


def pair(source: Source, given: dict[str, Path | None]) -> Source:
    """The source with its companions: role -> FILE_OR_FOLDER or None. PhotoError: two files could be one."""
    found = {role: _companion(path, role, source) for role, path in given.items() if path}
    return replace(source, companions={role: path for role, path in found.items() if path})


def reason(error: Exception) -> str:
    """Why a photo failed, in one line."""
    return " ".join(
        (str(error) if isinstance(error, PhotoError) else f"{type(error).__name__}: {error}").split()
    )


def extension(photo: Photo, format: str) -> str:
    """The ending of the pictures made from this photo; format: as in `--format`."""
    if format == "auto":
        return "tif" if photo.format == "TIFF" else "png"
    return format


def color_depth(photo: Photo, format: str) -> tuple[str, list[str]]:
    """Number type of the coloured pictures of this photo, and what the report should say of it; format: as in
    `--format`.

    16 bits stay 16 in a TIFF; no other format that is written holds 16-bit RGB.
    """
    if photo.pixels.dtype == np.uint8:
        return "uint8", []
    if extension(photo, format) == "tif":
        return "uint16", []
    return "uint8", ["coloured pictures have 8 bits of the photo's 16: --format tif keeps 16"]


def tool(program: str, weights: dict[str, str], stages: list[str] | tuple[str, ...] = ()) -> str:
    """What made a picture, for its metadata: program and SHA-256 of the weights of these stages (none given:
    all).
    """
    return "; ".join([program, *(f"{stage} weights {weights[stage]}" for stage in stages or weights)])


# ------------------------------------------------------------------------------------ doing it


def run(
    arguments: argparse.Namespace,
    work: Callable[[Photo, Source], tuple[dict, dict]],
    outputs: list[str],
    options: dict,
    weights: dict[str, str],
    companions: dict[str, Path | None] | None = None,
    commit: bool = False,
    max_pixels: int = MAX_PIXELS,
    rank: int = 0,
    world_size: int = 1,
    program: str = "photo-restore",
) -> int:
    """Do `work` for every photo of this process; the exit status. See the module's docstring.

    A photo's files are written after all of them are computed, STEM.json last; if one cannot be written,
    there is none (see `_deliver`). Without --overwrite a photo whose results exist fails before computing;
    with `commit` it is skipped if STEM.json says that they were made from the same input, options and
    weights. What a killed run left of a photo is done again. The next photo is read while the current one is
    computed.

    Under torchrun, which kills all processes as soon as one fails, each waits for the others and all end
    alike.
    """
    share = (
        arguments,
        work,
        outputs,
        options,
        weights,
        companions or {},
        commit,
        max_pixels,
        rank,
        world_size,
        program,
    )
    if world_size == 1 or arguments.out == STDIO or "TORCHELASTIC_RUN_ID" not in os.environ:
        return _run(*share)
    try:
        status = _run(*share)
    except Exception:
        _end_together(arguments.out, rank, world_size, 2)
        raise
    return status if status == 130 else _end_together(arguments.out, rank, world_size, status)


def _run(
    arguments: argparse.Namespace,
    work: Callable,
    outputs: list[str],
    options: dict,
    weights: dict[str, str],
    companions: dict[str, Path | None],
    commit: bool,
    max_pixels: int,
    rank: int,
    world_size: int,
    program: str,
) -> int:
    """`run` without the other processes."""
    python_warnings.filterwarnings("ignore", module=r"PIL\b")  # about odd metadata: nothing the user can do
    sources = list_photos(arguments.photos, arguments.out, arguments.recursive)[rank::world_size]
    shared = {name: getattr(arguments, name) for name in ("precision", "tile", "overlap", "format")}
    settings = {"options": {**options, **shared, "outputs": outputs}, "weights": weights}
    commit = commit and arguments.out != STDIO
    made: set[Path] = set()
    failed = False

    def load(source: Source) -> Loaded:
        return _load(source, stdin, arguments, settings, companions, commit, max_pixels)

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_terminable())
            # Not in the reading thread: there a blocked read could not be interrupted.
            stdin = sys.stdin.buffer.read() if any(source.path == STDIO for source in sources) else b""
            lines = None
            if arguments.json:
                stdout = arguments.json == STDIO
                lines = (
                    sys.stdout if stdout else stack.enter_context(open(arguments.json, "a", encoding="utf-8"))
                )
            bar = stack.enter_context(
                tqdm(total=len(sources), unit="photo", disable=True if arguments.quiet else None)
            )
            for source, loading in stack.enter_context(contextlib.closing(_read_ahead(load, sources))):
                try:
                    status, facts = _process(loading, arguments, work, outputs, commit, made, program)
                    if status == "skipped" and not arguments.quiet:
                        say(f"{source}: already done")
                except Exception as error:  # also a bug or a full memory: the other photos must not suffer
                    failed = True
                    status, facts = "failed", {"input": {"name": str(source)}, "error": reason(error)}
                    say(f"{source}: {reason(error)}")
                if lines:
                    lines.write(report.dumps({"status": status, **facts}))
                    lines.flush()
                bar.update()
        except KeyboardInterrupt:
            say("interrupted")
            return 130
    return int(failed)


def say(line: str) -> None:
    """One line on standard error, whatever the names in it hold: line ends, or bytes that are no UTF-8."""
    tqdm.write("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), file=sys.stderr)


def _end_together(out: Path, rank: int, world_size: int, status: int) -> int:
    """The worst status of all processes of this launch, as soon as each has done its share.

    Each leaves an empty file RANK-STATUS in a hidden folder of OUT and waits for those of the others: a
    collective would time out. A file that was read is renamed to RANK-STATUS-seen, and whoever finds all of
    them so removes the folder.
    """
    # On one machine a launch is its torchrun process; several machines are told apart by --rdzv-id.
    agent, one_machine = os.getppid(), os.environ.get("GROUP_WORLD_SIZE", "1") == "1"
    names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    launch = [str(agent) if one_machine else "", *(os.environ.get(name, "") for name in names)]
    folder = out / f".ended-{sha256(' '.join(launch).encode())[:16]}"
    mine = folder / f"{rank}-{status}"

    def ended() -> dict[int, list[str]]:
        rows = (path.name.split("-") for path in folder.iterdir())
        return {int(number): rest for number, *rest in rows}

    try:
        with _terminable():
            folder.mkdir(exist_ok=True)
            mine.touch()
            # without torchrun nobody is killed
            while len(found := ended()) < world_size and os.getppid() == agent:
                time.sleep(0.1)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            mine.unlink(missing_ok=True)
            folder.rmdir()
        say("interrupted")
        return 130
    except OSError as error:
        say(f"{folder} cannot be written: {error.strerror}: the other processes are stopped")
        return max(status, 1)
    if threading.current_thread() is threading.main_thread():
        # the first to end must not cut off the others' last moments
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        mine.rename(f"{mine}-seen")
        if sum(len(rest) == 2 for rest in ended().values()) == world_size:
            shutil.rmtree(folder)
    return max(int(rest[0]) for rest in found.values())


@dataclass(frozen=True)
class Loaded:
    """What the reading thread found out about one input."""

    source: Source  # with its companions
    settings: dict  # options, weights, SHA-256 of the companions
    photo: Photo | None  # None: done by a former run
    former: dict | None = None  # the report of that run


def _read_ahead(load: Callable[[Source], Loaded], sources: list[Source]) -> Iterator[tuple[Source, Future]]:
    """Each source with its future, the next one being loaded meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        ahead: deque[Future] = deque()
        try:
            for index, source in enumerate(sources):
                ahead.extend(reader.submit(load, s) for s in sources[index + len(ahead) : index + 2])
                yield source, ahead.popleft()
        finally:
            reader.shutdown(wait=False, cancel_futures=True)


def _load(
    source: Source,
    stdin: bytes,
    arguments: argparse.Namespace,
    settings: dict,
    companions: dict[str, Path | None],
    commit: bool,
    max_pixels: int,
) -> Loaded:
    if source.error:
        raise PhotoError(source.error)
    data = stdin if source.path == STDIO else read_bytes(source.path)
    source = pair(source, companions)
    hashes = {}
    for role, path in source.companions.items():
        try:
            hashes[role] = sha256(read_bytes(path))
        except PhotoError as error:
            raise PhotoError(f"{role} {path}: {error}") from None
    settings = {**settings, "companions": hashes}
    if commit and not arguments.overwrite:
        former = report.done(_target(arguments.out, source, ".json"), sha256(data), settings)
        if former:
            return Loaded(source, settings, None, former)
    return Loaded(source, settings, read_photo(data, max_pixels))


def _process(
    loading: Future,
    arguments: argparse.Namespace,
    work: Callable,
    outputs: list[str],
    commit: bool,
    made: set[Path],
    program: str,
) -> tuple[str, dict]:
    """Compute and write one photo: its status and report."""
    loaded: Loaded = loading.result()
    source, photo, out = loaded.source, loaded.photo, arguments.out
    final = _target(out, source, ".json")
    if out != STDIO:
        _clear(final)
    if photo is None:
        return "skipped", loaded.former
    ending = extension(photo, arguments.format)
    layered = psd.ending(photo)
    targets = {key: _target(out, source, key.format(ext=ending, psd=layered)) for key in outputs}
    for path in (*targets.values(), *([final] if commit else [])) if out != STDIO else ():
        if path in made:
            raise PhotoError(f"{path} is already the result of another photo: give another OUT")
        if os.path.lexists(path) and not arguments.overwrite:
            raise PhotoError(f"{path} exists: give --overwrite to replace it")

    files, facts = work(photo, source)
    if files.keys() != targets.keys():
        raise TypeError(f"work gave {sorted(files)} in place of {sorted(targets)}")
    encoded: dict[Path, bytes] = {}
    for key, path in targets.items():
        if isinstance(files[key], bytes):
            encoded[path] = files[key]
        else:
            pixels, remark, *stages = files[key]
            encoded[path] = encode(
                pixels, photo, FORMATS[ending], remark, tool(program, loaded.settings["weights"], stages)
            )
    if ending == "jpg" and any("{ext}" in key for key in outputs):
        alpha = "transparency is lost" if photo.alpha is not None else ""
        jpeg = "; ".join(filter(None, ["JPEG is not lossless: undamaged pixels differ a little", alpha]))
        facts = {**facts, "warnings": [*facts.get("warnings", ()), jpeg]}
    if any("{ext}" in key for key in outputs):
        facts = {**facts, "warnings": [*facts.get("warnings", ()), *lost(photo, FORMATS[ending])]}
    contents = {path.name: data for path, data in encoded.items()}
    facts = report.build(photo, str(source), loaded.settings, contents, program, **facts)
    if out == STDIO:
        (data,) = encoded.values()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return "done", facts
    _deliver(encoded, final, report.dumps(facts, indent=2).encode(), commit, arguments.overwrite)
    made.update(encoded, [final] if commit else [])
    return "done", facts


def _part(final: Path) -> Path:
    """The hidden folder where a photo's files wait until all are written; final: its STEM.json."""
    return final.with_name(f".{final.stem}.part")


def _deliver(files: dict[Path, bytes], final: Path, facts: bytes, commit: bool, overwrite: bool) -> None:
    """Write a photo's files, all or none, STEM.json last of all if `commit`.

    They are written into a hidden folder together with the report, whose hashes tell `_clear` what is ours,
    and moved from there: a full disk loses nothing of what stood there before. PhotoError: one exists or
    cannot be written.
    """
    part, path, ready = _part(final), final, False
    try:
        part.mkdir(parents=True)
        for path, data in [*files.items(), (final, facts)]:
            write_synced(part / path.name, data)
        ready = True
        if commit and overwrite:
            final.unlink(missing_ok=True)  # until the new one stands, nothing is done
        for path in [*files, *([final] if commit else [])]:
            if os.path.lexists(path) and not overwrite:
                raise PhotoError(f"{path} exists: give --overwrite to replace it")
            os.replace(part / path.name, path)
    except BaseException as error:
        for moved in files if ready else ():
            if not (part / moved.name).exists():
                moved.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise PhotoError(f"{path} cannot be written: {error.strerror or error}") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _clear(final: Path) -> None:
    """Remove what a killed run left of this photo: the hidden folder, and files that were moved out of it
    already.

    A file is ours if it has the very bytes that the run was about to deliver; all others are the user's.
    """
    part = _part(final)
    if not part.is_dir():
        return
    # else that run got as far as to commit, or had not begun to replace a former one
    if not os.path.lexists(final):
        with contextlib.suppress(OSError, ValueError, KeyError):  # no whole report: nothing was moved yet
            for name, digest in json.loads((part / final.name).read_text("utf-8"))["outputs"].items():
                path = final.with_name(name)
                if path.is_file() and sha256(path.read_bytes()) == digest:
                    path.unlink()
    shutil.rmtree(part, ignore_errors=True)


def _target(out: Path, source: Source, suffix: str) -> Path:
    return out / f"{source.name}{suffix}"


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does, so that nothing is left half done."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there signals can be caught
        yield
        return
    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
