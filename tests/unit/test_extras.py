"""The extras: declared in pyproject.toml, explained in docs/install.md, looked at by the doctor, named in messages."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement

from redaes import doctor, errors
from redaes.serving import vllm_versions

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PLACES = ("redaes", "benchmarks", "examples", "stages", "data_gen", "eval", "docs", "README.md")
SPOKEN = re.compile(r"redaes\[([a-z,\s]+)\]")


def sources(*suffixes: str) -> Iterator[Path]:
    for place in PLACES:
        path = ROOT / place
        yield from ([path] if path.is_file() else (one for one in path.rglob("*") if one.suffix in suffixes))


def named_in_code() -> Iterator[tuple[str, str]]:
    """Of each call that names an extra: where, and which."""
    places = {"MissingDependency": 1, "importing": 0, "install_line": 1}
    for file in (one for one in sources(".py") if one.suffix == ".py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in places:
                place = places[node.func.id]
                if len(node.args) > place and isinstance(extra := node.args[place], ast.Constant) and extra.value:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", extra.value


def test_the_install_page_explains_every_extra_and_no_other() -> None:
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    table = text[text.index("| extra | brings |") :]
    rows = table[: table.index("\n\n")].splitlines()[2:]
    explained = [name for row in rows for name in re.findall(r"`([a-z]+)`", row.split("|")[1])]
    assert sorted(explained) == sorted(EXTRAS)


def test_what_messages_tell_people_to_install_exists() -> None:
    found = list(named_in_code())
    assert len(found) > 30  # they are found at all
    assert [(where, extra) for where, extra in found if extra not in EXTRAS] == []


@pytest.mark.parametrize("suffixes", [(".py",), (".md",), (".html", ".yaml")], ids=str)
def test_every_line_that_installs_an_extra_names_one_that_exists(suffixes: tuple[str, ...]) -> None:
    wrong = []
    for file in sources(*suffixes):
        for match in SPOKEN.finditer(file.read_text(encoding="utf-8")):
            for extra in re.split(r",\s*", match.group(1)):
                if extra not in EXTRAS:
                    wrong.append((file.relative_to(ROOT), extra))
    assert wrong == []


def test_an_extra_that_includes_others_includes_known_ones() -> None:
    for lines in EXTRAS.values():
        for line in lines:
            needed = Requirement(line)
            assert needed.name != "redaes" or needed.extras <= EXTRAS.keys()


def test_extras_that_want_a_later_python_are_declared() -> None:
    assert errors.MIN_PYTHON.keys() <= EXTRAS.keys()


def flattened(extra: str) -> Iterator[Requirement]:
    """What an extra brings, those that it names among it, as the installed package lists it."""
    for needed in map(Requirement, EXTRAS[extra]):
        if needed.name == "redaes":
            for other in sorted(needed.extras):
                yield from flattened(other)
        else:
            yield needed


def test_the_doctor_looks_at_every_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [*PROJECT["dependencies"]]
    for extra in EXTRAS:
        for needed in flattened(extra):
            also = f" and ({needed.marker})" if needed.marker else ""
            lines.append(f"{needed.name}{needed.specifier} ; extra == '{extra}'{also}")
    about = Message()
    for extra in EXTRAS:
        about["Provides-Extra"] = extra
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: lines)
    monkeypatch.setattr(doctor.metadata, "metadata", lambda _: about)
    monkeypatch.setattr(doctor.nano, "weights", lambda: None)
    monkeypatch.setattr(doctor, "_device", lambda: "cpu")
    monkeypatch.setattr(doctor, "_found", lambda _: None)
    monkeypatch.setattr(doctor, "find_servers", lambda _ports: ())
    parts = {part.name: part for part in doctor.examine().parts}
    assert parts.keys() == {doctor.CORE, *EXTRAS}
    for extra, part in parts.items():
        assert part.packages, extra
        assert extra == doctor.CORE or f"redaes[{extra}]" in (part.remedy or "")
    assert Requirement(EXTRAS["all"][0]).extras <= set(parts["all"].includes)
    assert parts["vllm"].includes == ("serve",)
    assert parts["vllm"].absent_here == (() if sys.platform == "linux" else ("vllm",))


@pytest.mark.skipif(sys.platform != "linux", reason="vLLM runs on Linux")
@pytest.mark.parametrize(
    ("torch", "transformers", "vllm", "words"),
    [
        (
            "2.13.0+cpu",
            "5.17.0",
            None,
            "version 0.31 or 0.32 fits torch 2.13.0+cpu and transformers 5.17.0: pip install",
        ),
        ("2.15.0", "5.24.0", None, "no version fits torch 2.15.0 and transformers 5.24.0, and pip would change them"),
        ("2.13.0", "5.17.0", "0.31.0+cpu", "0.31.0+cpu is installed; redaes serve --vllm starts it"),
        ("2.13.0", "5.17.0", "0.30.0", "0.30.0 is installed, but redaes was not tested with it"),
        (None, None, None, "version 0.31 or 0.32 or 0.33 fits the installed packages"),
    ],
)
def test_the_doctor_says_which_vllm_fits(
    torch: str | None, transformers: str | None, vllm: str | None, words: str
) -> None:
    said = doctor.vllm_advice({"torch": torch, "transformers": transformers}, vllm)
    assert said.startswith(words)
    assert ("vllm-env/bin/pip install 'redaes[vllm]'" in said) == (vllm is None or not vllm_versions.fits(vllm))


def test_all_is_all_but_what_the_install_page_leaves_out() -> None:
    (line,) = EXTRAS["all"]
    apart = {"all", "vllm", "liger", "tensorboard", "trackio", "wandb", "dev", "docs", "browser"}
    assert Requirement(line).extras == EXTRAS.keys() - apart


def test_the_range_of_vllm_is_said_once() -> None:
    declared = [one for one in map(Requirement, EXTRAS["vllm"]) if one.name == "vllm"]
    assert [one.specifier for one in declared] == [vllm_versions.FITTING]
    assert all(vllm_versions.fits(f"{one.series}.0") for one in vllm_versions.SERIES)
    assert not vllm_versions.fits("0.34.0")
    assert not vllm_versions.fits("nonsense")


def test_the_vllm_that_fits_goes_by_torch_and_transformers() -> None:
    def series(torch: str | None, transformers: str | None) -> list[str]:
        return [one.series for one in vllm_versions.series_for({"torch": torch, "transformers": transformers})]

    assert series("2.13.0+cpu", "5.17.0") == ["0.31", "0.32"]
    assert series("2.13.0", "5.19.2") == ["0.32"]
    assert series("2.14.0", "5.20.2") == ["0.33"]
    assert series("2.15.0", "5.17.0") == []
    assert series("2.13.0", "5.24.0") == []
    assert series(None, None) == ["0.31", "0.32", "0.33"]
