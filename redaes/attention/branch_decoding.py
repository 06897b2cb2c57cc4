"""Attention while answers are sampled: the keys and values of each prompt are kept once for all its answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class BranchDecoding:
    """Attention of one new token of each unfinished answer to its prompt and to the answer itself.

    Args:
        layers: keys and values of a packed row of prompts, each (1, key heads, L, d), layer by layer.
        prompts: where each prompt begins and ends in the row.
        n_answers: answers to each prompt; the answers to a prompt come one after the other.
        room: largest number of tokens of an answer.
    """

    def __init__(
        self,
        layers: Sequence[tuple[Tensor, Tensor]],
        prompts: Sequence[slice],
        n_answers: Sequence[int],
        room: int,
    ) -> None:
        lengths = [prompt.stop - prompt.start for prompt in prompts]
        longest = max(lengths)

        def side_by_side(row: Tensor) -> Tensor:
            found = row.new_zeros(len(prompts), row.shape[1], longest, row.shape[3])
            for one, prompt, n in zip(found, prompts, lengths, strict=True):
                one[:, :n] = row[0, :, prompt]
            return found

        def empty(row: Tensor) -> Tensor:
            return row.new_zeros(sum(n_answers), row.shape[1], room, row.shape[3])

        self._of_prompts = [(side_by_side(key), side_by_side(value)) for key, value in layers]
        self._of_answers = [(empty(key), empty(value)) for key, value in layers]
        device = layers[0][0].device
        places = torch.arange(longest, device=device)
        self._padding = places >= torch.tensor(lengths, device=device)[:, None]
        self._owner = torch.arange(len(prompts)).repeat_interleave(torch.tensor(n_answers)).to(device)
        self.n_written = 0
        """Number of tokens of each answer whose keys and values have been stored."""
        self._deal_out()

    def _deal_out(self) -> None:
        """Give each answer a place among the answers to its prompt."""
        self._is_padded = bool(self._padding.any())
        counts = torch.bincount(self._owner, minlength=len(self._padding))
        self._widest = int(counts.max())
        first = counts.cumsum(0) - counts
        self._place = self._owner * self._widest + torch.arange(len(self._owner), device=first.device)
        self._place -= first[self._owner]

    def keep(self, going_on: Tensor) -> None:
        """Drop answers that have ended, and prompts all of whose answers have ended.

        Args:
            going_on: (answers,) bool, true for answers that are not finished; at least one is true.
        """
        self._of_answers = [(key[going_on], value[going_on]) for key, value in self._of_answers]
        asked, self._owner = self._owner[going_on].unique(return_inverse=True)
        if len(asked) < len(self._padding):
            self._of_prompts = [(key[asked], value[asked]) for key, value in self._of_prompts]
            self._padding = self._padding[asked]
        self._deal_out()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Return the attention of one layer for the new tokens, whose keys and values are stored.

        No gradients flow through it.

        Args:
            layer: number of the layer.
            query: (answers, heads, 1, d).
            key: (answers, key heads, 1, d).
            value: shape as ``key``.
            scaling: factor by which scores are multiplied.

        Returns:
            (answers, heads, 1, d).
        """
        own_keys, own_values = self._of_answers[layer]
        own_keys[:, :, self.n_written] = key[:, :, 0].to(own_keys.dtype)
        own_values[:, :, self.n_written] = value[:, :, 0].to(own_values.dtype)
        written = slice(self.n_written + 1)
        keys, values = self._of_prompts[layer]
        n, (n_prompts, n_key_heads, _, d) = len(query), keys.shape
        folded = (query * scaling).to(keys.dtype).reshape(n, n_key_heads, -1, d)
        times = folded.shape[2]
        # The queries of all answers to a prompt are multiplied with its keys in one matrix product.
        grouped = folded.new_zeros(n_prompts * self._widest, n_key_heads, times, d)
        grouped[self._place] = folded
        grouped = grouped.view(n_prompts, self._widest, n_key_heads, times, d).transpose(1, 2).flatten(2, 3)
        shared = (grouped @ keys.transpose(2, 3)).float()
        if self._is_padded:
            shared.masked_fill_(self._padding[:, None, None], float("-inf"))
        own = (folded @ own_keys[:, :, written].transpose(2, 3)).float()

        def by_answer(found: Tensor) -> Tensor:
            apart = found.unflatten(2, (self._widest, times)).transpose(1, 2)
            return apart.flatten(0, 1)[self._place]

        # One softmax is calculated in two parts, each with its own maximum; they are weighed by their sums.
        most_shared = shared.amax(-1, keepdim=True)
        weight_shared = shared.sub_(most_shared).exp_()  # in place: they are the largest numbers here
        seen_shared = by_answer(weight_shared.to(values.dtype) @ values).float()
        sum_shared, most_shared = by_answer(weight_shared.sum(-1, keepdim=True)), by_answer(most_shared)
        most = torch.maximum(most_shared, own.amax(-1, keepdim=True))
        weight_own = (own - most).exp()
        seen_own = (weight_own.to(own_values.dtype) @ own_values[:, :, written]).float()
        share = (most_shared - most).exp()
        found = (seen_shared * share + seen_own) / (sum_shared * share + weight_own.sum(-1, keepdim=True))
        return found.reshape(n, -1, 1, d).to(query.dtype)
