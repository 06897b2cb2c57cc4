"""The cascade of FGAesQ and an expensive judge against the judge alone: how often the best picture comes first.

    python benchmarks/fgaesq_cascade.py MODEL series.jsonl [--n 200] [--share 0.3] [--judge simulated|redaes/nano]

MODEL is a folder of `stages/fgaesq.py`, the series are held-out ones with known scores (benchmarks/fgaesq_series.py
makes some). The simulated judge sees the true difference of the scores times 6, plus normal noise of --noise points,
the same for a pair whoever asks; any other name is a vision-language model, asked in the fast mode. Alone, the judge
compares all pairs of a series.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from redaes.finegrained.cascade import cascade
from redaes.finegrained.difftoken import seeded
from redaes.finegrained.scorer import FineGrainedScorer
from redaes.finegrained.series import read_series
from redaes.images import LoadedImage
from redaes.metrics import bootstrap, paired_bootstrap
from redaes.ranking import components, fit_potential

Item = tuple[LoadedImage, float]
"""A picture and its true score."""


class SimulatedJudge:
    """Answers with the true difference and noise."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def __call__(self, pairs: Sequence[tuple[Item, Item]]) -> list[float | None]:
        answers: list[float | None] = []
        for (first, a), (second, b) in pairs:
            one, other = sorted((first.ref.id, second.ref.id))
            error = self.noise * float(seeded(one, other).standard_normal())
            answers.append(6 * (a - b) + (error if first.ref.id == one else -error))
        return answers


class ModelJudge:
    """Asks a vision-language model."""

    def __init__(self, model: str) -> None:
        from redaes.assessor import Assessor
        from redaes.backends.local import LocalBackend

        self.assessor = Assessor(LocalBackend(model), mode="fast")

    def __call__(self, pairs: Sequence[tuple[Item, Item]]) -> list[float | None]:
        return [result.delta for result in self.assessor.compare_many([(a[0], b[0]) for a, b in pairs])]


def first_of_all_pairs(items: Sequence[Item], answers: Sequence[float | None]) -> int:
    """The judge's best picture from all comparisons; -1 when failures leave no common order."""
    pairs = itertools.combinations(range(len(items)), 2)
    edges = [(i, j, delta, 1.0) for (i, j), delta in zip(pairs, answers, strict=True) if delta is not None]
    if len(components(len(items), edges)) > 1:
        return -1
    return int(np.argmax(fit_potential(len(items), edges)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the cascade with its judge alone.")
    parser.add_argument("model", type=Path)
    parser.add_argument("series", type=Path)
    parser.add_argument("--n", type=int, default=200, help="series, the first ones of the file")
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--judge", default="simulated")
    parser.add_argument("--noise", type=float, default=1.5)
    args = parser.parse_args()
    scorer = FineGrainedScorer.load(args.model)
    records = read_series(args.series)[: args.n]
    series = [
        [(scorer.load_picture(path), score) for path, score in zip(item.images, item.scores, strict=True)]
        for item in records
    ]
    judge = SimulatedJudge(args.noise) if args.judge == "simulated" else ModelJudge(args.judge)
    scores = [found.scores for found in scorer.series([picture for picture, _ in items] for items in series)]
    best = [int(np.argmax(item.scores)) for item in records]
    result = cascade(series, scores, judge, share=args.share)
    alone = []
    for items in series:
        alone.append(first_of_all_pairs(items, judge(list(itertools.combinations(items, 2)))))
    right = {
        "FGAesQ alone": [float(np.argmax(found) == top) for found, top in zip(scores, best, strict=True)],
        "judge alone": [float(first == top) for first, top in zip(alone, best, strict=True)],
        "cascade": [float(item.order[0] == top) for item, top in zip(result.series, best, strict=True)],
    }
    clusters = [item.id.split("-", 1)[1] for item in records]
    print(f"{len(series)} series, judge {args.judge}, FGAesQ {scorer.revision}")
    print(f"comparisons: {result.n_calls} of {result.n_all}, {result.n_failed} failed")
    for name, values in right.items():
        interval = bootstrap(values, clusters, np.mean)
        print(f"{name:13} best first {interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
    change = paired_bootstrap(right["judge alone"], right["cascade"], clusters, np.mean)
    print(f"cascade minus judge alone {change.estimate:+.3f} [{change.low:+.3f}, {change.high:+.3f}]")


if __name__ == "__main__":
    main()
