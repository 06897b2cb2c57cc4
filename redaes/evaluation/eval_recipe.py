"""A run's settings from a YAML recipe and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from redaes import recipe_files
from redaes.errors import InputError
from redaes.evaluation.benchmarks import BENCHMARKS
from redaes.evaluation.run_spec import RunSpec
from redaes.file_writing import read_yaml


def make_spec(recipe: Path | None, given: Mapping[str, Any]) -> RunSpec:
    """Return the settings of a run: given options override the recipe, and the recipe overrides the defaults.

    Args:
        recipe: a YAML file with fields of :class:`~redaes.evaluation.runner.RunSpec`, or the name of one that comes
            with redaes; None: none.
        given: options of the command line; None: not given. Options that are not fields of a run are ignored.

    Raises:
        InputError: a name or key is unknown, or a value is impossible.
    """
    values: dict[str, Any] = {}
    if recipe is not None:
        recipe = recipe_files.find(recipe, "eval")
        read = read_yaml(recipe)
        unknown = sorted(str(key) for key in set(read) - set(RunSpec.model_fields))
        if unknown:
            raise InputError(
                f"recipe {recipe} has unknown keys {', '.join(unknown)}; known: {', '.join(RunSpec.model_fields)}"
            )
        values |= read
    options = {**(values.get("options") or {}), **(given.get("options") or {})}
    values |= {key: value for key, value in given.items() if key in RunSpec.model_fields and value is not None}
    values.setdefault("assessor", _usual_assessor(str(values.get("benchmark"))))
    values["options"] = {str(key): str(value) for key, value in options.items()}
    try:
        return RunSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _usual_assessor(benchmark: str) -> str:
    """Return a local model, which is shown pairs if pairs are labelled, because it is better at pairs than at single
    pictures.
    """
    known = BENCHMARKS.get(benchmark)  # an unknown benchmark is reported when it is loaded
    return "vlm_pairs" if known is not None and known.kind == "pairs" else "vlm"


_BY_ENDPOINT = {
    "vlm": "endpoint",
    "vlm_pairs": "endpoint",
    "vlm_placed": "endpoint",
    "vlm_letter": "endpoint",
    "vlm_tournament": "endpoint",
    "endpoint": "url",
    "endpoint_pairs": "url",
}
"""For assessors that can ask a server, the option with its address."""


def ask_endpoint(spec: RunSpec, url: str, *, only_if_free: bool) -> RunSpec:
    """Return the run with its model behind a server.

    Args:
        spec: the run.
        url: the server's address.
        only_if_free: leave a run unchanged if it already says where its model is, or has no model.

    Raises:
        InputError: the run already says where its model is, and must not be left unchanged.
    """
    option = _BY_ENDPOINT.get(spec.assessor)
    beside = [name for name in ("url", "endpoint", "adapter", "device") if name in spec.options]
    if option is None or beside:
        if only_if_free:
            return spec
        if option is None:
            raise InputError(
                f"--endpoint is the address of a model, and assessor {spec.assessor} asks none; give --assessor, one "
                f"of {', '.join(_BY_ENDPOINT)}"
            )
        raise InputError(f"--endpoint cannot be combined with --option {beside[0]}=…; leave one of them out")
    return spec.model_copy(update={"options": {**spec.options, option: url}})
