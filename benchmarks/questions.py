"""How many answers give a person's order of some pictures: chosen questions against random ones, in simulation.

    python benchmarks/questions.py [--trials 40] [--series 4] [--pictures 8] [--likeness 0.5]

A person's strengths in a few series are normal, and agree with a model's as far as the likeness says; an answer follows
the Bradley-Terry model. What the model says is the same for all rules, as is what is made of the answers; the rules
differ in the pairs that they ask about. "Accuracy" is the share of all pairs within the series that the strengths put
in the person's order, after each answer; the figure is the number of answers after which its mean over the trials stays
at or above a target.

* information: as ``redaes.taste.questions`` has it;
* variance: p (1 - p) times the variance of the difference, as for a model's own rounds;
* even: the pair whose answer is least certain, whatever is known of it;
* random: any pair that was not asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from redaes.points import sigmoid
from redaes.ranking import Outcome, Schedule, Strengths, fit_strengths
from redaes.taste.questions import PERSON_SD, Teaching

Rule = Callable[[Teaching, Sequence[NDArray[np.bool_]], np.random.Generator], tuple[int, int, int]]
"""Series and two pictures of it, of those that are open."""


def informed(
    teaching: Teaching, open_pairs: Sequence[NDArray[np.bool_]], rng: np.random.Generator
) -> tuple[int, int, int]:
    asked = teaching.next_pair()
    assert asked is not None
    return asked.series, asked.first, asked.second


def drawn(
    teaching: Teaching, open_pairs: Sequence[NDArray[np.bool_]], rng: np.random.Generator
) -> tuple[int, int, int]:
    everything = [(s, int(i), int(j)) for s, left in enumerate(open_pairs) for i, j in np.argwhere(left)]
    return everything[rng.integers(len(everything))]


def by_worth(worth: Callable[[Strengths], NDArray[np.float64]]) -> Rule:
    def choose(
        teaching: Teaching, open_pairs: Sequence[NDArray[np.bool_]], rng: np.random.Generator
    ) -> tuple[int, int, int]:
        best = (-1.0, 0, 0, 0)
        for series, left in enumerate(open_pairs):
            table = np.where(left, worth(teaching.strengths(series)), -1.0)
            i, j = np.unravel_index(int(table.argmax()), table.shape)
            best = max(best, (float(table[i, j]), series, int(i), int(j)))
        return best[1:]

    return choose


def _spread(now: Strengths) -> NDArray[np.float64]:
    expected = sigmoid(now.values[:, None] - now.values[None, :])
    return np.asarray(expected * (1.0 - expected) * now.difference_variance)


def _evenness(now: Strengths) -> NDArray[np.float64]:
    gap = now.values[:, None] - now.values[None, :]
    return np.asarray(1.0 / (1.0 + np.abs(gap) / np.sqrt(1.0 + now.difference_variance)))


RULES: dict[str, Rule] = {
    "information": informed,
    "variance": by_worth(_spread),
    "even": by_worth(_evenness),
    "random": drawn,
}


def said_by_model(strengths: NDArray[np.float64], rng: np.random.Generator) -> Strengths:
    """What a model says of pictures that have these strengths for it: as ``redaes rank`` asks."""
    schedule = Schedule(len(strengths), seed=int(rng.integers(2**31)))
    outcomes: list[Outcome] = []
    while pairs := schedule.next_round():
        for i, j in pairs:
            seen = float(sigmoid(float(strengths[i] - strengths[j] + rng.normal(0.0, 0.5))))
            outcomes.append((i, j, seen, 2.0))
            schedule.record(i, j, seen, 2.0)
    return fit_strengths(len(strengths), outcomes)


def accuracies(
    rule: Rule, *, n_series: int, n_pictures: int, likeness: float, n_answers: int, seed: int
) -> NDArray[np.float64]:
    """Share of the pairs in the person's order before any answer, and after each, shape (n_answers + 1,)."""
    rng = np.random.default_rng(seed)
    for_model = rng.normal(0.0, PERSON_SD, (n_series, n_pictures))
    for_person = likeness * for_model + np.sqrt(1.0 - likeness**2) * rng.normal(0.0, PERSON_SD, for_model.shape)
    teaching = Teaching([said_by_model(one, rng) for one in for_model], aim="order", seed=seed)
    whims = np.random.default_rng([seed, 1])
    noise = np.random.default_rng([seed, 2]).random((n_series, n_pictures, n_pictures))
    left = [np.triu(np.ones((n_pictures, n_pictures), dtype=bool), 1) for _ in for_model]

    def accuracy() -> float:
        right = []
        for series, own in enumerate(for_person):
            now = teaching.strengths(series).values
            i, j = np.triu_indices(n_pictures, 1)
            right.append((np.sign(now[i] - now[j]) == np.sign(own[i] - own[j])).mean())
        return float(np.mean(right))

    found = [accuracy()]
    for _ in range(n_answers):
        series, first, second = rule(teaching, left, whims)
        i, j = min(first, second), max(first, second)
        left[series][i, j] = False
        # The same answer to the same question for every rule.
        won = float(noise[series, i, j] < sigmoid(float(for_person[series, i] - for_person[series, j])))
        teaching.answer(series, i, j, won)
        found.append(accuracy())
    return np.array(found)


def answers_for(curve: NDArray[np.float64], target: float) -> int | None:
    """After how many answers a curve stays at or above a target; None: it does not."""
    below = np.flatnonzero(curve < target)
    n = 0 if not len(below) else int(below[-1]) + 1
    return n if n < len(curve) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--series", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--likeness", type=float, default=0.5, help="correlation of the person with the model")
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--targets", type=float, nargs="+", default=[0.75, 0.8, 0.85])
    given = parser.parse_args()
    n_pairs = given.series * given.pictures * (given.pictures - 1) // 2
    n_answers = min(given.answers, n_pairs)
    curves = {}
    for name, rule in RULES.items():
        curves[name] = np.array(
            [
                accuracies(
                    rule,
                    n_series=given.series,
                    n_pictures=given.pictures,
                    likeness=given.likeness,
                    n_answers=n_answers,
                    seed=seed,
                )
                for seed in range(given.trials)
            ]
        )
    marks = [n for n in (0, 10, 20, 30, 50, 80, 100) if n <= n_answers]
    print(
        f"{given.series} series of {given.pictures}, {n_pairs} pairs; likeness {given.likeness}; {given.trials} trials"
    )
    print("accuracy (standard error) after", *(f"{n:>12}" for n in marks))
    for name, curve in curves.items():
        errors = curve.std(axis=0, ddof=1) / np.sqrt(given.trials)
        print(f"{name:>30}", *(f"{curve[:, n].mean():.3f} ({errors[n]:.3f})" for n in marks))
    for target in given.targets:
        needed = {name: answers_for(curve.mean(axis=0), target) for name, curve in curves.items()}
        own, other = needed["information"], needed["random"]
        ratio = f"{other / own:.2f}" if own and other else "none"
        print(f"answers to {target:.0%}: {needed}; random / information: {ratio}")


if __name__ == "__main__":
    main()
