"""Says which of two pictures looks better, by how much, and why.

>>> from redaes import Assessor
>>> from redaes.backends.local import LocalBackend
>>> result = Assessor(LocalBackend()).compare("a.jpg", "b.jpg")  # doctest: +SKIP
>>> result.winner, result.delta, result.rationale  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from redaes.torchvision_compat import make_torchvision_importable

if TYPE_CHECKING:
    from redaes.assessor import Assessor, Result
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
    from redaes.types import Comparison, Edit, ImageRef, Pair, Ranking, Rationale, Sampling, Verdict

__all__ = [
    "Assessor",
    "BackendError",
    "BudgetExhausted",
    "Comparison",
    "Edit",
    "EndpointError",
    "ImageError",
    "ImageRef",
    "InputError",
    "MissingDependency",
    "Pair",
    "ParseError",
    "PromptError",
    "Ranking",
    "Rationale",
    "RecordError",
    "RedaesError",
    "Result",
    "Sampling",
    "TrainingError",
    "Verdict",
    "__version__",
]

make_torchvision_importable()

try:
    __version__ = version("redaes")
except PackageNotFoundError:  # used from a checkout without being installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first asked for, so that ``import redaes`` costs nothing."""
    if name in __all__:
        for module in ("redaes.types", "redaes.errors", "redaes.assessor"):
            found = getattr(importlib.import_module(module), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module 'redaes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
