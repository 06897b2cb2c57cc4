"""From candidates to labelled series: refinement, votes, rank calibration, comparative texts, and a report.

The output folder::

    series.jsonl    what training takes (redaes.series_records); written last but for the report
    report.json     what was kept, and what was dropped for which reason
    dropped.csv     every dropped picture and series with its reason
    ballots.csv     every pair of the refined series, to be filled in by people
    images/         crops
    work/           what each step found per series, so that a run that was interrupted goes on

Without votes and without an assessor there is no ``series.jsonl``: the ballots are the result.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from redaes import prompts
from redaes.assessor import Assessor, Result, delta_of
from redaes.datagen.rationales import PairObservation, write_from_factors
from redaes.datagen.rationales.choosing import leading_factor
from redaes.datagen.series.candidates import Dropped, SeriesCandidate
from redaes.datagen.series.refinement import MAX_PIXELS, PictureCheck, Refined, RefinementLimits, load_candidate, refine
from redaes.datagen.series.votes import (
    MARGIN,
    CalibratedSeries,
    RefusedSeries,
    Votes,
    calibrate,
)
from redaes.errors import InputError
from redaes.evidence.measurements import VERSION, Measurements, PairEvidence
from redaes.evidence.picture import measure
from redaes.images import LoadedImage, load_image
from redaes.models.fgaesq.texts import comparative_text, rationale_text
from redaes.records import read_json, write_atomically, write_json
from redaes.series_records import Series, SeriesPair, write_records
from redaes.types import TIE_MARGIN, Factor, ImageRef

N_VOTERS = 10
"""Votes that one answer of an assessor stands for [ours]: as many as people voted on each published pair."""

_QUALITY = 95  # of the JPEG files of crops

Progress = Callable[[str, int, int], None]
"""Told after each series: the step, how many are done, how many there are."""


@dataclass(frozen=True)
class BuildSettings:
    """What decides the result, besides pictures, votes and checks."""

    limits: RefinementLimits = field(default_factory=RefinementLimits)
    margin: float = MARGIN
    """Pairs whose probability is closer to 0.5 are dropped."""
    test_fraction: float = 0.2
    """Share of the sources that is held out, each by a draw of its own."""
    seed: int = 0
    """Of the split, the order of pictures within pairs and the wording of texts."""

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise InputError(f"test_fraction is {self.test_fraction}; give a number from 0 to below 1")


@dataclass(frozen=True)
class _Refinement:
    """A candidate and what is left of it."""

    candidate: SeriesCandidate
    refined: Refined

    @property
    def names(self) -> dict[str, int]:
        """The kept pictures' names in ballots, and their positions in the candidate."""
        return {f"{place:02d}": place for place in self.refined.kept}


