"""Camera raw: found by content, judged by its preview, developed where that is small. All files are made here.

Real files of cameras are in none of the packages that tests may use; what the makers' layouts have in common is
written by hand.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redaes.culling.scanned_shots import scan_shots
from redaes.errors import ImageError
from redaes.images import capture_time, decode_image, image_size, is_raw_name, list_images, raw
from redaes.images.formats import recognise

WIDTH, HEIGHT = 256, 192

Value = tuple[int, Sequence[int] | bytes]
"""A type of TIFF and its values."""


def _scene(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A smooth picture in sRGB, different in each corner."""
    y, x = np.mgrid[0:height, 0:width]
    return (
        np.stack([60 + x * 120 / width, 60 + y * 120 / height, 200 - x * 100 / width], axis=-1).round().astype(np.uint8)
    )


def _jpeg(picture: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=95, subsampling=0, **options)
    return out.getvalue()


def _directory(entries: Mapping[int, Value], at: int, following: int = 0) -> bytes:
    """One directory, little-endian, with its values behind it."""
    table, body = struct.pack("<H", len(entries)), b""
    behind = at + 2 + 12 * len(entries) + 4
    letters = {1: "B", 3: "H", 4: "I", 5: "II", 10: "ii"}
    for tag, (kind, values) in sorted(entries.items()):
        data = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{letters[kind][0]}", *values)
        count = len(data) if isinstance(values, bytes) else len(values) // len(letters[kind])
        field = data if len(data) <= 4 else struct.pack("<I", behind + len(body))
        body += data + bytes(len(data) % 2) if len(data) > 4 else b""
        table += struct.pack("<HHI", tag, kind, count) + field.ljust(4, b"\0")
    return table + struct.pack("<I", following) + body


def _mosaic(picture: np.ndarray) -> bytes:
    """What a sensor under red, green, green and blue filters sees of a picture, in 16 bits."""
    value = picture / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = light[..., 1].copy()
    seen[::2, ::2], seen[1::2, 1::2] = light[::2, ::2, 0], light[1::2, 1::2, 2]
    return (seen * 65535).round().astype("<u2").tobytes()


def _of_sensor(at: int, width: int = WIDTH, height: int = HEIGHT) -> dict[int, Value]:
    return {
        254: (4, [0]), 256: (4, [width]), 257: (4, [height]), 258: (3, [16]), 259: (3, [1]), 262: (3, [32803]),
        273: (4, [at]), 277: (3, [1]), 278: (4, [height]), 279: (4, [2 * width * height]), 284: (3, [1]),
        33421: (3, [2, 2]), 33422: (1, [0, 1, 1, 2]),
    }  # fmt: skip


# From XYZ under D65 to linear sRGB: this camera sees as sRGB is defined.
_MATRIX = (32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572)


def _dng(orientation: int = 1, preview: bytes = b"", **more: Value) -> bytes:
    """A DNG whose camera sees in sRGB, with a JPEG in it where one is given."""
    sensor = _mosaic(_scene())
    at = 8 + len(sensor) + len(preview) + len(preview) % 2
    entries: dict[int, Value] = {
        **_of_sensor(8),
        271: (2, b"Maker\0"), 272: (2, b"Camera\0"), 274: (3, [orientation]), 50706: (1, [1, 4, 0, 0]),
        50708: (2, b"Maker Camera\0"), 50717: (4, [65535]), 50721: (10, [n for m in _MATRIX for n in (m, 10000)]),
        50728: (5, [1, 1, 1, 1, 1, 1]), 50778: (3, [21]), **{int(tag[1:]): value for tag, value in more.items()},
    }  # fmt: skip
    if preview:
        below = at + len(_directory({**entries, 330: (4, [0])}, at))
        small: dict[int, Value] = {254: (4, [1]), 259: (3, [6]), 513: (4, [8 + len(sensor)]), 514: (4, [len(preview)])}
        tables = _directory({**entries, 330: (4, [below])}, at) + _directory(small, below)
    else:
        tables = _directory(entries, at)
    return b"II*\0" + struct.pack("<I", at) + sensor + preview + bytes(len(preview) % 2) + tables


