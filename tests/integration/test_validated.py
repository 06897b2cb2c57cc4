"""Validation during training: the held-out evaluation's figures, the best checkpoint kept, the training unmoved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from train_runs import POLICY, RECIPES, configured, train
from transformers import TrainerControl, TrainerState, TrainingArguments

from redaes import heldout
from redaes.backends.local import LocalBackend
from redaes.errors import RecordError, TrainingError
from redaes.records import PairRecord, read_records, write_shard
from redaes.training.fgaesq_arguments import FGAesQArguments
from redaes.training.recipes import parse, parse_with
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import load_model
from redaes.training.validated_trainer import ValidatedTrainer, _Stops, share, without_autocast
from redaes.training.validation_figures import FIGURES, no_better_than_start, reason_to_stop
from redaes.training.validation_pairs import SEED, RunValidation, ValidationArguments
from redaes.training.vision_cache import FrozenVisionCache, vision_tower
from redaes.types import Sampling

N_PAIRS, N_REASONED = 5, 1
# "parsed" is 0 at every step of a random model and 1 at every step of the embedded one: the first one stays best.
ASKED = [
    "--eval_strategy", "steps", "--eval_steps", "1", "--eval_on_start", "true", "--metric_for_best_model", "parsed",
    "--load_best_model_at_end", "true", "--validation_pairs", str(N_PAIRS), "--validation_reasoned_pairs",
    str(N_REASONED),
]  # fmt: skip
SMALL = {
    "stage1": ["--per_device_train_batch_size", "4", "--gradient_checkpointing", "true", "--lora_dropout", "0.05"],
    "stage2": ["--per_device_train_batch_size", "2"],
    "stage2_dpo": ["--per_device_train_batch_size", "4"],
    "stage3": [*POLICY, "--save_total_limit", "5"],
}


# The log falls on every second validation only: the training's figures of the steps between must not go with another.
def options(model: Path | str, data: Path, out: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--max_steps", "2", "--bf16", "false",
            "--save_steps", "1", "--logging_steps", "2", "--learning_rate", "1e-3", "--warmup_steps", "0",
            "--disable_tqdm", "true", *more]  # fmt: skip


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def equal(one: Path, other: Path) -> bool:
    left, right = adapter(one), adapter(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def log(final: Path) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = json.loads((final / "trainer_state.json").read_text())["log_history"]
    return history


def trained_on(final: Path) -> list[dict[str, Any]]:
    """What was logged of the training steps, all that a random state bears on."""
    timed = ("time", "runtime", "_per_second")
    return [
        {name: value for name, value in entry.items() if not any(part in name for part in timed)}
        for entry in log(final)
        if "loss" in entry
    ]


@dataclass(frozen=True)
class Both:
    """A stage, trained without validation and with it."""

    stage: str
    model: Path | str
    plain: Path
    asked: Path
    """Its ``final/``, as that of ``plain``."""

    def checkpoint(self, step: int) -> Path:
        return self.asked.parent / f"checkpoint-{step}"

    def record(self) -> Any:
        return json.loads((self.asked / "run_record.json").read_text())


@pytest.fixture(scope="module", params=list(SMALL))
def both(
    request: pytest.FixtureRequest, tiny_model: Path, red_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Both:
    stage = request.param
    model: Path | str = "redaes/nano" if stage == "stage3" else tiny_model
    out = tmp_path_factory.mktemp(f"asked_{stage}")
    small = SMALL[stage]
    plain = train(stage, options(model, red_folder, out / "plain", *small))
    asked = train(stage, options(model, red_folder, out / "asked", *small, *ASKED))
    return Both(stage, model, plain, asked)


def test_the_training_does_not_notice_and_the_best_checkpoint_is_left(both: Both) -> None:
    assert trained_on(both.asked) == trained_on(both.plain)
    assert equal(both.checkpoint(2), both.plain)
    assert equal(both.checkpoint(1), both.asked)
    assert not equal(both.checkpoint(1), both.checkpoint(2))  # or nothing would be shown
    found = both.record()["validation"]
    assert (found["kept_step"], found["kept_is_best"], found["metric"]) == (1, True, "eval_parsed")
    assert [entry["step"] for entry in found["history"]] == [0, 1, 2]
    assert found["stopped"] is None
    assert len(found["pairs"]) == N_PAIRS
    # All figures of the first checkpoint are those of the start: a share that stays is no progress, and is said.
    assert found["warning"].startswith("no better than at the start: parsed ")
    assert found["seconds"] == pytest.approx(sum(entry["eval_seconds"] for entry in found["history"]), abs=0.1)
    card = (both.asked / "README.md").read_text()
    assert f"asked about {N_PAIRS} of {found['held_out_pairs']} pairs of the test split" in card
    assert "at step 1, the best, which is here. It is no better than at the start: parsed " in card
    assert "## Validation" not in (both.plain / "README.md").read_text()


@pytest.mark.parametrize("both", ["stage1", "stage3"], indirect=True)
def test_the_figures_are_those_of_the_held_out_evaluation(both: Both, red_folder: Path) -> None:
    found = both.record()["validation"]
    records = [record for record in read_records(red_folder, "test") if record.pair.id in found["pairs"]]
    records.sort(key=lambda record: found["pairs"].index(record.pair.id))
    wanted = heldout.evaluate(
        LocalBackend(both.model, adapter=both.asked, max_pixels=None), records, n_reasoned=N_REASONED,
        sampling=Sampling(), seed=SEED,
    )  # fmt: skip
    kept = json.loads((both.asked.parent / "validation" / "step-000001.json").read_text())
    got = heldout.HeldOut(**kept)
    assert [item.pair for item in got.outcomes] == found["pairs"]
    assert [item.probability for item in got.outcomes] == pytest.approx(
        [item.probability for item in wanted.outcomes], abs=1e-5
    )
    assert [item.answers for item in got.reasoned_outcomes] == [item.answers for item in wanted.reasoned_outcomes]
    assert (got.fast.accuracy, got.fast.order_consistency) == (wanted.fast.accuracy, wanted.fast.order_consistency)
    assert got.reasoned == wanted.reasoned
    assert wanted.reasoned is not None
    entry = next(entry for entry in log(both.asked) if entry["step"] == 1 and "eval_seconds" in entry)
    assert [entry[f"eval_{name}"] for name in FIGURES] == [
        wanted.fast.accuracy.value, wanted.fast.order_consistency.value, wanted.reasoned.accuracy.value,
        wanted.reasoned.order_consistency.value, wanted.reasoned.parse_rate.value,
        wanted.reasoned.factor_accuracy.value,
    ]  # fmt: skip
    assert wanted.reasoned.parse_rate.value == (1.0 if both.stage == "stage3" else 0.0)


@pytest.fixture(scope="module")
def spoilt(red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose second step breaks the model: the first has a learning rate of 0, as a warm-up begins."""
    out = tmp_path_factory.mktemp("spoilt") / "run"
    return train("stage1", spoiling(red_folder, out))


