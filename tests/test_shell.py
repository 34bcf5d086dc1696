"""The shell chapter of GUIDE.md runs as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import files, save

from data.photo import read_photo

ROOT = Path(__file__).parent.parent


def chapter():
    return re.search(
        r"<!-- tested: shell -->\n```sh\n(.*?)```", (ROOT / "GUIDE.md").read_text("utf-8"), re.DOTALL
    )[1]


@pytest.mark.skipif(os.name == "nt", reason="no sh")
@pytest.mark.skipif(not shutil.which("jq"), reason="no jq on this machine (Debian: apt-get install jq)")
def test_the_chapter(tmp_path, portrait):
    for name in ("a", "b c", "deep/d"):
        save(tmp_path / f"scans/{name}.png", portrait[:48, :64])
    (tmp_path / "scans/e.png").write_bytes(b"no picture")
    for path in (*ROOT.glob("*.py"), *(ROOT / name for name in ("data", "nets", "losses", "weights"))):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    env = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(["sh", "-euc", chapter()], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert [row["status"] for row in rows] == ["done", "done", "failed", "done"]
    failed = "scans/e.png: not an image of a known kind: save it as TIFF, PNG or JPEG, 8 or 16 bits"
    assert done.stderr.splitlines() == [failed, "some failed: 1"]
    lines = done.stdout.splitlines()
    assert lines[0] == failed
    assert lines[-1] == "0"
    large = [
        f"{row['input']['name']} {row['invented']}"
        for row in rows
        if row["status"] == "done" and row["invented"] > 0.05
    ]
    assert lines[1 : 1 + len(large)] == large
    assert [line.split(": ")[:2] for line in lines[1 + len(large) : -1]] == [
        [row["input"]["name"], "very small photograph (64 x 48 px)"]
        for row in rows
        if row["status"] == "done"
    ]
    assert {"b c_restored.png", "deep/d_restored.png"} <= set(files(tmp_path / "out"))
    assert files(tmp_path / "picked") == ["scans_b c.json", "scans_b c_restored.png"]
    assert files(tmp_path / "careful") == ["d.json", "d_restored.png"]
    assert read_photo(tmp_path / "a_restored.tif").size == (64, 48)
    assert (tmp_path / "a_mask.png").read_bytes() == (tmp_path / "out/a_mask.png").read_bytes()
