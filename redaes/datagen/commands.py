"""What ``redaes data`` and ``data_gen/build_pairs.py`` do, with progress and a summary in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redaes.datagen.build_recipe import Recipe
from redaes.datagen.export import Format, export
from redaes.datagen.inspection import inspect
from redaes.datagen.pipeline import build
from redaes.datagen.rationale_claims import Statements, check_claims
from redaes.datagen.validation import DatasetValidation, validate
from redaes.hub import check_repository, push
from redaes.samples import sample_photographs
from redaes.types import Split

N_REJECTED_SHOWN = 20
"""Photographs that were not used and are named in the terminal; report.json names all."""


def build_dataset(photographs: Sequence[Path], out: Path, recipe: Recipe, *, push_to: str | None = None) -> None:
    """Build a RED dataset and print what was kept and what was rejected.

    Args:
        photographs: as :func:`~redaes.datagen.photograph_files.find` takes them; none: the sample photographs.
        out: folder of the dataset.
        recipe: how.
        push_to: dataset on the hub to upload it to; None: nowhere.

    Raises:
        RedaesError: as :func:`~redaes.datagen.pipeline.build` and :func:`~redaes.hub.push` do.
    """
    if push_to is not None:
        check_repository(push_to)  # before hours of work
    places, licences = list(photographs), {}
    if not places:
        samples = sample_photographs()
        places = [sample.path for sample in samples]
        licences = {sample.path: sample.credit for sample in samples}
    with _progress("editing and judging", "reading photographs") as progress:
        report = build(
            places,
            out,
            recipe.settings,
            workers=recipe.workers,
            engine=recipe.engine,
            panel=recipe.panel,
            progress=progress,
            licences=licences,
            rules=recipe.rules,
        )
    _show_report(report, out)
    if push_to is not None:
        _push(out, push_to)


def inspect_dataset(folder: Path, out: Path, *, n_pairs: int) -> None:
    """Write the contact sheet of a dataset and say where.

    Raises:
        RedaesError: as :func:`~redaes.datagen.inspection.inspect` does.
    """
    inspect(folder, out, n_pairs=n_pairs)
    _console().print(f"{out} shows up to {n_pairs} pairs of {folder}")


def validate_dataset(folder: Path, *, claims: bool = False, workers: int = 1) -> DatasetValidation:
    """Check every row, and print counts and the rows that are wrong.

    Args:
        folder: the dataset.
        claims: whether what the rationales say is held against the pixels.
        workers: threads that measure for that.

    Raises:
        RedaesError: as :func:`~redaes.datagen.validation.validate` and
            :func:`~redaes.datagen.rationale_claims.check_claims` do.
    """
    with _progress("checking rows") as progress:
        found = validate(folder, progress=progress)
    statements: dict[Split, Statements] = {}
    if claims:
        with _progress("measuring pairs") as progress:
            statements = check_claims(folder, found.wrong, workers=workers, progress=progress)
    _show_validation(found, statements, folder)
    return found


def export_dataset(folder: Path, out: Path, kind: Format, *, push_to: str | None = None) -> None:
    """Write a dataset in another form and say what was written.

    Raises:
        RedaesError: as :func:`~redaes.datagen.export.export` and :func:`~redaes.hub.push` do.
    """
    if push_to is not None:
        check_repository(push_to)
    with _progress("exporting pairs") as progress:
        done = export(folder, out, kind, progress=progress)
    table = _table("split", "examples", "left out", title=f"{kind} {out}")
    for split, n_written in done.written.items():
        table.add_row(split, str(n_written), ", ".join(f"{n} {why}" for why, n in done.left_out[split].items()) or "0")
    _console().print(table)
    if push_to is not None:
        _push(out, push_to)


def _push(folder: Path, repository: str) -> None:
    _console().print(f"uploaded to {push(folder, repository)}; it is private until you change that there")


def _console(**options: Any) -> Console:
    # Names of files may hold what looks like markup.
    return Console(highlight=False, markup=False, **options)


def _table(*headers: str, title: str) -> Table:
    return Table(*headers, title=title, title_justify="left")


@contextmanager
def _progress(work: str, first: str | None = None) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; ``first`` is shown until the first count."""
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(first or work, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, description=work, completed=done, total=total)

        yield update


def _count_table(counts: Mapping[str, int], *headers: str, title: str) -> Table:
    table = _table(*headers, title=title)
    for name, count in counts.items():
        table.add_row(name, str(count))
    return table


def _show_report(report: Mapping[str, Any], out: Path) -> None:
    console = _console()
    table = _table("split", "photographs", "pairs", title=f"RED dataset {out}")
    for split, pairs in report["pairs"].items():
        table.add_row(split, str(report["photographs"][split]), str(pairs))
    console.print(table)
    console.print(_count_table(report["kept_by_factor"], "pairs kept, decided by", "pairs", title=""))
    if report["rejected_pairs"]:
        console.print(_count_table(report["rejected_pairs"], "rejected because", "edits or pairs", title=""))
    rejected = report["rejected_photographs"]
    if rejected:
        table = _table("photograph not used", "reason", title="")
        for item in rejected[:N_REJECTED_SHOWN]:
            table.add_row(item["file"], item["reason"])
        console.print(table)
        if len(rejected) > N_REJECTED_SHOWN:
            console.print(f"… and {len(rejected) - N_REJECTED_SHOWN} more, all named in {out / 'report.json'}")


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
    table = _table("split", "rationales", *headers, title="statements of the rationales; rationales with")
    for split, found in statements.items():
        counts = (*found.by_status.values(), found.silent, found.contradicted, found.unmeasured)
        table.add_row(split, str(found.rationales), *map(str, counts))
    return table


def _show_validation(found: DatasetValidation, statements: Mapping[Split, Statements], folder: Path) -> None:
    console = _console(soft_wrap=True)
    table = _table("split", "pairs", "groups", "photographs", title=f"RED dataset {folder}")
    for split, counts in found.counts.items():
        table.add_row(split, str(counts.pairs), str(counts.groups), str(counts.sources))
    console.print(table)
    if statements:
        console.print(_statement_table(statements))
    for heading, findings in (("wrong", found.wrong), ("worth a look", found.warnings)):
        for kind, rows in findings.items():
            console.print(f"{heading}: {kind}: {rows.n}")
            for row in rows.first:
                console.print(f"  {row}")
            if rows.n > len(rows.first):
                console.print(f"  … and {rows.n - len(rows.first)} more")
    if not found.wrong:
        console.print("every row is sound")
