"""The editors that make one picture from another, found by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redaes.datagen.editors.base import Editor
from redaes.errors import InputError


def _embedded(**options: Any) -> Editor:
    from redaes.datagen.editors.parametric.instructed import EmbeddedEditor

    if options:
        raise InputError(f"the embedded editor has no options, got {', '.join(sorted(options))}")
    return EmbeddedEditor()


def _diffusers(**options: Any) -> Editor:
    from redaes.datagen.editors.diffusion import DiffusionEditor

    return DiffusionEditor.load(**options)


EDITORS: dict[str, Callable[..., Editor]] = {
    "embedded": _embedded,
    "diffusers": _diffusers,
}
"""Loaders by name. ``diffusers`` loads the default model; another model is given by its folder or hub name."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def load_editor(name: str, **options: Any) -> Editor:
    """Return the editor of a name.

    Args:
        name: a key of :data:`EDITORS`, the folder of a diffusers pipeline, or its name on the hub.
        options: as :meth:`redaes.datagen.editors.diffusion.DiffusionEditor.load` takes them.

    Raises:
        InputError: there is no such editor, or it does not have an option.
        BackendError: the model cannot be fetched, is incomplete, or does not fit on the device.
        MissingDependency: a package that the editor needs is not installed.
    """
    if name in EDITORS:
        return EDITORS[name](**options)
    if Path(name).is_dir() or _HUB_NAME.fullmatch(name):
        return _diffusers(model=name, **options)
    known = ", ".join(sorted(EDITORS))
    raise InputError(f"unknown editor {name!r}; give one of {known}, a pipeline's folder, or a hub name (owner/model)")
