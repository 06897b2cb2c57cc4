"""Planner, check and rationale writer against a real server with scripted answers; features of tiny real models."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from openai_server import Call, Drop, Fault, OpenAIServer, Say, Script
from PIL import Image

from redaes import prompts
from redaes.backends.endpoint import Endpoint
from redaes.backends.pictures import EncodedPicture
from redaes.datagen.filters import EditCheck, EditTask, Similarity, check_edits
from redaes.datagen.instructions import Wish, draw_wishes
from redaes.datagen.planner import InstructionPlan, PlanTask, plan_instructions
from redaes.datagen.rationales import (
    EXPLANATIONS,
    PairObservation,
    RationaleTask,
    Written,
    contradictions,
    write_with_model,
)
from redaes.errors import BackendError, InputError
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.types import Rationale

T = TypeVar("T")
RED, BLUE = (EncodedPicture(Image.new("RGB", (16, 12), colour)) for colour in ("red", "blue"))
WISHES = (Wish("light", "degrade", "strong"), Wish("mood", "improve", "slight"), Wish("focus", "degrade", "clear"))


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REDAES_API_KEY", raising=False)


def served(script: Script, work: Callable[[Endpoint], Awaitable[T]], **settings: Any) -> tuple[T, list[Call]]:
    """What the work gives with a server that answers by the script, and what the server was asked."""

    async def run(base_url: str) -> T:
        async with Endpoint(base_url, "judge", **{"backoff_s": 0.01, "timeout_s": 10.0, **settings}) as endpoint:
            return await work(endpoint)

    with OpenAIServer(script) as server:
        return asyncio.run(run(server.base_url)), server.calls


# --- Planner ------------------------------------------------------------------------------------------


def item(wish: Wish, text: str = "Darken the red wall.", **changes: Any) -> dict[str, Any]:
    return {**wish._asdict(), "text": text, **changes}


def planned(*answers: Any, **settings: Any) -> tuple[list[InstructionPlan], list[Call]]:
    """One task per answer, told apart by their pictures' widths; an answer is a list of items, or what is sent."""

    def script(call: Call) -> Any:
        answer = answers[call.pictures()[0].width - 16]
        return Say(json.dumps({"instructions": answer})) if isinstance(answer, list) else answer

    tasks = [PlanTask(EncodedPicture(Image.new("RGB", (16 + n, 12))), WISHES) for n in range(len(answers))]
    return served(script, lambda endpoint: plan_instructions(endpoint, tasks), **settings)


def test_a_plan_names_what_was_asked_for() -> None:
    good = [item(wish, f"Change the wall number {n}.") for n, wish in enumerate(reversed(WISHES))]
    (plan,), (call,) = planned(good)
    assert [one.wish for one in plan.instructions] == list(reversed(WISHES))
    assert {one.template_id for one in plan.instructions} == {prompts.load("edit_plan/v1").id}
    assert (plan.missing, plan.rejected, plan.failure) == ((), {}, None)
    for wish in WISHES:
        assert f"- {wish.factor}, {wish.direction}, {wish.strength}\n" in call.text
    schema = call.body["response_format"]["json_schema"]["schema"]
    assert "mood" in json.dumps(schema)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (item(WISHES[0], factor="sound"), "unknown_factor"),
        (item(WISHES[0], direction="neutral"), "unknown_direction"),
        (item(WISHES[0], strength="huge"), "unknown_strength"),
        (item(WISHES[0], factor="colour"), "not_asked"),
        (item(WISHES[0], direction="improve"), "not_asked"),
        (item(WISHES[0], "Blacken the red wall."), "duplicate"),
        (item(WISHES[1], "  darken THE red wall. "), "duplicate"),
        (item(WISHES[1], " ... "), "empty"),
        (item(WISHES[1], "very " * 30 + "dark"), "too_long"),
        (item(WISHES[1], "Darken\nthe wall."), "not_plain"),
        (item(WISHES[1], "Darken {{first}}."), "not_plain"),
        (item(WISHES[1], why="it suits"), "not_an_instruction"),
        (item(WISHES[1], text=7), "not_an_instruction"),  # type: ignore[arg-type]
        ("Darken the wall.", "not_an_instruction"),
    ],
)
def test_an_unusable_instruction_is_counted_and_costs_only_itself(wrong: Any, reason: str) -> None:
    first, last = item(WISHES[0]), item(WISHES[2], "Blur the wall.")
    (plan,), _ = planned([first, wrong, last])
    assert plan.rejected == {reason: 1}
    assert [one.wish for one in plan.instructions] == [WISHES[0], WISHES[2]]
    assert plan.missing == (WISHES[1],)
    assert plan.failure is None


def test_what_the_model_leaves_out_is_missing_and_not_made_up() -> None:
    (plan,), _ = planned([])
    assert (plan.instructions, plan.missing, plan.rejected, plan.failure) == ((), WISHES, {}, None)


