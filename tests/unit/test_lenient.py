"""Variants of the text form: read where they can mean one thing only, else refused with a reason."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaes import answers, lenient
from redaes.errors import InputError, ParseError
from redaes.lenient import LENIENT, STRICT, known_reader, parse_variant, read
from redaes.prompts import Mode
from redaes.rewards.trl import reward_format
from redaes.types import FACTORS, Rationale, Verdict, Winner

BODY = "A is darker than B; the shadows block up."


def form(closing: str = "Decisive: light, better in B.", winner: str = "B", difference: str = "-3.4") -> str:
    return f"<rationale>\n{BODY} {closing}\n</rationale>\nWinner: {winner}\nDifference: {difference}"


@pytest.mark.parametrize(
    "text",
    [
        form().replace("Winner: B", "**Winner: B**").replace("Difference: -3.4", "**Difference: -3.4**"),
        form().replace("Winner:", "**Winner:**").replace("Difference:", "**Difference:**"),
        form().replace("Winner:", "- __Winner__:").replace("Difference:", "- __Difference__:"),
        form().replace("Winner: B", "### Winner: B").replace("Difference", "2. difference"),
        form().replace("\nWinner", "\n\n\nWinner").replace("\nDiff", "\n\nDiff"),
        form().replace("\n", "\r\n"),
        form().replace("\n", "\r"),
        form().replace(":", "\uff1a"),
        form().replace("Winner: B\n", "Winner: B, "),
        *(form(winner=winner) for winner in ("b", "Picture B", "image B.", "the photo B", '"B"', "[B]", "(B)", "`B`")),
        *(form(difference=value) for value in ("\u22123.4", "\u20133.4", "- 3.4", "-3,4", "-3.4.", "-3.4 points")),
        form(difference="-3.40"),
        form("decisive: Light, better in B."),
        form("**Decisive:** light, better in B."),
        form("**Decisive: light, better in B.**"),
        form("\n\nDecisive factor: light; better in picture B"),
        form("\n- Decisive: LIGHT better in the image B."),
        f"```\n{form()}\n```",
        f"```text\n{form()}\n```\n",
        f"Here is my assessment:\n\n{form()}",
        f"{form()}\n\nOverall, B is the better photograph.",
        f"{form()}\n\nB is better than A. The winner is clear.",
        f"<think>\nWinner: A\nDifference: +9.0\n</think>\n\n{form()}",
        f"Winner: A, I thought.\n</think>\n\n{form()}",
        form().replace("<rationale>\n", "<Rationale>").replace("\n</rationale>", "</ rationale >"),
    ],
)  # fmt: skip
def test_variants_that_mean_one_thing(text: str) -> None:
    found, reader = read(text, "reasoned", "lenient")
    assert (found.winner, found.delta, reader) == ("B", -3.4, LENIENT)
    assert found.rationale is not None
    assert (found.rationale.factors, found.rationale.better) == (("light",), "B")
    assert found.rationale.text.rstrip("\n- ") == BODY
    with pytest.raises(ParseError):
        read(text, "reasoned", "strict")


@pytest.mark.parametrize(
    ("text", "winner", "delta", "factors"),
    [
        (form(difference="-3"), "B", -3.0, ("light",)),
        (form(difference="-3.45"), "B", -3.45, ("light",)),
        (form("Decisive: noise and color, better in A.", "picture a", "\uff0b2"), "A", 2.0, ("colour", "noise")),
        (form("Decisive: light, colour, and mood; better in A.", "A", "9"), "A", 9.0, ("light", "colour", "mood")),
        (form("Decisive: light & focus, better in B."), "B", -3.4, ("light", "focus")),
        (form("Decisive: nothing", "Tie", "0"), "tie", 0.0, ()),
        (form("Decisive: nothing.", "**TIE**", "\u22120.0"), "tie", 0.0, ()),
    ],
)
def test_what_is_stated_is_kept(text: str, winner: Winner, delta: float, factors: tuple[str, ...]) -> None:
    found = read(text, "reasoned", "lenient").verdict
    assert (found.winner, found.delta) == (winner, delta)
    assert found.rationale is not None
    assert found.rationale.factors == factors


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("```\n```", "empty"),
        (form(difference="+3.4"), "contradiction"),
        (form(difference="3.4"), "contradiction"),  # a lead of B's without its sign may be either
        (form(winner="A"), "contradiction"),
        (form(winner="tie"), "contradiction"),
        (form(difference="0"), "contradiction"),
        (form("Decisive: nothing."), "contradiction"),
        (form("Decisive: light, better in A."), "contradiction"),
        (form() + "\n\nOverall, A is the better photograph.", "contradiction"),
        (form() + "\n\nThe better picture is A.", "contradiction"),
        (form() + "\n\nAll in all it is a tie.", "contradiction"),
        ("I prefer A.\n" + form(), "contradiction"),
        (form() + "\nWinner: A\nDifference: +1.0", "several_verdicts"),
        (form() + "\nOr Winner: A", "several_verdicts"),
        (form() + "\n" + form(), "several_rationales"),
        (form(winner="A or B"), "unknown_winner"),
        (form(winner="the second one"), "unknown_winner"),
        (form(winner="neither"), "unknown_winner"),
        (form(difference="large"), "unknown_difference"),
        (form(difference="-3.4 to -4"), "unknown_difference"),
        (form(difference="-3.4/9"), "unknown_difference"),
        (form(difference="-34"), "out_of_range"),
        (form(difference="-9.1"), "out_of_range"),
        (form("That decides."), "not_decisive"),
        (form("Decisive: light."), "not_decisive"),
        (form("Decisive: light, better in both."), "not_decisive"),
        (form("Decisive: light, better in A. Decisive: light, better in B."), "not_decisive"),
        (form("Decisive: light, better in B. Or is it?"), "not_decisive"),
        (form("Decisive: sharpness, better in B."), "unknown_factor"),
        (form("Decisive: colour and color, better in B."), "unknown_factor"),
        (form().replace(BODY, ""), "empty_rationale"),
        ("Winner: B\nDifference: -3.4", "no_rationale"),
        (f"{BODY} Decisive: light, better in B.\nWinner: B\nDifference: -3.4", "no_rationale"),
        ("Winner: B\nDifference: -3.4\n" + form()[:-27], "not_the_form"),
        (form().replace("\nDifference: -3.4", ""), "not_the_form"),
        ("B is better, by 3 points.", "no_rationale"),
        ("<think>\n" + form(), "unclosed_thinking"),
    ],
)  # fmt: skip
def test_what_is_missing_or_contradictory_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        read(text, "reasoned", "lenient")
    assert caught.value.reason == reason


def test_the_fast_form() -> None:
    assert read("**Winner:** B  \n**Difference:** \u22123", "fast", "lenient") == (
        Verdict(winner="B", delta=-3.0, rationale=None), LENIENT
    )  # fmt: skip
    with pytest.raises(ParseError, match="unexpected_rationale"):
        read(form(), "fast", "lenient")


def test_readers_are_asked_for_by_name() -> None:
    assert [known_reader(name) for name in ("strict", "lenient")] == ["strict", "lenient"]
    with pytest.raises(InputError, match="known: strict, lenient"):
        known_reader("generous")


def test_nothing_that_trains_or_rewards_knows_of_it() -> None:
    root = Path(lenient.__file__).parent
    sources = [*root.glob("training/**/*.py"), *root.glob("rewards/**/*.py"), *root.parent.glob("stages/*.py")]
    assert len(sources) > 10
    assert [file.name for file in sources if "lenient" in file.read_text(encoding="utf-8")] == []


def test_what_measures_a_training_asks_in_the_form_that_it_trains() -> None:
    root = Path(lenient.__file__).parent
    calls = [
        ast.unparse(node)
        for file in [*root.glob("training/**/*.py"), root / "heldout.py"]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Assessor"
    ]
    assert len(calls) >= 2
    assert [call for call in calls if "reader='strict'" not in call or "form='text'" not in call] == []


def test_no_reward_reads_json_or_a_variant() -> None:
    bold = "<rationale>\nDark. Decisive: light, better in B.\n</rationale>\n**Winner: B**\nDifference: -3.4"
    value = {
        "observations_a": "Dark.",
        "observations_b": "Lit.",
        "factors": ["light"],
        "winner": "B",
        "difference": 3.4,
    }
    assert read(bold, "reasoned", "lenient").verdict.delta == -3.4
    assert read(json.dumps(value), "reasoned", "lenient", "json").verdict.delta == -3.4
    good = bold.replace("*", "")
    said = [[{"role": "assistant", "content": text}] for text in (bold, json.dumps(value), good)]
    assert reward_format(said, ["reasoned"] * 3) == [0.0, 0.0, 1.0]


LETTERS: st.SearchStrategy[Winner] = st.sampled_from(("A", "B", "tie"))
WORDS = st.text(st.sampled_from("abcAB *_.,;-"), max_size=30)
SIZES = st.integers(1, 90).map(lambda n: n / 10)


@st.composite
def verdicts(draw: st.DrawFn, reasoned: bool) -> Verdict:
    winner = draw(LETTERS)
    delta = {"A": 1, "B": -1, "tie": 0}[winner] * draw(SIZES)
    chosen = draw(st.lists(st.sampled_from(FACTORS), min_size=1, max_size=3, unique=True))
    factors = () if winner == "tie" else tuple(name for name in FACTORS if name in chosen)
    text = f"It is seen{draw(WORDS)}."
    rationale = Rationale(text=text, factors=factors, better=winner) if reasoned else None
    return Verdict(winner=winner, delta=delta + 0.0, rationale=rationale)


@given(st.booleans().flatmap(verdicts))
def test_the_form_itself_is_read_the_same_by_both(verdict: Verdict) -> None:
    mode: Mode = "fast" if verdict.rationale is None else "reasoned"
    text = answers.render_verdict(verdict)
    assert read(text, mode, "strict") == read(text, mode, "lenient") == (answers.parse(text, mode), STRICT)
    assert parse_variant(text, mode) == answers.parse(text, mode)


@given(
    winner=LETTERS,
    sign=st.sampled_from(("+", "-", "", "\u2212", "\u2013", "\uff0b")),
    size=st.sampled_from(("0", "0.0", "1", "3.4", "2.25")),
    better=LETTERS,
    around=st.sampled_from(("", "Here it is:", "Overall, {} is the better photograph.", "The winner is picture {}.")),
    other=LETTERS,
    dress=st.sampled_from(("{}", "**{}**", "**{}.**", "`{}`", "Picture {}", "- {}")),
    newline=st.sampled_from(("\n", "\r\n", "\n\n")),
)
def test_no_contradiction_is_read_as_a_verdict(
    winner: str, sign: str, size: str, better: str, around: str, other: str, dress: str, newline: str
) -> None:
    closing = "Decisive: nothing." if better == "tie" else f"Decisive: light and Color, better in {better}."
    lines = [
        f"<rationale>{BODY} {closing}</rationale>",
        f"Winner: {dress.format(winner)}",
        f"**Difference: {sign}{size}**",
    ]
    text = newline.join([*lines, around.format(other)])
    leads = "tie" if float(size) == 0 else "B" if sign in ("-", "\u2212", "\u2013") else "A"
    try:
        found = read(text, "reasoned", "lenient").verdict
    except ParseError:
        return
    assert found.winner == winner == leads == better
    if "{}" in around:
        assert other in (winner, "tie")


@given(
    st.text(st.sampled_from("AB<>/rationale:WnerDfcs -+*.0123\n\u2212`"), max_size=80),
    st.sampled_from(("fast", "reasoned")),
)
def test_any_text_is_a_verdict_or_a_reason(text: str, mode: str) -> None:
    try:
        found = read(text, mode, "lenient").verdict  # type: ignore[arg-type]
    except ParseError:
        return
    assert found.winner in ("A", "B", "tie")
