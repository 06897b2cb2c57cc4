"""Tiny random models of other families than Qwen's, each of its true class, with a vocabulary of the family's kind.

The chat templates are short ones of ours, in which each family's peculiarities are kept: which token stands for a
picture, whether there is a beginning of the text, whether the space before an answer is the model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import CORPUS

OTHER_FAMILIES = ("internvl", "smolvlm", "idefics3", "gemma3", "gemma4", "llava_onevision")
"""As transformers names them. The first SmolVLM is an Idefics3."""

_HIDDEN = 64
_TEXT = {
    "hidden_size": _HIDDEN, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 4096, "initializer_range": 0.2,
}  # fmt: skip
_VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "initializer_range": 0.2,
}  # fmt: skip

_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + newline }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PICTURE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
).replace("message['role'] + newline", "message['role'] + '\\n'")
_GEMMA = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ 'model' if message['role'] == 'assistant' else "
    "message['role'] }}\n{% for part in message['content'] %}{% if part['type'] == 'image' %}PICTURE{% else %}"
    "{{ part['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_SMOL = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def build_other(family: str, folder: Path) -> Path:
    """Write a model, its tokenizer and processor to ``folder``, as the Auto classes load them."""
    import torch

    torch.manual_seed(0)
    tokenizer = _tokenizer(family)
    model, processor = _MAKERS[family](tokenizer)
    ends = {"internvl": "<|im_end|>", "llava_onevision": "<|im_end|>", "gemma3": "<end_of_turn>"}
    end = {**ends, "gemma4": "<end_of_turn>"}.get(family, "<end_of_utterance>")
    for parameter in model.parameters():
        if not parameter.any():  # Gemma 3 begins with a projection of pictures that is zero
            torch.nn.init.normal_(parameter, std=0.2)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(end)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    folder.mkdir(parents=True)
    model.float().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _tokenizer(family: str) -> Any:
    from transformers import GemmaTokenizer, GPT2Tokenizer, Qwen2Tokenizer

    if family in ("gemma3", "gemma4"):
        names = ("<start_of_image>", "<image_soft_token>", "<end_of_image>", "<start_of_turn>", "<end_of_turn>")
        own = {"boi_token": names[0], "image_token": names[1], "eoi_token": names[2]}
        if family == "gemma4":
            own |= {"audio_token": "<audio>", "boa_token": "<start_of_audio>", "eoa_token": "<end_of_audio>"}
        vocabulary, merges = _trained(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *names], by_bytes=False)
        made = GemmaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True, extra_special_tokens=own)
        made.add_special_tokens({"additional_special_tokens": list(names)})
        made.chat_template = _GEMMA.replace("PICTURE", own["boi_token" if family == "gemma3" else "image_token"])
        return made
    if family in ("smolvlm", "idefics3"):
        names = (
            "<|im_start|>",
            "<end_of_utterance>",
            "<fake_token_around_image>",
            "<image>",
            "<global-img>",
            "<video>",
        )
        rows = [f"<row_{row}_col_{column}>" for row in range(1, 3) for column in range(1, 3)]
        special = ["<|endoftext|>", *names, *rows]
        vocabulary, merges = _trained(special, by_bytes=True)
        made = GPT2Tokenizer(
            vocab=vocabulary, merges=merges, bos_token="<|im_start|>", eos_token="<end_of_utterance>",
            pad_token="<|im_start|>",
        )  # fmt: skip
        made.add_special_tokens({"additional_special_tokens": special[1:]})
        made.backend_tokenizer.pre_tokenizer = _digits_alone()
        made.chat_template = _SMOL
        return made
    names = ("<|im_start|>", "<|im_end|>", "<image>", "<video>", "<img>", "</img>", "<IMG_CONTEXT>")
    vocabulary, merges = _trained(["<|endoftext|>", *names], by_bytes=True)
    own = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    own |= {"video_token": "<video>"}
    made = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        extra_special_tokens=own if family == "internvl" else {"image_token": "<image>", "video_token": "<video>"},
    )  # fmt: skip
    made.add_special_tokens({"additional_special_tokens": list(names)})
    made.chat_template = _CHATML.replace("PICTURE", "<IMG_CONTEXT>" if family == "internvl" else "<image>")
    return made


def _digits_alone() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def _trained(special: list[str], *, by_bytes: bool) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges, trained on our own answers: of bytes as GPT-2's, or with bytes to fall back to."""
    import json

    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    if by_bytes:
        bpe.pre_tokenizer = _digits_alone()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        special = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
        bpe.normalizer = normalizers.Replace(" ", "\u2581")
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split("\u2581", "merged_with_next"), pre_tokenizers.Digits(individual_digits=True)]
        )
        alphabet = [*map(chr, range(33, 127)), "\n", "\u2581"]
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + 500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(CORPUS * 20, trainer)
    model = json.loads(bpe.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def _internvl(tokenizer: Any) -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer.convert_tokens_to_ids
    config = hf.InternVLConfig(
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        vision_config={**_VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=token("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    size = {"height": 56, "width": 56}
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=size, crop_to_patches=True, max_patches=4),
        tokenizer=tokenizer,
        video_processor=hf.InternVLVideoProcessor(size=size),
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    )
    return hf.InternVLForConditionalGeneration(config), processor


def _smolvlm(tokenizer: Any) -> tuple[Any, Any]:
    import transformers as hf

    config = hf.SmolVLMConfig(**_idefics_settings(tokenizer))
    processor = hf.SmolVLMProcessor(
        image_processor=hf.SmolVLMImageProcessor(**_IDEFICS_PICTURES),
        tokenizer=tokenizer,
        video_processor=hf.SmolVLMVideoProcessor(**_IDEFICS_PICTURES),
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    return hf.SmolVLMForConditionalGeneration(config), processor


def _idefics3(tokenizer: Any) -> tuple[Any, Any]:
    import transformers as hf

    config = hf.Idefics3Config(**_idefics_settings(tokenizer))
    processor = hf.Idefics3Processor(
        image_processor=hf.Idefics3ImageProcessor(**_IDEFICS_PICTURES),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    return hf.Idefics3ForConditionalGeneration(config), processor


_IDEFICS_PICTURES = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}, "do_image_splitting": True}


def _idefics_settings(tokenizer: Any) -> dict[str, Any]:
    return {
        "text_config": {"model_type": "llama", **_text(tokenizer)},
        "vision_config": {**_VISION, "image_size": 56, "patch_size": 14},
        "image_token_id": tokenizer.convert_tokens_to_ids("<image>"),
        "scale_factor": 2,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
    }


def _gemma3(tokenizer: Any) -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer.convert_tokens_to_ids
    config = hf.Gemma3Config(
        text_config={**_text(tokenizer), "sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]},
        vision_config={**_VISION, "image_size": 56, "patch_size": 14},
        mm_tokens_per_image=4,
        boi_token_index=token("<start_of_image>"),
        eoi_token_index=token("<end_of_image>"),
        image_token_index=token("<image_soft_token>"),
    )
    processor = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
        image_seq_length=4,
    )
    return hf.Gemma3ForConditionalGeneration(config), processor


def _gemma4(tokenizer: Any) -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer.convert_tokens_to_ids
    pictures = {"patch_size": 8, "max_soft_tokens": 70, "pooling_kernel_size": 3}
    processor = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(),
        image_processor=hf.Gemma4ImageProcessor(**pictures),
        tokenizer=tokenizer,
        video_processor=hf.Gemma4VideoProcessor(**pictures),
        chat_template=tokenizer.chat_template,
        image_seq_length=70,
    )
    config = hf.Gemma4Config(
        text_config={
            **_text(tokenizer),
            "sliding_window": 64,
            "layer_types": ["sliding_attention", "full_attention"],
            "global_head_dim": 32,
            "vocab_size_per_layer_input": len(tokenizer),
            "hidden_size_per_layer_input": 16,
            "use_bidirectional_attention": "vision",
        },
        vision_config={**_VISION, "num_key_value_heads": 2, "head_dim": 16, "patch_size": 8},
        audio_config=None,
        boi_token_id=token("<start_of_image>"),
        eoi_token_id=token("<end_of_image>"),
        image_token_id=token("<image_soft_token>"),
        video_token_id=token("<|video|>"),
    )
    return hf.Gemma4ForConditionalGeneration(config), processor


def _llava_onevision(tokenizer: Any) -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer.convert_tokens_to_ids
    pinpoints = [[56, 56], [56, 112], [112, 56], [112, 112]]
    config = hf.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        vision_config={
            "model_type": "siglip_vision_model", **_VISION, "image_size": 56, "patch_size": 14,
            "vision_use_head": False,
        },
        image_token_index=token("<image>"),
        video_token_index=token("<video>"),
        image_grid_pinpoints=pinpoints,
    )  # fmt: skip
    size = {"height": 56, "width": 56}
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=pinpoints),
        tokenizer=tokenizer,
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def _text(tokenizer: Any) -> dict[str, Any]:
    return {
        **_TEXT,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


_MAKERS = {
    "internvl": _internvl,
    "smolvlm": _smolvlm,
    "idefics3": _idefics3,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
    "llava_onevision": _llava_onevision,
}
