"""Pixels and colours over a matrix of kinds, against what was put in, an independent decoder, or the definitions."""

from __future__ import annotations

import base64
import io
import itertools
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from redaes.errors import ImageError
from redaes.images import data_url, decode_image
from redaes.images.matrix_profiles import SRGB_PRIMARIES, matrix_profile, xy_chromaticities

WIDTH, HEIGHT = 70, 50
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


def _picture() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 3 + 5, y * 4 + 10, 250 - x - y], axis=-1).astype(np.uint8)


def _found(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data, Path("a")).image).astype(float)


# --- TIFF --------------------------------------------------------------------------------------------------

KINDS = list(
    itertools.product(
        ("rgb", "minisblack", "miniswhite", "separated"),
        (np.uint8, np.uint16),
        ("contig", "separate"),
        ((None, None), ("zlib", None), ("zlib", 2)),
        ("<", ">"),
        ((None, None), (None, 7), ((16, 16), None), ((32, 48), None)),
        (False, True),
        (None, "unassalpha", "assocalpha", "unspecified"),
    )
)


def _tiff(kind: tuple) -> tuple[bytes, np.ndarray]:
    """A file by tifffile, which has nothing in common with libtiff and Pillow; and the picture that is in it."""
    import tifffile

    photometric, depth, planes, (packing, predictor), order, (tile, rows), is_big, extra = kind
    picture = _picture()
    if photometric == "separated":
        picture = np.concatenate([picture, picture[..., :1] // 4], axis=-1)
    elif photometric != "rgb":
        picture = picture[..., 1:2]
    expected = 255 - picture if photometric == "miniswhite" else picture
    if photometric == "separated":
        expected = np.asarray(Image.fromarray(picture, "CMYK").convert("RGB"))
    samples = picture.astype(float)
    expected = np.broadcast_to(expected, (HEIGHT, WIDTH, 3)).astype(float)
    if extra is not None:
        alpha = np.broadcast_to(255.0 - 2 * np.arange(WIDTH), (HEIGHT, WIDTH))[..., None]
        if extra != "unspecified":
            expected = expected * alpha / 255 + 255 - alpha
        samples = np.concatenate([samples * alpha / 255 if extra == "assocalpha" else samples, alpha], axis=-1)
    stored = (samples.round() * (1 if depth is np.uint8 else 257)).astype(depth)
    if stored.shape[2] == 1:
        stored = stored[..., 0]
    options: dict[str, object] = {}
    if stored.ndim == 3:
        options = {"planarconfig": planes, "extrasamples": extra and [extra]}
        stored = np.moveaxis(stored, -1, 0) if planes == "separate" else stored
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=is_big, byteorder=order) as file:
        file.write(
            stored, photometric=photometric, compression=packing, predictor=predictor, tile=tile, rowsperstrip=rows,
            metadata=None, **options,
        )  # fmt: skip
    return out.getvalue(), expected


@pytest.mark.parametrize("share", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_tiff_of_every_kind_is_read_as_it_was_written(share: int) -> None:
    pytest.importorskip("tifffile")
    order = np.random.default_rng(4).permutation(len(KINDS))[: len(KINDS) // share]
    for kind in (KINDS[place] for place in order):
        if kind[2] == "separate" and kind[0].startswith("minis") and kind[-1] is None:
            continue  # one channel: there is nothing to lie behind it
        data, expected = _tiff(kind)
        if kind[0] == "separated" and kind[-1] in ("unassalpha", "assocalpha"):
            with pytest.raises(ImageError, match=r"inks \(CMYK\) and transparency; export it as RGB"):
                _found(data)
            continue
        # What is stored multiplied by its opacity has lost digits where that is small.
        assert np.abs(_found(data) - expected).max() <= (12 if kind[-1] == "assocalpha" else 3), kind


def test_tiff_of_a_kind_that_is_not_read_is_not_called_damaged_alone() -> None:
    tifffile = pytest.importorskip("tifffile")
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((8, 8, 6), np.uint8), photometric="rgb", extrasamples=[0, 0, 0], metadata=None)
    assert _found(out.getvalue()).shape == (8, 8, 3)  # more channels than colours are no harm
    data = out.getvalue().replace(struct.pack("<HHIHH", 262, 3, 1, 2, 0), struct.pack("<HHIHH", 262, 3, 1, 77, 0))
    with pytest.raises(ImageError, match=r"or one of a kind that is not read .*or convert the picture to JPEG or PNG"):
        _found(data)


# --- PNG ---------------------------------------------------------------------------------------------------


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(samples: np.ndarray, depth: int, colour: int, *beside: bytes) -> bytes:
    """A PNG of one or several channels, written by hand."""
    height, width = samples.shape[:2]
    if depth < 8:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=-1)
    else:
        rows = samples.astype(">u2" if depth == 16 else np.uint8).reshape(height, -1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(beside) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_grey_that_a_png_makes_transparent_is_laid_on_white(depth: int) -> None:
    most = 2**depth - 1
    values = np.arange(256).reshape(16, 16) * 257 if depth == 16 else np.arange(256).reshape(16, 16) % (most + 1)
    for transparent in sorted({0, 1, most // 2, most} & set(values.ravel().tolist())):
        expected = np.where(values == transparent, 255, values * 255 / most)
        found = _found(_png(values, depth, 0, _chunk(b"tRNS", struct.pack(">H", transparent))))
        assert np.abs(found - expected[..., None]).max() <= 1


def _srgb(light: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _light(values: np.ndarray) -> np.ndarray:
    share = values / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _gamma_chunk(gamma: float) -> bytes:
    return _chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 1 / 3])
def test_gamma_of_a_png_is_followed_unless_it_is_srgbs_or_something_else_holds(gamma: float) -> None:
    picture = _picture()
    plain = _png(picture, 8, 2, _gamma_chunk(gamma))
    expected = _srgb((picture / 255) ** (1 / gamma))
    assert np.abs(_found(plain) - expected).max() <= 2
    (note,) = decode_image(plain, Path("a.png")).notes
    assert note.endswith("'gAMA'")
    grey = _png(picture[..., 0], 8, 0, _gamma_chunk(gamma))
    assert np.abs(_found(grey) - expected[..., :1]).max() <= 2
    for data in (
        _png(picture, 8, 2, _gamma_chunk(gamma), _chunk(b"sRGB", b"\0")),
        _png(picture, 8, 2, _gamma_chunk(0.45455)),
        _png(picture, 8, 2, _gamma_chunk(gamma), _chunk(b"cICP", bytes((1, 13, 0, 1)))),
    ):
        loaded = decode_image(data, Path("a.png"))
        assert loaded.notes == ()
        assert np.array_equal(np.asarray(loaded.image), picture)


def test_gamma_behind_the_pixels_is_passed_over_as_in_viewers() -> None:
    picture = _picture()
    data = _png(picture, 8, 2)
    end = len(data) - 12
    assert data[end + 4 : end + 8] == b"IEND"
    assert np.array_equal(_found(data[:end] + _gamma_chunk(1.0) + data[end:]), _found(data))
    before = _png(picture, 8, 2, _chunk(b"tRNS", bytes(6)), _gamma_chunk(1.0))
    assert np.abs(_found(before) - _found(data)).mean() > 20


def test_wide_colours_of_a_png_by_either_chunk() -> None:
    # Columns of red, green and blue light from Display P3 to sRGB, by the standards' primaries.
    matrix = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
    picture = np.clip(_picture(), 60, 180).astype(np.uint8)
    expected = _srgb(_light(picture.astype(float)) @ matrix.T)
    chromaticities = _chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in P3)))
    for beside in ((_chunk(b"cICP", bytes((12, 13, 0, 1))),), (_gamma_chunk(0.45455), chromaticities)):
        assert np.abs(_found(_png(picture, 8, 2, *beside)) - expected).max() <= 2


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_colours_of_avif_by_numbers() -> None:
    out = io.BytesIO()
    picture = np.clip(_picture(), 60, 180).astype(np.uint8)
    Image.fromarray(picture).save(out, "AVIF", quality=100, subsampling="4:4:4")
    own = b"nclx" + struct.pack(">HH", 1, 13)
    assert own in out.getvalue()
    wide = out.getvalue().replace(own, b"nclx" + struct.pack(">HH", 12, 13))
    chunk = _chunk(b"cICP", bytes((12, 13, 0, 1)))
    assert np.abs(_found(wide) - _found(_png(_found(out.getvalue()).astype(np.uint8), 8, 2, chunk))).max() <= 1
    with pytest.raises(ImageError, match=r"HDR \(HLG\)"):
        _found(out.getvalue().replace(own, b"nclx" + struct.pack(">HH", 9, 18)))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(transfer: int, name: str) -> None:
    data = _png(_picture(), 8, 2, _chunk(b"cICP", bytes((9, transfer, 0, 1))))
    with pytest.raises(ImageError, match=rf"a: its colours are HDR \({name}\); export it for ordinary screens"):
        _found(data)


