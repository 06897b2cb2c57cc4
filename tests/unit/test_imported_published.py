"""``redaes data import``: rows in the layouts of published datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.imported import sources
from redaes.datagen.imported.forms import ReadingSettings, judgements_in
from redaes.datagen.imported.importing import ImportSettings, import_pairs
from redaes.datagen.imported.rows import StatedPair, UnusableRow
from redaes.datagen.validation import validate
from redaes.records import picture_of, read_records
from redaes.types import SPLITS
from tests.published_layouts import Crop, write_fcdb, write_gaic


def picture(path: Path, seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize((48, 32), Image.Resampling.BICUBIC).save(path, quality=92)
    return path.read_bytes()


def read(source: Path, **settings: Any) -> tuple[list[StatedPair], list[UnusableRow]]:
    rows = list(judgements_in(source, ReadingSettings(**settings), set()))
    return [row for row in rows if isinstance(row, StatedPair)], [row for row in rows if isinstance(row, UnusableRow)]


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_pick_a_pic(tmp_path: Path) -> None:
    one, other = (picture(tmp_path / f"{n}.jpg", n) for n in range(2))
    labels = [(1.0, 0.0, True), (0.0, 1.0, True), (0.5, 0.5, True), (0.0, 0.0, False)]
    rows = [
        {"jpg_0": one, "jpg_1": other, "label_0": a, "label_1": b, "has_label": has, "caption": "a harbour"}
        for a, b, has in labels
    ]
    pairs, (lost,) = read(table(tmp_path / "p.parquet", rows))
    assert [pair.label.votes for pair in pairs] == [(1, 0), (0, 1), (0.5, 0.5)]
    assert pairs[0].first.data == one
    assert "nobody has chosen" in lost.detail


def test_hpd(tmp_path: Path) -> None:
    train = tmp_path / "train.json"
    train.write_text(json.dumps([{"human_preference": [0, 1], "prompt": "x", "file_path": ["a.jpg", "b.jpg"]}]))
    (pair,), _ = read(train)
    assert (pair.first.name, pair.second.name, pair.label.votes) == ("a.jpg", "b.jpg", (0, 1))
    test = tmp_path / "test.json"
    test.write_text(json.dumps([{"prompt": "x", "image_path": ["a", "b", "c"], "rank": [2, 1, 3]}]))
    pairs, _ = read(test)
    assert {(p.first.name, p.second.name): (p.label.delta or 0) > 0 for p in pairs} == {
        ("a", "b"): False, ("a", "c"): True, ("b", "c"): True,
    }  # fmt: skip
    three = tmp_path / "three.json"
    rows = [
        {"prompt": "x", "path1": "a", "path2": "b", "choice_dist": [12, 7], "confidence": 0.9},
        {"path1": "a", "path2": "b"},
    ]
    three.write_text(json.dumps([*rows, {"path1": "a", "path2": "b", "choice_dist": [1]}]))
    found, (lost,) = read(three)
    assert [pair.label.votes for pair in found] == [(12, 7), (1, 0)]
    assert "choice_dist" in lost.detail


def test_image_reward(tmp_path: Path) -> None:
    rows = [
        {
            "image": {"bytes": picture(tmp_path / f"{n}.jpg", n), "path": f"{n}.webp"},
            "prompt_id": f"p{n // 3}",
            "rank": n % 3 + 1,
        }
        for n in range(6)
    ]
    pairs, lost = read(table(tmp_path / "t.parquet", rows))
    assert not lost
    assert len(pairs) == 6
    assert all((pair.label.delta or 0) > 0 for pair in pairs)
    assert {pair.group for pair in pairs} == {"p0", "p1"}


def test_numbered_lists(tmp_path: Path) -> None:
    picture(tmp_path / "000007-01.JPG", 1)
    picture(tmp_path / "000007" / "02.jpg", 2)
    file = tmp_path / "val_pairlist.txt"
    file.write_text("7 1 2 0.75 1 2\n\n7,2,3,0.2,2,1\n7 1 2 1.5 1 2\n7 1 two 0.5 1 2\n7 1 2 0.5\n")
    pairs, lost = read(file)
    assert [(p.first.name, p.second.name) for p in pairs] == [
        ("000007-01.JPG", "000007/02.jpg"), ("000007/02.jpg", "000007-03.jpg"),
    ]  # fmt: skip
    assert [(pair.label.delta or 0) > 0 for pair in pairs] == [True, False]
    assert {pair.source for pair in pairs} == {"val_pairlist 000007"}
    assert [row.where for row in lost] == [f"val_pairlist.txt line {n}" for n in (4, 5, 6)]


def test_crops_are_cut_from_their_photographs(tmp_path: Path) -> None:
    for n in range(4):
        picture(tmp_path / f"{n}_c.jpg", n)
    pairs = [
        ([0, 0, 24, 16], [8, 4, 32, 24], 1, 4),
        ([0, 0, 24, 16], [8, 4, 60, 28], 5, 0),
        ([0, 0, 24], [8, 4, 40, 28], 5, 0),
        ([0, 0, 24, 16], [8, 4, 32, 24], -1, 5),
    ]
    file = write_fcdb(tmp_path, {f"{n}_c.jpg": pairs for n in range(4)})
    rows = judgements_in(file, ReadingSettings(), set())
    report = import_pairs(rows, tmp_path / "out", settings=ImportSettings(), origin="crops")
    assert report["rejected_pairs"] == {"row says nothing usable": 8, "picture unreadable": 4}
    assert not validate(tmp_path / "out").wrong
    records = [record for split in SPLITS for record in read_records(tmp_path / "out", split)]
    assert {record.pair.source for record in records} == {f"{n}_c.jpg" for n in range(4)}
    for record in records:
        first = picture_of(record, "first").image.size
        assert {first, picture_of(record, "second").image.size} == {(24, 16), (32, 24)}
        assert ((record.pair.delta or 0) > 0) == (first == (32, 24))
        assert record.n_votes == 5


def test_scored_crops_are_series_in_the_splits_of_their_file(tmp_path: Path) -> None:
    crops: list[Crop] = [(0, 0, 16, 24, 1.5), (4, 8, 28, 40, 4.0), (2, 2, 30, 30, 3.0), (2, 2, 30, 31, 3.0)]
    names = ["train/1", "train/2", "train/3", "test/4"]
    for n, name in enumerate(names):
        picture(tmp_path / "images" / f"{name}.jpg", n)
    file = write_gaic(tmp_path, {**dict.fromkeys(names, crops), "train/5": [(0, 0, 16, 0, 1.0)]})
    pairs, lost = read(file, pictures=tmp_path / "images")
    assert (len(pairs), [row.where for row in lost]) == (4 * 6, ["imdb_GAIC1000.mat train/5.jpg"])
    assert {pair.source: pair.split for pair in pairs} == {f"{name}.jpg": name.partition("/")[0] for name in names}
    ahead = {(pair.first.box, pair.second.box): pair.label.delta for pair in pairs}
    assert ahead[(0, 0, 24, 16), (8, 4, 40, 28)] < ahead[(0, 0, 24, 16), (2, 2, 30, 30)] < 0  # type: ignore[operator]
    assert ahead[(2, 2, 30, 30), (2, 2, 31, 30)] == pytest.approx(0)
    report = import_pairs(pairs, tmp_path / "out", settings=ImportSettings(), origin="gaic")
    assert report["pairs"] == {"train": 18, "test": 6}
    again = import_pairs(pairs, tmp_path / "anew", settings=ImportSettings(test_fraction=0.5), origin="gaic")
    assert again["pairs"] == {"train": 12, "test": 12}


def test_preferences_need_two_pictures_and_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    rows = [{"images": ["a"], "chosen": "x"}, {"images": ["a", "b"], "chosen": "I like it"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs, lost = read(file)
    assert not pairs
    assert ["two" in lost[0].detail, "the form of redaes" in lost[1].detail] == [True, True]


def test_a_dataset_on_the_hub_brings_its_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"jpg_0": picture(tmp_path / "a.jpg", 2 * n), "jpg_1": picture(tmp_path / "b.jpg", 2 * n + 1), "label_0": 1.0}
        for n in range(5)
    ]
    asked = []

    def files(place: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], str]:
        asked.append((str(place), suffixes))
        return [table(tmp_path / "0.parquet", rows[:3]), table(tmp_path / "1.parquet", rows[3:])], "mit"

    monkeypatch.setattr(sources, "dataset_files", files)
    command = ["data", "import", "hf:somebody/pictures", "--out", str(tmp_path / "out"), "--pairs", "4"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert asked == [("hf:somebody/pictures", (".parquet",))]
    records = [record for split in SPLITS for record in read_records(tmp_path / "out", split)]
    assert len(records) == 4
    assert {record.licence for record in records} == {"mit"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"caption": "a harbour", "label_0": 1.0, "image_0_uid": "x"}, "it needs first and second"),
        ({"image_0_url": "https://x/1.jpg", "image_1_url": "y", "label_0": 1.0}, "addresses of pictures (image_0_url)"),
        ({"url": "https://x/1.jpg", "score": 1.0}, "take the version of the set that has them"),
        ({side: {"bytes": None, "path": f"{side}.jpg"} for side in ("first", "second")} | {"delta": 1.0}, "first.jpg"),
    ],
)
def test_a_set_without_pictures_is_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    file = table(tmp_path / "p.parquet", [columns])
    result = CliRunner().invoke(app, ["data", "import", str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_votes_of_series_and_own_benchmark_pairs(tmp_path: Path) -> None:
    votes = tmp_path / "votes.csv"
    votes.write_text("series,first,second,n_first,n_second\nharbour,a.jpg,b.jpg,3,1\nharbour,a.jpg,c.jpg,,\n")
    (pair,), (lost,) = read(votes)
    assert (pair.label.votes, pair.group, lost.detail) == ((3, 1), "harbour", "nobody voted: both counts are blank")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("first,second,p\na.jpg,b.jpg,0.5\n")
    (pair,), _ = read(pairs)
    assert pair.label.delta == 0
