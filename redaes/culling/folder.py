"""Rank a folder by series. Answers are kept in the output folder as they come, so an interrupted run can be continued.

The output folder::

    ranking.jsonl       one line per series, best picture first; then one per file that could not be used
    ranking.csv         one row per picture
    contact_sheet.html  to look at, with further pages beside it; nothing is fetched but the pictures themselves
    marks.jsonl         one line per marked picture: its sidecar, and what was or would be done
    answers/*.json      what the model found out, per series, model and settings
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from redaes.assessing.words import UNDECIDED as UNDECIDED_IN_WORDS
from redaes.assessing.words import agreement
from redaes.culling import sheet, xmp
from redaes.culling.given_pictures import given_pictures
from redaes.culling.grouping import GroupingLimits, Photograph, PhotographSeries, UnreadableFile, group
from redaes.culling.marking import mark_pictures
from redaes.culling.rankers import OnPrepared, Ranked, Ranker, Unranked
from redaes.culling.scanned_shots import scan_shots
from redaes.culling.sheet_pages import ContactSheet
from redaes.culling.sidecar_names import SidecarStyle
from redaes.culling.winners import SeriesWinner, winner_in_words
from redaes.file_writing import writing
from redaes.images import PassedOver
from redaes.points import delta_of, sigmoid
from redaes.ranking import Z_SETTLED
from redaes.types import TIE_MARGIN

CSV_COLUMNS = ("series", "place", "file", "taken", "score", "error", "unit", "rating", "label", "pick")

# [ours] The best by a visible lead; what is not settled to be worse; what is.
BEST = xmp.Mark(rating=5, label="Green", pick=3)
UNDECIDED = xmp.Mark(rating=3, label="Yellow", pick=2)
REST = xmp.Mark(rating=1, label="Red", pick=1)
REJECTED = xmp.Mark(rating=-1, label="Red", pick=1)


@dataclass(frozen=True)
class PlacedPhotograph:
    """A picture with its place in its series."""

    photograph: Photograph
    place: int
    """Place in the series, from 1; copies of one picture share a place."""
    score: float
    error: float | None
    """Standard error of the score; None: not known."""
    mark: xmp.Mark | None
    """The mark; None: the picture is alone, so that there was nothing to choose from."""


@dataclass(frozen=True)
class RankedSeries:
    """A series with its result."""

    name: str
    pictures: tuple[PlacedPhotograph, ...]
    """The pictures, best first."""
    ranking: Ranked | None
    """The ranking; None: see ``failure``."""
    failure: str | None
    doubt: str | None = None
    """Why none of its pictures is marked as worse; None: there is no doubt."""
    meant: str | None = None
    """What its pictures were taken for, together, so that they are not ranked; None: to choose from."""

    @property
    def remark(self) -> str | None:
        """A remark on its marks, as a sentence; None: there is none."""
        if self.meant is not None:
            return f"Left as it is, because it seems to be {self.meant}"
        return None if self.doubt is None else f"None is marked as worse: {self.doubt}"


@dataclass
class FolderSummary:
    """The results of a run."""

    n_pictures: int = 0
    n_series: int = 0
    n_singles: int = 0
    n_meant: int = 0
    """Number of series that were taken to be used together, and are not ranked."""
    n_calls: int = 0
    n_sidecars: int = 0
    """Number of sidecars that were written, or would be."""
    n_merged: int = 0
    """Number of those that existed before."""
    kept: tuple[str, ...] = ()
    """Pictures without a mark because somebody has rated, labelled or picked them, each with what says so."""
    unreadable: tuple[UnreadableFile, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    """Files and folders that were not read."""
    winners: tuple[SeriesWinner, ...] = ()
    """What came out for each series in which there was something to choose from."""
    failed: tuple[str, ...] = ()
    """Series without a ranking, and sidecars that cannot be merged, each with the reason."""


def rank_folder(
    folder: Path | Sequence[Path],
    out: Path,
    ranker: Ranker,
    *,
    exclude: Sequence[str] = (),
    limits: GroupingLimits | None = None,
    write_xmp: bool = False,
    sidecars: SidecarStyle = "auto",
    overrule: bool = False,
    reject: bool = False,
    on_scanned: Callable[[int, int], None] | None = None,
    on_prepared: OnPrepared | None = None,
    on_series: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> FolderSummary:
    """Group the pictures of a folder into series, rank each, and write the results.

    Args:
        folder: a folder with pictures, also in subfolders; or several folders and pictures. Nothing in it is changed,
            except sidecars if ``write_xmp`` is set.
        out: folder for the results; a run with the same pictures, model and settings continues an interrupted one.
        ranker: puts each series in order.
        exclude: pictures and folders to leave out, as patterns of a ``.gitignore`` file.
        limits: limits within which pictures belong together; None: the defaults.
        write_xmp: write the sidecars; otherwise they are only counted.
        sidecars: how new sidecars are named.
        overrule: also mark pictures that have a rating of their own.
        reject: the remaining pictures get the rating -1, rejected, instead of one star.
        on_scanned: called with the number of scanned files and of all files.
        on_prepared: called with the progress of work before the first series can be finished.
        on_series: called with the number of finished series, of all series, and the finished one's line.

    Raises:
        InputError: the folder is missing or has no pictures, or a pattern is invalid.
        RecordError: ``out`` cannot be written to.
        BackendError: the model cannot be asked.
    """
    root, found = given_pictures(folder, exclude, out)
    shots = scan_shots(found.pictures, on_scanned)
    passed_over = found.passed_over
    if shots.raws:
        same = sorted(raw for those in shots.raws.values() for raw in those)
        passed_over += (PassedOver("camera raw beside a JPEG or HEIF of the same shot, which is judged", tuple(same)),)
    unreadable = (*(UnreadableFile(path, reason) for path, reason in found.unreadable), *shots.unusable)
    series = group(shots.photographs, limits)
    references = [{picture.ref.id: picture.ref for picture in one.pictures} for one in series if one.meant is None]
    results = ranker.rank(references, out / "answers", on_prepared)
    summary = FolderSummary(
        n_pictures=len(shots.photographs), n_series=len(series), unreadable=unreadable, passed_over=passed_over
    )
    failed: list[str] = []
    winners: list[SeriesWinner] = []
    marked: list[tuple[Path, xmp.Mark]] = []
    unmarked: set[Path] = set()
    with (
        writing(out / "ranking.jsonl") as lines_path,
        writing(out / "ranking.csv") as table_path,
        ContactSheet(out, root, [len(one.pictures) for one in series]) as pages,
        lines_path.open("w", encoding="utf-8") as lines,
        table_path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as table,
    ):
        rows = csv.writer(table)
        rows.writerow(CSV_COLUMNS)
        for number, one in enumerate(series, 1):
            ranked = _with_places(f"{number:04d}", one, None if one.meant is not None else next(results))
            ranked = _rejecting(ranked) if reject else ranked
            line = _line(ranked, ranker.provenance)
            summary.n_singles += len(one.pictures) == 1
            summary.n_meant += one.meant is not None
            if ranked.ranking is not None:
                summary.n_calls += ranked.ranking.n_calls
            if ranked.failure is not None:
                failed.append(f"series {ranked.name}: {ranked.failure}")
            winners += _winner(ranked, root)
            lines.write(json.dumps(line) + "\n")
            rows.writerows(_rows(ranked))
            _show(pages, ranked, root)
            marked += [(one.photograph.ref.path, one.mark) for one in ranked.pictures if one.mark is not None]
            unmarked |= {one.photograph.ref.path for one in ranked.pictures if one.mark is None}
            if on_series is not None:
                on_series(number, len(series), line)
        for file in unreadable:
            lines.write(json.dumps({"path": str(file.path), "error": file.reason}) + "\n")
        for left_out in passed_over:
            for path, reason in left_out.unusable():
                lines.write(json.dumps({"path": str(path), "error": reason}) + "\n")
        pages.end(
            [(str(file.path), file.reason) for file in unreadable],
            [left_out.in_words(root) for left_out in passed_over],
        )
    marking = mark_pictures(
        marked, out / "marks.jsonl", write=write_xmp, style=sidecars, overrule=overrule, unmarked=unmarked
    )
    summary.n_sidecars, summary.n_merged, summary.kept = marking.n_sidecars, marking.n_merged, marking.kept
    summary.failed = (*failed, *marking.failed)
    summary.winners = tuple(winners)
    return summary


def _with_places(name: str, series: PhotographSeries, result: Ranked | Unranked | None) -> RankedSeries:
    if not isinstance(result, Ranked):
        unplaced = tuple(PlacedPhotograph(picture, 0, 0.0, None, None) for picture in series.pictures)
        failure = None if result is None else result.reason
        return RankedSeries(name, unplaced, None, failure, series.doubt, series.meant)
    return RankedSeries(name, tuple(_placed(series, result)), result, None, series.doubt)


def _rejecting(ranked: RankedSeries) -> RankedSeries:
    """Return the series with its rest rejected."""
    pictures = (replace(one, mark=REJECTED) if one.mark == REST else one for one in ranked.pictures)
    return replace(ranked, pictures=tuple(pictures))


def _placed(series: PhotographSeries, ranking: Ranked) -> Iterator[PlacedPhotograph]:
    place = {picture: number for number, picture in enumerate(ranking.order, 1)}
    best = ranking.order[0]
    alone = len(ranking.order) == 1
    # A lead below the visible difference makes no winner.
    leads = not alone and ranking.lead(best, ranking.order[1]) >= TIE_MARGIN
    # If the pictures may show different things, the worse one may be the only one of its subject.
    rest = REST if series.doubt is None else UNDECIDED
    for photograph in sorted(series.pictures, key=lambda one: (place[one.ref.id], str(one.ref.path))):
        own = photograph.ref.id
        error = None if ranking.errors is None else ranking.errors[own]
        mark = BEST if own == best and leads else (rest if _is_worse(ranking, best, own) else UNDECIDED)
        yield PlacedPhotograph(photograph, place[own], ranking.scores[own], error, None if alone else mark)


def _is_worse(ranking: Ranked, best: str, own: str) -> bool:
    """Return whether it is settled that a picture is worse than the best; without errors: visibly so."""
    if ranking.errors is None:
        return ranking.lead(best, own) >= TIE_MARGIN
    gap = ranking.scores[best] - ranking.scores[own]
    return gap >= Z_SETTLED * (ranking.errors[best] ** 2 + ranking.errors[own] ** 2) ** 0.5


def _line(ranked: RankedSeries, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the series as JSON types."""
    ranking = ranked.ranking
    explanation = None if ranking is None else ranking.explanation
    return {
        "series": ranked.name,
        "pictures": [
            {
                "place": picture.place or None,
                "path": str(picture.photograph.ref.path),
                "id": picture.photograph.ref.id,
                "taken": None if picture.photograph.taken is None else picture.photograph.taken.isoformat(),
                "score": None if ranking is None or picture.mark is None else picture.score,
                "error": None if picture.mark is None else picture.error,
                "mark": None if picture.mark is None else asdict(picture.mark),
            }
            for picture in ranked.pictures
        ],
        "unit": None if ranking is None else ranking.unit,
        "n_comparisons": None if ranking is None else ranking.n_comparisons,
        "n_calls": None if ranking is None else ranking.n_calls,
        "n_failed": None if ranking is None else ranking.n_failed,
        "n_cycles": None if ranking is None else ranking.n_cycles,
        "failure": ranked.failure,
        "doubt": ranked.doubt,
        "meant": ranked.meant,
        "explanation": None if explanation is None else explanation.as_json(),
        **provenance,
    }


