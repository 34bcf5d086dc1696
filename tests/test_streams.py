"""Standard streams that are closed, broken or on a full disk do not stop the work."""

import contextlib
import itertools
import json
import math
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import files
from loop import photo

from data.errors import PhotoError
from engine import streams

ROOT = Path(__file__).parent.parent
# A small command that checks where its first file landed, and prints as a native library may.
COMMAND = """
import argparse, contextlib, os, sys
sys.path[:0] = [".", "tests"]
from engine import commands, photos
from engine.inferring import check, infer_options
def work(photo, source):
    with open(os.devnull) as file:
        assert file.fileno() > 2
    with contextlib.suppress(OSError):
        os.write(2, b"stray\\n")
    return {"_restored.{ext}": photos.Picture(photo.pixels)}, {}
def infer(args):
    check(parser, args, ["_restored.{ext}"])
    return photos.run(args, photos.Job(work, ["_restored.{ext}"], {}, {}, commit=True))
parser = argparse.ArgumentParser(prog="small.py")
infer_options(parser)
parser.set_defaults(run=infer)
sys.exit(commands.run_command(parser, None))
"""
NAMES = ("a", "b", "c")
CLOSED = ("<&-", ">&-", "2>&-")
COMBINATIONS = [" ".join(some) for count in (1, 2, 3) for some in itertools.combinations(CLOSED, count)]
FULL = "No space left on device"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="no sh")
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")


@pytest.fixture
def small(tmp_path):
    """Runs the small command in a shell: words, which may redirect its streams -> status, lines of stderr."""
    for name in NAMES:
        photo(tmp_path / f"in/{name}.png")
    (tmp_path / "small.py").write_text(COMMAND)

    def run(words, unbuffered=False, **streams):
        words = words.replace("IN", f"'{tmp_path}/in'").replace("OUT", f"'{tmp_path}/out'")
        script = f"exec '{sys.executable}' '{tmp_path}/small.py' {words}"
        env = {**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        done = subprocess.run(["sh", "-c", script], cwd=ROOT, env=env, text=True, timeout=60, **pipes)
        return done.returncode, [line for line in (done.stderr or "").splitlines() if line != "stray"]

    return run


@pytest.fixture
def unread():
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def assert_all_done(folder):
    assert [name for name in files(folder) if name.endswith(".png")] == [f"{n}_restored.png" for n in NAMES]


def test_a_message_is_one_write(small, tmp_path):
    """Otherwise the lines of the processes that torchrun starts, which have no buffer, are mixed."""
    reading, writing = socket.socketpair(type=socket.SOCK_DGRAM)  # a write is one datagram
    with reading, writing:
        photo(tmp_path / "in/b.png").write_text("no image")
        status, _ = small("IN OUT", stderr=writing, unbuffered=True)
        reading.setblocking(False)
        writes = []
        with contextlib.suppress(BlockingIOError):
            while True:
                writes.append(reading.recv(65536).decode())
    assert status == 1
    lines = [text for text in writes if not text.startswith("\r")]  # the progress bar
    assert len([text for text in lines if "not an image" in text]) == 1
    assert all(text.endswith("\n") for text in lines), writes


def test_the_reader_of_a_named_pipe_gets_all_lines(small, tmp_path):
    pipe, lines = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: lines.extend(pipe.read_text().splitlines()), daemon=True)
    reader.start()
    assert small(f"IN OUT --quiet --json '{pipe}'") == (0, [])
    reader.join(10)
    assert [json.loads(line)["status"] for line in lines] == ["done"] * 3


@pytest.mark.parametrize("closed", COMBINATIONS)
def test_closed_streams(small, tmp_path, closed):
    status, said = small(f"IN OUT --quiet --json '{tmp_path}/log' {closed}")
    assert (status, said) == (0, [])
    assert_all_done(tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["done"] * 3  # and nothing stray among them


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["IN", "IN OUT --format x", "IN missing OUT"])
def test_errors_with_closed_streams(small, closed, words):
    assert small(f"{words} {closed}")[0] == (1 if "missing" in words else 2)


@needs_full
def test_messages_that_cannot_be_written(small, tmp_path, unread):
    assert small("IN OUT 2>/dev/full")[0] == 0
    assert small("IN OUT", stderr=unread)[0] == 0  # "already done" is not said
    assert small("IN missing.png OUT 2>/dev/full")[0] == 1
    assert_all_done(tmp_path / "out")


def test_a_reader_of_the_log_that_goes_away(small, tmp_path, unread):
    status, said = small("IN OUT --quiet --json -", stdout=unread)
    assert_all_done(tmp_path / "out")
    assert said == ["--json: standard output cannot be written: Broken pipe; processing continues"]
    assert status == 1


@needs_full
@pytest.mark.parametrize(
    "words, log", [("/dev/full", "/dev/full"), ("- >/dev/full", "standard output"), ("- >&-", "")]
)
def test_a_full_disk_of_the_log(small, tmp_path, words, log):
    status, said = small(f"IN OUT --quiet --json {words}")
    assert_all_done(tmp_path / "out")
    reason = f"{log} cannot be written: {FULL}" if log else "standard output is closed"
    assert said == [f"--json: {reason}; processing continues"]
    assert status == 1


def test_a_log_gets_whole_lines_only(small, tmp_path):
    """Here a limit of 1 KiB stands for a disk with so much space left."""
    log = tmp_path / "log"
    log.write_text("{}\n")
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)); "
    limit += "from engine.streams import Log; from data.errors import PhotoError\n"
    lines = f"log = Log({str(log)!r})\nlog.write('[1]\\n')\ntry:\n log.write('x' * 2000 + '\\n')\n"
    lines += "except PhotoError as error:\n print(error)\nlog.write('[2]\\n')"
    done = subprocess.run([sys.executable, "-c", limit + lines], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"--json: {log} cannot be written: File too large; processing continues\n"
    assert log.read_text() == "{}\n[1]\n"


@needs_full
@pytest.mark.parametrize(
    "target, reason", [(">&-", "is closed"), (">/dev/full", f"cannot be written: {FULL}")]
)
def test_a_result_that_cannot_be_written(small, tmp_path, target, reason):
    assert small(f"IN/a.png - {target}") == (1, [f"{tmp_path}/in/a.png: standard output {reason}"])
    assert small(f"--help {target}") == (2, [f"small.py: standard output {reason}"])


def test_a_photograph_from_a_closed_standard_input(small):
    assert small("- OUT --quiet <&-") == (1, ["stdin: standard input is closed"])


@needs_full
def test_results_of_eval_on_a_full_disk(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(PhotoError, match=f"standard output cannot be written: {FULL}"):
            streams.print_json({"score": 0.5})


def test_numbers_that_json_does_not_have_are_printed_as_null(capsys):
    streams.print_json({"psnr": math.nan, "parts": [{"a": math.inf}, 0.5]})
    assert capsys.readouterr().out == '{"psnr": null, "parts": [{"a": null}, 0.5]}\n'
