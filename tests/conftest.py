"""What several tests share: photographs, data folders and small networks, all made here."""

import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the commands that tests start
# a shell starts its background jobs so; commands would inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from PIL import Image, ImageCms

from data.photo import Photo, encode

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="session")
def portrait():
    """A photograph of a person, RGB (256, 256, 3) uint8."""
    from skimage import data

    return np.asarray(Image.fromarray(data.astronaut()).resize((256, 256), Image.Resampling.BOX))


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory, portrait):
    """A small data folder with every part that the three stages use."""
    from skimage import data

    root = tmp_path_factory.mktemp("data")
    cat = Image.fromarray(data.chelsea())
    camera = np.asarray(Image.fromarray(data.camera()).resize((160, 160), Image.Resampling.BOX))

    def save(name, picture):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path)

    save("clean/people/a.png", portrait)
    save("clean/people/b.jpg", portrait[40:200, 60:220])
    save("clean/others/c.png", cat.resize((180, 120)))
    scratched, mask = camera.copy(), np.zeros_like(camera)
    for column in (30, 90):
        mask[10:150, column : column + 4] = 255
    scratched[mask == 255] = 250
    mask[:, 140:] = 128  # nobody looked at this part
    save("labelled/images/scratched.png", scratched)
    save("labelled/masks/scratched.png", mask)
    save("val/labelled/images/v.png", scratched[:64, :64])
    save("val/labelled/masks/v.png", mask[:64, :64])
    save("val/clean/people/p.png", portrait[60:124, 80:144])
    save("val/clean/others/q.png", cat.resize((64, 48)))
    flake = np.zeros((40, 60), np.uint8)
    flake[10:30, 20:35] = 255
    save("textures/flakes/flake.png", flake)
    return root


def randomized(net, seed=0, gain=1.0):
    """The network with random weights in every layer and norm statistics that are not the neutral ones."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, x in net.state_dict().items():
            if name.endswith("running_var") or (x.dim() == 1 and name.endswith("weight")):
                x.copy_(0.5 + torch.rand(x.shape, generator=generator))
            elif x.dim() == 1:
                x.copy_(0.1 * torch.randn(x.shape, generator=generator))
            elif x.dim() > 1:
                x.copy_(gain * torch.randn(x.shape, generator=generator) / x[0].numel() ** 0.5)
    return net.eval()


def assert_all_trained(net):
    """After backward(): every parameter has a finite gradient that is not zero everywhere."""
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Weights files of tiny random networks: stage -> path. Large head kernels, so that they do much."""
    import colorize
    import engine
    import inpaint
    import segment
    from data import checkpoint

    folder, paths = tmp_path_factory.mktemp("weights"), {}
    small = {"width": 4, "channels": 1}
    for stage, options, settings in (
        (
            segment,
            {"depth": 18, "out_channels": 1, "stem": "full", "extra_levels": 1, **small},
            {"threshold": 0.45, "sure": 0.0},
        ),
        (inpaint, {"levels": 4, "widest": 2, **small}, {"hole_share": [0.01, 0.25]}),
        (colorize, {"depth": 18, "out_channels": 2, "stem": "imagenet", "extra_levels": 0, **small}, {}),
    ):
        net = randomized(stage.build(options))
        content = checkpoint.weights(stage.STAGE, engine.VERSION, options, net, settings, {"done": 0})
        paths[stage.STAGE] = folder / f"{stage.STAGE}.pt"
        checkpoint.save(paths[stage.STAGE], content)
    return paths


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny_weights):
    """Three weights files of the colorize stage that give different colors."""
    from data import checkpoint

    content, folder = checkpoint.read(tiny_weights["colorize"]), tmp_path_factory.mktemp("models")
    for number, name in enumerate(("ann", "bob", "cat")):
        content["state"]["head.bias"] = content["state"]["head.bias"] + 0.1 * number
        checkpoint.save(folder / f"{name}.pt", content)
    return [folder / f"{name}.pt" for name in ("ann", "bob", "cat")]


