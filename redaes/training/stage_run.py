"""A stage's run in its output folder, from claiming the folder to the result and its record."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from peft import PeftModel
from transformers import (
    PreTrainedModel,
    ProcessorMixin,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from redaes import prompts
from redaes.backends.adapters import RUN_BASE
from redaes.backends.loading import model_folder
from redaes.backends.weights import revision_of
from redaes.early_checks import check_dataset, check_writable
from redaes.errors import TrainingError
from redaes.file_writing import read_json, write_atomically, write_json
from redaes.hub import push
from redaes.models import nano
from redaes.progress_lines import ProgressLines
from redaes.records import data_hash
from redaes.training.checkpoints import (
    SETTINGS,
    ProvenCheckpoints,
    checkpoint_step,
    checkpoint_to_resume,
    has_ended,
    prove_saved,
    remove_cut_off,
)
from redaes.training.cpu import without_imitated_bfloat16
from redaes.training.dry_run.plan import DryRunPlan
from redaes.training.dry_run.report import print_estimate
from redaes.training.length_batches import OrderOfEpochs
from redaes.training.lora_reach import announce, lora_reach
from redaes.training.model_card import model_card
from redaes.training.model_files import loads_in, name_for_both_versions, save_processor
from redaes.training.processor import preparation_digest, size_record
from redaes.training.result_checks import probe
from redaes.training.run_record import environment, of_the_whole_run
from redaes.training.run_settings import plain, refuse_other_settings, run_settings
from redaes.training.stage_arguments import StageArguments
from redaes.training.validated_trainer import ValidatedTrainer
from redaes.training.weighted_draws import weighted_sets

FINAL = "final"
"""Folder of a stage's result inside its output folder."""


@dataclass(frozen=True)
class StageRun:
    """A run that may start or be resumed in its output folder; nothing is written there yet."""

    output_dir: Path
    settings: Mapping[str, Any]
    """The settings that determine the result, as ``settings.json`` keeps them."""
    checkpoint: Path | None
    """Checkpoint from which the run is resumed; None: it starts."""
    repository: str | None = None
    """Repository on the hub to which the result is uploaded; None: it is not uploaded."""

    @property
    def final(self) -> Path | None:
        """The result's folder if the run is finished; None: it is not."""
        final = self.output_dir / FINAL
        # The run record is the last file to be written.
        return final if (final / "run_record.json").is_file() else None

    def begin(self) -> None:
        """Claim the folder for these settings. One process calls this, when everything else has been checked."""
        write_json(self.output_dir / SETTINGS, dict(self.settings))

    def publish(self) -> None:
        """Upload the result if that is asked for, from one process."""
        if self.repository is not None and PartialState().is_main_process:
            sys.stdout.write(f"uploaded: {push(self.output_dir / FINAL, self.repository, 'model')}\n")


def claim(stage: str, arguments: StageArguments, config: TrainingArguments) -> StageRun:
    """Check whether a stage may run in its output folder. A finished run is uploaded if ``push_to_hub`` asks for it.

    Raises:
        RecordError: there is no dataset, or the named checkpoint is not one.
        TrainingError: the folder has a run with other settings.
    """
    arguments.check()
    check_dataset(arguments.data_folder)
    settings = {
        "stage": stage,
        "data_hash": data_hash(arguments.data_folder),
        "prompts": [f"{name} {prompts.load(name).id}" for name in sorted(prompts.names())],
        **vars(arguments),
    }
    repository = config.hub_model_id if config.push_to_hub else None
    config.push_to_hub = False  # the trainer itself would also upload checkpoints, and a less informative card
    run = replace(claim_folder(config, settings, arguments.plan), repository=repository)
    if run.final is not None:
        if PartialState().is_main_process:
            sys.stdout.write(f"{run.final} is finished; nothing is trained again\n")
        run.publish()
    return run


def claim_folder(config: TrainingArguments, settings: Mapping[str, Any], plan: DryRunPlan | None = None) -> StageRun:
    """Check the output folder as :func:`claim` does, for a run with given settings besides the trainer's; a dry run has
    a plan.
    """
    if plan is None or not plan.on_gpu:
        without_imitated_bfloat16(config)
    output_dir = Path(str(config.output_dir))
    now = run_settings(config, settings)
    checkpoint = checkpoint_to_resume(config)
    check_writable(output_dir)
    refuse_other_settings(output_dir, checkpoint, now)
    return StageRun(output_dir, now, checkpoint)


