"""The records that every part of redaes exchanges: frozen, validated, extra fields refused.

There is one scale. A picture's *score* lies in [0, 9]; a *delta* is a difference of two scores in the same points, so
it lies in [-9, 9]. A positive delta means that the first picture is better. A delta below ``TIE_MARGIN`` points in size
is a tie. Sign and order change in :meth:`swapped` and nowhere else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

MAX_DELTA = 9.0
"""Largest difference of two scores, in points."""

TIE_MARGIN = 0.25
"""Differences smaller than this, in points, are ties."""

TAU = 2.0
"""Thurstone scale: at a difference of TAU points, Φ(1) = 84 % of judgements prefer the better picture [our
decision].
"""

Winner = Literal["A", "B", "tie"]
"""A is the picture shown first, B the one shown second."""

Factor = Literal["light", "colour", "focus", "noise", "composition", "content", "subject", "mood"]
"""What changes between two pictures: one documented taxonomy (docs/factors.md)."""

FACTORS: tuple[Factor, ...] = ("light", "colour", "focus", "noise", "composition", "content", "subject", "mood")

Direction = Literal["degrade", "improve", "neutral"]
Order = Literal["forward", "swapped"]
Form = Literal["text", "json"]
"""The form in which an answer is asked for: text (:mod:`redaes.answers`) or JSON (:mod:`redaes.json_form`)."""
FORMS: tuple[Form, ...] = ("text", "json")
Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
Side = Literal["first", "second"]
"""One of the two pictures of a pair."""
SIDES: tuple[Side, ...] = ("first", "second")
Delta = Annotated[FiniteFloat, Field(ge=-MAX_DELTA, le=MAX_DELTA)]

_WINNER_SWAPPED: dict[Winner, Winner] = {"A": "B", "B": "A", "tie": "tie"}


def winner_of(delta: float) -> Winner:
    """Return the winner that a signed difference stands for.

    >>> winner_of(1.2), winner_of(-1.2), winner_of(0.1)
    ('A', 'B', 'tie')
    """
    if abs(delta) < TIE_MARGIN:
        return "tie"
    return "A" if delta > 0 else "B"


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON types. File names may contain bytes that are not text; ``json`` can write those."""
        return cast("dict[str, Any]", json.loads(json.dumps(self.model_dump(), default=os.fspath)))


_RecordT = TypeVar("_RecordT", bound=Record)


def _replace(record: _RecordT, **changes: Any) -> _RecordT:
    """Return a copy with fields exchanged, validated like a new record (``model_copy`` does not validate)."""
    return type(record)(**{**dict(record), **changes})


class ImageRef(Record):
    """A picture, named by its content."""

    id: str
    """SHA-256 of the file's bytes, in hex."""
    path: Path
    """The file that it was read from."""


class Edit(Record):
    """One edit that was applied to a source picture."""

    factor: Factor
    """The aesthetic factor that it changes."""
    operation: str
    """The editor's name of the operation, such as ``exposure_down``."""
    direction: Direction
    """Whether it makes the picture worse, better, or neither."""
    strength: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """Strength of the edit, in [0, 1]; comparable within an operation, not between operations."""
    instruction: str
    """The same edit as an instruction in words, as an instruction-following editor takes it."""
    editor: str
    """Name and version of the editor."""
    seed: int
    """Seed of the edit's random part."""
    revision: str = ""
    """Content hash or hub revision of the editor; empty where its name already pins it."""
    licence: str = "Apache-2.0"
    """SPDX identifier of the editor's licence."""
    commercial: bool = True
    """Whether that licence is known to permit commercial use."""


class Pair(Record):
    """Two pictures of one source, with the difference between them where it is known."""

    id: str
    """Id of the pair, derived from its content and stable across runs."""
    first: ImageRef
    second: ImageRef
    delta: Delta | None
    """Score of ``first`` minus score of ``second``, in points; None: not labelled."""
    edit_first: Edit | None
    """The edit of ``first``; None: nothing was done to it that matters aesthetically."""
    edit_second: Edit | None
    factors: tuple[Factor, ...]
    """The factors that decide the pair; empty for a tie."""
    group: str
    """Id of the source view with all its edits, which ranking rewards compare with each other."""
    source: str
    """Id of the photograph, all of whose pairs must stay within one split."""
    split: Split

    def of(self, side: Side) -> ImageRef:
        """Return the picture of a side."""
        return self.first if side == "first" else self.second

    def swapped(self) -> Pair:
        """Return the same pair in the other order. The id stays, because it is the same pair."""
        return _replace(
            self,
            first=self.second,
            second=self.first,
            delta=None if self.delta is None else 0.0 - self.delta,  # "-" would make -0.0 of a tie
            edit_first=self.edit_second,
            edit_second=self.edit_first,
        )


class Agreement(Record):
    """How far the judges of a pair agreed on its delta."""

    judges: tuple[str, ...]
    """``name@revision`` of each judge whose answers count."""
    n_answers: Annotated[int, Field(ge=1)]
    """Number of usable answers of those judges, both orders together."""
    n_failed: Annotated[int, Field(ge=0)]
    """Number of unusable answers of all judges."""
    spread: Annotated[FiniteFloat, Field(ge=0.0)]
    """Root mean square distance of the answers from their common difference, in points."""
    disagreement: Annotated[FiniteFloat, Field(ge=0.0)]
    """The part of the spread that lies between the judges, in points."""
    sign_agreement: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """1 minus the share of judges that disagree with the majority about which picture is better."""
    residual: FiniteFloat
    """Judged difference minus the difference of the group's fitted scores, in points."""


