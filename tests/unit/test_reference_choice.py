"""Reference sets that are chosen by what they tell, and pictures that are placed with few comparisons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.assessing.choosing import choose, known_references
from redaes.assessing.results import Unplaced
from redaes.assessor import Assessor
from redaes.backends.base import Answer, Request
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken
from redaes.cli.app import app
from redaes.errors import BackendError, ImageError, InputError, RecordError
from redaes.images import content_id
from redaes.points import sigmoid
from redaes.ranking import (
    PRIOR_SD,
    KnownReferences,
    Outcome,
    Placements,
    choose_informative,
    dispersions,
    fit_one,
    population,
)
from redaes.ranking.placements import information
from redaes.references import read_reference_set, references_of, write_reference_set
from redaes.types import ImageRef, PairAnswer, Ranking

N = 20


class Brightness:
    """Prefers the brighter picture by log-odds of a tenth of the difference of their grey values, plus a lean to the
    picture shown first; ``silent`` about pictures with these grey values; gone after about ``limit`` questions."""

    model = "brightness"
    revision = "1"

    def __init__(self, lean: float = 0.0, silent: Sequence[int] = (), limit: int | None = None) -> None:
        self.lean, self.silent, self.limit = lean, set(silent), limit
        self.asked: list[tuple[int, int]] = []

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        found: list[Answer | Failure] = []
        if self.limit is not None and len(self.asked) >= self.limit:
            raise BackendError("the judge is gone")
        for request in requests:
            first, second = (int(np.asarray(picture)[0, 0, 0]) for picture in request.pixels)
            self.asked.append((first, second))
            if self.silent & {first, second}:
                found.append(Failure("silent", "says nothing"))
                continue
            p = float(sigmoid((first - second) / 10 + self.lean))
            rows = [np.log(p), np.log1p(-p), *([-30.0] * (len(request.choices) - 2))]
            read = NextToken.exactly(dict(zip(request.choices, map(float, rows), strict=True)))
            found.append(Answer(text=None, read=read))
        return found


def greys(folder: Path, values: Sequence[int]) -> list[ImageRef]:
    folder.mkdir(parents=True, exist_ok=True)
    refs = []
    for value in values:
        file = folder / f"{value:03d}.png"
        Image.new("RGB", (40, 40), (value, value, value)).save(file)
        refs.append(ImageRef(id=content_id(file.read_bytes()), path=file))
    return refs


def _fast(backend: Brightness | None = None) -> Assessor:
    return Assessor(backend or Brightness(), mode="fast")


def known(values: Sequence[float], variances: float = 0.0, deviation: float = 3.0) -> KnownReferences:
    k = len(values)
    return KnownReferences(np.array(values), np.full(k, variances), np.ones(k), 0.0, deviation)


def test_information_is_the_inverse_of_what_a_comparison_is_uncertain_by() -> None:
    references = KnownReferences(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.3]), np.array([1.0, 2.0, 2.0]), 0, 1)
    fisher = 2.0 * 0.25, 2.0 * float(sigmoid(-1.0) * sigmoid(1.0))
    assert information(np.zeros(1), references, 2.0)[0] == pytest.approx(
        [fisher[0], fisher[1] / 2.0, 1.0 / (2.0 / fisher[1] + 0.3)]
    )


def test_placements_find_the_strength_that_fits_alone() -> None:
    references = known([-1.0, 0.0, 2.0])
    placements = Placements(2, references)
    outcomes = [(0, 0.8), (2, 0.3), (1, 0.7)]
    for reference, won in outcomes:
        placements.record(1, reference, won, 2.0)
    strength, _ = fit_one([(float(references.values[reference]), won, 2.0) for reference, won in outcomes])
    assert placements.strengths() == pytest.approx([0.0, strength], abs=1e-6)
    assert placements.errors()[0] == 3.0  # nothing was asked about the first
    assert placements.errors()[1] < 1.0


def test_placements_find_the_strength_where_answers_surprise() -> None:
    """References that are little known, answers of many calls that contradict each other: steps by the curvature that
    is expected went to and fro there, and the answer depended on where they were cut off."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        k = int(rng.integers(2, 8))
        references = KnownReferences(rng.normal(0, 3, k), rng.uniform(1, 20, k), rng.uniform(0.3, 4, k), 0.3, 4.0)
        won, weights = rng.choice([0.0, 0.5, 1.0], k), rng.choice([2.0, 16.0, 200.0], k)
        placements = Placements(1, references)
        placements.record_many(np.zeros(k, dtype=np.intp), np.arange(k), won, weights)
        grid = np.linspace(-20, 20, 40_001)[:, None]
        expected = sigmoid(grid - references.values)
        spread = expected * (1.0 - expected)
        told = weights * (won - expected) / (references.dispersions + weights * spread * references.variances)
        gradient = told.sum(axis=1) - (grid[:, 0] - 0.3) / 16.0
        root = float(grid[np.abs(gradient).argmin(), 0])  # it falls everywhere, so there is one
        assert placements.strengths()[0] == pytest.approx(root, abs=2e-3)


