"""Measure focus: sharpness and its place, width of edges, motion, and halos."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.evidence.measurements import PLACES, Place
from redaes.evidence.picture.planes import WHOLE, FloatArray, Planes, blur, lightness, median, reduced
from redaes.evidence.picture.windows import LEAST_BLOCKS, SMOOTHEST, block_means, own_windows, windows

BAND = (1.0, 2.0)
"""Sigmas, in pixels, of two blurs; their difference is fine detail."""
TILE = 32
"""Side, in pixels, of the tiles that are compared for sharpness; they overlap, so that a shift changes nothing."""
STRIDE = 6
MIDDLE = 0.4
"""Width and height of the middle of the frame, where the subject tends to be, as shares of the frame's."""
SHARPEST = 10
"""Share of the tiles, in percent, that represent the sharpest part."""
DARK_NOISE = 3.0
"""L* that is added to the contrast of a tile, so that an empty tile has no detail."""
MOST_NOISE = 0.35
"""Noise above this share of the power of the sharpest tiles means that their detail may be all noise."""
BEFORE, AGAIN = 0.7, 1.5
"""Sigmas, in pixels, of the blur before edges are looked for and of the blur that is added to them."""
WIDEST = 1.8
"""Sigma of an edge, in pixels of the level, above which the next coarser level measures it better."""
LEVELS = 4
DISTINCT = 2.0
"""Smallest ratio of the power of the sharpest place to that of the softest at which both are named."""
MOTION_LEVELS = 2
"""Number of levels for motion: at coarser ones, sharp and soft edges belong to different parts of the picture."""
N_DIRECTIONS = 12
LEAST_EDGES = 150
"""Smallest number of edge pixels with which widths are measured."""
LEAST_IN_DIRECTION = 30
SHARP = 0.7
"""Sigma, in pixels, that is added to the widths over the directions, since smaller widths come from the pixel grid."""


@dataclass(frozen=True)
class Edges:
    """Edge pixels found at one level."""

    x: FloatArray
    """Positions as shares of the width."""
    y: FloatArray
    direction: FloatArray
    """Direction of the gradient, in [0, pi)."""
    sigma: FloatArray
    """Blur in pixels of the level, including that of ``BEFORE``."""
    level: int


def _all_edges(planes: Planes) -> list[Edges]:
    """Return the edges of each level that has some; empty if there are too few in total."""
    found = [edges for level in range(LEVELS) if (edges := _edges(planes, level)) is not None]
    return found if sum(len(edges.x) for edges in found) >= LEAST_EDGES else []


def _box(values: FloatArray) -> FloatArray:
    """Return means over a square of ``TILE`` pixels around every pixel."""
    means: FloatArray = cv2.blur(values, (TILE, TILE), borderType=cv2.BORDER_REFLECT_101)
    return means


