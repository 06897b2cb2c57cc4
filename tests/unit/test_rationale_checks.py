"""Each fault of a model's reasoning has a reason, and sound reasoning has none."""

from __future__ import annotations

import pytest

from redaes.answers import parse_rationale, render_rationale
from redaes.datagen.instructions import templates
from redaes.datagen.rationales import EXPLANATIONS, PairObservation, check_text, contradictions, write_from_factors
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.types import FACTORS, Factor

BODY = (
    "In A the window light falls softly on the table and the shadows keep their detail. B lies in deep shadow: the cup "
    "is dark and its rim is lost. A is clearly better."
)
TOLD = "Make the picture far too dark, with shadows that lose their detail."
GOOD = f"{BODY} Decisive: light, better in A."


def reasons(text: str, delta: float = 2.5, factors: tuple[Factor, ...] = ("light",)) -> tuple[str, ...]:
    return check_text(text, delta, factors, [TOLD]).reasons


def said(sentence: str) -> str:
    return GOOD.replace(" A is clearly better.", f" {sentence} A is clearly better.")


def test_sound_reasoning_passes() -> None:
    checked = check_text(GOOD, 2.5, ("light",), [TOLD])
    assert checked.reasons == ()
    assert checked.rationale == parse_rationale(GOOD)


def test_white_space_is_one_space() -> None:
    assert check_text(GOOD.replace(". ", ".\n\n"), 2.5, ("light",)).rationale == parse_rationale(GOOD)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BODY, "not_decisive"),
        ("Decisive: light, better in A.", "empty_rationale"),
        (GOOD.replace("light, better", "lighting, better"), "unknown_factor"),
        ("A is light and B is dark. Decisive: light, better in A.", "too_short"),
        (said("The cup glows. " * 60), "too_long"),
        (GOOD.replace("better in A", "better in B"), "wrong_side"),
        (said("Still, B is the better picture."), "concludes_otherwise"),
        (said("So I prefer B."), "concludes_otherwise"),
        (said("That makes B far better."), "concludes_otherwise"),
        (said("The winner is B."), "concludes_otherwise"),
        (GOOD.replace("light, better", "focus, better"), "missing_factor"),
        (GOOD.replace("light, better", "light, focus, better"), "extra_factor"),
        (said("Winner: A"), "not_plain"),
        (said("<rationale>"), "not_plain"),
        (said("**Light** decides."), "not_plain"),
        (said("A scores higher."), "mentions_score"),
        (said("A is ahead by 2 points."), "mentions_score"),
        (said("A earns 7 out of 10."), "mentions_score"),
        (said("The difference is +2.5."), "mentions_score"),
        (said("B was edited."), "mentions_editing"),
        (said("A is the original."), "mentions_editing"),
        (said("B looks retouched."), "mentions_editing"),
        (said("Shadows have been added in B."), "mentions_editing"),
        (said("B is the darker version."), "mentions_editing"),
        (said("As the instruction says, it is dark."), "mentions_editing"),
        (said("The first picture is lighter."), "names_position"),
        (said("The right-hand image is dark."), "names_position"),
        (said("B has shadows that lose their detail."), "quotes_instruction"),
    ],
)
def test_every_fault_has_its_reason(text: str, reason: str) -> None:
    assert reason in reasons(text)
    assert reason in EXPLANATIONS


@pytest.mark.parametrize(
    "sentence",
    [
        "B is better placed on the table.",
        "B is not better than A.",
        "The point of view is the same.",
        "The focal point is the cup.",
        "The light comes from the right.",
        "Brightness is 23 against 41, warmth -3 in both.",
    ],
)
def test_harmless_sentences_pass(sentence: str) -> None:
    assert reasons(said(sentence)) == ()


def test_the_size_in_words_follows_the_difference() -> None:
    far = GOOD.replace("clearly better", "far better")
    slight = GOOD.replace("clearly better", "slightly better")
    assert reasons(far, 1.0) == ("wrong_size",)
    assert reasons(slight, 5.0) == ("wrong_size",)
    assert reasons(far, 5.0) == reasons(slight, 1.0) == reasons(GOOD, 1.0) == reasons(GOOD, 5.0) == ()


@pytest.mark.parametrize("factor", FACTORS)
def test_a_deciding_factor_must_be_spoken_of(factor: Factor) -> None:
    text = (
        "A and B show one and the same thing at one and the same place and nothing else can be said of either of "
        f"the two at all. Decisive: {factor}, better in A."
    )
    assert reasons(text, 2.5, (factor,)) == ("factor_not_discussed",)


def test_part_of_a_word_is_no_mention() -> None:
    text = GOOD.replace(BODY, "The quality of A is high, that of B is capital and not to be split from it, " * 2)
    assert "factor_not_discussed" in reasons(text)


def test_a_tie_names_nobody() -> None:
    tie = (
        "The same cup stands in the same window light in A and in B, as bright and as sharp in one as in the other, "
        "and nothing tells them apart. Decisive: nothing."
    )
    assert reasons(tie, 0.0, ()) == ()
    assert reasons(GOOD, 0.0, ()) == ("wrong_side", "concludes_otherwise", "extra_factor")
    assert reasons(tie) == ("wrong_side", "missing_factor")


def test_a_short_instruction_is_quoted_as_a_whole() -> None:
    assert check_text(said("It is too dark."), 2.5, ("light",), ["Too dark."]).reasons == ("quotes_instruction",)
    assert check_text(GOOD, 2.5, ("light",), ["..."]).reasons == ()


def test_every_template_would_be_noticed() -> None:
    for item in templates():
        found = check_text(said(item.text), 2.5, ("light",), [item.text]).reasons
        assert "quotes_instruction" in found


def measured(brightness: float, contrast: float, sharpness: float) -> Measurements:
    values = {"brightness": brightness, "contrast": contrast, "sharpness": sharpness}
    return Measurements(width=256, height=192, values=values)


EVIDENCE = PairEvidence(first=measured(52, 22, 3.0), second=measured(20, 9, 1.1), registration=None)


@pytest.mark.parametrize("factors", [("light",), ("subject", "mood"), ("composition",)])
def test_the_writer_for_known_factors_contradicts_nothing(factors: tuple[Factor, ...]) -> None:
    for seed in range(30):
        for delta in (-6.0, -0.8, 1.0, 4.0):
            written = write_from_factors(PairObservation(EVIDENCE), factors, delta, seed)
            assert contradictions(written, delta, factors) == []
            found = check_text(render_rationale(written), delta, factors).reasons
            # It is brief, and its closing words already say all that is known.
            assert set(found) <= {"too_short"}, written.text


def test_the_writer_for_known_factors_and_ties() -> None:
    tie = write_from_factors(PairObservation(EVIDENCE), (), 0.1, 0)
    assert (tie.better, tie.factors) == ("tie", ())
    with pytest.raises(ValueError, match="a tie has none"):
        write_from_factors(PairObservation(EVIDENCE), ("light",), 0.1, 0)
    with pytest.raises(ValueError, match="a winner has some"):
        write_from_factors(PairObservation(EVIDENCE), (), 3.0, 0)
