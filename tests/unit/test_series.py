"""A folder ranked by series on a judge that prefers the brighter picture: grouping, files, resuming, failures."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageEnhance
from typer.testing import CliRunner

from redaes.assessing.measured import table
from redaes.assessor import Assessor
from redaes.backends.base import BatchBackend, Request
from redaes.backends.scripted import ScriptedBackend
from redaes.cli import loading
from redaes.cli.app import app
from redaes.culling import sheet
from redaes.culling.folder import rank_folder
from redaes.culling.grouping import GroupingLimits, group, scan
from redaes.culling.rankers import AssessorRanker, Pictures, Ranked
from redaes.errors import BackendError, InputError, RecordError
from redaes.evidence.claims import CheckedClaim, Claim, Claims
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.references import read_reference_set, reference_pictures, write_reference_set
from redaes.types import Sampling

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2024, 5, 1, 12, 0, 0)
runner = CliRunner()


class Brighter(BatchBackend):
    """Prefers the brighter picture; ``mute`` makes its written answers unusable, ``limit`` ends it after so many."""

    model, revision = "brighter", "1"

    def __init__(self, *, mute: bool = False, limit: int | None = None) -> None:
        self.n_read = self.n_written = 0
        self._mute = mute
        self._limit = limit

    def read(self, requests: Sequence[Request], choices: Sequence[str]) -> NDArray[np.float64]:
        rows = np.empty((len(requests), len(choices)))
        for row, request in zip(rows, requests, strict=True):
            if self._limit is not None and self.n_read >= self._limit:
                raise BackendError("the judge is gone")
            self.n_read += 1
            first, second = (float(np.asarray(image).mean()) for image in request.images)
            lead = (first - second) / 10 + 0.2  # 0.2: a lean to the first place
            row[:] = [-1 + lead / 2, -1 - lead / 2, -9]
        return rows

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        texts = []
        for request in requests:
            self.n_written += 1
            first, second = (float(np.asarray(image).mean()) for image in request.images)
            better, sign = ("A", "+") if first > second else ("B", "-")
            texts.append(
                "Hm."
                if self._mute
                else f"<rationale>\n<b>Brighter</b>. Decisive: light, better in {better}.\n</rationale>\n"
                f"Winner: {better}\nDifference: {sign}1.0"
            )
        return texts


def _photograph(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(40, 180, (6, 8, 3), dtype=np.uint8))
    return small.resize((160, 120), Image.Resampling.BICUBIC)


def _save(picture: Image.Image, path: Path, taken: datetime | None = None) -> Path:
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    picture.save(path, quality=92, exif=exif)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two bursts of three and two pictures, one picture alone, and two files that are no pictures."""
    place = tmp_path / "photos"
    place.mkdir()
    for scene, shots in ((1, (0.8, 1.1, 0.95)), (2, (0.9, 1.2)), (3, (1.0,))):
        for shot, light in enumerate(shots):
            moved = ImageChops.offset(_photograph(scene), 3 * shot, 2 * shot)
            taken = START + timedelta(minutes=10 * scene, seconds=2 * shot)
            _save(ImageEnhance.Brightness(moved).enhance(light), place / f"s{scene}_{shot}.jpg", taken)
    (place / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not more")
    (place / "empty.png").write_bytes(b"")
    return place


def _fast(backend: object | None = None) -> Assessor:
    return Assessor(backend or Brighter(), mode="fast")  # type: ignore[arg-type]


def _lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "ranking.jsonl").read_text().splitlines()]


def _names(line: dict) -> list[str]:
    return [Path(picture["path"]).name for picture in line["pictures"]]


# --- grouping -------------------------------------------------------------------------------------------------


def test_bursts_are_grouped_and_the_unreadable_reported(folder: Path) -> None:
    photographs, unreadable = scan(sorted(folder.iterdir()))
    names = [[picture.ref.path.name for picture in series.pictures] for series in group(photographs)]
    assert names == [["s1_0.jpg", "s1_1.jpg", "s1_2.jpg"], ["s2_0.jpg", "s2_1.jpg"], ["s3_0.jpg"]]
    assert [one.path.name for one in unreadable] == ["broken.jpg", "empty.png"]
    assert "truncated" in unreadable[0].reason


# --- the folder -----------------------------------------------------------------------------------------------


