"""The embedded writer, which writes a chain of thought from measurements of the two pictures.

A rationale states the deciding fault and its side, the measurements of it compared with the other picture, where it
shows, and what weighs less; then it concludes. The fault comes first: a model that writes word by word commits itself
with its first words, and those should be what is seen, not the name of a measurement that many faults share. A seed
decides the wording, never the content: measurements are chosen by what they explain (:mod:`.choosing`), words follow
their sign and size (:mod:`.quantity_words`), and :func:`redaes.evidence.checking.check_rationale` finds no fault.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from redaes.datagen.rationales import choosing, frames, quantity_words, regions
from redaes.datagen.rationales.looks import Look
from redaes.datagen.rationales.symptoms import SYMPTOMS, named
from redaes.evidence.checking import check
from redaes.evidence.claims import Claim
from redaes.evidence.measurements import OTHER_SIDE, Measurements, PairEvidence, Side
from redaes.evidence.quantities import figures
from redaes.types import Edit, Factor, Rationale, Winner, winner_of

MOST_MEASURED = 2
"""Largest number of sentences on measured differences of the deciding fault."""
FURTHER_SHARE = 0.55
"""Probability that the second difference is mentioned, if there is one."""
SEEN_SHARE = 0.6
"""Probability that the effect of a visible difference is also mentioned."""
WHERE_SHARE = 0.75
"""Probability that the place of the fault is mentioned, if it is known."""
LESSER_MEASURED_SHARE = 0.3
"""Probability that a measurement of the lesser fault is also mentioned."""


@dataclass(frozen=True)
class PairObservation:
    """What the pixels of two pictures show, in one order."""

    evidence: PairEvidence
    looks: tuple[Look, Look] | None = None
    """The looks of A and of B; None if texts are to say nothing about places."""
    same_frame: bool = False
    """Whether both surely show the same part of the scene in the same place; it is used if there is no registration."""

    def swapped(self) -> PairObservation:
        """Return the observation of the same pictures in the other order."""
        looks = None if self.looks is None else (self.looks[1], self.looks[0])
        return PairObservation(self.evidence.swapped(), looks, self.same_frame)

    @property
    def aligned(self) -> bool:
        """Whether cells at the same place show the same part of the scene, so that they can be compared."""
        known = self.evidence.registration
        return self.same_frame if known is None else choosing.same_frame(known)

    def measured(self, side: Side) -> tuple[Measurements, Measurements]:
        """Return the measurements of ``side``, then those of the other picture."""
        one, other = self.evidence.first, self.evidence.second
        return (one, other) if side == "A" else (other, one)


def word(table: Sequence[tuple[float, str]], points: float) -> str:
    """Return the word for a size, in points, from :data:`redaes.datagen.rationales.frames.SIZES` or a table like it."""
    return next(word for bound, word in table if points < bound)


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _fault(rng: random.Random, observed: PairObservation, edit: Edit, loss: float, side: Side) -> str | None:
    """Return the edit's fault with its size ("a slight orange colour cast", "clear underexposure"), but no size if the
    pixels do not support it. None if they contradict the fault itself, such as crushed shadows without
    black."""
    amount = rng.choice(next(amounts for bound, amounts in frames.AMOUNTS if loss < bound))
    name = rng.choice(SYMPTOMS[edit.operation])
    for adjective in (amount, ""):
        told = named(name, adjective)
        claim = Claim(
            text=told, start=0, end=len(told), side=side, relation="present", quantity=None, fault=edit.operation
        )
        if not check((claim,), observed.evidence).count("contradicted"):
            return told
    return None


def _united(difference: choosing.MeasuredDifference, values: tuple[str, str]) -> dict[str, str]:
    """Return the figures with their unit: percent after both, other units only after that of the described picture."""
    unit = {"%": " %", "deg": " degrees", "px": " px"}.get(difference.quantity.unit, "")
    this, other = values
    return {"this": this + unit, "other": other + unit if unit == " %" else other}


def _difference(
    rng: random.Random, difference: choosing.MeasuredDifference, side: Side, *, further: bool = False
) -> list[str]:
    """Return sentences about one measured difference of ``side``, and about its visible effect.

    They are about the worse picture: a small model that has to find out in each sentence which picture it is about
    confuses the two.
    """
    values = difference.figures()
    degree = rng.choice(quantity_words.degrees(difference.size))
    comparative = rng.choice(quantity_words.comparatives(difference.quantity, difference.more))
    gaps = {
        "side": side,
        "rival": OTHER_SIDE[side],
        "adjective": f"{degree} {comparative}".strip(),
        "noun": rng.choice(quantity_words.nouns(difference.quantity)),
    }
    if values is None:
        template = rng.choice(frames.FURTHER_WITHOUT if further else frames.WITHOUT_FIGURES)
    else:
        template = rng.choice(frames.FURTHER if further else frames.MEASURED)
        gaps |= _united(difference, values)
    told = [_capital(template.format(**gaps))]
    seen = quantity_words.seen(difference.quantity, difference.more, difference.here)
    if seen and difference.size >= 1 and rng.random() < SEEN_SHARE:
        told.append(_capital(rng.choice(frames.SEEN).format(side=side, seen=rng.choice(seen))))
    return told


def _geometry(rng: random.Random, fact: choosing.Geometry, side: Side) -> str:
    kind = fact.kind if fact.kind != "stretched" else "wider" if fact.amount > 0 else "narrower"
    amount = abs(fact.amount)
    digits = 1 if fact.kind in ("turned", "converging") or amount < 10 else 0
    gaps = {
        "side": side,
        "rival": OTHER_SIDE[side],
        "amount": f"{amount:.{digits}f}",
        "rest": f"{100 - amount:.{digits}f}",
    }
    if fact.places:
        gaps["places"] = regions.in_places(rng, fact.places)
    return _capital(rng.choice(frames.GEOMETRY[kind]).format(**gaps))


def _measured(
    rng: random.Random,
    observed: PairObservation,
    differences: Sequence[choosing.MeasuredDifference],
    facts: Sequence[choosing.Geometry],
    side: Side,
) -> list[str]:
    """Return the sentences about measurements; geometry comes first, because it is the fault itself."""
    told = [_geometry(rng, fact, side) for fact in facts[:1]]
    for number, difference in enumerate(differences[: MOST_MEASURED - len(told)]):
        further = bool(told)
        if further and rng.random() >= FURTHER_SHARE:
            break
        told += _difference(rng, difference, side, further=further and number > 0)
    return told


def _where(rng: random.Random, observed: PairObservation, factor: Factor, side: Side) -> list[str]:
    if observed.looks is None or rng.random() >= WHERE_SHARE:
        return []
    looks = observed.looks if side == "A" else (observed.looks[1], observed.looks[0])
    sentence = regions.where(rng, *looks, factor, side, aligned=observed.aligned)
    return [] if sentence is None else [sentence]


def _conclusion(rng: random.Random, winner: Side, delta: float) -> str:
    size = word(frames.SIZES, abs(delta))
    return rng.choice(frames.CONCLUSIONS).format(
        winner=winner, plain_size=size, size=rng.choice(frames.SIZE_WORDS[size])
    )


def _tie(rng: random.Random, observed: PairObservation) -> Rationale:
    told = [rng.choice(frames.TIE_OPENINGS)]
    equal = choosing.alike(observed.evidence.first, observed.evidence.second)
    for one in rng.sample(equal, min(2, len(equal))):
        a, b = figures(one.quantity, (one.here, one.there))
        unit = " %" if one.quantity.unit == "%" else ""
        noun = rng.choice(quantity_words.nouns(one.quantity))
        told.append(_capital(rng.choice(frames.ALIKE).format(noun=noun, a=a + unit, b=b + unit)))
    if observed.evidence.registration is not None and observed.evidence.registration.mirrored:
        told.append(rng.choice(frames.TIE_MIRRORED))
    told.append(rng.choice(frames.TIES))
    return Rationale(text=" ".join(told), factors=(), better="tie")


def write_rationale(
    observed: PairObservation, edits: tuple[Edit | None, Edit | None], losses: tuple[float, float], seed: int
) -> Rationale:
    """Write the reasoning for a pair in one order.

    Args:
        observed: measurements of the pair, with the picture shown as A first.
        edits: the edits of A and B; None for a picture without an edit that matters.
        losses: quality that A and B lost to their edits, in points.
        seed: seed of the wording.

    Raises:
        ValueError: the worse picture carries no edit.
    """
    rng = random.Random(seed)
    delta = losses[1] - losses[0]
    better: Winner = winner_of(delta)
    if better == "tie":
        return _tie(rng, observed)
    worse = OTHER_SIDE[better]
    (fault, loss), (other, lesser) = ((edits[i], losses[i]) for i in ((1, 0) if better == "A" else (0, 1)))
    if fault is None:
        raise ValueError("the worse picture carries no edit: nothing explains the difference")
    gaps = {"side": worse, "rival": better}
    called, opening = _fault(rng, observed, fault, loss, worse), rng.random()
    if called is None:
        template = frames.UNNAMED[int(opening * len(frames.UNNAMED))]
        told = [_capital(template.format(noun=rng.choice(frames.WEAK_IN[fault.factor]), **gaps))]
    else:
        told = [_capital(frames.FAULT[int(opening * len(frames.FAULT))].format(fault=called, **gaps))]
    facts = choosing.geometry(observed.evidence, worse, fault.operation)
    told += _measured(rng, observed, choosing.of_fault(fault.operation, *observed.measured(worse)), facts, worse)
    told += _where(rng, observed, fault.factor, worse)
    if other is not None:
        told += _lesser(rng, observed, other, lesser, better, same=other.operation == fault.operation)
    told.append(_conclusion(rng, better, delta))
    return Rationale(text=" ".join(told), factors=(fault.factor,), better=better)


def _lesser(
    rng: random.Random, observed: PairObservation, edit: Edit, loss: float, side: Side, *, same: bool
) -> list[str]:
    """Return the sentences about the better picture's own fault."""
    gaps = {"side": side, "rival": OTHER_SIDE[side]}
    if same:
        return [rng.choice(frames.SAME_FAULT).format(**gaps)]
    called = _fault(rng, observed, edit, loss, side)
    if called is None:
        return []
    told = [_capital(rng.choice(frames.LESSER).format(fault=called, **gaps))]
    differences = choosing.of_fault(edit.operation, *observed.measured(side))
    if differences and rng.random() < LESSER_MEASURED_SHARE:
        told += _difference(rng, differences[0], side)[:1]
    return told


