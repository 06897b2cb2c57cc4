"""Settings of transformers and TRL that would cut, drop, mask, scale or shuffle our rows (docs/defaults.md).

A setting that has one right value here is refused with any other, before anything is loaded. Settings that a stage
would ignore are refused too, because their user expects an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from transformers import TrainingArguments

from redaes.errors import TrainingError


@dataclass(frozen=True)
class Rule:
    """The values of a setting that are allowed."""

    name: str
    fits: Callable[[Any], bool]
    why: str
    """What another value would do, and what to do instead."""


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


_NOT_SET = _one_of(None)
_OFF = _one_of(None, False)
_ON = _one_of(None, True)

EVERY_STAGE = (
    Rule("ignore_data_skip", _OFF, "a resumed run would see the epoch's first rows again, and never its "
         "last: leave it out"),
    Rule("auto_find_batch_size", _OFF, "after running out of memory, batches would be smaller than the settings "
         "say, and others than those that a checkpoint was made with: set per_device_train_batch_size"),
    Rule("dataloader_drop_last", _OFF, "rows would be dropped in every epoch: leave it out"),
    Rule("dataloader_in_order", _ON, "which rows make a step would depend on the workers' speed: leave it out"),
    Rule("label_smoothing_factor", _one_of(None, 0.0), "the losses take none, or would smooth a verdict over the whole "
         "vocabulary: leave it out"),
    Rule("save_only_model", _OFF, "a resumed run would begin with a new optimizer and schedule: leave it out"),
)  # fmt: skip
"""Rules for every stage."""

OURS = (
    Rule("train_sampling_strategy", _one_of(None, "random"), "the stage chooses the order itself: leave it out"),
    Rule("data_seed", _NOT_SET, "the order of the rows follows from seed: leave it out"),
    Rule("torch_compile", _OFF, "the stage puts its own forward pass into the vision tower, which a compiled graph "
         "would not see: leave it out"),
)  # fmt: skip
"""Rules for stages on a vision-language model, which have their own sampler and their own handling of pictures."""

_TRL = (
    Rule("max_length", _NOT_SET, "longer rows would be cut, picture tokens or the end of the answer: leave it out "
         "(max_pixels makes rows shorter)"),
    Rule("padding_free", _OFF, "rows with pictures cannot be joined: leave it out"),
    Rule("pad_to_multiple_of", _NOT_SET, "TRL does not pad rows with pictures so: leave it out"),
    Rule("model_init_kwargs", _NOT_SET, "the stage loads the model itself, without them: leave it out"),
    Rule("pad_token", _NOT_SET, "the tokenizer's own is used in every stage: leave it out"),
)  # fmt: skip

IMITATION = (
    *EVERY_STAGE,
    *OURS,
    *_TRL,
    Rule("packing", _OFF, "rows with pictures cannot be packed: leave it out"),
    Rule("completion_only_loss", _ON, "the prompt and its picture tokens would be learned too: leave it out"),
    Rule("assistant_only_loss", _OFF, "the loss falls on the answer already: leave it out"),
    Rule("shuffle_dataset", _OFF, "the lengths by which batches are made would be those of other rows; the stage "
                                    "chooses the order itself: leave it out"),
    Rule("eos_token", _NOT_SET, "answers would end otherwise than in the other stages: set it in the model's "
         "tokenizer_config.json"),
    Rule("chat_template_path", _NOT_SET, "the chat would be another one than in the other stages and when the model is "
         "asked: change the model's chat_template.jinja"),
    Rule("dataset_text_field", _one_of("text"), "rows have a prompt and a completion: leave it out"),
)  # fmt: skip
"""Rules for stage 1."""

ALIGNMENT = (*EVERY_STAGE, *OURS)
"""Rules for stage 2 and the warm-ups."""

PREFERENCE = (
    *EVERY_STAGE,
    *OURS,
    *_TRL,
    Rule("precompute_ref_log_probs", _OFF, "TRL does not for rows with pictures: leave it out"),
)
"""Rules for stage 2's other objective."""

_SAMPLING = ("do_sample", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_new_tokens",
             "max_tokens", "num_return_sequences", "n", "num_beams", "suppress_tokens", "logit_bias")  # fmt: skip

SAMPLING = (
    *EVERY_STAGE,
    *OURS,
    *(rule for rule in _TRL if rule.name in ("pad_to_multiple_of", "model_init_kwargs")),
    Rule("temperature", lambda value: value > 0, "all completions of a prompt would be the same, and nothing be "
         "learned from their differences: give a number above 0, such as 1.0"),
    Rule("repetition_penalty", _one_of(1.0), "completions would be drawn from other probabilities than those "
         "that are trained: leave it out"),
    Rule("chat_template_kwargs", _one_of(None, {}), "the chat would be another one than in the other stages and when "
         "the model is asked: leave it out"),
    Rule("generation_kwargs", lambda value: not set(value or {}) & set(_SAMPLING), "the trainer's own settings of "
         "the same meaning (temperature, top_p, max_completion_length and so on) decide: give those"),
    Rule("enable_jit_checkpoint", _OFF, "a checkpoint would fall between the steps that make completions, which are no "
         "part of it: leave it out"),
    Rule("sync_ref_model", _OFF, "the reference as it has become is no part of a checkpoint, and a resumed run would "
         "begin with the first one again: leave it out"),
    Rule("use_transformers_continuous_batching", _OFF, "it samples without the pictures: leave it out"),
)  # fmt: skip
"""Rules for stage 3."""


def refuse_what_spoils(config: TrainingArguments, rules: Collection[Rule] = EVERY_STAGE) -> None:
    """Refuse settings that would change, drop or ignore rows.

    Raises:
        TrainingError: a setting is refused; the message names it, its value and the remedy.
    """
    for rule in rules:
        value = getattr(config, rule.name, None)
        if hasattr(config, rule.name) and not rule.fits(value):
            raise TrainingError(f"{rule.name} is {value!r}: {rule.why}")
    if config.max_steps <= 0 and not config.num_train_epochs > 0:
        raise TrainingError(
            f"num_train_epochs is {config.num_train_epochs:g} and max_steps {config.max_steps}: nothing would be "
            "trained, and a result be left: give a number above 0"
        )
    accelerator = config.accelerator_config
    for name, fits in (("dispatch_batches", _OFF), ("split_batches", _OFF), ("even_batches", _ON)):
        value = getattr(accelerator, name)
        if not fits(value):
            raise TrainingError(
                f"accelerator_config.{name} is {value}: batches would be cut otherwise than the stage makes them: "
                "leave it out"
            )
