"""Pack answers to the same prompts, padded as in TRL, into one row in which each prompt occurs once.

The row is, prompt by prompt, ``[prompt without its last token | last token + answer 1 | last token + answer 2 | ...]``,
each answer without its own last token. A branch begins with the prompt's last token, so that what the model predicts
there are exactly the tokens of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from redaes.attention.token_trees import BRANCHES, Segment

NOT_SCORED = -100
"""The label of a token that has none, as torch's losses define it."""


@dataclass(frozen=True)
class PromptPictures:
    """The pictures that a prompt shows, in the form that the processor gives them."""

    grid: Tensor
    """Shape (pictures, 3): patches of each picture in time, height and width."""
    patches: Tensor
    """Shape (patches of all pictures, values of a patch)."""
    known_as: int | None = None
    """A number that equal pictures share. It is used in a dry run, in which patches have no values."""

    def to(self, device: torch.device) -> PromptPictures:
        """Return the same pictures on a device."""
        return PromptPictures(self.grid.to(device), self.patches.to(device), self.known_as)

    def same(self, other: PromptPictures) -> bool:
        """Return whether both hold the same pictures, equal in every pixel."""
        if self.known_as is not None:
            return self.known_as == other.known_as
        return torch.equal(self.grid, other.grid) and torch.equal(self.patches, other.patches)


def pictures_by_row(
    grid: Tensor, patches: Tensor, n_pictures: Sequence[int], num_generations: int
) -> list[PromptPictures]:
    """Return the pictures of each row, taken from the tensors that hold the pictures of all rows in order.

    Args:
        grid: (pictures of all rows, 3).
        patches: patches of all rows.
        n_pictures: number of pictures of each row.
        num_generations: number of consecutive rows that have the same prompt; it is used in a dry run only.
    """
    grids = grid.split(list(n_pictures))
    counts = [int(one.prod(-1).sum()) for one in grids]
    without_values = isinstance(patches, FakeTensor)
    return [
        PromptPictures(*both, known_as=row // num_generations if without_values else None)
        for row, both in enumerate(zip(grids, patches.split(counts), strict=True))
    ]


@dataclass(frozen=True)
class PromptedAnswers:
    """B answers and their prompts, on the same device."""

    prompt_ids: Tensor
    """Shape (B, P); padding may be anywhere."""
    prompt_mask: Tensor
    """Shape (B, P): 1 for tokens of the prompt, 0 for padding."""
    picture_tokens: Tensor
    """Shape (B, P): ``mm_token_type_ids``, 1 where a token stands for a part of a picture."""
    answer_ids: Tensor
    """Shape (B, C)."""
    answer_mask: Tensor
    """Shape (B, C): 1 for tokens of the answer, 0 for padding; an answer may be empty."""
    pictures: Sequence[PromptPictures]
    """The pictures of each row."""

    def rows_by_prompt(self) -> list[list[int]]:
        """Return groups of rows whose prompts are equal in every token and every pixel, in order of appearance."""
        ids = self.prompt_ids.cpu()
        seen = self.prompt_mask.bool().cpu()
        of_text: dict[tuple[int, ...], list[list[int]]] = {}
        found: list[list[int]] = []
        for row in range(len(ids)):
            alike = of_text.setdefault(tuple(ids[row][seen[row]].tolist()), [])
            rows = next((one for one in alike if self.pictures[one[0]].same(self.pictures[row])), None)
            if rows is None:
                alike.append([row])
                found.append(alike[-1])
            else:
                rows.append(row)
        return found


@dataclass(frozen=True)
class PackedAnswers:
    """A packed row of L tokens, with the places in the batch to which its predictions belong."""

    inputs: dict[str, Any]
    """Arguments of the model. ``shift_labels`` (1, L) holds the token to be predicted, `NOT_SCORED` in the prompts."""
    target: Tensor
    """Shape (L,): place of the predicted token among the B * C of the batch; -1 in the prompts."""
    shape: tuple[int, int]
    """The shape of the batch of answers, (B, C)."""

    def unpacked(self, values: Tensor) -> Tensor:
        """Bring values (1, L) of the predicted tokens into the shape (B, C), with 0 where there is no token."""
        scored = (self.target >= 0).nonzero()[:, 0]
        flat = values.new_zeros(self.shape[0] * self.shape[1])
        return flat.index_put((self.target[scored],), values[0, scored]).view(self.shape)


def packed_answers(network: Any, batch: PromptedAnswers) -> PackedAnswers:
    """Pack a batch for a model.

    Args:
        network: a Qwen-VL without LoRA around it; only its function for the positions of tokens is called.
        batch: the answers.

    Raises:
        AssertionError: a prompt ends with a picture, so that the positions after it are not those of text.
    """
    device, (n_rows, n_columns) = batch.prompt_ids.device, batch.prompt_ids.shape
    n_answer = batch.answer_ids.shape[1]
    prompt_seen, answer_seen = batch.prompt_mask.bool().cpu(), batch.answer_mask.bool().cpu()
    rows_by_prompt = batch.rows_by_prompt()
    # Places in a flat array of all prompts followed by all answers, so that one gather makes the row.
    first_answer = n_rows * n_columns
    tokens: list[Tensor] = []
    targets: list[Tensor] = []
    origins: list[Tensor] = []  # the token of the U prompts from which a position counts; distances: how far away it is
    distances: list[Tensor] = []
    layout: list[Segment] = []
    at = 0
    for number, rows in enumerate(rows_by_prompt):
        columns = prompt_seen[rows[0]].nonzero()[:, 0]
        before, last = columns[:-1], columns[-1:]
        tokens.append(rows[0] * n_columns + before)
        targets.append(torch.full_like(before, -1))
        origins.append(number * n_columns + before)
        distances.append(torch.zeros_like(before))
        prompt = len(layout)
        layout.append(Segment(at, len(before)))
        at = layout[-1].end
        for row in rows:
            target = row * n_answer + answer_seen[row].nonzero()[:, 0]
            if not len(target):
                continue
            tokens += [rows[0] * n_columns + last, first_answer + target[:-1]]
            targets.append(target)
            origins.append((number * n_columns + last).expand(len(target)))
            distances.append(torch.arange(len(target)))
            layout.append(Segment(at, len(target), prompt))
            at = layout[-1].end
    token, target, origin, distance = (torch.cat(part).to(device) for part in (tokens, targets, origins, distances))
    firsts = torch.tensor([rows[0] for rows in rows_by_prompt], device=device)
    answers = batch.answer_ids.flatten()
    grid = torch.cat([batch.pictures[rows[0]].grid for rows in rows_by_prompt])
    positions, _ = network.model.get_rope_index(
        batch.prompt_ids[firsts],
        mm_token_type_ids=batch.picture_tokens[firsts],
        image_grid_thw=grid,
        attention_mask=batch.prompt_mask[firsts],
    )
    if bool((batch.picture_tokens[firsts].flatten()[origin[target >= 0]] != 0).any()):
        raise AssertionError("a prompt ends with a picture")
    inputs = {
        "input_ids": torch.cat([batch.prompt_ids.flatten(), answers])[token][None],
        "position_ids": (positions.flatten(1)[:, origin] + distance)[:, None],
        "pixel_values": torch.cat([batch.pictures[rows[0]].patches for rows in rows_by_prompt]),
        "image_grid_thw": grid,
        "shift_labels": torch.where(target < 0, NOT_SCORED, answers[target.clamp(min=0)])[None],
        BRANCHES: tuple(layout),
    }
    return PackedAnswers(inputs, target, (n_rows, n_answer))