@dataclass(frozen=True)
class JudgedSeries:
    """The votes on one series by an assessor."""

    votes: tuple[Votes, ...]
    factors: Mapping[tuple[str, str], tuple[Factor, ...]]
    """What the assessor called decisive, by the names of the pair."""
    failures: tuple[str, ...]
    """Why pairs have no vote."""


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
    """Refine candidates, have them put in order, and write what the module's description lists.

    What a step found of a series is kept in ``out/work`` under a name made of everything that it depends on, so a
    second call with other settings does again what they change, and nothing else.

    Args:
        candidates: as the builders give them.
        out: folder.
        settings: None: the defaults.
        dropped: what the builders left out, for the report.
        checks: plug-ins of the refinement.
        votes: by people; pictures are named as in the ballots.
        assessor: judges all pairs; not together with ``votes``.
        on_progress: told of each series.

    Returns:
        The report, as it is written.

    Raises:
        InputError: votes and an assessor, votes that name no series or picture of the ballots, two candidates of
            one name, or ballots in ``out`` that are filled in and would be overwritten.
        BackendError: a check or the assessor cannot do its work at all.
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
        refined = _refined(candidate, out, settings.limits, checks)
        losses += [
            Dropped(candidate.category, candidate.id, _shown(candidate, place), reason)
            for place, reason in refined.dropped
        ]
        if refined.reason is not None:
            losses.append(Dropped(candidate.category, candidate.id, "", refined.reason))
        else:
            refinements.append(_Refinement(candidate, refined))
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
                judged = _judged(item, out, assessor)
                votes += judged.votes
                factors[item.candidate.id] = judged.factors
                failures.update(judged.failures)
                if on_progress is not None:
                    on_progress("judged", number, len(refinements))
            report["votes_by"] = [assessor.backend.model, assessor.backend.revision, assessor.mode]
        else:
            _check_votes(votes, refinements)
            report["votes_by"] = "people"
        done, refused = calibrate(votes, margin=settings.margin)
        calibrated: dict[str, CalibratedSeries | RefusedSeries] = {}
        calibrated.update((found.series, found) for found in done)
        calibrated.update((found.series, found) for found in refused)
        for number, item in enumerate(refinements, 1):
            made, lost = _labelled(item, calibrated.get(item.candidate.id), files, factors, settings, out)
            losses += lost
            series += [] if made is None else [made]
            if on_progress is not None:
                on_progress("labelled", number, len(refinements))
        report["votes"] = {
            "pairs": len({(vote.series, *sorted((vote.first, vote.second))) for vote in votes}),
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


# --- Steps that are kept ----------------------------------------------------------------------------------


def _work(out: Path, step: str, *parts: object) -> Path:
    text = json.dumps([step, *parts], sort_keys=True, default=str)
    return out / "work" / f"{step}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _identity(candidate: SeriesCandidate, places: Iterable[int]) -> list[Any]:
    chosen = [(place, candidate.pictures[place]) for place in places]
    return [
        candidate.category,
        candidate.prompt,
        candidate.wanted,
        [(place, item.content, item.window) for place, item in chosen],
    ]


def _refined(
    candidate: SeriesCandidate, out: Path, limits: RefinementLimits, checks: Sequence[PictureCheck]
) -> Refined:
    names = [check.name for check in checks]
    file = _work(out, "refined", _identity(candidate, range(len(candidate.pictures))), asdict(limits), names)
    if file.is_file():
        values = read_json(file)
        dropped = tuple((int(place), str(reason)) for place, reason in values["dropped"])
        return Refined(tuple(values["kept"]), dropped, values["reason"])
    refined = refine(candidate, limits, checks)
    write_json(file, {"kept": refined.kept, "dropped": refined.dropped, "reason": refined.reason})
    return refined


def _judged(item: _Refinement, out: Path, assessor: Assessor) -> JudgedSeries:
    pairs = list(itertools.combinations(item.names, 2))
    asked = [assessor.backend.model, assessor.backend.revision, prompts.load(prompts.COMPARE[assessor.mode]).id]
    file = _work(out, "judged", _identity(item.candidate, item.refined.kept), asked)
    if not file.is_file():
        pictures = {name: _loaded(item.candidate, place) for name, place in item.names.items()}
        results = assessor.compare_many([(pictures[first], pictures[second]) for first, second in pairs])
        write_json(file, [_kept(result) for result in results])
    rows = read_json(file)
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


def _kept(result: Result) -> dict[str, Any]:
    return {"probability": result.probability, "factors": result.factors, "failure": result.failure}


def _loaded(candidate: SeriesCandidate, place: int) -> LoadedImage:
    """What the assessor is shown; two crops of one photograph are two pictures."""
    picture = candidate.pictures[place]
    parts = json.dumps([picture.content, picture.window])
    identity = picture.content if picture.window is None else hashlib.sha256(parts.encode()).hexdigest()
    return LoadedImage(load_candidate(picture), ImageRef(id=identity, path=picture.path), ())


# --- Files ------------------------------------------------------------------------------------------------


def _files(item: _Refinement, out: Path) -> dict[int, Path]:
    """Where each kept picture lies, from ``out``; crops are written."""
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
    item.refined.pictures.clear()  # thousands of series do not fit into memory
    return found


def _write_ballots(file: Path, refinements: Sequence[_Refinement], files: Mapping[str, Mapping[int, Path]]) -> None:
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


def _shown(candidate: SeriesCandidate, place: int) -> str:
    picture = candidate.pictures[place]
    if picture.window is None:
        return str(picture.path)
    return f"{picture.path} [{', '.join(f'{edge:.3f}' for edge in picture.window)}]"


def _counts(
    items: Sequence[SeriesCandidate] | Sequence[Series], n_pictures: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Series and pictures by category."""
    found: dict[str, dict[str, int]] = {}
    for item in items:
        counts = found.setdefault(item.category, {"series": 0, "pictures": 0})
        counts["series"] += 1
        counts["pictures"] += n_pictures[item.id]
    return found


def _reasons(losses: Iterable[Dropped]) -> dict[str, dict[str, int]]:
    """Numbers by category and reason."""
    found: dict[str, Counter[str]] = {}
    for loss in losses:
        found.setdefault(loss.category, Counter())[loss.reason] += 1
    return {category: dict(sorted(counts.items())) for category, counts in sorted(found.items())}


