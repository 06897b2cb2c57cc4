"""Compute the figures that each kind of benchmark reports, with intervals; failures count as wrong.

A picture without a usable answer cannot be ranked. In correlations over pictures it counts as placed at random: the
correlation over the answered pictures is multiplied by their share [ours]; the plain correlation is reported too. In
pairs, series and crops it is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from redaes import metrics
from redaes.estimates import Estimate, bootstrap, bootstrap_mean
from redaes.evaluation import calibration
from redaes.evaluation.assessors.base import Arity, CompactAnswer
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.evaluation.benchmarks.base import BenchmarkPicture
from redaes.evaluation.questions import QuestionPlan, differences_of, scores_of
from redaes.evaluation.resampling import Correlation, correlation_interval
from redaes.evaluation.series_measures import (
    Labels,
    Predicted,
    acyclic_triples,
    best_found,
    chance_series_accuracy,
    series_srcc,
    top_crops_accuracy,
)
from redaes.evidence.rationale_truth import Reason, counted
from redaes.types import Record

N_RESAMPLES = 1000
"""Number of resamples of the intervals: 95 % percentile bootstrap over sources, or over groups without a source."""

SEED = 0
CROP_RANKS = ((1, 5), (2, 5), (3, 5), (4, 5), (1, 10), (2, 10), (3, 10), (4, 10))
"""k and n of Acc_k/n, as in GAIC's papers."""


Groups = dict[str, tuple[list[float | None], list[float], str]]
"""Predictions, labels and cluster by series."""

