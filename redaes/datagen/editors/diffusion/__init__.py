"""Instruction-following editors: diffusion pipelines of the ``diffusers`` library, dispatched on their class.

What differs between the pipelines stands in :data:`ADAPTERS`, what differs between checkpoints of one pipeline in
:data:`CHECKPOINTS`. Only safetensors are read, no code that comes with a model is run, and a model with missing
weights is refused: the libraries would fill them with random numbers and a warning.

Noise is drawn on the CPU, from one generator per job, so a job's noise depends on its seed alone, not on the
device or on the jobs beside it.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image

from redaes.backends.loading import first_line
from redaes.datagen.editors.base import EditJob, EditOutcome, Failure, check_source
from redaes.errors import BackendError, InputError, MissingDependency

DEFAULT_MODEL = "black-forest-labs/FLUX.2-klein-4B"
"""Apache-2.0, four steps, 13 GB."""

Offload = Literal["none", "model", "sequential"]
Cache = Literal["none", "first_block"]

_MEGAPIXEL = 1024 * 1024
_HASH_DIGITS = 12
_INDEX = "model_index.json"
_PINS = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})
"""Endings of the files that decide what a pipeline draws."""
_LORA = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+):(?P<file>[\w./-]+\.safetensors)")
_LIGHTNING = re.compile(r"Lightning-(?P<steps>\d+)steps", re.IGNORECASE)


# --- Checkpoints --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """What is known of published weights."""

    licence: str
    """SPDX expression."""
    commercial: bool
    """Whether the licence permits commercial use."""
    steps: int | None = None
    """None: as the pipeline's adapter says."""
    guidance: float | None = None


_APACHE = Checkpoint("Apache-2.0", True)
_FLUX_1 = Checkpoint("LicenseRef-FLUX.1-dev-Non-Commercial", False)
_FLUX_2 = Checkpoint("LicenseRef-FLUX-Non-Commercial", False)
_UNKNOWN = Checkpoint("LicenseRef-unknown", False)

CHECKPOINTS: dict[str, Checkpoint] = {
    "black-forest-labs/FLUX.2-klein-4B": _APACHE,
    "black-forest-labs/FLUX.2-klein-base-4B": _APACHE,
    "black-forest-labs/FLUX.2-klein-9B": _FLUX_2,
    "black-forest-labs/FLUX.2-klein-base-9B": _FLUX_2,
    "black-forest-labs/FLUX.2-dev": _FLUX_2,
    "black-forest-labs/FLUX.1-Kontext-dev": _FLUX_1,
    "Qwen/Qwen-Image-Edit": _APACHE,
    "Qwen/Qwen-Image-Edit-2509": _APACHE,
    "Qwen/Qwen-Image-Edit-2511": _APACHE,
    "Qwen/Qwen-Image-2.1": Checkpoint("LicenseRef-Qwen-Research", False),
    "lightx2v/Qwen-Image-Lightning": _APACHE,
    "lightx2v/Qwen-Image-Edit-2511-Lightning": _APACHE,
    "meituan-longcat/LongCat-Image-Edit": _APACHE,
    "meituan-longcat/LongCat-Image-Edit-Turbo": Checkpoint("Apache-2.0", True, steps=8, guidance=1.0),
    # The repository says MIT; the Stable Diffusion 1.5 that it was trained from is under CreativeML OpenRAIL-M,
    # which permits commercial use and forbids certain purposes.
    "timbrooks/instruct-pix2pix": Checkpoint("MIT AND LicenseRef-CreativeML-OpenRAIL-M", True),
}
"""By hub name: models and LoRAs whose licences were looked up, also of some that no adapter is for."""


def checkpoint_of(model: str | Path) -> Checkpoint:
    """What is known of a model: found by its hub name, or a folder by the last part of one.

    Whatever is not in the table is not known to permit commercial use.

    >>> checkpoint_of("black-forest-labs/FLUX.2-klein-9B").commercial
    False
    >>> checkpoint_of("someone/fine-tune").licence
    'LicenseRef-unknown'
    """
    name = str(model).lower()
    for known, checkpoint in CHECKPOINTS.items():
        if name == known.lower():
            return checkpoint
    # A copy on disk under its own name. Not so a hub name: someone else's copy may be something else.
    if Path(model).is_dir():
        for known, checkpoint in CHECKPOINTS.items():
            if Path(model).resolve().name.lower() == known.rpartition("/")[2].lower():
                return checkpoint
    return _UNKNOWN


