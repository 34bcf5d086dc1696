"""VGG-16's features: torchvision's, with the same random weights, are the reference."""

import pytest
import torch
import torchvision

from nets.resnet import RGB_DEVIATION, RGB_MEAN
from nets.vgg import VGG16

PLACES = {
    "relu1_1": 2,
    "relu1_2": 4,
    "pool1": 5,
    "relu2_2": 9,
    "pool2": 10,
    "relu3_1": 12,
    "pool3": 17,
    "pool5": 31,
}


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    with torch.device("meta"):  # its classifier, 500 MB, is never filled
        net = torchvision.models.vgg16(init_weights=False).features.eval()
    net.to_empty(device="cpu")
    for parameter in net.parameters():
        torch.nn.init.kaiming_normal_(parameter) if parameter.dim() > 1 else torch.nn.init.normal_(
            parameter, std=0.1
        )
    return net


@pytest.fixture(scope="module")
def state(reference):
    return {f"features.{name}": x for name, x in reference.state_dict().items()}


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_same_features(reference, state, channels):
    x = torch.rand(2, channels, 64, 48)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (RGB_MEAN, RGB_DEVIATION))
    normal = (x.expand(-1, 3, -1, -1) - mean) / deviation
    features = VGG16(state, PLACES)(x)
    assert len(features) == len(PLACES)
    for feature, end in zip(features, PLACES.values()):
        torch.testing.assert_close(feature, reference[:end](normal.clone()))


def test_what_the_losses_take_by_default(state):
    features = VGG16(state)(torch.rand(1, 1, 32, 40))
    assert [tuple(feature.shape) for feature in features] == [
        (1, 64, 16, 20),
        (1, 128, 8, 10),
        (1, 256, 4, 5),
    ]


def test_layers_come_in_the_order_asked(state):
    deep, fine = VGG16(state, ("pool2", "relu1_1"))(torch.rand(1, 1, 16, 16))
    assert deep.shape[1] == 128
    assert fine.shape[1] == 64


def test_a_state_with_a_classifier_is_loaded_too(state):
    whole = {**state, "classifier.0.weight": torch.zeros(3), "classifier.0.bias": torch.zeros(3)}
    net = VGG16(whole)
    assert torch.equal(net.features[28].weight, state["features.28.weight"])
    assert net.state_dict().keys() == state.keys()


def test_frozen_but_not_for_the_picture(state):
    net, picture = VGG16(state), torch.rand(1, 1, 16, 16, requires_grad=True)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    sum(feature.sum() for feature in net(picture)).backward()
    assert picture.grad.abs().min() > 0
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_picture_is_not_changed(state):
    picture = torch.rand(1, 3, 16, 16)
    before = picture.clone()
    VGG16(state)(picture)
    assert torch.equal(picture, before)


@pytest.mark.parametrize(
    "change, reason",
    [
        (
            lambda state: {**state, "features.1.weight": torch.zeros(64)},
            "features.1.weight",
        ),  # with norms: VGG-16-BN
        (
            lambda state: {name: x for name, x in state.items() if name != "features.28.bias"},
            "features.28.bias",
        ),
        (lambda state: {**state, "features.0.weight": torch.zeros(64, 1, 3, 3)}, "features.0.weight"),
        (lambda state: {**state, "features.0.bias": 3}, "features.0.bias"),
        (lambda state: {}, "features"),
    ],
)
def test_another_network_is_a_clear_error(state, change, reason):
    with pytest.raises(ValueError, match="not a torchvision VGG-16") as caught:
        VGG16(change(state))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_layer_is_named(state):
    with pytest.raises(ValueError, match="no layer 'relu6_1'"):
        VGG16(state, ("pool1", "relu6_1"))
