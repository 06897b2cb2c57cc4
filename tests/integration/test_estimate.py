"""What a dry run says is what a run takes: memory against the allocator's own count, steps against the trainer's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch.profiler import ProfilerActivity, profile

from redaes.cli.train.stages import run_stage
from redaes.errors import InputError, TrainingError
from redaes.training.dry_run.plan import DryRunArguments, DryRunPlan, read_dry_run
from redaes.training.dry_run.sharding import HeldMemory, Weight, held
from redaes.training.stages import STAGES

ROOT = Path(__file__).parents[2]
SMALL = ["--max_steps", "2", "--bf16", "false", "--save_steps", "2", "--logging_steps", "1", "--disable_tqdm", "true"]
GROUPS = [
    "--per_device_train_batch_size", "12", "--steps_per_generation", "1", "--num_generations", "2",
    "--max_completion_length", "16", "--fast_antisymmetry_weight", "0", "--fast_preference_weight", "0",
]  # fmt: skip
HELD = ["--fast_antisymmetry_weight", "1"]
BATCH = ["--per_device_train_batch_size", "4"]
CHECKPOINTED = ["--gradient_checkpointing", "true"]
FULL = ["--full_training", "true"]
CASES = {
    "stage1": ("sft", BATCH),
    "stage1-checkpointed": ("sft", [*BATCH, *CHECKPOINTED]),
    "stage1-full": ("sft", [*BATCH, *FULL]),
    "stage1-full-checkpointed-accumulated": (
        "sft", [*BATCH, *FULL, *CHECKPOINTED, "--gradient_accumulation_steps", "2"],
    ),
    "stage2": ("align", BATCH),
    "stage2-full-checkpointed": ("align", [*BATCH, *FULL, *CHECKPOINTED]),
    "dpo": ("dpo", [*BATCH]),
    "dpo-checkpointed": ("dpo", [*BATCH, *CHECKPOINTED]),
    "stage3": ("grpo", GROUPS),
    "stage3-held": ("grpo", [*GROUPS, *HELD]),
    "stage3-reference-checkpointed": ("grpo", [*GROUPS, *CHECKPOINTED, "--beta", "0.01"]),
}  # fmt: skip

REST = ("stage1-checkpointed", "stage1-full", "dpo-checkpointed", "stage3", "stage3-held")
"""Cases whose parts others have too."""
SLOW = pytest.mark.slow


def estimated(name: str, argv: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    run_stage(name, [*argv, "--dry_run", "--plan_json"])
    text = capsys.readouterr().out
    return json.loads(text[text.index("{") :])


def measured(name: str, argv: list[str]) -> int:
    """The most bytes that torch's CPU allocator had handed out in a run of two steps, model and all."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run_stage(name, argv)
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("case", [pytest.param(case, marks=SLOW if case in REST else ()) for case in CASES])
def test_the_peak_is_the_one_measured(
    case: str, tiny_model: Path, red_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, more = CASES[case]
    out = tmp_path / "run"
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(out), *SMALL, *more]
    # The batches of the two steps that are taken: packed rows of others may be longer.
    found = estimated(name, [*argv, "--plan_batches", "2"], capsys)
    assert not out.exists()
    real = measured(name, argv)
    # Of stage 2's packed rows a dry run reckons with a fifth to a quarter more than a tiny model takes.
    assert found["peak"] == pytest.approx(real, rel=0.3 if name == "align" else 0.2)
    state = json.loads((out / "final" / "trainer_state.json").read_text())
    assert found["steps"] == state["global_step"]
    assert found["epochs"] == pytest.approx(state["epoch"], rel=0.05)


def test_tokens_of_stage_3_are_those_that_are_read(
    tiny_model: Path, red_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"), *SMALL]
    shared, apart = (
        estimated("grpo", [*argv, *GROUPS, "--share_prompts", share], capsys) for share in ("true", "false")
    )
    # Twelve answers of 16 tokens, to six prompts of which each is read once without its last token.
    n_prompt = apart["lengths"]["tokens"] / 12 - 16
    most = 6 * (n_prompt - 1) + 12 * 16
    assert 0.98 * most <= shared["lengths"]["tokens"] <= most  # shorter prompts are not padded
    for pictures in ("picture_tokens", "patches"):
        assert shared["lengths"][pictures] == apart["lengths"][pictures] / 2 > 0


def test_tokens_of_held_verdicts_are_counted_where_they_are_read(
    tiny_model: Path, red_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"), *SMALL]
    for share in ("true", "false"):
        whole = [*argv, *GROUPS, "--share_prompts", share]
        in_four = [*whole, "--per_device_train_batch_size", "4", "--steps_per_generation", "3", "--rewards", "format",
                   "--reward_weights", "1", "--gradient_accumulation_steps", "3", "--save_steps", "2"]  # fmt: skip
        found = {}
        for name, way in (("one", whole), ("three", in_four)):
            off, on = (estimated("grpo", [*way, *more], capsys) for more in ([], HELD))
            assert on["peak"] >= off["peak"]
            assert on["lengths"]["patches"] == off["lengths"]["patches"]  # the tower is frozen, and has seen them
            found[name] = on["tokens_per_step"] - off["tokens_per_step"]
        # Three pairs in both orders, whichever way the step is cut.
        assert found["three"] == pytest.approx(found["one"], rel=0.3)
        assert found["one"] > 6 * 50


def test_answers_are_sampled_in_trls_own_loop_where_weights_are_shared_out(
    tiny_model: Path, red_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"), *SMALL]
    shared_out, apart, shared = (
        estimated("grpo", [*argv, *GROUPS, "--share_prompts", share, "--plan_for", sharding], capsys)["generation"]
        for share, sharding in (("true", "zero3"), ("false", "zero3"), ("true", "zero2"))
    )
    assert shared_out == apart != shared


@pytest.fixture(scope="module")
def nano(red_folder: Path) -> list[str]:
    return ["--data", str(red_folder)]


def test_a_dry_run_for_many_gpus_says_what_each_holds(
    nano: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    argv = [*nano, "--output_dir", str(tmp_path / "run"), "--use_cpu", "false", "--bf16", "true", "--plan_batches", "1"]
    one = estimated("sft", [*argv, "--assume_tokens_per_s", "1000"], capsys)
    assert one["plan"] == {
        "processes": 1, "sharding": "single", "offload_optimizer": False, "offload_weights": False, "device": "gpu",
        "bf16": True,
    }  # fmt: skip
    frozen, trained = one["parameters"] - one["trainable"], one["trainable"]
    assert one["held"]["weights"] == 2 * frozen + 4 * trained  # peft keeps the LoRA in float32
    assert one["held"]["optimizer"] == 8 * trained
    assert one["hours"] == pytest.approx(one["tokens_per_step"] * one["steps"] / 1000 / 3600)
    # Eight times the samples in a step, an eighth of the steps in an epoch.
    eight = estimated("sft", [*argv, "--accelerate_config", "zero3"], capsys)
    assert (eight["plan"]["processes"], eight["plan"]["sharding"]) == (8, "zero3")
    assert eight["samples_per_step"] == 8 * one["samples_per_step"]
    assert eight["steps_per_epoch"] == -(-one["steps_per_epoch"] // 8)
    assert eight["hours"] is None
    assert eight["held"]["optimizer"] == -(-trained // 8) * 12
    assert not (tmp_path / "run").exists()


def test_a_dry_run_is_read_by_people(nano: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    capsys.readouterr()
    run_stage("align", [*nano, "--output_dir", str(tmp_path / "run"), "--dry-run", "--plan-batches=1"])
    text = capsys.readouterr().out
    for told in ("dry run of stage2_align", "activations", "peak", "tokens", "an epoch", "give --assume_tokens_per_s"):
        assert told in text
    assert "stage 2 finished" not in text
    assert list(tmp_path.iterdir()) == []


def test_zero_shares_out_what_its_documentation_says() -> None:
    weights = [Weight(8_000_000, 2, True), Weight(800, 2, True)]
    n = 8_000_800

    def share(sharding: str, **more: Any) -> HeldMemory:
        plan = DryRunPlan(
            DryRunArguments(dry_run=True), on_gpu=True, bf16=True, n_processes=8, sharding=sharding, **more
        )
        return held(weights, plan, "adamw_torch_fused")

    # bfloat16 weights and gradients of 2 bytes; float32 weights and two moments of 12 bytes, shared by 8.
    assert share("zero1") == HeldMemory(2 * n, 0, 2 * n, 2 * n, 12 * n // 8, 0)
    assert share("zero2") == HeldMemory(2 * n, 0, 2 * n // 8, 2 * n, 12 * n // 8, 0)
    assert share("zero2", offload_optimizer=True) == HeldMemory(2 * n, 0, 2 * n // 8, 2 * n, 0, 12 * n // 8)
    # The small weight stays everywhere, the layers at work are gathered.
    assert share("zero3") == HeldMemory(2 * n // 8 + 1600, 2 * n, 2 * n // 8, 2 * n, 12 * n // 8, 0)
    moved = share("zero3", offload_optimizer=True, offload_weights=True)
    assert moved == HeldMemory(1600, 2 * n, 2 * n // 8, 2 * n, 0, 14 * n // 8)
    # DDP: whole, and the gradients once more as buckets; Adam's moments in the weights' number type.
    assert share("ddp") == HeldMemory(2 * n, 0, 2 * n, 2 * n, 4 * n, 0)


def test_a_dry_run_refuses_what_it_cannot_reckon(tmp_path: Path) -> None:
    recipe = ROOT / "stages" / "configs" / "stage1_nano.yaml"
    with pytest.raises(TrainingError, match="works only in a dry run"):
        read_dry_run(["--plan_for", "x.yaml"], recipe)
    with pytest.raises(TrainingError, match="give a positive number"):
        read_dry_run(["--dry_run", "--assume_tokens_per_s", "0"], recipe)
    with pytest.raises(InputError, match=r"x\.yaml"):
        read_dry_run(["--dry_run", "true", "--plan_for", "x.yaml"], recipe)
    with pytest.raises(InputError, match="give --data"):
        STAGES["sft"].parse(["--dry_run"])
    assert read_dry_run(["--dry_run", "false", "--lora_r", "4"], recipe) == (None, ["--lora_r", "4"])