# --- Pipelines ----------------------------------------------------------------------------------------

Arguments = Callable[[Image.Image, list[str], float], dict[str, Any]]
"""Picture, instructions, guidance -> what a pipeline is called with, besides steps and generators."""


@dataclass(frozen=True)
class Adapter:
    """How a class of pipelines is driven."""

    arguments: Arguments
    steps: int
    guidance: float
    """Scale of the classifier-free guidance, of the distilled one for FLUX.1; 1 is off."""
    max_pixels: int | None
    """Area at which the pipeline works at most, in pixels; None: it resizes to an area of its own."""
    enlarges: bool = False
    """Whether smaller pictures are enlarged to that area."""
    side_multiple: int = 2
    """Sides are rounded to this many times the scale of the autoencoder."""
    min_side: int = 1
    """Shortest side that the pipeline takes, in pixels; smaller pictures are enlarged."""
    batches: bool = False
    """Whether it takes several instructions for one picture in one call."""
    first_block: bool = False
    """Whether the first-block cache knows its transformer."""
    cache_context: bool = True
    """Whether the pipeline itself tells the cache which pass is which."""
    lora: bool = True
    distilled: tuple[int, float] | None = None
    """Steps and guidance where the checkpoint says that it is distilled."""
    tokenizer: str = "tokenizer"
    max_tokens: int = 512
    """Tokens of an instruction, after which the pipeline cuts."""


