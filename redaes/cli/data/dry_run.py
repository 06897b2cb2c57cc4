"""``redaes data build --dry-run``: what a build will ask, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from redaes.cli.tables import plain_console, table_of
from redaes.progress_lines import duration_in_words

if TYPE_CHECKING:
    from redaes.datagen.budget import Amount, BuildBudget
    from redaes.datagen.build_recipe import Recipe

GIB = 1024**3


def foresee(recipe: Recipe, places: Sequence[Path], licences: Mapping[Path, str], measured: Path | None) -> None:
    """Look through the photographs as a build does, and print what it will ask.

    Raises:
        InputError: unusable photographs, or a report without figures of a panel's work.
        RecordError: a report that cannot be read.
    """
    from redaes.datagen.budget import budget_of
    from redaes.datagen.measured_rates import read_rates
    from redaes.datagen.sources import curate

    rates = None if measured is None else read_rates(measured)
    settings = recipe.settings
    curation = curate(
        list(places),
        test_fraction=settings.test_fraction,
        seed=settings.seed,
        licences=licences,
        rules=recipe.rules,
        workers=recipe.n_workers,
    )
    _show(budget_of(recipe, curation.sources, rates), len(curation.rejected), plain_console())


def _show(budget: BuildBudget, n_rejected: int, console: Console) -> None:
    by_split = ", ".join(f"{split} {n:,}" for split, n in budget.photographs.items())
    console.print(f"photographs: {by_split}; {n_rejected:,} not used")
    is_known = budget.edits.expected is not None and budget.pairs_kept.expected is not None
    console.print("dry run: no model was asked and no file was written")
    table = table_of("what", "at most", *(["expected"] if is_known else []), title="")
    rows = [
        ("views", f"{budget.views:,}", f"{budget.views:,}"),
        ("edits", *_numbers(budget.edits)),
        ("pairs compared", *_numbers(budget.pairs_judged)),
        ("pairs kept", *_numbers(budget.pairs_kept)),
        ("disk, GiB", *_numbers(budget.disk_bytes, GIB, 2)),
    ]
    for row in rows:
        table.add_row(*row[: 3 if is_known else 2])
    console.print(table)
    if budget.tasks:
        _show_tasks(budget, console)
    if budget.cost is not None:
        most, expected = _numbers(budget.cost, 1, 2)
        console.print(f"cost: at most {most}{f', expected {expected}' if expected else ''}, in the prices' currency")
    if budget.unpriced:
        console.print(
            f"no price is given for {', '.join(budget.unpriced)}; add one to the recipe as price: {{input: ..., "
            "output: ...}"
        )
    if budget.in_process:
        console.print(f"these models work in this process, without a network: {', '.join(budget.in_process)}")
    if budget.hours is not None:
        time = duration_in_words(budget.hours * 3600)
        console.print(f"time: about {time}, which is how long {budget.slowest} takes when it is always busy")
    for name, hours in budget.gpu_hours.items():
        console.print(f"GPU-hours of {name}: about {hours:,.1f}")
    for note in budget.notes:
        console.print(f"- {note}")


def _show_tasks(budget: BuildBudget, console: Console) -> None:
    is_known = any(task.tokens_read.expected is not None for task in budget.tasks)
    for place, which in enumerate(("at most", "expected")[: 1 + is_known]):
        table = table_of(
            "role", "model", "calls", "M tokens read", "M written", "cost", title=f"asked of models, {which}"
        )
        for task in budget.tasks:
            table.add_row(
                task.role,
                task.model,
                _numbers(task.calls)[place],
                _numbers(task.tokens_read, 1e6, 3)[place],
                _numbers(task.tokens_written, 1e6, 3)[place],
                "" if task.cost is None else _numbers(task.cost, 1, 2)[place],
            )
        console.print(table)


def _numbers(amount: Amount, unit: float = 1, digits: int = 0) -> tuple[str, str]:
    """At most, and expected."""
    expected = "" if amount.expected is None else f"{amount.expected / unit:,.{digits}f}"
    return f"{amount.most / unit:,.{digits}f}", expected
