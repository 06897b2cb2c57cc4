"""Stage 3 with a real GRPO trainer on a tiny model: prompts, guards, what is logged, and going on after a stop."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

from redaes.answers import render_verdict, stated
from redaes.errors import RecordError, TrainingError
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.measured_pairs import MeasuredPairs, measured_pairs
from redaes.records import load_pairs, record_of
from redaes.rewards import trl as rewards
from redaes.training import grpo
from redaes.training.completion_pages import write_page
from redaes.training.grpo import (
    AllCutOff,
    RankingGRPOConfig,
    length_reward_correlation,
    run_grpo,
)
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.recipes import parse
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_model import base_processor, load_model
from redaes.types import Rationale

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "stages" / "configs" / "stage3_nano.yaml"
FILLED = ["--per_device_train_batch_size", "36", "--steps_per_generation", "2", "--num_generations", "2"]
"""36 prompts at once."""


def arguments(model: Path | str, data: Path, out: Path, *more: str) -> tuple[StageArguments, RankingGRPOConfig]:
    return parse(
        RankingGRPOConfig,
        RECIPE,
        ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--bf16", "false", "--disable_tqdm",
         "true", "--save_steps", "2", "--max_completion_length", "5", "--lora_r", "4", "--pictures_per_group", "0",
         "--rewards", "format", "group_consistency", "thurstone", "--reward_weights", "1", "1", "1",
         "--fast_antisymmetry_weight", "0", "--fast_preference_weight", "0", *FILLED, *more],
    )  # fmt: skip


@pytest.fixture(scope="module")
def few_folder(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset so small that epochs are short."""
    from redaes.datagen.dataset_settings import DatasetSettings
    from redaes.datagen.pipeline import build

    folder = tmp_path_factory.mktemp("few") / "pairs"
    photographs = [photo_folder / f"photo{number}.png" for number in range(3)]
    build(photographs, folder, DatasetSettings(views=2, variants=2, max_side=96, test_fraction=0.34, seed=2))
    return folder


