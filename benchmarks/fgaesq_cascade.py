"""The cascade of a ranker and an expensive judge against the judge alone: how often the best picture comes first.

    python benchmarks/fgaesq_cascade.py [--n 200] [--share 0.3] [--noise 0.5 1 1.5] [--ranker-noise 0.5 1 2 4]
    python benchmarks/fgaesq_cascade.py --model MODEL --series series.jsonl [--judge redaes/nano --answers A.jsonl]

Without a model, everything is simulated: series of 3 to 6 pictures whose qualities are 5.4 points apart from best to
worst, in even steps; a ranker that sees them with normal noise of --ranker-noise points; a judge that sees the
difference of two with noise of --noise points, the same for a pair whoever asks.

MODEL is a folder of `stages/fgaesq.py`, the series are held-out ones with known scores (benchmarks/fgaesq_series.py
makes both; the first series of every photograph come first). --judge is a vision-language model, asked in the fast
mode in both orders; what it says is kept in --answers, and a run that is started again goes on there.

The judge alone compares all pairs of a series, and its best picture is that of the least-squares fit. The cascade
knows neither noise; of series with pictures it is told the categories. Intervals: 95 %, resampling
photographs, or simulated series.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from redaes.estimates import Estimate, bootstrap, paired_bootstrap
from redaes.images import load_image
from redaes.models.fgaesq.difftoken import seeded
from redaes.models.fgaesq.scorer import FGAesQScorer
from redaes.ranking import components, fit_potential
from redaes.ranking.cascade import Judge, cascade
from redaes.series_records import Series, read_series

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
    return int(np.argmax(fit_potential(len(items), edges).values))


def judges(args: argparse.Namespace) -> Iterator[tuple[str, Judge[Item]]]:
    """The judges that were asked for, by name."""
    if args.judge is not None:
        yield args.judge, ModelJudge(args.judge, args.answers)
    for noise in args.noise:
        yield f"noise {noise:g}", SimulatedJudge(noise)


def simulated(n: int) -> list[list[Item]]:
    """Series without pictures."""
    found = []
    for number in range(n):
        rng = seeded("series", str(number))
        length = int(rng.integers(3, 7))
        scores = rng.permutation(-np.linspace(0.05, 0.95, length))
        found.append([(Path(f"{number}-{place}"), float(score)) for place, score in enumerate(scores)])
    return found


def cell(interval: Estimate, sign: str = "") -> str:
    """As a table has it."""
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the cascade with its judge alone.")
    parser.add_argument("--model", type=Path, help="folder of a trained FGAesQ; without one, all is simulated")
    parser.add_argument("--series", type=Path, help="held-out series with known scores, with --model")
    parser.add_argument("--n", type=int, default=200, help="series")
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--judge", help="vision-language model, with --model")
    parser.add_argument("--answers", type=Path, default=Path("runs/cascade_answers.jsonl"), help="what it said")
    parser.add_argument("--noise", type=float, nargs="*", default=[0.5, 1.0, 1.5], help="of simulated judges")
    parser.add_argument("--ranker-noise", type=float, nargs="*", default=[0.5, 1.0, 2.0, 4.0], help="simulated ones")
    args = parser.parse_args()
    if (args.model is None) != (args.series is None) or (args.judge is not None and args.model is None):
        parser.error("--model and --series go together, and --judge needs both")
    if args.model is None:
        series = simulated(args.n)
        clusters = [str(number) for number in range(args.n)]
        kinds = None
    else:
        records: list[Series] = sorted(read_series(args.series), key=lambda item: item.id.rpartition("-")[2])[: args.n]
        clusters = [item.id.partition("-")[2].rpartition("-")[0] for item in records]
        series = [list(zip(item.images, item.scores, strict=True)) for item in records]
        kinds = [item.category for item in records]
    best = [int(np.argmax([score for _, score in items])) for items in series]
    pairs = [pair for items in series for pair in itertools.combinations(items, 2)]
    asked = list(judges(args))
    alone = {}
    for name, judge in asked:
        answers = iter(judge(pairs))
        alone[name] = [
            first_of_all_pairs(items, list(itertools.islice(answers, math.comb(len(items), 2)))) for items in series
        ]
    rankers: dict[str, list[np.ndarray]] = {}
    if args.model is None:
        for noise in args.ranker_noise:
            rng = np.random.default_rng(0)
            rankers[f"noise {noise:g}"] = [
                np.array([6 * score for _, score in items]) + noise * rng.standard_normal(len(items))
                for items in series
            ]
    else:
        scorer = FGAesQScorer.load(args.model)
        loaded = ([scorer.load_picture(path) for path, _ in items] for items in series)
        rankers[f"FGAesQ {scorer.revision}"] = [found.scores for found in scorer.series(loaded)]
    print(f"\n{len(series)} series, {len(set(clusters))} clusters; best picture first:")
    print("| ranker | judge | comparisons | ranker alone | judge alone | cascade | cascade - judge |")
    print("|---|---|---|---|---|---|---|")
    for ranker, scores in rankers.items():
        found = [float(np.argmax(table) == top) for table, top in zip(scores, best, strict=True)]
        for name, judge in asked:
            result = cascade(series, scores, judge, share=args.share, kinds=kinds)
            full = [float(first == top) for first, top in zip(alone[name], best, strict=True)]
            ours = [float(item.order[0] == top) for item, top in zip(result.series, best, strict=True)]
            cells = [
                f"{result.n_calls} of {result.n_all}" + (f", {result.n_failed} failed" if result.n_failed else ""),
                *(cell(bootstrap(values, clusters, np.mean)) for values in (found, full, ours)),
                cell(paired_bootstrap(full, ours, clusters, np.mean), "+"),
            ]
            print(f"| {ranker} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
