"""The records: what they refuse, and what changing places does to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from redaes.types import (
    MAX_DELTA,
    TAU,
    TIE_MARGIN,
    Comparison,
    Edit,
    ImageRef,
    Pair,
    Rationale,
    Sampling,
    Verdict,
    winner_of,
)

EDIT = Edit(
    factor="light",
    operation="exposure_down",
    direction="degrade",
    strength=0.5,
    instruction="Darken the picture.",
    editor="embedded/1",
    seed=7,
)
PAIR = Pair(
    id="p",
    first=ImageRef(id="1", path=Path("1.jpg")),
    second=ImageRef(id="2", path=Path("2.jpg")),
    delta=1.5,
    edit_first=None,
    edit_second=EDIT,
    factors=("light",),
    group="g",
    source="s",
    split="train",
)
COMPARISON: dict[str, Any] = {
    "order": "forward",
    "verdict": Verdict(winner="A", delta=1.0, rationale=None),
    "failure": None,
    "raw": "Winner: A\nDifference: +1.0",
    "probability": 0.7,
    "model": "m",
    "revision": "r",
    "prompt_id": "p/v1@0",
    "sampling": Sampling(),
}


def test_the_scale() -> None:
    assert (MAX_DELTA, TIE_MARGIN, TAU) == (9.0, 0.25, 2.0)


@pytest.mark.parametrize(
    ("delta", "winner"),
    [(0.0, "tie"), (0.2499, "tie"), (-0.2499, "tie"), (0.25, "A"), (-0.25, "B"), (9.0, "A"), (-9.0, "B")],
)
def test_winner_of(delta: float, winner: str) -> None:
    assert winner_of(delta) == winner


def test_records_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PAIR.delta = 2.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="extra"):
        Sampling(top_k=5)  # type: ignore[call-arg]


@pytest.mark.parametrize("delta", [9.1, -9.1, float("nan"), float("inf")])
def test_a_difference_lies_on_the_scale(delta: float) -> None:
    with pytest.raises(ValidationError):
        Pair(**{**dict(PAIR), "delta": delta})


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strength_lies_between_nothing_and_all(strength: float) -> None:
    with pytest.raises(ValidationError):
        Edit(**{**dict(EDIT), "strength": strength})


def test_a_swapped_pair_is_the_same_pair_in_the_other_order() -> None:
    swapped = PAIR.swapped()
    assert (swapped.first, swapped.second) == (PAIR.second, PAIR.first)
    assert (swapped.edit_first, swapped.edit_second) == (EDIT, None)
    assert swapped.delta == -1.5
    assert (swapped.id, swapped.group, swapped.source, swapped.factors) == ("p", "g", "s", ("light",))
    assert swapped.swapped() == PAIR


def test_an_unlabelled_pair_stays_so_when_swapped() -> None:
    assert Pair(**{**dict(PAIR), "delta": None}).swapped().delta is None


def test_no_negative_zero() -> None:
    assert str(Pair(**{**dict(PAIR), "delta": 0.0}).swapped().delta) == "0.0"
    assert str(Verdict(winner="tie", delta=0.0, rationale=None).swapped().delta) == "0.0"


@pytest.mark.parametrize(
    ("winner", "delta"), [("A", -1.0), ("B", 1.0), ("tie", 0.1), ("A", 0.0), ("B", 0.0), ("C", 1.0)]
)
def test_a_verdict_does_not_contradict_itself(winner: str, delta: float) -> None:
    with pytest.raises(ValidationError):
        Verdict(winner=winner, delta=delta, rationale=None)  # type: ignore[arg-type]


def test_a_verdict_does_not_contradict_its_rationale() -> None:
    with pytest.raises(ValidationError, match="contradicts rationale"):
        Verdict(winner="A", delta=1.0, rationale=Rationale(text="B glows.", factors=("light",), better="B"))


def test_a_swapped_verdict_names_the_same_picture() -> None:
    verdict = Verdict(winner="A", delta=1.0, rationale=Rationale(text="A glows.", factors=("light",), better="A"))
    swapped = verdict.swapped()
    assert (swapped.winner, swapped.delta) == ("B", -1.0)
    assert swapped.rationale is not None
    assert swapped.rationale.better == "B"
    assert swapped.rationale.text == "A glows."  # free text keeps its letters
    assert swapped.swapped() == verdict


def test_a_comparison_has_a_verdict_or_a_failure() -> None:
    assert Comparison(**COMPARISON).failure is None
    assert Comparison(**{**COMPARISON, "verdict": None, "failure": "empty"}).verdict is None
    with pytest.raises(ValidationError, match="either a verdict or a failure"):
        Comparison(**{**COMPARISON, "failure": "empty"})
    with pytest.raises(ValidationError, match="either a verdict or a failure"):
        Comparison(**{**COMPARISON, "verdict": None})


@pytest.mark.parametrize("probability", [-0.01, 1.01, float("nan")])
def test_a_probability_is_one(probability: float) -> None:
    with pytest.raises(ValidationError):
        Comparison(**{**COMPARISON, "probability": probability})


@pytest.mark.parametrize("setting", [{"temperature": -1.0}, {"max_new_tokens": 0}, {"temperature": float("inf")}])
def test_impossible_sampling_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Sampling(**setting)


def test_records_survive_json() -> None:
    comparison = Comparison(**COMPARISON)
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison
    assert Pair.model_validate_json(PAIR.model_dump_json()) == PAIR


@pytest.mark.parametrize(("factors", "better"), [((), "A"), (("light",), "tie")])
def test_a_rationale_is_decided_by_something_or_is_a_tie(factors: tuple[str, ...], better: str) -> None:
    with pytest.raises(ValidationError, match="a tie has none, a winner has some"):
        Rationale(text="Both differ.", factors=factors, better=better)  # type: ignore[arg-type]
