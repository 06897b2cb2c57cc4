"""What the service costs, and what asking in a good order and in the fast mode saves, on a vLLM server.

    python benchmarks/serving.py --vllm /path/to/vllm/bin/python --device cpu
    python benchmarks/serving.py --attach http://127.0.0.1:8000/v1 --model NAME

First, whether the server answers as the same weights do in this process: verdicts, texts, probabilities of pairs of a
picture and an edit of it. Then three ratios, each of two arms that take turns in one run (the median of the rounds is
printed):

* overhead: comparisons as plain requests to vLLM's own port (pictures read, shrunk and encoded just the same) against
  the same comparisons sent to the service as files; 8 at once;
* order: a round robin of pictures asked in the order in which ``ServerBackend`` asks, against a random order;
* fast: pairs compared in the fast mode against the reasoned mode.

Every round shows pictures of its own, so that no cache of an earlier one helps.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.assessor import Assessor
from redaes.backends.base import Backend, Request
from redaes.backends.endpoint import Endpoint
from redaes.backends.local import LocalBackend
from redaes.backends.server import ServerBackend
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.images import LoadedImage, data_url, decode_image
from redaes.models import nano
from redaes.serving.vllm import ServedModel, VllmServer

CHOICES = (" A", " B", " tie")
CONCURRENCY = 8
FAST = prompts.load(prompts.COMPARE["fast"])


@dataclass(frozen=True)
class Address:
    """A vLLM server and the model on it."""

    url: str
    model: str
    key: str | None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def photograph(rng: np.random.Generator, side: int) -> bytes:
    """A JPEG of smooth light with some texture: as costly to decode and encode as a photograph."""
    coarse = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize(
        (side, side * 3 // 4), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 6, (coarse.height, coarse.width, 1))
    out = io.BytesIO()
    Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def loaded(data: bytes) -> LoadedImage:
    return decode_image(data, Path("picture.jpg"))


async def at_once(work: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> float:
    """Seconds for all of it, ``CONCURRENCY`` at once."""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with slots:
            await start()

    began = time.perf_counter()
    await asyncio.gather(*(one(start) for start in work))
    return time.perf_counter() - began


def bodies(model: str, pair: tuple[bytes, bytes], tokens: list[int]) -> list[bytes]:
    """Both orders of a pair as vLLM takes them, written by hand: the same questions, without this project's client."""
    urls = [data_url(loaded(data).image) for data in pair]
    found = []
    for shown in (urls, urls[::-1]):
        messages = FAST.messages()
        remaining = iter(shown)
        for part in messages[0]["content"]:
            if part["type"] == "image":
                part.update(type="image_url", image_url={"url": next(remaining)})
        messages.append({"role": "assistant", "content": WINNER_PREFIX})
        body = {
            "model": model, "messages": messages, "temperature": 0, "max_completion_tokens": 1,
            "continue_final_message": True, "add_generation_prompt": False,
            "logprobs": True, "top_logprobs": 1, "logprob_token_ids": tokens,
        }  # fmt: skip
        found.append(json.dumps(body).encode())
    return found


async def straight(server: Address, pairs: Sequence[tuple[bytes, bytes]]) -> float:
    async with httpx.AsyncClient(timeout=600, trust_env=False, headers=server.headers) as client:
        tokens = []
        for choice in CHOICES:
            asked = {"model": server.model, "prompt": WINNER_PREFIX + choice, "add_special_tokens": False}
            tokens.append(
                (await client.post(f"{server.url.removesuffix('/v1')}/tokenize", json=asked)).json()["tokens"][-1]
            )

        async def post(body: bytes) -> None:
            answer = await client.post(
                f"{server.url}/chat/completions", content=body, headers={"Content-Type": "application/json"}
            )
            answer.raise_for_status()

        async def ask(pair: tuple[bytes, bytes]) -> None:
            made = await asyncio.to_thread(bodies, server.model, pair, tokens)
            await asyncio.gather(*(post(body) for body in made))

        return await at_once([lambda pair=pair: ask(pair) for pair in pairs])  # type: ignore[misc]


async def through_the_service(address: str, pairs: Sequence[tuple[bytes, bytes]]) -> float:
    async with httpx.AsyncClient(timeout=600, trust_env=False) as client:

        async def ask(pair: tuple[bytes, bytes]) -> None:
            files = {name: (f"{name}.jpg", data) for name, data in zip(("first", "second"), pair, strict=True)}
            answer = await client.post(f"{address}/v1/compare", files=files, data={"mode": "fast"})
            answer.raise_for_status()

        return await at_once([lambda pair=pair: ask(pair) for pair in pairs])  # type: ignore[misc]


def agreement(server: ServerBackend, local: Backend, pairs: Sequence[tuple[LoadedImage, LoadedImage]]) -> None:
    for mode in ("fast", "reasoned"):
        there, here = (Assessor(backend, mode=mode).compare_many(pairs) for backend in (server, local))  # type: ignore[arg-type]
        both = list(zip(there, here, strict=True))
        halves = [pair for a, b in both for pair in zip(a.comparisons, b.comparisons, strict=True)]
        apart = [abs(a.probability - b.probability) for a, b in both if None not in (a.probability, b.probability)]
        print(
            f"agreement  {mode}: {sum(a.winner == b.winner for a, b in both)} of {len(both)} verdicts equal "
            f"({sum(b.winner == 'tie' for _, b in both)} of them ties), "
            f"{sum(a.raw == b.raw for a, b in halves)} of {len(halves)} texts; probabilities of {len(apart)} pairs "
            f"from {min(b.probability for _, b in both):.3f} to {max(b.probability for _, b in both):.3f}, "
            f"at most {max(apart):.2g} apart",
            flush=True,
        )


