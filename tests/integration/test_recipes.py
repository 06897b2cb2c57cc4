"""Every recipe and every launch configuration that ships can be read, and says what it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig

from redaes.errors import InputError, MissingDependency, TrainingError
from redaes.training import recipes
from redaes.training.stage_run import claim
from redaes.training.stages import STAGES, Stage, imported

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "stages" / "configs"
REAL = sorted(path.name for path in CONFIGS.glob("*_qwen*.yaml"))
CPU = ["--use_cpu", "true", "--bf16", "false"]  # what this machine has


def command(recipe: str) -> str:
    """The name of the stage that a recipe is for."""
    (name,) = [name for name, stage in STAGES.items() if recipe.removesuffix(".yaml") in stage.recipe_names]
    return name


def read(recipe: str, *more: str) -> tuple[Any, Any]:
    return STAGES[command(recipe)].parse(["--config", str(CONFIGS / recipe), *more])


@pytest.mark.parametrize("recipe", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_every_recipe_is_read_by_its_stage(recipe: str) -> None:
    """What a recipe says is what the stage is given, whatever it says."""
    stage, config = read(recipe, *CPU)
    written = yaml.safe_load((CONFIGS / recipe).read_text())
    for name, value in written.items():
        given = getattr(stage, name) if hasattr(stage, name) else getattr(config, name)
        if name == "report_to":
            assert (value, given) == ("none", [])
        elif name == "metric_for_best_model":
            assert given == f"eval_{value}"
        elif f"--{name}" not in CPU:
            assert given == value, name


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_what_a_stage_names_is_there(stage: Stage) -> None:
    assert all(callable(imported(place)) for place in (stage.run, stage.config, stage.arguments))


def test_there_is_a_recipe_for_every_model_and_stage() -> None:
    models = (
        "qwen3_5_2b", "qwen3_5_4b", "qwen3_5_9b", "qwen3_vl_2b", "qwen3_vl_4b", "qwen3_vl_8b", "qwen2_5_vl_3b",
        "qwen2_5_vl_7b",
    )  # fmt: skip
    stages = ("stage1", "stage2", "stage2_dpo", "stage3")
    assert sorted(f"{stage}_{model}.yaml" for stage in stages for model in models) == REAL


@pytest.mark.parametrize("recipe", REAL)
def test_recipes_of_real_models_save_memory_and_keep_pictures_whole(recipe: str) -> None:
    written = yaml.safe_load((CONFIGS / recipe).read_text())
    assert written["bf16"] is written["gradient_checkpointing"] is True
    assert written["use_cpu"] is False
    assert written["max_pixels"] <= 512 * 512
    assert "full_training" not in written
    stage, config = read(recipe, *CPU)
    assert not stage.full_training
    # Nothing cuts a sequence: picture tokens would go first.
    assert getattr(config, "max_length", None) is None
    # Held-out pairs are asked on the way, at every checkpoint, and the best one is what a run leaves.
    assert (config.eval_strategy, config.load_best_model_at_end, config.eval_steps) == (
        "steps",
        True,
        config.save_steps,
    )
    assert config.eval_on_start is (stage_of(recipe) != "stage1")
    figure = "fast_accuracy" if stage_of(recipe).startswith("stage2") else "reasoned_accuracy"
    assert config.metric_for_best_model == f"eval_{figure}"
    assert (stage.validation_pairs, stage.validation_reasoned_pairs) == (400, 128)
    assert recipe.removesuffix(".yaml").removeprefix(stage_of(recipe) + "_") in written["output_dir"]


@pytest.mark.parametrize("recipe", ["stage1_qwen2_5_vl_7b.yaml", "stage2_dpo_qwen3_vl_2b.yaml"])
def test_one_option_is_enough_to_change_when_a_recipe_saves_and_validates(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(*more: str) -> tuple[Any, ...]:
        config = read(recipe, *CPU, *more)[1]
        said = capsys.readouterr().err
        assert ("not what the recipe says" in said) == ("load_best_model_at_end" not in " ".join(more))
        return (config.save_strategy, config.eval_strategy, config.eval_steps, config.load_best_model_at_end)

    assert found("--save_strategy", "no") == ("no", "steps", 200, False)
    assert found("--save-steps=10") == ("steps", "steps", 10, True)
    assert found("--eval_steps", "10") == ("steps", "steps", 10, True)
    assert found("--save_strategy", "epoch")[:2] == ("epoch", "epoch")
    assert found("--eval_strategy", "no")[1:] == ("no", 200, False)
    # What the command line says itself does not give way.
    assert found("--save_steps", "10", "--load_best_model_at_end", "false") == ("steps", "steps", 200, False)
    with pytest.raises(TrainingError, match="load_best_model_at_end"):
        read(recipe, *CPU, "--save_strategy", "no", "--load_best_model_at_end", "true")


def stage_of(recipe: str) -> str:
    return recipe.split("_qwen", maxsplit=1)[0]


@pytest.mark.parametrize("file", sorted((ROOT / "accelerate_configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_launch_configuration_is_read_by_accelerate(file: Path) -> None:
    config = ClusterConfig.from_yaml_file(str(file))
    assert config.num_processes % config.num_machines == 0
    # Number types are the recipe's.
    assert config.mixed_precision is None


def test_the_launch_configurations_are_those_of_the_list() -> None:
    names = {file.stem for file in (ROOT / "accelerate_configs").glob("*.yaml")}
    assert names == {"cpu", "single_gpu", "ddp", "zero2", "zero3", "zero3_offload", "multi_node"}


def test_deepspeed_is_not_left_out_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(TrainingError, match="set use_cpu: false"):
        read("stage1_nano.yaml")


def test_a_lock_that_deepspeed_would_wait_for_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "py311_cpu" / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    read("stage1_nano.yaml")
    assert "lock" not in capsys.readouterr().err  # without DeepSpeed nobody waits
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    for rank, named in (("0", 1), ("1", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(TrainingError):
            read("stage1_nano.yaml")
        assert capsys.readouterr().err.count(str(lock)) == named


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--report_to", "wandb"], r"wandb is not installed; run: pip install 'redaes\[wandb\]'"),
        (["--report_to", "tensorboard"], r"pip install 'redaes\[tensorboard\]'"),
        (["--report_to", "trackio"], r"pip install 'redaes\[trackio\]'"),
        (["--use_liger_kernel", "true"], r"liger-kernel is not installed; run: pip install 'redaes\[liger\]'"),
    ],
)
def test_what_is_not_installed_is_said_before_the_model_loads(
    more: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=line):
        read("stage1_nano.yaml", *more)


@pytest.mark.parametrize("more", [[], ["--hub_model_id", "no name"]])
def test_an_upload_needs_a_name(more: list[str]) -> None:
    with pytest.raises(InputError, match="give owner/name"):
        read("stage1_nano.yaml", "--push_to_hub", "true", *more)


def test_an_upload_is_not_left_to_the_trainer(red_folder: Path, tmp_path: Path) -> None:
    upload = ["--push-to-hub", "true", "--hub_model_id", "me/model"]
    stage, config = read("stage2_nano.yaml", *upload, "--data", str(red_folder), "--output_dir", str(tmp_path / "run"))
    run = claim("stage2_align", stage, config)
    assert (run.repository, config.push_to_hub, "push_to_hub" in run.settings) == ("me/model", False, True)


def test_stage_3_of_the_embedded_model_has_room_for_what_the_data_say(red_folder: Path) -> None:
    """A true reasoning that the limit cuts off cannot be read, and would earn nothing."""
    from transformers import AutoTokenizer

    from redaes.answers import render_verdict, stated
    from redaes.demo.steps import DemoScale
    from redaes.models import nano
    from redaes.records import read_records

    tokenizer = AutoTokenizer.from_pretrained(str(nano.weights(nano.BASE)))
    lengths = [
        len(tokenizer(render_verdict(stated(record.pair.delta, record.rationale)))["input_ids"])
        for record in read_records(red_folder, "train")
        if record.rationale is not None and record.pair.delta is not None
    ]
    limit = yaml.safe_load((CONFIGS / "stage3_nano.yaml").read_text())["max_completion_length"]
    assert DemoScale().max_completion_length == limit
    assert 112 < max(lengths) < limit


@pytest.mark.parametrize("recipe", sorted(path.name for path in CONFIGS.glob("stage3_*.yaml")))
def test_no_recipe_adds_losses_of_the_fast_verdict_and_each_can(recipe: str) -> None:
    _, config = read(recipe, *CPU)
    assert (config.fast_antisymmetry_weight, config.fast_preference_weight) == (0, 0)
    _, config = read(recipe, *CPU, "--fast_antisymmetry_weight", "2", "--fast_preference_weight", "0.5")
    assert (config.fast_antisymmetry_weight, config.fast_preference_weight) == (2, 0.5)
