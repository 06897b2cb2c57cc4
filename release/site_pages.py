"""The pages that the site is made of: those of docs/, and those that stand in no file (commands, settings, Python).

    python release/site_pages.py build/docs

`make docs` calls it before MkDocs. It imports the command line only, which loads no torch.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BESIDE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
"""Files beside README.md that become pages."""

RECIPES = {
    "Recipes of the stages": "stages/configs",
    "Recipes of the builder": "data_gen/configs",
    "Recipes of evaluations": "eval/configs",
    "Launch configurations": "accelerate_configs",
}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def write_pages(out: Path) -> int:
    """Write all pages and pictures into a folder, which is emptied before.

    Returns:
        How many pages there are.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out)
    for file in out.glob("*.md"):
        file.write_text(_linked(file.read_text(encoding="utf-8"), "docs"), encoding="utf-8")
    for file, page in BESIDE.items():
        (out / page).write_text(_linked((ROOT / file).read_text(encoding="utf-8"), "."), encoding="utf-8")
    (out / "reference").mkdir()
    for name, lines in {"commands": _commands(), "settings": _settings(), "python": _python()}.items():
        (out / "reference" / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    return sum(1 for _ in out.rglob("*.md"))


def _linked(text: str, folder: str) -> str:
    """A page's text, whose links to files of the checkout that are no pages become their paths."""

    def mended(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return link[0]
        path = (ROOT / folder / target).resolve()
        inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else target
        if inside in BESIDE:
            return f"[{words}]({BESIDE[inside]}{anchor})"
        if inside == "README.md":
            return f"[{words}](index.md)"
        if inside.startswith("docs/"):
            return f"[{words}]({inside.removeprefix('docs/')}{anchor})"
        return f"{words} (`{inside}`)" if path.exists() else link[0]  # MkDocs names what leads nowhere

    return _LINK.sub(mended, text)


def _commands() -> Iterator[str]:
    import typer

    from redaes.cli.app import app

    yield "# Commands\n"
    yield "What `--help` says of each command, on one page. Arguments in capitals stand where they are shown.\n"
    yield from _command(typer.main.get_command(app), "redaes")


def _command(command: Any, words: str) -> Iterator[str]:
    inner = {name: one for name, one in getattr(command, "commands", {}).items() if not one.hidden}
    if words != "redaes":
        yield f"## {words}\n"
        yield f"{(command.help or '').strip()}\n"
        shown = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
        arguments = [one for one in shown if one.param_type_name == "argument"]
        usage = [words, *(f"[{_name(one)}]" if not one.required else _name(one) for one in arguments)]
        if not inner:
            options = ["[OPTIONS]"] if len(shown) > len(arguments) else []
            yield f"```\n{' '.join([*usage, *options])}\n```\n"
        if shown:
            yield "| | | default |\n|---|---|---|"
            for one in shown:
                yield f"| {_spelling(one)} | {_cell(one.help or '')} | {_default(one)} |"
            yield ""
        if command.epilog:
            yield f"{command.epilog}\n"
    for name, one in inner.items():
        yield from _command(one, f"{words} {name}")


def _name(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.nargs != -1 or name.endswith("...") else f"{name}..."


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_name(parameter)}`"
    value = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar or parameter.name.upper()}"
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name}{value}`" for name in names)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "needed"
    if isinstance(getattr(parameter, "show_default", None), str):
        return _cell(parameter.show_default)
    value = parameter.default
    if value is None or value == () or value is False or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _settings() -> Iterator[str]:
    yield "# Settings and recipes\n"
    yield (
        "A stage takes the options below as `--name value` or as `name: value` of a YAML recipe, and all options of "
        "the trainer that it is built on. `redaes train --list` shows the recipes that are in the package.\n"
    )
    for file in sorted((ROOT / "redaes" / "training").glob("*.py")):
        for found in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(found, ast.ClassDef) and (rows := list(_options(found))):
                yield f"## {found.name}\n\n{(ast.get_docstring(found) or '').partition(chr(10))[0]}\n"
                yield "| | | default |\n|---|---|---|"
                yield from rows
                yield ""
    for title, folder in RECIPES.items():
        yield f"## {title}\n"
        for file in sorted((ROOT / folder).glob("*.yaml")):
            text = file.read_text(encoding="utf-8").rstrip()
            yield f'??? note "{file.stem}"\n' + "\n".join(
                f"    {line}".rstrip() for line in ["```yaml", *text.splitlines(), "```"]
            )
            yield ""


def _options(found: ast.ClassDef) -> Iterator[str]:
    """Rows of a dataclass whose fields carry a help text."""
    for line in found.body:
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)):
            continue
        parts = {part.arg: part.value for part in getattr(line.value, "keywords", [])}
        metadata = parts.get("metadata")
        if not isinstance(metadata, ast.Dict):
            continue
        said = {ast.literal_eval(key): value for key, value in zip(metadata.keys, metadata.values, strict=True) if key}
        if "help" not in said:
            continue
        text = said["help"]
        words = ast.literal_eval(text) if isinstance(text, ast.Constant) else ast.unparse(text)
        default = parts.get("default")
        yield f"| `{line.target.id}` | {_cell(words)} | {f'`{ast.unparse(default)}`' if default else ''} |"


def _python() -> Iterator[str]:
    import redaes

    yield "# Python\n"
    yield "What is meant to be used is a name of `redaes` itself. [From Python](../python.md) shows it at work.\n"
    for name, module in redaes._HOMES.items():
        yield f"::: {module}.{name}\n"


def main() -> int:
    """Write the pages; the exit status."""
    parser = argparse.ArgumentParser(description="Write the pages that the site is made of.")
    parser.add_argument("out", type=Path, help="a folder, which is emptied before")
    out: Path = parser.parse_args().out
    if out.exists() and not (out / "index.md").is_file():
        print(f"{out} is there and holds no pages; choose another folder", file=sys.stderr)
        return 2
    print(f"{write_pages(out)} pages in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
