"""What the tests of the stage scripts share."""

import json

import pytest

from data import checkpoint


def command(stage, name, *words, weights=None):
    """Runs a sub-command of a stage script in this process, on the CPU; returns the exit status."""
    options = ["--weights", weights[stage.STAGE], "--device", "cpu"] if weights else []
    return stage.main([str(word) for word in (name, *words, *options)])


def evaluated(stage, data, weights, capsys, *words):
    capsys.readouterr()
    assert command(stage, "eval", "--data", data, *words, weights=weights) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1  # one JSON object on standard output
    result = json.loads(out, parse_constant=pytest.fail)
    assert result["stage"] == stage.STAGE
    assert result["weights_sha256"] == checkpoint.fingerprint(weights[stage.STAGE])
    return result
