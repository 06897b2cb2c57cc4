"""Check a name that a caller gives against the known ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from redaes.errors import InputError

_NameT = TypeVar("_NameT", bound=str)


def known_name(name: str, names: Sequence[_NameT], what: str) -> _NameT:
    """Return a name if it is one of the known names.

    Args:
        name: the name that was given.
        names: the known names.
        what: what the names stand for, for the message.

    >>> known_name("fast", ("reasoned", "fast"), "mode")
    'fast'

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    for known in names:
        if known == name:
            return known
    raise InputError(f"unknown {what} {name!r}; known: {', '.join(names)}")
