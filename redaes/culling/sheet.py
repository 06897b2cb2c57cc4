"""The contact sheet in HTML: what stands on its pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from redaes import viewer
from redaes.assessing.measured import Measured, marked
from redaes.assessing.words import NO_DIFFERENCE, counted
from redaes.errors import ImageError
from redaes.evidence.claims import Claims
from redaes.html_pages import jpeg_bytes, jpeg_url, policy_digest
from redaes.images import fit_area, load_image

THUMBNAIL_PIXELS = 76_800
"""Area of a thumbnail: 320 x 240."""

MAX_THUMBNAIL_BYTES = 10_000
"""Largest size of a thumbnail as JPEG; a larger one is stored at lower quality, and then smaller [ours]."""

SERIES_FOOT = "</div></section>\n"

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a8; --open: #c90; --rest: #c44; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1.5rem; }
body { overflow-wrap: anywhere; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
.row { display: flex; flex-wrap: wrap; gap: .9rem; }
figure { margin: 0; width: 220px; max-width: 100%; border-top: 4px solid; }
figure.Green { border-color: var(--good); } figure.Yellow { border-color: var(--open); }
figure.Red { border-color: var(--rest); } figure.alone { border-color: transparent; }
figure > a { display: block; cursor: zoom-in; } nav a, nav b { padding: .2rem .35rem; }
.row img { width: 100%; height: 165px; object-fit: contain; background: #8882; display: block; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; padding-top: .25rem; }
mark { background: none; color: #c33; text-decoration: underline wavy; }
.measured { border-collapse: collapse; font-size: .85rem; margin-bottom: .8rem; }
.measured th, .measured td { padding: .1rem .8rem .1rem 0; text-align: left; font-weight: normal; }
.measured caption { text-align: left; opacity: .7; } meter { width: 6rem; margin-left: .5rem; }
.told { max-width: 75ch; } .quiet { opacity: .7; } .bad { color: #c33; }
"""

_SCRIPT = """
document.addEventListener("click", (event) => {
  const link = event.target.closest("figure > a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  let links = [...link.closest("section").querySelectorAll("figure > a")];
  const isAlone = links.length === 1;
  if (isAlone) links = [...document.querySelectorAll("figure > a")];
  const at = links.indexOf(link);
  const pictures = links.map((one) => {
    const image = one.querySelector("img");
    const caption = one.parentElement.querySelector(".quiet");
    return { name: image.alt, url: one.href, small: image.src, caption: caption ? caption.textContent : "" };
  });
  const other = isAlone ? Math.min(at + 1, links.length - 1) : Math.min(1, links.length - 1);
  if (isAlone) closer.open(pictures, at, other);
  else closer.open(pictures, 0, at === 0 ? other : at);
});
"""

_ALL_STYLE = _STYLE + viewer.STYLE
_ALL_SCRIPT = viewer.SCRIPT + _SCRIPT


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
    """Measurements of the best picture, as the first, and the next one."""
    agreement: str | None = None
    """How far repeated answers agree, in words, where there is no probability."""


def head(folder: Path, n_pictures: int, n_series: int, page: int = 1, n_pages: int = 1) -> str:
    """Return a page up to its first series."""
    name = folder.resolve().name or str(folder.resolve())
    of_pages = f", page {page} of {n_pages}" if n_pages > 1 else ""
    policy = (
        f"default-src 'none'; img-src 'self' data: file:; style-src '{policy_digest(_ALL_STYLE)}'; "
        f"script-src '{policy_digest(_ALL_SCRIPT)}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Contact sheet: {escape(name)}{of_pages}</title><style>{_ALL_STYLE}</style></head>\n<body>"
        f"<h1>{escape(str(folder.resolve()))}</h1>"
        f"<p>{counted(n_pictures, 'picture')} in {n_series} series, best first. "
        "Green, 5 stars: the best of its series, by a visible lead. Yellow, 3 stars: not settled. "
        "Red, 1 star or rejected: worse. No colour: alone, or its series could not be ranked. "
        "A click on a picture shows it beside the best of its series, at full size.</p>\n" + links(page, n_pages)
    )


def links(page: int, n_pages: int) -> str:
    """Return the way to the other pages; empty: there is one."""
    if n_pages == 1:
        return ""
    numbers = (
        f"<b aria-current=page>{number}</b>" if number == page else f'<a href="{page_name(number)}">{number}</a>'
        for number in range(1, n_pages + 1)
    )
    return f"<nav aria-label=Pages>Pages {' '.join(numbers)}</nav>\n"