@pytest.fixture(scope="session")
def example_ballot(tmp_path_factory, portrait, models):
    """A ballot of four photographs and three models; its key."""
    from voting import vote

    folder = tmp_path_factory.mktemp("ballot")
    for number in range(4):
        save(folder / f"in/{number}.png", portrait[10 * number : 10 * number + 90, 60:190])
    assert vote(folder / "in", folder / "ballot", models, "--seed", 5) == 0
    return folder / "ballot", json.loads((folder / "ballot.key.json").read_text())


@pytest.fixture
def run(tiny_weights):
    """Runs restore.py in this process; returns the exit status."""
    from restoring import options

    import restore

    return lambda *words, weights=tiny_weights: restore.main([*options(weights), *map(str, words)])


@pytest.fixture(scope="session")
def median(tiny_weights):
    """A threshold that the given share of a photograph's pixels reaches."""
    import torch

    import segment
    from data.pixels import luma

    finder, _ = segment.load(tiny_weights["segment"], torch.device("cpu"))

    def threshold(photo, share=0.3):
        return float(torch.quantile(finder(luma(photo.pixels)).probability, 1 - share))

    return threshold


@pytest.fixture(scope="session")
def trained(data_folder, tmp_path_factory):
    """A finished run of every stage, made when it is asked for: stage -> run folder."""
    from runs import train

    runs = {}

    def run(stage):
        if stage not in runs:
            runs[stage] = tmp_path_factory.mktemp("runs") / stage.STAGE
            assert train(stage, data_folder, runs[stage]) == 0
        return runs[stage]

    return run


@pytest.fixture(scope="session")
def vgg_state():
    """Random weights of VGG-16 under torchvision's names, half precision."""
    import torch
    import torchvision

    with torch.device("meta"):
        names = torchvision.models.vgg16(init_weights=False).features.state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        f"features.{name}": torch.randn(x.shape, generator=generator).half() / max(1, x[0].numel()) ** 0.5
        for name, x in names.items()
    }


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Headless Chromium; without it the tests that need it are skipped."""
    from chromium import PROGRAM, Chromium

    if not PROGRAM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    try:
        browser.call("Browser.getVersion")
    except (OSError, RuntimeError) as error:  # TimeoutError is an OSError
        pytest.skip(f"Chromium does not start on this machine ({error})")
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def review_template(tmp_path_factory, portrait, tiny_weights):
    """A folder with three photographs in scans/, restored in out/ with --page."""
    from reviewing import NAMES, restored

    folder = tmp_path_factory.mktemp("review")
    for number, name in enumerate(NAMES):
        save(folder / f"scans/{name}.png", portrait[20 * number : 20 * number + 96, 60:188])
    assert restored(folder / "scans", folder / "out", tiny_weights, "--page", "--recursive") == 0
    return folder


@pytest.fixture
def reviewed(review_template, tmp_path, monkeypatch):
    """A copy of that, to change, and to run commands in."""
    shutil.copytree(review_template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path, pixels, alpha=None, format=None, **facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    format = format or {".tif": "TIFF", ".webp": "WEBP"}.get(path.suffix, "PNG")
    path.write_bytes(encode(pixels, Photo(pixels, alpha, **facts), format))
    return path


@pytest.fixture
def scan(tmp_path, portrait):
    return save(tmp_path / "in/scan.png", portrait[40:88, 80:144])


def square(height=48, width=64, box=np.s_[10:30, 20:50]):
    mask = np.zeros((height, width), np.uint8)
    mask[box] = 255
    return mask


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def saved(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(**extra):
    tags = Image.Exif()
    tags[270], tags[315] = "Grandmother, 1943", "A. Smith"
    tags[0x8769] = {36867: "1999:01:02 03:04:05"}
    tags[0x8825] = {1: "N"}
    for tag, value in extra.items():
        tags[int(tag[1:])] = value
    return tags.tobytes()
