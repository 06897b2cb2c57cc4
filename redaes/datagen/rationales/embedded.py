"""The embedded writer: a chain of thought written from what was measured on the two pictures.

A rationale says which fault decides and where, what was measured of it on each side, what weighs less, and concludes.
The fault comes first: a model that writes word by word commits itself with its first words, and those should be what
is seen, not a figure's name that many faults share. Wording is drawn from a seed; the content never is: every
statement follows from the measurements, the edits and the signed difference, and
:func:`redaes.datagen.rationales.checks.contradictions` checks the result.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from redaes.datagen.editors.embedded import OPERATIONS
from redaes.datagen.judges import Evidence
from redaes.types import Edit, Factor, Rationale, Winner, winner_of


@dataclass(frozen=True)
class Quantity:
    """One measured quantity and how it is spoken of."""

    field: str
    """Field of :class:`~redaes.datagen.judges.Evidence`."""
    name: str
    more: str
    less: str
    threshold: float
    """Differences below this, in the field's unit, are not worth a word."""
    digits: int = 0
    """Decimals with which it is stated."""


QUANTITIES: dict[Factor, tuple[Quantity, ...]] = {
    "light": (
        Quantity("brightness", "brightness", "brighter", "darker", 4.0),
        Quantity("contrast", "contrast", "more contrasty", "flatter", 2.5),
    ),
    "colour": (
        Quantity("colourfulness", "colourfulness", "more colourful", "duller in colour", 4.0),
        Quantity("warm_cool", "warmth", "warmer", "cooler", 3.0),
        Quantity("green_magenta", "magenta", "more magenta", "greener", 2.5),
    ),
    "focus": (Quantity("sharpness", "sharpness", "crisper", "softer", 0.3, 1),),
    "noise": (
        Quantity("noise", "noise", "noisier", "cleaner", 0.5, 1),
        Quantity("sharpness", "fine detail", "richer in fine detail", "poorer in fine detail", 0.3, 1),
    ),
    "composition": (),
    "content": (),
    "subject": (),
    "mood": (),
}

_MEASURED = (
    "{side} is {adjective}: {name} {this} against {other}.",
    "Measured {name} is {this} in {side} and {other} in {rival}, so {side} is {adjective}.",
    "{side} looks {adjective} than {rival}, {name} {this} to {other}.",
)
_ALIKE = (
    "Brightness {a:.0f} in A and {b:.0f} in B: the light is alike.",
    "Light and colour are close, brightness {a:.0f} against {b:.0f}.",
)
_FAULT = (
    "{side} shows {fault}.",
    "{side} suffers from {fault}.",
    "What stands out in {side} is {fault}.",
)
_OTHER_FAULT = (
    "{side} has {fault}, which weighs less.",
    "Less harm comes to {side} from {fault}.",
)
# None begins with a picture, as the sentences before do: a small model that has named the fault of A and goes on with
# "A is" has to mean "noisier" by it, and wrote "far better".
CONCLUSIONS = (
    "So {winner} is {size} better.",
    "So {winner} is {size} the better picture.",
    "That makes {winner} {size} better.",
)
_DECIDES = (
    "What tells them apart is {factors}.",
    "They differ in {factors}.",
    "{factors} sets them apart.",
)
_TIE = (
    "Nothing that matters differs between A and B.",
    "A and B are equally good; what differs is not visible as a fault.",
    "Neither picture gains anything over the other.",
)
_AMOUNTS = ((1.5, "slight"), (3.5, "clear"), (9.1, "strong"))
_RIVAL = {"A": "B", "B": "A"}
SIZES = ((1.5, "slightly"), (3.5, "clearly"), (9.1, "far"))
"""Differences in points below which each word is used of a conclusion."""


def word(table: Sequence[tuple[float, str]], points: float) -> str:
    """The word for a size, in points, from :data:`SIZES` or a table like it."""
    return next(word for bound, word in table if points < bound)


def _fault(edit: Edit, loss: float) -> str:
    """The edit's symptom with how bad it is: "a slight orange colour cast", "clear underexposure, …"."""
    symptom = OPERATIONS[edit.operation].symptom
    amount = word(_AMOUNTS, loss)
    for article in ("an ", "a "):
        if symptom.startswith(article):
            return f"a {amount} {symptom.removeprefix(article)}"
    return f"{amount} {symptom}"


