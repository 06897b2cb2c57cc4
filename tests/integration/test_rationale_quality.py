"""``redaes eval rationales``: a server whose reasons agree with the pixels, or argue against them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from openai_server import Call, OpenAIServer, Say
from PIL import Image
from typer.testing import CliRunner

from redaes.cli.app import app


def _level(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L"), dtype=float).mean())


@pytest.mark.parametrize("honest", [True, False])
def test_a_server_is_asked_and_its_reasons_are_measured(red_folder: Path, tmp_path: Path, honest: bool) -> None:
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

    with OpenAIServer(say) as server:
        words = ["eval", "rationales", str(red_folder), "--endpoint", server.base_url, "--model", "judge"]
        words += ["--pairs", "6", "--out", str(tmp_path)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        n_calls = len(server.calls)
        assert CliRunner().invoke(app, words).exit_code == 0
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
    assert "claims_true" in done.stdout
    assert "undecided" in done.stdout


def test_a_server_and_an_adapter_are_refused(red_folder: Path, tmp_path: Path) -> None:
    words = ["--endpoint", "http://127.0.0.1:1/v1", "--model", "m", "--adapter", "x", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["eval", "rationales", str(red_folder), *words])
    assert done.exit_code == 2
    assert "--adapter is only for a model that is loaded in this process" in done.stderr
