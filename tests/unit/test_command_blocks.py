"""Each command on a page is one: its options exist. Each block of a guide is run by a test, or says what it needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from redaes.cli.app import app
from redaes.early_checks import settings
from redaes.errors import RedaesError
from redaes.training.launching import read_launch
from redaes.training.stages import STAGES, stage_of
from tests.command_blocks import GUIDES, PYTHON_RUN_BY, ROOT, RUN_BY, blocks_of, indented_commands, inline_commands

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "examples/README.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
)
NOT_TYPED = {"docs/log.md"}
"""The log has commands as they were on their day."""
COMMANDS = [
    pytest.param(words, id=f"{block.name} {' '.join(words)}")
    for page in PAGES
    if page not in NOT_TYPED
    for block in blocks_of(page)
    if block.language in {"", "bash"}
    for words in block.commands()
]
INDENTED = [
    pytest.param(words, id=f"{page} {' '.join(words)}")
    for page in PAGES
    if page not in NOT_TYPED
    for words in indented_commands(page)
]
INLINE = [
    pytest.param(words, id=f"{page} {text}")
    for page in PAGES
    if page not in NOT_TYPED
    for text, words in inline_commands(page)
]
LACKING = {"MissingParameter", "BadOptionUsage", "NoArgsIsHelpError"}
"""Errors about what is not there, by the names that click gives them; Typer brings a click of its own."""
USAGE_ERROR: Any = typer.BadParameter.__base__
DRY_RUN = "redaes.training.dry_run.plan:DryRunArguments"
ELSEWHERE = re.compile(r"…|\.\.\.|^\[|\]$")
"""What stands for something else: more words, or a word that may be left away."""


class Wrong(Exception):
    """A command that the program does not know, as it is written."""


def check(words: Sequence[str], whole: bool = True) -> None:
    """Refuse a command whose words its program does not know; nothing is run.

    Args:
        words: the program and what it is given.
        whole: False: what a command cannot do without may be missing.

    Raises:
        Wrong: with what is unknown.
    """
    program, rest = words[0], [word for word in words[1:] if not ELSEWHERE.search(word)]
    whole = whole and len(rest) == len(words) - 1
    if program == "redaes":
        check_redaes(rest, whole)
    elif program == "make":
        check_make(rest)
    elif program == "python":
        check_python(rest)
    else:
        check_launcher(program, rest)


def check_redaes(rest: list[str], whole: bool) -> None:
    """The command line of redaes itself."""
    if rest[:1] == ["train"] and rest[1:2] and rest[1] in STAGES:
        check_stage_options(rest[1], rest[2:] if whole or not rest[-1].startswith("--") else [*rest[2:], "value"])
        return
    command = the_command()
    while hasattr(command, "commands") and rest and not (whole is False and rest[0] not in command.commands):
        if rest[0].startswith("-"):
            break
        if rest[0] not in command.commands and "run" in command.commands:
            rest = ["run", *rest]  # redaes eval ava
        if rest[0] not in command.commands:
            raise Wrong(f"there is no command {rest[0]!r}")
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        context = command.make_context("redaes", list(rest))
    except typer.Exit:
        return
    except USAGE_ERROR as error:
        if whole or type(error).__name__ not in LACKING:
            raise Wrong(error.format_message()) from error
        return
    if context.args and not hasattr(command, "commands"):
        raise Wrong(f"{context.args} is left over")


@cache
def the_command() -> Any:
    """The command line, made once."""
    return typer.main.get_command(app)


def check_stage_options(name: str, rest: list[str]) -> None:
    """Options of a stage and of its trainer, which are read from their source."""
    if {"--list", "--help"} & set(rest):
        return
    try:
        _, more = read_launch(rest)
        if "--config" in more and more[-1] != "--config" and more[more.index("--config") + 1].isupper():
            del more[more.index("--config") : more.index("--config") + 2]  # a word that stands for a recipe
        stage, argv = stage_of(name, more)
        settings(argv, stage.recipe, (stage.arguments, DRY_RUN, stage.config))
    except RedaesError as error:
        raise Wrong(str(error)) from error


def check_make(rest: list[str]) -> None:
    """Targets and settings of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"[\w-]+", " ".join(re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", text, re.M))))
    settable = set(re.findall(r"^(\w+) \?=", text, re.M))
    for word in rest:
        name, is_setting, _ = word.partition("=")
        if name not in (settable if is_setting else targets):
            raise Wrong(f"the Makefile has no {word!r}")


def check_python(rest: list[str]) -> None:
    """A script of the checkout, whose text must have each option; `-m redaes` is redaes."""
    if rest[:2] == ["-m", "redaes"]:
        check_redaes(rest[2:], True)
    elif rest and rest[0].endswith(".py") and "/" in rest[0]:
        check_script(rest[0], rest[1:])


def check_script(name: str, rest: list[str]) -> None:
    """A script that starts a command takes what the command takes; another one has its options in its text."""
    script = ROOT / name
    if not script.is_file():
        raise Wrong(f"there is no {name}")
    text = script.read_text(encoding="utf-8")
    if started := re.search(r'^    main\(("[\w-]+"(?:, "[\w-]+")*)\)$', text, re.M):
        check_redaes([*re.findall(r'"([\w-]+)"', started[1]), *rest], True)
        return
    fields = re.findall(r"^    (\w+):", text, re.M)  # of a dataclass that a parser is made from
    rest = rest[: rest.index("--")] if "--" in rest else rest  # what follows is handed on
    for option in (word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)):
        if f'"{option}"' not in text and option.removeprefix("--").replace("-", "_") not in fields:
            raise Wrong(f"{name} has no option {option}")


