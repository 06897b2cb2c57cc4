"""How well a model judges held-out pairs of a RED dataset.

Fast mode over all pairs, reasoned mode over a drawn part of them; every pair is asked in both orders. Nothing
is dropped: a pair without a usable answer is wrong and is counted, a labelled tie is left out of accuracies
(as :mod:`redaes.metrics` has it) and is counted too. The outcome of every pair is kept, so that two
evaluations can be compared pair by pair.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import FiniteFloat

from redaes import metrics
from redaes.assessing.orders import stated, supporting
from redaes.assessor import Assessor, Result
from redaes.backends.base import Backend
from redaes.errors import InputError
from redaes.prompts import Mode
from redaes.records import PairRecord, picture_of
from redaes.types import TIE_MARGIN, Delta, Factor, Order, Record, Sampling, Winner, winner_of

Progress = Callable[[int, int], None]
Cluster = Literal["photograph", "group"]

ENOUGH_PHOTOGRAPHS = 10
"""From this many photographs on, intervals resample photographs; with fewer they resample groups (views of a
photograph), which makes them narrower than new photographs would: the record says which."""

CHUNK_PAIRS = 16
"""Pairs handed to the model between two reports of progress."""


class Estimate(Record):
    """A number with its 95 % bootstrap interval; None where it is undefined."""

    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None


class Proportion(Estimate):
    """A share of right answers."""

    n_right: int
    n: int
    """What counts, failures included."""
    n_failed: int
    """Without a usable answer; wrong."""
    n_excluded: int
    """Can be neither right nor wrong (labelled ties); not in ``n``."""


class PairOutcome(Record):
    """What became of one pair in one mode."""

    pair: str
    group: str
    source: str
    factors: tuple[Factor, ...]
    """What decides the pair; empty for a tie."""
    label: Delta
    """True difference, first minus second, in points."""
    delta: Delta | None
    """The model's, from both orders; None: no usable answer."""
    probability: FiniteFloat | None
    """P(first is better)."""
    order_consistent: bool | None
    """None: fewer than two orders answered."""
    asked: bool
    """Whether the model was: two equal files are a tie without it."""

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
    """As the model wrote it."""


class ReasonedOutcome(Record):
    """The outcome of one pair in the reasoned mode: what the model writes, not the verdict that is read beside it."""

    outcome: PairOutcome
    """Difference and consistency of what was written; the probability is the result's, which is read."""
    winner: Winner | None
    rationale: str | None
    """The reasoning shown for the pair: the first that agrees with the winner."""
    rationale_order: Order | None
    answers: tuple[WrittenAnswer, ...]


class FastSummary(Record):
    """The fast mode over all pairs."""

    accuracy: Proportion
    by_factor: dict[Factor, Proportion]
    srcc: Estimate
    """Spearman's correlation of the signed differences, ties among the labels included."""
    order_consistency: Proportion


class ReasonedSummary(Record):
    """The reasoned mode over the drawn pairs."""

    accuracy: Proportion
    """Over pairs."""
    parse_rate: Proportion
    """Over answers, two for each pair; likewise the rest."""
    factor_accuracy: Proportion
    order_consistency: Proportion
    """Over pairs."""
    mean_words: FiniteFloat | None
    """Of the reasoning, where there is one."""
    n_distinct: int
    """Different reasonings among ``parse_rate.n_right``."""
    failures: dict[str, int]


class HeldOut(Record):
    """An evaluation on held-out pairs, with what it takes to compute it again."""

    model: str
    revision: str
    prompt_ids: tuple[str, ...]
    sampling: Sampling
    seed: int
    n_pairs: int
    n_photographs: int
    cluster: Cluster
    """What the intervals resample."""
    n_clusters: int
    fast: FastSummary
    reasoned: ReasonedSummary | None
    """None: no pair was asked for."""
    outcomes: tuple[PairOutcome, ...]
    """Of the fast mode, in the order of the pairs."""
    reasoned_outcomes: tuple[ReasonedOutcome, ...]


class Change(Record):
    """How an accuracy changed between two evaluations of the same pairs."""

    mode: Mode
    points: Estimate
    """Difference of the accuracies, in [-1, 1]."""
    n: int
    """Pairs that count: those that are no ties."""
    n_gained: int
    """Wrong before, right after."""
    n_lost: int
    cluster: Cluster
    n_clusters: int


