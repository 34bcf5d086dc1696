"""Feeds damaged files to the reader and to restore.py: each must give a photograph or one line of error.

    python benchmarks/fuzz.py [--reader 10000] [--command 500] [--seed 0]

Valid files of every supported kind (with profiles, EXIF, XMP, alpha, 16 bits, several pages) are truncated,
overwritten, spliced and repeated. Number N of a seed is the same file on every machine. Prints one JSON
object: counts, the slowest file and the numbers of files that failed; exit status 1 if there are any. `--only
N` writes file N into the current folder.
"""

import contextlib
import io
import json
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from PIL.ExifTags import Base

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import restore
from benchmarks import archive, record
from data.errors import PhotoError
from data.photo import encode, read_photo

MOST_PIXELS = 4_000_000
SLOW = 10  # s, limit for one file
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>box '
    b"7</dc:source></rdf:Description>"
    b"</rdf:RDF></x:xmpmeta>"
)


def originals() -> list[tuple[str, bytes]]:
    """(suffix, bytes) of valid files: small ones of all kinds, with all metadata, and two portraits."""
    rng = np.random.default_rng(0)
    files = [(ending, archive.picture(mode, format, rng)) for (mode, format), ending in archive.KINDS.items()]
    exif = Image.Exif()
    exif[Base.ImageDescription], exif[Base.Orientation] = "Grandmother", 6
    exif[Base.ExifOffset], exif[Base.GPSInfo] = {Base.DateTimeOriginal: "1943:01:02 03:04:05"}, {1: "N"}
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = icc[:24] + bytes(12) + icc[36:]  # without the time at which it was made
    pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    for ending, format in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tif", "TIFF")):
        file = io.BytesIO()
        xmp = {} if format in ("PNG", "TIFF") else {"xmp": XMP}
        facts = {"exif": exif.tobytes(), "icc_profile": icc, "dpi": (300, 300), **xmp}
        Image.fromarray(pixels).save(file, format, **facts)
        files.append((ending, file.getvalue()))
    deep = rng.integers(0, 65536, (20, 24, 3), dtype=np.uint16)
    like = read_photo(files[-4][1])
    files += [("tif", encode(deep, like, "TIFF")), ("png", encode(deep[..., 0], like, "PNG"))]
    files += [("ppm", b"P6 9 7 255\n" + bytes(189))]
    for format, ending in (("TIFF", "tif"), ("GIF", "gif")):
        file, pages = io.BytesIO(), [Image.fromarray(pixels[..., page]) for page in range(3)]
        pages[0].save(file, format, save_all=True, append_images=pages[1:])
        files.append((ending, file.getvalue()))
    return files + [
        ("jpg", (ROOT / "examples" / f"{name}_old.jpg").read_bytes())
        for name in ("astronaut", "grace_hopper")
    ]


def mutation(files: list[tuple[str, bytes]], number: int, seed: int = 0) -> tuple[str, bytes]:
    """Damaged file number `number`: one to four changes, most of them near the header."""
    rng = np.random.default_rng([seed, number])
    ending, data = files[number % len(files)]
    data = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        reach = max(1, len(data) if rng.random() < 0.4 else min(len(data), 400))
        at, length = int(rng.integers(reach)), int(min(rng.geometric(0.1), 200))
        kind = rng.integers(7)
        if kind == 0:  # flip a bit
            data[at : at + 1] = bytes([data[at] ^ 1 << int(rng.integers(8))]) if data else b"x"
        elif kind == 1:  # write an extreme number of 1 to 4 bytes
            data[at : at + length % 4 + 1] = bytes([int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))]) * (
                length % 4 + 1
            )
        elif kind == 2:
            data[at : at + length] = rng.bytes(length)
        elif kind == 3:  # truncate
            del data[int(rng.integers(max(1, len(data)))) :]
        elif kind == 4:  # remove a piece
            del data[at : at + length]
        elif kind == 5:  # repeat a piece
            data[at:at] = data[at : at + length]
        else:  # insert a piece of another file
            other = files[rng.integers(len(files))][1]
            start = int(rng.integers(len(other)))
            data[at : at + length] = other[start : start + length]
    return ending, bytes(data)


