"""``redaes data audit``: people judge pairs of a dataset blind, and their answers are held against its labels."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.cli.progress import progress_bars
from redaes.cli.running import EXIT_PARTIAL, reporting_errors
from redaes.cli.tables import plain_console, table_of
from redaes.early_checks import check_dataset, check_exists, check_writable
from redaes.errors import InputError, RecordError, importing

if TYPE_CHECKING:
    from rich.table import Table

    from redaes.datagen.audit.agreement_report import AuditReport, LabelAgreement
    from redaes.datagen.audit.drawn_pairs import AuditDraw, DrawnPair


def audit(
    folder: Annotated[Path, typer.Argument(help="Folder of a RED dataset.")],
    pairs: Annotated[
        int,
        typer.Option(
            help="Number of pairs to judge. They are drawn evenly by factor, editor and size of the difference."
        ),
    ] = 200,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="HTML",
            help="Write one HTML page that contains the pictures. With --answers, write the report to this file.",
        ),
    ] = None,
    serve: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Serve the page on this machine (127.0.0.1) at this port. Give 0 for any free port."
        ),
    ] = None,
    keep: Annotated[
        Path,
        typer.Option(
            metavar="JSONL",
            help="With --serve: the file for the answers. If it exists, each person continues where they stopped.",
        ),
    ] = Path("audit-answers.jsonl"),
    answers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="JSONL...", help="Report on the answers in these files, which --serve wrote or the page saved."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --answers: print the report as JSON.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of pairs. Another seed draws other pairs.")] = 0,
    repeated: Annotated[
        float,
        typer.Option(
            help="Share of the pairs, from 0 to 1, that are shown a second time with sides exchanged, to measure how "
            "consistent the answers are."
        ),
    ] = 0.1,
    side: Annotated[
        int, typer.Option(help="Longest side of the shown pictures in pixels. Smaller pictures are not enlarged.")
    ] = 1280,
) -> None:
    """Let people judge pairs without seeing the labels, or report how well their answers agree with the labels.

    First give --serve PORT, or --out HTML, to make the page. Then give the saved answers as --answers.
    """
    with reporting_errors(as_json):
        check_dataset(folder)
        if sum(one is not None for one in (out if answers is None else None, serve, answers)) != 1:
            raise InputError("give exactly one of --serve PORT, --out HTML (a page to judge on) and --answers JSONL")
        if as_json and answers is None:
            raise InputError("--json works only together with --answers")
        if out is not None:
            if out.exists():
                raise RecordError(f"{out} exists; choose another --out, nothing is overwritten")
            check_writable(out.parent)
        if serve is not None:
            check_writable(keep.parent)
        if answers is not None:
            for file in answers:
                check_exists(file)
            _report(folder, answers, out, as_json)
            return
        with importing("audit"):
            for package in ("jinja2", *(() if serve is None else ("starlette", "uvicorn"))):
                import_module(package)
            from redaes.datagen.audit.blind_pictures import check_side
            from redaes.datagen.audit.drawn_pairs import check_draw, drawn_pairs, new_draw, population

        check_side(side)
        check_draw(pairs, repeated)
        found = population(folder)
        draw = new_draw(found.dataset, n_pairs=pairs, seed=seed, repeated=repeated)
        drawn = drawn_pairs(found, draw)
        if found.n_unlabelled:
            typer.echo(f"{found.n_unlabelled} pairs have no label and are not drawn", err=True)
        if len(drawn) < pairs:
            typer.echo(f"the dataset has only {len(drawn)} labelled pairs, and all of them are shown", err=True)
        if serve is not None:
            _serve(folder, draw, drawn, keep, serve, side)
        elif out is not None:
            _write(draw, drawn, out, side)


def _serve(folder: Path, draw: AuditDraw, drawn: Sequence[DrawnPair], keep: Path, port: int, side: int) -> None:
    from redaes.datagen.audit.judging_service import AuditDesk, serve_audit

    is_new = not keep.exists()
    desk = AuditDesk(draw, drawn, keep, longest=side, tell=lambda words: typer.echo(words, err=True))
    if is_new:
        typer.echo(f"{keep.absolute()} is a new file without answers", err=True)
    if desk.n_unreadable:
        typer.echo(
            f"{keep}: {desk.n_unreadable} lines are not answers; they stay in the file, and the report names them",
            err=True,
        )
    for person, n_given in desk.given.items():
        typer.echo(f"{person} continues after {n_given} answers", err=True)

    def announce(address: str) -> None:
        typer.echo(f"Open {address} to judge {len(drawn)} pairs. Answers are saved in {keep}. Press Ctrl-C to stop.")

    try:
        serve_audit(desk, port, announce)
    finally:
        desk.close()
    typer.echo(f"For the report, run: {shlex.join(('redaes', 'data', 'audit', str(folder), '--answers', str(keep)))}")


def _write(draw: AuditDraw, drawn: Sequence[DrawnPair], out: Path, side: int) -> None:
    from redaes.datagen.audit.blind_pictures import all_blind_pictures
    from redaes.datagen.audit.judging_page import judging_page
    from redaes.file_writing import write_atomically

    pictures: dict[str, bytes] = {}
    lost = 0
    with progress_bars() as update:
        for n_done, (_, found) in enumerate(all_blind_pictures(drawn, side), 1):
            if isinstance(found, RecordError):
                lost += 1
                typer.echo(f"left out: {found}", err=True)
            else:
                pictures |= found
            update("pairs", n_done, len(drawn))
    write_atomically(out, judging_page(draw, drawn, pictures).encode())
    size = out.stat().st_size / 2**20
    typer.echo(
        f"{out} ({size:.0f} MiB) shows {len(drawn) - lost} pairs; open it in a browser and save the answers there"
    )
    if lost:
        raise typer.Exit(EXIT_PARTIAL)


def _report(folder: Path, files: Sequence[Path], out: Path | None, as_json: bool) -> None:
    with importing("audit"):
        from redaes.datagen.audit.agreement_page import agreement_page
        from redaes.datagen.audit.agreement_report import audit_report
        from redaes.datagen.audit.drawn_pairs import population
        from redaes.datagen.audit.given_answers import REVISED, given_answers
        from redaes.datagen.audit.krippendorff import check_evalica
        from redaes.file_writing import write_atomically

    check_evalica()
    found = population(folder)
    given = given_answers(found, files)
    report = audit_report(found, given)
    if out is not None:
        write_atomically(out, agreement_page(folder.resolve().name, report, given).encode())
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show(report, folder)
        if out is not None:
            typer.echo(f"{out} contains the same report, with the pairs whose label people contradict")
    if report.remarks.keys() - {REVISED}:
        raise typer.Exit(EXIT_PARTIAL)


def _show(report: AuditReport, folder: Path) -> None:
    from redaes.datagen.audit.agreement_page import alpha_text, share_text

    console = plain_console(soft_wrap=True)
    people_word = "person" if len(report.persons) == 1 else "people"
    console.print(
        f"{report.overall.n_answers} answers by {len(report.persons)} {people_word} about {report.overall.n_pairs} of "
        f"{report.n_drawn} drawn pairs of {folder}"
    )
    console.print(
        f"agreement with the label: {share_text(report.overall.agrees)} of {report.overall.agrees.n} answers that "
        f"prefer one picture; weighted like the dataset: {share_text(report.weighted)}, for strata that contain "
        f"{100 * report.covered:.0f} % of its pairs (ties are not counted)"
    )
    for title, rows in (
        ("size in points", report.by_size),
        ("decided by", report.by_factor),
        ("editor", report.by_editor),
        ("label from", report.by_label_source),
    ):
        console.print(_agreement_table(title, rows))
    people = table_of("person", "answers", "agree", "alike", "same again", "left", "seconds", title="people")
    for person, row in report.persons.items():
        shown = map(share_text, (row.agrees, row.alike, row.consistent, row.left))
        people.add_row(person, str(row.n_answers), *shown, f"{row.median_seconds:g}")
    console.print(people)
    console.print(
        f"Krippendorff's alpha between people: {alpha_text(report.alpha_nominal)} nominal, "
        f"{alpha_text(report.alpha_ordinal)} ordinal, over {report.alpha_nominal.n} pairs that at least two people "
        "judged"
    )
    console.print(f"same answer when a pair was repeated: {share_text(report.consistent)} of {report.consistent.n}")
    console.print(f"pairs whose label more people contradict than confirm: {report.n_contradicted}")
    for kind, remark in report.remarks.items():
        console.print(f"left out: {kind}: {remark.n}")
        for line in remark.first:
            console.print(f"  {line}")
        if remark.n > len(remark.first):
            console.print(f"  … and {remark.n - len(remark.first)} more")


def _agreement_table(title: str, rows: Mapping[str, LabelAgreement]) -> Table:
    from redaes.datagen.audit.agreement_page import share_text

    table = table_of(title, "pairs", "answers", "agree", "expected", "alike", title="")
    for name, row in rows.items():
        expected = "–" if row.expected is None else f"{100 * row.expected:.0f} %"
        counts = (str(row.n_pairs), str(row.n_answers))
        table.add_row(name, *counts, share_text(row.agrees), expected, share_text(row.alike))
    return table
