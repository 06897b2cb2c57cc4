"""What every stage does before and after training: arguments, model, LoRA, checkpoints, result folder."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    PreTrainedModel,
    ProcessorMixin,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations import is_deepspeed_zero3_enabled

from redaes import nano, prompts
from redaes.backends.loading import load_adapter, load_network, load_processor, model_folder
from redaes.errors import RecordError, TrainingError
from redaes.hub import push
from redaes.records import data_hash, read_json, write_atomically, write_json
from redaes.training.card import model_card
from redaes.training.checks import probe
from redaes.training.cpu import use_float32_attention, without_imitated_bfloat16
from redaes.training.run_record import environment

LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""Linear layers of the language model alone: the bare names also match Qwen2.5-VL's vision tower."""

_NOT_SETTINGS = frozenset(
    {
        "data", "output_dir", "logging_dir", "run_name", "local_rank", "ddp_backend", "disable_tqdm", "use_cpu",
        "objective", "repository", "hub_model_id", "report_to",
    }
)  # fmt: skip
"""Arguments that do not change what is learned, or that the stage's name tells already."""

FINAL = "final"
"""Folder of a stage's result inside its output folder."""


@dataclass
class StageArguments:
    """What a stage needs besides its trainer's own arguments."""

    data: str | None = field(
        default=None, metadata={"help": "RED dataset folder; without one, a small one is built from samples"}
    )
    model: str = field(default=nano.BASE, metadata={"help": f"base model: folder, hub name or {nano.BASE}"})
    adapter: str | None = field(default=None, metadata={"help": "LoRA adapter to go on from (an earlier stage's)"})
    full_training: bool = field(
        default=False, metadata={"help": "train all weights, vision tower included, instead of LoRA (warm-up)"}
    )
    lora_r: int = field(default=16, metadata={"help": "LoRA rank"})
    lora_alpha: int = field(default=32, metadata={"help": "LoRA alpha"})
    lora_dropout: float = field(default=0.0, metadata={"help": "LoRA dropout"})
    max_pixels: int | None = field(default=None, metadata={"help": "cap on a picture's area; None: the processor's"})
    leave_out: list[str] = field(
        default_factory=list,
        metadata={"help": "edits never to train on, to see how far learning carries"},
    )
    repository: str | None = field(default=None, init=False)
    """Where on the hub the result goes: hub_model_id, when push_to_hub is set."""

    def check(self) -> None:
        """Refuse impossible settings before anything is loaded.

        Raises:
            TrainingError: names the setting, its value and the remedy.
        """
        if self.full_training and self.adapter:
            raise TrainingError(f"full_training trains no LoRA: drop adapter {self.adapter!r} or full_training")
        if self.lora_r < 1 or self.lora_alpha < 1 or not 0 <= self.lora_dropout < 1:
            raise TrainingError(
                f"LoRA rank {self.lora_r}, alpha {self.lora_alpha}, dropout {self.lora_dropout}: "
                "rank and alpha must be at least 1, dropout in [0, 1)"
            )
        if self.adapter and not (Path(self.adapter) / "adapter_config.json").is_file():
            raise TrainingError(f"adapter {self.adapter!r} has no adapter_config.json; give a stage's final/ folder")

    @property
    def data_folder(self) -> Path:
        """The dataset, which the door has seen to by now."""
        if self.data is None:
            raise TrainingError("no dataset: give --data DIR")
        return Path(self.data)


def base_processor(arguments: StageArguments) -> ProcessorMixin:
    """The base model's processor, with the pixel cap."""
    return load_processor(model_folder(arguments.model), arguments.max_pixels)


def load_model(arguments: StageArguments, dtype: torch.dtype) -> PreTrainedModel | PeftModel:
    """The model to train: with a fresh LoRA, with an earlier stage's, or all of it."""
    model = load_network(model_folder(arguments.model), dtype)
    if not torch.cuda.is_available():
        use_float32_attention(model)
    if arguments.full_training:
        return model
    # peft keeps a LoRA in float32 on weights of fewer bits; ZeRO-3 gathers both together and needs one number type.
    autocast = not is_deepspeed_zero3_enabled()
    if arguments.adapter:
        return load_adapter(model, Path(arguments.adapter), trainable=True, autocast_adapter_dtype=autocast)
    config = LoraConfig(
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=LORA_TARGETS,
        task_type="CAUSAL_LM",
        base_model_name_or_path=arguments.model,
    )
    return get_peft_model(model, config, autocast_adapter_dtype=autocast)


