"""What a model of the Qwen-VL families says next after many prompts, with as little read twice as can be.

Each different picture passes image processor and vision tower once. Prompts that begin alike up to their second picture
have that beginning once in a row of tokens, and share a row as far as there is room. Tokens of pictures, and keys and
values of beginnings, are kept from call to call as far as they fit: the rounds of a ranking show the same pictures.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor

from redaes.attention.packed_sequences import TokenSequence, packed_sequences
from redaes.attention.token_trees import (
    BRANCHES,
    ContinuedRow,
    KeysAndValues,
    branch_attention,
    why_no_branches,
)
from redaes.backends.vision_tokens import PictureTokens, answering, tokens_by_picture, tower_answer

_FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Model types whose towers and processors are as is taken for granted here."""

_LEAST_KEPT = 1 << 28
"""Bytes that may be kept of pictures, and of beginnings [ours]; of large models, an eighth of what weights take."""

_Kept = TypeVar("_Kept")

_Beginning = tuple[tuple[int, ...], bytes | None]
"""What prompts share that begin alike: the tokens up to the second picture, and what tells the first one."""


class _Lately(Generic[_Kept]):
    """What was used last, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.n_bytes = 0
        self._kept: OrderedDict[Any, tuple[_Kept, int]] = OrderedDict()

    def get(self, key: Any) -> _Kept | None:
        """What is kept; it is the last now to be forgotten."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: Any, one: _Kept, n_bytes: int) -> None:
        """Keep one, and forget those that were not used for the longest time."""
        self._kept[key] = one, n_bytes
        self.n_bytes += n_bytes
        while self.n_bytes > self.most_bytes:
            _, (_, its_bytes) = self._kept.popitem(last=False)
            self.n_bytes -= its_bytes


@dataclass
class _Picture:
    """A picture on its way through processor and tower."""

    digest: bytes
    grid: Tensor
    """(1, 3)."""
    n_tokens: int
    patches: Tensor | None
    """None: it has passed the tower."""
    tokens: PictureTokens = field(default_factory=list)


@dataclass(frozen=True)
class _Prompt:
    """A prompt on its way into a row."""

    place: int
    """Among all that were given."""
    ids: list[int]
    pictures: tuple[_Picture, ...]
    cut: int
    """Tokens up to its second picture; 0: it has none."""
    beginning: _Beginning


