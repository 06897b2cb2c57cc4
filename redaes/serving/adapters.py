"""Whether vLLM would serve an adapter as it was trained; what it leaves out, it leaves out without a word."""

from __future__ import annotations

import json
from pathlib import Path

from redaes.backends.base import ADAPTER_CONFIG
from redaes.backends.preprocessing import image_settings
from redaes.errors import BackendError

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of LoRA that vLLM makes room for."""


def check_patches(adapter: Path, model: Path) -> None:
    """Refuse an adapter whose pictures are prepared otherwise than its base's in more than their size.

    Raises:
        BackendError: names the setting.
    """
    theirs, own = image_settings(adapter) or {}, image_settings(model) or {}
    for name in ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std", "rescale_factor"):
        if name in theirs and name in own and theirs[name] != own[name]:
            raise BackendError(
                f"{adapter} was trained with {name} {theirs[name]}, {model} has {own[name]}, which vLLM would use; "
                "merge the adapter (stages/merge.py) and serve that, or give the base of its training"
            )


def room_for(adapter: Path) -> int:
    """The rank that vLLM is to make room for.

    Raises:
        BackendError: not an adapter, or one that vLLM would not serve as it was trained.
    """
    try:
        config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        rank = int(config["r"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BackendError(f"{adapter}: no {ADAPTER_CONFIG} that can be read ({error}); give a LoRA adapter") from error
    merge = "merge it into the model (peft: merge_and_unload) and serve that"
    for field in ("use_dora", "modules_to_save"):
        if config.get(field):
            raise BackendError(f"{adapter}: vLLM serves no adapter with {field}; {merge}")
    # vLLM leaves such weights out and answers all the same.
    strange = [name for name in _tensors(adapter / "adapter_model.safetensors") if ".visual." in name]
    if strange:
        raise BackendError(f"{adapter} also changes the vision tower ({strange[0]}), which vLLM leaves out; {merge}")
    room = next((size for size in _RANKS if size >= rank), None)
    if room is None:
        raise BackendError(f"{adapter} has rank {rank}; vLLM takes up to {_RANKS[-1]}; {merge}")
    return room


def _tensors(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            return list(tensors.keys())
    except (OSError, SafetensorError) as error:
        raise BackendError(f"{file} cannot be read ({error}); copy or train the adapter again") from error
