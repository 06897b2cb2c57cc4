"""Compute the next-token logits of a Qwen-VL after many prompts, reading common parts of prompts only once.

Each different picture passes the image processor and vision tower once. The beginning of prompts, up to their second
picture, is processed once for all prompts that share it; the rest is packed into rows of tokens. Tokens of pictures,
and keys and values of beginnings, are cached between calls, since the rounds of a ranking show the same pictures.

The cache never changes an answer, not even in the last digit: each picture and each beginning is processed by itself,
so that the time does not matter, and the packing of the rest depends on the call alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor

from redaes.attention.packed_sequences import PackedSequences, TokenSequence, packed_sequences
from redaes.attention.token_trees import (
    BRANCHES,
    ContinuedRow,
    KeysAndValues,
    branch_attention,
    why_no_branches,
)
from redaes.backends.vision_tokens import PictureTokens, answering, tokens_by_picture, tower_answer

_FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Model types whose towers and processors work as this module assumes."""

_LEAST_KEPT = 1 << 28
"""Bytes that may be cached of pictures, and of prompt beginnings [ours]; for large models, an eighth of the weights'
size.
"""

_ONE_PAIR = 2
"""Number of questions about one pair, in both orders. With so few, beginnings are not processed separately."""

_Kept = TypeVar("_Kept")

_Beginning = tuple[tuple[int, ...], bytes | None]
"""Key of a common beginning: the tokens up to the second picture, and the digest of the first picture."""


class _Lately(Generic[_Kept]):
    """A cache that keeps the most recently used entries, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.n_bytes = 0
        self._kept: OrderedDict[Any, tuple[_Kept, int]] = OrderedDict()

    def get(self, key: Any) -> _Kept | None:
        """Return an entry, which becomes the most recently used; None: it is not cached."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: Any, one: _Kept, n_bytes: int) -> None:
        """Add an entry, and drop the least recently used ones."""
        self._kept[key] = one, n_bytes
        self.n_bytes += n_bytes
        while self.n_bytes > self.most_bytes:
            _, (_, its_bytes) = self._kept.popitem(last=False)
            self.n_bytes -= its_bytes


@dataclass(frozen=True)
class _Picture:
    """A picture that has passed processor and tower."""

    digest: bytes
    grid: Tensor
    """(1, 3), on the CPU."""
    tokens: PictureTokens


@dataclass(frozen=True)
class _Prompt:
    """A prompt on its way into a row."""

    place: int
    """Its index among all prompts of the call."""
    ids: list[int]
    pictures: tuple[_Picture, ...]
    beginning: _Beginning
    cut: int
    """Number of tokens of the beginning; 0: it is not processed separately."""


