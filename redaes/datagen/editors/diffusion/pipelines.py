"""What differs between the classes of pipelines: how each is called, and what it can be asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from redaes.errors import InputError

_MEGAPIXEL = 1024 * 1024

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
    taylorseer: bool = True
    """Whether the TaylorSeer cache finds its transformer's attention."""
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
        taylorseer=False,  # a U-Net, which takes no cache at all
        max_tokens=77,
    ),
}
"""Adapters by the class of the pipeline in ``model_index.json``."""


def adapter_of(kind: str) -> Adapter:
    """Return the adapter of a class of pipelines.

    Raises:
        InputError: there is none.
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
    """Refuse what a class of pipelines does not take; None: as released.

    Raises:
        InputError: says which, and what to give.
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
