"""Records survive the disk, and what is damaged is refused by name."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from redaes import file_hashes, records, table_cache
from redaes.datagen.editors.parametric import make_edit
from redaes.datagen.statistics import statistics
from redaes.datagen.validation import validate
from redaes.errors import RecordError
from redaes.file_writing import read_json, write_atomically, write_json, writing
from redaes.images import content_id
from redaes.records import PairRecord, data_hash, load_pairs, read_records, write_shard
from redaes.types import SPLITS, Agreement, Edit, ImageRef, Pair, Rationale


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def _jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def _record(number: int, delta: float | None = 2.5, *, reasoned: bool = True) -> PairRecord:
    first, second = _jpeg("white"), _jpeg("black")
    pair = Pair(
        id=f"{number:016x}",
        first=ImageRef(id=content_id(first), path=Path(f"{number}-first.jpg")),
        second=ImageRef(id=content_id(second), path=Path(f"{number}-second.jpg")),
        delta=delta,
        edit_first=None,
        edit_second=make_edit("exposure_down", 0.4, seed=1),
        factors=("light",),
        group="g-0",
        source="s" * 64,
        split="train",
    )
    return PairRecord(
        pair=pair,
        first_bytes=first,
        second_bytes=second,
        rationale=Rationale(text="B is dark.", factors=("light",), better="A") if reasoned else None,
        rationale_swapped=Rationale(text="A is dark.", factors=("light",), better="B") if reasoned else None,
        licence="CC0; ünïcode",
    )


def _shard(folder: Path, name: str = "train-00000") -> Path:
    return folder / "data" / f"{name}.parquet"


def test_round_trip(tmp_path: Path) -> None:
    written = [_record(0), _record(1, delta=None), _record(2, delta=-9.0), _record(3, reasoned=False)]
    write_shard(_shard(tmp_path), written)
    assert list(read_records(tmp_path, "train")) == written


def test_a_shard_without_rows_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        write_shard(_shard(tmp_path), [])
    assert not _shard(tmp_path).exists()


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(_shard(tmp_path / name), [_record(n) for n in range(5)])
    assert _shard(tmp_path / "a").read_bytes() == _shard(tmp_path / "b").read_bytes()
    assert records.data_hash(tmp_path / "a") == records.data_hash(tmp_path / "b")


def test_the_hash_sees_content_and_split(tmp_path: Path) -> None:
    write_shard(_shard(tmp_path / "a"), [_record(0)])
    write_shard(_shard(tmp_path / "b"), [_record(1)])
    write_shard(_shard(tmp_path / "c", "test-00000"), [_record(0)])
    assert len({records.data_hash(tmp_path / name) for name in "abc"}) == 3


def test_writing_replaces_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file.bin"]


def test_two_may_write_one_file_at_the_same_time_and_each_writes_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with writing(path) as first:
        first.write_bytes(b"fir")
        with writing(path) as second:
            second.write_bytes(b"second")
        assert path.read_bytes() == b"second"
        with first.open("ab") as file:
            file.write(b"st")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match=r"file\.bin.*No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some disk space"),
        (errno.EACCES, "make the folder writable"),
        (errno.EROFS, "the file system is read-only"),
    ],
)
def test_the_remedy_is_that_of_the_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RecordError, match=remedy):
        write_atomically(tmp_path / "file.bin", b"new")


def test_the_longest_name_can_be_written_and_a_longer_one_is_said_to_be_that(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("a" * 251 + ".xmp"), b"x")
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [1]
    with pytest.raises(RecordError, match="shorten its name"):
        write_atomically(tmp_path / ("a" * 300), b"x")


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(RecordError, match="taken"):
        write_atomically(tmp_path / "taken" / "file", b"x")


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"gone\.json"):
        read_json(tmp_path / "gone.json")


def test_a_folder_without_shards_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"redaes data build"):
        records.load_pairs(tmp_path, "train")


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "SCHEMA_VERSION", 99)
    write_shard(_shard(tmp_path), [_record(0)])
    monkeypatch.undo()
    with pytest.raises(RecordError, match=r"train-00000\.parquet has schema version 99"):
        records.load_pairs(tmp_path, "train")


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign"])
def test_a_corrupt_shard_is_named(tmp_path: Path, damage: str) -> None:
    write_shard(_shard(tmp_path), [_record(0)])
    write_shard(_shard(tmp_path, "train-00001"), [_record(1)])
    path = _shard(tmp_path, "train-00001")
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "foreign": b"PK" + whole}[damage])
    if damage == "foreign":
        path.write_bytes(b"not parquet at all")
    with pytest.raises(RecordError, match=r"train-00001\.parquet"):
        records.load_pairs(tmp_path, "train")


def test_damaged_pages_are_named(tmp_path: Path) -> None:
    write_shard(_shard(tmp_path), [_record(0)])
    path = _shard(tmp_path, "train-00001")
    write_shard(path, [_record(n) for n in range(50)])
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)  # the footer stays whole
    path.write_bytes(bytes(data))
    with pytest.raises(RecordError, match=r"train-00001\.parquet"):
        records.load_pairs(tmp_path, "train")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delta", 11.0),
        ("delta", float("nan")),
        ("factors", ["hue"]),
        ("edit_first", {"operation": "blur"}),
        ("rationale", {"text": "x"}),
        ("first_id", None),
        ("n_votes", 3),
        ("label_source", "judges"),
        ("label_source", "hearsay"),
        ("label_source", "inferred"),
        ("delta_error", 0.5),
        ("first", {"bytes": None, "path": "x"}),
    ],
)
def test_a_row_that_breaks_the_schema_is_named(field: str, value: object) -> None:
    row = {**records.row_of(_record(7)), field: value}
    with pytest.raises(RecordError, match=f"{7:016x}"):
        records.record_of(row, "train")


def test_a_row_without_a_column_is_named() -> None:
    row = records.row_of(_record(7))
    del row["group"]
    with pytest.raises(RecordError, match="group"):
        records.record_of(row, "train")


def test_rows_are_those_of_the_hash_though_path_and_time_stamp_are_the_old_ones(tmp_path: Path) -> None:
    file = _shard(tmp_path)
    write_shard(file, [_record(0, 1.0), _record(1, 1.0)])
    before, state = data_hash(tmp_path), file.stat()
    assert load_pairs(tmp_path, "train")["delta"][:] == [1.0, 1.0]
    write_shard(file, [_record(0, 2.0), _record(1, 2.0)])
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # as rsync -a, cp -p and tar x leave it
    assert file.stat().st_size == state.st_size
    assert data_hash(tmp_path) != before
    assert load_pairs(tmp_path, "train")["delta"][:] == [2.0, 2.0]


def test_a_file_is_hashed_once_in_a_process(tmp_path: Path) -> None:
    write_shard(_shard(tmp_path), [_record(0)])
    before = file_hashes._content_hash.cache_info().misses
    for _ in range(3):
        data_hash(tmp_path)
        load_pairs(tmp_path, "train")
    assert file_hashes._content_hash.cache_info().misses == before + 1


def test_copies_that_nobody_has_used_for_long_are_deleted(tmp_path: Path) -> None:
    file = _shard(tmp_path)
    write_shard(file, [_record(0)])
    old, young = (tmp_path / "cache" / "redaes" / "0" / name for name in ("old", "young"))
    for folder, days in ((old, table_cache.KEPT_DAYS + 1), (young, table_cache.KEPT_DAYS - 1)):
        folder.mkdir(parents=True)
        (folder / "used").touch()
        then = time.time() - days * 86400
        os.utime(folder / "used", (then, then))
    load_pairs(tmp_path, "train")
    assert young.is_dir()
    assert not old.exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    (tmp_path / "home").write_text("not a folder")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home" / "datasets")
    write_shard(_shard(tmp_path), [_record(0)])
    with pytest.raises(RecordError, match=r"home/datasets, .* cannot be written .* HF_DATASETS_CACHE"):
        load_pairs(tmp_path, "train")


def test_a_disk_that_is_full_is_no_damaged_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    write_shard(_shard(tmp_path), [_record(0)])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(datasets.arrow_writer.ArrowWriter, "finalize", full)
    with pytest.raises(RecordError, match=r"cannot be written \(No space left on device\)"):
        load_pairs(tmp_path, "train")


def test_a_picture_under_another_id_is_not_written(tmp_path: Path) -> None:
    record = _record(0)
    swapped = record.model_copy(update={"second_bytes": record.first_bytes})
    with pytest.raises(RecordError, match=r"the id of its second picture is not the SHA-256 of its bytes"):
        write_shard(_shard(tmp_path), [record, swapped])
    assert not _shard(tmp_path).exists()


def test_reading_a_row_hashes_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    row = records.row_of(_record(0))
    monkeypatch.setattr(records, "content_id", None)
    assert records.record_of(row, "train") == _record(0)


def test_a_preference_of_people_needs_no_edit_and_no_reasons(tmp_path: Path) -> None:
    bare = {"edit_second": None, "factors": ()}
    known = _record(0, reasoned=False)
    asked = known.model_copy(
        update={"label_source": "people", "n_votes": 7, "pair": known.pair.model_copy(update=bare), "licence": "CC0"}
    )
    for split in SPLITS:
        pair = asked.pair.model_copy(update={"id": f"{split}-0", "source": split, "group": split, "split": split})
        write_shard(_shard(tmp_path, f"{split}-00000"), [asked.model_copy(update={"pair": pair})])
    (read,) = read_records(tmp_path, "train")
    assert (read.label_source, read.n_votes, read.pair.edit_second) == ("people", 7, None)
    assert validate(tmp_path).wrong == {}
    assert set(statistics(tmp_path).by_factor) == {"not stated"}


def test_the_columns_hold_every_field_of_the_records() -> None:
    columns = records.features()
    for name, kind in (("edit_first", Edit), ("rationale", Rationale), ("agreement", Agreement)):
        assert list(columns[name]) == list(kind.model_fields)
    assert list(columns) == list(records.COLUMNS) == list(records.row_of(_record(0)))


def test_an_inferred_difference_says_so_and_how_well_it_is_known(tmp_path: Path) -> None:
    found = [_record(0), _record(1).model_copy(update={"label_source": "inferred", "delta_error": 0.4})]
    assert "delta_error" in records.row_of(found[1])
    file = _shard(tmp_path / "red")
    write_shard(file, found, optional=records.OPTIONAL_COLUMNS)
    assert list(read_records(tmp_path / "red", "train")) == found
    records.check_columns(file)
    rows = records.load_pairs(tmp_path / "red", "train")
    assert rows["delta_error"] == [None, 0.4]
    assert [records.record_of(row, "train").label_source for row in rows] == ["edits", "inferred"]
    # A file without the column would make it a difference that nobody knows to be inferred.
    with pytest.raises(ValueError, match=r"row '0+1' has delta_error, but its shard has no column"):
        write_shard(_shard(tmp_path / "bare"), found)
    assert not _shard(tmp_path / "bare").exists()
    write_shard(_shard(tmp_path / "plain"), found[:1])
    assert "delta_error" not in records.load_pairs(tmp_path / "plain", "train").column_names


# --- schema version 2 ------------------------------------------------------------------------------------------------


def _as_version_2(path: Path, found: Sequence[PairRecord], **damage: object) -> None:
    """A shard as the version before wrote it: records as JSON text, pictures without ids."""
    rows = []
    for record in found:
        row = records.row_of(record) | damage
        for name in ("rationale", "rationale_swapped", "edit_first", "edit_second", "agreement"):
            row[name] = json.dumps(row[name]) if isinstance(row[name], dict) else row[name]
        rows.append(
            {name: row[name] for name in row if name not in {"first_id", "second_id", "label_source", "n_votes"}}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.replace_schema_metadata({"redaes.schema_version": "2"}), path)


def test_a_dataset_of_the_version_before_reads_as_if_it_were_written_now(tmp_path: Path) -> None:
    agreement = Agreement(
        judges=("a@1",), n_answers=4, n_failed=1, spread=0.5, disagreement=0.0, sign_agreement=1.0, residual=0.25
    )
    judged = _record(2).model_copy(update={"label_source": "judges", "agreement": agreement})
    found = [_record(0), _record(1, delta=None, reasoned=False), judged]
    _as_version_2(_shard(tmp_path / "old"), found)
    write_shard(_shard(tmp_path / "new"), found)
    file = _shard(tmp_path / "old")
    before, hashed = file.read_bytes(), data_hash(tmp_path / "old")
    assert list(read_records(tmp_path / "old", "train")) == found
    assert list(records.stream_rows(file)) == list(records.stream_rows(_shard(tmp_path / "new")))
    assert records.pick_rows(file, [2]) == records.pick_rows(_shard(tmp_path / "new"), [2])
    assert next(records.stream_rows(file, ["first_id"])) == {"first_id": found[0].pair.first.id}
    records.check_columns(file)
    assert (file.read_bytes(), data_hash(tmp_path / "old")) == (before, hashed)  # nothing is changed in place


def test_what_was_broken_in_the_version_before_is_named(tmp_path: Path) -> None:
    file = _shard(tmp_path)
    _as_version_2(file, [_record(0)], edit_first="{")
    with pytest.raises(RecordError, match=r"train-00000\.parquet: row '0{16}' breaks the schema"):
        records.load_pairs(tmp_path, "train")
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_no_room_for_the_copy_of_a_version_before_is_a_matter_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _shard(tmp_path)
    _as_version_2(file, [_record(0)])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(RecordError, match=r"No space left on device.* HF_DATASETS_CACHE"):
            records.current_shard(file)
    assert not [left for left in (tmp_path / "cache").rglob("*") if left.is_file() and left.name != "used"]
    assert list(read_records(tmp_path, "train")) == [_record(0)]
