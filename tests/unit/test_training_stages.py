"""What ``redaes train`` makes of a command line: the stage, its recipe, and the processes that it starts."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from redaes import recipe_files
from redaes.early_checks import apart, settings
from redaes.errors import InputError
from redaes.models import nano
from redaes.training.dry_run.plan import is_dry
from redaes.training.launching import LaunchArguments, launcher_words, read_launch
from redaes.training.stages import STAGES, stage_of

RECIPES = Path(__file__).parents[2] / "stages" / "configs"
ACCELERATE = Path(__file__).parents[2] / "accelerate_configs"
STAGE_2 = str(RECIPES / "stage2_nano.yaml")
DPO = str(RECIPES / "stage2_dpo_nano.yaml")


def besides_the_recipe(argv: list[str]) -> list[str]:
    words = apart(argv)
    if "--config" in words:
        position = words.index("--config")
        del words[position : position + 2]
    return words


def test_every_recipe_is_one_stage_s() -> None:
    taken = [name for stage in STAGES.values() for name in stage.recipe_names]
    assert sorted(taken) == list(recipe_files.names("stages"))
    assert all(stage.recipe.stem in stage.recipe_names for stage in STAGES.values())


@pytest.mark.parametrize(
    ("name", "argv", "stage", "recipe"),
    [
        ("sft", [], "sft", "stage1_nano"),
        ("sft", ["--config", "qwen3_vl_8b"], "sft", "stage1_qwen3_vl_8b"),
        ("grpo", ["--config=stage3_qwen3_vl_8b", "--seed", "1"], "grpo", "stage3_qwen3_vl_8b"),
        ("fgaesq", ["--config", "vit_b_16"], "fgaesq", "fgaesq_vit_b_16"),
        ("nano-vision", [], "nano-vision", "warmup_vision_nano"),
        ("align", [], "align", "stage2_nano"),
        ("align", ["--objective", "dpo"], "dpo", "stage2_dpo_nano"),
        ("align", ["--objective=dpo", "--config", "qwen3_5_2b"], "dpo", "stage2_dpo_qwen3_5_2b"),
        ("align", ["--config", "dpo_qwen3_5_2b"], "dpo", "stage2_dpo_qwen3_5_2b"),
        ("align", ["--config", DPO], "dpo", "stage2_dpo_nano"),
        ("align", ["--config", STAGE_2], "align", "stage2_nano"),
        ("align", ["--config", STAGE_2, "--objective", "dpo"], "dpo", "stage2_nano"),
        ("dpo", ["--config", "qwen3_5_2b"], "dpo", "stage2_dpo_qwen3_5_2b"),
        ("dpo", ["--config", STAGE_2], "dpo", "stage2_nano"),
    ],
)
def test_stage_and_recipe_follow_from_the_command_line(name: str, argv: list[str], stage: str, recipe: str) -> None:
    found, words = stage_of(name, argv)
    assert found.name == stage
    assert words[words.index("--config") + 1] == str(RECIPES / f"{recipe}.yaml")
    assert besides_the_recipe(words) == besides_the_recipe(argv)


def test_an_unknown_objective_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="objective is 'ppo', which is unknown; give one of relative, dpo"):
        stage_of("align", ["--objective", "ppo"])
    relative = tmp_path / "relative.yaml"
    relative.write_text("objective: relative\n")
    for argv in (["--objective", "relative"], ["--config", str(relative)]):
        with pytest.raises(InputError, match="objective is 'relative', which is unknown; give one of dpo"):
            stage_of("dpo", argv)


def test_a_stage_takes_its_own_recipes_only() -> None:
    with pytest.raises(InputError, match=r"'stage3_nano' is unknown; .* nano, qwen2_5_vl_3b"):
        stage_of("sft", ["--config", "stage3_nano"])
    with pytest.raises(InputError, match="--config has no value"):
        stage_of("sft", ["--config"])


def test_options_of_a_launch_are_taken_out() -> None:
    argv = ["--data", "d", "--num_processes", "8", "--rewards", "a", "b", "--accelerate-config=zero3", "--seed", "-1"]
    launched, rest = read_launch(argv)
    assert launched == LaunchArguments(num_processes=8, accelerate_config="zero3")
    assert rest == ["--data", "d", "--rewards", "a", "b", "--seed", "-1"]
    assert launched.asked
    assert launched.as_plan() == ["--plan_for", "zero3", "--plan_processes", "8"]
    launched, rest = read_launch(["--num_proc", "2"])  # the beginning of an option is the trainer's to complete
    assert not launched.asked
    assert rest == ["--num_proc", "2"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--num_processes", "0"], "num_processes is 0; give a positive number"),
        (["--num_processes", "two"], "unusable value"),
        (["--accelerate_config"], "unusable value"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_launch(argv)


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "ACCELERATE_MIXED_PRECISION"])
def test_a_launch_within_a_launch_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "0")
    assert read_launch(["--seed", "1"])[1] == ["--seed", "1"]
    with pytest.raises(InputError, match="was itself started by a launcher"):
        read_launch(["--num_processes", "2"])


def test_what_the_launcher_is_told() -> None:
    def words(on_cpu: bool = False, **given: int | str) -> str:
        return " ".join(launcher_words(LaunchArguments(**given), on_cpu=on_cpu)).replace(f"{ACCELERATE}/", "")

    assert words(num_processes=2) == "--config_file ddp.yaml --num_processes 2 --main_process_port 0"
    assert words(num_processes=2, on_cpu=True) == words(num_processes=2)
    assert words(num_processes=1).startswith("--config_file single_gpu.yaml")
    assert words(num_processes=1, on_cpu=True).startswith("--config_file cpu.yaml")
    assert words(accelerate_config="zero2") == "--config_file zero2.yaml --main_process_port 0"
    assert words(accelerate_config="zero2", main_process_port=5) == "--config_file zero2.yaml --main_process_port 5"
    # Machines agree on a port: the file's, or accelerate's.
    several = words(accelerate_config="multi_node", machine_rank=1, main_process_ip="10.0.0.1")
    assert several == "--config_file multi_node.yaml --machine_rank 1 --main_process_ip 10.0.0.1"
    assert "port" not in words(num_processes=16, num_machines=2)
    for name in ("cpu", "single_gpu"):
        with pytest.raises(InputError, match=rf"{name}\.yaml starts one process, but 2 were asked for"):
            words(accelerate_config=name, num_processes=2)


@pytest.mark.parametrize(
    ("argv", "dry"),
    [([], False), (["--dry_run"], True), (["--dry-run", "--seed", "1"], True), (["--dry_run", "false"], False)],
)
def test_a_dry_run_is_seen(argv: list[str], dry: bool) -> None:
    assert is_dry(argv) is dry


@pytest.mark.parametrize(
    ("name", "argv", "model", "adapter", "expected"),
    [
        ("sft", [], nano.BASE, True, [
            "redaes compare a.jpg b.jpg --adapter 'my runs/stage1/final'",
            "redaes train align --data pairs --adapter 'my runs/stage1/final' --output_dir 'my runs/stage2'",
        ]),
        ("sft", ["--config", "qwen3_vl_2b"], "Qwen/Qwen3-VL-2B-Instruct", False, [
            "redaes compare a.jpg b.jpg --model 'my runs/stage1/final'",
            "redaes train align --config qwen3_vl_2b --data pairs --model 'my runs/stage1/final' "
            "--output_dir 'my runs/stage2'",
        ]),
        ("dpo", ["--config", "qwen3_5_2b", "--model", "mine"], "mine", True, [
            "redaes compare a.jpg b.jpg --adapter 'my runs/stage1/final'",
            "redaes train grpo --config qwen3_5_2b --data pairs --model mine --adapter 'my runs/stage1/final' "
            "--output_dir 'my runs/stage3'",
        ]),
        ("grpo", [], nano.BASE, True, ["redaes compare a.jpg b.jpg --adapter 'my runs/stage1/final'"]),
        ("nano-reading", [], nano.BASE, False, [
            "redaes train sft --data pairs --model 'my runs/stage1/final' --output_dir 'my runs/stage1'",
        ]),
    ],
)  # fmt: skip
def test_a_stage_names_the_commands_that_follow(
    name: str,
    argv: list[str],
    model: str,
    adapter: bool,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = Path("my runs/stage1/final")
    result.mkdir(parents=True)
    if adapter:
        (result / "adapter_config.json").write_text("{}")
    stage, words = stage_of(name, argv)
    said = stage.after(words, "pairs", model, result)
    assert said == expected
    for command in said:
        _, what, *rest = shlex.split(command)
        if what == "train":
            following, found = stage_of(rest[0], rest[1:])
            known = settings(found, following.recipe, (following.arguments, following.config))
            assert known["data"] == "pairs"
            assert known["model"] == (model if adapter else str(result))
