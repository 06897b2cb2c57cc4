"""Prompts: pinned texts, slots, and the messages made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from redaes import prompts
from redaes.errors import PromptError

PINNED = json.loads((prompts.directory() / "checksums.json").read_text(encoding="utf-8"))


def _forget() -> None:
    for value in vars(prompts).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A prompts folder of the test's own, with one prompt in it."""
    text = "Left {{left}} and {{right}} right.\n"
    (tmp_path / "x").mkdir()
    (tmp_path / "x/v1.md").write_text(text, encoding="utf-8")
    pinned = {"x/v1": hashlib.sha256(text.encode()).hexdigest()}
    (tmp_path / "checksums.json").write_text(json.dumps(pinned), encoding="utf-8")
    monkeypatch.setattr(prompts, "_PACKAGED", tmp_path)
    _forget()
    yield tmp_path
    _forget()


@pytest.mark.parametrize("name", sorted(PINNED))
def test_every_released_prompt_is_as_released(name: str) -> None:
    prompt = prompts.load(name)
    assert prompt.sha256 == PINNED[name]
    assert prompt.id == f"{name}@{PINNED[name][:12]}"
    assert prompt.text == prompt.text.strip()


def test_every_prompt_file_is_pinned() -> None:
    found = {str(file.relative_to(prompts.directory()).with_suffix("")) for file in prompts.directory().rglob("*.md")}
    assert found == set(PINNED) == set(prompts.names())


def test_every_mode_has_a_prompt_for_two_pictures() -> None:
    assert set(prompts.COMPARE) == {"reasoned", "fast"}
    for name in prompts.COMPARE.values():
        assert prompts.load(name).slots == ("first", "second")
    assert len(prompts.load(prompts.SCORE).slots) == 1


@pytest.mark.parametrize("mode", ["fast", "reasoned"])
def test_paraphrases_ask_for_the_same_form_in_other_words(mode: prompts.Mode) -> None:
    usual = prompts.load(prompts.COMPARE[mode])
    form = usual.text[usual.text.index("Winner: ") :].splitlines()[:2]
    texts = {usual.text}
    for name in prompts.PARAPHRASES[mode]:
        prompt = prompts.load(name)
        assert prompt.slots == ("first", "second")
        assert "\n".join(form) in prompt.text
        assert ("<rationale>" in prompt.text) == (mode == "reasoned")
        texts.add(prompt.text)
    assert len(texts) == 1 + len(prompts.PARAPHRASES[mode])


def test_the_text_decides_the_order_of_words_and_pictures(folder: Path) -> None:
    prompt = prompts.load("x/v1")
    assert prompt.slots == ("left", "right")
    assert prompt.messages() == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Left "},
                {"type": "image"},
                {"type": "text", "text": " and "},
                {"type": "image"},
                {"type": "text", "text": " right."},
            ],
        }
    ]


def _fields(text: str) -> prompts.Prompt:
    return prompts.Prompt(name="x/v1", text=text, sha256="0" * 64)


def test_fields_are_filled_in_one_pass() -> None:
    prompt = _fields("Do {{=what}} to {{picture}}: {{=what}}, {{=how}}.")
    assert prompt.fields == ("what", "how")
    filled = prompt.fill(what="{=how}", how="so")
    assert filled.text == "Do {=how} to {{picture}}: {=how}, so."
    assert filled.id == prompt.id
    assert filled.slots == ("picture",)
    assert [part["type"] for part in filled.messages()[0]["content"]] == ["text", "image", "text"]


def test_an_unfilled_prompt_makes_no_message() -> None:
    with pytest.raises(PromptError, match="needs values for how"):
        _fields("{{=how}}").messages()


@pytest.mark.parametrize("words", [{}, {"how": "so", "why": "because"}, {"why": "because"}])
def test_fields_and_words_must_fit(words: dict[str, str]) -> None:
    with pytest.raises(PromptError, match=r"has the fields \['how'\]"):
        _fields("{{=how}}").fill(**words)


@pytest.mark.parametrize("value", ["{{first}}", "a }} b", "<|im_end|>"])
def test_words_cannot_become_markup(value: str) -> None:
    with pytest.raises(PromptError, match="contain markup"):
        _fields("{{=how}}").fill(how=value)


def test_an_altered_text_is_refused(folder: Path) -> None:
    with (folder / "x/v1.md").open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(PromptError, match=r"v1\.md was changed.*new version"):
        prompts.load("x/v1")


def test_a_missing_text_is_named(folder: Path) -> None:
    (folder / "x/v1.md").unlink()
    with pytest.raises(PromptError, match=r"v1\.md is missing"):
        prompts.load("x/v1")


@pytest.mark.parametrize("name", ["compare/v999", "compare", "", "../prompts/compare/v1"])
def test_an_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(PromptError, match=r"is unknown; give one of .*compare/v1, compare_fast/v1, .*score/v1"):
        prompts.load(name)


def test_no_folder_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "_PACKAGED", tmp_path / "a")
    monkeypatch.setattr(prompts, "_CHECKOUT", tmp_path / "b")
    with pytest.raises(PromptError, match="reinstall"):
        prompts.directory()
