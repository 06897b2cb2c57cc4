"""A temperature fitted on some photographs, and how answers on others are reported."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from redaes.backends.base import Request
from redaes.backends.scripted import ScriptedBackend
from redaes.errors import InputError
from redaes.evaluation.confidence import (
    CalibrationAnswer,
    ask,
    ceiling_of,
    fit_half,
    fit_temperature,
    group_of,
    half_of,
)
from redaes.points import believed


def _judged(log_odds: float, first_is_better: bool, number: int = 0, decided: bool = True) -> CalibrationAnswer:
    return CalibrationAnswer(
        photograph=f"photograph {number}",
        factor="light",
        kind="dark",
        mode="fast",
        first_is_better=first_is_better,
        log_odds=log_odds,
        decided=decided,
    )


def _drawn(n: int, temperature: float, seed: int = 0) -> list[CalibrationAnswer]:
    """Answers that would be calibrated after division by ``temperature``."""
    chance = random.Random(seed)
    found = []
    for number in range(n):
        odds = chance.uniform(-5, 5)
        found.append(_judged(odds, chance.random() < 1 / (1 + math.exp(-odds / temperature)), number))
    return found


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    answers = _drawn(20_000, temperature)
    found = fit_temperature([one.log_odds for one in answers], [one.first_is_better for one in answers])
    assert found == pytest.approx(temperature, rel=0.05)
    few = answers[:2000]  # the interval is drawn anew a thousand times: of all of them that takes half a minute
    before, after = group_of(few, 1.0, 1.0), group_of(few, found, 1.0)
    assert after.ece is not None
    assert before.ece is not None
    assert after.ece < 0.03
    assert after.ece <= before.ece + 0.01
    assert after.right == before.right  # which one is better stays


@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=1, max_size=30))
def test_any_answers_have_a_finite_temperature_above_zero(answers: list[tuple[float, bool]]) -> None:
    found = fit_temperature([odds for odds, _ in answers], [label for _, label in answers])
    assert 0 < found < math.inf


def test_exchanging_the_pictures_changes_nothing() -> None:
    odds, labels = [2.0, 1.0, -0.5, 3.0], [True, True, True, False]
    assert fit_temperature(odds, labels) == pytest.approx(
        fit_temperature([-one for one in odds], [not one for one in labels])
    )


@pytest.mark.parametrize(("odds", "labels"), [([], []), ([1.0], []), ([math.nan], [True])])
def test_what_cannot_be_fitted_is_refused(odds: list[float], labels: list[bool]) -> None:
    with pytest.raises(InputError):
        fit_temperature(odds, labels)


def test_claims_that_are_not_deserved_are_cut_off() -> None:
    right = [_judged(4.0, True, n) for n in range(97)]
    assert ceiling_of([*right, *(_judged(4.0, False, n) for n in range(3))], 1.0) == 1.0
    assert ceiling_of([*right, *(_judged(4.0, False, n) for n in range(20))], 1.0) == 0.95
    assert ceiling_of(right[:10], 1.0) == 0.95  # too few to tell
    assert (believed(9.0, 1.0, 0.95), believed(-9.0, 1.0, 0.95)) == (0.95, pytest.approx(0.05))


def test_a_group_counts_what_claims_nothing_apart() -> None:
    answers = [_judged(4.0, True, 0), _judged(-4.0, True, 1), _judged(0.1, True, 2, decided=False)]
    group = group_of(answers, 1.0, 1.0)
    assert (group.n, group.n_not, group.right, group.n_sure, group.n_sure_right) == (2, 1, 0.5, 2, 1)
    assert group.claimed == pytest.approx(1 / (1 + math.exp(-4.0)))
    nothing = group_of(answers[2:], 1.0, 1.0)
    assert (nothing.n, nothing.claimed, nothing.right, nothing.ece) == (0, None, None, None)


class _Brightest(ScriptedBackend):
    """Prefers the brighter picture, and says by how much."""

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        rows = []
        for request in requests:
            first, second = (float(np.asarray(image).mean()) for image in request.images)
            rows.append([(first - second) / 20, -(first - second) / 20, -9.0])
        return np.array(rows)


def test_one_half_is_fitted_and_the_other_reported(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        for name, grey in (("a", 90), ("b", 90 + 4 * (number + 1))):
            Image.new("RGB", (8, 6), (grey, grey, grey)).save(tmp_path / f"{number}{name}.png")
        rows.append((f"{number}a.png", f"{number}b.png", 0 if number % 4 else 1, f"photograph {number}"))
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("first", "second", "p", "group"), *rows, ("0a.png", "1b.png", 0.5, "x")])
    read = [dict(zip(("first", "second", "p", "group"), map(str, row), strict=True)) for row in rows]
    backend = _Brightest()
    answers = list(ask(backend, tmp_path, [*read, {**read[0], "p": "0.5"}], "fast"))
    assert len(answers) == 12  # a tie decides nothing
    assert all(one.log_odds < 0 for one in answers)
    assert sum(one.first_is_better for one in answers) == 3
    temperature, tables = fit_half(answers, backend, "fast", "pairs of the tests")
    halves = {half_of(one.photograph) for one in answers}
    assert halves == {0, 1}
    fitted = [one for one in answers if half_of(one.photograph) == 0 and one.decided]
    assert (temperature.n_pairs, temperature.revision) == (len(fitted), "script")
    assert tables["all"].n + tables["all"].n_not == 12 - sum(half_of(one.photograph) == 0 for one in answers)
    with pytest.raises(InputError, match="one half"):
        fit_half([one for one in answers if half_of(one.photograph) == 0], backend, "fast", "x")
