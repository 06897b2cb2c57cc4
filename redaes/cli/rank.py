"""``redaes rank``: a folder grouped into series, and each series ranked."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.assessing.words import counted, printable
from redaes.cli import loading
from redaes.cli.options import Adapter, Agreement, ApiKeyEnv, Device, Endpoint, NoService, OneOrder, Verbose
from redaes.cli.progress import progress_bars
from redaes.cli.running import EXIT_PARTIAL, quiet, reporting_errors, say_unusable
from redaes.early_checks import check_exists, check_writable
from redaes.errors import InputError
from redaes.models import nano

if TYPE_CHECKING:
    from redaes.culling.folder import FolderSummary
    from redaes.culling.grouping import GroupingLimits
    from redaes.culling.rankers import Ranker
    from redaes.culling.sidecar_names import SidecarStyle
    from redaes.images import PassedOver

FGAESQ = "fgaesq"
"""As --model of ``redaes rank``: the series ranker in place of a language model."""

SHOWN_KEPT = 20
"""How many pictures are named that somebody else has rated."""


def rank(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR|PICTURE...",
            help="One or more folders of pictures, whose subfolders are included, or picture files.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("ranking_out"),
    gap: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Largest time in seconds between two neighbouring pictures of a series.",
            show_default="60",
        ),
    ] = None,
    likeness: Annotated[
        float | None,
        typer.Option(
            help="Smallest likeness, from 0 to 1, of a picture to the common picture of its series. With 0, only time "
            "decides.",
            show_default="0.87",
        ),
    ] = None,
    one_series: Annotated[bool, typer.Option("--one-series", help="Treat all pictures as one series.")] = False,
    by_folder: Annotated[
        bool, typer.Option("--by-folder", help="Treat the pictures of each folder as one series.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave out files and folders that match this pattern, written as in .gitignore, for example "
            "'*_edit.jpg' or 'exports/'. The option may be repeated.",
        ),
    ] = None,
    write_xmp: Annotated[
        bool,
        typer.Option(
            "--write-xmp",
            help="Write .xmp sidecars with rating, label and pick. Without this option, the command only reports "
            "how many it would write.",
        ),
    ] = False,
    sidecars: Annotated[
        str,
        typer.Option(
            help="How new sidecars are named: lightroom (photo.xmp), darktable (photo.jpg.xmp), or auto (photo.xmp for "
            "camera raw files, photo.jpg.xmp for others)."
        ),
    ] = "auto",
    overrule: Annotated[
        bool,
        typer.Option("--overrule", help="Also write sidecars for pictures whose files already contain a rating."),
    ] = False,
    reject: Annotated[
        bool,
        typer.Option(
            "--reject", help="Give the remaining pictures of a series the rating -1 (rejected) instead of one star."
        ),
    ] = False,
    mode: Annotated[
        str, typer.Option(help="How the model compares: fast, or reasoned, which is much slower.")
    ] = "fast",
    model: Annotated[
        str | None,
        typer.Option(
            help=f"The model to ask: {nano.NAME}, a folder, or a name on the Hugging Face Hub. With --endpoint, give "
            f"the model's name on that server. Give {FGAESQ} for the FGAesQ series ranker, which needs --weights.",
            show_default=f"{nano.NAME}; with --endpoint, the only model on that server",
        ),
    ] = None,
    endpoint: Endpoint = None,
    api_key_env: ApiKeyEnv = None,
    agreement: Agreement = None,
    adapter: Adapter = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help=f"With --model {FGAESQ}: the folder of its weights, which redaes train fgaesq writes as final/."
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"With --model {FGAESQ}: a language model, such as {nano.NAME}, that is asked if the first place of a "
            "series is in doubt.",
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="With --judge: the largest share of all pairs that it may compare, from 0 to 1."
        ),
    ] = 0.3,
    one_order: OneOrder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines: one object per series.")] = False,
    device: Device = None,
    no_service: NoService = False,
    verbose: Verbose = False,
) -> None:
    """Group a folder's pictures into series and rank each series. The same command continues an interrupted run."""
    with reporting_errors(as_json, resumable=True):
        from redaes.culling.folder import rank_folder
        from redaes.culling.given_pictures import given_pictures

        named = judge if model == FGAESQ else model
        chosen = loading.ModelChoice(
            named, adapter, device, endpoint, api_key_env, agreement, service=not no_service, verbose=verbose
        )
        if model == FGAESQ and endpoint:
            raise InputError(
                f"--model {FGAESQ} loads weights in this process, but --endpoint (or REDAES_ENDPOINT) names a server; "
                "leave one of them out"
            )
        _check_ranker(model, mode=mode, adapter=adapter, weights=weights, judge=judge, one_order=one_order)
        limits = _limits(gap, likeness, one_series=one_series, by_folder=by_folder)
        style = _known_style(sidecars)
        chosen.check()
        root, _ = given_pictures(pictures, exclude or (), out)  # what costs little is checked before a model is loaded
        check_writable(out)
        works = () if judge is None else ("scoring", "comparing")
        with quiet(), progress_bars("looking", *works, "series") as update:
            ranker = _ranker(chosen, weights, share, cascade=judge is not None, mode=mode, one_order=one_order)

            def show(done: int, total: int, line: dict[str, object]) -> None:
                update("series", done, total)
                if as_json:
                    typer.echo(json.dumps(line))

            summary = rank_folder(
                pictures,
                out,
                ranker,
                limits=limits,
                exclude=exclude or (),
                write_xmp=write_xmp,
                sidecars=style,
                overrule=overrule,
                reject=reject,
                on_scanned=partial(update, "looking"),
                on_prepared=update,
                on_series=show,
            )
    for one in summary.unreadable:
        say_unusable(str(one.path), one.reason, as_json)
    for reason in summary.failed:
        typer.echo(f"redaes: {printable(reason)}", err=True)
    for left_out in summary.passed_over:
        _say_passed_over(left_out, root, as_json)
    if not as_json:
        _show_summary(summary, out, write_xmp)
        caution = nano.limits(str(ranker.provenance["model"]), str(ranker.provenance["revision"]))
        if caution is not None:
            typer.echo(caution, err=True)
    if summary.unreadable or summary.failed or any(left_out.is_missed for left_out in summary.passed_over):
        raise typer.Exit(EXIT_PARTIAL)


