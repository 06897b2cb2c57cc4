"""Choose the measurements that explain why a picture is worse: those that show its fault and count against it.

No text is written here. A difference explains nothing, however large it is, if it is below its quantity's noise floor,
goes against the direction in which the fault shows, or would be a merit of the worse picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from redaes.evidence.faults import FAULTS
from redaes.evidence.measurements import Measurements, PairEvidence, Place, Registration, Side
from redaes.evidence.quantities import QUANTITIES, Quantity, figures
from redaes.types import Factor

Direction = Literal["more", "less"]

USUAL: dict[str, float] = {
    "brightness": 50.0,
    "contrast": 22.0,
    "colourfulness": 35.0,
    "warmth": 4.0,
    "magenta": 1.0,
}
"""Middle values of photographs, in each quantity's unit. If neither more nor less of a quantity is better in itself and
nothing else is known, the picture further from the middle value counts as the worse one."""

ENOUGH = 3.0
"""Size, in visible differences, beyond which a larger difference explains no better; the fault's own order decides."""


@dataclass(frozen=True)
class MeasuredDifference:
    """One quantity in the described picture and in the other one."""

    quantity: Quantity
    here: float
    there: float

    @property
    def more(self) -> bool:
        """Whether the described picture has more of it."""
        return self.here > self.there

    @property
    def size(self) -> float:
        """Size of the difference, in units of the visible difference."""
        return abs(self.here - self.there) / self.quantity.visible

    def figures(self) -> tuple[str, str] | None:
        """Return both values as text (:func:`redaes.evidence.quantities.figures`); None if the texts are the same.

        >>> MeasuredDifference(QUANTITIES["noise"], 3.21, 0.9).figures()
        ('3.2', '0.9')
        >>> MeasuredDifference(QUANTITIES["brightness"], 52.4, 51.7).figures()
        ('52.4', '51.7')
        """
        here, there = figures(self.quantity, (self.here, self.there))
        return None if here == there else (here, there)


BESIDES: dict[str, tuple[tuple[str, Direction], ...]] = {
    "backlight": (("clipped_highlights", "more"), ("clipped_shadows", "more"), ("brightness", "less")),
    "crushed_shadows": (("brightness", "less"),),
    "uneven_light": (("clipped_highlights", "more"), ("clipped_shadows", "more")),
    "hue_shift": (("warmth", "more"), ("warmth", "less"), ("magenta", "more"), ("magenta", "less")),
    "posterize": (("noise", "more"),),
    "oversharpen": (("noise", "more"),),
    "lens_flare": (("contrast", "less"),),
    "lens_dirt": (("contrast", "less"), ("haze", "more"), ("sharpness", "less")),
    "finger": (("sharpness", "less"),),
}
"""Quantities that an operation may change besides those that prove its fault. They are mentioned after those, or if
those are missing.
"""


def _shown_by(operation: str) -> tuple[tuple[str, Direction], ...]:
    fault = FAULTS.get(operation)
    return (() if fault is None else fault.shown_by) + BESIDES.get(operation, ())


def _differences(
    wanted: Iterable[tuple[str, Direction]], here: Measurements, there: Measurements
) -> list[MeasuredDifference]:
    """Return the quantities that differ in the wanted direction, those that explain most first."""
    found: list[MeasuredDifference] = []
    for name, direction in wanted:
        quantity = QUANTITIES[name]
        if name not in here.values or name not in there.values:
            continue
        difference = MeasuredDifference(quantity, here.values[name], there.values[name])
        if abs(difference.here - difference.there) >= quantity.noise_floor and difference.more == (direction == "more"):
            found.append(difference)
    return sorted(found, key=lambda one: -min(one.size, ENOUGH))


def quantities_of(operations: Iterable[str]) -> frozenset[str]:
    """Return the quantities that :func:`of_fault` needs for any of the operations."""
    return frozenset(name for operation in operations for name, _ in _shown_by(operation))


def of_fault(operation: str, here: Measurements, there: Measurements) -> list[MeasuredDifference]:
    """Return the differences that show an operation's fault in the picture that has it.

    Args:
        operation: name of an operation of the embedded editor.
        here: measurements of the picture with the fault.
        there: measurements of the other picture.
    """
    proof = len(FAULTS[operation].shown_by) if operation in FAULTS else 0
    wanted = _shown_by(operation)
    return _differences(wanted[:proof], here, there) + _differences(wanted[proof:], here, there)


