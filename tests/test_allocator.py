"""glibc keeps freed memory: few page faults when large blocks are allocated again and again."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from engine import allocator

CODE = """
import ctypes, resource, sys
from engine.allocator import keep_freed_memory
if sys.argv[1:]:
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block = bytearray(100 << 20)
before = faults()
for _ in range(10):
    del block
    block = bytearray(100 << 20)
    block[:: 4096] = b"1" * len(block[:: 4096])
print(faults() - before)
"""


def faults(*words, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(os, "confstr") or not allocator.is_glibc(), reason="another C library")
def test_freed_blocks_are_used_again():
    """Ten blocks of 100 MB have 256,000 pages."""
    usual = faults()
    assert usual > 200_000
    assert faults("keep") < 0.1 * usual
    assert faults("keep", MALLOC_TOP_PAD_="131072") > 0.9 * usual  # the user's own settings


def test_nothing_happens_without_glibc(monkeypatch):
    def refused(*_):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", refused, raising=False)
    monkeypatch.setattr("ctypes.CDLL", refused)
    allocator.keep_freed_memory()
    monkeypatch.delattr(os, "confstr")
    allocator.keep_freed_memory()
