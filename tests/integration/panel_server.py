"""A server behind all models of a panel, for tests: its judges see contrast, its planner knows the embedded editor."""

from __future__ import annotations

import json
import re

import numpy as np
from openai_server import Call, Fault, OpenAIServer, Say
from PIL import Image

from redaes import answers
from redaes.datagen.editors.parametric import OPERATIONS, make_edit
from redaes.datagen.instructions import STRENGTHS
from redaes.datagen.panel import Panel
from redaes.types import Rationale

SENTENCES = {
    (operation.factor, word): make_edit(name, strength, 0).instruction
    for name, operation in sorted(OPERATIONS.items(), reverse=True)
    if operation.direction == "degrade"
    for word, strength in STRENGTHS.items()
}


def proposals(call: Call) -> Say:
    """The embedded editor's sentences, where it has one for a wish."""
    wishes = re.findall(r"^- (\w+), (\w+), (\w+)$", call.text, re.MULTILINE)
    assert wishes
    found = [
        {"factor": factor, "direction": aim, "strength": strength, "text": SENTENCES[factor, strength]}
        for factor, aim, strength in wishes
        if aim == "degrade" and (factor, strength) in SENTENCES
    ]
    return Say(
        json.dumps({"instructions": [*found, {"factor": "taste", "direction": "?", "strength": "", "text": "x"}]})
    )


def contrast_of(picture: Image.Image) -> float:
    return float(np.asarray(picture.convert("L")).std())


def judged(call: Call) -> Say:
    """Contrast decides, 12 levels a point, and A is favoured by a point."""
    first, second = map(contrast_of, call.pictures())
    delta = round(max(-9.0, min(9.0, (first - second) / 12 + 1.0)), 1)
    verdict = answers.stated(delta)
    factors = () if verdict.winner == "tie" else ("light",)
    return Say(
        answers.render_verdict(answers.stated(delta, Rationale(text="Seen.", factors=factors, better=verdict.winner)))
    )


def script(call: Call) -> Say | Fault:
    model = call.body["model"]
    if model == "planner":
        return proposals(call)
    if model == "writer":
        return Say("I would rather talk about the score.")
    if call.attempt == 0 and call.index % 7 == 0:
        return Fault(429, {"Retry-After": "0"})
    return judged(call)


def panel(server: OpenAIServer, **changes: object) -> Panel:
    values = {
        "endpoint": server.base_url,
        "judges": ("judge-1", "judge-2"),
        "writer": "writer",
        "planner": "planner",
        "editors": ("embedded",),
        "samples": 1,
        "max_rewrites": 1,
    }
    return Panel(**{**values, **changes})  # type: ignore[arg-type]
