"""The review page: photographs to check, correct and approve in a browser, most doubtful first.

    OUT/STEM_review.json   what the page shows of one photograph
    OUT/review.html        the page; review-2.html and so on beyond 200 photographs

The page gives corrections.zip, which `data.corrections` reads.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shlex
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.corrections import Correction, read_corrections
from data.errors import PhotoError, UserError
from data.files import refuse_existing, sha256, write_whole
from data.photo import Photo, read_bytes
from engine.launch import rank
from engine.messages import say
from engine.page import data_url, inline_json, template

VERSION = 1  # of STEM_review.json
SUFFIX = "_review.json"
SIDE = 1280  # px, longer side of the pictures on the page
LEAST = 3  # percent, the lowest threshold that the page offers
THUMB = 112  # px, of those in the list, shown at half that size
PER_PAGE = 200  # photographs: about 60 MB, which a browser opens in 2 s
MUCH_INVENTED = 0.05  # share of the pixels from which doubt grows no more
MANY_REGIONS = 300
MARK = '<meta name="generator" content="photo-restore review">'  # tells our pages from those of others


# ------------------------------------------------------------------------------------------ one photograph


@dataclass(frozen=True)
class Detection:
    """How a mask was detected, so that the page can redraw it with another threshold."""

    probability: np.ndarray | None = None  # (h, w) in [0, 1] of the working size, dilated as for the mask
    threshold: float | None = None
    infrared: np.ndarray | None = None  # (H, W) bool, marked whatever the threshold
    smallest: float | None = None  # least area of a mark, in px of the working size
    largest: float | None = None  # greatest area of a mark, as a share of the photograph
    reason: str = ""  # why there is no threshold to change

    def content(self) -> dict:
        """The keys of STEM_review.json; limits: least and greatest share of the area of a mark, or None."""
        levels, limits = None, None
        if self.probability is not None:
            levels = _levels(self.probability)
            least = (self.smallest or 0) / self.probability.size
            limits = [least, self.largest or 1] if self.smallest or self.largest else None
        return {
            "threshold": None if self.threshold is None else round(float(self.threshold), 4),
            "probability": levels,
            "limits": limits,
            "infrared": None if self.infrared is None else _bits(self.infrared),
            "no_threshold": self.reason,
        }


def record(
    photo: Photo,
    name: str,
    source: str,
    mask: np.ndarray,
    pictures: dict[str, np.ndarray],
    facts: dict,
    detection: Detection | None,
    protected: np.ndarray | None = None,
    former: dict | None = None,
) -> bytes:
    """STEM_review.json of one photograph.

    name: STEM, of its results. source: where it was read from. mask: (H, W) uint8, 255 damaged. pictures:
    restored, restored_color or color -> pixels. facts: invented, regions and warnings, as in the report.
    detection: None if the mask was given. protected: (H, W) bool, what is never repaired. former: an earlier
    record of a photograph whose mask is given now, which still tells its probability.
    """
    shown = ("restored", "restored_color") if "restored_color" in pictures else pictures
    pictures = {"original": photo.pixels, **{key: pictures[key] for key in shown if key in pictures}}
    detection = detection or Detection(reason="Its mask was given, so there is no threshold to change.")
    score, reasons = doubts(facts, detection.probability, detection.threshold)
    redrawn = detection.content()
    if former and former["sha256"] == photo.sha256:
        redrawn = {key: former.get(key) for key in redrawn}
        score, reasons = 0.0, ["corrected by hand", *reasons]
    content = {
        "version": VERSION,
        "name": name,
        "input": source,
        "sha256": photo.sha256,
        "size": list(photo.size),
        "doubt": round(score, 4),
        "reasons": reasons,
        "thumb": data_url(photo.pixels, THUMB, "WEBP", quality=60),
        "pictures": {key: data_url(pixels, SIDE, "WEBP", quality=75) for key, pixels in pictures.items()},
        "mask": _bits(mask == 255),
        "protected": None if protected is None else _bits(protected),
        **redrawn,
    }
    return json.dumps(content).encode()


def _bits(mask: np.ndarray) -> str:
    """A mask (H, W) bool, each row starting a byte."""
    return _packed(np.packbits(mask, axis=1))


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()


def _levels(probability: np.ndarray) -> dict:
    """The probability in percent, a byte for a pixel; of those beyond `SIDE` px, the largest of several.

    What is below `LEAST` percent becomes 0: no threshold is set there, and it takes a third of the bytes.
    """
    scale = min(1, SIDE / max(probability.shape))
    for axis, length in enumerate(probability.shape):
        short = max(1, round(length * scale))
        probability = np.maximum.reduceat(probability, np.arange(short) * length // short, axis)
    percent = np.rint(probability * 100).astype(np.uint8)
    percent[percent < LEAST] = 0
    return {"size": list(percent.shape[::-1]), "levels": _packed(percent)}


def doubts(facts: dict, probability: np.ndarray | None, threshold: float | None) -> tuple[float, list[str]]:
    """How much a person should look at this photograph, from 0, and why: sentences, the gravest first."""
    found = []
    if invented := facts.get("invented") or 0:
        found.append((min(1, invented / MUCH_INVENTED), f"{invented:.1%} of the pixels are invented"))
    if count := (facts.get("regions") or {}).get("count", 0):
        found.append((min(1, count / MANY_REGIONS), f"{count} separate marks" if count > 1 else "one mark"))
    if dropped := sum((facts.get("dropped") or {}).values()):
        marks = f"{dropped} marks" if dropped > 1 else "one mark"
        found.append((0.05, f"{marks} left out by size"))
    if probability is not None:
        marked = probability >= threshold
        possible = probability >= threshold / 2
        close = possible & (probability < (1 + threshold) / 2)
        if marked.any() and invented:
            sure = float(probability[marked].mean())
            found.append((1 - sure, f"mean confidence of the marks: {sure:.0%}"))
        if possible.any():
            share = float(close.sum() / possible.sum())
            weight = share * min(1, float(close.mean()) / 0.02)
            found.append((weight, f"{share:.0%} of possible damage near the threshold"))
    found += [(0.5, warning) for warning in facts.get("warnings", ())]
    found.sort(key=lambda entry: -entry[0])
    reasons = [reason for weight, reason in found if weight >= 0.05] or ["no doubts"]
    if not invented:
        reasons = [*reasons, "nothing is marked"] if reasons != ["no doubts"] else ["nothing is marked"]
    return float(sum(weight for weight, _ in found)), reasons


# ------------------------------------------------------------------------------------------ the command


def review_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--page` and `--corrections`."""
    text = "also write OUT/review.html, a page to check and correct the results in a browser (default: no)"
    parser.add_argument("--page", action="store_true", help=text)
    text = "apply what that page saved: repair the photographs corrected in it again, and leave the others "
    text += "as they are; repeatable (default: none)"
    parser.add_argument("--corrections", type=Path, action="append", metavar="ZIP", help=text)


