"""Look up the measured values for a statement, and check the figures that it quotes against them."""

from __future__ import annotations

from redaes.evidence.claims import CheckedClaim, Claim, Status
from redaes.evidence.measurements import PairEvidence
from redaes.evidence.quantities import Quantity

FIGURE_TOLERANCE = 0.2
"""A quoted figure is wrong when it is off by more than this share of the measured value, and by more than the noise
floor."""


def pair_of(evidence: PairEvidence, quantity: str) -> tuple[float | None, float | None]:
    """Return a quantity in the first and in the second picture; None: not measured there."""
    return evidence.first.values.get(quantity), evidence.second.values.get(quantity)


def is_off(stated: float, value: float, floor: float) -> bool:
    """Return whether a quoted figure is wrong: by more than :data:`FIGURE_TOLERANCE` and by more than the noise
    floor.
    """
    return abs(stated - value) > max(FIGURE_TOLERANCE * abs(value), floor)


def decided(
    claim: Claim,
    status: Status,
    measured: tuple[float | None, float | None] = (None, None),
    margin: float | None = None,
    why: str = "",
) -> CheckedClaim:
    """Return a statement with its outcome."""
    return CheckedClaim(claim=claim, status=status, measured=measured, margin=margin, why=why)


def wrong_figure(found: CheckedClaim, quantity: Quantity, evidence: PairEvidence) -> CheckedClaim | None:
    """Return the outcome for a statement whose quoted figures are wrong, or right if it states nothing else; None: the
    figures decide nothing.

    Args:
        found: the outcome for the statement without its figures.
        quantity: the quantity of the figures.
        evidence: what was measured of the two pictures.
    """
    claim = found.claim
    measured = pair_of(evidence, quantity.name)
    quoted = [
        (stated, value)
        for stated, value in zip(claim.stated, measured, strict=True)
        if stated is not None and value is not None
    ]
    if not quoted or found.why == "sign":
        return None
    wrong = [abs(stated - value) for stated, value in quoted if is_off(stated, value, quantity.noise_floor)]
    if not wrong and len(quoted) == 2:  # each within a fifth, yet their difference is wrong
        said, true = (pair[0] - pair[1] for pair in zip(*quoted, strict=True))
        if abs(said) >= 2 * quantity.visible and abs(true) < quantity.visible:
            wrong = [abs(said - true)]
    if wrong:
        return decided(claim, "contradicted", measured, -max(wrong) / quantity.noise_floor, "figure")
    states_more = claim.relation != "present" or claim.fault is not None
    return None if states_more else decided(claim, "supported", measured, 1.0)
