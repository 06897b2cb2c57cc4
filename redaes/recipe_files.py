"""Find the recipes and launch configurations that come with redaes by name, in the wheel or else in the checkout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from redaes.errors import InputError

Kind = Literal["stages", "data_gen", "eval", "accelerate"]
"""What a file configures: a stage, the building of pairs, a run of a benchmark, or the processes of a launch."""

_PACKAGED = Path(__file__).with_name("_configs")
_CHECKOUT = Path(__file__).resolve().parent.parent
_IN_CHECKOUT: dict[Kind, str] = {
    "stages": "stages/configs",
    "data_gen": "data_gen/configs",
    "eval": "eval/configs",
    "accelerate": "accelerate_configs",
}
_SUFFIXES = (".yaml", ".yml")


def folder(kind: Kind) -> Path:
    """Return the folder of the files of a kind."""
    return _PACKAGED / kind if _PACKAGED.is_dir() else _CHECKOUT / _IN_CHECKOUT[kind]


def names(kind: Kind, beginning: str = "") -> tuple[str, ...]:
    """Return the sorted names of the files of a kind that begin with ``beginning``."""
    return tuple(sorted(file.stem for file in folder(kind).glob(f"{beginning}*.yaml")))


def headline(kind: Kind, name: str) -> str:
    """Return a file's description: its first line, which is a comment."""
    with (folder(kind) / f"{name}.yaml").open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()


def find(given: str | Path, kind: Kind, known: Sequence[str] | None = None, beginning: str = "") -> Path:
    """Return the path of a file that is given as a path, or by the name of a file that comes with redaes.

    Args:
        given: a path if it contains a folder or ``.yaml``, or names an existing file; otherwise a name.
        kind: kind of the file.
        known: the names that may be given; None: all names of the kind.
        beginning: the beginning of names, which may be left out.

    Returns:
        A path. A name leads to an existing file; a given path may not exist.

    Raises:
        InputError: the name is unknown; the message lists the known ones.
    """
    text, path = str(given), Path(given)
    if path.suffix in _SUFFIXES or path.name != text or path.is_file():
        return path
    known = names(kind) if known is None else known
    for name in (f"{beginning}{text}", text):
        if name in known:
            return folder(kind) / f"{name}.yaml"
    what = "accelerate configuration" if kind == "accelerate" else "recipe"
    short = ", ".join(name.removeprefix(beginning) for name in known)
    raise InputError(f"{what} {text!r} is unknown; give a YAML file, or one of those included in redaes: {short}")