def test_garbage_is_a_failure_with_a_name() -> None:
    plans, _ = planned(
        Say("Certainly! Here are some ideas."),
        Say("[]"),
        Say('{"instructions": {}}'),
        Say('{"instructions": [], "note": 1}'),
        Say('{"instructions": [', finish_reason="length"),
        Say(None, refusal="no"),
        Fault(400),
        Drop(),
        [item(WISHES[0])],
        max_retries=1,
    )
    assert [plan.failure for plan in plans] == [
        "not_json", "not_the_schema", "not_the_schema", "not_the_schema", "cut_off", "refused", "http_400",
        "connection", None,
    ]  # fmt: skip
    assert all(plan.missing == WISHES and not plan.instructions for plan in plans[:-1])
    assert len(plans[-1].instructions) == 1


def test_a_busy_server_is_asked_again() -> None:
    answer = Say(json.dumps({"instructions": [item(WISHES[0])]}))
    (plan,), calls = served(
        lambda call: Fault(503) if call.attempt < 2 else answer,
        lambda endpoint: plan_instructions(endpoint, [PlanTask(RED, WISHES)]),
    )
    assert len(calls) == 3
    assert plan.failure is None


def test_plans_without_wishes_or_with_one_twice_are_refused() -> None:
    for wishes in ((), (WISHES[0], WISHES[0])):
        with pytest.raises(InputError, match="wishes"):
            PlanTask(RED, wishes)
    assert PlanTask(RED, tuple(draw_wishes(48, 0)))


# --- Check --------------------------------------------------------------------------------------------


def seen(**changes: Any) -> Say:
    return Say(
        json.dumps({"executed": True, "content_kept": True, "artefacts": False, "seen": "It is dark.", **changes})
    )


def checked(answer: Any) -> EditCheck:
    task = EditTask(RED, BLUE, "Darken the red wall.")
    (check,), calls = served(lambda call: answer, lambda endpoint: check_edits(endpoint, [task]), max_retries=0)
    assert '"Darken the red wall."' in calls[0].text
    before, after = calls[0].pictures()
    assert before.getpixel((0, 0))[0] > after.getpixel((0, 0))[0]  # type: ignore[index]
    return check


def test_an_edit_passes_or_is_rejected_by_name() -> None:
    assert checked(seen()).passed
    assert checked(seen(executed=False)).rejected == ("not_executed",)
    assert checked(seen(content_kept=False)).rejected == ("content_changed",)
    assert checked(seen(executed=False, content_kept=False, artefacts=True)).rejected == (
        "not_executed", "content_changed", "artefacts",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Say("yes"), "not_json"),
        (Say("true"), "not_the_schema"),
        (seen(executed="yes"), "not_the_schema"),
        (seen(more=1), "not_the_schema"),
        (Say('{"executed": true', finish_reason="length"), "cut_off"),
        (Fault(500), "http_500"),
    ],
)
def test_an_edit_that_could_not_be_checked_has_not_passed(answer: Any, failure: str) -> None:
    check = checked(answer)
    assert (check.failure, check.rejected, check.passed) == (failure, (), False)


# --- Rationales ---------------------------------------------------------------------------------------

CLEAN = Measurements(width=256, height=192, values={"brightness": 52.4, "contrast": 22.0, "sharpness": 3.0})
DARK = Measurements(width=256, height=192, values={"brightness": 20.1, "contrast": 9.0, "sharpness": 3.02})
PAIR = PairObservation(PairEvidence(first=CLEAN, second=DARK, registration=None))
SAME = PairObservation(PairEvidence(first=CLEAN, second=CLEAN, registration=None))
TOLD = "Make the picture far too dark, with shadows that lose their detail."
TASK = RationaleTask(RED, BLUE, PAIR, 4.0, ("light",), None, TOLD, seed=3)
BODY = (
    "In A the window light falls softly on the table and the shadows keep their detail. B lies in deep shadow: the cup "
    "is dark and its rim is lost. A is far better."
)
GOOD = f"{BODY} Decisive: light, better in A."
LEAK = GOOD.replace("B lies", "B was edited and lies")


def written(
    script: Script, task: RationaleTask = TASK, endpoint_settings: dict[str, Any] | None = None, **settings: Any
) -> tuple[Written, list[Call]]:
    (one,), calls = served(
        script, lambda endpoint: write_with_model(endpoint, [task], **settings), **(endpoint_settings or {})
    )
    return one, calls


def test_good_reasoning_is_kept_and_signed() -> None:
    one, (call,) = written(lambda call: Say(GOOD))
    assert one.writer == "vlm"
    assert one.rationale == Rationale(text=BODY, factors=("light",), better="A")
    assert (one.rejected, one.failure, one.n_texts) == ({}, None, 1)
    assert "A is far better, by 4.0 on a scale of 9." in call.text
    assert f'B is what an editor made on being told "{TOLD}"' in call.text
    assert "A is as it was taken" in call.text
    assert "brightness: A 52, B 20 L*\n" in call.text
    assert '"Decisive: light, better in A."' in call.text