def test_the_next_reference_is_the_nearest_that_is_not_asked_yet() -> None:
    placements = Placements(1, known([-4.0, -2.0, 0.0, 2.0, 4.0]))
    order = []
    for _ in range(5):
        (place,) = placements.next_references().tolist()
        order.append(place)
        if place == 3:
            placements.close(0, place)  # no usable answer: never asked again
        else:
            placements.record(0, place, 0.97, 2.0)
    assert order[:3] == [2, 3, 4]
    assert placements.next_references().tolist() == [-1]


@pytest.mark.parametrize(("deviation", "told"), [(2.0, 1), (0.3, 0)])
def test_what_tells_most_is_averaged_over_what_a_strength_may_be(deviation: float, told: int) -> None:
    """The nearest reference tells most of a strength that is known; of one that may be anywhere, the consistent one."""
    references = KnownReferences(np.array([0.0, 1.5]), np.zeros(2), np.array([1.05, 0.8]), 0.0, deviation)
    assert Placements(1, references).next_references().tolist() == [told]


def test_what_is_known_of_candidates_goes_with_the_chosen() -> None:
    ids = ["a", "b", "c", "d"]
    scores, errors = [2.0, 1.0, -0.5, -2.5], [0.4, 0.5, 0.3, 0.6]
    ranked = Ranking(
        order=tuple(ids),
        scores=dict(zip(ids, scores, strict=True)),
        errors=dict(zip(ids, errors, strict=True)),
        n_comparisons=5,
        n_calls=20,
        n_failed=3,
        n_cycles=0,
        settled=None,
    )
    said = [("a", "b", 0.6, 0), ("c", "a", 0.4, 3), ("b", "d", 0.9, 0), ("d", "c", 0.2, 0), ("a", "d", None, 4)]
    answers = [
        PairAnswer(first=first, second=second, probability=won, n_calls=4, n_failed=lost)
        for first, second, won, lost in said
    ]
    found, choice = choose(ranked, answers, 2, 1, 4.0)
    places = {one: place for place, one in enumerate(ids)}
    usable = [(places[a], places[b], won, 4.0 - lost) for a, b, won, lost in said if won is not None]
    spread = dispersions(np.array(scores), usable)  # an answer counts as often as it was given
    zero = float(np.mean([scores[places[one]] for one in found.order]))
    mean, deviation = population(np.array(scores), np.array(errors) ** 2)
    assert choice.mean == pytest.approx(mean - zero)  # from the mean of the chosen, as their strengths are
    assert choice.deviation == pytest.approx(deviation)
    assert choice.dispersions == pytest.approx({one: spread[places[one]] for one in found.order})
    assert found.scores == pytest.approx({one: scores[places[one]] - zero for one in found.order})
    assert len(found.order) == 2
    chosen = known_references(found.order, found, choice)
    assert (chosen.mean, chosen.deviation) == (choice.mean, choice.deviation)
    assert chosen.dispersions.tolist() == [choice.dispersions[one] for one in found.order]
    other = known_references(ids, ranked, None)  # nothing is known of the pictures that come
    assert (other.mean, other.deviation, other.dispersions.tolist()) == (0.0, PRIOR_SD, [1.0] * 4)


def test_the_choice_is_the_best_of_all_where_all_can_be_tried() -> None:
    """Greedily chosen sets against every set of that size, by the mean posterior variance worked out anew."""
    from itertools import combinations

    rng = np.random.default_rng(0)
    values, variances = rng.normal(0, 2, 9), rng.uniform(0.05, 0.6, 9)
    candidates = KnownReferences(values, variances, rng.uniform(0.5, 2, 9), float(values.mean()), float(values.std()))

    def error(chosen: Sequence[int], n: int) -> float:
        total = 0.0
        for x in values:
            told = []
            for j in chosen:
                p = float(sigmoid(x - values[j]))
                told.append(1.0 / (candidates.dispersions[j] / (2 * p * (1 - p)) + variances[j]))
            total += 1.0 / (1.0 / candidates.deviation**2 + sum(sorted(told)[-n:]))
        return float(np.sqrt(total / len(values)))

    for k, n in ((1, 1), (2, 1), (3, 2), (3, 5)):
        found = choose_informative(candidates, k, n)
        assert found.expected_errors[-1] == pytest.approx(error(found.indices, n))
        every = sorted(error(chosen, n) for chosen in combinations(range(9), k))
        assert found.expected_errors[-1] <= every[0] * 1.05
    assert choose_informative(candidates, 3, 2).indices[:2] == choose_informative(candidates, 2, 2).indices


