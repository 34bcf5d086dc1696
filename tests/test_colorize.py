"""Training of the colorize stage: its losses and phases, its samples, exposure, upsampling, and its contact
sheet.
"""

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
from losses import adversarial, colorization, metrics
from nets.ops.exposure import even_exposure
from nets.ops.guided import guided_upsample
from nets.sagan import Discriminator
from nets.vgg import VGG16

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vgg_state():
    """Random weights of VGG-16 under torchvision's names."""
    torch.manual_seed(0)
    shapes = {
        0: (64, 3),
        2: (64, 64),
        5: (128, 64),
        7: (128, 128),
        10: (256, 128),
        12: (256, 256),
        14: (256, 256),
        17: (512, 256),
        **dict.fromkeys((19, 21, 24, 26, 28), (512, 512)),
    }
    state = {
        f"features.{n}.weight": torch.randn(*shape, 3, 3) * (2 / 9 / shape[1]) ** 0.5
        for n, shape in shapes.items()
    }
    return state | {f"features.{n}.bias": torch.zeros(shape[0]) for n, shape in shapes.items()}


# --------------------------------------------------------------------------------- losses


def compute_losses(net, samples, **changes):
    weights = {"l1_weight": 1.0, "adversarial_weight": 0.0, "perceptual_weight": 0.0, "chroma_weight": 2.0}
    return colorize.compute_losses(net, samples, **{**weights, **changes})


def one_batch(hints=False):
    generator = torch.Generator().manual_seed(1)
    luma, cbcr = (torch.rand(2, channels, 64, 64, generator=generator) for channels in (1, 2))
    samples = {"luma": luma, "cbcr": 0.4 * cbcr - 0.2}
    return samples | ({"hints": torch.zeros(2, 3, 64, 64)} if hints else {})


def generator_net(channels=1):
    torch.manual_seed(0)
    return colorize.build(
        {
            "depth": 18,
            "width": 4,
            "channels": channels,
            "out_channels": 2,
            "stem": "imagenet",
            "extra_levels": 0,
        }
    )


def test_absolute_error_alone():
    net, samples = generator_net(), one_batch()
    losses = compute_losses(net, samples, l1_weight=3.0)
    assert losses.keys() == {"l1", "loss"} and losses["loss"] == 3 * losses["l1"]
    expected = colorization.chroma_l1(
        net(even_exposure(samples["luma"])), F.avg_pool2d(samples["cbcr"], 2), 2.0
    )
    assert torch.allclose(losses["l1"], expected)


def test_the_sum_of_all_terms(vgg_state):
    net, samples, vgg = generator_net(channels=4), one_batch(hints=True), VGG16(vgg_state)
    critic = Discriminator(8)
    weights = {"l1_weight": 0.5, "adversarial_weight": 0.1, "perceptual_weight": 0.01}
    losses = compute_losses(net, samples, **weights, discriminator=critic, vgg=vgg)
    assert losses.keys() == {"l1", "perceptual", "adversarial", "loss", "discriminator"}
    assert torch.allclose(
        losses["loss"], 0.5 * losses["l1"] + 0.1 * losses["adversarial"] + 0.01 * losses["perceptual"]
    )
    assert losses["perceptual"] > 0


def test_each_network_learns_from_its_own_loss():
    """The colours' loss leaves the critic alone, and the other way round; both reach all of their network."""
    net, critic = generator_net(), Discriminator(8)
    losses = compute_losses(net, one_batch(), l1_weight=0.0, adversarial_weight=1.0, discriminator=critic)
    losses["loss"].backward()
    assert all(p.grad is None and p.requires_grad for p in critic.parameters())
    assert net.head.weight.grad.abs().sum() > 0 and net.encoder.conv1.weight.grad.abs().sum() > 0
    net.zero_grad()
    losses["discriminator"].backward()
    assert all(p.grad is None for p in net.parameters()) and all(
        p.grad is not None for p in critic.parameters()
    )


