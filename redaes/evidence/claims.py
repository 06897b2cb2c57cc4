"""Statements about two pictures, and what the pixels say of them."""

from __future__ import annotations

from typing import Literal

from pydantic import FiniteFloat

from redaes.evidence.measurements import Place, Side
from redaes.types import Record

Relation = Literal["more", "less", "alike", "present", "absent"]
"""``more``, ``less``: of the quantity than the other picture has; ``present``, ``absent``: the fault itself."""

Status = Literal["supported", "contradicted", "not_measurable"]


class Claim(Record):
    """One statement that a reasoning makes."""

    text: str
    """The words that make it."""
    start: int
    """Where they begin in the reasoning, in characters."""
    end: int
    side: Side | Literal["both"]
    """The picture that it speaks of, in the letters of the reasoning."""
    relation: Relation
    quantity: str | None
    """Key of :data:`redaes.evidence.quantities.QUANTITIES`; of a named fault, the one that tells it; None: nothing
    that is measured."""
    fault: str | None = None
    """Key of :data:`redaes.evidence.faults.FAULTS`, for a named fault such as ``power_lines``."""
    stated: tuple[FiniteFloat | None, FiniteFloat | None] = (None, None)
    """The figures that it quotes for A and for B."""
    place: Place | None = None
    """Where in the picture it says that it is."""


class CheckedClaim(Record):
    """A statement with what was measured of it."""

    claim: Claim
    status: Status
    measured: tuple[FiniteFloat | None, FiniteFloat | None] = (None, None)
    """In A and in B, in the quantity's unit."""
    margin: FiniteFloat | None = None
    """By how much the measurement agrees with the statement, in noise floors; negative: it contradicts it."""
    why: str = ""
    """What is wrong with a contradicted one: ``sign``, ``figure``, ``side``, ``absent`` or ``place``."""


class Claims(Record):
    """All statements of one reasoning, checked."""

    checked: tuple[CheckedClaim, ...]
    version: str
    """Of the measurements and of the reader of claims, such as ``evidence/1 claims/1``."""

    def count(self, status: Status) -> int:
        """Return how many statements have that status."""
        return sum(one.status == status for one in self.checked)
