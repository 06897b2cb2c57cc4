"""Score pictures with FGAesQ: single pictures, and series from the pair-specific views of their pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from redaes.errors import InputError
from redaes.images import LoadedImage, load_image
from redaes.models.device import find_device
from redaes.models.fgaesq import network
from redaes.models.fgaesq.difftoken import pair_tokens, single_tokens
from redaes.models.fgaesq.losses import expected_score
from redaes.models.fgaesq.tokens import Tokens, collate
from redaes.ranking import Edge, count_cycles

MAX_SERIES = 64
"""Largest number of pictures in a series; every pair of them is scored."""

_DECIMALS = 5  # scores that agree to this many decimals are ties: float32 is not sure of more
_BATCH_TOKENS = 8192  # most tokens of one batch: the memory that a batch takes does not depend on the pictures' sizes
_CACHED = 2**24  # bytes of a layer's widest activations on a CPU: larger batches leave its cache and are slower
_HELD_TOKENS = 16_384  # in memory together, so that pictures of like length come into one batch; 50 MB
_VIEWS_AT_ONCE = 128  # pictures-in-pairs of several short series that are scored together
_PIXELS_AT_ONCE = 32_000_000  # of the pictures of those series
_TILE = 4  # pictures: pairs within such a group and another one follow each other, so that little is computed twice


@dataclass(frozen=True)
class SeriesOrder:
    """The order of one series by its scores. They are not Bradley-Terry strengths and have no standard errors."""

    order: tuple[str, ...]
    """Picture ids, best first; ties keep the order of ids."""
    scores: dict[str, float]
    """Score of each picture id, on the model's scale of 1 to 10, minus their mean."""
    n_comparisons: int
    n_cycles: int
    """Number of circular triples A > B > C > A among the pairs' own scores."""


@dataclass(frozen=True)
class SeriesScores:
    """FGAesQ's scores of a series of n pictures."""

    scores: NDArray[np.float64]
    """Mean of each picture's scores over the pairs that it is in, (n,), in [1, 10]."""
    pairs: tuple[tuple[int, int, float, float], ...]
    """Positions of two pictures, and the score of each when shown with the other."""

    @property
    def order(self) -> tuple[int, ...]:
        """Positions, best first; ties keep the given order."""
        return tuple(int(i) for i in np.argsort(-np.round(self.scores, _DECIMALS), kind="stable"))


