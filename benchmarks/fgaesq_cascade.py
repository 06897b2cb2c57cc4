"""The cascade of FGAesQ and an expensive judge against the judge alone: how often the best picture comes first.

    python benchmarks/fgaesq_cascade.py MODEL series.jsonl [--n 200] [--share 0.3] [--noise 0.5 1 1.5]
        [--judge redaes/nano --answers answers.jsonl]

MODEL is a folder of `stages/fgaesq.py`, the series are held-out ones with known scores (benchmarks/fgaesq_series.py
makes both; the first series of every photograph come first). A simulated judge sees the true difference of the scores
times 6, plus normal noise of --noise points, the same for a pair whoever asks. --judge is a vision-language model,
asked in the fast mode in both orders; what it says is kept in --answers, and a run that is started again goes on
there.

The judge alone compares all pairs of a series, and its best picture is that of the least-squares fit. The cascade does
not know how noisy its judge is. Intervals: 95 %, resampling photographs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from redaes.finegrained.cascade import Judge, cascade
from redaes.finegrained.difftoken import seeded
from redaes.finegrained.scorer import FineGrainedScorer
from redaes.finegrained.series import Series, read_series
from redaes.images import load_image
from redaes.metrics import Interval, bootstrap, paired_bootstrap
from redaes.ranking import components, fit_potential

Item = tuple[Path, float]
"""A picture's file and its true score."""

AT_ONCE = 32
"""Questions after which the answers are written down."""


class SimulatedJudge:
    """Answers with the true difference and noise."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def __call__(self, pairs: Sequence[tuple[Item, Item]]) -> list[float | None]:
        answers: list[float | None] = []
        for (first, a), (second, b) in pairs:
            one, other = sorted((first.name, second.name))
            error = self.noise * float(seeded(one, other).standard_normal())
            answers.append(6 * (a - b) + (error if first.name == one else -error))
        return answers


class ModelJudge:
    """Asks a vision-language model, and remembers every answer by the names of the files, the smaller one first."""

    def __init__(self, model: str, file: Path) -> None:
        from redaes.assessor import Assessor
        from redaes.backends.local import LocalBackend

        self.assessor = Assessor(LocalBackend(model), mode="fast")
        self.file = file
        self.known: dict[tuple[str, str], float | None] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
            first, second, delta = json.loads(line)
            self.known[first, second] = delta

    def __call__(self, pairs: Sequence[tuple[Item, Item]]) -> list[float | None]:
        ordered = [sorted((first[0], second[0]), key=lambda path: path.name) for first, second in pairs]
        missing = [pair for pair in ordered if (pair[0].name, pair[1].name) not in self.known]
        for start in range(0, len(missing), AT_ONCE):
            self._ask(missing[start : start + AT_ONCE])
        answers: list[float | None] = []
        for (first, _), (one, other) in zip(pairs, ordered, strict=True):
            delta = self.known[one.name, other.name]
            answers.append(delta if delta is None or first[0] == one else -delta)
        return answers

    def _ask(self, pairs: Sequence[Sequence[Path]]) -> None:
        loaded = [(load_image(one), load_image(other)) for one, other in pairs]
        results = self.assessor.compare_many(loaded)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            for (one, other), result in zip(pairs, results, strict=True):
                self.known[one.name, other.name] = result.delta
                file.write(json.dumps([one.name, other.name, result.delta]) + "\n")
        print(f"\r{len(self.known)} answers", end="", flush=True)


def first_of_all_pairs(items: Sequence[Item], answers: Sequence[float | None]) -> int:
    """The judge's best picture from all comparisons; -1 when failures leave no common order."""
    pairs = itertools.combinations(range(len(items)), 2)
    edges = [(i, j, delta, 1.0) for (i, j), delta in zip(pairs, answers, strict=True) if delta is not None]
    if len(components(len(items), edges)) > 1:
        return -1
    return int(np.argmax(fit_potential(len(items), edges)))


def judges(args: argparse.Namespace) -> Iterator[tuple[str, Judge[Item]]]:
    """The judges that were asked for, by name."""
    if args.judge is not None:
        yield args.judge, ModelJudge(args.judge, args.answers)
    for noise in args.noise:
        yield f"simulated, noise {noise}", SimulatedJudge(noise)


def cell(interval: Interval, sign: str = "") -> str:
    """As a table has it."""
    return f"{interval.estimate:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the cascade with its judge alone.")
    parser.add_argument("model", type=Path)
    parser.add_argument("series", type=Path)
    parser.add_argument("--n", type=int, default=200, help="series")
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--judge", help="vision-language model")
    parser.add_argument("--answers", type=Path, default=Path("cascade_answers.jsonl"), help="what it said")
    parser.add_argument("--noise", type=float, nargs="*", default=[0.5, 1.0, 1.5])
    args = parser.parse_args()
    records: list[Series] = sorted(read_series(args.series), key=lambda item: item.id.rpartition("-")[2])[: args.n]
    clusters = [item.id.partition("-")[2].rpartition("-")[0] for item in records]
    series = [list(zip(item.images, item.scores, strict=True)) for item in records]
    best = [int(np.argmax(item.scores)) for item in records]
    alone = {}
    asked = list(judges(args))
    for name, judge in asked:
        pairs = [pair for items in series for pair in itertools.combinations(items, 2)]
        told_all = iter(judge(pairs))
        answers = [list(itertools.islice(told_all, math.comb(len(items), 2))) for items in series]
        alone[name] = [first_of_all_pairs(items, told) for items, told in zip(series, answers, strict=True)]
    scorer = FineGrainedScorer.load(args.model)
    loaded = ([scorer.load_picture(path) for path in item.images] for item in records)
    scores = [found.scores for found in scorer.series(loaded)]
    print(f"\n{len(series)} series of {len(set(clusters))} photographs, FGAesQ {scorer.revision}")
    ranker = [float(np.argmax(found) == top) for found, top in zip(scores, best, strict=True)]
    print(f"FGAesQ alone: best first {cell(bootstrap(ranker, clusters, np.mean))}")
    for name, judge in asked:
        result = cascade(series, scores, judge, share=args.share)
        full = [float(first == top) for first, top in zip(alone[name], best, strict=True)]
        ours = [float(item.order[0] == top) for item, top in zip(result.series, best, strict=True)]
        print(
            f"{name}: {result.n_calls} of {result.n_all} comparisons, {result.n_failed} failed; best first: "
            f"judge alone {cell(bootstrap(full, clusters, np.mean))}, "
            f"cascade {cell(bootstrap(ours, clusters, np.mean))}, "
            f"difference {cell(paired_bootstrap(full, ours, clusters, np.mean), '+')}"
        )


if __name__ == "__main__":
    main()
