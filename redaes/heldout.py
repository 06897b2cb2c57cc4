"""How well a model judges held-out pairs of a RED dataset.

All pairs are asked in the fast mode and a random subset in the reasoned mode, each in both orders. No pair is dropped:
one without a usable answer counts as wrong, and labelled ties are counted apart and left out of accuracies (see
:mod:`redaes.metrics`). The outcome of every pair is kept, so that two evaluations can be compared pair by pair.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
from pydantic import FiniteFloat

from redaes import metrics
from redaes.assessing.orders import stated, supporting
from redaes.assessor import Assessor, Result
from redaes.backends.base import Backend
from redaes.errors import InputError
from redaes.estimates import Estimate, MeasureChange, Proportion, bootstrap, mean, mean_change, proportion
from redaes.prompts import Mode
from redaes.records import PairRecord, picture_of
from redaes.types import TIE_MARGIN, Delta, Factor, Order, Pair, Record, Sampling, Winner, winner_of

Progress = Callable[[int, int], None]
Cluster = Literal["photograph", "group"]

ENOUGH_PHOTOGRAPHS = 10
"""With at least this many photographs, intervals resample photographs. With fewer they resample groups (views of a
photograph), which gives narrower intervals than new photographs would. The record says which was done.
"""

CHUNK_PAIRS = 16
"""Number of pairs that are handed to the model between two progress reports."""


class PairOutcome(Record):
    """The outcome of one pair in one mode."""

    pair: str
    group: str
    source: str
    factors: tuple[Factor, ...]
    """The factors that decide the pair; empty for a tie."""
    label: Delta
    """True difference, first minus second, in points."""
    delta: Delta | None
    """The model's difference, from both orders, in points; None: there is no usable answer."""
    probability: FiniteFloat | None
    """P(first is better)."""
    order_consistent: bool | None
    """Whether both orders prefer the same picture; None: fewer than two orders were answered."""
    asked: bool
    """Whether the model was asked; two equal files are a tie without a question."""

    @property
    def decided(self) -> bool:
        """Whether the label is not a tie."""
        return abs(self.label) >= TIE_MARGIN

    @property
    def right(self) -> bool:
        """Whether the model's difference has the label's sign; only for decided pairs."""
        return self.delta is not None and self.delta * self.label > 0


class WrittenAnswer(Record):
    """One written answer to a pair, in one order and in that order's letters."""

    order: Order
    failure: str | None
    winner: Winner | None
    factors: tuple[Factor, ...]
    """The factors that its reasoning calls decisive."""
    right_factor: bool
    """Whether it names exactly the factors that decide, and the right side as better in them."""
    rationale: str | None
    text: str
    """The answer as the model wrote it."""


class ReasonedOutcome(Record):
    """The outcome of one pair in the reasoned mode, judged by what the model writes, not by the verdict that is read
    from probabilities.
    """

    outcome: PairOutcome
    """Difference and consistency of the written answers; only the probability is the one that was read."""
    winner: Winner | None
    rationale: str | None
    """The reasoning that is shown for the pair: the first that agrees with the winner."""
    rationale_order: Order | None
    answers: tuple[WrittenAnswer, ...]


class FastSummary(Record):
    """Results of the fast mode over all pairs."""

    accuracy: Proportion
    by_factor: dict[Factor, Proportion]
    srcc: Estimate
    """Spearman's correlation of the signed differences; labelled ties are included."""
    order_consistency: Proportion


class ReasonedSummary(Record):
    """Results of the reasoned mode over the drawn pairs."""

    accuracy: Proportion
    """Over pairs."""
    parse_rate: Proportion
    """Share of answers that could be read, over two answers for each pair."""
    factor_accuracy: Proportion
    """Share of answers that name the right factors, over the pairs whose deciding factors are known."""
    order_consistency: Proportion
    """Over pairs."""
    mean_words: FiniteFloat | None
    """Mean number of words of the reasonings; None: there is no reasoning."""
    n_distinct: int
    """Number of different reasonings among the ``parse_rate.n_right`` that were read."""
    failures: dict[str, int]


