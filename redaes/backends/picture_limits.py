"""A server's limits on pictures: reading them from its refusals, and shrinking pictures to them.

=====================================================================  ===============================================
what is said                                                           by
=====================================================================  ===============================================
at most N image(s) may be provided in one prompt, or request           vLLM (``--limit-mm-per-prompt``)
image exceeds 5 MB maximum: N bytes > M bytes                          Anthropic (anthropics/claude-code#10612)
image dimensions exceed max allowed size (…): N pixels                 Anthropic (anthropics/claude-code#9375)
``n_prompt_tokens``, ``n_ctx``                                         llama.cpp (``exceed_context_size_error``)
maximum context length is N tokens … M in the messages                 vLLM, OpenAI
prompt (length M) is longer than the maximum model length of N         vLLM
=====================================================================  ===============================================

If a server has a limit on size, pictures are shrunk in this request and in all that follow, and the answer says so. A
limit on their number cannot be met if it is below the two pictures of a comparison.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from redaes.backends.pictures import EncodedPicture
from redaes.types import Record

STATUSES = frozenset({400, 413, 422})

LEAST_PIXELS = 64 * 64
"""Smallest area to which pictures are shrunk, in pixels: smaller ones cannot be judged."""

_NUMBER = re.compile(r"[Aa]t most (\d+) image\(?s?\)? may be provided in one (?:prompt|request)")
_BYTES = re.compile(r"image exceeds [\d.]+ MB maximum: \d+ bytes > (\d+) bytes")
_SIDE = re.compile(r"image dimensions exceed max allowed size[\w\s-]*: (\d+) pixels")
_CONTEXT = (
    re.compile(r'"n_prompt_tokens": ?(?P<asked>\d+).{0,80}?"n_ctx": ?(?P<room>\d+)', re.DOTALL),
    re.compile(r"maximum context length is (?P<room>\d+) tokens.{0,120}?(?P<asked>\d+) (?:in the messages|input)"),
    re.compile(r"prompt \(length (?P<asked>\d+)\) is longer than the maximum model length of (?P<room>\d+)"),
)

_ROOM_FOR_WORDS = 0.6
"""Share of a model's context that pictures may fill if they must be shrunk to fit [ours]."""

Positive = Annotated[int, Field(ge=1)]


class PictureLimits(Record):
    """Limits of one server; a field that is None: no limit is known."""

    n: Annotated[int, Field(ge=0)] | None = None
    """Largest number of pictures in a request."""
    side: Positive | None = None
    """Largest length of a side, in pixels."""
    pixels: Positive | None = None
    """Largest area of a picture, in pixels."""
    n_bytes: Positive | None = None
    """Largest length of a picture in base64, as it is sent."""

    def within(self, other: PictureLimits) -> PictureLimits:
        """Return both limits together."""
        both = {name: (getattr(self, name), getattr(other, name)) for name in _NAMES}
        least = {name: min((one for one in pair if one is not None), default=None) for name, pair in both.items()}
        return PictureLimits(**least)

    @property
    def lasting(self) -> PictureLimits:
        """The limits that are a server's rule and do not depend on how it was started."""
        return PictureLimits(side=self.side, n_bytes=self.n_bytes)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the size of a picture within the limits on its sides, its shape kept."""
        scale = 1.0
        if self.side is not None:
            scale = min(scale, self.side / max(width, height))
        if self.pixels is not None:
            scale = min(scale, math.sqrt(self.pixels / (width * height)))
        return _scaled(width, height, scale)

    @property
    def change(self) -> str:
        """The change that the limits make to a larger picture, for the record."""
        units = (("side", "px"), ("pixels", "pixels"), ("n_bytes", "bytes"))
        told = [f"{getattr(self, name)} {unit}" for name, unit in units if getattr(self, name) is not None]
        return f"pictures within {', '.join(told)}"


_HEAD = len("data:image/png;base64,")

_NAMES = tuple(PictureLimits.model_fields)


def named_limits(status: int, content: bytes, areas: list[int]) -> PictureLimits | None:
    """Return the limit that a refusal names; None: it names none.

    Args:
        status: status of the answer.
        content: content of the answer, as it came.
        areas: areas of the pictures that were sent, in pixels.

    >>> named_limits(400, b"At most 1 image(s) may be provided in one prompt.", [1024, 1024])
    PictureLimits(n=1, side=None, pixels=None, n_bytes=None)
    """
    if status not in STATUSES or not areas:
        return None
    text = content.decode("utf-8", "replace")
    if match := _NUMBER.search(text):
        return PictureLimits(n=int(match[1]))
    if match := _BYTES.search(text):
        return PictureLimits(n_bytes=int(match[1]))
    if match := _SIDE.search(text):
        return PictureLimits(side=int(match[1]))
    for pattern in _CONTEXT:
        if match := pattern.search(text):
            share = _ROOM_FOR_WORDS * int(match["room"]) / max(1, int(match["asked"]))
            area = int(max(areas) * min(1.0, share))
            return PictureLimits(pixels=area) if area >= LEAST_PIXELS else None
    return None


def urls_within(pictures: Sequence[EncodedPicture], limits: PictureLimits) -> tuple[list[str], bool]:
    """Return pictures of one request as they are sent to a server with limits, and whether any was shrunk for them.

    If one picture has too many bytes, all are shrunk to the area at which it fits, so that pictures that are compared
    are treated alike.
    """
    cap = limits
    while True:
        sizes = [cap.size(*picture.image.size) for picture in pictures]
        urls = [picture.url_at(size) for picture, size in zip(pictures, sizes, strict=True)]
        longest = max(urls, key=len, default="")
        if limits.n_bytes is None or len(longest) - _HEAD <= limits.n_bytes:
            return urls, any(size != picture.image.size for picture, size in zip(pictures, sizes, strict=True))
        width, height = sizes[urls.index(longest)]
        area = int(0.9 * width * height * limits.n_bytes / len(longest))
        if area < LEAST_PIXELS:
            return urls, True  # the server will say that it is still too long
        cap = cap.within(PictureLimits(pixels=area))


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    if scale >= 1.0:
        return width, height
    return max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