def test_each_series_is_ranked_explained_and_written(folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    summary = rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    lines = _lines(tmp_path / "out")
    assert [_names(line) for line in lines[:3]] == [
        ["s1_1.jpg", "s1_2.jpg", "s1_0.jpg"], ["s2_1.jpg", "s2_0.jpg"], ["s3_0.jpg"],
    ]  # fmt: skip
    assert [line["n_calls"] for line in lines[:3]] == [6, 2, 0]
    assert [Path(line["path"]).name for line in lines[3:]] == ["broken.jpg", "empty.png"]
    explanation = lines[0]["explanation"]
    assert (explanation["winner"], explanation["factors"]) == ("A", ["light"])
    assert Path(explanation["first"]["path"]).name == "s1_1.jpg"
    assert lines[2]["explanation"] is None
    assert (summary.n_pictures, summary.n_series, summary.n_singles, summary.n_calls) == (6, 3, 1, 8)
    assert (summary.n_sidecars, summary.failed) == (5, ())
    with (tmp_path / "out" / "ranking.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["place"], Path(rows[0]["file"]).name, rows[0]["pick"]) == ("1", "s1_1.jpg", "3")
    assert (rows[0]["unit"], bool(rows[0]["score"])) == ("logits", True)
    assert {rows[-1][name] for name in ("score", "error", "unit", "rating")} == {""}  # alone: nothing was compared
    assert (lines[2]["pictures"][0]["score"], lines[2]["pictures"][0]["error"]) == (None, None)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before  # no sidecar, no picture touched


class ByName:
    """Ranks by the file's name, by whole points, and knows no errors."""

    provenance: Mapping[str, Any] = {"model": "names", "revision": "1"}

    def rank(self, series: Sequence[Pictures], *_: object) -> Iterator[Ranked]:
        for pictures in series:
            order = tuple(sorted(pictures, key=lambda one: pictures[one].path.name))
            scores = {one: -float(place) for place, one in enumerate(order)}
            yield Ranked(order, scores, "points", None, 0, 0, 0, 0, None)


@pytest.mark.parametrize(("reject", "rating"), [(True, -1), (False, 1)])
def test_the_rest_is_rejected_where_that_is_asked_for(folder: Path, tmp_path: Path, reject: bool, rating: int) -> None:
    rank_folder(folder, tmp_path / "out", ByName(), write_xmp=True, reject=reject)
    marks = {Path(one["path"]).name: one["mark"] for line in _lines(tmp_path / "out")[:2] for one in line["pictures"]}
    assert marks["s2_0.jpg"] == {"rating": 5, "label": "Green", "pick": 3}
    assert marks["s2_1.jpg"] == {"rating": rating, "label": "Red", "pick": 1}
    assert f'xmp:Rating="{rating}"' in (folder / "s2_1.jpg.xmp").read_text()


def test_camera_raw_beside_a_jpeg_of_the_same_shot_is_not_another_picture(folder: Path, tmp_path: Path) -> None:
    for name in ("s1_0.NEF", "s1_0.DNG", "broken.NEF", "alone.CR2"):
        shutil.copy(folder / "s3_0.jpg", folder / name)
    summary = rank_folder(folder, tmp_path / "out", ByName())
    judged = [name for line in _lines(tmp_path / "out") if "pictures" in line for name in _names(line)]
    assert sorted(judged) == [
        "alone.CR2", "broken.NEF", "s1_0.jpg", "s1_1.jpg", "s1_2.jpg", "s2_0.jpg", "s2_1.jpg", "s3_0.jpg",
    ]  # fmt: skip
    assert [one.in_words(folder) for one in summary.passed_over] == [
        "left out: camera raw beside a JPEG or HEIF of the same shot, which is judged: 2 (s1_0.DNG, s1_0.NEF)"
    ]
    assert [one.path.name for one in summary.unreadable] == ["broken.jpg", "empty.png"]
    marked = {Path(json.loads(line)["path"]).name for line in (tmp_path / "out" / "marks.jsonl").open()}
    assert {"s1_0.jpg", "s1_0.NEF", "s1_0.DNG"} <= marked


def test_camera_raw_that_was_judged_alone_gets_no_mark_from_a_picture_of_its_name(folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "s2_1.jpg") as picture:
        picture.save(folder / "s2_1.png", exif=picture.getexif())
    (folder / "s2_1.jpg").unlink()
    (folder / "s3_0.jpg").rename(folder / "s2_1.NEF")  # shows something else
    rank_folder(folder, tmp_path / "out", ByName(), write_xmp=True)
    marks = {Path(one["path"]).name: one["mark"] for line in _lines(tmp_path / "out")[:3] for one in line["pictures"]}
    assert (marks["s2_1.png"]["pick"], marks["s2_1.NEF"]) == (1, None)
    assert sorted(path.name for path in folder.glob("s2*.xmp")) == ["s2_0.jpg.xmp", "s2_1.png.xmp"]


def test_folders_in_the_folder_are_searched_and_a_burst_may_lie_in_two(folder: Path, tmp_path: Path) -> None:
    (folder / "card 2").mkdir()
    (folder / "s1_1.jpg").rename(folder / "card 2" / "s1_0.jpg")  # a name that is there already
    summary = rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    assert (summary.n_pictures, summary.n_series) == (6, 3)
    page = (tmp_path / "out" / "contact_sheet.html").read_text()
    assert "</b> card 2/s1_0.jpg" in page
    assert "</b> s1_0.jpg" in page


def test_the_contact_sheet_is_one_safe_page(folder: Path, tmp_path: Path) -> None:
    (folder / "s3_0.jpg").rename(folder / "s3<script>&.jpg")
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    page = (tmp_path / "out" / "contact_sheet.html").read_text()
    assert page.count("<figure ") == page.count("data:image/jpeg;base64,") == 6
    assert page.count("<script") == 1  # its own, which its policy names
    assert "s3&lt;script&gt;&amp;.jpg" in page
    assert "&lt;b&gt;Brighter&lt;/b&gt;" in page
    assert "Could not be read: 2" in page
    assert "logits" not in page
    standings = re.findall(r">(\S+) ± (\S+) points behind the best; (\d+)% that it is better<", page)
    assert len(standings) == 3  # of the pictures of two series that are not their best
    assert all(float(behind) > 0 and float(error) > 0 and int(share) < 50 for behind, error, share in standings)
    letters = re.findall(r"<b aria-hidden=true>([AB])</b>", page)
    assert sorted(letters) == ["A", "A", "B", "B"]
    marks = re.findall(r"<figure class=(\w+)>.*?<span class=mark>(.*?)</span>", page)
    assert {("Green", "★★★★★ Pick")} <= set(marks) <= {
        ("Green", "★★★★★ Pick"), ("Yellow", "★★★ Not settled"), ("Red", "★ Worse"),
    }  # fmt: skip
    assert not re.search(r"<[^>]* src=(?!\"data:)", page)
    links = re.findall(r"<[^>]* href=\"([^\"]*)\"", page)
    assert links[-1] == "../photos/s3%3Cscript%3E%26.jpg"
    assert all(re.fullmatch(r"\.\./photos/[\w%.]+", link) for link in links)


def test_the_contact_sheet_says_what_is_undecided_and_what_is_false(tmp_path: Path) -> None:
    one, other = (Measurements(width=9, height=9, values={"noise": value}) for value in (0.5, 6.25))
    text = "A is <noisier> here."
    claim = Claim(text="A is <noisier>", start=0, end=14, side="A", relation="more", quantity="noise")
    claims = Claims(checked=(CheckedClaim(claim=claim, status="contradicted"),), version="test")
    told = sheet.Told(
        winner="A",
        undecided=None,
        probability=0.9,
        delta=1.0,
        rationale=text,
        letters=("the best", "the next one"),
        notes=(),
        claims=claims,
        claims_summary="none of 1 statement confirmed",
        measured=table(PairEvidence(first=one, second=other, registration=None), claims),
    )
    page = sheet.series_head("0001", 2, None, told)
    assert "A is &lt;noisier&gt;</mark> [contradicted] here." in page
    assert "Held against the pictures: none of 1 statement confirmed." in page
    assert "<td><meter value=1.000 aria-hidden=true></meter>6.2 L*<td class=bad>contradicted" in page
    assert "<th scope=col class=left>A, the best<th scope=col>B, the next one" in page
    assert "</b> 90%</span><meter value=0.900" in page
    turned = sheet.series_head("0001", 2, None, dataclasses.replace(told, letters=("the next one", "the best")))
    assert "<th scope=col class=left>B, the best<th scope=col>A, the next one" in turned
    undecided = sheet.Told(
        winner=None,
        undecided="undecided: the answer changes with the order",
        probability=0.6,
        delta=0.4,
        rationale=None,
        letters=("the best", "the next one"),
        notes=(),
    )
    page = sheet.series_head("0001", 2, None, undecided)
    assert "<b>Undecided: the answer changes with the order.</b>" in page
    assert "No usable explanation" not in page
    tie = dataclasses.replace(undecided, winner="tie", undecided=None, probability=None, delta=None)
    page = sheet.series_head("0001", 2, None, tie)
    assert "<b>No visible difference.</b>" in page
    assert "<b>.</b>" not in page


def test_a_finished_run_asks_nothing_again(folder: Path, tmp_path: Path) -> None:
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    first = (tmp_path / "out" / "ranking.jsonl").read_bytes()
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast(ScriptedNamed())))
    assert (tmp_path / "out" / "ranking.jsonl").read_bytes() == first


