"""Real vLLM with the embedded model and an adapter on it: it must answer as the same weights do in this process.

    REDAES_VLLM_PYTHON=/path/to/environment/bin/python pytest -m vllm

The environment is a vLLM for CPUs here (docs/serving.md says how to make one). Minutes, most of them vLLM's start.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import regex
from colours import running
from PIL import Image, ImageEnhance, ImageFilter

from redaes import prompts
from redaes.answer_grammars import JSON, TEXT
from redaes.assessor import Assessor, Result
from redaes.backends.abilities import Structured
from redaes.backends.base import Request
from redaes.backends.connecting import connect
from redaes.backends.endpoint import Endpoint
from redaes.backends.server import ServerBackend
from redaes.errors import EndpointError
from redaes.images import LoadedImage, content_id, data_url
from redaes.json_form import KEYS
from redaes.models import nano
from redaes.prompts import Mode
from redaes.serving.app import create_app
from redaes.serving.limits import ServiceLimits
from redaes.serving.vllm import ServedModel, VllmServer
from redaes.types import ImageRef, Sampling
from tests.conftest import synthetic_photograph

pytestmark = pytest.mark.vllm

KEY = "a-key-of-the-tests-0123"
TOLERANCE = 0.02


def loaded(image: Image.Image) -> LoadedImage:
    return LoadedImage(image, ImageRef(id=content_id(image.tobytes()), path=Path("x.png")), ())


def photographs() -> list[Image.Image]:
    """Photographs beside worse versions of themselves, so that answers differ in size and sign."""
    found = []
    for seed in range(4):
        image = synthetic_photograph(seed)
        worse = [
            ImageEnhance.Brightness(image).enhance(0.35),
            image.filter(ImageFilter.GaussianBlur(3)),
            ImageEnhance.Color(image).enhance(2.5),
            ImageEnhance.Contrast(image).enhance(0.4),
        ]
        found += [image, worse[seed]]
    return found


PICTURES = [loaded(image) for image in photographs()]
PAIRS = [(PICTURES[n], PICTURES[n + 1]) for n in range(0, len(PICTURES), 2)] + [(PICTURES[1], PICTURES[0])]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes the answers and spoils the texts: random, on the language model alone."""
    import torch

    from redaes.backends.loading import load_network

    network = load_network(nano.weights(), torch.float32)  # first, because it makes torchvision importable for peft
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    targets = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    config = LoraConfig(r=8, lora_alpha=16, target_modules=targets, init_lora_weights=False)
    model = get_peft_model(network, config)
    folder = tmp_path_factory.mktemp("lora") / "adapter"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(adapter: Path) -> Iterator[VllmServer]:
    python = os.environ.get("REDAES_VLLM_PYTHON")
    if python is None:  # a tier that is asked for and cannot run has not passed
        pytest.fail("REDAES_VLLM_PYTHON names no environment with vLLM; docs/serving.md says how to make one")
    os.environ["NO_PROXY"] = "127.0.0.1"
    with VllmServer(ServedModel(nano.NAME, adapter, cpu=True), Path(python)) as found:
        yield found


def endpoint(server: VllmServer, name: str) -> Endpoint:
    return Endpoint(server.base_url, name, api_key=server.api_key, revision="r", timeout_s=300.0, max_retries=1)


@pytest.fixture(scope="module")
def base(server: VllmServer) -> Iterator[ServerBackend]:
    with ServerBackend(endpoint(server, nano.NAME)) as backend:
        yield backend


def assert_alike(served: Result, local: Result) -> None:
    assert served.winner == local.winner
    assert served.probability == pytest.approx(local.probability, abs=TOLERANCE)
    assert served.order_consistent == local.order_consistent
    assert [one.raw for one in served.comparisons] == [one.raw for one in local.comparisons]
    for one, other in zip(served.comparisons, local.comparisons, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=TOLERANCE)


