"""Rationales: the reasoning from which a pair is learnt, its writers, and the rules for every text."""

from __future__ import annotations

from redaes.datagen.rationales.from_measurements import write_from_measurements
from redaes.datagen.rationales.looks import Look, look
from redaes.datagen.rationales.measured_writer import PairObservation, write_from_factors, write_rationale
from redaes.datagen.rationales.model_writer import RationaleTask, Written, write_with_model
from redaes.datagen.rationales.rules import EXPLANATIONS, CheckedText, check_text, contradictions

__all__ = [
    "EXPLANATIONS",
    "CheckedText",
    "Look",
    "PairObservation",
    "RationaleTask",
    "Written",
    "check_text",
    "contradictions",
    "look",
    "write_from_factors",
    "write_from_measurements",
    "write_rationale",
    "write_with_model",
]
