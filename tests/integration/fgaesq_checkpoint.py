"""A checkpoint in the layout of the published FGAesQ, made of random numbers."""

from __future__ import annotations

import torch


def openai_layout(*, width: int, layers: int, projection: int, grid: int, seed: int) -> dict[str, torch.Tensor]:
    """OpenAI's CLIP under ``clip_model.`` with text tower, the visual parts again without it, and the head."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.1

    def blocks(size: int) -> dict[str, torch.Tensor]:
        found = {}
        for number in range(layers):
            block = {
                "attn.in_proj_weight": random(3 * size, size), "attn.in_proj_bias": random(3 * size),
                "attn.out_proj.weight": random(size, size), "attn.out_proj.bias": random(size),
                "mlp.c_fc.weight": random(4 * size, size), "mlp.c_fc.bias": random(4 * size),
                "mlp.c_proj.weight": random(size, 4 * size), "mlp.c_proj.bias": random(size),
                **{f"ln_{k}.{name}": random(size) for k in (1, 2) for name in ("weight", "bias")},
            }  # fmt: skip
            found.update({f"transformer.resblocks.{number}.{name}": value for name, value in block.items()})
        return found

    visual = {
        "class_embedding": random(width),
        "positional_embedding": random(grid * grid + 1, width),
        "conv1.weight": random(width, 3, 16, 16),
        "proj": random(width, projection),
        **{f"{name}.{part}": random(width) for name in ("ln_pre", "ln_post") for part in ("weight", "bias")},
        **blocks(width),
    }
    text = {
        "positional_embedding": random(77, 32), "text_projection": random(32, projection), "logit_scale": random(),
        "token_embedding.weight": random(100, 32), "ln_final.weight": random(32), "ln_final.bias": random(32),
        **blocks(32),
    }  # fmt: skip
    state = {f"clip_model.visual.{name}": value for name, value in visual.items()}
    state.update({f"clip_model.{name}": value for name, value in text.items()})
    aliases = ("ln_pre.", "transformer.", "ln_post.", "proj")
    state.update({name: value for name, value in visual.items() if name.startswith(aliases)})
    state["scale_embedding"], state["mask_token"] = random(1, 2, width), random(1, 1, width)
    for number, (inputs, outputs) in ((0, (projection, 256)), (3, (256, 64)), (6, (64, 10))):
        state[f"iqa_head.{number}.weight"], state[f"iqa_head.{number}.bias"] = random(outputs, inputs), random(outputs)
    return state
