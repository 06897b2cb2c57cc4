"""Combine several judges' answers into one label, or give the reason why there is none.

The paper says "consensus of several judges" and no more; every rule here is our decision. See docs/judges.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from redaes.datagen.dataset_settings import WrittenSettings
from redaes.datagen.judges.base import Judgement
from redaes.errors import InputError
from redaes.types import Delta, Record, winner_of

Rejection = Literal["too_few_answers", "sign_disagreement", "order_inconsistent", "spread_too_large"]
"""Why a pair gets no label, in the order in which the reasons are looked for."""

_Points = Annotated[FiniteFloat, Field(ge=0.0)]


class ConsensusRules(WrittenSettings):
    """When a pair is kept."""

    where = "rules"

    min_judges: Annotated[int, Field(ge=1)] = 1
    """Judges that must have answered; a data set should ask for 2 or more."""
    min_answers: Annotated[int, Field(ge=1)] = 1
    """Usable answers that a judge must have given in each order to count."""
    min_sign_agreement: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] = 1.0
    max_bias: _Points = 1.5
    """Lean towards a position that is forgiven whatever the difference, in points."""
    max_spread: _Points = 2.0
    """Largest spread of the answers, in points."""


class Consensus(Record):
    """What several judges say of one pair, put together. Columns are None where too few answered."""

    pair: str
    delta: Delta | None
    """The label: score of the first picture minus score of the second, in points; None: rejected."""
    rejected: Rejection | None
    """Why the pair is rejected; None: it is kept."""
    spread: _Points | None
    """Root mean square distance of all answers from the common difference, each answer freed of its judge's lean,
    each judge of the same weight; in points."""
    disagreement: _Points | None
    """The part of the spread that lies between the judges: 0 for a single one."""
    sign_agreement: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """1 less the share of judges in the smaller of the two camps that call opposite pictures better; who says
    tie opposes nobody."""
    bias: FiniteFloat | None
    """Median lean towards the picture shown as A, in points."""
    n_judges: int
    """Judges that count."""
    n_answers: int
    """Usable answers of those judges."""
    n_failed: int
    """Unusable answers of all judges."""


_DEFAULT = ConsensusRules()


def consensus(judgements: Sequence[Judgement], rules: ConsensusRules = _DEFAULT) -> Consensus:
    """Return one label from the judgements of one pair.

    Per judge, the mean of the forward answers and the mean of the swapped ones are averaged. Both are
    differences of the same two pictures, so a lean towards a position, which adds to the one what it takes from the
    other, cancels. The label is the median of the judges' differences (their mean, for two judges).

    Exchanging the pictures turns the sign of ``delta`` and changes nothing else; the order of judges and of answers
    does not matter.

    Args:
        judgements: one per judge, all of one pair.
        rules: when a pair is kept.

    Raises:
        InputError: no judgements, several pairs, or one judge twice.
    """
    if len({judgement.pair for judgement in judgements}) != 1:
        raise InputError(f"{len(judgements)} judgements of not exactly one pair")
    if len({(judgement.judge, judgement.revision) for judgement in judgements}) != len(judgements):
        raise InputError(f"pair {judgements[0].pair}: one judge votes twice; put its answers into one judgement")
    counting = [each for each in judgements if min(len(each.forward), len(each.swapped)) >= rules.min_answers]
    n_answers = sum(len(each.forward) + len(each.swapped) for each in counting)
    n_failed = sum(len(each.failures) for each in judgements)
    if len(counting) < rules.min_judges:
        return Consensus(
            pair=judgements[0].pair,
            delta=None,
            rejected="too_few_answers",
            spread=None,
            disagreement=None,
            sign_agreement=None,
            bias=None,
            n_judges=len(counting),
            n_answers=n_answers,
            n_failed=n_failed,
        )
    deltas, biases = [], []
    for each in counting:
        forward, swapped = fmean(each.forward), fmean(each.swapped)
        deltas.append((forward + swapped) / 2)
        biases.append((forward - swapped) / 2)
    delta = median(deltas)

    squares = []
    for each, bias in zip(counting, biases, strict=True):
        freed = [value - bias for value in each.forward], [value + bias for value in each.swapped]
        squares.append(fmean(fmean((value - delta) ** 2 for value in order) for order in freed))
    spread = math.sqrt(fmean(squares))
    disagreement = math.sqrt(fmean((value - delta) ** 2 for value in deltas))

    winners = [winner_of(value) for value in deltas]
    sign_agreement = 1.0 - min(winners.count("A"), winners.count("B")) / len(winners)
    # A lean larger than both the difference and what is forgiven: the order said more than the pictures did.
    led = [abs(bias) > max(abs(value), rules.max_bias) for value, bias in zip(deltas, biases, strict=True)]

    rejected: Rejection | None = None
    if sign_agreement < rules.min_sign_agreement:
        rejected = "sign_disagreement"
    elif any(led):
        rejected = "order_inconsistent"
    elif spread > rules.max_spread:
        rejected = "spread_too_large"
    return Consensus(
        pair=judgements[0].pair,
        delta=delta if rejected is None else None,
        rejected=rejected,
        spread=spread,
        disagreement=disagreement,
        sign_agreement=sign_agreement,
        bias=median(biases),
        n_judges=len(counting),
        n_answers=n_answers,
        n_failed=n_failed,
    )
