"""The records that every part of redaes exchanges: frozen, validated, extra fields refused.

The one scale. A picture's *score* lies in [0, 9]; a *delta* is a difference of two scores in the same
points, so it lies in [-9, 9]. Positive delta: the first picture is better. A delta below ``TIE_MARGIN``
points in size is a tie. Sign and order change in :meth:`swapped` and nowhere else.
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
"""Thurstone scale: a difference of TAU points is seen by Φ(1) = 84 % of judgements [our decision]."""

Winner = Literal["A", "B", "tie"]
"""A is the picture shown first, B the one shown second."""

Factor = Literal["light", "colour", "focus", "noise", "composition", "content", "subject", "mood"]
"""What changes between two pictures: one documented taxonomy (docs/factors.md)."""

FACTORS: tuple[Factor, ...] = ("light", "colour", "focus", "noise", "composition", "content", "subject", "mood")

Direction = Literal["degrade", "improve", "neutral"]
Order = Literal["forward", "swapped"]
Form = Literal["text", "json"]
"""How an answer is asked for: in the text form of :mod:`redaes.answers`, or as JSON (:mod:`redaes.json_form`)."""
FORMS: tuple[Form, ...] = ("text", "json")
Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
Side = Literal["first", "second"]
"""Which picture of a pair."""
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
        """Return the record as JSON types. Names of files may hold bytes that are no text; ``json`` can write those."""
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
    """Where it was read from."""


class Edit(Record):
    """One edit that was applied to a source picture."""

    factor: Factor
    """The aesthetic factor that it changes."""
    operation: str
    """The editor's name for what it did, such as ``exposure_down``."""
    direction: Direction
    """Whether it makes the picture worse, better, or neither."""
    strength: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """How much, in [0, 1]; comparable within an operation, not between operations."""
    instruction: str
    """The same edit as a sentence that an instruction-following editor would be given."""
    editor: str
    """Name and version of the editor."""
    seed: int
    """Seed of the edit's random part."""
    revision: str = ""
    """What pins the editor: content hash or hub revision; empty where the name does."""
    licence: str = "Apache-2.0"
    """Licence of the editor, as SPDX has it."""
    commercial: bool = True
    """Whether that licence is known to permit commercial use."""


class Pair(Record):
    """Two pictures of one source, with the difference between them where it is known."""

    id: str
    """Content-derived, stable over runs."""
    first: ImageRef
    second: ImageRef
    delta: Delta | None
    """Score of ``first`` minus score of ``second``, in points; None: not labelled."""
    edit_first: Edit | None
    """What was done to ``first``; None: nothing that matters aesthetically."""
    edit_second: Edit | None
    factors: tuple[Factor, ...]
    """The factors that decide the pair; empty for a tie."""
    group: str
    """Id of the source with all its edits: what must stay together in ranking rewards."""
    source: str
    """Id of the photograph: what must stay within one split."""
    split: Split

    def of(self, side: Side) -> ImageRef:
        """Return the picture of a side."""
        return self.first if side == "first" else self.second

    def swapped(self) -> Pair:
        """Return the same pair shown in the other order. The id stays: it is the same pair."""
        return _replace(
            self,
            first=self.second,
            second=self.first,
            delta=None if self.delta is None else 0.0 - self.delta,  # not "-": that makes -0.0 of a tie
            edit_first=self.edit_second,
            edit_second=self.edit_first,
        )


class Agreement(Record):
    """How far the judges of a pair agreed on its delta."""

    judges: tuple[str, ...]
    """``name@revision`` of each one whose answers count."""
    n_answers: Annotated[int, Field(ge=1)]
    """Usable answers of those judges, both orders together."""
    n_failed: Annotated[int, Field(ge=0)]
    """Unusable answers of all judges."""
    spread: Annotated[FiniteFloat, Field(ge=0.0)]
    """Root mean square distance of the answers from their common difference, in points."""
    disagreement: Annotated[FiniteFloat, Field(ge=0.0)]
    """The part of the spread that lies between the judges, in points."""
    sign_agreement: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """1 less the share of judges in the smaller of two opposed camps."""
    residual: FiniteFloat
    """Judged difference minus the group's consistent one, in points."""