def page_name(number: int) -> str:
    """Return the file of a page, from 1."""
    return "contact_sheet.html" if number == 1 else f"contact_sheet_{number}.html"


def series_head(
    name: str,
    n_pictures: int,
    failure: str | None,
    told: Told | None,
    remark: str | None = None,
    *,
    continued: bool = False,
) -> str:
    """Return a series up to its first picture on a page; ``continued`` where it began on another."""
    text = f"<section><h2>Series {escape(name)} <span class=quiet>· {counted(n_pictures, 'picture')}"
    text += ", continued" if continued else ""
    text += "</span></h2>"
    if continued:
        return text + "<div class=row>\n"
    if failure is not None:
        text += f"<p class=bad>Not ranked: {escape(failure)}</p>"
    if remark is not None:
        text += f"<p class=quiet>{escape(remark)}.</p>"
    if told is not None:
        text += f"<p class=told>{_in_words(told)}</p>{_table(told.measured)}"
    return text + "<div class=row>\n"


@dataclass(frozen=True)
class SheetPicture:
    """One picture on the sheet."""

    path: Path
    name: str
    """The name that is shown."""
    link: str
    """To the file, relative to the sheet, as a URL."""
    place: int
    score: tuple[float, float | None] | None
    """The score with its standard error; None: it has no score."""
    unit: str
    """Unit of the score."""
    taken: str
    label: str
    """Label of its mark; empty: it has none."""


def figure(picture: SheetPicture) -> str:
    """Return one picture with its caption."""
    name = escape(picture.name, quote=True)
    try:
        image = f'<img src="{_thumbnail(picture.path)}" alt="{name}" loading="lazy">'
        image = f'<a href="{escape(picture.link, quote=True)}">{image}</a>'
    except ImageError as error:  # it was readable when the series was ranked
        image = f"<p class=bad>{escape(str(error))}</p>"
    lines = [f"<b>{picture.place}.</b> {name}" if picture.score is not None else name]
    if picture.score is not None:
        value, error_of_it = picture.score
        spread = "" if error_of_it is None else f" ± {error_of_it:.2f}"
        lines.append(f"<span class=quiet>{round(value, 2) + 0.0:+.2f}{spread} {escape(picture.unit)}</span>")
    if picture.taken:
        lines.append(f"<span class=quiet>{escape(picture.taken)}</span>")
    return f"<figure class={picture.label or 'alone'}>{image}<figcaption>{'<br>'.join(lines)}</figcaption></figure>\n"


def foot(
    unreadable: Sequence[tuple[str, str]], passed_over: Sequence[str] = (), page: int = 1, n_pages: int = 1
) -> str:
    """Return a page after its last series.

    Args:
        unreadable: files and folders that could not be read, each with the reason.
        passed_over: what was not looked at, in words.
        page: its number, from 1.
        n_pages: how many there are.
    """
    text = links(page, n_pages)
    if unreadable:
        items = "".join(f"<li>{escape(reason)}</li>" for _, reason in unreadable)
        text += f"<section><h2>Could not be read: {len(unreadable)}</h2><ul class=bad>{items}</ul></section>\n"
    if passed_over:
        items = "".join(f"<li>{escape(words)}</li>" for words in passed_over)
        text += f"<section><h2>Not looked at</h2><ul>{items}</ul></section>\n"
    return text + f"<script>{_ALL_SCRIPT}</script></body></html>\n"


def _in_words(told: Told) -> str:
    """Return the explanation as HTML."""
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
    """Return the reasoning as HTML, contradicted statements marked."""
    return "".join(
        f"<mark title='contradicted by what was measured'>{escape(piece)}</mark> [contradicted]"
        if status == "contradicted"
        else escape(piece)
        for piece, status in marked(text, claims)
    )


def _table(rows: Sequence[Measured]) -> str:
    """Return what was measured in the best one and the next one, with bars."""
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
    """Return the picture as a ``data:`` URL of few bytes."""
    pixels = THUMBNAIL_PIXELS
    image = load_image(path, max_pixels=pixels).image
    while True:
        for quality in (75, 60, 45, 30):
            data = jpeg_bytes(image, quality)
            if len(data) <= MAX_THUMBNAIL_BYTES:
                return jpeg_url(data)
        pixels //= 2
        image = image.resize(fit_area(image.size, pixels))
