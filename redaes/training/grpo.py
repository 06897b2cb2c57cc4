"""Stage 3: GRPO with the ranking-consistency reward, with TRL's ``GRPOTrainer``."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import ProcessorMixin, TrainerCallback, TrainerControl, TrainerState
from transformers.integrations import is_deepspeed_zero3_enabled
from trl import GRPOConfig, GRPOTrainer

from redaes import prompts
from redaes.backends.sampling import forget_sampling
from redaes.errors import TrainingError
from redaes.evidence.extraction import VERSION as CLAIMS_VERSION
from redaes.evidence.measurements import VERSION as EVIDENCE_VERSION
from redaes.prompts import Mode
from redaes.records import load_pairs, without_operations
from redaes.rewards.plugins import load_plugins, try_plugins
from redaes.rewards.trl import MEASURED, observations, reward_functions
from redaes.training.checkpoints import ExactCheckpoints
from redaes.training.completion_pages import write_page
from redaes.training.group_batches import GroupSampler, check_batch
from redaes.training.held_verdicts import HeldVerdicts
from redaes.training.pair_evidence import measure_training_pairs
from redaes.training.patch_cache import PatchCache
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.refused_settings import SAMPLING, refuse_what_spoils
from redaes.training.row_checks import RowNeeds, check_rows
from redaes.training.shared_prompts import SharedPrompts, check_sharing
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model, training_dtype
from redaes.training.stage_run import claim, train
from redaes.training.trl_methods import check_trl
from redaes.training.validated_trainer import ValidatedTrainer, prepare
from redaes.training.vision_cache import FrozenVisionCache, vision_tower
from redaes.training.vllm_rollouts import check_vllm, mended_vllm
from redaes.training.weighted_draws import draw_weights, weights_of_parts

SPECIAL_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")


class _EachTime(argparse.Action):
    """Collect the values of an option that is given several times; the first one replaces the recipe's values."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*([] if before is self.default else before), *values])


