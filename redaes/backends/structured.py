"""Find out by which field of the request a server constrains answers to a form, by requesting a nonsensical answer.

Servers that do not know a field ignore it with status 200, so that only an answer shows whether it counted. The
question is about no picture; its answer is one that no model gives of its own accord.

====================  =========================================================================================
spelling              servers
====================  =========================================================================================
``json_schema``       OpenAI, vLLM, SGLang, llama.cpp, Ollama, LM Studio, OpenRouter, Gemini
``structured_outputs``  vLLM's own field
``grammar``           llama.cpp's own field, a GBNF grammar; asked there first: it bounds texts, and a model that
                      knows no JSON fills a text without a bound to the end of its room
``none``              Anthropic's OpenAI-compatible layer, which ignores ``response_format``, and whatever else does
====================  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from redaes.answer_grammars import grammar_of
from redaes.backends.abilities import Structured
from redaes.backends.base import Request
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import SERVER_REASONS
from redaes.errors import EndpointError, ParseError
from redaes.prompts import form_of
from redaes.types import Sampling

_KEY, _VALUE = "q7", "zebra"
_SCHEMA = {
    "type": "object",
    "properties": {_KEY: {"type": "string", "enum": [_VALUE]}},
    "required": [_KEY],
    "additionalProperties": False,
}
_GRAMMAR = f'root ::= "{{\\"{_KEY}\\": \\"{_VALUE}\\"}}"'
_ROOM = Sampling(max_new_tokens=1024)
"""Limit on tokens with room for a model's thoughts; an unconstrained answer ends long before."""


def form_fields(spelling: Structured, schema: Mapping[str, Any], grammar: str) -> dict[str, Any]:
    """Return the fields of a request that hold its answer to a form, to be sent as :attr:`ChatRequest.extra`.

    Args:
        spelling: the field that the server understands.
        schema: the form as a JSON schema.
        grammar: the same form as a GBNF grammar, whose first rule is ``root``.

    >>> form_fields("structured_outputs", {"type": "object"}, "")
    {'structured_outputs': {'json': {'type': 'object'}}}
    >>> form_fields("none", {"type": "object"}, "")
    {}
    """
    if spelling == "json_schema":
        named = {"name": "answer", "schema": dict(schema), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if spelling == "structured_outputs":
        return {"structured_outputs": {"json": dict(schema)}}
    return {"grammar": grammar} if spelling == "grammar" else {}


def json_fields(request: Request, spelling: Structured) -> dict[str, Any]:
    """Return the fields that hold the answer to a question in the JSON form; none for other questions.

    Args:
        request: a question.
        spelling: the server's.
    """
    if request.choices or form_of(request.prompt.name) != "json":
        return {}
    grammar = grammar_of("json")
    return form_fields(spelling, grammar.schema or {}, grammar.gbnf)


def held_by(fields: Mapping[str, Any], changes: Sequence[str]) -> str | None:
    """Return the field that held an answer to its form; None: none was sent, or the server has refused it.

    >>> held_by({"response_format": {}}, ["without seed"])
    'response_format'
    >>> held_by({"response_format": {}}, ["without response_format"])

    Args:
        fields: fields of the request, for that purpose.
        changes: what of the request the server could not use.
    """
    return next((name for name in fields if f"without {name}" not in changes), None)


async def find_structured(endpoint: Endpoint, first: Structured | None = None) -> Structured:
    """Return the first spelling that the server obeys; each one is tried with one request.

    Args:
        endpoint: open.
        first: the spelling to begin with; None: in the order of the table.

    Raises:
        EndpointError: for the moment it answers nothing, whatever it is asked; or a budget is spent.
    """
    spellings: tuple[Structured, ...] = get_args(Structured)
    for spelling in sorted(spellings, key=lambda one: one != first):
        if spelling != "none" and await _minds(endpoint, spelling):
            return spelling
    return "none"


async def _minds(endpoint: Endpoint, spelling: Structured) -> bool:
    extra = form_fields(spelling, _SCHEMA, _GRAMMAR)
    request = ChatRequest([{"role": "user", "content": "Say hello."}], (), "structured/v1", _ROOM, extra=extra)
    try:
        found = (await endpoint.ask(request)).decoded()
    except EndpointError as error:
        if error.reason in SERVER_REASONS or error.reason == "budget_exhausted":
            raise
        return False  # a complaint about the field, in whatever words
    except ParseError:
        return False
    return bool(found == {_KEY: _VALUE})
