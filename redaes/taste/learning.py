"""Learn a taste: first by cross-validation over folds of the decisions, then from all of them.

Every series is held out once, in one of a few folds. Figures about the learning are those of held-out decisions; the
adapter that is kept has learnt from all.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from redaes.backends.adapters import check_base
from redaes.backends.loading import load_adapter, load_network, model_folder
from redaes.backends.weights import revision_of
from redaes.errors import InputError
from redaes.models.device import find_device
from redaes.taste.claim import HeldOutDecision, TasteClaim, judge_learning, rights
from redaes.taste.decisions import TasteDecision
from redaes.taste.direction import TasteKernel
from redaes.taste.edits import EditedPairs, make_edited_pairs
from redaes.taste.folds import fold_numbers
from redaes.taste.reader import PairReadings, VerdictHead, VerdictReader
from redaes.training.formatting import check_chat
from redaes.training.processor import training_processor

Progress = Callable[[str, int, int], object]
"""Called with the name of the work, the number of finished units, and the number of all units."""


def _untold(work: str, done: int, total: int) -> None:
    return


@dataclass(frozen=True)
class TasteSettings:
    """Settings that determine the result, besides the model and the decisions."""

    folds: int = 5
    """Number of folds of the decisions that are held out in turn."""
    ridge: float = 0.03
    """Strength of the ridge: precision of the prior, for inputs with a mean square distance of 1."""
    keep: float = 2.0
    """Weight of all kept edited pairs together, relative to all decisions."""
    max_pixels: int | None = None
    """Cap on a picture's area; None: that of the adapter or the model."""
    seed: int = 0
    """Seed of the folds, the edits and the tosses of the test."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.ridge) and self.ridge > 0):
            raise InputError(f"ridge is {self.ridge}; give a number above 0")
        if not (math.isfinite(self.keep) and self.keep >= 0):
            raise InputError(f"keep is {self.keep}; give 0 or more")
        if self.folds < 2:
            raise InputError(f"folds is {self.folds}; give at least 2")


@dataclass(frozen=True)
class Forgetting:
    """Share of tested edited pairs on which the model names the better picture, before and after learning."""

    n: int
    before: float
    after: float


@dataclass(frozen=True)
class TasteReadings:
    """A model's readings of pairs, in the order of the decisions and edited pairs."""

    decisions: PairReadings
    kept: PairReadings
    tested: PairReadings


@dataclass(frozen=True)
class TasteRow:
    """The learnt row, and the figures about it."""

    row: NDArray[np.float64]
    """The row, (d,), for the input of the last ``down_proj``; learnt from all decisions."""
    claim: TasteClaim
    held_out: tuple[HeldOutDecision, ...]
    forgetting: Forgetting


@dataclass(frozen=True)
class TasteBase:
    """A model on which a taste can be learnt."""

    name: str
    folder: Path
    revision: str
    adapter: Path | None
    model: Any
    processor: Any
    reader: VerdictReader

    @classmethod
    def load(cls, model: str, adapter: Path | None, *, max_pixels: int | None, device: str | None = None) -> TasteBase:
        """Load a model.

        Args:
            model: name or folder of the base.
            adapter: a LoRA on it; None: there is none.
            max_pixels: cap on a picture's area; None: that of the adapter or the model.
            device: where the model computes, such as ``cpu`` or ``cuda:1``; None: the best device of this machine.

        Raises:
            BackendError, TrainingError: the model cannot be loaded, or a taste cannot be learnt on it.
        """
        folder = model_folder(model)
        if adapter is not None:
            check_base(adapter, model, folder)
        processor = check_chat(training_processor(folder, adapter, max_pixels))
        place = find_device(device)
        network = load_network(folder, torch.bfloat16 if place.type == "cuda" else torch.float32)
        if adapter is not None:
            network = load_adapter(network, adapter)
        network = network.to(place).eval()
        reader = VerdictReader(network, processor)
        return cls(model, folder, revision_of(folder), adapter, network, processor, reader)

    def read(
        self, decisions: Sequence[TasteDecision], edited: EditedPairs, progress: Progress = _untold
    ) -> TasteReadings:
        """Read all pairs; each picture passes the vision tower once.

        Raises:
            ImageError, InputError: a picture cannot be used.
        """
        pairs = [*((one.first, one.second) for one in decisions), *((one.first, one.second) for one in edited.all)]
        pictures = list({picture.id: picture for pair in pairs for picture in pair}.values())
        self.reader.look(pictures, lambda n: progress("looking at pictures", n, len(pictures)))
        shown = [(first.id, second.id) for first, second in pairs]
        found = self.reader.read(shown, progress=lambda n: progress("comparing", n, len(shown)))
        ends = len(decisions), len(decisions) + len(edited.kept)
        return TasteReadings(
            found.at(range(ends[0])), found.at(range(ends[0], ends[1])), found.at(range(ends[1], len(shown)))
        )


@dataclass(frozen=True)
class LearnedTaste:
    """A learnt taste with its model."""

    base: TasteBase
    taste: TasteRow


