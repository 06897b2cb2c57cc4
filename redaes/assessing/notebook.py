"""Show an answer in a notebook: HTML with its own styles, which fetches nothing and runs nothing.

Every text in it is escaped, because file names and texts of models may contain anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from redaes.assessing.measured import Measured
from redaes.assessing.shown import Shown, ShownPicture, remark
from redaes.assessing.thumbnails import Thumbnails
from redaes.assessing.words import printable
from redaes.errors import ImageError
from redaes.types import MAX_DELTA

MOST_PICTURES = 24
"""Largest number of pictures that are shown; the others are only counted."""

_QUIET = "opacity:.7"
_BAD = "color:#c33"
_CELL = "padding:.1em .8em .1em 0;text-align:left;vertical-align:top;background:none;border:0"


def as_html(shown: Shown, thumbnails: Thumbnails) -> str:
    """Return the answer as HTML.

    Args:
        shown: the answer.
        thumbnails: thumbnails of pictures without a file.
    """
    parts = [f"<div style='font-size:1.1em;font-weight:600;margin-bottom:.5em'>{_text(shown.title)}</div>"]
    if shown.pictures:
        figures = "".join(_figure(one, thumbnails) for one in shown.pictures[:MOST_PICTURES])
        parts.append(f"<div style='display:flex;flex-wrap:wrap;gap:.8em;margin-bottom:.6em'>{figures}</div>")
        if len(shown.pictures) > MOST_PICTURES:
            rest = len(shown.pictures) - MOST_PICTURES
            parts.append(f"<div style='{_QUIET}'>and {rest} more, which are worse</div>")
    if shown.scale is not None:
        parts.append(_scale(*shown.scale))
    if shown.facts and not shown.captions_say_it:
        rows = "".join(
            f"<tr style='background:none'><th style='{_CELL};font-weight:normal;{_QUIET}'>{_text(label)}</th>"
            f"<td style='{_CELL}'>{_text(text)}</td></tr>"
            for label, text in shown.facts
        )
        parts.append(f"<table style='border-collapse:collapse;margin:0 0 .6em'>{rows}</table>")
    if shown.reasons:
        pieces = "".join(
            f"<span style='{_BAD};text-decoration:underline'>{_text(piece)}</span> <b style='{_BAD}'>[contradicted]</b>"
            if status == "contradicted"
            else _text(piece)
            for piece, status in shown.reasons
        )
        about = "".join(f"<div style='{_QUIET}'>{_text(line)}</div>" for line in shown.about_reasons)
        parts.append(f"<div style='max-width:75ch;white-space:pre-line;margin-bottom:.6em'>{pieces}{about}</div>")
    parts.append(_table(shown.measured, shown.names))
    parts += [f"<div>note: {_text(note)}</div>" for note in shown.notes]
    parts += [f"<div style='{_QUIET};font-size:.85em;max-width:100ch'>{_text(line)}</div>" for line in shown.about]
    return f"<div style='line-height:1.45'>{''.join(parts)}</div>"


def _text(text: str) -> str:
    return escape(printable(text), quote=True)


def _figure(picture: ShownPicture, thumbnails: Thumbnails) -> str:
    """Return a picture with its caption, or with the reason why it is missing."""
    try:
        address = thumbnails.address(picture.ref)
        inside = (
            f"<img src='{address}' alt='{_text(picture.caption)}' style='width:100%;height:165px;object-fit:contain'>"
        )
    except ImageError as error:
        inside = f"<div style='height:165px;overflow:hidden;{_QUIET}'>{_text(str(error))}</div>"
    line = "#2a8" if picture.marked else "#8886"
    detail = f"<br><span style='{_QUIET}'>{_text(picture.detail)}</span>" if picture.detail else ""
    return (
        f"<figure style='margin:0;width:220px;border-top:4px solid {line}'>{inside}"
        f"<figcaption style='font-size:.9em;margin:.2em 0 0;overflow-wrap:anywhere'>{_text(picture.caption)}{detail}"
        "</figcaption></figure>"
    )


def _scale(score: float, error: float) -> str:
    """Return a score as a mark on a line from 0 to 9, with twice its standard error to both sides."""
    left, right = (min(MAX_DELTA, max(0.0, score + side * 2 * error)) / MAX_DELTA for side in (-1, 1))
    return (
        "<div style='position:relative;width:300px;height:1.1em;background:#8883;margin:.3em 0 .6em' "
        f"title='{score:.1f} ± {error:.1f} of 0 to 9 points'>"
        f"<div style='position:absolute;left:{left:.1%};width:{right - left:.1%};height:100%;background:#2a86'></div>"
        f"<div style='position:absolute;left:calc({score / MAX_DELTA:.1%} - 1px);width:3px;height:100%;"
        "background:#2a8'></div></div>"
    )


def _table(rows: Sequence[Measured], names: tuple[str, str]) -> str:
    """Return the measurements of both pictures, with bars."""
    if not rows:
        return ""
    heads = "".join(f"<th style='{_CELL}'>{_text(name)}</th>" for name in ("measured", *names, ""))
    text = f"<table style='border-collapse:collapse;font-size:.9em;margin:0 0 .6em'><tr>{heads}</tr>"
    for row in rows:
        cells = "".join(
            f"<td style='{_CELL}'>{_text(row.shown(value))}<div style='height:4px;width:{max(share * 90, 1):.0f}px;"
            "background:#48c'></div></td>"
            for value, share in zip((row.first, row.second), row.shares(), strict=True)
        )
        text += (
            f"<tr style='background:none'><td style='{_CELL}'>{_text(row.name)}</td>{cells}"
            f"<td style='{_CELL};{_BAD if row.status == 'contradicted' else _QUIET}'>{_text(remark(row))}</td></tr>"
        )
    return text + "</table>"
