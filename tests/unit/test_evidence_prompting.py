"""Measurements as text in a question: what is told, in which order, and that both orders carry their own figures."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from PIL import Image

from redaes import prompts
from redaes.assessing.measured_question import with_evidence
from redaes.evidence import prompting
from redaes.evidence.prompting import ALWAYS, MAX_CHANGES, MAX_ROWS, evidence_text, fill_in, told
from redaes.evidence.quantities import QUANTITIES
from redaes.evidence.records import Change, Measurements, PairEvidence, Registration
from redaes.images import picture_in_memory

VALUES = {"brightness": 52.0, "contrast": 17.0, "colourfulness": 30.0, "sharpness": 1.9, "noise": 0.9, "tilt": 0.1}


def _evidence(registration: Registration | None = None, *changes: Change, **second: float | None) -> PairEvidence:
    values = {name: value for name, value in {**VALUES, **second}.items() if value is not None}
    return PairEvidence(
        first=Measurements(width=90, height=60, values=VALUES),
        second=Measurements(width=90, height=60, values=values),
        registration=registration,
        changes=changes,
    )


def _view(**values: Any) -> Registration:
    given = {
        "rotation_deg": 0.0, "scale": 1.0, "stretch": 1.0, "shown_of_first": 1.0, "shown_of_second": 1.0, "n_points": 90
    }  # fmt: skip
    return Registration(**{**given, **values})


@pytest.mark.parametrize("module", [prompting, prompts])
def test_examples_in_docstrings(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_a_short_fixed_set_and_what_differs_is_told() -> None:
    assert evidence_text(_evidence(noise=3.2)).splitlines() == [
        "quantity | A | B",
        "brightness, L* | 52 | 52",
        "contrast, L* | 17 | 17",
        "colourfulness | 30 | 30",
        "sharpness (more is better) | 1.9 | 1.9",
        "noise, L* (less is better) | 0.9 | 3.2",
    ]
    assert "tilt, deg (less is better) | 0.1 | 4.0" in evidence_text(_evidence(tilt=4.0))


def test_what_only_one_picture_has_is_no_comparison() -> None:
    assert "noise" not in evidence_text(_evidence(noise=None))
    nothing = PairEvidence(
        first=Measurements(width=1, height=1, values={}),
        second=Measurements(width=1, height=1, values=VALUES),
        registration=None,
    )
    assert evidence_text(nothing) == "nothing that could be measured in both"


def test_the_clearest_differences_fill_a_bounded_table() -> None:
    first = {name: 10.0 for name in QUANTITIES}
    second = {name: 10.0 + 2 * place * one.visible for place, (name, one) in enumerate(QUANTITIES.items())}
    both = [Measurements(width=9, height=9, values=values) for values in (first, second)]
    evidence = PairEvidence(first=both[0], second=both[1], registration=None)
    names = [quantity.name for quantity in told(evidence)]
    assert len(names) == MAX_ROWS
    assert set(ALWAYS) < set(names)
    assert names == sorted(names, key=list(QUANTITIES).index)
    assert set(names) - set(ALWAYS) == set(
        [name for name in QUANTITIES if name not in ALWAYS][len(ALWAYS) - MAX_ROWS :]
    )


def test_views_and_what_was_added_are_told_in_letters() -> None:
    evidence = _evidence(
        _view(rotation_deg=2.04, shown_of_first=0.62),
        Change(side="B", place="upper left", area=2.3),
        Change(side=None, place="left", area=0.5),
    )
    assert evidence_text(evidence).splitlines()[-4:] == [
        "B shows 62 % of what A shows",
        "B is turned 2.0 degrees anticlockwise against A",
        "B has something at the upper left that the other has not (2 % of the frame)",
        "one picture has something at the left side that the other has not (0.5 % of the frame)",
    ]
    many = [Change(side="A", place="top", area=9.0)] * (MAX_CHANGES + 4)
    assert evidence_text(_evidence(_view(), *many)).count("has something") == MAX_CHANGES


def test_both_orders_carry_their_own_figures() -> None:
    evidence = _evidence(
        _view(rotation_deg=-1.0, stretch=1.1, shown_of_second=0.8), Change(side="A", place="top", area=5.0), noise=3.2
    )
    asked = fill_in(prompts.load("compare_measured/v1"), evidence)
    assert "noise, L* (less is better) | 0.9 | 3.2" in asked["forward"].text
    assert "noise, L* (less is better) | 3.2 | 0.9" in asked["swapped"].text
    for said in (
        "A shows 80 % of what B shows",
        "B is turned 1.0 degrees clockwise against A",
        "B is stretched wider than A, 1.10 to 1",
        "A has something at the top that the other has not",
    ):
        assert said in asked["forward"].text
        exchanged = said.translate(str.maketrans("AB", "BA"))
        assert exchanged in asked["swapped"].text
        assert exchanged not in asked["forward"].text
    assert {one.id for one in asked.values()} == {prompts.load("compare_measured/v1").id}
    assert all(one.fields == () and one.slots == ("first", "second") for one in asked.values())


def test_other_questions_are_left_as_they_are() -> None:
    prompt = prompts.load("compare/v1")
    grey = picture_in_memory(Image.new("RGB", (8, 8), "grey"))
    assert with_evidence(prompt, grey, grey) == {"forward": prompt, "swapped": prompt}
