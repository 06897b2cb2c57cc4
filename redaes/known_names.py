"""A name that a caller gives, held against those that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from redaes.errors import InputError

_NameT = TypeVar("_NameT", bound=str)


def known_name(name: str, names: Sequence[_NameT], what: str) -> _NameT:
    """Return the one of several names that was given.

    Args:
        name: as it was given.
        names: those that are known.
        what: they are names of, for the message.

    >>> known_name("fast", ("reasoned", "fast"), "mode")
    'fast'

    Raises:
        InputError: it is none of them; names the known ones.
    """
    for known in names:
        if known == name:
            return known
    raise InputError(f"unknown {what} {name!r}; known: {', '.join(names)}")