def spoiling(data: Path, out: Path, *more: str) -> list[str]:
    return [*options("redaes/nano", data, out), *ASKED, "--metric_for_best_model", "fast_accuracy", "--max_steps", "9",
            "--per_device_train_batch_size", "2", "--learning_rate", "1.0", "--warmup_steps", "1", *more]  # fmt: skip


def test_a_run_that_loses_the_form_ends_and_leaves_its_best(spoilt: Path) -> None:
    found = json.loads((spoilt / "run_record.json").read_text())["validation"]
    assert [(entry["step"], entry["eval_parsed"]) for entry in found["history"]] == [(0, 1.0), (1, 1.0), (2, 0.0)]
    assert "the form is lost: 0.000 of the reasoned answers" in found["stopped"]
    assert found["kept_step"] == 1
    assert found["kept"]["parsed"]["value"] == 1.0
    assert equal(spoilt, spoilt.parent / "checkpoint-1")
    assert not (spoilt.parent / "checkpoint-2").exists()
    assert "The run ended early, at step 2: the form is lost" in (spoilt / "README.md").read_text()


def test_a_run_that_was_killed_stops_where_the_whole_one_did(spoilt: Path, red_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "moved"
    shutil.copytree(spoilt.parent, out)
    shutil.rmtree(out / "final")
    state = out / "checkpoint-1" / "trainer_state.json"
    was = json.loads(state.read_text())
    assert was["best_model_checkpoint"] == str(spoilt.parent / "checkpoint-1")
    state.write_text(json.dumps({**was, "best_model_checkpoint": "/where/it/was/checkpoint-1"}))
    final = train("stage1", spoiling(red_folder, out))
    assert equal(final, spoilt)
    whole, resumed = (
        [{name: value for name, value in entry.items() if name != "eval_seconds"} for entry in log(folder)
         if "eval_seconds" in entry]
        for folder in (spoilt, final)
    )  # fmt: skip
    assert resumed == whole


def test_a_best_checkpoint_that_is_gone_is_named(spoilt: Path, red_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(spoilt.parent, out)
    shutil.rmtree(out / "final")
    shutil.copytree(out / "checkpoint-1", out / "checkpoint-8")
    shutil.rmtree(out / "checkpoint-1")
    with pytest.raises(TrainingError, match=r"the best checkpoint so far, .*checkpoint-1, is gone"):
        train("stage1", spoiling(red_folder, out))


def validation_of(records: Sequence[PairRecord] = (), patience: int = 0) -> RunValidation:
    return RunValidation(tuple(records), 0, len(records), (), 0.5, patience)


def test_a_spoilt_run_without_a_better_checkpoint_leaves_no_result(tmp_path: Path) -> None:
    args = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, eval_strategy="steps", eval_steps=1, metric_for_best_model="eval_parsed"
    )
    state = TrainerState(log_history=[entry(0, 1.0), entry(1, 0.2)], global_step=1)
    control = TrainerControl(should_save=True)
    stops = _Stops(validation_of())
    stops.on_evaluate(args, state, control)
    assert (control.should_training_stop, control.should_save) == (True, False)
    with pytest.raises(TrainingError, match=r"the form is lost: 0\.200 .* set load_best_model_at_end"):
        stops.on_train_end(args, state, control)


def test_a_model_that_has_lost_the_form_is_never_the_best(tmp_path: Path) -> None:
    trainer = ValidatedTrainer.__new__(ValidatedTrainer)
    trainer.validation = validation_of()
    trainer.args = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, metric_for_best_model="eval_fast_accuracy", eval_strategy="steps",
        eval_steps=1,
    )  # fmt: skip
    for step, parsed, is_best in ((1, 1.0, True), (2, 0.0, False)):
        found = entry(step, parsed, 0.5 + 0.1 * step)
        history = [*([] if step == 1 else trainer.state.log_history), found]
        best = {} if step == 1 else {"best_metric": trainer.state.best_metric, "best_global_step": 1}
        trainer.state = TrainerState(log_history=history, global_step=step, **best)
        assert trainer._determine_best_metric(found, None) is is_best
    assert (trainer.state.best_metric, trainer.state.best_global_step) == (0.6, 1)
    trainer.args.metric_for_best_model = "eval_factor"  # of no answer, while none can be read
    assert trainer._determine_best_metric(entry(3, 1.0, 0.9), None) is False


