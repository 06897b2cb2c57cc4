"""Tiny random models of the families that the recipes are for, each of its true class, with the embedded vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen3_vl_moe", "qwen3_5_moe")
"""As transformers names them; the last two have experts."""

HIDDEN = 64
HEAD_DIM = 32
_EXPERTS = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}


def build(family: str, folder: Path, *, max_pixels: int = 96 * 96) -> Path:
    """Write a model, its tokenizer and processor to ``folder``, as the Auto classes load them.

    Qwen3.5 has three layers of linear attention to one of the usual kind, as the real ones have.
    """
    import torch
    import transformers
    from transformers import AutoTokenizer
    from trl import chat_template_utils

    from redaes.models import nano

    tokenizer = AutoTokenizer.from_pretrained(nano.weights(nano.BASE))
    templates = {"qwen2_5_vl": "qwen2_5_vl", "qwen3_5": "qwen3_5_nothink", "qwen3_5_moe": "qwen3_5_nothink"}
    tokenizer.chat_template = getattr(chat_template_utils, f"{templates.get(family, 'qwen3_vl')}_chat_template")
    name = {
        "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL", "qwen3_5": "Qwen3_5", "qwen3_vl_moe": "Qwen3VLMoe",
        "qwen3_5_moe": "Qwen3_5Moe",
    }[family]  # fmt: skip
    token = tokenizer.convert_tokens_to_ids
    config = getattr(transformers, f"{name}Config")(
        text_config={
            **_text(family, len(tokenizer)),
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config=_vision(family),
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    for part in (config, config.text_config, config.vision_config):
        part.initializer_range = 0.1
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForConditionalGeneration")(config).float()
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    patch = 14 if family == "qwen2_5_vl" else 16
    size = {"shortest_edge": (2 * patch) ** 2, "longest_edge": max_pixels}
    shape: dict[str, Any] = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2, "size": size}
    older = family == "qwen2_5_vl"
    processor = transformers.Qwen2_5_VLProcessor if older else transformers.Qwen3VLProcessor
    video = transformers.Qwen2VLVideoProcessor if older else transformers.Qwen3VLVideoProcessor
    processor(
        image_processor=transformers.Qwen2VLImageProcessor(**shape),
        tokenizer=tokenizer,
        video_processor=video(**shape),
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def _text(family: str, vocab_size: int) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [6, 5, 5]}
    text: dict[str, Any] = {
        "vocab_size": vocab_size, "hidden_size": HIDDEN, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 4096, "rope_parameters": rope,
    }  # fmt: skip
    if family == "qwen2_5_vl":
        return text
    rope["mrope_interleaved"] = True
    text["head_dim"] = HEAD_DIM
    if family.startswith("qwen3_5"):
        rope["partial_rotary_factor"] = 1.0
        text |= {
            "num_hidden_layers": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_num_key_heads": 2,
            "linear_num_value_heads": 4, "layer_types": [*["linear_attention"] * 3, "full_attention"],
        }  # fmt: skip
    if family == "qwen3_5_moe":
        del text["intermediate_size"]
        text |= {**_EXPERTS, "shared_expert_intermediate_size": 32}
    elif family == "qwen3_vl_moe":
        text |= {**_EXPERTS, "decoder_sparse_step": 1, "mlp_only_layers": []}
    return text


def _vision(family: str) -> dict[str, Any]:
    vision: dict[str, Any] = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": HIDDEN,
    }  # fmt: skip
    if family == "qwen2_5_vl":
        return {**vision, "fullatt_block_indexes": [1]}
    vision |= {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 256}
    if not family.startswith("qwen3_5"):
        vision["deepstack_visual_indexes"] = [0]
    return vision
