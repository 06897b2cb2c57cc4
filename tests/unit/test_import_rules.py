"""Who may import whom, read from the sources; the picture is in CONTRIBUTING.md.

Every import counts for the layers and for cycles, wherever it stands. For weight, only what runs on import counts:
from a light module, no chain of such imports may end at a heavy library.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "errors", "known_names", "torchvision_compat", "deferred_libraries"),
    (
        "answers",
        "json_form",
        "answer_grammars",
        "lenient",
        "praise",
        "thinking",
        "points",
        "ranking",
        "estimates",
        "metrics",
        "prompts",
        "images",
        "viewer",
        "html_pages",
        "evidence",
        "rewards",
    ),
    (
        "file_hashes",
        "file_writing",
        "file_locks",
        "records",
        "table_cache",
        "measured_pairs",
        "attention",
        "hub",
        "label_files",
        "backends",
        "models",
        "series_records",
        "cores",
        "local_servers",
        "strangers",
        "local_pages",
        "progress_lines",
        "processes",
        "option_sources",
        "recipe_files",
        "reference_photographs",
    ),
    (
        "aesthetic_metric",
        "assessor",
        "assessing",
        "heldout",
        "datagen",
        "training",
        "evaluation",
        "serving",
        "taste",
        "background",
        "samples",
        "references",
        "culling",
        "doctor",
        "demo",
        "early_checks",
    ),
    ("cli", "__main__"),
)
"""Modules and packages directly under redaes, lowest first: imports go down or stay within a layer."""

STRANGERS = ("datagen", "training", "evaluation")
"""Services that never import each other."""

FOR_COMMANDS = ("demo", "taste")
"""What may use all services, and only the command line uses."""

FOR_ALL = ("redaes.taste.questions", "redaes.taste.pair_pool", "redaes.taste.preference_file")
"""What others use of these nevertheless."""

HEAVY = frozenset(
    {
        "accelerate",
        "cv2",
        "datasets",
        "deepspeed",
        "diffusers",
        "openai",
        "pandas",
        "peft",
        "pyarrow",
        "ray",
        "scipy",
        "skimage",
        "sklearn",
        "torch",
        "torchvision",
        "transformers",
        "trl",
        "vllm",
    }
)

LIGHT = (
    "", *LAYERS[0], *LAYERS[1], "option_sources", "recipe_files", "backends.endpoint", "backends.chat",
    "backends.server", "backends.connecting", "assessor", "aesthetic_metric",
    "assessing", "serving", "early_checks", "cli", "__main__",
)  # fmt: skip
"""What must not load a heavy library on import; "" is the package itself."""

HEAVY_AT_HOME = (
    "attention",
    "training",
    "models",
    "backends.local",
    "backends.loading",
    "evidence.picture",
    "evidence.pair",
)
"""Where a heavy import may stand at module level although others of the layer do without."""

OUTSIDE = ("data_gen", "stages", "eval", "tests", "benchmarks", "examples")


@dataclass(frozen=True)
class Import:
    """One imported module, as a dotted name."""

    line: int
    target: str
    on_import: bool
    """Whether it runs when the module is imported: outside functions and TYPE_CHECKING."""


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _statements(nodes: Iterable[ast.AST], on_import: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, on_import
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _statements(node.body, False)
            yield from _statements(node.orelse, on_import)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _statements(ast.iter_child_nodes(node), on_import and not inside)


def _imports(source: str, module: str, is_package: bool, known: Iterable[str]) -> list[Import]:
    """The imports of one module, ``from package import module`` resolved to the module."""
    modules = frozenset(known)
    found = []
    for node, on_import in _statements(ast.parse(source).body):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name, on_import) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *([base] if base else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                found.append(Import(node.lineno, submodule if submodule in modules else base, on_import))
    return found


def _read(root: Path) -> tuple[dict[str, list[Import]], dict[str, Path]]:
    """All modules of root/redaes with their imports and files."""
    files = {}
    for path in sorted((root / "redaes").rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        files[".".join(parts)] = path
    imports = {
        name: _imports(path.read_text(encoding="utf-8"), name, path.name == "__init__.py", files)
        for name, path in files.items()
    }
    return imports, files


def _room(module: str) -> str:
    """``redaes.rewards.trl`` -> ``rewards``; the package itself -> ``""``."""
    return module.split(".")[1] if "." in module else ""


def _layer(room: str) -> int | None:
    return next((number for number, rooms in enumerate(LAYERS) if room in rooms), None)


def _layer_violations(module: str, item: Import) -> Iterator[str]:
    top = item.target.split(".")[0]
    if top in OUTSIDE:
        yield f"imports {item.target}, which is not part of the package"
    if top != "redaes":
        return
    here, there = _room(module), _room(item.target)
    if here == there and here:
        return
    if here == "":  # redaes/__init__.py: the ground alone; all else lazily
        if item.on_import and there not in LAYERS[0]:
            yield f"imports {item.target} before anyone asked for it"
        return
    if there == "":
        yield "imports a name from redaes itself; import it from where it is defined"
        return
    lower, higher = _layer(there), _layer(here)
    if lower is not None and higher is not None and lower > higher:
        yield f"imports {item.target}; it is above"
    if here in STRANGERS and there in STRANGERS:
        yield f"imports {item.target}: {', '.join(STRANGERS)} never import each other"
    if there in FOR_COMMANDS and item.target not in FOR_ALL and here not in LAYERS[-1]:
        yield f"imports redaes.{there}, which is for the command line only"
    if there in LAYERS[-1] and here not in LAYERS[-1]:
        yield f"imports {item.target}, which is for users"


def _runs_first(module: str) -> list[str]:
    """A module and the packages around it: importing it runs them all."""
    parts = module.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _matches(module: str, prefixes: Iterable[str]) -> bool:
    name = module.removeprefix("redaes").removeprefix(".")
    return any(name == prefix or (prefix and name.startswith(prefix + ".")) for prefix in prefixes)


def _heavy_chains(imports: Mapping[str, list[Import]], start: str) -> Iterator[tuple[str, ...]]:
    """Chains of imports from ``start`` to a heavy library, all of which run when ``start`` is imported."""
    seen: set[str] = set()
    waiting: list[tuple[str, ...]] = [(name,) for name in _runs_first(start) if name in imports]
    while waiting:
        chain = waiting.pop(0)
        if chain[-1] in seen:
            continue
        seen.add(chain[-1])
        for item in imports[chain[-1]]:
            if not item.on_import:
                continue
            if item.target.split(".")[0] in HEAVY:
                yield (*chain, item.target)
            waiting += [(*chain, name) for name in _runs_first(item.target) if name in imports]


def _cycles(arrows: Mapping[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """A shortest way from each name back to itself, where it is the first name of that way."""
    for start in sorted(arrows):
        seen: set[str] = set()
        waiting: list[tuple[str, ...]] = [(start,)]
        while waiting:
            way = waiting.pop(0)
            follow = arrows.get(way[-1], set())
            if start in follow and len(way) > 1:
                if start == min(way):
                    yield (*way, start)
                break
            waiting += [(*way, name) for name in sorted(follow - seen - {start})]
            seen |= follow


def _cycle_violations(imports: Mapping[str, list[Import]]) -> list[str]:
    """Cycles of modules and, within each package, of its parts: a part is a module, or a folder with all in it."""
    arrows = {name: {item.target for item in items} & imports.keys() for name, items in imports.items()}
    found = set(_cycles(arrows))
    for package in {name.rpartition(".")[0] for name in imports} - {""}:

        def part(name: str, depth: int = package.count(".") + 2) -> str:
            return ".".join(name.split(".")[:depth])

        parts: dict[str, set[str]] = {}
        for name, targets in arrows.items():
            if name.startswith(f"{package}."):
                others = {part(target) for target in targets if target.startswith(f"{package}.")}
                parts.setdefault(part(name), set()).update(others - {part(name)})
        found.update(_cycles(parts))
    return [f"a cycle: {' -> '.join(way)}" for way in sorted(found)]


def violations(root: Path) -> list[str]:
    """What breaks a rule in the tree at ``root``, as readable lines."""
    imports, files = _read(root)
    found = []
    for module, items in imports.items():
        where = files[module].relative_to(root).as_posix()
        if _room(module) and _layer(_room(module)) is None:
            found.append(f"{where}: has no place in LAYERS yet")
        for item in items:
            found += [f"{where}:{item.line} {text}" for text in _layer_violations(module, item)]
        if _matches(module, LIGHT) and not _matches(module, HEAVY_AT_HOME):
            found += [f"{where}: loads {' -> '.join(chain)}" for chain in _heavy_chains(imports, module)]
    found += _cycle_violations(imports)
    for folder in sorted({path.parent for path in files.values()}):
        if not (folder / "__init__.py").exists():
            found.append(f"{folder.relative_to(root).as_posix()}: has modules and no __init__.py")
    return found


def test_the_tree_keeps_the_rules() -> None:
    assert violations(ROOT) == []


LAWFUL = {
    "redaes/__init__.py": (
        "from redaes.types import Pair\ndef __getattr__(name):\n    from redaes.assessor import A\n"
    ),
    "redaes/types.py": "from redaes.errors import E\n",
    "redaes/errors.py": "",
    "redaes/metrics.py": "from . import types\nimport numpy\n",
    "redaes/rewards/__init__.py": "from ..metrics import m\nfrom .trl import adapt\n",
    "redaes/rewards/trl.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trl\ndef f():\n    import torch\n"
    ),
    "redaes/backends/__init__.py": "",
    "redaes/backends/local.py": "import torch\nfrom redaes.models.nano import model\n",
    "redaes/models/nano/__init__.py": "",
    "redaes/models/nano/model.py": "import transformers\n",
    "redaes/assessor.py": "from redaes import metrics\ndef f():\n    from redaes.backends import local\n",
    "redaes/datagen/__init__.py": "import cv2\nfrom redaes.assessor import A\n",
    "redaes/training/__init__.py": "import torch, trl\nfrom ..rewards import trl\n",
    "redaes/demo.py": "from redaes import datagen, training\n",
    "redaes/cli.py": "def demo():\n    from redaes.demo import main\n    from redaes.assessor import A\n",
}


def _plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root


def test_a_lawful_tree_is_accepted(tmp_path: Path) -> None:
    assert violations(_plant(tmp_path, LAWFUL)) == []


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("redaes/types.py", "from redaes.metrics import m", "redaes.metrics; it is above"),
        (
            "redaes/metrics.py",
            "def f():\n    from redaes import assessor",
            "redaes/metrics.py:2 imports redaes.assessor",
        ),
        (
            "redaes/rewards/trl.py",
            "from ..backends.local import B",
            "redaes.backends.local; it is above",
        ),
        ("redaes/rewards/trl.py", "from .. import assessor", "redaes.assessor; it is above"),
        ("redaes/training/__init__.py", "def f():\n    import redaes.datagen", "never import each other"),
        ("redaes/datagen/__init__.py", "from redaes import training", "never import each other"),
        ("redaes/assessor.py", "from redaes.demo import main", "for the command line only"),
        ("redaes/serving/__init__.py", "from redaes.taste import learning", "taste, which is for the command"),
        ("redaes/demo.py", "from redaes.cli import main", "redaes.cli; it is above"),
        ("redaes/metrics.py", "from redaes import Assessor", "a name from redaes itself"),
        ("redaes/demo.py", "import stages.stage1_sft", "stages.stage1_sft, which is not part of the package"),
        ("redaes/__init__.py", "from redaes.assessor import Assessor", "before anyone asked"),
        ("redaes/metrics.py", "import torch", "redaes/metrics.py: loads redaes.metrics -> torch"),
        (
            "redaes/cli.py",
            "try:\n    import vllm\nexcept OSError:\n    pass",
            "redaes.cli -> vllm",
        ),
        ("redaes/cli.py", "class A:\n    from openai import OpenAI", "redaes.cli -> openai"),
        (
            "redaes/rewards/trl.py",
            "from trl import GRPOTrainer",
            "redaes.rewards.trl -> trl",
        ),
        (
            "redaes/assessor.py",
            "from redaes.backends.local import B",
            "redaes.assessor -> redaes.backends.local -> torch",
        ),
        ("redaes/cli.py", "import redaes.training", "redaes.cli -> redaes.training -> torch"),
        ("redaes/cli.py", "from redaes import demo", "redaes.cli -> redaes.demo -> redaes.datagen -> cv2"),
        (
            "redaes/errors.py",
            "def f():\n    from redaes.types import Pair",
            "a cycle: redaes.errors -> redaes.types -> redaes.errors",
        ),
        (
            "redaes/rewards/trl.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from redaes.rewards import adapt",
            "a cycle: redaes.rewards -> redaes.rewards.trl -> redaes.rewards",
        ),
        (
            "redaes/models/nano/more.py",
            "import redaes.backends",
            "a cycle: redaes.backends -> redaes.models -> redaes.backends",
        ),
        ("redaes/news.py", "", "redaes/news.py: has no place in LAYERS yet"),
        ("redaes/models/fgaesq/network.py", "", "redaes/models/fgaesq: has modules and no __init__.py"),
    ],
)
def test_each_violation_is_found(tmp_path: Path, name: str, source: str, expected: str) -> None:
    found = violations(_plant(tmp_path, {**LAWFUL, name: source}))
    assert any(expected in line for line in found), found


def _loaded_after(statement: str) -> set[str]:
    """Heavy libraries that are in memory after a statement ran in a new interpreter."""
    names = ", ".join(map(repr, sorted(HEAVY)))
    code = f"{statement}\nimport sys\nprint('LOADED', *[m for m in ({names},) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


SCRIPTS = sorted(path for folder in ("data_gen", "stages", "eval") for path in (ROOT / folder).glob("*.py"))


def test_scripts_import_what_is_heavy_after_their_arguments_are_checked() -> None:
    imports, _ = _read(ROOT)
    for script in SCRIPTS:
        name = script.relative_to(ROOT).as_posix()
        imports[name] = _imports(script.read_text(encoding="utf-8"), name, False, imports)
        waiting = {item.target for item in imports[name] if item.on_import}
        assert [chain for target in waiting for chain in _heavy_chains(imports, target)] == [], name
        assert not waiting & HEAVY, name


def test_import_redaes_is_light() -> None:
    assert _loaded_after("import redaes, redaes.types, redaes.errors") == set()
    assert _loaded_after("from redaes import *") == set()


def test_the_service_before_a_server_is_light() -> None:
    """Its container has no torch (Dockerfile)."""
    assert _loaded_after("import redaes.serving.app, redaes.serving.run, redaes.references") == set()


def test_help_is_light() -> None:
    run_help = (
        "import sys\nsys.argv = ['redaes', '--help']\nfrom redaes.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )
    assert _loaded_after(run_help) == set()
