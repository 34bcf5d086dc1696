"""Synthetic damage: seeded, marked where it can be seen and nowhere else, and fast enough to train on."""

import io

import numpy as np
import pytest
from PIL import Image

from data.errors import PhotoError
from data.synthesis import defects, lookalikes
from data.synthesis.ageing import age, tint
from data.synthesis.defects import damage
from data.synthesis.emulsion import cells
from data.synthesis.holes import draw_holes
from data.synthesis.lookalikes import hard_negative
from data.synthesis.textures import enlarge, load_textures

SIDE = 160


def picture(height=SIDE, width=SIDE):
    """Smooth shading with a few edges, mid grey: (height, width) float32."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    shade = 0.5 + 0.15 * np.sin(x / 23) * np.cos(y / 31)
    return (shade + 0.08 * ((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2)).astype(
        np.float32
    )


def seeded(*seed):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Two groups: a few strokes, and a large scan with specks in two corners."""
    folder = tmp_path_factory.mktemp("textures")
    (folder / "strokes").mkdir()
    (folder / "scan").mkdir()
    stroke = np.zeros((100, 100), np.uint8)
    stroke[20:80, 48:52] = 255
    Image.fromarray(stroke).save(folder / "strokes" / "a.png")
    Image.fromarray(255 - stroke).save(folder / "strokes" / "inverted.png")
    scan = np.zeros((1100, 1300), np.uint8)
    scan[30:60, 40:52] = scan[1000:1020, 1200:1260] = 255
    Image.fromarray(scan).convert("1").save(folder / "scan" / "b.png")
    (folder / "notes.txt").write_text("no picture")
    return load_textures(folder)


def test_same_seed_gives_the_same_sample(textures):
    for number in range(12):
        first = defects.sample(picture(), seeded(7, number), textures)
        again = defects.sample(picture(), seeded(7, number), textures)
        assert all(np.array_equal(a, b) for a, b in zip(first, again))
    other = defects.sample(picture(), seeded(8, 0), textures)
    assert not np.array_equal(first[0], other[0])


def test_a_sample_leaves_its_input_alone():
    luma = picture()
    for number in range(8):
        defects.sample(luma, seeded(number))
        hard_negative(luma, seeded(number))
        age(luma, seeded(number))
    assert np.array_equal(luma, picture())


@pytest.mark.parametrize("shape", [(160, 160), (16, 16), (97, 203), (300, 120), (520, 600)])
def test_types_ranges_and_shapes(shape, textures):
    for number in range(6):
        luma, mask = defects.sample(picture(*shape), seeded(1, number), textures)
        assert luma.shape == mask.shape == shape
        assert luma.dtype == np.float32
        assert mask.dtype == np.uint8
        assert luma.min() >= 0
        assert luma.max() <= 1
        assert set(np.unique(mask)) <= {0, 128, 255}


@pytest.mark.parametrize("kind", defects.KINDS)
def test_each_kind_is_seen_and_marked(kind, textures):
    shares = []
    for number in range(12):
        damaged, mask = damage(picture(), seeded(2, number), textures, [kind], amount=0.7)
        change = np.abs(damaged - picture())
        shares.append((mask > 0).mean())
        # Lone pixels are no defects, hence a few may stay unmarked; what is marked has changed or lies within
        # what has.
        assert (change[mask == 0] > 0.1).mean() < 0.003
        if mask.any():
            # of what is lost also the parts count that have the tone of the picture by chance
            assert (change[mask > 0] > 0.03).mean() > (0.5 if kind in defects.TORN else 0.8)
    assert np.mean(np.array(shares) > 0) > 0.7, "mostly invisible"
    assert np.mean(shares) < 0.4, "hardly a picture left"


def test_faint_damage_is_not_marked():
    luma = picture()
    assert not defects._visible(luma + 0.03, luma).any()
    assert defects._visible(luma + 0.1, luma).all()


def test_mask_has_no_salt_and_pepper():
    luma, dotted = picture(), picture()
    dotted[::8, ::8] += 0.3
    dotted[40:60, 40:60] += 0.3
    dotted[50, 50] = luma[50, 50]
    mask = defects._visible(dotted, luma)
    assert mask[41:59, 41:59].all()
    assert mask[:36].max() == 0


def test_thin_damage_keeps_its_width():
    widths = []
    for number in range(40):
        _, mask = damage(picture(), seeded(3, number), None, ["light_scratches"])
        marked = mask > 0
        edge = marked & ~(
            np.roll(marked, 1, 0) & np.roll(marked, -1, 0) & np.roll(marked, 1, 1) & np.roll(marked, -1, 1)
        )
        widths.append(2 * marked.sum() / max(1, edge.sum()))
    assert 1.5 < np.mean(widths) < 4.5


def test_a_lost_area_is_marked_whole():
    """Paper of the tone that the sky has is gone all the same; a few changed pixels are not an area."""
    luma = np.full((SIDE, SIDE), 0.9, np.float32)
    luma[:, ::2] = 0.3
    damaged, lost = luma.copy(), np.zeros((SIDE, SIDE), bool)
    damaged[40:120, 40:120], lost[40:120, 40:120] = 0.9, True
    mask = defects._marked(defects.Painted(damaged, None, lost), luma)
    assert (mask[44:116, 44:116] == 255).all()
    assert not mask[:36].any()
    lost[:, :] = True
    mask = defects._marked(defects.Painted(luma, None, lost), luma)
    assert not mask.any()


