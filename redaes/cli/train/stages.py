"""``redaes train sft`` and the other stages, and the list of their recipes.

A stage's options are its own and its trainer's, some two hundred, which a YAML recipe sets; the command line goes
before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from redaes import recipe_files
from redaes.cli.running import reporting_errors
from redaes.training.stages import STAGES, Stage, stage_of


def command_of(stage: Stage) -> Callable[..., None]:
    """The stage as a command that hands its options on unread."""

    def run(context: typer.Context) -> None:
        with reporting_errors():
            run_stage(stage.name, context.args)

    run.__doc__ = stage.about.partition("\n")[0]
    return run


def run_stage(name: str, argv: Sequence[str]) -> None:
    """Run a stage as its command line says, in this process or in several that are started for it.

    Args:
        name: one of `redaes.training.stages.STAGES`.
        argv: its options, without the program's name.

    Raises:
        RedaesError: what cannot be right, as the stages say.
        SystemExit: ``--help`` was answered, or one of several processes failed.
    """
    from redaes.training.dry_run.plan import is_dry
    from redaes.training.launching import launch, read_launch

    if "--list" in argv:
        _show_recipes(STAGES[name])
        return
    launched, rest = read_launch(argv)
    stage, words = stage_of(name, rest)
    if launched.asked and is_dry(words):  # it says what the processes would need, and starts none
        words += launched.as_plan()
    elif launched.asked:
        launch(launched, ["train", stage.name, *words], stage.check(words))
        return
    arguments, config = stage.parse(words)
    _take_samples(stage, arguments, config)
    result = stage.train(arguments, config)
    if getattr(arguments, "plan", None) is None and config.process_index == 0:  # one of several speaks
        typer.echo(f"{stage.title} finished: {result}")
        if stage.can_be_planned:
            typer.echo("next, for example:")
            for command in stage.after(words, arguments.data, arguments.model, result):
                typer.echo(f"  {command}")


def _take_samples(stage: Stage, arguments: Any, config: Any) -> None:
    """Where no data are named, small ones are made of the sample photographs."""
    from redaes.datagen.sample_data import ensure_sample_dataset, ensure_sample_series

    if stage.samples == "pairs":
        arguments.data = arguments.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    elif stage.samples == "series" and arguments.series is None:
        with config.main_process_first(local=False):
            series, coarse = ensure_sample_series(Path(str(config.output_dir)) / "sample_series")
        arguments.series, arguments.coarse = str(series), arguments.coarse or str(coarse)


def root(
    list_: Annotated[
        bool, typer.Option("--list", help="Print the recipes and the launch configurations, and exit.")
    ] = False,
) -> None:
    """Train: run a stage or a warm-up of the embedded model, or check or merge the result of a stage."""
    if list_:
        _show_recipes(*STAGES.values())
        raise typer.Exit


def _show_recipes(*stages: Stage) -> None:
    """A line for each recipe, under the command that takes it, and for each way to share the work out."""
    for stage in stages:
        typer.echo(f"redaes train {stage.name} --config …")
        for name in stage.recipe_names:
            short = name.removeprefix(f"{stage.recipes}_")
            typer.echo(f"  {short:16} {recipe_files.headline('stages', name)}")
    typer.echo("--accelerate_config …")
    for name in recipe_files.names("accelerate"):
        typer.echo(f"  {name:16} {recipe_files.headline('accelerate', name)}")