class SaysProgress(TrainerCallback):
    """Write lines to standard error while a run trains: finished steps, remaining time, and how long no step was
    finished.

    One process of a run uses it. On a terminal the trainer's own progress bar shows this, unless it is turned off.
    """

    def __init__(self) -> None:
        self._lines: ProgressLines | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Handle the trainer's event, in every process."""
        if state.is_world_process_zero and (args.disable_tqdm or not sys.stderr.isatty()):
            self._lines = ProgressLines("training steps").__enter__()
            self._lines.update("training steps", state.global_step, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Handle the trainer's event, in every process."""
        if self._lines is not None:
            self._lines.update("training steps", state.global_step, state.max_steps)

    def end(self) -> None:
        """End the lines, when the trainer has returned or failed."""
        if self._lines is not None:
            self._lines.__exit__()
            self._lines = None


class StopWhenNotFinite(TrainerCallback):
    """End a run at the first logged loss that is not finite, because further training would be useless."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Handle the trainer's event, in every process.

        Raises:
            TrainingError: the loss is NaN or infinite.
        """
        found = logs or {}
        loss = found.get(
            "loss", found.get("train_loss", 0.0)
        )  # the latter is logged at the end, whatever was logged before
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {state.global_step}; lower learning_rate ({args.learning_rate}) "
                f"and choose another output_dir than {args.output_dir}"
            )


def train(
    run: StageRun,
    trainer: Trainer,
    processor: ProcessorMixin,
    arguments: StageArguments,
    measure: Callable[[], dict[str, Any]] = dict,
    result_model: Callable[[], PreTrainedModel] | None = None,
) -> Path:
    """Run a trainer, resuming from its last complete checkpoint, and save the result in ``final/``.

    Args:
        run: the run, from `claim`.
        trainer: the trainer.
        processor: processor that is saved beside a fully trained model.
        arguments: arguments of the stage.
        measure: computes further figures for the record, after training and before ``result_model``.
        result_model: makes the model to save, after training, in one process; None: the trainer's model is saved.

    Returns:
        The folder ``final/`` with the adapter (or model), ``prompts.json``, ``trainer_state.json``,
        ``run_record.json``.

    Raises:
        TrainingError: the loss became non-finite, or weights were not saved or loaded correctly.
    """
    if arguments.plan is not None:
        print_estimate(str(run.settings["stage"]), arguments.model, trainer, processor, arguments.plan)
        return run.output_dir  # the result's folder; nothing has been written there
    whole = trainer.accelerator.unwrap_model(trainer.model)
    began_with = base_of_run(run, trainer, arguments, processor)
    if isinstance(whole, PeftModel):
        announce(whole)
    merged = weighted_sets(arguments.data_folder) if trainer.is_world_process_zero() else {}
    if merged:
        each = (f"{name} {one['pairs']:.0f} pairs × {one['weight']:g}" for name, one in merged.items())
        sys.stdout.write(f"drawn in an epoch, on average: {', '.join(each)}\n")
    about, result = run_trainer(run, trainer)
    final = run.output_dir / FINAL
    probed = weights = None
    if result_model is None:
        # Without the trainer's autocast, because whoever loads the result has none.
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
        probed = probe(model, processor, arguments.data_folder)
        trainer.save_model(str(final))
        weights = prove_saved(trainer, final)
    if trainer.is_world_process_zero():
        metrics = {**result, **measure()}
        if result_model is not None:
            result_model().save_pretrained(final)
        base = model_folder(arguments.model)
        save_processor(processor, base, final)
        if arguments.full_training:
            name_for_both_versions(final)
        else:
            _name_base_model(final, arguments.model)
        prompt_ids = {name: prompts.load(name).id for name in sorted(prompts.names())}
        write_json(final / "prompts.json", prompt_ids)
        trainer.state.save_to_json(str(final / "trainer_state.json"))
        record = {
            "stage": run.settings["stage"],
            "arguments": vars(arguments),
            "base": began_with,
            "lora": lora_reach(whole) if isinstance(whole, PeftModel) else None,
            "data_hash": run.settings["data_hash"],
            **({"merged_from": merged} if merged else {}),
            **about,
            "metrics": metrics,
            "pictures": size_record(processor, base, arguments.adapter_folder),
            "loads_in": loads_in(base),
            "probe": probed,
            "weights": weights,
            "validation": trainer.validation_summary() if isinstance(trainer, ValidatedTrainer) else None,
            **environment(),
        }
        on_hub = arguments.model not in nano.NAMES and not Path(arguments.model).is_dir()
        card = model_card(record, prompt_ids, trainer.state.log_history, base_on_hub=on_hub)
        write_atomically(final / "README.md", card.encode())
        write_json(final / "run_record.json", record)
    trainer.accelerator.wait_for_everyone()
    run.publish()
    return final