def test_soft_stains_are_undecided_and_what_lies_over_them_is_damage():
    luma = picture()
    for kind in defects.SOFT:
        masks = [damage(luma, seeded(12, number), kinds=[kind], amount=0.7)[1] for number in range(8)]
        assert all(set(np.unique(mask)) <= {0, 128} for mask in masks)
        assert any(mask.any() for mask in masks)
    both = [damage(luma, seeded(13, n), kinds=["cracks", "stains"], amount=0.9)[1] for n in range(8)]
    assert any((mask == 255).any() and (mask == 128).any() for mask in both)


def test_unknown_kind_is_named():
    with pytest.raises(KeyError, match="rust"):
        damage(picture(), seeded(0), kinds=["rust"])


def test_clean_samples_have_empty_masks():
    for number in range(10):
        _, mask = defects.sample(picture(), seeded(4, number), clean_share=1.0, negative_share=0.5)
        assert not mask.any()


def test_clean_share_and_mixture(textures):
    shares = np.array([(defects.sample(picture(), seeded(5, n), textures)[1] > 0).mean() for n in range(150)])
    assert 0.3 < np.mean(shares == 0) < 0.55
    assert 0.02 < np.mean(shares) < 0.2
    assert np.quantile(shares, 0.9) > 5 * np.quantile(shares[shares > 0], 0.2)


@pytest.mark.parametrize("kind", lookalikes.KINDS)
def test_each_hard_negative_changes_the_picture(kind):
    changes = [np.abs(hard_negative(picture(), seeded(6, n), [kind]) - picture()).max() for n in range(10)]
    assert np.mean(np.array(changes) > 0.05) > 0.6


def test_age_of_strength_0_changes_nothing():
    luma = picture()
    aged = age(luma, seeded(0), 0.0)
    assert np.array_equal(aged, luma)
    assert aged is not luma
    mild, strong = (
        np.mean([np.abs(age(luma, seeded(n), s) - luma).mean() for n in range(20)]) for s in (0.2, 1.0)
    )
    assert 0.002 < mild < strong / 2


@pytest.mark.parametrize("share", [(0.01, 0.25), (0.01, 0.02), (0.3, 0.4)])
def test_holes_keep_to_their_share(share, textures):
    for number in range(15):
        mask = draw_holes((128, 160), seeded(9, number), share, textures if number % 2 else None)
        assert mask.shape == (128, 160)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}
        assert share[0] <= (mask == 255).mean() <= share[1]


def test_textures_may_be_absent(tmp_path):
    for folder in (None, tmp_path / "missing", tmp_path):
        empty = load_textures(folder)
        assert not empty
        _, mask = damage(picture(), seeded(1), empty, ["shapes"])
        assert mask.any()


@pytest.mark.parametrize(
    "names, groups",
    [
        (["hair/a.png", "hair/long/b.png"], [2]),
        (["hair/a.png", ".hidden/b.png", "hair/.thumbnails/c.png"], [1]),
    ],
)
def test_textures_of_nested_folders_but_not_of_hidden_ones(tmp_path, names, groups):
    for path in (tmp_path / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.pad(np.full((9, 50), 255, np.uint8), 20)).save(path)
    assert [len(group) for group in load_textures(tmp_path).groups] == groups


def test_a_broken_texture_is_named(tmp_path):
    file = io.BytesIO()
    Image.effect_noise((90, 90), 99).save(file, "PNG")
    (tmp_path / "cut.png").write_bytes(file.getvalue()[:2000])
    with pytest.raises(PhotoError, match=r"cut\.png: "):
        load_textures(tmp_path)


def test_textures_are_cut_and_sifted(textures):
    scan, strokes = textures.groups  # by name of the folder
    assert len(scan) == 2, "empty tiles are dropped"
    assert len(strokes) == 1, "mostly white masks are dropped"
    shape = textures.draw(seeded(3), 1.0)
    assert shape.mode == "L"
    assert shape.getbbox() == (0, 0, *shape.size)


def test_tint_keeps_luma():
    luma = picture()
    rgb = tint(luma, seeded(1))
    assert rgb.shape == (SIDE, SIDE, 3)
    assert rgb.dtype == np.uint8
    assert np.abs(rgb @ (0.299, 0.587, 0.114) / 255 - luma).max() < 0.01


@pytest.mark.parametrize("old, new", [((17, 17), (384, 384)), ((3, 5), (97, 203)), ((9, 8), (4, 3))])
def test_enlarging_is_that_of_pillow(old, new):
    grid = seeded(14).standard_normal(old, np.float32)
    expected = Image.fromarray(grid).resize(new[::-1], Image.Resampling.BICUBIC)
    np.testing.assert_allclose(enlarge(grid, new), np.asarray(expected), atol=2e-6)


def test_cells_are_those_of_the_nearest_seed():
    """A cell has one value, and its border lies where two seeds are equally near."""
    value, edge = cells((120, 90), seeded(15), 14)
    assert value.shape == edge.shape == (120, 90)
    assert edge.min() >= 0
    border = (value[:, 1:] != value[:, :-1]) | (edge[:, 1:] < 0.02)
    assert np.minimum(edge[:, 1:], edge[:, :-1])[border].max() < 1.5
    assert 40 < len(np.unique(value)) < 120