def test_the_critic_judges_both_over_the_same_luma():
    net, samples, seen = generator_net(), one_batch(), []

    class Judge(torch.nn.Module):
        def forward(self, luma, cbcr):
            seen.append((luma, cbcr))
            return cbcr.mean((1, 2, 3))

    losses = compute_losses(net, samples, adversarial_weight=1.0, discriminator=Judge())
    (small, ours), (both, colours) = seen
    truth = F.avg_pool2d(samples["cbcr"], 2)
    assert torch.equal(small, F.avg_pool2d(samples["luma"], 2)) and torch.equal(
        both, torch.cat([small, small])
    )
    assert torch.equal(colours, torch.cat([truth, ours])) and ours.requires_grad and not colours.requires_grad
    assert losses["discriminator"] == adversarial.discriminator_hinge(
        truth.mean((1, 2, 3)), ours.mean((1, 2, 3))
    )


def test_rgb_of_chroma(portrait):
    ycbcr = torch.from_numpy(rgb_to_ycbcr(portrait)).permute(2, 0, 1)[None]
    rgb = colorization.rgb(ycbcr[:, :1], ycbcr[:, 1:])[0].permute(1, 2, 0).numpy()
    assert np.abs(rgb * 255 - portrait).max() < 0.01


# --------------------------------------------------------------------------------- phases


def train(data, run, *words):
    common = (
        "--data",
        data,
        "--run-dir",
        run,
        "--steps",
        2,
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
        "--critic-width",
        8,
    )
    return colorize.main([str(word) for word in ("train", *common, *words)])


def best(run):
    return max(run.glob("best-*.pt"))


def test_three_phases(data_folder, tmp_path, vgg_state):
    torch.save(vgg_state, tmp_path / "vgg16.pth")
    l1, gan, last = (tmp_path / name for name in ("l1", "gan", "vgg"))
    assert train(data_folder, l1) == 0
    assert (
        train(data_folder, gan, "--weights", best(l1), "--adversarial-weight", 0.01, "--precision", "bf16")
        == 0
    )
    third = [
        "--l1-weight",
        0,
        "--perceptual-weight",
        0.02,
        "--vgg-weights",
        tmp_path / "vgg16.pth",
        "--adversarial-weight",
        0.01,
        "--critic-weights",
        gan / "last.pt",
        "--critic-lr",
        1e-12,
    ]
    assert train(data_folder, last, "--weights", best(gan), *third) == 0
    rows = [
        [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (l1, gan, last)
    ]
    logged = [next(row for row in phase if "loss" in row).keys() for phase in rows]
    assert (
        "discriminator" not in logged[0]
        and {"l1", "adversarial", "discriminator"} <= logged[1]
        and "perceptual" in logged[2]
    )
    before, after = (checkpoint.read(run / "last.pt")["discriminator"]["net"] for run in (gan, last))
    kernels = [name for name in before if name.endswith("original")]
    # its critic went on
    assert kernels and all(torch.allclose(before[name], after[name], atol=1e-6) for name in kernels)
    assert "discriminator" not in checkpoint.read(l1 / "last.pt")


def test_mistakes_in_the_losses(data_folder, tmp_path, tiny_weights, capsys):
    nobody, own = tmp_path / "nobody.pt", tiny_weights["colorize"]
    for words, reason in (
        (["--l1-weight", 0], "nothing to train on"),
        (["--perceptual-weight", 1], "--perceptual-weight needs --vgg-weights"),
        (["--perceptual-weight", 1, "--vgg-weights", nobody], "no such weights file"),
        (["--perceptual-weight", 1, "--vgg-weights", own], f"--vgg-weights {own}: not a torchvision"),
        (["--critic-weights", nobody], "--critic-weights needs --adversarial-weight"),
        (["--critic-weights", nobody, "--adversarial-weight", 1], "no such weights file"),
    ):
        assert train(data_folder, tmp_path / "run", *words) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1, error
    for words in (["--l1-weight", "-1"], ["--adversarial-weight", "inf"], ["--hint-share", "2"]):
        with pytest.raises(SystemExit, match="2"):
            train(data_folder, tmp_path / "run", *words)


# --------------------------------------------------------------------------------- prediction


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
    both, scales, alone = colorizer.chroma(grey), colorize.SCALES, []
    for scale in scales:
        monkeypatch.setattr(colorize, "SCALES", (scale,))
        alone.append(colorizer.chroma(grey))
    assert len(scales) == 2 and np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, atol=1e-5)


