"""Several servers of one model: they share its requests, and one that dies is done without until it is back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from endpoint_requests import request
from openai_server import Call, Drop, Fault, OpenAIServer, Raw, Say

from redaes.backends.chat_model import ChatModel
from redaes.backends.chat_replies import Reply
from redaes.backends.failures import Failure
from redaes.datagen import model_servers
from redaes.datagen.model_servers import MOST_TRIES, ModelServers
from redaes.datagen.panel import Panel, check_servers
from redaes.errors import BackendError, BudgetExhausted, InputError

LISTED = Raw(b'{"data": [{"id": "judge", "owned_by": "vllm"}]}')


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(model_servers, "FIRST_OUT_S", 0.05)
    monkeypatch.setattr(model_servers, "MAX_BACKOFF_S", 0.1)
    monkeypatch.setattr(model_servers, "FIRST_PATIENCE_S", 0.5)


class Switched:
    """A server that can be dead and come back; ``after_s`` is how long each answer takes."""

    def __init__(self, after_s: float = 0.0) -> None:
        self.is_dead = False
        self.after_s = after_s
        self.server = OpenAIServer(self._answer)
        self.server.models = LISTED

    def _answer(self, call: Call) -> Say | Fault | Raw | Drop:
        return Drop() if self.is_dead else Say("fine", after_s=self.after_s)

    def turn(self, dead: bool) -> None:
        self.is_dead = dead
        self.server.models = Fault(503) if dead else LISTED

    @property
    def n_calls(self) -> int:
        return len(self.server.calls)


@pytest.fixture
def two() -> Iterator[list[Switched]]:
    with ExitStack() as stack:
        found = [Switched(0.02), Switched(0.02)]
        for one in found:
            stack.enter_context(one.server)
        yield found


def servers_of(found: list[Switched], **settings: object) -> ModelServers:
    made = ModelServers([one.server.base_url for one in found], "judge", **settings)  # type: ignore[arg-type]
    for endpoint in made.endpoints:
        endpoint.backoff_s = 0.02
    return made


def ask_many(servers: ModelServers, seeds: range) -> list[Reply | Failure]:
    return servers.replies([request(seed) for seed in seeds])


def test_requests_go_to_the_server_with_the_fewest_under_way(two: list[Switched]) -> None:
    quick, slow = two
    slow.after_s = 0.2
    replies = ask_many(servers_of(two, concurrency=4), range(60))
    assert all(isinstance(reply, Reply) for reply in replies)
    assert quick.n_calls + slow.n_calls == 60
    assert quick.n_calls > 2 * slow.n_calls > 0
    assert max(one.server.most_at_once for one in two) <= 4


def test_a_dead_server_is_done_without_and_put_in_again(two: list[Switched]) -> None:
    servers = servers_of(two, concurrency=4)
    dying, other = two

    async def run() -> tuple[int, int, list[Reply | Failure]]:
        async with servers:
            replies = await servers.ask_many([request(seed) for seed in range(8)])
            dying.turn(True)
            before = dying.n_calls
            replies += await servers.ask_many([request(seed) for seed in range(8, 60)])
            while_dead = dying.n_calls - before
            dying.turn(False)
            await asyncio.sleep(0.4)
            before = dying.n_calls
            replies += await servers.ask_many([request(seed) for seed in range(60, 100)])
            return while_dead, dying.n_calls - before, replies

    while_dead, when_back, replies = asyncio.run(run())
    assert len(replies) == 100
    assert all(isinstance(reply, Reply) for reply in replies)
    assert 1 <= while_dead <= 8  # what was under way when it was taken out; then no more
    assert when_back > 10
    assert other.n_calls > 50
    assert servers.counts["taken out: connection"] >= 1
    assert servers.counts["ok"] == 100
    assert not any(what.startswith("failed: ") for what in servers.counts)


def test_what_one_server_left_unanswered_is_asked_of_another_though_that_has_more_to_do(two: list[Switched]) -> None:
    dead, busy = two
    dead.turn(True)
    busy.after_s = 0.5
    replies = ask_many(servers_of(two, concurrency=4), range(4))
    assert all(isinstance(reply, Reply) for reply in replies)
    assert (dead.n_calls, busy.n_calls) == (2, 4)


def test_faults_with_answers_between_them_take_nothing_out() -> None:
    with OpenAIServer(lambda call: Drop() if call.attempt == 0 and call.body["seed"] % 2 == 0 else Say("x")) as server:
        servers = ModelServers([server.base_url], "judge", concurrency=1)
        servers.endpoints[0].backoff_s = 0.02
        assert all(isinstance(reply, Reply) for reply in ask_many(servers, range(12)))
    assert servers.counts["retried: connection"] == 6
    assert not any(what.startswith("taken out") for what in servers.counts)


def test_requests_wait_while_no_server_is_left(two: list[Switched]) -> None:
    servers = servers_of(two, concurrency=4)

    async def run() -> list[Reply | Failure]:
        async with servers:
            replies = await servers.ask_many([request(0)])
            for one in two:
                one.turn(True)
            waiting = asyncio.ensure_future(servers.ask_many([request(seed) for seed in range(1, 30)]))
            await asyncio.sleep(0.7)  # longer than is waited for servers that never answered
            assert not waiting.done()
            n_calls = [one.n_calls for one in two]
            await asyncio.sleep(0.2)
            assert [one.n_calls for one in two] == n_calls  # they are not asked, only looked after
            two[1].turn(False)
            return replies + await waiting

    replies = asyncio.run(run())
    assert all(isinstance(reply, Reply) for reply in replies)
    assert servers.counts["ok"] == 30


def test_the_run_ends_when_no_server_comes_back_and_no_request_is_lost_to_it(
    two: list[Switched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_servers, "PATIENCE_S", 0.3)
    servers = servers_of(two, concurrency=4)

    async def run() -> None:
        async with servers:
            await servers.ask_many([request(0)])
            for one in two:
                one.turn(True)
            await servers.ask_many([request(seed) for seed in range(1, 30)])

    with pytest.raises(BackendError, match=r"judge: none of its servers has answered for .*run again to go on"):
        asyncio.run(run())


def test_a_request_that_always_fails_fails_alone() -> None:
    def script(call: Call) -> Say | Drop:
        poison = call.body["seed"] == 3
        return Drop() if poison or (call.attempt == 0 and call.body["seed"] % 5 == 0) else Say("fine", after_s=0.01)

    with OpenAIServer(script) as server:
        servers = ModelServers([server.base_url], "judge", concurrency=2)
        servers.endpoints[0].backoff_s = 0.02
        replies = ask_many(servers, range(20))
        assert sum(call.body["seed"] == 3 for call in server.calls) == MOST_TRIES
    assert [seed for seed, reply in enumerate(replies) if isinstance(reply, Failure)] == [3]
    assert servers.counts["failed: connection"] == 1
    assert servers.counts["ok"] == 19


def test_equal_requests_at_once_are_paid_for_once_and_kept_whoever_answers(two: list[Switched], tmp_path: Path) -> None:
    servers = servers_of(two, cache=tmp_path)
    replies = servers.replies([request(seed % 4) for seed in range(16)])
    assert sum(one.n_calls for one in two) == 4
    assert servers.counts == {
        "calls": 4, "ok": 4, "cached": 12, "tokens": 440, "tokens written": 40,
        "compare/v1: ok": 4, "compare/v1: cached": 12, "compare/v1: tokens": 440, "compare/v1: tokens written": 40,
    }  # fmt: skip
    # Kept answers need no server, and count as answers of whichever will be asked next time.
    other = ModelServers(["http://127.0.0.1:9/v1"], "judge", cache=tmp_path)
    again = other.replies([request(seed % 4) for seed in range(16)])
    assert [reply.text for reply in again if isinstance(reply, Reply)] == [
        reply.text for reply in replies if isinstance(reply, Reply)
    ]
    assert other.counts == {"cached": 16, "compare/v1: cached": 16}


def test_the_budget_is_of_all_servers_together(two: list[Switched]) -> None:
    servers = servers_of(two, concurrency=4, max_calls=10)
    replies = ask_many(servers, range(30))
    assert sum(one.n_calls for one in two) == 10
    assert sum(isinstance(reply, Failure) and reply.reason == "budget_exhausted" for reply in replies) == 20


def test_threads_ask_through_the_connections_that_are_open(two: list[Switched]) -> None:
    servers = servers_of(two, concurrency=4)
    found: list[list[Reply | Failure]] = []

    async def run() -> None:
        async with servers:
            opened = [endpoint._client for endpoint in servers.endpoints]
            asked = [asyncio.to_thread(ask_many, servers, range(n, n + 5)) for n in range(0, 20, 5)]
            found.extend(await asyncio.gather(*asked))
            assert [endpoint._client for endpoint in servers.endpoints] == opened
            with pytest.raises(BackendError, match="await ask_many"):
                servers.replies([request(0)])

    asyncio.run(run())
    assert sum(len(replies) for replies in found) == 20 == servers.counts["ok"]
    assert max(one.server.most_at_once for one in two) <= 4


def test_what_threads_ask_ends_with_the_connections(two: list[Switched]) -> None:
    for one in two:
        one.after_s = 0.3
    servers = servers_of(two, concurrency=1)

    async def run() -> object:
        async with servers:
            asked = asyncio.ensure_future(asyncio.to_thread(ask_many, servers, range(50)))
            while not any(one.n_calls for one in two):
                await asyncio.sleep(0.01)
        (ended,) = await asyncio.gather(asked, return_exceptions=True)
        return ended

    ended = asyncio.run(run())
    assert isinstance(ended, BackendError)
    assert "was closed while it was asked" in str(ended)
    assert sum(one.n_calls for one in two) <= 2


def test_a_question_is_judged_by_its_own_answers_whatever_others_hear() -> None:
    def script(call: Call) -> Say | Fault:
        return Fault(400, message="I see no pictures") if call.body["seed"] < 5 else Say("fine")

    async def question(model: ChatModel, seeds: range) -> int:
        return len(await model.ask_many([request(seed) for seed in seeds]))

    async def run(servers: ModelServers) -> list[object]:
        async with servers:
            asked = [servers.put(lambda model, its=its: question(model, its)) for its in (range(5), range(4, 9))]
            return list(await asyncio.gather(*asked, return_exceptions=True))

    with OpenAIServer(script) as server:
        refused, partly = asyncio.run(run(ModelServers([server.base_url], "judge")))
        assert partly == 5
        assert isinstance(refused, BackendError)
        assert "answers nothing (failed: http_400)" in str(refused)
        assert "I see no pictures" in str(refused)
        (spent,) = asyncio.run(run_one(ModelServers([server.base_url], "judge", max_calls=2)))
    assert isinstance(spent, BudgetExhausted)
    assert "max_calls 2 is spent" in str(spent)


async def run_one(servers: ModelServers) -> list[object]:
    async def question(model: ChatModel) -> int:
        return len(await model.ask_many([request(seed) for seed in range(5, 10)]))

    async with servers:
        return list(await asyncio.gather(servers.put(question), return_exceptions=True))


def panel(**changes: object) -> Panel:
    return Panel.model_validate({"judges": ["judge"], "writer": "judge", **changes})


def test_servers_are_looked_at_before_anything_is_asked(two: list[Switched], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two
    both = [one.server.base_url, other.server.base_url]
    assert check_servers(panel(endpoint=both)) == []
    other.turn(True)
    (note,) = check_servers(panel(endpoint=both))
    assert other.server.base_url in note
    assert "the other servers do its share" in note
    with pytest.raises(BackendError, match=r"judge: no server of this model can be reached: .*503"):
        check_servers(panel(endpoint=other.server.base_url))
    with pytest.raises(BackendError, match="no server of this model can be reached: connection"):
        check_servers(panel(endpoint="http://127.0.0.1:9"))
    with pytest.raises(InputError, match="has no model other, but judge"):
        check_servers(panel(endpoint=both[:1], judges=["other"]))
    one.server.models = Fault(401, message="wrong key")
    with pytest.raises(BackendError, match=r"401.*api_key_env"):
        check_servers(panel(endpoint=both[:1]))
    one.server.models = Fault(404)  # it has no list
    assert check_servers(panel(endpoint=both[:1])) == []
    with pytest.raises(InputError, match="no variable of the given name is set"):
        check_servers(panel(judges=[{"model": "judge", "endpoint": both[0], "api_key_env": "REDAES_NO_SUCH_KEY"}]))
    assert one.n_calls == other.n_calls == 0


def test_time_under_way_is_counted_by_request(two: list[Switched]) -> None:
    for one in two:
        one.after_s = 0.1
    servers = servers_of(two, concurrency=4)
    begun = time.monotonic()
    ask_many(servers, range(16))
    seconds = time.monotonic() - begun
    assert servers.n_sent == 16
    assert servers.capacity == 8
    assert 16 * 0.1 <= servers.busy_s <= servers.capacity * seconds
    assert threading.active_count() < 50
