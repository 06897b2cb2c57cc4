"""Instructions for editors that follow sentences: the templates, and a balanced random choice of them.

The templates are a prompt like any other (``prompts/edit_instructions/v1.md``), so their text is fixed by a checksum.
Every factor has improving and degrading ones, each worded in three strengths. A direction is what the
instruction *intends*; judges decide what was achieved.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple, get_args

from redaes.errors import InputError, PromptError
from redaes.prompts import load
from redaes.types import FACTORS, Factor, Record

TEMPLATES = "edit_instructions/v1"
"""Name of the released templates."""

Aim = Literal["degrade", "improve"]
"""The direction in which an instruction is meant to move the picture's quality."""

Strength = Literal["slight", "clear", "strong"]

AIMS: tuple[Aim, ...] = get_args(Aim)

STRENGTHS: dict[Strength, float] = {"slight": 1 / 6, "clear": 1 / 2, "strong": 5 / 6}
"""The number for each word as an :attr:`redaes.types.Edit.strength`: the middles of three equal ranges."""

_HEADING = re.compile(r"## (\w+) (\w+)")
_ITEM = re.compile(r"- (\w+): (.+)")
_CHOICE = re.compile(r"\{([^{}|]+)\|([^{}|]+)\|([^{}|]+)\}")


class Wish(NamedTuple):
    """The purpose for which an instruction is wanted."""

    factor: Factor
    direction: Aim
    strength: Strength


class Instruction(Record):
    """One instruction for an editor, with its intended factor, direction and strength."""

    factor: Factor
    direction: Aim
    strength: Strength
    text: str
    """The instruction as a sentence."""
    template_id: str
    """Id of the template, such as ``edit_instructions/v1:light.degrade.flat``, or of the prompt that a planner
    answered.
    """

    @property
    def wish(self) -> Wish:
        """Factor, direction and strength."""
        return Wish(self.factor, self.direction, self.strength)


@cache
def templates(name: str = TEMPLATES) -> tuple[Instruction, ...]:
    """Return all instructions of the templates, in the order of the text; strengths go from slight to strong.

    Raises:
        PromptError: the templates are unknown, were altered, or have a wrong format.
    """
    found: list[Instruction] = []
    factor: Factor | None = None
    aim: Aim = "degrade"
    seen: set[str] = set()
    for number, line in enumerate(load(name).text.splitlines(), start=1):
        if heading := _HEADING.fullmatch(line):
            if heading[1] not in FACTORS or heading[2] not in AIMS:
                raise PromptError(f"{name}, line {number}: {line!r} names no factor and direction")
            factor, aim = heading[1], heading[2]
        elif item := _ITEM.fullmatch(line):
            identity = f"{name}:{factor}.{aim}.{item[1]}"
            if factor is None or len(_CHOICE.findall(item[2])) != 1 or identity in seen:
                raise PromptError(f"{name}, line {number}: an item needs a heading, an id of its own and one {{a|b|c}}")
            seen.add(identity)
            for index, strength in enumerate(STRENGTHS, start=1):
                # A default argument, so that the function keeps this turn's index.
                text = _CHOICE.sub(lambda choice, index=index: choice[index], item[2])
                found.append(
                    Instruction(factor=factor, direction=aim, strength=strength, text=text, template_id=identity)
                )
        elif line.startswith(("#", "-")):
            raise PromptError(f"{name}, line {number}: {line!r} is neither heading nor item")
    return tuple(found)


def draw_wishes(
    n: int, seed: int, *, factors: Sequence[Factor] = FACTORS, directions: Sequence[Aim] = AIMS
) -> list[Wish]:
    """Return n random wishes; factors, directions and strengths are each balanced to within one, whatever ``n`` is.

    Within the first ``len(factors) * len(directions)`` wishes no combination of factor and direction repeats. With all
    factors and directions, and wherever else it is possible, no wish repeats before all have occurred: the first 48
    differ.

    Raises:
        InputError: there is nothing to choose from, something is named twice, or ``n`` is below 0.

    >>> [wish.direction for wish in draw_wishes(4, seed=1)].count("improve")
    2
    """
    if n < 0 or not factors or not directions:
        raise InputError(f"cannot draw {n} from factors {tuple(factors)} and directions {tuple(directions)}")
    if len(set(factors)) != len(factors) or len(set(directions)) != len(directions):
        raise InputError(f"named twice in {tuple(factors)} or {tuple(directions)}")
    if not set(factors) <= set(FACTORS) or not set(directions) <= set(AIMS):
        raise InputError(f"factors are {', '.join(FACTORS)}; directions {', '.join(AIMS)}")
    rng = random.Random(f"wishes:{seed}")
    order = rng.sample(list(factors), len(factors))
    aims = rng.sample(list(directions), len(directions))
    strengths = rng.sample(list(STRENGTHS), len(STRENGTHS))
    places = _strength_places(len(order) * len(aims))
    wishes: list[Wish] = []
    for index in range(n):
        turn, place = divmod(index, len(order))
        # Directions alternate along the factors, and are exchanged each time that the factors begin again.
        offset = turn if len(order) % len(aims) == 0 else 0
        wishes.append(Wish(order[place], aims[(index + offset) % len(aims)], strengths[places[index % len(places)]]))
    return wishes


@cache
def _strength_places(n_pairs: int) -> tuple[int, ...]:
    """Return the number of the strength of each of the first wishes, until all wishes have occurred.

    Any three wishes from a multiple of three on have all three strengths, so that strengths are balanced at every
    length. A combination of factor and direction, which occurs every ``n_pairs`` wishes, has another strength each
    time. With an odd number of factors this is not always possible, and then wishes repeat.
    """
    n_strengths = len(STRENGTHS)

    def usual(index: int) -> int:
        return (index + index // n_strengths) % n_strengths

    places: list[int] = []

    def is_filled() -> bool:
        index = len(places)
        if index == n_strengths * n_pairs:
            return True
        # The first round is as in earlier versions, so that datasets begun with them can be continued.
        for turn in range(1 if index < n_pairs else n_strengths):
            place = (usual(index) + turn) % n_strengths
            if place not in places[index - index % n_strengths :] and place not in places[index % n_pairs :: n_pairs]:
                places.append(place)
                if is_filled():
                    return True
                places.pop()
        return False

    return tuple(places) if is_filled() else tuple(usual(index) for index in range(n_strengths * n_strengths))


def draw(
    n: int,
    seed: int,
    *,
    factors: Sequence[Factor] = FACTORS,
    directions: Sequence[Aim] = AIMS,
    name: str = TEMPLATES,
) -> list[Instruction]:
    """Draw instructions by seed, balanced as in :func:`draw_wishes`, none of them twice.

    Raises:
        InputError: the templates do not hold so many, or see :func:`draw_wishes`.
        PromptError: see :func:`templates`.
    """
    rng = random.Random(f"instructions:{seed}")
    drawn: list[Instruction] = []
    for wish in draw_wishes(n, seed, factors=factors, directions=directions):
        left = [item for item in templates(name) if item.wish == wish and item not in drawn]
        if not left:
            raise InputError(f"{name} holds no further instruction for {wish}; draw fewer than {n}")
        drawn.append(rng.choice(left))
    return drawn
