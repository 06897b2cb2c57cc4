"""Local models that were never trained on the form of answers are held to it while they write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CORPUS
from PIL import Image

from redaes import prompts
from redaes.answer_grammars import grammar_of
from redaes.answers import parse
from redaes.backends.base import Answer, Request
from redaes.backends.constrained import FormHolder, FormLogits
from redaes.backends.held_answer import SHORTENED
from redaes.backends.local import LocalBackend
from redaes.errors import BackendError
from redaes.json_form import parse_json
from redaes.models import nano
from redaes.types import Sampling

ANSWER = "<rationale>\nA is darker than B; the shadows block up. Decisive: light, better in B.\n</rationale>\nWinner: B"


def _noise(seed: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, 64, 3), dtype=np.uint8))


def _requests(prompt: str, count: int = 8, prefix: str = "") -> list[Request]:
    """Of two lengths, so that rows of a batch are padded."""
    pairs = [(_noise(index, 64 + 32 * (index % 2)), _noise(index + 1, 64)) for index in range(count)]
    return [Request(prompts.load(prompt), pair, prefix) for pair in pairs]


def _read(answer: Answer, prompt: str) -> None:
    assert answer.text is not None
    if prompts.form_of(prompt) == "json":
        parse_json(answer.text)
    else:
        parse(answer.text, "reasoned")


@pytest.fixture(scope="module")
def backend(tiny_model: Path) -> LocalBackend:
    return LocalBackend(tiny_model, device="cpu", batch_size=3)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("prompt", ["compare/v1", "compare_json/v1"])
def test_every_answer_of_a_random_model_can_be_read(backend: LocalBackend, prompt: str, temperature: float) -> None:
    """At every length that leaves room for the form."""
    for limit in (120, 200):
        for answer in backend.write(_requests(prompt), Sampling(temperature=temperature, max_new_tokens=limit)):
            _read(answer, prompt)
            assert not answer.cut_off
            assert answer.held_by == "llguidance"


def test_without_it_none_can_be_read(tiny_model: Path) -> None:
    free = LocalBackend(tiny_model, device="cpu", constrain=False)
    for answer in free.write(_requests("compare/v1", 2), Sampling(max_new_tokens=120)):
        assert "Winner: " not in (answer.text or "")
        assert answer.held_by is None
        assert answer.cut_off


def test_the_batch_changes_no_greedy_answer(backend: LocalBackend, tiny_model: Path) -> None:
    alone = LocalBackend(tiny_model, device="cpu", batch_size=1)
    sampling = Sampling(max_new_tokens=120)
    requests = _requests("compare/v1", 4)
    assert backend.write(requests, sampling) == alone.write(requests, sampling)


def test_too_few_tokens_cut_it_off(backend: LocalBackend) -> None:
    for answer in backend.write(_requests("compare/v1", 2), Sampling(max_new_tokens=20)):
        assert answer.cut_off
        assert (answer.text or "").lstrip().startswith("<rationale>\n")


def test_a_question_without_a_form_is_answered_freely(backend: LocalBackend, tiny_model: Path) -> None:
    free = LocalBackend(tiny_model, device="cpu", batch_size=3, constrain=False)
    sampling = Sampling(max_new_tokens=12)
    for prompt, prefix in (("compare_fast/v1", ""), ("compare/v1", "Winner:")):
        requests = _requests(prompt, 2, prefix)
        held = backend.write(requests, sampling)
        assert held == free.write(requests, sampling)
        assert all(answer.held_by is None for answer in held)


def test_a_begun_answer_is_gone_on_with(backend: LocalBackend) -> None:
    prefix = "<rationale>\nA is darker than B. Decisive: light, better in A.\n</rationale>\nWinner:"
    for answer in backend.write(_requests("compare/v1", 2, prefix), Sampling(max_new_tokens=60)):
        _read(answer, "compare/v1")
        assert (answer.text or "").startswith(prefix + " A\nDifference: +")


def test_what_is_read_for_the_fast_mode_stays(backend: LocalBackend, tiny_model: Path) -> None:
    free = LocalBackend(tiny_model, device="cpu", batch_size=3, constrain=False)
    requests = _requests("compare_fast/v1", 4, "Winner:")
    backend.write(_requests("compare/v1", 1), Sampling(max_new_tokens=60))  # it has held an answer before
    assert np.array_equal(backend.read(requests, (" A", " B")), free.read(requests, (" A", " B")))


# --- whom it concerns ---------------------------------------------------------------------------------------


def test_models_of_our_own_training_write_freely(tiny_model: Path, tmp_path: Path) -> None:
    """The embedded ones, what a stage or a merge has left, and a model under training."""
    requests = _requests("compare/v1", 1)
    sampling = Sampling(max_new_tokens=8)
    trained = tmp_path / "trained"
    trained.mkdir()
    for file in tiny_model.iterdir():
        (trained / file.name).symlink_to(file)
    (held,) = LocalBackend(trained, device="cpu").write(requests, sampling)
    assert held.held_by
    (trained / "run_record.json").write_text("{}")
    inside = LocalBackend(trained, device="cpu")
    under_training = LocalBackend.from_model(inside._network, inside._processor, "model", "step 1")
    for one in (inside, under_training, LocalBackend(nano.BASE, device="cpu")):
        (free,) = one.write(requests, sampling)
        assert free.held_by is None
    (asked,) = LocalBackend(trained, device="cpu", constrain=True).write(requests, sampling)
    assert asked == held


def test_rollouts_are_not_held() -> None:
    """What a policy is rewarded for must be its own: the trainer generates without anything of this module."""
    root = Path(prompts.__file__).parent
    users = {
        file.relative_to(root).as_posix()
        for file in root.rglob("*.py")
        if "FormLogits" in file.read_text(encoding="utf-8") or "FormHolder" in file.read_text(encoding="utf-8")
    }
    assert users == {"backends/constrained.py", "backends/local.py"}


# --- token by token -----------------------------------------------------------------------------------------


class Written:
    """An answer that is written as a model would that wants these tokens, as far as it may."""

    def __init__(self, tokenizer: Any, *, limit: int = 256, form: str = "compare/v1", chat: str = "") -> None:
        self.tokenizer = tokenizer
        self.end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        holder = FormHolder(tokenizer, [self.end], "tiny")
        answer = holder.begin(prompts.load(form), chat, "", limit)
        assert answer is not None
        self.answer = answer
        self.ids: list[int] = []

    def allowed(self, n_scored: int = 10**6) -> set[int]:
        following = self.answer.following(n_scored)
        return {following} if isinstance(following, int) else set(np.flatnonzero(following).tolist())

    def write(self, text: str) -> Written:
        for token in self.tokenizer(text, add_special_tokens=False)["input_ids"]:
            assert token in self.allowed(), (self.tokenizer.decode(self.ids), self.tokenizer.decode([token]))
            self.put(token)
        return self

    def put(self, token: int) -> None:
        self.answer.wrote(token)
        self.ids.append(token)

    def finish(self, wish: Iterator[int]) -> str:
        """Go on with whatever is allowed of the tokens that are wished for, else with the first that is."""
        while not self.answer.ended:
            allowed = self.allowed()
            wanted = next(wish)
            self.put(wanted if wanted in allowed else min(allowed))
        return str(self.tokenizer.decode(self.ids, skip_special_tokens=True))


def _always(token: int) -> Iterator[int]:
    while True:
        yield token


def test_the_end_of_the_turn_comes_at_the_end_of_the_form_only(tokenizer: Any) -> None:
    written = Written(tokenizer)
    for part in (ANSWER, "\nDifference: -3.4"):
        assert written.end not in written.allowed()
        written.write(part)
    assert written.allowed() == {written.end}
    written.put(written.end)
    assert written.answer.ended
    assert written.answer.changes == ()


def test_a_token_that_was_not_allowed_is_an_error(tokenizer: Any) -> None:
    written = Written(tokenizer)
    with pytest.raises(BackendError, match="left its form"):
        written.put(tokenizer.convert_tokens_to_ids("Z"))


@pytest.mark.parametrize("form", ["compare/v1", "compare_json/v1"])
@pytest.mark.parametrize("byte", ["a", "\u4e00"])
def test_prose_without_end_is_ended_in_time(tokenizer: Any, form: str, byte: str) -> None:
    """Also where a character takes several tokens."""
    wish = tokenizer(byte, add_special_tokens=False)["input_ids"]
    for limit in range(120, 136):
        written = Written(tokenizer, limit=limit, form=form)
        text = written.finish(wish[n % len(wish)] for n in range(1000))
        assert len(written.ids) <= limit
        assert SHORTENED in written.answer.changes
        assert "\ufffd" not in text
        _read(Answer(text), form)
        if form == "compare_json/v1":  # a fair share for each observation
            first, second = (len(text.split('": "')[n]) for n in (1, 2))
            assert first < 4 * second


def test_prose_ends_after_a_sentence_if_one_ends_in_time(tokenizer: Any) -> None:
    written = Written(tokenizer, limit=160)
    room = 160 - written.answer._made.needs[0]
    written.write("<rationale>\n")
    letter = tokenizer.convert_tokens_to_ids("a")
    while len(written.ids) < room - 12:
        written.put(letter)
    written.put(tokenizer.convert_tokens_to_ids("."))
    assert tokenizer.decode(min(written.allowed())).startswith(" ")
    assert written.finish(_always(letter)).split("\n")[1].split(". ")[1].startswith("Decisive: ")


THINKING = "compare/v1"


@pytest.fixture(scope="module")
def thinker(tokenizer: Any) -> Any:
    """A tokenizer with tokens around thoughts, as Qwen3's."""
    from copy import deepcopy

    from tokenizers import AddedToken

    made = deepcopy(tokenizer)
    made.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in ("<think>", "</think>")])
    return made


