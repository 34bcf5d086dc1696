"""The inpaint stage: odd masks, and its contact sheet."""

import json
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import files, save, square
from PIL import Image

import inpaint
from data import checkpoint
from data.photo import read_photo
from data.sheet import GAP, LINE

CPU = torch.device("cpu")


def command(name, *words, weights=None):
    options = ["--weights", weights["inpaint"], "--device", "cpu"] if weights else []
    return inpaint.main([str(word) for word in (name, *words, *options)])


def inferred(capsys, tmp_path, weights, *words):
    """(exit status, rows of --json by photo, what was said) of `infer`."""
    status = command("infer", tmp_path / "in", tmp_path / "out", "--json", "-", *words, weights=weights)
    out, error = capsys.readouterr()
    return (
        status,
        {row["input"]["name"].split("/")[-1]: row for row in map(json.loads, out.splitlines())},
        error,
    )


def test_empty_and_full_masks(tmp_path, portrait, tiny_weights, capsys):
    """Nothing to paint: the very pixels, and it is said. Nothing but holes: an error of this photo alone."""
    full = np.full((48, 64), 255, np.uint8)
    for name, mask in (("a", full * 0), ("b", full), ("c", square())):
        save(tmp_path / f"in/{name}.png", portrait[:48, :64])
        save(tmp_path / f"masks/{name}.png", mask)
    status, rows, error = inferred(capsys, tmp_path, tiny_weights, "--mask", tmp_path / "masks", "--quiet")
    assert status == 1
    assert files(tmp_path / "out") == ["a_restored.png", "c_restored.png"]
    assert (
        error
        == f"{tmp_path}/in/b.png: the mask covers the whole photograph: there is nothing to continue from\n"
    )
    assert rows["a.png"]["warnings"] == ["the mask is empty: nothing was painted"]
    assert rows["a.png"]["invented"] == 0
    assert rows["c.png"]["warnings"] == []
    assert rows["b.png"]["status"] == "failed"
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a_restored.png").pixels, portrait[:48, :64])


def test_ignore_in_a_mask_is_nothing_to_paint(tiny_weights):
    painter = inpaint.load(tiny_weights["inpaint"], CPU)
    mask = np.full((20, 30), 128, np.uint8)
    assert painter.check(mask) == ["the mask is empty: nothing was painted"]
    assert painter.check(mask, given=False) == ["no damage was found: nothing was painted"]
    mask[:, 1:] = 255  # one column is left to continue from
    assert len(painter.check(mask)) == 1
    assert "check the repair" in painter.check(mask)[0]


def test_more_holes_than_in_training_are_reported(tmp_path, portrait, tiny_weights, capsys):
    save(tmp_path / "in/x.png", portrait[:48, :64])
    save(tmp_path / "m.png", square(box=np.s_[:24, :40]))
    content = checkpoint.read(tiny_weights["inpaint"])
    for settings, said in (
        ({"hole_share": [0.01, 0.25]}, True),
        ({"hole_share": [0.01, 0.4]}, False),
        ({}, False),
    ):
        checkpoint.save(tmp_path / "w.pt", {**content, "infer": settings})
        words = ["--mask", tmp_path / "m.png", "--overwrite"]
        status, rows, _ = inferred(capsys, tmp_path, {"inpaint": tmp_path / "w.pt"}, *words)
        expected = ["holes cover 31.2% of the photograph, more than in training (25.0%): check the repair"]
        assert status == 0
        assert rows["x.png"]["warnings"] == expected * said


class Recorder(torch.nn.Module):
    """Paints 0.5 and records the size of every tile that it sees."""

    size_divisor = 8
    sizes: ClassVar = []  # of the class, because a painter works with a copy

    def forward(self, picture, mask):
        self.sizes.append(tuple(picture.shape[-2:]))
        return torch.full_like(picture, 0.5)


