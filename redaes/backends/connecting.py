"""Connect to any server of the OpenAI protocol as a backend. What the server offers and can do is detected once and
stored; it decides how the model is asked.

A server that tokenizes as vLLM does and goes on with a begun answer is asked by
:class:`~redaes.backends.server.ServerBackend`, any other by :class:`~redaes.backends.chat.ChatBackend`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

from PIL import Image

from redaes import answers, prompts
from redaes.backends.abilities import (
    Abilities,
    ServerIdentity,
    Structured,
    forget_abilities,
    keep_abilities,
    read_abilities,
)
from redaes.backends.base import Answer, Request, read_of
from redaes.backends.chat import ChatBackend
from redaes.backends.dialect import Dialect
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import SERVER_REASONS, Failure, refuse_lost
from redaes.backends.first_answers import FirstAnswers
from redaes.backends.forms import find_form
from redaes.backends.next_token import NextToken
from redaes.backends.offered_models import OfferedModel
from redaes.backends.server import ServerBackend
from redaes.backends.structured import find_structured
from redaes.errors import BackendError, EndpointError, InputError
from redaes.lenient import Reader
from redaes.prompts import form_of
from redaes.types import Form

MOST_LISTED = 20
"""Most names of models in a message."""

FIRST_WORD_S = 10.0
"""How long a server may take to say what it offers, in seconds."""

ANSWER_S = 300.0
"""How long one answer may take, in seconds: a laptop may have to load the model first."""

MAX_RETRIES = 2

_HOPELESS = frozenset({"connection", "timeout", "http_401"})
"""Reasons for a missing list of models that also mean that the server will not answer. With other reasons it may
answer: some servers have no list, or do not show it to this key."""

_OF_THE_MOMENT = (SERVER_REASONS - {"http_404"}) | {"empty", "no_content", "budget_exhausted", "too_many_pictures"}
"""Reasons for a failure that say nothing about the server's abilities."""

_OLDER_LIMIT = frozenset({"library", "me"})
"""Owners of models on servers that know ``max_tokens`` alone, and would write without end: Ollama
(docs.ollama.com/api/openai-compatibility) and llama-cpp-python (github.com/abetlen/llama-cpp-python/issues/1907)."""

_ANY_NAME = frozenset({"llamacpp", "me"})
"""Owners of models on servers that have one model and answer by it under whatever name: llama.cpp and
llama-cpp-python. A result would name a model that was never asked."""

_PAGES = ("/chat/completions", "/completions", "/responses", "/models")
"""Paths that people copy from examples together with the address of a server; they are removed."""

_T = TypeVar("_T")


