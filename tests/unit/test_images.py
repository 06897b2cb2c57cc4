"""Every row of docs/images.md, and every kind of file that must be refused. All files are made here."""

from __future__ import annotations

import base64
import doctest
import importlib.util
import io
import os
import re
import struct
import sys
import types
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, features

from redaes import images
from redaes.errors import ImageError, InputError
from redaes.images import (
    content_id,
    data_url,
    fit_area,
    formats,
    hamming,
    hashes,
    list_images,
    load_image,
    loading,
    phash,
    pixels,
)

WIDTH, HEIGHT = 60, 40


def _photo() -> Image.Image:
    """A smooth picture, different in every corner and channel, so that lossy formats keep it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return Image.fromarray(np.stack([x * 4, y * 6, 255 - x * 2 - y * 3], axis=-1).astype(np.uint8))


def _pixels(path: Path, **settings: int) -> np.ndarray:
    return np.asarray(load_image(path, **settings).image).astype(int)


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG written by hand: what Pillow cannot write, and headers that lie."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _tiff(samples: np.ndarray, **tags: int) -> bytes:
    """An uncompressed little-endian TIFF of shape (H, W) or (H, W, 3), written by hand."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    data = samples.tobytes()
    entries = {
        256: width, 257: height, 258: samples.itemsize * 8, 259: 1, 262: 2 if channels == 3 else 1, 273: 8,
        277: channels, 278: height, 279: len(data), **{int(name[1:]): value for name, value in tags.items()},
    }  # fmt: skip
    bits_at = 8 + len(data)  # three values of 16 bits do not fit into an entry
    directory_at = bits_at + (6 if channels == 3 else 0)
    out = struct.pack("<2sHI", b"II", 42, directory_at) + data
    if channels == 3:
        out += struct.pack("<HHH", *[entries[258]] * 3)
    out += struct.pack("<H", len(entries))
    for tag, value in sorted(entries.items()):
        if tag == 258 and channels == 3:
            out += struct.pack("<HHII", tag, 3, 3, bits_at)
        else:
            out += struct.pack("<HHII", tag, 4, 1, value)
    return out + struct.pack("<I", 0)


