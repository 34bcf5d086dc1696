"""Colors that a person knows: the file, its imitation for training, the network's input, spreading and
keeping.
"""

import io
import json

import numpy as np
import pytest
import torch
from conftest import randomized, save
from PIL import Image

import colorize
import engine
from data import checkpoint
from data.errors import PhotoError
from data.hints import Hints, read_hints, simulate
from data.photo import read_photo
from data.pixels import luma, rgb_to_ycbcr
from nets.ops import coloring
from nets.ops.hints import fix, spread, with_hints

CPU = torch.device("cpu")
HEIGHT, WIDTH = 96, 128
COAT = np.s_[20:76, 40:90]
STROKE = np.s_[40:46, 55:70]
RED, GREY = (150, 40, 50), (120, 120, 120)


@pytest.fixture(scope="module")
def scene():
    """A dark coat before a bright wall, with grain and shading: luma (H, W)."""
    grey = np.full((HEIGHT, WIDTH), 0.7, np.float32)
    grey[COAT] = 0.3
    grey += np.linspace(-0.05, 0.05, WIDTH, dtype=np.float32)
    return (grey + np.random.default_rng(0).normal(0, 0.01, grey.shape)).astype(np.float32)


def strokes(color=RED, where=STROKE, size=(WIDTH, HEIGHT)):
    """A hint file (RGBA)."""
    rgba = np.zeros((*size[::-1], 4), np.uint8)
    rgba[where] = (*color, 255)
    return Image.fromarray(rgba)


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def chroma_of(color):
    return rgb_to_ycbcr(np.array([[color]], np.uint8))[0, 0, 1:]


@pytest.fixture(scope="module")
def hinting(tmp_path_factory):
    """Weights of a tiny random network that takes hints."""
    options = {
        "depth": 18,
        "width": 4,
        "channels": 4,
        "out_channels": 2,
        "stem": "imagenet",
        "extra_levels": 0,
    }
    path = tmp_path_factory.mktemp("weights") / "hinting.pt"
    content = checkpoint.weights(
        colorize.STAGE, engine.VERSION, options, randomized(colorize.build(options)), {}, {"done": 0}
    )
    checkpoint.save(path, content)
    return path


@pytest.fixture(params=[1, 4], ids=["network without hints", "network with hints"])
def weights(request, tiny_weights, hinting):
    return tiny_weights["colorize"] if request.param == 1 else hinting


# ---------------------------------------------------------------------------------- files


