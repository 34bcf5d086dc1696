"""Scripts for limited GPU time: what they pack, and that they go on where they stopped."""

import json
import sys

import pytest
from PIL import Image

from benchmarks import gpu, train_on_gpu
from data.folder import images_in


def run(module, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", [module.__file__, *map(str, words)])
    return module.main()


@pytest.fixture
def packed(data_folder, tmp_path, monkeypatch, capsys):
    assert run(train_on_gpu, monkeypatch, "pack", "segment", data_folder, tmp_path / "packed") == 0
    return tmp_path / "packed"


def test_a_small_folder_is_packed_whole(data_folder, packed):
    for part in ("clean", "labelled", "textures", "val/labelled"):
        before, after = (
            [path.relative_to(folder).with_name(path.name.split(".")[0]) for path in images_in(folder / part)]
            for folder in (data_folder, packed)
        )
        assert before == after, part


def test_files_of_one_stem_stay_two(tmp_path, portrait):
    Image.fromarray(portrait).save(tmp_path / "a.png")
    Image.fromarray(portrait).save(tmp_path / "a.bmp")
    assert train_on_gpu.pack_photos(images_in(tmp_path), tmp_path, tmp_path / "packed", 1e6) == 2
    assert [path.name for path in images_in(tmp_path / "packed")] == ["a.bmp.webp", "a.png.webp"]


def test_a_pack_keeps_its_size(data_folder, tmp_path, monkeypatch, capsys):
    others = train_on_gpu.size(data_folder) - train_on_gpu.size(data_folder / "clean")
    most = (others + 12_000) / 1e6
    words = ["pack", "segment", data_folder, tmp_path / "small", "--megabytes", most]
    assert run(train_on_gpu, monkeypatch, *words) == 0
    assert train_on_gpu.size(tmp_path / "small") <= most * 1e6
    assert 0 < len(images_in(tmp_path / "small/clean")) < len(images_in(data_folder / "clean"))


def test_a_folder_that_is_not_empty_is_left_alone(data_folder, packed, monkeypatch, capsys):
    before = train_on_gpu.size(packed)
    assert run(train_on_gpu, monkeypatch, "pack", "segment", data_folder, packed) == 2
    assert "is not empty" in capsys.readouterr().err
    assert train_on_gpu.size(packed) == before


def test_a_packed_folder_trains_for_its_minutes(packed, tmp_path, monkeypatch):
    words = ["--minutes", 0.01, "--device", "cpu", "--workers", 0]
    words += ["--width", 4, "--crop", 64, "--batch-size", 2]
    assert run(train_on_gpu, monkeypatch, "train", "segment", packed, tmp_path / "run", *words) == 0
    assert list((tmp_path / "run").glob("best-*.pt"))


@pytest.fixture
def three_parts(tmp_path, monkeypatch):
    """Parts that print JSON, print something else, and fail until `ready` exists."""
    ready = tmp_path / "ready"
    fails = f"import os, sys; print('[1]'); sys.exit(not os.path.exists({str(ready)!r}))"
    commands = {
        "json": [sys.executable, "-c", "print('{\"seconds\": 2}')"],
        "text": [sys.executable, "-c", "print('3 passed')"],
        "fails": [sys.executable, "-c", fails],
    }
    monkeypatch.setattr(gpu, "parts", lambda device, small: commands)
    return ready


def test_results_are_kept_and_only_the_rest_is_done_again(three_parts, tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    assert run(gpu, monkeypatch, out) == 1
    first = json.loads(out.read_text())
    assert first["json"]["result"] == {"seconds": 2}
    assert first["text"]["output"] == "3 passed\n"
    assert first["fails"]["status"] == 1
    assert "not done: fails" in capsys.readouterr().err
    three_parts.touch()
    assert run(gpu, monkeypatch, out) == 0
    second = json.loads(out.read_text())
    assert second["json"] == first["json"]
    assert second["fails"]["result"] == [1]


def test_no_part_begins_without_time(three_parts, tmp_path, monkeypatch, capsys):
    assert run(gpu, monkeypatch, tmp_path / "gpu.json", "--minutes", 0.1) == 1
    assert "not done: json, text, fails" in capsys.readouterr().err
