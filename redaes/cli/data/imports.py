"""``redaes data import``: what people said of pictures, to a RED dataset."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from redaes.cli.data.explain import WriterOption, explained, panel_of, show_explained
from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.cli.tables import count_table, plain_console, table_of
from redaes.early_checks import check_exists, check_writable
from redaes.errors import InputError, RecordError, importing
from redaes.file_locks import lock_file
from redaes.hub import on_hub

N_SHOWN = 5
"""Findings of a kind that are shown; the report has more."""


def import_judgements(
    source: Annotated[
        Path, typer.Argument(help="A list of pairs or series, a folder of rated pictures, or hf:owner/name.")
    ],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder from which pictures are named; default: the list's.")
    ] = None,
    pairs: Annotated[int | None, typer.Option(min=1, help="Take the first so many pairs; default: all.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Of a folder: xmp:Label by name, best first, in place of stars and picks."
        ),
    ] = None,
    series_pictures: Annotated[
        int, typer.Option(help="Pictures of a series of which all pairs are made; larger ones are drawn into parts.")
    ] = 16,
    licence: Annotated[str, typer.Option(help="Licence of pictures whose rows state none.")] = "",
    encoding: Annotated[str, typer.Option(help="Of text, such as latin-1; default: UTF-8.")] = "utf-8-sig",
    test_fraction: Annotated[
        float | None, typer.Option(help="Share that is held out; default: as the list states, of all else 0.2.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is held out.")] = 0,
    writer: WriterOption = "none",
) -> None:
    """Make a RED dataset of judgements that you have.

    Rows of pairs have first, second and one of winner, votes_first with votes_second, probability, delta. Rows of
    series have image and one of score, rank, decision. docs/own-data.md describes them all. What cannot be used is
    named in left_out.csv.
    """
    with reporting_errors():
        if pictures is not None:
            check_exists(pictures)
        if out.exists():
            raise InputError(f"{out} exists; choose another --out, nothing is overwritten")
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise InputError(
                f"{out} lies in {source}, whose next import would read it in place of what is there now; choose another"
            )
        check_writable(out)
        with importing("edit"):
            from redaes.datagen.imported.forms import ReadingSettings, read_source
            from redaes.datagen.imported.importing import ImportSettings, import_pairs
            from redaes.datagen.imported.sources import find_source

        if writer != "none":
            panel_of(writer)  # refused now, not when all is read
        files = find_source(source)
        settings = ImportSettings(test_fraction, seed, licence or files.licence)
        unread: set[str] = set()
        names = tuple(name.strip() for name in (labels or "").split(",") if name.strip())
        reading = ReadingSettings(pictures, encoding, names, series_pictures, seed)

        def imported(into: Path) -> dict[str, Any]:
            with progress_bars("reading rows", "writing pairs") as update:
                return import_pairs(
                    itertools.islice(read_source(files, reading, unread), pairs),
                    into,
                    settings=settings,
                    origin=str(source) if on_hub(source) else source.name,
                    unread=lambda: sorted(unread),
                    progress=update,
                )

        if writer == "none":
            _show(imported(out), out)
            return
        with _beside(out) as plain:
            report = imported(plain)
            counts = explained(plain, out, writer)
        _show(report, out)
        show_explained(counts, out)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Where the set without reasoning lies until that with reasoning is there; one process at a time has it.

    Raises:
        RecordError: another process has it, or it cannot be written.
    """
    holder = out.with_name(f".{out.name}.unexplained")
    try:
        holder.mkdir(parents=True, exist_ok=True)
        lock = (holder / "lock").open("wb")
    except OSError as error:
        raise RecordError(f"{out} cannot be written: {error.strerror or error}; choose another --out") from error
    lock_file(lock, f"another process imports into {out}; wait for it, or choose another --out")
    with lock:
        plain = holder / out.name
        shutil.rmtree(plain, ignore_errors=True)  # of a run that was killed
        try:
            yield plain
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def _show(report: Mapping[str, Any], out: Path) -> None:
    console = plain_console(soft_wrap=True)
    table = table_of("split", "photographs or sets", "pairs", title=f"RED dataset {out}")
    for split, pairs in report["pairs"].items():
        table.add_row(split, str(report["photographs"][split]), str(pairs))
    console.print(table)
    if report["rejected_pairs"]:
        console.print(count_table(report["rejected_pairs"], "left out because", "rows", title=""))
        console.print(f"each of them is named in {out / 'left_out.csv'}")
    votes, found = report["votes"], report["pictures"]
    if report["photographs_divided"]:
        console.print("nearly all pairs hang together: photographs are held out, and pairs between the splits left out")
    for number, what, names in (
        (votes["disputed_pairs"], "pairs with votes for either picture", votes["disputed"]),
        (votes["circular_triples"], "triples of pictures preferred in a circle", votes["circles"]),
        (found["duplicates"], "pictures given twice", found["first_duplicates"]),
        (found["near_copies"], "near copies, kept in one split with what they copy", found["first_near_copies"]),
    ):
        if number:
            console.print(f"{number} {what}:")
            for name in names[:N_SHOWN]:
                console.print(f"  {name}")
            if number > N_SHOWN:
                console.print(f"  … and {number - N_SHOWN} more")
    if found["written_anew"]:
        console.print(
            f"{found['written_anew']} pictures stored as JPEG: crops, larger than is read, or of another kind"
        )
    for note, number in report["notes"].items():
        console.print(f"{number} {note}")
    if report["columns_not_read"]:
        console.print(f"columns that are not read: {', '.join(report['columns_not_read'])}")
