"""Find out when and how a picture was taken, from its file's metadata or name.

The sources are tried in this order: the original date of EXIF, then of XMP; the date of digitisation; the GPS time; a
file name with date and time; and last the date of the last change, which is often that of an edit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from redaes.images.damage import DAMAGE
from redaes.images.formats import exif_and_xmp

Tag, GPSTag = ExifTags.Base, ExifTags.GPS

_ZONE = r"\s*(Z|[+-]\d{2}:?\d{2})?"
_DATE = re.compile(
    r"(\d{4})[-:/.](\d{1,2})[-:/.](\d{1,2})[T ]+(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d+))?)?" + _ZONE
)
_COMPACT_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})T?(\d{2})(\d{2})(\d{2})(?:[.,](\d+))?" + _ZONE + "$")
_DATE_IN_NAME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?: at |[-_ T.])*"
    r"([01]\d|2[0-4])[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?:[-_.s]?(\d{3}))?(?!\d)"
)
_OFFSET = re.compile(r"\s*([+-])(\d{1,2}):?(\d{2})\s*$")
_QUARTER_S = 900
_MAX_STALE_S = 300
"""Largest deviation of the difference between camera clock and GPS time from a whole quarter of an hour, in seconds:
the GPS time can be that of an earlier position fix.
"""


@dataclass(frozen=True)
class CaptureMoment:
    """When a picture was taken."""

    local: datetime
    """Time by the camera's clock, without a time zone."""
    offset: timedelta | None = None
    """Offset of that clock from UTC; None: not known."""
    is_of_change: bool = False
    """Whether only the date of the last change is known."""


@dataclass(frozen=True)
class CaptureRecord:
    """How and when a picture was taken, as far as it is known; fields that are None or empty are not known."""

    moment: CaptureMoment | None = None
    camera: str = ""
    exposure: float | None = None
    """Exposure value of the settings, reduced to ISO 100, in stops; higher values make a darker picture."""
    bias: float | None = None
    """Exposure compensation, in stops."""
    is_bracketed: bool = False
    """Whether the file says that the camera bracketed automatically."""
    distance_m: float | None = None
    """Focusing distance in metres; None: not known."""


def capture_record(data: bytes, path: Path) -> CaptureRecord:
    """Return when and how a picture was taken.

    Args:
        data: the whole file, in a readable format; no pixel of it is decoded.
        path: names it in messages; its name may carry the date.

    Raises:
        ImageError: as for :func:`image_size`.
    """
    exif, xmp = exif_and_xmp(data, path)
    details, places = _part(exif, ExifTags.IFD.Exif), _part(exif, ExifTags.IFD.GPSInfo)
    packet = xmp.decode("utf-8", "replace")
    moment = next(_moments(exif, details, places, packet, path.name), None)
    camera = " ".join(
        text for text in (_text(exif, Tag.Make), _text(exif, Tag.Model), _text(details, Tag.BodySerialNumber)) if text
    )
    time_s, aperture, speed = (_number(details, tag) for tag in (Tag.ExposureTime, Tag.FNumber, Tag.ISOSpeedRatings))
    exposure = None
    if time_s and time_s > 0 and speed and speed > 0:
        # An unknown aperture, as of a lens without contacts, is assumed to be the same in every picture.
        exposure = math.log2((aperture or 1.0) ** 2 / time_s) - math.log2(speed / 100)
    return CaptureRecord(
        moment=moment,
        camera=camera,
        exposure=exposure,
        bias=_number(details, Tag.ExposureBiasValue),
        is_bracketed=_number(details, Tag.ExposureMode) == 2,
        distance_m=_number(details, Tag.SubjectDistance),
    )


def capture_time(data: bytes, path: Path) -> datetime | None:
    """Return when a picture was taken, by the camera's clock, without a time zone; None: not known.

    Args:
        data: the whole file, in a readable format; no pixel of it is decoded.
        path: names it in messages; its name may carry the date.

    Raises:
        ImageError: as for :func:`image_size`.
    """
    moment = capture_record(data, path).moment
    return None if moment is None else moment.local


def parse_date(text: str, fraction: str = "", offset: str = "") -> CaptureMoment | None:
    """Return a date with its time, in the form of EXIF or of ISO 8601; None: it is neither, or has no time.

    >>> parse_date("2024:05:01 24:10:00").local, parse_date("2024-05-01T12:00:03.25+02:00").offset
    (datetime.datetime(2024, 5, 2, 0, 10), datetime.timedelta(seconds=7200))

    Args:
        text: the date as written in the file.
        fraction: decimals of the second, from a separate tag.
        offset: offset from UTC, from a separate tag.
    """
    text = text.strip(" \0")
    found = _DATE.match(text) or _COMPACT_DATE.match(text)
    if found is None:
        return None
    *numbers, own_fraction, own_offset = found.groups()
    return _moment([int(number or 0) for number in numbers], own_fraction or fraction, own_offset or offset)


