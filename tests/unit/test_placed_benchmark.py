"""Benchmarks of scores through a reference set: chosen without labels, not evaluated, every call counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from redaes.backends.base import Answer, Request
from redaes.backends.failures import Failure
from redaes.backends.next_token import NextToken
from redaes.cli.eval.benchmark import in_words
from redaes.errors import BackendError, InputError
from redaes.evaluation import benchmarks
from redaes.evaluation.assessors import make_assessor
from redaes.evaluation.assessors.base import BenchmarkAssessor
from redaes.evaluation.assessors.local import LocalPairs, LocalScores
from redaes.evaluation.assessors.placed import PlacedScores
from redaes.evaluation.eval_recipe import make_spec
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import RunResults, read_timing, run_assessor
from redaes.points import sigmoid
from redaes.references import read_reference_set, write_reference_set

N = 30
CANDIDATES = 10


class Greys:
    """Prefers the brighter picture; ``limit`` ends it after so many questions, ``silent`` says nothing of these."""

    model = "greys"
    revision = "1"

    def __init__(self, *, limit: int | None = None, silent: Sequence[int] = ()) -> None:
        self.limit, self.silent = limit, set(silent)
        self.asked: list[tuple[int, int]] = []

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        found: list[Answer | Failure] = []
        for request in requests:
            if self.limit is not None and len(self.asked) >= self.limit:
                raise BackendError("the judge is gone")
            first, second = (int(np.asarray(picture)[0, 0, 0]) for picture in request.pixels)
            self.asked.append((first, second))
            if self.silent & {first, second}:
                found.append(Failure("silent", "says nothing"))
                continue
            p = float(sigmoid((first - second) / 20))
            rows = [np.log(p), np.log1p(-p), *([-30.0] * (len(request.choices) - 2))]
            read = NextToken.exactly(dict(zip(request.choices, map(float, rows), strict=True)))
            found.append(Answer(text=None, read=read))
        return found


class Verdicts(Greys):
    """Writes who wins, and no probability can be read."""

    def answer(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        unread = Failure("no_logprob", "none of the listed tokens tells A from B")
        return [Answer(text="Winner: A\nDifference: +1.0", read=unread) for _ in requests]


def grey(place: int) -> int:
    return 20 + 7 * place


def benchmark(folder: Path, labels: Sequence[float] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["image,score"]
    for place in range(N):
        Image.new("RGB", (40, 40), (grey(place),) * 3).save(folder / f"{place:02d}.png")
        rows.append(f"{place:02d}.png,{place if labels is None else labels[place]}")
    (folder / "scores.csv").write_text("\n".join(rows) + "\n")
    return folder


def evaluate(data: Path, out: Path, asks: BenchmarkAssessor, **settings: Any) -> RunResults:
    given = {"assessor": "vlm_placed", "references": "informative", "n_references": 6, "candidates": CANDIDATES}
    spec = RunSpec(benchmark="scores", data=data, **{**given, **settings})
    found = run_assessor(benchmarks.load("scores", data), asks, out, spec=spec)
    assert found is not None
    return found


def chosen(out: Path) -> set[str]:
    return {picture.path.name for picture in read_reference_set(out / "references.json").pictures}


def test_pictures_are_placed_among_references_that_are_not_evaluated(tmp_path: Path) -> None:
    judge = Greys()
    out = tmp_path / "out"
    results = evaluate(benchmark(tmp_path / "data"), out, PlacedScores(judge, comparisons=4))
    metrics = results.summary.metrics
    assert metrics["srcc"].value == pytest.approx(1.0, abs=0.01)
    assert metrics["srcc"].n == results.summary.n_questions == N - 6
    listed = {row.split(",")[0] for row in (out / "pictures.csv").read_text().splitlines()[1:]}
    assert listed.isdisjoint(chosen(out))
    assert len(listed | chosen(out)) == N
    making = results.run["reference_set"]["n_calls"]
    assert making == 2 * 4 * CANDIDATES
    assert results.summary.n_calls == 2 * 4 * (N - 6)
    assert len(judge.asked) == making + results.summary.n_calls
    assert results.run["reference_set"]["name"] == read_reference_set(out / "references.json").name
    assert results.run["identity"]["prompt_ids"]
    told = in_words(results, read_timing(out))
    assert f"{results.summary.n_calls} questions to the model, about {N - 6} pictures" in told
    assert f"ranked with {making} questions" in told


def test_labels_decide_nothing_of_the_references(tmp_path: Path) -> None:
    turned = [float(-place) for place in range(N)]
    evaluate(benchmark(tmp_path / "a"), tmp_path / "out_a", PlacedScores(Greys()))
    results = evaluate(benchmark(tmp_path / "b", turned), tmp_path / "out_b", PlacedScores(Greys()))
    a, b = (json.loads((tmp_path / name / "references.json").read_text()) for name in ("out_a", "out_b"))
    for one in (a, b):
        one["pictures"] = [picture["id"] for picture in one["pictures"]]  # folders differ
    assert a == b
    assert results.summary.metrics["srcc"].value == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize("limit", [30, 100])
def test_a_run_that_was_stopped_asks_nothing_twice(limit: int, tmp_path: Path) -> None:
    """While candidates are ranked, and while pictures are placed."""
    data = benchmark(tmp_path / "data")
    whole = Greys()
    evaluate(data, tmp_path / "whole", PlacedScores(whole))
    stops, goes_on = Greys(limit=limit), Greys()
    with pytest.raises(BackendError):
        evaluate(data, tmp_path / "out", PlacedScores(stops))
    evaluate(data, tmp_path / "out", PlacedScores(goes_on))
    for name in ("references.json", "run.json", "pictures.csv", "results.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    ranked = 2 * 4 * CANDIDATES
    if limit < ranked:  # batches of candidates' pairs are kept whole
        assert len(goes_on.asked) + len(stops.asked) <= len(whole.asked) + 2 * CANDIDATES
    else:
        assert goes_on.asked == whole.asked[ranked:]


def test_another_choice_is_another_run(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    evaluate(data, tmp_path / "out", PlacedScores(Greys()))
    with pytest.raises(InputError, match="holds another run"):
        evaluate(data, tmp_path / "out", PlacedScores(Greys()), seed=1)
    with pytest.raises(InputError, match="identity: "):
        evaluate(data, tmp_path / "out", PlacedScores(Greys(), comparisons=3))


def test_unanswered_comparisons_are_counted(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    evaluate(data, tmp_path / "first", PlacedScores(Greys()))
    mute = next(place for place in range(N) if f"{place:02d}.png" not in chosen(tmp_path / "first"))
    kept = tmp_path / "first" / "references.json"
    judge = Greys(silent=[grey(mute)])
    results = evaluate(data, tmp_path / "out", PlacedScores(judge, comparisons=4), references=kept)
    summary = results.summary
    assert (summary.n_failed, summary.failures) == (1, {"no_usable_answer": 1})
    assert (summary.n_calls, summary.n_unanswered) == (2 * 4 * (N - 6), 2 * 4)
    assert summary.metrics["srcc"].value == pytest.approx((N - 7) / (N - 6), abs=0.01)
    assert "8 without a usable answer" in in_words(results, read_timing(tmp_path / "out"))


def test_a_candidate_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    evaluate(data, tmp_path / "first", PlacedScores(Greys()))
    broken = sorted(chosen(tmp_path / "first"))[0]
    (data / broken).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    results = evaluate(data, tmp_path / "out", PlacedScores(Greys()))
    assert broken not in chosen(tmp_path / "out")
    assert results.run["reference_set"]["n_candidates"] == CANDIDATES
    assert results.summary.failures == {"unreadable_picture": 1}


def test_copies_of_references_are_not_evaluated(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    folder = tmp_path / "mine"
    folder.mkdir()
    for place in (3, 12, 20, 25):
        (folder / f"copy{place}.png").write_bytes((data / f"{place:02d}.png").read_bytes())
    Image.new("RGB", (40, 40), (1, 1, 1)).save(folder / "other.png")
    results = evaluate(data, tmp_path / "out", PlacedScores(Greys()), references=folder, n_references=5)
    assert results.summary.n_questions == N - 4
    assert results.run["reference_set"]["n_candidates"] == 5


def test_pairs_with_all_of_a_chosen_set(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    results = evaluate(data, tmp_path / "out", LocalPairs(Greys()), assessor="vlm_pairs")
    assert results.summary.n_questions == 6 * (N - 6)
    assert results.summary.metrics["srcc"].value == pytest.approx(1.0, abs=0.01)
    assert results.summary.metrics["srcc"].n == N - 6


def test_what_cannot_choose_says_so(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    with pytest.raises(InputError, match="cannot rank candidates"):
        evaluate(data, tmp_path / "a", LocalScores(Greys()), assessor="vlm")
    with pytest.raises(InputError, match=r"30 candidates .* give 2 to 29, such as --candidates 7"):
        evaluate(data, tmp_path / "b", PlacedScores(Greys()), candidates=N)
    with pytest.raises(InputError, match="11 references cannot be chosen from 10"):
        evaluate(data, tmp_path / "c", PlacedScores(Greys()), n_references=11)
    with pytest.raises(InputError, match="leave out --max-pixels"):
        evaluate(data, tmp_path / "e", PlacedScores(Greys()), max_pixels=40_000)
    (tmp_path / "pairs.csv").write_text("first,second,p\n00.png,01.png,0.2\n")
    spec = RunSpec(benchmark="pairs", data=tmp_path / "pairs.csv", pictures=data, assessor="vlm_placed")
    loaded = benchmarks.load("pairs", tmp_path / "pairs.csv", pictures=data)
    with pytest.raises(InputError, match="labels of pairs"):
        run_assessor(loaded, PlacedScores(Greys()), tmp_path / "d", spec=spec)


def test_a_set_of_another_judge_is_refused(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    evaluate(data, tmp_path / "first", PlacedScores(Greys()))
    kept = tmp_path / "first" / "references.json"
    other = Greys()
    other.revision = "2"  # type: ignore[misc]
    with pytest.raises(InputError, match="rank the set again"):
        evaluate(data, tmp_path / "out", PlacedScores(other), references=kept)
    reasoned = read_reference_set(kept).model_copy(update={"mode": "reasoned"})
    write_reference_set(tmp_path / "reasoned.json", reasoned)
    with pytest.raises(InputError, match="--option mode=reasoned"):
        evaluate(data, tmp_path / "out", PlacedScores(Greys()), references=tmp_path / "reasoned.json")


def test_the_first_part_of_a_run_chooses(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    spec = RunSpec(
        benchmark="scores", data=data, assessor="vlm_placed", n_references=6, candidates=CANDIDATES
    )  # informative without being asked
    loaded = benchmarks.load("scores", data)
    with pytest.raises(InputError, match="made by shard 0/2"):
        run_assessor(loaded, PlacedScores(Greys()), tmp_path / "out", spec=spec, shard=(1, 2))
    run_assessor(loaded, PlacedScores(Greys()), tmp_path / "out", spec=spec, shard=(0, 2))
    second = Greys()
    assert run_assessor(loaded, PlacedScores(second), tmp_path / "out", spec=spec, shard=(1, 2)) is not None
    assert not second.asked  # one chunk holds all


def test_recipe_and_options(tmp_path: Path) -> None:
    recipe = tmp_path / "placed.yaml"
    recipe.write_text("assessor: vlm_placed\nreferences: informative\ncandidates: 48\noptions: {comparisons: 6}\n")
    spec = make_spec(recipe, {"benchmark": "scores", "data": tmp_path, "n_references": 24})
    assert (spec.references, spec.candidates, spec.n_references) == ("informative", 48, 24)
    assert (
        make_spec(None, {"benchmark": "scores", "data": tmp_path, "references": str(tmp_path)}).references == tmp_path
    )
    for name, value in (("comparisons", "0"), ("enough", "-1"), ("enough", "some"), ("comparisons", "x")):
        with pytest.raises(InputError, match=name):
            make_assessor("vlm_placed", {name: value, "model": "redaes/nano"})


@pytest.mark.parametrize("shows", ["placed", "pairs"])
def test_a_set_that_has_pictures_of_labelled_pairs(shows: str, tmp_path: Path) -> None:
    """Only where single pictures are correlated are references left out: every labelled pair is asked about."""
    data = benchmark(tmp_path / "data")
    evaluate(data, tmp_path / "first", PlacedScores(Greys()))
    kept = tmp_path / "first" / "references.json"
    one, two = sorted(chosen(tmp_path / "first"))[:2]
    (tmp_path / "pairs.csv").write_text(f"first,second,p\n{one},{two},0.2\n{two},29.png,0.3\n00.png,01.png,0.1\n")
    loaded = benchmarks.load("pairs", tmp_path / "pairs.csv", pictures=data)
    asks: BenchmarkAssessor = PlacedScores(Greys()) if shows == "placed" else LocalPairs(Greys())
    spec = RunSpec(benchmark="pairs", data=tmp_path / "pairs.csv", pictures=data, assessor="any", references=kept)
    results = run_assessor(loaded, asks, tmp_path / "out", spec=spec)
    assert results is not None
    assert results.summary.metrics["pair_accuracy"].n == 3
    assert results.summary.metrics["pair_accuracy"].value == 1.0


def test_verdicts_without_probabilities_about_one_picture_end_no_run(tmp_path: Path) -> None:
    """The same judge ranked the references by probabilities, so this picture alone is lost."""
    data = benchmark(tmp_path / "data")
    evaluate(data, tmp_path / "first", PlacedScores(Greys()))
    kept = tmp_path / "first" / "references.json"
    alone = next(place for place in range(N) if f"{place:02d}.png" not in chosen(tmp_path / "first"))
    (tmp_path / "scores.csv").write_text(f"image,score\n{alone:02d}.png,1\n")
    loaded = benchmarks.load("scores", tmp_path / "scores.csv", pictures=data)
    spec = RunSpec(benchmark="scores", data=tmp_path / "scores.csv", pictures=data, assessor="any", references=kept)
    results = run_assessor(loaded, PlacedScores(Verdicts(), reader="lenient"), tmp_path / "out", spec=spec)
    assert results is not None
    assert results.summary.failures == {"no_usable_answer": 1}
    assert results.summary.n_calls == results.summary.n_unanswered == 12


def test_a_kept_set_with_a_changed_picture_is_refused_before_any_question(tmp_path: Path) -> None:
    data = benchmark(tmp_path / "data")
    evaluate(data, tmp_path / "first", PlacedScores(Greys()))
    file = sorted(chosen(tmp_path / "first"))[0]
    (data / file).write_bytes((data / "00.png").read_bytes() + b" ")
    judge = Greys()
    with pytest.raises(InputError, match=rf"{file} has changed since it was ranked"):
        evaluate(data, tmp_path / "out", PlacedScores(judge), references=tmp_path / "first" / "references.json")
    assert not judge.asked
