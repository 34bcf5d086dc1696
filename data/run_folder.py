"""The run folder, which is the whole state of a training run.

args.json       options, version, commit
log.jsonl       a line at step 1 and every 50th step, and one for each evaluation
curves.png      the losses and scores in the log
samples/*.png   fixed validation photographs: input | prediction | truth
last.pt         checkpoint from which the same command resumes
best-STEP.pt    the best weights by validation, ready for `infer`
"""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data import checkpoint
from data.errors import UserError
from data.files import append, lock_folder, unlock, write_together, write_whole
from data.photo import encode
from data.pixels import rgb8
from data.report import finite

NO_LOSSES = ("step", "lr", "samples_per_s", "waiting_s", "memory_mb")  # entries of the log that are no losses
COLORS = ("#1f6fb2", "#d1552c", "#3a8f4d", "#8a5cb8", "#9a8323", "#555555")


class RunFolder:
    """One process's access to a run folder, which is made if missing, until it is closed.

    writes: True for one process; the others may call the same methods, which then do nothing.
    taken: whether another run has locked the folder; then it must not be used.
    """

    def __init__(self, path: Path, writes: bool):
        self.path, self.writes = Path(path), writes
        self.last, self.log_file = self.path / "last.pt", self.path / "log.jsonl"
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--run-dir {self.path} is a file: give a folder")
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock = lock_folder(self.path) if writes else None
        self.taken = writes and self.lock is None

    def close(self) -> None:
        if self.lock is not None:
            unlock(self.lock)
            self.lock = None

    def has_results(self) -> bool:
        """Whether it has weights of a run that took steps; best-0.pt are those that a run started from."""
        return any(path.name != "best-0.pt" for path in self.weights_files())

    def weights_files(self) -> list[Path]:
        """The weights files of runs. Copies under other names belong to the user."""
        return [path for path in self.path.glob("best-*.pt") if re.fullmatch(r"best-\d+\.pt", path.name)]

    def begin(self, content: dict) -> None:
        """Writes args.json and an empty log. Raises UserError, also in place of replacing other files."""
        if self.writes:
            self._refuse_foreign()
            text = json.dumps({**content, "commit": commit()}, indent=2) + "\n"
            write_together({self.path / "args.json": text.encode(), self.log_file: b""}, overwrite=True)

    def _refuse_foreign(self) -> None:
        if "stage" not in read_options(self.path):  # which a run writes first
            for name in ("args.json", "log.jsonl", "curves.png", "samples"):
                if (self.path / name).exists():
                    raise UserError(f"{self.path / name} is not of a training run: give another --run-dir")

    def go_on(self, done: int, evaluated: bool) -> None:
        """Removes log lines after the step to resume from, and temporary files, that a killed process
        left. evaluated: whether this step was; otherwise its evaluation is removed too.
        """
        if self.writes:
            rows = [row for row in read_log(self.path) if row["step"] <= done]
            rows = [row for row in rows if evaluated or row["step"] < done or "score" not in row]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            write_whole(self.log_file, lines.encode(), overwrite=True)
            for path in self.path.glob(".*.tmp"):
                path.unlink(missing_ok=True)

    def log(self, **entry) -> None:
        """Appends a line to log.jsonl and prints it to standard error; closes the file, so that a kill loses
        nothing.
        """
        if self.writes:
            rounded = {name: round(x, 6) if isinstance(x, float) else x for name, x in finite(entry).items()}
            line = json.dumps(rounded)
            print(line, file=sys.stderr, flush=True)
            append(self.log_file, f"{line}\n".encode())

    def save(self, content: dict) -> None:
        """Writes last.pt, and then removes all best-STEP.pt not named by content["best"], [(score, name)].

        In this order, so that last.pt names no missing file even if the process is killed in between.
        """
        if self.writes:
            checkpoint.save(self.last, content)
            names = {name for _, name in content["best"]}
            for path in self.weights_files():
                if path.name not in names:
                    path.unlink()

    def save_weights(self, name: str, content: Callable[[], dict]) -> None:
        """Writes the weights `content()` as `name`."""
        if self.writes:
            checkpoint.save(self.path / name, content())

    def draw(self, samples: dict) -> None:
        """Draws curves.png and samples/NAME.png.

        samples: name -> (input, prediction, truth), pictures of one height.
        """
        if self.writes:
            _write_png(self.path / "curves.png", curves(read_log(self.path)))
            for name, pictures in samples.items():
                strip = np.hstack([rgb8(picture) for picture in pictures])
                _write_png(self.path / "samples" / f"{name}.png", strip)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    write_whole(path, encode(pixels, None, "PNG"), overwrite=True)


def read_options(path: Path) -> dict:
    """The contents of args.json; {} if there is none. Raises UserError if it is damaged."""
    file = Path(path) / "args.json"
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{file}: damaged: give another --run-dir")
    return content


def check_stage(path: Path, former: str, stage: str) -> None:
    """Raises UserError if the run folder `path` belongs to another stage."""
    if former != stage:
        raise UserError(f"{path} is a run of {former}: give another --run-dir")


def read_log(path: Path) -> list[dict]:
    """The lines of log.jsonl, without what is no line of a run: a kill cuts the last one short, and other
    programs may have written to the file. [] if there is no log.
    """
    rows = []
    try:
        lines = (Path(path) / "log.jsonl").read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int)]


def commit() -> str | None:
    """The commit of this source tree, 40 digits, with a + if the tree has changes.

    None outside a repository or without git.
    """
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def curves(rows: list[dict]) -> np.ndarray:
    """The log as a picture, (720, 900, 3) uint8: above, all losses over the steps; below, the score of each
    evaluation.
    """
    logged = [row for row in rows if "loss" in row]
    names = [name for name in (logged[0] if logged else {}) if name not in NO_LOSSES]
    losses = {name: [(row["step"], row.get(name)) for row in logged] for name in names}
    scores = {"score": [(row["step"], row["score"]) for row in rows if "score" in row]}
    sheet = Image.new("RGB", (900, 720), "white")
    last_step = max([1, *(row["step"] for row in rows)])
    for top, series in ((10, losses), (370, scores)):
        _panel(ImageDraw.Draw(sheet), top, series, last_step)
    return np.asarray(sheet)


def _panel(draw, top: int, series: dict, last_step: int) -> None:
    """Draws one diagram of 900 x 340 px at `top`. series: name -> [(step, value or None)]."""
    font = ImageFont.load_default(14)
    left, right, bottom = 80, 880, top + 310
    series = {name: [(x, y) for x, y in points if y is not None] for name, points in series.items()}
    values = [y for points in series.values() for _, y in points]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = (high - low) or abs(high) or 1.0
    low, high = low - 0.05 * span, high + 0.05 * span

    def place(x, y):
        return left + (right - left) * x / last_step, bottom - (bottom - top) * (y - low) / (high - low)

    for part in range(5):
        y = low + (high - low) * part / 4
        draw.line([place(0, y), place(last_step, y)], "#dddddd")
        draw.text((left - 6, place(0, y)[1]), f"{y:.4g}", "#444444", font, "rm")
        x = last_step * part / 4
        draw.text((place(x, low)[0], bottom + 4), f"{x:.0f}", "#444444", font, "ma")
    for number, (name, points) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        if len(points) > 1:
            draw.line([place(*point) for point in points], color, 2)
        for x, y in (place(*point) for point in points):
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), color)
        draw.text((right - 6, top + 4 + 18 * number), name, color, font, "ra")
