"""Training samples: functions of (seed, n), from the parts of a data folder."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import datasets
from data.crops import crop_pair
from data.datasets import Clean, ColorizeSamples, InpaintSamples, SegmentSamples, crop
from data.errors import PhotoError
from data.photo import read_photo
from data.pixels import luma
from data.synthesis import exposure, shares

ROOT = Path(__file__).parent.parent
KINDS = [SegmentSamples, InpaintSamples, ColorizeSamples]


OWN = {  # kind -> the options that it has alone
    SegmentSamples: {"labelled_share": 0.5},
    InpaintSamples: {"hole_share": (0.02, 0.2), "mask_share": 0.25},
    ColorizeSamples: {},
}


def make(kind, data, **changes):
    return kind(data, **{"seed": 0, "side": 48, **OWN[kind], **changes})


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_is_a_function_of_seed_and_number(data_folder, kind):
    one, two = make(kind, data_folder), make(kind, data_folder)
    for number in (0, 1, 12345678):
        assert same(one[number], two[number])
    one[5]  # what came before has no influence
    assert same(one[1], two[1])
    assert not same(one[0], one[1])
    assert not same(one[1], one[2])
    assert not same(one[0], make(kind, data_folder, seed=1)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [32, 65])
def test_shapes_types_and_ranges(data_folder, kind, side):
    samples = make(kind, data_folder, side=side)
    for number in range(12):
        sample = samples[number]
        luma = sample["luma"]
        assert luma.shape == (1, side, side)
        assert luma.dtype == torch.float32
        assert luma.min() >= 0
        assert luma.max() <= 1
        assert luma.is_contiguous()
        if kind is ColorizeSamples:
            assert sample["cbcr"].shape == (2, side, side)
            assert sample["cbcr"].dtype == torch.float32
            assert sample["cbcr"].abs().max() <= 0.5
        else:
            allowed, dtype = (
                ({0, 128, 255}, torch.uint8) if kind is SegmentSamples else ({0, 1}, torch.float32)
            )
            assert sample["mask"].shape == (1, side, side)
            assert sample["mask"].dtype == dtype
            assert set(sample["mask"].unique().tolist()) <= allowed
        assert sample.keys() == {"luma", "cbcr" if kind is ColorizeSamples else "mask"}


def test_enlarging_does_not_depend_on_the_number_of_threads():
    """A worker has one, the training process as many as there are cores. In processes of their own, since
    what torch computes later may depend on this too.
    """
    program = """
import sys, numpy, torch
from data.synthesis.textures import enlarge
torch.set_num_threads(int(sys.argv[1]))
for side in range(3, 90):
    grid = numpy.random.default_rng(side).standard_normal((side, side + 1)).astype(numpy.float32)
    sys.stdout.buffer.write(enlarge(grid, (3 * side, 200)).tobytes())
