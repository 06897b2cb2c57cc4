"""Read a command line and a YAML recipe into checked arguments."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

from transformers import TrainingArguments
from trl import TrlParser

from redaes.early_checks import apart
from redaes.errors import InputError, MissingDependency, TrainingError
from redaes.file_writing import read_yaml
from redaes.hub import check_repository
from redaes.training.dry_run.plan import read_dry_run
from redaes.training.dry_run.report import instead_of_a_run
from redaes.training.overrides import with_what_follows
from redaes.training.refused_settings import ALIGNMENT, refuse_what_spoils
from redaes.training.stage_arguments import StageArguments
from redaes.training.validation_pairs import ValidationArguments, check_settings, refuse_validation

ConfigT = TypeVar("ConfigT", bound=TrainingArguments)


class Arguments(Protocol):
    """A dataclass with the arguments of a stage besides its trainer's own."""

    def check(self) -> None:
        """Refuse impossible settings before anything is loaded."""


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def parse(config_class: type[ConfigT], recipe: Path, argv: Sequence[str]) -> tuple[StageArguments, ConfigT]:
    """Read a stage's arguments, as :func:`parse_with` does.

    ``--dry_run`` and what belongs to it (`redaes.training.dry_run.plan.DryRunArguments`) make ``stage.plan``.

    Raises:
        InputError: a dry run has no dataset, and would have to build one.
    """
    plan, argv = read_dry_run(argv, recipe)
    if plan is not None:
        argv = instead_of_a_run(argv, config_class, plan.scratch.name)
    stage, config = parse_with(StageArguments, config_class, recipe, argv)
    refuse_what_spoils(config, ALIGNMENT)  # the stages' own configuration classes have checked more
    check_settings(stage, config)
    if plan is not None:
        if stage.data is None:
            raise InputError(
                "a dry run needs a dataset and builds none: give --data DIR, which redaes data build makes"
            )
        stage.plan = plan
    if config.push_to_hub:
        check_repository(config.hub_model_id or "")
    return stage, config


def parse_with(
    arguments_class: type[ArgumentsT], config_class: type[ConfigT], recipe: Path, argv: Sequence[str]
) -> tuple[ArgumentsT, ConfigT]:
    """Read a stage's arguments: ``--config FILE`` (or the default recipe), then the command line over it.

    Args:
        arguments_class: class of the stage's arguments.
        config_class: class of the trainer's arguments.
        recipe: the recipe that is used when ``argv`` names no ``--config``.
        argv: the command line, without the program's name.

    Raises:
        InputError: a recipe is missing, is not a YAML mapping, or has unknown keys.
        TrainingError: no training can use a value, or settings would silently have no effect.
        MissingDependency: a package that the settings need is absent.
    """
    argv = apart(argv)
    if "--config" not in argv:
        argv = ["--config", str(recipe), *argv]
    position = argv.index("--config") + 1
    if position == len(argv):
        raise InputError("--config needs a file")
    _check_keys(Path(argv[position]), (arguments_class, config_class))
    _name_locks()
    argv = with_what_follows(argv, read_yaml(Path(argv[position])))
    # With argparse's full usage, the message about a missing value would come after hundreds of lines of options.
    parser = TrlParser((arguments_class, config_class), usage="%(prog)s [--config RECIPE] [--option VALUE ...]")
    try:
        arguments, config = parser.parse_args_and_config(argv)
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{argv[position]}: {error}") from error
    for values in (arguments, config):
        _check_finite(values)
    arguments.check()
    refuse_what_spoils(config)
    if not isinstance(arguments, ValidationArguments):
        refuse_validation(config, f"a training with {arguments_class.__name__}")
    _check_surroundings(config)
    return arguments, config


TRACKERS = ("tensorboard", "trackio", "wandb")
"""Trackers that ``report_to`` may name; each is an extra and a module of the same name."""


def _check_surroundings(config: TrainingArguments) -> None:
    """Check what the trainers would only find out after the model is loaded, or never report."""
    if config.use_cpu and os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        raise TrainingError(
            "use_cpu is true, and DeepSpeed would be left out without a word: set use_cpu: false; for DeepSpeed on a "
            "CPU also DS_ACCELERATOR=cpu in the environment, bf16: false and ddp_backend: gloo"
        )
    for tracker in set(config.report_to) & set(TRACKERS):
        if find_spec(tracker) is None:
            raise MissingDependency(tracker, tracker)
    if config.use_liger_kernel and find_spec("liger_kernel") is None:
        raise MissingDependency("liger-kernel", "liger")


def _name_locks() -> None:
    """Report the lock of a killed compilation, for which DeepSpeed would silently wait for ever.

    The file does not show whether the compilation was killed, so nothing is deleted here.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true" or os.environ.get("LOCAL_RANK", "0") != "0":
        return
    from torch.utils.cpp_extension import get_default_build_root  # this import takes 0.25 s

    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    for lock in sorted(folder.rglob("lock")):
        try:
            minutes = (time.time() - lock.stat().st_mtime) / 60
        except FileNotFoundError:
            continue  # it is being compiled at this moment
        sys.stderr.write(
            f"{lock}: somebody has compiled there for {minutes:.0f} minutes, and DeepSpeed will wait for them; "
            "if it was a run that was killed, delete this file\n"
        )


def _check_keys(recipe: Path, classes: tuple[type, ...]) -> None:
    """Refuse unknown keys of a recipe; TRL's parser names them only in a long dump, without the file."""
    values = read_yaml(recipe)
    known = {item.name for cls in classes for item in dataclasses.fields(cls)}
    unknown = sorted(str(key) for key in values if key not in known and key != "env")
    if unknown:
        raise InputError(f"recipe {recipe} has unknown keys: {', '.join(unknown)}; correct or remove them")


def _check_finite(arguments: Any) -> None:
    for item in dataclasses.fields(arguments):
        value = getattr(arguments, item.name)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise TrainingError(f"{item.name} is {number}; give a finite number")
