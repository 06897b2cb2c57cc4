"""A taste as one direction: what of a pair's reading speaks for its first picture, by this person.

A LoRA of rank 1 on the last layer's ``down_proj`` adds w·h to the verdict's log-odds (times the norm's scale), where h
is what goes into that matrix. To find w is logistic regression with the verdicts from before as its offset: stage 2's
loss over both orders of every pair, which has one minimum that is found exactly. Nothing is drawn at random.

Two things keep w small: a ridge, and the edited pairs, on which the verdicts are to stay as they are (the second-order
part of the cross-entropy with the verdicts from before). Both are in one quadratic form, so that all that is needed of
it is a kernel between readings.
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
"""Of a kept verdict: p (1 - p) of one that is nearly certain would let it go anywhere."""


@dataclass(frozen=True)
class TasteKernel:
    """N pairs as learning needs them; what is learnt is a weight for each of their 2N readings."""

    kernel: NDArray[np.float64]
    """(2N, 2N) how much a weight on one reading moves the log-odds of another; both orders of a pair are neighbours."""
    basis: NDArray[np.float64]
    """(2N, d) what a weight on a reading adds to the row w."""
    log_odds: NDArray[np.float64]
    """(N, 2) before."""
    dots: NDArray[np.float64]
    """(N, 2) product of the last state and the verdict's direction."""
    squares: NDArray[np.float64]
    """(N, 2) mean square of the last state."""
    stretch: float
    """Square length of the verdict's direction, times the number of its entries."""
    epsilon: float

    @classmethod
    def of(
        cls, head: VerdictHead, pairs: PairReadings, kept: PairReadings, *, n_learnt: int, ridge: float, keep: float
    ) -> TasteKernel:
        """Return the kernel of some pairs.

        Args:
            head: head of the model.
            pairs: readings of N pairs: those that are learnt from, and those that are asked about.
            kept: of the pairs whose verdicts are to stay.
            n_learnt: how many decisions are learnt from.
            ridge: precision of w, where readings have a mean square distance of 1 from their centre.
            keep: how much all kept pairs together count against all decisions that are learnt from.
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
            # Woodbury: the inverse of ridge + kept' stiff kept, without a d x d matrix.
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
            p_first: (M,) share of the answers about each that prefer its first picture.

        Returns:
            (2M,) weights of their readings.
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
            weights: (2M,) of their readings.
        """
        change = (self.kernel[np.ix_(_readings(asked), _readings(places))] @ weights).reshape(-1, 2)
        at = np.asarray(asked, dtype=np.intp)
        moved = change * np.sqrt(self.squares[at] + self.epsilon)  # the norm divides by this
        # The state moves along the verdict's direction, so far that their product grows by ``moved``.
        squares = self.squares[at] + (2 * moved * self.dots[at] + moved**2) / self.stretch
        after: NDArray[np.float64] = (self.dots[at] + moved) / np.sqrt(squares + self.epsilon)
        return after

    def row(self, places: Sequence[int] | NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (d,) the row w: its product with what goes into the matrix moves the state along the verdict's
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
    """Return weights a with the least cross-entropy of offset + kernel a, and a'kernel a / 2 beside it (Newton's
    method).

    A step is halved until it helps, for the verdicts from before may be far out where the loss is nearly straight.
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
