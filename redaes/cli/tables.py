"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def plain_console(**options: Any) -> Console:
    """Standard output, without colours for numbers; names of files may hold what looks like markup."""
    return Console(highlight=False, markup=False, **options)


def table_of(*headers: str, title: str) -> Table:
    """An empty table."""
    return Table(*headers, title=title, title_justify="left")


def count_table(counts: Mapping[str, int], *headers: str, title: str) -> Table:
    """A table with a row for each count."""
    table = table_of(*headers, title=title)
    for name, count in counts.items():
        table.add_row(name, str(count))
    return table
