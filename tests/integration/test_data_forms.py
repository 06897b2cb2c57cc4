"""Datasets that others saved, as sources; our exports, as others read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from redaes.datagen.export import export
from redaes.datagen.photograph_files import find
from redaes.datagen.sources import curate
from redaes.errors import InputError
from redaes.images import content_id
from redaes.records import read_records
from redaes.training.formatting import sft_example
from redaes.types import SPLITS


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def photographs(photo_folder: Path) -> datasets.Dataset:
    """The six photographs as others keep them."""
    files = sorted(photo_folder.glob("*.png"))
    columns = {"image": [str(file) for file in files], "license": ["CC0"] * 6, "label": list(range(6))}
    return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())


def _expected(photo_folder: Path) -> list[str]:
    return sorted(content_id(file.read_bytes()) for file in photo_folder.glob("*.png"))


@pytest.mark.parametrize("how", ["disk", "splits", "hub", "shuffled"])
def test_saved_datasets_are_sources(
    photographs: datasets.Dataset, photo_folder: Path, tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "saved"
    if how == "disk":
        photographs.save_to_disk(folder, num_shards=2)
        (folder / "cache-1.arrow").write_bytes(b"of an operation")
    elif how == "shuffled":
        photographs.shuffle(seed=0).save_to_disk(folder)
    elif how == "splits":
        photographs.train_test_split(2, seed=0).save_to_disk(folder)
    else:
        (folder / "data").mkdir(parents=True)
        embedded = photographs.with_format("arrow").map(datasets.table.embed_table_storage, batched=True)  # as pushed
        embedded.with_format(None).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    curation = curate([folder], test_fraction=0.34, seed=0)
    assert curation.rejected == []
    assert [source.id for source in curation.sources] == _expected(photo_folder)
    assert {source.licence for source in curation.sources} == {"CC0"}
    for source in curation.sources:
        assert source.load().ref.id == source.id


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(InputError, match=r"state\.json cannot be read"):
        find([tmp_path])


def test_a_red_dataset_is_no_source(red_folder: Path) -> None:
    with pytest.raises(InputError, match=r"several columns of pictures \(first, second\)"):
        find([red_folder])


@pytest.fixture
def preferences(red_folder: Path, tmp_path: Path) -> datasets.DatasetDict:
    export(red_folder, tmp_path / "dpo", "preference")
    return datasets.load_dataset(str(tmp_path / "dpo"), cache_dir=str(tmp_path / "cache"))


def _without_none(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Arrow gives every content part a text."""
    return [
        {**m, "content": [{k: v for k, v in part.items() if v is not None} for part in m["content"]]} for m in messages
    ]


def test_the_preferred_answer_is_what_stage_1_learns(preferences: datasets.DatasetDict, red_folder: Path) -> None:
    for split in SPLITS:
        known = {record.pair.id: record for record in read_records(red_folder, split)}
        assert {row["id"] for row in preferences[split]} == {i for i, record in known.items() if record.pair.factors}
        for row in preferences[split]:
            record = known[row["id"]]
            forward, swapped = (sft_example(record, order, "reasoned") for order in ("forward", "swapped"))
            assert _without_none(row["prompt"]) == forward["prompt"]
            assert row["chosen"] == forward["completion"]
            assert row["rejected"] == swapped["completion"]
            assert [image.tobytes() for image in row["images"]] == [image.tobytes() for image in forward["images"]]


def test_trl_collates_the_preferences(preferences: datasets.DatasetDict) -> None:
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    from redaes.backends.loading import load_processor
    from redaes.models import nano

    rows = [preferences["train"][n] for n in range(2)]
    batch = DataCollatorForVisionPreference(load_processor(nano.weights(), None))(rows)
    assert batch["input_ids"].shape[0] == 4  # two chosen, two rejected
    assert batch["completion_mask"].any(dim=1).all()
