"""Options of a dry run: the processes and sharding that a run is planned for, and the rate from which its time is
estimated.

Nothing heavy is imported here: a script reads these options before it imports TRL.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

from redaes import recipe_files
from redaes.errors import TrainingError
from redaes.file_writing import read_yaml

Sharding = Literal["single", "ddp", "zero1", "zero2", "zero3"]


@dataclass
class DryRunArguments:
    """Options of a dry run. They are not part of a recipe."""

    dry_run: bool = field(
        default=False, metadata={"help": "Print what the run would need of memory and time, and write nothing."}
    )
    plan_for: str | None = field(
        default=None, metadata={"help": "The accelerate configuration to plan for: a name such as zero3, or a file."}
    )
    plan_processes: int | None = field(
        default=None,
        metadata={
            "help": "Number of processes (GPUs) to plan for. The default is that of the configuration, or else one."
        },
    )
    plan_batches: int = field(
        default=4, metadata={"help": "Number of batches of real rows from which lengths and memory are estimated."}
    )
    plan_json: bool = field(default=False, metadata={"help": "Print the estimate as JSON."})
    assume_tokens_per_s: float | None = field(
        default=None,
        metadata={
            "help": "Measured rate of all processes together, in text and picture tokens per second, to estimate the "
            "time with."
        },
    )
    assume_samples_per_s: float | None = field(
        default=None,
        metadata={
            "help": "Measured rate of all processes together, in rows per second (in stage 3, completions per "
            "second), to estimate the time with."
        },
    )


@dataclass(frozen=True)
class DryRunPlan:
    """The run that a dry run estimates."""

    arguments: DryRunArguments
    on_gpu: bool
    """The recipe's ``use_cpu: false``; whether there is a GPU here does not matter."""
    bf16: bool
    n_processes: int
    sharding: Sharding
    offload_optimizer: bool = False
    offload_weights: bool = False
    uses_vllm: bool = False
    scratch: tempfile.TemporaryDirectory[str] = field(
        default_factory=partial(tempfile.TemporaryDirectory, prefix="redaes-dry-run-"), repr=False, compare=False
    )
    """Temporary output folder, because trainers create their folder at once; it is removed with the plan."""

    @property
    def half_weights(self) -> bool:
        """Whether the frozen weights are bfloat16; see `redaes.training.stage_model.training_dtype`."""
        return self.on_gpu and self.bf16


_TRUE = ("true", "1", "yes", "y", "t")


def is_dry(argv: Sequence[str]) -> bool:
    """Return whether a command line asks for a dry run."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_flags(parser, "dry_run")
    return _is_true(parser.parse_known_args(list(argv))[0].dry_run)


def read_dry_run(argv: Sequence[str], recipe: Path) -> tuple[DryRunPlan | None, list[str]]:
    """Take a dry run's options out of a command line.

    Args:
        argv: the command line, without the program's name.
        recipe: the recipe that is read when ``argv`` names no ``--config``.

    Returns:
        The plan, or None if no dry run is asked for; and the rest of the command line.

    Raises:
        TrainingError: a value is impossible, or options of a dry run are given without ``--dry_run``.
        InputError: a recipe or a configuration cannot be read.
        SystemExit: in every process of a launched dry run but the first, which prints everything.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_flags(parser, "dry_run", "plan_json")
    for name, kind in (("plan_for", str), ("plan_processes", int), ("plan_batches", int)):
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", type=kind)
    for name in ("assume_tokens_per_s", "assume_samples_per_s"):
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", type=float)
    try:
        given, rest = parser.parse_known_args(list(argv))
    except SystemExit as error:
        raise TrainingError("an option of the dry run has an unusable value; see the line above") from error
    values = {name: value for name, value in vars(given).items() if value is not None}
    for name in ("dry_run", "plan_json"):
        values[name] = _is_true(values.get(name))
    arguments = DryRunArguments(**values)
    if not arguments.dry_run:
        named = [item.name for item in fields(arguments) if getattr(arguments, item.name) != item.default]
        if named:
            raise TrainingError(f"{', '.join(named)} works only in a dry run; add --dry_run, or leave it out")
        return None, rest
    for name in ("plan_processes", "plan_batches", "assume_tokens_per_s", "assume_samples_per_s"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise TrainingError(f"{name} is {value}; give a positive number")
    if os.environ.get("RANK", "0") != "0":
        sys.exit(0)
    launched = _launch(arguments, os.environ)
    wanted = _settings(rest, recipe)
    plan = DryRunPlan(
        arguments=arguments,
        on_gpu=not _is_true(wanted.get("use_cpu")),
        bf16=_is_true(wanted.get("bf16")),
        uses_vllm=_is_true(wanted.get("use_vllm")),
        **launched,
    )
    for name in list(os.environ):  # the estimate itself is made by one process on the CPU
        if name.startswith("ACCELERATE_") or name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
            del os.environ[name]
    return plan, rest


def _add_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options that may stand without a value, which is then true."""
    for name in names:
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", nargs="?", const="true")


def _is_true(value: Any) -> bool:
    return str(value).lower() in _TRUE


def _settings(argv: Sequence[str], recipe: Path) -> dict[str, Any]:
    """Return the settings that decide about number types, from recipe and command line."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path, default=recipe)
    _add_flags(parser, "use_cpu", "bf16", "use_vllm")
    given, _ = parser.parse_known_args(list(argv))
    said = {name: value for name, value in vars(given).items() if value is not None and name != "config"}
    return {**read_yaml(given.config), **said}


def _launch(arguments: DryRunArguments, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return processes and sharding: the named configuration's, else those that this process was launched with."""
    if arguments.plan_for is not None:
        file = read_yaml(recipe_files.find(arguments.plan_for, "accelerate"), "accelerate configuration")
        deepspeed = file.get("deepspeed_config") or {}
        stage = deepspeed.get("zero_stage") if file.get("distributed_type") == "DEEPSPEED" else None
        offloads = (deepspeed.get("offload_optimizer_device"), deepspeed.get("offload_param_device"))
        processes = file.get("num_processes", 1)
    else:
        used = environment.get("ACCELERATE_USE_DEEPSPEED") == "true"
        stage = environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2") if used else None
        offloads = (
            environment.get("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE"),
            environment.get("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE"),
        )
        processes = environment.get("WORLD_SIZE", "1")
    n_processes = arguments.plan_processes or int(processes)
    sharding: Sharding = "single" if n_processes == 1 else "ddp"
    if stage is not None and int(stage) > 0:
        sharding = {1: "zero1", 2: "zero2", 3: "zero3"}[int(stage)]  # type: ignore[assignment]
    off = [device not in (None, "", "none") for device in offloads]
    return {
        "n_processes": n_processes,
        "sharding": sharding,
        "offload_optimizer": off[0] and stage is not None,
        "offload_weights": off[1] and sharding == "zero3",
    }
