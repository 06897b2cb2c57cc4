"""Validation during training: its settings, and the choice of held-out pairs.

The pairs are drawn from the test split in the same way for every run on a dataset, whatever its seed.
:mod:`redaes.training.validated_trainer` asks about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path
from typing import Any

from transformers import TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType

from redaes.errors import ImageError, RecordError, TrainingError
from redaes.file_writing import read_json
from redaes.heldout import HeldOut, place_drawn
from redaes.images import check_usable
from redaes.records import PairRecord, load_pairs, operations_in, record_of, without_operations
from redaes.training.validation_figures import (
    FIGURES,
    SECONDS,
    answers_file,
    kept_step,
    no_better_than_start,
    proportions,
    reason_to_stop,
    validations,
)
from redaes.types import TIE_MARGIN

DEFAULT_FIGURE = "fast_accuracy"

SEED = 0
"""Seed for drawing the pairs; it is not the run's seed, so that runs with different seeds can be compared."""


@dataclass
class ValidationArguments:
    """Settings of the validation (used unless ``eval_strategy`` is ``no``), and of ending a run early."""

    validation_pairs: int = field(
        default=100,
        metadata={
            "help": "Number of held-out pairs that are asked at each validation, in both orders and in the fast mode."
        },
    )
    validation_reasoned_pairs: int = field(
        default=32, metadata={"help": "How many of these pairs are also answered in the reasoned mode. 0 means none."}
    )
    validation_min_parsed: float = field(
        default=0.5,
        metadata={
            "help": "End the run if a smaller share of the reasoned answers than this follows the grammar, "
            "although more did at an earlier validation. 0 means never."
        },
    )
    early_stopping_patience: int = field(
        default=0, metadata={"help": "End the run after this many validations without a new best one. 0 means never."}
    )

    def check_validation(self) -> None:
        """Refuse impossible values.

        Raises:
            TrainingError: names the setting, its value and the remedy.
        """
        for name, least in (("pairs", 1), ("reasoned_pairs", 0)):
            value = getattr(self, f"validation_{name}")
            if value < least:
                raise TrainingError(f"validation_{name} is {value}; give at least {least}")
        if self.validation_reasoned_pairs > self.validation_pairs:
            raise TrainingError(
                f"validation_reasoned_pairs is {self.validation_reasoned_pairs} of validation_pairs "
                f"{self.validation_pairs}; give no more than those"
            )
        if not 0 <= self.validation_min_parsed <= 1:
            raise TrainingError(f"validation_min_parsed is {self.validation_min_parsed}; give a share, from 0 to 1")
        if self.early_stopping_patience < 0:
            raise TrainingError(f"early_stopping_patience is {self.early_stopping_patience}; give 0 or more")


def is_validated(config: TrainingArguments) -> bool:
    """Return whether a run is validated on held-out pairs."""
    return config.eval_strategy != IntervalStrategy.NO


def refuse_validation(config: TrainingArguments, what: str) -> None:
    """Refuse validation for stages that do not have it.

    Raises:
        TrainingError: validation is asked for.
    """
    if is_validated(config) or config.eval_on_start:
        raise TrainingError(
            f"{what} is not validated during training: leave out eval_strategy and eval_on_start (only stages 1 to 3 "
            "ask held-out pairs on the way)"
        )


