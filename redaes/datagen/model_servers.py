"""One model behind one or several servers, which share its requests; a dead server is left out until it is back.

A request goes to the server that has the fewest under way. Failures are handled as follows:

=============================================  ================================================================
what happens                                   what is done
=============================================  ================================================================
no connection, timeout, 502, 503, 504          The request is sent again, to another server if there is one, else to
                                               the same one after a delay that doubles. After `MOST_TRIES` tries it
                                               has failed.
the same for `OUT_AFTER` requests to a server  Nothing is sent to the server until it lists its models again. It is
with no answer between them                    asked for the list after a second first, and finally every minute.
no server is left                              Requests wait for one: `PATIENCE_S`, or `FIRST_PATIENCE_S` if none
                                               has ever answered. Then the run ends, and no request counts as failed.
anything else                                  It is handled as in :mod:`redaes.backends.endpoint`.
=============================================  ================================================================

Answers are stored by model and question, whichever server gave them.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FuturesTimeout
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from redaes.backends.at_once import EqualWork, together
from redaes.backends.chat_model import ChatModel
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.connecting import MOST_LISTED
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.retrying import MAX_BACKOFF_S, Rejected
from redaes.errors import BackendError, BudgetExhausted, EndpointError, InputError
from redaes.progress_lines import duration_in_words

LOG = logging.getLogger("redaes.datagen")

PASSING = frozenset({"connection", "timeout", "http_502", "http_503", "http_504"})
"""Failures of a server that say nothing about the request."""

MOST_TRIES = 8
"""Number of times that a request is sent if it meets only such failures."""

OUT_AFTER = 3
"""Number of consecutive requests without an answer after which a server is taken out."""

FIRST_OUT_S = 1.0
"""Seconds after which a server that was taken out is first asked whether it is back; they double each further time."""

PROBE_S = 10.0
"""Largest number of seconds that it may take to answer that question."""

PATIENCE_S = 600.0
"""Seconds that requests wait while no server is left."""

FIRST_PATIENCE_S = 30.0
"""Seconds that they wait if no server has answered yet, because an address may be wrong."""

LOOK_EVERY_S = 1.0
"""Seconds between two checks, by a thread that waits for an answer, that the loop that gets the answer still runs."""

_COMPLETE = frozenset({"vllm", "sglang", "llamacpp", "me"})
"""Owners of models by which servers are recognised whose list of models is complete. Some such servers answer for any
model name.
"""

Answer = TypeVar("Answer")


@dataclass
class _Replica:
    """One server of a model."""

    endpoint: Endpoint
    under_way: int = 0
    sent: int = 0
    silent: int = 0
    """Number of consecutive requests that it left unanswered."""
    n_out: int = 0
    """Number of times that it was taken out since it last answered."""
    is_out: bool = False
    why: str = ""
    """Message of its last failure."""


@dataclass
class _Done:
    """Totals over all periods in which the connections were open."""

    busy_s: float = 0.0
    n_sent: int = 0
    has_answered: bool = False


@dataclass
class _Opened:
    """State that belongs to the loop on which the connections were opened."""

    loop: asyncio.AbstractEventLoop
    connections: AsyncExitStack
    slots: asyncio.Semaphore
    changed: asyncio.Event
    """Set, and replaced, whenever a server has become free, was taken out or came back."""
    tasks: set[asyncio.Task[Any]]
    """Tasks that end with the connections: they ask servers that were taken out, or ask on behalf of other threads."""
    equal: EqualWork
    """Requests under way by content, so that equal requests are sent once."""


class ModelServers:
    """One model behind its servers. It is used as ``async with servers: …``, and may be opened again afterwards.

    Budget and :attr:`counts` are those of all servers together, and are kept from one opening to the next.
    """

    def __init__(
        self,
        urls: Sequence[str],
        model: str,
        *,
        revision: str = "",
        api_key: str | None = None,
        concurrency: int = 8,
        timeout_s: float = 60.0,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        cache: Path | None = None,
    ) -> None:
        """
        Args:
            urls: URLs of the servers, each up to and including the version.
            model: its name on all of them.
            revision: what identifies its weights.
            api_key: key of all servers; None means the environment's ``REDAES_API_KEY``, or no key.
            concurrency: largest number of requests to each server that are under way at once.
            timeout_s: seconds for one try as a whole.
            max_calls: largest number of requests sent, including retries; None means no limit.
            max_tokens: no request is sent once the reported tokens reach this number; None means no limit.
            cache: folder of the stored answers, which several processes may share; None stores nothing.

        Raises:
            InputError: a setting is not possible, or a key cannot be sent.
        """
        self.counts: Counter[str] = Counter()
        """Counts as in :attr:`redaes.backends.endpoint.Endpoint.counts`, for all servers together; also ``taken out:
        <reason>``, and for each prompt ``<prompt>: ok``, ``<prompt>: cached``, ``<prompt>: tokens`` and ``<prompt>:
        tokens written``."""
        self._replicas = [
            _Replica(
                Endpoint(
                    url,
                    model,
                    revision=revision,
                    api_key=api_key,
                    concurrency=concurrency,
                    timeout_s=timeout_s,
                    max_calls=max_calls,
                    max_tokens=max_tokens,
                    cache=cache,
                    passes_on=PASSING,
                )
            )
            for url in urls
        ]
        if not self._replicas:
            raise BackendError(f"{model} has no server; name one (endpoint)")
        for replica in self._replicas:
            replica.endpoint.counts = self.counts  # so that all servers share one budget
        self.model = model
        self.revision = revision
        self.base_url = ", ".join(replica.endpoint.base_url for replica in self._replicas)
        """Base URLs of all its servers, for messages."""
        self.capacity = concurrency * len(self._replicas)
        """Number of requests that can be under way at once while all servers answer."""
        self.last_failure = ""
        """Message of the last failed request."""
        self._done = _Done()
        self._opened: _Opened | None = None
        self._was_closed = False

    @property
    def busy_s(self) -> float:
        """Seconds that requests were under way at a server, summed over the requests."""
        return self._done.busy_s

    @property
    def n_sent(self) -> int:
        """Number of requests to servers that are finished."""
        return self._done.n_sent

    @property
    def endpoints(self) -> list[Endpoint]:
        """The servers, one endpoint each; they share counts and budget."""
        return [replica.endpoint for replica in self._replicas]

    async def __aenter__(self) -> ModelServers:
        """Open the connections on the running event loop.

        Raises:
            BackendError: they are open already.
            InputError: the environment names a proxy or certificates that cannot be used.
            MissingDependency: httpx is absent.
        """
        if self._opened is not None:
            raise BackendError(f"{self.model} at {self.base_url} is open already; share what is open instead")
        async with AsyncExitStack() as connections:
            for replica in self._replicas:
                replica.under_way, replica.is_out, replica.silent = 0, False, 0
                await connections.enter_async_context(replica.endpoint)
            self._was_closed = False
            self._opened = _Opened(
                asyncio.get_running_loop(),
                connections.pop_all(),
                asyncio.Semaphore(self.capacity),
                asyncio.Event(),
                set(),
                EqualWork(),
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        opened, self._opened = self._opened, None
        self._was_closed = True
        if opened is not None:
            for task in opened.tasks:
                task.cancel()
            await asyncio.gather(*opened.tasks, return_exceptions=True)
            await opened.connections.aclose()

    async def ask(self, request: ChatRequest) -> Reply:
        """Return the answer to a request, stored or from a server.

        Raises:
            EndpointError: the request failed; the error carries the reason, which has been counted.
            BudgetExhausted: an EndpointError: the request would exceed the budget.
            BackendError: no server is left, or the connections are not open.
            RecordError: the cache cannot be read or written.
        """
        opened = self._still_open()
        first = self._replicas[0].endpoint
        key = first.key(request)
        async with opened.equal.turn(key):  # an equal request under way must not be paid for twice
            reply = first.kept(request)
            if reply is None:
                reply = await self._sent(request, key)
            self._count(request, reply)
            return reply

    async def ask_many(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        """Return the answers in the order of the requests; a request that fails does not affect the others.

        Once the budget is spent, requests without a stored answer fail as ``budget_exhausted``; the caller decides
        whether that ends the run.

        Raises:
            BackendError: no server is left, or the connections are not open.
            RecordError: the cache cannot be read or written.
        """
        return await together(self._reply_or_failure(request) for request in requests)

    def replies(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        """Ask as :meth:`ask_many` does, for callers in a thread other than the loop's. If the connections are not open,
        they are opened for these requests alone.

        Raises:
            BackendError: as for :meth:`ask_many`; or this is the loop's own thread, which would wait for itself.
        """
        opened = self._opened
        if opened is None:
            if self._was_closed:  # perhaps by an error; whoever continues to ask must not spend money unnoticed
                raise BackendError(f"{self.model} at {self.base_url} has been closed; open it again to ask")
            return asyncio.run(self._again()._opened_for(requests))
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is opened.loop:
            raise BackendError(f"{self.model} is asked by replies() in its loop's own thread; await ask_many() there")
        asked = asyncio.run_coroutine_threadsafe(self._asked_for_thread(requests), opened.loop)
        closed = f"{self.model} at {self.base_url} was closed while it was asked"
        while True:
            try:
                return asked.result(LOOK_EVERY_S)
            except CancelledError as error:
                raise BackendError(closed) from error
            except FuturesTimeout as error:
                if not asked.done() and not opened.loop.is_running():  # a stopped loop will never finish its tasks
                    raise BackendError(closed) from error

    async def put(self, question: Callable[[ChatModel], Awaitable[Answer]]) -> Answer:
        """Return the result of a question that asks the model once or several times.

        Raises:
            BudgetExhausted: the budget did not suffice; a partial result would stay in a dataset as if it were whole.
            BackendError: no request of the question was answered.
        """
        conversation = _Conversation(self)
        answer = await question(conversation)
        heard = conversation.heard
        if heard["budget_exhausted"]:
            raise BudgetExhausted(f"{self.model}: {self._limits()} is spent; run again to go on")
        if heard and not heard[""]:
            reasons = ", ".join(f"failed: {reason}" for reason in sorted(heard))
            raise BackendError(
                f"{self.model} at {self.base_url} answers nothing ({reasons}), the last time with: "
                f"{conversation.last_failure}; run again to go on"
            )
        return answer

    async def greet(self) -> list[str]:
        """Check that the servers can be reached and have the model, by their lists of models, which costs no call.

        Returns:
            Messages about servers that are missing while others can be used.

        Raises:
            InputError: a server has only other models.
            BackendError: no server can be reached, or one refuses the key.
        """
        twins = [endpoint.again() for endpoint in self.endpoints]
        found = await asyncio.gather(*(_greeted(twin) for twin in twins))
        missing = [why for why in found if why]
        if len(missing) == len(found):
            raise BackendError(
                f"{self.model}: no server of this model can be reached: {'; '.join(missing)}; start one, or correct "
                "its address (endpoint)"
            )
        return [f"{self.model}: {why}; the other servers do its share until it is there" for why in missing]

    def _again(self) -> ModelServers:
        """Return an object with the same servers, counts and budget, but its own connections."""
        twin = copy.copy(self)
        twin._replicas = [_Replica(endpoint.again()) for endpoint in self.endpoints]
        twin._opened = None
        return twin

    def _limits(self) -> str:
        first = self._replicas[0].endpoint
        limits = {"max_calls": first.max_calls, "max_tokens": first.max_tokens}
        return " or ".join(f"{name} {limit}" for name, limit in limits.items() if limit is not None)

    async def _opened_for(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        async with self:
            return await self.ask_many(requests)

    async def _asked_for_thread(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        opened, task = self._still_open(), asyncio.current_task()
        assert task is not None
        opened.tasks.add(task)
        try:
            return await self.ask_many(requests)
        finally:
            opened.tasks.discard(task)

    def _still_open(self) -> _Opened:
        if self._opened is None:
            raise BackendError(f"{self.model} at {self.base_url} is not open; ask within 'async with servers:'")
        return self._opened

    async def _reply_or_failure(self, request: ChatRequest) -> Reply | Failure:
        try:
            return await self.ask(request)
        except EndpointError as error:
            return Failure(error.reason, str(error))

    async def _sent(self, request: ChatRequest, key: str) -> Reply:
        """Return the answer of the first server that gives one."""
        opened = self._still_open()
        rng = random.Random(key)
        tries = 0
        failed_at: _Replica | None = None
        while True:
            async with opened.slots:
                replica = await self._free(failed_at)
                replica.under_way += 1
                replica.sent += 1
                since = time.monotonic()
                try:
                    reply = await replica.endpoint.ask(request)
                except EndpointError as error:
                    if error.reason not in PASSING:
                        if not isinstance(error, BudgetExhausted):
                            self._hear(replica)  # an error message, too, shows that the server runs
                        self.last_failure = str(error)
                        raise
                    failed = error
                    self._miss(replica, error)
                else:
                    self._hear(replica)
                    return reply
                finally:
                    replica.under_way -= 1
                    self._done.busy_s += time.monotonic() - since
                    self._done.n_sent += 1
                    self._signal()
            tries += 1
            if tries >= MOST_TRIES:
                self.counts[f"failed: {failed.reason}"] += 1
                self.last_failure = f"{failed} (tried {tries} times)"
                raise EndpointError(failed.reason, self.last_failure.removeprefix(f"{failed.reason}: ")) from failed
            self.counts[f"retried: {failed.reason}"] += 1
            failed_at = replica
            if not any(other is not replica and not other.is_out for other in self._replicas):
                # The server's slot is free while this request waits, so that it does not hold up others.
                await asyncio.sleep(_delay_s(failed, replica, tries, rng))

    async def _free(self, failed_at: _Replica | None) -> _Replica:
        """Wait for a free server and return the one with the fewest requests under way, if possible not the one that
        has just failed.

        Raises:
            BackendError: no server has been left for too long.
        """
        opened = self._still_open()
        since = time.monotonic()
        while True:
            left = [replica for replica in self._replicas if not replica.is_out]
            free = [replica for replica in left if replica.under_way < replica.endpoint.concurrency]
            if free:
                return min(free, key=lambda one: (one is failed_at, one.under_way, one.sent))
            patience_s = PATIENCE_S if self._done.has_answered else FIRST_PATIENCE_S
            if left:
                since = time.monotonic()
            elif time.monotonic() - since >= patience_s:
                whys = "; ".join(dict.fromkeys(replica.why for replica in self._replicas))
                raise BackendError(
                    f"{self.model}: none of its servers has answered for {duration_in_words(patience_s)} ({whys}); "
                    "start it again, then run again to go on"
                )
            changed = opened.changed
            try:
                await asyncio.wait_for(changed.wait(), None if left else patience_s)
            except asyncio.TimeoutError:
                continue

    def _count(self, request: ChatRequest, reply: Reply) -> None:
        """Count an answer under its prompt, which tells the cost of each task."""
        prompt = request.prompt_id.partition("@")[0]
        self.counts[f"{prompt}: {'cached' if reply.cached else 'ok'}"] += 1
        if not reply.cached and reply.usage is not None:
            self.counts[f"{prompt}: tokens"] += reply.usage.total_tokens
            self.counts[f"{prompt}: tokens written"] += reply.usage.completion_tokens

    def _hear(self, replica: _Replica) -> None:
        replica.silent = replica.n_out = 0
        self._done.has_answered = True

    def _miss(self, replica: _Replica, error: EndpointError) -> None:
        """Record that a server left a request unanswered, and take it out if it has done so too often."""
        replica.silent += 1
        replica.why = str(error)
        opened = self._opened
        if replica.is_out or replica.silent < OUT_AFTER or opened is None:
            return
        replica.is_out = True
        replica.n_out += 1
        self.counts[f"taken out: {error.reason}"] += 1
        LOG.warning("%s: done without %s until it is back (%s)", self.model, replica.endpoint.base_url, error)
        task = asyncio.create_task(self._bring_back(replica))
        opened.tasks.add(task)
        task.add_done_callback(opened.tasks.discard)

    async def _bring_back(self, replica: _Replica) -> None:
        """Put a server back once it answers again."""
        twin = replica.endpoint.again()
        twin.timeout_s = min(PROBE_S, twin.timeout_s)
        delay_s = FIRST_OUT_S * 2.0 ** (replica.n_out - 1)
        async with twin:
            while True:
                await asyncio.sleep(min(MAX_BACKOFF_S, delay_s))
                delay_s *= 2
                try:
                    await twin.models()
                except EndpointError as error:
                    if error.reason in PASSING:
                        continue
                    # Some servers have no list or do not show it to this key; but this one is there.
                break
        replica.is_out, replica.silent = False, 0
        LOG.warning("%s: %s is back", self.model, replica.endpoint.base_url)
        self._signal()

    def _signal(self) -> None:
        opened = self._opened
        if opened is not None:
            changed, opened.changed = opened.changed, asyncio.Event()
            changed.set()


async def _greeted(endpoint: Endpoint) -> str:
    """Return why a server cannot be used; empty if it can.

    Raises:
        InputError: it has only other models.
        BackendError: it refuses the key.
    """
    endpoint.timeout_s = min(PROBE_S, endpoint.timeout_s)
    async with endpoint:
        try:
            offered = await endpoint.models()
        except EndpointError as error:
            if error.reason in PASSING:
                return str(error)
            if error.reason == "http_401":
                raise BackendError(
                    f"{endpoint.model}: {error}; name the environment variable with its key (api_key_env)"
                ) from error
            return ""  # some servers have no list or do not show it to this key
    names = [name for one in offered for name in (one.id, *one.aliases)]
    if names and endpoint.model not in names and {one.owned_by for one in offered} <= _COMPLETE:
        raise InputError(
            f"{endpoint.base_url} has no model {endpoint.model}, but {', '.join(names[:MOST_LISTED])}; name what it "
            "has, or give the endpoint that has it"
        )
    return ""


def _delay_s(failed: EndpointError, replica: _Replica, tries: int, rng: random.Random) -> float:
    """Return the seconds to wait before the same server is asked again: those that it states, or twice as many each
    time."""
    said = failed.__cause__.retry_after_s if isinstance(failed.__cause__, Rejected) else None
    doubled = replica.endpoint.backoff_s * 2.0 ** (tries - 1) * rng.uniform(0.5, 1.5)
    return min(MAX_BACKOFF_S, doubled) if said is None else said


class _Conversation:
    """The model as one question asks it; failures are counted for this question alone."""

    def __init__(self, servers: ModelServers) -> None:
        self._servers = servers
        self.model = servers.model
        self.heard: Counter[str] = Counter()
        """Number of requests by the reason of their failure; the key is empty for answered ones."""
        self.last_failure = ""

    async def ask_many(self, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
        """Ask as :meth:`ModelServers.ask_many` does."""
        replies = await self._servers.ask_many(requests)
        for reply in replies:
            if isinstance(reply, Failure):
                self.heard[reply.reason] += 1
                self.last_failure = reply.detail
            else:
                self.heard[""] += 1
        return replies
