"""Caches of a vision tower's tokens: within a batch, where pairs share pictures, and from call to call.

A pair is shown in two orders, each of its pictures is also shown alone, and pairs of a group share pictures. Without a
cache, a picture would pass the vision tower some eight times in a batch of stage 2, with the same tokens each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from transformers import ProcessorMixin

from redaes.backends.vision_tokens import PictureTokens, tokens_by_picture, tower_answer
from redaes.prompts import Mode
from redaes.records import PairRecord
from redaes.training.formatting import decode, drawn_answers, labels_at_end
from redaes.types import Side


class PictureBatch:
    """The different pictures of some pairs, in order of appearance, and prompts that show them.

    Args:
        processor: processor of the model.
        records: the pairs.
    """

    def __init__(self, processor: ProcessorMixin, records: Sequence[PairRecord]) -> None:
        self.processor = processor
        self._records = records
        shown: dict[str, tuple[PairRecord, Side]] = {}
        for record in records:
            shown[record.pair.first.id] = record, "first"
            shown[record.pair.second.id] = record, "second"
        self.place = {picture: number for number, picture in enumerate(shown)}
        """Number of each picture, by its id."""
        images = [decode(record, side) for record, side in shown.values()]
        self.tensors: dict[str, Tensor] = dict(processor.image_processor(images=images, return_tensors="pt"))
        """The tensors ``pixel_values`` (patches of all P pictures, values of a patch) and ``image_grid_thw`` (P, 3)."""
        merged = processor.image_processor.merge_size**2
        self._n_tokens: list[int] = (self.tensors["image_grid_thw"].prod(-1) // merged).tolist()

    def prompts(self, texts: Sequence[str], shown: Sequence[Sequence[str]]) -> dict[str, Tensor]:
        """Return what the processor would return for these texts and pictures, without the pixels.

        Args:
            texts: N prompts in the model's chat format, with one image token for each picture.
            shown: the ids of the pictures of each.

        Returns:
            ``input_ids``, ``attention_mask`` and ``mm_token_type_ids`` (N, T), padded on the left, so that the token
            to be read last is the last of every row; ``image_grid_thw`` of every showing, ``place`` (showings,).
        """
        image_token: str = self.processor.image_token
        whole: list[str] = []
        for text, pictures in zip(texts, shown, strict=True):
            parts = text.split(image_token)
            runs = [image_token * self._n_tokens[self.place[picture]] for picture in pictures]
            whole.append("".join(part + run for part, run in zip(parts, [*runs, ""], strict=True)))
        batch = self.processor.tokenizer(whole, return_tensors="pt", padding=True, padding_side="left")
        place = torch.tensor([self.place[picture] for pictures in shown for picture in pictures])
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": batch["attention_mask"],
            "mm_token_type_ids": (batch["input_ids"] == self.processor.image_token_id).int(),
            "image_grid_thw": self.tensors["image_grid_thw"][place],
            "place": place,
        }

    def answers(self, modes: Sequence[Mode]) -> dict[str, Tensor]:
        """Return each of the N pairs answered in full, in one order and mode.

        Args:
            modes: modes to draw from. Order and mode are derived from the pair's id, so a batch is the same whenever it
                is made.

        Returns:
            The tensors of `prompts`, and ``labels`` (N, T): the tokens of the answer, `IGNORED` elsewhere.
        """
        texts, orders, lengths = drawn_answers(self.processor, self._records, modes)
        pairs = [
            r.pair if order == "forward" else r.pair.swapped() for r, order in zip(self._records, orders, strict=True)
        ]
        batch = self.prompts(texts, [(pair.first.id, pair.second.id) for pair in pairs])
        return {**batch, "labels": labels_at_end(batch["input_ids"], lengths)}


def vision_tower(model: torch.nn.Module) -> torch.nn.Module:
    """Return the vision tower of a Qwen-VL, whatever is wrapped around the model."""
    return next(module for name, module in model.named_modules() if name.rpartition(".")[2] == "visual")


class BatchVisionCache:
    """Context in which each picture of a batch passes the vision tower once, however many prompts contain it.

    Args:
        visual: the vision tower.
        pictures: `PictureBatch.tensors`.
    """

    def __init__(self, visual: Any, pictures: dict[str, Tensor]) -> None:
        self._visual = visual
        self._pictures = pictures
        self._tokens: Any = None
        self._place: list[int] = []

    def __enter__(self) -> Self:
        self._before = vars(self._visual).get("forward")  # where another library has put its own
        self._tower = self._visual.forward
        self._visual.forward = self._answer
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is None:
            del self._visual.forward  # the class has the true one
        else:
            self._visual.forward = self._before

    def forward(self, model: Any, prompts: dict[str, Tensor], **more: Any) -> Any:
        """Call the model to which the tower belongs with prompts of the `PictureBatch`."""
        arguments = {name: value for name, value in prompts.items() if name != "place"}
        self._place = prompts["place"].tolist()
        try:
            # The model calls its tower if there are pixels, and passes them on unread.
            return model(**arguments, pixel_values=self._pictures["pixel_values"], **more)
        finally:
            self._place = []

    def _answer(self, pixel_values: Tensor, grid_thw: Tensor, **kwargs: Any) -> Any:
        grid = self._pictures["image_grid_thw"]
        if not torch.equal(grid_thw, grid[self._place]):
            raise AssertionError("the model was called otherwise than by BatchVisionCache.forward")
        if self._tokens is None:
            self._tokens = self._tower(pixel_values, grid_thw=grid, **kwargs)
        pictures = tokens_by_picture(self._tokens, grid, self._visual.spatial_merge_size)
        return tower_answer(type(self._tokens), [pictures[number] for number in self._place])


@dataclass(frozen=True)
class _CachedPicture:
    """A picture whose tokens are cached."""

    key: tuple[Any, ...]
    """Key that equal pictures share: shape, number type, sum."""
    patches: Tensor
    tokens: PictureTokens


class FrozenVisionCache:
    """Keep the tokens of the pictures that recently passed a frozen vision tower.

    In stage 3 every prompt, and without ``share_prompts`` every completion, contains its pictures. A group of three
    pictures in six prompts with four completions shows each picture 16 times when answers are sampled (four times with
    ``share_prompts``), and as often again in training.

    Args:
        visual: the vision tower, completely frozen. Its ``forward`` is replaced permanently.
        n_kept: largest number of pictures that are kept between calls.

    Raises:
        AssertionError: part of the tower is trained, so cached tokens would become wrong.
    """

    def __init__(self, visual: Any, n_kept: int) -> None:
        if any(parameter.requires_grad for parameter in visual.parameters()):
            raise AssertionError("the tokens of a vision tower that is trained cannot be kept")
        self._tower = visual.forward
        self._merge: int = visual.spatial_merge_size
        self._n_kept = n_kept
        self._cached: list[_CachedPicture] = []  # most recently used pictures come last
        self._kind: Any = None
        self.n_asked = 0
        """Number of pictures whose tokens were requested."""
        self.n_computed = 0
        """Number of pictures that have passed the tower."""
        visual.forward = self._answer

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Use an empty cache within the context, and restore the former one afterwards.

        The last digits of a picture's tokens depend on the other pictures of its pass through the tower.
        """
        before = self._cached, self.n_asked, self.n_computed
        self._cached = []
        try:
            yield
        finally:
            self._cached, self.n_asked, self.n_computed = before

    @torch.no_grad()
    def _answer(self, pixel_values: Tensor, grid_thw: Tensor, **kwargs: Any) -> Any:
        device = pixel_values.device.type
        number_type = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        pictures = torch.split(pixel_values, grid_thw.prod(-1).tolist())
        sums = torch.stack([patches.double().sum() for patches in pictures]).tolist()
        cached = [*self._cached]  # a failed pass leaves nothing half stored
        asked: list[_CachedPicture] = []
        new: list[int] = []
        for number, (patches, grid, total) in enumerate(zip(pictures, grid_thw.tolist(), sums, strict=True)):
            key = (*grid, number_type, total)
            place = _find(cached, key, patches)
            if place is None:
                cached.append(_CachedPicture(key, patches.clone(), []))
                new.append(number)
            else:
                cached.append(cached.pop(place))
            asked.append(cached[-1])
        if new:
            computed = self._tower(torch.cat([pictures[number] for number in new]), grid_thw=grid_thw[new], **kwargs)
            self._kind = type(computed)
            for number, tokens in zip(new, tokens_by_picture(computed, grid_thw[new], self._merge), strict=True):
                asked[number].tokens.extend(tokens)
        self.n_asked += len(asked)
        self.n_computed += len(new)
        self._cached = cached[-self._n_kept :]
        return tower_answer(self._kind, [picture.tokens for picture in asked])


def _find(cached: Sequence[_CachedPicture], key: tuple[Any, ...], patches: Tensor) -> int | None:
    for place, picture in enumerate(cached):
        if picture.key == key and torch.equal(picture.patches, patches):
            return place
    return None
