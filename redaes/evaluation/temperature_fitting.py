"""Fits how far a model's probabilities can be believed, on pairs whose better picture is known.

One temperature is fitted for each mode on half of the photographs and reported on the other half; docs/confidence.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from redaes.assessor import Assessor
from redaes.backends.base import Backend
from redaes.backends.temperatures import Temperature
from redaes.errors import InputError
from redaes.evaluation.confidence import (
    CalibrationAnswer,
    CalibrationGroup,
    ceiling_of,
    fit_temperature,
    group_of,
    half_of,
)
from redaes.images import load_image
from redaes.prompts import Mode

AT_ONCE = 32
"""Pairs that are asked in one batch."""


def ask(
    backend: Backend,
    folder: Path,
    rows: Sequence[Mapping[str, str]],
    mode: Mode,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[CalibrationAnswer]:
    """The model's answers to the pairs that have a better picture; those without a probability are left out.

    Args:
        backend: the model.
        folder: where the pictures of the rows are.
        rows: with first, second, p (1 or 0) and group (the photograph); for the tables, also factor and kind.
        mode: how the model is asked.
        progress: called with pairs asked and in all.

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
    """The temperature of the first half of the photographs, and what becomes of the other half with it.

    Args:
        answers: of :func:`ask`.
        backend: the model that gave them.
        mode: how it was asked.
        says: what the pairs are, in words.

    Raises:
        InputError: a half holds no answer that calls a picture better.
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