@pytest.mark.parametrize("k", [0, 4])
def test_a_choice_that_cannot_be(k: int) -> None:
    with pytest.raises(InputError, match=f"{k} references of 3 candidates"):
        choose_informative(known([0.0, 1.0, 2.0]), k, 1)


def _answers(noisy: int, *, leans: bool) -> tuple[np.ndarray, list[Outcome], list[float | None]]:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 12)
    outcomes: list[Outcome] = []
    found: list[float | None] = []
    for i in range(12):
        for j in range(i):
            noise = 2.0 if noisy in (i, j) else 0.2
            off = 0.0 if leans else noise * rng.standard_normal()
            outcomes.append((i, j, float(sigmoid(values[i] - values[j] + off)), 2.0))
            found.append(0.7 + noise * rng.standard_normal() if leans else None)
    return values, outcomes, found


@pytest.mark.parametrize("leans", [False, True])
def test_a_picture_that_is_judged_inconsistently_is_found(leans: bool) -> None:
    """By residuals, and by orders that disagree beyond the judge's usual lean."""
    values, outcomes, found = _answers(5, leans=leans)
    spread = dispersions(values, outcomes, found)
    assert spread.argmax() == 5
    assert spread[5] > 1.3 * np.delete(spread, 5).max()


def test_a_lean_that_is_always_the_same_says_nothing_of_a_picture() -> None:
    values, outcomes, _ = _answers(5, leans=True)
    exact: list[Outcome] = [(i, j, float(sigmoid(values[i] - values[j])), w) for i, j, _, w in outcomes]
    same = dispersions(values, exact, [1.5] * len(exact))
    assert same == pytest.approx(dispersions(values, exact))


def test_errors_are_taken_off_the_spread_of_a_population() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = population(1.0 + rng.normal(0, np.sqrt(4 + 1), 4000), np.ones(4000))
    assert mean == pytest.approx(1.0, abs=0.1)
    assert deviation == pytest.approx(2.0, abs=0.1)


# --- with pictures ----------------------------------------------------------------------------------------------------


