"""The probabilities of tokens at one position of an answer, and the values computed from them: a verdict's log-odds or
an expected score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from redaes import answers
from redaes.backends.failures import Failure
from redaes.types import ProbabilitySource

MIN_DIGIT_SHARE = 0.5
"""Smallest total probability of the score tokens; below it, the model was about to write something else."""

MAX_SCORE_ERROR = 0.5
"""Largest possible error of the expected digit that is accepted, in points. There is an error because servers list only
their likeliest tokens, some of them only five."""


@dataclass(frozen=True)
class NextToken:
    """The possible next tokens of an answer at one position, as far as they are known."""

    log_probs: Mapping[str, float]
    """Natural log-probability of each, over the whole vocabulary and not renormalised."""
    least: float
    """Upper bound of the log-probability of a token that is not listed."""
    source: ProbabilitySource

    @classmethod
    def exactly(cls, log_probs: Mapping[str, float]) -> NextToken:
        """Return the probabilities of the very choices that were asked about."""
        return cls(log_probs, min(log_probs.values()), "exact")

    @property
    def is_alone(self) -> bool:
        """Whether no token but the written one is known: then nothing is known about the others."""
        return len(self.log_probs) < 2

    @property
    def likeliest(self) -> str:
        """The likeliest token; the first of equally likely ones."""
        return max(self.log_probs, key=lambda token: self.log_probs[token])

    @property
    def is_finite(self) -> bool:
        """Whether every log-probability is a finite number, as those of undamaged weights are."""
        return all(map(math.isfinite, self.log_probs.values()))

    def of(self, word: str) -> float | None:
        """Return the log of the share of the whole vocabulary that is ``word``, with or without white space around it.

        None: it is not listed, so it is at most as likely as :attr:`least`.
        """
        found = [logprob for token, logprob in self.log_probs.items() if token.strip() == word]
        if len(found) < 2:
            return found[0] if found else None
        most = max(found)
        return most + math.log(math.fsum(math.exp(logprob - most) for logprob in found))


def verdict_log_odds(token: NextToken | Failure) -> float | None:
    """Return the log P(A) - log P(B) where an answer names the winner, over the whole vocabulary.

    A letter that is not among the listed tokens is taken to be as likely as the least likely of them, which it
    is at most. None: neither letter is listed, or only one and nothing less likely with it, or nothing could be read.

    >>> verdict_log_odds(NextToken.exactly({" A": -0.5, " B": -2.0, " tie": -3.0}))
    1.5
    """
    if isinstance(token, Failure):
        return None
    first, second = token.of("A"), token.of("B")
    if first is not None and second is not None:
        return first - second
    if first is not None and first > token.least:
        return first - token.least
    if second is not None and second > token.least:
        return token.least - second
    return None


def expected_score(token: NextToken | Failure) -> float | Failure:
    """Return the mean digit where an answer has its score, in [0, 9], or the reason why there is none; nothing to read
    is one.

    Digits that are not listed could move it. Together they are as likely as what the listed tokens leave over, at most;
    and each of them, with a space before it and without, is as likely as the last listed token, at most. Were all of
    that on the digit that is farthest from the mean, the mean would move by the ``bound``; no more than
    :data:`MAX_SCORE_ERROR` is borne.
    """
    if isinstance(token, Failure):
        return token
    known = {int(digit): found for digit in answers.SCORE_CHOICES if (found := token.of(digit.strip())) is not None}
    shares = np.exp(np.array(list(known.values()), dtype=np.float64))
    total = float(shares.sum())
    if not total >= MIN_DIGIT_SHARE:
        return Failure("no_score", f"digits have a probability of {total:.2f} where the score should be")
    mean = float(np.dot(shares, np.array(list(known), dtype=np.float64))) / total
    absent = [int(digit) for digit in answers.SCORE_CHOICES if int(digit) not in known]
    if not absent:
        return mean
    left_over = max(0.0, 1.0 - math.fsum(map(math.exp, token.log_probs.values())))
    unseen = min(left_over, 2 * len(absent) * math.exp(token.least))
    bound = unseen / (total + unseen) * max(abs(digit - mean) for digit in absent)
    if bound > MAX_SCORE_ERROR:
        return Failure(
            "score_uncertain",
            f"{len(token.log_probs)} listed tokens have a probability of {1 - left_over:.2f}; the expected digit could "
            f"be {bound:.1f} off, and {MAX_SCORE_ERROR:g} is borne: use a server that lists more, or compare in pairs",
        )
    return mean
