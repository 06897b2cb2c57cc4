"""A taste as a direction: what it does to verdicts, against the last layer written out."""

from __future__ import annotations

import numpy as np
import pytest

from redaes.taste.direction import TasteKernel
from redaes.taste.reader import PairReadings, VerdictHead

N, D, H = 30, 12, 8


def _head() -> VerdictHead:
    return VerdictHead(np.random.default_rng(0).normal(size=H), 1e-6, "layer")


def _readings(n: int, seed: int) -> PairReadings:
    draws = np.random.default_rng(seed)
    states, head = draws.normal(size=(n, 2, H)), _head()
    odds = states @ head.direction / np.sqrt((states**2).mean(-1) + head.epsilon)
    return PairReadings(odds, draws.normal(size=(n, 2, D)), states)


def _kernel(keep: float = 0.0) -> TasteKernel:
    return TasteKernel.of(_head(), _readings(N, 1), _readings(60, 2), n_learnt=20, ridge=0.03, keep=keep)


def _by_hand(kernel: TasteKernel, weights: np.ndarray, places: range) -> np.ndarray:
    """The adapter's forward pass: the matrix's input times the row, along the column, through norm and head."""
    head, pairs = _head(), _readings(N, 1)
    column = head.direction / (head.direction @ head.direction)
    states = pairs.states + (pairs.inputs @ kernel.row(places, weights))[..., None] * column
    found: np.ndarray = states @ head.direction / np.sqrt((states**2).mean(-1) + head.epsilon)
    return found


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_after_is_what_the_adapter_does(keep: float) -> None:
    kernel, learnt = _kernel(keep), range(20)
    weights = kernel.learnt(learnt, np.random.default_rng(3).choice((0.0, 1.0), size=20))
    assert np.abs(weights).max() > 0.01
    np.testing.assert_allclose(kernel.after(range(N), learnt, weights), _by_hand(kernel, weights, learnt), atol=1e-9)


def test_a_rule_is_learnt_and_told_of_other_pairs() -> None:
    pairs = _readings(N, 1)
    rule = pairs.inputs[:, 0, 0] - pairs.inputs[:, 1, 0]
    kernel = _kernel()
    weights = kernel.learnt(range(20), (rule[:20] > 0).astype(float))
    odds = kernel.after(range(N), range(20), weights)

    def agreed(odds: np.ndarray) -> np.ndarray:
        same: np.ndarray = ((odds[:, 0] - odds[:, 1]) > 0) == (rule > 0)
        return same

    assert agreed(odds)[:20].mean() >= 0.9 > agreed(pairs.log_odds)[:20].mean()
    assert agreed(odds)[20:].mean() > agreed(pairs.log_odds)[20:].mean()


def test_turned_pairs_and_answers_are_the_same_taste() -> None:
    pairs = _readings(N, 1)
    turned = PairReadings(pairs.log_odds[:, ::-1], pairs.inputs[:, ::-1], pairs.states[:, ::-1])
    answers = np.random.default_rng(4).choice((0.0, 1.0), size=N)
    rows = []
    for one, wanted in ((pairs, answers), (turned, 1 - answers)):
        kernel = TasteKernel.of(_head(), one, _readings(60, 2), n_learnt=N, ridge=0.03, keep=1.0)
        rows.append(kernel.row(range(N), kernel.learnt(range(N), wanted)))
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


def test_kept_pairs_hold_the_verdicts_on_them() -> None:
    kept = _readings(60, 2)
    answers = np.random.default_rng(5).choice((0.0, 1.0), size=20)
    moved = []
    for keep in (0.0, 1.0, 10.0):
        kernel = _kernel(keep)
        row = kernel.row(range(20), kernel.learnt(range(20), answers))
        moved.append(float(np.abs(kept.inputs @ row).mean()))
    assert moved[0] > 1.5 * moved[1] > 2 * moved[2]
