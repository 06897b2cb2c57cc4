"""Decide whether a picture has a fault: by its values, by what only it shows, and by the registration of the two
views.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from redaes.evidence.claims import CheckedClaim, Claim, Status
from redaes.evidence.faults import FAULTS, Fault
from redaes.evidence.measurements import PLACES, PairEvidence, Place, Registration
from redaes.evidence.quantities import QUANTITIES, Quantity
from redaes.evidence.turning_words import says_clearly, says_slightly
from redaes.evidence.values import decided, is_off, pair_of

MIN_POINTS = 30
MIN_SHOWN = 0.5
"""A registration with fewer than ``MIN_POINTS`` points, or in which less than this share of either frame is common, is
weak: it may support a statement but contradicts none."""

CROP_FLOOR = 2.0
"""Noise floor of the share of the other's frame that a picture leaves out, in percent."""

STRETCH_FLOOR = 1.0
"""Noise floor of the stretch of shapes, in percent."""
AREA_FLOOR = 0.5
"""Noise floor of the area of a change, in percent of the frame."""
USUALLY_FOUND = 0.5
"""If any of an object that covers a picture is found, then at least this share of its area, in five pictures of six."""
LEAST_FOUND = 0.25
"""Less than this share of its area is found in one picture of forty."""
LEAST_COVERED = 6.0
"""Percent of the frame: of an object that covers less, nothing at all is found in four pictures of ten."""

ABSOLUTE = frozenset({"tilt", "border", "lettering", "impulse", "clipped_shadows", "clipped_highlights"})
"""Quantities whose natural value is none, so that one picture alone shows the fault."""

OF_THE_PICTURE = ABSOLUTE | {"noise", "chroma_noise", "blocking", "banding", "stripes", "pixelation", "halos"}
"""Quantities that depend on how a picture was made. The others, such as brightness or sharpness, depend on the scene
too: between two scenes they show which has more, but not that either has a fault."""

FAINT = frozenset({"lens_dirt", "lens_flare", "glare"})
"""Faults that can be present although no changed part of the scene is found."""
DARK, BRIGHT = 35.0, 70.0
"""Mean L* up to which a picture may be called underexposed, and from which overexposed, even if the other is like
it."""
WEAK = frozenset({"unevenness"})
"""Quantities that a scene has by itself and that an opposite edit can lower: a visible difference supports a statement,
but contradicts none."""

CASTS = ("cast_warm", "cast_cool", "cast_green", "cast_magenta")
BESIDE: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(CASTS, frozenset({"cast"})),
    "motion_blur": frozenset({"sharpness", "edge_width"}),
    "banding": frozenset({"noise"}),
    "pixelation": frozenset({"sharpness"}),
}
"""For some faults, quantities that change with it but do not show it by themselves, because other faults change them
too: noise alone is no banding, and low sharpness alone is no pixelation."""

_GRID: dict[Place, tuple[int, int]] = {place: divmod(number, 3) for number, place in enumerate(PLACES)}


def check_fault(claim: Claim, evidence: PairEvidence) -> CheckedClaim:
    """Check a statement that a fault is present, absent, or stronger than in the other picture."""
    fault = FAULTS.get(claim.fault or "")
    if fault is None:
        return decided(claim, "not_measurable")
    if claim.fault == "turned":
        return _turned(claim, evidence)
    if claim.fault == "broadened":
        return _broader(claim, evidence)
    if claim.side == "both":
        return _of_both(claim, fault, evidence)
    if claim.fault in {"tight_crop", "crop_off"}:
        return _crop(claim, evidence)
    if claim.fault in {"mirror", "stretch"}:
        return _geometry(claim, evidence)
    if fault.found_in == "changes":
        return _changes(claim, fault, evidence)
    if claim.fault == "tilt":
        return _tilt(claim, fault, evidence)
    return _values(claim, fault, evidence)


# --- Values -----------------------------------------------------------------------------------------------------------


