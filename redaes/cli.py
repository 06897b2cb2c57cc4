"""The command line: ``redaes compare``, ``redaes serve``, ``redaes demo`` and ``redaes data``.

Exit status: 0 an answer; 2 the input is wrong; 3 the model gave no usable answer; 4 the model cannot be
loaded or asked, or a package is missing. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes import nano
from redaes.errors import BackendError, InputError, MissingDependency, ParseError, RedaesError

if TYPE_CHECKING:
    from redaes.assessor import Result
    from redaes.backends.base import Backend

EXIT_INPUT = 2
EXIT_NO_ANSWER = 3
EXIT_BACKEND = 4

app = typer.Typer(
    help="Says which of two pictures looks better, by how much, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # an error that is not ours is a bug, and its plain traceback is wanted
)
data = typer.Typer(help="Build RED datasets, look at them, check them, hand them on.", no_args_is_help=True)
app.add_typer(data, name="data")


def main() -> None:
    """Entry point of the ``redaes`` command."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its code: an answer must not die of its printing.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            found = metadata.version("redaes")
        except metadata.PackageNotFoundError:
            found = "(run from a checkout that is not installed)"
        typer.echo(f"redaes {found}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A picture file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another picture file.")],
    model: Annotated[
        str, typer.Option(help=f"{nano.NAME} (comes with the package), a folder, or a name on the hub.")
    ] = nano.NAME,
    adapter: Annotated[Path | None, typer.Option(help="Folder of a LoRA adapter for the model.")] = None,
    mode: Annotated[
        str, typer.Option(help="reasoned: difference and reasons; fast: probability only, much quicker.")
    ] = "reasoned",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")] = False,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda; default: the best there is.")] = None,
) -> None:
    """Say which of two pictures looks better, by how much, and why."""
    with _errors_reported(as_json):
        from redaes.assessor import Assessor, known_mode
        from redaes.images import load_image

        # What costs little is checked before a model is loaded.
        way = known_mode(mode)
        pair = load_image(first), load_image(second)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the libraries' advice to each other; errors are raised as ever
            assessor = Assessor(_backend(model, adapter, device), mode=way)
            (result,) = assessor.compare_many([pair])
    if as_json:
        typer.echo(json.dumps(_json_of(result)))
    if result.winner is None:
        _say_no_answer(result)
        raise typer.Exit(EXIT_NO_ANSWER)
    if not as_json:
        _show(result)


@app.command()
def serve(
    model: Annotated[str, typer.Option(help=f"{nano.NAME}, a folder, a hub name; with --attach: its name there.")] = (
        nano.NAME
    ),
    adapter: Annotated[Path | None, typer.Option(help="Folder of a LoRA adapter for the model.")] = None,
    vllm: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="Start vLLM, by the Python of the environment that has it.")
    ] = None,
    attach: Annotated[
        str | None, typer.Option(metavar="URL", help="Use a vLLM that runs already, such as http://127.0.0.1:8000/v1.")
    ] = None,
    revision: Annotated[
        str, typer.Option(help="With --attach: what pins the weights; results repeat it.")
    ] = "unpinned",
    structured: Annotated[bool, typer.Option(help="With vLLM: hold answers to the grammar while written.")] = False,
    data_parallel: Annotated[int, typer.Option(help="With --vllm: copies of the model, one a GPU.")] = 1,
    tensor_parallel: Annotated[int, typer.Option(help="With --vllm: GPUs that one copy is split over.")] = 1,
    max_pixels: Annotated[
        int | None, typer.Option(help="Area in pixels to which the model's processor shrinks; default: its own.")
    ] = None,
    vllm_arg: Annotated[
        list[str] | None, typer.Option(help="With --vllm: one more argument for it; may be repeated.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda; with --vllm: cpu, if it is one for CPUs.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0: any that is free.")] = 8080,
    api_keys: Annotated[Path | None, typer.Option(help="File with one API key a line.")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name by which the service may be addressed; may be repeated.")
    ] = None,
    max_waiting: Annotated[int, typer.Option(help="Requests that wait; more are sent away with 429.")] = 64,
    timeout: Annotated[float, typer.Option(help="For one answer, in seconds.")] = 120.0,
) -> None:
    """Serve the assessor over HTTP, with a page to look at; on this machine unless told otherwise."""
    with _errors_reported(as_json=False):
        from redaes.serving import run
        from redaes.serving.limits import Limits
        from redaes.serving.vllm import Served, is_healthy

        if vllm is not None and attach is not None:
            raise InputError("--vllm starts a server and --attach uses one that runs; give one of them")
        if attach is not None and adapter is not None:
            raise InputError("--adapter goes with a model that is loaded here; with --attach, name it as --model")
        keys = run.read_api_keys(api_keys) if api_keys is not None else ()
        address = run.Address(host, port, keys, tuple(allow_host or ()))
        limits = Limits(workers=run.SERVER_WORKERS if vllm or attach else 1, max_waiting=max_waiting, timeout_s=timeout)
        backend: Backend
        healthy = None
        with run.orderly_end(), ExitStack() as stack:
            if vllm is not None:
                served = Served(
                    model,
                    adapter,
                    max_pixels=max_pixels,
                    cpu=device == "cpu",
                    data_parallel=data_parallel,
                    tensor_parallel=tensor_parallel,
                    extra=tuple(vllm_arg or ()),
                )
                typer.echo(f"starting vLLM with {served.name}", err=True)
                backend, server = stack.enter_context(
                    run.vllm_backend(served, vllm, structured=structured, timeout_s=timeout)
                )
                typer.echo(f"vLLM answers at {server.base_url}; its log is {server.log}", err=True)
                healthy = server.is_healthy
            elif attach is not None:
                backend = stack.enter_context(
                    run.attached_backend(attach, model, revision=revision, structured=structured, timeout_s=timeout)
                )
                healthy = partial(is_healthy, attach.rstrip("/"))
            else:
                backend = _backend(model, adapter, device)
            run.serve(backend, address, limits, is_healthy=healthy, announce=typer.echo)


