"""restore.py as a user runs it: pixels outside the mask stay, and the bundled weights work at once."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, files, noise, save
from PIL import Image
from restoring import ALL, STAGES, pixels, report

import restore
from data import checkpoint
from data.photo import read_photo
from data.pixels import luma
from data.synthesis.defects import damage

KINDS = {
    "grey.png": lambda portrait: (portrait[40:88, 80:144, 0], None),
    "rgb.png": lambda portrait: (portrait[40:88, 80:144], None),
    "rgba.png": lambda portrait: (portrait[40:88, 80:144], noise(48, 64)),
    "grey_alpha.webp": lambda portrait: (portrait[40:88, 80:144], noise(48, 64)),
    "grey16.png": lambda portrait: (noise(48, 64, dtype=np.uint16), None),
    "grey16.tif": lambda portrait: (noise(48, 64, dtype=np.uint16), None),
    "rgb16.tif": lambda portrait: (noise(48, 64, 3, dtype=np.uint16), noise(48, 64, dtype=np.uint16, seed=1)),
}


@pytest.mark.parametrize("name", KINDS)
def test_outside_the_mask_every_bit_is_the_input(tmp_path, portrait, run, median, name):
    if name == "rgb16.tif":
        pytest.importorskip("tifffile")
    photo = read_photo(save(tmp_path / name, *KINDS[name](portrait)))
    assert run(tmp_path / name, tmp_path / "out", "--threshold", median(photo), "--dilate", 1) == 0
    stem, ending = Path(name).stem, "tif" if name.endswith("tif") else "png"
    assert files(tmp_path / "out") == sorted(
        [f"{stem}.json", f"{stem}_mask.png"] + [f"{stem}{part}.{ending}" for part in ALL if part != "_mask"]
    )
    mask = np.asarray(Image.open(tmp_path / f"out/{stem}_mask.png"))
    assert mask.shape == (48, 64)
    assert set(np.unique(mask)) == {0, 255}
    assert 0.3 <= (mask == 255).mean() < 0.9
    restored = read_photo(tmp_path / f"out/{stem}_restored.{ending}")
    assert restored.pixels.dtype == photo.pixels.dtype
    assert restored.pixels.shape == photo.pixels.shape
    np.testing.assert_array_equal(restored.pixels[mask == 0], photo.pixels[mask == 0])
    changed = (restored.pixels != photo.pixels).reshape(48, 64, -1).any(-1)
    assert changed[mask == 255].mean() > 0.5  # and inside it something was painted
    if photo.alpha is not None:
        np.testing.assert_array_equal(restored.alpha, photo.alpha)

    # Color keeps luma, that of the restored photo and that of the original.
    for part, source in (("_color", photo), ("_restored_color", restored)):
        colored = read_photo(tmp_path / f"out/{stem}{part}.{ending}")
        assert colored.pixels.ndim == 3
        assert np.abs(luma(colored.pixels) - luma(source.pixels)).max() * 255 <= 1
        assert np.ptp(colored.pixels.astype(int), axis=-1).max() > 10  # it is colored
        assert (colored.alpha is None) == (photo.alpha is None)


@pytest.mark.parametrize(
    "options",
    [
        ["--precision", "bf16"],
        ["--tile", 128, "--overlap", 32],
        ["--no-tta"],
        ["--no-grain"],
        ["--max-side", 64],
        ["--format", "webp"],
    ],
    ids=str,
)
def test_no_option_touches_them(scan, tmp_path, run, median, options):
    photo = read_photo(scan)
    assert (
        run(
            scan,
            tmp_path / "out",
            "--threshold",
            median(photo),
            *options,
            "--only",
            "mask",
            "--only",
            "restored",
        )
        == 0
    )
    mask = pixels(tmp_path / "out/scan_mask.png")
    restored = pixels(next(path for path in (tmp_path / "out").iterdir() if "_restored" in path.name))
    np.testing.assert_array_equal(restored[mask == 0], photo.pixels[mask == 0])
    assert (mask == 0).any()
    assert (restored[mask == 255] != photo.pixels[mask == 255]).any()


@pytest.mark.parametrize("height, width", [(1, 1), (15, 15), (1, 5000), (300, 1), (101, 67)])
def test_sizes_are_kept(tmp_path, run, height, width):
    save(tmp_path / "a.png", noise(height, width))
    mask = np.where(noise(height, width, seed=1) > 99, 255, 0).astype(np.uint8)
    mask[0, 0] = 0  # something must be left to continue from
    save(tmp_path / "m.png", mask)
    assert run(tmp_path / "a.png", tmp_path / "found", "--threshold", 0.4) == 0
    assert run(tmp_path / "a.png", tmp_path / "given", "--mask", tmp_path / "m.png") == 0
    for out in ("found", "given"):
        for part in ALL:
            with Image.open(tmp_path / out / f"a{part}.png") as picture:
                assert picture.size == (width, height)
        assert report(tmp_path / out, "a")["input"]["size"] == [width, height]


def test_a_photo_without_finds_comes_back(scan, tmp_path, run, tiny_weights):
    content = checkpoint.read(tiny_weights["segment"])
    content["state"]["head.bias"] -= 10000.0  # finds nothing, ever
    checkpoint.save(tmp_path / "blind.pt", content)
    assert run(scan, tmp_path / "a", "--threshold", 1) == 0
    assert run(scan, tmp_path / "b", weights={**tiny_weights, "segment": tmp_path / "blind.pt"}) == 0
    for out in (tmp_path / "a", tmp_path / "b"):
        assert not pixels(out / "scan_mask.png").any()
        np.testing.assert_array_equal(pixels(out / "scan_restored.png"), pixels(scan))
        np.testing.assert_array_equal(pixels(out / "scan_restored_color.png"), pixels(out / "scan_color.png"))
        assert report(out)["invented"] == 0


BUNDLED = [
    pytest.param(
        stage, marks=pytest.mark.skipif(not stage.WEIGHTS.exists(), reason=f"no {stage.WEIGHTS.name} yet")
    )
    for stage in STAGES.values()
]


@pytest.mark.parametrize("stage", BUNDLED)
def test_bundled_weights_load_and_are_small(stage):
    assert stage.WEIGHTS.stat().st_size <= 16_000_000
    content = checkpoint.read_weights(stage.WEIGHTS, stage.STAGE)
    assert all(torch.isfinite(x).all() for x in content["state"].values())
    stage.load(stage.WEIGHTS, torch.device("cpu"))
    assert str(ROOT) not in json.dumps(content["training"])  # no path of the machine that trained them


@pytest.mark.skipif(
    not all(stage.WEIGHTS.exists() for stage in STAGES.values()), reason="not all weights are there yet"
)
def test_it_works_at_once(tmp_path):
    """Without any option: a portrait loses its scratches and flakes, and a report says by which weights."""
    from skimage import data

    clean = np.rint(luma(data.astronaut()) * 255).astype(np.uint8)
    damaged, truth = damage(
        luma(clean), np.random.default_rng(1), kinds=["light_scratches", "peels"], amount=0.5
    )
    damaged, truth = np.rint(damaged * 255).astype(np.uint8), truth == 255
    path = save(tmp_path / "portrait.png", damaged)
    assert restore.main([str(path), str(tmp_path / "out")]) == 0
    facts = report(tmp_path / "out", "portrait")
    assert facts["weights"] == {name: checkpoint.fingerprint(stage.WEIGHTS) for name, stage in STAGES.items()}
    mask = pixels(tmp_path / "out/portrait_mask.png") == 255
    assert mask[truth].mean() > 0.8
    assert mask.mean() < 0.25
    restored = pixels(tmp_path / "out/portrait_restored.png")
    np.testing.assert_array_equal(restored[~mask], damaged[~mask])
    before, after = (np.abs(x.astype(int) - clean)[truth].mean() for x in (damaged, restored))
    assert after < 0.5 * before
    for name in ("restored_color", "color"):
        assert np.abs(luma(pixels(tmp_path / f"out/portrait_{name}.png")).mean() - luma(clean).mean()) < 0.1
