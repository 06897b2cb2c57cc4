"""Datasets that a panel judges, from plan to card: a real server behind every model, the embedded editor at work."""

from __future__ import annotations

import asyncio
import io
import itertools
import math
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from openai_server import Call, Fault, OpenAIServer, Say
from panel_server import contrast_of, judged, panel, proposals, script
from PIL import Image
from tiny_pipelines import build as build_tiny

from redaes import answers
from redaes.backends.pictures import EncodedPicture
from redaes.datagen import funnel, model_servers
from redaes.datagen.consensus import ConsensusRules
from redaes.datagen.dataset_settings import DatasetSettings
from redaes.datagen.judges import PicturePair
from redaes.datagen.panel import Panel, PanelModels
from redaes.datagen.panel_groups import MadeEdit, edits_of, plan_judged_views, unrejected
from redaes.datagen.picture_groups import BuildCounts
from redaes.datagen.pipeline import build
from redaes.datagen.plan import PlannedEdit
from redaes.datagen.sources import Source
from redaes.datagen.validation import validate
from redaes.errors import BackendError, BudgetExhausted, InputError, RecordError
from redaes.ranking import components
from redaes.records import COLUMNS, data_hash, read_records
from redaes.types import SPLITS, Rationale
from tests.conftest import synthetic_photograph

SETTINGS = DatasetSettings(views=1, variants=6, max_side=96, test_fraction=0.34, seed=5)


@pytest.fixture(autouse=True)
def own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(6):
        synthetic_photograph(number, 200, 150).save(folder / f"{number}.png")
    (folder / "LICENCES.csv").write_text("file,licence\n" + "".join(f"{n}.png,CC0\n" for n in range(6)))
    return folder


async def planned_and_edited(
    image: Image.Image, source: Source, settings: DatasetSettings, models: PanelModels
) -> tuple[list[PlannedEdit], list[MadeEdit]]:
    async with models:
        rows = await plan_judged_views(image, source, settings, models, BuildCounts())
        return rows, await edits_of(image, rows, models)


