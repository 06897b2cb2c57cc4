"""A backend that answers from a script: for tests and examples, where the model is not the point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from redaes.backends.base import BatchBackend, Request
from redaes.errors import BackendError
from redaes.types import Sampling


class ScriptedBackend(BatchBackend):
    """Gives prepared answers in order, one for each request; running out is an error.

    >>> backend = ScriptedBackend(["Winner: A\\nDifference: +1.0"], [{" A": -0.1, " B": -2.5}])

    Attributes:
        asked: all requests so far, in order; those of ``read`` and of ``generate`` together.
    """

    def __init__(
        self,
        answers: Iterable[str] = (),
        log_probs: Iterable[Mapping[str, float]] = (),
        *,
        name: str = "scripted",
    ) -> None:
        """
        Args:
            answers: texts for ``generate``; a request's prefix is put before them.
            log_probs: for ``read``, per request the natural log-probability of each choice.
            name: the model's name in results.
        """
        self.model = name
        self.revision = "script"
        self.asked: list[Request] = []
        self._answers = iter(answers)
        self._log_probs = iter(log_probs)

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        """Return the next prepared log-probabilities, shape (len(requests), len(choices)).

        Raises:
            BackendError: the script is at its end, or a choice is not in it.
        """
        rows = np.empty((len(requests), len(choices)))
        for row, request in zip(rows, requests, strict=True):
            self.asked.append(request)
            prepared = next(self._log_probs, None)
            if prepared is None:
                raise BackendError(f"the script has no log-probabilities for request {len(self.asked)}")
            absent = [choice for choice in choices if choice not in prepared]
            if absent:
                raise BackendError(f"the script gives no log-probability of {absent} for request {len(self.asked)}")
            row[:] = [prepared[choice] for choice in choices]
        return rows

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        """Return the next prepared answers; ``sampling`` changes nothing.

        Raises:
            BackendError: the script is at its end.
        """
        texts = []
        for request in requests:
            self.asked.append(request)
            answer = next(self._answers, None)
            if answer is None:
                raise BackendError(f"the script has no answer for request {len(self.asked)}")
            texts.append(request.prefix + answer)
        return texts
