"""The cascade: FGAesQ orders every series, and the language model judges only pairs that could change a first place.

FGAesQ needs milliseconds for a picture, the language model seconds for a comparison, and in most series FGAesQ's first
place is not in doubt. So its scores are a prior, the judge's answers are measurements, and every question is the one
with the largest expected gain (ours; the rule is the knowledge gradient of Frazier, Powell and Dayanik, 2009, for the
choice of the best of several).

*Prior.* The quality of a picture, in points, is normal around ``slope`` x its score, with one standard deviation for
all pictures. *Answer.* An answer is the difference of two qualities plus normal noise. Slope and standard deviations
are estimated from the answers so far, separately for each kind of series, such as bursts and crops: a ranker that the
judge contradicts loses weight, and so does a judge that contradicts itself. *Question.* Each round asks at most one
question of a series: between its first place and the rival with the largest expected gain. The best questions over all
series are asked, until the budget, a share of all pairs, is spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redaes.errors import InputError

Picture = TypeVar("Picture")

Judge = Callable[[Sequence[tuple[Picture, Picture]]], Sequence[float | None]]
"""The expensive model: for each pair, the score of the first minus that of the second, in points, or None when it
gave no usable answer. ``lambda pairs: [result.delta for result in assessor.compare_many(pairs)]`` makes one of an
assessor."""

N_ROUNDS = 10
"""Number of rounds in which the budget is spent: more rounds choose questions better, fewer fill the judge's batches
better.
"""

NOISE = 1.0
"""Standard deviation of a judge's answer, in points, that is assumed before there are answers."""

_DECIMALS = 9
_ENOUGH = 10  # answers from which the model is estimated
_SPREADS = np.geomspace(
    0.1, 6.0, 19
)  # candidate deviations of the qualities around the scores, in points: from almost known to unknown
_NOISES = np.geomspace(0.125, 8.0, 19)  # candidate noises, as multiples of the assumed noise
_FAITH = math.log(2)  # standard deviation of the logarithm of the noise around the assumed one

Answers = list[tuple[int, int, "float | None"]]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CascadeOrder:
    """The order of one series."""

    order: tuple[int, ...]
    """Positions, best first."""
    quality: tuple[float, ...]
    """Quality of each picture, in points: its mean after all answers. Comparable within the series only."""
    errors: tuple[float, ...]
    """Standard deviation of each quality, in points."""
    judged: tuple[tuple[int, int, float | None], ...]
    """The comparisons that the judge was asked for, with its answers."""


@dataclass(frozen=True)
class Cascade:
    """The result for all series."""

    series: tuple[CascadeOrder, ...]
    n_calls: int
    """Comparisons that the judge was asked for."""
    n_failed: int
    """Comparisons without a usable answer, which change nothing and are not asked again."""
    n_all: int
    """Comparisons that judging every pair would have taken."""


@dataclass(frozen=True)
class _Model:
    slope: float
    """Points for one standard deviation of the scores within series."""
    spread: float
    """Standard deviation of a picture's quality around that, in points."""
    noise: float
    """Standard deviation of an answer around the difference of two qualities, in points."""


