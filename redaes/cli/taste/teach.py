"""``redaes taste teach``: a page on this machine that asks which of two pictures of a folder is preferred."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.assessing.words import counted, printable
from redaes.cli import loading
from redaes.cli.options import Adapter, Agreement, ApiKeyEnv, Device, Endpoint, ModelOrServed
from redaes.cli.progress import progress_bars
from redaes.cli.running import quiet, reporting_errors
from redaes.early_checks import check_writable
from redaes.errors import InputError, TrainingError, importing
from redaes.models import nano

if TYPE_CHECKING:
    from redaes.backends.base import Backend
    from redaes.cli.progress import UpdateBar
    from redaes.taste.pair_pool import PairPool
    from redaes.types import ImageRef


def teach(
    photos: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of pictures, with its folders.")],
    keep: Annotated[
        Path,
        typer.Option(metavar="CSV", help="The file of answers; if it is there, it is gone on with."),
    ] = Path("answers.csv"),
    port: Annotated[int, typer.Option(help="Port of this machine's own address, 127.0.0.1; 0: any that is free.")] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder for what the model says of the pictures; redaes rank shares it.")
    ] = Path("ranking_out"),
    one_series: Annotated[bool, typer.Option("--one-series", help="All pictures are one series.")] = False,
    by_folder: Annotated[bool, typer.Option("--by-folder", help="The pictures of each folder are a series.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave out what this names, as in .gitignore. May be repeated."),
    ] = None,
    model: ModelOrServed = None,
    endpoint: Endpoint = None,
    api_key_env: ApiKeyEnv = None,
    agreement: Agreement = None,
    adapter: Adapter = None,
    device: Device = None,
    aim: Annotated[
        str,
        typer.Option(help="What the questions are for: taste (to be learned for other pictures), or order (of these)."),
    ] = "taste",
    seed: Annotated[int, typer.Option(help="Of the draw, of the choice among equal pairs, and of the sides.")] = 0,
) -> None:
    """Answer questions about the pictures of a folder on a page; each answer is kept at once.

    Pictures are grouped into series and compared by the model first, as redaes rank does.
    """
    with reporting_errors(resumable=True):
        if one_series and by_folder:
            raise InputError("--one-series and --by-folder contradict each other; give one of them")
        if aim not in ("taste", "order"):
            raise InputError(f"--aim is {aim!r}; give taste or order")
        if seed < 0:
            raise InputError(f"--seed is {seed}; give 0 or more")
        if not photos.is_dir():
            raise InputError(f"{photos} is no folder; give one with pictures")
        check_writable(keep.parent)
        check_writable(out)
        chosen = loading.ModelChoice(model, adapter, device, endpoint, api_key_env, agreement)
        chosen.check()
        with importing("serve"):
            for package in ("starlette", "uvicorn"):
                import_module(package)
        from redaes.assessor import Assessor
        from redaes.culling.grouping import GroupingLimits
        from redaes.culling.series_answers import find_series, said_of
        from redaes.serving.teach_folder import FolderSeries, TeachDesk, serve_teaching
        from redaes.taste.preference_file import PreferenceFile

        PreferenceFile(keep).close()  # whether it can be used is known before a model is asked
        limits = GroupingLimits(by="all" if one_series else "folder" if by_folder else "likeness")
        with quiet(), progress_bars("looking", "comparing") as update:
            found = find_series(
                photos,
                exclude=exclude or (),
                limits=limits,
                results=out,
                on_scanned=lambda done, total: update("looking", done, total),
            )
            if not found.series:
                raise InputError(
                    f"no two pictures of {photos} belong together by time and likeness, and questions are about "
                    "pictures of one series; give --by-folder or --one-series"
                )
            backend = chosen.load()
            assessor = Assessor(backend, mode="fast", agreement=chosen.draws(backend, "what is expected of you"))
            series: list[FolderSeries] = []
            silent: list[str] = []
            for number, pictures in enumerate(found.series, 1):
                said, failure = said_of(assessor, pictures, out / "answers")
                series.append(FolderSeries(pictures, said))
                silent += [failure] if failure else []
                update("comparing", number, len(found.series))
            pool, why_drawn = (None, "") if aim == "order" else _pool(backend, found.series, seed, update)
        for one in found.unreadable:
            typer.echo(f"redaes: left out: {printable(one.reason)}", err=True)
        for failure in silent:
            typer.echo(f"redaes: a series is asked about without an order of the model's: {failure}", err=True)
        asked_by = f"{backend.model} @ {backend.revision}"
        desk = TeachDesk(
            found.root,
            series,
            keep,
            asked_by=asked_by,
            aim="order" if aim == "order" else "taste",
            pool=pool,
            seed=seed,
        )
        typer.echo(
            f"{counted(sum(len(one) for one in found.series), 'picture')} in {len(found.series)} series; left out: "
            f"{found.n_alone} alone, {found.n_meant} series that seem to be meant together",
            err=True,
        )
        if desk.n_answers or desk.n_others:
            typer.echo(
                f"{keep} is gone on with: {desk.n_answers} answers about these pictures, {desk.n_others} other rows",
                err=True,
            )
        if why_drawn:
            typer.echo(f"questions are drawn, for the model cannot be read closely: {printable(why_drawn)}", err=True)
        caution = nano.limits(backend.model, backend.revision)
        if caution is not None:
            typer.echo(caution, err=True)

        def announce(address: str) -> None:
            typer.echo(f"{address} asks; answers are kept in {printable(str(keep))}; stop it with Ctrl-C")

        try:
            serve_teaching(desk, port, announce)
        finally:
            desk.close()
        typer.echo(f"{counted(desk.n_answers, 'answer')} about these pictures. {what_next(keep, photos, chosen)}")


def what_next(keep: Path, photos: Path, chosen: loading.ModelChoice) -> str:
    """The command that learns from the answers; on the model that asked, if it was in this process."""
    words = ["redaes", "taste", "learn", str(keep), "--pictures", str(photos), "--out", _free("taste")]
    if chosen.model is not None and not chosen.endpoint:
        words += ["--model", chosen.model]
    return f"To learn from them: {printable(shlex.join(words))}"


def _free(name: str) -> str:
    """This name, with a number where something of that name is here already."""
    return next(one for n in count(1) if not Path(one := name if n == 1 else f"{name}{n}").exists())


def _pool(
    backend: Backend, series: Sequence[Sequence[ImageRef]], seed: int, update: UpdateBar
) -> tuple[PairPool | None, str]:
    """The pairs among which questions about a taste are chosen; or none, and why."""
    from redaes.backends.local import LocalBackend

    if not isinstance(backend, LocalBackend):
        return None, "it is not in this process"
    from redaes.taste.pool_reading import read_pool

    try:
        return read_pool(backend, series, seed=seed, progress=update), ""
    except TrainingError as error:
        return None, str(error)
