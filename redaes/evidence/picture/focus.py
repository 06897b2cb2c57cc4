"""Focus: sharpness and where it is, width of edges, motion, and halos."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.picture.noise import BLOCK, LEAST_BLOCKS, SMOOTHEST, block_means, grain
from redaes.evidence.picture.planes import FloatArray, Planes, blur, lightness, place_at, reduced, windows
from redaes.evidence.records import Place

BAND = (0.7, 1.4)
"""Sigmas, in pixels, between whose blurs fine detail lies."""
TILE = 64
"""Side of the tiles that are compared for sharpness."""
BEFORE, AGAIN = 1.0, 1.5
"""Sigmas, in pixels, of the blur before edges are looked for and of the blur that is added to them."""
WIDEST = 1.8
"""Sigma of an edge, in pixels of the level, above which the next coarser level measures it better."""
LEVELS = 4
N_DIRECTIONS = 12
LEAST_EDGES = 150
"""Edge pixels without which widths are not measured."""
LEAST_IN_DIRECTION = 30


def _band_gain() -> float:
    """Standard deviation of white noise of 1 in the band."""
    size = 21
    point = np.zeros((size, size), dtype=np.float32)
    point[size // 2, size // 2] = 1
    return float(np.sqrt(np.square(blur(point, BAND[0]) - blur(point, BAND[1])).sum()))


_GAIN = _band_gain()


@dataclass(frozen=True)
class Edges:
    """Edge pixels found at one level."""

    x: FloatArray
    """Share of the width."""
    y: FloatArray
    direction: FloatArray
    """Of the gradient, in [0, pi)."""
    sigma: FloatArray
    """Blur, in pixels of the level."""
    level: int


def measure_focus(planes: Planes) -> tuple[dict[str, float], dict[str, Place]]:
    """Sharpness, edge width, motion and halos, each where there is enough to measure it in."""
    values: dict[str, float] = {}
    places: dict[str, Place] = {}
    _sharpness(planes, values, places)
    found = [edges for level in range(LEVELS) if (edges := _edges(planes, level)) is not None]
    if found and sum(len(edges.x) for edges in found) >= LEAST_EDGES:
        _widths(planes, found, values)
        motion = _motion(found)
        if motion is not None:
            values["motion"] = motion
    halos = _halos(planes)
    if halos is not None:
        values["halos"] = halos
    return values, places


def _sharpness(planes: Planes, values: dict[str, float], places: dict[str, Place]) -> None:
    """Adds the root mean square of the band in the sharpest tiles, less what noise adds to it."""
    powers, xs, ys, noise = [], [], [], []
    for window in windows(planes.image):
        light = window.light
        if min(light.shape) < BLOCK:
            continue
        band = blur(light, BAND[0]) - blur(light, BAND[1])
        tile = min(TILE, *light.shape)
        power = block_means(np.square(band), tile)
        rows, columns = np.mgrid[0 : power.shape[0], 0 : power.shape[1]]
        powers.append(power.ravel())
        ys.append((window.top + (rows.ravel() + 0.5) * tile) / planes.height)
        xs.append((window.left + (columns.ravel() + 0.5) * tile) / planes.width)
        noise.append(grain(light))
    if not powers:
        return
    power, x, y = np.concatenate(powers), np.concatenate(xs), np.concatenate(ys)
    deviations = np.concatenate(noise)
    floor = float(np.percentile(deviations, SMOOTHEST)) * _GAIN if len(deviations) >= LEAST_BLOCKS else 0.0
    detail = np.sqrt(np.maximum(power - floor**2, 0))
    values["sharpness"] = float(np.percentile(detail, 95))
    if values["sharpness"] > 0.3:
        order = np.argsort(detail, kind="stable")
        n = max(1, len(order) // 20)
        sharpest, softest = order[-n:], order[:n]
        places["sharpness"] = place_at(float(np.median(x[sharpest])), float(np.median(y[sharpest])))
        places["softest"] = place_at(float(np.median(x[softest])), float(np.median(y[softest])))


def _edges(planes: Planes, level: int) -> Edges | None:
    """Edge pixels of one level with their blur, from the ratio of the gradients before and after a known blur: Zhuo
    and Sim 2011, Defocus map estimation from a single image."""
    image = planes.halved(level)
    if min(image.shape[:2]) < 24:
        return None
    height, width = image.shape[:2]
    parts: list[tuple[FloatArray, ...]] = []
    for window in windows(image):
        if min(window.light.shape) < 16:
            continue
        before = blur(window.light, BEFORE)
        again = blur(before, AGAIN)
        gx, gy = cv2.Sobel(before, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(before, cv2.CV_32F, 0, 1) / 8
        deviations = grain(window.light)
        noise = float(np.percentile(deviations, SMOOTHEST)) if len(deviations) else 0.0
        high = 1.5 + 0.8 * noise
        scale = 32
        edge = cv2.Canny(
            np.clip(np.rint(gx * scale), -32767, 32767).astype(np.int16),
            np.clip(np.rint(gy * scale), -32767, 32767).astype(np.int16),
            high * scale / 2,
            high * scale,
            L2gradient=True,
        )
        edge[:4], edge[-4:], edge[:, :4], edge[:, -4:] = 0, 0, 0, 0
        rows, columns = np.nonzero(edge)
        if not len(rows):
            continue
        ax, ay = cv2.Sobel(again, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(again, cv2.CV_32F, 0, 1) / 8
        x, y = gx[rows, columns], gy[rows, columns]
        first = np.hypot(x, y)
        # Along the gradient before: across a corner the two differ.
        second = np.abs(ax[rows, columns] * x + ay[rows, columns] * y) / np.maximum(first, 1e-6)
        ratio = np.clip(first / np.maximum(second, 1e-6), 1.01, 10)
        total = AGAIN**2 / (np.square(ratio) - 1)
        sigma = np.sqrt(np.maximum(total - BEFORE**2, 0.01))
        parts.append(
            (
                (columns + window.left).astype(np.float32) / np.float32(width),
                (rows + window.top).astype(np.float32) / np.float32(height),
                np.mod(np.arctan2(y, x), np.float32(math.pi)),
                sigma.astype(np.float32),
            )
        )
    if not parts:
        return None
    x, y, direction, sigma = (np.concatenate([part[i] for part in parts]) for i in range(4))
    return Edges(x, y, direction, sigma, level)


def _at_best_level(found: list[Edges], masks: list[NDArray[np.bool_]], least: int) -> tuple[float, int] | None:
    """Median sigma in pixels of the picture, and number of edges, at the finest level that can tell it."""
    answer = None
    for edges, mask in zip(found, masks, strict=True):
        n = int(mask.sum())
        if n < least:
            continue
        sigma = float(np.median(edges.sigma[mask]))
        answer = sigma * 2**edges.level, n * 2**edges.level
        if sigma <= WIDEST:
            break
    return answer


def _widths(planes: Planes, found: list[Edges], values: dict[str, float]) -> None:
    """Adds the full width at half maximum of the edges, in thousandths of the diagonal: the median over a grid of cells
    weighted by their edges."""
    n_cells = 6
    sigmas, weights = [], []
    cells = [
        np.minimum((edges.y * n_cells).astype(int), n_cells - 1) * n_cells
        + np.minimum((edges.x * n_cells).astype(int), n_cells - 1)
        for edges in found
    ]
    for cell in range(n_cells * n_cells):
        measured = _at_best_level(found, [index == cell for index in cells], LEAST_IN_DIRECTION)
        if measured is not None:
            sigmas.append(measured[0])
            weights.append(measured[1])
    if not sigmas:
        return
    order = np.argsort(sigmas, kind="stable")
    running = np.cumsum(np.array(weights)[order])
    middle = np.array(sigmas)[order][int(np.searchsorted(running, running[-1] / 2))]
    values["edge_width"] = 2.355 * float(middle) / planes.diagonal * 1000


def _motion(found: list[Edges]) -> float | None:
    """How much wider edges are across one direction than across the other: (widest - narrowest) / (widest + narrowest)
    of ``a + b cos 2 phi + c sin 2 phi``, fitted to the squared widths over the directions of the gradient. A texture of
    one direction has edges in that direction only, and gives nothing."""
    angles, squares, weights = [], [], []
    bins = [np.minimum((edges.direction / math.pi * N_DIRECTIONS).astype(int), N_DIRECTIONS - 1) for edges in found]
    for index in range(N_DIRECTIONS):
        measured = _at_best_level(found, [b == index for b in bins], LEAST_IN_DIRECTION)
        if measured is not None:
            angles.append((index + 0.5) * math.pi / N_DIRECTIONS)
            squares.append(measured[0] ** 2)
            weights.append(math.sqrt(measured[1]))
    if len(angles) < N_DIRECTIONS * 2 // 3:
        return None
    phi, square, weight = np.array(angles), np.array(squares), np.sqrt(np.array(weights))
    design = np.stack([np.ones_like(phi), np.cos(2 * phi), np.sin(2 * phi)], axis=1)
    a, b, c = np.linalg.lstsq(design * weight[:, None], square * weight, rcond=None)[0]
    swing = min(math.hypot(b, c), float(a))
    if a <= 0:
        return None
    wide, narrow = math.sqrt(a + swing), math.sqrt(max(a - swing, 0.0))
    return (wide - narrow) / (wide + narrow)


HALO_SIDE = 768
"""Longest side at which halos are looked for."""
REACH = 16
PLATEAU = 12
"""Distance from an edge, in pixels, from which its sides should be level."""
LEAST_STEP = 10.0
"""L* between the two sides of an edge that is looked at."""
MOST_PROFILES = 6000


def _halos(planes: Planes) -> float | None:
    """Overshoot beside edges, in percent of their step: of the median profile across edges between level sides, how far
    it rises above the bright and dips below the dark side."""
    light = np.ascontiguousarray(lightness(reduced(planes.view, HALO_SIDE)))
    if min(light.shape) < 2 * REACH + 8:
        return None
    smooth = blur(light, 0.8)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    edge = cv2.Canny((gx * 32).astype(np.int16), (gy * 32).astype(np.int16), 48, 96, L2gradient=True)
    margin = REACH + 1
    edge[:margin], edge[-margin:], edge[:, :margin], edge[:, -margin:] = 0, 0, 0, 0
    rows, columns = np.nonzero(edge)
    if len(rows) > MOST_PROFILES:
        chosen = np.linspace(0, len(rows) - 1, MOST_PROFILES).astype(int)
        rows, columns = rows[chosen], columns[chosen]
    x, y = gx[rows, columns], gy[rows, columns]
    length = np.maximum(np.hypot(x, y), 1e-6)
    offsets = np.arange(-REACH, REACH + 1, dtype=np.float32)
    at_x = columns[:, None].astype(np.float32) + offsets * (x / length)[:, None]
    at_y = rows[:, None].astype(np.float32) + offsets * (y / length)[:, None]
    if not len(rows):
        return None
    profiles = cv2.remap(smooth, at_x, at_y, cv2.INTER_LINEAR)
    dark, bright = profiles[:, : REACH - PLATEAU + 1], profiles[:, REACH + PLATEAU :]
    low, high = dark.mean(axis=1), bright.mean(axis=1)
    step = high - low
    level = np.maximum(np.ptp(dark, axis=1), np.ptp(bright, axis=1)) < 0.25 * step
    kept = level & (step > LEAST_STEP) & (low > 3) & (high < 97)
    if kept.sum() < 100:
        return None
    shape = np.median((profiles[kept] - low[kept, None]) / step[kept, None], axis=0)
    over = max(0.0, float(shape[REACH:].max()) - 1) + max(0.0, -float(shape[: REACH + 1].min()))
    return 100 * over / 2
