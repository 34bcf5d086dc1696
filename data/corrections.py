"""The file of corrections that the review page saves: masks and color hints drawn by hand.

    masks/NAME.png    the final mask, at the size of the photograph: 255 damaged, 0 intact
    hints/NAME.png    painted colors on transparent ground, only where there are any
    decisions.json    version and photos: name, input, sha256, size, approved, changed, hints of each

NAME is that of the photograph's results. Nothing is ever extracted to these names.
"""

from __future__ import annotations

import io
import json
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from data.errors import PhotoError, UserError
from data.photo import read_bytes

VERSION = 1
_DAMAGES = (  # what zipfile raises for damaged files
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,  # encrypted, or packed in an unknown way
    ValueError,  # negative offsets, names that are not UTF-8
    OverflowError,  # offsets of more than 63 bits
    EOFError,
    OSError,
)
LARGEST = 1 << 28  # bytes of an entry, unpacked; the mask of a scan of 100 megapixels takes a thousandth


@dataclass(frozen=True)
class Correction:
    """What a person decided on one photograph."""

    name: str  # of its results, below OUT
    input: str  # the path that restore.py read it from
    sha256: str  # of that file
    changed: bool  # False: the mask is the detected one, which was approved
    mask: bytes  # PNG of the photograph's size, 255 damaged
    hints: bytes | None


def read_corrections(path: Path) -> list[Correction]:
    """The corrections in a file. Raises UserError in one line if it is damaged or no such file."""
    try:
        data = read_bytes(path)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _entries(archive)
    except PhotoError as error:
        raise UserError(f"{path}: {error}") from None
    except _DAMAGES:
        raise UserError(f"{path}: damaged, or not a file that the review page saved") from None
    photos = _photos(path, entries.pop("decisions.json", b""))
    corrections = [_correction(path, photo, entries) for photo in photos]
    if entries:
        raise UserError(f"{path}: holds {sorted(entries)[0]!r}, which belongs to no photograph in it")
    return corrections


def _entries(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """name -> content. Raises BadZipFile if two entries share a name or one is too large."""
    infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len({info.filename for info in infos}) < len(infos) or any(info.file_size > LARGEST for info in infos):
        raise zipfile.BadZipFile
    return {info.filename: archive.read(info) for info in infos}


def _photos(path: Path, decisions: bytes) -> list[dict]:
    """The photographs of decisions.json, their values checked."""
    kinds = {"name": str, "input": str, "sha256": str, "size": list, "changed": bool, "hints": bool}
    try:
        content = json.loads(decisions)
        photos = [{key: photo[key] for key in kinds} for photo in content["photos"]]
        names = [photo["name"] for photo in photos]
        valid = content["version"] == VERSION and len(set(names)) == len(names)
        valid = valid and all(isinstance(photo[key], kind) for photo in photos for key, kind in kinds.items())
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise UserError(f"{path}: decisions.json is missing, damaged or of another version")
    for name in names:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise UserError(f"{path}: {name!r} is not the name of a photograph below OUT")
    return photos


def _correction(path: Path, photo: dict, entries: dict[str, bytes]) -> Correction:
    """One correction, whose files are taken out of `entries`."""
    name, size, files = photo["name"], tuple(photo["size"]), {}
    stored = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in name)
    for role in ("masks", "hints") if photo["hints"] else ("masks",):
        files[role] = entries.pop(f"{role}/{stored}.png", b"")
        try:
            with Image.open(io.BytesIO(files[role]), formats=["PNG"]) as picture:
                fits = picture.size == size
        except (OSError, ValueError, Image.DecompressionBombError):
            fits = False
        if not fits:
            what = f"{role}/{name}.png is missing, damaged or not {' x '.join(map(str, size))} px"
            raise UserError(f"{path}: {what}")
    facts = (name, photo["input"], photo["sha256"], photo["changed"])
    return Correction(*facts, files["masks"], files.get("hints"))
