"""From measured differences within a group to differences that cannot contradict each other.

Judges compare the members of a group two by two, and their answers need not agree: A over B by 2, B over C by
1, A over C by 1. Scores s that minimise ``sum of w * (s_first - s_second - delta)^2`` are the potential of the
group; its differences are consistent by construction. What no potential explains (the residuals) measures how
much the answers contradict each other: it is exactly the cyclic part of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from redaes.errors import InputError


@dataclass(frozen=True)
class Difference:
    """One measured comparison of two members of a group."""

    first: str
    second: str
    delta: float
    """Score of ``first`` minus score of ``second``, in points."""
    weight: float = 1.0
    """How much it counts, such as the number of judgements or an inverse variance; above 0."""

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise InputError(f"{self.first!r} is compared with itself")
        if not math.isfinite(self.delta):
            raise InputError(f"the difference of {self.first!r} and {self.second!r} is {self.delta}")
        if not math.isfinite(self.weight) or self.weight <= 0:
            raise InputError(f"the weight of {self.first!r} against {self.second!r} is {self.weight}; give more than 0")


@dataclass(frozen=True)
class Potential:
    """Scores of one group's members, and how well they explain what was measured."""

    scores: Mapping[str, float]
    """Points, by member, in the order of their names; only differences mean anything."""
    residuals: tuple[float, ...]
    """Measured minus fitted difference, in points, in the order of the rows that were given."""
    inconsistency: float
    """Weighted share of the measured differences' squares that no scores explain: 0 consistent, 1 all cycles."""

    def delta(self, first: str, second: str) -> float:
        """Consistent difference of two members, in points: antisymmetric, additive along any path.

        It is not clipped: the ends of a long chain may lie further apart than
        :data:`redaes.types.MAX_DELTA`, and clipping here would break the consistency.

        Raises:
            InputError: not a member.
        """
        for name in (first, second):
            if name not in self.scores:
                raise InputError(f"{name!r} is not in this group; its members: {', '.join(self.scores)}")
        return self.scores[first] - self.scores[second]


def components(differences: Sequence[Difference]) -> list[list[Difference]]:
    """The rows by connected part: members of different parts were never compared, not even by way of others.

    Parts come in the order of their first row, rows keep their order.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for row in differences:
        parent[root(row.first)] = root(row.second)
    parts: dict[str, list[Difference]] = {}
    for row in differences:
        parts.setdefault(root(row.first), []).append(row)
    return list(parts.values())


def _members(rows: Iterable[Difference]) -> list[str]:
    return sorted({name for row in rows for name in (row.first, row.second)})


def fit_potential(differences: Sequence[Difference], *, reference: str | None = None) -> Potential:
    """Weighted least-squares scores of one connected group.

    Args:
        differences: at least one; several rows for one pair, in either order, are fine.
        reference: the member whose score is set to 0; None: the scores have zero mean.

    Raises:
        InputError: no rows, a group in several parts (fit each of :func:`components`), or an unknown reference.
    """
    if not differences:
        raise InputError("no differences: there is no group to fit")
    parts = components(differences)
    if len(parts) > 1:
        named = "; ".join(", ".join(_members(part)) for part in parts)
        raise InputError(f"the group falls into {len(parts)} parts that were never compared with each other: {named}")
    names = _members(differences)
    if reference is not None and reference not in names:
        raise InputError(f"reference {reference!r} is not in this group; its members: {', '.join(names)}")
    place = {name: index for index, name in enumerate(names)}
    # In a fixed order, because sums of floats depend on it and the answer shall not.
    rows = sorted(differences, key=lambda row: (row.first, row.second, row.delta, row.weight))
    design = np.zeros((len(rows), len(names)))
    root_weight = np.sqrt([row.weight for row in rows])
    for number, row in enumerate(rows):
        design[number, place[row.first]] = root_weight[number]
        design[number, place[row.second]] = -root_weight[number]
    target = root_weight * np.array([row.delta for row in rows])
    # The smallest of all solutions: a constant added to every score changes no difference, so it has zero mean.
    scores = np.linalg.lstsq(design, target, rcond=None)[0]
    scores = scores - (scores.mean() if reference is None else scores[place[reference]])
    by_name = {name: float(scores[index]) for name, index in place.items()}
    total = float(target @ target)
    unexplained = target - design @ scores
    return Potential(
        scores=by_name,
        residuals=tuple(row.delta - (by_name[row.first] - by_name[row.second]) for row in differences),
        # Rounding can leave a hair above 1 where everything is cyclic.
        inconsistency=min(1.0, float(unexplained @ unexplained) / total) if total > 0 else 0.0,
    )