def training_dtype(arguments: TrainingArguments) -> torch.dtype:
    """Weights are float32 on a CPU (autocast does the rest), bfloat16 where ``bf16`` is asked for on a GPU."""
    return torch.bfloat16 if arguments.bf16 and not arguments.use_cpu and torch.cuda.is_available() else torch.float32


def _restore_numbered_cpu(storage: Any, location: str) -> Any:
    return storage if location.startswith("cpu:") else None


# Several processes on a CPU call their device "cpu:0", which torch cannot load an optimizer's state to.
torch.serialization.register_package(100, lambda _storage: None, _restore_numbered_cpu)


def last_complete_checkpoint(output_dir: Path) -> str | None:
    """The newest checkpoint that was written whole.

    ``trainer_state.json`` is the last file that the trainer writes, so a folder without a readable one was
    cut off. Such a folder is left alone here, for every process of a run looks; see `remove_cut_off`.
    """
    complete = [(step, folder) for folder, step in _checkpoints(output_dir).items() if step is not None]
    return str(max(complete)[1]) if complete else None


def remove_cut_off(output_dir: Path) -> None:
    """Delete checkpoints that were not written whole. For one process of a run only: two would race."""
    for folder, step in _checkpoints(output_dir).items():
        if step is None:
            shutil.rmtree(folder)


def _checkpoints(output_dir: Path) -> dict[Path, int | None]:
    """Checkpoint folders and the step of each; None: cut off."""
    found: dict[Path, int | None] = {}
    for folder in output_dir.glob("checkpoint-*"):
        number = folder.name.removeprefix("checkpoint-")
        if not number.isdigit():
            continue
        try:
            state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
            found[folder] = state["global_step"]
        except (OSError, json.JSONDecodeError, KeyError):
            found[folder] = None
    return found


def claim(stage: str, arguments: StageArguments, config: TrainingArguments) -> Path | None:
    """Take an output folder for a run, or find in it the same run's result.

    Returns:
        The result when the run is finished already, otherwise None.

    Raises:
        RecordError: no dataset, or an output folder that cannot be written to.
        TrainingError: the folder holds a run with other settings.
    """
    arguments.check()
    check_data(arguments)
    settings = {
        "stage": stage,
        "data_hash": data_hash(arguments.data_folder),
        **vars(arguments),
    }
    finished = claim_folder(config, settings)
    if finished is not None:
        _publish(finished, arguments)
    return finished


def claim_folder(config: TrainingArguments, settings: dict[str, Any]) -> Path | None:
    """As :func:`claim`, for a run whose settings, besides the trainer's, are given."""
    without_imitated_bfloat16(config)
    output_dir = Path(str(config.output_dir))
    settings = {
        **settings,
        **_plain(config.to_dict()),
    }
    settings = {name: value for name, value in settings.items() if name not in _NOT_SETTINGS}
    file = output_dir / "settings.json"
    if file.exists():
        before = read_json(file)
        changed = sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))
        if changed:
            changes = ", ".join(f"{name}: {before.get(name)} -> {settings.get(name)}" for name in changed)
            raise TrainingError(f"{output_dir} holds a run with other settings ({changes}); choose another output_dir")
    write_json(file, settings)
    final = output_dir / FINAL
    # The run record is written last.
    return final if (final / "run_record.json").is_file() else None


class StopWhenNotFinite(TrainerCallback):
    """Ends a run at the first logged loss that is no number: what follows would be lost time."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Called by the trainer, in every process.

        Raises:
            TrainingError: the loss is NaN or infinite.
        """
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {state.global_step}; lower learning_rate ({args.learning_rate}) "
                f"and choose another output_dir than {args.output_dir}"
            )


