"""Estimates: intervals, shares and changes against theory and scipy, and what is told of them in JSON."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from redaes import estimates
from redaes.errors import InputError
from redaes.estimates import (
    Estimate,
    MeasureChange,
    Proportion,
    bootstrap,
    bootstrap_mean,
    mean,
    mean_change,
    paired_bootstrap,
    proportion,
)
from redaes.metrics import srcc


def test_interval_has_the_width_that_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap(values, range(400), np.mean)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.15 * half)


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
    first = bootstrap(values, range(30), np.mean, n_resamples=200, seed=1)
    assert bootstrap(values, range(30), np.mean, n_resamples=200, seed=1) == first
    assert bootstrap(values, range(30), np.mean, n_resamples=200, seed=2) != first


def test_rows_may_have_columns_and_undefined_resamples_are_left_out() -> None:
    rows = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 5.0]])
    drawn: list[float | None] = []

    def statistic(part: np.ndarray) -> float | None:
        drawn.append(srcc(part[:, 0], part[:, 1]))
        return drawn[-1]

    interval = bootstrap(rows, "abc", statistic, n_resamples=300)
    assert interval.value == pytest.approx(1.0)
    assert 10 < drawn.count(None) < 80  # one in nine resamples repeats a single row
    defined = [value for value in drawn[1:] if value is not None]
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(defined, [2.5, 97.5])))


def test_too_little_data_gives_no_interval() -> None:
    assert bootstrap([1.0, 3.0], ["a", "a"], np.mean) == Estimate(value=2.0)
    assert bootstrap([], [], np.mean) == Estimate(value=None)
    assert bootstrap([1.0, 3.0], ["a", "b"], lambda rows: None) == Estimate(value=None)
    with pytest.raises(InputError, match="n_resamples is 0"):
        bootstrap([1.0], ["a"], np.mean, n_resamples=0)


def test_pairing_removes_what_both_sides_share() -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(size=100) * 10
    after = before + 1.0 + rng.normal(size=100) * 0.1
    change = paired_bootstrap(before, after, range(100), np.mean)
    assert change.value == pytest.approx(1.0, abs=0.05)
    assert 0.9 < change.low < change.high < 1.1
    unpaired = bootstrap(after, range(100), np.mean)
    assert change.high - change.low < 0.1 * (unpaired.high - unpaired.low)


def test_no_change_is_exactly_zero() -> None:
    values = np.random.default_rng(4).normal(size=20)
    assert paired_bootstrap(values, values, range(20), np.mean, n_resamples=50) == Estimate(
        value=0.0, low=0.0, high=0.0
    )


def test_a_change_is_undefined_where_either_side_is() -> None:
    constant, varied = np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [2.0, 2.0]])
    for sides in ((constant, varied), (varied, constant)):
        assert paired_bootstrap(*sides, "ab", lambda r: srcc(r[:, 0], r[:, 1])).value is None


def test_columns_of_other_lengths_are_refused() -> None:
    for call in (
        lambda: bootstrap([1.0], [], np.mean),
        lambda: paired_bootstrap([1.0], [1.0, 2.0], ["a"], np.mean),
        lambda: mean_change("m", [1.0], [1.0], [], seed=0),
    ):
        with pytest.raises(InputError, match="lengths differ"):
            call()


def test_a_share_has_the_interval_of_its_mean() -> None:
    right, clusters = [True, True, False, True, False], list("aabbc")
    found = proportion(right, clusters, n_failed=1, n_excluded=4, seed=3)
    assert found == Proportion(**{**Proportion.counted(3, 5, n_failed=1, n_excluded=4).model_dump(), **_ends(found)})
    assert found.over(5) == found
    plain = bootstrap(np.array(right, dtype=float), clusters, mean, seed=3)
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)
    assert bootstrap_mean(list(zip(right, clusters, strict=True)), seed=3) == plain
    assert Proportion.counted(0, 0).value is None


def _ends(one: Estimate) -> dict[str, float | None]:
    return {"low": one.low, "high": one.high}


def test_what_is_not_told_has_no_key_and_old_files_are_read() -> None:
    assert Estimate(value=0.5).model_dump() == {"value": 0.5, "low": None, "high": None}
    assert Estimate(value=0.5).over(3).model_dump(mode="json") == {"value": 0.5, "low": None, "high": None, "n": 3}
    assert Estimate.model_validate({"value": 0.5, "low": None, "high": None}) == Estimate(value=0.5)
    share = {"value": 0.5, "low": None, "high": None, "n_right": 1, "n": 2, "n_failed": 0, "n_excluded": 1}
    assert Proportion.model_validate(share).model_dump() == share
    change = MeasureChange(measure="m", value=0.5, n=2, n_gained=1, n_lost=0)
    assert set(change.model_dump()) == {"measure", "value", "low", "high", "n", "p"}


@given(outcomes=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
@settings(max_examples=60, deadline=None)
def test_the_change_of_a_share_has_mcnemars_test(outcomes: list[tuple[bool, bool]]) -> None:
    found = mean_change("m", [a for a, _ in outcomes], [b for _, b in outcomes], range(len(outcomes)), n_resamples=1)
    assert (found.n_gained, found.n_lost) == (outcomes.count((False, True)), outcomes.count((True, False)))
    changed = (found.n_gained or 0) + (found.n_lost or 0)
    expected = stats.binomtest(found.n_gained, changed).pvalue if changed else 1.0
    assert found.p == pytest.approx(expected, abs=1e-12)


def test_the_change_of_another_mean_has_no_such_test() -> None:
    found = mean_change("m", [0.5, 1.0], [1.0, 1.0], ["a", "b"])
    assert (found.value, found.n, found.p, found.n_gained, found.n_lost) == (0.25, 2, None, None, None)


def test_doctests() -> None:
    result = doctest.testmod(estimates)
    assert result.failed == 0
    assert result.attempted >= 4
