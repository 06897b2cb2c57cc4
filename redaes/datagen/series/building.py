"""Build labelled series from candidates: refinement, votes, rank calibration, comparative texts, and a report.

The output folder::

    series.jsonl    the series for training (redaes.series_records); written last except for the report
    report.json     what was kept, and what was dropped for which reason
    dropped.csv     every dropped picture and series with its reason
    ballots.csv     every pair of the refined series, to be filled in by people
    images/         crops
    work/           results of each step for each series, so that an interrupted run can be continued

Without votes and without an assessor no ``series.jsonl`` is written; then the ballots are the result.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from redaes.assessor import Assessor
from redaes.datagen.series.candidates import Dropped, SeriesCandidate
from redaes.datagen.series.kept_steps import Refinement, judged_series, refined_series
from redaes.datagen.series.labelling import check_votes, labelled_series
from redaes.datagen.series.refinement import PictureCheck, RefinementLimits, load_candidate
from redaes.datagen.series.votes import MARGIN, CalibratedSeries, RefusedSeries, Votes, calibrate
from redaes.errors import InputError
from redaes.file_writing import write_atomically, write_json
from redaes.series_records import Series, write_records
from redaes.types import Factor

_QUALITY = 95  # of JPEG files of crops

Progress = Callable[[str, int, int], None]
"""A function that is called after each series with the step, the number done, and the number of all."""


@dataclass(frozen=True)
class BuildSettings:
    """Settings that determine the result, besides pictures, votes and checks."""

    limits: RefinementLimits = field(default_factory=RefinementLimits)
    margin: float = MARGIN
    """Pairs whose probability is closer to 0.5 than this are dropped."""
    test_fraction: float = 0.2
    """Share of the sources that is held out; each source is drawn independently."""
    seed: int = 0
    """Seed of the split, the order of pictures within pairs and the wording of texts."""

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise InputError(f"test_fraction is {self.test_fraction}; give a number from 0 to below 1")


def build(
    candidates: Sequence[SeriesCandidate],
    out: Path,
    *,
    settings: BuildSettings | None = None,
    dropped: Iterable[Dropped] = (),
    checks: Sequence[PictureCheck] = (),
    votes: Sequence[Votes] | None = None,
    assessor: Assessor | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Refine candidates, determine their orders, and write the files that the module's description lists.

    The result of each step for a series is kept in ``out/work``, in a file whose name depends on everything that
    affects it. So a second call with other settings repeats only the steps that these affect.

    Args:
        candidates: candidates from the builders.
        out: folder of the output.
        settings: None means the defaults.
        dropped: pictures and series that the builders left out, for the report.
        checks: plug-ins of the refinement.
        votes: people's votes; pictures are named as in the ballots.
        assessor: judges all pairs; not together with ``votes``.
        on_progress: called after each series.

    Returns:
        The content of the report that was written.

    Raises:
        InputError: there are votes and an assessor, votes name a series or picture that is not in the ballots, two
            candidates have the same name, or ballots in ``out`` are filled in and would be overwritten.
        BackendError: a check or the assessor cannot work at all.
        RecordError: ``out`` cannot be written to.
    """
    settings = BuildSettings() if settings is None else settings
    if votes is not None and assessor is not None:
        raise InputError("there are votes and an assessor; give one of them")
    repeated = [name for name, count in Counter(item.id for item in candidates).items() if count > 1]
    if repeated:
        raise InputError(f"{len(repeated)} names of series come twice, such as {repeated[0]}; rename the folder")
    losses = list(dropped)
    refinements = []
    for number, candidate in enumerate(candidates, 1):
        refined = refined_series(candidate, out, settings.limits, checks)
        losses += [
            Dropped(candidate.category, candidate.id, candidate.pictures[place].shown, reason)
            for place, reason in refined.dropped
        ]
        if refined.reason is not None:
            losses.append(Dropped(candidate.category, candidate.id, "", refined.reason))
        else:
            refinements.append(Refinement(candidate, refined))
        if on_progress is not None:
            on_progress("refined", number, len(candidates))
    files = {item.candidate.id: _files(item, out) for item in refinements}
    if votes is None:
        _write_ballots(out / "ballots.csv", refinements, files)
    report: dict[str, Any] = {
        "settings": asdict(settings),
        "checks": [check.name for check in checks],
        "candidates": _counts(candidates, {item.id: len(item.pictures) for item in candidates}),
        "refined": _counts(
            [item.candidate for item in refinements],
            {item.candidate.id: len(item.refined.kept) for item in refinements},
        ),
    }
    series: list[Series] = []
    if votes is not None or assessor is not None:
        factors: dict[str, Mapping[tuple[str, str], tuple[Factor, ...]]] = {}
        failures: Counter[str] = Counter()
        if votes is None:
            assert assessor is not None
            votes = []
            for number, item in enumerate(refinements, 1):
                judged = judged_series(item, out, assessor)
                votes += judged.votes
                factors[item.candidate.id] = judged.factors
                failures.update(judged.failures)
                if on_progress is not None:
                    on_progress("judged", number, len(refinements))
            report["votes_by"] = [assessor.backend.model, assessor.backend.revision, assessor.mode]
        else:
            check_votes(votes, refinements)
            report["votes_by"] = "people"
        done, refused = calibrate(votes, margin=settings.margin)
        calibrated: dict[str, CalibratedSeries | RefusedSeries] = {}
        calibrated.update((found.series, found) for found in done)
        calibrated.update((found.series, found) for found in refused)
        for number, item in enumerate(refinements, 1):
            made, lost = labelled_series(
                item, calibrated.get(item.candidate.id), files, factors, settings.seed, settings.test_fraction, out
            )
            losses += lost
            series += [] if made is None else [made]
            if on_progress is not None:
                on_progress("labelled", number, len(refinements))
        n_pairs = len({(vote.series, *sorted((vote.first, vote.second))) for vote in votes})
        report["votes"] = {
            "pairs": n_pairs,
            "pairs_without_votes": sum(math.comb(len(item.names), 2) for item in refinements) - n_pairs,
            "without_answer": dict(failures),
            "pairs_too_close": sum(found.n_dropped for found in done),
        }
        if series:
            write_records(out / "series.jsonl", series)
    report["dropped"] = {
        "pictures": _reasons(loss for loss in losses if loss.picture),
        "series": _reasons(loss for loss in losses if not loss.picture),
    }
    report["series"] = {
        **_counts(series, {item.id: len(item.images) for item in series}),
        "pairs": sum(len(item.pairs) for item in series),
        "texts": sum(pair.text is not None for item in series for pair in item.pairs),
        "splits": dict(Counter(item.split for item in series)),
    }
    write_atomically(out / "dropped.csv", _table(losses).encode())
    write_json(out / "report.json", report)
    return report


