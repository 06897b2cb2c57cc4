"""Series refinement: select the pictures of a candidate that make a series which people could put in order.

Source: Yang et al., arXiv 2603.03907: measurements first (SSIM and key points, overlap of crops, agreement of text and
picture), then the plausibility check of a multimodal model; empty, indiscernible, defective or dissimilar pictures are
removed. Ours are all thresholds, ORB in place of SIFT, and the words for the reasons.

=================  ===================================================================================
``unreadable``     the file cannot be used
``empty``          a flat area
``indiscernible``  the eye cannot tell it from one that is kept
``dissimilar``     (bursts) it does not show the scene of the others
``overlap_high``   (crops) its window is nearly the same as that of a kept one
``overlap_low``    (crops) it has too little in common with a kept one
``too_many``       the series has as many pictures as it may have, or as were wanted
``too_few``        (a whole series) fewer than two pictures are left
=================  ===================================================================================

A :class:`PictureCheck` has its own words for its reasons.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.filters import MIN_CELL_CHANGE, MIN_MEAN_CHANGE, MIN_PLACES, colour_change, shared_places
from redaes.datagen.series.candidates import CandidatePicture, SeriesCandidate, Window
from redaes.errors import ImageError, InputError
from redaes.images import load_image
from redaes.ranking import Edge, components

MAX_PIXELS = 524_288
"""Largest area, in pixels, at which pictures are measured and crops are written."""

_SSIM_SIDE = 256
_WINDOW = 7  # of SSIM, in pixels


@dataclass(frozen=True)
class RefinementLimits:
    """Limits for the pictures of a series."""

    max_ssim: float = 0.98
    """SSIM from which two pictures have the same structure; if there is also no visible change of colour, they are
    indiscernible.
    """
    min_ssim: float = 0.6
    """SSIM from which two pictures of a burst show the same scene, whatever the key points say."""
    min_places: int = MIN_PLACES
    """Number of matching places that also shows the same scene (:func:`redaes.datagen.filters.shared_places`)."""
    min_iou: float = 0.35
    """Smallest overlap of two crops, as intersection over union."""
    max_iou: float = 0.85
    """Largest overlap of two crops, as intersection over union."""
    max_pictures: int = 10
    """Largest number of pictures of a series; the first ones are kept. The published series have 2 to 10."""
    min_spread: float = 3.0
    """Standard deviation of the grey values, of 255, below which a picture is empty."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_ssim <= self.max_ssim <= 1 or not 0 <= self.min_iou < self.max_iou <= 1:
            raise InputError(
                f"SSIM {self.min_ssim} to {self.max_ssim}, IoU {self.min_iou} to {self.max_iou}: both ascend in [0, 1]"
            )
        if self.max_pictures < 2 or self.min_places < 1 or self.min_spread < 0:
            raise InputError(
                f"max_pictures {self.max_pictures}: give at least 2; min_places {self.min_places}: at least 1; "
                f"min_spread {self.min_spread}: at least 0"
            )


class PictureCheck(Protocol):
    """A plug-in that checks single pictures, such as their agreement with the prompt, or their plausibility."""

    @property
    def name(self) -> str:
        """Name of the check, with what identifies its weights and limits; under another name, pictures are checked
        again.
        """
        ...

    def __call__(self, pictures: Sequence[Image.Image], prompts: Sequence[str | None]) -> list[str | None]:
        """Return for every picture why it may not be part of a series, in one word; None if it may.

        A picture that could not be checked has not passed, and the reason says so.

        Args:
            pictures: upright RGB pictures.
            prompts: the prompt of each picture; None if it is not known.
        """
        ...


@dataclass(frozen=True)
class Refined:
    """What is left of a candidate."""

    kept: tuple[int, ...]
    """Positions of the kept pictures, in order; empty if there is no series."""
    dropped: tuple[tuple[int, str], ...]
    """Position and reason of each dropped picture."""
    reason: str | None
    """Why the whole series was left out, or None. If it was, pictures that had passed are in neither list."""
    pictures: dict[int, Image.Image] = field(default_factory=dict, compare=False, repr=False)
    """The kept pictures, by position."""


def load_candidate(picture: CandidatePicture) -> Image.Image:
    """Return a candidate's picture, or the part of it that is meant.

    Raises:
        ImageError: the file cannot be used.
    """
    image = load_image(picture.path, max_pixels=MAX_PIXELS).image
    if picture.window is None:
        return image
    left, top, right, bottom = picture.window
    width, height = image.size
    # At least one pixel, whatever the window.
    x, y = min(int(left * width), width - 1), min(int(top * height), height - 1)
    return image.crop((x, y, max(x + 1, round(right * width)), max(y + 1, round(bottom * height))))


