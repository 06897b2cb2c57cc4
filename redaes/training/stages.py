"""The stages that ``redaes train`` and the scripts in ``stages/`` start: their arguments, recipes and functions.

Nothing heavy is imported before a command line is checked.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from redaes import recipe_files
from redaes.early_checks import apart, check_stage, chosen
from redaes.errors import InputError, importing

_STAGE_ARGUMENTS = "redaes.training.stage_arguments:StageArguments"
_SHOWN = ("redaes.training.dry_run.plan:DryRunArguments", "redaes.training.launching:LaunchArguments")
"""Further options that ``--help`` lists; they are not part of a recipe."""


@dataclass(frozen=True)
class Stage:
    """A training that a command starts."""

    name: str
    """Name on the command line."""
    title: str
    """Its name in the last line of output."""
    recipes: str
    """Prefix of the names of its recipes; the rest of a name says for which model."""
    usual: str
    """The rest of the name of the default recipe."""
    run: str
    """The function that trains, ``"module:function"``; it takes the stage's and the trainer's arguments and returns the
    result's folder.
    """
    config: str
    """Class of the trainer's arguments, ``"module:Class"``."""
    about: str
    """The text with which ``--help`` begins."""
    arguments: str = _STAGE_ARGUMENTS
    """Class of the stage's own arguments, ``"module:Class"``."""
    others: tuple[str, ...] = ()
    """Longer prefixes of recipe names that belong to another stage."""
    samples: Literal["pairs", "series"] | None = None
    """The kind of data that is made from the sample photographs if no data are named."""

    @property
    def recipe(self) -> Path:
        """The file of the default recipe."""
        return recipe_files.find(f"{self.recipes}_{self.usual}", "stages")

    @property
    def recipe_names(self) -> tuple[str, ...]:
        """The names of its recipes."""
        found = recipe_files.names("stages", f"{self.recipes}_")
        return tuple(name for name in found if not name.startswith(self.others)) if self.others else found

    @property
    def can_be_planned(self) -> bool:
        """Whether the stage has a dry run."""
        return self.arguments == _STAGE_ARGUMENTS

    def with_recipe(self, argv: Sequence[str]) -> list[str]:
        """Return a command line whose ``--config`` is a file: that of the named recipe, or of the default one.

        Raises:
            InputError: the stage has no recipe of this name, or no name follows ``--config``.
        """
        argv = apart(argv)
        if "--config" not in argv:
            return ["--config", str(self.recipe), *argv]
        position = argv.index("--config") + 1
        if position == len(argv):
            raise InputError("--config needs a file, or the name of a recipe")
        known = recipe_files.names("stages", f"{self.recipes}_")
        argv[position] = str(recipe_files.find(argv[position], "stages", known, f"{self.recipes}_"))
        return argv

    def check(self, argv: Sequence[str]) -> dict[str, Any]:
        """Refuse options that cannot be right before anything heavy is imported; answer ``--help``.

        Args:
            argv: the command line, with the recipe's file.

        Returns:
            The settings that are checked before a training: the recipe's values, overridden by the command line's.

        Raises:
            InputError, RecordError, TrainingError, SystemExit: as for `redaes.early_checks.check_stage`.
        """
        shown = _SHOWN if self.can_be_planned else _SHOWN[1:]
        classes = (self.arguments, *shown, self.config)
        return check_stage(argv, self.recipe, *classes, command=f"redaes train {self.name}", about=self.about)

    def parse(self, argv: Sequence[str]) -> tuple[Any, Any]:
        """Return the stage's and the trainer's arguments.

        Args:
            argv: the command line with the recipe's file or name, without the program's name.

        Raises:
            InputError, RecordError, TrainingError, MissingDependency: the options cannot be right.
            SystemExit: ``--help`` was answered.
        """
        argv = self.with_recipe(argv)
        self.check(argv)
        with importing("train"):
            from redaes.training import recipes

            config = imported(self.config)
            arguments = imported(self.arguments)
        if self.can_be_planned:
            return recipes.parse(config, self.recipe, argv)
        return recipes.parse_with(arguments, config, self.recipe, argv)

    def train(self, arguments: Any, config: Any) -> Path:
        """Train, or make the estimate of a dry run.

        Returns:
            The folder with the result.
        """
        with importing("train"):
            run = imported(self.run)
        return run(arguments, config)


def imported(place: str) -> Any:
    """Return the object that ``"module:name"`` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


OBJECTIVES = {"relative": "align", "dpo": "dpo"}
"""Values of stage 2's ``--objective``, and the stage for each."""


def stage_of(name: str, argv: Sequence[str]) -> tuple[Stage, list[str]]:
    """Return the stage that a command starts, and its command line with the recipe's file.

    Raises:
        InputError: the objective is unknown, or the stage has no recipe of this name.
    """
    known = {"align": OBJECTIVES, "dpo": {"dpo": "dpo"}}.get(name)
    if known is None:
        return STAGES[name], STAGES[name].with_recipe(argv)
    # The command line determines where a recipe is searched; the recipe that is found may name another objective.
    argv = STAGES[known[chosen("objective", known, argv)]].with_recipe(argv)
    recipe = Path(argv[argv.index("--config") + 1])
    return STAGES[known[chosen("objective", known, argv, recipe)]], argv


