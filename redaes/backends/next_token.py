"""What a server's reply says: the log-odds of its verdict, or its expected score."""

from __future__ import annotations

import math

from redaes import answers
from redaes.backends.base import Failure
from redaes.backends.endpoint import Reply

N_LOGPROBS = 20
"""Likeliest tokens asked for where probabilities are read: the most that servers offer."""

MIN_DIGIT_SHARE = 0.5
"""Probability that the score tokens must have together; below, the model was about to say something else."""

MAX_SCORE_ERROR = 0.5
"""How far the expected digit may lie from that over the whole vocabulary, in points, at worst: servers list only their
likeliest tokens, some no more than five."""


def verdict_log_odds(reply: Reply) -> float | None:
    """log P(A) - log P(B) where the answer names the winner, over the whole vocabulary.

    A letter that is not among the listed tokens is taken to be as likely as the least likely of them, which it
    is at most. None: no token probabilities, or neither letter is listed.
    """
    token = reply.token_after(answers.WINNER_PREFIX)
    if token is None:
        return None
    first, second = token.log_probability_of("A"), token.log_probability_of("B")
    if first is None and second is None:
        return None
    return (token.least if first is None else first) - (token.least if second is None else second)


def expected_score(reply: Reply) -> float | Failure:
    """The mean digit at the score token, in [0, 9], or the reason why there is none.

    Digits that are not listed could move it. Together they are as likely as what the listed tokens leave over, at most;
    and each of them, with a space before it and without, is as likely as the last listed token, at most. Were all of
    that on the digit that is farthest from the mean, the mean would move by the ``bound``; no more than
    :data:`MAX_SCORE_ERROR` is borne.
    """
    if reply.logprobs is None:
        return Failure(
            "no_logprobs", "the server reports no token probabilities; use another server, or compare in pairs"
        )
    token = reply.token_after(answers.SCORE_PREFIX)
    if token is None:
        return Failure("not_the_form", f"{reply.text[:80]!r} does not begin with {answers.SCORE_PREFIX!r}")
    shares = {
        int(digit): math.exp(logprob)
        for digit in answers.SCORE_CHOICES
        if (logprob := token.log_probability_of(digit)) is not None
    }
    total = math.fsum(shares.values())
    if total < MIN_DIGIT_SHARE:
        return Failure("no_score", f"digits have a probability of {total:.2f} where the score should be")
    mean = math.fsum(digit * share for digit, share in shares.items()) / total
    absent = [int(digit) for digit in answers.SCORE_CHOICES if int(digit) not in shares]
    left_over = max(0.0, 1.0 - math.fsum(math.exp(logprob) for logprob in token.listed.values()))
    unseen = min(left_over, 2 * len(absent) * math.exp(token.least))
    bound = unseen / (total + unseen) * max((abs(digit - mean) for digit in absent), default=0.0)
    if bound > MAX_SCORE_ERROR:
        return Failure(
            "score_uncertain",
            f"{len(token.listed)} listed tokens have a probability of {1 - left_over:.2f}; the expected digit could be "
            f"{bound:.1f} off, and {MAX_SCORE_ERROR:g} is borne: use a server that lists more, or compare in pairs",
        )
    return mean
