"""Errors raised on purpose: what a missing package says, and what a script does with one."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from redaes import errors
from redaes.cli.running import reporting_errors
from redaes.errors import MIN_PYTHON, InputError, MissingDependency, importing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def python_3_10(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(version_info=(3, 10, 13, "final", 0), stderr=sys.stderr, exit=sys.exit)
    monkeypatch.setattr(errors, "sys", old)


def test_a_missing_package_names_its_line() -> None:
    assert str(MissingDependency("trl", "train")) == "trl is not installed; run: pip install 'redaes[train]'"
    assert str(MissingDependency("pyiqa", None)) == "pyiqa is not installed; run: pip install pyiqa"


@pytest.mark.parametrize("extra", sorted(MIN_PYTHON))
def test_a_python_that_is_too_old_is_named(extra: str, python_3_10: None) -> None:
    said = str(MissingDependency("trl", extra))
    assert f"pip install 'redaes[{extra}]' with Python 3.11 or later (this is 3.10.13" in said


def test_what_the_old_python_can_have_is_named_as_ever(python_3_10: None) -> None:
    assert str(MissingDependency("cv2", "edit")) == "cv2 is not installed; run: pip install 'redaes[edit]'"
    assert str(MissingDependency("pyiqa", None)) == "pyiqa is not installed; run: pip install pyiqa"


def _absent() -> None:
    raise ModuleNotFoundError("No module named 'trl.trainer'", name="trl.trainer")


def test_a_script_without_its_packages_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, reporting_errors(), importing("train"):
        _absent()
    assert left.value.code == 4
    assert capsys.readouterr().err == "redaes: trl is not installed; run: pip install 'redaes[train]'\n"


def test_what_is_absent_is_found_behind_the_error_of_a_library() -> None:
    def import_lazily() -> None:
        try:
            _absent()
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("Could not import module 'TrainingArguments'.") from error

    with pytest.raises(MissingDependency, match="trl is not installed"), importing("train"):
        import_lazily()


def test_a_fault_of_our_own_is_no_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such"), importing("train"):
        import redaes.no_such  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name"), importing("train"):
        from redaes.errors import no_such  # type: ignore[attr-defined]  # noqa: F401


def test_a_script_that_is_refused_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, reporting_errors():
        raise InputError("no such folder")
    assert left.value.code == 2
    assert capsys.readouterr().err == "redaes: no such folder\n"


def test_an_interrupt_says_that_the_same_command_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, reporting_errors(resumable=True):
        raise KeyboardInterrupt
    assert left.value.code == 130
    assert capsys.readouterr().err == "interrupted; the same command continues from here\n"
    with pytest.raises(KeyboardInterrupt), reporting_errors():
        raise KeyboardInterrupt


SCRIPTS = sorted(path for folder in ("stages", "data_gen", "eval") for path in (ROOT / folder).glob("*.py"))
OPTIONAL = re.compile(r"redaes\.(training|models|datagen|evaluation)\b|transformers|trl|datasets")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_what_may_be_absent_in_that_way(script: Path) -> None:
    """What stands at the top of a module, outside ``with importing(...)``, is there with the core alone."""
    top = ast.parse(script.read_text(encoding="utf-8")).body
    names = [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in names if OPTIONAL.match(name)] == []


WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys(("accelerate", "datasets", "trl"), None))
sys.path.insert(0, {root!r})
runpy.run_path({script!r}, run_name="__main__")
"""


def test_a_stage_without_its_packages_names_the_line() -> None:
    code = WITHOUT.format(root=str(ROOT), script=str(ROOT / "stages" / "stage1_sft.py"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 4, done.stderr
    assert re.fullmatch(r"redaes: \w+ is not installed; run: pip install 'redaes\[train\]'", done.stderr.strip())


def test_doctests() -> None:
    result = doctest.testmod(errors)
    assert result.failed == 0
    assert result.attempted >= 1
