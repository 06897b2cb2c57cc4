"""Photographs from folders, lists, tar shards and tables: found, read again by a worker, deduplicated, balanced."""

from __future__ import annotations

import io
import json
import math
import pickle
import random
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.utils import filter_repo_objects
from PIL import Image

from redaes.datagen import pipeline
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.photograph_files import Location, find
from redaes.datagen.pipeline import build
from redaes.datagen.sample_data import ensure_sample_dataset
from redaes.datagen.sources import DUPLICATE_BITS, Fingerprints, PhotographRules, curate, draw
from redaes.errors import ImageError, InputError, RecordError
from redaes.file_writing import read_json, write_json
from redaes.images import content_id, hamming
from redaes.records import read_records
from redaes.types import SPLITS

FAST = DatasetSettings(views=1, variants=2, max_side=96)


def picture(seed: int, size: tuple[int, int] = (180, 140), kind: str = "JPEG") -> bytes:
    """A stand-in for a photograph, encoded."""
    rng = np.random.default_rng(seed)
    field = np.zeros((size[1], size[0], 3))
    for scale in (3, 10, 30):
        coarse = rng.integers(0, 256, (scale, scale, 3), dtype=np.uint8)
        field += np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)) / 3.0
    buffer = io.BytesIO()
    Image.fromarray(field.astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


PICTURES = [picture(seed) for seed in range(4)]
IDS = sorted(map(content_id, PICTURES))


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as shard:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    return path


def table(**columns: list) -> pa.Table:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": data, "path": None} for data in PICTURES], type=struct)
    return pa.table({"image": cells, **{name: pa.array(values) for name, values in columns.items()}})


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, data in enumerate(PICTURES):
        (folder / f"{number}.jpg").write_bytes(data)
    return folder


def _source(tmp_path: Path, kind: str) -> Path:
    """The same four pictures, the first with a licence, in one of the ways to hand them over."""
    if kind == "txt":
        folder = _folder(tmp_path)
        (folder / "LICENCES.csv").write_text("file,licence\n0.jpg,CC0\n")
        (tmp_path / "list.txt").write_text("\n".join(f"photos/{n}.jpg" for n in range(4)) + "\n\n")
        return tmp_path / "list.txt"
    if kind == "csv":
        _folder(tmp_path)
        rows = ["file,licence,source_id", "photos/0.jpg,CC0,a", "photos/1.jpg,,b", "photos/2.jpg", "photos/3.jpg,,"]
        (tmp_path / "list.csv").write_text("\ufeff" + "\n".join(rows), encoding="utf-8")
        return tmp_path / "list.csv"
    if kind == "jsonl":
        folder = _folder(tmp_path)
        rows = [{"file": str(folder / f"{n}.jpg"), "licence": "" if n else "CC0"} for n in range(4)]
        (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return tmp_path / "list.jsonl"
    if kind == "tar":
        members = {f"set/{n}.jpg": data for n, data in enumerate(PICTURES)}
        extra = {"set/0.json": b'{"license": "CC0", "caption": "x"}', "set/0.mask.png": b"not a photograph"}
        return write_tar(tmp_path / "shard.tar", {**members, **extra, "set/1.txt": b"a caption", "set/._1.jpg": b"x"})
    licences = ["CC0", "", None, ""]
    if kind == "parquet":
        pq.write_table(table(licence=licences, id=[1, 2, 3, 4]), tmp_path / "t.parquet", row_group_size=3)
        return tmp_path / "t.parquet"
    if kind == "binary":  # plain bytes, no licences
        pq.write_table(pa.table({"jpeg": PICTURES}), tmp_path / "t.parquet")
        (tmp_path / "LICENCES.csv").write_text("file,licence\nother.parquet,CC0\n")
        return tmp_path / "t.parquet"
    stream = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with stream(tmp_path / "t.arrow", table().schema) as writer:
        writer.write_table(table(), max_chunksize=2)
    (tmp_path / "LICENCES.csv").write_text("file,licence\nt.arrow,CC0\n")
    return tmp_path / "t.arrow"


KINDS = ["txt", "csv", "jsonl", "tar", "parquet", "binary", "stream", "arrow"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_gives_the_same_photographs(tmp_path: Path, kind: str) -> None:
    curation = curate([_source(tmp_path, kind)], test_fraction=0.25, seed=0)
    assert curation.rejected == []
    assert [source.id for source in curation.sources] == IDS
    licences = {source.id: source.licence for source in curation.sources}
    whole = {"binary": "", "stream": "CC0", "arrow": "CC0"}.get(kind)
    for number, data in enumerate(PICTURES):
        assert licences[content_id(data)] == (whole if whole is not None else "" if number else "CC0")
    for source in curation.sources:
        again = pickle.loads(pickle.dumps(source))
        assert len(pickle.dumps(source)) < 1000
        assert content_id(again.read_bytes()) == source.id == again.load().ref.id


@pytest.mark.parametrize("kind", ["csv", "tar", "parquet"])
def test_a_dataset_is_built_by_workers_from_any_of_them(tmp_path: Path, kind: str) -> None:
    report = build([_source(tmp_path, kind)], tmp_path / "out", FAST)
    assert sum(report["photographs"].values()) == 4
    assert report["licences"] == {"CC0": 1, "not stated": 3}
    sources = {record.pair.source: record.licence for s in SPLITS for record in read_records(tmp_path / "out", s)}
    assert ("a" if kind == "csv" else content_id(PICTURES[0])) in sources
    assert set(sources.values()) <= {"CC0", ""}


# --- the hub ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with a dataset of four photographs in it: two in a table, two as files."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    dataset = tmp_path / "hub" / "datasets--me--photos"
    snapshot = dataset / "snapshots" / ("0" * 40)
    (snapshot / "data").mkdir(parents=True)
    (dataset / "refs").mkdir()
    (dataset / "refs" / "main").write_text("0" * 40)
    (snapshot / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    rows = [
        {"image": {"bytes": data, "path": None}, "licence": licence}
        for data, licence in zip(PICTURES, ("CC0", ""), strict=False)
    ]
    pq.write_table(pa.Table.from_pylist(rows), snapshot / "data" / "train-0.parquet")
    for number, data in enumerate(PICTURES[2:]):
        (snapshot / "data" / f"test-{number}.PNG").write_bytes(data)
    (snapshot / "notes.txt").write_text("no picture")
    return tmp_path / "hub"


def test_a_dataset_of_the_hub_is_read_from_its_cache(hub_cache: Path) -> None:
    curation = curate([Path("hf:me/photos")], test_fraction=0.25, seed=0)
    assert [source.id for source in curation.sources] == IDS
    licences = {source.id: source.licence for source in curation.sources}
    assert licences[content_id(PICTURES[0])] == "CC0"
    assert [licences[content_id(data)] for data in PICTURES[1:]] == ["cc-by-4.0"] * 3
    assert all(content_id(source.read_bytes()) == source.id for source in curation.sources)
    for name, n in (("hf:me/photos/data/train-*", 2), ("hf://datasets/me/photos@main", 4), ("hf:me/photos/*.PNG", 2)):
        assert len(find([Path(name)])) == n


def test_a_dataset_of_the_hub_comes_with_what_it_states_of_its_files(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (card,) = hub_cache.rglob("README.md")
    (card.parent / "data" / "LICENCES.csv").write_text("file,licence\ntest-0.PNG,CC BY-SA 2.0\n")

    def fetched(_: str, *, allow_patterns: list[str], **__: object) -> str:
        """Nothing but what was asked for."""
        names = [str(path.relative_to(card.parent)) for path in card.parent.rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            (tmp_path / "fetched" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "fetched" / name).write_bytes((card.parent / name).read_bytes())
        return str(tmp_path / "fetched")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    for place in ("hf:me/photos", "hf:me/photos/data/test-*"):
        licences = {one.location.name: one.licence for one in find([Path(place)])}
        assert (licences["test-0.PNG"], licences["test-1.PNG"]) == ("CC BY-SA 2.0", "cc-by-4.0")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hf:me/others",
            r"hf:me/others is not in the local cache .*hub and cannot be .* hf download me/others --repo-type",
        ),
        ("hf:photos", "is not a dataset on the Hugging Face Hub; give hf:owner/name"),
        ("hf:me/photos/validation-*", "contains no files that end in"),
    ],
)
def test_a_dataset_that_the_hub_cannot_give_is_named_with_what_to_do(hub_cache: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find([Path(name)])


# --- building --------------------------------------------------------------------------------------------------------


def test_a_build_begun_with_the_schema_before_is_not_gone_on_with(tmp_path: Path) -> None:
    place = _source(tmp_path, "csv")
    before = {"editor": "embedded", "panel": None, "settings": {}, "sources": []}
    write_json(tmp_path / "out" / "plan.json", before)
    with pytest.raises(RecordError, match=r"out holds a dataset of schema version 2.* choose another output folder"):
        build([place], tmp_path / "out", FAST)
    assert read_json(tmp_path / "out" / "plan.json") == before


def test_samples_that_an_earlier_version_built_are_named_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "sample_pairs"
    (folder / "data").mkdir(parents=True)
    write_json(folder / "plan.json", {"editor": "embedded", "panel": None, "settings": {}, "sources": []})
    with pytest.raises(RecordError, match=r"schema version 2.* train on what it holds: --data \S+sample_pairs\)$"):
        ensure_sample_dataset(folder)


def test_a_folder_is_all_that_lies_directly_in_it(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    write_tar(folder / "a.tar", {"x.jpg": picture(10)})
    pq.write_table(pa.table({"jpeg": [picture(11)]}), folder / "b.parquet")
    (folder / "data").mkdir()
    pq.write_table(pa.table({"jpeg": [picture(12)]}), folder / "data" / "not-mine.parquet")
    (folder / "plan.json").write_text("{}")  # a dataset was built into the folder of its photographs
    pq.write_table(pa.table({"id": ["x"]}), folder / "plan.parquet")
    names = [candidate.location.name for candidate in find([folder])]
    assert names == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "a.tar:x.jpg", "b.parquet:jpeg[0:0]"]
    assert [c.location.name for c in find([folder, folder / "0.jpg"])][-1] == "0.jpg"


def test_pictures_of_one_origin_stay_together(tmp_path: Path) -> None:
    folder = tmp_path
    rows = ["file,licence,source_id"]
    for number in range(12):
        (folder / f"{number}.jpg").write_bytes(picture(number))
        rows.append(f"{number}.jpg,CC0,scene{number // 3}")
    (folder / "list.csv").write_text("\n".join(rows))
    sources = curate([folder / "list.csv"], test_fraction=0.25, seed=1).sources
    splits = {source.origin: {other.split for other in sources if other.origin == source.origin} for source in sources}
    assert Counter(split for found in splits.values() for split in found) == {"train": 3, "test": 1}
    (folder / "list.csv").write_text("\n".join(row.rpartition(",")[0] + ",one" for row in rows[1:3]))
    (folder / "list.csv").write_text("file,licence,source_id\n0.jpg,,one\n1.jpg,,one\n")
    with pytest.raises(InputError, match="have the source id 'one'"):
        curate([folder / "list.csv"], test_fraction=0.25, seed=1)


def test_copies_and_unfit_pictures_are_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "5copy.jpg").write_bytes(PICTURES[2])
    with Image.open(io.BytesIO(PICTURES[1])) as image:
        image.resize((360, 280)).save(folder / "6larger.png")
    (folder / "7thin.jpg").write_bytes(picture(20, (900, 150)))
    (folder / "8small.jpg").write_bytes(picture(21, (150, 130)))
    (folder / "9broken.jpg").write_bytes(PICTURES[3][:2000])
    (tmp_path / "list.txt").write_text("photos/gone.jpg\n")
    for workers in (1, 3):
        curation = curate(
            [folder, tmp_path / "list.txt"],
            test_fraction=0.25,
            seed=0,
            rules=PhotographRules(min_side=135, max_aspect=3),
            workers=workers,
        )
        assert [source.id for source in curation.sources] == IDS
        reasons = dict(curation.rejected)
        assert reasons["5copy.jpg"] == "duplicate: of 2.jpg"
        assert reasons["6larger.png"] == "duplicate: of 1.jpg"
        assert reasons["7thin.jpg"] == "too_thin: 900x150, at most 3 to 1"
        assert reasons["8small.jpg"] == "too_small: 150x130, needs 135"
        assert reasons["9broken.jpg"].startswith("unreadable: ")
        assert "no such file" in reasons["gone.jpg"]
        assert len(reasons) == 6


def test_near_hashes_are_found_as_by_comparing_each_with_each() -> None:
    rng = random.Random(0)
    kept: list[int] = []
    fingerprints = Fingerprints()
    for _ in range(3000):
        value = rng.getrandbits(64)
        if kept and rng.random() < 0.5:
            value = rng.choice(kept)
            for bit in rng.sample(range(64), rng.randint(0, DUPLICATE_BITS + 2)):
                value ^= 1 << bit
        expected = next((n for n, known in enumerate(kept) if hamming(known, value) <= DUPLICATE_BITS), None)
        assert fingerprints.add(value) == expected
        if expected is None:
            kept.append(value)


def test_the_draw_is_even_over_the_scores_and_repeatable() -> None:
    # Nine of ten are alike; a plain draw would hardly take one of the best.
    scores = {f"{n:03d}": (0.5 + n / 1e6 if n < 90 else float(n)) for n in range(100)}
    drawn = draw(scores, 20, seed=3)
    assert len(drawn) == 20
    assert all(sum(low <= int(name) < low + 10 for name in drawn) == 2 for low in range(0, 100, 10))
    assert draw(dict(reversed(scores.items())), 20, seed=3) == drawn
    assert draw(scores, 20, seed=4) != drawn
    assert len(draw(scores, 7, seed=0)) == 7
    assert draw(scores, 100, seed=0) == set(scores)


def test_a_scorer_balances_what_is_drawn(tmp_path: Path) -> None:
    for number in range(20):
        shade = {18: 100, 19: 200}.get(number, number)
        pixels = np.asarray(Image.open(io.BytesIO(picture(number)))).astype(float) / 8 + shade
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number:02d}.png")

    def brightness(image: Image.Image) -> float:
        mean = float(np.asarray(image).mean())
        return math.nan if mean > 180 else mean

    rules = PhotographRules(max_photographs=10)
    curation = curate([tmp_path], test_fraction=0.2, seed=0, rules=rules, scorer=brightness, workers=2)
    assert len(curation.sources) == 10
    reasons = Counter(reason.partition(":")[0] for _, reason in curation.rejected)
    assert reasons["unscored"] == 1
    assert reasons["not_drawn"] == 9
    assert any(source.path.name == "18.png" for source in curation.sources)
    assert curate([tmp_path], test_fraction=0.2, seed=0, rules=rules, scorer=brightness) == curation
    assert len(curate([tmp_path], test_fraction=0.2, seed=0, rules=rules).sources) == 10


def _bad(folder: Path, case: str) -> Path:
    write = {
        "empty.txt": b"\n\n",
        "latin.txt": "caf\xe9.jpg".encode("latin-1"),
        "columns.csv": b"name,rights\na,b\n",
        "broken.jsonl": b'{"file": "a.jpg", "licence": "x"}\n{"file"',
        "keys.jsonl": b'{"path": "a.jpg"}',
        "photos.tar.gz": b"\x1f\x8b",
        "photos.zip": b"PK",
        "damaged.parquet": b"PAR1 and no more",
        "damaged.arrow": b"ARROW1",
    }
    path = folder / case
    if case in write:
        path.write_bytes(write[case])
    elif case == "compressed.tar":
        write_tar(path, {"a.jpg": PICTURES[0]}, "w:gz")
    elif case == "cut.tar":
        whole = write_tar(path, {"a.jpg": PICTURES[0], "b.jpg": PICTURES[1]}).read_bytes()
        path.write_bytes(whole[: 512 + len(PICTURES[0]) // 2])
    elif case == "texts.tar":
        write_tar(path, {"a.txt": b"hello"})
    elif case == "sidecar.tar":
        write_tar(path, {"a.jpg": PICTURES[0], "a.json": b"{"})
    elif case == "list.tar":
        write_tar(path, {"a.jpg": PICTURES[0], "a.json": b"[]"})
    elif case == "two.parquet":
        pq.write_table(table(other=PICTURES).append_column("second", table()["image"]), path)
    elif case == "none.parquet":
        pq.write_table(pa.table({"x": [1]}), path)
    elif case == "rows.parquet":
        pq.write_table(table().slice(0, 0), path)
    return path


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("empty.txt", "names no pictures"),
        ("latin.txt", "save it as text in UTF-8"),
        ("columns.csv", "needs the columns 'file' and 'licence'"),
        ("broken.jsonl", "line 2 is not JSON"),
        ("keys.jsonl", "line 1 needs the keys 'file' and 'licence'"),
        ("photos.tar.gz", "compressed archives"),
        ("photos.zip", "compressed archives"),
        ("compressed.tar", "not a readable, uncompressed tar"),
        ("cut.tar", "not a readable, uncompressed tar"),
        ("texts.tar", "no pictures found"),
        ("sidecar.tar", "a.json is not JSON"),
        ("list.tar", "a.json is not a JSON object"),
        ("damaged.parquet", "not readable Parquet"),
        ("damaged.arrow", "not readable Arrow"),
        ("two.parquet", r"several columns of pictures \(image, second\)"),
        ("none.parquet", "no column of pictures; its columns are x"),
        ("rows.parquet", "has no rows"),
        ("missing.tar", "no such file or folder"),
    ],
)
def test_bad_lists_and_containers_are_refused_by_name(tmp_path: Path, case: str, says: str) -> None:
    path = _bad(tmp_path, case)
    with pytest.raises(InputError, match=says) as caught:
        curate([path], test_fraction=0.5, seed=0)
    assert case in str(caught.value)


def test_cells_without_bytes_are_named_and_left_out(tmp_path: Path) -> None:
    cells = [{"bytes": data, "path": None} for data in PICTURES] + [{"bytes": None, "path": "x.jpg"}, None]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(cells, type=struct)}), tmp_path / "t.parquet")
    curation = curate([tmp_path], test_fraction=0.25, seed=0)
    assert [name for name, _ in curation.rejected] == ["t.parquet:image[0:4]", "t.parquet:image[0:5]"]
    assert all("holds no bytes" in reason for _, reason in curation.rejected)


