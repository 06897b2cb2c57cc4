"""A panel's models as a recipe names them: by a word, or with the servers, limits and price of each."""

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
"""Kinds of judges that are a model behind a server; a judge that is named without a kind is the first."""

Amount = Annotated[FiniteFloat, Field(ge=0)]


class TokenPrice(WrittenSettings):
    """What a model's tokens cost, in the currency of whoever is paid."""

    where: ClassVar[str] = "panel: price"

    input: Amount
    """A million tokens that are read, pictures among them."""
    output: Amount
    """A million tokens that are written, thoughts among them."""

    def of(self, tokens: int, written: int) -> float:
        """Return what tokens cost.

        Args:
            tokens: read and written.
            written: those of them that were written.

        >>> TokenPrice(input=1.0, output=4.0).of(3_000_000, 1_000_000)
        6.0
        """
        return (self.input * (tokens - written) + self.output * written) / 1e6


def _addresses(value: Any) -> Any:
    """Return one address as several; each as it is asked, so that one that cannot be read is refused with the
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
"""Addresses of the servers of one model, which share its requests."""


class ModelEntry(WrittenSettings):
    """One model with its settings. Settings that are left out are those of the panel."""

    where: ClassVar[str] = "panel: a model"

    model: Annotated[str, Field(min_length=1)]
    """Its name on its servers; of a judge also ``kind:argument``."""
    endpoint: Addresses = None
    """Its servers, each of which has this model: they share its requests."""
    api_key_env: str | None = None
    """Environment variable with the key of its servers."""
    concurrency: Annotated[int, whole_number(1)] | None = None
    """Requests to each of its servers under way at once, in each worker."""
    max_calls: Annotated[int, whole_number(0)] | None = None
    """Most requests to all of its servers in each worker's life."""
    max_tokens: Annotated[int, whole_number(0)] | None = None
    """No request is sent in a worker's life once the tokens that its servers report reach this."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """Longest wait for one answer, in seconds; None: 60."""
    price: TokenPrice | None = None
    """Price of tokens; None: not known, and not counted."""
    gpus: Annotated[int, whole_number(1)] | None = None
    """GPUs that each of its servers takes, by which GPU-hours are counted; None: none of one's own."""
    revision: str | None = None
    """What pins its weights: it stands in the dataset, and answers are kept under it."""
    max_new_tokens: Annotated[int, whole_number(1)] | None = None
    """Longest answer, in tokens, thoughts included; None: the panel's of a judge, else that of its task."""

    def sampling(self, usual: Sampling) -> Sampling:
        """Return how its answers are drawn, where they are usually drawn so."""
        wanted = self.max_new_tokens
        return usual if wanted is None else usual.model_copy(update={"max_new_tokens": wanted})

    def decides(self) -> dict[str, Any]:
        """Return what of it decides the dataset: not where its servers stand, what they cost, nor how hard they are
        worked.
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
"""What is said of a model's servers: the same in every role of the model."""


class JudgeEntry(ModelEntry):
    """A judge with all that is said of it."""

    where: ClassVar[str] = "panel: a judge"

    samples: Annotated[int, whole_number(1)] | None = None
    """Answers in each order."""
    form: Form | None = None
    """The form in which it is asked."""
    reader: Reader | None = None
    """What is read of its answers."""

    @property
    def kind(self) -> str:
        """The judge, one of `redaes.datagen.panel.JUDGES`."""
        return self.model.partition(":")[0] if ":" in self.model else SERVED[0]

    @property
    def argument(self) -> str:
        """What its kind is told: a model's name, a folder, a metric."""
        return self.model.partition(":")[2] if ":" in self.model else self.model

    @property
    def is_served(self) -> bool:
        """Whether it is a model behind a server."""
        return self.kind in SERVED


def as_model(value: Any) -> Any:
    """Return a word as it is; a mapping as a :class:`ModelEntry`."""
    return _entry(value, ModelEntry, "a model")


def as_judges(value: Any) -> Any:
    """Return words as they are, mappings as :class:`JudgeEntry`; what is no list as it is.

    Raises:
        InputError: there are none, or one is neither.
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
