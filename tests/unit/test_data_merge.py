"""``redaes data merge``: several datasets to one, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen import merged_dataset, merged_photographs
from redaes.datagen.export import FORMATS, export
from redaes.datagen.inspection import inspect
from redaes.datagen.merged_dataset import merge_datasets
from redaes.datagen.merged_photographs import LinkedNames
from redaes.datagen.merged_sets import sets_to_merge, weights_of
from redaes.datagen.validation import validate
from redaes.errors import InputError, RecordError
from redaes.evaluation.benchmarks.red import read_red
from redaes.file_writing import read_json
from redaes.images import content_id
from redaes.images.near_copies import near_copies
from redaes.records import PairRecord, record_of, shards, stream_rows, write_shard
from redaes.types import SPLITS, ImageRef, Pair, Split

runner = CliRunner()


def photograph(seed: int, *, quality: int = 92, shade: float = 1.0) -> bytes:
    """A JPEG of coarse noise: each seed has another perceptual hash, which quality and shade leave alone."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC).point(lambda value: int(value * shade))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def pair(
    name: str,
    seed: int,
    split: Split,
    *,
    delta: float = 2.0,
    quality: int = 92,
    source: str | None = None,
    group: str | None = None,
    licence: str = "CC0-1.0",
) -> PairRecord:
    """A photograph that people preferred to its darker version."""
    data = [photograph(seed, quality=quality), photograph(seed, quality=quality, shade=0.6)]
    first, second = (ImageRef(id=content_id(one), path=Path(f"{name}.jpg")) for one in data)
    return PairRecord(
        pair=Pair(
            id=name, first=first, second=second, delta=delta, edit_first=None, edit_second=None, factors=(),
            group=group or f"view-{name}", source=source or f"photo-{name}", split=split,
        ),
        first_bytes=data[0],
        second_bytes=data[1],
        rationale=None,
        rationale_swapped=None,
        licence=licence,
        label_source="people",
        n_votes=3,
    )  # fmt: skip


def write_set(folder: Path, records: Sequence[PairRecord]) -> Path:
    for split in SPLITS:
        its = [record for record in records if record.pair.split == split]
        write_shard(folder / "data" / f"{split}-00000.parquet", its)
    return folder


def rows_of(folder: Path) -> dict[str, PairRecord]:
    return {
        record.pair.id: record
        for split in SPLITS
        for file in shards(folder, split)
        for record in (record_of(row, split) for row in stream_rows(file))
    }


def merge(folders: Sequence[Path], out: Path, weights: Sequence[float] = ()) -> dict[str, Any]:
    return merge_datasets(sets_to_merge(folders, weights), out)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two sets: ``p1`` is of other photographs in each, photograph 3 is trained on in one and held out in the other."""
    a = [pair("p1", 1, "train"), pair("p2", 2, "train"), pair("p3", 3, "test")]
    b = [
        pair("p1", 11, "train"),
        pair("p12", 3, "train", quality=60),
        pair("p13", 13, "train", licence="CC-BY-4.0"),
        pair("p14", 14, "test"),
    ]
    return [write_set(tmp_path / "a", a), write_set(tmp_path / "my votes", b)]


def test_a_merged_set_holds_all_pairs_with_their_origin_and_weight(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "both"
    before = [rows_of(folder) for folder in two]
    report = merge(two, out, [1, 2.5])
    found = rows_of(out)
    assert sorted(found) == ["my-votes-p1", "p1", "p12", "p13", "p14", "p2", "p3"]
    assert {name: (one.merged_from, one.draw_weight) for name, one in found.items()} == {
        name: ("my-votes", 2.5) if name not in ("p1", "p2", "p3") else ("a", 1.0) for name in found
    }
    apart = found["my-votes-p1"]
    assert apart.first_bytes == before[1]["p1"].first_bytes
    assert (apart.pair.group, apart.pair.source) == ("my-votes-view-p1", "my-votes-photo-p1")
    plain = before[1]["p13"]
    assert found["p13"] == plain.model_copy(update={"merged_from": "my-votes", "draw_weight": 2.5})
    assert validate(out).wrong == {}
    assert report == read_json(out / "report.json")
    assert report["pairs"] == {"train": 4, "test": 3}
    assert [part["renamed"] for part in report["merged"]] == [
        {"pairs": 0, "groups": 0, "sources": 0},
        {"pairs": 1, "groups": 1, "sources": 1},
    ]
    assert report["merged"][1]["licences"] == {"CC-BY-4.0": 1, "CC0-1.0": 3}
    assert "| my-votes | 2.5 | 2 | 2 |" in (out / "README.md").read_text(encoding="utf-8")


def test_a_photograph_that_one_set_holds_out_is_held_out(two: list[Path], tmp_path: Path) -> None:
    report = merge(two, tmp_path / "both")
    found = rows_of(tmp_path / "both")
    assert {name for name, one in found.items() if one.pair.split == "test"} == {"p3", "p12", "p14"}
    assert [part["moved_to_test"] for part in report["merged"]] == [0, 1]


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_bytes_and_the_same_photograph_by_id_are_in_one_split(tmp_path: Path, seed: int) -> None:
    """Seed 3: the file is that of the other set; seed 4: the files differ, and the photograph's hash is the same."""
    photo = content_id(b"the photograph")
    a = write_set(tmp_path / "a", [pair("p1", 1, "train"), pair("p3", 3, "test", source=photo)])
    b = write_set(
        tmp_path / "b",
        [
            pair("q1", 11, "train"),
            pair("q2", seed, "train", source=photo if seed == 4 else None),
            pair("q3", 12, "test"),
        ],
    )
    merge([a, b], tmp_path / "both")
    found = rows_of(tmp_path / "both")
    assert found["q2"].pair.split == "test"
    assert found["q1"].pair.split == "train"
    if seed == 4:
        assert found["q2"].pair.source == photo


