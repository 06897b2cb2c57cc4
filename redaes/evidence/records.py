"""What measuring gives: values of one picture, and what two pictures of one scene show of each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from redaes.types import Record

VERSION = "evidence/1"
"""Name of the set of formulas; raised when a value can change."""

Side = Literal["A", "B"]
"""A is the picture shown first."""

Place = Literal[
    "upper left", "top", "upper right", "left", "centre", "right", "lower left", "bottom", "lower right"
]  # fmt: skip
"""A cell of a grid of three by three over the frame."""


class Measurements(Record):
    """What was measured in one picture at its own resolution."""

    width: int
    height: int
    values: dict[str, FiniteFloat]
    """Quantity (:data:`redaes.evidence.quantities.QUANTITIES`) to value in its unit; what cannot be measured in this
    picture, such as the tilt of a horizon that is not there, is absent."""
    places: dict[str, Place] = Field(default_factory=dict)
    """Where a local quantity is strongest, for those that have a place."""


class Registration(Record):
    """How the second picture lies over the first, where both show one scene."""

    rotation_deg: FiniteFloat
    """By how much the second's contents are turned against the first's, anticlockwise."""
    scale: FiniteFloat
    """Size of the second's contents over the first's, both in shares of their frames' diagonals: above 1, the second is
    the tighter view."""
    stretch: FiniteFloat
    """Width over height of the second's contents, over that of the first's; 1: no stretch."""
    shown_of_first: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """Share of the first's frame that the second shows too."""
    shown_of_second: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """Share of the second's frame that the first shows too."""
    mirrored: bool = False
    n_points: int
    """Matched points that agree with it."""


class Change(Record):
    """A part of the scene that the two pictures show differently, light and colour of the whole allowed for."""

    side: Side | None
    """The picture that has something there which the other has not; None: cannot be told."""
    place: Place
    """In that picture, or in the first."""
    area: Annotated[FiniteFloat, Field(ge=0.0, le=100.0)]
    """In percent of the frame."""


class PairEvidence(Record):
    """What was measured of two pictures."""

    first: Measurements
    second: Measurements
    registration: Registration | None
    """None: they show different scenes, or too little was found to lay them over each other."""
    changes: tuple[Change, ...] = ()
    """Largest first; empty without a registration."""
    version: str = VERSION