def test_from_photographs_to_a_valid_dataset(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lines = tmp_path / "pairs", list[str]()
    monkeypatch.setattr(funnel, "WRITE_EVERY_S", 0.02)
    with OpenAIServer(script) as server:
        priced = panel(server, writer={"model": "writer", "price": {"input": 1, "output": 4}})
        report = build([photographs], out, SETTINGS, panel=priced, tell=lines.append)
        asked = len(server.calls)
        # Everything again, from the answers that were kept: not one question more, and the same bytes.
        before = data_hash(out)
        for shard in (out / "shards").glob("*.json"):
            shard.unlink()
        again = build([photographs], out, SETTINGS, panel=panel(server))
        assert len(server.calls) == asked
    assert data_hash(out) == before
    assert again["kept_by_factor"] == report["kept_by_factor"]
    assert validate(out).wrong == {}
    records = [record for split in SPLITS for record in read_records(out, split)]
    assert len(records) == sum(report["pairs"].values()) > 12
    for record in records:
        agreement = record.agreement
        assert agreement is not None
        assert [name.partition("@")[0] for name in agreement.judges] == ["judge-1", "judge-2"]
        assert agreement.disagreement == 0
        assert record.writer == "embedded"
        edits = [edit for edit in (record.pair.edit_first, record.pair.edit_second) if edit]
        assert all(edit.licence == "Apache-2.0" and edit.revision for edit in edits)
    # The judges' lean towards A, a whole point, is gone from every label.
    for record in records:
        first, second = (contrast_of(Image.open(io.BytesIO(b))) for b in (record.first_bytes, record.second_bytes))
        assert abs((record.pair.delta or 0.0) - max(-9.0, min(9.0, (first - second) / 12))) < 0.4
    work = report["work"]
    assert work["funnel"]["photographs"] == work["funnel"]["views"] == 6
    assert work["funnel"]["kept"] == len(records) <= work["funnel"]["judged"]
    assert work["funnel"]["planned"] >= work["funnel"]["edited"] >= work["funnel"]["passed"] > 0
    assert work["resources"]["editors"]["done"] == work["funnel"]["planned"]
    assert all(0 <= resource["idle_share"] <= 1 for resource in work["resources"].values())
    calls = {name: each["calls"] for name, each in work["models"].items()}
    assert sum(calls.values()) == asked
    assert work["models"]["writer"]["tasks"]["rationale/v2"]["tokens_read"] == 100 * calls["writer"]
    assert work["models"]["writer"]["cost"] == pytest.approx(calls["writer"] * (100 * 1 + 10 * 4) / 1e6, abs=1e-4)
    assert work["cost_unknown"] == ["judge-1", "judge-2", "planner"]
    # What the second run did is added, what it found kept cost nothing.
    assert {name: each["calls"] for name, each in again["work"]["models"].items()} == calls
    assert again["work"]["funnel"]["views"] == 12
    assert lines
    assert lines[-1].startswith("planned ")
    assert report["rejected_pairs"]["plan: unknown_factor"] == 6
    assert any(reason.startswith("text: ") for reason in report["rejected_pairs"])
    assert report["asked"]["judge-1: retried: http_429"] > 0


def _contested(call: Call) -> bool:
    """Of some pairs, whichever picture comes first."""
    return sum(round(100 * contrast_of(picture)) for picture in call.pictures()) % 4 == 0


def test_fewer_questions_are_asked_and_what_was_not_judged_says_so(photographs: Path, tmp_path: Path) -> None:
    def quarrelling(call: Call) -> Say | Fault:
        if call.body["model"] != "judge-1" or not _contested(call):
            return script(call)
        first, second = map(contrast_of, call.pictures())
        turned = answers.stated(-7.0 if first > second else 7.0)
        reasoning = Rationale(text="Seen.", factors=("light",), better=turned.winner)
        return Say(answers.render_verdict(answers.stated(turned.delta, reasoning)))

    settings = SETTINGS.model_copy(update={"variants": 16})
    judges = ("judge-1", "judge-2", "judge-3")
    savings = {"pair_share": 0.4, "reserve": ["judge-3"]}
    with OpenAIServer(quarrelling) as server:
        report = build([photographs], tmp_path / "few", settings, panel=panel(server, judges=judges, savings=savings))
        calls = [call for call in server.calls if call.body["model"].startswith("judge")]
        n_calls = len(server.calls)
        for shard in (tmp_path / "few" / "shards").glob("*.json"):
            shard.unlink()
        before = data_hash(tmp_path / "few")
        build([photographs], tmp_path / "few", settings, panel=panel(server, judges=judges, savings=savings))
        assert (len(server.calls), data_hash(tmp_path / "few")) == (n_calls, before)
        with pytest.raises(RecordError, match="panel: "):
            build([photographs], tmp_path / "few", settings, panel=panel(server, judges=judges))
    by_judge = {name: [call for call in calls if call.body["model"] == name and call.attempt == 0] for name in judges}
    assert len(by_judge["judge-1"]) == len(by_judge["judge-2"])
    # Pictures that were shown together, even by way of others, are of one view: a part of its pairs was asked about.
    shown = [tuple(picture.tobytes() for picture in call.pictures()) for call in by_judge["judge-2"]]
    item = {picture: number for number, picture in enumerate(dict.fromkeys(itertools.chain(*shown)))}
    views = components(len(item), [(item[first], item[second], 0.0, 1.0) for first, second in shown])
    assert len(views) == 6
    n_asked = len({frozenset(pair) for pair in shown})
    assert n_asked * 2 == len(shown)
    assert n_asked < 0.75 * sum(math.comb(len(view), 2) for view in views)
    assert by_judge["judge-3"]
    assert all(_contested(call) for call in by_judge["judge-3"])
    assert validate(tmp_path / "few").wrong == {}
    records = [record for split in SPLITS for record in read_records(tmp_path / "few", split)]
    assert len(records) == sum(report["pairs"].values())
    by_source = {
        source: [record for record in records if record.label_source == source] for source in ("judges", "inferred")
    }
    assert len(by_source["judges"]) > 20
    assert len(by_source["inferred"]) > 10
    for record in by_source["inferred"]:
        assert record.agreement is None
        assert record.delta_error is not None
        assert record.delta_error <= 1.0
        assert record.rationale is not None
    for record in records:
        first, second = (contrast_of(Image.open(io.BytesIO(b))) for b in (record.first_bytes, record.second_bytes))
        assert abs((record.pair.delta or 0.0) - max(-9.0, min(9.0, (first - second) / 12))) < 0.5
    # Of contested pairs all three are named, with how they disagreed.
    both = {record.agreement.sign_agreement: record.agreement for record in by_source["judges"] if record.agreement}
    assert [len(each.judges) for _, each in sorted(both.items())][-1] == 2
    assert any(len(each.judges) == 3 and agreed < 1 for agreed, each in both.items())
    names = pq.read_schema(next((tmp_path / "few" / "data").glob("*.parquet"))).names
    assert set(names) - set(COLUMNS) == {"delta_error"}


def test_our_own_model_and_a_scorer_judge_beside_a_model(photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    def scoring(call: Call) -> Say | Fault:
        if call.body["model"] != "scorer":
            return script(call)
        level = int(np.asarray(call.pictures()[0].convert("L")).std() // 10)
        return Say(f"Score: {level}", top=[{"Score": 0.0}, {":": 0.0}, {f" {level}": -0.1, " 0": -3.0}])

    judges = ("judge-1", "score:scorer", f"redaes:{tiny_model}")
    with OpenAIServer(scoring) as server:
        models = PanelModels(panel(server, judges=judges), tmp_path)
        names = [judge.name for judge in models.judges]
        pairs = [PicturePair("p", *(EncodedPicture(synthetic_photograph(seed, 96, 64)) for seed in (0, 1)))]
        answers_ = [judge.judge(pairs)[0] for judge in models.judges]
    assert names[:2] == ["judge-1", "scorer (score)"]
    assert len({(answer.judge, answer.revision) for answer in answers_}) == 3
    assert answers_[0].forward
    assert answers_[1].forward
    assert answers_[2].forward or answers_[2].failures  # random weights may not follow the form: then they say so


def test_edits_unlike_their_view_are_turned_down(photographs: Path, tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessor

    config = Dinov2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(config).save_pretrained(tmp_path / "dino")
    ViTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(tmp_path / "dino")
    with OpenAIServer(script) as server:
        changes = {"similarity": str(tmp_path / "dino"), "min_similarity": 1.01}
        models = PanelModels(panel(server, **changes), tmp_path)
        image = synthetic_photograph(1, 200, 150)
        source = Source(id="a" * 64, path=tmp_path / "a.png", licence="CC0", split="train")
        rows, edits = asyncio.run(planned_and_edited(image, source, SETTINGS, models))
    counts = BuildCounts()
    assert rows
    assert models.similarity is not None
    assert unrejected(image, edits, models.similarity, 1.01, counts) == []
    assert counts.rejected["dissimilar"] > 0
    assert sum(counts.rejected.values()) == len(rows)


@pytest.mark.parametrize("name", ["oracle:x", "pyiqa:musiq", "pyiqa:musiq:a:b"])
def test_judges_that_are_none_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name.split(":", maxsplit=1)[0]):
        PanelModels(Panel(endpoint="http://127.0.0.1:1/v1", judges=(name,), writer="w"), tmp_path)


def test_servers_of_a_model_that_die_and_come_back_leave_the_dataset_as_it_is(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_servers, "FIRST_OUT_S", 0.05)
    monkeypatch.setattr(model_servers, "MAX_BACKOFF_S", 0.1)
    n, dead = 0, Fault(503)

    def dying(call: Call) -> Say | Fault:
        nonlocal n
        n += 1
        if n == 10:
            second.models = dead
            threading.Timer(1.0, lambda: setattr(second, "models", up)).start()
        return dead if second.models is dead else script(call)

    with OpenAIServer(script) as first, OpenAIServer(dying) as second:
        up = second.models
        build([photographs], tmp_path / "whole", SETTINGS, panel=panel(first))
        both = panel(first, endpoint=[first.base_url, second.base_url], judges=["judge-1", {"model": "judge-2"}])
        reports = [build([photographs], tmp_path / "pairs", SETTINGS, panel=both)]
        # All of a model's servers at once, after it has answered: requests wait for them.
        n = 0
        alone = panel(second, writer={"model": "writer", "endpoint": first.base_url})
        reports.append(build([photographs], tmp_path / "waited", SETTINGS, panel=alone))
        assert n > 10
    assert data_hash(tmp_path / "pairs") == data_hash(tmp_path / "whole") == data_hash(tmp_path / "waited")
    asked = [what for report in reports for what in report["asked"]]
    assert any("taken out: http_503" in what for what in asked)
    assert not any("failed: http_503" in what for what in asked)


def test_another_panel_in_the_same_folder_is_refused(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    with OpenAIServer(script) as server:
        build([photographs], out, SETTINGS, panel=panel(server))
        # Another address is the same panel.
        build([photographs], out, SETTINGS, panel=panel(server, endpoint=server.base_url + "/", concurrency=2))
        with pytest.raises(RecordError, match="panel: "):
            build([photographs], out, SETTINGS, panel=panel(server, judges=("judge-1",)))


def test_a_spent_budget_ends_the_run_and_the_next_goes_on(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    with OpenAIServer(script) as server:
        with pytest.raises(BudgetExhausted):
            build([photographs], out, SETTINGS, panel=panel(server, max_calls=15))
        assert not (out / "report.json").exists()
        build([photographs], out, SETTINGS, panel=panel(server))
        whole = tmp_path / "whole"
        build([photographs], whole, SETTINGS, panel=panel(server))
    assert data_hash(out) == data_hash(whole)


@pytest.mark.parametrize("model", ["planner", "writer"])
def test_a_model_that_never_answers_ends_the_run_and_the_next_goes_on(
    model: str, photographs: Path, tmp_path: Path
) -> None:
    def partly(call: Call) -> Say | Fault:
        return Fault(401) if call.body["model"] == model else script(call)

    out = tmp_path / "pairs"
    with OpenAIServer(partly) as server, pytest.raises(BackendError, match=f"{model} at .* answers nothing"):
        build([photographs], out, SETTINGS, panel=panel(server))
    assert not list(out.glob("data/*.parquet"))
    assert not (out / "plan.parquet").exists()  # it is whole, or not there
    with OpenAIServer(script) as server:
        build([photographs], out, SETTINGS, panel=panel(server))
        build([photographs], tmp_path / "whole", SETTINGS, panel=panel(server))
    assert data_hash(out) == data_hash(tmp_path / "whole")


def test_a_spent_budget_is_no_empty_plan(photographs: Path, tmp_path: Path) -> None:
    with OpenAIServer(script) as server, pytest.raises(BudgetExhausted, match="max_calls 2"):
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server, max_calls=2))
    assert not (tmp_path / "pairs" / "plan.parquet").exists()


def test_judges_of_other_dialects_make_labels_and_the_report_says_how(photographs: Path, tmp_path: Path) -> None:
    def dialects(call: Call) -> Say | Fault:
        if call.body["model"] == "gpt":
            if call.body["temperature"] != 1:
                words = "Unsupported value: 'temperature' does not support 0.7 with this model."
                return Fault(400, message=f"{words} Only the default (1) value is supported.")
            return Say(f"The user wants ...\n</think>\n\n{judged(call).text}")
        if call.body["model"] == "chatty":
            return Say(
                (judged(call).text or "").replace("Winner: ", "**Winner:** Picture ").replace("Picture tie", "Tie")
            )
        return script(call)

    with OpenAIServer(dialects) as server:
        changed = panel(server, judges=("gpt", "chatty"), reader="lenient", max_new_tokens=4096)
        report = build([photographs], tmp_path / "pairs", SETTINGS, panel=changed)
    asked = report["asked"]
    assert sum(report["pairs"].values()) > 12
    assert asked["gpt: refused: temperature"] == 1
    assert asked["gpt: answered temperature=1"] == asked["gpt: ok"] == asked["gpt: read: strict"]
    assert asked["chatty: read: lenient/v2"] == asked["chatty: ok"]
    assert changed.identity()["reader"] == "lenient"
    assert "reader" not in panel(server).identity()  # datasets from before there was a choice go on
    assert {call.body["max_completion_tokens"] for call in server.calls if call.body["model"] == "gpt"} == {4096}


def test_a_judge_that_answers_nothing_ends_the_run(photographs: Path, tmp_path: Path) -> None:
    def blind(call: Call) -> Say | Fault:
        return Fault(400, message="I see no pictures") if call.body["model"] == "judge-2" else script(call)

    with OpenAIServer(blind) as server:
        with pytest.raises(BackendError, match=r"judge-2 \(model judge-2 at .*answers nothing.*I see no pictures"):
            build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server))
        assert sum(call.body["model"] == "judge-2" for call in server.calls) == 8
    assert not list((tmp_path / "pairs").glob("data/*.parquet"))


def test_a_judge_whose_answers_cannot_be_read_is_named_where_no_pair_is_kept(photographs: Path, tmp_path: Path) -> None:
    heard: list[str] = []

    def chatty(call: Call) -> Say | Fault:
        if call.body["model"] != "judge-2":
            return script(call)
        heard.append("judge-2")
        return judged(call) if len(heard) == 1 else Say("B is the better one.")  # once: so it is no silence

    words = r"judge-2: \d+ of \d+ answers could not be read \(not_the_form \d+\)"
    with OpenAIServer(chatty) as server, pytest.raises(InputError, match=words):
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server, rules=ConsensusRules(min_judges=2)))


