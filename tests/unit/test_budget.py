"""What a build is going to ask, said before it asks anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("yaml")

from redaes.cli.app import app
from redaes.datagen.budget import BuildBudget, TaskBudget, budget_of
from redaes.datagen.build_recipe import make_recipe
from redaes.datagen.funnel import ResourceFigures, WorkFigures, work_report
from redaes.datagen.measured_rates import MeasuredRates, pairs_of_view, read_rates
from redaes.datagen.plan import plan_view
from redaes.datagen.sources import Source
from redaes.errors import InputError, RecordError
from tests.conftest import synthetic_photograph

RECIPE = {
    "views": 2,
    "variants": 4,
    "panel": {
        "endpoint": "http://127.0.0.1:9/v1",
        "editors": ["some/editor"],
        "planner": "cheap",
        "checker": "cheap",
        "judges": [
            {"model": "cheap", "concurrency": 4, "gpus": 2},
            {"model": "dear", "price": {"input": 2, "output": 10}, "max_calls": 100, "samples": 3},
            "score:cheap",
            "redaes:models/ours",
        ],
        "writer": {"model": "dear", "max_new_tokens": 1000},
        "max_rewrites": 1,
    },
}


def sources(n: int) -> list[Source]:
    splits = ["train"] * (n - 1) + ["test"]
    return [Source(f"{k:064}", Path("x"), "CC0", split) for k, split in enumerate(splits)]  # type: ignore[arg-type]


def budget(measured: MeasuredRates | None = None, n: int = 10, **changes: object) -> BuildBudget:
    return budget_of(make_recipe(None, {**RECIPE, **changes}), sources(n), measured)


def task(found: BuildBudget, role: str, model: str) -> TaskBudget:
    (one,) = [each for each in found.tasks if (each.role, each.model) == (role, model)]
    return one


def test_the_most_that_it_can_be_follows_from_the_recipe() -> None:
    found = budget()
    assert found.photographs == {"train": 9, "test": 1}
    assert (found.views, found.edits.most, found.pairs_judged.most) == (20, 80, 20 * 10)
    most = {(each.role, each.model): each.calls.most for each in found.tasks}
    assert most == {
        ("planner", "cheap"): 20,
        ("checker", "cheap"): 80,
        ("judge", "cheap"): 200 * 2 * 2,
        ("judge", "dear"): 200 * 2 * 3,
        ("judge (score)", "cheap"): 20 * 5,
        ("writer", "dear"): 200 * 2 * 2,
    }
    assert found.in_process == ("redaes:models/ours",)
    assert any("dear: max_calls is 100 for each of 1 workers" in note for note in found.notes)
    assert not any("max_calls" in note for note in budget(workers=20).notes)
    judge, writer = task(found, "judge", "dear"), task(found, "writer", "dear")
    assert judge.tokens_written.most == 1200 * 512
    assert writer.tokens_written.most == 800 * 1000
    for each in (judge, writer):
        assert each.cost is not None
        assert each.cost.most == pytest.approx((each.tokens_read.most * 2 + each.tokens_written.most * 10) / 1e6)
    assert found.cost is not None
    assert found.cost.most == pytest.approx(judge.cost.most + writer.cost.most)  # type: ignore[union-attr]
    assert found.unpriced == ("cheap",)
    # Nothing is expected of which nothing is known.
    assert (found.hours, found.cost.expected, found.pairs_kept.expected, found.gpu_hours) == (None, None, None, {})
    assert any("tokens read are assumed" in note for note in found.notes)
    assert any("dear: max_calls is 100 for each of 1 workers, and the build may take 2,000" in n for n in found.notes)


def test_where_pairs_are_left_out_fewer_are_judged_and_as_many_may_be_explained() -> None:
    usual, panel = budget(variants=10), {**RECIPE["panel"], "savings": {"pair_share": 0.34}}  # type: ignore[dict-item]
    saving = budget(variants=10, panel=panel)
    assert usual.pairs_judged.most == 20 * 55
    # 19 pairs of 11 pictures, and twice one for each picture that may be left apart.
    assert saving.pairs_judged.most == 20 * (19 + 2 * 10)
    assert task(saving, "judge", "dear").calls.most == saving.pairs_judged.most * 2 * 3
    assert task(saving, "writer", "dear").calls.most == task(usual, "writer", "dear").calls.most


def report_of_an_earlier_build(folder: Path) -> Path:
    """40 views of 4 variants: 128 of 160 edits planned, 64 passed, 104 pairs judged, 52 kept."""
    tasks = {
        "cheap: edit_plan/v1": (40, 1000, 100),
        "cheap: edit_check/v1": (96, 2000, 50),
        "cheap: compare/v1": (416, 2000, 200),
        "cheap: score/v1": (104, 900, 10),
        "dear: compare/v1": (312, 3000, 300),  # half of the pairs: it was asked where others disagree
        "dear: rationale/v2": (130, 4000, 150),
    }
    asked: dict[str, int] = {}
    for name, (n, read, written) in tasks.items():
        model = name.partition(":")[0]
        asked |= {f"{name}: ok": n, f"{name}: tokens": n * (read + written), f"{name}: tokens written": n * written}
        asked[f"{model}: ok"] = asked.get(f"{model}: ok", 0) + n
        asked[f"{model}: tokens"] = asked.get(f"{model}: tokens", 0) + n * (read + written)
    asked |= {"cheap: calls": 656, "dear: calls": 884}
    resources = {
        "editors": ResourceFigures(capacity=1, busy_s=1280, n_done=128, there_s=2000),
        "model cheap": ResourceFigures(capacity=4, busy_s=1312, n_done=656, there_s=8000),
        "model dear": ResourceFigures(capacity=8, busy_s=884, n_done=884, there_s=16000),
    }
    passed = {"views": 40, "planned": 128, "edited": 120, "passed": 64, "judged": 104, "kept": 52}
    work = work_report(
        WorkFigures(seconds=2000, passed=passed, resources=resources, asked=asked), {"cheap": None, "dear": None}
    )
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train-00000.parquet").write_bytes(b"x" * 5200)
    (folder / "plan.json").write_text(json.dumps({"settings": {"views": 2, "variants": 4}}))
    (folder / "report.json").write_text(json.dumps({"work": work, "pairs": {"train": 40, "test": 12}}))
    return folder / "report.json"


def test_what_is_expected_follows_from_an_earlier_build(tmp_path: Path) -> None:
    rates = read_rates(report_of_an_earlier_build(tmp_path))
    assert (rates.planned_share, rates.passed_share, rates.kept_share) == (0.8, 0.5, 0.5)
    assert pairs_of_view(4, 0.4) == pytest.approx(sum((1, 3, 6, 10)[k - 1] * p for k, p in BINOMIAL.items()))
    found = budget(rates, n=40)  # 80 views: twice as many
    assert found.edits.expected == pytest.approx(256)
    assert found.pairs_judged.expected == pytest.approx(208)
    assert found.pairs_kept.expected == pytest.approx(104)
    expected = {(each.role, each.model): each.calls.expected for each in found.tasks}
    again = 884 / 442  # each request of the dear model was sent twice
    assert expected == {
        ("planner", "cheap"): pytest.approx(80),
        ("checker", "cheap"): pytest.approx(192),
        ("judge", "cheap"): pytest.approx(832),
        ("judge", "dear"): pytest.approx(624 * again),
        ("judge (score)", "cheap"): pytest.approx(80 * (1 + 4 * 0.4)),
        ("writer", "dear"): pytest.approx(260 * again),
    }
    judge = task(found, "judge", "dear")
    assert judge.tokens_read.expected == pytest.approx(624 * 3000)
    assert judge.cost is not None
    assert judge.cost.expected == pytest.approx(624 * (3000 * 2 + 300 * 10) / 1e6)
    # 256 edits of 10 s on one device take longer than the servers.
    assert found.slowest == "editors"
    assert found.hours == pytest.approx(2560 / 3600)
    assert found.gpu_hours == {"editors": pytest.approx(2560 / 3600), "cheap": pytest.approx(2 * 2560 / 3600)}
    calls = sum(each.calls.expected or 0 for each in found.tasks)
    assert found.disk_bytes.expected == pytest.approx(104 * 100 + calls * 4096)
    assert not any("assumed" in note for note in found.notes)
    assert any("and the build is expected to take 1,768" in note for note in found.notes)


@pytest.mark.parametrize(("engine", "workers", "n"), [("local", 1, 2), ("ray", 1, 1), ("ray", 2, 2)])
def test_hours_of_edits_are_shared_by_the_devices_that_are_named_or_that_actors_have(
    engine: str, workers: int, n: int, tmp_path: Path
) -> None:
    panel = {**RECIPE["panel"], "editor_devices": ["cuda:0", "cuda:1"]}  # type: ignore[dict-item]
    rates = read_rates(report_of_an_earlier_build(tmp_path))
    found = budget(rates, n=40, panel=panel, engine=engine, workers=workers)
    assert (found.slowest, found.hours) == ("editors", pytest.approx(2560 / 3600 / n))
    assert found.gpu_hours["editors"] == pytest.approx(2560 / 3600)


BINOMIAL = {1: 4 * 0.4 * 0.6**3, 2: 6 * 0.4**2 * 0.6**2, 3: 4 * 0.4**3 * 0.6, 4: 0.4**4}


def test_reports_that_tell_nothing_are_named(tmp_path: Path) -> None:
    report = report_of_an_earlier_build(tmp_path)
    kept = json.loads(report.read_text())
    report.write_text(json.dumps({"pairs": kept["pairs"]}))
    with pytest.raises(InputError, match=r"report\.json has no figures of a panel's work"):
        read_rates(report)
    kept["work"]["funnel"]["views"] = 0
    report.write_text(json.dumps(kept))
    with pytest.raises(InputError, match="no views that were made"):
        read_rates(report)
    (tmp_path / "plan.json").unlink()
    with pytest.raises(RecordError, match=r"plan\.json"):
        read_rates(report)


def test_the_embedded_editor_asks_nothing_and_its_edits_are_known() -> None:
    found = budget_of(make_recipe(None, {"views": 3, "variants": 2}), sources(4))
    planned = [len(plan_view(source.id, source.split, view, 2, 0)) for source in sources(4) for view in range(3)]
    assert (found.edits.most, found.edits.expected) == (sum(planned), sum(planned))
    assert found.tasks == ()
    assert found.pairs_kept.most == 4 * 3 * 6  # reference, twin and two variants
    assert found.disk_bytes.most > 0


def test_a_dry_run_prints_and_writes_and_asks_nothing(tmp_path: Path) -> None:
    for number in range(4):
        synthetic_photograph(number, 200, 150).save(tmp_path / f"{number}.png")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(RECIPE))
    out = tmp_path / "out"
    words = ["data", "build", str(tmp_path), "--config", str(recipe), "--out", str(out)]
    ended = CliRunner().invoke(app, [*words, "--dry-run"])
    assert ended.exit_code == 0, ended.output
    # Its server is not there, which a dry run does not find out.
    for told in (
        "no model was asked and no file was written",
        "edits",
        "32",
        "judge (score)",
        "cost: at most",
        "no price is given",
    ):
        assert told in ended.output
    assert not out.exists()
    report = report_of_an_earlier_build(tmp_path / "earlier")
    ended = CliRunner().invoke(app, [*words, "--dry-run", "--measured", str(report)])
    assert ended.exit_code == 0, ended.output
    for told in ("asked of models, expected", "GPU-hours of editors", "time: about"):
        assert told in ended.output
    ended = CliRunner().invoke(app, [*words, "--measured", str(report)])
    assert ended.exit_code == 2
    assert "--measured works only together with --dry-run" in ended.output
    ended = CliRunner().invoke(app, [*words, "--dry-run", "--measured", str(tmp_path / "none.json")])
    assert ended.exit_code == 2
    assert "none.json" in ended.output
