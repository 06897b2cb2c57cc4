"""Heads that begin by attending to the same place in the other picture.

Rows and columns of both pictures are positions of the language model (M-RoPE), and picture B begins a fixed number of
positions after picture A, as long as both have one size. A query and a key that are the same for every picture token
then score highest at one distance: that number. Such heads compare two pictures cell by cell before anything has taught
them to; what they take from there is left to training.
"""

from __future__ import annotations

from typing import Any

import torch

WAVES = {1: 0.35, 2: 0.35, 3: 0.1, 4: 0.1, 5: 0.1}
"""Frequencies of the rotary embedding, by their number, and their share of a query: in turn rows, columns and the place
in the text (M-RoPE, interleaved). The first two tell neighbouring cells apart, the third the two pictures."""
SHARPER = 2.0
"""Factor by which the first two of these weigh more in queries and keys: a cell's neighbour then scores 0.4 to 1.2 less
[ours].
"""
CONSTANT = 8.0
"""The constant that all picture tokens share, in standard deviations of the text embedding [ours]."""
LAYERS = (1, 2)
"""After the first, behind which the deepstack tokens are added."""


@torch.no_grad()
def favour_same_place(model: Any, offset: int) -> None:
    """Make one key head, and the query heads that share it, in each of `LAYERS`; the model is changed in place.

    The first number of every token is given up for the constant.

    Args:
        model: the whole embedded model, its language model not trained yet.
        offset: positions from a cell of A to the same cell of B.
    """
    text, visual = model.model.language_model, model.model.visual
    config = text.config
    embedding = model.get_input_embeddings().weight
    constant = CONSTANT * embedding.std()
    embedding[:, 0] = 0  # of text: such a query or key is nothing, and scores alike with all
    for merger in (visual.merger, *visual.deepstack_merger_list):
        merger.linear_fc2.weight[0] = 0
        merger.linear_fc2.bias[0] = 0
    visual.merger.linear_fc2.bias[0] = constant
    size, half = config.head_dim, config.head_dim // 2
    query, key = torch.zeros(size), torch.zeros(size)
    for number, share in WAVES.items():
        angle = torch.tensor(offset * config.rope_parameters["rope_theta"] ** (-number / half))
        query[number] = (share * size) ** 0.5
        key[number], key[number + half] = query[number] * angle.cos(), query[number] * angle.sin()
    n_queries = config.num_attention_heads // config.num_key_value_heads
    finest = [place for number in list(WAVES)[:2] for place in (number, number + half)]
    for layer in LAYERS[: max(0, config.num_hidden_layers - 1)]:
        attention = text.layers[layer].self_attn
        for weight, head, n_heads in ((attention.q_proj.weight, query, n_queries), (attention.k_proj.weight, key, 1)):
            weight[: n_heads * size] = 0
            weight[: n_heads * size, 0] = head.repeat(n_heads)
        for norm in (attention.q_norm, attention.k_norm):
            norm.weight[finest] = SHARPER
