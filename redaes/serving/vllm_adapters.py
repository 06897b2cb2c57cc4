"""Check whether vLLM would serve an adapter as it was trained, since vLLM ignores unsupported parts silently."""

from __future__ import annotations

from pathlib import Path

from redaes.backends.adapters import adapter_settings, vllm_limits, vllm_room
from redaes.backends.preprocessing import image_settings
from redaes.errors import BackendError


def check_patches(adapter: Path, model: Path) -> None:
    """Refuse an adapter whose picture preprocessing differs from its base's in more than the size.

    Raises:
        BackendError: a setting differs; the message names it.
    """
    theirs, own = image_settings(adapter) or {}, image_settings(model) or {}
    for name in ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std", "rescale_factor"):
        if name in theirs and name in own and theirs[name] != own[name]:
            raise BackendError(
                f"{adapter} was trained with {name} {theirs[name]}, {model} has {own[name]}, which vLLM would use; "
                "merge the adapter (redaes train merge) and serve that, or give the base of its training"
            )


def room_for(adapter: Path) -> int:
    """Return the rank that vLLM must reserve room for.

    Raises:
        BackendError: not an adapter, or one that vLLM would not serve as it was trained.
    """
    settings = adapter_settings(adapter)
    limits = vllm_limits(settings, _tensors(adapter / "adapter_model.safetensors"))
    if limits:
        raise BackendError(f"{adapter}: {'; '.join(limits)}; merge it (redaes train merge) and serve the merged model")
    return vllm_room(int(settings["r"]))


def _tensors(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            return list(tensors.keys())
    except (OSError, SafetensorError) as error:
        raise BackendError(f"{file} cannot be read ({error}); copy or train the adapter again") from error
