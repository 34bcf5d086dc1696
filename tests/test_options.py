"""Number types of the options."""

from argparse import ArgumentTypeError

import pytest

from engine import options


def test_numbers():
    assert options.positive(int)("3") == 3
    assert options.positive(float)("1e-3") == 1e-3
    assert options.share("0.5") == 0.5
    assert options.loss_weight("0") == 0
    assert options.count(2)("2") == 2


@pytest.mark.parametrize(
    "kind, text", [(int, "0"), (int, "-1"), (int, "1.5"), (float, "nan"), (float, "inf"), (float, "0")]
)
def test_what_is_not_positive(kind, text):
    with pytest.raises(ValueError):
        options.positive(kind)(text)


@pytest.mark.parametrize(
    "parse, texts",
    [
        (options.share, ("-0.1", "1.1", "nan")),
        (options.loss_weight, ("-1", "inf", "nan")),
        (options.count(2), ("1", "-3", "2.0", "")),
        (options.device, ("gpu", "cuda:", "cuda:x", "")),
    ],
)
def test_what_is_out_of_range(parse, texts):
    for text in texts:
        with pytest.raises(ArgumentTypeError, match=repr(text)):
            parse(text)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:3", "mps"])
def test_device_names(name):
    assert options.device(name) == name
