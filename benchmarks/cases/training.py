"""Training data, signals, and installation."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.cases import drawing
from benchmarks.cases.trial import Poor, Skipped, Trial, Wrong, expect, with_commands

TRAINING = "training"
SMALL = ("--width", 4, "--crop", 64, "--batch-size", 2, "--workers", 2)


def data(folder: Path, *parts: str) -> None:
    """A small data folder: three photographs in each part of clean/, masks where parts are labelled."""
    rng = np.random.default_rng(0)
    for part in parts:
        for number in range(3):
            pixels = rng.integers(60, 200, (96, 128, 3), dtype=np.uint8)
            drawing.save(folder / part / f"p{number}.png", pixels)
            if part.endswith("images"):
                mask = np.zeros((96, 128), np.uint8)
                mask[20:24] = 255
                drawing.save(folder / part.replace("images", "masks") / f"p{number}.png", mask)


def train(trial: Trial, script: str, *words):
    words = ("train", "--data", "data", "--run-dir", "run", *SMALL, *words)
    return trial.run(script, *words, timeout=600)


@with_commands(TRAINING, "SIGTERM to the whole process group, with workers")
def sigterm(trial):
    data(trial.folder / "data", "clean/people", "val/clean/people")
    words = ("colorize.py", "train", "--data", "data", "--run-dir", "run", *SMALL, "--steps", 100000)
    with trial.start(*words, stdout=subprocess.DEVNULL) as process:
        limit = time.monotonic() + 120
        log = trial.folder / "run/log.jsonl"
        while not log.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.3)
        time.sleep(3)
        expect(process.poll() is None, "did not start")
        os.killpg(process.pid, signal.SIGTERM)
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise Wrong("did not end in 60 s") from None
    expect((trial.folder / "run/last.pt").exists(), f"no checkpoint, status {process.returncode}")
    expect(process.returncode == 130, f"status {process.returncode}")
    expect(b"Traceback" not in err, "a traceback", Poor)


PAIRS = """
try:
    from data.datasets import pairs_in
except ImportError:
    from data.folder import pairs_in
from pathlib import Path
for photo, mask in pairs_in(Path("data/labelled")):
    print(Path(photo).parent.name, Path(mask).parent.name)
"""


@with_commands(TRAINING, "photographs of one name in two folders")
def equal_stems(trial):
    for name, value in (("a", 0), ("b", 255)):
        folder = trial.folder / "data/labelled"
        drawing.save(folder / f"images/{name}/IMG_1.png", drawing.ramp())
        drawing.save(folder / f"masks/{name}/IMG_1.png", np.full((90, 120), value, np.uint8))
    done = trial.run("-c", PAIRS)
    expect(done.status == 0, done.last)
    pairs = sorted(done.out.splitlines())
    expect(pairs == ["a a", "b b"], "photographs are trained with the masks of others")


@with_commands(TRAINING, "masks of another shape")
def mask_shape(trial):
    data(trial.folder / "data", "clean", "labelled/images", "val/clean", "val/labelled/images")
    for name in ("p0", "p2"):
        drawing.save(trial.folder / f"data/labelled/masks/{name}.png", np.zeros((50, 50), np.uint8))
    done = train(trial, "segment.py", "--steps", 2)
    expect(done.status != 0, "stretched without a word")
    expect(done.status == 2 and "step" not in done.out, "found after training began")
    named = ["p0.png" in done.err, "p2.png" in done.err]
    expect(all(named), "not all are named", Poor)


@with_commands(TRAINING, "truncated photographs, and hidden files of a Mac")
def broken(trial):
    data(trial.folder / "data", "clean/people", "val/clean/people")
    for number in (1, 2):
        path = trial.folder / f"data/clean/people/p{number}.png"
        path.write_bytes(path.read_bytes()[:3000])
    (trial.folder / "data/clean/people/._p0.png").write_bytes(b"\0\5\x16\7" + bytes(200))
    done = train(trial, "colorize.py", "--steps", 6)
    expect(done.status == 2, f"status {done.status}")
    expect(max(map(len, done.lines)) < 600, f"a line of {max(map(len, done.lines))} characters")
    expect("._p0" not in done.err, "a hidden file is taken for a photograph")
    expect("p1.png" in done.err and "p2.png" in done.err, "not all are named", Poor)
    expect(not (trial.folder / "run/last.pt").exists(), "found after training began", Poor)


@with_commands(TRAINING, "a run that is finished")
def finished(trial):
    data(trial.folder / "data", "clean/people", "val/clean/people")
    for _ in range(2):
        done = train(trial, "colorize.py", "--steps", 2)
        expect(done.status == 0, done.last)
        expect("finished" in done.err or "done" in done.err, "not said", Poor)
    expect(".pt" in done.err, "not said where the weights are", Poor)


@with_commands("installation", "pip install .")
def installation(trial):
    venv, copy = trial.folder / "venv", trial.folder / "checkout"
    ignored = shutil.ignore_patterns(".git", "tests", "out", "*.egg-info", "build")
    shutil.copytree(trial.checkout, copy, ignore=ignored)
    made = subprocess.run([sys.executable, "-m", "venv", venv], capture_output=True)
    if made.returncode:
        raise Skipped("no venv")
    words = [venv / "bin/python", "-m", "pip", "install", "--no-deps", "."]
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    if done.returncode:
        told = "photo-restore runs from its checkout: pip install -e ." in said
        expect(told, "fails for another reason")
        return
    words = [venv / "bin/python", "-c", "import restore; print(restore.segment.WEIGHTS.exists())"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if "site-packages" in path)}
    found = subprocess.run(words, cwd=trial.folder, capture_output=True, text=True, env=env)
    expect(found.stdout.strip() == "True", "installed without its weights")