def _of_an_earlier_version(explanation: dict[str, Any]) -> None:
    """The verdict as it was written, its probability read behind its own reasons; nothing measured."""
    for one in (explanation, *explanation["comparisons"]):
        for name in (
            "undecided",
            "log_odds",
            "calibration",
            "draws",
            "claims",
            "claims_summary",
            "evidence",
            "measured",
        ):
            one.pop(name, None)
    for one in explanation["comparisons"]:
        one.pop("read_with")
    explanation["delta"] = 1.0


def _before_the_model_was_calibrated_anew(explanation: dict[str, Any]) -> None:
    explanation["calibration"] = {
        "revision": "1", "prompt_id": "compare_fast/v1@dd4c65ed84c9", "mode": "reasoned", "temperature": 2.0,
        "data": "other pairs", "n_pairs": 9, "n_photographs": 3,
    }  # fmt: skip


@pytest.mark.parametrize("change", [_of_an_earlier_version, _before_the_model_was_calibrated_anew])
def test_an_explanation_that_would_be_another_today_is_asked_for_anew(
    change: Callable[[dict[str, Any]], None], folder: Path, tmp_path: Path
) -> None:
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    first = (tmp_path / "out" / "ranking.jsonl").read_bytes()
    for file in (tmp_path / "out" / "answers").iterdir():
        kept = json.loads(file.read_text())
        if kept["explanation"] is not None:
            change(kept["explanation"])
        file.write_text(json.dumps(kept))
    judge = Brighter()
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast(judge)))
    assert (tmp_path / "out" / "ranking.jsonl").read_bytes() == first
    assert (judge.n_written, judge.n_read) == (4, 4)  # two series, in both orders; the comparisons are kept


