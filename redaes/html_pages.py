"""HTML pages that fetch nothing: they are made from the package's templates, with pictures embedded as text."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from PIL import Image

from redaes import viewer
from redaes.errors import MissingDependency

if TYPE_CHECKING:
    from jinja2 import Template


def page_template(
    package: str, name: str, *, extra: str, filters: Mapping[str, Callable[..., Any]] | None = None
) -> Template:
    """Return a template that escapes its values, and in which a missing value is an error.

    Every template knows ``report_policy`` (what a report may load: pictures that stand in it, and nothing else),
    ``report_style`` and ``report_script``, which sort and filter its tables.

    Args:
        package: package that contains the template, such as ``redaes.demo``.
        name: file name of the template.
        extra: the extra of redaes that installs jinja2.
        filters: further filters for the template, by name.

    Raises:
        MissingDependency: jinja2 is absent.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingDependency("jinja2", extra) from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(filters or {})
    environment.globals.update(
        report_policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src '{policy_digest(viewer.REPORT_SCRIPT)}'; base-uri 'none'; form-action 'none'",
        report_style=Markup(viewer.REPORT_STYLE),
        report_script=Markup(viewer.REPORT_SCRIPT),
    )
    return environment.from_string(files(package).joinpath(name).read_text(encoding="utf-8"))


def jpeg_bytes(image: Image.Image, quality: int) -> bytes:
    """Return the picture as a JPEG file."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return data.getvalue()


def jpeg_url(data: bytes) -> str:
    """Return a JPEG file as a ``data:`` URL."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def policy_digest(text: str) -> str:
    """Return the hash by which a content security policy allows a style or a script of a page."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
