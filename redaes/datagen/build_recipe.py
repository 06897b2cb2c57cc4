"""The settings of a build: a YAML recipe, whose values the command line overrides."""

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
"""Most processes that are started by default; each needs a third of a GiB of memory."""


class Recipe(WrittenSettings):
    """All settings of a build except the photographs and the folder."""

    settings: DatasetSettings
    rules: PhotographRules
    workers: Annotated[int, whole_number(1)] | None = None
    """Number of processes, or Ray actors; None means the default, see :attr:`n_workers`."""
    engine: str = "local"
    """The engine, one of `redaes.datagen.engine.ENGINES`."""
    panel: Panel | None = None
    """The panel; None if the embedded editor makes the pairs and measurements label them."""

    @model_validator(mode="after")
    def _is_plannable(self) -> Recipe:
        if self.panel is not None and self.panel.planner is not None:
            check_plannable(self.settings.variants)
        return self

    @property
    def n_workers(self) -> int:
        """Number of processes, or Ray actors. By default it is the number of cores that are free just now, at most
        :data:`MOST_WORKERS`; it changes nothing in the dataset.

        The default is 1 with a panel that edits or judges, because each process would load its models, and with Ray.
        """
        if self.workers is not None:
            return self.workers
        return min(free_cores(), MOST_WORKERS) if self.engine == "local" and self.panel is None else 1


OPTIONS = (*DatasetSettings.model_fields, *PhotographRules.model_fields, "workers", "engine", "panel")
"""Names of the settings that a recipe may contain."""


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file, or in the recipe of that name that comes with redaes.

    Raises:
        InputError: the file cannot be read or is not a mapping, or the recipe's name or a key is unknown.
        MissingDependency: PyYAML is absent.
    """
    path = recipe_files.find(path, "data_gen")
    values = read_yaml(path)
    unknown = sorted(str(key) for key in values if key not in OPTIONS)
    if unknown:
        raise InputError(f"recipe {path} has unknown keys: {', '.join(unknown)}; known: {', '.join(OPTIONS)}")
    return values


def make_recipe(path: Path | None, given: Mapping[str, Any]) -> Recipe:
    """Return the settings of a build: the command line's, else the recipe's, else the defaults.

    Args:
        path: a YAML file; None if there is no recipe.
        given: options of the command line by name; None for an option that was not given.

    Raises:
        InputError: the recipe cannot be used, or a value is not possible.
    """
    values = {} if path is None else read_recipe(path)
    values |= {name: given[name] for name in OPTIONS if given.get(name) is not None}
    parts: dict[str, type[WrittenSettings]] = {"settings": DatasetSettings, "rules": PhotographRules}
    of_parts = {
        part: {name: values.pop(name) for name in kind.model_fields if name in values} for part, kind in parts.items()
    }
    return Recipe.model_validate({**values, **of_parts})
