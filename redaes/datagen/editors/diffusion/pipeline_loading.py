"""Load a pipeline from a folder or the hub: complete, of a known revision, and on the device where it computes."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from redaes.backends.loading import first_line
from redaes.datagen.editors.diffusion.pipelines import Adapter
from redaes.errors import BackendError, InputError, MissingDependency
from redaes.file_hashes import content_hash

Offload = Literal["none", "model", "sequential"]
Cache = Literal["none", "first_block", "taylorseer"]

_HASH_DIGITS = 12
_INDEX = "model_index.json"
_PINS = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})
"""Endings of the files on which a pipeline's pictures depend."""


TAYLORSEER_WARM_UP = 3
"""Steps that are computed in full before the TaylorSeer cache extrapolates; with fewer steps it saves nothing."""


@dataclass(frozen=True)
class StepCache:
    """A cache that saves some of the work in steps that resemble earlier ones; it changes the pictures a little."""

    kind: Cache = "none"
    threshold: float | None = None
    """Threshold of the first-block cache: the other blocks are skipped if the first block's result has changed less
    than this, relatively. None means the library's default.
    """
    interval: int | None = None
    """Interval of the TaylorSeer cache: one in so many steps is computed, and in the others attention is extrapolated.
    None means the library's default."""

    def check(self, kind: str, adapter: Adapter) -> None:
        """Refuse caches and settings that a class of pipelines does not have.

        Raises:
            InputError: a setting does not fit; the message says which, and what to give.
        """
        if self.kind not in get_args(Cache):
            raise InputError(f"cache is {self.kind!r}; give one of {', '.join(get_args(Cache))}")
        if self.kind == "first_block" and not adapter.first_block:
            raise InputError(f"the first-block cache does not know {kind}; leave cache at none")
        if self.kind == "taylorseer" and not adapter.taylorseer:
            raise InputError(f"the TaylorSeer cache does not know {kind}; leave cache at none")
        if self.threshold is not None:
            if self.kind != "first_block":
                raise InputError("cache_threshold belongs to cache=first_block; leave it out")
            if not (math.isfinite(self.threshold) and self.threshold > 0):
                raise InputError(f"cache_threshold is {self.threshold}; give more than 0, such as 0.05")
        if self.interval is not None:
            if self.kind != "taylorseer":
                raise InputError("cache_interval belongs to cache=taylorseer; leave it out")
            if self.interval < 2:
                raise InputError(f"cache_interval is {self.interval}; give at least 2")

    def check_steps(self, steps: int) -> None:
        """Refuse a cache that would never be used.

        Raises:
            InputError: there are too few steps.
        """
        if self.kind == "taylorseer" and steps <= TAYLORSEER_WARM_UP:
            raise InputError(
                f"the TaylorSeer cache computes the first {TAYLORSEER_WARM_UP} steps whole, and there are {steps}; "
                "leave cache at none"
            )

    def enable(self, denoiser: Any) -> None:
        """Turn the cache on for a pipeline's denoiser."""
        from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

        if self.kind == "first_block":
            own = {} if self.threshold is None else {"threshold": self.threshold}
            denoiser.enable_cache(FirstBlockCacheConfig(**own))
        elif self.kind == "taylorseer":
            interval = {} if self.interval is None else {"cache_interval": self.interval}
            denoiser.enable_cache(
                TaylorSeerCacheConfig(
                    disable_cache_before_step=TAYLORSEER_WARM_UP,
                    taylor_factors_dtype=denoiser.dtype,  # the library's bfloat16 would round float32 results
                    **interval,
                )
            )

    def settings(self) -> dict[str, str | float | None]:
        """Return the settings of the cache on which pictures depend."""
        found: dict[str, str | float | None] = {"cache": self.kind}
        if self.threshold is not None:
            found["cache_threshold"] = self.threshold
        if self.interval is not None:
            found["cache_interval"] = self.interval
        return found


def check_loading(
    kind: str, adapter: Adapter, place: torch.device, *, offload: str, compile: bool, cache: StepCache, lora: str | None
) -> None:
    """Refuse settings that the pipeline or the device does not have.

    Raises:
        InputError: a setting is unknown or not available here.
        MissingDependency: a package that a setting needs is not installed.
    """
    if offload not in get_args(Offload):
        raise InputError(f"offload is {offload!r}; give one of {', '.join(get_args(Offload))}")
    cache.check(kind, adapter)
    if offload != "none" and place.type == "cpu":
        raise InputError(f"offload={offload} moves models between a GPU and main memory; the device is the CPU")
    if offload == "sequential" and compile:
        raise InputError("compiled blocks cannot be offloaded layer by layer; choose offload=model, or compile=False")
    if lora is not None and not adapter.lora:
        raise InputError(f"{kind} takes no LoRA; leave lora out")
    if offload != "none":
        _need("accelerate")
    if lora is not None:
        _need("peft")


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingDependency(package, "diffusion")


