"""What the tests of the blind votes share."""

import base64
import io
import json
import re

from PIL import Image

import colorize


def vote(photos, out, weights, *words):
    return colorize.main(
        [
            str(word)
            for word in ("vote", photos, out, "--quiet", "--device", "cpu", *words, "--weights", *weights)
        ]
    )


def content(folder):
    page = (folder / "index.html").read_text("utf-8")
    return json.loads(re.search(r'<script id="ballot" type="application/json">(.*?)</script>', page)[1]), page


def decoded(url):
    kind, data = url.split(",", 1)
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))