def measure_sharpness(planes: Planes) -> tuple[dict[str, float], dict[str, Place]]:
    """Return the sharpness of the whole and of the middle, if there is enough detail to measure it, and the sharpest
    and softest places.

    It is the detail of the sharpest tiles divided by their contrast, in percent, so that it does not depend on exposure
    or contrast.
    """
    values: dict[str, float] = {}
    places: dict[str, Place] = {}
    detail, contrast, xs, ys, quiet = [], [], [], [], []
    for window in planes.once(own_windows):
        if min(window.light.shape) < TILE:
            continue
        fine = blur(window.light, BAND[0])
        power = np.square(fine - blur(window.light, BAND[1]))
        tiles, mean, square = (
            np.ascontiguousarray(_box(values)[TILE // 2 :: STRIDE, TILE // 2 :: STRIDE])
            for values in (power, fine, np.square(fine))
        )
        rows, columns = np.mgrid[0 : tiles.shape[0], 0 : tiles.shape[1]]
        detail.append(tiles.ravel())
        contrast.append(np.maximum(square - np.square(mean), 0).ravel())
        ys.append((window.top + TILE // 2 + rows.ravel() * STRIDE) / planes.height)
        xs.append((window.left + TILE // 2 + columns.ravel() * STRIDE) / planes.width)
        quiet.append(block_means(power)[window.open_blocks])
    if not detail:
        return values, places
    power, variance, x, y = (np.concatenate(part).astype(np.float64) for part in (detail, contrast, xs, ys))
    smooth = np.concatenate(quiet)
    noise = float(np.percentile(smooth, SMOOTHEST / 2)) if len(smooth) >= LEAST_BLOCKS else 0.0
    top = np.argsort(-power, kind="stable")[: max(3, len(power) * SHARPEST // 100)]
    if noise > MOST_NOISE * power[top].mean() or variance[top].mean() < DARK_NOISE**2:
        return values, places
    power = np.maximum(power - noise, 0)
    floor = DARK_NOISE**2
    values["sharpness"] = 100 * math.sqrt(power[top].sum() / (variance[top] + floor).sum())
    middle = np.nonzero((np.abs(x - 0.5) < MIDDLE / 2) & (np.abs(y - 0.5) < MIDDLE / 2))[0]
    best = middle[np.argsort(-power[middle], kind="stable")[: max(3, len(middle) // 4)]]
    detailed = len(best) >= 3 and noise <= MOST_NOISE * (power[best].mean() + noise)
    if detailed and variance[best].mean() >= floor:
        values["centre_sharpness"] = 100 * math.sqrt(power[best].sum() / (variance[best] + floor).sum())
    cell = np.minimum((3 * y).astype(int), 2) * 3 + np.minimum((3 * x).astype(int), 2)
    shares = {}
    for index in range(9):
        inside = np.nonzero((cell == index) & (variance > 2 * floor))[0]
        if len(inside) >= 4:
            best = inside[np.argsort(-power[inside], kind="stable")[: max(2, len(inside) // 4)]]
            shares[index] = power[best].sum() / (variance[best] + floor).sum()
    if len(shares) > 1:
        sharpest, softest = max(shares, key=lambda i: shares[i]), min(shares, key=lambda i: shares[i])
        if shares[sharpest] > DISTINCT * shares[softest]:
            places["sharpness"] = PLACES[sharpest]
            places["softest"] = PLACES[softest]
    return values, places


def _edges(planes: Planes, level: int) -> Edges | None:
    """Return the edge pixels of one level with their blur, from the ratio of the gradients before and after a known
    blur: Zhuo and Sim 2011, Defocus map estimation from a single image."""
    image = planes.halved(level)
    if min(image.shape[:2]) < 24:
        return None
    height, width = image.shape[:2]
    parts: list[tuple[FloatArray, ...]] = []
    for window in windows(image) if level else planes.once(own_windows):
        if min(window.light.shape) < 16:
            continue
        before = blur(window.light, BEFORE)
        again = blur(before, AGAIN)
        gx, gy = cv2.Sobel(before, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(before, cv2.CV_32F, 0, 1) / 8
        deviations = window.grain
        noise = float(np.percentile(deviations, SMOOTHEST)) if len(deviations) else 0.0
        high = 1.2 + 1.8 * noise
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
        # Along the direction of the first gradient, as the two directions differ at a corner.
        second = np.abs(ax[rows, columns] * x + ay[rows, columns] * y) / np.maximum(first, 1e-6)
        ratio = np.clip(first / np.maximum(second, 1e-6), 1.01, 10)
        sigma = AGAIN / np.sqrt(np.square(ratio) - 1)
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


class _Grouped:
    """Sigmas of the edges of one level by group, such as the part of the frame or the direction."""

    def __init__(self, edges: Edges, group: NDArray[np.int64], n_groups: int) -> None:
        self.level = edges.level
        self._sigma = edges.sigma[np.argsort(group.astype(np.uint8), kind="stable")]  # by radix, as these are bytes
        self._ends = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=n_groups))]).tolist()

    def sigmas(self, group: int) -> FloatArray:
        """Return the (n,) sigmas of one group."""
        return self._sigma[self._ends[group] : self._ends[group + 1]]


def _at_best_level(found: list[_Grouped], group: int, least: int) -> tuple[float, int] | None:
    """Return the median sigma of a group in pixels of the picture, and the number of edges, at the finest level that
    can measure it.
    """
    answer = None
    for level in found:
        sigmas = level.sigmas(group)
        if len(sigmas) < least:
            continue
        sigma = float(median(sigmas))
        answer = sigma * 2**level.level, len(sigmas) * 2**level.level
        if sigma <= WIDEST:
            break
    return answer


def measure_widths(planes: Planes) -> dict[str, float]:
    """Return the edge width, where there are enough edges: their full width at half maximum, in thousandths of the
    diagonal, the median over a grid of cells weighted by their edges."""
    n_cells = 6
    sigmas, weights = [], []
    cells = [
        _Grouped(
            edges,
            np.minimum((edges.y * n_cells).astype(int), n_cells - 1) * n_cells
            + np.minimum((edges.x * n_cells).astype(int), n_cells - 1),
            n_cells * n_cells,
        )
        for edges in planes.once(_all_edges)
    ]
    for cell in range(n_cells * n_cells):
        measured = _at_best_level(cells, cell, LEAST_IN_DIRECTION)
        if measured is not None:
            sigmas.append(measured[0])
            weights.append(measured[1])
    if not sigmas:
        return {}
    order = np.argsort(sigmas, kind="stable")
    running = np.cumsum(np.array(weights)[order])
    middle = np.array(sigmas)[order][int(np.searchsorted(running, running[-1] / 2))]
    return {"edge_width": 2.355 * float(middle) / planes.diagonal * 1000}


def measure_motion(planes: Planes) -> dict[str, float]:
    """Return the motion; empty without edges of enough directions.

    How much wider edges are across one direction than across the other: (widest - narrowest) / (widest + narrowest)
    of ``exp(a + b cos 2 phi + c sin 2 phi)``, fitted to the widths over the directions of the gradient. A texture of
    one direction has edges in that direction only, and gives nothing.
    """
    angles, sigmas, weights = [], [], []
    bins = [
        _Grouped(
            edges,
            np.minimum((edges.direction / math.pi * N_DIRECTIONS).astype(int), N_DIRECTIONS - 1),
            N_DIRECTIONS,
        )
        for edges in planes.once(_all_edges)[:MOTION_LEVELS]
    ]
    for index in range(N_DIRECTIONS):
        measured = _at_best_level(bins, index, LEAST_IN_DIRECTION)
        if measured is not None:
            angles.append((index + 0.5) * math.pi / N_DIRECTIONS)
            sigmas.append(measured[0])
            weights.append(math.sqrt(measured[1]))
    if len(angles) < N_DIRECTIONS * 2 // 3:
        return {}
    phi, weight = np.array(angles), np.sqrt(np.array(weights))
    design = np.stack([np.ones_like(phi), np.cos(2 * phi), np.sin(2 * phi)], axis=1)
    _, b, c = np.linalg.lstsq(design * weight[:, None], np.log(np.hypot(sigmas, SHARP)) * weight, rcond=None)[0]
    return {"motion": math.tanh(math.hypot(b, c))}


HALO_SIDE = WHOLE
"""Longest side at which halos are looked for."""
BESIDE, BEYOND = (2, 4), (8, 10)
"""Ranges of distance from an edge, in pixels: where a halo is, and where it has ended."""
LEAST_STEP = 10.0
"""Smallest difference in L* between the two sides of an edge that is measured."""
MOST_PROFILES = 6000
LEAST_PROFILES = 150


def measure_halos(planes: Planes) -> dict[str, float]:
    """Return the halos; empty without enough edges.

    How much brighter the bright side of edges is beside them than beyond, and how much darker the dark side, in
    percent of the step: the median over the edges, mean of the sides. Edges of thin things have some of it
    too; edges that are wide have none.
    """
    light = planes.light
    if light is None:
        light = lightness(np.ascontiguousarray(reduced(planes.view, HALO_SIDE)))
    margin = BEYOND[1] + 2
    if min(light.shape) < 2 * margin + 8:
        return {}
    smooth = blur(light, 0.8)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    edge = cv2.Canny((gx * 32).astype(np.int16), (gy * 32).astype(np.int16), 48, 96, L2gradient=True)
    edge[:margin], edge[-margin:], edge[:, :margin], edge[:, -margin:] = 0, 0, 0, 0
    rows, columns = np.nonzero(edge)
    if len(rows) < LEAST_PROFILES:
        return {}
    if len(rows) > MOST_PROFILES:
        chosen = np.linspace(0, len(rows) - 1, MOST_PROFILES).astype(int)
        rows, columns = rows[chosen], columns[chosen]
    x, y = gx[rows, columns], gy[rows, columns]
    length = np.maximum(np.hypot(x, y), 1e-6)

    def level(distances: tuple[int, int], side: int) -> FloatArray:
        """Return (n,) mean lightness between two distances on the bright (1) or dark (-1) side."""
        offsets = side * np.arange(distances[0], distances[1] + 1, dtype=np.float32)
        at_x = columns[:, None].astype(np.float32) + offsets * (x / length)[:, None]
        at_y = rows[:, None].astype(np.float32) + offsets * (y / length)[:, None]
        mean: FloatArray = cv2.remap(smooth, at_x, at_y, cv2.INTER_LINEAR).mean(axis=1)
        return mean

    bright, dark = level(BESIDE, 1), level(BESIDE, -1)
    step = bright - dark
    over = (bright - level(BEYOND, 1) + level(BEYOND, -1) - dark) / 2
    kept = step > LEAST_STEP
    if kept.sum() < LEAST_PROFILES:
        return {}
    return {"halos": max(0.0, 100 * float(median(over[kept] / step[kept])))}
