"""``redaes data merge``: several datasets to one, with a weight for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.cli.tables import plain_console, table_of
from redaes.early_checks import check_dataset
from redaes.errors import importing


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of two or more RED datasets.")],
    out: Annotated[Path, typer.Option(help="Folder for the merged dataset. It must not exist yet.")],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER...",
            help="For each dataset, in the same order, how often training draws one of its pairs in an epoch. The "
            "default is once.",
        ),
    ] = None,
) -> None:
    """Merge RED datasets into one in which no photograph is in both splits.

    If one dataset holds out a photograph, all its pairs, and those of near copies, go to the test split. Name the
    datasets before --weights.
    """
    with reporting_errors():
        for folder in folders:
            check_dataset(folder)
        with importing("edit"):
            from redaes.datagen.merged_dataset import merge_datasets
            from redaes.datagen.merged_sets import check_not_there, sets_to_merge

        sets = sets_to_merge(folders, weights or ())
        check_not_there(out, sets)
        with progress_bars() as update:
            report = merge_datasets(sets, out, progress=update)
        _show_merged(report, out)


def _show_merged(report: Mapping[str, Any], out: Path) -> None:
    """What came from where."""
    table = table_of(
        "dataset", "weight", "train pairs", "test pairs", "moved to test", "repeated", "unreadable",
        title=f"RED dataset {out}",
    )  # fmt: skip
    for part in report["merged"]:
        counts = (*part["pairs"].values(), part["moved_to_test"], part["already_in_an_earlier_set"])
        table.add_row(part["name"], f"{part['weight']:g}", *map(str, counts), str(part["unreadable"]["n"]))
    console = plain_console(soft_wrap=True)
    console.print(table)
    for part in report["merged"]:
        if part["pairs_read"]["train"] and not part["pairs"]["train"]:
            console.print(
                f"no pair of {part['name']} is in the train split: all its pairs are held out, unreadable or repeated"
            )
    for part in report["merged"]:
        for row in part["unreadable"]["first"]:
            console.print(f"left out of {part['name']}: {row}")
    console.print(f"{out / 'report.json'} and {out / 'README.md'} describe the merged dataset")
