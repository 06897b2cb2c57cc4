"""Requests to a model and its answers: a text, the probabilities at one place of it, or the reason why there is
neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken
from redaes.backends.pictures import EncodedPicture
from redaes.errors import InputError
from redaes.prompts import Prompt
from redaes.types import Sampling

GREEDY = Sampling()

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Request:
    """One question: a prompt, the pictures for its slots, the beginning of the answer, and what is to be read or
    written.
    """

    prompt: Prompt
    images: tuple[Image.Image | EncodedPicture, ...]
    """The pictures, RGB, in the order of the prompt's slots; encoded ones are for several requests to a server."""
    prefix: str = ""
    """The beginning of the answer, up to the place where it is read. A backend that can begin an answer for the model
    begins with it; otherwise the model writes it.
    """
    choices: tuple[str, ...] = ()
    """Texts that may follow the prefix and begin with distinct tokens, whose probabilities are wanted; empty: none
    are.
    """
    sampling: Sampling | None = GREEDY
    """How the text is sampled; None: no text is wanted."""

    def __post_init__(self) -> None:
        if self.sampling is None and not self.choices:
            raise InputError(f"prompt {self.prompt.name} is asked for nothing; give choices or a sampling")

    @property
    def pixels(self) -> tuple[Image.Image, ...]:
        """The pictures, decoded."""
        return tuple(image.image if isinstance(image, EncodedPicture) else image for image in self.images)


@dataclass(frozen=True)
class Answer:
    """A model's answer to one request."""

    text: str | None
    """The text, including the request's prefix, without special tokens; None: nothing was written."""
    read: NextToken | Failure | None = None
    """The probabilities of the choices, or why they could not be read; None: there were no choices."""
    cut_off: bool = False
    """Whether the text is known to end at the limit on tokens."""
    tokens: int = 0
    """Number of tokens read and written, as far as a server reports it."""
    changes: tuple[str, ...] = ()
    """What of the request a server could not use (``without seed``, ``temperature=1``), and what was done to the text
    while it was written."""
    held_by: str | None = None
    """What constrained the text to its form while it was written; None: nothing."""


class Backend(Protocol):
    """A model that can be asked."""

    @property
    def model(self) -> str:
        """Name of the model in results."""
        ...

    @property
    def revision(self) -> str:
        """Revision of the weights."""
        ...

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Return for each request, in their order, its answer or why there is none; a lost request does not affect the
        others.

        If no text is wanted and the choices cannot be read, that is the failure.

        Raises:
            BackendError: the model cannot be asked at all.
        """
        ...


def read_of(answer: Answer | Failure) -> NextToken | Failure:
    """Return the probabilities that were read for a request with choices."""
    found = answer if isinstance(answer, Failure) else answer.read
    if found is None:
        raise AssertionError("a backend was given choices and says nothing about them")
    return found


def grouped(keys: Iterable[_Key]) -> dict[_Key, list[int]]:
    """Return the places of equal keys, in order.

    >>> grouped("abba")
    {'a': [0, 3], 'b': [1, 2]}
    """
    found: dict[_Key, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return found


def joined(
    written: Sequence[Answer | Failure | None], read: Sequence[NextToken | Failure | None]
) -> list[Answer | Failure]:
    """Return written texts and read probabilities of each request as one answer; None: it was not asked for."""
    found: list[Answer | Failure] = []
    for text, token in zip(written, read, strict=True):
        if isinstance(text, Answer):
            found.append(replace(text, read=token))
        elif isinstance(text, Failure):
            found.append(text)
        else:
            found.append(token if isinstance(token, Failure) else Answer(None, token))
    return found


class BatchBackend(ABC):
    """A backend that answers a whole batch or raises, with separate methods for reading and writing."""

    model: str
    revision: str

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        """Answer the requests, as :class:`Backend` specifies; no single request is lost.

        Raises:
            BackendError: as for :meth:`read` and :meth:`generate`.
        """
        written: list[Answer | Failure | None] = [None] * len(requests)
        read: list[NextToken | Failure | None] = [None] * len(requests)
        for sampling, places in grouped(request.sampling for request in requests).items():
            if sampling is not None:
                for place, answer in zip(places, self.write([requests[n] for n in places], sampling), strict=True):
                    written[place] = answer
        for choices, places in grouped(request.choices for request in requests).items():
            if choices:
                rows = self.read([requests[place] for place in places], choices)
                for place, row in zip(places, rows.tolist(), strict=True):
                    read[place] = NextToken.exactly(dict(zip(choices, row, strict=True)))
        return joined(written, read)

    @abstractmethod
    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-probability that the answer goes on with each choice after the request's prefix, read at the
        choice's first token.

        Returns:
            Shape (len(requests), len(choices)); over the whole vocabulary, not renormalised.

        Raises:
            BackendError: the model cannot be asked.
        """

    def write(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """Return the texts of :meth:`generate`, with how they were written.

        Raises:
            BackendError: as for :meth:`generate`.
        """
        return [Answer(text) for text in self.generate(requests, sampling)]

    @abstractmethod
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        """Return the answers, each including its request's prefix, without special tokens.

        Raises:
            BackendError: the model cannot be asked.
        """
