"""The contact sheet: one HTML file to look at, written piece by piece so that a large folder takes little memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from redaes.assessing.measured import Measured, marked
from redaes.assessing.words import NO_DIFFERENCE
from redaes.errors import ImageError
from redaes.evidence.claims import Claims
from redaes.html_pages import jpeg_bytes, jpeg_url
from redaes.images import load_image

THUMBNAIL_PIXELS = 76_800
"""Area of a thumbnail: 320 x 240."""

SERIES_FOOT = "</div></section>\n"

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a8; --open: #c90; --rest: #999; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1.5rem; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
.row { display: flex; flex-wrap: wrap; gap: .9rem; }
figure { margin: 0; width: 220px; border-top: 4px solid var(--rest); }
figure.Green { border-color: var(--good); } figure.Yellow { border-color: var(--open); }
figure.alone { border-color: transparent; }
img { width: 100%; height: 165px; object-fit: contain; background: #8882; display: block; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; padding-top: .25rem; }
mark { background: none; color: #c33; text-decoration: underline wavy; }
.measured { border-collapse: collapse; font-size: .85rem; margin-bottom: .8rem; }
.measured th, .measured td { padding: .1rem .8rem .1rem 0; text-align: left; font-weight: normal; }
.measured caption { text-align: left; opacity: .7; } meter { width: 6rem; margin-left: .5rem; }
.told { max-width: 75ch; } .quiet { opacity: .7; } .bad { color: #c33; }
"""


@dataclass(frozen=True)
class Told:
    """Why the best picture of a series is preferred to the next one."""

    winner: str | None
    """``A``: the best one by the ranking, ``B``: the next one, ``tie``; None: undecided, or no usable answer."""
    undecided: str | None
    """Why nothing is decided, in words."""
    probability: float | None
    delta: float | None
    rationale: str | None
    """The model's text, or why there is none."""
    letters: tuple[str, str]
    """What A and B in the text stand for."""
    notes: tuple[str, ...]
    claims: Claims | None = None
    """Statements of the text, checked; None: nobody did."""
    claims_summary: str | None = None
    measured: tuple[Measured, ...] = ()
    """Of the best one, as first, and the next one."""
    agreement: str | None = None
    """How far repeated answers agree, in words, where there is no probability."""


def head(folder: Path, n_pictures: int, n_series: int) -> str:
    """The page up to the first series."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Contact sheet: {escape(folder.name)}</title><style>{_STYLE}</style></head>\n<body>"
        f"<h1>{escape(str(folder))}</h1>"
        f"<p>{n_pictures} pictures in {n_series} series, best first. "
        "Green: the best of its series, by a visible lead. Yellow: not settled. Grey: worse.</p>\n"
    )


def series_head(name: str, n_pictures: int, failure: str | None, told: Told | None, remark: str | None = None) -> str:
    """A series up to its first picture."""
    text = f"<section><h2>Series {escape(name)} <span class=quiet>· {n_pictures} "
    text += "picture" if n_pictures == 1 else "pictures"
    text += "</span></h2>"
    if failure is not None:
        text += f"<p class=bad>Not ranked: {escape(failure)}</p>"
    if remark is not None:
        text += f"<p class=quiet>{escape(remark)}.</p>"
    if told is not None:
        text += f"<p class=told>{_in_words(told)}</p>{_table(told.measured)}"
    return text + "<div class=row>\n"


def figure(
    path: Path, *, name: str, place: int, score: tuple[float, float | None] | None, taken: str, label: str
) -> str:
    """One picture with its caption."""
    try:
        picture = f'<img src="{_thumbnail(path)}" alt="{escape(name, quote=True)}" loading="lazy">'
    except ImageError as error:  # it was readable when the series was ranked
        picture = f"<p class=bad>{escape(str(error))}</p>"
    lines = [f"<b>{place}.</b> {escape(name)}" if score is not None else escape(name)]
    if score is not None:
        spread = "" if score[1] is None else f" ± {score[1]:.2f}"
        lines.append(f"<span class=quiet>{round(score[0], 2) + 0.0:+.2f}{spread}</span>")
    if taken:
        lines.append(f"<span class=quiet>{escape(taken)}</span>")
    return f"<figure class={label or 'alone'}>{picture}<figcaption>{'<br>'.join(lines)}</figcaption></figure>\n"


def foot(unreadable: Sequence[tuple[str, str]], passed_over: Sequence[str] = ()) -> str:
    """The page after the last series.

    Args:
        unreadable: files and folders that could not be read, each with the reason.
        passed_over: what was not looked at, in words.
    """
    text = ""
    if unreadable:
        items = "".join(f"<li>{escape(reason)}</li>" for _, reason in unreadable)
        text = f"<section><h2>Could not be read: {len(unreadable)}</h2><ul class=bad>{items}</ul></section>\n"
    if passed_over:
        items = "".join(f"<li>{escape(words)}</li>" for words in passed_over)
        text += f"<section><h2>Not looked at</h2><ul>{items}</ul></section>\n"
    return text + "</body></html>\n"


def _in_words(told: Told) -> str:
    """The explanation as HTML."""
    if told.winner is None and told.undecided is None:
        return f"No usable explanation ({escape(told.rationale or '')})."
    facts = []
    if told.probability is not None:
        facts.append(f"{told.probability:.0%} that the best is better than the next one")
    if told.delta is not None:
        facts.append(f"{told.delta:+.1f} points")
    if told.agreement is not None:
        facts.append(told.agreement)
    known = escape(", ".join(facts)) + ". " if facts else ""
    if told.undecided is not None:
        text = f"<b>{escape(told.undecided[:1].upper() + told.undecided[1:])}.</b> {known}"
    elif told.winner == "tie":
        text = f"<b>{NO_DIFFERENCE}.</b> {known}"
    else:
        text = f"<b>{known.rstrip()}</b> " if known else ""
    if told.winner == "B":
        text += "Asked for reasons, the model prefers the next one. "
    if told.rationale is not None:
        a, b = told.letters
        text += f"{_reasons(told.rationale, told.claims)} <span class=quiet>(A is {a}, B is {b}.)</span>"
    if told.claims_summary is not None:
        text += f" <span>Held against the pictures: {escape(told.claims_summary)}.</span>"
    notes = (escape(note[:1].upper() + note[1:]) for note in told.notes)
    return text + "".join(f" <span class=quiet>{note}.</span>" for note in notes)


def _reasons(text: str, claims: Claims | None) -> str:
    """The reasoning as HTML, contradicted statements marked."""
    return "".join(
        f"<mark title='contradicted by what was measured'>{escape(piece)}</mark> [contradicted]"
        if status == "contradicted"
        else escape(piece)
        for piece, status in marked(text, claims)
    )


def _table(rows: Sequence[Measured]) -> str:
    """What was measured in the best one and the next one, with bars."""
    if not rows:
        return ""
    text = "<table class=measured><caption>Measured by redaes</caption><tr><th><th>the best<th>the next one<th></tr>"
    for row in rows:
        cells = "".join(
            f"<td>{escape(row.shown(value))}<meter value={share:.3f}></meter>"
            for value, share in zip((row.first, row.second), row.shares(), strict=True)
        )
        remark = "contradicts the reasoning" if row.status == "contradicted" else ""
        text += f"<tr><th>{escape(row.name)}{cells}<td class=bad>{remark}</tr>"
    return text + "</table>"


def _thumbnail(path: Path) -> str:
    return jpeg_url(jpeg_bytes(load_image(path, max_pixels=THUMBNAIL_PIXELS).image, 75))
