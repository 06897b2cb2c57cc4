"""Build the embedded model: a real Qwen3-VL of a few million parameters, from configuration.

Qwen3-VL is the family of the real runs (2B, 4B, 8B), so everything that runs on the small one runs on the
large ones: same classes, same chat template, same processor. The shape keeps to what vLLM serves: text head
dimension 32, M-RoPE sections that sum to half of it, vision head dimension a multiple of four.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from redaes.errors import InputError

PATCH = 16
MERGE = 2
SIDE_MULTIPLE = PATCH * MERGE
"""Both sides of a picture are rounded to this many pixels."""

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# Qwen's pre-tokenisation: contractions, words with one leading non-letter, single digits, punctuation, space.
_PRE_TOKENIZE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(corpus: Iterable[str], vocab_size: int, chat_template: str) -> Qwen2Tokenizer:
    """Train a byte-level BPE on ``corpus`` and dress it as Qwen's tokenizer.

    Any text can be encoded (all 256 bytes are in the vocabulary); text like the corpus in few tokens.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PRE_TOKENIZE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    trained = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=trained["vocab"],
        merges=[tuple(merge) for merge in trained["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    tokenizer.chat_template = chat_template
    return tokenizer


def make_processor(tokenizer: Qwen2Tokenizer, max_pixels: int) -> Qwen3VLProcessor:
    """Return the processor: pictures keep their aspect ratio within ``max_pixels``, sides rounded to 32."""
    size = {"shortest_edge": SIDE_MULTIPLE * SIDE_MULTIPLE, "longest_edge": max_pixels}
    shape: dict[str, Any] = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": 2, "size": size}
    statistics = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**shape, **statistics),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**shape, **statistics),
        chat_template=tokenizer.chat_template,
    )


def make_config(
    tokenizer: Qwen2Tokenizer,
    *,
    hidden: int = 192,
    layers: int = 4,
    vision_hidden: int = 128,
    vision_layers: int = 4,
    intermediate: int | None = None,
) -> Qwen3VLConfig:
    """Return the shape. Head dimension is 32 throughout.

    Args:
        tokenizer: tokenizer of the model.
        hidden: width of the language model; a multiple of 64.
        layers: layers of the language model.
        vision_hidden: width of the vision tower; a multiple of 32.
        vision_layers: vision layers of the vision tower.
        intermediate: width of the language model's feed-forward layers, all alike, as vLLM serves them; None: 8/3
            of ``hidden``, rounded down to a multiple of 64.
    """
    token = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL_TOKENS}
    # A round embedding table shards evenly, as tensor parallelism and ZeRO want.
    vocab_size = -(-len(tokenizer) // 64) * 64
    return Qwen3VLConfig(
        text_config={
            "vocab_size": vocab_size,
            "hidden_size": hidden,
            "intermediate_size": hidden * 8 // 3 // 64 * 64 if intermediate is None else intermediate,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 32,
            "num_key_value_heads": hidden // 64,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "initializer_range": 0.02,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
            "eos_token_id": token["<|im_end|>"],
            "bos_token_id": token["<|endoftext|>"],
            "pad_token_id": token["<|endoftext|>"],
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": vision_hidden,
            "intermediate_size": vision_hidden * 3,
            "num_heads": vision_hidden // 32,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "in_channels": 3,
            "out_hidden_size": hidden,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [1],
        },
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def frequency_filters(n_filters: int) -> torch.Tensor:
    """Return the patch filters that separate what random ones mix: cosines of rising frequency, for lightness and
    colour.

    Photographs hold far more energy in low frequencies than in high ones (amplitude falls about as 1/f: Field,
    JOSA A 1987). The answer of a random filter is therefore all brightness, and noise, blur or blocks are
    lost in it. Here every filter is one cosine of the patch (two-dimensional DCT-II), raised by its
    frequency, so that fine structure answers as loudly as coarse.

    Returns:
        Shape (n_filters, 3, 2, 16, 16): output, RGB, frames, rows, columns; two thirds look at lightness.
    """
    position = (torch.arange(PATCH) + 0.5) * torch.pi / PATCH
    waves = torch.cos(torch.arange(PATCH)[:, None] * position)  # (frequency, pixel)
    waves = waves / waves.norm(dim=1, keepdim=True)
    opponents = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])  # lightness, red-blue, green
    opponents = opponents / opponents.norm(dim=1, keepdim=True)
    pairs = sorted(((u, v) for u in range(PATCH) for v in range(PATCH)), key=lambda uv: (uv[0] ** 2 + uv[1] ** 2, uv))
    n_light = n_filters * 2 // 3
    n_colour = (n_filters - n_light) // 2
    filters = []
    for channel, count in zip(opponents, (n_light, n_filters - n_light - n_colour, n_colour), strict=True):
        # Lightness over the whole range of frequencies, colour where the eye sees any: the lower half.
        reach = len(pairs) if count == n_light else len(pairs) // 4
        for number in range(count):
            u, v = pairs[number * reach // count]
            gain = (0.3 + (u * u + v * v) ** 0.5) * 4 / PATCH * (1 if count == n_light else 4)  # colours are faint
            wave = gain * waves[u][:, None] * waves[v][None, :]  # (16, 16)
            # A still picture is given as two equal frames: half of the filter for each.
            filters.append((channel[:, None, None] * wave)[:, None].expand(3, 2, PATCH, PATCH) / 2)
    return torch.stack(filters)


N_PLACE_WAVES = 24
"""Cosines of a picture's place that a position embedding begins with: up to three and a half periods along a side."""


def place_waves(n_positions: int, width: int, spread: float, seed: int) -> torch.Tensor:
    """Return a position embedding that tells places from the first step: two-dimensional cosines of the lowest
    frequencies.

    The embedding's grid is laid over a picture whatever its size, so a wave is a share of the frame. Each has a
    direction of its own, all of them orthogonal, drawn by the seed.

    Args:
        n_positions: number of positions of the embedding, a square number.
        width: width of the vision tower.
        spread: standard deviation of the result; that of patches is about 1.
        seed: seed of the directions.

    Returns:
        Shape (n_positions, width).
    """
    side = int(n_positions**0.5)
    place = (torch.arange(side) + 0.5) * torch.pi / side
    waves = torch.cos(torch.arange(side)[:, None] * place)  # (frequency, place)
    pairs = sorted(((u, v) for u in range(side) for v in range(side)), key=lambda uv: (uv[0] ** 2 + uv[1] ** 2, uv))
    chosen = pairs[1 : N_PLACE_WAVES + 1]  # the first is constant
    grid = torch.stack([(waves[u][:, None] * waves[v][None, :]).flatten() for u, v in chosen], dim=1)
    grid = grid / grid.norm(dim=0)
    directions = torch.linalg.qr(torch.randn(width, len(chosen), generator=torch.Generator().manual_seed(seed))).Q
    embedding = grid @ directions.T
    return embedding * (spread / embedding.std())


def build(
    folder: Path,
    corpus: Iterable[str],
    *,
    seed: int,
    vocab_size: int = 1536,
    max_pixels: int = 224 * 224,
    initializer_range: float = 0.02,
    place_spread: float | None = None,
    **shape: int,
) -> None:
    """Write a random model, its tokenizer and processor to ``folder``, loadable with the Auto classes.

    Args:
        folder: where to write; created.
        corpus: texts for the tokenizer.
        seed: seed of the weights.
        vocab_size: tokens, special ones included; fewer when the corpus does not yield as many.
        max_pixels: cap on a picture's area after resizing.
        initializer_range: standard deviation of the weights; 0.2 makes a random model vary its text.
        place_spread: standard deviation of a position embedding of cosines (:func:`place_waves`); None: a random one of
            ``initializer_range``, from which no training here has learned places (docs/log.md).
        shape: see :func:`make_config`.
    """
    from trl.chat_template_utils import qwen3_vl_chat_template

    tokenizer = train_tokenizer(corpus, vocab_size, qwen3_vl_chat_template)
    config = make_config(tokenizer, **shape)
    config.text_config.initializer_range = initializer_range
    config.vision_config.initializer_range = initializer_range
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config).float()
    with torch.no_grad():
        patch = model.model.visual.patch_embed.proj.weight
        patch.copy_(frequency_filters(patch.shape[0]))
        if place_spread is not None:
            positions = model.model.visual.pos_embed.weight
            n_positions, width = positions.shape
            positions.copy_(place_waves(n_positions, width, place_spread, seed))
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    make_processor(tokenizer, max_pixels).save_pretrained(folder)