def requested_corrections(args: argparse.Namespace) -> dict[str, Correction] | None:
    """name -> correction of the photographs to repair again; None without --corrections.

    Says what is left out. Raises UserError if a file is damaged or is about other photographs.
    """
    if not args.corrections:
        return None
    decided = {entry.name: entry for path in args.corrections for entry in read_corrections(path)}
    names = {source.name for source in args.sources}
    files = ", ".join(map(str, args.corrections))
    missing = sorted(decided.keys() - names)
    if missing and not decided.keys() & names:
        raise UserError(f"{files}: none of its photographs is among the inputs, for example {missing[0]!r}")
    changed = {name: entry for name, entry in decided.items() if entry.changed and name in names}
    if rank() == 0:
        if missing:
            say(f"{files}: not among the inputs: {', '.join(missing)}")
        if not args.quiet:
            say(f"{len(changed)} of {len(names)} photographs are corrected; the others stay as they are")
    return changed


def command_words(words: list[str]) -> list[str]:
    """The command that applies a file of corrections, but for its name; words: those of this run."""
    script = sys.argv[0] if Path(sys.argv[0]).name == "restore.py" else "restore.py"
    kept, left_out = [], 0
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        if word == "--corrections":
            left_out = 2
        elif word in ("--overwrite", "--probability") or word.startswith("--corrections="):
            left_out = 1
        if left_out == 0:
            kept.append(word)
        left_out = max(0, left_out - 1)
    return ["python", script, *kept, *words[end:]]


