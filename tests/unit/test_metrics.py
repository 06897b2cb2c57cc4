"""Metrics against scipy, and the policy for ties and failures."""

from __future__ import annotations

import doctest
import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from redaes import metrics
from redaes.errors import InputError
from redaes.estimates import Proportion
from redaes.metrics import krcc, pair_accuracy, pair_f1, plcc, srcc, swap_consistency
from redaes.types import TIE_MARGIN

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


def test_kendalls_tau_corrects_for_the_ties_of_both_sides() -> None:
    # Ten pairs of five items: x ties one of them, y ties two; five stand alike in both, two turned round.
    x, y = [1.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 2.0, 4.0, 2.0]
    pairs = list(itertools.combinations(range(5), 2))
    signs = [(np.sign(x[b] - x[a]), np.sign(y[b] - y[a])) for a, b in pairs]
    untied_x, untied_y = (sum(bool(sign[side]) for sign in signs) for side in (0, 1))
    expected = sum(a * b for a, b in signs) / (untied_x * untied_y) ** 0.5
    assert untied_x != untied_y
    assert krcc(x, y) == pytest.approx(expected, abs=1e-15)


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
    assert pair_accuracy(predicted, labels) == Proportion.counted(3, 5, n_failed=1, n_excluded=2)
    assert pair_accuracy(predicted, labels).value == 0.6


def test_pair_accuracy_without_a_margin_excludes_only_equal_labels() -> None:
    assert pair_accuracy([1.0, 1.0], [1e-9, 0.0], tie_margin=0.0) == Proportion.counted(1, 1, n_excluded=1)


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
    assert swap_consistency(forward, swapped) == Proportion.counted(2, 7, n_failed=2)


def test_lengths_must_agree() -> None:
    for call in (
        lambda: pair_accuracy([1.0], []),
        lambda: swap_consistency([1.0], []),
    ):
        with pytest.raises(InputError, match="lengths differ"):
            call()
    with pytest.raises(InputError, match="not finite"):
        pair_accuracy([float("nan")], [1.0])
    with pytest.raises(InputError, match="not finite"):
        swap_consistency([float("nan")], [1.0])


def test_doctests() -> None:
    result = doctest.testmod(metrics)
    assert result.failed == 0
    assert result.attempted >= 5


def test_f1_is_taken_over_all_pairs_of_a_side() -> None:
    assert pair_f1([1.0, 1.0, 1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0, -1.0]) == pytest.approx((6 / 7 + 2 / 3) / 2)


def test_f1_leaves_labelled_ties_out_and_a_label_at_the_margin_is_none() -> None:
    assert pair_f1([1.0, -1.0], [1.0, TIE_MARGIN / 2]) == 0.5
    assert pair_f1([1.0], [TIE_MARGIN]) == 0.5
    assert pair_f1([1.0], [TIE_MARGIN / 2]) is None


def test_correlation_of_numbers_of_length_one() -> None:
    x = [0.5, -0.5, 0.5, -0.5]  # only a length of 0 has no correlation
    assert plcc(x, x) == pytest.approx(1.0)
