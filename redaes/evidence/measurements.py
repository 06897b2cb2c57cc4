"""Records of what was measured: the values of one picture, and how two pictures of one scene differ."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, FiniteFloat

from redaes.types import Record

VERSION = "evidence/1"
"""Version of the formulas; it is raised whenever a value can change."""

Side = Literal["A", "B"]
"""A is the picture shown first."""

OTHER_SIDE: dict[Side, Side] = {"A": "B", "B": "A"}

Place = Literal[
    "upper left", "top", "upper right", "left", "centre", "right", "lower left", "bottom", "lower right"
]  # fmt: skip
"""A cell of a grid of three by three over the frame."""

PLACES: tuple[Place, ...] = get_args(Place)
"""All cells, row by row."""


class Measurements(Record):
    """Measurements of one picture at its own resolution."""

    width: int
    height: int
    values: dict[str, FiniteFloat]
    """Value of each quantity (:data:`redaes.evidence.quantities.QUANTITIES`) in its unit. A quantity that cannot be
    measured in this picture, such as the tilt of a picture without straight lines, is absent."""
    places: dict[str, Place] = Field(default_factory=dict)
    """For quantities that have a place: the cell where each is strongest."""


class Registration(Record):
    """The registration of the second picture with the first, if both show one scene."""

    rotation_deg: FiniteFloat
    """Rotation of the second's contents against the first's, anticlockwise, in degrees."""
    scale: FiniteFloat
    """Size of the second's contents divided by the size of the first's, each as a share of its frame's diagonal; above
    1, the second is the tighter view."""
    stretch: FiniteFloat
    """Ratio of width to height of the second's contents, divided by that of the first's; 1: no stretch."""
    keystone_deg: FiniteFloat = 0.0
    """Upward convergence of the second's verticals against the first's, from one side of the common view to the other,
    in degrees; negative: downwards.
    """
    shown_of_first: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """Share of the first's frame that the second shows too."""
    shown_of_second: Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
    """Share of the second's frame that the first shows too."""
    mirrored: bool = False
    n_points: int
    """Number of matched points that agree with the registration."""

    def swapped(self) -> Registration:
        """Return the registration of the first picture with the second."""
        return Registration(
            # Mirroring reverses the sense of rotation, and so does exchanging the pictures: together they keep the
            # sign.
            rotation_deg=self.rotation_deg if self.mirrored else 0.0 - self.rotation_deg,
            scale=1 / self.scale,
            stretch=1 / self.stretch,
            keystone_deg=0.0 - self.keystone_deg,
            shown_of_first=self.shown_of_second,
            shown_of_second=self.shown_of_first,
            mirrored=self.mirrored,
            n_points=self.n_points,
        )


class SceneChange(Record):
    """A part of the scene that the two pictures show differently, after a change of light and colour is allowed for."""

    side: Side | None
    """The picture that has something there which the other has not; None: it cannot be decided."""
    place: Place
    """The place in the picture that ``side`` names, or in the first if ``side`` is None."""
    other_place: Place
    """The same spot in the other picture."""
    area: Annotated[FiniteFloat, Field(ge=0.0, le=100.0)]
    """Area in percent of the view that both pictures show."""
    contrast: Annotated[FiniteFloat, Field(ge=0.0)]
    """Mean difference there that light, colour and sharpness do not explain, in percent of the difference between black
    and white."""

    def swapped(self) -> SceneChange:
        """Return the same with the pictures exchanged."""
        if self.side is None:
            return self.model_copy(update={"place": self.other_place, "other_place": self.place})
        return self.model_copy(update={"side": OTHER_SIDE[self.side]})


class PairEvidence(Record):
    """Measurements of two pictures."""

    first: Measurements
    second: Measurements
    registration: Registration | None
    """The registration; None: they show different scenes, or too little was found to register them."""
    changes: tuple[SceneChange, ...] = ()
    """Changes of the scene, largest first; empty without a registration."""
    version: str = VERSION

    def swapped(self) -> PairEvidence:
        """Return the same with the pictures exchanged."""
        return PairEvidence(
            first=self.second,
            second=self.first,
            registration=self.registration.swapped() if self.registration else None,
            changes=tuple(change.swapped() for change in self.changes),
            version=self.version,
        )
