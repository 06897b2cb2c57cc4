"""Make a chat template render prompts in one way: the end of a prompt that asks for an answer equals the text before a
given answer.

Templates of reasoning models do not. Those of Qwen3-VL-Thinking and Qwen3.5 end a prompt with an open ``<think>``, so
that a verdict would be read within thoughts, but put an empty block before an answer in training. This module changes
such a template once, when a processor is loaded: the block is closed after the prompt too, as the template itself
closes it before an answer. The template that is saved with a result then renders prompts in one way wherever it is
used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from redaes import prompts
from redaes.errors import BackendError

_ANSWER = "Winner: A\nDifference: +1.5"
_THINKING = re.compile(r"\s*(?:<think>)?\s*(?:</think>)?\s*")
"""Text that may be added to a prompt or removed from its end: markup of thoughts with no thoughts in it."""

_SWITCHED_OFF = "{%- set enable_thinking = false -%}\n"
_MOST_SHOWN = 60


def opens_thinking(text: str) -> bool:
    """Return whether text written after this would be thoughts.

    >>> opens_thinking("<|im_start|>assistant\\n<think>\\n"), opens_thinking("<think>\\n\\n</think>\\n\\n")
    (True, False)
    """
    return text.rfind("<think>") > text.rfind("</think>")


def one_rendering(processor: Any, name: object) -> str:
    """Return the processor's chat template, with no thoughts left open and none that only training sees.

    Args:
        processor: processor of a vision-language model; it is left as it is.
        name: where it comes from, for messages.

    Raises:
        BackendError: it has no template, or one whose thoughts cannot be closed.
    """
    template = processor.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise BackendError(f"{name} has no chat template; copy its chat_template.jinja")
    from jinja2 import TemplateError  # transformers brings it

    try:
        two = two_renderings(processor, template)
        if two is None:
            return str(template)
        if not (opens_thinking(two[0]) or any("think>" in part for part in _difference(*two))):
            return str(template)  # it differs in another way, which training refuses (`check_chat`)
        for changed in _changes(template, *two):
            if two_renderings(processor, changed) is None:
                return changed
    except (TemplateError, ValueError, TypeError, LookupError) as error:
        raise BackendError(
            f"the chat template of {name} cannot be used ({error}); give a vision-language model with its own"
        ) from error
    raise BackendError(f"the chat template of {name} {what_differs(*two)}")


def space_before_answers(processor: Any, template: str) -> str:
    """Return white space between a prompt and an answer that a template adds with the answer only (SmolVLM:
    ``Assistant:``).

    A model writes it itself; where its answer is begun for it, it belongs before the beginning.

    Args:
        processor: processor of a vision-language model.
        template: its chat template, usable.
    """
    two = two_renderings(processor, template)
    if two is None or not two[1].startswith(two[0]):
        return ""
    added = two[1].removeprefix(two[0])
    return added if added.isspace() else ""


def check_pictures(processor: Any, template: str, name: object) -> None:
    """Refuse a template that has no place for pictures, or not one for each.

    Args:
        processor: processor of a vision-language model.
        template: its chat template, usable.
        name: where it comes from, for messages.

    Raises:
        BackendError: such a template.
    """
    (message,) = prompts.load(prompts.COMPARE["fast"]).messages()
    words = {**message, "content": [part for part in message["content"] if part["type"] != "image"]}
    shown, alone = (
        processor.apply_chat_template([chat], chat_template=template, add_generation_prompt=True, tokenize=False)
        for chat in (message, words)
    )
    n_pictures = len(message["content"]) - len(words["content"])
    placeholder = getattr(processor, "image_token", None)
    places = shown.count(placeholder) if isinstance(placeholder, str) and placeholder else None
    if shown == alone or places not in (None, n_pictures):
        raise BackendError(
            f"the chat template of {name} has no place for each of two pictures: this model, or this copy of its "
            "template, is for text or for one picture alone; use another model"
        )


def what_differs(asked: str, answered: str) -> str:
    """Return what to say of a template with two renderings, and what to do."""
    ends = [text[-_MOST_SHOWN:] for text in (asked, answered)]
    return (
        f"renders a chat in two ways: a prompt ends with {ends[0]!r} when an answer is asked for, and with {ends[1]!r} "
        "when it is there, so that training and asking would differ; change chat_template.jinja so that both are the "
        "same and no <think> is left open"
    )


def two_renderings(processor: Any, template: str | None = None) -> tuple[str, str] | None:
    """Return a prompt when an answer is asked for, and what stands before the answer when it is there, where they
    differ.

    Args:
        processor: processor of a vision-language model.
        template: None: the processor's.

    Returns:
        None when they agree, for every prompt, and no thoughts are left open.
    """
    for name in (*prompts.COMPARE.values(), prompts.SCORE):
        messages = prompts.load(name).messages()
        answer = [{"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}]
        asked, whole = (
            processor.apply_chat_template(chat, chat_template=template, add_generation_prompt=ask, tokenize=False)
            for chat, ask in ((messages, True), (messages + answer, False))
        )
        before, found, _ = whole.rpartition(_ANSWER)
        if not found:
            raise ValueError("it leaves out an answer that is given as a list of parts")
        if asked != before or opens_thinking(asked):
            return asked, before
    return None


def _difference(asked: str, answered: str) -> tuple[str, str]:
    """Return the ends in which two texts differ."""
    n_common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(asked, answered, strict=False)))
    return asked[n_common:], answered[n_common:]


def _changes(template: str, asked: str, answered: str) -> Iterator[str]:
    """Yield templates that might have one rendering, the likeliest first."""
    if "enable_thinking" in template:
        yield _SWITCHED_OFF + template
    surplus, missing = _difference(asked, answered)
    if not (_THINKING.fullmatch(surplus) and _THINKING.fullmatch(missing)):
        return
    added = "{{- " + repr(missing) + " }}" if missing else ""
    if not surplus:
        yield template + "{%- if add_generation_prompt %}" + added + "{%- endif %}"
    else:  # the whole template becomes a block whose text can be cut
        cut = "{{- chat[:-" + str(len(surplus)) + "] }}" + added
        yield (
            "{%- set chat -%}\n"
            + template
            + "{%- endset %}{%- if add_generation_prompt %}"
            + cut
            + "{%- else %}{{- chat }}{%- endif %}"
        )
