"""Damaged files, seeded: each becomes a photograph or one line of error. The long form is
benchmarks/fuzz.py.
"""

import pytest

from benchmarks import fuzz


@pytest.fixture(scope="module")
def originals():
    return fuzz.originals()


def test_whole_files_are_read(originals):
    assert len(originals) > 25 and {fuzz.read(data) for _, data in originals} == {"read"}


@pytest.mark.parametrize("part", range(3))
def test_300_damaged_files_at_the_reader(originals, part):
    results = [
        fuzz.read(fuzz.mutation(originals, number)[1]) for number in range(100 * part, 100 * part + 100)
    ]
    # the damage is neither too light nor too heavy
    assert results.count("read") > 10 and results.count("refused") > 10


def test_30_damaged_files_through_the_command(originals, tmp_path, tiny_weights):
    words = [word for stage, path in tiny_weights.items() for word in (f"--{stage}-weights", str(path))]
    counts, faults = fuzz.command(
        originals[:-2], range(30), tmp_path, [*words, "--device", "cpu", "--no-tta"]
    )
    assert faults == [] and counts["done"] > 3 and counts["failed"] > 3


def test_the_same_number_is_the_same_file(originals):
    assert (
        fuzz.mutation(originals, 7, 1)
        == fuzz.mutation(fuzz.originals(), 7, 1)
        != fuzz.mutation(originals, 7, 2)
    )