class PromptPacker:
    """Reads prompts for a model.

    Args:
        network: the model, perhaps with a LoRA; `can_read` says that it can.
        processor: its processor.
        batch_size: a row has at most as many tokens as this number of prompts of the longest kind.
        most_bytes: that may be kept of pictures, and as many of beginnings; None: as suits the size of the model.
    """

    def __init__(self, network: Any, processor: Any, batch_size: int, *, most_bytes: int | None = None) -> None:
        self._model = network
        self._network = _without_lora(network)
        self._processor = processor
        self._batch_size = batch_size
        self._merged: int = processor.image_processor.merge_size**2
        self._visual = self._network.base_model.visual
        self._kind: Any = None
        weights = sum(one.numel() * one.element_size() for one in self._network.parameters())
        most = max(_LEAST_KEPT, weights // 8) if most_bytes is None else most_bytes
        self._pictures: _Lately[_Picture] = _Lately(most)
        self._beginnings: _Lately[KeysAndValues] = _Lately(most)

    @staticmethod
    def can_read(network: Any, processor: Any) -> bool:
        """Whether a model's prompts can be packed."""
        own = _without_lora(network)
        known = getattr(own.config, "model_type", None) in _FAMILIES and hasattr(
            processor.image_processor, "merge_size"
        )
        return known and why_no_branches(own) is None

    def next_logits(
        self, texts: Sequence[str], shown: Sequence[Sequence[Image.Image]]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """What could follow each prompt.

        Args:
            texts: N prompts in the model's chat format, with one image token for each picture.
            shown: the pictures of each.

        Yields:
            Places of some of the prompts among the N, and (places, vocabulary) logits.
        """
        ids = {text: self._processor.tokenizer(text)["input_ids"] for text in set(texts)}
        different = {id(image): image for images in shown for image in images}
        digest_of = {key: _digest(image) for key, image in different.items()}
        alike: dict[_Beginning, list[int]] = {}
        for place, (text, images) in enumerate(zip(texts, shown, strict=True)):
            alike.setdefault(self._beginning(ids[text], [digest_of[id(image)] for image in images]), []).append(place)
        row: list[_Prompt] = []
        n_tokens = longest = 0
        with branch_attention(self._network):
            for beginning, places in alike.items():
                for place in places:
                    pictures = tuple(self._picture(digest_of[id(image)], image) for image in shown[place])
                    prompt = self._prompt(place, ids[texts[place]], pictures, beginning)
                    longest = max(longest, len(prompt.ids))
                    own = self._n_new(prompt, row)
                    if row and n_tokens + own > self._batch_size * longest:
                        yield self._read(row)
                        row, n_tokens = [], 0
                        own = self._n_new(prompt, row)
                    row.append(prompt)
                    n_tokens += own
            if row:
                yield self._read(row)

    def _beginning(self, ids: Sequence[int], digests: Sequence[bytes]) -> _Beginning:
        image_token = self._network.config.image_token_id
        shown = [place for place, token in enumerate(ids) if token == image_token]
        return tuple(ids[: shown[1]] if len(shown) > 1 else ids), next(iter(digests), None)

    def _picture(self, digest: bytes, image: Image.Image) -> _Picture:
        picture = self._pictures.get(digest)
        if picture is None:
            made = self._processor.image_processor(images=[image], return_tensors="pt")
            grid, patches = made["image_grid_thw"], made["pixel_values"]
            picture = _Picture(digest, grid, int(grid.prod()) // self._merged, patches)
            # Counted as what it will be: tokens of all levels are about as many numbers as its patches.
            self._pictures.put(digest, picture, patches.numel() * patches.element_size())
        return picture

    def _prompt(self, place: int, ids: Sequence[int], pictures: tuple[_Picture, ...], beginning: _Beginning) -> _Prompt:
        """One in which each picture has all its tokens."""
        image_token: int = self._network.config.image_token_id
        whole: list[int] = []
        cut, waiting = 0, list(pictures)
        for token in ids:
            if token != image_token:
                whole.append(token)
                continue
            if len(waiting) == len(pictures) - 1:
                cut = len(whole)
            whole += [token] * waiting.pop(0).n_tokens
        return _Prompt(place, whole, pictures, cut, beginning)

    def _n_new(self, prompt: _Prompt, row: Sequence[_Prompt]) -> int:
        """Tokens that a prompt adds to a row."""
        there = any(one.beginning == prompt.beginning for one in row) or self._beginnings.get(prompt.beginning)
        return len(prompt.ids) - (prompt.cut if prompt.cut and there else 0)

    def _read(self, row: Sequence[_Prompt]) -> tuple[list[int], Tensor]:
        pictures = list({picture.digest: picture for one in row for picture in one.pictures}.values())
        self._look_at([picture for picture in pictures if picture.patches is not None])
        number = {picture.digest: number for number, picture in enumerate(pictures)}
        known = {one.beginning: self._beginnings.get(one.beginning) for one in row if one.cut}
        packed = packed_sequences(
            self._network,
            [
                TokenSequence(
                    one.ids, tuple(number[picture.digest] for picture in one.pictures), one.cut,
                    known.get(one.beginning) is not None,
                )
                for one in row
            ],
            torch.cat([picture.grid for picture in pictures]) if pictures else torch.zeros(0, 3, dtype=torch.long),
        )  # fmt: skip
        at_hand: dict[int, KeysAndValues] = {}
        kept: dict[int, KeysAndValues] = {}
        room = self._beginnings.most_bytes
        new: dict[_Beginning, tuple[KeysAndValues, int]] = {}
        for one, root in zip(row, packed.roots, strict=True):
            if not one.cut:
                continue
            found = known[one.beginning]
            if found is not None:
                at_hand[root] = found
            elif one.beginning not in new and (n_bytes := one.cut * self._bytes_of_token()) <= room:
                room -= n_bytes
                kept[root] = {}
                new[one.beginning] = kept[root], n_bytes
        inputs = {**packed.inputs, BRANCHES: ContinuedRow(packed.inputs[BRANCHES], at_hand, kept)}
        device = self._network.device
        settings = {"use_cache": False, "logits_to_keep": packed.last.to(device)}
        if packed.shown:
            answer = tower_answer(self._kind, [pictures[number].tokens for number in packed.shown])
            with answering(self._visual, answer):
                logits = self._model(**inputs, pixel_values=torch.zeros(0, device=device), **settings).logits[0]
        else:
            del inputs["image_grid_thw"]
            logits = self._model(**inputs, **settings).logits[0]
        for beginning, (found, n_bytes) in new.items():
            self._beginnings.put(beginning, found, n_bytes)
        return [one.place for one in row], logits

    def _look_at(self, pictures: Sequence[_Picture]) -> None:
        """Have pictures pass the vision tower, some at a time."""
        device, dtype = self._network.device, self._visual.dtype
        for start in range(0, len(pictures), self._batch_size):
            some = pictures[start : start + self._batch_size]
            grid = torch.cat([picture.grid for picture in some])
            patches = torch.cat([picture.patches for picture in some if picture.patches is not None])
            computed = self._visual(patches.to(device, dtype), grid_thw=grid.to(device))
            self._kind = type(computed)
            for picture, tokens in zip(
                some, tokens_by_picture(computed, grid, self._visual.spatial_merge_size), strict=True
            ):
                picture.tokens = [level.clone() for level in tokens]
                picture.patches = None

    def _bytes_of_token(self) -> int:
        """What keys and values of one token take in all layers."""
        text = self._network.config.get_text_config()
        d = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        size = max(torch.finfo(self._network.dtype).bits // 8, 4 if self._network.device.type == "cpu" else 2)
        return 2 * int(text.num_hidden_layers * text.num_key_value_heads * d) * size


def _without_lora(network: Any) -> Any:
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def _digest(image: Image.Image) -> bytes:
    """What pictures share that are the same in every pixel."""
    found = blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    found.update(image.tobytes())
    return found.digest()
