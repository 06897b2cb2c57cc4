"""Series of near-identical pictures as records, and readers for the files that others publish.

Sources of the layouts: the released label files of FGAesthetics (nine text files with six numbers a line; they are not
documented, so the inferred meaning is verified line by line), and AVA (Murray et al. 2012: ``AVA.txt``).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from redaes.errors import RecordError
from redaes.file_writing import read_json, write_atomically
from redaes.label_files.contents import LabelFault, refuse_fault
from redaes.label_files.numbered_pairs import numbered_file, numbered_pairs
from redaes.types import Record

CATEGORIES = ("natural", "aigc", "cropping")
"""Categories of series: bursts, pictures generated from one prompt, and crops of one picture."""

LABEL_SPLITS = ("train", "val", "test")

Probability = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]


class SeriesPair(Record):
    """Two pictures of a series and how probable it is that the first is preferred."""

    first: int
    """Position of the first picture in ``Series.images``."""
    second: int
    probability: Probability
    """P(first is preferred)."""
    text: str | None = None
    """A sentence that compares the first with the second (CTAlign); None: none."""


class Series(Record):
    """A series with its order."""

    id: str
    category: str
    split: str
    images: tuple[Path, ...]
    """Picture files; relative paths start at the folder of the file that the record is read from."""
    scores: tuple[FiniteFloat, ...]
    """One score for each picture; higher is better, equal scores are a tie. Scores are comparable within the series
    only.
    """
    pairs: tuple[SeriesPair, ...]

    @model_validator(mode="after")
    def _positions_exist(self) -> Series:
        if len(self.images) != len(self.scores) or len(self.images) < 2:
            raise ValueError(f"{len(self.images)} images with {len(self.scores)} scores: give both for at least 2")
        for pair in self.pairs:
            if pair.first == pair.second or not all(0 <= i < len(self.images) for i in (pair.first, pair.second)):
                raise ValueError(f"a pair names the positions {pair.first} and {pair.second}")
        return self


class Histogram(Record):
    """A picture with the distribution of its scores."""

    image: Path
    distribution: tuple[FiniteFloat, ...]
    """Shares of the scores 1 to 10; they sum to 1."""

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Histogram:
        if len(self.distribution) != 10 or min(self.distribution) < 0 or abs(sum(self.distribution) - 1) > 1e-6:
            raise ValueError(f"{self.distribution} are not ten shares that sum to 1")
        return self


# --- Own files --------------------------------------------------------------------------------------------


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write series or histograms as JSON lines, atomically."""
    write_atomically(path, "".join(f"{record.model_dump_json()}\n" for record in records).encode())


def read_series(path: Path) -> list[Series]:
    """Return series from JSON lines.

    Raises:
        RecordError: the file cannot be read, or a line is not a series; the message names file and line.
    """
    found = []
    for series in _read_lines(path, Series):
        images = tuple(path.parent / image for image in series.images)
        found.append(series.model_copy(update={"images": images}))
    return found


def read_histograms(path: Path) -> list[Histogram]:
    """Return histograms from JSON lines.

    Raises:
        RecordError: as for :func:`read_series`.
    """
    return [
        histogram.model_copy(update={"image": path.parent / histogram.image})
        for histogram in _read_lines(path, Histogram)
    ]


def _read_lines(path: Path, kind: Any) -> list[Any]:
    records = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise RecordError(f"{path}, line {number}: no {kind.__name__.lower()} ({_first(error)})") from error
    if not records:
        raise RecordError(f"{path} is empty; it needs one {kind.__name__.lower()} a line")
    return records


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is not UTF-8: {error}") from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"


# --- FGAesthetics -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelReport:
    """Counts of the rows that reading a label file left out."""

    n_rows: int
    n_ties: int
    """Number of rows with P = 0.5, which prefer neither picture."""
    n_repeated: int
    """Number of rows that repeat an earlier one exactly."""
    n_contrary: int
    """Number of kept pairs whose P prefers the picture with the worse value: votes against the common order."""


LabelValues = Literal["scores", "ranks"]
"""The kind of a label file's values: scores, of which larger is better, or ranks, of which 1 is the best."""


