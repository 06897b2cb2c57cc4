"""Rationales: the reasoning that a pair is taught with, its writers and what every text must pass."""

from __future__ import annotations

from redaes.datagen.rationales.looks import Look, look
from redaes.datagen.rationales.measured_writer import Seen, write_from_factors, write_rationale
from redaes.datagen.rationales.model_writer import RationaleTask, Written, write_with_model
from redaes.datagen.rationales.rules import EXPLANATIONS, Checked, check_text, contradictions

__all__ = [
    "EXPLANATIONS",
    "Checked",
    "Look",
    "RationaleTask",
    "Seen",
    "Written",
    "check_text",
    "contradictions",
    "look",
    "write_from_factors",
    "write_rationale",
    "write_with_model",
]
