"""Find out from a server's error message which fields of a request it refuses.

Servers of the OpenAI protocol differ in the fields that they take, and say so with status 400 or 422, each in its own
form: a ``code`` and a ``param``, a list of validation errors, a sentence. Only forms that are known to mean "this field
cannot be used" are understood here. A complaint about a *value* ("max_tokens is too large") is none of them, and
neither is anything unknown: such an answer stays an error, in the server's own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STATUSES = frozenset({400, 403, 422})
"""HTTP statuses that may be refusals of fields; OpenAI refuses log-probabilities with 403."""

OPTIONAL = frozenset(
    {
        "add_generation_prompt",
        "chat_template_kwargs",
        "continue_final_message",
        "grammar",
        "logprob_token_ids",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "min_p",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "return_tokens_as_token_ids",
        "seed",
        "structured_outputs",
        "temperature",
        "top_k",
        "top_logprobs",
        "top_p",
    }
)
"""Fields that a request can do without."""


@dataclass(frozen=True)
class Refusal:
    """One field of a request that the server refuses."""

    field: str
    """The field, one of :data:`OPTIONAL`."""
    value: float | None = None
    """The only value, or for ``top_logprobs`` the largest one, that the server takes; None: leave the field out."""


# Each names the field as its first group. "(\w+)" would also take a word of prose; what is no field that was sent is
# dropped in _says_something.
_LEAVE_OUT = tuple(
    re.compile(pattern)
    for pattern in (
        r"Unsupported parameter: '(\w+)'",
        r"Unknown parameter: '?(\w+)\b",
        r"Unrecognized request arguments? supplied: (\w+(?:, \w+)*)",
        r'Unknown name "(\w+)": Cannot find field',
        r"[`'\"](\w+)[`'\"] (?:parameter )?is (?:not supported|unsupported|deprecated) (?:with|for|by|on|in) "
        r"(?:this|the current|the) (?:model|API|endpoint|provider)",
        r"\b(\w+) is deprecated for this model",
        r"^(\w+): Extra inputs are not permitted",
        r"Extra inputs are not permitted, field: '(\w+)'",
        r"(?<!\]: )\bunknown field [`\"](\w+)[`\"]",
        r"#: extraneous key \[(\w+)\] is not permitted",
        r"'(temperature|top_p)' does not support \S+ with this model",
        r"property '(\w+)' is unsupported",
        r"Argument not supported(?: on this model)?: (\w+)",
        r"does not support (?:the )?parameters? [`'\"]?(\w+)",
        r"'type': 'extra_forbidden', 'loc': \('body', '(\w+)'\)",
        r"[`'](response_format)' of type '\w+' is not supported",
        r"'(response_format)\.type' must be ",
        r"This (response_format) type is unavailable",
        r"(response_format)\.type `\w+` is unavailable",
        r"[`']temperature[`'] and [`'](top_p)[`'] cannot both be specified",
    )
)

_LISTED = re.compile(r"does not support parameters: [\[{]([^\]}]*)[\]}]")

_ONLY_VALUE = tuple(
    re.compile(pattern)
    for pattern in (
        r"'(temperature|top_p)' does not support \S+ with this model\. Only the default \((\d+(?:\.\d+)?)\) value is",
        r"[Ii]nvalid '?(temperature|top_p)'?: only (\d+(?:\.\d+)?) is (?:allowed|supported)",
        r"don't support (temperature|top_p)=\S+\. Only \1=(\d+(?:\.\d+)?) is supported",
        r"[`'](temperature|top_p)[`'] may only be set to (\d+(?:\.\d+)?)\b",
    )
)
"""Patterns that name an accepted value; they are tried before those that leave a field out."""

_NO_LOGPROBS = re.compile(
    r"not allowed to request logprobs"
    r"|\b[Ll]ogprobs (?:is|are) not (?:enabled|supported|available|allowed)\b"
    r"|(?:doesn't|does not) support logprobs\b"
)

_CAP = re.compile(
    r"top_logprobs['`\"]?:? (?:must|should|has to) be (?:between 0 and|in \[0,|less than or equal to|at most|<=) ?(\d+)"
    r"|Range of top_logprobs should be \[0, ?(\d+)\]"
    r"|'top_logprobs': integer above maximum value\. Expected a value <= (\d+)"
    r"|[Ll]ogprobs of \d+,? which is (?:is )?greater than max(?:imum)? allowed: (\d+)"
    r"|Cannot request more than (\d+) (?:top_)?logprobs"
    r"|\d+ is greater than the maximum of (\d+) - '(?:top_)?logprobs'"
)


def refusals(status: int, content: bytes, body: Mapping[str, Any]) -> tuple[Refusal, ...]:
    """Return the fields of a request that a server's answer refuses; empty: it refuses none.

    Args:
        status: status of the answer.
        content: content of the answer, as it came.
        body: the request.

    >>> words = b'{"error": {"message": "Unrecognized request argument supplied: seed"}}'
    >>> refusals(400, words, {"model": "m", "seed": 1})
    (Refusal(field='seed', value=None),)
    >>> refusals(400, words, {"model": "m"})
    ()
    """
    if status not in STATUSES:
        return ()
    found: dict[str, Refusal] = {}
    for refusal in _read(content.decode("utf-8", "replace")):
        if status == 403 and refusal.field not in ("logprobs", "top_logprobs"):
            continue
        if _says_something(refusal, body):
            found.setdefault(refusal.field, refusal)
    return tuple(found.values())


def _says_something(refusal: Refusal, body: Mapping[str, Any]) -> bool:
    """Return whether the field was sent, is optional, and would be changed by the refusal."""
    if refusal.field not in OPTIONAL or refusal.field not in body:
        return False
    if refusal.value is None:
        return True
    sent = body[refusal.field]
    return bool(sent > refusal.value if refusal.field == "top_logprobs" else sent != refusal.value)


def _read(text: str) -> Iterator[Refusal]:
    for item in _errors(_decoded(text)):
        if isinstance(item, str):
            yield from _sentences(item)
        else:
            yield from _entry(item)


def _decoded(text: str) -> Any:
    """Return JSON if it is JSON, also within a string of JSON, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _errors(value: Any, depth: int = 0) -> Iterator[str | Mapping[str, Any]]:
    """Yield sentences and entries that describe what is wrong, wherever a server puts them."""
    if depth > 6:
        return
    if isinstance(value, str):
        inner = _decoded(value) if value.lstrip()[:1] in ("{", "[") else value
        if isinstance(inner, str):
            yield inner
        else:
            yield from _errors(inner, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _errors(item, depth + 1)
    elif isinstance(value, dict):
        if isinstance(value.get("loc"), list) or isinstance(value.get("param"), str):
            yield value
        for name in ("error", "message", "detail", "errors"):
            if name in value:
                yield from _errors(value[name], depth + 1)


def _entry(entry: Mapping[str, Any]) -> Iterator[Refusal]:
    """Yield a validation error of pydantic's, or OpenAI's error with a code."""
    loc, kind, code, param = (entry.get(name) for name in ("loc", "type", "code", "param"))
    if isinstance(loc, list) and len(loc) == 2 and loc[0] == "body" and isinstance(loc[1], str):
        if kind in ("extra_forbidden", "value_error.extra"):
            yield Refusal(loc[1])
        elif kind == "less_than_equal" and loc[1] == "top_logprobs" and isinstance(entry.get("ctx"), dict):
            cap = entry["ctx"].get("le")
            if isinstance(cap, int | float):
                yield Refusal("top_logprobs", cap)
    if code in ("unsupported_parameter", "unknown_parameter") and isinstance(param, str):
        yield Refusal(param)


def _sentences(text: str) -> Iterator[Refusal]:
    for pattern in _ONLY_VALUE:
        for match in pattern.finditer(text):
            yield Refusal(match[1], float(match[2]))
    for match in _CAP.finditer(text):
        yield Refusal("top_logprobs", int(next(group for group in match.groups() if group is not None)))
    if _NO_LOGPROBS.search(text):
        yield Refusal("logprobs")
    for match in _LISTED.finditer(text):
        for name in re.findall(r"'(\w+)'", match[1]):
            yield Refusal(name)
    for pattern in _LEAVE_OUT:
        for match in pattern.finditer(text):
            for name in match[1].split(", "):
                yield Refusal(_snake(name))


def _snake(name: str) -> str:
    """Return a field's name as the protocol spells it: some servers say ``topLogprobs``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)
