"""The small table of measurements of two pictures, and the outcome of checking a reasoning's statements, in words.

Every figure here was measured by redaes in the pictures; figures that a model states are never among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from pydantic import FiniteFloat

from redaes.evidence.claims import CheckedClaim, Claim, Claims, Status
from redaes.evidence.measurements import PairEvidence, Side
from redaes.evidence.quantities import QUANTITIES, Quantity, figures
from redaes.types import Order, Record

MOST_ROWS = 6
"""Most rows of the table, unless the reasoning mentions more quantities."""

_OTHER: dict[Side, Side] = {"A": "B", "B": "A"}

WHY = {
    "sign": "it is the other way round",
    "figure": "the figures are wrong",
    "side": "it is the other picture",
    "absent": "there is none",
    "place": "it is elsewhere",
}
"""What is wrong with a contradicted statement, by :attr:`redaes.evidence.claims.CheckedClaim.why`."""


class Measured(Record):
    """One row of the table: a quantity in both pictures."""

    quantity: str
    """Key of :data:`redaes.evidence.quantities.QUANTITIES`."""
    name: str
    """Name of the quantity in tables."""
    unit: str
    digits: int
    """Decimals with which it is printed."""
    first: FiniteFloat
    second: FiniteFloat
    visible: bool
    """Whether the difference is visible to a person."""
    status: Status | None
    """Outcome of the statement about it; None: the reasoning does not mention it."""

    def shown(self, value: float) -> str:
        """Return a value as it is printed, with its unit.

        >>> Measured(quantity="noise", name="noise", unit="L*", digits=1, first=6.04, second=0.9, visible=True,
        ...          status=None).shown(6.04)
        '6.0 L*'
        """
        return f"{round(value, self.digits) + 0.0:.{self.digits}f} {self.unit}".rstrip()  # no minus before a zero

    def shares(self) -> tuple[float, float]:
        """Return the lengths of the two bars, in [0, 1]: the larger value fills its bar, and a negative value has
        none.
        """
        largest = max(self.first, self.second)
        return (max(0.0, self.first) / largest, max(0.0, self.second) / largest) if largest > 0 else (0.0, 0.0)


def table(evidence: PairEvidence, claims: Claims | None) -> tuple[Measured, ...]:
    """Return the quantities that the reasoning mentions, in its order, and then those that differ most visibly."""
    spoken: dict[str, Status] = {}
    for one in () if claims is None else claims.checked:
        name = one.claim.quantity
        if name is not None and spoken.get(name) != "contradicted":  # one contradicted statement outweighs the others
            spoken[name] = one.status
    known = [name for name in QUANTITIES if name in evidence.first.values and name in evidence.second.values]
    steps = {name: _steps(QUANTITIES[name], evidence) for name in known}
    differing = sorted((name for name in known if steps[name] >= 1.0), key=lambda name: -steps[name])
    rest = islice((name for name in differing if name not in spoken), max(0, MOST_ROWS - len(spoken)))
    return tuple(_row(QUANTITIES[name], evidence, spoken.get(name)) for name in (*spoken, *rest) if name in known)


def swapped(claim: Claim) -> Claim:
    """Return a statement of a reasoning whose A is the second picture, with the first picture as A; its words stay."""
    side = claim.side if claim.side == "both" else _OTHER[claim.side]
    return claim.model_copy(update={"side": side, "stated": claim.stated[::-1]})


def summary(claims: Claims, order: Order) -> str:
    """Return the outcomes of a reasoning's statements, in words.

    Args:
        claims: the checked statements; A is the first picture in them.
        order: order of the reasoning, whose letters the quoted words have; figures are named with the same letters.
    """
    n = len(claims.checked)
    if n == 0:
        return "it states nothing that can be measured: none of it is confirmed"
    supported, contradicted = claims.count("supported"), claims.count("contradicted")
    if not supported and not contradicted:
        which = "its only statement cannot be measured" if n == 1 else f"none of its {n} statements can be measured"
        return f"{which}: none of it is confirmed"
    text = f"{supported or 'none'} of {n} {'statement' if n == 1 else 'statements'} confirmed"
    if contradicted:
        false = [one for one in claims.checked if one.status == "contradicted"]
        text += "; contradicted: " + "; ".join(quoted(one, order) for one in false)
    unknown = n - supported - contradicted
    return text + (f"; {unknown} cannot be measured" if unknown else "")


def marked(text: str, claims: Claims | None) -> Sequence[tuple[str, Status | None]]:
    """Return a reasoning cut into pieces, each with the outcome of its statement; None: the piece is not a statement.

    Where statements overlap, the contradicted one counts.
    """
    of: list[Status | None] = [None] * len(text)
    for status in ("not_measurable", "supported", "contradicted"):
        for one in () if claims is None else claims.checked:
            if one.status == status:
                of[one.claim.start : one.claim.end] = [one.status] * len(of[one.claim.start : one.claim.end])
    pieces: list[tuple[str, Status | None]] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or of[end] != of[start]:
            pieces.append((text[start:end], of[start]))
            start = end
    return pieces


def quoted(one: CheckedClaim, order: Order = "forward") -> str:
    """Return a contradicted statement, with what is wrong with it and what was measured; ``order`` as for
    :func:`summary`.
    """
    a, b = one.measured if order == "forward" else one.measured[::-1]
    quantity = QUANTITIES.get(one.claim.quantity or "")
    about = [_why(one)] if one.why in WHY else []
    if quantity is not None and a is not None and b is not None:
        first, second = figures(quantity, (a, b))
        about.append(f"measured {quantity.spoken} {first} in A, {second} in B")
    return f"“{one.claim.text.strip()}”" + (f" ({': '.join(about)})" if about else "")


def _why(one: CheckedClaim) -> str:
    """Return what is wrong with a contradicted statement, in words."""
    a, b = one.measured
    quantity = QUANTITIES.get(one.claim.quantity or "")
    said_a, said_b = one.claim.stated
    if one.why == "sign" and said_a is not None and said_a == said_b:
        return "its own figures are equal"
    if one.why == "absent" and one.claim.relation == "absent":
        return "there is some"
    if one.why != "absent" or quantity is None or a is None or b is None:
        return WHY[one.why]
    is_there = max(abs(a), abs(b)) > quantity.noise_floor
    return "the two hardly differ in it" if is_there and abs(a - b) < quantity.visible else WHY[one.why]


def _steps(quantity: Quantity, evidence: PairEvidence) -> float:
    """Return the difference in units of the visible difference."""
    return abs(evidence.first.values[quantity.name] - evidence.second.values[quantity.name]) / quantity.visible


def _row(quantity: Quantity, evidence: PairEvidence, status: Status | None) -> Measured:
    return Measured(
        quantity=quantity.name,
        name=quantity.spoken,
        unit=quantity.unit,
        digits=quantity.digits,
        first=evidence.first.values[quantity.name],
        second=evidence.second.values[quantity.name],
        visible=_steps(quantity, evidence) >= 1.0,
        status=status,
    )