def train(
    stage: str,
    trainer: Trainer,
    processor: ProcessorMixin,
    arguments: StageArguments,
    measure: Callable[[], dict[str, Any]] = dict,
    result_model: Callable[[], PreTrainedModel] | None = None,
) -> Path:
    """Run a trainer, going on from its last whole checkpoint, and leave the result in ``final/``.

    Args:
        stage: name for the record.
        trainer: ready to go.
        processor: saved beside a fully trained model.
        arguments: the stage's.
        measure: further figures for the record, taken after training, before ``result_model``.
        result_model: makes the model to save, after training, in one process; None: the trainer's own.

    Returns:
        The folder ``final/``: adapter (or model), ``prompts.json``, ``trainer_state.json``, ``run_record.json``.

    Raises:
        TrainingError: the loss became non-finite.
    """
    about, result = run_trainer(trainer)
    final = Path(str(trainer.args.output_dir)) / FINAL
    probed = None
    if result_model is None:
        # Without the autocast that the trainer wraps around the model: whoever loads the result has none.
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
        probed = probe(model, processor, arguments.data_folder)
        trainer.save_model(str(final))
    if trainer.is_world_process_zero():
        metrics = {**result, **measure()}
        if result_model is not None:
            result_model().save_pretrained(final)
        processor.save_pretrained(final)
        if not arguments.full_training:
            _name_base_model(final, arguments.model)
        prompt_ids = {name: prompts.load(name).id for name in sorted(prompts.names())}
        write_json(final / "prompts.json", prompt_ids)
        trainer.state.save_to_json(str(final / "trainer_state.json"))
        record = {
            "stage": stage,
            "arguments": vars(arguments),
            "data_hash": data_hash(arguments.data_folder),
            **about,
            "metrics": metrics,
            "probe": probed,
            **environment(),
        }
        on_hub = arguments.model not in nano.NAMES and not Path(arguments.model).is_dir()
        card = model_card(record, prompt_ids, trainer.state.log_history, base_on_hub=on_hub)
        write_atomically(final / "README.md", card.encode())
        write_json(final / "run_record.json", record)
    trainer.accelerator.wait_for_everyone()
    _publish(final, arguments)
    return final


def _publish(final: Path, arguments: StageArguments) -> None:
    """Upload a result where the arguments ask for it, from one process."""
    if arguments.repository is not None and PartialState().is_main_process:
        sys.stdout.write(f"uploaded: {push(final, arguments.repository, 'model')}\n")


def run_trainer(trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train, going on from the last checkpoint that was written whole.

    Returns:
        What a run record says of the run, and the trainer's metrics.

    Raises:
        TrainingError: the loss became non-finite.
    """
    output_dir = Path(str(trainer.args.output_dir))
    if trainer.is_world_process_zero():
        remove_cut_off(output_dir)
    trainer.accelerator.wait_for_everyone()
    checkpoint = last_complete_checkpoint(output_dir)
    started = time.time()
    trainer.args.logging_nan_inf_filter = False  # it would log the mean of the other steps in place of a NaN
    trainer.add_callback(StopWhenNotFinite())
    result = trainer.train(resume_from_checkpoint=checkpoint)
    about = {
        "training_arguments": _plain(trainer.args.to_dict()),
        "seed": trainer.args.seed,
        "resumed_from": checkpoint,
        "seconds": round(time.time() - started, 1),
    }
    return about, dict(result.metrics)


def _name_base_model(final: Path, model: str) -> None:
    """Write the base model's name instead of its folder: folders differ between machines."""
    path = final / "adapter_config.json"
    config = read_json(path)
    config["base_model_name_or_path"] = model
    write_json(path, config)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Settings that JSON can hold and that differ from nothing: None and empty lists are left out."""
    plain = str | int | float | bool
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, plain) or (isinstance(value, list) and value and all(isinstance(v, plain) for v in value))
    }


def check_data(arguments: StageArguments) -> None:
    """Fail early, and by name, when the dataset is not one.

    Raises:
        RecordError: no RED dataset there.
    """
    if not (arguments.data_folder / "data").is_dir():
        raise RecordError(f"{arguments.data} is not a RED dataset (no data/ in it); see data_gen/build_pairs.py")
