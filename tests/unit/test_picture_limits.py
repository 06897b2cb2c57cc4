"""Limits on pictures that a refusal names, and pictures within them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from redaes.backends.picture_limits import LEAST_PIXELS, PictureLimits, named_limits, urls_within
from redaes.backends.pictures import EncodedPicture

CLAUDE = "messages.0.content.1.image.source.base64"

REFUSALS: list[tuple[int, Any, dict[str, int] | None]] = [
    # vLLM, --limit-mm-per-prompt
    (400, {"error": {"message": "At most 1 image(s) may be provided in one prompt. (parameter=image)"}}, {"n": 1}),
    (400, {"message": "At most 0 image(s) may be provided in one request."}, {"n": 0}),
    # https://github.com/anthropics/claude-code/issues/10612
    (400, f"{CLAUDE}: image exceeds 5 MB maximum: 15908784 bytes > 5242880 bytes", {"n_bytes": 5_242_880}),
    # https://github.com/anthropics/claude-code/issues/4778 and 9375
    (400, f"{CLAUDE}.data: At least one of the image dimensions exceed max allowed size: 8000 pixels", {"side": 8000}),
    (400, "image dimensions exceed max allowed size for many-image requests: 2000 pixels", {"side": 2000}),
    # llama.cpp: 0.6 of the context for pictures of a million pixels that took twice the context
    (
        400,
        {"error": {"n_prompt_tokens": 8192, "n_ctx": 4096}},
        {"pixels": 300_000},
    ),
    (
        400,
        "This model's maximum context length is 4096 tokens. However, you requested 8448 tokens (8192 in the messages, "
        "256 in the completion).",
        {"pixels": 300_000},
    ),
    (400, "The decoder prompt (length 8192) is longer than the maximum model length of 4096.", {"pixels": 300_000}),
    (400, {"error": {"n_prompt_tokens": 8_000_000, "n_ctx": 100}}, None),
    (400, "image is too large", None),
    (413, "Request Entity Too Large", None),
    (500, "At most 1 image(s) may be provided in one prompt.", None),
]


@pytest.mark.parametrize(("status", "content", "limits"), REFUSALS)
def test_limits_that_are_named(status: int, content: Any, limits: dict[str, int] | None) -> None:
    data = content if isinstance(content, str) else json.dumps(content)
    found = named_limits(status, data.encode(), [1_000_000, 500_000])
    assert found == (None if limits is None else PictureLimits(**limits))


def test_a_refusal_of_words_alone_is_none_of_pictures() -> None:
    assert named_limits(400, b"maximum context length is 10 tokens. (20 in the messages", []) is None


def test_both_limits_together() -> None:
    one, other = PictureLimits(side=100, n=4), PictureLimits(side=80, pixels=5000)
    assert one.within(other) == other.within(one) == PictureLimits(side=80, n=4, pixels=5000)
    assert one.lasting == PictureLimits(side=100)


def noise(width: int, height: int) -> EncodedPicture:
    values = np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8)
    return EncodedPicture(Image.fromarray(values))


def test_pictures_are_shrunk_in_their_shape_and_others_left_alone() -> None:
    wide, small = noise(400, 100), noise(50, 50)
    urls, changed = urls_within([wide, small], PictureLimits(side=200))
    assert changed
    assert urls == [wide.url_at((200, 50)), small.url]
    assert urls_within([small], PictureLimits(side=200)) == ([small.url], False)
    assert PictureLimits(side=200).change == "pictures within 200 px"


def test_pictures_that_are_too_long_are_all_held_to_one_area() -> None:
    large, middle = noise(400, 300), noise(300, 300)
    limit = len(large.url) // 2
    urls, changed = urls_within([large, middle], PictureLimits(n_bytes=limit))
    assert changed
    assert all(len(url) <= limit + 30 for url in urls)
    areas = [width * height for (width, height) in (next(iter(one._smaller)) for one in (large, middle))]
    assert areas[0] == pytest.approx(areas[1], rel=0.03)
    # What cannot be kept to ends: the server says so.
    assert urls_within([large], PictureLimits(n_bytes=100))[1]
    assert LEAST_PIXELS > 0
