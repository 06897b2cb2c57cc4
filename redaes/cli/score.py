"""``redaes score``: where single pictures stand among others."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from redaes.assessing.words import printable
from redaes.cli import loading
from redaes.cli.options import (
    Adapter,
    Agreement,
    ApiKeyEnv,
    Device,
    Endpoint,
    ModelOrServed,
    NoService,
    OneOrder,
    Verbose,
)
from redaes.cli.running import EXIT_PARTIAL, quiet, reporting_errors, say_unusable
from redaes.cli.spinner import Spinner
from redaes.early_checks import check_writable
from redaes.errors import ImageError, InputError, ParseError
from redaes.models import nano


def score(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="One or more picture files.")],
    references: Annotated[
        Path | None,
        typer.Option(
            help="Folder of reference pictures to compare with, or a reference set that --save wrote. The default is "
            "four photographs, each as it is and degraded."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the ranked reference set to this file, so that a later command can use it as --references."
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Rank the pictures of the --references folder with few comparisons and keep only this many of them, "
            "those that are most informative about other pictures. The default is to keep all.",
        ),
    ] = None,
    comparisons: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Compare each picture with at most this many references, each time the most informative one. The "
            "default is to compare it with all.",
        ),
    ] = None,
    model: ModelOrServed = None,
    endpoint: Endpoint = None,
    api_key_env: ApiKeyEnv = None,
    agreement: Agreement = None,
    adapter: Adapter = None,
    one_order: OneOrder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines: one object per picture.")] = False,
    device: Device = None,
    no_service: NoService = False,
    verbose: Verbose = False,
) -> None:
    """Score each picture from 0 to 9 points by comparing it with a set of reference pictures."""
    n_unusable = 0
    limits = None
    with reporting_errors(as_json):
        from redaes.assessing.choosing import COMPARISONS
        from redaes.assessing.results import Unplaced
        from redaes.assessor import Assessor, Orders
        from redaes.images import load_image
        from redaes.references import forget_answers, references_of, write_reference_set

        with quiet():
            # What costs little is checked before a model is loaded.
            chosen = loading.ModelChoice(
                model, adapter, device, endpoint, api_key_env, agreement, service=not no_service, verbose=verbose
            )
            chosen.check()
            answers = None if save is None else save.with_name(f"{save.name}.answers")
            if save is not None:
                check_writable(save.parent)
            if all(Path(picture).is_dir() for picture in pictures):
                raise InputError(
                    f"{pictures[0]} is a folder; give picture files, or rank the pictures in the folder: redaes rank "
                    f"{shlex.quote(pictures[0])}"
                )
            ranked = references_of(references, keep, comparisons or COMPARISONS, answers)
            with Spinner(f"loading {chosen.shown}"):
                backend = chosen.load()
            draws = chosen.draws(backend, "a score")
            assessor = Assessor(backend, mode="fast", agreement=draws)
            with Spinner("ranking the references"):
                found = ranked(assessor)
            if save is not None:
                write_reference_set(save, found)
            if answers is not None:
                forget_answers(answers)
            orders: Orders = "random" if one_order else "both"
            for picture in pictures:
                try:
                    loaded = load_image(picture)
                    if comparisons is None:
                        given = assessor.score(loaded, found, orders=orders)
                    else:
                        (placed,) = assessor.score_many([loaded], found, comparisons=comparisons, orders=orders)
                        if isinstance(placed, Unplaced):
                            raise ParseError(placed.reason, str(placed))
                        given = placed
                except (ImageError, ParseError) as error:
                    n_unusable += 1
                    say_unusable(picture, error, as_json)
                    continue
                if as_json:
                    typer.echo(json.dumps(given.as_json()))
                else:
                    limits = nano.limits(given.model, given.revision)
                    typer.echo(
                        f"{given.score:.1f} ± {given.error:.1f} points of 9  {printable(picture)}  (better than "
                        f"{given.better_than} of {given.n_references} of {printable(given.references)})"
                    )
        if limits is not None:
            typer.echo(limits, err=True)
    if n_unusable:
        raise typer.Exit(EXIT_PARTIAL)
