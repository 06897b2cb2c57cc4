"""The way of docs/red-20k.md on a few photographs: its recipe with the embedded editor, and servers by a script."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from openai_server import Call, OpenAIServer, Say
from typer.testing import CliRunner

from redaes.cli.app import app
from redaes.datagen.editors.parametric import OPERATIONS, make_edit
from redaes.datagen.instructions import STRENGTHS
from redaes.datagen.validation import validate
from redaes.file_writing import read_json
from tests.conftest import synthetic_photograph

PAGE = (Path(__file__).parents[2] / "docs" / "red-20k.md").read_text(encoding="utf-8")
SENTENCES = {
    (operation.factor, word): make_edit(name, strength, 0).instruction
    for name, operation in sorted(OPERATIONS.items(), reverse=True)
    if operation.direction == "degrade"
    for word, strength in STRENGTHS.items()
}


def answered(call: Call) -> Say:
    """A model in all roles of the page: plans what the embedded editor can do, sees it done, and judges by contrast."""
    wishes = re.findall(r"^- (\w+), (\w+), (\w+)$", call.text, re.MULTILINE)
    if wishes:
        found = [
            {"factor": factor, "direction": aim, "strength": strength, "text": SENTENCES[factor, strength]}
            for factor, aim, strength in wishes
            if aim == "degrade" and (factor, strength) in SENTENCES
        ]
        return Say(json.dumps({"instructions": found}))
    if '"executed"' in call.text:
        return Say(json.dumps({"executed": True, "content_kept": True, "artefacts": False, "seen": "It was done."}))
    if '"winner"' not in call.text:
        return Say("I would rather talk about the score.")  # as a writer: the embedded one steps in
    first, second = (float(np.asarray(picture.convert("L")).std()) for picture in call.pictures())
    size = round(min(9.0, abs(first - second) / 12), 1)
    winner = "tie" if size == 0 else "A" if first > second else "B"
    seen: dict[str, Any] = {"observations_a": "Some contrast.", "observations_b": "Some contrast."}
    factors = [] if winner == "tie" else ["light"]
    return Say(json.dumps({**seen, "factors": factors, "winner": winner, "difference": size}))


def recipe(two: tuple[str, ...], one: str) -> dict[str, Any]:
    """The page's, with another editor, smaller pictures, and these servers for those on its ports."""
    (text,) = re.findall(r"^```yaml file=panel.yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    values: dict[str, Any] = yaml.safe_load(text)
    panel = values["panel"]
    assert [len(judge["endpoint"]) for judge in panel["judges"][:1]] == [2]
    for judge, servers in zip(panel["judges"], (list(two), one), strict=True):
        judge["endpoint"] = servers
    panel["editors"] = ["embedded"]
    panel.pop("editor_options")
    panel.pop("editor_devices", None)
    return {**values, "views": 1, "variants": 4, "max_side": 96, "min_side": 128, "test_fraction": 0.34}


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done.output


def test_from_a_list_of_photographs_to_a_set_that_people_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    lines = ["file,licence,source_id"]
    for number in range(6):
        synthetic_photograph(number, 200, 150).save(f"{number}.png")
        lines.append(f"{number}.png,CC-BY-2.0,https://people/{number}")
    Path("list.csv").write_text("\n".join(lines) + "\n")
    build = ("data", "build", "list.csv", "--config", "panel.yaml")
    with OpenAIServer(answered) as one, OpenAIServer(answered) as two, OpenAIServer(answered) as three:
        Path("panel.yaml").write_text(yaml.safe_dump(recipe((one.base_url, two.base_url), three.base_url)))
        run(*build, "--out", "red-open", "--dry-run")
        assert not one.calls + two.calls + three.calls
        run(*build, "--out", "red-pilot", "--max-photographs", "4")
        assert one.calls and two.calls and three.calls  # noqa: PT018  # the servers of a model share its requests
        asked = len(one.calls) + len(two.calls) + len(three.calls)
        assert "expected" in run(*build, "--out", "red-open", "--dry-run", "--measured", "red-pilot/report.json")
        assert len(one.calls) + len(two.calls) + len(three.calls) == asked
        run(*build, "--out", "red-open")
    assert validate(Path("red-open")).wrong == {}
    report = read_json(Path("red-open/report.json"))
    assert sum(report["pairs"].values()) > 12
    run("data", "inspect", "red-open", "--pairs", "200", "--out", "red-open.html")
    run("data", "audit", "red-open", "--pairs", "20", "--out", "audit.html")
    Path("red-open/attribution.csv").write_text("file,author\n")
    run("data", "export", "red-open", "--format", "webdataset", "--out", "red-open-wds")
    assert Path("red-open-wds/train-00000.tar").stat().st_size > 1000
