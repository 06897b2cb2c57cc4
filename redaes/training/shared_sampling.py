"""Sample answers from prompts that are read once each, with transformers' own logits processors.

All different prompts are read in one packed row; their keys and values are stored once, whatever the number of answers;
and answers that have ended are dropped from the computation. A LoRA is added to the weights meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList
from transformers.cache_utils import Cache

from redaes.attention.branch_decoding import BranchDecoding
from redaes.attention.packed_answers import PromptedAnswers, packed_answers
from redaes.attention.token_trees import BRANCHES, Segment


class _KeptElsewhere(Cache):
    """A cache that stores nothing and returns the new keys and values, because `BranchDecoding` keeps them."""

    def __init__(self) -> None:
        self.layers: list[Any] = []

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Return both unchanged."""
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return a length above 0, because the given token is not the first."""
        return 1


@contextmanager
def lora_added(model: torch.nn.Module) -> Iterator[None]:
    """Add the active LoRA to the weights of linear layers within the context; afterwards the weights are exactly as
    before.

    Other kinds of adapted layers are left alone.
    """
    before: list[tuple[Any, Any, Tensor]] = []
    try:
        with torch.no_grad():
            layers: Iterator[Any] = model.modules()
            for layer in layers:
                if type(layer) is not Linear or layer.merged or layer.disable_adapters or layer.lora_variant:
                    continue
                base = layer.get_base_layer()
                if not all(adapter in layer.lora_A for adapter in layer.active_adapters):
                    continue
                before.append((layer, base, base.weight.data))
                added = sum(layer.get_delta_weight(adapter).float() for adapter in layer.active_adapters)
                base.weight.data = (base.weight.data.float() + added).to(base.weight.dtype)
                layer.merged_adapters = list(layer.active_adapters)
        yield
    finally:
        for layer, base, weight in before:
            base.weight.data = weight
            layer.merged_adapters = []


def drawn(scores: Tensor) -> Tensor:
    """Sample one token for each row from scores (rows, vocabulary); shape (rows,).

    This draws one uniform number for each row; torch's multinomial draws one for each word of the vocabulary.
    """
    cumulative = scores.double().softmax(-1).cumsum(-1)
    total = cumulative[:, -1:]
    at = torch.rand(len(scores), 1, device=scores.device, dtype=torch.float64) * total
    # Below the total, so that it falls on a token with a probability.
    at = torch.minimum(at, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, at, right=True)[:, 0]


@dataclass(frozen=True)
class AskedPrompts:
    """N prompts, each with a one-token answer as a placeholder, and the number of answers to sample."""

    batch: PromptedAnswers
    n_answers: int
    """Number of answers to each prompt."""
    end_tokens: Sequence[int]
    scored_at: float | None = None
    """Temperature at which the log-probability of each sampled token is recorded; None: it is not recorded."""


@dataclass(frozen=True)
class SampledAnswers:
    """Answers to N prompts, those to a prompt one after the other, of at most T tokens."""

    tokens: Tensor
    """Tokens, (N * answers, T); -1 after the end of each answer."""
    log_probs: Tensor | None
    """Log-probabilities, shaped as ``tokens``, float32, 0 after the end: those of the model itself, whatever tokens
    were allowed.
    """


@torch.no_grad()
def sample_answers(
    network: Any,
    input_ids: Tensor,
    *,
    logits_processor: LogitsProcessorList,
    generation_config: GenerationConfig,
    asked: AskedPrompts,
    **_: Any,
) -> SampledAnswers:
    """Sample answers; passed to ``generate`` as ``custom_generate``, with ``asked`` bound.

    Args:
        network: a network that reads packed rows (`redaes.attention.token_trees.use_branch_attention`).
        input_ids: the prompts, (N, P), for the logits processors.
        logits_processor: the logits processors.
        generation_config: settings, of which ``max_new_tokens`` and ``do_sample`` are used.
        asked: the same prompts, and the number of answers.
    """
    batch, device = asked.batch, input_ids.device
    shared = batch.rows_by_prompt()
    order = torch.tensor([row for rows in shared for row in rows], device=device)
    first = torch.tensor([rows[0] for rows in shared], device=device)
    single = PromptedAnswers(
        batch.prompt_ids[first], batch.prompt_mask[first], batch.picture_tokens[first],
        batch.answer_ids[first], batch.answer_mask[first], [batch.pictures[row] for row in first.tolist()],
    )  # fmt: skip
    packed = packed_answers(network, single)
    inputs = {name: value for name, value in packed.inputs.items() if name != "shift_labels"}
    last = (packed.target >= 0).nonzero()[:, 0]
    cache = DynamicCache(config=network.config.get_text_config())
    logits = network(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=last).logits[0]
    counts = [len(rows) * asked.n_answers for rows in shared]
    layout: tuple[Segment, ...] = inputs[BRANCHES]
    room = int(generation_config.max_new_tokens or 0)
    state = BranchDecoding(
        [(layer.keys, layer.values) for layer in cache.layers],
        # Each prompt, followed by a branch that consists of its last token.
        [slice(prompt.start, last.end) for prompt, last in zip(layout[::2], layout[1::2], strict=True)],
        counts,
        room,
    )
    del cache
    owner = torch.arange(len(shared), device=device).repeat_interleave(torch.tensor(counts, device=device))
    logits, position = logits[owner], inputs["position_ids"][0, 0, last][owner] + 1
    so_far = input_ids[order].repeat_interleave(asked.n_answers, 0)
    rows = torch.arange(len(owner), device=device)
    written = torch.full((len(owner), room), -1, device=device)
    scored = None if asked.scored_at is None else torch.zeros(len(owner), room, device=device)
    end_tokens = torch.tensor(list(asked.end_tokens), device=device)
    for number in range(room):
        scores = logits_processor(so_far, logits.float())
        token = drawn(scores) if generation_config.do_sample else scores.argmax(-1)
        written[rows, number] = token
        if scored is not None:
            own = logits.float() / (asked.scored_at or 1.0)
            scored[rows, number] = own.gather(1, token[:, None])[:, 0] - own.logsumexp(1)
        going_on = ~torch.isin(token, end_tokens)
        if number + 1 == room or not bool(going_on.any()):
            break
        so_far = torch.cat([so_far, token[:, None]], dim=1)
        if not bool(going_on.all()):
            state.keep(going_on)
            rows, position, token, so_far = (one[going_on] for one in (rows, position, token, so_far))
        places = (position + number).expand(3, -1)[:, :, None]
        logits = network(
            input_ids=token[:, None], position_ids=places, past_key_values=_KeptElsewhere(), use_cache=True,
            logits_to_keep=1, **{BRANCHES: state},
        ).logits[:, -1]  # fmt: skip
        state.n_written += 1
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=device)

    def as_asked(values: Tensor) -> Tensor:
        return values.view(len(order), asked.n_answers, room)[back].flatten(0, 1)[:, : number + 1]

    return SampledAnswers(as_asked(written), None if scored is None else as_asked(scored))
