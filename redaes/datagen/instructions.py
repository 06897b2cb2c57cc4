"""Instructions for editors that follow sentences: the templates, and a balanced draw from them.

The templates are a prompt like any other (``prompts/edit_instructions/v1.md``), so they are pinned by checksum.
Every factor has improving and degrading ones, each worded in three strengths. A direction is what the
instruction *intends*; what came of it is the judges' to say.
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
"""The released templates."""

Aim = Literal["degrade", "improve"]
"""Where an instruction means to move the picture."""

Strength = Literal["slight", "clear", "strong"]

AIMS: tuple[Aim, ...] = get_args(Aim)

STRENGTHS: dict[Strength, float] = {"slight": 1 / 6, "clear": 1 / 2, "strong": 5 / 6}
"""Each word as an :attr:`redaes.types.Edit.strength`: the middles of the thirds that the embedded editor words."""

_HEADING = re.compile(r"## (\w+) (\w+)")
_ITEM = re.compile(r"- (\w+): (.+)")
_CHOICE = re.compile(r"\{([^{}|]+)\|([^{}|]+)\|([^{}|]+)\}")


class Wish(NamedTuple):
    """What an instruction is wanted for."""

    factor: Factor
    direction: Aim
    strength: Strength


class Instruction(Record):
    """One instruction for an editor, with its intended factor, direction and strength."""

    factor: Factor
    direction: Aim
    strength: Strength
    text: str
    """The sentence."""
    template_id: str
    """``edit_instructions/v1:light.degrade.flat``, or the id of the prompt that a planner answered."""

    @property
    def wish(self) -> Wish:
        """Factor, direction and strength."""
        return Wish(self.factor, self.direction, self.strength)


@cache
def templates(name: str = TEMPLATES) -> tuple[Instruction, ...]:
    """Return all instructions that the templates make, in the order of the text; strengths from slight to strong.

    Raises:
        PromptError: the templates are unknown, altered, or not of their form.
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
                # As a default, so that the function does not see the next turn's index.
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
    """Return what to ask for: factors, directions and strengths each balanced to within one, whatever ``n`` is.

    Within the first ``len(factors) * len(directions)`` wishes no factor and direction repeat, and with all factors and
    directions (or wherever it can be done) no wish as long as there are others: the first 48 differ.

    Raises:
        InputError: nothing to choose from, something named twice, or ``n`` below 0.

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
        # Directions alternate along the factors and change places each time the factors come round again.
        offset = turn if len(order) % len(aims) == 0 else 0
        wishes.append(Wish(order[place], aims[(index + offset) % len(aims)], strengths[places[index % len(places)]]))
    return wishes


@cache
def _strength_places(n_pairs: int) -> tuple[int, ...]:
    """Return which strength each of the first wishes has, until all wishes have come up.

    Any three from a multiple of three are all strengths, so that these are balanced at every length; and a pair of
    factor and direction, which comes up every ``n_pairs`` wishes, has another strength each time. Of an odd number of
    factors that cannot always be done: there wishes repeat.
    """
    n_strengths = len(STRENGTHS)

    def usual(index: int) -> int:
        return (index + index // n_strengths) % n_strengths

    places: list[int] = []

    def is_filled() -> bool:
        index = len(places)
        if index == n_strengths * n_pairs:
            return True
        # The first round is what it was when rounds were all alike: datasets begun then are gone on with.
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
    """Draw instructions by seed, balanced like :func:`draw_wishes`, none of them twice.

    Raises:
        InputError: more than the templates hold, or see :func:`draw_wishes`.
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
