"""Write reasoning for a pair whose winner is known but not the reason, from measurements that support the winner.

People's judgements come without reasons, and often no measurement is related to them. So a factor counts as deciding
only if the worse picture is clearly worse in it, and by far more than the better picture is in any factor: people who
prefer a blurred picture do not prefer it for its lower noise. If there is no such factor, nothing is written, because a
made-up reason would be taught. docs/own-data.md says how often such a reason is right.
"""

from __future__ import annotations

from collections.abc import Sequence

from redaes.datagen.rationales.choosing import of_factors
from redaes.datagen.rationales.measured_writer import PairObservation, write_from_factors
from redaes.evidence.checking import WELL_BEYOND, check_rationale
from redaes.evidence.measurements import OTHER_SIDE, Side
from redaes.evidence.quantities import QUANTITIES
from redaes.types import FACTORS, Factor, Rationale, winner_of

CLEARLY = 2.0
"""How much worse, in visible differences, the worse picture must be at least; also how many times as much as the better
picture is in any factor."""

WORDINGS = 4
"""Number of wordings that are tried before a text with a contradicted statement is given up."""


def factor_for(observed: PairObservation, better: Side) -> Factor | None:
    """Return the factor in which the worse picture is most visibly worse. None if what is visible does not clearly
    support the preference, or contradicts it.

    Args:
        observed: measurements of the pair.
        better: the picture that people preferred.
    """
    against = {factor: _largest(observed, (factor,), OTHER_SIDE[better]) for factor in FACTORS}
    counter = _largest(observed, _NOT_NOISE, better)
    for factor in sorted(FACTORS, key=against.__getitem__, reverse=True):  # of equal ones the first is taken
        if against[factor] < CLEARLY:
            break
        if counter < 1 if factor == "noise" else against[factor] >= CLEARLY * counter:
            return factor
    return None


_NOT_NOISE: tuple[Factor, ...] = tuple(factor for factor in FACTORS if factor != "noise")
"""Factors except noise. Blur and darkness also reduce noise, so less noise is no merit of a picture that has another
fault, and more noise in the better picture is not one of its faults."""


def _largest(observed: PairObservation, factors: Sequence[Factor], side: Side) -> float:
    """Return the largest difference, in visible differences, that counts against a picture in some factors."""
    return max((one.size for one in of_factors(factors, *observed.measured(side))), default=0.0)


def write_from_measurements(
    observed: PairObservation, delta: float, factors: Sequence[Factor], seed: int
) -> Rationale | None:
    """Return reasoning for the better picture, in which the pixels support every statement.

    Args:
        observed: measurements of the pair, with the picture shown as A first.
        delta: score of A minus score of B, in points.
        factors: the deciding factors that people stated; if empty, they are looked for.
        seed: seed of the wording.

    Returns:
        The reasoning. None if no measurement supports the better picture, or if the pictures of a tie are visibly
        different.
    """
    better = winner_of(delta)
    if better == "tie":
        if _unlike(observed):
            return None
        decides: Sequence[Factor] = ()
    elif factors:
        decides = factors
        if _largest(observed, factors, OTHER_SIDE[better]) < 1:
            return None
    else:
        found = factor_for(observed, better)
        if found is None:
            return None
        decides = (found,)
    for wording in range(WORDINGS):
        written = write_from_factors(observed, decides, delta, seed + wording)
        claims = check_rationale(written.text, observed.evidence)
        if not claims.count("contradicted") and (better == "tie" or claims.count("supported")):
            return written
    return None


def _unlike(observed: PairObservation) -> bool:
    """Return whether two pictures differ visibly in a measured quantity."""
    here, there = observed.evidence.first.values, observed.evidence.second.values
    return any(
        abs(here[name] - there[name]) >= WELL_BEYOND * quantity.visible
        for name, quantity in QUANTITIES.items()
        if name in here and name in there
    )
