"""The recipes and launch configurations that come with redaes, found by name: in the wheel, else in the checkout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from redaes.errors import InputError

Kind = Literal["stages", "data_gen", "eval", "accelerate"]
"""What a file sets: a stage, the building of pairs, a run of a benchmark, or the processes of a launch."""

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
    """Return where the files of a kind lie."""
    return _PACKAGED / kind if _PACKAGED.is_dir() else _CHECKOUT / _IN_CHECKOUT[kind]


def names(kind: Kind, beginning: str = "") -> tuple[str, ...]:
    """Return the names of the files of a kind that begin so, sorted."""
    return tuple(sorted(file.stem for file in folder(kind).glob(f"{beginning}*.yaml")))


def headline(kind: Kind, name: str) -> str:
    """Return what a file says of itself: its first line, which is a comment."""
    with (folder(kind) / f"{name}.yaml").open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()


def find(given: str | Path, kind: Kind, known: Sequence[str] | None = None, beginning: str = "") -> Path:
    """Return the file that is meant: a path, or the name of one that comes with redaes.

    Args:
        given: what has a folder or a ``.yaml`` in it is a path, and so is the name of a file that is there.
        kind: of the file.
        known: the names that may be given; None: all of the kind.
        beginning: of a name, which may be left out.

    Returns:
        A path, which may lead nowhere; a name's leads to a file.

    Raises:
        InputError: a name that is unknown; the message lists those that are known.
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
    raise InputError(f"{what} {text!r} is unknown; give a file, or one of those that come with redaes: {short}")
