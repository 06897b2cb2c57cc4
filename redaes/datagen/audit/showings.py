"""The order in which pairs are shown, and which of their pictures is on the left.

In half of the showings the picture with the later token is on the left. Some pairs are shown twice, with many others
between and the pictures exchanged, which tells how consistent a person is. There are several such orders, and a
person's name decides which one is used, so that effects of the order are not the same for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redaes.datagen.audit.drawn_pairs import AuditDraw, DrawnPair

N_ORDERS = 8


@dataclass(frozen=True)
class Showing:
    """A pair on the screen."""

    pair: int
    """Its place among the drawn pairs."""
    exchanged: bool
    """Whether the picture with the later token is on the left."""
    time: int
    """1 for the first time, 2 for the second."""


def showings(pairs: Sequence[DrawnPair], draw: AuditDraw, order: int) -> list[Showing]:
    """Return one of the orders in which the pairs are shown.

    Args:
        pairs: the drawn pairs.
        draw: the draw to which they belong.
        order: number of the order, below :data:`N_ORDERS`; odd ones show every pair the other way round than even ones.
    """
    lots = sorted(range(len(pairs)), key=lambda place: draw.token(f"side/{pairs[place].token}"))
    exchanged = {place: (rank + order) % 2 == 1 for rank, place in enumerate(lots)}

    def drawn(places: Sequence[tuple[int, int]], what: str) -> list[tuple[int, int]]:
        return sorted(places, key=lambda one: draw.token(f"{what}/{order}/{pairs[one[0]].token}/{one[1]}"))

    first = drawn([(place, 1) for place in range(len(pairs))], "turn")
    again = [(place, 2) for place, _ in first[: len(pairs) // 3]][: round(draw.repeated * len(pairs))]
    half = len(pairs) // 2
    turns = first[:half] + drawn(first[half:] + again, "again")
    return [Showing(place, exchanged[place] != (time == 2), time) for place, time in turns]


def sides(pair: DrawnPair, exchanged: bool) -> tuple[str, str]:
    """Return the tokens of the pictures on the left and on the right."""
    left, right = sorted(pair.pictures)
    return (right, left) if exchanged else (left, right)


def showing_name(pair: DrawnPair, time: int) -> str:
    """Return the name of a showing in an answer."""
    return f"{pair.token}/{time}"
