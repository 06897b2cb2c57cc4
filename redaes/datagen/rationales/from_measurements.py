"""Write reasoning about a pair whose winner is known but not the reason, from measurements that speak for the winner.

People's judgements come without reasons, and often no measurement has to do with theirs. So a factor is taken to decide
only where the worse picture is clearly worse in it, and by far more than the better one is in any: who likes a blurred
picture does not like it for having less noise. Where none is, nothing is written: a reason that was made up would be
taught. docs/own-data.md says how often that is right.
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
"""By how much the worse picture is worse at least, in differences that can be seen, and how many times as much as the
better one is in anything."""

WORDINGS = 4
"""How many are drawn before a text with a contradicted statement is given up."""


def factor_for(observed: PairObservation, better: Side) -> Factor | None:
    """Return the factor in which the other picture is most visibly worse; None: what can be seen speaks clearly for
    neither, or against the better one.

    Args:
        observed: what the pixels tell.
        better: the picture that people preferred.
    """
    against = {factor: _largest(observed, (factor,), OTHER_SIDE[better]) for factor in FACTORS}
    counter = _largest(observed, _NOT_NOISE, better)
    for factor in sorted(FACTORS, key=against.__getitem__, reverse=True):  # of equals the first
        if against[factor] < CLEARLY:
            break
        if counter < 1 if factor == "noise" else against[factor] >= CLEARLY * counter:
            return factor
    return None


_NOT_NOISE: tuple[Factor, ...] = tuple(factor for factor in FACTORS if factor != "noise")
"""Blur and darkness take noise away with the rest: less of it is no merit where anything else can be held against a
picture, and that the better one has more of it is none of its faults."""


def _largest(observed: PairObservation, factors: Sequence[Factor], side: Side) -> float:
    """Return the most that speaks against a picture in some factors, in differences that can be seen."""
    return max((one.size for one in of_factors(factors, *observed.measured(side))), default=0.0)


def write_from_measurements(
    observed: PairObservation, delta: float, factors: Sequence[Factor], seed: int
) -> Rationale | None:
    """Return the reasoning for the better picture, every statement of which the pixels bear out.

    Args:
        observed: what the pixels tell, the picture shown as A first.
        delta: score of A minus score of B, in points.
        factors: what decides, as people said; empty: nobody said, and it is looked for.
        seed: draws the wording.

    Returns:
        The reasoning; None: nothing that was measured speaks for the better picture, or, of a tie, the pictures are
        visibly unlike.
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
    """Return whether a person sees two pictures differ in something that is measured."""
    here, there = observed.evidence.first.values, observed.evidence.second.values
    return any(
        abs(here[name] - there[name]) >= WELL_BEYOND * quantity.visible
        for name, quantity in QUANTITIES.items()
        if name in here and name in there
    )
