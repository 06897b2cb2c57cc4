"""The three stages with real TRL trainers on a tiny model: they train LoRA and nothing else, save, resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from redaes import progress_lines
from redaes.errors import InputError, RecordError, TrainingError
from redaes.records import data_hash, load_pairs
from redaes.training.alignment import AlignmentCollator, AlignmentConfig, run_align
from redaes.training.dpo import PairDPOConfig, run_dpo
from redaes.training.grpo import RankingGRPOConfig, run_grpo
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.recipes import parse
from redaes.training.sft import PairSFTConfig, run_sft
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.training.stage_run import SaysProgress
from redaes.training.vision_cache import BatchVisionCache, vision_tower
from redaes.types import winner_of

Trained = tuple[str, Path]
RECIPES = Path(__file__).parents[2] / "stages" / "configs"
ALIGNMENT = AlignmentConfig(output_dir="unused", use_cpu=True, bf16=False)
STAGES: dict[str, tuple[type, Callable[[StageArguments, Any], Path], list[str]]] = {
    "stage1": (PairSFTConfig, run_sft, ["--per_device_train_batch_size", "4"]),
    "stage2": (AlignmentConfig, run_align, ["--per_device_train_batch_size", "2"]),
    "stage2_dpo": (PairDPOConfig, run_dpo, ["--per_device_train_batch_size", "4"]),
    "stage3": (
        RankingGRPOConfig,
        run_grpo,
        [
            "--per_device_train_batch_size",
            "12",
            "--steps_per_generation",
            "1",
            "--num_generations",
            "2",
            "--max_completion_length",
            "8",
        ],
    ),
}


def arguments(stage: str, model: Path, data: Path, out: Path, *more: str) -> tuple[StageArguments, Any]:
    config_class, _, small = STAGES[stage]
    return parse(
        config_class,
        RECIPES / f"{stage}_nano.yaml",
        ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--max_steps", "2", "--bf16", "false",
         "--save_steps", "1", "--logging_steps", "1", "--warmup_steps", "0", "--disable_tqdm", "true", *small, *more],
    )  # fmt: skip


def run(stage: str, model: Path, data: Path, out: Path, *more: str) -> Path:
    return STAGES[stage][1](*arguments(stage, model, data, out, *more))


@pytest.fixture(scope="module", params=list(STAGES))
def trained(
    request: pytest.FixtureRequest, tiny_model: Path, red_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Each stage, trained for two steps."""
    out = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, run(request.param, tiny_model, red_folder, out)


def test_a_run_leaves_adapter_prompts_and_record(trained: Trained, tiny_model: Path, red_folder: Path) -> None:
    stage, final = trained
    record = json.loads((final / "run_record.json").read_text())
    assert record["stage"].startswith(stage)
    assert record["data_hash"] == data_hash(red_folder)
    assert record["seed"] == 0
    assert {"torch", "trl", "peft", "transformers"} <= set(record["versions"])
    assert torch.isfinite(torch.tensor(record["metrics"]["train_loss"]))
    assert json.loads((final / "prompts.json").read_text())["compare/v1"].startswith("compare/v1@")
    assert json.loads((final / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_model)
    assert (final / "adapter_model.safetensors").is_file()


def moved(final: Path) -> set[bool]:
    """Which of {True, False} holds of the adapter's B matrices, which start at zero."""
    weights = load_file(final / "adapter_model.safetensors")
    assert all("language_model" in name and "visual" not in name for name in weights)
    return {bool(value.abs().max() > 0) for name, value in weights.items() if "lora_B" in name}


@pytest.mark.parametrize("trained", ["stage1", "stage2", "stage2_dpo"], indirect=True)
def test_lora_moves_and_is_on_the_language_model_only(trained: Trained) -> None:
    assert moved(trained[1]) == {True}


@pytest.mark.parametrize("trained", ["stage3"], indirect=True)
def test_random_answers_earn_nothing_and_move_nothing(trained: Trained) -> None:
    final = trained[1]
    assert moved(final) == {False}
    history = json.loads((final / "trainer_state.json").read_text())["log_history"]
    assert [entry["reward"] for entry in history if "reward" in entry] == [0.0, 0.0]


def test_stage3_moves_where_answers_earn_reward(red_folder: Path, tmp_path: Path) -> None:
    # The embedded model's answers parse, so its groups differ in reward and LoRA has something to learn.
    final = run("stage3", Path("redaes/nano"), red_folder, tmp_path / "run", "--max_completion_length", "112")
    history = json.loads((final / "trainer_state.json").read_text())["log_history"]
    assert any(entry["rewards/reward_format/mean"] > 0 for entry in history if "rewards/reward_format/mean" in entry)
    assert moved(final) == {True}


@pytest.mark.parametrize("trained", ["stage1", "stage2", "stage2_dpo"], indirect=True)
def test_gradient_checkpointing_changes_nothing(
    trained: Trained, tiny_model: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextMLP as Part

    again: list[bool] = []
    """For each call of a part of a layer: whether a backward pass is under way, so that it is computed again."""
    forward = Part.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        again.append(torch._C._current_graph_task_id() != -1)
        return forward(*args, **kwargs)

    monkeypatch.setattr(Part, "forward", watched)
    stage, plain = trained
    final = run(stage, tiny_model, red_folder, tmp_path / "run", "--gradient_checkpointing", "true")
    assert any(again)  # the option has its effect, under the name that this version of transformers gives it
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (plain, final))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-5, rtol=1e-3)


