"""Test whether a taste was learnt: held-out decisions before and after learning, against what chance would give.

Two tests must both be significant, each at 2.5 %, one-sided:

* **Answers at random.** A coin decides for each series whether all its answers are inverted, and everything is learnt
  and evaluated again, many times. For somebody who answers at random, the true answers are just one more toss, so the
  observed gain is among the largest 2.5 % in at most 2.5 % of cases. This is exact, whatever the learning does, and
  although the models of the folds have learnt from each other's held-out answers. It assumes that the pairs would be
  the same if the answers were inverted. That is only nearly true if questions depended on earlier answers, or if
  somebody picks one of several pictures: inverted, the worst one would be the pick.
* **No gain.** If learning made no difference, it is a coin toss whether a series is judged better after it than before:
  the exact sign-flip test. This is for people who do have a taste, which the model knew as well before as after.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.estimates import Estimate
from redaes.types import Record

MOST_P = 0.025
"""One-sided probability under chance above which nothing is claimed."""

N_TOSSES = 199
"""Number of times that everything is learnt again from inverted answers; the smallest possible p-value is 1/200."""

_Z = 1.959964
"""Number of standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class HeldOutDecision:
    """A decision, and the verdicts of a model that had not learnt from its series."""

    decision: str
    """Id of the decision."""
    series: str
    fold: int
    sign: int
    """1: the first is preferred, -1: the second."""
    before: float
    """Log-odds of the first before learning, the mean over both orders."""
    after: float
    """Log-odds of the first after learning from the other folds, the mean over both orders."""


class TasteClaim(Record):
    """The result of testing whether anything was learnt."""

    n_decisions: int
    """Number of held-out decisions that prefer a picture."""
    n_series: int
    before: Estimate
    """Share of the held-out decisions with which the model agreed before learning."""
    after: Estimate
    difference: Estimate
    """Share after learning minus share before."""
    n_gained: int
    """Number of decisions judged wrongly before and rightly after."""
    n_lost: int
    """Number of decisions judged rightly before and wrongly after."""
    p_random: float | None
    """p-value of the test against answers at random; None: not computed, because the other test is not significant."""
    p_no_gain: float
    """p-value of the test against no gain."""
    better: bool
    """Whether both tests are significant, so that a gain is claimed."""

    def in_words(self) -> str:
        """Return the result in one sentence, with the reason if a gain is not claimed."""
        numbers = (
            f"{_percent(self.before)} of {self.n_decisions} held-out decisions ({self.n_series} series) before, "
            f"{_percent(self.after)} after, difference {_points(self.difference)}"
        )
        if self.better:
            return f"learnt: better than before: {numbers}"
        chance, of_whom = (
            (self.p_no_gain, "where learning makes no difference")
            if self.p_random is None
            else (self.p_random, "by answers at random")
        )
        why = (
            f"; so much is gained in {100 * chance:.1f} % of cases {of_whom}, and {100 * MOST_P:.1f} % are allowed: "
            "decisions about more series would tell"
        )
        return f"not better than before: {numbers}{why if (self.difference.value or 0.0) > 0 else ''}"


def rights(signs: NDArray[np.int_], log_odds: NDArray[np.float64]) -> NDArray[np.int_]:
    """Return for each decision 2 (right), 0 (wrong) or 1 (undecided), so that sums are whole numbers."""
    agreed = np.sign(log_odds) * signs
    found: NDArray[np.int_] = agreed.astype(np.int_) + 1
    return found


