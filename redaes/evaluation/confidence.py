"""Calibration of a model's probabilities: a temperature fitted on some photographs and tested on others
(docs/confidence.md).

Only one number is fitted, by which log-odds are divided, so the order of answers, and which of two pictures is better,
do not change. If the most confident answers are right less often than they claim even then, probabilities are limited
(:func:`ceiling_of`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from redaes.assessor import Assessor
from redaes.backends.base import Backend
from redaes.backends.temperatures import Temperature
from redaes.errors import InputError
from redaes.estimates import bootstrap_mean, mean
from redaes.evaluation.calibration import expected_calibration_error, reliability
from redaes.images import load_image
from redaes.points import believed
from redaes.prompts import Mode
from redaes.types import Record

SURE = 0.95
"""Probability above which answers count as sure; they should be right at least this often."""

MIN_SURE = 30
"""Number of answers above :data:`SURE` that are needed to allow such probabilities."""

AT_ONCE = 32
"""Number of pairs that are asked in one batch."""

_STEEPEST, _FLATTEST = 100.0, 0.001
"""Bounds of 1 / temperature, because a model that is never wrong has no best temperature."""


class CalibrationAnswer(Record):
    """One answer to a pair whose better picture is known."""

    photograph: str
    factor: str
    kind: str
    mode: Mode
    first_is_better: bool
    log_odds: float
    """Log-odds that the first is better, from both orders together, not calibrated."""
    decided: bool
    """Whether the answer calls one picture better."""


class CalibrationGroup(Record):
    """Claimed and observed accuracy of the answers of one group."""

    n: int
    """Number of answers that call one picture better."""
    n_not: int
    """Number of ties and undecided answers."""
    claimed: float | None
    """Mean probability of the picture that is called better."""
    right: float | None
    low: float | None
    high: float | None
    """Share of right answers and its 95 % interval, resampled by photograph."""
    ece: float | None
    """Expected calibration error over ten bins of P(first is better)."""
    n_sure: int
    """Number of answers that claim more than 95 %."""
    n_sure_right: int


def ask(
    backend: Backend,
    folder: Path,
    rows: Sequence[Mapping[str, str]],
    mode: Mode,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[CalibrationAnswer]:
    """Yield the model's answers about the pairs with a better picture; answers without a probability are left out.

    Args:
        backend: the model.
        folder: folder of the rows' pictures.
        rows: rows with first, second, p (1 or 0) and group (the photograph); for the tables, also factor and kind.
        mode: mode in which the model is asked.
        progress: called with the number of finished pairs and of all pairs.

    Raises:
        ImageError: a picture cannot be used.
        BackendError: the model cannot be asked.
    """
    assessor = Assessor(backend, mode=mode)
    decided = [row for row in rows if float(row["p"]) != 0.5]
    done = 0
    for start in range(0, len(decided), AT_ONCE):
        part = decided[start : start + AT_ONCE]
        pairs = [(load_image(folder / row["first"]), load_image(folder / row["second"])) for row in part]
        for row, result in zip(part, assessor.compare_many(pairs), strict=True):
            if result.log_odds is not None:
                yield CalibrationAnswer(
                    photograph=row["group"],
                    factor=row.get("factor") or "",
                    kind=row.get("kind") or "",
                    mode=mode,
                    first_is_better=float(row["p"]) > 0.5,
                    log_odds=result.log_odds,
                    decided=result.winner in ("A", "B"),
                )
        done += len(part)
        progress(done, len(decided))


def fit_half(
    answers: Sequence[CalibrationAnswer], backend: Backend, mode: Mode, says: str
) -> tuple[Temperature, dict[str, CalibrationGroup]]:
    """Return the temperature fitted on one half of the photographs, and the results on the other half.

    Args:
        answers: answers of :func:`ask`.
        backend: the model that gave them.
        mode: mode in which it was asked.
        says: description of the pairs, in words.

    Raises:
        InputError: a half has no answer that calls a picture better.
    """
    fitted = [one for one in answers if half_of(one.photograph) == 0 and one.decided]
    rest = [one for one in answers if half_of(one.photograph) == 1]
    if not fitted or not any(one.decided for one in rest):
        raise InputError(f"{mode}: one half of the photographs has no answer that decides; give more photographs")
    temperature = fit_temperature([one.log_odds for one in fitted], [one.first_is_better for one in fitted])
    ceiling = ceiling_of(fitted, temperature)
    entry = Temperature(
        revision=backend.revision,
        prompt_id=Assessor(backend, mode="fast").prompt_id,
        mode=mode,
        temperature=temperature,
        ceiling=ceiling,
        data=says,
        n_pairs=len(fitted),
        n_photographs=len({one.photograph for one in fitted}),
    )
    tables = {"all, not calibrated": group_of(rest, 1.0, 1.0), "all": group_of(rest, temperature, ceiling)}
    keys: tuple[Callable[[CalibrationAnswer], str], ...] = (lambda one: one.factor, lambda one: one.kind)
    for key in keys:
        for name in sorted({key(one) for one in rest} - {""}):
            tables[name] = group_of([one for one in rest if key(one) == name], temperature, ceiling)
    return entry, tables


def half_of(photograph: str) -> int:
    """Return 0 for a photograph to fit on and 1 for one to report on, by its hash, so that added files change nothing.

    >>> half_of("a"), half_of("c")
    (1, 0)
    """
    return hashlib.sha256(f"half {photograph}".encode()).digest()[0] % 2


def fit_temperature(log_odds: Sequence[float], first_is_better: Sequence[bool]) -> float:
    """Return the temperature that maximizes the likelihood of the labels.

    >>> round(fit_temperature([2.0, 2.0, 2.0, -2.0], [True, True, False, False]), 2)
    1.82

    Args:
        log_odds: log-odds that the first is better.
        first_is_better: whether the first is better, by the labels.

    Raises:
        InputError: lengths differ, there are no answers, or a number is not finite.
    """
    if len(log_odds) != len(first_is_better) or not log_odds:
        raise InputError(f"{len(log_odds)} log-odds and {len(first_is_better)} labels; give one label for each")
    odds = np.asarray(log_odds, dtype=np.float64)
    if not np.isfinite(odds).all():
        raise InputError("the log-odds hold a number that is not finite")
    towards = np.where(np.asarray(first_is_better, dtype=bool), odds, -odds)
    low, high = _FLATTEST, _STEEPEST
    for _ in range(80):  # the likelihood is concave in 1 / temperature, so its slope has one zero
        middle = math.sqrt(low * high)
        if float((towards / (1.0 + np.exp(np.clip(middle * towards, -700, 700)))).sum()) > 0:
            low = middle
        else:
            high = middle
    return 1.0 / math.sqrt(low * high)


def ceiling_of(answers: Sequence[CalibrationAnswer], temperature: float) -> float:
    """Return the largest probability that may be claimed after a temperature; 1: any.

    If too few answers would claim more than :data:`SURE`, or too many of them are wrong, nothing above it is claimed.
    """
    claims = [(claim, right) for one in answers if one.decided for claim, right in [_claim(one, temperature, 1.0)]]
    sure = [right for claim, right in claims if claim > SURE]
    return 1.0 if len(sure) >= MIN_SURE and np.mean(sure) >= SURE else SURE


def group_of(answers: Sequence[CalibrationAnswer], temperature: float, ceiling: float) -> CalibrationGroup:
    """Return the claimed and observed accuracy of a group of answers."""
    decided = [one for one in answers if one.decided]
    claims = [_claim(one, temperature, ceiling) for one in decided]
    right = bootstrap_mean([(is_right, one.photograph) for (_, is_right), one in zip(claims, decided, strict=True)])
    bins = reliability(
        [believed(one.log_odds, temperature, ceiling) for one in decided],
        [float(one.first_is_better) for one in decided],
    )
    sure = [is_right for claim, is_right in claims if claim > SURE]
    return CalibrationGroup(
        n=len(decided),
        n_not=len(answers) - len(decided),
        claimed=mean([claim for claim, _ in claims]),
        right=right.value,
        low=right.low,
        high=right.high,
        ece=expected_calibration_error(bins),
        n_sure=len(sure),
        n_sure_right=sum(sure),
    )


def _claim(one: CalibrationAnswer, temperature: float, ceiling: float) -> tuple[float, bool]:
    """Return the probability of the picture that is called better, and whether it is better."""
    p = believed(one.log_odds, temperature, ceiling)
    return max(p, 1.0 - p), (one.log_odds > 0) == one.first_is_better
