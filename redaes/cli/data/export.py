"""``redaes data export``: a dataset in a form that other tools read."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.data.upload import PushToHub, upload
from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.cli.tables import plain_console, table_of
from redaes.early_checks import check_dataset
from redaes.errors import importing
from redaes.hub import check_repository


def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a RED dataset.")],
    form: Annotated[
        str, typer.Option("--format", help="The format to write: preference (for TRL), jsonl, csv or webdataset.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the exported files. It must not exist yet.")],
    push_to_hub: PushToHub = None,
) -> None:
    """Export a RED dataset to a format that other tools read."""
    with reporting_errors():
        check_dataset(folder)
        with importing("edit"):
            from redaes.datagen.export import export as write_export
            from redaes.datagen.export import known_format

        kind = known_format(form)
        if push_to_hub is not None:
            check_repository(push_to_hub)
        with progress_bars("exporting pairs") as update:
            done = write_export(folder, out, kind, progress=partial(update, "exporting pairs"))
        table = table_of("split", "examples", "left out", title=f"{kind} {out}")
        for split, n_written in done.written.items():
            left_out = ", ".join(f"{n} {why}" for why, n in done.left_out[split].items())
            table.add_row(split, str(n_written), left_out or "0")
        plain_console().print(table)
        upload(out, push_to_hub)
