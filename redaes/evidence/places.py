"""English names of places in a picture and of parts of a scene."""

from __future__ import annotations

import re

from redaes.evidence.measurements import Place
from redaes.evidence.turning_words import word_set

REGIONS = re.compile(
    r"\b(?:sky|skies|background|foreground|face|faces|skin|eyes|subject|water|sea|grass|trees|snow|clouds|wall|walls"
    r"|hair|fur|building|buildings|mountain|mountains|sun|shadows?|highlights?|whites|blacks|midtones|moon|clothes|dress"
    r"|leaves)\b"
)
"""Parts of a picture; measurements of the whole picture do not decide statements about their light and colour."""

_PLACE_WORDS: tuple[tuple[str, Place], ...] = (
    (r"(?:upper|top)[- ]left", "upper left"),
    (r"(?:upper|top)[- ]right", "upper right"),
    (r"(?:lower|bottom)[- ]left", "lower left"),
    (r"(?:lower|bottom)[- ]right", "lower right"),
    (r"(?:cent(?:re|er)|middle)", "centre"),
    (r"(?:top|upper (?:part|half|third|edge|area|region|portion))", "top"),
    (r"(?:bottom|lower (?:part|half|third|edge|area|region|portion))", "bottom"),
    (r"left", "left"),
    (r"right", "right"),
)
PLACES = re.compile(
    r"(?<!\w)(?:in|into|onto|at|on|near|across|along|around|towards|over|covers?|covering|from|of|burns out|fills|,) "
    r"(?:the |its )?"
    r"(?:far |very |extreme )?(?:" + "|".join(f"(?P<p{i}>{words})" for i, (words, _) in enumerate(_PLACE_WORDS)) + r")"
    r"(?![\w])"
    r"(?! (?:of (?:that|it|this)|of the (?!frame|picture|image|photo|scene)|image|photo|picture|one|shot|frame is))"
)


PLACE_NOUNS = word_set(
    "upper lower left right top bottom centre center middle corner corners side half part parts third edge "
    "edges region regions area areas zone zones"
)


def place_of(match: re.Match[str]) -> Place:
    """Return the cell that a match of :data:`PLACES` names."""
    return _PLACE_WORDS[int((match.lastgroup or "p4")[1:])][1]
