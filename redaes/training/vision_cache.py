"""The different pictures of a batch, each decoded, processed and looked at once however often it is shown.

A pair is shown in two orders, each of its pictures alone as well, and pairs of a group share pictures. Left to the
model, a vision tower would look at a picture some eight times in a batch of stage 2; its tokens are the same each time.
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

from redaes.prompts import Mode
from redaes.records import PairRecord
from redaes.training.formatting import decode, drawn_answers, labels_at_end
from redaes.types import Side


class PictureBatch:
    """The different pictures of some pairs, in order of appearance, and prompts that show them.

    Args:
        processor: of the model.
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
        """``pixel_values`` (patches of all P pictures, values of a patch) and ``image_grid_thw`` (P, 3)."""
        merged = processor.image_processor.merge_size**2
        self._n_tokens: list[int] = (self.tensors["image_grid_thw"].prod(-1) // merged).tolist()

    def prompts(self, texts: Sequence[str], shown: Sequence[Sequence[str]]) -> dict[str, Tensor]:
        """What the processor would give for these texts and pictures, but for the pixels.

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
        """Each of the N pairs answered in full, in one order and mode.

        Args:
            modes: to draw from. Order and mode follow from the pair's id, so a batch is the same whenever it is made.

        Returns:
            As `prompts`, and ``labels`` (N, T): the tokens of the answer, `IGNORED` elsewhere.
        """
        texts, orders, lengths = drawn_answers(self.processor, self._records, modes)
        pairs = [
            r.pair if order == "forward" else r.pair.swapped() for r, order in zip(self._records, orders, strict=True)
        ]
        batch = self.prompts(texts, [(pair.first.id, pair.second.id) for pair in pairs])
        return {**batch, "labels": labels_at_end(batch["input_ids"], lengths)}


def vision_tower(model: torch.nn.Module) -> torch.nn.Module:
    """The vision tower of a Qwen-VL, whatever is wrapped around the model."""
    return next(module for name, module in model.named_modules() if name.rpartition(".")[2] == "visual")


class BatchVisionCache:
    """While this is entered, a vision tower answers for prompts of `PictureBatch` from one look at each picture.

    Args:
        visual: the vision tower.
        pictures: `PictureBatch.tensors`.
    """

    def __init__(self, visual: Any, pictures: dict[str, Tensor]) -> None:
        self._visual = visual
        self._pictures = pictures
        self._seen: Any = None
        self._place: list[int] = []

    def __enter__(self) -> Self:
        self._before = vars(self._visual).get("forward")  # where another library has put its own
        self._look = self._visual.forward
        self._visual.forward = self._answer
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is None:
            del self._visual.forward  # the class has the true one
        else:
            self._visual.forward = self._before

    def showing(self, prompts: dict[str, Tensor]) -> dict[str, Tensor]:
        """The model's arguments for these prompts; to be used before the next call."""
        self._place = prompts["place"].tolist()
        arguments = {name: value for name, value in prompts.items() if name != "place"}
        # The model asks its tower where there are pixels, and hands them on unread.
        return {**arguments, "pixel_values": self._pictures["pixel_values"]}

    def _answer(self, pixel_values: Tensor, grid_thw: Tensor, **kwargs: Any) -> Any:
        grid = self._pictures["image_grid_thw"]
        if not torch.equal(grid_thw, grid[self._place]):
            raise AssertionError("the model was called with other prompts than those last given to showing()")
        if self._seen is None:
            self._seen = self._look(pixel_values, grid_thw=grid, **kwargs)
        pictures = _tokens_by_picture(self._seen, grid, self._visual.spatial_merge_size)
        return _answer_of(type(self._seen), [pictures[number] for number in self._place])


PictureTokens = list[Tensor]
"""A picture's tokens, and those of each deepstack level where the tower has some."""


def _tokens_by_picture(seen: Any, grid_thw: Tensor, merge: int) -> list[PictureTokens]:
    """A tower's answer about P pictures, picture by picture."""
    counts = (grid_thw.prod(-1) // merge**2).tolist()
    levels = [seen.pooler_output, *(seen.deepstack_features if "deepstack_features" in seen else ())]
    return [list(tokens) for tokens in zip(*(torch.split(level, counts) for level in levels), strict=True)]


def _answer_of(kind: type, pictures: Sequence[PictureTokens]) -> Any:
    """The tower's answer about these pictures, as `_tokens_by_picture` takes it apart."""
    first, *deepstack = (torch.cat(level) for level in zip(*pictures, strict=True))
    answer = kind(pooler_output=first)
    if deepstack:
        answer["deepstack_features"] = deepstack
    return answer


@dataclass(frozen=True)
class _CachedPicture:
    """A picture that a tower has looked at."""

    key: tuple[Any, ...]
    """What equal pictures share: shape, number type, sum."""
    patches: Tensor
    tokens: PictureTokens


class FrozenVisionCache:
    """Lets a vision tower that is not trained answer from memory about pictures that it has looked at lately.

    In stage 3 every completion brings its pictures along: a group of three pictures in six prompts of four completions
    shows each of them 16 times when answers are sampled, and again when they are trained on.

    Args:
        visual: the vision tower, all of it frozen. Its ``forward`` is replaced for good.
        n_kept: most pictures that are remembered from call to call.

    Raises:
        AssertionError: part of the tower is trained; its answers would not stay true.
    """

    def __init__(self, visual: Any, n_kept: int) -> None:
        if any(parameter.requires_grad for parameter in visual.parameters()):
            raise AssertionError("a vision tower that is trained has to look again")
        self._look = visual.forward
        self._merge: int = visual.spatial_merge_size
        self._n_kept = n_kept
        self._known: list[_CachedPicture] = []  # those asked about last come last
        self._kind: Any = None
        self.n_shown = 0
        """Pictures that were asked about."""
        self.n_looked_at = 0
        """Pictures that the tower has looked at."""
        visual.forward = self._answer

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Begin without memory, and have the old one back afterwards: what is asked meanwhile leaves no trace.

        A picture's tokens depend, in the last digits, on those that it was looked at with.
        """
        before = self._known, self.n_shown, self.n_looked_at
        self._known = []
        try:
            yield
        finally:
            self._known, self.n_shown, self.n_looked_at = before

    @torch.no_grad()
    def _answer(self, pixel_values: Tensor, grid_thw: Tensor, **kwargs: Any) -> Any:
        device = pixel_values.device.type
        number_type = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        pictures = torch.split(pixel_values, grid_thw.prod(-1).tolist())
        sums = torch.stack([patches.double().sum() for patches in pictures]).tolist()
        known = [*self._known]  # a look that fails leaves nothing half known
        shown: list[_CachedPicture] = []
        new: list[int] = []
        for number, (patches, grid, total) in enumerate(zip(pictures, grid_thw.tolist(), sums, strict=True)):
            key = (*grid, number_type, total)
            place = _find(known, key, patches)
            if place is None:
                known.append(_CachedPicture(key, patches.clone(), []))
                new.append(number)
            else:
                known.append(known.pop(place))
            shown.append(known[-1])
        if new:
            seen = self._look(torch.cat([pictures[number] for number in new]), grid_thw=grid_thw[new], **kwargs)
            self._kind = type(seen)
            for number, tokens in zip(new, _tokens_by_picture(seen, grid_thw[new], self._merge), strict=True):
                shown[number].tokens.extend(tokens)
        self.n_shown += len(shown)
        self.n_looked_at += len(new)
        self._known = known[-self._n_kept :]
        return _answer_of(self._kind, [picture.tokens for picture in shown])


def _find(known: Sequence[_CachedPicture], key: tuple[Any, ...], patches: Tensor) -> int | None:
    for place, picture in enumerate(known):
        if picture.key == key and torch.equal(picture.patches, patches):
            return place
    return None
