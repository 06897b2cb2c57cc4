"""A server that speaks the OpenAI chat protocol (vLLM, SGLang, hosted models), asked carefully.

What it promises: bounded concurrency; retries where a retry can help and nowhere else; a budget that is never
passed; every answer stored under what was asked, so that a run that was killed asks nothing twice; and every
request ends as a :class:`Reply` or under a reason that is counted, never as a guess.

==============================================  ================================================================
what happened                                   what is done
==============================================  ================================================================
429, 502, 503, 504, no connection, timeout      asked again up to ``max_retries`` times, after ``Retry-After`` or
                                                a delay that doubles, with jitter
500, an answer that is no chat completion       asked again ``FEW_RETRIES`` times: vLLM gives 500 for bad requests
a field that the server cannot use              asked again without it, and never sent again (`dialect`)
any other status                                fails at once: the same request would get the same answer
==============================================  ================================================================

It is plain httpx rather than the ``openai`` package. The protocol needed here is one POST. That package repeats
a 500 like a 503, waits for no ``Retry-After`` above a minute, and builds its answers without validating them, so
its retries would have to be switched off and its answers checked all the same; httpx is what it stands on and
what the core's ``huggingface-hub`` brings already.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import email.utils
import hashlib
import json
import math
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from redaes.backends.base import Failure
from redaes.backends.contents import Content, said
from redaes.backends.dialect import Dialect, changes, kind_of
from redaes.backends.refusals import OPTIONAL, refusals
from redaes.errors import (
    BackendError,
    BudgetExhausted,
    EndpointError,
    InputError,
    MissingDependency,
    ParseError,
    RecordError,
)
from redaes.images import content_id, data_url
from redaes.prompts import Prompt
from redaes.records import write_atomically
from redaes.thinking import split_thinking
from redaes.types import Record, Sampling

if TYPE_CHECKING:
    import httpx

API_KEY_VARIABLE = "REDAES_API_KEY"
"""Environment variable of the key. Not ``OPENAI_API_KEY``: that one must not travel to whatever server is named."""

FEW_RETRIES = 1
"""How often a request is repeated that may itself be at fault."""

MAX_BACKOFF_S = 60.0
"""Longest delay of our own choosing between two tries, in seconds."""

MAX_RETRY_AFTER_S = 600.0
"""Longest delay that a server may ask for, in seconds; a longer one fails the request."""

FIRST_ALONE_S = 2.0
"""How long requests wait for the first of their kind, in seconds: what a server cannot use it refuses at once, and then
is asked once more, not once more for each of them."""

_CACHE_FORMAT = "redaes-endpoint-1"
"""First part of every key: answers stored by another format are not found."""

_RETRIED = frozenset({"http_429", "http_502", "http_503", "http_504", "connection", "timeout"})
_RETRIED_A_LITTLE = frozenset({"http_500", "not_json", "not_a_completion", "no_choices"})

SERVER_REASONS = frozenset(
    {"connection", "timeout", "retry_after_too_long"}
    | {f"http_{status}" for status in (401, 403, 404, 429, 502, 503, 504)}
)
"""Reasons of failures that speak of the server and not of the question."""

_T = TypeVar("_T")


class Picture:
    """A picture on its way to a server: hashed and encoded once, however many requests show it."""

    def __init__(self, image: Image.Image) -> None:
        """
        Args:
            image: RGB or grey, as :func:`redaes.images.load_image` gives it.

        Raises:
            InputError: another mode, whose treatment is not defined here.
        """
        if image.mode not in ("RGB", "L"):
            raise InputError(f"a picture for a server has mode {image.mode}; hand over RGB")
        self.image = image.convert("RGB")

    @cached_property
    def id(self) -> str:
        """SHA-256 of size and pixels, in hex."""
        width, height = self.image.size
        return content_id(f"RGB {width}x{height}\n".encode() + self.image.tobytes())

    @cached_property
    def url(self) -> str:
        """The pixels as a ``data:`` URL: no server is ever handed an address to fetch."""
        return data_url(self.image)


@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model."""

    messages: Sequence[Mapping[str, Any]]
    """As :meth:`redaes.prompts.Prompt.messages` renders them: ``{"type": "image"}`` marks where a picture goes."""
    images: tuple[Picture, ...]
    """In the order of the marks."""
    prompt_id: str
    """``name/version@hash``."""
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    """JSON schema that the answer is to follow. A server may ignore it, so the answer is still to be checked."""
    n_logprobs: int = 0
    """Likeliest tokens to be reported at each position; 0: none. vLLM and OpenAI offer up to 20."""
    extra: Mapping[str, Any] | None = None
    """Fields of the body beyond the OpenAI protocol. A server that does not know them ignores them silently."""

    def __post_init__(self) -> None:
        marks = sum(
            part["type"] == "image"
            for message in self.messages
            if not isinstance(message["content"], str)
            for part in message["content"]
        )
        if marks != len(self.images):
            raise InputError(f"{self.prompt_id} has {marks} places for pictures, and {len(self.images)} were given")

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        images: Sequence[Picture],
        sampling: Sampling,
        *,
        schema: Mapping[str, Any] | None = None,
        n_logprobs: int = 0,
    ) -> ChatRequest:
        """The request that a prompt makes, with pictures for its slots.

        Raises:
            InputError: the number of pictures is not that of the slots.
        """
        return cls(prompt.messages(), tuple(images), prompt.id, sampling, schema, n_logprobs)