def read(data: bytes) -> str:
    """Result of reading a file: "read" or "refused".

    Raises AssertionError, or any exception that the reader should have turned into a PhotoError.
    """
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            photo = read_photo(data, MOST_PIXELS)
        except PhotoError as error:
            message, photo = str(error), None
            assert 5 < len(message) < 400, repr(message)
            assert message.isprintable(), repr(message)
        else:
            grey = photo.pixels.ndim == 2 and photo.alpha is None
            format = "PNG" if photo.pixels.dtype == np.uint8 or grey else "TIFF"
            again = read_photo(encode(photo.pixels, photo, format, "painted"), MOST_PIXELS)
            assert np.array_equal(again.pixels, photo.pixels), "does not come back"
    spent = time.perf_counter() - began
    assert spent < SLOW, f"{spent:.0f} s"
    return "refused" if photo is None else "read"


def read_all(files, numbers, seed: int) -> tuple[Counter, list[str], tuple[float, int | None]]:
    """Passes mutations to the reader: counts of results, faults, and (seconds, number) of the slowest."""
    counts, faults, slowest = Counter(), [], (0.0, None)
    for number in numbers:
        began = time.perf_counter()
        try:
            counts[read(mutation(files, number, seed)[1])] += 1
        except Exception as error:  # every exception is a fault
            faults.append(f"{number}: {type(error).__name__}: {error}")
        slowest = max(slowest, (round(time.perf_counter() - began, 2), number), key=lambda pair: pair[0])
    return counts, faults, slowest


def command(files, numbers, folder: Path, words: list[str], seed: int = 0) -> tuple[Counter, list[str]]:
    """Passes mutations to restore.py, in this process: counts of statuses, and faults."""
    names = {}
    (folder / "in").mkdir(parents=True)
    for number in numbers:
        ending, data = mutation(files, number, seed)
        path = folder / "in" / f"{number}.{ending}"
        path.write_bytes(data)
        names[str(path)] = number
    text, rows, out = io.StringIO(), folder / "rows.jsonl", folder / "out"
    options = ["--quiet", "--json", rows, "--max-pixels", MOST_PIXELS, *words]
    with contextlib.redirect_stderr(text):
        status = restore.main(list(map(str, [folder / "in", out, *options])))
    facts = {row["input"]["name"]: row for row in map(json.loads, rows.read_text().splitlines())}
    counts = Counter(row["status"] for row in facts.values())
    faults = archive.torn(out)
    if facts.keys() != names.keys() or status != int(counts["failed"] > 0):
        faults.append(f"status {status}, {len(facts)} of {len(names)} photographs reported")
    lines = text.getvalue().splitlines()
    if len(lines) != counts["failed"] or "Traceback" in text.getvalue():
        faults.append(f"{len(lines)} lines for {counts['failed']} failures")
    return counts, faults + [fault for name, row in facts.items() for fault in faults_of(name, row)]


def faults_of(name: str, row: dict) -> list[str]:
    """An unexpected exception or a slow photograph, in its row of --json."""
    faults = []
    if re.match(r"[A-Z]\w+(Error|Exception): ", row.get("error", "")):
        faults.append(f"{name}: {row['error']}")
    if sum(row.get("seconds", {}).values()) > SLOW:
        faults.append(f"{name}: {row['seconds']}")
    return faults


def main() -> int:
    parser = record.parser(__doc__)
    number = partial(parser.add_argument, type=int)
    number("--reader", default=10000, help="files for the reader (default: 10000)")
    number("--command", default=500, help="files for restore.py (default: 500)")
    number("--seed", default=0, help="of the damage (default: 0)")
    number("--only", metavar="N", help="write file N into the current folder and end (default: no)")
    args = parser.parse_args()
    files = originals()
    if args.only is not None:
        ending, data = mutation(files, args.only, args.seed)
        Path(f"fuzz-{args.only}.{ending}").write_bytes(data)
        return 0
    counts, faults, (seconds, slowest) = read_all(files, range(args.reader), args.seed)
    with tempfile.TemporaryDirectory() as folder:
        words = ["--device", "cpu", "--no-tta"]
        statuses, more = command(files, range(args.command), Path(folder), words, args.seed)
    faults += more
    results = {"reader": dict(counts), "slowest_s": seconds, "slowest": slowest, "command": dict(statuses)}
    record.emit("fuzz", {**results, "faults": faults}, args.store)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
