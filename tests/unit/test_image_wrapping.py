"""What stands beside a picture's pixels loses no picture: EXIF, XMP, profiles, texts, and the files' own structure."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from redaes.errors import ImageError
from redaes.images import capture_time, decode_image, exif_of, image_size, tiff_tags
from redaes.images.exif_colours import colours_by_exif
from redaes.images.tiff_tags import Tag, directories, first_directory

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
TURNS = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def _noise(width: int = 48, height: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8))


def _smooth(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(1).normal(0, 8, (height, width, 3))
    picture = np.stack([x * 200 / width, y * 200 / height, 250 - x * 80 / width], axis=-1) + noise
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def _exif(*entries: tuple[int, int, int, bytes], orientation: int | None = 6) -> bytes:
    """An EXIF block with these entries (tag, type, count, value) beside the orientation."""
    listed = list(entries) + ([] if orientation is None else [(274, 3, 1, struct.pack("<H", orientation))])
    table, body = b"", b""
    at = 8 + 2 + 12 * len(listed) + 4
    for tag, kind, count, value in sorted(listed):
        field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", at + len(body))
        body += value if len(value) > 4 else b""
        table += struct.pack("<HHI", tag, kind, count) + field
    return b"II*\0" + struct.pack("<IH", 8, len(listed)) + table + bytes(4) + body


def _full_exif() -> bytes:
    """What a camera writes, by Pillow: two directories below the first, texts, rationals."""
    exif = Image.Exif()
    exif[271], exif[272], exif[305] = "Maker", "Model 1", "Program 2.0"
    exif[274], exif[282], exif[283], exif[296] = 6, 300.0, 300.0, 2
    details = exif.get_ifd(0x8769)
    details[36867], details[37521], details[33434] = "2024:05:01 12:00:03", "25", 0.004
    details[37500] = bytes(range(64))
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (50.0, 30.0, 1.5)
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _saved(kind: str, picture: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (_noise() if picture is None else picture).save(out, kind, **options)
    return out.getvalue()


def _jpeg(exif: bytes = b"", xmp: bytes = b"", profile: bytes = b"") -> bytes:
    whole = _saved("JPEG", quality=90)
    beside = b""
    for content in (exif and b"Exif\0\0" + exif, xmp and b"http://ns.adobe.com/xap/1.0/\0" + xmp,
                    profile and b"ICC_PROFILE\0\1\1" + profile):  # fmt: skip
        if content:
            marker = b"\xff\xe2" if content.startswith(b"ICC") else b"\xff\xe1"
            beside += marker + struct.pack(">H", len(content) + 2) + content
    return whole[:2] + beside + whole[2:]


def _chunk(name: bytes, content: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content) if crc is None else crc)
    )


def _png(*beside: bytes, behind: bytes = b"") -> bytes:
    whole = _saved("PNG")
    return whole[:33] + b"".join(beside) + whole[33:-12] + behind + whole[-12:]


def _webp(**beside: bytes) -> bytes:
    plain = _saved("WEBP", lossless=True)
    chunks = b"".join(
        name.ljust(4).encode() + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for name, content in beside.items()
    )
    flags = sum({"ICCP": 0x20, "EXIF": 0x08, "XMP": 0x04}[name] for name in beside)
    canvas = struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + (47).to_bytes(3, "little") + (31).to_bytes(3, "little")
    body = b"WEBPVP8X" + canvas + plain[12:] + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff_with(exif: bytes) -> bytes:
    """A picture in a TIFF file whose first directory has the entries of an EXIF block, too."""
    given = first_directory(exif)
    extra = [] if given is None else [(t, e.kind, e.count, given.data(t)) for t, e in given.entries.items()]
    pixels = _noise().tobytes()
    listed = [(256, 4, 1, struct.pack("<I", 48)), (257, 4, 1, struct.pack("<I", 32)), (259, 3, 1, b"\1\0"),
              (258, 3, 3, b"\x08\0\x08\0\x08\0"), (262, 3, 1, b"\2\0"), (273, 4, 1, b""), (277, 3, 1, b"\3\0"),
              (278, 4, 1, struct.pack("<I", 32)), (279, 4, 1, struct.pack("<I", len(pixels)))]  # fmt: skip
    listed += extra
    size = len(_exif(*listed, orientation=None))
    at = struct.pack("<I", size)
    return _exif(*[(t, k, n, at if t == 273 else v) for t, k, n, v in listed], orientation=None) + pixels


def _pixels(data: bytes, name: str = "a.bin", **settings: int) -> np.ndarray:
    return np.asarray(decode_image(data, Path(name), **settings).image)


# --- EXIF and XMP ------------------------------------------------------------------------------------------

ODD_ENTRIES = {
    "Software as a rational": (305, 5, 1, struct.pack("<II", 7, 2)),
    "Make as numbers": (271, 3, 2, struct.pack("<HH", 1, 2)),
    "Artist as floats": (315, 12, 1, struct.pack("<d", 1.0)),
    "XResolution -1/0": (282, 10, 1, struct.pack("<ii", -1, 0)),
    "XResolution as text": (282, 2, 3, b"72\0"),
    "ResolutionUnit as text": (296, 2, 2, b"2\0"),
    "ResolutionUnit 65535": (296, 3, 1, b"\xff\xff"),
    "YCbCrPositioning 70000": (531, 4, 1, struct.pack("<I", 70000)),
    "Copyright of a type that is unknown": (33432, 99, 4, b"abcd"),
    "Exif directory outside the block": (34665, 4, 1, struct.pack("<I", 1 << 31)),
    "Exif directory that is the first": (34665, 4, 1, struct.pack("<I", 8)),
    "GPS directory as text": (34853, 2, 4, b"abc\0"),
    "a count of 4 thousand million": (272, 2, 0xFFFFFFFF, b"\xff\xff\xff\x7f"),
}


@pytest.mark.parametrize("entry", ODD_ENTRIES.values(), ids=ODD_ENTRIES)
@pytest.mark.parametrize("container", ["jpeg", "png", "webp", "tiff"])
def test_an_odd_value_in_exif_neither_refuses_nor_turns_another_way(
    container: str, entry: tuple[int, int, int, bytes]
) -> None:
    made: dict[str, Callable[[bytes], bytes]] = {
        "jpeg": _jpeg,
        "png": lambda block: _png(_chunk(b"eXIf", block)),
        "webp": lambda block: _webp(EXIF=block),
        "tiff": _tiff_with,
    }
    upright, turned = (_pixels(made[container](_exif(*given))) for given in ((), (entry,)))
    assert turned.shape == (48, 32, 3)
    assert np.array_equal(turned, upright)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on what it reads
        assert capture_time(made[container](_exif(entry)), Path("a")) is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["B", "H", "I"])
def test_the_orientation_is_read_in_both_orders_and_as_any_whole_number(order: str, kind: str) -> None:
    field = struct.pack(order + kind, 6).ljust(4, b"\0")
    number = {"B": 1, "H": 3, "I": 4}[kind]
    block = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IHHHI", 8, 1, 274, number, 1) + field
    assert _pixels(_jpeg(block + bytes(4))).shape == (48, 32, 3)


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_orientation_that_means_nothing_does_not_turn(value: int) -> None:
    assert _pixels(_jpeg(_exif(orientation=value))).shape == (32, 48, 3)


def test_xmp_turns_where_exif_says_nothing() -> None:
    assert _pixels(_jpeg(xmp=XMP % 6)).shape == (48, 32, 3)
    assert _pixels(_jpeg(xmp=b"<tiff:Orientation>8</tiff:Orientation>")).shape == (48, 32, 3)
    assert _pixels(_png(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % 6))).shape == (48, 32, 3)
    assert _pixels(_webp(XMP=XMP % 6)).shape == (48, 32, 3)
    assert _pixels(_jpeg(_exif(orientation=1), XMP % 6)).shape == (32, 48, 3)  # the camera knows better
    assert _pixels(_jpeg(xmp=b'tiff:Orientation="9" \xff\xfe')).shape == (32, 48, 3)


def test_exif_that_is_spread_over_segments_and_hexadecimal_exif_are_read() -> None:
    block = _exif((305, 2, 300, b"x" * 299 + b"\0"))
    whole = _jpeg()
    parts = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in (block[:100], block[100:])
    )
    assert exif_of(whole[:2] + parts + whole[2:], Path("a"))[305] == "x" * 299
    digits = b"\nexif\n%8d\n" % (len(block) + 6) + (b"Exif\0\0" + block).hex().encode() + b"\n"
    for chunk in (
        _chunk(b"tEXt", b"Raw profile type exif\0" + digits),
        _chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(digits)),
    ):
        assert _pixels(_png(chunk)).shape == (48, 32, 3)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_turned_by_its_own_boxes_whatever_its_exif_says() -> None:
    plain = _saved("AVIF", quality=90)
    turned = _saved("AVIF", quality=90, exif=b"Exif\0\0" + _exif((305, 2, 8, b"program\0")))
    spoilt = turned.replace(struct.pack("<HHI", 305, 2, 8), struct.pack("<HHI", 305, 5, 1))  # a rational
    assert spoilt != turned
    assert _pixels(plain).shape == (32, 48, 3)
    for data in (turned, spoilt):
        assert _pixels(data).shape == (48, 32, 3)


def _mutated(block: bytes, n: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for _ in range(n):
        changed = bytearray(block)
        for place in rng.integers(0, len(block), size=rng.integers(1, 8)):
            changed[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))])
        if rng.random() < 0.1:
            del changed[int(rng.integers(1, len(changed))) :]
        yield bytes(changed)


WRAPPED: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "EXIF in JPEG": (_jpeg, _full_exif()),
    "EXIF in PNG": (lambda block: _png(_chunk(b"eXIf", block)), _full_exif()),
    "EXIF in WebP": (lambda block: _webp(EXIF=block), _full_exif()),
    "EXIF in TIFF": (lambda block: _tiff_with(_entries_of(block)), _full_exif()),
    "XMP in JPEG": (lambda packet: _jpeg(xmp=packet), XMP % 6),
    "XMP in PNG": (lambda packet: _png(_chunk(b"iTXt", b"XML:com.adobe.xmp" + packet)), bytes(5) + XMP % 6),
    "text in PNG": (
        lambda text: _png(_chunk(b"zTXt", text)),
        b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n"),
    ),
    "sRGB profile in PNG": (lambda icc: _png(_chunk(b"iCCP", icc)), b"p\0\0" + zlib.compress(SRGB)),
}


def _entries_of(block: bytes) -> bytes:
    """The mutated entries, of which those that say where the pixels are stay out."""
    directory = first_directory(block)
    kept = {} if directory is None else {t: e for t, e in directory.entries.items() if t in (271, 272, 274, 305, 34665)}
    return _exif(*[(t, e.kind, e.count, e.field) for t, e in kept.items()], orientation=None)


@pytest.mark.parametrize("n", [150, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("where", WRAPPED)
def test_whole_pictures_survive_whatever_stands_beside_them(where: str, n: int) -> None:
    wrap, block = WRAPPED[where]
    stored = Image.fromarray(_pixels(_jpeg() if "JPEG" in where else _png()))
    upright = [np.asarray(stored if turn is None else stored.transpose(turn)) for turn in TURNS.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for changed in _mutated(block, n, seed=len(where)):
            data = wrap(changed)
            found = _pixels(data)
            if "profile" not in where:
                assert any(np.array_equal(found, one) for one in upright), changed
            capture_time(data, Path("a"))


@pytest.mark.parametrize("n", [100, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "MPO", "ICC"])
def test_a_broken_container_gives_a_picture_or_an_image_error(
    kind: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    monkeypatch.setattr("redaes.images.formats.MAX_FILE_PIXELS", 1_000_000)
    options = {"exif": b"Exif\0\0" + _full_exif(), "icc_profile": SRGB} if kind not in ("GIF", "BMP", "ICC") else {}
    data = _jpeg(profile=SRGB) if kind == "ICC" else _saved(kind, **options)
    part = len(data) if kind != "ICC" else 20 + len(SRGB)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for changed in _mutated(data[:part], n, seed=len(kind)):
            for use in (decode_image, image_size, capture_time):
                with contextlib.suppress(ImageError):
                    use(changed + data[part:], Path("a.bin"))


def test_each_directory_is_read_once_however_often_it_is_pointed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = tiff_tags._directory

    def counted(block: bytes, order: str, is_big: bool, at: int) -> tiff_tags.Directory | None:
        read.append(at)
        return real(block, order, is_big, at)

    monkeypatch.setattr(tiff_tags, "_directory", counted)
    itself = struct.pack("<64I", *[8] * 64)
    block = _exif((330, 4, 64, itself), (34665, 4, 64, itself), (40965, 4, 64, itself), orientation=None)
    assert len(directories(block)) == 2
    assert read == [8, 8, 0]  # once as the first, once as one below; nothing follows
    read.clear()
    assert colours_by_exif(block) == b""
    assert read == [8, 8, 8]  # the first, its EXIF, and that one's interoperability
    chain = b"II*\0" + b"".join(struct.pack("<IH", 8 + 6 * n, 0) for n in range(200))
    assert len(directories(chain)) == 64


def test_a_directory_of_more_entries_than_there_are_tags_is_not_read_to_its_end() -> None:
    table = b"".join(struct.pack("<HHII", tag, 3, 1, tag) for tag in range(1, 60_000))
    found = first_directory(b"II*\0\x08\0\0\0" + struct.pack("<H", 59_999) + table + bytes(4))
    assert found is not None
    assert len(found.entries) == 4096
    assert found.next == 0


def test_of_many_values_of_a_tag_only_the_first_is_read() -> None:
    block = _exif((274, 1, 4_000_000, b"\x06" + bytes(3_999_999)), orientation=None)
    directory = first_directory(block)
    assert directory is not None
    tracemalloc.start()
    try:
        assert directory.number(Tag.ORIENTATION, 1) == 6
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert len(directory.numbers(Tag.ORIENTATION)) == 4_000_000


def test_directories_that_point_at_each_other_come_to_an_end() -> None:
    block = bytearray(_exif((330, 4, 2, struct.pack("<II", 8, 8)), orientation=None))
    block[22:26] = struct.pack("<I", 8)  # what follows the first is the first
    assert 1 <= len(directories(bytes(block))) <= 64
    assert directories(b"II*\0" + bytes(4)) == directories(b"") == []
    assert first_directory(bytes(block)).number(Tag.ORIENTATION, 1) == 1


# --- JPEG --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
def test_a_jpeg_without_its_end_mark_is_read_and_one_without_more_refused(
    mode: str, options: dict[str, object]
) -> None:
    data = _saved("JPEG", _smooth(150, 100).convert(mode), quality=50, **options)
    expected = _pixels(data)
    for missing in (1, 2):
        loaded = decode_image(data[:-missing], Path("a.jpg"))
        assert np.array_equal(np.asarray(loaded.image), expected)
    for missing in (4, 5, 9, 30, 200, len(data) // 2):
        found = expected
        with contextlib.suppress(ImageError):
            found = _pixels(data[:-missing])  # not refused only where what was cut off is no part of the picture
        assert np.array_equal(found, expected)
    with pytest.raises(ImageError, match="damaged or truncated JPEG"):
        decode_image(data[:-30], Path("a.jpg"))


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    data = _saved("JPEG", _smooth(150, 100), quality=80, progressive=True)
    last = data.rfind(b"\xff\xda")
    table = data.rfind(b"\xff\xc4", 0, last)
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data[:table], Path("a.jpg"))


def test_a_note_says_that_the_end_was_missing() -> None:
    loaded = decode_image(_saved("JPEG", _smooth(600, 400), quality=80)[:-2], Path("a.jpg"), max_pixels=4096)
    assert loaded.notes in ((), ("the file lacks its last bytes; the picture in it is whole",))


def test_short_application_segments_and_comments_are_passed_over() -> None:
    whole = _jpeg()
    odd = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
        for marker, content in (
            (0xE0, b"JFIF"), (0xEE, b"Adobe"), (0xE2, b"MPF\0"), (0xE2, b"ICC_PROFILE\0"), (0xED, b"Photoshop 3.0\0"),
            (0xE1, b"Exif\0\0"), (0xFE, bytes(60_000)), (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
        )
    )  # fmt: skip
    assert np.array_equal(_pixels(whole[:2] + odd + whole[2:]), _pixels(whole))


# --- PNG ---------------------------------------------------------------------------------------------------

BESIDE_PNG = {
    "zTXt that unpacks to 2 MB": _chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"{} " * 700_000)),
    "iTXt that unpacks to 2 MB": _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<a/> " * 400_000)),
    "tEXt with a wrong checksum": _chunk(b"tEXt", b"Comment\0hello", crc=1),
    "eXIf with a wrong checksum": _chunk(b"eXIf", _exif(), crc=1),
    "iCCP with a wrong checksum": _chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB), crc=1),
    "eXIf that is no TIFF": _chunk(b"eXIf", b"garbage"),
    "pHYs cut short": _chunk(b"pHYs", b"\0\0"),
    "gAMA cut short": _chunk(b"gAMA", b"\0"),
    "gAMA of nothing": _chunk(b"gAMA", bytes(4)),
    "cHRM that spans nothing": _chunk(b"gAMA", struct.pack(">I", 45455)) + _chunk(b"cHRM", bytes(32)),
    "empty sRGB": _chunk(b"sRGB", b""),
    "acTL cut short": _chunk(b"acTL", b"\0"),
    "fcTL out of order": _chunk(b"acTL", struct.pack(">II", 1, 0)) + _chunk(b"fcTL", struct.pack(">I", 9) + bytes(22)),
    "zTXt packed in an unknown way": _chunk(b"zTXt", b"k\0\7abc"),
    "an unknown chunk with a wrong checksum": _chunk(b"prVt", b"abc", crc=1),
    "tEXt with a key that is none": _chunk(b"tEXt", b"\xff" * 200),
}


@pytest.mark.parametrize("chunk", BESIDE_PNG.values(), ids=BESIDE_PNG)
def test_broken_and_huge_chunks_beside_the_pixels_are_passed_over(chunk: bytes) -> None:
    for data in (_png(chunk), _png(behind=chunk)):
        assert np.array_equal(_pixels(data), np.asarray(_noise()))


def test_a_png_whose_pixels_are_whole_is_read_without_its_end() -> None:
    data = _png()
    for cut in (4, 8, 12, 16):  # IEND, and the last checksum of the pixels
        assert np.array_equal(_pixels(data[:-cut]), np.asarray(_noise()))
    with pytest.raises(ImageError, match="damaged or truncated PNG"):
        decode_image(data[:-60], Path("a.png"))


def test_pixels_of_a_png_are_judged_by_their_own_checksum() -> None:
    data = bytearray(_png())
    at = data.index(b"IDAT")
    size = int.from_bytes(data[at - 4 : at], "big")
    wrong_crc = data.copy()
    wrong_crc[at + 4 + size] ^= 1
    assert np.array_equal(_pixels(bytes(wrong_crc)), np.asarray(_noise()))
    for place in (at + 200, at + 4 + size - 1):  # what the pixels are packed in, and the checksum of all of them
        broken = data.copy()
        broken[place] ^= 1
        with pytest.raises(ImageError, match="damaged or truncated PNG"):
            decode_image(bytes(broken), Path("a.png"))


def test_a_damaged_list_of_transparent_colours_is_named() -> None:
    loaded = decode_image(_png(_chunk(b"tRNS", bytes(6), crc=3)), Path("a.png"))
    assert loaded.notes == ("the list of transparent colours is damaged; all are shown",)


# --- WebP and TIFF -----------------------------------------------------------------------------------------


def test_a_webp_that_is_cut_off_behind_its_pixels_is_read() -> None:
    data = _webp(EXIF=_exif(), XMP=bytes(500))
    assert _pixels(data[:-100]).shape == (48, 32, 3)
    with pytest.raises(ImageError, match="damaged or truncated WebP"):
        decode_image(_webp()[:-100], Path("a.webp"))


def test_pages_of_a_tiff_behind_the_first_may_be_broken() -> None:
    data = bytearray(_tiff_with(_exif()))
    first = first_directory(bytes(data))
    assert first is not None
    end = 8 + 2 + 12 * len(first.entries)
    data[end : end + 4] = struct.pack("<I", 1 << 30)
    loaded = decode_image(bytes(data), Path("a.tif"))
    assert loaded.image.size == (32, 48)
    assert loaded.notes == ("the file holds several frames or pages; only the first is used",)


# --- shapes ------------------------------------------------------------------------------------------------


def test_a_thin_picture_is_named_when_it_is_loaded_and_rounding_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"strip\.png: 402 x 2 pixels are too thin .*at most 200 : 1; crop it"):
        decode_image(_saved("PNG", _smooth(402, 2)), Path("strip.png"))
    for max_pixels in (4096, 65_536):
        image = decode_image(_saved("PNG", Image.new("L", (11_940, 60))), Path("a"), max_pixels=max_pixels).image
        assert max(image.size) <= 200 * min(image.size)
