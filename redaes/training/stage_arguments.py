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
        default=None,
        metadata={"help": "Folder of a RED dataset. By default, a small one is built from sample photographs."},
    )
    model: str = field(
        default=nano.BASE,
        metadata={"help": "The base model: a folder, a name on the Hugging Face Hub, or redaes/nano-base."},
    )
    adapter: str | None = field(
        default=None,
        metadata={"help": "Folder of a LoRA adapter to continue from, such as the final/ folder of an earlier stage."},
    )
    full_training: bool = field(
        default=False,
        metadata={
            "help": "Train all weights, including the vision tower, instead of a LoRA. The embedded model's warm-ups "
            "need this."
        },
    )
    lora_r: int | None = field(
        default=None, metadata={"help": "Rank of the LoRA. The default is that of the adapter, or else 16."}
    )
    lora_alpha: int | None = field(
        default=None, metadata={"help": "Alpha of the LoRA. The default is that of the adapter, or else 32."}
    )
    lora_dropout: float | None = field(
        default=None, metadata={"help": "Dropout of the LoRA. The default is that of the adapter, or else 0."}
    )
    lora_targets: str | None = field(
        default=None,
        metadata={
            "help": "Which modules get a LoRA: language, language+merger, language+experts, all (these, the vision "
            "tower and the experts), or a regular expression of whole module names. The default is that of "
            "the adapter, or else language."
        },
    )
    max_pixels: int | None = field(
        default=None,
        metadata={
            "help": "Largest area of a picture in pixels; larger pictures are reduced to it. The default is "
            "that of the adapter, or else that of the model."
        },
    )
    leave_out: list[str] = field(
        default_factory=list,
        metadata={"help": "Names of edits that are never trained on, to test how far learning generalises."},
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
            raise TrainingError(f"full_training trains no LoRA, but adapter is {self.adapter!r}; leave one of them out")
        if self.adapter:
            check_adapter(self.adapter)
            if not (Path(self.adapter) / ADAPTER_WEIGHTS).is_file():
                raise TrainingError(
                    f"adapter {self.adapter!r} has no file {ADAPTER_WEIGHTS}; copy or train the adapter again"
                )
        lora.settle(self)

    @property
    def data_folder(self) -> Path:
        """The dataset's folder, which exists once the arguments have been read."""
        if self.data is None:
            raise TrainingError("no dataset is given; give its folder as --data")
        return Path(self.data)

    @property
    def adapter_folder(self) -> Path | None:
        """Folder of the adapter from which training continues; None: there is none."""
        return Path(self.adapter) if self.adapter else None
