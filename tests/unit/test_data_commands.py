"""``redaes data``: export, inspect, the card, recipes, uploads; the command line around them."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled
from typer.testing import CliRunner

from redaes import answers, hub
from redaes.cli.app import app
from redaes.datagen import build_recipe
from redaes.datagen.build_recipe import make_recipe
from redaes.datagen.export import FORMATS, export, preference
from redaes.datagen.inspection import funnel_svg, histogram_svg, inspect
from redaes.datagen.statistics import PanelAgreement, statistics
from redaes.errors import InputError, RecordError, RedaesError
from redaes.file_writing import read_json
from redaes.images import content_id
from redaes.records import pick_rows, record_of, shards, stream_rows
from redaes.types import SPLITS, Agreement, Split, winner_of

runner = CliRunner()


def records(folder: Path, split: Split = "train") -> list[Any]:
    return [record_of(row, split) for file in shards(folder, split) for row in stream_rows(file)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_preference_is_between_a_right_and_a_wrong_answer(red_folder: Path) -> None:
    reasons = []
    for record in records(red_folder):
        found = preference(record)
        if isinstance(found, str):
            reasons.append(found)
            continue
        chosen, rejected = (
            answers.parse(found[name][0]["content"][0]["text"], "reasoned") for name in ("chosen", "rejected")
        )
        assert chosen.winner == winner_of(record.pair.delta)
        assert chosen.rationale == record.rationale
        assert rejected.winner == {"A": "B", "B": "A"}[chosen.winner]
        assert rejected.delta == -chosen.delta
        assert found["images"] == [record.first_bytes, record.second_bytes]
        assert [part["type"] for part in found["prompt"][0]["content"]].count("image") == 2
    assert set(reasons) == {"ties"}
    unlabelled = record.model_copy(update={"pair": record.pair.model_copy(update={"delta": None})})
    assert preference(unlabelled) == "without a label"
    silent = next(r for r in records(red_folder) if r.pair.factors).model_copy(update={"rationale": None})
    assert preference(silent) == "without reasoning in both orders"


def test_jsonl_holds_every_pair_and_each_picture_once(red_folder: Path, tmp_path: Path) -> None:
    done = export(red_folder, tmp_path / "out", "jsonl")
    pictures = set()
    for split in SPLITS:
        rows = [json.loads(line) for line in (tmp_path / "out" / f"{split}.jsonl").read_text().splitlines()]
        known = records(red_folder, split)
        assert done.written[split] == len(rows) == len(known)
        for row, record in zip(rows, known, strict=True):
            assert (row["id"], row["delta"], row["split"]) == (record.pair.id, record.pair.delta, split)
            assert row["rationale"]["text"] == record.rationale.text
            assert (row["writer"], row["agreement"], row["licence"]) == (record.writer, None, "")
            assert (tmp_path / "out" / row["first"]).read_bytes() == record.first_bytes
            pictures |= {row["first"], row["second"]}
    assert {f"images/{path.name}" for path in (tmp_path / "out" / "images").iterdir()} == pictures


def test_webdataset_shards_hold_every_pair(red_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redaes.datagen.export.PAIRS_PER_SHARD", 10)
    export(red_folder, tmp_path / "out", "webdataset")
    known = {record.pair.id: record for record in records(red_folder)}
    found = {}
    tars = sorted((tmp_path / "out").glob("train-*.tar"))
    assert len(tars) == -(-len(known) // 10)
    for path in tars:
        with tarfile.open(path) as shard:
            for member in shard:
                key, _, ending = member.name.partition(".")
                found.setdefault(key, {})[ending] = shard.extractfile(member).read()  # type: ignore[union-attr]
    assert set(found) == set(known)
    for key, sample in found.items():
        assert sample["first.jpg"] == known[key].first_bytes
        assert json.loads(sample["json"])["factors"] == list(known[key].pair.factors)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_is_whole_repeatable_and_overwrites_nothing(red_folder: Path, tmp_path: Path, kind: Any) -> None:
    for name in ("one", "two"):
        export(red_folder, tmp_path / name, kind)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert "Licences" in (tmp_path / "one" / "README.md").read_text()
    with pytest.raises(RecordError, match="one exists"):
        export(red_folder, tmp_path / "one", kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_failed_export_leaves_nothing(red_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "red"
    (folder / "data").mkdir(parents=True)
    for split in SPLITS:
        rows = [row for file in shards(red_folder, split) for row in stream_rows(file) if not row["factors"]]
        schema = pq.read_schema(shards(red_folder, split)[0])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "data" / f"{split}-00000.parquet")
    with pytest.raises(RecordError, match=r"no pair of the train split can be written as preference .* ties"):
        export(folder, tmp_path / "out", "preference")
    rows[0]["first"]["bytes"] = b"GIF89a"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "data" / "test-00000.parquet")
    with pytest.raises(RecordError, match="the id of its first picture is not the SHA-256"):
        export(folder, tmp_path / "out", "jsonl")  # files are named by it
    rows[0]["first_id"] = content_id(b"GIF89a")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "data" / "test-00000.parquet")
    with pytest.raises(RecordError, match="neither JPEG, PNG nor WebP"):
        export(folder, tmp_path / "out", "jsonl")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordError, match="cannot be written"):
        export(red_folder, tmp_path / "file" / "out", "jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "red"]


def test_the_statistics_count_every_pair(red_folder: Path) -> None:
    found, report = statistics(red_folder), read_json(red_folder / "report.json")
    assert {split: sizes.pairs for split, sizes in found.by_split.items()} == report["pairs"]
    assert {name: sizes.pairs for name, sizes in found.by_factor.items()} == report["kept_by_factor"]
    assert found.licences == report["licences"]
    assert found.by_factor["tie"].quantiles is None
    low, middle, high = found.by_split["train"].quantiles or (0, 0, 0)
    assert 0.8 <= low < middle < high <= 9
    assert found.judged is None


def test_the_card_says_what_it_holds(red_folder: Path) -> None:
    card, found = (red_folder / "README.md").read_text(), statistics(red_folder)
    for name, sizes in found.by_factor.items():
        assert f"| {name} | {sizes.pairs} |" in card
    for words in ("Known limits", "Licences", "not calibrated", "| not stated | 6 |"):
        assert words in card


def test_rows_are_picked_by_number(red_folder: Path) -> None:
    file = shards(red_folder, "train")[0]
    rows = list(stream_rows(file))
    assert pick_rows(file, [3, 0, len(rows) - 1]) == {n: rows[n] for n in (0, 3, len(rows) - 1)}
    with pytest.raises(RecordError, match="does not contain the rows"):
        pick_rows(file, [len(rows)])


def test_the_page_shows_pairs_of_every_factor(red_folder: Path, tmp_path: Path) -> None:
    inspect(red_folder, tmp_path / "page.html", n_pairs=9)
    page = (tmp_path / "page.html").read_text()
    assert page.count('<tr role="row" data-factor=') == 9
    assert page.count("<img ") == 18
    assert set(re.findall(r'data-picture="(.*?)"', page)) == set(
        re.findall(r'id="(picture-\d+)">data:image/jpeg', page)
    )
    assert "http" not in page.replace("http-equiv", "")
    by_factor = statistics(red_folder).by_factor
    for name in by_factor:
        assert f'data-factor="{name}"' in page
    assert "Acceptance" in page
    assert "judges" not in page
    inspect(red_folder, tmp_path / "again.html", n_pairs=9)
    assert (tmp_path / "again.html").read_text() == page
    with pytest.raises(RecordError, match="exists"):
        inspect(red_folder, tmp_path / "page.html")
    with pytest.raises(InputError, match="1 to 2000"):
        inspect(red_folder, tmp_path / "none.html", n_pairs=0)


def test_a_picture_that_does_not_decode_is_named(red_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for file in red_folder.glob("data/*.parquet"):
        rows = [{**row, "first": {**row["first"], "bytes": b"not a picture"}} for row in stream_rows(file)]
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), tmp_path / "data" / file.name)
    with pytest.raises(RecordError, match="does not decode"):
        inspect(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_judges_are_shown_where_there_are_some(red_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "red<b>"
    (folder / "data").mkdir(parents=True)
    agreed = Agreement(
        judges=("a@1", "b@2"), n_answers=4, n_failed=1, spread=0.5, disagreement=0.1, sign_agreement=1.0, residual=0.0
    )
    divided = agreed.model_copy(update={"sign_agreement": 0.5, "judges": ("a@1", "c@3")})
    for split in SPLITS:
        for file in shards(red_folder, split):
            rows = list(stream_rows(file))
            for row, agreement in zip(rows, (agreed, divided), strict=False):
                row |= {"label_source": "judges", "agreement": agreement.model_dump()}
            table = pa.Table.from_pylist(rows, schema=pq.read_schema(file))
            pq.write_table(table.append_column("note", pa.array(["x"] * len(rows))), folder / "data" / file.name)
    judged = statistics(folder).judged
    assert judged == PanelAgreement(("a@1", "b@2", "c@3"), 4, unanimous=2, mostly=0, spread=0.5, failed=4)
    inspect(folder, tmp_path / "page.html", n_pairs=2)
    page = (tmp_path / "page.html").read_text()
    assert "Agreement of the judges which side is better: a@1, b@2, c@3; median spread 0.5 points; 4 unusable" in page
    assert "red&lt;b&gt;" in page
    rows[0]["agreement"] = {}
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), folder / "data" / file.name)
    with pytest.raises(RecordError, match="breaks the schema"):
        statistics(folder)


def test_ties_have_a_bar_of_their_own() -> None:
    svg = str(histogram_svg({"train": [0.0, 0.24, -0.24, 0.26, 9.0, -9.0], "test": []}))
    assert "<title>-0.2 to +0.2: 3</title>" in svg
    assert svg.count("<rect") == 4
    assert "<rect" not in str(histogram_svg({"train": [], "test": []}))


def test_a_report_of_something_else_is_refused() -> None:
    with pytest.raises(RecordError, match="lacks"):
        funnel_svg({"pairs": {"train": 1}})


def test_the_command_line_goes_before_the_recipe_before_the_defaults(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("views: 7\nmin_side: 200\nseed: 3\nworkers: 2\nmax_aspect: 2.5\n")
    made = make_recipe(recipe, {"seed": 0, "views": None, "max_photographs": 9, "push_to_hub": "x"})
    assert (made.settings.views, made.settings.seed, made.settings.variants) == (7, 0, 3)
    assert (made.rules.min_side, made.rules.max_aspect, made.rules.max_photographs) == (200, 2.5, 9)
    assert made.workers == 2
    recipe.write_text("min_side: 20")
    with pytest.raises(InputError, match="min_side is 20"):
        make_recipe(recipe, {})


def test_processes_go_by_the_cores_that_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_recipe, "free_cores", lambda: 6)
    assert make_recipe(None, {}).n_workers == 6
    assert make_recipe(None, {"workers": 2}).n_workers == 2
    assert make_recipe(None, {"engine": "ray"}).n_workers == 1  # a cluster's cores are not this machine's
    monkeypatch.setattr(build_recipe, "free_cores", lambda: 96)
    assert make_recipe(None, {}).n_workers == 8
    assert make_recipe(Path("panel"), {}).n_workers == 1
    with pytest.raises(InputError, match="workers is 0"):
        make_recipe(None, {"workers": 0})


class FakeHub:
    """Records what would be uploaded."""

    calls: list[tuple[str, dict[str, Any]]]
    fails: OSError | None

    def create_repo(self, repository: str, **options: Any) -> str:
        self.calls.append((repository, options))
        return f"https://example.org/datasets/{repository}"

    def upload_folder(self, **options: Any) -> None:
        self.calls.append(("upload", options))
        if self.fails is not None:
            raise self.fails


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    FakeHub.calls, FakeHub.fails = [], None
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    return FakeHub


def test_an_upload_is_private_and_leaves_the_builders_files(tmp_path: Path, fake_hub: type[FakeHub]) -> None:
    assert hub.push(tmp_path, "me/red").endswith("me/red")
    (name, created), (_, uploaded) = fake_hub.calls
    assert name == "me/red"
    assert created == {"repo_type": "dataset", "private": True, "exist_ok": True}
    assert uploaded["folder_path"] == tmp_path
    ignored = uploaded["ignore_patterns"]
    kept = huggingface_hub.utils.filter_repo_objects(
        ["README.md", "data/train-00000.parquet", ".lock", "shards/train-00000.json", "runs/a/b.json"],
        ignore_patterns=ignored,
    )
    assert list(kept) == ["README.md", "data/train-00000.parquet"]


def test_an_upload_that_fails_says_what_to_do(tmp_path: Path, fake_hub: type[FakeHub]) -> None:
    fake_hub.fails = OfflineModeIsEnabled("Cannot reach the hub: offline mode is enabled.")
    with pytest.raises(RedaesError, match=r"not uploaded to me/red .*offline.*hf upload me/red"):
        hub.push(tmp_path, "me/red")


def test_offline_is_said_by_the_real_client(tmp_path: Path) -> None:
    with pytest.raises(RedaesError, match="not uploaded"):
        hub.push(tmp_path, "me/red")


@pytest.mark.parametrize("name", ["red", "me/red/x", "me/..red", "", "me/red!"])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str, fake_hub: type[FakeHub]) -> None:
    with pytest.raises(InputError, match="give owner/name"):
        hub.push(tmp_path, name)
    assert fake_hub.calls == []


def _run(*arguments: object) -> Any:
    return runner.invoke(app, ["data", *map(str, arguments)])


def test_the_commands_end_to_end(photo_folder: Path, tmp_path: Path, fake_hub: type[FakeHub]) -> None:
    red = tmp_path / "red"
    build = ("build", photo_folder, "--out", red, "--views", 2, "--variants", 2, "--max-side", 64)
    done = _run(*build, "--push-to-hub", "me/red")
    assert done.exit_code == 0, done.output
    assert "uploaded to https://example.org/datasets/me/red" in done.stdout
    done = _run("validate", red)
    assert done.exit_code == 0, done.output
    assert "All rows are correct." in done.stdout
    done = _run("inspect", red, "--out", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    done = _run("export", red, "--format", "preference", "--out", tmp_path / "dpo", "--push-to-hub", "me/dpo")
    assert done.exit_code == 0, done.output
    assert "ties" in done.stdout
    assert [name for name, _ in fake_hub.calls] == ["me/red", "upload", "me/dpo", "upload"]
    # The same pictures are those of the rows.
    row = pq.read_table(tmp_path / "dpo" / "data" / "train-00000.parquet").to_pylist()[0]
    known = {record.pair.id: record.pair for record in records(red)}
    assert content_id(row["images"][0]["bytes"]) == known[row["id"]].first.id


def test_wrong_rows_end_with_2_and_are_named(red_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for file in red_folder.glob("data/*.parquet"):
        rows = [*stream_rows(file), next(stream_rows(file))]
        table = pa.Table.from_pylist(rows, schema=pq.read_schema(file))
        pq.write_table(table, tmp_path / "data" / file.name)
    done = _run("validate", tmp_path)
    assert done.exit_code == 2
    assert "wrong: id is not unique: 2" in done.stdout
    assert f"(id {rows[0]['id']})" in done.stdout
    assert "rationales" not in done.stdout


def test_rationales_that_the_pixels_contradict_end_with_2(red_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for file in red_folder.glob("data/*.parquet"):
        rows = list(stream_rows(file))[:1]
        for name in ("rationale", "rationale_swapped"):
            rows[0][name]["text"] = "A is noisier: noise 99.0 against 0.1."
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), tmp_path / "data" / file.name)
    done = _run("validate", tmp_path, "--claims", "--workers", "2")
    assert done.exit_code == 2
    assert "wrong: rationale contradicted by the pixels: 2" in done.stdout
    assert re.search(rf"\(id {rows[0]['id']}\): rationale: '.*noise 99.0 against 0.1", done.stdout)
    assert re.search(r"rationale_swapped: '.*noise 99.0 against 0.1", done.stdout)
    assert "statements of the rationales" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("validate", "{empty}"), "not a RED dataset"),
        (("inspect", "{empty}"), "not a RED dataset"),
        (("inspect", "{red}", "--out", "{empty}"), "exists; choose another --out"),
        (("inspect", "{red}", "--out", "{empty}/p.html", "--pairs", "0"), "give 1 to 2000"),
        (("export", "{red}", "--format", "xml", "--out", "{empty}/x"), "unknown format 'xml'; known: preference"),
        (("export", "{red}", "--format", "jsonl", "--out", "{empty}"), "nothing is overwritten"),
        (("export", "{red}", "--format", "jsonl", "--out", "{empty}/x", "--push-to-hub", "me"), "give owner/name"),
        (("build", "{empty}", "--push-to-hub", "me"), "give owner/name"),
        (("build", "{empty}", "--max-aspect", "0.5", "--out", "{empty}/x"), "max_aspect is 0.5"),
        (("build", "{empty}", "--min-side", "5", "--out", "{empty}/x"), "min_side is 5"),
        (("build", "{empty}", "--max-photographs", "1", "--out", "{empty}/x"), "max_photographs is 1"),
        (("build", "{empty}", "--config", "{empty}/no.yaml"), "no.yaml cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_2(red_folder: Path, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = _run(*(argument.format(red=red_folder, empty=tmp_path) for argument in arguments))
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []
