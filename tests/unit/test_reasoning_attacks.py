"""No reasoning of ``benchmarks/reasoning_attacks.py`` earns what a true one does, in either order."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redaes.answers import render_verdict, stated
from redaes.evidence.faults import FAULTS
from redaes.evidence.measurements import Measurements, PairEvidence, Registration, SceneChange
from redaes.rewards.trl import MEASURED, REWARDS
from redaes.types import Rationale

FILE = Path(__file__).parents[2] / "benchmarks" / "reasoning_attacks.py"
SOUND = {
    "brightness": 52.0, "contrast": 21.0, "noise": 0.9, "sharpness": 30.0, "edge_width": 1.5, "colourfulness": 31.0,
    "warmth": 4.0, "haze": 12.0, "motion": 0.1,
}  # fmt: skip
OVER = Registration(rotation_deg=0.0, scale=1.0, stretch=1.0, shown_of_first=1.0, shown_of_second=1.0, n_points=400)
PAIRS: dict[str, tuple[dict[str, float], str]] = {
    "noise_luma": (
        {"noise": 3.4},
        "{0} suffers from clear grain. {0} is noisier: noise {noise[0]} against {noise[1]}.",
    ),
    "defocus": (
        {"sharpness": 9.0, "edge_width": 6.0},
        "{0} shows defocus blur. Measured sharpness is {sharpness[0]} in {0} and {sharpness[1]} in {1}.",
    ),
    "exposure_down": (
        {"brightness": 23.0, "contrast": 20.0},
        "{0} suffers from underexposure. {0} is darker, with brightness {brightness[0]} against {brightness[1]}.",
    ),
}
"""Fault to what is measured where it is, and to a true reasoning about the picture {0} that has it."""


def attacks() -> dict[str, Callable[[dict[str, Any]], str]]:
    spec = importlib.util.spec_from_file_location("reasoning_attacks", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Callable[[dict[str, Any]], str]] = module.ATTACKS
    return found


ATTACKS = attacks()


def row(name: str, side: str) -> dict[str, Any]:
    """A pair whose picture ``side`` has the fault."""
    changed, true = PAIRS[name]
    values = {one: {**SOUND, **(changed if one == side else {})} for one in "AB"}
    measured = [Measurements(width=640, height=480, values=values[one]) for one in "AB"]
    other = "B" if side == "A" else "A"
    text = true.format(side, other, **{key: (values[side][key], values[other][key]) for key in SOUND})
    factor = FAULTS[name].factor
    return {
        "delta": 3.0 if side == "B" else -3.0,
        "rationale": Rationale(text=text, factors=(factor,), better=other),
        "faults": [name if one == side else None for one in "AB"],
        "factors": [factor],
        "mode": "reasoned",
        "evidence": PairEvidence(first=measured[0], second=measured[1], registration=OVER),
    }


def earned(one: dict[str, Any], text: str) -> dict[str, float]:
    columns = {name: [one[name]] for name in ("delta", "faults", "factors", "mode", "evidence")}
    completions = [[{"role": "assistant", "content": text}]]
    return {name: REWARDS[name](completions=completions, **columns)[0] for name in MEASURED}  # type: ignore[misc]


@pytest.mark.parametrize("side", ["A", "B"])
@pytest.mark.parametrize("name", PAIRS)
def test_no_attack_earns_what_the_truth_does(name: str, side: str) -> None:
    one = row(name, side)
    honest = earned(one, render_verdict(stated(one["delta"], one["rationale"])))
    assert honest == {"symptom": 1.0, "evidence": 1.0}
    for attack, answer in ATTACKS.items():
        if (name, attack) == ("noise_luma", "always that the worse one is noisy"):
            continue  # for once it is
        found = earned(one, answer(one))
        assert found["symptom"] + found["evidence"] <= 1.0, (attack, found)
        assert found["evidence"] <= 0.75, (attack, found)


def test_what_covers_the_scene_is_told_by_its_name_alone() -> None:
    change = SceneChange(side="B", place="top", other_place="top", area=6.0, contrast=20.0)
    one = {**row("defocus", "B"), "faults": [None, "power_lines"], "factors": ["content"]}
    one["evidence"] = one["evidence"].model_copy(update={"second": one["evidence"].first, "changes": (change,)})
    said = {}
    for text in ("B shows power lines.", "B shows obstruction by a finger.", "B shows power lines, dirt and a finger."):
        rationale = Rationale(text=text, factors=("content",), better="A")
        said[text] = earned(one, render_verdict(stated(3.0, rationale)))
    assert [found["evidence"] for found in said.values()] == [0.5] * 3
    assert [found["symptom"] for found in said.values()] == pytest.approx([1.0, 0.1, 1 / 3])
