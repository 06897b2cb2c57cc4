"""Quality of the reasoning of written answers for known edits: factors, side, contradictions, variety.

Everything is computed over single answers, two for each pair (one for each order), as :mod:`redaes.heldout` keeps them.
An answer that does not follow the grammar names nothing, and misses every factor that it should have named.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from redaes.estimates import Estimate, bootstrap, bootstrap_mean
from redaes.heldout import HeldOut, ReasonedOutcome, WrittenAnswer
from redaes.types import Factor, Record, winner_of


class FactorCounts(Record):
    """How often one factor was named, and how often it should have been."""

    named_and_changed: int
    named_though_unchanged: int
    changed_though_not_named: int


class RationaleQuality(Record):
    """The quality of a model's reasoning."""

    n_answers: int
    n_failed: int
    """Number of answers without usable reasoning."""
    factor_precision: Estimate
    """Share of the named factors that decide the pair."""
    factor_recall: Estimate
    """Share of the deciding factors that are named."""
    side: Estimate
    """Share of answers about decided pairs whose reasoning calls the truly better picture better."""
    hallucination: Estimate
    """Share of answers that name a factor that did not change."""
    contradiction: Estimate
    """Share of answers whose verdict and reasoning, or verdict and difference, name different pictures; they do not
    parse.
    """
    distinct_words: float | None
    """Share of different pairs of neighbouring words among all of them (distinct-2); None: there is no reasoning."""
    n_distinct: int
    """Number of different reasonings."""
    mean_words: float | None
    by_factor: dict[Factor, FactorCounts]


def rationale_quality(evaluation: HeldOut) -> RationaleQuality:
    """Return the quality of the reasoning in an evaluation, with intervals over the same clusters as the evaluation's
    own.

    If a pair has a winner but no factors, its deciding factors are not known: figures on factors leave it out.
    """
    rows = [(item, answer) for item in evaluation.reasoned_outcomes for answer in item.answers]
    clusters = [evaluation.cluster_of(item.outcome) for item, _ in rows]
    known = [(item, answer) for item, answer in rows if item.outcome.factors or not item.outcome.decided]
    sets = [(set(answer.factors), set(item.outcome.factors)) for item, answer in known]
    of_known = [evaluation.cluster_of(item.outcome) for item, _ in known]
    hits = np.array([[len(named & true), len(named), len(true)] for named, true in sets], dtype=np.float64).reshape(
        -1, 3
    )
    seed = evaluation.seed

    def share(flags: Sequence[bool], clusters: Sequence[str]) -> Estimate:
        return bootstrap_mean(list(zip(flags, clusters, strict=True)), seed=seed)

    texts = [answer.rationale for _, answer in rows if answer.rationale is not None]
    words = [re.findall(r"[\w']+", text.lower()) for text in texts]
    pairs = [pair for said in words for pair in itertools.pairwise(said)]
    factors = sorted({factor for named, true in sets for factor in named | true})
    return RationaleQuality(
        n_answers=len(rows),
        n_failed=sum(answer.failure is not None for _, answer in rows),
        factor_precision=bootstrap(hits, of_known, lambda part: ratio(part[:, 0].sum(), part[:, 1].sum()), seed=seed),
        factor_recall=bootstrap(hits, of_known, lambda part: ratio(part[:, 0].sum(), part[:, 2].sum()), seed=seed),
        side=bootstrap_mean(
            [
                (_right_side(item, answer), cluster)
                for (item, answer), cluster in zip(rows, clusters, strict=True)
                if item.outcome.decided
            ],
            seed=seed,
        ),
        hallucination=share([bool(named - true) for named, true in sets], of_known),
        contradiction=share([answer.failure == "contradiction" for _, answer in rows], clusters),
        distinct_words=len(set(pairs)) / len(pairs) if pairs else None,
        n_distinct=len(set(texts)),
        mean_words=sum(map(len, words)) / len(words) if words else None,
        by_factor={factor: _counts(factor, sets) for factor in factors},
    )


def _right_side(item: ReasonedOutcome, answer: WrittenAnswer) -> bool:
    label = item.outcome.label if answer.order == "forward" else -item.outcome.label
    return answer.winner == winner_of(label)


def _counts(factor: Factor, sets: Sequence[tuple[set[Factor], set[Factor]]]) -> FactorCounts:
    cases = Counter((factor in named, factor in true) for named, true in sets)
    return FactorCounts(
        named_and_changed=cases[True, True],
        named_though_unchanged=cases[True, False],
        changed_though_not_named=cases[False, True],
    )


def ratio(part: float, whole: float) -> float | None:
    """Return a share; None: the whole is 0."""
    return float(part / whole) if whole else None