def test_a_file_of_strokes():
    hints, notes = read_hints(png(strokes()), (WIDTH, HEIGHT))
    assert notes == []
    assert hints.alpha.shape == (HEIGHT, WIDTH)
    assert hints.alpha.sum() == 6 * 15
    assert np.allclose(hints.cbcr[STROKE], chroma_of(RED))
    assert not hints.cbcr[0].any()
    small = hints.at((WIDTH // 8, HEIGHT // 8))
    assert small.shape == (3, HEIGHT // 8, WIDTH // 8)
    assert set(np.unique(small[2])) == {0, 1}
    painted = small[2] == 1
    assert np.allclose(small[:2, painted].T, chroma_of(RED), atol=1e-6)
    assert not small[:, ~painted].any()


def test_a_thin_stroke_is_not_lost_on_the_way_to_the_network():
    hints, _ = read_hints(png(strokes(where=np.s_[500:503, 100:900], size=(1000, 1000))), (1000, 1000))
    assert hints.at((64, 64))[2].sum() >= 50


def test_other_sizes_are_resized_by_nearest_and_said():
    hints, notes = read_hints(png(strokes()), (2 * WIDTH, 2 * HEIGHT))
    assert notes == ["hints resized from 128 x 96 to 256 x 192"]
    assert hints.alpha.shape == (2 * HEIGHT, 2 * WIDTH)
    assert hints.alpha[80:92, 110:140].all()
    assert hints.alpha.sum() == 4 * 6 * 15


def test_what_is_no_hint():
    assert read_hints(png(strokes(where=np.s_[:0])), (WIDTH, HEIGHT)) == (
        None,
        ["hints are empty: nothing is painted in them"],
    )
    with pytest.raises(PhotoError, match="nothing in it is transparent"):
        read_hints(png(Image.new("RGB", (WIDTH, HEIGHT))), (WIDTH, HEIGHT))


def test_grey_files_hint_at_grey():
    hints, _ = read_hints(png(strokes(GREY).convert("LA")), (WIDTH, HEIGHT))
    assert not hints.cbcr.any()
    assert hints.alpha.any()


# ------------------------------------------------------------------------------- imitation


def test_simulated_strokes_tell_the_truth_and_stay_inside_of_things():
    rng = np.random.default_rng(0)
    truth = np.zeros((2, 64, 64), np.float32)
    truth[:, :, 32:] = np.array([-0.1, 0.2])[:, None, None]  # grey on the left, orange on the right
    shares, grey = [], 0
    for _ in range(60):
        hints = simulate(truth, rng)
        painted = hints[2] == 1
        assert np.allclose(hints[:2, painted], truth[:, painted], atol=1e-6)
        assert not hints[:, ~painted].any()
        shares.append(painted.mean())
        grey += painted[:, :32].any()
    assert all(0 < share < 0.5 for share in shares)
    assert np.median(shares) < 0.05
    assert grey > 20


def test_a_stroke_has_the_mean_of_what_it_covers():
    truth = np.random.default_rng(0).normal(0, 0.01, (2, 64, 64)).astype(np.float32) + 0.1
    hints = simulate(truth, np.random.default_rng(3))
    assert len(np.unique(hints[0, hints[2] == 1])) <= 12


# ------------------------------------------------------------------------------- in the network


def test_free_pixels_are_zero_behind_the_networks_normalization():
    from nets.resnet import DEVIATION, MEAN

    hints = torch.zeros(1, 3, 4, 4)
    hints[:, :, 1, 2] = torch.tensor([0.1, -0.2, 1.0])
    x = (with_hints(torch.rand(1, 1, 4, 4), hints) - MEAN) / DEVIATION
    assert x.shape == (1, 4, 4, 4)
    assert int((x[:, 1:] != 0).sum()) == 3


def test_a_network_with_hints_starts_from_weights_without(tiny_weights, scene):
    content = checkpoint.read_weights(tiny_weights["colorize"], "colorize")
    net = colorize.build({**content["build"], "channels": 4})
    checkpoint.load_state(net, content, "file")
    assert net.encoder.conv1.weight.shape[1] == 4
    assert not net.encoder.conv1.weight[:, 1:].any()
    wide = colorize.Colorizer(net, CPU)
    known = read_hints(png(strokes()), (WIDTH, HEIGHT))[0]
    narrow = colorize.load(tiny_weights["colorize"], CPU)
    for hints in (None, known):  # its hint kernels are still 0: it spreads them like a network without
        assert np.allclose(wide.chroma(scene, hints), narrow.chroma(scene, hints), atol=1e-4)


def test_the_network_sees_the_hints(hinting, scene, monkeypatch):
    # random weights make noise, of which nothing would be left
    monkeypatch.setattr(coloring, "even", lambda chroma, luma: chroma)
    seeing, blind = colorize.load(hinting, CPU), colorize.load(hinting, CPU)
    with torch.no_grad():
        blind.predictor.net.encoder.conv1.weight[:, 1:] = 0
    known = read_hints(png(strokes()), (WIDTH, HEIGHT))[0]
    assert np.abs(seeing.chroma(scene, known) - blind.chroma(scene, known)).max() > 0.005


# ------------------------------------------------------------------------------- spreading


def around(scene, colors):
    """Chroma of a network that says brown everywhere, with hints spread: (H, W, 2)."""
    hints = np.zeros((3, HEIGHT, WIDTH), np.float32)
    for color, where in colors:
        hints[(slice(None), *where)] = np.array([*chroma_of(color), 1])[:, None, None]
    brown = torch.tensor([-0.05, 0.05])[None, :, None, None].expand(1, 2, HEIGHT, WIDTH)
    return (
        spread(brown, torch.from_numpy(hints)[None], torch.from_numpy(scene)[None, None])[0]
        .permute(1, 2, 0)
        .numpy()
    )


def test_a_hinted_coat_takes_the_color_and_its_neighbors_do_not(scene):
    chroma = around(scene, [(RED, STROKE)])
    # near the stroke; the lower hem is paler
    assert np.abs(chroma[24:64, 46:84] - chroma_of(RED)).max() < 0.02
    assert (chroma[COAT][2:-2, 2:-2, 1] > 0.75 * chroma_of(RED)[1]).all()
    wall = np.ones((HEIGHT, WIDTH), bool)
    wall[16:80, 36:94] = False
    assert np.abs(chroma[wall] - [-0.05, 0.05]).max() < 1e-6


def test_a_grey_stroke_keeps_an_area_grey(scene):
    chroma = around(scene, [(GREY, np.s_[5:9, 10:60])])
    assert np.abs(chroma[4:14, 5:80]).max() < 0.01
    assert np.abs(chroma[30:70, 50:80] - [-0.05, 0.05]).max() < 1e-6


def test_each_stroke_has_its_own_area(scene):
    chroma = around(scene, [(RED, STROKE), (GREY, np.s_[5:9, 10:60])])
    assert np.abs(chroma[24:64, 46:84] - chroma_of(RED)).max() < 0.02
    assert np.abs(chroma[4:14, 5:80]).max() < 0.01


def test_strokes_keep_their_color_and_fade_at_the_rim():
    chroma, alpha = torch.zeros(1, 2, 40, 40), torch.zeros(1, 1, 40, 40)
    alpha[..., 10:20, 10:30] = 1
    color = torch.tensor([0.1, -0.2])[None, :, None, None]
    fixed = fix(chroma, color * alpha, alpha, rim=3)
    assert torch.equal(fixed[..., 10:20, 10:30], color.expand(1, 2, 10, 20))
    profile = fixed[0, 0, 15, 30:36]  # beside the stroke, going away
    assert (profile.diff() <= 0).all()
    assert 0.04 < profile[0] < 0.1
    assert profile[3] == 0
    assert torch.equal(fixed[..., 25:, :], chroma[..., 25:, :])


# ------------------------------------------------------------------------------- as a user does it


def infer(tmp_path, weights, *words, out="out"):
    return colorize.main(
        [
            str(word)
            for word in (
                "infer",
                tmp_path / "in/scan.png",
                tmp_path / out,
                "--weights",
                weights,
                "--device",
                "cpu",
                *words,
            )
        ]
    )


@pytest.fixture
def photo(tmp_path, scene):
    return save(tmp_path / "in/scan.png", np.rint(scene * 255).astype(np.uint8))


def test_painted_colors_are_in_the_result(photo, tmp_path, weights):
    save(tmp_path / "hints/scan_hints.png", np.asarray(strokes())[..., :3], np.asarray(strokes())[..., 3])
    assert infer(tmp_path, weights, "--hints", tmp_path / "hints", "--json", tmp_path / "log.jsonl") == 0
    picture = read_photo(tmp_path / "out/scan_color.png").pixels
    assert np.abs(rgb_to_ycbcr(picture)[STROKE][..., 1:] - chroma_of(RED)).max() < 0.01
    assert np.abs(luma(picture) - luma(read_photo(photo).pixels)).max() * 255 <= 1
    assert "hints" in json.loads((tmp_path / "log.jsonl").read_text())["companions"]


def test_without_hints_nothing_changes(photo, tmp_path, weights):
    """Bit for bit: no --hints, a folder without a file for this photo, and a file with nothing painted."""
    (tmp_path / "none").mkdir()
    strokes(where=np.s_[:0]).save(tmp_path / "empty.png")
    assert infer(tmp_path, weights) == 0
    expected = read_photo(tmp_path / "out/scan_color.png").pixels
    for number, given in enumerate(("none", "empty.png")):
        assert infer(tmp_path, weights, "--hints", tmp_path / given, out=str(number)) == 0
        assert np.array_equal(read_photo(tmp_path / f"{number}/scan_color.png").pixels, expected)


def test_mistakes_are_named_in_one_line(photo, tmp_path, weights, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "opaque.png")
    for given, reason, status in (
        (tmp_path / "opaque.png", "nothing in it is transparent", 1),
        (tmp_path / "no.png", "no such file", 2),
    ):
        assert infer(tmp_path, weights, "--hints", given, "--quiet") == status
        error = capsys.readouterr().err
        assert f"hints {given}: " in error
        assert reason in error
        assert error.count("\n") == 1


def test_hints_of_any_size_and_place(weights):
    colorizer = colorize.load(weights, CPU)
    for height, width in ((1, 1), (15, 40), (300, 2)):
        alpha = np.zeros((height, width), np.float32)
        alpha[0, 0] = 1
        hints = Hints(np.full((height, width, 2), 0.1, np.float32), alpha)
        chroma = colorizer.chroma(np.full((height, width), 0.5, np.float32), hints)
        assert chroma.shape == (height, width, 2)
        assert np.isfinite(chroma).all()
        assert np.allclose(chroma[0, 0], 0.1)


def test_a_hinted_suit_takes_the_color_its_neighbors_do_not():
    """The bundled weights and all that follows them: a green stroke across the suit of a portrait."""
    from skimage import data

    grey, where, green = luma(data.astronaut()), np.zeros((512, 512), np.float32), np.array([-0.1, -0.12])
    where[395:403, 120:215] = 1
    hints = Hints((where[..., None] * green).astype(np.float32), where)
    colorizer = colorize.load(colorize.WEIGHTS, CPU)
    plain, hinted = colorizer.chroma(grey), colorizer.chroma(grey, hints)
    away = np.hypot(*(hinted - plain).transpose(2, 0, 1))
    np.testing.assert_allclose(hinted[where == 1], np.broadcast_to(green, (760, 2)), atol=1e-6)
    suit = np.s_[410:480, 130:210]
    assert (hinted - plain)[suit].mean((0, 1)) @ green / np.hypot(*green) > 0.04  # below the stroke
    assert away[80:200, 190:250].max() < 0.01  # face
    assert away[20:150, 20:100].mean() < 0.0075  # wall: 2 of 255, not to be seen


def test_training_with_and_without_hints(data_folder, tmp_path, tiny_weights, hinting, capsys):
    def train(run, *words):
        common = (
            "--data",
            data_folder,
            "--run-dir",
            tmp_path / run,
            "--steps",
            1,
            "--crop",
            32,
            "--batch-size",
            2,
            "--workers",
            0,
            "--device",
            "cpu",
            "--encoder",
            18,
            "--width",
            4,
        )
        return colorize.main([str(word) for word in ("train", *common, *words)])

    assert train("more", "--weights", tiny_weights["colorize"]) == 0
    assert (
        checkpoint.read_weights(next((tmp_path / "more").glob("best-*.pt")), "colorize")["build"]["channels"]
        == 4
    )
    assert train("none", "--weights", tiny_weights["colorize"], "--hint-share", 0) == 0
    assert (
        checkpoint.read_weights(next((tmp_path / "none").glob("best-*.pt")), "colorize")["build"]["channels"]
        == 1
    )
    capsys.readouterr()
    assert train("less", "--weights", hinting, "--hint-share", 0) == 2
    assert "takes hints" in capsys.readouterr().err
