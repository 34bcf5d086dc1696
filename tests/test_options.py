"""Number types of the options, and the checks of those that `infer` and restore.py share."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

import pytest
from loop import command, photo

from engine import commands, inferring, options
from nets.ops.tiling import Tiling


def test_numbers():
    assert options.positive(int)("3") == 3
    assert options.positive(float)("1e-3") == 1e-3
    assert options.share("0.5") == 0.5
    assert options.loss_weight("0") == 0
    assert options.count(2)("2") == 2


@pytest.mark.parametrize(
    "parse, texts, expected",
    [
        (options.positive(int), ("0", "-1", "1.5"), "a whole number above 0"),
        (options.positive(float), ("0", "nan", "inf"), "a finite number above 0"),
        (options.auto_or_positive, ("0", "inf"), "auto or a finite number above 0"),
        (options.share, ("-0.1", "1.1", "nan"), "a number from 0 to 1"),
        (options.positive_share, ("0", "1.1", "1%"), "a number above 0 and at most 1"),
        (options.loss_weight, ("-1", "inf", "nan"), "a finite number of at least 0"),
        (options.count(2), ("1", "-3", "2.0", "\u00b2"), "a whole number of at least 2"),
        (options.threshold, ("0", "-0.1", "1.01", "nan"), "a number above 0 and at most 1 (0 would mark"),
        (options.tile_side, ("0", "1", "127", "65537", "1" + 30 * "0"), "a whole number from 128 to 65536"),
        (options.working_side, ("1", "63", "65537"), "a whole number from 64 to 65536"),
        (options.crop_side, ("0", "65537"), "a whole number from 1 to 65536"),
        (options.seed, ("-1", str(1 << 63)), "a whole number from 0 to 9223372036854775807"),
        (options.dilation, ("-1", "101", "1000000"), "a whole number from 0 to 100"),
        (options.fold, ("0/5", "6/5", "1/1", "1"), "I/N with I from 1 to N, such as 1/5"),
    ],
)
def test_what_does_not_fit_is_told_what_is_expected(parse, texts, expected):
    """Also what is no number at all."""
    for text in (*texts, "abc", "0,1", "10%", ""):
        with pytest.raises(ArgumentTypeError) as caught:
            parse(text)
        assert str(caught.value).startswith(f"{text!r} is not {expected}")


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", ""])
def test_what_is_no_device(text):
    with pytest.raises(ArgumentTypeError, match=f"{text!r} is none of auto, cpu, cuda, cuda:N, mps"):
        options.device(text)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:3", "mps"])
def test_device_names(name):
    assert options.device(name) == name


@pytest.mark.parametrize(
    "words, reason",
    [
        ([], "required: PHOTO, OUT"),
        (["a.png"], "required: OUT"),
        (["--files-from", "list"], "required: OUT"),
        (["--files-from", "gone", "out"], "--files-from: gone cannot be read: No such file"),
        (["--files-from", ".", "out"], "--files-from: . cannot be read: Is a directory"),
        (["--files-from", os.devnull, "out"], f"{os.devnull} names no photographs"),
        (["a.png", "out", "--name", "new"], "argument --name: 'new' must contain {stem}"),
        (["--files-from", "-", "-", "out"], "cannot both be standard input"),
        (["a.png", "a.png"], "a.png is a file"),
        (["a.png", "a.png/below"], "cannot be made"),
        ([".", "."], "another folder"),
        (["a.png", "-"], "one result only"),
        (["a.png", "out", "--tile", "1"], "'1' is not a whole number from 128 to 65536"),
        (["a.png", "out", "--tile", "1e3"], "whole number"),
        (["a.png", "out", "--overlap", "-1"], "--overlap"),
        (["a.png", "out", "--overlap", "513"], "at most half of --tile 1024"),
        (["a.png", "out", "--overlap", "x"], "argument --overlap: 'x' is not a whole number of at least 0"),
        (["a.png", "out", "--device", "gpu"], "'gpu' is none of"),
        (["a.png", "out", "--over"], "unrecognized"),
        (["a.png", "out", "--json", "missing/log"], "--json"),
        (["a.png", "out", "--json", "b.png"], "the name of a picture"),
        (["a.png", "out", "--json", "out/a.json"], "is where a report of a.png goes"),
        (["a.png", "out", "--json", "out/a_review.json"], "is where a report of a.png goes"),
        (["a.png", "out", "--json", "out/review.html"], "the name of a picture or page"),
        (["a.png", "out", "--json", "out/a.psd"], "the name of a picture or page"),
        (["--files-from", "list", "out", "--json", "./list"], "--json list: this run reads that file"),
        ([".", "circle"], "OUT"),
        ([".", "circle/below"], "OUT"),
    ],
)
def test_usage_errors(tmp_path, monkeypatch, capsys, words, reason):
    before = photo(tmp_path / "a.png").read_bytes()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "list").write_text("a.png\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        command(*words)
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before
    assert (tmp_path / "list").read_text() == "a.png\n"


def test_least_tile():
    """The one to which tiles are halved when memory runs out."""
    assert options.tile_side(str(Tiling.min_tile)) == Tiling.min_tile


def test_help_gives_every_default():
    parser = ArgumentParser(prog="x")
    inferring.infer_options(parser)
    actions = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    assert [o.dest for o in actions] == [
        "files_from",
        "name",
        "device",
        "precision",
        "tile",
        "overlap",
        "recursive",
        "overwrite",
        "format",
        "max_pixels",
        "json",
        "quiet",
    ]
    for option in actions:
        default = {None: "n", False: "n"}.get(option.default, option.default)  # none, no
        assert f"(default: {default}" in option.help


def test_infer_command_checks_before_it_runs(tmp_path, monkeypatch, capsys):
    parser = ArgumentParser()
    inferring = commands.infer_command(parser.add_subparsers(), lambda arguments: 7, Path("w.pt"), "_a.png")
    inferring.add_argument("--mask")
    inferring.add_argument("--probability", action="store_true")
    monkeypatch.chdir(tmp_path)
    arguments = parser.parse_args(["infer", "a.png", "out", "--mask", "m"])
    assert (arguments.run(arguments), arguments.weights, arguments.mask) == (7, Path("w.pt"), "m")
    arguments = parser.parse_args(["infer", "a.png", "-", "--weights", "x.pt", "--probability"])
    with pytest.raises(SystemExit):
        arguments.run(arguments)
    assert "one result only" in capsys.readouterr().err
