"""Series that are too long to look at all pairs: strengths without a table, and rounds that are drawn."""

from __future__ import annotations

import doctest
import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest

from redaes.metrics import srcc
from redaes.ranking import LONG, Outcome, Schedule, fit_sparse, fit_strengths, order, rank, schedule, sparse
from redaes.types import PairAnswer

NORMAL = NormalDist()


def answered(n: int, n_pairs: int, noise: float = 0.5) -> list[Outcome]:
    rng = np.random.default_rng(n)
    truth = rng.normal(size=n)
    pairs = [rng.choice(n, 2, replace=False) for _ in range(n_pairs)]
    return [(int(i), int(j), NORMAL.cdf(truth[i] - truth[j] + rng.normal() * noise), 2.0) for i, j in pairs]


def truly(seed: int, n: int, n_pairs: int | None = None, top_k: int | None = None) -> tuple[np.ndarray, list[Outcome]]:
    """True strengths, and what a judge said whom a schedule asked."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    asking = Schedule(n, max_pairs=n_pairs, top_k=top_k, seed=seed)
    said: list[Outcome] = []
    while pairs := asking.next_round():
        assert len({item for pair in pairs for item in pair}) == 2 * len(pairs) or len(said) == 0
        for i, j in pairs:
            said.append((i, j, NORMAL.cdf((truth[i] - truth[j]) / 0.8 + rng.normal() * 0.7), 2.0))
            asking.record(*said[-1])
    return truth, said


@pytest.mark.parametrize("n", [2, 41, 120])
def test_strengths_are_those_of_the_table_and_errors_nearly(n: int) -> None:
    outcomes = answered(n, 7 * n)
    table, without = fit_strengths(n, outcomes), fit_sparse(n, outcomes)
    np.testing.assert_allclose(without.values, table.values, atol=1e-7)
    np.testing.assert_allclose(without.errors, table.errors, rtol=0.25)


def test_an_item_that_nobody_asked_about_is_the_least_certain() -> None:
    fitted = fit_sparse(5, [(0, 1, 0.9, 2.0), (1, 2, 0.8, 2.0), (0, 2, 0.9, 2.0), (0, 3, 0.5, 2.0)])
    assert fitted.errors.argmax() == 4
    assert np.isfinite(fitted.errors).all()


def test_the_best_of_a_long_series_are_settled_when_they_stand_out() -> None:
    rng = np.random.default_rng(0)
    outcomes = [(0, other, 0.99, 50.0) for other in range(1, 50)]
    outcomes += [(int(i), int(j), 0.5, 50.0) for i, j in (1 + rng.choice(49, 2, replace=False) for _ in range(200))]
    assert fit_sparse(50, outcomes).settled(1)
    assert not fit_sparse(50, outcomes).settled(5)


def test_drawn_rounds_keep_the_budget_ask_no_pair_twice_and_order_well() -> None:
    truth, said = truly(1, 2 * LONG)
    pairs = {frozenset(one[:2]) for one in said}
    assert len(said) == len(pairs) == 7 * 2 * LONG
    assert srcc(fit_strengths(len(truth), said).values, truth) > 0.93
    assert truly(1, 2 * LONG)[1] == said


def test_drawn_rounds_end_where_all_pairs_were_asked() -> None:
    n = LONG + 1
    _, said = truly(2, n, n_pairs=n * n)
    assert {frozenset(one[:2]) for one in said} == {frozenset((i, j)) for i in range(n) for j in range(i)}


def test_drawn_rounds_stop_when_the_best_is_settled() -> None:
    n = 60
    asking = Schedule(n, top_k=1)
    n_asked = 0
    while pairs := asking.next_round():
        n_asked += len(pairs)
        for i, j in pairs:
            asking.record(i, j, 0.99 if i == 7 else 0.01 if j == 7 else 0.5, 2.0)
    assert n_asked < 7 * n


def test_a_long_series_takes_memory_by_its_comparisons() -> None:
    """A table of 2,000 pictures would take 32 MB."""
    n = 2000
    tracemalloc.start()
    _, said = truly(3, n, n_pairs=2 * n)
    fit_sparse(n, said)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(said) == 2 * n
    assert peak < 16_000_000


def test_a_long_ranking_has_errors_and_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"{item:03d}" for item in range(60)]
    answers = [
        PairAnswer(first=ids[i], second=ids[j], probability=said, n_calls=2, n_failed=0)
        for i, j, said, _ in answered(60, 420)
    ]
    table = rank(ids, answers, top_k=3)
    monkeypatch.setattr(order, "MAX_DENSE", 40)
    without = rank(ids, answers, top_k=3)
    assert without.order == table.order
    assert without.n_cycles == table.n_cycles > 0
    assert without.errors == pytest.approx(table.errors, rel=0.25)


@pytest.mark.parametrize("module", [sparse, schedule])
def test_doctests(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
