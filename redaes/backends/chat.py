"""A model behind any server of the OpenAI protocol, which writes its answers from their first word.

Nothing can be put before an answer there, so what could follow a request's prefix is read where the model itself has
written the prefix, from the likeliest tokens that the server lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redaes.backends.abilities import Structured
from redaes.backends.base import Answer, Request
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import N_LOGPROBS, ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.pictures import Encoder
from redaes.backends.structured import held_by, json_fields
from redaes.errors import InputError
from redaes.types import Sampling

_UP_TO_THE_PLACE = Sampling(max_new_tokens=32)
"""How an answer is drawn of which no text is wanted."""

_UNLISTED = Failure("no_logprobs", "the server reports no token probabilities; use another server, or compare in pairs")


class ChatBackend:
    """One model behind one server, or behind replicas among which requests are dealt out in turn."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        emphasis: bool = False,
        lists: bool | None = None,
        spelling: Structured = "json_schema",
    ) -> None:
        """
        Args:
            endpoints: of one model; not open: they are opened for each batch.
            emphasis: whether choices are also read where the model writes the prefix in bold, or as a heading.
            lists: whether the server is known to list its likeliest tokens; None: it is not known.
            spelling: how the server is asked to hold answers in the JSON form to it. That of the protocol does no harm
                where it is not known: a server that does not take it refuses it, and is asked without.

        Raises:
            InputError: there are none.
        """
        if not endpoints:
            raise InputError("no server is named; give its url, such as http://127.0.0.1:8000/v1")
        self._endpoints = list(endpoints)
        self._emphasis = emphasis
        self.lists = lists
        """Whether the server lists its likeliest tokens, as far as is known; where it does not, it is not asked for
        them, and not at all where nothing else is wanted."""
        self.spelling: Structured = spelling
        self.model = endpoints[0].model
        self.revision = endpoints[0].revision

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """As :class:`~redaes.backends.base.Backend` has it; not to be called from a running event loop.

        Once a budget is spent, what is not in the cache fails as ``budget_exhausted``.

        Raises:
            InputError: not one picture per slot.
            RecordError: the cache cannot be read or written.
            MissingDependency: httpx is absent.
        """
        encoder = Encoder()
        found: list[Answer | Failure] = [_UNLISTED for _ in requests]
        places = [
            place
            for place, request in enumerate(requests)
            if request.sampling is not None or self.lists is not False or not request.choices
        ]
        asked = [requests[place] for place in places]
        lists = self.lists is not False
        held = [json_fields(request, self.spelling) for request in asked]
        chats = [_chat(request, encoder, fields, lists=lists) for request, fields in zip(asked, held, strict=True)]
        replies = asyncio.run(self._ask(chats))
        self._hear(asked, replies)
        for place, request, fields, reply in zip(places, asked, held, replies, strict=True):
            found[place] = reply if isinstance(reply, Failure) else _answer(request, reply, self._emphasis, fields)
        return found

    def _hear(self, asked: Sequence[Request], replies: Sequence[Reply | Failure]) -> None:
        """Find out whether the server lists its likeliest tokens, from answers to those who asked for them."""
        if self.lists is not None:
            return
        heard = [
            reply.lists
            for request, reply in zip(asked, replies, strict=True)
            if request.choices and isinstance(reply, Reply) and reply.lists is not None
        ]
        if heard:
            self.lists = any(heard)

    async def _ask(self, chats: Sequence[ChatRequest]) -> list[Reply | Failure]:
        n = len(self._endpoints)

        async def ask(place: int, endpoint: Endpoint) -> list[Reply | Failure]:
            async with endpoint:
                return await endpoint.ask_many(chats[place::n])

        dealt = await asyncio.gather(*(ask(place, endpoint) for place, endpoint in enumerate(self._endpoints)))
        return [dealt[place % n][place // n] for place in range(len(chats))]


def _chat(request: Request, encoder: Encoder, held: Mapping[str, Any], *, lists: bool) -> ChatRequest:
    chat = ChatRequest.of(
        request.prompt,
        [encoder.of(image) for image in request.images],
        request.sampling or _UP_TO_THE_PLACE,
        n_logprobs=N_LOGPROBS if request.choices and lists else 0,
    )
    return replace(chat, extra=dict(held)) if held else chat


def _answer(request: Request, reply: Reply, emphasis: bool, held: Mapping[str, Any]) -> Answer | Failure:
    read = reply.read_after(request.prefix, emphasis=emphasis) if request.choices else None
    by = held_by(held, reply.changes)
    answer = Answer(reply.text, read, reply.cut_off, reply.tokens, reply.changes, by)
    if request.sampling is not None:
        return answer
    return read if isinstance(read, Failure) else replace(answer, text=None)