@pytest.mark.parametrize("mode", ["fast", "reasoned"])
def test_it_answers_as_the_same_weights_do_here(base: ServerBackend, mode: Mode) -> None:
    from redaes.backends.local import LocalBackend

    served = Assessor(base, mode=mode).compare_many(PAIRS)
    local = Assessor(LocalBackend(device="cpu"), mode=mode).compare_many(PAIRS)
    for one, other in zip(served, local, strict=True):
        assert_alike(one, other)
    # The answers are about something: they are not all alike, and turning the pair turns them.
    probabilities = [result.probability for result in served]
    assert np.ptp(probabilities) > 0.1
    assert probabilities[0] == pytest.approx(1 - probabilities[-1], abs=TOLERANCE)  # type: ignore[operator]


def test_the_same_bytes_get_the_same_answer(base: ServerBackend) -> None:
    first, second = (Assessor(base, mode="fast").compare_many(PAIRS) for _ in range(2))
    assert [one.winner for one in first] == [one.winner for one in second]
    for one, other in zip(first, second, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-4)


def test_an_adapter_is_served_as_it_was_trained(server: VllmServer, adapter: Path) -> None:
    from redaes.backends.local import LocalBackend

    local = Assessor(LocalBackend(adapter=adapter, device="cpu"), mode="fast").compare_many(PAIRS)
    with ServerBackend(endpoint(server, server.served.name)) as backend:
        served = Assessor(backend, mode="fast").compare_many(PAIRS)
    for one, other in zip(served, local, strict=True):
        assert_alike(one, other)
    plain = Assessor(LocalBackend(device="cpu"), mode="fast").compare_many(PAIRS)
    assert any(abs(one.probability - other.probability) > TOLERANCE for one, other in zip(served, plain, strict=True))  # type: ignore[operator]


def test_a_model_that_leaves_the_grammar_is_held_to_it(server: VllmServer) -> None:
    with ServerBackend(endpoint(server, server.served.name)) as free:
        spoilt = Assessor(free).compare_many(PAIRS)
    with ServerBackend(endpoint(server, server.served.name), structured=True) as held:
        kept = Assessor(held).compare_many(PAIRS)
    said = {
        name: [regex.fullmatch(TEXT.pattern, one.raw, partial=True) for result in results for one in result.comparisons]
        for name, results in (("free", spoilt), ("held", kept))
    }
    # The beginning of an answer at least: what is cut off at the last token no pattern can prevent.
    assert all(said["held"])
    assert not all(said["free"])
    failures = {one.failure for result in kept for one in result.comparisons if one.failure is not None}
    assert failures <= {"not_the_form", "unknown_factor", "empty"}


@pytest.mark.parametrize("spelling", [None, "json_schema", "structured_outputs"])
def test_a_model_without_any_json_in_it_is_held_to_json(server: VllmServer, spelling: Structured | None) -> None:
    with ServerBackend(endpoint(server, server.served.name), form="json") as held:
        held.spelling = spelling
        results = Assessor(held, reader="strict", sampling=Sampling(max_new_tokens=1200)).compare_many(PAIRS[:2])
    answers = [one for result in results for one in result.comparisons]
    assert {one.held_by for one in answers} == {
        "response_format" if spelling == "json_schema" else "structured_outputs"
    }
    if spelling is None:
        assert all(regex.fullmatch(JSON.pattern, one.raw) for one in answers)
        assert {one.failure for one in answers} == {None}
    else:  # a schema bounds no text: what is not cut off has the keys in their order
        whole = [one.raw for one in answers if one.raw.rstrip().endswith("}")]
        assert all(tuple(json.loads(raw)) == KEYS for raw in whole)
        assert all(one.raw.lstrip().startswith("{") for one in answers)


def test_behind_an_address_it_is_held_to_the_letter(server: VllmServer) -> None:
    """A schema lets a model that knows no JSON write spaces without end; the regular expression does not."""
    with connect(server.base_url, nano.NAME, api_key=server.api_key) as asked:
        assert asked.form == "text"  # it was trained on it
        result = Assessor(asked, form="json", reader="strict").compare_many(PAIRS[:1])[0]
    assert {(one.held_by, one.failure) for one in result.comparisons} == {("structured_outputs", None)}
    assert result.probability is not None


