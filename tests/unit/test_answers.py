"""The grammar of answers: what it writes it reads, and what it does not write it refuses with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaes import answers
from redaes.answers import parse, parse_rationale, parse_score, render_rationale, render_verdict, stated
from redaes.errors import ParseError
from redaes.types import FACTORS, Rationale, Verdict, winner_of

SAID = "A is darker. Decisive: light, better in B."
FULL = f"<rationale>\n{SAID}\n</rationale>\nWinner: B\nDifference: -3.4"
FAST = "Winner: B\nDifference: -3.4"

# Reasoning as a model writes it: any characters, line breaks too, but not the marks of the grammar itself.
_BODIES = (
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=80)
    .map(str.strip)
    .filter(lambda text: text and "Decisive:" not in text and "rationale>" not in text)
)


@st.composite
def _verdicts(draw: st.DrawFn, *, reasoned: bool) -> Verdict:
    delta = draw(st.floats(min_value=-9.0, max_value=9.0))
    if not reasoned:
        return stated(delta)
    better = winner_of(delta)
    factors: tuple = ()
    if better != "tie":
        chosen = draw(st.sets(st.sampled_from(FACTORS), min_size=1))
        factors = tuple(factor for factor in FACTORS if factor in chosen)
    return stated(delta, Rationale(text=draw(_BODIES), factors=factors, better=better))


@given(_verdicts(reasoned=True))
def test_a_reasoned_answer_reads_back(verdict: Verdict) -> None:
    assert parse(render_verdict(verdict), "reasoned") == verdict


@given(_verdicts(reasoned=False))
def test_a_fast_answer_reads_back(verdict: Verdict) -> None:
    assert parse(render_verdict(verdict), "fast") == verdict


@given(_verdicts(reasoned=True))
def test_an_answer_fits_one_mode(verdict: Verdict) -> None:
    with pytest.raises(ParseError):
        parse(render_verdict(verdict), "fast")


@given(st.text(max_size=200), st.sampled_from(["reasoned", "fast"]))
def test_any_text_is_read_or_refused_with_a_reason(text: str, mode: str) -> None:
    try:
        verdict = parse(text, mode)  # type: ignore[arg-type]
    except ParseError:
        return
    assert parse(render_verdict(verdict), mode) == verdict  # type: ignore[arg-type]


@given(st.data())
def test_one_changed_character_never_raises_anything_else(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(FULL) - 1))
    mutated = FULL[:at] + data.draw(st.text(max_size=2)) + FULL[at + 1 :]
    try:
        verdict = parse(mutated, "reasoned")
    except ParseError:
        return
    assert verdict.rationale is not None
    assert verdict.rationale.better == verdict.winner == winner_of(verdict.delta) or abs(verdict.delta) < 0.25


def test_what_a_reasoned_answer_says() -> None:
    verdict = parse(FULL, "reasoned")
    assert (verdict.winner, verdict.delta) == ("B", -3.4)
    assert verdict.rationale == Rationale(text="A is darker.", factors=("light",), better="B")


def test_white_space_around_it_is_ignored() -> None:
    assert parse(f"\n {FULL}\n\n", "reasoned") == parse(FULL, "reasoned")


def test_reasoning_may_have_lines_and_name_the_winner() -> None:
    said = "Winner: hard to say.\nB glows.\n\nDecisive: colour, light, better in B."
    rationale = parse(f"<rationale>\n{said}\n</rationale>\n{FAST}", "reasoned").rationale
    assert rationale is not None
    assert rationale.text == "Winner: hard to say.\nB glows."
    assert rationale.factors == ("light", "colour")  # in the taxonomy's order


@pytest.mark.parametrize(
    ("text", "winner", "delta"),
    [
        ("Winner: A\nDifference: +1.5", "A", 1.5),
        ("Winner: A\nDifference: 1.5", "A", 1.5),
        ("Winner: A\nDifference: +9.0", "A", 9.0),
        ("Winner: A\nDifference: +0.1", "A", 0.1),
        ("Winner: B\nDifference: -9.0", "B", -9.0),
        ("Winner: tie\nDifference: 0.0", "tie", 0.0),
        ("Winner: tie\nDifference: +0.0", "tie", 0.0),
        ("Winner: tie\nDifference: -0.0", "tie", 0.0),
    ],
)
def test_fast_answers(text: str, winner: str, delta: float) -> None:
    verdict = parse(text, "fast")
    assert (verdict.winner, verdict.delta, verdict.rationale) == (winner, delta, None)


def _with(said: str, rest: str = FAST) -> str:
    return f"<rationale>\n{said}\n</rationale>\n{rest}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        (FULL + "\n" + FULL, "several_rationales"),
        (_with(f"<rationale>\n{SAID}"), "several_rationales"),
        (_with(f"{SAID}\n</rationale>"), "several_rationales"),
        (FAST, "no_rationale"),
        ("I prefer B.", "not_the_form"),
        (FULL + "\nI hope this helps.", "not_the_form"),
        ("Sure!\n" + FULL, "not_the_form"),
        (FULL.replace("Winner: B", "Winner: C"), "not_the_form"),
        (FULL.replace("Winner: B", "winner: B"), "not_the_form"),
        (FULL.replace("Winner: B", "Winner: B or tie"), "not_the_form"),
        (FULL.replace("Winner: B", "Winner:B"), "not_the_form"),
        (FULL.replace("Winner: B\n", ""), "not_the_form"),
        (FULL.replace("-3.4", "3"), "not_the_form"),
        (FULL.replace("-3.4", "-3.45"), "not_the_form"),
        (FULL.replace("-3.4", "-13.4"), "not_the_form"),
        (FULL.replace("-3.4", "nan"), "not_the_form"),
        (FULL.replace("-3.4", "\u22123.4"), "not_the_form"),  # a typographic minus
        (FULL.replace("-3.4", "-\u0663.\u0664"), "not_the_form"),  # digits, but not ours
        (FULL.replace("\nDifference", "\r\nDifference"), "not_the_form"),
        (FULL.replace("</rationale>\n", "</rationale>"), "not_the_form"),
        (FULL.replace("</rationale>", "</reason>"), "not_the_form"),
        (FULL.replace("-3.4", "-9.1"), "out_of_range"),
        (FULL.replace("-3.4", "+3.4"), "contradiction"),
        (FULL.replace("-3.4", "0.0"), "contradiction"),
        (FULL.replace("Winner: B", "Winner: tie"), "contradiction"),
        (FULL.replace("better in B", "better in A"), "contradiction"),
        (_with("Both glow. Decisive: nothing."), "contradiction"),
        (_with("A is darker."), "not_decisive"),
        (_with(""), "not_decisive"),
        (_with(f"{SAID} Or so."), "not_decisive"),
        (_with(f"{SAID} {SAID}"), "not_decisive"),
        (_with("A is darker. Decisive: light, better in C."), "not_decisive"),
        (_with("A is darker. Decisive: light, better in B"), "not_decisive"),
        (_with("A is darker. Decisive: , better in B."), "not_decisive"),
        (_with("A is darker. Decisive: bokeh, better in B."), "unknown_factor"),
        (_with("A is darker. Decisive: light, light, better in B."), "unknown_factor"),
        (_with("A is darker. Decisive: light,colour, better in B."), "unknown_factor"),
        (_with("A is darker. Decisive: nothing, better in B."), "unknown_factor"),
        (_with("Decisive: light, better in B."), "empty_rationale"),
        (_with("  \nDecisive: nothing."), "empty_rationale"),
    ],
)
def test_every_reason_of_a_reasoned_answer(text: str, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text, "reasoned")
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"{reason}: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FULL, "unexpected_rationale"),
        ("Winner: B", "not_the_form"),
        ("Winner: B\nDifference: +3.4", "contradiction"),
        ("Winner: B\nDifference: -9.9", "out_of_range"),
    ],
)
def test_reasons_of_a_fast_answer(text: str, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text, "fast")
    assert caught.value.reason == reason


def test_every_documented_reason_is_tested() -> None:
    documented = {
        "empty", "not_the_form", "several_rationales", "no_rationale", "unexpected_rationale",
        "empty_rationale", "not_decisive", "unknown_factor", "contradiction", "out_of_range",
    }  # fmt: skip
    assert all(f"``{reason}``" in (parse.__doc__ or "") for reason in documented)
    assert (parse.__doc__ or "").count("``,") + 1 >= len(documented)


@pytest.mark.parametrize(
    ("delta", "winner", "written"),
    [(0.24, "tie", 0.0), (-0.24, "tie", 0.0), (0.25, "A", 0.2), (3.449, "A", 3.4), (-8.96, "B", -9.0)],
)
def test_stated_rounds_as_the_grammar_writes(delta: float, winner: str, written: float) -> None:
    verdict = stated(delta)
    assert (verdict.winner, verdict.delta) == (winner, written)


def test_the_closing_sentence() -> None:
    two = Rationale(text="B glows.", factors=("light", "colour"), better="B")
    assert render_rationale(two) == "B glows. Decisive: light, colour, better in B."
    assert render_rationale(Rationale(text="Same.", factors=(), better="tie")) == "Same. Decisive: nothing."
    assert parse_rationale(render_rationale(two)) == two


@pytest.mark.parametrize("score", range(10))
def test_scores(score: int) -> None:
    assert parse_score(f"Score: {score}") == score
    assert parse_score(f"\n{answers.SCORE_PREFIX}{answers.SCORE_CHOICES[score]} ") == score


@pytest.mark.parametrize("text", ["", "6", "Score: 10", "Score: -1", "Score:6", "Score: 6/9", "Score: \u0666"])
def test_other_scores_are_refused(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_score(text)
    assert caught.value.reason == "not_the_form"


def test_prefixes_begin_what_the_grammar_writes() -> None:
    for choice in answers.WINNER_CHOICES:
        delta = {"A": 1.0, "B": -1.0, "tie": 0.0}[choice]
        assert render_verdict(stated(delta)).startswith(f"{answers.WINNER_PREFIX} {choice}\n")