def learn(
    model: str,
    adapter: Path | None,
    decisions: Sequence[TasteDecision],
    settings: TasteSettings | None = None,
    *,
    device: str | None = None,
    edited: EditedPairs | None = None,
    progress: Progress = _untold,
) -> LearnedTaste:
    """Learn a taste from decisions.

    Args:
        model: name or folder of the base.
        adapter: a LoRA on it to go on from; None: there is none.
        decisions: decisions of one person; their order does not matter.
        settings: settings of the learning; None: the defaults.
        device: where the model computes, such as ``cpu`` or ``cuda:1``; None: the best device of this machine.
        edited: edited pairs to keep and to test; None: they are made from some of the pictures.
        progress: called with the progress.

    Raises:
        InputError: there are no decisions, or none can be held out.
        BackendError, TrainingError, ImageError: the model or a picture cannot be used.
    """
    settings = settings or TasteSettings()
    ordered = sorted(decisions, key=lambda one: one.id)
    check_decided(ordered, settings)
    base = TasteBase.load(model, adapter, max_pixels=settings.max_pixels, device=device)
    with tempfile.TemporaryDirectory() as folder:
        if edited is None:
            progress("making edited pairs", 0, 1)
            # One photograph of each series, because the others may be versions of it.
            own = {one.series: one.first.path for one in ordered}.values()
            edited = make_edited_pairs(own, Path(folder) / "edits", seed=settings.seed)
        readings = base.read(ordered, edited, progress)
    signs = [pair.sign for pair in edited.tested]
    return LearnedTaste(base, learn_row(base.reader.head, ordered, readings, signs, settings, progress))


def check_decided(decisions: Sequence[TasteDecision], settings: TasteSettings) -> list[int]:
    """Return the folds of the decisions that prefer a picture.

    Raises:
        InputError: there are no such decisions, or none can be held out.
    """
    decided = [one for one in decisions if one.sign]
    if not decided:
        raise InputError(f"none of {len(decisions)} decisions prefers one picture to the other; add some that do")
    return fold_numbers(decided, settings.folds, settings.seed)


def learn_row(
    head: VerdictHead,
    decisions: Sequence[TasteDecision],
    readings: TasteReadings,
    tested: Sequence[int],
    settings: TasteSettings,
    progress: Progress = _untold,
) -> TasteRow:
    """Learn from readings of pairs; the model is not needed any more.

    Args:
        head: head of the model.
        decisions: decisions of one person, by their ids.
        readings: readings of their pairs, and of edited pairs.
        tested: sign of each tested edited pair.
        settings: settings of the learning.
        progress: called with the progress of the test.

    Raises:
        InputError: there are no decisions, or none can be held out.
    """
    folds = np.array(check_decided(decisions, settings))
    trial = _Trial(head, readings, decisions, folds, settings)
    told = trial.held_out()
    claim = judge_learning(
        told,
        trial.gain,
        seed=settings.seed,
        progress=lambda done, total: progress("testing against chance", done, total),
    )
    n, signs = len(decisions), np.array(tested)
    both = PairReadings.joined(readings.decisions, readings.tested)
    kernel = TasteKernel.of(head, both, readings.kept, n_learnt=n, ridge=settings.ridge, keep=settings.keep)
    weights = kernel.learnt(range(n), trial.p_first)
    after = kernel.after(range(n, n + len(signs)), range(n), weights)
    forgetting = Forgetting(len(signs), _agreement(signs, readings.tested.log_odds), _agreement(signs, after))
    return TasteRow(kernel.row(range(n), weights), claim, told, forgetting)


class _Trial:
    """Cross-validation: learning without each fold in turn, and predicting that fold."""

    def __init__(
        self,
        head: VerdictHead,
        readings: TasteReadings,
        decisions: Sequence[TasteDecision],
        folds: NDArray[np.int_],
        settings: TasteSettings,
    ) -> None:
        self._decisions = decisions
        self._folds = folds  # places of the decisions that prefer a picture
        self._decided = np.array([place for place, one in enumerate(decisions) if one.sign])
        self.p_first = np.array([one.p_first for one in decisions])
        self._signs = np.array([one.sign for one in decisions])[self._decided]
        fold_of = {decisions[place].series: int(fold) for place, fold in zip(self._decided, folds, strict=True)}
        # Ties of a held-out series are not learnt from either; those of other series always are.
        every = np.array([fold_of.get(one.series, -1) for one in decisions])
        self._rest = {fold: np.flatnonzero(every != fold) for fold in range(int(folds.max()) + 1)}
        self._kernels = {
            fold: TasteKernel.of(
                head,
                readings.decisions,
                readings.kept,
                n_learnt=len(rest),
                ridge=settings.ridge,
                keep=settings.keep,
            )
            for fold, rest in self._rest.items()
        }
        log_odds = readings.decisions.log_odds[self._decided]
        self._before = (log_odds[:, 0] - log_odds[:, 1]) / 2

    def _after(self, p_first: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of the first picture, the mean over both orders, of each decision that prefers a
        picture.
        """
        found = np.zeros(len(self._decided))
        for fold, rest in self._rest.items():
            asked = self._folds == fold
            weights = self._kernels[fold].learnt(rest, p_first[rest])
            odds = self._kernels[fold].after(self._decided[asked], rest, weights)
            found[asked] = (odds[:, 0] - odds[:, 1]) / 2
        return found

    def held_out(self) -> tuple[HeldOutDecision, ...]:
        """Return every decision with the prediction of the model that learnt without its fold."""
        rows = zip(self._decided, self._folds, self._before, self._after(self.p_first), strict=True)
        return tuple(
            HeldOutDecision(one.id, one.series, int(fold), one.sign, float(before), float(after))
            for place, fold, before, after in rows
            for one in [self._decisions[place]]
        )

    def gain(self, signs: NDArray[np.int_]) -> int:
        """Return the sum of `rights` after learning minus that before, if the answers had these signs."""
        p_first = self.p_first.copy()
        turned = self._decided[signs != self._signs]
        p_first[turned] = 1 - p_first[turned]
        return int(rights(signs, self._after(p_first)).sum() - rights(signs, self._before).sum())


def _agreement(signs: NDArray[np.int_], log_odds: NDArray[np.float64]) -> float:
    """Return the share of pairs on which the model names the better picture; an undecided verdict counts one half."""
    if not len(signs):
        return math.nan
    return float(rights(signs, log_odds[:, 0] - log_odds[:, 1]).mean() / 2)