def read_fgaesthetics_labels(
    path: Path, images: Path, *, values_are: LabelValues = "scores"
) -> tuple[list[Series], LabelReport]:
    """Return one label file of FGAesthetics, such as ``natural_train.txt``.

    A line holds six numbers, separated by blanks or commas, read as series, index of a, index of b, P(a is
    preferred), value of a, value of b. The release does not document them, so they are verified: a picture has one
    value, a pair one P, and P and values name the same picture in most pairs. The values are an order of the whole
    series; single pairs that vote against it are kept and counted.

    Args:
        path: its name gives category and split.
        images: folder of ``{series:06d}-{index:02d}.jpg``, or of one folder for each series
            (:func:`redaes.label_files.numbered_pairs.in_folders`). The files are not opened here; a missing one gets
            its flat name.
        values_are: ``ranks`` are inverted, so that larger is better in the scores of the series.

    Raises:
        RecordError: a name or a line does not follow the layout or contradicts another line, which the message names;
            or more pairs contradict the values than agree with them.
    """
    category, _, split = path.stem.partition("_")
    if category not in CATEGORIES or split not in LABEL_SPLITS:
        raise RecordError(
            f"{path}: the name must be {{{','.join(CATEGORIES)}}}_{{{','.join(LABEL_SPLITS)}}}.txt, as released"
        )
    values: dict[int, dict[int, float]] = {}
    pairs: dict[int, dict[tuple[int, int], float]] = {}
    n_rows = n_ties = n_repeated = n_decided = 0
    contrary: list[str] = []
    sign = -1.0 if values_are == "ranks" else 1.0
    for row in numbered_pairs(path):
        if isinstance(row, LabelFault):
            refuse_fault(path, row)
        n_rows += 1
        where = f"{path}, {row.where}"
        series, a, b, probability = row.series, row.first, row.second, row.probability
        value_a, value_b = row.value_first, row.value_second
        known = values.setdefault(series, {})
        for index, value in ((a, value_a), (b, value_b)):
            if known.setdefault(index, value) != value:
                raise RecordError(
                    f"{where}: picture {index} of series {series} has the value {value}, and {known[index]} above"
                )
        of_series = pairs.setdefault(series, {})
        ordered, of_first = ((a, b), probability) if a < b else ((b, a), 1 - probability)
        if ordered in of_series:
            if not math.isclose(of_series[ordered], of_first, abs_tol=1e-9):
                raise RecordError(f"{where}: the pair {a}, {b} of series {series} has another P above")
            n_repeated += 1
        elif probability == 0.5:
            n_ties += 1
        else:
            of_series[ordered] = of_first
            agreement = sign * (probability - 0.5) * (value_a - value_b)
            n_decided += agreement != 0
            if agreement < 0:
                contrary.append(f"{row.where}: P {probability} and the values {value_a} and {value_b}")
    if 2 * len(contrary) > n_decided:
        raise RecordError(
            f"{path}: in {len(contrary)} of {n_decided} pairs P contradicts the values, such as {contrary[0]}; this is "
            "not the layout series, a, b, P(a preferred), value of a, value of b"
            + ("; where the values are ranks, 1 the best, give values_are='ranks'" if values_are == "scores" else "")
        )
    found = []
    for series in sorted(pairs):
        if not pairs[series]:
            continue  # the series has only ties, which are counted
        indices = sorted(values[series])
        place = {index: position for position, index in enumerate(indices)}
        found.append(
            Series(
                id=f"{category}/{series:06d}",
                category=category,
                split=split,
                images=tuple(numbered_file(images, series, index) for index in indices),
                scores=tuple(sign * values[series][index] for index in indices),
                pairs=tuple(
                    SeriesPair(first=place[a], second=place[b], probability=p)
                    for (a, b), p in sorted(pairs[series].items())
                ),
            )
        )
    return found, LabelReport(n_rows, n_ties, n_repeated, len(contrary))


# --- AVA and plain files ----------------------------------------------------------------------------------


def read_ava(path: Path, images: Path, ids: Iterable[str] | None = None) -> list[Histogram]:
    """Return histograms from ``AVA.txt``: running number, image id, ten counts for the scores 1 to 10, tags, challenge.

    Args:
        path: path of the file.
        images: folder of ``{id}.jpg``; the pictures are not opened here.
        ids: ids to keep, such as those of a split; None: all.

    Raises:
        RecordError: a line does not follow the layout, an id occurs twice, or one of ``ids`` is missing.
    """
    wanted = None if ids is None else set(ids)
    found: dict[str, Histogram] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) < 12 or not all(part.isdigit() for part in parts[:12]):
            raise RecordError(f"{path}, line {number}: not a running number, an id and ten counts")
        name, counts = parts[1], [int(part) for part in parts[2:12]]
        if wanted is not None and name not in wanted:
            continue
        if name in found or not sum(counts):
            raise RecordError(
                f"{path}, line {number}: image {name} {'comes twice' if name in found else 'has no votes'}"
            )
        found[name] = Histogram(
            image=images / f"{name}.jpg", distribution=tuple(count / sum(counts) for count in counts)
        )
    missing = sorted((wanted or set()) - set(found))
    if missing:
        raise RecordError(f"{path} lacks {len(missing)} images, such as {missing[0]}; copy it again")
    if not found:
        raise RecordError(f"{path} is empty; copy it again")
    return list(found.values())