def test_a_pair_that_an_earlier_set_has_is_there_once(tmp_path: Path) -> None:
    a = write_set(tmp_path / "a", [pair("p1", 1, "train"), pair("p2", 2, "test")])
    b = write_set(
        tmp_path / "b",
        [pair("p1", 1, "train"), pair("p2", 2, "test", delta=-1.0), pair("p5", 5, "train"), pair("p6", 6, "test")],
    )
    report = merge([a, b], tmp_path / "both")
    found = rows_of(tmp_path / "both")
    assert sorted(found) == ["b-p2", "p1", "p2", "p5", "p6"]
    assert found["b-p2"].pair.delta == -1.0
    assert report["merged"][1]["already_in_an_earlier_set"] == 1
    assert report["rejected_pairs"] == {"already_in_an_earlier_set": 1}


def test_a_picture_that_does_not_decode_is_left_out_and_named(two: list[Path], tmp_path: Path) -> None:
    bad = pair("p9", 9, "train")
    cut = bad.first_bytes[:300]
    first = bad.pair.first.model_copy(update={"id": content_id(cut)})
    bad = bad.model_copy(update={"first_bytes": cut, "pair": bad.pair.model_copy(update={"first": first})})
    write_shard(two[0] / "data" / "train-00001.parquet", [bad, pair("p8", 8, "train")])
    report = merge(two, tmp_path / "both")
    unreadable = report["merged"][0]["unreadable"]
    assert unreadable["n"] == 1
    assert "train-00001.parquet row 0, id 'p9'" in unreadable["first"][0]
    assert "p8" in rows_of(tmp_path / "both")
    assert "p9" not in rows_of(tmp_path / "both")


def test_a_merged_set_can_be_merged_again(two: list[Path], tmp_path: Path) -> None:
    merge(two, tmp_path / "both", [1, 2])
    c = write_set(tmp_path / "c", [pair("r1", 21, "train"), pair("r2", 22, "test")])
    report = merge([c, tmp_path / "both"], tmp_path / "all", [1, 3])
    found = rows_of(tmp_path / "all")
    assert (found["p13"].merged_from, found["p13"].draw_weight) == ("both/my-votes", 6.0)
    assert (found["r1"].merged_from, found["r1"].draw_weight) == ("c", 1.0)
    assert [part["name"] for part in report["merged"]] == ["c", "both"]
    assert (tmp_path / "all" / "merged_from" / "both" / "report.json").is_file()


