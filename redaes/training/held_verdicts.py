"""Stage 3 with the fast verdict held: stage 2's losses on the pairs of each step, beside GRPO's.

GRPO rewards what is written, and the verdict of the fast mode, which is read at one token and never written in the
reasoned mode, goes where the shared weights take it. Here each pair whose answers are rewarded is also asked for its
fast verdict, in both orders, and stage 2's losses are taken of what the policy says. Code and formulas are stage 2's
(`redaes.training.alignment`); pictures that a frozen tower has looked at for the answers are not looked at again.
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
"""In a batch of the trainer's: the pairs whose fast verdicts are read with it."""

LOGGED = ("antisymmetry", "preference", "agreement")
"""What is logged of them, as ``fast/…``; a loss without a weight is not taken."""


def deal_pairs(n_pairs: int, *, n_batches: int, per_step: int, n_passes: int) -> list[list[int]]:
    """Which pairs are read with which of the batches that are made of one generation batch.

    Pairs stay in their order, so that those of a ranking group, which share pictures, are read together. All of them
    are read in each pass through the generation batch; where there are fewer pairs than optimizer steps, some are read
    in several steps, so that no step is without one.

    Args:
        n_pairs: of the generation batch, at least one.
        n_batches: that use its answers (``steps_per_generation`` × ``num_iterations``).
        per_step: batches of an optimizer step (``gradient_accumulation_steps``), a divisor or a multiple of those.
        n_passes: ``num_iterations``.

    Returns:
        For each batch the numbers of its pairs, none twice in a step; a batch may have none.

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
    """What of a generation batch is read with one of its batches, in this process."""

    rows: tuple[int, ...]
    """Of the pairs; none: no process reads any with this batch."""
    scale: float
    """What the mean of their losses counts, so that all pairs of the step, over all processes, count alike. 0 where
    this process reads a pair only because others do."""


class HeldVerdicts:
    """Mixin for stage 3's trainer; its ``args`` have ``fast_antisymmetry_weight`` and ``fast_preference_weight``.

    The loss of an optimizer step is TRL's, to which is added

        1/N Σ [ w_a (P(A≻B | forward) + P(A≻B | swapped) − 1)² + w_p (CE(forward, p*) + CE(swapped, 1 − p*)) / 2 ]

    over the N pairs of the step: all accumulated batches and processes together (`deal_pairs` says which). Of a pair
    without a labelled difference nobody knows p*: the second part of its sum is 0. The term does not
    depend on TRL's ``loss_type``, on the number or length of answers, on advantages, or on how the step is cut into
    batches. Trainers add up the gradients of accumulated batches and average those of processes, so a batch adds
    n_processes · (its pairs / N) times the mean over its own pairs; where a step takes in several generation batches,
    each of them counts alike. Where both weights are 0, nothing here is called, and the trainer is what it was.

    Args:
        verdict_pairs: the split that the prompts were made of, with undecoded pictures; needed where a weight is set.
        kwargs: the trainer's.
    """

    accelerator: Any
    args: Any
    model: Any
    shares_prompts: bool

    def __init__(self, *, verdict_pairs: datasets.Dataset | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.holds_verdicts = bool(self.args.fast_antisymmetry_weight or self.args.fast_preference_weight)
        """Whether a weight is set."""
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
        """As TRL has it, with the pairs that are read with the batch."""
        inputs = super()._prepare_inputs(generation_batch)  # type: ignore[misc]  # the GRPOTrainer's
        if not (self.holds_verdicts and self.model.training):
            return inputs
        trainer: Any = self
        number = trainer._step % self._n_batches()
        if number == 0 or not self._dealt:  # where TRL has just had new answers written
            self._dealt = self._deal(generation_batch)
        return self._with(inputs, self._dealt[number])

    def each_with_verdicts(self, batch: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """For a dry run: a batch with what is read with each of those that are made of a generation batch's rows."""
        if not self.holds_verdicts:
            return [batch]
        return [self._with(batch, one) for one in self._deal(rows)]

    def _deal(self, rows: Sequence[Mapping[str, Any]]) -> list[_Dealt]:
        """What is read with each batch; called by all processes at once."""
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
            # Forward passes are taken in step with the other processes, so none may leave out what others do.
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
        """TRL's loss of a batch, and its part of the losses of the step's fast verdicts."""
        answers = {name: value for name, value in inputs.items() if name != VERDICTS}
        loss: Tensor = super().compute_loss(  # type: ignore[misc]  # the GRPOTrainer's
            model, answers, return_outputs, num_items_in_batch
        )
        return loss + self._verdict_loss(model, inputs[VERDICTS]) if VERDICTS in inputs else loss

    def _verdict_loss(self, model: Any, batch: dict[str, Any]) -> Tensor:
        """A batch's part of the term that is in the class's formula.

        Args:
            model: the policy; a reference's adapter is not active here.
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
        total = 0 * log_odds.sum()  # whatever is not labelled, all processes have a gradient
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
        """As without fast verdicts, and the tokens of theirs; their pictures too where the tower learns."""
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
        """Add the means over the pairs read since the last log, in all processes; all of them call this."""
        if self.holds_verdicts and "loss" in logs:
            sums = torch.tensor([self._seen.get(name, (0.0, 0)) for name in LOGGED], dtype=torch.float32)  # (names, 2)
            found = self.accelerator.reduce(sums.to(self.accelerator.device), "sum").tolist()
            means = {f"fast/{name}": total / n for name, (total, n) in zip(LOGGED, found, strict=True) if n}
            logs = {**logs, **means}
            self._seen.clear()
        super().log(logs, start_time)  # type: ignore[misc]  # the GRPOTrainer's
