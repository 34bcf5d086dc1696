"""Seeded damaged files, a short run of benchmarks/fuzz.py: each gives a photograph or one line of error."""

import io

import pytest
from PIL import Image

from benchmarks import fuzz


@pytest.fixture(scope="module")
def originals():
    return fuzz.originals()


def test_whole_files_are_read(originals):
    assert len(originals) > 25
    assert {fuzz.read(data) for _, data in originals} == {"read"}


@pytest.mark.parametrize("part", range(3))
def test_300_damaged_files_at_the_reader(originals, part):
    numbers = range(100 * part, 100 * part + 100)
    results = [fuzz.read(fuzz.mutation(originals, number)[1]) for number in numbers]
    assert results.count("read") > 10  # the damage is not too heavy
    assert results.count("refused") > 10  # nor too light


def test_30_damaged_files_through_the_command(originals, tmp_path, tiny_weights):
    words = [word for stage, path in tiny_weights.items() for word in (f"--{stage}-weights", str(path))]
    counts, faults = fuzz.command(
        originals[:-2], range(30), tmp_path, [*words, "--device", "cpu", "--no-tta"]
    )
    assert faults == []
    assert counts["done"] > 3
    assert counts["failed"] > 3


def test_the_same_number_is_the_same_file(originals):
    mutated = fuzz.mutation(originals, 7, seed=1)
    assert mutated == fuzz.mutation(fuzz.originals(), 7, seed=1)
    assert mutated != fuzz.mutation(originals, 7, seed=2)


def test_the_files_do_not_depend_on_the_time(originals):
    """Little CMS writes the time into a color profile."""
    profiles = [Image.open(io.BytesIO(data)).info.get("icc_profile") for _, data in originals]
    years = {int.from_bytes(profile[24:26], "big") for profile in profiles if profile}
    assert years == {0, 2000}  # removed here; constant in profiles that data/color.py makes


@pytest.mark.parametrize(("ticks", "slowest"), [([0, 1, 1, 5, 5, 6], (4, 1)), ([0] * 6, (0, None))])
def test_faults_and_the_slowest_file_are_named(monkeypatch, ticks, slowest):
    results, clock = iter(["read", ValueError("oops"), "refused"]), iter(ticks)

    def read(data):
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(fuzz, "read", read)
    monkeypatch.setattr(fuzz.time, "perf_counter", lambda: next(clock))
    counts, faults, found = fuzz.read_all([("png", b"data")], range(3), seed=0)
    assert counts == {"read": 1, "refused": 1}
    assert faults == ["1: ValueError: oops"]
    assert found == slowest
