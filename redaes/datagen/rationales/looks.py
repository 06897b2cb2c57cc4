"""Describe the places of a picture without naming objects: light, colour and detail of a grid of three by three."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_CELL = 32
"""Side of a cell of the reduced picture, in pixels."""

LIGHT_STEP = 8.0
"""Difference of L* from the whole picture from which a cell is called bright or dark."""
CHROMA = 14.0
"""Chroma (a*, b*) from which a cell has a colour by name."""
DETAIL_STEP = 1.6
"""Factor by which a cell has more detail than the whole picture to be called busy; by the inverse it is plain."""

_HUES: tuple[tuple[float, str], ...] = (
    (15.0, "pink"), (45.0, "red"), (70.0, "orange"), (105.0, "yellow"), (165.0, "green"), (220.0, "turquoise"),
    (307.0, "blue"), (335.0, "purple"), (360.0, "pink"),
)  # fmt: skip
"""Hue angles of CIELAB, in degrees, below which each name holds. Pure sRGB blue has 306."""


@dataclass(frozen=True)
class Look:
    """Features of nine cells, row by row, in the order of :data:`redaes.evidence.measurements.PLACES`."""

    lightness: tuple[float, ...]
    """Mean L* of each cell."""
    a: tuple[float, ...]
    """Mean a* of each cell; ``b`` holds the mean b*."""
    b: tuple[float, ...]
    detail: tuple[float, ...]
    """Mean absolute difference from the picture blurred by one pixel, in grey levels."""


def look(image: NDArray[np.uint8]) -> Look:
    """Return where a picture is bright, dark, coloured and detailed.

    Args:
        image: (H, W, 3) sRGB bytes.
    """
    side = 3 * _CELL
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255.0)
    cells = cv2.cvtColor(small, cv2.COLOR_RGB2Lab).reshape(3, _CELL, 3, _CELL, 3).mean(axis=(1, 3)).reshape(9, 3)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    fine = cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), 1.0)).astype(np.float32)
    rows, columns = (np.array_split(np.arange(n), 3) for n in fine.shape)
    detail = [float(fine[r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean()) if r.size and c.size else 0.0
              for r in rows for c in columns]  # fmt: skip
    lightness, a, b = ([float(value) for value in column] for column in cells.T)
    return Look(tuple(lightness), tuple(a), tuple(b), tuple(detail))


def hue_name(a: float, b: float, lightness: float) -> str | None:
    """Return the name of a colour; None if it is close to grey.

    >>> hue_name(0.0, -40.0, 60.0), hue_name(1.0, 2.0, 50.0)
    ('blue', None)
    """
    if math.hypot(a, b) < CHROMA:
        return None
    angle = math.degrees(math.atan2(b, a)) % 360
    name = next(name for bound, name in _HUES if angle < bound)
    return "brown" if name == "orange" and lightness < 45 else name


def differences(one: Look, other: Look, kind: str) -> list[float]:
    """Return how much each cell differs, as numbers of at least 0.

    Args:
        one: look of one picture.
        other: look of the other picture.
        kind: ``light`` (L*), ``colour`` (distance in a*, b*) or ``detail`` (logarithm of the ratio).
    """
    if kind == "light":
        return [abs(x - y) for x, y in zip(one.lightness, other.lightness, strict=True)]
    if kind == "colour":
        return [math.hypot(x - u, y - v) for x, y, u, v in zip(one.a, one.b, other.a, other.b, strict=True)]
    # Half a grey level is added, since differences in so little detail are invisible.
    return [abs(math.log((x + 0.5) / (y + 0.5))) for x, y in zip(one.detail, other.detail, strict=True)]


def traits(seen: Look, cell: int) -> dict[str, str]:
    """Return the features in which a cell differs from the whole picture: ``light`` (bright, dark), ``hue``, ``detail``
    (busy, plain).
    """
    found: dict[str, str] = {}
    step = seen.lightness[cell] - sum(seen.lightness) / 9
    if abs(step) >= LIGHT_STEP:
        found["light"] = "bright" if step > 0 else "dark"
    hue = hue_name(seen.a[cell], seen.b[cell], seen.lightness[cell])
    if hue is not None:
        found["hue"] = hue
    ratio = (seen.detail[cell] + 0.1) / (sum(seen.detail) / 9 + 0.1)
    if ratio >= DETAIL_STEP or ratio <= 1 / DETAIL_STEP:
        found["detail"] = "busy" if ratio > 1 else "plain"
    return found
