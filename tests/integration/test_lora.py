"""Where a LoRA goes, what is said of it, whose settings and base an adapter keeps; on every family's true class."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, build
from own_pairs import write_own_pairs
from safetensors.torch import load_file, save_file
from train_runs import configured, train

from redaes.backends.loading import load_adapter, load_network
from redaes.backends.local import LocalBackend
from redaes.errors import BackendError, TrainingError
from redaes.training.lora import find_targets
from redaes.training.lora_reach import describe, lora_reach
from redaes.training.merging import merge
from redaes.training.result_checks import check_result
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import load_model

MOE = ("qwen3_vl_moe", "qwen3_5_moe")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model of each family."""
    folder = tmp_path_factory.mktemp("families")
    for family in FAMILIES:
        build(family, folder / family)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_pairs(tmp_path_factory.mktemp("own") / "pairs", 2)


def reach(models: Path, family: str, targets: str | None, **more: Any) -> dict[str, Any]:
    return lora_reach(
        load_model(StageArguments(model=str(models / family), lora_targets=targets, lora_r=4, **more), torch.float32)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_language_model_is_reached_and_what_is_not_is_named(models: Path, family: str) -> None:
    found = reach(models, family, None)
    assert found["share_of_vision_tower"] == 0
    assert found["vllm"] == []
    left_out = {"linear_attn.conv1d"} if family.startswith("qwen3_5") else set()
    if family not in MOE:
        assert found["share_of_language_model"] == 1
    else:
        assert 0.3 < found["share_of_language_model"] < 0.6
        left_out |= {"experts.down_proj", "experts.gate_up_proj", "mlp.gate"}
    assert set(found["left_out"]) == left_out
    assert f"{found['share_of_language_model']:.1%}" in describe(found)
    assert all(name in describe(found) for name in left_out)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("targets", ["language", "language+merger", "all"])
def test_an_adapter_is_reloaded_and_merged_as_it_was(models: Path, tmp_path: Path, family: str, targets: str) -> None:
    model = load_model(StageArguments(model=str(models / family), lora_targets=targets, lora_r=4), torch.float32)
    found = lora_reach(model)
    if targets == "all":
        assert found["share_of_language_model"] == found["share_of_vision_tower"] == 1
        assert bool(found["target_parameters"]) is (family in MOE)
    elif targets == "language+merger":
        towers = [n for n, _ in model.named_parameters() if "lora_A" in n and ".visual." in n]
        assert towers
        assert all("merger" in name for name in towers)
        assert ("deepstack" in "".join(towers)) is (family in ("qwen3_vl", "qwen3_vl_moe"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    ids = torch.randint(5, 500, (2, 7), generator=generator)

    @torch.no_grad()
    def logits(network: Any) -> torch.Tensor:
        return network.eval()(input_ids=ids).logits

    wanted = logits(model)
    model.save_pretrained(tmp_path / "adapter")
    loaded = load_adapter(load_network(models / family, torch.float32), tmp_path / "adapter")
    assert torch.equal(logits(loaded), wanted)
    loaded.merge_and_unload(safe_merge=True).save_pretrained(tmp_path / "merged")
    merged = load_network(tmp_path / "merged", torch.float32)
    torch.testing.assert_close(logits(merged), wanted, atol=1e-3, rtol=1e-3)
    assert (wanted - logits(load_network(models / family, torch.float32))).abs().max() > 0.1


@pytest.mark.parametrize(
    ("family", "targets", "words"),
    [
        ("qwen3_vl", "langauge", r"matches no linear layer .* such as model\.\S+, .*or use a preset: language"),
        ("qwen3_vl", r".*language_model.*", "also matches model.language_model, which is not a linear layer"),
        ("qwen3_vl", "language+experts", "this model has no experts"),
        ("qwen3_vl", r".*(q_proj", "is not a regular expression"),
    ],
)
def test_targets_that_mean_nothing(models: Path, family: str, targets: str, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        reach(models, family, targets)


def test_targets_of_ones_own(models: Path) -> None:
    network = load_network(models / "qwen3_5", torch.float32)
    found = find_targets(network, r".*\.linear_attn\.in_proj_\w+")
    assert len(found.modules) == 12
    assert not found.parameters
    experts = find_targets(load_network(models / "qwen3_5_moe", torch.float32), r".*layers\.1\..*experts\.down_proj")
    assert experts.parameters == {"model.language_model.layers.1.mlp.experts.down_proj"}
    only = reach(models, "qwen3_5_moe", r".*layers\.1\..*experts\.down_proj")
    assert only["target_modules"] == []
    assert only["target_parameters"] == ["model.language_model.layers.1.mlp.experts.down_proj"]


def test_experts_and_dropout_do_not_go_together(models: Path) -> None:
    with pytest.raises(TrainingError, match=r"lora_dropout is 0\.05, set it to 0"):
        reach(models, "qwen3_5_moe", "all", lora_dropout=0.05)


def options(model: Path, data: Path, out: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--max_steps", "2", "--bf16",
            "false", "--save_strategy", "no", "--logging_steps", "1", "--warmup_steps", "0", "--disable_tqdm", "true",
            "--max_pixels", "9216", "--per_device_train_batch_size", "3", *more]  # fmt: skip


SMALL = ("--lora_r", "4", "--lora_alpha", "8")


@pytest.fixture(scope="module")
def first(models: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 1 on Qwen3.5, with a rank and a dropout of its own."""
    out = tmp_path_factory.mktemp("first") / "run"
    return train("stage1", options(models / "qwen3_5", pairs, out, *SMALL, "--lora_dropout", "0.1"))


def record_of(final: Path) -> dict[str, Any]:
    return json.loads((final / "run_record.json").read_text())


def test_record_and_card_say_what_is_reached(first: Path) -> None:
    found = record_of(first)["lora"]
    assert (found["r"], found["alpha"], found["dropout"], found["share_of_language_model"]) == (4, 8, 0.1, 1.0)
    card = (first / "README.md").read_text()
    assert "reaches 100.0% of the language model's linear weights and 0.0% of the vision tower's" in card


# The recipes of the embedded model set a rank themselves; this one is silent.
SILENT = "output_dir: unused\nlearning_rate: 1.0e-3\nuse_cpu: true\nreport_to: none\ngradient_checkpointing: true\n"


@pytest.fixture
def silent(tmp_path: Path) -> list[str]:
    (tmp_path / "silent.yaml").write_text(SILENT)
    return ["--config", str(tmp_path / "silent.yaml")]


def test_an_adapter_keeps_its_own_settings(
    first: Path, models: Path, pairs: Path, tmp_path: Path, silent: list[str]
) -> None:
    argv = options(models / "qwen3_5", pairs, tmp_path / "run", *silent, "--adapter", str(first))
    final = train("stage2", argv)
    record, card = record_of(final), (final / "README.md").read_text()
    assert [record["arguments"][f"lora_{name}"] for name in ("r", "alpha", "dropout")] == [4, 8, 0.1]
    assert (record["lora"]["r"], json.loads((final / "adapter_config.json").read_text())["r"]) == (4, 4)
    assert "| lora_r | 4 |" in card
    for name, value in (("lora_r", "64"), ("lora_alpha", "16"), ("lora_dropout", "0.05")):
        with pytest.raises(TrainingError, match=rf"{name} is .*{value}, and adapter .* was made with .*give --{name} "):
            configured("stage2", [*argv, f"--{name}", value])
    configured("stage2", [*argv, *SMALL, "--lora_dropout", "0.1"])  # what it has may be said
    arguments, _ = configured("stage2", [*argv, "--lora_targets", "language+merger"])
    with pytest.raises(TrainingError, match=r"has no weights for model\.visual\.merger"):
        load_model(arguments, torch.float32)


def test_another_base_of_the_same_shape_is_refused(first: Path, models: Path, pairs: Path, tmp_path: Path) -> None:
    other, moved = tmp_path / "other", tmp_path / "moved"
    for copy in (other, moved):
        shutil.copytree(models / "qwen3_5", copy)
    weights = load_file(other / "model.safetensors")
    weights["lm_head.weight"] = weights["lm_head.weight"] * 1.01
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    words = "are not the same weights"
    with pytest.raises(BackendError, match=words):
        LocalBackend(other, adapter=first)
    with pytest.raises(BackendError, match=words):
        merge(first, tmp_path / "merged", model=str(other))
    with pytest.raises(BackendError, match=words):
        load_model(StageArguments(model=str(other), adapter=str(first)), torch.float32)
    LocalBackend(moved, adapter=first)  # the same weights under another name

    # Where the weights of a folder were replaced.
    copied = tmp_path / "final"
    shutil.copytree(first, copied)
    record = record_of(copied)
    record["arguments"]["model"] = str(other)
    (copied / "run_record.json").write_text(json.dumps(record))
    with pytest.raises(BackendError, match=words):
        check_result(copied, pairs, n_pairs=0)

    # Without a record, as other people's adapters are, names of the hub alone can be compared.
    (copied / "run_record.json").unlink()
    LocalBackend(other, adapter=copied)
    settings = json.loads((copied / "adapter_config.json").read_text())
    (copied / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": "owner/model"}))
    LocalBackend(other, adapter=copied)
    from redaes.backends.adapters import check_base

    with pytest.warns(UserWarning, match="names owner/model as its base and is put on owner/other"):
        check_base(copied, "owner/other", other)


def test_a_run_does_not_go_on_from_another_base(models: Path, pairs: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(models / "qwen3_vl", model)
    argv = options(model, pairs, tmp_path / "run", *SMALL, "--save_strategy", "steps", "--save_steps", "1")
    final = train("stage1", argv)
    shutil.rmtree(final)
    shutil.rmtree(final.with_name("checkpoint-2"))
    weights = load_file(model / "model.safetensors")
    weights["lm_head.weight"] = weights["lm_head.weight"] * 1.01
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=r"holds a run that began with .* at revision"):
        train("stage1", argv)
    # A checkpoint has no record of its own; the run that it belongs to has one.
    with pytest.raises(BackendError, match="are not the same weights"):
        LocalBackend(model, adapter=final.with_name("checkpoint-1"))
    LocalBackend(models / "qwen3_vl", adapter=final.with_name("checkpoint-1"))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl_moe"])
def test_stage3_with_a_reference_takes_every_target(models: Path, pairs: Path, tmp_path: Path, family: str) -> None:
    """The reference is a second adapter on the same weights, tower and experts among them."""
    argv = options(models / family, pairs, tmp_path / "run", *SMALL, "--lora_targets", "all", "--max_steps", "1")
    final = train(
        "stage3",
        [*argv, "--beta", "0.05", "--per_device_train_batch_size", "12", "--steps_per_generation", "1",
         "--num_generations", "2", "--max_completion_length", "4", "--gradient_checkpointing", "true",
         "--completion_page_steps", "0"],
    )  # fmt: skip
    assert record_of(final)["lora"]["share_of_vision_tower"] == 1
    assert [file.name for file in final.rglob("*.safetensors")] == ["adapter_model.safetensors"]
    assert all(check.passed for check in check_result(final, pairs, n_pairs=0))


@pytest.mark.parametrize(
    ("family", "stage"),
    [("qwen2_5_vl", "stage1"), ("qwen2_5_vl", "stage2"), ("qwen3_vl_moe", "stage1"), ("qwen3_5_moe", "stage2")],
)
def test_everything_moves_under_gradient_checkpointing(
    models: Path, pairs: Path, tmp_path: Path, family: str, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Vision tower, merger and experts, from the first layer on; and vLLM's limits are named at the start."""
    argv = options(models / family, pairs, tmp_path / "run", *SMALL, "--lora_targets", "all")
    final = train(stage, [*argv, "--gradient_checkpointing", "true", "--learning_rate", "1e-3"])
    moved = {n: bool(v.abs().max() > 0) for n, v in load_file(final / "adapter_model.safetensors").items()
             if "lora_B" in n}  # fmt: skip
    assert all(moved.values()), [name for name, value in moved.items() if not value]
    assert any(".visual.blocks.0." in name for name in moved)
    said = capsys.readouterr().err
    assert "vLLM would not serve this adapter as it is trained: it also changes the vision tower" in said
    assert ("fused expert weights" in said) is (family in MOE)
    merged = merge(final, tmp_path / "merged", in_float32=True)
    checks = check_result(final, pairs, n_pairs=0, merged=merged)
    assert all(check.passed for check in checks), checks
