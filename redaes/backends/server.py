"""A model behind vLLM's OpenAI-compatible server, asked like a local one.

Probabilities are exact: the answer is begun for the model (``continue_final_message``), the token of each choice is
looked up once (``/tokenize``), and the server reports the log-probabilities of just these tokens
(``logprob_token_ids``) over the whole vocabulary. A server that does not know these fields ignores them and says so
by their absence, which fails the request as ``no_logprob``; it is never read as an answer.

If this has never worked, because the server has no ``/tokenize`` or does not know the field, the likeliest tokens that
it lists are read instead, and answers say ``listed`` from then on. Only tokens that equal a choice exactly, including
the space, count: a server that begins a new answer instead of continuing the given one starts it without a space.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import math
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from redaes import prompts
from redaes.answer_grammars import grammar_of
from redaes.backends.abilities import Structured
from redaes.backends.base import Answer, Request, grouped, joined
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import N_LOGPROBS, ChatRequest
from redaes.backends.chat_templates import opens_thinking
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken
from redaes.backends.pictures import Encoder
from redaes.backends.structured import held_by, json_fields
from redaes.backends.temperatures import Temperature
from redaes.errors import BackendError, EndpointError, PromptError
from redaes.lenient import Reader
from redaes.types import Form, ProbabilitySource, Sampling

_READ = Sampling(max_new_tokens=1)

_CONTINUED = {"continue_final_message": True, "add_generation_prompt": False}

# Stated explicitly, because the server would otherwise take them from the model's generation_config.json.
_PLAIN_SAMPLING = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}

_NO_TOKENIZER = frozenset({"http_400", "http_404", "http_405", "http_422", "http_501", "not_tokens"})
"""Failures that show that a server has no ``/tokenize`` like vLLM's."""

MIN_CHOICE_SHARE = 0.5
"""Smallest total probability of the choices among the listed tokens; below it, the server did not continue the
answer."""

# Templates of models that think leave the thinking to a switch, or else to the server's template (`_check_rendering`).
_NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}

_T = TypeVar("_T")


@dataclass
class _Reading:
    """How probabilities are read from one server; shared by all handles."""

    source: ProbabilitySource = "exact"
    settled: bool = False
    """Whether a probability has been read in that way."""
    offered: bool = True
    """Whether the server reports any log-probabilities."""


_NOT_OFFERED = Failure("no_logprob", "the server reports no log-probabilities")


