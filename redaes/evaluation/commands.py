"""What ``redaes eval`` and ``eval/run_benchmark.py`` do, with progress and a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from redaes.errors import InputError
from redaes.estimates import Estimate
from redaes.evaluation.benchmarks import BENCHMARKS
from redaes.evaluation.runner import RunResults, RunSpec, RunTiming, read_timing, run


def run_benchmark(spec: RunSpec, out: Path, *, workers: int = 1, shard: tuple[int, int] = (0, 1)) -> RunResults | None:
    """Run, and print the numbers.

    Raises:
        RedaesError: as :func:`redaes.evaluation.runner.run` does.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(f"{spec.assessor} on {spec.benchmark}", total=None)
        results = run(
            spec,
            out,
            workers=workers,
            shard=shard,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if results is None:
        console.print(f"this shard is done; {out} waits for the others")
    else:
        console.print(results_table(results, out))
        console.print(in_words(results, read_timing(out)))
    return results


def list_benchmarks() -> None:
    """Print every benchmark with where it comes from."""
    table = Table("name", "benchmark", "labels from", "licence", title="benchmarks", title_justify="left")
    for benchmark in BENCHMARKS.values():
        table.add_row(benchmark.name, benchmark.title, benchmark.source, benchmark.licence)
    Console(highlight=False, markup=False).print(table)


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
    table = Table(
        "metric", "value", "95 % interval", "over", title=f"{results.run['title']}: {out}", title_justify="left"
    )
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
    if summary.n_missing:
        lines.append(f"{summary.n_missing} pictures are missing: these are not the numbers of the whole benchmark")
    if summary.n_unlabelled:
        lines.append(f"{summary.n_unlabelled} listed pictures have no label and do not count")
    if timing.milliseconds_per_question is not None:
        tokens = f", {timing.tokens} tokens" if timing.tokens else ""
        lines.append(f"{timing.milliseconds_per_question:.1f} ms per question{tokens}")
    lines += [f"note: {note}" for note in results.run["notes"]]
    return "\n".join(lines)
