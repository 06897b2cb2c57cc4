"""The runner: what is asked, what answers become, resuming, refusals; with assessors that need no model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import stats
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.cli.eval.benchmark import parse_options, parse_shard
from redaes.errors import BackendError, InputError, RecordError
from redaes.evaluation import benchmarks, report, runner
from redaes.evaluation.assessors import make_assessor
from redaes.evaluation.assessors.base import Question, QuestionAnswer, QuestionPicture
from redaes.evaluation.assessors.baselines import BASELINES, Baseline
from redaes.evaluation.benchmarks.base import BenchmarkPicture, Labels
from redaes.evaluation.comparison import ComparedRun
from redaes.evaluation.eval_recipe import make_spec
from redaes.evaluation.questions import CHUNK, CHUNK_SERIES, FIELD, PictureReader, make_plan
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.runner import RunResults, read_results, run, run_assessor
from redaes.evidence.rationale_truth import Reason
from redaes.images import LoadedImage
from redaes.types import ImageRef


def write_pictures(folder: Path, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        picture = np.full((8, 8, 3), index % 256, dtype=np.uint8)
        picture[0, 0] = (index // 256, index % 7, 255)
        Image.fromarray(picture).save(folder / name)


def scores_folder(folder: Path, n: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:03d}.png" for index in range(n)]
    write_pictures(folder, names)
    rng = np.random.default_rng(0)
    rows = [f"{name},{index + rng.normal(0, n / 4):.3f}" for index, name in enumerate(names)]
    (folder / "scores.csv").write_text("\n".join(["image,score", *rows]) + "\n")
    return folder


def luma(data: Path) -> RunSpec:
    return RunSpec(benchmark="scores", data=data, assessor="baseline", options={"measure": "luma"})


def quiet(done: int, total: int) -> None:
    pass


def finished(found: RunResults | None) -> RunResults:
    assert found is not None
    return found


class Told:
    """An assessor that looks its answers up by the pictures' ids."""

    needs_pixels = False

    def __init__(
        self, arity: str, values: Mapping[str, float | None], probabilities: Mapping[str, float] | None = None
    ):
        self.arity, self.values, self.probabilities = arity, values, probabilities or {}
        self.asked: list[str] = []

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"model": "told", "revision": "1"}

    def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
        found = []
        for question in questions:
            self.asked.append(question.id)
            if self.arity == "series":
                told = [self.values[shown.id.removeprefix("reference ")] for shown in question.pictures]
                level = float(len(self.asked))  # scores mean nothing from one series to the next
                known = tuple(value + level for value in told if value is not None)
                silent = len(known) < len(told)
                found.append(
                    QuestionAnswer(id=question.id, values=() if silent else known, failure="silent" if silent else None)
                )
                continue
            if self.arity == "two":
                a, b = (self.values[shown.id.removeprefix("reference ")] for shown in question.pictures)
                value = None if a is None or b is None else a - b
            else:
                value = self.values[question.id]
            found.append(
                QuestionAnswer(
                    id=question.id,
                    value=value,
                    failure="silent" if value is None else None,
                    probability=self.probabilities.get(question.id),
                )
            )
        return found


def run_told(name: str, data: Path, told: Told, out: Path, **settings: Any) -> RunResults:
    spec = RunSpec(benchmark=name, data=data, assessor="told", **settings)
    return finished(run_assessor(benchmarks.load(name, data), told, out, spec=spec))  # type: ignore[arg-type]


def test_correlations_are_those_of_scipy(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 150)
    results = finished(run(luma(data), tmp_path / "out", progress=quiet))
    predicted = [np.asarray(Image.open(file).convert("RGB"), dtype=float) for file in sorted(data.glob("*.png"))]
    x = [float((pixels @ [0.299, 0.587, 0.114]).mean()) for pixels in predicted]
    y = [float(line.split(",")[1]) for line in (data / "scores.csv").read_text().splitlines()[1:]]
    metrics = results.summary.metrics
    assert metrics["srcc"].value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert metrics["plcc"].value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert metrics["krcc"].value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert metrics["srcc"].low is not None
    assert metrics["srcc"].low < metrics["srcc"].value < metrics["srcc"].high  # type: ignore[operator]
    assert read_results(tmp_path / "out") == results
    assert runner.read_timing(tmp_path / "out").n_questions == 150