def _profile(swap: bool) -> bytes:
    """An ICC profile that is not sRGB: sRGB renamed and, if ``swap``, with red and green exchanged."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack(">I", data[128:132])[0]
    tags = {data[132 + 12 * i : 136 + 12 * i]: 132 + 12 * i for i in range(count)}
    changed = bytearray(data)
    start, size = struct.unpack(">II", data[tags[b"desc"] + 4 : tags[b"desc"] + 12])
    changed[start : start + size] = data[start : start + size].replace(
        "sRGB".encode("utf-16-be"), "Test".encode("utf-16-be")
    )
    assert changed != data
    if swap:
        red, green = tags[b"rXYZ"] + 4, tags[b"gXYZ"] + 4
        changed[red : red + 8], changed[green : green + 8] = data[green : green + 8], data[red : red + 8]
    return bytes(changed)


# --- what is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "options", "tolerance"),
    [
        ("a.jpg", "JPEG", {"quality": 98, "subsampling": 0}, 6),
        ("a.jpg", "JPEG", {"quality": 98, "subsampling": 0, "progressive": True}, 6),
        ("a.png", "PNG", {}, 0),
        ("a.webp", "WEBP", {"lossless": True}, 0),
        ("a.webp", "WEBP", {"quality": 100}, 8),
        ("a.tif", "TIFF", {}, 0),
        ("a.TIFF", "TIFF", {"compression": "tiff_lzw"}, 0),
        ("a.bmp", "BMP", {}, 0),
        ("a.avif", "AVIF", {"quality": 100, "subsampling": "4:4:4"}, 6),
    ],
)
def test_formats(tmp_path: Path, name: str, kind: str, options: dict[str, object], tolerance: int) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / name
    _photo().save(path, kind, **options)
    loaded = load_image(path)
    assert loaded.image.mode == "RGB"
    assert loaded.notes == ()
    assert loaded.ref.path == path
    assert loaded.ref.id == content_id(path.read_bytes())
    assert np.abs(_pixels(path) - np.asarray(_photo()).astype(int)).max() <= tolerance


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAcltZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9j"
    "AAAAAERAAAIAAQAAAAAB7QABAAAAAAAAAN8AAgAAAAACzAABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAA"
    "ABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABCGlwcnAAAADnaXBjbwAAAHdodmNDAQQIAAAAnjgAAAAAHvAA/P/4+AAADwNg"
    "AAEAF0ABDAH//wQIAAADAJ44AAADAAAeugJAYQABACpCAQEECAAAAwCeOAAAAwAAHpAEECCy3VyU1zcBDQYEAAADAGQAAAMABCBiAAEACEQB"
    "wXMYMAiQAAAAE2NvbHJuY2x4AAEADQAGgAAAABRpc3BlAAAAAAAAAEAAAABAAAAAKGNsYXAAAAA8AAAAAQAAACgAAAAB/////AAAAAL////o"
    "AAAAAgAAABBwaXhpAAAAAAMICAgAAAAJaXJvdAMAAAAZaXBtYQAAAAAAAAABAAEGgQIDBYSGAAAAGmlyZWYAAAAAAAAADmNkc2MAAgABAAEA"
    "AAELbWRhdAAAANsoAa8O4FeOyVLrO56Q/A4l/7V/8xn27dA3YxKXcwgHH2FMmTR2oZ+oqNhLVuK+WWsvMW+d442TALFVV45DnguedyMhmNbD"
    "mCGhoo8QkKtTSc6495RpGo90Hqa5/MANYvNaL8W9qdth8ceBWsHqotyk/vqlfTDusRVGFwH9f0vVuW/sVw7+xHiq5rKDmwXqjqzOOb9Y008F"
    "srwIxIO44+Y58gHluLLgNXkoAEJ9pRxolBSE/fkdoE0T3Cqqv7+YKuszv2ZQvEx8jyup0jMcwxcZJ/Blfn+UU4tHAxsAAAAGRXhpZgAATU0A"
    "KgAAAAgAAQESAAMAAAABAAYAAAAAAAA="
)
"""The picture of :func:`_photo`, by pillow-heif with EXIF orientation 6, which it turns into a box of HEIF's own."""


def test_heif_is_read_turned_by_its_own_box_whatever_its_exif_says(tmp_path: Path) -> None:
    if not any(importlib.util.find_spec(name) for name in ("pi_heif", "pillow_heif")):
        pytest.skip("no reader of HEIF is installed")
    path = tmp_path / "a.heic"
    for data in (HEIC, HEIC.replace(struct.pack(">HHIHH", 274, 3, 1, 6, 0), struct.pack(">HHIHH", 274, 5, 1, 3, 0))):
        path.write_bytes(data)
        found = _pixels(path)
        assert np.abs(found - np.rot90(np.asarray(_photo()), 3).astype(int)).max() <= 8
    hdr = HEIC.replace(b"nclx" + struct.pack(">HH", 1, 13), b"nclx" + struct.pack(">HH", 9, 16))
    path.write_bytes(hdr)
    with pytest.raises(ImageError, match=r"a\.heic: its colours are HDR \(PQ\)"):
        load_image(path)


def test_heif_without_the_package_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64))
    with pytest.raises(ImageError, match=r"a\.heic: HEIF needs .* pip install 'redaes\[heif\]'"):
        load_image(path)