def check_settings(arguments: ValidationArguments, config: TrainingArguments) -> None:
    """Refuse settings that cannot have an effect, and replace a default metric that is not one of our figures.

    Called before anything is loaded. ``metric_for_best_model`` becomes one of `FIGURES` with ``eval_``.

    Raises:
        TrainingError: names the setting, its value and the remedy.
    """
    if not is_validated(config):
        for name, value in (
            ("early_stopping_patience", arguments.early_stopping_patience),
            ("eval_on_start", config.eval_on_start),
        ):
            if value:
                raise TrainingError(f"{name} is {value}, but nothing is validated: set eval_strategy to steps or epoch")
        if config.save_strategy == SaveStrategy.BEST:
            raise TrainingError(
                "save_strategy is best, but nothing is validated and so nothing would be saved: set eval_strategy"
            )
        return
    if config.metric_for_best_model in (None, "loss"):  # the trainer's default; no loss is computed on held-out pairs
        config.metric_for_best_model, config.greater_is_better = DEFAULT_FIGURE, True
    figure = str(config.metric_for_best_model).removeprefix("eval_")
    if figure not in FIGURES:
        raise TrainingError(f"metric_for_best_model is {figure!r}; known: {', '.join(FIGURES)}")
    if not config.greater_is_better:
        raise TrainingError(f"greater_is_better is false, but {figure} is the better the larger: leave it out")
    if figure not in FIGURES[:2] and not arguments.validation_reasoned_pairs:
        raise TrainingError(
            f"metric_for_best_model is {figure}, but validation_reasoned_pairs is 0: give some, or choose a figure of "
            f"the fast mode ({', '.join(FIGURES[:2])})"
        )
    config.metric_for_best_model = f"eval_{figure}"
    follows = config.lr_scheduler_type in (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
    if follows and (config.lr_scheduler_kwargs or {}).get("mode") != "max":
        raise TrainingError(
            f"lr_scheduler_type is {config.lr_scheduler_type.value}, which waits for {figure} to fall, and it is the "
            'better the larger: set lr_scheduler_kwargs to {"mode": "max"}'
        )
    if (
        config.load_best_model_at_end
        and config.save_strategy == SaveStrategy.STEPS
        and config.save_steps != config.eval_steps
    ):
        raise TrainingError(
            f"load_best_model_at_end is true, eval_steps {config.eval_steps:g} and save_steps {config.save_steps:g}: "
            "the best step might have no checkpoint; make them equal, or set save_strategy to best"
        )


@dataclass(frozen=True)
class RunValidation:
    """The validation of a run: the pairs to ask about, and when to end the run."""

    pairs: tuple[PairRecord, ...]
    """Pairs that are asked about in the fast mode, in both orders."""
    n_reasoned: int
    """Number of pairs, the first ones, that are asked about in the reasoned mode too."""
    n_held_out: int
    """Number of pairs of the test split that could have been drawn."""
    unlabelled: tuple[str, ...]
    """Ids of pairs that could not be drawn because they have no label."""
    min_parsed: float
    patience: int

    @property
    def reasoned(self) -> tuple[PairRecord, ...]:
        """The pairs of the reasoned mode."""
        return self.pairs[: self.n_reasoned]

    @classmethod
    def drawn(cls, folder: Path, arguments: ValidationArguments, leave_out: Sequence[str] = ()) -> RunValidation:
        """Draw the pairs from a dataset's test split.

        Args:
            folder: folder of the dataset.
            arguments: the numbers of pairs.
            leave_out: operations that are left out of the training, so that they are still unseen in a later
                evaluation.

        Raises:
            RecordError: there is no dataset or test split, or nothing is left of it.
            TrainingError: there are no labelled pairs, or only ties.
        """
        rows = load_pairs(folder, "test")
        rows = without_operations(rows, operations_in(rows).intersection(leave_out))
        names, deltas = rows["id"], rows["delta"]
        labelled = [number for number, delta in enumerate(deltas) if delta is not None]
        numbers = nsmallest(arguments.validation_pairs, labelled, key=lambda number: place_drawn(SEED, names[number]))
        pairs = tuple(record_of(rows[number], "test") for number in numbers)
        _check_pictures(folder, pairs)
        n_reasoned = min(arguments.validation_reasoned_pairs, len(pairs))
        for mode, n in (("fast", len(pairs)), ("reasoned", n_reasoned)):
            decided = [record for record in pairs[:n] if abs(record.pair.delta or 0.0) >= TIE_MARGIN]
            if not decided and (n or mode == "fast"):
                raise TrainingError(
                    f"{folder}: none of the {n} held-out pairs drawn for the {mode} mode has a winner, so no accuracy "
                    "can be taken; give a dataset with labelled test pairs or a larger validation_pairs and "
                    "validation_reasoned_pairs, or set eval_strategy to no"
                )
        return cls(
            pairs=pairs,
            n_reasoned=n_reasoned,
            n_held_out=len(labelled),
            unlabelled=tuple(name for name, delta in zip(names, deltas, strict=True) if delta is None),
            min_parsed=arguments.validation_min_parsed if n_reasoned else 0.0,
            patience=arguments.early_stopping_patience,
        )


def _check_pictures(folder: Path, pairs: Sequence[PairRecord]) -> None:
    """Refuse pairs whose pictures would end the run at its first validation.

    Raises:
        RecordError: a picture cannot be used; the message names the first row.
    """
    for record in pairs:
        for data, ref in ((record.first_bytes, record.pair.first), (record.second_bytes, record.pair.second)):
            try:
                check_usable(data, ref.path)
            except ImageError as error:
                raise RecordError(
                    f"{folder}: row {record.pair.id!r} of the test split, which validation would ask, has a picture "
                    f"that cannot be used ({error}): put in another or remove the row"
                ) from error


def summary(validation: RunValidation, state: TrainerState, config: TrainingArguments) -> dict[str, Any]:
    """Return the summary of a run's validations for the run record; called in the process that writes it."""
    found = validations(state.log_history)
    metric = str(config.metric_for_best_model)
    kept = kept_step(state, config)
    file = answers_file(Path(str(config.output_dir)), kept)
    shares: dict[str, Any] = {}
    if file.is_file():
        shares = {name: share.model_dump() for name, share in proportions(HeldOut(**read_json(file))).items()}
    return {
        "pairs": [record.pair.id for record in validation.pairs],
        "reasoned_pairs": [record.pair.id for record in validation.reasoned],
        "held_out_pairs": validation.n_held_out,
        "unlabelled_pairs": len(validation.unlabelled),
        "metric": metric,
        "kept_step": kept,
        "kept_is_best": bool(config.load_best_model_at_end),
        "kept": shares,
        "warning": no_better_than_start(found, metric, kept),
        "stopped": reason_to_stop(found, metric, validation.patience, validation.min_parsed),
        "seconds": round(sum(entry[SECONDS] for entry in found), 1),
        "history": [dict(entry) for entry in found],
    }
