"""Detect pictures that were taken to be used together: exposure brackets, focus stacks, panoramas and time-lapses.

None of them is the best, so they are not ranked. They are looked for among consecutive pictures of one camera; all
thresholds are ours. A burst that is mistaken for one of them gets no marks; nothing else is lost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from redaes.culling.detail import PictureDetail, shared_detail
from redaes.images import CaptureRecord

BRACKET_GAP_S, STACK_GAP_S, PANORAMA_GAP_S = 5.0, 5.0, 15.0
"""Largest time between two neighbours, in seconds."""

MIN_STEP_EV, MIN_SPREAD_EV = 0.3, 1.0
"""Smallest step of a bracket, and smallest difference between its darkest and its lightest picture, in stops."""

MIN_LAPSE, MIN_LAPSE_INTERVAL_S, MAX_LAPSE_ERROR_S = 12, 2.0, 0.75
"""Smallest number of pictures and smallest interval of a time-lapse, and largest deviation of a time from regularity:
cameras state whole seconds, and people who press the button by hand are less regular."""

MIN_LAPSE_LAYOUT, MIN_LAPSE_ALIKE = 0.6, 0.8
"""Smallest likeness of layout of neighbours in a time-lapse, and the share of neighbours that must reach it."""

MIN_PANORAMA, MIN_TURN = 3, 0.15
"""Smallest number of pictures of a panorama, and smallest shift from one to the next, in one direction, as a share of
the frame."""

MIN_STACK, MAX_STACK_SHIFT, MIN_STACK_RATIO, MIN_STACK_ORDERED = 4, 0.06, 1.6, 0.75
"""Smallest number of pictures of a focus stack; largest shift, as a share of the frame; smallest factor by which a part
becomes sharper; and smallest share of parts in which sharpness rises and falls once."""

_GRID = (8, 6)


@dataclass(frozen=True)
class TimedShot:
    """A picture with the time at which it was taken."""

    at: int
    """Its number, by which its detail is looked up."""
    seconds: float
    shot: CaptureRecord


@dataclass(frozen=True)
class MeantSeries:
    """Pictures that belong together on purpose."""

    members: tuple[int, ...]
    what: str
    """What they are, in words."""


def meant_series(
    shots: Sequence[TimedShot],
    layout: Callable[[int, int], float],
    detail: Callable[[int], PictureDetail | None],
) -> list[MeantSeries]:
    """Return the pictures of one camera that were taken to be used together.

    Args:
        shots: in order of time.
        layout: returns the likeness of the layouts of two pictures, by their numbers.
        detail: returns the detail of a picture, by its number; None: its file can no longer be read.
    """
    found: list[MeantSeries] = []
    left = list(shots)
    for find in (_brackets, partial(_lapses, layout), partial(_stacks_and_panoramas, detail)):
        rest: list[TimedShot] = []
        for run, what in find(left):
            if what is None:
                rest += run
            else:
                found.append(MeantSeries(tuple(one.at for one in run), what))
        left = rest
    return found


Runs = Iterator[tuple[list[TimedShot], str | None]]
"""Consecutive pictures, with what they are in words; None: nothing in particular."""


def _runs(shots: Sequence[TimedShot], gap_s: float) -> Iterator[list[TimedShot]]:
    """Split the pictures where more time passes between two of them."""
    run: list[TimedShot] = []
    for shot in shots:
        if run and shot.seconds - run[-1].seconds > gap_s:
            yield run
            run = []
        run.append(shot)
    if run:
        yield run


# --- Exposure ---------------------------------------------------------------------------------------------------------


def _brackets(shots: Sequence[TimedShot]) -> Runs:
    for run in _runs(shots, BRACKET_GAP_S):
        start = 0
        while start < len(run):
            n, what = _bracket(run[start:])
            yield run[start : start + n], what
            start += n


def _bracket(run: Sequence[TimedShot]) -> tuple[int, str | None]:
    """Return how many pictures at the beginning form one or several exposure brackets, and what they are in words."""
    for n in (9, 7, 5, 3):
        found = _stops(run[:n]) if len(run) >= n else None
        if found is None:
            continue
        stops, least = found
        ordered = sorted(stops)
        steps = [second - first for first, second in itertools.pairwise(ordered)]
        spread = ordered[-1] - ordered[0]
        even = max(steps) - min(steps) < 0.2 + 0.1 * max(steps)
        if not even or min(steps) < MIN_STEP_EV or spread < least:
            continue
        whole = n
        while whole + n <= len(run) and _repeats(stops, _stops(run[whole : whole + n])):
            whole += n
        return whole, f"an exposure bracket over {spread:.1f} stops"
    return 1, None


def _repeats(stops: Sequence[float], following: tuple[list[float], float] | None) -> bool:
    return following is not None and all(
        abs(stop - before) < 0.2 for stop, before in zip(following[0], stops, strict=True)
    )


def _stops(run: Sequence[TimedShot]) -> tuple[list[float], float] | None:
    """Return how much darker than others each is, in stops, and what must lie between them; None: not known.

    By the compensation where that differs, else by the settings: these follow the light, too, so that they have to
    differ by more unless the camera says that it bracketed.
    """
    biases = [one.shot.bias for one in run if one.shot.bias is not None]
    if len(biases) == len(run) and max(biases) - min(biases) >= MIN_STEP_EV:
        return [-bias for bias in biases], MIN_SPREAD_EV
    exposures = [one.shot.exposure for one in run if one.shot.exposure is not None]
    if len(exposures) < len(run):
        return None
    said = all(one.shot.is_bracketed for one in run)
    return exposures, MIN_SPREAD_EV if said else 2 * MIN_SPREAD_EV


# --- Time -------------------------------------------------------------------------------------------------------------


def _lapses(layout: Callable[[int, int], float], shots: Sequence[TimedShot]) -> Runs:
    run: list[TimedShot] = []
    for shot in shots:
        if len(run) >= 2:
            before = run[-1].seconds - run[-2].seconds
            if abs(shot.seconds - run[-1].seconds - before) > 2 * MAX_LAPSE_ERROR_S:
                yield run, _lapse(run, layout)
                run = []
        run.append(shot)
    if run:
        yield run, _lapse(run, layout)


def _lapse(run: Sequence[TimedShot], layout: Callable[[int, int], float]) -> str | None:
    if len(run) < MIN_LAPSE:
        return None
    seconds = np.array([one.seconds for one in run])
    places = np.arange(len(run))
    interval, start = np.polyfit(places, seconds, 1)
    if interval < MIN_LAPSE_INTERVAL_S or np.abs(seconds - start - interval * places).max() > MAX_LAPSE_ERROR_S:
        return None
    alike = [layout(one.at, other.at) >= MIN_LAPSE_LAYOUT for one, other in itertools.pairwise(run)]
    if np.mean(alike) < MIN_LAPSE_ALIKE:
        return None
    return f"a time-lapse: {len(run)} pictures, one every {interval:.0f} seconds"


# --- Place and focus --------------------------------------------------------------------------------------------------


def _stacks_and_panoramas(detail: Callable[[int], PictureDetail | None], shots: Sequence[TimedShot]) -> Runs:
    for run in _runs(shots, PANORAMA_GAP_S):
        if len(run) < MIN_PANORAMA:
            yield run, None
            continue
        moves = [_move(detail(one.at), detail(other.at)) for one, other in itertools.pairwise(run)]
        start = 0
        while start < len(run):
            n, what = _panorama(moves[start:])
            if not n:
                n, what = _stack(run[start:], moves[start:], detail)
            n = n or 1
            yield run[start : start + n], what
            start += n


def _move(first: PictureDetail | None, second: PictureDetail | None) -> tuple[float, float] | None:
    """Return the shares of the frame by which its middle moves from one picture to the next; None: they have little in
    common.
    """
    if first is None or second is None:
        return None
    mapping = shared_detail(first, second).mapping
    if mapping is None or not 0.8 < math.hypot(mapping[0, 0], mapping[0, 1]) < 1.25:
        return None
    middle = np.array(first.size) / 2
    x, y = (mapping[:, :2] @ middle + mapping[:, 2] - middle) / first.size
    return float(x), float(y)


def _panorama(moves: Sequence[tuple[float, float] | None]) -> tuple[int, str | None]:
    """Return how many pictures at the beginning move on from one to the next in one direction."""
    n = 1
    for move in moves:
        if move is None or math.hypot(*move) < MIN_TURN:
            break
        first = moves[0] or move
        along = (move[0] * first[0] + move[1] * first[1]) / (math.hypot(*move) * math.hypot(*first))
        if along < 0.9:
            break
        n += 1
    return (n, f"a panorama of {n} pictures") if n >= MIN_PANORAMA else (0, None)


def _stack(
    run: Sequence[TimedShot],
    moves: Sequence[tuple[float, float] | None],
    detail: Callable[[int], PictureDetail | None],
) -> tuple[int, str | None]:
    """Return how many pictures at the beginning are of one frame, focused nearer or farther each time."""
    n = 1
    for (before, after), move in zip(itertools.pairwise(run), moves, strict=True):
        if move is None or math.hypot(*move) > MAX_STACK_SHIFT or after.seconds - before.seconds > STACK_GAP_S:
            break
        n += 1
    if n < MIN_STACK:
        return 0, None
    distances = [one.shot.distance_m for one in run[:n]]
    known = [one for one in distances if one is not None]
    steps = [second - first for first, second in itertools.pairwise(known)]
    if len(known) == n and (min(steps) > 0 or max(steps) < 0):
        return n, f"a focus stack of {n} pictures"
    details = [one for one in (detail(shot.at) for shot in run[:n]) if one is not None]
    if len(details) == n and _focus_travels(np.stack([_sharpness(one) for one in details])):
        return n, f"a focus stack of {n} pictures"
    return 0, None


def _sharpness(detail: PictureDetail) -> NDArray[np.float64]:
    """Return the strength of fine structure in each part of the frame."""
    fine = detail.grey - cv2.GaussianBlur(detail.grey, (0, 0), 2.0)
    return np.asarray(np.sqrt(cv2.resize(fine * fine, _GRID, interpolation=cv2.INTER_AREA)).ravel(), dtype=np.float64)


def _focus_travels(sharpness: NDArray[np.float64]) -> bool:
    """Return whether each part becomes sharp once, and the parts not all at the same time.

    Args:
        sharpness: (pictures, parts).
    """
    textured = sharpness.max(axis=0) >= 0.25 * np.median(sharpness.max(axis=0)) + 0.3
    changing = sharpness[:, textured & (sharpness.max(axis=0) >= MIN_STACK_RATIO * sharpness.min(axis=0))]
    if changing.shape[1] < textured.sum() / 2 or changing.shape[1] < 8:
        return False
    peaks = changing.argmax(axis=0)
    share = np.bincount(peaks, minlength=len(changing)) / len(peaks)
    slack = 0.05 * changing.max(axis=0)
    rises = np.diff(changing, axis=0)
    places = np.arange(len(rises))[:, None]
    once = np.where(places < peaks, rises > -slack, rises < slack).all(axis=0)
    return bool((share > 0.04).sum() >= max(3, len(changing) // 2) and once.mean() >= MIN_STACK_ORDERED)
