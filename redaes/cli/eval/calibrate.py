"""``redaes eval calibrate``: how far a model's probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.cli import loading
from redaes.cli.options import Adapter, Device, Model
from redaes.cli.progress import progress_bars
from redaes.cli.running import reporting_errors
from redaes.early_checks import check_exists, check_judge, check_writable
from redaes.errors import InputError, importing
from redaes.models import nano

if TYPE_CHECKING:
    from redaes.backends.temperatures import Temperature
    from redaes.evaluation.confidence import CalibrationGroup


def calibrate(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder of labelled pairs with a pairs.csv, for example one that benchmarks/other_edits.py writes."
        ),
    ],
    model: Model = nano.NAME,
    adapter: Adapter = None,
    device: Device = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="The mode to calibrate: fast or reasoned. The option may be repeated. The default is both."),
    ] = None,
    says: Annotated[
        str | None,
        typer.Option(help="A short description of the pairs for the report. The default is the folder's name."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for answers.jsonl and report.json.")] = Path("runs/calibration"),
    write: Annotated[
        bool, typer.Option("--write", help="Write calibration.json next to the weights, where every command finds it.")
    ] = False,
) -> None:
    """Calibrate a model's probabilities on pairs whose better picture is known.

    The folder contains pictures that the model was not trained on, and pairs.csv with the columns first, second, p (1
    or 0), group (the photograph) and, for the tables, factor and kind. For each mode, one temperature is fitted on half
    of the photographs and reported on the other half. With --write, it is written next to the weights (of the adapter,
    if there is one) and used whenever the model is loaded. See docs/confidence.md.
    """
    with reporting_errors():
        check_exists(data)
        check_judge(model, adapter)
        check_writable(out)
        with importing("eval"):
            from redaes.assessor import known_mode
            from redaes.backends.temperatures import write_temperatures
            from redaes.evaluation.confidence import ask, fit_half
            from redaes.file_writing import write_json
            from redaes.label_files.contents import read_rows

        modes = [known_mode(name) for name in mode or ("fast", "reasoned")]
        rows = read_rows(data / "pairs.csv", ("first", "second", "p", "group"))
        place = _place_of(model, adapter) if write else None
        backend = loading.load_model(model, adapter, device, batch_size=16)
        found: list[Temperature] = []
        report = {}
        out.mkdir(parents=True, exist_ok=True)
        with (out / "answers.jsonl").open("w", encoding="utf-8") as file:
            for way in modes:
                answers = []
                work = f"{way}: pairs"
                with progress_bars(work) as update:
                    for answer in ask(backend, data, rows, way, partial(update, work)):
                        answers.append(answer)
                        file.write(answer.model_dump_json() + "\n")
                temperature, tables = fit_half(answers, backend, way, says or data.name)
                found.append(temperature)
                report[way] = {name: group.model_dump(mode="json") for name, group in tables.items()}
                _show(temperature, tables)
        write_json(out / "report.json", {"temperatures": [one.as_json() for one in found], "groups": report})
        if place is not None:
            typer.echo(f"written to {write_temperatures(place, found)}")


def _place_of(model: str, adapter: Path | None) -> Path:
    """The folder beside whose weights the file belongs.

    Raises:
        InputError: the weights lie in no folder here.
    """
    if adapter is not None:
        return adapter
    place = nano.weights(model) if model in nano.NAMES else Path(model)
    if not place.is_dir():
        raise InputError(
            f"{model} is not a folder on this machine, and --write needs one; download the model and give its folder "
            "as --model"
        )
    return place


def _show(temperature: Temperature, tables: Mapping[str, CalibrationGroup]) -> None:
    typer.echo(
        f"{temperature.mode}: temperature {temperature.temperature:.2f}, probabilities up to "
        f"{temperature.ceiling:.2f}, from {temperature.n_pairs} pairs of {temperature.n_photographs} photographs"
    )
    typer.echo(f"{'':22} {'n':>5} {'claimed':>8} {'right':>22} {'ECE':>6} {'above 95 %':>12} {'undecided, tie':>15}")
    for name, one in tables.items():
        numbers = (one.claimed, one.right, one.low, one.high, one.ece)
        claimed, right, low, high, ece = ("-" if value is None else f"{value:.3f}" for value in numbers)
        sure = f"{one.n_sure_right} of {one.n_sure}"
        typer.echo(
            f"{name:22} {one.n:5} {claimed:>8} {right:>6} [{low:>6}, {high:>6}] {ece:>6} {sure:>12} {one.n_not:>15}"
        )