def evaluate(
    backend: Backend,
    records: Sequence[PairRecord],
    *,
    n_reasoned: int,
    sampling: Sampling,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> HeldOut:
    """Ask a model about every pair, and sum up.

    Args:
        backend: the model.
        records: labelled pairs.
        n_reasoned: pairs that are answered in the reasoned mode; all when there are fewer.
        sampling: how reasoned answers are drawn.
        seed: draws the reasoned pairs, and the resamples of the intervals.
        progress: called with pairs done and pairs in all, both modes together.

    Raises:
        InputError: no pairs, pairs without labels, repeated pairs, or a negative ``n_reasoned``.
        BackendError: the model cannot be asked.
    """
    _check(records, n_reasoned)
    drawn = draw(records, n_reasoned, seed)
    total = len(records) + len(drawn)
    progress(0, total)
    assessor = Assessor(backend, sampling=sampling)
    outcomes = fast_outcomes(assessor, records, lambda done: progress(done, total))
    reasoned = reasoned_outcomes(assessor, drawn, lambda done: progress(len(records) + done, total))
    return put_together(assessor, outcomes, reasoned, seed)


def place_drawn(seed: int, pair: str) -> bytes:
    """What sorts pairs, given by their ids, into an order that depends on the seed and the ids alone."""
    return hashlib.sha256(f"{seed}:{pair}".encode()).digest()


def draw(records: Sequence[PairRecord], n: int, seed: int) -> list[PairRecord]:
    """The first n of the pairs in the order of :func:`place_drawn`."""
    return sorted(records, key=lambda record: place_drawn(seed, record.pair.id))[:n]


def fast_outcomes(
    assessor: Assessor, records: Sequence[PairRecord], progress: Callable[[int], None] = lambda done: None
) -> list[PairOutcome]:
    """What becomes of labelled pairs in the fast mode, in their order.

    Raises:
        BackendError: the model cannot be asked.
    """
    return [_outcome(record, result) for record, result in _ask(assessor, records, "fast", progress)]


def reasoned_outcomes(
    assessor: Assessor, records: Sequence[PairRecord], progress: Callable[[int], None] = lambda done: None
) -> list[ReasonedOutcome]:
    """What becomes of labelled pairs in the reasoned mode, in their order.

    Raises:
        BackendError: the model cannot be asked.
    """
    return [reasoned_of(record, result) for record, result in _ask(assessor, records, "reasoned", progress)]


def put_together(
    assessor: Assessor, outcomes: Sequence[PairOutcome], reasoned: Sequence[ReasonedOutcome], seed: int
) -> HeldOut:
    """An evaluation from what became of its pairs.

    Args:
        assessor: that was asked.
        outcomes: of the fast mode.
        reasoned: of the reasoned mode.
        seed: with which the reasoned pairs were drawn; it draws the resamples of the intervals too.
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
        n_clusters=len(set(_clusters(outcomes, cluster))),
        fast=_sum_up_fast(outcomes, cluster, seed),
        reasoned=_sum_up_reasoned(reasoned, cluster, seed) if reasoned else None,
        outcomes=tuple(outcomes),
        reasoned_outcomes=tuple(reasoned),
    )


def paired_change(before: HeldOut, after: HeldOut, mode: Mode = "fast") -> Change:
    """How the accuracy changed, with the interval of the change: both sides resample the same pairs.

    Raises:
        InputError: the evaluations are not of the same labelled pairs.
    """
    old, new = (_outcomes(side, mode) for side in (before, after))
    if [(item.pair, item.label) for item in old] != [(item.pair, item.label) for item in new]:
        raise InputError("the two evaluations are of different pairs; evaluate both on the same dataset and seed")
    rows = [(a, b) for a, b in zip(old, new, strict=True) if a.decided]
    clusters = _clusters([a for a, _ in rows], before.cluster)
    points = metrics.paired_bootstrap(
        [float(a.right) for a, _ in rows],
        [float(b.right) for _, b in rows],
        clusters,
        mean,
        seed=before.seed,
    )
    return Change(
        mode=mode,
        points=_of_interval(points),
        n=len(rows),
        n_gained=sum(b.right and not a.right for a, b in rows),
        n_lost=sum(a.right and not b.right for a, b in rows),
        cluster=before.cluster,
        n_clusters=points.n_clusters,
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
    """What the model wrote of a pair, both orders together. The verdict of such a result is read without reasons, and
    would say nothing of what the model says when it argues."""
    if not result.comparisons:
        return _outcome(record, result)
    said = stated(result.comparisons)
    delta, consistent = (None, None) if said is None else (said.delta, said.consistent)
    return _outcome(record, result).model_copy(update={"delta": delta, "order_consistent": consistent})


def reasoned_of(record: PairRecord, result: Result) -> ReasonedOutcome:
    """What became of a labelled pair in the reasoned mode."""
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


def _outcomes(evaluation: HeldOut, mode: Mode) -> list[PairOutcome]:
    if mode == "fast":
        return list(evaluation.outcomes)
    return [item.outcome for item in evaluation.reasoned_outcomes]


def _clusters(outcomes: Sequence[PairOutcome], cluster: Cluster) -> list[str]:
    return [item.source if cluster == "photograph" else item.group for item in outcomes]


def estimate(rows: ArrayLike, clusters: Sequence[Hashable], statistic: metrics.Statistic, seed: int) -> Estimate:
    """A statistic with its interval; see :func:`redaes.metrics.bootstrap`."""
    return _of_interval(metrics.bootstrap(rows, clusters, statistic, seed=seed))


def _of_interval(interval: metrics.Interval) -> Estimate:
    return Estimate(value=interval.estimate, low=interval.low, high=interval.high)


def mean(rows: ArrayLike) -> float | None:
    """The mean of all values; None: there are none."""
    values = np.asarray(rows, dtype=np.float64)
    return float(values.mean()) if values.size else None


def _srcc(rows: ArrayLike) -> float | None:
    values = np.asarray(rows, dtype=np.float64)
    return metrics.srcc(values[:, 0], values[:, 1])


def _proportion(share: metrics.Share, right: Sequence[bool], clusters: Sequence[Hashable], seed: int) -> Proportion:
    """A share with its interval; ``right`` has one entry for each case that counts."""
    interval = metrics.bootstrap([float(value) for value in right], clusters, mean, seed=seed)
    if share.n != len(right) or share.n_right != sum(right):
        raise AssertionError(f"{share} was counted over other cases than its interval")
    return Proportion(value=share.value, low=interval.low, high=interval.high, **asdict(share))


def _accuracy(outcomes: Sequence[PairOutcome], cluster: Cluster, seed: int) -> Proportion:
    share = metrics.pair_accuracy([item.delta for item in outcomes], [item.label for item in outcomes])
    decided = [item for item in outcomes if item.decided]
    return _proportion(share, [item.right for item in decided], _clusters(decided, cluster), seed)


def _order_consistency(outcomes: Sequence[PairOutcome], cluster: Cluster, seed: int) -> Proportion:
    asked = [item for item in outcomes if item.asked]
    right = [item.order_consistent is True for item in asked]
    share = metrics.Share(
        n_right=sum(right),
        n=len(asked),
        n_failed=sum(item.order_consistent is None for item in asked),
        n_excluded=len(outcomes) - len(asked),
    )
    return _proportion(share, right, _clusters(asked, cluster), seed)


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
        srcc=estimate(differences, _clusters(answered, cluster), _srcc, seed),
        order_consistency=_order_consistency(outcomes, cluster, seed),
    )


def _sum_up_reasoned(reasoned: Sequence[ReasonedOutcome], cluster: Cluster, seed: int) -> ReasonedSummary:
    outcomes = [item.outcome for item in reasoned]
    answers = [(answer, item.outcome) for item in reasoned for answer in item.answers]
    clusters = _clusters([outcome for _, outcome in answers], cluster)
    parsed = [answer.failure is None for answer, _ in answers]
    right_factor = [answer.right_factor for answer, _ in answers]
    texts = [answer.rationale for answer, _ in answers if answer.rationale is not None]
    n_failed = len(parsed) - sum(parsed)
    return ReasonedSummary(
        accuracy=_accuracy(outcomes, cluster, seed),
        parse_rate=_proportion(
            metrics.Share(n_right=sum(parsed), n=len(parsed), n_failed=n_failed, n_excluded=0),
            parsed,
            clusters,
            seed,
        ),
        factor_accuracy=_proportion(
            metrics.Share(n_right=sum(right_factor), n=len(parsed), n_failed=n_failed, n_excluded=0),
            right_factor,
            clusters,
            seed,
        ),
        order_consistency=_order_consistency(outcomes, cluster, seed),
        mean_words=mean([len(text.split()) for text in texts]),
        n_distinct=len(set(texts)),
        failures=dict(sorted(Counter(a.failure for a, _ in answers if a.failure is not None).items())),
    )
