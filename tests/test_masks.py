"""Masks and hints as people draw them: colored, of another size or shape, one file for many photographs."""

import shutil

import numpy as np
import pytest
from conftest import exif, files, noise, save, saved, square
from loop import calls, command
from PIL import Image
from restoring import pixels, report

import inpaint
from data.datasets import SegmentSamples
from data.errors import PhotoError
from data.hints import read_hints
from data.photo import Photo, read_mask, read_size, resizing
from engine import pairing
from engine.inputs import Source

RED = [255, 0, 0]


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


# ------------------------------------------------------------------------------------------ colors


def painted(ground, color, box=np.s_[10:30, 20:50]):
    """A copy of the picture (48, 64, 3) with a stroke on it."""
    picture = np.array(ground)
    picture[box] = color
    return picture


def marked(pixels, alpha=None):
    mask, notes = read_mask(Photo(pixels, alpha), (64, 48))
    return mask, notes


@pytest.mark.parametrize("color", [RED, [0, 0, 255], [0, 160, 0], [255, 255, 0], [255, 0, 255]])
@pytest.mark.parametrize("ground", ["black", "white", "photograph", "sepia"])
def test_colored_strokes_mark_whatever_is_below(portrait, color, ground):
    grey = np.repeat(portrait[40:88, 80:144, :1], 3, -1)
    grounds = {"black": grey * 0, "white": grey * 0 + 255, "photograph": grey}
    grounds["sepia"] = np.rint(grey * [0.9, 0.75, 0.55]).astype(np.uint8)
    for picture in (painted(grounds[ground], color), painted(grounds[ground], color).astype(np.uint16) * 257):
        mask, notes = marked(picture)
        np.testing.assert_array_equal(mask, square())
        assert [note.split(":")[0] for note in notes] == ["the mask is colored"]


def test_colored_strokes_on_transparent_ground_and_half_opaque_ones():
    alpha = np.where(square() == 255, 255, 0).astype(np.uint8)
    for ground in (0, 255):
        np.testing.assert_array_equal(
            marked(painted(np.full((48, 64, 3), ground, np.uint8), RED), alpha)[0], square()
        )
    np.testing.assert_array_equal(marked(np.full((48, 64, 3), RED, np.uint8), alpha)[0], square())
    half = painted(np.full((48, 64, 3), 100, np.uint8), [178, 50, 50])
    np.testing.assert_array_equal(marked(half)[0], square())


def test_a_detected_mask_corrected_in_red_keeps_its_white_marks():
    mask = np.repeat(square(box=np.s_[35:45, 5:15])[..., None], 3, -1)
    found, notes = marked(painted(mask, RED))
    np.testing.assert_array_equal(found, square() | square(box=np.s_[35:45, 5:15]))
    assert notes == ["the mask is colored: its saturated and its white areas count as marked"]
    paper = 255 - mask  # black strokes on white paper are no marks
    np.testing.assert_array_equal(marked(painted(paper, RED))[0], square())


def test_grey_masks_stay_as_they_are_in_rgb():
    grey = noise(48, 64)
    grey[0] = 128
    expected, _ = marked(grey)
    found, notes = marked(np.repeat(grey[..., None], 3, -1))
    np.testing.assert_array_equal(found, expected)
    assert notes == []
    jpeg = saved(Image.fromarray(np.repeat(square()[..., None], 3, -1)), "JPEG", quality=30)
    mask, notes = read_mask(jpeg, (64, 48))
    assert (mask != square()).mean() < 0.02
    assert notes == []


# ------------------------------------------------------------------------------------------ shapes


def test_one_percent_or_one_pixel_of_another_shape_is_resized():
    for own, size in (((640, 480), (6400, 4800)), ((640, 480), (1000, 755)), ((33, 21), (1000, 650))):
        width, height = own
        note = f"mask resized from {width} x {height} to {size[0]} x {size[1]}"
        assert resizing("mask", own, size) == [note]
    assert resizing("mask", (640, 480), (640, 480)) == []
    for own, size in (((640, 480), (1000, 765)), ((640, 480), (480, 640)), ((50, 50), (200, 160))):
        with pytest.raises(PhotoError, match=f"{own[0]} x {own[1]} px, .* {size[0]} x {size[1]} px"):
            resizing("mask", own, size)
    with pytest.raises(PhotoError, match="rotate it"):
        resizing("hints", (480, 640), (640, 480))


def test_hints_of_another_shape_are_refused():
    alpha = square(40, 40)
    with pytest.raises(PhotoError, match="another shape, 40 x 40 px"):
        read_hints(Photo(noise(40, 40, 3), alpha), (64, 48))


@pytest.mark.parametrize("role", ["mask", "protect", "hints"])
def test_another_shape_fails_before_anything_is_computed(scan, tmp_path, run, capsys, monkeypatch, role):
    def compute(*_):
        pytest.fail("computed")

    monkeypatch.setattr("segment.find", compute)
    monkeypatch.setattr("inpaint.Painter.__call__", compute)
    other = save(tmp_path / "m.png", noise(40, 40, 3), square(40, 40, np.s_[5:20, 5:20]))
    assert run(scan, tmp_path / "out", f"--{role}", other, "--quiet") == 1
    reason = (
        "has another shape, 40 x 40 px, than the photograph, 64 x 48 px: save it at the photograph's size"
    )
    assert capsys.readouterr().err == f"{scan}: {role} {other}: {reason}\n"
    assert files(tmp_path / "out") == []


