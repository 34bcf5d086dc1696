"""What updates weights: learning rate, weight decay, moving average, discriminator, tally of losses."""

import itertools

import pytest
import torch

import segment
from engine.optim import EMA, Discriminator, LossTally, make_optimizer, schedule
from engine.processes import Processes
from nets.efficientnet import EfficientNetLite
from nets.unet import AlbuNet


def test_learning_rate_warms_up_and_falls_along_a_cosine():
    rates = [schedule(step, 1000, 2e-3) for step in range(1000)]
    assert [rates[0], rates[14], rates[29]] == pytest.approx([2e-3 / 30, 1e-3, 2e-3])
    assert max(rates) == pytest.approx(2e-3)
    assert all(a < b for a, b in itertools.pairwise(rates[:30]))
    assert all(a > b for a, b in itertools.pairwise(rates[30:]))
    assert rates[515] == pytest.approx(2e-3 * (0.01 + 0.99 / 2))
    assert rates[-1] == pytest.approx(2e-5, rel=0.01)


def test_learning_rate_of_very_long_and_short_runs():
    long = [schedule(step, 10**6, 1.0) for step in (0, 499, 999, 1000)]
    assert long == pytest.approx([1e-3, 0.5, 1, 1])  # at most 1000 steps of warm-up
    assert 0 < schedule(0, 1, 1.0) <= 1
    assert 0 < schedule(2, 3, 1.0) < 1


def test_weight_decay_is_for_kernels_only():
    net = segment.build({"width": 8})
    kernels, others = make_optimizer(net, 1e-3).param_groups
    assert kernels["weight_decay"] == 1e-4
    assert others["weight_decay"] == 0
    assert all(p.dim() == 4 for p in kernels["params"])
    assert all(p.dim() == 1 for p in others["params"])
    grouped = {id(p) for group in (kernels, others) for p in group["params"]}
    assert grouped == {id(p) for p in net.parameters()}


def test_weight_decay_shrinks_kernels():
    net = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.ones_(net.weight)
    optimizer = make_optimizer(net, 0.1)
    net.weight.grad, net.bias.grad = torch.zeros_like(net.weight), torch.zeros_like(net.bias)
    optimizer.step()
    assert net.weight.item() == pytest.approx(1 - 0.1 * 1e-4)


def test_the_average_follows_weights_and_statistics():
    net = torch.nn.BatchNorm1d(1)
    ema = EMA(net, 0.5)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.running_mean.fill_(7.0)
        net.num_batches_tracked.fill_(4)
    ema.update(net, 100)
    assert ema.net.weight.item() == 0.5 * 1 + 0.5 * 3
    assert ema.net.running_mean.item() == 0.5 * 0 + 0.5 * 7
    assert ema.net.num_batches_tracked.item() == 4
    assert not ema.net.training
    assert not ema.net.weight.requires_grad


def test_a_young_average_forgets_fast():
    net = torch.nn.Linear(1, 1)
    ema = EMA(net, 0.999)
    old = ema.net.weight.item()
    torch.nn.init.constant_(net.weight, 3.0)
    ema.update(net, 0)  # decay (0 + 1) / (0 + 10)
    assert ema.net.weight.item() == pytest.approx(0.1 * old + 0.9 * 3)


def discriminator(lr=0.1):
    net = torch.nn.Linear(2, 1)
    return net, Discriminator(net, lr, Processes("cpu"))


def test_a_discriminator_without_finite_gradients_stands_still():
    net, judge = discriminator()
    before = [x.clone() for x in net.parameters()]
    judge.step(net(torch.ones(1, 2)).sum() * float("nan"), torch.zeros(()))
    assert all(torch.equal(x, y) for x, y in zip(net.parameters(), before))
    judge.step(net(torch.ones(1, 2)).sum(), torch.ones(()))  # the other network's were not finite
    assert all(torch.equal(x, y) for x, y in zip(net.parameters(), before))
    judge.step(net(torch.ones(1, 2)).sum(), torch.zeros(()))
    assert not torch.equal(net.weight, before[0])


def test_a_tally_leaves_skipped_steps_out():
    tally, processes = LossTally(), Processes("cpu")
    for loss, skipped in ((1.0, 0.0), (float("nan"), 1.0), (2.0, 0.0)):
        tally.add({"loss": torch.tensor(loss)}, torch.tensor(skipped))
    assert tally.read(processes, stopping=False) == (1, 0, False, 0, 0)
    for loss, skipped in ((6.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0)):
        tally.add({"loss": torch.tensor(loss)}, torch.tensor(skipped))
    assert tally.read(processes, stopping=True) == (2, 2, True, 0, 0)
    assert tally.means() == {"loss": 3.0}
    tally.add({"loss": torch.tensor(5.0)}, torch.tensor(0.0))
    tally.read(processes, stopping=False)
    assert tally.means() == {"loss": 5.0}


def test_a_pretrained_encoder_learns_at_its_own_share_of_the_learning_rate():
    net = AlbuNet("lite0", width=8, stem="imagenet", extra_levels=0)
    groups = make_optimizer(net, 0.1).param_groups
    slow = {p for group in groups if group["lr_scale"] != 1 for p in group["params"]}
    assert {group["lr_scale"] for group in groups} == {1, EfficientNetLite.lr_scale}
    assert slow == set(net.encoder.parameters())
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
