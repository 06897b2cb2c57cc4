"""The documentation's pages: all of docs/ and of the commands, in the navigation, with links that lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml

from redaes.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "release" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(pages_module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("site") / "pages"
    assert pages_module.write_pages(out) == len(list(out.rglob("*.md")))
    return out


def named(nav: Any) -> list[str]:
    """The files of a navigation."""
    if isinstance(nav, str):
        return [nav]
    return [name for part in (nav.values() if isinstance(nav, dict) else nav) for name in named(part)]


def test_the_navigation_has_each_page_once(pages: Path) -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(named(nav)) == sorted(page.relative_to(pages).as_posix() for page in pages.rglob("*.md"))


def test_links_lead_to_pages(pages: Path) -> None:
    for page in pages.rglob("*.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target:
                assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_every_command_stands_there_with_what_it_takes(pages: Path) -> None:
    text = (pages / "reference" / "commands.md").read_text()

    def check(command: Any, words: str) -> None:
        if words != "redaes":
            assert f"\n## {words}\n" in text
        for one in command.params if words != "redaes" else ():
            if one.param_type_name == "option" and one.name != "help" and not one.hidden:
                assert f"`{one.opts[0]}" in text
        for name, inner in getattr(command, "commands", {}).items():
            check(inner, f"{words} {name}")

    check(typer.main.get_command(app), "redaes")
    assert "| `--write-xmp` | Write .xmp sidecars with rating, label and pick." in text


def test_settings_of_stages_and_all_recipes_stand_there(pages: Path) -> None:
    text = (pages / "reference" / "settings.md").read_text()
    assert "| `lora_r` | Rank of the LoRA. The default is that of the adapter, or else 16. | `None` |" in text
    for folder in ("stages", "data_gen", "eval"):
        for recipe in (ROOT / folder / "configs").glob("*.yaml"):
            assert f'??? note "{recipe.stem}"' in text


def test_another_folder_is_left_alone(
    pages_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").touch()
    monkeypatch.setattr("sys.argv", ["site_pages.py", str(tmp_path)])
    assert pages_module.main() == 2
    assert "holds no pages" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").exists()
