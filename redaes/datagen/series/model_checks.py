"""Plug-ins of series refinement that need a model: agreement of picture and prompt, and plausibility.

Both are :class:`~redaes.datagen.series.refinement.PictureCheck`. Neither has a default model or limit: the right ones
depend on the pictures, and we have not measured which they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from pydantic import ValidationError
from transformers import CLIPImageProcessor, CLIPModel

from redaes import prompts
from redaes.backends.chat_replies import Reply
from redaes.backends.chat_requests import ChatRequest
from redaes.backends.endpoint import Endpoint
from redaes.backends.failures import Failure, refuse_lost
from redaes.backends.pictures import EncodedPicture
from redaes.errors import BackendError, InputError, ParseError
from redaes.models.fgaesq.network import revision
from redaes.models.fgaesq.texts import text_embeddings
from redaes.types import Record, Sampling

PLAUSIBILITY = "picture_check/v1"


class Alignment:
    """Reject pictures as ``misaligned`` whose cosine to their prompt in a CLIP model is below a limit.

    A picture without a prompt passes, because there is nothing that it could fail to show.
    """

    def __init__(self, clip: Path, least: float) -> None:
        """
        Args:
            clip: folder of a CLIP model with tokenizer and image processor, safetensors.
            least: smallest cosine, in [-1, 1].

        Raises:
            InputError: the limit is out of range.
            BackendError: there is no such model.
        """
        if not math.isfinite(least) or not -1 <= least <= 1:
            raise InputError(f"the least alignment is {least}; give a cosine from -1 to 1")
        try:
            self._processor = CLIPImageProcessor.from_pretrained(clip, local_files_only=True)
            self._model, loading = CLIPModel.from_pretrained(
                clip, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
            raise BackendError(f"{clip} holds no CLIP model with an image processor ({error})") from error
        if loading["missing_keys"]:
            raise BackendError(f"{clip} lacks weights, such as {min(loading['missing_keys'])}; copy the model again")
        self._model.eval()
        self._clip = clip
        self.least = least
        self.name = f"alignment {revision(clip)} >= {least}"

    def __call__(self, pictures: Sequence[Image.Image], prompts: Sequence[str | None]) -> list[str | None]:
        """Check pictures as :class:`~redaes.datagen.series.refinement.PictureCheck` says.

        Raises:
            BackendError: the model has no tokenizer.
        """
        told = [number for number, prompt in enumerate(prompts) if prompt is not None]
        if not told:
            return [None] * len(pictures)
        texts = text_embeddings(self._clip, [prompt for prompt in prompts if prompt is not None])
        found: list[str | None] = [None] * len(pictures)
        with torch.inference_mode():
            inputs = self._processor(images=[pictures[number] for number in told], return_tensors="pt")
            seen = torch.nn.functional.normalize(self._embedded(inputs["pixel_values"]), dim=-1)
        for row, number in zip(seen, told, strict=True):
            cosine = float(row @ texts[prompts[number] or ""])
            found[number] = "misaligned" if cosine < self.least else None
        return found

    def _embedded(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return embeddings (n, d) in the joint space of pictures and texts."""
        hidden = self._model.vision_model(pixel_values=pixels).pooler_output
        embedded: torch.Tensor = self._model.visual_projection(hidden)
        return embedded


# The docstring is sent to the server as a part of the schema.
class PlausibilityAnswer(Record):
    """A model's answer about one picture."""

    subject: bool
    """Whether the picture shows something."""
    whole: bool
    """Whether nothing in it is broken."""
    seen: str
    """What it shows, in the model's words; it is not used."""


class Plausibility:
    """Ask a vision-language model, and reject pictures as ``no_subject`` or ``defective``, or as ``unanswered`` with
    the reason.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """
        Args:
            endpoint: the model; it is opened for every series.
        """
        self.endpoint = endpoint
        prompt = prompts.load(PLAUSIBILITY)
        pinned = hashlib.sha256(endpoint.revision.encode()).hexdigest()[:12] if endpoint.revision else "unpinned"
        self.name = f"plausibility {endpoint.model} {pinned} {prompt.id}"

    def __call__(self, pictures: Sequence[Image.Image], prompts: Sequence[str | None]) -> list[str | None]:
        """Check pictures as :class:`~redaes.datagen.series.refinement.PictureCheck` says; it must not be called from a
        running event loop.

        Raises:
            EndpointError: the server is the reason why no question was answered.
            BackendError: the endpoint's settings do not allow questions.
        """

        async def run() -> list[Reply | Failure]:
            async with self.endpoint:
                return await self.endpoint.ask_many([_question(picture) for picture in pictures])

        replies = asyncio.run(run())
        refuse_lost(replies)
        return [_reason(reply) for reply in replies]


def _question(picture: Image.Image) -> ChatRequest:
    prompt = prompts.load(PLAUSIBILITY)
    return ChatRequest.of(prompt, (EncodedPicture(picture),), Sampling(), schema=PlausibilityAnswer.model_json_schema())


def _reason(reply: Reply | Failure) -> str | None:
    if isinstance(reply, Failure):
        return f"unanswered_{reply.reason}"
    try:
        seen = PlausibilityAnswer.model_validate(reply.decoded(), strict=True)
    except ParseError as error:
        return f"unanswered_{error.reason}"
    except ValidationError:
        return "unanswered_not_the_schema"
    if not seen.subject:
        return "no_subject"
    return None if seen.whole else "defective"
