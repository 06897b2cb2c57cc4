"""Measurements as text in a question: what is told, in which order, and that both orders carry their own figures."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from redaes import prompts
from redaes.assessing import reasons
from redaes.assessing.measured_question import with_evidence
from redaes.assessing.reasons import Measuring, from_file
from redaes.assessor import Assessor
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import InputError
from redaes.evidence import prompting, quantities
from redaes.evidence.measurements import Measurements, PairEvidence, Registration, SceneChange
from redaes.evidence.prompting import ALWAYS, MAX_CHANGES, MAX_ROWS, evidence_text, fill_in, told
from redaes.evidence.quantities import QUANTITIES
from redaes.images import load_image, picture_in_memory
from tests.conftest import synthetic_photograph

VALUES = {"brightness": 52.0, "contrast": 17.0, "colourfulness": 30.0, "sharpness": 19.0, "noise": 0.9, "tilt": 0.1}


def _evidence(registration: Registration | None = None, *changes: SceneChange, **second: float | None) -> PairEvidence:
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


def _change(side: Any, place: Any, area: float) -> SceneChange:
    return SceneChange(side=side, place=place, other_place=place, area=area, contrast=9.0)


@pytest.mark.parametrize("module", [prompting, prompts, quantities])
def test_examples_in_docstrings(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_a_short_fixed_set_and_what_differs_is_told() -> None:
    assert evidence_text(_evidence(noise=3.2)).splitlines() == [
        "quantity | A | B",
        "brightness, L* | 52 | 52",
        "contrast, L* | 17 | 17",
        "colourfulness | 30 | 30",
        "sharpness, % (more is better) | 19 | 19",
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
        _change("B", "upper left", 2.3),
        _change(None, "left", 0.5),
    )
    assert evidence_text(evidence).splitlines()[-4:] == [
        "B shows 62 % of what A shows",
        "B is turned 2.0 degrees anticlockwise against A",
        "B has something at the upper left that the other has not (2 % of the frame)",
        "one picture has something at the left side that the other has not (0.5 % of the frame)",
    ]
    many = [_change("A", "top", 9.0)] * (MAX_CHANGES + 4)
    assert evidence_text(_evidence(_view(), *many)).count("has something") == MAX_CHANGES


def test_both_orders_carry_their_own_figures() -> None:
    evidence = _evidence(
        _view(rotation_deg=-1.0, stretch=1.1, shown_of_second=0.8), _change("A", "top", 5.0), noise=3.2
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
    assert with_evidence(prompt, Measuring(grey, grey, from_file)) == {"forward": prompt, "swapped": prompt}


def _odds(log_odds: float) -> dict[str, float]:
    return {" A": log_odds, " B": 0.0, " tie": -9.0}


def _brightness(prompt: prompts.Prompt) -> list[str]:
    found = re.search(r"brightness, L\* \| (\S+) \| (\S+)", prompt.text)
    assert found is not None
    return list(found.groups())


def test_the_assessor_measures_each_pair_and_says_so_in_both_modes() -> None:
    grey = synthetic_photograph(3, 96, 72)
    pictures = [picture_in_memory(ImageEnhance.Brightness(grey).enhance(level)) for level in (1.0, 0.6, 0.3)]
    pairs = [(pictures[0], pictures[1]), (pictures[0], pictures[2])]
    texts = [
        f"<rationale>\nSo. Decisive: light, better in {better}.\n</rationale>\nWinner: {better}\nDifference: {sign}2.0"
        for better, sign in (("A", "+"), ("B", "-")) * 2
    ]
    backend = ScriptedBackend(texts, [_odds(2.0), _odds(-2.0)] * 2)
    results = Assessor(backend, prompt="compare_measured/v1").compare_many(pairs)
    written, read = backend.asked[:4], backend.asked[4:]
    assert {request.prompt.name for request in written} == {"compare_measured/v1"}
    assert {request.prompt.name for request in read} == {"compare_fast_measured/v1"}
    told = [_brightness(request.prompt) for request in written]
    assert told == [_brightness(request.prompt) for request in read]
    for forward, swapped in (told[:2], told[2:]):
        assert swapped == forward[::-1]
        assert float(forward[0]) > float(forward[1])
    assert told[0] != told[2]
    assert {result.prompt_id for result in results} == {prompts.load("compare_measured/v1").id}
    assert [result.winner for result in results] == ["A", "A"]


@pytest.mark.parametrize(("prompt", "check", "n"), [
    ("compare_measured/v1", True, 1), ("compare_measured/v1", False, 1), (None, True, 1), (None, False, 0),
    ("compare_fast_measured/v1", True, 1), ("fast", True, 0),
])  # fmt: skip
def test_a_pair_is_measured_once_and_only_where_it_is_wanted(
    prompt: str | None, check: bool, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []
    measure = reasons.evidence_of
    monkeypatch.setattr(reasons, "evidence_of", lambda *pair: (measured.append(pair), measure(*pair))[1])
    grey = synthetic_photograph(3, 96, 72)
    fast = prompt is not None and "fast" in prompt
    texts = [
        f"<rationale>\nSo. Decisive: light, better in {better}.\n</rationale>\nWinner: {better}\nDifference: {sign}2.0"
        for better, sign in (("A", "+"), ("B", "-"))
    ]
    backend = ScriptedBackend([] if fast else texts, [_odds(2.0), _odds(-2.0)])
    assessor = Assessor(backend, mode="fast" if fast else "reasoned", prompt=None if prompt == "fast" else prompt)
    result = assessor.compare(grey, ImageEnhance.Brightness(grey).enhance(0.6), check=check)
    assert len(measured) == n
    assert (result.evidence is not None) == (check and not fast)  # what was told is no check


def test_a_picture_is_measured_as_its_file_has_it(tmp_path: Path) -> None:
    synthetic_photograph(3, 96, 72).save(tmp_path / "a.png")
    small = load_image(tmp_path / "a.png", max_pixels=1000)
    assert small.image.size < (96, 72)
    whole = from_file(small)
    assert whole is not None
    assert whole.size == (96, 72)
    (tmp_path / "a.png").unlink()
    assert from_file(small) is small.image
    synthetic_photograph(4, 96, 72).save(tmp_path / "a.png")
    assert from_file(small) is small.image  # another picture by now


def test_a_prompt_belongs_to_its_mode() -> None:
    with pytest.raises(
        InputError, match="not a prompt of the fast mode; give one of compare_fast/v1, compare_fast_measured/v1"
    ):
        Assessor(ScriptedBackend(), mode="fast", prompt="compare_measured/v1")
