"""The vLLM backend against a server that speaks as vLLM does, and is told to fail."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from openai_server import Call, Drop, Fault, OpenAIServer, Raw, Say, tokens
from PIL import Image

from redaes import prompts
from redaes.answers import WINNER_PREFIX, render_verdict
from redaes.assessor import Assessor
from redaes.backends.base import Answer, Request
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.server import ServerBackend
from redaes.errors import BackendError, EndpointError, PromptError
from redaes.images import LoadedImage, decode_image
from redaes.images import data_url as as_url
from redaes.serving.app import create_app
from redaes.serving.limits import ServiceLimits
from redaes.types import ImageRef, Rationale, Sampling, Verdict

CHOICES = (" A", " B", " tie")
FAST = prompts.load("compare_fast/v1")
REASONED = prompts.load("compare/v1")


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REDAES_API_KEY", raising=False)


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (8, 6), colour)


RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green")


def loaded(image: Image.Image, name: str) -> LoadedImage:
    return LoadedImage(image, ImageRef(id=name, path=Path(name)), ())


PAIR = loaded(RED, "red"), loaded(BLUE, "blue")


def names(prefix: str = WINNER_PREFIX) -> list[str]:
    """How vLLM calls the choices' tokens when it is asked for numbers."""
    n = len(tokens(prefix))
    return [f"token_id:{tokens(prefix + choice)[n]}" for choice in CHOICES]


def reddest(call: Call) -> Say:
    """Answers as vLLM does; likes what is red."""
    if "logprob_token_ids" not in call.body:
        return Say(reasoned(2.0 if _red(call) > 0 else -2.0))
    odds = _red(call)
    a, b, tie = names(call.body["messages"][-1]["content"].split("\n")[-1])
    likeliest, other = (a, b) if odds > 0 else (b, a)
    return Say("x", top=[{likeliest: -1.0, other: -1.0 - abs(odds), tie: -7.0}])


def _red(call: Call) -> float:
    user = call.body["messages"][0]["content"]
    shown = [part for part in user if part["type"] == "image_url"]
    first, second = (pixel(part) for part in shown)
    return (first - second) / 64


def pixel(part: dict[str, Any]) -> int:
    data = base64.b64decode(part["image_url"]["url"].split(",", 1)[1])
    return Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))[0]  # type: ignore[index, return-value]


def reasoned(delta: float) -> str:
    better = "A" if delta > 0 else "B"
    rationale = Rationale(text="Winner: red, I say.", factors=("colour",), better=better)  # type: ignore[arg-type]
    return render_verdict(Verdict(winner=better, delta=delta, rationale=rationale))  # type: ignore[arg-type]


Making = Callable[..., ServerBackend]


@pytest.fixture
def make() -> Iterator[Making]:
    made: list[ServerBackend] = []

    def one(server: OpenAIServer, structured: bool = False, **settings: Any) -> ServerBackend:
        settings = {"backoff_s": 0.01, "timeout_s": 10.0, "max_retries": 1, **settings}
        made.append(ServerBackend(Endpoint(server.base_url, "judge", **settings), structured=structured))
        return made[-1]

    yield one
    for backend in made:
        backend.close()


def asked(*images: Image.Image, choices: tuple[str, ...] = CHOICES) -> Request:
    return Request(FAST, images, WINNER_PREFIX, choices, None)


def read(backend: ServerBackend, *pairs: tuple[Image.Image, Image.Image]) -> np.ndarray:
    found = backend.answer([asked(*pair) for pair in pairs])
    return np.array([list(one.read.log_probs.values()) for one in found]).reshape(-1, 3)


def written(backend: ServerBackend, *requests: Request, **sampling: Any) -> list[str]:
    found = backend.answer([replace(request, sampling=Sampling(**sampling)) for request in requests])
    return [one.text for one in found]


def test_what_is_asked_to_read(make: Making) -> None:
    with OpenAIServer(reddest) as server:
        rows = read(make(server), (RED, BLUE))
    assert rows.tolist() == [[-1.0, -1.0 - 255 / 64, -7.0]]
    (call,) = server.calls
    assert call.body["messages"][-1] == {"role": "assistant", "content": "Winner:"}
    assert call.body["continue_final_message"] is True
    assert call.body["add_generation_prompt"] is False
    assert call.body["logprob_token_ids"] == [int(name.split(":")[1]) for name in names()]
    assert call.body["return_tokens_as_token_ids"] is True
    assert (call.body["max_completion_tokens"], call.body["temperature"]) == (1, 0.0)
    assert (call.body["repetition_penalty"], call.body["top_p"]) == (1.0, 1.0)


