"""What one person decided about two pictures, as learning a taste takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redaes.errors import InputError


@dataclass(frozen=True)
class DecidedPicture:
    """A picture that somebody compared with another."""

    id: str
    """SHA-256 of its file."""
    path: Path
    """Where it is, or was when the decision was read."""


@dataclass(frozen=True)
class TasteDecision:
    """Which of two pictures somebody prefers. Nothing else is learnt from: no scores, no reasons."""

    id: str
    """Follows from the two pictures, whatever their order."""
    first: DecidedPicture
    second: DecidedPicture
    p_first: float
    """Share of the answers that prefer the first, in [0, 1]; one half is a tie."""
    series: str
    """What it belongs to: decisions of one series are held out together."""
    n_votes: int | None = 1
    """Answers that it stands for; None: they were not counted."""

    def __post_init__(self) -> None:
        if not 0 <= self.p_first <= 1:
            raise InputError(f"decision {self.id}: {self.p_first} is not a share of answers; give a number from 0 to 1")

    @property
    def sign(self) -> int:
        """1: the first is preferred, -1: the second, 0: neither."""
        return (self.p_first > 0.5) - (self.p_first < 0.5)
