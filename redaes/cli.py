"""The command line: ``redaes compare``, ``score``, ``rank``, ``serve``, ``eval``, ``demo``, ``data``, ``doctor``.

Exit status: 0 an answer, "undecided" among them; 2 the input is wrong; 3 the model gave no usable answer; 4 the model
cannot be loaded or asked, or a package is missing; 5 finished, but some of the input could not be used, and is named.
With ``--json``, standard output holds JSON Lines and nothing else. Nothing heavy is imported before a command
needs it.
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

from redaes.assessing.words import printable
from redaes.errors import BackendError, ImageError, InputError, MissingDependency, ParseError, RedaesError
from redaes.models import nano

if TYPE_CHECKING:
    from redaes.assessor import Result
    from redaes.backends.base import Backend
    from redaes.culling.folder import Summary
    from redaes.culling.rankers import Ranker

FGAESQ = "fgaesq"
"""As --model of ``redaes rank``: the series ranker in place of a language model."""

EXIT_INPUT = 2
EXIT_NO_ANSWER = 3
EXIT_BACKEND = 4
EXIT_PARTIAL = 5

app = typer.Typer(
    help="Says which of two pictures looks better, by how much, and why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # an error that is not ours is a bug, and its plain traceback is wanted
)
data = typer.Typer(help="Build RED datasets, look at them, check them, hand them on.", no_args_is_help=True)
app.add_typer(data, name="data")

Model = Annotated[str, typer.Option(help=f"{nano.NAME} (comes with the package), a folder, or a name on the hub.")]
Adapter = Annotated[Path | None, typer.Option(help="Folder of a LoRA adapter for the model.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda; default: the best there is.")]
OneOrder = Annotated[
    bool, typer.Option("--one-order", help="Ask each pair in one order, drawn at random: half the cost, not debiased.")
]


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
    model: Model = nano.NAME,
    adapter: Adapter = None,
    mode: Annotated[
        str, typer.Option(help="reasoned: difference and reasons; fast: probability only, much quicker.")
    ] = "reasoned",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")] = False,
    device: Device = None,
    reader: Annotated[
        str, typer.Option(help="strict; lenient: also unambiguous variants of the form, for models not trained on it.")
    ] = "strict",
    samples: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Draw N further reasonings, and show the one that the pictures support best. The verdict stays.",
        ),
    ] = 0,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Measure the pictures, and hold the reasoning against that.")
    ] = True,
    measured: Annotated[
        bool, typer.Option("--measured", help="Tell the model what is measured in both pictures, in figures.")
    ] = False,
) -> None:
    """Say which of two pictures looks better, by how much, and why."""
    with _errors_reported(as_json):
        from redaes import prompts
        from redaes.assessor import Assessor, check_samples, known_mode
        from redaes.images import load_image
        from redaes.lenient import known_reader

        # What costs little is checked before a model is loaded.
        way, read_by = known_mode(mode), known_reader(reader)
        check_samples(samples, way)
        if samples and not check:
            raise InputError("--samples chooses by what is measured; leave --no-check out")
        pair = load_image(first), load_image(second)
        with _quiet():
            prompt = prompts.MEASURED[way] if measured else None
            assessor = Assessor(_backend(model, adapter, device), mode=way, prompt=prompt, reader=read_by)
            (result,) = assessor.compare_many([pair], check=check, samples=samples)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    if result.failure is not None:
        _say_no_answer(result)
        raise typer.Exit(EXIT_NO_ANSWER)
    if not as_json:
        from redaes.assessing.terminal import show

        show(result, nano.limits(result.model, result.revision))


@app.command()
def score(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="Picture files.")],
    references: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures to compare with, or a file that --save wrote; default: six public ones."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Keep the ranked references in this file for other times.")] = None,
    model: Model = nano.NAME,
    adapter: Adapter = None,
    one_order: OneOrder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines: one object per picture.")] = False,
    device: Device = None,
) -> None:
    """Say where single pictures stand among a fixed set of others, in points of 0 to 9."""
    n_unusable = 0
    limits = None
    with _errors_reported(as_json):
        from redaes.assessor import Assessor
        from redaes.images import load_image
        from redaes.references import references_of, write_reference_set

        with _quiet():
            # What costs little is checked before a model is loaded.
            ranked = references_of(references)
            assessor = Assessor(_backend(model, adapter, device), mode="fast")
            found = ranked(assessor)
            if save is not None:
                write_reference_set(save, found)
            for picture in pictures:
                try:
                    given = assessor.score(load_image(picture), found, orders="random" if one_order else "both")
                except (ImageError, ParseError) as error:
                    n_unusable += 1
                    _say_unusable(picture, error, as_json)
                    continue
                if as_json:
                    typer.echo(json.dumps(given.as_json()))
                else:
                    limits = nano.limits(given.model, given.revision)
                    typer.echo(
                        f"{given.score:.1f} ± {given.error:.1f}  {printable(picture)}  (better than "
                        f"{given.better_than} of {given.n_references} of {printable(given.references)})"
                    )
        if limits is not None:
            typer.echo(limits, err=True)
    if n_unusable:
        raise typer.Exit(EXIT_PARTIAL)


@app.command()
def rank(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of pictures; its folders are searched.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("ranking_out"),
    write_xmp: Annotated[
        bool,
        typer.Option("--write-xmp", help="Write sidecars (rating, label, pick). Without it they are only counted."),
    ] = False,
    mode: Annotated[str, typer.Option(help="How the comparisons are made: fast, or reasoned (much slower).")] = "fast",
    model: Annotated[
        str, typer.Option(help=f"{nano.NAME}, a folder, a hub name; or {FGAESQ}, the series ranker, with --weights.")
    ] = nano.NAME,
    adapter: Adapter = None,
    weights: Annotated[
        Path | None, typer.Option(help=f"With --model {FGAESQ}: its folder, as stages/fgaesq.py leaves it in final/.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"With --model {FGAESQ}: a language model, such as {nano.NAME}, asked about first places in doubt.",
        ),
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="With --judge: most pairs it compares, as a share of all pairs.")
    ] = 0.3,
    one_order: OneOrder = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines: one object per series.")] = False,
    device: Device = None,
) -> None:
    """Group a folder's pictures into series and rank each. Run it again to go on where it was stopped."""
    with _errors_reported(as_json):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from redaes.culling.folder import rank_folder
        from redaes.images import list_images

        _check_ranker(model, mode=mode, adapter=adapter, weights=weights, judge=judge, one_order=one_order)
        list_images(folder, recursive=True)  # what costs little is checked before a model is loaded
        # To a file or a pipe, standard error gets no bars.
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        with _quiet(), Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            ranker = _ranker(model, adapter, weights, judge, share, mode=mode, one_order=one_order, device=device)
            looking = progress.add_task("looking", total=None)
            works = () if judge is None else ("scoring", "comparing")
            before = {work: progress.add_task(work, total=None) for work in works}
            ranking = progress.add_task("series", total=None)

            def show(done: int, total: int, line: dict[str, object]) -> None:
                progress.update(ranking, completed=done, total=total)
                if as_json:
                    typer.echo(json.dumps(line))

            summary = rank_folder(
                folder,
                out,
                ranker,
                write_xmp=write_xmp,
                on_scanned=lambda done, total: progress.update(looking, completed=done, total=total),
                on_prepared=lambda work, done, total: progress.update(before[work], completed=done, total=total),
                on_series=show,
            )
    for one in summary.unreadable:
        _say_unusable(str(one.path), one.reason, as_json)
    for reason in summary.failed:
        typer.echo(f"redaes: {printable(reason)}", err=True)
    if not as_json:
        _show_summary(summary, out, write_xmp)
        limits = nano.limits(str(ranker.provenance["model"]), str(ranker.provenance["revision"]))
        if limits is not None:
            typer.echo(limits, err=True)
    if summary.unreadable or summary.failed:
        raise typer.Exit(EXIT_PARTIAL)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Say what is installed, what is missing, and the line that mends it; ends with 4 when the core is not whole."""
    with _errors_reported(as_json):
        from redaes.doctor import examine

        report = examine()
    if as_json:
        from dataclasses import asdict

        parts = [{**asdict(part), "fits": part.fits, "remedy": part.remedy} for part in report.parts]
        typer.echo(json.dumps({**asdict(report), "parts": parts, "healthy": report.healthy}))
    else:
        typer.echo(f"redaes {report.version}, Python {report.python}\nmodels run on {report.device}")
        typer.echo(f"embedded model: {report.model or 'whole'}")
        for part in report.parts:
            wrong = [
                f"{one.name} {one.found or 'absent'} (wanted {one.wanted or 'any'})"
                for one in part.packages
                if not one.fits
            ]
            typer.echo(f"{part.name or 'core':10} {'; '.join(wrong) or 'complete'}")
            if part.remedy is not None:
                typer.echo(f"{'':10} mend it: {part.remedy}")
    if not report.healthy:
        raise typer.Exit(EXIT_BACKEND)


@app.command()
def serve(
    model: Annotated[str, typer.Option(help=f"{nano.NAME}, a folder, a hub name; with --attach: its name there.")] = (
        nano.NAME
    ),
    adapter: Adapter = None,
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
        int | None, typer.Option(help="Area in pixels to which pictures are shrunk; default: as in training.")
    ] = None,
    vllm_arg: Annotated[
        list[str] | None, typer.Option(help="With --vllm: one more argument for it; may be repeated.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda; with --vllm: cpu, if it is one for CPUs.")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Offer /v1/score against this folder of pictures, or a file of redaes score.")
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
        from redaes.assessor import Assessor
        from redaes.references import references_of
        from redaes.serving import run
        from redaes.serving.limits import ServiceLimits
        from redaes.serving.vllm import ServedModel, is_healthy

        if vllm is not None and attach is not None:
            raise InputError("--vllm starts a server and --attach uses one that runs; give one of them")
        if attach is not None and adapter is not None:
            raise InputError("--adapter goes with a model that is loaded here; with --attach, name it as --model")
        if attach is not None and max_pixels is not None:
            raise InputError("--max-pixels goes with a model that is loaded here; the server of --attach has its own")
        keys = run.read_api_keys(api_keys) if api_keys is not None else ()
        address = run.ServiceAddress(host, port, keys, tuple(allow_host or ()))
        limits = ServiceLimits(
            workers=run.SERVER_WORKERS if vllm or attach else 1, max_waiting=max_waiting, timeout_s=timeout
        )
        ranked = None if references is None else references_of(references)
        backend: Backend
        healthy = None
        with run.orderly_end(), ExitStack() as stack:
            if vllm is not None:
                served = ServedModel(
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
                with _quiet():
                    backend = _backend(model, adapter, device, max_pixels)
            scored = None
            if ranked is not None:
                assessor = Assessor(backend, mode="fast")
                scored = ranked(assessor)
                assessor.check_references(scored)
            run.serve(backend, address, limits, references=scored, is_healthy=healthy, announce=typer.echo)


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


@app.command("eval")
def evaluate(
    benchmark: Annotated[str, typer.Argument(help="A benchmark; see --list.")] = "",
    data_: Annotated[Path | None, typer.Option("--data", help="Its folder, or its label file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on with it.")] = Path("runs/eval"),
    assessor: Annotated[
        str | None,
        typer.Option(help="vlm, vlm_pairs, endpoint, endpoint_pairs, csv, pyiqa or baseline; default: vlm."),
    ] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the assessor.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder of the pictures, if elsewhere.")] = None,
    references: Annotated[Path | None, typer.Option(help="Folder of reference pictures, for scores in pairs.")] = None,
    n_references: Annotated[int | None, typer.Option(help="Otherwise so many of the benchmark's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of their draw.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Largest area that is shown, in pixels.")] = None,
    allow_missing: Annotated[bool | None, typer.Option("--allow-missing", help="Go on without them.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    shard: Annotated[str, typer.Option(help="k/n: only this part, on one of n machines.")] = "0/1",
    config: Annotated[Path | None, typer.Option(help="YAML recipe; the options go before it.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the benchmarks and stop.")] = False,
) -> None:
    """Run an assessor over a public benchmark, or over labels of your own."""
    given = {**locals(), "data": data_}
    with _errors_reported(as_json=False):
        from redaes.evaluation.commands import list_benchmarks, parse_options, parse_shard, run_benchmark
        from redaes.evaluation.eval_recipe import make_spec

        if list_:
            list_benchmarks()
            return
        if not benchmark or data_ is None:
            raise InputError("name a benchmark (see --list) and its folder with --data")
        given["options"] = parse_options(option or [])
        run_benchmark(make_spec(config, given), out, workers=workers, shard=parse_shard(shard))


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
        from redaes.datagen.build_recipe import make_recipe
        from redaes.datagen.commands import build_dataset

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
def data_validate(
    folder: Annotated[Path, typer.Argument(help="A RED dataset.")],
    claims: Annotated[
        bool, typer.Option("--claims", help="Hold what the rationales say against what is measured of the pictures.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Threads that measure, with --claims.")] = 1,
) -> None:
    """Check every row; ends with 2 and names the rows when something is wrong."""
    with _errors_reported(as_json=False):
        from redaes.datagen.commands import validate_dataset

        found = validate_dataset(folder, claims=claims, workers=workers)
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


def _backend(model: str, adapter: Path | None, device: str | None, max_pixels: int | None = None) -> Backend:
    """The model to ask. Tests put a scripted one here."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    # Progress bars and advice of the libraries stay away from the answer; their errors are raised as ever.
    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()

    from redaes.backends.local import LocalBackend

    return LocalBackend(model, adapter=adapter, device=device, max_pixels=max_pixels)


