"""What decides about a run's result, kept beside it and in each checkpoint: nothing goes on with other settings."""

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
"""Arguments that do not change what is learned, or that the stage's name tells already."""


_VERSIONS = "versions"
"""In a run's settings, what it was begun with; another version is said, and not refused."""


_NEWER = frozenset({"prompts"})
"""Settings that runs do not have which an earlier version began."""


_UNTIL_ADDED: Mapping[str, Any] = {
    "share_prompts": False, "short_question": False, "answers": True, "place_weight": 0.0, "matching_weight": 0.0,
    "matching_pictures": 8, "same_place_pixels": 0, "fast_antisymmetry_weight": 0.0, "fast_preference_weight": 0.0,
}  # fmt: skip
"""What runs did that were begun before there was a setting for it."""


def run_settings(config: TrainingArguments, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides about a run's result, as ``settings.json`` keeps it: the stage's own and the trainer's.

    Raises:
        TrainingError: as `processes_of` says.
    """
    given = config.to_dict()
    now = {**settings, **plain(given), **_mappings(given), **processes_of(config)}
    now = {name: value for name, value in now.items() if name not in _NOT_SETTINGS}
    return {**now, _VERSIONS: versions()}


def refuse_other_settings(output_dir: Path, checkpoint: Path | None, now: Mapping[str, Any]) -> None:
    """Refuse a folder whose run was begun with other settings.

    Args:
        output_dir: of the run.
        checkpoint: where it would go on from; None: it would start.
        now: of `run_settings`.

    Raises:
        TrainingError: names what differs, and the way on.
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
    """Say where a run goes on with other packages than it began with: losses and answers may differ a little."""
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
    """What the run was begun with that is to go on: its checkpoint knows best, which may be another run's copy.

    Raises:
        TrainingError: a checkpoint of which nobody knows.
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
    """How many processes share a run and how: settings, for they decide which rows make a step.

    Raises:
        TrainingError: in a way that the stages do not know.
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
"""How the rows of a step are dealt out to processes and accumulated batches."""


def _same_batches(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a run sees the same rows in the same steps although they are dealt out otherwise.

    Samplers order rows by seed and epoch alone and processes take turns, so the number of rows in a step is all that
    counts. Not so in stage 3 and FGAesQ, where whole groups and series go to one process, nor under DeepSpeed, whose
    checkpoints are in as many parts as there were processes.
    """
    return (
        before.get("stage") in _ROWS_TAKEN_IN_TURN
        and before.get("global_batch") == now.get("global_batch")
        and before.get("sharding") == now.get("sharding") == "none"
    )


_ROWS_TAKEN_IN_TURN = ("stage1_sft", "stage2_align", "stage2_dpo")


def _way_on(before: Mapping[str, Any], now: Mapping[str, Any], changed: list[str], *, started: bool) -> str:
    """What to do about settings that have changed."""
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
    """Settings that JSON can hold and that differ from nothing: None and empty lists are left out."""
    plain = str | int | float | bool
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, plain) or (isinstance(value, list) and value and all(isinstance(v, plain) for v in value))
    }


def _mappings(values: dict[str, Any]) -> dict[str, str]:
    """Settings that are mappings, such as ``lr_scheduler_kwargs``, each as JSON; empty ones are left out."""
    return {
        name: json.dumps(value, sort_keys=True, default=str)
        for name, value in values.items()
        if isinstance(value, dict) and value and name not in _MADE_BY_THE_TRAINER
    }


_MADE_BY_THE_TRAINER = frozenset({"accelerator_config", "fsdp_config", "parallelism_config"})
"""Mappings that transformers fills in itself; what counts of them is refused or stands in the settings."""