def test_chroma_is_even_within_an_area_and_changes_at_its_edge(tiny_weights, monkeypatch):
    """A blotchy answer of the network, over two flat areas, comes out as one color for each."""
    colorizer = colorize.load(tiny_weights["colorize"], CPU)
    generator = torch.Generator().manual_seed(0)

    def answer(x, hints):
        blotches = 0.1 * torch.randn(1, 2, *x.shape[-2:], generator=generator)
        return torch.where(x > 0.5, 0.2, -0.2) + blotches

    monkeypatch.setattr(colorizer, "answer", answer)
    grey = np.full((200, 260), 0.2, np.float32)
    grey[:, 130:] = 0.8
    chroma = colorizer.chroma(grey)
    for area, expected in ((chroma[:, :110], -0.2), (chroma[:, 150:], 0.2)):
        assert area.mean() == pytest.approx(expected * colorizer.vivid, abs=0.02)
        assert area.std() < 0.015  # blotches of 0.1; enlarging and two scales alone leave 0.05


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_one_photograph_at_three_exposures_has_the_same_colours(name):
    """CIEDE2000 of the bundled weights' colours over the same luma: at most 2, where unequal treatment gave
    up to 7.6.
    """
    from skimage import data

    colorizer = colorize.load(colorize.WEIGHTS, CPU)
    grey = luma(getattr(data, name)()[::2, ::2])

    def colours(print_):
        picture = merge_chroma(grey, colorizer.chroma(np.rint(print_ * 255).astype(np.float32) / 255))
        return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)

    expected = colours(grey)
    assert metrics.colourfulness(expected) > 10  # else it would be easy
    for other in (grey**0.7, grey**1.4, 0.15 + 0.65 * grey, np.clip(1.25 * grey - 0.05, 0, 1)):
        assert metrics.ciede2000(colours(other), expected) < 2


# --------------------------------------------------------------------------------- upsampling


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
    assert error[0].mean() < 0.95 * error[1].mean() and error[0][near].mean() < 0.95 * error[1][near].mean()


# --------------------------------------------------------------------------------- as a user does it


def test_the_report_says_that_colours_are_replaced(tmp_path, portrait, tiny_weights):
    save(tmp_path / "in/scan.png", portrait)
    words = ("infer", tmp_path / "in", tmp_path / "out", "--json", tmp_path / "log.jsonl", "--device", "cpu")
    assert colorize.main([*map(str, words), "--weights", str(tiny_weights["colorize"])]) == 0
    assert any(
        "already coloured" in sentence
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
    assert first.shape[1] == 3 * 64 + 2 * 8 and (first[40:104, 144:] == p).all()  # grey | ours | truth
    assert sheet(data_folder) == 2 and "--overwrite" in capsys.readouterr().err
    save(tmp_path / "data/clean/a.png", np.full((64, 64, 3), (90, 60, 30), np.uint8))
    for number in range(15):
        save(tmp_path / f"data/old/{number:02}.png", p[..., 0])
    assert sheet(tmp_path / "data", "--overwrite") == 0
    many = read_photo(out).pixels
    assert many.shape[1] == 6 * 64 + 5 * 8 and many.shape[0] > 4 * 100
    assert sheet(tmp_path / "none", "--overwrite") == 2 and "to measure on" in capsys.readouterr().err