def test_another_question_is_asked_anew_and_named(folder: Path, tmp_path: Path) -> None:
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    other = Brighter()
    assessor = Assessor(other, mode="fast", prompt="compare_fast_paraphrase/v1")
    rank_folder(folder, tmp_path / "out", AssessorRanker(assessor))
    assert other.n_read > 4
    assert {line["prompt_id"] for line in _lines(tmp_path / "out") if "series" in line} == {assessor.prompt_id}


class ScriptedNamed(ScriptedBackend):
    """No answers at all, under the name of the judge that gave them."""

    def __init__(self) -> None:
        super().__init__(name="brighter")
        self.revision = "1"


def test_a_run_whose_judge_dies_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="gone"):
        rank_folder(folder, tmp_path / "out", AssessorRanker(_fast(Brighter(limit=9))))
    assert not (tmp_path / "out" / "ranking.jsonl").exists()
    again, whole = Brighter(), Brighter()
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast(again)))
    rank_folder(folder, tmp_path / "other", AssessorRanker(_fast(whole)))
    assert again.n_read < whole.n_read
    assert _lines(tmp_path / "out") == _lines(tmp_path / "other")
    assert [path.name for path in (tmp_path / "out").glob(".*")] == []


def test_another_judge_is_asked_anew(folder: Path, tmp_path: Path) -> None:
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    other = Brighter()
    other.revision = "2"  # type: ignore[misc]
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast(other)))
    assert other.n_read > 0


