"""The ``redaes`` command with all that it can do; a file beside this one holds each command."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from redaes.cli import apply, compare, demo, doctor, rank, score, serve
from redaes.cli.data import audit, build, explain, export, imports, inspect, series, validate
from redaes.cli.data import merge as merge_data
from redaes.cli.eval import benchmark, calibrate, leaks, probes, rationales
from redaes.cli.eval import compare as compare_runs
from redaes.cli.models import convert
from redaes.cli.several_words import SeveralWords
from redaes.cli.taste import learn, teach
from redaes.cli.train import build_nano, check, merge, stages
from redaes.training.stages import STAGES

COMMANDS: tuple[Callable[..., None], ...] = (
    compare.compare,
    score.score,
    rank.rank,
    apply.apply,
    doctor.doctor,
    demo.demo,
)
DATA: tuple[Callable[..., None], ...] = (build.build, inspect.inspect, validate.validate, export.export)
EVAL: dict[str, Callable[..., None]] = {
    "compare": compare_runs.compare,
    "rationales": rationales.rationales,
    "calibrate": calibrate.calibrate,
    "leaks": leaks.leaks,
}
"""What ``redaes eval`` can do besides running a benchmark and building probes."""
TRAIN: dict[str, Callable[..., None]] = {
    "nano-build": build_nano.build_nano,
    "check": check.check,
    "merge": merge.merge,
}
"""What ``redaes train`` can do besides training."""


class BenchmarkByDefault(TyperGroup):
    """Commands one of which, ``run``, need not be named: ``redaes eval ava`` is ``redaes eval run ava``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` before what is no command's name."""
        if (args and args[0] not in self.commands) or not (args or ctx.resilient_parsing):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete the options of ``run``, too."""
        return [*super().shell_complete(ctx, incomplete), *self.commands["run"].shell_complete(ctx, incomplete)]


app = typer.Typer(
    help="Say which of two pictures looks better, by how much, and why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # an error that is not ours is a bug, and its plain traceback is wanted
)
data = typer.Typer(
    help="Build, inspect, check, merge and export RED datasets, which are sets of labelled picture pairs.",
    no_args_is_help=True,
)
evaluation = typer.Typer(cls=BenchmarkByDefault, help=benchmark.run.__doc__)
training = typer.Typer()
taste = typer.Typer(no_args_is_help=True)
models = typer.Typer(help="Convert published weights into folders that the other commands accept.")


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


for _command in COMMANDS:
    app.command()(_command)
app.command(cls=serve.OwnVllm)(serve.serve)
for _command in DATA:
    data.command()(_command)
data.command("import")(imports.import_judgements)
data.command()(explain.explain)
for _command in (series.series, audit.audit, merge_data.merge):
    data.command(cls=SeveralWords)(_command)
_others = ", ".join(f"redaes eval {name}" for name in (*EVAL, "probes"))
evaluation.command("run", epilog=f"See also {_others}. Each of these commands explains itself with --help.")(
    benchmark.run
)
for _name, _function in EVAL.items():
    evaluation.command(_name)(_function)
evaluation.add_typer(probes.probes, name="probes")
app.add_typer(evaluation, name="eval")
app.add_typer(data, name="data")
training.callback(invoke_without_command=True, no_args_is_help=True)(stages.root)
_UNREAD = {"allow_extra_args": True, "ignore_unknown_options": True}
for _stage in STAGES.values():
    # The stage answers --help, too, with every option that it has.
    training.command(_stage.name, add_help_option=False, context_settings=_UNREAD)(stages.command_of(_stage))
for _name, _function in TRAIN.items():
    training.command(_name)(_function)
app.add_typer(training, name="train")


@models.callback(no_args_is_help=True)
def _models() -> None:
    """A group, although there is one command: without it typer would leave out its name."""


models.command("convert")(convert.convert_weights)
app.add_typer(models, name="models")


@taste.callback(no_args_is_help=True)
def _taste() -> None:
    """Ask one person which pictures they prefer, pair by pair, and train an adapter on the answers."""


taste.command("teach")(teach.teach)
taste.command("learn")(learn.learn)
app.add_typer(taste, name="taste")
