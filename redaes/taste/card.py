"""The README of a taste's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CARD = """---
library_name: peft
pipeline_tag: image-text-to-text
tags:
- image-aesthetics
- preference
---
# A taste, learnt from {n_decisions} decisions

{says}.

{use}

| property | value |
|---|---|
| base | `{model}`, revision `{revision}` |
| prompt | `{prompt}` |
| decisions | {n_decisions} in {n_series} series, from {n_answers} answers; {n_contradictory} with votes for both |
| better picture named, of {n_edited} edited pairs of other photographs | {forgot_before} before, {forgot_after} after |

The adapter was learnt from one person's decisions between two pictures, and from nothing else. The accuracies are those
on decisions of series that were not learnt from. The adapter changes the fast verdict; reasons that the model writes do
not follow this taste. `decisions.jsonl` has the decisions, with hashes and places of the pictures, but no pictures.
"""

_BETTER = """    redaes rank PICTURES --model {model} --adapter THIS_FOLDER"""
_NOT = (
    "Therefore there is no adapter here. More decisions may change that: "
    "`redaes taste learn MORE --from THIS_FOLDER --out NEW`."
)


def taste_card(report: Mapping[str, Any]) -> str:
    """Return the card, as Markdown with the hub's header.

    Args:
        report: the report of the taste.
    """
    forgot = report["forgetting"]
    return _CARD.format(
        says=report["says"][0].upper() + report["says"][1:],
        use=(_BETTER if report["better"] else _NOT).format(model=report["model"]),
        n_decisions=report["decisions"]["n"],
        n_series=report["decisions"]["series"],
        n_answers=report["decisions"]["answers"],
        n_contradictory=report["decisions"]["contradictory"],
        model=report["model"],
        revision=report["revision"],
        prompt=report["prompt"],
        n_edited=forgot["n"],
        forgot_before=f"{100 * forgot['before']:.0f} %",
        forgot_after=f"{100 * forgot['after']:.0f} %",
    )
