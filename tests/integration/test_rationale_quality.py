"""The script that holds a model's reasons against the pixels: a server that argues with the pixels, or against them."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from openai_server import Call, OpenAIServer, Say
from PIL import Image

from redaes.errors import InputError

ROOT = Path(__file__).parents[2]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rationale_quality", ROOT / "eval" / "rationale_quality.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _level(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L"), dtype=float).mean())


@pytest.mark.parametrize("honest", [True, False])
def test_a_server_is_asked_and_its_reasons_are_measured(
    red_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], honest: bool
) -> None:
    def say(call: Call) -> Say:
        """The brighter picture is better, and is said to be brighter, or darker."""
        asked = replace(call, body={"messages": call.body["messages"][:1]})  # without the answer that is begun
        first, second = (_level(picture) for picture in asked.pictures())
        better, sign, worse = ("A", "+", "B") if first > second else ("B", "-", "A")
        if call.body["messages"][-1]["role"] == "assistant":
            return Say(f" {better}", top=[{f" {better}": -0.1, f" {worse}": -2.5, " tie": -5.0}])
        said = f"{better if honest else worse} is brighter."
        return Say(
            f"<rationale>\n{said} Decisive: light, better in {better}.\n</rationale>\nWinner: {better}\n"
            f"Difference: {sign}2.0"
        )

    script = _script()
    with OpenAIServer(say) as server:
        words = [str(red_folder), "--url", server.base_url, "--model", "judge", "--pairs", "6", "--out", str(tmp_path)]
        script.main(script.parse_args(words))
        n_calls = len(server.calls)
        script.main(script.parse_args(words))
        assert len(server.calls) == n_calls  # every answer was kept
    truth = json.loads((tmp_path / "truth.json").read_text())
    for level in ("answers", "shown"):
        found = truth[level]
        assert found["n"] == (12 if level == "answers" else 6)
        supported, contradicted = found["by_quantity"]["brightness"]
        # Where both are equally bright to the eye, nothing is brighter.
        assert (supported > contradicted) is honest
        assert found["measurable"]["value"] > 0.3
    claims = json.loads((tmp_path / "claims.json").read_text())
    assert len(claims) == 6
    page = (tmp_path / "report.html").read_text()
    assert page.count("<details") >= 6
    printed = capsys.readouterr().out
    assert "claims_true" in printed
    assert "undecided" in printed


def test_a_server_and_an_adapter_are_refused(red_folder: Path, tmp_path: Path) -> None:
    script = _script()
    words = [
        str(red_folder),
        "--url",
        "http://127.0.0.1:1/v1",
        "--model",
        "m",
        "--adapter",
        "x",
        "--out",
        str(tmp_path),
    ]
    with pytest.raises(InputError, match="and no --adapter"):
        script.main(script.parse_args(words))
