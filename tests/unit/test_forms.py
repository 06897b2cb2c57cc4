"""Which form a model is asked in, and what becomes of its answers in JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from redaes import prompts
from redaes.assessing import terminal
from redaes.assessor import Assessor, Result
from redaes.backends.base import Answer, Backend, Request
from redaes.backends.failures import Failure
from redaes.backends.forms import JSON_SAMPLING, find_form, form_of_weights, known_form
from redaes.backends.next_token import NextToken
from redaes.errors import EndpointError, InputError
from redaes.images import LoadedImage, picture_in_memory
from redaes.types import Form, Sampling

TEXT = "<rationale>\nDark. Decisive: light, better in A.\n</rationale>\nWinner: A\nDifference: +2.0"
BOLD = TEXT.replace("Winner: A", "**Winner: A**")


def said(winner: str = "A", difference: float = 2.0, **changes: Any) -> str:
    value = {
        "observations_a": "Bright.",
        "observations_b": "Dark.",
        "factors": [] if winner == "tie" else ["light"],
        "winner": winner,
        "difference": difference,
    }
    return json.dumps({**value, **changes})


class Model:
    """Writes what it is told to, and reads nothing."""

    model, revision = "judge", "r1"

    def __init__(
        self, *texts: str, form: Form | None = None, reader: str | None = None, held: str | None = None
    ) -> None:
        self.texts = texts
        self.asked: list[Request] = []
        self.held = held
        self.n_forms = 0
        if reader is not None:
            self.reader = reader
        self._form = form

    @property
    def form(self) -> Form:
        self.n_forms += 1
        if self._form is None:
            raise AttributeError("form")
        return self._form

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        found: list[Answer | Failure] = []
        for request in requests:
            if request.choices:
                found.append(Failure("no_logprobs", "the server reports none"))
                continue
            self.asked.append(request)
            text = self.texts[(len(self.asked) - 1) % len(self.texts)]
            found.append(Answer(text, held_by=self.held))
        return found


def picture(colour: str) -> LoadedImage:
    return picture_in_memory(Image.new("RGB", (8, 8), colour))


def compared(backend: Backend, **settings: Any) -> Result:
    return Assessor(backend, **settings).compare_many([(picture("white"), picture("black"))])[0]


def test_both_orders_are_put_together_from_json() -> None:
    model = Model(said("A", 2.0), said("B", 3), form="json", held="response_format")
    result = compared(model)
    assert (result.winner, result.delta, result.probability, result.form) == ("A", 2.5, None, "json")
    assert result.rationale == "A: Bright. B: Dark."
    assert result.factors == ("light",)
    assert result.prompt_id == prompts.load("compare_json/v1").id
    assert {(one.form, one.held_by, one.reader) for one in result.comparisons} == {
        ("json", "response_format", "strict")
    }
    assert {request.sampling for request in model.asked} == {JSON_SAMPLING}
    assert result.as_json()["form"] == "json"


def test_the_fast_question_is_asked_beside_it_in_the_text_form() -> None:
    class Reading(Model):
        def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
            read = [request for request in requests if request.choices]
            assert {request.prompt.name for request in read} <= {"compare_fast/v1"}
            if read:
                odds = (-0.1, -2.5, -9.0) if len(self.asked) < 3 else (-2.5, -0.1, -9.0)
                one = NextToken.exactly(dict(zip((" A", " B", " tie"), odds, strict=True)))
                return [Answer(None, one) for _ in read]
            return super().answer(requests)

    (result,) = Assessor(Reading(said("A"), said("B"), form="json")).compare_many(
        [(picture("white"), picture("black"))]
    )
    assert [one.probability_from for one in result.comparisons] == ["exact", "exact"]
    assert {one.read_with for one in result.comparisons} == {prompts.load("compare_fast/v1").id}


@pytest.mark.parametrize(("form", "name"), [("text", "compare/v1"), ("json", "compare_json/v1")])
def test_the_form_is_the_models_unless_told_otherwise(form: Form, name: str) -> None:
    assert Assessor(Model("", form=form)).prompt_of("reasoned").name == name
    assert Assessor(Model("")).prompt_of("reasoned").name == "compare/v1"
    other: Form = "text" if form == "json" else "json"
    assert Assessor(Model("", form=other), form=form).prompt_of("reasoned").name == name
    assert Assessor(Model("", form=other), prompt=name).prompt_of("reasoned").name == name
    measured = Assessor(Model("", form=form), prompt="compare_measured/v1", form="auto")
    assert prompts.form_of(measured.prompt_id) == form
    assert measured.prompt_of("fast").name == "compare_fast_measured/v1"


def test_a_fast_question_needs_no_form() -> None:
    model = Model("Winner: A\nDifference: +2.0", "Winner: B\nDifference: -2.0", form="json")
    result = compared(model, mode="fast")
    assert (result.form, result.winner, model.n_forms) == ("text", "A", 0)
    assert Assessor(model, mode="fast").sampling == Sampling()


def test_a_prompt_in_other_words_is_in_the_text_form_alone() -> None:
    assert Assessor(Model("", form="json"), prompt="compare_paraphrase/v1", form="auto").form == "text"
    with pytest.raises(InputError, match="compare_paraphrase/v1"):
        Assessor(Model(""), prompt="compare_paraphrase/v1", form="json")
    with pytest.raises(InputError, match="known: auto, text, json"):
        Assessor(Model(""), form="xml")  # type: ignore[arg-type]


def test_an_answer_in_the_other_form_is_a_failure() -> None:
    assert compared(Model(TEXT), form="json", reader="lenient").failure == "forward: other_form; swapped: other_form"
    assert compared(Model(said()), form="text", reader="lenient").failure == "forward: other_form; swapped: other_form"
    assert compared(Model(TEXT), form="json", reader="strict").failure == "forward: not_json; swapped: not_json"


def test_a_fence_is_taken_and_counted_where_variants_are_read() -> None:
    fenced = [f"```json\n{said(winner)}\n```" for winner in ("A", "B")]
    result = compared(Model(*fenced, form="json", reader="lenient"))
    assert result.winner == "A"
    assert {one.reader for one in result.comparisons} == {"lenient/v2"}
    assert any("lenient/v2" in note for note in result.notes)
    assert compared(Model(*fenced, form="json", reader="strict")).winner is None


def test_weights_tell_by_what_lies_beside_them(tmp_path: Path) -> None:
    assert form_of_weights("Qwen/Qwen3-VL-2B-Instruct", tmp_path, None) == "json"
    assert form_of_weights("Qwen/Qwen3-VL-2B-Instruct", None, None) == "json"
    assert form_of_weights("Qwen/Qwen3-VL-2B-Instruct", tmp_path, tmp_path) == "text"
    assert form_of_weights("redaes/nano", tmp_path, None) == "text"
    (tmp_path / "run_record.json").write_text("{}", encoding="utf-8")
    assert form_of_weights("merged", tmp_path, None) == "text"


@pytest.mark.parametrize(
    ("answer", "holds", "form"),
    [
        (TEXT, True, "text"),
        (TEXT, False, "text"),
        (BOLD, True, "json"),
        (BOLD, False, "text"),
        ("B is the better photograph.", False, "json"),
        ("", True, "json"),
    ],
)
def test_one_question_tells_which_form_suits(answer: str, holds: bool, form: Form) -> None:
    model = Model(answer)
    assert find_form(model, lambda: holds) == form
    assert [request.prompt.name for request in model.asked] == ["compare/v1"]


def test_whether_a_server_holds_to_a_schema_is_asked_only_where_it_decides() -> None:
    def never() -> bool:
        raise AssertionError("asked")

    assert find_form(Model(TEXT), never) == "text"
    assert find_form(Model("no form at all"), never) == "json"


def test_a_server_that_answers_nothing_has_no_form() -> None:
    class Gone(Model):
        def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
            return [Failure("http_503", "loading") for _ in requests]

    with pytest.raises(EndpointError, match="loading"):
        find_form(Gone(""), lambda: True)


def test_forms_are_asked_for_by_name() -> None:
    assert [known_form(name) for name in ("auto", "text", "json")] == ["auto", "text", "json"]
    with pytest.raises(InputError, match="known: auto, text, json"):
        known_form("JSON")


@pytest.mark.parametrize(
    ("held", "shown"),
    [("response_format", "JSON form held by response_format"), (None, "JSON form by the prompt alone")],
)
def test_the_terminal_says_which_form_was_used(
    held: str | None, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.show(compared(Model(said("A"), said("B"), form="json", held=held)))
    assert shown in capsys.readouterr().out.replace("\n", " ")
    terminal.show(compared(Model(TEXT, TEXT.replace("A", "B").replace("+", "-"))))
    assert "form" not in capsys.readouterr().out.rpartition("compare/v1")[2]


def test_what_was_not_held_and_failed_is_said() -> None:
    def noted(*texts: str, held: str | None = None) -> bool:
        notes = compared(Model(*texts, form="json", held=held)).notes
        return any("only the prompt, and no grammar" in note for note in notes)

    assert noted(said("A"), "no JSON")
    assert not noted(said("A"), "no JSON", held="grammar")
    assert not noted(said("A"), said("B"))
