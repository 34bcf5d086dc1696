"""What must hold on a GPU: the same answers as on the CPU, and training that runs. Skipped without one."""

import copy

import numpy as np
import pytest
import torch
from conftest import randomized
from runs import log, train

import colorize
import inpaint
import segment
from nets.norm import InPlaceABN, NormAct

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CPU, GPU = torch.device("cpu"), torch.device("cuda")
CLOSE = {"rtol": 1e-3, "atol": 1e-3}


@pytest.mark.parametrize("norm", [NormAct, InPlaceABN])
def test_norms_train_as_on_the_cpu(norm):
    layer, x = randomized(norm(8, slope=0.1)), torch.randn(4, 8, 16, 16)
    results = []
    for device in (CPU, GPU):
        mine = copy.deepcopy(layer).to(device).train()
        leaf = x.detach().clone().to(device).requires_grad_()
        y = mine(leaf * 1)
        y.square().sum().backward()
        results.append([t.detach().cpu() for t in (y, leaf.grad, mine.weight.grad, mine.running_var)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_finding_gives_the_same_probabilities(tiny_weights, portrait):
    luma = np.ascontiguousarray(portrait[..., 0], np.float32) / 255
    probabilities = [
        segment.load(tiny_weights["segment"], device)[0](luma).probability.cpu() for device in (CPU, GPU)
    ]
    torch.testing.assert_close(*probabilities, **CLOSE)


def test_painting_and_color_are_within_a_step(tiny_weights, portrait):
    mask = np.zeros(portrait.shape[:2], np.uint8)
    mask[60:90, 100:140] = 255
    painted = [inpaint.load(tiny_weights["inpaint"], d, grain=False)(portrait, mask) for d in (CPU, GPU)]
    assert np.abs(painted[0].astype(int) - painted[1]).max() <= 1
    luma = np.ascontiguousarray(portrait[..., 0], np.float32) / 255
    colored = [colorize.load(tiny_weights["colorize"], d)(luma) for d in (CPU, GPU)]
    assert np.abs(colored[0].astype(int) - colored[1]).max() <= 2


DISCRIMINATOR = ["--adversarial-weight", 0.1, "--discriminator-width", 4]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "stage, more",
    [(segment, []), (inpaint, []), (colorize, []), (inpaint, DISCRIMINATOR), (colorize, DISCRIMINATOR)],
)
def test_training_runs(data_folder, tmp_path, stage, more, precision):
    words = ["--device", "cuda", "--precision", precision, *more]
    assert train(stage, data_folder, tmp_path / "run", *words, steps=2) == 0
    losses = [row["loss"] for row in log(tmp_path / "run") if "loss" in row]
    assert losses
    assert all(np.isfinite(losses))
