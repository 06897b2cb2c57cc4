"""Statements about two pictures, and the outcome of checking them."""

from __future__ import annotations

from typing import Literal

from pydantic import FiniteFloat

from redaes.evidence.measurements import Place, Side
from redaes.types import Record

Relation = Literal["more", "less", "alike", "present", "absent"]
"""``more``, ``less``, ``alike``: the amount of the quantity, compared with the other picture; ``present``, ``absent``:
whether the picture has the fault."""

Status = Literal["supported", "contradicted", "not_measurable"]


class Claim(Record):
    """One statement that a reasoning makes."""

    text: str
    """The words of the statement."""
    start: int
    """Position of its first character in the reasoning."""
    end: int
    side: Side | Literal["both"]
    """The picture that it is about, in the letters of the reasoning."""
    relation: Relation
    quantity: str | None
    """Key of :data:`redaes.evidence.quantities.QUANTITIES`; for a named fault, the quantity that shows it best. None:
    no measurement decides the statement.
    """
    fault: str | None = None
    """Key of :data:`redaes.evidence.faults.FAULTS`, for a named fault such as ``power_lines``."""
    stated: tuple[FiniteFloat | None, FiniteFloat | None] = (None, None)
    """The figures that it quotes for A and for B."""
    place: Place | None = None
    """The place in the picture that it names."""


class CheckedClaim(Record):
    """A statement with the outcome of checking it."""

    claim: Claim
    status: Status
    measured: tuple[FiniteFloat | None, FiniteFloat | None] = (None, None)
    """The measured values in A and in B, in the quantity's unit."""
    margin: FiniteFloat | None = None
    """How far the measurement agrees with the statement, in noise floors; negative: it contradicts it."""
    why: str = ""
    """What is wrong with a contradicted statement: ``sign``, ``figure``, ``side``, ``absent`` or ``place``; otherwise
    empty."""


class Claims(Record):
    """All statements of one reasoning, checked."""

    checked: tuple[CheckedClaim, ...]
    version: str
    """Version of the measurements and of the claim reader, such as ``evidence/1 claims/1``."""

    def count(self, status: Status) -> int:
        """Return how many statements have that status."""
        return sum(one.status == status for one in self.checked)