def _klein(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    # One picture, however many instructions: a list of pictures would be several references.
    size = {"height": picture.height, "width": picture.width}
    return {"image": picture, "prompt": instructions, "guidance_scale": guidance, **size}


def _kontext(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    return {
        "image": picture,
        "prompt": instructions,
        "guidance_scale": guidance,
        "height": picture.height,
        "width": picture.width,
        # The picture comes in the size to work at; the pipeline would squeeze it into one of a list of sizes.
        "max_area": picture.height * picture.width,
        "_auto_resize": False,
    }


def _qwen(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    # The pipeline guides only when there is a negative prompt; a blank one is what the model was released with.
    negative = {"negative_prompt": " "} if guidance > 1 else {}
    return {"image": picture, "prompt": instructions[0], "true_cfg_scale": guidance, **negative}


def _longcat(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    return {"image": picture, "prompt": instructions[0], "negative_prompt": "", "guidance_scale": guidance}


def _instruct_pix2pix(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    return {
        "image": [picture] * len(instructions),
        "prompt": instructions,
        "guidance_scale": guidance,
        "image_guidance_scale": 1.5,
    }


ADAPTERS: dict[str, Adapter] = {
    "Flux2KleinPipeline": Adapter(
        _klein,
        steps=50,
        guidance=4.0,
        distilled=(4, 1.0),
        max_pixels=_MEGAPIXEL,
        min_side=64,
        batches=True,
        # Not first_block: in diffusers 0.42 that cache breaks on the single blocks of FLUX.2.
    ),
    "FluxKontextPipeline": Adapter(
        _kontext,
        steps=28,
        guidance=2.5,
        max_pixels=_MEGAPIXEL,
        enlarges=True,
        batches=True,
        first_block=True,
        cache_context=False,
        tokenizer="tokenizer_2",
    ),
    # One at a time: of several instructions LongCat reads the first, Qwen-Edit-Plus refuses them, and Qwen-Edit
    # wants as many pictures as instructions.
    "LongCatImageEditPipeline": Adapter(_longcat, steps=50, guidance=4.5, max_pixels=None, lora=False),
    "QwenImageEditPipeline": Adapter(_qwen, steps=50, guidance=4.0, max_pixels=None, first_block=True),
    "QwenImageEditPlusPipeline": Adapter(_qwen, steps=40, guidance=4.0, max_pixels=None, first_block=True),
    "StableDiffusionInstructPix2PixPipeline": Adapter(
        _instruct_pix2pix,
        steps=20,
        guidance=7.5,
        max_pixels=512 * 512,
        side_multiple=1,
        batches=True,
        max_tokens=77,
    ),
}
"""By the class of the pipeline, as ``model_index.json`` names it."""


class DiffusionEditor:
    """A diffusion pipeline that edits by instruction."""

    def __init__(
        self,
        pipeline: Any,
        name: str,
        revision: str,
        *,
        checkpoint: Checkpoint = _UNKNOWN,
        steps: int | None = None,
        guidance: float | None = None,
        max_pixels: int | None = None,
        batch_size: int = 1,
    ) -> None:
        """Drive a pipeline that is already in memory, on its device.

        Args:
            pipeline: of a class in :data:`ADAPTERS`.
            name: of the model.
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
        adapter = _adapter(kind)
        _check(kind, adapter, steps=steps, guidance=guidance, max_pixels=max_pixels, batch_size=batch_size)
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
        dtype: torch.dtype | None = None,
        offload: Offload = "none",
        compile: bool = False,
        cache: Cache = "none",
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
            dtype: None: bfloat16 on CUDA, else float32.
            offload: what waits in main memory: nothing, models that are not at work (``model``), or every
                layer (``sequential``: least GPU memory, slowest).
            compile: compile the repeated blocks of the denoiser; the first edit of each picture size waits.
            cache: ``first_block`` skips the later blocks in steps where the first one hardly changed; it
                changes the pictures a little.
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
        place = _device(device)
        if dtype is None:
            dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
        index = _index(model, revision)
        kind = str(index.get("_class_name"))
        adapter = _adapter(kind)
        _check(kind, adapter, steps=steps, guidance=guidance, max_pixels=max_pixels, batch_size=batch_size)
        _check_loading(kind, adapter, place, offload=offload, compile=compile, cache=cache, lora=lora)

        checkpoint = checkpoint_of(model)
        name = str(model) if not Path(model).is_dir() else Path(model).resolve().name
        folder, pin = _folder(model, revision)
        lora_file = None
        if lora is not None:
            lora_file = _lora_file(lora)
            checkpoint = _with_lora(checkpoint, lora, lora_file)
            name, pin = f"{name} + {lora_file.name}", f"{pin}+{_hash([lora_file])}"
        pipeline = _load_whole(DiffusionPipeline, folder, index, dtype)
        if lora_file is not None:
            _fuse(pipeline, lora_file)
        _place(pipeline, place, offload)
        denoiser = _denoiser(pipeline)
        if cache == "first_block":
            from diffusers import FirstBlockCacheConfig

            denoiser.enable_cache(FirstBlockCacheConfig())
        if compile:
            denoiser.compile_repeated_blocks()
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
        # Not where models wait: that changes nothing but time and memory.
        editor.settings |= {"device": place.type, "dtype": str(dtype), "compile": compile, "cache": cache}
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
        """The source in the size that the pipeline works at.

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
        """The name of the pass, where a cache wants it and the pipeline does not say it."""
        if self._adapter.first_block and not self._adapter.cache_context:
            context: AbstractContextManager[Any] = _denoiser(self._pipeline).cache_context("cond")
            return context
        return nullcontext()


def working_size(
    size: tuple[int, int], max_pixels: int, multiple: int, *, enlarge: bool = False, min_side: int = 1
) -> tuple[int, int]:
    """Width and height to work at: the same aspect as far as the grid permits.

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
    """One result as a picture of the source's size.

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


# --- Settings -----------------------------------------------------------------------------------------


def _adapter(kind: str) -> Adapter:
    if kind not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise InputError(f"no adapter for pipelines of class {kind}; there are {known}")
    return ADAPTERS[kind]


def _check(
    kind: str,
    adapter: Adapter,
    *,
    steps: int | None,
    guidance: float | None,
    max_pixels: int | None,
    batch_size: int,
) -> None:
    if steps is not None and steps < 1:
        raise InputError(f"steps is {steps}; give at least 1")
    if guidance is not None and not (math.isfinite(guidance) and guidance >= 0):
        raise InputError(f"guidance is {guidance}; give 0 or more")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; give at least 1")
    if batch_size > 1 and not adapter.batches:
        raise InputError(f"{kind} takes one instruction at a time; leave batch_size at 1")
    if max_pixels is not None:
        if adapter.max_pixels is None:
            raise InputError(f"{kind} chooses the size it works at; leave max_pixels out")
        if max_pixels < 1:
            raise InputError(f"max_pixels is {max_pixels}; give at least 1")


def _check_loading(
    kind: str, adapter: Adapter, place: torch.device, *, offload: str, compile: bool, cache: str, lora: str | None
) -> None:
    for name, value, choices in (("offload", offload, get_args(Offload)), ("cache", cache, get_args(Cache))):
        if value not in choices:
            raise InputError(f"{name} is {value!r}; give one of {', '.join(choices)}")
    if offload != "none" and place.type == "cpu":
        raise InputError(f"offload={offload} moves models between a GPU and main memory; the device is the CPU")
    if offload == "sequential" and compile:
        raise InputError("compiled blocks cannot be offloaded layer by layer; choose offload=model, or compile=False")
    if cache == "first_block" and not adapter.first_block:
        raise InputError(f"the first-block cache does not know {kind}; leave cache at none")
    if lora is not None and not adapter.lora:
        raise InputError(f"{kind} takes no LoRA; leave lora out")
    if offload != "none":
        _need("accelerate")
    if lora is not None:
        _need("peft")


def _need(package: str) -> None:
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise MissingDependency(package, "diffusion")


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts that it has it
        raise BackendError(f"this torch has no device {name!r} ({first_line(error)}); try cpu") from error
    return device


# --- Loading ------------------------------------------------------------------------------------------


def _index(model: str | Path, revision: str | None) -> Mapping[str, Any]:
    """What ``model_index.json`` says: the classes of the pipeline and of its parts."""
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
            f"{model}: neither the folder of a pipeline nor to be had from the hub ({first_line(error)}); "
            "check the spelling"
        ) from error
    index: Mapping[str, Any] = found[0] if isinstance(found, tuple) else found
    return index


def _folder(model: str | Path, revision: str | None) -> tuple[Path, str]:
    """Where the files are, and what pins them: the commit on the hub, or a hash of all files that matter."""
    from diffusers import DiffusionPipeline

    if Path(model).is_dir():
        folder = Path(model)
        return folder, _hash(sorted(file for file in folder.rglob("*") if file.suffix in _PINS))
    try:
        folder = Path(
            DiffusionPipeline.download(str(model), revision=revision, use_safetensors=True, trust_remote_code=False)
        )
    except (OSError, ValueError) as error:
        raise BackendError(f"{model} cannot be fetched from the hub: {first_line(error)}") from error
    return folder, folder.name  # the cache names a snapshot by its commit


def _hash(files: Sequence[Path]) -> str:
    """First digits of the SHA-256 over the names and contents of files; reads all of them."""
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):  # a shard may be larger than memory
                content.update(block)
        digest.update(f"{file.parent.name}/{file.name}:{content.hexdigest()}\n".encode())
    return digest.hexdigest()[:_HASH_DIGITS]


def _load_whole(pipeline_class: Any, folder: Path, index: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """The pipeline, on the CPU, with every weight from the files.

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
    """Where the vocabulary is absent, transformers makes an empty tokenizer and says nothing."""
    for part, component in pipeline.components.items():
        if part.startswith("tokenizer"):
            text = component.decode(component("picture")["input_ids"], skip_special_tokens=True)
            if text.replace(" ", "").lower() != "picture":
                raise BackendError(f"{folder / part} is no working tokenizer; copy the model again")


def _place(pipeline: Any, place: torch.device, offload: Offload) -> None:
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


def _denoiser(pipeline: Any) -> Any:
    return pipeline.transformer if "transformer" in pipeline.components else pipeline.unet


def _lora_file(lora: str) -> Path:
    """The file of a LoRA, fetched where it is on the hub."""
    if Path(lora).is_file():
        if Path(lora).suffix != ".safetensors":
            raise InputError(f"{lora} is no safetensors file; other formats are not read")
        return Path(lora)
    named = _LORA.fullmatch(lora)
    if named is None:
        raise InputError(f"no LoRA {lora!r}; give a safetensors file, or owner/model:file.safetensors on the hub")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(named["repository"], named["file"]))
    except (OSError, ValueError) as error:
        raise BackendError(f"LoRA {lora} cannot be fetched from the hub: {first_line(error)}") from error


def _with_lora(checkpoint: Checkpoint, lora: str, file: Path) -> Checkpoint:
    """What holds for a model with a LoRA on it: both licences, and the steps of a Lightning one."""
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


def _fuse(pipeline: Any, file: Path) -> None:
    """Add a LoRA to the weights for good: offloading, compiling and caching then need not know of it."""
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
        # The noise schedule that the Lightning series was distilled with.
        pipeline.scheduler = type(pipeline.scheduler).from_config(
            pipeline.scheduler.config,
            base_shift=math.log(3),
            max_shift=math.log(3),
            shift=1.0,
            shift_terminal=None,
            time_shift_type="exponential",
            use_dynamic_shifting=True,
        )