def test_heif_with_the_package_goes_to_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("pillow_heif")
    module.HeifImageFile = formats.PngImageFile  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00heic" + bytes(64))
    with pytest.raises(ImageError, match="damaged or truncated HEIF"):
        load_image(path)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    _photo().save(path, "PNG")
    loaded = load_image(path)
    assert np.array_equal(np.asarray(loaded.image), np.asarray(_photo()))
    assert loaded.notes == ("the content is PNG although the name ends in '.jpg'; read as PNG",)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = np.asarray(_photo())
    # How a camera stores an upright scene so that each orientation tag restores it.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{kind}"
    picture = Image.fromarray(np.ascontiguousarray(stored))
    if kind == "tiff":
        picture.save(path, tiffinfo={274: orientation})
    else:
        picture.save(path, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    assert np.array_equal(np.asarray(load_image(path).image), upright)


def test_jpeg_is_upright_also_when_it_is_decoded_small(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    _photo().resize((1200, 800)).save(tmp_path / "a.jpg", exif=exif)
    image = load_image(tmp_path / "a.jpg", max_pixels=2400).image
    assert image.size == (40, 60)
    expected = np.asarray(_photo().transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= 14


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, :16, 0] = 255  # cyan; the middle stays paper
    inks[:, 32:, 3] = 255  # black
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=98)
    loaded = load_image(tmp_path / "a.jpg")
    found = np.asarray(loaded.image).astype(int)[8, [8, 24, 40]]
    assert np.abs(found - [[0, 255, 255], [255, 255, 255], [0, 0, 0]]).max() <= 4
    assert "CMYK was converted to RGB" in loaded.notes
    cv2 = pytest.importorskip("cv2")  # an independent decoder
    assert np.abs(cv2.imread(str(tmp_path / "a.jpg"))[8, [8, 24, 40], ::-1] - found).max() <= 4


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = np.round(grey / 257).astype(int)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "a.tif")
    (tmp_path / "white_is_zero.tif").write_bytes(_tiff(grey, t262=0))
    (tmp_path / "turned.tif").write_bytes(_tiff(np.ascontiguousarray(grey[::-1, ::-1]), t274=3))
    assert np.array_equal(_pixels(tmp_path / "a.png")[..., 0], expected)
    assert np.array_equal(_pixels(tmp_path / "a.tif")[..., 1], expected)
    assert np.array_equal(_pixels(tmp_path / "turned.tif")[..., 1], expected)
    assert np.abs(_pixels(tmp_path / "white_is_zero.tif")[..., 2] - (255 - expected)).max() <= 1


def test_12_bit_grey_reaches_white(tmp_path: Path) -> None:
    row = bytes([0xFF, 0xF0, 0x00, 0x80, 0x08, 0x00])  # 4095, 0, 2048, 2048 in packed 12 bits
    data = _tiff(np.frombuffer(row, np.uint8).reshape(1, 6), t256=4, t258=12)
    (tmp_path / "a.tif").write_bytes(data)
    assert _pixels(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 0, 128, 128]