def entry(step: int, parsed: float, accuracy: float = 0.5) -> dict[str, float]:
    return {"step": step, "eval_parsed": parsed, "eval_fast_accuracy": accuracy, "eval_seconds": 1.0}


def test_what_ends_a_run_follows_from_its_log() -> None:
    def reason(*accuracies: float, patience: int, parsed: float = 1.0) -> str | None:
        found = [entry(step, parsed, accuracy) for step, accuracy in enumerate(accuracies)]
        return reason_to_stop(found, "eval_fast_accuracy", patience, 0.5)

    assert reason(patience=1) is None
    assert reason(0.5, 0.6, 0.6, patience=2) is None
    assert reason(0.5, 0.6, 0.6, 0.55, patience=2) == (
        "no new best eval_fast_accuracy in 2 validations (early_stopping_patience)"
    )
    assert reason(0.5, 0.6, 0.6, 0.55, patience=0) is None
    assert reason(0.5, 0.6, 0.5, 0.7, patience=2) is None
    assert reason(0.5, 0.6, patience=2, parsed=0.1) is None  # it never knew the form
    unknown = [entry(0, 0.0), {**entry(1, 1.0), "eval_factor": 0.2}, entry(2, 0.0), entry(3, 0.0)]
    assert reason_to_stop(unknown[:2], "eval_factor", 2, 0.0) is None  # no factor of answers that cannot be read
    assert "no new best eval_factor in 2" in str(reason_to_stop(unknown, "eval_factor", 2, 0.0))
    assert no_better_than_start(unknown[:2], "eval_factor", 1) is None


