"""Compare two pictures: which one looks better, by how much, and why.

>>> from redaes import Assessor
>>> result = Assessor().compare("a.jpg", "b.jpg")  # doctest: +SKIP
>>> print(result)  # doctest: +SKIP

Everything that is meant to be used from Python is a name of this module; docs/python.md shows how.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from redaes.torchvision_compat import make_torchvision_importable

if TYPE_CHECKING:
    from redaes.aesthetic_metric import AestheticMetric, create_metric
    from redaes.assessing.results import RankedPictures, ReferenceSet, Result, Score
    from redaes.assessor import Assessor
    from redaes.backends.failures import Failure
    from redaes.errors import (
        BackendError,
        BudgetExhausted,
        EndpointError,
        ImageError,
        InputError,
        MissingDependency,
        ParseError,
        PromptError,
        RecordError,
        RedaesError,
        TrainingError,
    )
    from redaes.images import LoadedImage, load_image
    from redaes.references import read_reference_set, write_reference_set
    from redaes.rewards import as_reward
    from redaes.types import Comparison, Edit, ImageRef, Pair, PairAnswer, Ranking, Rationale, Sampling, Verdict

_HOMES = {
    "AestheticMetric": "redaes.aesthetic_metric",
    "create_metric": "redaes.aesthetic_metric",
    "RankedPictures": "redaes.assessing.results",
    "ReferenceSet": "redaes.assessing.results",
    "Result": "redaes.assessing.results",
    "Score": "redaes.assessing.results",
    "Assessor": "redaes.assessor",
    "Failure": "redaes.backends.failures",
    "BackendError": "redaes.errors",
    "BudgetExhausted": "redaes.errors",
    "EndpointError": "redaes.errors",
    "ImageError": "redaes.errors",
    "InputError": "redaes.errors",
    "MissingDependency": "redaes.errors",
    "ParseError": "redaes.errors",
    "PromptError": "redaes.errors",
    "RecordError": "redaes.errors",
    "RedaesError": "redaes.errors",
    "TrainingError": "redaes.errors",
    "LoadedImage": "redaes.images",
    "load_image": "redaes.images",
    "read_reference_set": "redaes.references",
    "write_reference_set": "redaes.references",
    "as_reward": "redaes.rewards",
    "Comparison": "redaes.types",
    "Edit": "redaes.types",
    "ImageRef": "redaes.types",
    "Pair": "redaes.types",
    "PairAnswer": "redaes.types",
    "Ranking": "redaes.types",
    "Rationale": "redaes.types",
    "Sampling": "redaes.types",
    "Verdict": "redaes.types",
}
"""The module that defines each public name."""

__all__ = [
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

make_torchvision_importable()


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that ``import redaes`` costs nothing."""
    if name == "__version__":
        globals()[name] = found = _version()
        return found
    if name not in _HOMES:
        raise AttributeError(f"module 'redaes' has no attribute {name!r}")
    globals()[name] = found = getattr(importlib.import_module(_HOMES[name]), name)
    return found


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("redaes")
    except PackageNotFoundError:  # redaes is used from a checkout without being installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