def test_16_bit_rgb_keeps_its_brightness(tmp_path: Path) -> None:
    samples = np.array([[[0, 32768, 65535], [65535, 0, 16384]]], np.uint16)
    rows = b"\x00" + samples.astype(">u2").tobytes()
    (tmp_path / "a.png").write_bytes(_png(2, 1, 16, 2, rows))
    (tmp_path / "a.tif").write_bytes(_tiff(samples))
    for name in ("a.png", "a.tif"):
        assert _pixels(tmp_path / name).tolist() == [[[0, 128, 255], [255, 0, 64]]]


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)  # black and invisible
    rgba[0] = (200, 0, 0, 255)
    rgba[1] = (200, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(rgba[..., [0, 3]], "LA").save(tmp_path / "grey.png")
    loaded = load_image(tmp_path / "a.png")
    assert np.asarray(loaded.image)[:3, 0].tolist() == [[200, 0, 0], [227, 127, 127], [255, 255, 255]]
    assert loaded.notes == ("transparent parts were laid on white",)
    assert _pixels(tmp_path / "grey.png")[:3, 0, 0].tolist() == [200, 227, 255]


def test_an_alpha_channel_without_transparency_is_no_news(tmp_path: Path) -> None:
    _photo().convert("RGBA").save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").notes == ()


def test_palette_with_and_without_a_transparent_colour(tmp_path: Path) -> None:
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.save(tmp_path / "a.png")
    indexed.save(tmp_path / "hole.png", transparency=1)
    assert _pixels(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert _pixels(tmp_path / "hole.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "a.png")
    assert _pixels(tmp_path / "a.png")[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tiff"])
def test_animation_gives_its_first_frame_and_a_note(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if kind == "webp" else {}
    first.save(path, save_all=True, append_images=[second], **options)
    loaded = load_image(path)
    assert np.asarray(loaded.image)[4, 4].tolist() == [255, 0, 0]
    assert loaded.notes == ("the file holds several frames or pages; only the first is used",)


def test_colour_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    # A profile whose red primary is green: a pure red stored under it must come out green.
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    picture.putpixel((0, 0), (255, 0, 0, 0))
    picture.save(tmp_path / "a.png", icc_profile=_profile(swap=True))
    loaded = load_image(tmp_path / "a.png")
    red, green, blue = np.asarray(loaded.image).astype(int)[2, 2]
    assert max(red, blue) <= 3
    assert green >= 252
    assert np.asarray(loaded.image)[0, 0].tolist() == [255, 255, 255]  # transparency survives the conversion
    assert loaded.notes[0].startswith("colours were converted to sRGB from the embedded profile 'Test")


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    _photo().save(tmp_path / "a.png", icc_profile=profile)
    loaded = load_image(tmp_path / "a.png")
    assert np.array_equal(np.asarray(loaded.image), np.asarray(_photo()))
    assert loaded.notes == ()


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_unusable_colour_profile_is_ignored_with_a_note(tmp_path: Path, mode: str) -> None:
    profile = b"not a profile" if mode == "RGB" else _profile(swap=False)  # an RGB profile on inks
    _photo().convert(mode).save(tmp_path / "a.tif", icc_profile=profile)
    loaded = load_image(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(loaded.image), np.asarray(_photo().convert(mode).convert("RGB")))
    assert "cannot be used" in loaded.notes[-1]


# --- size --------------------------------------------------------------------------------------------------


def test_large_pictures_are_shrunk_in_proportion_and_small_ones_left_alone(tmp_path: Path) -> None:
    _photo().save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").image.size == (WIDTH, HEIGHT)
    image = load_image(tmp_path / "a.png", max_pixels=600).image
    assert image.size == (30, 20)
    expected = np.asarray(_photo().resize((30, 20), Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= 4


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (7, 7), (4000, 3000), (3, 100_000)])
@pytest.mark.parametrize("max_pixels", [1, 2, 10, 1000, 262_144])
def test_fit_area_never_exceeds_its_limit(size: tuple[int, int], max_pixels: int) -> None:
    width, height = fit_area(size, max_pixels)
    assert 1 <= width <= size[0]
    assert 1 <= height <= size[1]
    assert width * height <= max_pixels


def test_max_pixels_below_one_is_an_input_error_not_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_pixels is 0") as caught:
        load_image(tmp_path / "missing.png", max_pixels=0)
    assert not isinstance(caught.value, ImageError)


def test_header_bomb_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(2_000_000_000, 2_000_000_000, 8, 2, b"\x00" * 64))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match=r"bomb\.png: 2000000000 x 2000000000 pixels exceed the limit") as e:
        load_image(path)
    assert "shrink" in str(e.value)


def test_the_limit_is_200_megapixels_and_pillows_own_does_not_interfere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"

    def stop(self: ImageFile.ImageFile) -> None:
        raise OSError("decoding began")

    monkeypatch.setattr(ImageFile.ImageFile, "load", stop)
    path.write_bytes(_png(16_320, 12_240, 8, 2, b""))  # the largest phone sensors
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="decoding began"):
            load_image(path)
    path.write_bytes(_png(20_001, 10_000, 8, 2, b""))
    with pytest.raises(ImageError, match="exceed the limit of 200,000,000"):
        load_image(path)


def test_a_file_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(images.MAX_FILE_BYTES + 1)  # sparse: takes no space
    with pytest.raises(ImageError, match="1,500,000,001 bytes exceed the limit"):
        load_image(path)


def test_pillows_globals_stay_as_they_were(tmp_path: Path) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(Image.OPEN), warnings.filters[:])
    _photo().save(tmp_path / "a.jpg")
    load_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:400])
    with pytest.raises(ImageError):
        load_image(tmp_path / "b.jpg")
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(Image.OPEN), warnings.filters[:])
    assert after == before


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_truncated_files(tmp_path: Path, kind: str, kept: float) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    data = buffer.getvalue()
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ImageError, match=r"a\.\w+: damaged or truncated .*; copy or download it again"):
        load_image(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>", "an XML or SVG file"),
        (b"<!doctype html><html>", "a web page"),
        (b"%PDF-1.7", "a PDF document"),
        (b"8BPS\x00\x01", "a Photoshop document"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (b"\xff\x0a\x00\x00", "a JPEG XL picture"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42", "a video"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"just text", "not a known picture format (it begins with 'just tex')"),
        (b"\x00\xff", "not a known picture format (it begins with the bytes 00 ff)"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    expected = rf"a\.jpg: {re.escape(what)}.*readable are JPEG, .*: convert the picture to JPEG or PNG"
    with pytest.raises(ImageError, match=expected):
        load_image(path)


def test_no_message_shows_bytes_as_python_writes_them(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(stream, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(stream.getvalue().replace(b"IDAT", b"IDA\x12"))
    with pytest.raises(ImageError, match=r"\(broken PNG file \(chunk 'IDA"):
        load_image(path)


@pytest.mark.parametrize("tag", [{"t254": 1}, {"t50706": 0x00000401}])
def test_the_preview_in_a_raw_file_does_not_pass_for_the_photograph(tmp_path: Path, tag: dict[str, int]) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(_tiff(np.zeros((4, 4), np.uint8)))
    load_image(path)
    path.write_bytes(_tiff(np.zeros((4, 4), np.uint8), **tag))
    with pytest.raises(ImageError, match="camera raw"):
        load_image(path)


@pytest.mark.parametrize(
    ("samples", "tags", "named"),
    [
        (np.zeros((4, 4), np.float32), {"t339": 3}, "floating-point numbers"),
        (np.zeros((4, 4, 3), np.float32), {"t339": 3}, "floating-point numbers"),
        (np.zeros((4, 4), np.int32), {"t339": 2}, "signed numbers"),
        (np.zeros((4, 4, 3), np.uint32), {}, "whole numbers of 32 bits"),
    ],
)
def test_pixels_without_a_defined_white_are_refused(
    tmp_path: Path, samples: np.ndarray, tags: dict[str, int], named: str
) -> None:
    (tmp_path / "a.tif").write_bytes(_tiff(samples, **tags))
    with pytest.raises(ImageError, match=rf"a\.tif: its pixels are {named}, .*; export it with 8 or 16 bits"):
        load_image(tmp_path / "a.tif")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError, match=r"a\.jpg: the file is empty \(0 bytes\)"):
        load_image(tmp_path / "a.jpg")


def test_missing_file_folder_and_impossible_names(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.jpg: no such file; check"):
        load_image(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="is a folder; give a picture file"):
        load_image(tmp_path)
    with pytest.raises(ImageError, match="not a file name"):
        load_image("a\x00.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        load_image("a" * 5000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="is a pipe or device"):
        load_image(tmp_path / "pipe.jpg")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _photo().save(tmp_path / "a.png")

    def refuse(self: Path, *args: object) -> None:  # simulated: permissions do not bind every user
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"a\.png: permission denied; make the file readable"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "url",
    ["https://example.org/a.jpg", "HTTP://example.org/a.jpg", "s3://bucket/a.jpg", "file:///tmp/a.jpg",
     Path("https://example.org/a.jpg"), "data:image/png;base64," + "A" * 100_000],
)  # fmt: skip
def test_urls_are_not_fetched(url: str | Path) -> None:
    with pytest.raises(ImageError, match="URLs are not fetched; download the picture first") as caught:
        load_image(url)
    assert len(str(caught.value)) < 300


def test_mutated_files_give_a_picture_or_an_image_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A mutated header may promise any size; the test need not spend its time on blank megapixels.
    monkeypatch.setattr(formats, "MAX_FILE_PIXELS", 1_000_000)
    rng = np.random.default_rng(7)
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "a.bin"
    n_refused = 0
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        buffer = io.BytesIO()
        _photo().save(buffer, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
        for _ in range(60):
            data = bytearray(buffer.getvalue())
            for place in rng.integers(0, min(len(data), 300), size=3):
                data[place] = rng.integers(0, 256)
            path.write_bytes(data)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's remarks on broken metadata
                try:
                    assert load_image(path).image.mode == "RGB"
                except ImageError:
                    n_refused += 1
    assert n_refused > 50


# --- folders, URLs, hashes ---------------------------------------------------------------------------------


def test_list_images_is_sorted_and_leaves_out_what_is_no_picture(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "c.heic", "notes.txt", "._b.jpg", "jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.PNG", "b.jpg", "c.heic"]


def test_list_images_looks_into_folders_where_asked(tmp_path: Path) -> None:
    for name in ("b.jpg", "day 2/a.jpg", "day 2/deep/c.png", ".thumbnails/d.jpg", "day 1/e.jpg", "day 1/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "day 1" / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path, recursive=True)]
    assert found == ["b.jpg", "day 1/e.jpg", "day 2/a.jpg", "day 2/deep/c.png"]


def test_list_images_names_the_folder_that_holds_pictures_when_they_lie_deeper(tmp_path: Path) -> None:
    for place in (".hidden", "b", "a/deep"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1.jpg").touch()
    with pytest.raises(InputError, match=rf"not searched, but {re.escape(str(tmp_path / 'a' / 'deep'))} contains some"):
        list_images(tmp_path)


def test_list_images_names_the_folder_and_the_endings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path))}: no pictures found; .*\.jpg.*\.heic"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        list_images(tmp_path / "file")


def test_data_url_holds_exactly_these_pixels() -> None:
    head, _, body = data_url(_photo()).partition(",")
    assert head == "data:image/png;base64"
    decoded = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
    assert np.array_equal(np.asarray(decoded), np.asarray(_photo()))


def test_content_id_is_sha256() -> None:
    assert content_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _scene(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((480, 360), Image.Resampling.BICUBIC)


def test_phash_knows_copies_and_tells_strangers_apart() -> None:
    scene = _scene(0)
    buffer = io.BytesIO()
    scene.resize((200, 150)).save(buffer, "JPEG", quality=60)
    assert hamming(phash(scene), phash(Image.open(buffer))) <= 4
    assert hamming(phash(scene), phash(scene.point(lambda value: value // 2 + 40))) <= 4
    strangers = [phash(_scene(seed)) for seed in range(20)]
    assert min(hamming(a, b) for i, a in enumerate(strangers) for b in strangers[:i]) >= 12
    assert all(0 <= code < 2**64 for code in strangers)


def test_phash_against_the_definition() -> None:
    from scipy.fft import dctn

    grey = np.asarray(_scene(3).convert("L").resize((32, 32), Image.Resampling.LANCZOS)).astype(float)
    block = dctn(grey)[1:9, 1:9].ravel()
    expected = int("".join("1" if value > np.median(block) else "0" for value in block), 2)
    assert phash(_scene(3)) == expected


@pytest.mark.parametrize("module", [hashes, loading, pixels])
def test_doctests(module: types.ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted
