"""A tiny CLIP in transformers' format, from which training starts if no real one is given.

Random, but for its patch filters: those of the embedded language model separate frequencies, so that blur and noise
are not lost in brightness.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from redaes.models.fgaesq.tokens import PATCH, TokenSettings
from redaes.models.nano.builder import frequency_filters

TINY_TOKENS = TokenSettings(budget=80, fine_blocks=5, candidates=0.5, min_side=0)
"""DiffToken for pictures of about 160 pixels: some 24 blocks for a pair, 5 of them fine."""


def build_tiny_clip(
    folder: Path,
    corpus: Iterable[str],
    *,
    seed: int,
    width: int = 96,
    layers: int = 3,
    projection: int = 64,
    grid: int = 8,
    vocab_size: int = 512,
) -> None:
    """Write model and tokenizer to ``folder``.

    Args:
        folder: created.
        corpus: texts for the tokenizer; any other text can be encoded too.
        seed: seed of the weights.
        width: width of the visual tower, a multiple of 32; the text tower has half of it.
        layers: layers of both towers.
        projection: dimension of the joint space.
        grid: side of the position table, in patches.
        vocab_size: most tokens of the vocabulary.
    """
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 2, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    bpe.train_from_iterator(corpus, trainer)
    merges = [(left, right) for left, right in json.loads(bpe.to_str())["model"]["merges"]]
    # Every letter with and without the end of a word, then what the merges make of them: nothing is unknown.
    pieces = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges)])
    vocab = {piece: number for number, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges)
    end = vocab["<|endoftext|>"]
    config = CLIPConfig(
        text_config={
            "vocab_size": len(vocab),
            "hidden_size": width // 2,
            "intermediate_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": max(1, width // 64),
            "bos_token_id": vocab["<|startoftext|>"],
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 32,
            "patch_size": PATCH,
            "image_size": PATCH * grid,
        },
        projection_dim=projection,
    )
    torch.manual_seed(seed)
    model = CLIPModel(config).float()
    with torch.no_grad():
        patch = model.vision_model.embeddings.patch_embedding.weight
        patch.copy_(frequency_filters(patch.shape[0]).sum(2))  # made for two equal frames, half of the filter each
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
