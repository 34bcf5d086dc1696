"""What the tests of restore.py share."""

import json

import pytest

import colorize
import inpaint
import segment
from data.photo import read_photo

ALL = ["_color", "_mask", "_restored", "_restored_color"]
STAGES = {"segment": segment, "inpaint": inpaint, "colorize": colorize}


def options(weights):
    """The words for these weights, on the CPU."""
    words = [word for stage, path in weights.items() for word in (f"--{stage}-weights", str(path))]
    return [*words, "--device", "cpu"]


def report(out, name="scan"):
    return json.loads((out / f"{name}.json").read_text("utf-8"), parse_constant=pytest.fail)


def pixels(path):
    return read_photo(path).pixels