def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 3 * CHUNK + 5)
    whole = tmp_path / "whole"
    run(luma(data), whole, progress=quiet)
    out = tmp_path / "stopped"
    asked: list[str] = []

    class Stops(Baseline):
        def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
            if asked:
                raise BackendError("the server is gone")
            asked.extend(question.id for question in questions)
            return super().answer(questions)

    measure, _ = BASELINES["luma"]
    loaded = benchmarks.load("scores", data)
    with pytest.raises(BackendError):
        run_assessor(loaded, Stops("luma", measure, needs_pixels=True), out, spec=luma(data))
    assert len(asked) == CHUNK
    (out / "answers" / ".000002.jsonl.17.tmp").write_text("half a li")  # what kill -9 can leave
    (out / "timing.jsonl").open("a").write('{"chunk": 1, "n_q')
    steps: list[tuple[int, int]] = []
    run(luma(data), out, progress=lambda done, total: steps.append((done, total)))
    assert steps[0] == (CHUNK, 3 * CHUNK + 5)
    assert steps[-1] == (3 * CHUNK + 5, 3 * CHUNK + 5)
    for name in ("results.json", "pictures.csv", "run.json", *(f"answers/{k:06d}.jsonl" for k in range(4))):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert runner.read_timing(out).n_questions == 3 * CHUNK + 5


def test_shards_make_one_run(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 3 * CHUNK)
    whole, out = tmp_path / "whole", tmp_path / "shards"
    run(luma(data), whole, progress=quiet)
    assert run(luma(data), out, shard=(0, 2), progress=quiet) is None
    assert sorted(file.name for file in (out / "answers").iterdir()) == ["000000.jsonl", "000002.jsonl"]
    assert run(luma(data), out, shard=(1, 2), progress=quiet) is not None
    assert (out / "results.json").read_bytes() == (whole / "results.json").read_bytes()


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 10)
    run(luma(data), tmp_path / "out", progress=quiet)
    other = luma(data).model_copy(update={"options": {"measure": "sharpness"}})
    with pytest.raises(InputError, match=r'holds another run \(identity: \{"model": "baseline luma"'):
        run(other, tmp_path / "out", progress=quiet)
    text = (data / "scores.csv").read_text().splitlines()
    (data / "scores.csv").write_text("\n".join(text[:-1]) + "\n")
    with pytest.raises(InputError, match="labels_sha256"):
        run(luma(data), tmp_path / "out", progress=quiet)


def test_altered_answers_are_refused(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 10)
    out = tmp_path / "out"
    run(luma(data), out, progress=quiet)
    file = out / "answers/000000.jsonl"
    lines = file.read_text().splitlines()
    for text in ("\n".join(lines[1:]), "\n".join([*lines, lines[0]]), "{", "\n".join(reversed(lines))):
        file.write_text(text)
        with pytest.raises(RecordError, match="delete it and run again"):
            run(luma(data), out, progress=quiet)


def test_missing_pictures_stop_a_run_unless_allowed(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 10)
    (data / "004.png").unlink()
    with pytest.raises(InputError, match=r"1 pictures of your own scores are not in .*004\.png .*--allow-missing"):
        run(luma(data), tmp_path / "out", progress=quiet)
    assert (tmp_path / "out/missing.txt").read_text() == "004.png\n"
    spec = luma(data).model_copy(update={"allow_missing": True})
    results = finished(run(spec, tmp_path / "out", progress=quiet))
    assert (results.summary.n_missing, results.summary.n_questions) == (1, 9)


