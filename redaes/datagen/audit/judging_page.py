"""The page on which people judge: it shows two pictures and three answers, and not what was done to which picture.

The page works in two ways. With a server it fetches the pictures from there and sends the answers back; as a file it
contains the pictures, and the browser keeps the answers until they are saved. It fetches nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from redaes import viewer
from redaes.datagen.audit.drawn_pairs import AuditDraw, DrawnPair
from redaes.datagen.audit.showings import N_ORDERS, showings
from redaes.html_pages import jpeg_url, page_template, policy_digest

_FILES = files("redaes.datagen.audit")
_STYLE = _FILES.joinpath("judging.css").read_text(encoding="utf-8") + viewer.STYLE
_SCRIPT = viewer.SCRIPT + _FILES.joinpath("judging.js").read_text(encoding="utf-8")

POLICIES = {
    True: "default-src 'none'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'",
    False: "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'",
}
"""What the page may load with a server (True) and as a file (False), besides its own style and script."""


def judging_page(draw: AuditDraw, pairs: Sequence[DrawnPair], pictures: Mapping[str, bytes] | None) -> str:
    """Return the page.

    Args:
        draw: the draw to which the answers belong.
        pairs: the drawn pairs.
        pictures: JPEG files by token; pairs with missing ones cannot be judged. None if a server has the pictures.

    Raises:
        MissingDependency: jinja2 is absent.
    """
    from markupsafe import Markup

    served = pictures is None
    data: dict[str, Any] = {
        "served": served,
        "draw": draw.as_json(),
        # In the order of tokens, so that the page does not show which picture is the dataset's first.
        "pairs": [[pair.token, *sorted(pair.pictures)] for pair in pairs],
        "orders": [
            [[one.pair, int(one.exchanged), one.time] for one in showings(pairs, draw, order)]
            for order in range(N_ORDERS)
        ],
    }
    if pictures is not None:
        data["pictures"] = {token: jpeg_url(jpeg) for token, jpeg in sorted(pictures.items())}
    policy = f"{POLICIES[served]}; style-src '{policy_digest(_STYLE)}'; script-src '{policy_digest(_SCRIPT)}'"
    return page_template("redaes.datagen.audit", "judging.html.j2", extra="audit").render(
        policy=policy,
        style=Markup(_STYLE),
        script=Markup(_SCRIPT),
        data=Markup(json.dumps(data)),  # holds only tokens, numbers and base64, so nothing in it can end the script
    )
