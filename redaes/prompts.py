"""Prompts: versioned text files, pinned by checksum, rendered in one pass.

A prompt lives in ``prompts/<name>/<version>.md`` and never changes once released: ``checksums.json`` pins
its SHA-256, and a file that differs refuses to load. ``{{slot}}`` marks where a picture goes, so the text
itself decides the order of words and pictures; ``{{=field}}`` marks where words are filled in. The message that
this module renders is the only one there is: training, serving and evaluation all use it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from redaes.errors import PromptError
from redaes.types import Form

Mode = Literal["reasoned", "fast"]

COMPARE: dict[Mode, str] = {"reasoned": "compare/v1", "fast": "compare_fast/v1"}
"""The prompt of each mode of comparing two pictures."""

PARAPHRASES: dict[Mode, tuple[str, ...]] = {
    "reasoned": ("compare_paraphrase/v1", "compare_paraphrase/v2"),
    "fast": tuple(f"compare_fast_paraphrase/v{number}" for number in (1, 2, 3, 4)),
}
"""Paraphrases of the question, to measure how far answers depend on the wording."""

MEASURED: dict[Mode, str] = {"reasoned": "compare_measured/v1", "fast": "compare_fast_measured/v1"}
"""The question with measurements of both pictures (:mod:`redaes.evidence.prompting`)."""

IN_JSON: dict[str, str] = {COMPARE["reasoned"]: "compare_json/v1", MEASURED["reasoned"]: "compare_json_measured/v1"}
"""Prompts in the JSON form, by the same question in the text form; other prompts exist in the text form only."""

EVIDENCE = "evidence"
"""The field of the prompts with measurements that receives them."""

SHORT = "compare_fast_short/v1"
"""Two pictures without a question, for the training in which a model only learns to tell them apart."""

SCORE = "score/v1"
"""The prompt for a single picture."""

_PACKAGED = Path(__file__).with_name("_prompts")
_CHECKOUT = Path(__file__).resolve().parent.parent / "prompts"
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_FIELD = re.compile(r"\{\{=(\w+)\}\}")
_MARKUP = re.compile(r"\{\{|\}\}|<\|")


def known(mode: Mode) -> tuple[str, ...]:
    """Return the names of all prompts that ask about two pictures in a mode, the usual one first."""
    return (COMPARE[mode], MEASURED[mode], *(IN_JSON.values() if mode == "reasoned" else ()), *PARAPHRASES[mode])


def form_of(name: str) -> Form:
    """Return the form in which a prompt asks for its answer, by its name or id.

    >>> form_of("compare_json/v1"), form_of("compare/v1")
    ('json', 'text')
    """
    return "json" if name.partition("@")[0] in IN_JSON.values() else "text"


def in_form(name: str, form: Form) -> str:
    """Return the prompt of the same question in a form; the given prompt if there is none in that form.

    >>> in_form("compare_measured/v1", "json"), in_form("compare_fast/v1", "json")
    ('compare_json_measured/v1', 'compare_fast/v1')
    >>> in_form("compare_json/v1", "text")
    'compare/v1'
    """
    asked = IN_JSON if form == "json" else {json_name: text_name for text_name, json_name in IN_JSON.items()}
    return asked.get(name, name)


def chosen(mode: Mode, name: str | None) -> dict[Mode, str]:
    """Return the prompts of both modes after one was chosen; a prompt with measurements is chosen for both.

    >>> chosen("reasoned", "compare_measured/v1")
    {'reasoned': 'compare_measured/v1', 'fast': 'compare_fast_measured/v1'}
    >>> chosen("fast", "compare_fast_paraphrase/v4")
    {'reasoned': 'compare/v1', 'fast': 'compare_fast_paraphrase/v4'}

    Args:
        mode: the mode that the name belongs to.
        name: one of :func:`known`; None: the usual prompt.

    Raises:
        PromptError: there is no such prompt for the mode.
    """
    if name is None:
        return dict(COMPARE)
    if name not in known(mode):
        raise PromptError(f"prompt {name!r} is not a prompt of the {mode} mode; give one of {', '.join(known(mode))}")
    return {**(MEASURED if in_form(name, "text") == MEASURED[mode] else COMPARE), mode: name}


@dataclass(frozen=True)
class Prompt:
    """One version of one prompt."""

    name: str
    """``name/version``."""
    text: str
    sha256: str
    words: tuple[tuple[str, str], ...] = ()
    """The words that were filled in, by field."""

    @property
    def id(self) -> str:
        """The id that a result carries: ``name/version@hash``."""
        return f"{self.name}@{self.sha256[:12]}"

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the picture slots, in the order of the text."""
        return tuple(_SLOT.findall(self.text))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the places for words, each once, in the order of the text."""
        return tuple(dict.fromkeys(_FIELD.findall(self.text)))

    def fill(self, **words: str) -> Prompt:
        """Return the prompt with its fields filled in, in one pass; its id stays that of the released text.

        Raises:
            PromptError: a field has no words, words have no field, or words would be read as a slot, a field or a
                special token.
        """
        if set(words) != set(self.fields):
            raise PromptError(
                f"prompt {self.name} has the fields {sorted(self.fields)}, but {sorted(words)} were given"
            )
        for name, value in words.items():
            if _MARKUP.search(value):
                raise PromptError(f"prompt {self.name}: the words for {name} contain markup: {value[:80]!r}")
        return replace(
            self, text=_FIELD.sub(lambda match: words[match[1]], self.text), words=tuple(sorted(words.items()))
        )

    def filled_like(self, other: Prompt) -> Prompt:
        """Return the prompt with the words of another in its fields, which asks the same in another mode.

        Raises:
            PromptError: as for :meth:`fill`.
        """
        known = dict(other.words)
        return self.fill(**{name: known[name] for name in self.fields if name in known}) if self.fields else self

    def messages(self) -> list[dict[str, Any]]:
        """Return the chat as ``transformers`` and TRL take it: one user turn of text parts and image slots.

        Pictures are handed over separately, in the order of :attr:`slots`. (A content part must not carry
        the picture itself: Arrow would give every part an ``image`` field.)

        Raises:
            PromptError: there are fields that :meth:`fill` has not filled.
        """
        if self.fields:
            raise PromptError(f"prompt {self.name} needs values for {', '.join(self.fields)}; fill them in first")
        content: list[dict[str, Any]] = []
        for index, part in enumerate(_SLOT.split(self.text)):
            if index % 2:
                content.append({"type": "image"})
            elif part:
                content.append({"type": "text", "text": part})
        return [{"role": "user", "content": content}]


def directory() -> Path:
    """Return the folder of the prompts: the packaged copy, or that of the checkout."""
    for folder in (_PACKAGED, _CHECKOUT):
        if (folder / "checksums.json").is_file():
            return folder
    raise PromptError(f"no prompts were found in {_PACKAGED} or {_CHECKOUT}; reinstall redaes")


@cache
def _checksums() -> dict[str, str]:
    pinned: dict[str, str] = json.loads((directory() / "checksums.json").read_text(encoding="utf-8"))
    return pinned


def names() -> tuple[str, ...]:
    """Return the names of all released prompts."""
    return tuple(sorted(_checksums()))


@cache
def load(name: str) -> Prompt:
    """Load a prompt and verify it against its checksum.

    Args:
        name: ``name/version``, for example ``"compare/v1"``.

    Raises:
        PromptError: the name is unknown, or the text differs from the released one.
    """
    folder, pinned = directory(), _checksums()
    if name not in pinned:
        raise PromptError(f"prompt {name!r} is unknown; give one of {', '.join(sorted(pinned))}")
    path = folder / f"{name}.md"
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise PromptError(f"{path} is missing; reinstall redaes") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != pinned[name]:
        raise PromptError(
            f"{path} was changed (SHA-256 {sha256[:12]}, released {pinned[name][:12]}); restore it, and add your text "
            "as a new version"
        )
    return Prompt(name=name, text=data.decode("utf-8").rstrip("\n"), sha256=sha256)