class PromptPacker:
    """Reads prompts for a model.

    Args:
        network: the model, perhaps with a LoRA; `can_read` must be true for it.
        processor: its processor.
        batch_size: a row has at most as many tokens as this number of prompts of the longest kind.
        most_bytes: size of the cache for pictures, and of that for beginnings; None: chosen by the size of the model.
    """

    def __init__(self, network: Any, processor: Any, batch_size: int, *, most_bytes: int | None = None) -> None:
        self._model = network
        self._network = _without_lora(network)
        self._processor = processor
        self._batch_size = batch_size
        self._visual = self._network.base_model.visual
        self._kind: Any = None
        weights = sum(one.numel() * one.element_size() for one in self._network.parameters())
        most = max(_LEAST_KEPT, weights // 8) if most_bytes is None else most_bytes
        self._pictures: _Lately[_Picture] = _Lately(most)
        self._beginnings: _Lately[KeysAndValues] = _Lately(most)

    @staticmethod
    def can_read(network: Any, processor: Any) -> bool:
        """Return whether a model's prompts can be packed."""
        own = _without_lora(network)
        known = getattr(own.config, "model_type", None) in _FAMILIES and hasattr(
            processor.image_processor, "merge_size"
        )
        return known and why_no_branches(own) is None

    def next_logits(
        self, texts: Sequence[str], shown: Sequence[Sequence[Image.Image]]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the logits of the token after each prompt.

        Args:
            texts: N prompts in the model's chat format, with one image token for each picture.
            shown: the pictures of each.

        Yields:
            Places of some of the prompts among the N, and (places, vocabulary) logits.
        """
        ids = {text: self._processor.tokenizer(text)["input_ids"] for text in set(texts)}
        different = {id(image): image for images in shown for image in images}
        digests = {key: _digest(image) for key, image in different.items()}
        alike: dict[_Beginning, list[int]] = {}
        for place, (text, images) in enumerate(zip(texts, shown, strict=True)):
            first = digests[id(images[0])] if images else None
            alike.setdefault((self._up_to_second_picture(ids[text]), first), []).append(place)
        row: list[_Prompt] = []
        n_tokens = longest = 0
        with branch_attention(self._network):
            for beginning, places in alike.items():
                for place in places:
                    pictures = tuple(self._picture(digests[id(image)], image) for image in shown[place])
                    prompt = self._prompt(place, ids[texts[place]], pictures, beginning, len(texts) > _ONE_PAIR)
                    longest = max(longest, len(prompt.ids))
                    own = _n_new(prompt, row)
                    if row and n_tokens + own > self._batch_size * longest:
                        yield [one.place for one in row], self._read(row)
                        row, n_tokens = [], 0
                        own = len(prompt.ids)
                    row.append(prompt)
                    n_tokens += own
            if row:
                yield [one.place for one in row], self._read(row)

    def _up_to_second_picture(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return tokens of a text, one for each picture."""
        shown = [place for place, token in enumerate(ids) if token == self._network.config.image_token_id]
        return tuple(ids[: shown[1]] if len(shown) > 1 else ids)

    def _picture(self, digest: bytes, image: Image.Image) -> _Picture:
        picture = self._pictures.get(digest)
        if picture is None:
            made = self._processor.image_processor(images=[image], return_tensors="pt")
            grid, device = made["image_grid_thw"], self._network.device
            computed = self._visual(made["pixel_values"].to(device, self._visual.dtype), grid_thw=grid.to(device))
            self._kind = type(computed)
            (tokens,) = tokens_by_picture(computed, grid, self._visual.spatial_merge_size)
            picture = _Picture(digest, grid, tokens)
            self._pictures.put(digest, picture, _n_bytes(tokens))
        return picture

    def _prompt(
        self, place: int, ids: Sequence[int], pictures: tuple[_Picture, ...], beginning: _Beginning, by_itself: bool
    ) -> _Prompt:
        """Return one in which each picture has all its tokens."""
        whole: list[int] = []
        cut, waiting = 0, list(pictures)
        for token in ids:
            if token != self._network.config.image_token_id:
                whole.append(token)
                continue
            if by_itself and len(waiting) == len(pictures) - 1:
                cut = len(whole)
            whole += [token] * len(waiting.pop(0).tokens[0])
        return _Prompt(place, whole, pictures, beginning, cut)

    def _read(self, row: Sequence[_Prompt]) -> Tensor:
        """Return the (prompts, vocabulary) logits after the prompts of one row."""
        beginnings = {one.beginning: self._begun(one) for one in row if one.cut}
        pictures = list({picture.digest: picture for one in row for picture in one.pictures}.values())
        number = {picture.digest: number for number, picture in enumerate(pictures)}
        sequences = [
            TokenSequence(one.ids, tuple(number[picture.digest] for picture in one.pictures), one.cut, one.cut > 0)
            for one in row
        ]
        packed = self._packed(sequences, pictures)
        known = {root: beginnings[one.beginning] for one, root in zip(row, packed.roots, strict=True) if one.cut}
        layout = ContinuedRow(packed.inputs[BRANCHES], known)
        return self._logits(packed, pictures, layout)

    def _begun(self, prompt: _Prompt) -> KeysAndValues:
        """Return the keys and values of a prompt's beginning."""
        found = self._beginnings.get(prompt.beginning)
        if found is None:
            first = prompt.pictures[:1]
            packed = self._packed([TokenSequence(prompt.ids[: prompt.cut], (0,))], first)
            found = {}
            self._logits(packed, first, ContinuedRow(packed.inputs[BRANCHES], {}, {0: found}))
            self._beginnings.put(prompt.beginning, found, sum(_n_bytes(layer) for layer in found.values()))
        return found

    def _packed(self, sequences: Sequence[TokenSequence], pictures: Sequence[_Picture]) -> PackedSequences:
        grids = [picture.grid for picture in pictures]
        return packed_sequences(self._network, sequences, torch.cat([torch.zeros(0, 3, dtype=torch.long), *grids]))

    def _logits(self, packed: PackedSequences, pictures: Sequence[_Picture], layout: ContinuedRow) -> Tensor:
        """Return the (sequences, vocabulary) logits after each sequence of a row."""
        device = self._network.device
        inputs = {**packed.inputs, BRANCHES: layout, "use_cache": False, "logits_to_keep": packed.last.to(device)}
        if not packed.shown:
            del inputs["image_grid_thw"]
            return self._model(**inputs).logits[0]
        answer = tower_answer(self._kind, [pictures[number].tokens for number in packed.shown])
        with answering(self._visual, answer):  # the model hands its tower the pixels unread
            return self._model(**inputs, pixel_values=torch.zeros(0, device=device)).logits[0]


def _n_new(prompt: _Prompt, row: Sequence[_Prompt]) -> int:
    """Return tokens that a prompt adds to those of a row, beginnings included."""
    return len(prompt.ids) - (prompt.cut if any(one.beginning == prompt.beginning for one in row) else 0)


def _n_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors)


def _without_lora(network: Any) -> Any:
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def _digest(image: Image.Image) -> bytes:
    """Return a digest that is the same for pictures with the same mode, size and pixels."""
    found = sha256(f"{image.mode} {image.size}".encode())  # processors have instructions for it
    found.update(image.tobytes())
    return found.digest()
