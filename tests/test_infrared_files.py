"""Infrared channels in files: what is read, kept and used by the commands."""

import io
import os

import numpy as np
import pytest
from conftest import files, noise, save
from restoring import pixels, report
from stages import command
from test_infrared import drawn_dust, f1, scan

import segment
from data.errors import UserError
from data.photo import Photo, encode, read_photo
from engine.inputs import list_photos
from restore import Restorer

tifffile = pytest.importorskip("tifffile")
DUST = drawn_dust((480, 360), 1)[:120, :160]


@pytest.fixture(scope="module")
def film(portrait):
    """(infrared, pixels), 16 bits."""
    infrared, colors = scan(portrait, drawn_dust((480, 360), 1))
    return infrared[:120, :160], colors[:120, :160]


def rgbi(infrared, colors, extra=(0,), **options):
    """A TIFF of one page with four samples, as VueScan writes it."""
    file = io.BytesIO()
    samples = np.dstack([colors, infrared])
    if options.get("planarconfig") == "separate":
        samples = np.ascontiguousarray(np.moveaxis(samples, 2, 0))
    tifffile.imwrite(file, samples, photometric="rgb", extrasamples=extra or (0,), metadata=None, **options)
    data = bytearray(file.getvalue())
    if not extra:  # tifffile always writes ExtraSamples: it becomes a private tag
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            at = tiff.pages[0].tags[338].offset
        data[at : at + 2] = (65000).to_bytes(2, "little")
    return bytes(data)


