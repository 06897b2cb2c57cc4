"""``redaes data import``: series that people put in order, to pairs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.imported.forms import ReadingSettings, judgements_in
from redaes.datagen.imported.rows import StatedPair, UnusableRow
from redaes.datagen.validation import validate
from redaes.errors import InputError
from redaes.records import read_records
from redaes.types import SPLITS, winner_of

RATED = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:digiKam="http://www.digikam.org/ns/1.0/" %s/></rdf:RDF></x:xmpmeta>'
)


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(small).resize((48, 32), Image.Resampling.BICUBIC).save(path, quality=92)


def read(source: Path, **settings: Any) -> tuple[dict[tuple[str, str], float], list[UnusableRow]]:
    """Differences by both names, and what was left out."""
    pairs, lost = {}, []
    for row in judgements_in(source, ReadingSettings(**settings), set()):
        if isinstance(row, UnusableRow):
            lost.append(row)
        else:
            assert row.label.delta is not None
            pairs[row.first.name, row.second.name] = row.label.delta
    return pairs, lost


def signs(pairs: dict[tuple[str, str], float]) -> dict[tuple[str, str], int]:
    return {names: (delta > 1e-9) - (delta < -1e-9) for names, delta in pairs.items()}


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


ORDER = {("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 1}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("s.csv", ["series,image,score", "x,a,9.1", "x,b,4", "x,c,-2"]),
        ("s.csv", ["image;rank", "a;1", "b;2", "c;3"]),
        ("s.json", [json.dumps([{"image": n, "gt_score": s} for n, s in zip("abc", (7.5, 5, 1), strict=True)])]),
        ("s.jsonl", [json.dumps({"order": ["a", "b", "c"]})]),
        ("s.jsonl", [json.dumps({"id": "x", "images": ["a", "b", "c"], "scores": [3, 2, 1]})]),
        ("s.csv", ["rank,name,score_logits,error_logits,decision", "1,a,1,1,pick", "2,b,0,1,", "3,c,-1,1,reject"]),
    ],
)
def test_every_form_of_an_order_gives_the_same_pairs(tmp_path: Path, name: str, lines: list[str]) -> None:
    pairs, lost = read(write(tmp_path / name, *lines))
    assert not lost
    assert signs(pairs) == ORDER
    assert pairs["a", "b"] == pytest.approx(pairs["b", "c"])
    assert 0 < pairs["a", "b"] < pairs["a", "c"] < 9


def test_equal_ranks_are_ties_and_two_picks_say_nothing(tmp_path: Path) -> None:
    ranks, _ = read(write(tmp_path / "r.csv", "image,rank", "a,1", "b,1", "c,2"))
    assert signs(ranks) == {("a", "b"): 0, ("a", "c"): 1, ("b", "c"): 1}
    equal, _ = read(write(tmp_path / "o.jsonl", json.dumps({"order": [["a", "b"], "c"]})))
    assert equal == ranks
    picks, _ = read(write(tmp_path / "p.csv", "name,decision", "a,pick", "b,pick", "c,"))
    assert signs(picks) == {("a", "c"): 1, ("b", "c"): 1}


def test_series_are_not_compared_with_each_other(tmp_path: Path) -> None:
    lines = [f"{series},{series}{n},{n}" for series in "xy" for n in range(3)]
    pairs, _ = read(write(tmp_path / "s.csv", "series,image,score", *lines))
    assert len(pairs) == 6
    assert all(first[0] == second[0] for first, second in pairs)


def test_neighbours_in_a_long_order_are_left_out_and_not_called_ties(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "image,score", *(f"{n},{n}" for n in range(15)), "14b,14")
    pairs, lost = read(file)
    assert {row.reason for row in lost} == {"too close in a long order"}
    assert len(pairs) + len(lost) == 16 * 15 // 2
    assert "6, 7" in {row.detail for row in lost}
    assert {names for names, delta in pairs.items() if winner_of(delta) == "tie"} == {("14", "14b")}
    assert pairs["0", "14"] < pairs["0", "7"] < 0


@pytest.mark.parametrize(
    ("n", "first_to_last", "n_close"),
    [(3, 1.83, 0), (8, 2.43, 0), (11, 2.52, 0), (12, 2.55, 7), (14, 2.58, 13), (16, 2.61, 15)],
)
def test_how_far_an_order_reaches_and_what_is_too_close(
    tmp_path: Path, n: int, first_to_last: float, n_close: int
) -> None:
    """The figures that docs/own-data.md gives."""
    pairs, lost = read(write(tmp_path / "a.csv", "image,rank", *(f"{k},{k}" for k in range(n))))
    assert len(lost) == n_close
    assert all(abs(int(a) - int(b)) == 1 for a, b in (row.detail.split(", ") for row in lost))
    assert pairs["0", f"{n - 1}"] == pytest.approx(first_to_last, abs=0.03)


def test_a_large_series_is_drawn_into_parts(tmp_path: Path) -> None:
    rows = [{"image": f"{n}", "gt_score": n} for n in range(50)]
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(rows))
    parts = [
        row.group
        for row in judgements_in(file, ReadingSettings(series_pictures=8), set())
        if isinstance(row, StatedPair)
    ]
    pairs, _ = read(file, series_pictures=8)
    assert len(set(parts)) == 7
    rows_of_pairs = [row for row in judgements_in(file, ReadingSettings(series_pictures=8), set())]
    assert {row.series for row in rows_of_pairs if isinstance(row, StatedPair)} == {"scores.json series scores"}
    whole = [row for row in judgements_in(file, ReadingSettings(series_pictures=50), set())]
    assert {row.series for row in whole if isinstance(row, StatedPair)} == {""}
    assert {name for names in pairs for name in names} == {f"{n}" for n in range(50)}
    assert all((int(a) > int(b)) == (delta > 0) for (a, b), delta in pairs.items())
    assert pairs == read(file, series_pictures=8)[0] != read(file, series_pictures=8, seed=1)[0]
    with pytest.raises(InputError, match="at least 2"):
        ReadingSettings(series_pictures=1)


@pytest.mark.parametrize(
    ("lines", "reason", "detail"),
    [
        (["image,score", "a,1", "b,2", "a,3", "c,4"], "picture twice in a series", "a has two places"),
        (["name,decision", "a,pick", "b,pick"], "series without an order", "none above another"),
        (["name,decision", "a,pick", "b,", "c,maybe"], "row says nothing usable", "'maybe'"),
        (["image,score", "a,1", "b,2", "c,high"], "row says nothing usable", "give a number"),
        (["image,score", "a,1", "b,2", "c,inf"], "row says nothing usable", "finite"),
        (["image,score,rank", "a,1,", "b,2,", "c,1,1"], "row says nothing usable", "score and rank"),
        (["image,score", "a,1", "b,2", ",3"], "row says nothing usable", "no picture"),
        (["image,score", "a,1", "b,2", "c,3,4"], "row is not readable", "3 fields"),
    ],
)
def test_what_says_nothing_is_named(tmp_path: Path, lines: list[str], reason: str, detail: str) -> None:
    _, (lost,) = read(write(tmp_path / "s.csv", *lines))
    assert lost.reason == reason
    assert detail in lost.detail


def test_a_part_that_nothing_is_known_of_is_named(tmp_path: Path) -> None:
    rows = [f"{n},{'pick' if n == 3 else ''}" for n in range(32)]
    pairs, (lost,) = read(write(tmp_path / "decisions.csv", "name,decision", *rows))
    assert lost.reason == "part of a series without an order"
    assert "16 pictures" in lost.detail
    assert len(pairs) == 15


def test_a_picture_in_two_places_leaves_the_others_of_its_series(tmp_path: Path) -> None:
    pairs, lost = read(write(tmp_path / "s.csv", "image,score", "a,1", "b,2", "a,3", "c,4", "d,5", "d,5"))
    assert signs(pairs) == {("b", "c"): -1, ("b", "d"): -1, ("c", "d"): -1}
    assert [row.detail for row in lost] == ["a has two places; keep one"]


def test_a_row_of_a_series_keeps_its_own_split_source_and_licence(tmp_path: Path) -> None:
    lines = [f"{n},{n},{'train' if n < 3 else 'test'},roll {n % 3},{'CC0' if n else 'mine'}" for n in range(6)]
    file = write(tmp_path / "s.csv", "image,score,split,source,licence", *lines)
    rows = [row for row in judgements_in(file, ReadingSettings(), set()) if isinstance(row, StatedPair)]
    for row in rows:
        names = [int(picture.name) for picture in (row.first, row.second)]
        assert {row.split} == {"train" if n < 3 else "test" for n in names}
        assert [row.first.source, row.second.source] == [f"roll {n % 3}" for n in names]
        assert row.first.licence == ("CC0" if names[0] else "mine")
    assert len(rows) == 6


def test_the_page_marks_names_that_look_like_formulas(tmp_path: Path) -> None:
    pairs, _ = read(write(tmp_path / "decisions.csv", "name,decision", "'=a.jpg,pick", "b.jpg,reject"))
    assert list(pairs) == [("=a.jpg", "b.jpg")]


def rated(folder: Path, **marks: str) -> Path:
    for number, (name, mark) in enumerate(marks.items()):
        picture(folder / f"{name}.jpg", number)
        if mark:
            (folder / f"{name}.jpg.xmp").write_text(RATED % mark)
    return folder


def test_five_stars_are_over_three_and_none_says_nothing(tmp_path: Path) -> None:
    stars = {name: f'xmp:Rating="{n}"' for name, n in (("a", 5), ("b", 3), ("c", 3), ("d", -1))}
    pairs, lost = read(rated(tmp_path, **stars, e=""))
    assert not lost
    wanted = {("a.jpg", "b.jpg"), ("a.jpg", "c.jpg"), ("a.jpg", "d.jpg"), ("b.jpg", "d.jpg"), ("c.jpg", "d.jpg")}
    assert set(pairs) == wanted
    assert all(delta > 0 for delta in pairs.values())


def test_picks_count_where_there_are_no_stars_and_folders_are_series(tmp_path: Path) -> None:
    rated(tmp_path / "one", a='digiKam:PickLabel="3"', b="", c='digiKam:PickLabel="1"')
    rated(tmp_path / "two", d="", e="")
    pairs, lost = read(tmp_path)
    assert signs(pairs) == {(f"one/{a}.jpg", f"one/{b}.jpg"): 1 for a, b in (("a", "b"), ("a", "c"), ("b", "c"))}
    assert [(row.where, row.reason) for row in lost] == [("folder two", "series without an order")]


def test_labels_count_by_the_order_that_is_given(tmp_path: Path) -> None:
    rated(tmp_path, a='xmp:Label="Red" xmp:Rating="1"', b='xmp:Label="Blue" xmp:Rating="4"', c='xmp:Label="Odd"')
    assert signs(read(tmp_path, labels=("red", "Blue"))[0]) == {("a.jpg", "b.jpg"): 1}
    assert signs(read(tmp_path)[0]) == {("a.jpg", "b.jpg"): -1}


def test_marks_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    rated(tmp_path, a='xmp:Rating="5"', b='xmp:Rating="2"', c='xmp:Rating="1"')
    (tmp_path / "a.xmp").write_text(RATED % 'xmp:Rating="1"')
    pairs, (lost,) = read(tmp_path)
    assert set(pairs) == {("b.jpg", "c.jpg")}
    assert (lost.where, lost.reason) == ("a.jpg", "marks contradict each other")


@pytest.mark.parametrize(("rating", "read_as"), [("9", None), ("good", None), ("-2", None), ("4.5", 1), ("75", 1)])
def test_a_rating_that_is_no_number_of_stars_is_named(tmp_path: Path, rating: str, read_as: int | None) -> None:
    rated(tmp_path, a=f'xmp:Rating="{rating}"', b='xmp:Rating="2"', c='xmp:Rating="1"')
    pairs, lost = read(tmp_path)
    assert signs(pairs).get(("a.jpg", "b.jpg")) == read_as
    assert [(row.where, row.reason) for row in lost] == ([] if read_as else [("a.jpg", "marks unreadable")])
    assert all(repr(rating) in row.detail for row in lost)


def test_a_set_is_not_made_within_the_folder_that_is_read(tmp_path: Path) -> None:
    rated(tmp_path / "shoot", a='xmp:Rating="5"', b='xmp:Rating="2"')
    command = ["data", "import", str(tmp_path / "shoot"), "--out", str(tmp_path / "shoot" / "mine")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "choose another" in result.stderr
    assert not (tmp_path / "shoot" / "mine").exists()


def test_what_redaes_wrote_is_nobodys_judgement(tmp_path: Path) -> None:
    ours = 'xmlns:redaes="https://redaes.org/ns/1.0/" xmp:Rating="5" redaes:Wrote="Rating=5"'
    from redaes.culling.xmp import _WROTE

    rated(tmp_path, a=ours.replace("https://redaes.org/ns/1.0/", _WROTE[0]), b='xmp:Rating="2"', c='xmp:Rating="1"')
    assert set(read(tmp_path)[0]) == {("b.jpg", "c.jpg")}


def test_settings_that_do_not_go_with_a_form_are_refused(tmp_path: Path) -> None:
    rated(tmp_path, a='xmp:Rating="5"', b='xmp:Rating="2"')
    with pytest.raises(InputError, match="--pictures"):
        read(tmp_path, pictures=tmp_path)
    with pytest.raises(InputError, match="--labels"):
        read(write(tmp_path / "s.csv", "image,score", "a,1"), labels=("Red",))


def test_series_become_a_sound_dataset(tmp_path: Path) -> None:
    rows = []
    for n in range(12):
        picture(tmp_path / f"{n}.jpg", n)
        rows.append({"series": n // 3, "image": f"{n}.jpg", "score": n})
    with (tmp_path / "s.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, {"series": 3, "image": "none.jpg", "score": 99}])
    command = ["data", "import", str(tmp_path / "s.csv"), "--out", str(tmp_path / "out"), "--licence", "CC0-1.0"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    found = validate(tmp_path / "out")
    assert not found.wrong
    assert not found.warnings
    records = [record for split in SPLITS for record in read_records(tmp_path / "out", split)]
    assert len(records) == 12
    assert len({record.pair.group for record in records}) == 4
    for record in records:
        first, second = (int(record.pair.of(side).path.stem) for side in ("first", "second"))
        assert record.pair.delta is not None
        assert (record.pair.delta > 0) == (first > second)
        assert first // 3 == second // 3
        assert record.n_votes is None
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["pictures"]["missing"] == 1
    assert report["rejected_pairs"] == {"picture missing": 3}