class ConnectedModel:
    """A model behind a server, asked in the way that suits the server.

    Until the server has answered anything, a batch without any answer raises an error with the server's own message.
    What is detected about the server is stored for later commands.
    """

    def __init__(
        self,
        backend: ServerBackend | ChatBackend,
        endpoint: Endpoint,
        identity: ServerIdentity,
        known: Abilities,
        reader: Reader = "lenient",
        *,
        offered: Sequence[str] = (),
    ) -> None:
        """
        Args:
            backend: the backend that asks; this object owns it and closes it.
            endpoint: endpoint of the backend.
            identity: key under which the server's abilities are stored.
            known: the stored abilities, with those detected so far.
            reader: default reader of what the model writes.
            offered: the models that the server lists, if the model is not among them.
        """
        self.model = backend.model
        self.revision = backend.revision
        self.backend = backend
        self.url = endpoint.base_url
        self._endpoint = endpoint
        self._identity = identity
        self._kept = known
        self._was_known = known != Abilities()
        self._offered = tuple(offered)
        self._structured = known.structured
        self._form = known.form
        self.reader = reader
        """Default reader of the model's answers."""
        self._first = FirstAnswers(backend)

    def __enter__(self) -> ConnectedModel:
        """Return the backend itself: it is open from its making."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the backend, as :meth:`close` does."""
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        if isinstance(self.backend, ServerBackend):
            self.backend.close()

    @property
    def abilities(self) -> Abilities:
        """The abilities of the server that are known so far."""
        chat = self.backend if isinstance(self.backend, ChatBackend) else None
        return Abilities(
            begins=chat is None,
            reads=self.backend.reads if isinstance(self.backend, ServerBackend) else None,
            lists=None if chat is None else chat.lists,
            structured=self._structured,
            form=self._form,
            thinks=chat is not None and chat.thinks,
            way=None if chat is None else chat.way,
            pictures=self._endpoint.dialect.pictures.lasting,
            left_out=self._endpoint.dialect.left_out,
            values=self._endpoint.dialect.values,
        )

    def structured(self) -> Structured:
        """Return how the server constrains an answer to a form. This is detected once, by a question without pictures,
        and stored.

        Raises:
            EndpointError: it does not answer.
        """
        if self._structured is not None:
            return self._structured
        first: Structured | None = "grammar" if self._identity.owner == "llamacpp" else None
        found = self._alone(lambda endpoint: find_structured(endpoint, first))
        self._structured = found
        self._keep()
        return found

    @property
    def form(self) -> Form:
        """The default form in which the model is asked; it is detected once and stored.

        Raises:
            EndpointError: it does not answer.
        """
        if self._form is None:
            self._form = find_form(self, lambda: self.structured() != "none")
            self._keep()
        return self._form

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer the requests, as :class:`~redaes.backends.base.Backend` specifies; may be called within a running
        event loop.

        Raises:
            EndpointError: the server has answered nothing so far, and nothing of this.
            BackendError: as for the backend that asks.
        """
        # vLLM, the only server that continues a given beginning, is constrained by its own field, which is exact.
        if isinstance(self.backend, ChatBackend) and any(form_of(one.prompt.name) == "json" for one in requests):
            self.backend.spelling = self.structured()
        try:
            found = _aside(lambda: self._first.answer(requests))
        except EndpointError as error:
            if self._first.heard:
                raise
            forget_abilities(self._identity)  # the stored abilities may be the cause
            more = self._why_perhaps(error.reason)
            if not more:
                raise
            raise EndpointError(error.reason, str(error).removeprefix(f"{error.reason}: ") + more) from error
        self._keep()
        return found

    def _why_perhaps(self, reason: str) -> str:
        """Return a possible reason why the server does not answer, and the remedy, to be appended to its own
        message."""
        if self._offered and reason in ("http_400", "http_404"):
            return f"; the models that it lists: {', '.join(self._offered[:MOST_LISTED])}"
        if self._was_known and reason not in _OF_THE_MOMENT:
            return "; what was kept of this server is forgotten now, in case it has changed: give the command again"
        return ""

    def greet(self) -> None:
        """Ask one question about two generated pictures, so that a server that cannot answer is noticed at once.

        Raises:
            EndpointError: it answers nothing, in its own words.
        """
        self.answer([_question()])

    def is_reachable(self) -> bool:
        """Return whether the server answers at all; no question is asked of the model."""
        try:
            self._alone(lambda endpoint: endpoint.models())
        except EndpointError as error:
            # Other servers have no list of models, or do not show it to this key.
            return error.reason not in _HOPELESS and not error.reason.startswith("http_5")
        return True

    def reports_probabilities(self) -> bool:
        """Return whether the server lets its probabilities be read. Where that is not known, one question about two
        drawn pictures is asked.

        Raises:
            EndpointError: it does not answer.
        """
        if isinstance(self.backend, ServerBackend):
            return True
        if self.backend.lists is False:
            return False
        (found,) = self.answer([_question()])
        read = read_of(found)
        return read.reason not in ("no_logprob", "no_logprobs") if isinstance(read, Failure) else not read.is_alone

    @property
    def served_as(self) -> str:
        """The address and, as far as the server reports it, what the model's name stands for: stored answers belong to
        this combination."""
        return " ".join(filter(None, (self.url, self._identity.root)))

    def _alone(self, ask: Callable[[Endpoint], Awaitable[_T]]) -> _T:
        """Run requests over a separate connection and return their result."""
        endpoint = self._endpoint.again()

        async def asked() -> _T:
            async with endpoint:
                return await ask(endpoint)

        return _aside(lambda: asyncio.run(asked()))

    def _keep(self) -> None:
        """Store what is known about the server, if it is more than is stored already."""
        known = self.abilities
        if known != self._kept:
            keep_abilities(self._identity, known)
            self._kept = known


def connect(
    url: str,
    model: str | None = None,
    *,
    api_key: str | None = None,
    reader: Reader = "lenient",
    revision: str | None = None,
    timeout_s: float = ANSWER_S,
    cache: Path | None = None,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    concurrency: int = 8,
) -> ConnectedModel:
    """Return a model behind a server, asked in the way that suits the server.

    Args:
        url: URL of any server of the OpenAI protocol, such as ``http://localhost:11434/v1``; without a path, ``/v1``.
        model: its name there; None: the only one that the server offers.
        api_key: None: the environment's ``REDAES_API_KEY``, or none at all.
        reader: reader of what the model writes; with ``lenient`` its probabilities are also read where it writes in
            bold.
        revision: revision of the weights; None: the one that the server reports, or else its address.
        timeout_s: longest wait for one answer, in seconds.
        cache: folder of the answers; None: none are kept.
        max_calls: most requests that are sent; None: no limit.
        max_tokens: no request is sent once the reported tokens reach this; None: no limit.
        concurrency: most requests that are under way at once, in each batch.

    Raises:
        InputError: no such address or key can be, or the server offers several models and none was named.
        EndpointError: the server cannot be reached, or refuses, in its own words.
        MissingDependency: httpx is absent.
    """
    base_url = versioned_url(url)
    first = Endpoint(base_url, model or "", api_key=api_key, timeout_s=FIRST_WORD_S, max_retries=0)
    chosen, version, others = _aside(lambda: asyncio.run(_first_words(first, model)))
    identity = ServerIdentity(
        url=base_url,
        model=chosen.id,
        revision=chosen.revision,
        root=chosen.root,
        owner=chosen.owned_by,
        server=version,
    )
    known = read_abilities(identity) or Abilities()

    def endpoint() -> Endpoint:
        return Endpoint(
            base_url,
            chosen.id,
            # Without this, answers and reference scores of two servers that use one model name would be mixed.
            revision=revision or chosen.revision or f"at {base_url}",
            api_key=api_key,
            concurrency=concurrency,
            timeout_s=timeout_s,
            max_retries=MAX_RETRIES,
            max_calls=max_calls,
            max_tokens=max_tokens,
            cache=cache,
            dialect=Dialect((*known.left_out, *_older_limit(chosen)), known.values, known.pictures),
        )

    if known.begins is None:
        first.model = chosen.id
        tokenizes = _aside(lambda: asyncio.run(_tokenizes(first)))
        if tokenizes and (begun := _begun(endpoint())) is not None:
            connected = ConnectedModel(*begun, identity, known, reader, offered=others)
            connected._keep()
            return connected
    elif known.begins:
        asked = endpoint()
        return ConnectedModel(ServerBackend(asked, reads=known.reads), asked, identity, known, reader, offered=others)
    asked = endpoint()
    chat = ChatBackend(
        [asked],
        emphasis=reader == "lenient",
        lists=known.lists,
        gives_room=True,
        thinks=known.thinks,
        way=known.way,
    )
    return ConnectedModel(chat, asked, identity, known, reader, offered=others)


def key_from(variable: str | None) -> str | None:
    """Return the key in an environment variable; None where none is named. No message repeats what was given: it may be
    the key itself.

    Raises:
        InputError: the variable is not set, or holds no key.
    """
    if variable is None:
        return None
    if not re.fullmatch(r"[A-Za-z_]\w*", variable) or not os.environ.get(variable, "").strip():
        raise InputError(
            "api_key_env (--api-key-env) takes the name of an environment variable that holds the key; no variable of "
            "the given name is set"
        )
    return os.environ[variable]


def versioned_url(url: str) -> str:
    """Return the address of a server up to and including the version, without a path copied from an example. An address
    without a path gets ``/v1``.

    >>> versioned_url("http://localhost:11434")
    'http://localhost:11434/v1'
    >>> versioned_url("http://localhost:8000/v1/chat/completions")
    'http://localhost:8000/v1'

    Raises:
        InputError: it cannot be read, or has parts that may be a key.
    """
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError as error:
        raise InputError("the endpoint's address cannot be read; give one like http://localhost:11434/v1") from error
    if parts.query or parts.fragment:
        raise InputError(
            "the endpoint's address has a part after ? or #; give the address alone, and a key by variable"
        )
    base = url.strip().rstrip("/")
    page = next((page for page in _PAGES if parts.path.rstrip("/").endswith(page)), "")
    return base.removesuffix(page).rstrip("/") + ("" if parts.path.rstrip("/").removesuffix(page).strip("/") else "/v1")


async def _first_words(endpoint: Endpoint, model: str | None) -> tuple[OfferedModel, str | None, tuple[str, ...]]:
    """Return the model that is asked, as the server offers it; the server's version, where it says it; and the models
    that the server lists, where the one that is asked is not among them.

    Raises:
        EndpointError: it cannot be reached or refuses the key; or no model is named, and it does not list its models.
        InputError: it offers several models, and none is named; or it would answer by another model than is named.
        BackendError: it offers none.
    """
    async with endpoint:
        offered: list[OfferedModel] | None = None
        try:
            offered = await endpoint.models()
        except EndpointError as error:
            if model is None or error.reason in _HOPELESS:
                raise
        chosen = _chosen(endpoint.base_url, model, offered)
        names = [one.id for one in offered or ()]
        return chosen, await endpoint.version(chosen), () if chosen.id in names else tuple(names)


async def _tokenizes(endpoint: Endpoint) -> bool:
    """Return whether the server tokenizes as vLLM does."""
    async with endpoint:
        try:
            await endpoint.tokenize(answers.WINNER_PREFIX)
        except EndpointError:
            return False
    return True


def _chosen(base_url: str, model: str | None, offered: list[OfferedModel] | None) -> OfferedModel:
    """Return the model that is asked."""
    if model is not None:
        found = next((one for one in offered or () if model == one.id or model in one.aliases), None)
        if found is None and offered and len(offered) == 1 and offered[0].owned_by in _ANY_NAME:
            raise InputError(
                f"{base_url} has the model {offered[0].id}, and answers by it under any name, {model} too; name that "
                "one (--model), or none"
            )
        return found or OfferedModel(id=model)
    if not offered:
        raise BackendError(f"{base_url} offers no model; load one there, or name it (--model)")
    if len(offered) > 1:
        names = ", ".join(one.id for one in offered[:MOST_LISTED])
        more = f" and {len(offered) - MOST_LISTED} more" if len(offered) > MOST_LISTED else ""
        raise InputError(f"{base_url} offers several models; name one of them (--model): {names}{more}")
    return offered[0]


def _older_limit(model: OfferedModel) -> tuple[str, ...]:
    """Return the name of the token limit if the server is known to ignore it silently; otherwise nothing."""
    return ("max_completion_tokens",) if model.owned_by in _OLDER_LIMIT else ()


def _begun(endpoint: Endpoint) -> tuple[ServerBackend, Endpoint] | None:
    """Return a backend and its endpoint if the server continues a given beginning and probabilities can be read there.

    Raises:
        EndpointError: for the moment it answers nothing, however it is asked.
    """
    backend = ServerBackend(endpoint)
    try:
        (found,) = _aside(lambda: backend.answer([_question()]))
        refuse_lost([found])
        if isinstance(read_of(found), NextToken):
            return backend, endpoint
    except EndpointError as error:
        if error.reason in SERVER_REASONS:
            backend.close()
            raise
    except BackendError:
        pass  # such as a tokenizer or a template that does not allow it
    backend.close()
    return None


def _question() -> Request:
    """Return the fast question about two drawn pictures, whose answer does not matter."""
    pictures = tuple(Image.new("RGB", (64, 64), colour) for colour in ("gray", "navy"))
    choices = tuple(f" {winner}" for winner in answers.WINNER_CHOICES)
    return Request(prompts.load(prompts.COMPARE["fast"]), pictures, answers.WINNER_PREFIX, choices, None)


def _aside(work: Callable[[], _T]) -> _T:
    """Return the result of work that runs an event loop; if one is running already, as in a notebook, in a thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
