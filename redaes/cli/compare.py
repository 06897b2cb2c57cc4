"""``redaes compare``: which of two pictures is better."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.assessing.words import printable
from redaes.cli import loading
from redaes.cli.options import (
    Adapter,
    Agreement,
    ApiKeyEnv,
    Constrain,
    Device,
    Endpoint,
    ModelOrServed,
    NoService,
    Verbose,
)
from redaes.cli.running import EXIT_NO_ANSWER, quiet, reporting_errors
from redaes.cli.spinner import Spinner
from redaes.errors import InputError

MOST_SHOWN = 2000
"""Characters that are shown of an answer that could not be read."""

if TYPE_CHECKING:
    from redaes.assessor import Result


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="The first picture file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The second picture file.")],
    model: ModelOrServed = None,
    endpoint: Endpoint = None,
    api_key_env: ApiKeyEnv = None,
    agreement: Agreement = None,
    adapter: Adapter = None,
    mode: Annotated[
        str,
        typer.Option(
            help="How the model answers: reasoned gives the winner, the difference in points and the reasons; fast "
            "gives only the winner and its probability, and is much quicker."
        ),
    ] = "reasoned",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")] = False,
    device: Device = None,
    reader: Annotated[
        str | None,
        typer.Option(
            help="How strictly answers are read: strict accepts only the answer form; lenient also accepts "
            "unambiguous variants of it, for models that were not trained on the form.",
            show_default="strict for models trained on the form, lenient for others",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            help="The form in which the model is asked to answer: text, json, or auto, which means text for models "
            "that were trained on it and json for others."
        ),
    ] = "auto",
    samples: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Sample N more rationales and show the one that the measurements support best. The verdict does not "
            "change.",
        ),
    ] = 0,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Measure both pictures and check the statements of the rationale against the measurements.",
        ),
    ] = True,
    constrain: Constrain = None,
    measured: Annotated[
        bool,
        typer.Option(
            "--measured", help="Include the measurements of both pictures, as figures, in the question to the model."
        ),
    ] = False,
    no_service: NoService = False,
    verbose: Verbose = False,
) -> None:
    """Say which of two pictures looks better, by how much, and why."""
    # redaes.cli.main has asked the service, before anything of this was imported.
    del no_service, verbose
    chosen = loading.ModelChoice(model, adapter, device, endpoint, api_key_env, agreement, constrain)
    with reporting_errors(as_json), Spinner(f"loading {chosen.shown}") as spinner:
        from redaes import prompts
        from redaes.assessor import Assessor, check_samples, known_mode
        from redaes.backends.forms import known_form
        from redaes.images import load_image
        from redaes.lenient import known_reader

        # What costs little is checked before a model is loaded.
        chosen.check()
        way, asked_as = known_mode(mode), known_form(form)
        read_by = None if reader is None else known_reader(reader)
        check_samples(samples, way)
        if samples and not check:
            raise InputError(
                "--samples chooses a rationale by its measurements, which --no-check turns off; leave --no-check out"
            )
        pair = load_image(first), load_image(second)
        with quiet():
            prompt = prompts.MEASURED[way] if measured else None
            assessor = Assessor(
                chosen.load(reader=read_by),
                mode=way,
                prompt=prompt,
                reader=read_by,
                form=asked_as,
                agreement=agreement or 0,
            )
            spinner.doing = "comparing"
            (result,) = assessor.compare_many([pair], check=check, samples=samples)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    if result.failure is not None:
        _say_no_answer(result)
        raise typer.Exit(EXIT_NO_ANSWER)
    if not as_json:
        from redaes.assessing.terminal import show

        show(result)


def _say_no_answer(result: Result) -> None:
    typer.echo(f"redaes: {result.model} gave no usable answer ({result.failure}). It wrote:", err=True)
    for comparison in result.comparisons:
        more = len(comparison.raw) - MOST_SHOWN
        end = f" … and {more:,} more characters; --json prints all of them" if more > 0 else ""
        typer.echo(f"--- {comparison.order}\n{printable(comparison.raw[:MOST_SHOWN])}{end}", err=True)
