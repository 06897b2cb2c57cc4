"""Attention over a packed row, in which the common beginning of several sequences occurs once.

The row is a sequence of segments, which form trees: a prompt and the answers that branch off from it; a picture, the
pictures that it is compared with, and the questions about each two. A token attends to all segments from which its own
segment branches off and to the tokens of its own segment up to itself, and to nothing else in the row.

transformers' models pass keyword arguments on to their attention, also through LoRA, DDP, DeepSpeed and recomputation;
the layout of a row is passed in this way. Everything else in a language model works token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from redaes.attention.branch_decoding import BranchDecoding
from redaes.attention.float32 import FLOAT32_ATTENTION

BRANCHES = "token_tree"
"""The keyword argument with the layout of a row: a tuple of `Segment`, a `ContinuedRow`, or a `BranchDecoding`.

Without it, attention is calculated as usual."""

_SUFFIX = "_branches"
_FULL_ATTENTION = "full_attention"


@dataclass(frozen=True)
class Segment:
    """Consecutive tokens of a row that all have the same tokens before them."""

    start: int
    """Place of the first token."""
    n_tokens: int
    """Number of tokens. Zero is possible: a prompt of one token has no tokens that its branches do not repeat."""
    parent: int | None = None
    """Number of the segment from which it branches off, which is earlier in the row; None if nothing is before it."""

    @property
    def end(self) -> int:
        """Place after the last token."""
        return self.start + self.n_tokens


KeysAndValues = dict[int, tuple[Tensor, Tensor]]
"""Keys and values of a segment's tokens, each (1, key heads, n, d), by the number of the layer."""


