"""Send requests to a server of the OpenAI chat protocol (vLLM, SGLang, hosted models), with limits and retries.

It guarantees bounded concurrency, retries only where a retry can help, and a budget that is never exceeded. Every
answer is stored under a key of its request, so that a run that was killed asks nothing twice. Every request ends as a
:class:`Reply` or with a reason that is counted, never as a guess.

==============================================  ================================================================
what happened                                   what is done
==============================================  ================================================================
429, 502, 503, 504, no connection, timeout      asked again up to ``max_retries`` times, after ``Retry-After`` or
                                                a delay that doubles, with jitter
500, an answer that is no chat completion       asked again ``FEW_RETRIES`` times: vLLM gives 500 for bad requests
a field that the server cannot use              asked again without it, and never sent again (`dialect`)
a limit on pictures                             asked again within it, and all that follow too (`picture_limits`)
any other status                                fails at once: the same request would get the same answer
==============================================  ================================================================

It uses httpx and not the ``openai`` package, since the protocol needed here is one POST. That package repeats a 500
like a 503, ignores a ``Retry-After`` above a minute, and builds its answers without validating them, so that its
retries would have to be switched off and its answers checked anyway. It is itself built on httpx, which
``huggingface-hub``, a core dependency, installs already.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from redaes.backends.at_once import EqualWork, together
from redaes.backends.chat_replies import Completion, Reply, without_half_characters
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.connections import library, open_client, remedy
from redaes.backends.dialect import Dialect, changes, kind_of
from redaes.backends.failures import Failure
from redaes.backends.offered_models import VERSION_PLACES, OfferedModel, OfferedModels
from redaes.backends.picture_limits import PictureLimits, named_limits, urls_within
from redaes.backends.refusals import OPTIONAL, Refusal, refusals
from redaes.backends.reply_cache import ReplyCache
from redaes.backends.retrying import Rejected, retry_after_s, with_retries
from redaes.errors import BackendError, BudgetExhausted, EndpointError, InputError

if TYPE_CHECKING:
    import httpx

API_KEY_VARIABLE = "REDAES_API_KEY"
"""Environment variable with the API key. It is not ``OPENAI_API_KEY``, which must not be sent to just any server."""

FIRST_ALONE_S = 2.0
"""How long requests wait for the first of their kind, in seconds. A server refuses a field that it cannot use at once;
then only the first request is repeated, and not each of them."""

MAX_SHRINKINGS = 4
"""How often the pictures of one request are shrunk again: a server may name one limit after another."""

_OVER_LIMIT = 16
"""Tokens that an answer may have beyond its limit before the limit counts as ignored: special tokens count too."""

_T = TypeVar("_T")
_ModelT = TypeVar("_ModelT", bound=BaseModel)


class _Tokens(BaseModel):
    """The answer of ``/tokenize``; servers add fields of their own."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    tokens: tuple[int, ...]
    token_strs: tuple[str, ...] | None = None


def checked_key(key: str) -> str:
    """Return a key in the form in which a header can contain it, without white space around it; empty: no key.

    Raises:
        InputError: a header cannot contain it. The message does not repeat the key, as that of httpx would.
    """
    if not isinstance(key, str):
        raise InputError(f"the server's key is of type {type(key).__name__}; give it as text")
    key = key.strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise InputError("the server's key holds white space or characters beyond ASCII; copy it again")
    return key