def continued(
    trained: Any,
    processor: Any,
    folder: Path,
    *,
    seed: int,
    corpus: Iterable[str] | None = None,
    place_spread: float | None = None,
    intermediate: int | None = None,
) -> None:
    """Write a trained embedded model to ``folder`` with a new tokenizer, wider feed-forward layers, or places.

    What a change does not touch stays: wider layers compute the same as before, and a token that the tokenizer before
    had as well keeps its embedding; another token begins with the mean embedding of the tokens that its text had. A
    model with a new tokenizer or with places has to be trained on afterwards.

    Args:
        trained: the network, in float32.
        processor: its processor.
        folder: where to write; created.
        seed: seed of what is new.
        corpus: texts for a tokenizer with as many tokens as the one before; None: that one.
        place_spread: standard deviation of the cosines that are added to the position embedding (:func:`place_waves`);
            None: nothing is added.
        intermediate: new width of the language model's feed-forward layers, no less than before; None: as before.

    Raises:
        InputError: ``intermediate`` is less than the width before, or the model has another shape than embedded models.
    """
    text, vision = trained.config.get_text_config(), getattr(trained.config, "vision_config", None)
    if trained.config.model_type != "qwen3_vl" or vision is None:
        raise InputError(f"the model is a {trained.config.model_type}, no embedded model; give redaes/nano-base")
    width, n_narrow = intermediate or text.intermediate_size, text.intermediate_size
    if width < n_narrow:
        raise InputError(f"--intermediate is {width}, but the model has {n_narrow}; layers can only be widened")
    tokenizer = processor.tokenizer
    if corpus is not None:
        tokenizer = train_tokenizer(corpus, text.vocab_size, processor.chat_template)
    shape = {"hidden": text.hidden_size, "layers": text.num_hidden_layers}
    shape |= {"vision_hidden": vision.hidden_size, "vision_layers": vision.depth}
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(make_config(tokenizer, intermediate=width, **shape)).float()
    old, new = trained.state_dict(), model.state_dict()
    may_differ = ["mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"]
    may_differ += [] if corpus is None else ["embed_tokens.weight", "lm_head.weight"]
    other = [name for name in old.keys() | new.keys() if not name.endswith(tuple(may_differ))
             and (name not in old or name not in new or old[name].shape != new[name].shape)]  # fmt: skip
    if other:
        raise InputError(f"the model has not the shape of an embedded one ({min(other)}); give redaes/nano-base")
    with torch.no_grad():
        for name, weight in new.items():
            if name.endswith(("mlp.gate_proj.weight", "mlp.up_proj.weight")):
                weight[:n_narrow] = old[name]
            elif name.endswith("mlp.down_proj.weight"):
                weight.zero_()
                weight[:, :n_narrow] = old[name]
            elif corpus is None or not name.endswith(("embed_tokens.weight", "lm_head.weight")):
                weight.copy_(old[name])
        if corpus is not None:
            embedding, known = model.get_input_embeddings().weight, processor.tokenizer.get_vocab()
            for token, number in tokenizer.get_vocab().items():
                text = tokenizer.convert_tokens_to_string([token])
                its = [known[token]] if token in known else processor.tokenizer(text)["input_ids"]
                embedding[number] = trained.get_input_embeddings().weight[its].mean(0)
        if place_spread is not None:
            positions = model.model.visual.pos_embed.weight
            n_positions, n_wide = positions.shape
            positions.add_(place_waves(n_positions, n_wide, place_spread, seed))
    model.generation_config.eos_token_id = model.config.text_config.eos_token_id
    model.generation_config.pad_token_id = model.config.text_config.pad_token_id
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    make_processor(tokenizer, int(processor.image_processor.size["longest_edge"])).save_pretrained(folder)