@app.command()
def demo(
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of photographs to work on; default: public ones that are at hand."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo_out"),
) -> None:
    """Run the whole path at small scale: edit photographs, train, evaluate, report."""
    with _errors_reported(as_json=False):
        from redaes.demo import run

        run(photos=photos, out=out)


PUSH_HELP = "Upload the result to this dataset on the hub (owner/name), created as private."


@data.command("build")
def data_build(
    photographs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files, folders, lists (.txt .csv .jsonl), .tar shards, tables (.parquet .arrow); none: samples."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("runs/sample_pairs"),
    config: Annotated[Path | None, typer.Option(help="YAML recipe; the options below go before it.")] = None,
    views: Annotated[int | None, typer.Option(help="Views (crops) per photograph.")] = None,
    variants: Annotated[int | None, typer.Option(help="Degraded pictures per view.")] = None,
    max_side: Annotated[int | None, typer.Option(help="Longest side of the pictures, in pixels.")] = None,
    test_fraction: Annotated[float | None, typer.Option(help="Share of photographs that is held out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    min_side: Annotated[int | None, typer.Option(help="Shortest side of a photograph, in pixels.")] = None,
    max_aspect: Annotated[float | None, typer.Option(help="Largest ratio of a photograph's sides.")] = None,
    max_photographs: Annotated[int | None, typer.Option(help="Draw so many photographs; default: all.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes or actors.")] = None,
    engine: Annotated[str | None, typer.Option(help="local (processes) or ray (Ray Data).")] = None,
    push_to_hub: Annotated[str | None, typer.Option(metavar="REPO", help=PUSH_HELP)] = None,
) -> None:
    """Build pairs from photographs, or go on with a build that was stopped."""
    given = {name: value for name, value in locals().items() if name not in ("photographs", "out", "config")}
    with _errors_reported(as_json=False):
        from redaes.datagen.commands import build_dataset
        from redaes.datagen.recipe import make_recipe

        build_dataset(photographs or [], out, make_recipe(config, given), push_to=push_to_hub)


@data.command("inspect")
def data_inspect(
    folder: Annotated[Path, typer.Argument(help="A RED dataset.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("inspect.html"),
    pairs: Annotated[int, typer.Option(help="Pairs to show, at most.")] = 24,
) -> None:
    """Write one HTML page with pairs to look at and plots of what is in a dataset."""
    with _errors_reported(as_json=False):
        from redaes.datagen.commands import inspect_dataset

        inspect_dataset(folder, out, n_pairs=pairs)


@data.command("validate")
def data_validate(folder: Annotated[Path, typer.Argument(help="A RED dataset.")]) -> None:
    """Check every row; ends with 2 and names the rows when something is wrong."""
    with _errors_reported(as_json=False):
        from redaes.datagen.commands import validate_dataset

        found = validate_dataset(folder)
    if found.wrong:
        raise typer.Exit(EXIT_INPUT)


@data.command("export")
def data_export(
    folder: Annotated[Path, typer.Argument(help="A RED dataset.")],
    form: Annotated[str, typer.Option("--format", help="preference (TRL), jsonl or webdataset.")],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    push_to_hub: Annotated[str | None, typer.Option(metavar="REPO", help=PUSH_HELP)] = None,
) -> None:
    """Write a dataset in a form that other tools read."""
    with _errors_reported(as_json=False):
        from redaes.datagen.commands import export_dataset
        from redaes.datagen.export import known_format

        export_dataset(folder, out, known_format(form), push_to=push_to_hub)


def _backend(model: str, adapter: Path | None, device: str | None) -> Backend:
    """The model to ask. Tests put a scripted one here."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    # Progress bars and advice of the libraries stay away from the answer; their errors are raised as ever.
    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()

    from redaes.backends.local import LocalBackend

    return LocalBackend(model, adapter=adapter, device=device)


@contextmanager
def _errors_reported(as_json: bool) -> Iterator[None]:
    """Errors raised on purpose become a message on stderr and an exit status; others keep their traceback."""
    try:
        yield
    except RedaesError as error:
        if as_json:
            typer.echo(json.dumps({"error": type(error).__name__, "message": str(error)}), err=True)
        else:
            typer.echo(f"redaes: {_printable(str(error))}", err=True)
        if isinstance(error, BackendError | MissingDependency):
            status = EXIT_BACKEND
        else:
            status = EXIT_NO_ANSWER if isinstance(error, ParseError) else EXIT_INPUT
        raise typer.Exit(status) from error


def _json_of(result: Result) -> dict[str, object]:
    """The result as JSON types. Names of files may hold bytes that are no text; ``json`` can write those."""
    paths = {"first": result.first, "second": result.second}
    fields = result.model_dump(mode="json", exclude=set(paths))
    return {**fields, **{name: {"id": ref.id, "path": str(ref.path)} for name, ref in paths.items()}}


def _printable(text: str) -> str:
    """Text from files or models without what would steer the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def _names(result: Result) -> tuple[str, str]:
    """What to call the pictures: file names, or whole paths where those are equal."""
    first, second = result.first.path, result.second.path
    if first.name == second.name:
        return _printable(str(first)), _printable(str(second))
    return _printable(first.name), _printable(second.name)


def _say_no_answer(result: Result) -> None:
    typer.echo(f"redaes: {result.model} gave no usable answer ({result.failure}). It wrote:", err=True)
    for comparison in result.comparisons:
        typer.echo(f"--- {comparison.order}\n{_printable(comparison.raw)}", err=True)


def _in_words(points: float) -> str:
    """The size of a difference that is no tie, in points, in words of ours."""
    if points < 1.0:
        return "slightly"
    return "clearly" if points < 3.0 else "far"


def _show(result: Result) -> None:
    """Print the result for reading."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

    from redaes.types import TIE_MARGIN

    first, second = _names(result)
    winner, delta, probability = result.winner, result.delta, result.probability
    if winner is None or delta is None or probability is None:
        raise AssertionError("a result without a winner is reported elsewhere")
    if winner == "tie":
        title = "No visible difference"
        lines = [
            f"difference   below {TIE_MARGIN} points: a tie",
            f"probability  {probability:.0%} that {first} is better",
        ]
    else:
        better, worse, sure = (first, second, probability) if winner == "A" else (second, first, 1.0 - probability)
        title = f"{better} is better"
        lines = [
            f"difference   {abs(delta):.1f} points: {_in_words(abs(delta))} better than {worse}",
            f"probability  {sure:.0%}",
        ]
    if result.factors:
        lines.append(f"decided by   {', '.join(result.factors)}")
    if result.order_consistent is not None:
        answer = "the same answer in both orders" if result.order_consistent else "the answer changes with the order"
        lines.append(f"consistency  {answer}")
    if result.rationale is not None:
        letters = (first, second) if result.rationale_order == "forward" else (second, first)
        lines += ["", _printable(result.rationale), f"(A is {letters[0]}, B is {letters[1]})"]
    if result.notes:
        lines += ["", *(f"note: {_printable(note)}" for note in result.notes)]
    provenance = f"{_printable(result.model)} @ {result.revision}, {result.prompt_id}, {result.mode}"
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    text = Text("\n".join(lines))
    if console.is_terminal:
        console.print(Panel(Group(text, Text(f"\n{provenance}", style="dim")), title=Text(title, style="bold")))
    else:
        console.print(Text(f"{title}\n"), text, Text(f"\n{provenance}"), sep="\n")
