"""Answers as chat models that were not trained on the form write them: each read rightly, or refused with a reason.

A wrong reading is worse than a refusal, so most of what is here is to be refused.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from redaes import answers
from redaes.errors import ParseError
from redaes.lenient import LENIENT, STRICT, read
from redaes.types import Form

BODY = "A is darker than B; the shadows block up. Decisive: light, better in B."
OTHER = BODY.replace("better in B", "better in A")
EVEN = "Both are alike. Decisive: nothing."
LINES = "Winner: B\nDifference: -3.4"


def form(body: str = BODY, lines: str = LINES) -> str:
    return f"<rationale>\n{body}\n</rationale>\n{lines}"


BOLD = form(lines=f"**{LINES}**")
"""A variant, so that only :mod:`redaes.lenient` can read it."""


def as_json(**changes: Any) -> str:
    value = {
        "observations_a": "Too dark.",
        "observations_b": "Well lit.",
        "factors": ["light"],
        "winner": "B",
        "difference": 3.5,
    }
    return json.dumps({**value, **changes}, indent=2, ensure_ascii=False)


Expected = tuple[str, float] | str
"""Winner and difference, or the reason of a refusal."""

TYPICAL: dict[str, tuple[str, Expected]] = {
    "the form itself": (form(), ("B", -3.4)),
    "bold": (form(lines="**Winner: B**\n**Difference: -3.4**"), ("B", -3.4)),
    "no sign": (form(OTHER, "Winner: A\nDifference: 1.5"), ("A", 1.5)),
    "integer": (form(lines="Winner: B\nDifference: -3"), ("B", -3.0)),
    "two decimals": (form(lines="Winner: B\nDifference: -3.45"), ("B", -3.45)),
    "unicode minus": (form(lines="Winner: B\nDifference: \u22123.4"), ("B", -3.4)),
    "capital factor": (form(BODY.replace("light,", "Light,")), ("B", -3.4)),
    "code fence": (f"```\n{form()}\n```", ("B", -3.4)),
    "trailing sentence": (form() + "\n\nOverall, B is the better photograph.", ("B", -3.4)),
    "preamble": (f"Here is my assessment:\n\n{form()}", ("B", -3.4)),
    "blank line before the winner": (form(lines=f"\n{LINES}"), ("B", -3.4)),
    "picture B": (form(lines="Winner: Picture B\nDifference: -3.4"), ("B", -3.4)),
    "capital tie": (form(EVEN, "Winner: Tie\nDifference: 0.0"), ("tie", 0.0)),
    "tie with a plus": (form(EVEN, "Winner: tie\nDifference: +0.0"), ("tie", 0.0)),
    "and": (form(BODY.replace("light,", "light and colour,")), ("B", -3.4)),
    "American": (form(BODY.replace("light,", "color,")), ("B", -3.4)),
    "no closing sentence": (form("A is darker than B."), "not_decisive"),
    "Chinese colon": (form(lines="Winner\uff1aB\nDifference\uff1a-3.4"), ("B", -3.4)),
    "thoughts before": (f"<think>\nhm\n</think>\n\n{form()}", ("B", -3.4)),
    "B's lead without its sign": (form(lines="Winner: B\nDifference: +3.4"), "contradiction"),
    "CRLF": (form().replace("\n", "\r\n"), ("B", -3.4)),
    "tags on one line": (f"<rationale>{BODY}</rationale>\n{LINES}", ("B", -3.4)),
}
"""The kinds that untuned models write most."""

READ: dict[str, tuple[str, Expected]] = {
    "headings, in Gemma's way": (
        f"## Rationale\n\n{BODY}\n\n## Winner: B\n## Difference: -3.4",
        ("B", -3.4),
    ),
    "a bold heading for the tag": (f"**Rationale:** {BODY}\n\n**Winner:** Image B\n**Difference:** -3.4", ("B", -3.4)),
    "numbered keys": (form(lines="1. Winner: B\n2. Difference: -3.4"), ("B", -3.4)),
    "numbers in brackets": (form(lines="(1) Winner: B\n(2) Difference: -3.4"), ("B", -3.4)),
    "bullets": (form(lines="\u2022 **Winner:** B\n\u2022 **Difference:** \u20133.4"), ("B", -3.4)),
    "lower case": (form(lines="winner: b\ndifference: -3.4"), ("B", -3.4)),
    "capitals": (form(lines="WINNER: IMAGE B\nDIFFERENCE: -3.4"), ("B", -3.4)),
    "decimal comma": (form(lines="Winner: B\nDifference: -3,4"), ("B", -3.4)),
    "points": (form(lines="Winner: Photograph B.\nDifference: -3.4 points."), ("B", -3.4)),
    "curly quotes": (form(lines="Winner: \u201cB\u201d\nDifference: -3.4"), ("B", -3.4)),
    "option": (form(lines='Winner: Option "B"\nDifference: -3.4'), ("B", -3.4)),
    "one line": (form(lines="Winner: B | Difference: -3.4"), ("B", -3.4)),
    "HTML": (form(lines="<b>Winner:</b> B<br>\n<strong>Difference:</strong> -3.4"), ("B", -3.4)),
    "a special token that the server left": (form() + "<|im_end|>", ("B", -3.4)),
    "Gemma's end of turn": (form() + "\n<end_of_turn>\n", ("B", -3.4)),
    "a mark of byte order": ("\ufeff" + form(lines="**Winner**: B\nDifference: -3.4"), ("B", -3.4)),
    "a space that does not break": (form().replace("Winner: ", "Winner:\xa0"), ("B", -3.4)),
    "the closing sentence behind the tag": (
        f"<rationale>\nA is darker than B.\n</rationale>\nDecisive: light, better in B.\n{LINES}",
        ("B", -3.4),
    ),
    "are better": (form("A is darker. Decisive: light and colour are better in B."), ("B", -3.4)),
    "in brackets": (form("A is darker. Decisive: light, mood (better in picture B)."), ("B", -3.4)),
    "a dash": (form("A is darker. Decisive: lighting \u2013 better in B"), ("B", -3.4)),
    "bold letters": (form("A is darker. **Decisive:** *light*, better in **B**."), ("B", -3.4)),
    "several paragraphs": (
        form("**Picture A:** noisy, flat.\n\n**Picture B:** clear.\n\nDecisive: noise, better in B."),
        ("B", -3.4),
    ),
    "single merits of the other": (
        form("A has better colour, B better light. Decisive: light, better in B."),
        ("B", -3.4),
    ),
    "a reason after": (form() + "\n\nThe winner is B because its light is better.", ("B", -3.4)),
    "scores that agree": (
        form("A scores 4, B scores 7. Decisive: light, better in B.", "Winner: B\nDifference: -3"),
        ("B", -3.0),
    ),
    "an offer": (f"{BOLD}\n\nLet me know if you would like more details!", ("B", -3.4)),
    "the loser named": (f"{BOLD}\n\nImage B wins over image A.", ("B", -3.4)),
    "the loser blamed": (f"{BOLD}\n\nA is the weaker image.", ("B", -3.4)),
    "an article": (f"A careful comparison:\n\n{BOLD}", ("B", -3.4)),
    "a single merit and the conclusion": (
        form("A has better colour, but B is the better photograph. Decisive: light, better in B.", f"**{LINES}**"),
        ("B", -3.4),
    ),
    "the difference first": (form(lines="Difference: -3.4\nWinner: B"), ("B", -3.4)),
}
"""More that can mean one thing only."""

REFUSED: dict[str, tuple[str, Expected]] = {
    "prose alone": ("Picture B is clearly the better photograph, by about 3 points.", "no_rationale"),
    "a refusal": ("I'm sorry, I can't compare these photographs.", "no_rationale"),
    "an apology for not seeing": ("I cannot see any image. Please upload the two pictures.", "no_rationale"),
    "the prompt's line": (form(lines="Winner: A, B or tie\nDifference: +0.0"), "unknown_winner"),
    "the prompt's example, filled in": (
        form("What you see in both. Decisive: light, better in A.", "Winner: A\nDifference: +2.0"),
        "example_repeated",
    ),
    "the prompt's example and then the answer": (
        form("What you see in both. Decisive: light, better in A.", "Winner: A\nDifference: +0.0") + "\n\n" + form(),
        "several_rationales",
    ),
    "the prompt's last line": (BOLD + '\n(For a tie: "Decisive: nothing.")', "contradiction"),
    "neither": (form(EVEN, "Winner: Neither\nDifference: 0.0"), "unknown_winner"),
    "none": (form(EVEN, "Winner: None\nDifference: 0.0"), "unknown_winner"),
    "both": (form(lines="Winner: A and B\nDifference: 0.0"), "unknown_winner"),
    "either": (form(lines="Winner: A/B\nDifference: -1.0"), "unknown_winner"),
    "a number for the letter": (form(lines="Winner: Image 2\nDifference: -3.4"), "unknown_winner"),
    "an ordinal for the letter": (form(lines="Winner: the second photo\nDifference: -3.4"), "unknown_winner"),
    "German": (f"<rationale>\n{BODY}\n</rationale>\nGewinner: B\nDifferenz: -3,4", "not_the_form"),
    "the other way round": (form(lines="Winner: B\nDifference (B - A): +3.4"), "not_the_form"),
    "A with a minus": (form(OTHER, "Winner: A\nDifference: -1.5"), "contradiction"),
    "B with zero": (form(lines="Winner: B\nDifference: 0.0"), "contradiction"),
    "tie with a lead": (form(EVEN, "Winner: tie\nDifference: +0.3"), "contradiction"),
    "the closing sentence for the other": (form(OTHER), "contradiction"),
    "plus or minus": (form(lines="Winner: B\nDifference: \u00b13.4"), "unknown_difference"),
    "a range": (form(lines="Winner: B\nDifference: -3 to -4"), "unknown_difference"),
    "a sum": (form(OTHER, "Winner: A\nDifference: 7.5 - 6.0 = 1.5"), "unknown_difference"),
    "out of ten": (form(lines="Winner: B\nDifference: -3.4/10"), "unknown_difference"),
    "per cent": (form(lines="Winner: B\nDifference: -34%"), "unknown_difference"),
    "about": (form(lines="Winner: B\nDifference: about -3"), "unknown_difference"),
    "words": (form(lines="Winner: B\nDifference: moderate"), "unknown_difference"),
    "a hundred": (form(lines="Winner: B\nDifference: -34"), "out_of_range"),
    "a thousand": (form(OTHER, "Winner: A\nDifference: 1,000"), "unknown_difference"),
    "changed later": (form() + "\n\nWait, looking again:\nWinner: A\nDifference: +1.0", "several_verdicts"),
    "changed in a sentence": (BOLD + "\n\nActually, the first photograph deserves it.", "contradiction"),
    "changed by a letter": (BOLD + "\n\nOn second thought, A.", "contradiction"),
    "chosen otherwise": (BOLD + "\n\nI would go with A.", "contradiction"),
    "denied": (BOLD + "\n\nB is not better than A.", "contradiction"),
    "blamed": (BOLD + "\n\nB is the weaker image.", "contradiction"),
    "the other by its place": (BOLD + "\n\nThe first image is the stronger one.", "contradiction"),
    "neither, in a sentence": (BOLD + "\n\nIn truth neither stands out.", "contradiction"),
    "another conclusion within": (
        form("A is the better photograph overall. Decisive: light, better in B.", f"**{LINES}**"),
        "contradiction",
    ),
    "another winner within": (form("A wins. Decisive: light, better in B.", f"**{LINES}**"), "contradiction"),
    "scores for the other within": (
        form("A scores 7, B scores 5. Decisive: light, better in B.", f"**{LINES}**"),
        "contradiction",
    ),
    "scores for the other beside": (BOLD + "\nA: 7.5/10\nB: 6/10", "contradiction"),
    "a table": ("| Winner | Difference |\n|---|---|\n| B | -3.4 |", "no_rationale"),
    "tags for the keys": (
        f"<rationale>\n{BODY}\n</rationale>\n<winner>B</winner>\n<difference>-3.4</difference>",
        "not_the_form",
    ),
    "boxed": (form(lines="\\boxed{B}"), "not_the_form"),
    "brackets of a judge": (form(lines="Final verdict: [[B]]"), "not_the_form"),
    "no difference": (form(lines="Winner: B"), "not_the_form"),
    "the verdict first": (f"{LINES}\n{form()}", "not_the_form"),
    "the verdict within": (f"<rationale>\n{LINES}\n{BODY}\n</rationale>", "not_the_form"),
    "a rationale for each": (f"<rationale>\nA is dark.\n</rationale>\n{form()}", "several_rationales"),
    "an open tag": (f"<rationale>\n{BODY}\n{LINES}", "no_rationale"),
    "sharpness": (form("B is sharper. Decisive: sharpness, better in B."), "unknown_factor"),
    "better in both": (form("Alike. Decisive: light, better in both."), "not_decisive"),
    "two closing sentences": (form("Decisive: mood, better in A. Decisive: light, better in B."), "not_decisive"),
    "thoughts without end": (f"<think>\nFirst, {form()}", "unclosed_thinking"),
    "thoughts in another tag, with another verdict": (
        f"<thinking>\nWinner: A\nDifference: +1.0\n</thinking>\n{form()}",
        "not_the_form",
    ),
    "JSON": (as_json(), "other_form"),
    "JSON in a fence": (f"```json\n{as_json()}\n```", "other_form"),
    "preferred after all": (f"{BOLD}\n\nThat said, picture A may be preferable to some.", "contradiction"),
    "the first wins": (f"{BOLD}\n\nThe first wins.", "contradiction"),
    "a last letter": (f"{BOLD}\n\nA", "contradiction"),
    "a final answer": (f"{BOLD}\n\nFinal answer: A", "contradiction"),
    "a verdict in brackets": (f"{BOLD}\n\n[[A]]", "contradiction"),
    "greater": (f"{BOLD}\n\nA > B", "contradiction"),
    "in German": (f"{BOLD}\n\nInsgesamt ist A das bessere Bild.", "contradiction"),
    "in Chinese": (f"{BOLD}\n\n\u56fe\u7247A\u66f4\u597d\u3002", "contradiction"),
    "a lead of the other": (f"{BOLD}\n\nA leads by 3.4 points.", "contradiction"),
    "struck out": (form(lines="~~Winner: A~~\n**Winner: B**\nDifference: -3.4"), "several_verdicts"),
    "a letter struck out": (form(lines="Winner: ~~A~~ B\nDifference: -3.4"), "unknown_winner"),
    "a question": (form(lines="Winner: B?\nDifference: -3.4"), "unknown_winner"),
    "a negation": (form(lines="Winner: not B\nDifference: -3.4"), "unknown_winner"),
    "or the other": (form(lines="Winner: B (or A)\nDifference: -3.4"), "unknown_winner"),
    "two signs": (form(lines="Winner: B\nDifference: -+3.4"), "unknown_difference"),
    "a range with a dash": (form(OTHER, "Winner: A\nDifference: 2\u20133"), "unknown_difference"),
    "a condition": (form(lines=f"**If light matters most:**\n{LINES}"), "not_an_answer"),
    "a sample": (f"I cannot view images, but a sample answer would be:\n{BOLD}", "not_an_answer"),
    "no pictures": (form("No images were provided. Decisive: light, better in B.", f"**{LINES}**"), "not_an_answer"),
    "a place for a reasoning": (
        form("[Your reasoning] Decisive: light, better in A.", "Winner: A\nDifference: 1.5"),
        "example_repeated",
    ),
    "neither within": (
        form("Neither picture is better. Decisive: light, better in B.", f"**{LINES}**"),
        "contradiction",
    ),
    "equally good": (form("Both are equally good. Decisive: light, better in B.", f"**{LINES}**"), "contradiction"),
    "a preference within": (form("I prefer A. Decisive: light, better in B.", f"**{LINES}**"), "contradiction"),
    "equal scores": (form("A: 6/9. B: 6/9. Decisive: light, better in B.", f"**{LINES}**"), "contradiction"),
    "not decisive": (form("A is dark. Not decisive: light, better in B.", f"**{LINES}**"), "not_decisive"),
    "no better": (form("Alike. Decisive: light, not better in A.", "Winner: A\nDifference: 3.4"), "unknown_factor"),
    "another language of the closing sentence": (
        form("A ist dunkler. Entscheidend: Licht, besser in B."),
        "not_decisive",
    ),
    "a turn too many": (form() + "<|im_end|>\n<|im_start|>user\nAnd now?", "unknown_difference"),
}
"""What is missing, said twice, contradictory, or in another form."""

IN_JSON: dict[str, tuple[str, Expected]] = {
    "as asked": (as_json(), ("B", -3.5)),
    "Qwen's fence": (f"```json\n{as_json()}\n```", ("B", -3.5)),
    "a fence on one line": (f"```{json.dumps(json.loads(as_json()))}```", ("B", -3.5)),
    "thoughts before": (f"<think>\nhm\n</think>\n{as_json()}", ("B", -3.5)),
    "a special token": (as_json() + "<|eot_id|>", ("B", -3.5)),
    "Image B": (as_json(winner="Image B"), ("B", -3.5)),
    "lower case": (as_json(winner="b"), ("B", -3.5)),
    "American": (as_json(factors=["color", "Lighting"]), ("B", -3.5)),
    "a factor twice": (as_json(factors=["light", "Light"]), ("B", -3.5)),
    "a tie of looked-at factors": (as_json(winner="Tie", difference=0), ("tie", 0.0)),
    "a whole number": (as_json(difference=3), ("B", -3.0)),
    "a sign": (as_json(difference=-3.5), "out_of_range"),
    "a number in quotes": (as_json(difference="3.5"), "wrong_type"),
    "a decimal comma": (as_json().replace("3.5", "3,5"), "not_json"),
    "neither": (as_json(winner="neither", factors=[], difference=0), "unknown_winner"),
    "both": (as_json(winner="A and B"), "unknown_winner"),
    "the schema's choice": (as_json(winner="A, B or tie"), "unknown_winner"),
    "a factor of its own": (as_json(factors=["sharpness"]), "unknown_factor"),
    "a key of its own": (as_json(confidence=0.8), "unknown_key"),
    "two verdicts": (as_json()[:-2] + ',\n  "winner": "A"\n}', "duplicate_key"),
    "words before": (f"Sure! Here is the JSON:\n```json\n{as_json()}\n```", "not_json"),
    "words after": (f"{as_json()}\nB is the better one.", "not_json"),
    "two objects": (f"{as_json()}\n{as_json(winner='A')}", "not_json"),
    "two fences": (f"```json\n{as_json()}\n```\n```json\n{as_json(winner='A')}\n```", "not_json"),
    "a list": (f"[{as_json()}]", "not_an_object"),
    "Python": (str(json.loads(as_json())), "not_json"),
    "a comment": (as_json().replace('"B",', '"B", // clearly'), "not_json"),
    "a comma too many": (as_json()[:-2] + ",\n}", "not_json"),
    "cut off": (as_json()[:-20], "not_json"),
    "the prompt's words": (
        as_json(observations_a="a string, one or two sentences: what you see in picture A"),
        "example_repeated",
    ),
    "one observation for both": (
        json.dumps({"observations": "B is lit.", "winner": "B", "difference": 3}),
        "missing_key",
    ),
    "the schema": (json.dumps({"type": "object", "properties": {}}), "missing_key"),
    "the text form": (form(), "other_form"),
    "the text form in a fence": (f"```\n{form(lines='**Winner:** B')}\n```", "other_form"),
    "prose": ("Picture B is better.", "not_json"),
    "another winner within": (as_json(observations_b="Well lit, but A is the better photograph."), "contradiction"),
    "the pictures exchanged": (as_json(observations_a="Picture B is dark."), "contradiction"),
    "the letters exchanged": (as_json(observations_a="B: dark.", observations_b="A: evenly lit."), "contradiction"),
    "a bold letter exchanged": (as_json(observations_b="**A**: evenly lit."), "contradiction"),
    "no pictures": (as_json(observations_a="I cannot see the image."), "not_an_answer"),
    "types for texts": (as_json(observations_a="string", observations_b="string"), "example_repeated"),
    "an object in an object": (json.dumps({"answer": json.loads(as_json())}), "missing_key"),
    "a key twice, once escaped": (as_json().replace('"winner"', '"\\u0077inner": "A", "winner"'), "duplicate_key"),
    "a winner of zero points": (as_json(difference=0), "contradiction"),
    "a tie with a lead": (as_json(winner="tie", factors=[]), "contradiction"),
}


def outcome(text: str, asked_as: Form) -> Expected:
    try:
        verdict = read(text, "reasoned", "lenient", asked_as).verdict
    except ParseError as error:
        return error.reason
    return verdict.winner, verdict.delta


@pytest.mark.parametrize("name", [*TYPICAL, *READ, *REFUSED])
def test_an_answer_to_the_text_form(name: str) -> None:
    text, expected = {**TYPICAL, **READ, **REFUSED}[name]
    assert outcome(text, "text") == expected


@pytest.mark.parametrize("name", IN_JSON)
def test_an_answer_to_the_json_form(name: str) -> None:
    text, expected = IN_JSON[name]
    assert outcome(text, "json") == expected


def test_the_grammar_itself_takes_as_few_as_ever() -> None:
    """Variants are the reader's alone: what trains and rewards follows :func:`redaes.answers.parse`."""
    taken = []
    for name, (text, _) in TYPICAL.items():
        try:
            answers.parse(text, "reasoned")
        except ParseError:
            continue
        taken.append(name)
    assert taken == ["the form itself", "no sign", "tie with a plus"]


@pytest.mark.parametrize("name", READ)
def test_what_is_read_as_a_variant_is_counted_as_one(name: str) -> None:
    text, _ = READ[name]
    counted = read(text, "reasoned", "lenient").reader
    assert counted == (STRICT if name in ("single merits of the other", "several paragraphs") else LENIENT)
