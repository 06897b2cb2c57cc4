"""The code blocks of README and docs, and the commands in them.

A block of `bash` or `python` is run by a test, or says above itself what it needs that a test does not have:

    <!-- needs: 8 GPUs -->
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("redaes", "python", "make", "accelerate", "torchrun")
"""Programs whose command lines are looked at."""
GUIDES = (
    "README.md",
    "docs/index.md",
    "docs/install.md",
    "docs/results.md",
    "docs/compare.md",
    "docs/ranking.md",
    "docs/cull.md",
    "docs/serving.md",
    "docs/python.md",
    "docs/rewards.md",
    "docs/red-20k.md",
    "docs/gpus.md",
    "docs/own-data.md",
    "docs/evaluate.md",
    "docs/fgaesq.md",
)
"""README, and the pages that are read from top to bottom with a terminal beside them."""
RUN_BY = {
    "docs/red-20k.md": "tests/unit/test_red_20k_page.py",
    "docs/python.md": "tests/integration/test_python_page.py",
}
"""Guides of which another test runs what can be run; the rest is run by tests/integration/test_guides.py."""
PYTHON_RUN_BY = {
    "README.md": "tests/integration/test_python_page.py",
    "docs/python.md": "tests/integration/test_python_page.py",
    "docs/red-20k.md": "tests/unit/test_red_20k_page.py",
    "docs/rewards.md": "tests/integration/test_guides.py",
}
"""Guides with blocks of Python that do not say what they need, and what runs those."""
_FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.M | re.S)
_NEEDS = re.compile(r"<!-- needs: ([^\n]+?) -->\s*\Z")
_SEPARATORS = {";", "&", "&&", "|", "||", "(", ")", "((", "))", "{", "}"}
_INLINE = re.compile(r"(?<!`)`(redaes [a-z][^`\n]*)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    """Its path in the checkout."""
    line: int
    """Of the page, from 1: where the fence opens."""
    language: str
    """What stands after the fence; may be empty."""
    more: str
    """The rest of that line, such as `file=panel.yaml`."""
    text: str
    needs: str | None
    """What the comment above it says that it needs."""

    @property
    def name(self) -> str:
        """Page and line, for the name of a test and for messages."""
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of each command of one of `PROGRAMS`, in order; other words of a shell script are left out."""
        return [words for words in _commands(self.text) if words[0] in PROGRAMS]

    def other_programs(self) -> set[str]:
        """What a shell script calls besides."""
        return {words[0] for words in _commands(self.text)} - set(PROGRAMS)


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """All fenced blocks of a page, given as its path in the checkout."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        needs = _NEEDS.search(before)
        inside = re.sub(rf"^{match[1]}", "", match[4], flags=re.M)
        line = before.count("\n") + 1
        found.append(Block(page, line, match[2], match[3].strip(), inside, needs[1] if needs else None))
    return tuple(found)


def indented_commands(page: str) -> Iterator[list[str]]:
    """Commands in blocks that are indented by four spaces instead of fenced."""
    text = _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for block in re.findall(r"(?:^ {4}\S.*\n)+", text, re.M):
        yield from (words for words in _commands(block) if words[0] in PROGRAMS and len(words) > 1)


def inline_commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of redaes within a page's sentences and tables, as they are written, and their words."""
    text = _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for match in _INLINE.finditer(text.replace("\\|", "|")):
        yield match[1], _words(match[1])


def _commands(script: str) -> Iterator[list[str]]:
    for line in script.replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("#"):
            continue
        command: list[str] = []
        for word in [*_words(line), ";"]:
            if word in _SEPARATORS:
                yield from _plain(command)
                command = []
            elif word in {"do", "then", "else"}:
                command = []
            else:
                command.append(word)


def _plain(words: list[str]) -> Iterator[list[str]]:
    """The command without the settings of its environment and what is written where, if there is any."""
    while words and re.match(r"[A-Z_][A-Z0-9_]*=", words[0]):
        words = words[1:]
    for place, word in enumerate(words):
        if word in {"<", ">", ">>"}:
            words = words[:place]
            break
    if words:
        yield words


def _words(line: str) -> list[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
    reader.whitespace_split = True
    reader.commenters = "#"
    try:
        return list(reader)
    except ValueError:  # a quotation that goes on in the next line
        return []