def _limits(gap: float | None, likeness: float | None, *, one_series: bool, by_folder: bool) -> GroupingLimits:
    """From where on pictures belong together, by the options."""
    from redaes.culling.grouping import MAX_GAP_S, MIN_LIKENESS, GroupingLimits

    if one_series and by_folder:
        raise InputError("--one-series and --by-folder contradict each other; give only one of them")
    if (one_series or by_folder) and (gap is not None or likeness is not None):
        raise InputError(
            "--gap and --likeness set how pictures are grouped, which --one-series and --by-folder replace; leave "
            "--gap and --likeness out"
        )
    return GroupingLimits(
        gap_s=MAX_GAP_S if gap is None else gap,
        likeness=MIN_LIKENESS if likeness is None else likeness,
        by="all" if one_series else "folder" if by_folder else "likeness",
    )


def _say_passed_over(left_out: PassedOver, folder: Path, as_json: bool) -> None:
    """Say what was not looked at: on standard error, but photographs as JSON where that is wanted."""
    if as_json and left_out.is_missed:
        for path, reason in left_out.unusable():
            say_unusable(str(path), reason, as_json)
    else:
        typer.echo(f"redaes: {printable(left_out.in_words(folder))}", err=True)


def _known_style(text: str) -> SidecarStyle:
    """The value of ``--sidecars``, refused when there is none of that name."""
    from redaes.culling.sidecar_names import SIDECAR_STYLES

    for style in SIDECAR_STYLES:
        if style == text:
            return style
    raise InputError(f"--sidecars is {text!r}, which is unknown; give one of {', '.join(SIDECAR_STYLES)}")


