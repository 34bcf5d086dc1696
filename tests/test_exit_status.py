"""Under torchrun, all processes wait for each other and exit with the same status."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loop import photo

RANK = """
import os, sys, time
sys.path.insert(0, "tests")
from engine import photos
from loop import command, same
rank, slow = int(os.environ["RANK"]), float(sys.argv[1])
def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")  # one write: print makes two without a buffer
    sys.stdout.flush()
def work(photo, source):
    if rank == 0:
        open(os.path.join(os.path.dirname(sys.argv[2]), "started"), "w").close()
        time.sleep(slow)
    say("computed", source.name)
    return same(photo, source)
status = command(*sys.argv[2:], "--quiet", work=work)
if rank == 0:
    time.sleep(1.0)  # the other has ended by then, and torchrun kills those that are left
say("ended", rank, status)
sys.exit(status)
"""
# Rank 1 dies at its first start, once the other has nothing left to do but wait for it
DIES = """
if rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    while not os.path.exists(os.path.join(sys.argv[3], "c.json")):
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(os.getpid(), 9)
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def program(tmp_path, slow, text=RANK):
    """The words of a command that processes tmp_path/in, `slow` seconds for each photograph of rank 0."""
    (tmp_path / "rank.py").write_text(text)
    return [str(word) for word in (tmp_path / "rank.py", slow, tmp_path / "in", tmp_path / "out")]


def start(words, **environment):
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *words], cwd=root, env=environment, **pipes)


def both(*programs):
    """Two processes with the environment that torchrun gives them, the first of which holds the store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    return [start(words, RANK=str(rank), MASTER_PORT=port, **launch) for rank, words in enumerate(programs)]


def results(stems):
    return [f"{stem}{end}" for stem in stems for end in (".json", "_mask.png", "_restored.png")]


@pytest.mark.skipif(os.name == "nt", reason="torchrun without signals")
def test_a_process_that_ends_early_with_a_failure_leaves_the_others_alone(tmp_path):
    """The photos of rank 1 are broken. Without waiting, torchrun would stop rank 0 when rank 1 has failed."""
    for name in "ace":
        photo(tmp_path / f"in/{name}.png")
    for name in "bdf":
        photo(tmp_path / f"in/{name}.png").write_text("no image")
    with start([*TORCHRUN, *program(tmp_path, 0.5)]) as process:
        output, error = process.communicate(timeout=120)
    done = [f"computed {name}" for name in "ace"]
    assert sorted(output.splitlines()) == [*done, "ended 0 1", "ended 1 1"], error
    assert process.returncode == 1
    assert error.count("not an image") == 3
    assert sorted(os.listdir(tmp_path / "out")) == results("ace")


@pytest.mark.skipif(os.name == "nt", reason="torchrun without signals")
def test_a_process_that_dies_does_not_leave_the_others_waiting(tmp_path):
    """And after a restart nothing of the first start is taken for a status of the second."""
    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
    text = RANK.replace("def work", f"{DIES}def work")
    with start([*TORCHRUN, "--max-restarts=1", *program(tmp_path, 0, text)]) as process:
        output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    ends = [line for line in output.splitlines() if line.startswith("ended")]
    assert ends[0] == "ended 0 130"  # torchrun stops the one that waits
    assert sorted(ends[1:]) == ["ended 0 0", "ended 1 0"]
    assert sorted(os.listdir(tmp_path / "out")) == results("abc")


def test_all_processes_end_well_together(tmp_path):
    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
    processes = both(*[program(tmp_path, 0.1)] * 2)
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [output.splitlines()[-1] for output in outputs] == ["ended 0 0", "ended 1 0"]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(os.listdir(tmp_path / "out")) == results("abc")  # and no file to agree by


def test_a_process_that_stops_by_an_error_says_so_to_the_others(tmp_path):
    photo(tmp_path / "in/a.png")
    photo(tmp_path / "in/b.png")
    (tmp_path / "other").mkdir()
    text = RANK.replace("def work", "photos.pairing.check = None\ndef work")
    broken = program(tmp_path / "other", 0, text)[:1]
    words = program(tmp_path, 0)
    whole, broken = both(words, broken + words[1:])
    assert whole.communicate(timeout=60)[0].splitlines() == ["computed a", "ended 0 2"]
    assert "TypeError" in broken.communicate(timeout=60)[1]


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_sigterm_ends_one_that_waits(tmp_path):
    for name in "abc":
        photo(tmp_path / f"in/{name}.png")
    processes = both(*[program(tmp_path, 60)] * 2)
    end = time.monotonic() + 60
    while not ((tmp_path / "out/b.json").exists() and (tmp_path / "started").exists()):
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)  # rank 1 waits by now
    for process in reversed(processes):  # rank 0 holds the store
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[1] == "interrupted\n"
        assert process.returncode == 130
    assert sorted(os.listdir(tmp_path / "out")) == results("b")


@pytest.mark.parametrize("world", [1, 2])
def test_a_program_under_torchrun_ends_before_torch_is_unloaded(world):
    """A thread of gloo that outlives the interpreter would abort it, and torchrun take that for a failure."""
    text = "import atexit; from engine.launch import leave; atexit.register(print, 'unloaded'); "
    text += "print('done'); leave(3)"
    variables = {"WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "none"}
    ended = subprocess.run(
        [sys.executable, "-c", text],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 3
    assert ended.stdout == ("done\n" if world > 1 else "done\nunloaded\n")
