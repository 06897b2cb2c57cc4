"""Metrics against scipy, the policy for ties and failures, and the intervals."""

from __future__ import annotations

import doctest
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from redaes import metrics
from redaes.errors import InputError
from redaes.metrics import (
    Interval,
    Share,
    bootstrap,
    factor_accuracy,
    krcc,
    pair_accuracy,
    paired_bootstrap,
    parse_rate,
    plcc,
    srcc,
    swap_consistency,
)
from redaes.types import Rationale

tied = st.integers(-3, 3).map(float)
untied = st.floats(-1e6, 1e6, width=32)
columns = st.one_of(
    st.lists(st.tuples(tied, tied), max_size=30),
    st.lists(st.tuples(untied, untied), max_size=30),
    st.lists(st.tuples(untied, tied), max_size=30),
)
REFERENCE = {srcc: stats.spearmanr, plcc: stats.pearsonr, krcc: stats.kendalltau}


@pytest.mark.parametrize("metric", [srcc, plcc, krcc])
@given(rows=columns)
@settings(max_examples=150, deadline=None)
def test_agrees_with_scipy(metric: object, rows: list[tuple[float, float]]) -> None:
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    found = metric(x, y)  # type: ignore[operator]
    if len(rows) < 2 or len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's remark on nearly constant data
        expected = REFERENCE[metric](x, y).statistic  # type: ignore[index]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [srcc, plcc, krcc])
@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_scipy_on_a_long_sample(metric: object, ties: bool) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=1500)
    y = x + rng.normal(size=1500)
    if ties:
        x, y = np.round(x), np.round(y, 1)
    assert metric(x, y) == pytest.approx(REFERENCE[metric](x, y).statistic, abs=1e-13)  # type: ignore[operator, index]


@pytest.mark.parametrize("metric", [srcc, plcc, krcc])
def test_undefined_is_none_and_malformed_is_an_error(metric: object) -> None:
    call = metric
    assert call([], []) is None  # type: ignore[operator]
    assert call([1.0], [2.0]) is None  # type: ignore[operator]
    assert call([0.1] * 3, [1.0, 2.0, 3.0]) is None  # type: ignore[operator]
    assert call([1.0, 2.0, 3.0], [0.1] * 3) is None  # type: ignore[operator]
    for x, y in [
        ([1.0], [1.0, 2.0]),
        ([1.0, np.nan], [1.0, 2.0]),
        ([1.0, 2.0], [np.inf, 2.0]),
        ([[1.0]], [[1.0]]),
    ]:
        with pytest.raises(InputError):
            call(x, y)  # type: ignore[operator]


def test_plcc_where_the_arithmetic_ends() -> None:
    assert plcc([0.0, 5e-324], [0.0, 1.0]) is None  # the squared difference vanishes
    assert krcc([0.0, 5e-324], [0.0, 1.0]) == 1.0


def test_ranks_see_only_order_and_the_line_sees_more() -> None:
    x = np.arange(1.0, 20.0)
    assert srcc(x, np.exp(x)) == pytest.approx(1.0)
    assert krcc(x, -np.exp(x)) == pytest.approx(-1.0)
    assert plcc(x, np.exp(x)) < 0.6


# --- shares ------------------------------------------------------------------------------------------------


def test_pair_accuracy_policy() -> None:
    labels = [1.0, -1.0, 1.0, 1.0, 0.0, 0.24, -0.25]
    predicted = [0.1, -3.0, 0.0, None, 5.0, None, -0.01]
    # right, right, tie on a decided label, failure, excluded, excluded, right
    assert pair_accuracy(predicted, labels) == Share(n_right=3, n=5, n_failed=1, n_excluded=2)
    assert pair_accuracy(predicted, labels).value == 0.6


def test_pair_accuracy_without_a_margin_excludes_only_equal_labels() -> None:
    assert pair_accuracy([1.0, 1.0], [1e-9, 0.0], tie_margin=0.0) == Share(1, 1, 0, 1)


@given(st.lists(st.tuples(st.none() | st.floats(-9, 9), st.floats(-9, 9)), max_size=20))
def test_pair_accuracy_does_not_depend_on_which_picture_is_shown_first(rows: list) -> None:
    forward = pair_accuracy([p for p, _ in rows], [t for _, t in rows])
    swapped = pair_accuracy([None if p is None else -p for p, _ in rows], [-t for _, t in rows])
    assert forward == swapped


def test_guessing_ties_or_failing_earns_nothing() -> None:
    assert pair_accuracy([0.0, None], [1.0, -1.0]).value == 0.0


