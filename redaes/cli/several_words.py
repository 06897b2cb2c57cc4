"""Options that take several words, as the shell makes them of ``*.jpg``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

SEVERAL = ("--natural", "--aigc", "--cropping", "--answers", "--weights")
"""Of any command."""


class SeveralWords(TyperCommand):
    """A command whose options in :data:`SEVERAL` take all words up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give each word its own option, which is how click reads several."""
        return super().parse_args(ctx, spread(args))


def spread(words: Sequence[str]) -> list[str]:
    """The words of a command line with one option for each value.

    >>> spread(["--natural", "a", "b", "--crops", "3"])
    ['--natural', 'a', '--natural', 'b', '--crops', '3']
    """
    found: list[str] = []
    option, n_values = "", 0
    for word in words:
        if word.startswith("--"):
            option, n_values = word, 0
        elif option in SEVERAL:
            if n_values:
                found.append(option)
            n_values += 1
        found.append(word)
    return found
