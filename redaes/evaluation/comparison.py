"""Several runs of one benchmark side by side, with paired intervals; and what others published, kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from redaes import metrics
from redaes.errors import InputError
from redaes.evaluation import resampling
from redaes.evaluation import series_measures as series
from redaes.evaluation.runner import RunResults, read_predictions, read_results
from redaes.evaluation.summary import N_RESAMPLES, SEED, Prediction, SeriesMeasure
from redaes.records import read_json
from redaes.types import Record

_SERIES_MEASURES: dict[str, dict[str, SeriesMeasure]] = {
    "series": {"s_acc": series.best_found, "s_srcc": series.series_srcc},
    "crops": {"mean_srcc": series.series_srcc},
}


class Change(Record):
    """How a measure differs between two runs, on the questions that both were asked."""

    measure: str
    value: FiniteFloat | None
    """Of the run less that of the first one."""
    low: FiniteFloat | None
    high: FiniteFloat | None
    """95 % percentile bootstrap over groups, both runs on the same resamples."""
    n: int
    p: FiniteFloat | None
    """For shares of right answers: McNemar's exact test, which takes the cases for independent."""


class ComparedRun(Record):
    """One run in a comparison."""

    name: str
    results: RunResults
    changes: tuple[Change, ...]
    """Against the first run; empty for it."""


class PublishedResult(Record):
    """A number that somebody else printed."""

    benchmark: str
    system: str
    values: dict[str, FiniteFloat]
    source: str
    protocol: str
    """What is known of how it was got, as far as it can be compared."""


def compare(folders: Sequence[Path]) -> list[ComparedRun]:
    """Runs of one benchmark, the first of which the others are compared with.

    In a correlation, only pictures that both runs answered are compared; the number is reported.

    Args:
        folders: of finished runs.

    Raises:
        InputError: fewer than two runs, or runs of different labels.
        RecordError: a run that is not finished or was altered.
    """
    if len(folders) < 2:
        raise InputError("name at least two folders of runs")
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    found = [read_results(folder) for folder in folders]
    first = found[0].run
    for folder, results in zip(folders[1:], found[1:], strict=True):
        for key in ("benchmark", "labels_sha256", "n_missing"):
            if results.run[key] != first[key]:
                values = f"{results.run[key]} and {first[key]}"
                raise InputError(f"{folder} and {folders[0]} are not of the same labels: {key} is {values}")
    sides = [ComparedRun(name=names[0], results=found[0], changes=())]
    for name, folder, results in zip(names[1:], folders[1:], found[1:], strict=True):
        sides.append(
            ComparedRun(name=name, results=results, changes=tuple(_changes(first["kind"], folders[0], folder)))
        )
    return sides


def published(benchmark: str) -> list[PublishedResult]:
    """What others printed for a benchmark; never mixed with what was measured here.

    Raises:
        RecordError: the packaged file is damaged.
    """
    found = read_json(Path(str(files("redaes.evaluation") / "published.json")))
    return [PublishedResult.model_validate(entry) for entry in found if entry["benchmark"] == benchmark]


def mean_over_categories(values: Sequence[tuple[float, float, float, float]]) -> tuple[float, float]:
    """FGAesthetics' two aggregates, from (pair accuracy, pair F1, s-Acc, s-SRCC) of each category.

    >>> table = [(.779, .779, .753, .729), (.709, .707, .561, .482), (.774, .773, .488, .590)]
    >>> [round(value, 4) for value in mean_over_categories(table)]
    [0.7535, 0.6005]

    Raises:
        InputError: no categories.
    """
    if not values:
        raise InputError("there are no categories to average over")
    pair = sum((accuracy + f1) / 2 for accuracy, f1, _, _ in values) / len(values)
    whole = sum((accuracy + srcc) / 2 for _, _, accuracy, srcc in values) / len(values)
    return pair, whole


def _changes(kind: str, before: Path, after: Path) -> list[Change]:
    if kind == "scores":
        old, new = (read_predictions(folder / "pictures.csv") for folder in (before, after))
        return [_correlation_change(old, new, "srcc"), _correlation_change(old, new, "plcc")]
    found = []
    if kind in ("pairs", "series"):
        old, new = (read_predictions(folder / "pairs.csv") for folder in (before, after))
        both = [(a, b) for a, b in zip(old, new, strict=True) if a.label != 0.5]
        right = [[_right(pair) for pair in side] for side in ([a for a, _ in both], [b for _, b in both])]
        found.append(_mean_change("pair_accuracy", right[0], right[1], [a.cluster for a, _ in both]))
    if kind in ("series", "crops"):
        old, new = (read_predictions(folder / "pictures.csv") for folder in (before, after))
        groups = {one.group: one.cluster for one in sorted(old, key=lambda one: one.group)}
        for name, measure in _SERIES_MEASURES[kind].items():
            sides = [[_measured(measure, side, group) for group in groups] for side in (_by_group(old), _by_group(new))]
            # Undefined by the labels, which are the same on both sides.
            kept = [
                (a, b, cluster)
                for a, b, cluster in zip(*sides, groups.values(), strict=True)
                if a is not None and b is not None
            ]
            rows = [a for a, _, _ in kept], [b for _, b, _ in kept], [cluster for _, _, cluster in kept]
            found.append(_mean_change(name, *rows))
    return found


def _correlation_change(old: Sequence[Prediction], new: Sequence[Prediction], kind: resampling.Correlation) -> Change:
    others = {one.id: one.predicted for one in new}
    rows = []
    for one in old:
        after = others.get(one.id)
        if one.predicted is not None and after is not None:
            rows.append((one.predicted, after, one.label, one.cluster))
    found = resampling.correlation_change(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        kind,
        n=N_RESAMPLES,
        seed=SEED,
    )
    return Change(measure=f"{kind}_answered", value=found.estimate, low=found.low, high=found.high, n=len(rows), p=None)


def _mean_change(measure: str, old: Sequence[float], new: Sequence[float], groups: Sequence[str]) -> Change:
    found = metrics.paired_bootstrap(old, new, groups, _mean, n=N_RESAMPLES, seed=SEED)
    shares = set(old) | set(new) <= {0.0, 1.0}
    p = resampling.mcnemar([bool(a) for a in old], [bool(b) for b in new]).p if shares else None
    return Change(measure=measure, value=found.estimate, low=found.low, high=found.high, n=len(old), p=p)


def _right(pair: Prediction) -> float:
    return float(pair.predicted is not None and pair.predicted * (pair.label - 0.5) > 0)


def _by_group(pictures: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    groups: dict[str, list[Prediction]] = {}
    for one in pictures:
        groups.setdefault(one.group, []).append(one)
    return groups


def _measured(measure: SeriesMeasure, groups: dict[str, list[Prediction]], group: str) -> float | None:
    members = groups.get(group, [])
    value = measure([one.predicted for one in members], [one.label for one in members])
    return None if value is None else float(value)


def _mean(rows: NDArray[Any]) -> float | None:
    return float(np.mean(rows)) if len(rows) else None
