"""``redaes eval leaks``: pictures of a benchmark in training sets."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_writable
from redaes.errors import importing

N_SHOWN = 20
"""Pictures that are named in the terminal; the report names all."""

EXIT_LEAKS = 1


def leaks(
    training: Annotated[list[Path], typer.Argument(help="One or more folders of RED datasets or of photographs.")],
    benchmark: Annotated[str, typer.Option(help="Name of the benchmark; redaes eval --list shows all names.")],
    data: Annotated[Path, typer.Option(help="Folder of the benchmark, or its label file.")],
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of the benchmark's pictures, if they are not in their usual place.")
    ] = None,
    max_distance: Annotated[
        int | None,
        typer.Option(
            help="Largest number of bits, of 64, by which the perceptual hashes of two copies may differ. The "
            "default is 6."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="JSON file for the report.")] = Path("leaks.json"),
) -> None:
    """Search training sets for pictures of a benchmark, and name those that are found.

    Identical files are found, and copies that were scaled, recompressed or brightened, but not crops or mirror images.
    The exit status is 1 if any picture is found.
    """
    with reporting_errors():
        for place in training:
            check_exists(place)
        check_writable(out.parent)
        with importing("eval"):
            from redaes.evaluation.benchmarks import load
            from redaes.evaluation.leaks import MAX_DISTANCE, find_leaks, training_pictures
            from redaes.file_writing import write_json

        loaded = load(benchmark, data, pictures=pictures, scratch=out.with_suffix(".pictures"))
        absent = set(loaded.missing)
        files = dict.fromkeys(picture.file for picture in loaded.labels.pictures if picture.file not in absent)
        report = find_leaks(
            ((name, loaded.pictures / name) for name in files),
            itertools.chain.from_iterable(training_pictures(place) for place in training),
            max_distance=MAX_DISTANCE if max_distance is None else max_distance,
        )
        write_json(out, report.model_dump(mode="json"))
        typer.echo(
            f"{report.n_benchmark} pictures of {loaded.benchmark.title} were compared with {report.n_training} "
            f"training pictures: {len({leak.benchmark for leak in report.leaks})} may be in the training set, "
            f"{len(report.unreadable)} are unreadable, {len(absent)} are missing; see {out}"
        )
        for leak in report.leaks[:N_SHOWN]:
            how = "same file" if leak.same_bytes else f"{leak.distance} bits"
            typer.echo(f"  {leak.benchmark} = {leak.training} ({how})")
    if report.leaks:
        raise typer.Exit(EXIT_LEAKS)
