"""The figures in the documents are those of the stored results."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import activations, record, report

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
    assert report.main() == 1
    assert "weights/README.md: differs" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["report.py"])
    assert report.main() == 0
    assert card.read_text("utf-8") == text


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_every_result_says_where_and_how(path):
    stored = json.loads(path.read_text("utf-8"))
    assert stored["benchmark"] == path.stem
    assert stored["results"]
    assert stored["hardware"]["processor"]
    assert stored["hardware"]["cores"]
    assert stored["versions"]["torch"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stored["date"])
    script = re.match(r"python (benchmarks/\w+\.py)", stored["command"])[1]
    assert (ROOT / script).exists()
    assert not re.search(r"(^| )/", stored["command"])


def test_what_was_not_measured_is_marked(monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    assert {report.block(name) for name in report.BLOCKS} == {f"*{report.MISSING}*"}
    assert report.page().count(report.MISSING) >= len(report.SECTIONS)


@pytest.fixture
def store(monkeypatch, tmp_path):
    """Stores a made-up result where there is no other; gpu: the name of the GPU that measured it."""
    monkeypatch.setattr(record, "RESULTS", tmp_path)

    def write(name, results, gpu=None):
        hardware = {"processor": "P", "cores": 2, **({"gpu": gpu} if gpu else {})}
        facts = {"command": "python x.py", "date": "2000-01-01", "versions": {"torch": "2"}}
        stored = {**facts, "hardware": hardware, "results": results}
        (tmp_path / f"{name}.json").write_text(json.dumps(stored), "utf-8")

    return write


TIMING = {"n": 5, "seconds": 0.5, "least": 0.4, "most": 0.6, "gflop": 1.0, "share": 0.7, "operators": {}}


def test_timings_of_a_gpu_are_filled_in(store):
    row = {"stage": "segment", "size": [1024, 1024], "width": 64, "precision": "fp32", **TIMING}
    store("speed_stages", {"stages": [row], "peers": []})
    assert f"| {report.MISSING} | 290 ms |" in report.block("stages")
    assert report.MISSING in report.block("throughput")
    large = {"stage": "segment", "side_px": 512, "batch": 20, "gflop_per_s": 9, **TIMING}
    half = {**row, "precision": "bf16", "seconds": 0.0123}
    store("speed_stages_gpu", {"stages": [half], "throughput": [large]}, gpu="G 100")
    assert "| bf16 12.3 (400.0 to 600.0) ms | 290 ms |" in report.block("stages")
    assert "| 70 % |" in report.block("throughput")


def test_the_largest_batch_on_a_gpu_is_filled_in(store):
    ratios = {"bytes_ratio": 0.5, "step_ratio": 1.0, "step_ratio_quartiles": [1, 1], "n": 3}
    step = {"width": 16, "side_px": 256, "batch": 4, "precision": "fp32", **ratios}
    store("activations", {"steps": [step]})
    assert f"{report.MISSING} in place" in report.block("activations")
    largest = {"in place": 30, "ordinary": 18}
    store("activations_gpu", {"steps": [step], "largest_batch": largest}, gpu="G 100")
    assert "30 in place, 18 with ordinary" in report.block("activations")
    assert "G 100" in report.page()


def test_texture_of_inpainting_is_shown_if_it_was_measured(store):
    plain = {"hole_psnr": 20.0, "hole_psnr_95": [19, 21], "hole_ssim": 0.7, "seam": 5.0, "psnr": 30.0}
    texture = {**plain, "high_frequency": 0.81}
    features = {**texture, "feature_distance": 0.333, "feature_distance_95": [0.3, 0.4]}

    def block(measures, **facts):
        bins = {f"{name}_{bin}": measures for name in ("ours", "telea") for bin in ("0_2", "2_10", "10_25")}
        absent = {f"navier_stokes_{bin}": None for bin in ("0_2", "2_10", "10_25")}
        store("quality_inpaint", {"photos": 3, **bins, **absent, **facts})
        return report.block("inpaint")

    first = block(plain)
    assert "fine detail" not in first
    assert f"| {report.MISSING} |" in first
    second = block(texture)
    assert second.startswith(first)
    assert "| 2 to 10 % | 0.81 | 0.81 |\n" in second
    third = block(features, vgg_weights="hed")
    assert "| 2 to 10 % | 0.81 | 0.81 | 0.333 (0.300 to 0.400) | 0.333 |\n" in third
    assert "--vgg-weights hed" in third


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 8, 37])
def test_the_largest_batch_is_found(limit):
    assert activations.most(lambda batch: batch <= limit) == limit


@pytest.mark.parametrize("error", ["kernels take less than INT_MAX elements", "something else"])
def test_a_batch_too_large_for_a_kernel_does_not_fit(monkeypatch, error):
    class Trainee:
        def __init__(self, norm, width, side, batch, *_):
            self.batch = batch

        def step(self):
            if self.batch > 5:
                raise RuntimeError(error)

    monkeypatch.setattr(activations, "Trainee", Trainee)
    if activations.TOO_LARGE in error:
        assert activations.largest_batch(None, None) == 5
    else:
        with pytest.raises(RuntimeError, match=error):
            activations.largest_batch(None, None)


def test_partial_convolutions_are_shown_by_device(store):
    ratios = {"ratio": 1.5, "quartiles": [1.4, 1.6]}
    row = {"network": "N", "width": 8, "side_px": 64, "batch": 2, "forward": ratios, "training": ratios}
    store("partial", [row])
    assert "| N, width 8 | CPU | 64 |" in report.block("partial")
    store("partial_gpu", [row], gpu="G 100")
    assert "| N, width 8 | GPU | 64 |" in report.block("partial")