def _nef(preview: bytes, orientation: int = 8) -> bytes:
    """As Nikon, Sony and Samsung have it: a thumbnail first, preview and raw data in directories below."""
    sensor, thumbnail = _mosaic(_scene()), bytes(16 * 12 * 3)
    start = 8 + len(sensor) + len(thumbnail) + len(preview) + len(preview) % 2
    first: dict[int, Value] = {
        254: (4, [1]), 256: (4, [16]), 257: (4, [12]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [2]),
        271: (2, b"NIKON\0"), 273: (4, [8 + len(sensor)]), 274: (3, [orientation]), 277: (3, [3]), 278: (4, [12]),
        279: (4, [len(thumbnail)]), 330: (4, [0, 0]), 34665: (4, [0]),
    }  # fmt: skip
    second = start + len(_directory(first, start))
    of_preview: dict[int, Value] = {
        254: (4, [1]), 259: (3, [6]), 513: (4, [8 + len(sensor) + len(thumbnail)]), 514: (4, [len(preview)]),
    }  # fmt: skip
    third = second + len(_directory(of_preview, second))
    fourth = third + len(_directory(_of_sensor(8), third))
    shot: dict[int, Value] = {36867: (2, b"2024:05:01 12:00:03\0"), 40961: (3, [65535])}
    tables = (
        _directory({**first, 330: (4, [second, third]), 34665: (4, [fourth])}, start)
        + _directory(of_preview, second)
        + _directory(_of_sensor(8), third)
        + _directory(shot, fourth)
    )
    return b"II*\0" + struct.pack("<I", start) + sensor + thumbnail + preview + bytes(len(preview) % 2) + tables


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _cr3(preview: bytes) -> bytes:
    """As Canon has it since 2018: boxes, with EXIF in blocks of its own."""
    blocks = _box(b"CMT1", b"II*\0\x08\0\0\0" + _directory({274: (3, [6])}, 8))
    blocks += _box(b"CMT2", b"II*\0\x08\0\0\0" + _directory({36867: (2, b"2024:05:01 12:00:03\0")}, 8))
    canon = _box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + _box(b"CNCV", b"CanonCR3") + blocks)
    return _box(b"ftyp", b"crx \0\0\0\1crx isom") + _box(b"moov", canon) + _box(b"mdat", preview + bytes(range(256)))


def _raf(preview: bytes) -> bytes:
    """As Fujifilm has it: the preview is a whole JPEG with the file's only EXIF."""
    return b"FUJIFILMCCD-RAW 0201".ljust(148, b"\0") + preview + np.random.default_rng(0).bytes(5000)


