"""Two pictures side by side at 100 %, in a browser: the script and style of the contact sheet and the service."""

from __future__ import annotations

from importlib.resources import files

_FILES = files("redaes.viewer")
SCRIPT = _FILES.joinpath("viewer.js").read_text(encoding="utf-8")
STYLE = _FILES.joinpath("viewer.css").read_text(encoding="utf-8")
