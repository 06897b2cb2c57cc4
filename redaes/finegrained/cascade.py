"""The cascade: FGAesQ orders everything, the language model judges only where the first place is close.

FGAesQ costs milliseconds a picture, the language model seconds a comparison, and in most series the small one's
first place is not in doubt. All comparisons of a best picture with one of its rivals, over all series, are put in
order of the difference between their scores; the closest ones are judged until the budget is spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError
from redaes.ranking import Edge, fit_potential

Picture = TypeVar("Picture")

Judge = Callable[[Sequence[tuple[Picture, Picture]]], Sequence[float | None]]
"""The expensive model: for each pair, the score of the first minus that of the second, in points, or None when it
gave no usable answer. ``lambda pairs: [result.delta for result in assessor.compare_many(pairs)]`` makes one of an
assessor."""

_DECIMALS = 9


@dataclass(frozen=True)
class CascadeOrder:
    """The order of one series."""

    order: tuple[int, ...]
    """Positions, best first."""
    judged: tuple[tuple[int, int, float | None], ...]
    """The comparisons that the judge was asked for, with its answer."""


@dataclass(frozen=True)
class Cascade:
    """The result for all series."""

    series: tuple[CascadeOrder, ...]
    n_calls: int
    """Comparisons that the judge was asked for."""
    n_failed: int
    """Those without a usable answer: there, the small model's order stands."""
    n_all: int
    """Comparisons that judging every pair would have taken."""


def cascade(
    series: Sequence[Sequence[Picture]], scores: Sequence[ArrayLike], judge: Judge[Picture], *, share: float = 0.3
) -> Cascade:
    """Order many series: all of it by scores, the close first places by the judge.

    >>> later = lambda pairs: [1.0 if first > second else -1.0 for first, second in pairs]
    >>> cascade([["a", "b", "c"], ["d", "e"]], [[3.0, 3.1, 1.0], [5.0, 1.0]], later, share=0.25).series[0]
    CascadeOrder(order=(1, 0, 2), judged=((1, 0, 1.0),))

    Args:
        series: pictures.
        scores: for each series, one number per picture, higher is better, on one scale over all series.
        judge: asked once, with all pairs.
        share: most comparisons to ask for, as a share of all pairs within the series.

    Raises:
        InputError: scores and series differ in shape, a score is not finite, or the share is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise InputError(f"share is {share}; give a number from 0 to 1")
    if len(series) != len(scores):
        raise InputError(f"there are {len(series)} series and scores for {len(scores)}")
    tables = [_checked(pictures, values) for pictures, values in zip(series, scores, strict=True)]
    orders = [[int(i) for i in np.argsort(-np.round(table, _DECIMALS), kind="stable")] for table in tables]
    n_all = sum(math.comb(len(pictures), 2) for pictures in series)
    duels = sorted(
        (float(table[order[0]] - table[rival]), number, place)
        for number, (table, order) in enumerate(zip(tables, orders, strict=True))
        for place, rival in enumerate(order)
        if place
    )[: int(share * n_all + 1e-9)]
    asked = [(number, orders[number][0], orders[number][place]) for _, number, place in duels]
    answers = judge([(series[number][best], series[number][rival]) for number, best, rival in asked]) if asked else []
    judged: list[list[tuple[int, int, float | None]]] = [[] for _ in series]
    for (number, best, rival), answer in zip(asked, answers, strict=True):
        judged[number].append((best, rival, answer))
    return Cascade(
        series=tuple(_reordered(order, found) for order, found in zip(orders, judged, strict=True)),
        n_calls=len(asked),
        n_failed=sum(answer is None for answer in answers),
        n_all=n_all,
    )


def _checked(pictures: Sequence[Picture], values: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.shape != (len(pictures),) or not np.isfinite(table).all():
        raise InputError(f"a series of {len(pictures)} pictures has the scores {values!r}; give one finite number each")
    return table


def _reordered(order: Sequence[int], judged: Sequence[tuple[int, int, float | None]]) -> CascadeOrder:
    """The judged pictures first, by the judge's differences; ties and the rest as they were."""
    answered = [(best, rival, delta) for best, rival, delta in judged if delta is not None]
    if not answered:
        return CascadeOrder(tuple(order), tuple(judged))
    named = {position for best, rival, _ in answered for position in (best, rival)}
    top = [position for position in order if position in named]
    place = {position: number for number, position in enumerate(top)}
    edges: list[Edge] = [(place[best], place[rival], delta, 1.0) for best, rival, delta in answered]
    strength = np.round(fit_potential(len(top), edges), _DECIMALS)
    ahead = [top[int(i)] for i in np.argsort(-strength, kind="stable")]
    return CascadeOrder((*ahead, *(position for position in order if position not in named)), tuple(judged))