def base_of_run(
    run: StageRun, trainer: Trainer, arguments: StageArguments, processor: ProcessorMixin
) -> dict[str, str] | None:
    """Return what a run began with, and keep it in the output folder: name and revision of the model, revision of the
    adapter, and a digest of the processor.

    One process of a run calls this.

    Raises:
        TrainingError: the run began with other weights than the model has now.
    """
    if not trainer.is_world_process_zero():
        return None
    base = {"name": arguments.model, "revision": revision_of(model_folder(arguments.model))}
    base["preparation"] = preparation_digest(processor)
    if arguments.adapter:
        base["adapter"] = revision_of(Path(arguments.adapter))
    file = run.output_dir / RUN_BASE
    if run.checkpoint is not None and file.exists():
        before = read_json(file)
        # The trained weights come from the checkpoint, but the reference of stage 3 and DPO is that of the beginning.
        if before.get("adapter", base.get("adapter")) != base.get("adapter"):
            raise TrainingError(
                f"{run.output_dir} holds a run that began with adapter {arguments.adapter}, whose weights have "
                f"changed since then (revision {before['adapter']}, now {base.get('adapter')}): restore them, or "
                "choose another output_dir"
            )
        if before.get("preparation", base["preparation"]) != base["preparation"]:
            raise TrainingError(
                f"{run.output_dir} holds a run that began with other files of the processor (size of pictures, chat "
                f"template or vocabulary) than {arguments.adapter or arguments.model} has now: restore them, or "
                "choose another output_dir"
            )
        if before["revision"] != base["revision"]:
            raise TrainingError(
                f"{run.output_dir} holds a run that began with {before['name']} at revision {before['revision']}, and "
                f"{base['name']} is at {base['revision']} now: give the model that the run began with, or choose "
                "another output_dir"
            )
    write_json(file, base)
    return base


def run_trainer(run: StageRun, trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train, resuming from the last complete checkpoint, and verify every checkpoint.

    Returns:
        The run record's data about the run, and the trainer's metrics.

    Raises:
        TrainingError: the loss became non-finite, or weights were not saved or loaded correctly.
    """
    if trainer.is_world_process_zero():
        if run.checkpoint is not None:
            sys.stdout.write(f"going on from {run.checkpoint}\n")
        run.begin()
        remove_cut_off(run.output_dir)
    trainer.accelerator.wait_for_everyone()
    began_at = 0 if run.checkpoint is None else checkpoint_step(run.checkpoint) or 0
    started = time.time()
    trainer.args.logging_nan_inf_filter = False  # it would log the mean of the other steps instead of a NaN
    trainer.add_callback(StopWhenNotFinite())
    proof = ProvenCheckpoints(trainer, run.checkpoint, run.settings)
    trainer.add_callback(proof)
    trainer.add_callback(OrderOfEpochs())
    if run.checkpoint is not None and has_ended(run.checkpoint):
        # transformers checks the number of steps only after a step, and would take another one.
        trainer._run_epoch = _no_steps
    progress = SaysProgress()
    trainer.add_callback(progress)
    try:
        result = trainer.train(resume_from_checkpoint=None if run.checkpoint is None else str(run.checkpoint))
    finally:
        progress.end()
    about = {
        "training_arguments": plain(trainer.args.to_dict()),
        **{name: run.settings[name] for name in ("n_processes", "global_batch", "sharding")},
        "seed": trainer.args.seed,
        "resumed_from": None if run.checkpoint is None else str(run.checkpoint),
        "resumed_weights": proof.resumed_digest,
        "seconds": round(time.time() - started, 1),
    }
    state = trainer.state
    # The trainer adds up the losses of the steps that it takes itself, not those before a resume.
    loss_sum = trainer._total_loss_scalar
    metrics = of_the_whole_run(result.metrics, state.log_history, began_at, state.global_step, loss_sum)
    for entry in state.log_history[-2:]:  # a validation may follow
        if "train_loss" in entry:
            entry.update({name: value for name, value in metrics.items() if name in entry})
    return about, metrics


def _no_steps(*_: Any, **__: Any) -> None:
    """Stand for an epoch without steps, of a run that was killed after its last step, such as while its result was
    written.
    """


def _name_base_model(final: Path, model: str) -> None:
    """Write the base model's name instead of its folder, because folders differ between machines."""
    path = final / "adapter_config.json"
    config = read_json(path)
    config["base_model_name_or_path"] = model
    write_json(path, config)