class FGAesQScorer:
    """A trained FGAesQ, ready to score."""

    def __init__(self, model: network.FGAesQ, *, name: str, revision: str, device: str = "cpu") -> None:
        """
        Args:
            model: the model, which is put into evaluation mode and moved to the device.
            name: name in results.
            revision: revision of its weights.
            device: ``cpu`` or ``cuda``; tokens are made there too.
        """
        self.model = model.to(device).eval()
        self.name = name
        self.revision = revision
        self.device = torch.device(device)
        self.settings = model.settings.tokens
        self._batch_tokens = _BATCH_TOKENS
        if self.device.type == "cpu":
            widest = 4 * int(model.settings.vision.get("intermediate_size", 3072))
            self._batch_tokens = min(_BATCH_TOKENS, max(1, _CACHED // widest))

    @classmethod
    def load(cls, folder: str | Path, device: str | None = "cpu") -> FGAesQScorer:
        """Return the model saved in a folder.

        Args:
            folder: a folder such as a run's ``final``.
            device: where the model computes; None: the best device of this machine.

        Raises:
            BackendError: the folder has no complete FGAesQ model, or there is no such device.
        """
        folder, place = Path(folder), str(find_device(device))
        return cls(network.load(folder), name=str(folder), revision=network.revision(folder), device=place)

    def load_picture(self, path: str | Path) -> LoadedImage:
        """Return a picture from disk, shrunk so far that none of its blocks has to be left out.

        Raises:
            ImageError: the file cannot be used.
        """
        return load_image(path, max_pixels=self.settings.max_pixels)

    def score(self, pictures: Sequence[LoadedImage]) -> NDArray[np.float64]:
        """Return (n,) scores in [1, 10] of pictures that are looked at alone; the same picture always has the same
        tokens.
        """
        return self._score(single_tokens(picture, self.settings, device=self.device) for picture in pictures)

    def series(self, series: Iterable[Sequence[LoadedImage]]) -> Iterator[SeriesScores]:
        """Yield scores of many series, one after the other; a series of one picture is scored alone.

        Raises:
            InputError: a series is empty, or has more than ``MAX_SERIES`` pictures.
        """
        waiting: list[Sequence[LoadedImage]] = []
        n_views = n_pixels = 0
        for pictures in series:
            if not 1 <= len(pictures) <= MAX_SERIES:
                raise InputError(f"a series has {len(pictures)} pictures; give 1 to {MAX_SERIES}")
            waiting.append(pictures)
            n_views += len(pictures) * max(1, len(pictures) - 1)
            n_pixels += sum(picture.image.width * picture.image.height for picture in pictures)
            if n_views >= _VIEWS_AT_ONCE or n_pixels >= _PIXELS_AT_ONCE:
                yield from self._together(waiting)
                waiting, n_views, n_pixels = [], 0, 0
        yield from self._together(waiting)

    def rank(self, pictures: Sequence[LoadedImage]) -> SeriesOrder:
        """Return the order of one series.

        Returns:
            Best first; scores have zero mean, and ties are ordered by id.

        Raises:
            InputError: two pictures have the same content, or a number of pictures that is no series.
        """
        ids = [picture.ref.id for picture in pictures]
        for number, picture in enumerate(pictures):
            if picture.ref.id in ids[:number]:
                twin = pictures[ids.index(picture.ref.id)]
                raise InputError(f"{picture.ref.path} and {twin.ref.path} are the same picture; list each once")
        found = next(iter(self.series([pictures])))
        centred = np.round(found.scores - found.scores.mean(), _DECIMALS)
        scores = {picture: float(score) for picture, score in zip(ids, centred, strict=True)}
        edges: list[Edge] = [(i, j, round(a - b, _DECIMALS), 1.0) for i, j, a, b in found.pairs]
        order = tuple(sorted(ids, key=lambda picture: (-scores[picture], picture)))
        return SeriesOrder(order, scores, len(edges), count_cycles(len(ids), edges))

    def _together(self, series: Sequence[Sequence[LoadedImage]]) -> Iterator[SeriesScores]:
        """Yield some series whose pictures come into common batches."""
        pairs = [_pairs(len(pictures)) for pictures in series]
        scores = iter(self._score(itertools.chain.from_iterable(map(self._views, series, pairs))))
        for pictures, asked in zip(series, pairs, strict=True):
            n = len(pictures)
            if not asked:
                yield SeriesScores(np.array([next(scores)]), ())
                continue
            judged = sorted((i, j, float(next(scores)), float(next(scores))) for i, j in asked)
            total = np.zeros(n)
            for i, j, first, second in judged:
                total[i] += first
                total[j] += second
            yield SeriesScores(total / (n - 1), tuple(judged))

    def _views(self, pictures: Sequence[LoadedImage], pairs: Sequence[tuple[int, int]]) -> Iterator[Tokens]:
        """Yield the pictures of each pair, or of a series of one, as tokens; made when they are asked for."""
        if not pairs:
            yield single_tokens(pictures[0], self.settings, device=self.device)
        for views in pair_tokens(pictures, pairs, self.settings, device=self.device):
            yield from views

    def _score(self, views: Iterable[Tokens]) -> NDArray[np.float64]:
        """Return scores of pictures in their order; only some are in memory at a time."""
        scores: dict[int, float] = {}
        held: list[tuple[int, Tokens]] = []
        n_tokens = 0
        for place, view in enumerate(views):
            held.append((place, view))
            n_tokens += view.n
            if n_tokens >= _HELD_TOKENS:
                scores.update(self._scored(held))
                held, n_tokens = [], 0
        scores.update(self._scored(held))
        return np.array([scores[place] for place in range(len(scores))])

    @torch.inference_mode()
    def _scored(self, held: Sequence[tuple[int, Tokens]]) -> dict[int, float]:
        """Return pictures of like length together, so that little is padded."""
        scores: dict[int, float] = {}
        waiting = sorted(held, key=lambda item: item[1].n)
        while waiting:
            chunk = waiting[: max(1, self._batch_tokens // waiting[0][1].n)]
            while len(chunk) > 1 and len(chunk) * chunk[-1][1].n > self._batch_tokens:
                chunk.pop()
            _, logits = self.model(collate([view for _, view in chunk]))
            found = expected_score(logits.double()).tolist()
            scores.update(zip((place for place, _ in chunk), found, strict=True))
            waiting = waiting[len(chunk) :]
        return scores


def _pairs(n: int) -> list[tuple[int, int]]:
    """Return all pairs of n pictures, in an order in which the same few pictures follow each other."""
    return sorted(itertools.combinations(range(n), 2), key=lambda pair: (pair[0] // _TILE, pair[1] // _TILE, pair))


def rank_files(paths: Sequence[str | Path], folder: str | Path, device: str = "cpu") -> SeriesOrder:
    """Return the order of a series of picture files by the FGAesQ model in a folder.

    Returns:
        A ranking by picture id (:func:`redaes.images.content_id`).

    Raises:
        ImageError: a picture that cannot be used.
        InputError: the same picture twice, or a number of pictures that is no series.
        BackendError: the model cannot be loaded.
    """
    scorer = FGAesQScorer.load(folder, device)
    return scorer.rank([scorer.load_picture(path) for path in paths])