def test_a_rejected_text_goes_back_with_its_faults() -> None:
    one, calls = written(lambda call: Say(LEAK if call.index == 0 else GOOD))
    assert (one.writer, one.n_texts) == ("vlm", 2)
    assert one.rejected == {"mentions_editing": 1}
    roles = [message["role"] for message in calls[1].body["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert calls[1].body["messages"][1]["content"] == LEAK
    assert EXPLANATIONS["mentions_editing"] in calls[1].text
    # The pictures are still there, in the first turn.
    assert sum(part["type"] == "image_url" for part in calls[1].body["messages"][0]["content"]) == 2


def test_what_the_measurements_contradict_goes_back_with_the_figures() -> None:
    wrong = GOOD.replace("A is far better.", "B is brighter than A, though. A is far better.")
    one, calls = written(lambda call: Say(wrong if call.index == 0 else GOOD))
    assert (one.writer, one.n_texts, one.rejected) == ("vlm", 2, {"contradicts_measurement": 1})
    again = calls[1].body["messages"][2]["content"]
    assert EXPLANATIONS["contradicts_measurement"] in str(again)
    assert "brightness is 52 in A and 20 in B" in str(again)


def test_the_model_is_told_what_does_not_differ() -> None:
    _, (call, *_) = written(lambda call: Say(GOOD))
    assert re.search(r"^sharpness: A \S+, B .*\(no difference\)$", call.text, re.MULTILINE)


def test_after_the_last_rewrite_the_embedded_writer_signs() -> None:
    one, calls = written(lambda call: Say(LEAK), max_rewrites=2)
    assert len(calls) == one.n_texts == 3
    assert one.writer == "embedded"
    assert one.rejected == {"mentions_editing": 3}
    assert contradictions(one.rationale, 4.0, ("light",)) == []


@pytest.mark.parametrize(
    ("answer", "failure", "n_texts"), [(Fault(400), "http_400", 0), (Say(BODY, finish_reason="length"), "cut_off", 1)]
)
def test_no_answer_is_recorded_with_its_reason(answer: Any, failure: str, n_texts: int) -> None:
    mine = Rationale(text="B is dark.", factors=("light",), better="A")
    one, calls = written(lambda call: answer, otherwise=lambda task: mine)
    assert (one.writer, one.failure, one.n_texts, len(calls)) == ("embedded", failure, n_texts, 1)
    assert one.rationale == mine


def test_a_spent_budget_does_not_lose_what_was_written() -> None:
    tasks = [TASK, TASK.swapped()]
    answer = {"A": GOOD, "B": LEAK}
    script = lambda call: Say(answer["A" if "better in A" in call.text else "B"])  # noqa: E731
    results, calls = served(script, lambda endpoint: write_with_model(endpoint, tasks), max_calls=2, concurrency=1)
    assert len(calls) == 2
    assert [one.writer for one in results] == ["vlm", "embedded"]
    assert results[1].failure == "budget_exhausted"


def test_the_other_order_is_asked_for_anew() -> None:
    turned = TASK.swapped()
    assert turned.swapped() == TASK
    one, (call,) = written(lambda call: Say(GOOD), turned, max_rewrites=0)
    assert "B is far better" in call.text
    assert "brightness: A 20, B 52 L*\n" in call.text
    assert set(one.rejected) >= {"wrong_side", "concludes_otherwise"}
    assert one.rationale.better == "B"


def test_a_tie_is_asked_for_as_one() -> None:
    tie = RationaleTask(RED, BLUE, SAME, 0.0, (), None, None, seed=0)
    text = (
        "The same cup stands in the same window light in A and in B, as bright and as sharp in one as in the other, "
        "and nothing tells them apart. Decisive: nothing."
    )
    one, (call,) = written(lambda call: Say(text), tie)
    assert (one.writer, one.rationale.better) == ("vlm", "tie")
    assert "neither, they are equally good." in call.text


def test_tasks_and_settings_that_contradict_themselves() -> None:
    with pytest.raises(InputError, match="a tie has none"):
        RationaleTask(RED, BLUE, PAIR, 4.0, (), None, None, seed=0)
    with pytest.raises(InputError, match="max_rewrites"):
        written(lambda call: Say(GOOD), max_rewrites=-1)


# --- Features -----------------------------------------------------------------------------------------


def dinov2(folder: Path) -> None:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14, initializer_range=0.2
    )
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}).save_pretrained(folder)


def siglip(folder: Path) -> None:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**shared, "vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        vision_config={**shared, "image_size": 64, "patch_size": 16},
    )
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


@pytest.mark.parametrize("make", [dinov2, siglip])
def test_features_of_a_real_model(make: Callable[[Path], None], tmp_path: Path, photo_folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    make(tmp_path)
    similarity = Similarity(tmp_path)
    one, other = (Image.open(photo_folder / f"photo{n}.png") for n in (1, 3))
    assert similarity(one, one) == pytest.approx(1.0, abs=1e-5)
    assert similarity(one, other) < 0.9999
    assert similarity(one, other) == pytest.approx(similarity(other, one), abs=1e-5)


def test_a_folder_without_a_vision_model(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no such model folder"):
        Similarity(tmp_path / "absent")
    with pytest.raises(BackendError, match="no vision model"):
        Similarity(tmp_path)
