"""The JSON form: what follows it is read, and everything else is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaes import json_form
from redaes.errors import ParseError
from redaes.json_form import KEYS, SCHEMA, parse_json

GOOD = {
    "observations_a": "Far too dark; the shadows block up.",
    "observations_b": "Evenly lit.",
    "factors": ["light", "colour"],
    "winner": "B",
    "difference": 3.5,
}
EVEN = {**GOOD, "factors": [], "winner": "tie", "difference": 0}


def text(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def test_the_form_itself() -> None:
    found = parse_json(text())
    assert (found.winner, found.delta) == ("B", -3.5)
    assert found.rationale is not None
    assert found.rationale.text == "A: Far too dark; the shadows block up. B: Evenly lit."
    assert (found.rationale.factors, found.rationale.better) == (("light", "colour"), "B")


@pytest.mark.parametrize(
    ("given_", "winner", "delta"),
    [
        (text(winner="A"), "A", 3.5),
        (text(difference=3), "B", -3.0),
        (text(difference=9), "B", -9.0),
        (text(difference=0.1), "B", -0.1),
        (text(difference=3.45), "B", -3.45),
        (json.dumps(EVEN), "tie", 0.0),
        (json.dumps({**EVEN, "difference": -0.0}), "tie", 0.0),
        (json.dumps(GOOD, indent=4), "B", -3.5),
        (json.dumps(dict(reversed(GOOD.items()))), "B", -3.5),
        (f"\n {text()}\r\n", "B", -3.5),
        (text(factors=["mood", "light", "focus", "noise"]), "B", -3.5),
    ],
)
def test_what_is_stated_is_kept(given_: str, winner: str, delta: float) -> None:
    found = parse_json(given_)
    assert (found.winner, found.delta) == (winner, delta)
    assert str(found.delta) != "-0.0"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (" Dark ", "A: Dark."),
        ("A: dark!", "A: dark!"),
        ("Picture A: dark.", "Picture A: dark."),
        ("A dark photograph.", "A: A dark photograph."),
        ("B: dark.", "A: B: dark."),
    ],
)
def test_observations_name_their_picture(said: str, shown: str) -> None:
    found = parse_json(text(observations_a=said)).rationale
    assert found is not None
    assert found.text == f"{shown} B: Evenly lit."


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("B is better.", "not_json"),
        (f"Here it is: {text()}", "not_json"),
        (f"{text()}\nB is better.", "not_json"),
        (f"{text()}\n{text()}", "not_json"),
        (f"```json\n{text()}\n```", "not_json"),
        (text()[:-1], "not_json"),
        (text().replace('"winner"', "'winner'"), "not_json"),
        (text().replace("3.5}", "3.5,}"), "not_json"),
        (text().replace("3.5", "3,5"), "not_json"),
        (text().replace("3.5", "+3.5"), "not_json"),
        (text().replace("Evenly", "Even\nly"), "not_json"),
        (text(observations_a="Dark \ud800"), "not_json"),
        ("[" * 100_000, "not_json"),
        (text().replace("3.5", "9" * 5000), "not_json"),
        (f"[{text()}]", "not_an_object"),
        ('"B"', "not_an_object"),
        (text().replace('"factors"', '"winner": "A", "factors"'), "duplicate_key"),
        (text().replace("3.5", "NaN"), "not_finite"),
        (text().replace("3.5", "Infinity"), "not_finite"),
        (text().replace("3.5", "-Infinity"), "not_finite"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "factors"}), "missing_key"),
        ("{}", "missing_key"),
        (text(confidence=0.9), "unknown_key"),
        (text(Winner="B"), "unknown_key"),
        (text(observations_a=None), "wrong_type"),
        (text(observations_b=["dark"]), "wrong_type"),
        (text(factors="light"), "wrong_type"),
        (text(factors=[1]), "wrong_type"),
        (text(factors={"light": 1}), "wrong_type"),
        (text(winner=None), "wrong_type"),
        (text(winner=["A"]), "wrong_type"),
        (text(difference="3.5"), "wrong_type"),
        (text(difference=True), "wrong_type"),
        (text(difference=None), "wrong_type"),
        (text(observations_a=""), "empty_rationale"),
        (text(observations_b=" ... "), "empty_rationale"),
        (text(winner="b"), "unknown_winner"),
        (text(winner="Picture B"), "unknown_winner"),
        (text(winner="neither"), "unknown_winner"),
        (text(winner="A, B or tie"), "unknown_winner"),
        (text(factors=["sharpness"]), "unknown_factor"),
        (text(factors=["Light"]), "unknown_factor"),
        (text(factors=["light", "light"]), "unknown_factor"),
        (text(factors=[]), "not_decisive"),
        (text(difference=-3.5), "out_of_range"),
        (text(difference=9.5), "out_of_range"),
        (text(difference=35), "out_of_range"),
        (text().replace("3.5", "1e999"), "out_of_range"),
        (text().replace("3.5", "9" * 400), "out_of_range"),
        (text(difference=0), "contradiction"),
        (text(winner="tie"), "contradiction"),
        (json.dumps({**EVEN, "factors": ["light"]}), "contradiction"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_a_reason(given_: str, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_json(given_)
    assert caught.value.reason == reason


def test_the_schema_has_what_is_read_in_the_order_of_the_prompt() -> None:
    assert tuple(SCHEMA["properties"]) == KEYS == tuple(SCHEMA["required"])
    assert SCHEMA["additionalProperties"] is False
    winner, difference = (SCHEMA["properties"][key]["enum"] for key in ("winner", "difference"))
    for size in difference[1:]:
        assert parse_json(text(difference=size)).delta == -size
    assert [winner[-1], difference[0]] == ["tie", 0.0]


def test_the_schema_is_of_the_keywords_that_all_servers_take() -> None:
    def keywords(schema: dict[str, Any]) -> set[str]:
        inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
        return set(schema).union(*map(keywords, inner))

    assert keywords(dict(SCHEMA)) == {"type", "properties", "required", "additionalProperties", "items", "enum"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["A", "B", "tie", "light", "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "more"]), _VALUES), st.booleans())
def test_any_object_is_a_verdict_or_a_reason(value: dict[str, Any], whole: bool) -> None:
    try:
        found = parse_json(json.dumps({**GOOD, **value} if whole else value))
    except ParseError:
        return
    assert found.winner in ("A", "B", "tie")


@given(st.text(st.sampled_from('{}[]":,AB observatin_dfcewer0.5\\\n'), max_size=60))
def test_noise_is_refused_with_a_reason(said: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_json(said)
    assert caught.value.reason in {"empty", "not_json", "not_an_object", "missing_key", "duplicate_key", "unknown_key"}


def test_a_tie_has_no_sign() -> None:
    assert json_form.SIZES[0] == 0.0
    assert parse_json(json.dumps(EVEN)).swapped().delta == 0.0