@pytest.fixture
def wordy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward that random text can earn, so that a random model has something to learn."""

    def reward_format(completions: list[Any], **_: Any) -> list[float]:
        texts = (rewards.completion_text(completion) for completion in completions)
        return [hashlib.sha256(text.encode()).digest()[0] / 255 for text in texts]

    monkeypatch.setitem(rewards.REWARDS, "format", reward_format)


def history(final: Path) -> list[dict[str, Any]]:
    return json.loads((final / "trainer_state.json").read_text())["log_history"]


# --- prompts -----------------------------------------------------------------------------------------------


def test_a_run_whose_answers_are_all_cut_off_says_so_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    args, control = SimpleNamespace(max_completion_length=3), TrainerControl()
    watch = AllCutOff()
    for step in range(1, AllCutOff.MOST):
        logs = {"completions/clipped_ratio": 1.0, "frac_reward_zero_std": 1.0}
        watch.on_log(args, TrainerState(global_step=step, is_world_process_zero=True), control, logs)
    assert capsys.readouterr().err.count("step 1: all completions were cut off at max_completion_length (3)") == 1
    with pytest.raises(TrainingError, match="in 20 logs in a row, and all earned the same reward"):
        watch.on_log(args, TrainerState(global_step=20), control, logs)
    watch = AllCutOff()
    for step in range(2 * AllCutOff.MOST):
        learns = {"completions/clipped_ratio": 1.0, "frac_reward_zero_std": 0.9}
        watch.on_log(args, TrainerState(global_step=step), control, learns)


def test_a_group_asks_about_each_pair_in_both_orders_and_about_each_picture(red_folder: Path) -> None:
    pairs = load_pairs(red_folder, "train")
    groups = groups_of(pairs, 0)
    rows, numbers = ranking_dataset(pairs, groups, "reasoned", with_scores=True)
    every = sorted(row for own in numbers for row in (*(row for way in own.pairs for row in way), *own.singles))
    assert every == list(range(len(rows)))
    for group, own in list(zip(groups, numbers, strict=True))[:4]:
        assert {pairs[pair.row]["group"] for pair in group.pairs} == {group.id.rsplit("/", 1)[0]}
        for pair, (forward, swapped) in zip(group.pairs, own.pairs, strict=True):
            one, other = rows[forward], rows[swapped]
            assert one["shown"] == other["shown"][::-1] == [pair.first, pair.second]
            assert one["delta"] == -other["delta"] == pair.delta
            assert one["pair"] == other["pair"] == pairs[pair.row]["id"]
            assert [image.tobytes() for image in one["images"]] == [image.tobytes() for image in other["images"]][::-1]
            assert one["edges"] == [{"first": p.first, "second": p.second, "delta": p.delta} for p in group.pairs]
        asked = [rows[single] for single in own.singles]
        assert [row["shown"] for row in asked] == [[picture] for picture in group.pictures]
        assert all(row["mode"] == "score" and len(row["images"]) == 1 for row in asked)
        # The picture that is shown alone is the one that its pairs show.
        images = {name: image.tobytes() for way in own.pairs for row in [rows[way[0]]]
                  for name, image in zip(row["shown"], row["images"], strict=True)}  # fmt: skip
        assert all(images[row["shown"][0]] == row["images"][0].tobytes() for row in asked)


def test_a_pair_brings_its_faults_and_what_was_measured_in_the_letters_of_the_order(few_folder: Path) -> None:
    pairs = load_pairs(few_folder, "train")
    groups = groups_of(pairs, 3)[:2]
    measured = measured_pairs(few_folder, "train")
    rows, numbers = ranking_dataset(pairs, groups, "reasoned", with_scores=True, measured=measured)
    known = 0
    for group, own in zip(groups, numbers, strict=True):
        for pair, (forward, swapped) in zip(group.pairs, own.pairs, strict=True):
            one, other = rows[forward], rows[swapped]
            record = record_of(pairs[pair.row], "train")
            assert one["evidence"] == measured.evidence(record.pair) == other["evidence"].swapped()
            edits = (record.pair.edit_first, record.pair.edit_second)
            assert one["faults"] == other["faults"][::-1] == [edit and edit.operation for edit in edits]
            known += one["faults"] != [None, None]
        alone = rows[own.singles[0]]
        assert (alone["faults"], alone["evidence"]) == (None, None)
    assert known
    unmeasured, _ = ranking_dataset(pairs, groups, "reasoned", with_scores=False)
    assert unmeasured[0]["evidence"] is None
    broken, _ = ranking_dataset(pairs, groups, "reasoned", with_scores=False, measured=MeasuredPairs({}))
    with pytest.raises(RecordError, match="was not measured"):
        broken[0]


def test_without_thurstone_there_are_pairs_only(red_folder: Path) -> None:
    pairs = load_pairs(red_folder, "train")
    rows, numbers = ranking_dataset(pairs, groups_of(pairs, 3), "fast", with_scores=False)
    assert not any(own.singles for own in numbers)
    assert set(rows[:20]["mode"]) == {"fast"}


def test_log_probabilities_do_not_depend_on_who_shares_the_batch(
    tiny_model: Path, red_folder: Path, tmp_path: Path
) -> None:
    # Prompts with one picture and with two, of two shapes: TRL pads, splits and joins their pictures.
    stage, config = arguments(tiny_model, red_folder, tmp_path / "run")
    pairs = load_pairs(red_folder, "train")
    groups = groups_of(pairs, 0)
    rows, numbers = ranking_dataset(pairs, groups, "reasoned", with_scores=True)
    processor = base_processor(stage)
    processor.tokenizer.padding_side = "left"
    shapes = {rows[own.singles[0]]["images"][0].size: own for own in numbers}
    two_shapes = list(shapes.values())[:2]
    assert len(two_shapes) == 2
    chosen = [row for own in two_shapes for row in (own.singles[0], *own.pairs[0])]
    trainer = grpo.RankingGRPOTrainer(
        sampler=grpo.GroupSampler(numbers, capacity=36, num_generations=2, n_processes=1, repeat_count=2, seed=0),
        model=load_model(stage, torch.float32), args=config, train_dataset=rows, processing_class=processor,
        reward_funcs=rewards.reward_functions(config.rewards),
    )  # fmt: skip
    answer = torch.tensor(processor.tokenizer("Score: 6")["input_ids"])

    def log_probabilities(numbers: list[int]) -> torch.Tensor:
        batch = [rows[number] for number in numbers]
        text = processor.apply_chat_template(
            [row["prompt"] for row in batch], add_generation_prompt=True, tokenize=False
        )
        made = dict(processor(images=[row["images"] for row in batch], text=text, padding=True, return_tensors="pt"))
        ids = torch.cat([made.pop("input_ids"), answer.repeat(len(batch), 1)], dim=1)
        ones = torch.ones(len(batch), len(answer), dtype=torch.long)
        mask = torch.cat([made.pop("attention_mask"), ones], dim=1)
        made["mm_token_type_ids"] = torch.cat([made["mm_token_type_ids"], 0 * ones], dim=1)
        with torch.no_grad():
            return trainer._get_per_token_logps_and_entropies(
                trainer.model, ids, mask, len(answer), num_images=[len(row["images"]) for row in batch], **made
            )[0]

    together = log_probabilities(chosen)
    alone = torch.cat([log_probabilities([number]) for number in chosen])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert len({tuple(row) for row in alone.round(decimals=3).tolist()}) == len(chosen)


# --- guards ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--per_device_train_batch_size", "3", "--rewards", "format", "--reward_weights", "1"],
         "both orders of a pair .* multiple of 4, for example 8"),
        (["--save_steps", "3"], "save_steps is 3, .* every 2 steps .* make save_steps a multiple of 2"),
        (["--save_steps", "0.5"], "make save_steps a multiple of 2"),
        (["--gradient_accumulation_steps", "3"], "one must be a multiple of the other"),
        (["--pictures_per_group", "1"], "pictures_per_group is 1"),
        (["--reward_weights", "1", "1"], "2 reward_weights for 3 rewards"),
        (["--completion_page_steps", "-1"], "completion_page_steps is -1"),
        (["--mode", "fast", "--rewards", "format", "factor", "--reward_weights", "1", "1"],
         "fast answers name no factor .* remove factor from rewards"),
        (["--mode", "fast", "--rewards", "format", "symptom", "evidence", "--reward_weights", "1", "1", "1"],
         "give no reasons: remove symptom, evidence from rewards"),
        (["--per_device_train_batch_size", "4"],
         "at least .* prompts × 2 generations = .* or set pictures_per_group lower"),
        (["--accelerator_config", '{"split_batches": true}'], "would divide ranking groups"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_before_the_model_loads(
    more: list[str], match: str, red_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=match):
        run_grpo(*arguments("no/such-model", red_folder, tmp_path / "run", *more))


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--vllm_mode", "server"], "needs GPUs on both sides"),
        (["--vllm_mode", "clint"], "vllm_mode is 'clint'"),
        ([], "vllm_max_model_length is None"),
        (["--vllm_max_model_length", "5"], "vllm_max_model_length is 5"),
        (["--vllm_max_model_length", "512", "--vllm_tensor_parallel_size", "2"], "does not divide the 1 processes"),
        (["--vllm_max_model_length", "512", "--vllm_gpu_memory_utilization", "1.5"], "between 0 and 1"),
        (["--vllm_max_model_length", "512", "--vllm_enable_sleep_mode", "true"], "leave it off on a CPU"),
    ],
)
def test_impossible_vllm_settings_are_refused(
    more: list[str], match: str, red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redaes.training import vllm_rollouts

    monkeypatch.setattr(vllm_rollouts, "find_spec", lambda name: object())  # as if it were installed
    with pytest.raises(TrainingError, match=match):
        arguments("no/such-model", red_folder, tmp_path / "run", "--use_vllm", "true", *more)


def test_a_server_address_must_be_one(monkeypatch: pytest.MonkeyPatch, red_folder: Path, tmp_path: Path) -> None:
    from redaes.training import vllm_rollouts

    _, config = arguments("no/such-model", red_folder, tmp_path / "run", "--vllm_mode", "server")
    config.use_cpu = False  # as on a machine with a GPU
    monkeypatch.setattr(vllm_rollouts, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    vllm_rollouts.check_vllm(config, 1)
    config.vllm_server_base_url = "localhost:8000"
    with pytest.raises(TrainingError, match="vllm_server_base_url is 'localhost:8000'"):
        vllm_rollouts.check_vllm(config, 1)


def test_without_vllm_the_install_line_is_named(
    red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redaes.training import vllm_rollouts

    monkeypatch.setattr(vllm_rollouts, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=re.escape(f"pip install '{vllm_rollouts.VLLM}'")):
        arguments("no/such-model", red_folder, tmp_path / "run", "--use_vllm", "true")


def test_other_reward_weights_in_the_same_folder_are_refused(red_folder: Path, tmp_path: Path) -> None:
    from redaes.training.stage_run import claim

    claim("stage3_grpo", *arguments("model", red_folder, tmp_path / "run")).begin()
    with pytest.raises(TrainingError, match="reward_weights"):
        claim("stage3_grpo", *arguments("model", red_folder, tmp_path / "run", "--reward_weights", "1", "2", "1"))


# --- running and going on ----------------------------------------------------------------------------------


def test_a_resumed_run_is_the_uninterrupted_one_beyond_the_first_epoch(
    wordy: None, tiny_model: Path, few_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    real = grpo.RankingGRPOTrainer._calculate_rewards

    def watched(self: Any, inputs: list[dict[str, Any]], *rest: Any) -> Any:
        seen.append(tuple(f"{row['group']}:{'-'.join(row['shown'])}" for row in inputs))
        return real(self, inputs, *rest)

    monkeypatch.setattr(grpo.RankingGRPOTrainer, "_calculate_rewards", watched)
    more = ["--max_steps", "14", "--learning_rate", "1e-2", "--completion_page_steps", "4", "--save_total_limit", "9",
            "--per_device_train_batch_size", "16", "--max_completion_length", "3"]  # fmt: skip
    whole = run_grpo(*arguments(tiny_model, few_folder, tmp_path / "whole", *more))
    per_epoch = round(1 / history(whole)[0]["epoch"])
    assert 2 * per_epoch < 14, "the run must reach its third epoch"
    uninterrupted = list(seen)
    assert uninterrupted[0] != uninterrupted[per_epoch // 2]  # epochs differ in order

    for stopped_at in (per_epoch, per_epoch + 2):
        out = tmp_path / f"stopped{stopped_at}"
        shutil.copytree(whole.parent, out)
        shutil.rmtree(out / "final")
        shutil.rmtree(out / "completions")
        for checkpoint in out.glob("checkpoint-*"):
            if int(checkpoint.name.removeprefix("checkpoint-")) > stopped_at:
                shutil.rmtree(checkpoint)
        seen.clear()
        again = run_grpo(*arguments(tiny_model, few_folder, out, *more))
        record = json.loads((again / "run_record.json").read_text())
        assert record["resumed_from"].endswith(f"checkpoint-{stopped_at}")
        assert seen == uninterrupted[stopped_at // 2 :]
        one, other = (load_file(folder / "adapter_model.safetensors") for folder in (whole, again))
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert any(bool(value.abs().max() > 0) for name, value in one.items() if "lora_B" in name)
        for key in ("loss", "reward", "entropy"):
            assert [e[key] for e in history(again) if key in e] == [e[key] for e in history(whole) if key in e]
        pages = {page.name: page.read_bytes() for page in (whole.parent / "completions").glob("*.html")}
        assert pages
        for page in (out / "completions").glob("*.html"):
            assert page.read_bytes() == pages[page.name]


def test_every_step_that_generates_says_what_it_sees(tiny_model: Path, few_folder: Path, tmp_path: Path) -> None:
    small = ["--max_steps", "4", "--per_device_train_batch_size", "16"]
    final = run_grpo(*arguments(tiny_model, few_folder, tmp_path / "run", *small))
    logged = [entry for entry in history(final) if "loss" in entry]
    assert len(logged) == 4
    every_step = {"entropy", "clip_ratio/region_mean"}
    generating = {
        "reward", "frac_reward_zero_std", "completions/mean_length", "completions/clipped_ratio",
        "completions/length_reward_correlation", "answers/parsed",
        *(f"rewards/reward_{name}/mean" for name in ("format", "group_consistency", "thurstone")),
    }  # fmt: skip
    assert all(every_step <= set(entry) for entry in logged)
    assert all(generating <= set(entry) for entry in logged[::2])
    record = json.loads((final / "run_record.json").read_text())["metrics"]
    assert record["ranking_groups"] > 0
    assert 0 <= record["share_of_prompts_repeated"] < 0.5


TWO_PROCESSES = """
import hashlib, json, os, sys
from pathlib import Path
from redaes.rewards import trl as rewards
from redaes.training import grpo
from redaes.training.recipes import parse
from redaes.types import Verdict