def check_pages(args: argparse.Namespace) -> None:
    """Raises PhotoError if a folder has the name of a page, or a file that is no page and --overwrite is not
    given. To be called before anything is computed.
    """
    for name in _page_names(len(args.sources)):
        refuse_existing(args.out / name, args.overwrite or _is_page(args.out / name))


def write_pages(args: argparse.Namespace) -> None:
    """Writes the pages of a run, in one process only; an earlier run's pages are replaced.

    Raises PhotoError if a file that is no such page has the name of one and --overwrite is not given.
    """
    if rank() == 0:
        names = [source.name for source in args.sources]
        _write_pages(args.out, names, command_words(args.words), args.overwrite)


# ------------------------------------------------------------------------------------------ the pages


def _write_pages(out: Path, names: list[str], command: list[str], overwrite: bool) -> None:
    """Pages of the photographs of these names that have a STEM_review.json. command: of `command_words`."""
    order = sorted(
        (-content["doubt"], number, name)
        for number, name in enumerate(names)
        if (content := read_record(out / f"{name}{SUFFIX}"))
    )
    shown = [name for _, _, name in order]
    parts = [shown[start : start + PER_PAGE] for start in range(0, len(shown), PER_PAGE)]
    files = _page_names(len(shown))
    for number, part in enumerate(parts):
        zip_name = f"corrections-{number + 1}.zip" if number else "corrections.zip"
        facts = {
            "files": files,
            "number": number,
            "corrections": zip_name,
            # In front, since no option may follow a --
            "command": _shell([*command[:2], "--corrections", zip_name, "--overwrite", *command[2:]]),
        }
        path = out / files[number]
        write_whole(path, _page(out, part, facts), overwrite or _is_page(path))
    if parts:
        _remove_further_pages(out, len(parts))


def _remove_further_pages(out: Path, pages: int) -> None:
    """Deletes the pages of an earlier, longer run. pages: the number of pages of this run."""
    while _is_page(path := out / _page_name(pages)):
        path.unlink()
        pages += 1


def _page_names(photos: int) -> list[str]:
    """Those of the pages of this many photographs."""
    return [_page_name(number) for number in range(-(-photos // PER_PAGE))]


def _page_name(number: int) -> str:
    """The file name of a page, of which the first is number 0."""
    return f"review-{number + 1}.html" if number else "review.html"


def _shell(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def read_record(path: Path) -> dict | None:
    """A STEM_review.json; None if there is none, or not of this version."""
    try:
        content = json.loads(path.read_text("utf-8"))
        return content if content["version"] == VERSION else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _page(out: Path, names: list[str], facts: dict) -> bytes:
    """One page: an index of all photographs, and for each an element of its own that is parsed when shown."""
    index, elements, number = [], [], 0
    for name in names:
        content = read_record(out / f"{name}{SUFFIX}")
        if content is None:  # removed meanwhile
            continue
        keys = ("pictures", "mask", "probability", "limits", "infrared", "protected")
        shown = {key: content.pop(key) for key in keys if key in content}
        elements.append(
            f'<script type="application/json" id="photo-{number}">{inline_json(shown)}</script>\n'
        )
        index.append(content)
        number += 1
    marks = [[photo["sha256"], sha256(element.encode())] for photo, element in zip(index, elements)]
    identity = sha256(json.dumps(marks).encode())[:16]
    page = template("review.html", ["page.js", "marks.js", "review.js"])
    head, tail = page.split("PHOTOS\n", 1)
    tail = tail.replace(">INDEX<", f">{inline_json({'id': identity, **facts, 'photos': index})}<", 1)
    return "".join([head, *elements, tail]).encode()


def _is_page(path: Path) -> bool:
    try:
        return MARK.encode() in read_bytes(path)[:1000]
    except PhotoError:
        return False
