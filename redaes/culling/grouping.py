"""Which photographs of a folder show the same thing: by when they were taken, and by what they look like.

Photographs are taken in order of capture time and name. Each is held against the common picture of every series that
was still going on when it was taken; one without a time, against the series whose layout is likest. It joins where its
detail is found in that common picture (:mod:`redaes.culling.detail`), so that no chain of likenesses makes a series of
pictures that have nothing in common.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.culling.layout import SIDE, LayoutIndex
from redaes.errors import ImageError, InputError
from redaes.images import capture_time, decode_image, load_image, read_image_file
from redaes.types import ImageRef

if TYPE_CHECKING:
    from redaes.culling.detail import PictureDetail

MAX_GAP_S = 60.0
"""Largest time between two neighbours of a series, in seconds, where both times are known [ours]."""

MIN_LIKENESS = 0.87
"""Smallest likeness of a picture to the common one of its series [ours; measured in docs/ranking.md]."""

UNDATED_STRICTER = 0.03
"""By how much more a picture must be like that where one of the times is not known [ours] ..."""

CLOSE_S, CLOSE_LAXER = 2.0, 0.12
"""... and by how much less where they were taken so few seconds apart: what moves is not what differs [ours]."""

SURE_LIKENESS = 0.9
"""Where a picture is less like the common one, none of its series may be marked as worse [ours]."""

_SCAN_PIXELS = 65_536  # small, so that JPEG decodes quickly
_N_TRIED = 6  # series that one picture is held against
_N_RECENTRED = 8  # pictures of a series up to which another one may become the common one
_N_KEPT = 96  # details in memory


@dataclass(frozen=True)
class Photograph:
    """What grouping needs to know of a picture."""

    ref: ImageRef
    taken: datetime | None
    """Capture time by the camera's clock; None: not recorded."""
    grey: NDArray[np.uint8]
    """Shape (24, 24)."""


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be used."""

    path: Path
    reason: str


@dataclass(frozen=True)
class GroupingLimits:
    """From where on photographs belong together."""

    gap_s: float = MAX_GAP_S
    likeness: float = MIN_LIKENESS
    """0: what was taken together belongs together, whatever it looks like."""

    def __post_init__(self) -> None:
        if not self.gap_s >= 0.0:
            raise InputError(f"a gap of {self.gap_s} seconds is none; give 0 or more")
        if not 0.0 <= self.likeness <= 1.0:
            raise InputError(f"a likeness of {self.likeness} is none; give 0 (time alone) to 1")


@dataclass(frozen=True)
class PhotographSeries(Sequence[Photograph]):
    """Photographs that belong together, or one alone: a sequence of them."""

    pictures: tuple[Photograph, ...]
    """In order of capture time and name; those without a time last."""
    doubt: str | None = None
    """Why nothing of it may be marked as worse; None: the likeness is beyond doubt."""

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
    """Look at each file once; what cannot be used is reported, and the rest goes on."""
    photographs: list[Photograph] = []
    unreadable: list[UnreadableFile] = []
    for path in paths:
        try:
            data = read_image_file(path)
            loaded = decode_image(data, path, max_pixels=_SCAN_PIXELS)
            taken = capture_time(data, path)
        except ImageError as error:
            unreadable.append(UnreadableFile(path, str(error)))
        else:
            grey = loaded.image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
            photographs.append(Photograph(loaded.ref, taken, np.asarray(grey)))
        if on_file is not None:
            on_file()
    return photographs, unreadable


def group(photographs: Sequence[Photograph], limits: GroupingLimits | None = None) -> list[PhotographSeries]:
    """The series, in order of their first picture; single pictures too.

    The files are read again where pictures have to be looked at closely; one that cannot be, is like nothing.
    """
    return _Grouping(sorted(photographs, key=_by_time), limits or GroupingLimits()).series()


@dataclass
class _Growing:
    """A series while it grows."""

    common: int
    """The picture that all others are like."""
    members: list[int]
    last: datetime | None
    """When its last picture with a time was taken."""
    least: float = 1.0
    """Likeness of the picture that is least like the common one."""


class _Grouping:
    """One folder being grouped; pictures are known by their place in the order."""

    def __init__(self, ordered: Sequence[Photograph], limits: GroupingLimits) -> None:
        self._ordered = ordered
        self._limits = limits
        self._index = LayoutIndex([photograph.grey for photograph in ordered])
        self._details: OrderedDict[int, PictureDetail | None] = OrderedDict()

    def series(self) -> list[PhotographSeries]:
        found: list[_Growing] = []
        of: list[_Growing] = []  # the series of each picture so far
        going_on: list[_Growing] = []
        copies: dict[str, int] = {}
        for at, photograph in enumerate(self._ordered):
            taken = photograph.taken
            twin = copies.setdefault(photograph.ref.id, at)
            if taken is not None:
                going_on = [one for one in going_on if self._goes_on(one, taken)]
            near = going_on if taken is not None else [of[other] for other in self._index.most_alike(at, range(at))]
            joined = of[twin] if twin != at else self._joined(at, near, dated=taken is not None)
            if joined is not None and joined.members == [joined.common] and twin == at:
                for single in self._other_singles(at, near, joined):
                    self._merge(joined, single, at)
                    found.remove(single)
                    going_on = [one for one in going_on if one is not single]
                    of[single.common] = joined
            if joined is None:
                joined = _Growing(at, [], taken)
                found.append(joined)
                if taken is not None:
                    going_on.append(joined)
            joined.members.append(at)
            joined.last = taken or joined.last
            of.append(joined)
        return [self._finished(one) for one in found]

    def _goes_on(self, series: _Growing, now: datetime) -> bool:
        return series.last is not None and (now - series.last).total_seconds() <= self._limits.gap_s

    def _joined(self, at: int, near: Sequence[_Growing], *, dated: bool) -> _Growing | None:
        """The first of the likeliest series that a picture belongs to."""
        if dated and self._limits.likeness == 0.0:
            if near:
                near[-1].least = 0.0
            return near[-1] if near else None
        if dated:
            by_common = {one.common: one for one in near}
            near = [by_common[common] for common in self._index.most_alike(at, sorted(by_common))]
        unlike: set[int] = set()
        for series in near:
            if series.common in unlike:
                continue
            if self._fits(at, series.common):
                series.least = min(series.least, self._likeness(at, series.common))
                return series
            if self._recentred(at, series):
                return series
            unlike.add(series.common)
            if len(unlike) == _N_TRIED:
                break
        return None

    def _other_singles(self, at: int, near: Sequence[_Growing], joined: _Growing) -> list[_Growing]:
        """Pictures alone so far that this one is like, too: it is what they have in common."""
        singles = {one.common: one for one in near if len(one.members) == 1 and one is not joined}
        likest = self._index.most_alike(at, sorted(singles))[:_N_TRIED]
        return [singles[other] for other in likest if self._fits(at, other)]

    def _merge(self, joined: _Growing, single: _Growing, common: int) -> None:
        joined.common = common
        joined.members += single.members
        joined.least = min(joined.least, self._likeness(common, single.common))
        times = [one for one in (joined.last, single.last) if one is not None]
        joined.last = max(times, default=None)

    def _recentred(self, at: int, series: _Growing) -> bool:
        """Whether another picture of a short series is like all the others and this one; then it is the common one."""
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

    def _least_likeness(self, one: Photograph, other: Photograph) -> float:
        least = self._limits.likeness or MIN_LIKENESS
        if one.taken is None or other.taken is None:
            return min(1.0, least + UNDATED_STRICTER)
        is_close = abs((one.taken - other.taken).total_seconds()) <= CLOSE_S
        return max(0.0, least - CLOSE_LAXER) if is_close else least

    def _likeness(self, one: int, other: int) -> float:
        from redaes.culling.detail import shared_detail

        first, second = self._detail(min(one, other)), self._detail(max(one, other))
        return 0.0 if first is None or second is None else shared_detail(first, second).likeness

    def _detail(self, at: int) -> PictureDetail | None:
        """What is compared of a picture, looked at once more; None: its file cannot be read any longer."""
        from redaes.culling.detail import PIXELS, detail_of

        if at not in self._details:
            try:
                loaded = load_image(self._ordered[at].ref.path, max_pixels=PIXELS)
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
        if self._limits.likeness == 0.0 and series.least == 0.0:
            doubt = "put together by time alone"
        elif series.least < SURE_LIKENESS:
            doubt = f"not all pictures are surely of one thing (likeness {series.least:.2f}, sure from {SURE_LIKENESS})"
        return PhotographSeries(tuple(self._ordered[at] for at in sorted(series.members)), doubt)


def _by_time(photograph: Photograph) -> tuple[bool, datetime, str]:
    taken = photograph.taken
    return taken is None, taken or datetime.min, str(photograph.ref.path)
