"""A ``Trainer`` that is validated on held-out pairs during training, asked the way `redaes compare` asks the result.

transformers' own settings have their usual meaning: ``eval_strategy``, ``eval_steps``, ``eval_on_start``,
``metric_for_best_model``, ``load_best_model_at_end``. Only what is evaluated differs: not a loss on further rows, but
the figures of :mod:`redaes.heldout`. The model is asked without autocast, because whoever loads the result has none.
Validation does not affect the training: no random state, mode, buffer or log changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from accelerate.utils import gather_object
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.trainer_utils import IntervalStrategy

from redaes.assessor import Assessor
from redaes.backends.local import LocalBackend
from redaes.errors import TrainingError
from redaes.file_writing import write_json
from redaes.heldout import HeldOut, fast_outcomes, put_together, reasoned_outcomes
from redaes.records import PairRecord
from redaes.training.checkpoints import prove_loaded
from redaes.training.validation_figures import (
    SECONDS,
    answers_file,
    form_is_lost,
    in_words,
    kept_step,
    logged,
    no_better_than_start,
    reason_to_stop,
    validations,
)
from redaes.training.validation_pairs import (
    SEED,
    RunValidation,
    ValidationArguments,
    check_settings,
    is_validated,
    summary,
)

T = TypeVar("T")


def prepare(
    folder: Path, arguments: ValidationArguments, config: TrainingArguments, leave_out: Sequence[str]
) -> RunValidation | None:
    """Draw a run's validation pairs, and report pairs without a label; None: the run is not validated.

    Raises:
        RecordError, TrainingError: as for `check_settings` and `RunValidation.drawn`.
    """
    check_settings(arguments, config)  # reading a recipe has already done this
    if not is_validated(config):
        return None
    validation = RunValidation.drawn(folder, arguments, leave_out)
    if validation.unlabelled and config.process_index == 0:
        sys.stderr.write(
            f"{folder}: {len(validation.unlabelled)} test pairs have no label, such as {validation.unlabelled[0]}; "
            "they are not asked\n"
        )
    return validation


def share(n_blocks: int, rank: int, world: int, *, equal: bool) -> list[int]:
    """Return the blocks of work of one process among several.

    Args:
        n_blocks: number of all blocks.
        rank: number of the process.
        world: number of processes.
        equal: whether all processes must have the same number of blocks; a process with too few repeats a block of
            another.

    >>> [share(3, rank, 2, equal=True) for rank in range(2)]
    [[0, 2], [1, 0]]
    """
    own = list(range(rank, n_blocks, world))
    wanted = -(-n_blocks // world)
    return own + [0] * (wanted - len(own)) if equal else own


@contextmanager
def without_autocast(model: Any) -> Iterator[None]:
    """Make a model answer without accelerate's autocast within the context."""
    plain = vars(model).get("_original_forward")
    if plain is None:
        yield
        return
    wrapped = model.forward
    model.forward = plain
    try:
        yield
    finally:
        model.forward = wrapped


@contextmanager
def whole_weights(engine: Any) -> Iterator[None]:
    """Gather the weights of a model that ZeRO-3 has sharded within the context; do nothing for other models."""
    if not is_deepspeed_zero3_enabled():
        yield
        return
    import deepspeed
    from trl.models.utils import add_hooks, remove_hooks

    with deepspeed.zero.GatheredParameters(list(engine.parameters())):
        remove_hooks(engine)  # the hooks would fetch each layer's weights, and wait for all processes to do the same
        try:
            yield
        finally:
            add_hooks(engine)


