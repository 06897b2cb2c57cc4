"""Measures of evaluation against scipy and scikit-learn, and their rules for ties, failures and clusters."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import curve_fit
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, root_mean_squared_error

from redaes import metrics
from redaes.errors import InputError
from redaes.estimates import bootstrap, paired_bootstrap
from redaes.evaluation import calibration, ceilings, resampling, series_measures
from redaes.ranking import count_cycles

few = st.integers(-3, 3).map(float)


@pytest.mark.parametrize("module", [calibration, resampling, series_measures], ids=lambda module: module.__name__)
def test_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(rows=st.lists(st.tuples(few, few), min_size=1, max_size=40), margin=st.sampled_from([0.0, 1.5]))
@settings(max_examples=150, deadline=None)
def test_pair_f1_is_that_of_scikit_learn(rows: list[tuple[float, float]], margin: float) -> None:
    predicted, labels = [row[0] for row in rows], [row[1] for row in rows]
    decided = [(np.sign(p), np.sign(y)) for p, y in rows if y != 0 and abs(y) >= margin]
    found = metrics.pair_f1(predicted, labels, tie_margin=margin)
    if not decided:
        assert found is None
        return
    expected = f1_score(
        [y for _, y in decided], [p for p, _ in decided], labels=[1, -1], average="macro", zero_division=0
    )
    assert found == pytest.approx(expected, abs=1e-12)
    swapped = metrics.pair_f1([-p for p in predicted], [-y for y in labels], tie_margin=margin)
    assert swapped == pytest.approx(found, abs=1e-12)  # whichever picture is listed first


def test_pair_f1_counts_failures_as_wrong() -> None:
    assert metrics.pair_f1([1.0, None], [1.0, -1.0], tie_margin=0.1) == pytest.approx(0.5)
    assert metrics.pair_f1([None], [1.0]) == 0.0


@given(rows=st.lists(st.tuples(few, st.floats(-5, 5)), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_rmse_is_that_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    assert metrics.rmse(x, y) == pytest.approx(root_mean_squared_error(x, y), abs=1e-12)


@pytest.mark.parametrize("kind", ["srcc", "plcc"])
@given(
    rows=st.lists(st.tuples(few, st.one_of(few, st.floats(-9, 9, width=32))), min_size=2, max_size=25),
    n_clusters=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_the_quick_bootstrap_gives_the_numbers_of_the_plain_one(
    kind: str, rows: list[tuple[float, float]], n_clusters: int
) -> None:
    data = np.array(rows)
    clusters = [f"c{index % n_clusters}" for index in range(len(rows))]
    statistic = metrics.srcc if kind == "srcc" else metrics.plcc
    plain = bootstrap(data, clusters, lambda part: statistic(part[:, 0], part[:, 1]), n_resamples=40, seed=3)
    quick = resampling.correlation_interval(data[:, 0], data[:, 1], clusters, kind, n_resamples=40, seed=3)  # type: ignore[arg-type]
    for found, expected in ((quick.value, plain.value), (quick.low, plain.low), (quick.high, plain.high)):
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_the_quick_bootstrap_agrees_with_scipy_on_every_resample() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = np.round(x + rng.normal(size=300), 1)
    draws, values = np.random.default_rng(7), []
    for _ in range(200):
        rows = draws.integers(300, size=300)
        values.append(stats.spearmanr(x[rows], y[rows]).statistic)
    found = resampling.correlation_interval(x, y, range(300), n_resamples=200, seed=7)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1e-12)


def test_the_change_of_a_correlation_is_paired() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    good, bad = y + rng.normal(size=200), y + 4 * rng.normal(size=200)
    clusters = [index // 2 for index in range(200)]
    data = np.stack([bad, good, y], axis=1)
    plain = paired_bootstrap(
        data[:, [0, 2]],
        data[:, [1, 2]],
        clusters,
        lambda part: metrics.srcc(part[:, 0], part[:, 1]),
        n_resamples=60,
        seed=1,
    )
    quick = resampling.correlation_change(bad, good, y, clusters, n_resamples=60, seed=1)
    assert (quick.value, quick.low, quick.high) == pytest.approx((plain.value, plain.low, plain.high))
    same = resampling.correlation_change(good, good, y, clusters, n_resamples=60, seed=1)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_malformed_data_is_refused() -> None:
    for call in (
        lambda: resampling.correlation_interval([1.0], [1.0, 2.0], [0]),
        lambda: resampling.correlation_interval([1.0, np.nan], [1.0, 2.0], [0, 1]),
        lambda: resampling.correlation_interval([1.0, 2.0], [1.0, 2.0], [0, 1], n_resamples=0),
        lambda: calibration.reliability([0.5], [0.5, 1.0]),
        lambda: calibration.reliability([1.5], [1.0]),
        lambda: calibration.reliability([0.5], [1.0], n_bins=0),
        lambda: series_measures.best_found([], []),
        lambda: series_measures.best_found([1.0], [1.0], k=0),
        lambda: series_measures.top_crops_accuracy([1.0], [1.0], k=2, n=1),
        lambda: series_measures.acyclic_triples(2, [(0, 2, 1.0, 1.0)]),
    ):
        with pytest.raises(InputError):
            call()


def test_reliability_has_the_bins_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(500)
    y = (rng.random(500) < p**2).astype(float)
    bins = calibration.reliability(list(p), list(y))
    observed, predicted = calibration_curve(y, p, n_bins=10)
    assert [one.predicted for one in bins] == pytest.approx(list(predicted))
    assert [one.observed for one in bins] == pytest.approx(list(observed))
    expected = sum(one.n / 500 * abs(a - b) for one, a, b in zip(bins, predicted, observed, strict=True))
    assert calibration.expected_calibration_error(bins) == pytest.approx(expected)
    assert calibration.expected_calibration_error([]) is None


def test_the_logistic_map_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(300.0, 50.0, size=400)
    y = 2.0 + 5.0 / (1.0 + np.exp(-(x - 310.0) / 20.0)) + rng.normal(0, 0.2, 400)

    def vqeg(x: np.ndarray, high: float, low: float, centre: float, width: float) -> np.ndarray:
        return low + (high - low) / (1.0 + np.exp(-(x - centre) / np.abs(width)))

    expected, _ = curve_fit(vqeg, x, y, p0=(y.max(), y.min(), x.mean(), x.std() / 4), maxfev=20_000)
    fitted = calibration.fit_logistic(x, y)
    assert fitted is not None
    assert fitted(x) == pytest.approx(vqeg(x, *expected), abs=1e-4)
    mapped, raw = metrics.plcc(fitted(x), y), metrics.plcc(x, y)
    assert mapped is not None
    assert raw is not None
    assert mapped > raw
    falling = calibration.fit_logistic(-x, y)
    assert falling is not None
    assert metrics.plcc(falling(-x), y) == pytest.approx(mapped, abs=1e-4)  # a falling curve is as good
    assert calibration.fit_logistic([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]) is None
    assert calibration.fit_logistic([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) is None


def test_s_acc_and_its_chance_level() -> None:
    # Every order of a series, each once: what is drawn at random.
    for labels in ([1.0, 2.0, 3.0], [1.0, 3.0, 3.0, 2.0]):
        for k in (1, 2, 3):
            orders = list(itertools.permutations(range(len(labels))))
            found = [series_measures.best_found(list(map(float, order)), labels, k) for order in orders]
            assert np.mean(found) == pytest.approx(series_measures.chance_series_accuracy([labels], k))
    assert series_measures.best_found([1.0, 1.0], [2.0, 2.0]) is None
    assert series_measures.chance_series_accuracy([[2.0, 2.0]]) is None


def test_ties_and_failures_find_nothing_in_any_order() -> None:
    for labels in itertools.permutations([1.0, 2.0, 3.0]):
        assert series_measures.best_found([0.5, 0.5, 0.5], labels) is False
        assert series_measures.best_found([0.1, None, 0.3], labels) is False
        assert series_measures.series_srcc([0.5, 0.5, 0.5], labels) == 0.0
        assert series_measures.series_srcc([0.1, None, 0.3], labels) == 0.0
        assert series_measures.top_crops_accuracy([0.5, 0.5, 0.5], labels, k=1, n=1) == 0.0
        assert series_measures.top_crops_accuracy([0.5, None, 0.5], labels, k=1, n=1) == 0.0
    assert series_measures.series_srcc([1.0, 2.0], [1.0, 2.0]) == pytest.approx(1.0)
    assert series_measures.series_srcc([1.0, 2.0], [1.0, 1.0]) is None


def test_crops_that_tie_with_the_last_of_the_best_are_among_them() -> None:
    assert series_measures.top_crops_accuracy([4.0, 3.0, 2.0, 1.0], [5.0, 4.0, 4.0, 4.0], k=2, n=2) == 1.0
    assert series_measures.top_crops_accuracy([1.0, 2.0], [1.0, 2.0], k=3, n=5) is None


@given(deltas=st.lists(st.integers(-1, 1), min_size=10, max_size=10))
@settings(max_examples=60, deadline=None)
def test_cycles_are_counted_over_the_triples_that_are_complete(deltas: list[int]) -> None:
    pairs = list(itertools.combinations(range(5), 2))
    edges = [(i, j, float(delta), 1.0) for (i, j), delta in zip(pairs, deltas, strict=True)]
    found = series_measures.acyclic_triples(5, edges)
    signs = {(i, j): delta for (i, j, delta, _) in edges}
    complete = [t for t in itertools.combinations(range(5), 3) if all(signs[p] for p in itertools.combinations(t, 2))]
    assert (found.n, found.n_excluded) == (len(complete), 10 - len(complete))
    assert found.n - found.n_right == count_cycles(5, edges)


def test_the_ceiling_of_votes_is_that_of_the_noise_that_was_put_in() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(5.5, 1.0, size=1500)
    votes = np.clip(np.round(truth[:, None] + rng.normal(0, 2.0, size=(1500, 20))), 1, 10).astype(int)
    histograms = np.stack([(votes == rating).sum(axis=1) for rating in range(1, 11)], axis=1)
    found = ceilings.vote_ceiling(histograms, n_splits=4)
    # 20 votes of standard deviation 2 around scores of standard deviation 1: reliability 1 / (1 + 4/20) = 0.83.
    assert found.reliability == pytest.approx(1 / 1.2, abs=0.03)
    assert found.ceiling == pytest.approx(metrics.srcc(votes.mean(axis=1), truth), abs=0.03)
    assert found == ceilings.vote_ceiling(histograms, n_splits=4)
    for wrong in ([[1, 0]], [[1, 1], [0, 1]], [[0.5, 2.0], [1, 1]], [[-1, 3], [1, 1]], [1, 2]):
        with pytest.raises(InputError):
            ceilings.vote_ceiling(wrong)
    with pytest.raises(InputError, match="n_splits"):
        ceilings.vote_ceiling(histograms, n_splits=0)
    with pytest.raises(InputError, match="do not agree"):
        ceilings.vote_ceiling([[2, 0, 2], [2, 0, 2], [0, 4, 0]])