def test_without_a_visible_lead_nobody_wins(tmp_path: Path) -> None:
    _save(_photograph(1), tmp_path / "a.png")
    _save(ImageEnhance.Brightness(_photograph(1)).enhance(1.005), tmp_path / "b.png")
    _save(ImageEnhance.Brightness(_photograph(1)).enhance(0.4), tmp_path / "c.png")
    rank_folder(tmp_path, tmp_path / "out", AssessorRanker(_fast()), write_xmp=True)
    labels = [re.findall(r'Label="(\w+)"', (tmp_path / f"{name}.png.xmp").read_text())[0] for name in "abc"]
    assert labels[:2] == ["Yellow", "Yellow"]
    with (tmp_path / "out" / "ranking.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["Yellow", "Yellow", labels[2]]


def test_what_may_show_different_things_is_ranked_and_not_rejected(tmp_path: Path) -> None:
    """Put together by time alone: the sidecars say nothing against a picture, and everything says why."""
    place = tmp_path / "photos"
    place.mkdir()
    for scene, light in ((1, 1.2), (2, 0.7), (3, 0.5)):
        taken = START + timedelta(seconds=scene)
        _save(ImageEnhance.Brightness(_photograph(scene)).enhance(light), place / f"{scene}.jpg", taken)
    limits = GroupingLimits(likeness=0.0)
    rank_folder(place, tmp_path / "out", AssessorRanker(_fast()), limits=limits, write_xmp=True)
    (line,) = _lines(tmp_path / "out")
    assert _names(line) == ["1.jpg", "2.jpg", "3.jpg"]
    assert line["doubt"] == "put together by time alone"
    ratings = [re.findall(r'Rating="(\d)"', (place / f"{scene}.jpg.xmp").read_text()) for scene in (1, 2, 3)]
    assert ratings == [["5"], ["3"], ["3"]]
    page = (tmp_path / "out" / "contact_sheet.html").read_text(encoding="utf-8")
    assert "None is marked as worse: put together by time alone." in page


def test_copies_share_a_place(tmp_path: Path) -> None:
    _save(_photograph(1), tmp_path / "a.png")
    _save(ImageEnhance.Brightness(_photograph(1)).enhance(0.8), tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    rank_folder(tmp_path, tmp_path / "out", AssessorRanker(_fast()))
    (line,) = _lines(tmp_path / "out")
    assert [(Path(one["path"]).name, one["place"]) for one in line["pictures"]] == [
        ("a.png", 1), ("c.png", 1), ("b.png", 2),
    ]  # fmt: skip


def test_a_judge_without_usable_answers_fails_the_series_by_name(folder: Path, tmp_path: Path) -> None:
    summary = rank_folder(folder, tmp_path / "out", AssessorRanker(Assessor(Brighter(mute=True), mode="reasoned")))
    assert len(summary.failed) == 2
    assert "series 0001" in summary.failed[0]
    assert "3 of 3 comparisons failed" in summary.failed[0]
    lines = _lines(tmp_path / "out")
    assert lines[0]["failure"] is not None
    assert {picture["score"] for picture in lines[0]["pictures"]} == {None}
    assert lines[2]["failure"] is None
    assert "Not ranked" in (tmp_path / "out" / "contact_sheet.html").read_text()


def test_a_mute_explanation_leaves_the_ranking(folder: Path, tmp_path: Path) -> None:
    summary = rank_folder(folder, tmp_path / "out", AssessorRanker(_fast(Brighter(mute=True))))
    assert summary.failed == ()
    line = _lines(tmp_path / "out")[0]
    assert (line["failure"], line["explanation"]["winner"]) == (None, None)
    assert "No usable explanation" in (tmp_path / "out" / "contact_sheet.html").read_text()


def test_damaged_answers_are_named(folder: Path, tmp_path: Path) -> None:
    rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))
    for file in (tmp_path / "out" / "answers").iterdir():
        file.write_text('{"answers": [{"first": 1}]}')
    with pytest.raises(RecordError, match="delete the file"):
        rank_folder(folder, tmp_path / "out", AssessorRanker(_fast()))


# --- ranking and scoring by the assessor ------------------------------------------------------------------------


def _refs(folder: Path, n: int) -> list:
    for index in range(n):
        _save(ImageEnhance.Brightness(_photograph(7)).enhance(0.6 + 0.6 * index / n), folder / f"{index:02d}.png")
    return [photograph.ref for photograph in scan(sorted(folder.iterdir()))[0]]