def test_a_server_that_lets_a_model_think_is_refused(make: Making) -> None:
    request = Request(REASONED, (RED, BLUE))
    with OpenAIServer(lambda call: Say("Winner: A")) as server:
        server.chat_end += "<think>Ċ"
        with pytest.raises(BackendError, match=r"with an open <think>.* --chat-template"):
            written(make(server), request)
        server.chat_end += "Ċ</think>ĊĊ"
        assert written(make(server), request) == ["Winner: A"]
    assert server.calls[0].body["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_template_that_cuts_what_an_answer_begins_with_is_refused(make: Making) -> None:
    request = Request(FAST, (RED, BLUE), "Score: ")
    with OpenAIServer(lambda call: Say("6")) as server:
        assert written(make(server), request) == ["Score: 6"]
        server.trims = True
        with pytest.raises(BackendError, match="cuts the white space at the end of 'Score: '"):
            written(make(server), request)


def test_rows_come_in_the_order_of_the_requests_though_asked_in_another(make: Making) -> None:
    pairs = [(BLUE, RED), (RED, BLUE), (GREEN, RED), (RED, GREEN), (BLUE, GREEN), (RED, RED)]
    with OpenAIServer(reddest) as server:
        rows = read(make(server, concurrency=1), *pairs)
    assert np.sign(rows[:, 0] - rows[:, 1]).tolist() == [-1, 1, -1, 1, 0, 0]
    firsts = [pixel(call.body["messages"][0]["content"][1]) for call in server.calls]
    shown = [call.body["messages"][0]["content"][1]["image_url"]["url"] for call in server.calls]
    assert firsts != [0, 255, 0, 255, 0, 255]
    # Requests with the same first picture follow one another: their prompts begin alike.
    assert sum(one != other for one, other in itertools.pairwise(shown)) == len(set(shown)) - 1


def test_nothing_asked_is_nothing_answered(make: Making) -> None:
    with OpenAIServer(reddest) as server:
        backend = make(server)
        assert read(backend).shape == (0, 3)
        assert backend.answer([]) == []


def test_texts_carry_their_prefix(make: Making) -> None:
    with OpenAIServer(lambda call: Say(" A")) as server:
        backend = make(server)
        whole = written(backend, Request(REASONED, (RED, BLUE)), max_new_tokens=9)
        begun = written(backend, Request(REASONED, (RED, BLUE), "Winner:"))
    assert (whole, begun) == ([" A"], ["Winner: A"])
    assert "continue_final_message" not in server.calls[0].body
    assert server.calls[0].body["max_completion_tokens"] == 9
    assert "structured_outputs" not in server.calls[0].body


def test_answers_may_be_held_to_the_grammar(make: Making) -> None:
    with OpenAIServer(lambda call: Say("x")) as server:
        backend = make(server, structured=True)
        written(backend, Request(REASONED, (RED, BLUE)), Request(FAST, (RED, BLUE)))
    constrained = ["structured_outputs" in call.body for call in server.calls]
    assert sorted(constrained) == [False, True]


@pytest.mark.parametrize("mode", ["fast", "reasoned"])
def test_the_assessor_on_it(make: Making, mode: str) -> None:
    with OpenAIServer(reddest) as server:
        result = Assessor(make(server, revision="7"), mode=mode).compare_many([PAIR])[0]  # type: ignore[arg-type]
    assert (result.winner, result.order_consistent, result.revision) == ("A", True, "7")
    assert result.probability == pytest.approx(1 / (1 + np.exp(-255 / 64)))
    if mode == "reasoned":
        # Read without the reasons that were written.
        assert server.calls[-1].body["messages"][-1]["content"] == "Winner:"
        assert result.comparisons[0].read_with == FAST.id


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Say("x"), "no_logprob"),  # a server that ignores what it does not know
        (Say("x", top=[{"token_id:1": -0.1}]), "no_logprob"),
        (Say("A", top=[{" A": -0.1, " B": -3.0, " tie": -4.0}]), "no_logprob"),
        (Fault(400), "http_400"),
        (Fault(500), "http_500"),
    ],
)
def test_a_request_that_is_lost_loses_only_itself(make: Making, answer: Any, reason: str) -> None:
    def script(call: Call) -> Any:
        return answer if _red(call) > 0 else reddest(call)

    with OpenAIServer(script) as server:
        backend = make(server)
        lost, kept = backend.answer([asked(RED, BLUE), asked(BLUE, RED)])
        result = Assessor(backend, mode="fast").compare_many([PAIR])[0]
    assert isinstance(lost, Failure)
    assert lost.reason == reason
    assert isinstance(kept, Answer)
    assert [comparison.failure for comparison in result.comparisons] == [reason, None]
    assert result.winner == "A"
    assert result.order_consistent is None
    assert "the preference for a position is not cancelled" in result.notes[0]


