"""The question about a pair with what was measured of it, for prompts that have a place for that."""

from __future__ import annotations

from redaes.assessing.reasons import Measuring
from redaes.evidence.prompting import fill_in
from redaes.prompts import EVIDENCE, Prompt
from redaes.types import Order


def with_evidence(prompt: Prompt, measuring: Measuring) -> dict[Order, Prompt]:
    """Return the question in each order: with what is measured of the pair where the prompt has a place for it, else as
    it is.

    Raises:
        PromptError: the prompt has other fields too.
    """
    if EVIDENCE not in prompt.fields:
        return {"forward": prompt, "swapped": prompt}
    evidence, _ = measuring.found
    return fill_in(prompt, evidence)