# --- profiles ----------------------------------------------------------------------------------------------


def _profile(name: str, gamma: float, space: bytes = b"RGB ") -> bytes:
    """A profile of version 2 with sRGB's primaries, as many programs write it; of grey without any."""
    text = name.encode() + b"\0"
    curve = b"curv\0\0\0\0" + (struct.pack(">I", 0) if gamma == 1 else struct.pack(">IH", 1, round(gamma * 256)))

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)),
            (b"wtpt", b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249))]  # fmt: skip
    if space == b"GRAY":
        tags.append((b"kTRC", curve))
    else:
        primaries = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
        for letter, values in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags += [(letter + b"XYZ", b"XYZ \0\0\0\0" + fixed(*values)), (letter + b"TRC", curve)]
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for signature, data in tags:
        padded = data + bytes(-len(data) % 4)
        table += signature + struct.pack(">II", at + len(body), len(data))
        body += padded
    head = struct.pack(">I4sI", at + len(body), b"lcms", 0x02400000) + b"mntr" + space + b"XYZ " + bytes(12)
    return (head + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)).ljust(128, b"\0") + table + body


def _saved(picture: np.ndarray, profile: bytes, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, icc_profile=profile)
    return out.getvalue()


@pytest.mark.parametrize("name", ["GIMP built-in Linear sRGB", "sRGB IEC61966-2.1", "Nothing"])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.6])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_a_profile_does_decides_and_not_its_name(name: str, gamma: float, kind: str) -> None:
    light = _light(_picture().astype(float))
    stored = (255 * light ** (1 / gamma)).round().astype(np.uint8)
    out = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(stored).save(out, kind, icc_profile=_profile(name, gamma), **options)
    loaded = decode_image(out.getvalue(), Path("a.png"))
    assert loaded.notes[-1] == f"colours were converted to sRGB from the embedded profile {name!r}"
    expected = _srgb((stored / 255) ** gamma)
    assert np.abs(np.asarray(loaded.image) - expected).max() <= 2


