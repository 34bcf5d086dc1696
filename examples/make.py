"""Makes the pictures of this folder: two public-domain portraits, also artificially aged and damaged.

python examples/make.py            needs matplotlib and scikit-image, which contain the portraits
python examples/make.py readme     the README's before_after.jpg, with the bundled weights
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.synthesis.ageing import age, tint
from data.synthesis.defects import damage

HERE = Path(__file__).resolve().parent
SEEDS = {"grace_hopper": 1911, "astronaut": 1920}
KINDS = ["folds", "cracks", "dust", "peels", "torn_corners", "light_scratches"]


def originals() -> dict[str, Image.Image]:
    """The portraits as their packages contain them, RGB."""
    import matplotlib.cbook
    import skimage.data

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        grace_hopper = Image.open(file).convert("RGB")
    return {"grace_hopper": grace_hopper, "astronaut": Image.fromarray(skimage.data.astronaut())}


def old(portrait: Image.Image, seed: int) -> Image.Image:
    """The portrait in grey, aged, damaged and slightly tinted."""
    rng = np.random.default_rng(seed)
    luma = np.asarray(portrait.convert("L"), np.float32) / 255
    faded = age(luma, rng, 0.5)
    damaged, _ = damage(faded, rng, kinds=KINDS, amount=0.35)
    return Image.fromarray(tint(age(damaged, rng, 0.15), rng))


def portraits() -> None:
    """The portraits and their old versions."""
    for name, portrait in originals().items():
        portrait.save(HERE / f"{name}.jpg", quality=92)
        old(portrait, SEEDS[name]).save(HERE / f"{name}_old.jpg", quality=92)
        print(f"{name}: {portrait.width} x {portrait.height}, seed {SEEDS[name]}")


def before_after() -> None:
    """The README's picture: the old portrait and the results of restore.py, side by side."""
    import restore

    with tempfile.TemporaryDirectory() as out:
        options = ["--only", "restored", "--only", "restored_color", "--compare", "--quiet"]
        status = restore.main([str(HERE / "grace_hopper_old.jpg"), out, *options])
        if status != 0:
            sys.exit("restore.py failed")
        Image.open(Path(out) / "grace_hopper_old_compare.png").save(HERE / "before_after.jpg", quality=85)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"portraits": portraits, "readme": before_after}
    parser.add_argument("part", nargs="?", choices=parts, default="portraits", help="default: portraits")
    parts[parser.parse_args().part]()


if __name__ == "__main__":
    main()
