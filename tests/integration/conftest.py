"""Real models, small and random, made once per session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import REMEDY, find_chromium

import redaes  # noqa: F401  # before a file of this folder imports transformers, which may need torchvision

CORPUS = [
    "<rationale>\nA is darker than B; the shadows block up. Decisive: light, better in B.\n</rationale>\n",
    "<rationale>\nB is blurred and noisy. Decisive: focus, noise, better in A.\n</rationale>\n",
    "Winner: A\nDifference: +1.5",
    "Winner: B\nDifference: -3.4",
    "Winner: tie\nDifference: 0.0",
    "Score: 6",
    "Which is the better photograph, by how much, and why? Judge light, colour, focus, noise, composition.",
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Qwen3-VL whose text and probabilities vary with what it is shown."""
    from redaes.models.nano.builder import build

    folder = tmp_path_factory.mktemp("model") / "tiny"
    build(
        folder,
        CORPUS * 20,
        seed=0,
        vocab_size=400,
        max_pixels=96 * 96,
        initializer_range=0.2,
        hidden=64,
        layers=2,
        vision_hidden=64,
        vision_layers=2,
    )
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium; its tests fail where there is none. No test beside its own may run an event loop meanwhile."""
    program = find_chromium()
    if program is None:
        pytest.fail(REMEDY)
    try:
        from playwright import sync_api
    except ImportError:
        pytest.fail("playwright is absent; run `pip install 'redaes[browser]'`, as make test-browser does")
    sync_api.expect.set_options(timeout=60_000)  # its own 5 s are short on a busy machine
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of it, in which neither an error of the page's nor a breach of its security policy may happen."""
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Security Policy" in message.text else None)
    yield page
    page.close()
    assert complaints == []
