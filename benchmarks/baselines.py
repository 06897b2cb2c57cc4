"""What trivial measures of a picture achieve on a RED dataset, beside the embedded model: one table with intervals.

    python benchmarks/baselines.py red --out runs/baselines

Pairs are drawn from the test split by their ids, and so are series, which are views of it. Which direction of a
measure is taken for better, and the weights of all measures together, come from as many pairs of the training split.
``brisque`` is among the measures where that package is installed (pip install 'brisque[opencv-python-headless]').
Intervals resample photographs; the model's lead is paired. The same command again goes on with what was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redaes.backends.local import LocalBackend
from redaes.estimates import MeasureChange
from redaes.evaluation import benchmarks
from redaes.evaluation.assessors.base import BenchmarkAssessor, Question, QuestionAnswer
from redaes.evaluation.assessors.baselines import BASELINES, make_baseline
from redaes.evaluation.assessors.local import LocalPairs
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.evaluation.benchmarks.base import BenchmarkPicture, LabelledPair, Labels
from redaes.evaluation.benchmarks.manifest import entries_of
from redaes.evaluation.benchmarks.red import RED, probability_of
from redaes.evaluation.comparison import compare
from redaes.evaluation.report import cell
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import RunResults, read_predictions, read_timing, run_assessor
from redaes.file_writing import write_atomically, write_json
from redaes.models import nano
from redaes.records import load_pairs
from redaes.types import SIDES, Split

ALL = "all measures"


class Weighted:
    """A weighted sum of baselines."""

    arity = "one"
    needs_pixels = True

    def __init__(self, parts: Mapping[str, float]) -> None:
        """
        Args:
            parts: weight of each baseline, by name.
        """
        self._parts = [(make_baseline(name), weight) for name, weight in parts.items()]
        self._weights = dict(parts)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The weights."""
        return {"model": f"baseline {ALL}", "revision": "1", "weights": self._weights}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        """The sums; a failure of one part is one of the whole."""
        columns = [(assessor.answer(questions), weight) for assessor, weight in self._parts]
        found = []
        for number, question in enumerate(questions):
            rows = [(answers[number], weight) for answers, weight in columns]
            failed = next((answer for answer, _ in rows if answer.value is None), None)
            if failed is not None:
                found.append(QuestionAnswer(id=question.id, failure=failed.failure))
            else:
                found.append(
                    QuestionAnswer(id=question.id, value=sum(a.value * w for a, w in rows if a.value is not None))
                )
        return found


def parse_args() -> argparse.Namespace:
    """What to evaluate and on how much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="a RED dataset with both splits")
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"), help="folder; default: %(default)s")
    parser.add_argument("--pairs", type=int, default=1000, help="of each split; default: %(default)s")
    parser.add_argument("--series", type=int, default=250, help="default: %(default)s")
    parser.add_argument("--model", default=nano.NAME, help="default: %(default)s")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter")
    return parser.parse_args()


def by_hash(names: Sequence[str], n: int) -> list[str]:
    """``n`` of the names, in an order that does not depend on how they were listed."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:n]


def drawn_pairs(data: Path, split: Split, n: int, folder: Path) -> LoadedBenchmark:
    """``n`` labelled pairs of a split, their pictures written to a folder."""
    rows = load_pairs(data, split)
    place = {
        name: number
        for number, (name, delta) in enumerate(zip(rows["id"], rows["delta"], strict=True))
        if delta is not None
    }
    pictures: dict[str, BenchmarkPicture] = {}
    pairs: dict[frozenset[str], LabelledPair] = {}
    for row in (rows[place[name]] for name in by_hash(list(place), n)):
        names = []
        for side in SIDES:
            name = f"{row[f'{side}_id'][:24]}.jpg"
            if not (folder / name).exists():
                write_atomically(folder / name, row[side]["bytes"])
            pictures.setdefault(name, BenchmarkPicture(name, name, row["source"]))
            names.append(name)
        if names[0] != names[1]:
            factor = row["factors"][0] if len(row["factors"]) == 1 else None
            pair = LabelledPair(names[0], names[1], probability_of(row["delta"]), factor)
            pairs.setdefault(frozenset(names), pair)
    return ready(RED, Labels(tuple(pictures.values()), tuple(pairs.values())), folder)


def drawn_series(data: Path, n: int, folder: Path) -> LoadedBenchmark:
    """``n`` series of the test split."""
    loaded = benchmarks.load("red_series", data, scratch=folder)
    groups = list(dict.fromkeys(picture.group for picture in loaded.labels.pictures))
    kept = set(by_hash(groups, n))
    pictures = tuple(picture for picture in loaded.labels.pictures if picture.group in kept)
    names = {picture.id for picture in pictures}
    pairs = tuple(pair for pair in loaded.labels.pairs if pair.first in names)
    return ready(loaded.benchmark, replace(loaded.labels, pictures=pictures, pairs=pairs), folder)


def ready(benchmark: benchmarks.Benchmark, labels: Labels, folder: Path) -> LoadedBenchmark:
    """Labels that were drawn, as the runner takes them."""
    lines = sorted(entries_of(labels, benchmark.decimals))
    return LoadedBenchmark(benchmark, labels, hashlib.sha256("\n".join(lines).encode()).hexdigest(), folder, ())


def assess(loaded: LoadedBenchmark, assessor: BenchmarkAssessor, name: str, data: Path, out: Path) -> RunResults:
    """One run, with progress."""

    def progress(done: int, total: int) -> None:
        print(f"\r{out}: {done}/{total} questions ", end="", file=sys.stderr, flush=True)

    spec = RunSpec(benchmark=loaded.benchmark.name, data=data, assessor=name)
    found = run_assessor(loaded, assessor, out, spec=spec, progress=progress)
    print(file=sys.stderr)
    if found is None:
        raise AssertionError("a run that is not divided ends with its results")
    return found


