"""--tone: the toned pictures of restore.py and of Restorer, their report, layers and metadata."""

import io
import json

import numpy as np
import pytest
from conftest import SRGB, files, save, square
from PIL import Image
from restoring import ALL, options, pixels, report
from test_tone import faded

import colorize
import engine
import inpaint
import restore
from data import tone
from data.errors import UserError
from data.photo import read_photo
from data.pixels import luma
from restore import PICTURES, TONED, Restorer

GREY = np.s_[..., 0]
MADE = [*ALL, "_toned", "_toned_color"]


@pytest.fixture
def weights(tiny_weights):
    return {f"{stage}_weights": path for stage, path in tiny_weights.items()}


@pytest.fixture
def mask(tmp_path):
    return save(tmp_path / "masks/m.png", square(128, 128))


@pytest.fixture
def print_(tmp_path, portrait):
    """A faded print."""
    return save(tmp_path / "in/print.png", faded(portrait[:128, 64:192]))


def names(parts, stem="print", ending="png"):
    pictures = [f"{stem}{part}.{'png' if part == '_mask' else ending}" for part in parts]
    return sorted([f"{stem}.json", *pictures])


def source_type(packet):
    return b"DigitalSourceType" in (packet or b"")


@pytest.mark.parametrize("mode", tone.MODES)
def test_the_command_and_a_restorer_give_the_same(weights, print_, tmp_path, run, mode):
    assert run(print_, tmp_path / "out", "--tone", mode, "--threshold", 0.5) == 0
    assert files(tmp_path / "out") == names(MADE)
    result = Restorer(device="cpu", threshold=0.5, tone=mode, **weights)(print_)
    for name in PICTURES:
        file = tmp_path / "out" / ("print" + PICTURES[name].format(ext="png"))
        np.testing.assert_array_equal(pixels(file), getattr(result, name))
    facts, expected = report(tmp_path / "out", "print"), result.report
    for key in ("options", "measured", "tone", "warnings"):
        assert facts[key] == expected[key]
    assert facts["options"]["tone"] == mode
    assert result.toned.std() > 1.2 * result.restored.std()
    assert not result.toned.flags.writeable
    assert np.abs(luma(result.toned_color) - luma(result.toned)).max() * 255 <= 1
    assert facts["measured"]["luma_toned_color"] <= 1


def test_without_the_option_no_picture_is_toned(weights, print_, tmp_path, run):
    assert run(print_, tmp_path / "out") == 0
    assert files(tmp_path / "out") == names(ALL)
    facts = report(tmp_path / "out", "print")
    assert facts["tone"] is None
    assert "tone" not in facts["options"]  # a folder of an earlier version stays done
    for name in TONED:
        with pytest.raises(UserError, match="give the Restorer a tone"):
            getattr(Restorer(device="cpu", **weights)(print_), name)


def test_a_photograph_that_is_not_faded_stays(tmp_path, portrait, run, mask):
    save(tmp_path / "in/print.png", portrait[:128, 64:192])
    assert run(tmp_path / "in", tmp_path / "out", "--tone", "--mask", mask) == 0
    for part in ("restored", "restored_color"):
        toned = tmp_path / f"out/print_{part.replace('restored', 'toned')}.png"
        assert toned.read_bytes() == (tmp_path / f"out/print_{part}.png").read_bytes()
    facts = report(tmp_path / "out", "print")
    assert facts["tone"] == {"corrected": False}
    assert facts["options"]["tone"] == "auto"


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_alpha_profile_and_format(tmp_path, portrait, run, mask, ending):
    picture = faded(portrait[:128, 64:192], dtype=np.uint16)[GREY]
    alpha = np.full((128, 128), 65535, np.uint16)
    alpha[:, 100:] = 0
    picture[:, 100:] = 0  # transparent, and not measured
    save(tmp_path / f"in/print.{ending}", picture, alpha, exif=b"", dpi=(300, 300))
    assert run(tmp_path / "in", tmp_path / "out", "--tone", "--mask", mask) == 0
    assert files(tmp_path / "out") == names(MADE, ending=ending)
    toned, restored = (read_photo(tmp_path / f"out/print_{part}.{ending}") for part in ("toned", "restored"))
    assert toned.pixels.dtype == np.uint16
    assert toned.pixels.shape == (128, 128)
    assert len(np.unique(toned.pixels >> 8)) < len(np.unique(toned.pixels))
    np.testing.assert_array_equal(toned.alpha, alpha)
    assert toned.dpi == pytest.approx(restored.dpi)
    assert report(tmp_path / "out", "print")["tone"]["black"][0] > 0.15


