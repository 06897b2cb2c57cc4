"""Check TRL's private methods on which stage 3 relies: a TRL with other methods is refused at the start."""

from __future__ import annotations

import inspect
from importlib.metadata import version

from redaes.errors import TrainingError

KNOWN_TRL = "trl>=1.16,<1.17"
"""The versions of TRL whose private methods `redaes.training.shared_prompts` replaces."""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "_prepare_inputs": ("self", "generation_batch"),
    "_generate_single_turn": (
        "self", "prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images",
    ),
    "_get_per_token_logps_and_entropies": (
        "self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size", "compute_entropy",
        "compute_aux_loss", "pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "spatial_shapes",
        "num_tiles", "image_sizes", "token_type_ids", "mm_token_type_ids", "image_position_ids",
    ),
    "_generate_and_score_completions": ("self", "inputs"),
    "_compute_loss": ("self", "model", "inputs"),
}  # fmt: skip
"""The parameters of each method."""

NAMES: dict[str, frozenset[str]] = {
    "_prepare_inputs": frozenset(
        {"_step", "_buffered_inputs", "steps_per_generation", "num_iterations", "_generate_and_score_completions",
         "split_pixel_values_by_grid", "shuffle_sequence_dict", "split_tensor_dict"}
    ),
    "_generate_single_turn": frozenset(
        {"generation_config", "generation_kwargs", "model_wrapped", "_tokenizer", "eos_token_ids",
         "gradient_checkpointing_kwargs", "unwrap_model_for_generation"}
    ),
    "_generate_and_score_completions": frozenset(
        {"_generate", "_get_per_token_logps_and_entropies", "gradient_accumulation_steps", "steps_per_generation",
         "num_iterations", "mask_truncated_completions"}
    ),
    "_compute_loss": frozenset({"_get_per_token_logps_and_entropies", "aux_loss_enabled"}),
}  # fmt: skip
"""The names that the code of each method must use: attributes and functions that our method shares with it."""


def check_trl(trainer: type) -> None:
    """Refuse a TRL whose trainer works differently from the one for which prompt sharing was written.

    Args:
        trainer: TRL's ``GRPOTrainer``.

    Raises:
        TrainingError: a method differs; the message names it, the difference, and the remedy.
    """
    for name, known in PARAMETERS.items():
        if not hasattr(trainer, name):
            _refuse(f"has no {name}")
        method = getattr(trainer, name)
        found = tuple(inspect.signature(method).parameters)
        if found != known:
            other = sorted({*found} ^ {*known}) or list(found)
            _refuse(f"has another {name} (it differs in {', '.join(other)})")
        missing = sorted(NAMES.get(name, frozenset()) - _names_in(method))
        if missing:
            _refuse(f"has another {name} (it makes no use of {', '.join(missing)})")


def _names_in(method: object) -> set[str]:
    """Return the names that a function's code uses, whatever is wrapped around it."""
    plain = inspect.unwrap(method)  # type: ignore[arg-type]  # a function of a class
    return {*plain.__code__.co_names, *plain.__code__.co_freevars}


def _refuse(what: str) -> None:
    raise TrainingError(
        f"TRL {version('trl')} {what}: prompts cannot be shared as if it were {KNOWN_TRL}; "
        f"pip install '{KNOWN_TRL}', or set share_prompts: false"
    )
