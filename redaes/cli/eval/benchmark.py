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
    benchmark: Annotated[str, typer.Argument(help="Name of a benchmark; see --list.")] = "",
    data: Annotated[Path | None, typer.Option("--data", help="The benchmark's folder, or its label file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on with it.")] = Path("runs/eval"),
    assessor: Annotated[
        str | None, typer.Option(help=f"{ASSESSORS}; default: vlm, and vlm_pairs for benchmarks of pairs.")
    ] = None,
    endpoint: Endpoint = None,
    model: Annotated[
        str | None, typer.Option(help="The model: --option model=…; with --endpoint its name there.")
    ] = None,
    api_key_env: ApiKeyEnv = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the assessor, such as model=…; may be repeated."),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; default: where their owners put them.")
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="For scores, what pictures are compared with: informative (chosen among the benchmark's own by what "
            "the model's answers about them tell), a folder, or a file that redaes score --save wrote; default: some "
            "of the benchmark's own, drawn, and informative for vlm_placed.",
        ),
    ] = None,
    n_references: Annotated[
        int | None,
        typer.Option(help="How many of the benchmark's own are references; default: 8 drawn ones, 32 informative."),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(help="Pictures that informative references are chosen among; default: 64."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed by which all these are drawn; default: 0.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Largest area that is shown, in pixels.")] = None,
    allow_missing: Annotated[
        bool | None, typer.Option("--allow-missing", help="Go on without pictures that are missing.")
    ] = None,
    ranks: Annotated[
        bool | None,
        typer.Option("--ranks", help="FGAesthetics: the values in the label file are ranks, 1 the best."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that answer.")] = 1,
    shard: Annotated[str, typer.Option(help="k/n: only this part, on one of n machines.")] = "0/1",
    config: Annotated[
        Path | None,
        typer.Option(help="YAML recipe, or the name of one that comes with redaes; the options go before it."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the benchmarks and stop.")] = False,
) -> None:
    """Run an assessor over a public benchmark, or over labels of your own."""
    with reporting_errors(resumable=True):
        if list_:
            _list_benchmarks()
            return
        if not benchmark or data is None:
            raise InputError("name a benchmark (see --list) and its folder with --data")
        for place in (pictures, references):
            if place is not None and place != "informative":
                check_exists(Path(place))
        check_writable(out)
        options = parse_options(option or [])
        for name, value in (("model", model), ("api_key_env", api_key_env)):
            if value is not None:
                if name in options:
                    raise InputError(f"--{name.replace('_', '-')} is --option {name}=…; give one of them")
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
            console.print(f"this shard is done; {out} waits for the others")
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
            raise InputError(f"option {text!r}: give name=value, each name once")
        options[name] = value
    return options


def parse_shard(text: str) -> tuple[int, int]:
    """``"0/4"`` as (0, 4).

    Raises:
        InputError: it is something else.
    """
    first, found, second = text.partition("/")
    if not found or not first.isdecimal() or not second.isdecimal():
        raise InputError(f"shard is {text!r}; give k/n, such as 0/4")
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
        lines.append(f"{summary.n_calls} questions to the model{silent}, for {summary.n_questions} pictures")
    if results.run.get("reference_set"):
        lines.append("references: " + "{name}, ranked with {n_calls} questions".format(**results.run["reference_set"]))
    if summary.n_missing:
        lines.append(f"{summary.n_missing} pictures are missing: these are not the numbers of the whole benchmark")
    if summary.n_unlabelled:
        lines.append(f"{summary.n_unlabelled} listed pictures have no label and do not count")
    if summary.n_contrary:
        lines.append(
            f"{summary.n_contrary} pairs are labelled against the order of their series, and count as labelled"
        )
    if timing.milliseconds_per_question is not None:
        tokens = f", {timing.tokens} tokens" if timing.tokens else ""
        lines.append(f"{timing.milliseconds_per_question:.1f} ms per question{tokens}")
    lines += [f"note: {note}" for note in results.run["notes"]]
    return "\n".join(lines)
