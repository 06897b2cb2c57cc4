"""Check statements against measurements: supported, contradicted, or not measurable. docs/claims.md has the rules.

Weak evidence never contradicts. A statement is not measurable if the difference is within the noise floor, if its
quantity was not measured, or if deciding it would need a registration of the two views and none was found.
"""

from __future__ import annotations

from collections.abc import Iterable

from redaes.evidence.claims import CheckedClaim, Claim, Claims
from redaes.evidence.extraction import VERSION, extract
from redaes.evidence.faults import FAULTS
from redaes.evidence.measurements import PairEvidence
from redaes.evidence.presence import OF_THE_PICTURE, check_fault
from redaes.evidence.quantities import QUANTITIES, Quantity
from redaes.evidence.turning_words import says_clearly
from redaes.evidence.values import decided, pair_of, wrong_figure

WELL_BEYOND = 2.0
"""If two pictures that are called alike differ by this multiple of the visible difference, the statement is wrong."""


def check_rationale(text: str, evidence: PairEvidence) -> Claims:
    """Extract the statements of a reasoning and check each of them.

    Args:
        text: any text; ``evidence.first`` is the picture that it calls A.
        evidence: what was measured of the two pictures.
    """
    return check(extract(text), evidence)


def check(claims: Iterable[Claim], evidence: PairEvidence, *, unrelated: bool = False) -> Claims:
    """Check statements and return each with its outcome.

    Args:
        claims: as :func:`redaes.evidence.extraction.extract` reads them; their A is ``evidence.first``.
        evidence: what was measured of the two pictures.
        unrelated: the pictures are known to show different scenes, so that a difference of light, colour or focus is
            no sign of a fault: a red hat is no colour cast.
    """
    checked = tuple(
        CheckedClaim(claim=claim, status="not_measurable", measured=pair_of(evidence, claim.quantity or ""))
        if unrelated and _is_of_the_scene(claim)
        else _checked(claim, evidence)
        for claim in claims
    )
    return Claims(checked=checked, version=f"{evidence.version} {VERSION}")


def _is_of_the_scene(claim: Claim) -> bool:
    """Return whether a statement names a fault whose quantities also differ between any two scenes."""
    fault = FAULTS.get(claim.fault or "")
    if fault is None or not fault.shown_by or claim.stated != (None, None):
        return False
    return fault.shown_by[0][0] not in OF_THE_PICTURE


def _checked(claim: Claim, evidence: PairEvidence) -> CheckedClaim:
    quantity = QUANTITIES.get(claim.quantity) if claim.quantity is not None else None
    if claim.fault is not None:
        found = check_fault(claim, evidence)
    elif quantity is None:
        found = CheckedClaim(claim=claim, status="not_measurable")
    elif claim.relation in {"more", "less"}:
        found = _comparative(claim, quantity, evidence)
    elif claim.relation == "alike":
        found = _alike(claim, quantity, evidence)
    else:
        found = CheckedClaim(claim=claim, status="not_measurable", measured=pair_of(evidence, quantity.name))
    if quantity is None:
        return found
    # A wrong figure makes the whole statement wrong, even if its direction is right.
    return wrong_figure(found, quantity, evidence) or found


def _comparative(claim: Claim, quantity: Quantity, evidence: PairEvidence) -> CheckedClaim:
    """Check a statement that a picture has more or less of a quantity than the other."""
    first, second = pair_of(evidence, quantity.name)
    towards = (1 if claim.side == "A" else -1) * (1 if claim.relation == "more" else -1)
    said_a, said_b = claim.stated
    if said_a is not None and said_b is not None and (said_a - said_b) * towards <= 0:
        own = (said_a - said_b) * towards / quantity.noise_floor
        return decided(claim, "contradicted", (first, second), min(own, -1.0), "sign")
    if first is None or second is None or claim.side == "both":
        return decided(claim, "not_measurable", (first, second))
    margin = (first - second) * towards / quantity.noise_floor
    if margin >= 1 and abs(first - second) < quantity.visible and says_clearly(claim.text):
        return decided(claim, "not_measurable", (first, second), margin)  # has more, but not visibly
    if margin >= 1:
        return decided(claim, "supported", (first, second), margin)
    if margin <= -1:
        return decided(claim, "contradicted", (first, second), margin, "sign")
    if says_clearly(claim.text):
        return decided(claim, "contradicted", (first, second), min(margin, 0.0) - 1, "absent")
    return decided(claim, "not_measurable", (first, second), margin)


def _alike(claim: Claim, quantity: Quantity, evidence: PairEvidence) -> CheckedClaim:
    """Check a statement that the two pictures do not differ visibly in a quantity."""
    first, second = pair_of(evidence, quantity.name)
    said_a, said_b = claim.stated
    if said_a is not None and said_b is not None and abs(said_a - said_b) >= quantity.visible:
        own = (quantity.visible - abs(said_a - said_b)) / quantity.noise_floor
        return decided(claim, "contradicted", (first, second), min(own, -1.0), "sign")
    if first is None or second is None:
        return decided(claim, "not_measurable", (first, second))
    gap = abs(first - second)
    margin = (quantity.visible - gap) / quantity.noise_floor
    if gap <= quantity.visible:
        return decided(claim, "supported", (first, second), margin)
    if gap >= WELL_BEYOND * quantity.visible:
        return decided(claim, "contradicted", (first, second), margin, "sign")
    return decided(claim, "not_measurable", (first, second), margin)