def test_many_pictures_are_ranked_in_rounds_within_the_budget(tmp_path: Path) -> None:
    refs = _refs(tmp_path, 12)
    judge = Brighter()
    ranking = _fast(judge).rank(refs, max_calls=80)
    assert ranking.order == tuple(ref.id for ref in reversed(refs))
    assert ranking.n_calls == judge.n_read == 80
    assert (ranking.n_comparisons, ranking.n_cycles, ranking.settled) == (40, 0, None)
    reversed_list = _fast().rank(refs[::-1], max_calls=80)
    assert reversed_list.indices == tuple(range(12))
    assert ranking == reversed_list.model_copy(update={"indices": ranking.indices})


def test_one_order_costs_half(tmp_path: Path) -> None:
    refs = _refs(tmp_path, 6)
    judge = Brighter()
    ranking = _fast(judge).rank(refs, orders="random")
    assert ranking.n_calls == judge.n_read == 15
    assert ranking.order == tuple(ref.id for ref in reversed(refs))


def test_a_picture_that_changes_under_way_is_named(tmp_path: Path) -> None:
    refs = _refs(tmp_path, 3)
    _save(_photograph(9), refs[0].path)
    with pytest.raises(InputError, match=r"00\.png: was changed"):
        _fast().rank(refs)


def test_scores_stand_against_a_named_set(tmp_path: Path) -> None:
    place = tmp_path / "set"
    place.mkdir()
    _refs(place, 5)
    assessor = _fast()
    references = assessor.reference_set(*reference_pictures(place))
    assert re.fullmatch(r"set@[0-9a-f]{12}", references.name)
    write_reference_set(tmp_path / "set.json", references)
    assert read_reference_set(tmp_path / "set.json") == references
    from redaes.images import load_image

    scores = [assessor.score(load_image(place / f"{index:02d}.png"), references) for index in range(5)]
    assert [score.better_than for score in scores] == sorted(score.better_than for score in scores)
    assert scores[0].score < 4.5 < scores[-1].score
    assert {(score.references, score.n_references, score.n_calls) for score in scores} == {(references.name, 5, 8)}
    other = Brighter()
    other.revision = "2"  # type: ignore[misc]
    with pytest.raises(InputError, match="rank the set again"):
        _fast(other).score(load_image(place / "00.png"), references)


def test_a_reference_set_needs_two_pictures(tmp_path: Path) -> None:
    _save(_photograph(1), tmp_path / "a.png")
    with pytest.raises(InputError, match="1 different pictures"):
        _fast().reference_set(*reference_pictures(tmp_path))


def test_a_file_that_is_no_reference_set(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(RecordError, match="is not a reference set"):
        read_reference_set(tmp_path / "x.json")


# --- the command line -------------------------------------------------------------------------------------------


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Brighter:
    found = Brighter()
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: found)
    return found