def test_a_profile_that_does_nothing_changes_nothing_under_any_name() -> None:
    profile = matrix_profile("Wide Gamut", SRGB_PRIMARIES, None)
    loaded = decode_image(_saved(_picture(), profile), Path("a.png"))
    assert loaded.notes == ()
    assert np.array_equal(np.asarray(loaded.image), _picture())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "AVIF"])
def test_a_converted_picture_no_longer_carries_its_profile(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image = decode_image(_saved(_picture(), _profile("Dim", 1.0), kind), Path("a")).image
    assert type(image) is Image.Image
    assert image.info == {}
    sent = base64.b64decode(data_url(image).partition(",")[2])
    assert b"iCCP" not in sent


@pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
def test_grey_pictures_are_converted_by_profiles_of_grey_and_of_colours(space: bytes) -> None:
    grey = _picture()[..., 1]
    loaded = decode_image(_saved(grey, _profile("Dim", 1.0, space)), Path("a.png"))
    assert np.abs(np.asarray(loaded.image) - _srgb(grey / 255.0)[..., None]).max() <= 2
    assert "'Dim'" in loaded.notes[0]


def test_a_profile_of_grey_in_a_picture_of_colours_is_named_and_not_used() -> None:
    loaded = decode_image(_saved(_picture(), _profile("Dim", 1.0, b"GRAY")), Path("a.png"))
    assert loaded.notes == (
        "the embedded colour profile cannot be used (it describes GRAY, and the picture is RGB); "
        "colours are read as sRGB",
    )
    assert np.array_equal(np.asarray(loaded.image), _picture())


def test_primaries_that_span_no_colours() -> None:
    assert xy_chromaticities(P3)
    assert not xy_chromaticities((0.3127, 0.3290, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3))
    assert not xy_chromaticities((0, 0, 0, 0, 0, 0, 0, 0))


# --- against another decoder -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"keep_rgb": True}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_against_opencv(mode: str, options: dict[str, object]) -> None:
    out = io.BytesIO()
    Image.fromarray(_picture()).convert(mode).save(out, "JPEG", quality=92, **options)
    expected = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(_found(out.getvalue()) - expected).max() <= 4


@pytest.mark.parametrize("height", [16, -16])
@pytest.mark.parametrize("bits", [1, 4, 8, 16, 24, 32])
def test_bmp_against_opencv(bits: int, height: int) -> None:
    rng = np.random.default_rng(bits)
    palette = rng.integers(0, 256, (2**bits, 4), dtype=np.uint8) if bits <= 8 else np.zeros((0, 4), np.uint8)
    palette[:, 3] = 0
    rows = rng.bytes(16 * ((16 * bits + 31) // 32 * 4))
    at = 54 + palette.size
    head = b"BM" + struct.pack("<IHHI", at + len(rows), 0, 0, at)
    head += struct.pack("<IiiHHIIiiII", 40, 16, height, 1, bits, 0, len(rows), 0, 0, len(palette), 0)
    data = head + palette.tobytes() + rows
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(_found(data) - expected).max() <= 8  # 5 bits are made 8 in two ways
