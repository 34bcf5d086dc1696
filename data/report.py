"""The report of one photo, `STEM.json`: what went in, what was done, what came out.

A stable format: keys are added, never renamed or removed, unless `version` rises. A line of `--json` is the
same object with `status` before it: done, skipped (the report is that of the former run), or failed, then
with `input.name` and `error` alone.

    version     1, of this format
    program     name and version of the program, as in "photo-restore 0.1.0"
    input       name, sha256, format, size [width, height], bits per sample, channels (1 grey, 3 RGB)
    options     every option that changes the pixels, as given, and which outputs were asked for
    weights     stage -> SHA-256 of its weights file
    companions  role (mask, protect, hints) -> SHA-256 of the file given for this photo
    outputs     file name -> SHA-256 of the file
    invented    share of pixels that were made up, 0 to 1; null where no stage makes any up
    regions     count: connected parts of the mask; largest: the 100 with most pixels, most first, each with
                its box [left, top, width, height] and pixels; null where there is no mask
    measured    largest differences in steps of 1/255, each only where such a picture was made:
                outside_mask: between input and restored picture where nothing was to be repaired, 0 unless
                the format is lossy; luma_color, luma_restored_color: of luma (BT.601) by colouring
    seconds     stage -> time of computing
    warnings    sentences: what was converted on reading, what should be looked at
"""

from __future__ import annotations

import json
from pathlib import Path

from data.files import sha256
from data.photo import Photo

REPORT_VERSION = 1


def build(
    photo: Photo,
    name: str,
    settings: dict,
    outputs: dict[str, bytes],
    program: str = "photo-restore",
    invented: float | None = None,
    regions: dict | None = None,
    measured: dict[str, float] | None = None,
    seconds: dict[str, float] | None = None,
    warnings: list[str] | tuple[str, ...] = (),
) -> dict:
    """The report as plain JSON types. settings: options, weights, companions; outputs: file name -> its
    bytes.
    """
    return {
        "version": REPORT_VERSION,
        "program": program,
        "input": {
            "name": name,
            "sha256": photo.sha256,
            "format": photo.format,
            "size": list(photo.size),
            "bits": photo.pixels.itemsize * 8,
            "channels": 3 if photo.pixels.ndim == 3 else 1,
        },
        **settings,
        "outputs": {file: sha256(data) for file, data in outputs.items()},
        "invented": None if invented is None else round(float(invented), 6),
        "regions": regions,
        "measured": {key: round(float(value), 3) for key, value in (measured or {}).items()},
        "seconds": {stage: round(float(time), 3) for stage, time in (seconds or {}).items()},
        "warnings": [*photo.notes, *warnings],
    }


def done(path: Path, input_sha256: str, settings: dict) -> dict | None:
    """The report at `path` if it says that the same was done already and all its outputs are there, else
    None.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
        same = (
            report["version"] == REPORT_VERSION
            and report["input"]["sha256"] == input_sha256
            and {key: report[key] for key in settings}
            == json.loads(json.dumps(settings))  # tuples became lists
            and all((path.parent / file).is_file() for file in report["outputs"])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no report, or not one of ours
        return None
    return report if same else None


def dumps(report: dict, indent: int | None = None) -> str:
    """One JSON object and a line end. A file name that is no UTF-8 is escaped, as `os.fsencode` of what is
    read back gives it.
    """
    text = json.dumps(report, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(report, indent=indent, allow_nan=False)
    return text + "\n"
