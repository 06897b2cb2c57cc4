"""Docstrings name others as ``:func:`name` ``; on the site the name alone stands there. For griffe, see mkdocs.yml."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`~?([^`]+)`")


class DocstringRoles(griffe.Extension):
    """Take the roles out before a docstring is rendered."""

    def on_instance(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Of each object that griffe has read."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
