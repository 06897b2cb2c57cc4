"""From a command line and a YAML recipe to checked arguments."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from transformers import TrainingArguments
from trl import TrlParser

from redaes.errors import InputError, RedaesError, TrainingError
from redaes.records import read_yaml
from redaes.training.setup import StageArguments

ConfigT = TypeVar("ConfigT", bound=TrainingArguments)


class Arguments(Protocol):
    """What a door takes besides its trainer's own arguments: a dataclass."""

    def check(self) -> None:
        """Refuse impossible settings before anything is loaded."""


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def parse(config_class: type[ConfigT], recipe: Path, argv: Sequence[str]) -> tuple[StageArguments, ConfigT]:
    """Read a stage's arguments, as :func:`parse_with` does."""
    return parse_with(StageArguments, config_class, recipe, argv)


def parse_with(
    arguments_class: type[ArgumentsT], config_class: type[ConfigT], recipe: Path, argv: Sequence[str]
) -> tuple[ArgumentsT, ConfigT]:
    """Read a stage's arguments: ``--config FILE`` (or the default recipe), then the command line over it.

    Args:
        arguments_class: what the door takes besides.
        config_class: the trainer's arguments.
        recipe: what to take when ``argv`` names no ``--config``.
        argv: without the program's name.

    Raises:
        InputError: a recipe that is missing, is no YAML mapping, or has unknown keys.
        TrainingError: a value that no training can use.
    """
    argv = list(argv)
    if "--config" not in argv:
        argv = ["--config", str(recipe), *argv]
    position = argv.index("--config") + 1
    if position == len(argv):
        raise InputError("--config needs a file")
    _check_keys(Path(argv[position]), (arguments_class, config_class))
    parser = TrlParser((arguments_class, config_class))
    try:
        arguments, config = parser.parse_args_and_config(argv)
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{argv[position]}: {error}") from error
    for values in (arguments, config):
        _check_finite(values)
    arguments.check()
    return arguments, config


def _check_keys(recipe: Path, classes: tuple[type, ...]) -> None:
    """TRL's parser names unknown keys only in a long dump; say which one, and in which file."""
    values = read_yaml(recipe)
    known = {item.name for cls in classes for item in dataclasses.fields(cls)}
    unknown = sorted(str(key) for key in values if key not in known and key != "env")
    if unknown:
        raise InputError(f"recipe {recipe} has unknown keys: {', '.join(unknown)}; correct or remove them")


def _check_finite(arguments: Any) -> None:
    for item in dataclasses.fields(arguments):
        value = getattr(arguments, item.name)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise TrainingError(f"{item.name} is {number}; give a finite number")


def run_door(main: Callable[[], None]) -> None:
    """Run a door: errors raised on purpose become one line on stderr and exit code 2."""
    try:
        main()
    except RedaesError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
