"""Check reasons against the pictures: measure these at their own resolution, check statements, sample further
reasonings and choose the best supported one. None of this changes a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image

from redaes.assessing.asking import Asked, Questions
from redaes.assessing.measured import swapped
from redaes.errors import ImageError
from redaes.evidence.claims import Claims
from redaes.evidence.measurements import PairEvidence
from redaes.images import IN_MEMORY, MAX_PIXELS, LoadedImage, content_id, decode_image, image_size, read_image_file
from redaes.types import Comparison, Order, Sampling

MEASURED_PIXELS = 50_000_000
"""Largest area, in pixels, at which a picture is measured; larger pictures are shrunk to it."""

MIN_SIDE = 32
"""Shortest side, in pixels, of a picture in which anything is measured."""

SAMPLE_TEMPERATURE = 0.7
"""Temperature of further reasonings if the assessor's own answers are greedy [ours]."""

FALSE_WEIGHS = 2
"""Number of confirmed statements that one contradicted statement outweighs [ours]."""

_SHRUNK_SHARE = 0.9
"""A picture above this share of the largest area may have been shrunk to it."""

Pixels = Callable[[LoadedImage], Image.Image | None]
"""A function that returns a picture at its own resolution; None: it is not available any more."""


class CheckedReasoning(NamedTuple):
    """A shown reasoning with its checked statements."""

    comparison: Comparison
    claims: Claims | None
    """The checked statements, in which A is the first picture; None: nothing was measured."""


class Measuring:
    """Measurements of two pictures, made once, when they are first needed."""

    def __init__(self, first: LoadedImage, second: LoadedImage, pixels: Pixels) -> None:
        """
        Args:
            first: the picture that is A in the evidence.
            second: the other one.
            pixels: function that returns a picture at its own resolution.
        """
        self._pair = first, second
        self._pixels = pixels

    @cached_property
    def found(self) -> tuple[PairEvidence | None, list[str]]:
        """Return the measurements and notes of :func:`evidence_of`."""
        return evidence_of(*self._pair, self._pixels)


def from_file(picture: LoadedImage) -> Image.Image | None:
    """Return a picture at its own resolution, from its file; None: it was shrunk, and its file is gone or was changed.
    Pictures in memory and in datasets have no file.
    """
    path = picture.ref.path
    if path != IN_MEMORY and path.is_file():
        try:
            data = read_image_file(path)
            if content_id(data) == picture.ref.id:
                return whole(picture, data)
        except ImageError:  # an unreadable file counts as gone
            pass
    width, height = picture.image.size
    return picture.image if width * height < _SHRUNK_SHARE * MAX_PIXELS else None


def whole(picture: LoadedImage, data: bytes) -> Image.Image:
    """Return a picture at its own resolution, up to :data:`MEASURED_PIXELS`; if it was not shrunk, the loaded picture.

    Args:
        picture: the loaded picture.
        data: contents of its file.

    Raises:
        ImageError: a file that was good when it was loaded no longer decodes.
    """
    width, height = image_size(data, picture.ref.path)
    if width * height <= picture.image.width * picture.image.height:
        return picture.image
    return decode_image(data, picture.ref.path, max_pixels=MEASURED_PIXELS).image


def evidence_of(first: LoadedImage, second: LoadedImage, pixels: Pixels) -> tuple[PairEvidence | None, list[str]]:
    """Measure two pictures, and return notes on how they were measured.

    Returns:
        The measurements, or None if a picture is too small; and notes.
    """
    arrays, notes = [], []
    for picture in (first, second):
        image = pixels(picture)
        if image is None:
            image = picture.image
            width, height = image.size
            notes.append(
                f"{picture.ref.path.name}: measured at {width} x {height} pixels, because its file is no longer "
                "available"
            )
        if min(image.size) < MIN_SIDE:
            return None, [f"{picture.ref.path.name}: too small to be measured ({image.width} x {image.height} pixels)"]
        arrays.append(np.asarray(image.convert("RGB"), dtype=np.uint8))
    from redaes.evidence.pair import measure_pair

    return measure_pair(*arrays), notes


def draw(
    questions: Questions, asked: Sequence[Sequence[Asked]], n_samples: int, sampling: Sampling
) -> list[list[Comparison]]:
    """Sample further reasonings in alternating orders; the k-th round of both orders has the k-th seed after the
    sampling's own.

    Args:
        questions: asks the model.
        asked: the requests of each pair, one for each order.
        n_samples: number of reasonings for each pair.
        sampling: sampling of the assessor; if it is greedy, :data:`SAMPLE_TEMPERATURE` is used.

    Returns:
        For each pair the reasonings, in the order in which they were sampled.
    """
    found: list[list[Comparison]] = [[] for _ in asked]
    rounds = max((-(-n_samples // len(requests)) for requests in asked), default=0)
    for number in range(rounds):
        one = sampling.model_copy(
            update={"temperature": sampling.temperature or SAMPLE_TEMPERATURE, "seed": sampling.seed + 1 + number}
        )
        places: list[int] = []
        batch: list[Asked] = []
        for place, requests in enumerate(asked):
            left = max(0, n_samples - number * len(requests))
            batch += requests[:left]
            places += [place] * len(requests[:left])
        drawn = [(order, replace(request, sampling=one)) for order, request in batch]
        for place, comparison in zip(places, questions.written(drawn, "reasoned"), strict=True):
            found[place].append(comparison)
    return found


def best_supported(candidates: Sequence[Comparison], evidence: PairEvidence | None) -> CheckedReasoning | None:
    """Return the best supported reasoning; of equal ones the earlier one. Without evidence it is the first.

    Args:
        candidates: comparisons whose stated verdict is that of the result.
        evidence: evidence of the two pictures in the order of the result.
    """
    shown = [CheckedReasoning(one, _checked(one, evidence)) for one in candidates]
    return max(shown, key=_support, default=None)


def _support(shown: CheckedReasoning) -> int:
    claims = shown.claims
    return 0 if claims is None else claims.count("supported") - FALSE_WEIGHS * claims.count("contradicted")


def _checked(comparison: Comparison, evidence: PairEvidence | None) -> Claims | None:
    if evidence is None or comparison.verdict is None or comparison.verdict.rationale is None:
        return None
    return checked(comparison.verdict.rationale.text, comparison.order, evidence)


def checked(text: str, order: Order, evidence: PairEvidence) -> Claims:
    """Return the statements of a reasoning, checked against the measurements.

    Args:
        text: the reasoning.
        order: the order in which the pictures were shown, which its letters refer to.
        evidence: evidence of the first picture and the second.

    Returns:
        The checked statements, with the first picture as A, whatever the order.
    """
    from redaes.evidence.checking import check
    from redaes.evidence.extraction import extract

    claims = extract(text)
    own = claims if order == "forward" else tuple(map(swapped, claims))
    return check(own, evidence, unrelated=evidence.registration is None)
