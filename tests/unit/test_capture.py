"""When and how pictures were taken: every tag that says so, names, and clocks of several cameras on one line."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, features
from PIL.PngImagePlugin import PngInfo

from redaes.culling.timeline import by_name, on_one_line
from redaes.errors import ImageError
from redaes.images import CaptureMoment, CaptureRecord, capture_record, capture_time
from redaes.images.capture import parse_date

Tag, GPS = ExifTags.Base, ExifTags.GPS
START = datetime(2024, 5, 1, 12, 0, 0)
STATED = "2024:05:01 12:00:00"


def jpeg(
    details: Mapping[int, Any] | None = None,
    *,
    base: Mapping[int, Any] | None = None,
    places: Mapping[int, Any] | None = None,
    xmp: str = "",
) -> bytes:
    exif = Image.Exif()
    exif.update(base or {})
    exif.get_ifd(ExifTags.IFD.Exif).update(details or {})
    if places:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(places)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif, **({"xmp": xmp.encode()} if xmp else {}))
    return buffer.getvalue()


def moment(data: bytes, name: str = "a.jpg") -> CaptureMoment | None:
    return capture_record(data, Path(name)).moment


@pytest.mark.parametrize(
    ("stated", "fraction", "expected"),
    [
        ("2024:05:01 12:00:00", None, START),
        ("2024:05:01 12:00:00", "25", START + timedelta(seconds=0.25)),
        ("2024:05:01 12:00:00", "x", START),
        ("0000:00:00 00:00:00", None, None),
        ("yesterday", None, None),
        ("", None, None),
    ],
)
def test_capture_times(stated: str, fraction: str | None, expected: datetime | None) -> None:
    details = {Tag.DateTimeOriginal: stated, **({} if fraction is None else {Tag.SubsecTimeOriginal: fraction})}
    assert capture_time(jpeg(details), Path("a.jpg")) == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_is_no_time() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:01 12:00:00"
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    data = bytearray(buffer.getvalue())
    start = data.index(b"Exif\0\0")
    rng = np.random.default_rng(0)
    for _ in range(300):
        mutated = bytearray(data)
        for at in rng.integers(start + 6, start + 90, 6):
            mutated[at] = int(rng.integers(256))
        try:
            found = capture_time(bytes(mutated), Path("a.jpg"))
        except ImageError:  # what loading the picture would say; never another error
            continue
        assert found is None or isinstance(found, datetime)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024:05:01 12:00:00", START),
        ("2024-05-01T12:00:00", START),
        ("2024-05-01 12:00", START),
        ("2024/05/01 12:00:00", START),
        ("2024:05:01 12:00:00.5", START + timedelta(seconds=0.5)),
        ("2024-05-01T12:00:00,25+02:00", START + timedelta(seconds=0.25)),
        ("20240501T120000Z", START),
        ("2024:04:30 24:00:00", datetime(2024, 5, 1)),
        ("2024:04:30 24:10:05", datetime(2024, 5, 1, 0, 10, 5)),
        ("2024:05:01 11:59:60", START),
        ("2024:05:01", None),
        ("2024:13:01 12:00:00", None),
        ("2024:02:30 12:00:00", None),
        ("2024:05:01 25:00:00", None),
        ("    :  :     :  :  ", None),
        ("9999:12:31 24:00:00", None),
    ],
)
def test_spellings_of_a_date(text: str, expected: datetime | None) -> None:
    found = parse_date(text)
    assert (None if found is None else found.local) == expected


@pytest.mark.parametrize(
    ("text", "hours"), [("+02:00", 2), ("-0330", -3.5), ("Z", 0), ("", None), ("+99:00", None), ("   :  ", None)]
)
def test_offsets(text: str, hours: float | None) -> None:
    found = moment(jpeg({Tag.DateTimeOriginal: STATED, Tag.OffsetTimeOriginal: text}))
    assert found is not None
    assert found.offset == (None if hours is None else timedelta(hours=hours))


XMP = "<x:xmpmeta><rdf:Description {}/></x:xmpmeta>"
GPS_NOON = {GPS.GPSDateStamp: "2024:05:01", GPS.GPSTimeStamp: (12.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (jpeg({Tag.DateTimeDigitized: STATED}), "a.jpg"),
        (jpeg({Tag.DateTimeOriginal: "0000:00:00 00:00:00", Tag.DateTimeDigitized: STATED}), "a.jpg"),
        (jpeg(xmp=XMP.format('exif:DateTimeOriginal="2024-05-01T12:00:00"')), "a.jpg"),
        (jpeg(xmp=XMP.format('photoshop:DateCreated="2024-05-01T12:00:00"')), "a.jpg"),
        (jpeg(xmp="<xmp:CreateDate>2024-05-01T12:00:00</xmp:CreateDate>"), "a.jpg"),
        (jpeg(places=GPS_NOON), "a.jpg"),
        (jpeg(base={Tag.DateTime: "2025:01:01 00:00:00"}), "IMG_20240501_120000.jpg"),
        (jpeg(), "IMG_20240501_120000.jpg"),
        (jpeg(), "IMG_20240501_120000_1.jpg"),
        (jpeg(), "PXL_20240501_120000000.MP.jpg"),
        (jpeg(), "20240501_120000.jpg"),
        (jpeg(), "2024-05-01 12.00.00.jpg"),
        (jpeg(), "Screenshot_2024-05-01-12-00-00-000_app.png.jpg"),
        (jpeg(), "signal-2024-05-01-12-00-00-000.jpg"),
        (jpeg(), "signal-2024-05-01-120000.jpg"),
        (jpeg(), "WhatsApp Image 2024-05-01 at 12.00.00.jpeg"),
        (jpeg(), "Photo 2024-05-01T120000.jpg"),
    ],
)
def test_where_a_time_may_stand(data: bytes, name: str) -> None:
    found = moment(data, name)
    assert found is not None
    assert (found.local, found.is_of_change) == (START, False)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "raw", "broken EXIF"])
def test_xmp_is_found_in_files_of_every_kind(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    packet = XMP.format('exif:DateTimeOriginal="2024-05-01T12:00:00"')
    if kind == "raw":
        data = b"IIRO" + bytes(12) + jpeg(xmp=packet)
    elif kind == "broken EXIF":
        data = b"\xff\xd8\xff\xe1\x00\x10Exif\0\0no block" + jpeg(xmp=packet)[2:]
    else:
        buffer = io.BytesIO()
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet)
        options = {"PNG": {"pnginfo": texts}, "TIFF": {"tiffinfo": {700: packet.encode()}}}
        Image.new("RGB", (8, 8)).save(buffer, kind, **options.get(kind, {"xmp": packet.encode()}))
        data = buffer.getvalue()
    found = moment(data, "a.orf")
    assert found is not None
    assert found.local == START


@pytest.mark.parametrize(
    "name",
    ["IMG-20240501-WA0003.jpg", "IMG_1234.jpg", "99992024050112000099.jpg", "2024-05-01.jpg", "20240501_999999.jpg"],
)
def test_names_without_a_time(name: str) -> None:
    assert moment(jpeg(), name) is None


def test_the_date_of_the_last_change_is_the_last_resort_and_says_so() -> None:
    for data in (jpeg(base={Tag.DateTime: STATED}), jpeg(xmp=XMP.format('xmp:ModifyDate="2024-05-01T12:00:00"'))):
        found = moment(data)
        assert found is not None
        assert (found.local, found.is_of_change) == (START, True)
    both = moment(jpeg({Tag.DateTimeOriginal: STATED}, base={Tag.DateTime: "2025:01:01 00:00:00"}))
    assert both == CaptureMoment(START)


@pytest.mark.parametrize(
    ("utc", "hours"),
    [
        ((10.0, 0.0, 1.0), 2),
        ((6.0, 31.0, 20.0), 5.5),
        ((9.0, 58.0, 0.0), 2),
        ((9.0, 53.0, 0.0), None),
        ((99.0, 0.0, 0.0), None),
    ],
)
def test_satellites_show_the_offset_of_the_clock(utc: tuple[float, float, float], hours: float | None) -> None:
    """Though their time may be that of a fix a few minutes before."""
    places = {GPS.GPSDateStamp: "2024:05:01", GPS.GPSTimeStamp: utc}
    found = moment(jpeg({Tag.DateTimeOriginal: STATED}, places=places))
    assert found == CaptureMoment(START, None if hours is None else timedelta(hours=hours))


def test_how_a_picture_was_taken() -> None:
    record = capture_record(
        jpeg(
            {
                Tag.ExposureTime: 1 / 250, Tag.FNumber: 8.0, Tag.ISOSpeedRatings: 200, Tag.ExposureBiasValue: -2.0,
                Tag.ExposureMode: 2, Tag.SubjectDistance: 0.5, Tag.BodySerialNumber: "42",
            },
            base={Tag.Make: "Maker", Tag.Model: "One"},
        ),
        Path("a.jpg"),
    )  # fmt: skip
    assert record.camera == "Maker One 42"
    assert record.exposure == pytest.approx(np.log2(64 * 250) - 1, abs=1e-3)
    assert (record.bias, record.is_bracketed, record.distance_m) == (-2.0, True, 0.5)
    assert capture_record(jpeg(), Path("a.jpg")) == CaptureRecord()
    assert capture_record(jpeg({Tag.ExposureTime: 0.0, Tag.ISOSpeedRatings: 0}), Path("a.jpg")).exposure is None


# --- several clocks ---------------------------------------------------------------------------------------------------


def shot(name: str, local: datetime, hours: float | None = None, camera: str = "one") -> tuple[Path, CaptureRecord]:
    offset = None if hours is None else timedelta(hours=hours)
    return Path(name), CaptureRecord(CaptureMoment(local, offset), camera)


def apart(*shots: tuple[Path, CaptureRecord]) -> list[float]:
    line = [at for at in on_one_line(shots, 60) if at is not None]
    return [at - line[0] for at in line]


def test_one_instant_in_two_zones() -> None:
    assert apart(shot("a", START, 2), shot("b", START - timedelta(hours=6), -4, "other")) == [0, 0]


def test_a_clock_without_an_offset_is_like_its_camera_or_like_most() -> None:
    told = [shot("a", START, 2), shot("b", START, 2), shot("c", START, -4, "other")]
    assert apart(*told, shot("d", START, None, "other")) == [0, 0, 6 * 3600, 6 * 3600]
    assert apart(*told, shot("d", START, None, "third")) == [0, 0, 6 * 3600, 0]
    assert on_one_line([(Path("a"), CaptureRecord())], 60) == [None]


def test_a_burst_over_the_change_of_clocks_goes_on() -> None:
    spring, autumn = datetime(2024, 3, 31, 1, 59, 58), datetime(2024, 10, 27, 2, 59, 58)
    for start, hour in ((spring, 1), (autumn, -1)):
        seconds = (0, 1, 2, 3, 4)
        locals_ = [start + timedelta(seconds=at, hours=hour if at >= 2 else 0) for at in seconds]
        assert apart(*(shot(f"IMG_{8 + at}.jpg", local) for at, local in zip(seconds, locals_, strict=True))) == [
            0, 1, 2, 3, 4,
        ]  # fmt: skip
        with_offsets = [
            shot(f"{at}", local, 1 if (at < 2) == (hour > 0) else 2) for at, local in zip(seconds, locals_, strict=True)
        ]
        assert apart(*with_offsets) == [0, 1, 2, 3, 4]


def test_an_hour_is_an_hour_on_any_other_day() -> None:
    wednesday = datetime(2024, 5, 1, 2, 0, 0)
    assert apart(shot("1", wednesday), shot("2", wednesday + timedelta(hours=1))) == [0, 3600]
    assert apart(shot("1", START), shot("2", START + timedelta(hours=1))) == [0, 3600]


def test_names_are_ordered_as_people_do() -> None:
    names = ["IMG_10.jpg", "IMG_9.jpg", "IMG_9 (1).jpg", "a.jpg", "10.jpg", "9.jpg"]
    ordered = sorted(map(Path, names), key=by_name)
    assert [path.name for path in ordered].index("IMG_9.jpg") < [path.name for path in ordered].index("IMG_10.jpg")
    assert ordered == sorted(reversed(ordered), key=by_name)