def read_scores(path: Path, images: Path) -> list[tuple[Path, float]]:
    """Return pictures with one score each from JSON: ``[{"image": "a.jpg", "gt_score": 5.2}, ...]``.

    Raises:
        RecordError: the file has another layout, or a score is not a finite number.
    """
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise RecordError(f"{path} is not a list of objects with image and gt_score")
    found = []
    for number, row in enumerate(rows):
        score = row.get("gt_score") if isinstance(row, Mapping) else None
        if not isinstance(row, Mapping) or not isinstance(row.get("image"), str):
            raise RecordError(f"{path}, entry {number}: no object with image and gt_score: {json.dumps(row)[:80]}")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise RecordError(f"{path}, entry {number}: gt_score of {row['image']} is {score!r}; give a finite number")
        found.append((images / row["image"], float(score)))
    return found


def read_pairs_csv(path: Path, images: Path) -> list[tuple[Path, Path, float]]:
    """Return pairs from CSV with the columns ``first, second, probability`` (of the first being preferred).

    Raises:
        RecordError: the file has another layout, or a probability is outside [0, 1].
    """
    found = []
    for number, row in read_csv(path, ("first", "second", "probability")):
        probability = _number(row["probability"], f"{path}, line {number}: probability")
        if not 0 <= probability <= 1 or row["first"] == row["second"]:
            raise RecordError(f"{path}, line {number}: give two different pictures and a probability in [0, 1]")
        found.append((images / row["first"], images / row["second"], probability))
    return found


def read_series_csv(path: Path, images: Path, *, category: str, split: str) -> list[Series]:
    """Return series from CSV with the columns ``series, image, score``, higher is better; all pairs of unlike score.

    A column ``rank`` in place of ``score`` has 1 for the best.

    Pairs of unlike score get the probability 1 or 0, because the file says which is better, not how surely.

    Raises:
        RecordError: the file has another layout, a score is not a number, a picture occurs twice, or a series has one
            picture.
    """
    members: dict[str, dict[str, float]] = {}
    label = "rank" if _has_ranks(path) else "score"
    sign = -1.0 if label == "rank" else 1.0
    for number, row in read_csv(path, ("series", "image", label)):
        of_series = members.setdefault(row["series"], {})
        if row["image"] in of_series:
            raise RecordError(f"{path}, line {number}: {row['image']} comes twice in series {row['series']}")
        of_series[row["image"]] = sign * _number(row[label], f"{path}, line {number}: {label}")
    if not members:
        raise RecordError(f"{path} has no series")
    try:
        return [
            ordered_series(name, category, split, [images / image for image in of_series], list(of_series.values()))
            for name, of_series in members.items()
        ]
    except ValidationError as error:
        raise RecordError(f"{path}: {_first(error)}") from error


def _has_ranks(path: Path) -> bool:
    header = next(csv.reader(_text(path).splitlines()[:1]), [])
    if "score" in header and "rank" in header:
        raise RecordError(f"{path} has a column score and a column rank; leave one of them out")
    return "rank" in header


def ordered_series(
    name: str,
    category: str,
    split: str,
    images: Sequence[Path],
    scores: Sequence[float],
    texts: Mapping[tuple[int, int], str] | None = None,
) -> Series:
    """Return a series of known order, with all its pairs of unlike score."""
    pairs = [
        SeriesPair(first=i, second=j, probability=float(scores[i] > scores[j]), text=(texts or {}).get((i, j)))
        for i in range(len(images))
        for j in range(i + 1, len(images))
        if scores[i] != scores[j]
    ]
    return Series(
        id=name, category=category, split=split, images=tuple(images), scores=tuple(scores), pairs=tuple(pairs)
    )


def read_csv(
    path: Path, columns: Sequence[str], *, may_be_blank: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Return rows of a CSV file with a header line, with their line numbers.

    Args:
        path: path of the file.
        columns: columns to read; others are skipped.
        may_be_blank: columns whose values may be blank.

    Raises:
        RecordError: the file cannot be read or lacks a column, or a line is incomplete.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise RecordError(f"{path} lacks the columns {', '.join(missing)}; its first line must name them")
            rows = []
            for row in reader:
                if any(row[one] is None or not (row[one] or one in may_be_blank) for one in columns):
                    raise RecordError(f"{path}, line {reader.line_num}: a value of {', '.join(columns)} is missing")
                rows.append((reader.line_num, {column: row[column] for column in columns}))
            return rows
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path} is not CSV in UTF-8: {error}") from error


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise RecordError(f"{where} is {text!r}; give a number") from error
    if not math.isfinite(value):
        raise RecordError(f"{where} is {text!r}; give a finite number")
    return value