def _values(claim: Claim, fault: Fault, evidence: PairEvidence) -> CheckedClaim:
    """Decide a statement by how the fault's quantities differ between the two pictures, the decisive one before the
    others.

    The fault is present if the decisive quantity differs in its direction by the noise floor, or if that one is alike,
    another differs and none visibly contradicts. It is in the other picture if the decisive quantity differs in the
    opposite direction and no other visibly differs in its direction. For a colour cast, nothing is decided if the
    picture is visibly more neutral than the other.
    """
    own = 0 if claim.side == "A" else 1
    measured = [
        (pair_of(evidence, quantity), 1 if way == "more" else -1, QUANTITIES[quantity])
        for quantity, way in fault.shown_by
        if None not in pair_of(evidence, quantity)
    ]
    alone = _alone(claim, fault, evidence, own)
    beside = BESIDE.get(fault.name, frozenset())
    if not measured or measured[0][2].name in beside:
        return alone or decided(claim, "not_measurable")
    telling = measured[0][0]
    gaps = [((pair[own] or 0.0) - (pair[1 - own] or 0.0)) * way for pair, way, _ in measured]
    margins = [gap / known.noise_floor for gap, (_, _, known) in zip(gaps, measured, strict=True)]
    seen = [gap / known.visible for gap, (_, _, known) in zip(gaps, measured, strict=True)]
    first = margins[0]
    others = [margin for margin, (_, _, known) in zip(margins, measured, strict=True) if known.name not in beside][1:]
    if abs(first) < 1 and others and max(others) >= 1 and min(seen) > -1:
        first = max(others)
    if fault.name in CASTS and first >= 1 and min(seen) <= -1:
        return decided(claim, "not_measurable", telling, first)
    # The colour decides which cast it is: a strong cast of another colour does not count instead.
    excused = fault.factor != "colour" and max(seen[1:], default=0.0) >= 1
    if fault.shown_by[0][0] in WEAK:
        towards = seen[0] if claim.relation in {"present", "more"} else -seen[0]
        return decided(claim, "supported" if towards >= 1 else "not_measurable", telling, towards)
    if claim.relation in {"present", "more"}:
        # "More" needs a difference only; "present" needs a visible one, unless the text claims only a trace.
        to_be_seen = says_clearly(claim.text) if claim.relation == "more" else not says_slightly(claim.text)
        if first >= 1 and max(seen) < 1 and to_be_seen and alone is None:
            return decided(claim, "not_measurable", telling, first)
        if first >= 1:
            return decided(claim, "supported", telling, first)
        if first <= -1 and not excused:
            return _unless(alone, decided(claim, "contradicted", telling, first, "side"))
    elif first <= -1:
        return decided(claim, "supported", telling, -first)
    elif seen[0] >= 1:
        return _unless(alone, decided(claim, "contradicted", telling, -first, "side"))
    if alone is not None and abs(first) < 1:
        return alone
    may_be_in_both = claim.relation == "present" and _can_have(measured[0][2], measured[0][1], telling[own])
    if abs(first) < 1 and claim.relation in {"present", "more"} and says_clearly(claim.text) and not may_be_in_both:
        return decided(claim, "contradicted", telling, -1.0, "absent")
    return decided(claim, "not_measurable", telling, first if claim.relation in {"present", "more"} else -first)


def _can_have(known: Quantity, way: int, value: float | None) -> bool:
    """Return whether a picture that is like the other may have the fault nevertheless; the other then has it too."""
    if value is None:
        return False
    if known.name == "brightness":
        return value >= BRIGHT if way > 0 else value <= DARK
    return known.better == "less" and way > 0 and value >= known.visible


def _unless(alone: CheckedClaim | None, otherwise: CheckedClaim) -> CheckedClaim:
    """Return ``alone`` if the picture by itself supports the statement, else ``otherwise``, from the comparison."""
    return alone if alone is not None and alone.status == "supported" else otherwise