@pytest.mark.parametrize("pixels, less, largest", [(0, 512, 640), (-1, 256, 512)])
def test_large_photographs_are_painted_in_smaller_tiles(monkeypatch, pixels, less, largest):
    """Above LARGE pixels, 16 million, tiles have at most 512 px, whatever was asked for."""
    assert inpaint.LARGE == 16_000_000
    grey, mask = np.full((600, 700), 0.5, np.float32), np.zeros((600, 700), np.uint8)
    mask[::40, ::40] = 255
    monkeypatch.setattr(inpaint, "LARGE", grey.size + pixels)
    monkeypatch.setattr(Recorder, "sizes", [])
    painter = inpaint.Painter(Recorder(), CPU, tile=640, overlap=128, grain=False)
    np.testing.assert_allclose(painter.grey(grey, mask), 0.5, atol=1e-6)
    assert less < max(max(size) for size in Recorder.sizes) <= largest


def cells(sheet, count, width):
    return [sheet[:, index * (width + GAP) : index * (width + GAP) + width] for index in range(count)]


@pytest.fixture
def drawn(data_folder, tmp_path, tiny_weights):
    def run(*words):
        return command(
            "sheet",
            "--data",
            data_folder,
            tmp_path / "sheet.png",
            "--cell",
            200,
            *words,
            weights=tiny_weights,
        )

    return run


def test_sheet_shows_photo_mask_telea_and_ours(data_folder, tmp_path, drawn):
    pytest.importorskip("cv2")
    assert drawn() == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 4 * 200 + 3 * GAP
    photo, mask, telea, ours = (cell[2 * LINE : 2 * LINE + 64, :64, 0] for cell in cells(sheet, 4, 200))
    np.testing.assert_array_equal(photo, read_photo(data_folder / "val/labelled/images/v.png").pixels)
    np.testing.assert_array_equal(mask, np.asarray(Image.open(data_folder / "val/labelled/masks/v.png")))
    for painted in (telea, ours):
        assert (painted[mask != 255] == photo[mask != 255]).all()
        assert (painted[mask == 255] != photo[mask == 255]).any()
    assert (telea != ours).any()


def test_sheet_is_replaced_only_when_asked(tmp_path, drawn, capsys, monkeypatch):
    (tmp_path / "sheet.png").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(inpaint, "load", pytest.fail)  # it is known before anything is painted
        assert drawn() == 2
        assert (tmp_path / "sheet.png").read_text() == "mine"
    error = capsys.readouterr().err
    assert "--overwrite" in error
    assert error.count("\n") == 1
    assert drawn("--overwrite") == 0
    assert Image.open(tmp_path / "sheet.png").size[0] > 800


def test_sheet_without_opencv_says_so(tmp_path, drawn, monkeypatch):
    pytest.importorskip("cv2")
    assert drawn() == 0
    there = np.asarray(Image.open(tmp_path / "sheet.png"))
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert drawn("--overwrite") == 0
    absent = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert there.shape == absent.shape
    same = [np.array_equal(a, b) for a, b in zip(cells(there, 4, 200), cells(absent, 4, 200))]
    assert same == [True, True, False, True]
    words = cells(absent, 4, 200)[2][2 * LINE :]
    assert (words < 255).any()
    assert (words == 255).mean() > 0.5  # dark letters on white


def test_sheet_mistakes_are_one_line(tmp_path, tiny_weights, capsys, portrait):
    save(tmp_path / "bad/labelled/masks/x.png", square())
    (tmp_path / "bad/labelled/images").mkdir()
    (tmp_path / "bad/labelled/images/x.png").write_bytes(b"\x89PNG")
    (tmp_path / "none").mkdir()
    for data, reason in (("none", "no labelled photographs"), ("bad", "x.png")):
        assert command("sheet", "--data", tmp_path / data, tmp_path / "sheet.png", weights=tiny_weights) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1
        assert not (tmp_path / "sheet.png").exists()
