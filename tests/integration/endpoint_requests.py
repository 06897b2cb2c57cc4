"""Questions to a local server, as the tests of the client ask them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from openai_server import OpenAIServer
from PIL import Image

from redaes import prompts
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure
from redaes.backends.pictures import EncodedPicture
from redaes.types import Sampling

RED, BLUE = (EncodedPicture(Image.new("RGB", (8, 6), colour)) for colour in ("red", "blue"))


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no key of the machine that the tests run on; a test file that imports it has it in all its tests."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REDAES_API_KEY", raising=False)


def request(seed: int = 0, **settings: Any) -> ChatRequest:
    return ChatRequest.of(prompts.load("compare/v1"), (RED, BLUE), Sampling(temperature=0.7, seed=seed), **settings)


def endpoint(server: OpenAIServer, **settings: Any) -> Endpoint:
    return Endpoint(server.base_url, "judge", **{"backoff_s": 0.01, "timeout_s": 10.0, **settings})


def ask_many(asked: Endpoint, requests: Sequence[ChatRequest]) -> list[Reply | Failure]:
    async def run() -> list[Reply | Failure]:
        async with asked:
            return await asked.ask_many(requests)

    return asyncio.run(run())
