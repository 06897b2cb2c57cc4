"""The leak check finds copies, and not what only has the same subject."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance

from redaes.errors import InputError
from redaes.evaluation.leaks import find_leaks, training_pictures
from redaes.records import shards, stream_rows
from redaes.types import SIDES
from tests.conftest import synthetic_photograph


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def test_copies_are_found_and_others_are_not() -> None:
    photographs = {f"b{seed}": synthetic_photograph(seed) for seed in range(12)}
    benchmark = [(name, encoded(image)) for name, image in photographs.items()]
    training = [
        ("same", encoded(photographs["b1"])),
        ("recompressed", encoded(photographs["b2"].resize((213, 160)), "JPEG", quality=60)),
        ("brighter", encoded(ImageEnhance.Brightness(photographs["b3"]).enhance(1.15))),
        ("other", encoded(synthetic_photograph(99))),
        ("broken", b"nothing"),
    ]
    report = find_leaks(benchmark, training)
    assert [(leak.benchmark, leak.training, leak.same_bytes) for leak in report.leaks] == [
        ("b1", "same", True),
        ("b2", "recompressed", False),
        ("b3", "brighter", False),
    ]
    assert (report.n_benchmark, report.n_training, len(report.unreadable)) == (12, 4, 1)


def test_flat_pictures_are_compared_by_their_bytes() -> None:
    white, grey = (encoded(Image.new("RGB", (64, 64), colour)) for colour in ("white", "grey"))
    report = find_leaks([("white", white)], [("grey", grey), ("white too", white)])
    assert [(leak.training, leak.same_bytes) for leak in report.leaks] == [("white too", True)]
    assert find_leaks([("white", white)], []).leaks == ()
    with pytest.raises(InputError, match="give 0 to 63 bits"):
        find_leaks([], [], max_distance=64)


def test_training_pictures_of_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures found in it or below"):
        list(training_pictures(tmp_path))
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/a.png").write_bytes(b"")
    assert [name for name, _ in training_pictures(tmp_path)] == [str(tmp_path / "deep/er/a.png")]
    with pytest.raises(InputError, match="no such folder"):
        list(training_pictures(tmp_path / "nowhere"))


def test_training_pictures_of_a_dataset(red_folder: Path) -> None:
    found = list(training_pictures(red_folder))
    assert len(found) == len({data for _, data in found}) > 0
    report = find_leaks(found[:3], found)
    assert {leak.benchmark for leak in report.leaks} == {name for name, _ in found[:3]}


def test_a_training_picture_does_not_hide_behind_anothers_id(red_folder: Path, tmp_path: Path) -> None:
    file = shards(red_folder, "train")[0]
    rows = list(stream_rows(file))
    one_id = rows[0]["first_id"]
    table = pa.Table.from_pylist([row | {"first_id": one_id} for row in rows], schema=pq.read_schema(file))
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / file.name)
    assert {data for _, data in training_pictures(tmp_path)} == {row[side]["bytes"] for row in rows for side in SIDES}
