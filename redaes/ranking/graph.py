"""Comparisons as a graph of items: connected components and circular triples."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from redaes.errors import InputError

Edge = tuple[int, int, float, float]
"""First item, second item, score of the first minus score of the second, weight above 0."""

Outcome = tuple[int, int, float, float]
"""First item, second item, P(the first is better), weight above 0, which is the number of usable answers."""

DECIMALS = 9
"""Scores that agree to this many decimals are ties: rounding errors must not decide an order."""


def components(n: int, edges: Sequence[Edge]) -> list[list[int]]:
    """Return the connected components of the comparison graph, each sorted, in order of their smallest item.

    >>> components(4, [(3, 1, 0.5, 1.0)])
    [[0], [1, 3], [2]]
    """
    neighbours: list[list[int]] = [[] for _ in range(n)]
    for i, j, _, _ in edges:
        neighbours[i].append(j)
        neighbours[j].append(i)
    parts: list[list[int]] = []
    seen: set[int] = set()
    for start in range(n):
        if start in seen:
            continue
        seen.add(start)
        part = [start]
        for item in part:  # the list grows during the loop
            for neighbour in neighbours[item]:
                if neighbour not in seen:
                    seen.add(neighbour)
                    part.append(neighbour)
        parts.append(sorted(part))
    return parts


def count_cycles(n: int, edges: Sequence[Edge]) -> int:
    """Return the number of circular triples A > B > C > A.

    Several edges between the same two items count by the sign of their weighted sum; zero is a tie, and a
    tie closes no cycle.

    >>> count_cycles(3, [(0, 1, 1.0, 1.0), (1, 2, 0.5, 1.0), (2, 0, 2.0, 1.0)])
    1

    Raises:
        InputError: as for :func:`check_edge`.
    """
    net: dict[tuple[int, int], float] = defaultdict(float)
    for i, j, delta, weight in edges:
        check_edge(n, i, j, delta, weight)
        net[min(i, j), max(i, j)] += weight * (delta if i < j else -delta)
    beats: list[set[int]] = [set() for _ in range(n)]
    loses_to: list[set[int]] = [set() for _ in range(n)]
    won = [(i, j) if total > 0 else (j, i) for (i, j), total in net.items() if total]
    for better, worse in won:
        beats[better].add(worse)
        loses_to[worse].add(better)
    return sum(len(beats[worse] & loses_to[better]) for better, worse in won) // 3


def check_edge(n: int, i: int, j: int, delta: float, weight: float) -> None:
    """Refuse an edge that is not a comparison of two of ``n`` items.

    Raises:
        InputError: an item is out of range or compared with itself, or a number is unusable.
    """
    if not (0 <= i < n and 0 <= j < n) or i == j:
        raise InputError(f"edge ({i}, {j}) does not join two different items of 0 .. {n - 1}")
    if not math.isfinite(delta) or not math.isfinite(weight) or weight <= 0:
        raise InputError(
            f"edge ({i}, {j}) has delta {delta} and weight {weight}; give finite numbers and a weight above 0"
        )
