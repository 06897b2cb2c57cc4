"""Combine both orders of a pair. Only this module does it.

Each order gives two things: the log-odds read at its verdict token, and the difference that it states in writing. Both
are expressed from the first picture's side and averaged over the orders. The verdict comes from the log-odds if there
are any (docs/reading.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from redaes.points import delta_of
from redaes.prompts import Mode
from redaes.types import Comparison, Order, Verdict, Winner, winner_of

ORDERS: tuple[Order, Order] = ("forward", "swapped")

Undecided = Literal["orders", "reasons"]
"""Why a pair is left undecided. ``orders``: the model prefers a different picture in each order. ``reasons``: the
written answers prefer another picture than the log-odds.
"""


@dataclass(frozen=True)
class Together:
    """The combined orders of one way of answering, from the first picture's side."""

    delta: float
    """The difference, in points."""
    log_odds: float | None
    """Natural log-odds that the first picture is better, not calibrated; None: the answer was written, not read."""
    orders: tuple[Winner, ...]
    """The picture that each order prefers: A is the first one, whatever the order."""

    @property
    def winner(self) -> Winner:
        """The winner that follows from the difference."""
        return winner_of(self.delta)

    @property
    def consistent(self) -> bool | None:
        """Whether both orders name the same picture, or both a tie; None: fewer than two answered."""
        return len(set(self.orders)) == 1 if len(self.orders) > 1 else None

    @property
    def opposed(self) -> bool:
        """Whether the orders name different pictures; a tie does not count as different."""
        return set(self.orders) >= {"A", "B"}


@dataclass(frozen=True)
class Decision:
    """The verdict on a pair."""

    winner: Winner | None
    """The winner; None: undecided."""
    undecided: Undecided | None
    delta: float
    log_odds: float | None
    consistent: bool | None


def about_first(comparison: Comparison) -> Verdict | None:
    """Return the stated verdict with the first picture as A, whatever the order."""
    verdict = comparison.verdict
    return verdict if verdict is None or comparison.order == "forward" else verdict.swapped()


def _odds_of_first(comparison: Comparison) -> float | None:
    """Return the log-odds that were read, of the first picture, whatever the order."""
    log_odds = comparison.log_odds
    return log_odds if log_odds is None or comparison.order == "forward" else -log_odds


def stated(comparisons: Sequence[Comparison]) -> Together | None:
    """Return the stated differences put together; None: no order states one."""
    verdicts = [verdict for comparison in comparisons if (verdict := about_first(comparison)) is not None]
    if not verdicts:
        return None
    delta = fmean(verdict.delta for verdict in verdicts)
    return Together(delta, None, tuple(verdict.winner for verdict in verdicts))


def read(comparisons: Sequence[Comparison]) -> Together | None:
    """Return the combined log-odds; None: an order was not read, and the other one alone would keep its position
    bias.
    """
    found = [odds for comparison in comparisons if (odds := _odds_of_first(comparison)) is not None]
    if not found or len(found) < len(comparisons):
        return None
    log_odds = fmean(found)
    return Together(delta_of(log_odds), log_odds, tuple(winner_of(delta_of(odds)) for odds in found))


def fair_log_odds(comparisons: Sequence[Comparison]) -> float | None:
    """Return the log-odds of several answers in each order, with equal weight of the orders; None: an order has none,
    and the other one alone would keep its position bias.
    """
    each = [
        [odds for one in comparisons if one.order == order and (odds := _odds_of_first(one)) is not None]
        for order in ORDERS
    ]
    return fmean(map(fmean, each)) if all(each) else None


def lean_of(comparisons: Sequence[Comparison]) -> float | None:
    """Return how far the answers lean to the picture shown first: the mean of both orders' log-odds for it; None: the
    orders were not both read, once each.
    """
    found = [one.log_odds for one in comparisons if one.log_odds is not None]
    if len(found) != len(ORDERS) or {one.order for one in comparisons} != set(ORDERS):
        return None
    return fmean(found)


def failures(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the order and the reason of each answer that could not be used."""
    return [f"{one.order}: {one.failure}" for one in comparisons if one.failure is not None]


def decide(comparisons: Sequence[Comparison], mode: Mode) -> Decision | None:
    """Return the verdict on a pair; None: no order gave a usable answer.

    Args:
        comparisons: comparisons of one pair, one for each order that was asked.
        mode: in the fast mode a failed order has no log-odds; in the reasoned mode each order is read beside its
            written answer.
    """
    answered = [comparison for comparison in comparisons if comparison.verdict is not None]
    said = stated(answered)
    if said is None:
        return None
    seen = read(comparisons if mode == "reasoned" else answered)
    basis = said if seen is None else seen
    ways = [basis] if mode == "fast" or basis is said else [basis, said]
    undecided: Undecided | None = None
    if any(way.opposed for way in ways):
        undecided = "orders"
    elif {way.winner for way in ways} >= {"A", "B"}:
        undecided = "reasons"
    known = [way.consistent for way in ways if way.consistent is not None]
    return Decision(
        winner=None if undecided else basis.winner,
        undecided=undecided,
        delta=basis.delta,
        log_odds=basis.log_odds,
        consistent=all(known) if known else None,
    )


def supporting(comparisons: Sequence[Comparison], winner: Winner | None) -> list[Comparison]:
    """Return the comparisons whose stated verdict names that winner (A: the first picture), in their order."""
    found = []
    for comparison in comparisons:
        verdict = about_first(comparison)
        if verdict is not None and winner is not None and verdict.winner == winner:
            found.append(comparison)
    return found
