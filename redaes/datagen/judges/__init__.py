"""Judges say how much better one of two pictures is. See docs/judges.md."""

from __future__ import annotations

from redaes.datagen.judges.base import Judge, Judgement, PicturePair
from redaes.datagen.judges.perceptual import (
    Reference,
    visible_difference,
)
from redaes.datagen.judges.scorers import AssessorJudge, PictureScorer, PyiqaScorer, ScorerJudge, VlmScorer
from redaes.datagen.judges.vlm import VlmJudge

__all__ = [
    "AssessorJudge",
    "Judge",
    "Judgement",
    "PicturePair",
    "PictureScorer",
    "PyiqaScorer",
    "Reference",
    "ScorerJudge",
    "VlmJudge",
    "VlmScorer",
    "visible_difference",
]
