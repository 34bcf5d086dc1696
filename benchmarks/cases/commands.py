"""Folders, masks, warnings, places of results, streams, and absurd options."""

import json
import os

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.cases import drawing
from benchmarks.cases.trial import Poor, Trial, expect, with_commands

FOLDERS = "folders"
MASKS = "masks"
WARNINGS = "warnings"
PLACES = "places of results"
STREAMS = "streams"
OPTIONS = "options"
MASK = ("--only", "mask")
COLOR = ("--only", "color")


def warnings_of(trial: Trial, stem: str = "a") -> list[str]:
    return json.loads((trial.folder / f"out/{stem}.json").read_text())["warnings"]


@with_commands(FOLDERS, "one photograph among files of other kinds")
def mixed(trial):
    folder = trial.folder / "in"
    drawing.save(folder / "one.jpg", drawing.ramp())
    drawing.save(folder / "two.j2k", drawing.ramp())
    drawing.save(folder / "three.pbm", drawing.ramp(), format="PPM")
    heads = {
        "b.dng": b"II*\0",
        "c.psd": b"8BPS\0\1",
        "d.jxl": b"\xff\x0a",
        "e.nef": b"II*\0",
        "f.txt": b"box",
    }
    for name, head in heads.items():
        (folder / name).write_bytes(head + bytes(99))
    done = trial.run("restore.py", "in", "out", *MASK)
    expect(done.status == 0, done.last)
    missing = [n for n in ("one", "two", "three") if not (trial.folder / f"out/{n}_mask.png").exists()]
    expect(not missing, f"can be read, but passed over: {', '.join(missing)}")
    expect(".dng" in done.err and ".jxl" in done.err, "passed over without a word")
    expect(sum(".dng" in line or ".jxl" in line for line in done.lines) == 1, "more than one line", Poor)


def restored_with_mask(trial: Trial, mask: np.ndarray):
    drawing.save(trial.folder / "a.png", drawing.rainbow())
    drawing.save(trial.folder / "m.png", mask)
    return trial.run("restore.py", "a.png", "out", "--mask", "m.png", "--only", "restored")


