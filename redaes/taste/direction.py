"""A taste as one direction in the last layer, found by logistic regression.

A LoRA of rank 1 on the last layer's ``down_proj`` adds w·h to the verdict's log-odds (times the norm's scale), where h
is the input of that matrix. Finding w is logistic regression with the verdicts before learning as offset: stage 2's
loss over both orders of every pair, whose only minimum is found exactly. Nothing is random.

Two penalties keep w small: a ridge, and the edited pairs, on which the verdicts should not change (the second-order
part of the cross-entropy with the verdicts before learning). Both form one quadratic form, so only a kernel between
readings is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redaes.taste.reader import PairReadings, VerdictHead

_ITERATIONS = 50
_SMALLEST_STEP = 1e-4


_LEAST_STIFFNESS = 0.05
"""Smallest weight of a kept verdict, because p (1 - p) of a nearly certain one would not hold it."""


@dataclass(frozen=True)
class TasteKernel:
    """The data of N pairs that learning needs; it learns a weight for each of their 2N readings."""

    kernel: NDArray[np.float64]
    """How much a weight on one reading changes the log-odds of another, (2N, 2N); both orders of a pair are
    neighbours.
    """
    basis: NDArray[np.float64]
    """What a weight on a reading adds to the row w, (2N, d)."""
    log_odds: NDArray[np.float64]
    """Log-odds before learning, (N, 2)."""
    dots: NDArray[np.float64]
    """Product of the last state and the verdict's direction, (N, 2)."""
    squares: NDArray[np.float64]
    """Mean square of the last state, (N, 2)."""
    stretch: float
    """Squared length of the verdict's direction, times the number of its entries."""
    epsilon: float

    @classmethod
    def of(
        cls, head: VerdictHead, pairs: PairReadings, kept: PairReadings, *, n_learnt: int, ridge: float, keep: float
    ) -> TasteKernel:
        """Return the kernel of some pairs.

        Args:
            head: head of the model.
            pairs: readings of N pairs: those to learn from, and those to predict.
            kept: readings of the pairs whose verdicts should not change.
            n_learnt: number of decisions to learn from.
            ridge: precision of w, if readings have a mean square distance of 1 from their centre.
            keep: weight of all kept pairs together, relative to all decisions to learn from.
        """
        n, d = len(pairs.log_odds), pairs.inputs.shape[-1]
        rows = head.normed(pairs).reshape(2 * n, d)
        spread = np.sqrt(((rows - rows.mean(0)) ** 2).sum(1).mean())
        unit = 1.0 / spread if spread > 0 else 1.0
        rows = rows * unit
        basis = rows / ridge
        if keep > 0 and len(kept.log_odds):
            kept_rows = head.normed(kept).reshape(-1, d) * unit
            share = 1 / (1 + np.exp(-kept.log_odds.reshape(-1)))
            stiff = np.maximum(share * (1 - share), _LEAST_STIFFNESS) * keep * n_learnt / len(kept.log_odds)
            # Woodbury's identity: the inverse of ridge + kept' stiff kept without a d x d matrix.
            small = ridge * np.diag(1 / stiff) + kept_rows @ kept_rows.T
            basis = basis - (np.linalg.solve(small, kept_rows @ rows.T).T @ kept_rows) / ridge
        return cls(
            kernel=rows @ basis.T,
            basis=basis * unit,
            log_odds=pairs.log_odds,
            dots=pairs.states @ head.direction,
            squares=(pairs.states**2).mean(-1),
            stretch=float(head.direction @ head.direction) * len(head.direction),
            epsilon=head.epsilon,
        )

    def learnt(self, places: Sequence[int] | NDArray[np.intp], p_first: NDArray[np.float64]) -> NDArray[np.float64]:
        """Learn from some of the pairs.

        Args:
            places: places of M pairs.
            p_first: share of the answers about each pair that prefer its first picture, (M,).

        Returns:
            Weights of their readings, (2M,).
        """
        rows = _readings(places)
        kernel = self.kernel[np.ix_(rows, rows)]
        wanted = np.stack([p_first, 1 - p_first], axis=1).reshape(-1)
        return _logistic(kernel, wanted, self.log_odds.reshape(-1)[rows])

    def after(
        self,
        asked: Sequence[int] | NDArray[np.intp],
        places: Sequence[int] | NDArray[np.intp],
        weights: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return (asked, 2) log-odds of pairs after learning, exactly as the model would give them.

        Args:
            asked: places of pairs.
            places: places of the M pairs that were learnt from.
            weights: weights of their readings, (2M,).
        """
        change = (self.kernel[np.ix_(_readings(asked), _readings(places))] @ weights).reshape(-1, 2)
        at = np.asarray(asked, dtype=np.intp)
        moved = change * np.sqrt(self.squares[at] + self.epsilon)  # the norm's divisor
        # The state moves along the verdict's direction until their product has grown by ``moved``.
        squares = self.squares[at] + (2 * moved * self.dots[at] + moved**2) / self.stretch
        after: NDArray[np.float64] = (self.dots[at] + moved) / np.sqrt(squares + self.epsilon)
        return after

    def row(self, places: Sequence[int] | NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the row w, (d,): its product with the input of the matrix moves the state along the verdict's
        direction.
        """
        found: NDArray[np.float64] = weights @ self.basis[_readings(places)]
        return found


def _readings(places: Sequence[int] | NDArray[np.intp]) -> NDArray[np.intp]:
    """Return both readings of each pair."""
    at = np.asarray(places, dtype=np.intp)
    return np.stack([2 * at, 2 * at + 1], axis=1).reshape(-1)


def _logistic(
    kernel: NDArray[np.float64], wanted: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights a that minimize the cross-entropy of offset + kernel a plus a'kernel a / 2 (Newton's method).

    A step is halved until the loss falls, because the loss is nearly linear far from zero, where earlier verdicts may
    be.
    """
    weights = np.zeros(len(wanted))
    loss = _loss(kernel, wanted, offset, weights)
    for _ in range(_ITERATIONS):
        odds = offset + kernel @ weights
        share = 1 / (1 + np.exp(-np.clip(odds, -40, 40)))
        curve = np.maximum(share * (1 - share), 1e-3)
        target = np.linalg.solve(kernel + np.diag(1 / curve), kernel @ weights + (wanted - share) / curve)
        step = 1.0
        while step > _SMALLEST_STEP:
            tried = weights + step * (target - weights)
            now = _loss(kernel, wanted, offset, tried)
            if now <= loss:
                break
            step /= 2
        else:
            return weights
        gained, weights, loss = loss - now, tried, now
        if gained <= 1e-7 * max(1.0, loss):
            break
    return weights


def _loss(
    kernel: NDArray[np.float64],
    wanted: NDArray[np.float64],
    offset: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> float:
    moved = kernel @ weights
    odds = offset + moved
    return float((np.logaddexp(0, odds) - wanted * odds).sum() + weights @ moved / 2)