def test_processes_share_all_of_the_work() -> None:
    for n_blocks in range(1, 9):
        for world in (1, 2, 3, 8):
            own = [share(n_blocks, rank, world, equal=False) for rank in range(world)]
            assert sorted(number for part in own for number in part) == list(range(n_blocks))
            even = [share(n_blocks, rank, world, equal=True) for rank in range(world)]
            assert len({len(part) for part in even}) == 1
            assert {number for part in even for number in part} == set(range(n_blocks))


def test_a_model_is_asked_without_the_autocast_of_its_training() -> None:
    model = torch.nn.Linear(3, 3)
    model._original_forward = model.forward  # as accelerate leaves it
    model.forward = MethodType(torch.autocast("cpu", torch.bfloat16)(torch.nn.Linear.forward), model)
    rows = torch.randn(2, 3)
    with without_autocast(model):
        assert model(rows).dtype == torch.float32
    assert model(rows).dtype == torch.bfloat16


def test_what_the_tower_is_asked_apart_leaves_no_trace(tiny_model: Path) -> None:
    visual = vision_tower(load_model(StageArguments(model=str(tiny_model)), torch.float32))
    memory = FrozenVisionCache(visual, n_kept=2)
    width = visual.patch_embed.proj.weight[0].numel()
    grid = torch.tensor([[1, 2, 2]])
    pictures = [torch.randn(4, width) for _ in range(4)]
    for patches in pictures[:2]:
        visual(patches, grid_thw=grid)
    with memory.apart():
        for patches in pictures[2:]:
            visual(patches, grid_thw=grid)
    before = memory.n_computed
    for patches in pictures[:2]:
        visual(patches, grid_thw=grid)
    assert (before, memory.n_computed) == (2, 2)


def test_the_pairs_are_the_same_for_every_run_and_all_have_a_label(red_folder: Path, tmp_path: Path) -> None:
    few = RunValidation.drawn(red_folder, ValidationArguments(validation_pairs=8, validation_reasoned_pairs=3))
    more = RunValidation.drawn(red_folder, ValidationArguments(validation_pairs=12, validation_reasoned_pairs=3))
    assert more.pairs[:8] == few.pairs
    assert few.reasoned == few.pairs[:3]
    everything = list(read_records(red_folder, "test"))
    assert few.n_held_out == len(everything)
    assert list(few.pairs) == heldout.draw(everything, 8, SEED)

    without = [record.model_copy(update={"pair": record.pair.model_copy(update={"delta": None, "factors": ()})})
               for record in everything[:4]]  # fmt: skip
    write_shard(tmp_path / "data" / "test-00000.parquet", [*without, *everything[4:]])
    found = RunValidation.drawn(tmp_path, ValidationArguments(validation_pairs=1000, validation_reasoned_pairs=0))
    assert len(found.pairs) == found.n_held_out == len(everything) - 4
    assert found.unlabelled == tuple(record.pair.id for record in without)
    assert found.min_parsed == 0.0

    edits = {edit.operation for record in everything[:1] for edit in (record.pair.edit_first, record.pair.edit_second)
             if edit is not None}  # fmt: skip
    seen = RunValidation.drawn(red_folder, ValidationArguments(validation_pairs=1000), leave_out=[*edits, "not there"])
    carried = {edit.operation for record in seen.pairs for edit in (record.pair.edit_first, record.pair.edit_second)
               if edit is not None}  # fmt: skip
    assert edits
    assert carried
    assert not carried & edits


