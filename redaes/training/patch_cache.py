"""A cache of the patches that an image processor made of recent pictures, keyed by the pictures' contents.

TRL processes the pictures of every answer's prompt twice a batch, once to sample and once to train, although they are
the same few pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature


class PatchCache:
    """Return an image processor's results for pictures that it has processed before.

    Args:
        n_kept: largest number of pictures that are kept between calls.
    """

    def __init__(self, n_kept: int) -> None:
        self._n_kept = n_kept
        self._cached: dict[tuple[Any, ...], dict[str, Tensor]] = {}  # most recently used pictures come last
        self.n_asked = 0
        """Number of pictures that were requested."""
        self.n_computed = 0
        """Number of pictures that were processed."""

    @contextmanager
    def answering_for(self, processor: Any) -> Iterator[None]:
        """Let the processor make the patches of each different picture only once within the context.

        Args:
            processor: an image processor of the Qwen-VL families.
        """
        plain = processor.preprocess

        def preprocess(images: Any, *more: Any, **settings: Any) -> Any:
            pictures = _in_a_row(images)
            if more or not all(isinstance(picture, Image.Image) for picture in pictures):
                return plain(images, *more, **settings)
            return self._answer(plain, pictures, settings)

        processor.preprocess = preprocess  # hides the class's method
        try:
            yield
        finally:
            del processor.preprocess

    def _answer(self, plain: Callable[..., Any], pictures: list[Image.Image], settings: dict[str, Any]) -> BatchFeature:
        said = repr(sorted((name, repr(value)) for name, value in settings.items() if name != "return_tensors"))
        found: list[dict[str, Tensor]] = []
        for picture in pictures:
            key = (said, picture.size, picture.mode, hashlib.sha256(picture.tobytes()).digest())
            if key not in self._cached:
                self._cached[key] = dict(plain([picture], **{**settings, "return_tensors": "pt"}))
                self.n_computed += 1
            self._cached[key] = self._cached.pop(key)
            found.append(self._cached[key])
        self.n_asked += len(found)
        for key in list(self._cached)[: max(0, len(self._cached) - self._n_kept)]:
            del self._cached[key]
        whole = {name: torch.cat([one[name] for one in found]) for name in found[0]}
        return BatchFeature(whole)


def _in_a_row(images: Any) -> list[Any]:
    """Return the pictures of nested lists as one flat list."""
    return [one for part in images for one in _in_a_row(part)] if isinstance(images, list | tuple) else [images]
