"""Combine several judges' answers into one label, or give the reason why there is none.

The paper says "consensus of several judges" and no more; the rules here are our own. See docs/judges.md.
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
"""Why a pair gets no label; the reasons are checked in this order."""

_Points = Annotated[FiniteFloat, Field(ge=0.0)]


class ConsensusRules(WrittenSettings):
    """Conditions under which a pair is kept."""

    where = "rules"

    min_judges: Annotated[int, Field(ge=1)] = 1
    """Number of judges that must have answered; a dataset should ask for 2 or more."""
    min_answers: Annotated[int, Field(ge=1)] = 1
    """Number of usable answers that a judge must have given in each order to count."""
    min_sign_agreement: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] = 1.0
    max_bias: _Points = 1.5
    """Lean towards a position, in points, that is accepted even if it is larger than the difference."""
    max_spread: _Points = 2.0
    """Largest spread of the answers, in points."""


class Consensus(Record):
    """The combined answers of several judges about one pair. Columns are None where too few answered."""

    pair: str
    delta: Delta | None
    """The label: score of the first picture minus score of the second, in points; None if the pair is rejected."""
    rejected: Rejection | None
    """Why the pair is rejected; None if it is kept."""
    spread: _Points | None
    """Root mean square distance of all answers from the common difference, in points. Each judge's lean is removed
    first, and all judges have the same weight."""
    disagreement: _Points | None
    """The part of the spread that is due to differences between judges; 0 for a single judge."""
    sign_agreement: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)] | None
    """Of the two groups of judges that prefer opposite pictures, 1 minus the share of judges in the smaller one. Judges
    that say tie are in neither."""
    bias: FiniteFloat | None
    """Median lean towards the picture shown as A, in points."""
    n_judges: int
    """Number of judges that count."""
    n_answers: int
    """Number of usable answers of those judges."""
    n_failed: int
    """Number of unusable answers of all judges."""


_DEFAULT = ConsensusRules()


def consensus(judgements: Sequence[Judgement], rules: ConsensusRules = _DEFAULT) -> Consensus:
    """Return one label from the judgements of one pair.

    For each judge, the mean of the forward answers and the mean of the swapped ones are averaged. Both are
    differences of the same two pictures; a lean towards a position adds to one what it takes from the other, so it
    cancels. The label is the median of the judges' differences (their mean, for two judges).
    Exchanging the pictures turns the sign of ``delta`` and changes nothing else; the order of judges and of answers
    does not matter.

    Args:
        judgements: one from each judge, all about one pair.
        rules: conditions under which a pair is kept.

    Raises:
        InputError: there are no judgements, they are about several pairs, or one judge occurs twice.
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
    # A lean larger than both the difference and the accepted lean: the order mattered more than the pictures did.
    # Means of answers are rounded: a lean of exactly what is accepted may come out a little above it.
    led = [abs(bias) > max(abs(value), rules.max_bias) + 1e-9 for value, bias in zip(deltas, biases, strict=True)]

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
