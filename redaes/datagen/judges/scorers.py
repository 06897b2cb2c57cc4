"""Judges that see one picture at a time, and redaes itself as a judge.

A scorer gives each picture a number on a scale of its own. The adapter turns it into points, linearly::

    points = 9 * (score - worst) / (best - worst)        delta = points(first) - points(second)

so the scorer's documented range, from ``worst`` to ``best``, covers the nine points of the project's scale;
a metric that is lower for better pictures has ``worst > best``. This is a choice of unit, NOT a calibration:
scorers that use their ranges differently still differ, and the consensus of several judges has to cope with that.
Such a judge knows no order, so its difference is used for both orders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from redaes.assessing.orders import about_first
from redaes.assessing.scores import SCORE_SAMPLING, expected_scores
from redaes.assessor import Assessor
from redaes.backends.base import Answer, read_of
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.next_token import expected_score
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.judges.base import Judgement, PicturePair
from redaes.datagen.judges.silence import Silence
from redaes.datagen.model_servers import ModelServers
from redaes.errors import BackendError, InputError
from redaes.images import LoadedImage
from redaes.models.pyiqa_metric import PyiqaMetric
from redaes.types import MAX_DELTA, ImageRef


class PictureScorer(Protocol):
    """Something that gives one picture a number."""

    name: str
    revision: str
    """What identifies its version, such as a hash."""
    worst: float
    """The score that corresponds to 0 points."""
    best: float
    """The score that corresponds to 9 points."""

    def score(self, pictures: Sequence[EncodedPicture]) -> list[float | Failure]:
        """Return for each picture, in order, its score or the reason why there is none.

        Raises:
            BackendError: the scorer cannot be asked at all.
        """
        ...


class ScorerJudge:
    """A pointwise scorer as a judge of pairs."""

    def __init__(self, scorer: PictureScorer) -> None:
        """
        Raises:
            InputError: the best and the worst score are equal.
        """
        extent = scorer.best - scorer.worst
        if not math.isfinite(extent) or extent == 0:
            raise InputError(f"{scorer.name} scores from {scorer.worst} to {scorer.best}; give two different numbers")
        self.scorer = scorer
        self.name = scorer.name
        self.revision = scorer.revision
        self.points_per_unit = MAX_DELTA / extent
        """Points that correspond to one unit of the score; negative if lower scores are better."""

    def judge(self, pairs: Sequence[PicturePair]) -> list[Judgement]:
        """Return one judgement for each pair, in order; each picture is scored once, however many pairs show it.

        Raises:
            BackendError: the scorer cannot be asked, or did not answer for every picture.
        """
        pictures = {picture.id: picture for pair in pairs for picture in (pair.first, pair.second)}
        scored = self.scorer.score(list(pictures.values()))
        if len(scored) != len(pictures):
            raise BackendError(f"{self.name} gives {len(scored)} scores for {len(pictures)} pictures")
        scores = dict(zip(pictures, (_checked(score) for score in scored), strict=True))
        return [self._judgement(pair, scores[pair.first.id], scores[pair.second.id]) for pair in pairs]

    def _judgement(self, pair: PicturePair, first: float | Failure, second: float | Failure) -> Judgement:
        deltas: tuple[float, ...] = ()
        if not isinstance(first, Failure) and not isinstance(second, Failure):
            # Limited, because a scorer may leave its documented range.
            deltas = (max(-MAX_DELTA, min(MAX_DELTA, self.points_per_unit * (first - second))),)
        return Judgement(
            pair=pair.id,
            judge=self.name,
            revision=self.revision,
            forward=deltas,
            swapped=deltas,
            probability=None,
            failures=tuple(score.reason for score in (first, second) if isinstance(score, Failure)),
        )


class VlmScorer:
    """A vision-language model that is read at its score token: the expected digit, as in Q-Align.

    The prompt is ``score/v1``, whose answer is ``Score: <digit>``. The score is the mean of the digits 0 to 9 weighted
    with their probabilities at that place, which is finer than the digit that is written. The server must report
    token probabilities.
    """

    worst = 0.0
    best = 9.0

    def __init__(self, endpoint: Endpoint | ModelServers) -> None:
        """
        Args:
            endpoint: the model; its ``revision`` becomes that of the scorer.
        """
        self.endpoint = endpoint
        self.name = f"{endpoint.model} (score)"
        self.revision = endpoint.revision
        self._silence = Silence(self.name, endpoint, _unusable, {"": "compare in pairs, or use another model"})

    def score(self, pictures: Sequence[EncodedPicture]) -> list[float | Failure]:
        """Return for each picture, in order, its score in [0, 9], or the reason why there is none. It must not be
        called from a running event loop.

        Reasons are those of :func:`redaes.assessing.scores.expected_scores`.

        Raises:
            BudgetExhausted: the budget did not suffice for all questions.
            EndpointError: the server is the reason why no question was answered, or the model has never given a usable
                answer.
        """
        return [score for _, score in expected_scores(self._silence, pictures, SCORE_SAMPLING)]


class AssessorJudge:
    """redaes itself as a judge, so that a trained model can help to label the next data."""

    def __init__(self, assessor: Assessor) -> None:
        """
        Args:
            assessor: an assessor in either mode; it gives one answer in each order.
        """
        self.assessor = assessor
        self.name = assessor.backend.model
        self.revision = assessor.backend.revision

    def judge(self, pairs: Sequence[PicturePair]) -> list[Judgement]:
        """Return one judgement for each pair, in order.

        Raises:
            BackendError: the model cannot be asked.
        """
        results = self.assessor.compare_many([(_loaded(pair.first), _loaded(pair.second)) for pair in pairs])
        judgements = []
        for pair, result in zip(pairs, results, strict=True):
            found = {
                comparison.order: verdict
                for comparison in result.comparisons
                if (verdict := about_first(comparison)) is not None
            }
            same = (0.0,) if pair.first.id == pair.second.id else ()  # equal pictures: the model was not asked
            judgements.append(
                Judgement(
                    pair=pair.id,
                    judge=self.name,
                    revision=self.revision,
                    forward=(found["forward"].delta,) if "forward" in found else same,
                    swapped=(found["swapped"].delta,) if "swapped" in found else same,
                    # With only one order, the assessor's probability contains its lean towards a position.
                    probability=result.probability if same or len(found) == 2 else None,
                    failures=tuple(each.failure for each in result.comparisons if each.failure is not None),
                    comparisons=result.comparisons,
                )
            )
        return judgements


class PyiqaScorer:
    """A metric of the ``pyiqa`` package (:mod:`redaes.models.pyiqa_metric`). Many metrics may NOT be used commercially,
    and labels made with them may inherit that."""

    non_commercial = True

    def __init__(self, metric: str, *, worst: float, best: float, device: str = "cpu") -> None:
        """
        Args:
            metric: pyiqa's name of a metric that needs no reference, such as ``"musiq"``.
            worst: the metric's documented score for the worst pictures; 0 for musiq.
            best: the one for the best pictures; 100 for musiq.
            device: torch's name of the device.

        Raises:
            MissingDependency: pyiqa is absent.
        """
        self._metric = PyiqaMetric(metric, device)
        self.name = self._metric.name
        self.revision = self._metric.revision
        self.worst = worst
        self.best = best

    def score(self, pictures: Sequence[EncodedPicture]) -> list[float | Failure]:
        """Return the metric's own score of each picture."""
        return [self._metric(picture.image) for picture in pictures]


def _unusable(answer: Answer) -> Failure | None:
    score = expected_score(read_of(answer))
    return score if isinstance(score, Failure) else None


def _checked(score: float | Failure) -> float | Failure:
    if isinstance(score, Failure) or math.isfinite(score):
        return score
    return Failure("not_finite", f"the score is {score}")


def _loaded(picture: EncodedPicture) -> LoadedImage:
    return LoadedImage(image=picture.image, ref=ImageRef(id=picture.id, path=Path("(in memory)")), notes=())
