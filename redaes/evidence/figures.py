"""Find the figures that a sentence quotes, and the picture that each belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redaes.evidence.clauses import Mention
from redaes.evidence.quantities import QUANTITIES

_NUMBERS = {
    "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0, "nine": 9.0,
    "ten": 10.0,
}  # fmt: skip
_UNITS = sorted({re.escape(quantity.unit) for quantity in QUANTITIES.values() if quantity.unit}, reverse=True)
_UNIT = rf"(?: ?(?:{'|'.join(_UNITS)}|°|degrees?|pixels?|percent|per cent|stops?)(?!\w))?"
_FIGURE = re.compile(
    rf"(?<![\w.,])(?P<value>[-−+]?\d{{1,6}}(?:\.\d{{1,6}})?)(?P<unit>{_UNIT})(?!\.?\d)(?![A-Za-z])"
    rf"|(?<!\w)(?P<word>{'|'.join(_NUMBERS)}) (?=degrees?(?!\w))",
)
_OF_WHICH = re.compile(
    r"\)?,? ?(?:(?:of|in) the (?:frame|picture|image|area) )?(?:in|for|on|of|at|\()? ?"
    r"(?P<prep>in|for|on|of|\() ?(?:the )?(?:[Ii]mage |[Pp]icture |[Pp]hoto )?(?P<side>[AB])(?![\w*])"
)
_JOINT = re.compile(
    r"\)?(?: (?:in|for|on|of) (?:[Ii]mage |[Pp]icture |[Pp]hoto )?[AB])?,? ?"
    r"(?:against|versus|vs\.?|to|compared (?:to|with)|and|but|while|whereas|with|/|,|-|–)"
    r"(?: (?:only|just|about|around|a mere|it is|some))? ?\(?"
)
_NOT_A_FIGURE = re.compile(
    r"(?:[Ii]mages?|[Pp]hotos?|[Pp]ictures?|[Ss]tep|[Nn]o\.|ISO|f/|#|[Dd]ifference:|[Ss]core:?) ?$"
)
_MORE_FOLLOWS = re.compile(
    r" ?(?!\w+er for their)(?:more|less|higher|lower|brighter|darker|better|worse|times|people|\w+er )"
)
_BY = re.compile(r"\bby (?:about |around |roughly |some |approximately |nearly |almost )?$")


@dataclass(frozen=True)
class Figures:
    """One figure of a picture, or two that are compared."""

    start: int
    end: int
    values: tuple[float, ...]
    sides: tuple[str | None, ...]
    """The picture of each value: ``A``, ``B``, or None: not said. Then the first value belongs to the picture that the
    sentence is about."""
    is_step: bool
    """Whether the figure is a difference and not an amount: "by 10"."""


@dataclass(frozen=True)
class _One:
    start: int
    end: int
    value: float
    after: str | None
    """The picture named after the figure."""


def _singles(text: str, start: int, end: int) -> list[_One]:
    found = []
    for match in _FIGURE.finditer(text, start, end):
        if _NOT_A_FIGURE.search(text, max(start, match.start() - 12), match.start()):
            continue
        is_marker = text[match.end() : match.end() + 2] in {". ", ") "} and not text[start : match.start()].strip(
            " -*#("
        )
        if is_marker or _MORE_FOLLOWS.match(text, match.end(), min(end, match.end() + 20)):
            continue
        value = _NUMBERS[match["word"]] if match["word"] else float(match["value"].replace("−", "-"))
        which = _OF_WHICH.match(text, match.end(), min(end, match.end() + 60))
        found.append(_One(match.start(), match.end(), value, which["side"] if which else None))
    return found


def _named_before(mentions: list[Mention], start: int, floor: int) -> str | None:
    """Return the last picture named before a figure, with no other figure between them."""
    before = [m for m in mentions if floor <= m.start and m.end <= start and m.side != "both"]
    return before[-1].side if before else None


def figures(text: str, start: int, end: int, mentions: list[Mention]) -> list[Figures]:
    """Return all figures of a sentence.

    Args:
        text: the whole text, with plain apostrophes and blanks.
        start: position in the text where the sentence begins.
        end: position where the sentence ends.
        mentions: mentions of pictures in the sentence, in order.
    """
    singles = _singles(text, start, end)
    found: list[Figures] = []
    at, floor = 0, start
    while at < len(singles):
        one = singles[at]
        other = singles[at + 1] if at + 1 < len(singles) else None
        is_step = _BY.search(text, max(start, one.start - 24), one.start) is not None
        if other is not None and _JOINT.fullmatch(text, one.end, other.start):
            sides = _sides_of_two(one, other)
            found.append(Figures(one.start, other.end, (one.value, other.value), sides, is_step))
            floor = other.end
            at += 2
            continue
        side = one.after or _named_before(mentions, one.start, floor)
        found.append(Figures(one.start, one.end, (one.value,), (side,), is_step))
        floor = one.end
        at += 1
    return found


def _sides_of_two(one: _One, other: _One) -> tuple[str | None, str | None]:
    first, second = one.after, other.after
    if first is None and second is not None:
        first = "B" if second == "A" else "A"
    if second is None and first is not None:
        second = "B" if first == "A" else "A"
    return (first, second) if first != second else (None, None)