def test_unreadable_pictures_are_failures_and_count(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 20)
    (data / "004.png").write_bytes(b"no picture")
    results = finished(run(luma(data), tmp_path / "out", progress=quiet))
    summary = results.summary
    assert summary.failures == {"unreadable_picture": 1}
    assert summary.metrics["failure_rate"].value == pytest.approx(0.05)
    answered = summary.metrics["srcc_answered"]
    assert answered.n == 19
    assert summary.metrics["srcc"].value == pytest.approx(0.95 * answered.value)  # type: ignore[operator]
    rows = (tmp_path / "out/pictures.csv").read_text().splitlines()
    assert rows[5].startswith("004.png,004.png,")
    assert rows[5].endswith(",,")  # no number stands for the failure


def series_folder(folder: Path) -> Path:
    folder.mkdir()
    names = ["a1.png", "a2.png", "a3.png", "b1.png", "b2.png"]
    write_pictures(folder, names)
    rows = ["a,a1.png,1", "a,a2.png,2", "a,a3.png,3", "b,b1.png,2", "b,b2.png,1"]
    (folder / "series.csv").write_text("\n".join(["series,image,score", *rows]) + "\n")
    return folder


@pytest.mark.parametrize("arity", ["one", "two", "series"])
def test_series_by_pictures_by_pairs_and_whole(tmp_path: Path, arity: str) -> None:
    data = series_folder(tmp_path / "data")
    told = Told(arity, {"a1.png": 0.0, "a2.png": 1.0, "a3.png": 5.0, "b1.png": 3.0, "b2.png": 4.0})
    metrics = run_told("series", data, told, tmp_path / "out").summary.metrics
    assert metrics["s_acc"].value == 0.5
    assert metrics["s_top2"].value == 1.0
    assert metrics["s_srcc"].value == pytest.approx(0.0)
    assert metrics["s_acc_chance"].value == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert metrics["pair_accuracy"].value == 0.75
    assert (metrics["cycle_rate"].value == 0.0) if arity == "two" else ("cycle_rate" not in metrics)
    assert len(told.asked) == {"one": 5, "two": 4, "series": 2}[arity]


@pytest.mark.parametrize("arity", ["one", "two", "series"])
def test_a_failure_in_a_series_is_wrong(tmp_path: Path, arity: str) -> None:
    data = series_folder(tmp_path / "data")
    told = Told(arity, {"a1.png": 0.0, "a2.png": 1.0, "a3.png": 5.0, "b1.png": 3.0, "b2.png": None})
    summary = run_told("series", data, told, tmp_path / "out").summary
    assert summary.metrics["s_acc"].value == 0.5
    assert summary.metrics["pair_accuracy"].value == 0.75
    assert summary.failures == {"silent": 1}


