"""Sentences about where a difference shows, and what is there: light, colour and detail, never an object."""

from __future__ import annotations

import random
from collections.abc import Sequence

from redaes.datagen.rationales import frames
from redaes.datagen.rationales.looks import LIGHT_STEP, Look, differences, hue_name, traits
from redaes.evidence.measurements import OTHER_SIDE, PLACES, Place, Side
from redaes.types import Factor

_KIND: dict[Factor, str] = {"light": "light", "colour": "colour", "focus": "detail", "noise": "detail"}
"""What is compared cell by cell, by factor; differences in other factors have no such place."""

_LEAST = {"light": 3.0, "colour": 3.0, "detail": 0.15}
"""Smallest differences to be mentioned, in the units of :func:`redaes.datagen.rationales.looks.differences`."""

LOCAL_FROM = 1.3
"""Ratio of a cell's difference to the mean difference from which the difference is said to be there."""
EVEN_UPTO = 1.8
"""Largest ratio between two cells at which a difference is said to be all over the picture."""


def in_places(rng: random.Random, places: Sequence[Place]) -> str:
    """Return one place, or the two largest of several.

    >>> in_places(random.Random(0), ["top"])
    'along the top'
    """
    first, *others = (rng.choice(frames.IN_PLACE[place]) for place in places[:2])
    return first if not others else f"{rng.choice(('mostly', 'above all'))} {first} and {others[0]}"


def region(rng: random.Random, look: Look, cell: int) -> str:
    """Return a cell with its distinguishing features: "the bright blue top"."""
    found = traits(look, cell)
    told = [rng.choice(frames.TRAITS[found["light"]])] if "light" in found else []
    told += [found["hue"]] if "hue" in found else []
    if "detail" in found and len(told) < 2:
        told.insert(0, rng.choice(frames.TRAITS[found["detail"]]))
    return " ".join(["the", *told, rng.choice(frames.REGION[PLACES[cell]])])


def _hues(rng: random.Random, here: Look, there: Look, cell: int, side: Side) -> str | None:
    """Return a sentence about a cell whose hue differs; None if the hues have the same name, or no name."""
    before, after = (hue_name(one.a[cell], one.b[cell], one.lightness[cell]) for one in (there, here))
    if before is None or after is None or before == after:
        return None
    place = rng.choice(frames.IN_PLACE[PLACES[cell]])
    sentence = rng.choice(frames.HUES).format(there=before, here=after, place=place, side=side, rival=OTHER_SIDE[side])
    return sentence[0].upper() + sentence[1:]


def _two(look: Look) -> tuple[int, int]:
    """Return the lightest and the darkest cell."""
    order = sorted(range(9), key=lambda cell: look.lightness[cell])
    return order[-1], order[0]


def where(rng: random.Random, here: Look, there: Look, factor: Factor, side: Side, *, aligned: bool) -> str | None:
    """Return a sentence about where a picture differs, or about what both show; None if nothing can be said.

    Args:
        here: look of the worse picture, ``side``.
        there: look of the better picture, whose light and colour describe the places.
        factor: the deciding factor.
        side: the worse picture.
        aligned: whether cells of the two pictures can be compared.
    """
    rival = OTHER_SIDE[side]
    kind = _KIND.get(factor)
    if not aligned or kind is None:
        if max(there.lightness) - min(there.lightness) < 2 * LIGHT_STEP:
            return None
        one, other = (region(rng, there, cell) for cell in _two(there))
        template = rng.choice(frames.SCENE if aligned else frames.SCENE_OF_ONE)
    else:
        gaps = differences(here, there, kind)
        order = sorted(range(9), key=lambda cell: -gaps[cell])
        if gaps[order[0]] < _LEAST[kind]:
            return None
        if kind == "colour":
            hues = _hues(rng, here, there, order[0], side)
            if hues is not None:
                return hues
        one, other = region(rng, there, order[0]), region(rng, there, order[-1])
        if gaps[order[0]] >= LOCAL_FROM * sum(gaps) / 9:
            template = rng.choice(frames.WHERE)
        elif gaps[order[0]] <= EVEN_UPTO * gaps[order[-1]]:
            template = rng.choice(frames.EVENLY)
        else:
            return None
    sentence = template.format(side=side, rival=rival, region=one, other=other)
    return sentence[0].upper() + sentence[1:]
