"""Batches of series and of coarse pictures: the plan of a whole run, the tokenized pictures, and their collation.

The order of the data is a pure function of seed and epoch, so that a resumed run sees the same batches as an
uninterrupted one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from redaes.images import load_image
from redaes.models.fgaesq.difftoken import pair_tokens, seeded, single_tokens
from redaes.models.fgaesq.tokens import Tokens, TokenSettings, collate
from redaes.series_records import Histogram, Series
from redaes.training.fgaesq_arguments import FGAesQArguments

Kind = Literal["fine", "coarse"]


@dataclass(frozen=True)
class Key:
    """One item of the plan."""

    kind: Kind
    index: int
    """Index in the list of series or of histograms."""
    epoch: int


def plan(
    n_series: int, n_coarse: int, arguments: FGAesQArguments, *, n_processes: int = 1, seed: int = 0
) -> list[list[Key]]:
    """Return the batches of a run over all processes; process p takes every ``n_processes``-th item, starting with p.

    All batches are full: the last one of an epoch is filled up from the start of the epoch's order.
    """
    batches: list[list[Key]] = []
    for epoch in range(arguments.coarse_epochs if n_coarse else 0):
        batches += _epoch("coarse", n_coarse, arguments.pictures_per_batch * n_processes, epoch, seed)
    coarse_epochs = itertools.count(arguments.coarse_epochs)
    coarse: Iterator[list[Key]] = iter(())
    for epoch in range(arguments.joint_epochs if n_series else 0):
        for fine in _epoch("fine", n_series, arguments.series_per_batch * n_processes, epoch, seed):
            batches.append(fine)
            if n_coarse:
                batch = next(coarse, None)
                if batch is None:
                    size = arguments.pictures_per_batch * n_processes
                    coarse = iter(_epoch("coarse", n_coarse, size, next(coarse_epochs), seed))
                    batch = next(coarse)
                batches.append(batch)
    return batches


def _epoch(kind: Kind, n: int, size: int, epoch: int, seed: int) -> list[list[Key]]:
    order = [Key(kind, int(index), epoch) for index in seeded(kind, str(seed), str(epoch)).permutation(n)]
    whole = list(itertools.islice(itertools.cycle(order), -(-n // size) * size))
    return [whole[start : start + size] for start in range(0, len(whole), size)]


class PlannedBatches:
    """One process' part of the plan, as a batch sampler."""

    def __init__(self, batches: Sequence[Sequence[Key]], process: int, n_processes: int) -> None:
        self.batches = [list(batch[process::n_processes]) for batch in batches]

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True)
class FineItem:
    """A series as pairs of views."""

    views: tuple[Tokens, ...]
    image: tuple[int, ...]
    """For each view, the number of the series' picture that it shows."""
    pairs: tuple[tuple[int, int], ...]
    """Positions in ``views``."""
    probability: tuple[float, ...]
    texts: tuple[str | None, ...]
    scores: tuple[float, ...]
    """The labelled score of every picture of the series."""


@dataclass(frozen=True)
class CoarseItem:
    """A picture with its distribution of scores."""

    view: Tokens
    distribution: tuple[float, ...]


