"""Trees of tokens in one row are read as each of their sequences is by itself: values and gradients of real models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from families import build
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy

from redaes.attention.float32 import use_float32_attention
from redaes.attention.packed_sequences import TokenSequence, packed_sequences
from redaes.attention.token_trees import BRANCHES, use_branch_attention, why_no_branches
from redaes.backends.loading import load_network

GRIDS = torch.tensor([[1, 4, 6], [1, 6, 4], [1, 4, 6], [1, 2, 2]])
N_PATCHES = [24, 24, 24, 4]


def sequences(network: Any) -> list[TokenSequence]:
    """Of three levels: a picture, three that are beside it, questions and answers about each two; and one by itself."""
    picture, begin, end = (
        getattr(network.config, f"{name}_token_id") for name in ("image", "vision_start", "vision_end")
    )
    parts = [n // 4 for n in N_PATCHES]

    def shown(number: int) -> list[int]:
        return [begin, *[picture] * parts[number], end]

    head = [5, 6, *shown(0), 7]
    found = [
        TokenSequence([*head, *shown(other), 20, *answer], (0, other))
        for other in (1, 2, 3)
        for answer in ([21, 22, 23], [21, 24], [25], [26, 27, 28, 29, 30])
    ]
    return [*found, TokenSequence([*head, 31, 32], (0,)), TokenSequence([5, 6, *shown(2), 20, 21], (2,))]


def losses(model: Any, pixels: Tensor, packed: bool, repeat_last: bool) -> list[Tensor]:
    """Of the tokens of each sequence: (tokens - 1,)."""
    network = model.get_base_model() if hasattr(model, "get_base_model") else model
    read = sequences(network)
    patches = pixels.split(N_PATCHES)
    if not packed:
        found = []
        for one in read:
            ids = torch.tensor(one.ids)[None]
            logits = model(
                input_ids=ids, mm_token_type_ids=(ids == network.config.image_token_id).int(),
                image_grid_thw=GRIDS[list(one.pictures)], pixel_values=torch.cat([patches[n] for n in one.pictures]),
                use_cache=False,
            ).logits  # fmt: skip
            found.append(cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none"))
        return found
    row = packed_sequences(network, read, GRIDS, repeat_last=repeat_last, least_shared=2)
    layout = row.inputs[BRANCHES]
    assert max(sum(1 for _ in line(layout, number)) for number in range(len(layout))) >= 3
    assert sum(segment.n_tokens for segment in layout) < 0.6 * sum(len(one.ids) for one in read)
    logits = model(**row.inputs, pixel_values=torch.cat([patches[n] for n in row.shown]), use_cache=False).logits[0]
    return [
        cross_entropy(logits[place[:-1]], torch.tensor(one.ids[1:]), reduction="none")
        for one, place in zip(read, row.places, strict=True)
    ]


def line(layout: Any, number: int | None) -> Any:
    """A segment's number, and those from which it branches off."""
    while number is not None:
        yield number
        number = layout[number].parent


@pytest.mark.parametrize("repeat_last", [False, True], ids=["shared", "repeated"])
@pytest.mark.parametrize("how", ["lora", "lora-checkpointed", "all weights", "float32"])
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_values_and_gradients_are_those_of_whole_rows(family: str, how: str, repeat_last: bool, tmp_path: Path) -> None:
    network = load_network(build(family, tmp_path / "model"), torch.float32)
    if how == "float32":
        use_float32_attention(network)
    assert why_no_branches(network) is None
    use_branch_attention(network)
    model = network
    if how.startswith("lora"):
        targets = ["q_proj", "v_proj", "down_proj"]
        model = get_peft_model(network, LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    if how == "lora-checkpointed":
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    size = network.config.vision_config
    pixels = torch.randn(
        sum(N_PATCHES), 3 * size.temporal_patch_size * size.patch_size**2, generator=torch.Generator().manual_seed(0)
    )
    read = partial(losses, model, pixels, repeat_last=repeat_last)
    found, gradients = [], []
    for packed in (True, False):
        model.zero_grad()
        values = read(packed)
        (sum(one.square().sum() for one in values)).backward()
        found.append(torch.cat([one.detach() for one in values]))
        gradients.append({name: one.grad for name, one in model.named_parameters() if one.grad is not None})
    torch.testing.assert_close(*found, atol=2e-5, rtol=2e-5)
    assert gradients[0].keys() == gradients[1].keys()
    for name, one in gradients[1].items():
        apart = float((gradients[0][name] - one).norm() / one.norm())
        assert apart < 1e-4, name
