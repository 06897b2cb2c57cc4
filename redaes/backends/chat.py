"""A model behind any server of the OpenAI protocol that writes whole answers, from their first word.

Such a server cannot continue an answer whose beginning is given. What could follow a request's prefix is therefore read
where the model itself has written the prefix, from the likeliest tokens that the server lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from redaes import prompts
from redaes.backends.abilities import Structured
from redaes.backends.base import Answer, Request
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import N_LOGPROBS, ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import SERVER_REASONS, Failure
from redaes.backends.pictures import Encoder
from redaes.backends.structured import held_by, json_fields
from redaes.backends.thoughts import WAYS, Way, WayName, lost_in_thoughts
from redaes.errors import InputError
from redaes.types import Sampling

_UP_TO_THE_PLACE = Sampling(max_new_tokens=32)
"""Sampling for an answer of which only the place after the prefix is needed, and not the text."""

_UNLISTED = Failure("no_logprobs", "the server reports no token probabilities; use another server, or compare in pairs")


class ChatBackend:
    """One model behind one server, or behind replicas among which requests are distributed in turn.

    May be used from several threads; what one of them detects applies to all.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        emphasis: bool = False,
        lists: bool | None = None,
        spelling: Structured = "json_schema",
        gives_room: bool = False,
        thinks: bool = False,
        way: WayName | None = None,
        ask: Callable[[Sequence[ChatRequest]], list[Reply | Failure]] | None = None,
    ) -> None:
        """
        Args:
            endpoints: endpoints of one model. They must not be open: each batch opens connections of its own.
            emphasis: whether choices are also read where the model writes the prefix in bold, or as a heading.
            lists: whether the server is known to list its likeliest tokens; None: it is not known.
            spelling: how the server is asked to constrain answers to the JSON form. The protocol's own way is a safe
                default: a server that does not accept it refuses it, and is asked without.
            gives_room: whether thoughts get tokens in addition to those of the answer; otherwise both share one limit.
            thinks: whether the model is known to think before it answers.
            way: how thoughts are handled for questions with a short answer; None: to be detected.
            ask: sends a batch in place of this class, for servers whose connections stay open between batches.

        Raises:
            InputError: there are none.
        """
        if not endpoints:
            raise InputError("no server is named; give its url, such as http://127.0.0.1:8000/v1")
        self._endpoints = list(endpoints)
        self._send = ask or (lambda chats: asyncio.run(self._ask(chats)))
        self._emphasis = emphasis
        self.lists = lists
        """Whether the server lists its likeliest tokens; None: not known. If it does not, requests do not ask for them,
        and requests that need nothing else are not sent."""
        self.spelling: Structured = spelling
        self._gives_room = gives_room
        self.thinks = thinks
        """Whether the model was seen to think beyond its limit on tokens."""
        self.way = way
        """How thoughts are handled for questions with a short answer; None: not known."""
        self.model = endpoints[0].model
        self.revision = endpoints[0].revision

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer the requests, as :class:`~redaes.backends.base.Backend` specifies; must not be called from a running
        event loop.

        Once a budget is spent, what is not in the cache fails as ``budget_exhausted``.

        Raises:
            InputError: not one picture per slot.
            RecordError: the cache cannot be read or written.
            MissingDependency: httpx is absent.
        """
        found: list[Answer | Failure] = [_UNLISTED for _ in requests]
        places = [
            place
            for place, request in enumerate(requests)
            if request.sampling is not None or self.lists is not False or not request.choices
        ]
        asked = [requests[place] for place in places]
        replies = self._replies(asked)
        for place, request, reply in zip(places, asked, replies, strict=True):
            held = json_fields(request, self.spelling)
            found[place] = reply if isinstance(reply, Failure) else _answer(request, reply, self._emphasis, held)
        return found

    def _replies(self, asked: Sequence[Request]) -> list[Reply | Failure]:
        encoder = Encoder()
        thought, way = self.thinks, self.way
        replies = self._asked(asked, encoder)
        lost = [place for place, reply in enumerate(replies) if lost_in_thoughts(reply)]
        if self._gives_room and lost:
            self.thinks = True
            stale = way not in (None, "room") and any(_asks_little(asked[place]) for place in lost)
            if stale:
                self.way = None
            if stale or not thought:
                again = self._asked([asked[place] for place in lost], encoder)
                for place, reply in zip(lost, again, strict=True):
                    replies[place] = reply
        self._hear(asked, replies)
        return replies

    def _asked(self, asked: Sequence[Request], encoder: Encoder) -> list[Reply | Failure]:
        """Return the replies. Each request is sent in the known way; if none is known, it is detected first."""
        if self.thinks and self.way is None:
            little = next((request for request in asked if _asks_little(request)), None)
            if little is not None:
                self._find_way(little, encoder)
        lists = self.lists is not False
        ways = [self._way_of(request) for request in asked]
        chats = [
            _chat(request, encoder, way, json_fields(request, self.spelling), lists=lists)
            for request, way in zip(asked, ways, strict=True)
        ]
        return [
            reply
            if isinstance(reply, Failure) or way is None
            else reply.model_copy(update={"changes": tuple(sorted((*reply.changes, *way.done(reply.changes))))})
            for reply, way in zip(self._send(chats), ways, strict=True)
        ]

    def _way_of(self, request: Request) -> Way | None:
        """Return how one question is asked; if reasons are requested, the thoughts get room."""
        if not self.thinks:
            return None
        return WAYS["room" if self.way is None or not _asks_little(request) else self.way]

    def _find_way(self, request: Request, encoder: Encoder) -> None:
        """Ask one question in one way after another until it is answered."""
        lists = self.lists is not False
        for name, way in WAYS.items():
            if self._refuses(way):
                continue
            (reply,) = self._send([_chat(request, encoder, way, {}, lists=lists)])
            if isinstance(reply, Failure) and (reply.reason in SERVER_REASONS or reply.reason == "budget_exhausted"):
                return  # says nothing about the way
            if isinstance(reply, Reply) and not lost_in_thoughts(reply) and not self._refuses(way):
                self.way = name
                return
        self.way = "room"

    def _refuses(self, way: Way) -> bool:
        """Return whether the server is known to refuse a field of this way."""
        return bool(set(way.fields) & set(self._endpoints[0].dialect.left_out))

    def _hear(self, asked: Sequence[Request], replies: Sequence[Reply | Failure]) -> None:
        """Find out whether the server lists its likeliest tokens, from replies to requests that asked for them."""
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
        endpoints = [endpoint.again() for endpoint in self._endpoints]
        n = len(endpoints)

        async def ask(place: int, endpoint: Endpoint) -> list[Reply | Failure]:
            async with endpoint:
                return await endpoint.ask_many(chats[place::n])

        dealt = await asyncio.gather(*(ask(place, endpoint) for place, endpoint in enumerate(endpoints)))
        return [dealt[place % n][place // n] for place in range(len(chats))]


def _asks_little(request: Request) -> bool:
    """Return whether a question is answered in a few tokens: without reasons."""
    return request.prompt.name not in prompts.known("reasoned")


def _chat(request: Request, encoder: Encoder, way: Way | None, held: Mapping[str, Any], *, lists: bool) -> ChatRequest:
    sampling = request.sampling or _UP_TO_THE_PLACE
    if way is not None and way.room:
        sampling = sampling.model_copy(update={"max_new_tokens": sampling.max_new_tokens + way.room})
    chat = ChatRequest.of(
        request.prompt,
        [encoder.of(image) for image in request.images],
        sampling,
        n_logprobs=N_LOGPROBS if request.choices and lists else 0,
    )
    extra = {**held, **({} if way is None else way.fields)}
    return replace(chat, extra=extra) if extra else chat


def _answer(request: Request, reply: Reply, emphasis: bool, held: Mapping[str, Any]) -> Answer | Failure:
    read = reply.read_after(request.prefix, emphasis=emphasis) if request.choices else None
    by = held_by(held, reply.changes)
    answer = Answer(reply.text, read, reply.cut_off, reply.tokens, reply.changes, by)
    if request.sampling is not None:
        return answer
    return read if isinstance(read, Failure) else replace(answer, text=None)