def test_a_lost_probability_leaves_the_verdict(make: Making) -> None:
    def script(call: Call) -> Any:
        return Fault(400) if "logprob_token_ids" in call.body and _red(call) > 0 else reddest(call)

    with OpenAIServer(script) as server:
        result = Assessor(make(server)).compare_many([PAIR])[0]
    assert [comparison.failure for comparison in result.comparisons] == [None, None]
    assert [comparison.probability_failure for comparison in result.comparisons] == ["http_400", None]
    assert [comparison.probability_from for comparison in result.comparisons] == [None, "exact"]
    # The probability of one order alone would carry its lean.
    assert (result.winner, result.delta, result.probability) == ("A", 2.0, None)
    assert "http_400" in result.notes[-1]


@pytest.mark.parametrize("answer", [Fault(503), Drop()])
def test_a_server_that_is_gone_is_an_error(make: Making, answer: Any) -> None:
    with OpenAIServer(lambda call: answer) as server:
        backend = make(server)
        assert all(isinstance(one, Failure) for one in backend.answer([asked(RED, BLUE), asked(BLUE, RED)]))
        with pytest.raises(EndpointError, match="none of 2 questions was answered"):
            Assessor(backend, mode="fast").compare_many([PAIR])


def test_choices_that_cannot_be_told_apart(make: Making) -> None:
    with OpenAIServer(reddest) as server:
        backend = make(server)
        with pytest.raises(BackendError, match="same token"):
            backend.answer([asked(RED, BLUE, choices=(" A", " A"))])
        with pytest.raises(BackendError, match="starts no token"):
            backend.answer([asked(RED, BLUE, choices=("A", "B"))])


def test_one_picture_for_each_slot(make: Making) -> None:
    with OpenAIServer(reddest) as server, pytest.raises(PromptError, match="takes 2 pictures, not 1"):
        make(server).answer([asked(RED)])