def cascade(
    series: Sequence[Sequence[Picture]],
    scores: Sequence[ArrayLike],
    judge: Judge[Picture],
    *,
    share: float = 0.3,
    noise: float = NOISE,
    kinds: Sequence[str] | None = None,
) -> Cascade:
    """Order many series by scores and by a judge.

    >>> later = lambda pairs: [5.0 if first > second else -5.0 for first, second in pairs]
    >>> cascade([["a", "b", "c"], ["d", "e"]], [[3.0, 3.1, 1.0], [5.0, 1.0]], later, share=0.25).series[1].order
    (0, 1)

    Args:
        series: pictures.
        scores: for each series, one number per picture, higher is better, on one scale over all series.
        judge: the judge, which is asked in about ``N_ROUNDS`` rounds, each with all its pairs at once.
        share: most comparisons to ask for, as a share of all pairs within the series.
        noise: expected standard deviation of the judge's answers around the truth, in points.
        kinds: kind of each series, such as its category, for each of which the reliability of ranker and judge is
            estimated separately; None: all series are of one kind.

    Returns:
        Orders by the mean of each picture's quality after all answers; ties, and series without answers, by score.

    Raises:
        InputError: scores, kinds and series differ in number or shape, a score is not finite, the share is not in
            [0, 1], or the noise is not above 0.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share is {share}; give a number from 0 to 1")
    if not (math.isfinite(noise) and noise > 0):
        raise InputError(f"noise is {noise}; give more than 0 points")
    if len(series) != len(scores):
        raise InputError(f"there are {len(series)} series and scores for {len(scores)}")
    if kinds is None:
        kinds = [""] * len(series)
    if len(series) != len(kinds):
        raise InputError(f"there are {len(series)} series and kinds of {len(kinds)}")
    tables = _standardised([_checked(pictures, values) for pictures, values in zip(series, scores, strict=True)])
    n_all = n_pairs(series)
    budget = n_questions(series, share)
    found: list[Answers] = [[] for _ in series]
    models = dict.fromkeys(kinds, _Model(slope=1.0, spread=1.0, noise=noise))
    left = budget
    while left:
        questions = [
            (-gain, number, pair)
            for number, (table, kind) in enumerate(zip(tables, kinds, strict=True))
            for gain, pair in _best_question(table, found[number], models[kind])
        ]
        chosen = [(number, *pair) for _, number, pair in sorted(questions)[: min(left, -(-budget // N_ROUNDS))]]
        if not chosen:
            break  # all pairs of first places have been asked
        answers = judge([(series[number][first], series[number][second]) for number, first, second in chosen])
        for (number, first, second), answer in zip(chosen, answers, strict=True):
            found[number].append((first, second, answer))
        left -= len(chosen)
        models = _estimated_by_kind(tables, found, kinds, noise)
    return Cascade(
        series=tuple(
            _ordered(table, answers, models[kind]) for table, answers, kind in zip(tables, found, kinds, strict=True)
        ),
        n_calls=budget - left,
        n_failed=sum(answer is None for answers in found for _, _, answer in answers),
        n_all=n_all,
    )


def n_pairs(series: Sequence[Sequence[Picture]]) -> int:
    """Return the number of comparisons that judging every pair of every series would take."""
    return sum(math.comb(len(pictures), 2) for pictures in series)


def n_questions(series: Sequence[Sequence[Picture]], share: float) -> int:
    """Return the most that :func:`cascade` asks of its judge, in comparisons."""
    return int(share * n_pairs(series) + 1e-9)


def _checked(pictures: Sequence[Picture], values: ArrayLike) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    if table.shape != (len(pictures),) or not np.isfinite(table).all():
        raise InputError(f"a series of {len(pictures)} pictures has the scores {values!r}; give one finite number each")
    return table


def _standardised(tables: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the scores minus their mean in the series, in units of their standard deviation over all series."""
    centred = [table - table.mean() if len(table) else table for table in tables]
    spread = float(np.sqrt(np.mean(np.concatenate([*centred, np.zeros(1)]) ** 2)))
    return [np.round(table / spread, _DECIMALS) if spread > 0 else table for table in centred]


def _order(quality: FloatArray, table: FloatArray) -> tuple[int, ...]:
    return tuple(int(place) for place in np.lexsort((-table, -np.round(quality, _DECIMALS))))


def _ordered(table: FloatArray, answers: Answers, model: _Model) -> CascadeOrder:
    quality, covariance = _posterior(table, answers, model)
    errors = np.sqrt(np.diag(covariance))
    return CascadeOrder(_order(quality, table), tuple(quality.tolist()), tuple(errors.tolist()), tuple(answers))


def _posterior(table: FloatArray, answers: Answers, model: _Model) -> tuple[FloatArray, FloatArray]:
    """Return the means (n,) and covariance (n, n) of the qualities after the answers."""
    precision = np.eye(len(table)) / model.spread**2
    weighted = model.slope * table / model.spread**2
    for first, second, answer in answers:
        if answer is not None:
            sign = np.zeros(len(table))
            sign[first], sign[second] = 1.0, -1.0
            precision += np.outer(sign, sign) / model.noise**2
            weighted = weighted + sign * answer / model.noise**2
    covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
    return covariance @ weighted, covariance


