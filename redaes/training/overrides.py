"""What a command line changes of a recipe beyond what it names: settings that only hold together.

The recipes of real models validate at every checkpoint and leave the best one. Whoever wants no checkpoints, or one
every ten steps, says so with one option; without what follows from it the trainer would refuse the recipe. Only what
the recipe says gives way, never what the command line says, and whatever does is told.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = ("save_strategy", "save_steps", "eval_strategy", "eval_steps", "eval_on_start", "load_best_model_at_end")


def with_what_follows(argv: Sequence[str], recipe: Mapping[Any, Any]) -> list[str]:
    """Return a command line, and the options that follow from it against its recipe. One line on stderr names them.

    Args:
        argv: without the program's name.
        recipe: its values.

    >>> with_what_follows(["--save_steps", "10"], {"save_steps": 200, "eval_steps": 200})
    ['--save_steps', '10']
    """
    given = _given(argv)
    follows = {
        name: value for name, value in _follows(given, {**recipe, **given}).items()
        if name not in given and name in recipe and _text(recipe[name]) != _text(value)
    }  # fmt: skip
    if not follows:
        return list(argv)
    if os.environ.get("RANK", "0") == "0":
        cause = " ".join(f"--{name} {value}" for name, value in given.items())
        sys.stderr.write(
            f"{cause}: so {', '.join(f'{name} is {_text(value)}' for name, value in follows.items())}, "
            "not what the recipe says\n"
        )
    return [*argv, *(f"--{name}={_text(value)}" for name, value in follows.items())]


def _given(argv: Sequence[str]) -> dict[str, str]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _NAMES:
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", dest=name, nargs="?", const="true")
    given, _ = parser.parse_known_args(list(argv))
    return {name: value for name, value in vars(given).items() if value is not None}


def _follows(given: Mapping[str, str], values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what the other settings must be with those that are given; ``values``: the recipe's with the given ones
    over.
    """
    if given.get("eval_strategy") == "no":
        return {"eval_on_start": False, "load_best_model_at_end": False}
    if given.get("save_strategy") == "no":
        return {"load_best_model_at_end": False}
    if str(values.get("load_best_model_at_end")).lower() != "true":
        return {}
    for one, other in (("save", "eval"), ("eval", "save")):
        if f"{one}_strategy" in given and given[f"{one}_strategy"] in ("steps", "epoch"):
            return {f"{other}_strategy": given[f"{one}_strategy"], f"{other}_steps": values.get(f"{one}_steps")}
        if f"{one}_steps" in given:
            return {f"{other}_steps": given[f"{one}_steps"]}
    return {}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
