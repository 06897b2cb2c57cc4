"""The settings of a build: a YAML recipe, overridden by the options of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import model_validator

from redaes import recipe_files
from redaes.cores import free_cores
from redaes.datagen.dataset_settings import DatasetSettings, WrittenSettings, whole_number
from redaes.datagen.panel import Panel
from redaes.datagen.planner import check_plannable
from redaes.datagen.sources import PhotographRules
from redaes.errors import InputError
from redaes.file_writing import read_yaml

MOST_WORKERS = 8
"""More are not started unasked: each holds a third of a GiB."""


class Recipe(WrittenSettings):
    """Everything about a build but the photographs and the folder."""

    settings: DatasetSettings
    rules: PhotographRules
    workers: Annotated[int, whole_number(1)] | None = None
    """Processes, or actors; None: as :attr:`n_workers` says."""
    engine: str = "local"
    """The engine, one of `redaes.datagen.engine.ENGINES`."""
    panel: Panel | None = None
    """The panel; None: the embedded editor makes pairs, and measurements label them."""

    @model_validator(mode="after")
    def _is_plannable(self) -> Recipe:
        if self.panel is not None and self.panel.planner is not None:
            check_plannable(self.settings.variants)
        return self

    @property
    def n_workers(self) -> int:
        """Processes, or actors: what was said; else as many processes as cores are free just now, which changes nothing
        in the dataset, :data:`MOST_WORKERS` at most.

        One where a panel edits or judges, whose models each process would load, and of Ray's actors.
        """
        if self.workers is not None:
            return self.workers
        return min(free_cores(), MOST_WORKERS) if self.engine == "local" and self.panel is None else 1


OPTIONS = (*DatasetSettings.model_fields, *PhotographRules.model_fields, "workers", "engine", "panel")
"""What a recipe may set."""


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the options in a YAML file, or in the recipe of that name that comes with redaes.

    Raises:
        InputError: it cannot be read, is no mapping, or the name or a key is unknown.
        MissingDependency: PyYAML is absent.
    """
    path = recipe_files.find(path, "data_gen")
    values = read_yaml(path)
    unknown = sorted(str(key) for key in values if key not in OPTIONS)
    if unknown:
        raise InputError(f"recipe {path} has unknown keys: {', '.join(unknown)}; known: {', '.join(OPTIONS)}")
    return values


def make_recipe(path: Path | None, given: Mapping[str, Any]) -> Recipe:
    """Return the command line's options over the recipe's over the defaults.

    Args:
        path: a YAML file; None: no recipe.
        given: options by name; None stands for one that was not given.

    Raises:
        InputError: a recipe that cannot be used, or an impossible value.
    """
    values = {} if path is None else read_recipe(path)
    values |= {name: given[name] for name in OPTIONS if given.get(name) is not None}
    parts: dict[str, type[WrittenSettings]] = {"settings": DatasetSettings, "rules": PhotographRules}
    of_parts = {
        part: {name: values.pop(name) for name in kind.model_fields if name in values} for part, kind in parts.items()
    }
    return Recipe.model_validate({**values, **of_parts})