def _check_ranker(
    model: str, *, mode: str, adapter: Path | None, weights: Path | None, judge: str | None, one_order: bool
) -> None:
    """Refuse options of ``redaes rank`` that do not go together, before anything is loaded."""
    from redaes.assessor import known_mode

    if model != FGAESQ and weights is not None:
        raise InputError(f"--weights goes with --model {FGAESQ}; a language model's folder is given as --model")
    if model != FGAESQ and judge is not None:
        raise InputError(f"--judge goes with --model {FGAESQ}; without it, --model is the judge")
    if model == FGAESQ and weights is None:
        raise InputError(
            f"{FGAESQ} comes without weights: give --weights FOLDER, as stages/fgaesq.py leaves it in final/"
        )
    if known_mode(mode) == "reasoned" and weights is not None and judge is None:
        raise InputError(f"{FGAESQ} gives scores and no reasons; leave --mode out, or give it a --judge")
    if weights is not None and judge is None and (adapter is not None or one_order):
        raise InputError(
            f"--adapter and --one-order are for language models; leave them out with --model {FGAESQ}, "
            "or give it a --judge"
        )


def _ranker(
    model: str,
    adapter: Path | None,
    weights: Path | None,
    judge: str | None,
    share: float,
    *,
    mode: str,
    one_order: bool,
    device: str | None,
) -> Ranker:
    """What the checked options of ``redaes rank`` ask for."""
    from redaes.assessor import Assessor, Orders, known_mode
    from redaes.culling.rankers import Cascaded, Comparing, FineGrained

    orders: Orders = "random" if one_order else "both"
    scorer = None
    if weights is not None:
        from redaes.models.fgaesq.scorer import FineGrainedScorer

        scorer = FineGrainedScorer.load(weights, device)
        if judge is None:
            return FineGrained(scorer)
    assessor = Assessor(_backend(judge or model, adapter, device), mode=known_mode(mode))
    return Comparing(assessor, orders) if scorer is None else Cascaded(scorer, assessor, share=share, orders=orders)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' advice to each other; errors are raised as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _errors_reported(as_json: bool) -> Iterator[None]:
    """Errors raised on purpose become a message on stderr and an exit status; others keep their traceback."""
    try:
        yield
    except RedaesError as error:
        if as_json:
            typer.echo(json.dumps({"error": type(error).__name__, "message": str(error)}), err=True)
        else:
            typer.echo(f"redaes: {printable(str(error))}", err=True)
        if isinstance(error, BackendError | MissingDependency):
            status = EXIT_BACKEND
        else:
            status = EXIT_NO_ANSWER if isinstance(error, ParseError) else EXIT_INPUT
        raise typer.Exit(status) from error


def _say_unusable(path: str, reason: object, as_json: bool) -> None:
    """One input of many that could not be used: the rest goes on."""
    if as_json:
        typer.echo(json.dumps({"path": path, "error": str(reason)}))
    else:
        typer.echo(f"redaes: {printable(str(reason))}", err=True)


def _show_summary(summary: Summary, out: Path, write_xmp: bool) -> None:
    typer.echo(
        f"{summary.n_pictures} pictures in {summary.n_series} series, {summary.n_singles} of them alone; "
        f"{summary.n_calls} questions asked in all"
    )
    written = "written" if write_xmp else "to write with --write-xmp"
    typer.echo(
        f"sidecars {written}: {summary.n_sidecars}, of which {summary.n_merged} merged into existing ones; "
        f"{summary.n_kept} ratings, labels and picks of others kept"
    )
    for name in ("contact_sheet.html", "ranking.csv", "ranking.jsonl"):
        typer.echo(str(out / name))


def _say_no_answer(result: Result) -> None:
    typer.echo(f"redaes: {result.model} gave no usable answer ({result.failure}). It wrote:", err=True)
    for comparison in result.comparisons:
        typer.echo(f"--- {comparison.order}\n{printable(comparison.raw)}", err=True)
