"""Instruction-following editors: diffusion pipelines of the ``diffusers`` library, dispatched on their class.

Differences between pipelines are in :data:`.pipelines.ADAPTERS`, differences between checkpoints of one pipeline in
:data:`.published_weights.CHECKPOINTS`. Only safetensors are read, and no code that comes with a model is run. A model
with missing weights is refused, because the libraries would fill them with random numbers and only warn.

Noise is drawn on the CPU, from one generator for each job, so a job's noise depends on its seed alone, not on the
device or on the other jobs of a batch.
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
"""Default model; it has the licence Apache-2.0, needs four steps, and takes 13 GB."""


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
        """Use a pipeline that is already in memory, on its device.

        Args:
            pipeline: pipeline of a class in :data:`.pipelines.ADAPTERS`.
            name: name of the model.
            revision: commit or hash that identifies the weights.
            checkpoint: its licence, and its steps and guidance where they differ from the adapter's.
            steps: denoising steps; None means as released.
            guidance: scale of the guidance; 1 turns it off; None means as released.
            max_pixels: largest area at which the pipeline works, in pixels; None means as released.
            batch_size: instructions in one call. More than 1 is faster on a GPU, but then the rounding of a job's
                picture may depend on the other jobs of the batch.

        Raises:
            InputError: the pipeline's class is unknown, or it does not have a setting.
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
            device: such as ``cpu`` or ``cuda:1``; None means the best one available.
            dtype: number type of the weights, or its name, such as ``bfloat16``; None: bfloat16 on CUDA, else float32.
            offload: what is kept in main memory until it is needed: nothing (``none``), whole models (``model``), or
                single layers (``sequential``, which needs the least GPU memory and is slowest).
            compile: compile the repeated blocks of the denoiser; the first edit at each picture size takes longer.
            cache: ``first_block`` skips the later blocks in steps where the first one hardly changed; ``taylorseer``
                extrapolates the attention of most steps from earlier steps. Both change the pictures a little.
            cache_threshold, cache_interval: see :class:`.pipeline_loading.StepCache`.
            lora: a safetensors file, or ``owner/model:file.safetensors`` on the hub; it is added to the weights. A
                LoRA of the Lightning series for Qwen, recognised by its file name, sets its own steps and schedule.
            steps, guidance, max_pixels, batch_size: see :class:`DiffusionEditor`.

        Raises:
            InputError: the pipeline's class is unknown, or it or the device does not have a setting.
            BackendError: the model or LoRA cannot be fetched, is incomplete, or does not fit on the device.
            MissingDependency: diffusers, or a package that a setting needs, is not installed.
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
        # Offloading is left out, because it changes only time and memory.
        editor.settings |= {"device": place.type, "dtype": str(weights_in), "compile": compile, **step_cache.settings()}
        return editor

    def edit(self, source: Image.Image, jobs: Sequence[EditJob]) -> list[EditOutcome]:
        """Edit one picture in several ways; see :meth:`redaes.datagen.editors.base.Editor.edit`.

        If a batch fails, its jobs are done again one by one, so that one job does not spoil the others.

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
        """Return the source at the size at which the pipeline works.

        It is resized here because the pipelines crop or squeeze pictures that do not fit their grid, and then the edit
        would no longer match the source.
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
                    # As numbers, because in a picture a NaN would have become an ordinary black pixel.
                    output_type="np",
                )
        except (RuntimeError, ValueError) as error:
            # torch.OutOfMemoryError is a RuntimeError, and so are errors of compilers and kernels.
            memory = isinstance(error, torch.OutOfMemoryError)
            reason: Failure = "out_of_memory" if memory else "editor_error"
            detail = f"{type(error).__name__}: {first_line(error)}"
        else:
            withheld = getattr(result, "nsfw_content_detected", None) or [False] * len(jobs)
            return [
                _outcome(pixels, size, bool(hidden)) for pixels, hidden in zip(result.images, withheld, strict=True)
            ]
        # This is outside of the handler, in which the error would keep the memory of the failed call alive.
        self._pipeline.maybe_free_model_hooks()  # also clears what a cache stored in the failed pass
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(jobs) > 1:
            return [outcome for job in jobs for outcome in self._call(picture, size, [job])]
        return [EditOutcome(failure=reason, detail=detail)]

    def _cache_context(self) -> AbstractContextManager[Any]:
        """Return a context that names the pass for a cache, if the pipeline does not do so itself."""
        if not self._adapter.cache_context:
            context: AbstractContextManager[Any] = denoiser_of(self._pipeline).cache_context("cond")
            return context
        return nullcontext()


def _dtype_of(given: torch.dtype | str | None, place: torch.device) -> torch.dtype:
    """Return the number format of the weights, which recipes give by name.

    Raises:
        InputError: pipelines cannot compute in it.
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
    """Return the width and height to work at; the aspect ratio is kept as far as the grid permits.

    Args:
        size: width and height of the source, in pixels.
        max_pixels: largest area.
        multiple: number of which both sides are multiples.
        enlarge: whether a smaller source is enlarged to that area.
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
    # Rounding up may have exceeded the area; the longer side is reduced, where a step changes the aspect least.
    while sides[0] * sides[1] > max_pixels and max(sides) > least:
        sides[sides.index(max(sides))] -= multiple
    return sides[0], sides[1]


def _outcome(pixels: np.ndarray[Any, Any], size: tuple[int, int], withheld: bool) -> EditOutcome:
    """Return one result of a pipeline as a picture of the source's size.

    Args:
        pixels: (H, W, 3) in [0, 1].
        size: width and height of the source.
        withheld: whether the pipeline's safety filter blackened it.
    """
    if withheld:
        return EditOutcome(failure="withheld", detail="the pipeline's safety filter blackened the picture")
    if not np.isfinite(pixels).all():
        return EditOutcome(failure="not_finite", detail="the picture holds NaN or infinity; try float32")
    image = Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8))
    return EditOutcome(image=image if image.size == size else image.resize(size, Image.Resampling.LANCZOS))
