"""The figures of a validation during training, and the decisions from them: best step, early end, warning.

They are counted as in :mod:`redaes.heldout`. All decisions follow from a run's log, which is part of every checkpoint,
so that a resumed run ends where an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerState, TrainingArguments

from redaes.estimates import Proportion
from redaes.heldout import HeldOut

FIGURES = (
    "fast_accuracy", "fast_order_agreement", "reasoned_accuracy", "reasoned_order_agreement", "parsed", "factor"
)  # fmt: skip
"""Figures that ``metric_for_best_model`` may name, with or without ``eval_``; each is a share, and larger is better."""

SECONDS = "eval_seconds"
"""Key of a log entry that only validations have."""


def proportions(found: HeldOut) -> dict[str, Proportion]:
    """Return the `FIGURES` of an evaluation, with their intervals and counts."""
    values = [found.fast.accuracy, found.fast.order_consistency]
    if found.reasoned is not None:
        reasoned = found.reasoned
        values += [
            reasoned.accuracy, reasoned.order_consistency, reasoned.parse_rate, reasoned.factor_accuracy
        ]  # fmt: skip
    return dict(zip(FIGURES, values, strict=False))


def logged(found: HeldOut) -> dict[str, float]:
    """Return the figures as a trainer logs them; a figure for which nothing was counted is absent."""
    return {f"eval_{name}": share.value for name, share in proportions(found).items() if share.value is not None}


def in_words(found: HeldOut) -> str:
    """Return the figures as one line of text."""
    shown = {
        name: "none" if share.value is None else f"{share.value:.3f}" for name, share in proportions(found).items()
    }
    line = (
        f"fast ({found.n_pairs} pairs): accuracy {shown['fast_accuracy']}, "
        f"order agreement {shown['fast_order_agreement']}"
    )
    if found.reasoned is None:
        return line
    return (
        f"{line}; reasoned ({len(found.reasoned_outcomes)} pairs): accuracy {shown['reasoned_accuracy']}, order "
        f"agreement {shown['reasoned_order_agreement']}, parsed {shown['parsed']}, factor {shown['factor']}"
    )


def validations(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the validations among a trainer's log entries, in order."""
    return [entry for entry in history if SECONDS in entry]


def form_is_lost(found: Sequence[Mapping[str, float]], min_parsed: float) -> bool:
    """Return whether the last validation has too few readable answers although an earlier one had enough.

    A model that has never learned the answer form has not lost it.

    >>> form_is_lost([{"eval_parsed": 0.1}, {"eval_parsed": 0.9}, {"eval_parsed": 0.2}], 0.5)
    True
    """
    shares = [entry.get("eval_parsed", 0.0) for entry in found]
    return bool(shares) and shares[-1] < min_parsed <= max(shares)


def reason_to_stop(found: Sequence[Mapping[str, float]], metric: str, patience: int, min_parsed: float) -> str | None:
    """Return why a run should end after its validations so far; None: it should go on.

    The decision depends on the log alone, so that a resumed run stops where an uninterrupted one would.

    Args:
        found: the validations, each with its ``step``.
        metric: the figure that counts, with ``eval_``.
        patience: number of validations without a new best after which to stop; 0: never.
        min_parsed: smallest share of readable answers.
    """
    if form_is_lost(found, min_parsed):
        last = found[-1]
        return (
            f"the form is lost: {last.get('eval_parsed', 0.0):.3f} of the reasoned answers follow the grammar at step "
            f"{last['step']}, less than validation_min_parsed {min_parsed:g}"
        )
    # A figure for which nothing was counted, such as the factors of unreadable answers, is not a best one.
    values = [entry.get(metric, -1.0) for entry in found]
    if not values:
        return None
    since = len(values) - 1 - values.index(max(values))
    if patience and since >= patience:
        return f"no new best {metric} in {since} validations (early_stopping_patience)"
    return None


def kept_step(state: TrainerState, config: TrainingArguments) -> int:
    """Return the step whose weights a finished run saves."""
    if config.load_best_model_at_end and state.best_global_step:
        return int(state.best_global_step)
    return int(state.global_step)


def no_better_than_start(found: Sequence[Mapping[str, float]], metric: str, kept: int) -> str | None:
    """Return a warning if a run's result is no better than its start; None: it is better, or that is not known.

    >>> at = [{"step": 0, "eval_factor": 0.5}, {"step": 9, "eval_factor": 0.4}]
    >>> no_better_than_start(at, "eval_factor", 9)
    'no better than at the start: factor 0.400 at step 9, 0.500 at step 0'
    """
    values = {entry["step"]: entry[metric] for entry in found if metric in entry}
    if 0 not in values or kept not in values or values[kept] > values[0]:
        return None
    figure = metric.removeprefix("eval_").replace("_", " ")
    return f"no better than at the start: {figure} {values[kept]:.3f} at step {kept}, {values[0]:.3f} at step 0"


def answers_file(output_dir: Path, step: int) -> Path:
    """Return the file with all answers of a validation."""
    return output_dir / "validation" / f"step-{step:06d}.json"
