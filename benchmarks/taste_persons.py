"""Whether a taste is learnt, of people who are made up: their rules are known, so every answer can be checked.

    python benchmarks/taste_persons.py PHOTOGRAPHS [--seeds 3] [--trials 40] [--parts accuracy claims questions]

A person is a rule that is read off the pixels, or off the part of the frame that a crop left: "warm and dark", "no
tight crops", "soft light", the same with 20 % of the answers turned round, and one who answers at random. Pictures are
five versions of each photograph by the embedded editor, each with up to five edits at once, so that no rule is the
matter of one edit. A person skips pairs between which the difference is hardly to be seen. Persons are asked about half
of the photographs, and what was learnt is tested on the other half, against the rule without its noise.

What is forgotten is counted on RED pairs of the test photographs: all of them, and those that the person's rule says
nothing about; for where the rule contradicts the label, somebody with this taste would call the label wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.editors.parametric import OPERATIONS, apply_edit
from redaes.datagen.pipeline import build
from redaes.images import IMAGE_SUFFIXES, content_id, load_image
from redaes.ranking import Outcome, Strengths, fit_strengths
from redaes.records import read_records
from redaes.taste.decisions import DecidedPicture, TasteDecision
from redaes.taste.direction import TasteKernel
from redaes.taste.edits import EditedPair, make_edited_pairs
from redaes.taste.learning import TasteBase, TasteReadings, TasteSettings, learn_row
from redaes.taste.questions import Teaching, expected_information
from redaes.taste.reader import PairReadings

SIDE = 256
VERSIONS = 5
ASKED_WHOLE = 60
"""Photographs of which every pair of versions may be asked about: what questions are chosen among."""
DECISIONS = (10, 30, 100, 300)
QUESTIONS = (10, 30, 60)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Version:
    """A picture, and what rules are about."""

    picture: DecidedPicture
    photograph: int
    qualities: tuple[float, float, float]
    """Warm and dark, wide (share of the frame's side that is left), soft."""


@dataclass(frozen=True)
class Person:
    """Somebody who prefers more of a quality."""

    name: str
    quality: int | None
    """None: answers at random."""
    seen: float = 0.0
    """Least difference that is seen."""
    noise: float = 0.0
    """Share of the answers that are turned round."""
    across: bool = True
    """Whether pictures of different photographs are compared, too."""


PERSONS = (
    Person("warm and dark", 0, 0.5),
    Person("no tight crops", 1, 0.1, across=False),
    Person("soft light", 2, 3.0),
    Person("soft light, 20 % noise", 2, 3.0, noise=0.2),
)
RANDOM = Person("at random", None)


def qualities(pixels: NDArray[np.uint8], frame: float) -> tuple[float, float, float]:
    """What the rules look at: in CIE L*a*b*, over all pixels.

    Args:
        pixels: (H, W, 3) sRGB.
        frame: share of the frame's side that is left.
    """
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness, warmth = lab[..., 0], lab[..., 2]
    return float(warmth.mean() / 12 - lightness.mean() / 13), frame, -float(lightness.std())


def drawn_edits(rng: np.random.Generator) -> list[str]:
    """Up to five operations, one of each kind."""
    kinds = (
        (("tight_crop",), 0.6),
        (("exposure_down", "exposure_up"), 0.7),
        (("cast_warm", "cast_cool"), 0.7),
        (("contrast_down", "contrast_up", "haze"), 0.75),
        (("saturation_down", "saturation_up", "vignette", "defocus"), 0.5),
    )
    return [str(rng.choice(names)) for names, share in kinds if rng.random() < share]


def make_versions(photographs: Sequence[Path], folder: Path) -> list[Version]:
    """Versions of each photograph, as PNG files."""
    made: list[Version] = []
    for number, path in enumerate(photographs):
        image = load_image(path).image
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        rng = np.random.default_rng(int(hashlib.sha256(path.name.encode()).hexdigest()[:12], 16))
        for version in range(VERSIONS):
            pixels, frame = np.asarray(image), 1.0
            for operation in drawn_edits(rng):
                strength = float(rng.uniform(0.1, 0.8))
                pixels = apply_edit(pixels, operation, strength, int(rng.integers(1 << 30)))
                frame *= OPERATIONS[operation].frame_share(strength)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", compress_level=1)
            place = folder / f"{number:04d}_{version}.png"
            place.write_bytes(file.getvalue())
            made.append(Version(DecidedPicture(content_id(file.getvalue()), place), number, qualities(pixels, frame)))
    return made


def drawn_pairs(
    versions: Sequence[Version], photographs: Sequence[int], seed: int, whole: int
) -> list[tuple[int, int]]:
    """Places of pairs of versions: all of the first ``whole`` photographs, three of each other, one across each."""
    rng = np.random.default_rng(seed)
    of: dict[int, list[int]] = {}
    for place, version in enumerate(versions):
        of.setdefault(version.photograph, []).append(place)
    pairs: list[tuple[int, int]] = []
    for number, photograph in enumerate(photographs):
        every = list(itertools.combinations(of[photograph], 2))
        chosen = range(len(every)) if number < whole else rng.permutation(len(every))[:3]
        pairs += [every[place] for place in chosen]
        other = int(rng.choice([one for one in photographs if one != photograph]))
        pairs.append((int(rng.choice(of[photograph])), int(rng.choice(of[other]))))
    return [pair if rng.random() < 0.5 else pair[::-1] for pair in pairs]


@dataclass(frozen=True)
class Material:
    """Pairs that have been read once, for all persons."""

    base: TasteBase
    versions: list[Version]
    asked: list[tuple[int, int]]
    tested: list[tuple[int, int]]
    read_asked: PairReadings
    read_tested: PairReadings
    kept: PairReadings
    red: PairReadings
    red_signs: NDArray[np.int_]
    red_qualities: Floats
    """(pairs, 3) of the first picture less those of the second; the middle one is not known."""
    red_framed: NDArray[np.bool_]
    """Whether an edit changed the frame."""

    def differences(self, pairs: Sequence[tuple[int, int]]) -> Floats:
        """(pairs, 3) of the first picture less those of the second."""
        table = np.array([version.qualities for version in self.versions])
        first, second = np.array(pairs).T
        return table[first] - table[second]

    def inside(self, pairs: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
        """Which pairs are two versions of one photograph."""
        return np.array([self.versions[a].photograph == self.versions[b].photograph for a, b in pairs])

    def decided(self, person: Person, pairs: Sequence[tuple[int, int]]) -> tuple[NDArray[np.intp], NDArray[np.int_]]:
        """Places of the pairs that a person decides, and the sign of each pair by the rule."""
        inside = self.inside(pairs)
        if person.quality is None:
            return np.flatnonzero(inside), np.ones(len(pairs), dtype=np.int_)
        difference = self.differences(pairs)[:, person.quality]
        seen = (np.abs(difference) >= person.seen) & (inside | person.across)
        return np.flatnonzero(seen), np.where(difference > 0, 1, -1)

    def silent(self, person: Person) -> NDArray[np.bool_]:
        """Of the RED pairs, those that the person's rule says nothing about."""
        if person.quality == 1:
            return ~self.red_framed
        return np.abs(self.red_qualities[:, person.quality or 0]) < person.seen


def read_material(folder: Path, work: Path, limit: int | None) -> Material:
    """Make all pictures and read all pairs."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    files.sort(key=lambda path: hashlib.sha256(path.name.encode()).digest())
    files = files[:limit]
    half = len(files) // 2
    pictures = work / "versions"
    pictures.mkdir()
    versions = make_versions(files, pictures)
    own = [version.picture.path for version in versions[::VERSIONS] if version.photograph < half]
    edited = make_edited_pairs(own, work / "kept", seed=0)
    build(files[half:], work / "red", DatasetSettings(views=1, variants=3, max_side=SIDE, test_fraction=0.9))
    red, red_qualities, framed = red_pairs(work / "red")
    asked = drawn_pairs(versions, range(half), 0, ASKED_WHOLE)
    tested = drawn_pairs(versions, range(half, len(files)), 1, 0)
    base = TasteBase.load("redaes/nano", None, max_pixels=None)
    shown = [(versions[a].picture, versions[b].picture) for a, b in [*asked, *tested]]
    shown += [(pair.first, pair.second) for pair in [*edited.all, *red]]
    before = cpu_seconds()
    base.reader.look(list({picture.id: picture for pair in shown for picture in pair}.values()))
    looked = cpu_seconds()
    found = base.reader.read([(first.id, second.id) for first, second in shown])
    print(
        f"{len(files)} photographs, {half} of them asked about; {len(shown)} pairs read in "
        f"{cpu_seconds() - looked:.0f} CPU s after {looked - before:.0f} CPU s of looking; "
        f"{len(edited.kept)} pairs kept in mind",
        flush=True,
    )
    ends = np.cumsum([0, len(asked), len(tested), len(edited.kept), len(edited.tested), len(red)])
    part = [found.at(range(low, high)) for low, high in itertools.pairwise(ends.tolist())]
    signs = np.array([pair.sign for pair in red])
    return Material(base, versions, asked, tested, part[0], part[1], part[2], part[4], signs, red_qualities, framed)


def red_pairs(folder: Path) -> tuple[list[EditedPair], Floats, NDArray[np.bool_]]:
    """RED pairs with a better picture, the differences of their qualities, and whether an edit changed the frame."""
    pairs: list[EditedPair] = []
    found: list[Floats] = []
    framed: list[bool] = []
    pictures = folder / "pictures"
    pictures.mkdir()
    for record in itertools.chain(read_records(folder, "train"), read_records(folder, "test")):
        if not record.pair.delta:
            continue
        sides, values = [], []
        for ref, data in ((record.pair.first, record.first_bytes), (record.pair.second, record.second_bytes)):
            (pictures / ref.id).write_bytes(data)
            sides.append(DecidedPicture(ref.id, pictures / ref.id))
            values.append(qualities(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), 1.0))
        pairs.append(EditedPair(sides[0], sides[1], 1 if record.pair.delta > 0 else -1))
        found.append(np.array(values[0]) - np.array(values[1]))
        edits = (record.pair.edit_first, record.pair.edit_second)
        shares = [OPERATIONS[edit.operation].frame_share(edit.strength) for edit in edits if edit is not None]
        framed.append(min(shares, default=1.0) < 1)
    return pairs, np.array(found), np.array(framed)


def cpu_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def agreed(log_odds: Floats, signs: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Which verdicts, over both orders, have these signs."""
    right: NDArray[np.bool_] = (log_odds[:, 0] - log_odds[:, 1]) * signs > 0
    return right


def answers(person: Person, rule: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.int_]:
    """What a person says, pair by pair."""
    turned = rng.random(len(rule)) < (0.5 if person.quality is None else person.noise)
    return np.where(turned, -rule, rule)


def accuracy(material: Material, person: Person, seeds: int, settings: TasteSettings) -> None:
    """Print held-out accuracy by the number of decisions, and what is forgotten."""
    asked, rule = material.decided(person, material.asked)
    tested, truth = material.decided(person, material.tested)
    silent = material.silent(person)
    both = PairReadings.joined(material.read_tested.at(tested), material.red)
    before = agreed(both.log_odds[: len(tested)], truth[tested]).mean()
    red_before = agreed(material.red.log_odds, material.red_signs)
    contradicted = 0.0
    if person.quality in (0, 2):
        by_rule = np.sign(material.red_qualities[:, person.quality])
        contradicted = float((~silent & (by_rule != material.red_signs)).mean())
    print(
        f"\n{person.name}: {len(tested)} test pairs, base {before:.3f}; RED {len(red_before)} pairs, base "
        f"{red_before.mean():.3f}, rule silent on {silent.mean():.2f} of them (base there "
        f"{red_before[silent].mean():.3f}), contradicts {contradicted:.2f}"
    )
    print("| decisions | accuracy (least to most) | RED after | RED after, rule silent | CPU s |")
    print("|---|---|---|---|---|")
    for n in (n for n in DECISIONS if n <= len(asked)):
        rows = []
        started = cpu_seconds()
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            chosen = rng.permutation(asked)[:n]
            said = answers(person, rule[chosen], rng)
            pairs = PairReadings.joined(material.read_asked.at(chosen), both)
            kernel = TasteKernel.of(
                material.base.reader.head, pairs, material.kept, n_learnt=n, ridge=settings.ridge, keep=settings.keep
            )
            weights = kernel.learnt(range(n), (said + 1) / 2)
            after = kernel.after(range(n, len(pairs.log_odds)), range(n), weights)
            red = agreed(after[len(tested) :], material.red_signs)
            rows.append((agreed(after[: len(tested)], truth[tested]).mean(), red.mean(), red[silent].mean()))
        mean = np.mean(rows, axis=0)
        spread = [row[0] for row in rows]
        print(
            f"| {n} | {mean[0]:.3f} ({min(spread):.3f} to {max(spread):.3f}) | {mean[1]:.3f} | {mean[2]:.3f} | "
            f"{(cpu_seconds() - started) / seeds:.1f} |",
            flush=True,
        )


def claimed(material: Material, person: Person, n: int, seed: int, settings: TasteSettings) -> bool:
    """Whether the command would say that something was learnt from ``n`` decisions."""
    asked, rule = material.decided(person, material.asked)
    rng = np.random.default_rng(1000 + seed)
    chosen = rng.permutation(asked[material.inside(material.asked)[asked]])[:n]
    said = answers(person, rule[chosen], rng)
    decisions = []
    for place, sign in zip(chosen.tolist(), said.tolist(), strict=True):
        first, second = (material.versions[one] for one in material.asked[place])
        name = f"{place:06d}"
        decisions.append(
            TasteDecision(name, first.picture, second.picture, (sign + 1) / 2, f"photograph {first.photograph}")
        )
    order = sorted(range(n), key=lambda place: decisions[place].id)
    readings = TasteReadings(material.read_asked.at(chosen[order]), material.kept, material.red.at(range(1)))
    ordered = [decisions[place] for place in order]
    row = learn_row(material.base.reader.head, ordered, readings, material.red_signs[:1].tolist(), settings)
    return row.claim.better


def claims(material: Material, seeds: int, trials: int, settings: TasteSettings) -> None:
    """Print how often it is claimed that something was learnt."""
    print("\n| person | decisions | claims |\n|---|---|---|")
    for person in (*PERSONS, RANDOM):
        for n in (30, 100):
            repeats = trials // 2 if person is RANDOM else seeds
            found = sum(claimed(material, person, n, seed, settings) for seed in range(repeats))
            print(f"| {person.name} | {n} | {found} of {repeats} |", flush=True)


@dataclass(frozen=True)
class Pool:
    """Pairs within series that questions are chosen among, and pairs to test on."""

    kernel: Floats
    """(pool + tested, the same) covariance of the verdicts before any answer, doubled: each answer counts in both
    orders."""
    loose: Floats
    """The same without the pairs that are kept in mind."""
    before: Floats
    """Log-odds of the first, the mean over both orders."""
    n: int
    series: list[tuple[int, int, int]]
    """Of each pair of the pool: series and its two pictures, counted from 0 in it."""
    strengths: list[Strengths]
    """What the model says of each series."""


def make_pool(material: Material, places: Sequence[int], tested: NDArray[np.intp], settings: TasteSettings) -> Pool:
    """The pool at some places of the pairs that may be asked about."""
    both = PairReadings.joined(material.read_asked.at(places), material.read_tested.at(tested))
    kernels = []
    for keep in (settings.keep, 0.0):
        kernel = TasteKernel.of(
            material.base.reader.head, both, material.kept, n_learnt=30, ridge=settings.ridge, keep=keep
        ).kernel
        apart = kernel[0::2] - kernel[1::2]
        kernels.append((apart[:, 0::2] - apart[:, 1::2]) / 2)
    before = (both.log_odds[:, 0] - both.log_odds[:, 1]) / 2
    first_of = {}
    for place, version in enumerate(material.versions):
        first_of.setdefault(version.photograph, place)
    numbers: dict[int, int] = {}
    series, outcomes = [], []
    for number, place in enumerate(places):
        a, b = material.asked[place]
        photograph = material.versions[a].photograph
        start = first_of[photograph]
        at = numbers.setdefault(photograph, len(numbers))
        series.append((at, a - start, b - start))
        outcomes.append((at, a - start, b - start, float(1 / (1 + np.exp(-before[number])))))
    by_series: list[list[Outcome]] = [[] for _ in numbers]
    for at, i, j, p in outcomes:
        by_series[at].append((i, j, p, 2.0))
    strengths = [fit_strengths(VERSIONS, some) for some in by_series]
    return Pool(kernels[0], kernels[1], before, len(places), series, strengths)


@dataclass(frozen=True)
class Posterior:
    """What is known of all verdicts after some answers (Laplace's approximation)."""

    mean: Floats
    """Log-odds of the first picture of each pair."""
    covariance: Floats


def posterior(kernel: Floats, before: Floats, asked: Sequence[int], said: Floats) -> Posterior:
    """Learn from answers.

    Args:
        kernel: (N, N) covariance of the verdicts before any answer.
        before: (N,) their means.
        asked: places of the answers.
        said: 1: the first is preferred, 0: the second, 0.5: neither.
    """
    if not len(asked):
        return Posterior(before, kernel)
    at = np.array(asked)
    inner, across = kernel[np.ix_(at, at)], kernel[:, at]
    weights = np.zeros(len(at))
    for _ in range(60):
        share = 1 / (1 + np.exp(-np.clip(before[at] + inner @ weights, -30, 30)))
        curve = np.maximum(share * (1 - share), 1e-3)
        noisy = inner + np.diag(1 / curve)
        step = np.linalg.solve(noisy, inner @ weights + (said - share) / curve) - weights
        reach = np.abs(inner @ step).max()
        weights = weights + step * min(1.0, 3.0 / max(reach, 1e-9))
        if reach < 1e-3:
            break
    return Posterior(before + across @ weights, kernel - across @ np.linalg.solve(noisy, across.T))


Rule = Callable[[Pool, Sequence[int], Floats, np.random.Generator], int]
"""From what was asked and said so far to the next place; places that were asked already are left out."""


def best(worth: Floats, asked: Sequence[int], n: int) -> int:
    """The place with the greatest worth among those not asked."""
    left = worth[:n].copy()
    left[list(asked)] = -np.inf
    return int(left.argmax())


def by_lot(pool: Pool, asked: Sequence[int], said: Floats, rng: np.random.Generator) -> int:
    """Any pair."""
    return best(rng.random(pool.n), asked, pool.n)


def by_evenness(pool: Pool, asked: Sequence[int], said: Floats, rng: np.random.Generator) -> int:
    """The pair whose probability, as far as it was learnt, is closest to one half."""
    found = posterior(pool.kernel, pool.before, asked, said)
    return best(-np.abs(found.mean), asked, pool.n)


def by_information(pool: Pool, asked: Sequence[int], said: Floats, rng: np.random.Generator) -> int:
    """The pair whose answer is expected to tell most about the direction."""
    found = posterior(pool.kernel, pool.before, asked, said)
    return best(expected_information(found.mean[: pool.n], found.covariance.diagonal()[: pool.n]), asked, pool.n)


def by_variance(pool: Pool, asked: Sequence[int], said: Floats, rng: np.random.Generator) -> int:
    """The pair whose answer lowers the variance of all verdicts most; the model's own verdict is not believed."""
    n = pool.n
    found = posterior(pool.loose[:n, :n], np.zeros(n), asked, said)
    variance = found.covariance.diagonal()
    share = 1 / (1 + np.exp(-found.mean / np.sqrt(1 + np.pi * variance / 8)))
    noise = 1 / np.maximum(share * (1 - share), 0.02)
    return best((found.covariance**2).sum(0) / (variance + noise), asked, n)


def by_strengths(pool: Pool, asked: Sequence[int], said: Floats, rng: np.random.Generator) -> int:
    """The pair that `Teaching` asks: by the strengths of each series alone."""
    teaching = Teaching(pool.strengths, seed=0)
    for place, one in zip(asked, said.tolist(), strict=True):
        teaching.answer(*pool.series[place], one)
    found = teaching.next_pair()
    place_of = {(at, *sorted((i, j))): place for place, (at, i, j) in enumerate(pool.series)}
    if found is None:
        raise ValueError("every pair was asked about")
    return place_of[(found.series, *sorted((found.first, found.second)))]


RULES: dict[str, Rule] = {
    "by lot": by_lot,
    "closest to one half": by_evenness,
    "most information on the direction": by_information,
    "least variance, model not believed": by_variance,
    "by strengths within series": by_strengths,
}


def questions(material: Material, seeds: int, settings: TasteSettings) -> None:
    """Print accuracy by the number of questions, for each way to choose them from the same pairs of half the series."""
    print("\n| person | questions chosen | " + " | ".join(map(str, QUESTIONS)) + " |")
    print("|---|---|" + "---|" * len(QUESTIONS))
    inside = np.flatnonzero(material.inside(material.asked))
    photographs = np.array([material.versions[material.asked[place][0]].photograph for place in inside])
    for person in PERSONS:
        seen, rule = material.decided(person, material.asked)
        tested, truth = material.decided(person, material.tested)
        found: dict[str, list[list[float]]] = {name: [] for name in RULES}
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            series = rng.permutation(ASKED_WHOLE)[: ASKED_WHOLE // 2]
            places = inside[np.isin(photographs, series)]
            pool = make_pool(material, places.tolist(), tested, settings)
            said_of = (answers(person, rule[places], rng) + 1) / 2
            said_of[~np.isin(places, seen)] = 0.5  # a question, and no difference to be seen
            for name, choose in RULES.items():
                asked: list[int] = []
                row = []
                for n in range(1, max(QUESTIONS) + 1):
                    asked.append(choose(pool, asked, said_of[asked], rng))
                    if n in QUESTIONS:
                        mean = posterior(pool.kernel, pool.before, asked, said_of[asked]).mean[pool.n :]
                        row.append(float((mean * truth[tested] > 0).mean()))
                found[name].append(row)
        for name, rows in found.items():
            cells = [f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(np.mean(rows, 0), np.std(rows, 0), strict=True)]
            print(f"| {person.name} | {name} | " + " | ".join(cells) + " |", flush=True)


def parse_args() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description="whether a taste is learnt, of people who are made up")
    parser.add_argument("photographs", type=Path, help="folder, searched with its subfolders")
    parser.add_argument("--seeds", type=int, default=3, help="repetitions with other decisions")
    parser.add_argument("--trials", type=int, default=40, help="of the person who answers at random")
    parser.add_argument("--limit", type=int, help="use so many photographs")
    parser.add_argument("--keep", type=float, default=TasteSettings().keep, help="weight of the pairs kept in mind")
    parser.add_argument("--parts", nargs="+", default=["accuracy", "claims", "questions"], help="what to measure")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Read once, then measure."""
    settings = TasteSettings(keep=args.keep)
    with tempfile.TemporaryDirectory() as work:
        material = read_material(args.photographs, Path(work), args.limit)
        if "accuracy" in args.parts:
            for person in PERSONS:
                accuracy(material, person, args.seeds, settings)
        if "claims" in args.parts:
            claims(material, args.seeds, args.trials, settings)
        if "questions" in args.parts:
            questions(material, args.seeds, settings)
    print(f"{cpu_seconds():.0f} CPU s in all", file=sys.stderr)


if __name__ == "__main__":
    main(parse_args())