def test_a_profile_is_kept(tmp_path, portrait, run, mask):
    save(tmp_path / "in/print.png", faded(portrait[:128, 64:192]), icc=SRGB)
    assert run(tmp_path / "in", tmp_path / "out", "--tone", "--mask", mask) == 0
    assert read_photo(tmp_path / "out/print_toned.png").icc == SRGB


@pytest.mark.parametrize("part", [np.s_[:], GREY], ids=["color", "grey"])
def test_twice_is_once(tmp_path, portrait, run, mask, part):
    save(tmp_path / "in/print.png", faded(portrait[:128, 64:192])[part])
    words = ["--tone", "--mask", mask, "--only", "restored", "--only", "toned"]
    assert run(tmp_path / "in", tmp_path / "one", *words) == 0
    first = tmp_path / "one/print_toned.png"
    assert (pixels(first) != pixels(tmp_path / "one/print_restored.png")).any()
    assert run(first, tmp_path / "two", *words) == 0
    intact = square(128, 128) == 0
    np.testing.assert_array_equal(
        pixels(tmp_path / "two/print_toned_toned.png")[intact], pixels(first)[intact]
    )
    assert report(tmp_path / "two", "print_toned")["tone"] == {"corrected": False}


def test_the_reports_numbers_are_those_of_the_print(tmp_path, portrait, run, mask):
    """Measured beside the damage, which is black here, and enough to repeat the correction."""
    picture = faded(portrait[:128, 64:192], (0.3, 0.2, 0.1), (0.9, 0.7, 0.5))
    damaged = np.where(square(128, 128)[..., None] == 255, np.uint8(0), picture)
    save(tmp_path / "in/print.png", damaged)
    assert run(tmp_path / "in", tmp_path / "out", "--tone", "neutral", "--mask", mask) == 0
    facts = report(tmp_path / "out", "print")["tone"]
    assert facts["corrected"] is True
    intact = picture[square(128, 128) == 0] / 255
    black, white = np.percentile(intact, (tone.LOWEST, tone.HIGHEST), axis=0)
    assert black.min() > 0.08
    assert facts["black"] == pytest.approx(black.tolist(), abs=0.01)
    assert facts["white"] == pytest.approx(white.tolist(), abs=0.01)
    widths = np.subtract(facts["white"], facts["black"])
    assert facts["gain"] == pytest.approx(np.minimum(tone.MOST_GAIN, tone.TARGET / widths), abs=0.001)
    correction = tone.Tone(*(tuple(facts[key]) for key in ("black", "white", "gain")))
    repeated = correction(pixels(tmp_path / "out/print_restored.png")).astype(int)
    assert np.abs(repeated - pixels(tmp_path / "out/print_toned.png")).max() <= 1


def test_only_the_toned_picture_needs_no_color(print_, tmp_path, run, capsysbinary):
    words = ["--tone", "--only", "toned"]
    assert run(print_, tmp_path / "out", *words) == 0
    assert files(tmp_path / "out") == names(["_toned"])
    assert report(tmp_path / "out", "print")["weights"].keys() == {"segment", "inpaint"}
    capsysbinary.readouterr()
    assert run(print_, "-", *words, "--quiet") == 0
    printed = np.asarray(Image.open(io.BytesIO(capsysbinary.readouterr().out)))
    np.testing.assert_array_equal(printed, pixels(tmp_path / "out/print_toned.png"))


