"""The figures in the documents are those of the stored results."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import record, report
from benchmarks.activations import most

ROOT = Path(__file__).parents[1]
STORED = sorted(record.RESULTS.glob("*.json"))


def test_figures_are_those_of_the_results(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["report.py", "--check"])
    assert report.main() == 0, capsys.readouterr().err


def test_a_changed_figure_is_noticed(monkeypatch, tmp_path, capsys):
    for name in (*report.DOCUMENTS, "benchmarks/RESULTS.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["report.py", "--check"])
    assert report.main() == 0
    card = tmp_path / "weights/README.md"
    text = card.read_text("utf-8")
    begin = text.index("<!-- figures: segment -->")
    number = re.compile(r"0\.\d{3}").search(text, begin)
    card.write_text(text[: number.start()] + "0.999" + text[number.end() :], "utf-8")
    assert report.main() == 1 and "weights/README.md: differs" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["report.py"])
    assert report.main() == 0 and card.read_text("utf-8") == text


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_every_result_says_where_and_how(path):
    stored = json.loads(path.read_text("utf-8"))
    assert stored["benchmark"] == path.stem and stored["results"]
    assert stored["hardware"]["processor"] and stored["hardware"]["cores"] and stored["versions"]["torch"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stored["date"])
    script = re.match(r"python (benchmarks/\w+\.py)", stored["command"])[1]
    assert (ROOT / script).exists() and not re.search(r"(^| )/", stored["command"])


def test_what_was_not_measured_is_marked(monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    assert {report.block(name) for name in report.BLOCKS} == {f"*{report.MISSING}*"}
    assert report.page().count(report.MISSING) >= len(report.SECTIONS)


def test_figures_of_a_gpu_are_filled_in(monkeypatch, tmp_path):
    """The stored files are of the CPU until somebody has a GPU: what one would measure is made up here."""
    monkeypatch.setattr(record, "RESULTS", tmp_path)

    def store(name, results, **hardware):
        facts = {
            "command": "python x.py",
            "date": "2000-01-01",
            "versions": {"torch": "2"},
            "hardware": {"processor": "P", "cores": 2, **hardware},
        }
        (tmp_path / f"{name}.json").write_text(json.dumps({**facts, "results": results}), "utf-8")

    timing = {"n": 5, "seconds": 0.5, "least": 0.4, "most": 0.6, "gflop": 1.0, "share": 0.7, "operators": {}}
    row = {"stage": "segment", "size": [1024, 1024], "width": 64, "precision": "fp32", **timing}
    store("speed_stages", {"stages": [row], "peers": []})
    assert f"| {report.MISSING} | 290 ms |" in report.block("stages") and report.MISSING in report.block(
        "throughput"
    )
    large = {"stage": "segment", "side_px": 512, "batch": 20, "gflop_per_s": 9, **timing}
    store(
        "speed_stages_gpu",
        {"stages": [{**row, "precision": "bf16", "seconds": 0.0123}], "throughput": [large]},
        gpu="G 100",
    )
    assert "| bf16 12.3 (400.0 to 600.0) ms | 290 ms |" in report.block(
        "stages"
    ) and "| 70 % |" in report.block("throughput")
    step = {
        "width": 16,
        "side_px": 256,
        "batch": 4,
        "precision": "fp32",
        "bytes_ratio": 0.5,
        "step_ratio": 1.0,
        "step_ratio_quartiles": [1, 1],
        "n": 3,
    }
    store("activations", {"steps": [step]})
    assert f"{report.MISSING} in place" in report.block("activations")
    store(
        "activations_gpu", {"steps": [step], "largest_batch": {"in place": 30, "ordinary": 18}}, gpu="G 100"
    )
    assert "30 in place, 18 with ordinary" in report.block("activations") and "G 100" in report.page()


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 8, 37])
def test_the_largest_batch_is_found(limit):
    assert most(lambda batch: batch <= limit) == limit
