"""Differences between the classes of pipelines: how each is called, and which settings it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from redaes.errors import InputError

_MEGAPIXEL = 1024 * 1024

Arguments = Callable[[Image.Image, list[str], float], dict[str, Any]]
"""Makes the arguments of a pipeline, except steps and generators, from picture, instructions and guidance."""


@dataclass(frozen=True)
class Adapter:
    """How a class of pipelines is called, and its properties."""

    arguments: Arguments
    steps: int
    guidance: float
    """Scale of the classifier-free guidance (for FLUX.1: of the distilled guidance); 1 turns it off."""
    max_pixels: int | None
    """Largest area at which the pipeline works, in pixels; None if it resizes pictures to an area of its own."""
    enlarges: bool = False
    """Whether smaller pictures are enlarged to that area."""
    side_multiple: int = 2
    """Sides are rounded to multiples of this number times the scale of the autoencoder."""
    min_side: int = 1
    """Shortest side that the pipeline accepts, in pixels; smaller pictures are enlarged."""
    batches: bool = False
    """Whether one call can make several edits of one picture."""
    first_block: bool = False
    """Whether the first-block cache supports its transformer."""
    taylorseer: bool = True
    """Whether the TaylorSeer cache supports its transformer."""
    cache_context: bool = True
    """Whether the pipeline itself tells the cache which pass is running."""
    lora: bool = True
    distilled: tuple[int, float] | None = None
    """Steps and guidance for checkpoints that say that they are distilled; None if there are none."""
    tokenizer: str = "tokenizer"
    max_tokens: int = 512
    """Number of tokens after which the pipeline cuts an instruction off."""


def _klein(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    # One picture for all instructions: a list of pictures would be taken as several references.
    size = {"height": picture.height, "width": picture.width}
    return {"image": picture, "prompt": instructions, "guidance_scale": guidance, **size}


def _kontext(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    return {
        "image": picture,
        "prompt": instructions,
        "guidance_scale": guidance,
        "height": picture.height,
        "width": picture.width,
        # The picture already has its working size; the pipeline would squeeze it into one of a list of sizes.
        "max_area": picture.height * picture.width,
        "_auto_resize": False,
    }


def _qwen(picture: Image.Image, instructions: list[str], guidance: float) -> dict[str, Any]:
    # The pipeline uses guidance only with a negative prompt; the model was released with a blank one.
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
        # first_block is off: in diffusers 0.42 that cache fails on the single blocks of FLUX.2.
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
    # One instruction at a time: LongCat reads only the first of several, Qwen-Edit-Plus refuses them, and Qwen-Edit
    # needs as many pictures as instructions.
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
        taylorseer=False,  # its U-Net supports no cache at all
        max_tokens=77,
    ),
}
"""Adapters by the class of the pipeline, as ``model_index.json`` names it."""


def adapter_of(kind: str) -> Adapter:
    """Return the adapter of a class of pipelines.

    Raises:
        InputError: there is no adapter for it.
    """
    if kind not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise InputError(f"no adapter for pipelines of class {kind}; there are {known}")
    return ADAPTERS[kind]


def check_settings(
    kind: str,
    adapter: Adapter,
    *,
    steps: int | None,
    guidance: float | None,
    max_pixels: int | None,
    batch_size: int,
) -> None:
    """Refuse settings that a class of pipelines does not have; None means as released.

    Raises:
        InputError: a setting does not fit; the message says which, and what to give.
    """
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