def test_base_weights_do_not_move(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    before = (tiny_model / "model.safetensors").read_bytes()
    stage, config = arguments("stage2", tiny_model, red_folder, tmp_path / "run")
    final = run_align(stage, config)
    merged = load_model(StageArguments(model=str(tiny_model), adapter=str(final)), torch.float32)
    base = load_file(tiny_model / "model.safetensors")
    held = {
        name.replace("base_model.model.", "").replace(".base_layer", ""): value
        for name, value in merged.named_parameters()
    }
    compared = [name for name in base if name in held]
    assert len(compared) > 50
    assert all(torch.equal(base[name], held[name]) for name in compared)
    assert (tiny_model / "model.safetensors").read_bytes() == before


def verdicts(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Logits at the verdict token, every picture looked at once."""
    with BatchVisionCache(vision_tower(model), batch["pictures"]) as cache:
        return cache.forward(model, batch["compare"]).logits[:, -1]


def test_saved_and_reloaded_adapter_gives_equal_logits(
    tiny_model: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redaes.records import read_records, row_of
    from redaes.training import sft

    kept: list[Any] = []
    real = sft.load_model
    monkeypatch.setattr(sft, "load_model", lambda *args: kept.append(real(*args)) or kept[-1])
    final = run("stage1", tiny_model, red_folder, tmp_path / "run", "--learning_rate", "1e-2")
    stage = StageArguments(model=str(tiny_model), adapter=str(final))
    batch = AlignmentCollator(base_processor(stage), ALIGNMENT)(
        [row_of(r) for r in list(read_records(red_folder, "train"))[:2]]
    )
    trained, reloaded = kept[0].eval(), load_model(stage, torch.float32).eval()
    plain = load_model(StageArguments(model=str(tiny_model)), torch.float32).eval()
    with torch.no_grad():
        want, got, base = (verdicts(model, batch) for model in (trained, reloaded, plain))
    assert torch.equal(want, got)
    assert (want - base).abs().max() > 1e-3


def test_full_training_moves_the_vision_tower(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    final = run("stage1", tiny_model, red_folder, tmp_path / "run", "--full_training", "true")
    before, after = load_file(tiny_model / "model.safetensors"), load_file(final / "model.safetensors")
    still = [name for name in before if torch.equal(before[name], after[name])]
    assert not [name for name in still if "visual" in name], still


def test_the_vision_warm_up_moves_the_vision_tower_alone(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    from redaes.training.warmup_vision import VisionConfig, run_vision

    stage, config = parse(
        VisionConfig,
        RECIPES / "warmup_vision_nano.yaml",
        ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"),
         "--max_steps", "2", "--warmup_steps", "0", "--bf16", "false", "--per_device_train_batch_size", "4",
         "--leave_out", "tilt", "watermark"],
    )  # fmt: skip
    final = run_vision(stage, config)
    before, after = load_file(tiny_model / "model.safetensors"), load_file(final / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("visual" in name for name in changed)
    metrics = json.loads((final / "run_record.json").read_text())["metrics"]
    assert 0 <= metrics["held_out_edit_accuracy"] <= 1
    assert metrics["held_out_pairs"] > 0


@pytest.mark.parametrize("units", [False, True])
def test_bfloat16_is_for_cpus_that_have_it(
    units: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import Trainer, TrainingArguments

    from redaes.training import cpu

    monkeypatch.setattr(cpu, "has_bfloat16_units", lambda: units)
    config = TrainingArguments(output_dir=str(tmp_path), bf16=True, use_cpu=True, report_to="none")
    cpu.without_imitated_bfloat16(config)
    assert config.bf16 is units
    assert ("no bfloat16 units" in capsys.readouterr().err) is not units
    trainer = Trainer(model=torch.nn.Linear(1, 1), args=config)
    assert trainer.accelerator.mixed_precision == ("bf16" if units else "no")


def test_the_reading_warm_up_trains_all_that_reads(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    from redaes.training.warmup_reading import ReadingConfig, run_reading

    stage, config = parse(
        ReadingConfig,
        RECIPES / "warmup_reading_nano.yaml",
        ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"),
         "--max_steps", "2", "--warmup_steps", "0", "--bf16", "false", "--per_device_train_batch_size", "2",
         "--leave_out", "tilt"],
    )  # fmt: skip
    final = run_reading(stage, config)
    before, after = load_file(tiny_model / "model.safetensors"), load_file(final / "model.safetensors")
    assert before.keys() == after.keys()
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert not still, still
    metrics = json.loads((final / "run_record.json").read_text())["metrics"]
    for mode in ("fast", "reasoned"):
        assert 0 <= metrics[f"held_out_edit_accuracy_{mode}"] <= 1
        assert 0 <= metrics[f"held_out_pair_accuracy_{mode}"] <= 1


def test_the_tower_learns_more_slowly_in_the_reading_warm_up(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    from transformers import TrainingArguments

    from redaes.training import warmup_reading

    network = warmup_reading.ReadingWithHeads(
        load_model(StageArguments(model=str(tiny_model), full_training=True), torch.float32), 3
    )
    config = TrainingArguments(output_dir=str(tmp_path), learning_rate=0.5, use_cpu=True, report_to="none")
    optimizer = warmup_reading.ReadingTrainer(model=network, args=config).create_optimizer()
    tower = {id(parameter) for parameter in network.network.visual.parameters()}
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == {id(parameter) for parameter in network.parameters()}
    assert {rates[p] for p in tower} == {0.5 * warmup_reading.TOWER_RATE}
    assert {rate for p, rate in rates.items() if p not in tower} == {0.5}


def test_what_is_answered_in_one_order_is_asked_fast_in_the_other(tiny_model: Path, red_folder: Path) -> None:
    from redaes.records import load_pairs, operations_in, record_of
    from redaes.training.formatting import order_drawn
    from redaes.training.warmup_heads import NO_EDIT
    from redaes.training.warmup_reading import ReadingCollator

    rows = load_pairs(red_folder, "train")
    classes = [NO_EDIT, *sorted(operations_in(rows))]
    collate = ReadingCollator(base_processor(StageArguments(model=str(tiny_model))), classes)
    batch = collate([rows[number] for number in range(3)])
    assert batch["prompts"]["input_ids"].shape[0] == batch["answers"]["labels"].shape[0] == 3
    assert torch.equal(batch["edits"][0, :3], batch["edits"][1, 3:])
    assert torch.equal(batch["edits"][1, :3], batch["edits"][0, 3:])
    assert torch.equal(batch["delta"][:3], -batch["delta"][3:])
    prompted, answered = (batch[kind]["place"].view(3, 2) for kind in ("prompts", "answers"))
    assert torch.equal(prompted, answered.flip(1))
    for number, carried in enumerate(batch["edits"][:, 3:].T.tolist()):
        record = record_of(rows[number], "train")
        pair = record.pair if order_drawn(record) == "forward" else record.pair.swapped()
        names = [NO_EDIT if edit is None else edit.operation for edit in (pair.edit_first, pair.edit_second)]
        assert [classes[edit] for edit in carried] == names
        assert batch["delta"][3 + number] == torch.tensor(pair.delta)


def test_looking_is_learned_without_answers_in_both_orders(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    from redaes.records import load_pairs, operations_in
    from redaes.training.warmup_heads import NO_EDIT
    from redaes.training.warmup_reading import ReadingCollator, ReadingConfig, run_reading

    rows = load_pairs(red_folder, "train")
    classes = [NO_EDIT, *sorted(operations_in(rows))]
    processor = base_processor(StageArguments(model=str(tiny_model)))
    picked = [rows[number] for number in range(3)]
    long = ReadingCollator(processor, classes, answers=False)(picked)
    short = ReadingCollator(processor, classes, answers=False, short_question=True)(picked)
    assert long["answers"] is short["answers"] is None
    assert torch.equal(short["prompts"]["place"].view(2, 3, 2)[0], short["prompts"]["place"].view(2, 3, 2)[1].flip(1))
    assert torch.equal(long["edits"], short["edits"])
    assert torch.equal(short["edits"][0, :3], short["edits"][1, 3:])
    lengths = [batch["prompts"]["attention_mask"].sum(1) for batch in (short, long)]
    assert (lengths[1] - lengths[0] > 30).all()
    stage, config = parse(
        ReadingConfig,
        RECIPES / "warmup_reading_nano.yaml",
        ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"), "--max_steps",
         "2", "--warmup_steps", "0", "--bf16", "false", "--per_device_train_batch_size", "2", "--answers", "false",
         "--short_question", "true", "--leave_out", "tilt"],
    )  # fmt: skip
    metrics = json.loads((run_reading(stage, config) / "run_record.json").read_text())["metrics"]
    assert metrics["held_out_pairs"] > 0
    assert 0 <= metrics["held_out_pair_accuracy_fast"] <= 1
    assert not {"held_out_nll", "held_out_pair_accuracy_reasoned"} & metrics.keys()


def test_the_vision_warm_up_may_ask_for_places(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    from redaes.training.warmup_vision import VisionConfig, run_vision

    stage, config = parse(
        VisionConfig,
        RECIPES / "warmup_vision_nano.yaml",
        ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"), "--max_steps",
         "6", "--warmup_steps", "0", "--bf16", "false", "--per_device_train_batch_size", "4", "--leave_out", "tilt",
         "--place_weight", "1", "--matching_weight", "0.5", "--matching_pictures", "2", "--learning_rate", "3e-3",
         "--lr_scheduler_type", "constant", "--logging_steps", "1", "--same_place_pixels", "9216"],
    )  # fmt: skip
    final = run_vision(stage, config)
    before, after = load_file(tiny_model / "model.safetensors"), load_file(final / "model.safetensors")
    assert before.keys() == after.keys()
    beyond = {name for name in before if "visual" not in name and not torch.equal(before[name], after[name])}
    of_heads = {f"self_attn.{one}.weight" for one in ("q_proj", "k_proj", "q_norm", "k_norm")}
    assert {name.partition("layers.1.")[2] for name in beyond if "embed_tokens" not in name} == of_heads
    assert after["model.language_model.embed_tokens.weight"][:, 0].abs().max() == 0
    logs = json.loads((final / "trainer_state.json").read_text())["log_history"]
    parts = [(one["place"], one["matching"]) for one in logs if "place" in one]
    assert len(parts) == 6
    assert parts[-1][0] < parts[0][0]
    metrics = json.loads((final / "run_record.json").read_text())["metrics"]
    assert metrics["held_out_place_loss"] > 0
    assert metrics["held_out_matching_loss"] > 0


def test_without_places_the_vision_warm_up_has_its_two_heads_alone(tiny_model: Path, red_folder: Path) -> None:
    from redaes.records import load_pairs, operations_in
    from redaes.training.warmup_heads import NO_EDIT
    from redaes.training.warmup_vision import VisionCollator, VisionWithHeads

    rows = load_pairs(red_folder, "train")
    classes = [NO_EDIT, *sorted(operations_in(rows))]
    model = load_model(StageArguments(model=str(tiny_model), full_training=True), torch.float32)
    network = VisionWithHeads(model, len(classes))
    assert {name.partition(".")[0] for name, _ in network.named_parameters()} == {
        "visual",
        "norm",
        "operation",
        "score",
    }
    batch = VisionCollator(base_processor(StageArguments(model=str(tiny_model))), classes)([rows[0], rows[1]])
    assert batch.keys() == {"pixel_values", "image_grid_thw", "operation", "singles", "delta"}


def test_the_verdict_is_asked_for_without_words_where_that_is_wanted(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    from redaes import prompts
    from redaes.records import load_pairs
    from redaes.training.alignment import AlignmentCollator, AlignmentConfig

    processor = base_processor(StageArguments(model=str(tiny_model)))
    rows = load_pairs(red_folder, "train")
    texts = []
    for short in (False, True):
        config = AlignmentConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, short_question=short)
        batch = AlignmentCollator(processor, config)([rows[0]])
        ids = batch["compare"]["input_ids"][0]
        texts.append(processor.tokenizer.decode(ids[batch["compare"]["attention_mask"][0].bool()]))
    words = prompts.load(prompts.COMPARE["fast"]).text.rpartition("}}")[2].strip()
    assert words in texts[0]
    assert words not in texts[1]
    assert all(text.endswith("Winner:") and "Picture B: " in text for text in texts)


def test_edits_left_out_are_never_trained_on(red_folder: Path) -> None:
    from redaes.records import load_pairs, operations_in, without_operations
    from redaes.training.formatting import sft_dataset

    rows = load_pairs(red_folder, "train")
    present = operations_in(rows)
    kept = without_operations(rows, ["tilt"])
    assert "tilt" in present
    assert "tilt" not in operations_in(kept)
    assert 0 < len(kept) < len(rows)
    examples, lengths = sft_dataset(red_folder, "train", leave_out=["tilt"])
    assert len(examples) == len(lengths) == 4 * len(kept)
    with pytest.raises(RecordError, match=r"no picture has the edit tillt; give some of: .*tilt"):
        without_operations(rows, ["tillt"])
    with pytest.raises(RecordError, match="leave out fewer edits"):
        without_operations(rows.select(range(1)), operations_in(rows.select(range(1))))


def test_looking_once_at_each_picture_changes_nothing(tiny_model: Path, red_folder: Path) -> None:
    """Against the processor's own batch through transformers' own model: same tokens, logits and gradients."""
    from transformers import AutoModelForImageTextToText

    from redaes.attention.float32 import use_float32_attention
    from redaes.backends.loading import PatchProjection, load_network
    from redaes.records import load_pairs, record_of
    from redaes.training.formatting import chat_text, ordered_images

    processor = base_processor(StageArguments(model=str(tiny_model)))
    rows = load_pairs(red_folder, "train")
    some = [rows[0], rows[1], rows[len(rows) - 1]]
    collate = AlignmentCollator(processor, ALIGNMENT)
    batch = collate(some)
    shown = batch["compare"]["place"]
    assert len(batch["pictures"]["image_grid_thw"]) < len(shown)
    processor.tokenizer.padding_side = "left"
    texts = [chat_text(processor, collate.fast, "Winner:")] * 6
    images = [ordered_images(record_of(row, "train"), order) for order in ("forward", "swapped") for row in some]
    wanted = processor(text=texts, images=images, return_tensors="pt", padding=True)
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "image_grid_thw"):
        assert torch.equal(wanted[name], batch["compare"][name].to(wanted[name].dtype)), name

    plain = AutoModelForImageTextToText.from_pretrained(tiny_model, dtype=torch.float32)
    ours = load_network(tiny_model, torch.float32)
    assert isinstance(ours.model.visual.patch_embed.proj, PatchProjection)
    use_float32_attention(ours)
    logits = [plain(**wanted).logits[:, -1], verdicts(ours, batch)]
    torch.testing.assert_close(logits[1], logits[0], atol=1e-4, rtol=1e-4)
    for found in logits:
        found.square().mean().backward()
    for (name, parameter), (_, same) in zip(plain.named_parameters(), ours.named_parameters(), strict=True):
        if parameter.grad is not None:
            torch.testing.assert_close(same.grad, parameter.grad, atol=1e-5, rtol=1e-3, msg=name)


def test_pictures_that_were_looked_at_before_are_not_looked_at_again(tiny_model: Path, red_folder: Path) -> None:
    """The same answer as the tower's own, whatever is asked together; what is not kept is looked at again."""
    from redaes.training.vision_cache import FrozenVisionCache

    stage = StageArguments(model=str(tiny_model))
    rows = load_pairs(red_folder, "train")
    batch = AlignmentCollator(base_processor(stage), ALIGNMENT)([rows[0], rows[1], rows[len(rows) - 1]])
    pixels, grid = (batch["pictures"][name] for name in ("pixel_values", "image_grid_thw"))
    pictures = torch.split(pixels, grid.prod(-1).tolist())
    visual = vision_tower(load_model(stage, torch.float32))
    assert len(pictures) >= 4

    def ask(*numbers: int) -> Any:
        return visual(torch.cat([pictures[number] for number in numbers]), grid_thw=grid[list(numbers)])

    alone = {number: ask(number) for number in range(4)}
    once = FrozenVisionCache(visual, n_kept=3)
    for numbers, n_new in (((0, 1, 0, 0), 2), ((1, 2, 0), 1), ((3,), 1), ((0, 2, 3), 0), ((1,), 1)):
        before = once.n_computed
        found = ask(*numbers)
        assert once.n_computed - before == n_new, numbers
        torch.testing.assert_close(
            found.pooler_output, torch.cat([alone[number].pooler_output for number in numbers]), atol=1e-5, rtol=1e-5
        )
        for level, tokens in enumerate(found.deepstack_features):
            wanted = torch.cat([alone[number].deepstack_features[level] for number in numbers])
            torch.testing.assert_close(tokens, wanted, atol=1e-5, rtol=1e-5)
    assert once.n_asked == 12
    known = once._cached
    with pytest.raises(RuntimeError):
        visual(pictures[1][:, :-1] + 1, grid_thw=grid[[1]])  # the tower fails: nothing is half known
    assert once._cached is known
    with torch.autocast("cpu", dtype=torch.bfloat16):  # other numbers than those that are known
        before = once.n_computed
        ask(1)
        assert once.n_computed == before + 1
    with pytest.raises(AssertionError, match="cannot be kept"):
        FrozenVisionCache(
            vision_tower(load_model(StageArguments(model=str(tiny_model), full_training=True), torch.float32)), 1
        )


def test_prompts_other_than_those_shown_are_an_error(tiny_model: Path, red_folder: Path) -> None:
    from redaes.records import load_pairs

    rows = load_pairs(red_folder, "train")
    stage = StageArguments(model=str(tiny_model))
    batch = AlignmentCollator(base_processor(stage), ALIGNMENT)([rows[0]])
    model = load_model(stage, torch.float32)
    with BatchVisionCache(vision_tower(model), batch["pictures"]) as cache:
        cache.forward(model, batch["compare"])
        score = {name: value for name, value in batch["score"].items() if name != "place"}
        with pytest.raises(AssertionError, match="otherwise than by"):
            model(**score, pixel_values=batch["pictures"]["pixel_values"])
    assert "forward" not in vars(vision_tower(model))


def test_settled_picture_tokens_have_the_spread_of_text_tokens(tiny_model: Path, red_folder: Path) -> None:
    from redaes.datagen.editors.parametric import OPERATIONS
    from redaes.records import load_pairs
    from redaes.training.warmup_heads import NO_EDIT
    from redaes.training.warmup_vision import VisionCollator, settle

    stage = StageArguments(model=str(tiny_model))
    model = load_model(StageArguments(model=str(tiny_model), full_training=True), torch.float32)
    rows = load_pairs(red_folder, "train")
    batch = VisionCollator(base_processor(stage), [NO_EDIT, *OPERATIONS])([rows[i] for i in range(4)])
    settle(model, batch)
    with torch.no_grad():
        seen = model.model.visual(batch["pixel_values"], grid_thw=batch["image_grid_thw"])
    wanted = model.get_input_embeddings().weight.std()
    torch.testing.assert_close(seen.pooler_output.mean(0), torch.zeros(64), atol=1e-3, rtol=0)
    torch.testing.assert_close(seen.pooler_output.std(), wanted, atol=0, rtol=0.01)
    torch.testing.assert_close(seen.deepstack_features[0].std(), wanted / 2, atol=0, rtol=0.01)


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage2_dpo"])
def test_a_loss_that_is_not_finite_ends_the_run(stage: str, tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is nan at step \d; lower learning_rate"):
        run(stage, tiny_model, red_folder, tmp_path / "run", "--learning_rate", "1e30", "--max_steps", "4")
    assert not (tmp_path / "run" / "final").exists()


def test_a_finished_stage_is_not_trained_again(trained: Trained, tiny_model: Path, red_folder: Path) -> None:
    stage, final = trained
    before = (final / "run_record.json").stat().st_mtime_ns
    assert run(stage, tiny_model, red_folder, final.parent) == final
    assert (final / "run_record.json").stat().st_mtime_ns == before


def test_preferences_go_on_from_an_adapter_and_are_measured_against_it(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    first = run("stage1", tiny_model, red_folder, tmp_path / "one", "--learning_rate", "1e-2")
    more = ["--adapter", str(first), "--learning_rate", "1e-2"]
    final = run("stage2_dpo", tiny_model, red_folder, tmp_path / "two", *more)
    history = json.loads((final / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    # Against what the run began with, not against the bare model, nothing is preferred yet: -log(1/2).
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert not list(final.glob("*/"))  # the copy that TRL measures against is no result
    # Resumed: transformers must find the trained adapter, and TRL the one that the run began with.
    whole = load_file(final / "adapter_model.safetensors")
    (final / "run_record.json").unlink()
    (tmp_path / "two" / "checkpoint-2" / "trainer_state.json").unlink()
    again = run("stage2_dpo", tiny_model, red_folder, tmp_path / "two", *more)
    resumed = load_file(again / "adapter_model.safetensors")
    assert json.loads((again / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-1")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not all(
        torch.equal(whole[name], value) for name, value in load_file(first / "adapter_model.safetensors").items()
    )


def test_preferences_are_learned(
    tiny_model: Path, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redaes.training import dpo

    rows, lengths, _ = dpo.preference_dataset(red_folder, "train")
    few = rows.select(range(4)), lengths[:4], 0
    monkeypatch.setattr(dpo, "preference_dataset", lambda *_, **__: few)
    more = ["--max_steps", "6", "--learning_rate", "5e-3", "--lr_scheduler_type", "constant"]
    final = run("stage2_dpo", tiny_model, red_folder, tmp_path / "run", *more)
    history = json.loads((final / "trainer_state.json").read_text())["log_history"]
    margins = [entry["rewards/margins"] for entry in history if "rewards/margins" in entry]
    assert margins[0] == 0
    assert margins[-1] > 1


def test_a_rejected_answer_is_well_formed_and_wrong(red_folder: Path) -> None:
    from redaes.answers import parse as read
    from redaes.records import read_records
    from redaes.training.formatting import MODES, ORDERS, preference_dataset

    records = {record.pair.id: record for record in read_records(red_folder, "train")}
    rows, lengths, n_ties = preference_dataset(red_folder, "train")
    ties = {name for name, record in records.items() if winner_of(record.pair.delta) == "tie"}
    assert n_ties == len(ties) > 0
    assert len(rows) == len(lengths) == (len(records) - len(ties)) * len(ORDERS) * len(MODES)
    named = rows.with_format(None)["id"]
    assert not ties & set(named)
    for number in range(0, len(rows), 7):
        example, record = rows[number], records[named[number]]
        way = rows.with_format(None)[number]
        chosen_one, rejected = (
            read(example[side][0]["content"][0]["text"], way["mode"]) for side in ("chosen", "rejected")
        )
        delta = record.pair.delta if way["order"] == "forward" else -record.pair.delta
        assert chosen_one.winner == winner_of(delta) != rejected.winner
        assert chosen_one.delta == -rejected.delta == pytest.approx(delta, abs=0.05001)
        if way["mode"] == "reasoned":
            assert rejected.rationale.better == rejected.winner
            assert rejected.rationale.text != chosen_one.rationale.text


def test_preferences_refuse_what_they_cannot_do(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="drop full_training"):
        run("stage2_dpo", tiny_model, red_folder, tmp_path / "run", "--full_training", "true")
    with pytest.raises(TrainingError, match="would be cut, picture tokens"):
        run("stage2_dpo", tiny_model, red_folder, tmp_path / "run", "--max_length", "512")


def test_resumed_equals_uninterrupted(trained: Trained, tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    import shutil

    stage, final = trained
    interrupted = tmp_path / "run"
    shutil.copytree(final.parent, interrupted)
    # What kill -9 during the second step's save leaves: a whole first checkpoint, half of a second.
    shutil.rmtree(interrupted / "final")
    (interrupted / "checkpoint-2" / "trainer_state.json").unlink()
    again = run(stage, tiny_model, red_folder, interrupted)
    assert json.loads((again / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-1")
    whole, resumed = (load_file(folder / "adapter_model.safetensors") for folder in (final, again))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_next_stage_goes_on_from_an_adapter(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    first = run("stage1", tiny_model, red_folder, tmp_path / "one")
    second = run("stage2", tiny_model, red_folder, tmp_path / "two", "--adapter", str(first))
    assert (
        load_file(first / "adapter_model.safetensors").keys() == load_file(second / "adapter_model.safetensors").keys()
    )


def test_other_settings_in_the_same_folder_are_refused(trained: Trained, tiny_model: Path, red_folder: Path) -> None:
    stage, final = trained
    with pytest.raises(TrainingError, match=r"learning_rate: .* -> 0\.5"):
        run(stage, tiny_model, red_folder, final.parent, "--learning_rate", "0.5")


def test_the_alignment_loss_falls_on_the_answer_alone(tiny_model: Path, red_folder: Path) -> None:
    from redaes.records import read_records, row_of
    from redaes.training.formatting import MODES, ORDERS, target

    processor = base_processor(StageArguments(model=str(tiny_model)))
    records = list(read_records(red_folder, "train"))[:6]
    labels = AlignmentCollator(processor, ALIGNMENT)([row_of(record) for record in records])["answer"]["labels"]
    for record, row in zip(records, labels, strict=True):
        text = processor.tokenizer.decode(row[row >= 0])
        wanted = {target(record, order, mode) for order in ORDERS for mode in MODES}
        assert text.removesuffix("<|im_end|>") in wanted
        assert text.endswith("<|im_end|>")


def test_one_formatter_makes_the_text_of_all_stages_and_of_asking(tiny_model: Path, red_folder: Path) -> None:
    from redaes import prompts
    from redaes.backends.base import Request
    from redaes.backends.local import LocalBackend
    from redaes.training.formatting import chat_text, preference_dataset, sft_dataset

    processor = base_processor(StageArguments(model=str(tiny_model)))
    prompt = prompts.load(prompts.COMPARE["reasoned"])

    def text(messages: list[dict[str, Any]]) -> str:
        return processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    examples, _ = sft_dataset(red_folder, "train", orders=("forward",), modes=("reasoned",))
    pairs = load_pairs(red_folder, "train")
    asked = LocalBackend(tiny_model)._text(Request(prompt, tuple(examples[0]["images"])))
    aligned = chat_text(processor, prompt, "")
    rows, _ = ranking_dataset(pairs, groups_of(pairs, 0), "reasoned", with_scores=False)
    ranked = text(rows[0]["prompt"])
    preferred = text(preference_dataset(red_folder, "train")[0][0]["prompt"])
    assert text(examples[0]["prompt"]) == asked == aligned == ranked == preferred


@pytest.mark.parametrize(
    ("recipe", "error", "match"),
    [
        ("learning_rat: 1.0e-3", InputError, "unknown keys: learning_rat"),
        ("learning_rate: .nan", TrainingError, "learning_rate is nan"),
        ("- 1\n- 2", InputError, "not a YAML mapping"),
        ("a: [", InputError, "not YAML"),
        ("lora_r: 0", TrainingError, "rank and alpha must be at least 1"),
        ("adapter: nowhere", TrainingError, "no adapter_config.json"),
    ],
)
def test_bad_recipes(tmp_path: Path, recipe: str, error: type[Exception], match: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"output_dir: x\nuse_cpu: true\nbf16: false\n{recipe}\n" if ":" in recipe else recipe)
    if recipe.startswith("a:"):
        file.write_text(recipe)
    with pytest.raises(error, match=match):
        parse(PairSFTConfig, RECIPES / "stage1_nano.yaml", ["--config", str(file)])


def test_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml cannot be read"):
        parse(PairSFTConfig, RECIPES / "stage1_nano.yaml", ["--config", str(tmp_path / "nowhere.yaml")])


def test_no_dataset_there(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a RED dataset"):
        run("stage1", tiny_model, tmp_path, tmp_path / "run")


@pytest.mark.parametrize("main", [True, False])
def test_one_process_says_how_far_training_is(
    main: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress_lines.time, "monotonic", lambda: now)
    config = TrainingArguments(output_dir="unused", use_cpu=True, disable_tqdm=True)
    state = TrainerState(global_step=20, max_steps=100, is_world_process_zero=main)  # it goes on from a checkpoint
    progress = SaysProgress()
    progress.on_train_begin(config, state, TrainerControl())
    for _ in range(2):
        now += 31.0
        state.global_step += 1
        progress.on_step_end(config, state, TrainerControl())
    progress.end()
    assert capsys.readouterr().err.splitlines() == main * [
        "training steps: 21 of 100, 31 s so far, about 40 min 49 s left",
        "training steps: 22 of 100, 1 min 2 s so far, about 40 min 18 s left",
    ]