_ALL = (
    Stage(
        name="sft",
        title="stage 1",
        recipes="stage1",
        usual="nano",
        run="redaes.training.sft:run_sft",
        config="redaes.training.sft:PairSFTConfig",
        samples="pairs",
        about="""\
Stage 1: supervised fine-tuning on edit-induced pairs.

    redaes train sft                                          # embedded model, sample photographs
    redaes train sft --config qwen3_vl_8b --data my_pairs --num_processes 8

The paper does not publish its first stage. Ours imitates, for two pictures in both orders, the rationale, the
winner and the signed difference, and in a second form the answer alone; the loss falls on the answer only.
``full_training: true`` trains all weights instead of a LoRA: the embedded model's warm-up.""",
    ),
    Stage(
        name="align",
        title="stage 2",
        recipes="stage2",
        usual="nano",
        others=("stage2_dpo_",),
        run="redaes.training.alignment:run_align",
        config="redaes.training.alignment:AlignmentConfig",
        samples="pairs",
        about="""\
Stage 2: relative-pair alignment.

    redaes train align                                        # embedded model, sample photographs
    redaes train align --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2

The paper names "contrastive" pre-training without its loss. Ours is relative only: the verdict token in both
orders against p* = Phi(delta / tau), agreement of the orders, and Thurstone's law on two single-picture
scores; a small token likelihood keeps the language (docs/training.md). Nothing is generated, no score is fitted.
``--objective dpo`` is ``redaes train dpo``.""",
    ),
    Stage(
        name="dpo",
        title="stage 2",
        recipes="stage2_dpo",
        usual="nano",
        run="redaes.training.dpo:run_dpo",
        config="redaes.training.dpo:PairDPOConfig",
        samples="pairs",
        about="""\
Stage 2 by preferences: the right answer, reasoning and verdict, rather than the one for the other order.

    redaes train dpo --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2

Takes the place of ``redaes train align``, whose losses are of the verdict and of scores alone.""",
    ),
    Stage(
        name="grpo",
        title="stage 3",
        recipes="stage3",
        usual="nano",
        run="redaes.training.grpo:run_grpo",
        config="redaes.training.grpo:RankingGRPOConfig",
        samples="pairs",
        about="""\
Stage 3: GRPO with the ranking-consistency reward.

    redaes train grpo                                         # embedded model, sample photographs
    redaes train grpo --adapter runs/stage2/final --data my_pairs --output_dir runs/stage3

The paper names a "relative ranking consistency reward" without its formula. Ours has the components format,
preference, verdict, difference, swap and group consistency, thurstone (single pictures), factor, and symptom and
evidence, which hold the reasoning against the pixels (docs/rewards.md); all prompts of a ranking group are generated
and rewarded together in one process. Rollouts by vLLM: docs/training.md.""",
    ),
    Stage(
        name="fgaesq",
        title="FGAesQ",
        recipes="fgaesq",
        usual="tiny",
        arguments="redaes.training.fgaesq_arguments:FGAesQArguments",
        samples="series",
        run="redaes.training.fgaesq:run_fgaesq",
        config="transformers:TrainingArguments",
        about="""\
FGAesQ: train the fine-grained series ranker.

    redaes train fgaesq                             # a tiny CLIP on series made from sample photographs
    redaes train fgaesq --config vit_b_16 --clip DIR --series S --coarse C

The paper released no training code. Losses, weights, epochs and rates are from its text; what it leaves open is
ours and listed in docs/fgaesq.md.""",
    ),
    Stage(
        name="nano-vision",
        title="vision warm-up",
        recipes="warmup_vision",
        usual="nano",
        run="redaes.training.warmup_vision:run_vision",
        config="redaes.training.warmup_vision:VisionConfig",
        about="""\
The embedded model's first warm-up: its vision tower by itself. Only a model with random weights needs it.

    redaes train nano-build --data pairs --out runs/nano_random
    redaes train nano-vision --model runs/nano_random --data pairs --output_dir runs/nano_vision
    redaes train nano-reading --model runs/nano_vision/final --data pairs --output_dir runs/nano_read

Full training of the vision tower with two heads that are thrown away: which edit a picture carries, and which
picture of a pair is better. The paper starts from models that can see; this is ours.""",
    ),
    Stage(
        name="nano-reading",
        title="reading warm-up",
        recipes="warmup_reading",
        usual="nano",
        run="redaes.training.warmup_reading:run_reading",
        config="redaes.training.warmup_reading:ReadingConfig",
        about="""\
The embedded model's second warm-up: it learns to look at both pictures and to write. Only a new model needs it.

    redaes train nano-reading --model runs/nano_vision/final --data pairs --output_dir runs/nano_read

Full training on reasoned answers, and with two heads that are thrown away: which edit picture A carries, and which
picture B. The paper starts from models that can read pictures; this is ours. Before it: ``redaes train nano-vision``;
after it: the stages.""",
    ),
)
STAGES = {stage.name: stage for stage in _ALL}
"""The stages, by their names on the command line."""
