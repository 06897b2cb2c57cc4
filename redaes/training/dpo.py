"""Stage 2's other objective: prefer the right answer to the wrong one, with TRL's ``DPOTrainer``.

The wrong answer is the right one for the other order (`redaes.training.formatting.preference_example`). DPO: Rafailov
et al., NeurIPS 2023; only the use for answers about relative differences is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from trl import DPOConfig, DPOTrainer

from redaes.errors import TrainingError
from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.formatting import preference_dataset
from redaes.training.length_batches import LikeLengths
from redaes.training.refused_settings import PREFERENCE, refuse_what_spoils
from redaes.training.row_checks import RowNeeds, check_rows
from redaes.training.shared_rows import SharedRows
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model, training_dtype
from redaes.training.stage_run import claim, train
from redaes.training.validated_trainer import ValidatedTrainer, prepare
from redaes.training.weighted_draws import draw_weights


@dataclass
class PairDPOConfig(DPOConfig):
    """``DPOConfig`` with defaults that two pictures need."""

    objective: str = field(
        default="dpo",
        metadata={"help": "Marks a recipe for preferences, as against the relative alignment of redaes train align."},
    )
    max_length: int | None = field(
        default=None,
        metadata={
            "help": "Longest row in tokens. Only null is accepted, because cutting a row would remove picture tokens."
        },
    )
    share_prompts: bool = field(
        default=True,
        metadata={
            "help": "Read each prompt only once for both of its answers, where the model allows it. With false, it "
            "is read with each answer."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.remove_unused_columns = False
        refuse_what_spoils(self, PREFERENCE)


class PairDPOTrainer(SharedRows, ExactCheckpoints, ValidatedTrainer, DPOTrainer):
    """``DPOTrainer`` whose batches hold answers of like length."""

    def __init__(self, *, lengths: list[int], **kwargs: Any) -> None:
        self._lengths = lengths
        super().__init__(**kwargs)

    def _get_train_sampler(self, train_dataset: object = None) -> LikeLengths:
        return LikeLengths.of_run(self._lengths, self.args, weights=draw_weights(self.train_dataset))


def run_dpo(arguments: StageArguments, config: PairDPOConfig) -> Path:
    """Train stage 2 on preferences.

    Returns:
        The folder with the result. A finished stage is not trained again.

    Raises:
        TrainingError: full training is asked for; also as for `redaes.training.stage_run.train`.
        RecordError: the dataset has no pairs with a winner.
    """
    if arguments.full_training:
        raise TrainingError("objective dpo trains a LoRA, against the model without it: drop full_training")
    run = claim("stage2_dpo", arguments, config)
    if run.final is not None:
        return run.final
    check_rows(arguments, RowNeeds(reasoning=False), without="are preferred in the fast mode alone")
    validation = prepare(arguments.data_folder, arguments, config, arguments.leave_out)
    torch.manual_seed(config.seed)
    dataset, lengths, n_ties = preference_dataset(arguments.data_folder, "train", leave_out=arguments.leave_out)
    processor = base_processor(arguments)
    trainer = PairDPOTrainer(
        validation=validation,
        lengths=lengths,
        model=load_model(arguments, training_dtype(config, arguments.plan)),
        args=config,
        train_dataset=dataset,
        processing_class=processor,
    )
    about = {"ties_left_out": n_ties, "shares_prompts": trainer.shares_prompts}
    return train(run, trainer, processor, arguments, lambda: about)