def _files(item: Refinement, out: Path) -> dict[int, Path]:
    """Return the file of each kept picture, relative to ``out``; crops are written."""
    found = {}
    for place in item.refined.kept:
        picture = item.candidate.pictures[place]
        if picture.window is None:
            found[place] = Path(os.path.relpath(picture.path, out))
            continue
        window = hashlib.sha256(json.dumps(picture.window).encode()).hexdigest()[:8]
        file = Path("images") / f"{item.candidate.id}-{place:02d}-{window}.jpg"
        if not (out / file).is_file():
            image = item.refined.pictures.get(place)
            buffer = io.BytesIO()
            (load_candidate(picture) if image is None else image).save(buffer, "JPEG", quality=_QUALITY)
            write_atomically(out / file, buffer.getvalue())
        found[place] = file
    item.refined.pictures.clear()  # the pictures of thousands of series would not fit into memory
    return found


def _write_ballots(file: Path, refinements: Sequence[Refinement], files: Mapping[str, Mapping[int, Path]]) -> None:
    if file.is_file():
        with file.open(encoding="utf-8-sig", newline="") as known:
            if any(row.get("n_first") or row.get("n_second") for row in csv.DictReader(known)):
                raise InputError(f"{file} holds votes; give it as --votes, or move it away to start afresh")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["series", "first", "second", "n_first", "n_second", "first_file", "second_file"])
    for item in refinements:
        places = item.names
        for first, second in itertools.combinations(places, 2):
            shown = (files[item.candidate.id][places[name]].as_posix() for name in (first, second))
            rows.writerow([item.candidate.id, first, second, "", "", *shown])
    write_atomically(file, text.getvalue().encode())


def _table(losses: Iterable[Dropped]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["category", "series", "picture", "reason"])
    rows.writerows([loss.category, loss.series, loss.picture, loss.reason] for loss in losses)
    return text.getvalue()


def _counts(
    items: Sequence[SeriesCandidate] | Sequence[Series], n_pictures: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Return the number of series and of pictures by category."""
    found: dict[str, dict[str, int]] = {}
    for item in items:
        counts = found.setdefault(item.category, {"series": 0, "pictures": 0})
        counts["series"] += 1
        counts["pictures"] += n_pictures[item.id]
    return found


def _reasons(losses: Iterable[Dropped]) -> dict[str, dict[str, int]]:
    """Return the number of losses by category and reason."""
    found: dict[str, Counter[str]] = {}
    for loss in losses:
        found.setdefault(loss.category, Counter())[loss.reason] += 1
    return {category: dict(sorted(counts.items())) for category, counts in sorted(found.items())}
