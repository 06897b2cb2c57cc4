"""``redaes eval``: an assessor over a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.cli.options import ApiKeyEnv, Endpoint
from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.cli.tables import plain_console, table_of
from redaes.early_checks import check_exists, check_writable
from redaes.errors import InputError, importing

if TYPE_CHECKING:
    from rich.table import Table

    from redaes.estimates import Estimate
    from redaes.evaluation.runner import RunResults, RunTiming

ASSESSORS = (
    "vlm, vlm_pairs, vlm_placed, vlm_letter, vlm_tournament, fgaesq, fgaesq_series, endpoint, endpoint_pairs, csv, "
    "pyiqa or baseline"
)


def run(
    context: typer.Context,
    benchmark: Annotated[str, typer.Argument(help="Name of the benchmark; --list shows all names.")] = "",
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the benchmark, or its label file.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the run. The same command continues an interrupted run.")
    ] = Path("runs/eval"),
    assessor: Annotated[
        str | None,
        typer.Option(
            help=f"The assessor to run: {ASSESSORS}. The default is vlm, or vlm_pairs for benchmarks of pairs."
        ),
    ] = None,
    endpoint: Endpoint = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model to ask, a shorter form of --option model=…. With --endpoint, give the model's name on that "
            "server."
        ),
    ] = None,
    api_key_env: ApiKeyEnv = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Set an option of the assessor, for example mode=fast. The option may be repeated.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures. The default is the layout in which the benchmark is published."),
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="The references that single pictures are compared with: informative (chosen among the benchmark's "
            "own pictures by the model's answers), a folder, or a reference set that redaes score --save wrote. "
            "The default is a random draw from the benchmark's own pictures, and informative for vlm_placed.",
        ),
    ] = None,
    n_references: Annotated[
        int | None,
        typer.Option(
            help="Number of references taken from the benchmark's own pictures. The default is 8 if they are drawn at "
            "random and 32 if they are informative."
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(help="Number of candidates among which informative references are chosen. The default is 64."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of these random choices. The default is 0.")] = None,
    max_pixels: Annotated[
        int | None, typer.Option(help="Largest area of a picture in pixels; larger pictures are reduced to it.")
    ] = None,
    allow_missing: Annotated[
        bool | None,
        typer.Option(
            "--allow-missing", help="Continue without pictures that are missing. The report gives their number."
        ),
    ] = None,
    ranks: Annotated[
        bool | None,
        typer.Option(
            "--ranks", help="For FGAesthetics: the values in the label file are ranks, of which 1 is the best."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of processes that ask the assessor.")] = 1,
    shard: Annotated[
        str,
        typer.Option(
            help="Run only part k of n, given as k/n and counted from 0, to divide the work between n machines."
        ),
    ] = "0/1",
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML recipe, given as a file or by the name of one that is included in redaes. Options on the "
            "command line override it."
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print the available benchmarks and exit.")] = False,
) -> None:
    """Evaluate an assessor on a public benchmark, or on labels of your own."""
    with reporting_errors(resumable=True):
        if list_:
            _list_benchmarks()
            return
        if not benchmark or data is None:
            raise InputError("give the name of a benchmark (--list shows all names) and its folder as --data")
        for place in (pictures, references):
            if place is not None and place != "informative":
                check_exists(Path(place))
        check_writable(out)
        options = parse_options(option or [])
        for name, value in (("model", model), ("api_key_env", api_key_env)):
            if value is not None:
                if name in options:
                    raise InputError(
                        f"--{name.replace('_', '-')} means the same as --option {name}=…; give only one of them"
                    )
                options[name] = value
        given = {
            "benchmark": benchmark,
            "data": data,
            "assessor": assessor,
            "options": options,
            "pictures": pictures,
            "references": references,
            "n_references": n_references,
            "candidates": candidates,
            "seed": seed,
            "max_pixels": max_pixels,
            "allow_missing": allow_missing,
            "ranks": ranks,
        }
        with importing("eval"):
            from redaes.evaluation.eval_recipe import ask_endpoint, make_spec
            from redaes.evaluation.runner import read_timing
            from redaes.evaluation.runner import run as run_benchmark

        spec = make_spec(config, given)
        if endpoint:
            told = context.get_parameter_source("endpoint")
            spec = ask_endpoint(spec, endpoint, only_if_free=told is not None and told.name == "ENVIRONMENT")
        work = f"{spec.assessor} on {spec.benchmark}"
        with progress_bars(work) as update:
            results = run_benchmark(
                spec,
                out,
                workers=workers,
                shard=parse_shard(shard),
                progress=partial(update, work),
                choosing=partial(update, "ranking candidates for references"),
            )
        console = plain_console(soft_wrap=True)
        if results is None:
            console.print(f"this shard is finished; the results in {out} will be complete when all shards are")
        else:
            console.print(results_table(results, out))
            console.print(in_words(results, read_timing(out)))


def _list_benchmarks() -> None:
    """Print every benchmark with where it comes from."""
    with importing("eval"):
        from redaes.evaluation.benchmarks import BENCHMARKS

    table = table_of("name", "benchmark", "labels from", "licence", title="benchmarks")
    for benchmark in BENCHMARKS.values():
        table.add_row(benchmark.name, benchmark.title, benchmark.source, benchmark.licence)
    plain_console().print(table)


def parse_options(given: Sequence[str]) -> dict[str, str]:
    """``["model=x", …]`` as a mapping.

    >>> parse_options(["model=nano", "mode=fast"])
    {'model': 'nano', 'mode': 'fast'}

    Raises:
        InputError: something without ``=``, or a name that comes twice.
    """
    options: dict[str, str] = {}
    for text in given:
        name, found, value = text.partition("=")
        if not found or not name or name in options:
            raise InputError(
                f"--option {text!r} is not of the form NAME=VALUE with each name given once; for example, --option "
                "mode=fast"
            )
        options[name] = value
    return options


def parse_shard(text: str) -> tuple[int, int]:
    """``"0/4"`` as (0, 4).

    Raises:
        InputError: it is something else.
    """
    first, found, second = text.partition("/")
    if not found or not first.isdecimal() or not second.isdecimal():
        raise InputError(f"--shard is {text!r}; give k/n, for example 0/4")
    return int(first), int(second)


def results_table(results: RunResults, out: Path) -> Table:
    """The metrics of a run."""
    table = table_of("metric", "value", "95 % interval", "over", title=f"{results.run['title']}: {out}")
    for name, metric in results.summary.metrics.items():
        table.add_row(name, *shown(metric))
    return table


def shown(metric: Estimate) -> tuple[str, str, str]:
    """Value, interval and number of a metric, to be read."""
    value = "undefined" if metric.value is None else f"{metric.value:.4f}"
    interval = "" if metric.low is None or metric.high is None else f"[{metric.low:.4f}, {metric.high:.4f}]"
    return value, interval, str(metric.n)


def in_words(results: RunResults, timing: RunTiming) -> str:
    """What else a reader of the numbers must know."""
    summary, identity = results.summary, results.run["identity"]
    lines = [
        f"{identity['model']} @ {identity['revision']}; labels {results.run['labels_sha256'][:12]}",
        f"{summary.n_questions} questions, {summary.n_failed} without a usable answer"
        + "".join(f"; {count} x {reason}" for reason, count in summary.failures.items()),
    ]
    if summary.n_calls:
        silent = f", {summary.n_unanswered} without a usable answer" if summary.n_unanswered else ""
        lines.append(f"{summary.n_calls} questions to the model{silent}, about {summary.n_questions} pictures")
    if results.run.get("reference_set"):
        lines.append("references: " + "{name}, ranked with {n_calls} questions".format(**results.run["reference_set"]))
    if summary.n_missing:
        lines.append(f"{summary.n_missing} pictures are missing, so these are not the numbers of the whole benchmark")
    if summary.n_unlabelled:
        lines.append(f"{summary.n_unlabelled} listed pictures have no label and are not counted")
    if summary.n_contrary:
        lines.append(
            f"{summary.n_contrary} pairs have a label that contradicts the order of their series; they are counted as "
            "labelled"
        )
    if timing.milliseconds_per_question is not None:
        tokens = f", {timing.tokens} tokens" if timing.tokens else ""
        lines.append(f"{timing.milliseconds_per_question:.1f} ms per question{tokens}")
    lines += [f"note: {note}" for note in results.run["notes"]]
    return "\n".join(lines)
