"""Checkpoints that contain exactly the trained weights, verified at every save and resume.

Libraries can lose weights silently at a resume. TRL's GRPO and DPO trainers keep a second adapter beside the policy;
peft saves both, and transformers then loads the second one alone. transformers loads a whole model by the names in the
file, which for Qwen2.5-VL differ from those in memory, and ignores missing weights. So here only the policy is saved,
it is loaded by its own name, and it is compared with the file after every save and every resume.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import deepspeed as integration
from transformers.integrations import is_deepspeed_zero3_enabled

from redaes.backends.loading import first_line, load_network
from redaes.errors import RecordError, TrainingError
from redaes.file_writing import write_json

POLICY = "default"
"""peft's name of the adapter that is trained; TRL calls its copy for the reference model ``ref``."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"
SETTINGS = "settings.json"
"""File with the settings of a run, in its output folder and in each of its checkpoints."""

WEIGHTS = "model.safetensors"
"""File name of a model's weights if they are one file."""

_TRAINER_STATE = "trainer_state.json"
_SCHEDULE = "scheduler.pt"
_OPTIMIZER = ("optimizer.pt", "optimizer.bin", "optimizer_0", "global_step*")
"""Files with an optimizer's state: the trainer's own, FSDP's two forms and DeepSpeed's."""


def _restore_numbered_cpu(storage: Any, location: str) -> Any:
    return storage if location.startswith("cpu:") else None


# Several processes on a CPU call their device "cpu:0", which torch cannot load an optimizer's state to.
torch.serialization.register_package(100, lambda _storage: None, _restore_numbered_cpu)


def checkpoint_step(folder: Path) -> int | None:
    """Return the step of a checkpoint; None: the checkpoint was not written completely, or the folder is not one.

    ``trainer_state.json`` is the last file that the trainer writes, so a folder without a readable one is incomplete.
    """
    try:
        step = json.loads((folder / _TRAINER_STATE).read_text(encoding="utf-8"))["global_step"]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) else None


def has_ended(checkpoint: Path) -> bool:
    """Return whether a complete checkpoint is that of the last step of its run."""
    state = json.loads((checkpoint / _TRAINER_STATE).read_text(encoding="utf-8"))
    return 0 < state.get("max_steps", 0) <= state["global_step"]


def _checkpoints(output_dir: Path) -> dict[Path, int | None]:
    """Return the checkpoint folders and the step of each; None: incomplete."""
    folders = (
        folder for folder in output_dir.glob("checkpoint-*") if folder.name.removeprefix("checkpoint-").isdigit()
    )
    return {folder: checkpoint_step(folder) for folder in folders}


def last_complete_checkpoint(output_dir: Path) -> Path | None:
    """Return the newest complete checkpoint.

    Incomplete ones are not deleted here, because every process of a run calls this; see `remove_cut_off`.
    """
    complete = [(step, folder) for folder, step in _checkpoints(output_dir).items() if step is not None]
    return max(complete)[1] if complete else None


def remove_cut_off(output_dir: Path) -> None:
    """Delete incomplete checkpoints. Only one process of a run may call this: two would race."""
    for folder, step in _checkpoints(output_dir).items():
        if step is None:
            shutil.rmtree(folder)


def checkpoint_to_resume(config: TrainingArguments) -> Path | None:
    """Return the checkpoint from which a run resumes: the named one, or else the newest complete one in its folder.

    Raises:
        RecordError: the named checkpoint is incomplete, is not a checkpoint, belongs to another run, or has only
            weights.
    """
    output_dir = Path(str(config.output_dir))
    checkpoint = _named_checkpoint(config, output_dir)
    if checkpoint is not None and not any(file for pattern in _OPTIMIZER for file in checkpoint.glob(pattern)):
        raise RecordError(
            f"{checkpoint} has no optimizer state (save_only_model leaves it out): a run that went on from there would "
            f"begin its schedule again; give {weights_option(checkpoint)} and another output_dir to begin a new run "
            "from its weights"
        )
    lost = checkpoint is not None and (checkpoint / "optimizer.pt").is_file() and not (checkpoint / _SCHEDULE).is_file()
    if lost:  # transformers would silently load neither
        raise RecordError(
            f"{checkpoint} has no {_SCHEDULE}: a run that went on from there would begin with a new optimizer and "
            "schedule; copy the checkpoint again, or delete it to go on from the one before"
        )
    return checkpoint