def test_a_ranking(base: ServerBackend) -> None:
    from redaes.backends.local import LocalBackend

    served = Assessor(base, mode="fast").rank(PICTURES[:5])
    local = Assessor(LocalBackend(device="cpu"), mode="fast").rank(PICTURES[:5])
    assert served.n_failed == 0
    assert served.n_calls == local.n_calls
    for picture, score in served.scores.items():
        assert score == pytest.approx(local.scores[picture], abs=0.05)


def question() -> list[dict[str, object]]:
    """What docs/serving.md tells any OpenAI client to send."""
    first, second = (picture.image for picture in PAIRS[0])
    urls = iter([data_url(first), data_url(second)])
    messages = prompts.load(prompts.COMPARE["reasoned"]).messages()
    for part in messages[0]["content"]:
        if part["type"] == "image":
            part.update(type="image_url", image_url={"url": next(urls)})
    return messages


def test_the_plain_openai_client_and_curl(server: VllmServer, base: ServerBackend, tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    expected = Assessor(base).compare_many([PAIRS[0]])[0].comparisons[0]
    begun = expected.raw[: expected.raw.rindex("Winner:")] + "Winner:"
    images = (PAIRS[0][0].image, PAIRS[0][1].image)
    asked = Request(prompts.load(prompts.COMPARE["reasoned"]), images, begun, (" A", " B"), None)
    (read,) = base.answer([asked])
    row = list(read.read.log_probs.values())
    for n, picture in enumerate(PAIRS[0]):
        picture.image.save(tmp_path / f"{n}.png")
    app = create_app(base, limits=ServiceLimits(workers=4, timeout_s=300.0), api_keys=(KEY,))
    with running(app) as address:
        for base_url, key in ((server.base_url, server.api_key), (f"{address}/v1", KEY)):
            client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
            answer = client.chat.completions.create(
                model=nano.NAME,
                messages=question(),
                temperature=0,
                max_completion_tokens=256,
                logprobs=True,
                top_logprobs=5,
            )
            assert answer.choices[0].message.content == expected.raw
            tokens = answer.choices[0].logprobs.content
            before = "".join(token.token for token in tokens[: _winner_at(tokens)])
            assert before.endswith("Winner:")
            likeliest = {top.token: top.logprob for top in tokens[_winner_at(tokens)].top_logprobs}
            a, b = np.exp(likeliest[" A"]), np.exp(likeliest[" B"])
            assert a / (a + b) == pytest.approx(1 / (1 + np.exp(row[1] - row[0])), abs=TOLERANCE)
            assert nano.NAME in [model.id for model in client.models.list()]
        curl = shutil.which("curl")
        if curl is None:
            pytest.skip("no curl here")
        done = subprocess.run(
            [curl, "--silent", "--fail-with-body", "--noproxy", "*", "-H", f"Authorization: Bearer {KEY}",
             "-F", f"first=@{tmp_path / '0.png'}", "-F", f"second=@{tmp_path / '1.png'}", "-F", "mode=reasoned",
             f"{address}/v1/compare"],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = Result.model_validate_json(done.stdout)
    assert found.comparisons[0].raw == expected.raw


def _winner_at(tokens: list) -> int:
    text = ""
    last = -1
    for index, token in enumerate(tokens):
        if text.endswith("\nWinner:"):
            last = index
        text += token.token
    return last


def test_killed_under_load_nothing_hangs_and_it_comes_back(server: VllmServer, base: ServerBackend) -> None:
    """Last, because it takes the server away from the others for a while."""
    ended: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                Assessor(base.task(), mode="fast").compare_many([PAIRS[0]])
                ended.append("answer")
            except EndpointError as error:
                ended.append(error.reason)
                time.sleep(0.2)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while "answer" not in ended:
        time.sleep(0.05)
    pid = server.pid
    assert pid is not None
    os.killpg(pid, signal.SIGKILL)
    while not any(reason != "answer" for reason in ended):
        time.sleep(0.05)
    end = time.monotonic() + 580
    while not (server.pid not in (None, pid) and server.is_healthy()):
        assert time.monotonic() < end
        time.sleep(0.5)
    before = len(ended)
    while "answer" not in ended[before:]:
        assert time.monotonic() < end
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads)
    assert set(ended) <= {"answer", "connection", "http_500", "http_503", "partly_answered"}
