"""Every example of docs/python.md and of the README's Python part, run as it stands on the page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai_server import OpenAIServer, always_the_first

import redaes
from redaes.reference_photographs import reference_photographs

ROOT = Path(__file__).parents[2]
SERVER = "http://localhost:11434/v1"
PICTURES = {"a.jpg": "coffee.jpg", "b.jpg": "coffee-dark.jpg", "c.jpg": "chelsea-noisy.jpg"}


def examples(page: str) -> list[str]:
    """The blocks of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pictures that the pages name."""
    there = {ref.path.name: ref.path for ref in reference_photographs()}
    for name, source in PICTURES.items():
        shutil.copy(there[source], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a model that answers every question alike."""
    with OpenAIServer(always_the_first) as running:
        yield running.base_url


@pytest.mark.parametrize(("page", "at_least"), [("docs/python.md", 9), ("README.md", 1)])
def test_the_examples_run(page: str, at_least: int, somewhere: Path, server: str) -> None:
    blocks = examples(page)
    assert len(blocks) >= at_least
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, 1):
        code = compile(block.replace(SERVER, server), f"{page}, example {number}", "exec")
        exec(code, names)


def test_the_page_shows_what_a_user_calls() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    not_called = {"__version__", "TrainingError", "BudgetExhausted"}  # raised, or only read
    records = {"Comparison", "Edit", "Pair", "PairAnswer", "Rationale", "Sampling", "Verdict", "Failure"}
    types = {"Ranking", "RankedPictures", "ReferenceSet", "Score", "AestheticMetric"}  # what calls return
    for name in set(redaes.__all__) - not_called - records - types:
        assert re.search(rf"\b{name}\b", page), name
