"""Whether a taste was learnt: held-out decisions before and after, and how easily chance would look like it.

Two tests must both say so, each at 2.5 %, one-sided:

* **Answers at random.** All answers of a series are turned round, or none, by the toss of a coin, and everything is
  learnt and asked again, many times. Of somebody who answers at random the true answers are but one more toss, so the
  gain that was found is among the largest 2.5 % in at most 2.5 % of cases: exact, whatever the learning does, and
  although the models of the folds have learnt from each other's held-out answers. It takes for granted that the pairs
  would be the same if the answers were turned, which holds nearly, not exactly, where a question followed from earlier
  answers, or where somebody picks one of several: the worst one would be as odd a pick as the best.
* **No gain.** Whether a series was better judged after than before is the toss of a coin, if learning made no
  difference: the sign-flip test, in all ways that there are. This is for people who do have a taste, which the model
  knew before as well as after.
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
"""Times that everything is learnt anew from turned answers; the smallest probability that can be found is 1/200."""

_Z = 1.959964
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class HeldOutDecision:
    """A decision, and what was said of it by a model that had not seen its series."""

    decision: str
    """Its id."""
    series: str
    fold: int
    sign: int
    """1: the first is preferred, -1: the second."""
    before: float
    """Log-odds of the first before learning, the mean over both orders."""
    after: float
    """The same after learning from the other folds."""


class TasteClaim(Record):
    """What can be said of the learning."""

    n_decisions: int
    """That were held out and say which picture is preferred."""
    n_series: int
    before: Estimate
    """Share of the held-out decisions that the model agreed with before."""
    after: Estimate
    difference: Estimate
    """After less before."""
    n_gained: int
    """Decisions judged wrongly before and rightly after."""
    n_lost: int
    """The other way round."""
    p_random: float | None
    """How often answers at random would gain as much; None: not asked, for the other test has said no."""
    p_no_gain: float
    """How often so much is gained where learning makes no difference."""
    better: bool
    """Whether it is claimed that something was learnt."""

    def in_words(self) -> str:
        """Return one plain sentence; of a gain that is not claimed it says why not."""
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
    """Compare after with before.

    Args:
        held_out: decisions with a preferred picture; ties are neither right nor wrong and do not belong here.
        gain_of: from the sign of each decision to the sum of `rights` after less that before, all learnt anew.
        seed: seed of the tosses.
        n_tosses: how often it is asked.
        progress: told how many tosses are done, and how many there are.

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
    """Return the share of tosses, the true answers among them, that gain as much."""
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
    sums = np.ones(1)  # of what was added up so far, from the smallest sum to the largest
    reach = 0
    for gain in map(abs, gains):
        wider = np.zeros(len(sums) + 2 * gain)
        wider[: len(sums)] += sums / 2
        wider[len(wider) - len(sums) :] += sums / 2
        sums, reach = wider, reach + gain
    return float(min(1.0, sums[max(0, least + reach) :].sum()))


def _share(right: Sequence[int], names: Sequence[str]) -> Estimate:
    """Return the share of right answers, with Wilson's interval for as many independent ones as they are worth."""
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
    """Return the mean gain of a decision with its normal interval, series by series."""
    value = sum(gains) / (2 * n)
    half = _Z * math.sqrt(sum((gain / 2) ** 2 for gain in gains)) / n
    return Estimate(value=value, low=max(-1.0, value - half), high=min(1.0, value + half), n=n)


def _percent(share: Estimate) -> str:
    return f"{100 * (share.value or 0):.0f} % ({100 * (share.low or 0):.0f} to {100 * (share.high or 0):.0f})"


def _points(change: Estimate) -> str:
    low, high = change.low or 0, change.high or 0
    return f"{100 * (change.value or 0):+.0f} points ({100 * low:+.0f} to {100 * high:+.0f})"
