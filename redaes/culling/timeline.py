"""Put the capture times of several cameras on one time line, in seconds, despite time zones and clock changes."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from redaes.images import CaptureMoment, CaptureRecord

_EPOCH = datetime(1970, 1, 1)
_HOUR_S = 3600.0
_SUNDAY = 6
_NIGHT_ENDS = 5  # o'clock: clocks are changed on Sundays between one and four


def on_one_line(shots: Sequence[tuple[Path, CaptureRecord]], gap_s: float) -> list[float | None]:
    """Return when each picture was taken, in seconds on a common time line; None: not known.

    A time with a known offset from UTC is exact. A time without one gets the offset that the same camera states most
    often elsewhere, or else the most common one of the other cameras. In a night in which clocks change, a jump of an
    hour between two files that are consecutive by name is removed.

    Args:
        shots: path and record of each.
        gap_s: largest time between two pictures of a series.
    """
    moments = [record.moment for _, record in shots]
    cameras = [record.camera for _, record in shots]
    of_camera = {
        camera: _commonest(one for one, its in zip(moments, cameras, strict=True) if its == camera)
        for camera in set(cameras)
    }
    of_all = _commonest(moments) or timedelta(0)
    line: list[float | None] = []
    for moment, camera in zip(moments, cameras, strict=True):
        if moment is None:
            line.append(None)
            continue
        offset = of_camera[camera] if moment.offset is None else moment.offset
        line.append((moment.local - _EPOCH - (of_all if offset is None else offset)).total_seconds())
    for at, shift in _jumps(shots, gap_s):
        known = line[at]
        line[at] = None if known is None else known + shift
    return line


def by_name(path: Path) -> tuple[object, ...]:
    """Return a sort key that orders names as people do: IMG_9 before IMG_10."""
    parts = re.split(r"(\d+)", path.name)
    return (str(path.parent), *((int(part), "") if part.isdecimal() else (-1, part) for part in parts), path.name)


def _commonest(moments: Iterable[CaptureMoment | None]) -> timedelta | None:
    stated = Counter(one.offset for one in moments if one is not None and one.offset is not None)
    # The smallest of equally common offsets, so that the order of the files does not matter.
    return min(stated, key=lambda offset: (-stated[offset], offset), default=None)


def _jumps(shots: Sequence[tuple[Path, CaptureRecord]], gap_s: float) -> list[tuple[int, float]]:
    """Return the pictures taken just after their camera's clock was changed, with the seconds to subtract."""
    followers: dict[tuple[Path, str], list[int]] = defaultdict(list)
    for at, (path, record) in enumerate(shots):
        if record.moment is not None and record.moment.offset is None and not record.moment.is_of_change:
            followers[path.parent, record.camera].append(at)
    jumps: list[tuple[int, float]] = []
    for ats in followers.values():
        ats.sort(key=lambda at: by_name(shots[at][0]))
        shift = 0.0
        for before, after in itertools.pairwise(ats):
            first, second = (_local(shots[at][1]) for at in (before, after))
            seconds = (second - first).total_seconds()
            if _may_change(first) and _may_change(second) and abs(abs(seconds) - _HOUR_S) <= min(gap_s, _HOUR_S / 2):
                shift -= _HOUR_S if seconds > 0 else -_HOUR_S
            elif not 0.0 <= seconds <= gap_s:
                shift = 0.0
            if shift:
                jumps.append((after, shift))
    return jumps


def _local(record: CaptureRecord) -> datetime:
    if record.moment is None:
        raise AssertionError("only pictures with a time are compared")
    return record.moment.local


def _may_change(local: datetime) -> bool:
    return local.weekday() == _SUNDAY and local.hour < _NIGHT_ENDS