def _named_checkpoint(config: TrainingArguments, output_dir: Path) -> Path | None:
    named = config.resume_from_checkpoint
    # As in transformers' own scripts, "true" asks for the newest checkpoint.
    if named is None or str(named).lower() in ("true", ""):
        return last_complete_checkpoint(output_dir)
    if str(named).lower() == "false":
        raise RecordError(
            f"resume_from_checkpoint is {named}, but a run always continues from its last checkpoint; choose another "
            f"output_dir than {output_dir} to start again"
        )
    checkpoint = Path(str(named))
    if checkpoint_step(checkpoint) is None:
        what = f"has no readable {_TRAINER_STATE}" if checkpoint.is_dir() else "is not a folder"
        raise RecordError(
            f"resume_from_checkpoint {checkpoint} {what}, so it is not a complete checkpoint; give a checkpoint-N "
            f"folder, or leave it out to continue from the newest one in {output_dir}"
        )
    if checkpoint.resolve().parent != output_dir.resolve():
        raise RecordError(
            f"resume_from_checkpoint {checkpoint} belongs to another run than output_dir {output_dir}, whose settings "
            f"are not known to be these; give output_dir {checkpoint.parent}, or {weights_option(checkpoint)} to "
            "begin a new run from its weights"
        )
    return checkpoint


def weights_option(checkpoint: Path) -> str:
    """Return the option that starts a new run from a checkpoint's weights, which are a whole model's or an
    adapter's.
    """
    return f"--{'model' if any(checkpoint.glob('model*.safetensors')) else 'adapter'} {checkpoint}"


def policy_of(model: Any) -> str:
    """Return the name of the adapter that a PEFT model trains."""
    active: list[str] = list(model.active_adapters)
    if POLICY not in model.peft_config or active != [POLICY]:
        raise TrainingError(
            f"the adapters {', '.join(active)} are active among {', '.join(model.peft_config)}; only {POLICY!r} may be"
        )
    return POLICY


@contextmanager
def _whole(parameters: list[Tensor]) -> Iterator[None]:
    """Gather parameters that ZeRO-3 has sharded, so that within the context every process has them whole."""
    gathered: Any = nullcontext()
    if is_deepspeed_zero3_enabled():
        import deepspeed

        gathered = deepspeed.zero.GatheredParameters(parameters)
    with gathered:
        yield


@contextmanager
def _outside_deepspeed() -> Iterator[None]:
    """Load models whole within the context, although DeepSpeed trains another one in shards."""
    kept = integration._hf_deepspeed_config_weak_ref
    integration.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        integration._hf_deepspeed_config_weak_ref = kept


def trained_weights(model: Any) -> dict[str, Tensor]:
    """Return the weights that a checkpoint of this model must contain, by their names in the file, on the CPU.

    Under ZeRO-3 every process must call this.

    Args:
        model: a PEFT model (its policy's weights), or any other module (all of its weights).
    """
    if isinstance(model, PeftModel):
        held = {name: value for name, value in model.named_parameters() if f".{POLICY}." in name}
    else:
        held = model.state_dict(keep_vars=True)
    with _whole([value for value in held.values() if isinstance(value, torch.nn.Parameter)]):
        weights = {name: value.detach().cpu().clone() for name, value in held.items()}
    if isinstance(model, PeftModel):
        return dict(
            get_peft_model_state_dict(
                model, state_dict=weights, adapter_name=policy_of(model), save_embedding_layers=False
            )
        )
    return weights


def saved_weights(folder: Path, model: Any) -> dict[str, Tensor]:
    """Return the weights that a checkpoint of this model contains, by the names of `trained_weights`.

    Raises:
        TrainingError: the checkpoint has no weights.
    """
    if isinstance(model, PeftModel):
        file = folder / ADAPTER_WEIGHTS
        if not file.is_file():
            raise TrainingError(
                f"{folder} has no {ADAPTER_WEIGHTS}: the adapter was not saved; under ZeRO-3 set "
                "zero3_save_16bit_model: true in the accelerate configuration"
            )
        return load_file(file)
    if isinstance(model, PreTrainedModel):
        # In some model families the names in the file differ from those in memory; the library that wrote them knows
        # both.
        with _outside_deepspeed():
            return dict(load_network(folder, model.dtype).state_dict())
    return load_file(folder / WEIGHTS)


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and values, whatever the order."""
    found = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        found.update(f"{name}:{value.dtype}:{tuple(value.shape)}\n".encode())
        found.update(value.flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return found.hexdigest()


def _first_difference(held: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> str:
    """Describe the first weight that differs between memory and a file."""
    if missing := sorted(held.keys() - saved.keys()):
        return f"{len(missing)} weights are not in it, such as {missing[0]}"
    if surplus := sorted(saved.keys() - held.keys()):
        return f"{len(surplus)} weights are in it alone, such as {surplus[0]}"
    others = [name for name in sorted(held) if digest({name: held[name]}) != digest({name: saved[name]})]
    name = others[0]
    ours, its = held[name], saved[name]
    if ours.dtype != its.dtype or ours.shape != its.shape:
        return f"{name} is {ours.dtype} {tuple(ours.shape)} in memory and {its.dtype} {tuple(its.shape)} in it"
    distance = (ours.double() - its.double()).abs().max().item()
    return f"{len(others)} of {len(held)} weights differ, such as {name}, by up to {distance:.3g}"


@contextmanager
def _readable(checkpoint: str | None) -> Iterator[None]:
    """Name the checkpoint in the error when a library only says that one of its files cannot be read."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise  # the file is not at fault
    except (SafetensorError, RuntimeError, OSError, EOFError, UnpicklingError, ValueError, LookupError) as error:
        raise TrainingError(
            f"{checkpoint} cannot be read ({first_line(error)}); copy it again, or delete it to go on from the one "
            "before"
        ) from error


