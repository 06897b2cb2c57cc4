"""Stage 3 with the fast verdict held: stage 2's losses on the pairs of each step, added to GRPO's.

GRPO rewards what is written. The verdict of the fast mode is read at one token and, in the reasoned mode, never
written, so it changes as the shared weights change. Here each pair whose answers are rewarded is also asked for its
fast verdict in both orders, and stage 2's losses are taken of what the policy says. The code and the formulas are those
of stage 2 (`redaes.training.alignment`). A frozen tower does not look again at pictures that it has seen for the
answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import datasets
import torch
from torch import Tensor

from redaes import prompts
from redaes.answers import WINNER_PREFIX
from redaes.errors import TrainingError
from redaes.records import record_of
from redaes.training.alignment import both_orders, choice_ids, verdict_log_odds
from redaes.training.alignment_losses import antisymmetry_loss, preference_loss, target_probability
from redaes.training.alignment_reading import pack_batch, read_packed, read_padded
from redaes.training.shared_rows import network_of
from redaes.training.vision_cache import BatchVisionCache, PictureBatch, vision_tower
from redaes.types import TAU

VERDICTS = "verdicts"
"""Key of the trainer's batches under which the pairs stand whose fast verdicts are read with the batch."""

LOGGED = ("antisymmetry", "preference", "agreement")
"""Figures that are logged as ``fast/…``; a loss without a weight is not logged."""