def refine(candidate: SeriesCandidate, limits: RefinementLimits, checks: Sequence[PictureCheck] = ()) -> Refined:
    """Measure the pictures of a candidate, then ask the checks about the remaining ones.

    Pictures are taken in order, and of two that are too similar the earlier one is kept.

    Args:
        candidate: a candidate of any category; crops are compared by their windows, bursts must show one scene.
        limits: the thresholds.
        checks: checks that are asked in order, each about the pictures that passed the ones before.

    Raises:
        BackendError: a check cannot work at all.
    """
    dropped: dict[int, str] = {}
    pictures: dict[int, Image.Image] = {}
    for place, picture in enumerate(candidate.pictures):
        try:
            image = load_candidate(picture)
        except ImageError:
            dropped[place] = "unreadable"
            continue
        if float(np.asarray(image.convert("L")).std()) < limits.min_spread:
            dropped[place] = "empty"
            continue
        pictures[place] = image
    bytes_of = {place: np.asarray(image) for place, image in pictures.items()}
    kept: list[int] = []
    for place in pictures:
        windows = candidate.pictures[place].window
        reasons = (
            _unlike(bytes_of[place], bytes_of[other], windows, candidate.pictures[other].window, limits)
            for other in kept
        )
        reason = next((found for found in reasons if found is not None), None)
        if reason is None:
            kept.append(place)
        else:
            dropped[place] = reason
    if candidate.category == "natural" and len(kept) > 1:
        scene = _one_scene([bytes_of[place] for place in kept], limits)
        dropped.update((place, "dissimilar") for number, place in enumerate(kept) if number not in scene)
        kept = [kept[number] for number in scene]
    for check in checks:
        if kept:
            found = check([pictures[place] for place in kept], [candidate.prompt] * len(kept))
            dropped.update((place, why) for place, why in zip(kept, found, strict=True) if why is not None)
            kept = [place for place, why in zip(kept, found, strict=True) if why is None]
    most = min(limits.max_pictures, candidate.wanted or limits.max_pictures)
    dropped.update((place, "too_many") for place in kept[most:])
    kept = kept[:most]
    if len(kept) < 2:
        return Refined((), tuple(sorted(dropped.items())), "too_few")
    return Refined(tuple(kept), tuple(sorted(dropped.items())), None, {place: pictures[place] for place in kept})


def _unlike(
    picture: NDArray[np.uint8],
    other: NDArray[np.uint8],
    window: Window | None,
    other_window: Window | None,
    limits: RefinementLimits,
) -> str | None:
    """Return why a picture may not be in a series together with one that is kept; None if it may."""
    if window is not None and other_window is not None:
        overlap = iou(window, other_window)
        if overlap > limits.max_iou:
            return "overlap_high"
        return "overlap_low" if overlap < limits.min_iou else None
    if ssim(picture, other) < limits.max_ssim:
        return None
    mean, cell = colour_change(picture, other)
    return "indiscernible" if mean < MIN_MEAN_CHANGE and cell < MIN_CELL_CHANGE else None


def _one_scene(pictures: Sequence[NDArray[np.uint8]], limits: RefinementLimits) -> list[int]:
    """Return the positions of the largest set of pictures that are linked by pairs of the same scene; of equally large
    sets, the first.
    """
    edges: list[Edge] = [
        (i, j, 0.0, 1.0)
        for i, j in itertools.combinations(range(len(pictures)), 2)
        if ssim(pictures[i], pictures[j]) >= limits.min_ssim
        or shared_places(pictures[i], pictures[j]) >= limits.min_places
    ]
    parts = components(len(pictures), edges)
    return sorted(parts[max(range(len(parts)), key=lambda number: (len(parts[number]), -min(parts[number])))])


def iou(first: Window, second: Window) -> float:
    """Return the intersection over union of two windows.

    >>> iou((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0)), iou((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0))
    (0.5, 0.0)
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the structural similarity (Wang et al. 2004) of two pictures in grey, with uniform windows of 7 px.

    Both are brought to a longest side of 256 px; a picture of another shape is stretched to the first one's.

    Args:
        first: (H, W, 3) sRGB bytes.
        second: (H', W', 3) sRGB bytes.

    Returns:
        A number in [-1, 1]; 1 for equal pictures.
    """
    height, width = first.shape[:2]
    scale = _SSIM_SIDE / max(height, width)
    size = (max(_WINDOW, round(width * scale)), max(_WINDOW, round(height * scale)))
    x, y = (
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).astype(np.float64)
        for image in (first, second)
    )

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        edge = _WINDOW // 2  # only windows that lie inside
        blurred: NDArray[np.float64] = cv2.blur(values, (_WINDOW, _WINDOW))
        return blurred[edge : values.shape[0] - edge, edge : values.shape[1] - edge]

    n = _WINDOW**2
    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y, covariance = (
        n / (n - 1) * (mean(a * b) - mean_a * mean_b)
        for a, b, mean_a, mean_b in ((x, x, mean_x, mean_x), (y, y, mean_y, mean_y), (x, y, mean_x, mean_y))
    )
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    found /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    value = float(found.mean())
    assert math.isfinite(value)  # the constants keep the denominator above zero
    return value
