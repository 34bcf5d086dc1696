"""pip installs the checkout in place, and says so in one sentence where it is asked for more."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytest.importorskip("setuptools", "64", reason="no setuptools of version 64 or newer")


@pytest.fixture
def checkout(tmp_path):
    """What pip needs of the checkout, in a copy, since building writes into it."""
    for path in (*ROOT.glob("*.py"), *(ROOT / name for name in ("setup.cfg", "pyproject.toml", "README.md"))):
        shutil.copy(path, tmp_path)
    shutil.copy(ROOT / "LICENSE", tmp_path)
    for name in (".build", "engine", "data", "nets", "losses"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def build(checkout, call):
    """Calls a hook of the backend as pip does."""
    program = f"import sys; sys.path.insert(0, '.build'); import editable; print(editable.{call})"
    words = [sys.executable, "-c", program]
    return subprocess.run(words, cwd=checkout, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("call", ["get_requires_for_build_wheel()", "build_wheel('wheels', None, None)"])
def test_wheels_are_refused(checkout, call):
    done = build(checkout, call)
    assert done.returncode == 1
    assert done.stderr == "photo-restore runs from its checkout: pip install -e .\n"


def test_editable_wheels_are_built(checkout):
    done = build(checkout, "build_editable('.')")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(checkout / done.stdout.splitlines()[-1]) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        assert "Provides-Extra: test" in wheel.read(metadata).decode()