SeriesMeasure = Callable[[Predicted, Labels], "float | None"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Label and prediction of one picture or pair.

    Attributes:
        id: id of the picture; of a pair, both with a tab between.
        group: series, source or photograph.
        label: score of a picture, or P(first is better) of a pair.
        predicted: predicted score or difference; None: a failure.
        probability: P(first is better), if there is one.
        source: common source of several groups.
        factor: the factor that decides a pair, if it is known and only one.
        supported: number of supported statements of the reasoning; None: no reasoning was checked.
        contradicted: number of contradicted statements; None: no reasoning was checked.
        unmeasured: number of statements about what is not measured; None: no reasoning was checked.
    """

    id: str
    group: str
    label: FiniteFloat
    predicted: FiniteFloat | None
    probability: FiniteFloat | None = None
    source: str | None = None
    factor: str | None = None
    supported: int | None = None
    contradicted: int | None = None
    unmeasured: int | None = None

    @property
    def reason(self) -> Reason | None:
        """How true the reasoning is; None: none was checked."""
        if self.supported is None or self.contradicted is None:
            return None
        return counted(self.supported, self.contradicted, self.unmeasured or 0)

    @property
    def right(self) -> bool | None:
        """Whether the verdict on a pair is right; None: people split evenly."""
        if self.label == 0.5:
            return None
        return self.predicted is not None and self.predicted * (self.label - 0.5) > 0

    @property
    def cluster(self) -> str:
        """The cluster that intervals resample."""
        return self.group if self.source is None else self.source


class RunSummary(Record):
    """The figures of a run."""

    n_questions: int
    n_failed: int
    """Number of questions without a usable answer."""
    failures: dict[str, int]
    """Number of failures by reason."""
    readers: dict[str, int] = Field(default_factory=dict)
    """Number of questions whose answers were read as variants of the form, by reader (``lenient/v2``)."""
    changes: dict[str, int] = Field(default_factory=dict)
    """Number of questions of which a server could not use a part, by part: ``without seed``, ``temperature=1``."""
    n_missing: int
    """Number of pictures whose files are missing."""
    n_unlabelled: int
    n_contrary: int = 0
    """Number of labelled pairs in which people prefer the picture that the order of the series puts lower."""
    n_groups: int
    n_calls: int = 0
    """Number of questions to the model for placing pictures among references; 0: nothing was placed."""
    n_unanswered: int = 0
    """Number of those questions without a usable answer."""
    metrics: dict[str, Estimate]
    reliability: tuple[calibration.ReliabilityBin, ...] = ()
    """The reliability diagram; empty: there are no probabilities."""
    by_factor: dict[str, dict[str, Estimate]] = Field(default_factory=dict)
    """``pair_accuracy``, and ``swap_consistency`` if both orders were asked, by deciding factor."""


def summarise(
    loaded: LoadedBenchmark, arity: Arity, plan: QuestionPlan, given: Mapping[str, CompactAnswer]
) -> tuple[RunSummary, list[Prediction], list[Prediction]]:
    """Return the numbers of a run, the predictions for pictures, and those for pairs.

    Args:
        loaded: the benchmark.
        arity: number of pictures that the assessor was shown.
        plan: the questions.
        given: its answers, one for each question.
    """
    kind = loaded.benchmark.kind
    scores = {} if kind == "pairs" and arity != "one" else scores_of(loaded, arity, plan, given)
    pictures = [
        Prediction(
            id=picture.id,
            group=picture.group,
            label=picture.score,
            predicted=scores[picture.id],
            source=picture.source,
        )
        for picture in loaded.labels.pictures
        if picture.score is not None and picture.id in scores
    ]
    by_id = {picture.id: picture for picture in loaded.labels.pictures}
    absent = set(loaded.missing)
    there = {picture.id for picture in loaded.labels.pictures if picture.file not in absent}
    labelled = [pair for pair in loaded.labels.pairs if pair.first in there and pair.second in there]
    pairs = [
        Prediction(
            id=f"{pair.first}\t{pair.second}",
            group=by_id[pair.first].group,
            label=pair.p,
            predicted=difference,
            probability=probability,
            source=by_id[pair.first].source,
            factor=pair.factor,
            **_statements(statements),
        )
        for pair, (difference, probability, statements) in zip(
            labelled, differences_of(loaded, arity, plan, given, scores), strict=True
        )
    ]
    found: dict[str, Estimate] = {}
    bins: list[calibration.ReliabilityBin] = []
    if kind == "scores":
        found |= score_metrics(pictures)
    if kind in ("pairs", "series"):
        found |= pair_metrics(pairs) | reason_metrics(pairs)
        bins = _reliability(pairs)
        if bins:
            error = calibration.expected_calibration_error(bins)
            found["expected_calibration_error"] = Estimate(value=error, n=sum(one.n for one in bins))
    if kind == "series":
        found |= series_metrics(pictures)
    if kind == "crops":
        found |= crop_metrics(pictures)
    if arity == "two":
        found |= _consistency(plan, given, by_id)
    failed = Counter(answer.failure for answer in given.values() if answer.failure is not None)
    n_failed = sum(failed.values())
    found["failure_rate"] = Estimate(value=n_failed / len(given) if given else None, n=len(given))
    return (
        RunSummary(
            n_questions=len(given),
            n_failed=n_failed,
            failures={str(reason): count for reason, count in sorted(failed.items(), key=lambda item: str(item[0]))},
            readers=_counted(answer.reader for answer in given.values() if answer.reader is not None),
            changes=_counted(change for answer in given.values() for change in answer.changes),
            n_missing=len(loaded.missing),
            n_unlabelled=len(loaded.labels.unlabelled),
            n_contrary=loaded.labels.n_contrary,
            n_groups=len({picture.group for picture in loaded.labels.pictures}),
            n_calls=sum(answer.calls for answer in given.values()),
            n_unanswered=sum(answer.unanswered for answer in given.values()),
            metrics=found,
            by_factor=_by_factor(pairs, given) if kind == "pairs" else {},
            reliability=tuple(bins),
        ),
        pictures,
        pairs,
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def score_metrics(pictures: Sequence[Prediction]) -> dict[str, Estimate]:
    """Return correlations over pictures. ``…_answered`` is over the answered ones; ``…_mapped`` after the logistic
    map.
    """
    answered = [(one.predicted, one.label, one.cluster) for one in pictures if one.predicted is not None]
    x, y = [row[0] for row in answered], [row[1] for row in answered]
    clusters = [row[2] for row in answered]
    n, share = len(pictures), len(answered) / len(pictures) if pictures else 0.0
    found: dict[str, Estimate] = {}
    kinds: tuple[Correlation, ...] = ("srcc", "plcc")
    for kind in kinds:
        interval = correlation_interval(x, y, clusters, kind, n_resamples=N_RESAMPLES, seed=SEED)
        low, high = _times(interval.low, share), _times(interval.high, share)
        found[kind] = Estimate(value=_times(interval.value, share), low=low, high=high, n=n)
        found[f"{kind}_answered"] = interval.over(len(answered))
    fitted = calibration.fit_logistic(x, y)
    found["plcc_mapped_answered"] = Estimate(
        value=None if fitted is None else metrics.plcc(fitted(x), y), n=len(answered)
    )
    found["rmse_mapped_answered"] = Estimate(
        value=None if fitted is None else metrics.rmse(fitted(x), y), n=len(answered)
    )
    found["krcc"] = Estimate(value=_times(metrics.krcc(x, y), share), n=n)
    return found


def pair_metrics(pairs: Sequence[Prediction]) -> dict[str, Estimate]:
    """Return the accuracy and F1 over the pairs on which people do not split evenly; a predicted tie is wrong."""
    decided = [one for one in pairs if one.label != 0.5]
    labels = [one.label - 0.5 for one in decided]
    predicted = [one.predicted for one in decided]
    return {
        "pair_accuracy": _mean_of([(float(one.right or False), one.cluster) for one in decided]),
        "pair_f1": Estimate(value=metrics.pair_f1(predicted, labels, tie_margin=0.0), n=len(decided)),
    }


def reason_metrics(pairs: Sequence[Prediction]) -> dict[str, Estimate]:
    """Return how true the reasonings shown for pairs are; empty: none was checked.

    ``claims_true``: of the statements that can be measured, those that the pixels support; ``claims_measurable``: of
    all statements, those that can be; ``reason_false_though_right``: of the right verdicts, those whose reason is false
    (:data:`redaes.evidence.rationale_truth.Truth`).
    """
    told = [(one, one.reason) for one in pairs if one.reason is not None]
    if not told:
        return {}
    counts = [reason.counts for _, reason in told]
    clusters = [one.cluster for one, _ in told]
    right = [(float(reason.truth == "false"), one.cluster) for one, reason in told if one.right]

    def share(part: Callable[[NDArray[Any]], float], whole: Callable[[NDArray[Any]], float]) -> Estimate:
        def ratio(rows: NDArray[Any]) -> float | None:
            return part(rows) / whole(rows) if whole(rows) else None

        found = bootstrap(counts, clusters, ratio, n_resamples=N_RESAMPLES, seed=SEED)
        return found.over(int(whole(np.array(counts))))

    def measured(rows: NDArray[Any]) -> float:
        return float(rows[:, :2].sum())

    return {
        "claims_true": share(lambda rows: float(rows[:, 0].sum()), measured),
        "claims_measurable": share(measured, lambda rows: float(rows.sum())),
        "reason_false_though_right": _mean_of(right),
    }


def _statements(counts: tuple[int, int, int] | None) -> dict[str, int]:
    return {} if counts is None else dict(zip(("supported", "contradicted", "unmeasured"), counts, strict=True))


def _by_factor(pairs: Sequence[Prediction], given: Mapping[str, CompactAnswer]) -> dict[str, dict[str, Estimate]]:
    found: dict[str, dict[str, Estimate]] = {}
    for factor in sorted({one.factor for one in pairs if one.factor is not None}):
        members = [one for one in pairs if one.factor == factor and one.label != 0.5]
        found[factor] = {"pair_accuracy": pair_metrics(members)["pair_accuracy"]}
        asked = [(given.get(one.id), one.cluster) for one in members]
        orders = [
            (float(answer.order_consistent is True), cluster)
            for answer, cluster in asked
            if answer is not None and (answer.wrote or answer.order_consistent is not None)
        ]
        if orders:
            found[factor]["swap_consistency"] = _mean_of(orders)
    return found


def series_metrics(pictures: Sequence[Prediction]) -> dict[str, Estimate]:
    """Return the s-Acc, whether a best picture is among the first two, s-SRCC, and the chance level of s-Acc."""
    groups = by_group(pictures)
    found = _series_means(
        groups,
        {
            "s_acc": best_found,
            "s_top2": partial(best_found, k=2),
            "s_srcc": series_srcc,
        },
    )
    chance = chance_series_accuracy([labels for _, labels, _ in groups.values()])
    found["s_acc_chance"] = Estimate(value=chance, n=found["s_acc"].n)
    return found


def crop_metrics(pictures: Sequence[Prediction]) -> dict[str, Estimate]:
    """Return SRCC within each photograph, averaged, and Acc_k/n."""
    measures: dict[str, SeriesMeasure] = {"mean_srcc": series_srcc}
    for k, n in CROP_RANKS:
        measures[f"acc_{k}_{n}"] = partial(top_crops_accuracy, k=k, n=n)
    return _series_means(by_group(pictures), measures)


def _series_means(groups: Groups, measures: Mapping[str, SeriesMeasure]) -> dict[str, Estimate]:
    """Return the mean of each measure over the series in which it is defined."""
    found = {}
    for name, measure in measures.items():
        values = [
            (float(value), cluster)
            for predicted, labels, cluster in groups.values()
            if (value := measure(predicted, labels)) is not None
        ]
        found[name] = _mean_of(values)
    return found


def _consistency(
    plan: QuestionPlan, given: Mapping[str, CompactAnswer], by_id: Mapping[str, BenchmarkPicture]
) -> dict[str, Estimate]:
    """Return how often both orders name the same picture, and how often three pictures form no cycle."""
    found = {}
    asked = [
        (float(answer.order_consistent is True), by_id[keys[0][0]].cluster)
        for keys in plan.keys
        if (answer := given["\t".join(key[0] for key in keys)]).wrote or answer.order_consistent is not None
    ]
    if asked:
        found["swap_consistency"] = _mean_of(asked)
    edges: dict[str, list[tuple[str, str, float]]] = {}
    for keys in plan.keys:
        first, second = keys[0][0], keys[1][0]
        value = given[f"{first}\t{second}"].value
        if value is not None and second in by_id and by_id[first].group == by_id[second].group:
            edges.setdefault(by_id[first].group, []).append((first, second, value))
    right = total = 0
    for members in edges.values():
        places = {name: place for place, name in enumerate({name: None for a, b, _ in members for name in (a, b)})}
        share = acyclic_triples(len(places), [(places[a], places[b], delta, 1.0) for a, b, delta in members])
        right, total = right + share.n_right, total + share.n
    if total:
        found["cycle_rate"] = Estimate(value=1.0 - right / total, n=total)
    return found


def _reliability(pairs: Sequence[Prediction]) -> list[calibration.ReliabilityBin]:
    offered = [(one.probability, one.label) for one in pairs if one.probability is not None]
    if not offered:
        return []
    return calibration.reliability([p for p, _ in offered], [label for _, label in offered])


def by_group(pictures: Iterable[Prediction]) -> Groups:
    """Return predictions, labels and cluster of each series or photograph."""
    groups: Groups = {}
    for one in pictures:
        predicted, labels, _ = groups.setdefault(one.group, ([], [], one.cluster))
        predicted.append(one.predicted)
        labels.append(one.label)
    return groups


def _mean_of(rows: Sequence[tuple[float, str]]) -> Estimate:
    return bootstrap_mean(rows, n_resamples=N_RESAMPLES, seed=SEED).over(len(rows))


def _times(value: float | None, share: float) -> float | None:
    return None if value is None else value * share