@dataclass
class RankingGRPOConfig(GRPOConfig):
    """``GRPOConfig`` with the ranking groups and the reward's components."""

    pictures_per_group: int = field(
        default=0,
        metadata={
            "help": "Largest number of pictures in a ranking group. 0 means all pictures of a view, with all their "
            "pairs."
        },
    )
    # TRL checks the batch size because its evaluation samples answers; ours asks the model as users do.
    num_generations_eval: int | None = field(
        default=1, metadata={"help": "Has no effect, because the validation does not sample."}
    )
    mode: str = field(default="reasoned", metadata={"help": "The mode of the answers: reasoned or fast."})
    rewards: list[str] = field(
        default_factory=lambda: [
            "format", "preference", "difference", "swap_consistency", "group_consistency", "thurstone", "factor",
        ],
        metadata={
            "help": "Names of the reward's components. Their weights are reward_weights, in the same order. The "
                   "component thurstone adds prompts that ask for the score of each picture of a group."
        },
    )  # fmt: skip
    reward_plugin: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Your own reward components, one or several, each as module:function or "
            "path/to/file.py:function. Their weights follow those of rewards in reward_weights "
            "(docs/rewards.md).",
            "action": _EachTime,
        },
    )
    share_prompts: bool = field(
        default=True,
        metadata={
            "help": "Read each prompt only once for all its answers in a batch, where the model allows it. With "
            "false, it is read once for each answer."
        },
    )
    fast_antisymmetry_weight: float = field(
        default=0.0,
        metadata={
            "help": "Weight of stage 2's antisymmetry loss, which keeps the fast verdict the same in both orders. "
            "It is taken on the pairs of each step and added to GRPO's loss. 0 means that it is not added."
        },
    )
    fast_preference_weight: float = field(
        default=0.0,
        metadata={
            "help": "Weight of stage 2's preference loss, which trains the fast verdict on the labelled "
            "difference. It is taken on the pairs of each step and added to GRPO's loss. 0 means that it is not added."
        },
    )
    completion_page_steps: int = field(
        default=50,
        metadata={
            "help": "Number of steps between two HTML pages that show the completions of a group. 0 means no pages."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.remove_unused_columns = False
        if self.mode not in prompts.COMPARE:
            raise TrainingError(f"mode is {self.mode!r}; give one of {', '.join(prompts.COMPARE)}")
        if self.completion_page_steps < 0:
            raise TrainingError(f"completion_page_steps is {self.completion_page_steps}; give 0 or more")
        reward_functions(self.rewards)
        plugins = load_plugins(self.reward_plugin)
        self.components = [*self.rewards, *(plugin.name for plugin in plugins)]
        """Names of all reward components, in the order of ``reward_weights``."""
        self.reward_plugin_files = [
            f"{plugin.name} sha256:{plugin.digest} range {plugin.value_range[0]:g} to {plugin.value_range[1]:g}"
            for plugin in plugins
        ]
        if self.reward_weights is not None and len(self.reward_weights) != len(self.components):
            what = "rewards and plugins" if plugins else "rewards"
            raise TrainingError(
                f"{len(self.reward_weights)} reward_weights for {len(self.components)} {what} "
                f"({', '.join(self.components)}); give one for each"
            )
        of_reasons = [name for name in self.rewards if name == "factor" or name in MEASURED]
        if self.mode == "fast" and of_reasons:
            raise TrainingError(
                f"fast answers name no factor and give no reasons: remove {', '.join(of_reasons)} from rewards, or "
                "set mode: reasoned"
            )
        if self.accelerator_config.dispatch_batches or self.accelerator_config.split_batches:
            raise TrainingError(
                "dispatch_batches and split_batches would divide ranking groups between processes; set both to false"
            )
        refuse_what_spoils(self, SAMPLING)
        self._check_held_verdicts()
        self._check_resumable()
        if self.use_vllm:
            check_vllm(self, self.n_processes)
        check_batch(
            local_completions=self.per_device_train_batch_size * self.steps_per_generation,
            num_generations=self.num_generations,
            with_singles=self.scores_pictures,
        )
        if self.share_prompts:
            check_trl(GRPOTrainer)
            check_sharing(batch_size=self.per_device_train_batch_size, num_generations=self.num_generations)
        mode: Mode = "fast" if self.mode == "fast" else "reasoned"
        try_plugins(
            plugins,
            mode,
            with_scores=self.scores_pictures,
            with_evidence=self.needs_evidence,
            trainer_state=TrainerState(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as a dictionary, with the contents of the plugins' files and the version of the
        measurements; settings and run records are made of this.
        """
        measured = {"evidence_version": f"{EVIDENCE_VERSION} {CLAIMS_VERSION}"} if self.needs_evidence else {}
        return {**super().to_dict(), "reward_plugin_files": list(self.reward_plugin_files), **measured}

    def _check_held_verdicts(self) -> None:
        """Refuse negative weights, and gradient checkpointing that does not allow a second pass through the model."""
        weights = {name: getattr(self, name) for name in ("fast_antisymmetry_weight", "fast_preference_weight")}
        for name, value in weights.items():
            if value < 0:
                raise TrainingError(f"{name} is {value:g}; give a weight above 0, or 0 to leave this loss out")
        shared_out = self.world_size > 1 or os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
        reentrant = bool((self.gradient_checkpointing_kwargs or {}).get("use_reentrant"))
        if any(weights.values()) and self.gradient_checkpointing and reentrant and shared_out:
            raise TrainingError(
                f"with {' and '.join(name for name in weights if weights[name])} each batch passes the model twice, "
                "and with reentrant gradient checkpointing neither DDP nor DeepSpeed allows that: remove use_reentrant "
                "from gradient_checkpointing_kwargs"
            )

    def _check_resumable(self) -> None:
        """Refuse checkpoints at steps where no new completions are generated, because completions are not part of a
        checkpoint.
        """
        per_generation = self.steps_per_generation * self.num_iterations  # batches per generation
        per_step = self.gradient_accumulation_steps
        if per_generation % per_step and per_step % per_generation:
            raise TrainingError(
                f"steps_per_generation × num_iterations is {per_generation} and gradient_accumulation_steps is "
                f"{per_step}; one must be a multiple of the other, because otherwise a step ends in the middle of a "
                "generation batch"
            )
        # With "best", a checkpoint is written at each validation.
        steps = {"steps": "save_steps", "best": "eval_steps"}.get(self.save_strategy)
        if steps is not None:
            every = max(1, per_generation // per_step)
            value = getattr(self, steps)
            if value is not None and (value != int(value) or int(value) % every):
                raise TrainingError(
                    f"{steps} is {value:g}, but completions are made every {every} steps and are not saved, so that a "
                    f"resumed run would differ; make {steps} a multiple of {every}"
                )

    @property
    def capacity(self) -> int:
        """Number of prompts in one process's generation batch."""
        return int(self.per_device_train_batch_size * self.steps_per_generation // self.num_generations)

    @property
    def scores_pictures(self) -> bool:
        """Whether there are prompts for single pictures."""
        return "thurstone" in self.rewards

    @property
    def needs_evidence(self) -> bool:
        """Whether a component checks reasonings against measurements."""
        return not MEASURED.isdisjoint(self.rewards)

    @property
    def n_processes(self) -> int:
        """Number of processes that share a generation batch."""
        return self.generation_batch_size // (self.per_device_train_batch_size * self.steps_per_generation)


def length_reward_correlation(lengths: Tensor, rewards: Tensor, num_generations: int) -> float:
    """Return Pearson's correlation of length and reward among the completions of the same prompt.

    Both are deviations from their prompt's mean, because only those move the model. Comparing lengths across prompts
    would only show how verdicts differ from scores.

    Args:
        lengths: tokens of each completion, shape (n,), the completions of a prompt in a row.
        rewards: reward of each completion, shape (n,); NaN: it has none.
        num_generations: number of completions of a prompt.

    Returns:
        The correlation; NaN if lengths or rewards do not differ.
    """
    x, y = lengths.double().view(-1, num_generations), rewards.double().view(-1, num_generations)
    whole = ~y.isnan().any(dim=1)
    x, y = x[whole], y[whole]
    x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    scale = x.square().sum().sqrt() * y.square().sum().sqrt()
    return float((x * y).sum() / scale) if scale > 1e-9 else float("nan")


class AllCutOff(TrainerCallback):
    """Report when every completion was cut off at the length limit, and end a run that cannot learn from them."""

    MOST = 20
    """Number of consecutive logs without a finished answer and without two completions of different reward, after which
    the run ends.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self._said = False

    def on_log(
        self,
        args: RankingGRPOConfig,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Handle the trainer's event, in every process.

        Raises:
            TrainingError: nothing could be learned for too long.
        """
        found = logs or {}
        if "completions/clipped_ratio" not in found:
            return
        cut = found["completions/clipped_ratio"] >= 1
        self._in_a_row = self._in_a_row + 1 if cut and found.get("frac_reward_zero_std", 0.0) >= 1 else 0
        what = f"all completions were cut off at max_completion_length ({args.max_completion_length})"
        if cut and not self._said and state.is_world_process_zero:
            self._said = True
            sys.stderr.write(f"step {state.global_step}: {what}: an answer that is cut off cannot be read\n")
        if self._in_a_row >= self.MOST:
            raise TrainingError(
                f"{what} in {self._in_a_row} logs in a row, and all earned the same reward, so that nothing is "
                "learned; raise max_completion_length, or start from a model that ends its answers (a stage 1 "
                "adapter)"
            )


class RankingGRPOTrainer(HeldVerdicts, SharedPrompts, ExactCheckpoints, ValidatedTrainer, GRPOTrainer):
    """``GRPOTrainer`` whose batches consist of whole ranking groups, and which writes pages with samples."""

    def __init__(self, *, sampler: GroupSampler, **kwargs: Any) -> None:
        self._sampler = sampler
        super().__init__(**kwargs)
        self._patches = PatchCache(n_kept=2 * self.args.capacity)  # two pictures a prompt
        self._vision_cache: FrozenVisionCache | None = None
        visual = vision_tower(self.model)
        frozen = not any(parameter.requires_grad for parameter in visual.parameters())
        # Under ZeRO-3 all processes gather a layer's weights together, so none may skip the tower.
        if frozen and not is_deepspeed_zero3_enabled():
            self._vision_cache = FrozenVisionCache(visual, n_kept=2 * self.args.capacity)  # two pictures a prompt

    def while_validating(self) -> AbstractContextManager[None]:
        """Keep the vision cache of the training, and use a separate one for the held-out pictures."""
        return nullcontext() if self._vision_cache is None else self._vision_cache.apart()

    def while_processing(self) -> AbstractContextManager[None]:
        """Within this context, a picture whose patches are cached is not processed again."""
        return self._patches.answering_for(self.processing_class.image_processor)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        with self.while_processing():
            found: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return found

    def _get_train_sampler(self, dataset: datasets.Dataset | None = None) -> Sampler[int]:
        return self._sampler

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[Any]
    ) -> Tensor:
        """Return the reward components of all processes' completions, shape (completions, components)."""
        columns = {name: [row[name] for row in inputs] for name in ("mode", "group", "shown")}
        for name, value in observations(completions, **columns):
            self._log_metric(name, value)  # averaged over all values of all processes
        parts: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        weighted = (parts * self.reward_weights.to(parts.device)).nansum(dim=1)
        weighted[parts.isnan().all(dim=1)] = torch.nan
        lengths = torch.tensor([len(ids) for ids in completion_ids_list], device=parts.device)
        self._metrics["train"]["completions/length_reward_correlation"].append(
            length_reward_correlation(self.accelerator.gather(lengths), weighted, self.num_generations)
        )
        if self.is_world_process_zero() and self._page_is_due():
            own = slice(len(inputs))  # process 0 comes first
            write_page(
                Path(self.args.output_dir) / "completions",
                self.state.global_step,
                inputs,
                completions,
                dict(zip(self.args.components, parts[own].T.tolist(), strict=True)),
                weighted[own].tolist(),
            )
        return parts

    def _page_is_due(self) -> bool:
        config: RankingGRPOConfig = self.args
        if not config.completion_page_steps:
            return False
        # Number of steps between generations; a rule on the step alone gives a resumed run the same pages.
        every = max(1, config.steps_per_generation * config.num_iterations // config.gradient_accumulation_steps)
        return self.state.global_step % config.completion_page_steps < every


def forbidden_tokens(processor: ProcessorMixin) -> list[int]:
    """Return the tokens that stand for pictures; in a sampled answer they would crash the forward pass."""
    tokenizer = processor.tokenizer
    return [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_VISION_TOKENS]


def run_grpo(arguments: StageArguments, config: RankingGRPOConfig) -> Path:
    """Train stage 3.

    Returns:
        The folder with the result. A finished stage is not trained again.
    """
    run = claim("stage3_grpo", arguments, config)
    if run.final is not None:
        return run.final
    check_rows(arguments, RowNeeds(delta=False, reasoning=False, answers=False))
    validation = prepare(arguments.data_folder, arguments, config, arguments.leave_out)
    torch.manual_seed(config.seed)
    pairs = without_operations(load_pairs(arguments.data_folder, "train"), arguments.leave_out)
    groups = groups_of(pairs, config.pictures_per_group)
    mode: Mode = "reasoned" if config.mode == "reasoned" else "fast"
    measured = None
    if config.needs_evidence and arguments.plan is None:  # a dry run computes no rewards and writes nothing
        measured = measure_training_pairs(arguments, max(1, config.dataloader_num_workers))
    rows, numbers = ranking_dataset(pairs, groups, mode, with_scores=config.scores_pictures, measured=measured)
    sampler = GroupSampler(
        numbers,
        capacity=config.capacity,
        num_generations=config.num_generations,
        n_processes=config.n_processes,
        repeat_count=config.num_iterations * config.steps_per_generation,
        seed=config.seed,
        weights=weights_of_parts([[pair.row for pair in group.pairs] for group in groups], draw_weights(pairs)),
    )
    processor = base_processor(arguments)
    # TRL pads prompts on the left, but the tokens' modality on the processor's side: where they differ, prompts of
    # unequal length (pictures of other shapes) get their picture positions wrong.
    processor.tokenizer.padding_side = "left"
    forbidden = forbidden_tokens(processor)
    avoid = {"logit_bias": dict.fromkeys(forbidden, -100.0)} if config.use_vllm else {"suppress_tokens": forbidden}
    config.generation_kwargs = {**(config.generation_kwargs or {}), **avoid}
    model = load_model(arguments, training_dtype(config, arguments.plan))
    forget_sampling(model)
    make = partial(
        RankingGRPOTrainer,
        validation=validation,
        verdict_pairs=pairs,
        sampler=sampler,
        model=model,
        args=config,
        train_dataset=rows,
        callbacks=[AllCutOff()],
        reward_funcs=[*reward_functions(config.rewards), *load_plugins(config.reward_plugin)],
        processing_class=processor,
    )
    trainer = mended_vllm(make, processor, training_dtype(config)) if config.use_vllm else make()
    return train(
        run,
        trainer,
        processor,
        arguments,
        lambda: {
            "ranking_groups": len(groups),
            "prompts": len(rows),
            "share_of_prompts_repeated": round(sampler.share_repeated, 4),
            "shares_prompts": trainer.shares_prompts,
        },
    )
