"""The report STEM.json: its keys, and the check whether a photograph is already done.

The format is stable: keys are added, never renamed or removed, unless `version` rises. A line of `--json` is
the same object preceded by `status`: done, skipped (the report of the earlier run), or failed (with
`input.name` and `error` only).

    version     version of this format, 1
    program     name and version of the program, as in "photo-restore 0.1.0"
    input       name, sha256, format, size [width, height], bits per sample, channels (1 grey, 3 RGB)
    options     every option that changes the pixels, with the value used, and the requested outputs; sure:
                the confidence below which nothing is marked, null without this check; infrared is there only
                if it is not auto
    number_format  bf16 or fp32, whichever --precision auto chose; only with it
    weights     stage -> SHA-256 of its weights file
    companions  role (mask, protect, hints, infrared) -> SHA-256 of the file given for this photograph
    outputs     file name -> SHA-256 of the file
    invented    share of the pixels that were invented, 0 to 1; null if no stage invents any
    regions     count: connected parts of the mask; largest: the 100 largest, in descending order, each with
                its box [left, top, width, height] and pixels; null without a mask
    infrared    number of pixels that the infrared channel marks, before dilation; only if it was used
    dropped     small, large: number of detected marks left out of the mask because of --smallest and
                --largest; only with one of these options
    measured    largest differences in steps of 1/255, each only if such a picture was made:
                outside_mask: between input and restored picture outside the repairs, 0 unless the format
                is lossy; luma_color, luma_restored_color, luma_toned_color: of luma (BT.601), caused by
                colorizing
    tone        corrected: false if the print is not faded, or too faint to correct, so that the toned
                pictures equal the restored ones; if true, also black and white, the ends (0 to 1) of the
                print's range, and gain, the contrast factor, each a list of R, G and B, or of luma alone
                where the hue of a grey or sepia print is kept; null if no toned picture was made
    seconds     stage -> computing time; empty for `infer` of a single stage
    warnings    sentences: conversions on reading, and what to check
"""

from __future__ import annotations

import json
import math
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
    infrared: int | None = None,
    dropped: dict[str, int] | None = None,
    measured: dict[str, float] | None = None,
    seconds: dict[str, float] | None = None,
    warnings: list[str] | tuple[str, ...] = (),
    tone: dict | None = None,
    number_format: str | None = None,
) -> dict:
    """The report as plain JSON types. settings: options, weights, companions. outputs: file name -> its
    bytes. number_format: that of the networks, if any ran.
    """
    chosen = number_format if settings["options"].get("precision") == "auto" else None
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
        **({} if chosen is None else {"number_format": chosen}),
        "outputs": {file: sha256(data) for file, data in outputs.items()},
        "invented": None if invented is None else round(float(invented), 6),
        "regions": regions,
        **({} if infrared is None else {"infrared": infrared}),
        **({} if dropped is None else {"dropped": dropped}),
        "measured": {key: round(float(value), 3) for key, value in (measured or {}).items()},
        "tone": tone,
        "seconds": {stage: round(float(time), 3) for stage, time in (seconds or {}).items()},
        "warnings": [*photo.notes, *warnings],
    }


def done(path: Path, input_sha256: str, settings: dict) -> dict | None:
    """The report at `path` if it has the same input and settings and all its outputs exist, else None."""
    try:
        report = json.loads(path.read_text("utf-8"))
        same = (
            report["version"] == REPORT_VERSION
            and report["input"]["sha256"] == input_sha256
            and {key: report[key] for key in settings}
            == json.loads(json.dumps(settings))  # JSON turns tuples into lists
            and all((path.parent / file).is_file() for file in report["outputs"])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no report, or not ours
        return None
    return report if same else None


def dumps(report: dict, indent: int | None = None) -> str:
    """One JSON object and a line end. File names that are not UTF-8 are escaped; `os.fsencode` restores them
    after reading.
    """
    text = json.dumps(report, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(report, indent=indent, allow_nan=False)
    return text + "\n"


def finite(content):
    """Plain types with None for the numbers that JSON does not have (NaN, inf)."""
    if isinstance(content, dict):
        return {name: finite(item) for name, item in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(item) for item in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
