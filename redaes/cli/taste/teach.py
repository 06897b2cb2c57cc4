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
    photos: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of pictures, whose subfolders are included.")],
    keep: Annotated[
        Path,
        typer.Option(metavar="CSV", help="The file for the answers. If it exists, new answers are added to it."),
    ] = Path("answers.csv"),
    port: Annotated[int, typer.Option(help="Port on this machine (127.0.0.1). Give 0 for any free port.")] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder for the model's answers about the pictures, which redaes rank uses too.")
    ] = Path("ranking_out"),
    one_series: Annotated[bool, typer.Option("--one-series", help="Treat all pictures as one series.")] = False,
    by_folder: Annotated[
        bool, typer.Option("--by-folder", help="Treat the pictures of each folder as one series.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave out files and folders that match this pattern, written as in .gitignore. The option may be "
            "repeated.",
        ),
    ] = None,
    model: ModelOrServed = None,
    endpoint: Endpoint = None,
    api_key_env: ApiKeyEnv = None,
    agreement: Agreement = None,
    adapter: Adapter = None,
    device: Device = None,
    aim: Annotated[
        str,
        typer.Option(
            help="The purpose of the questions: taste, to learn a taste for other pictures too, or order, to rank only "
            "these pictures."
        ),
    ] = "taste",
    seed: Annotated[
        int, typer.Option(help="Seed of the random choice of questions and of the sides on which pictures are shown.")
    ] = 0,
) -> None:
    """Open a web page on which you choose the better of two pictures of a folder, again and again.

    Each answer is saved at once. Before that, the model groups the pictures into series and compares them, as redaes
    rank does. Give the saved answers to redaes taste learn.
    """
    with reporting_errors(resumable=True):
        if one_series and by_folder:
            raise InputError("--one-series and --by-folder contradict each other; give only one of them")
        if aim not in ("taste", "order"):
            raise InputError(f"--aim is {aim!r}; give taste or order")
        if seed < 0:
            raise InputError(f"--seed is {seed}; give 0 or more")
        if not photos.is_dir():
            raise InputError(f"{photos} is not a folder; give a folder of pictures")
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
                    f"no two pictures of {photos} were grouped into a series by time and likeness, and all questions "
                    "are about pictures of one series; group them with --by-folder or --one-series"
                )
            backend = chosen.load()
            assessor = Assessor(backend, mode="fast", agreement=chosen.draws(backend, "the expected answer"))
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
            typer.echo(
                "redaes: the model gave no order for a series, and questions about it are asked without one: "
                f"{failure}",
                err=True,
            )
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
            f"{found.n_alone} single pictures and {found.n_meant} series that seem to be intended as one work",
            err=True,
        )
        if desk.n_answers or desk.n_others:
            typer.echo(
                f"{keep} already contains {desk.n_answers} answers about these pictures and {desk.n_others} other rows",
                err=True,
            )
        if why_drawn:
            typer.echo(
                f"questions are drawn at random, because the model's features cannot be read: {printable(why_drawn)}",
                err=True,
            )
        caution = nano.limits(backend.model, backend.revision)
        if caution is not None:
            typer.echo(caution, err=True)

        def announce(address: str) -> None:
            typer.echo(f"Open {address} to answer. Answers are saved in {printable(str(keep))}. Press Ctrl-C to stop.")

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
        return None, "the model does not run in this process"
    from redaes.taste.pool_reading import read_pool

    try:
        return read_pool(backend, series, seed=seed, progress=update), ""
    except TrainingError as error:
        return None, str(error)