"""
    words = [sys.executable, "-c", program]
    results = {
        subprocess.run([*words, threads], cwd=ROOT, capture_output=True, check=True).stdout
        for threads in "124"
    }
    assert len(results) == 1


def test_a_loader_with_workers_gives_the_same(data_folder):
    samples = make(InpaintSamples, data_folder)
    loader = torch.utils.data.DataLoader(samples, batch_sampler=[[3, 4], [9, 1]], num_workers=1)
    for batch, numbers in zip(loader, ([3, 4], [9, 1]), strict=True):
        for row, number in enumerate(numbers):
            assert same({name: x[row] for name, x in batch.items()}, samples[number])


def paint(path, level, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path


def test_each_sub_folder_is_drawn_equally_often(tmp_path):
    """One special photograph in a folder of its own weighs as much as forty ordinary ones."""
    for number in range(40):
        paint(tmp_path / f"clean/many/deep/{number}.png", 10)
    paint(tmp_path / "clean/special/a.png", 20)
    paint(tmp_path / "clean/loose.png", 30)
    (tmp_path / "clean/empty").mkdir()
    (tmp_path / "clean/many/notes.txt").touch()
    clean, rng = Clean(tmp_path), np.random.default_rng(0)
    drawn = Counter(clean.draw(rng) for _ in range(3000))
    shares = Counter()
    for path, count in drawn.items():
        shares[path.relative_to(tmp_path / "clean").parts[0]] += count / 3000
    assert shares.keys() == {"many", "special", "loose.png"}
    assert len(drawn) == 42
    assert all(abs(share - 1 / 3) < 0.03 for share in shares.values())
    assert max(count for path, count in drawn.items() if "many" in path.parts) < 60  # 25 expected


@pytest.mark.parametrize("kind", KINDS)
def test_no_photographs_is_an_error_that_names_the_folder(tmp_path, kind):
    with pytest.raises(PhotoError, match=f"{tmp_path}/clean: no photographs"):
        make(kind, tmp_path)
    (tmp_path / "clean/empty").mkdir(parents=True)
    with pytest.raises(PhotoError, match="no photographs"):
        make(kind, tmp_path)


def test_labelled_photographs_keep_their_masks(tmp_path):
    """Picture and mask go through the same crop, turn and mirror: light squares stay under their mask."""
    rng = np.random.default_rng(0)
    picture, mask = np.full((120, 90), 40, np.uint8), np.zeros((120, 90), np.uint8)
    for _ in range(8):
        top, left = rng.integers(100), rng.integers(70)
        mask[top : top + 20, left : left + 20] = 255
    picture[mask == 255] = 220
    mask[:, 80:] = 128
    paint(tmp_path / "clean/a.png", 100)
    for folder, array in (("images", picture), ("masks", mask)):
        (tmp_path / "labelled" / folder).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "labelled" / folder / "x.png")
    samples, seen = make(SegmentSamples, tmp_path, labelled_share=1.0, side=64), set()
    for number in range(30):
        luma, mask = (x[0].numpy() for x in samples[number].values())
        seen |= set(np.unique(mask))
        if (mask == 255).any() and (mask == 0).any():
            middle = (luma[mask == 255].mean() + luma[mask == 0].mean()) / 2
            right = ((luma > middle) == (mask == 255))[mask != 128].mean()
            assert right > 0.9
    assert seen == {0, 128, 255}


def test_a_labelled_photograph_may_lie_on_its_side(tmp_path):
    """EXIF orientation: the mask is drawn on the upright picture."""
    paint(tmp_path / "clean/a.png", 100)
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "labelled/images").mkdir(parents=True)
    Image.new("L", (80, 50)).save(tmp_path / "labelled/images/x.jpg", exif=exif)
    paint(tmp_path / "labelled/masks/x.png", 0, (50, 80))
    ((luma, mask),) = make(SegmentSamples, tmp_path).labelled
    assert luma.shape == mask.shape == (80, 50)


def test_real_damage_is_laid_on_other_photographs(tmp_path, monkeypatch):
    """A scratch 0.3 lighter than its surroundings is so elsewhere, too; where that cannot be seen, nothing is
    learnt.
    """
    monkeypatch.setattr(datasets, "age", lambda picture, rng, strength: picture)
    monkeypatch.setattr(shares, "PASTED_ON_SCAN_SHARE", 0.0)
    dark, bright = np.full((64, 64), 60, np.uint8), np.full((64, 64), 255, np.uint8)
    path = tmp_path / "clean/a.png"
    path.parent.mkdir()
    Image.fromarray(np.hstack([dark, bright])).resize((64, 64)).save(path)
    picture, mask = np.full((64, 64), 0.4, np.float32), np.zeros((64, 64), np.uint8)
    picture[30:33], mask[30:33] = 0.7, 255
    samples = make(SegmentSamples, tmp_path, side=64)
    samples._undamaged = lambda rng: np.asarray(Image.open(path), np.float32) / 255
    found, truth = samples._pasted(picture, mask, np.random.default_rng(0))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found[31, 8:24], 60 / 255 + 0.3, atol=0.02)
    assert (truth[30:33, 8:24] == 255).all()  # on dark
    assert (truth[30:33, 40:56] == 128).all()  # on white
    np.testing.assert_allclose(found[:26], samples._undamaged(None)[:26], atol=1e-6)
    assert not truth[:30].any()
    assert not truth[33:].any()


def test_undamaged_crops_are_seen_as_by_many_emulsions(tmp_path, monkeypatch):
    """A red photograph is darker than its luma to film that is blind to red; a grey one has
    one tone to all.
    """
    monkeypatch.setattr(exposure, "expose", lambda picture, rng: picture)
    tones = {}
    for name, color in (("red", (200, 40, 40)), ("grey", (90, 90, 90))):
        (tmp_path / name / "clean").mkdir(parents=True)
        Image.new("RGB", (64, 64), color).save(tmp_path / name / "clean/a.png")
        samples = make(SegmentSamples, tmp_path / name)
        crops = [samples._undamaged(np.random.default_rng(number)) for number in range(40)]
        assert all(crop.shape == (48, 48) and crop.dtype == np.float32 for crop in crops)
        tones[name] = np.array([crop.mean() for crop in crops])
    assert np.ptp(tones["grey"]) < 0.002
    luma = (0.299 * 200 + 0.701 * 40) / 255
    assert 10 < (np.abs(tones["red"] - luma) < 0.003).sum() < 30
    assert tones["red"].min() < luma - 0.08
    assert tones["red"].max() > luma + 0.08


def test_enlarged_crops_are_mostly_sharpened(tmp_path):
    """An edge is steeper than before, with overshoot; enlarging alone overshoots by 0.07 of the step."""
    picture = np.full((100, 100), 90, np.uint8)
    picture[:, 50:] = 160
    (tmp_path / "clean").mkdir()
    Image.fromarray(picture).save(tmp_path / "clean/a.png")
    samples, sharpened = make(SegmentSamples, tmp_path, side=96), 0
    for number in range(200):
        crop = samples._undamaged(np.random.default_rng(number))
        step = np.quantile(crop, 0.9) - np.quantile(crop, 0.1)
        sharpened += step > 0.05 and crop.max() - np.quantile(crop, 0.9) > 0.12 * step
    assert 12 <= sharpened <= 70  # 0.4 are enlarged, 0.7 of these sharpened; not every crop has the edge


def test_most_labelled_damage_is_pasted_on_other_photographs(tmp_path, monkeypatch):
    """Labelled photographs are dark, the others bright; in 0.6 of the samples the damage moves there."""
    monkeypatch.setattr(shares, "PASTED_ON_SCAN_SHARE", 0.0)
    paint(tmp_path / "clean/a.png", 230, (80, 80))
    paint(tmp_path / "labelled/images/x.png", 40, (80, 80))
    paint(tmp_path / "labelled/masks/x.png", 0, (80, 80))
    samples = make(SegmentSamples, tmp_path, side=32, labelled_share=0.999)
    bright = sum(float(samples[number]["luma"].mean()) > 0.45 for number in range(100))
    assert 45 <= bright <= 75


def test_labelled_share(data_folder):
    def labelled(share):
        samples = make(SegmentSamples, data_folder, labelled_share=share)
        calls = []
        real = samples._real
        samples._real = lambda rng: calls.append(1) or real(rng)
        for number in range(40):
            samples[number]
        return len(calls)

    assert labelled(0.0) == 0
    assert labelled(1.0) == 40
    assert 10 <= labelled(0.5) <= 30


def test_undamaged_old_scans_are_sound_but_for_lone_specks(tmp_path, monkeypatch):
    """Of `negatives/` nothing is damage; a speck that stands alone is ignored, a pattern is not."""
    monkeypatch.setattr(shares, "OLD_SCAN_SHARE", 1.0)
    monkeypatch.setattr(shares, "ON_OLD_SCANS", {**shares.ON_OLD_SCANS, "clean_share": 1.0})
    paint(tmp_path / "clean/a.png", 100)
    scan = np.full((200, 160), 120, np.uint8)
    scan[:, 100:] = np.where(np.indices((200, 60)).sum(0) % 4 < 2, 60, 200)
    scan[50:53, 40:43] = scan[120:123, 60:63] = 240
    (tmp_path / "negatives").mkdir()
    Image.fromarray(scan).save(tmp_path / "negatives/x.png")
    samples = make(SegmentSamples, tmp_path, side=64)
    ((_, unsure),) = samples.old
    assert (unsure[50:53, 40:43] == 128).all()
    assert (unsure[120:123, 60:63] == 128).all()
    assert (unsure > 0).sum() < 60
    assert not unsure[:, 104:].any()
    masks = [samples[number]["mask"] for number in range(20)]
    assert all(set(mask.unique().tolist()) <= {0, 128} for mask in masks)


@pytest.mark.parametrize("share, lowest, highest", [(0.0, 0, 0), (0.3, 20, 70), (1.0, 150, 150)])
def test_share_of_old_scans(data_folder, monkeypatch, share, lowest, highest):
    monkeypatch.setattr(shares, "OLD_SCAN_SHARE", share)
    samples = make(SegmentSamples, data_folder, labelled_share=0.0)
    samples.old = [(np.full((60, 70), 90, np.uint8), np.zeros((60, 70), np.uint8))]
    drawn, calls = samples._old, []
    samples._old = lambda rng: calls.append(1) or drawn(rng)
    for number in range(150):
        samples[number]
    assert lowest <= len(calls) <= highest


def test_real_damage_is_laid_on_old_scans_too(data_folder, monkeypatch):
    """At full strength, and specks of the ground that nobody marked are ignored."""
    monkeypatch.setattr(shares, "PASTED_ON_OLD_SHARE", 1.0)
    samples = make(SegmentSamples, data_folder, side=64)
    unsure = np.zeros((64, 64), np.uint8)
    unsure[5:8, 5:8] = 128
    samples.old, samples._old = [None], lambda rng: (np.full((64, 64), 0.2, np.float32), unsure)
    picture, mask = np.full((64, 64), 0.4, np.float32), np.zeros((64, 64), np.uint8)
    picture[30:33], mask[30:33] = 0.7, 255
    found, truth = samples._pasted(picture, mask, np.random.default_rng(0))
    np.testing.assert_allclose(found[31], 0.5, atol=0.02)
    assert (truth[30:33] == 255).all()
    assert (truth[5:8, 5:8] == 128).all()
    assert not truth[10:28].any()


def test_share_of_real_damage_on_whole_scans(data_folder, monkeypatch):
    samples, drawn = SegmentSamples(data_folder, seed=0, side=48, labelled_share=1.0), []
    samples._undamaged = lambda rng: np.full((48, 48), 0.5, np.float32)
    compose = datasets.scans.compose
    monkeypatch.setattr(datasets.scans, "compose", lambda photo, rng: drawn.append(1) or compose(photo, rng))
    for number in range(200):
        ground, unsure = samples._ground(np.random.default_rng(number))
        assert ground.shape == unsure.shape == (48, 48)
        assert not unsure.any()
    assert abs(len(drawn) / 200 - shares.PASTED_ON_SCAN_SHARE) < 0.12


def test_holes_have_the_asked_share(data_folder):
    samples = make(InpaintSamples, data_folder, hole_share=(0.05, 0.15), side=96)
    shares = [float((samples[number]["mask"] == 0).float().mean()) for number in range(12)]
    assert all(0.04 < share < 0.17 for share in shares)
    assert max(shares) > 0.08


def test_color_samples_are_true_to_the_photograph(tmp_path, monkeypatch):
    """A red photograph gives red chroma, a grey one none, whatever ageing did to the luma."""
    monkeypatch.setattr(datasets, "FRAMED_SHARE", 0.0)
    for level, name in (((200, 40, 40), "red"), ((90, 90, 90), "grey")):
        (tmp_path / name / "clean").mkdir(parents=True)
        Image.new("RGB", (64, 64), level).save(tmp_path / name / "clean/a.png")
    red, grey = (make(ColorizeSamples, tmp_path / name) for name in ("red", "grey"))
    for number in range(3):
        cb, cr = red[number]["cbcr"]
        assert (cb + 0.168736 * 200 / 255 + 0.331264 * 40 / 255 - 0.5 * 40 / 255).abs().max() < 0.01
        assert (cr > 0.25).all()
        assert grey[number]["cbcr"].abs().max() < 1e-5


def test_the_frame_around_a_print_has_no_color(tmp_path, monkeypatch):
    (tmp_path / "clean").mkdir()
    Image.new("RGB", (64, 64), (200, 40, 40)).save(tmp_path / "clean/a.png")
    monkeypatch.setattr(datasets, "FRAMED_SHARE", 1.0)
    samples, shares = make(ColorizeSamples, tmp_path), []
    for number in range(12):
        colored = (samples[number]["cbcr"] != 0).all(0)
        assert (samples[number]["cbcr"][:, colored][1] > 0.25).all()
        shares.append(float(colored.float().mean()))
    assert 0.2 < min(shares) < 0.9
    assert sum(share < 0.99 for share in shares) > 6


def gradient(width, height, mode="L"):
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    array = (128 + 60 * np.sin(x / 40) + 60 * np.sin(y / 50)).astype(np.uint8)
    return Image.fromarray(array).convert(mode)


@pytest.mark.parametrize("size", [(200, 100), (33, 47), (5, 5), (1, 300), (1, 1)])
@pytest.mark.parametrize("mode, shape", [("L", (32, 32)), ("RGB", (32, 32, 3))])
def test_a_crop_of_any_photograph(size, mode, shape):
    for seed in range(5):
        square = crop(gradient(*size), mode, 32, np.random.default_rng(seed))
        assert square.shape == shape
        assert square.dtype == np.float32
        assert square.min() >= 0
        assert square.max() <= 1


def test_crops_are_mirrored_half_the_time():
    picture = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
    rising = [crop(picture, "L", 16, np.random.default_rng(seed))[0, [0, -1]] for seed in range(60)]
    assert 18 <= sum(left < right for left, right in rising) <= 42


def test_small_photographs_are_not_enlarged_too_much():
    """A crop of 50 px comes from at least 20 px of the photograph."""
    picture = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8) * 2, (100, 1)))
    for seed in range(30):
        row = crop(picture, "L", 50, np.random.default_rng(seed), zoom=(0.01, 0.02))[25]
        assert abs(float(row[-1] - row[0])) * 255 > 2 * 17


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_scans_of_16_bits_are_not_clipped(tmp_path, dtype):
    top = np.iinfo(dtype).max
    levels = np.linspace(0.2 * top, 0.8 * top, 64 * 64).reshape(64, 64).astype(dtype)
    Image.fromarray(levels).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        square = crop(picture, "L", 64, np.random.default_rng(0), zoom=(1, 1))
    assert 0.18 < square.min() < 0.25
    assert 0.75 < square.max() < 0.82


def test_values_beyond_16_bits_are_clipped():
    """A wrapped value would be nearly black."""
    picture = Image.fromarray(np.full((40, 40), 65536 + 300, np.int32))
    assert crop(picture, "L", 20, np.random.default_rng(0)).min() == 1


@pytest.mark.parametrize("name", ["turned.tif", "turned.jpg", "deep.pgm"])
def test_crops_lie_and_shine_as_the_photograph_does(tmp_path, name):
    """Bright at one end, which a turn would move; 16 bits, which Pillow would clip."""
    levels, path = np.tile(np.linspace(40, 200, 90)[:, None], (1, 60)), tmp_path / name
    if name == "deep.pgm":
        path.write_bytes(b"P5 60 90 65535\n" + (levels * 257).astype(">u2").tobytes())
    else:
        tags = Image.Exif()
        tags[274] = 6
        Image.fromarray(levels.astype(np.uint8)).save(path, exif=tags)
    whole = luma(read_photo(path).pixels)
    with Image.open(path) as picture:
        square = crop(picture, "L", 60, np.random.default_rng(0), zoom=(1, 1))
    assert np.ptp(square.mean(1)) == pytest.approx(np.ptp(whole.mean(1)), abs=0.25)
    assert np.ptp(square.mean(0)) == pytest.approx(np.ptp(whole.mean(0)), abs=0.25)
    assert square.mean() == pytest.approx(whole.mean(), abs=0.1)


def test_a_jpeg_read_at_half_the_size_is_the_same_crop(tmp_path):
    picture = gradient(1600, 1200)
    picture.save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as jpeg:
        reduced = crop(jpeg, "L", 64, np.random.default_rng(3))
        assert jpeg.width < 1600  # it was decoded smaller
    assert np.abs(reduced - crop(picture, "L", 64, np.random.default_rng(3))).max() < 0.03


def test_a_broken_photograph_is_named(tmp_path):
    (tmp_path / "clean").mkdir()
    gradient(100, 100).save(tmp_path / "clean/cut.png")
    whole = (tmp_path / "clean/cut.png").read_bytes()
    (tmp_path / "clean/cut.png").write_bytes(whole[: len(whole) // 2])
    for kind in KINDS:
        with pytest.raises(PhotoError, match=r"clean/cut\.png: "):
            make(kind, tmp_path, **({"labelled_share": 0.0} if kind is SegmentSamples else {}))[0]


def test_small_color_photographs_are_used_nearly_whole(tmp_path, data_folder, portrait):
    """They are too small for crops: a fifth of the samples, and hardly cut."""
    shutil.copytree(data_folder / "clean", tmp_path / "clean")
    (tmp_path / "color_small").mkdir()
    red = np.zeros((60, 90, 3), np.uint8)
    red[..., 0] = 200
    Image.fromarray(red).save(tmp_path / "color_small/red.png")
    samples = ColorizeSamples(tmp_path, seed=0, side=64)
    reds = [bool((samples[n]["cbcr"][1] > 0.3).float().mean() > 0.5) for n in range(100)]
    assert 10 <= sum(reds) <= 32


def test_much_reduced_masks_ignore_what_is_only_partly_damaged():
    picture, mask = np.full((400, 400), 0.5, np.float32), np.zeros((400, 400), np.uint8)
    mask[:, 100:102], mask[:, 200:300] = 255, 255
    for scale, damaged in ((0.2, 100 / 400), (1.0, 102 / 400)):
        rng = np.random.default_rng(3)
        small = [crop_pair(picture, mask, round(400 * scale), rng, (scale, scale))[1] for _ in range(4)]
        straight = [one for one in small if (one[0] == one[-1]).all() or (one[:, 0] == one[:, -1]).all()]
        assert straight
        for one in straight:
            assert (one == 255).mean() == pytest.approx(damaged, abs=1.5 / len(one))
            assert (one == 128).any() == (scale < 1)


@pytest.mark.parametrize("mode, reason", [("F", "floating-point pixels"), ("LAB", "LAB .* not supported")])
def test_pixels_that_cannot_be_converted_are_an_error_of_the_file(mode, reason):
    with pytest.raises(OSError, match=reason):
        crop(Image.new(mode, (60, 60)), "L", 32, np.random.default_rng(0))