class Endpoint:
    """One model behind one server. Use it as ``async with endpoint: …``; it may be opened again afterwards.

    The budget and :attr:`counts` belong to the object: they continue when it is opened again, but not in another
    process.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        revision: str = "",
        api_key: str | None = None,
        concurrency: int = 8,
        timeout_s: float = 60.0,
        max_retries: int = 5,
        backoff_s: float = 1.0,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        cache: Path | None = None,
        seed: int = 0,
        dialect: Dialect | None = None,
        passes_on: frozenset[str] = frozenset(),
    ) -> None:
        """
        Args:
            base_url: address up to and including the version, such as ``http://127.0.0.1:8000/v1``.
            model: the name under which the server offers the model.
            revision: revision of the weights behind that name; part of the cache's key.
            api_key: None: the environment's ``REDAES_API_KEY``, or none at all.
            concurrency: most requests that are under way at once, waits between retries included.
            timeout_s: time limit of one whole try, in seconds.
            max_retries: see the module's table.
            backoff_s: mean delay before the first retry, in seconds; doubles from try to try.
            max_calls: most requests that are sent, retries included; None: no limit.
            max_tokens: no request is sent once the reported tokens, of prompts and answers, reach this; requests
                that are under way by then still count. None: no limit.
            cache: folder of the answers; None: nothing is stored. Several processes may share it.
            seed: seed of the jitter.
            dialect: what the server is known to refuse; None: nothing yet.
            passes_on: reasons for which this object neither retries nor counts, because the caller decides what comes
                next: another server, or this one later.

        Raises:
            InputError: a setting is out of range, or the key cannot be sent.
        """
        parts = urlsplit(base_url)
        if parts.username or parts.password or (not parts.netloc and "@" in base_url):
            raise InputError(
                "the server's address (base_url) holds a user name or password; leave it out, and hand the key over by "
                f"the variable {API_KEY_VARIABLE}, or as api_key"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"the server's address (base_url) is {base_url!r}; give it with http:// or https://, such as "
                "http://127.0.0.1:8000/v1"
            )
        for name, value, least in (("concurrency", concurrency, 1), ("max_retries", max_retries, 0)):
            if value < least:
                raise InputError(f"{name} is {value}; give at least {least}")
        for name, seconds in (("timeout_s", timeout_s), ("backoff_s", backoff_s)):
            if not seconds > 0:
                raise InputError(f"{name} is {seconds}; give more than 0 seconds")
        for name, limit in (("max_calls", max_calls), ("max_tokens", max_tokens)):
            if limit is not None and limit < 0:
                raise InputError(f"{name} is {limit}; give at least 0, or None for no limit")
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.revision = revision
        self.concurrency = concurrency
        self.timeout_s = timeout_s
        self.max_retries = max_retries
        self.backoff_s = backoff_s
        self.max_calls = max_calls
        self.max_tokens = max_tokens
        self._cache = ReplyCache(cache)
        self._passes_on = passes_on
        self.seed = seed
        self.counts: Counter[str] = Counter()
        """``calls`` sent, ``tokens`` reported, ``tokens written`` among them, and requests that ended ``ok``,
        ``cached`` or ``failed: <reason>``; each further try counts under ``retried: <reason>``, each field that the
        server refused under ``refused: <field>``, and each answer to a request that was changed for it under
        ``answered <change>``."""
        self.last_failure = ""
        """Why the last request that failed did so; empty: none has failed."""
        self.dialect = Dialect() if dialect is None else dialect
        """What the server has refused so far; it lasts as long as the object."""
        self._api_key = checked_key(os.environ.get(API_KEY_VARIABLE, "") if api_key is None else api_key)
        self._client: httpx.AsyncClient | None = None
        self._slots: asyncio.Semaphore | None = None
        self._equal = EqualWork()
        self._first_of_kind: dict[object, asyncio.Event] = {}
        self._answered_kinds: set[object] = set()

    async def __aenter__(self) -> Endpoint:
        """Open the connections.

        Raises:
            BackendError: it is open already.
            InputError: the environment names a proxy or certificates that cannot be used.
            MissingDependency: httpx is absent.
        """
        if self._client is not None:
            raise BackendError(f"{self.base_url} is open already; share the open endpoint instead")
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        self._client = open_client(self.base_url, headers, self.concurrency)
        self._slots = asyncio.Semaphore(self.concurrency)  # made here, because it belongs to the running loop
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        client, self._client, self._slots = self._client, None, None
        if client is not None:
            await client.aclose()

    def again(self) -> Endpoint:
        """Return an endpoint with the same server, counts, budget and dialect but its own connections: for another
        thread, or for use while this one is open."""
        twin = copy.copy(self)
        twin._client, twin._slots, twin._equal, twin._first_of_kind = None, None, EqualWork(), {}  # per event loop
        return twin

    async def ask(self, request: ChatRequest) -> Reply:
        """Return one answer, from the cache or from the server.

        Raises:
            EndpointError: there is none; carries the reason, which has been counted.
            BudgetExhausted: an EndpointError; the request would pass the budget.
            BackendError: the endpoint is not open.
            RecordError: the cache cannot be read or written.
        """
        key = self.key(request)
        # If answers are stored, an equal request at the same time must not be sent and paid for twice.
        turn = self._equal.turn(key) if self._cache.keeps else contextlib.nullcontext()
        async with turn, self._open_slots():
            reply = self.kept(request)
            if reply is not None:
                return reply
            try:
                reply = await self._answer(request, key)
            except EndpointError as error:
                if error.reason not in self._passes_on:
                    self.counts[f"failed: {error.reason}"] += 1
                self.last_failure = str(error)
                raise
            self.counts["ok"] += 1
            self.counts.update(f"answered {change}" for change in reply.changes)
            # A disk may take its time, and other requests share the event loop.
            return await asyncio.to_thread(self._cache.keep, key, reply)

    async def ask_many(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        """Return the answers in the order of the requests; a request that fails loses only itself.

        Once the budget is spent, what is not in the cache fails as ``budget_exhausted``: the caller decides
        whether that ends the run.

        Raises:
            BackendError: the endpoint is not open.
            RecordError: the cache cannot be read or written.
        """
        return await together(self._reply_or_failure(request) for request in requests)

    def kept(self, request: ChatRequest) -> Reply | None:
        """Return the stored answer to a request, and count it; None: there is none. The endpoint need not be open.

        Raises:
            RecordError: the cache cannot be read.
        """
        reply = self._cache.find(self.key(request))
        if reply is not None:
            self.counts["cached"] += 1
            self.counts.update(f"answered {change}" for change in reply.changes)
        return reply

    def key(self, request: ChatRequest) -> str:
        """Return the key under which the answer of this model is stored."""
        return request.key(self.model, self.revision)

    async def models(self) -> list[OfferedModel]:
        """Return what the server offers, by ``/models``; asked once, not stored, and no call of the budget.

        Raises:
            EndpointError: it does not say, in its own words; ``not_a_list``: it answers something else.
            BackendError: the endpoint is not open.
        """
        url = f"{self.base_url}/models"

        async def attempt() -> OfferedModels:
            return self._valid(OfferedModels, await self._send(url, None), "not_a_list", url)

        return list((await self._once(attempt)).data)

    async def version(self, model: OfferedModel) -> str | None:
        """Return the version of the server's program; None: it is not known to report one. Sends one request, which
        does not count for the budget.

        Args:
            model: as the server offers it.

        Raises:
            BackendError: the endpoint is not open.
        """
        place = VERSION_PLACES.get(model.owned_by or "")
        if place is None:
            return None
        path, field = place
        url = f"{self.base_url.removesuffix('/v1')}/{path}"
        try:
            found = json.loads(await self._once(lambda: self._send(url, None)))
        except (EndpointError, ValueError, RecursionError):
            return None  # nothing depends on it
        said = found.get(field) if isinstance(found, dict) else None
        return said[:200] if isinstance(said, str) else None

    async def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a text, by vLLM's ``/tokenize`` beside ``/v1``; not stored, and free for the budget.

        Raises:
            EndpointError: there is no answer; ``http_404``: the server offers no such thing.
            BackendError: the endpoint is not open.
        """
        return list((await self._tokenize({"prompt": text, "add_special_tokens": False}, text)).tokens)

    async def rendered(self, messages: Sequence[dict[str, str]], **fields: Any) -> str | None:
        """Return a chat of texts as the server's template renders it, joined from the texts of its tokens; None: the
        server does not report these. Otherwise like :meth:`tokenize`.

        Args:
            messages: the chat.
            fields: more of the request, such as ``chat_template_kwargs``.
        """
        asked = {"messages": list(messages), "return_token_strs": True, **fields}
        found = await self._tokenize(asked, "a chat")
        return None if found.token_strs is None else "".join(found.token_strs)

    async def _tokenize(self, asked: dict[str, Any], what: str) -> _Tokens:
        url = f"{self.base_url.removesuffix('/v1')}/tokenize"
        body = json.dumps({"model": self.model, **asked}).encode()

        async def attempt() -> _Tokens:
            found = self._valid(_Tokens, await self._send(url, body), "not_tokens", url)
            if not found.tokens and asked.get("prompt") != "":
                # llama.cpp's server reads another field than "prompt", and finds it empty
                raise Rejected("not_tokens", f"{url} finds no token in {what!r}: it is not vLLM's")
            return found

        async with self._open_slots():
            return await self._retried(attempt, f"tokenize {what}")

    async def forward(self, body: bytes) -> tuple[int, bytes]:
        """Pass on a chat request that a client wrote, and return the status and content of the server's answer; one
        try, and nothing is stored or counted.

        Raises:
            EndpointError: no connection, or no answer in time.
            BackendError: the endpoint is not open.
        """
        response = await self._once(lambda: self._exchange(f"{self.base_url}/chat/completions", body))
        return response.status_code, bytes(response.content)

    def _open_slots(self) -> asyncio.Semaphore:
        if self._slots is None:
            raise BackendError(f"{self.base_url} is not open; ask within 'async with endpoint:'")
        return self._slots

    async def _once(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of one try."""
        async with self._open_slots():
            try:
                return await attempt()
            except Rejected as rejected:
                raise EndpointError(rejected.reason, rejected.detail) from rejected

    async def _reply_or_failure(self, request: ChatRequest) -> Reply | Failure:
        try:
            return await self.ask(request)
        except EndpointError as error:
            return Failure(error.reason, str(error))

    async def _answer(self, request: ChatRequest, key: str) -> Reply:
        async def attempt() -> Reply:
            return await self._adapted(request)

        # The delays depend on the request alone, and not on what else is under way.
        return await self._retried(attempt, key)

    def _body(self, request: ChatRequest, limits: PictureLimits) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return a request within the server's limits on pictures, and what was done to it for them.

        Raises:
            Rejected: it has too many pictures.
        """
        if limits.n is not None and len(request.images) > limits.n:
            raise Rejected(
                "too_many_pictures",
                f"{self.base_url} takes at most {limits.n} pictures of a request, and this one shows "
                f"{len(request.images)}: allow more there (vLLM: --limit-mm-per-prompt), or use another model",
            )
        urls, shrunk = urls_within(request.images, limits)
        return request.body(self.model, urls), (limits.change,) if shrunk else ()

    async def _adapted(self, request: ChatRequest) -> Reply:
        """Try once, and again each time the server names fields that it cannot use or a limit on pictures.

        Raises:
            Rejected: no usable answer.
            BudgetExhausted: no call is left.
        """
        # Encoding pictures would hold up the other requests.
        limits = self.dialect.pictures
        body, shrunk = await asyncio.to_thread(self._body, request, limits)
        written = self.dialect.written(body)
        kind = kind_of(written)
        first = self._first_of_kind.get(kind)
        if first is None:
            first = self._first_of_kind[kind] = asyncio.Event()
        elif not first.is_set() and kind not in self._answered_kinds:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(first.wait(), FIRST_ALONE_S)
            written = self.dialect.written(body)
        try:
            for _ in range(len(OPTIONAL) + MAX_SHRINKINGS):  # each time at least one of them goes
                self._spend()
                try:
                    data = await self._send(
                        f"{self.base_url}/chat/completions", await asyncio.to_thread(_json, written)
                    )
                    reply = self._reply(data, (*changes(body, written), *shrunk))
                    self._check_limit(written, reply)
                    return reply
                except Rejected as rejected:
                    last = rejected
                refused = refusals(last.status, last.content, written)
                self.dialect.learn(refused)
                self.counts.update(f"refused: {refusal.field}" for refusal in refused)
                if not refused:
                    known, limits = limits, self._learn_limits(request, limits, last)
                    if limits == known:
                        raise last
                    body, shrunk = await asyncio.to_thread(self._body, request, limits)
                written = self.dialect.written(body)
            raise last
        finally:
            self._answered_kinds.add(kind)
            first.set()

    def _learn_limits(self, request: ChatRequest, sent: PictureLimits, rejected: Rejected) -> PictureLimits:
        """Return the limits on pictures that are known after the refusal of a request that was sent within earlier
        limits.
        """
        sizes = [sent.size(*picture.image.size) for picture in request.images]
        named = named_limits(rejected.status, rejected.content, [width * height for width, height in sizes])
        if named is None or sent.within(named) == sent:
            return sent
        self.counts["refused: pictures"] += 1
        return self.dialect.learn_limits(named)

    async def _retried(self, attempt: Callable[[], Awaitable[_T]], key: str) -> _T:
        rng = random.Random(f"{self.seed}:{key}")
        return await with_retries(
            attempt,
            rng,
            max_retries=self.max_retries,
            backoff_s=self.backoff_s,
            counts=self.counts,
            never=self._passes_on,
        )

    def _spend(self) -> None:
        """Charge one call to the budget, or refuse it."""
        if self.max_calls is not None and self.counts["calls"] >= self.max_calls:
            raise BudgetExhausted(f"all {self.max_calls} calls are spent; raise max_calls to go on")
        if self.max_tokens is not None and self.counts["tokens"] >= self.max_tokens:
            raise BudgetExhausted(f"{self.counts['tokens']} of {self.max_tokens} tokens are spent; raise max_tokens")
        self.counts["calls"] += 1

    async def _send(self, url: str, body: bytes | None) -> bytes:
        """Return one try.

        Raises:
            Rejected: no connection, no answer in time, or a status that is not 200.
        """
        response = await self._exchange(url, body)
        if response.status_code != 200:
            raise Rejected(
                f"http_{response.status_code}",
                f"{self.base_url} answers {response.status_code}: {self._shown(response.content)}",
                retry_after_s(response.headers.get("Retry-After")),
                response.status_code,
                bytes(response.content),
            )
        return bytes(response.content)

    async def _exchange(self, url: str, body: bytes | None) -> httpx.Response:
        """Return one try, whatever its status; without a body, the address is read.

        Raises:
            Rejected: no connection, or no answer in time.
        """
        httpx = library()
        assert self._client is not None
        if body is None:
            asked = self._client.get(url)
        else:
            asked = self._client.post(url, content=body, headers={"Content-Type": "application/json"})
        try:
            return await asyncio.wait_for(asked, self.timeout_s)
        except asyncio.TimeoutError as error:
            raise Rejected("timeout", f"no answer from {self.base_url} within {self.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise Rejected(
                "connection", f"{self.base_url}: {error or type(error).__name__}{remedy(self.base_url, error)}"
            ) from error

    def _valid(self, kind: type[_ModelT], data: bytes, reason: str, url: str) -> _ModelT:
        """Return the answer of an address, validated as a model.

        Raises:
            Rejected: it is something else.
        """
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            raise Rejected(reason, f"{url} answers {self._shown(data)}") from error

    def _reply(self, data: bytes, made: tuple[str, ...]) -> Reply:
        """Return the answer in a response; its tokens are counted whether it is usable or not.

        Raises:
            Rejected: there is none.
        """
        try:
            decoded = json.loads(data)
            if b"\\ud" in data.lower():
                decoded = without_half_characters(decoded)
        except (ValueError, RecursionError) as error:  # RecursionError: endlessly nested brackets
            raise Rejected("not_json", f"{self.base_url} answers {self._shown(data)}") from error
        try:
            completion = Completion.model_validate(decoded)
        except ValidationError as error:
            raise Rejected("not_a_completion", f"{self.base_url} answers {self._shown(data)}") from error
        if completion.usage is not None:
            self.counts["tokens"] += completion.usage.prompt_tokens + completion.usage.completion_tokens
            self.counts["tokens written"] += completion.usage.completion_tokens
        elif self.max_tokens is not None:
            raise Rejected("no_usage", "the server reports no tokens; use max_calls instead of max_tokens")
        reply = completion.reply(made)
        if not isinstance(reply, Failure):
            return reply
        if reply.reason == "no_choices":
            raise Rejected("no_choices", f"{self.base_url} answers without a choice")
        raise Rejected(reply.reason, self._shown(reply.detail.encode()) if reply.reason == "refused" else reply.detail)

    def _check_limit(self, written: Mapping[str, Any], reply: Reply) -> None:
        """Detect from an answer that exceeds its limit that the server knows the limit only by its older name: some
        servers ignore unknown fields silently."""
        limit = written.get("max_completion_tokens")
        if limit is not None and reply.usage is not None and reply.usage.completion_tokens > limit + _OVER_LIMIT:
            self.dialect.learn([Refusal("max_completion_tokens")])
            self.counts["refused: max_completion_tokens"] += 1

    def _shown(self, data: bytes) -> str:
        """Return the beginning of a server's answer for a message, with the key removed: servers may repeat it."""
        text = data.decode("utf-8", "replace")
        if self._api_key:
            text = text.replace(self._api_key, "***")
        return repr(text[:200])


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
