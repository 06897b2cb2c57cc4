"""Readers of benchmarks, on files of our own in the published layouts; the published files in a tier of their own.

The numbers and names here are made up. Layouts are those of the files that the benchmarks' modules name.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from redaes.errors import InputError, RecordError
from redaes.evaluation import benchmarks
from redaes.evaluation.benchmarks import BENCHMARKS, find_benchmark, load, red, series_lists
from redaes.evaluation.benchmarks.manifest import load_manifest, make_manifest, verify
from redaes.evaluation.benchmarks.series_lists import read_fgaesthetics
from tests.published_layouts import cells, write_fcdb, write_gaic


def write_ava(folder: Path) -> Path:
    lists = folder / "aesthetics_image_lists"
    lists.mkdir()
    (lists / "generic_test.jpgl").write_text("30\n10\n99\n")
    rows = ["1 10 0 0 0 0 0 0 0 0 0 4 1 22 1396", "2 20 9 0 0 0 0 0 0 0 0 0 0 0 1", "3 30 0 1 0 0 2 0 0 0 0 0 15 0 7"]
    (folder / "AVA.txt").write_text("\n".join(rows) + "\n")
    return folder


def write_scores_json(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(json.dumps([{"image": "b.jpg", "gt_score": 4.5}, {"image": "a.jpg", "gt_score": 2}]))
        return folder

    return write


def write_text(name: str, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        return folder

    return write


def write_aadb(folder: Path) -> Path:
    savemat(
        folder / "AADBinfo.mat",
        {
            "testNameList": cells(["farm1_b.jpg", "farm2_a.jpg"]),
            "testScore": np.array([[0.65, 0.2]]),
            "trainNameList": cells(["farm9_z.jpg"]),
            "trainScore": np.array([[0.9]]),
        },
    )
    return folder


def write_crop_scores(folder: Path) -> Path:
    boxes = [(35, 43, 601, 811), (35, 128, 672, 896)]
    scores = {"train/1": (1.86, 3.0), "test/2": (2.5, 4.25), "test/3": (5.0, 1.0)}
    write_gaic(folder, {name: [(*b, value) for b, value in zip(boxes, of, strict=True)] for name, of in scores.items()})
    return folder


def write_crop_pairs(folder: Path) -> Path:
    write_fcdb(folder, {"1_9_c.jpg": [([139, 234, 300, 400], [171, 281, 300, 400], 4, 1)]})
    return folder


WRITERS: dict[str, tuple[Callable[[Path], Path], list[tuple[str, float | None]]]] = {
    "ava": (write_ava, [("30.jpg", 4.0), ("10.jpg", 10.0)]),
    "aadb": (write_aadb, [("farm1_b.jpg", 0.65), ("farm2_a.jpg", 0.2)]),
    "para": (
        write_text(
            "annotation/PARA-GiaaTest.csv",
            "sessionId,imageName,aestheticScore_1.0,aestheticScore_mean\nsession2,iaa_pub2_.jpg,3,2.5\n",
        ),
        [("session2/iaa_pub2_.jpg", 2.5)],
    ),
    "tad66k": (write_text("merge/test.csv", "image,score\nx.jpg,1.9\ny.jpg,2.48\n"), [("x.jpg", 1.9), ("y.jpg", 2.48)]),
    "flickr_aes": (write_scores_json("test.json"), [("b.jpg", 4.5), ("a.jpg", 2.0)]),
    "artimuse10k": (write_scores_json("ArtiMuse-10K.json"), [("b.jpg", 4.5), ("a.jpg", 2.0)]),
    "icaa17k": (
        write_text("1test.csv", "ID,color,MOS,probability\nred/a.jpg,5.6,6.7,0.69\n"),
        [("red/a.jpg", 5.6)],
    ),
    "icaa17k_mos": (
        write_text("1test.csv", "ID,color,MOS,probability\nred/a.jpg,5.6,6.7,0.69\n"),
        [("red/a.jpg", 6.7)],
    ),
    "baid": (write_text("dataset/test_set.csv", "image,score\n1.jpg,5.1\n"), [("1.jpg", 5.1)]),
    "phototriage": (
        write_text("val_pairlist.txt", "15 1 2 0.123 2 1\n15 1 3 0.546 2 3\n15 2 3 0.896 1 3\n"),
        [("000015-01", -2.0), ("000015-02", -1.0), ("000015-03", -3.0)],
    ),
    "gaic": (
        write_crop_scores,
        [
            ("test/2.jpg#43,35,811,601", 2.5),
            ("test/2.jpg#128,35,896,672", 4.25),
            ("test/3.jpg#43,35,811,601", 5.0),
            ("test/3.jpg#128,35,896,672", 1.0),
        ],
    ),
    "fcdb": (write_crop_pairs, [("1_9_c.jpg#139,234,439,634", None), ("1_9_c.jpg#171,281,471,681", None)]),
    "scores": (write_text("scores.csv", "image,score\nx.jpg,1.9\n"), [("x.jpg", 1.9)]),
    "pairs": (write_text("pairs.csv", "first,second,p\nx.jpg,y.jpg,0.8\n"), [("x.jpg", None), ("y.jpg", None)]),
    "series": (
        write_text("series.csv", "series,image,score\ns,x.jpg,1\ns,y.jpg,2\nt,z.jpg,1\n"),
        [("x.jpg", 1.0), ("y.jpg", 2.0), ("z.jpg", 1.0)],
    ),
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_published_layout_is_read(name: str, tmp_path: Path) -> None:
    write, expected = WRITERS[name]
    benchmark = BENCHMARKS[name]
    labels = benchmark.read(benchmark.label_file(write(tmp_path)))
    assert [(picture.id, picture.score) for picture in labels.pictures] == expected


def test_every_benchmark_is_tested() -> None:
    fgaesthetics = {"fgaesthetics_natural", "fgaesthetics_aigc", "fgaesthetics_cropping"}
    assert set(BENCHMARKS) == {*WRITERS, "red", "red_series", *fgaesthetics}


def test_views_become_series_where_their_pictures_are_joined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def row(group: str, first: str, second: str, delta: float) -> red._Labelled:
        return red._Labelled((first, second), delta, group, group[0], None)

    rows = [
        row("p0", "a", "b", 2.0),
        row("p0", "b", "c", 1.0),
        row("p0", "a", "c", 3.0),
        row("p1", "a", "d", 1.0),  # two pictures: a pair
        row("q0", "e", "f", 1.0),  # two parts: no common order
        row("q0", "g", "h", 1.0),
    ]
    monkeypatch.setattr(red, "_labelled", lambda folder, pictures: iter(rows))
    labels = red.read_red_series(tmp_path, tmp_path)
    assert [(one.id, one.file, one.group, one.cluster) for one in labels.pictures] == [
        (f"p0/{name}", name, "p0", "p") for name in "abc"
    ]
    scores = [one.score for one in labels.pictures]
    assert scores == pytest.approx([5 / 3, -1 / 3, -4 / 3], abs=1e-6)
    assert [(pair.first, pair.second) for pair in labels.pairs] == [
        ("p0/a", "p0/b"),
        ("p0/a", "p0/c"),
        ("p0/b", "p0/c"),
    ]
    assert all(pair.p > 0.5 for pair in labels.pairs)


def test_ava_names_the_listed_pictures_without_ratings(tmp_path: Path) -> None:
    labels = BENCHMARKS["ava"].read(write_ava(tmp_path) / "AVA.txt")
    assert labels.unlabelled == ("99",)


def test_pairs_of_a_series_and_of_crops(tmp_path: Path) -> None:
    triage = BENCHMARKS["phototriage"].read(WRITERS["phototriage"][0](tmp_path) / "val_pairlist.txt")
    assert [pair.p for pair in triage.pairs] == [0.123, 0.546, 0.896]
    assert (triage.pairs[0].first, triage.pairs[0].second) == ("000015-01", "000015-02")
    assert triage.pictures[0].file == "000015-01.JPG"
    crops = BENCHMARKS["fcdb"].read(write_crop_pairs(tmp_path) / "ranking_annotation.json")
    assert [pair.p for pair in crops.pairs] == [0.8]
    assert crops.pictures[0].box == (139, 234, 439, 634)
    own = BENCHMARKS["series"].read(WRITERS["series"][0](tmp_path) / "series.csv")
    assert [(pair.first, pair.second, pair.p) for pair in own.pairs] == [("x.jpg", "y.jpg", 0.0)]


def test_fgaesthetics_refuses_what_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "natural_test.txt"
    file.write_text("7 0 1 0.9 1.5 0.5\n7,1,2,0.5,0.5,0.5\n")
    labels = read_fgaesthetics(file)
    assert [picture.file for picture in labels.pictures] == ["000007-00.jpg", "000007-01.jpg", "000007-02.jpg"]
    file.write_text("7 0 1 0.9 1.5 0.5\n7 0 2 0.9 1.4 0.5\n")
    with pytest.raises(RecordError, match="000007-00 has another value"):
        read_fgaesthetics(file)
    file.write_text("7 0 1 0.9 1.5 0.5\n")
    with pytest.raises(RecordError, match="has 1 series, 2 pictures and 1 pairs; published are 403, 996 and 824"):
        load("fgaesthetics_natural", file)


def published_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """A label file that counts as FGAesthetics Natural: two series, five pictures, four pairs."""
    monkeypatch.setitem(series_lists.PUBLISHED, "natural", (2, 5, 4))
    file = tmp_path / "natural_test.txt"
    file.write_text(text)
    return file


def test_votes_against_the_order_of_a_series_count_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["7 0 1 0.9 1.5 0.5", "7 1 2 0.3 0.5 0.4", "", "7 0 2 0.8 1.5 0.4", "8,0,1,0.5,2,1"]
    file = published_series(tmp_path, monkeypatch, "\n".join(rows))
    loaded = load("fgaesthetics_natural", file)
    assert loaded.labels.n_contrary == 1
    assert [pair.p for pair in loaded.labels.pairs] == [0.9, 0.3, 0.8, 0.5]
    rows[0], rows[3] = "7 0 1 0.1 1.5 0.5", "7 0 2 0.8 1.5 0.4"
    file.write_text("\n".join(rows))
    with pytest.raises(RecordError, match=r"in 2 of 3 pairs .*such as 000007-00 against 000007-01, P 0\.1, .*--ranks"):
        load("fgaesthetics_natural", file)


def test_ranks_are_declared_where_the_owner_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "7 0 1 0.9 1 2\n7 1 2 0.8 2 3\n7 0 2 0.8 1 3\n8 0 1 0.7 1 2\n"
    file = published_series(tmp_path, monkeypatch, text)
    with pytest.raises(RecordError, match="in 4 of 4 pairs"):
        load("fgaesthetics_natural", file)
    loaded = load("fgaesthetics_natural", file, ranks=True)
    assert [picture.score for picture in loaded.labels.pictures] == [-1.0, -2.0, -3.0, -1.0, -2.0]
    assert loaded.labels.n_contrary == 0
    with pytest.raises(InputError, match=r"PhotoTriage .* is known; leave out --ranks"):
        BENCHMARKS["phototriage"].read(WRITERS["phototriage"][0](tmp_path) / "val_pairlist.txt", ranks=True)
    own = WRITERS["series"][0](tmp_path) / "series.csv"
    own.write_text("series,image,rank\ns,x.jpg,1\ns,y.jpg,2\n")
    labels = BENCHMARKS["series"].read(own)
    assert ([picture.score for picture in labels.pictures], labels.pairs[0].p) == ([-1.0, -2.0], 1.0)
    own.write_text("series,image,score,source\ns,x.jpg,1,p\nt,y.jpg,2,p\nu,z.jpg,2,\n")
    assert [picture.cluster for picture in BENCHMARKS["series"].read(own).pictures] == ["p", "p", "u"]
    own.write_text("series,image\ns,x.jpg\n")
    with pytest.raises(RecordError, match=r"one of the columns score .* and rank"):
        BENCHMARKS["series"].read(own)


def test_pictures_may_lie_in_a_folder_for_each_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "7 0 1 0.9 3 2\n7 1 2 0.8 2 1\n7 0 2 0.8 3 1\n8 0 1 0.7 2 1\n"
    file = published_series(tmp_path, monkeypatch, text)
    for name in ("000007-00.jpg", "000007/000007-01.jpg", "000007/02.jpg", "000008/00.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    loaded = load("fgaesthetics_natural", file)
    assert [picture.file for picture in loaded.labels.pictures] == [
        "000007-00.jpg",
        "000007/000007-01.jpg",
        "000007/02.jpg",
        "000008/00.jpg",
        "000008-01.jpg",
    ]
    assert loaded.missing == ("000008-01.jpg",)
    assert [picture.id for picture in loaded.labels.pictures][1] == "000007-01"


def test_altered_labels_are_refused_with_what_differs(tmp_path: Path) -> None:
    benchmark = BENCHMARKS["tad66k"]
    file = WRITERS["tad66k"][0](tmp_path) / "merge/test.csv"
    pinned = make_manifest(benchmark, benchmark.read(file))
    assert verify(benchmark, benchmark.read(file), pinned, file) == pinned.sha256
    file.write_text("image,score\ny.jpg,2.48\nx.jpg,1.9\n")
    assert verify(benchmark, benchmark.read(file), pinned, file) == pinned.sha256  # the order does not matter
    file.write_text("image,score\nx.jpg,1.8\ny.jpg,2.48\nz.jpg,3\n")
    with pytest.raises(
        RecordError,
        match=r"3 entries instead of 2, 1 published ones are missing or altered, 2 are not among the published "
        r"\(x\.jpg 1\.800000; z\.jpg 3\.000000\)",
    ):
        verify(benchmark, benchmark.read(file), pinned, file)
    with pytest.raises(RecordError, match=r"2 entries instead of 14079.*Get the file from code/TAD66K/dataset\.zip"):
        load("tad66k", WRITERS["tad66k"][0](tmp_path))


def test_every_pinned_benchmark_has_a_whole_manifest() -> None:
    sizes = {
        "ava": 19_930, "aadb": 1_000, "para": 3_000, "tad66k": 14_079, "flickr_aes": 4_737, "artimuse10k": 1_002,
        "icaa17k": 1_617, "icaa17k_mos": 1_617, "baid": 6_400, "phototriage": 503 + 483, "gaic": 17_347, "fcdb": 33_620,
    }  # fmt: skip
    assert {name: load_manifest(name).n for name, benchmark in BENCHMARKS.items() if benchmark.pinned} == sizes


def test_missing_pictures_are_listed(tmp_path: Path) -> None:
    WRITERS["scores"][0](tmp_path)
    loaded = load("scores", tmp_path / "scores.csv")
    assert loaded.missing == ("x.jpg",)
    (tmp_path / "x.jpg").write_bytes(b"")
    assert load("scores", tmp_path).missing == ()
    assert load("scores", tmp_path, pictures=tmp_path / "elsewhere").missing == ("x.jpg",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("scores.csv", "image,score\nx.jpg,high\n", "'high' is not a number"),
        ("scores.csv", "image,score\nx.jpg,nan\n", "'nan' is not a finite number"),
        ("scores.csv", "image,score\nx.jpg,1\nx.jpg,2\n", "names 'x.jpg' twice"),
        ("scores.csv", "image\nx.jpg\n", "has no column score"),
        ("scores.csv", "image,score\nx.jpg\n", "line 2: the row is incomplete"),
        ("scores.csv", "image,score\n", "names no pictures"),
        ("scores.json", "[{]", "is not JSON"),
        ("scores.json", "{}", "is not a JSON list"),
        ("scores.json", '[{"image": "x.jpg"}]', "entry 0: expected an object with image, gt_score"),
        ("scores.json", '[{"image": "x.jpg", "gt_score": true}]', "True is not a finite number"),
        ("pairs.csv", "first,second,p\nx.jpg,y.jpg,1.5\n", "lies outside"),
        ("pairs.csv", "first,second,p\nx.jpg,y.jpg,1\ny.jpg,x.jpg,0\n", "twice, or one with itself"),
        ("pairs.csv", "first,second,p\nx.jpg,x.jpg,1\n", "twice, or one with itself"),
        ("scores.tsv", "", "is read from scores.json or scores.csv"),
    ],
)
def test_malformed_labels_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RecordError, match=message):
        load(name.partition(".")[0], tmp_path / name)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="benchmark 'avva' is unknown; give one of ava, aadb"):
        find_benchmark("avva")
    with pytest.raises(RecordError, match=r"has no label file of AVA .*expected AVA\.txt or test\.json \(from"):
        load("ava", tmp_path)
    with pytest.raises(RecordError, match="no such file or folder"):
        load("ava", tmp_path / "nowhere")
    (tmp_path / "AADBinfo.mat").write_bytes(b"no mat")
    with pytest.raises(RecordError, match="is not a readable MATLAB file"):
        load("aadb", tmp_path)
    (tmp_path / "imdb_GAIC1000.mat").write_bytes(b"no mat")
    with pytest.raises(RecordError, match="is not a readable MATLAB file"):
        load("gaic", tmp_path)
    for name, file in (("aadb", "AADBinfo.mat"), ("gaic", "imdb_GAIC1000.mat")):
        savemat(tmp_path / file, {"something": 1})
        with pytest.raises(RecordError, match="as published"):
            load(name, tmp_path)


# --- the published files ------------------------------------------------------------------------------------

LABELS = os.environ.get("REDAES_LABELS")


@pytest.mark.labels
@pytest.mark.skipif(LABELS is None, reason="REDAES_LABELS names no folder with published label files")
class TestPublishedFiles:
    """A folder with the files under these names; those that were converted are put back into their layout."""

    def folder(self) -> Path:
        assert LABELS is not None
        return Path(LABELS)

    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("para", "para_test.json"),
            ("flickr_aes", "flickr_aes_test.json"),
            ("artimuse10k", "artimuse10k_test.json"),
        ],
    )
    def test_as_published(self, name: str, file: str) -> None:
        assert len(load(name, self.folder() / file).labels.pictures) == load_manifest(name).n

    def test_ava(self, tmp_path: Path) -> None:
        rows = csv.DictReader((self.folder() / "ava_test_means.csv").open())
        entries = [{"image": f"{row['image_id']}.jpg", "gt_score": float(row["mean"])} for row in rows]
        (tmp_path / "test.json").write_text(json.dumps(entries))
        assert len(load("ava", tmp_path).labels.pictures) == 19_930
        entries[7]["gt_score"] += 0.01  # type: ignore[operator]
        (tmp_path / "test.json").write_text(json.dumps(entries))
        with pytest.raises(RecordError, match="1 published ones are missing or altered, 1 are not"):
            load("ava", tmp_path)

    @pytest.mark.parametrize(
        ("name", "source", "target", "row"),
        [
            ("tad66k", "tad66k.csv", "merge/test.csv", "{image},{score}"),
            ("aadb", "aadb.csv", "imgListTestNewRegression_score.txt", "{image} {score}"),
        ],
    )
    def test_test_splits(self, name: str, source: str, target: str, row: str, tmp_path: Path) -> None:
        rows = [
            row.format(**line) for line in csv.DictReader((self.folder() / source).open()) if line["split"] == "test"
        ]
        (tmp_path / target).parent.mkdir(exist_ok=True)
        head = ["image,score"] if target.endswith("csv") else []
        (tmp_path / target).write_text("\n".join(head + rows) + "\n")
        assert len(load(name, tmp_path / target).labels.pictures) == load_manifest(name).n

    def test_phototriage(self, tmp_path: Path) -> None:
        rows = csv.DictReader((self.folder() / "phototriage_pairs.csv").open())
        columns = ("series", "a", "b", "pref_a", "rank_a", "rank_b")
        lines = [" ".join(row[column] for column in columns) for row in rows if row["split"] == "val"]
        (tmp_path / "val_pairlist.txt").write_text("\n".join(lines))
        labels = load("phototriage", tmp_path).labels
        assert (len(labels.pictures), len(labels.pairs)) == (503, 483)

    def test_fcdb(self, tmp_path: Path) -> None:
        text = gzip.decompress((self.folder() / "fcdb_crop_pairs.json.gz").read_bytes())
        (tmp_path / "ranking_annotation.json").write_bytes(text)
        assert len(load("fcdb", tmp_path).labels.pairs) == 33_620

    def test_gaic(self) -> None:
        entries = json.loads(gzip.decompress((self.folder() / "gaic_crops.json.gz").read_bytes()))
        published = []
        for entry in entries:
            for top, left, bottom, right, score in entry["crops"] if entry["image"].startswith("test/") else ():
                box = (left, top, right, bottom)
                name = f"{entry['image']}#{','.join(map(str, box))}"
                published.append(benchmarks.base.BenchmarkPicture(name, entry["image"], entry["image"], score, box))
        labels = benchmarks.Labels(tuple(published))
        assert verify(BENCHMARKS["gaic"], labels, load_manifest("gaic"), self.folder())
        with pytest.raises(RecordError, match="1 published ones are missing"):
            verify(BENCHMARKS["gaic"], replace(labels, pictures=labels.pictures[1:]), load_manifest("gaic"), Path("x"))
