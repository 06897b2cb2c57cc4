"""FGAesQ as an assessor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from redaes.evaluation.assessors.base import Arity, Question, QuestionAnswer

if TYPE_CHECKING:
    from redaes.models.fgaesq.scorer import FGAesQScorer


class FGAesQAssessor:
    """FGAesQ: each picture alone, or the pictures of a series together."""

    needs_pixels = True

    def __init__(self, scorer: FGAesQScorer, *, arity: Literal["one", "series"]) -> None:
        """
        Args:
            scorer: a trained model.
            arity: ``one``: each picture alone; ``series``: with tokens chosen for each pair of a series.
        """
        self.arity: Arity = arity
        self._scorer = scorer

    @property
    def max_pixels(self) -> int:
        """Largest area of pictures, the scorer's own, so that ranking and evaluation show the model the same pixels."""
        return self._scorer.settings.max_pixels

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's folder and revision."""
        return {"model": self._scorer.name, "revision": self._scorer.revision}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return scores in [1, 10]."""
        pictures = [[shown.loaded for shown in question.pictures] for question in questions]
        if self.arity == "one":
            scores = self._scorer.score([members[0] for members in pictures])
            return [QuestionAnswer(id=one.id, value=float(score)) for one, score in zip(questions, scores, strict=True)]
        return [
            QuestionAnswer(id=question.id, values=tuple(map(float, found.scores)))
            for question, found in zip(questions, self._scorer.series(pictures), strict=True)
        ]
