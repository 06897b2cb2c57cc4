"""The different pictures of a batch, each decoded, processed and looked at once however often it is shown.

A pair is shown in two orders, each of its pictures alone as well, and pairs of a group share pictures. Left to the
model, a vision tower would look at a picture some eight times in a batch of stage 2; its tokens are the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from transformers import ProcessorMixin

from redaes.prompts import Mode
from redaes.records import PairRecord
from redaes.training.formatting import decode, drawn_answers, labels_at_end


class Pictures:
    """The different pictures of some pairs, in order of appearance, and prompts that show them.

    Args:
        processor: of the model.
        records: the pairs.
    """

    def __init__(self, processor: ProcessorMixin, records: Sequence[PairRecord]) -> None:
        self.processor = processor
        self._records = records
        data: dict[str, bytes] = {}
        for record in records:
            data[record.pair.first.id] = record.first_bytes
            data[record.pair.second.id] = record.second_bytes
        self.place = {picture: number for number, picture in enumerate(data)}
        """Number of each picture, by its id."""
        images = [decode(jpeg) for jpeg in data.values()]
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


class LookedAtOnce:
    """While this is entered, a vision tower answers for prompts of `Pictures` from one look at each picture.

    Args:
        visual: the vision tower.
        pictures: `Pictures.tensors`.
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
        counts = (grid.prod(-1) // self._visual.spatial_merge_size**2).tolist()

        def repeated(tokens: Tensor) -> Tensor:
            pictures = torch.split(tokens, counts)
            return torch.cat([pictures[number] for number in self._place])

        answer = type(self._seen)(pooler_output=repeated(self._seen.pooler_output))
        if "deepstack_features" in self._seen:
            answer["deepstack_features"] = [repeated(level) for level in self._seen.deepstack_features]
        return answer
