"""The colorize stage: exposure, chroma, upsampling, and its contact sheet."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import save

import colorize
from data import checkpoint
from data.hints import Hints
from data.photo import read_photo
from data.pixels import luma, merge_chroma, rgb_to_ycbcr
from losses import metrics
from nets.chroma import SCALES
from nets.ops.guided import guided_upsample

CPU = torch.device("cpu")


def test_chroma_is_made_more_vivid_but_hints_are_not(tiny_weights, portrait, tmp_path):
    grey, chroma = luma(portrait[:96, :96]), []
    hints = Hints(np.full((96, 96, 2), (0.1, -0.1), np.float32), np.ones((96, 96), np.float32))
    for vivid in (1.0, 2.0):
        checkpoint.save(
            tmp_path / "w.pt", {**checkpoint.read(tiny_weights["colorize"]), "infer": {"vivid": vivid}}
        )
        colorizer = colorize.load(tmp_path / "w.pt", CPU)
        chroma.append(colorizer.chroma(grey))
        np.testing.assert_allclose(colorizer.chroma(grey, hints), hints.cbcr, atol=1e-6)
    np.testing.assert_allclose(chroma[1], (2 * chroma[0]).clip(-0.5, 0.5), atol=1e-5)


def test_chroma_is_the_mean_of_what_is_seen_at_each_scale(tiny_weights, portrait, monkeypatch):
    # nothing is clipped
    grey, colorizer = (luma(portrait[:160, :128]), colorize.load(tiny_weights["colorize"], CPU, vivid=0.1))
    both, scales, alone = colorizer.chroma(grey), SCALES, []
    for scale in scales:
        monkeypatch.setattr("nets.chroma.SCALES", (scale,))
        alone.append(colorizer.chroma(grey))
    assert len(scales) == 2
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, atol=1e-5)


def test_chroma_is_even_within_an_area_and_changes_at_its_edge(tiny_weights, monkeypatch):
    """A blotchy answer of the network, over two flat areas, comes out as one color for each."""
    colorizer = colorize.load(tiny_weights["colorize"], CPU)
    generator = torch.Generator().manual_seed(0)

    def predict(net, x, hints=None):
        blotches = 0.1 * torch.randn(1, 2, *x.shape[-2:], generator=generator)
        return torch.where(x > 0.5, 0.2, -0.2) + blotches

    monkeypatch.setattr("nets.chroma.predict", predict)
    grey = np.full((200, 260), 0.2, np.float32)
    grey[:, 130:] = 0.8
    chroma = colorizer.chroma(grey)
    for area, expected in ((chroma[:, :110], -0.2), (chroma[:, 150:], 0.2)):
        assert area.mean() == pytest.approx(expected * colorizer.predictor.vivid, abs=0.02)
        assert area.std() < 0.015  # blotches of 0.1; enlarging and two scales alone leave 0.05


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_one_photograph_at_three_exposures_has_the_same_colors(name):
    """CIEDE2000 of the bundled weights' colors over the same luma: at most 2, where unequal treatment gave
    up to 7.6.
    """
    from skimage import data

    colorizer = colorize.load(colorize.WEIGHTS, CPU)
    grey = luma(getattr(data, name)()[::2, ::2])

    def colors(print_):
        picture = merge_chroma(grey, colorizer.chroma(np.rint(print_ * 255).astype(np.float32) / 255))
        return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)

    expected = colors(grey)
    assert metrics.colorfulness(expected) > 10  # else it would be easy
    for other in (grey**0.7, grey**1.4, 0.15 + 0.65 * grey, np.clip(1.25 * grey - 0.05, 0, 1)):
        assert metrics.ciede2000(colors(other), expected) < 2


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_true_chroma_comes_back_better_than_by_bilinear(name):
    """From an eighth of the size. What is fixed at the small scale stays: enlarging and reducing again gives
    it back.
    """
    from skimage import data

    pixels = getattr(data, name)()
    pixels = pixels[: len(pixels) // 8 * 8, : pixels.shape[1] // 8 * 8]
    ycbcr = torch.from_numpy(rgb_to_ycbcr(pixels)).permute(2, 0, 1)[None]
    small = F.avg_pool2d(ycbcr, 8)
    truth, large = ycbcr[:, 1:], ycbcr[:, :1]
    bilinear = F.interpolate(small[:, 1:], truth.shape[-2:], mode="bilinear", align_corners=False)
    guided = guided_upsample(small[:, 1:], small[:, :1], large)
    steep = (large[..., 1:, 1:] - large[..., :-1, :-1]).abs()
    near = metrics.dilate((steep > steep.quantile(0.9))[0, 0], 4)
    error = [(x - truth).square().mean(1)[0, 1:, 1:] for x in (guided, bilinear)]
    assert error[0].mean() < 0.95 * error[1].mean()
    assert error[0][near].mean() < 0.95 * error[1][near].mean()


def test_the_report_says_that_colors_are_replaced(tmp_path, portrait, tiny_weights):
    save(tmp_path / "in/scan.png", portrait)
    words = ("infer", tmp_path / "in", tmp_path / "out", "--json", tmp_path / "log.jsonl", "--device", "cpu")
    assert colorize.main([*map(str, words), "--weights", str(tiny_weights["colorize"])]) == 0
    assert any(
        "already in color" in sentence
        for sentence in json.loads((tmp_path / "log.jsonl").read_text())["warnings"]
    )


def test_contact_sheet(data_folder, tmp_path, tiny_weights, capsys):
    out = tmp_path / "sheet.png"

    def sheet(data, *words):
        return colorize.main(
            [
                str(word)
                for word in (
                    "sheet",
                    "--data",
                    data,
                    out,
                    "--weights",
                    tiny_weights["colorize"],
                    "--device",
                    "cpu",
                    "--cell",
                    64,
                    *words,
                )
            ]
        )

    assert sheet(data_folder) == 0
    first = read_photo(out).pixels
    p = read_photo(data_folder / "val/clean/people/p.png").pixels
    assert first.shape[1] == 3 * 64 + 2 * 8
    assert (first[40:104, 144:] == p).all()  # grey | ours | truth
    assert sheet(data_folder) == 2
    assert "--overwrite" in capsys.readouterr().err
    save(tmp_path / "data/clean/a.png", np.full((64, 64, 3), (90, 60, 30), np.uint8))
    for number in range(15):
        save(tmp_path / f"data/old/{number:02}.png", p[..., 0])
    assert sheet(tmp_path / "data", "--overwrite") == 0
    many = read_photo(out).pixels
    assert many.shape[1] == 6 * 64 + 5 * 8
    assert many.shape[0] > 4 * 100
    (tmp_path / "none").mkdir()
    assert sheet(tmp_path / "none", "--overwrite") == 2
    assert "to measure on" in capsys.readouterr().err
