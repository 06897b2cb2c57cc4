"""Assessors that compute a number from each picture: simple baselines, and metrics of pyiqa."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError, MissingDependency
from redaes.evaluation.assessors.base import Arity, Question, QuestionAnswer, QuestionPicture
from redaes.models.pyiqa_metric import PyiqaMetric


class PyiqaScores:
    """A metric of the ``pyiqa`` package, whose licence forbids commercial use, so that no extra installs it."""

    arity: Arity = "one"
    needs_pixels = True

    def __init__(self, metric: str, device: str = "cpu") -> None:
        """
        Args:
            metric: pyiqa's name of a metric that needs no reference, such as ``nima``.
            device: torch's name of the device.

        Raises:
            MissingDependency: pyiqa is absent.
        """
        self._metric = PyiqaMetric(metric, device)
        self._sign = -1.0 if self._metric.lower_better else 1.0

    @property
    def identity(self) -> Mapping[str, Any]:
        """The metric and the package's version."""
        return {"model": self._metric.name, "revision": self._metric.revision}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return the metric's numbers, negated if smaller is better; ``not_finite`` is a failure."""
        return [
            _finite_answer(question.id, self._sign * self._metric(question.pictures[0].loaded.image))
            for question in questions
        ]


class Baseline:
    """A number computed from each picture, as a baseline that every model has to beat."""

    arity: Arity = "one"

    def __init__(
        self,
        name: str,
        measure: Callable[[QuestionPicture], float],
        *,
        needs_pixels: bool,
        better: Literal["larger", "smaller"] = "larger",
        revision: str = "1",
    ) -> None:
        """
        Args:
            name: name in reports.
            measure: function from a picture to its number.
            needs_pixels: whether the function needs the pixels.
            better: whether larger or smaller numbers are better.
            revision: revision of the measure.
        """
        self._name, self._measure, self._revision = name, measure, revision
        self._sign = 1.0 if better == "larger" else -1.0
        self.needs_pixels = needs_pixels

    @property
    def identity(self) -> Mapping[str, Any]:
        """The baseline's name."""
        small = "" if self._sign > 0 else ", smaller is better"
        return {"model": f"baseline {self._name}{small}", "revision": self._revision}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return the numbers, negated if smaller is better; ``not_finite`` is a failure."""
        return [_finite_answer(question.id, self._sign * self._measure(question.pictures[0])) for question in questions]


def _finite_answer(name: str, value: float) -> QuestionAnswer:
    if not math.isfinite(value):
        return QuestionAnswer(id=name, failure="not_finite")
    return QuestionAnswer(id=name, value=value + 0.0)  # never -0.0, which would be written differently


def _pixels(shown: QuestionPicture) -> NDArray[np.float64]:
    return np.asarray(shown.loaded.image, dtype=np.float64)


def _luma(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    luma: NDArray[np.float64] = pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    return luma


def _colourfulness(shown: QuestionPicture) -> float:
    """Return Hasler and Süsstrunk (2003): spread and mean of the opponent colours, in 8-bit units."""
    red, green, blue = np.moveaxis(_pixels(shown), -1, 0)
    first, second = red - green, 0.5 * (red + green) - blue
    spread, mean = np.hypot(first.std(), second.std()), np.hypot(first.mean(), second.mean())
    return float(spread + 0.3 * mean)


def _sharpness(shown: QuestionPicture) -> float:
    """Return the variance of the Laplacian (4-neighbour) of the luma; 0 for pictures below 3 x 3 pixels."""
    luma = _luma(_pixels(shown))
    if min(luma.shape) < 3:
        return 0.0
    laplacian = (
        luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4.0 * luma[1:-1, 1:-1]
    )  # fmt: skip
    return float(laplacian.var())


MID_GREY = 118.0
"""8-bit sRGB value of a surface that reflects 18 % of the light, which meters expose for."""


def _random(shown: QuestionPicture) -> float:
    """Return a number in [0, 1) derived from the picture's name, so that a repeated run gives the same bytes."""
    return int.from_bytes(hashlib.sha256(shown.id.encode()).digest()[:6], "big") / 2.0**48


BASELINES: dict[str, tuple[Callable[[QuestionPicture], float], bool]] = {
    "constant": (lambda shown: 0.0, False),
    "random": (_random, False),
    "file_size": (lambda shown: float(shown.path.stat().st_size), False),
    "resolution": (lambda shown: float(shown.loaded.image.width * shown.loaded.image.height), True),
    "luma": (lambda shown: float(_luma(_pixels(shown)).mean()), True),
    "exposure": (lambda shown: -abs(float(_luma(_pixels(shown)).mean()) - MID_GREY), True),
    "contrast": (lambda shown: float(_luma(_pixels(shown)).std()), True),
    "colourfulness": (_colourfulness, True),
    "sharpness": (_sharpness, True),
}
"""For each baseline its measure, and whether that needs the pixels. ``resolution`` counts the pixels that an assessor
is shown, at most ``max_pixels``.
"""

Options = Mapping[str, str]


def make_baseline(name: str, better: str = "larger") -> Baseline:
    """Return the baseline of that name.

    Args:
        name: one of :data:`BASELINES`, or ``brisque``.
        better: ``larger`` or ``smaller``.

    Raises:
        InputError: there is no such baseline or direction.
        MissingDependency: ``brisque`` is absent.
    """
    known = (*BASELINES, "brisque")
    if name not in known:
        raise InputError(f"baseline {name!r} is unknown; give one of {', '.join(known)}")
    direction: Literal["larger", "smaller"] = "larger" if better == "larger" else "smaller"
    if direction != better:
        raise InputError(f"option better is {better!r}; give larger or smaller")
    if name == "brisque":
        return _brisque(direction)
    measure, needs_pixels = BASELINES[name]
    return Baseline(name, measure, needs_pixels=needs_pixels, better=direction)


def _brisque(better: Literal["larger", "smaller"]) -> Baseline:
    """Return BRISQUE (Mittal, Moorthy and Bovik 2012) by the package of that name (Apache-2.0, with its model inside).

    BRISQUE's own scale has smaller values for better pictures; they are negated, so that larger is better here.
    """
    try:
        from brisque import BRISQUE
    except ImportError as error:
        raise MissingDependency("'brisque[opencv-python-headless]'", None) from error
    metric = BRISQUE(url=False)

    def measure(shown: QuestionPicture) -> float:
        # A flat picture has no statistics: the package divides by zero, and the answer is a failure.
        with np.errstate(divide="ignore", invalid="ignore"):
            return -float(metric.score(np.asarray(shown.loaded.image)))

    return Baseline("brisque", measure, needs_pixels=True, better=better, revision=version("brisque"))
