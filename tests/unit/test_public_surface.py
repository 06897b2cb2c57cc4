"""What ``import redaes`` offers is a list, and changing it is a decision."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import redaes
import redaes.errors
import redaes.types

SURFACE = [
    "AestheticMetric",
    "Assessor",
    "BackendError",
    "BudgetExhausted",
    "Comparison",
    "Edit",
    "EndpointError",
    "Failure",
    "ImageError",
    "ImageRef",
    "InputError",
    "LoadedImage",
    "MissingDependency",
    "Pair",
    "PairAnswer",
    "ParseError",
    "PromptError",
    "RankedPictures",
    "Ranking",
    "Rationale",
    "RecordError",
    "RedaesError",
    "ReferenceSet",
    "Result",
    "Sampling",
    "Score",
    "TrainingError",
    "Verdict",
    "__version__",
    "as_reward",
    "create_metric",
    "load_image",
    "read_reference_set",
    "write_reference_set",
]


def test_the_list() -> None:
    assert sorted(redaes.__all__) == SURFACE


@pytest.mark.parametrize("name", [name for name in SURFACE if name != "__version__"])
def test_every_name_is_there_and_explained(name: str) -> None:
    assert inspect.getdoc(getattr(redaes, name))


@pytest.mark.parametrize("module", [redaes.types, redaes.errors])
def test_records_and_errors_are_the_same_objects(module: object) -> None:
    for name in SURFACE:
        if hasattr(module, name):
            assert getattr(redaes, name) is getattr(module, name)


def test_every_error_is_public() -> None:
    errors = {name for name, value in vars(redaes.errors).items() if inspect.isclass(value)}
    assert errors <= set(SURFACE)


def test_every_error_is_in_the_drawn_tree() -> None:
    names = r"[A-Z]\w+Error|MissingDependency|BudgetExhausted"
    drawn = set(re.findall(names, redaes.errors.__doc__ or ""))
    assert {name for name, value in vars(redaes.errors).items() if inspect.isclass(value)} <= drawn


def test_assessor_is_the_one_of_its_module() -> None:
    from redaes.assessor import Assessor

    assert redaes.Assessor is Assessor


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = redaes.no_such_name  # type: ignore[attr-defined]


def test_version_is_that_of_the_project() -> None:
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    assert redaes.__version__ == found.group(1)