def read(completion, form):  # a random model's text as answers, so that there is something to count
    number = hashlib.sha256(rewards.completion_text(completion).encode()).digest()[0]
    if number % 3 == 0:
        return "not_the_form"
    delta = float(number % 7 - 2)
    return Verdict(winner="A" if delta > 0 else "B" if delta < 0 else "tie", delta=delta, rationale=None)

rewards.read = read
told, real = [], grpo.observations
def noted(*args, **columns):
    for one in real(*args, **columns):
        told.append(one)
        yield one
grpo.observations = noted
recipe, out, *argv = sys.argv[1:]
grpo.run_grpo(*parse(grpo.RankingGRPOConfig, Path(recipe), argv))
Path(out, f"told{os.environ['RANK']}.json").write_text(json.dumps(told))
"""


def test_figures_are_those_of_all_processes_together(tiny_model: Path, red_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES)
    out = tmp_path / "run"
    more = ["--pictures_per_group", "3", "--rewards", "format", "swap_consistency", "group_consistency"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("torchrun")), "--nproc_per_node", "2", str(script), str(RECIPE),
         str(tmp_path), "--model", str(tiny_model), "--data", str(red_folder), "--output_dir", str(out),
         "--bf16", "false", "--per_device_train_batch_size", "6",
         "--steps_per_generation", "2", "--gradient_accumulation_steps", "2",
         "--num_generations", "2", "--max_completion_length", "4", "--max_steps", "1", "--lora_r", "4", *more,
         "--reward_weights", "1", "1", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, list[float]] = {}
    counts = []
    for rank in range(2):
        own = json.loads((tmp_path / f"told{rank}.json").read_text())
        counts.append(sum(name == "answers/A" for name, _ in own))
        for name, value in own:
            told.setdefault(name, []).append(value)
    assert counts[0] != counts[1], "a mean of the processes' shares would be right by chance"
    first = next(entry for entry in history(out / "final") if "loss" in entry)
    assert len(told["answers/parsed"]) == 24
    assert {"answers/A", "answers/B", "answers/tie", "swap/agreement", "swap/gap"} < set(told)
    for name, values in told.items():
        assert first[name] == pytest.approx(np.mean(values)), name
    assert first["rewards/reward_format/mean"] == pytest.approx(np.mean(told["answers/parsed"]))


# --- what is watched ---------------------------------------------------------------------------------------


def test_length_correlates_within_prompts_only() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 90, (5, 4)).astype(float)
    earned = rng.random((5, 4))
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (lengths, earned))
    expected = np.corrcoef(x.ravel(), y.ravel())[0, 1]

    def measured(lengths: Any, earned: Any) -> float:
        return length_reward_correlation(torch.tensor(lengths).ravel(), torch.tensor(earned).ravel(), 4)

    assert measured(lengths, earned) == pytest.approx(expected)
    # Prompts with longer answers that earn more are no reason to write longer.
    offset = np.arange(5.0)[:, None]
    assert measured(lengths + 500 * offset, earned + 3 * offset) == pytest.approx(expected)
    assert measured(lengths, lengths / 9) == pytest.approx(1.0)
    assert np.isnan(measured(lengths, np.ones((5, 4))))
    without = earned.copy()
    without[2, 1] = np.nan  # a prompt with an answer that has no reward is left out
    kept = [0, 1, 3, 4]
    assert measured(lengths, without) == pytest.approx(np.corrcoef(x[kept].ravel(), y[kept].ravel())[0, 1])


@pytest.fixture
def page_rows(red_folder: Path) -> Callable[[], list[dict[str, Any]]]:
    pairs = load_pairs(red_folder, "train")
    rows, numbers = ranking_dataset(pairs, groups_of(pairs, 3), "reasoned", with_scores=True)
    return lambda: [rows[row] for own in numbers[:2] for row in (*own.pairs[0], own.singles[0]) for _ in range(2)]


def test_a_page_shows_pictures_answers_and_rewards(
    page_rows: Callable[[], list[dict[str, Any]]], tmp_path: Path
) -> None:
    rows = page_rows()
    completions = [[{"role": "assistant", "content": f"<script>{number}</script>"}] for number in range(len(rows))]
    completions[4] = [{"role": "assistant", "content": "Score: 7"}]
    figures = [number / 100 for number in range(len(rows))]
    page = write_page(
        tmp_path / "pages", 12, rows, completions, {"format": figures, "factor": [float("nan")] * 12}, figures
    )
    assert page.name == "step-000012.html"
    assert list(page.parent.iterdir()) == [page]  # nothing half-written beside it
    text = page.read_text(encoding="utf-8")
    assert text.count('src="data:image/jpeg;base64,') == 2  # each picture once, however often it is shown
    assert "http" not in text.replace("http-equiv", "")
    assert "<script>0" not in text
    assert "&lt;script&gt;0&lt;/script&gt;" in text
    assert "&lt;script&gt;6&lt;/script&gt;" not in text  # the second group is not on the page
    assert text.count("not_the_form") == 5  # all of the first group's but the score
    assert re.search(r"Score: 7.*?<td>0\.04</td><td>–</td><td>0\.04</td>", text, re.DOTALL)
    assert text == write_page(tmp_path / "pages", 12, rows, completions,
                              {"format": figures, "factor": [float("nan")] * 12}, figures).read_text()  # fmt: skip


def test_a_page_marks_a_wrong_reason_beside_a_right_verdict(
    page_rows: Callable[[], list[dict[str, Any]]], tmp_path: Path
) -> None:
    dark, bright = (Measurements(width=96, height=96, values={"brightness": value}) for value in (30.0, 60.0))
    measured = {
        "evidence": PairEvidence(first=bright, second=dark, registration=None), "faults": [None, "exposure_down"],
        "delta": 2.0, "mode": "reasoned",
    }  # fmt: skip
    rows = [{**page_rows()[0], **measured} for _ in range(5)]

    def said(text: str, delta: float = 2.0) -> list[dict[str, Any]]:
        rationale = Rationale(text=text, factors=("light",), better="A" if delta > 0 else "B")
        return [{"role": "assistant", "content": render_verdict(stated(delta, rationale))}]

    completions = [
        said("B suffers from underexposure."), said("B suffers from underexposure. B is brighter."),
        said("B is hazy."), said("A suffers from underexposure.", -2.0), said("B is darker."),
    ]  # fmt: skip
    figures = [0.5] * len(rows)
    text = write_page(tmp_path, 1, rows, completions, {"symptom": figures, "evidence": figures}, figures).read_text()
    assert "exposure_down in B" in text
    assert re.search(r"<th>symptom</th>\s*<th>evidence</th>", text)
    cells = re.findall(r"<tr><td>(.*?)</td>", text, re.DOTALL)
    assert ["verdict right, reason wrong" in cell for cell in cells] == [False, True, False, False, False]
    assert "contradicted of B: “brighter” (it is the other way round: measured brightness 60 in A, 30 in B)" in cells[1]
    assert "contradicted" not in cells[0] + cells[4]
    assert "contradicted" in cells[3]


# --- looking once -------------------------------------------------------------------------------------------


def test_looking_once_at_each_picture_changes_no_loss_and_no_weight(
    wordy: None, tiny_model: Path, few_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []

    class Counted(grpo.FrozenVisionCache):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            looked.append(self)

    runs = {}
    for name in ("once", "each time"):
        monkeypatch.setattr(grpo, "FrozenVisionCache", Counted if name == "once" else lambda *_, **__: None)
        final = run_grpo(
            *arguments(tiny_model, few_folder, tmp_path / name, "--max_steps", "4", "--learning_rate", "0.01")
        )
        steps = [(entry["loss"], entry["grad_norm"]) for entry in history(final) if "loss" in entry]
        runs[name] = steps, load_file(final / "adapter_model.safetensors")
    assert len(looked) == 1
    # Two generation batches of 36 prompts' completions, each shown when it is sampled and when it is trained on.
    assert 0 < looked[0].n_computed < looked[0].n_asked / 8
    np.testing.assert_allclose(runs["once"][0], runs["each time"][0], rtol=1e-4, atol=1e-6)
    for key, value in runs["each time"][1].items():
        torch.testing.assert_close(runs["once"][1][key], value, atol=1e-5, rtol=1e-3)
