"""How many calls an order takes: active rounds against round robin, random pairs and merge sort, in simulation.

    python benchmarks/ranking.py [--votes phototriage_pairs.csv] [--trials 100] [--pictures 100] [--accuracy 0.77]

The pictures have normal strengths (or, with votes, strengths drawn from those that people's votes give). A simulated
judge is asked in both orders; one call is one order. "Pair accuracy" is the share of all pairs that one call puts in
the right order. The judges differ in what a call says and in what repeats itself:

* thurstone: sees the difference of strengths plus normal noise, new in each call, and says a probability;
* thurstone, votes: the same, and says only which one;
* thurstone, same noise in both orders: as thurstone, but the second order repeats the first, as a model does whose
  mistakes are about the pictures and not about their places;
* constant: wrong with the same probability whether two pictures are close or far apart, new in each call.

With votes, series of people's choices are ranked as well, by all pairs, and compared with the people's own order.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cmp_to_key
from pathlib import Path
from statistics import NormalDist, fmean

import numpy as np
from numpy.typing import NDArray

from redaes.metrics import srcc
from redaes.ranking import Outcome, Schedule, fit_potential, fit_strengths

BUDGETS = (200, 400, 700, 1000, 1400, 2000)
NORMAL = NormalDist()
Judge = Callable[[int, int], tuple[float, float]]
"""Two calls about a pair, each P(the first item is better): shown first, shown second."""


def noise_for(differences: NDArray[np.float64], accuracy: float) -> float:
    """Standard deviation of the noise with which one call puts that share of the differences in order."""
    sizes = np.abs(differences[differences != 0])
    low, high = 1e-6, 1e6
    for _ in range(200):
        middle = math.sqrt(low * high)
        right = fmean(NORMAL.cdf(float(size) / middle) for size in sizes)
        low, high = (middle, high) if right > accuracy else (low, middle)
    return low


def probability_of(seen: float, noise: float) -> float:
    """What a calibrated judge says who saw a difference through that noise."""
    return NORMAL.cdf(seen / noise)


def make_judge(
    kind: str, difference: Callable[[int, int], float], noise: float, accuracy: float, rng: np.random.Generator
) -> Judge:
    def ask(i: int, j: int) -> tuple[float, float]:
        gap = difference(i, j)
        if kind == "constant":
            return tuple(float((gap > 0) == (rng.random() < accuracy)) for _ in range(2))  # type: ignore[return-value]
        seen = gap + noise * rng.normal(size=2)
        if kind == "thurstone, votes":
            return float(seen[0] > 0), float(seen[1] > 0)
        if kind == "thurstone, same noise in both orders":
            seen[1] = seen[0]
        return probability_of(float(seen[0]), noise), probability_of(float(seen[1]), noise)

    return ask


JUDGES = ("thurstone", "thurstone, votes", "thurstone, same noise in both orders", "constant")


def outcome(i: int, j: int, said: tuple[float, float]) -> Outcome:
    return i, j, fmean(said), 2.0


def active(n: int, judge: Judge, seed: int, n_calls: int, top_k: int | None = None) -> Iterator[list[Outcome]]:
    """All outcomes so far, after each round."""
    schedule = Schedule(n, max_pairs=min(n_calls // 2, n * (n - 1) // 2), top_k=top_k, seed=seed)
    outcomes: list[Outcome] = []
    while pairs := schedule.next_round():
        for i, j in pairs:
            outcomes.append(outcome(i, j, judge(i, j)))
            schedule.record(*outcomes[-1])
        yield outcomes


def merge_sorted(n: int, judge: Judge, rng: np.random.Generator) -> tuple[list[int], int]:
    """Best first, and the number of calls."""
    n_calls = 0

    def compare(i: int, j: int) -> int:
        nonlocal n_calls
        n_calls += 2
        return -1 if fmean(judge(i, j)) > 0.5 else 1

    return sorted((int(item) for item in rng.permutation(n)), key=cmp_to_key(compare)), n_calls


class Tally:
    """Means over trials."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)

    def add(self, name: str, n_calls: float, found: NDArray[np.float64], truth: NDArray[np.float64]) -> None:
        correlation = srcc(found, truth)
        if correlation is None:  # all equal: no order was found
            self._rows[name].append((n_calls, 0.0, 0.0, 0.0))
            return
        place = int((truth > truth[int(found.argmax())]).sum())
        self._rows[name].append((n_calls, correlation, float(place == 0), float(place < 3)))

    def show(self) -> None:
        for name, rows in self._rows.items():
            n_calls, correlation, top1, top3 = np.mean(rows, axis=0)
            error = np.std([row[1] for row in rows]) / math.sqrt(len(rows))
            print(f"| {name} | {n_calls:,.0f} | {correlation:.3f} ± {error:.3f} | {top1:.2f} | {top3:.2f} |")


