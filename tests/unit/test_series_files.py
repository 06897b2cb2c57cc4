"""Readers of series and labels: what they give, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redaes.errors import RecordError
from redaes.series_records import (
    Histogram,
    SeriesPair,
    ordered_series,
    read_ava,
    read_fgaesthetics_labels,
    read_histograms,
    read_pairs_csv,
    read_scores,
    read_series,
    read_series_csv,
    write_records,
)

ROWS = "7 1 2 0.8 1.5 0.1\n7 2 3 0.4 0.1 0.3\n7 1 3 0.75 1.5 0.3\n12 1 2 0.5 0.2 0.2\n7 1 2 0.8 1.5 0.1\n"


def test_fgaesthetics_labels(tmp_path: Path) -> None:
    file = tmp_path / "natural_train.txt"
    file.write_text(ROWS)
    (series,), report = read_fgaesthetics_labels(file, Path("images"))
    assert (series.id, series.category, series.split) == ("natural/000007", "natural", "train")
    assert series.images == tuple(Path("images") / f"000007-0{n}.jpg" for n in (1, 2, 3))
    assert series.scores == (1.5, 0.1, 0.3)
    assert [(pair.first, pair.second, pair.probability) for pair in series.pairs] == [
        (0, 1, 0.8),
        (0, 2, 0.75),
        (1, 2, 0.4),
    ]
    assert (report.n_rows, report.n_ties, report.n_repeated, report.n_contrary) == (5, 1, 1, 0)


def test_votes_against_the_order_are_kept_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "natural_train.txt"
    file.write_text(ROWS + "7 2 4 0.3 0.1 0.05\n7 4 1 0.9 0.05 1.5\n")
    (series,), report = read_fgaesthetics_labels(file, Path("images"))
    assert report.n_contrary == 2
    assert [pair.probability for pair in series.pairs if pair.second == 3] == [pytest.approx(0.1), 0.3]
    assert series.scores == (1.5, 0.1, 0.3, 0.05)
    file.write_text(file.read_text() + "8 1 2 0.9 0 1\n8 3 4 0.9 0 1\n")
    with pytest.raises(RecordError, match=r"in 4 of 7 pairs P contradicts .*line 6: .*give values_are='ranks'"):
        read_fgaesthetics_labels(file, Path("images"))


def test_values_that_are_ranks_are_declared(tmp_path: Path) -> None:
    file = tmp_path / "aigc_val.txt"
    file.write_text("3 0 1 0.8 1 3\n3,0,2,0.6,1,2\n")
    with pytest.raises(RecordError, match="in 2 of 2 pairs P contradicts"):
        read_fgaesthetics_labels(file, tmp_path)
    (series,), report = read_fgaesthetics_labels(file, tmp_path, values_are="ranks")
    assert (series.scores, report.n_contrary) == ((-1.0, -3.0, -2.0), 0)
    file.write_text("3 0 1 0.8 1 3\n3 0 2 0.6 2 2\n")
    with pytest.raises(RecordError, match=r"line 2: picture 0 of series 3 has the value 2\.0, and 1\.0 above"):
        read_fgaesthetics_labels(file, tmp_path, values_are="ranks")


def test_pictures_in_a_folder_for_each_series(tmp_path: Path) -> None:
    for name in ("000007-01.jpg", "000007/000007-02.jpg", "000007/03.jpg", "000007/000007-01.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    (tmp_path / "natural_test.txt").write_text("7 1 2 0.8 3 2\n7 3 4 0.8 1 0\n")
    (series,), _ = read_fgaesthetics_labels(tmp_path / "natural_test.txt", tmp_path / "images")
    assert [file.relative_to(tmp_path / "images").as_posix() for file in series.images] == [
        "000007-01.jpg",
        "000007/000007-02.jpg",
        "000007/03.jpg",
        "000007-04.jpg",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("natural_train.txt", "7 1 2 0.2 1.5 0.1\n", "in 1 of 1 pairs P contradicts the values, such as line 1: P 0.2"),
        ("natural_train.txt", ROWS + "7 2 1 0.8 0.1 1.5\n", "line 6: the pair 2, 1 of series 7 has another P"),
        ("natural_train.txt", ROWS + "7 2 1 0.3 0.1 1.5\n", "line 6: the pair 2, 1 of series 7 has another P"),
        ("natural_train.txt", ROWS + "7 1 4 0.9 2.5 0.1\n", "line 6: picture 1 of series 7 has the value 2.5"),
        ("natural_train.txt", "7 1 2 0.8 1.5\n", "5 numbers"),
        ("natural_train.txt", "7 1 2 0.8 1.5 x\n", "line 1"),
        ("natural_train.txt", "7 1 2 1.8 1.5 0.1\n", "P in"),
        ("natural_train.txt", "7.5 1 2 0.8 1.5 0.1\n", "two different indices"),
        ("natural_train.txt", "", "empty"),
        ("labels.txt", ROWS, "the name must be"),
    ],
)
def test_contradictions_are_refused_by_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RecordError, match=message):
        read_fgaesthetics_labels(tmp_path / name, tmp_path)


def test_ava(tmp_path: Path) -> None:
    file = tmp_path / "AVA.txt"
    file.write_text("1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396\n2 953958 10 7 15 26 26 21 10 8 1 2 1 21 1396\n")
    both = read_ava(file, tmp_path)
    assert [item.image.name for item in both] == ["953619.jpg", "953958.jpg"]
    assert both[0].distribution[4] == pytest.approx(38 / 124)
    assert len(read_ava(file, tmp_path, ["953958"])) == 1
    with pytest.raises(RecordError, match="lacks 1 images"):
        read_ava(file, tmp_path, ["1"])
    file.write_text("1 5 0 0 0 0 0 0 0 0 0 0\n")
    with pytest.raises(RecordError, match="no votes"):
        read_ava(file, tmp_path)
    file.write_text("1 5 0 0\n")
    with pytest.raises(RecordError, match="ten counts"):
        read_ava(file, tmp_path)


def test_own_files_come_back(tmp_path: Path) -> None:
    series = ordered_series("s", "natural", "train", [Path("a.png"), Path("b.png")], [1.0, 2.0], {(0, 1): "worse"})
    assert series.pairs == (SeriesPair(first=0, second=1, probability=0.0, text="worse"),)
    write_records(tmp_path / "series.jsonl", [series])
    (again,) = read_series(tmp_path / "series.jsonl")
    assert again.images == (tmp_path / "a.png", tmp_path / "b.png")
    histogram = Histogram(image=Path("a.png"), distribution=(0.1,) * 10)
    write_records(tmp_path / "coarse.jsonl", [histogram])
    assert read_histograms(tmp_path / "coarse.jsonl")[0].image == tmp_path / "a.png"
    broken = json.loads(series.model_dump_json())
    broken["pairs"][0]["second"] = 5
    (tmp_path / "series.jsonl").write_text(json.dumps(broken))
    with pytest.raises(RecordError, match=r"line 1: no series .*positions 0 and 5"):
        read_series(tmp_path / "series.jsonl")
    (tmp_path / "series.jsonl").write_text("\n")
    with pytest.raises(RecordError, match="is empty"):
        read_series(tmp_path / "series.jsonl")
    (tmp_path / "coarse.jsonl").write_text(json.dumps({"image": "a", "distribution": [0.5] * 10}))
    with pytest.raises(RecordError, match="sum to 1"):
        read_histograms(tmp_path / "coarse.jsonl")


def test_plain_files(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_text('[{"image": "a.jpg", "gt_score": 5.5}]')
    assert read_scores(file, Path("x")) == [(Path("x/a.jpg"), 5.5)]
    for text, message in (("{}", "not a list"), ('[{"image": "a"}]', "gt_score of a is None"), ("[1]", "entry 0")):
        file.write_text(text)
        with pytest.raises(RecordError, match=message):
            read_scores(file, tmp_path)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("first,second,probability\na,b,0.25\n")
    assert read_pairs_csv(pairs, Path("x")) == [(Path("x/a"), Path("x/b"), 0.25)]
    pairs.write_text("first,second,probability\na,b,1.25\n")
    with pytest.raises(RecordError, match="line 2"):
        read_pairs_csv(pairs, tmp_path)
    table = tmp_path / "series.csv"
    table.write_text("series,image,score\n1,a,3\n1,b,3\n1,c,1\n")
    (series,) = read_series_csv(table, Path("x"), category="natural", split="test")
    assert [(pair.first, pair.second, pair.probability) for pair in series.pairs] == [(0, 2, 1.0), (1, 2, 1.0)]
    table.write_text("series,image,rank\n1,a,3\n1,b,1\n")
    (ranked,) = read_series_csv(table, Path("x"), category="natural", split="test")
    assert (ranked.scores, ranked.pairs[0].probability) == ((-3.0, -1.0), 0.0)
    for text, message in (
        ("series,image,score,rank\n1,a,3,1\n1,b,2,2\n", "leave one of them out"),
        ("series,image,score\n1,a,3\n1,a,2\n", "comes twice"),
        ("series,image,score\n1,a,3\n", "at least 2"),
        ("series,image,score\n1,a,inf\n", "finite"),
    ):
        table.write_text(text)
        with pytest.raises(RecordError, match=message):
            read_series_csv(table, tmp_path, category="natural", split="test")
