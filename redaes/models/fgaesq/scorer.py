"""FGAesQ at work: scores of single pictures, and the order of a series from the pair-specific views of its pictures."""

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
from redaes.models.fgaesq.difftoken import Tokens, collate, pair_tokens, single_tokens
from redaes.models.fgaesq.losses import expected_score
from redaes.ranking import Edge, count_cycles

MAX_SERIES = 64
"""Most pictures of a series: every pair of them is looked at."""

_DECIMALS = 5  # scores that agree to this many decimals are ties: float32 is not sure of more
_BATCH_TOKENS = 8192  # tokens of one batch: the memory that a batch takes does not depend on the pictures' sizes
_VIEWS_AT_ONCE = 512  # pictures-in-pairs whose tokens are in memory together, unless one series has more


@dataclass(frozen=True)
class SeriesOrder:
    """The order of one series by its scores, which are no strengths and carry no error."""

    order: tuple[str, ...]
    """Picture ids, best first; ties keep the order of ids."""
    scores: dict[str, float]
    """Per picture id, on the model's scale of 1 to 10, less their mean."""
    n_comparisons: int
    n_cycles: int
    """Circular triples A > B > C > A among the pairs' own scores."""


@dataclass(frozen=True)
class SeriesScores:
    """What FGAesQ says of a series of n pictures."""

    scores: NDArray[np.float64]
    """(n,) in [1, 10]: mean of each picture's scores over the pairs that it is in."""
    pairs: tuple[tuple[int, int, float, float], ...]
    """Positions of two pictures, and the score of each beside the other."""

    @property
    def order(self) -> tuple[int, ...]:
        """Positions, best first; ties keep the order in which the pictures came."""
        return tuple(int(i) for i in np.argsort(-np.round(self.scores, _DECIMALS), kind="stable"))


class FGAesQScorer:
    """A trained FGAesQ, ready to score."""

    def __init__(self, model: network.FGAesQ, *, name: str, revision: str, device: str = "cpu") -> None:
        """
        Args:
            model: put into evaluation mode and moved to the device.
            name: what results call it.
            revision: what pins its weights.
            device: ``cpu`` or ``cuda``; tokens are made there too.
        """
        self.model = model.to(device).eval()
        self.name = name
        self.revision = revision
        self.device = torch.device(device)
        self.settings = model.settings.tokens

    @classmethod
    def load(cls, folder: str | Path, device: str | None = "cpu") -> FGAesQScorer:
        """The model saved in a folder.

        Args:
            folder: such as a run's ``final``.
            device: None: the best there is.

        Raises:
            BackendError: no FGAesQ model there, or not a whole one, or no such device.
        """
        folder, place = Path(folder), str(find_device(device))
        return cls(network.load(folder), name=str(folder), revision=network.revision(folder), device=place)

    def load_picture(self, path: str | Path) -> LoadedImage:
        """A picture from disk, shrunk so far that none of its blocks has to be left out.

        Raises:
            ImageError: the file cannot be used.
        """
        return load_image(path, max_pixels=self.settings.max_pixels)

    def score(self, pictures: Sequence[LoadedImage]) -> NDArray[np.float64]:
        """(n,) scores in [1, 10] of pictures that are looked at alone; the same picture always has the same tokens."""
        scores = np.empty(len(pictures))
        for start in range(0, len(pictures), _VIEWS_AT_ONCE):
            chunk = pictures[start : start + _VIEWS_AT_ONCE]
            views = [single_tokens(picture, self.settings, device=self.device) for picture in chunk]
            scores[start : start + len(chunk)] = self._score(views)
        return scores

    def series(self, series: Iterable[Sequence[LoadedImage]]) -> Iterator[SeriesScores]:
        """Scores of many series, one after the other; a series of one picture is scored alone.

        Raises:
            InputError: a series is empty, or has more than ``MAX_SERIES`` pictures.
        """
        waiting: list[tuple[int, list[tuple[int, int]]]] = []  # pictures and pairs of each series
        views: list[Tokens] = []
        for pictures in series:
            if not 1 <= len(pictures) <= MAX_SERIES:
                raise InputError(f"a series has {len(pictures)} pictures; give 1 to {MAX_SERIES}")
            pairs = list(itertools.combinations(range(len(pictures)), 2))
            if pairs:
                views += itertools.chain.from_iterable(pair_tokens(pictures, pairs, self.settings, device=self.device))
            else:
                views.append(single_tokens(pictures[0], self.settings, device=self.device))
            waiting.append((len(pictures), pairs))
            if len(views) >= _VIEWS_AT_ONCE:
                yield from self._finish(waiting, views)
                waiting, views = [], []
        yield from self._finish(waiting, views)

    def rank(self, pictures: Sequence[LoadedImage]) -> SeriesOrder:
        """The order of one series.

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

    def _finish(self, waiting: list[tuple[int, list[tuple[int, int]]]], views: list[Tokens]) -> Iterator[SeriesScores]:
        scores = iter(self._score(views))
        for n, pairs in waiting:
            if not pairs:
                yield SeriesScores(np.array([next(scores)]), ())
                continue
            judged = tuple((i, j, float(next(scores)), float(next(scores))) for i, j in pairs)
            total = np.zeros(n)
            for i, j, first, second in judged:
                total[i] += first
                total[j] += second
            yield SeriesScores(total / (n - 1), judged)

    @torch.inference_mode()
    def _score(self, views: Sequence[Tokens]) -> NDArray[np.float64]:
        """Pictures of like length together, so that little is padded."""
        scores = np.empty(len(views))
        waiting = sorted(range(len(views)), key=lambda number: views[number].n)
        while waiting:
            size = max(1, _BATCH_TOKENS // views[waiting[0]].n)
            chunk = waiting[:size]
            while len(chunk) > 1 and len(chunk) * views[chunk[-1]].n > _BATCH_TOKENS:
                chunk.pop()
            _, logits = self.model(collate([views[number] for number in chunk]))
            scores[chunk] = expected_score(logits.double()).cpu().numpy()
            waiting = waiting[len(chunk) :]
        return scores


def rank_files(paths: Sequence[str | Path], folder: str | Path, device: str = "cpu") -> SeriesOrder:
    """The order of a series of picture files by the FGAesQ model in a folder.

    Returns:
        A ranking by picture id (:func:`redaes.images.content_id`).

    Raises:
        ImageError: a picture that cannot be used.
        InputError: the same picture twice, or a number of pictures that is no series.
        BackendError: the model cannot be loaded.
    """
    scorer = FGAesQScorer.load(folder, device)
    return scorer.rank([scorer.load_picture(path) for path in paths])
