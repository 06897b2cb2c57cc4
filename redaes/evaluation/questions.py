"""The questions of a benchmark for an assessor, and the scores and differences that follow from its answers.

=========  ==================================  ======================================  ===========================
benchmark  an assessor that is shown one       one that is shown two                   one that is shown a series
=========  ==================================  ======================================  ===========================
scores     every picture                       every picture against each reference    fields of ``FIELD`` pictures
                                                                                       with all references in each
pairs      every picture; differences          every labelled pair                     every labelled pair
series     every picture; differences          every pair of a series, fitted          every series
crops      every crop                          not offered: too many pairs             not offered
=========  ==================================  ======================================  ===========================

The scores of a field are relative to the mean of its references, which makes fields comparable [ours].
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from redaes import ranking
from redaes.assessor import ReferenceSet
from redaes.errors import ImageError, InputError
from redaes.evaluation.assessors.base import Arity, CompactAnswer, QuestionPicture
from redaes.evaluation.benchmarks import LoadedBenchmark
from redaes.evaluation.benchmarks.base import BenchmarkPicture
from redaes.heldout import place_drawn
from redaes.images import (
    MAX_FILE_PIXELS,
    MAX_PIXELS,
    LoadedImage,
    content_id,
    fit_area,
    list_images,
    load_image,
    read_image_file,
)
from redaes.label_files.contents import Box
from redaes.types import ImageRef

SEPARATOR = "\t"
"""Separator of the two pictures in the id of a question; no name in a label file can contain it."""

USUAL_REFERENCES = 8
"""Default number of references."""

CHUNK = 64
"""Number of questions that are answered and written together, and asked again together after a kill."""

CHUNK_SERIES = 4
"""The same number if a question is a whole series."""

FIELD = 16
"""Number of pictures that are ordered together with the references, for an assessor of series on a benchmark without
series.
"""

PictureKey = tuple[str, Path, Box | None]
"""Id, file and crop of a picture."""


@dataclass(frozen=True)
class QuestionPlan:
    """The questions of a run, in their order.

    Attributes:
        keys: id, file and crop of the pictures of each question. Files are strings, because there may be hundreds of
            thousands.
        references: ids of the references; empty: there are none.
        root: folder that the files are relative to.
        chunk: number of questions that are answered and written together.
    """

    keys: tuple[tuple[tuple[str, str, Box | None], ...], ...]
    references: tuple[str, ...]
    root: Path
    chunk: int = CHUNK

    @property
    def n_chunks(self) -> int:
        """Number of chunks, which are answered and written together."""
        return -(-len(self.keys) // self.chunk)

    def part(self, number: int) -> tuple[tuple[PictureKey, ...], ...]:
        """Return the questions of a chunk, with the paths of their files."""
        keys = self.keys[number * self.chunk : (number + 1) * self.chunk]
        return tuple(tuple((name, self.root / file, box) for name, file, box in one) for one in keys)

    def ids(self) -> list[str]:
        """Return the questions' ids."""
        return [question_id([key[0] for key in keys]) for keys in self.keys]

    @property
    def sha256(self) -> str:
        """SHA-256 of the questions' ids, in hex, which is the same for the same run."""
        return hashlib.sha256("\n".join(self.ids()).encode()).hexdigest()


def question_id(names: Sequence[str]) -> str:
    """Return the id of a question about these pictures."""
    return SEPARATOR.join(names)


