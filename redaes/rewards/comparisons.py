"""Pairs put to an assessor in both orders, and what follows for several pictures of one prompt, or for one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from redaes.errors import BudgetExhausted, EndpointError
from redaes.images import LoadedImage
from redaes.points import sigmoid
from redaes.ranking import Outcome, Schedule, components, default_pairs, fit_strengths
from redaes.types import Comparison, ImageRef, Ranking, Sampling

N_ORDERS = 2.0
"""Usable answers behind a pair that counts."""

_BATCH = 32  # pairs handed over at once: bounds the pictures in memory


class ModelName(Protocol):
    """What a judge asks, by name."""

    @property
    def model(self) -> str: ...
    @property
    def revision(self) -> str: ...


class PairResult(Protocol):
    """What is read of :class:`redaes.assessor.Result`."""

    @property
    def probability(self) -> float | None: ...
    @property
    def comparisons(self) -> tuple[Comparison, ...]: ...


class References(Protocol):
    """What is read of :class:`redaes.assessor.ReferenceSet`."""

    @property
    def name(self) -> str: ...
    @property
    def pictures(self) -> tuple[ImageRef, ...]: ...
    @property
    def ranking(self) -> Ranking: ...


class PairAssessor(Protocol):
    """What is used of :class:`redaes.Assessor`: rewards are below it and do not import it."""

    sampling: Sampling

    @property
    def backend(self) -> ModelName: ...
    @property
    def mode(self) -> str: ...
    @property
    def prompt_id(self) -> str: ...
    def compare_many(self, pairs: Sequence[tuple[LoadedImage, LoadedImage]]) -> Sequence[PairResult]: ...
    def check_references(self, references: Any) -> None: ...


@dataclass
class Tally:
    """Counts of one call; may be added to from several threads."""

    n_questions: int = 0
    n_unanswered: int = 0
    lost: EndpointError | None = None
    """Why a server answered nothing of some batch."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, n_questions: int, n_unanswered: int, lost: EndpointError | None = None) -> None:
        """Take in what became of some questions."""
        with self._lock:
            self.n_questions += n_questions
            self.n_unanswered += n_unanswered
            self.lost = lost or self.lost


def ask(
    judge: PairAssessor, pairs: Sequence[tuple[LoadedImage, LoadedImage]], tally: Tally, why: Counter[str]
) -> list[float | None]:
    """Return P(first is better) of each pair; None where not both orders were answered: the result would favour a
    place.

    Args:
        judge: to ask.
        pairs: pairs of different pictures, or of equal ones, which are ties.
        tally: is added to.
        why: reasons of unanswered questions; is added to.

    Raises:
        BudgetExhausted: the calls or tokens that were granted are spent.
        BackendError: the model cannot be asked.
    """
    won: list[float | None] = []
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        try:
            results = judge.compare_many(batch)
        except BudgetExhausted:
            raise
        except EndpointError as error:  # nothing of this batch; whether of the whole call, its end shows
            asked = sum(2 for first, second in batch if first.ref.id != second.ref.id)
            why[error.reason] += asked
            tally.add(asked, asked, error)
            won += [None] * len(batch)
            continue
        for result in results:
            failed = [one.failure for one in result.comparisons if one.failure is not None]
            why.update(failed)
            tally.add(len(result.comparisons), len(failed))
            won.append(None if failed else result.probability)
    return won


def rounds(
    n: int, comparisons_per_picture: int | None, seed: int, outcomes: Sequence[Outcome]
) -> Iterator[list[tuple[int, int]]]:
    """Yield pairs of a tournament of ``n`` pictures, round by round.

    Args:
        n: at least 1.
        comparisons_per_picture: None: as :func:`redaes.ranking.default_pairs`.
        seed: seed of the schedule.
        outcomes: is read between rounds, by when it holds those of all rounds so far.
    """
    everything = n * (n - 1) // 2
    budget = default_pairs(n)
    if comparisons_per_picture is not None:
        budget = max(n - 1, -(-n * comparisons_per_picture // 2))
    if budget >= everything:
        yield [(i, j) for i in range(n) for j in range(i + 1, n)]
        return
    schedule = Schedule(n, max_pairs=budget, seed=seed)
    n_known = 0
    while pairs := schedule.next_round():
        yield pairs
        for i, j, won, weight in outcomes[n_known:]:
            schedule.record(i, j, won, weight)
        n_known = len(outcomes)


def fitted(ids: Sequence[str], outcomes: Sequence[Outcome]) -> tuple[dict[str, float], dict[str, str]]:
    """Return strengths of the largest set of pictures that comparisons connect, and why the others have none."""
    parts = sorted(components(len(ids), outcomes), key=len, reverse=True)
    whole = len(parts) == 1 or (len(parts[0]) > 1 and len(parts[0]) > len(parts[1]))
    main = parts[0] if whole else []
    place = {item: number for number, item in enumerate(main)}
    within = [(place[i], place[j], won, weight) for i, j, won, weight in outcomes if i in place and j in place]
    values = map(float, fit_strengths(len(main), within).values) if main else ()
    strengths = dict(zip((ids[item] for item in main), values, strict=True))
    left_out = {
        ids[item]: "no_usable_answer" if len(part) == 1 else "not_connected"
        for part in parts
        for item in part
        if item not in place
    }
    return strengths, left_out


def win_rate(strength: float, others: Sequence[float]) -> float:
    """Return the expected share of comparisons with these that a picture of this strength wins."""
    gaps = strength - np.asarray(others, dtype=np.float64)
    return float(np.mean(sigmoid(gaps)))
