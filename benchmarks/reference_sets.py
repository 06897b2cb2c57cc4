"""What a chosen reference set is worth: SRCC and PLCC against questions a picture, with labels alone or with a model.

    python benchmarks/reference_sets.py --labels LABELS [--plot docs/reference_sets.svg]
    python benchmarks/reference_sets.py --photos PHOTOS

The first needs no pictures: judges of stated noise answer from the labels of AVA, PARA, TAD66K, FLICKR-AES,
ArtiMuse-10K and AADB. The second asks the embedded model about all pairs of some photographs, each as it is and worse
in steps, in both orders, once; every way then gets the answers to what it asks for.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from scipy import stats

from redaes import ranking
from redaes.assessing.choosing import PAIRS_PER_CANDIDATE
from redaes.assessor import Assessor, answer_of
from redaes.images import list_images, load_image
from redaes.points import sigmoid
from redaes.types import MAX_DELTA, TAU

BUDGETS = (1, 2, 4, 8, 16)
"""Comparisons a picture; each is two questions."""
TOURNAMENT_BUDGETS = (1, 2, 4, 8)
CANDIDATES = 64
PICTURES = 1500
"""Of a benchmark that are taken, candidates included."""
SEEDS = 3

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]
Ask = Callable[[Indices, Indices], tuple[Vector, Vector]]
"""P(first is better) of pairs, both orders together, and the lean; NaN: not known."""


@dataclass(frozen=True)
class SimulatedJudge:
    """One that answers from labels.

    Attributes:
        words: what it is.
        deviation: standard deviation of its strengths, in logits.
        noise: standard deviation of the log-odds of one question; None: it says the winner alone, drawn by the
            Bradley-Terry probability.
        uneven: standard deviation of the logarithm of how noisy answers about a picture are.
        lean: to the picture shown first, in logits.
        faith: correlation of its strengths with the labels; what is missing is its own view of each picture, which
            no number of questions removes.
    """

    words: str
    deviation: float = 1.5
    noise: float | None = None
    uneven: float = 0.0
    lean: float = 0.0
    faith: float = 1.0

    def about(self, labels: Vector, seed: int) -> tuple[Vector, Vector]:
        """Its strengths of pictures with these labels, and how noisy it is about each."""
        rng = np.random.default_rng([seed, 1])
        z = (labels - labels.mean()) / labels.std()
        own = rng.standard_normal(len(z))
        strengths = self.deviation * (self.faith * z + np.sqrt(1.0 - self.faith**2) * own)
        return strengths, np.exp(self.uneven * rng.standard_normal(len(z)))

    def asked(self, strengths: Vector, noisy: Vector, seed: int, way: str) -> Ask:
        """What answers; each way asks with noise of its own."""
        rng = np.random.default_rng([seed, 2, *way.encode()])

        def ask(first: Indices, second: Indices) -> tuple[Vector, Vector]:
            gap = strengths[first] - strengths[second]
            if self.noise is None:
                won = [rng.random(len(gap)) < sigmoid(gap + lean) for lean in (self.lean, -self.lean)]
                return (won[0] + 1.0 * won[1]) / 2, np.full(len(gap), np.nan)
            spread = self.noise * np.sqrt((noisy[first] ** 2 + noisy[second] ** 2) / 2)
            forward = gap + self.lean + spread * rng.standard_normal(len(gap))
            swapped = gap - self.lean + spread * rng.standard_normal(len(gap))
            return np.asarray(sigmoid((forward + swapped) / 2)), (forward - swapped) / 2

        return ask


JUDGES = {
    "verdicts": SimulatedJudge("says the winner alone"),
    "sure verdicts": SimulatedJudge("says the winner alone, and is sure of it", deviation=4.0),
    "probabilities": SimulatedJudge("gives log-odds with a noise of 1 logit", noise=1.0),
    "uneven": SimulatedJudge("the same, some pictures much noisier than others", noise=1.0, uneven=0.7),
    "biased": SimulatedJudge(
        "says the winner alone, leans to the first picture, has its own view", lean=1.0, faith=0.75
    ),
}


def labels_of(folder: Path) -> dict[str, Vector]:
    """The scores of each benchmark's test pictures."""

    def column(name: str, field: str, split: str | None = None) -> Vector:
        with (folder / name).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return np.array([float(row[field]) for row in rows if split is None or row["split"] == split])

    def scores(name: str) -> Vector:
        return np.array([row["gt_score"] for row in json.loads((folder / name).read_text())])

    return {
        "AVA": column("ava_test_means.csv", "mean"),
        "PARA": scores("para_test.json"),
        "TAD66K": column("tad66k.csv", "score", "test"),
        "FLICKR-AES": scores("flickr_aes_test.json"),
        "ArtiMuse-10K": scores("artimuse10k_test.json"),
        "AADB": column("aadb.csv", "score", "test"),
    }


