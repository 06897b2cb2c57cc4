"""What the assessor answers: about two pictures, about one among references, and what a ranking takes from it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat

from redaes.assessing.measured import Measured
from redaes.assessing.orders import Undecided
from redaes.backends.temperatures import Temperature
from redaes.evidence.claims import Claims
from redaes.evidence.measurements import PairEvidence
from redaes.points import sigmoid
from redaes.prompts import Mode
from redaes.types import Comparison, Delta, Factor, Form, ImageRef, Order, PairAnswer, Ranking, Record, Winner


class Result(Record):
    """The answer about two pictures, from both orders. ``A`` is the first picture, ``B`` the second."""

    winner: Winner | None
    """None: undecided, or no usable answer; ``undecided`` and ``failure`` say which."""
    undecided: Undecided | None = None
    """Why neither picture is called better although the model answered; it is no tie. ``orders``: the answer changes
    with the order; ``reasons``: the written reasons prefer the other picture. ``probability`` and ``delta`` still say
    which way it leans."""
    probability: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """P(first is better), from the token probabilities of both orders, calibrated where ``calibration`` is given."""
    delta: Delta | None
    """Score of the first minus score of the second, in points; both orders together. Not calibrated."""
    log_odds: FiniteFloat | None = None
    """Natural log-odds that the first is better, the mean over the orders, as the model has them: not calibrated."""
    calibration: Temperature | None = None
    """What turned ``log_odds`` into ``probability``; None: nothing did, the probability is the model's own."""
    failure: str | None
    """Why there is no answer: the reason of each order; None when there is one."""
    rationale: str | None
    """The model's reasoning, untouched; its letters are those of ``rationale_order``. None in the fast mode, where
    nothing is decided, and when no reasoning agrees with the winner."""
    rationale_order: Order | None
    """``forward``: A in the reasoning is the first picture; ``swapped``: A in it is the second picture."""
    factors: tuple[Factor, ...]
    """The factors that the reasoning calls decisive."""
    order_consistent: bool | None
    """Whether both orders name the same picture, or both a tie, in what was read and in what was written; None: fewer
    than two orders answered."""
    comparisons: tuple[Comparison, ...]
    """Forward, then swapped; empty when the model was not asked."""
    draws: tuple[Comparison, ...] = ()
    """Further reasonings that were drawn so that the best supported one could be shown."""
    claims: Claims | None = None
    """The statements of ``rationale``, held against the pictures. A is the first picture in them, whatever the order of
    the reasoning. None: there is no reasoning, or nobody asked for it."""
    claims_summary: str | None = None
    """The same in words."""
    evidence: PairEvidence | None = None
    """What was measured of the two pictures, in their order; None: nobody asked for it."""
    measured: tuple[Measured, ...] = ()
    """Of that, the few quantities that the reasoning speaks of or that differ visibly."""
    first: ImageRef
    second: ImageRef
    model: str
    revision: str
    prompt_id: str
    """``name/version@hash``."""
    mode: Mode
    form: Form = "text"
    """In which form the answers were asked for; what held them to it stands in each of ``comparisons``."""
    notes: tuple[str, ...]
    """What the reader of the result should know, as sentences; usually empty."""


class ReferenceSet(Record):
    """Pictures that others are scored against, with the strengths that one judge gave them."""

    name: str
    """``name@digest of the pictures``."""
    pictures: tuple[ImageRef, ...]
    ranking: Ranking
    model: str
    revision: str
    prompt_id: str
    mode: Mode


class Score(Record):
    """Where one picture stands among a reference set."""

    image: ImageRef
    score: Annotated[FiniteFloat, Field(ge=0.0, le=9.0)]
    """In points of 0 to 9; 4.5: as good as the mean of the set; cut off at the ends [ours]."""
    error: FiniteFloat
    """Standard error of the score, in points; that of the references' own strengths is not in it."""
    strength: FiniteFloat
    """Bradley-Terry strength, in logits; 0 is the mean of the set."""
    better_than: int
    """References with a lower strength."""
    references: str
    """The set's name; scores against different sets cannot be compared."""
    n_references: int
    n_calls: int
    n_failed: int
    """Questions without a usable answer: counted, never guessed."""
    model: str
    revision: str
    prompt_id: str
    mode: Mode


def own_probability(result: Result) -> float | None:
    """P(first is better) as the model has it, before calibration. Points, and so ranks and scores, are made of it:
    calibration says how far a single answer can be believed, and would shrink the scale.
    """
    return result.probability if result.log_odds is None else sigmoid(result.log_odds)


def answer_of(result: Result) -> PairAnswer:
    """What a ranking takes from a result about two different pictures. A verdict without a probability is nothing that
    it can use, so the questions count as failed; one that is undecided has a probability."""
    n_failed = sum(comparison.failure is not None for comparison in result.comparisons)
    probability = own_probability(result)
    return PairAnswer(
        first=result.first.id,
        second=result.second.id,
        probability=probability,
        n_calls=len(result.comparisons),
        n_failed=len(result.comparisons) if probability is None else n_failed,
    )
