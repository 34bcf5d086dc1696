"""What the tests of the review page share."""

import json

import numpy as np
from chromium import downloaded
from PIL import Image

import restore
from engine import review

ODD = 'a <b>&"x" </script><img src=x onerror=alert(1)>'
NAMES = ["a", "deep/b", ODD.replace("/", "")]  # of the photographs in `reviewed`


def restored(photos, out, weights, *words):
    """The exit status of restore.py with small networks."""
    options = [word for stage, path in weights.items() for word in (f"--{stage}-weights", path)]
    return restore.main([str(w) for w in (photos, out, *options, "--device", "cpu", "--quiet", *words)])


def opened(browser, page, downloads, width=1280, height=800):
    page = browser.page(page.as_uri(), width, height, downloads)
    page.until("!!current")
    return page


def saved(folder):
    return downloaded(folder / "corrections.zip")


def name_at(page):
    return page.run("page.photos[state.at].name")


def go_to(page, name):
    page.run(f"go(page.photos.findIndex(photo => photo.name === {json.dumps(name)}))")
    page.until("!!current")


def window_point(page, x, y):
    """Where a point of the photograph is in the window."""
    return page.run(
        f"""(() => {{ const r = stage.getBoundingClientRect(), g = current.grid;
        return [r.left + view.x + {x} * g.sx * view.k, r.top + view.y + {y} * g.sy * view.k] }})()"""
    )


def swept(shape, stroke):
    """Pixels whose center is at most the radius away from the stroke, by definition."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    points, radius = np.array(stroke["points"]), max(stroke["radius"], 0.71)
    found = np.zeros(shape, bool)
    for a, b in zip(points[[0, *range(len(points) - 1)]], points):
        along = ((columns - a[0]) * (b - a)[0] + (rows - a[1]) * (b - a)[1]) / max(((b - a) ** 2).sum(), 1e-9)
        along = along.clip(0, 1)
        away = np.hypot(columns - a[0] - along * (b - a)[0], rows - a[1] - along * (b - a)[1])
        found |= away <= radius
    return found


def mask_of(path):
    return np.asarray(Image.open(path))


def written(folder, names=("x",), command=("restore.py",)):
    """The page of these records in a folder."""
    review._write_pages(folder, list(names), list(command), overwrite=False)
    return folder / "review.html"
