"""Run an assessor over a benchmark: resumable and sharded, with the same bytes however often the run was interrupted.

A run is a folder::

    run.json            what is asked, and of whom; a folder of another run is refused
    references.json     the references that were chosen for the run, if any; what they were chosen by is in references/
    spec.json           where labels and pictures were found last, for reports
    missing.txt         files of pictures that are not there, if any
    answers/000000.jsonl one file for each chunk of questions, written whole or not at all
    timing.jsonl        what each chunk took on the machine that did it: the one file that differs between runs
    pictures.csv        label and prediction of every picture, where pictures have labels
    pairs.csv           likewise of every pair
    results.json        the numbers

``answers``, the CSV files and ``results.json`` contain no times and no folders, so that equal runs give equal files.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from redaes.backends.preprocessing import refuse_smaller
from redaes.errors import ImageError, InputError, RecordError
from redaes.evaluation import benchmarks
from redaes.evaluation.assessors import make_assessor
from redaes.evaluation.assessors.base import (
    BenchmarkAssessor,
    CompactAnswer,
    Question,
    QuestionAnswer,
    QuestionPicture,
    shown_pixels,
)
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.evaluation.questions import USUAL_REFERENCES, PictureReader, QuestionPlan, make_plan, question_id
from redaes.evaluation.run_references import folder_of, kept_set, place_among, reference_set_of, with_reference_set
from redaes.evaluation.run_spec import RunSpec
from redaes.evaluation.summary import Prediction, RunSummary, summarise
from redaes.file_writing import read_json, write_atomically, write_json
from redaes.processes import run_in_processes
from redaes.types import Record

SCHEMA_VERSION: Literal[1] = 1
"""Version of ``run.json`` and ``results.json``."""

Progress = Callable[[int, int], None]

_PREDICTION = TypeAdapter(Prediction)


class RunTiming(Record):
    """Time and calls of a run, as far as its machines could record them."""

    n_questions: int
    """Number of questions to which the other figures refer."""
    seconds: float
    """Seconds, summed over processes."""
    tokens: int
    milliseconds_per_question: float | None


class RunResults(Record):
    """``results.json``."""

    schema_version: Literal[1]
    run: dict[str, Any]
    """``run.json``."""
    summary: RunSummary


def run(
    spec: RunSpec,
    out: Path,
    *,
    workers: int = 1,
    shard: tuple[int, int] = (0, 1),
    progress: Progress,
    choosing: Progress = lambda done, total: None,
) -> RunResults | None:
    """Answer the open questions of a run, and summarize it when all are answered.

    Args:
        spec: settings of the run.
        out: folder of the run; a part of the same run in it is continued.
        workers: number of processes, each of which makes its own assessor.
        shard: (k, n): do only every n-th chunk from the k-th on, so that n machines that see the folder can share a
            run.
        progress: called with the number of answered questions and of all questions.
        choosing: called in the same way while candidates for references are ranked.

    Returns:
        The results; None while other shards have not finished.

    Raises:
        InputError: settings are unusable, pictures are missing without permission, or the folder has another run.
        RecordError: labels are not the published ones, or the folder cannot be used.
        BackendError: the assessor cannot be loaded or reached; given answers are kept.
    """
    _check_settings(workers, shard)
    loaded = _loaded(spec, out)
    _refuse_missing(loaded, spec.allow_missing, out)
    assessor = make_assessor(spec.assessor, spec.options)
    if workers == 1:
        return run_assessor(loaded, assessor, out, spec=spec, shard=shard, progress=progress, choosing=choosing)
    spec = with_reference_set(spec, loaded, assessor, out, shard, choosing)
    plan = _plan(loaded, assessor, spec)
    begin(loaded, assessor, plan, out, spec)
    del assessor  # the processes have their own assessors
    work = partial(_chunk_in_process, spec.model_dump_json(), str(out))
    _work_off(plan, out, shard, workers, work, progress)
    return _finish(loaded, plan, out)


def run_assessor(
    loaded: LoadedBenchmark,
    assessor: BenchmarkAssessor,
    out: Path,
    *,
    spec: RunSpec,
    shard: tuple[int, int] = (0, 1),
    progress: Progress = lambda done, total: None,
    choosing: Progress = lambda done, total: None,
) -> RunResults | None:
    """Run as :func:`run` does, in this process, with a given assessor.

    Raises:
        InputError: the folder has another run, or the assessor cannot answer the questions.
    """
    spec = with_reference_set(spec, loaded, assessor, out, shard, choosing)
    plan = _plan(loaded, assessor, spec)
    begin(loaded, assessor, plan, out, spec)
    reader = PictureReader(shown_pixels(assessor, spec.max_pixels))
    _work_off(plan, out, shard, 1, lambda chunk: answer_chunk(plan, chunk, assessor, reader, out), progress)
    return _finish(loaded, plan, out)


def begin(loaded: LoadedBenchmark, assessor: BenchmarkAssessor, plan: QuestionPlan, out: Path, spec: RunSpec) -> None:
    """Write the description of the run, or check that it is the one that was begun in the folder.

    Raises:
        InputError: the folder has another run, and the message says what differs; or ``max_pixels`` is below the size
            that the assessor was trained on.
        RecordError: the folder cannot be used.
    """
    for option in ("adapter", "model"):
        if option in spec.options:
            refuse_smaller(Path(spec.options[option]), spec.max_pixels)
    benchmark = loaded.benchmark
    identity = {
        "schema_version": SCHEMA_VERSION,
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "kind": benchmark.kind,
        "labels_sha256": loaded.labels_sha256,
        "notes": list(benchmark.notes),
        "assessor": spec.assessor,
        "shows": assessor.arity,
        "identity": dict(assessor.identity),
        "questions_sha256": plan.sha256,
        "n_questions": len(plan.keys),
        "references": list(plan.references),
        **reference_set_of(spec),
        "max_pixels": shown_pixels(assessor, spec.max_pixels),
        "n_missing": len(loaded.missing),
    }
    file = out / "run.json"
    before = read_json(file) if file.exists() else identity
    differing = sorted(key for key in {*identity, *before} if identity.get(key) != before.get(key))
    if differing:
        shown = "; ".join(
            f"{key}: {_short(before.get(key))} then, {_short(identity.get(key))} now" for key in differing
        )
        raise InputError(f"{out} holds another run ({shown}); give another folder, or delete it")
    write_json(file, identity)
    write_json(out / "spec.json", spec.model_dump(mode="json"))


def answer_chunk(plan: QuestionPlan, chunk: int, assessor: BenchmarkAssessor, reader: PictureReader, out: Path) -> None:
    """Answer the questions of one chunk, and write the answers.

    An unreadable picture makes its questions fail; the others go on.

    Raises:
        BackendError: nothing can be answered; nothing is written.
        RecordError: the folder cannot be written to.
    """
    started = time.perf_counter()
    found: dict[str, QuestionAnswer] = {}
    questions = []
    keys = plan.part(chunk)
    for pictures in keys:
        name = question_id([key[0] for key in pictures])
        shown: list[QuestionPicture] = []
        try:
            for key in pictures:
                shown.append(reader.read(key, pixels=assessor.needs_pixels))
        except InputError as error:
            reason = "unreadable_picture" if isinstance(error, ImageError) else "crop_outside_picture"
            found[name] = QuestionAnswer(id=name, failure=reason, detail=str(error))
            continue
        questions.append(Question(name, tuple(shown)))
    if questions:
        for answer in assessor.answer(questions):
            found[answer.id] = answer
    lines = []
    for pictures in keys:
        answer = found[question_id([key[0] for key in pictures])]
        if (answer.value is None and not answer.values) == (answer.failure is None):
            raise AssertionError(f"{answer.id}: an answer has either a value or a failure")
        lines.append(answer.model_dump_json(exclude_defaults=True))
    write_atomically(_answer_file(out, chunk), ("\n".join(lines) + "\n").encode())
    timing = {
        "chunk": chunk,
        "n_questions": len(keys),
        "seconds": round(time.perf_counter() - started, 6),
        "tokens": sum(answer.tokens for answer in found.values()),
    }
    with (out / "timing.jsonl").open("a", encoding="utf-8") as file:
        # One short write, so that the lines of processes do not mix. It begins with a line end, because a kill may have
        # cut off the previous line.
        file.write(f"\n{json.dumps(timing)}\n")


def read_answers(plan: QuestionPlan, out: Path) -> dict[str, CompactAnswer]:
    """Return all answers of a finished run, by question.

    Raises:
        RecordError: a file is missing or was altered.
    """
    given: dict[str, CompactAnswer] = {}
    for chunk in range(plan.n_chunks):
        file = _answer_file(out, chunk)
        expected = [question_id([key[0] for key in keys]) for keys in plan.part(chunk)]
        try:
            answers = [
                QuestionAnswer.model_validate_json(line) for line in file.read_text(encoding="utf-8").splitlines()
            ]
        except OSError as error:
            raise RecordError(f"{file} cannot be read: {error.strerror}") from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise RecordError(f"{file} was altered; delete it and run again") from error
        if [answer.id for answer in answers] != expected:
            raise RecordError(f"{file} does not hold the answers to its questions; delete it and run again")
        given.update(zip(expected, map(CompactAnswer.of, answers), strict=True))
    return given


def read_timing(out: Path) -> RunTiming:
    """Return the time and calls of the run, without chunks whose process was killed before it recorded them."""
    latest: dict[int, Mapping[str, Any]] = {}
    file = out / "timing.jsonl"
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # empty, or the cut-off line of a killed process
                continue
            latest[entry["chunk"]] = entry
    n = sum(entry["n_questions"] for entry in latest.values())
    seconds = sum(entry["seconds"] for entry in latest.values())
    return RunTiming(
        n_questions=n,
        seconds=seconds,
        tokens=sum(entry["tokens"] for entry in latest.values()),
        milliseconds_per_question=1000 * seconds / n if n else None,
    )


def read_results(out: Path) -> RunResults:
    """Read ``results.json`` of a run.

    Raises:
        RecordError: the file is missing, or has another schema version.
    """
    found = read_json(out / "results.json")
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(f"{out} has results of schema version {version}, this redaes reads {SCHEMA_VERSION}")
    try:
        return RunResults.model_validate(found)
    except ValidationError as error:
        raise RecordError(f"{out / 'results.json'} was altered; delete it and run again") from error


def read_predictions(file: Path) -> list[Prediction]:
    """Read ``pictures.csv`` or ``pairs.csv`` of a run.

    Raises:
        RecordError: the file cannot be read.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
        return [_PREDICTION.validate_python({k: v if v != "" else None for k, v in row.items()}) for row in rows]
    except OSError as error:
        raise RecordError(f"{file} cannot be read: {error.strerror}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise RecordError(f"{file} was altered; delete it and run again") from error


def _finish(loaded: LoadedBenchmark, plan: QuestionPlan, out: Path) -> RunResults | None:
    if any(not _answer_file(out, chunk).exists() for chunk in range(plan.n_chunks)):
        return None
    identity = read_json(out / "run.json")
    summary, pictures, pairs = summarise(loaded, identity["shows"], plan, read_answers(plan, out))
    for name, predictions in (("pictures.csv", pictures), ("pairs.csv", pairs)):
        if predictions:
            write_atomically(out / name, _csv_of(predictions))
    results = RunResults(schema_version=SCHEMA_VERSION, run=identity, summary=summary)
    write_json(out / "results.json", results.model_dump(mode="json"))
    return results


def _csv_of(predictions: Sequence[Prediction]) -> bytes:
    text = io.StringIO()
    names = [field.name for field in fields(Prediction)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for one in predictions:
        writer.writerow([getattr(one, name) for name in names])
    return text.getvalue().encode()


def _work_off(
    plan: QuestionPlan,
    out: Path,
    shard: tuple[int, int],
    workers: int,
    work: Callable[[int], None],
    progress: Progress,
) -> None:
    chunks = range(plan.n_chunks)
    waiting = [chunk for chunk in chunks[shard[0] :: shard[1]] if not _answer_file(out, chunk).exists()]
    sizes = [len(plan.part(chunk)) for chunk in chunks]
    done = sum(sizes[chunk] for chunk in chunks if _answer_file(out, chunk).exists())
    progress(done, len(plan.keys))
    for chunk, _ in run_in_processes(work, waiting, workers):
        done += sizes[chunk]
        progress(done, len(plan.keys))


def _chunk_in_process(spec: str, out: str, chunk: int) -> None:
    plan, assessor, reader = _prepared(spec, out)
    answer_chunk(plan, chunk, assessor, reader, Path(out))


@lru_cache(maxsize=1)
def _prepared(text: str, out: str) -> tuple[QuestionPlan, BenchmarkAssessor, PictureReader]:
    """Prepare a process: plan, assessor and picture reader; made once in every process."""
    spec = RunSpec.model_validate_json(text)
    assessor = make_assessor(spec.assessor, spec.options)
    place_among(assessor, spec)
    return (
        _plan(_loaded(spec, Path(out)), assessor, spec),
        assessor,
        PictureReader(shown_pixels(assessor, spec.max_pixels)),
    )


def load_again(out: Path) -> LoadedBenchmark:
    """Return the benchmark of a run, from the place where it was found last.

    Raises:
        RecordError: the benchmark is no longer there, or has changed.
    """
    try:
        spec = RunSpec.model_validate(read_json(out / "spec.json"))
    except ValidationError as error:
        raise RecordError(f"{out / 'spec.json'} was altered; run again") from error
    loaded = _loaded(spec, out)
    if loaded.labels_sha256 != read_results(out).run["labels_sha256"]:
        raise RecordError(f"{spec.data} no longer holds the labels of {out}")
    return loaded


def _loaded(spec: RunSpec, out: Path) -> LoadedBenchmark:
    return benchmarks.load(
        spec.benchmark, spec.data, pictures=spec.pictures, scratch=out / "pictures", ranks=spec.ranks
    )


def _plan(loaded: LoadedBenchmark, assessor: BenchmarkAssessor, spec: RunSpec) -> QuestionPlan:
    return make_plan(
        loaded,
        assessor.arity,
        references=kept_set(spec) or folder_of(spec),
        n_references=USUAL_REFERENCES if spec.n_references is None else spec.n_references,
        seed=spec.seed,
    )


def _refuse_missing(loaded: LoadedBenchmark, allowed: bool, out: Path) -> None:
    if not loaded.missing:
        return
    write_atomically(out / "missing.txt", ("\n".join(loaded.missing) + "\n").encode())
    if not allowed:
        shown = ", ".join(loaded.missing[:5])
        raise InputError(
            f"{len(loaded.missing)} pictures of {loaded.benchmark.title} are not in {loaded.pictures}, such as {shown} "
            f"(all are named in {out / 'missing.txt'}); get them, or go on without them with --allow-missing"
        )


def _check_settings(workers: int, shard: tuple[int, int]) -> None:
    if workers < 1:
        raise InputError(f"workers is {workers}; give at least 1")
    if not 0 <= shard[0] < shard[1]:
        raise InputError(f"shard is {shard[0]} of {shard[1]}; give 0/n to n-1/n")


def _answer_file(out: Path, chunk: int) -> Path:
    return out / "answers" / f"{chunk:06d}.jsonl"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
