"""Start several processes with one command; the options and the launcher are accelerate's.

Nothing heavy is imported before a launch begins.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from redaes import recipe_files
from redaes.cores import threads_of_each
from redaes.errors import InputError, TrainingError, importing
from redaes.file_writing import read_yaml


@dataclass(frozen=True)
class LaunchArguments:
    """Options that start processes. They are not part of a recipe."""

    num_processes: int | None = field(
        default=None,
        metadata={
            "help": "Number of processes (usually GPUs) to start, counted over all machines. By default, the "
            "command trains in its own process."
        },
    )
    accelerate_config: str | None = field(
        default=None,
        metadata={
            "help": "How the processes share the work: the name of a configuration, such as ddp, zero2 or zero3 "
            "(redaes train --list shows all), or an accelerate configuration file."
        },
    )
    num_machines: int | None = field(
        default=None, metadata={"help": "Number of machines. Give the same command on each of them."}
    )
    machine_rank: int | None = field(default=None, metadata={"help": "Rank of this machine, counted from 0."})
    main_process_ip: str | None = field(default=None, metadata={"help": "Network address of the first machine."})
    main_process_port: int | None = field(
        default=None, metadata={"help": "Port on the first machine. A run on one machine takes any free port."}
    )

    @property
    def asked(self) -> bool:
        """Whether several processes are to be started."""
        return any(getattr(self, item.name) is not None for item in fields(self))

    def as_plan(self) -> list[str]:
        """Return the options of `redaes.training.dry_run.plan.DryRunArguments` that plan the same launch without
        starting it.
        """
        plan = [] if self.accelerate_config is None else ["--plan_for", self.accelerate_config]
        return plan if self.num_processes is None else [*plan, "--plan_processes", str(self.num_processes)]


def read_launch(argv: Sequence[str]) -> tuple[LaunchArguments, list[str]]:
    """Take the options of a launch out of a command line.

    Args:
        argv: the command line, without the program's name.

    Returns:
        The options, and the rest of the command line.

    Raises:
        InputError: a value is impossible, a configuration is unknown, or a launched process would launch again.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for item in fields(LaunchArguments):
        kind = int if "int" in str(item.type) else str
        parser.add_argument(f"--{item.name}", f"--{item.name.replace('_', '-')}", dest=item.name, type=kind)
    try:
        given, rest = parser.parse_known_args(list(argv))
    except SystemExit as error:
        raise InputError("an option that starts processes has an unusable value; see the line above") from error
    arguments = LaunchArguments(**vars(given))
    if not arguments.asked:
        return arguments, rest
    for name in ("num_processes", "num_machines"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; give a positive number")
    if {"LOCAL_RANK", "ACCELERATE_MIXED_PRECISION"} & os.environ.keys():
        raise InputError(
            "this process was itself started by a launcher; leave --num_processes and the other launch options out, "
            "or start the command directly"
        )
    return arguments, rest


def launcher_words(arguments: LaunchArguments, *, on_cpu: bool) -> list[str]:
    """Return the arguments of accelerate's launcher that precede the command.

    Raises:
        InputError: the configuration is unknown, or starts a single process although several are asked for.
    """
    file, values = _configuration(arguments, on_cpu=on_cpu)
    n_processes = _n_processes(arguments, values)
    if n_processes > 1 and values.get("distributed_type") == "NO":
        raise InputError(
            f"{file} starts one process, but {n_processes} were asked for; leave --accelerate_config out, or give "
            "--accelerate_config ddp"
        )
    words = ["--config_file", str(file)]
    for item in fields(arguments):
        value = getattr(arguments, item.name)
        if value is not None and item.name != "accelerate_config":
            words += [f"--{item.name}", str(value)]
    n_machines = arguments.num_machines or values.get("num_machines", 1)
    if n_machines == 1 and arguments.main_process_port is None:
        words += ["--main_process_port", "0"]  # any free port: another run may use accelerate's usual one
    return words


def _configuration(arguments: LaunchArguments, *, on_cpu: bool) -> tuple[Path, dict[str, Any]]:
    alone = arguments.num_processes == 1
    usual = ("cpu" if on_cpu else "single_gpu") if alone else "ddp"
    file = recipe_files.find(arguments.accelerate_config or usual, "accelerate")
    return file, read_yaml(file, "accelerate configuration")


def _n_processes(arguments: LaunchArguments, configured: Mapping[str, Any]) -> int:
    return arguments.num_processes or int(configured.get("num_processes") or 1)


def _processes_here(arguments: LaunchArguments, *, on_cpu: bool) -> int:
    """Return how many of all processes run on this machine."""
    _, configured = _configuration(arguments, on_cpu=on_cpu)
    n_machines = arguments.num_machines or int(configured.get("num_machines") or 1)
    return math.ceil(_n_processes(arguments, configured) / n_machines)


def launch(arguments: LaunchArguments, command: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Start the processes, and wait for them.

    Args:
        arguments: the number and kind of the processes.
        command: the command of each process: the arguments of ``python -m redaes``.
        settings: settings of the run, of which ``use_cpu`` matters here.

    Raises:
        InputError: as for `launcher_words`.
        TrainingError: accelerate cannot start such processes.
        SystemExit: a process failed, after it printed why; with its exit code.
    """
    on_cpu = str(settings.get("use_cpu")).lower() in ("true", "1")
    words = launcher_words(arguments, on_cpu=on_cpu)
    with importing("train"):
        from accelerate.commands.launch import launch_command, launch_command_parser
        from accelerate.utils import patch_environment
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    surroundings = threads_of_each(_processes_here(arguments, on_cpu=on_cpu))
    if on_cpu:
        surroundings["ACCELERATE_USE_CPU"] = "true"  # its launcher of several processes expects GPUs
    try:
        with patch_environment(**surroundings):
            launch_command(launch_command_parser().parse_args([*words, "--module", "redaes", *command]))
    except ChildFailedError as error:
        sys.exit(_status(error.get_first_failure()[1].exitcode))
    except subprocess.CalledProcessError as error:
        sys.exit(_status(error.returncode))
    except SignalException as error:
        sys.exit(_status(-error.sigval))
    except (ValueError, ConnectionError) as error:
        raise TrainingError(f"accelerate cannot start these processes: {error}") from error


def _status(code: int) -> int:
    """Return an exit status as shells count it; Python counts a signal as a negative number."""
    return code if code >= 0 else 128 - code
