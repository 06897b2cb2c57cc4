"""Read a model's fast verdicts about pairs, with the inputs of the last layer from which they follow.

The vision tower's tokens of each picture are computed once and kept. A pair then needs one short forward pass in each
order, of which three things are kept: the log-odds of the verdict, the input of the last layer's ``down_proj`` at the
verdict token, and the state that this layer passes to the last norm there. The effect of any change of that matrix on
the verdict follows from these (:mod:`redaes.taste.direction`), without the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.attention.packed_sequences import TokenSequence, packed_sequences
from redaes.attention.token_trees import use_branch_attention, why_no_branches
from redaes.backends.vision_tokens import PictureTokens, answering, tokens_by_picture, tower_answer
from redaes.errors import InputError, TrainingError
from redaes.images import MAX_ASPECT, load_image
from redaes.taste.decisions import DecidedPicture
from redaes.training.alignment import choice_ids
from redaes.training.formatting import chat_text
from redaes.training.shared_rows import network_of
from redaes.training.vision_cache import vision_tower

PicturePair = tuple[str, str]
"""Ids of two pictures, the first shown as A."""

_LAST_MATRIX = re.compile(r".*language_model\.layers\.(\d+)\.mlp\.down_proj")


@dataclass(frozen=True)
class _SeenPicture:
    grid: Tensor
    """Grid of the picture, (1, 3), on the CPU."""
    tokens: PictureTokens
    """The tower's tokens, on the CPU, in the tower's number type."""


@dataclass(frozen=True)
class PairReadings:
    """Readings of N pairs, each in both orders: as given, and with its second picture as A."""

    log_odds: NDArray[np.float64]
    """Logit of " A" minus logit of " B" at the verdict token, (N, 2)."""
    inputs: NDArray[np.float64]
    """Inputs of the last ``down_proj`` there, (N, 2, d)."""
    states: NDArray[np.float64]
    """Inputs of the last norm there, (N, 2, h)."""

    @classmethod
    def joined(cls, *parts: PairReadings) -> PairReadings:
        """Return several readings, one after the other, as one."""
        names = ("log_odds", "inputs", "states")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def at(self, places: Sequence[int] | NDArray[np.intp]) -> PairReadings:
        """Return some of the pairs."""
        some = np.asarray(places, dtype=np.intp)
        return PairReadings(self.log_odds[some], self.inputs[some], self.states[some])


@dataclass(frozen=True)
class VerdictHead:
    """The part of a model that computes a verdict from the last state."""

    direction: NDArray[np.float64]
    """The vector (h,) whose product with the state, divided by its root mean square, is the log-odds of A."""
    epsilon: float
    """The number that the norm adds to the mean square."""
    matrix: str
    """Name of the last ``down_proj`` in the network."""

    def normed(self, pairs: PairReadings) -> NDArray[np.float64]:
        """Return the inputs of the matrix, (N, 2, d), in units in which their product with a row is a change of
        log-odds.

        The last norm divides by the root mean square of the state.
        """
        scales = np.sqrt((pairs.states**2).mean(-1) + self.epsilon)
        found: NDArray[np.float64] = pairs.inputs / scales[..., None]
        return found


class VerdictReader:
    """Read verdicts about pairs.

    Args:
        model: a Qwen-VL in evaluation mode, with a LoRA or without.
        processor: processor of the model.

    Raises:
        TrainingError: the model's last layer has another architecture.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self._network = network_of(model)
        self._visual: Any = vision_tower(model)
        self._packs = why_no_branches(self._network) is None
        if self._packs:
            use_branch_attention(self._network)
        self._choices = choice_ids(processor, WINNER_PREFIX, (" A", " B"))
        self._parts = chat_text(processor, prompts.load(prompts.COMPARE["fast"]), WINNER_PREFIX).split(
            processor.image_token
        )
        self._seen: dict[str, _SeenPicture] = {}
        self._kind: Any = None
        self._questions: dict[tuple[int, int], list[int]] = {}
        self._matrix, self._norm, self.head = self._last_layer()

    def _last_layer(self) -> tuple[Any, Any, VerdictHead]:
        modules = dict(self._network.named_modules())
        layers = {int(found[1]): name for name in modules if (found := _LAST_MATRIX.fullmatch(name))}
        norm = next((module for name, module in modules.items() if name.endswith("language_model.norm")), None)
        weights = self._network.get_output_embeddings()
        n_layers = self._network.config.get_text_config().num_hidden_layers
        if max(layers, default=-1) != n_layers - 1 or norm is None or weights is None:
            raise TrainingError(
                f"{type(self._network).__name__} has no mlp.down_proj in its last layer, which is where a taste goes "
                "(models with experts have none); take a dense Qwen-VL"
            )
        rows = weights.weight[self._choices].detach().double() * norm.weight.detach().double()
        name = layers[n_layers - 1]
        head = VerdictHead((rows[0] - rows[1]).cpu().numpy(), float(norm.variance_epsilon), name)
        return modules[name], norm, head

    @torch.no_grad()
    def look(self, pictures: Sequence[DecidedPicture], progress: Callable[[int], object] = lambda n: None) -> None:
        """Compute and keep the tokens of pictures, each by itself, so that they do not depend on other pictures.

        Raises:
            ImageError: a picture cannot be read.
            InputError: a picture is too thin for the model.
        """
        for number, picture in enumerate(pictures, 1):
            if picture.id not in self._seen:
                self._seen[picture.id] = self._looked_at(picture)
            progress(number)

    def _looked_at(self, picture: DecidedPicture) -> _SeenPicture:
        image = load_image(picture.path).image
        if max(image.size) > MAX_ASPECT * min(image.size):
            raise InputError(f"{picture.path}: {image.width} x {image.height} pixels are too thin for the model")
        made = self._processor.image_processor(images=[image], return_tensors="pt")
        grid = made["image_grid_thw"]
        device = self._network.device
        found = self._visual(made["pixel_values"].to(device, self._network.dtype), grid_thw=grid.to(device))
        self._kind = type(found)
        (tokens,) = tokens_by_picture(found, grid, self._visual.spatial_merge_size)
        return _SeenPicture(grid, [level.cpu().clone() for level in tokens])

    @torch.no_grad()
    def read(
        self, pairs: Sequence[PicturePair], batch_size: int = 16, progress: Callable[[int], object] = lambda n: None
    ) -> PairReadings:
        """Read pairs whose pictures' tokens have been computed by :meth:`look`.

        Raises:
            TrainingError: the verdict does not follow from the last layer as expected.
        """
        parts: list[tuple[NDArray[np.float64], ...]] = []
        for start in range(0, len(pairs), batch_size):
            some = pairs[start : start + batch_size]
            found = self._read([*some, *(pair[::-1] for pair in some)])
            parts.append(tuple(np.stack(np.split(values, 2), axis=1) for values in found))
            progress(start + len(some))
        if not parts:
            d, h = self._matrix.in_features, self._matrix.out_features
            return PairReadings(np.zeros((0, 2)), np.zeros((0, 2, d)), np.zeros((0, 2, h)))
        readings = PairReadings(*(np.concatenate(values) for values in zip(*parts, strict=True)))
        self._check(readings)
        return readings

    def _check(self, readings: PairReadings) -> None:
        """Refuse a model whose log-odds do not follow from the last state."""
        states = readings.states
        scale = np.sqrt((states**2).mean(-1) + self.head.epsilon)
        apart = np.abs(states @ self.head.direction / scale - readings.log_odds) / (1 + np.abs(readings.log_odds))
        allowed = 1e-3 if self._network.dtype == torch.float32 else 0.1
        if not apart.max() <= allowed:
            raise TrainingError(
                f"the verdicts of {type(self._network).__name__} do not follow from its last norm and its head "
                f"(off by {apart.max():.2g}); a taste cannot be learnt on it"
            )

    def _read(self, pairs: Sequence[PicturePair]) -> tuple[NDArray[np.float64], ...]:
        """Return log-odds (2N,), inputs (2N, d) and states (2N, h)."""
        names = list(dict.fromkeys(name for pair in pairs for name in pair))
        place = {name: number for number, name in enumerate(names)}
        grids = torch.cat([self._seen[name].grid for name in names])
        sequences = [TokenSequence(self._question(pair), tuple(place[name] for name in pair)) for pair in pairs]
        if self._packs:
            packed = packed_sequences(self._network, sequences, grids)
            last = packed.last.to(self._network.device)
            found = [self._asked(packed.inputs, [names[number] for number in packed.shown], last)]
        else:
            found = [self._asked(self._alone(one, grids), [names[n] for n in one.pictures]) for one in sequences]
        log_odds, inputs, states = (torch.cat(values).double().cpu().numpy() for values in zip(*found, strict=True))
        return log_odds, inputs, states

    def _alone(self, one: TokenSequence, grids: Tensor) -> dict[str, Tensor]:
        ids = torch.tensor([one.ids], device=self._network.device)
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self._processor.image_token_id).int(),
            "image_grid_thw": grids[list(one.pictures)].to(ids.device),
        }

    def _asked(
        self, inputs: dict[str, Any], shown: Sequence[str], places: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-odds, inputs and states at places of one row; ``places`` None: at its last token."""
        at = torch.tensor([-1], device=self._network.device) if places is None else places
        caught: dict[str, Tensor] = {}

        def catch(name: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
            return lambda _, given: caught.__setitem__(name, given[0][0, at])

        hooks = [
            self._matrix.register_forward_pre_hook(catch("inputs")),
            self._norm.register_forward_pre_hook(catch("states")),
        ]
        try:
            with self._telling(shown):
                # These pixels are never read.
                pixels = torch.zeros(1, 1, dtype=self._network.dtype, device=self._network.device)
                keep = 1 if places is None else places
                logits = self._model(**inputs, pixel_values=pixels, logits_to_keep=keep, use_cache=False).logits[0]
        finally:
            for hook in hooks:
                hook.remove()
        chosen = logits[:, self._choices].double()
        return chosen[:, 0] - chosen[:, 1], caught["inputs"], caught["states"]

    @contextmanager
    def _telling(self, shown: Sequence[str]) -> Iterator[None]:
        device = self._network.device
        pictures = [[level.to(device) for level in self._seen[name].tokens] for name in shown]
        with answering(self._visual, tower_answer(self._kind, pictures)):
            yield

    def _question(self, pair: PicturePair) -> list[int]:
        merged = self._processor.image_processor.merge_size**2
        counts = (int(self._seen[pair[0]].grid.prod()) // merged, int(self._seen[pair[1]].grid.prod()) // merged)
        if counts not in self._questions:
            runs = [*(self._processor.image_token * n for n in counts), ""]
            text = "".join(part + run for part, run in zip(self._parts, runs, strict=True))
            self._questions[counts] = self._processor.tokenizer(text)["input_ids"]
        return self._questions[counts]