def test_a_colored_mask_is_said_in_the_report(scan, tmp_path, run):
    copy = save(tmp_path / "m.png", painted(np.repeat(pixels(scan)[..., :1], 3, -1), RED))
    assert run(scan, tmp_path / "out", "--mask", copy, "--only", "mask") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out/scan_mask.png"), square())
    assert (
        "the mask is colored: only its saturated areas count as marked"
        in report(tmp_path / "out")["warnings"]
    )


# ------------------------------------------------------------------------------------------ one file for many


def test_sizes_are_those_of_the_upright_photograph(tmp_path):
    (tmp_path / "a.jpg").write_bytes(saved(Image.new("L", (30, 20)), "JPEG", exif=exif(_274=6)))
    (tmp_path / "b.tif").write_bytes(saved(Image.new("L", (30, 20)), "TIFF", tiffinfo={274: 8}))
    (tmp_path / "c.png").write_bytes(saved(Image.new("L", (30, 20))))
    sizes = [read_size(tmp_path / name) for name in ("a.jpg", "b.tif", "c.png")]
    assert sizes == [(20, 30), (20, 30), (30, 20)]
    (tmp_path / "d.jpg").write_text("no image")
    with pytest.raises(PhotoError, match="not an image"):
        read_size(tmp_path / "d.jpg")


def test_one_mask_for_photographs_of_several_sizes_is_a_usage_error(tmp_path):
    for name, shape in (("a", (6, 8)), ("b", (12, 16))):
        save(tmp_path / f"in/{name}.png", noise(*shape))
    (tmp_path / "in/broken.png").write_text("no image")
    mask = save(tmp_path / "m.png", noise(6, 8))
    with pytest.raises(
        ValueError, match=r"one file, 8 x 6 px, for 3 photographs, but .*b\.png has 16 x 12 px"
    ):
        command(tmp_path / "in", tmp_path / "out", "--mask", mask)
    assert calls == []
    assert files(tmp_path / "out") == []
    assert command(tmp_path / "in/b.png", tmp_path / "out", "--mask", mask) == 0  # resized


def test_one_mask_for_photographs_of_its_size_is_fine(tmp_path):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", noise(6, 8))
    assert command(tmp_path / "in", tmp_path / "out", "--mask", save(tmp_path / "m.png", noise(6, 8))) == 0
    assert calls == ["a", "b"]


@pytest.mark.parametrize("role", ["mask", "protect", "hints"])
def test_every_role_is_checked_with_status_2(tmp_path, run, capsys, role):
    for name, shape in (("a", (48, 64)), ("b", (64, 48))):
        save(tmp_path / f"in/{name}.png", noise(*shape))
    other = save(tmp_path / "m.png", noise(48, 64, 3), square())
    capsys.readouterr()
    assert run(tmp_path / "in", tmp_path / "out", f"--{role}", other) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"--{role} {other} is one file" in error
    assert error.endswith("give a folder with a file for each")
    assert files(tmp_path / "out") == []


def test_photographs_that_cannot_be_read_are_left_to_the_loop(tmp_path):
    sources = [Source(tmp_path / f"{name}.png", name, name) for name in "ab"]
    pairing.check(sources, {"mask": save(tmp_path / "m.png", noise(6, 8)), "hints": None})


@pytest.mark.parametrize("role", ["mask", "protect", "hints"])
@pytest.mark.parametrize(
    "content, reason",
    [
        (None, "no such file"),
        (b"no image", "not an image"),
        (saved(Image.new("L", (99, 99)))[:60], "truncated"),
    ],
)
def test_a_given_file_that_cannot_be_read_is_one_usage_error(tmp_path, run, capsys, role, content, reason):
    for name in "ab":
        save(tmp_path / f"in/{name}.png", noise(48, 64))
    given = tmp_path / "given.png"
    if content:
        given.write_bytes(content)
    assert run(tmp_path / "in", tmp_path / "out", f"--{role}", given, "--quiet") == 2
    error = capsys.readouterr().err
    assert f": --{role} {given}: " in error
    assert reason in error
    assert error.count("\n") == 1
    assert files(tmp_path / "out") == []


def test_a_missing_mask_is_a_usage_error_of_infer_and_vote(tmp_path, tiny_weights, scan, capsys):
    weights, gone = str(tiny_weights["inpaint"]), str(tmp_path / "gone.png")
    twin = shutil.copy(tiny_weights["inpaint"], tmp_path / "twin.pt")  # a ballot needs two candidates
    for verb, more in (("infer", []), ("vote", [str(twin)])):
        words = [
            verb,
            str(scan),
            str(tmp_path / "out"),
            "--mask",
            gone,
            "--quiet",
            "--weights",
            weights,
            *more,
        ]
        assert inpaint.main(words) == 2
        assert capsys.readouterr().err.endswith(f": --mask {gone}: no such file\n")


def test_a_training_mask_of_another_shape_is_named(tmp_path, data_folder):
    shutil.copytree(data_folder, tmp_path / "data")
    mask = save(tmp_path / "data/labelled/masks/scratched.png", np.zeros((50, 90), np.uint8))
    with pytest.raises(PhotoError, match="another shape, 90 x 50 px") as caught:
        SegmentSamples(tmp_path / "data", seed=0, side=64, labelled_share=0.5)
    assert str(caught.value).startswith(f"{mask}: ")