def striped(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : height // 3 + 6, width // 4 : width // 2] = 255
    return mask


@with_commands(MASKS, "mask of another shape")
def other_shape(trial):
    done = restored_with_mask(trial, striped(90, 90))
    expect(done.status == 1, f"stretched, status {done.status}")
    expect("shape" in done.err or "90 x 90" in done.err, f"not told why: {done.last}", Poor)


@with_commands(MASKS, "mask of half the size")
def half_size(trial):
    done = restored_with_mask(trial, striped(45, 60))
    expect(done.status == 0, done.last)
    expect(
        any("60 x 45" in text or "resized" in text for text in warnings_of(trial)), "resized, not said", Poor
    )


@with_commands(MASKS, "one mask file for photographs of two sizes")
def one_for_several(trial):
    drawing.save(trial.folder / "in/a.png", drawing.ramp())
    drawing.save(trial.folder / "in/b.png", drawing.ramp()[:60])
    drawing.save(trial.folder / "m.png", striped(90, 120))
    done = trial.run("restore.py", "in", "out", "--mask", "m.png", "--only", "restored")
    expect(done.status != 0, "laid over both")
    expect(done.status == 2, "found after the first photograph", Poor)


@with_commands(MASKS, "red strokes")
def red_strokes(trial):
    mask = np.dstack([striped(90, 120), np.zeros((90, 120, 2), np.uint8)])
    done = restored_with_mask(trial, mask)
    expect(done.status == 0, done.last)
    with Image.open(trial.folder / "out/a_restored.png") as picture:
        changed = (np.asarray(picture.convert("RGB")) != drawing.rainbow()).any(2)
    expect(changed[32:34, 35:55].mean() > 0.5, "not taken as marks")
    expect(any("color" in text for text in warnings_of(trial)), "not said", Poor)


@with_commands(WARNINGS, "warnings on the terminal, and where the results are")
def on_the_terminal(trial):
    drawing.save(trial.folder / "a.png", drawing.ramp()[:40, :40])
    done = trial.run("restore.py", "a.png", "out", *MASK)
    expect(warnings_of(trial), "a photograph of 40 x 40 px gives no warning")
    said = [line for line in done.lines if "small" in line]
    expect(said, "only in the report")
    expect(len(said) == 1, "more than one line", Poor)
    expect(" out" in done.err.replace("out of", ""), "not said where the results are", Poor)


def warned_in_color(trial: Trial, pixels: np.ndarray, *words: str):
    drawing.save(trial.folder / "a.png", pixels)
    done = trial.run("restore.py", "a.png", "out", *COLOR)
    expect(done.status == 0, done.last)
    text = " ".join(warnings_of(trial)).lower()
    expect(any(word in text for word in words), "no warning")


@with_commands(WARNINGS, "hand-tinted portrait")
def tinted(trial):
    grey = np.dstack([drawing.portrait(400)] * 3).astype(float)
    height, width = grey.shape[:2]
    y, x = np.mgrid[:height, :width]
    face = np.exp(
        -((((x - width * 0.55) / (width * 0.17)) ** 2 + ((y - height * 0.42) / (height * 0.2)) ** 2) ** 2)
    )
    sky = (x > width * 0.75) * 0.6
    tint = face[..., None] * [18, 4, -14] + sky[..., None] * [-12, 0, 16]
    pixels = (grey + tint).clip(0, 255).astype(np.uint8)
    warned_in_color(trial, pixels, "already in color", "tinted", "real colo")


@with_commands(WARNINGS, "color negative")
def negative(trial):
    """Film with an orange mask: density rises with the logarithm of exposure."""
    exposure = (drawing.astronaut().astype(float) / 255) ** 2.2
    density = np.array([0.25, 0.6, 0.85]) + 0.55 * (np.log10(exposure.clip(0.01)) + 2)
    warned_in_color(trial, (255 * 1.5 * 10**-density).clip(0, 255).astype(np.uint8), "negative")


@with_commands(WARNINGS, "page of text")
def page(trial):
    picture = Image.new("L", (480, 640), 238)
    draw = ImageDraw.Draw(picture)
    for line in range(28):
        draw.text((40, 30 + 21 * line), "Lorem ipsum dolor sit amet, consectetur adipiscing elit", fill=35)
    drawing.save(trial.folder / "a.png", np.asarray(picture))
    done = trial.run("restore.py", "a.png", "out", *MASK)
    expect(done.status == 0, done.last)
    text = " ".join(warnings_of(trial)).lower()
    expect("looks like" in text or "text" in text or "drawing" in text, "no warning")


@with_commands(PLACES, "OUT is the name of a file")
def out_file(trial):
    drawing.save(trial.folder / "a.png", drawing.ramp())
    done = trial.run("restore.py", "a.png", "result.png", *MASK)
    expect(
        (trial.folder / "result.png").is_file(), "a folder of that name" if done.status == 0 else done.last
    )
    expect(done.status == 0, done.last)


@with_commands(PLACES, "--files-from -, NUL between names")
def files_from(trial):
    names = ["a b.png", "c\nd.png"]
    for name in names:
        drawing.save(trial.folder / name, drawing.ramp())
    words = ("restore.py", "--files-from", "-", "out", *MASK)
    done = trial.run(*words, input="\0".join(names).encode())
    expect(done.status == 0, done.last)
    missing = [name for name in names if not (trial.folder / f"out/{name[:-4]}_mask.png").exists()]
    expect(not missing, f"not read: {missing}")


@with_commands(PLACES, "--name with a collision")
def names(trial):
    for folder in "xy":
        drawing.save(trial.folder / f"{folder}/a.png", drawing.ramp())
    words = ("restore.py", "x/a.png", "y/a.png", "out", *MASK, "--name", "{stem}_restored")
    done = trial.run(*words)
    expect(done.status != 0, "one result replaced another")
    said = [line for line in done.lines if line.startswith("y/a.png: ") and "x/a.png" in line]
    expect(len(said) == 1, f"not told why: {done.last}", Poor)


@with_commands(PLACES, "names too long for the disk")
def long_names(trial):
    """Told before anything is computed: here before it is found that the mask covers all."""
    name = f"{'n' * 245}.png"
    drawing.save(trial.folder / name, drawing.ramp())
    drawing.save(trial.folder / "all.png", np.full((90, 120), 255, np.uint8))

    def told(*words):
        done = trial.run("restore.py", name, "out", "--only", "restored", *words)
        return done.status in (1, 2) and ("too long" in done.err or "255" in done.err)

    if not told("--mask", "all.png"):
        expect(told(), "not told why")
        raise Poor("found after the photograph was computed")


def two(trial: Trial):
    for name in "ab":
        drawing.save(trial.folder / f"in/{name}.png", drawing.ramp())


def expect_two(trial: Trial):
    missing = [name for name in "ab" if not (trial.folder / f"out/{name}_mask.png").exists()]
    expect(not missing, f"{len(missing)} of 2 photographs not done")


@with_commands(STREAMS, "--json - with a reader that goes away")
def reader(trial):
    two(trial)
    reading, writing = os.pipe()
    os.close(reading)
    done = trial.run("restore.py", "in", "out", *MASK, "--quiet", "--json", "-", stdout=writing)
    os.close(writing)
    expect_two(trial)
    expect(done.status == 1, f"status {done.status}")
    expect(sum("json" in line for line in done.lines) == 1, "not said in one line", Poor)


@with_commands(STREAMS, "--json on a full disk")
def full(trial):
    two(trial)
    done = trial.run("restore.py", "in", "out", *MASK, "--quiet", "--json", "/dev/full")
    expect_two(trial)
    expect(done.status == 1, f"status {done.status}")
    expect(sum("json" in line for line in done.lines) == 1, "not said in one line", Poor)


@with_commands(STREAMS, "all standard streams closed")
def closed(trial):
    two(trial)
    done = trial.shell("<&- >&- 2>&-", "restore.py", "in", "out", *MASK, "--json", "log")
    expect_two(trial)
    expect(done.status == 0, f"status {done.status}")
    rows = [json.loads(line) for line in (trial.folder / "log").read_text().splitlines()]
    expect(len(rows) == 2, "other lines in the log")


@with_commands(OPTIONS, "--tile 1, --threshold 0")
def absurd(trial):
    drawing.save(trial.folder / "a.png", drawing.portrait())
    for words, option in ((("--threshold", 0), "threshold"), (("--tile", 1, "--overlap", 0), "tile")):
        done = trial.run("restore.py", "a.png", f"out-{option}", *MASK, *words)
        expect(done.status == 2, f"--{option} {words[1]} is taken")
        expect(f"--{option}" in done.last, f"not told why: {done.last}", Poor)


@with_commands(OPTIONS, "--device mps where there is none")
def device(trial):
    drawing.save(trial.folder / "a.png", drawing.ramp())
    done = trial.run("restore.py", "a.png", "out", *MASK, "--device", "mps")
    expect(done.status == 2, f"status {done.status}")
    expect(len(done.lines) == 1, f"{len(done.lines)} lines", Poor)
    expect(len(done.last) < 160, f"a line of {len(done.last)} characters", Poor)
