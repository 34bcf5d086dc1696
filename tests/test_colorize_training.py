"""Training of the colorize stage: its losses and phases."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import colorize
from data import checkpoint
from data.pixels import rgb_to_ycbcr
from losses import adversarial, colorization
from nets.ops.exposure import even_exposure
from nets.sagan import COLORS, Discriminator
from nets.vgg import VGG16


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
    assert losses.keys() == {"l1", "loss"}
    assert losses["loss"] == 3 * losses["l1"]
    expected = colorization.chroma_l1(
        net(even_exposure(samples["luma"])), F.avg_pool2d(samples["cbcr"], 2), 2.0
    )
    assert torch.allclose(losses["l1"], expected)


def test_the_sum_of_all_terms(vgg_state):
    net, samples, vgg = generator_net(channels=4), one_batch(hints=True), VGG16(vgg_state)
    discriminator = Discriminator(COLORS, 8)
    weights = {"l1_weight": 0.5, "adversarial_weight": 0.1, "perceptual_weight": 0.01}
    losses = compute_losses(net, samples, **weights, discriminator=discriminator, features=vgg)
    assert losses.keys() == {"l1", "perceptual", "adversarial", "loss", "discriminator"}
    assert torch.allclose(
        losses["loss"], 0.5 * losses["l1"] + 0.1 * losses["adversarial"] + 0.01 * losses["perceptual"]
    )
    assert losses["perceptual"] > 0


def test_each_network_learns_from_its_own_loss():
    """The colors' loss leaves the discriminator alone, and the reverse; both reach all of their network."""
    net, discriminator = generator_net(), Discriminator(COLORS, 8)
    losses = compute_losses(
        net, one_batch(), l1_weight=0.0, adversarial_weight=1.0, discriminator=discriminator
    )
    losses["loss"].backward()
    assert all(p.grad is None and p.requires_grad for p in discriminator.parameters())
    assert net.head.weight.grad.abs().sum() > 0
    assert net.encoder.conv1.weight.grad.abs().sum() > 0
    net.zero_grad()
    losses["discriminator"].backward()
    assert all(p.grad is None for p in net.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())


def test_the_discriminator_judges_both_over_the_same_luma():
    net, samples, seen = generator_net(), one_batch(), []

    class Judge(torch.nn.Module):
        def forward(self, x):
            seen.append(x.split((1, 2), 1))
            return x[:, 1:].mean((1, 2, 3))

    losses = compute_losses(net, samples, adversarial_weight=1.0, discriminator=Judge())
    (small, ours), (both, colors) = seen
    truth = F.avg_pool2d(samples["cbcr"], 2)
    assert torch.equal(small, F.avg_pool2d(samples["luma"], 2))
    assert torch.equal(both, torch.cat([small, small]))
    assert torch.equal(colors, torch.cat([truth, ours]))
    assert ours.requires_grad
    assert not colors.requires_grad
    assert losses["discriminator"] == adversarial.discriminator_hinge(
        truth.mean((1, 2, 3)), ours.mean((1, 2, 3))
    )


def test_rgb_of_chroma(portrait):
    ycbcr = torch.from_numpy(rgb_to_ycbcr(portrait)).permute(2, 0, 1)[None]
    rgb = colorization.rgb(ycbcr[:, :1], ycbcr[:, 1:])[0].permute(1, 2, 0).numpy()
    assert np.abs(rgb * 255 - portrait).max() < 0.01


def train(data, run, *words):
    small = ["--encoder", 18, "--width", 4, "--discriminator-width", 8, "--crop", 32, "--batch-size", 2]
    common = ["--data", data, "--run-dir", run, "--steps", 2, "--device", "cpu", "--workers", 0]
    return colorize.main([str(word) for word in ("train", *common, *small, *words)])


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
        "--discriminator-weights",
        gan / "last.pt",
        "--discriminator-lr",
        1e-12,
    ]
    assert train(data_folder, last, "--weights", best(gan), *third) == 0
    rows = [
        [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (l1, gan, last)
    ]
    logged = [next(row for row in phase if "loss" in row).keys() for phase in rows]
    assert "discriminator" not in logged[0]
    assert {"l1", "adversarial", "discriminator"} <= logged[1]
    assert "perceptual" in logged[2]
    before, after = (checkpoint.read(run / "last.pt")["discriminator"]["net"] for run in (gan, last))
    kernels = [name for name in before if name.endswith("original")]
    # its discriminator went on
    assert kernels
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in kernels)
    assert "discriminator" not in checkpoint.read(l1 / "last.pt")


def test_mistakes_in_the_losses(data_folder, tmp_path, tiny_weights, capsys):
    nobody, own = tmp_path / "nobody.pt", tiny_weights["colorize"]
    for words, reason in (
        (["--l1-weight", 0], "nothing to train on"),
        (["--perceptual-weight", 1], "--perceptual-weight needs --vgg-weights or --features"),
        (["--perceptual-weight", 1, "--vgg-weights", nobody], "no such weights file"),
        (["--perceptual-weight", 1, "--vgg-weights", own], f"--vgg-weights {own}: not a torchvision"),
        (["--vgg-weights", "hed", "--features", "lite0"], "--vgg-weights and --features: give one"),
        (["--discriminator-weights", nobody], "--discriminator-weights needs --adversarial-weight"),
        (["--discriminator-weights", nobody, "--adversarial-weight", 1], "no such weights file"),
    ):
        assert train(data_folder, tmp_path / "run", *words) == 2
        error = capsys.readouterr().err
        assert reason in error, error
        assert error.count("\n") == 1, error
    for words in (["--l1-weight", "-1"], ["--adversarial-weight", "inf"], ["--hint-share", "2"]):
        with pytest.raises(SystemExit, match="2"):
            train(data_folder, tmp_path / "run", *words)
