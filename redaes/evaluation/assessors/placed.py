"""A model that scores each picture against a reference set, by comparing it with the references that tell most about
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redaes.assessing.choosing import COMPARISONS, check_placing
from redaes.assessing.results import Unplaced
from redaes.assessor import Assessor, ReferenceSet, known_mode
from redaes.backends.base import Backend
from redaes.errors import InputError
from redaes.evaluation.assessors.base import Arity, Question, QuestionAnswer
from redaes.evaluation.assessors.local import asked_with
from redaes.lenient import known_reader


class PlacedScores:
    """A vision-language model: each picture is placed among references that the model ranked before."""

    arity: Arity = "one"
    needs_pixels = True

    def __init__(
        self,
        backend: Backend,
        mode: str = "fast",
        comparisons: int = COMPARISONS,
        enough: float = 0.0,
        *,
        reader: str | None = None,
        agreement: int = 0,
    ) -> None:
        """
        Args:
            backend: the model.
            mode: ``fast`` or ``reasoned``.
            comparisons: as for :meth:`~redaes.assessor.Assessor.score_many`.
            enough: as for :meth:`~redaes.assessor.Assessor.score_many`.
            reader: as for :class:`~redaes.assessor.Assessor`.
            agreement: as for :class:`~redaes.assessor.Assessor`.

        Raises:
            InputError: the mode or reader is unknown, or a number is out of range.
        """
        check_placing(comparisons, enough)
        read_by = None if reader is None else known_reader(reader)
        self.assessor = Assessor(backend, mode=known_mode(mode), reader=read_by, agreement=agreement)
        self.comparisons = comparisons
        self._enough = enough
        self._references: ReferenceSet | None = None

    def place_among(self, references: ReferenceSet) -> None:
        """Set the references.

        Raises:
            InputError: they were ranked by another model or prompt, or in another mode.
        """
        if references.mode != self.assessor.mode:
            raise InputError(
                f"reference set {references.name} was ranked in the {references.mode} mode, and pictures are to be "
                f"compared in the {self.assessor.mode} one; give --option mode={references.mode}, or rank the set "
                "again"
            )
        self.assessor.check_references(references)
        self._references = references

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision, prompt, mode, sampling, and how often each picture is compared. The reference set belongs to
        the run, like the benchmark.
        """
        return {**asked_with(self.assessor), "comparisons": self.comparisons, "enough": self._enough}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return strengths in logits, 0 the mean of the set; ``no_usable_answer``: none of the comparisons gave one."""
        if self._references is None:
            raise AssertionError("pictures are to be placed, and no references were given")
        pictures = [question.pictures[0].loaded for question in questions]
        found = self.assessor.score_many(pictures, self._references, comparisons=self.comparisons, enough=self._enough)
        return [
            QuestionAnswer(
                id=question.id,
                value=None if isinstance(one, Unplaced) else one.strength,
                failure=one.reason if isinstance(one, Unplaced) else None,
                detail=str(one) if isinstance(one, Unplaced) else None,
                calls=one.n_calls,
                unanswered=one.n_failed,
            )
            for question, one in zip(questions, found, strict=True)
        ]
