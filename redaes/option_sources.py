"""Read the options of a dataclass from the source text of its module, without importing it.

The trainers' arguments are dataclasses of transformers and TRL, and importing those takes many seconds. The text of the
installed files says which options there are, so what is read here is never out of date.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path


class Unreadable(Exception):
    """The source does not show the class: it is compiled, generated, or written in a way that this module cannot
    read.
    """


@dataclass(frozen=True)
class Option:
    """One field that a command line can set."""

    name: str
    type: str
    """The annotation, as it is written in the source."""
    default: str
    """The default's expression, as it is written in the source."""
    help: str
    """The help text; empty where the class documents the option elsewhere."""


@cache
def options_of(place: str) -> dict[str, tuple[Option, ...]]:
    """Return the options of a dataclass by the class that declares them: its own first, then those of its base classes.

    Args:
        place: ``"package.module:Class"``.

    Raises:
        Unreadable: the class or one of its base classes is not found; without a base's options, valid options would be
            refused.
    """
    module, _, name = place.partition(":")
    module, node = _find_class(module, name)
    found = {f"{module}:{name}": tuple(_own_options(node))}
    for base in node.bases:
        if ast.unparse(base) not in {"object", "BaseModel"}:
            found.update(options_of(_place_of(base, module)))
    return found


def names_of(place: str) -> frozenset[str]:
    """Return the names of all options of a dataclass, those of its bases included; see :func:`options_of`."""
    return frozenset(option.name for options in options_of(place).values() for option in options)


def defaults_of(place: str) -> dict[str, str]:
    """Return the default of every option of a dataclass, as it is written; see :func:`options_of`."""
    return {option.name: option.default for options in options_of(place).values() for option in options}


def _place_of(base: ast.expr, module: str) -> str:
    """Return where a base class is: ``Base``, or ``library.Base`` after ``import library``."""
    if isinstance(base, ast.Name):
        return f"{module}:{base.id}"
    written = ast.unparse(base)
    library, _, name = written.rpartition(".")
    for node in ast.walk(_parsed(module)[0]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if library == (alias.asname or alias.name):
                    return f"{alias.name}:{name}"
    raise Unreadable(f"{module}: base class {written} cannot be followed")


def _find_class(module: str, name: str) -> tuple[str, ast.ClassDef]:
    """Return the module that defines a class, followed through imports, and the definition."""
    seen = set()
    while module not in seen:
        seen.add(module)
        tree, is_package = _parsed(module)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == name:
                return module, node
            if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
                name = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + is_package] if node.level else []
                module = ".".join([*kept, *([node.module] if node.module else [])])
                break
        else:
            break
    raise Unreadable(f"{module} defines no class {name}")


@cache
def _parsed(module: str) -> tuple[ast.Module, bool]:
    top, *rest = module.split(".")
    spec = find_spec(top)  # only the top package is looked up: looking up a submodule would import the package
    if spec is None or not spec.submodule_search_locations:
        raise Unreadable(f"{top} is not installed as a package")
    path = Path(spec.submodule_search_locations[0], *rest)
    file, is_package = (path / "__init__.py", True) if path.is_dir() else (path.with_suffix(".py"), False)
    try:
        return ast.parse(file.read_text(encoding="utf-8")), is_package
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise Unreadable(f"{file}: {error}") from error


def _own_options(node: ast.ClassDef) -> list[Option]:
    options = []
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        annotation = ast.unparse(item.annotation)
        settings = _field_settings(item.value)
        if annotation.startswith("ClassVar") or ast.unparse(settings.get("init", ast.Constant(True))) == "False":
            continue
        default = settings.get("default") or settings.get("default_factory")
        options.append(
            Option(
                name=item.target.id,
                type=annotation,
                default="" if default is None else ast.unparse(default),
                help=_help(settings.get("metadata")),
            )
        )
    return options


def _field_settings(value: ast.expr | None) -> dict[str, ast.expr]:
    if value is None:
        return {}
    if isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == "field":
        return {keyword.arg: keyword.value for keyword in value.keywords if keyword.arg}
    return {"default": value}


def _help(metadata: ast.expr | None) -> str:
    if not isinstance(metadata, ast.Dict):
        return ""
    for key, value in zip(metadata.keys, metadata.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "help":
            try:
                return " ".join(str(ast.literal_eval(value)).split())
            except ValueError:  # the help text is put together from names
                return ast.unparse(value)
    return ""
