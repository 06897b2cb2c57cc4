"""The held-out pairs of a RED dataset, for assessors of any kind (redaes.heldout has the model's own view).

``red``          the labelled pairs
``red_series``   the same labels as series: all pictures of one view, in the order of the scores that explain the
                 labelled differences between them best

The pictures are in the dataset's shards; they are written out once, beside the run that needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from redaes.evaluation.benchmarks.base import Benchmark, BenchmarkPicture, LabelledPair, Labels
from redaes.file_writing import write_atomically
from redaes.ranking import Edge, components, fit_potential
from redaes.records import shards, stream_rows
from redaes.types import SIDES, TAU, winner_of

MIN_SERIES = 3
"""Fewest pictures of a series: two make a pair."""

_DECIMALS = 6  # scores that agree to this many decimals are ties: rounding errors must not decide an order


@dataclass(frozen=True)
class _Labelled:
    """A labelled pair: names of its pictures, difference in points, view, photograph, and deciding factors."""

    names: tuple[str, str]
    delta: float
    group: str
    source: str
    factor: str | None


def read_red(folder: Path, pictures: Path) -> Labels:
    """Return the labelled pairs of the test split; the group of a picture is its photograph.

    P(first is better) is that of the labelled difference, Φ(Δ / TAU); one half for ties.

    Args:
        folder: a RED dataset.
        pictures: folder to which its pictures are written, named by their content.

    Raises:
        RecordError: there is no such dataset, or the folder cannot be written to.
    """
    found: dict[str, BenchmarkPicture] = {}
    pairs: dict[tuple[str, str], LabelledPair] = {}
    for row in _labelled(folder, pictures):
        for name in row.names:
            found.setdefault(name, BenchmarkPicture(name, name, row.source))
        first, second = row.names
        if first != second and (second, first) not in pairs:
            pairs.setdefault((first, second), LabelledPair(first, second, probability_of(row.delta), row.factor))
    return Labels(tuple(found.values()), tuple(pairs.values()), folder=pictures)


def read_red_series(folder: Path, pictures: Path) -> Labels:
    """Return the views of the test split as series; their source is the photograph.

    The scores of a view's pictures are fitted to its labelled differences. Views of fewer than ``MIN_SERIES`` pictures
    that comparisons connect are left out. Pairs are all pairs of a series with different scores; P(first is better) is
    computed as in :func:`read_red`, from the difference of the scores.

    Raises:
        RecordError: as for :func:`read_red`.
    """
    views: dict[str, list[_Labelled]] = {}
    for row in _labelled(folder, pictures):
        views.setdefault(row.group, []).append(row)
    found: list[BenchmarkPicture] = []
    pairs: list[LabelledPair] = []
    for group, rows in views.items():
        names = list(dict.fromkeys(name for row in rows for name in row.names))
        place = {name: number for number, name in enumerate(names)}
        edges: list[Edge] = [
            (place[a], place[b], row.delta, 1.0) for row in rows for a, b in [row.names] if a != b
        ]  # fmt: skip
        if len(names) < MIN_SERIES or len(components(len(names), edges)) > 1:
            continue
        scores = fit_potential(len(names), edges).values.round(_DECIMALS)
        # Two views can have equal bytes, but a picture's id must be unique within the benchmark.
        members = [
            BenchmarkPicture(f"{group}/{name}", name, group, float(scores[place[name]]) + 0.0, source=rows[0].source)
            for name in names
        ]
        found += members
        for number, first in enumerate(members):
            for second in members[number + 1 :]:
                difference = float(scores[place[first.file]] - scores[place[second.file]])
                if difference:
                    pairs.append(LabelledPair(first.id, second.id, probability_of(difference)))
    return Labels(tuple(found), tuple(pairs), folder=pictures)


def _labelled(folder: Path, pictures: Path) -> Iterator[_Labelled]:
    """Yield the labelled pairs of the test split, their pictures written out."""
    for file in shards(folder, "test"):
        for row in stream_rows(file):
            if row["delta"] is None:
                continue
            names = []
            for side in SIDES:
                name = f"{row[f'{side}_id'][:24]}.jpg"
                if not (pictures / name).exists():
                    write_atomically(pictures / name, row[side]["bytes"])
                names.append(name)
            factor = row["factors"][0] if len(row["factors"]) == 1 else None
            yield _Labelled((names[0], names[1]), row["delta"], row["group"], row["source"], factor)


def probability_of(delta: float) -> float:
    """Return P(first is better) for a labelled difference in points."""
    return 0.5 if winner_of(delta) == "tie" else NormalDist().cdf(delta / TAU)


RED = Benchmark(
    name="red",
    title="RED held-out pairs",
    kind="pairs",
    source="data_gen/build_pairs.py, or whoever built the dataset",
    licence="as the dataset's card says",
    layouts={},
    pinned=False,
    notes=("labels come from edits, a panel or people: see the dataset's card",),
)

RED_SERIES = Benchmark(
    name="red_series",
    title="RED held-out views as series",
    kind="series",
    source=RED.source,
    licence=RED.licence,
    layouts={},
    pinned=False,
    notes=(
        *RED.notes,
        f"a series is a view with at least {MIN_SERIES} compared pictures, in the order of the scores that explain its "
        "labelled differences best",
    ),
)
