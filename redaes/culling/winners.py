"""The best picture of each series in words, as the terminal shows it when a folder has been ranked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redaes.assessing.words import agreement, printable
from redaes.types import TIE_MARGIN

if TYPE_CHECKING:
    from rich.console import Console

    from redaes.assessor import Result
    from redaes.culling.rankers import Ranked

MOST_WINNERS = 20
"""Series that are named in the terminal; the contact sheet has all."""

MOST_OF_REASON = 200
"""Characters that are shown of a reason."""

_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s)|\Z)", re.DOTALL)


@dataclass(frozen=True)
class SeriesWinner:
    """The result of one series with two or more different pictures."""

    series: str
    """Its name in the results, such as ``0007``."""
    verdict: str
    """Which picture is the best, of how many, and how sure that is; or that there is no clear best."""
    reason: str
    """A quoted sentence of the model that measurements confirm; empty: there is none."""


def winner_in_words(
    series: str, n_shots: int, ranking: Ranked, names: Mapping[str, str], *, leads: bool
) -> SeriesWinner:
    """Return the result of one series in words.

    Args:
        series: its name in the results.
        n_shots: number of its pictures, counting copies of one picture.
        ranking: the ranking, of two or more different pictures.
        names: the name of each picture to be shown, by id.
        leads: whether the best picture leads visibly, and so is marked as the best.
    """
    best, following = (names[picture] for picture in ranking.order[:2])
    told = ranking.explanation
    if not leads:
        return SeriesWinner(
            series,
            f"no clear best of {n_shots}: {best} comes first, but less than {TIE_MARGIN} points before {following}",
            "",
        )
    is_confirmed = told is not None and told.winner == "A"
    reason = confirmed_reason(told) if told is not None and is_confirmed else ""
    lead = ranking.lead(*ranking.order[:2])
    return SeriesWinner(series, f"{best} is the best of {n_shots}: {_how_sure(told, following, lead)}", reason)


def _how_sure(told: Result | None, following: str, lead: float) -> str:
    """Return the best picture's lead over the next one in words."""
    ahead = f"{lead:.1f} points before {following}"
    if told is None:
        return ahead
    if told.winner != "A":
        alone = "sees no visible difference" if told.winner == "tie" else f"prefers {following}"
        if told.winner is None:
            alone = "is undecided" if told.undecided is not None else "gave no usable answer"
        return f"{ahead} by all comparisons, but asked about the two with reasons the model {alone}"
    if told.agreement is not None:
        return agreement(told.agreement, "it", following)
    if told.probability is None:
        return ahead
    return f"{told.probability:.0%} that it is better than {following}"


def confirmed_reason(told: Result) -> str:
    """Return the first sentence of a reasoning in which measurements confirm a statement and contradict none.

    Args:
        told: the comparison of the best picture, as first, with the next one.

    Returns:
        The sentence with what its letters mean and how many of all statements are confirmed; empty: there is no such
        sentence, or nothing was measured.
    """
    if told.rationale is None or told.claims is None:
        return ""
    for found in _SENTENCE.finditer(told.rationale):
        inside = {
            one.status for one in told.claims.checked if one.claim.start < found.end() and one.claim.end > found.start()
        }
        if "supported" in inside and "contradicted" not in inside:
            sentence = " ".join(found.group().split())
            if len(sentence) > MOST_OF_REASON:
                sentence = sentence[: MOST_OF_REASON - 1] + "…"
            letters = "A: this one, B: the next" if told.rationale_order == "forward" else "A: the next, B: this one"
            n = len(told.claims.checked)
            statements = "statement" if n == 1 else "statements"
            return f"“{sentence}” ({letters}; {told.claims.count('supported')} of {n} {statements} confirmed)"
    return ""


def show_winners(winners: Sequence[SeriesWinner], console: Console, more_at: str, indent: int = 0) -> None:
    """Print the best picture of each series, the first :data:`MOST_WINNERS` of them.

    In a terminal, lines are wrapped to its width and continued under their beginnings; elsewhere each is one line.

    Args:
        winners: in the order of the results.
        console: where they are printed.
        more_at: the file that lists all of them.
        indent: spaces before each line.
    """
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    if not winners:
        return
    shown, before = winners[:MOST_WINNERS], " " * indent
    if console.is_terminal:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for one in shown:
            grid.add_row(Text(one.series, style="dim"), Text(_one_line(one.verdict)))
            if one.reason:
                grid.add_row("", Text(_one_line(one.reason), style="dim"))
        console.print(Padding(grid, (0, 0, 0, indent)))
    else:
        for one in shown:
            console.print(Text(f"{before}{one.series}  {_one_line(one.verdict)}"), soft_wrap=True)
            if one.reason:
                console.print(Text(f"{before}{' ' * len(one.series)}  {_one_line(one.reason)}"), soft_wrap=True)
    if len(winners) > len(shown):
        rest = f"{before}and {len(winners) - len(shown)} more series: see {printable(more_at)}"
        console.print(Text(rest), soft_wrap=True)


def _one_line(text: str) -> str:
    """Replace line breaks, which file names may contain and which would look like another line of the list."""
    return printable(text).replace("\n", "�")
