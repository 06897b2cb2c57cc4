"""``redaes data explain``: reasoning for the pairs of a dataset that have none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.cli.tables import count_table, plain_console
from redaes.early_checks import check_dataset, check_writable
from redaes.errors import InputError, importing

if TYPE_CHECKING:
    from redaes.datagen.panel import Panel

WriterOption = Annotated[
    str,
    typer.Option(
        metavar="WHO",
        help="Who writes the missing rationales. Give measured for the embedded writer, which writes from "
        "measurements alone, and only if they support the preferred picture. Give a FILE.yaml for a model; the "
        "file names an endpoint and a writer, or has a panel.",
    ),
]


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a RED dataset.")],
    out: Annotated[Path, typer.Option(help="Folder for the new dataset. It must not exist yet.")],
    writer: WriterOption = "measured",
) -> None:
    """Write rationales for the pairs of a dataset that have none, for example pairs that people judged.

    The same command continues an interrupted run, and no answer of a model is paid for twice.
    """
    with reporting_errors():
        check_dataset(folder)
        if out.exists():
            raise InputError(f"{out} exists and is not overwritten; choose another --out")
        check_writable(out)
        panel_of(writer)
        show_explained(explained(folder, out, writer), out)


def panel_of(writer: str) -> Panel | None:
    """The panel that ``--writer`` names; None: the embedded writer.

    Raises:
        InputError: it names neither.
    """
    with importing("edit"):
        from redaes.datagen.explained.writers import read_writer

    return read_writer(writer)


def explained(folder: Path, out: Path, writer: str) -> dict[str, Any]:
    """Have the reasoning written, with bars; the counts of what came of it.

    Raises:
        RedaesError: as `redaes.datagen.explained.explaining.explain_dataset`.
    """
    panel = panel_of(writer)
    from redaes.cores import free_cores
    from redaes.datagen.explained.explaining import explain_dataset

    with progress_bars("measuring pairs", "writing rationales") as update:
        return explain_dataset(folder, out, panel, workers=max(1, free_cores()), progress=update)


def show_explained(counts: Mapping[str, Any], out: Path) -> None:
    """Tell what came of it."""
    console = plain_console(soft_wrap=True)
    pairs = {name: n for name, n in counts.items() if isinstance(n, int)}
    console.print(count_table(pairs, "rationales", "pairs", title=f"RED dataset {out}"))
    for name, n in counts.get("requests_and_texts", {}).items():
        console.print(f"{name}: {n}")
