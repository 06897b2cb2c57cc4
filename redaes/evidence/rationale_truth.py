"""Summarize the checked statements of one reasoning: whether it is true, and whether it names a given fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from redaes.evidence.claims import CheckedClaim, Claim, Claims
from redaes.evidence.faults import FAULTS, Fault
from redaes.evidence.measurements import OTHER_SIDE, Side
from redaes.evidence.quantities import QUANTITIES, figures
from redaes.types import Record

Truth = Literal["true", "partly", "false", "unconfirmed", "none"]
"""``true``: statements are supported and none is contradicted; ``partly``: more are supported than contradicted;
``false``: at least as many are contradicted; ``unconfirmed``: nothing that it says can be measured; ``none``: there is
no reasoning."""

TRUTHS: tuple[Truth, ...] = ("true", "partly", "false", "unconfirmed", "none")

_OPPOSITE: Mapping[str, str] = {"more": "less", "less": "more"}


class Reason(Record):
    """Counts of one reasoning's statements."""

    truth: Truth
    n_supported: int = 0
    n_contradicted: int = 0
    n_unmeasured: int = 0
    """Number of statements that were not measurable."""
    n_figures: int = 0
    """Number of contradicted statements of which only a figure is wrong."""

    @property
    def but_for_figures(self) -> Truth:
        """The truth of the reasoning if wrong figures are ignored."""
        if self.truth == "none":
            return "none"
        return counted(self.n_supported + self.n_figures, self.n_contradicted - self.n_figures).truth

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of statements that are supported, contradicted and not measurable."""
        return self.n_supported, self.n_contradicted, self.n_unmeasured


def reason_of(claims: Claims | None) -> Reason:
    """Summarize a reasoning's checked statements; None: there was no reasoning that could be read.

    >>> reason_of(None).truth, reason_of(Claims(checked=(), version="")).truth
    ('none', 'unconfirmed')
    """
    if claims is None:
        return Reason(truth="none")
    off = sum(one.status == "contradicted" and one.why == "figure" for one in claims.checked)
    return counted(claims.count("supported"), claims.count("contradicted"), claims.count("not_measurable"), off)


def counted(supported: int, contradicted: int, unmeasured: int = 0, figures: int = 0) -> Reason:
    """Summarize a reasoning by the numbers of its statements.

    >>> [counted(s, c).truth for s, c in ((1, 0), (2, 1), (1, 1), (0, 0))]
    ['true', 'partly', 'false', 'unconfirmed']
    """
    truth: Truth = "true"
    if contradicted:
        truth = "partly" if supported > contradicted else "false"
    elif not supported:
        truth = "unconfirmed"
    return Reason(
        truth=truth,
        n_supported=supported,
        n_contradicted=contradicted,
        n_unmeasured=unmeasured,
        n_figures=figures,
    )


def measured_words(one: CheckedClaim) -> str:
    """Return the measured values of a statement's quantity, in words; empty: they were not measured in both
    pictures."""
    quantity = QUANTITIES.get(one.claim.quantity or "")
    a, b = one.measured
    if quantity is None or a is None or b is None:
        return ""
    first, second = figures(quantity, (a, b))
    return f"{quantity.spoken} is {first} in A and {second} in B"


def names_fault(claims: Claims, operation: str, side: Side) -> bool:
    """Return whether a reasoning names the very fault that a picture has, and says that this picture has it.

    A statement that the measurements contradict does not count, unless only a figure in it is wrong.

    Args:
        claims: checked, in the letters of the reasoning.
        operation: key of :data:`redaes.evidence.faults.FAULTS`.
        side: the picture that has the fault, in the letters of the reasoning.
    """
    said = {(side, "more"), (side, "present")}
    return any(one.claim.fault == operation and said & _ways(one.claim) for one in _standing(claims))


def tells_fault(claims: Claims, operation: str, side: Side) -> bool:
    """Return whether a reasoning names the fault, or states a quantity that shows it, in the right direction: for a
    picture that was darkened, ``darker``, or ``brighter`` for the other.

    Args:
        claims: as for :func:`names_fault`.
        operation: as for :func:`names_fault`.
        side: as for :func:`names_fault`.

    Raises:
        KeyError: an operation that is no fault.
    """
    fault = FAULTS[operation]
    return names_fault(claims, operation, side) or any(
        implies_fault(one.claim, fault, side) for one in _standing(claims)
    )


def implies_fault(claim: Claim, fault: Fault, side: Side) -> bool:
    """Return whether a statement says about a picture what would be measured if the picture had a fault.

    Args:
        claim: the statement; whether it is true does not matter.
        fault: the fault that the picture may have.
        side: the picture.
    """
    return any(claim.quantity == name and (side, relation) in _ways(claim) for name, relation in fault.shown_by)


def _standing(claims: Claims) -> list[CheckedClaim]:
    """Return the statements that are not contradicted, or in which only a figure is wrong."""
    return [one for one in claims.checked if one.status != "contradicted" or one.why == "figure"]


def _ways(claim: Claim) -> set[tuple[str, str]]:
    """Return the pictures that a statement is about, each with its relation: a comparison states the opposite for the
    other picture.
    """
    ways: set[tuple[str, str]] = {(claim.side, claim.relation)}
    if claim.relation in _OPPOSITE and claim.side != "both":
        ways.add((OTHER_SIDE[claim.side], _OPPOSITE[claim.relation]))
    return ways
