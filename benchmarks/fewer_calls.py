"""What a panel's savings cost: answers asked for, and how far the labels move, against asking everyone everything.

    python benchmarks/fewer_calls.py                                                     # simulated judges
    python benchmarks/fewer_calls.py --photographs photos/a photos/b --answers answers.json --views 60
    python benchmarks/fewer_calls.py --designs                                           # ways of choosing pairs

Simulated judges err as the embedded model was found to err (`EMBEDDED`; a run over photographs prints the figures), or
less. Over photographs the embedded model judges all pairs of views that the embedded editor made, in both modes; its
answers are kept, so that a second run asks nothing and one that was stopped goes on. There the labels of those edits
stand for the truth.
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
import random
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from redaes.backends.pictures import EncodedPicture
from redaes.datagen.call_savings import ASK_EVERYTHING, CallSavings
from redaes.datagen.consensus import ConsensusRules
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.judges import AssessorJudge, Judgement, PicturePair
from redaes.datagen.pair_choice import PicturePlaces, choose_pairs, n_questions
from redaes.datagen.parametric_groups import make_group
from redaes.datagen.picture_groups import BuildCounts
from redaes.datagen.plan import CROP_SCALE, plan_view
from redaes.datagen.sources import curate
from redaes.datagen.view_judging import Judgements, ViewJudgements, judging_rounds
from redaes.datagen.view_scale import view_scale, why_not_inferred
from redaes.estimates import bootstrap, mean
from redaes.file_writing import read_json, write_json
from redaes.prompts import Mode
from redaes.ranking import components, difference_variance, fit_potential
from redaes.types import MAX_DELTA, SIDES, TIE_MARGIN

SEED = 0
MODES: tuple[Mode, ...] = ("fast", "reasoned")
N_PICTURES = 11
SHARES = (1 / 2, 1 / 3, 1 / 4)


@dataclass(frozen=True)
class JudgeNoise:
    """How a judge errs, all in points."""

    slope: float
    """Points that it states for a point of difference."""
    taste: float
    """Standard deviation of what it holds against each picture beyond the truth, whatever that is shown with."""
    pair: float
    """Of what it makes of a pair beyond what it holds of the two pictures; the same in all its answers."""
    lean: float
    """Of its lean towards the picture shown as A, from pair to pair."""
    mean_lean: float
    answer: float
    """Of each single answer around all that."""


EMBEDDED = JudgeNoise(slope=0.62, taste=2.25, pair=1.82, lean=1.32, mean_lean=0.26, answer=1.0)
"""The embedded model in its reasoned mode. What sets an answer apart from the others about its pair cannot be told from
one greedy answer in each order; a point is assumed, and the other figures are without it."""


@dataclass(frozen=True)
class JudgedView:
    """A view of which everything was asked."""

    group: str
    source: str
    truth: tuple[float, ...]
    """Scores of its pictures."""
    judgements: dict[PicturePlaces, tuple[Judgement, ...]]
    """One of each judge, for all pairs."""
    costs: tuple[float, ...]
    """Of one answer of each judge."""

    @property
    def pairs(self) -> list[PicturePlaces]:
        """All of them."""
        return sorted(self.judgements)


@dataclass(frozen=True)
class Way:
    """A row of the table."""

    name: str
    savings: CallSavings
    reserve: frozenset[int]


@dataclass(frozen=True)
class Labelled:
    """What a way made of a view."""

    answers: int
    cost: float
    deltas: dict[PicturePlaces, float]
    """Of pairs with a label."""
    errors: dict[PicturePlaces, float]
    """Their standard errors."""
    asked: frozenset[PicturePlaces]
    n_reserve: int
    n_joining: int


def labelled(view: JudgedView, way: Way, rules: ConsensusRules) -> Labelled:
    """Judge a view in one way, from the answers that are there."""
    n_judges = len(view.costs)
    rounds = judging_rounds(view.group, len(view.truth), view.pairs, n_judges, rules, way.savings, reserve=way.reserve)
    answers, cost = 0, 0.0
    try:
        asked = next(rounds)
        while True:
            found: Judgements = [[view.judgements[pair][judge] for judge in asked.judges] for pair in asked.pairs]
            for each, judge in ((each, judge) for row in found for each, judge in zip(row, asked.judges, strict=True)):
                n = len(each.forward) + len(each.swapped) + len(each.failures)
                answers, cost = answers + n, cost + n * view.costs[judge]
            asked = rounds.send(found)
    except StopIteration as end:
        settled: ViewJudgements = end.value
    scale = view_scale(len(view.truth), {pair: each.label for pair, each in settled.judged.items()})
    kept = [pair for pair, each in settled.judged.items() if each.label.delta is not None]
    if way.savings.pair_share < 1:
        kept += [pair for pair in settled.not_asked if why_not_inferred(scale, pair, way.savings.max_error) is None]
    return Labelled(
        answers,
        cost,
        {pair: max(-MAX_DELTA, min(MAX_DELTA, scale.delta(pair))) for pair in kept},
        {pair: float(scale.errors[pair]) for pair in kept},
        frozenset(settled.judged),
        settled.counts["reserve"],
        settled.counts["joining"],
    )


def simulated(
    n_views: int, judges: Sequence[tuple[JudgeNoise, float]], samples: int, spread: float
) -> list[JudgedView]:
    """Views whose pictures differ by ``spread`` points (standard deviation), judged by all.

    Args:
        n_views: how many.
        judges: how each errs, and what one of its answers costs.
        samples: answers in each order.
        spread: of the true scores.
    """
    views = []
    for number in range(n_views):
        rng = np.random.default_rng((SEED, number))
        truth = rng.normal(0.0, spread, N_PICTURES)
        pairs = list(itertools.combinations(range(N_PICTURES), 2))
        table: dict[PicturePlaces, list[Judgement]] = {pair: [] for pair in pairs}
        for name, (noise, _) in enumerate(judges):
            held = noise.slope * truth + rng.normal(0.0, noise.taste, N_PICTURES)
            for pair in pairs:
                middle = held[pair[0]] - held[pair[1]] + rng.normal(0.0, noise.pair)
                lean = rng.normal(noise.mean_lean, noise.lean)
                said = middle + np.array([[lean], [-lean]]) + rng.normal(0.0, noise.answer, (2, samples))
                forward, swapped = np.round(said.clip(-MAX_DELTA, MAX_DELTA), 1).tolist()
                table[pair].append(_judgement(f"judge {name}", forward, swapped))
        views.append(
            JudgedView(
                f"view {number}",
                f"view {number}",
                tuple(truth.tolist()),
                {pair: tuple(row) for pair, row in table.items()},
                tuple(cost for _, cost in judges),
            )
        )
    return views


def _judgement(judge: str, forward: Sequence[float], swapped: Sequence[float]) -> Judgement:
    failed = ("unreadable",) * (int(not forward) + int(not swapped))
    return Judgement(
        pair="pair",
        judge=judge,
        revision="1",
        forward=tuple(forward),
        swapped=tuple(swapped),
        probability=None,
        failures=failed,
    )


def rows_of(views: Sequence[JudgedView], ways: Sequence[Way], rules: ConsensusRules) -> Iterator[dict[str, Any]]:
    """One row for each way; the first is what the others are held against."""
    everything: list[Labelled] = []
    for way in ways:
        found = [labelled(view, way, rules) for view in views]
        everything = everything or found
        sources: list[str] = []
        off: list[float] = []
        moved: list[float] = []
        moved_from: list[str] = []
        wrong: list[float] = []
        wrong_in: list[str] = []
        ratios: list[float] = []
        for view, its, full in zip(views, found, everything, strict=True):
            for pair, delta in sorted(its.deltas.items()):
                true = view.truth[pair[0]] - view.truth[pair[1]]
                off.append(delta - true)
                sources.append(view.source)
                ratios.append((delta - true) / max(its.errors[pair], 1e-9))
                if pair in full.deltas:
                    moved.append(delta - full.deltas[pair])
                    moved_from.append(view.source)
                if abs(true) >= TIE_MARGIN:
                    wrong.append(float(delta * true < 0))
                    wrong_in.append(view.source)
        yield {
            "way": way.name,
            "answers": sum(its.answers for its in found) / len(views),
            "cost": sum(its.cost for its in found) / sum(its.cost for its in everything),
            "labels": sum(len(its.deltas) for its in found) / len(views),
            "error": _interval(off, sources, _rms),
            "moved": _interval(moved, moved_from, _rms),
            "wrong": _interval(wrong, wrong_in, mean),
            "followed": sum(len(set(its.deltas) - its.asked) for its in found) / len(views),
            "reserve": sum(its.n_reserve for its in found) / len(views),
            "joining": sum(its.n_joining for its in found) / len(views),
            "stated": math.sqrt(np.mean([error**2 for its in found for error in its.errors.values()])),
        }


def _rms(values: Any) -> float | None:
    return math.sqrt(float(np.mean(np.square(values)))) if len(values) else None


def _interval(values: Sequence[float], clusters: Sequence[str], statistic: Callable[[Any], float | None]) -> str:
    """Value and its interval over views."""
    found = bootstrap(values, clusters, statistic)
    if found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def ways_of(max_error: float, reserve: frozenset[int]) -> list[Way]:
    """The rows of the table."""
    shares = [CallSavings(pair_share=share, max_error=max_error) for share in SHARES]
    found = [Way("all pairs, all judges", ASK_EVERYTHING, frozenset())]
    found += [Way(f"1/{round(1 / each.pair_share)} of the pairs", each, frozenset()) for each in shares]
    if reserve:
        found.append(Way("cascade of judges", ASK_EVERYTHING, reserve))
        found += [Way(f"cascade, 1/{round(1 / each.pair_share)} of the pairs", each, reserve) for each in shares]
    return found


def embedded_views(folders: Sequence[Path], n_views: int, kept: Path) -> list[JudgedView]:
    """Views of held-out photographs with the embedded editor's edits, all pairs judged by the embedded model.

    Args:
        folders: with photographs.
        n_views: one of each photograph, so many.
        kept: file for the answers; those that are there are not asked again.
    """
    settings = DatasetSettings(views=1, variants=13, test_fraction=0.15, seed=0)
    held_out = [
        source
        for source in curate(list(folders), test_fraction=settings.test_fraction, seed=settings.seed).sources
        if source.split == "test"
    ]
    known = {each["source"]: each for each in (read_json(kept) if kept.exists() else [])}
    judges: dict[str, AssessorJudge] = {}
    for number, source in enumerate(held_out[:n_views]):
        if source.id in known:
            continue
        if not judges:
            from redaes.assessor import Assessor
            from redaes.backends.local import LocalBackend

            backend = LocalBackend()
            judges = {mode: AssessorJudge(Assessor(backend, mode=mode)) for mode in MODES}
        rows = plan_view(source.id, source.split, 0, settings.variants, settings.seed)
        image = source.load(max_pixels=round(settings.max_side / CROP_SCALE[0]) ** 2).image
        records = make_group(image, source, rows, settings, BuildCounts())
        pictures = {record.pair.of(side).id: record.bytes_of(side) for record in records for side in SIDES}
        at = {key: place for place, key in enumerate(sorted(pictures))}
        edges = [(at[one.pair.first.id], at[one.pair.second.id], one.pair.delta or 0.0, 1.0) for one in records]
        if len(at) < 3 or len(components(len(at), edges)) > 1:
            continue  # without one scale for all its pictures there is no truth to hold answers against
        shown = [EncodedPicture(Image.open(io.BytesIO(pictures[key])).convert("RGB")) for key in sorted(pictures)]
        pairs = list(itertools.combinations(range(len(at)), 2))
        asked = [PicturePair(f"{i}:{j}", shown[i], shown[j]) for i, j in pairs]
        said: dict[str, Any] = {}
        for mode, judge in judges.items():
            before = _cpu_s()
            answers = judge.judge(asked)
            said[mode] = {
                "cpu_s": _cpu_s() - before,
                "answers": [[list(each.forward), list(each.swapped)] for each in answers],
            }
        known[source.id] = {
            "source": source.id,
            "group": rows[0].group,
            "truth": fit_potential(len(at), edges).values.tolist(),
            "said": said,
        }
        write_json(kept, list(known.values()))
        print(f"{number + 1} of {n_views} views", flush=True)
    found = [known[source.id] for source in held_out[:n_views] if source.id in known]
    calls = 2 * sum(len(each["said"]["fast"]["answers"]) for each in found)
    costs = {mode: sum(each["said"][mode]["cpu_s"] for each in found) / calls for mode in MODES}
    print(f"{len(found)} views, " + ", ".join(f"{mode} {cost:.4f} s of CPU an answer" for mode, cost in costs.items()))
    return [
        JudgedView(
            each["group"],
            each["source"],
            tuple(each["truth"]),
            {
                pair: tuple(_judgement(mode, *each["said"][mode]["answers"][number]) for mode in MODES)
                for number, pair in enumerate(itertools.combinations(range(len(each["truth"])), 2))
            },
            tuple(costs[mode] for mode in MODES),
        )
        for each in found
    ]


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def print_noise(views: Sequence[JudgedView]) -> None:
    """How the embedded model errs, as `JudgeNoise` has it; of one answer in each order, what is the pair's own and what
    the answer's cannot be told.
    """
    for place, mode in enumerate(MODES):
        leans: list[float] = []
        residuals: list[float] = []
        held: list[float] = []
        truths: list[float] = []
        for view in views:
            truth = np.array(view.truth) - np.mean(view.truth)
            edges = []
            for pair, row in view.judgements.items():
                its = row[place]
                if its.forward and its.swapped:
                    leans.append((its.forward[0] - its.swapped[0]) / 2)
                    edges.append((*pair, (its.forward[0] + its.swapped[0]) / 2, 1.0))
            fitted = fit_potential(len(truth), edges)
            n_free = len(edges) - len(truth) + 1
            residuals += (fitted.residuals * math.sqrt(len(edges) / max(1, n_free))).tolist()
            held += fitted.values.tolist()
            truths += truth.tolist()
        slope = float(np.dot(held, truths) / np.dot(truths, truths))
        taste = float(np.std(np.array(held) - slope * np.array(truths)))
        print(
            f"{mode}: slope {slope:.2f}, taste {taste:.2f}, pair and answer {np.std(residuals):.2f}, lean "
            f"{np.mean(leans):+.2f} +- {np.std(leans):.2f} points; spread of the true scores {np.std(truths):.2f}"
        )


def print_designs(n: int = N_PICTURES, n_draws: int = 50, lost: float = 0.2) -> None:
    """Root mean variance of all differences by way of choosing pairs, over that of asking all."""
    every = list(itertools.combinations(range(n), 2))

    def at_random(wanted: int, rng: random.Random) -> list[PicturePlaces]:
        chain = rng.sample(range(n), n)
        tree = {(min(pair), max(pair)) for pair in itertools.pairwise(chain)}
        return [*tree, *rng.sample([pair for pair in every if pair not in tree], wanted - len(tree))]

    def circulant(wanted: int, rng: random.Random) -> list[PicturePlaces]:
        best: list[PicturePlaces] = []
        for steps in itertools.combinations(range(1, (n - 1) // 2 + 1), max(1, wanted // n)):
            ring = sorted({(min(i, (i + step) % n), max(i, (i + step) % n)) for step in steps for i in range(n)})
            if not best or _mean_variance(n, ring) < _mean_variance(n, best):
                best = ring
        return [*best, *rng.sample([pair for pair in every if pair not in best], wanted - len(best))]

    def star(wanted: int, rng: random.Random) -> list[PicturePlaces]:
        spokes = [(0, j) for j in range(1, n)]
        return [*spokes, *rng.sample([pair for pair in every if pair not in spokes], wanted - len(spokes))]

    ways: dict[str, Callable[[int, random.Random], list[PicturePlaces]]] = {
        "chosen": lambda wanted, rng: choose_pairs(n, every, wanted, str(rng.random())),
        "circulant, the rest at random": circulant,
        "all with the first picture, the rest at random": star,
        "at random, connected": at_random,
    }
    everything = _mean_variance(n, every)
    print(f"\n{n} pictures; error of a difference over that of asking all; in brackets, how often pictures come apart "
          f"when {lost:.0%} of the pairs are rejected\n")  # fmt: skip
    print("| way | " + " | ".join(f"{n_questions(n, share)} of {len(every)}" for share in SHARES) + " |")
    print("|---|" + "---|" * len(SHARES))
    print("| least possible | " + " | ".join(f"{math.sqrt(len(every) / n_questions(n, s)):.2f}" for s in SHARES) + " |")
    for name, way in ways.items():
        cells = []
        for share in SHARES:
            rng = random.Random(f"{SEED}:{share}")
            drawn = [way(n_questions(n, share), rng) for _ in range(n_draws)]
            error = math.sqrt(fmean(_mean_variance(n, pairs) for pairs in drawn) / everything)
            apart = 0
            for pairs in drawn:
                left = [(*pair, 0.0, 1.0) for pair in pairs if rng.random() >= lost]
                apart += len(components(n, left)) > 1
            cells.append(f"{error:.2f} ({apart / n_draws:.0%})")
        print(f"| {name} | " + " | ".join(cells) + " |")


def _mean_variance(n: int, pairs: Sequence[PicturePlaces]) -> float:
    variance = difference_variance(n, [(*pair, 0.0, 1.0) for pair in pairs])
    return float(variance[np.triu_indices(n, 1)].mean())


def print_table(rows: Iterator[dict[str, Any]], title: str) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n")
    names = {
        "way": "way", "answers": "answers", "cost": "cost", "labels": "labels", "followed": "of them not asked",
        "joining": "joining", "reserve": "to the reserve", "error": "error of Δ", "moved": "against all pairs",
        "wrong": "wrong signs", "stated": "stated error",
    }  # fmt: skip
    print("| " + " | ".join(names.values()) + " |\n|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(f"{row[k]:.2f}" if isinstance(row[k], float) else row[k] for k in names) + " |")


def main(args: argparse.Namespace) -> None:
    """Measure what was asked for, and print tables."""
    if args.designs:
        print_designs()
        return
    if args.photographs:
        views = embedded_views(args.photographs, args.views, args.answers)
        print_noise(views)
        # The fast mode is what is always asked, the reasoned one the reserve.
        rows = rows_of(views, ways_of(args.max_error, frozenset({1})), ConsensusRules())
        print_table(rows, f"the embedded model in both modes, {len(views)} views of {_sizes(views)} pictures")
        return
    for name, regular, costly in (
        ("judges that err like the embedded model", EMBEDDED, _scaled(EMBEDDED, 0.5, 0.9)),
        ("judges that err half as much", _scaled(EMBEDDED, 0.5, 0.9), _scaled(EMBEDDED, 0.3, 1.0)),
        ("judges that err a third as much", _scaled(EMBEDDED, 0.3, 1.0), _scaled(EMBEDDED, 0.15, 1.0)),
    ):
        views = simulated(args.views, [(regular, 1.0), (regular, 1.0), (costly, 5.0)], samples=2, spread=2.0)
        rows = rows_of(views, ways_of(args.max_error, frozenset({2})), ConsensusRules(min_judges=2))
        print_table(rows, f"two {name}, and one at five times their price that errs about half as much as they")


def _scaled(noise: JudgeNoise, factor: float, slope: float) -> JudgeNoise:
    """A judge that errs by a factor as much."""
    return replace(
        noise,
        slope=slope,
        taste=noise.taste * factor,
        pair=noise.pair * factor,
        lean=noise.lean * factor,
        mean_lean=noise.mean_lean * factor,
        answer=noise.answer * factor,
    )


def _sizes(views: Sequence[JudgedView]) -> str:
    sizes = [len(view.truth) for view in views]
    return f"{min(sizes)} to {max(sizes)} (mean {fmean(sizes):.1f})"


def parse_args() -> argparse.Namespace:
    """What to measure, and on what."""
    parser = argparse.ArgumentParser(description="what a panel's savings cost")
    parser.add_argument("--photographs", type=Path, nargs="+", help="folders; none: simulated judges")
    parser.add_argument("--answers", type=Path, default=Path("answers.json"), help="file for the model's answers")
    parser.add_argument("--views", type=int, default=60)
    parser.add_argument("--max-error", type=float, default=CallSavings().max_error, help="of inferred pairs, in points")
    parser.add_argument("--designs", action="store_true", help="compare ways of choosing pairs, and end")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_args())
