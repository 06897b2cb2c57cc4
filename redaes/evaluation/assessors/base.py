"""What an assessor is asked, what it answers, and what it has to offer."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import FiniteFloat

from redaes.evidence.measurements import VERSION as EVIDENCE_VERSION
from redaes.evidence.rationale_truth import Reason
from redaes.images import MAX_PIXELS, LoadedImage
from redaes.prompts import Prompt, form_of
from redaes.types import Record

Arity = Literal["one", "two", "series"]
"""How many pictures a question shows."""


@dataclass(frozen=True)
class QuestionPicture:
    """A picture of a question.

    Attributes:
        id: as the benchmark names it.
        path: its file.
        image: its pixels; None for assessors that do not look at them.
    """

    id: str
    path: Path
    image: LoadedImage | None

    @property
    def loaded(self) -> LoadedImage:
        """The pixels, where the assessor asked for them."""
        if self.image is None:
            raise AssertionError("an assessor without needs_pixels looked at pixels")
        return self.image


@dataclass(frozen=True)
class Question:
    """What an assessor is asked: how good one picture is, how much better the first of two, or each of a series."""

    id: str
    pictures: tuple[QuestionPicture, ...]


class QuestionAnswer(Record):
    """What became of one question."""

    id: str
    """The question's."""
    value: FiniteFloat | None = None
    """Score of the picture, larger is better; or score of the first less that of the second. None: a failure, or a
    series."""
    values: tuple[FiniteFloat, ...] = ()
    """Of a series: the score of each picture, larger is better; compared within the series alone."""
    failure: str | None = None
    """Reason, fit for counting, when there is no value."""
    detail: str | None = None
    """The failure in words."""
    probability: FiniteFloat | None = None
    """P(first is better); None: one picture, or not offered."""
    order_consistent: bool | None = None
    """Whether both orders name the same picture; None: not asked in both."""
    raw: tuple[str, ...] = ()
    """What a model wrote, forward and swapped; empty where it wrote nothing."""
    tokens: int = 0
    """What a server reports to have read and written for it."""
    reader: str | None = None
    """What read what a model wrote, where that was not the form itself: ``lenient/v2``."""
    changes: tuple[str, ...] = ()
    """What of the request a server could not use: ``without seed``, ``temperature=1``."""
    reason: Reason | None = None
    """How true the reasoning is; None: none was asked for, or nothing was measured."""
    calls: int = 0
    """Questions that the model was asked for it, where their number is not the same for all."""
    unanswered: int = 0
    """Of these, the ones without a usable answer."""


@dataclass(frozen=True, slots=True)
class CompactAnswer:
    """What the numbers of a run need of an answer: a run may have hundreds of thousands, and long texts on disk.

    Attributes:
        value: as in :class:`QuestionAnswer`, like the rest.
        values: likewise.
        failure: likewise.
        probability: likewise.
        order_consistent: likewise.
        wrote: whether a model wrote anything.
        reader: what read it, where that was not the form itself.
        changes: what of the request a server could not use.
        reason: statements of the reasoning that are supported, contradicted and not measured; None: as there.
        calls: as there.
        unanswered: likewise.
    """

    value: float | None
    values: tuple[float, ...]
    failure: str | None
    probability: float | None
    order_consistent: bool | None
    wrote: bool
    reader: str | None = None
    changes: tuple[str, ...] = ()
    reason: tuple[int, int, int] | None = None
    calls: int = 0
    unanswered: int = 0

    @classmethod
    def of(cls, answer: QuestionAnswer) -> CompactAnswer:
        """Return the little of an answer that is kept in memory."""
        failure = None if answer.failure is None else sys.intern(answer.failure)
        return cls(
            answer.value,
            answer.values,
            failure,
            answer.probability,
            answer.order_consistent,
            bool(answer.raw),
            answer.reader,
            tuple(map(sys.intern, answer.changes)),
            None if answer.reason is None else answer.reason.counts,
            answer.calls,
            answer.unanswered,
        )


class BenchmarkAssessor(Protocol):
    """Answers questions."""

    arity: Arity
    needs_pixels: bool

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that decides the answers, as JSON types."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return one answer per question, in their order.

        Raises:
            BackendError: nothing can be answered at all; a question that fails alone is an answer with a failure.
        """
        ...


def shown_pixels(assessor: BenchmarkAssessor, wanted: int) -> int:
    """Return the largest area of the pictures that an assessor is shown.

    Args:
        assessor: one with an area of its own, ``max_pixels``, has pictures read at that, once.
        wanted: by the run; one that is not the default is kept to where it is smaller.
    """
    own: int | None = getattr(assessor, "max_pixels", None)
    if own is None:
        return wanted
    return own if wanted == MAX_PIXELS else min(own, wanted)


def form_as(prompt: Prompt) -> dict[str, Any]:
    """In which form answers are asked for, where that is not the text form."""
    form = form_of(prompt.name)
    return {} if form == "text" else {"form": form}


def checked_with(check: bool) -> dict[str, Any]:
    """Return what reasons are held against, where they are."""
    return {"evidence": EVIDENCE_VERSION} if check else {}
