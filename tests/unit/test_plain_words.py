"""What a reader meets is plain English: phrases that must not come back, and help texts that are sentences."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomllib
import typer

from redaes.cli.app import app
from redaes.option_sources import Unreadable, options_of
from redaes.training.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("help", "messages", "docstrings", "docs", "recipes")
HISTORY = {"log.md"}
"""Pages that tell what was, in the words of their day."""
PHRASES: list[dict[str, Any]] = tomllib.loads((ROOT / "release" / "plain_words.toml").read_text(encoding="utf-8"))[
    "phrase"
]


@dataclass(frozen=True)
class Text:
    """A piece of what is read, and where it stands."""

    where: str
    words: str

    @property
    def in_one_line(self) -> str:
        """The words with single blanks between them."""
        return " ".join(self.words.split())


@functools.cache
def texts(place: str) -> tuple[Text, ...]:
    """All texts of a place."""
    return tuple(
        {"help": _help, "messages": _messages, "docstrings": _docstrings, "docs": _docs, "recipes": _recipes}[place]()
    )


def commands(command: Any = None, words: str = "redaes") -> Iterator[tuple[str, Any]]:
    """Each command that a user can type, with its words."""
    command = typer.main.get_command(app) if command is None else command
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{words} {name}")


def options() -> Iterator[Text]:
    """The help text of each option and argument, those of the stages among them, which `--help` prints."""
    for words, command in commands():
        for one in command.params:
            if one.name != "help":
                yield Text(f"{words} {one.opts[0]}", one.help or "")
    for stage in STAGES.values():
        for place in (stage.arguments, stage.config, "redaes.training.dry_run.plan:DryRunArguments",
                      "redaes.training.launching:LaunchArguments"):  # fmt: skip
            try:
                found = options_of(place)
            except Unreadable:
                continue
            for owner, rows in found.items():
                if owner.startswith("redaes."):
                    for row in rows:
                        if row.help:
                            yield Text(f"redaes train {stage.name} --{row.name}", row.help)


def _help() -> Iterator[Text]:
    yield from options()
    for words, command in commands():
        yield Text(words, command.help or "")


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted((ROOT / "redaes").rglob("*.py")):
        yield file, ast.parse(file.read_text(encoding="utf-8"))


def _docstring_nodes(tree: ast.Module) -> dict[int, ast.Constant]:
    found = {}
    for node in ast.walk(tree):
        for line in getattr(node, "body", None) if isinstance(getattr(node, "body", None), list) else ():
            if (
                isinstance(line, ast.Expr)
                and isinstance(line.value, ast.Constant)
                and isinstance(line.value.value, str)
            ):
                found[id(line.value)] = line.value
    return found


def _docstrings() -> Iterator[Text]:
    for file, tree in _sources():
        for node in _docstring_nodes(tree).values():
            yield Text(f"{file.relative_to(ROOT)}:{node.lineno}", str(node.value))


def _messages() -> Iterator[Text]:
    for file, tree in _sources():
        left_out = set(_docstring_nodes(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                left_out |= {id(part) for part in ast.walk(node) if part is not node}
            if id(node) in left_out:
                continue
            if isinstance(node, ast.JoinedStr):
                words = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = node.value
            else:
                continue
            if " " in words:
                yield Text(f"{file.relative_to(ROOT)}:{node.lineno}", words)


def _docs() -> Iterator[Text]:
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if file.name not in HISTORY:
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                yield Text(f"{file.relative_to(ROOT)}:{number}", line)


def _recipes() -> Iterator[Text]:
    for folder in ("stages/configs", "data_gen/configs", "eval/configs", "accelerate_configs"):
        for file in sorted((ROOT / folder).glob("*.yaml")):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                _, found, comment = line.partition("#")
                if found:
                    yield Text(f"{file.relative_to(ROOT)}:{number}", comment.strip())


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase["pattern"])
def test_a_phrase_does_not_come_back(phrase: dict[str, Any]) -> None:
    pattern = re.compile(phrase["pattern"], re.IGNORECASE)
    found = [
        f"{text.where}: …{text.in_one_line[max(0, match.start() - 40) : match.end() + 40]}…"
        for place in phrase.get("places", PLACES)
        for text in texts(place)
        if (match := pattern.search(text.in_one_line))
    ]
    assert not found, f"{phrase['reason']} Write: {phrase['instead']}\n" + "\n".join(found)


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase["pattern"])
def test_a_phrase_is_found_where_it_stands(phrase: dict[str, Any]) -> None:
    pattern = re.compile(phrase["pattern"], re.IGNORECASE)
    assert pattern.search(phrase["example"])
    assert not pattern.search(phrase["instead"])
    assert phrase.keys() <= {"pattern", "example", "reason", "instead", "places"}
    assert set(phrase.get("places", PLACES)) <= set(PLACES)
    assert phrase["reason"].endswith(".")


@pytest.mark.parametrize("place", PLACES)
def test_each_place_has_texts(place: str) -> None:
    assert len(texts(place)) > 50


def test_the_help_of_each_option_is_a_sentence() -> None:
    wrong = [
        f"{text.where}: {text.words!r}"
        for text in options()
        if not re.fullmatch(r"(--)?[A-Z].*\.", text.in_one_line) or len(text.words.split()) < 3
    ]
    assert not wrong, "Begin with a capital, end with a full stop, and say more than a word:\n" + "\n".join(wrong)


VERBS = {
    "Act", "Ask", "Audit", "Build", "Calibrate", "Check", "Compare", "Convert", "Evaluate", "Export", "Group", "Let",
    "Merge", "Move", "Open", "Print", "Run", "Say", "Score", "Search", "Serve", "Test", "Train", "Write",
}  # fmt: skip
"""What the first line of a command's help begins with."""
OF_A_STAGE = re.compile(
    r"(Stage \d( by preferences)?|FGAesQ|(First|Second) warm-up of the embedded model): (align|train)"
)


def test_the_help_of_each_command_begins_with_what_it_does() -> None:
    wrong = []
    for words, command in commands():
        first = " ".join((command.help or "").partition("\n\n")[0].split())
        verb = re.match(r"[A-Z][a-z]+", first)
        if not (first.endswith(".") and (OF_A_STAGE.match(first) or (verb and verb[0] in VERBS))):
            wrong.append(f"{words}: {first!r}")
    assert not wrong, f"Begin with one of {', '.join(sorted(VERBS))}, or add your verb:\n" + "\n".join(wrong)
