"""What RESULTS.md and the READMEs say is what was measured."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import record, report

ROOT = Path(__file__).parents[1]
STORED = sorted(record.RESULTS.glob("*.json"))


def test_figures_are_those_of_the_results(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["report.py", "--check"])
    assert report.main() == 0, capsys.readouterr().err


def test_a_changed_figure_is_noticed(monkeypatch, tmp_path, capsys):
    for name in ("README.md", "weights/README.md", "benchmarks/RESULTS.md"):
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
