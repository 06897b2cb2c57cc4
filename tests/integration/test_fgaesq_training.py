"""Training FGAesQ on a few synthetic series: the plan, the batches, resuming, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from redaes.datagen.series.synthetic import write_series
from redaes.errors import InputError, TrainingError
from redaes.models.fgaesq import network
from redaes.models.fgaesq.texts import text_embeddings
from redaes.models.fgaesq.tiny_clip import TINY_TOKENS, build_tiny_clip
from redaes.models.fgaesq.tokens import TokenSettings
from redaes.series_records import read_histograms, read_series, write_records
from redaes.training import fgaesq
from redaes.training.fgaesq import held_out_figures, look, run_fgaesq
from redaes.training.fgaesq_arguments import FGAesQArguments
from redaes.training.fgaesq_batches import FGAesQCollator, FGAesQData, Key, PlannedBatches, plan
from redaes.training.recipes import parse_with

# isort: split
from transformers import TrainingArguments

RECIPE = Path(__file__).parents[2] / "stages" / "configs" / "fgaesq_tiny.yaml"
SMALL = FGAesQArguments(coarse_epochs=1, joint_epochs=2, series_per_batch=2, pictures_per_batch=3, max_pairs=2)


@pytest.fixture(scope="module")
def data(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    photos = {f"photo{number}": photo_folder / f"photo{number}.png" for number in range(3)}
    write_series(
        photos, folder, per_category=1, lengths=(3,), n_coarse=2, side=96,
        split_of={name: "test" if name == "photo2" else "train" for name in photos}, seed=0,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    build_tiny_clip(folder, ["the first photo is better than the second: better light"], seed=0, width=64, layers=2)
    return folder


def settings(data: Path, out: Path, *more: str) -> tuple[FGAesQArguments, TrainingArguments]:
    return parse_with(
        FGAesQArguments, TrainingArguments, RECIPE,
        ["--series", str(data / "series.jsonl"), "--coarse", str(data / "coarse.jsonl"), "--output_dir", str(out),
         "--series_per_batch", "2", "--pictures_per_batch", "3", "--save_steps", "2", "--logging_steps", "1", *more],
    )  # fmt: skip


# --- The plan ---


def test_coarse_epochs_come_first_and_then_the_kinds_take_turns() -> None:
    batches = plan(5, 4, SMALL, seed=1)
    kinds = [batch[0].kind for batch in batches]
    assert kinds == ["coarse", "coarse", *(["fine", "coarse"] * 6)]
    assert all(len({key.kind for key in batch}) == 1 for batch in batches)
    assert {len(batch) for batch in batches} == {2, 3}
    for epoch in range(2):
        seen = [key.index for batch in batches for key in batch if key.kind == "fine" and key.epoch == epoch]
        assert set(seen) == set(range(5))
        assert len(seen) == 6
    assert batches == plan(5, 4, SMALL, seed=1)
    assert batches != plan(5, 4, SMALL, seed=2)


def test_processes_share_a_batch_without_overlap() -> None:
    batches = plan(8, 12, SMALL, n_processes=2)
    parts = [PlannedBatches(batches, process, 2) for process in range(2)]
    assert len(parts[0]) == len(parts[1]) == len(batches)
    for whole, one, other in zip(batches, *parts, strict=True):
        assert len(one) == len(other) == (2 if whole[0].kind == "fine" else 3)
        assert set(one) | set(other) == set(whole)


def test_without_coarse_data_only_series_are_planned() -> None:
    assert {key.kind for batch in plan(3, 0, SMALL) for key in batch} == {"fine"}


# --- Batches ---


def test_a_fine_batch_knows_views_pictures_and_texts(data: Path, clip: Path) -> None:
    series = read_series(data / "series.jsonl")
    items = FGAesQData(series, read_histograms(data / "coarse.jsonl"), TINY_TOKENS, SMALL)
    texts = {pair.text for item in series for pair in item.pairs if pair.text}
    collate = FGAesQCollator(text_embeddings(clip, texts))
    batch = collate([items[Key("fine", 0, 0)], items[Key("fine", 1, 0)]])
    assert batch["views"].n_tokens.shape == (8,)  # two series, two pairs each, both pictures of a pair
    assert batch["pairs"].tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert batch["scores"].shape == (2, 3)
    table = batch["scores"].flatten()[batch["cell"]]
    better = table[batch["pairs"][0]] > table[batch["pairs"][1]]
    assert torch.equal(better.float(), batch["probability"])
    assert torch.equal(batch["has_text"], better), "texts that say worse are left out"
    assert 0 < int(better.sum()) < 4
    assert batch["text"].norm(dim=-1).tolist() == pytest.approx(better.float().tolist(), abs=1e-5)
    without = FGAesQCollator({})([items[Key("fine", 0, 0)]])
    assert not without["has_text"].any()
    coarse = collate([items[Key("coarse", 0, 0)]])
    assert coarse["target"].sum().item() == pytest.approx(1)


def test_epochs_draw_other_pairs_and_tokens(data: Path) -> None:
    items = FGAesQData(read_series(data / "series.jsonl"), [], TINY_TOKENS, SMALL)
    drawn = [items[Key("fine", 0, epoch)] for epoch in range(6)]
    assert len({item.image for item in drawn}) > 1
    assert drawn[0].image == items[Key("fine", 0, 0)].image


def test_without_difference_tokens_every_picture_has_one_view(data: Path) -> None:
    items = FGAesQData(
        read_series(data / "series.jsonl"), [], TINY_TOKENS, replace(SMALL, difference_tokens=False, max_pairs=9)
    )
    item = items[Key("fine", 0, 0)]
    assert (len(item.views), item.image, item.pairs) == (3, (0, 1, 2), ((0, 1), (0, 2), (1, 2)))


# --- Runs ---


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_fgaesq(*settings(data, tmp_path_factory.mktemp("run") / "out", "--max_steps", "6"))


def test_a_run_leaves_a_model_and_a_record(trained: Path, data: Path) -> None:
    record = json.loads((trained / "run_record.json").read_text())
    assert record["stage"] == "fgaesq"
    assert record["revision"] == network.revision(trained)
    assert record["training_arguments"]["max_steps"] == 6
    assert record["metrics"]["held_out_series"] == 3
    assert record["metrics"]["views_per_second"] > 0
    held_out = [item for item in read_series(data / "series.jsonl") if item.split == "test"]
    figures = held_out_figures([look(network.load(trained), held_out)])
    assert figures == {name: record["metrics"][name] for name in figures}
    shared = held_out_figures([look(network.load(trained), held_out[process::2]) for process in range(2)])
    assert shared == figures, "two processes that share the series come to the same"


def test_the_look_at_held_out_series_comes_after_saving(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies there has its model, and does not train again."""
    seen = []

    def dies(model: network.FGAesQ, *_: object) -> None:
        seen.append((network.load(tmp_path / "out" / "final").n_parameters(), next(model.parameters()).device))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fgaesq, "look", dies)
        with pytest.raises(KeyboardInterrupt):
            run_fgaesq(*settings(data, tmp_path / "out", "--max_steps", "2"))
    assert len(seen) == 1
    assert seen[0][1] == torch.device("cpu")
    before = (tmp_path / "out" / "final" / network.WEIGHTS).read_bytes()
    final = run_fgaesq(*settings(data, tmp_path / "out", "--max_steps", "2"))
    assert json.loads((final / "run_record.json").read_text())["metrics"]["held_out_series"] == 3
    assert (final / network.WEIGHTS).read_bytes() == before