def test_the_same_sets_give_the_same_files(two: list[Path], tmp_path: Path) -> None:
    for name in ("one", "other"):
        merge(two, tmp_path / name)
    one, other = (
        {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in (tmp_path / name).rglob("*.*")
         if file.is_file()}
        for name in ("one", "other")
    )  # fmt: skip
    assert one == other


def test_a_merge_that_comes_again_decodes_nothing_twice(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(two[0] / "data" / "train-00001.parquet", [pair("p77", 77, "train")])
    real, decoded = merged_photographs.decode_image, []

    def counted(data: bytes, *rest: Any, **further: Any) -> Any:
        decoded.append(data)
        return real(data, *rest, **further)

    monkeypatch.setattr(merged_photographs, "decode_image", counted)
    first = merge(two, tmp_path / "one")
    assert len(decoded) >= 2
    decoded.clear()
    second = merge(two, tmp_path / "other")
    assert decoded == []
    assert first == second


def test_a_merged_set_is_shown_exported_and_asked(two: list[Path], red_folder: Path, tmp_path: Path) -> None:
    """With a built one, whose pairs have reasoning: preferences are made of nothing else."""
    out = tmp_path / "both"
    report = merge([red_folder, two[1]], out, [1, 2])
    assert validate(out).wrong == {}
    n_built = sum(read_json(red_folder / "report.json")["pairs"].values())
    assert sum(report["pairs"].values()) == n_built + 4
    assert report["merged"][0]["label_sources"] == {"edits": n_built}
    inspect(out, tmp_path / "page.html")
    assert "What came from where" in (tmp_path / "page.html").read_text(encoding="utf-8")
    for kind in FORMATS:
        export(out, tmp_path / kind, kind)
    assert '"draw_weight": 2.0' in (tmp_path / "jsonl" / "train.jsonl").read_text(encoding="utf-8")
    asked = read_red(out, tmp_path / "pictures")
    assert len(asked.pairs) > len(read_red(red_folder, tmp_path / "others").pairs)


def test_a_set_that_is_not_merged_says_nothing_of_merging(red_folder: Path, tmp_path: Path) -> None:
    export(red_folder, tmp_path / "out", "jsonl")
    lines = (tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8")
    assert "draw_weight" not in lines
    assert "merged_from" not in lines
    assert "draw_weight" not in pq.read_schema(red_folder / "data" / "train-00000.parquet").names


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["1", "much"], "weight 'much' is not a number"),
        (["1", "0"], "weight 0 must be a finite number above 0"),
        (["nan", "1"], "weight nan must"),
        (["1", "-2"], "weight -2 must"),
        (["1"], "1 weights for 2 datasets"),
    ],
)
def test_weights_that_are_none_are_named(given: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        weights_of(given, 2)


def test_a_set_given_twice_is_named(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is given twice"):
        sets_to_merge([two[0], tmp_path / "my votes" / ".." / "a"])
    with pytest.raises(InputError, match="is given twice"):
        sets_to_merge([two[0], two[0]])
    copy = tmp_path / "copy"
    (copy / "data").mkdir(parents=True)
    for file in (two[0] / "data").iterdir():
        (copy / "data" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="holds the same pairs as"):
        sets_to_merge([two[0], copy])
    with pytest.raises(InputError, match="give two or more"):
        sets_to_merge(two[:1])


def test_sets_of_one_folder_name_get_names_of_their_own(tmp_path: Path) -> None:
    folders = [
        write_set(tmp_path / str(n) / "red", [pair(f"t{n}", n, "train"), pair(f"e{n}", n + 9, "test")]) for n in (1, 2)
    ]
    assert [one.name for one in sets_to_merge(folders)] == ["red", "red-2"]


def _damaged(folder: Path) -> None:
    file = folder / "data" / "train-00000.parquet"
    data = bytearray(file.read_bytes())
    data[200:1200] = b"\0" * 1000
    file.write_bytes(bytes(data))


def _no_parquet(folder: Path) -> None:
    (folder / "data" / "train-00000.parquet").write_bytes(b"nothing")


def _other_version(folder: Path) -> None:
    file = folder / "data" / "train-00000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({b"redaes.schema_version": b"99"}), file)


def _other_column(folder: Path) -> None:
    file = folder / "data" / "train-00000.parquet"
    table = pq.read_table(file)
    place = table.column_names.index("delta")
    pq.write_table(table.set_column(place, "delta", pa.array(["much"] * len(table))), file)


def _wrong_id(folder: Path) -> None:
    file = folder / "data" / "train-00000.parquet"
    table = pq.read_table(file)
    place = table.column_names.index("first_id")
    pq.write_table(table.set_column(place, "first_id", pa.array(["0" * 64] * len(table))), file)


def _same_id(folder: Path) -> None:
    write_shard(folder / "data" / "train-00001.parquet", [pair("p1", 7, "train")])


def _no_test(folder: Path) -> None:
    (folder / "data" / "test-00000.parquet").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_damaged, "train-00000.parquet"),
        (_no_parquet, "train-00000.parquet is not readable Parquet"),
        (_other_version, "has schema version 99"),
        (_other_column, "column delta has the type string"),
        (_wrong_id, "the id of its first picture is not"),
        (_same_id, "id 'p1' is there twice"),
        (_no_test, "has no data/test-"),
    ],
)
def test_a_set_that_cannot_be_merged_is_named_and_nothing_written(
    two: list[Path], tmp_path: Path, spoil: Any, says: str
) -> None:
    spoil(two[1])
    found = runner.invoke(app, ["data", "merge", *map(str, two), "--out", str(tmp_path / "both")])
    assert found.exit_code == 2
    said = " ".join(found.output.split())
    assert says in said
    assert "my votes" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "my votes"]


