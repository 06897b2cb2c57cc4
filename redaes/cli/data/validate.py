"""``redaes data validate``: every row of a dataset checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.cli.progress import progress_bars
from redaes.cli.running import EXIT_INPUT, reporting_errors
from redaes.cli.tables import plain_console, table_of
from redaes.early_checks import check_dataset
from redaes.errors import importing

if TYPE_CHECKING:
    from rich.table import Table

    from redaes.datagen.rationale_claims import Statements
    from redaes.datagen.validation import DatasetValidation
    from redaes.types import Split


def validate(
    folder: Annotated[Path, typer.Argument(help="Folder of a RED dataset.")],
    claims: Annotated[
        bool,
        typer.Option(
            "--claims", help="Also check the statements of the rationales against measurements of the pictures."
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="With --claims: the number of threads that measure.")] = 1,
) -> None:
    """Check every row of a RED dataset, and name the rows that are wrong.

    The exit status is 2 if any row is wrong.
    """
    with reporting_errors():
        check_dataset(folder)
        with importing("edit"):
            from redaes.datagen.rationale_claims import check_claims
            from redaes.datagen.validation import validate as validate_rows

        with progress_bars() as update:
            found = validate_rows(folder, progress=partial(update, "checking rows"))
            statements: Mapping[Split, Statements] = {}
            if claims:
                statements = check_claims(
                    folder,
                    found.wrong,
                    workers=workers,
                    progress=partial(update, "measuring pairs"),
                )
        _show_validation(found, statements, folder)
    if found.wrong:
        raise typer.Exit(EXIT_INPUT)


def _show_validation(found: DatasetValidation, statements: Mapping[Split, Statements], folder: Path) -> None:
    console = plain_console(soft_wrap=True)
    table = table_of("split", "pairs", "groups", "photographs", title=f"RED dataset {folder}")
    for split, counts in found.counts.items():
        table.add_row(split, str(counts.pairs), str(counts.groups), str(counts.sources))
    console.print(table)
    if statements:
        console.print(_statement_table(statements))
    for heading, findings in (("wrong", found.wrong), ("please check", found.warnings)):
        for kind, rows in findings.items():
            console.print(f"{heading}: {kind}: {rows.n}")
            for row in rows.first:
                console.print(f"  {row}")
            if rows.n > len(rows.first):
                console.print(f"  … and {rows.n - len(rows.first)} more")
    if not found.wrong:
        console.print("All rows are correct.")


def _statement_table(statements: Mapping[Split, Statements]) -> Table:
    """Rationales and their statements by what came of them."""
    headers = (
        "supported",
        "contradicted",
        "not measurable",
        "nothing measurable said",
        "one contradicted",
        "unmeasured",
    )
    table = table_of("split", "rationales", *headers, title="statements of the rationales; rationales with")
    for split, found in statements.items():
        counts = (*found.by_status.values(), found.silent, found.contradicted, found.unmeasured)
        table.add_row(split, str(found.rationales), *map(str, counts))
    return table