def write_from_factors(observed: PairObservation, factors: Sequence[Factor], delta: float, seed: int) -> Rationale:
    """Write the reasoning for a pair of which only the deciding factors are known, in one order.

    It is used for edits by other editors, and can say less than :func:`write_rationale`, which knows what each edit
    does.

    Args:
        observed: measurements of the pair, with the picture shown as A first.
        factors: the deciding factors; empty for a tie.
        delta: score of A minus score of B, in points.
        seed: seed of the wording.

    Raises:
        ValueError: there is a difference without factors, or a tie with factors.
    """
    rng = random.Random(seed)
    better = winner_of(delta)
    if better == "tie":
        tie = _tie(rng, observed)
        return Rationale(text=tie.text, factors=tuple(factors), better="tie")
    worse = OTHER_SIDE[better]
    deciding = " and ".join(rng.choice(frames.FACTOR_NAMES[factor]) for factor in factors)
    told = [_capital(rng.choice(frames.DECIDES).format(factors=deciding))]
    facts = choosing.geometry(observed.evidence, worse, None) if {"composition", "content"} & set(factors) else []
    told += _measured(rng, observed, choosing.of_factors(factors, *observed.measured(worse)), facts, worse)
    if factors:
        told += _where(rng, observed, factors[0], worse)
    told.append(_conclusion(rng, better, delta))
    return Rationale(text=" ".join(told), factors=tuple(factors), better=better)
