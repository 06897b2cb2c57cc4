"""What a dataset is built by: a YAML recipe under the options of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from redaes import recipe_files
from redaes.datagen.consensus import Rules as ConsensusRules
from redaes.datagen.panel_groups import Panel
from redaes.datagen.ranking_group import Settings
from redaes.datagen.sources import Rules
from redaes.errors import InputError
from redaes.records import read_yaml

_SETTINGS = tuple(field.name for field in fields(Settings))
_RULES = tuple(field.name for field in fields(Rules))

_PANEL_TYPES: dict[str, type] = {
    "endpoint": str, "judges": list, "writer": str, "editors": list, "editor_options": dict, "planner": str,
    "checker": str, "similarity": str, "min_similarity": float, "samples": int, "max_rewrites": int,
    "concurrency": int, "max_calls": int, "rules": dict,
    "max_new_tokens": int, "reader": str,
}  # fmt: skip

OPTIONS = (*_SETTINGS, *_RULES, "workers", "engine", "panel")
"""What a recipe may set."""


@dataclass(frozen=True)
class Recipe:
    """Everything about a build but the photographs and the folder."""

    settings: Settings
    rules: Rules
    workers: int
    engine: str
    """One of `redaes.datagen.engine.ENGINES`."""
    panel: Panel | None
    """None: the embedded editor, measured."""


def read_recipe(path: Path) -> dict[str, Any]:
    """The options in a YAML file, or in the recipe of that name that comes with redaes.

    Raises:
        InputError: it cannot be read, is no mapping, or the name or a key is unknown.
        MissingDependency: PyYAML is absent.
    """
    path = recipe_files.find(path, "data_gen")
    values = read_yaml(path)
    unknown = sorted(str(key) for key in values if key not in OPTIONS)
    if unknown:
        raise InputError(f"recipe {path} has unknown keys: {', '.join(unknown)}; known: {', '.join(OPTIONS)}")
    workers = values.get("workers", 1)
    if type(workers) is not int:
        raise InputError(f"recipe {path}: workers is {workers!r}; give a whole number")
    return values


def make_recipe(path: Path | None, given: Mapping[str, Any]) -> Recipe:
    """The command line's options over the recipe's over the defaults.

    Args:
        path: a YAML file; None: no recipe.
        given: options by name; None stands for one that was not given.

    Raises:
        InputError: a recipe that cannot be used, or an impossible value.
    """
    values = {} if path is None else read_recipe(path)
    values |= {name: given[name] for name in OPTIONS if given.get(name) is not None}
    return Recipe(
        settings=Settings(**{name: values[name] for name in _SETTINGS if name in values}),
        rules=Rules(**{name: values[name] for name in _RULES if name in values}),
        workers=values.get("workers", 1),
        engine=values.get("engine", "local"),
        panel=None if values.get("panel") is None else make_panel(values["panel"]),
    )


def make_panel(values: Any) -> Panel:
    """The panel of a recipe: a mapping with the fields of `Panel`; lists for tuples, mappings for options and rules.

    Raises:
        InputError: no mapping, an unknown key, or an impossible value.
    """
    if not isinstance(values, dict):
        raise InputError(f"panel is {values!r}; give a mapping with endpoint, judges and writer")
    known = [field.name for field in fields(Panel)]
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise InputError(f"panel has unknown keys: {', '.join(unknown)}; known: {', '.join(known)}")
    for name, kind in _PANEL_TYPES.items():
        if name in values and not isinstance(values[name], kind):
            raise InputError(f"panel: {name} is {values[name]!r}; give a {kind.__name__}")
    given = {**values}
    for name in ("judges", "editors"):
        if name in given:
            given[name] = tuple(given[name])
    given["editor_options"] = tuple(sorted(values.get("editor_options", {}).items()))
    try:
        given["rules"] = ConsensusRules(**values.get("rules", {}))
        return Panel(**given)
    except (TypeError, ValidationError) as error:
        raise InputError(f"panel: {' '.join(str(error).split())}") from error
