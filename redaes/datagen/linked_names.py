"""Which photographs, views or pictures belong together, and so in one split; links are joined by union and find."""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class LinkedNames:
    """Names that belong together, directly or through others.

    >>> links = LinkedNames([("b", "c"), ("a", "c")])
    >>> links.root("b") == links.root("a") == "a", links.root("d")
    (True, 'd')
    """

    def __init__(self, linked: Iterable[tuple[Hashable, Hashable]] = ()) -> None:
        """
        Args:
            linked: pairs of names that belong together from the start.
        """
        self._towards: dict[Hashable, Hashable] = {}
        for one, other in linked:
            self.link(one, other)

    def root(self, name: Hashable) -> Hashable:
        """Return the name that stands for this one and all names linked to it: the first of them in the order of texts,
        whatever the order of linking.
        """
        path = []
        while (further := self._towards.get(name, name)) != name:
            path.append(name)
            name = further
        for passed in path:
            self._towards[passed] = name
        return name

    def link(self, one: Hashable, other: Hashable) -> None:
        """Record that two names belong together."""
        first, second = sorted((self.root(one), self.root(other)), key=str)
        if first != second:
            self._towards[second] = first
