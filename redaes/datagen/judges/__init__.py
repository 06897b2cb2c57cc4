"""Judges: what says how much better one of two pictures is. See docs/judges.md."""

from __future__ import annotations

from redaes.datagen.judges.base import Judge, Judgement, PicturePair
from redaes.datagen.judges.perceptual import (
    NEUTRAL_LOSS,
    SCALE,
    Reference,
    quality_loss,
    visible_difference,
)
from redaes.datagen.judges.scorers import AssessorJudge, PyiqaScorer, Scorer, ScorerJudge, VlmScorer
from redaes.datagen.judges.vlm import VlmJudge

__all__ = [
    "NEUTRAL_LOSS",
    "SCALE",
    "AssessorJudge",
    "Judge",
    "Judgement",
    "PicturePair",
    "PyiqaScorer",
    "Reference",
    "Scorer",
    "ScorerJudge",
    "VlmJudge",
    "VlmScorer",
    "quality_loss",
    "visible_difference",
]
