"""``redaes data series``: bursts, folders of one prompt's pictures, and crops, to labelled series for FGAesQ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from redaes.cli import loading
from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_judge, check_writable
from redaes.errors import InputError
from redaes.models import nano

if TYPE_CHECKING:
    from redaes.datagen.series.refinement import PictureCheck


def series(
    natural: Annotated[
        list[Path] | None, typer.Option(metavar="DIR...", help="Folders of photographs that contain bursts.")
    ] = None,
    aigc: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR...", help="Folders of generated pictures, with one subfolder for each prompt."),
    ] = None,
    cropping: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH...", help="Photographs, or folders of photographs, of which crops are made."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the series.")] = Path("runs/sample_series_built"),
    crops: Annotated[int, typer.Option(help="Number of crops of each photograph.")] = 5,
    votes: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="File of people's votes, with the columns series, first, second, n_first and n_second."
        ),
    ] = None,
    assessor: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"The model that votes. The default is {nano.NAME} for the sample photographs and no model for other "
            "pictures.",
        ),
    ] = None,
    mode: Annotated[str, typer.Option(help="How the model answers: fast, or reasoned, which is much slower.")] = "fast",
    margin: Annotated[
        float | None, typer.Option(help="Drop pairs whose probability is this close to 0.5. The default is 0.05.")
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share of the sources, from 0 to 1, that is held out for the test split. The default is 0.2."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of crops, split and question wording.")] = 0,
    alignment: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of a CLIP model that compares generated pictures with their prompts."),
    ] = None,
    least_alignment: Annotated[
        float | None, typer.Option(help="With --alignment: the smallest cosine similarity at which a picture is kept.")
    ] = None,
    plausibility: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="An OpenAI-compatible server that is asked whether each picture is plausible."
        ),
    ] = None,
    plausibility_model: Annotated[
        str | None, typer.Option(help="With --plausibility: the model's name on that server.")
    ] = None,
) -> None:
    """Build labelled series of pictures for FGAesQ. The same command continues an interrupted build.

    For your own pictures, the first call writes ballots.csv, which has a line for every pair and two empty columns for
    people's votes. Fill them in and give the file as --votes in a second call, or let a model vote with --assessor.
    Without pictures, the sample photographs are cropped and the embedded model votes. docs/fgaesq.md describes the
    files.
    """
    with reporting_errors(resumable=True):
        if (alignment is None) != (least_alignment is None):
            raise InputError("--alignment and --least-alignment work only together; give both")
        if (plausibility is None) != (plausibility_model is None):
            raise InputError("--plausibility and --plausibility-model work only together; give both")
        if votes is not None and assessor is not None:
            raise InputError("give either --votes or --assessor, not both")
        for place in (*(natural or ()), *(aigc or ()), *(cropping or ()), votes, alignment):
            if place is not None:
                check_exists(place)
        if assessor is not None:
            check_judge(assessor, None)
        check_writable(out)
        from redaes.assessor import Assessor, known_mode

        way = known_mode(mode)
        from redaes.datagen.series import candidates
        from redaes.datagen.series.building import BuildSettings, build
        from redaes.datagen.series.votes import read_votes

        if not (natural or aigc or cropping):
            from redaes.samples import sample_photographs

            cropping = [sample.path for sample in sample_photographs()]
            assessor = assessor or (None if votes else nano.NAME)
        found = [
            candidates.natural(natural or []),
            candidates.aigc(aigc or []),
            candidates.cropping(cropping or [], n=crops, seed=seed),
        ]
        checks: list[PictureCheck] = []
        if alignment is not None and least_alignment is not None:
            from redaes.datagen.series.model_checks import Alignment

            checks.append(Alignment(alignment, least_alignment))
        if plausibility is not None and plausibility_model is not None:
            from redaes.backends.endpoint import Endpoint
            from redaes.datagen.series.model_checks import Plausibility

            endpoint = Endpoint(plausibility, plausibility_model, cache=out / "work" / "answers")
            checks.append(Plausibility(endpoint))
        voter = None
        if assessor is not None:
            voter = Assessor(loading.load_model(assessor, None, None), mode=way)
        given: dict[str, Any] = {"margin": margin, "test_fraction": test_fraction, "seed": seed}
        with progress_bars() as update:
            report = build(
                [candidate for part in found for candidate in part.found],
                out,
                settings=BuildSettings(**{name: value for name, value in given.items() if value is not None}),
                dropped=[loss for part in found for loss in part.dropped],
                checks=checks,
                votes=None if votes is None else read_votes(votes),
                assessor=voter,
                on_progress=lambda step, done, total: update(f"series {step}", done, total),
            )
        _show_report(report, out)


def _show_report(report: Mapping[str, object], out: Path) -> None:
    """What became of everything."""
    for name in ("candidates", "refined", "votes", "series", "dropped"):
        if name in report:
            typer.echo(f"{name}: {report[name]}")
    if "votes" in report:
        typer.echo(
            f"The series are in {out / 'series.jsonl'}, and the reasons for what was dropped in {out / 'dropped.csv'}."
        )
    else:
        typer.echo(f"Fill in n_first and n_second in a copy of {out / 'ballots.csv'}, and give that file as --votes.")
