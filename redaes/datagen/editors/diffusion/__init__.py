"""Instruction-following editors: diffusion pipelines of the ``diffusers`` library, dispatched on their class.

What differs between the pipelines stands in :data:`.pipelines.ADAPTERS`, what differs between checkpoints of one
pipeline in :data:`.published_weights.CHECKPOINTS`. Only safetensors are read, no code that comes with a model is run,
and a model with missing weights is refused: the libraries would fill them with random numbers and a warning.

Noise is drawn on the CPU, from one generator per job, so a job's noise depends on its seed alone, not on the
device or on the jobs beside it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from redaes.backends.loading import first_line
from redaes.datagen.editors.base import EditJob, EditOutcome, Failure, check_source
from redaes.datagen.editors.diffusion.loras import fuse, lora_file_of, with_lora
from redaes.datagen.editors.diffusion.pipeline_loading import (
    Cache,
    Offload,
    StepCache,
    check_loading,
    denoiser_of,
    hash_of,
    load_whole,
    pipeline_folder,
    pipeline_index,
    place_pipeline,
)
from redaes.datagen.editors.diffusion.pipelines import adapter_of, check_settings
from redaes.datagen.editors.diffusion.published_weights import UNKNOWN, Checkpoint, checkpoint_of
from redaes.errors import InputError, MissingDependency
from redaes.models.device import find_device

DEFAULT_MODEL = "black-forest-labs/FLUX.2-klein-4B"
"""Apache-2.0, four steps, 13 GB."""


class DiffusionEditor:
    """A diffusion pipeline that edits by instruction."""

    def __init__(
        self,
        pipeline: Any,
        name: str,
        revision: str,
        *,
        checkpoint: Checkpoint = UNKNOWN,
        steps: int | None = None,
        guidance: float | None = None,
        max_pixels: int | None = None,
        batch_size: int = 1,
    ) -> None:
        """Drive a pipeline that is already in memory, on its device.

        Args:
            pipeline: pipeline of a class in :data:`.pipelines.ADAPTERS`.
            name: name of the model.
            revision: what pins the weights.
            checkpoint: its licence, and its steps and guidance where they differ from the adapter's.
            steps: denoising steps; None: as released.
            guidance: scale of the guidance; 1 is off; None: as released.
            max_pixels: cap on the area at which the pipeline works, in pixels; None: as released.
            batch_size: instructions per call. Above 1 is faster on a GPU, and a job's picture then may differ
                in rounding with the jobs beside it.

        Raises:
            InputError: an unknown pipeline, or a setting that it does not have.
        """
        kind = type(pipeline).__name__
        adapter = adapter_of(kind)
        check_settings(kind, adapter, steps=steps, guidance=guidance, max_pixels=max_pixels, batch_size=batch_size)
        released_steps, released_guidance = adapter.steps, adapter.guidance
        if adapter.distilled is not None and pipeline.config.get("is_distilled"):
            released_steps, released_guidance = adapter.distilled
        self.name = f"diffusers:{kind}/{name}"
        self.revision = revision
        self.licence = checkpoint.licence
        self.commercial = checkpoint.commercial
        self.steps = steps or checkpoint.steps or released_steps
        self.guidance = next(x for x in (guidance, checkpoint.guidance, released_guidance) if x is not None)
        self.max_pixels = max_pixels or adapter.max_pixels
        self.settings: dict[str, str | int | float | bool | None] = {
            "steps": self.steps,
            "guidance": self.guidance,
            "max_pixels": self.max_pixels,
            "batch_size": batch_size,
        }
        self._adapter = adapter
        self._pipeline = pipeline
        self._batch_size = batch_size
        pipeline.set_progress_bar_config(disable=True)

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: torch.dtype | str | None = None,
        offload: Offload = "none",
        compile: bool = False,
        cache: Cache = "none",
        cache_threshold: float | None = None,
        cache_interval: int | None = None,
        lora: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        max_pixels: int | None = None,
        batch_size: int = 1,
    ) -> DiffusionEditor:
        """Load a pipeline from a folder or from the hub.

        All settings are checked before weights are fetched or read.

        Args:
            model: folder or hub name.
            revision: branch, tag or commit on the hub.
            device: such as ``cpu`` or ``cuda:1``; None: the best there is.
            dtype: number type of the weights, or its name, such as ``bfloat16``; None: bfloat16 on CUDA, else float32.
            offload: what waits in main memory: nothing, models that are not at work (``model``), or every
                layer (``sequential``: least GPU memory, slowest).
            compile: compile the repeated blocks of the denoiser; the first edit of each picture size waits.
            cache: ``first_block`` skips the later blocks in steps where the first one hardly changed; ``taylorseer``
                extrapolates the attention of most steps from those before. Both change the pictures a little.
            cache_threshold, cache_interval: see :class:`.pipeline_loading.StepCache`.
            lora: a safetensors file, or ``owner/model:file.safetensors`` on the hub; fused into the weights. One
                of the Lightning series for Qwen, told by its file name, brings its steps and schedule along.
            steps, guidance, max_pixels, batch_size: see :class:`DiffusionEditor`.

        Raises:
            InputError: an unknown pipeline, or a setting that it or the device does not have.
            BackendError: the model or LoRA cannot be had, is incomplete, or does not fit the device.
            MissingDependency: diffusers, or what a setting needs, is not installed.
        """
        try:
            from diffusers import DiffusionPipeline
        except ImportError as error:
            raise MissingDependency("diffusers", "diffusion") from error
        place = find_device(device)
        weights_in = _dtype_of(dtype, place)
        index = pipeline_index(model, revision)
        kind = str(index.get("_class_name"))
        adapter = adapter_of(kind)
        check_settings(kind, adapter, steps=steps, guidance=guidance, max_pixels=max_pixels, batch_size=batch_size)
        step_cache = StepCache(cache, cache_threshold, cache_interval)
        check_loading(kind, adapter, place, offload=offload, compile=compile, cache=step_cache, lora=lora)
        if steps is not None:
            step_cache.check_steps(steps)

        checkpoint = checkpoint_of(model)
        name = str(model) if not Path(model).is_dir() else Path(model).resolve().name
        folder, pin = pipeline_folder(model, revision)
        lora_file = None
        if lora is not None:
            lora_file = lora_file_of(lora)
            checkpoint = with_lora(checkpoint, lora, lora_file)
            name, pin = f"{name} + {lora_file.name}", f"{pin}+{hash_of([lora_file])}"
        pipeline = load_whole(DiffusionPipeline, folder, index, weights_in)
        if lora_file is not None:
            fuse(pipeline, lora_file)
        place_pipeline(pipeline, place, offload)
        editor = cls(
            pipeline,
            name,
            pin,
            checkpoint=checkpoint,
            steps=steps,
            guidance=guidance,
            max_pixels=max_pixels,
            batch_size=batch_size,
        )
        step_cache.check_steps(editor.steps)
        denoiser = denoiser_of(pipeline)
        step_cache.enable(denoiser)
        if compile:
            denoiser.compile_repeated_blocks()
        # Not where models wait: that changes nothing but time and memory.
        editor.settings |= {"device": place.type, "dtype": str(weights_in), "compile": compile, **step_cache.settings()}
        return editor

    def edit(self, source: Image.Image, jobs: Sequence[EditJob]) -> list[EditOutcome]:
        """Edit one picture in several ways; see :meth:`redaes.datagen.editors.base.Editor.edit`.

        A batch that fails is done again one by one, so that one job does not take the others along.

        Raises:
            InputError: the picture is not RGB or is empty.
        """
        check_source(source)
        picture = self._prepared(source)
        outcomes: dict[int, EditOutcome] = {}
        ready: list[int] = []
        for number, job in enumerate(jobs):
            n_tokens = self._n_tokens(job.instruction)
            if n_tokens > self._adapter.max_tokens:
                detail = f"{n_tokens} tokens; {self.name} reads {self._adapter.max_tokens}"
                outcomes[number] = EditOutcome(failure="instruction_too_long", detail=detail)
            else:
                ready.append(number)
        for start in range(0, len(ready), self._batch_size):
            batch = ready[start : start + self._batch_size]
            made = self._call(picture, source.size, [jobs[number] for number in batch])
            outcomes.update(zip(batch, made, strict=True))
        return [outcomes[number] for number in range(len(jobs))]

    def _prepared(self, source: Image.Image) -> Image.Image:
        """Return the source in the size that the pipeline works at.

        Resized here, because the pipelines cut off or squeeze what does not fit their grid, and the edit would
        no longer lie on the source.
        """
        if self.max_pixels is None:
            return source
        multiple = self._adapter.side_multiple * int(self._pipeline.vae_scale_factor)
        size = working_size(
            source.size,
            self.max_pixels,
            multiple,
            enlarge=self._adapter.enlarges,
            min_side=self._adapter.min_side,
        )
        return source if size == source.size else source.resize(size, Image.Resampling.LANCZOS)

    def _n_tokens(self, instruction: str) -> int:
        tokenizer = getattr(self._pipeline, self._adapter.tokenizer)
        return len(tokenizer(instruction, truncation=False, verbose=False)["input_ids"])

    def _call(self, picture: Image.Image, size: tuple[int, int], jobs: list[EditJob]) -> list[EditOutcome]:
        generators = [torch.Generator("cpu").manual_seed(job.seed) for job in jobs]
        arguments = self._adapter.arguments(picture, [job.instruction for job in jobs], self.guidance)
        try:
            with self._cache_context():
                result = self._pipeline(
                    **arguments,
                    num_inference_steps=self.steps,
                    generator=generators if self._adapter.batches else generators[0],
                    # As numbers, because a NaN would become an ordinary black pixel on the way to a picture.
                    output_type="np",
                )
        except (RuntimeError, ValueError) as error:
            # torch.OutOfMemoryError is a RuntimeError; so is what compilers and kernels raise.
            memory = isinstance(error, torch.OutOfMemoryError)
            reason: Failure = "out_of_memory" if memory else "editor_error"
            detail = f"{type(error).__name__}: {first_line(error)}"
        else:
            withheld = getattr(result, "nsfw_content_detected", None) or [False] * len(jobs)
            return [
                _outcome(pixels, size, bool(hidden)) for pixels, hidden in zip(result.images, withheld, strict=True)
            ]
        # Outside of the handler, where the error would hold the memory of the failed call.
        self._pipeline.maybe_free_model_hooks()  # also forgets what a cache holds of the broken pass
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(jobs) > 1:
            return [outcome for job in jobs for outcome in self._call(picture, size, [job])]
        return [EditOutcome(failure=reason, detail=detail)]

    def _cache_context(self) -> AbstractContextManager[Any]:
        """Return the name of the pass, where a cache wants it and the pipeline does not say it."""
        if not self._adapter.cache_context:
            context: AbstractContextManager[Any] = denoiser_of(self._pipeline).cache_context("cond")
            return context
        return nullcontext()


def _dtype_of(given: torch.dtype | str | None, place: torch.device) -> torch.dtype:
    """Return the number format of the weights; recipes name it.

    Raises:
        InputError: it is none in which pipelines compute.
    """
    if given is None:
        return torch.bfloat16 if place.type == "cuda" else torch.float32
    for known in (torch.bfloat16, torch.float16, torch.float32):
        if given in (known, str(known).removeprefix("torch.")):
            return known
    raise InputError(f"dtype is {given!r}; give bfloat16, float16 or float32")


def working_size(
    size: tuple[int, int], max_pixels: int, multiple: int, *, enlarge: bool = False, min_side: int = 1
) -> tuple[int, int]:
    """Return the width and height to work at: the same aspect as far as the grid permits.

    Args:
        size: width and height of the source, in pixels.
        max_pixels: largest area.
        multiple: of which both sides shall be.
        enlarge: whether a smaller source is brought to that area too.
        min_side: shortest side; where it and the area cannot both be kept, the area is exceeded.

    >>> working_size((77, 101), 1024 * 1024, 16)
    (80, 96)
    >>> working_size((1536, 1024), 1024 * 1024, 16)
    (1248, 832)
    """
    width, height = size
    scale = math.sqrt(max_pixels / (width * height))
    if not enlarge:
        scale = min(scale, 1.0)
    if scale < min_side / min(size):
        scale, max_pixels = min_side / min(size), sys.maxsize
    least = math.ceil(min_side / multiple) * multiple
    sides = [max(least, round(side * scale / multiple) * multiple) for side in size]
    # Rounding up may have gone over the area; the longer side gives way, where a step changes the aspect least.
    while sides[0] * sides[1] > max_pixels and max(sides) > least:
        sides[sides.index(max(sides))] -= multiple
    return sides[0], sides[1]


def _outcome(pixels: np.ndarray[Any, Any], size: tuple[int, int], withheld: bool) -> EditOutcome:
    """Return one result as a picture of the source's size.

    Args:
        pixels: (H, W, 3) in [0, 1].
        size: width and height of the source.
        withheld: whether the pipeline blackened it.
    """
    if withheld:
        return EditOutcome(failure="withheld", detail="the pipeline's safety filter blackened the picture")
    if not np.isfinite(pixels).all():
        return EditOutcome(failure="not_finite", detail="the picture holds NaN or infinity; try float32")
    image = Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8))
    return EditOutcome(image=image if image.size == size else image.resize(size, Image.Resampling.LANCZOS))
