"""Show a result in the terminal."""

from __future__ import annotations

import sys

from redaes.assessing.results import Result
from redaes.assessing.shown import as_text, fact_lines, table_lines
from redaes.assessing.words import printable


def show(result: Result) -> None:
    """Print a result, in a frame and with colours if the output is a terminal."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

    shown = result.shown()
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not console.is_terminal:
        console.print(Text(as_text(shown)))
        return
    text = Text(printable("\n".join(fact_lines(shown))))
    if shown.reasons:
        text.append("\n\n")
        for piece, status in shown.reasons:
            text.append(printable(piece), style="red" if status == "contradicted" else "")
            if status == "contradicted":
                text.append(" [contradicted]", style="bold red")
        text.append(printable("".join(f"\n{line}" for line in shown.about_reasons)))
    for block in (list(table_lines(shown)), [f"note: {note}" for note in shown.notes]):
        if block:
            text.append(printable("\n\n" + "\n".join(block)))
    about = Text(printable("\n" + "\n".join(shown.about)), style="dim")
    console.print(Panel(Group(text, about), title=Text(printable(shown.title), style="bold")))
