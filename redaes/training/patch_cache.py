"""Patches of pictures that an image processor has made lately, kept by what is in the picture.

TRL has the pictures of every answer's prompt processed twice a batch, once to sample and once to train: the same few
pictures, as often as they are shown.
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
    """Answers in an image processor's place about pictures that it has processed before.

    Args:
        n_kept: most pictures that are kept from call to call.
    """

    def __init__(self, n_kept: int) -> None:
        self._n_kept = n_kept
        self._cached: dict[tuple[Any, ...], dict[str, Tensor]] = {}  # those asked about last come last
        self.n_asked = 0
        """Pictures that were to be processed."""
        self.n_computed = 0
        """Pictures that were."""

    @contextmanager
    def answering_for(self, processor: Any) -> Iterator[None]:
        """While it lasts, the processor makes the patches of each different picture once.

        Args:
            processor: an image processor of the Qwen-VL families.
        """
        plain = processor.preprocess

        def preprocess(images: Any, *more: Any, **settings: Any) -> Any:
            pictures = _in_a_row(images)
            if more or not all(isinstance(picture, Image.Image) for picture in pictures):
                return plain(images, *more, **settings)
            return self._answer(plain, pictures, settings)

        processor.preprocess = preprocess  # hides the class's own
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
    """Return pictures in whatever lists, one after the other."""
    return [one for part in images for one in _in_a_row(part)] if isinstance(images, list | tuple) else [images]
