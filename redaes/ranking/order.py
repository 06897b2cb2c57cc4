"""Rank several pictures from answers about pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from redaes.errors import InputError, ParseError
from redaes.ranking.graph import DECIMALS, Outcome, components, count_cycles
from redaes.ranking.sparse import fit_sparse
from redaes.ranking.strengths import fit_strengths
from redaes.types import PairAnswer, Ranking

MAX_DENSE = 500
"""Largest number of pictures for which errors are computed from the full covariance: a second of work and 10 MB."""


def rank(ids: Sequence[str], answers: Sequence[PairAnswer], top_k: int | None = None) -> Ranking:
    """Order pictures by the Bradley-Terry strengths that fit the answers best.

    >>> said = [("x", "y", 0.2), ("y", "z", 0.6), ("x", "z", 0.3)]
    >>> ranking = rank(["x", "y", "z"], [PairAnswer(first=a, second=b, probability=p) for a, b, p in said])
    >>> ranking.order, ranking.n_calls, ranking.n_failed
    (('y', 'z', 'x'), 6, 0)

    Args:
        ids: the pictures, each once.
        answers: the answers; the weight of each is its number of usable calls. One without usable calls is counted and
            otherwise ignored.
        top_k: also determine whether it is settled which pictures are the best k.

    Returns:
        The ranking. Ties are ordered by id. All counts include failures.

    Raises:
        InputError: an id is repeated or unknown, or a picture is compared with itself.
        ParseError: the usable answers do not connect all pictures (the message names the parts).
    """
    outcomes = outcomes_of(ids, answers)
    parts = components(len(ids), outcomes)
    if len(parts) > 1:
        named = "; ".join(", ".join(ids[item] for item in part) for part in parts)
        raise ParseError(
            "not_connected",
            f"the usable answers do not connect all pictures, so there is no common order: {len(parts)} parts "
            f"({named}), {len(answers) - len(outcomes)} of {len(answers)} comparisons failed",
        )
    fitted = fit_strengths(len(ids), outcomes) if len(ids) <= MAX_DENSE else fit_sparse(len(ids), outcomes)
    scores = dict(zip(ids, map(float, fitted.values), strict=True))
    return Ranking(
        order=tuple(sorted(ids, key=lambda picture: (-round(scores[picture], DECIMALS), picture))),
        scores=scores,
        errors=dict(zip(ids, map(float, fitted.errors), strict=True)),
        n_comparisons=len(answers),
        n_calls=sum(answer.n_calls for answer in answers),
        n_failed=sum(answer.n_failed for answer in answers),
        n_cycles=count_cycles(len(ids), [(i, j, p - 0.5, weight) for i, j, p, weight in outcomes]),
        settled=None if top_k is None or top_k >= len(ids) else fitted.settled(top_k),
    )


def outcomes_of(ids: Sequence[str], answers: Sequence[PairAnswer]) -> list[Outcome]:
    """Return the usable answers as outcomes between the pictures' places in a list; the weight of each is its number of
    usable calls.

    >>> outcomes_of(["x", "y"], [PairAnswer(first="y", second="x", probability=0.2)])
    [(1, 0, 0.2, 2.0)]

    Raises:
        InputError: an id is repeated or unknown, or a picture is compared with itself.
    """
    index = {picture: position for position, picture in enumerate(ids)}
    if len(index) < len(ids):
        repeated = sorted(picture for picture, times in Counter(ids).items() if times > 1)
        raise InputError(f"pictures are listed twice: {', '.join(repeated)}; list each once")
    outcomes: list[Outcome] = []
    for answer in answers:
        for picture in (answer.first, answer.second):
            if picture not in index:
                raise InputError(f"a comparison names {picture!r}, which is not among the pictures")
        if answer.first == answer.second:
            raise InputError(f"{answer.first!r} is compared with itself; remove that comparison")
        if answer.probability is not None:
            weight = float(answer.n_calls - answer.n_failed)
            outcomes.append((index[answer.first], index[answer.second], answer.probability, weight))
    return outcomes
