"""Which photographs of a folder show the same thing: by when they were taken, and by what they look like.

Photographs are put in order of capture time and name, and each is compared with the few before it: a series lies
together. Likeness is the correlation of the middle of one small grey picture with the place of the other where it is
highest, so that a hand that moved or a changed exposure does not part a series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.errors import ImageError
from redaes.images import capture_time, decode_image, read_image_file
from redaes.ranking import Edge, components
from redaes.types import ImageRef

MAX_GAP_S = 60.0
"""Largest time between two neighbours of a series, in seconds, where both times are known [ours]."""

MIN_LIKENESS = 0.75
"""Smallest likeness of two neighbours of a series [ours; measured in docs/ranking.md]."""

N_BEFORE = 4
"""With how many photographs before it each is compared."""

_SIDE = 24
_MIDDLE = 16
_SCAN_PIXELS = 65_536  # small, so that JPEG decodes quickly


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
            grey = loaded.image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
            photographs.append(Photograph(loaded.ref, taken, np.asarray(grey)))
        if on_file is not None:
            on_file()
    return photographs, unreadable


def group(photographs: Sequence[Photograph]) -> list[list[Photograph]]:
    """The series, each in order of capture time and name, in order of their first picture; single pictures too.

    Two photographs belong together when they look alike and, where both capture times are known, were taken
    within ``MAX_GAP_S``; so do those that a third one joins. Photographs without a time come last, by name.
    """
    ordered = sorted(photographs, key=_by_time)
    edges: list[Edge] = [
        (other, index, 0.0, 1.0)
        for index, photograph in enumerate(ordered)
        for other in range(max(0, index - N_BEFORE), index)
        if _belong_together(ordered[other], photograph)
    ]
    return [[ordered[index] for index in part] for part in components(len(ordered), edges)]


def likeness(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """How well the middle of either grey picture is found in the other: the highest correlation over all places.

    Returns:
        In [-1, 1]; 0 where the middles are flat.
    """
    return max(_found_in(first, second), _found_in(second, first))


def _found_in(template: NDArray[np.uint8], picture: NDArray[np.uint8]) -> float:
    windows = np.lib.stride_tricks.sliding_window_view(picture.astype(np.float64), (_MIDDLE, _MIDDLE))
    edge = (_SIDE - _MIDDLE) // 2
    middle = template[edge:-edge, edge:-edge].astype(np.float64).ravel()
    return float((_standardised(windows.reshape(-1, _MIDDLE * _MIDDLE)) @ _standardised(middle)).max())


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of mean 0 and length 1; zeros where a row is flat."""
    centred = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9)


def _by_time(photograph: Photograph) -> tuple[bool, datetime, str]:
    taken = photograph.taken
    return taken is None, taken or datetime.min, str(photograph.ref.path)


def _belong_together(first: Photograph, second: Photograph) -> bool:
    if (
        first.taken is not None
        and second.taken is not None
        and abs((second.taken - first.taken).total_seconds()) > MAX_GAP_S
    ):
        return False
    return likeness(first.grey, second.grey) >= MIN_LIKENESS
