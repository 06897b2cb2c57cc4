"""The notebooks and the list of the examples, without running them: what they import and type exists."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import redaes
from redaes.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def _cells(notebook: Path, kind: str) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def _code(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.suffix == ".py" else "\n\n".join(_cells(file, "code"))


def _said(file: Path) -> str:
    """What is said to people: a script's docstring, a notebook's texts."""
    if file.suffix == ".py":
        return ast.get_docstring(ast.parse(_code(file))) or ""
    return file.read_text(encoding="utf-8") if file.suffix == ".md" else "\n\n".join(_cells(file, "markdown"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_results(notebook: Path) -> None:
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert (found["nbformat"], found["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"]) > 10
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert _cells(notebook, "markdown")[0].startswith("# ")


def _defined(module: str) -> set[str] | None:
    """Names at the top of a module of redaes; None: there is no such module."""
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        return None
    names = {one.stem for one in path.glob("*.py")} if path.is_dir() else set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names | set(redaes.__all__) if module == "redaes" else names


def _wrong_imports(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            modules = [node.module]
        else:
            continue
        for module in modules:
            top = module.partition(".")[0]
            if top == "redaes":
                known = _defined(module)
                wanted = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
                if known is None or not wanted <= known:
                    yield f"{module}: {', '.join(sorted(wanted - (known or set())))}"
            elif (EXAMPLES / f"{top}.py").is_file():
                wanted = {alias.name for alias in node.names}
                if not all(f"def {name}(" in (EXAMPLES / f"{top}.py").read_text(encoding="utf-8") for name in wanted):
                    yield module
            elif importlib.util.find_spec(top) is None:
                yield module


@pytest.mark.parametrize("file", [*NOTEBOOKS, *SCRIPTS], ids=lambda path: path.name)
def test_what_an_example_imports_exists(file: Path) -> None:
    assert list(_wrong_imports(_code(file))) == []


def test_wrong_imports_are_found() -> None:
    code = (
        "import redaes.nothing\nfrom redaes import nobody\nfrom train_on_picks import nothing\nimport no_such_package"
    )
    assert list(_wrong_imports(code)) == [
        "redaes.nothing: ", "redaes: nobody", "train_on_picks", "no_such_package",
    ]  # fmt: skip


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_asks_of_an_assessor_exists(file: Path) -> None:
    text = _code(file) + _said(file)
    asked = set(re.findall(r"\b[Aa]ssessor\.([a-z_]+)", text))
    assert asked
    assert [name for name in asked if not hasattr(redaes.Assessor, name)] == []


def _wrong_words(line: str) -> list[str]:
    """Of a command line, the subcommands and options that do not exist."""
    words = line.split()[1:]
    command: Any = typer.main.get_command(app)
    wrong = []
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name = "run" if words[0] not in command.commands and "run" in command.commands else words.pop(0)
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    wrong += [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    return wrong


@pytest.mark.parametrize("file", [*NOTEBOOKS, *SCRIPTS, EXAMPLES / "README.md"], ids=lambda path: path.name)
def test_commands_that_examples_name_exist(file: Path) -> None:
    lines = re.findall(r"`(redaes [^`]+)`", _said(file))
    for node in ast.walk(ast.parse(_code(file))) if file.suffix == ".py" else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            lines += re.findall(r"(redaes (?:rank|compare|serve|taste) .*)", node.value)
    assert [(line, _wrong_words(line)) for line in lines if _wrong_words(line)] == []


def test_wrong_commands_are_found() -> None:
    assert _wrong_words("redaes taste learn X --folds 3") == []
    assert _wrong_words("redaes eval red --data X") == []  # a benchmark needs no "run"
    assert _wrong_words("redaes taste lern X") == ["lern"]
    assert _wrong_words("redaes rank X --adaptor y") == ["--adaptor"]


def test_the_list_names_every_example_with_the_command_that_runs_it() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    named = {match.group(1): line for line in rows if (match := re.match(r"\| \[`?([a-z_.]+)`?\]\(\1\)", line))}
    assert sorted(named) == sorted(file.name for file in (*NOTEBOOKS, *SCRIPTS))
    for file in SCRIPTS:
        assert f"python examples/{file.name}" in named[file.name]