def hdri(infrared, colors, *more, **options):
    """A TIFF with a grey page after the RGB one, as SilverFast writes it."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        for page in (colors, infrared, *more):
            kind = "rgb" if page.ndim == 3 else "minisblack"
            tiff.write(page, photometric=kind, metadata=None, **options)
    return file.getvalue()


# ---------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extra", [(), (0,)])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_four_samples_without_alpha_are_infrared(dtype, extra, planes):
    infrared, colors = noise(21, 34, dtype=dtype), noise(21, 34, 3, dtype=dtype, seed=1)
    photo = read_photo(rgbi(infrared, colors, extra, planarconfig=planes))
    np.testing.assert_array_equal(photo.pixels, colors)
    np.testing.assert_array_equal(photo.infrared, infrared)
    assert photo.infrared.dtype == dtype and photo.alpha is None and photo.notes == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_stays_alpha(dtype):
    alpha, colors = noise(21, 34, dtype=dtype), noise(21, 34, 3, dtype=dtype, seed=1)
    photo = read_photo(rgbi(alpha, colors, ("unassalpha",)))
    np.testing.assert_array_equal(photo.alpha, alpha)
    assert photo.infrared is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_constant_fourth_sample_is_padding(dtype):
    photo = read_photo(rgbi(np.full((21, 34), 200, dtype), noise(21, 34, 3, dtype=dtype)))
    assert photo.infrared is None and photo.alpha is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turn", [1, 3, 6])
def test_a_grey_second_page_is_infrared(dtype, turn):
    infrared, colors = noise(21, 34, dtype=dtype), noise(21, 34, 3, dtype=dtype, seed=1)
    photo = read_photo(hdri(infrared, colors, extratags=[(274, "H", 1, turn, True)]))
    turned = {1: 0, 3: 2, 6: 3}[turn]
    np.testing.assert_array_equal(photo.pixels, np.rot90(colors, turned))
    np.testing.assert_array_equal(photo.infrared, np.rot90(infrared, turned))
    assert photo.notes == ["the second page was read as the infrared channel"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turn", [3, 6])
def test_infrared_is_turned_with_the_photograph(dtype, turn):
    infrared, colors = noise(21, 34, dtype=dtype), noise(21, 34, 3, dtype=dtype, seed=1)
    photo = read_photo(rgbi(infrared, colors, extratags=[(274, "H", 1, turn, True)]))
    np.testing.assert_array_equal(photo.infrared, np.rot90(infrared, {3: 2, 6: 3}[turn]))


def test_other_pages_are_not_infrared():
    colors, grey = noise(21, 34, 3), noise(21, 34, seed=1)
    for pages in ([grey[:20]], [grey, grey], [colors], []):
        photo = read_photo(hdri(*(pages[:1] or [colors[:3]]), colors, *pages[1:]))
        assert photo.infrared is None and photo.notes[0].startswith("only the first of")


def test_a_damaged_second_page_does_not_fail_the_photograph():
    colors, grey = noise(64, 64, 3), noise(64, 64, seed=1)
    data = bytearray(hdri(grey, colors, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        start = tiff.pages[1].dataoffsets[0]
    data[start : start + 40] = bytes(40)
    photo = read_photo(bytes(data))
    np.testing.assert_array_equal(photo.pixels, colors)
    assert photo.infrared is None and "infrared channel was not read" in photo.notes[-1]


# ---------------------------------------------------------------------------------------------- keeping


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(21, 34), (21, 34, 3)])
def test_a_tiff_keeps_it(dtype, shape):
    photo = Photo(noise(*shape, dtype=dtype), infrared=noise(21, 34, dtype=dtype, seed=1), format="TIFF")
    data = encode(photo.pixels, photo, "TIFF")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags, written = file.pages[0].tags, file.pages[0].asarray()
    assert tags["ExtraSamples"].value == (0,)
    np.testing.assert_array_equal(written, np.dstack([photo.pixels, photo.infrared]))
    again = read_photo(data)
    np.testing.assert_array_equal(again.infrared, photo.infrared)
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    assert again.alpha is None


def test_results_keep_it_or_say_that_it_is_lost(tmp_path, film, run):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/scan.tif").write_bytes(rgbi(*film))
    for format, kept in (("auto", True), ("png", False)):
        out = tmp_path / format
        assert run(tmp_path / "in", out, "--only", "restored", "--format", format, "--infrared", "only") == 0
        said = any("infrared channel is lost" in line for line in report(out)["warnings"])
        assert said is not kept
    np.testing.assert_array_equal(read_photo(tmp_path / "auto/scan_restored.tif").infrared, film[0])
    assert read_photo(tmp_path / "png/scan_restored.png").infrared is None


# ---------------------------------------------------------------------------------------------- using


@pytest.fixture(params=["rgbi", "hdri", "beside"])
def scanned(request, tmp_path, film):
    """A folder with one photograph, whose infrared channel is in one of three places."""
    folder = tmp_path / "in"
    folder.mkdir()
    infrared, colors = film
    if request.param == "beside":
        tifffile.imwrite(folder / "scan_IR.tif", infrared)
        tifffile.imwrite(folder / "scan.tif", colors, photometric="rgb")
    else:
        (folder / "scan.tif").write_bytes({"rgbi": rgbi, "hdri": hdri}[request.param](infrared, colors))
    return folder


def test_the_commands_find_the_dust(scanned, tmp_path, run, tiny_weights):
    words = ("--infrared", "only", "--dilate", 0)
    without = {**tiny_weights, "segment": tmp_path / "none.pt"}  # is not even opened
    assert run(scanned, tmp_path / "out", *words, "--only", "mask", weights=without) == 0
    mask = pixels(tmp_path / "out/scan_mask.png")
    assert f1(mask == 255, DUST) > 0.9 and set(np.unique(mask)) == {0, 255}
    facts = report(tmp_path / "out")
    assert facts["infrared"] == (mask == 255).sum() and facts["options"]["infrared"] == "only"
    assert "segment" not in facts["weights"]
    assert files(tmp_path / "out") == ["scan.json", "scan_mask.png"]  # of scan_IR.tif nothing is made
    assert command(segment, "infer", scanned, tmp_path / "stage", *words, weights=without) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "stage/scan_mask.png"), mask)
    result = Restorer(infrared="only", dilate=0, device="cpu", segment_weights=tmp_path / "none.pt")
    np.testing.assert_array_equal(result(scanned / "scan.tif").mask, mask)
    with pytest.raises(UserError, match="no probability"):
        _ = result(scanned / "scan.tif").probability


def test_auto_joins_it_with_the_mask_of_the_network(scanned, tmp_path, run, median):
    threshold = median(read_photo(scanned / "scan.tif"), 0.1)
    masks = {}
    for mode in ("off", "only", "auto"):
        words = ("--infrared", mode, "--threshold", threshold, "--only", "mask")
        assert run(scanned, tmp_path / mode, *words) == 0
        masks[mode] = pixels(tmp_path / mode / "scan_mask.png") == 255
    assert (masks["only"] & ~masks["off"]).any() and (masks["off"] & ~masks["only"]).any()
    np.testing.assert_array_equal(masks["auto"], masks["off"] | masks["only"])
    off, auto = report(tmp_path / "off"), report(tmp_path / "auto")
    assert "infrared" not in off and "infrared" not in off["companions"]
    assert off["options"]["infrared"] == "off"
    assert auto["infrared"] > 0 and "infrared" not in auto["options"]
    assert ("infrared" in auto["companions"]) is (scanned / "scan_IR.tif").exists()


def test_a_picture_beside_it_that_changed_is_used_anew(tmp_path, film, run, capsys):
    infrared, colors = film
    photo = save(tmp_path / "in/scan.png", colors)
    words = ("--only", "mask", "--infrared", "auto")
    tifffile.imwrite(tmp_path / "in/scan_IR.tif", infrared)
    assert run(photo, tmp_path / "out", *words) == 0
    marked = report(tmp_path / "out")["infrared"]
    assert run(photo, tmp_path / "out", *words) == 0
    assert "already done" in capsys.readouterr().err
    more = infrared.copy()
    more[20:24, 20:60] //= 3
    tifffile.imwrite(tmp_path / "in/scan_IR.tif", more)
    assert run(photo, tmp_path / "out", *words) == 1  # not done, and not to be replaced
    assert run(photo, tmp_path / "out", *words, "--overwrite") == 0
    assert report(tmp_path / "out")["infrared"] > marked


def test_dilation_applies(tmp_path, film):
    photo = read_photo(rgbi(*film))
    masks = [segment.find(None, photo, None, dilate, ("only", None), 80)[0] == 255 for dilate in (0, 1, 3)]
    y, x = np.nonzero(masks[0])
    for dilate, mask in zip((2, 6), masks[1:], strict=True):  # px of a working size of one half
        expected = np.zeros_like(mask)
        for dy in range(-dilate, dilate + 1):
            for dx in range(-dilate, dilate + 1):
                expected[(y + dy).clip(0, 119), (x + dx).clip(0, 159)] = True
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("mode", ["auto", "only"])
def test_silver_film_is_a_sentence_in_the_report(tmp_path, portrait, run, median, mode):
    luma = np.rint(portrait @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    (tmp_path / "scan.tif").write_bytes(rgbi(luma, portrait))
    threshold = ("--threshold", median(read_photo(tmp_path / "scan.tif"), 0.1), "--only", "mask")
    assert run(tmp_path / "scan.tif", tmp_path / "out", *threshold, "--infrared", mode) == 0
    facts = report(tmp_path / "out")
    assert any("shows the photograph itself" in line for line in facts["warnings"])
    assert "infrared" not in facts
    mask = pixels(tmp_path / "out/scan_mask.png")
    if mode == "only":
        assert not mask.any()
    else:
        assert run(tmp_path / "scan.tif", tmp_path / "off", *threshold, "--infrared", "off") == 0
        assert mask.any()
        np.testing.assert_array_equal(mask, pixels(tmp_path / "off/scan_mask.png"))


def test_only_fails_without_a_channel(tmp_path, scan, film, run, capsys):
    tifffile.imwrite(tmp_path / "in/film.tif", np.dstack(film[::-1]), photometric="rgb", extrasamples=(0,))
    assert run(tmp_path / "in", tmp_path / "out", "--only", "mask", "--infrared", "only", "--quiet") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "scan.png: has no infrared channel" in err
    assert "film_mask.png" in files(tmp_path / "out")


def test_a_picture_beside_it_of_another_size_is_not_used(tmp_path, scan, run):
    tifffile.imwrite(tmp_path / "in/scan_IR.tif", noise(10, 10))
    assert run(scan, tmp_path / "out", "--only", "mask") == 0
    assert any("10 x 10 px" in line for line in report(tmp_path / "out")["warnings"])


def test_it_is_a_photograph_of_its_own_without_the_other(tmp_path):
    for name in ("a.jpg", "a_IR.tif", "b_IR.tif", "c.tif", "c_IR.png", "d.tiff", "d_IR.TIFF"):
        (tmp_path / name).write_bytes(b"x")
    listed = [source.path.name for source in list_photos([tmp_path], tmp_path / "out", recursive=False)]
    assert listed == ["a.jpg", "b_IR.tif", "c.tif", "c_IR.png", "d.tiff"]
    (source,) = list_photos([tmp_path / "a_IR.tif"], tmp_path / "out", recursive=False)
    assert source.path.name == "a_IR.tif"


def test_where_the_disk_ignores_case_it_is_no_photograph_either(tmp_path, monkeypatch):
    for name in ("scan.tif", "scan_IR.TIF"):
        (tmp_path / name).write_bytes(b"x")
    here = {path.name.lower() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.path.isfile", lambda path: os.path.basename(path).lower() in here)
    listed = [source.path.name for source in list_photos([tmp_path], tmp_path / "out", recursive=False)]
    assert listed == ["scan.tif"]


def test_the_probability_needs_the_network(tmp_path, scan, run, tiny_weights, capsys):
    words = (scan, tmp_path / "out", "--infrared", "only", "--probability")
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    assert command(segment, "infer", *words, weights=tiny_weights) == 2


def test_other_values_are_refused():
    with pytest.raises(UserError, match="--infrared"):
        Restorer(infrared="yes")


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (33, 31)])
@pytest.mark.filterwarnings("error")
def test_small_photographs_do_not_fail(shape):
    photo = Photo(noise(*shape, 3), infrared=noise(*shape, seed=1))
    mask, *_ = segment.find(None, photo, None, 2, ("only", None))
    assert mask.shape == shape
