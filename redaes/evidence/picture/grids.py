"""Detect regular grids: borders of compressed blocks, and enlarged pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.planes import ByteImage, FloatArray, Planes, lightness, median

Profile = NDArray[np.float64]

N_STRIPS = 8
STRIP = 96
"""Thickness, in pixels, of the strips across a picture in which grids are looked for; a small picture is used whole."""
LARGEST_STEP = 8.0
"""Largest step in L*; larger steps belong to the scene and are reduced to this."""
BLOCK_PERIODS = (6.0, 40.0)
"""Range of the periods, in pixels, of block grids: 8 pixels, and 8 pixels after a change of size."""
PIXEL_PERIODS = (2.0, 64.0)


@dataclass(frozen=True)
class Comb:
    """A grid along one side."""

    period: float
    """Period of the grid, in pixels."""
    on: float
    """Median of the profile on the grid."""
    off: float
    """Median of the profile elsewhere."""
    rival: float
    """The greatest median at another offset: a period of 6 in a pattern of 3 has one as great."""


def _strips(image: ByteImage) -> list[FloatArray]:
    """Return L* of strips across the whole width."""
    height = image.shape[0]
    if height <= N_STRIPS * STRIP:
        return [lightness(np.ascontiguousarray(image))]
    begins = [i * (height - STRIP) // (N_STRIPS - 1) for i in range(N_STRIPS)]
    return [lightness(np.ascontiguousarray(image[begin : begin + STRIP])) for begin in begins]


def _profiles(strips: list[FloatArray]) -> tuple[Profile, Profile, Profile]:
    """Return (W - 1,) mean step between neighbouring columns; mean excess of it over the steps beside it; and the same
    of steps over three columns, which grids that were enlarged show."""
    sums = [np.zeros(strips[0].shape[1] - 1) for _ in range(3)]
    total = 0
    one = np.array([[-0.5, 1, -0.5]], np.float32)
    wide = np.array([[-0.5, 0, 0, 1, 0, 0, -0.5]], np.float32)
    for light in strips:
        step = cv2.min(cv2.absdiff(light[:, 1:], light[:, :-1]), LARGEST_STEP)
        excess = cv2.filter2D(step, -1, one, borderType=cv2.BORDER_REFLECT_101)
        around = np.zeros_like(step)
        around[:, 1:-1] = cv2.min(cv2.absdiff(light[:, 3:], light[:, :-3]), LARGEST_STEP)
        excess_around = cv2.filter2D(around, -1, wide, borderType=cv2.BORDER_REFLECT_101)
        for index, values in enumerate((step, excess, excess_around)):
            sums[index] += cv2.reduce(values, 0, cv2.REDUCE_SUM, dtype=cv2.CV_64F)[0]
        total += len(light)
    return sums[0] / total, sums[1] / total, sums[2] / total


def find_comb(profile: Profile, periods: tuple[float, float]) -> Comb | None:
    """Return the period at which a profile has equally spaced peaks; None where it is too short.

    The spectrum of such a comb has peaks at its frequency and the multiples of it.
    """
    n = len(profile)
    if n < 4 * periods[0] or n < 24:
        return None
    size = 8 * 2 ** math.ceil(math.log2(n))
    centred = profile - median(profile)
    centred = np.minimum(centred, 6 * float(np.abs(centred).mean()) + 1e-12)
    spectrum = np.abs(np.fft.rfft((centred - centred.mean()) * np.hanning(n), size))
    longest = min(periods[1], n / 4)
    index = np.arange(math.ceil(size / longest), math.floor(size / periods[0]) + 1)
    score = spectrum[index].copy()
    for multiple in (2, 3):
        at = index * multiple
        # Above half a cycle per pixel, the spectrum is mirrored.
        at = np.abs((at + size // 2) % size - size // 2)
        score += spectrum[at]
    best = index[int(np.argmax(score >= 0.9 * score.max()))]
    # The first that is nearly as good may lie on the slope of the peak.
    near = np.abs(index - best) <= size / n
    best = index[near][int(score[near].argmax())]
    return _folded(profile, size / best)


def _folded(profile: Profile, period: float) -> Comb:
    """Return the comb of that period at its best offset."""
    n = len(profile)
    count = np.arange(int(n / period) + 1)
    offsets = np.arange(0, period, 0.5)
    at = np.rint(offsets[:, None] + count * period).astype(np.int64)  # (offsets, teeth)
    held = at < n
    # Of each row the median of those that lie in the profile; the others are sorted behind them.
    teeth = np.sort(np.where(held, profile[np.minimum(at, n - 1)], np.inf), axis=1)
    number, row = held.sum(axis=1), np.arange(len(offsets))
    heights = (teeth[row, (number - 1) // 2] + teeth[row, number // 2]) / 2
    best = int(np.argmax(heights))
    off = np.ones(n, dtype=bool)
    off[at[best][held[best]]] = False
    apart = np.abs((offsets - offsets[best] + period / 2) % period - period / 2) >= min(2.0, period / 2)
    rival = float(heights[apart].max()) if apart.any() else float(heights[best])
    on = float(heights[best])
    return Comb(period, on, float(median(profile[off])) if off.any() else on, rival)


def _both_profiles(planes: Planes) -> tuple[tuple[Profile, Profile, Profile], tuple[Profile, Profile, Profile]]:
    """Return the profiles along the rows and those along the columns."""
    if planes.light is not None:
        return _profiles([planes.light]), _profiles([np.ascontiguousarray(planes.light.T)])
    return _profiles(_strips(planes.image)), _profiles(_strips(planes.image.transpose(1, 0, 2)))


def measure_blocking(planes: Planes) -> dict[str, float]:
    """Return the blocking."""
    if min(planes.height, planes.width) < 32:
        return {}
    return {"blocking": _blocking(*planes.once(_both_profiles))}


def measure_pixelation(planes: Planes) -> dict[str, float]:
    """Return the pixelation, where the picture is large enough to have some."""
    if min(planes.height, planes.width) < 32:
        return {}
    across, down = planes.once(_both_profiles)
    pixelation = _pixelation(across[0], down[0])
    return {} if pixelation is None else {"pixelation": pixelation}


def _blocking(across: tuple[Profile, Profile, Profile], down: tuple[Profile, Profile, Profile]) -> float:
    """Return by how much the steps across block borders exceed those beside them, in L*, for the grid of 8 pixels at
    any offset, or a grid of another period that both directions show. The result is the geometric mean of both
    directions, since a fence has a grid in one direction only."""
    grids = [(_folded(across[1], 8.0), _folded(down[1], 8.0))]
    for one, two in zip(across[1:], down[1:], strict=True):
        found = find_comb(one, BLOCK_PERIODS), find_comb(two, BLOCK_PERIODS)
        if found[0] is not None and found[1] is not None and abs(math.log(found[0].period / found[1].period)) < 0.02:
            grids.append((found[0], found[1]))
    return max(math.sqrt(max(0.0, a.on - max(a.off, a.rival)) * max(0.0, b.on - max(b.off, b.rival))) for a, b in grids)


def _pixelation(across: Profile, down: Profile) -> float | None:
    """Return the side of the squares of one colour that a picture is made of, in pixels; 1: none. Squares through which
    the scene still shows count for less."""
    one, two = find_comb(across, PIXEL_PERIODS), find_comb(down, PIXEL_PERIODS)
    if one is None or two is None:
        return None
    if abs(math.log(one.period / two.period)) > 0.1 or min(one.on, two.on) < 0.1:
        return 1.0
    clear = 1 - max(one.off / one.on, two.off / two.on)
    return 1 + (math.sqrt(one.period * two.period) - 1) * clear if clear > 0.5 else 1.0
