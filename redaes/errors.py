"""Every exception that redaes raises on purpose.

RedaesError
├── InputError            something that the caller handed over is wrong; the message names it and the remedy
│   ├── ImageError        a picture that cannot be used (names the file)
│   ├── RecordError       a dataset, label or run file that cannot be used
│   └── PromptError       a prompt that is unknown, altered or filled in wrongly
├── ParseError            a model's answer does not follow the grammar (see redaes.answers)
├── BackendError          a model could not be loaded or reached
│   └── EndpointError     a server gave no usable answer to one request (carries a countable reason)
│       └── BudgetExhausted   the calls or tokens that were granted are spent; nothing more is asked
├── MissingDependency     an optional package is absent (also an ImportError)
└── TrainingError         a setting or state in which training would be wrong
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class RedaesError(Exception):
    """Base of all errors that redaes raises on purpose; the command line prints their message without a traceback."""


class InputError(RedaesError):
    """Something that the caller handed over is wrong."""


class ImageError(InputError):
    """A picture that cannot be used.

    Attributes:
        reason: a short stable identifier, fit for counting: ``cannot_decode`` or ``too_thin``; for pictures in memory
            ``wrong_type``, ``wrong_shape``, ``not_finite``, ``out_of_range`` or ``transparent``.
    """

    def __init__(self, message: str, reason: str = "cannot_decode") -> None:
        super().__init__(message)
        self.reason = reason


class RecordError(InputError):
    """A dataset, label or run file that cannot be used."""


class PromptError(InputError):
    """A prompt that is unknown, altered or filled in wrongly."""


class ParseError(RedaesError):
    """A model's answer that does not follow the grammar.

    Attributes:
        reason: a short stable identifier, fit for counting (e.g. ``"no_winner"``).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class BackendError(RedaesError):
    """A model could not be loaded or reached."""


class EndpointError(BackendError):
    """A server gave no usable answer to one request, retries included.

    Attributes:
        reason: a short stable identifier, fit for counting (e.g. ``"http_503"``, ``"timeout"``).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class BudgetExhausted(EndpointError):
    """The calls or tokens that were granted are spent; nothing more is asked."""

    def __init__(self, detail: str) -> None:
        super().__init__("budget_exhausted", detail)


MIN_PYTHON = {extra: (3, 11) for extra in ("all", "demo", "diffusion", "train")}
"""Lowest Python version of each extra that needs a later Python than the core, because trl or diffusers does."""


def install_line(what: str, extra: str | None = None) -> str:
    """Return the command that installs a package; on a Python that is too old for the extra, a newer Python comes
    first.

    Args:
        what: the package as pip takes it, quoted for a shell if necessary.
        extra: the extra of redaes that it is; None: it is not an extra.

    >>> install_line("'redaes[serve]'", "serve")
    "pip install 'redaes[serve]'"
    """
    wanted = MIN_PYTHON.get(extra or "", (0,))
    if sys.version_info < wanted:
        have, need = (".".join(map(str, version)) for version in (sys.version_info[:3], wanted))
        return f"pip install {what} with Python {need} or later (this is {have}, for which it cannot be installed)"
    return f"pip install {what}"


class MissingDependency(RedaesError, ImportError):
    """An optional package is absent; the message carries the line that installs it."""

    def __init__(self, package: str, extra: str | None) -> None:
        """
        Args:
            package: the package's name.
            extra: the extra of redaes that installs it; None: no extra does, because of its licence or its own pinned
                versions.
        """
        what = package if extra is None else f"'redaes[{extra}]'"
        super().__init__(f"{package} is not installed; run: {install_line(what, extra)}")


class TrainingError(RedaesError):
    """A setting or state in which training would be wrong; raised before the model loads."""


@contextmanager
def importing(extra: str) -> Iterator[None]:
    """Run imports that a command needs; report an absent package with the command that installs it.

    Args:
        extra: the extra of redaes that installs the packages.

    Raises:
        MissingDependency: a package is absent.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        named = error  # transformers chains its own error to the one that names the absent package
        while named.name is None and isinstance(named.__cause__, ModuleNotFoundError):
            named = named.__cause__
        package = (named.name or "").partition(".")[0]
        if package in ("", "redaes"):
            raise  # installing something would not help
        raise MissingDependency(package, extra) from error
