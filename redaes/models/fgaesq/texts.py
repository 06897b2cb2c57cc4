"""Comparative texts for CTAlign, and their embeddings by CLIP's frozen text tower."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel

from redaes.errors import BackendError
from redaes.types import Factor, Rationale

_QUALITY: dict[Factor, str] = {
    "light": "light",
    "colour": "colours",
    "focus": "focus",
    "noise": "less noise",
    "composition": "composition",
    "content": "content with nothing in the way",
    "subject": "subject",
    "mood": "mood",
}
_AT_ONCE = 64


def comparative_text(factors: Iterable[Factor], better: bool) -> str:
    """Return the sentence for a pair whose deciding factors are known; the first picture is its subject.

    >>> comparative_text(["light", "focus"], better=True)
    'the first photo is better than the second: better light, better focus'
    """
    word = "better" if better else "worse"
    reasons = ", ".join(f"{word} {_QUALITY[factor]}" for factor in factors)
    sentence = f"the first photo is {word} than the second"
    return f"{sentence}: {reasons}" if reasons else sentence


def rationale_text(rationale: Rationale) -> str:
    """Return a rationale of the embedded writer as a comparative text, the verdict first, because long texts are cut.

    Its letters become "the first photo" and "the second photo": CLIP's tokenizer knows no capitals, so that A would be
    an article. (The writer uses no article A at the start of a sentence; other writers may.)

    >>> rationale_text(Rationale(text="B is noisier. A is clearly better.", factors=("noise",), better="A"))
    'the first photo is clearly better. the second photo is noisier.'
    """
    *reasons, verdict = re.split(r"(?<=[.!]) +", rationale.text)
    text = " ".join([verdict, *reasons])
    return re.sub(r"\b[AB]\b", lambda letter: f"the {'first' if letter[0] == 'A' else 'second'} photo", text)


@torch.no_grad()
def text_embeddings(clip: Path, texts: Iterable[str]) -> dict[str, Tensor]:
    """Return the embedding of each different text by CLIP's text tower: (d,), of length 1.

    The tower is frozen, so this is done once, before training.

    Args:
        clip: folder of a CLIP model with its tokenizer, safetensors.
        texts: longer ones are cut at what the tower takes (77 tokens in the published models).

    Raises:
        BackendError: no CLIP model with a tokenizer there.
    """
    different = sorted(set(texts))
    if not different:
        return {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(clip, local_files_only=True, trust_remote_code=False)
        model, loading = CLIPModel.from_pretrained(
            clip, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise BackendError(f"{clip} holds no CLIP model with a tokenizer ({error}); give its folder") from error
    if loading["missing_keys"]:
        raise BackendError(f"{clip} lacks weights, such as {min(loading['missing_keys'])}; copy the model again")
    model.eval()
    longest = model.config.text_config.max_position_embeddings
    found: dict[str, Tensor] = {}
    for start in range(0, len(different), _AT_ONCE):
        chunk = different[start : start + _AT_ONCE]
        inputs = tokenizer(chunk, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        hidden = model.text_model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        embedded = torch.nn.functional.normalize(model.text_projection(hidden.pooler_output), dim=-1)
        found.update(zip(chunk, embedded, strict=True))
    return found
