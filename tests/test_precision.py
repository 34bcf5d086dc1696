"""--precision auto: bf16 where it is measured to be faster, and the report says which was used."""

import json

import pytest
import torch

import inpaint
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


@pytest.mark.parametrize("chosen", ["bf16", "fp32"])
def test_the_report_says_what_was_used(scan, tmp_path, run, monkeypatch, chosen):
    monkeypatch.setattr(precision, "fastest", lambda device: chosen)
    assert run(scan, tmp_path / "out", "--precision", "auto") == 0
    assert json.loads((tmp_path / "out/scan.json").read_text())["options"]["precision"] == chosen


def test_networks_take_the_format_that_was_chosen(tiny_weights, monkeypatch):
    monkeypatch.setattr(precision, "fastest", lambda device: "bf16")
    assert inpaint.load(tiny_weights["inpaint"], CPU, precision="auto").precision == "bf16"