def judge_learning(
    held_out: Sequence[HeldOutDecision],
    gain_of: Callable[[NDArray[np.int_]], int],
    *,
    seed: int = 0,
    n_tosses: int = N_TOSSES,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> TasteClaim:
    """Compare the verdicts after learning with those before.

    Args:
        held_out: decisions with a preferred picture; ties are neither right nor wrong and do not belong here.
        gain_of: function of each decision's sign; it learns everything again and returns the sum of `rights` after
            minus that before.
        seed: seed of the tosses.
        n_tosses: number of tosses.
        progress: called with the number of finished tosses and of all tosses.

    Raises:
        InputError: there is nothing to compare.
    """
    if not held_out:
        raise InputError("no held-out decision prefers one picture, so there is nothing to test on; add decisions")
    signs = np.array([one.sign for one in held_out])
    before = rights(signs, np.array([one.before for one in held_out]))
    after = rights(signs, np.array([one.after for one in held_out]))
    names = [one.series for one in held_out]
    gains: dict[str, int] = defaultdict(int)
    for series, gain in zip(names, (after - before).tolist(), strict=True):
        gains[series] += gain
    total = sum(gains.values())
    p_no_gain = flip_probability([*gains.values()], total)
    p_random = None
    if p_no_gain <= MOST_P:
        p_random = _chance_of(total, signs, names, gain_of, seed, n_tosses, progress)
    return TasteClaim(
        n_decisions=len(held_out),
        n_series=len(gains),
        before=_share(before.tolist(), names),
        after=_share(after.tolist(), names),
        difference=_difference([*gains.values()], len(held_out)),
        n_gained=int((after > before).sum()),
        n_lost=int((after < before).sum()),
        p_random=p_random,
        p_no_gain=p_no_gain,
        better=p_random is not None and p_random <= MOST_P,
    )


def _chance_of(
    total: int,
    signs: NDArray[np.int_],
    names: Sequence[str],
    gain_of: Callable[[NDArray[np.int_]], int],
    seed: int,
    n_tosses: int,
    progress: Callable[[int, int], object],
) -> float:
    """Return the share of tosses, including the true answers, that gain at least as much."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    of_series = np.array([places[name] for name in names])
    coins = np.random.default_rng(seed)
    n_as_good = 1
    for toss in range(1, n_tosses + 1):
        turned = coins.choice((-1, 1), size=len(places))[of_series]
        n_as_good += gain_of(signs * turned) >= total
        progress(toss, n_tosses)
    return n_as_good / (n_tosses + 1)


def flip_probability(gains: Sequence[int], least: int) -> float:
    """Return how probable a sum of at least ``least`` is when each gain is as probable as its opposite, exactly.

    >>> flip_probability([1, 1, 1, 1], 4), flip_probability([1, -1], 0)
    (0.0625, 0.75)
    """
    sums = np.ones(1)  # distribution of the sum so far, from the smallest to the largest
    reach = 0
    for gain in map(abs, gains):
        wider = np.zeros(len(sums) + 2 * gain)
        wider[: len(sums)] += sums / 2
        wider[len(wider) - len(sums) :] += sums / 2
        sums, reach = wider, reach + gain
    return float(min(1.0, sums[max(0, least + reach) :].sum()))


def _share(right: Sequence[int], names: Sequence[str]) -> Estimate:
    """Return the share of right answers, with Wilson's interval for the effective number of independent answers."""
    n = len(right)
    share = sum(right) / (2 * n)
    apart: dict[str, float] = defaultdict(float)
    for one, series in zip(right, names, strict=True):
        apart[series] += one / 2 - share
    independent = sum((one / 2 - share) ** 2 for one in right)
    hang = sum(value**2 for value in apart.values()) / independent if independent else n / len(apart)
    worth = n / max(1.0, hang)
    centre = (share + _Z**2 / (2 * worth)) / (1 + _Z**2 / worth)
    half = _Z * math.sqrt(share * (1 - share) / worth + _Z**2 / (4 * worth**2)) / (1 + _Z**2 / worth)
    return Estimate(value=share, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def _difference(gains: Sequence[int], n: int) -> Estimate:
    """Return the mean gain of a decision, with a normal interval clustered by series."""
    value = sum(gains) / (2 * n)
    half = _Z * math.sqrt(sum((gain / 2) ** 2 for gain in gains)) / n
    return Estimate(value=value, low=max(-1.0, value - half), high=min(1.0, value + half), n=n)


def _percent(share: Estimate) -> str:
    return f"{100 * (share.value or 0):.0f} % ({100 * (share.low or 0):.0f} to {100 * (share.high or 0):.0f})"


def _points(change: Estimate) -> str:
    low, high = change.low or 0, change.high or 0
    return f"{100 * (change.value or 0):+.0f} points ({100 * low:+.0f} to {100 * high:+.0f})"
