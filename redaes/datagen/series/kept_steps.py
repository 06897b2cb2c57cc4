"""Results of the building of series for each series, kept in files, so that no run repeats what another one found.

The name of a file is made of everything that its content depends on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redaes.assessor import Assessor
from redaes.datagen.series.candidates import SeriesCandidate
from redaes.datagen.series.refinement import MAX_PIXELS, PictureCheck, Refined, RefinementLimits, load_candidate, refine
from redaes.datagen.series.votes import Votes
from redaes.evidence.measurements import VERSION, Measurements
from redaes.evidence.picture import measure
from redaes.file_writing import read_json, write_json
from redaes.images import LoadedImage, load_image
from redaes.types import Factor, ImageRef

N_VOTERS = 10
"""Number of votes for which one answer of an assessor counts [ours]: as many as people gave on each published pair."""


@dataclass(frozen=True)
class Refinement:
    """A candidate, and the pictures that are left of it."""

    candidate: SeriesCandidate
    refined: Refined

    @property
    def names(self) -> dict[str, int]:
        """Names of the kept pictures in ballots, with their positions in the candidate."""
        return {f"{place:02d}": place for place in self.refined.kept}


@dataclass(frozen=True)
class JudgedSeries:
    """The votes of an assessor on one series."""

    votes: tuple[Votes, ...]
    factors: Mapping[tuple[str, str], tuple[Factor, ...]]
    """Factors that the assessor called decisive, by the names of the pair."""
    failures: tuple[str, ...]
    """Reasons why pairs have no vote."""


def refined_series(
    candidate: SeriesCandidate, out: Path, limits: RefinementLimits, checks: Sequence[PictureCheck]
) -> Refined:
    """Return what :func:`~redaes.datagen.series.refinement.refine` leaves of a candidate."""
    names = [check.name for check in checks]
    file = _work(out, "refined", _identity(candidate, range(len(candidate.pictures))), asdict(limits), names)
    if file.is_file():
        values = read_json(file)
        dropped = tuple((int(place), str(reason)) for place, reason in values["dropped"])
        return Refined(tuple(values["kept"]), dropped, values["reason"])
    refined = refine(candidate, limits, checks)
    write_json(file, {"kept": refined.kept, "dropped": refined.dropped, "reason": refined.reason})
    return refined


def judged_series(item: Refinement, out: Path, assessor: Assessor) -> JudgedSeries:
    """Return an assessor's votes on all pairs of a series."""
    pairs = list(itertools.combinations(item.names, 2))

    def ask() -> list[dict[str, Any]]:
        pictures = {name: _loaded(item.candidate, place) for name, place in item.names.items()}
        results = assessor.compare_many([(pictures[first], pictures[second]) for first, second in pairs])
        return [{name: getattr(result, name) for name in ("probability", "factors", "failure")} for result in results]

    asked = [assessor.backend.model, assessor.backend.revision, assessor.prompt_id]
    rows = _once(_work(out, "judged", _identity(item.candidate, item.refined.kept), asked), ask)
    votes, failures = [], []
    factors = {}
    for (first, second), row in zip(pairs, rows, strict=True):
        if row["probability"] is None:
            failures.append(row["failure"] or "no_probability")
            continue
        n_first = N_VOTERS * row["probability"]
        votes.append(Votes(item.candidate.id, first, second, n_first, N_VOTERS - n_first))
        factors[first, second] = tuple(row["factors"])
    return JudgedSeries(tuple(votes), factors, tuple(failures))


def measured_series(
    item: Refinement, names: Sequence[str], out: Path, files: Mapping[int, Path]
) -> dict[str, Measurements]:
    """Return the measurements of each of the named pictures."""
    places = [item.names[name] for name in names]

    def look() -> list[dict[str, Any]]:
        images = (load_image(out / files[place], max_pixels=MAX_PIXELS).image for place in places)
        return [measure(np.asarray(image)).as_json() for image in images]

    found = _once(_work(out, VERSION.replace("/", "-"), _identity(item.candidate, places)), look)
    return {name: Measurements.model_validate(values) for name, values in zip(names, found, strict=True)}


def _loaded(candidate: SeriesCandidate, place: int) -> LoadedImage:
    """Return the picture that the assessor is shown; two crops of one photograph get different ids."""
    picture = candidate.pictures[place]
    parts = json.dumps([picture.content, picture.window])
    identity = picture.content if picture.window is None else hashlib.sha256(parts.encode()).hexdigest()
    return LoadedImage(load_candidate(picture), ImageRef(id=identity, path=picture.path), ())


def _identity(candidate: SeriesCandidate, places: Iterable[int]) -> list[Any]:
    chosen = [(place, candidate.pictures[place]) for place in places]
    return [
        candidate.category,
        candidate.prompt,
        candidate.wanted,
        [(place, item.content, item.window) for place, item in chosen],
    ]


def _work(out: Path, step: str, *parts: object) -> Path:
    text = json.dumps([step, *parts], sort_keys=True, default=str)
    return out / "work" / f"{step}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _once(file: Path, make: Callable[[], Any]) -> Any:
    """Return the content of the file; if it does not exist, it is made and written first."""
    if not file.is_file():
        write_json(file, make())
    return read_json(file)
