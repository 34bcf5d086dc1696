"""More than 8 bits outside of TIFF: PNG, JPEG, AVIF and HEIC, made by imagecodecs and pillow-heif."""

import builtins
import io

import numpy as np
import pytest
from conftest import SRGB, noise, save, saved, square
from PIL import Image

import restore
from data import containers
from data.errors import PhotoError
from data.photo import Photo, encode, read_photo

imagecodecs = pytest.importorskip("imagecodecs")
Y, X = np.mgrid[:32, :48]
SMOOTH = np.dstack([X * 80, Y * 120, (X + Y) * 50]).astype(np.uint16)  # 12 bits


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png_of_16_bits_is_read_and_written_in_full(channels):
    array = noise(21, 34, channels, dtype=np.uint16)
    photo = read_photo(imagecodecs.png_encode(array))
    assert photo.notes == []
    colors = 1 if channels == 2 else 3
    np.testing.assert_array_equal(photo.pixels, array[..., 0] if colors == 1 else array[..., :3])
    if channels > colors:
        np.testing.assert_array_equal(photo.alpha, array[..., colors])
    photo.icc, photo.dpi = SRGB if colors == 3 else None, (300, 300)
    data = encode(photo.pixels, photo, "PNG", "Restored")
    np.testing.assert_array_equal(imagecodecs.png_decode(data), array)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (34, 21)
        assert image.getexif()[270] == "Restored"
    again = read_photo(data)
    assert again.icc == photo.icc
    assert again.dpi == pytest.approx((300, 300), abs=0.02)


def test_a_transparent_color_of_16_bits():
    array = noise(21, 34, 3, dtype=np.uint16)
    data = imagecodecs.png_encode(array)
    key = containers.chunk(b"tRNS", array[3, 4].astype(">u2").tobytes())
    photo = read_photo(data[:33] + key + data[33:])
    np.testing.assert_array_equal(photo.pixels, array)
    assert photo.alpha[3, 4] == 0
    assert photo.alpha.mean() > 65000


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_avif_of_more_bits(bits, channels):
    array = np.random.default_rng(bits).integers(0, 2**bits, (32, 48, channels)).astype(np.uint16)
    array = array[..., 0] if channels == 1 else array
    photo = read_photo(imagecodecs.avif_encode(array, level=100, bitspersample=bits))
    expected = np.rint(array * (65535 / (2**bits - 1)))
    if channels == 1 and photo.pixels.ndim == 3:
        expected = np.dstack([expected] * 3)
    np.testing.assert_array_equal(photo.pixels, expected[..., :3] if channels == 4 else expected)
    assert (photo.alpha is not None) == (channels == 4)
    assert photo.notes == [f"{bits} bits scaled to 16"]


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_12_bits(channels):
    array = SMOOTH if channels == 3 else np.ascontiguousarray(SMOOTH[..., 0])
    photo = read_photo(imagecodecs.jpeg_encode(array, level=98, bitspersample=12))
    assert photo.pixels.shape == array.shape
    assert np.abs(photo.pixels - array * (65535 / 4095)).mean() < 16 * 10
    assert photo.notes == ["12 bits scaled to 16"]


@pytest.mark.parametrize("bits", [8, 10])
def test_heic(bits):
    pillow_heif = pytest.importorskip("pillow_heif")
    array = (SMOOTH >> 4).astype(np.uint8) if bits == 8 else SMOOTH << 4
    file, exif = io.BytesIO(), Image.Exif()
    exif[270], exif[274] = "Grandmother", 1
    image = pillow_heif.from_bytes("RGB" if bits == 8 else "RGB;16", (48, 32), array.tobytes())
    image.save(file, quality=-1, chroma=444, exif=exif.tobytes())
    photo = read_photo(file.getvalue())
    white = 255 if bits == 8 else 65535
    assert photo.pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(photo.pixels / white - array / (255 if bits == 8 else 65520)).mean() < 0.01
    assert b"Grandmother" in photo.exif
    assert photo.notes == ([] if bits == 8 else ["10 bits scaled to 16"])


def test_a_heic_that_is_cut_off():
    with pytest.raises(PhotoError, match="HEIC"):
        read_photo(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


@pytest.mark.parametrize(
    "name, data",
    [
        ("imagecodecs", imagecodecs.png_encode(noise(5, 6, 3, dtype=np.uint16))),
        ("imagecodecs", imagecodecs.avif_encode(noise(16, 16, 3) * np.uint16(4), bitspersample=10)),
        ("pillow_heif", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    ],
)
def test_without_the_library_one_line_names_the_extra(monkeypatch, name, data):
    real = builtins.__import__

    def fake(wanted, *rest):
        if wanted == name:
            raise ImportError(wanted)
        return real(wanted, *rest)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(PhotoError, match=r"pip install -e '.\[scans\]'"):
        read_photo(data)


def test_untouched_pixels_of_a_16_bit_png_stay_bit_for_bit(tmp_path, tiny_weights):
    array = noise(48, 64, 3, dtype=np.uint16)
    save(tmp_path / "scan.png", array)
    save(tmp_path / "m.png", square())
    weights = [word for stage, file in tiny_weights.items() for word in (f"--{stage}-weights", str(file))]
    words = ["--mask", str(tmp_path / "m.png"), "--device", "cpu", "--quiet", *weights]
    assert restore.main([str(tmp_path / "scan.png"), str(tmp_path / "out"), *words]) == 0
    restored = imagecodecs.png_decode((tmp_path / "out/scan_restored.png").read_bytes())
    outside = square() == 0
    np.testing.assert_array_equal(restored[outside], array[outside])
    assert (restored[~outside] != array[~outside]).mean() > 0.9
    color = imagecodecs.png_decode((tmp_path / "out/scan_color.png").read_bytes())
    assert color.dtype == np.uint16
    assert read_photo(encode(array, Photo(array), "PNG")).pixels.dtype == np.uint16


@pytest.mark.parametrize("left", [1, 4, 8])
def test_a_jpeg_that_ends_within_its_frame_is_damaged(left):
    """Its bit depth is 8 or, as here, another one."""
    data = bytearray(saved(Image.fromarray(noise(8, 8)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    with pytest.raises(PhotoError, match=r"damaged|not an image"):
        read_photo(bytes(data[: frame + 4 + left]))
