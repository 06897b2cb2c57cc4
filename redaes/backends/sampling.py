"""Ignore the sampling settings in a model's files, so that answers and completions are sampled as requested.

``generate`` fills whatever a request leaves open from the model's ``generation_config.json``; some of it (``min_p``,
forbidden words, a time limit) cannot be said to be absent, so the model's own is put away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def forget_sampling(network: Any) -> dict[Any, Any]:
    """Remove everything about sampling from a model's generation settings except token ids.

    Args:
        network: the model, or one with an adapter around it.

    Returns:
        The earlier settings, by module.
    """
    from transformers import GenerationConfig

    found = {part: part.generation_config for part in network.modules() if "generation_config" in vars(part)}
    for part, own in found.items():
        part.generation_config = GenerationConfig(**{name: getattr(own, name) for name in _TOKENS})
    return found


@contextmanager
def our_sampling(network: Any) -> Iterator[None]:
    """Within this context, the sampling settings in a model's files are ignored."""
    before = forget_sampling(network)
    try:
        yield
    finally:
        for part, own in before.items():
            part.generation_config = own
