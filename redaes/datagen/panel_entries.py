"""A panel's models as a recipe states them: only by name, or with the servers, limits and price of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, FiniteFloat

from redaes.backends.connecting import versioned_url
from redaes.datagen.dataset_settings import WrittenSettings, whole_number
from redaes.errors import InputError
from redaes.lenient import Reader
from redaes.types import Form, Sampling

SERVED = ("vlm", "score")
"""Kinds of judges that are a model behind a server; a judge without a stated kind is of the first."""

Amount = Annotated[FiniteFloat, Field(ge=0)]


class TokenPrice(WrittenSettings):
    """Prices of a model's tokens, in any currency."""

    where: ClassVar[str] = "panel: price"

    input: Amount
    """Price of a million tokens that are read, including those of pictures."""
    output: Amount
    """Price of a million tokens that are written, including thoughts."""

    def of(self, tokens: int, written: int) -> float:
        """Return the cost of tokens.

        Args:
            tokens: number of tokens that were read and written.
            written: number of those that were written.

        >>> TokenPrice(input=1.0, output=4.0).of(3_000_000, 1_000_000)
        6.0
        """
        return (self.input * (tokens - written) + self.output * written) / 1e6


def _addresses(value: Any) -> Any:
    """Return one address as a list of one. Each is normalised, so that an impossible address is refused with the
    recipe.
    """
    if value is None:
        return None
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(one, str) for one in listed):
        raise InputError(f"panel: endpoint is {value!r}; give a server's address, or a list of them")
    urls = tuple(versioned_url(one) for one in listed)
    if len(set(urls)) != len(urls):
        raise InputError(f"panel: endpoint names a server twice ({', '.join(urls)}); name each once")
    return urls


Addresses = Annotated[tuple[str, ...] | None, BeforeValidator(_addresses)]
"""Addresses of the servers of one model; the servers share its requests."""


class ModelEntry(WrittenSettings):
    """One model with its settings. For settings that are left out, those of the panel hold."""

    where: ClassVar[str] = "panel: a model"

    model: Annotated[str, Field(min_length=1)]
    """Its name on its servers; for a judge also ``kind:argument``."""
    endpoint: Addresses = None
    """Its servers, each of which has this model; they share its requests."""
    api_key_env: str | None = None
    """Environment variable with the key of its servers."""
    concurrency: Annotated[int, whole_number(1)] | None = None
    """Number of requests to each of its servers that are under way at once, in each worker."""
    max_calls: Annotated[int, whole_number(0)] | None = None
    """Largest number of requests to all of its servers during each worker's life."""
    max_tokens: Annotated[int, whole_number(0)] | None = None
    """No request is sent once the tokens that its servers report reach this number, in each worker's life."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """Longest wait for one answer, in seconds; None means 60."""
    price: TokenPrice | None = None
    """Price of tokens; if None, costs are not counted."""
    gpus: Annotated[int, whole_number(1)] | None = None
    """Number of GPUs of each of its servers, from which GPU-hours are calculated; None if they are not yours."""
    revision: str | None = None
    """What identifies its weights; it is stored in the dataset and with the answers."""
    max_new_tokens: Annotated[int, whole_number(1)] | None = None
    """Longest answer, in tokens, including thoughts; None means the panel's for a judge, else that of the task."""

    def sampling(self, usual: Sampling) -> Sampling:
        """Return the sampling of its answers: the usual one, with the model's own length if it states one."""
        wanted = self.max_new_tokens
        return usual if wanted is None else usual.model_copy(update={"max_new_tokens": wanted})

    def decides(self) -> dict[str, Any]:
        """Return the settings on which the dataset depends: not the addresses and prices of servers, nor how many
        requests they get at once.
        """
        left_out = {*SERVER_FIELDS} - {"revision"}
        return self.model_dump(mode="json", exclude=left_out, exclude_none=True)


SERVER_FIELDS = (
    "endpoint",
    "api_key_env",
    "concurrency",
    "max_calls",
    "max_tokens",
    "timeout_s",
    "price",
    "gpus",
    "revision",
)
"""Settings of a model's servers; they must be the same in every role of the model."""


class JudgeEntry(ModelEntry):
    """A judge with its settings."""

    where: ClassVar[str] = "panel: a judge"

    samples: Annotated[int, whole_number(1)] | None = None
    """Number of answers in each order."""
    form: Form | None = None
    """The form in which it is asked to answer."""
    reader: Reader | None = None
    """How its answers are read."""

    @property
    def kind(self) -> str:
        """The kind of judge, a key of `redaes.datagen.panel.JUDGES`."""
        return self.model.partition(":")[0] if ":" in self.model else SERVED[0]

    @property
    def argument(self) -> str:
        """The argument of its kind: a model's name, a folder, or a metric."""
        return self.model.partition(":")[2] if ":" in self.model else self.model

    @property
    def is_served(self) -> bool:
        """Whether it is a model behind a server."""
        return self.kind in SERVED


def as_model(value: Any) -> Any:
    """Return a mapping as a :class:`ModelEntry`, and a name unchanged."""
    return _entry(value, ModelEntry, "a model")


def as_judges(value: Any) -> Any:
    """Return mappings as :class:`JudgeEntry`, and names unchanged; a value that is not a list is returned as it is.

    Raises:
        InputError: the list is empty, or an item is neither a name nor a mapping.
    """
    if not isinstance(value, list | tuple):
        return value
    if not value:
        raise InputError("panel: judges is []; it should have at least 1 item")
    return tuple(_entry(one, JudgeEntry, "a judge") for one in value)


def _entry(value: Any, kind: type[ModelEntry], what: str) -> Any:
    if value is None or isinstance(value, str | kind):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"panel: {what} is {value!r}; give its name, or a mapping with model, endpoint and more")
    return kind.model_validate(dict(value))
