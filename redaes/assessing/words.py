"""The verdict of a result in words, the same in the terminal and on the sheet; the page has them in its own script."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redaes.assessing.orders import Undecided

UNDECIDED: dict[Undecided, str] = {
    "orders": "undecided: the answer changes with the order",
    "reasons": "undecided: the answer changes when reasons are asked for",
}

NO_DIFFERENCE = "No visible difference"


def printable(text: str) -> str:
    """Text from files or models without what would steer the terminal.

    >>> printable("a\\x1b[2J")
    'a\ufffd[2J'
    """
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def consistency(order_consistent: bool | None, undecided: Undecided | None) -> str | None:
    """Whether the orders agree, in words; None: fewer than two answered."""
    if order_consistent is None:
        return None
    if order_consistent:
        return "the same answer in both orders"
    if undecided == "orders":
        return "the answer changes with the order"
    return "in one order the model sees a difference, in the other none"
