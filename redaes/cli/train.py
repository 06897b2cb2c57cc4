"""``redaes train``: the stages, the embedded model's warm-ups, and what checks and merges their results.

A stage's options are its own and its trainer's, some two hundred, which a YAML recipe sets; the command line goes
before it. ``stages/*.py`` are the same commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from redaes import recipe_files
from redaes.cli.running import EXIT_INPUT, reporting_errors
from redaes.errors import importing
from redaes.training.stages import STAGES, Stage, stage_of

train = typer.Typer(help="The stages, the embedded model's warm-ups; check and merge what they leave.")


def run_stage(name: str, argv: Sequence[str]) -> None:
    """Run a stage as its command line says, in this process or in several that are started for it.

    Args:
        name: one of `redaes.training.stages.STAGES`.
        argv: its options, without the program's name.

    Raises:
        RedaesError: what cannot be right, as the stages say.
        SystemExit: ``--help`` was answered, a package is absent, or one of several processes failed.
    """
    from redaes.training.dry_run.plan import is_dry
    from redaes.training.launching import launch, read_launch

    if "--list" in argv:
        _list_recipes(STAGES[name])
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
    if getattr(arguments, "plan", None) is None:
        typer.echo(f"{stage.title} finished: {result}")


def _take_samples(stage: Stage, arguments: Any, config: Any) -> None:
    """Where no data are named, small ones are made of the sample photographs."""
    from redaes.datagen.sample_data import ensure_sample_dataset, ensure_sample_series

    if stage.samples == "pairs":
        arguments.data = arguments.data or str(ensure_sample_dataset(Path("runs/sample_pairs")))
    elif stage.samples == "series" and arguments.series is None:
        with config.main_process_first(local=False):
            series, coarse = ensure_sample_series(Path(str(config.output_dir)) / "sample_series")
        arguments.series, arguments.coarse = str(series), arguments.coarse or str(coarse)


def _list_recipes(*stages: Stage) -> None:
    """A line for each recipe, under the command that takes it, and for each way to share the work out."""
    for stage in stages:
        typer.echo(f"redaes train {stage.name} --config …")
        for name in stage.recipe_names:
            short = name.removeprefix(f"{stage.recipes}_")
            typer.echo(f"  {short:16} {recipe_files.headline('stages', name)}")
    typer.echo("--accelerate_config …")
    for name in recipe_files.names("accelerate"):
        typer.echo(f"  {name:16} {recipe_files.headline('accelerate', name)}")


@train.callback(invoke_without_command=True, no_args_is_help=True)
def _root(
    list_: Annotated[
        bool, typer.Option("--list", help="Show the recipes and the launch configurations, and stop.")
    ] = False,
) -> None:
    if list_:
        _list_recipes(*STAGES.values())
        raise typer.Exit


def _add(stage: Stage) -> None:
    """The stage as a command that hands its options on unread."""

    def run(context: typer.Context) -> None:
        with reporting_errors():
            run_stage(stage.name, context.args)

    train.command(
        stage.name,
        help=stage.about.partition("\n")[0],
        add_help_option=False,  # the stage answers it, with every option
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(run)


for _stage in STAGES.values():
    _add(_stage)


@train.command("nano-build")
def nano_build(
    data: Annotated[Path, typer.Option(help="RED dataset folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
) -> None:
    """Build the embedded model with random weights, its tokenizer trained on a RED dataset's texts.

    LoRA on random weights learns nothing. So the result is warmed up by full training, vision tower included: first
    nano-vision, then nano-reading (docs/training.md).
    """
    with reporting_errors():
        from redaes.early_checks import check_dataset, check_writable

        check_dataset(data)
        check_writable(out)
        from redaes.models.nano.builder import build
        from redaes.models.nano.corpus import corpus

        build(out, corpus(data), seed=seed)
    typer.echo(f"built: {out}")


@train.command("check")
def check(
    final: Annotated[Path, typer.Argument(help="A stage's final/ folder.")],
    data: Annotated[Path, typer.Option(help="RED dataset folder of the training.")],
    merged: Annotated[Path | None, typer.Option(help="Folder with the merged model; default: merge in memory.")] = None,
    pairs: Annotated[int, typer.Option(help="Held-out pairs to answer in full.")] = 32,
) -> None:
    """Check a stage's result: it loads as it was trained, merges without change, and still has language.

    Ends with 2 when a check fails.
    """
    with reporting_errors():
        from redaes.early_checks import check_dataset, check_exists, check_result_folder

        check_result_folder(final)
        check_dataset(data)
        if merged is not None:
            check_exists(merged)
        with importing("train"):
            from redaes.training.result_checks import check_result

        checks = check_result(final, data, n_pairs=pairs, merged=merged)
    for found in checks:
        typer.echo(f"{'ok    ' if found.passed else 'FAILED'} {found.name}: {found.found}")
    if not all(found.passed for found in checks):
        raise typer.Exit(EXIT_INPUT)


@train.command("merge")
def merge(
    adapter: Annotated[Path, typer.Argument(help="A stage's final/ folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the model; must not exist.")],
    model: Annotated[str | None, typer.Option(help="Base model; default: the one that the adapter names.")] = None,
    float32: Annotated[bool, typer.Option("--float32", help="Write float32; default: as the base is stored.")] = False,
) -> None:
    """Merge a stage's LoRA into its base model: one folder for transformers, vLLM and redaes compare --model."""
    with reporting_errors():
        from redaes.early_checks import check_adapter, check_model, check_writable

        check_adapter(str(adapter))
        check_writable(out.parent)
        if model is not None:
            check_model(model)
        with importing("train"):
            from redaes.training.merging import merge as merge_adapter

        result = merge_adapter(adapter, out, model=model, in_float32=float32)
    typer.echo(f"merged: {result}")
