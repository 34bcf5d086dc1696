"""Large photographs: bands, tiles and 16 bits."""

import json

import numpy as np
import pytest
import torch
from conftest import noise

import colorize
import inpaint
from data.photo import encode, read_photo
from data.pixels import luma


def test_a_large_photo_is_colored_in_bands_as_a_small_one(tiny_weights, portrait, monkeypatch):
    colorizer, grey = colorize.load(tiny_weights["colorize"], torch.device("cpu")), luma(portrait[:201, :130])
    whole = colorizer(grey)
    monkeypatch.setattr(colorize, "LARGE", 0)
    monkeypatch.setattr("data.pixels.BAND", 64)
    bands = colorizer(grey)
    assert np.abs(bands.astype(int) - whole).max() <= 1
    assert (bands != whole).mean() < 0.01
    assert np.abs(luma(bands) - grey).max() * 255 <= 0.51


@pytest.mark.parametrize("grain", [True, False])
def test_a_large_photo_is_painted_in_bands_as_a_small_one(tiny_weights, monkeypatch, grain):
    """The bands of holes, of coarser scales and of grain leave no trace: the same bits."""
    painter = inpaint.load(tiny_weights["inpaint"], torch.device("cpu"), tile=96, overlap=32, grain=grain)
    pixels, mask = noise(301, 133), np.where(noise(301, 133, seed=1) > 250, 255, 0).astype(np.uint8)
    mask[40:200, 20:110] = 255  # deeper than one reach
    mask[255:258] = 255
    whole = painter(pixels, mask)
    monkeypatch.setattr("data.pixels.BAND", 64)
    monkeypatch.setattr("nets.ops.tiling.BAND", 64)
    np.testing.assert_array_equal(painter(pixels, mask), whole)


@pytest.mark.parametrize(
    "format, options, dtype",
    [
        ("TIFF", [], np.uint16),
        ("PNG", [], np.uint16),
        ("PNG", ["--format", "webp"], np.uint8),
        ("PNG", ["--format", "tif"], np.uint16),
    ],
)
def test_colors_keep_16_bits_where_the_file_can_hold_them(tmp_path, run, format, options, dtype):
    grey, path = noise(40, 50).astype(np.uint16) * 251, tmp_path / ("a.tif" if format == "TIFF" else "a.png")
    path.write_bytes(encode(grey, None, format))
    assert run(path, tmp_path / "out", *options, "--only", "color") == 0
    (result,) = [x for x in (tmp_path / "out").iterdir() if "_color" in x.name]
    said = [x for x in json.loads((tmp_path / "out/a.json").read_text())["warnings"] if "8 bits" in x]
    assert len(said) == (dtype == np.uint8)
    if dtype == np.uint16:
        pytest.importorskip("imagecodecs")
    picture = read_photo(result).pixels
    assert picture.dtype == dtype
    assert picture.ndim == 3
    if dtype == np.uint16:  # luma in steps of 1/65535
        assert np.abs(luma(picture) - luma(grey)).max() * 65535 <= 1


def test_a_photo_too_large_for_the_gpu_is_done_in_smaller_tiles(scan, tmp_path, run, monkeypatch):
    from nets.ops import tiling

    whole, sides = tiling.padded, []

    def padded(net, x, size_divisor):
        sides.append(max(x.shape[-2:]))
        if sides[-1] > 20:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(net, x, size_divisor)

    monkeypatch.setattr(tiling, "padded", padded)
    monkeypatch.setattr("nets.ops.filling.padded", padded)
    monkeypatch.setattr(tiling.Tiling, "min_tile", 16)
    assert (
        run(scan, tmp_path / "out", "--threshold", 0.4, "--tile", 128, "--overlap", 8, "--only", "restored")
        == 0
    )
    report = json.loads((tmp_path / "out/scan.json").read_text())
    assert [warning for warning in report["warnings"] if "memory" in warning] == 2 * [
        "GPU memory ran out: switched to tiles of 16 px for the rest of the run"
    ]


def test_grain_of_a_large_photo_is_measured_on_a_part(monkeypatch):
    from nets.ops import grain

    picture = (0.5 + 0.05 * torch.randn(1, 1, 400, 300, generator=torch.Generator().manual_seed(1))).clamp(
        0, 1
    )
    valid = torch.ones_like(picture, dtype=torch.bool)
    valid[..., 100:300, 80:220] = False
    picture = torch.where(valid, picture, 0.5)
    whole = grain.match_grain(picture.clone(), valid)
    monkeypatch.setattr(grain, "SAMPLE", 60_000)
    part = grain.match_grain(picture.clone(), valid)
    assert torch.equal(part[valid], picture[valid])
    assert not torch.equal(part, whole)
    assert part[~valid].std() == pytest.approx(float(whole[~valid].std()), rel=0.1)
    assert whole[~valid].std() > 0.03