def test_a_container_that_changed_is_noticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", {"a.jpg": PICTURES[0], "b.jpg": PICTURES[1]})
    first, last = (candidate.location for candidate in find([path]))
    path.write_bytes(path.read_bytes()[: 512 + 10])
    with pytest.raises(ImageError, match=r"s\.tar:a\.jpg: the shard ends within it"):
        first.read_bytes()
    with pytest.raises(ImageError, match=r"s\.tar:b\.jpg"):
        last.read_bytes()
    path.unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        first.read_bytes()
    pq.write_table(table(), tmp_path / "t.parquet")
    cell = next(iter(find([tmp_path / "t.parquet"]))).location
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImageError, match=r"t\.parquet:image\[0:0\]"):
        cell.read_bytes()


def test_a_build_leaves_out_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path)
    known = curate([folder], test_fraction=0.25, seed=0)
    monkeypatch.setattr(pipeline, "curate", lambda *_, **__: known)
    changed = next(source for source in known.sources if source.split == "train")
    changed.path.write_bytes(picture(77))
    report = build([folder], tmp_path / "out", FAST)
    (failed,) = report["failed"]
    assert failed["source"] == changed.id
    assert f"{changed.path} changed while the dataset was being built" in failed["error"]


def test_nothing_is_kept_in_memory(tmp_path: Path) -> None:
    path = _source(tmp_path, "parquet")
    for candidate in find([path]):
        assert isinstance(candidate.location, Location)
        assert len(pickle.dumps(candidate)) < 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_side", 20), ("min_side", True), ("max_aspect", 0.5), ("max_aspect", math.nan), ("max_aspect", "wide"),
     ("max_photographs", 1), ("max_photographs", 2.0)],
)  # fmt: skip
def test_wrong_rules_are_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{name} is .*; it should be "):
        PhotographRules(**{name: value})  # type: ignore[arg-type]