def _best_question(table: FloatArray, answers: Answers, model: _Model) -> list[tuple[float, tuple[int, int]]]:
    """Return the most valuable comparison with the first place, and its value in points; empty if all were asked.

    The value of an answer about a difference of mean d and variance v: its mean changes by a normal amount of standard
    deviation s = v / sqrt(v + noise^2), and the expected gain from crossing zero is s (phi(z) - z (1 - Phi(z))), with z
    = d / s.
    """
    if len(table) < 2:
        return []
    mean, covariance = _posterior(table, answers, model)
    best = _order(mean, table)[0]
    asked = {frozenset((first, second)) for first, second, _ in answers}
    normal = NormalDist()
    worth = []
    for rival in range(len(table)):
        if rival == best or frozenset((best, rival)) in asked:
            continue
        variance = float(covariance[best, best] + covariance[rival, rival] - 2 * covariance[best, rival])
        move = variance / math.sqrt(variance + model.noise**2)
        z = float(mean[best] - mean[rival]) / move
        worth.append((move * (normal.pdf(z) - z * normal.cdf(-z)), (best, rival)))
    return [max(worth, key=lambda item: (item[0], -item[1][1]))] if worth else []


def _estimated_by_kind(
    tables: Sequence[FloatArray], found: Sequence[Answers], kinds: Sequence[str], noise: float
) -> dict[str, _Model]:
    """Return a model for each kind of series; a kind with too few answers gets the model of all series."""
    models = dict.fromkeys(kinds, _estimated(tables, found, noise))
    for kind in models:
        own = [number for number, its in enumerate(kinds) if its == kind]
        answers = [found[number] for number in own]
        if len(models) > 1 and sum(answer is not None for told in answers for *_, answer in told) >= _ENOUGH:
            models[kind] = _estimated([tables[number] for number in own], answers, noise)
    return models


def _estimated(tables: Sequence[FloatArray], found: Sequence[Answers], noise: float) -> _Model:
    """Return the likeliest model on a grid of spreads and noises, with the best slope from zero up for each.

    The answers about one series are normal, their covariance spread^2 A A^T + noise^2 I with a row of A per answer
    (1 and -1 for its pictures); in the eigenvectors of A A^T they are independent. Answers about different pictures
    cannot tell spread from noise, hence the prior on the noise: log-normal around what is assumed.
    """
    parts: list[tuple[FloatArray, FloatArray, FloatArray]] = []  # eigenvalues; answers and gaps of scores, rotated
    for table, answers in zip(tables, found, strict=True):
        told = [(first, second, answer) for first, second, answer in answers if answer is not None]
        if told:
            signs = np.zeros((len(told), len(table)))
            for row, (first, second, _) in enumerate(told):
                signs[row, first], signs[row, second] = 1.0, -1.0
            values, vectors = np.linalg.eigh(signs @ signs.T)
            said = np.array([answer for _, _, answer in told])
            parts.append((values, vectors.T @ said, vectors.T @ (signs @ table)))
    if sum(len(values) for values, _, _ in parts) < _ENOUGH:
        return _Model(slope=1.0, spread=1.0, noise=noise)
    values, said, gaps = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    best: tuple[float, _Model] | None = None
    for spread in _SPREADS:
        for share in _NOISES:
            variance = spread**2 * values.clip(min=0) + (share * noise) ** 2
            power = float((gaps**2 / variance).sum())
            slope = max(0.0, float((gaps * said / variance).sum()) / power) if power > 0 else 0.0
            fit = -0.5 * float((np.log(variance) + (said - slope * gaps) ** 2 / variance).sum())
            fit -= 0.5 * (math.log(share) / _FAITH) ** 2
            if best is None or fit > best[0]:
                best = fit, _Model(slope, float(spread), float(share * noise))
    assert best is not None
    return best[1]