# --- Labels -----------------------------------------------------------------------------------------------


def _check_votes(votes: Sequence[Votes], refinements: Sequence[_Refinement]) -> None:
    known = {item.candidate.id: set(item.names) for item in refinements}
    for vote in votes:
        if vote.series not in known:
            raise InputError(f"there are votes on the series {vote.series!r}, which is not in the ballots")
        for name in (vote.first, vote.second):
            if name not in known[vote.series]:
                raise InputError(
                    f"series {vote.series}: there are votes on {name!r}; the ballots have "
                    f"{', '.join(sorted(known[vote.series]))}"
                )


def _labelled(
    item: _Refinement,
    calibrated: CalibratedSeries | RefusedSeries | None,
    files: Mapping[str, Mapping[int, Path]],
    factors: Mapping[str, Mapping[tuple[str, str], tuple[Factor, ...]]],
    settings: BuildSettings,
    out: Path,
) -> tuple[Series | None, list[Dropped]]:
    """The series with its order, and what was lost on the way."""
    candidate = item.candidate
    if calibrated is None or isinstance(calibrated, RefusedSeries):
        reason = "no_votes" if calibrated is None else calibrated.reason
        return None, [Dropped(candidate.category, candidate.id, "", reason)]
    lost = [
        Dropped(candidate.category, candidate.id, _shown(candidate, place), "no_votes")
        for name, place in item.names.items()
        if name not in calibrated.strengths
    ]
    if not calibrated.pairs:
        return None, [*lost, Dropped(candidate.category, candidate.id, "", "undecided")]
    names = [name for name in item.names if name in calibrated.strengths]
    place = {name: number for number, name in enumerate(names)}
    evidence = _evidence(item, names, out, files[candidate.id])
    probabilities = {}
    for pair in calibrated.pairs:
        # By position, as the ballots have it: whether the first of a pair is the better one must not be known.
        if place[pair.first] < place[pair.second]:
            probabilities[pair.first, pair.second] = pair.probability
        else:
            probabilities[pair.second, pair.first] = 1 - pair.probability
    pairs = []
    for (first, second), probability in sorted(probabilities.items()):
        told = factors.get(candidate.id, {}).get((first, second), ())
        difference = calibrated.strengths[first] - calibrated.strengths[second]
        text = _text(evidence[first], evidence[second], told, difference, candidate, (first, second), settings.seed)
        pairs.append(SeriesPair(first=place[first], second=place[second], probability=probability, text=text))
    draw = random.Random(f"split/{settings.seed}/{candidate.source}").random()
    return (
        Series(
            id=candidate.id,
            category=candidate.category,
            split="test" if draw < settings.test_fraction else "train",
            images=tuple(files[candidate.id][item.names[name]] for name in names),
            scores=tuple(calibrated.strengths[name] for name in names),
            pairs=tuple(pairs),
        ),
        lost,
    )


def _evidence(item: _Refinement, names: Sequence[str], out: Path, files: Mapping[int, Path]) -> dict[str, Measurements]:
    """What is measured in each picture, kept like the other steps."""
    places = [item.names[name] for name in names]
    file = _work(out, VERSION.replace("/", "-"), _identity(item.candidate, places))
    if not file.is_file():
        found = []
        for place in places:
            image = load_image(out / files[place], max_pixels=MAX_PIXELS).image
            found.append(measure(np.asarray(image)).as_json())
        write_json(file, found)
    return {name: Measurements.model_validate(values) for name, values in zip(names, read_json(file), strict=True)}


def _text(
    first: Measurements,
    second: Measurements,
    told: tuple[Factor, ...],
    difference: float,
    candidate: SeriesCandidate,
    names: tuple[str, str],
    seed: int,
) -> str:
    """A sentence or two on a pair for CTAlign, by the embedded writer of rationales.

    What decides is what the assessor named, or else what differs most in measurement (of crops: the composition).
    """
    leading = "composition" if candidate.category == "cropping" else leading_factor(first, second)
    factors = told or (() if leading is None else (leading,))
    delta = delta_of(difference)
    if not factors or abs(delta) < TIE_MARGIN:
        return comparative_text(factors, better=difference > 0)
    wording = random.Random("/".join(("text", str(seed), candidate.id, *names))).randrange(2**31)
    seen = PairObservation(PairEvidence(first=first, second=second, registration=None))
    return rationale_text(write_from_factors(seen, factors, delta, wording))
