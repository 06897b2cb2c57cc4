"""What the assessor asks of a model: log-probabilities of a few continuations, and text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.errors import BackendError
from redaes.file_hashes import content_hash
from redaes.prompts import Prompt
from redaes.types import ProbabilitySource, Sampling

ADAPTER_CONFIG = "adapter_config.json"
"""What tells a folder with an adapter from one with a model."""

_REVISION_DIGITS = 12


@dataclass(frozen=True)
class Failure:
    """One request without an answer."""

    reason: str
    """Identifier fit for counting: ``http_<status>``, ``timeout``, ``connection``, ``not_json``,
    ``not_a_completion``, ``no_choices``, ``no_content``, ``refused``, ``no_usage``, ``retry_after_too_long``,
    ``budget_exhausted``, ``no_logprob``, ``cut_off``, ``unclosed_thinking``, ``unknown_part``,
    and those of answers that cannot be read."""
    detail: str


@dataclass(frozen=True)
class Request:
    """One question: a prompt, the pictures for its slots, and how the answer already begins."""

    prompt: Prompt
    images: tuple[Image.Image, ...]
    """RGB, in the order of the prompt's slots."""
    prefix: str = ""
    """The assistant's turn so far."""


def revision_of(*folders: Path) -> str:
    """What pins a model's weights: first digits of the SHA-256 over the names and contents of their files.

    Args:
        folders: of the model, then of an adapter on it; only safetensors directly in them count.

    Raises:
        RecordError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.glob("*.safetensors")):
            digest.update(f"{file.name}:{content_hash(file)}\n".encode())
    return digest.hexdigest()[:_REVISION_DIGITS]


def base_of(adapter: Path) -> str:
    """The name of the model that an adapter was trained on.

    Raises:
        BackendError: the folder holds no adapter, or one that names none.
    """
    try:
        settings = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"{adapter / ADAPTER_CONFIG} cannot be read: {error}") from error
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(base, str) or not base:
        raise BackendError(f"{adapter / ADAPTER_CONFIG} names no base model; give the base and the adapter apart")
    return base


def probabilities_of(backend: Backend) -> ProbabilitySource:
    """How a backend reads probabilities; one that does not say reads them exactly."""
    source: ProbabilitySource = getattr(backend, "probabilities", "exact")
    return source


def changes_of(backend: Backend) -> tuple[str, ...]:
    """What of the requests for texts a backend's server could not use; nothing, where a backend does not say."""
    changes: tuple[str, ...] = getattr(backend, "changes", ())
    return changes


class Backend(Protocol):
    """A model that can be asked.

    Where a backend loses single requests of a batch, ``read`` and ``generate`` raise
    :class:`~redaes.errors.PartlyAnswered`, which carries the answers to the others.
    """

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
