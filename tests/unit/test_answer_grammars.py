"""What engines hold an answer to: whatever is allowed is read, and ordinary answers are allowed."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from redaes import answer_grammars, json_form
from redaes.answer_grammars import JSON, MAX_REASONING, TEXT, grammar_of
from redaes.answers import parse, render_verdict
from redaes.json_form import parse_json
from redaes.types import FACTORS, FORMS, Rationale, Verdict

DELTAS = st.floats(0.25, 9.0)


@settings(max_examples=25)
@given(st.from_regex(TEXT.pattern, fullmatch=True))
def test_what_the_text_pattern_allows_is_read(text: str) -> None:
    assert parse(text, "reasoned").rationale is not None


@settings(max_examples=25)
@given(st.from_regex(JSON.pattern, fullmatch=True))
def test_what_the_json_pattern_allows_is_read(text: str) -> None:
    assert parse_json(text).rationale is not None
    assert tuple(json.loads(text)) == json_form.KEYS


@given(st.sampled_from(["A", "B", "tie"]), DELTAS, st.text("abc .,;", min_size=1, max_size=80))
def test_ordinary_answers_follow_the_text_pattern(winner: str, size: float, body: str) -> None:
    assume(body.strip())
    delta = {"A": round(size, 1), "B": -round(size, 1), "tie": 0.0}[winner]
    factors = () if winner == "tie" else ("light", "focus")
    rationale = Rationale(text=body.strip(), factors=factors, better=winner)  # type: ignore[arg-type]
    text = render_verdict(Verdict(winner=winner, delta=delta, rationale=rationale))  # type: ignore[arg-type]
    assert re.fullmatch(TEXT.pattern, text)


@given(st.sampled_from(["A", "B", "tie"]), st.sampled_from(json_form.SIZES[1:]), st.text("abc .,;", max_size=80))
def test_ordinary_answers_follow_the_json_pattern(winner: str, size: float, body: str) -> None:
    even = winner == "tie"
    value = {
        "observations_a": f"Dark; {body}",
        "observations_b": "Well lit.",
        "factors": [] if even else ["light", "focus", "mood"],
        "winner": winner,
        "difference": 0.0 if even else size,
    }
    assert re.fullmatch(JSON.pattern, json.dumps(value))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("Details, Dusk: all there.", "Decisive: nothing. Or not."),
        ("A", " "),
        ("x" * MAX_REASONING, "x" * (MAX_REASONING + 1)),
        ("A d", "Dec"),
        ("Deep", "DDT"),  # no loss: what follows a D must be told apart from the beginning of the closing sentence
    ],
)
def test_a_reasoning_without_a_second_closing_sentence(good: str, bad: str) -> None:
    form = "<rationale>\n{} Decisive: light, better in A.\n</rationale>\nWinner: A\nDifference: +3.4"
    assert re.fullmatch(TEXT.pattern, form.format(good))
    assert not re.fullmatch(TEXT.pattern, form.format(bad))


@pytest.mark.parametrize("winner", ["A", "B"])
def test_winner_sign_and_closing_sentence_go_together(winner: str) -> None:
    other, sign = ("B", "-") if winner == "A" else ("A", "+")
    text = (
        f"<rationale>\nSeen. Decisive: light, better in {other}.\n</rationale>\nWinner: {winner}\nDifference: {sign}1.0"
    )
    assert not re.fullmatch(TEXT.pattern, text)
    assert not re.fullmatch(TEXT.pattern, text.replace(f"better in {other}", f"better in {winner}"))


def test_each_form_has_its_grammar() -> None:
    assert {form: grammar_of(form).form for form in FORMS} == {"text": "text", "json": "json"}
    assert grammar_of("json").schema == json_form.SCHEMA


@pytest.mark.parametrize("grammar", [TEXT, JSON], ids=FORMS)
def test_the_gbnf_is_within_what_llama_cpp_takes(grammar: answer_grammars.AnswerGrammar) -> None:
    """It refuses to repeat 2000 rules or more; a rule that is repeated by its name counts as one."""
    root, piece = grammar.gbnf.splitlines()
    assert root.startswith("root ::= ")
    assert piece.startswith("piece ::= ")
    counts = re.findall(r"(\S+)\{0,(\d+)\}", root)
    assert {name for name, _ in counts} == {"piece"}
    assert all(int(most) < 2000 for _, most in counts)


def test_factors_come_once_and_three_at_most() -> None:
    value = {"observations_a": "Dark.", "observations_b": "Lit.", "winner": "B", "difference": 3.5}

    def allowed(*factors: str) -> bool:
        both = {**dict(list(value.items())[:2]), "factors": list(factors), **dict(list(value.items())[2:])}
        return re.fullmatch(JSON.pattern, json.dumps(both)) is not None

    assert all(allowed(name) for name in FACTORS)
    assert allowed(*FACTORS[5:])
    assert not allowed("light", "light")
    assert not allowed(*FACTORS[:4])
    assert not allowed()
