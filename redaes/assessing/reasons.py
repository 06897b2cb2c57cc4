"""Reasons held against the pictures: measuring them at their own resolution, checking statements, drawing further
reasonings and choosing the one that is best supported. None of it changes a verdict.
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
"""Largest area, in pixels, at which a picture is measured; what is larger is shrunk to it."""

MIN_SIDE = 32
"""Shortest side, in pixels, of a picture in which anything is measured."""

SAMPLE_TEMPERATURE = 0.7
"""At which further reasonings are drawn where the assessor's own answers are greedy [ours]."""

FALSE_WEIGHS = 2
"""A contradicted statement takes away as much as so many confirmed ones give [ours]."""

_SHRUNK_SHARE = 0.9
"""A picture above this share of the largest area may have been shrunk to it."""

Pixels = Callable[[LoadedImage], Image.Image | None]
"""Gives a picture at its own resolution; None: it is not to be had any more."""


class CheckedReasoning(NamedTuple):
    """A reasoning that is shown, with its statements checked."""

    comparison: Comparison
    claims: Claims | None
    """A is the first picture; None: nothing was measured."""


class Measuring:
    """What is measured of two pictures: once, when it is first wanted."""

    def __init__(self, first: LoadedImage, second: LoadedImage, pixels: Pixels) -> None:
        """
        Args:
            first: the picture that is A in the evidence.
            second: the other one.
            pixels: gives both at their own resolution.
        """
        self._pair = first, second
        self._pixels = pixels

    @cached_property
    def found(self) -> tuple[PairEvidence | None, list[str]]:
        """As of :func:`evidence_of`."""
        return evidence_of(*self._pair, self._pixels)


def from_file(picture: LoadedImage) -> Image.Image | None:
    """Return a picture at its own resolution, from the file that it was loaded from; None: it was shrunk, and its file
    is gone or another by now. Pictures in memory have none, nor have those of datasets, which are stored in tables.
    """
    path = picture.ref.path
    if path != IN_MEMORY and path.is_file():
        try:
            data = read_image_file(path)
            if content_id(data) == picture.ref.id:
                return whole(picture, data)
        except ImageError:  # it can no longer be read: as if it were gone
            pass
    width, height = picture.image.size
    return picture.image if width * height < _SHRUNK_SHARE * MAX_PIXELS else None


def whole(picture: LoadedImage, data: bytes) -> Image.Image:
    """Return a picture at its own resolution, up to :data:`MEASURED_PIXELS`; as it was loaded, where it was not shrunk.

    Args:
        picture: as it was loaded.
        data: its file.

    Raises:
        ImageError: a file that was good when it was loaded no longer decodes.
    """
    width, height = image_size(data, picture.ref.path)
    if width * height <= picture.image.width * picture.image.height:
        return picture.image
    return decode_image(data, picture.ref.path, max_pixels=MEASURED_PIXELS).image


def evidence_of(first: LoadedImage, second: LoadedImage, pixels: Pixels) -> tuple[PairEvidence | None, list[str]]:
    """Return what can be measured of two pictures, and what is to be said about how it was.

    Returns:
        The evidence, None where a picture is too small; and notes.
    """
    arrays, notes = [], []
    for picture in (first, second):
        image = pixels(picture)
        if image is None:
            image = picture.image
            width, height = image.size
            notes.append(
                f"{picture.ref.path.name}: measured at {width} x {height} pixels, because its file is no longer "
                "to be had"
            )
        if min(image.size) < MIN_SIDE:
            return None, [f"{picture.ref.path.name}: too small to be measured ({image.width} x {image.height} pixels)"]
        arrays.append(np.asarray(image.convert("RGB"), dtype=np.uint8))
    from redaes.evidence.pair import measure_pair

    return measure_pair(*arrays), notes


def draw(
    questions: Questions, asked: Sequence[Sequence[Asked]], n_samples: int, sampling: Sampling
) -> list[list[Comparison]]:
    """Return further reasonings, the orders of a pair by turns; the k-th round of both orders has the k-th seed after
    the sampling's own.

    Args:
        questions: to the model.
        asked: the requests of each pair, one for each order.
        n_samples: reasonings for each pair.
        sampling: sampling of the assessor; greedy ones are drawn at :data:`SAMPLE_TEMPERATURE`.

    Returns:
        For each pair, in the order in which they were drawn.
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
    """Return the reasoning to show; of equals the earlier one. Without evidence it is the first.

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
    """Return the statements of a reasoning against what was measured.

    Args:
        text: the reasoning.
        order: in which the pictures were shown, that its letters mean.
        evidence: evidence of the first picture and the second.

    Returns:
        With the first picture as A, whatever the order.
    """
    from redaes.evidence.checking import check
    from redaes.evidence.extraction import extract

    claims = extract(text)
    own = claims if order == "forward" else tuple(map(swapped, claims))
    return check(own, evidence, unrelated=evidence.registration is None)
