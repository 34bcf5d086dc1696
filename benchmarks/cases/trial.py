"""A list of situations, and the commands that they run.

    @on_files("TIFF", "12-bit grey", "restored")      processed together with others by one command
    def grey12(folder):
        ...                                           draws folder/grey12.tif
        done = yield ["grey12.tif"]
        expect(..., "too dark")                       looks at done.picture("grey12")

    @with_commands("Commands", "--tile 1")            starts its own commands
    def tile(trial):
        done = trial.run("restore.py", "a.png", "out", "--tile", 1)
        expect(done.status == 2, "taken")

A situation is right if its function ends, poor or wrong if it raises `Poor` or `Wrong`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 150  # s for one command


class Verdict(Exception):
    """Why a situation is not right."""


class Wrong(Verdict):
    """A wrong result, a crash, or something lost without a word."""


class Poor(Verdict):
    """A right result, but said badly or in a poor format."""


class Skipped(Verdict):
    """A program or package that the check needs is not there."""


@dataclass(frozen=True)
class Situation:
    kind: str
    name: str
    check: Callable
    batch: str = ""  # the value of --only and more options for its files; "" if it starts its own commands


SITUATIONS: list[Situation] = []


def on_files(kind: str, name: str, batch: str):
    """Registers a generator: folder -> yields names of the files it drew, gets a Batch."""
    return lambda check: SITUATIONS.append(Situation(kind, name, check, batch)) or check


def with_commands(kind: str, name: str):
    """Registers a function of a Trial."""
    return lambda check: SITUATIONS.append(Situation(kind, name, check)) or check


def expect(right, reason: str, verdict: type[Verdict] = Wrong) -> None:
    """Raises the verdict if `right` is false."""
    if not right:
        raise verdict(reason)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()

    @property
    def last(self) -> str:
        return self.lines[-1] if self.lines else "nothing said"


class Trial:
    """Runs the scripts of a checkout in a folder."""

    def __init__(self, folder: Path, checkout: Path):
        self.folder, self.checkout = folder, checkout
        folder.mkdir(parents=True, exist_ok=True)

    def words(self, *words) -> list[str]:
        script, *others = map(str, words)
        if script.endswith(".py"):
            others += [] if "--device" in others or others[:1] == ["tally"] else ["--device", "cpu"]
            return [sys.executable, str(self.checkout / script), *others]
        return [sys.executable, script, *others]

    def environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**env, "PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"}

    def start(self, *words, **popen) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
        words = self.words(*words)
        return subprocess.Popen(words, cwd=self.folder, env=self.environment(), **{**pipes, **popen})

    def run(self, *words, input: bytes = b"", timeout: float = TIMEOUT, **popen) -> Done:
        """Runs a command to its end. Raises Wrong for a traceback, an unknown option, or no end."""
        with self.start(*words, **{"stdin": subprocess.PIPE, **popen}) as process:
            try:
                out, err = process.communicate(input, timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise Wrong(f"did not end in {timeout:.0f} s") from None
        done = Done(process.returncode, (out or b"").decode(errors="replace"), (err or b"").decode())
        expect("Traceback" not in done.err, f"a traceback: {done.last}")
        expect("unrecognized arguments" not in done.err, "no such option")
        return done

    def shell(self, redirection: str, *words) -> Done:
        """Runs a command with streams that a shell redirects, such as `2>&-`."""
        program = f'exec "$@" {redirection}'
        process = subprocess.run(
            ["sh", "-c", program, "sh", *self.words(*words)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            timeout=TIMEOUT,
        )
        return Done(process.returncode, process.stdout.decode(), process.stderr.decode())


class Batch:
    """The results of one command on the files of several situations."""

    def __init__(self, trial: Trial, options: str, names: list[str]):
        only, *more = options.split()
        words = ["--only", only, *more, *(["--mask", "masks"] if only == "restored" else [])]
        photos = [f"in/{name}" for name in names]
        self.trial, self.only = trial, only
        self.done = trial.run("restore.py", *photos, "out", "--json", "log.jsonl", *words, timeout=600)
        rows = map(json.loads, (trial.folder / "log.jsonl").read_text().splitlines())
        self.rows = {Path(row["input"]["name"]).name: row for row in rows}

    def error(self, name: str) -> str:
        """Why a file failed; "" if it did not. Raises Wrong if that is a bug."""
        error = self.rows[name].get("error", "")
        expect(not error.split(":")[0].endswith(("Error", "Exception")), error)
        return error

    def picture(self, name: str) -> Path:
        """The result of a file. Raises Wrong if it failed."""
        error = self.error(name)
        expect(not error, f"refused: {error}")
        return self.trial.folder / "out" / next(n for n in self.rows[name]["outputs"] if f"_{self.only}" in n)

    def warned(self, name: str, *words: str) -> bool:
        """Whether a warning of this file has one of the words."""
        text = " ".join(self.rows[name].get("warnings", ())).lower()
        return any(word.lower() in text for word in words)