def test_pairs_without_a_winner_are_refused(red_folder: Path, tmp_path: Path) -> None:
    ties = [record.model_copy(update={"pair": record.pair.model_copy(update={"delta": 0.0, "factors": ()})})
            for record in list(read_records(red_folder, "test"))[:3]]  # fmt: skip
    write_shard(tmp_path / "data" / "test-00000.parquet", ties)
    with pytest.raises(TrainingError, match="none of the 3 held-out pairs drawn for the fast mode has a winner"):
        RunValidation.drawn(tmp_path, ValidationArguments())
    with pytest.raises(RecordError, match="test-"):
        RunValidation.drawn(tmp_path / "nowhere", ValidationArguments())


STEPS = ["--eval_strategy", "steps", "--eval_steps", "10"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([*STEPS, "--metric_for_best_model", "accuracy"], "metric_for_best_model is 'accuracy'; known: fast_accuracy"),
        ([*STEPS, "--metric_for_best_model", "eval_loss"], "metric_for_best_model is 'loss'; known: fast_accuracy"),
        ([*STEPS, "--metric_for_best_model", "parsed", "--validation_reasoned_pairs", "0"], "reasoned_pairs is 0"),
        ([*STEPS, "--metric_for_best_model", "parsed", "--greater_is_better", "false"], "greater_is_better is false"),
        (
            [*STEPS, "--load_best_model_at_end", "true", "--save_steps", "20"],
            "eval_steps 10 and save_steps 20: the best step might have no checkpoint",
        ),
        ([*STEPS, "--lr_scheduler_type", "reduce_lr_on_plateau"], 'set lr_scheduler_kwargs to {"mode": "max"}'),
        ([*STEPS, "--lr_scheduler_type", "greedy"], 'set lr_scheduler_kwargs to {"mode": "max"}'),
        (["--eval_on_start", "true"], "eval_on_start is True, but nothing is validated"),
        (["--early_stopping_patience", "2"], "early_stopping_patience is 2, but nothing is validated"),
        (["--save_strategy", "best"], "save_strategy is best, but nothing is validated"),
        ([*STEPS, "--validation_pairs", "0"], "validation_pairs is 0; give at least 1"),
        ([*STEPS, "--validation_pairs", "3"], "validation_reasoned_pairs is 32 of validation_pairs 3"),
        ([*STEPS, "--validation_min_parsed", "90"], "validation_min_parsed is 90"),
    ],
)
def test_settings_that_could_not_hold_are_refused(more: list[str], said: str) -> None:
    with pytest.raises(TrainingError) as refused:
        configured("stage1", ["--data", "nowhere", *more])
    assert said in str(refused.value)


def test_the_trainers_default_figure_becomes_ours() -> None:
    stage, config = configured("stage1", ["--data", "x", *STEPS, "--load_best_model_at_end", "true"])
    assert (config.metric_for_best_model, config.greater_is_better) == ("eval_fast_accuracy", True)
    # TRL's own check of an evaluation batch, for answers that it would sample, does not apply.
    _, config = configured("stage3", ["--data", "x", *STEPS, "--per_device_eval_batch_size", "3"])
    assert config.per_device_eval_batch_size == 3
    assert stage.validation_pairs == 100


def test_a_checkpoint_of_stage_3_falls_where_new_answers_are_made() -> None:
    more = ["--save_strategy", "best", "--eval_strategy", "steps", "--eval_steps", "3"]
    with pytest.raises(TrainingError, match="make eval_steps a multiple of 2"):
        configured("stage3", ["--data", "x", *more])


def test_a_warm_up_says_that_it_is_not_validated(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    from redaes.training.warmup_reading import ReadingConfig, run_reading

    arguments = parse(
        ReadingConfig, RECIPES / "warmup_reading_nano.yaml",
        ["--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(tmp_path / "run"), *STEPS],
    )  # fmt: skip
    with pytest.raises(TrainingError, match="warm-up warmup_reading is not validated during training"):
        run_reading(*arguments)
    assert not (tmp_path / "run").exists()
    with pytest.raises(TrainingError, match=r"FGAesQArguments is not validated during training"):
        parse_with(FGAesQArguments, TrainingArguments, RECIPES / "fgaesq_tiny.yaml", STEPS)
