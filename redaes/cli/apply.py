"""``redaes apply``: act on what ``redaes rank`` found; without ``--do`` it only says what it would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.assessing.words import printable
from redaes.cli.progress import progress_bars
from redaes.cli.running import EXIT_PARTIAL, reporting_errors
from redaes.errors import InputError

if TYPE_CHECKING:
    from redaes.culling.applying import Destinations

_VERBS = {"move": "move", "copy": "copy", "link": "link"}


def apply(
    ranking: Annotated[
        Path | None, typer.Argument(metavar="RANKING", help="The output folder of redaes rank, or its ranking.jsonl.")
    ] = None,
    move_rejects: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move the pictures that are marked as rejected to this folder.")
    ] = None,
    copy_picks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy the best picture of each series to this folder.")
    ] = None,
    link_picks: Annotated[
        Path | None,
        typer.Option(
            "--link-picks",
            "--link",
            metavar="DIR",
            help="Like --copy-picks, but create symbolic links instead of copies.",
        ),
    ] = None,
    embed_marks: Annotated[
        bool,
        typer.Option("--embed-marks", help="Write the marks into the JPEG files. This needs the program exiftool."),
    ] = False,
    undo_marks: Annotated[
        bool,
        typer.Option(
            "--undo-marks",
            help="Remove the marks that redaes wrote to sidecars and JPEG files, unless somebody has changed them "
            "since.",
        ),
    ] = False,
    undo: Annotated[
        Path | None,
        typer.Option(metavar="JOURNAL", help="Reverse the changes that this journal of an earlier run records."),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the journal of this run to this file.",
            show_default="applied-001.jsonl, and so on, beside the ranking",
        ),
    ] = None,
    do: Annotated[
        bool, typer.Option("--do", help="Carry out the plan. Without this option, the command only prints it.")
    ] = False,
) -> None:
    """Move the rejected pictures of a ranking, or copy or link its picks, with their sidecars and raw files.

    The command prints its plan, and carries it out with --do. A journal records every change, and --undo JOURNAL
    reverses it.
    """
    with reporting_errors(resumable=True):
        from redaes.culling.applying import Destinations

        destinations = Destinations(move_rejects, copy_picks, link_picks)
        wants = (destinations != Destinations()) + embed_marks + undo_marks
        if undo is not None:
            if ranking is not None or wants:
                raise InputError(
                    "--undo takes no RANKING and no other action, because the journal says what to reverse; give "
                    "only --undo JOURNAL, and --do to carry it out"
                )
            left = _undo(undo, do)
        elif ranking is None or wants != 1:
            raise InputError(
                "give one ranking and one action: redaes apply RANKING with one of --move-rejects DIR, --copy-picks "
                "DIR (or --link-picks DIR), --embed-marks and --undo-marks; or redaes apply --undo JOURNAL"
            )
        elif undo_marks:
            left = _undo_marks(ranking, do)
        elif embed_marks:
            left = _embed(ranking, do)
        else:
            left = _apply(ranking, destinations, journal, do)
    for line in left:
        typer.echo(f"redaes: {printable(line)}", err=True)
    if left:
        raise typer.Exit(EXIT_PARTIAL)


def _apply(ranking: Path, destinations: Destinations, path: Path | None, do: bool) -> list[str]:
    """Plan, print, and on demand act; returns what was left, with the reasons."""
    from redaes.culling.applying import carry_out, moved_by, open_journal, plan_apply, read_ranking, recover
    from redaes.culling.embedding import read_embedded

    ranked = read_ranking(ranking)
    folder = ranking if ranking.is_dir() else ranking.parent
    failed: list[str] = []
    journal = None
    if do:
        journal = open_journal(folder, path, destinations)
        failed = recover(journal)
    plan = plan_apply(ranked, destinations, moved_by(folder, path), read_embedded(folder))
    for step in (step for steps in plan.shots for step in steps):
        typer.echo(printable(f"{_VERBS[step.kind]} {step.source} -> {step.target}"))
    for line in plan.kept:
        typer.echo(f"stays: {printable(line)}")
    n_files = sum(len(steps) for steps in plan.shots)
    what = f"{len(plan.shots)} pictures, {n_files} files with their sidecars and raw files"
    before = f"; {plan.n_before} pictures were handled before" if plan.n_before else ""
    if journal is None:
        typer.echo(f"{what}{before}. Nothing was changed; add --do to carry this out.")
        return plan.left
    with progress_bars("applying") as update:
        n_done, more = carry_out(plan, journal, lambda done, total: update("applying", done, total))
    typer.echo(f"{what}: {n_done} pictures done{before}")
    if n_done:
        typer.echo(f"To reverse this: redaes apply --undo {printable(str(journal.path))} --do")
    return plan.left + failed + more


def _undo(path: Path, do: bool) -> list[str]:
    """Take a run back, or say what that would do; returns what was left, with the reasons."""
    from redaes.culling.applying import undo
    from redaes.culling.journal import Journal, read_journal

    content = read_journal(path)
    steps = [step for number in content.standing[::-1] for step in content.shots[number][::-1] if step.source]
    if not do:
        for step in steps:
            typer.echo(printable(f"reverse: {_VERBS[step.kind]} {step.source} -> {step.target}"))
        typer.echo(f"{len(steps)} files would be restored. Nothing was changed; add --do to carry this out.")
        return []
    with progress_bars("undoing") as update:
        n_undone, left = undo(Journal(path, content), lambda done, total: update("undoing", done, total))
    typer.echo(f"{n_undone} files were restored")
    return left


def _embed(ranking: Path, do: bool) -> list[str]:
    """Embed the marks, or say which; returns what was left, with the reasons."""
    from redaes.culling.applying import moved_by, read_ranking
    from redaes.culling.embedding import check_exiftool, embed, plan_embedding, read_embedded

    check_exiftool()
    folder = ranking if ranking.is_dir() else ranking.parent
    moved = moved_by(folder)
    marked = [
        (Path(moved.get(str(one.path.absolute()), one.path)), one.id, one.mark)
        for one in read_ranking(ranking)
        if one.mark is not None
    ]
    plan = plan_embedding(marked, read_embedded(folder))
    for path, mark in plan.files.items():
        typer.echo(printable(f"{path}: {'' if mark is None else mark.noted()}"))
    for line in plan.kept:
        typer.echo(f"stays: {printable(line)}")
    notes = f"{plan.n_before} already contain their marks; {plan.n_others} are not JPEG files"
    if not do:
        typer.echo(f"marks for {len(plan.files)} JPEG files; {notes}. Nothing was changed; add --do to carry this out.")
        return plan.left
    with progress_bars("embedding") as update:
        failed = embed(plan, folder, lambda done, total: update("embedding", done, total))
    typer.echo(f"marks embedded in {len(plan.files) - len(failed)} JPEG files; {notes}")
    typer.echo(f"To remove them: redaes apply {printable(str(ranking))} --undo-marks --do")
    return plan.left + failed


def _undo_marks(ranking: Path, do: bool) -> list[str]:
    """Take marks back, or say which; returns what was left, with the reasons."""
    from redaes.culling.applying import moved_by, read_ranking
    from redaes.culling.embedding import embed, plan_embedding, read_embedded
    from redaes.culling.marking import unmark_pictures

    folder = ranking if ranking.is_dir() else ranking.parent
    moved = moved_by(folder)
    ranked = [(Path(moved.get(str(one.path.absolute()), one.path)), one) for one in read_ranking(ranking)]
    embedded = read_embedded(folder)
    known = [(path, one.id, one.mark) for path, one in ranked if one.mark is not None and embedded]
    plan = plan_embedding(known, embedded, undo=True)
    left = plan.left
    if do and plan.files:
        left += embed(plan, folder)
    changed, more = unmark_pictures([path for path, _ in ranked], write=do)
    for path in (*plan.files, *changed):
        typer.echo(printable(str(path)))
    what = f"{len(changed)} sidecars and {len(plan.files)} JPEG files"
    typer.echo(
        f"Marks were removed from {what}."
        if do
        else f"Marks would be removed from {what}. Nothing was changed; add --do to carry this out."
    )
    return left + more
