"""The settings that determine a run's result, kept in its folder and in each checkpoint: a run is not resumed with
others.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainingArguments

from redaes.errors import TrainingError
from redaes.file_writing import read_json
from redaes.training.checkpoints import SETTINGS, weights_option
from redaes.training.run_record import versions

_NOT_SETTINGS = frozenset(
    {
        "data", "output_dir", "logging_dir", "run_name", "local_rank", "ddp_backend", "disable_tqdm", "use_cpu",
        "objective", "plan", "hub_model_id", "report_to", "resume_from_checkpoint",
    }
)  # fmt: skip
"""Arguments that do not change what is learned, or that follow from the stage's name."""


_VERSIONS = "versions"
"""Key of the versions with which a run was begun; other versions are reported but not refused."""


_NEWER = frozenset({"prompts"})
"""Settings that runs of earlier versions of redaes do not have."""


_UNTIL_ADDED: Mapping[str, Any] = {
    "share_prompts": False, "short_question": False, "answers": True, "place_weight": 0.0, "matching_weight": 0.0,
    "matching_pictures": 8, "same_place_pixels": 0, "fast_antisymmetry_weight": 0.0, "fast_preference_weight": 0.0,
}  # fmt: skip
"""Values that such runs used before the setting existed."""


def run_settings(config: TrainingArguments, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that determine a run's result, as ``settings.json`` keeps them: the stage's and the
    trainer's.

    Raises:
        TrainingError: as for `processes_of`.
    """
    given = config.to_dict()
    now = {**settings, **plain(given), **_mappings(given), **processes_of(config)}
    now = {name: value for name, value in now.items() if name not in _NOT_SETTINGS}
    return {**now, _VERSIONS: versions()}


def refuse_other_settings(output_dir: Path, checkpoint: Path | None, now: Mapping[str, Any]) -> None:
    """Refuse a folder whose run was begun with other settings.

    Args:
        output_dir: output folder of the run.
        checkpoint: checkpoint from which the run would be resumed; None: it would start.
        now: the current settings, from `run_settings`.

    Raises:
        TrainingError: settings differ; the message names them and what to do.
    """
    file = _settings_of(output_dir, checkpoint)
    if file is None:
        return
    kept = read_json(file)
    added = {name: value for name, value in _UNTIL_ADDED.items() if name in now and name not in kept}
    before = {**added, **kept}
    changed = [name for name in {*before, *now} - {_VERSIONS} if before.get(name) != now.get(name)]
    if _same_batches(before, now):
        changed = [name for name in changed if name not in _SPLIT_OF_A_BATCH]
    changed = [name for name in changed if name in before or name not in _NEWER]
    _say_other_versions(output_dir, before.get(_VERSIONS), checkpoint)
    if changed:
        changes = ", ".join(f"{name}: {before.get(name)} -> {now.get(name)}" for name in sorted(changed))
        way_on = _way_on(before, now, changed, started=checkpoint is not None)
        if checkpoint is not None and added.keys() >= {*changed}:
            as_before = ", ".join(f"{name}: {str(added[name]).lower()}" for name in sorted(changed))
            way_on = f"an earlier version began it: set {as_before} to go on as it did, or {way_on}"
        raise TrainingError(f"{file.parent} holds a run with other settings ({changes}); {way_on}")


def _say_other_versions(output_dir: Path, before: Mapping[str, str] | None, checkpoint: Path | None) -> None:
    """Report when a run is resumed with other package versions than it began with: losses and answers may differ a
    little.
    """
    if before is None or checkpoint is None or not PartialState().is_main_process:
        return
    now = versions()
    other = [f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in sorted({*before, *now})
             if before.get(name) != now.get(name)]  # fmt: skip
    if other:
        sys.stderr.write(
            f"{output_dir}: the run goes on with other packages than it began with ({', '.join(other)}): not bit for "
            "bit as it would have been\n"
        )


def _settings_of(output_dir: Path, checkpoint: Path | None) -> Path | None:
    """Return the settings file of the run that is to be resumed: that of the checkpoint, which may be a copy from
    another run, comes first.

    Raises:
        TrainingError: a checkpoint has no settings file.
    """
    if checkpoint is not None and (checkpoint / SETTINGS).is_file():
        return checkpoint / SETTINGS
    if (output_dir / SETTINGS).is_file():
        return output_dir / SETTINGS
    if checkpoint is not None:
        raise TrainingError(
            f"{checkpoint} has no {SETTINGS}, nor has {output_dir}: with which settings it was trained is not known; "
            f"copy the {SETTINGS} of its run too, or give {weights_option(checkpoint)} and another output_dir to begin "
            "a new run from its weights"
        )
    return None


def processes_of(config: TrainingArguments) -> dict[str, Any]:
    """Return how many processes share a run and how. These are settings, because they determine the rows of a step.

    Raises:
        TrainingError: the stages do not support this kind of parallelism.
    """
    if config.n_gpu > 1:
        # The trainer would copy the model to each of them at every step (torch's DataParallel) and cut batches, and
        # ranking groups, between the copies.
        raise TrainingError(
            f"one process sees {config.n_gpu} GPUs: give --num_processes {config.n_gpu}, or show it one GPU: "
            "CUDA_VISIBLE_DEVICES=0"
        )
    if config.fsdp or os.environ.get("ACCELERATE_USE_FSDP") == "true":
        raise TrainingError(
            "FSDP is asked for, whose shared-out weights the checkpoints here do not gather: use DDP or DeepSpeed "
            "(--accelerate_config ddp, zero2, zero3)"
        )
    n_processes = config.world_size
    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    return {
        "n_processes": n_processes,
        "global_batch": n_processes * config.per_device_train_batch_size * config.gradient_accumulation_steps,
        "sharding": f"zero{os.environ.get('ACCELERATE_DEEPSPEED_ZERO_STAGE', '2')}" if deepspeed else "none",
    }


_SPLIT_OF_A_BATCH = frozenset({"n_processes", "per_device_train_batch_size", "gradient_accumulation_steps"})
"""Settings that distribute the rows of a step to processes and accumulated batches."""


def _same_batches(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a run sees the same rows in the same steps although they are distributed differently.

    Samplers order rows by seed and epoch alone and processes take turns, so only the number of rows in a step matters.
    This does not hold in stage 3 and FGAesQ, where whole groups and series go to one process, nor under DeepSpeed,
    whose checkpoints have one part for each process.
    """
    return (
        before.get("stage") in _ROWS_TAKEN_IN_TURN
        and before.get("global_batch") == now.get("global_batch")
        and before.get("sharding") == now.get("sharding") == "none"
    )


_ROWS_TAKEN_IN_TURN = ("stage1_sft", "stage2_align", "stage2_dpo")


def _way_on(before: Mapping[str, Any], now: Mapping[str, Any], changed: list[str], *, started: bool) -> str:
    """Return advice on what to do about changed settings."""
    if not started:
        return f"no checkpoint is lost: delete its {SETTINGS} if it is not running, or choose another output_dir"
    if "n_processes" in changed and before.get("sharding") == now["sharding"]:
        batch, n_before, n_now = before.get("global_batch"), before.get("n_processes"), now["n_processes"]
        alike = (
            before.get("stage") in _ROWS_TAKEN_IN_TURN
            and now["sharding"] == "none"
            and isinstance(batch, int)
            and batch % n_now == 0
        )
        other = (
            f", or make per_device_train_batch_size x gradient_accumulation_steps x {n_now} = {batch}, "
            "with which the same rows make a step"
            if alike
            else ""
        )
        again = f"{n_before} process{'' if n_before == 1 else 'es'}"
        return f"start it on {again} again{other}, or choose another output_dir"
    return "choose another output_dir"


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that JSON can represent, without None and empty lists."""
    plain = str | int | float | bool
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, plain) or (isinstance(value, list) and value and all(isinstance(v, plain) for v in value))
    }


def _mappings(values: dict[str, Any]) -> dict[str, str]:
    """Return the settings that are mappings, such as ``lr_scheduler_kwargs``, each as JSON text; empty ones are left
    out.
    """
    return {
        name: json.dumps(value, sort_keys=True, default=str)
        for name, value in values.items()
        if isinstance(value, dict) and value and name not in _MADE_BY_THE_TRAINER
    }


_MADE_BY_THE_TRAINER = frozenset({"accelerator_config", "fsdp_config", "parallelism_config"})
"""Mappings that transformers fills in itself; their relevant values are refused or are settings of their own."""
