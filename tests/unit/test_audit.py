"""``redaes data audit``: what is drawn and shown, what the page tells, and what is made of people's answers."""

from __future__ import annotations

import html
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import norm
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.audit.agreement_page import agreement_page
from redaes.datagen.audit.agreement_report import AuditReport, audit_report, label_agreement, shares, wilson
from redaes.datagen.audit.answer_files import AnswerFile, AuditAnswer, read_audit_answer, read_lines
from redaes.datagen.audit.blind_pictures import all_blind_pictures, bare_jpeg, blind_pictures
from redaes.datagen.audit.drawn_pairs import (
    SIZES,
    AuditDraw,
    DrawnPair,
    Population,
    drawn_pairs,
    new_draw,
    population,
    size_of,
    stratum_of,
)
from redaes.datagen.audit.given_answers import REVISED, UNSEEN, GivenAnswers, given_answers
from redaes.datagen.audit.judging_page import judging_page
from redaes.datagen.audit.krippendorff import alpha_estimate, krippendorff_alpha
from redaes.datagen.audit.showings import N_ORDERS, showings, sides
from redaes.errors import InputError, RecordError
from redaes.records import read_records, shards, stream_rows
from redaes.types import SPLITS, TAU, winner_of

runner = CliRunner()
N = 40


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redaes.datagen.audit.agreement_report.N_RESAMPLES", 60)


@pytest.fixture(scope="module")
def found(red_folder: Path) -> Population:
    return population(red_folder)


@pytest.fixture(scope="module")
def draw(found: Population) -> AuditDraw:
    return new_draw(found.dataset, n_pairs=N, seed=7, repeated=0.1)


@pytest.fixture(scope="module")
def pairs(found: Population, draw: AuditDraw) -> list[DrawnPair]:
    return drawn_pairs(found, draw)


Says = Callable[[DrawnPair], int]


def right(pair: DrawnPair) -> int:
    return {"A": 1, "B": -1, "tie": 0}[winner_of(pair.delta)]


def not_noise(pair: DrawnPair) -> int:
    """What somebody says who takes noise for better."""
    return -right(pair) if pair.stratum.factor == "noise" else right(pair)


def judged(
    draw: AuditDraw, pairs: Sequence[DrawnPair], person: str, says: Says, order: int = 0, **changes: Any
) -> list[AuditAnswer]:
    """What somebody answers who goes through all showings."""
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    lines = []
    for place, one in enumerate(showings(pairs, draw, order)):
        pair = pairs[one.pair]
        left, other = sides(pair, one.exchanged)
        better = says(pair) * (1 if left == pair.pictures[0] else -1)
        fields: dict[str, Any] = {
            "draw": draw, "person": person, "showing": f"{pair.token}/{one.time}", "left": left, "right": other,
            "choice": {1: "left", -1: "right", 0: "alike"}[better], "seconds": 2.0,
            "at": start + timedelta(seconds=place),
        }  # fmt: skip
        lines.append(AuditAnswer(**{**fields, **changes}))
    return lines


def written(path: Path, *answers: Sequence[AuditAnswer]) -> Path:
    path.write_bytes(b"".join(one.line() for part in answers for one in part))
    return path


# --- what is drawn and shown ------------------------------------------------------------------------------------


def test_a_draw_is_the_same_again_and_another_for_another_seed(found: Population, draw: AuditDraw) -> None:
    again = [one.pair for one in drawn_pairs(found, draw)]
    assert again == [one.pair for one in drawn_pairs(found, draw)]
    assert len(set(again)) == N
    shuffled = Population(found.dataset, tuple(reversed(found.rows)), 0)
    assert [one.pair for one in drawn_pairs(shuffled, draw)] == again  # the order of the shards does not matter
    other = new_draw(found.dataset, n_pairs=N, seed=8, repeated=0.1)
    assert {one.pair for one in drawn_pairs(found, other)} != set(again)
    elsewhere = new_draw("0" * 64, n_pairs=N, seed=7, repeated=0.1)
    assert {one.token for one in drawn_pairs(found, elsewhere)}.isdisjoint(
        one.token for one in drawn_pairs(found, draw)
    )


def test_every_kind_of_pair_has_its_turn(found: Population, pairs: list[DrawnPair]) -> None:
    drawn = Counter(one.stratum for one in pairs)
    assert len(found.strata) > 10
    assert set(drawn) == set(found.strata)
    fewest = min(drawn[stratum] for stratum in drawn if drawn[stratum] < found.strata[stratum])
    assert max(drawn.values()) - fewest <= 1