def test_nothing_is_overwritten_and_nothing_left_half_written(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for out in (two[0], two[0] / "inside"):
        with pytest.raises(RecordError, match=r"exists|lies in"):
            merge(two, out)

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merged_dataset, "write_json", full)
    with pytest.raises(RecordError, match="cannot be written: No space left"):
        merge(two, tmp_path / "both")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "my votes"]


def test_sets_that_hold_out_all_of_each_other_are_refused(tmp_path: Path) -> None:
    a = write_set(tmp_path / "a", [pair("p1", 1, "train"), pair("p2", 2, "test")])
    b = write_set(tmp_path / "b", [pair("q2", 2, "train"), pair("q1", 1, "test")])
    with pytest.raises(RecordError, match="nothing is left for the train split"):
        merge([a, b], tmp_path / "both")


def test_the_command_shows_what_came_from_where(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "both"
    found = runner.invoke(app, ["data", "merge", *map(str, two), "--weights", "1", "0.5", "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert "my-votes" in found.output
    assert {one.draw_weight for one in rows_of(out).values()} == {1.0, 0.5}
    again = runner.invoke(app, ["data", "merge", *map(str, two), "--out", str(out)])
    assert again.exit_code == 2
    assert "exists" in again.output


def test_a_set_of_which_nothing_is_trained_on_is_named(tmp_path: Path) -> None:
    a = write_set(tmp_path / "a", [pair("p1", 1, "train"), pair("p2", 2, "test")])
    b = write_set(tmp_path / "b", [pair("q2", 2, "train"), pair("q3", 3, "test")])
    found = runner.invoke(app, ["data", "merge", str(a), str(b), "--out", str(tmp_path / "both")])
    assert found.exit_code == 0, found.output
    assert "no pair of b is in the train split" in found.output
    assert "no pair of a " not in found.output


def test_near_hashes_are_all_found() -> None:
    random = np.random.default_rng(0)
    hashes = [int(value) for value in random.integers(1, 2**63, 60)]
    for number in range(30):
        flipped = sum(1 << int(bit) for bit in random.choice(64, number % 10, replace=False))
        hashes.append(hashes[number] ^ flipped)
    wanted = {
        (i, j)
        for j in range(len(hashes))
        for i in range(j)
        if hashes[i] and hashes[j] and (hashes[i] ^ hashes[j]).bit_count() <= 6
    }
    assert len(wanted) >= 20
    assert set(near_copies(hashes)) == wanted
    with pytest.raises(InputError, match="0 to 63 bits"):
        list(near_copies(hashes, 64))


def test_links_hold_over_others() -> None:
    links = LinkedNames()
    for first, second in [("a", "b"), ("c", "d"), ("b", "c"), ("x", "y")]:
        links.link((first,), (second,))
    assert len({links.root((name,)) for name in "abcd"}) == 1
    assert links.root(("x",)) == links.root(("y",)) != links.root(("a",))