def make_plan(
    loaded: LoadedBenchmark,
    arity: Arity,
    *,
    references: ReferenceSet | Path | None = None,
    n_references: int = USUAL_REFERENCES,
    seed: int = 0,
) -> QuestionPlan:
    """Return the questions of a benchmark; missing pictures are left out.

    Args:
        loaded: the benchmark.
        arity: number of pictures that the assessor is shown.
        references: folder of reference pictures for ``scores`` in pairs, or a reference set, whose pictures are not
            asked about if ``scores`` has them too; None: ``n_references`` of the benchmark's own pictures, drawn by a
            hash of their ids and so independent of their labels.
        n_references: number of references.
        seed: seed of the draw.

    Raises:
        InputError: crops would be shown in pairs, there are no pictures, or the number of references is impossible.
    """
    absent = set(loaded.missing)
    pictures = [picture for picture in loaded.labels.pictures if picture.file not in absent]
    if not pictures:
        raise InputError(f"none of the {len(loaded.labels.pictures)} pictures is in {loaded.pictures}; give --pictures")
    root = loaded.pictures
    names: tuple[str, ...] = ()
    if isinstance(references, ReferenceSet) and loaded.benchmark.kind == "scores":
        pictures = _without(pictures, root, references)
        names = tuple(f"reference {reference.id[:12]}" for reference in references.pictures)
    if arity == "one":
        return QuestionPlan(tuple(((picture.id, picture.file, picture.box),) for picture in pictures), names, root)
    keys = {picture.id: (picture.id, picture.file, picture.box) for picture in pictures}
    if loaded.benchmark.kind == "crops":
        raise InputError(
            f"{loaded.benchmark.name} has thousands of pairs per photograph; give an assessor of one picture"
        )
    chunk = CHUNK_SERIES if arity == "series" else CHUNK
    if loaded.benchmark.kind == "pairs":
        pairs = [(pair.first, pair.second) for pair in loaded.labels.pairs]
        return QuestionPlan(tuple((keys[a], keys[b]) for a, b in pairs if a in keys and b in keys), (), root, chunk)
    if loaded.benchmark.kind == "series":
        groups: dict[str, list[BenchmarkPicture]] = {}
        for picture in pictures:
            groups.setdefault(picture.group, []).append(picture)
        if arity == "series":
            return QuestionPlan(
                tuple(tuple(keys[one.id] for one in members) for members in groups.values()), (), root, chunk
            )
        both = [pair for members in groups.values() for pair in itertools.combinations(members, 2)]
        return QuestionPlan(tuple((keys[a.id], keys[b.id]) for a, b in both), (), root)
    if n_references < 1:
        raise InputError(f"n_references is {n_references}; give at least 1")
    shown: list[tuple[str, str, Box | None]]
    if isinstance(references, ReferenceSet):
        files = [str(reference.path.absolute()) for reference in references.pictures]
        shown = [(name, file, None) for name, file in zip(names, files, strict=True)]
    elif references is not None:
        shown = [(f"reference {path.name}", str(path.absolute()), None) for path in list_images(references)]
    else:
        drawn = sorted(pictures, key=lambda picture: place_drawn(seed, picture.id))
        shown = [keys[picture.id] for picture in drawn[:n_references]]
    names = tuple(key[0] for key in shown)
    if arity == "series":
        own = set(names)
        dealt = sorted(
            (picture.id for picture in pictures if picture.id not in own),
            key=lambda name: hashlib.sha256(f"{seed} field:{name}".encode()).digest(),
        )
        fields = [dealt[start : start + FIELD] for start in range(0, len(dealt), FIELD)] or [[]]
        return QuestionPlan(tuple((*(keys[name] for name in field), *shown) for field in fields), names, root, chunk)
    return QuestionPlan(
        tuple((keys[picture.id], key) for picture in pictures for key in shown if key[0] != picture.id),
        names,
        root,
    )


def _without(pictures: Sequence[BenchmarkPicture], root: Path, references: ReferenceSet) -> list[BenchmarkPicture]:
    """Return the pictures whose files are not references or copies of one. Only files of equal size are read."""
    own = {reference.id for reference in references.pictures}
    try:
        sizes = {reference.path.stat().st_size for reference in references.pictures}
    except OSError as error:
        raise InputError(f"reference {error.filename} cannot be read: {error.strerror}; rank the set again") from error
    left = []
    for picture in pictures:
        file = root / picture.file
        try:
            copy = file.stat().st_size in sizes and content_id(read_image_file(file)) in own
        except (OSError, ImageError):  # it is asked about like the others, and its failure is recorded there
            copy = False
        if not copy:
            left.append(picture)
    if not left:
        raise InputError(f"all {len(pictures)} pictures are references; choose fewer, or take others")
    return left


class PictureReader:
    """Read the pictures of questions; the last one is kept, because crops of one file follow each other."""

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        """
        Args:
            max_pixels: largest area that an assessor is shown, in pixels.
        """
        self._max_pixels = max_pixels
        self._last: tuple[Path, LoadedImage] | None = None

    def read(self, key: PictureKey, *, pixels: bool) -> QuestionPicture:
        """Return a picture of a question, decoded if ``pixels``.

        Raises:
            ImageError: the file cannot be used.
            InputError: the crop is not within the picture.
        """
        name, path, box = key
        if not pixels:
            return QuestionPicture(name, path, None)
        if box is None:
            return QuestionPicture(name, path, load_image(path, max_pixels=self._max_pixels))
        if self._last is None or self._last[0] != path:
            self._last = path, load_image(path, max_pixels=MAX_FILE_PIXELS)
        whole = self._last[1]
        left, top, right, bottom = box
        width, height = whole.image.size
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise InputError(
                f"{path}: the crop {box} is not inside the picture of {width} x {height} pixels; it may be another copy"
            )
        crop = whole.image.crop(box)
        crop = crop.resize(fit_area(crop.size, self._max_pixels))
        ref = ImageRef(id=content_id(f"{whole.ref.id} {box}".encode()), path=path)
        return QuestionPicture(name, path, LoadedImage(crop, ref, whole.notes))