def edited_pairs(rng: np.random.Generator, n: int, side: int) -> list[tuple[LoadedImage, LoadedImage]]:
    """Pictures beside edits of them, so that answers differ in size and sign."""
    found = []
    for number, operation in enumerate(rng.choice(sorted(OPERATIONS), n)):
        whole = loaded(photograph(rng, side))
        pixels = apply_edit(np.asarray(whole.image), str(operation), float(rng.choice((0.3, 0.6, 1.0))), number)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        found.append((whole, loaded(out.getvalue()))[:: rng.choice((1, -1))])
    return found


@contextmanager
def service_before(server: Address) -> Iterator[str]:
    """``redaes serve`` in a process of its own; its address."""
    command = [sys.executable, "-c", "from redaes.cli import main; main()", "serve", "--port", "0"]
    command += ["--attach", server.url, "--model", server.model, "--timeout", "600"]
    environment = {**os.environ, "REDAES_API_KEY": server.key or ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def ratio(name: str, arms: dict[str, list[float]], unit: int, what: str) -> None:
    medians = {arm: statistics.median(seconds) for arm, seconds in arms.items()}
    (one, first), (other, second) = medians.items()
    per = ", ".join(f"{arm} {unit / seconds:.2f} {what}/s" for arm, seconds in medians.items())
    each = ", ".join(f"{b / a:.2f}" for a, b in zip(*arms.values(), strict=True))
    print(f"{name:10} {per}; time {other} / {one} = {second / first:.3f} (rounds: {each})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", type=Path, help="Python of the environment that has vLLM")
    parser.add_argument("--attach", help="a vLLM server that runs already")
    parser.add_argument("--model", default=nano.NAME)
    parser.add_argument("--device")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--pictures", type=int, default=8, help="of the round robin")
    parser.add_argument("--side", type=int, default=640, help="longer side of the pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    rng, shuffler = np.random.default_rng(settings.seed), random.Random(settings.seed)

    def pictures(n: int) -> list[bytes]:
        return [photograph(rng, settings.side) for _ in range(n)]

    def pairs() -> list[tuple[bytes, bytes]]:
        made = pictures(2 * settings.pairs)
        return list(zip(made[::2], made[1::2], strict=True))

    with ExitStack() as stack:
        if settings.attach:
            server = Address(settings.attach, settings.model, os.environ.get("REDAES_API_KEY"))
        else:
            started = stack.enter_context(
                VllmServer(ServedModel(settings.model, cpu=settings.device == "cpu"), settings.vllm)
            )
            server = Address(started.base_url, settings.model, started.api_key)

        def backend(concurrency: int) -> ServerBackend:
            endpoint = Endpoint(
                server.url, server.model, api_key=server.key, timeout_s=600, concurrency=concurrency, max_retries=0
            )
            return stack.enter_context(ServerBackend(endpoint))

        many, one = backend(2 * CONCURRENCY), backend(1)
        Assessor(many).compare_many([(loaded(a), loaded(b)) for a, b in pairs()[:2]])  # warm-up

        if Path(settings.model).is_dir() or settings.model == nano.NAME:
            agreement(
                many, LocalBackend(settings.model, device="cpu"), edited_pairs(rng, settings.pairs, settings.side)
            )

        address = stack.enter_context(service_before(server))
        arms: dict[str, list[float]] = {"straight": [], "service": []}
        for _ in range(settings.rounds):
            arms["straight"].append(asyncio.run(straight(server, pairs())))
            arms["service"].append(asyncio.run(through_the_service(address, pairs())))
        ratio("overhead", arms, settings.pairs, "comparisons")

        # One request after another: what is in the server's caches is what went before.
        arms = {"ordered": [], "random": []}
        for _ in range(settings.rounds):
            for arm, seconds in arms.items():
                images = [loaded(data).image for data in pictures(settings.pictures)]
                shown = [pair for a, b in combinations(images, 2) for pair in ((a, b), (b, a))]
                shuffler.shuffle(shown)
                requests = [Request(FAST, pair, WINNER_PREFIX, CHOICES, None) for pair in shown]
                began = time.perf_counter()
                for batch in [requests] if arm == "ordered" else [[request] for request in requests]:
                    one.answer(batch)
                seconds.append(time.perf_counter() - began)
        ratio("order", arms, settings.pictures * (settings.pictures - 1), "requests")

        arms = {"fast": [], "reasoned": []}
        for _ in range(settings.rounds):
            for mode, seconds in arms.items():
                given = [(loaded(a), loaded(b)) for a, b in pairs()]
                began = time.perf_counter()
                Assessor(many, mode=mode).compare_many(given)  # type: ignore[arg-type]
                seconds.append(time.perf_counter() - began)
        ratio("mode", arms, settings.pairs, "comparisons")


if __name__ == "__main__":
    main()
