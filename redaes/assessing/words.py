"""The verdict of a result in words, for the terminal and the sheet; the page has the same words in its own script."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redaes.assessing.agreement import SampleAgreement
    from redaes.assessing.orders import Undecided

UNDECIDED: dict[Undecided, str] = {
    "orders": "undecided: the answer changes with the order",
    "reasons": "undecided: the answer changes when reasons are asked for",
}

NO_DIFFERENCE = "No visible difference"

SAME_PICTURE = "The same picture twice"


def printable(text: str) -> str:
    """Return a text of a file or model without control characters.

    >>> printable("a\\x1b[2J")
    'a\ufffd[2J'
    """
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def counted(number: int, what: str) -> str:
    """Return a number with its noun, whose plural has an s.

    >>> counted(1, "picture"), counted(2, "picture")
    ('1 picture', '2 pictures')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def agreement(told: SampleAgreement, first: str, second: str) -> str:
    """Return how far repeated answers agree, in words that do not call it a probability.

    Args:
        told: the agreement about two pictures.
        first: name of the first picture.
        second: name of the second picture.
    """
    most, name = max((told.n_first, first), (told.n_second, second), key=lambda one: one[0])
    if told.n_first == told.n_second:
        said = f"{told.n_first} of {told.n_usable} answers for either picture"
    else:
        said = f"{most} of {told.n_usable} answers prefer {name}"
    if told.n_tie:
        said += f", {told.n_tie} neither"
    if told.failures:
        said += f"; {len(told.failures)} could not be used"
    if told.share is None and told.n_usable:
        said += "; all in one order, so not debiased"
    return f"{said} ({told.per_order} drawn in each order; no probability of the model's)"


def consistency(order_consistent: bool | None, undecided: Undecided | None) -> str | None:
    """Return whether the orders agree, in words; None: fewer than two answered."""
    if order_consistent is None:
        return None
    if order_consistent:
        return "the same answer in both orders"
    if undecided == "orders":
        return "the answer changes with the order"
    return "in one order the model sees a difference, in the other none"