def _alone(claim: Claim, fault: Fault, evidence: PairEvidence, own: int) -> CheckedClaim | None:
    """Decide a statement by the picture's own value, for quantities in ``ABSOLUTE``; None: it decides nothing."""
    told = next((quantity for quantity, _ in fault.shown_by if quantity in ABSOLUTE), None)
    if told is None or told != fault.shown_by[0][0]:
        return None
    pair = pair_of(evidence, told)
    value, known = pair[own], QUANTITIES[told]
    if value is None:
        return None
    if _is_in_both(pair, known) and claim.relation != "absent" and says_clearly(claim.text):
        return None  # nothing that stands out in one of the two
    if abs(value) >= known.visible:
        return _told(claim, pair, abs(value) / known.noise_floor, holds=claim.relation == "present")
    if abs(value) <= known.noise_floor:
        return _told(claim, pair, 1.0, holds=claim.relation == "absent")
    return None


def _is_in_both(pair: tuple[float | None, float | None], known: Quantity) -> bool:
    """Return whether both pictures have about the same amount of a quantity, and a visible one."""
    a, b = pair
    return (
        a is not None
        and b is not None
        and max(abs(a), abs(b)) >= known.visible
        and (abs(abs(a) - abs(b)) < known.noise_floor)
    )


def _told(claim: Claim, pair: tuple[float | None, float | None], margin: float, *, holds: bool) -> CheckedClaim:
    """Return the statement as supported if it holds, else as contradicted."""
    if holds:
        return decided(claim, "supported", pair, margin)
    return decided(claim, "contradicted", pair, -margin, "absent")


def _of_both(claim: Claim, fault: Fault, evidence: PairEvidence) -> CheckedClaim:
    """Check a statement about both pictures or neither: by each picture alone for quantities in ``ABSOLUTE``, otherwise
    contradicted if the two differ too much."""
    if not fault.shown_by:
        return decided(claim, "not_measurable")
    quantity = fault.shown_by[0][0]
    known = QUANTITIES[quantity]
    first, second = pair_of(evidence, quantity)
    if first is None or second is None:
        return decided(claim, "not_measurable", (first, second))
    gap = abs(first - second)
    if quantity in ABSOLUTE:
        there = [abs(value) >= known.visible for value in (first, second)]
        clear = [abs(value) <= known.noise_floor for value in (first, second)]
        wanted, unwanted = (there, clear) if claim.relation == "present" else (clear, there)
        if all(wanted):
            return decided(claim, "supported", (first, second), 1.0)
        if any(unwanted) and fault.found_in == "values":
            return decided(claim, "contradicted", (first, second), -1.0, "side")
    elif gap >= 2 * known.visible and claim.relation in {"present", "absent", "alike"}:
        return decided(claim, "contradicted", (first, second), -gap / known.noise_floor, "side")
    return decided(claim, "not_measurable", (first, second))


# --- Registration of the views ----------------------------------------------------------------------------------------


def _is_good(registration: Registration | None) -> bool:
    return (
        registration is not None
        and registration.n_points >= MIN_POINTS
        and min(registration.shown_of_first, registration.shown_of_second) >= MIN_SHOWN
    )


def _crop(claim: Claim, evidence: PairEvidence) -> CheckedClaim:
    """Check "tighter", "wider" and "cut off", by the share of the other's frame that a picture does not show."""
    registration = evidence.registration
    if registration is None:
        return decided(claim, "not_measurable")
    left_out = (100 * (1 - registration.shown_of_second), 100 * (1 - registration.shown_of_first))
    own = 0 if claim.side == "A" else 1
    towards = -1 if claim.relation in {"less", "absent"} else 1
    margin = (left_out[own] - left_out[1 - own]) * towards / CROP_FLOOR
    stated = claim.stated[own]
    if stated is not None and _is_good(registration) and is_off(stated, left_out[own], CROP_FLOOR):
        return decided(claim, "contradicted", left_out, -abs(stated - left_out[own]) / CROP_FLOOR, "figure")
    if margin >= 1:
        return decided(claim, "supported", left_out, margin)
    if not _is_good(registration):
        return decided(claim, "not_measurable", left_out, margin)
    if margin <= -1:
        return decided(claim, "contradicted", left_out, margin, "side")
    if claim.relation in {"more", "less"} and says_clearly(claim.text):
        return decided(claim, "contradicted", left_out, min(margin, 0.0) - 1, "absent")
    return decided(claim, "not_measurable", left_out, margin)


