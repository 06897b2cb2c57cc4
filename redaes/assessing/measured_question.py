"""Fill measurements of a pair into prompts that have a field for them."""

from __future__ import annotations

from redaes.assessing.reasons import Measuring
from redaes.evidence.prompting import fill_in
from redaes.prompts import EVIDENCE, Prompt
from redaes.types import Order


def with_evidence(prompt: Prompt, measuring: Measuring) -> dict[Order, Prompt]:
    """Return the question in each order, with measurements of the pair if the prompt has a field for them.

    Raises:
        PromptError: the prompt has other fields too.
    """
    if EVIDENCE not in prompt.fields:
        return {"forward": prompt, "swapped": prompt}
    evidence, _ = measuring.found
    return fill_in(prompt, evidence)
