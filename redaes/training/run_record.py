"""Data of a run record with which a result can be reproduced: versions, machine and command."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from redaes.cores import usable_cores

PACKAGES = ("redaes", "torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "datasets", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Return the versions of the relevant packages that are installed."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an optional package that is absent is not part of the run
    return found


def environment() -> dict[str, Any]:
    """Return the versions of the relevant packages, the interpreter, the machine and the command line."""
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "usable_cores": usable_cores()},
        "command": without_secrets([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
    }


def without_secrets(words: Sequence[str]) -> list[str]:
    """Return a command line without the values of options that end in ``token``, because records go to the hub.

    >>> without_secrets(["stage.py", "--hub_token", "hf_1", "--hub-token=hf_1", "--seed", "1"])
    ['stage.py', '--hub_token', '***', '--hub-token=***', '--seed', '1']
    """
    shown: list[str] = []
    hidden = False
    for word in words:
        name, given, _ = word.partition("=")
        secret = name.startswith("--") and name.endswith("token")
        shown.append("***" if hidden else f"{name}=***" if secret and given else word)
        hidden = secret and not given
    return shown


_RATES = ("train_samples_per_second", "train_steps_per_second")
_ROUNDING = 0.002
"""Decimals to which transformers rounds rates (three) and seconds (four)."""


def of_the_whole_run(
    metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]], began_at: int, ended_at: int, loss_sum: float
) -> dict[str, Any]:
    """Return the trainer's final figures, corrected for a run that was resumed or ended early.

    Some versions of transformers divide the losses since the resume by the number of all steps, and the number of
    planned steps by the seconds since the resume.

    Args:
        metrics: the figures of transformers.
        history: log entries, including the losses before the resume.
        began_at: step of the checkpoint from which the run was resumed; 0: it was not.
        ended_at: last step of the run.
        loss_sum: sum of the losses of the steps since the resume.

    Returns:
        The figures. ``train_loss`` is the mean over all steps except those between the last log before a checkpoint and
        the checkpoint, whose losses are lost; rates are those of the steps since the resume.

    >>> of_the_whole_run({"train_loss": 1.0, "train_runtime": 1.0}, [{"step": 2, "loss": 5.0}], 2, 4, 4.0)
    {'train_loss': 3.5, 'train_runtime': 1.0}
    """
    done = ended_at - began_at
    found = dict(metrics)
    if found.get("train_runtime") and found.get("train_steps_per_second"):
        rate, said = done / found["train_runtime"], found["train_steps_per_second"]
        if abs(rate - said) > _ROUNDING:
            # The number of samples a step is the same in the stated and in the true rate.
            for name in _RATES:
                if name in found:
                    found[name] = round(found[name] * rate / said, 3)
    if "train_loss" in found:
        total, n, last = loss_sum, done, 0
        for entry in history:
            if "loss" in entry and entry["step"] <= began_at:
                total += entry["loss"] * (entry["step"] - last)
                n += entry["step"] - last
                last = entry["step"]
        if n:
            found["train_loss"] = total / n
    return found
