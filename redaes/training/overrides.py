"""Adjust settings of a recipe that depend on those that a command line changes.

The recipes of real models validate at every checkpoint and keep the best one. To save no checkpoints, or one every ten
steps, one option is enough: the settings that depend on it are adjusted, because the trainer would refuse the recipe
otherwise. Only settings of the recipe are adjusted, never those of the command line, and each adjustment is reported.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = ("save_strategy", "save_steps", "eval_strategy", "eval_steps", "eval_on_start", "load_best_model_at_end")


def with_what_follows(argv: Sequence[str], recipe: Mapping[Any, Any]) -> list[str]:
    """Return a command line with the recipe settings that must be adjusted to it. One line on stderr names them.

    Args:
        argv: the command line, without the program's name.
        recipe: values of the recipe.

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
    """Return the values that other settings must have beside the given ones; ``values``: the recipe's, overridden by
    the given ones.
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
