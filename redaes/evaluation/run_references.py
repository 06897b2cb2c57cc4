"""The references of a run: drawn, given, or chosen among the benchmark's own pictures by a model's answers.

The choice does not use labels: candidates are drawn by a hash of their ids, ranked by the model, and chosen by its
answers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redaes.assessing.choosing import PAIRS_PER_CANDIDATE, REFERENCES, check_choice
from redaes.assessor import Assessor, ReferenceSet
from redaes.culling.kept_answers import KeptAnswers, file_of, settings_of
from redaes.errors import ImageError, InputError
from redaes.evaluation.assessors.base import BenchmarkAssessor
from redaes.evaluation.assessors.placed import PlacedScores
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.evaluation.run_spec import RunSpec
from redaes.heldout import place_drawn
from redaes.images import MAX_PIXELS, content_id, load_image
from redaes.ranking import default_pairs
from redaes.references import read_reference_set, reference_pictures, refuse_changed, write_reference_set
from redaes.types import ImageRef, PairAnswer

INFORMATIVE = "informative"
FILE = "references.json"


def with_reference_set(
    spec: RunSpec,
    loaded: LoadedBenchmark,
    assessor: BenchmarkAssessor,
    out: Path,
    shard: tuple[int, int],
    progress: Callable[[int, int], None],
) -> RunSpec:
    """Return the run with the file of its reference set, which is chosen now if necessary, and pass the set to an
    assessor that places pictures.

    The model's answers about the candidates are kept in the run's folder, so an interrupted run asks nothing twice.

    Args:
        spec: the run.
        loaded: its benchmark; labels are not used.
        assessor: its assessor.
        out: its folder.
        shard: the part of the run; the first part chooses.
        progress: called with the number of finished comparisons of candidates and of all.

    Raises:
        InputError: references cannot be chosen for this kind of benchmark or assessor, there are too few pictures,
            another part of the run has to choose, or pictures would be shown at another size than references.
        ParseError: the model gives verdicts alone, or too few usable answers for an order of the candidates.
    """
    chooses = _to_choose(spec, assessor)
    if (chooses or isinstance(assessor, PlacedScores)) and spec.max_pixels != MAX_PIXELS:
        raise InputError(
            f"max_pixels is {spec.max_pixels}, and references are ranked and shown at up to {MAX_PIXELS} pixels, as "
            "the pictures have to be that are compared with them; leave out --max-pixels"
        )
    if not chooses:
        given = kept_set(spec)
        if given is not None and isinstance(spec.references, Path):
            refuse_changed(spec.references, given)
        place_among(assessor, spec)
        return spec
    if loaded.benchmark.kind != "scores":
        raise InputError(
            f"{loaded.benchmark.name} has labels of {loaded.benchmark.kind}, and references are for labels of single "
            "pictures; leave out --references, or give another assessor"
        )
    asks = getattr(assessor, "assessor", None)
    if not isinstance(asks, Assessor):
        raise InputError(
            f"assessor {spec.assessor} cannot rank candidates for references; give --assessor vlm_placed or vlm_pairs, "
            "or a set that redaes score --save wrote"
        )
    file = out / FILE
    if shard[0] == 0:
        write_reference_set(file, _chosen(spec, loaded, assessor, asks, out, progress))
    elif not file.exists():
        raise InputError(f"{file} is not there yet: it is made by shard 0/{shard[1]}; start this one when it is")
    settled = spec.model_copy(update={"references": file})
    place_among(assessor, settled)
    return settled


def _to_choose(spec: RunSpec, assessor: BenchmarkAssessor) -> bool:
    if spec.references is None or isinstance(spec.references, str):
        return spec.references == INFORMATIVE or isinstance(assessor, PlacedScores)
    return isinstance(assessor, PlacedScores) and spec.references.is_dir()


def _chosen(
    spec: RunSpec,
    loaded: LoadedBenchmark,
    assessor: BenchmarkAssessor,
    asks: Assessor,
    out: Path,
    progress: Callable[[int, int], None],
) -> ReferenceSet:
    name, found = _candidates(spec, loaded)
    keep = REFERENCES if spec.n_references is None else spec.n_references
    # For an assessor that compares pictures with all references, the set is chosen for that.
    comparisons = assessor.comparisons if isinstance(assessor, PlacedScores) else keep
    candidates = {ref.id: ref for ref in found}
    if spec.n_references is None:
        keep = min(keep, len(candidates))
    check_choice(len(candidates), keep, comparisons)
    kept = KeptAnswers(file_of(out / "references", [*settings_of(asks, "both"), *sorted(candidates)]))
    total = min(PAIRS_PER_CANDIDATE * len(candidates), default_pairs(len(candidates)))

    def keep_answers(answers: Sequence[PairAnswer]) -> None:
        kept.keep(answers)
        progress(len(answers), total)

    progress(0, total)
    return asks.reference_set(
        name,
        list(candidates.values()),
        keep=keep,
        comparisons=comparisons,
        known=kept.answers,
        on_answers=keep_answers,
    )


def _candidates(spec: RunSpec, loaded: LoadedBenchmark) -> tuple[str, list[ImageRef]]:
    """Return a name and the candidates: pictures of a folder, or of the benchmark's own, drawn by a hash of their ids.
    Unreadable ones are skipped here: they are asked about like the others, and their failures are recorded there."""
    if isinstance(spec.references, Path):
        return reference_pictures(spec.references)
    absent = set(loaded.missing)
    there = [(picture.id, picture.file) for picture in loaded.labels.pictures if picture.file not in absent]
    wanted = spec.candidates
    if wanted < 2 or wanted >= len(there):
        raise InputError(
            f"{wanted} candidates for references of {len(there)} pictures of {loaded.benchmark.title}; give 2 to "
            f"{len(there) - 1}, such as --candidates {max(2, len(there) // 4)}"
        )
    drawn: list[ImageRef] = []
    for _, file in sorted(there, key=lambda picture: place_drawn(spec.seed, picture[0])):
        try:
            drawn.append(load_image((loaded.pictures / file).absolute()).ref)
        except ImageError:
            continue
        if len(drawn) == wanted:
            break
    return loaded.benchmark.name, drawn


def kept_set(spec: RunSpec) -> ReferenceSet | None:
    """Return the set of a run whose references are a file; None: there is none.

    Raises:
        RecordError: the file is not a reference set.
    """
    if not isinstance(spec.references, Path) or not spec.references.is_file():
        return None
    return read_reference_set(spec.references)


def folder_of(spec: RunSpec) -> Path | None:
    """Return the folder whose pictures are a run's references; None: the run has none."""
    return spec.references if isinstance(spec.references, Path) else None


def place_among(assessor: BenchmarkAssessor, spec: RunSpec) -> None:
    """Pass the reference set of a run to an assessor that places pictures.

    Raises:
        InputError: another model, prompt or mode ranked the set.
        RecordError: as for :func:`kept_set`.
    """
    if isinstance(assessor, PlacedScores):
        references = kept_set(spec)
        if references is not None:
            assessor.place_among(references)


def reference_set_of(spec: RunSpec) -> dict[str, Any]:
    """Return the description of a run's reference set; empty: it has none."""
    references = kept_set(spec)
    if references is None:
        return {}
    choice = references.choice
    return {
        "reference_set": {
            "name": references.name,
            "model": references.model,
            "revision": references.revision,
            "prompt_id": references.prompt_id,
            "mode": references.mode,
            "n_calls": references.ranking.n_calls,
            "n_failed": references.ranking.n_failed,
            "strengths_sha256": content_id(references.ranking.model_dump_json().encode()),
            **({} if choice is None else {"candidates": choice.candidates, "n_candidates": choice.n_candidates}),
        }
    }