def _geometry(claim: Claim, evidence: PairEvidence) -> CheckedClaim:
    """Check "mirrored" and "stretched": the registration shows whether the two differ so, but not which one is
    right."""
    registration = evidence.registration
    if registration is None or not _is_good(registration):
        return decided(claim, "not_measurable")
    if claim.fault == "mirror":
        differs, same = registration.mirrored, not registration.mirrored
    else:
        stretch = abs(math.log(registration.stretch)) if registration.stretch > 0 else 0.0
        differs, same = stretch >= 0.03, stretch < 0.01
    if claim.relation != "present":
        return decided(claim, "not_measurable")
    if same:
        return decided(claim, "contradicted", margin=-1.0, why="absent")
    known = differs and claim.fault == "mirror"
    return decided(claim, "supported", margin=1.0) if known else decided(claim, "not_measurable")


def _broader(claim: Claim, evidence: PairEvidence) -> CheckedClaim:
    """Check that a picture shows things wider or narrower for their height than the other does, in percent."""
    registration = evidence.registration
    if registration is None or not _is_good(registration) or claim.relation not in {"more", "less"}:
        return decided(claim, "not_measurable")
    if claim.side == "both":
        return decided(claim, "not_measurable")
    broader = 100 * (registration.stretch - 1 if claim.side == "B" else 1 / registration.stretch - 1)
    towards = 1 if claim.relation == "more" else -1
    own = 0 if claim.side == "A" else 1
    measured = (broader, None) if own == 0 else (None, broader)
    stated = claim.stated[own]
    if broader * towards <= -STRETCH_FLOOR:
        return decided(claim, "contradicted", measured, broader * towards / STRETCH_FLOOR, "sign")
    if stated is not None and is_off(stated, abs(broader), STRETCH_FLOOR):
        return decided(claim, "contradicted", measured, -abs(stated - abs(broader)) / STRETCH_FLOOR, "figure")
    status: Status = "supported" if broader * towards >= STRETCH_FLOOR else "not_measurable"
    return decided(claim, status, measured, broader * towards / STRETCH_FLOOR)


def _turned(claim: Claim, evidence: PairEvidence) -> CheckedClaim:
    """Check that a picture is rotated against the other, and by how many degrees."""
    registration = evidence.registration
    if registration is None or not _is_good(registration):
        return decided(claim, "not_measurable")
    turned, floor = abs(registration.rotation_deg), QUANTITIES["tilt"].noise_floor
    stated = next((value for value in claim.stated if value is not None), None)
    measured = (None, turned) if claim.side == "B" else (turned, None)
    if claim.relation not in {"present", "more"}:
        return decided(claim, "not_measurable", measured)
    if turned < floor:
        return decided(claim, "contradicted", measured, turned / floor - 1, "absent")
    if stated is not None and is_off(abs(stated), turned, floor):
        return decided(claim, "contradicted", measured, -abs(abs(stated) - turned) / floor, "figure")
    return decided(claim, "supported", measured, turned / floor)


def _tilt(claim: Claim, fault: Fault, evidence: PairEvidence) -> CheckedClaim:
    """Check "tilted" and "level", by the lines of each picture and, if it has too few, by the rotation between the
    two."""
    found = _values(claim, fault, evidence)
    own = 0 if claim.side == "A" else 1
    pair = pair_of(evidence, "tilt")
    known = QUANTITIES["tilt"]
    registration = evidence.registration
    if pair[own] is not None or registration is None or claim.relation not in {"present", "absent"}:
        alone = _alone(claim, fault, evidence, own)
        return alone if found.status == "not_measurable" and alone is not None else found
    turned = abs(registration.rotation_deg)
    stated, other = claim.stated[own], pair[1 - own]
    is_there = claim.relation == "present"
    # If the other picture is level, the rotation between the two is this one's tilt; a stated figure may say the same.
    other_is_level = other is not None and abs(other) <= known.noise_floor
    agrees = stated is not None and abs(abs(stated) - turned) <= max(0.2 * turned, known.noise_floor)
    if turned >= known.visible and (other_is_level or agrees) and is_there:
        return decided(claim, "supported", pair, turned / known.noise_floor)
    if other_is_level and _is_good(registration):
        if turned >= known.visible and not is_there:
            return decided(claim, "contradicted", pair, -turned / known.noise_floor, "absent")
        if turned <= known.noise_floor:
            return _told(claim, pair, 1.0, holds=not is_there)
    return found


