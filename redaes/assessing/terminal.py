"""A result as the terminal shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from redaes.assessing.measured import Measured, marked
from redaes.assessing.results import Result
from redaes.assessing.words import NO_DIFFERENCE, UNDECIDED, consistency, printable
from redaes.types import TIE_MARGIN

if TYPE_CHECKING:
    from rich.text import Text

EVEN = 0.505
"""A probability below it is printed as 50 %: it leans nowhere."""

_BAR = 12
"""Length of the longest bar, in characters."""


def names(result: Result) -> tuple[str, str]:
    """What to call the pictures: file names, or whole paths where those are equal."""
    first, second = result.first.path, result.second.path
    if first.name == second.name:
        return printable(str(first)), printable(str(second))
    return printable(first.name), printable(second.name)


def show(result: Result, limits: str | None = None) -> None:
    """Print a result that is an answer, for reading.

    Args:
        result: with a winner, or undecided.
        limits: what is to be known about the model, as a sentence; None: nothing.
    """
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

    title, facts = _verdict(result)
    text = Text("\n".join(facts))
    if result.rationale is not None:
        text.append("\n\n")
        text.append_text(_reasons(result))
    if result.measured:
        text.append("\n\n" + "\n".join(_table(result)))
    if result.notes:
        text.append("\n\n" + "\n".join(f"note: {printable(note)}" for note in result.notes))
    model = f"{result.model} @ {result.revision}" if result.revision else result.model  # few servers say a revision
    said = f"{printable(model)}, {result.prompt_id}, {result.mode}{_form(result)}"
    about = [said, *([limits] if limits else [])]
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if console.is_terminal:
        console.print(Panel(Group(text, Text("\n" + "\n".join(about), style="dim")), title=Text(title, style="bold")))
    else:
        console.print(Text(f"{title}\n"), text, Text("\n" + "\n".join(about)), sep="\n")


def _verdict(result: Result) -> tuple[str, list[str]]:
    """Title and facts."""
    first, second = names(result)
    winner, delta, probability = result.winner, result.delta, result.probability
    lines = []
    if result.undecided is not None:
        title = UNDECIDED[result.undecided]
        if probability is not None:
            leaning, share = (first, probability) if probability >= 0.5 else (second, 1.0 - probability)
            towards = f"to {leaning}, {share:.0%}" if share >= EVEN else "to neither"
            lines.append(f"leaning      {towards}; an answer that contradicts itself calls no picture better")
    elif winner == "tie":
        title = NO_DIFFERENCE
        lines.append(f"difference   below {TIE_MARGIN} points: a tie")
        if probability is not None:
            lines.append(f"probability  {probability:.0%} that {first} is better{_calibrated(result)}")
    else:
        better, worse = (first, second) if winner == "A" else (second, first)
        title = f"{better} is better"
        size = abs(delta or 0.0)
        lines.append(f"difference   {size:.1f} points: {_in_words(size)} better than {worse}")
        if probability is not None:
            lines.append(f"probability  {probability if winner == 'A' else 1.0 - probability:.0%}{_calibrated(result)}")
    if result.factors:
        lines.append(f"decided by   {', '.join(result.factors)}")
    agreed = consistency(result.order_consistent, result.undecided)
    if agreed is not None and result.undecided != "orders":  # then the title says it
        lines.append(f"consistency  {agreed}")
    return title, lines


def _form(result: Result) -> str:
    """The form of the answers and what held them to it, where that is not the usual one, held by nothing."""
    held = sorted({one.held_by for one in result.comparisons if one.held_by is not None})
    if result.form == "text" and not held:
        return ""
    name = {"text": "text", "json": "JSON"}[result.form]
    by = f"held by {printable(', '.join(held))}" if held else "by the prompt alone"
    return f", {name} form {by}"


def _calibrated(result: Result) -> str:
    """What is to be said beside a probability."""
    if result.log_odds is None:
        return ""
    if result.calibration is None:
        return " (not calibrated)"
    return f" (calibrated on {result.calibration.n_pairs} pairs)"


def _reasons(result: Result) -> Text:
    """The reasoning with its contradicted statements marked, whose letters are whose, and what could be confirmed."""
    from rich.text import Text

    text = Text()
    for piece, status in marked(result.rationale or "", result.claims):
        text.append(printable(piece), style="red" if status == "contradicted" else "")
        if status == "contradicted":
            text.append(" [contradicted]", style="bold red")
    a, b = names(result) if result.rationale_order == "forward" else names(result)[::-1]
    text.append(f"\n(A is {a}, B is {b})")
    if result.claims_summary is not None:
        text.append(f"\nheld against the pictures: {printable(result.claims_summary)}")
    if result.draws:
        text.append(f"\n(the best supported of {len(result.comparisons) + len(result.draws)} reasonings)")
    return text


def _table(result: Result) -> Iterator[str]:
    """What was measured in both pictures, with bars."""
    width = max(len(row.name) for row in result.measured)
    labels = [f"{row.shown(value)}" for row in result.measured for value in (row.first, row.second)]
    figure = max(map(len, labels))
    first, second = names(result)
    size = max(_BAR + 1 + figure, len(first))
    yield f"{'measured':{width}}  {first:{size}}  {second}"
    for row in result.measured:
        cells = [
            f"{row.shown(value):>{figure}} {_bar(share)}"
            for value, share in zip((row.first, row.second), row.shares(), strict=True)
        ]
        yield f"{row.name:{width}}  {cells[0]:{size}}  {cells[1]}{_remark(row)}".rstrip()


def _bar(share: float) -> str:
    return "█" * round(share * _BAR)


def _remark(row: Measured) -> str:
    if row.status == "contradicted":
        return "  contradicts the reasoning"
    return "" if row.visible else "  no visible difference"


def _in_words(points: float) -> str:
    """The size of a difference that is no tie, in points, in words of ours."""
    if points < 1.0:
        return "slightly"
    return "clearly" if points < 3.0 else "far"