def scores_of(
    loaded: LoadedBenchmark, arity: Arity, plan: QuestionPlan, given: Mapping[str, CompactAnswer]
) -> dict[str, float | None]:
    """Return the score of every picture that was asked about; None: there is no usable answer.

    Args:
        loaded: the benchmark.
        arity: number of pictures that the assessor was shown.
        plan: the questions.
        given: answers by question.
    """
    if arity == "one":
        return {keys[0][0]: given[keys[0][0]].value for keys in plan.keys}
    if arity == "series":
        return _within_series(plan, given)
    if plan.references:
        return _against_references(plan, given)
    found: dict[str, float | None] = {}
    groups = {picture.id: picture.group for picture in loaded.labels.pictures}
    asked: dict[str, list[tuple[str, str]]] = {}
    for first, second in _pairs(plan):
        asked.setdefault(groups[first], []).append((first, second))
    for pairs in asked.values():
        names = list(dict.fromkeys(name for pair in pairs for name in pair))
        places = {name: place for place, name in enumerate(names)}
        edges: list[ranking.Edge] = []
        for first, second in pairs:
            value = given[question_id((first, second))].value
            if value is not None:
                edges.append((places[first], places[second], value, 1.0))
        scores = ranking.fit_potential(len(names), edges).values
        # Scores of parts that no comparison connects are not comparable.
        whole = len(ranking.components(len(names), edges)) == 1
        found |= {name: float(scores[place]) if whole else None for name, place in places.items()}
    return found


def differences_of(
    loaded: LoadedBenchmark,
    arity: Arity,
    plan: QuestionPlan,
    given: Mapping[str, CompactAnswer],
    scores: Mapping[str, float | None],
) -> Iterator[tuple[float | None, float | None, tuple[int, int, int] | None]]:
    """Yield for each labelled pair with existing pictures the predicted difference, P(first is better) if there is one,
    and the numbers of statements of the reasoning (supported, contradicted, not measured) if there is one.

    The swapped question also answers a pair, with opposite signs.
    """
    absent = set(loaded.missing)
    files = {picture.id: picture.file for picture in loaded.labels.pictures}
    for pair in loaded.labels.pairs:
        if files[pair.first] in absent or files[pair.second] in absent:
            continue
        if arity == "one" or (arity == "series" and loaded.benchmark.kind == "series"):
            first, second = scores[pair.first], scores[pair.second]
            yield (None if first is None or second is None else first - second), None, None
            continue
        answer = given.get(question_id((pair.first, pair.second)))
        if answer is not None:
            yield _difference(answer), answer.probability, answer.reason
            continue
        turned = given[question_id((pair.second, pair.first))]
        value = _difference(turned)
        yield (
            None if value is None else 0.0 - value,
            None if turned.probability is None else 1.0 - turned.probability,
            turned.reason,
        )


def _difference(answer: CompactAnswer) -> float | None:
    """Return the score of the first minus that of the second; two pictures may also have been asked about as a
    series.
    """
    return answer.values[0] - answer.values[1] if answer.values else answer.value


def _pairs(plan: QuestionPlan) -> Iterator[tuple[str, str]]:
    return ((keys[0][0], keys[1][0]) for keys in plan.keys)


def _within_series(plan: QuestionPlan, given: Mapping[str, CompactAnswer]) -> dict[str, float | None]:
    """Return the scores of each series; in fields, relative to the mean of the references. A reference that belongs to
    the benchmark has the mean of its scores over the fields.
    """
    own = set(plan.references)
    found: dict[str, float | None] = {}
    levels: dict[str, list[float]] = {name: [] for name in plan.references}
    for keys in plan.keys:
        names = [key[0] for key in keys]
        values = given[question_id(names)].values
        if not values:
            found |= {name: None for name in names if name not in own}
            continue
        scores = dict(zip(names, values, strict=True))
        zero = fmean(scores[name] for name in plan.references) if own else 0.0
        for name, value in scores.items():
            if name in own:
                levels[name].append(value - zero)
            else:
                found[name] = value - zero
    return found | {name: fmean(values) if values else None for name, values in levels.items()}


def _against_references(plan: QuestionPlan, given: Mapping[str, CompactAnswer]) -> dict[str, float | None]:
    """Return least-squares scores on the graph of pictures and references, so that a failed comparison with a poor
    reference does not make a picture look worse. Eliminating the pictures leaves one equation per reference."""
    columns = {name: place for place, name in enumerate(plan.references)}
    names = list(dict.fromkeys(first for first, _ in _pairs(plan)))
    rows = {name: place for place, name in enumerate(names)}
    deltas = np.full((len(names), len(columns)), np.nan)
    for first, second in _pairs(plan):
        value = given[question_id((first, second))].value
        if value is not None:
            deltas[rows[first], columns[second]] = value
    there = ~np.isnan(deltas)
    counts = there.sum(axis=1)
    answered = counts > 0
    filled = np.where(there, deltas, 0.0)
    mean = np.divide(filled.sum(axis=1), counts, out=np.zeros(len(names)), where=answered)
    share = np.divide(there, counts[:, None], out=np.zeros(there.shape), where=answered[:, None])
    # Normal equations of the references' levels: their comparisons minus what the pictures' own scores explain.
    laplacian = np.diag(there.sum(axis=0).astype(np.float64)) - there.T @ share
    right = (there * (mean[:, None] - filled)).sum(axis=0)
    level = np.linalg.lstsq(laplacian, right, rcond=None)[0]
    scores = mean + share @ level
    return {name: float(scores[place]) if answered[place] else None for name, place in rows.items()}
