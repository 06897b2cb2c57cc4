"""Qwen's own vocabulary, from the package that its makers publish it in, as the tokenizer of a Qwen-VL."""

from __future__ import annotations

import base64
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""From id 151,643 on."""
MARKUP = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip
"""After them; the last four came with Qwen3. Tokens of their own, and not skipped when text is decoded."""


@cache
def tokenizer() -> Any:
    """The tokenizer of Qwen3-VL, in about four seconds; Qwen2.5-VL's is the same without the last four of `MARKUP`."""
    from tokenizers import AddedToken
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    spec = find_spec("dashscope")
    if spec is None or spec.origin is None:
        pytest.skip("Qwen's vocabulary is in the package dashscope: pip install 'redaes[dev]'")
    lines = (Path(spec.origin).parent / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    letters = _letters(ByteLevel)
    vocabulary = {_shown(token, letters): rank for token, rank in ranks.items()}
    merges = [
        tuple(_shown(part, letters) for part in _parts(token, rank, ranks))
        for token, rank in ranks.items()
        if len(token) > 1
    ]
    vocabulary |= {text: len(ranks) + n for n, text in enumerate([*SPECIAL, *MARKUP])}
    made = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None
    )
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    made.add_tokens([AddedToken(text, normalized=False, special=False) for text in MARKUP])
    return made


def _letters(byte_level: Any) -> dict[int, str]:
    """The letter that stands for each byte in a byte-level vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    assert sorted(letters.values()) == sorted(byte_level.alphabet())
    return letters


def _shown(token: bytes, letters: dict[int, str]) -> str:
    return "".join(letters[byte] for byte in token)


def _parts(token: bytes, rank: int, ranks: dict[bytes, int]) -> list[bytes]:
    """The two tokens that this one was merged of: what the merges before it make of its bytes."""
    parts = [token[n : n + 1] for n in range(len(token))]
    while len(parts) > 2:
        places = [(ranks.get(parts[n] + parts[n + 1], rank), n) for n in range(len(parts) - 1)]
        _, n = min(places)
        parts[n : n + 2] = [parts[n] + parts[n + 1]]
    return parts
