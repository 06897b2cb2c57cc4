"""Attention over a packed row, in which each prompt stands once and its answers branch off from it.

The row is, prompt by prompt, ``[prompt without its last token | last token + answer 1 | last token + answer 2 | ...]``.
A prompt's tokens see what is before them in the prompt; a branch's tokens see the whole prompt and what is before them
in the branch, and nothing of the other branches. The branch begins with the prompt's last token, so that what the model
predicts there are exactly the tokens of the answer.

transformers' models hand keyword arguments on to their attention, through LoRA, DDP, DeepSpeed and recomputation; this
is how the layout of a row gets there. Everything else in a language model works token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

BRANCHES = "prompt_branches"
"""The keyword argument with the layout of a row, a tuple of `PromptBranches`, or with a `BranchDecoding`.

Without it, attention is what it was."""

_SUFFIX = "_branches"
_FULL_ATTENTION = "full_attention"


@dataclass(frozen=True)
class PromptBranches:
    """Where a prompt and its answers are in a packed row."""

    start: int
    """Place of the prompt's first token."""
    n_prompt: int
    """Tokens of the prompt, its last one left out."""
    n_answers: tuple[int, ...]
    """Tokens of each branch: the prompt's last one, and the answer without its last one."""

    @property
    def first_branch(self) -> int:
        """Place of the first branch's first token."""
        return self.start + self.n_prompt

    @property
    def end(self) -> int:
        """Place after the last branch."""
        return self.first_branch + sum(self.n_answers)


def branch_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prompts: Sequence[PromptBranches],
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention of a packed row.

    Args:
        query: shape (1, heads, L, d), after the rotation by positions.
        key: shape (1, key heads, L, d); a key head serves as many query heads in a row.
        value: as ``key``.
        prompts: of the row, in their order, with nothing between them.
        scaling: of the scores; None: one over the root of d.
        dropout: share of the attention weights to be dropped.

    Returns:
        Shape (1, heads, L, d).
    """
    attend = partial(scaled_dot_product_attention, scale=scaling, dropout_p=dropout)
    n_heads, n_key_heads = query.shape[1], key.shape[1]
    parts: list[Tensor] = []
    for prompt in prompts:
        shared = slice(prompt.start, prompt.first_branch)
        prompt_keys, prompt_values = key[:, :, shared], value[:, :, shared]
        if prompt.n_prompt:
            parts.append(
                attend(
                    query[:, :, shared], prompt_keys, prompt_values,
                    is_causal=True, enable_gqa=n_heads != n_key_heads,
                )
            )  # fmt: skip
        if not prompt.n_answers:
            continue
        n_branches, longest = len(prompt.n_answers), max(prompt.n_answers)
        keys = torch.cat([prompt_keys.expand(n_branches, -1, -1, -1), _side_by_side(key, prompt)], dim=2)
        values = torch.cat([prompt_values.expand(n_branches, -1, -1, -1), _side_by_side(value, prompt)], dim=2)
        # Query heads that share a key head become rows of it: keys need not be repeated for each of them.
        folded = _side_by_side(query, prompt).reshape(n_branches, n_key_heads, -1, query.shape[-1])
        seen = _what_branches_see(prompt.n_prompt, longest, query).repeat(n_heads // n_key_heads, 1)
        answered = attend(folded, keys, values, attn_mask=seen).reshape(n_branches, n_heads, longest, -1)
        branches = [branch[:, :n] for branch, n in zip(answered, prompt.n_answers, strict=True)]
        parts.append(torch.cat(branches, dim=1)[None])
    return torch.cat(parts, dim=2)


def _side_by_side(row: Tensor, prompt: PromptBranches) -> Tensor:
    """The branches of (1, heads, L, d) as (branches, heads, longest, d), with zeros behind the shorter ones."""
    longest = max(prompt.n_answers)
    branches = row[0, :, prompt.first_branch : prompt.end].split(prompt.n_answers, dim=1)
    return torch.stack([pad(branch, (0, 0, 0, longest - branch.shape[1])) for branch in branches])


def _what_branches_see(n_prompt: int, n: int, like: Tensor) -> Tensor:
    """To be added to scores, (n, n_prompt + n): all of the prompt, and of the branch what is not later."""
    hidden = torch.ones(n, n_prompt + n, dtype=torch.bool, device=like.device).triu(n_prompt + 1)
    return torch.zeros(n, n_prompt + n, dtype=like.dtype, device=like.device).masked_fill(hidden, float("-inf"))


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
    """As transformers' models call it: the plain attention, or that of packed rows where there is a layout."""
    prompts = kwargs.pop(BRANCHES, None)
    if prompts is None:
        return plain(module, query, key, value, attention_mask, **kwargs)
    if isinstance(prompts, BranchDecoding):
        scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
        return prompts.attend(module.layer_idx, query, key, value, scaling).transpose(1, 2).contiguous(), None
    settings = {"scaling": kwargs.get("scaling"), "dropout": kwargs.get("dropout", 0.0)}
    if not in_float32:
        seen = branch_attention(query, key, value, prompts, **settings)
    else:
        with torch.autocast(query.device.type, enabled=False):  # which would turn the arguments back
            seen = branch_attention(query.float(), key.float(), value.float(), prompts, **settings)
    return seen.to(query.dtype).transpose(1, 2).contiguous(), None


def why_no_branches(network: PreTrainedModel) -> str | None:
    """What in a model keeps it from reading packed rows, in words; None: nothing.

    Args:
        network: the model itself, no LoRA around it.
    """
    text = network.config.get_text_config()
    other = sorted({*(getattr(text, "layer_types", None) or ())} - {_FULL_ATTENTION})
    if other:
        return f"it has layers of {', '.join(other)}, in which answers cannot branch off from a prompt"
    if not hasattr(network.base_model, "get_rope_index"):
        return f"the positions of {type(network).__name__} are not known here"
    if _plain_name(text._attn_implementation) not in ("sdpa", FLOAT32_ATTENTION):
        return f"its attention is {text._attn_implementation}, and only sdpa takes packed rows"
    return None


def _plain_name(implementation: str | None) -> str:
    return (implementation or "").removesuffix(_SUFFIX)


def use_branch_attention(network: PreTrainedModel) -> None:
    """Have a model's language part take packed rows; all else stays as it is.

    Args:
        network: of which `why_no_branches` says nothing. Its attention is replaced for good.
    """
    plain = _plain_name(network.config.get_text_config()._attn_implementation)
    name = plain + _SUFFIX
    in_float32 = plain == FLOAT32_ATTENTION
    attend = ALL_ATTENTION_FUNCTIONS[plain] if in_float32 else sdpa_attention_forward
    AttentionInterface.register(name, partial(_attention, attend, in_float32))
    AttentionMaskInterface.register(name, sdpa_mask)
    network.set_attn_implementation({"text_config": name})
