"""A vision tower's output, split by picture, cached, and joined for the pictures that a row shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

PictureTokens = list[Tensor]
"""A picture's tokens, followed by those of each deepstack level if the tower has any."""


def tokens_by_picture(computed: Any, grid_thw: Tensor, merge: int) -> list[PictureTokens]:
    """Split a tower's output for P pictures into that of each picture."""
    counts = (grid_thw.prod(-1) // merge**2).tolist()
    levels = [computed.pooler_output, *(computed.deepstack_features if "deepstack_features" in computed else ())]
    return [list(tokens) for tokens in zip(*(torch.split(level, counts) for level in levels), strict=True)]


def tower_answer(kind: type, pictures: Sequence[PictureTokens]) -> Any:
    """Join the tokens of pictures into a tower's output, the inverse of `tokens_by_picture`."""
    first, *deepstack = (torch.cat(level) for level in zip(*pictures, strict=True))
    answer = kind(pooler_output=first)
    if deepstack:
        answer["deepstack_features"] = deepstack
    return answer


@contextmanager
def answering(visual: Any, answer: Any) -> Iterator[None]:
    """Within this context, a vision tower returns a given output, whatever its input."""
    before = vars(visual).get("forward")  # where another library has put its own
    visual.forward = lambda *_, **__: answer
    try:
        yield
    finally:
        if before is None:
            del visual.forward  # the class has the true one
        else:
            visual.forward = before
