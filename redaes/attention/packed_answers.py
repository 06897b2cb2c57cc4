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
"""Where a label has none, as torch's losses have it."""


@dataclass(frozen=True)
class PromptPictures:
    """The pictures that a prompt shows, as the processor makes them."""

    grid: Tensor
    """(pictures, 3)."""
    patches: Tensor
    """(patches of all of them, values of a patch)."""
    known_as: int | None = None
    """A number that equal pictures share, for a dry run, in which patches have no values."""

    def to(self, device: torch.device) -> PromptPictures:
        """Return the same ones on a device."""
        return PromptPictures(self.grid.to(device), self.patches.to(device), self.known_as)

    def same(self, other: PromptPictures) -> bool:
        """Return whether they are equal in every pixel."""
        if self.known_as is not None:
            return self.known_as == other.known_as
        return torch.equal(self.grid, other.grid) and torch.equal(self.patches, other.patches)


def pictures_by_row(
    grid: Tensor, patches: Tensor, n_pictures: Sequence[int], num_generations: int
) -> list[PromptPictures]:
    """Return pictures of several rows, one after the other, row by row.

    Args:
        grid: (pictures of all rows, 3).
        patches: patches of all rows.
        n_pictures: number of pictures of each row.
        num_generations: rows one after the other that have the same prompt; asked in a dry run alone.
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
    """(B, P), padded anywhere."""
    prompt_mask: Tensor
    """(B, P), 1 where a token counts."""
    picture_tokens: Tensor
    """(B, P): ``mm_token_type_ids``, 1 where a token stands for a part of a picture."""
    answer_ids: Tensor
    """(B, C)."""
    answer_mask: Tensor
    """(B, C); an answer may be empty."""
    pictures: Sequence[PromptPictures]
    """The pictures of each row."""

    def rows_by_prompt(self) -> list[list[int]]:
        """Return rows whose prompts are the same in every token and every pixel, in order of appearance."""
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
    """A packed row of L tokens, and where its predictions belong."""

    inputs: dict[str, Any]
    """What the model takes. ``shift_labels`` (1, L): the token that each is to predict, `NOT_SCORED` in the prompts."""
    target: Tensor
    """(L,) place of the predicted token among the B * C of the batch; -1 in the prompts."""
    shape: tuple[int, int]
    """(B, C)."""

    def unpacked(self, values: Tensor) -> Tensor:
        """Return (1, L) values of the predicted tokens to (B, C), 0 where there is no token."""
        scored = (self.target >= 0).nonzero()[:, 0]
        flat = values.new_zeros(self.shape[0] * self.shape[1])
        return flat.index_put((self.target[scored],), values[0, scored]).view(self.shape)


def packed_answers(network: Any, batch: PromptedAnswers) -> PackedAnswers:
    """Pack a batch for a model.

    Args:
        network: a Qwen-VL, no LoRA around it; asked for the positions of tokens only.
        batch: the answers.

    Raises:
        AssertionError: a prompt ends with a picture; positions after it are not those of a text.
    """
    device, (n_rows, n_columns) = batch.prompt_ids.device, batch.prompt_ids.shape
    n_answer = batch.answer_ids.shape[1]
    prompt_seen, answer_seen = batch.prompt_mask.bool().cpu(), batch.answer_mask.bool().cpu()
    rows_by_prompt = batch.rows_by_prompt()
    # Places in the prompts and answers laid out flat, the answers behind all prompts: one gather makes the row.
    first_answer = n_rows * n_columns
    tokens: list[Tensor] = []
    targets: list[Tensor] = []
    origins: list[Tensor] = []  # the token of the U prompts from which a position counts, and how far it is
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