class Rationale(Record):
    """The reasoning of an answer."""

    text: str
    """The text of the reasoning, without its closing sentence."""
    factors: tuple[Factor, ...]
    """The factors named as decisive."""
    better: Winner
    """The picture that it calls better in those factors; ``tie`` when nothing decides."""

    @model_validator(mode="after")
    def _decided_by_something(self) -> Rationale:
        if (self.better == "tie") != (not self.factors):
            raise ValueError(f"better {self.better!r} with factors {self.factors}: a tie has none, a winner has some")
        return self


class Verdict(Record):
    """A parsed answer to a comparison."""

    winner: Winner
    delta: Delta
    """Stated signed difference in points; its sign agrees with ``winner``."""
    rationale: Rationale | None
    """The reasoning; None in the fast mode."""

    @model_validator(mode="after")
    def _winner_agrees(self) -> Verdict:
        expected = "tie" if self.delta == 0 else ("A" if self.delta > 0 else "B")
        if self.winner != expected:
            raise ValueError(f"winner {self.winner!r} contradicts difference {self.delta:+.1f}")
        if self.rationale is not None and self.rationale.better != self.winner:
            raise ValueError(f"winner {self.winner!r} contradicts rationale {self.rationale.better!r}")
        return self

    def swapped(self) -> Verdict:
        """Return the verdict for the other order of the pictures; the rationale's text keeps its letters."""
        rationale = self.rationale
        if rationale is not None:
            rationale = _replace(rationale, better=_WINNER_SWAPPED[rationale.better])
        return Verdict(winner=_WINNER_SWAPPED[self.winner], delta=0.0 - self.delta, rationale=rationale)


class Sampling(Record):
    """How an answer was sampled."""

    temperature: Annotated[FiniteFloat, Field(ge=0.0)] = 0.0
    """Sampling temperature; 0: greedy."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    seed: int = 0


ProbabilitySource = Literal["exact", "listed"]
"""How a probability was read. ``exact``: from the log-probabilities of the very tokens in question, over the whole
vocabulary. ``listed``: from the few likeliest tokens that a server lists; a token that is not listed is given the
probability of the last one listed, which is an upper bound.
"""


class Comparison(Record):
    """One judgement of two pictures in one order: a verdict, or the reason why there is none."""

    order: Order
    """``forward``: as asked; ``swapped``: the second picture was shown as A."""
    verdict: Verdict | None
    """The verdict; its letters are those of the order in which the pictures were shown. None: there is a failure."""
    failure: str | None
    """Identifier of the reason why there is no verdict; None: there is one."""
    raw: str
    """The model's text, unchanged."""
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(picture shown as A is better), read from token probabilities and not calibrated; None: not offered by the
    backend."""
    model: str
    revision: str
    """Content hash or hub revision of the model."""
    prompt_id: str
    """``name/version@hash``."""
    sampling: Sampling
    """The requested sampling; :attr:`changes` says what of it the server could not use."""
    reader: str = "strict"
    """The reader that read the answer: the strict one, or a versioned reader of variants such as ``lenient/v2``."""
    form: Form = "text"
    """The form in which the answer was asked for."""
    held_by: str | None = None
    """What constrained the answer to its form while it was written: the field of the request to a server, which the
    server may ignore, or the library in this process; None: only the words of the prompt.
    """
    probability_from: ProbabilitySource | None = None
    """How the probability was read; None: there is none."""
    probability_failure: str | None = None
    """Why the requested probability could not be read; None: it was read, or was not requested."""
    changes: tuple[str, ...] = ()
    """What of the request the server could not use (``without seed``, ``temperature=1``), and what was done to the text
    while it was written.
    """
    log_odds: FiniteFloat | None = None
    """Natural logarithm of the odds behind ``probability``, not calibrated."""
    read_with: str | None = None
    """``name/version@hash`` of the prompt with which the probability was read, where that is not ``prompt_id``: in the
    reasoned mode one prompt gives the written answer and another one the verdict.
    """

    @model_validator(mode="after")
    def _verdict_or_failure(self) -> Comparison:
        if (self.verdict is None) == (self.failure is None):
            raise ValueError("a comparison has either a verdict or a failure")
        return self


class PairAnswer(Record):
    """The part of a comparison of two pictures that a ranking uses."""

    first: str
    """Id of the picture that ``probability`` is about."""
    second: str
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better); None: no usable answer."""
    n_calls: Annotated[int, Field(ge=1)] = 2
    """Number of questions to the model: two for a comparison in both orders."""
    n_failed: Annotated[int, Field(ge=0)] = 0
    """Number of those questions without a usable answer."""
    lean: FiniteFloat | None = None
    """How far the judge prefers the picture shown first: the mean of both orders' log-odds for that picture, in logits;
    None: they were not both read.
    """

    @model_validator(mode="after")
    def _probability_from_usable_answers(self) -> PairAnswer:
        if (self.probability is None) != (self.n_failed >= self.n_calls):
            raise ValueError(f"probability {self.probability} from {self.n_calls} answers, {self.n_failed} unusable")
        return self


class Ranking(Record):
    """A ranking of several pictures, estimated from comparisons."""

    order: tuple[str, ...]
    """Picture ids, best first; ties keep the order of ids so that the answer is deterministic."""
    scores: dict[str, FiniteFloat]
    """Bradley-Terry strength per picture id, in logits, zero mean."""
    errors: dict[str, FiniteFloat]
    """Standard error of each score, in logits."""
    n_comparisons: int
    n_calls: int
    """Number of questions to the model: two for a comparison in both orders."""
    n_failed: int
    """Number of questions without a usable answer."""
    n_cycles: int
    """Number of circular triples A > B > C > A among the comparisons."""
    settled: bool | None
    """Whether the best k are settled with 95 % confidence; None: no k was asked for."""