def test_a_larger_draw_holds_the_smaller_one(found: Population, pairs: list[DrawnPair], draw: AuditDraw) -> None:
    larger = drawn_pairs(found, draw.model_copy(update={"n_pairs": 2 * N}))
    assert {one.token for one in pairs} < {one.token for one in larger}


def test_sizes_begin_where_ties_end() -> None:
    assert [size_of(value) for value in (0.0, -0.249, 0.25, -1.0, 2.0, 9.0)] == [
        "under 0.25", "under 0.25", "0.25 to 1", "1 to 2", "2 to 4", "4 and more",
    ]  # fmt: skip


def test_half_of_the_pairs_stand_each_way_and_repeats_come_exchanged_and_late(
    pairs: list[DrawnPair], draw: AuditDraw
) -> None:
    for order in range(N_ORDERS):
        shown = showings(pairs, draw, order)
        first = {one.pair: (place, one) for place, one in enumerate(shown) if one.time == 1}
        again = {one.pair: (place, one) for place, one in enumerate(shown) if one.time == 2}
        assert (len(first), len(again)) == (N, N // 10)
        assert sum(one.exchanged for _, one in first.values()) == N // 2
        for pair, (place, one) in again.items():
            assert one.exchanged != first[pair][1].exchanged
            assert place - first[pair][0] >= N // 6
    turns = {tuple(one.pair for one in showings(pairs, draw, order)) for order in range(N_ORDERS)}
    assert len(turns) == N_ORDERS
    even, odd = ({one.pair: one.exchanged for one in showings(pairs, draw, order) if one.time == 1} for order in (0, 1))
    assert all(even[pair] != odd[pair] for pair in even)


def test_the_left_picture_tells_nothing_of_the_label(pairs: list[DrawnPair], draw: AuditDraw) -> None:
    shown = [one for order in range(N_ORDERS) for one in showings(pairs, draw, order) if one.time == 1]
    better_left = [
        (sides(pairs[one.pair], one.exchanged)[0] == pairs[one.pair].pictures[0]) == (pairs[one.pair].delta > 0)
        for one in shown
        if right(pairs[one.pair])
    ]
    assert np.mean(better_left) == 0.5  # orders with odd numbers are those with even ones, exchanged


# --- what the page tells ----------------------------------------------------------------------------------------


def test_pictures_are_pixels_and_nothing_else(red_folder: Path, pairs: list[DrawnPair]) -> None:
    image = Image.new("RGB", (300, 200), (90, 80, 70))
    exif = Image.Exif()
    exif[0x010E] = "defocus 0.8"
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif, comment=b"defocus 0.8", icc_profile=b"profile of an editor", dpi=(301, 301))
    assert data.getvalue().count(b"defocus 0.8") == 2
    bare = bare_jpeg(Image.open(io.BytesIO(data.getvalue())), 128)
    assert b"defocus" not in bare
    assert b"profile of an editor" not in bare
    shown = Image.open(io.BytesIO(bare))
    assert (shown.size, dict(shown.getexif())) == ((128, 85), {})
    assert set(shown.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert shown.info["jfif_density"] != (301, 301)
    found = blind_pictures(pairs[0], 1280)
    assert set(found) == set(pairs[0].pictures)


@pytest.mark.parametrize("served", [True, False])
def test_the_page_gives_nothing_away(red_folder: Path, pairs: list[DrawnPair], draw: AuditDraw, served: bool) -> None:
    pictures = {token: data for pair in pairs for token, data in blind_pictures(pair, 128).items()}
    page = judging_page(draw, pairs, None if served else pictures)
    text = re.sub(r"base64,[A-Za-z0-9+/=]+|<style>.*?</style>|<script>.*?</script>", "", page, flags=re.DOTALL)
    assert pairs[0].token in text
    by_id = {record.pair.id: record for split in SPLITS for record in read_records(red_folder, split)}
    for one in pairs:
        record = by_id[one.pair]
        secrets = {one.pair, one.source, record.pair.group, record.pair.first.id, record.pair.second.id}
        secrets |= {edit.operation for edit in (record.pair.edit_first, record.pair.edit_second) if edit}
        secrets |= {edit.editor for edit in (record.pair.edit_first, record.pair.edit_second) if edit}
        secrets |= {str(record.pair.delta), str(record.pair.first.path), str(record.pair.second.path)}
        assert not [secret for secret in secrets if len(secret) > 3 and secret in text]
    data = json.loads(page.partition('id="audit">')[2].partition("</script>")[0])
    assert data["pairs"] == [[pair.token, *sorted(pair.pictures)] for pair in pairs]
    assert set(data) == {"served", "draw", "pairs", "orders"} | (set() if served else {"pictures"})
    assert list(data.get("pictures", {})) == sorted(data.get("pictures", {}))  # nor does their order
    assert page.count("<script") == 2
    policy = re.search(r'Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert html.unescape(policy[1]).startswith("default-src 'none'")
    assert "unsafe" not in policy[1]


def test_a_picture_that_does_not_decode_is_left_out_by_name(red_folder: Path, tmp_path: Path) -> None:
    folder = broken_copy(red_folder, tmp_path)
    found = population(folder)
    pairs = drawn_pairs(found, new_draw(found.dataset, n_pairs=5000, seed=0, repeated=0))
    wrong = {pair.pair: str(one) for pair, one in all_blind_pictures(pairs, 128) if isinstance(one, RecordError)}
    first = next(iter(stream_rows(shards(folder, "test")[0])))["id"]
    assert set(wrong) == {first}
    assert "first picture does not decode" in wrong[first]
    out = tmp_path / "a.html"
    done = runner.invoke(app, ["data", "audit", str(folder), "--pairs", "5000", "--out", str(out), "--side", "128"])
    assert done.exit_code == 5
    assert f"left out: row '{first}': the first picture" in done.stderr
    assert out.stat().st_size > 10_000


def broken_copy(red_folder: Path, tmp_path: Path) -> Path:
    """The dataset with a first picture of the test split that is none."""
    folder = tmp_path / "red"
    (folder / "data").mkdir(parents=True)
    for split in SPLITS:
        rows = [row for file in shards(red_folder, split) for row in stream_rows(file)]
        if split == "test":
            rows[0]["first"]["bytes"] = b"GIF89a"
        schema = pq.read_schema(shards(red_folder, split)[0])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "data" / f"{split}-00000.parquet")
    return folder


# --- answers ----------------------------------------------------------------------------------------------------


def test_a_file_is_gone_on_with_behind_what_a_kill_cut_off(
    tmp_path: Path, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    first, second, *_ = judged(draw, pairs, "Ann", right)
    path = tmp_path / "deep" / "answers.jsonl"
    file = AnswerFile(path)
    file.add(first)
    with pytest.raises(RecordError, match="another audit keeps its answers there"):
        AnswerFile(path)
    file.close()
    with path.open("ab") as cut:
        cut.write(second.line()[:50])
    again = AnswerFile(path)
    again.add(second)
    again.close()
    lines = [one for _, one in read_lines(path)]
    assert [lines[0], lines[2]] == [first, second]
    assert isinstance(lines[1], InputError)


def test_an_answer_that_found_no_room_takes_no_other_with_it(
    tmp_path: Path, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    resource = pytest.importorskip("resource", reason="this system limits no file sizes")
    first, second, third, *_ = judged(draw, pairs, "Ann", right)
    path = tmp_path / "answers.jsonl"
    file = AnswerFile(path)
    file.add(first)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, limits[1]))
    try:
        for _ in range(2):
            with pytest.raises(RecordError, match=r"cannot be written: .*; make room and answer again"):
                file.add(second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.add(second)
    file.add(third)
    file.close()
    lines = [one for _, one in read_lines(path)]
    assert isinstance(lines.pop(1), InputError)
    assert lines == [first, second, third]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"choice": "better"}, "choice"),
        ({"person": " \t "}, "a person's name is 1 to 60"),
        ({"person": "x" * 61}, "a person's name is 1 to 60"),
        ({"person": "a\x00b"}, "a person's name is 1 to 60"),
        ({"seconds": -1}, "seconds"),
        ({"at": "2026-01-01T00:00:00"}, "at"),
        ({"label": 1}, "label"),
    ],
)
def test_a_line_that_is_no_answer_says_why(
    change: dict[str, Any], reason: str, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    values = json.loads(judged(draw, pairs, "Ann", right)[0].line())
    with pytest.raises(InputError, match=reason):
        read_audit_answer(json.dumps(values | change).encode())


def test_what_does_not_belong_is_named_and_left_out(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    lines = judged(draw, pairs, "Ann", right)
    elsewhere = draw.model_copy(update={"dataset": "0" * 64})
    last = lines[-1]
    strange = [
        lines[0].model_copy(update={"draw": elsewhere}),
        lines[0].model_copy(update={"draw": draw.model_copy(update={"version": 9})}),
        lines[0].model_copy(update={"showing": "f" * 20 + "/1"}),
        lines[0].model_copy(update={"showing": lines[0].showing[:-1] + "3"}),
        lines[0].model_copy(update={"left": last.left}),
        lines[1],  # stands twice
        last.model_copy(update={"choice": "alike", "at": last.at + timedelta(seconds=9)}),
        lines[2].model_copy(update={"person": "Ben", "choice": "unseen"}),
    ]
    path = written(tmp_path / "a.jsonl", lines, strange)
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n\n{")
    given = given_answers(found, [path])
    assert {kind: note.n for kind, note in given.remarks.items()} == {
        "answers about another dataset": 1,
        "answers of another version of redaes audit": 1,
        "answers about pairs that were not drawn": 2,
        "answers with pictures that are not the pair's": 1,
        "lines that stand twice": 1,
        "lines that are not answers": 2,
        REVISED: 1,
        UNSEEN: 1,
    }
    assert len(given.first) == N
    assert all(one.person == "Ann" for one in given.first)
    assert given.remarks["lines that are not answers"].first[0].startswith(f"{path}:{len(lines) + 9}: ")
    (changed,) = [one for one in given.first if one.pair.token == last.pair] or [None]
    repeated = {again.pair.token: again for _, again in given.repeated}
    assert (repeated[last.pair] if last.showing.endswith("/2") else changed).says == 0  # type: ignore[union-attr]


def test_without_any_answer_about_the_dataset_the_reasons_are_told(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    other = draw.model_copy(update={"dataset": "0" * 64})
    path = written(
        tmp_path / "a.jsonl", [one.model_copy(update={"draw": other}) for one in judged(draw, pairs, "A", right)]
    )
    with pytest.raises(RecordError, match=r"no answer about this dataset in .*: 44 answers about another dataset"):
        given_answers(found, [path])


# --- what is made of them ---------------------------------------------------------------------------------------


def report_on(tmp_path: Path, found: Population, *answers: Sequence[AuditAnswer]) -> tuple[AuditReport, GivenAnswers]:
    given = given_answers(found, [written(tmp_path / "all.jsonl", *answers)])
    return audit_report(found, given), given


def test_one_who_says_what_the_labels_say(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    report, _ = report_on(tmp_path, found, judged(draw, pairs, "Ann", right))
    assert (report.overall.agrees.value, report.weighted.value) == (1.0, 1.0)
    assert report.by_size["under 0.25"].alike.value == 1.0
    assert report.by_size["under 0.25"].agrees.value is None
    assert report.consistent.value == 1.0
    assert report.consistent.n == N // 10
    assert report.n_contradicted == 0
    assert {name: row.n_pairs for name, row in report.by_label_source.items()} == {"edits": N}
    assert report.remarks == {}
    assert 0 < report.persons["Ann"].left.value < 1  # type: ignore[operator]
    assert list(report.by_size) == [name for _, name in SIZES if name in report.by_size]


def test_agreement_is_told_where_it_lies(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    report, given = report_on(tmp_path, found, judged(draw, pairs, "Ann", not_noise))
    assert report.by_factor["noise"].agrees.value == 0.0
    assert all(row.agrees.value in (1.0, None) for name, row in report.by_factor.items() if name != "noise")
    noisy = [pair for pair in pairs if pair.stratum.factor == "noise" and right(pair)]
    assert report.n_contradicted == len(noisy)
    assert {one.pair for one in report.contradicted} <= {pair.pair for pair in noisy}
    sizes = [abs(one.delta) for one in report.contradicted]
    assert sizes == sorted(sizes, reverse=True)
    # By hand: each kind of pair counts as the dataset has it.
    decided = [row for row in found.rows if winner_of(row.values["delta"]) != "tie"]
    share = np.mean([stratum_of(row).factor != "noise" for row in decided])
    assert report.weighted.value == pytest.approx(float(share))
    assert report.covered == 1.0
    page = agreement_page("red <i>", report, given)
    assert re.search(r"body \{[^}]*overflow-wrap: anywhere", page)  # the dataset's hash is wider than a telephone
    assert "red &lt;i&gt;" in page
    assert page.count('<article class="card">') == len(report.contradicted)


def test_people_who_see_as_the_scale_says_agree_as_often_as_is_expected(
    tmp_path: Path, found: Population, draw: AuditDraw
) -> None:
    rng = np.random.default_rng(0)
    every = drawn_pairs(found, draw.model_copy(update={"n_pairs": 5000}))
    whole = draw.model_copy(update={"n_pairs": 5000, "repeated": 0.0})
    crowd = [
        judged(whole, every, f"p{n}", lambda pair: 1 if pair.delta + rng.normal(0, TAU) > 0 else -1, n % N_ORDERS)
        for n in range(12)
    ]
    given = given_answers(found, [written(tmp_path / "all.jsonl", *crowd)])
    for answers in (given.first, [one for one in given.first if one.pair.stratum.size == "1 to 2"]):
        row = label_agreement(answers)
        assert row.expected is not None
        assert row.agrees.n > 100
        assert row.agrees.value == pytest.approx(row.expected, abs=0.03)


def test_what_is_expected_is_expected_of_the_answers_that_are_counted(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    sure = [pair for pair in pairs if pair.stratum.size == "4 and more"]
    ann = judged(draw, pairs, "Ann", lambda pair: right(pair) if pair in sure else 0)
    ben = [one for one in judged(draw, pairs, "Ben", right) if one.pair == sure[0].token]
    answers = given_answers(found, [written(tmp_path / "all.jsonl", ann, ben)]).first
    counted = [abs(pair.delta) for pair in (*sure, sure[0])]
    row = label_agreement(answers)
    assert (row.n_pairs, row.agrees.n) == (N, len(counted))
    assert row.expected == pytest.approx(float(np.mean(norm.cdf(np.array(counted) / TAU))))
    assert label_agreement([one for one in answers if one.pair not in sure]).expected is None  # all were called alike


def test_few_photographs_and_answers_that_are_all_alike_leave_room_for_chance(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = len({pair.source for pair in pairs if right(pair)})
    assert 4 <= photographs < 10
    few, _ = report_on(tmp_path, found, judged(draw, pairs, "Ann", not_noise))
    monkeypatch.setattr("redaes.datagen.audit.agreement_report.LEAST_PHOTOGRAPHS", 4)
    many, _ = report_on(tmp_path, found, judged(draw, pairs, "Ann", not_noise))
    assert many.weighted.high - many.weighted.low < few.weighted.high - few.weighted.low  # type: ignore[operator]
    alike, _ = report_on(tmp_path, found, judged(draw, pairs, "Ann", right))
    # Some weigh more than others, so they tell less than as many of equal weight.
    assert wilson(1.0, 2)[0] < alike.weighted.low < wilson(1.0, photographs)[0]  # type: ignore[operator]


def test_alpha_of_few_photographs_or_of_people_who_all_agree_has_no_interval(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("evalica", reason="evalica is absent; pip install 'redaes[audit]'")
    ann, ben = judged(draw, pairs, "Ann", right), judged(draw, pairs, "Ben", not_noise)
    few, _ = report_on(tmp_path, found, ann, ben)
    assert 0.6 < few.alpha_nominal.value < 1  # type: ignore[operator]
    assert (few.alpha_nominal.low, few.alpha_ordinal.high) == (None, None)
    monkeypatch.setattr("redaes.datagen.audit.agreement_report.LEAST_PHOTOGRAPHS", 4)
    many, _ = report_on(tmp_path, found, ann, ben)
    assert many.alpha_nominal.low < many.alpha_nominal.value < many.alpha_nominal.high  # type: ignore[operator]
    agreed, _ = report_on(tmp_path, found, ann, judged(draw, pairs, "Ben", right))
    assert (agreed.alpha_nominal.value, agreed.alpha_nominal.low, agreed.alpha_nominal.high) == (1.0, None, None)


def test_one_who_always_says_left_is_seen(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair]
) -> None:
    report, _ = report_on(tmp_path, found, judged(draw, pairs, "Ann", right, choice="left"))
    assert report.persons["Ann"].left.value == 1.0
    assert report.consistent.value == 0.0  # the repeated pairs stand the other way round


def test_people_are_told_apart_and_a_pair_counts_once_for_each(
    tmp_path: Path, found: Population, draw: AuditDraw, pairs: list[DrawnPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("evalica", reason="evalica is absent; pip install 'redaes[audit]'")
    monkeypatch.setattr("redaes.datagen.audit.agreement_report.LEAST_PHOTOGRAPHS", 4)
    hostile = "<script>alert(1)</script>"
    report, given = report_on(
        tmp_path, found,
        judged(draw, pairs, "Ann", right), judged(draw, pairs, hostile, lambda pair: -right(pair), order=1),
    )  # fmt: skip
    assert report.overall.n_answers == 2 * N
    assert report.overall.agrees.value == 0.5
    assert (report.persons["Ann"].agrees.value, report.persons[hostile].agrees.value) == (1.0, 0.0)
    assert report.alpha_nominal.n == N
    assert report.alpha_ordinal.value < report.alpha_nominal.value < 0.1  # type: ignore[operator]
    assert report.alpha_nominal.low < report.alpha_nominal.value < report.alpha_nominal.high  # type: ignore[operator]
    assert report.weighted.low < 0.4 < report.weighted.value  # type: ignore[operator]  # though no photograph differs
    assert report.n_contradicted == 0  # one against one
    page = agreement_page("red", report, given)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_wilson_as_published() -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    for successes, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(successes / n, n) == pytest.approx((low, high), abs=6e-5)


def test_a_share_of_few_photographs_is_not_taken_for_sure() -> None:
    assert shares([True] * 12, ["a"] * 12).low < 0.3  # type: ignore[operator]
    third = shares([True, False, False] * 3, list("aaabbbccc"))
    assert third.low < 0.1  # type: ignore[operator]
    assert third.high > 0.7  # type: ignore[operator]
    assert shares([], []).value is None


def test_alpha_as_published() -> None:
    """K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: four observers, twelve units."""
    pytest.importorskip("evalica", reason="evalica is absent; pip install 'redaes[audit]'")
    n = np.nan
    ratings = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, n, n, n],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, n, 3],
            [n, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, n],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, n],
        ]
    ).T
    assert krippendorff_alpha(ratings, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(ratings, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_alpha_is_undefined_where_nobody_could_disagree() -> None:
    pytest.importorskip("evalica", reason="evalica is absent; pip install 'redaes[audit]'")
    assert krippendorff_alpha(np.array([[1.0, 1.0], [1.0, 1.0]]), "nominal") is None
    assert krippendorff_alpha(np.array([[1.0, np.nan], [np.nan, 1.0]]), "nominal") is None
    alone = alpha_estimate([{"a": 1.0}, {"b": 0.0}], ["x", "y"], "nominal")
    assert (alone.value, alone.n) == (None, 0)


# --- the command ------------------------------------------------------------------------------------------------


def test_the_command_reports_in_words_json_and_html(
    red_folder: Path, tmp_path: Path, draw: AuditDraw, pairs: list[DrawnPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redaes.datagen.audit.krippendorff.find_spec", lambda _: True)  # one person needs no alpha
    one, two = written(tmp_path / "1.jsonl", judged(draw, pairs, "Ann", right)[:20]), tmp_path / "2.jsonl"
    written(two, judged(draw, pairs, "Ann", right)[20:])
    out = tmp_path / "report.html"
    words = ["data", "audit", str(red_folder), "--answers", str(one), str(two)]
    done = runner.invoke(app, [*words, "--out", str(out)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "agreement with the label: 100 %" in done.stdout
    assert "Ann" in done.stdout
    assert "What people say of pairs" in out.read_text()
    found = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    assert found["overall"]["n_answers"] == N
    two.write_bytes(two.read_bytes() + b"spoilt\n")
    done = runner.invoke(app, words)
    assert done.exit_code == 5
    assert "left out: lines that are not answers: 1" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give exactly one of --serve PORT, --out HTML"),
        (["--serve", "0", "--out", "a.html"], "give exactly one of --serve PORT"),
        (["--serve", "0", "--json"], "--json works only together with --answers"),
        (["--out", "a.html", "--pairs", "0"], "--pairs is 0; give 1 to 5000"),
        (["--out", "a.html", "--repeated", "0.5"], "--repeated is 0.5; give a share from 0 to 0.3"),
        (["--out", "a.html", "--side", "20"], "--side is 20; give 128 to 8192 pixels"),
        (["--answers", "none.jsonl"], "none.jsonl: no such file or folder"),
        (["--out", "taken.html"], "taken.html exists"),
        (["--serve", "0", "--keep", "taken.html/a.jsonl"], "taken.html is not a folder"),
    ],
)
def test_what_cannot_be_is_refused_before_the_dataset_is_read(
    red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.html").touch()
    monkeypatch.setattr("redaes.datagen.audit.drawn_pairs.data_hash", lambda _: pytest.fail("the dataset was read"))
    done = runner.invoke(app, ["data", "audit", str(red_folder), *words])
    assert done.exit_code == 2
    assert said in done.stderr
