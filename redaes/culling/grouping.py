"""Group the photographs of a folder that show the same thing, by capture time and by what they look like.

Photographs are processed in order of capture time and name. Each is compared with the common picture of every series
that had not ended when it was taken; one without a time, with the series of the most similar layout. It joins a series
if its detail is found in that common picture (:mod:`redaes.culling.detail`). Since all members are like one picture, a
chain of similar pictures cannot join pictures that have nothing in common.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.culling.layout import SIDE, LayoutIndex
from redaes.culling.timeline import by_name, on_one_line
from redaes.errors import ImageError, InputError
from redaes.images import CaptureRecord, capture_record, decode_image, load_image, read_image_file
from redaes.types import ImageRef

if TYPE_CHECKING:
    from redaes.culling.detail import PictureDetail
    from redaes.culling.meant import MeantSeries

MAX_GAP_S = 60.0
"""Largest time between two neighbours of a series, in seconds, where both times are known [ours]."""

MIN_LIKENESS = 0.87
"""Smallest likeness of a picture to the common one of its series [ours; measured in docs/ranking.md]."""

UNDATED_STRICTER = 0.03
"""Additional likeness that is needed if one of the times is not known [ours]."""

CLOSE_S, CLOSE_LAXER = 2.0, 0.12
"""Pictures taken within this many seconds need this much less likeness, because subjects move between them [ours]."""

SURE_LIKENESS = 0.9
"""If a picture of a series is less like the common one than this, no picture of the series is marked as worse
[ours]."""

_SCAN_PIXELS = 65_536  # small, so that JPEG decodes quickly
_N_TRIED = 6  # series that one picture is compared with
_N_RECENTRED = 8  # largest size of a series whose common picture may still change
_N_KEPT = 96  # details in memory


@dataclass(frozen=True)
class Photograph:
    """The data of one picture that grouping needs."""

    ref: ImageRef
    shot: CaptureRecord
    """When and how it was taken."""
    grey: NDArray[np.uint8]
    """Shape (24, 24)."""

    @property
    def taken(self) -> datetime | None:
        """Capture time by the camera's clock; None: not known."""
        return None if self.shot.moment is None else self.shot.moment.local


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be used."""

    path: Path
    reason: str


@dataclass(frozen=True)
class GroupingLimits:
    """Limits on time and likeness within which photographs belong together."""

    gap_s: float = MAX_GAP_S
    likeness: float = MIN_LIKENESS
    """Smallest likeness; 0: photographs that were taken together form a series, whatever they look like."""
    by: Literal["likeness", "folder", "all"] = "likeness"
    """``folder``: the pictures of each folder are a series; ``all``: all pictures are one series. Time and likeness are
    ignored in both cases."""

    def __post_init__(self) -> None:
        if not self.gap_s >= 0.0:
            raise InputError(f"a gap of {self.gap_s} seconds is none; give 0 or more")
        if not 0.0 <= self.likeness <= 1.0:
            raise InputError(f"a likeness of {self.likeness} is none; give 0 (time alone) to 1")


@dataclass(frozen=True)
class PhotographSeries(Sequence[Photograph]):
    """Photographs that belong together, or one alone: a sequence of them."""

    pictures: tuple[Photograph, ...]
    """The pictures, in order of capture time and name; those without a time come last."""
    doubt: str | None = None
    """Why no picture of the series may be marked as worse; None: its pictures certainly show the same thing."""
    meant: str | None = None
    """The purpose for which its pictures were taken together, so that none is the best; None: no such purpose is
    known."""

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, at: int) -> Photograph: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Photograph, ...]: ...
    def __getitem__(self, at: int | slice) -> Photograph | tuple[Photograph, ...]:
        return self.pictures[at]


def scan(
    paths: Iterable[Path], on_file: Callable[[], None] | None = None
) -> tuple[list[Photograph], list[UnreadableFile]]:
    """Read each file once; files that cannot be used are returned with the reason."""
    photographs: list[Photograph] = []
    unreadable: list[UnreadableFile] = []
    for path in paths:
        try:
            data = read_image_file(path)
            loaded = decode_image(data, path, max_pixels=_SCAN_PIXELS)
            shot = capture_record(data, path)
        except ImageError as error:
            unreadable.append(UnreadableFile(path, str(error)))
        else:
            grey = loaded.image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
            photographs.append(Photograph(loaded.ref, shot, np.asarray(grey)))
        if on_file is not None:
            on_file()
    return photographs, unreadable


def group(photographs: Sequence[Photograph], limits: GroupingLimits | None = None) -> list[PhotographSeries]:
    """Return the series in order of their first picture, including pictures that are alone.

    Files are read again if pictures must be compared in detail; one that can no longer be read is like no other.
    """
    limits = limits or GroupingLimits()
    if limits.by != "likeness":
        return _as_told(photographs, by_folder=limits.by == "folder")
    seconds = on_one_line([(photograph.ref.path, photograph.shot) for photograph in photographs], limits.gap_s)
    dated = [
        _Dated(photograph, _clock_of(photograph), at or 0.0)
        for photograph, at in zip(photographs, seconds, strict=True)
    ]
    dated.sort(key=lambda one: (one.clock, one.seconds, by_name(one.photograph.ref.path)))
    return _Grouping(dated, limits).series()


def _as_told(photographs: Sequence[Photograph], *, by_folder: bool) -> list[PhotographSeries]:
    """Return the series that the caller has defined; nothing about them is in doubt."""
    series: dict[Path | None, list[Photograph]] = {}
    for photograph in sorted(photographs, key=lambda one: by_name(one.ref.path)):
        series.setdefault(photograph.ref.path.parent if by_folder else None, []).append(photograph)
    return [PhotographSeries(tuple(pictures)) for pictures in series.values()]


class _Clock(IntEnum):
    """The kind of a picture's time. Times of different kinds cannot be compared."""

    TAKEN = 0
    CHANGED = 1
    UNKNOWN = 2