def test_swap_consistency_policy() -> None:
    forward = [1.0, 1.0, 0.0, 0.0, -1.0, None, None]
    swapped = [-0.1, 1.0, 0.0, 1.0, 0.0, 1.0, None]
    assert swap_consistency(forward, swapped) == Share(n_right=2, n=7, n_failed=2, n_excluded=0)


def test_parse_rate() -> None:
    assert parse_rate([0.0, "", None]) == Share(2, 3, 1, 0)
    assert parse_rate([]).value is None


def test_factor_accuracy_asks_for_exactly_the_true_factors() -> None:
    def said(*factors: str) -> Rationale:
        return Rationale(text="", factors=factors, better="A" if factors else "tie")  # type: ignore[arg-type]

    rationales = [said("light", "focus"), said("light"), said("light", "focus", "noise"), said(), None]
    truth = [("focus", "light"), ("light", "focus"), ("light", "focus"), (), ()]
    assert factor_accuracy(rationales, truth) == Share(2, 5, 1, 0)  # type: ignore[arg-type]


def test_lengths_must_agree() -> None:
    for call in (
        lambda: pair_accuracy([1.0], []),
        lambda: swap_consistency([1.0], []),
        lambda: factor_accuracy([None], []),
        lambda: bootstrap([1.0], [], np.mean),
        lambda: paired_bootstrap([1.0], [1.0, 2.0], ["a"], np.mean),
    ):
        with pytest.raises(InputError, match="lengths differ"):
            call()
    with pytest.raises(InputError, match="not finite"):
        pair_accuracy([float("nan")], [1.0])
    with pytest.raises(InputError, match="not finite"):
        swap_consistency([float("nan")], [1.0])


# --- intervals ---------------------------------------------------------------------------------------------


def test_interval_has_the_width_that_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap(values, range(400), np.mean)
    half = 1.96 * values.std() / 20
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert (interval.n_clusters, interval.n_undefined) == (400, 0)


def test_whole_clusters_are_drawn() -> None:
    # 40 photographs, each ten times: no more is known than from 40 rows.
    per_photo = np.random.default_rng(1).normal(size=40)
    wide = bootstrap(np.repeat(per_photo, 10), np.repeat(np.arange(40), 10), np.mean)
    same = bootstrap(per_photo, range(40), np.mean)
    narrow = bootstrap(np.repeat(per_photo, 10), range(400), np.mean)
    assert (wide.low, wide.high) == pytest.approx((same.low, same.high))
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


def test_the_seed_alone_decides_the_resampling() -> None:
    values = np.random.default_rng(2).normal(size=30)
    first = bootstrap(values, range(30), np.mean, n=200, seed=1)
    assert bootstrap(values, range(30), np.mean, n=200, seed=1) == first
    assert bootstrap(values, range(30), np.mean, n=200, seed=2) != first


def test_rows_may_have_columns_and_undefined_resamples_are_counted() -> None:
    rows = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 5.0]])
    interval = bootstrap(rows, "abc", lambda r: srcc(r[:, 0], r[:, 1]), n=300)
    assert interval.estimate == pytest.approx(1.0)
    assert 10 < interval.n_undefined < 80  # one in nine resamples repeats a single row


def test_too_little_data_gives_no_interval() -> None:
    assert bootstrap([1.0, 3.0], ["a", "a"], np.mean) == Interval(2.0, None, None, 1, 0)
    assert bootstrap([], [], np.mean) == Interval(None, None, None, 0, 0)
    assert bootstrap([1.0, 3.0], ["a", "b"], lambda rows: None) == Interval(None, None, None, 2, 0)
    with pytest.raises(InputError, match="n is 0"):
        bootstrap([1.0], ["a"], np.mean, n=0)


def test_pairing_removes_what_both_sides_share() -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(size=100) * 10
    after = before + 1.0 + rng.normal(size=100) * 0.1
    change = paired_bootstrap(before, after, range(100), np.mean)
    assert change.estimate == pytest.approx(1.0, abs=0.05)
    assert 0.9 < change.low < change.high < 1.1
    unpaired = bootstrap(after, range(100), np.mean)
    assert change.high - change.low < 0.1 * (unpaired.high - unpaired.low)


def test_no_change_is_exactly_zero() -> None:
    values = np.random.default_rng(4).normal(size=20)
    assert paired_bootstrap(values, values, range(20), np.mean, n=50) == Interval(0.0, 0.0, 0.0, 20, 0)


def test_a_change_is_undefined_where_either_side_is() -> None:
    constant, varied = np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [2.0, 2.0]])
    for sides in ((constant, varied), (varied, constant)):
        assert paired_bootstrap(*sides, "ab", lambda r: srcc(r[:, 0], r[:, 1])).estimate is None


def test_doctests() -> None:
    result = doctest.testmod(metrics)
    assert result.failed == 0
    assert result.attempted >= 5
