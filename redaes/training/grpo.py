"""Stage 3: GRPO with the ranking-consistency reward, with TRL's ``GRPOTrainer``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
from torch.utils.data import Sampler
from transformers import ProcessorMixin
from trl import GRPOConfig, GRPOTrainer

from redaes import prompts
from redaes.errors import TrainingError
from redaes.prompts import Mode
from redaes.rewards.trl import reward_functions
from redaes.training.formatting import ORDERS, expand, ordered_delta, ordered_images, record_without_way, rows_of
from redaes.training.groups import GroupSampler, blocks_of, check_batch
from redaes.training.setup import (
    StageArguments,
    base_processor,
    claim,
    load_model,
    train,
    training_dtype,
)

SPECIAL_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")


@dataclass
class RankingConfig(GRPOConfig):
    """``GRPOConfig`` with the ranking groups and the reward's components."""

    pairs_per_group: int = field(default=2, metadata={"help": "pairs of one source that are rewarded together"})
    mode: str = field(default="reasoned", metadata={"help": "form of the answers: reasoned or fast"})
    rewards: list[str] = field(
        default_factory=lambda: ["format", "preference", "difference", "swap_consistency", "factor"],
        metadata={"help": "components; their weights are reward_weights, in the same order"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.remove_unused_columns = False
        if self.mode not in prompts.COMPARE:
            raise TrainingError(f"mode is {self.mode!r}, it must be one of {', '.join(prompts.COMPARE)}")
        if self.pairs_per_group < 1:
            raise TrainingError(f"pairs_per_group is {self.pairs_per_group}, it must be at least 1")
        reward_functions(self.rewards)
        if self.mode == "fast" and "factor" in self.rewards:
            raise TrainingError("fast answers name no factor: drop 'factor' from rewards, or use mode: reasoned")
        check_batch(
            local_completions=self.per_device_train_batch_size * self.steps_per_generation,
            block_rows=self.block_rows,
            num_generations=self.num_generations,
        )

    @property
    def block_rows(self) -> int:
        """Prompts of a ranking group: its pairs in both orders."""
        return self.pairs_per_group * len(ORDERS)


def ranking_dataset(folder: Path, config: RankingConfig) -> tuple[datasets.Dataset, list[list[int]], int]:
    """Prompts for stage 3 and the ranking groups among them.

    Returns:
        The rows (made when read), the row numbers of each block, and how many pairs are in no block.
    """
    mode: Mode = "reasoned" if config.mode == "reasoned" else "fast"
    rows = expand(folder, "train", modes=(mode,))
    n_pairs = len(rows) // len(ORDERS)
    chosen, left_out = blocks_of(rows["id"][:n_pairs], rows["group"][:n_pairs], config.pairs_per_group)
    # ``expand`` lists all pairs in one order, then all in the other.
    blocks = [[row + n_pairs * way for row in block for way in range(len(ORDERS))] for block in chosen]
    prompt = prompts.load(prompts.COMPARE[mode]).messages()

    def transform(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            name: [] for name in ("prompt", "images", "pair", "order", "mode", "delta", "factors")
        }
        for row in rows_of(batch):
            record = record_without_way(row, "train")
            columns["prompt"].append(prompt)
            columns["images"].append(ordered_images(record, row["order"]))
            columns["pair"].append(record.pair.id)
            columns["order"].append(row["order"])
            columns["mode"].append(mode)
            columns["delta"].append(ordered_delta(record, row["order"]))
            columns["factors"].append(list(record.pair.factors))
        return columns

    return rows.with_transform(transform), blocks, left_out


class RankingTrainer(GRPOTrainer):
    """``GRPOTrainer`` whose batches hold whole ranking groups."""

    def __init__(self, *, blocks: list[list[int]], **kwargs: Any) -> None:
        self._blocks = blocks
        super().__init__(**kwargs)

    def _get_train_sampler(self, dataset: datasets.Dataset | None = None) -> Sampler[int]:
        config: RankingConfig = self.args
        return GroupSampler(
            self._blocks,
            num_generations=self.num_generations,
            batch_blocks=config.generation_batch_size // (config.block_rows * self.num_generations),
            repeat_count=self.num_iterations * config.steps_per_generation,
            seed=config.seed,
        )


def forbidden_tokens(processor: ProcessorMixin) -> list[int]:
    """Tokens that stand for pictures; sampled into an answer they would crash the forward pass."""
    tokenizer = processor.tokenizer
    return [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_VISION_TOKENS]


def run_grpo(arguments: StageArguments, config: RankingConfig) -> Path:
    """Train stage 3.

    Returns:
        The folder with the result. A finished stage is not trained again.
    """
    finished = claim("stage3_grpo", arguments, config)
    if finished is not None:
        return finished
    torch.manual_seed(config.seed)
    rows, blocks, left_out = ranking_dataset(arguments.data_folder, config)
    processor = base_processor(arguments)
    # TRL pads prompts on the left, but the tokens' modality on the processor's side: where they differ, prompts of
    # unequal length (pictures of other shapes) get their picture positions wrong.
    processor.tokenizer.padding_side = "left"
    config.generation_kwargs = {**(config.generation_kwargs or {}), "suppress_tokens": forbidden_tokens(processor)}
    trainer = RankingTrainer(
        blocks=blocks,
        model=load_model(arguments, training_dtype(config)),
        args=config,
        train_dataset=rows,
        reward_funcs=reward_functions(config.rewards),
        processing_class=processor,
    )
    return train(
        "stage3_grpo",
        trainer,
        processor,
        arguments,
        lambda: {"ranking_groups": len(blocks), "pairs_left_out": left_out},
    )