def _clock_of(photograph: Photograph) -> _Clock:
    moment = photograph.shot.moment
    if moment is None:
        return _Clock.UNKNOWN
    return _Clock.CHANGED if moment.is_of_change else _Clock.TAKEN


@dataclass(frozen=True)
class _Dated:
    photograph: Photograph
    clock: _Clock
    seconds: float
    """Time in seconds by its kind of clock; 0: not known."""


@dataclass
class _Growing:
    """A series while it grows."""

    common: int
    """Number of the common picture, which all others are like."""
    members: list[int]
    last: dict[_Clock, float]
    """Time of its last picture, by kind of clock."""
    least: float = 1.0
    """Likeness of the picture that is least like the common one."""
    by_time: bool = False
    """Whether the series was formed by time alone, without comparing its pictures."""


class _Grouping:
    """The state while one folder is grouped; pictures are identified by their number in the order."""

    def __init__(self, ordered: Sequence[_Dated], limits: GroupingLimits) -> None:
        self._ordered = ordered
        self._limits = limits
        self._index = LayoutIndex([one.photograph.grey for one in ordered])
        self._details: OrderedDict[int, PictureDetail | None] = OrderedDict()
        self._of: dict[int, _Growing] = {}
        """The series of each picture so far."""
        self._seen = np.empty(len(ordered), dtype=np.intp)
        """Numbers of the pictures processed so far, in that order; the rest of the array is unused."""

    def series(self) -> list[PhotographSeries]:
        """Return all series, in order of their first picture."""
        meant = self._meant()
        left_out = {at for one in meant for at in one.members}
        series = [(one.members[0], PhotographSeries(self._pictures(one.members), meant=one.what)) for one in meant]
        series += [(min(one.members), self._finished(one)) for one in self._grown(left_out)]
        return [one for _, one in sorted(series, key=lambda numbered: numbered[0])]

    def _meant(self) -> list[MeantSeries]:
        """Return the pictures of each camera that were taken to be used together."""
        from redaes.culling.meant import TimedShot, meant_series

        cameras: dict[str, list[TimedShot]] = {}
        for at, one in enumerate(self._ordered):
            if one.clock is _Clock.TAKEN:
                shot = one.photograph.shot
                cameras.setdefault(shot.camera, []).append(TimedShot(at, one.seconds, shot))
        return [
            found for shots in cameras.values() for found in meant_series(shots, self._index.likeness, self._detail)
        ]

    def _pictures(self, members: Iterable[int]) -> tuple[Photograph, ...]:
        return tuple(self._ordered[at].photograph for at in sorted(members))

    def _grown(self, left_out: Collection[int]) -> list[_Growing]:
        """Return series of pictures that look alike."""
        found: list[_Growing] = []
        going_on: list[_Growing] = []
        copies: dict[str, int] = {}
        for at, one in enumerate(self._ordered):
            if at in left_out:
                continue
            twin = copies.setdefault(one.photograph.ref.id, at)
            going_on = [series for series in going_on if self._goes_on(series, one)]
            near = self._near(at, going_on)
            if twin != at:
                joined: _Growing | None = self._of[twin]
            elif one.clock is not _Clock.UNKNOWN and self._limits.likeness == 0.0:
                joined = going_on[-1] if going_on else None
                if joined is not None:
                    joined.by_time = True
            else:
                joined = self._joined(at, near)
                if joined is not None and joined.members == [joined.common]:
                    for single in self._other_singles(at, near, joined):
                        self._merge(joined, single, at)
                        found.remove(single)
                        going_on = [series for series in going_on if series is not single]
            if joined is None:
                joined = _Growing(at, [], {})
                found.append(joined)
            if one.clock is not _Clock.UNKNOWN and joined not in going_on:
                going_on.append(joined)
            joined.members.append(at)
            if one.clock is not _Clock.UNKNOWN:
                joined.last[one.clock] = max(one.seconds, joined.last.get(one.clock, one.seconds))
            self._seen[len(self._of)] = at
            self._of[at] = joined
        return found

    def _goes_on(self, series: _Growing, now: _Dated) -> bool:
        """Return whether the last picture of a series by the same clock was taken shortly before."""
        last = series.last.get(now.clock)
        return last is not None and now.seconds - last <= self._limits.gap_s

    def _near(self, at: int, going_on: Sequence[_Growing]) -> list[_Growing]:
        """Return the series that a picture may belong to, those of the most similar layout first."""
        by_common = {series.common: series for series in going_on}
        near = [by_common[common] for common in self._index.most_alike(at, sorted(by_common))]
        clock = self._ordered[at].clock
        if clock is not _Clock.TAKEN:
            # Among all series, except those whose only known times are changes long before.
            anywhere = (self._of[other] for other in self._index.most_alike(at, self._seen[: len(self._of)]))
            near += [series for series in anywhere if clock is _Clock.UNKNOWN or set(series.last) != {clock}]
        return list({id(series): series for series in near}.values())

    def _joined(self, at: int, near: Sequence[_Growing]) -> _Growing | None:
        """Return the first of the candidate series that a picture belongs to; None: none."""
        for series in near[:_N_TRIED]:
            if self._fits(at, series.common):
                series.least = min(series.least, self._likeness(at, series.common))
                return series
            if self._recentred(at, series):
                return series
        return None

    def _other_singles(self, at: int, near: Sequence[_Growing], joined: _Growing) -> list[_Growing]:
        """Return other pictures, alone so far, that this one is like as well; it becomes their common picture."""
        singles = {one.common: one for one in near if len(one.members) == 1 and one is not joined}
        likest = self._index.most_alike(at, sorted(singles))[:_N_TRIED]
        return [singles[other] for other in likest if self._fits(at, other)]

    def _merge(self, joined: _Growing, single: _Growing, common: int) -> None:
        joined.common = common
        joined.members += single.members
        joined.least = min(joined.least, self._likeness(common, single.common))
        for clock, last in single.last.items():
            joined.last[clock] = max(last, joined.last.get(clock, last))
        for member in single.members:
            self._of[member] = joined

    def _recentred(self, at: int, series: _Growing) -> bool:
        """Return whether another picture of a short series is like all the others and this one; then it is the common
        one.
        """
        if not 1 < len(series.members) <= _N_RECENTRED:
            return False
        for middle in self._index.most_alike(at, [one for one in series.members if one != series.common])[:2]:
            others = [one for one in (*series.members, at) if one != middle]
            if all(self._fits(one, middle) for one in reversed(others)):
                series.common = middle
                series.least = min(self._likeness(one, middle) for one in others)
                return True
        return False

    def _fits(self, one: int, other: int) -> bool:
        return self._likeness(one, other) >= self._least_likeness(self._ordered[one], self._ordered[other])

    def _least_likeness(self, one: _Dated, other: _Dated) -> float:
        least = self._limits.likeness or MIN_LIKENESS
        if one.clock is not other.clock or one.clock is _Clock.UNKNOWN:
            return min(1.0, least + UNDATED_STRICTER)
        return max(0.0, least - CLOSE_LAXER) if abs(one.seconds - other.seconds) <= CLOSE_S else least

    def _likeness(self, one: int, other: int) -> float:
        from redaes.culling.detail import shared_detail

        first, second = self._detail(min(one, other)), self._detail(max(one, other))
        return 0.0 if first is None or second is None else shared_detail(first, second).likeness

    def _detail(self, at: int) -> PictureDetail | None:
        """Return the detail of a picture, from a second reading of its file; None: the file can no longer be read."""
        from redaes.culling.detail import PIXELS, detail_of

        if at not in self._details:
            try:
                loaded = load_image(self._ordered[at].photograph.ref.path, max_pixels=PIXELS)
            except ImageError:
                self._details[at] = None
            else:
                self._details[at] = detail_of(loaded.image)
            while len(self._details) > _N_KEPT:
                self._details.popitem(last=False)
        self._details.move_to_end(at)
        return self._details[at]

    def _finished(self, series: _Growing) -> PhotographSeries:
        doubt = None
        if series.by_time:
            doubt = "put together by time alone"
        elif series.least < SURE_LIKENESS:
            doubt = f"not all pictures are surely of one thing (likeness {series.least:.2f}, sure from {SURE_LIKENESS})"
        return PhotographSeries(self._pictures(series.members), doubt)