def of_factors(factors: Sequence[Factor], here: Measurements, there: Measurements) -> list[MeasuredDifference]:
    """Return the differences that count against a picture if only the deciding factors are known."""
    wanted: list[tuple[str, Direction]] = []
    for name, quantity in QUANTITIES.items():
        if quantity.factor not in factors:
            continue
        if quantity.better == "less" and here.values.get(name, 0.0) <= 0:
            continue  # having none of it is no fault, whatever the other has: corners lighter than the middle are fine
        if quantity.better is not None:
            wanted.append((name, "less" if quantity.better == "more" else "more"))
        elif name in USUAL and name in here.values and name in there.values:
            away, rival = (values[name] - USUAL[name] for values in (here.values, there.values))
            if abs(away) > abs(rival):
                wanted.append((name, "more" if away > 0 else "less"))
    return _differences(wanted, here, there)


def alike(here: Measurements, there: Measurements) -> list[MeasuredDifference]:
    """Return the quantities that are the same in both pictures, within the noise floor, in the registry's order."""
    found = []
    for name, quantity in QUANTITIES.items():
        if name in here.values and name in there.values:
            difference = MeasuredDifference(quantity, here.values[name], there.values[name])
            if abs(difference.here - difference.there) < quantity.noise_floor:
                found.append(difference)
    return found


def leading_factor(first: Measurements, second: Measurements) -> Factor | None:
    """Return the factor of the quantity with the largest visible difference; None if no difference is visible."""
    size, factor = max(
        (
            (MeasuredDifference(quantity, first.values[name], second.values[name]).size, quantity.factor)
            for name, quantity in QUANTITIES.items()
            if name in first.values and name in second.values
        ),
        key=lambda item: item[0],
        default=(0.0, None),
    )
    return factor if size >= 1 else None


# --- How one picture lies over the other ----------------------------------------------------------------

LEAST_TURN = 0.5
"""Smallest rotation, in degrees, to be mentioned."""
LEAST_CUT = 0.03
"""Smallest share of a frame missing in the other picture, to be mentioned."""
LEAST_STRETCH = 0.02
LEAST_KEYSTONE = 1.0
"""Smallest keystone, in degrees, to be mentioned."""
LEAST_COVER = 0.3
"""Smallest cover, in percent of the frame, to be mentioned."""

GeometryKind = Literal["turned", "cut", "stretched", "converging", "covered"]

_TELLING: dict[GeometryKind, tuple[str, ...]] = {
    "turned": ("tilt",),
    "cut": ("crop_off", "tight_crop"),
    "stretched": ("stretch",),
    "converging": ("keystone",),
    "covered": ("clutter", "date_stamp", "watermark", "lens_dirt", "lens_flare", "power_lines", "finger"),
}
"""The faults that each kind of geometry shows."""


@dataclass(frozen=True)
class Geometry:
    """How the described picture lies over the other."""

    kind: GeometryKind
    amount: float
    """The amount, by kind: degrees; percent of the other's frame that is also shown; percent by which shapes are wider
    relative to their height (negative: narrower); percent of the frame covered by things that the other does not have.
    """
    places: tuple[Place, ...] = ()
    """The covered places, the largest part first."""


def geometry(evidence: PairEvidence, side: Side, fault: str | None) -> list[Geometry]:
    """Return what registration shows about a fault. If the fault is None, return what it shows about any fault, as far
    as that has a direction by itself.
    """
    found: list[Geometry] = []
    if evidence.registration is not None:
        lies = evidence.registration if side == "B" else evidence.registration.swapped()
        if abs(lies.rotation_deg) >= LEAST_TURN and fault is not None:
            found.append(Geometry("turned", abs(lies.rotation_deg)))
        if 1 - lies.shown_of_first >= LEAST_CUT and lies.scale > 1:
            found.append(Geometry("cut", 100 * lies.shown_of_first))
        if abs(lies.stretch - 1) >= LEAST_STRETCH and fault is not None:
            found.append(Geometry("stretched", 100 * (lies.stretch - 1)))
        if abs(lies.keystone_deg) >= LEAST_KEYSTONE and fault is not None:
            found.append(Geometry("converging", abs(lies.keystone_deg)))
    covering = [change for change in evidence.changes if change.side == side]
    area = sum(change.area for change in covering)
    if area >= LEAST_COVER:
        places = tuple(dict.fromkeys(change.place for change in covering))
        found.append(Geometry("covered", min(area, 100.0), places))
    return [one for one in found if fault is None or fault in _TELLING[one.kind]]


def same_frame(registration: Registration) -> bool:
    """Return whether both pictures show the same part of the scene in the same place."""
    return (
        not registration.mirrored
        and abs(registration.rotation_deg) < LEAST_TURN
        and abs(registration.stretch - 1) < LEAST_STRETCH
        and min(registration.shown_of_first, registration.shown_of_second) > 1 - LEAST_CUT
    )