class Rationale(Record):
    """The reasoning of an answer."""

    text: str
    """The reasoning without its closing sentence."""
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
    """None in the fast mode."""

    @model_validator(mode="after")
    def _winner_agrees(self) -> Verdict:
        expected = "tie" if self.delta == 0 else ("A" if self.delta > 0 else "B")
        if self.winner != expected:
            raise ValueError(f"winner {self.winner!r} contradicts difference {self.delta:+.1f}")
        if self.rationale is not None and self.rationale.better != self.winner:
            raise ValueError(f"winner {self.winner!r} contradicts rationale {self.rationale.better!r}")
        return self

    def swapped(self) -> Verdict:
        """Return the verdict as it reads when the pictures change places (rationale text keeps its letters)."""
        rationale = self.rationale
        if rationale is not None:
            rationale = _replace(rationale, better=_WINNER_SWAPPED[rationale.better])
        return Verdict(winner=_WINNER_SWAPPED[self.winner], delta=0.0 - self.delta, rationale=rationale)


class Sampling(Record):
    """How an answer was drawn."""

    temperature: Annotated[FiniteFloat, Field(ge=0.0)] = 0.0
    """0: greedy."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    seed: int = 0


ProbabilitySource = Literal["exact", "listed"]
"""How a probability was read. ``exact``: from the log-probabilities of just the tokens in question, over the whole
vocabulary. ``listed``: from the few likeliest tokens that a server lists; one that is not listed is taken to be as
likely as the last of them, which it is at most."""


class Comparison(Record):
    """One judgement of two pictures in one order: a verdict, or the reason why there is none."""

    order: Order
    """``forward``: as asked; ``swapped``: the second picture was shown as A."""
    verdict: Verdict | None
    """In the letters of the order in which the pictures were shown."""
    failure: str | None
    """Reason identifier when there is no verdict."""
    raw: str
    """The model's text, untouched."""
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(picture shown as A is better), read from token probabilities and not calibrated; None: not offered by the
    backend."""
    model: str
    revision: str
    """What pins the model: a content hash or a hub revision."""
    prompt_id: str
    """``name/version@hash``."""
    sampling: Sampling
    """As it was asked for; :attr:`changes` says what of it the server could not use."""
    reader: str = "strict"
    """What read the answer: the grammar itself, or a versioned reader of variants such as ``lenient/v2``."""
    form: Form = "text"
    """In which form the answer was asked for."""
    held_by: str | None = None
    """What held the answer to its form while it was written: the field of the request that asked a server for that, or
    the library in this process; None: nothing but the words of the prompt. A server may ignore such a field."""
    probability_from: ProbabilitySource | None = None
    """How the probability was read; None: there is none."""
    probability_failure: str | None = None
    """Why the probability of a verdict could not be read, where it was asked for."""
    changes: tuple[str, ...] = ()
    """What of the request a server could not use (``without seed``, ``temperature=1``), and what was done to the text
    while it was written."""
    log_odds: FiniteFloat | None = None
    """Natural logarithm of the odds behind ``probability``, as the model has them."""
    read_with: str | None = None
    """``name/version@hash`` of the prompt with which the probability was read, where that is not ``prompt_id``: in the
    reasoned mode the answer is written with one and the verdict is read with the other."""

    @model_validator(mode="after")
    def _verdict_or_failure(self) -> Comparison:
        if (self.verdict is None) == (self.failure is None):
            raise ValueError("a comparison has either a verdict or a failure")
        return self


class PairAnswer(Record):
    """What a ranking takes from one comparison of two pictures."""

    first: str
    """Id of the picture that ``probability`` speaks of."""
    second: str
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better); None: no usable answer."""
    n_calls: Annotated[int, Field(ge=1)] = 2
    """Questions asked of the model: two for a comparison in both orders."""
    n_failed: Annotated[int, Field(ge=0)] = 0
    """Of those, the ones without a usable answer."""
    lean: FiniteFloat | None = None
    """How far the judge leans to the picture shown first: the mean of both orders' log-odds for that picture, in
    logits; None: they were not both read."""

    @model_validator(mode="after")
    def _probability_from_usable_answers(self) -> PairAnswer:
        if (self.probability is None) != (self.n_failed >= self.n_calls):
            raise ValueError(f"probability {self.probability} from {self.n_calls} answers, {self.n_failed} unusable")
        return self


class Ranking(Record):
    """An order of several pictures, estimated from comparisons."""

    order: tuple[str, ...]
    """Picture ids, best first; ties keep the order of ids so that the answer is deterministic."""
    scores: dict[str, FiniteFloat]
    """Bradley-Terry strength per picture id, in logits, zero mean."""
    errors: dict[str, FiniteFloat]
    """Standard error of each score, in logits."""
    n_comparisons: int
    n_calls: int
    """Questions asked of the model: two for a comparison in both orders."""
    n_failed: int
    """Questions without a usable answer: counted, never guessed."""
    n_cycles: int
    """Circular triples A > B > C > A among the comparisons."""
    settled: bool | None
    """Whether the best k are, with 95 %; None: nobody asked for a k."""
