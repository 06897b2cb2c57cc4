"""One definition of each command: the scripts start the commands, and what help says is what the package has."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from redaes.cli.app import EVAL, app
from redaes.cli.several_words import spread
from redaes.datagen import pipeline
from redaes.datagen.series.building import BuildSettings
from redaes.evaluation import leaks, runner
from redaes.evaluation.assessors import ASSESSORS
from redaes.evaluation.benchmarks import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {
    "data_gen/build_pairs.py": ["data", "build"],
    "data_gen/build_series.py": ["data", "series"],
    "eval/calibrate.py": ["eval", "calibrate"],
    "eval/check_leaks.py": ["eval", "leaks"],
    "eval/compare_runs.py": ["eval", "compare"],
    "eval/probe_robustness.py": ["eval", "probes"],
    "eval/rationale_quality.py": ["eval", "rationales"],
    "eval/run_benchmark.py": ["eval"],
}
"""Each with the command that it is."""


def say(*words: str) -> str:
    """What the command line answers, in one line."""
    done = CliRunner().invoke(app, words, prog_name="redaes")
    assert done.exit_code == 0, done.output
    return re.sub(r"[\s│]+", " ", done.stdout)


def test_every_script_is_a_command() -> None:
    found = {f"{folder}/{path.name}" for folder in ("data_gen", "eval") for path in (ROOT / folder).glob("*.py")}
    assert found == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_the_options_of_its_command(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert left.value.code == 0
    assert re.sub(r"[\s│]+", " ", capsys.readouterr().out) == say(*SCRIPTS[script], "--help")


def test_help_says_what_the_package_has() -> None:
    said = say("eval", "--help")
    assert f"{', '.join(list(ASSESSORS)[:-1])} or {list(ASSESSORS)[-1]}. The default is vlm, or vlm_pairs for" in said
    assert f"default is {leaks.MAX_DISTANCE}." in say("eval", "leaks", "--help")
    said = say("data", "series", "--help")
    for default in (BuildSettings().margin, BuildSettings().test_fraction):
        assert f"default is {default}." in said


def test_a_benchmark_need_not_be_introduced() -> None:
    assert say("eval", "run", "--help") == say("eval", "--help")
    commands = {*EVAL, "run", "probes"}
    assert not commands & set(BENCHMARKS)
    for name in commands - {"run"}:
        assert f"redaes eval {name}" in say("eval", "--help")


@pytest.mark.parametrize(
    ("words", "completed"),
    [("redaes eval comp", "compare"), ("redaes eval --lis", "--list"), ("redaes eval ava --dat", "--data")],
)
def test_the_shell_completes_what_follows_eval(words: str, completed: str) -> None:
    asked = {"_REDAES_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    assert CliRunner().invoke(app, [], prog_name="redaes", env=asked).stdout.split() == [completed]


def test_an_option_may_take_several_words() -> None:
    assert spread(["--natural", "a", "b", "--out", "c", "d", "--cropping=e", "--aigc"]) == [
        "--natural", "a", "--natural", "b", "--out", "c", "d", "--cropping=e", "--aigc"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (pipeline, "build", ["data", "build"]),
        (runner, "run", ["eval", "scores", "--data", "scores.csv"]),
    ],
)
def test_an_interrupt_says_that_the_same_command_goes_on(
    module: Any, name: str, words: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, interrupt)
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.stderr) == (130, "interrupted; the same command continues from here\n")


def test_python_runs_the_package() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "redaes", "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout
