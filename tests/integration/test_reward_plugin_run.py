"""Stage 3 with components from outside: one real run on a tiny model, what it leaves, and going on."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from redaes.errors import TrainingError
from redaes.evidence.extraction import VERSION as CLAIMS_VERSION
from redaes.evidence.measurements import VERSION as EVIDENCE_VERSION
from redaes.records import load_pairs, shards
from redaes.rewards.plugins import COLUMNS
from redaes.table_cache import results_of
from redaes.training import grpo
from redaes.training.grpo import RankingGRPOConfig, run_grpo
from redaes.training.pair_evidence import measure_training_pairs
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.recipes import parse
from redaes.training.stage_arguments import StageArguments
from redaes.training.stage_run import claim

RECIPE = Path(__file__).parents[2] / "stages" / "configs" / "stage3_nano.yaml"
PLUGINS = """
SEEN = []

def length(completions, completion_ids, **columns):
    SEEN.append(sorted(columns))
    return [min(1.0, len(ids) / 8) for ids in completion_ids]

def redness(completions, images, mode, delta, **_):
    means = ([sum(image.resize((1, 1)).getpixel((0, 0))) / 765 for image in shown] for shown in images)
    return [None if label is None else values[0] for values, label in zip(means, delta, strict=True)]
"""


def arguments(
    model: Path | str, data: Path, out: Path, *more: str, rewards: tuple[str, ...] = ()
) -> tuple[StageArguments, RankingGRPOConfig]:
    return parse(
        RankingGRPOConfig,
        RECIPE,
        ["--model", str(model), "--data", str(data), "--output_dir", str(out), "--bf16", "false", "--disable_tqdm",
         "true", "--save_steps", "2", "--max_steps", "2", "--max_completion_length", "4", "--lora_r", "4",
         "--pictures_per_group", "2", "--per_device_train_batch_size", "8", "--num_generations", "2",
         "--rewards", *(rewards or ("format", "thurstone")), "--completion_page_steps", "2", *more],
    )  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.py"
    file.write_text(PLUGINS)
    return file


def test_a_run_with_own_components_and_what_is_measured(
    own: Path, tiny_model: Path, red_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--reward_plugin", f"{own}:length", "--reward_plugin", f"{own}:redness",
             "--reward_weights", "1", "1", "1", "1", "0.5", "2"]  # fmt: skip
    rewards = ("format", "thurstone", "symptom", "evidence")
    out = tmp_path / "run"
    stage, config = arguments(tiny_model, red_folder, out, *given, rewards=rewards)
    pickle.dumps(config)  # as the trainer does
    assert config.components == [*rewards, "length", "redness"]
    for shard in shards(red_folder, "train"):  # the same contents may have been measured before
        shutil.rmtree(results_of(shard, EVIDENCE_VERSION), ignore_errors=True)
    final = run_grpo(stage, config)
    n_pairs = len(load_pairs(red_folder, "train"))
    assert f"evidence: {n_pairs} of {n_pairs} pairs measured" in capsys.readouterr().err
    assert measure_training_pairs(stage, 1).places  # kept:
    assert "evidence" not in capsys.readouterr().err
    logged = next(
        entry for entry in json.loads((final / "trainer_state.json").read_text())["log_history"] if "loss" in entry
    )
    assert logged["rewards/reward_symptom/mean"] == logged["rewards/reward_evidence/mean"] == 0.0  # no answer parses
    assert 0 < logged["rewards/length/mean"] <= 1
    assert 0 < logged["rewards/redness/mean"] < 1
    assert logged["rewards/length/std"] >= 0
    page = next((out / "completions").glob("*.html")).read_text()
    assert re.search(r"<th>symptom</th>\s*<th>evidence</th>\s*<th>length</th>\s*<th>redness</th>", page)
    record = json.loads((final / "run_record.json").read_text())["training_arguments"]
    assert record["reward_plugin"] == given[1:4:2]
    assert record["evidence_version"] == f"{EVIDENCE_VERSION} {CLAIMS_VERSION}"
    assert [line.split()[0] for line in record["reward_plugin_files"]] == ["length", "redness"]
    assert "length sha256:" in (final / "README.md").read_text()
    assert str(own) not in (final / "README.md").read_text()  # a path of this machine
    columns = next(iter(grpo.load_plugins(config.reward_plugin)))._function.__globals__["SEEN"]
    assert set(columns[-1]) == {"prompts", *COLUMNS, "trainer_state", "log_extra", "log_metric"}

    assert claim("stage3_grpo", *arguments(tiny_model, red_folder, out, *given, rewards=rewards)).final == final
    own.write_text(PLUGINS.replace("/ 8", "/ 9"))
    with pytest.raises(TrainingError, match=r"other settings .*reward_plugin_files"):
        claim("stage3_grpo", *arguments(tiny_model, red_folder, out, *given, rewards=rewards))


def test_rows_have_the_columns_that_plugins_are_told_of(red_folder: Path) -> None:
    pairs = load_pairs(red_folder, "train")
    rows, _ = ranking_dataset(pairs, groups_of(pairs, 3)[:1], "reasoned", with_scores=True)
    assert set(rows[0]) == {"prompt", *COLUMNS}


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["{own}:length", "--reward_weights", "1", "1"], "2 reward_weights for 3 rewards and plugins"),
        (["{own}:short"], "no function named short; it has length, redness"),
        (["{own}:length", "{own}:length"], "another component is called length already"),
        (["{bad}:f", "--reward_weights", "1", "1", "1"], "raised KeyError"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_or_a_folder_is_touched(
    more: list[str], match: str, own: Path, red_folder: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f(completions, **columns): return columns['score']")
    given: list[Any] = [text.format(own=own, bad=bad) for text in more]
    with pytest.raises(TrainingError, match=match):
        arguments("no/such-model", red_folder, tmp_path / "run", "--reward_plugin", *given)
    assert not (tmp_path / "run").exists()


def test_the_command_line_replaces_the_recipe(own: Path, red_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    lines = [line for line in RECIPE.read_text().splitlines() if not line.startswith("reward_weights")]
    recipe.write_text("\n".join([*lines, f"reward_plugin: ['{own}:length']"]))
    common = ["--output_dir", str(tmp_path / "run"), "--data", str(red_folder)]
    assert parse(RankingGRPOConfig, recipe, ["--config", str(recipe), *common])[1].components[-1] == "length"
    other = ["--reward_plugin", f"{own}:redness"]
    config = parse(RankingGRPOConfig, recipe, ["--config", str(recipe), *common, *other])[1]
    assert config.reward_plugin == [f"{own}:redness"]
