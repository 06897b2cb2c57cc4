"""``redaes data explain`` and ``redaes data import --writer``: reasoning from measurements, and nothing made up."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageEnhance, ImageFilter
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.explained import explaining
from redaes.datagen.explained.writers import NOTHING_SPEAKS, read_writer
from redaes.datagen.rationale_claims import check_claims
from redaes.datagen.rationales import PairObservation, write_from_measurements
from redaes.datagen.rationales.from_measurements import factor_for
from redaes.datagen.rationales.quantity_words import WORDS
from redaes.datagen.validation import validate
from redaes.errors import InputError
from redaes.evidence.checking import check_rationale
from redaes.evidence.measurements import Measurements, PairEvidence
from redaes.file_locks import lock_file
from redaes.file_writing import read_json
from redaes.records import PairRecord, read_records
from redaes.types import SPLITS
from tests.conftest import synthetic_photograph

CLEAN = {"brightness": 50.0, "contrast": 22.0, "noise": 1.0, "sharpness": 40.0, "warmth": 4.0, "colourfulness": 35.0}


def seen(first: dict[str, float], second: dict[str, float]) -> PairObservation:
    one, other = (Measurements(width=300, height=200, values={**CLEAN, **values}) for values in (first, second))
    return PairObservation(PairEvidence(first=one, second=other, registration=None))


def test_what_is_written_is_what_the_pixels_hold() -> None:
    pair = seen({}, {"brightness": 20.0})
    for seed in range(40):
        written = write_from_measurements(pair, 2.0, (), seed)
        assert written is not None
        assert (written.better, written.factors) == ("A", ("light",))
        claims = check_rationale(written.text, pair.evidence)
        assert claims.count("supported") >= 1
        assert claims.count("contradicted") == 0
        swapped = write_from_measurements(pair.swapped(), -2.0, (), seed)
        assert swapped is not None
        assert (swapped.better, swapped.factors) == ("B", ("light",))


def test_nothing_is_written_where_nothing_measured_speaks_for_the_winner() -> None:
    assert write_from_measurements(seen({}, {}), 2.0, (), 0) is None
    dark = seen({}, {"brightness": 20.0})
    assert write_from_measurements(dark, -2.0, (), 0) is None  # who likes it dark gets no reason
    assert write_from_measurements(dark, 2.0, ("noise",), 0) is None  # what people say decides does not show
    assert write_from_measurements(dark, 0.0, (), 0) is None  # a tie of pictures that are visibly unlike
    tie = write_from_measurements(seen({}, {}), 0.0, (), 0)
    assert tie is not None
    assert (tie.better, tie.factors) == ("tie", ())


def test_a_factor_must_speak_for_the_winner_on_balance() -> None:
    assert factor_for(seen({}, {"noise": 9.0}), "A") == "noise"
    assert factor_for(seen({"brightness": 45.0}, {"sharpness": 2.0}), "A") == "focus"  # the light against it, less
    assert factor_for(seen({"sharpness": 2.0}, {"brightness": 42.0}), "A") is None  # and here more than for it
    assert factor_for(seen({}, {"brightness": 43.0}), "A") is None  # one sees that, and not clearly
    assert factor_for(seen({"brightness": 36.0}, {"sharpness": 10.0}), "A") is None  # nor does this outweigh the light
    assert factor_for(seen({"noise": 9.0}, {"brightness": 20.0}), "A") == "light"  # what is dark has less noise, too
    assert factor_for(seen({"sharpness": 2.0}, {"noise": 9.0}), "A") is None  # what is blurred has, and is no better


def test_a_fault_must_be_there_and_not_only_in_comparison() -> None:
    assert factor_for(seen({"vignetting": -0.9}, {"vignetting": 3.1}), "A") == "light"
    assert factor_for(seen({"vignetting": -2.3}, {"vignetting": -0.5}), "A") is None  # its corners are not dark
    for there, said in ((-3.0, False), (-16.0, True)):
        pair = seen({"warmth": 10.5}, {"warmth": there})
        texts = [write_from_measurements(pair, 2.0, (), seed) for seed in range(40)]
        assert all(text is not None and "warmth" in text.text for text in texts)
        clauses = WORDS["warmth"].seen_less  # such as a bluish film
        assert any(clause in text.text for text in texts if text for clause in clauses) == said


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Dark copies liked less, blurred ones liked more, some with one other pixel, and dark ones with a reason."""
    rows: list[dict[str, Any]] = []
    for number in range(8):
        photograph = ImageEnhance.Color(synthetic_photograph(40 + number, 96, 72)).enhance(0.3)
        kind = ("dark", "blurred", "same", "told")[number % 4]
        other = photograph.copy()
        if kind == "blurred":
            other = other.filter(ImageFilter.GaussianBlur(4))
        elif kind == "same":
            other.putpixel((0, 0), (9, 9, 9))
        else:
            other = ImageEnhance.Brightness(other).enhance(0.4)
        photograph.save(tmp_path / f"{number}.png")
        other.save(tmp_path / f"{number}-{kind}.png")
        wins = "second" if kind == "blurred" else "first"
        told = kind == "told"
        rows.append(
            {"first": f"{number}.png", "second": f"{number}-{kind}.png", "winner": wins, "source": f"p{number}",
             "factors": "light" if told else "", "rationale": "B is far too dark to see much in it." if told else ""}
        )  # fmt: skip
    with (tmp_path / "votes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "votes.csv"


def run(*words: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done.output


def records_of(folder: Path) -> dict[str, PairRecord]:
    return {record.pair.id: record for split in SPLITS for record in read_records(folder, split)}


def kind_of(record: PairRecord) -> str:
    names = (ref.path.stem.partition("-")[2] for ref in (record.pair.first, record.pair.second))
    return next(filter(None, names))


def test_an_import_with_the_embedded_writer(votes: Path, tmp_path: Path) -> None:
    said = run("data", "import", votes, "--out", tmp_path / "set", "--writer", "measured")
    found = records_of(tmp_path / "set")
    assert len(found) == 8
    by_kind: dict[str, Counter[str]] = {}
    for record in found.values():
        texts = (record.rationale is not None) + (record.rationale_swapped is not None)
        by_kind.setdefault(kind_of(record), Counter())[f"{texts} {record.writer} {','.join(record.pair.factors)}"] += 1
    assert by_kind["dark"] == {"2 embedded light": 2}
    assert by_kind["told"] == {"2 embedded + people light": 2}
    assert by_kind["blurred"] == {"0  ": 2}  # nothing that can be measured speaks for them
    assert by_kind["same"] == {"0  ": 2}
    counts = read_json(tmp_path / "set" / "report.json")["explained"]
    assert counts == {
        "written": 4, f"without: {NOTHING_SPEAKS}": 4, "writer: embedded": 2, "writer: embedded + people": 2,
    }  # fmt: skip
    assert "nothing measurable speaks" in said
    report = read_json(tmp_path / "set" / "report.json")
    assert report["rationales"] == {"both orders": 4, "none": 4}
    card = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    assert "| both orders | 4 |" in card
    assert "| writer: embedded | 2 |" in card
    assert (tmp_path / "set" / "left_out.csv").is_file()
    checked = validate(tmp_path / "set")
    assert not checked.wrong
    wrong: dict[str, Any] = {}
    check_claims(tmp_path / "set", wrong)
    assert wrong == {}  # no statement that the pixels contradict
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(".")) == []


def test_a_second_import_with_a_writer_leaves_the_first_one_its_pictures(votes: Path, tmp_path: Path) -> None:
    holder = tmp_path / ".set.unexplained"
    (holder / "set").mkdir(parents=True)
    with (holder / "lock").open("wb") as lock:
        lock_file(lock, "nobody else has it")
        said = run("data", "import", votes, "--out", tmp_path / "set", "--writer", "measured", code=2)
        assert "another process is importing into" in said
        assert (holder / "set").is_dir()
    run("data", "import", votes, "--out", tmp_path / "set", "--writer", "measured")  # killed, the first leaves it
    assert (tmp_path / "set").is_dir()
    assert not holder.exists()


def test_a_set_that_was_imported_without_gets_the_same(votes: Path, tmp_path: Path) -> None:
    run("data", "import", votes, "--out", tmp_path / "at-once", "--writer", "measured")
    run("data", "import", votes, "--out", tmp_path / "plain")
    run("data", "explain", tmp_path / "plain", "--out", tmp_path / "later")
    assert records_of(tmp_path / "at-once") == records_of(tmp_path / "later")
    plain = records_of(tmp_path / "plain")
    for name, record in records_of(tmp_path / "later").items():
        same = {"rationale", "rationale_swapped", "writer", "pair"}
        assert record.model_dump(exclude=same) == plain[name].model_dump(exclude=same)
        assert record.pair.model_dump(exclude={"factors"}) == plain[name].pair.model_dump(exclude={"factors"})
    again = run("data", "explain", tmp_path / "later", "--out", tmp_path / "once-more")
    assert "had reasoning in both orders" in again
    assert records_of(tmp_path / "once-more") == records_of(tmp_path / "later")


def test_a_set_that_was_built_keeps_what_it_has(red_folder: Path, tmp_path: Path) -> None:
    run("data", "explain", red_folder, "--out", tmp_path / "set")
    assert records_of(tmp_path / "set") == records_of(red_folder)
    assert read_json(tmp_path / "set" / "report.json")["pairs"] == read_json(red_folder / "report.json")["pairs"]


def test_a_run_that_was_stopped_is_gone_on_with(votes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("data", "import", votes, "--out", tmp_path / "plain")
    run("data", "explain", tmp_path / "plain", "--out", tmp_path / "whole")
    written: list[str] = []
    write = explaining.write_shard

    def stops(path: Path, *rest: Any, **more: Any) -> int:
        if written:
            raise KeyboardInterrupt  # a signal between two shards; kill -9 leaves the same
        written.append(path.name)
        return write(path, *rest, **more)

    monkeypatch.setattr(explaining, "write_shard", stops)
    with pytest.raises(KeyboardInterrupt):
        explaining.explain_dataset(tmp_path / "plain", tmp_path / "set", None)
    assert not (tmp_path / "set").exists()
    again: list[str] = []

    def noted(path: Path, *rest: Any, **more: Any) -> int:
        again.append(path.name)
        return write(path, *rest, **more)

    monkeypatch.setattr(explaining, "write_shard", noted)
    explaining.explain_dataset(tmp_path / "plain", tmp_path / "set", None)
    assert set(written).isdisjoint(again)
    assert records_of(tmp_path / "set") == records_of(tmp_path / "whole")
    there = sorted(one.name for one in (tmp_path / "set").iterdir())
    assert there == ["README.md", "data", "left_out.csv", "report.json"]


@pytest.mark.parametrize("name", ["train-00000", "test-00000"])
def test_a_run_that_was_killed_between_a_shard_and_its_counts_is_gone_on_with(
    votes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run("data", "import", votes, "--out", tmp_path / "plain")
    run("data", "explain", tmp_path / "plain", "--out", tmp_path / "whole")
    write = explaining.write_json

    def stops(path: Path, *rest: Any, **more: Any) -> None:
        if path.parent.name == "counts" and path.stem == name:
            raise KeyboardInterrupt
        write(path, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(explaining, "write_json", stops)
        with pytest.raises(KeyboardInterrupt):
            explaining.explain_dataset(tmp_path / "plain", tmp_path / "set", None)
    assert (tmp_path / ".set.explaining" / "data" / f"{name}.parquet").is_file()
    explaining.explain_dataset(tmp_path / "plain", tmp_path / "set", None)
    assert records_of(tmp_path / "set") == records_of(tmp_path / "whole")
    reports = [read_json(tmp_path / one / "report.json")["explained"] for one in ("set", "whole")]
    assert reports[0] == reports[1]


def test_what_was_written_of_other_judgements_is_not_taken_over(
    votes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("data", "import", votes, "--out", tmp_path / "plain")

    def stops(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(explaining, "_finish", stops)
        with pytest.raises(KeyboardInterrupt):
            explaining.explain_dataset(tmp_path / "plain", tmp_path / "set", None)
    shutil.rmtree(tmp_path / "plain")
    votes.write_text(votes.read_text().replace(",second,p", ",first,p"))  # those who liked the blurred ones have left
    run("data", "import", votes, "--out", tmp_path / "plain")
    explaining.explain_dataset(tmp_path / "plain", tmp_path / "set", None)
    run("data", "explain", tmp_path / "plain", "--out", tmp_path / "fresh")
    assert records_of(tmp_path / "set") == records_of(tmp_path / "fresh")


def test_what_another_writer_had_begun_is_not_taken_over(votes: Path, tmp_path: Path) -> None:
    run("data", "import", votes, "--out", tmp_path / "plain")
    making = tmp_path / ".set.explaining"
    shutil.copytree(tmp_path / "plain" / "data", making / "data")
    for file in (making / "data").iterdir():
        (making / "counts").mkdir(exist_ok=True)
        (making / "counts" / f"{file.stem}.json").write_text("{}")
    run("data", "explain", tmp_path / "plain", "--out", tmp_path / "set")
    assert read_json(tmp_path / "set" / "report.json")["explained"]["written"] == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "give measured, or a YAML file"),
        ("endpoint: http://127.0.0.1:1", "names no writer"),
        ("writer: m\njudge: n", "unknown keys: judge"),
        ("writer: m", "endpoint is missing"),
        ("panel:\n  writer: m", "judges is missing"),
        ("[1]", "not a YAML mapping"),
    ],
)
def test_a_writer_that_is_none_is_refused(text: str | None, says: str, votes: Path, tmp_path: Path) -> None:
    name = "somebody"
    if text is not None:
        (tmp_path / "writer.yaml").write_text(text)
        name = str(tmp_path / "writer.yaml")
    with pytest.raises(InputError, match=says):
        read_writer(name)
    said = run("data", "import", votes, "--out", tmp_path / "set", "--writer", name, code=2)
    assert says in " ".join(said.split())
    assert not (tmp_path / "set").exists()


def test_nothing_is_overwritten(votes: Path, tmp_path: Path) -> None:
    run("data", "import", votes, "--out", tmp_path / "plain")
    said = run("data", "explain", tmp_path / "plain", "--out", tmp_path / "plain", code=2)
    assert "is not overwritten" in said
