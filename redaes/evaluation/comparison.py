"""Compare several runs of one benchmark with paired intervals, and list published results apart from them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from pydantic import FiniteFloat

from redaes.errors import InputError
from redaes.estimates import MeasureChange, mean_change
from redaes.evaluation import resampling
from redaes.evaluation.runner import RunResults, read_predictions, read_results
from redaes.evaluation.series_measures import best_found, series_srcc
from redaes.evaluation.summary import N_RESAMPLES, SEED, Prediction, SeriesMeasure, by_group
from redaes.file_writing import read_json
from redaes.types import Record

_SERIES_MEASURES: dict[str, dict[str, SeriesMeasure]] = {
    "series": {"s_acc": best_found, "s_srcc": series_srcc},
    "crops": {"mean_srcc": series_srcc},
}


class ComparedRun(Record):
    """One run in a comparison."""

    name: str
    results: RunResults
    changes: tuple[MeasureChange, ...]
    """Changes against the first run; empty for the first run itself."""


class PublishedResult(Record):
    """A result that others published."""

    benchmark: str
    system: str
    values: dict[str, FiniteFloat]
    source: str
    protocol: str
    """What is known of its protocol, as far as it matters for a comparison."""


def compare(folders: Sequence[Path]) -> list[ComparedRun]:
    """Return runs of one benchmark, compared with the first of them.

    Correlations are compared only over pictures that both runs answered; their number is reported.

    Args:
        folders: folders of finished runs.

    Raises:
        InputError: there are fewer than two runs, or their labels differ.
        RecordError: a run is not finished or was altered.
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
    """Return the published results of others for a benchmark; they are never mixed with our own.

    Raises:
        RecordError: the packaged file is damaged.
    """
    found = read_json(Path(str(files("redaes.evaluation") / "published.json")))
    return [PublishedResult.model_validate(entry) for entry in found if entry["benchmark"] == benchmark]


def mean_over_categories(values: Sequence[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Return FGAesthetics' two aggregates, from (pair accuracy, pair F1, s-Acc, s-SRCC) of each category.

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


def _changes(kind: str, before: Path, after: Path) -> list[MeasureChange]:
    if kind == "scores":
        old, new = (read_predictions(folder / "pictures.csv") for folder in (before, after))
        return [_correlation_change(old, new, "srcc"), _correlation_change(old, new, "plcc")]
    found = []
    if kind in ("pairs", "series"):
        old, new = (read_predictions(folder / "pairs.csv") for folder in (before, after))
        rows = [
            (float(a.right), float(b.right or False), a.cluster)
            for a, b in zip(old, new, strict=True)
            if a.right is not None
        ]
        found.append(_mean_change("pair_accuracy", rows))
    if kind in ("series", "crops"):
        old, new = (read_predictions(folder / "pictures.csv") for folder in (before, after))
        first, second = by_group(sorted(old, key=lambda one: one.group)), by_group(new)
        for name, measure in _SERIES_MEASURES[kind].items():
            rows = []
            for group, (predicted, labels, cluster) in first.items():
                values = measure(predicted, labels), measure(*second.get(group, ([], []))[:2])
                if values[0] is not None and values[1] is not None:  # undefined by the labels, the same on both sides
                    rows.append((float(values[0]), float(values[1]), cluster))
            found.append(_mean_change(name, rows))
    return found


def _correlation_change(
    old: Sequence[Prediction], new: Sequence[Prediction], kind: resampling.Correlation
) -> MeasureChange:
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
        n_resamples=N_RESAMPLES,
        seed=SEED,
    )
    return MeasureChange(measure=f"{kind}_answered", value=found.value, low=found.low, high=found.high, n=len(rows))


def _mean_change(measure: str, rows: Sequence[tuple[float, float, str]]) -> MeasureChange:
    """Return the change of a mean from rows of value before, value after and cluster."""
    before, after, clusters = [a for a, _, _ in rows], [b for _, b, _ in rows], [cluster for _, _, cluster in rows]
    return mean_change(measure, before, after, clusters, n_resamples=N_RESAMPLES, seed=SEED)
