"""Score pictures one at a time: the expected digit at the score token of a model's answer, as in Q-Align."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from redaes import answers, prompts
from redaes.backends.base import Answer, Backend, Request, read_of
from redaes.backends.failures import Failure, refuse_lost
from redaes.backends.next_token import NextToken, expected_score
from redaes.backends.pictures import EncodedPicture
from redaes.errors import BackendError
from redaes.types import Sampling

SCORE_SAMPLING = Sampling(max_new_tokens=8)
"""Sampling of a score by a server that has to write it."""


def expected_scores(
    backend: Backend, pictures: Sequence[Image.Image | EncodedPicture], sampling: Sampling | None = None
) -> list[tuple[Answer | Failure, float | Failure]]:
    """Return the answer about each picture, and its score in [0, 9] or the reason why there is none.

    Reasons are those of the backend, ``no_logprobs``, ``not_the_form``, ``no_score`` and ``score_uncertain``.

    Args:
        backend: the model.
        pictures: pictures, each asked about alone, with the prompt ``score/v1``, whose answer is ``Score: <digit>``.
        sampling: how the answer is written; None: it is only read, not written.

    Raises:
        EndpointError: a server lost all answers, or a budget is spent.
        BackendError: the model cannot be asked, or its probabilities are not numbers.
    """
    prompt = prompts.load(prompts.SCORE)
    found = backend.answer(
        [Request(prompt, (one,), answers.SCORE_PREFIX, answers.SCORE_CHOICES, sampling) for one in pictures]
    )
    refuse_lost(found)
    tokens = [read_of(answer) for answer in found]
    for token in tokens:
        if isinstance(token, NextToken) and any(map(math.isnan, token.log_probs.values())):
            raise BackendError(
                f"{backend.model} returns probabilities that are not numbers, because its weights are damaged; copy "
                "or download it again"
            )
    return [(answer, expected_score(token)) for answer, token in zip(found, tokens, strict=True)]
