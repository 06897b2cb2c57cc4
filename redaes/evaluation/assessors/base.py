"""Questions to an assessor, its answers, and the interface of assessors."""

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
"""Number of pictures that a question shows."""


@dataclass(frozen=True)
class QuestionPicture:
    """A picture of a question.

    Attributes:
        id: the picture's id in the benchmark.
        path: its file.
        image: its pixels; None: the assessor does not look at them.
    """

    id: str
    path: Path
    image: LoadedImage | None

    @property
    def loaded(self) -> LoadedImage:
        """The pixels, if the assessor asked for them."""
        if self.image is None:
            raise AssertionError("an assessor without needs_pixels looked at pixels")
        return self.image


@dataclass(frozen=True)
class Question:
    """A question to an assessor: how good one picture is, how much better the first of two is, or how good each of a
    series is.
    """

    id: str
    pictures: tuple[QuestionPicture, ...]


class QuestionAnswer(Record):
    """The answer to one question, or its failure."""

    id: str
    """Id of the question."""
    value: FiniteFloat | None = None
    """Score of the picture, larger is better; or score of the first minus that of the second. None: there is a failure,
    or a series.
    """
    values: tuple[FiniteFloat, ...] = ()
    """Score of each picture of a series, larger is better; comparable within the series only."""
    failure: str | None = None
    """Identifier of the reason why there is no value."""
    detail: str | None = None
    """The failure in words."""
    probability: FiniteFloat | None = None
    """P(first is better); None: one picture was asked about, or the assessor offers none."""
    order_consistent: bool | None = None
    """Whether both orders name the same picture; None: they were not both asked."""
    raw: tuple[str, ...] = ()
    """The texts that a model wrote, forward and swapped; empty: it wrote nothing."""
    tokens: int = 0
    """Number of tokens that a server reports to have read and written for it."""
    reader: str | None = None
    """The reader of a model's text, if that did not follow the exact form: ``lenient/v2``."""
    changes: tuple[str, ...] = ()
    """What of the request the server could not use: ``without seed``, ``temperature=1``."""
    reason: Reason | None = None
    """How true the reasoning is; None: there is none, or nothing was measured."""
    calls: int = 0
    """Number of questions to the model, if it is not the same for all answers."""
    unanswered: int = 0
    """Number of those questions without a usable answer."""


@dataclass(frozen=True, slots=True)
class CompactAnswer:
    """The parts of an answer that a run's figures need; long texts stay on disk, because a run may have hundreds of
    thousands of answers.

    Attributes:
        value: as in :class:`QuestionAnswer`.
        values: as in :class:`QuestionAnswer`.
        failure: as in :class:`QuestionAnswer`.
        probability: as in :class:`QuestionAnswer`.
        order_consistent: as in :class:`QuestionAnswer`.
        wrote: whether a model wrote anything.
        reader: as in :class:`QuestionAnswer`.
        changes: as in :class:`QuestionAnswer`.
        reason: numbers of supported, contradicted and unmeasured statements of the reasoning; None: there is none.
        calls: as in :class:`QuestionAnswer`.
        unanswered: as in :class:`QuestionAnswer`.
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
        """Return the parts of an answer that are kept in memory."""
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
    """An assessor, which answers the questions of a benchmark."""

    arity: Arity
    needs_pixels: bool

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that determines the answers, as JSON types."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """Return one answer per question, in their order.

        Raises:
            BackendError: nothing can be answered at all; a single failed question gives an answer with a failure.
        """
        ...


def shown_pixels(assessor: BenchmarkAssessor, wanted: int) -> int:
    """Return the largest area of the pictures that an assessor is shown.

    Args:
        assessor: an assessor; if it has an area of its own, ``max_pixels``, pictures are read at that.
        wanted: area that the run asks for; if it is not the default, the smaller of the two areas is used.
    """
    own: int | None = getattr(assessor, "max_pixels", None)
    if own is None:
        return wanted
    return own if wanted == MAX_PIXELS else min(own, wanted)


def form_as(prompt: Prompt) -> dict[str, Any]:
    """Return the entry of an identity for the form of answers, if that is not the text form."""
    form = form_of(prompt.name)
    return {} if form == "text" else {"form": form}


def checked_with(check: bool) -> dict[str, Any]:
    """Return the entry of an identity for the measurements that reasons are checked against, if they are checked."""
    return {"evidence": EVIDENCE_VERSION} if check else {}
