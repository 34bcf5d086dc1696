"""Feeds damaged files to the reader and to restore.py: each must quickly give a photograph or a one-line
error.

    python benchmarks/fuzz.py [--reader 10000] [--command 500] [--seed 0]

Valid files of every supported kind (with profiles, EXIF, XMP, alpha, 16 bits, several pages) are truncated,
overwritten, spliced and repeated. Number N of a seed is the same file on every machine. Prints one JSON
object: counts, the slowest file and the numbers of files that failed; exit status 1 if there are any. `--only
N` writes file N into the current folder.
"""

import argparse
import contextlib
import io
import json
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

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
    """(suffix, bytes) of valid files: small ones of all kinds with all metadata, and the two example
    portraits.
    """
    rng = np.random.default_rng(0)
    files = [(ending, archive.picture(mode, format, rng)) for (mode, format), ending in archive.KINDS.items()]
    exif = Image.Exif()
    exif[270], exif[274], exif[0x8769], exif[0x8825] = (
        "Grandmother",
        6,
        {36867: "1943:01:02 03:04:05"},
        {1: "N"},
    )
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    for ending, format in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tif", "TIFF")):
        file = io.BytesIO()
        xmp = {} if format in ("PNG", "TIFF") else {"xmp": XMP}
        Image.fromarray(pixels).save(
            file, format, exif=exif.tobytes(), icc_profile=icc, dpi=(300, 300), **xmp
        )
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
    """Result of reading a file: "read" or "refused". Raises AssertionError, or any exception that the reader
    missed.
    """
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            photo = read_photo(data, MOST_PIXELS)
        except PhotoError as error:
            assert 5 < len(str(error)) < 400 and str(error).isprintable(), repr(str(error))
            photo = None
        if photo is not None:
            format = (
                "PNG"
                if photo.pixels.dtype == np.uint8 or (photo.pixels.ndim == 2 and photo.alpha is None)
                else "TIFF"
            )
            # as the stages write it
            again = read_photo(encode(photo.pixels, photo, format, "painted"), MOST_PIXELS)
            assert np.array_equal(again.pixels, photo.pixels), "does not come back"
    spent = time.perf_counter() - began
    assert spent < SLOW, f"{spent:.0f} s"
    return "refused" if photo is None else "read"


def command(
    files, numbers, folder: Path, restore, words: list[str], seed: int = 0
) -> tuple[Counter, list[str]]:
    """Passes mutations to `restore`, the main function of restore.py, in this process: counts of statuses,
    and faults.
    """
    names = {}
    (folder / "in").mkdir(parents=True)
    for number in numbers:
        ending, data = mutation(files, number, seed)
        names[str(path := folder / "in" / f"{number}.{ending}")] = number
        path.write_bytes(data)
    text, rows = io.StringIO(), folder / "rows.jsonl"
    with contextlib.redirect_stderr(text):
        status = restore(
            [
                *map(str, (folder / "in", folder / "out")),
                "--quiet",
                "--json",
                str(rows),
                "--max-pixels",
                str(MOST_PIXELS),
                *words,
            ]
        )
    facts = {row["input"]["name"]: row for row in map(json.loads, rows.read_text().splitlines())}
    counts = Counter(row["status"] for row in facts.values())
    faults = archive.torn(folder / "out")
    if facts.keys() != names.keys() or status != int(counts["failed"] > 0):
        faults.append(f"status {status}, {len(facts)} of {len(names)} photographs reported")
    lines = text.getvalue().splitlines()
    if len(lines) != counts["failed"] or "Traceback" in text.getvalue():
        faults.append(f"{len(lines)} lines for {counts['failed']} failures")
    for name, row in facts.items():
        if re.match(r"[A-Z]\w+(Error|Exception): ", row.get("error", "")):  # unexpected
            faults.append(f"{name}: {row['error']}")
        if sum(row.get("seconds", {}).values()) > SLOW:
            faults.append(f"{name}: {row['seconds']}")
    return counts, faults


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reader", type=int, default=10000, help="files for the reader (default: 10000)")
    parser.add_argument("--command", type=int, default=500, help="files for restore.py (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    parser.add_argument(
        "--only", type=int, metavar="N", help="write file N into the current folder and end (default: no)"
    )
    record.store_option(parser)
    args = parser.parse_args()
    files, counts, faults, slowest = originals(), Counter(), [], (0.0, None)
    if args.only is not None:
        ending, data = mutation(files, args.only, args.seed)
        Path(f"fuzz-{args.only}.{ending}").write_bytes(data)
        return 0
    for number in range(args.reader):
        began = time.perf_counter()
        try:
            counts[read(mutation(files, number, args.seed)[1])] += 1
        except Exception as error:  # every exception is a fault
            faults.append(f"{number}: {type(error).__name__}: {error}")
        slowest = max(slowest, (round(time.perf_counter() - began, 2), number))
    import restore

    with tempfile.TemporaryDirectory() as folder:
        done, more = command(
            files, range(args.command), Path(folder), restore.main, ["--device", "cpu", "--no-tta"], args.seed
        )
    record.emit(
        "fuzz",
        {
            "reader": dict(counts),
            "slowest_s": slowest[0],
            "slowest": slowest[1],
            "command": dict(done),
            "faults": faults + more,
        },
        args.store,
    )
    return int(bool(faults + more))


if __name__ == "__main__":
    sys.exit(main())
