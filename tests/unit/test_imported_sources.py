"""``redaes data import``: folders and datasets of several files, and the pictures that are kept of them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.imported import sources
from redaes.datagen.imported.forms import ReadingSettings, judgements_in, read_source
from redaes.datagen.imported.pictures import NamedPictures
from redaes.datagen.imported.rows import StatedPair, StatedPicture, UnusableRow
from redaes.datagen.imported.sources import find_source
from redaes.errors import InputError
from redaes.images import MAX_PIXELS, content_id, load_image
from redaes.records import read_records
from redaes.types import SPLITS
from tests.published_layouts import write_fcdb, write_gaic, write_numbered


def picture(path: Path, seed: int, size: tuple[int, int] = (48, 32), **options: Any) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path.read_bytes()


def pick_a_pic(folder: Path, n: int, start: int = 0) -> datasets.Dataset:
    """Rows as the hub has them, pictures as Image features."""
    rows = [
        {
            "jpg_0": {"bytes": picture(folder / "a.jpg", 2 * k), "path": None},
            "jpg_1": {"bytes": picture(folder / "a.jpg", 2 * k + 1), "path": None},
            "label_0": 1.0,
            "label_1": 0.0,
            "has_label": True,
        }
        for k in range(start, start + n)
    ]
    number = datasets.Value("float32")
    features = {"jpg_0": datasets.Image(), "jpg_1": datasets.Image(), "label_0": number, "label_1": number}
    return datasets.Dataset.from_list(rows, datasets.Features({**features, "has_label": datasets.Value("bool")}))


def said(source: Path) -> list[tuple[str, str, Any, Any]]:
    found = []
    for row in read_source(find_source(source), ReadingSettings(), set()):
        assert isinstance(row, StatedPair), row
        pictures = [content_id(one.data or b"") for one in (row.first, row.second)]
        found.append((*pictures, row.label.votes, row.split))
    return found


def test_saved_to_disk_parquet_and_the_hub_go_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = datasets.DatasetDict(train=pick_a_pic(tmp_path, 40), validation=pick_a_pic(tmp_path, 5, start=40))
    parts.save_to_disk(tmp_path / "saved")
    parts["train"].save_to_disk(tmp_path / "one")
    (tmp_path / "parquet" / "data").mkdir(parents=True)
    for name, part in parts.items():
        part.to_parquet(tmp_path / "parquet" / "data" / f"{name}-00000-of-00001.parquet")
    saved = said(tmp_path / "saved")
    assert [what[3] for what in saved] == ["train"] * 40 + ["test"] * 5
    assert said(tmp_path / "parquet") == saved
    assert said(tmp_path / "one") == [(*what[:3], None) for what in saved[:40]]
    files = sorted((tmp_path / "parquet" / "data").iterdir(), reverse=True)
    monkeypatch.setattr(sources, "dataset_files", lambda place, suffixes: (files, "mit"))
    assert said(Path("hf:somebody/picked")) == [*saved[40:], *saved[:40]]
    assert find_source(Path("hf:somebody/picked")).licence == "mit"


def test_a_name_alone_holds_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    pick_a_pic(tmp_path, 3).to_parquet(tmp_path / "d" / "train.parquet")
    assert {what[3] for what in said(tmp_path / "d")} == {None}
    pick_a_pic(tmp_path, 3).to_parquet(tmp_path / "d" / "testament.parquet")
    assert {what[3] for what in said(tmp_path / "d")} == {None}


def test_folders_with_label_files_as_published(tmp_path: Path) -> None:
    triage = tmp_path / "triage"
    triage.mkdir()
    write_numbered(triage / "train_pairlist.txt", [(1, 1, 2, 0.9, 1, 2)])
    write_numbered(triage / "val_pairlist.txt", [(2, 1, 2, 0.2, 2, 1)])
    (triage / "notes.txt").write_text("nothing")
    found = find_source(triage)
    assert [(file.name, split) for file, split in zip(found.files, found.splits, strict=True)] == [
        ("train_pairlist.txt", "train"),
        ("val_pairlist.txt", "test"),
    ]
    write_numbered(triage / "natural_val.txt", [(1, 0, 1, 0.9, 2, 1)])
    write_numbered(triage / "aigc_val.txt", [(1, 0, 1, 0.9, 2, 1)])
    with pytest.raises(InputError, match="several categories"):
        find_source(triage)
    for name, write in (("fcdb", write_fcdb), ("gaic", write_gaic)):
        (tmp_path / name).mkdir()
        file = write(tmp_path / name, {"train/1": []})
        assert find_source(tmp_path / name).files == (file,)
    picture(tmp_path / "photos" / "a.jpg", 1)
    assert find_source(tmp_path / "photos").files == (tmp_path / "photos",)


def test_a_tar_without_a_pair_is_named(tmp_path: Path) -> None:
    members = {
        "a.json": b'{"delta": 1.5}', "a.first.jpg": b"1", "a.second.jpg": b"2",
        "b.json": b"{", "b.first.jpg": b"1",
        "c.json": b"[]", "d.first.jpg": b"1", "d.second.jpg": b"1",
    }  # fmt: skip
    with tarfile.open(tmp_path / "train-0.tar", "w") as shard:
        for name, data in members.items():
            info = tarfile.TarInfo(f"./x/{name}")
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    pair, *lost = judgements_in(tmp_path / "train-0.tar", ReadingSettings(), set())
    assert isinstance(pair, StatedPair)
    assert (pair.first.data, pair.second.data, pair.label.delta) == (b"1", b"2", 1.5)
    assert [(row.where.split()[-1], row.reason) for row in lost if isinstance(row, UnusableRow)] == [
        ("./x/b", "row is not readable"),
        ("./x/c", "row is not readable"),
        ("./x/d", "row says nothing usable"),
    ]
    (tmp_path / "cut.tar").write_bytes((tmp_path / "train-0.tar").read_bytes()[:700])
    with pytest.raises(InputError, match="cannot be read as a tar shard"):
        list(judgements_in(tmp_path / "cut.tar", ReadingSettings(), set()))


def test_what_is_larger_than_is_read_is_stored_smaller(tmp_path: Path) -> None:
    pictures = NamedPictures(tmp_path / "kept")

    def stored(name: str, seed: int, size: tuple[int, int], **options: Any) -> tuple[bytes, bytes]:
        data = picture(tmp_path / name, seed, size, **options)
        return data, pictures.bytes_of(pictures.take(StatedPicture(name, path=tmp_path / name)).id)

    small, kept = stored("small.png", 1, (1024, 1024))
    assert kept == small
    large, kept = stored("large.jpg", 2, (1200, 1000), quality=92, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    assert kept != large
    (tmp_path / "again.jpg").write_bytes(kept)
    again = load_image(tmp_path / "again.jpg").image
    assert again.width * again.height <= MAX_PIXELS
    before = load_image(tmp_path / "large.jpg").image
    assert again.size == before.size
    assert np.abs(np.asarray(again, float) - np.asarray(before, float)).mean() < 1
    assert b"Exif" not in kept
    tiff, kept = stored("t.tif", 3, (64, 48))
    assert (kept[:2], kept == tiff) == (b"\xff\xd8", False)
    assert pictures.n_written_anew == 2


def test_an_exported_set_is_imported_by_its_folder(red_folder: Path, tmp_path: Path) -> None:
    from redaes.datagen.export import export

    export(red_folder, tmp_path / "lines", "jsonl")
    command = ["data", "import", str(tmp_path / "lines"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    counts = {split: sum(1 for _ in read_records(red_folder, split)) for split in SPLITS}
    assert report["pairs"] == counts
    said = "pairs whose list says that not people made their difference; it is kept as stated"
    assert report["notes"][said] == sum(counts.values())
    assert f"{sum(counts.values())} {said}" in result.stdout