class ServerBackend:
    """A model on a vLLM server. May be used from several threads at once; they share its connections and the
    endpoint's bound on concurrency.

    A request that the server does not answer loses only itself.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        structured: bool = False,
        temperatures: tuple[Temperature, ...] = (),
        reads: ProbabilitySource | None = None,
        form: Form = "text",
    ) -> None:
        """
        Args:
            endpoint: the server and the model's name there. It must not be open; the backend opens and owns it.
            structured: constrain reasoned comparisons to the grammar of answers while they are written. This is for
                models that were not trained on it; answers then differ from those of a local backend that would
                deviate from the grammar.
            temperatures: the calibration temperatures of the model.
            reads: how probabilities are read from the server; None: to be detected.
            form: the default form in which the model is asked; answers in the JSON form are always constrained to it.

        Raises:
            BackendError: the endpoint is open already.
            MissingDependency: httpx is absent.
        """
        self.model = endpoint.model
        self.revision = endpoint.revision
        self.temperatures = temperatures
        self.ask_in(form)
        self.spelling: Structured | None = None
        """How the server is asked to constrain answers to the JSON form; None: by vLLM's own field."""
        self._endpoint = endpoint
        self._structured = structured
        self._first_tokens: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._reading = _Reading() if reads is None else _Reading(reads, settled=True)
        self._rendered: set[str] = set()
        """Beginnings of an answer that the server's template is known to render correctly."""
        self._asked: set[concurrent.futures.Future[Any]] = set()
        self._cancelled = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="redaes-server", daemon=True)
        self._thread.start()
        try:
            self._run(endpoint.__aenter__())
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> ServerBackend:
        """Return the backend itself: it is open from its making."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the backend, as :meth:`close` does."""
        self.close()

    @property
    def reads(self) -> ProbabilitySource | None:
        """How probabilities are read from the server; None: none has been read yet."""
        return self._reading.source if self._reading.settled else None

    def ask_in(self, form: Form) -> None:
        """Set the default form of answers. In the JSON form, answers that deviate from it a little are read too."""
        self.form: Form = form
        self.reader: Reader = "strict" if form == "text" else "lenient"

    def close(self) -> None:
        """Close the connections; nothing can be asked afterwards."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._endpoint.__aexit__(None, None, None), self._loop).result()
        self._stop()

    def task(self) -> ServerBackend:
        """Return another handle to the same server and connections, whose :meth:`cancel` ends only the requests made
        through it."""
        twin = copy.copy(self)
        twin._asked = set()
        twin._cancelled = threading.Event()
        return twin

    def cancel(self) -> None:
        """End the requests of this handle and refuse further ones; may be called from any thread."""
        self._cancelled.set()
        for future in list(self._asked):
            future.cancel()

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer the requests, as :class:`~redaes.backends.base.Backend` specifies.

        Raises:
            EndpointError: the server cannot tokenize.
            BackendError: the tokenizer joins a prefix and a choice, or begins two choices with one token.
            PromptError: not one picture per slot.
        """
        return self._run(self._answer(requests))

    def forward(self, body: bytes) -> concurrent.futures.Future[tuple[int, bytes]]:
        """Hand a chat request that somebody else wrote to the server (:meth:`Endpoint.forward`).

        Returns:
            The server's status and content, in time; cancelling it ends the request.

        Raises:
            BackendError: the backend is closed.
        """
        return self._submit(self._endpoint.forward(body))

    async def _answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        encoder = Encoder()
        written: list[Answer | Failure | None] = [None] * len(requests)
        read: list[NextToken | Failure | None] = [None] * len(requests)
        for sampling, places in grouped(request.sampling for request in requests).items():
            if sampling is not None:
                texts = await self._write([requests[place] for place in places], sampling, encoder)
                for place, text in zip(places, texts, strict=True):
                    written[place] = text
        for choices, places in grouped(request.choices for request in requests).items():
            if choices:
                tokens = await self._read([requests[place] for place in places], choices, encoder)
                for place, token in zip(places, tokens, strict=True):
                    read[place] = token
        return joined(written, read)

    async def _read(
        self, requests: Sequence[Request], choices: Sequence[str], encoder: Encoder
    ) -> list[NextToken | Failure]:
        if not self._reading.offered:
            return [_NOT_OFFERED for _ in requests]
        if self._reading.source == "exact":
            try:
                found = await self._read_exactly(requests, choices, encoder)
            except EndpointError as error:
                if self._reading.settled or error.reason not in _NO_TOKENIZER:
                    raise
            else:
                self._reading.settled |= any(isinstance(one, NextToken) for one in found)
                if self._reading.settled or not any(_unread(one) for one in found):
                    return found
        found = await self._read_listed(requests, choices, encoder)
        if any(isinstance(one, NextToken) for one in found):
            self._reading.source, self._reading.settled = "listed", True
        return found

    async def _read_listed(
        self, requests: Sequence[Request], choices: Sequence[str], encoder: Encoder
    ) -> list[NextToken | Failure]:
        replies = await self._ask([_chat(request, encoder, _READ, {}, n_logprobs=N_LOGPROBS) for request in requests])
        heard = [reply for reply in replies if isinstance(reply, Reply)]
        if heard and not any(reply.logprobs for reply in heard):
            self._reading.offered = False
        return [reply if isinstance(reply, Failure) else _listed(reply, choices) for reply in replies]

    async def _read_exactly(
        self, requests: Sequence[Request], choices: Sequence[str], encoder: Encoder
    ) -> list[NextToken | Failure]:
        for prefix in {request.prefix for request in requests}:
            await self._check_rendering(prefix)
        asked = []
        for request in requests:
            tokens = await self._tokens_of(request.prefix, choices)
            extra = {"logprob_token_ids": list(tokens), "return_tokens_as_token_ids": True}
            asked.append((_chat(request, encoder, _READ, extra, n_logprobs=1), tokens))
        replies = await self._ask([chat for chat, _ in asked])
        return [
            reply if isinstance(reply, Failure) else _exactly(reply, dict(zip(choices, tokens, strict=True)))
            for reply, (_, tokens) in zip(replies, asked, strict=True)
        ]

    async def _write(self, requests: Sequence[Request], sampling: Sampling, encoder: Encoder) -> list[Answer | Failure]:
        for prefix in {request.prefix for request in requests}:
            await self._check_rendering(prefix)
        asked = []
        held = [self._held(request) for request in requests]
        for request, fields in zip(requests, held, strict=True):
            asked.append(_chat(request, encoder, sampling, fields))
        replies = await self._ask(asked)
        return [
            reply if isinstance(reply, Failure) else _text(request, reply, sampling, held_by(fields, reply.changes))
            for reply, request, fields in zip(replies, requests, held, strict=True)
        ]

    def _held(self, request: Request) -> dict[str, Any]:
        """Return what holds a written answer to its form: always to JSON, to the text form where that was asked for."""
        if self.spelling is not None and (fields := json_fields(request, self.spelling)):
            return fields
        form = prompts.form_of(request.prompt.name)
        wanted = form == "json" or (self._structured and request.prompt.name in prompts.known("reasoned"))
        if not wanted or request.prefix or self.spelling == "none":
            return {}
        return {"structured_outputs": {"regex": grammar_of(form).pattern}}

    async def _ask(self, chats: Sequence[ChatRequest]) -> list[Reply | Failure]:
        """Return the replies in the order of the requests; asked in an order in which those that show the same pictures
        follow one another, so that the server finds them encoded, and prompts that begin alike in its cache."""
        # Hashing pictures would hold up the loop.
        keys = await asyncio.to_thread(lambda: [tuple(picture.id for picture in chat.images) for chat in chats])
        order = sorted(range(len(chats)), key=lambda index: keys[index])
        replies = dict(zip(order, await self._endpoint.ask_many([chats[index] for index in order]), strict=True))
        return [replies[index] for index in range(len(chats))]

    async def _check_rendering(self, prefix: str) -> None:
        """Check once whether the server's template leaves thoughts open before an answer, or cuts the white space at
        the end of the answer's beginning.

        Raises:
            BackendError: it does.
            EndpointError: the server does not answer.
        """
        end = prefix[-1:] if prefix[-1:].isspace() else ""
        if end in self._rendered or (prefix and not end):
            return  # no thoughts before an answer whose beginning is given
        chat = [{"role": "user", "content": "?"}]
        fields: dict[str, Any] = dict(_NO_THINKING)
        if prefix:
            chat.append({"role": "assistant", "content": prefix})
            fields |= _CONTINUED
        try:
            text = await self._endpoint.rendered(chat, **fields)
        except EndpointError as error:
            if error.reason == "connection":
                return  # the server is down, as the question itself will show, or it cannot read only this request
            if error.reason not in _NO_TOKENIZER:
                raise
            text = None  # not vLLM: only its answer can be checked
        if text is not None and opens_thinking(text):
            raise BackendError(
                f"{self._endpoint.base_url} renders a chat of {self.model} with an open <think>, where no verdict can "
                "be: serve it with --chat-template FILE, the chat_template.jinja of a stage's final/ or of a merged "
                "model"
            )
        if text is not None and end and text.endswith(prefix.rstrip()[-1:]):
            raise BackendError(
                f"{self._endpoint.base_url} cuts the white space at the end of {prefix!r}, as the chat template of "
                f"{self.model} has it, so that what follows it cannot be read: ask a local backend"
            )
        self._rendered.add(end)

    async def _tokens_of(self, prefix: str, choices: Sequence[str]) -> tuple[int, ...]:
        """Return the id of the first token of each choice after ``prefix``."""
        # Tokenizers do not join tokens across a line end before a letter, so the last line is enough.
        tail = prefix[prefix.rfind("\n") + 1 :]
        key = (tail, *choices)
        if key not in self._first_tokens:
            before = await self._endpoint.tokenize(tail) if tail else []
            first = []
            for choice in choices:
                after = await self._endpoint.tokenize(tail + choice)
                if len(after) <= len(before) or after[: len(before)] != before:
                    raise BackendError(
                        f"the tokenizer of {self.model} starts no token between {tail!r} and {choice!r}: "
                        "the probability of that choice cannot be read; use another model"
                    )
                first.append(after[len(before)])
            if len(set(first)) != len(first):
                raise BackendError(
                    f"the tokenizer of {self.model} begins several of {list(choices)} with the same token: "
                    "their probabilities cannot be told apart; use another model"
                )
            self._first_tokens[key] = tuple(first)
        return self._first_tokens[key]

    def _submit(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        if not self._thread.is_alive():
            work.close()
            raise BackendError(f"the connection to {self._endpoint.base_url} was closed; make another ServerBackend")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        future = self._submit(work)
        self._asked.add(future)
        try:
            if self._cancelled.is_set():
                future.cancel()
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise EndpointError("cancelled", "the client no longer waits") from error
        finally:
            self._asked.discard(future)
            future.cancel()  # after an interrupt, the work must not continue

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _chat(
    request: Request, encoder: Encoder, sampling: Sampling, extra: dict[str, Any], n_logprobs: int = 0
) -> ChatRequest:
    slots = len(request.prompt.slots)
    if len(request.images) != slots:
        raise PromptError(f"prompt {request.prompt.name} takes {slots} pictures, not {len(request.images)}")
    messages = request.prompt.messages()
    extra = {**_PLAIN_SAMPLING, **_NO_THINKING, **extra}
    if request.prefix:
        messages.append({"role": "assistant", "content": request.prefix})
        extra |= _CONTINUED
    images = tuple(encoder.of(image) for image in request.images)
    return ChatRequest(messages, images, request.prompt.id, sampling, n_logprobs=n_logprobs, extra=extra)


def _exactly(reply: Reply, tokens: Mapping[str, int]) -> NextToken | Failure:
    """Return the choices where the answer goes on, whose tokens were asked for by number."""
    if not reply.logprobs:
        return Failure("no_logprob", "the server reports no log-probabilities; this takes vLLM 0.31 or later")
    listed = reply.logprobs[0].place.log_probs
    names = {choice: f"token_id:{token}" for choice, token in tokens.items()}
    absent = [name for name in names.values() if name not in listed]
    if absent:
        return Failure("no_logprob", f"the server does not report {', '.join(absent)}; this takes vLLM 0.31 or later")
    return NextToken.exactly({choice: listed[name] for choice, name in names.items()})


def _listed(reply: Reply, choices: Sequence[str]) -> NextToken | Failure:
    """Return the choices at the place where the answer continues, as far as the listed tokens show them."""
    if not reply.logprobs or reply.logprobs[0].place.is_alone:
        return _NOT_OFFERED
    place = reply.logprobs[0].place
    known = {choice: place.log_probs[choice] for choice in choices if choice in place.log_probs}
    share = math.fsum(map(math.exp, known.values()))
    if share < MIN_CHOICE_SHARE:
        return Failure(
            "no_logprob",
            f"{', '.join(map(repr, choices))} have a probability of {share:.2f} among the tokens that are listed: "
            "either the server does not continue an answer that was begun for the model, or the model does not "
            "follow the form",
        )
    return NextToken(known, place.least, "listed")


def _unread(found: NextToken | Failure) -> bool:
    return isinstance(found, Failure) and found.reason == "no_logprob"


def _text(request: Request, reply: Reply, sampling: Sampling, held: str | None) -> Answer | Failure:
    if reply.cut_off and reply.thinking and not reply.text:
        return Failure(
            "cut_off", f"the model still thinks after {sampling.max_new_tokens} tokens; raise max_new_tokens"
        )
    return Answer(request.prefix + reply.text, tokens=reply.tokens, changes=reply.changes, held_by=held)
