"""What determines a dataset besides its photographs, and the base class that checks settings written by people."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator

from redaes.errors import InputError
from redaes.types import Record


class WrittenSettings(Record):
    """Settings that people write, in a recipe or in Python. They are checked as a whole.

    Raises:
        InputError: a setting is wrong; the message names it, its value and what it should be.
    """

    where: ClassVar[str] = ""
    """Where in a recipe these settings are, for messages; empty if they are at its top level."""

    @model_validator(mode="wrap")
    @classmethod
    def _named(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise InputError(": ".join(filter(None, (cls.where, cls._complaint(error))))) from error

    @classmethod
    def _complaint(cls, error: ValidationError) -> str:
        """Return what is wrong with the first setting that has a fault."""
        first = error.errors()[0]
        name, kind, value = ".".join(map(str, first["loc"])), first["type"], first["input"]
        if kind == "extra_forbidden":
            unknown = sorted(str(item["loc"][-1]) for item in error.errors() if item["type"] == kind)
            return f"unknown keys: {', '.join(unknown)}; known: {', '.join(cls.model_fields)}"
        if kind == "missing":
            return f"{name} is missing; give it"
        # Recipes and JSON have lists and mappings; messages must not speak of our tuples and models.
        wanted = "it should be a mapping" if kind == "model_type" else first["msg"].replace("Input", "it", 1)
        return f"{name or 'it'} is {value!r}; {wanted.replace('Tuple', 'it').replace('tuple', 'list')}"


def whole_number(least: int, most: int | None = None) -> Any:
    """Return the constraint of an ``int`` setting that must be written as a whole number: True and 4.0 are refused."""
    return Field(strict=True, ge=least, le=most)


class DatasetSettings(WrittenSettings):
    """What determines a dataset, besides the photographs."""

    views: Annotated[int, whole_number(1, 1000)] = 4
    """Number of groups for each photograph: the whole frame, then random crops."""
    variants: Annotated[int, whole_number(1, 100)] = 3
    """Number of degraded pictures in each group."""
    max_side: Annotated[int, whole_number(64, 1024)] = 256
    """Longest side of the stored pictures, in pixels; smaller ones are not enlarged. Photographs are shrunk to one
    megapixel when they are loaded, so a side longer than 1024 would not show more detail."""
    test_fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.2
    """Share of the photographs that is held out."""
    seed: Annotated[int, whole_number(0, 2**32 - 1)] = 0