def simulate(kind: str, pool: Sequence[float] | None, n: int, trials: int, accuracy: float) -> Tally:
    tally = Tally()
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        truth = rng.normal(size=n) if pool is None else rng.choice(pool, size=n, replace=False)
        noise = noise_for((truth[:, None] - truth[None, :])[np.triu_indices(n, 1)], accuracy)
        judge = make_judge(kind, lambda i, j, truth=truth: float(truth[i] - truth[j]), noise, accuracy, rng)  # type: ignore[misc]
        waiting = list(BUDGETS)
        for outcomes in active(n, judge, trial, 2 * BUDGETS[-1]):
            if waiting and 2 * len(outcomes) >= waiting[0]:
                budget = waiting.pop(0)
                within = outcomes[: budget // 2]
                tally.add(f"active, {budget}", budget, fit_strengths(n, within).values, truth)
            if not waiting:
                break
        *_, outcomes = active(n, judge, trial, 1400, top_k=1)
        tally.add(
            "active until the best is settled, at most 1400",
            2 * len(outcomes),
            fit_strengths(n, outcomes).values,
            truth,
        )
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
        everything = [outcome(i, j, judge(i, j)) for i, j in pairs]
        shuffled = [everything[at] for at in rng.permutation(len(pairs))]
        for budget in (1400, 2000):
            tally.add(f"random pairs, {budget}", budget, fit_strengths(n, shuffled[: budget // 2]).values, truth)
        order, n_calls = merge_sorted(n, judge, rng)
        tally.add("merge sort", n_calls, -np.argsort(order).astype(np.float64), truth)
        tally.add("round robin", 2 * len(pairs), fit_strengths(n, everything).values, truth)
    return tally


def oracle(n: int, n_calls: int, accuracy: float, n_favoured: int = 6, trials: int = 4000) -> tuple[float, float]:
    """How often the best is found, and the correlation, when who is best decides who is asked about.

    Every call of a Thurstone judge tells as much about a picture as any other, so a picture with k calls is seen with
    variance noise^2 / k. Two in seven calls go to the truly best few alone.
    """
    rng = np.random.default_rng(0)
    truth = np.sort(rng.normal(size=(trials, n)), axis=1)[:, ::-1]
    noise = noise_for(rng.normal(size=10_000) * math.sqrt(2), accuracy)
    each = np.full(n, 2 * n_calls * 5 / 7 / n)
    each[:n_favoured] += 2 * n_calls * 2 / 7 / n_favoured
    seen = truth + rng.normal(size=truth.shape) * noise / np.sqrt(each)
    return float((seen.argmax(axis=1) == 0).mean()), fmean(
        np.corrcoef(a, b)[0, 1] for a, b in zip(seen, truth, strict=True)
    )


def read_series(votes: Path) -> list[tuple[int, dict[tuple[int, int], float], NDArray[np.float64]]]:
    """Per series: size, share of people who prefer the first, strengths in probits; items count from 0."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with votes.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[f"{row['split']}/{row['series']}"].append(row)
    found = []
    for group in rows.values():
        names = sorted({int(row[side]) for row in group for side in "ab"})
        share = {(names.index(int(row["a"])), names.index(int(row["b"]))): float(row["pref_a"]) for row in group}
        edges = [(i, j, NORMAL.inv_cdf(min(0.99, max(0.01, p))), 1.0) for (i, j), p in share.items()]
        found.append((len(names), share, fit_potential(len(names), edges).values))
    return found


def rank_series(votes: Path, accuracy: float, trials: int) -> tuple[list[float], Tally]:
    """The pool of strengths, and how often a series' best picture is found by all its pairs."""
    series = read_series(votes)
    differences = np.array([NORMAL.inv_cdf(min(0.99, max(0.01, p))) for _, share, _ in series for p in share.values()])
    noise = noise_for(differences, accuracy)
    tally = Tally()
    rng = np.random.default_rng(0)
    long = [item for item in series if item[0] >= 4]
    for _ in range(max(1, trials // 20)):
        for n, share, truth in long:
            gap = {pair: NORMAL.inv_cdf(min(0.99, max(0.01, p))) for pair, p in share.items()}
            judge = make_judge("thurstone", lambda i, j, gap=gap: gap[i, j], noise, accuracy, rng)  # type: ignore[misc]
            said = [outcome(i, j, judge(i, j)) for i, j in share]
            tally.add(f"judge of {accuracy:.0%} on these pairs", 2 * len(said), fit_strengths(n, said).values, truth)
            people = [(i, j, float(rng.binomial(2, p)) / 2, 2.0) for (i, j), p in share.items()]
            tally.add("two people's votes per pair", 2 * len(said), fit_strengths(n, people).values, truth)
            shares = [(i, j, p, 2.0) for (i, j), p in share.items()]
            tally.add("the shares of all votes", 2 * len(said), fit_strengths(n, shares).values, truth)
    return [float(value) for _, _, truth in series for value in truth], tally


def main(args: argparse.Namespace) -> None:
    head = "| way | calls | SRCC | best found | best found is in the best 3 |\n|---|---|---|---|---|"
    pools: list[tuple[str, Sequence[float] | None]] = [("normal strengths", None)]
    if args.votes is not None:
        pool, tally = rank_series(args.votes, args.accuracy, args.trials)
        print(f"Series of at least 4 pictures, all pairs\n\n{head}")
        tally.show()
        pools.append(("strengths from votes", pool))
    found, correlation = oracle(args.pictures, 1400, args.accuracy)
    print(f"\n1,400 calls handed out by an oracle: best found {found:.2f}, correlation {correlation:.3f}")
    for name, strengths in pools:
        for kind in JUDGES:
            print(f"\n{args.pictures} pictures, {name}, judge: {kind}, {args.accuracy:.0%}\n\n{head}", flush=True)
            simulate(kind, strengths, args.pictures, args.trials, args.accuracy).show()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--votes", type=Path, help="CSV with the columns split, series, a, b, pref_a")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--accuracy", type=float, default=0.77)
    main(parser.parse_args())
