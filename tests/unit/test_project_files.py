"""What stands around the code: workflows name targets that exist, versions agree, a release is refused in words."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_checks", ROOT / "release" / "checks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def targets() -> set[str]:
    rules = re.findall(r"^([a-z][a-z0-9\- ]*):(?!=)", (ROOT / "Makefile").read_text(), re.M)
    return {name for rule in rules for name in rule.split()}


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_run_targets_of_the_makefile_and_may_only_read(workflow: Path) -> None:
    found = yaml.safe_load(workflow.read_text())
    assert found["permissions"] == {"contents": "read"}
    for job in found["jobs"].values():
        assert job["timeout-minutes"] <= 180
        runs = [step["run"] for step in job["steps"] if "run" in step]
        assert runs
        for words in (run.split() for run in runs):
            assert words[0] == "make"
            assert set(words[1:]) <= targets()


def test_pages_are_tested_in_the_slow_tier_and_by_themselves() -> None:
    makefile = (ROOT / "Makefile").read_text()
    runs = dict(re.findall(r"^(test-slow|test-browser):.*\n((?:\t.*\n)+)", makefile, re.M))
    assert '-m "(slow or browser)' in runs["test-slow"]
    assert "-m browser" in runs["test-browser"]
    assert all("tests/integration/chromium.py" in run for run in runs.values())
    assert re.search(r'^NOT_HERE := -m ".*not browser', makefile, re.M)


def test_a_chromium_is_found_by_its_names_or_its_remedy_is_named(tmp_path: Path) -> None:
    def asked(**variables: str) -> subprocess.CompletedProcess[str]:
        script = ROOT / "tests" / "integration" / "chromium.py"
        environment = {"PATH": str(tmp_path), **variables}
        return subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)

    absent = asked()
    assert absent.returncode == 1
    assert "sudo apt-get install chromium" in absent.stderr
    assert "sudo dnf install chromium" in absent.stderr
    for name in ("google-chrome", "chromium-browser", "chromium"):  # the later is preferred
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        assert asked().stdout.strip() == str(program)
    assert asked(REDAES_CHROMIUM="/opt/chrome").stdout.strip() == "/opt/chrome"


def test_the_versions_that_are_tested_are_those_that_contributing_names() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    tested = jobs["test"]["strategy"]["matrix"]["python"]
    assert f"({tested[0]} to {tested[-1]})" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_ask_for_something(form: Path) -> None:
    found = yaml.safe_load(form.read_text())
    assert found["name"]
    assert found["description"]
    asked = [part for part in found["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_citation_has_the_version_of_the_package(checks: ModuleType) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == checks.version_of(ROOT)
    assert cited["license"] == "Apache-2.0"


@pytest.fixture
def checkout(tmp_path: Path, checks: ModuleType) -> Path:
    """A tree that may be released."""
    for name, text in {
        "pyproject.toml": '[project]\nversion = "1.2.0"\n',
        "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-02\n\n- More.\n\n## 1.1.0\n",
        "CITATION.cff": "version: 1.2.0\n",
        **dict.fromkeys(checks.CARDS, "---\nlicense: apache-2.0\npipeline_tag: image-text-to-text\n---\n"),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "all")):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def test_what_agrees_may_be_released(checkout: Path, checks: ModuleType) -> None:
    assert list(checks.what_is_wrong(checkout)) == []


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n- New.\n", "has changes under [Unreleased]; move them"),
        ("CHANGELOG.md", "## [Unreleased]\n", "", "has no section [Unreleased]"),
        ("CHANGELOG.md", "[1.2.0]", "[1.3.0]", "the newest version in CHANGELOG.md is 1.3.0, pyproject.toml has 1.2.0"),
        ("CHANGELOG.md", " - 2026-01-02", "", "gives 1.2.0 no date"),
        ("CITATION.cff", "1.2.0", "1.1.0", "CITATION.cff does not state version 1.2.0"),
        ("redaes/models/nano/base/README.md", "license: apache-2.0\n", "", "base/README.md states no license"),
    ],
)
def test_what_does_not_agree_is_named(
    checkout: Path, checks: ModuleType, file: str, before: str, after: str, message: str
) -> None:
    text = (checkout / file).read_text()
    assert before in text
    (checkout / file).write_text(text.replace(before, after))
    wrong = list(checks.what_is_wrong(checkout))
    assert any(message in line for line in wrong)
    assert any("in no commit (1 files)" in line for line in wrong)
    assert len(wrong) == 2


def test_a_folder_without_what_was_built_is_refused(checkout: Path, checks: ModuleType, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "other.whl").touch()
    assert list(checks.what_is_missing(checkout, dist)) == [
        f"{dist} does not hold redaes-1.2.0-py3-none-any.whl and redaes-1.2.0.tar.gz alone; run make dist"
    ]
