"""LoRAs on a pipeline: find the file, tell which licence applies, and add it to the weights."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from redaes.backends.loading import first_line
from redaes.datagen.editors.diffusion.published_weights import Checkpoint, checkpoint_of
from redaes.errors import BackendError, InputError

_LORA = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+):(?P<file>[\w./-]+\.safetensors)")
_LIGHTNING = re.compile(r"Lightning-(?P<steps>\d+)steps", re.IGNORECASE)


def lora_file_of(lora: str) -> Path:
    """Return the file of a LoRA; it is downloaded if it is on the hub."""
    if Path(lora).is_file():
        if Path(lora).suffix != ".safetensors":
            raise InputError(f"{lora} is not a safetensors file; redaes reads no other format")
        return Path(lora)
    named = _LORA.fullmatch(lora)
    if named is None:
        raise InputError(f"no LoRA {lora!r}; give a safetensors file, or owner/model:file.safetensors on the hub")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(named["repository"], named["file"]))
    except (OSError, ValueError) as error:
        raise BackendError(f"LoRA {lora} cannot be fetched from the hub: {first_line(error)}") from error


def with_lora(checkpoint: Checkpoint, lora: str, file: Path) -> Checkpoint:
    """Return the data of a model with a LoRA added: both licences, and the steps if it is a Lightning LoRA."""
    named = _LORA.fullmatch(lora)
    own = checkpoint_of(named["repository"] if named is not None else file.resolve().parent)
    licences = sorted({checkpoint.licence, own.licence})
    lightning = _LIGHTNING.search(file.name)
    return Checkpoint(
        licence=" AND ".join(licences),
        commercial=checkpoint.commercial and own.commercial,
        steps=int(lightning["steps"]) if lightning else checkpoint.steps,
        guidance=1.0 if lightning else checkpoint.guidance,
    )


def fuse(pipeline: Any, file: Path) -> None:
    """Add a LoRA to the weights permanently, so that offloading, compiling and caching need not handle it."""
    from safetensors import SafetensorError

    try:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, use_safetensors=True)
        if not pipeline.get_active_adapters():
            raise ValueError("none of its weights fits")
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, SafetensorError) as error:
        raise BackendError(f"LoRA {file} does not fit the model ({first_line(error)})") from error
    if _LIGHTNING.search(file.name):
        # The noise schedule with which the Lightning series was distilled.
        pipeline.scheduler = type(pipeline.scheduler).from_config(
            pipeline.scheduler.config,
            base_shift=math.log(3),
            max_shift=math.log(3),
            shift=1.0,
            shift_terminal=None,
            time_shift_type="exponential",
            use_dynamic_shifting=True,
        )