def _rows(ranked: RankedSeries) -> Iterator[tuple[object, ...]]:
    for picture in ranked.pictures:
        taken = picture.photograph.taken
        mark = picture.mark
        yield (
            ranked.name,
            picture.place or "",
            str(picture.photograph.ref.path),
            "" if taken is None else taken.isoformat(),
            "" if ranked.ranking is None or mark is None else f"{picture.score:.3f}",
            "" if picture.error is None or mark is None else f"{picture.error:.3f}",
            "" if ranked.ranking is None or mark is None else ranked.ranking.unit,
            *(("", "", "") if mark is None else (mark.rating, mark.label, mark.pick)),
        )


def _winner(ranked: RankedSeries, folder: Path) -> Iterator[SeriesWinner]:
    """What the terminal says of a series; nothing of one without an order, or of a picture that is alone."""
    if ranked.ranking is None or len(ranked.ranking.order) < 2:
        return
    names: dict[str, str] = {}
    for one in ranked.pictures:  # the first of several copies is named
        names.setdefault(one.photograph.ref.id, os.path.relpath(one.photograph.ref.path, folder))
    leads = ranked.pictures[0].mark == BEST
    yield winner_in_words(ranked.name, len(ranked.pictures), ranked.ranking, names, leads=leads)


def _show(pages: ContactSheet, ranked: RankedSeries, folder: Path) -> None:
    explanation = None if ranked.ranking is None else ranked.ranking.explanation
    told = None
    if explanation is not None:
        letters = ("the best", "the next one")
        if explanation.rationale_order == "swapped":
            letters = ("the next one", "the best")
        told = sheet.Told(
            winner=explanation.winner,
            undecided=None if explanation.undecided is None else UNDECIDED_IN_WORDS[explanation.undecided],
            probability=explanation.probability,
            delta=explanation.delta,
            rationale=explanation.rationale or explanation.failure,
            letters=letters,
            notes=explanation.notes,
            claims=explanation.claims,
            claims_summary=explanation.claims_summary,
            measured=explanation.measured,
            agreement=None
            if explanation.agreement is None
            else agreement(explanation.agreement, "the best", "the next one"),
        )
    pages.series(ranked.name, len(ranked.pictures), ranked.failure, told, ranked.remark)
    called = {} if told is None or ranked.ranking is None else _letters(ranked.ranking, told)
    for picture in ranked.pictures:
        path, taken = picture.photograph.ref.path, picture.photograph.taken
        pages.picture(
            sheet.SheetPicture(
                path=path,
                name=os.path.relpath(path, folder),
                link=pages.link(path),
                place=picture.place,
                score=None if ranked.ranking is None or picture.mark is None else (picture.score, picture.error),
                unit="" if ranked.ranking is None else ranked.ranking.unit,
                taken="" if taken is None else str(taken),
                label="" if picture.mark is None else picture.mark.label,
                letter=called.pop(picture.photograph.ref.id, ""),  # of copies, the first
                mark="" if picture.mark is None else _MARKS[picture.mark],
                standing=None if ranked.ranking is None else _standing(ranked.ranking, picture),
            )
        )
    pages.end_series()


_MARKS = {BEST: "★★★★★ Pick", UNDECIDED: "★★★ Not settled", REST: "★ Worse", REJECTED: "✗ Rejected"}


def _letters(ranking: Ranked, told: sheet.Told) -> dict[str, str]:
    """Return what the reasoning calls the best picture and the next one, by their ids."""
    letters = "AB" if told.letters[0] == "the best" else "BA"
    return dict(zip(ranking.order[:2], letters, strict=False))


def _standing(ranking: Ranked, picture: PlacedPhotograph) -> str | None:
    """Return how a picture stands against the best one in points and percent, where scores are log-odds."""
    if ranking.unit != "logits" or picture.mark is None:
        return None
    best, own = ranking.order[0], picture.photograph.ref.id
    if own == best:
        return ""
    gap = ranking.scores[own] - ranking.scores[best]
    text = f"{abs(delta_of(gap)):.1f}"
    if ranking.errors is not None:
        error = (ranking.errors[best] ** 2 + ranking.errors[own] ** 2) ** 0.5
        text += f" ± {(delta_of(gap + error) - delta_of(gap - error)) / 2:.1f}"
    return f"{text} points behind the best; {sigmoid(gap):.0%} that it is better"