@pytest.fixture
def _small_previews_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tests need no megapixels."""
    monkeypatch.setattr(raw, "MIN_PREVIEW_PIXELS", WIDTH * HEIGHT)


def _difference(data: bytes, expected: np.ndarray, name: str = "a.raw") -> float:
    found = np.asarray(decode_image(data, Path(name)).image).astype(int)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).mean())


@pytest.mark.usefixtures("_small_previews_count")
@pytest.mark.parametrize(
    ("made", "turned"),
    [
        (lambda preview: _dng(orientation=1, preview=preview), 0),
        (lambda preview: _dng(orientation=6, preview=preview), 3),
        (_nef, 1),
        (_cr3, 3),
        (lambda preview: b"IIRO" + _nef(preview)[4:], 1),
        (lambda preview: b"IIU\0" + _nef(preview)[4:], 1),
    ],
    ids=["DNG", "DNG, turned", "NEF", "CR3", "ORF", "RW2"],
)
def test_the_preview_is_judged_upright_and_named(made, turned: int) -> None:
    data = made(_jpeg(_scene()))
    loaded = decode_image(data, Path("a.nef"))
    assert loaded.notes == (f"camera raw is judged by its preview of {WIDTH} x {HEIGHT} pixels",)
    assert _difference(data, np.rot90(_scene(), turned), "a.nef") < 1
    assert image_size(data, Path("a.nef")) == (WIDTH, HEIGHT)


@pytest.mark.usefixtures("_small_previews_count")
def test_a_preview_with_exif_of_its_own_in_a_file_without() -> None:
    exif = Image.Exif()
    exif[274] = 3
    exif.get_ifd(0x8769)[36867] = "2024:05:01 12:00:03"
    data = _raf(_jpeg(_scene(), exif=exif))
    assert _difference(data, _scene()[::-1, ::-1], "a.raf") < 1
    assert capture_time(data, Path("a.raf")) == datetime(2024, 5, 1, 12, 0, 3)


@pytest.mark.usefixtures("_small_previews_count")
def test_the_largest_preview_is_taken_and_no_part_of_the_raw_data() -> None:
    small, large = _jpeg(_scene(64, 48)), _jpeg(_scene())
    assert image_size(_raf(small + large + small), Path("a.raf")) == (WIDTH, HEIGHT)
    # Raw data that is packed as JPEG in tiles: each is a whole JPEG, and none is the photograph.
    tile = _jpeg(_scene(512, 384))
    tiles = {322: (4, [512]), 323: (4, [384])}
    entries = {**_of_sensor(0, 1024, 384), **tiles, 262: (3, [34892]), 50706: (1, [1, 4, 0, 0])}
    for tag in (273, 278, 279):
        del entries[tag]
    at = 8 + 2 * len(tile) + len(large)
    places = (4, [8, 8 + len(tile)])
    table = _directory({**entries, 324: places, 325: (4, [len(tile)] * 2)}, at)
    data = b"II*\0" + struct.pack("<I", at) + tile + tile + large + table
    assert image_size(data, Path("a.dng")) == (WIDTH, HEIGHT)


@pytest.mark.usefixtures("_small_previews_count")
@pytest.mark.parametrize("made", [_nef, _cr3])
def test_the_capture_time_of_the_file(made) -> None:
    assert capture_time(made(_jpeg(_scene())), Path("a")) == datetime(2024, 5, 1, 12, 0, 3)


@pytest.mark.usefixtures("_small_previews_count")
def test_adobe_rgb_that_only_two_tags_state_is_converted() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[40961] = 65535
    plain = _jpeg(_scene(), exif=exif)
    exif.get_ifd(0x8769)[40961] = 2
    stated = _jpeg(_scene(), exif=exif)
    assert decode_image(plain, Path("a.jpg")).notes == ()
    loaded = decode_image(stated, Path("a.jpg"))
    assert loaded.notes == ("colours were converted to sRGB from the embedded profile 'Adobe RGB, by EXIF'",)
    green, was = np.asarray(loaded.image).astype(int)[-1, 0], _scene()[-1, 0].astype(int)
    assert green[0] < was[0] - 10  # Adobe RGB has a greener green
    interoperability = b"II*\0" + struct.pack("<I", 8) + _directory({34665: (4, [26])}, 8)
    below = _directory({40961: (3, [65535]), 40965: (4, [56])}, 26) + _directory({1: (2, b"R03\0")}, 56)
    block = b"Exif\0\0" + interoperability + below
    assert len(interoperability) == 26
    whole = _jpeg(_scene())
    by_index = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + whole[2:]
    assert np.abs(np.asarray(decode_image(by_index, Path("a")).image).astype(int) - np.asarray(loaded.image)).max() <= 1


@pytest.mark.parametrize("orientation", [1, 6])
def test_raw_data_without_a_large_preview_is_developed(orientation: int) -> None:
    pytest.importorskip("rawpy")
    for data in (_dng(orientation), _dng(orientation, _jpeg(_scene(64, 48)))):
        loaded = decode_image(data, Path("a.dng"))
        assert "camera raw was developed by LibRaw" in loaded.notes[0]
        found = np.asarray(loaded.image).astype(int)
        expected = _scene() if orientation == 1 else np.rot90(_scene(), 3)
        assert found.shape == expected.shape
        assert image_size(data, Path("a.dng")) == (found.shape[1], found.shape[0])
        assert np.abs(found - expected)[8:-8, 8:-8].mean() < 2


def test_development_keeps_what_was_exposed_and_makes_small_pictures_quickly() -> None:
    pytest.importorskip("rawpy")
    image = decode_image(_dng(), Path("a.dng"), max_pixels=WIDTH * HEIGHT // 64).image
    assert image.size == (32, 24)
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - _scene().mean(axis=(0, 1))).max() < 3


def test_damaged_raw_data_is_named() -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(ImageError, match=r"a\.dng: damaged or truncated camera raw"):
        decode_image(_dng(t273=(4, [10_000_000])), Path("a.dng"))


def test_without_rawpy_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    monkeypatch.delitem(sys.modules, "redaes.images.raw_development", raising=False)
    for data, largest in ((_dng(), "without a preview"), (_nef(_jpeg(_scene(64, 48))), "preview has 64 x 48 pixels")):
        for use in (decode_image, image_size):
            with pytest.raises(ImageError, match=rf"a\.nef: .*{largest}.*pip install 'redaes\[raw\]', or convert"):
                use(data, Path("a.nef"))


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"FUJIFILMCCD-RAW 0201" + bytes(99), "a.jpg", "camera raw"),
        (b"FOVb" + bytes(99), "a", "camera raw"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(99), "a.tif", "camera raw"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "a.heic", "camera raw"),
        (b"MM\0*" + bytes(500), "a.tif", "TIFF"),
    ],
)
def test_raw_is_known_by_its_content(data: bytes, name: str, kind: str) -> None:
    assert recognise(data, Path(name)) == kind


def test_a_first_page_that_is_a_preview_is_raw_only_by_name() -> None:
    page = {**_of_sensor(8), 254: (4, [1]), 262: (3, [1])}
    data = b"II*\0" + struct.pack("<I", 8 + 2 * WIDTH * HEIGHT) + _mosaic(_scene())
    data += _directory(page, 8 + 2 * WIDTH * HEIGHT)
    assert recognise(data, Path("a.dcr")) == "camera raw"
    with pytest.raises(ImageError, match=r"a\.tif: a TIFF that begins with a preview"):
        decode_image(data, Path("a.tif"))


@pytest.mark.usefixtures("_small_previews_count")
@pytest.mark.parametrize("made", [_nef, _cr3, _raf, lambda preview: _dng(preview=preview)])
def test_broken_raw_gives_a_picture_or_an_image_error(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)  # how LibRaw takes broken files is not tried here
    monkeypatch.delitem(sys.modules, "redaes.images.raw_development", raising=False)
    whole = made(_jpeg(_scene()))
    rng = np.random.default_rng(3)
    places = [*range(200), *range(len(whole) - 900, len(whole))]
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.choice(places, size=3):
            data[place] = rng.integers(256)
        for use in (decode_image, image_size, capture_time):
            with contextlib.suppress(ImageError):
                use(bytes(data), Path("a.nef"))


def test_folders_are_searched_for_raw(tmp_path: Path) -> None:
    for name in ("a.NEF", "b.cr3", "c.jpg", "d.mpo", "e.xmp"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.NEF", "b.cr3", "c.jpg", "d.mpo"]
    assert [is_raw_name(path) for path in list_images(tmp_path)] == [True, True, False, False]


@pytest.mark.usefixtures("_small_previews_count")
def test_where_the_camera_s_jpeg_is_damaged_its_raw_is_looked_at(tmp_path: Path) -> None:
    preview = _jpeg(_scene())
    for name, data in {"a.jpg": preview[: len(preview) // 2], "b.jpg": preview, "c.jpg": b"no picture"}.items():
        (tmp_path / name).write_bytes(data)
    for name in ("a.dng", "b.dng"):
        (tmp_path / name).write_bytes(_dng(preview=preview))
    told: list[tuple[int, int]] = []
    found = scan_shots(list_images(tmp_path), lambda done, total: told.append((done, total)))
    assert sorted(one.ref.path.name for one in found.photographs) == ["a.dng", "b.jpg"]
    assert sorted(one.path.name for one in found.unusable) == ["a.jpg", "c.jpg"]
    assert found.raws == {tmp_path / "b.jpg": [tmp_path / "b.dng"]}
    assert told == [(1, 3), (2, 3), (3, 3)]