class Usage(Record):
    """Tokens that one answer cost."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class TokenLogprob(Record):
    """One token of an answer with what else could have stood there."""

    token: str
    logprob: FiniteFloat
    top: tuple[tuple[str, FiniteFloat], ...]
    """Likeliest tokens with their log-probabilities, best first."""

    @property
    def listed(self) -> dict[str, float]:
        """Log-probabilities by token: the likeliest, and the one that was taken."""
        return {self.token: self.logprob, **dict(self.top)}

    def log_probability_of(self, word: str) -> float | None:
        """Log of the share of the whole vocabulary that is ``word``, with or without white space around it.

        None: it is not listed, so it is at most as likely as :attr:`least`.
        """
        found = [logprob for token, logprob in self.listed.items() if token.strip() == word]
        if not found:
            return None
        most = max(found)
        return most + math.log(math.fsum(math.exp(logprob - most) for logprob in found))

    @property
    def least(self) -> float:
        """Log-probability of the least likely token that is listed."""
        return min([logprob for _, logprob in self.top], default=self.logprob)


class Reply(Record):
    """One answer."""

    text: str
    finish_reason: str | None
    """``stop``: complete; ``length``: cut off by ``max_new_tokens``."""
    logprobs: tuple[TokenLogprob, ...] | None
    """None: not asked for, or not offered."""
    usage: Usage | None
    """None: not reported."""
    thinking: str = ""
    """What the model wrote before its answer, where that is told apart."""
    from_thinking: bool = False
    """Whether the server put the answer where thoughts belong, and left its own place empty."""
    changes: tuple[str, ...] = ()
    """What of the request the server could not use, as :func:`redaes.backends.dialect.changes` words it:
    ``without seed``, ``temperature=1``."""
    cached: bool = False
    """Whether it was read from the cache rather than asked for."""

    def token_after(self, prefix: str) -> TokenLogprob | None:
        """The first visible token after ``prefix``, which the answer must begin with; None: there is none.

        White space around the prefix is ignored, so it does not matter whether the tokenizer joins a space to what
        follows it.
        """
        before = ""
        for token in self.logprobs or ():
            if before.strip() == prefix.strip() and token.token.strip():
                return token
            before += token.token
        return None

    def decoded(self) -> Any:
        """The text read as JSON, for requests with a schema.

        Raises:
            ParseError: ``cut_off`` or ``not_json``.
        """
        if self.finish_reason == "length":
            raise ParseError("cut_off", f"the answer ends at max_new_tokens: …{self.text[-40:]!r}")
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise ParseError("not_json", f"{self.text[:80]!r}… is not JSON ({error})") from error


class _Lenient(BaseModel):
    """What is read of a server's answer; servers add fields of their own."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)


class _TopToken(_Lenient):
    token: str
    logprob: FiniteFloat


class _Token(_TopToken):
    top_logprobs: tuple[_TopToken, ...] = ()


class _Logprobs(_Lenient):
    content: tuple[_Token, ...] | None = None


class _Message(_Lenient):
    content: Content = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(_Lenient):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(_Lenient):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Completion(_Lenient):
    choices: tuple[_Choice, ...]
    usage: _Usage | None = None


class _Tokens(_Lenient):
    tokens: tuple[int, ...]
    token_strs: tuple[str, ...] | None = None