def test_threads_share_the_bound_on_concurrency(make: Making) -> None:
    def slow(call: Call) -> Say:
        time.sleep(0.02)
        return reddest(call)

    with OpenAIServer(slow) as server:
        backend = make(server, concurrency=3)
        threads = [threading.Thread(target=read, args=(backend, (RED, BLUE), (BLUE, RED))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.calls) == 12
    assert server.most_at_once <= 3


def test_a_task_that_is_called_off_ends_alone(make: Making) -> None:
    entered, gate = threading.Event(), threading.Event()

    def held(call: Call) -> Say:
        if _red(call) > 0:
            entered.set()
            gate.wait(20)
        return reddest(call)

    with OpenAIServer(held) as server:
        backend = make(server)
        task = backend.task()
        reasons: list[str] = []

        def ask() -> None:
            try:
                read(task, (RED, BLUE))
            except EndpointError as error:
                reasons.append(error.reason)

        thread = threading.Thread(target=ask)
        thread.start()
        assert entered.wait(10)
        task.cancel()
        thread.join(10)
        assert reasons == ["cancelled"]
        assert read(backend, (BLUE, RED)).shape == (1, 3)  # others go on
        with pytest.raises(EndpointError, match="cancelled"):
            read(task, (BLUE, RED))
        gate.set()


def test_a_closed_backend_says_so(make: Making) -> None:
    with OpenAIServer(reddest) as server:
        backend = make(server)
        backend.close()
        backend.close()
        with pytest.raises(BackendError, match="closed"):
            read(backend, (RED, BLUE))


# --- the service before it -----------------------------------------------------------------------------------


def ask_door(backend: ServerBackend, path: str, body: Any, **limits: Any) -> httpx.Response:
    app = create_app(backend, limits=ServiceLimits(**{"workers": 4, "timeout_s": 5.0, **limits}), hosts=("door",))

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.post(path, json=body)

    return asyncio.run(run())


def chat(text: str = "hello", url: str | None = None, **fields: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if url is not None:
        content.append({"type": "image_url", "image_url": {"url": url}})
    return {"model": "judge", "messages": [{"role": "user", "content": content}], **fields}


def test_a_chat_passes_through_with_its_answer(make: Making) -> None:
    with OpenAIServer(lambda call: Say("yes")) as server:
        answer = ask_door(
            make(server, api_key="the-door's-own-key"), "/v1/chat/completions", chat(url=as_url(RED), n=2)
        )
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "yes"
    (call,) = server.calls
    assert call.body["max_completion_tokens"] == 1024  # an answer has an end even where nobody gave one
    assert call.headers["authorization"] == "Bearer the-door's-own-key"
    assert len(call.pictures()) == 1


def test_a_chat_shows_the_pixels_of_training(make: Making) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    file = io.BytesIO()
    Image.linear_gradient("L").resize((40, 20)).convert("RGB").save(file, "JPEG", exif=exif)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    with OpenAIServer(lambda call: Say("yes")) as server:
        assert ask_door(make(server), "/v1/chat/completions", chat(url=url)).status_code == 200
        cut = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()[:-200]).decode()
        refused = ask_door(make(server), "/v1/chat/completions", chat(url=cut))
    (call,) = server.calls
    (shown,) = call.pictures()
    assert shown.size == (20, 40)
    assert shown.tobytes() == decode_image(file.getvalue(), Path("a.jpg")).image.tobytes()
    assert (refused.status_code, "damaged or truncated" in refused.json()["error"]["message"]) == (422, True)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (chat(url="http://169.254.169.254/"), 422, "addresses are not fetched"),
        (chat(url="data:image/png;base64,AAAA"), 422, "not a known picture"),
        (chat(mm_processor_kwargs={"size": 1}), 422, "mm_processor_kwargs"),
        (chat(chat_template="{{ x }}"), 422, "chat_template"),
        (chat(stream=True), 422, "stream"),
        (chat(n=9), 422, "n:"),
        (chat(n=True), 422, "n:"),
        (chat(max_tokens=5000), 422, "max_tokens"),
        (chat(model="other"), 404, "judge"),
        (chat("<|im_start|>system"), 422, "special token"),
        ({"messages": []}, 422, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 422, "roles"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}]}, 422, "parts"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "<|im_"},
                                                    {"type": "text", "text": "end|>"}]}]}, 422, "special token"),
        ([], 422, "object"),
    ],
)  # fmt: skip
def test_what_a_chat_may_not_ask(make: Making, body: Any, status: int, words: str) -> None:
    with OpenAIServer(lambda call: Say("yes")) as server:
        answer = ask_door(make(server), "/v1/chat/completions", body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert server.calls == []


def test_more_pictures_than_allowed(make: Making) -> None:
    body = chat()
    body["messages"][0]["content"] += [{"type": "image_url", "image_url": {"url": as_url(RED)}}] * 3
    with OpenAIServer(lambda call: Say("yes")) as server:
        assert ask_door(make(server), "/v1/chat/completions", body, max_images=2).status_code == 413


@pytest.mark.parametrize(
    ("answer", "status"), [(Fault(400, message="no"), 400), (Fault(500), 500), (Drop(), 503), (Raw(b"odd"), 200)]
)
def test_how_a_chat_may_end(make: Making, answer: Any, status: int) -> None:
    with OpenAIServer(lambda call: answer) as server:
        assert ask_door(make(server), "/v1/chat/completions", chat()).status_code == status


@pytest.mark.parametrize(("answer", "status"), [(Fault(503), 503), (Drop(), 503), (Fault(500), 502), (Say("x"), 502)])
def test_a_comparison_of_which_a_half_is_lost_is_no_answer(make: Making, answer: Any, status: int) -> None:
    def script(call: Call) -> Any:
        return answer if _red(call) > 0 else reddest(call)

    body = {"first": as_url(RED), "second": as_url(BLUE), "mode": "fast"}
    with OpenAIServer(script) as server:
        answered = ask_door(make(server), "/v1/compare", body)
        fine = ask_door(make(server), "/v1/compare", {**body, "first": as_url(GREEN)})
    assert answered.status_code == status, answered.text
    assert json.loads(fine.content)["winner"] in ("A", "B", "tie")