@dataclass(frozen=True)
class ContinuedRow:
    """A row whose segments branch off from segments of an earlier row."""

    segments: tuple[Segment, ...]
    known: Mapping[int, KeysAndValues]
    """Keys and values of segments without tokens in this row, by their numbers."""
    kept: Mapping[int, KeysAndValues] = field(default_factory=dict)
    """Keys and values that later rows need, by the number of the segment; filled in during the forward pass."""

    def in_layer(self, layer: int, key: Tensor, value: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
        """Return the known keys and values of a layer, and keep those of this row that later rows need."""
        for number, found in self.kept.items():
            own = slice(self.segments[number].start, self.segments[number].end)
            found[layer] = key[:, :, own].clone(), value[:, :, own].clone()
        return {number: found[layer] for number, found in self.known.items()}


def tree_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Sequence[Segment],
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    known: Mapping[int, tuple[Tensor, Tensor]] | None = None,
) -> Tensor:
    """Return the attention of a packed row. Segments that branch off from the same one are calculated together.

    Args:
        query: shape (1, heads, L, d), after the rotation by positions.
        key: shape (1, key heads, L, d); each key head serves an equal number of consecutive query heads.
        value: shape as ``key``.
        segments: segments of the row in their order, without gaps.
        scaling: factor by which scores are multiplied; None means one over the square root of d.
        dropout: share of the attention weights that is dropped.
        known: keys and values of segments without tokens in the row, by the segments' numbers.

    Returns:
        Shape (1, heads, L, d).
    """
    attend = partial(scaled_dot_product_attention, scale=scaling, dropout_p=dropout)
    n_heads, n_key_heads = query.shape[1], key.shape[1]
    # The tensors are split in one operation, because the gradient of each slice would be as long as the whole row.
    lengths = [segment.n_tokens for segment in segments]
    queries, keys, values = ([*row.split(lengths, dim=2)] for row in (query, key, value))
    for number, (its_keys, its_values) in (known or {}).items():
        keys[number], values[number] = its_keys, its_values
    found = [*queries]
    for parent, siblings in _branches_of(segments).items():
        if parent is None:
            for one in siblings:
                found[one] = attend(
                    queries[one], keys[one], values[one], is_causal=True, enable_gqa=n_heads != n_key_heads
                )
            continue
        before = _line_to(segments, parent)
        seen_keys, seen_values = (
            torch.cat(
                [*(row[one].expand(len(siblings), -1, -1, -1) for one in before), _side_by_side(row, siblings)], 2
            )
            for row in (keys, values)
        )
        # Query heads that share a key head become rows of it, so that keys need not be repeated for each of them.
        branches = _side_by_side(queries, siblings)
        longest, n_before = branches.shape[2], seen_keys.shape[2] - branches.shape[2]
        folded = branches.reshape(len(siblings), n_key_heads, -1, query.shape[-1])
        seen = _what_branches_see(n_before, longest, query).repeat(n_heads // n_key_heads, 1)
        answered = attend(folded, seen_keys, seen_values, attn_mask=seen)
        for one, branch in zip(siblings, answered.reshape(branches.shape).split(1), strict=True):
            found[one] = branch[:, :, : lengths[one]]
    return torch.cat(found, dim=2)


def _branches_of(segments: Sequence[Segment]) -> dict[int | None, list[int]]:
    """Return numbers of the segments that have tokens, by the segment from which they branch off."""
    found: dict[int | None, list[int]] = {}
    for number, segment in enumerate(segments):
        if segment.n_tokens:
            found.setdefault(segment.parent, []).append(number)
    return found


def _line_to(segments: Sequence[Segment], last: int) -> list[int]:
    """Return a segment's number after those of the segments from which it branches off, beginning at the root."""
    line = [last]
    while (parent := segments[line[-1]].parent) is not None:
        line.append(parent)
    return line[::-1]


def _side_by_side(parts: Sequence[Tensor], siblings: Sequence[int]) -> Tensor:
    """Return some of the parts (1, heads, n, d) as (siblings, heads, longest, d), shorter ones padded with zeros."""
    longest = max(parts[one].shape[2] for one in siblings)
    return torch.cat([pad(parts[one], (0, 0, 0, longest - parts[one].shape[2])) for one in siblings])


def _what_branches_see(n_before: int, n: int, like: Tensor) -> Tensor:
    """Return what is added to scores, (n, n_before + n): zero where a token is seen, minus infinity elsewhere."""
    later = torch.full((n, n_before + n), float("-inf"), dtype=like.dtype, device=like.device)
    return later.triu_(n_before + 1)  # zero elsewhere


def _attention(
    plain: Callable[..., tuple[Tensor, Any]],
    in_float32: bool,
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, Any]:
    """Compute attention as transformers' models call it: that of packed rows if there is a layout, otherwise the plain
    one.
    """
    layout = kwargs.pop(BRANCHES, None)
    if layout is None:
        return plain(module, query, key, value, attention_mask, **kwargs)
    if isinstance(layout, BranchDecoding):
        scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
        return layout.attend(module.layer_idx, query, key, value, scaling).transpose(1, 2).contiguous(), None
    attend = partial(tree_attention, scaling=kwargs.get("scaling"), dropout=kwargs.get("dropout", 0.0))
    own = query, key, value
    if in_float32:
        own = query.float(), key.float(), value.float()
    if isinstance(layout, ContinuedRow):
        attend = partial(attend, known=layout.in_layer(module.layer_idx, *own[1:]))
        layout = layout.segments
    with torch.autocast(query.device.type, enabled=False) if in_float32 else nullcontext():  # it would undo float32
        seen = attend(*own, layout)
    return seen.to(query.dtype).transpose(1, 2).contiguous(), None


def why_no_branches(network: PreTrainedModel) -> str | None:
    """Return in words what keeps a model from reading packed rows; None if nothing does.

    Args:
        network: the model itself, without LoRA around it.
    """
    text = network.config.get_text_config()
    other = sorted({*(getattr(text, "layer_types", None) or ())} - {_FULL_ATTENTION})
    if other:
        return f"it has layers of {', '.join(other)}, in which nothing can branch off"
    if not hasattr(network.base_model, "get_rope_index"):
        return f"the positions of {type(network).__name__} are not known here"
    if _plain_name(text._attn_implementation) not in ("sdpa", FLOAT32_ATTENTION):
        return f"its attention is {text._attn_implementation}, and only sdpa takes packed rows"
    return None


@contextmanager
def branch_attention(network: PreTrainedModel) -> Iterator[None]:
    """Let a model's language part take packed rows, as `use_branch_attention` does, until the context ends."""
    before = network.config.get_text_config()._attn_implementation
    use_branch_attention(network)
    try:
        yield
    finally:
        network.set_attn_implementation({"text_config": before})


def _plain_name(implementation: str | None) -> str:
    return (implementation or "").removesuffix(_SUFFIX)


def use_branch_attention(network: PreTrainedModel) -> None:
    """Let a model's language part take packed rows; everything else stays as it is.

    Args:
        network: a model for which `why_no_branches` returns None. Its attention is replaced for good.
    """
    plain = _plain_name(network.config.get_text_config()._attn_implementation)
    name = plain + _SUFFIX
    in_float32 = plain == FLOAT32_ATTENTION
    attend = ALL_ATTENTION_FUNCTIONS[plain] if in_float32 else sdpa_attention_forward
    AttentionInterface.register(name, partial(_attention, attend, in_float32))
    AttentionMaskInterface.register(name, sdpa_mask)
    network.set_attn_implementation({"text_config": name})
