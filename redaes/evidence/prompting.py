"""Write measurements of two pictures into a question, for models that are shown less than the pictures contain."""

from __future__ import annotations

from collections.abc import Iterator

from redaes.evidence.measurements import Measurements, PairEvidence, Registration
from redaes.evidence.quantities import QUANTITIES, Quantity, figures
from redaes.prompts import EVIDENCE, Prompt
from redaes.types import Order

ALWAYS = ("brightness", "contrast", "colourfulness", "sharpness", "noise")
"""Quantities that are listed for every pair, even if they are alike."""

MAX_ROWS = 12
"""Largest number of rows of the table; the clearest differences are kept."""

MAX_CHANGES = 3
"""Largest number of listed parts of the scene that only one picture shows, largest part first."""

NOTHING = "nothing that could be measured in both"
"""Text in place of a table that would be empty."""

_LETTERS: dict[Order, tuple[str, str]] = {"forward": ("A", "B"), "swapped": ("B", "A")}
"""Letters of the first and the second picture."""


def fill_in(prompt: Prompt, evidence: PairEvidence | None) -> dict[Order, Prompt]:
    """Return a question with the measurements filled in, for each order of a pair.

    Args:
        prompt: a prompt with the field :data:`redaes.prompts.EVIDENCE`.
        evidence: measurements of the first picture and the second; None: they are too small to be measured.

    Raises:
        PromptError: the prompt has other fields, or none for measurements.
    """
    orders: tuple[Order, Order] = ("forward", "swapped")
    return {
        order: prompt.fill(**{EVIDENCE: NOTHING if evidence is None else evidence_text(evidence, order)})
        for order in orders
    }


def evidence_text(evidence: PairEvidence, order: Order = "forward") -> str:
    """Return a compact table of the measurements, then how the two views differ.

    The table lists :data:`ALWAYS` and the quantities that differ by at least the noise floor. A row says which
    direction is better if one is better in itself. A quantity that was measured in only one picture is left out.

    Args:
        evidence: evidence of the first picture and the second.
        order: ``swapped``: the second is called A.
    """
    letters = _LETTERS[order]
    pair = (evidence.first, evidence.second) if order == "forward" else (evidence.second, evidence.first)
    lines = ["quantity | A | B"]
    lines += [_row(quantity, pair) for quantity in told(evidence)]
    if len(lines) == 1:
        lines = [NOTHING]
    if evidence.registration is not None:
        lines += _views(evidence.registration, *letters)
    names = dict(zip(_LETTERS["forward"], letters, strict=True))
    for change in evidence.changes[:MAX_CHANGES]:
        area = f"{change.area:.0f} %" if change.area >= 1 else f"{change.area:.1f} %"
        who = "one picture" if change.side is None else names[change.side]
        lines.append(f"{who} has something at the {_at(change.place)} that the other has not ({area} of the frame)")
    return "\n".join(lines)


def told(evidence: PairEvidence) -> list[Quantity]:
    """Return the quantities that a table of two pictures lists, in the order of the registry; the same in both
    orders.
    """
    ranked = []
    for place, quantity in enumerate(QUANTITIES.values()):
        found = _both(quantity, (evidence.first, evidence.second))
        if found is None:
            continue
        size = abs(found[0] - found[1])
        if size >= quantity.noise_floor or quantity.name in ALWAYS:
            # ALWAYS first, so that these are never crowded out; within each group the clearest differences first.
            ranked.append((quantity.name not in ALWAYS, -size / quantity.visible, place, quantity))
    kept = sorted(ranked, key=lambda item: item[:3])[:MAX_ROWS]
    return [quantity for _, _, _, quantity in sorted(kept, key=lambda item: item[2])]


def _both(quantity: Quantity, pair: tuple[Measurements, Measurements]) -> tuple[float, float] | None:
    first, second = (one.values.get(quantity.name) for one in pair)
    return None if first is None or second is None else (first, second)


def _row(quantity: Quantity, pair: tuple[Measurements, Measurements]) -> str:
    values = _both(quantity, pair)
    if values is None:
        raise AssertionError(f"{quantity.name} is told only where both have it")
    unit = f", {quantity.unit}" if quantity.unit else ""
    better = f" ({quantity.better} is better)" if quantity.better else ""
    return " | ".join((f"{quantity.spoken}{unit}{better}", *figures(quantity, values)))


def _views(registration: Registration, first: str, second: str) -> Iterator[str]:
    """Yield sentences on how the second view differs from the first, by letter; none if both show the same view."""
    if registration.mirrored:
        yield f"{second} is {first} mirrored"
    for one, other, share in (
        (first, second, registration.shown_of_second),
        (second, first, registration.shown_of_first),
    ):
        if share < 0.98:
            yield f"{one} shows {100 * share:.0f} % of what {other} shows"
    if abs(registration.rotation_deg) >= 0.3:
        way = "anticlockwise" if registration.rotation_deg > 0 else "clockwise"
        yield f"{second} is turned {abs(registration.rotation_deg):.1f} degrees {way} against {first}"
    if abs(registration.stretch - 1) >= 0.03:
        way = "wider" if registration.stretch > 1 else "narrower"
        yield f"{second} is stretched {way} than {first}, {registration.stretch:.2f} to 1"


def _at(place: str) -> str:
    return {"left": "left side", "right": "right side"}.get(place, place)