def test_looking_leaves_a_model_where_it_is(trained: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scorer is told the model's own device; on the CPU it would be moved there from a GPU."""
    told = []
    scorer = fgaesq.FGAesQScorer
    monkeypatch.setattr(
        fgaesq, "FGAesQScorer", lambda *args, **kept: told.append(kept["device"]) or scorer(*args, **kept)
    )
    settings = network.load(trained).settings
    with torch.device("meta"):
        model = network.FGAesQ(settings)
    look(model, [])
    assert told == ["meta"]


def test_a_held_out_picture_that_cannot_be_read_is_named(trained: Path, data: Path, tmp_path: Path) -> None:
    held_out = [item for item in read_series(data / "series.jsonl") if item.split == "test"]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    held_out[0] = held_out[0].model_copy(update={"images": (broken, *held_out[0].images[1:])})
    figures = held_out_figures([look(network.load(trained), held_out)])
    assert figures["held_out_series"] == 2
    assert figures["held_out_unreadable"][0].startswith(f"{held_out[0].id}: {broken}")


def test_every_part_of_the_network_learns(trained: Path, data: Path) -> None:
    start = network.from_clip(trained.parent / "tiny_clip", TINY_TOKENS, seed=0).state_dict()
    end = network.load(trained).state_dict()
    still = {name for name in start if torch.equal(start[name], end[name])}
    assert not {name for name in still if "position_ids" not in name}


def test_it_learns_the_order_of_series_that_it_sees(data: Path, tmp_path: Path) -> None:
    known = [item for item in read_series(data / "series.jsonl") if item.split == "train"][:2]
    write_records(tmp_path / "series.jsonl", known)
    shutil.copy(data / "coarse.jsonl", tmp_path)
    final = run_fgaesq(
        *settings(
            tmp_path, tmp_path / "out", "--max_steps", "60", "--coarse_epochs", "0", "--joint_epochs", "60",
            "--coarse", str(data / "coarse.jsonl"), "--align_weight", "1", "--learning_rate", "1e-3",
            "--logging_steps", "60", "--save_steps", "60",
        )
    )  # fmt: skip
    assert held_out_figures([look(network.load(final), known)])["held_out_pair_accuracy"] > 0.8


def test_a_run_cut_off_goes_on_from_its_checkpoint(data: Path, tmp_path: Path) -> None:
    whole = run_fgaesq(*settings(data, tmp_path / "a", "--max_steps", "4"))
    cut = run_fgaesq(*settings(data, tmp_path / "b", "--max_steps", "4", "--save_total_limit", "3"))
    shutil.rmtree(cut)
    (tmp_path / "b" / "checkpoint-4" / "trainer_state.json").write_text("{cut off")
    final = run_fgaesq(*settings(data, tmp_path / "b", "--max_steps", "4", "--save_total_limit", "3"))
    assert json.loads((final / "run_record.json").read_text())["resumed_from"].endswith("checkpoint-2")
    expected = network.load(whole).state_dict()
    for name, value in network.load(final).state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)


