"""Whether a taste was learnt: nobody who answers at random is told so, and somebody with a taste is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.taste.claim import HeldOutDecision, TasteClaim, flip_probability, judge_learning, rights

N_SERIES, PER_SERIES, WIDTH, FOLDS = 12, 2, 6, 4


def _claimed(signs: NDArray[np.int_], features: NDArray[np.float64], n_tosses: int = 39) -> TasteClaim:
    """A learner that knows pairs by ``features`` and takes the mean answer as its direction, in four folds."""
    n = len(signs)
    series = np.arange(n) // PER_SERIES
    folds = series % FOLDS
    before = features[:, 0]

    def after(answers: NDArray[np.int_]) -> NDArray[np.float64]:
        found = np.zeros(n)
        for fold in range(FOLDS):
            rest = folds != fold
            found[~rest] = features[~rest] @ (features[rest] * answers[rest, None]).mean(0)
        return found

    def gain(answers: NDArray[np.int_]) -> int:
        return int(rights(answers, after(answers)).sum() - rights(answers, before).sum())

    held_out = [
        HeldOutDecision(str(place), str(series[place]), int(folds[place]), int(sign), float(old), float(new))
        for place, (sign, old, new) in enumerate(zip(signs, before, after(signs), strict=True))
    ]
    return judge_learning(held_out, gain, n_tosses=n_tosses)


def test_random_answers_are_hardly_ever_called_a_taste() -> None:
    draws = np.random.default_rng(0)
    n_trials = 400
    n_claimed = 0
    for _ in range(n_trials):
        features = draws.normal(size=(N_SERIES * PER_SERIES, WIDTH))
        signs = draws.choice((-1, 1), size=N_SERIES)[np.arange(len(features)) // PER_SERIES]
        n_claimed += _claimed(signs, features).better
    # At most 2.5 % by construction; 20 of 400 would be met once in 500 such tests if it were exactly that.
    assert n_claimed <= 20


def test_a_taste_is_found() -> None:
    features = np.random.default_rng(1).normal(size=(40, WIDTH))
    claim = _claimed(np.where(features[:, 1] > 0, 1, -1), features, 199)
    assert claim.better
    assert claim.after.value is not None
    assert claim.after.value > 0.75
    assert claim.difference.low is not None
    assert claim.difference.low > 0
    assert claim.in_words().startswith("learnt: better than before: ")


def test_a_taste_that_was_known_before_is_no_gain() -> None:
    features = np.random.default_rng(2).normal(size=(40, WIDTH))
    claim = _claimed(np.where(features[:, 0] > 0, 1, -1), features)
    assert claim.before.value == 1.0
    assert not claim.better
    assert claim.p_random is None
    assert claim.in_words().startswith("not better than before: 100 %")


def test_series_are_the_coins() -> None:
    gain = [HeldOutDecision(str(n), "one", 0, 1, -1.0, 1.0) for n in range(30)]
    claim = judge_learning(gain, lambda signs: 60)
    assert (claim.n_gained, claim.n_series, claim.p_no_gain) == (30, 1, 0.5)
    assert not claim.better


@pytest.mark.parametrize(
    ("gains", "least", "expected"), [([1] * 6, 6, 1 / 64), ([2, -2, 4], 4, 3 / 8), ([], 0, 1.0), ([0, 0], 0, 1.0)]
)
def test_sign_flips_are_counted_exactly(gains: list[int], least: int, expected: float) -> None:
    assert flip_probability(gains, least) == pytest.approx(expected)


def test_undecided_is_half_right() -> None:
    assert rights(np.array([1, -1, 1]), np.array([0.5, 0.5, 0.0])).tolist() == [2, 0, 1]


def test_nothing_held_out_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to test on"):
        judge_learning([], lambda signs: 0)


def _held_out(series: str, rightly: bool) -> HeldOutDecision:
    """One that was judged wrongly before."""
    return HeldOutDecision("d", series, 0, 1, -1.0, 1.0 if rightly else -1.0)


def test_answers_of_a_series_are_turned_together_and_equal_gains_count() -> None:
    held_out = [_held_out(name, True) for name in "aaabbcddddeffffgghh"]
    names = np.array([one.series for one in held_out])
    tossed: list[tuple[int, ...]] = []

    def gain(signs: NDArray[np.int_]) -> int:
        assert all(len(set(signs[names == name])) == 1 for name in names)
        tossed.append(tuple(signs))
        return 2 * len(held_out)  # as much as was gained

    claim = judge_learning(held_out, gain, n_tosses=39)
    assert claim.p_no_gain <= 0.025
    assert (len(tossed), claim.p_random, claim.better) == (39, 1.0, False)
    assert len(set(tossed)) > 30


def test_decisions_of_a_series_that_hang_together_are_worth_fewer() -> None:
    def width(names: str) -> float:
        held_out = [_held_out(name, number % 8 < 4) for number, name in enumerate(names)]
        after = judge_learning(held_out, lambda signs: 0, n_tosses=1).after
        assert after.low is not None
        assert after.high is not None
        return after.high - after.low

    alone = "".join(chr(ord("a") + number) for number in range(24))
    assert width("aaaabbbbccccddddeeeeffff") > 1.5 * width(alone)


def test_a_gain_that_is_not_claimed_says_why() -> None:
    held_out = [HeldOutDecision(str(n), str(n % 4), n % 2, 1, -1.0, 1.0 if n < 10 else -1.0) for n in range(12)]
    few = judge_learning(held_out, lambda signs: 0)
    assert (few.better, few.p_random) == (False, None)
    assert few.in_words().endswith(
        "; so much is gained in 6.2 % of cases where learning makes no difference, and 2.5 % are allowed: "
        "decisions about more series would tell"
    )
    held_out = [HeldOutDecision(str(n), str(n), n % 2, 1, -1.0, 1.0) for n in range(12)]
    always = judge_learning(held_out, lambda signs: 24, n_tosses=19)
    assert not always.better
    assert "; so much is gained in 100.0 % of cases by answers at random, and 2.5 % are allowed: " in always.in_words()
    lost = judge_learning([HeldOutDecision("a", "a", 0, 1, 1.0, -1.0)], lambda signs: 0)
    assert "so much" not in lost.in_words()
