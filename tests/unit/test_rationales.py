"""The writer says what is so, and the checker notices when it does not."""

from __future__ import annotations

import itertools
import re

import pytest

from redaes.answers import parse, render_verdict, stated
from redaes.datagen.editors.embedded import OPERATIONS, make_edit
from redaes.datagen.judges import Evidence
from redaes.datagen.plan import DEGRADE
from redaes.datagen.rationales import contradictions, write_from_factors, write_rationale
from redaes.types import Edit, Rationale

CLEAN = Evidence(
    brightness=52.0,
    contrast=22.0,
    clipped_shadows=0.0,
    clipped_highlights=0.0,
    colourfulness=35.0,
    warm_cool=4.0,
    green_magenta=1.0,
    sharpness=3.0,
    noise=0.8,
)
DARK = Evidence(
    brightness=20.0,
    contrast=9.0,
    clipped_shadows=30.0,
    clipped_highlights=0.0,
    colourfulness=18.0,
    warm_cool=3.0,
    green_magenta=1.0,
    sharpness=1.1,
    noise=0.3,
)


def _edit(operation: str = "exposure_down") -> Edit:
    return make_edit(operation, 0.7, seed=1)


@pytest.mark.parametrize("operation", DEGRADE)
def test_it_names_fault_side_and_winner(operation: str) -> None:
    edit = _edit(operation)
    noun = OPERATIONS[operation].symptom.removeprefix("an ").removeprefix("a ")
    for seed in range(20):
        written = write_rationale(CLEAN, DARK, None, edit, 0.0, 4.0, seed)
        assert written.better == "A"
        assert written.factors == (edit.factor,)
        fault = next(s for s in written.text.split(". ") if noun in s)
        assert "B" in fault.replace(noun, "")
        assert contradictions(written, 4.0, (edit.factor,)) == []
        assert parse(render_verdict(stated(4.0, written)), "reasoned").rationale == written


def test_the_order_turns_the_letters() -> None:
    forward = write_rationale(CLEAN, DARK, None, _edit(), 0.0, 4.0, seed=3)
    swapped = write_rationale(DARK, CLEAN, _edit(), None, 4.0, 0.0, seed=3)
    assert (forward.better, swapped.better) == ("A", "B")
    assert forward.factors == swapped.factors
    assert forward.text.translate(str.maketrans("AB", "BA")) == swapped.text


def test_both_faults_are_named_and_the_larger_decides() -> None:
    blur = _edit("motion_blur")
    for seed in range(20):
        written = write_rationale(CLEAN, DARK, blur, _edit(), 1.0, 4.0, seed)
        assert written.factors == ("light",)
        assert "which weighs less" in written.text or "Less harm" in written.text


def test_the_fault_comes_first() -> None:
    for seed in range(20):
        first = write_rationale(CLEAN, DARK, _edit("motion_blur"), _edit(), 1.0, 4.0, seed).text.partition(". ")[0]
        assert "underexposure" in first
        assert "B" in first


def test_measured_statements_are_true() -> None:
    for seed in range(50):
        text = write_rationale(CLEAN, DARK, None, _edit(), 0.0, 4.0, seed).text
        assert "20" in text
        assert "52" in text
        for claim in ("A is darker", "B is brighter", "A looks darker", "B looks brighter"):
            assert claim not in text


def test_what_is_measured_is_told_of_the_worse_picture() -> None:
    edit = _edit()
    texts = [write_rationale(CLEAN, DARK, None, edit, 0.0, 4.0, seed).text for seed in range(50)]
    texts += [write_from_factors(CLEAN, DARK, ("light",), 4.0, seed).text for seed in range(50)]
    for text in texts:
        measured = text.split(". ")[1]
        assert re.search(r"\bB (is|looks) (darker|flatter)\b", measured)
        assert not re.search(r"\bA (is|looks)\b", measured)


def test_a_conclusion_does_not_begin_as_the_sentences_before_it_do() -> None:
    edit = _edit()
    texts = [write_rationale(CLEAN, DARK, None, edit, 0.0, 4.0, seed).text for seed in range(50)]
    texts += [write_from_factors(CLEAN, DARK, ("light",), 4.0, seed).text for seed in range(50)]
    for text in texts:
        assert re.match(r"So A is far|That makes A far", text.split(". ")[-1]), text


@pytest.mark.parametrize(
    "conclusion", ["B is far better.", "So B is clearly better.", "So B is far the better picture."]
)
def test_a_conclusion_about_the_other_picture_is_noticed(conclusion: str) -> None:
    written = Rationale(text=f"B is dark. {conclusion}", factors=("light",), better="A")
    assert contradictions(written, 4.0, ("light",)) == ["its text concludes that B is better"]


def test_a_tie_names_nothing() -> None:
    for seed in range(20):
        written = write_rationale(CLEAN, CLEAN, None, None, 0.0, 0.0, seed)
        assert (written.better, written.factors) == ("tie", ())
        assert contradictions(written, 0.0, ()) == []
        assert parse(render_verdict(stated(0.0, written)), "reasoned").rationale == written


def test_a_difference_without_a_cause_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing explains"):
        write_rationale(CLEAN, DARK, None, None, 0.0, 4.0, seed=0)


def test_wording_varies_and_repeats_with_its_seed() -> None:
    texts = [write_rationale(CLEAN, DARK, None, _edit(), 0.0, 4.0, seed).text for seed in range(100)]
    assert len(set(texts)) > 10
    assert texts[7] == write_rationale(CLEAN, DARK, None, _edit(), 0.0, 4.0, 7).text


@pytest.mark.parametrize("seed", range(12))
def test_every_contradiction_is_found(seed: int) -> None:
    good = write_rationale(CLEAN, DARK, None, _edit(), 0.0, 4.0, seed)
    turned = Rationale(text=good.text, factors=good.factors, better="B")
    assert any("names B" in line for line in contradictions(turned, 4.0, ("light",)))
    assert any("decided by" in line for line in contradictions(good, 4.0, ("focus",)))
    # The text concludes for A while label and closing sentence say B.
    assert any("concludes" in line for line in contradictions(turned, -4.0, ("light",)))


def test_words_grow_with_the_difference() -> None:
    words = [write_rationale(CLEAN, DARK, None, _edit(), 0.0, loss, seed=0).text for loss in (1.0, 2.5, 8.0)]
    for text, size in zip(words, ("slightly", "clearly", "far"), strict=True):
        assert size in text
    assert all(a != b for a, b in itertools.combinations(words, 2))