def test_what_is_done_is_skipped_but_not_for_another_tone(print_, tmp_path, run, capsys):
    words = [print_, tmp_path / "out", "--only", "toned", "--json", "-"]

    def status():
        return json.loads(capsys.readouterr().out)["status"]

    assert run(*words, "--tone") == 0
    assert status() == "done"
    assert run(*words, "--tone", "auto") == 0
    assert status() == "skipped"
    assert run(*words, "--tone", "neutral", "--overwrite") == 0
    assert status() == "done"


def test_metadata_says_that_tones_were_changed(print_, tmp_path, run):
    """Of a picture that no model changed, nothing says that one did."""
    empty = save(tmp_path / "masks/empty.png", np.zeros((128, 128), np.uint8))
    assert run(print_, tmp_path / "out", "--tone", "--mask", empty) == 0
    toned = read_photo(tmp_path / "out/print_toned.png")
    tags = Image.Exif()
    tags.load(toned.exif)
    assert tags[270] == tone.REMARK
    assert tags[11] == engine.PROGRAM
    assert tone.REMARK.encode() in toned.xmp
    assert not source_type(toned.xmp)
    color = read_photo(tmp_path / "out/print_toned_color.png")
    tags.load(color.exif)
    assert tags[270] == f"{tone.REMARK}; {colorize.REMARK}"
    assert source_type(color.xmp)
    assert read_photo(tmp_path / "out/print_restored.png").xmp is None


def test_metadata_of_a_repaired_and_toned_picture(print_, tmp_path, run, mask):
    assert run(print_, tmp_path / "out", "--tone", "--mask", mask, "--only", "toned") == 0
    toned = read_photo(tmp_path / "out/print_toned.png")
    tags = Image.Exif()
    tags.load(toned.exif)
    assert tags[270] == f"{inpaint.REMARK}; {tone.REMARK}"
    assert source_type(toned.xmp)


@pytest.mark.parametrize(
    "only, layers, merged",
    [
        ([], ["Original", "Repairs", "Toned", "Color of original", "Color"], "restored_color"),
        (["toned", "restored"], ["Original", "Repairs", "Toned"], "restored"),
        (["toned"], ["Original", "Repairs", "Toned"], None),
    ],
    ids=str,
)
def test_toned_is_a_hidden_layer(print_, tmp_path, run, mask, only, layers, merged):
    psd_tools = pytest.importorskip("psd_tools")
    words = [word for name in only for word in ("--only", name)]
    assert run(print_, tmp_path / "out", "--tone", "--mask", mask, "--psd", *words) == 0
    psd = psd_tools.PSDImage.open(tmp_path / "out/print.psd")
    assert [layer.name for layer in psd] == layers
    assert [layer.visible for layer in psd][:3] == [True, True, False]
    toned = np.asarray(psd[2].topil().convert("RGB"))
    np.testing.assert_array_equal(toned, pixels(tmp_path / "out/print_toned.png"))
    flat = np.rint(psd.numpy()[..., :3] * 255)
    if merged:
        np.testing.assert_array_equal(flat, pixels(tmp_path / f"out/print_{merged}.png"))
    else:  # what is visible: repaired, not toned
        intact = square(128, 128) == 0
        np.testing.assert_array_equal(flat[intact], pixels(print_)[intact])
        assert (flat[~intact] != pixels(print_)[~intact]).any()


@pytest.mark.parametrize(
    "words, reason",
    [
        (["--only", "toned"], "--only: the toned pictures need --tone"),
        (["--tone", "--only", "restored"], "--tone: --only leaves out the toned pictures"),
        (["--hints", "h.png", "--only", "restored"], "--hints: --only leaves out the color pictures"),
        (["--mask", "m.png", "--only", "color"], "--mask, --protect: --only color repairs nothing"),
        (["--protect", "m.png", "--only", "color"], "--mask, --protect: --only color repairs nothing"),
        (["--tone", "warm"], "invalid choice: 'warm'"),
    ],
    ids=str,
)
def test_contradictions(print_, tmp_path, tiny_weights, capsys, words, reason):
    try:
        status = restore.main([*options(tiny_weights), str(print_), str(tmp_path / "out"), *words])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("settings", [{"tone": "warm"}, {"only": ["toned"]}], ids=str)
def test_a_restorer_refuses_the_same(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        Restorer(**settings)