def _measured_sentence(
    rng: random.Random, evidence: dict[str, Evidence], factors: Sequence[Factor], side: str
) -> str | None:
    """The largest measured difference among the factors' quantities, or None when none is worth a word.

    It is told of ``side``, the worse picture: a small model that has to find out anew which picture a sentence is about
    mixes them up.
    """
    ranked: list[tuple[float, Quantity]] = []
    for factor in factors:
        for quantity in QUANTITIES[factor]:
            gap = abs(getattr(evidence["A"], quantity.field) - getattr(evidence["B"], quantity.field))
            if gap >= quantity.threshold:
                ranked.append((gap / quantity.threshold, quantity))
    if not ranked:
        return None
    quantity = max(ranked, key=lambda item: item[0])[1]
    rival = _RIVAL[side]
    this, other = (getattr(evidence[letter], quantity.field) for letter in (side, rival))
    return rng.choice(_MEASURED).format(
        side=side,
        rival=rival,
        name=quantity.name,
        adjective=quantity.more if this > other else quantity.less,
        this=f"{this:.{quantity.digits}f}",
        other=f"{other:.{quantity.digits}f}",
    )


def write_rationale(
    evidence_a: Evidence,
    evidence_b: Evidence,
    edit_a: Edit | None,
    edit_b: Edit | None,
    loss_a: float,
    loss_b: float,
    seed: int,
) -> Rationale:
    """Write the reasoning for a pair in one order.

    Args:
        evidence_a: what was measured on the picture shown as A; likewise ``evidence_b``.
        edit_a: the edit that A carries, None when it carries none that matters; likewise ``edit_b``.
        loss_a: quality that A lost to its edit, in points; likewise ``loss_b``.
        seed: draws the wording.
    """
    rng = random.Random(seed)
    evidence = {"A": evidence_a, "B": evidence_b}
    edits = {"A": edit_a, "B": edit_b}
    losses = {"A": loss_a, "B": loss_b}
    delta = loss_b - loss_a
    better: Winner = winner_of(delta)
    sentences: list[str] = []
    if better == "tie":
        sentences.append(rng.choice(_ALIKE).format(a=evidence_a.brightness, b=evidence_b.brightness))
        sentences.append(rng.choice(_TIE))
        return Rationale(text=" ".join(sentences), factors=(), better="tie")
    loser = _RIVAL[better]
    fault = edits[loser]
    if fault is None:
        raise ValueError("the worse picture carries no edit: nothing explains the difference")
    rival = edits[better]
    sentences.append(rng.choice(_FAULT).format(side=loser, fault=_fault(fault, losses[loser])))
    measured = _measured_sentence(rng, evidence, (fault.factor,), loser)
    if measured is not None:
        sentences.append(measured)
    if rival is not None:
        sentences.append(rng.choice(_OTHER_FAULT).format(side=better, fault=_fault(rival, losses[better])))
    sentences.append(rng.choice(CONCLUSIONS).format(winner=better, size=word(SIZES, abs(delta))))
    return Rationale(text=" ".join(sentences), factors=(fault.factor,), better=better)


def write_from_factors(
    evidence_a: Evidence, evidence_b: Evidence, factors: Sequence[Factor], delta: float, seed: int
) -> Rationale:
    """Write the reasoning for a pair of which only the deciding factors are known, in one order.

    It can say less than :func:`write_rationale`, which knows what each edit does: for edits of other editors.

    Args:
        evidence_a: what was measured on the picture shown as A; likewise ``evidence_b``.
        factors: what decides; empty for a tie.
        delta: score of A minus score of B, in points.
        seed: draws the wording.

    Raises:
        ValueError: a difference without factors, or a tie with some.
    """
    rng = random.Random(seed)
    better = winner_of(delta)
    if better == "tie":
        sentences = [rng.choice(_ALIKE).format(a=evidence_a.brightness, b=evidence_b.brightness), rng.choice(_TIE)]
        return Rationale(text=" ".join(sentences), factors=tuple(factors), better="tie")
    named = " and ".join(factors)
    decides = rng.choice(_DECIDES).format(factors=named)
    measured = _measured_sentence(rng, {"A": evidence_a, "B": evidence_b}, factors, _RIVAL[better])
    sentences = [decides[0].upper() + decides[1:]]
    if measured is not None:
        sentences.append(measured)
    sentences.append(rng.choice(CONCLUSIONS).format(winner=better, size=word(SIZES, abs(delta))))
    return Rationale(text=" ".join(sentences), factors=tuple(factors), better=better)