class HeldOut(Record):
    """An evaluation on held-out pairs, with everything that is needed to repeat it."""

    model: str
    revision: str
    prompt_ids: tuple[str, ...]
    sampling: Sampling
    seed: int
    n_pairs: int
    n_photographs: int
    cluster: Cluster
    """The units that the intervals resample."""
    n_clusters: int
    fast: FastSummary
    reasoned: ReasonedSummary | None
    """Results of the reasoned mode; None: no pair was asked in it."""
    outcomes: tuple[PairOutcome, ...]
    """Outcomes of the fast mode, in the order of the pairs."""
    reasoned_outcomes: tuple[ReasonedOutcome, ...]

    def cluster_of(self, one: PairOutcome | Pair) -> str:
        """Return the cluster of a pair that intervals resample together."""
        return _cluster_of(one, self.cluster)

    def outcomes_of(self, mode: Mode) -> list[PairOutcome]:
        """Return the outcomes of one mode, in the order of the pairs."""
        return list(self.outcomes) if mode == "fast" else [item.outcome for item in self.reasoned_outcomes]


def evaluate(
    backend: Backend,
    records: Sequence[PairRecord],
    *,
    n_reasoned: int,
    sampling: Sampling,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> HeldOut:
    """Evaluate a model on every pair, and summarize the outcomes.

    Args:
        backend: the model.
        records: labelled pairs.
        n_reasoned: number of pairs that are asked in the reasoned mode; all pairs if there are fewer.
        sampling: how reasoned answers are sampled.
        seed: seed for the choice of the reasoned pairs and for the intervals' resamples.
        progress: called with the number of pairs that are done and the number of all pairs, both modes together.

    Raises:
        InputError: there are no pairs, pairs without labels or repeated pairs, or ``n_reasoned`` is negative.
        BackendError: the model cannot be asked.
    """
    _check(records, n_reasoned)
    drawn = draw(records, n_reasoned, seed)
    total = len(records) + len(drawn)
    progress(0, total)
    assessor = Assessor(backend, sampling=sampling, reader="strict", form="text")
    outcomes = fast_outcomes(assessor, records, lambda done: progress(done, total))
    reasoned = reasoned_outcomes(assessor, drawn, lambda done: progress(len(records) + done, total))
    return put_together(assessor, outcomes, reasoned, seed)


def place_drawn(seed: int, name: str) -> bytes:
    """Return a sort key that puts pairs or pictures into a random order that depends only on the seed and their ids."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def draw(records: Sequence[PairRecord], n: int, seed: int) -> list[PairRecord]:
    """Return the first ``n`` pairs in the order of :func:`place_drawn`."""
    return sorted(records, key=lambda record: place_drawn(seed, record.pair.id))[:n]


def fast_outcomes(
    assessor: Assessor, records: Sequence[PairRecord], progress: Callable[[int], None] = lambda done: None
) -> list[PairOutcome]:
    """Return the outcomes of labelled pairs in the fast mode, in their order.

    Raises:
        BackendError: the model cannot be asked.
    """
    return [_outcome(record, result) for record, result in _ask(assessor, records, "fast", progress)]


def reasoned_outcomes(
    assessor: Assessor, records: Sequence[PairRecord], progress: Callable[[int], None] = lambda done: None
) -> list[ReasonedOutcome]:
    """Return the outcomes of labelled pairs in the reasoned mode, in their order.

    Raises:
        BackendError: the model cannot be asked.
    """
    return [reasoned_of(record, result) for record, result in _ask(assessor, records, "reasoned", progress)]


def put_together(
    assessor: Assessor, outcomes: Sequence[PairOutcome], reasoned: Sequence[ReasonedOutcome], seed: int
) -> HeldOut:
    """Return an evaluation from the outcomes of its pairs.

    Args:
        assessor: the assessor that was asked.
        outcomes: outcomes of the fast mode.
        reasoned: outcomes of the reasoned mode.
        seed: the seed that chose the reasoned pairs; it also seeds the intervals' resamples.
    """
    n_photographs = len({item.source for item in outcomes})
    cluster: Cluster = "photograph" if n_photographs >= ENOUGH_PHOTOGRAPHS else "group"
    modes: tuple[Mode, ...] = ("fast", "reasoned") if reasoned else ("fast",)
    return HeldOut(
        model=assessor.backend.model,
        revision=assessor.backend.revision,
        prompt_ids=tuple(sorted(assessor.prompt_of(mode).id for mode in modes)),
        sampling=assessor.sampling,
        seed=seed,
        n_pairs=len(outcomes),
        n_photographs=n_photographs,
        cluster=cluster,
        n_clusters=len({_cluster_of(item, cluster) for item in outcomes}),
        fast=_sum_up_fast(outcomes, cluster, seed),
        reasoned=_sum_up_reasoned(reasoned, cluster, seed) if reasoned else None,
        outcomes=tuple(outcomes),
        reasoned_outcomes=tuple(reasoned),
    )


def paired_change(before: HeldOut, after: HeldOut, mode: Mode = "fast") -> MeasureChange:
    """Return the change of the accuracy with its interval, for which both sides resample the same pairs.

    Raises:
        InputError: the evaluations are not of the same labelled pairs.
    """
    old, new = (side.outcomes_of(mode) for side in (before, after))
    if [(item.pair, item.label) for item in old] != [(item.pair, item.label) for item in new]:
        raise InputError("the two evaluations are of different pairs; evaluate both on the same dataset and seed")
    rows = [(a, b) for a, b in zip(old, new, strict=True) if a.decided]
    return mean_change(
        f"{mode} accuracy",
        [float(a.right) for a, _ in rows],
        [float(b.right) for _, b in rows],
        [before.cluster_of(a) for a, _ in rows],
        seed=before.seed,
    )


def _check(records: Sequence[PairRecord], n_reasoned: int) -> None:
    if not records:
        raise InputError("there are no pairs to evaluate on; give a dataset with a test split")
    if n_reasoned < 0:
        raise InputError(f"n_reasoned is {n_reasoned}; give 0 or more")
    unlabelled = [record.pair.id for record in records if record.pair.delta is None]
    if unlabelled:
        raise InputError(f"{len(unlabelled)} pairs have no label, such as {unlabelled[0]}; leave them out")
    counted = Counter(record.pair.id for record in records)
    repeated = [name for name, count in counted.items() if count > 1]
    if repeated:
        raise InputError(f"pair {repeated[0]} comes {counted[repeated[0]]} times; every pair counts once")


def _ask(
    assessor: Assessor, records: Sequence[PairRecord], mode: Mode, progress: Callable[[int], None]
) -> Iterator[tuple[PairRecord, Result]]:
    for start in range(0, len(records), CHUNK_PAIRS):
        chunk = records[start : start + CHUNK_PAIRS]
        pictures = [(picture_of(record, "first"), picture_of(record, "second")) for record in chunk]
        yield from zip(chunk, assessor.compare_many(pictures, mode), strict=True)
        progress(start + len(chunk))


def _label(record: PairRecord) -> float:
    delta = record.pair.delta
    if delta is None:
        raise AssertionError("pairs without labels are refused at the start")
    return delta


def _outcome(record: PairRecord, result: Result) -> PairOutcome:
    return PairOutcome(
        pair=record.pair.id,
        group=record.pair.group,
        source=record.pair.source,
        factors=record.pair.factors,
        label=_label(record),
        delta=result.delta,
        probability=result.probability,
        order_consistent=result.order_consistent,
        asked=bool(result.comparisons),
    )


def _written(record: PairRecord, result: Result) -> PairOutcome:
    """Return the outcome of the written answers about a pair, both orders together. A result's verdict is read from
    probabilities, so it does not show what the model writes when it gives reasons.
    """
    if not result.comparisons:
        return _outcome(record, result)
    said = stated(result.comparisons)
    delta, consistent = (None, None) if said is None else (said.delta, said.consistent)
    return _outcome(record, result).model_copy(update={"delta": delta, "order_consistent": consistent})


def reasoned_of(record: PairRecord, result: Result) -> ReasonedOutcome:
    """Return the outcome of a labelled pair in the reasoned mode."""
    answers = []
    for comparison in result.comparisons:
        verdict = comparison.verdict
        rationale = None if verdict is None else verdict.rationale
        pair = record.pair if comparison.order == "forward" else record.pair.swapped()
        answers.append(
            WrittenAnswer(
                order=comparison.order,
                failure=comparison.failure,
                winner=None if verdict is None else verdict.winner,
                factors=() if rationale is None else rationale.factors,
                right_factor=rationale is not None
                and set(rationale.factors) == set(pair.factors)
                and rationale.better == winner_of(_label(record) if pair.delta is None else pair.delta),
                rationale=None if rationale is None else rationale.text,
                text=comparison.raw,
            )
        )
    outcome = _written(record, result)
    winner = None if outcome.delta is None else winner_of(outcome.delta)
    shown = next(iter(supporting(result.comparisons, winner)), None)
    verdict = None if shown is None else shown.verdict
    return ReasonedOutcome(
        outcome=outcome,
        winner=winner,
        rationale=None if verdict is None or verdict.rationale is None else verdict.rationale.text,
        rationale_order=None if shown is None else shown.order,
        answers=tuple(answers),
    )


def _cluster_of(one: PairOutcome | Pair, cluster: Cluster) -> str:
    return one.source if cluster == "photograph" else one.group


def _accuracy(outcomes: Sequence[PairOutcome], cluster: Cluster, seed: int) -> Proportion:
    decided = [item for item in outcomes if item.decided]
    return proportion(
        [item.right for item in decided],
        [_cluster_of(item, cluster) for item in decided],
        n_failed=sum(item.delta is None for item in decided),
        n_excluded=len(outcomes) - len(decided),
        seed=seed,
    )


def _order_consistency(outcomes: Sequence[PairOutcome], cluster: Cluster, seed: int) -> Proportion:
    asked = [item for item in outcomes if item.asked]
    return proportion(
        [item.order_consistent is True for item in asked],
        [_cluster_of(item, cluster) for item in asked],
        n_failed=sum(item.order_consistent is None for item in asked),
        n_excluded=len(outcomes) - len(asked),
        seed=seed,
    )


def _sum_up_fast(outcomes: Sequence[PairOutcome], cluster: Cluster, seed: int) -> FastSummary:
    answered = [item for item in outcomes if item.delta is not None]
    differences = np.array([(item.delta, item.label) for item in answered], dtype=np.float64)
    factors = sorted({factor for item in outcomes for factor in item.factors})
    return FastSummary(
        accuracy=_accuracy(outcomes, cluster, seed),
        by_factor={
            factor: _accuracy([item for item in outcomes if factor in item.factors], cluster, seed)
            for factor in factors
        },
        srcc=bootstrap(
            differences,
            [_cluster_of(item, cluster) for item in answered],
            lambda rows: metrics.srcc(rows[:, 0], rows[:, 1]),
            seed=seed,
        ),
        order_consistency=_order_consistency(outcomes, cluster, seed),
    )


def _sum_up_reasoned(reasoned: Sequence[ReasonedOutcome], cluster: Cluster, seed: int) -> ReasonedSummary:
    outcomes = [item.outcome for item in reasoned]
    answers = [answer for item in reasoned for answer in item.answers]
    clusters = [_cluster_of(item.outcome, cluster) for item in reasoned for _ in item.answers]
    texts = [answer.rationale for answer in answers if answer.rationale is not None]
    failures = Counter(answer.failure for answer in answers if answer.failure is not None)
    of_answers = partial(proportion, clusters=clusters, n_failed=failures.total(), seed=seed)
    explained = [
        (answer, _cluster_of(item.outcome, cluster))
        for item in reasoned
        if item.outcome.factors or not item.outcome.decided
        for answer in item.answers
    ]
    return ReasonedSummary(
        accuracy=_accuracy(outcomes, cluster, seed),
        parse_rate=of_answers([answer.failure is None for answer in answers]),
        factor_accuracy=proportion(
            [answer.right_factor for answer, _ in explained],
            [name for _, name in explained],
            n_failed=sum(answer.failure is not None for answer, _ in explained),
            n_excluded=len(answers) - len(explained),
            seed=seed,
        ),
        order_consistency=_order_consistency(outcomes, cluster, seed),
        mean_words=mean([len(text.split()) for text in texts]),
        n_distinct=len(set(texts)),
        failures=dict(sorted(failures.items())),
    )
