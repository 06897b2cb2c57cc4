"""Stage 1: imitate rationale, winner and signed difference, with TRL's ``SFTTrainer``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig, SFTTrainer

from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.formatting import sft_dataset
from redaes.training.length_batches import LikeLengths
from redaes.training.refused_settings import IMITATION, refuse_what_spoils
from redaes.training.row_checks import check_rows
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model, training_dtype
from redaes.training.stage_run import claim, train
from redaes.training.validated_trainer import ValidatedTrainer, prepare


@dataclass
class PairSFTConfig(SFTConfig):
    """TRL's, with defaults that rows with two pictures need."""

    max_length: int | None = field(default=None, metadata={"help": "tokens; a number is refused, for it would cut"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.remove_unused_columns = False
        refuse_what_spoils(self, IMITATION)


class PairSFTTrainer(ExactCheckpoints, ValidatedTrainer, SFTTrainer):
    """``SFTTrainer`` whose batches hold answers of like length."""

    def __init__(self, *, lengths: list[int], **kwargs: Any) -> None:
        self._lengths = lengths
        super().__init__(**kwargs)
        # Where TRL is given the number of answer tokens of the whole step (all processes and accumulated batches), it
        # divides by that. transformers counts them only for models that would do the division themselves, which
        # Qwen-VL models do not: each batch's mean would count alike, however few tokens it has.
        self.model_accepts_loss_kwargs = True

    def _get_train_sampler(self, train_dataset: object = None) -> LikeLengths:
        return LikeLengths.of_run(self._lengths, self.args)


def run_sft(arguments: StageArguments, config: PairSFTConfig) -> Path:
    """Train stage 1, or the full warm-up when ``arguments.full_training`` says so.

    Returns:
        The folder with the result. A finished stage is not trained again.
    """
    refuse_what_spoils(config, IMITATION)  # TRL's own, from a script, would cut
    run = claim("stage1_sft", arguments, config)
    if run.final is not None:
        return run.final
    check_rows(arguments)
    validation = prepare(arguments.data_folder, arguments, config, arguments.leave_out)
    torch.manual_seed(config.seed)
    dataset, lengths = sft_dataset(arguments.data_folder, "train", leave_out=arguments.leave_out)
    processor = base_processor(arguments)
    trainer = PairSFTTrainer(
        validation=validation,
        lengths=lengths,
        model=load_model(arguments, training_dtype(config, arguments.plan)),
        args=config,
        train_dataset=dataset,
        processing_class=processor,
    )
    return train(run, trainer, processor, arguments)