def pipeline_index(model: str | Path, revision: str | None) -> Mapping[str, Any]:
    """Return the content of ``model_index.json``: the classes of the pipeline and of its parts."""
    from diffusers import DiffusionPipeline

    if Path(model).is_dir():
        if revision is not None:
            raise InputError(f"{model} is a folder, which has no revisions; leave revision out")
        if not (Path(model) / _INDEX).is_file():
            raise BackendError(f"{model} has no {_INDEX}; give the folder of a diffusers pipeline")
    try:
        found = DiffusionPipeline.load_config(str(model), revision=revision)
    except (OSError, ValueError) as error:
        raise BackendError(
            f"{model}: there is no such pipeline folder, and the Hugging Face Hub does not provide such a pipeline "
            f"({first_line(error)}); check the spelling"
        ) from error
    index: Mapping[str, Any] = found[0] if isinstance(found, tuple) else found
    return index


def pipeline_folder(model: str | Path, revision: str | None) -> tuple[Path, str]:
    """Return the folder of the files and what identifies them: the hub's commit, or a hash of all relevant files."""
    from diffusers import DiffusionPipeline

    if Path(model).is_dir():
        folder = Path(model)
        return folder, hash_of(sorted(file for file in folder.rglob("*") if file.suffix in _PINS))
    try:
        folder = Path(
            DiffusionPipeline.download(str(model), revision=revision, use_safetensors=True, trust_remote_code=False)
        )
    except (OSError, ValueError) as error:
        raise BackendError(f"{model} cannot be fetched from the hub: {first_line(error)}") from error
    return folder, folder.name  # the cache names a snapshot by its commit


def hash_of(files: Sequence[Path]) -> str:
    """Return the first digits of the SHA-256 over the names and contents of files; it reads all of them."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}:{content_hash(file)}\n".encode())
    return digest.hexdigest()[:_HASH_DIGITS]


def load_whole(pipeline_class: Any, folder: Path, index: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """Return the pipeline on the CPU, with every weight loaded from the files.

    Raises:
        BackendError: files or weights are missing.
    """
    import diffusers
    import transformers
    from safetensors import SafetensorError

    libraries = {"diffusers": diffusers, "transformers": transformers}
    modules: dict[str, Any] = {}
    try:
        for part, entry in index.items():
            if part.startswith("_") or not isinstance(entry, list | tuple) or entry[0] not in libraries:
                continue
            kind = getattr(libraries[entry[0]], entry[1])
            if not issubclass(kind, torch.nn.Module):
                continue
            module, loading = kind.from_pretrained(
                folder / part, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
            if loading["missing_keys"]:
                missing = sorted(loading["missing_keys"])
                raise BackendError(
                    f"{folder / part} lacks {len(missing)} weights, such as {missing[0]}; copy the model again"
                )
            modules[part] = module
        pipeline = pipeline_class.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False, **modules
        )
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, SafetensorError) as error:
        raise BackendError(f"{folder} cannot be loaded ({first_line(error)}); copy the model again") from error
    _check_tokenizers(pipeline, folder)
    return pipeline


def _check_tokenizers(pipeline: Any, folder: Path) -> None:
    """Refuse tokenizers without a vocabulary: transformers makes an empty tokenizer of them without an error."""
    for part, component in pipeline.components.items():
        if part.startswith("tokenizer"):
            text = component.decode(component("picture")["input_ids"], skip_special_tokens=True)
            if text.replace(" ", "").lower() != "picture":
                raise BackendError(f"{folder / part} is not a working tokenizer; copy the model again")


def place_pipeline(pipeline: Any, place: torch.device, offload: Offload) -> None:
    """Move the models to where they compute, or have them moved when they are needed.

    Raises:
        BackendError: they do not fit in memory.
    """
    try:
        if offload == "model":
            pipeline.enable_model_cpu_offload(device=place)
        elif offload == "sequential":
            pipeline.enable_sequential_cpu_offload(device=place)
        else:
            pipeline.to(place)
    except RuntimeError as error:
        raise BackendError(
            f"the pipeline cannot be moved to {place}: {first_line(error)}; try offload=model"
        ) from error


def denoiser_of(pipeline: Any) -> Any:
    """Return the model that removes the noise step by step."""
    return pipeline.transformer if "transformer" in pipeline.components else pipeline.unet
