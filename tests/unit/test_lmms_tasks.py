"""The task files for lmms-eval: read as it reads them, their functions run on pictures and answers."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from redaes import answers, prompts
from redaes.errors import InputError
from redaes.evaluation.benchmarks import load
from redaes.evaluation.lmms_tasks import rows_of

TASKS = Path(__file__).parents[2] / "eval" / "lmms_eval"


class Loader(yaml.SafeLoader):
    """YAML with ``!function module.name``, a module beside the file, as in lmms-eval's task guide."""


def _function(loader: Loader, node: yaml.ScalarNode) -> Any:
    module, name = str(loader.construct_scalar(node)).rsplit(".", 1)
    spec = importlib.util.spec_from_file_location(module, TASKS / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)


Loader.add_constructor("!function", _function)


def read_task(name: str) -> dict[str, Any]:
    task = yaml.load((TASKS / f"{name}.yaml").read_text(encoding="utf-8"), Loader)
    template = yaml.load((TASKS / task.pop("include")).read_text(encoding="utf-8"), Loader)
    return {**template, **task}


def aggregated(task: dict[str, Any], docs: list[dict[str, Any]], said: list[str]) -> dict[str, float]:
    """What lmms-eval would report: each measure's function over what process_results returned for it."""
    found: dict[str, list[Any]] = {}
    for doc, text in zip(docs, said, strict=True):
        for measure, item in task["process_results"](doc, [text]).items():
            found.setdefault(measure, []).append(item)
    assert set(found) == {one["metric"] for one in task["metric_list"]}
    return {one["metric"]: one["aggregation"](found[one["metric"]]) for one in task["metric_list"]}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for k, name in enumerate("abcd"):
        Image.new("RGB", (16 + k, 12), (60 * k, 0, 0)).save(tmp_path / f"{name}.png")
    (tmp_path / "pairs.csv").write_text(
        "first,second,p\na.png,b.png,0.9\nb.png,c.png,0.2\na.png,d.png,0.7\nc.png,d.png,0.5\n"
    )
    (tmp_path / "scores.csv").write_text("image,score\na.png,1\nb.png,2\nc.png,3\nd.png,4\n")
    return tmp_path


def test_pairs_in_both_orders(pictures: Path) -> None:
    task = read_task("redaes_red_pairs")
    docs = [json.loads(json.dumps(row)) for row in rows_of(load("pairs", pictures / "pairs.csv"))]
    assert [doc["order"] for doc in docs] == ["forward", "swapped"] * 4
    assert docs[1]["p"] == pytest.approx(1 - docs[0]["p"])
    assert [image.size for image in task["doc_to_visual"](docs[1])] == [(17, 12), (16, 12)]
    text = task["doc_to_text"](docs[0], {})
    assert text.count("<image>") == 2
    assert "{{" not in text
    assert answers.WINNER_PREFIX in text
    chat = task["doc_to_messages"](docs[0], {})
    parts = chat[0]["content"]
    assert [part["url"].size for part in parts if part["type"] == "image"] == [(16, 12), (17, 12)]
    bare = [{key: value for key, value in part.items() if key != "url"} for part in parts]
    assert bare == prompts.load(prompts.COMPARE["fast"]).messages()[0]["content"]
    assert [task["doc_to_target"](doc) for doc in docs] == ["A", "B", "B", "A", "A", "B", "tie", "tie"]
    a, b = "Winner: A\nDifference: +2.0", "Winner: B\nDifference: -1.0"
    # The first pair right in both orders; the second always "A", the larger difference where that is right; the third
    # without an answer; the fourth has no better side and does not count.
    said = [a, b, "Winner: A\nDifference: +0.5", a, "a is nicer", "", b, a]
    found = aggregated(task, docs, said)
    assert found["pair_accuracy"] == pytest.approx(2 / 3)
    assert found["swap_consistency"] == pytest.approx(2 / 4)
    assert found["parse_failure_rate"] == pytest.approx(2 / 8)
    # First better: 2 labelled, 1 named, 1 right; second better: 1 labelled, 1 named, 1 right.
    assert found["pair_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_scores(pictures: Path) -> None:
    task = read_task("redaes_ava_score")
    docs = list(rows_of(load("scores", pictures / "scores.csv")))
    assert task["doc_to_visual"](docs[2])[0].size == (18, 12)
    assert task["doc_to_text"](docs[0], {}).count("<image>") == 1
    assert task["doc_to_messages"](docs[3], {})[0]["content"][1]["url"].size == (19, 12)
    assert docs[1][task["doc_to_target"]] == 2.0
    found = aggregated(task, docs, ["Score: 3", "Score: 4", "Score: 8", "eight"])
    assert found["srcc"] == pytest.approx(1.0 * 3 / 4)  # the failure counts as placed at random
    assert 0.7 < found["plcc"] < 0.75
    assert found["parse_failure_rate"] == 0.25
    assert math.isnan(aggregated(task, docs, ["Score: 3"] * 4)["srcc"])


def test_what_cannot_be_shown_is_refused(pictures: Path) -> None:
    (pictures / "b.png").unlink()
    with pytest.raises(InputError, match=r"1 pictures of .* such as b\.png; give --pictures"):
        list(rows_of(load("scores", pictures / "scores.csv")))


def test_the_script_writes_what_the_task_reads(pictures: Path) -> None:
    spec = importlib.util.spec_from_file_location("prepare", TASKS / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    out = pictures / "redaes_ava_score.jsonl"
    prepare.main(prepare.parse_args(["scores", "--data", str(pictures / "scores.csv"), "--out", str(out)]))
    assert read_task("redaes_ava_score")["dataset_kwargs"]["data_files"]["test"] == out.name
    docs = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(doc["id"], doc["score"]) for doc in docs] == [("a.png", 1), ("b.png", 2), ("c.png", 3), ("d.png", 4)]
    assert all(Path(doc["image"]).is_absolute() for doc in docs)


def test_lmms_eval_itself_reads_and_runs_them(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lmms_eval")
    from lmms_eval.api.task import ConfigurableTask
    from lmms_eval.utils import load_yaml_config

    monkeypatch.chdir(pictures)
    (pictures / "redaes_red_pairs.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows_of(load("pairs", pictures / "pairs.csv")))
    )
    config = load_yaml_config(str(TASKS / "redaes_red_pairs.yaml"))
    config["dataset_kwargs"]["cache_dir"] = str(pictures / "cache")
    task = ConfigurableTask(config=config, model_name="qwen3_vl")
    docs = list(task.test_docs())
    assert len(docs) == 8
    assert task.doc_to_text(docs[0]) == read_task("redaes_red_pairs")["doc_to_text"](docs[0], {})
    assert [image.size for image in task.doc_to_visual(docs[0])] == [(16, 12), (17, 12)]
    items = [task.process_results(doc, ["Winner: A\nDifference: +1.0"]) for doc in docs]
    assert task.aggregation()["swap_consistency"]([item["swap_consistency"] for item in items]) == 0.0
    assert task.aggregation()["pair_accuracy"]([item["pair_accuracy"] for item in items]) == 0.0