def test_tokens_follow_the_clip_model_unless_they_are_given() -> None:
    assert FGAesQArguments().tokens() == TINY_TOKENS
    assert FGAesQArguments(clip="folder").tokens() == TokenSettings()
    given = FGAesQArguments(clip="folder", budget=80, fine_blocks=5, min_side=0)
    assert given.tokens() == TINY_TOKENS
    with pytest.raises(InputError, match="fine_blocks is 40"):
        FGAesQArguments(fine_blocks=40).tokens()


def test_wrong_settings_and_data_are_refused(data: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"other settings .*joint_epochs"):
        run_fgaesq(*settings(data, trained.parent, "--max_steps", "6", "--joint_epochs", "5"))
    with pytest.raises(TrainingError, match="series_per_batch is 0"):
        settings(data, tmp_path, "--series_per_batch", "0")
    with pytest.raises(TrainingError, match="give a file as --series"):
        run_fgaesq(FGAesQArguments(), settings(data, tmp_path / "none")[1])
    with pytest.raises(TrainingError, match="would teach nothing"):
        settings(data, tmp_path, "--align_weight", "0", "--rank_weight", "0")
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("serie: x\n")
    with pytest.raises(InputError, match="unknown keys: serie"):
        parse_with(FGAesQArguments, TrainingArguments, RECIPE, ["--config", str(recipe)])
    series = read_series(data / "series.jsonl")
    held_out = [item for item in series if item.split == "test"]
    write_records(tmp_path / "series.jsonl", held_out)
    shutil.copy(data / "coarse.jsonl", tmp_path)
    with pytest.raises(TrainingError, match="no series of the split 'train'"):
        run_fgaesq(*settings(tmp_path, tmp_path / "out"))
    write_records(tmp_path / "series.jsonl", [*series, held_out[0].model_copy(update={"split": "train"})])
    with pytest.raises(TrainingError, match="several splits"):
        run_fgaesq(*settings(tmp_path, tmp_path / "out"))
