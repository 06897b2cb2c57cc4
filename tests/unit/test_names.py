"""One name, one idea: no public class is defined twice in the package."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _classes(source: str) -> list[str]:
    """The public classes of a module, those inside others left out."""
    return [
        node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def _twice(files: dict[str, str]) -> dict[str, list[str]]:
    """Names of public classes that several modules define, with these modules."""
    found = defaultdict(list)
    for path, source in sorted(files.items()):
        for name in _classes(source):
            found[name].append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_no_public_class_has_the_name_of_another() -> None:
    package = ROOT / "redaes"
    files = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    assert len(files) > 100
    assert _twice(files) == {}


def test_a_name_that_is_defined_twice_is_found() -> None:
    files = {"a.py": "class Answer: ...\nclass _Own: ...", "b.py": "class Answer: ...\nclass _Own: ..."}
    assert _twice(files) == {"Answer": ["a.py", "b.py"]}


def test_the_glossary_explains_words_that_the_package_uses() -> None:
    """Each entry's word is found in the sources: the list is of words that are there, not of those that were."""
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = [line.split("|")[1] for line in page.splitlines() if line.startswith("| **")]
    words = [word for entry in entries for word in re.findall(r"\*\*(.+?)\*\*", entry)]
    assert len(words) >= 20
    sources = " ".join(path.read_text(encoding="utf-8").lower() for path in (ROOT / "redaes").rglob("*.py"))
    sources = sources.replace("_", " ")
    assert [word for word in words if word.lower() not in sources] == []
