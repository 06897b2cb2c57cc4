"""Stage 1: supervised fine-tuning on rationale, winner and signed difference, with TRL's ``SFTTrainer``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
from trl import SFTConfig, SFTTrainer

from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.formatting import MODES, sft_dataset
from redaes.training.length_batches import LikeLengths, rows_of_a_step
from redaes.training.refused_settings import IMITATION, refuse_what_spoils
from redaes.training.row_checks import RowNeeds, check_rows
from redaes.training.shared_rows import SharedRows
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model, training_dtype
from redaes.training.stage_run import claim, train
from redaes.training.validated_trainer import ValidatedTrainer, prepare
from redaes.training.weighted_draws import draw_weights


@dataclass
class PairSFTConfig(SFTConfig):
    """TRL's ``SFTConfig`` with the defaults that rows with two pictures need."""

    max_length: int | None = field(
        default=None,
        metadata={
            "help": "Longest row in tokens. Only null is accepted, because cutting a row would remove picture tokens."
        },
    )
    share_prompts: bool = field(
        default=True,
        metadata={
            "help": "Read two pictures only once for the fast and the reasoned answer about them, which then share "
            "a batch, where the model allows it. With false, they are read with each answer."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.remove_unused_columns = False
        refuse_what_spoils(self, IMITATION)


def answers_about_the_same(rows: datasets.Dataset) -> list[list[int]]:
    """Return the numbers of the rows that show a pair in the same order: its fast and its reasoned answer, two by two.

    The two fast answers of a pair without reasoning, which show the same pictures in two orders, go together. The rows
    that are left, of pairs with reasoning for one order, go two by two; a single last one is paired with itself.

    Args:
        rows: rows of `redaes.training.formatting.sft_dataset`.
    """
    plain = rows.with_format(None)
    shown: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: {mode: [] for mode in MODES})
    for number, (pair, order, mode) in enumerate(zip(plain["id"], plain["order"], plain["mode"], strict=True)):
        shown[pair, order][mode].append(number)
    together: list[list[int]] = []
    alone: dict[str, list[int]] = defaultdict(list)
    for (pair, _), modes in shown.items():
        reasoned, fast = modes.values()
        if reasoned:
            together += [list(one) for one in zip(reasoned, fast, strict=True)]
        else:
            alone[pair] += fast
    left: dict[float, list[int]] = defaultdict(list)
    weights = draw_weights(rows)
    for numbers in alone.values():
        if len(numbers) % len(MODES):
            left[1.0 if weights is None else weights[numbers[0]]] += numbers
        else:
            together += [numbers[place : place + len(MODES)] for place in range(0, len(numbers), len(MODES))]
    for numbers in left.values():
        together += [[*numbers[place : place + 2], numbers[place]][:2] for place in range(0, len(numbers), 2)]
    return together


class PairSFTTrainer(SharedRows, ExactCheckpoints, ValidatedTrainer, SFTTrainer):
    """``SFTTrainer`` whose batches hold answers of like length, and both answers about two pictures where it packs."""

    def __init__(self, *, lengths: list[int], **kwargs: Any) -> None:
        self._lengths = lengths
        super().__init__(**kwargs)
        # Given the number of answer tokens of the whole step (all processes and accumulated batches), TRL divides by
        # it. transformers counts them only for models that do the division themselves, which Qwen-VL models do not:
        # then each batch's mean would have the same weight, however few tokens the batch has.
        self.model_accepts_loss_kwargs = True

    def _get_train_sampler(self, train_dataset: object = None) -> LikeLengths:
        together = answers_about_the_same(self.train_dataset) if self.shares_prompts else None
        return LikeLengths.of_run(self._lengths, self.args, together, draw_weights(self.train_dataset))

    def why_apart(self) -> str | None:
        """Return the setting that prevents packing rows; None: nothing does."""
        size = rows_of_a_step(self.args)
        if size % len(MODES):
            return f"a step has {size} rows, which parts the fast and the reasoned answer about two pictures"
        return super().why_apart()


def run_sft(arguments: StageArguments, config: PairSFTConfig) -> Path:
    """Train stage 1, or the full warm-up when ``arguments.full_training`` says so.

    Returns:
        The folder with the result. A finished stage is not trained again.
    """
    refuse_what_spoils(config, IMITATION)  # TRL's own default, from a script, would truncate
    run = claim("stage1_sft", arguments, config)
    if run.final is not None:
        return run.final
    check_rows(arguments, RowNeeds(reasoning=False), without="train the fast mode, and the reasoned one where they can")
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
    return train(run, trainer, processor, arguments, lambda: {"shares_prompts": trainer.shares_prompts})