def test_pairs_and_scores_from_whole_series(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    write_pictures(pairs, ["x.png", "y.png", "z.png"])
    (pairs / "pairs.csv").write_text("first,second,p\nx.png,y.png,0.9\ny.png,z.png,0.2\n")
    told = Told("series", {"x.png": 2.0, "y.png": 1.0, "z.png": 0.0})
    assert run_told("pairs", pairs, told, tmp_path / "a").summary.metrics["pair_accuracy"].value == 0.5
    n = 3 * FIELD + 5
    data = scores_folder(tmp_path / "data", n)
    told = Told("series", {f"{index:03d}.png": float(index) for index in range(n)})
    results = run_told("scores", data, told, tmp_path / "b", n_references=2)
    assert [name.count("\t") + 1 for name in told.asked] == [FIELD + 2] * 3 + [5]  # 51 to deal out: three fields, and 3
    assert len(list((tmp_path / "b/answers").glob("[0-9]*.jsonl"))) == -(-4 // CHUNK_SERIES)
    predicted = [row.predicted for row in runner.read_predictions(tmp_path / "b/pictures.csv")]
    assert np.diff(np.array(predicted, dtype=float)) == pytest.approx(np.ones(n - 1))  # over all fields
    assert results.summary.metrics["srcc"].n == n


def test_pairs_with_probabilities(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_pictures(data, ["x.png", "y.png", "z.png"])
    (data / "pairs.csv").write_text("first,second,p,group\nx.png,y.png,0.9,g\ny.png,z.png,0.2,g\nx.png,z.png,0.5,g\n")
    told = Told(
        "two",
        {"x.png": 2.0, "y.png": 1.0, "z.png": 0.0},
        {"x.png\ty.png": 0.9, "y.png\tz.png": 0.9, "x.png\tz.png": 0.5},
    )
    summary = run_told("pairs", data, told, tmp_path / "out").summary
    assert summary.metrics["pair_accuracy"].value == 0.5
    assert summary.metrics["pair_accuracy"].n == 2  # an even vote has no right answer
    assert summary.metrics["expected_calibration_error"].value == pytest.approx((2 * 0.35 + 0) / 3)
    assert sum(one.n for one in summary.reliability) == 3


def test_right_verdicts_for_false_reasons_are_counted_and_marked(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_pictures(data, ["w.png", "x.png", "y.png", "z.png"])
    rows = ["w.png,x.png,0.9", "x.png,y.png,0.1", "y.png,z.png,0.9"]
    (data / "pairs.csv").write_text("\n".join(["first,second,p", *rows]) + "\n")
    reasons = [
        Reason(truth="false", n_supported=1, n_contradicted=2, n_unmeasured=1),
        Reason(truth="true", n_supported=3),
    ]

    class Arguing(Told):
        def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
            found = super().answer(questions)
            return [one.model_copy(update={"reason": why}) for one, why in zip(found, [*reasons, None], strict=True)]

    out = tmp_path / "out"
    summary = run_told(
        "pairs", data, Arguing("two", {"w.png": 3.0, "x.png": 2.0, "y.png": 1.0, "z.png": 0.0}), out
    ).summary
    assert {
        name: (one.value, one.n) for name, one in summary.metrics.items() if "claims" in name or "reason" in name
    } == {
        "claims_true": (4 / 6, 6),
        "claims_measurable": (6 / 7, 7),
        "reason_false_though_right": (1.0, 1),  # the second verdict is wrong, the third has no reason
    }
    assert [one.reason for one in runner.read_predictions(out / "pairs.csv")] == [*reasons, None]
    page = report.write_report(
        tmp_path / "report", [ComparedRun(name="it", results=read_results(out), changes=())], [out]
    )[2].read_text()
    assert page.count('class="flag">right verdict, wrong reason<') == 1
    assert "claims_true" in page


def test_pairs_by_what_decides_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_pictures(data, ["w.png", "x.png", "y.png", "z.png"])
    rows = ["w.png,x.png,0.9,light", "x.png,y.png,0.9,light", "y.png,z.png,0.1,focus", "w.png,z.png,0.9,"]
    (data / "pairs.csv").write_text("\n".join(["first,second,p,factor", *rows]) + "\n")

    class Both(Told):
        def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
            return [
                one.model_copy(update={"order_consistent": not one.id.startswith("x.png"), "raw": ("a", "b")})
                for one in super().answer(questions)
            ]

    values = {"w.png": 3.0, "x.png": 2.0, "y.png": 1.0, "z.png": 0.0}
    found = run_told("pairs", data, Both("two", values), tmp_path / "out").summary.by_factor
    assert {name: {key: one.value for key, one in row.items()} for name, row in found.items()} == {
        "focus": {"pair_accuracy": 0.0, "swap_consistency": 1.0},
        "light": {"pair_accuracy": 1.0, "swap_consistency": 0.5},
    }
    file = report.write_report(
        tmp_path / "report",
        [ComparedRun(name="told", results=read_results(tmp_path / "out"), changes=())],
        [tmp_path / "out"],
    )[2]
    bars = re.findall(r'class="bar"[^>]* width="([0-9.]+)"', file.read_text())
    assert bars == ["75.00", "0.00", "100.00", "75.00", "100.00", "50.00"]  # all, focus, light; then both orders


def test_scores_against_references_do_not_suffer_from_a_failed_comparison(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 12)
    strengths = {f"{index:03d}.png": float(index) for index in range(12)}

    class Deaf(Told):
        def answer(self, questions: Sequence[Question]) -> list[QuestionAnswer]:
            found = super().answer(questions)
            return [
                QuestionAnswer(id=one.id, failure="silent") if one.id.startswith("003.png\t") and index % 2 else one
                for index, one in enumerate(found)
            ]

    told = Deaf("two", strengths)
    results = run_told("scores", data, told, tmp_path / "out", n_references=4)
    assert len(told.asked) == 4 * 12 - 4
    predicted = [row.predicted for row in runner.read_predictions(tmp_path / "out/pictures.csv")]
    assert np.diff(np.array(predicted, dtype=float)) == pytest.approx(np.ones(11))
    assert results.summary.n_failed > 0
    references = tmp_path / "references"
    references.mkdir()
    write_pictures(references, ["r.png"])
    again = run_told("scores", data, Told("two", {**strengths, "r.png": 3.0}), tmp_path / "own", references=references)
    assert again.run["references"] == ["reference r.png"]


def test_crops_are_shown_as_crops(tmp_path: Path) -> None:
    pixels = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    shown = PictureReader().read(("a#1", tmp_path / "a.png", (2, 1, 9, 7)), pixels=True)
    assert np.array_equal(np.asarray(shown.loaded.image), pixels[1:7, 2:9])
    whole = PictureReader().read(("a", tmp_path / "a.png", None), pixels=True)
    assert whole.loaded.ref.id != shown.loaded.ref.id  # two crops of one file are two pictures
    with pytest.raises(InputError, match="is not inside the picture of 12 x 10"):
        PictureReader().read(("a#2", tmp_path / "a.png", (2, 1, 13, 7)), pixels=True)


def test_crops_are_measured_within_their_photograph(tmp_path: Path) -> None:
    pictures = tuple(
        benchmarks.base.BenchmarkPicture(f"{g}#{k}", f"{g}.png", g, score=float(k), box=(0, 0, k + 1, 8))
        for g in ("a", "b")
        for k in range(6)
    )
    write_pictures(tmp_path, ["a.png", "b.png"])
    labels = benchmarks.Labels(pictures)
    loaded = benchmarks.LoadedBenchmark(benchmarks.BENCHMARKS["gaic"], labels, "0", tmp_path, ())
    told = Told("one", {p.id: (p.score if p.group == "a" else -p.score) for p in pictures})  # type: ignore[operator]
    spec = RunSpec(benchmark="gaic", data=tmp_path, assessor="told")
    metrics = finished(run_assessor(loaded, told, tmp_path / "out", spec=spec)).summary.metrics  # type: ignore[arg-type]
    assert metrics["mean_srcc"].value == pytest.approx(0.0)
    assert metrics["acc_1_5"].value == 0.5
    assert metrics["acc_4_5"].value == pytest.approx((1 + 3 / 4) / 2)
    assert metrics["acc_1_10"].value is None  # there are only six crops
    with pytest.raises(InputError, match="thousands of pairs"):
        make_plan(loaded, "two")


def test_somebody_elses_scores(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 5)
    file = tmp_path / "theirs.csv"
    file.write_text("image,score\n000.png,1\n001.png,2\n002.png,\n003.png,2.5\nother.png,9\n")
    spec = RunSpec(benchmark="scores", data=data, assessor="csv", options={"file": str(file)})
    summary = finished(run(spec, tmp_path / "out", progress=quiet)).summary
    assert summary.failures == {"empty": 1, "not_in_file": 1}
    for text, message in (
        ("image,score\na,high\n", "'high' is not a number"),
        ("image,score\na,inf\n", "not a finite number"),
        ("image,score\na,1\na,2\n", "'a' comes twice"),
        ("name\na\n", "expected the columns image and score"),
    ):
        file.write_text(text)
        with pytest.raises(RecordError, match=message):
            make_assessor("csv", {"file": str(file)})
    with pytest.raises(RecordError, match="cannot be read"):
        make_assessor("csv", {"file": str(tmp_path / "nowhere.csv")})


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("oracle", {}, "assessor 'oracle' is unknown; give one of vlm"),
        ("csv", {}, r"option file is missing; give file=scores\.csv"),
        ("csv", {"file": "x", "speed": "1"}, "assessor csv has no option speed; it has file"),
        ("baseline", {"measure": "beauty"}, "baseline 'beauty' is unknown; give one of constant"),
        ("baseline", {"measure": "luma", "better": "darker"}, "option better is 'darker'; give larger or smaller"),
        ("endpoint", {"model": "m"}, "needs the options url"),
        ("endpoint", {"model": "m", "url": "http://h/v1", "concurrency": "many"}, "give a whole number"),
    ],
)
def test_unusable_assessors(kind: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_assessor(kind, options)


def test_baselines_turn_round_fail_by_name_and_are_drawn_by_name() -> None:
    def shown(name: str, level: int) -> Question:
        image = Image.new("RGB", (8, 8), (level, level, level))
        ref = ImageRef(id=f"{level:064d}", path=Path(name))
        return Question(name, (QuestionPicture(name, Path(name), LoadedImage(image, ref, ())),))

    questions = [shown("a", 10), shown("b", 200)]
    larger, smaller = (make_assessor("baseline", {"measure": "luma", "better": way}) for way in ("larger", "smaller"))
    assert [answer.value for answer in larger.answer(questions)] == pytest.approx([10, 200])
    assert [answer.value for answer in smaller.answer(questions)] == pytest.approx([-10, -200])
    assert larger.identity != smaller.identity
    exposure = make_assessor("baseline", {"measure": "exposure"})
    lights = [shown(f"{level}", level) for level in (18, 118, 198)]
    assert [answer.value for answer in exposure.answer(lights)] == pytest.approx([-100, 0, -80])
    flat = Baseline("flat", lambda shown: float("nan"), needs_pixels=True)
    assert [answer.failure for answer in flat.answer(questions)] == ["not_finite", "not_finite"]
    drawn = make_assessor("baseline", {"measure": "random"})
    first = [answer.value for answer in drawn.answer([shown(f"{k}", 0) for k in range(200)])]
    assert first == [answer.value for answer in drawn.answer([shown(f"{k}", 9) for k in range(200)])]
    assert len(set(first)) == 200
    assert 0.4 < float(np.mean(first)) < 0.6  # type: ignore[arg-type]


def test_brisque_has_no_answer_for_a_flat_picture() -> None:
    pytest.importorskip("brisque")
    image = Image.effect_noise((96, 96), 40).convert("RGB")
    measure = make_assessor("baseline", {"measure": "brisque"})
    questions = []
    for name, one in (("blurred", image.filter(ImageFilter.GaussianBlur(3))), ("flat", Image.new("RGB", (96, 96)))):
        ref = ImageRef(id=f"{len(name):064d}", path=Path(name))
        questions.append(Question(name, (QuestionPicture(name, Path(name), LoadedImage(one, ref, ())),)))
    blurred, flat = measure.answer(questions)
    assert blurred.value is not None
    assert flat.failure == "not_finite"


def test_intervals_resample_the_photographs_of_series(tmp_path: Path) -> None:
    labels = Labels(
        tuple(
            BenchmarkPicture(f"{photo}{view}{k}", f"{photo}{view}{k}", f"{photo}{view}", float(k), source=photo)
            for photo in "pq"
            for view in "xyz"
            for k in range(3)
        )
    )
    told = Told(
        "one", {picture.id: (1 if picture.source == "p" else -1) * picture.score for picture in labels.pictures}
    )
    loaded = benchmarks.LoadedBenchmark(benchmarks.BENCHMARKS["red_series"], labels, "0", tmp_path, ())
    spec = RunSpec(benchmark="red_series", data=tmp_path, assessor="told")
    s_acc = finished(run_assessor(loaded, told, tmp_path / "out", spec=spec)).summary.metrics["s_acc"]
    assert (s_acc.value, s_acc.low, s_acc.high, s_acc.n) == (0.5, 0.0, 1.0, 6)  # two photographs, not six series
    assert {one.source for one in runner.read_predictions(tmp_path / "out" / "pictures.csv")} == {"p", "q"}


def test_settings(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("assessor: baseline\noptions: {measure: luma}\nseed: 3\n")
    given = {"benchmark": "scores", "data": tmp_path, "seed": None, "options": {"measure": "contrast"}, "workers": 2}
    spec = make_spec(recipe, given)
    assert (spec.assessor, spec.seed, spec.options) == ("baseline", 3, {"measure": "contrast"})
    for benchmark, usual in {
        "scores": "vlm",
        "ava": "vlm",
        "red_series": "vlm",
        "red": "vlm_pairs",
        "pairs": "vlm_pairs",
    }.items():
        assert make_spec(None, {"benchmark": benchmark, "data": tmp_path}).assessor == usual
    assert make_spec(None, {"benchmark": "red", "data": tmp_path, "assessor": "vlm"}).assessor == "vlm"
    recipe.write_text("asessor: baseline\n")
    with pytest.raises(InputError, match="unknown keys asessor"):
        make_spec(recipe, given)
    recipe.write_text("seed: many\n")
    with pytest.raises(InputError, match="setting seed"):
        make_spec(recipe, given)
    assert parse_options(["a=b=c"]) == {"a": "b=c"}
    for options in (["a"], ["=b"], ["a=1", "a=2"]):
        with pytest.raises(InputError, match="not of the form NAME=VALUE"):
            parse_options(options)
    assert parse_shard("1/4") == (1, 4)
    with pytest.raises(InputError, match="give k/n"):
        parse_shard("1of4")
    for settings in ({"workers": 0}, {"shard": (4, 4)}):
        with pytest.raises(InputError, match="give"):
            run(luma(scores_folder(tmp_path / "d", 2)), tmp_path / "o", progress=quiet, **settings)  # type: ignore[arg-type]


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 4)
    run(luma(data), tmp_path / "out", progress=quiet)
    file = tmp_path / "out/results.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps({**found, "schema_version": 2}))
    with pytest.raises(RecordError, match="schema version 2, this redaes reads 1"):
        read_results(tmp_path / "out")


def test_the_command(tmp_path: Path) -> None:
    data = scores_folder(tmp_path / "data", 12)
    command = ["eval", "scores", "--data", str(data), "--assessor", "baseline", "--option", "measure=luma"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "srcc" in done.output
    assert "12 questions, 0 without a usable answer" in done.output
    part = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "part"), "--shard", "1/2"])
    assert part.exit_code == 0
    assert "will be complete when all shards are" in part.output
    listed = CliRunner().invoke(app, ["eval", "--list"])
    assert listed.exit_code == 0
    assert "phototriage" in listed.output
    for arguments, message in (
        (["eval"], "give the name of a benchmark"),
        (["eval", "avva", "--data", str(data)], "is unknown; give one of"),
        (["eval", "ava", "--data", str(tmp_path)], "has no label file"),
        ([*command, "--option", "measure=beauty"], "each name given once"),
        (["eval", "scores", "--data", str(data), "--assessor", "pyiqa", "--option", "metric=nima"], "pip install"),
    ):
        failed = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "failed")])
        assert failed.exit_code == (4 if message == "pip install" else 2)
        assert message in failed.output