class ValidatedTrainer(Trainer):
    """Base class of trainers that are validated on held-out pairs; it comes before the library's trainer.

    Args:
        validation: the validation; None: there is none.
        kwargs: arguments of the library's trainer, including ``args``.
    """

    control: TrainerControl

    def __init__(self, *, validation: RunValidation | None = None, **kwargs: Any) -> None:
        # The libraries require evaluation rows of their own kind, and would prepare them like training rows.
        config = kwargs["args"]
        strategy, config.eval_strategy = config.eval_strategy, IntervalStrategy.NO
        try:
            super().__init__(**kwargs)
        finally:
            config.eval_strategy = strategy
        self.validation = validation
        if validation is not None:
            self.add_callback(_Stops(validation))

    def while_validating(self) -> AbstractContextManager[None]:
        """Return a context for asking the model; overridden by trainers whose model has caches."""
        return nullcontext()

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Ask about the held-out pairs, log the figures and keep the answers. All processes call this and get the same
        figures.

        Args:
            eval_dataset: as in transformers; used only without a validation.
            ignore_keys: as in transformers; used only without a validation.
            metric_key_prefix: as in transformers; used only without a validation.

        Returns:
            The figures of `redaes.training.validation_figures.logged`, and the seconds that the validation took.
        """
        if self.validation is None:
            found: dict[str, float] = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
            return found
        step = self.state.global_step
        done = validations(self.state.log_history)
        if done and done[-1]["step"] == step:  # with eval_on_start, a resumed run would validate again
            return {name: value for name, value in done[-1].items() if name.startswith("eval_")}
        started = time.perf_counter()
        held_out = self._ask(self.validation)
        seconds = max(gather_object([time.perf_counter() - started]))
        figures = {**logged(held_out), SECONDS: round(seconds, 3)}
        # Not self.log, because the libraries' own would also log the training's figures since the last log.
        Trainer.log(self, dict(figures))
        if self.is_world_process_zero():
            write_json(answers_file(Path(str(self.args.output_dir)), step), held_out.model_dump(mode="json"))
            sys.stdout.write(f"validation at step {step}: {in_words(held_out)} ({seconds:.1f} s)\n")
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def _ask(self, validation: RunValidation) -> HeldOut:
        model = self.accelerator.unwrap_model(self.model_wrapped)
        with self.while_validating(), whole_weights(self.model_wrapped), without_autocast(model):
            backend = LocalBackend.from_model(
                model,
                self.processing_class,
                "under training",
                f"step {self.state.global_step}",
                batch_size=self.args.per_device_eval_batch_size,
            )
            assessor = Assessor(backend, reader="strict", form="text")
            outcomes = self._shared(validation.pairs, partial(fast_outcomes, assessor))
            reasoned = self._shared(validation.reasoned, partial(reasoned_outcomes, assessor))
        return put_together(assessor, outcomes, reasoned, SEED)

    def _shared(self, records: Sequence[PairRecord], ask: Callable[[Sequence[PairRecord]], Sequence[T]]) -> list[T]:
        """Return the outcomes of the records, each asked by one of the processes."""
        # A block is one batch of questions, both orders of its pairs, whatever the number of processes.
        size = max(1, self.args.per_device_eval_batch_size // 2)
        asked = [record for record in records if record.pair.first.id != record.pair.second.id]
        blocks = [asked[start : start + size] for start in range(0, len(asked), size)]
        found: dict[str, T] = {}
        # Under ZeRO-3 all processes generate token by token in step, so they need the same number of blocks.
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        for number in share(len(blocks), rank, world, equal=is_deepspeed_zero3_enabled()):
            block = blocks[number]
            found.update(zip((record.pair.id for record in block), ask(block), strict=True))
        # Two equal files are a tie, about which no model is asked.
        same = [record for record in records if record.pair.first.id == record.pair.second.id]
        found.update(zip((record.pair.id for record in same), ask(same), strict=True))
        everybodys: dict[str, T] = {}
        for part in gather_object([found]):
            everybodys.update(part)
        return [everybodys[record.pair.id] for record in records]

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        if self.validation is not None and form_is_lost(
            validations(self.state.log_history), self.validation.min_parsed
        ):
            return False  # a model that has lost the answer form is not the best one, whatever its verdicts
        if self.validation is not None and self.args.metric_for_best_model not in metrics:
            return False  # nothing was counted for it: a model that has not learned the form names no factor
        return bool(super()._determine_best_metric(metrics, trial))

    def _load_best_model(self) -> None:
        """Load the best model as a resume does, and verify it: no other adapter, nothing missing."""
        best = Path(str(self.state.best_model_checkpoint))
        if self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            self._load_from_checkpoint(str(best))
        prove_loaded(self, best)

    def validation_summary(self) -> dict[str, Any] | None:
        """Return the summary of the validations for the run record; None: there were none."""
        return None if self.validation is None else summary(self.validation, self.state, self.args)


class _Stops(TrainerCallback):
    """End a run early according to its validations, and make sure that there is a best checkpoint to return to."""

    def __init__(self, validation: RunValidation) -> None:
        self._validation = validation

    def _reason(self, args: TrainingArguments, state: TrainerState) -> str | None:
        found = validations(state.log_history)
        return reason_to_stop(
            found, str(args.metric_for_best_model), self._validation.patience, self._validation.min_parsed
        )

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Find the best checkpoint so far, if a resumed run's folder has moved.

        Raises:
            TrainingError: the checkpoint is gone.
        """
        if not args.load_best_model_at_end or not state.best_global_step:
            return
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
        if not (folder / "trainer_state.json").is_file():
            raise TrainingError(
                f"the best checkpoint so far, {folder}, is gone; put it back, or choose another output_dir to start "
                "afresh"
            )
        state.best_model_checkpoint = str(folder)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Decide after each validation whether the run ends; called in every process."""
        reason = self._reason(args, state)
        if reason is None:
            return
        control.should_training_stop = True
        # Without a checkpoint here, a run that is killed now reaches this point again and stops again.
        control.should_save = False
        if state.is_world_process_zero:
            sys.stderr.write(f"step {state.global_step}: the run ends: {reason}\n")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Check the final model when training has ended; called in every process.

        Raises:
            TrainingError: the model lost the answer form, and there is no better checkpoint.
        """
        found = validations(state.log_history)
        warning = no_better_than_start(found, str(args.metric_for_best_model), kept_step(state, args))
        if warning is not None and state.is_world_process_zero:
            sys.stderr.write(f"{args.output_dir}: {warning}\n")
        if not form_is_lost(found, self._validation.min_parsed):
            return
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            return
        raise TrainingError(
            f"{self._reason(args, state)}; {args.output_dir} has the checkpoints before it and gets no result; lower "
            f"learning_rate ({args.learning_rate}) and choose another output_dir, set load_best_model_at_end to leave "
            "the best checkpoint in such a case, or validation_min_parsed to 0 to go on regardless"
        )