def check_launcher(program: str, rest: list[str]) -> None:
    """What `accelerate launch` and `torchrun` start."""
    for place, word in enumerate(rest):
        if word == "--config_file" and not (ROOT / rest[place + 1]).is_file():
            raise Wrong(f"there is no {rest[place + 1]}")
        if word.endswith(".py"):
            check_script(word, rest[place + 1 :])
            return
        if word == "-m":
            check_python(rest[place:])
            return
    if program == "torchrun":
        raise Wrong("torchrun starts nothing")


@pytest.mark.parametrize("words", [*COMMANDS, *INDENTED])
def test_every_command_of_a_block_is_one(words: list[str]) -> None:
    check(words)


@pytest.mark.parametrize("words", INLINE)
def test_every_command_in_a_sentence_is_one(words: list[str]) -> None:
    check(words, whole=False)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 100
    assert len(INDENTED) > 10
    assert len(INLINE) > 100


@pytest.mark.parametrize(
    "line",
    [
        "redaes compare a.jpg b.jpg --smaples 4",
        "redaes compare a.jpg",
        "redaes campare a.jpg b.jpg",
        "redaes eval ava --date AVA",
        "redaes train sft --data pairs --max_stepz 4",
        "redaes train sft --config no_such_recipe",
        "make demmo",
        "make test VENB=x",
        "python benchmarks/no_such_script.py",
        "python benchmarks/command_line.py a.jpg --rums 5",
        "python data_gen/build_pairs.py photos --oot pairs",
        "accelerate launch --config_file accelerate_configs/none.yaml stages/stage1_sft.py",
        "torchrun --nproc_per_node 2 stages/stage1_sft.py --dato pairs",
    ],
)
def test_a_command_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(Wrong):
        check(line.split())


@pytest.mark.parametrize("page", GUIDES)
def test_blocks_say_their_language_and_what_they_need(page: str) -> None:
    for block in blocks_of(page):
        assert block.language, f"{block.name}: write bash, python, text … behind the fence"
        assert block.language != "text" or not block.commands(), f"{block.name}: commands are bash"
        if block.needs is not None:
            assert block.language in {"bash", "python"}, f"{block.name}: nothing runs a block of {block.language}"
        elif block.language == "bash":
            assert block.other_programs() <= {"pip"}, f"{block.name}: no test runs {block.other_programs()}"
        elif block.language == "python":
            assert page in PYTHON_RUN_BY, f"{block.name}: no test runs this page's Python"


def test_the_tests_that_run_blocks_are_there() -> None:
    for page, test in (*RUN_BY.items(), *PYTHON_RUN_BY.items()):
        assert page in GUIDES
        assert Path(page).stem.replace("-", "_") in (ROOT / test).read_text(encoding="utf-8").replace("-", "_")


def test_blocks_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- needs: 8 GPUs -->\n```bash\nredaes train sft \\\n  --data x  # why\nA=1 make demo; ls | wc > out\n```\n"
        "\n   ```python file=x.py\n   a = 1\n   ```\nSay `redaes doctor`, ``redaes no``.\n"
    )
    first, second = blocks_of(str(page))
    assert (first.line, first.language, first.needs) == (2, "bash", "8 GPUs")
    assert first.commands() == [["redaes", "train", "sft", "--data", "x"], ["make", "demo"]]
    assert first.other_programs() == {"ls", "wc"}
    assert (second.language, second.more, second.text, second.needs) == ("python", "file=x.py", "a = 1\n", None)
    assert list(inline_commands(str(page))) == [("redaes doctor", ["redaes", "doctor"])]
