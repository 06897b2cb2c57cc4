"""Faults that a reasoning can name, and which measurements would show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from redaes.types import Factor


@dataclass(frozen=True)
class Fault:
    """One fault of a photograph."""

    name: str
    """Where an embedded operation makes it, the operation's name."""
    factor: Factor
    words: tuple[str, ...]
    """Regular expressions, one of which its name in English matches, whole words, case ignored."""
    shown_by: tuple[tuple[str, Literal["more", "less"]], ...] = ()
    """Quantities that differ in the picture that has it; empty: nothing measured shows it."""


_ALL: tuple[Fault, ...] = (Fault("noise_luma", "noise", (r"noise", r"noisy", r"grain\w*"), (("noise", "more"),)),)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
"""All of them by name."""
