"""Stage 1's data and batches: both orders, both forms, loss on the answer alone, answers of like length together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from redaes.answers import parse as read_answer
from redaes.records import read_records
from redaes.training.formatting import MODES, ORDERS, sft_dataset, target
from redaes.training.length_batches import LikeLengths
from redaes.training.recipes import parse
from redaes.training.sft import PairSFTConfig, PairSFTTrainer
from redaes.training.stage_model import base_processor, load_model

RECIPE = Path(__file__).parents[2] / "stages" / "configs" / "stage1_nano.yaml"


@pytest.fixture(scope="module")
def trainer(tiny_model: Path, red_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PairSFTTrainer:
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--bf16", "false",
            "--per_device_train_batch_size", "4", "--output_dir", str(tmp_path_factory.mktemp("sft"))]  # fmt: skip
    stage, config = parse(PairSFTConfig, RECIPE, argv)
    dataset, lengths = sft_dataset(red_folder, "train")
    return PairSFTTrainer(
        lengths=lengths,
        model=load_model(stage, torch.float32),
        args=config,
        train_dataset=dataset,
        processing_class=base_processor(stage),
    )


def test_every_pair_comes_in_both_orders_and_both_forms(red_folder: Path) -> None:
    rows = sft_dataset(red_folder, "train")[0].with_format(None)
    ways = Counter(zip(rows["id"], rows["order"], rows["mode"], strict=True))
    pairs = {record.pair.id for record in read_records(red_folder, "train")}
    assert set(ways) == {(pair, order, mode) for pair in pairs for order in ORDERS for mode in MODES}
    assert set(ways.values()) == {1}


def test_positions_are_balanced(red_folder: Path) -> None:
    examples, _ = sft_dataset(red_folder, "train")
    modes = examples.with_format(None)["mode"]
    winners = Counter(
        read_answer(example["completion"][0]["content"][0]["text"], mode).winner
        for example, mode in zip(examples, modes, strict=True)
    )
    assert winners["A"] == winners["B"] > 0


def test_the_loss_falls_on_the_whole_answer_and_nothing_else(trainer: PairSFTTrainer, red_folder: Path) -> None:
    records = {record.pair.id: record for record in read_records(red_folder, "train")}
    rows = trainer.train_dataset.with_format(None)
    numbers = [0, len(rows) // 4, len(rows) // 2, len(rows) - 1]  # one of each way
    assert len({(rows[n]["order"], rows[n]["mode"]) for n in numbers}) == 4
    batch = trainer.data_collator([trainer.train_dataset[n] for n in numbers])
    tokenizer = trainer.processing_class.tokenizer
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    for number, tokens, labels in zip(numbers, batch["input_ids"], batch["labels"], strict=True):
        row = rows[number]
        learned = tokenizer.decode(labels[labels >= 0])
        assert learned.rstrip("\n") == target(records[row["id"]], row["order"], row["mode"]) + "<|im_end|>"
        assert (tokens == image).any()
        assert not (labels == image).any()


def test_batches_hold_both_answers_about_two_pictures(trainer: PairSFTTrainer) -> None:
    assert trainer.shares_prompts
    order = list(trainer._get_train_sampler())
    lengths = trainer._lengths
    assert sorted(order) == list(range(len(lengths)))
    rows = trainer.train_dataset.with_format(None)
    longest: list[list[int]] = []
    for start in range(0, len(order), 4):
        batch = order[start : start + 4]
        for one, other in zip(batch[::2], batch[1::2], strict=True):
            assert [rows[one][name] for name in ("id", "order")] == [rows[other][name] for name in ("id", "order")]
            assert {rows[one]["mode"], rows[other]["mode"]} == set(MODES)
        longest.append(sorted(lengths[row] for row in batch)[-2:])
    apart = sum(most - least for least, most in longest[:-1])
    reasoned = sorted(length for length in lengths if length)
    assert apart < 0.3 * len(longest) * (reasoned[-1] - reasoned[0])


def test_batches_hold_answers_of_like_length(trainer: PairSFTTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "shares_prompts", False)
    sampler = trainer._get_train_sampler()
    assert sampler.batch_size == 4
    lengths = trainer._lengths
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths)))
    batches = [[lengths[row] for row in order[start : start + 4]] for start in range(0, len(order), 4)]
    padding = sum(max(batch) * len(batch) - sum(batch) for batch in batches)
    generator = torch.Generator().manual_seed(0)
    shuffled = [lengths[row] for row in torch.randperm(len(lengths), generator=generator)]
    plain = [shuffled[start : start + 4] for start in range(0, len(shuffled), 4)]
    assert padding < 0.3 * sum(max(batch) * len(batch) - sum(batch) for batch in plain)
    # Long and short batches alternate by chance: no stretch of the training sees one form only.
    forms = [max(batch) > 0 for batch in batches]
    assert len(set(forms[: len(forms) // 4])) == 2


def test_the_order_of_lengths_follows_from_seed_and_epoch_alone() -> None:
    lengths = [0, 90, 100] * 21
    one, other = (LikeLengths(lengths, batch_size=4, seed=0) for _ in range(2))
    first = list(one)
    one.set_epoch(1)
    other.set_epoch(1)
    assert list(one) == list(other) != first
    assert list(LikeLengths(lengths, batch_size=4, seed=1)) != first
    assert sorted(first) == list(range(63))
    assert len(one) == 63


def test_a_step_with_an_odd_number_of_rows_parts_the_answers_and_says_so(
    tiny_model: Path, red_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--model", str(tiny_model), "--data", str(red_folder), "--bf16", "false",
            "--per_device_train_batch_size", "3", "--output_dir", str(tmp_path / "run")]  # fmt: skip
    stage, config = parse(PairSFTConfig, RECIPE, argv)
    rows, lengths = sft_dataset(red_folder, "train")
    odd = PairSFTTrainer(
        lengths=lengths,
        model=load_model(stage, torch.float32),
        args=config,
        train_dataset=rows,
        processing_class=base_processor(stage),
    )
    assert not odd.shares_prompts
    assert capsys.readouterr().err.count("share_prompts: a step has 3 rows") == 1
    assert sorted(odd._get_train_sampler()) == list(range(len(rows)))
    with pytest.raises(ValueError, match="batches of 3 rows do not hold whole parts of \\[2\\] rows"):
        LikeLengths(lengths, batch_size=3, seed=0, together=[[0, 1], [2, 3]])
