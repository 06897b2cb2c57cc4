"""Measure tilt and converging verticals from straight lines."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import Planes

FloatVector = NDArray[np.float64]

SHORTEST = 0.04
"""Least length of a line, as a share of the diagonal."""
MOST_TILT = 24.0
"""Largest tilt in degrees; a line with a larger angle is taken to be oblique in the scene."""
WIDTH = 0.8
"""Standard deviation, in degrees, within which lines count as agreeing."""
LEAST_LENGTH = 0.8
"""Smallest total length of agreeing lines, in diagonals, with which a tilt is stated."""
LEAST_SHARE = 0.2
"""Share of the length of all lines within ``MOST_TILT`` that must agree."""
MOST_LEAN = 30.0
LEAST_VERTICALS = 6
LEAST_SPREAD = 0.4
"""Share of the width over which verticals must be found."""
KEYSTONE_RIVAL = 0.8
RIVAL = 0.6
"""If a second direction has more than this share of the first one's agreement, no tilt is stated."""


def measure_geometry(planes: Planes) -> dict[str, float]:
    """Return the tilt and keystone; empty without enough lines to measure them."""
    lines = _segments(planes)
    if lines is None:
        return {}
    length, angle, x = lines
    values: dict[str, float] = {}
    tilt = _tilt(length, angle)
    if tilt is not None:
        values["tilt"] = abs(tilt)
    keystone = _keystone(length, angle, x)
    if keystone is not None:
        values["keystone"] = keystone
    return values


def _segments(planes: Planes) -> tuple[FloatVector, FloatVector, FloatVector] | None:
    """Return lengths in diagonals, angles in degrees in (-90, 90], anticlockwise from the horizontal, and x in shares
    of the width, of the straight segments (LSD: von Gioi, Jakubowicz, Morel and Randall 2010)."""
    grey = cv2.cvtColor(planes.view, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if min(grey.shape) < 48:
        return None
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(grey)[0]
    if found is None:
        return None
    ends = found.reshape(-1, 4).astype(np.float64)
    dx, dy = ends[:, 2] - ends[:, 0], ends[:, 1] - ends[:, 3]
    length = np.hypot(dx, dy) / math.hypot(height, width)
    # Lines on the frame itself belong to a border.
    margin = 0.01 * max(height, width)
    inside = ~(
        (np.maximum(ends[:, 0], ends[:, 2]) < margin)
        | (np.minimum(ends[:, 0], ends[:, 2]) > width - 1 - margin)
        | (np.maximum(ends[:, 1], ends[:, 3]) < margin)
        | (np.minimum(ends[:, 1], ends[:, 3]) > height - 1 - margin)
    )
    kept = (length >= SHORTEST) & inside
    if not kept.any():
        return None
    angle = np.degrees(np.arctan2(dy[kept], dx[kept]))
    angle = (angle + 90) % 180 - 90
    return length[kept], angle, (ends[kept, 0] + ends[kept, 2]) / 2 / width


def _tilt(length: FloatVector, angle: FloatVector) -> float | None:
    """Return the deviation from level and upright that most of the length of lines agrees on, in degrees
    anticlockwise.
    """
    deviation = (angle + 45) % 90 - 45
    near = np.abs(deviation) <= MOST_TILT + 3 * WIDTH
    if not near.any():
        return None
    deviation, weight = deviation[near], length[near]
    at = np.arange(-MOST_TILT, MOST_TILT + 0.05, 0.1)
    agreeing = np.exp(-0.5 * np.square((at[:, None] - deviation[None, :]) / WIDTH)) @ weight
    best = int(agreeing.argmax())
    apart = np.abs(at - at[best]) > 4 * WIDTH
    if agreeing[best] < max(LEAST_LENGTH, LEAST_SHARE * weight.sum()) or agreeing[apart].max() > RIVAL * agreeing[best]:
        return None
    close = np.abs(deviation - at[best]) <= 2 * WIDTH
    return float(np.average(deviation[close], weights=weight[close]))


def _keystone(length: FloatVector, angle: FloatVector, x: FloatVector) -> float | None:
    """Return by how many degrees lines near the vertical lean more at one side of the frame than at the other: the rise
    of the lean over the width on which most of their length agrees."""
    lean = np.where(angle > 0, angle - 90, angle + 90)
    upright = np.abs(lean) < MOST_LEAN
    length, lean, x = length[upright], lean[upright], x[upright] - 0.5
    if len(x) < LEAST_VERTICALS or np.ptp(x) < LEAST_SPREAD:
        return None
    if len(x) > 200:
        longest = np.argsort(-length, kind="stable")[:200]
        length, lean, x = length[longest], lean[longest], x[longest]
    rises, middles = np.arange(-60.0, 60.1, 1.0), np.arange(-12.0, 12.1, 1.0)
    departure = lean - rises[:, None, None] * x - middles[None, :, None]
    agreeing = np.exp(-0.5 * np.square(departure / (1.5 * WIDTH))) @ length
    rise, middle = np.unravel_index(int(agreeing.argmax()), agreeing.shape)
    close = np.abs(departure[rise, middle]) <= 3 * WIDTH
    if close.sum() < LEAST_VERTICALS or np.ptp(x[close]) < LEAST_SPREAD or length[close].sum() < 0.5 * length.sum():
        return None
    best = agreeing.max(axis=1)
    if best[np.abs(rises - rises[rise]) > 6].max() > KEYSTONE_RIVAL * best[rise]:
        return None
    weight = np.sqrt(length[close])
    design = np.stack([np.ones(int(close.sum())), x[close]], axis=1)
    return abs(float(np.linalg.lstsq(design * weight[:, None], lean[close] * weight, rcond=None)[0][1]))
