"""Circular preferences: A over B, B over C, C over A."""

from __future__ import annotations

from collections.abc import Sequence

from redaes.ranking.graph import count_cycles


def circular_triples(decided: Sequence[tuple[str, str, float]], n_named: int) -> tuple[int, list[tuple[str, str, str]]]:
    """Return how many triples are circular, and the first of them.

    >>> circular_triples([("a", "b", 1.0), ("b", "c", 1.0), ("c", "a", 1.0)], 5)
    (1, [('a', 'b', 'c')])

    Args:
        decided: two items, and by how much the first is better; an amount of 0 is part of no circle.
        n_named: largest number of triples to return.

    Returns:
        Their number, and up to ``n_named`` of them, each from better to worse, beginning with the smallest name.
    """
    names = sorted({name for first, second, _ in decided for name in (first, second)})
    place = {name: number for number, name in enumerate(names)}
    edges = [(place[first], place[second], delta, 1.0) for first, second, delta in decided]
    n_circles = count_cycles(len(names), edges)
    if not n_circles:
        return 0, []
    net: dict[tuple[str, str], float] = {}
    for first, second, delta in decided:
        key, ahead = ((first, second), delta) if first < second else ((second, first), -delta)
        net[key] = net.get(key, 0.0) + ahead
    beats: dict[str, set[str]] = {name: set() for name in names}
    for (first, second), ahead in net.items():
        if ahead:
            beats[first if ahead > 0 else second].add(second if ahead > 0 else first)
    found: list[tuple[str, str, str]] = []
    for name in names:
        for worse in sorted(beats[name]):
            found += [
                (name, worse, last) for last in sorted(beats[worse]) if name in beats[last] and name < min(worse, last)
            ]
            if len(found) >= n_named:
                return n_circles, found[:n_named]
    return n_circles, found
