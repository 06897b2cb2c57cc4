"""Samplers that draw by weight: as often as is said, reproducibly, and without weights as before."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file
from train_runs import POLICY, train

from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.merged_dataset import merge_datasets
from redaes.datagen.merged_sets import sets_to_merge
from redaes.datagen.pipeline import build
from redaes.errors import TrainingError
from redaes.file_writing import read_json
from redaes.records import load_pairs
from redaes.training.formatting import sft_dataset
from redaes.training.group_batches import GroupPrompts, GroupSampler, ShuffledGroups
from redaes.training.length_batches import LikeLengths
from redaes.training.ranking_rows import groups_of, ranking_dataset
from redaes.training.sft import answers_about_the_same
from redaes.training.weighted_draws import (
    WeightedGroups,
    WeightedRows,
    draw_weights,
    weighted_sets,
    weights_of_parts,
)
from redaes.types import SPLITS
from tests.conftest import synthetic_photograph

ROOT = Path(__file__).parents[2]


def epochs(sampler: LikeLengths | ShuffledGroups | GroupSampler, n: int) -> list[list[int]]:
    found = []
    for epoch in range(n):
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0, 1.5, 3.0])
def test_rows_come_as_often_as_their_weight_says(weight: float) -> None:
    parts = [[0, 1, 2], [3], [4, 5], [6, 7, 8, 9], [10, 11]]
    draws = WeightedRows(parts, [weight] * 5, seed=1)
    assert len(draws) == 12 * weight
    count: Counter[int] = Counter()
    for epoch in range(8):
        rows = [row for piece in draws.of_epoch(epoch) for row in piece]
        assert len(rows) == len(draws)
        count.update(rows)
        often = [count[row] for row in range(12)]
        assert max(often) - min(often) <= 1  # nothing again before all others
    assert set(count.values()) == {round(8 * weight)}


def test_what_an_epoch_draws_depends_on_seed_and_epoch_alone() -> None:
    def made(seed: int = 0) -> WeightedRows:
        return WeightedRows([[row] for row in range(40)], [0.5] * 20 + [2.0] * 20, seed=seed)

    in_order = made()
    before = [in_order.of_epoch(epoch) for epoch in range(4)]
    assert made().of_epoch(3) == before[3]
    assert made(seed=1).of_epoch(3) != before[3]
    low = [{row for (row,) in one if row < 20} for one in before]
    assert low[0] | low[1] == set(range(20))
    assert low[0] != low[2]


def test_whole_groups_come_in_turn_and_every_epoch_is_as_large() -> None:
    sizes = [6, 6, 4, 4, 4, 2, 2, 2, 2, 12]
    draws = WeightedGroups(sizes, [0.4] * 5 + [2.5] * 5, seed=0)
    count: Counter[int] = Counter()
    for epoch in range(60):
        drawn = draws.of_epoch(epoch)
        assert all(sizes[number] <= slot for number, slot in zip(drawn, draws.sizes, strict=True))
        count.update(drawn)
        assert sum(number < 5 for number in drawn) == 2
        assert sum(number >= 5 for number in drawn) == 12
    assert all(20 <= count[number] <= 30 for number in range(5))  # 24 on average
    assert all(2 * 60 + 20 <= count[number] <= 2 * 60 + 30 for number in range(5, 10))
    assert min(draws.sizes) == 2
    assert WeightedGroups(sizes, [0.01] * 10, seed=0).sizes == [12]  # one at least


def test_weights_of_one_are_as_none_at_all() -> None:
    """The order without weights is pinned: what was trained before is trained again to the last bit."""
    lengths, groups = [5, 1, 4, 1, 3, 9], ["a", "b", "a", "c", "b", "a"]
    plain = LikeLengths(lengths, batch_size=2, seed=3)
    assert list(plain) == PINNED["lengths"]
    assert list(ShuffledGroups(groups, seed=3)) == PINNED["groups"]
    prompts = [GroupPrompts(((4 * n, 4 * n + 1),), (4 * n + 2, 4 * n + 3)[: n % 3]) for n in range(5)]
    sampler = GroupSampler(prompts, capacity=6, num_generations=1, n_processes=1, repeat_count=1, seed=3)
    assert list(sampler) == PINNED["prompts"]
    rows = datasets.Dataset.from_dict({"draw_weight": [1.0, None]})
    assert draw_weights(rows) is None
    assert draw_weights(rows.remove_columns("draw_weight")) is None


PINNED: dict[str, Sequence[int]] = {
    "lengths": [2, 5, 4, 0, 3, 1],
    "groups": [3, 0, 2, 5, 1, 4],
    "prompts": [8, 9, 10, 11, 0, 1, 12, 13, 12, 13, 12, 13, 4, 5, 6, 16, 17, 18],
}
"""What these samplers gave before they knew of weights."""


def test_answers_stay_together_and_batches_whole() -> None:
    lengths = [1, 9, 1, 8, 1, 7, 1, 6]
    together = [[0, 1], [2, 3], [4, 5], [6, 7]]
    weights = [0.5] * 4 + [2.0] * 4
    found = epochs(LikeLengths(lengths, batch_size=2, seed=0, together=together, weights=weights), 4)
    assert {len(rows) for rows in found} == {10}
    for rows in found:
        assert all(rows[place : place + 2] in together for place in range(0, 10, 2))
    count = Counter(row for rows in found for row in rows)
    assert [count[row] for row in range(8)] == [2] * 4 + [8] * 4
    with pytest.raises(TrainingError, match=r"several|0.5, 2.0"):
        LikeLengths(lengths, batch_size=2, seed=0, together=together, weights=[0.5, 2.0] * 4)


def test_groups_of_a_batch_are_whole_and_the_epoch_of_one_length() -> None:
    prompts = [
        GroupPrompts(tuple((100 * n + 2 * i, 100 * n + 2 * i + 1) for i in range(1 + n % 3)), ()) for n in range(9)
    ]
    weights = [0.5] * 6 + [2.0] * 3
    sampler = GroupSampler(
        prompts, capacity=8, num_generations=2, n_processes=1, repeat_count=1, seed=0, weights=weights
    )
    found = epochs(sampler, 4)
    assert len({len(rows) for rows in found}) == 1
    whole = {n: {row for pair in group.pairs for row in pair} for n, group in enumerate(prompts)}
    for rows in found:
        for start in range(0, len(rows), 16):
            batch = set(rows[start : start + 16])
            assert all(whole[row // 100] <= batch for row in batch)
        assert {row // 100 for row in rows} >= {6, 7, 8}
    assert {row // 100 for rows in found for row in rows} == set(range(9))
    assert epochs(sampler, 4) == found
    assert 0 <= sampler.share_repeated < 1


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_are_none_are_refused(weight: float) -> None:
    with pytest.raises(TrainingError, match="give a finite number above 0"):
        draw_weights(datasets.Dataset.from_dict({"draw_weight": [1.0, weight]}))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sets of few pairs of different photographs."""
    place = tmp_path_factory.mktemp("few")
    found = []
    for first in (21, 31):
        photographs = [place / f"{seed}.png" for seed in range(first, first + 3)]
        for seed, file in enumerate(photographs, start=first):
            synthetic_photograph(seed).save(file)
        found.append(place / f"set{first}")
        build(photographs, found[-1], DatasetSettings(views=2, variants=2, max_side=96, test_fraction=0.34, seed=2))
    return found