def test_rank_reports_what_could_not_be_used_and_ends_with_5(folder: Path, tmp_path: Path, judge: Brighter) -> None:
    done = runner.invoke(app, ["rank", str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 5, done.output
    assert "6 pictures in 3 series, 1 of them alone" in done.stdout
    assert done.stdout.count(" is the best of ") == 2  # nothing is said of the one that is alone
    assert "sidecars to write with --write-xmp: 5" in done.stdout
    assert "broken.jpg" in done.stderr
    assert "empty.png" in done.stderr
    assert not list(folder.glob("*.xmp"))


def test_rank_says_when_there_was_nothing_to_compare(tmp_path: Path, judge: Brighter) -> None:
    (tmp_path / "photos").mkdir()
    for scene in (1, 2, 3):
        _save(_photograph(scene), tmp_path / "photos" / f"{scene}.jpg", START + timedelta(hours=scene))
    done = runner.invoke(app, ["rank", str(tmp_path / "photos"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "nothing was compared; --by-folder or --one-series compares them nevertheless" in done.stdout
    done = runner.invoke(app, ["rank", str(tmp_path / "photos"), "--one-series", "--out", str(tmp_path / "out")])
    assert "nothing was compared" not in done.stdout
    assert done.stdout.count("0001  ") == 1


def test_rank_as_json_lines(folder: Path, tmp_path: Path, judge: Brighter) -> None:
    done = runner.invoke(app, ["rank", str(folder), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 5, done.output
    assert [json.loads(line) for line in done.stdout.splitlines()] == _lines(tmp_path / "out")
    assert done.stderr == ""


def test_score_and_compare_of_a_folder_lead_to_rank(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise AssertionError

    monkeypatch.setattr(loading, "load_model", fail)
    for arguments in (["score", str(folder)], ["compare", str(folder), str(folder)]):
        done = runner.invoke(app, arguments)
        assert done.exit_code == 2, done.output
        assert f"redaes rank {folder}" in done.stderr


def test_rank_names_what_was_not_judged_with_the_remedy(folder: Path, tmp_path: Path, judge: Brighter) -> None:
    for name in ("broken.jpg", "empty.png"):
        (folder / name).unlink()
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "s1_0.jpg").write_bytes((folder / "s1_0.jpg").read_bytes())
    options = ["rank", str(folder), "--out", str(tmp_path / "out")]
    done = runner.invoke(app, options)
    assert done.exit_code == 0, done.output  # thumbnails are nobody's photographs
    assert "left out: folders of programs, thumbnails and previews: 1 (@eaDir)" in done.stderr
    for name in ("1.psd", "2.psd"):
        (folder / name).touch()
    done = runner.invoke(app, options)
    assert done.exit_code == 5, done.output
    assert "not judged: files of Photoshop, which redaes does not read: 2 (1.psd, 2.psd); convert" in done.stderr
    assert "files of Photoshop" in (tmp_path / "out" / "contact_sheet.html").read_text()
    done = runner.invoke(app, [*options, "--json"])
    assert [json.loads(line) for line in done.stdout.splitlines()] == _lines(tmp_path / "out")
    assert [Path(line["path"]).name for line in _lines(tmp_path / "out")[-2:]] == ["1.psd", "2.psd"]
    done = runner.invoke(app, [*options, "--exclude", "*.psd", "--exclude", "s1_*"])
    assert done.exit_code == 0, done.output
    assert "3 pictures in 2 series" in done.stdout
    assert "left out: pictures named by --exclude: 3" in done.stderr


def test_rank_goes_on_where_a_folder_cannot_be_read(
    folder: Path, tmp_path: Path, judge: Brighter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("broken.jpg", "empty.png"):
        (folder / name).unlink()
    (folder / "private").mkdir()
    real = os.scandir

    def scandir(place: Any) -> Any:
        if Path(place) == folder / "private":
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    done = runner.invoke(app, ["rank", str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 5, done.output
    assert "6 pictures in 3 series" in done.stdout
    assert "private cannot be read (Permission denied)" in done.stderr


def test_rank_writes_sidecars_when_asked(folder: Path, tmp_path: Path, judge: Brighter) -> None:
    for name in ("broken.jpg", "empty.png"):
        (folder / name).unlink()
    (folder / "s1_0.jpg.xmp").write_text("<html/>")
    options = ["rank", str(folder), "--out", str(tmp_path / "out"), "--write-xmp"]
    done = runner.invoke(app, options)
    assert done.exit_code == 5, done.output
    assert "s1_0.jpg.xmp: is XML but not XMP" in done.stderr
    assert (folder / "s1_0.jpg.xmp").read_text() == "<html/>"
    assert "sidecars written: 4\n" in done.stdout
    (folder / "s1_0.jpg.xmp").unlink()
    again = runner.invoke(app, options)
    assert again.exit_code == 0, again.output
    assert "sidecars written: 1" in again.stdout


@pytest.mark.parametrize("arguments", [["rank", "nowhere"], ["rank", ".", "--mode", "slow"]])
def test_rank_refuses_wrong_input_before_a_model_is_loaded(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise AssertionError

    monkeypatch.setattr(loading, "load_model", fail)
    monkeypatch.chdir(tmp_path)
    assert runner.invoke(app, arguments).exit_code == 2


def test_grouping_is_in_the_users_hands(folder: Path, tmp_path: Path, judge: Brighter) -> None:
    for name in ("broken.jpg", "empty.png"):
        (folder / name).unlink()

    def series(*given: str) -> list[int]:
        done = runner.invoke(app, ["rank", *given, "--out", str(tmp_path / "out")])
        assert done.exit_code == 0, done.output
        return [len(line["pictures"]) for line in _lines(tmp_path / "out")]

    assert series(str(folder)) == [3, 2, 1]
    assert series(str(folder), "--one-series") == series(str(folder), "--by-folder") == [6]
    assert series(str(folder), "--gap", "1") == [1] * 6
    assert series(str(folder), "--likeness", "1", "--gap", "0.5") == [1] * 6
    assert series(str(folder), "--likeness", "0", "--gap", "3600") == [6]
    assert series(*(str(folder / f"s{scene}_0.jpg") for scene in (1, 2)), str(folder / "s1_1.jpg")) == [2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--one-series", "--by-folder"], "contradict each other"),
        (["--by-folder", "--gap", "5"], "which --one-series and --by-folder replace"),
        (["--gap", "-1"], "a gap of -1.0 seconds"),
        (["--likeness", "2"], "a likeness of 2.0"),
        (["nothing.jpg"], "nothing.jpg: no such file or folder"),
    ],
)
def test_grouping_that_makes_no_sense_is_refused(
    folder: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    done = runner.invoke(app, ["rank", str(folder), "--out", str(tmp_path / "out"), "--model", "not/loaded", *options])
    assert done.exit_code == 2, done.output
    assert message in done.stderr


def test_rank_refuses_a_file_as_output_folder_before_a_model_is_loaded(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = runner.invoke(app, ["rank", str(folder), "--out", str(tmp_path / "file"), "--model", "not/loaded"])
    assert done.exit_code == 2, done.output
    assert "file is not a folder; choose another" in done.stderr


def test_score_goes_on_past_an_unusable_picture(tmp_path: Path, judge: Brighter) -> None:
    place = tmp_path / "set"
    place.mkdir()
    _refs(place, 4)
    arguments = ["score", str(place / "00.png"), str(tmp_path / "no.jpg"), str(place / "03.png")]
    options = ["--references", str(place), "--save", str(tmp_path / "set.json"), "--json"]
    done = runner.invoke(app, arguments + options)
    assert done.exit_code == 5, done.output
    dark, absent, bright = (json.loads(line) for line in done.stdout.splitlines())
    assert dark["score"] < bright["score"]
    assert dark["references"].startswith("set@")
    assert "no such file" in absent["error"]
    read = judge.n_read
    done = runner.invoke(app, ["score", str(place / "03.png"), "--references", str(tmp_path / "set.json")])
    assert done.exit_code == 0, done.output
    assert re.search(r"\d\.\d ± \d\.\d points of 9  .*03\.png  \(better than \d of 4 of set@", done.stdout)
    assert judge.n_read == read + 6  # the set itself was not ranked again; the picture is one of it


def test_doctor_names_what_is_missing_and_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from redaes import doctor

    wanted = [*(f"no-such-{name} ; extra == 'dev'" for name in "abcde"),
              "numpy>=2.2", "nowhere-to-be-found>=1 ; extra == 'demo'", "pillow>=900 ; extra == 'edit'",
              "other ; python_version < '3' and extra == 'edit'", "redaes[edit] ; extra == 'all'"]  # fmt: skip
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    monkeypatch.setattr(doctor, "_device", lambda: "cpu")
    monkeypatch.setattr(doctor, "find_servers", lambda _ports: ())
    done = runner.invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "core        complete" in done.stdout
    assert "redaes asked ports " in done.stdout
    assert "nowhere-to-be-found is missing (>=1 is needed)" in done.stdout
    assert "no-such-c is missing (any version is needed); and 2 more\n" in done.stdout
    assert "to install it: pip install 'redaes[demo]'" in done.stdout
    assert re.search(
        r"edit +pillow is \S+ \(>=900 is needed\)\n +to install it: pip install 'redaes\[edit\]'", done.stdout
    )
    report = json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)
    assert report["healthy"] is True
    remedies = {part["name"]: part["remedy"] for part in report["parts"] if part["packages"]}
    assert remedies == {"": None} | {one: f"pip install 'redaes[{one}]'" for one in ("demo", "dev", "edit")}
    wanted.append("numpy>=900")
    broken = runner.invoke(app, ["doctor"])
    assert broken.exit_code == 4
    assert "to install it: pip install --upgrade redaes" in broken.stdout


def test_the_shell_can_complete_commands() -> None:
    code = "import sys; sys.argv = ['redaes']; from redaes.cli import main; main()"
    asked = {"_REDAES_COMPLETE": "complete_bash", "COMP_WORDS": "redaes ra", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **asked}, timeout=60
    )
    assert done.stdout.split() == ["rank"]
