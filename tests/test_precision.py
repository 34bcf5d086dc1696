"""--precision auto: bf16 where it is measured to be faster, and the report says which was used."""

import json

import pytest
import torch
from conftest import save, square
from stages import command

import colorize
import inpaint
import segment
from nets.ops import precision
from nets.ops.precision import fastest, number_format

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def measured_anew():
    fastest.cache_clear()
    yield
    fastest.cache_clear()


@pytest.mark.parametrize("share, expected", [(0.4, "bf16"), (0.9, "fp32"), (10, "fp32")])
def test_bf16_is_taken_only_where_it_pays(monkeypatch, share, expected):
    times = {"fp32": 1.0, "bf16": share}
    monkeypatch.setattr(precision, "_seconds", lambda x, kernel, name: times[name])
    assert number_format("auto", CPU) == expected


def test_the_measurement_is_real_and_made_once(monkeypatch):
    first = number_format("auto", CPU)
    assert first in ("fp32", "bf16")
    monkeypatch.setattr(precision, "_seconds", None)
    assert number_format("auto", CPU) == first


def test_without_auto_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(precision, "_seconds", None)
    assert [number_format(name, CPU) for name in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]


def test_the_report_says_what_was_used_and_another_measurement_repeats_nothing(
    scan, tmp_path, run, monkeypatch, capsys
):
    out, report = tmp_path / "out", tmp_path / "out/scan.json"
    monkeypatch.setattr(precision, "fastest", lambda device: "bf16")
    assert run(scan, out, "--precision", "auto") == 0
    before = report.read_text()
    assert json.loads(before)["options"]["precision"] == "auto"
    assert json.loads(before)["number_format"] == "bf16"
    monkeypatch.setattr(precision, "fastest", lambda device: "fp32")
    capsys.readouterr()
    assert run(scan, out, "--precision", "auto") == 0
    assert "1 photograph skipped (already done)" in capsys.readouterr().err
    assert report.read_text() == before


@pytest.mark.parametrize("chosen", ["bf16", "fp32"])
@pytest.mark.parametrize("stage", [segment, inpaint, colorize], ids=lambda stage: stage.STAGE)
def test_a_line_of_a_stage_says_it_too(scan, tmp_path, tiny_weights, monkeypatch, stage, chosen):
    monkeypatch.setattr(precision, "fastest", lambda device: chosen)
    words = ["--precision", "auto", "--json", tmp_path / "log"]
    words += ["--mask", save(tmp_path / "mask.png", square())] if stage is inpaint else []
    assert command(stage, "infer", scan, tmp_path / "out", *words, weights=tiny_weights) == 0
    assert json.loads((tmp_path / "log").read_text())["number_format"] == chosen


def test_networks_take_the_format_that_was_chosen(tiny_weights, monkeypatch):
    monkeypatch.setattr(precision, "fastest", lambda device: "bf16")
    assert inpaint.load(tiny_weights["inpaint"], CPU, precision="auto").precision == "bf16"
