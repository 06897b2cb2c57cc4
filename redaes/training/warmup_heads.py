"""Common parts of the embedded model's warm-ups: heads that are discarded afterwards, edits as classes, figures on
held-out pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ProcessorMixin, Trainer, TrainingArguments

from redaes.records import load_pairs, operations_in, without_operations
from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.group_batches import ShuffledGroups
from redaes.training.row_checks import RowNeeds, check_rows
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.training.stage_run import claim, train
from redaes.training.validation_pairs import refuse_validation
from redaes.training.weighted_draws import draw_weights
from redaes.types import SPLITS

NO_EDIT = "none"
N_HELD_OUT = 1024
"""Largest number of held-out pairs on which the record's accuracies are computed."""
EVALUATION_BATCH = 32
"""Number of pairs in a batch during evaluation."""

Collator = Callable[[list[dict[str, Any]]], dict[str, Any]]


class HeadTrainer(ExactCheckpoints, Trainer):
    """``Trainer`` that keeps the pairs of a view together, and whose loss a subclass defines."""

    def _get_train_sampler(self, train_dataset: Any = None) -> ShuffledGroups:
        weights = draw_weights(self.train_dataset)
        return ShuffledGroups(self.train_dataset["group"], seed=self.args.seed, weights=weights)


def run_with_heads(
    name: str,
    arguments: StageArguments,
    config: TrainingArguments,
    *,
    network: Callable[[Any, int], nn.Module],
    collator: Callable[[ProcessorMixin, list[str]], Collator],
    trainer_class: type[HeadTrainer],
    evaluate: Callable[[Any, Iterator[dict[str, Any]]], dict[str, float]],
    settle: Callable[[Any, dict[str, Tensor]], None] = lambda model, batch: None,
    reasoning: bool = False,
) -> Path:
    """Train a model through heads, and save it without them.

    Args:
        name: name of the warm-up, for the record.
        arguments: arguments of the stage; training is always full.
        config: arguments of the trainer.
        network: makes the model with its heads, from the model and the number of classes.
        collator: makes the collator, from the processor and the classes' names.
        trainer_class: class of the trainer, with the loss.
        evaluate: computes accuracies of the network on held-out batches.
        settle: adjusts the trained model before it is saved, using a batch.
        reasoning: whether the rows must have rationales.

    Returns:
        The folder with the model. A finished run is not repeated.
    """
    refuse_validation(config, f"the warm-up {name}")
    run = claim(name, arguments, config)
    if run.final is not None:
        return run.final
    check_rows(arguments, RowNeeds(reasoning=reasoning))
    torch.manual_seed(config.seed)
    config.remove_unused_columns = False
    config.label_names = []
    pairs, held_out = (load_pairs(arguments.data_folder, split) for split in SPLITS)
    pairs = without_operations(pairs, arguments.leave_out)
    held_out = without_operations(held_out, operations_in(held_out).intersection(arguments.leave_out))
    classes = [NO_EDIT, *sorted(operations_in(pairs) | operations_in(held_out))]
    model = load_model(arguments, torch.float32)
    processor = base_processor(arguments)
    collate = collator(processor, classes)
    trainer = trainer_class(model=network(model, len(classes)), args=config, train_dataset=pairs, data_collator=collate)

    def settled() -> Any:
        spread = range(0, len(pairs), -(-len(pairs) // EVALUATION_BATCH))
        settle(model, collate([pairs[number] for number in spread]))
        return model

    def measure() -> dict[str, float]:
        rows = held_out.shuffle(seed=config.seed).select(range(min(N_HELD_OUT, len(held_out))))
        starts = range(0, len(rows), EVALUATION_BATCH)
        parts = ([rows[n] for n in range(start, min(start + EVALUATION_BATCH, len(rows)))] for start in starts)
        return evaluate(trainer.model, map(collate, parts))

    return train(run, trainer, processor, arguments, measure, result_model=settled)
