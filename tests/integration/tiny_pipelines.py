"""Real diffusion pipelines with random weights, small enough for a test: what the editors are tried and timed on.

Every class is that of the full-size model, built from configuration; only the sizes differ. Nothing is fetched.
They draw noise, not edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from redaes.errors import InputError
from redaes.models.nano.builder import train_tokenizer

_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CORPUS = ["Make the picture darker, blurred, noisy, warmer; add clutter.", "Describe the key features of the image."]


def qwen_tokenizer() -> Any:
    """A byte-level tokenizer in the dress of Qwen's: any text, about one token per letter."""
    return train_tokenizer(_CORPUS * 4, 320, _CHAT)


def _clip() -> tuple[Any, Any]:
    """CLIP's text encoder and tokenizer; the vocabulary is one token per character."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789,.;-"]
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=vocab["<|endoftext|>"],
        # At CLIP's own 0.02 two instructions would hardly differ after so few layers.
        initializer_factor=10.0,
    )
    return CLIPTextModel(config), tokenizer


def _t5() -> tuple[Any, Any]:
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz0123456789,.;-"]
    tokenizer = T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0, model_max_length=512)
    config = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0)
    return T5EncoderModel(config), tokenizer


def _qwen_vl(tokenizer: Any, hidden: int = 32) -> tuple[Any, Any]:
    """Qwen2.5-VL, which encodes the instruction together with the picture, and its processor."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
            "max_position_embeddings": 4096,
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": [0],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size),
        chat_template=_CHAT,
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _vae(latent_channels: int, blocks: int) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(4,) * blocks,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1,
        scaling_factor=0.4,
    )


def _scheduler() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)


def _flux2_klein() -> Any:
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = qwen_tokenizer()
    # The pipeline reads the hidden states after layers 9, 18 and 27.
    encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=28,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
    )
    return Flux2KleinPipeline(
        scheduler=_scheduler(),
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=True,
    )


def _flux_kontext() -> Any:
    from diffusers import FluxKontextPipeline, FluxTransformer2DModel

    clip, clip_tokenizer = _clip()
    t5, t5_tokenizer = _t5()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    return FluxKontextPipeline(
        scheduler=_scheduler(),
        vae=_vae(4, 3),
        text_encoder=clip,
        tokenizer=clip_tokenizer,
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer,
        transformer=transformer,
    )


def _instruct_pix2pix() -> Any:
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionInstructPix2PixPipeline,
        UNet2DConditionModel,
    )

    clip, tokenizer = _clip()
    return StableDiffusionInstructPix2PixPipeline(
        vae=_vae(4, 4),
        text_encoder=clip,
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            in_channels=8,
            out_channels=4,
            block_out_channels=(8, 8),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=2,
        ),
        scheduler=EulerAncestralDiscreteScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _qwen_parts() -> dict[str, Any]:
    from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel

    tokenizer = qwen_tokenizer()
    encoder, processor = _qwen_vl(tokenizer)
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    return {
        "scheduler": _scheduler(),
        "vae": vae,
        "text_encoder": encoder,
        "tokenizer": tokenizer,
        "processor": processor,
        "transformer": transformer,
    }


def _qwen_edit() -> Any:
    from diffusers import QwenImageEditPipeline

    return QwenImageEditPipeline(**_qwen_parts())


def _qwen_edit_plus() -> Any:
    from diffusers import QwenImageEditPlusPipeline

    return QwenImageEditPlusPipeline(**_qwen_parts())


def _longcat() -> Any:
    from diffusers import LongCatImageEditPipeline, LongCatImageTransformer2DModel

    tokenizer = qwen_tokenizer()
    encoder, processor = _qwen_vl(tokenizer)
    transformer = LongCatImageTransformer2DModel(
        # The pipeline draws 16 latent channels whatever the configuration says; 2 x 2 of them make a token.
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
    )
    return LongCatImageEditPipeline(
        scheduler=_scheduler(),
        vae=_vae(16, 4),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_processor=processor,
        transformer=transformer,
    )


BUILDERS: dict[str, Callable[[], Any]] = {
    "Flux2KleinPipeline": _flux2_klein,
    "FluxKontextPipeline": _flux_kontext,
    "LongCatImageEditPipeline": _longcat,
    "QwenImageEditPipeline": _qwen_edit,
    "QwenImageEditPlusPipeline": _qwen_edit_plus,
    "StableDiffusionInstructPix2PixPipeline": _instruct_pix2pix,
}
"""By the pipeline's class."""


def build(name: str, folder: Path) -> None:
    """Write the tiny pipeline of a class to a folder, as ``DiffusionPipeline.from_pretrained`` takes it.

    Args:
        name: the class, a key of :data:`BUILDERS`.
        folder: where to write; created.

    Raises:
        InputError: an unknown class.
    """
    if name not in BUILDERS:
        raise InputError(f"no tiny pipeline of class {name}; there are {', '.join(sorted(BUILDERS))}")
    torch.manual_seed(0)
    BUILDERS[name]().save_pretrained(folder)


@contextmanager
def small_area(side: int = 64) -> Iterator[None]:
    """Let the pipelines of Qwen and LongCat, which work at one megapixel whatever they get, do so at ``side`` squared.

    For the tiny pipelines on a CPU, where a megapixel takes minutes.

    Args:
        side: in pixels.
    """
    from diffusers.pipelines.longcat_image import pipeline_longcat_image_edit as longcat
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as qwen
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus

    modules = (longcat, qwen, plus)
    real = [module.calculate_dimensions for module in modules]

    def smaller(calculate: Callable[[int, float], Any]) -> Callable[[int, float], Any]:
        return lambda area, ratio: calculate(side * side, ratio)

    try:
        for module, calculate in zip(modules, real, strict=True):
            module.calculate_dimensions = smaller(calculate)
        yield
    finally:
        for module, calculate in zip(modules, real, strict=True):
            module.calculate_dimensions = calculate
