"""Arguments of a stage besides its trainer's own: dataset, base model, adapter, LoRA, picture size."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from redaes.early_checks import check_adapter
from redaes.errors import TrainingError
from redaes.models import nano
from redaes.training import lora
from redaes.training.checkpoints import (
    ADAPTER_WEIGHTS,
)
from redaes.training.dry_run.plan import DryRunPlan
from redaes.training.processor import check_max_pixels
from redaes.training.validation_pairs import ValidationArguments


@dataclass
class StageArguments(ValidationArguments):
    """Arguments of a stage besides its trainer's own."""

    data: str | None = field(
        default=None, metadata={"help": "RED dataset folder; without one, a small one is built from samples"}
    )
    model: str = field(default=nano.BASE, metadata={"help": "base model: folder, hub name or redaes/nano-base"})
    adapter: str | None = field(default=None, metadata={"help": "LoRA adapter to go on from (an earlier stage's)"})
    full_training: bool = field(
        default=False, metadata={"help": "train all weights, vision tower included, instead of LoRA (warm-up)"}
    )
    lora_r: int | None = field(default=None, metadata={"help": "LoRA rank; None: the adapter's, or 16"})
    lora_alpha: int | None = field(default=None, metadata={"help": "LoRA alpha; None: the adapter's, or 32"})
    lora_dropout: float | None = field(default=None, metadata={"help": "LoRA dropout; None: the adapter's, or 0"})
    lora_targets: str | None = field(
        default=None,
        metadata={
            "help": "where the LoRA goes: language, language+merger, language+experts, all (these, the vision tower "
            "and the experts), or a regular expression of whole module names; None: the adapter's, or language"
        },
    )
    max_pixels: int | None = field(
        default=None, metadata={"help": "cap on a picture's area; None: the adapter's, or the model's"}
    )
    leave_out: list[str] = field(
        default_factory=list,
        metadata={"help": "edits never to train on, to see how far learning carries"},
    )
    plan: DryRunPlan | None = field(default=None, init=False)
    """The plan of a dry run; None: this is not a dry run."""

    def check(self) -> None:
        """Refuse impossible settings before anything is loaded, and fill in the LoRA's defaults.

        Raises:
            TrainingError: a setting is impossible; the message names it, its value and the remedy.
            BackendError: the adapter's settings cannot be read.
        """
        check_max_pixels(self.max_pixels)
        self.check_validation()
        if self.full_training and self.adapter:
            raise TrainingError(f"full_training trains no LoRA: drop adapter {self.adapter!r} or full_training")
        if self.adapter:
            check_adapter(self.adapter)
            if not (Path(self.adapter) / ADAPTER_WEIGHTS).is_file():
                raise TrainingError(
                    f"adapter {self.adapter!r} has no {ADAPTER_WEIGHTS}; copy or train the adapter again"
                )
        lora.settle(self)

    @property
    def data_folder(self) -> Path:
        """The dataset's folder, which exists once the arguments have been read."""
        if self.data is None:
            raise TrainingError("no dataset: give --data DIR")
        return Path(self.data)

    @property
    def adapter_folder(self) -> Path | None:
        """Folder of the adapter from which training continues; None: there is none."""
        return Path(self.adapter) if self.adapter else None