def test_thoughts_come_first_and_the_form_after_them(thinker: Any) -> None:
    written = Written(thinker).write("<think>\nA < B, I think.\n")
    assert written.end not in written.allowed()
    written.write("</think>")
    assert thinker.convert_tokens_to_ids("<think>") not in written.allowed()
    written.write("\n\n" + ANSWER + "\nDifference: -3.4")
    assert written.allowed() == {written.end}


def test_thoughts_without_end_leave_half_of_the_tokens(thinker: Any) -> None:
    written = Written(thinker, limit=240)
    written.put(thinker.convert_tokens_to_ids("<think>"))
    text = written.finish(_always(thinker.convert_tokens_to_ids("a")))
    thought, answer = text.split("</think>")
    assert len(thought) == len("<think>") + 119
    _read(Answer(answer), THINKING)


def test_no_thoughts_where_the_prompt_has_closed_them(thinker: Any, tokenizer: Any) -> None:
    token = thinker.convert_tokens_to_ids("<think>")
    assert token in Written(thinker, chat="<|im_start|>assistant\n").allowed()
    assert token not in Written(thinker, chat="<|im_start|>assistant\n<think>\n\n</think>\n\n").allowed()
    Written(tokenizer)  # has no such tokens at all


@pytest.mark.parametrize("surplus", [-3, 0, 100])
def test_a_model_may_have_more_tokens_than_its_tokenizer_or_fewer(tokenizer: Any, surplus: int) -> None:
    written = Written(tokenizer)
    limits = FormLogits([written.answer, None], 2)
    scores = torch.zeros(2, len(tokenizer) + surplus)
    found = limits(torch.zeros(2, 2, dtype=torch.long), scores)  # type: ignore[arg-type]
    allowed = set(torch.isfinite(found[0]).nonzero().flatten().tolist())
    assert allowed == {token for token in written.allowed() if token < scores.shape[1]}
    assert torch.isfinite(found[1]).all()


def test_the_corpus_of_the_tiny_model_is_in_the_form() -> None:
    """So a model that knows the form writes with limits what it writes without."""
    import re

    assert re.fullmatch(grammar_of("text").endless, CORPUS[0] + CORPUS[3])