class FGAesQData(Dataset[FineItem | CoarseItem]):
    """Series and coarse pictures as a dataset, tokenized when an item is read."""

    def __init__(
        self,
        series: Sequence[Series],
        coarse: Sequence[Histogram],
        tokens: TokenSettings,
        arguments: FGAesQArguments,
    ) -> None:
        self.series = series
        self.coarse = coarse
        self.tokens = tokens
        self.max_pairs = arguments.max_pairs
        self.difference_tokens = arguments.difference_tokens

    def __len__(self) -> int:
        return len(self.series) + len(self.coarse)

    def __getitem__(self, key: Key) -> FineItem | CoarseItem:
        salt = f"epoch {key.epoch}"
        if key.kind == "coarse":
            item = self.coarse[key.index]
            picture = load_image(item.image, max_pixels=self.tokens.max_pixels)
            return CoarseItem(single_tokens(picture, self.tokens, salt=salt), item.distribution)
        return self._fine(self.series[key.index], salt)

    def _fine(self, series: Series, salt: str) -> FineItem:
        chosen = list(series.pairs)
        if len(chosen) > self.max_pairs:
            drawn = seeded(series.id, salt).choice(len(chosen), self.max_pairs, replace=False)
            chosen = [chosen[number] for number in sorted(drawn)]
        shown = sorted({index for pair in chosen for index in (pair.first, pair.second)})
        place = {index: number for number, index in enumerate(shown)}
        pictures = [load_image(series.images[index], max_pixels=self.tokens.max_pixels) for index in shown]
        positions = [(place[pair.first], place[pair.second]) for pair in chosen]
        if self.difference_tokens:
            paired = pair_tokens(pictures, positions, self.tokens, salt=salt)
            views = list(itertools.chain.from_iterable(paired))
            image = [shown[number] for pair in positions for number in pair]
            pairs = [(2 * number, 2 * number + 1) for number in range(len(chosen))]
        else:
            views = [single_tokens(picture, self.tokens, salt=salt) for picture in pictures]
            image, pairs = shown, positions
        return FineItem(
            views=tuple(views),
            image=tuple(image),
            pairs=tuple(pairs),
            probability=tuple(pair.probability for pair in chosen),
            texts=tuple(pair.text for pair in chosen),
            scores=series.scores,
        )


class FGAesQCollator:
    """Collate items of one kind into the inputs of :class:`~redaes.training.fgaesq.FGAesQTrainer`."""

    def __init__(self, embeddings: dict[str, Tensor]) -> None:
        """
        Args:
            embeddings: embeddings of the comparative texts; a text without an embedding is left out.
        """
        # One tensor for all, because each tensor that is sent to a worker takes a file descriptor.
        self.embeddings = torch.stack(list(embeddings.values())) if embeddings else torch.zeros(0, 1)
        self.place = {text: number for number, text in enumerate(embeddings)}

    def __call__(self, items: Sequence[FineItem | CoarseItem]) -> dict[str, Any]:
        """``views`` (TokenBatch) and, for coarse batches, ``target`` (B, 10); for fine ones, with V views, P pairs and
        S series of at most n pictures: ``pairs`` (2, P) positions of views, ``probability`` (P,), ``text`` (P, d) and
        ``has_text`` (P,), false where there is none or the second picture is the better one, ``cell`` (V,) position of
        the view's picture in the (S, n) table, ``scores`` (S, n)."""
        coarse = [item for item in items if isinstance(item, CoarseItem)]
        if coarse:
            return {
                "views": collate([item.view for item in coarse]),
                "target": torch.tensor([item.distribution for item in coarse]),
            }
        fine = [item for item in items if isinstance(item, FineItem)]
        longest = max(len(item.scores) for item in fine)
        starts = np.cumsum([0, *(len(item.views) for item in fine)])
        pairs = [(a + start, b + start) for item, start in zip(fine, starts, strict=False) for a, b in item.pairs]
        probabilities = [p for item in fine for p in item.probability]
        # CTAlign uses only pairs whose first picture is the better one: the embeddings of a text and its opposite are
        # nearly parallel, so both orders would be drawn in the same direction (docs/log.md).
        told = [
            text if probability > 0.5 else None
            for text, probability in zip((text for item in fine for text in item.texts), probabilities, strict=True)
        ]
        place = self.place
        nothing = torch.zeros(self.embeddings.shape[1], dtype=self.embeddings.dtype)
        return {
            "views": collate([view for item in fine for view in item.views]),
            "pairs": torch.tensor(pairs).T,
            "probability": torch.tensor(probabilities),
            "text": torch.stack(
                [self.embeddings[self.place[text]] if text in self.place else nothing for text in told]
            ),
            "has_text": torch.tensor([text in place for text in told]),
            "cell": torch.tensor([row * longest + index for row, item in enumerate(fine) for index in item.image]),
            "scores": torch.tensor(
                [[*item.scores, *(0.0,) * (longest - len(item.scores))] for item in fine], dtype=torch.float64
            ),
        }