# --- the ways ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RankedCandidates:
    """Candidates as their comparisons have them.

    Attributes:
        items: which pictures they are.
        known: their strengths.
        n_questions: what that took.
    """

    items: Indices
    known: ranking.KnownReferences
    n_questions: int

    def only(self, places: Sequence[int]) -> RankedCandidates:
        """Some of them."""
        at, k = np.array(places, dtype=np.intp), self.known
        part = ranking.KnownReferences(k.values[at], k.variances[at], k.dispersions[at], k.mean, k.deviation)
        return RankedCandidates(self.items[at], part, self.n_questions)


def ranked(ask: Ask, items: Indices, seed: int) -> RankedCandidates:
    """Rank pictures as :meth:`redaes.Assessor.reference_set` does."""
    n = len(items)
    schedule = ranking.Schedule(n, max_pairs=max(n - 1, min(PAIRS_PER_CANDIDATE * n, n * (n - 1) // 2)), seed=seed)
    outcomes: list[ranking.Outcome] = []
    leans: list[float | None] = []
    while pairs := schedule.next_round():
        first, second = np.array(pairs, dtype=np.intp).T
        for i, j, p, lean in zip(first, second, *ask(items[first], items[second]), strict=True):
            schedule.record(int(i), int(j), float(p), 2.0)
            outcomes.append((int(i), int(j), float(p), 2.0))
            leans.append(None if np.isnan(lean) else float(lean))
    fitted = ranking.fit_strengths(n, outcomes)
    variances = fitted.errors**2
    spread = ranking.dispersions(fitted.values, outcomes, leans)
    mean, deviation = ranking.population(fitted.values, variances)
    known = ranking.KnownReferences(fitted.values, variances, spread, mean, deviation)
    return RankedCandidates(items, known, 2 * len(outcomes))


def placed(ask: Ask, items: Indices, references: RankedCandidates, n: int, *, adaptive: bool) -> Vector:
    """Strengths of pictures after ``n`` comparisons each."""
    placements = ranking.Placements(len(items), references.known)
    everyone = np.arange(len(items))
    for number in range(n):
        wanted = placements.next_references() if adaptive else np.full(len(items), number)
        probabilities, _ = ask(items, references.items[wanted])
        placements.record_many(everyone, wanted, probabilities, np.full(len(items), 2.0))
    return placements.strengths()


def least_squares(ask: Ask, items: Indices, references: Indices) -> Vector:
    """What ``redaes eval`` does with references that are drawn: of complete answers the mean difference in points."""
    deltas = []
    for reference in references:
        probabilities, _ = ask(items, np.full(len(items), reference))
        deltas.append(np.clip(TAU * stats.norm.ppf(np.clip(probabilities, 1e-9, 1 - 1e-9)), -MAX_DELTA, MAX_DELTA))
    return np.asarray(np.mean(deltas, axis=0))


WAYS = ("as before", "random", "evenly spaced", "chosen", "random, adaptive", "chosen, adaptive")


def all_ways(
    asked: Callable[[str], Ask], candidates: Indices, items: Indices, budgets: Sequence[int], seed: int
) -> dict[tuple[str, int], tuple[Vector, int]]:
    """Scores of ``items`` by way and comparisons a picture, and the questions that the set took."""
    found: dict[tuple[str, int], tuple[Vector, int]] = {}
    known = ranked(asked("candidates"), candidates, seed)
    order = np.argsort(known.known.values)
    m = len(candidates)
    for n in budgets:
        found["as before", n] = least_squares(asked(f"before{n}"), items, candidates[:n]), 0
        many = min(m, max(2, 4 * n))
        if n > 1:
            some = ranked(asked(f"random{n}"), candidates[:n], seed)
            found["random", n] = (
                placed(asked(f"random{n} items"), items, some, n, adaptive=False),
                some.n_questions,
            )
        more = ranked(asked(f"drawn{n}"), candidates[:many], seed)
        found["random, adaptive", n] = (
            placed(asked(f"drawn{n} items"), items, more, n, adaptive=True),
            more.n_questions,
        )
        even = known.only(order[((np.arange(n) + 0.5) / n * m).astype(np.intp)].tolist())
        found["evenly spaced", n] = placed(asked(f"even{n}"), items, even, n, adaptive=False), known.n_questions
        chosen = known.only(ranking.choose_informative(known.known, n, n).indices)
        found["chosen", n] = placed(asked(f"chosen{n}"), items, chosen, n, adaptive=False), known.n_questions
        wide = known.only(ranking.choose_informative(known.known, many, n).indices)
        found["chosen, adaptive", n] = (
            placed(asked(f"adaptive{n}"), items, wide, n, adaptive=True),
            known.n_questions,
        )
    return found


def tournament(ask: Ask, n: int, n_pairs: int, seed: int) -> Vector:
    """Strengths of all pictures from comparisons among themselves (``redaes rank``)."""
    schedule = ranking.Schedule(n, max_pairs=n_pairs, seed=seed)
    outcomes: list[ranking.Outcome] = []
    while pairs := schedule.next_round():
        first, second = np.array(pairs, dtype=np.intp).T
        for i, j, p in zip(first, second, ask(first, second)[0], strict=True):
            schedule.record(int(i), int(j), float(p), 2.0)
            outcomes.append((int(i), int(j), float(p), 2.0))
    return ranking.fit_sparse(n, outcomes).values


# --- from labels alone ------------------------------------------------------------------------------------------------

Figures = dict[tuple[str, str, int], list[tuple[float, float, float]]]
"""Judge, way and comparisons a picture to SRCC, PLCC and questions a picture with those of the set, by seed: means over
the benchmarks."""


def agreement(scores: Vector, labels: Vector) -> tuple[float, float]:
    """SRCC and PLCC."""
    return float(stats.spearmanr(scores, labels).statistic), float(np.corrcoef(scores, labels)[0, 1])


def simulate(folder: Path) -> Figures:
    """All judges on all benchmarks."""
    figures: Figures = {}
    benchmarks = labels_of(folder)
    for name, judge in JUDGES.items():
        for seed in range(SEEDS):
            rows: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
            for everything in benchmarks.values():
                drawn = np.random.default_rng([seed, 0]).permutation(len(everything))[:PICTURES]
                labels = everything[drawn]
                strengths, noisy = judge.about(labels, seed)
                items = np.arange(CANDIDATES, len(labels))

                def asked(way: str) -> Ask:
                    return judge.asked(strengths, noisy, seed, way)  # noqa: B023

                for key, (scores, n) in all_ways(asked, np.arange(CANDIDATES), items, BUDGETS, seed).items():
                    cost = 2 * key[1] + n / len(items)
                    rows.setdefault(key, []).append((*agreement(scores, labels[items]), cost))
                for n in TOURNAMENT_BUDGETS:
                    scores = tournament(asked(f"tournament{n}"), len(labels), n * len(labels), seed)
                    rows.setdefault(("tournament", n), []).append((*agreement(scores, labels), 2.0 * n))
            for (way, n), values in rows.items():
                srcc, plcc, cost = np.mean(values, axis=0).tolist()
                figures.setdefault((name, way, n), []).append((srcc, plcc, cost))
    return figures


def show(figures: Figures) -> None:
    """Print a table for each judge."""
    for name in dict.fromkeys(key[0] for key in figures):
        ways = list(dict.fromkeys(key[1] for key in figures if key[0] == name))
        budgets = sorted({key[2] for key in figures if key[0] == name})
        words = JUDGES[name].words if name in JUDGES else ""
        print(f"\n**{name}** {words}\n\n| | " + " | ".join(f"{2 * n} questions" for n in budgets) + " |")
        print("|---|" + "---|" * len(budgets))
        for way in ways:
            cells = []
            for n in budgets:
                values = np.array(figures.get((name, way, n), []))
                if not len(values):
                    cells.append("")
                    continue
                (srcc, plcc, cost), spread = values.mean(axis=0), values.std(axis=0)
                cells.append(f"{srcc:.3f} ± {spread[0]:.3f} ({plcc:.3f}; {cost:.1f})")
            print(f"| {way} | " + " | ".join(cells) + " |")


_COLOURS = {
    "as before": "#888888",
    "evenly spaced": "#b07aa1",
    "chosen": "#4e79a7",
    "random, adaptive": "#f28e2b",
    "chosen, adaptive": "#d62728",
    "tournament": "#2a8a3a",
}
_SIDE, _HIGH, _LEFT, _TOP = 210, 150, 44, 30


def plot(figures: Figures, file: Path) -> None:
    """A small picture: for each judge SRCC against questions a picture, those of the set included."""
    names = list(dict.fromkeys(key[0] for key in figures))
    across = 3
    width = across * (_SIDE + _LEFT) + 20
    down = -(-(len(names) + 1) // across)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{down * (_HIGH + _TOP + 34) + 8}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, name in enumerate(names):
        values = {key[1:]: np.mean(rows, axis=0) for key, rows in figures.items() if key[0] == name}
        least = float(np.floor(min(v[0] for v in values.values()) * 20) / 20)
        most = float(np.ceil(max(v[0] for v in values.values()) * 20) / 20)
        left = (number % across) * (_SIDE + _LEFT) + _LEFT
        top = (number // across) * (_HIGH + _TOP + 34) + _TOP
        parts.append(f'<text x="{left}" y="{top - 10}" font-weight="bold">{name}</text>')
        for step in range(5):
            level = least + (most - least) * step / 4
            y = top + _HIGH * (1 - step / 4)
            parts.append(f'<path d="M{left} {y:.1f}h{_SIDE}" stroke="#ddd"/>')
            parts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{level:.3f}</text>')
        for questions in (2, 4, 8, 16, 32):
            x = left + _SIDE * np.log2(questions / 1.9) / np.log2(34 / 1.9)
            parts.append(f'<text x="{x:.1f}" y="{top + _HIGH + 14}" text-anchor="middle">{questions}</text>')
        for way, colour in _COLOURS.items():
            points = [
                f"{left + _SIDE * np.log2(v[2] / 1.9) / np.log2(34 / 1.9):.1f},"
                f"{top + _HIGH * (1 - (v[0] - least) / (most - least)):.1f}"
                for (its, _), v in sorted(values.items(), key=lambda one: one[0][1])
                if its == way
            ]
            if points:
                line = " ".join(points)
                parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
                parts += [
                    f'<circle cx="{x}" cy="{y}" r="2.2" fill="{colour}"/>' for x, y in (p.split(",") for p in points)
                ]
    left = (len(names) % across) * (_SIDE + _LEFT) + _LEFT
    top = (len(names) // across) * (_HIGH + _TOP + 34) + _TOP
    parts.append(f'<text x="{left}" y="{top}">SRCC; below: questions a picture,</text>')
    parts.append(f'<text x="{left}" y="{top + 14}">those that the set took included</text>')
    for row, (way, colour) in enumerate(_COLOURS.items()):
        y = top + 36 + 18 * row
        parts.append(f'<path d="M{left} {y - 4}h22" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{left + 30}" y="{y}">{way}</text>')
    file.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


# --- with the embedded model ------------------------------------------------------------------------------------------

PHOTOGRAPHS = 20
SPLITS = 40
"""Draws of the candidates among the pictures; what is left is placed."""
FEW_CANDIDATES = 24
FEW_BUDGETS = (1, 2, 4, 6)


def ladder(photos: Path, folder: Path) -> tuple[list[Path], Vector]:
    """Photographs, each as it is and with one fault in two strengths; and minus the strength, the label."""
    chosen = random.Random(0).sample(list_images(photos, recursive=True), PHOTOGRAPHS)
    rng = np.random.default_rng(0)
    files, labels = [], []
    for number, path in enumerate(chosen):
        whole = load_image(path).image
        whole.thumbnail((512, 512))
        fault = list(FAULTS)[number % len(FAULTS)]
        for level in range(3):
            file = folder / f"{number:02d}_{fault}_{level}.png"
            (whole if level == 0 else FAULTS[fault](whole, level, rng)).save(file)
            files.append(file)
            labels.append(-float(level))
    return files, np.array(labels)


def _noise(image: Image.Image, level: int, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    grain = rng.normal(0, 15 * level, pixels.shape[:2])[..., None]
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


FAULTS: dict[str, Callable[[Image.Image, int, np.random.Generator], Image.Image]] = {
    "blurred": lambda image, level, _: image.filter(ImageFilter.GaussianBlur(level * image.width / 250)),
    "noisy": _noise,
    "dark": lambda image, level, _: ImageEnhance.Brightness(image).enhance(1.0 - 0.3 * level),
    "pale": lambda image, level, _: ImageEnhance.Contrast(image).enhance(1.0 - 0.3 * level),
}


def every_pair(files: Sequence[Path], kept: Path) -> tuple[Vector, Vector]:
    """P(first is better) and lean of all pairs, shape (n, n), from the embedded model, kept as they come."""
    n = len(files)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    said: list[list[float]] = json.loads(kept.read_text()) if kept.exists() else []
    assessor = Assessor(mode="fast")
    loaded = [load_image(file) for file in files]
    for start in range(len(said), len(pairs), 32):
        batch = pairs[start : start + 32]
        for result in assessor.compare_many([(loaded[i], loaded[j]) for i, j in batch]):
            answer = answer_of(result)
            if answer.probability is None or answer.lean is None:
                raise SystemExit(f"{result.first.path} and {result.second.path}: {result.failure}")
            said.append([answer.probability, answer.lean])
        kept.write_text(json.dumps(said))
        print(f"\r{len(said)} of {len(pairs)} pairs", end="", file=sys.stderr, flush=True)
    print(f"{len(said)} pairs, {2 * len(said)} questions, by {assessor.backend.model} @ {assessor.backend.revision}")
    won, lean = np.full((n, n), 0.5), np.zeros((n, n))
    for (i, j), (p, its) in zip(pairs, said, strict=True):
        won[i, j], won[j, i], lean[i, j], lean[j, i] = p, 1.0 - p, its, its
    return won, lean


def replay(photos: Path, folder: Path) -> None:
    """What each way makes of the model's answers, against the faults and against the order of all answers together."""
    folder.mkdir(parents=True, exist_ok=True)
    files, labels = ladder(photos, folder)
    won, lean = every_pair(files, folder / "answers.json")
    n = len(files)
    outcomes = [(i, j, float(won[i, j]), 2.0) for i in range(n) for j in range(i)]
    fitted = ranking.fit_strengths(n, outcomes)
    first, second = np.tril_indices(n, -1)
    expected = sigmoid(fitted.values[first] - fitted.values[second])
    off = np.log(won[first, second] / won[second, first]) - np.log(expected / (1 - expected))
    far = np.abs(fitted.values[first] - fitted.values[second]) > 3
    leans = lean[first, second]
    print(f"strengths: deviation {fitted.values.std():.2f} logits; lean {leans.mean():.2f} ± {leans.std():.2f}")
    print(f"residuals of the log-odds: {off.std():.2f}; of pairs more than 3 logits apart {off[far].std():.2f}")
    print(f"SRCC of the order of all answers with the faults: {agreement(fitted.values, labels)[0]:.3f}")

    def ask(first: Indices, second: Indices) -> tuple[Vector, Vector]:
        return won[first, second], lean[first, second]

    rows: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for seed in range(SPLITS):
        drawn = np.random.default_rng(seed).permutation(n)
        candidates, items = drawn[:FEW_CANDIDATES], drawn[FEW_CANDIDATES:]
        for key, (scores, cost) in all_ways(lambda _way: ask, candidates, items, FEW_BUDGETS, seed).items():
            by_all = agreement(scores, fitted.values[items])[0]
            rows.setdefault(key, []).append((by_all, agreement(scores, labels[items])[0], cost))
    print("\n| | " + " | ".join(f"{2 * n} questions" for n in FEW_BUDGETS) + " |\n|---|" + "---|" * len(FEW_BUDGETS))
    for way in WAYS:
        cells = []
        for budget in FEW_BUDGETS:
            values = np.array(rows.get((way, budget), []))
            cells.append(
                f"{values[:, 0].mean():.3f} ± {values[:, 0].std():.3f}; {values[:, 1].mean():.3f} (+{values[0, 2]:.0f})"
                if len(values)
                else ""
            )
        print(f"| {way} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, metavar="DIR", help="label files of the benchmarks")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs for the embedded model")
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw what the labels gave")
    parser.add_argument("--out", type=Path, default=Path("runs/reference_sets"), help="where their answers are kept")
    args = parser.parse_args()
    if args.labels is None and args.photos is None:
        parser.error("give --labels or --photos")
    began = time.process_time()
    if args.labels is not None:
        figures = simulate(args.labels)
        show(figures)
        if args.plot is not None:
            plot(figures, args.plot)
    if args.photos is not None:
        replay(args.photos, args.out)
    print(f"\n{time.process_time() - began:.0f} CPU-seconds")
    sys.exit(0)


if __name__ == "__main__":
    main()
