"""A vision tower's output, split by picture, cached, and joined for the pictures that a row shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

PictureTokens = list[Tensor]
"""A picture's tokens, and those of each deepstack level where the tower has some."""


def tokens_by_picture(computed: Any, grid_thw: Tensor, merge: int) -> list[PictureTokens]:
    """Return a tower's answer about P pictures, picture by picture."""
    counts = (grid_thw.prod(-1) // merge**2).tolist()
    levels = [computed.pooler_output, *(computed.deepstack_features if "deepstack_features" in computed else ())]
    return [list(tokens) for tokens in zip(*(torch.split(level, counts) for level in levels), strict=True)]


def tower_answer(kind: type, pictures: Sequence[PictureTokens]) -> Any:
    """Return the tower's answer about these pictures, as `tokens_by_picture` takes it apart."""
    first, *deepstack = (torch.cat(level) for level in zip(*pictures, strict=True))
    answer = kind(pooler_output=first)
    if deepstack:
        answer["deepstack_features"] = deepstack
    return answer


@contextmanager
def answering(visual: Any, answer: Any) -> Iterator[None]:
    """While it lasts, a vision tower gives one answer, whatever it is shown."""
    before = vars(visual).get("forward")  # where another library has put its own
    visual.forward = lambda *_, **__: answer
    try:
        yield
    finally:
        if before is None:
            del visual.forward  # the class has the true one
        else:
            visual.forward = before