# --- What only one picture shows --------------------------------------------------------------------------------------


def _changes(claim: Claim, fault: Fault, evidence: PairEvidence) -> CheckedClaim:
    """Check fingers, wires, dirt and lettering: parts of the scene that only this picture shows."""
    by_values = _values(claim, fault, evidence) if fault.shown_by else decided(claim, "not_measurable")
    own = [change for change in evidence.changes if change.side == claim.side]
    untold = [change for change in evidence.changes if change.side is None]
    told = fault.shown_by[0][0] if fault.shown_by else None
    if told in ABSOLUTE and not own and _is_in_both(pair_of(evidence, told), QUANTITIES[told]):
        return decided(claim, "not_measurable", by_values.measured)  # a sign in the scene, or laid over both
    is_there = claim.relation in {"present", "more"}
    if not is_there:
        if by_values.status != "not_measurable":
            return by_values
        clear = _is_good(evidence.registration) and not own and not untold
        return decided(claim, "supported", by_values.measured, 1.0) if clear else by_values
    if own and _is_something_else(fault, claim, pair_of(evidence, "lettering")):
        return decided(claim, "not_measurable", by_values.measured)  # something is there, and it is something else
    if own or by_values.status == "supported":
        # A change that cannot be assigned to either picture may belong to this one.
        found = [*own, *untold] if own else []
        places = [change.other_place if change.side is None and claim.side == "B" else change.place for change in found]
        if claim.place is not None and places and all(_is_far(claim.place, place) for place in places):
            return decided(claim, "contradicted", by_values.measured, -1.0, "place")
        stated, sure = claim.stated[0 if claim.side == "A" else 1], sum(change.area for change in own)
        if claim.fault == "covered" and stated is not None and is_off(stated, sure, AREA_FLOOR):
            area, margin = sum(change.area for change in found), -abs(stated - sure) / AREA_FLOOR
            if stated < sure or stated * LEAST_FOUND > area:
                return decided(claim, "contradicted", (None, None), margin, "figure")
            if stated * USUALLY_FOUND > area:
                return decided(claim, "not_measurable", (None, None), margin)
        margin = max([by_values.margin or 0.0, *(change.area for change in own), 1.0])
        return decided(claim, "supported", by_values.measured, margin)
    # Lettering found only in the other picture decides; if none was found at all, it may have been missed.
    others = by_values.why == "side" and fault.shown_by[0][0] in ABSOLUTE
    missed = not evidence.changes and _may_be_missed(claim)
    if not others and (untold or missed or not _is_good(evidence.registration)):
        return decided(claim, "not_measurable", by_values.measured)
    why = "side" if others or evidence.changes else "absent"
    return decided(claim, "contradicted", by_values.measured, min(by_values.margin or -1.0, -1.0), why)


def _may_be_missed(claim: Claim) -> bool:
    """Return whether a thing of the stated kind or size is often missed."""
    stated = claim.stated[0 if claim.side == "A" else 1]
    is_small = claim.fault == "covered" and stated is not None and stated < LEAST_COVERED
    return claim.fault in FAINT or is_small or says_slightly(claim.text)


def _is_something_else(fault: Fault, claim: Claim, lettering: tuple[float | None, float | None]) -> bool:
    """Return whether the measured lettering contradicts the kind of thing that is stated: a finger where text was
    found, or text where none was found."""
    a, b = lettering
    if fault.name == "covered" or a is None or b is None:
        return False
    more = (a - b) * (1 if claim.side == "A" else -1)
    known = QUANTITIES["lettering"]
    is_text = bool(fault.shown_by) and fault.shown_by[0][0] == "lettering"
    return more < known.noise_floor if is_text else more >= known.visible


def _is_far(one: Place, other: Place) -> bool:
    """Return whether two cells of the grid are neither equal nor neighbours."""
    return max(abs(a - b) for a, b in zip(_GRID[one], _GRID[other], strict=True)) > 1
