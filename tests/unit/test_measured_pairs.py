"""Evidence of a dataset's pairs: measured once, kept by content, shared out, and there after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redaes import measured_pairs as kept
from redaes.errors import RecordError
from redaes.evidence.pair import measure_pair
from redaes.images import content_id, decode_image
from redaes.measured_pairs import MeasuredPairs, measured_pairs
from redaes.records import read_records, shards, stream_rows
from redaes.types import Edit

Seen = list[tuple[int, int]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def folder(red_folder: Path, tmp_path: Path) -> Path:
    """Two pairs of each of two ranking groups of the small dataset."""
    file = shards(red_folder, "train")[0]
    rows = list(stream_rows(file))
    views = list(dict.fromkeys(row["group"] for row in rows))[:2]
    few = [row for view in views for row in [row for row in rows if row["group"] == view][:2]]
    write(tmp_path / "red", few, pq.read_schema(file))
    return tmp_path / "red"


def write(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    file = folder / "data" / "train-00000.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)


def measured(folder: Path, **options: Any) -> tuple[MeasuredPairs, Seen]:
    seen: Seen = []
    found = measured_pairs(folder, "train", progress=lambda done, total: seen.append((done, total)), **options)
    return found, seen


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data, Path("picture")).image)


def test_a_pair_is_measured_once_at_its_own_size_and_kept(folder: Path, cache: Path, tmp_path: Path) -> None:
    records = list(read_records(folder, "train"))
    threads = cv2.getNumThreads()
    found, seen = measured(folder, workers=2)
    assert cv2.getNumThreads() == threads
    assert seen[0] == (0, len(records))
    assert seen[-1] == (len(records), len(records))
    assert len(seen) == 3  # after each of the two groups
    record = records[0]
    evidence = found.evidence(record.pair)
    assert evidence is not None
    assert evidence == measure_pair(pixels(record.first_bytes), pixels(record.second_bytes))
    assert found.evidence(record.pair.swapped()) is None  # kept in the row's order, turned by who asks
    # Again, and of a copy elsewhere: nothing is measured.
    again, seen = measured(folder)
    assert seen == [(len(records), len(records))]
    assert again.evidence(record.pair) == evidence
    (tmp_path / "moved").mkdir()
    folder.rename(tmp_path / "moved" / "red")
    assert measured(tmp_path / "moved" / "red")[1] == [(len(records), len(records))]


def test_other_contents_and_other_formulas_are_measured_anew(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(folder)
    n = len(list(read_records(folder, "train")))
    monkeypatch.setattr(kept, "VERSION", "evidence/next")
    assert measured(folder)[1][0] == (0, n)
    file = shards(folder, "train")[0]
    rows, schema = list(stream_rows(file)), pq.read_schema(file)
    sides = {"first": "second", "second": "first", "first_id": "second_id", "second_id": "first_id"}
    rows[0] |= {name: rows[0][other] for name, other in sides.items()}
    write(folder, rows, schema)
    assert measured(folder)[1][0] == (0, n)


def test_what_a_killed_process_had_measured_is_there(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = list(read_records(folder, "train"))
    lines, groups = kept._lines, []

    def killed_in_the_second_group(records: Any) -> list[bytes]:
        groups.append(len(records))
        if len(groups) == 2:
            raise KeyboardInterrupt
        return lines(records)

    monkeypatch.setattr(kept, "_lines", killed_in_the_second_group)
    with pytest.raises(KeyboardInterrupt):
        measured(folder)
    monkeypatch.setattr(kept, "_lines", lines)
    (file,) = cache.rglob("*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])  # it died in the middle of a line
    found, seen = measured(folder)
    assert seen[0] == (groups[0] - 1, len(records))
    assert seen[-1] == (len(records), len(records))
    assert all(found.evidence(record.pair) is not None for record in records)
    assert len(list(cache.rglob("*.jsonl"))) == 2  # the torn line is left alone


def test_processes_share_the_work(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = list(read_records(folder, "train"))
    by: list[int] = []
    for number in range(2):
        _, seen = measured(folder, share=(number, 2))
        by.append(seen[-1][1])
    assert sum(by) == len(records)
    found, seen = measured(folder)
    assert seen == [(len(records), len(records))]
    assert all(found.evidence(record.pair) is not None for record in records)


def test_rows_that_are_left_out_or_broken_are_passed_over(folder: Path, cache: Path) -> None:
    file = shards(folder, "train")[0]
    rows, schema = list(stream_rows(file)), pq.read_schema(file)
    rows[0] |= {"first": {**rows[0]["first"], "bytes": b"no picture"}, "first_id": content_id(b"no picture")}
    rows[1]["delta"] = 99.0
    rows[2] |= {"second": None, "second_id": None}
    edit = Edit(
        factor="light", operation="haze", direction="degrade", strength=0.5, instruction="haze", editor="test", seed=0
    )
    rows[3]["edit_second"] = edit.model_dump()
    write(folder, rows, schema)
    found, seen = measured(folder)
    assert seen[-1] == (1, 3)
    assert len(found.places) == 1
    assert measured(folder, leave_out=["haze"])[1][-1][1] < 3
    assert measured(folder, only=[rows[3]["group"]])[1][-1][1] == 1
    assert measured(folder, only=["another"])[1] == [(0, 0)]


def test_pictures_under_another_id_are_not_measured_as_that_one(folder: Path, cache: Path) -> None:
    file = shards(folder, "train")[0]
    rows, schema = list(stream_rows(file)), pq.read_schema(file)
    rows[0]["second"] = rows[0]["first"]
    write(folder, rows[:2], schema)
    (wrong, right) = read_records(folder, "train")
    found, _ = measured(folder)
    assert found.evidence(wrong.pair) is None
    assert found.evidence(right.pair) is not None


def test_what_was_deleted_meanwhile_is_said(folder: Path, cache: Path) -> None:
    found, _ = measured(folder)
    for file in cache.rglob("*.jsonl"):
        file.unlink()
    with pytest.raises(RecordError, match="to measure the pictures again"):
        found.evidence(next(iter(read_records(folder, "train"))).pair)


def test_a_cache_that_cannot_be_written_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file" / "cache")
    with pytest.raises(RecordError, match="HF_DATASETS_CACHE"):
        measured(folder)