def _check_ranker(
    model: str | None, *, mode: str, adapter: Path | None, weights: Path | None, judge: str | None, one_order: bool
) -> None:
    """Refuse options of ``redaes rank`` that do not go together or name nothing, before anything is loaded."""
    from redaes.assessor import known_mode

    if model != FGAESQ and weights is not None:
        raise InputError(f"--weights is only for --model {FGAESQ}; give the folder of a language model as --model")
    if model != FGAESQ and judge is not None:
        raise InputError(
            f"--judge is only for --model {FGAESQ}; without that, the model of --model makes all comparisons"
        )
    if model == FGAESQ and weights is None:
        raise InputError(
            f"--model {FGAESQ} needs weights, which are not included in the package: give --weights FOLDER, which "
            "redaes train fgaesq writes as final/"
        )
    if known_mode(mode) == "reasoned" and weights is not None and judge is None:
        raise InputError(
            f"--model {FGAESQ} gives scores without reasons; leave --mode out, or add a language model with --judge"
        )
    if weights is not None and judge is None and (adapter is not None or one_order):
        raise InputError(
            f"--adapter and --one-order are only for language models; leave them out with --model {FGAESQ}, or add a "
            "language model with --judge"
        )
    if weights is not None:
        check_exists(weights)


def _ranker(
    chosen: loading.ModelChoice, weights: Path | None, share: float, *, cascade: bool, mode: str, one_order: bool
) -> Ranker:
    """What the checked options of ``redaes rank`` ask for."""
    from redaes.assessor import Assessor, Orders, known_mode
    from redaes.culling.cascade_ranker import CascadeRanker
    from redaes.culling.rankers import AssessorRanker, FGAesQRanker

    orders: Orders = "random" if one_order else "both"
    scorer = None
    if weights is not None:
        from redaes.models.fgaesq.scorer import FGAesQScorer

        scorer = FGAesQScorer.load(weights, chosen.device)
        if not cascade:
            return FGAesQRanker(scorer)
    backend = chosen.load()
    draws = chosen.draws(backend, "a ranking")
    assessor = Assessor(backend, mode=known_mode(mode), agreement=draws)
    return (
        AssessorRanker(assessor, orders)
        if scorer is None
        else CascadeRanker(scorer, assessor, share=share, orders=orders)
    )


def _show_summary(summary: FolderSummary, out: Path, write_xmp: bool) -> None:
    from redaes.cli.tables import plain_console
    from redaes.culling.winners import show_winners

    typer.echo(
        f"{counted(summary.n_pictures, 'picture')} in {summary.n_series} series, {summary.n_singles} of them alone; "
        f"{counted(summary.n_calls, 'question')} asked in all"
    )
    show_winners(summary.winners, plain_console(), str(out / "contact_sheet.html"))
    if summary.n_pictures > 1 and summary.n_singles == summary.n_series:
        typer.echo(
            "no two pictures belong together by time and likeness, so nothing was compared; --by-folder or "
            "--one-series compares them nevertheless"
        )
    if summary.n_meant:
        typer.echo(
            f"left as they are: {summary.n_meant} exposure brackets, focus stacks, panoramas or time-lapses; "
            "--one-series ranks one nevertheless"
        )
    if summary.n_pictures == 1:
        typer.echo("a single picture has nothing to be compared with; redaes score says where it stands")
    if summary.n_sidecars:
        written = "written" if write_xmp else "to write with --write-xmp"
        merged = f", {summary.n_merged} of them merged into existing ones" if summary.n_merged else ""
        typer.echo(f"sidecars {written}: {summary.n_sidecars}{merged}")
    if summary.kept:
        typer.echo(f"{counted(len(summary.kept), 'picture')} with somebody's rating, label or pick, left as found:")
    for line in summary.kept[:SHOWN_KEPT]:
        typer.echo(f"  {printable(line)}")
    if len(summary.kept) > SHOWN_KEPT:
        typer.echo(f"  and {len(summary.kept) - SHOWN_KEPT} more; {out / 'marks.jsonl'} names all")
    for name in ("ranking.csv", "ranking.jsonl", "marks.jsonl"):
        typer.echo(str(out / name))
    typer.echo(f"to see the ranking, open this file in a browser: {out / 'contact_sheet.html'}")