def test_a_judge_that_is_not_there_is_named(photographs: Path, tmp_path: Path) -> None:
    def gone(call: Call) -> Say | Fault:
        return Fault(404) if call.body["model"] == "judge-2" else script(call)

    words = r"judge judge-2 \(model judge-2 at .* 404.*check the model's name"
    with OpenAIServer(gone) as server, pytest.raises(BackendError, match=words):
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server))


def test_a_server_that_is_down_makes_no_labels(photographs: Path, tmp_path: Path) -> None:
    def down(call: Call) -> Say | Fault:
        return proposals(call) if call.body["model"] == "planner" else Fault(401)

    with OpenAIServer(down) as server, pytest.raises(BackendError, match="401"):
        build([photographs], tmp_path / "pairs", SETTINGS, panel=panel(server))
    assert not list(tmp_path.rglob("*-*.parquet"))


def test_a_diffusion_editor_fills_a_group_or_says_why_not(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    build_tiny("StableDiffusionInstructPix2PixPipeline", folder)
    image = synthetic_photograph(1, 96, 64)
    source = Source(id="a" * 64, path=tmp_path / "a.png", licence="CC0", split="train")
    settings, counts = DatasetSettings(views=1, variants=3, max_side=96), BuildCounts()
    with OpenAIServer(script) as server:
        models = PanelModels(
            panel(server, editors=(str(folder),), editor_options=(("steps", 2),), planner=None), tmp_path
        )
        rows, edits = asyncio.run(planned_and_edited(image, source, settings, models))
    assert [row.edit.editor for row in rows] == [str(folder)] * 3
    # Random weights paint something else: every edit is made, and turned down by name.
    assert unrejected(image, edits, None, None, counts) == []
    assert sum(counts.rejected.values()) == 3
    assert "edit_failed" not in counts.rejected


@pytest.mark.parametrize(
    "changes",
    [
        {"similarity": "x"},
        {"judges": ()},
        {"judges": ("a", "a")},
        {"editors": ()},
        {"samples": 0},
        {"max_rewrites": -1},
    ],
)
def test_impossible_panels_are_named(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        Panel(**{"endpoint": "http://127.0.0.1:1/v1", "judges": ("a",), "writer": "b", **changes})  # type: ignore[arg-type]