@pytest.fixture(scope="module")
def merged(red_folder: Path, few: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set, and one of other photographs whose pairs come three times in an epoch."""
    out = tmp_path_factory.mktemp("merged") / "both"
    merge_datasets(sets_to_merge([red_folder, few[0]], [1, 3]), out)
    return out


def test_the_stages_read_the_weights_of_a_merged_dataset(merged: Path) -> None:
    pairs = load_pairs(merged, "train")
    weights = draw_weights(pairs)
    assert weights is not None
    assert set(weights) == {1.0, 3.0}
    wanted = sum(map(round, weights))
    assert weighted_sets(merged) == {
        name: {"pairs": weights.count(weight), "weight": weight}
        for name, weight in zip(dict.fromkeys(pairs["merged_from"]), (1.0, 3.0), strict=True)
    }
    rows, lengths = sft_dataset(merged, "train")
    each = draw_weights(rows)
    assert each is not None
    sampler = LikeLengths(lengths, batch_size=4, seed=0, together=answers_about_the_same(rows), weights=each)
    (drawn,) = epochs(sampler, 1)
    assert len(drawn) == 4 * wanted
    assert Counter(drawn) == {row: round(weight) for row, weight in enumerate(each)}
    (aligned,) = epochs(ShuffledGroups(pairs["group"], seed=0, weights=weights), 1)
    assert Counter(aligned) == {row: round(weight) for row, weight in enumerate(weights)}
    groups = groups_of(pairs, 0)
    of_groups = weights_of_parts([[pair.row for pair in group.pairs] for group in groups], weights)
    _, numbers = ranking_dataset(pairs, groups, "fast", with_scores=False)
    largest = max(group.size for group in numbers)
    ranked = GroupSampler(
        numbers, capacity=largest, num_generations=2, n_processes=1, repeat_count=1, seed=0, weights=of_groups
    )
    (prompts,) = epochs(ranked, 1)
    assert of_groups is not None
    count = Counter(prompts)
    assert all(
        count[row] >= 2 * round(weight)
        for group, weight in zip(numbers, of_groups, strict=True)
        for pair in group.pairs
        for row in pair
    )


STEPS = {"stage1": 36, "stage2": 6, "stage2_dpo": 24, "stage3": 8}
"""Rows of a step with which four steps are more than an epoch of the two small sets below, or completions."""


@pytest.mark.parametrize("stage", list(STEPS))
def test_a_resumed_run_draws_what_was_left(
    stage: str, few: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "both"
    merge_datasets(sets_to_merge(few, [0.5, 1.5]), data)
    out = tmp_path / "run"
    more = POLICY if stage == "stage3" else ["--model", "redaes/nano"]
    options = [
        *more, "--data", str(data), "--output_dir", str(out), "--max_steps", "4", "--save_steps", "2",
        "--learning_rate", "1e-3", "--warmup_steps", "0", "--bf16", "false", "--disable_tqdm", "true",
        "--logging_steps", "1", "--per_device_train_batch_size", str(STEPS[stage]),
    ]  # fmt: skip
    whole = load_file(train(stage, options) / "adapter_model.safetensors")
    assert "pairs × 0.5, set31" in capsys.readouterr().out
    record = read_json(out / "final" / "run_record.json")
    assert {name: one["weight"] for name, one in record["merged_from"].items()} == {"set21": 0.5, "set31": 1.5}
    epoch = read_json(out / "final" / "trainer_state.json")["epoch"]
    shutil.rmtree(out / "final")
    shutil.rmtree(out / "checkpoint-4")
    resumed = load_file(train(stage, options) / "adapter_model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert stage == "stage3" or epoch > 1


def test_drawing_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    WeightedRows([[0], [1]], [0.5, 2.0], seed=0).of_epoch(3)
    WeightedGroups([2, 4], [0.5, 2.0], seed=0).of_epoch(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_groups_with_an_edit_of_one_factor_are_drawn_more_often(red_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "weighted"
    command = [sys.executable, "benchmarks/draw_more_often.py", red_folder, "--factor", "light", "--weight", "2.5"]
    done = subprocess.run(
        [*map(str, command), "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for split in SPLITS:
        before, after = load_pairs(red_folder, split), load_pairs(out, split)
        assert after["id"] == before["id"]
    pairs = load_pairs(out, "train")
    weights = draw_weights(pairs)
    assert weights is not None
    with_light: dict[str, bool] = {}
    for row in pairs.with_format(None).select_columns(["group", "edit_first", "edit_second"]):
        edits = [edit for edit in (row["edit_first"], row["edit_second"]) if edit]
        with_light[row["group"]] = with_light.get(row["group"], False) or any(e["factor"] == "light" for e in edits)
    assert set(with_light.values()) == {True, False}
    assert weights == [2.5 if with_light[group] else 1.0 for group in pairs["group"]]
    assert draw_weights(load_pairs(out, "test")) is None