def deal_pairs(n_pairs: int, *, n_batches: int, per_step: int, n_passes: int) -> list[list[int]]:
    """Divide the pairs of a generation batch among the batches that use its answers.

    The pairs keep their order, so that those of a ranking group, which share pictures, are read together. All pairs
    are read in each pass through the generation batch. If there are fewer pairs than optimizer steps, some pairs are
    read in several steps, so that each step has at least one.

    Args:
        n_pairs: number of pairs of the generation batch, at least one.
        n_batches: number of batches that use its answers (``steps_per_generation`` × ``num_iterations``).
        per_step: batches of an optimizer step (``gradient_accumulation_steps``); a divisor or a multiple of
            ``n_batches``.
        n_passes: ``num_iterations``.

    Returns:
        For each batch, the numbers of its pairs. No pair comes twice in a step, and a batch may have no pair.

    >>> deal_pairs(6, n_batches=2, per_step=1, n_passes=1)
    [[0, 1, 2], [3, 4, 5]]
    >>> deal_pairs(3, n_batches=4, per_step=4, n_passes=1)
    [[], [0], [1], [2]]
    >>> deal_pairs(1, n_batches=2, per_step=1, n_passes=1)
    [[0], [0]]
    """
    in_step = min(per_step, n_batches)
    n_steps = n_batches // in_step
    read = [*range(n_pairs)] * n_passes
    found: list[list[int]] = []
    for step in range(n_steps):
        begin, end = (len(read) * edge // n_steps for edge in (step, step + 1))
        own = list(dict.fromkeys(read[begin : max(end, begin + 1)]))
        edges = [len(own) * edge // in_step for edge in range(in_step + 1)]
        found += [own[a:b] for a, b in pairwise(edges)]
    return found


@dataclass(frozen=True)
class _Dealt:
    """The pairs that this process reads with one batch."""

    rows: tuple[int, ...]
    """Numbers of the pairs in the dataset. If there are none, no process reads a pair with this batch."""
    scale: float
    """Factor of the mean of their losses, with which all pairs of the step count alike, over all processes. It is 0
    where this process reads a pair only because others do."""


class HeldVerdicts:
    """Mixin for stage 3's trainer, whose ``args`` have ``fast_antisymmetry_weight`` and ``fast_preference_weight``.

    To TRL's loss of an optimizer step it adds

        1/N Σ [ w_a (P(A≻B | forward) + P(A≻B | swapped) − 1)² + w_p (CE(forward, p*) + CE(swapped, 1 − p*)) / 2 ]

    where w_a and w_p are the two weights and N is the number of pairs of the step, over all accumulated batches and
    processes (`deal_pairs` says which pairs those are). For a pair without a labelled difference the part with w_p is
    0, because p* is not known. The term does not depend on TRL's ``loss_type``, on the number or the length of the
    answers, on advantages, or on how the step is divided into batches. Trainers add up the gradients of accumulated
    batches and average those of processes, so a batch adds n_processes · (its pairs / N) times the mean over its own
    pairs. If a step takes in several generation batches, each of them counts alike. If both weights are 0, this class
    does nothing, and the trainer is what it is without it.

    Args:
        verdict_pairs: the split that the prompts were made from, with undecoded pictures. It is needed where a weight
            is set.
        kwargs: arguments of the trainer.

    Raises:
        TrainingError: a weight is set and ``verdict_pairs`` is missing.
    """

    accelerator: Any
    args: Any
    model: Any
    shares_prompts: bool

    def __init__(self, *, verdict_pairs: datasets.Dataset | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.holds_verdicts = bool(self.args.fast_antisymmetry_weight or self.args.fast_preference_weight)
        """Whether one of the two weights is set."""
        if not self.holds_verdicts:
            return
        if verdict_pairs is None:
            raise TrainingError(
                "fast_antisymmetry_weight and fast_preference_weight need verdict_pairs: give the pairs"
            )
        trainer: Any = self
        self._verdict_pairs = verdict_pairs
        self._row_of_pair = {name: row for row, name in enumerate(verdict_pairs["id"])}
        self._verdict_prompt = prompts.load(prompts.COMPARE["fast"])
        self._verdict_tokens = choice_ids(trainer.processing_class, WINNER_PREFIX, (" A", " B"))
        self._verdict_tower = vision_tower(self.model)
        self._tower_learns = any(one.requires_grad for one in self._verdict_tower.parameters())
        self._dealt: list[_Dealt] = []
        self._seen: dict[str, tuple[float, int]] = {}  # sums over the pairs read since the last log, and their number

    def _n_batches(self) -> int:
        return int(self.args.steps_per_generation * self.args.num_iterations)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """Prepare a batch as TRL does, and add the pairs that are read with it."""
        inputs = super()._prepare_inputs(generation_batch)  # type: ignore[misc]  # the GRPOTrainer's
        if not (self.holds_verdicts and self.model.training):
            return inputs
        trainer: Any = self
        number = trainer._step % self._n_batches()
        if number == 0 or not self._dealt:  # where TRL has just had new answers written
            self._dealt = self._deal(generation_batch)
        return self._with(inputs, self._dealt[number])

    def each_with_verdicts(self, batch: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a batch once for each batch of a generation, with the pairs that are read with that one.

        A dry run calls this.

        Args:
            batch: a batch as TRL keeps it.
            rows: rows of the generation batch.
        """
        if not self.holds_verdicts:
            return [batch]
        return [self._with(batch, one) for one in self._deal(rows)]

    def _deal(self, rows: Sequence[Mapping[str, Any]]) -> list[_Dealt]:
        """Return what is read with each batch. All processes must call this."""
        names = dict.fromkeys(row["pair"] for row in rows if row["mode"] != "score")
        numbers = [self._row_of_pair[name] for name in names]
        n_batches, per_step = self._n_batches(), int(self.args.gradient_accumulation_steps)
        parts = deal_pairs(len(numbers), n_batches=n_batches, per_step=per_step, n_passes=int(self.args.num_iterations))
        counts = torch.tensor([len(part) for part in parts], device=self.accelerator.device)
        of_all = self.accelerator.gather(counts).view(-1, n_batches).sum(0).tolist()
        in_step = min(per_step, n_batches)
        n_processes = int(self.accelerator.num_processes)
        found: list[_Dealt] = []
        for number, part in enumerate(parts):
            first = number // in_step * in_step
            n_of_step = sum(of_all[first : first + in_step])
            # All processes must make the same forward passes, because each pass communicates under DDP and ZeRO-3.
            read = part or ([0] if of_all[number] else [])
            scale = n_processes * len(part) / n_of_step
            found.append(_Dealt(tuple(numbers[one] for one in read), scale))
        return found

    def _with(self, batch: dict[str, Any], dealt: _Dealt) -> dict[str, Any]:
        if not dealt.rows:
            return batch
        trainer: Any = self
        records = [record_of(self._verdict_pairs[row], "train") for row in dealt.rows]
        with trainer.while_processing():
            pictures = PictureBatch(trainer.processing_class, records)
        labels = [record.pair.delta for record in records]
        read: dict[str, Any] = {
            "delta": torch.tensor([label for label in labels if label is not None]),
            "labelled": torch.tensor([n for n, label in enumerate(labels) if label is not None], dtype=torch.long),
            "pictures": pictures.tensors,
            "compare": both_orders(pictures, records, self._verdict_prompt),
        }
        return {**batch, VERDICTS: {**trainer._prepare_input(read), "scale": dealt.scale}}

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return TRL's loss of a batch plus the batch's part of the term that this class adds."""
        answers = {name: value for name, value in inputs.items() if name != VERDICTS}
        loss: Tensor = super().compute_loss(  # type: ignore[misc]  # the GRPOTrainer's
            model, answers, return_outputs, num_items_in_batch
        )
        return loss + self._verdict_loss(model, inputs[VERDICTS]) if VERDICTS in inputs else loss

    def _verdict_loss(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """Return a batch's part of the term that this class adds.

        Args:
            model: the policy. The adapter of a reference is not active here.
            batch: ``pictures`` and ``compare`` as `redaes.training.alignment.AlignmentCollator` makes them of B pairs,
                ``labelled`` (n,), which of them have a difference, ``delta`` (n,), and ``scale``.
        """
        with BatchVisionCache(self._verdict_tower, batch["pictures"]) as cache:
            if self.shares_prompts:
                network = network_of(self.accelerator.unwrap_model(model))
                found = read_packed(model, cache, network, batch)
            else:
                found = read_padded(model, cache, batch)
        assert found.verdicts is not None
        log_odds = verdict_log_odds(found.verdicts, self._verdict_tokens)  # (2B,)
        forward, swapped = log_odds.chunk(2)
        n_pairs, labelled = len(forward), batch["labelled"]
        total = 0 * log_odds.sum()  # so that there is a gradient in all processes even if no pair has a label
        counted = bool(batch["scale"])
        if self.args.fast_antisymmetry_weight:
            value = antisymmetry_loss(forward, swapped)
            total = total + self.args.fast_antisymmetry_weight * value
            self._note("antisymmetry", value, n_pairs * counted)
        if self.args.fast_preference_weight and len(labelled):
            wanted = target_probability(batch["delta"], TAU)
            value = preference_loss(torch.cat([forward[labelled], swapped[labelled]]), torch.cat([wanted, 1 - wanted]))
            total = total + self.args.fast_preference_weight * value * (len(labelled) / n_pairs)
            self._note("preference", value, len(labelled) * counted)
        self._note("agreement", ((forward > 0) == (swapped < 0)).float().mean(), n_pairs * counted)
        trainer: Any = self
        n_generations = max(1, trainer.current_gradient_accumulation_steps // self._n_batches())
        return total * (batch["scale"] / n_generations)

    def _note(self, name: str, mean: Tensor, n_pairs: int) -> None:
        total, n = self._seen.get(name, (0.0, 0))
        self._seen[name] = total + n_pairs * mean.item(), n + n_pairs

    def as_read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what the model reads of a batch, the tokens of the fast verdicts included.

        Where the tower is trained, their pictures are included too.
        """
        read = batch.get(VERDICTS)
        found: dict[str, Any] = super().as_read(  # type: ignore[misc]  # that of `SharedPrompts`
            {name: value for name, value in batch.items() if name != VERDICTS}
        )
        if read is None:
            return found
        network = network_of(self.accelerator.unwrap_model(self.model))
        ids = pack_batch(network, read).packed.inputs if self.shares_prompts else read["compare"]
        patches = {"pixel_values": read["pictures"]["pixel_values"]} if self._tower_learns else {}
        return {**found, VERDICTS: {"input_ids": ids["input_ids"], **patches}}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means over the pairs that all processes have read since the last log. All processes call this."""
        if self.holds_verdicts and "loss" in logs:
            sums = torch.tensor([self._seen.get(name, (0.0, 0)) for name in LOGGED], dtype=torch.float32)  # (names, 2)
            found = self.accelerator.reduce(sums.to(self.accelerator.device), "sum").tolist()
            means = {f"fast/{name}": total / n for name, (total, n) in zip(LOGGED, found, strict=True) if n}
            logs = {**logs, **means}
            self._seen.clear()
        super().log(logs, start_time)  # type: ignore[misc]  # the GRPOTrainer's
