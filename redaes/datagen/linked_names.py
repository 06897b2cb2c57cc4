"""What belongs together and so into one split: photographs, views, pictures, told link by link (union and find)."""

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
            linked: what belongs together from the start.
        """
        self._towards: dict[Hashable, Hashable] = {}
        for one, other in linked:
            self.link(one, other)

    def root(self, name: Hashable) -> Hashable:
        """Return the name that stands for all that this one belongs to: the first of them as text, in whatever order
        they were linked.
        """
        path = []
        while (further := self._towards.get(name, name)) != name:
            path.append(name)
            name = further
        for passed in path:
            self._towards[passed] = name
        return name

    def link(self, one: Hashable, other: Hashable) -> None:
        """Note that two belong together."""
        first, second = sorted((self.root(one), self.root(other)), key=str)
        if first != second:
            self._towards[second] = first
