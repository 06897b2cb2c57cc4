"""Decisions of one person about two pictures, from which a taste is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redaes.errors import InputError


@dataclass(frozen=True)
class DecidedPicture:
    """A picture of a decision."""

    id: str
    """SHA-256 of its file."""
    path: Path
    """Path of its file, at the time when the decision was read."""


@dataclass(frozen=True)
class TasteDecision:
    """Which of two pictures somebody prefers. A taste is learnt from this alone, not from scores or reasons."""

    id: str
    """Id, derived from the two pictures in any order."""
    first: DecidedPicture
    second: DecidedPicture
    p_first: float
    """Share of the answers that prefer the first, in [0, 1]; one half is a tie."""
    series: str
    """The series of the decision; decisions of one series are held out together."""
    n_votes: int | None = 1
    """Number of answers behind the decision; None: they were not counted."""

    def __post_init__(self) -> None:
        if not 0 <= self.p_first <= 1:
            raise InputError(f"decision {self.id}: {self.p_first} is not a share of answers; give a number from 0 to 1")

    @property
    def sign(self) -> int:
        """1: the first is preferred, -1: the second, 0: neither."""
        return (self.p_first > 0.5) - (self.p_first < 0.5)
