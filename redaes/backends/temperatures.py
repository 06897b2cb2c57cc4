"""Calibration temperatures of a model's probabilities, stored in a file beside its weights.

One number for each way of asking: the temperature by which log-odds are divided. It is fitted on pairs that the model
has never seen (``redaes eval calibrate``) and counts for exactly these weights, this question and this mode; whatever
else is asked is answered with the model's own probabilities, and results say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, FiniteFloat, ValidationError

from redaes.backends.base import Backend
from redaes.errors import BackendError
from redaes.file_writing import write_json
from redaes.prompts import Mode
from redaes.types import Record

FILE = "calibration.json"
"""Name of the file beside the weights of a model or an adapter."""


class Temperature(Record):
    """The calibration of one model for one prompt and mode."""

    revision: str
    """Revision of the weights."""
    prompt_id: str
    """``name/version@hash`` of the prompt at whose verdict token probabilities are read."""
    mode: Mode
    temperature: Annotated[FiniteFloat, Field(gt=0.0)]
    """The divisor of the mean log-odds of both orders."""
    ceiling: Annotated[FiniteFloat, Field(gt=0.5, le=1.0)] = 1.0
    """Largest probability that is reported; below 1 if the most confident answers about the fitted pairs were too few
    or too often wrong."""
    data: str
    """The pairs that it was fitted on, in words."""
    n_pairs: Annotated[int, Field(ge=1)]
    n_photographs: Annotated[int, Field(ge=1)]


def temperature_of(backend: Backend, prompt_id: str, mode: Mode) -> Temperature | None:
    """Return the temperature that applies to a question to a model; None: there is none."""
    known: tuple[Temperature, ...] = getattr(backend, "temperatures", ())
    return next((one for one in known if _key(one) == (backend.revision, prompt_id, mode)), None)


def read_temperatures(folder: Path | None) -> tuple[Temperature, ...]:
    """Return the temperatures stored beside a model's weights; none if there is no file.

    Args:
        folder: folder of the adapter, or of the model if there is no adapter; None: the weights have no local folder.

    Raises:
        BackendError: the file is damaged.
    """
    file = None if folder is None else folder / FILE
    if file is None or not file.is_file():
        return ()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, list):
            raise TypeError(f"it holds a {type(found).__name__}")
        return tuple(Temperature.model_validate(one) for one in found)
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise BackendError(
            f"{file} is not a list of temperatures ({error}); write it again with redaes eval calibrate, or delete it "
            "to use none"
        ) from error


def write_temperatures(folder: Path, new: Iterable[Temperature]) -> Path:
    """Store temperatures beside a model's weights, in place of earlier ones for the same prompt and mode.

    Returns:
        The file.

    Raises:
        BackendError: the existing file is damaged.
    """
    kept = {_key(one): one for one in (*read_temperatures(folder), *new)}
    write_json(folder / FILE, [one.model_dump(mode="json") for one in kept.values()])
    return folder / FILE


def _key(one: Temperature) -> tuple[str, str, Mode]:
    return one.revision, one.prompt_id, one.mode