def test_a_set_is_chosen_and_kept(tmp_path: Path) -> None:
    refs = greys(tmp_path / "greys", range(40, 40 + 6 * N, 6))
    kept: list[Sequence[PairAnswer]] = []
    whole = _fast().reference_set("greys", refs, keep=5, comparisons=2, on_answers=kept.append)
    assert whole.choice is not None
    assert (len(whole.pictures), whole.choice.n_candidates, whole.choice.comparisons) == (5, N, 2)
    assert set(whole.ranking.scores) == set(whole.choice.dispersions) == {one.id for one in whole.pictures}
    assert sum(whole.ranking.scores.values()) == pytest.approx(0.0, abs=1e-9)
    assert whole.ranking.n_calls == 2 * 4 * N  # what the candidates took
    file = tmp_path / "set.json"
    write_reference_set(file, whole)
    assert read_reference_set(file) == whole
    # Reaches over the strengths that there are, in place of one spot.
    places = sorted(refs.index(one) for one in whole.pictures)
    assert places[0] < N // 3
    assert places[-1] >= N - N // 3

    judge = Brightness()
    again = _fast(judge).reference_set("greys", refs[::-1], keep=5, comparisons=2, known=kept[len(kept) // 2])
    assert again.ranking == whole.ranking
    assert again.choice == whole.choice
    assert len(judge.asked) == 2 * 4 * N - 2 * len(kept[len(kept) // 2])


def test_answers_about_other_pictures_are_no_hindrance(tmp_path: Path) -> None:
    """Answers that are at hand, of a larger series and in another order, give the same set as answers asked now."""
    refs = greys(tmp_path, range(40, 40 + 6 * N, 6))
    kept: list[Sequence[PairAnswer]] = []
    _fast().rank(refs, on_answers=kept.append)
    fresh = _fast().reference_set("some", refs[:12], keep=4, comparisons=2)
    at_hand = _fast().reference_set("some", refs[:12], keep=4, comparisons=2, known=kept[-1][::-1])
    assert at_hand.choice is not None
    assert at_hand.choice.n_candidates == 12
    assert {one.id for one in at_hand.pictures} <= {one.id for one in refs[:12]}
    asked: list[Sequence[PairAnswer]] = []
    _fast().reference_set("some", refs[:12], keep=4, comparisons=2, on_answers=asked.append)
    again = _fast().reference_set("some", refs[:12], keep=4, comparisons=2, known=asked[-1][::-1])
    assert again == fresh


def test_the_order_of_references_changes_no_question(tmp_path: Path) -> None:
    """Even where all of them would tell the same."""
    references = _fast().reference_set("greys", greys(tmp_path / "greys", range(40, 160, 10)))
    even = {one: 0.0 for one in references.ranking.scores}
    same = references.ranking.model_copy(update={"scores": even, "errors": {one: 0.3 for one in even}})
    (shown,) = greys(tmp_path / "shown", [101])
    judges = Brightness(), Brightness()
    for judge, pictures in zip(judges, (references.pictures, references.pictures[::-1]), strict=True):
        given = references.model_copy(update={"ranking": same, "pictures": pictures})
        _fast(judge).score_many([shown.path], given, comparisons=3)
    assert judges[0].asked == judges[1].asked


def test_the_lean_of_a_judge_is_written_down(tmp_path: Path) -> None:
    refs = greys(tmp_path, (90, 100, 110))
    kept: list[Sequence[PairAnswer]] = []
    _fast(Brightness(lean=0.5)).reference_set("greys", refs, on_answers=kept.append)
    assert [one.lean for one in kept[-1]] == pytest.approx([0.5] * 3)


def test_pictures_are_placed_with_few_comparisons(tmp_path: Path) -> None:
    refs = greys(tmp_path / "greys", range(40, 40 + 6 * N, 6))
    references = _fast().reference_set("greys", refs, keep=10, comparisons=3)
    shown = greys(tmp_path / "shown", range(43, 160, 12))
    judge = Brightness()
    found = _fast(judge).score_many([one.path for one in shown], references, comparisons=3)
    scores = [one for one in found if not isinstance(one, Unplaced)]
    assert len(scores) == len(shown)
    assert [one.n_calls for one in scores] == [6] * len(shown)
    assert len(judge.asked) == 6 * len(shown)
    strengths = [one.strength for one in scores]
    assert strengths == sorted(strengths)
    alone = [_fast().score_many([one.path], references, comparisons=3)[0] for one in shown]
    assert alone == found  # what is asked about a picture does not depend on the others


def test_enough_ends_the_questions(tmp_path: Path) -> None:
    references = _fast().reference_set("greys", greys(tmp_path / "greys", range(40, 160, 6)), keep=12)
    (shown,) = greys(tmp_path / "shown", [101])
    counts = []
    for enough in (0.0, 0.4, 50.0):
        (found,) = _fast().score_many([shown.path], references, comparisons=12, enough=enough)
        assert not isinstance(found, Unplaced)
        counts.append(found.n_calls)
    assert counts[0] == 24
    assert counts[0] > counts[1] > counts[2] == 2


def test_unanswered_comparisons_are_counted_and_never_filled_in(tmp_path: Path) -> None:
    refs = greys(tmp_path / "greys", range(40, 160, 6))
    references = _fast().reference_set("greys", refs, keep=8, comparisons=4)
    shown = greys(tmp_path / "shown", [55, 101])
    judge = Brightness(silent=[55])
    lost, found = _fast(judge).score_many([one.path for one in shown], references, comparisons=4)
    assert isinstance(lost, Unplaced)
    assert (lost.reason, lost.n_calls, lost.n_failed) == ("no_usable_answer", 8, 8)
    assert "none of the 8 answers" in str(lost)
    assert not isinstance(found, Unplaced)
    assert (found.n_calls, found.n_failed) == (8, 0)
    first = {b for a, b in judge.asked if a == 101} - {101}
    silent = Brightness(silent=[min(first)])
    (partly,) = _fast(silent).score_many([shown[1].path], references, comparisons=4)
    assert not isinstance(partly, Unplaced)
    assert (partly.n_calls, partly.n_failed) == (8, 2)
    assert partly.error > found.error


@pytest.mark.parametrize(("comparisons", "enough"), [(0, 0.0), (3, -1.0), (3, float("nan"))])
def test_settings_that_cannot_be(comparisons: int, enough: float) -> None:
    with pytest.raises(InputError, match="give at least 1 and at least 0"):
        _fast().score_many([], comparisons=comparisons, enough=enough)


def test_a_kept_set_is_chosen_already(tmp_path: Path) -> None:
    refs = greys(tmp_path / "greys", (40, 80, 120))
    write_reference_set(tmp_path / "set.json", _fast().reference_set("greys", refs))
    with pytest.raises(InputError, match="give the folder of the pictures"):
        references_of(tmp_path / "set.json", 2)
    with pytest.raises(InputError, match="4 references cannot be chosen from 3 different candidates"):
        references_of(tmp_path / "greys", 4)


@pytest.mark.parametrize(
    "damage",
    [
        {"ranking": {"scores": 1}},
        {"ranking": {"errors": 1}},
        {"choice": {"dispersions": 1}},
        {"ranking": {"order": 1}},
        {"pictures": 1},
        {"pictures": 4},
        {"ranking": {"errors": -1.0}},
    ],
)
def test_a_set_that_was_damaged(damage: dict[str, Any], tmp_path: Path) -> None:
    """Something is lacking of one picture, or a picture itself, or all."""
    refs = greys(tmp_path / "greys", range(40, 160, 10))
    file = tmp_path / "set.json"
    write_reference_set(file, _fast().reference_set("greys", refs, keep=4))
    found = json.loads(file.read_text())
    ((name, part),) = damage.items()
    where = found
    if isinstance(part, dict):
        where, ((name, part),) = found[name], part.items()
    if part == -1.0:
        where[name][next(iter(where[name]))] = part
    elif isinstance(where[name], dict):
        where[name].popitem()
    else:
        del where[name][:part]
    file.write_text(json.dumps(found))
    with pytest.raises(RecordError, match=r"set\.json is not a reference set .*rank the set again"):
        read_reference_set(file)


def test_a_damaged_picture_is_found_before_any_question(tmp_path: Path) -> None:
    refs = greys(tmp_path / "greys", range(40, 160, 6))
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(refs[-1].path)
    refs[-1].path.write_bytes(refs[-1].path.read_bytes()[:5000])  # its header is whole
    with pytest.raises(ImageError, match=refs[-1].path.name):
        references_of(tmp_path / "greys", 4)


def test_one_picture_is_no_choice(tmp_path: Path) -> None:
    greys(tmp_path / "greys", [100])
    with pytest.raises(InputError, match="there are 1 different candidates for references; give at least 2"):
        references_of(tmp_path / "greys", 2)


def test_the_command_chooses_keeps_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redaes.cli.loading.ModelChoice.load", lambda _self: Brightness())
    greys(tmp_path / "greys", range(40, 160, 6))
    (shown,) = greys(tmp_path / "shown", [101])
    made = CliRunner().invoke(
        app,
        ["score", str(shown.path), "--references", str(tmp_path / "greys"), "--keep", "6", "--comparisons", "2",
         "--save", str(tmp_path / "set.json"), "--json"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert '"n_calls": 4' in made.stdout
    assert '"n_references": 6' in made.stdout
    assert len(read_reference_set(tmp_path / "set.json").pictures) == 6


def test_a_choice_that_was_stopped_asks_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judges = [Brightness(), Brightness(limit=2 * 40), Brightness()]
    left = iter(judges)
    monkeypatch.setattr("redaes.cli.loading.ModelChoice.load", lambda _self: next(left))
    greys(tmp_path / "greys", range(40, 160, 6))
    (shown,) = greys(tmp_path / "shown", [101])

    def save(name: str) -> int:
        words = ["score", str(shown.path), "--references", str(tmp_path / "greys"), "--keep", "6", "--comparisons", "2"]
        return CliRunner().invoke(app, [*words, "--save", str(tmp_path / name)]).exit_code

    assert save("whole.json") == 0
    assert save("stopped.json") != 0
    assert not (tmp_path / "stopped.json").exists()
    assert save("stopped.json") == 0
    assert (tmp_path / "stopped.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert len(judges[2].asked) <= len(judges[0].asked) - 40
    assert sorted(one.name for one in tmp_path.iterdir()) == ["greys", "shown", "stopped.json", "whole.json"]


@pytest.mark.parametrize("how", ["moved", "changed"])
def test_a_kept_set_whose_pictures_are_not_as_they_were(how: str, tmp_path: Path) -> None:
    refs = greys(tmp_path / "greys", range(40, 160, 20))
    file = tmp_path / "set.json"
    write_reference_set(file, _fast().reference_set("greys", refs))
    if how == "moved":
        refs[2].path.rename(tmp_path / "elsewhere.png")
    else:
        refs[2].path.write_bytes(refs[3].path.read_bytes())
    with pytest.raises(InputError, match=rf"set\.json: .*{refs[2].path.name}.*rank the set again"):
        references_of(file)
