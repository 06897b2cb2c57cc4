"""Imported judgements in the stages: pairs without reasoning train what they can, and every stage says so."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import datasets
import pytest
from own_votes import import_votes
from test_stages import moved, run
from train_runs import POLICY
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.merged_dataset import merge_datasets
from redaes.datagen.merged_sets import sets_to_merge
from redaes.records import read_records
from redaes.training.formatting import preference_dataset, sft_dataset
from redaes.training.length_batches import LikeLengths
from redaes.training.sft import answers_about_the_same

SAID = {
    "stage1": "train the fast mode",
    "stage2": "count for the ranking losses, and give a fast answer",
    "stage2_dpo": "are preferred in the fast mode alone",
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine photographs, each with a dark copy that most voters like less; a third of the pairs with reasoning in both
    orders, a third in one."""
    return import_votes(tmp_path_factory.mktemp("votes"), 9)


@pytest.fixture(scope="module")
def mixed(red_folder: Path, imported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built set and the imported one, whose pairs come twice."""
    out = tmp_path_factory.mktemp("mixed") / "both"
    merge_datasets(sets_to_merge([red_folder, imported], [1, 2]), out)
    return out


def command(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def reasoned_orders(folder: Path) -> Counter[int]:
    """Pairs of the train split by the number of orders for which they have reasoning."""
    return Counter(
        (record.rationale is not None) + (record.rationale_swapped is not None)
        for record in read_records(folder, "train")
    )


@pytest.mark.parametrize("share", ["true", "false"])
@pytest.mark.parametrize("stage", list(SAID))
def test_stages_train_on_pairs_without_reasoning(
    stage: str, share: str, imported: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final = run(stage, tiny_model, imported, tmp_path / "run", "--share_prompts", share, "--learning_rate", "1e-3")
    n = reasoned_orders(imported)
    assert all(n[orders] for orders in range(3))
    said = capsys.readouterr().err
    assert f"with reasoning in both orders {n[2]} ({n[1]} more in one order)" in said
    assert f"the {n[0] + n[1]} pairs without reasoning in both orders {SAID[stage]}" in said
    assert json.loads((final / "run_record.json").read_text())["metrics"]["shares_prompts"] is (share == "true")
    assert moved(final) == {True}


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage2_dpo"])
def test_what_is_read_once_is_learned_as_what_is_read_twice(
    stage: str, mixed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Stage 1 deals its rows out otherwise where they are packed, so there only the others are compared."""
    losses = []
    for share in ("true", "false"):
        final = run(stage, tiny_model, mixed, tmp_path / share, "--share_prompts", share)
        history = json.loads((final / "trainer_state.json").read_text())["log_history"]
        losses.append([entry["loss"] for entry in history if "loss" in entry])
    assert all(math.isfinite(loss) for its in losses for loss in its)
    assert stage == "stage1" or losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_reasoned_mode_is_learned_where_there_is_reasoning(imported: Path) -> None:
    n = reasoned_orders(imported)
    rows, lengths = sft_dataset(imported, "train")
    modes = Counter(rows.with_format(None)["mode"])
    assert modes == {"fast": 2 * n.total(), "reasoned": 2 * n[2] + n[1]}
    assert len(lengths) == len(rows)
    assert all(len(rows[number]["images"]) == 2 for number in range(len(rows)))  # every row can be made
    preferred, _, n_ties = preference_dataset(imported, "train")
    assert Counter(preferred.with_format(None)["mode"]) == {"fast": 2 * n.total(), "reasoned": 2 * n[2]}
    assert n_ties == 0
    assert len(list(preferred)) == len(preferred)


def test_answers_go_two_by_two(mixed: Path) -> None:
    rows, lengths = sft_dataset(mixed, "train")
    together = answers_about_the_same(rows)
    assert {len(part) for part in together} == {2}
    seen = Counter(number for part in together for number in part)
    assert set(seen) == set(range(len(rows)))
    assert sum(times > 1 for times in seen.values()) <= 1
    plain = rows.with_format(None)
    weights = plain["draw_weight"]
    names, modes = plain["id"], plain["mode"]
    assert all(weights[one] == weights[other] for one, other in together)
    apart = [part for part in together if names[part[0]] != names[part[1]]]
    assert all(modes[number] == "fast" for part in apart for number in part)
    sampler = LikeLengths(lengths, batch_size=4, seed=0, together=together, weights=weights)
    assert len(list(sampler)) == len(sampler)


def test_a_last_answer_that_is_left_is_beside_itself() -> None:
    rows = datasets.Dataset.from_dict(
        {
            "id": ["a", "a", "a", "b", "b"],
            "order": ["forward", "forward", "swapped", "forward", "swapped"],
            "mode": ["reasoned", "fast", "fast", "fast", "fast"],
        }
    )
    assert answers_about_the_same(rows) == [[0, 1], [3, 4], [2, 2]]
    sampler = LikeLengths([9, 0, 0, 0, 0], batch_size=2, seed=0, together=answers_about_the_same(rows))
    assert len(sampler) == len(list(sampler)) == 6


def test_a_whole_set_without_reasoning_trains_the_fast_mode(imported: Path, tiny_model: Path, tmp_path: Path) -> None:
    """As any list of winners gives it."""
    photographs = imported.parent
    (photographs / "winners.csv").write_text(
        "first,second,winner,source\n" + "".join(f"{n}.png,{n}-dark.png,first,p{n}\n" for n in range(9))
    )
    command("data", "import", str(photographs / "winners.csv"), "--out", str(tmp_path / "set"))
    for stage in ("stage1", "stage2"):
        final = run(stage, tiny_model, tmp_path / "set", tmp_path / stage)
        assert moved(final) == {True}
    final = run("stage2", tiny_model, tmp_path / "set", tmp_path / "few", "--per_device_train_batch_size", "1")
    assert moved(final) == {True}


@pytest.mark.parametrize("share", ["true", "false"])
def test_stage3_rewards_by_the_label_alone(share: str, imported: Path, tmp_path: Path) -> None:
    """The factor is no reward where nobody said what decides; where somebody did, it is."""
    final = run(
        "stage3", Path("redaes/nano"), imported, tmp_path / "run", "--share_prompts", share,
        "--rewards", "format", "preference", "factor", "--reward_weights", "0.2", "1", "1",
        "--max_completion_length", "112", "--per_device_train_batch_size", "8", "--num_generations", "4",
        "--max_steps", "2",
    )  # fmt: skip
    history = [e for e in json.loads((final / "trainer_state.json").read_text())["log_history"] if "reward" in e]
    assert len(history) == 2
    assert all(math.isfinite(entry["rewards/reward_preference/mean"]) for entry in history)
    assert all(math.isfinite(entry["reward"]) for entry in history)


def test_a_mixed_set_goes_through_the_stages_one_after_the_other(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--lora_r", "4", "--lora_alpha", "8"]
    before: Path | None = None
    for stage in ("stage1", "stage2", "stage3"):
        more = POLICY if stage == "stage3" else small
        adapter = [] if before is None else ["--adapter", str(before)]
        before = run(stage, Path("redaes/nano"), mixed, tmp_path / stage, *more, *adapter)
        assert "people" in capsys.readouterr().err
    command(
        "eval", "red", "--data", str(mixed), "--option", "model=redaes/nano", "--option", f"adapter={before}",
        "--out", str(tmp_path / "eval"),
    )  # fmt: skip
    (results,) = (tmp_path / "eval").rglob("results.json")
    assert json.loads(results.read_text())
