"""README: short, with a picture and three commands at its head, and figures that docs/results.md has."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from redaes.backends.weights import revision_of
from redaes.models import nano
from tests.command_blocks import ROOT, blocks_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
MOST_WORDS = 900
"""As `wc -w README.md` counts them: sentences, commands, headings and links."""
SVG = "{http://www.w3.org/2000/svg}"


def test_it_is_short() -> None:
    assert len(README.split()) <= MOST_WORDS


def test_it_begins_with_a_sentence_a_picture_and_three_commands() -> None:
    _, sentence, picture, *_ = README.split("\n\n")
    assert sentence.count(". ") == 0
    assert picture.startswith("![")
    first = blocks_of("README.md")[0]
    assert first.line < 15
    assert [line.split()[:2] for line in first.text.splitlines()] == [
        ["pip", "install"],
        ["redaes", "compare"],
        ["redaes", "compare"],
    ]


def test_its_figures_are_those_of_the_results() -> None:
    said = README[README.index("## Results") : README.index("## Reproduce")]
    figures = re.findall(r"(?<!\d)\.\d{2,3}\b|\b\d+ (?:points|%)", said)
    assert 1 <= len(figures) <= 2
    for figure in figures:
        assert re.search(rf"\*\*{re.escape(figure)} \[", RESULTS), figure


def test_the_results_are_of_the_weights_that_are_shipped() -> None:
    measured = re.findall(r"revision `(\w{12})`", RESULTS)
    assert measured
    assert set(measured) == {revision_of(nano.weights())}


def test_the_picture_shows_the_answer_that_the_results_show() -> None:
    drawn = [text.text or "" for text in ET.parse(ROOT / "docs" / "verdict.svg").iter(f"{SVG}text")]
    (answer,) = [block.text for block in blocks_of("docs/results.md") if block.language == "text"]
    head = next(line for line in drawn if line.endswith("is better"))
    assert answer.startswith(head)
    (points, probability) = re.findall(r"by ([\d.]+) points of 9, with a probability of (\d+%)", " ".join(drawn))[0]
    assert f"difference   {points} points of 9" in answer
    assert f"probability  {probability}" in answer
    said = " ".join(drawn)
    statements = re.findall(r"(?:✓ confirmed|✗ contradicted): “([^”]+)”", said)
    assert f"of {len(statements)} statements confirmed" in answer
    assert all(statement in answer for statement in statements)


@pytest.mark.parametrize("name", ["verdict.svg", "loop.svg"])
def test_a_drawing_has_words_and_reads_in_the_dark_and_fetches_nothing(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert "prefers-color-scheme: dark" in text
    assert not re.findall(r'(?:href|src)="(?!data:)(?!#)', text)
    assert "@import" not in text
    assert name in README