def _moment(numbers: list[int], fraction: str | None, offset: str | None) -> CaptureMoment | None:
    year, month, day, hour, minute, second = numbers
    if hour > 24 or minute > 59 or second > 60 or year < 1826:
        return None
    try:
        # Some programs write midnight as 24:00, and leap seconds happen.
        at = datetime(year, month, day) + timedelta(hours=hour, minutes=minute, seconds=second)
    except (ValueError, OverflowError):
        return None
    digits = (fraction or "").strip(" \0")
    if digits.isascii() and digits.isdecimal():
        at += timedelta(seconds=float(f"0.{digits}"))
    return CaptureMoment(at, _offset(offset or ""))


def _offset(text: str) -> timedelta | None:
    if text.strip() == "Z":
        return timedelta(0)
    found = _OFFSET.match(text)
    if found is None or int(found[2]) > 15 or int(found[3]) > 59:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return -offset if found[1] == "-" else offset


def _moments(
    exif: Image.Exif, details: dict[int, Any], places: dict[int, Any], packet: str, name: str
) -> Iterator[CaptureMoment]:
    """Yield all stated times, the most reliable first."""
    offsets = [_text(details, tag) for tag in (Tag.OffsetTimeOriginal, Tag.OffsetTimeDigitized, Tag.OffsetTime)]
    any_offset = next((offset for offset in offsets if _offset(offset) is not None), "")
    by_satellite = _by_satellite(places)

    def stated(part: Any, tag: int, fraction: int, offset: str) -> Iterator[CaptureMoment]:
        found = parse_date(_text(part, tag), _text(details, fraction), offset or any_offset)
        if found is not None:
            yield _with_offset_of(found, by_satellite)

    def in_packet(*names: str) -> Iterator[CaptureMoment]:
        for field in names:
            told = re.search(rf"\b{field}(?:\s*=\s*[\"']|\s*>)\s*([^\"'<>]{{8,40}})", packet)
            found = parse_date(told[1]) if told else None
            if found is not None:
                yield _with_offset_of(found, by_satellite)

    yield from stated(details, Tag.DateTimeOriginal, Tag.SubsecTimeOriginal, offsets[0])
    yield from in_packet("exif:DateTimeOriginal", "photoshop:DateCreated")
    yield from stated(details, Tag.DateTimeDigitized, Tag.SubsecTimeDigitized, offsets[1])
    yield from in_packet("exif:DateTimeDigitized", "xmp:CreateDate", "xap:CreateDate")
    if by_satellite is not None:
        yield CaptureMoment(by_satellite, timedelta(0))
    in_name = _DATE_IN_NAME.search(name)
    if in_name is not None:
        *numbers, thousandths = in_name.groups()
        # Names that begin so, by Google's camera, state UTC.
        found = _moment([int(number) for number in numbers], thousandths, "Z" if name.startswith("PXL_") else "")
        if found is not None:
            yield found
    changed = (
        *stated(exif, Tag.DateTime, Tag.SubsecTime, offsets[2]),
        *in_packet("xmp:ModifyDate", "xap:ModifyDate", "tiff:DateTime"),
    )
    for one in changed:
        yield CaptureMoment(one.local, one.offset, is_of_change=True)


def _with_offset_of(stated: CaptureMoment, by_satellite: datetime | None) -> CaptureMoment:
    """Return the moment with the offset that the GPS time implies, if none is stated."""
    if stated.offset is not None or by_satellite is None:
        return stated
    apart = (stated.local - by_satellite).total_seconds()
    quarters = round(apart / _QUARTER_S)
    if abs(apart - quarters * _QUARTER_S) > _MAX_STALE_S or abs(quarters) > 15 * 4:
        return stated
    return CaptureMoment(stated.local, timedelta(seconds=quarters * _QUARTER_S))


def _by_satellite(places: dict[int, Any]) -> datetime | None:
    """Return the GPS time, which is UTC; None: there is none."""
    date = _text(places, GPSTag.GPSDateStamp).replace("-", ":")
    try:
        hour, minute, second = (float(number) for number in places[GPSTag.GPSTimeStamp])
        if not (0 <= hour <= 24 and 0 <= minute < 60 and 0 <= second <= 61):
            return None
        return datetime.strptime(date, "%Y:%m:%d") + timedelta(hours=hour, minutes=minute, seconds=second)
    except (KeyError, *DAMAGE):
        return None


def _part(exif: Image.Exif, which: ExifTags.IFD) -> dict[int, Any]:
    """Return a part of the EXIF; empty: there is none that can be read."""
    try:
        return dict(exif.get_ifd(which))
    except DAMAGE:
        return {}


def _text(part: Any, tag: int) -> str:
    """Return a tag as text; empty: it is not there, or cannot be read."""
    try:
        value = part.get(tag, "")
    except DAMAGE:
        return ""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return str(value).strip(" \0")


def _number(part: dict[int, Any], tag: int) -> float | None:
    """Return a tag as a number; None: it is not there, or is none."""
    try:
        value = part[tag]
        number = float(value[0] if isinstance(value, tuple) else value)
    except (KeyError, *DAMAGE):
        return None
    return number if math.isfinite(number) else None
