"""Ask an assessor about pairs in both orders, and compute strengths and win rates of pictures from the answers."""

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
"""Number of usable answers that a pair needs to count."""

_BATCH = 32  # pairs in one call, which bounds the number of pictures in memory


class ModelName(Protocol):
    """The name of the model that a judge asks."""

    @property
    def model(self) -> str: ...
    @property
    def revision(self) -> str: ...


class PairResult(Protocol):
    """The part of :class:`redaes.assessor.Result` that rewards need."""

    @property
    def probability(self) -> float | None: ...
    @property
    def comparisons(self) -> tuple[Comparison, ...]: ...


class References(Protocol):
    """The part of :class:`redaes.assessor.ReferenceSet` that rewards need."""

    @property
    def name(self) -> str: ...
    @property
    def pictures(self) -> tuple[ImageRef, ...]: ...
    @property
    def ranking(self) -> Ranking: ...


class PairAssessor(Protocol):
    """The part of :class:`redaes.Assessor` that rewards need; they do not import it."""

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
    """Counts of one call; several threads may add to them."""

    n_questions: int = 0
    n_unanswered: int = 0
    lost: EndpointError | None = None
    """The error of a batch of which a server answered nothing."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, n_questions: int, n_unanswered: int, lost: EndpointError | None = None) -> None:
        """Add the outcomes of some questions."""
        with self._lock:
            self.n_questions += n_questions
            self.n_unanswered += n_unanswered
            self.lost = lost or self.lost


def ask(
    judge: PairAssessor, pairs: Sequence[tuple[LoadedImage, LoadedImage]], tally: Tally, why: Counter[str]
) -> list[float | None]:
    """Return P(first is better) of each pair; None: one of the orders was not answered, so the result would favour a
    position.

    Args:
        judge: the assessor to ask.
        pairs: pairs of different pictures, or of equal ones, which are ties.
        tally: counts, which are updated.
        why: reasons of unanswered questions, which are updated.

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
        except (
            EndpointError
        ) as error:  # nothing of this batch was answered; the end of the call shows whether anything was
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
    """Yield the pairs of a tournament of ``n`` pictures, round by round.

    Args:
        n: number of pictures, at least 1.
        comparisons_per_picture: comparisons of each picture; None: as in :func:`redaes.ranking.default_pairs`.
        seed: seed of the schedule.
        outcomes: outcomes of all rounds so far; the caller adds to them between rounds.
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
    """Return the strengths of the largest set of pictures that comparisons connect, and why the others have none."""
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
    """Return the expected share of comparisons with other pictures that a picture of this strength wins."""
    gaps = strength - np.asarray(others, dtype=np.float64)
    return float(np.mean(sigmoid(gaps)))
