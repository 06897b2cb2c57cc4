"""The stages that ``redaes train`` and the scripts in ``stages/`` start: their arguments, recipes and functions.

Nothing heavy is imported before a command line is checked.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from redaes import recipe_files
from redaes.early_checks import apart, check_stage, chosen
from redaes.errors import InputError, importing
from redaes.models import nano

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
    next: str | None = None
    """Name of the stage that usually follows; None: there is none."""

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
            raise InputError("--config has no value; give a YAML file, or the name of a recipe (--list shows them)")
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

    def after(self, argv: Sequence[str], data: str, model: str, result: Path) -> list[str]:
        """Return the commands that a user usually types next, for this data and this result.

        Args:
            argv: the command line with the recipe's file or name, without the program's name.
            data: the dataset that the stage was trained on.
            model: the base model that it was trained from.
            result: the folder with the result, an adapter or a whole model.
        """
        whole = not (result / "adapter_config.json").exists()
        of_result = ["--model" if whole else "--adapter", str(result)]
        commands = [] if self.name.startswith("nano-") else [["redaes", "compare", "a.jpg", "b.jpg", *of_result]]
        if self.next is not None:
            argv, following = self.with_recipe(argv), STAGES[self.next]
            size = Path(argv[argv.index("--config") + 1]).stem.removeprefix(f"{self.recipes}_")
            known = f"{following.recipes}_{size}" in following.recipe_names
            recipe = ["--config", size] if known and size != following.usual else []
            # A stage refuses an adapter that was trained on another base than its own.
            base = [] if whole or model == nano.BASE else ["--model", model]
            output = ["--output_dir", str(result.parent.parent / following.recipes)]
            commands.append(["redaes", "train", following.name, *recipe, "--data", data, *base, *of_result, *output])
        return [shlex.join(command) for command in commands]

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
        next="align",
        about="""\
Stage 1: train a model by supervised fine-tuning on edit-induced pairs.

    redaes train sft                                          # embedded model, sample photographs
    redaes train sft --config qwen3_vl_8b --data my_pairs --num_processes 8

The paper does not publish its first stage. Ours teaches the model to write, for two pictures in both orders, the
rationale, the winner and the signed difference, and in the fast mode the verdict alone. The loss is computed on the
answers only. ``full_training: true`` trains all weights instead of a LoRA, as the embedded model's warm-ups need.""",
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
        next="grpo",
        about="""\
Stage 2: align a model's verdicts and scores with labelled pairs.

    redaes train align                                        # embedded model, sample photographs
    redaes train align --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2

The paper names "contrastive" pre-training but not its loss. Ours is relative only: it compares the probability of the
verdict token, in both orders, with p* = Phi(delta / tau), asks for agreement of the two orders, and applies Thurstone's
law to two single-picture scores. A small token likelihood preserves the language (docs/training.md). Nothing is
generated, and no score is fitted. ``--objective dpo`` runs ``redaes train dpo``.""",
    ),
    Stage(
        name="dpo",
        title="stage 2",
        recipes="stage2_dpo",
        usual="nano",
        run="redaes.training.dpo:run_dpo",
        config="redaes.training.dpo:PairDPOConfig",
        samples="pairs",
        next="grpo",
        about="""\
Stage 2 by preferences: train a model to prefer the right answer to the answer for the other order.

    redaes train dpo --adapter runs/stage1/final --data my_pairs --output_dir runs/stage2

This stage replaces ``redaes train align``. It teaches rationale and verdict together, whereas the losses of align
concern only the verdict and the scores.""",
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
Stage 3: train a model with GRPO and the ranking-consistency reward.

    redaes train grpo                                         # embedded model, sample photographs
    redaes train grpo --adapter runs/stage2/final --data my_pairs --output_dir runs/stage3

The paper names a "relative ranking consistency reward" but not its formula. Ours has the components format,
preference, verdict, difference, swap and group consistency, thurstone (single pictures), factor, and symptom and
evidence, which check the rationale against the pixels (docs/rewards.md). All prompts of a ranking group are answered
and rewarded together in one process. docs/training.md says how vLLM can generate the answers.""",
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

The paper released no training code. Losses, weights, epochs and rates are taken from its text. What it leaves open is
our choice and is listed in docs/fgaesq.md.""",
    ),
    Stage(
        name="nano-vision",
        title="vision warm-up",
        recipes="warmup_vision",
        usual="nano",
        run="redaes.training.warmup_vision:run_vision",
        config="redaes.training.warmup_vision:VisionConfig",
        next="nano-reading",
        about="""\
First warm-up of the embedded model: train its vision tower alone. Only a model with random weights needs it.

    redaes train nano-build --data pairs --out runs/nano_random
    redaes train nano-vision --model runs/nano_random --data pairs --output_dir runs/nano_vision
    redaes train nano-reading --model runs/nano_vision/final --data pairs --output_dir runs/nano_read

All weights of the vision tower are trained with two heads that are discarded afterwards: one predicts which edit a
picture has, the other which picture of a pair is better. The paper starts from models that can see, so that this is
our addition.""",
    ),
    Stage(
        name="nano-reading",
        title="reading warm-up",
        recipes="warmup_reading",
        usual="nano",
        run="redaes.training.warmup_reading:run_reading",
        config="redaes.training.warmup_reading:ReadingConfig",
        next="sft",
        about="""\
Second warm-up of the embedded model: train it to look at both pictures and to write. Only a new model needs it.

    redaes train nano-reading --model runs/nano_vision/final --data pairs --output_dir runs/nano_read

All weights are trained on reasoned answers, and with two heads that are discarded afterwards: they predict which edit
picture A has, and which picture B has. The paper starts from models that can read pictures, so that this is our
addition. Run ``redaes train nano-vision`` before it, and the stages after it.""",
    ),
)
STAGES = {stage.name: stage for stage in _ALL}
"""The stages, by their names on the command line."""
