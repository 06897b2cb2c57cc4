"""How ``redaes train --num_processes`` ends, on a launcher of accelerate that is made to end so."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess

import accelerate.commands.launch
import pytest

from redaes import cores
from redaes.cores import THREADS
from redaes.errors import TrainingError
from redaes.training.launching import LaunchArguments, launch


def _ends(how: str) -> Exception:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    killed = ProcessFailure(local_rank=1, pid=1, exitcode=-signal.SIGKILL, error_file="none")
    return {
        "refused": subprocess.CalledProcessError(2, "redaes"),
        "killed": subprocess.CalledProcessError(-signal.SIGKILL, "redaes"),
        "a rank was killed": ChildFailedError("redaes", {1: killed}),
        "the launcher was ended": SignalException("ended", signal.SIGTERM),
        "no such port": ConnectionError("port 1 is taken"),
    }[how]


@pytest.mark.parametrize(
    ("how", "code"), [("refused", 2), ("killed", 137), ("a rank was killed", 137), ("the launcher was ended", 143)]
)
def test_a_launch_ends_as_its_processes_did(how: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise _ends(how)

    monkeypatch.setattr(accelerate.commands.launch, "launch_command", fails)
    with pytest.raises(SystemExit) as ended:
        launch(LaunchArguments(num_processes=2), ["train", "sft"], {"use_cpu": True})
    assert ended.value.code == code


def test_what_the_launcher_refuses_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        assert os.environ.get("ACCELERATE_USE_CPU") is None
        raise _ends("no such port")

    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(accelerate.commands.launch, "launch_command", fails)
    with pytest.raises(TrainingError, match="accelerate cannot start these processes: port 1 is taken"):
        launch(LaunchArguments(num_processes=2), ["train", "sft"], {})


@pytest.mark.parametrize("use_cpu", [True, "true", "1"])
def test_processes_on_a_cpu_are_told_so(use_cpu: object, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str | None, list[str]]] = []

    def starts(told: argparse.Namespace) -> None:
        seen.append((os.environ.get("ACCELERATE_USE_CPU"), [told.training_script, *told.training_script_args]))

    monkeypatch.setattr(accelerate.commands.launch, "launch_command", starts)
    launch(LaunchArguments(num_processes=2), ["train", "sft", "--seed", "1"], {"use_cpu": use_cpu})
    assert seen == [("true", ["redaes", "train", "sft", "--seed", "1"])]


def test_processes_share_the_cores_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str | None] = []
    monkeypatch.setattr(accelerate.commands.launch, "launch_command", lambda _: threads.append(os.environ.get(THREADS)))
    monkeypatch.setattr(cores, "usable_cores", lambda: 12)
    monkeypatch.setenv(THREADS, "12")  # as prepare_threads leaves it in a container
    monkeypatch.setattr(cores, "_threads_said", False)
    launch(LaunchArguments(num_processes=3), ["train", "sft"], {"use_cpu": True})
    launch(LaunchArguments(num_processes=8, num_machines=2, machine_rank=0), ["train", "sft"], {})
    monkeypatch.setattr(cores, "_threads_said", True)
    launch(LaunchArguments(num_processes=3), ["train", "sft"], {"use_cpu": True})
    assert threads == ["4", "3", "12"]