class Endpoint:
    """One model behind one server. Used as ``async with endpoint: …``; it may be opened again afterwards.

    The budget and :attr:`counts` belong to the object: they go on over openings, not over processes.
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
    ) -> None:
        """
        Args:
            base_url: up to and including the version, such as ``http://127.0.0.1:8000/v1``.
            model: the name under which the server offers the model.
            revision: what pins the weights behind that name; part of the cache's key.
            api_key: None: the environment's ``REDAES_API_KEY``, or none at all.
            concurrency: most requests that are under way at once, waits between retries included.
            timeout_s: for one try as a whole, in seconds.
            max_retries: see the module's table.
            backoff_s: mean delay before the first retry, in seconds; doubles from try to try.
            max_calls: most requests that are sent, retries included; None: no limit.
            max_tokens: no request is sent once the reported tokens, of prompts and answers, reach this; requests
                that are under way by then still count. None: no limit.
            cache: folder of the answers; None: nothing is stored. Several processes may share it.
            seed: of the jitter.

        Raises:
            InputError: a setting that makes no sense.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"base_url is {base_url!r}; give something like http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise InputError("base_url holds a user name or password; hand the key over as api_key")
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
        self.cache = cache
        self.seed = seed
        self.counts: Counter[str] = Counter()
        """``calls`` sent, ``tokens`` reported, and requests that ended ``ok``, ``cached`` or
        ``failed: <reason>``; each further try counts under ``retried: <reason>``, each field that the server refused
        under ``refused: <field>``, and each answer to a request that was changed for it under ``answered <change>``."""
        self.dialect = Dialect()
        """What the server has refused so far; kept as long as the object."""
        self._api_key = api_key if api_key is not None else os.environ.get(API_KEY_VARIABLE)
        self._client: httpx.AsyncClient | None = None
        self._slots: asyncio.Semaphore | None = None
        self._first_of_kind: dict[object, asyncio.Event] = {}

    async def __aenter__(self) -> Endpoint:
        """Open the connections.

        Raises:
            BackendError: it is open already.
            MissingDependency: httpx is absent.
        """
        if self._client is not None:
            raise BackendError(f"{self.base_url} is open already; share the open endpoint instead")
        httpx = _httpx()
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self._api_key}"} if self._api_key else {},
            # One try as a whole is timed in _send: httpx times each read alone, which a trickle outlives.
            timeout=None,
            limits=httpx.Limits(max_connections=self.concurrency),
        )
        self._slots = asyncio.Semaphore(self.concurrency)  # made here, because it belongs to the running loop
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        client, self._client, self._slots = self._client, None, None
        if client is not None:
            await client.aclose()

    async def ask(self, request: ChatRequest) -> Reply:
        """One answer, from the cache or from the server.

        Raises:
            EndpointError: there is none; carries the reason, which has been counted.
            BudgetExhausted: an EndpointError; the request would pass the budget.
            BackendError: the endpoint is not open.
            RecordError: the cache cannot be read or written.
        """
        if self._slots is None:
            raise BackendError(f"{self.base_url} is not open; ask within 'async with endpoint:'")
        key = self.key(request)
        async with self._slots:
            # Looked up with a slot in hand: an equal request that went before may be answered by now.
            reply = self._stored(key)
            if reply is not None:
                self.counts["cached"] += 1
                self.counts.update(f"answered {change}" for change in reply.changes)
                return reply
            try:
                reply = await self._answer(request, key)
            except EndpointError as error:
                self.counts[f"failed: {error.reason}"] += 1
                raise
            self.counts["ok"] += 1
            self.counts.update(f"answered {change}" for change in reply.changes)
            return self._store(key, reply)

    async def ask_many(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        """The answers in the order of the requests; a request that fails loses only itself.

        Once the budget is spent, what is not in the cache fails as ``budget_exhausted``: the caller decides
        whether that ends the run.

        Raises:
            BackendError: the endpoint is not open.
            RecordError: the cache cannot be read or written.
        """
        tasks = [asyncio.create_task(self._reply_or_failure(request)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:  # after an error, nothing goes on spending unseen
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def key(self, request: ChatRequest) -> str:
        """The name of an answer: SHA-256 of everything that decides it, in hex. The server's address does not,
        and the API key is no part of it."""
        parts = (
            _CACHE_FORMAT,
            self.model,
            self.revision,
            request.prompt_id,
            _canonical(request.messages),
            *(picture.id for picture in request.images),
            request.sampling.model_dump_json(),
            _canonical(request.schema),
            str(request.n_logprobs),
            *(() if request.extra is None else (_canonical(request.extra),)),
        )
        digest = hashlib.sha256()
        for part in parts:
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)  # lengths keep ("ab", "c") apart from ("a", "bc")
        return digest.hexdigest()

    async def tokenize(self, text: str) -> list[int]:
        """The tokens of a text, by vLLM's ``/tokenize`` beside ``/v1``; not stored, and no call of the budget.

        Raises:
            EndpointError: there is no answer; ``http_404``: the server offers no such thing.
            BackendError: the endpoint is not open.
        """
        return list((await self._tokenize({"prompt": text, "add_special_tokens": False}, text)).tokens)

    async def rendered(self, messages: Sequence[dict[str, str]], **fields: Any) -> str | None:
        """A chat of texts as the server's template renders it, spelt as its tokens are; a server that does not spell
        them gives None. Otherwise as :meth:`tokenize`.

        Args:
            messages: the chat.
            fields: more of the request, such as ``chat_template_kwargs``.
        """
        asked = {"messages": list(messages), "return_token_strs": True, **fields}
        found = await self._tokenize(asked, "a chat")
        return None if found.token_strs is None else "".join(found.token_strs)

    async def _tokenize(self, asked: dict[str, Any], what: str) -> _Tokens:
        if self._slots is None:
            raise BackendError(f"{self.base_url} is not open; ask within 'async with endpoint:'")
        url = f"{self.base_url.removesuffix('/v1')}/tokenize"
        body = json.dumps({"model": self.model, **asked}).encode()

        async def attempt() -> _Tokens:
            data = await self._send(url, body)
            try:
                found = _Tokens.model_validate_json(data)
            except ValidationError as error:
                raise _Rejected("not_tokens", f"{url} answers {self._shown(data)}") from error
            if not found.tokens and asked.get("prompt") != "":
                # llama.cpp's server reads another field than "prompt", and finds it empty
                raise _Rejected("not_tokens", f"{url} finds no token in {what!r}: it is not vLLM's")
            return found

        async with self._slots:
            return await self._with_retries(attempt, f"tokenize {what}")

    async def forward(self, body: bytes) -> tuple[int, bytes]:
        """Status and content of the server's answer to a chat request that somebody else wrote; one try, and
        nothing is stored or counted.

        Raises:
            EndpointError: no connection, or no answer in time.
            BackendError: the endpoint is not open.
        """
        if self._slots is None:
            raise BackendError(f"{self.base_url} is not open; ask within 'async with endpoint:'")
        async with self._slots:
            try:
                response = await self._post(f"{self.base_url}/chat/completions", body)
            except _Rejected as rejected:
                raise EndpointError(rejected.reason, rejected.detail) from rejected
        return response.status_code, bytes(response.content)

    async def _reply_or_failure(self, request: ChatRequest) -> Reply | Failure:
        try:
            return await self.ask(request)
        except EndpointError as error:
            return Failure(error.reason, str(error))

    async def _answer(self, request: ChatRequest, key: str) -> Reply:
        body = await asyncio.to_thread(self._body, request)  # encoding pictures would hold up the other requests

        async def attempt() -> Reply:
            return await self._adapted(body)

        # The delays are of the request's own: they do not depend on what else is under way.
        return await self._with_retries(attempt, key)

    async def _adapted(self, body: Mapping[str, Any]) -> Reply:
        """One try, and one more whenever the server names fields that it cannot use.

        Raises:
            _Rejected: no usable answer.
            BudgetExhausted: no call is left.
        """
        written = self.dialect.written(body)
        first = self._first_of_kind.get(kind_of(written))
        if first is None:
            first = self._first_of_kind[kind_of(written)] = asyncio.Event()
        elif not first.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(first.wait(), FIRST_ALONE_S)
            written = self.dialect.written(body)
        try:
            for _ in OPTIONAL:  # each time, one of them at least goes
                self._spend()
                try:
                    data = await self._send(
                        f"{self.base_url}/chat/completions", await asyncio.to_thread(_json, written)
                    )
                    return self._reply(data, changes(body, written))
                except _Rejected as rejected:
                    refused = refusals(rejected.status, rejected.content, written)
                    if not refused:
                        raise
                    last = rejected
                self.dialect.learn(refused)
                self.counts.update(f"refused: {refusal.field}" for refusal in refused)
                written = self.dialect.written(body)
            raise last
        finally:
            first.set()

    async def _with_retries(self, attempt: Callable[[], Awaitable[_T]], key: str) -> _T:
        """What the first try that succeeds gives.

        Raises:
            EndpointError: none does, by the module's table.
        """
        rng = random.Random(f"{self.seed}:{key}")
        tries = 0
        while True:
            try:
                return await attempt()
            except _Rejected as rejected:
                if tries >= self._retries(rejected.reason):
                    raise EndpointError(rejected.reason, f"{rejected.detail} (tried {tries + 1} times)") from rejected
                delay_s = rejected.retry_after_s
                if delay_s is not None and delay_s > MAX_RETRY_AFTER_S:
                    raise EndpointError(
                        "retry_after_too_long", f"the server asks to wait {delay_s:.0f} s; start again later"
                    ) from rejected
                if delay_s is None:
                    delay_s = min(MAX_BACKOFF_S, self.backoff_s * 2.0**tries) * rng.uniform(0.5, 1.5)
                self.counts[f"retried: {rejected.reason}"] += 1
            tries += 1
            await asyncio.sleep(delay_s)

    def _retries(self, reason: str) -> int:
        if reason in _RETRIED:
            return self.max_retries
        return min(FEW_RETRIES, self.max_retries) if reason in _RETRIED_A_LITTLE else 0

    def _spend(self) -> None:
        """Take one call off the budget, or refuse it."""
        if self.max_calls is not None and self.counts["calls"] >= self.max_calls:
            raise BudgetExhausted(f"all {self.max_calls} calls are spent; raise max_calls to go on")
        if self.max_tokens is not None and self.counts["tokens"] >= self.max_tokens:
            raise BudgetExhausted(f"{self.counts['tokens']} of {self.max_tokens} tokens are spent; raise max_tokens")
        self.counts["calls"] += 1

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        """The request as the protocol has it, before the server has refused anything of it."""
        pictures = iter(request.images)
        messages = copy.deepcopy([dict(message) for message in request.messages])
        for message in messages:
            if not isinstance(message["content"], str):
                message["content"] = [
                    {"type": "image_url", "image_url": {"url": next(pictures).url}} if part["type"] == "image" else part
                    for part in message["content"]
                ]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": request.sampling.temperature,
            # The older name, max_tokens, is refused by OpenAI's newer models; vLLM and SGLang take both.
            "max_completion_tokens": request.sampling.max_new_tokens,
            "seed": request.sampling.seed,
        }
        if request.n_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.n_logprobs}
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | dict(request.extra or {})

    async def _send(self, url: str, body: bytes) -> bytes:
        """One try.

        Raises:
            _Rejected: no connection, no answer in time, or a status that is not 200.
        """
        response = await self._post(url, body)
        if response.status_code != 200:
            raise _Rejected(
                f"http_{response.status_code}",
                f"{self.base_url} answers {response.status_code}: {self._shown(response.content)}",
                _retry_after_s(response.headers.get("Retry-After")),
                response.status_code,
                bytes(response.content),
            )
        return bytes(response.content)

    async def _post(self, url: str, body: bytes) -> httpx.Response:
        """One try, whatever its status.

        Raises:
            _Rejected: no connection, or no answer in time.
        """
        httpx = _httpx()
        assert self._client is not None
        post = self._client.post(url, content=body, headers={"Content-Type": "application/json"})
        try:
            return await asyncio.wait_for(post, self.timeout_s)
        except asyncio.TimeoutError as error:
            raise _Rejected("timeout", f"no answer from {self.base_url} within {self.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise _Rejected("connection", f"{self.base_url}: {error or type(error).__name__}") from error

    def _reply(self, data: bytes, made: tuple[str, ...]) -> Reply:
        """The answer in a response; its tokens are counted whether it is usable or not.

        Raises:
            _Rejected: there is none.
        """
        try:
            decoded = json.loads(data)
        except (ValueError, RecursionError) as error:  # the latter: brackets within brackets without end
            raise _Rejected("not_json", f"{self.base_url} answers {self._shown(data)}") from error
        try:
            completion = _Completion.model_validate(decoded)
        except ValidationError as error:
            raise _Rejected("not_a_completion", f"{self.base_url} answers {self._shown(data)}") from error
        usage = None
        if completion.usage is not None:
            usage = Usage(**dict(completion.usage))
            self.counts["tokens"] += usage.total_tokens
        elif self.max_tokens is not None:
            raise _Rejected("no_usage", "the server reports no tokens; use max_calls instead of max_tokens")
        if not completion.choices:
            raise _Rejected("no_choices", f"{self.base_url} answers without a choice")
        choice = completion.choices[0]
        message = choice.message
        if message.content is None and message.refusal is not None:
            raise _Rejected("refused", self._shown(message.refusal.encode()))
        listed = () if choice.logprobs is None else choice.logprobs.content or ()
        heard = said(
            message.content,
            message.reasoning_content or message.reasoning or "",
            cut_off=choice.finish_reason == "length",
            tokens=[token.token for token in listed],
        )
        if isinstance(heard, Failure):
            raise _Rejected(heard.reason, f"{heard.detail} (finish_reason {choice.finish_reason})")
        offered = choice.logprobs is not None and choice.logprobs.content is not None and heard.first_token is not None
        return Reply(
            text=heard.text,
            finish_reason=choice.finish_reason,
            logprobs=None
            if not offered
            else tuple(
                TokenLogprob(
                    token=token.token,
                    logprob=token.logprob,
                    top=tuple((other.token, other.logprob) for other in token.top_logprobs),
                )
                for token in listed[heard.first_token :]
            ),
            usage=usage,
            thinking=heard.thinking,
            from_thinking=heard.from_thinking,
            changes=made,
        )

    def _shown(self, data: bytes) -> str:
        """The beginning of a server's words, fit for a message: servers repeat keys in their complaints."""
        text = data.decode("utf-8", "replace")
        if self._api_key:
            text = text.replace(self._api_key, "***")
        return repr(text[:200])

    def _path(self, key: str) -> Path | None:
        return None if self.cache is None else self.cache / key[:2] / f"{key}.json"

    def _stored(self, key: str) -> Reply | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            reply = Reply.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:  # files appear whole: this one was altered
            raise RecordError(f"{path} is no stored answer; delete it") from error
        # Answers that were stored before thoughts were told apart still hold them, and their tokens.
        split = split_thinking(reply.text)
        if not split.thinking or not split.closed:
            return reply.model_copy(update={"cached": True})
        apart = {"text": split.answer, "thinking": split.thinking, "logprobs": None}
        return reply.model_copy(update={**apart, "cached": True})

    def _store(self, key: str, reply: Reply) -> Reply:
        """Store an answer, and return the one that counts: the first, should another process have been faster."""
        path = self._path(key)
        if path is None:
            return reply
        temporary = path.with_name(f".{key}.{os.getpid()}.new")
        write_atomically(temporary, reply.model_dump_json(exclude={"cached"}).encode())
        try:
            os.link(temporary, path)  # unlike a renaming, a link never replaces what is there
        except FileExistsError:
            return self._stored(key) or reply
        except OSError as error:
            raise RecordError(
                f"{path} cannot be made: {error.strerror}; put the cache on a file system with hard links"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return reply


def refuse_lost(answers: Sequence[object]) -> None:
    """Go on only if the answers say something about the questions.

    Args:
        answers: of one batch; those that are a :class:`Failure` count.

    Raises:
        BudgetExhausted: not all could be asked.
        EndpointError: all failed for reasons that lie with the server.
    """
    failures = [answer for answer in answers if isinstance(answer, Failure)]
    for failure in failures:
        if failure.reason == "budget_exhausted":
            raise BudgetExhausted(failure.detail)
    if answers and len(failures) == len(answers) and all(failure.reason in SERVER_REASONS for failure in failures):
        most = Counter(failure.reason for failure in failures).most_common(1)[0][0]
        raise EndpointError(most, f"none of {len(answers)} questions was answered; the last: {failures[-1].detail}")


class _Rejected(Exception):
    """One try that gave no answer."""

    def __init__(
        self, reason: str, detail: str, retry_after_s: float | None = None, status: int = 0, content: bytes = b""
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.status = status
        self.content = content


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise MissingDependency("httpx", "serve") from error
    return httpx


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _retry_after_s(header: str | None) -> float | None:
    """Seconds that a server asks to wait, given as a number or as a date; None: it does not say, or nonsense."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
