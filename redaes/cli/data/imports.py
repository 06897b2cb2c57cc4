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
        Path,
        typer.Argument(
            help="A table of pairs or of series, a folder of rated pictures, or a dataset on the Hugging Face Hub "
            "(hf:owner/name)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the new dataset. It must not exist yet.")],
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to which the picture paths of the table are relative. The default is the table's own folder.",
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Use only this many pairs, from the beginning of the source. The default is to use all."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="For a folder of rated pictures: the values of xmp:Label, best first, which are then used instead of "
            "stars and picks.",
        ),
    ] = None,
    series_pictures: Annotated[
        int,
        typer.Option(
            help="Largest series of which all pairs are made. A larger series is divided at random into parts of this "
            "size."
        ),
    ] = 16,
    licence: Annotated[str, typer.Option(help="Licence of those pictures whose rows state none.")] = "",
    encoding: Annotated[
        str, typer.Option(help="Encoding of the text files, for example latin-1. The default is UTF-8.")
    ] = "utf-8-sig",
    test_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share, from 0 to 1, that is held out for the test split. The default is the split that the source "
            "states, otherwise 0.2."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of the test split.")] = 0,
    writer: WriterOption = "none",
) -> None:
    """Convert judgements that you already have into a RED dataset.

    A table of pairs has the columns first and second, and one of winner, votes_first with votes_second, probability and
    delta. A table of series has the column image, and one of score, rank and decision. docs/own-data.md describes them
    all. The file left_out.csv names each row that cannot be used.
    """
    with reporting_errors():
        if pictures is not None:
            check_exists(pictures)
        if out.exists():
            raise InputError(f"{out} exists and is not overwritten; choose another --out")
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise InputError(
                f"{out} lies inside {source}, and the next import would read it as part of the source; choose another "
                "--out"
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
    lock_file(lock, f"another process is importing into {out}; wait for it to end, or choose another --out")
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
        console.print(f"{out / 'left_out.csv'} names each of them")
    votes, found = report["votes"], report["pictures"]
    if report["photographs_divided"]:
        console.print(
            "Nearly all pairs are connected by shared pictures, so photographs are held out one by one, and pairs "
            "that join the two splits are left out."
        )
    for number, what, names in (
        (votes["disputed_pairs"], "pairs have votes for both pictures", votes["disputed"]),
        (votes["circular_triples"], "triples of pictures are preferred in a circle", votes["circles"]),
        (found["duplicates"], "pictures appear twice", found["first_duplicates"]),
        (
            found["near_copies"],
            "pictures are near copies of others and stay in the same split as those",
            found["first_near_copies"],
        ),
    ):
        if number:
            console.print(f"{number} {what}:")
            for name in names[:N_SHOWN]:
                console.print(f"  {name}")
            if number > N_SHOWN:
                console.print(f"  … and {number - N_SHOWN} more")
    if found["written_anew"]:
        console.print(
            f"{found['written_anew']} pictures were stored anew as JPEG, because they are crops, are too large, or "
            "have another format"
        )
    for note, number in report["notes"].items():
        console.print(f"{number} {note}")
    if report["columns_not_read"]:
        console.print(f"These columns were not used: {', '.join(report['columns_not_read'])}")