class ExactCheckpoints:
    """Mixin for a ``Trainer`` whose checkpoints contain the policy alone and are loaded completely or not at all."""

    model: Any

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no card: TRL's card, beside the checkpoints, names neither base model nor data. ``final/`` has its own
        card.
        """

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        model = self.model
        if isinstance(model, PeftModel):
            # An instance attribute hides the class's method for the time being.
            model.save_pretrained = partial(model.save_pretrained, selected_adapters=[policy_of(model)])
        try:
            super()._save(output_dir, state_dict)  # type: ignore[misc]  # the Trainer's
        finally:
            vars(model).pop("save_pretrained", None)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        model = self.model if model is None else model
        with _readable(resume_from_checkpoint):
            if isinstance(model, PeftModel):
                model.load_adapter(resume_from_checkpoint, policy_of(model), is_trainable=True)
            elif isinstance(model, PreTrainedModel):
                model.load_state_dict(saved_weights(Path(resume_from_checkpoint), model))
            else:
                super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]  # the Trainer's

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _readable(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]  # the Trainer's


def _refuse_not_finite(weights: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that are not finite. Losses are checked when they are logged, but weights can break after that or
    between two logs.
    """
    lost = [
        name for name in sorted(weights) if weights[name].is_floating_point() and not weights[name].isfinite().all()
    ]
    if lost:
        raise TrainingError(
            f"{where}: {len(lost)} of {len(weights)} weights are not finite, such as {lost[0]}; lower learning_rate "
            "or max_grad_norm and choose another output_dir"
        )


def _compare(trainer: Trainer, folder: Path, what: str) -> str:
    """Return the digest of the weights in memory, which must be finite and equal to those of the file."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    held, saved = trained_weights(model), saved_weights(folder, model)
    _refuse_not_finite(held, f"{what} {folder}")
    found = digest(held)
    if found != digest(saved):
        raise TrainingError(
            f"{what} {folder}: the weights in memory are not those of the file ({_first_difference(held, saved)}); "
            "what follows would not be worth its time, so the run ends here"
        )
    return found


def prove_saved(trainer: Trainer, folder: Path) -> str | None:
    """Compare what was just saved with the weights in memory. Every process of a run must call this.

    Returns:
        SHA-256 of the weights, as `digest` takes it, in the process that saves; None in the others.

    Raises:
        TrainingError: the file does not contain the model's weights.
    """
    if trainer.args.should_save:
        return _compare(trainer, folder, "saved to")
    trained_weights(trainer.accelerator.unwrap_model(trainer.model))  # ZeRO-3 gathers in all processes or none
    return None


def prove_loaded(trainer: Trainer, folder: Path) -> str:
    """Compare the weights in memory with the checkpoint that they were loaded from. Every process of a run must call
    this.

    Returns:
        SHA-256 of the weights, as `digest` takes it.

    Raises:
        TrainingError: the model's weights are not the checkpoint's.
    """
    return _compare(trainer, folder, "loaded from")


class ProvenCheckpoints(TrainerCallback):
    """Compare the weights in memory with the checkpoint's file after every save and after a resume.

    Args:
        trainer: the trainer whose model is compared.
        resumed_from: the checkpoint from which the run resumes; None: the run starts.
        settings: settings of the run, which each checkpoint keeps, so that it is known for its run's wherever it is
            copied.
    """

    def __init__(self, trainer: Trainer, resumed_from: Path | None, settings: Mapping[str, Any]) -> None:
        self._trainer = trainer
        self._settings = settings
        self._resumed_from = resumed_from
        self.resumed_digest: str | None = None
        """SHA-256 of the weights that the run went on from; see `digest`."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called by the trainer when a checkpoint is loaded, in every process.

        Raises:
            TrainingError: the checkpoint's weights are not the model's.
        """
        if self._resumed_from is not None:
            self.resumed_digest = _compare(self._trainer, self._resumed_from, "resumed from")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called by the trainer when a checkpoint is written, in every process.

        Raises:
            TrainingError: the model's weights are not the checkpoint's.
        """
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        prove_saved(self._trainer, folder)
        if args.should_save:
            write_json(folder / SETTINGS, dict(self._settings))
