"""The files of the two pages, by the names under which a browser asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from redaes import viewer

_PAGE = Path(__file__).with_name("page")
_VIEWER = Path(viewer.__file__).parent

_BOTH = ("elements.js", "units.js", "asking.js", "pair.js", "teach.js", "page.css", "pair.css", "teach.css")
_SERVICE = ("shrinking.js", "kept.js", "verdict.js", "series.js", "taught.js", "page.js", "series.css")


def _files(start: str, names: tuple[str, ...]) -> Mapping[str, Path]:
    shared = {name: _VIEWER / name for name in ("viewer.js", "viewer.css")}
    return {"": _PAGE / start, **{name: _PAGE / name for name in names}, **shared}


SERVICE_PAGE = _files("index.html", (*_BOTH, *_SERVICE))
"""Of the page of `redaes serve`; the empty name is the page itself."""
FOLDER_PAGE = _files("folder.html", (*_BOTH, "folder.js"))
"""Of the page of `redaes taste teach`."""

MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
