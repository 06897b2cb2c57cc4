"""Answers sampled from prompts that are read once each, by transformers' own rules of what may be drawn.

All different prompts are read in one packed row; their keys and values are kept once, whatever the number of answers;
and answers that have ended take no part any more. A LoRA is added into the weights meanwhile.
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
    """What a model hands its new keys and values to, and gets them back from: `BranchDecoding` keeps them."""

    def __init__(self) -> None:
        self.layers: list[Any] = []

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Return both as they are."""
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Some: the token that is given is not the first."""
        return 1


@contextmanager
def lora_added(model: torch.nn.Module) -> Iterator[None]:
    """While it lasts, the weights of linear layers have their active LoRA in them; afterwards they are the very same.

    Other kinds of adapted layers are left alone, and add theirs as ever.
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
    """Return one token a row by the probabilities that (rows, vocabulary) scores stand for: (rows,).

    One uniform number a row: torch's multinomial draws one for each word of the vocabulary.
    """
    cumulative = scores.double().softmax(-1).cumsum(-1)
    total = cumulative[:, -1:]
    at = torch.rand(len(scores), 1, device=scores.device, dtype=torch.float64) * total
    # Below the total, so that it falls on a token that has a probability.
    at = torch.minimum(at, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, at, right=True)[:, 0]


@dataclass(frozen=True)
class AskedPrompts:
    """N prompts, one answer of one token to each that stands for those to come, and how many there are to be."""

    batch: PromptedAnswers
    n_answers: int
    """Of each prompt."""
    end_tokens: Sequence[int]
    scored_at: float | None = None
    """The temperature at which the log-probability of each drawn token is noted; None: it is not."""


@dataclass(frozen=True)
class SampledAnswers:
    """Answers to N prompts, those to a prompt one after the other, T tokens at most."""

    tokens: Tensor
    """(N * answers, T), -1 behind the end of each."""
    log_probs: Tensor | None
    """As ``tokens``, float32, 0 behind the end: of the model's own probabilities, whatever was allowed to be drawn."""


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
    """Return what ``generate`` is given as ``custom_generate``, with ``asked`` bound.

    Args:
        network: takes packed rows (`redaes.attention.token_trees.use_branch_attention`).
        input_ids: (N, P) the prompts, for the processors.
        logits_processor: what may be drawn.
        generation_config: ``max_new_tokens``; greedy without ``do_sample``.
        asked: the same prompts.
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
        # Each prompt, and behind it the branch of one token that is its last.
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