def fit_weights(differences: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (n_measures,) of a logistic regression without intercept, so that both orders get the same answer.

    Args:
        differences: (n_pairs, n_measures).
        labels: (n_pairs,) 1 where the first is better, else 0.
    """
    scale = differences.std(axis=0)
    used = scale > 0
    x = differences[:, used] / scale[used]
    weights = np.zeros(x.shape[1])
    for _ in range(50):  # Newton's method, with a ridge that keeps separable data finite
        p = 0.5 * (1.0 + np.tanh(0.5 * (x @ weights)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.eye(x.shape[1])
        weights = weights + np.linalg.solve(curvature, x.T @ (labels - p) - weights)
    found = np.zeros(len(scale))
    found[used] = weights / scale[used]
    return found


def learn(data: Path, out: Path, n: int, measures: Sequence[str]) -> tuple[dict[str, str], dict[str, float]]:
    """On the training split: which direction of each measure is better, and the weights of all together."""
    loaded = drawn_pairs(data, "train", n, out / "pictures")
    better, columns, decided = {}, [], np.array([])
    for measure in measures:
        folder = out / "train" / measure
        assess(loaded, make_baseline(measure), "baseline", data, folder)
        pairs = [one for one in read_predictions(folder / "pairs.csv") if one.label != 0.5]
        decided = np.array([float(one.label > 0.5) for one in pairs])
        values = np.array([0.0 if one.predicted is None else one.predicted for one in pairs])
        agree = int(np.count_nonzero(values * (decided - 0.5) > 0))
        against = int(np.count_nonzero(values * (decided - 0.5) < 0))
        better[measure] = "larger" if agree >= against else "smaller"
        columns.append(values)
    weights = fit_weights(np.array(columns).T, decided)
    return better, dict(zip(measures, map(float, weights), strict=True))


def folder_of(name: str, assessor: BenchmarkAssessor) -> str:
    """Of its runs: another model, other weights, another folder."""
    identity = json.dumps(dict(assessor.identity), sort_keys=True)
    return f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def lead(base: Path, other: Path) -> dict[str, MeasureChange]:
    """What the second run has more than the first, by measure."""
    return {change.measure: change for change in compare([base, other])[1].changes}


def main(args: argparse.Namespace) -> None:
    """Learn directions, run everything, print the table."""
    measures = [*BASELINES, *(["brisque"] if find_spec("brisque") else [])]
    drawn = [name for name in measures if name not in ("constant", "random")]
    better, weights = learn(args.data, args.out, args.pairs, drawn)
    pairs = drawn_pairs(args.data, "test", args.pairs, args.out / "pictures")
    series = drawn_series(args.data, args.series, args.out / "pictures")
    model = LocalPairs(LocalBackend(args.model, adapter=args.adapter))
    assessors: dict[str, tuple[str, BenchmarkAssessor]] = {
        name: ("baseline", make_baseline(name, better.get(name, "larger"))) for name in measures
    }
    assessors |= {ALL: ("weighted", Weighted(weights)), "model": ("vlm_pairs", model)}
    found: dict[str, tuple[RunResults, RunResults]] = {}
    folders = {name: folder_of(name, assessor) for name, (_, assessor) in assessors.items()}
    for name, (kind, assessor) in assessors.items():
        both = [assess(loaded, assessor, kind, args.data, args.out / part / folders[name]) for part, loaded in
                (("pairs", pairs), ("series", series))]  # fmt: skip
        found[name] = (both[0], both[1])
    photographs = {picture.cluster for picture in pairs.labels.pictures}
    some = found["model"][0].summary.metrics
    one = found["model"][1].summary.metrics
    print(
        f"{args.model} @ {model.identity['revision']}; {some['pair_accuracy'].n} decided pairs of {len(photographs)} "
        f"photographs; {one['s_acc'].n} series, chance of s-Acc {cell(one['s_acc_chance'])}\n"
    )
    print("| assessor | pair accuracy | the model's lead | s-Acc | s-SRCC | the model's lead in s-SRCC |")
    print("|---|---|---|---|---|---|")
    rows = []
    for name, (on_pairs, on_series) in found.items():
        ahead = {} if name == "model" else {
            **lead(args.out / "series" / folders[name], args.out / "series" / folders["model"]),
            **lead(args.out / "pairs" / folders[name], args.out / "pairs" / folders["model"]),
        }  # fmt: skip
        shown = f"{name} (smaller is better)" if better.get(name) == "smaller" else name
        accuracy, best = on_pairs.summary.metrics["pair_accuracy"], on_series.summary.metrics["s_acc"]
        order = on_series.summary.metrics["s_srcc"]
        cells = [cell(accuracy), cell(ahead.get("pair_accuracy")), cell(best), cell(order), cell(ahead.get("s_srcc"))]
        rows.append((accuracy.value or 0.0, f"| {shown} | {' | '.join(cells)} |"))
    print("\n".join(text for _, text in sorted(rows, key=lambda row: row[0])))
    timing = read_timing(args.out / "pairs" / folders["model"]).milliseconds_per_question
    swaps = f"{cell(some['swap_consistency'])} on pairs, {cell(one['swap_consistency'])} on series"
    print(f"\nthe model names the same picture in both orders: {swaps}; {timing or 0:.0f} ms a pair")
    write_json(
        args.out / "table.json",
        {
            "better": better,
            "weights": weights,
            "rows": {
                name: {"pairs": a.model_dump(mode="json"), "series": b.model_dump(mode="json")}
                for name, (a, b) in found.items()
            },
        },
    )


if __name__ == "__main__":
    main(parse_args())
