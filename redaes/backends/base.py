"""What the assessor asks of a model: log-probabilities of a few continuations, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.prompts import Prompt
from redaes.types import Sampling


@dataclass(frozen=True)
class Request:
    """One question: a prompt, the pictures for its slots, and how the answer already begins."""

    prompt: Prompt
    images: tuple[Image.Image, ...]
    """RGB, in the order of the prompt's slots."""
    prefix: str = ""
    """The assistant's turn so far."""


class Backend(Protocol):
    """A model that can be asked."""

    model: str
    """Name, as a result reports it."""
    revision: str
    """What pins the weights."""

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        """Log-probability that the answer goes on with each choice, read at the choice's first token.

        The choices must begin with distinct tokens.

        Returns:
            Shape (len(requests), len(choices)); over the whole vocabulary, not renormalised.
        """
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        """The answers, each including its request's prefix, without special tokens."""
        ...
